"""From a network for images to one for clips: each 2D filter is inflated to several frames.

An inflated filter has *taps* in time: one 2D filter for each frame that it looks at. With the
weights at the **centre tap** and zeros before and after, the inflated network computes on every
frame what the 2D network does, and training can fill the other taps. I3D as it was published copies
the filter into **every tap** and divides by their number, so that a film in which nothing moves
gives the answer of its image; the average blurs over time whatever moves.

The frames of a clip stay folded into the batch: a tap is a 2D convolution of all frames, and the
results of the taps are shifted in time and added. This sum is a 3D convolution, and everything
between the convolutions (pooling, branches, residual connections) runs as the authors of the 2D
network wrote it. Where the filters are depthwise, as in EfficientNet-Lite0, PyTorch trains the
network on a CPU in about 0.6 of the time that 3D convolutions take. Without gradients it is the
other way round: 3D convolutions are a little faster, and on OpenVINO nearly twice as fast
(`benchmarks/README.md`). When it only infers, the inflated EfficientNet-Lite0 therefore gives whole
clips to the same filters.

References
----------
Carreira, Zisserman: Quo Vadis, Action Recognition? CVPR 2017 (arXiv:1705.07750), section 2.4.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import nn

from vidrec_utils import arguments
from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0
from vidrec_utils.video_encoders.encoder import ClipNetwork

Mode: TypeAlias = Literal["centre", "average"]
Ends: TypeAlias = Literal["repeat", "zero"]


def inflate(weight: torch.Tensor, taps: int = 3, mode: Mode = "centre") -> torch.Tensor:
    """Give the filters of a 2D convolution taps in time.

    Parameters
    ----------
    weight : tensor, shape (out, in, height, width)
        Filters of a 2D convolution; not changed.
    taps : int
        Filter length in time, odd.
    mode : {"centre", "average"}
        All weight at the middle tap, or the same `1 / taps` of it at each.

    Returns
    -------
    tensor, shape (out, in, taps, height, width)

    Raises
    ------
    ValueError
        If `taps` is not a positive odd number, or the mode is unknown.

    Examples
    --------
    >>> import torch
    >>> weight = torch.tensor([[[[6.0]]]])  # a single filter, of one pixel
    >>> inflate(weight, taps=3).flatten().tolist()
    [0.0, 6.0, 0.0]
    >>> inflate(weight, taps=3, mode="average").flatten().tolist()
    [2.0, 2.0, 2.0]
    """
    if taps < 1 or taps % 2 == 0:
        raise ValueError(f"taps is {taps}; it must be odd, so that there is a centre.")
    arguments.one_of(("centre", "average"), mode=mode)
    inflated = torch.zeros_like(weight[:, :, None].repeat(1, 1, taps, 1, 1))
    if mode == "centre":
        inflated[:, :, taps // 2] = weight
    else:
        inflated += weight[:, :, None] / taps  # the taps sum to the 2D filter
    return inflated


class TimedConv2d(nn.Module):
    """A 2D convolution whose filter spans several frames, on frames folded into the batch.

    Parameters
    ----------
    conv : nn.Conv2d
        The 2D convolution, with any padding, stride and number of groups; not changed.
    taps, mode
        See `inflate`.
    ends : {"repeat", "zero"}
        What the filter sees before the first frame of a clip and after the last: the same frame
        again, so that a clip in which nothing moves gives the image's output at every frame in
        both modes; or zeros, as a 3D convolution pads.

    Attributes
    ----------
    frames : int
        Number of frames of each clip in the batch; see `set_frames`.
    """

    def __init__(
        self, conv: nn.Conv2d, taps: int = 3, mode: Mode = "centre", ends: Ends = "repeat"
    ) -> None:
        super().__init__()
        self.frames = 1
        self.ends = ends
        weight = inflate(conv.weight.detach(), taps, mode)
        kernel, bias = weight.shape[2:], conv.bias is not None
        # created as a 3D convolution, so that whatever is initialised later draws the same values
        deep = nn.Conv3d(conv.in_channels, conv.out_channels, kernel, groups=conv.groups, bias=bias)
        self.weight, self.bias = deep.weight, deep.bias
        with torch.no_grad():
            self.weight.copy_(weight)
            if bias:
                self.bias.copy_(conv.bias)
        plain = copy.deepcopy(conv)
        plain.weight, plain.bias = None, None  # only its padding, stride and groups are used
        self.plain = [plain]  # in a list, so that it is no submodule of this one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch * frames, channels, height, width)`, or a whole clip, smaller by the stride."""
        if x.ndim == 5:
            return self._whole(x)
        taps = self.weight.shape[2]
        total = None
        for tap in range(taps):
            # this tap's 2D filter on every frame: (batch * frames, channels, height, width)
            y = self.plain[0]._conv_forward(x, self.weight[:, :, tap], None)
            y = y.unflatten(0, (-1, self.frames))  # (batch, frames, channels, height, width)
            y = _shifted(y, tap - taps // 2, self.ends).flatten(0, 1)
            total = y if total is None else total + y
        return total if self.bias is None else total + self.bias[:, None, None]

    def _whole(self, clip: torch.Tensor) -> torch.Tensor:
        """One 3D convolution of `(batch, channels, time, height, width)`, for a `SameConv2d`."""
        if self.ends != "zero":
            raise ValueError("To see the ends of a clip repeated, fold its frames into the batch.")
        return self.plain[0]._conv_forward(clip, self.weight, self.bias)


def _shifted(y: torch.Tensor, offset: int, ends: Ends) -> torch.Tensor:
    """Frame `t` of the result is frame `t + offset` of y, `(batch, frames, ...)`."""
    frames = y.shape[1]
    if ends == "repeat":
        return y[:, (torch.arange(frames, device=y.device) + offset).clamp(0, frames - 1)]
    missing = min(abs(offset), frames)
    zeros = torch.zeros_like(y[:, :missing])
    if offset < 0:
        return torch.cat([zeros, y[:, : frames - missing]], dim=1)
    return torch.cat([y[:, missing:], zeros], dim=1) if offset else y


def inflate_layers(
    net: nn.Module,
    chosen: Callable[[nn.Conv2d], bool],
    taps: int = 3,
    mode: Mode = "centre",
    ends: Ends = "repeat",
) -> int:
    """Replace the chosen convolutions of a network, in place; returns how many they are.

    Parameters
    ----------
    net : nn.Module
        A network for images.
    chosen : callable
        Tells for a convolution whether it is inflated.
    taps, mode, ends
        See `TimedConv2d`.
    """
    count = 0
    for name, child in net.named_children():
        if isinstance(child, nn.Conv2d) and chosen(child):
            setattr(net, name, TimedConv2d(child, taps, mode, ends))
            count += 1
        else:
            count += inflate_layers(child, chosen, taps, mode, ends)
    return count


def set_frames(net: nn.Module, frames: int) -> None:
    """Tell all inflated convolutions of a network how many frames a clip has."""
    for module in net.modules():
        if isinstance(module, TimedConv2d):
            module.frames = frames


def draw_taps(net: nn.Module) -> nn.Module:
    """Draw new random weights for all taps of the inflated filters of a network, in place.

    Filters that were inflated at the centre tap see one frame each, so a network of them is blind
    to the order of frames, whether its weights are trained or random. As a control that *can*
    depend on time, random weights have to fill every tap.

    Returns
    -------
    nn.Module
        The network itself.
    """
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, TimedConv2d):
                # the spread over all taps, zeros included: the sum of the taps keeps its own
                module.weight.normal_(0, float(module.weight.std()))
    return net


