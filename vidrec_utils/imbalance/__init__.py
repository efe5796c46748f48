"""Rare classes and popular items: fair losses, and estimates without the bias of a log.

| name | what |
|---|---|
| `focal_loss` | cross-entropy that looks away from what is sure already |
| `effective_numbers`, `class_balanced_weights` | weights of classes by their effective numbers |
| `logit_adjusted_loss`, `adjust_logits` | the balanced error's answer, in training or afterwards |
| `long_tail_counts`, `subsample` | training sets that are imbalanced on purpose |
| `sampling_weights`, `draw_rows`, `resample` | training sets that are balanced again |
| `fit_head`, `fit_hidden` | heads with a loss of choice, and decoupled training |
| `decide`, `move_thresholds` | decisions by a threshold for each class |
| `compare_remedies`, `remedy_table`, `recorded` | all remedies in one table |
| `naive`, `inverse_propensity`, `self_normalized`, `doubly_robust` | worth, from another's log |
| `SoftmaxPolicy`, `replay` | recommenders that draw, and what they would have drawn |
| `Exploring`, `Discounting`, `Welcoming` | remedies against showing again what was shown |
| `calibrated_list`, `category_shares`, `miscalibration` | lists with the shares of a history |
| `fit_examination`, `success_by_position`, `position_weights` | position bias |
| `popularity_negatives` | negatives drawn by popularity |
"""

from vidrec_utils.imbalance.comparison import compare_remedies, recorded, remedy_table
from vidrec_utils.imbalance.heads import fit_head, fit_hidden
from vidrec_utils.imbalance.losses import (
    adjust_logits,
    class_balanced_weights,
    effective_numbers,
    focal_loss,
    logit_adjusted_loss,
)
from vidrec_utils.imbalance.negatives import popularity_negatives
from vidrec_utils.imbalance.off_policy import (
    Estimate,
    doubly_robust,
    inverse_propensity,
    naive,
    self_normalized,
)
from vidrec_utils.imbalance.policies import Replayed, SoftmaxPolicy, replay
from vidrec_utils.imbalance.position import (
    fit_examination,
    position_weights,
    success_by_position,
)
from vidrec_utils.imbalance.remedies import Discounting, Exploring, Welcoming
from vidrec_utils.imbalance.reranking import calibrated_list, category_shares, miscalibration
from vidrec_utils.imbalance.resampling import (
    draw_rows,
    long_tail_counts,
    resample,
    sampling_weights,
    subsample,
)
from vidrec_utils.imbalance.thresholds import decide, move_thresholds

__all__ = [
    "Discounting",
    "Estimate",
    "Exploring",
    "Replayed",
    "SoftmaxPolicy",
    "Welcoming",
    "adjust_logits",
    "calibrated_list",
    "category_shares",
    "class_balanced_weights",
    "compare_remedies",
    "decide",
    "doubly_robust",
    "draw_rows",
    "effective_numbers",
    "fit_examination",
    "fit_head",
    "fit_hidden",
    "focal_loss",
    "inverse_propensity",
    "logit_adjusted_loss",
    "long_tail_counts",
    "miscalibration",
    "move_thresholds",
    "naive",
    "popularity_negatives",
    "position_weights",
    "recorded",
    "remedy_table",
    "replay",
    "resample",
    "sampling_weights",
    "self_normalized",
    "subsample",
    "success_by_position",
]
