"""Newcomers: the same people, asked about again and again as if they had only just arrived."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vidrec_utils.evaluation import Result, evaluate
from vidrec_utils.recommender import Recommender, as_ids

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split


def newcomers(split: Split, share: float = 0.3, least: int = 10, seed: int = 0) -> pd.Index:
    """Draw users who will play newcomers.

    Parameters
    ----------
    split : Split
        Not changed.
    share : float
        Of those who may be drawn.
    least : int
        Events that a user must have in train; and there must be an event in test.
    seed : int
        For the draw.

    Returns
    -------
    Index of str
        Sorted; at least one user.

    Raises
    ------
    ValueError
        If the share is impossible, or nobody has as many events.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
    counts = pd.Series(as_ids(split.train["user_id"])).value_counts()
    asked = as_ids(split.test["user_id"]).unique()
    able = counts.index[counts >= least].intersection(asked).sort_values()
    if not len(able):
        raise ValueError(f"Nobody in test has {least} events in train; ask for fewer.")
    n = max(1, round(share * len(able)))
    drawn = np.random.default_rng(seed).choice(len(able), n, replace=False)
    return able[np.sort(drawn)]


def with_history(split: Split, user_ids: Iterable[str], events: int) -> Split:
    """The split as it would be if these users had arrived late.

    Parameters
    ----------
    split : Split
        Not changed; its train needs timestamps.
    user_ids : iterable of str
        Of `newcomers`.
    events : int
        How many events each of them keeps in train, the latest; 0 makes them unknown. Everybody
        else keeps all.

    Returns
    -------
    Split
        Validation and test hold these users alone.

    Raises
    ------
    ValueError
        If `events` is negative.
    """
    if events < 0:
        raise ValueError(f"events is {events}; it must be 0 or more.")
    users = as_ids(list(user_ids))
    theirs = as_ids(split.train["user_id"]).isin(users)
    own = split.train[theirs].sort_values("timestamp", kind="stable")
    kept = own.groupby("user_id", sort=False).tail(events).index
    train = split.train[~theirs | split.train.index.isin(kept)]
    validation, test = (
        part[as_ids(part["user_id"]).isin(users)] for part in (split.validation, split.test)
    )
    return dataclasses.replace(split, train=train, validation=validation, test=test)


def compare_newcomers(
    models: Iterable[Recommender],
    split: Split,
    known: Iterable[int] = (0, 3, 10, 30),
    share: float = 0.3,
    k: int = 10,
    on: str = "validation",
    seed: int = 0,
) -> dict[tuple[str, int], Result]:
    """Let some people play newcomers, and fit every model anew for each number of known events.

    Parameters
    ----------
    models : iterable of Recommender
        Copies of them are fitted.
    split : Split
        See `with_history`.
    known : iterable of int
        Numbers of events.
    share, seed
        See `newcomers`; they must have more events than the largest number known.
    k, on
        See `evaluation.evaluate`.

    Returns
    -------
    dict of (str, int) to Result
        By the model's name and the number of events, over the newcomers alone.
    """
    known = list(known)
    people = newcomers(split, share, max(10, *known), seed)
    models = list(models)
    found = {}
    for events in known:
        late = with_history(split, people, events)
        for model in models:
            fitted = copy.copy(model).fit(late)
            found[model.name, events] = evaluate(fitted, late, k, on, seed, progress=False)
    return found