class InflatedLite0(ClipNetwork):
    """EfficientNet-Lite0 over clips: depthwise filters get taps in time, all others stay per frame.

    Parameters
    ----------
    net : EfficientNetLite0
        Its weights are copied.
    taps, mode
        See `inflate`; before and after the clip, the filters see zeros.

    Examples
    --------
    With all weight at the centre tap, each frame of a clip gives what it gives as an image. With
    the average, it also depends on its neighbours:

    >>> import torch
    >>> from vidrec_utils.encoders.efficientnet_lite0 import lite0_network
    >>> images = lite0_network("packaged")[0].eval()
    >>> clip = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> with torch.inference_mode():
    ...     second = images.maps(clip[:, :, 1])  # (1, 1280, 1, 1)
    ...     centre = InflatedLite0(images).eval().maps(clip)
    ...     average = InflatedLite0(images, mode="average").eval().maps(clip)
    >>> centre.shape
    torch.Size([1, 1280, 4, 1, 1])
    >>> torch.allclose(centre[:, :, 1], second, atol=1e-4)
    True
    >>> torch.allclose(average[:, :, 1], second, atol=1e-4)
    False
    """

    def __init__(self, net: EfficientNetLite0, taps: int = 3, mode: Mode = "centre") -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        inflate_layers(self.net, lambda conv: conv.groups > 1, taps, mode, ends="zero")
        self.channels = self.dim = net._fc.in_features
        self.register_load_state_dict_pre_hook(_without_single_taps)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, 3, time, height, width)` to `(batch, 1280, time, height / 32, width / 32)`."""
        if not torch.is_grad_enabled():  # whole clips are faster, above all on OpenVINO
            return self.net.maps(x)
        set_frames(self.net, x.shape[2])
        # frames folded into the batch are faster to train: (batch * time, 3, height, width)
        y = x.transpose(1, 2).flatten(0, 1)
        y = self.net.stem(y.contiguous(memory_format=torch.channels_last))
        for block in self.net._blocks:
            y = block(y.contiguous(memory_format=torch.channels_last))  # faster on a CPU
        y = self.net.head(y)  # (batch * time, 1280, height / 32, width / 32)
        return y.unflatten(0, (-1, x.shape[2])).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the 2D network's classes, `(batch, classes)`."""
        return self.net._fc(self.net._dropout(self.vector(x)))


def _without_single_taps(
    module: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Accept files in which the other convolutions were 3D, too, with a single tap in time."""
    for name, tensor in module.state_dict(prefix=prefix).items():
        if name in state and state[name].ndim == 5 and tensor.ndim == 4:
            state[name] = state[name].squeeze(2)
