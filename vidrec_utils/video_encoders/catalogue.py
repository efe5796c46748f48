"""The video encoders that there are, and how each is loaded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vidrec_utils import settings
from vidrec_utils.embeddings import weights as weights_io
from vidrec_utils.embeddings.weights import (
    FrameContract,
    WeightsError,
    WeightsInfo,
    WeightsNotAtHand,
)
from vidrec_utils.image_encoders import catalogue as images
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.video_encoders.correlation import CorrelationLite0
from vidrec_utils.video_encoders.encoder import FrameAverage, VideoEncoder
from vidrec_utils.video_encoders.inflation import InflatedLite0

SLOWFAST_FILE = "SLOWFAST_8x8_R50.pyth"
SLOWFAST_URL = (
    "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth"
)

_LITE0 = {
    "family": "EfficientNet",
    "year": 2020,
    "licence": "Apache-2.0",
    "pretrained_on": "ImageNet-1k (pictures)",
    "accuracy": None,
    "accuracy_source": None,
}
CATALOGUE = {
    "frame_average": {**_LITE0, "parameters": 4_652_008, "dim": 1280, "frames": 8, "size": 96},
    "efficientnet_lite0_3d": {
        **_LITE0,
        "family": "EfficientNet, inflated",
        "parameters": 5_016_040,
        "dim": 1280,
        "frames": 8,
        "size": 96,
    },
    "lite0_correlation": {
        **_LITE0,
        "family": "EfficientNet, correlation",
        "parameters": 55_504,
        "dim": 800,
        "frames": 16,
        "size": 64,
    },
    "slowfast_r50": {
        "family": "SlowFast",
        "year": 2019,
        "licence": "Apache-2.0",
        "pretrained_on": "Kinetics-400",
        "accuracy": 76.94,
        "accuracy_source": "top-1 %, 8x8, pytorchvideo model zoo",
        "parameters": 34_566_488,
        "dim": 2304,
        "frames": 32,
        "size": 224,
    },
}


def available() -> pd.DataFrame:
    """The catalogue of video encoders, one row each, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, dim, frames, size` (what the network is
        given)`, licence, pretrained_on, accuracy, accuracy_source, at_hand` (comma-separated values
        for `load`'s `weights`).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index").rename_axis("name")
    lite0 = weights_io.find_packaged(images.LITE0_PACKAGE, images.LITE0_FILE)
    packaged = "packaged, random" if lite0 else "random"
    slowfast = "published, random" if slowfast_file().is_file() else "random"
    frame["at_hand"] = [slowfast if n == "slowfast_r50" else packaged for n in frame.index]
    return frame.astype({"year": "Int64", "accuracy": "Float64"})


def load(
    name: str = "lite0_correlation",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    frames: int | None = None,
    size: int | None = None,
    seed: int = 0,
    sha256: str | None = None,
) -> VideoEncoder | FrameAverage:
    """Load a video encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        `"frame_average"`: ImageNet features of each frame, averaged; knows no order.
        `"efficientnet_lite0_3d"`: the same network inflated at the centre tap; equal to the average
        until it is trained. `"lite0_correlation"`: correlation of neighbouring frames' features.
        `"slowfast_r50"`: pytorchvideo's.
    weights : {"packaged", "published", "random"} or path
        No package carries weights trained on video, so `"packaged"` means ImageNet weights, for all
        but SlowFast. `"published"` (SlowFast) reads the authors' file from the cache folder.
        `"random"`: call `.calibrate(clips)` before encoding.
    device : torch.device or str, optional
        Default: `settings.device()`.
    frames, size : int, optional
        Other than the catalogue's: frames per clip, and pixels of the square.
    seed : int
        For random weights.
    sha256 : str, optional
        Needed for `"published"`: the hash that the file must have.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it knows no such weights.
    WeightsNotAtHand
        If the weights are not on this machine; names the remedy.
    WeightsError
        If the file is damaged, of another model, or holds more than tensors.
    """
    if name not in CATALOGUE:
        raise ValueError(f"There is no video encoder {name!r}; choose from {', '.join(CATALOGUE)}.")
    frames = frames or CATALOGUE[name]["frames"]
    size = size or CATALOGUE[name]["size"]
    contract = FrameContract(frames, size, max(128, size))
    if name == "slowfast_r50":
        net, info = _slowfast(weights, seed, sha256)
        return VideoEncoder(name, net, info, contract, device, 0.45 * 255, 0.225 * 255)
    net, info = images.lite0_network(weights, seed)
    if name == "frame_average":
        return FrameAverage(ImageEncoder("efficientnet_lite0", net, info, device, size), frames)
    if name == "lite0_correlation":
        return VideoEncoder(name, CorrelationLite0(net), info, contract, device)
    return VideoEncoder(name, InflatedLite0(net), info, contract, device)


def slowfast_file() -> Path:
    """Where the published SlowFast checkpoint is looked for."""
    return settings.cache_dir() / "weights" / SLOWFAST_FILE


def _slowfast(
    weights: str | Path, seed: int, sha256: str | None
) -> tuple[torch.nn.Module, WeightsInfo]:
    from vidrec_utils.video_encoders.slowfast import SlowFastR50

    if weights == "packaged":
        raise WeightsNotAtHand(
            "No package carries weights of slowfast_r50. Use weights='published' after laying the "
            "authors' file in the cache, or 'lite0_correlation', whose weights are packaged."
        )
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SlowFastR50(), WeightsInfo("random")
    published = weights == "published"
    path = slowfast_file() if published else Path(weights)
    if not path.is_file():
        raise WeightsNotAtHand(
            f"The weights of slowfast_r50 are not at hand. Download {SLOWFAST_URL} and lay it at "
            f"{path}, then pass its sha256."
        )
    if published and sha256 is None:
        raise WeightsError(
            f"{path.name} has no hash on record. Pass sha256=..., from a source that you trust."
        )
    digest = weights_io.verify(path, sha256) if sha256 else weights_io.sha256(path)
    net = SlowFastR50()
    weights_io.load_strictly(net.net, weights_io.read_checkpoint(path), path.name)
    return net, WeightsInfo("published" if published else "file", path.name, digest, "Apache-2.0")
