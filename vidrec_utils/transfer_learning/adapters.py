"""From a network for images to one for clips, for any 2D CNN of the catalogue.

`video_encoders.inflation` does the work on single convolutions. Everything between them (pooling,
branches, residual connections) runs as the authors of the 2D network wrote it, so that VGG, ResNet
and Inception need no 3D form of their own.

References
----------
Carreira, Zisserman: Quo Vadis, Action Recognition? CVPR 2017 (arXiv:1705.07750), section 2.4: the
boring-video fixed point. Wang et al.: Temporal Segment Networks. ECCV 2016 (arXiv:1608.00859),
section 3.2: cross-modality initialisation.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch
from torch import nn

from vidrec_utils.image_encoders import ImageEncoder
from vidrec_utils.video_encoders import FrameAverage, cross_modality_stem
from vidrec_utils.video_encoders.encoder import Clips
from vidrec_utils.video_encoders.inflation import Mode, inflate_layers, set_frames


class InflatedFrames(nn.Module):
    """A network for images whose filters span several frames.

    Filters of 1 x 1 pixels only mix channels and stay as they are; those that look at neighbouring
    pixels look at neighbouring frames, too. At the ends of a clip its first and last frame are
    repeated.

    Parameters
    ----------
    net : nn.Module
        Has `features` for images; its weights are copied.
    taps, mode
        See `video_encoders.inflate`.

    Raises
    ------
    ValueError
        If the network is a transformer, or has no filter that is larger than 1 x 1.
    """

    def __init__(self, net: nn.Module, taps: int = 3, mode: Mode = "centre") -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        attention = any(isinstance(module, nn.LayerNorm) for module in net.modules())
        count = inflate_layers(self.net, lambda conv: max(conv.kernel_size) > 1, taps, mode)
        if attention or not count:
            raise ValueError(
                f"{type(net).__name__} is no convolutional network: there is nothing to inflate. "
                "Average its frames (video_encoders.FrameAverage), or take a CNN."
            )

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, 3, height, width)` to `(batch, dim)`, the mean over frames."""
        set_frames(self.net, x.shape[1])
        # every frame is an image of the batch: (batch * frames, 3, height, width)
        images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.net.features(images).unflatten(0, x.shape[:2]).mean(dim=1)


class InflatedEncoder(FrameAverage):
    """A video encoder made of an image encoder by inflating its filters.

    Until it is trained it equals the average of frames with `mode="centre"`, whatever the clip, and
    for a clip in which nothing moves with both modes.

    Parameters
    ----------
    images : ImageEncoder
        A convolutional network; it stays as it is.
    frames : int
        How many frames of a clip the network sees.
    taps, mode
        See `video_encoders.inflate`.
    """

    def __init__(
        self, images: ImageEncoder, frames: int = 8, taps: int = 3, mode: Mode = "centre"
    ) -> None:
        super().__init__(images, frames)
        self.net = InflatedFrames(images.net, taps, mode).eval().to(images.device)
        self.images = copy.copy(images)
        self.images.net = self.net  # the fingerprint is computed from it
        self.name = f"{images.name}_inflated"
        self.parameters = sum(p.numel() for p in self.net.parameters())
        self.layers = ()

    def activations(self, clips: Clips, layer: str) -> torch.Tensor:
        """Not supported: the output of a layer depends on neighbouring frames. Use `encode`."""
        raise NotImplementedError(
            "The output of a layer of an inflated network depends on neighbouring frames, so only "
            "its vector is offered: use encode."
        )


def inflate_encoder(
    images: ImageEncoder, frames: int = 8, taps: int = 3, mode: Mode = "centre"
) -> InflatedEncoder:
    """Make a video encoder of an image encoder; see `InflatedEncoder`."""
    return InflatedEncoder(images, frames, taps, mode)


def inflation_gaps(images: ImageEncoder, clip: np.ndarray, taps: int = 3) -> pd.DataFrame:
    """Measure how far a freshly inflated network's vectors are from what inflation promises.

    Parameters
    ----------
    images : ImageEncoder
        A convolutional network.
    clip : ndarray of uint8, shape (time, height, width, 3)
        A clip in which something moves.
    taps : int
        See `video_encoders.inflate`.

    Returns
    -------
    DataFrame
        A row for each mode, and three relative differences (length of the difference over length of
        the second vector). `still`: the first frame repeated, compared with the image encoder on
        it; `mirror`: the clip, compared with the clip played backwards; `frames`: the clip,
        compared with the average of its frames.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import image_encoders
    >>> images = image_encoders.load("efficientnet_lite0", weights="random", size=32)
    >>> clip = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> clip[1, 8:24, 8:24] = 255  # a white square appears
    >>> gaps = inflation_gaps(images.calibrate(clip), clip)
    >>> gaps["frames"].gt(0.001).to_dict()  # weight at the centre tap: the average of frames
    {'average': True, 'centre': False}
    """
    frames = len(clip)
    rows = {}
    frozen = np.repeat(clip[:1], frames, axis=0)
    image, average = FrameAverage(images, frames).encode([frozen, clip])
    for mode in ("average", "centre"):
        inflated = InflatedEncoder(images, frames, taps, mode)
        unmoved, forwards, backwards = inflated.encode([frozen, clip, clip[::-1]])
        pairs = {
            "still": (unmoved, image),
            "mirror": (forwards, backwards),
            "frames": (forwards, average),
        }
        rows[mode] = {
            name: float(np.linalg.norm(one - other) / np.linalg.norm(other))
            for name, (one, other) in pairs.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def flow_network(net: nn.Module, channels: int) -> nn.Module:
    """Copy a network for images so that it takes stacked optical flow in place of RGB.

    The first convolution's filters are averaged over RGB and repeated for each channel of flow. As
    more of them are summed, each is scaled down, so that the next layer sees values of the size
    that it was trained on.

    Parameters
    ----------
    net : nn.Module
        Its first convolution takes 3 channels; not changed.
    channels : int
        Number of flow channels, such as 20 for ten steps of flow.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If there is no convolution, or the first one does not take 3 channels.

    Examples
    --------
    >>> from torch import nn
    >>> flow_network(nn.Sequential(nn.Conv2d(3, 8, 5)), channels=20)[0].weight.shape
    torch.Size([8, 20, 5, 5])
    """
    network = copy.deepcopy(net)
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        problem = (
            "no convolution" if first is None else f"one that takes {first.in_channels} channels"
        )
        raise ValueError(
            f"The network has to begin with a convolution of RGB; this one has {problem}."
        )
    if channels < 1:
        raise ValueError(f"channels is {channels}; flow has at least one.")
    stem = cross_modality_stem(first.weight, channels) * (3 / channels)
    first.weight = nn.Parameter(stem)
    first.in_channels = channels
    # Inception rescales RGB with fixed factors, which do not fit flow
    for module in network.modules():
        if getattr(module, "transform_input", False):
            module.transform_input = False
    return network
