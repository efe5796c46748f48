"""Looking at what a strategy recommends: whom to look at, and what their lists rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.content_based.profiles import ContentRecommender
from vidrec_utils.recommender import position


def unlike_users(model: ContentRecommender, n: int = 3, least: int = 10) -> list[str]:
    """Users whose profiles point in directions as different as can be found.

    The first has the profile furthest from the average of all (the longest after centring); each
    next one is the least like all before, by cosine.

    Parameters
    ----------
    model : ContentRecommender
        Fitted.
    n : int
        How many; fewer are returned if there are fewer users.
    least : int
        Videos that a user must have; if nobody has as many, everybody with a profile is asked.
    """
    counts = np.diff(model.shares.indptr)
    asked = np.flatnonzero(model.profiled & (counts >= least))
    asked = asked if len(asked) else np.flatnonzero(model.profiled)
    if not len(asked):
        return []
    rows = model.profiles[asked] - model.profiles[asked].mean(axis=0)
    length = np.linalg.norm(rows, axis=1)
    unit = rows / np.maximum(length, 1e-12)[:, None]
    chosen = [int(np.argmax(length))]
    while len(chosen) < min(n, len(asked)):
        alike = (unit @ unit[chosen].T).max(axis=1)
        alike[chosen] = np.inf
        chosen.append(int(np.argmin(alike)))
    return list(model.user_ids[asked[chosen]])


def portrait(model: ContentRecommender, user_id: str, k: int = 4, reasons: int = 3) -> pd.DataFrame:
    """A user's list, and the videos of their history that speak for it most.

    Returns
    -------
    DataFrame
        `video_id`, `kind` ("because of", then "recommended"), `share`: of a reason, its share of
        all that speaks for the whole list; of a recommendation, what part of all that speaks for it
        comes from the reasons above it.

    Raises
    ------
    KeyError
        If the user is unknown.
    """
    best = model.recommend([user_id], k=k)["video_id"]
    history = model.shares[[position(model.user_ids, user_id, "user")]].tocoo()
    similarity = model._similarity(history.col, model.video_ids.get_indexer(best))
    speaks = np.maximum(history.data[:, None] * similarity, 0)  # (history, list)
    total = speaks.sum(axis=1)
    top = np.argsort(-total, kind="stable")[:reasons]
    share = total[top] / max(total.sum(), 1e-12)
    part = speaks[top].sum(axis=0) / np.maximum(speaks.sum(axis=0), 1e-12)
    return pd.DataFrame(
        {
            "video_id": [*model.video_ids[history.col[top]], *best],
            "kind": ["because of"] * len(top) + ["recommended"] * len(best),
            "share": np.concatenate([share, part]),
        }
    )
