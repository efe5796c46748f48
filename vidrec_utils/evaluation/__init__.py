"""Measuring a recommender: what counts as right, over which candidates, and how sure we are.

`evaluate` ranks, for every user with something right in the evaluated part, **all** videos that the
user had not been shown before it (no sampled candidates), and gives per-user metrics whose means
come with bootstrap intervals over users. `compare` asks whether one recommender beats another on
the same users. Each result carries its protocol in words, and refuses to be compared with a result
under another.

`linear_probe` asks a frozen vector what it tells about a label, on groups never seen in training.

The definitions of all metrics are in `evaluation.metrics`.
"""

from vidrec_utils.evaluation.metrics import (
    RANKING_METRICS,
    USER_METRICS,
    bootstrap_means,
    metrics,
)
from vidrec_utils.evaluation.probing import Probe, linear_probe, probe_pairs
from vidrec_utils.evaluation.ranking import evaluate, positives
from vidrec_utils.evaluation.results import Comparison, Result, compare

__all__ = [
    "RANKING_METRICS",
    "USER_METRICS",
    "Comparison",
    "Probe",
    "Result",
    "bootstrap_means",
    "compare",
    "evaluate",
    "linear_probe",
    "metrics",
    "positives",
    "probe_pairs",
]
