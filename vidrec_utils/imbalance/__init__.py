"""Rare classes and popular items: fair losses, and estimates without the bias of a log.

| name | what |
|---|---|
| `focal_loss` | cross-entropy that looks away from what is sure already |
| `effective_numbers`, `class_balanced_weights` | weights of classes by their effective numbers |
| `logit_adjusted_loss`, `adjust_logits` | the balanced error's answer, in training or afterwards |
| `naive`, `inverse_propensity`, `self_normalized`, `doubly_robust` | worth, from another's log |
| `SoftmaxPolicy`, `replay` | recommenders that draw, and what they would have drawn |
| `Exploring`, `Discounting`, `Welcoming` | remedies against showing again what was shown |
"""

from vidrec_utils.imbalance.losses import (
    adjust_logits,
    class_balanced_weights,
    effective_numbers,
    focal_loss,
    logit_adjusted_loss,
)
from vidrec_utils.imbalance.off_policy import (
    Estimate,
    doubly_robust,
    inverse_propensity,
    naive,
    self_normalized,
)
from vidrec_utils.imbalance.policies import Replayed, SoftmaxPolicy, replay
from vidrec_utils.imbalance.remedies import Discounting, Exploring, Welcoming

__all__ = [
    "Discounting",
    "Estimate",
    "Exploring",
    "Replayed",
    "SoftmaxPolicy",
    "Welcoming",
    "adjust_logits",
    "class_balanced_weights",
    "doubly_robust",
    "effective_numbers",
    "focal_loss",
    "inverse_propensity",
    "logit_adjusted_loss",
    "naive",
    "replay",
    "self_normalized",
]
