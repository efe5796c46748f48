"""Making a network of pictures into one of clips: inflating its filters over time.

A 2D filter becomes 3D by giving it taps in time. With the weights at the **centre tap** and zeros
before and after, the 3D network computes on every frame what the 2D one does, and training can fill
the other taps. Spreading the weights evenly over the taps (I3D's way) blurs over time from the
start.

References
----------
Carreira, Zisserman: Quo Vadis, Action Recognition? CVPR 2017 (arXiv:1705.07750).
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0, SameConv2d


class SameConv3d(nn.Conv3d):
    """A 3D convolution whose frames are padded as TensorFlow's "SAME" does; time keeps its length.

    The stride is in space only.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, time, height, width)`."""
        taps, kernel, stride = self.kernel_size[0], self.kernel_size[1], self.stride[1]
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        x = functional.pad(x, pads)
        padding = (taps // 2, 0, 0)
        return functional.conv3d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)


def inflate(
    conv: SameConv2d, taps: int = 3, mode: Literal["centre", "average"] = "centre"
) -> SameConv3d:
    """A 3D convolution with the filters of a 2D one.

    Parameters
    ----------
    conv : SameConv2d
        Not changed.
    taps : int
        Filter length in time, odd.
    mode : {"centre", "average"}
        All weight at the middle tap, or the same `1 / taps` of it at each.

    Raises
    ------
    ValueError
        If `taps` is not a positive odd number, or the mode is unknown.
    """
    if taps < 1 or taps % 2 == 0:
        raise ValueError(f"taps is {taps}; it must be odd, so that there is a centre.")
    if mode not in ("centre", "average"):
        raise ValueError(f"mode is {mode!r}; choose 'centre' or 'average'.")
    bias = conv.bias is not None
    kernel, stride = (taps, *conv.kernel_size), (1, *conv.stride)
    deep = SameConv3d(
        conv.in_channels, conv.out_channels, kernel, stride, groups=conv.groups, bias=bias
    )
    with torch.no_grad():
        weight = torch.zeros_like(deep.weight)
        if mode == "centre":
            weight[:, :, taps // 2] = conv.weight
        else:
            weight += conv.weight[:, :, None] / taps
        deep.weight.copy_(weight)
        if bias:
            deep.bias.copy_(conv.bias)
    return deep


class InflatedLite0(nn.Module):
    """EfficientNet-Lite0 over clips: depthwise filters get taps in time, all others stay per frame.

    Parameters
    ----------
    net : EfficientNetLite0
        Its weights are copied.
    taps, mode
        See `inflate`.
    """

    def __init__(
        self, net: EfficientNetLite0, taps: int = 3, mode: Literal["centre", "average"] = "centre"
    ):
        super().__init__()
        self.net = copy.deepcopy(net)
        _inflate_children(self.net, taps, mode)
        self.channels = self.dim = net._fc.in_features

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, 3, time, height, width)` to `(batch, 1280, time, height / 32, width / 32)`."""
        return self.net.maps(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the picture, `(batch, 1280, time)`."""
        return self.maps(x).mean(dim=(3, 4))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Features averaged over time, `(batch, 1280)`."""
        return self.features(x).mean(dim=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the 2D network's classes, `(batch, classes)`."""
        return self.net._fc(self.net._dropout(self.vector(x)))


def _inflate_children(module: nn.Module, taps: int, mode: Literal["centre", "average"]) -> None:
    """Replace every 2D layer below a module by its 3D form."""
    for name, child in module.named_children():
        if isinstance(child, SameConv2d):
            depthwise = child.groups > 1
            setattr(module, name, inflate(child, taps if depthwise else 1, mode))
        elif isinstance(child, nn.BatchNorm2d):
            deep = nn.BatchNorm3d(child.num_features, child.eps, child.momentum)
            deep.load_state_dict(child.state_dict())
            setattr(module, name, deep.train(child.training))
        else:
            _inflate_children(child, taps, mode)
