"""Leak detectors: signs that a number is better than the model behind it.

Each detector looks for one way in which the answer gets into the question, and returns a `Finding`,
which is true if there is something to worry about. `check` runs all that a split alone allows. None
proves the absence of leaks: *no finding* means none of this kind.

References
----------
Kaufman, Rosset, Perlich: Leakage in Data Mining. KDD 2011.
Ji, Sun, Zhang, Li: A Critical Study on Data Leakage in Recommender System Offline Evaluation. ACM
TOIS 41(3), 2023.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from vidrec_utils.evaluation.leaks.data import (
    future_features,
    near_duplicates,
    overlap,
    popularity_drift,
    time_travel,
)
from vidrec_utils.evaluation.leaks.finding import Finding
from vidrec_utils.evaluation.leaks.procedure import (
    Watched,
    reads_test,
    stopped_on_test,
    tie_bug,
    tie_order,
)

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split

__all__ = [
    "Finding",
    "Watched",
    "check",
    "future_features",
    "near_duplicates",
    "overlap",
    "popularity_drift",
    "reads_test",
    "stopped_on_test",
    "table",
    "tie_bug",
    "tie_order",
    "time_travel",
]


def check(split: Split, k: int = 10, seed: int = 0) -> list[Finding]:
    """Run the detectors that need nothing but a split: a log in three parts and a catalogue.

    `overlap`, `time_travel` (where there are timestamps), `popularity_drift`, `tie_order`.
    """
    found = [overlap(split)]
    if "timestamp" in split.train and "timestamp" in split.test:
        found.append(time_travel(split))
    return [*found, popularity_drift(split, seed=seed), tie_order(split, k=k, seed=seed)]


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a frame: `leak, alarm, n, detail, remedy`."""
    return pd.DataFrame([vars(finding) for finding in findings])
