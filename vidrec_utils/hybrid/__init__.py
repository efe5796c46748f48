"""Recommending from content and behaviour together, which is where cold videos are won.

- `WeightedFusion`, `RankFusion`: sums of scores, and of reciprocal ranks; `tune` finds the weights
  on validation.
"""

from vidrec_utils.hybrid.fusion import (
    Fusion,
    RankFusion,
    Tuned,
    WeightedFusion,
    normalised,
    reciprocal_ranks,
    tune,
)

__all__ = [
    "Fusion",
    "RankFusion",
    "Tuned",
    "WeightedFusion",
    "normalised",
    "reciprocal_ranks",
    "tune",
]
