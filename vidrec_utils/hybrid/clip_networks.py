"""Networks for clips, cut so that a recommender can train them with what little a CPU has.

A cut network is a fixed part, through which every clip goes once, and a part to be trained, which
runs in every step on what the fixed part has left.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from vidrec_utils import settings

ENCODERS = ("slowfast_mini", "small")


class SmallNet(nn.Module):
    """Three 3D convolutions and a mean, to be trained from nothing.

    Group normalisation makes a clip's vector independent of the rest of its batch.
    """

    frames, size, dim = 8, 32, 64

    def __init__(self):
        super().__init__()
        sizes, strides = (3, 16, 32, self.dim), ((1, 2, 2), (2, 2, 2), (2, 2, 2))
        layers: list[nn.Module] = []
        for before, after, stride in zip(sizes, sizes[1:], strides, strict=False):
            conv = nn.Conv3d(before, after, 3, stride, padding=1, bias=False)
            layers += [conv, nn.GroupNorm(4, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """`(n, 3, frames, size, size)` in -1..1 to vectors `(n, 64)`."""
        return self.layers(clips).mean(dim=(2, 3, 4))


class SlowFastTop(nn.Module):
    """The last stage of a SlowFast network, on what the stages before made of both pathways."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(block) for block in net.net.blocks[4:-1])
        self.dim = net.dim

    def forward(self, slow: torch.Tensor, fast: torch.Tensor) -> torch.Tensor:
        """Both paths, `(n, channels, time, h, w)` each, to vectors `(n, dim)`."""
        paths = [slow, fast]
        for block in self.blocks:
            paths = block(paths)
        return paths.mean(dim=(2, 3, 4))


def cut(name: str, seed: int = 0) -> nn.Module:
    """The part to be trained, with its first weights.

    Parameters
    ----------
    name : {"slowfast_mini", "small"}
        The last stage of the course's pretrained SlowFast (see `video_encoders.mini`), or a small
        network with random weights.
    seed : int
        For random weights; the global seed is not touched.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder is {name!r}; choose from {', '.join(map(repr, ENCODERS))}.")
    if name == "slowfast_mini":
        return SlowFastTop(_slowfast().net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallNet()


@torch.no_grad()  # not inference_mode: training goes on from what this returns
def prepare(name: str, clips: list[np.ndarray], batch_size: int = 16) -> tuple[torch.Tensor, ...]:
    """What the part to be trained is given, float32, one row a clip, on the CPU.

    Parameters
    ----------
    name : {"slowfast_mini", "small"}
        As for `cut`.
    clips : list of uint8 (time, height, width, 3)
        RGB; lengths and sizes may differ.
    batch_size : int
        Clips at once.
    """
    parts = []
    for start in range(0, len(clips), batch_size):
        some = clips[start : start + batch_size]
        parts.append(_below_slowfast(some) if name == "slowfast_mini" else (_small_clips(some),))
    return tuple(torch.cat(kind) for kind in zip(*parts, strict=True))


def rows_of(clips: Mapping[str, np.ndarray], video_ids: list[str]) -> np.ndarray:
    """Place of each video's clip in the order of the mapping; -1 where there is none."""
    places = {str(video_id): place for place, video_id in enumerate(clips)}
    return np.array([places.get(video_id, -1) for video_id in video_ids], dtype=np.int64)


def read_clips(library: object, frames: int = 16, size: int = 64) -> dict[str, np.ndarray]:
    """Frames of every clip of a library that can be read, uint8 `(frames, size, size, 3)`.

    Broken and absent files are passed over: a recommender then has no clip of the video.
    """
    from vidrec_utils import video_io

    found = {}
    paths = library.videos["path"].dropna()
    for video_id in paths.index:
        try:
            file = library.file(video_id, of="path")
            found[str(video_id)] = video_io.sample_frames(file, n=frames, size=size)
        except (video_io.VideoError, FileNotFoundError):
            continue
    return found


def _slowfast():
    from vidrec_utils.video_encoders import mini

    return mini.load("slowfast_mini")


def _below_slowfast(clips: list[np.ndarray]) -> tuple[torch.Tensor, ...]:
    encoder = _slowfast()
    x = encoder.prepare(clips).to(settings.device())
    return tuple(pathway.cpu() for pathway in encoder.net.stages(x, upto=4))


def _small_clips(clips: list[np.ndarray]) -> torch.Tensor:
    """Evenly chosen frames, resized, in -1..1: `(n, 3, frames, size, size)`."""
    out = torch.empty(len(clips), 3, SmallNet.frames, SmallNet.size, SmallNet.size)
    for place, clip in enumerate(clips):
        chosen = np.linspace(0, len(clip) - 1, SmallNet.frames).round().astype(int)
        pictures = torch.from_numpy(clip[chosen]).permute(0, 3, 1, 2).float()  # (frames, 3, h, w)
        pictures = nn.functional.interpolate(
            pictures, (SmallNet.size, SmallNet.size), mode="bilinear", antialias=True
        )
        out[place] = pictures.transpose(0, 1) / 127.5 - 1
    return out
