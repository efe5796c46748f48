"""Torchvision's networks and weights by name: torchvision is imported when one is used, not before.

Importing torchvision loads the compiler of PyTorch, which takes longer than everything else that a
notebook imports. Most notebooks only read vectors that are there already, and never need it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

MODELS = "https://download.pytorch.org/models"
"""Where torchvision's files are published."""


@dataclass(frozen=True)
class TorchvisionWeights:
    """One entry of torchvision's weights.

    Attributes
    ----------
    name : str
        Torchvision's name, such as `"VGG16_Weights.IMAGENET1K_V1"`.
    url : str
        Where its file is published; the file name ends in digits of its hash.

    Examples
    --------
    >>> url = "https://download.pytorch.org/models/vgg16-397923af.pth"
    >>> weights = TorchvisionWeights("VGG16_Weights.IMAGENET1K_V1", url)
    >>> weights.entry().url == url
    True
    """

    name: str
    url: str

    def __str__(self) -> str:
        return self.name

    def entry(self) -> WeightsEnum:
        """Torchvision's own entry: preprocessing, labels, measured accuracy."""
        from torchvision.models import get_weight

        return get_weight(self.name)


def builder(name: str, **options: object) -> Callable[..., nn.Module]:
    """Give a function that builds one of torchvision's networks untrained.

    Parameters
    ----------
    name : str
        Torchvision's name, such as `"vgg16"`.
    **options : object
        Passed on to torchvision's own function, as are the arguments of the one that is returned.
    """

    def build(**more: object) -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, **({"weights": None} | options | more))

    return build
