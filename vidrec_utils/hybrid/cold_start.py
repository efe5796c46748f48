"""Newcomers: how well people are served who have only just arrived, after how many events."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import Result, evaluate
from vidrec_utils.events import Label, as_ids, times_of
from vidrec_utils.recommender import Recommender


def newcomers(split: Split, share: float = 0.3, least: int = 10, seed: int = 0) -> pd.Index:
    """Draw users who will play newcomers.

    Parameters
    ----------
    split : Split
        Not changed.
    share : float
        Share of the eligible users.
    least : int
        Events that an eligible user has in train; and there must be an event in test.
    seed : int
        The users are drawn with this seed.

    Returns
    -------
    Index of str
        Sorted; at least one user.

    Raises
    ------
    ValueError
        If the share is impossible, or nobody has as many events.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> train = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "video_id": ["a", "b", "a"]})
    >>> later = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["c", "c"]})
    >>> split = Split(train, later, later, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> newcomers(split, share=1.0, least=2).tolist()
    ['ann']
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
    counts = pd.Series(as_ids(split.train["user_id"])).value_counts()
    tested = as_ids(split.test["user_id"]).unique()
    eligible = counts.index[counts >= least].intersection(tested).sort_values()
    if not len(eligible):
        raise ValueError(f"Nobody in test has {least} events in train; ask for fewer.")
    n = max(1, round(share * len(eligible)))
    return drawn_users(eligible, n, np.random.default_rng(seed))


def possible_histories(
    split: Split, known: Iterable[int] = (0, 3, 10, 30), on: str = "validation", people: int = 10
) -> tuple[int, ...]:
    """Tell which numbers of known events a log can answer for, before `compare_newcomers`.

    In many logs few people come back: MovieLens holds one sitting of most, and in KuaiRand half of
    the people have five events or fewer.

    Parameters
    ----------
    split : Split
        Not changed.
    known : iterable of int
        Numbers of events that a newcomer is to keep in train.
    on : {"validation", "test"}
        The part that is to be predicted.
    people : int
        Number of people from which the comparison is worth its while.

    Returns
    -------
    tuple of int
        Those of `known` that at least so many people have in train (or ten events, if it is fewer)
        who have an event in `on` and one in test, too; empty if there are none.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> train = pd.DataFrame({"user_id": ["ann"] * 12 + ["bob"] * 3, "video_id": "a"})
    >>> later = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["c", "c"]})
    >>> split = Split(train, later, later, pd.DataFrame(index=["a", "c"]), "by hand")
    >>> possible_histories(split, (0, 10, 30), people=1)
    (0, 10)
    >>> possible_histories(split, (0, 10, 30), people=2)
    ()
    """
    arguments.one_of(("validation", "test"), on=on)
    counts = pd.Series(as_ids(split.train["user_id"])).value_counts()
    for part in (split.test, getattr(split, on)):
        counts = counts[counts.index.isin(as_ids(part["user_id"]))]
    return tuple(n for n in known if (counts >= max(10, n)).sum() >= people)


def drawn_users(users: pd.Index, most: int, rng: np.random.Generator) -> pd.Index:
    """At most so many users, drawn without replacement, in the order in which they are given."""
    if len(users) <= most:
        return users
    return users[np.sort(rng.choice(len(users), most, replace=False))]


def with_history(
    split: Split, user_ids: Iterable[str], events: int, ordered: bool = False
) -> Split:
    """The split as it would be if these users had arrived late.

    Parameters
    ----------
    split : Split
        Not changed; its train needs timestamps, unless it is `ordered`.
    user_ids : iterable of str
        The late arrivals; `newcomers` draws some.
    events : int
        How many events each of them keeps in train, the latest; 0 makes them unknown. Everybody
        else keeps all.
    ordered : bool
        The rows of train are in the order in which things happened: the last rows are the latest.

    Returns
    -------
    Split
        Validation and test hold these users alone.

    Raises
    ------
    ValueError
        If `events` is negative, or train has no timestamps and is not `ordered`.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> train = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "video_id": ["a", "b", "a"]})
    >>> train["timestamp"] = pd.date_range("2025-01-01", periods=3)
    >>> later = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["c", "c"]})
    >>> split = Split(train, later, later, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> late = with_history(split, ["ann"], events=1)
    >>> late.train[["user_id", "video_id"]].to_numpy().tolist()
    [['ann', 'b'], ['bob', 'a']]
    >>> late.test["user_id"].tolist()
    ['ann']
    """
    arguments.at_least(0, events=events)
    users = as_ids(list(user_ids))
    late = as_ids(split.train["user_id"]).isin(users)
    if ordered:
        times = pd.Series(0, index=split.train.index)
    else:
        times = times_of(
            split.train,
            "so nothing shows which events are the latest. Give the times, or say ordered=True if "
            "the rows are in the order in which things happened",
        )
    # By position: logs that were put together with pd.concat repeat their index.
    log = pd.DataFrame({"user": as_ids(split.train["user_id"]), "time": times.array})
    latest = log[late].sort_values("time", kind="stable").groupby("user").tail(events).index
    return dataclasses.replace(
        split,
        train=split.train[~late | log.index.isin(latest)],
        validation=split.validation[as_ids(split.validation["user_id"]).isin(users)],
        test=split.test[as_ids(split.test["user_id"]).isin(users)],
    )


def compare_newcomers(
    models: Iterable[Recommender],
    split: Split,
    known: Iterable[int] = (0, 3, 10, 30),
    share: float = 0.3,
    k: int = 10,
    on: str = "validation",
    seed: int = 0,
    ordered: bool = False,
    label: Label = None,
) -> dict[tuple[str, int], Result]:
    """Let some people play newcomers, and fit every model anew for each number of known events.

    A newcomer's hidden events are hidden from the models alone. What the newcomer was shown stays
    out of the candidates, however few events the models know: a platform does not show a video
    twice, so these videos could only be wrong answers, and a model that knows the newcomer's taste
    would give more of them. All results are therefore answers to the same questions, and `compare`
    takes any two of them.

    Parameters
    ----------
    models : iterable of Recommender
        Copies of them are fitted.
    split, ordered
        See `with_history`.
    known : iterable of int
        Numbers of events.
    share, seed
        See `newcomers`; they must have more events than the largest number known.
    k, on, label
        See `evaluation.evaluate`.

    Returns
    -------
    dict of (str, int) to Result
        By the model's name and the number of events, over the newcomers alone. `newcomer_table`
        makes a table of them, with the number of newcomers.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> videos = [str(n) for n in range(12)]
    >>> train = pd.DataFrame({"user_id": "ann", "video_id": videos[:11], "watch_ratio": 1.0})
    >>> train["timestamp"] = pd.date_range("2025-01-01", periods=11)
    >>> later = pd.DataFrame({"user_id": ["ann"], "video_id": videos[11:], "watch_ratio": 1.0})
    >>> split = Split(train, later, later, pd.DataFrame(index=videos), "by hand")
    >>> results = compare_newcomers([Popularity()], split, known=(10,), share=1.0)
    >>> {key: float(result.per_user["recall"].mean()) for key, result in results.items()}
    {('popularity', 10): 1.0}
    """
    known = list(known)
    users = newcomers(split, share, max(10, *known), seed)
    models = list(models)
    results = {}
    for events in known:
        late = with_history(split, users, events, ordered)
        # The models know the events of `late`; the questions mask those of the whole log.
        questions = dataclasses.replace(late, train=split.train)
        for model in models:
            fitted = copy.copy(model).fit(late)
            results[model.name, events] = evaluate(
                fitted, questions, k, on, seed, progress=False, label=label
            )
    return results


def newcomer_table(results: Mapping[tuple[str, int], Result], metric: str = "ndcg") -> pd.DataFrame:
    """One metric of each model by the number of events that it knows of the newcomers.

    Parameters
    ----------
    results : mapping of (str, int) to Result
        See `compare_newcomers`.
    metric : str
        A column of `per_user`.

    Returns
    -------
    DataFrame
        Indexed by `model` and `events`: `mean, low, high, n_users`, the last the number of
        newcomers with a relevant video.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> videos = [str(n) for n in range(12)]
    >>> train = pd.DataFrame({"user_id": "ann", "video_id": videos[:11], "watch_ratio": 1.0})
    >>> train["timestamp"] = pd.date_range("2025-01-01", periods=11)
    >>> later = pd.DataFrame({"user_id": ["ann"], "video_id": videos[11:], "watch_ratio": 1.0})
    >>> split = Split(train, later, later, pd.DataFrame(index=videos), "by hand")
    >>> results = compare_newcomers([Popularity()], split, known=(0, 10), share=1.0)
    >>> newcomer_table(results, "recall")["n_users"].to_dict()
    {('popularity', 0): 1, ('popularity', 10): 1}
    """
    rows = {key: result.table().loc[metric] for key, result in results.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"n_users": int})
    return table.set_axis(pd.MultiIndex.from_tuples(rows, names=["model", "events"]))


def all_and_cold(result: Result, metric: str) -> tuple[float, float]:
    """Means of a metric over all users, and on cold videos (NaN if no user has one)."""
    cold = result.slices.get("cold videos")
    has_cold = cold is not None and len(cold) > 0
    mean_on_cold = float(cold[metric].mean()) if has_cold else np.nan
    return float(result.per_user[metric].mean()), mean_on_cold
