"""Recommending from content and behaviour together, which is where cold videos are won.

- `WeightedFusion`, `RankFusion`: sums of scores, and of reciprocal ranks; `tune` finds the weights
  on validation.
- `Stacked`: a classifier on what the others say, taught by the later part of train.
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
from vidrec_utils.hybrid.stacking import Stacked

__all__ = [
    "Fusion",
    "RankFusion",
    "Stacked",
    "Tuned",
    "WeightedFusion",
    "normalised",
    "reciprocal_ranks",
    "tune",
]
