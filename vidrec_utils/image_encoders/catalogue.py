"""The image encoders that there are, and how each is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.encoders import Catalogue, Entry, LoadRequest, PackagedFile
from vidrec_utils.encoders.efficientnet_lite0 import IMAGENET, lite0_network
from vidrec_utils.image_encoders import clip, convolutional, vision_transformers
from vidrec_utils.image_encoders.encoder import ImageEncoder, PixelEncoder


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite0Entry(Entry[ImageEncoder]):
    """EfficientNet-Lite0, whose packaged weights are the published ones."""

    packaged: PackagedFile = IMAGENET

    def load(self, request: LoadRequest) -> ImageEncoder:
        """The encoder that is asked for; errors as in `load`."""
        net, info = lite0_network(request.weights, request.seed, self.packaged)
        return ImageEncoder(self.name, net, info, request.device, request.size or 224)


LITE0 = EfficientNetLite0Entry(
    name="efficientnet_lite0",
    about={
        "family": "EfficientNet",
        "year": 2020,
        "parameters": 4_652_008,
        "gflops": 0.81,
        "dim": 1280,
        "licence": IMAGENET.licence,
        "pretrained_on": "ImageNet-1k",
        "accuracy": 75.1,
        "accuracy_source": "top-1 %, README of tensorflow/tpu, models/official/efficientnet/lite",
    },
    smallest={"size": 32},
)
PIXELS = Entry(
    name="pixels",
    about={"family": "baseline", "parameters": 0, "gflops": 0.0, "dim": 768},
    loader=lambda request: PixelEncoder(),
)

CATALOGUE: Catalogue[ImageEncoder | PixelEncoder] = Catalogue(
    "image", [LITE0, vision_transformers.DINOV2, *convolutional.ENTRIES, clip.ENTRY, PIXELS]
)


def available() -> pd.DataFrame:
    """List the image encoders, and which weights are available now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters` (both halves of CLIP)`, gflops` (one image of
        the network's own size, 224 pixels and 299 for Inception; a multiply and an add count as
        two)`, dim, licence, pretrained_on, accuracy, accuracy_source, available` (comma-separated
        values for `load`'s `weights`).

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> image_encoders.available().loc["resnet50", ["family", "dim"]].to_dict()
    {'family': 'ResNet', 'dim': 2048}
    """
    return CATALOGUE.available()


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
        `"packaged"`: from an installed package, with its hash checked. `"published"`: the authors'
        checkpoint, with its hash checked. `"random"`: untrained, drawn with `seed`; call
        `.calibrate(images)` before encoding where there is batch normalisation. A path: a
        safetensors or PyTorch state dict with the published keys, for DINOv2 and CLIP a folder as
        in the hub. `pixels` has no weights.
    device : torch.device or str, optional
        Default: `settings.device()`.
    size : int, optional
        Side of the square that the network sees, in pixels; default: what it was trained for (224,
        and 299 for Inception). Time grows with its square: EfficientNet-Lite0 on one CPU core takes
        about 40 ms an image at 224, and 12 at 128. DINOv2 takes multiples of 14, CLIP only 224. For
        `pixels` it is always 16.
    seed : int
        Seed of random weights.
    download : bool
        Whether published weights may be fetched from the network when they are not available.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it has no weights of this kind, or
        takes no such size.
    WeightsNotAvailable
        If no package carries the weights, or they are not on this machine; names the remedy.
    WeightsError
        If the file is damaged, of another model, or holds more than tensors.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import image_encoders
    >>> black = np.zeros((20, 30, 3), np.uint8)
    >>> image_encoders.load("pixels").encode([black]).shape
    (1, 768)
    """
    return CATALOGUE.load(
        LoadRequest(name, weights, device, seed=seed, download=download, size=size)
    )
