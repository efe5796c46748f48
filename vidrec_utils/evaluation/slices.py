"""Slices of an evaluation: the same lists, measured for some users or some videos only.

The majority dominates a mean over everybody: a recommender may serve heavy users and yesterday's
hits well, and nobody else. Groups of **users** keep their rows. For a group of **videos** the lists
stay as they are, and only relevant videos of the group count as relevant.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from vidrec_utils.evaluation.metrics import list_metrics
from vidrec_utils.evaluation.results import Result
from vidrec_utils.evaluation.task import Task
from vidrec_utils.recommender import as_ids

HEAD_SHARE = 0.2
"""Part of the catalogue that counts as its head (the "80/20" of Abdollahpouri et al., 2019)."""


def user_slices(per_user: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Users by their number of known events: new (none), light (up to the median), heavy."""
    known = per_user["n_known"]
    old = known > 0
    median = known[old].median() if old.any() else 0
    return {
        "light users": per_user[old & (known <= median)],
        "heavy users": per_user[known > median],
        "new users": per_user[~old],
    }


def video_groups(task: Task, table: pd.DataFrame, by: str | None = None) -> dict[str, np.ndarray]:
    """Groups of videos as masks over the catalogue.

    Parameters
    ----------
    task : Task
    table : DataFrame
        The split's videos, in the order of the catalogue.
    by : str, optional
        Column of `table`, such as `"category"`, each value of which makes a group `"by: value"`;
        videos without a value are in none.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_videos,)
        `"cold videos"` (no known event), `"head videos"` (the fifth of the catalogue with most
        known events, cold ones never), `"tail videos"` (all others), and those of `by`.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    shown = task.exposures
    head = np.zeros(len(shown), dtype=bool)
    head[np.argsort(-shown, kind="stable")[: int(np.ceil(HEAD_SHARE * len(shown)))]] = True
    head &= shown > 0
    groups = {"cold videos": shown == 0, "head videos": head, "tail videos": ~head}
    if by is None:
        return groups
    if by not in table:
        raise KeyError(f"The videos have no column {by!r}; they have {', '.join(table)}.")
    values = pd.Series(table[by].to_numpy(), index=as_ids(table.index))
    for value in sorted(values.dropna().unique(), key=str):
        groups[f"{by}: {value}"] = (values == value).fillna(False).to_numpy(dtype=bool)
    return groups


def video_slice(
    task: Task, group: np.ndarray, top: np.ndarray, hits: np.ndarray, per_user: pd.DataFrame
) -> pd.DataFrame:
    """Metrics of users when only relevant videos of the group count as relevant.

    Users without one are left out; accuracy, which counts the whole catalogue, is NaN.
    """
    n_relevant = np.asarray(task.relevant @ group.astype(np.int32)).ravel()
    hits_in_group = hits & group[top] & (top >= 0)  # (users, k)
    frame = list_metrics(hits_in_group, n_relevant, task.protocol.k).set_axis(per_user.index)
    frame = frame.assign(accuracy=np.nan, n_relevant=n_relevant)
    return frame.join(per_user[per_user.columns.difference(frame.columns)])[n_relevant > 0]


def by_slice(
    result: Result, metric: str = "ndcg", names: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row a slice that has users: `mean, low, high, n_users` of one metric.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> test = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, train[:0], test, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> from vidrec_utils.evaluation import evaluate
    >>> result = evaluate(Popularity().fit(split), split, k=1)
    >>> by_slice(result, "recall", ["light users", "cold videos"])["mean"].round(2).to_dict()
    {'light users': 0.67, 'cold videos': 0.67}
    """
    chosen = result.slices if names is None else names
    rows = {name: result.table(name).loc[metric] for name in chosen if len(result.rows(name))}
    return pd.DataFrame(rows).T.rename_axis("slice")
