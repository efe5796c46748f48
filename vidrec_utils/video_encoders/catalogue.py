"""The video encoders that there are, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.protocol import FrameContract
from vidrec_utils.image_encoders import catalogue as images
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.video_encoders import mini, published, videomae
from vidrec_utils.video_encoders.correlation import CorrelationLite0
from vidrec_utils.video_encoders.encoder import FrameAverage, VideoEncoder
from vidrec_utils.video_encoders.inflation import InflatedLite0
from vidrec_utils.video_encoders.published import Published, Wanted


@dataclass(frozen=True)
class Entry:
    """One encoder of the catalogue.

    Attributes
    ----------
    about : dict
        `family, year, parameters, gflops, dim, licence, pretrained_on, accuracy, accuracy_source`.
    contract : FrameContract
        What the network is given, where the caller does not want it otherwise.
    load : callable
        Of a `Wanted`, the encoder.
    at_hand : callable
        The values for `load`'s `weights` that need no network now.
    """

    about: dict[str, Any]
    contract: FrameContract
    load: Callable[[Wanted], VideoEncoder | FrameAverage]
    at_hand: Callable[[], list[str]]


def _lite0(contract: FrameContract, wanted: Wanted) -> VideoEncoder | FrameAverage:
    """The encoders that are made of EfficientNet-Lite0, which saw pictures only."""
    frames, size = wanted.frames or contract.frames, wanted.size or contract.size
    contract = FrameContract(frames, size, max(128, size))
    net, info = images.lite0_network(wanted.weights, wanted.seed)
    if wanted.name == "frame_average":
        return FrameAverage(
            ImageEncoder("efficientnet_lite0", net, info, wanted.device, size), frames
        )
    body = (CorrelationLite0 if wanted.name == "lite0_correlation" else InflatedLite0)(net)
    return VideoEncoder(wanted.name, body, info, contract, wanted.device)


def _lite0_at_hand() -> list[str]:
    found = weights_io.find_packaged(images.LITE0_PACKAGE, images.LITE0_FILE)
    return ["packaged", "random"] if found else ["random"]


_PICTURES = {
    "year": 2020,
    "licence": "Apache-2.0",
    "pretrained_on": "ImageNet-1k (pictures)",
    "accuracy": None,
    "accuracy_source": None,
}
_KINETICS = {"pretrained_on": "Kinetics-400"}
_ZOO_SOURCE = "top-1 %, {}, pytorchvideo model zoo (10 x 3 views)"


def _of_pictures(contract: FrameContract, **about: Any) -> Entry:
    return Entry(_PICTURES | about, contract, partial(_lite0, contract), _lite0_at_hand)


def _of_videos(network: Published, **about: Any) -> Entry:
    told = _KINETICS | {"licence": network.licence} | about
    return Entry(told, network.contract, network.load, network.at_hand)


def _mini(wanted: Wanted) -> VideoEncoder:
    return mini.load(
        wanted.name,
        wanted.weights,
        wanted.device,
        frames=wanted.frames,
        size=wanted.size,
        seed=wanted.seed,
        sha256=wanted.sha256,
    )


def _of_ours(frames: int, **about: Any) -> Entry:
    told = {
        "year": 2026,
        "licence": "MIT",
        "pretrained_on": "6,600 rendered clips (this course)",
        "accuracy": None,
        "accuracy_source": None,
    }
    return Entry(
        told | about, FrameContract(frames, 64, 128), _mini, lambda: ["packaged", "random"]
    )


def _entries() -> dict[str, Entry]:
    nets = published.networks()
    return {
        "frame_average": _of_pictures(
            FrameContract(8, 96, 128),
            family="EfficientNet",
            parameters=4_652_008,
            gflops=1.13,
            dim=1280,
        ),
        "efficientnet_lite0_3d": _of_pictures(
            FrameContract(8, 96, 128),
            family="EfficientNet, inflated",
            parameters=5_016_040,
            gflops=1.33,
            dim=1280,
        ),
        "lite0_correlation": _of_pictures(
            FrameContract(16, 64, 128),
            family="EfficientNet, correlation",
            parameters=55_504,
            gflops=0.30,
            dim=800,
        ),
        "two_stream_mini": _of_ours(
            16, family="Two-Stream", parameters=1_414_262, gflops=0.14, dim=336
        ),
        "i3d_mini": _of_ours(16, family="I3D", parameters=837_718, gflops=0.53, dim=224),
        "slowfast_mini": _of_ours(
            16, family="SlowFast", parameters=1_948_878, gflops=0.57, dim=768
        ),
        "i3d_r50": _of_videos(
            nets["i3d_r50"],
            family="I3D",
            year=2017,
            parameters=28_043_472,
            gflops=74.21,
            dim=2048,
            accuracy=73.27,
            accuracy_source=_ZOO_SOURCE.format("8x8"),
        ),
        "r2plus1d_18": _of_videos(
            nets["r2plus1d_18"],
            family="R(2+1)D",
            year=2018,
            parameters=31_505_325,
            gflops=81.04,
            dim=512,
            accuracy=67.463,
            accuracy_source="top-1 %, torchvision R2Plus1D_18_Weights.KINETICS400_V1",
        ),
        "slowfast_r50": _of_videos(
            nets["slowfast_r50"],
            family="SlowFast",
            year=2019,
            parameters=34_566_488,
            gflops=100.62,
            dim=2304,
            accuracy=76.94,
            accuracy_source=_ZOO_SOURCE.format("8x8"),
        ),
        "x3d_s": _of_videos(
            nets["x3d_s"],
            family="X3D",
            year=2020,
            parameters=3_794_274,
            gflops=5.45,
            dim=2048,
            accuracy=73.33,
            accuracy_source=_ZOO_SOURCE.format("13x6"),
        ),
        "mvit_v2_s": _of_videos(
            nets["mvit_v2_s"],
            family="MViTv2",
            year=2021,
            parameters=34_537_744,
            gflops=128.45,
            dim=768,
            accuracy=80.757,
            accuracy_source="top-1 %, torchvision MViT_V2_S_Weights.KINETICS400_V1",
        ),
        "videomae_small": Entry(
            _KINETICS
            | {
                "family": "VideoMAE",
                "year": 2022,
                "licence": "CC-BY-NC-4.0",
                "parameters": 22_033_936,
                "gflops": 113.76,
                "dim": 384,
                "accuracy": 79.0,
                "accuracy_source": "top-1 %, 16x4, 5 x 3 views, MODEL_ZOO of MCG-NJU/VideoMAE",
            },
            videomae.CONTRACT,
            partial(videomae.load, videomae.CONTRACT),
            videomae.at_hand,
        ),
    }


CATALOGUE = _entries()


def available() -> pd.DataFrame:
    """The catalogue of video encoders, one row each, and which weights are at hand now.

    No weights are read for it.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, gflops` (one clip as the frame contract has
        it; a multiply and an add count as two)`, dim, frames` (of a clip)`, rate` (frames a second
        that the network was trained on; NA: none in particular)`, window_s` (seconds that they
        cover at that rate)`, size` (pixels of the square that the network sees)`, shorter` (what
        happens to a clip of fewer frames)`, licence, pretrained_on, accuracy, accuracy_source,
        at_hand` (comma-separated values for `load`'s `weights`).
    """
    frame = pd.DataFrame.from_dict(
        {name: _row(entry) for name, entry in CATALOGUE.items()}, orient="index"
    )
    numbers = {"year": "Int64", "accuracy": "Float64", "rate": "Float64", "window_s": "Float64"}
    return frame.rename_axis("name").astype(numbers)


def _row(entry: Entry) -> dict[str, Any]:
    about, contract = dict(entry.about), entry.contract
    first = ("family", "year", "parameters", "gflops", "dim")
    window = getattr(contract, "window_s", None)
    return {
        **{key: about.pop(key) for key in first},
        "frames": contract.frames,
        "rate": getattr(contract, "fps", None),
        "window_s": window and round(window, 2),
        "size": contract.size,
        "shorter": "frames repeat",
        **about,
        "at_hand": ", ".join(entry.at_hand()),
    }


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
        A name of `available()`. `"frame_average"`: ImageNet features of each frame, averaged; knows
        no order. `"efficientnet_lite0_3d"`: the same network inflated at the centre tap; equal to
        the average until it is trained. `"lite0_correlation"`: correlation of neighbouring frames'
        features. `"..._mini"`: this course's own, trained on
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
        For random weights.
    sha256 : str, optional
        Hash that the file must have (or its first 8 digits), instead of the one on record.
        pytorchvideo tells none: without this, the hash of the first download is kept and compared
        from then on.
    download : bool
        Whether published weights may be fetched from the network when they are not at hand.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it knows no such weights, frames or size.
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    WeightsError
        If the file is damaged, of another model, or holds more than tensors.
    """
    if name not in CATALOGUE:
        raise ValueError(f"There is no video encoder {name!r}; choose from {', '.join(CATALOGUE)}.")
    return CATALOGUE[name].load(Wanted(name, weights, device, frames, size, seed, sha256, download))
