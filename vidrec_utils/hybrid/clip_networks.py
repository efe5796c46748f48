"""Networks for clips, of which a recommender trains the last stage only, so that a CPU is enough.

A network is cut in two: every clip goes through the frozen stages once (`prepare`), and the last
stage (`trainable_part`) runs in every step on their outputs.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from vidrec_utils import arguments, settings, video_io
from vidrec_utils.cache import code_version, load_or_build
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.encoders import Windows
from vidrec_utils.video_encoders import mini

ENCODERS = ("slowfast_mini", "small")


class SmallNet(nn.Module):
    """Three 3D convolutions and a mean over time and space, to be trained from random weights.

    Group normalisation makes a clip's vector independent of the rest of its batch.
    """

    frames = 8
    size = 32
    dim = 64

    def __init__(self):
        super().__init__()
        sizes = (3, 16, 32, self.dim)
        strides = ((1, 2, 2), (2, 2, 2), (2, 2, 2))
        layers: list[nn.Module] = []
        for before, after, stride in zip(sizes, sizes[1:], strides, strict=False):
            conv = nn.Conv3d(before, after, 3, stride, padding=1, bias=False)
            layers += [conv, nn.GroupNorm(4, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """`(n, 3, frames, size, size)` in -1..1 to vectors `(n, 64)`."""
        return self.layers(clips).mean(dim=(2, 3, 4))


class SlowFastTop(nn.Module):
    """The last stage of a SlowFast network, on both pathways as the stages before return them."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(block) for block in net.net.blocks[4:-1])
        self.dim = net.dim

    def forward(self, slow: torch.Tensor, fast: torch.Tensor) -> torch.Tensor:
        """Both pathways, `(n, channels, time, h, w)` each, to vectors `(n, dim)`."""
        pathways = [slow, fast]
        for block in self.blocks:
            pathways = block(pathways)
        return pathways.mean(dim=(2, 3, 4))  # the last block concatenates the pathways


def trainable_part(name: str, seed: int = 0) -> nn.Module:
    """The part of a network that is trained, with its initial weights.

    Parameters
    ----------
    name : {"slowfast_mini", "small"}
        The last stage of the course's pretrained SlowFast (see `video_encoders.mini`), or a small
        network with random weights.
    seed : int
        Random weights are drawn with this seed; the global seed is not touched.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    arguments.one_of(ENCODERS, encoder=name)
    if name == "slowfast_mini":
        return SlowFastTop(mini.load("slowfast_mini").net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallNet()


@torch.no_grad()  # not inference_mode: training goes on from what this returns
def prepare(name: str, clips: list[np.ndarray], batch_size: int = 16) -> tuple[torch.Tensor, ...]:
    """Inputs of the trainable part, float32, one row a clip, on the CPU.

    Parameters
    ----------
    name : {"slowfast_mini", "small"}
        As for `trainable_part`.
    clips : list of uint8 (time, height, width, 3)
        RGB; lengths and sizes may differ.
    batch_size : int
        Clips at once.
    """
    batches = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
    inputs = [
        _lower_stages(batch) if name == "slowfast_mini" else (_small_clips(batch),)
        for batch in batches
    ]
    return tuple(torch.cat(tensors) for tensors in zip(*inputs, strict=True))


def kept_inputs(name: str, clips: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """Inputs of the trainable part as `prepare` makes them, kept on disk as 16-bit numbers.

    Parameters
    ----------
    name : {"slowfast_mini", "small"}
        As for `trainable_part`.
    clips : mapping of str to uint8 (time, height, width, 3)
        RGB; they are found again by their content.

    Returns
    -------
    tuple of Tensor
        float32, one row a clip, rounded to 16 bits.
    """
    digest = hashlib.sha256()
    for clip in clips.values():
        digest.update(f"{clip.shape}".encode() + np.ascontiguousarray(clip).tobytes())
    weights = repr(mini.load(name).weights) if name == "slowfast_mini" else ""
    code = code_version(Path(__file__).parent, Path(mini.__file__).parent)
    key = (name, weights, code, digest.hexdigest())

    def build() -> dict[str, np.ndarray]:
        tensors = prepare(name, list(clips.values()))
        return {f"{n}": tensor.numpy().astype(np.float16) for n, tensor in enumerate(tensors)}

    arrays = load_or_build("inputs of trainable stages", key, build, name)
    return tuple(torch.from_numpy(array.astype(np.float32)) for array in arrays.values())


def rows_of(clips: Mapping[str, np.ndarray], video_ids: list[str]) -> np.ndarray:
    """Position of each video's clip in the order of the mapping; -1 where there is none.

    Examples
    --------
    >>> rows_of({"b": np.zeros(1), "c": np.ones(1)}, ["a", "b", "c"]).tolist()
    [-1, 0, 1]
    """
    positions = {str(video_id): position for position, video_id in enumerate(clips)}
    return np.array([positions.get(video_id, -1) for video_id in video_ids], dtype=np.int64)


def read_clips(
    library: VideoLibrary,
    frames: int = 16,
    size: int = 64,
    seconds: float = 2.0,
    short: Literal["loop", "stretch", "hold"] = "loop",
) -> dict[str, np.ndarray]:
    """Frames of every clip of a library that can be read, uint8 `(frames, size, size, 3)`.

    Broken and absent files are skipped: a recommender then has no clip of the video.

    Parameters
    ----------
    library : VideoLibrary
        Files are found through `library.file`.
    frames, size : int
        Frames of a clip, and their shorter side in pixels.
    seconds : float
        Length of the window in the middle of each clip that is read, so that a long clip has the
        frame rate of a short one.
    short : {"loop", "stretch", "hold"}
        What is seen of a clip that is much shorter; see `encoders.Windows`. Optical flow would show
        the jump where a loop begins again, so networks that read it want `"stretch"`.

    Examples
    --------
    A library without files has no clips:

    >>> import pandas as pd
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> videos = pd.DataFrame({"video_id": ["a", "b"], "title": ["a cat", "a dog"]})
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"]})
    >>> read_clips(VideoLibrary(videos=videos, interactions=log))
    {}
    """
    times = partial(Windows(seconds, at="centre", short=short).times, frames=frames)
    clips = {}
    for video_id in library.videos["path"].dropna().index:
        try:
            file = library.file(video_id, of="path")
            clips[str(video_id)] = video_io.frames_at(file, times, size=size)[0]
        except (video_io.VideoError, FileNotFoundError):
            continue
    return clips


def _lower_stages(clips: list[np.ndarray]) -> tuple[torch.Tensor, ...]:
    """Outputs of the stem and of three stages of SlowFast, for the slow and the fast pathway."""
    encoder = mini.load("slowfast_mini")
    x = encoder.prepare(clips).to(settings.device())
    return tuple(pathway.cpu() for pathway in encoder.net.stages(x, upto=4))


def _small_clips(clips: list[np.ndarray]) -> torch.Tensor:
    """Evenly chosen frames, resized, in -1..1: `(n, 3, frames, size, size)`."""
    shape = (SmallNet.size, SmallNet.size)
    result = torch.empty(len(clips), 3, SmallNet.frames, *shape)
    for row, clip in zip(result, clips, strict=True):
        chosen = np.linspace(0, len(clip) - 1, SmallNet.frames).round().astype(int)
        images = torch.from_numpy(clip[chosen]).permute(0, 3, 1, 2).float()  # (frames, 3, h, w)
        images = nn.functional.interpolate(images, shape, mode="bilinear", antialias=True)
        row[:] = images.transpose(0, 1) / 127.5 - 1
    return result
