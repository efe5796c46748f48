"""Recommending from content and behaviour together, which is where cold videos are won.

- `WeightedFusion`, `RankFusion`: sums of scores, and of reciprocal ranks; `tune` finds the weights
  on validation.
- `Stacked`: a classifier on what the others say, taught by the later part of train.
- `TwoTower`: content and ids in, vectors of users and videos out; `in_batch_softmax` is its loss.
- `FeatureFactorisation`: users and videos as sums of their features; `metadata_features`.
"""

from vidrec_utils.hybrid.factorisation import FeatureFactorisation, metadata_features
from vidrec_utils.hybrid.fusion import (
    Fusion,
    RankFusion,
    Tuned,
    WeightedFusion,
    normalised,
    reciprocal_ranks,
    tune,
)
from vidrec_utils.hybrid.sampled_softmax import full_softmax, in_batch_softmax
from vidrec_utils.hybrid.stacking import Stacked
from vidrec_utils.hybrid.two_tower import TwoTower

__all__ = [
    "FeatureFactorisation",
    "Fusion",
    "RankFusion",
    "Stacked",
    "Tuned",
    "TwoTower",
    "WeightedFusion",
    "full_softmax",
    "in_batch_softmax",
    "metadata_features",
    "normalised",
    "reciprocal_ranks",
    "tune",
]
