"""The video encoders that there are, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.encoders import (
    Catalogue,
    Entry,
    FrameContract,
    LoadRequest,
    PackagedFile,
    TimedContract,
    Windows,
)
from vidrec_utils.encoders.efficientnet_lite0 import IMAGENET, EfficientNetLite0, lite0_network
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.video_encoders import mini, published, videomae
from vidrec_utils.video_encoders.appearance_motion import AppearanceMotionLite0
from vidrec_utils.video_encoders.correlation import CorrelationLite0
from vidrec_utils.video_encoders.encoder import ClipNetwork, FrameAverage, VideoEncoder
from vidrec_utils.video_encoders.inflation import InflatedLite0
from vidrec_utils.video_encoders.mini.loading import RATE, WEIGHTS


@dataclass(frozen=True, kw_only=True)
class Lite0Entry(Entry[VideoEncoder | FrameAverage]):
    """An encoder made of EfficientNet-Lite0, which was trained on images only.

    Attributes
    ----------
    build : callable or None
        From the image network to one of clips; None: average the frames.
    """

    packaged: PackagedFile = IMAGENET
    contract: FrameContract
    build: Callable[[EfficientNetLite0], ClipNetwork] | None

    def load(self, request: LoadRequest) -> VideoEncoder | FrameAverage:
        """The encoder that is asked for; errors as in `load`."""
        frames = request.frames or self.contract.frames
        size = request.size or self.contract.size
        net, info = lite0_network(request.weights, request.seed, self.packaged, request.sha256)
        if self.build is None:
            images = ImageEncoder("efficientnet_lite0", net, info, request.device, size)
            return FrameAverage(images, frames)
        contract = FrameContract(frames, size, max(128, size))
        rate = self.contract.fps if isinstance(self.contract, TimedContract) else None
        windows = Windows(frames / rate) if rate else None
        net = self.build(net)
        return VideoEncoder(self.name, net, info, contract, request.device, windows=windows)


@dataclass(frozen=True)
class CourseFile:
    """Weights that this course trained and carries."""

    name: str

    def is_available(self) -> bool:
        """Whether they are there: they come with the course."""
        return (WEIGHTS / f"{self.name}.safetensors").is_file()


@dataclass(frozen=True, kw_only=True)
class MiniEntry(Entry[VideoEncoder]):
    """A compact network of this course."""

    contract: FrameContract

    def load(self, request: LoadRequest) -> VideoEncoder:
        """The encoder that is asked for; errors as in `mini.load`."""
        return mini.load(
            self.name,
            request.weights,
            request.device,
            frames=request.frames,
            size=request.size,
            seed=request.seed,
            sha256=request.sha256,
        )


def _of_images(
    name: str,
    contract: FrameContract,
    build: Callable[[EfficientNetLite0], ClipNetwork] | None = None,
    **about: object,
) -> Lite0Entry:
    return Lite0Entry(
        name=name,
        about={
            "year": 2020,
            "licence": IMAGENET.licence,
            "pretrained_on": "ImageNet-1k (pictures)",
            **about,
        },
        contract=contract,
        build=build,
        smallest={"frames": 4, "size": 64},
    )


def _mini(name: str, **about: object) -> MiniEntry:
    return MiniEntry(
        name=name,
        about={
            "year": 2026,
            "licence": "MIT",
            "pretrained_on": "6,600 rendered clips (this course)",
            **about,
        },
        packaged=CourseFile(name),
        contract=TimedContract(16, 64, 128, RATE),
    )


ENTRIES = [
    _of_images(
        "frame_average",
        FrameContract(8, 96, 128),
        family="EfficientNet",
        parameters=4_652_008,
        gflops=1.13,
        dim=1280,
    ),
    _of_images(
        "efficientnet_lite0_3d",
        FrameContract(8, 96, 128),
        InflatedLite0,
        family="EfficientNet, inflated",
        parameters=5_016_040,
        gflops=1.33,
        dim=1280,
    ),
    _of_images(
        "lite0_correlation",
        TimedContract(16, 64, 128, RATE),
        CorrelationLite0,
        family="EfficientNet, correlation",
        parameters=55_504,
        gflops=0.30,
        dim=800,
    ),
    _of_images(
        "lite0_appearance_motion",
        TimedContract(16, 96, 128, RATE),
        AppearanceMotionLite0,
        family="EfficientNet, average and correlation",
        parameters=4_652_008,
        gflops=1.43,
        dim=2080,
    ),
    _mini("two_stream_mini", family="Two-Stream", parameters=1_414_262, gflops=0.14, dim=336),
    _mini("i3d_mini", family="I3D", parameters=837_718, gflops=0.53, dim=224),
    _mini("slowfast_mini", family="SlowFast", parameters=1_948_878, gflops=0.57, dim=768),
    *published.ENTRIES,
    videomae.ENTRY,
]

CATALOGUE: Catalogue[VideoEncoder | FrameAverage] = Catalogue("video", ENTRIES)


def available() -> pd.DataFrame:
    """List the video encoders, and which weights are available now; no weights are read for it.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, gflops` (one clip as the frame contract has
        it; a multiply and an add count as two)`, dim, frames` (of a window)`, rate` (frames a
        second that the network was trained on or is made for; NA: none in particular)`, window_s`
        (seconds that they cover at that rate)`, size` (side of the square that the network sees, in
        pixels)`, shorter` (what happens to a clip of fewer frames)`, licence, pretrained_on,
        accuracy, accuracy_source, available` (comma-separated values for `load`'s `weights`).

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> video_encoders.available().loc["slowfast_r50", ["family", "frames", "dim"]].to_dict()
    {'family': 'SlowFast', 'frames': 32, 'dim': 2304}
    """
    return CATALOGUE.available()


def load(
    name: str = "lite0_correlation",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    frames: int | None = None,
    size: int | None = None,
    seed: int = 0,
    sha256: str | None = None,
    download: bool = False,
) -> VideoEncoder | FrameAverage:
    """Load a video encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`. `"frame_average"`: ImageNet features of each frame, averaged; blind
        to their order. `"efficientnet_lite0_3d"`: the same network inflated at the centre tap;
        equal to the average until it is trained. `"lite0_correlation"`: correlation of neighbouring
        frames' features. `"lite0_appearance_motion"`: that next to the average of frames, so it
        tells what a clip shows and how it moves. `"..._mini"`: this course's own, trained on
        rendered clips. All others were trained on films of people.
    weights : {"packaged", "published", "random"} or path
        `"packaged"`: came with an installed package, or with this course. `"published"`: the
        authors' checkpoint, the hash checked. `"random"`: untrained, from `seed`; call
        `.calibrate(clips)` before encoding where there is batch
        normalisation. A path: a checkpoint with the published keys, for VideoMAE a folder as in
        the hub.
    device : torch.device or str, optional
        Default: `settings.device()`.
    frames, size : int, optional
        Other than the catalogue's: frames per clip, and pixels of the square. VideoMAE's weights
        fit one choice only.
    seed : int
        Seed of random weights.
    sha256 : str, optional
        Hash that the file must have (or its first 8 digits), instead of the one on record.
        pytorchvideo states none: without this, the hash of the first download is kept and compared
        from then on.
    download : bool
        Whether published weights may be fetched from the network when they are not available.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it has no weights of this kind, or
        takes no such frames or size.
    WeightsNotAvailable
        If no package carries the weights, or they are not on this machine; names the remedy.
    WeightsError
        If the file is damaged, of another model, or holds more than tensors.

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> video_encoders.load("slowfast_mini").frame_contract.frames
    16
    """
    return CATALOGUE.load(
        LoadRequest(
            name,
            weights,
            device,
            seed=seed,
            download=download,
            sha256=sha256,
            frames=frames,
            size=size,
        )
    )
