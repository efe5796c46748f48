"""Measuring a recommender: which videos are relevant, among which candidates, with which interval.

`evaluate` ranks, for every user with a relevant video in the evaluated part, **all** videos that
could have been shown: those online by then that the user had not seen before (no sampled
candidates). It gives per-user metrics whose means come with bootstrap intervals over users. The
part is validation, unless the test is asked for by name; before that, `refit` fits the chosen
recommender on both earlier parts. What counts as relevant is said by a label (see
`events.labels`), whose rule is learned from the training part alone. `compare` tests whether one
recommender beats another on the same users and, with a margin, whether it is no worse;
`compare_all` does so for many and corrects for their number. Each result carries its `Protocol`,
and refuses to be compared with a result under another.

`evaluation.leaks` looks for answers that got into the questions, and `evaluation.sampled` shows why
no candidates are sampled here. `choose` carries out the choice of a pretrained model,
`audit_layers` and `audit_vectors` that of its layer and geometry, and `search` that of a
recommender's settings. The definitions of all metrics are in `evaluation.metrics`, those for
classes in `evaluation.classification`.
"""

from vidrec_utils.evaluation import leaks, sampled
from vidrec_utils.evaluation.bench import Bench
from vidrec_utils.evaluation.classification import (
    BINS,
    classification_scores,
    classification_table,
    compare_classifiers,
    confusion,
    expected_calibration_error,
    held_out_probabilities,
    probability_scores,
    rare_or_other,
    reliability,
)
from vidrec_utils.evaluation.comparison import Comparison, compare, compare_all, holm, leaderboard
from vidrec_utils.evaluation.layer_choice import LayerAudit, audit_layers, audit_vectors
from vidrec_utils.evaluation.metrics import (
    RANKING_METRICS,
    USER_METRICS,
    bootstrap_means,
    diversity,
    list_metrics,
)
from vidrec_utils.evaluation.model_choice import Choice, choose, cost, selection_bias
from vidrec_utils.evaluation.protocol import Protocol, ProtocolMismatch
from vidrec_utils.evaluation.ranking import evaluate, ranks, refit
from vidrec_utils.evaluation.results import Result
from vidrec_utils.evaluation.settings_search import Search, search
from vidrec_utils.evaluation.slices import by_slice, cold_videos
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.events import positives
from vidrec_utils.linear_probe import Probe, linear_probe, probe_pairs

__all__ = [
    "BINS",
    "RANKING_METRICS",
    "USER_METRICS",
    "Bench",
    "Choice",
    "Comparison",
    "LayerAudit",
    "Probe",
    "Protocol",
    "ProtocolMismatch",
    "Result",
    "Search",
    "audit_layers",
    "audit_vectors",
    "bootstrap_means",
    "by_slice",
    "choose",
    "classification_scores",
    "classification_table",
    "cold_videos",
    "compare",
    "compare_all",
    "compare_classifiers",
    "confusion",
    "cost",
    "diversity",
    "evaluate",
    "expected_calibration_error",
    "held_out_probabilities",
    "holm",
    "leaderboard",
    "leaks",
    "linear_probe",
    "list_metrics",
    "positives",
    "prepare",
    "probability_scores",
    "probe_pairs",
    "ranks",
    "rare_or_other",
    "refit",
    "reliability",
    "sampled",
    "search",
    "selection_bias",
]
