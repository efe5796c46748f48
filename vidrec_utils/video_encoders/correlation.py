"""Motion from pretrained features: where each patch of a frame is found in the next frame.

A network trained on photographs describes how a patch looks, so the patch can be found again. At
each position of a feature map, the features of frame t are compared with those of frame t + 1 at
the positions around it (the *correlation*, or cost volume); the table of these similarities says
which way the content moved, whatever the content is. Nothing in it is trained on video, and
everything in it depends on the order of frames.

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
from vidrec_utils.video_encoders.encoder import ClipNetwork


class CorrelationLite0(ClipNetwork):
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

    def __init__(
        self, net: EfficientNetLite0, depth: int = 5, radius: int = 3, grid: int = 4
    ) -> None:
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
        # every frame is an image of the batch: (batch * time, 3, height, width)
        frames = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        # ImageNet features: (batch * time, 40, height / 8, width / 8)
        y = self.blocks(functional.relu6(self.stem["norm"](self.stem["conv"](frames))))
        # back to clips: (batch, 40, time, height / 8, width / 8)
        return y.unflatten(0, (batch, time)).transpose(1, 2).contiguous()

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Correlations, `(batch, channels, time - 1, height / 8, width / 8)`; see `correlate`."""
        return correlate(self.frame_maps(x), self.radius)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged to a grid, `(batch, dim, time - 1)`: what moved which way, and where."""
        maps = self.maps(x)  # (batch, channels, time - 1, h, w)
        # the mean in each cell of a grid: (batch, channels, time - 1, grid, grid)
        pooled = functional.adaptive_avg_pool3d(maps, (maps.shape[2], self.grid, self.grid))
        # channels and cells become one axis: (batch, channels * grid ** 2, time - 1)
        return pooled.movedim(2, -1).flatten(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The maps, so that the encoder can be the first layer of a larger network."""
        return self.maps(x)


def correlate(maps: torch.Tensor, radius: int) -> torch.Tensor:
    """Compare each position of each frame with the positions around it in the next frame.

    The mean over time is subtracted first: what never changes (the background) has no motion, and
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

    Examples
    --------
    >>> import torch
    >>> maps = torch.zeros(1, 2, 2, 5, 5)
    >>> maps[0, :, 0, 2, 2] = 1.0  # frame 0: something at row 2, column 2
    >>> maps[0, :, 1, 2, 3] = 1.0  # frame 1: one column further to the right
    >>> cosines = correlate(maps, radius=1)[0, :9, 0, 2, 2]  # for 3 x 3 displacements
    >>> divmod(int(cosines.argmax()), 3)  # row 1: not up or down; column 2: to the right
    (1, 2)
    """
    if maps.shape[2] < 2:
        raise ValueError("Correlation needs at least two frames.")
    height, width = maps.shape[-2:]
    # what changes: features minus their mean over time, in units of each channel's spread over the
    # clip (not over the batch), (batch, channels, time, height, width)
    scale = maps.std(dim=(2, 3, 4), keepdim=True).clamp_min(1e-6)
    changing = (maps - maps.mean(dim=2, keepdim=True)) / scale
    # how strongly frame t differs from the mean, (batch, 1, time - 1, height, width)
    energy = changing.square().mean(dim=1, keepdim=True)[:, :, :-1]
    # features of length 1, so that a dot product is a cosine
    unit = functional.normalize(changing, dim=1)
    current = unit[:, :, :-1]  # frame t
    following = functional.pad(unit[:, :, 1:], (radius,) * 4)  # frame t + 1, zeros around it
    # for each displacement (dy, dx): cosine of (y, x) in frame t and (y + dy, x + dx) in frame
    # t + 1; each is (batch, time - 1, height, width)
    cosines = [
        (current * following[..., dy : dy + height, dx : dx + width]).sum(dim=1)
        for dy in range(2 * radius + 1)
        for dx in range(2 * radius + 1)
    ]
    # a match counts where something changes: (batch, (2 radius + 1) ** 2 + 1, time - 1, h, w)
    return torch.cat([torch.stack(cosines, dim=1) * energy.sqrt(), energy], dim=1)


class MotionHead(nn.Module):
    """A small classifier over maps in space and time, to be trained on top of a frozen encoder.

    Parameters
    ----------
    channels : int
        Channels of the maps.
    classes : int
        Classes that it tells apart.
    width : int
        Channels of its own layers.
    dropout : float
        Share of the last features dropped while training.

    Examples
    --------
    >>> import torch
    >>> head = MotionHead(channels=50, classes=12).eval()
    >>> head(torch.zeros(2, 50, 15, 8, 8)).shape
    torch.Size([2, 12])
    """

    def __init__(self, channels: int, classes: int, width: int = 32, dropout: float = 0.3):
        super().__init__()
        self.scale = nn.BatchNorm3d(channels, affine=False)
        self.shrink = nn.Conv3d(channels, width, (1, 2, 2), stride=(1, 2, 2), bias=False)
        self.norm1 = nn.BatchNorm3d(width)
        self.conv = nn.Conv3d(width, width, 3, padding=1, bias=False)  # space and time together
        self.norm2 = nn.BatchNorm3d(width)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * width, classes)
        self.register_load_state_dict_pre_hook(_renamed)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of maps `(batch, channels, time, height, width)`."""
        # fewer channels, half the resolution: (batch, width, time, height / 2, width / 2)
        x = functional.relu(self.norm1(self.shrink(self.scale(maps))))
        # 3 x 3 x 3 filters see where the match moves from step to step
        x = functional.relu(self.norm2(self.conv(x)))
        mean = x.mean(dim=(2, 3, 4))  # how much of it there is: (batch, width)
        peak = x.amax(dim=(3, 4)).mean(dim=2)  # how clear it is in each step: (batch, width)
        return self.classify(self.dropout(torch.cat([mean, peak], dim=1)))


def _renamed(module: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
    """Load weights that were stored when `conv` had another name."""
    if f"{prefix}mix.weight" in state:
        state[f"{prefix}conv.weight"] = state.pop(f"{prefix}mix.weight")
