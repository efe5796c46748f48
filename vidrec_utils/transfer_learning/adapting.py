"""From a network of pictures to one of clips, for any 2D CNN of the catalogue.

`video_encoders.inflation` inflates EfficientNet-Lite0 as a network of 3D layers. Here the frames
of a clip stay folded into the batch, as in `video_encoders.mini`, and each inflated convolution
adds up what its taps say of the frames around. All that stands between the convolutions, whatever
it is (pooling, branches, sums), runs as the 2D network's authors wrote it, so that VGG, ResNet and
Inception need no 3D form of their own.

References
----------
Carreira, Zisserman: Quo Vadis, Action Recognition? CVPR 2017 (arXiv:1705.07750), section 2.4: the
boring-video fixed point. Wang et al.: Temporal Segment Networks. ECCV 2016 (arXiv:1608.00859),
section 3.2: cross-modality initialisation.
"""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call

from vidrec_utils.image_encoders import ImageEncoder
from vidrec_utils.video_encoders import FrameAverage, cross_modality_stem, inflate


class TimedConv2d(nn.Module):
    """A 2D convolution whose filter spans several frames, on frames folded into the batch.

    At the ends of a clip its first and last frame are repeated, so that a still clip is answered as
    a picture at every frame, in both modes.

    Parameters
    ----------
    conv : nn.Conv2d
        Of any padding, stride and grouping; not changed.
    taps, mode
        See `video_encoders.inflate`.
    """

    def __init__(
        self, conv: nn.Conv2d, taps: int = 3, mode: Literal["centre", "average"] = "centre"
    ):
        super().__init__()
        self.frames = 1
        self.weight = nn.Parameter(inflate(conv, taps, mode).weight.detach().clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        plain = copy.deepcopy(conv)
        plain.weight, plain.bias = None, None  # only its way to pad and stride is of use
        self.plain = [plain]  # in a list: not a module of this one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch * frames, channels, height, width)`; `frames` is set by `InflatedFrames`."""
        taps, frames = self.weight.shape[2], self.frames
        now = torch.arange(frames, device=x.device)
        out = None
        for tap in range(taps):
            given = {"weight": self.weight[:, :, tap]}
            y = functional_call(self.plain[0], given, (x,)).unflatten(0, (-1, frames))
            seen = (now + tap - taps // 2).clamp(0, frames - 1)
            y = y[:, seen]  # (batch, frames, channels, height, width): what this tap looks at
            out = y if out is None else out + y
        out = out.flatten(0, 1)
        return out if self.bias is None else out + self.bias[:, None, None]


class InflatedFrames(nn.Module):
    """A picture network whose filters span several frames.

    Parameters
    ----------
    net : nn.Module
        With `features` of pictures; its weights are copied.
    taps, mode
        See `video_encoders.inflate`.

    Raises
    ------
    ValueError
        If the network has no convolution that looks at neighbouring places and is used in all
        pictures alike: a transformer cannot be inflated this way.
    """

    def __init__(
        self, net: nn.Module, taps: int = 3, mode: Literal["centre", "average"] = "centre"
    ):
        super().__init__()
        self.net = copy.deepcopy(net)
        attention = [m for m in net.modules() if isinstance(m, nn.LayerNorm)]
        self.inflated: list[TimedConv2d] = []
        self._inflate(self.net, taps, mode)
        if attention or not self.inflated:
            raise ValueError(
                f"{type(net).__name__} is no convolutional network: there is nothing to inflate. "
                "Average its frames (video_encoders.FrameAverage), or take a CNN."
            )

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, 3, height, width)` to `(batch, dim)`, the mean over frames."""
        for conv in self.inflated:
            conv.frames = x.shape[1]
        pictures = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.net.features(pictures).unflatten(0, x.shape[:2]).mean(dim=1)

    def __deepcopy__(self, memo: dict) -> InflatedFrames:
        """As ever; the list of inflated layers is that of the copy."""
        found = type(self).__new__(type(self))
        nn.Module.__init__(found)
        found.net = copy.deepcopy(self.net, memo)
        found.inflated = [m for m in found.net.modules() if isinstance(m, TimedConv2d)]
        return found.train(self.training)

    def _inflate(self, module: nn.Module, taps: int, mode: Literal["centre", "average"]) -> None:
        for name, child in module.named_children():
            # 1x1 filters mix channels; what is near in time is asked by those that look around
            if isinstance(child, nn.Conv2d) and max(child.kernel_size) > 1:
                timed = TimedConv2d(child, taps, mode)
                setattr(module, name, timed)
                self.inflated.append(timed)
            else:
                self._inflate(child, taps, mode)


class InflatedEncoder(FrameAverage):
    """A video encoder made of an image encoder by inflating its filters.

    Until it is trained it equals the average of frames with `mode="centre"`, whatever the clip, and
    for a still clip with both modes.

    Parameters
    ----------
    images : ImageEncoder
        A convolutional network; it stays as it is.
    frames : int
        How many the network sees of a clip.
    taps, mode
        See `video_encoders.inflate`.
    """

    def __init__(
        self,
        images: ImageEncoder,
        frames: int = 8,
        taps: int = 3,
        mode: Literal["centre", "average"] = "centre",
    ):
        super().__init__(images, frames)
        self.net = InflatedFrames(images.net, taps, mode).eval().to(images.device)
        self.images = copy.copy(images)
        self.images.net = self.net  # what the fingerprint is taken of
        self.name = f"{images.name}_inflated"
        self.parameters = sum(p.numel() for p in self.net.parameters())
        self.layers = ()

    def activations(self, clips: object, layer: str) -> torch.Tensor:
        """Not told: a layer's answer depends on its neighbours in time."""
        raise NotImplementedError("An inflated network tells its vector alone; use encode.")


def inflate_encoder(
    images: ImageEncoder,
    frames: int = 8,
    taps: int = 3,
    mode: Literal["centre", "average"] = "centre",
) -> InflatedEncoder:
    """Make a video encoder of an image encoder; see `InflatedEncoder`."""
    return InflatedEncoder(images, frames, taps, mode)


def inflation_gaps(images: ImageEncoder, clip: np.ndarray, taps: int = 3) -> pd.DataFrame:
    """How far a freshly inflated network's vectors are from those that one may expect.

    Parameters
    ----------
    images : ImageEncoder
        A convolutional network.
    clip : ndarray of uint8, shape (time, height, width, 3)
        A moving one.
    taps : int
        See `video_encoders.inflate`.

    Returns
    -------
    DataFrame
        A row for each mode. `still`: of the first frame standing still, off that of the picture;
        `mirror`: of the clip, off that of the clip backwards; `frames`: of the clip, off the
        average of its frames. Each is the length of the difference over that of the second vector.
    """
    rows, frames = {}, len(clip)
    still = np.repeat(clip[:1], frames, axis=0)
    picture, average = FrameAverage(images, frames).encode([still, clip])
    for mode in ("average", "centre"):
        deep = InflatedEncoder(images, frames, taps, mode)
        stands, moves, back = deep.encode([still, clip, clip[::-1]])
        pairs = {"still": (stands, picture), "mirror": (moves, back), "frames": (moves, average)}
        rows[mode] = {
            name: float(np.linalg.norm(one - other) / np.linalg.norm(other))
            for name, (one, other) in pairs.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def flow_network(net: nn.Module, channels: int) -> nn.Module:
    """A copy of a picture network that takes stacked flow in place of RGB.

    The first convolution's filters are averaged over RGB, and repeated for each channel of flow; as
    more of them are summed up, each is scaled down, so that what comes after meets the sizes that
    it knows.

    Parameters
    ----------
    net : nn.Module
        Its first convolution takes 3 channels; not changed.
    channels : int
        Such as 20 for ten steps of flow.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If there is no convolution, or the first one does not take 3 channels.
    """
    found = copy.deepcopy(net)
    first = next((m for m in found.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        got = "no convolution" if first is None else f"one that takes {first.in_channels} channels"
        raise ValueError(
            f"Wanted is a network that begins with a convolution of RGB; it has {got}."
        )
    if channels < 1:
        raise ValueError(f"channels is {channels}; flow has at least one.")
    stem = cross_modality_stem(first.weight, channels) * (3 / channels)
    first.weight, first.in_channels = nn.Parameter(stem), channels
    # Inception's own rescaling of RGB would not know what to do with flow
    for module in found.modules():
        if getattr(module, "transform_input", False):
            module.transform_input = False
    return found
