"""Trials of order: one transformer on the log as it is, and on the same events in no order.

Each trial trains SASRec with early stopping and asks it twice on the validation part: for all that
somebody enjoys in the days that follow, and for the next success of a session. What takes minutes
is recorded by `benchmarks/order_of_watching.py`; `run_trial` computes one row of that record anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vidrec_utils.behavior_based.next_video import next_ndcg, next_questions
from vidrec_utils.behavior_based.sasrec import SASRec
from vidrec_utils.behavior_based.sessions import shuffled_order
from vidrec_utils.datasets import Split
from vidrec_utils.events import LabelRule, event_weights

RECORD = Path(__file__).parent / "order_of_watching.json"
"""What `benchmarks/order_of_watching.py` writes."""

SETTINGS: dict[str, Any] = {"length": 30, "dim": 64, "layers": 1, "batch_size": 128}
SETTINGS |= {"learning_rate": 4e-3, "epochs": 40, "patience": 10, "held_out": 0.5}
"""Settings of every transformer of the record."""

LEAST = 0.5
"""Smallest event weight that makes a history."""

ORDERS = ("as watched", "shuffled within days", "shuffled")
"""Orders of the events that a trial is trained on; `reordered` makes them."""

N_QUESTIONS = 1_200
"""Most questions for the next video of a session."""


def reordered(log: pd.DataFrame, order: str, length: int, seed: int) -> pd.DataFrame:
    """Return a log whose last events of each user are in another order.

    Parameters
    ----------
    log : DataFrame
        Exposures with times.
    order : {"as watched", "shuffled within days", "shuffled"}
        Within days, an event stays on its day (UTC), so what was new on that day is still known.
    length : int
        How many last events of each user are shuffled; within days, all events are.
    seed : int
        The new order is drawn with this seed.

    Raises
    ------
    ValueError
        If there is no such order.

    Examples
    --------
    Two events on one day and one on the next, which stays where it is:

    >>> times = pd.to_datetime(["2026-01-01 10:00", "2026-01-01 11:00", "2026-01-02 09:00"])
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": list("abc"), "timestamp": times})
    >>> log = log.assign(watch_ratio=1.0, timestamp=times.tz_localize("UTC"))
    >>> reordered(log, "shuffled within days", length=9, seed=1)["video_id"].tolist()[2]
    'c'
    """
    if order not in ORDERS:
        raise ValueError(f"There is no order {order!r}; choose from {', '.join(ORDERS)}.")
    if order == "as watched":
        return log
    read = event_weights(log) >= LEAST
    if order == "shuffled":
        return shuffled_order(log, length, read, seed)
    users = log["user_id"]
    days = log["timestamp"].dt.date.astype(str)
    daily = log.assign(user_id=users.astype(str) + " on " + days)  # each day is a history
    return shuffled_order(daily, len(daily), read, seed).assign(user_id=users)


def sample_questions(split: Split, rule: LabelRule, seed: int) -> pd.DataFrame:
    """Draw up to `N_QUESTIONS` questions for the next video from the validation part.

    Examples
    --------
    >>> from vidrec_utils import events
    >>> times = pd.date_range("2025-01-01", periods=3, freq="5min", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": list("abc"), "timestamp": times})
    >>> log["watch_ratio"] = 1.0
    >>> split = Split(log[:1], log[1:], None, pd.DataFrame(index=list("abc")), "by hand")
    >>> sample_questions(split, events.fit_label(log, None, "ratio"), seed=0)["target"].tolist()
    ['b', 'c']
    """
    questions = next_questions(split.train, split.validation, rule, LEAST)
    if len(questions) <= N_QUESTIONS:
        return questions
    return questions.sample(N_QUESTIONS, random_state=seed).sort_index().reset_index(drop=True)


def run_trial(split: Split, order: str, seed: int, **settings: Any) -> SASRec:
    """Train one transformer of the record.

    Parameters
    ----------
    split : Split
        Its train is reordered; a share of that is held out for early stopping.
    order : str
        See `reordered`; the new order is the same for every seed.
    seed : int
        Initial weights, batches, dropout and what is held out are drawn with this seed.
    **settings
        Instead of those in `SETTINGS`.

    Examples
    --------
    >>> times = pd.date_range("2025-01-01", periods=4, freq="5min", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": list("abab"), "timestamp": times})
    >>> split = Split(log.assign(watch_ratio=1.0), None, None, pd.DataFrame(index=["a", "b"]), "")
    >>> run_trial(split, "as watched", seed=0, epochs=1, held_out=0.0).name
    'SASRec, as watched'
    """
    options = {**SETTINGS, "seed": seed, "progress": False, "name": f"SASRec, {order}"}
    options |= settings
    train = reordered(split.train, order, options["length"] + 1, seed=0)
    return SASRec(**options).fit(replace(split, train=train))


def per_question(
    model: Any, questions: pd.DataFrame, split: Split, session_only: bool = False
) -> np.ndarray:
    """Compute the NDCG@10 of each question; see `next_ndcg`.

    Parameters
    ----------
    model : SessionRecommender
        Fitted. A transformer is given no event that weighs less than `LEAST`.
    questions : DataFrame
        See `sample_questions`.
    split : Split
        Gives the catalogue.
    session_only : bool
        Give the model the present session instead of the whole history.

    Returns
    -------
    ndarray of float, shape (n_questions,)

    Examples
    --------
    >>> from vidrec_utils.behavior_based import SequentialRules
    >>> times = pd.date_range("2025-01-01", periods=2, freq="5min", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": ["a", "b"], "timestamp": times})
    >>> split = Split(log.assign(watch_ratio=1.0), None, None, pd.DataFrame(index=["a", "b"]), "")
    >>> row = {"target": "b", "timestamp": times[1], "history": ["a"], "weights": [1.0]}
    >>> questions = pd.DataFrame([{**row, "in_session": 1, "seen": ["a"]}])
    >>> print(per_question(SequentialRules().fit(split), questions, split))
    [1.]
    """
    least = LEAST if isinstance(model, SASRec) else 0.0
    return next_ndcg(model, questions, split.videos, 10, least, session_only)


def recorded() -> pd.DataFrame:
    """Read the record: a row for each trial, by `model`, `order` and `seed`.

    Returns
    -------
    DataFrame
        `week` and `next`, the NDCG@10 of both tasks with the ends of their intervals (`_low`,
        `_high`), and for controls the paired difference "as watched minus this", by task
        (`week_lost`, with `_low` and `_high`, and `next_lost`), and `best_epoch`.

    Examples
    --------
    >>> sorted(recorded()["model"].unique())
    ['ALS', 'EASE', 'SASRec', 'rules', 'window']
    """
    return pd.DataFrame(json.loads(RECORD.read_text("utf-8"))["rows"])
