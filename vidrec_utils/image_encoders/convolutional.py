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
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from vidrec_utils.encoders import Entry, LoadRequest, PublishedFile
from vidrec_utils.encoders.network import with_weights
from vidrec_utils.encoders.torchvision_models import MODELS, TorchvisionWeights, builder
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Recipe

if TYPE_CHECKING:
    from torchvision.transforms._presets import ImageClassification

MIN_SIZE = 32


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
        self.net = net
        self.taps = dict(taps)
        self.dim = dim
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
        """Output of one of `layers`: maps, or `(n, channels)` without spatial dimensions."""
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


@dataclass(frozen=True, kw_only=True)
class TorchvisionCnn(Entry[ImageEncoder]):
    """A convolutional network of torchvision.

    Attributes
    ----------
    build : callable
        Builds it untrained, in the form that the published checkpoint has.
    torchvision : TorchvisionWeights
        Torchvision's entry: address, hash, preprocessing, measured accuracy.
    taps : mapping of str to str
        Which module's output is which layer.
    """

    published: PublishedFile
    build: Callable[..., nn.Module]
    torchvision: TorchvisionWeights
    taps: Mapping[str, str]

    def recipe(self) -> Recipe:
        """The preprocessing that torchvision publishes with the weights."""
        preset = cast("ImageClassification", self.torchvision.entry().transforms())
        return Recipe(
            preset.crop_size[0],
            preset.resize_size[0],
            preset.interpolation.value,
            tuple(preset.mean),
            tuple(preset.std),
        )

    def load(self, request: LoadRequest) -> ImageEncoder:
        """The encoder that is asked for; errors as in `image_encoders.load`."""
        size, least = request.size, self.smallest["size"]
        if size is not None and size < least:
            raise ValueError(f"size is {size}; {self.name} needs at least {least} pixels.")
        recipe = self.recipe().at(size) if size else self.recipe()
        net, info = with_weights(self.build, request, self.published)
        opened = Opened(net, self.taps, int(str(self.about["dim"])))
        return ImageEncoder(self.name, opened, info, request.device, recipe=recipe)


def _entry(
    name: str,
    build: Callable[..., nn.Module],
    weights: TorchvisionWeights,
    taps: Mapping[str, str],
    least: int = MIN_SIZE,
    **about: object,
) -> TorchvisionCnn:
    published = PublishedFile.of_torchvision(weights)
    return TorchvisionCnn(
        name=name,
        about=about
        | {
            "licence": published.licence,
            "pretrained_on": "ImageNet-1k",
            "accuracy_source": f"top-1 %, torchvision {weights}",
        },
        published=published,
        smallest={"size": least},
        build=build,
        torchvision=weights,
        taps=taps,
    )


ENTRIES = [
    _entry(
        "vgg16",
        builder("vgg16"),
        TorchvisionWeights("VGG16_Weights.IMAGENET1K_V1", f"{MODELS}/vgg16-397923af.pth"),
        {f"stage{n}": f"features.{k}" for n, k in enumerate((4, 9, 16, 23, 30), 1)}
        | {"penultimate": "classifier.5"},
        family="VGG",
        year=2014,
        parameters=138_357_544,
        gflops=30.94,
        dim=4096,
        accuracy=71.592,
    ),
    _entry(
        "resnet50",
        builder("resnet50"),
        TorchvisionWeights("ResNet50_Weights.IMAGENET1K_V2", f"{MODELS}/resnet50-11ad3fa6.pth"),
        {f"stage{n}": f"layer{n}" for n in range(1, 5)} | {"penultimate": "avgpool"},
        family="ResNet",
        year=2015,
        parameters=25_557_032,
        gflops=8.18,
        dim=2048,
        accuracy=80.858,
    ),
    _entry(
        "inception_v3",
        # The checkpoint is Google's, converted: it wants inputs in [-1, 1] and has a second head.
        # Its own initialisation takes half a minute; batch normalisation makes up for it.
        builder("inception_v3", transform_input=True, aux_logits=True, init_weights=False),
        TorchvisionWeights(
            "Inception_V3_Weights.IMAGENET1K_V1", f"{MODELS}/inception_v3_google-0cc3c7bd.pth"
        ),
        {
            "stage1": "maxpool1",
            "stage2": "maxpool2",
            "stage3": "Mixed_5d",
            "stage4": "Mixed_6e",
            "stage5": "Mixed_7c",
            "penultimate": "avgpool",
        },
        least=75,
        family="Inception",
        year=2015,
        parameters=27_161_264,
        gflops=11.43,
        dim=2048,
        accuracy=77.294,
    ),
]
