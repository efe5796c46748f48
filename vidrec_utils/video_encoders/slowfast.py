"""SlowFast, I3D and X3D, built by pytorchvideo in the layout of its published checkpoints.

SlowFast has a slow path for what is seen and a fast one for how it moves. I3D inflates an image
network. X3D grows a tiny network in one dimension at a time, and stays cheap.

References
----------
Feichtenhofer, Fan, Malik, He: SlowFast Networks for Video Recognition. ICCV 2019
(arXiv:1812.03982).
Carreira, Zisserman: Quo Vadis, Action Recognition? CVPR 2017 (arXiv:1705.07750).
Feichtenhofer: X3D. CVPR 2020 (arXiv:2004.04730).
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional

STAGES = ("stage1", "stage2", "stage3", "stage4")


class FittedPool(nn.AvgPool3d):
    """Average pooling whose window is no larger than its input.

    The heads of pytorchvideo pool over a window of the size of training; fewer frames or smaller
    ones would be an error. It has no weights, so the published layout stays as it is.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, time, height, width)`."""
        sizes = (self.kernel_size,) * 3 if isinstance(self.kernel_size, int) else self.kernel_size
        window = [min(k, n) for k, n in zip(sizes, x.shape[2:], strict=True)]
        return functional.avg_pool3d(x, window, self.stride)


class SlowFastR50(nn.Module):
    """SlowFast R50 8x8 in pytorchvideo's layout, whose published checkpoint loads into `.net`.

    Parameters
    ----------
    classes : int
        400 for Kinetics.
    """

    alpha = 4  # the slow path sees every fourth frame
    layers = (*STAGES, "penultimate", "logits")

    def __init__(self, classes: int = 400):
        super().__init__()
        self.net = _pytorchvideo("slowfast").create_slowfast(
            model_depth=50,
            slowfast_fusion_conv_kernel_size=(7, 1, 1),
            model_num_class=classes,
        )
        fit_pools(self.net.blocks[-2])
        self.channels = self.dim = 2304

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The layer before the classifier, `(batch, 2304)`, of `(batch, 3, 32, height, width)`."""
        return self.maps(x).mean(dim=(2, 3, 4))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, 2304, 1)`: both paths are pooled over time."""
        return self.vector(x)[:, :, None]

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Both paths pooled and joined, `(batch, 2304, 1, height / 32 - 6, width / 32 - 6)`."""
        return self.net.blocks[-2](self._paths(x, len(self.net.blocks) - 2))

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`; of a stage both paths, the fast one at the slow one's pace."""
        if layer == "penultimate":
            return self.vector(x)
        if layer == "logits":
            return self(x)
        slow, fast = self._paths(x, 2 + STAGES.index(layer))
        return torch.cat([slow, functional.adaptive_avg_pool3d(fast, slow.shape[2:])], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.blocks[-1](self.maps(x)).flatten(1)

    def _paths(self, x: torch.Tensor, blocks: int) -> list[torch.Tensor]:
        """The slow and the fast path after the first blocks; a new list, for they overwrite it."""
        paths = [x[:, :, :: self.alpha].contiguous(), x]
        for block in self.net.blocks[:blocks]:
            paths = block(paths)
        return paths


class ZooNet(nn.Module):
    """A network of one path in pytorchvideo's layout: blocks in a row, a head at their end.

    Parameters
    ----------
    net : nn.Module
        With `blocks`; the published checkpoint loads into it.
    stages : tuple of int
        Which block ends each of four stages.
    dim : int
        Length of the vector before the classifier.
    """

    layers = (*STAGES, "penultimate", "logits")

    def __init__(self, net: nn.Module, stages: tuple[int, ...], dim: int):
        super().__init__()
        self.net, self.stages, self.dim = net, stages, dim
        fit_pools(net.blocks[-1])

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the head, `(batch, channels, time, height / 32, width / 32)`."""
        for block in self.net.blocks[:-1]:
            x = block(x)
        return x

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the frame, `(batch, channels, time)`."""
        return self.maps(x).mean(dim=(3, 4))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the classifier, averaged over positions, `(batch, dim)`."""
        return self.net.blocks[-1].pool(self.maps(x)).mean(dim=(2, 3, 4))

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`."""
        if layer == "penultimate":
            return self.vector(x)
        if layer == "logits":
            return self(x)
        for block in self.net.blocks[: self.stages[STAGES.index(layer)] + 1]:
            x = block(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of the averaged positions."""
        head = self.net.blocks[-1]
        return head.proj(head.dropout(self.vector(x)))


def i3d_r50(classes: int = 400) -> ZooNet:
    """I3D R50 8x8: a ResNet-50 with filters over three frames in every other block."""
    net = _pytorchvideo("resnet").create_resnet(
        model_num_class=classes,
        stem_conv_kernel_size=(5, 7, 7),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=(
            (3, 1, 1),
            [(3, 1, 1), (1, 1, 1)],
            [(3, 1, 1), (1, 1, 1)],
            [(1, 1, 1), (3, 1, 1)],
        ),
    )
    return ZooNet(net, (1, 3, 4, 5), 2048)  # block 2 only pools over time


def x3d_s(classes: int = 400) -> ZooNet:
    """X3D-S: depthwise filters over space and time, 3.8 million parameters in all."""
    net = _pytorchvideo("x3d").create_x3d(
        model_num_class=classes, input_clip_length=13, input_crop_size=160
    )
    return ZooNet(net, (1, 2, 3, 4), 2048)


def fit_pools(module: nn.Module) -> None:
    """Replace, in place, every average pooling below a module by `FittedPool`."""
    for name, child in module.named_children():
        if type(child) is nn.AvgPool3d:
            setattr(module, name, FittedPool(child.kernel_size, child.stride))
        else:
            fit_pools(child)


def _pytorchvideo(name: str) -> ModuleType:
    with warnings.catch_warnings():  # its torch.jit.script at import, none of ours
        warnings.simplefilter("ignore", FutureWarning)
        return importlib.import_module(f"pytorchvideo.models.{name}")
