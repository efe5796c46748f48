"""What the encoders of text, images and videos share: protocol, weights, downloads, runtime.

`weights` says where an encoder's weights come from and how they are checked, `download` fetches
published ones, `accelerate` lets a network run on OpenVINO.
"""

from vidrec_utils.encoders.download import fetch, hub_folder
from vidrec_utils.encoders.runtime import AcceleratedEncoder, accelerate, milliseconds
from vidrec_utils.encoders.weights import (
    Encoder,
    FrameContract,
    WeightsError,
    WeightsInfo,
    WeightsNotAtHand,
)

__all__ = [
    "AcceleratedEncoder",
    "Encoder",
    "FrameContract",
    "WeightsError",
    "WeightsInfo",
    "WeightsNotAtHand",
    "accelerate",
    "fetch",
    "hub_folder",
    "milliseconds",
]
