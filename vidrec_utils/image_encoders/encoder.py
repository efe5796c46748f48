"""A network with its preprocessing around it: from uint8 pictures to float32 vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.transforms import v2

from vidrec_utils import settings
from vidrec_utils.embeddings.weights import WeightsInfo, state_digest
from vidrec_utils.image_encoders.efficientnet_lite0 import EfficientNetLite0

Images = Sequence[np.ndarray] | np.ndarray


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
        return hashlib.sha256((told + state_digest(self.net)).encode()).hexdigest()

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
            squares = square(stacked, self.size)
        else:
            tensors = [torch.from_numpy(np.ascontiguousarray(i)).permute(2, 0, 1) for i in batch]
            squares = torch.stack([square(t, self.size) for t in tensors])
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
        prepared = (self.prepare(batch).to(self.device) for batch in _batches(images, batch_size))
        estimate_batch_norm(self.net, self.net.features, prepared)
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
        small = [square(t.permute(2, 0, 1), self.side).permute(1, 2, 0) for t in tensors]
        rows = [s.reshape(-1).numpy() for s in small]
        return np.stack(rows).astype(np.float32) / 255 if rows else np.empty((0, self.dim), "f4")


def estimate_batch_norm(
    net: nn.Module,
    forward: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterable[torch.Tensor],
) -> None:
    """Replace a network's batch-norm statistics, in place, by the mean over some batches.

    Parameters
    ----------
    net : nn.Module
        Left in evaluation mode.
    forward : callable
        What to run on each batch; layers that it does not reach keep fresh statistics.
    batches : iterable of tensor
        Prepared inputs.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        with torch.inference_mode():
            for batch in batches:
                forward(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


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


def square(picture: torch.Tensor, size: int) -> torch.Tensor:
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


def imagenet_classes() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes in the order of the logits, from torchvision."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])
