"""A network with its preprocessing around it: from uint8 images to float32 vectors."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import torch
from torch import nn

from vidrec_utils.encoders.network import NetworkEncoder
from vidrec_utils.encoders.pixels import checked, square
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.image_encoders.preprocessing import Images, Recipe

LITE0 = Recipe(224, None, mean=(127, 127, 127), std=(128, 128, 128), unit=1)


class ImageEncoder(NetworkEncoder):
    """A network with its preprocessing, its device and the origin of its weights.

    For EfficientNet-Lite0 an image is cropped to its centre square, resized to `size x size`
    (bilinear, antialiased) and scaled to `(x - 127) / 128`. Its published accuracy was measured on
    the central 87.5 % of each image; a thumbnail is framed by hand, so here the whole shorter
    side is kept. All other networks get the preprocessing of their authors.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    size : int
        Side of the square that the network sees, in pixels. Cost grows with its square.
    layers : tuple of str
        Layers for `activations`, from the first stage to the last.
    net : nn.Module
        With `features`, `activations`, `dim`, `classes` and `layers`.
    """

    modality = "image"

    def __init__(
        self,
        name: str,
        net: nn.Module,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
        size: int = 224,
        recipe: Recipe | None = None,
    ):
        self.recipe = recipe or LITE0.at(size)
        self.size = self.recipe.size
        if self.size < 32:
            raise ValueError(f"size is {size}; the network halves it five times, give at least 32.")
        super().__init__(name, net, weights, device)
        self.dim = int(net.dim)
        self.layers = net.layers
        # channels_last: the 1x1 convolutions, most of this network, run about 1.5 times as fast
        self.net = self.net.to(memory_format=torch.channels_last)

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to an image before the network sees it."""
        return self.recipe.described()

    @property
    def values_per_item(self) -> int:
        """Values of the prepared image."""
        return 3 * self.size**2

    def prepare(self, images: Images) -> torch.Tensor:
        """Images as the network takes them, float32 `(n, 3, size, size)` on the CPU.

        Raises
        ------
        ValueError
            If an image is not uint8 `(height, width, 3)`; the message says which.
        """
        return self.recipe(images).contiguous(memory_format=torch.channels_last)

    def network_vectors(self, net: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of what `network_inputs` returned."""
        return net.features(*inputs)

    def encode(self, images: Images, batch_size: int = 32) -> np.ndarray:
        """Vectors of images: the layer before the classifier, averaged over all positions.

        Parameters
        ----------
        images : list of uint8 (height, width, 3), or uint8 (n, height, width, 3)
            RGB; sizes may differ.
        batch_size : int
            Images in one forward pass; no effect on the values beyond 1e-4.

        Returns
        -------
        ndarray of float32, shape (n, dim)

        Raises
        ------
        RuntimeError
            If the weights are random and `calibrate` was not called.
        """
        return self.outputs(self.net.features, images, batch_size, (self.dim,)).numpy()

    def activations(self, images: Images, layer: str, batch_size: int = 32) -> torch.Tensor:
        """Output of one layer.

        Parameters
        ----------
        images : list of uint8 (height, width, 3), or uint8 (n, height, width, 3)
            RGB; sizes may differ.
        layer : str
            One of `layers`.
        batch_size : int
            Images in one forward pass.

        Returns
        -------
        tensor of float32 on the CPU, shape (n, channels, height, width) or (n, channels)
            Maps of a stage (of a transformer: the tokens of the patches, at their positions in the
            image), or vectors.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        self.check_layer(layer)
        if not len(images):  # a blank image shows the shape
            blank = np.zeros((1, self.size, self.size, 3), np.uint8)
            return self.activations(blank, layer)[:0]
        return self.outputs(lambda x: self.net.activations(x, layer), images, batch_size)

    def classify(self, images: Images, batch_size: int = 32) -> np.ndarray:
        """Logits of the network's classes, float32 `(n, classes)`; see `encode`.

        Raises
        ------
        ValueError
            If the network was not trained to predict classes.
        """
        if not self.net.classes:
            raise ValueError(
                f"{self.name} has no classifier: it was trained without classes. Take "
                "'efficientnet_lite0', or train a head on its vectors."
            )
        return self.outputs(self.net, images, batch_size, (self.net.classes,)).numpy()

    def top(self, images: Images, k: int = 5) -> pd.DataFrame:
        """The k most probable ImageNet classes of each image.

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


class PixelEncoder:
    """The baseline that has learned nothing: an image shrunk and flattened.

    Attributes
    ----------
    side : int
        Side of the shrunk image in pixels; `dim` is `side * side * 3`, values are in [0, 1].
    """

    name = "pixels"
    modality = "image"
    parameters = 0
    weights = WeightsInfo(source="none")
    layers = ("pixels",)
    preprocessing = None

    def __init__(self, side: int = 16):
        self.side = int(side)
        self.dim = self.values_per_item = self.side**2 * 3

    @property
    def fingerprint(self) -> str:
        """Digest of the name and the side."""
        return hashlib.sha256(f"pixels centre-crop bilinear {self.side}".encode()).hexdigest()

    def encode(self, images: Images) -> np.ndarray:
        """Shrunk images, float32 `(n, side * side * 3)`."""
        maps = self.activations(images).permute(0, 2, 3, 1)
        return maps.reshape(len(images), self.dim).numpy()

    def activations(self, images: Images, layer: str = "pixels") -> torch.Tensor:
        """Shrunk images as maps, float32 `(n, 3, side, side)`."""
        if layer not in self.layers:
            raise ValueError(f"The encoder 'pixels' has no layer {layer!r}, only 'pixels'.")
        tensors = [torch.from_numpy(np.ascontiguousarray(i)) for i in checked(images, "Image")]
        small = [square(t.permute(2, 0, 1), self.side).float() / 255 for t in tensors]
        return torch.stack(small) if small else torch.empty(0, 3, self.side, self.side)


def imagenet_classes() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes in the order of the logits, from torchvision."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])
