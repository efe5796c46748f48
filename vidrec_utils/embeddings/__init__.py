"""Computing vectors once and keeping them, and what every encoder has in common."""

from vidrec_utils.embeddings.weights import (
    Encoder,
    WeightsError,
    WeightsInfo,
    WeightsNotAtHand,
)

__all__ = ["Encoder", "WeightsError", "WeightsInfo", "WeightsNotAtHand"]
