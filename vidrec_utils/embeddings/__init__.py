"""Computing vectors once and keeping them.

`embed` is the call, `join` puts several vectors of a video side by side, and `audit` finds which
layer, pooling and geometry of an encoder make the vector that recommends best; `store` explains how
the vectors lie on disk.
"""

from vidrec_utils.embeddings.audit import AuditResult, audit
from vidrec_utils.embeddings.embedding import Embeddings, embed
from vidrec_utils.embeddings.geometry import Geometry, effective_rank, mean_cosine
from vidrec_utils.embeddings.joining import join
from vidrec_utils.embeddings.store import StoreError

__all__ = [
    "AuditResult",
    "Embeddings",
    "Geometry",
    "StoreError",
    "audit",
    "effective_rank",
    "embed",
    "join",
    "mean_cosine",
]
