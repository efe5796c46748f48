"""Motion from pretrained features, by asking where each patch went in the next frame.

A network trained on photographs knows how a patch looks, so it can find it again. At each place of
a feature map, the features of frame t are compared with those of frame t + 1 at the places around;
the table of these similarities says which way the content moved, whatever the content is. Nothing
in it is trained on video, and everything in it depends on the order of frames.

References
----------
Wang, Tran, Torresani, Feiszli: Video Modeling with Correlation Networks. CVPR 2020
(arXiv:1906.03349).
Kwon, Kim, Kwak, Cho: MotionSqueeze. ECCV 2020 (arXiv:2007.09933).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0


class CorrelationLite0(nn.Module):
    """EfficientNet-Lite0's first blocks on each frame, then correlation of neighbouring frames.

    Parameters
    ----------
    net : EfficientNetLite0
        Its stem and first `depth` blocks are used (5: 40 channels at an eighth of the resolution).
    depth : int
        Number of blocks.
    radius : int
        How far to look, in cells of the feature map; `(2 radius + 1) ** 2` displacements.
    grid : int
        Side of the grid that `features` averages to.
    """

    def __init__(self, net: EfficientNetLite0, depth: int = 5, radius: int = 3, grid: int = 4):
        super().__init__()
        self.stem = nn.ModuleDict({"conv": net._conv_stem, "norm": net._bn0})
        self.blocks = nn.Sequential(*net._blocks[:depth])
        self.radius = radius
        self.grid = grid
        self.channels = (2 * radius + 1) ** 2 + 1
        self.dim = self.channels * grid**2

    def frame_maps(self, x: torch.Tensor) -> torch.Tensor:
        """Features of each frame: `(batch, 3, time, height, width)` to `(batch, c, time, h, w)`."""
        batch, _, time = x.shape[:3]
        frames = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        y = self.blocks(functional.relu6(self.stem["norm"](self.stem["conv"](frames))))
        return y.unflatten(0, (batch, time)).transpose(1, 2).contiguous()

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Correlations, `(batch, channels, time - 1, height / 8, width / 8)`; see `correlate`."""
        return correlate(self.frame_maps(x), self.radius)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged to a grid, `(batch, dim, time - 1)`: what moved which way, and where."""
        maps = self.maps(x)
        pooled = functional.adaptive_avg_pool3d(maps, (maps.shape[2], self.grid, self.grid))
        return pooled.movedim(2, -1).flatten(1, 3)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Features averaged over time, `(batch, dim)`."""
        return self.features(x).mean(dim=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same as `maps`, so that the encoder can be the first layer of a larger network."""
        return self.maps(x)


def correlate(maps: torch.Tensor, radius: int) -> torch.Tensor:
    """Compare each place of each frame with the places around it in the next frame.

    The mean over time is taken away first: what never changes (the background) has no motion, and
    would otherwise match itself everywhere.

    Parameters
    ----------
    maps : tensor, shape (batch, channels, time, height, width)
        Features; at least two frames.
    radius : int
        Largest displacement in cells.

    Returns
    -------
    tensor, shape (batch, (2 radius + 1) ** 2 + 1, time - 1, height, width)
        For each displacement (rows first, from up-left to down-right) the cosine of the two
        features, times how strongly the first differs from the mean; last channel: the square of
        that strength.

    Raises
    ------
    ValueError
        If there is only one frame.
    """
    if maps.shape[2] < 2:
        raise ValueError("Correlation needs at least two frames.")
    height, width = maps.shape[-2:]
    scale = maps.std(dim=(2, 3, 4), keepdim=True).clamp_min(1e-6)  # of the clip, not the batch
    changing = (maps - maps.mean(dim=2, keepdim=True)) / scale
    energy = changing.square().mean(dim=1, keepdim=True)[:, :, :-1]
    unit = functional.normalize(changing, dim=1)
    here = unit[:, :, :-1]
    there = functional.pad(unit[:, :, 1:], (radius,) * 4)
    cosines = [
        (here * there[..., dy : dy + height, dx : dx + width]).sum(dim=1)
        for dy in range(2 * radius + 1)
        for dx in range(2 * radius + 1)
    ]
    return torch.cat([torch.stack(cosines, dim=1) * energy.sqrt(), energy], dim=1)


class MotionHead(nn.Module):
    """A small classifier over maps in space and time, to be trained on top of a frozen encoder.

    Parameters
    ----------
    channels, classes : int
        Of the maps, and of the answer.
    width : int
        Channels inside.
    dropout : float
        Share of the last features dropped while training.
    """

    def __init__(self, channels: int, classes: int, width: int = 32, dropout: float = 0.3):
        super().__init__()
        self.scale = nn.BatchNorm3d(channels, affine=False)
        self.shrink = nn.Conv3d(channels, width, (1, 2, 2), stride=(1, 2, 2), bias=False)
        self.norm1 = nn.BatchNorm3d(width)
        self.mix = nn.Conv3d(width, width, 3, padding=1, bias=False)  # space and time together
        self.norm2 = nn.BatchNorm3d(width)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * width, classes)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of maps `(batch, channels, time, height, width)`."""
        x = functional.relu(self.norm1(self.shrink(self.scale(maps))))  # (b, width, t, h/2, w/2)
        x = functional.relu(self.norm2(self.mix(x)))
        mean = x.mean(dim=(2, 3, 4))
        peak = x.amax(dim=(3, 4)).mean(dim=2)
        return self.classify(self.dropout(torch.cat([mean, peak], dim=1)))
