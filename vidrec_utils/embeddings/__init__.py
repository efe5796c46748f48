"""Computing vectors once and keeping them.

`embed` is the call, `load_vectors` reads vectors that were computed elsewhere, `join` puts several
vectors of a video side by side, and `store` explains how the vectors lie on disk. Which layer,
pooling and geometry of an encoder make the vector that recommends best is a question for
`evaluation.audit_layers`.
"""

from vidrec_utils.embeddings.embedding import Embeddings, embed
from vidrec_utils.embeddings.geometry import Geometry, effective_rank, mean_cosine
from vidrec_utils.embeddings.joining import join
from vidrec_utils.embeddings.store import StoreError
from vidrec_utils.embeddings.vector_files import load_vectors

__all__ = [
    "Embeddings",
    "Geometry",
    "StoreError",
    "effective_rank",
    "embed",
    "join",
    "load_vectors",
    "mean_cosine",
]
