"""Slices of an evaluation: the same recommender, measured for some users or some videos only.

The majority dominates a mean over everybody: a recommender may serve heavy users and yesterday's
favourites well, and nobody else. These are the groups, wherever the course names them. *Known* are
the events before the evaluated part: those of train, and if the test is evaluated, of validation.

============== ===================================================================================
head videos    the fifth of the catalogue with most known events (of equal ones the first in the
               catalogue), without cold videos
tail videos    all other videos, cold ones included
cold videos    videos without a known event, of any user
new users      users without a known event
light users    users with known events, at most as many as the median of such users
heavy users    users with more known events than that median
============== ===================================================================================

A slice of **users** keeps their lists. A slice of **videos** asks another question: only its videos
are ranked, and only users count who have a relevant one among them. Otherwise whoever gives most
places of the list to popular videos would seem to be best at ranking popular videos. How many
places the lists over all videos give to each slice is a number of its own, `Result.list_share`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.results import Result
from vidrec_utils.recommender import as_ids

HEAD_SHARE = 0.2
"""Part of the catalogue that counts as its head (the "80/20" of Abdollahpouri et al., 2019)."""


def user_slices(per_user: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Users by their number of known events, as the module defines them."""
    known = per_user["n_known"]
    old = known > 0
    median = known[old].median() if old.any() else 0
    return {
        "light users": per_user[old & (known <= median)],
        "heavy users": per_user[known > median],
        "new users": per_user[~old],
    }


def cold_videos(split: Split, on: str = "validation") -> pd.Index:
    """Videos without an event before the evaluated part, in the order of the catalogue.

    Parameters
    ----------
    split : Split
    on : {"validation", "test"}
        The evaluated part.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> log = pd.DataFrame({"user_id": ["u", "u", "u"], "video_id": ["a", "b", "c"]})
    >>> videos = pd.DataFrame(index=["a", "b", "c"])
    >>> split = Split(log[:1], log[1:2], log[2:], videos, "by hand")
    >>> cold_videos(split, "validation").tolist(), cold_videos(split, "test").tolist()
    (['b', 'c'], ['c'])
    """
    videos = as_ids(split.videos.index)
    return videos[~videos.isin(as_ids(split.known(on)["video_id"]))]


def popularity_groups(events: np.ndarray) -> dict[str, np.ndarray]:
    """Head, tail and cold videos, as the module defines them.

    Parameters
    ----------
    events : ndarray, shape (n_videos,)
        Known events of each video, in the order of the catalogue.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_videos,)

    Examples
    --------
    >>> groups = popularity_groups(np.array([0, 7, 2, 9, 1]))
    >>> {name: np.flatnonzero(group).tolist() for name, group in groups.items()}
    {'cold videos': [0], 'head videos': [3], 'tail videos': [0, 1, 2, 4]}
    """
    head = np.zeros(len(events), dtype=bool)
    head[np.argsort(-events, kind="stable")[: int(np.ceil(HEAD_SHARE * len(events)))]] = True
    head &= events > 0
    return {"cold videos": events == 0, "head videos": head, "tail videos": ~head}


def value_groups(table: pd.DataFrame, by: str) -> dict[str, np.ndarray]:
    """Groups `"by: value"` of the videos that have a value in a column, as masks.

    Parameters
    ----------
    table : DataFrame
        The split's videos.
    by : str
        A column of it, such as `"category"`; videos without a value are in no group.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    if by not in table:
        raise KeyError(f"The videos have no column {by!r}; they have {', '.join(table)}.")
    values = table[by]
    return {
        f"{by}: {value}": (values == value).fillna(False).to_numpy(dtype=bool)
        for value in sorted(values.dropna().unique(), key=str)
    }


def list_share(groups: Mapping[str, np.ndarray], top: np.ndarray) -> dict[str, np.ndarray]:
    """Share of each list that goes to each group of videos.

    Parameters
    ----------
    groups : mapping of str to ndarray of bool, shape (n_videos,)
    top : ndarray of int, shape (n_users, k)
        Columns of the catalogue; -1 is an empty position, which goes to nobody.

    Returns
    -------
    dict of str to ndarray of float, shape (n_users,)
        NaN where a list is empty.

    Examples
    --------
    >>> share = list_share({"head": np.array([True, False])}, np.array([[0, 1], [0, -1]]))
    >>> share["head"].tolist()
    [0.5, 1.0]
    """
    filled = top >= 0  # (users, k)
    n = np.where(filled.any(axis=1), filled.sum(axis=1), np.nan)  # (users,)
    return {name: (group[top] & filled).sum(axis=1) / n for name, group in groups.items()}


def by_slice(
    result: Result, metric: str = "ndcg", names: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row a slice that has users: `mean, low, high, n_users, list_share` of one metric.

    `list_share` is the mean share of the lists over all videos that goes to a slice of videos; NaN
    for slices of users.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> from vidrec_utils.evaluation import evaluate
    >>> result = evaluate(Popularity().fit(split), split, k=1)
    >>> table = by_slice(result, "recall", ["light users", "cold videos"])
    >>> table[["mean", "list_share"]].round(2).to_numpy().tolist()
    [[0.67, nan], [0.67, 1.0]]
    """
    chosen = result.slices if names is None else names
    rows = {name: result.table(name).loc[metric] for name in chosen if len(result.rows(name))}
    table = pd.DataFrame(rows).T.rename_axis("slice")
    return table.assign(list_share=result.list_share.mean().reindex(table.index))
