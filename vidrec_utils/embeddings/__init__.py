"""Computing vectors once and keeping them, and what every encoder has in common.

`embed` is the call, `join` puts several vectors of a video side by side, and `audit` finds which
layer, pooling and geometry of an encoder make the vector that recommends best; `store` explains how
the vectors lie on disk, `weights` where an encoder's weights come from and how they are checked.
"""

from vidrec_utils.embeddings.audit import AuditResult, audit
from vidrec_utils.embeddings.download import fetch, hub_folder
from vidrec_utils.embeddings.embedding import Embeddings, embed
from vidrec_utils.embeddings.geometry import Geometry, effective_rank, mean_cosine
from vidrec_utils.embeddings.joining import join
from vidrec_utils.embeddings.runtime import AcceleratedEncoder, accelerate, milliseconds
from vidrec_utils.embeddings.store import StoreError
from vidrec_utils.embeddings.weights import (
    Encoder,
    FrameContract,
    WeightsError,
    WeightsInfo,
    WeightsNotAtHand,
)

__all__ = [
    "AcceleratedEncoder",
    "AuditResult",
    "Embeddings",
    "Encoder",
    "FrameContract",
    "Geometry",
    "StoreError",
    "WeightsError",
    "WeightsInfo",
    "WeightsNotAtHand",
    "accelerate",
    "audit",
    "effective_rank",
    "embed",
    "fetch",
    "hub_folder",
    "join",
    "mean_cosine",
    "milliseconds",
]
