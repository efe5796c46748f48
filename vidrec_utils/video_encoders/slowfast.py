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

from vidrec_utils.video_encoders.encoder import ClipNetwork

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


class SlowFast(ClipNetwork):
    """Two pathways in pytorchvideo's layout, as `SlowFastR50` and `mini.SlowFastMini` build them.

    The blocks of `net` are the stem, four stages, a pooling and the head. After the stem and the
    first three stages, a lateral connection hands the fast pathway's features to the slow one.
    """

    alpha = 4
    """The paper's alpha: how many times as many frames the fast pathway sees as the slow one."""

    net: nn.Module

    def pathways(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Inputs of the slow and the fast pathway for a clip `(batch, 3, frames, height, width)`.

        Every `alpha`-th frame, `(batch, 3, frames / alpha, height, width)`, and all frames.
        """
        return [x[:, :, :: self.alpha].contiguous(), x]

    def stages(self, x: torch.Tensor, upto: int = 5) -> list[torch.Tensor]:
        """Both pathways of a clip `(batch, 3, frames, height, width)` after some of the stages.

        Parameters
        ----------
        x : tensor, shape (batch, 3, frames, height, width)
            The clip.
        upto : int
            How many stages it runs through: 1 is the stem alone, 5 are the stem and all stages.

        Returns
        -------
        list of two tensors
            Slow and fast. The slow one's channels include what the last lateral connection added.
        """
        # `pathways` returns a new list, for the stages overwrite it
        return nn.Sequential(*self.net.blocks[:upto])(self.pathways(x))

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Both pathways pooled over time and concatenated, `(batch, dim, 1, h, w)`."""
        return self.net.blocks[5](self.stages(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.blocks[6](self.maps(x)).flatten(1)


class SlowFastR50(SlowFast):
    """SlowFast R50 8x8 in pytorchvideo's layout, whose published checkpoint loads into `.net`.

    Parameters
    ----------
    classes : int
        400 for Kinetics.
    """

    layers = (*STAGES, "penultimate", "logits")

    def __init__(self, classes: int = 400) -> None:
        super().__init__()
        self.net = pytorchvideo("slowfast").create_slowfast(
            model_depth=50,
            slowfast_fusion_conv_kernel_size=(7, 1, 1),
            model_num_class=classes,
        )
        fit_pools(self.net.blocks[5])
        self.channels = self.dim = 2304

    def stage(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Both pathways after a stage, the fast one averaged to the slow one's frames."""
        slow, fast = self.stages(x, upto=2 + STAGES.index(layer))
        return torch.cat([slow, functional.adaptive_avg_pool3d(fast, slow.shape[2:])], dim=1)


class ZooNet(ClipNetwork):
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
        return nn.Sequential(*self.net.blocks[:-1])(x)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the classifier, averaged over positions, `(batch, dim)`."""
        return self.net.blocks[-1].pool(self.maps(x)).mean(dim=(2, 3, 4))

    def stage(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of the four stages."""
        return nn.Sequential(*self.net.blocks[: self.stages[STAGES.index(layer)] + 1])(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of the averaged positions."""
        head = self.net.blocks[-1]
        return head.proj(head.dropout(self.vector(x)))


def i3d_r50(classes: int = 400) -> ZooNet:
    """I3D R50 8x8: a ResNet-50 with filters over three frames in every other block."""
    net = pytorchvideo("resnet").create_resnet(
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
    net = pytorchvideo("x3d").create_x3d(
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


def pytorchvideo(name: str) -> ModuleType:
    """Import a module of `pytorchvideo.models`."""
    with warnings.catch_warnings():  # its torch.jit.script at import, none of ours
        warnings.simplefilter("ignore", FutureWarning)
        return importlib.import_module(f"pytorchvideo.models.{name}")
