"""Computing vectors once and keeping them, and what every encoder has in common.

`embed` is the call, and `join` puts several vectors of a video side by side; `store` explains how
the vectors lie on disk, `weights` where an encoder's weights come from and how they are checked.
"""

from vidrec_utils.embeddings.download import fetch, hub_folder
from vidrec_utils.embeddings.embedding import Embeddings, embed
from vidrec_utils.embeddings.joining import join
from vidrec_utils.embeddings.store import StoreError
from vidrec_utils.embeddings.weights import (
    Encoder,
    FrameContract,
    WeightsError,
    WeightsInfo,
    WeightsNotAtHand,
)

__all__ = [
    "Embeddings",
    "Encoder",
    "FrameContract",
    "StoreError",
    "WeightsError",
    "WeightsInfo",
    "WeightsNotAtHand",
    "embed",
    "fetch",
    "hub_folder",
    "join",
]
