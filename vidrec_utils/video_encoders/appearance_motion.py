"""What a clip shows and how it moves, in one vector, from a network for images alone.

An average of frames keeps what is shown and forgets the order. The correlation of neighbouring
frames keeps how things move and forgets what they are. Neither of the two is trained on video, so
the vector that holds both is a plain starting point for a platform of one's own.

References
----------
Simonyan, Zisserman: Two-Stream Convolutional Networks for Action Recognition in Videos. NeurIPS
2014 (arXiv:1406.2199), for the idea of one stream for appearance and one for motion.
"""

from __future__ import annotations

import copy

import torch
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0
from vidrec_utils.video_encoders.correlation import CorrelationLite0
from vidrec_utils.video_encoders.encoder import ClipNetwork


class AppearanceMotionLite0(ClipNetwork):
    """The average of EfficientNet-Lite0's frame features next to the correlation of its first maps.

    Parameters
    ----------
    net : EfficientNetLite0
        Its weights are copied: all of it describes single frames, the first blocks are compared
        from frame to frame.
    step : int
        Every `step`-th frame is averaged; all frames are correlated.
    size : int
        Pixels of the square on which frames are correlated.

    Attributes
    ----------
    split : int
        Where the vector is cut in two: what is shown before, how it moves after. A model that asks
        only one question does better on one half (measured in the notebook on video encoders).

    Examples
    --------
    >>> net = AppearanceMotionLite0(EfficientNetLite0()).eval()
    >>> clip = torch.zeros(1, 3, 16, 96, 96)
    >>> net.vector(clip).shape  # 1,280 numbers on what is shown, 800 on how it moves
    torch.Size([1, 2080])
    """

    def __init__(self, net: EfficientNetLite0, step: int = 2, size: int = 64) -> None:
        super().__init__()
        self.appearance = copy.deepcopy(net)
        # the same modules, not a second copy: the first blocks of the network above
        self.motion = CorrelationLite0(self.appearance)
        self.step, self.size = step, size
        self.channels = self.motion.channels
        self.split = net._fc.in_features
        self.dim = self.split + self.motion.dim

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Correlations of a clip, `(batch, channels, time - 1, size / 8, size / 8)`."""
        return self.motion.maps(self._small(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, dim, 1)`."""
        return self.vector(x)[:, :, None]

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Both descriptions of `(batch, 3, time, height, width)`, each of length 1."""
        frames = x[:, :, :: self.step].transpose(1, 2)  # (batch, time / step, 3, height, width)
        images = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        # what is shown: the mean of the frames' features, (batch, 1280)
        shown = self.appearance.features(images).unflatten(0, frames.shape[:2]).mean(dim=1)
        # how it moves: the mean of the correlations over time, (batch, 800)
        moves = self.motion.vector(self._small(x))
        # each divided by its length, so that neither drowns the other: (batch, 2080)
        return torch.cat([functional.normalize(v, dim=1) for v in (shown, moves)], dim=1)

    def _small(self, x: torch.Tensor) -> torch.Tensor:
        """The frames at the size on which they are correlated."""
        if x.shape[-1] <= self.size:
            return x
        frames = x.transpose(1, 2).flatten(0, 1)  # (batch * time, 3, height, width)
        size = (self.size, self.size)
        small = functional.interpolate(frames, size, mode="bilinear", antialias=True)
        return small.unflatten(0, (x.shape[0], -1)).transpose(1, 2)
