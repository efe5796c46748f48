"""Leaks of an evaluation: detectors that train or score, next to those that need only tables.

`check` runs all detectors that a split alone allows. Detectors of tables and vectors (and what a
`Finding` is) are those of `vidrec_utils.leaks`. Those of this module look at how an evaluation was
made: choosing on the test, and ties whose order knows the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import cast

import numpy as np
import pandas as pd

from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.metrics import list_metrics
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.events import Label, durations_vary, exposure_durations, fit_label
from vidrec_utils.leaks import (
    SPLIT_NAMES,
    Finding,
    duration_bias,
    future_features,
    near_duplicates,
    popularity_drift,
    row_overlap,
    table,
    time_travel,
)
from vidrec_utils.recommender import top_k

__all__ = [
    "Finding",
    "Watched",
    "check",
    "duration_bias",
    "future_features",
    "near_duplicates",
    "popularity_drift",
    "reads_test",
    "row_overlap",
    "stopped_on_test",
    "table",
    "tie_bug",
    "tie_order",
    "time_travel",
]


def check(split: Split, k: int = 10, seed: int = 0, label: Label = None) -> list[Finding]:
    """Run the detectors that need nothing but a split: a log in three parts and a catalogue.

    `row_overlap`, `time_travel` (where there are timestamps), `popularity_drift`, `tie_order`, and
    where durations vary `duration_bias` of the training part, by the label that judges.

    Parameters
    ----------
    split : Split
    k, seed, label
        As for `evaluate`.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> test = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, train[:0], test, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> [finding.leak for finding in check(split, k=1) if finding]
    []
    >>> leaky = Split(pd.concat([train, test[:1]]), train[:0], test, split.videos, "leaky")
    >>> print(check(leaky, k=1)[0].detail)
    1 rows are in two parts, such as in train and test: u/b.
    """
    findings = [row_overlap(split)]
    if "timestamp" in split.train and "timestamp" in split.test:
        findings.append(time_travel(split))
    rule = fit_label(split.train, split.videos, label)
    findings += [
        popularity_drift(split, seed=seed),
        tie_order(split, k=k, seed=seed, label=rule),
    ]
    if durations_vary(exposure_durations(split.train, split.videos)):
        findings.append(duration_bias(split.train, split.videos, rule, seed=seed))
    return findings


class Watched:
    """A split that notes which of its parts are looked at; passes for the split itself."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self.looked_at: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name in SPLIT_NAMES:
            self.looked_at.append(name)
        return getattr(self._split, name)

    def known(self, on: str) -> pd.DataFrame:
        """As `Split.known`; the parts that it puts together are noted."""
        return Split.known(cast("Split", self), on)


def reads_test(train: Callable[[Split], object], split: Split) -> Finding:
    """Run a training function, and note whether it looks at the test.

    Parameters
    ----------
    train : callable
        Takes a split and trains: chooses settings, stops early, whatever belongs to it.
    split : Split

    Notes
    -----
    Sees what is read through the split that it hands over, not what the function knew before.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> log = pd.DataFrame({"user_id": list("uvw"), "video_id": list("aab")})
    >>> split = Split(log[:1], log[1:2], log[2:], pd.DataFrame(index=["a", "b"]), "by hand")
    >>> bool(reads_test(lambda parts: len(parts.train), split))
    False
    >>> reads_test(lambda parts: len(parts.test), split).detail
    'training looked at the test 1 times, at validation 0 times.'
    """
    watched = Watched(split)
    train(cast("Split", watched))
    number = watched.looked_at.count("test")
    return Finding(
        "training reads the test",
        number > 0,
        number,
        f"training looked at the test {number:,} times, at validation "
        f"{watched.looked_at.count('validation'):,} times.",
        "Choose and stop on validation; look at test once, at the end.",
    )


def stopped_on_test(history: pd.DataFrame, chosen: Hashable) -> Finding:
    """Whether the epoch (or setting) that was chosen is the best on test, not on validation.

    Parameters
    ----------
    history : DataFrame
        One row an epoch or a setting; columns `validation` and `test`, higher is better.
    chosen : label
        Index of the row that was reported.

    Raises
    ------
    KeyError
        If there is no such row or column.
    """
    row = history.loc[chosen]
    honest = history["validation"].idxmax()
    best_on_test = row["test"] >= history["test"].max()
    best_on_validation = row["validation"] >= history["validation"].max()
    alarm = bool(best_on_test and not best_on_validation)
    bias = row["test"] - history.loc[honest, "test"]
    return Finding(
        "chosen on test",
        alarm,
        len(history) if alarm else 0,
        f"{chosen!r} of {len(history)} was reported; validation would have chosen {honest!r}, with "
        f"{bias:+.4f} between them on test.",
        "Report what validation chose.",
    )


def tie_bug(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    relevant: np.ndarray,
    draws: int = 99,
    seed: int = 0,
) -> Finding:
    """Test whether a constant scorer, which knows nothing, beats random ones under a measure.

    It does where a tie counts as won, or where relevant videos stand first among the candidates and
    equal scores keep that order.

    Parameters
    ----------
    measure : callable
        `measure(scores, relevant)`: a number for each user; higher is better.
    relevant : ndarray of bool, shape (n_users, n_videos)
        The relevant videos, with the columns in the order in which the measure really gets them.
    draws, seed : int
        Random scorers to beat: the alarm is false in one of `draws + 1` cases. Each gives all users
        the same list, as a constant scorer does.
    """
    rng = np.random.default_rng(seed)
    constant = float(np.nanmean(measure(np.zeros(relevant.shape, np.float32), relevant)))
    random = []
    for _ in range(draws):
        row = rng.random(relevant.shape[1], dtype=np.float32)
        random.append(np.nanmean(measure(np.tile(row, (len(relevant), 1)), relevant)))
    alarm = bool(constant > max(random))
    return Finding(
        "constant scorer beats random",
        alarm,
        int(np.sum(constant > np.array(random))),
        f"constant scores reach {constant:.4f}, the best of {draws} random ones {max(random):.4f}, "
        f"their mean {np.mean(random):.4f}.",
        "Rank equal scores in an order that knows nothing of what is relevant.",
    )


def tie_order(
    split: Split,
    k: int = 10,
    draws: int = 99,
    seed: int = 0,
    most: int = 300,
    label: Label = None,
) -> Finding:
    """Whether the order of the catalogue, in which ties fall, tells what is relevant.

    `tie_bug` for the NDCG of `evaluate` on a split, by a label; of more than `most` users, a random
    part.

    Examples
    --------
    Everybody watches `b` later. A catalogue that begins with it breaks all ties the right way:

    >>> from vidrec_utils.datasets import Split
    >>> users = [f"u{number}" for number in range(20)]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id="b")
    >>> others = [f"v{number}" for number in range(98)]
    >>> for first, last in (("b", "a"), ("a", "b")):
    ...     videos = pd.DataFrame(index=[first, *others, last])
    ...     print(tie_order(Split(train, None, later, videos, "by hand"), k=1, draws=19).alarm)
    True
    False
    """
    task = prepare(split, k, "test", label=label)
    rng = np.random.default_rng(seed)
    users = np.sort(rng.permutation(len(task.users))[:most])
    relevant, candidates = task.relevant[users].toarray() > 0, task.candidates(users)

    def measure(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
        best = top_k(np.where(candidates, scores, -np.inf), k)
        hits = np.take_along_axis(relevant, best, axis=1)
        return list_metrics(hits, relevant.sum(axis=1), k)["ndcg"].to_numpy()

    return tie_bug(measure, relevant, draws, seed)
