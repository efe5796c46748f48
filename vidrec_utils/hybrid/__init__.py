"""Recommending from content and behaviour together, which is where cold videos are won.

- `WeightedFusion`, `RankFusion`: sums of scores, and of reciprocal ranks; `tune` finds the weights
  on validation, `weak_members` whom to leave out.
- `Stacked`: a classifier on the scores of the others, which learns from the later part of train,
  cut `in_time`; `explained_lists` shows which of them a recommendation comes from, and why.
- `TwoTower`: content and ids in, vectors of users and videos out; `in_batch_softmax` is its loss.
- `FeatureFactorization`: users and videos as sums of their features; `metadata_features`.
- `EndToEnd`: a sequence model and the video encoder under it, trained together; `read_clips`,
  `source_models`, `compare_sources`.
- `newcomers`, `with_history`, `compare_newcomers`, `newcomer_table`: people as if they had only
  just arrived; `possible_histories` says what a log can answer.
- `FillMissing`, `lose`, `compare_missing`: videos that lack a title, a thumbnail or a clip.
- `modalities`, `shortened`: features of videos, by modality.
"""

from vidrec_utils.hybrid.clip_networks import read_clips
from vidrec_utils.hybrid.cold_start import (
    compare_newcomers,
    newcomer_table,
    newcomers,
    possible_histories,
    with_history,
)
from vidrec_utils.hybrid.end_to_end import EndToEnd, compare_sources, source_models
from vidrec_utils.hybrid.factorization import FeatureFactorization
from vidrec_utils.hybrid.features import metadata_features, modalities, shortened
from vidrec_utils.hybrid.fusion import Fusion, RankFusion, Tuned, WeightedFusion, tune, weak_members
from vidrec_utils.hybrid.missing import FillMissing, compare_missing, lose
from vidrec_utils.hybrid.normalization import normalized, reciprocal_ranks
from vidrec_utils.hybrid.sampled_softmax import full_softmax, gradient_gap, in_batch_softmax
from vidrec_utils.hybrid.stacking import Stacked, explained_lists, in_time
from vidrec_utils.hybrid.two_tower import TwoTower

__all__ = [
    "EndToEnd",
    "FeatureFactorization",
    "FillMissing",
    "Fusion",
    "RankFusion",
    "Stacked",
    "Tuned",
    "TwoTower",
    "WeightedFusion",
    "compare_missing",
    "compare_newcomers",
    "compare_sources",
    "explained_lists",
    "full_softmax",
    "gradient_gap",
    "in_batch_softmax",
    "in_time",
    "lose",
    "metadata_features",
    "modalities",
    "newcomer_table",
    "newcomers",
    "normalized",
    "possible_histories",
    "read_clips",
    "reciprocal_ranks",
    "shortened",
    "source_models",
    "tune",
    "weak_members",
    "with_history",
]
