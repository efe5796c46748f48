"""VGG, ResNet and Inception: torchvision's networks, opened at their stages.

VGG-16 stacks small filters, three by three, instead of few large ones. ResNet-50 adds each block's
input to its output, so that a hundred layers can still be trained. Inception-v3 lets branches of
several filter sizes look at the same input side by side.

References
----------
Simonyan, Zisserman: Very Deep Convolutional Networks. ICLR 2015 (arXiv:1409.1556).
He, Zhang, Ren, Sun: Deep Residual Learning. CVPR 2016 (arXiv:1512.03385).
Szegedy and others: Rethinking the Inception Architecture. CVPR 2016 (arXiv:1512.00567).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.transforms._presets import ImageClassification

from vidrec_utils.encoders import download as downloads
from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.image_encoders.preparing import Recipe

LICENCE = "BSD-3-Clause"


@dataclass(frozen=True)
class Architecture:
    """How one of torchvision's networks is built, fetched and opened.

    Attributes
    ----------
    build : callable
        Builds it untrained, in the form that the published checkpoint has.
    published : WeightsEnum
        Torchvision's entry: address, hash, preprocessing, measured accuracy.
    taps : mapping of str to str
        Which module's output is which layer.
    dim : int
        Length of the penultimate vector.
    minimum : int
        Pixels below which it cannot look.
    """

    build: Callable[..., nn.Module]
    published: WeightsEnum
    taps: Mapping[str, str]
    dim: int
    minimum: int


def _inception(weights: None = None) -> nn.Module:
    # The checkpoint is Google's, converted: it wants inputs in [-1, 1] and has a second head.
    # Its own initialisation takes half a minute; batch normalisation makes up for the difference.
    return models.inception_v3(
        weights=weights, transform_input=True, aux_logits=True, init_weights=False
    )


ARCHITECTURES = {
    "vgg16": Architecture(
        models.vgg16,
        models.VGG16_Weights.IMAGENET1K_V1,
        {f"stage{n}": f"features.{k}" for n, k in enumerate((4, 9, 16, 23, 30), 1)}
        | {"penultimate": "classifier.5"},
        4096,
        32,
    ),
    "resnet50": Architecture(
        models.resnet50,
        models.ResNet50_Weights.IMAGENET1K_V2,
        {f"stage{n}": f"layer{n}" for n in range(1, 5)} | {"penultimate": "avgpool"},
        2048,
        32,
    ),
    "inception_v3": Architecture(
        _inception,
        models.Inception_V3_Weights.IMAGENET1K_V1,
        {
            "stage1": "maxpool1",
            "stage2": "maxpool2",
            "stage3": "Mixed_5d",
            "stage4": "Mixed_6e",
            "stage5": "Mixed_7c",
            "penultimate": "avgpool",
        },
        2048,
        75,
    ),
}


class Opened(nn.Module):
    """A classifier whose inner layers can be read.

    Parameters
    ----------
    net : nn.Module
        Maps `(n, 3, height, width)` to logits.
    taps : mapping of str to str
        Names of layers, and the modules whose output they are; must hold `penultimate`.
    dim : int
        Length of the penultimate vector.
    """

    def __init__(self, net: nn.Module, taps: Mapping[str, str], dim: int):
        super().__init__()
        self.net, self.taps, self.dim = net, dict(taps), dim
        self.layers = (*taps, "logits")
        last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        self.classes = last.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(n, classes)`."""
        return self.net(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer sees, `(n, dim)`."""
        return self.activations(x, "penultimate")

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`: maps, or `(n, channels)` where nothing is left of place."""
        if layer == "logits":
            return self(x)
        caught: list[torch.Tensor] = []
        module = self.net.get_submodule(self.taps[layer])
        hook = module.register_forward_hook(lambda _module, _inputs, out: caught.append(out))
        try:
            self.net(x)
        finally:
            hook.remove()
        return caught[0].flatten(1) if layer == "penultimate" else caught[0]


def recipe(name: str) -> Recipe:
    """The preprocessing that torchvision publishes with a network's weights."""
    preset = ARCHITECTURES[name].published.transforms()
    assert isinstance(preset, ImageClassification)
    return Recipe(
        preset.crop_size[0],
        preset.resize_size[0],
        preset.interpolation.value,
        tuple(preset.mean),
        tuple(preset.std),
    )


def network(
    name: str, weights: str | Path, seed: int = 0, download: bool = False
) -> tuple[Opened, WeightsInfo]:
    """One of `ARCHITECTURES` with the chosen weights; errors as in `image_encoders.load`."""
    made = ARCHITECTURES[name]
    net, info = with_weights(made.build, made.published, weights, seed, download)
    return Opened(net, made.taps, made.dim), info


def with_weights(
    build: Callable[..., nn.Module],
    published: WeightsEnum,
    weights: str | Path,
    seed: int,
    download: bool,
) -> tuple[nn.Module, WeightsInfo]:
    """Build one of torchvision's networks, and load `"published"`, `"random"` or a file's weights.

    Raises
    ------
    WeightsNotAvailable, WeightsError
        See `encoders.download.fetch` and `encoders.weights`.
    """
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(weights=None).eval(), WeightsInfo("random")
    if weights == "published":
        path = downloads.fetch(published.url, sha256=hash_prefix(published), download=download)
        info = WeightsInfo("published", path.name, weights_io.sha256(path), LICENCE)
    else:
        path = Path(weights)
        info = WeightsInfo("file", path.name, weights_io.sha256(path) if path.is_file() else None)
    state = weights_io.read_checkpoint(path)
    with torch.random.fork_rng(devices=[]):
        net = build(weights=None).eval()
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):  # files from before 2018 do not count batches
            state.setdefault(key, torch.zeros_like(value))
    weights_io.load_strictly(net, state, path.name)
    return net, info


def hash_prefix(published: WeightsEnum) -> str:
    """First digits of the SHA-256, as torchvision writes them at the end of a file name."""
    return Path(published.url).stem.rpartition("-")[2]


def at_hand(published: WeightsEnum) -> bool:
    """Tell whether published weights lie where `fetch` keeps them."""
    return downloads.at_hand(published.url) is not None
