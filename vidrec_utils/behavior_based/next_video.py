"""The next video of a session as a question: from all that came before, find what succeeded next.

A list for the days to come asks what somebody will enjoy at all. A session asks for less and for
more: one video, now, after these. Here the order of watching has its best chance.

References
----------
Hidasi, Karatzoglou, Baltrunas, Tikk: Session-based Recommendations with Recurrent Neural Networks.
ICLR 2016 (arXiv:1511.06939).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.behavior_based.sessions import SessionRecommender, in_order, session_numbers
from vidrec_utils.events import event_weights, published_by
from vidrec_utils.events.matrices import as_ids
from vidrec_utils.events.rules import LabelRule


def next_questions(
    past: pd.DataFrame, present: pd.DataFrame, rule: LabelRule, least: float = 0.5
) -> pd.DataFrame:
    """List the successes of `present` that are asked for, each with the events before it.

    An event is asked for if it is a success, the person was never shown its video before, and at
    least one earlier event of the same session weighs `least` or more.

    Parameters
    ----------
    past, present : DataFrame
        Exposures with times; only those of `present` are asked for, and both are history.
    rule : LabelRule
        Says what a success is; see `events.fit_label`.
    least : float
        Smallest event weight of what counts as enjoyed earlier in the session.

    Returns
    -------
    DataFrame
        One row a question: `user_id`, `target` (the video), `timestamp`, `history` (videos shown
        before it that weigh anything, the latest last), `weights` (of these), `in_session` (how
        many of them belong to the session) and `seen` (all videos shown before it).

    Examples
    --------
    Ann watches a and b to the end, in one session; both are new to her, so b is asked for:

    >>> times = pd.date_range("2025-01-01", periods=3, freq="5min", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": list("abc"), "timestamp": times})
    >>> log["watch_ratio"] = [1.0, 1.0, 0.1]
    >>> from vidrec_utils import events
    >>> rule = events.fit_label(log, None, "ratio")
    >>> questions = next_questions(log[:0], log, rule)
    >>> questions[["target", "history"]].to_numpy().tolist()
    [['b', ['a']]]
    """
    whole = pd.concat([past, present], ignore_index=True)
    asked = np.arange(len(whole)) >= len(past)
    asked &= rule.positives(whole).to_numpy()
    order = in_order(whole)
    ordered = whole.iloc[order]
    users, videos = (as_ids(ordered[name]) for name in ("user_id", "video_id"))
    session = session_numbers(ordered)  # (n,)
    weights = event_weights(whole).to_numpy()[order]
    first = ~pd.DataFrame({"user": users, "video": videos}).duplicated().to_numpy()
    asked = asked[order] & first
    start = np.searchsorted(pd.factorize(users)[0], pd.factorize(users)[0])  # the user's first row
    rows = []
    for row in np.flatnonzero(asked):
        before = np.arange(start[row], row)
        now = before[session[before] == session[row]]
        if not (weights[now] >= least).any():
            continue
        history = before[weights[before] > 0]
        rows.append(
            {
                "user_id": users[row],
                "target": videos[row],
                "timestamp": ordered["timestamp"].iloc[row],
                "history": videos[history].tolist(),
                "weights": weights[history].tolist(),
                "in_session": int((session[history] == session[row]).sum()),
                "seen": videos[before].tolist(),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = ["user_id", "target", "timestamp", "history", "weights", "in_session", "seen"]
"""Columns of a table of questions."""


def next_ndcg(
    model: SessionRecommender,
    questions: pd.DataFrame,
    videos: pd.DataFrame,
    k: int = 10,
    least: float = 0.0,
    session_only: bool = False,
) -> np.ndarray:
    """Compute the NDCG@k of each question: `1 / log2(rank + 1)` of the target, 0 below rank k.

    Ranked are all videos of the catalogue that were published by then and not shown before. Of
    videos with the same score as the target, all count as ranked before it.

    Parameters
    ----------
    model : SessionRecommender
        Fitted; it answers from the history of the question alone.
    questions : DataFrame
        See `next_questions`.
    videos : DataFrame
        The catalogue, indexed by video, with `published_at` if it is known.
    k : int
        Length of the lists.
    least : float
        Events of the history that weigh less are left out; `SASRec` reads from 0.5.
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
    >>> model = SequentialRules().fit(log.assign(watch_ratio=1.0))
    >>> row = {"target": "b", "timestamp": times[1], "history": ["a"], "weights": [1.0]}
    >>> question = pd.DataFrame([{**row, "in_session": 1, "seen": ["a"]}])
    >>> print(next_ndcg(model, question, pd.DataFrame(index=["a", "b"])))
    [1.]
    """
    arguments.at_least(1, k=k)
    catalogue = model.video_ids
    online = published_by(videos.reindex(catalogue), questions["timestamp"])  # (n, n_videos)
    gains = np.zeros(len(questions))
    for row, question in enumerate(questions.itertuples()):
        target = catalogue.get_indexer([question.target])[0]
        if target < 0:
            continue  # a video that the model does not know is never listed
        history, weights = question.history, np.asarray(question.weights)
        if session_only:
            history = history[len(history) - question.in_session :]
            weights = weights[len(weights) - question.in_session :]
        kept = np.flatnonzero(weights >= least)
        scores = np.array(model.score_next([history[i] for i in kept], weights[kept].tolist()))
        shown = catalogue.get_indexer(question.seen)
        scores[shown[shown >= 0]] = -np.inf
        scores[~online[row]] = -np.inf
        rank = int((scores >= scores[target]).sum())  # from 1, the target included
        if np.isfinite(scores[target]) and rank <= k:
            gains[row] = 1 / np.log2(rank + 1)
    return gains
