"""Looking at recommendations: whom to look at, and why they got what they got."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.behavior_based.als import ALS
from vidrec_utils.behavior_based.reasons import HistoryReasons


def far_apart(model: ALS, n: int = 3, least: int = 10) -> list[str]:
    """Users whose vectors point in directions as different as can be found.

    The first is the one least like the average; each next one is the least like all before.

    Parameters
    ----------
    model : ALS
        Fitted.
    n : int
        How many.
    least : int
        Videos that a user must have; if nobody has as many, everybody is asked.

    Returns
    -------
    list of str
        User ids; fewer than `n` if there are fewer users.
    """
    counts = np.diff(model.matrix.indptr)
    asked = np.flatnonzero(counts >= least)
    asked = asked if len(asked) else np.arange(len(counts))
    vectors = model.user_factors[asked]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    alike = unit @ unit.mean(axis=0) if len(unit) else np.empty(0)
    chosen: list[int] = []
    for _ in range(min(n, len(asked))):
        chosen.append(int(np.argmin(alike)))
        cosine = unit @ unit[chosen[-1]]
        alike = cosine if len(chosen) == 1 else np.maximum(alike, cosine)
        alike[chosen] = np.inf
    return list(model.user_ids[asked[chosen]])


def why(model: HistoryReasons, user_id: str, k: int = 4, reasons: int = 3) -> pd.DataFrame:
    """A user's list, and the videos of their history that it rests on.

    Parameters
    ----------
    model : HistoryReasons
        Fitted: its scores are sums over a history.
    user_id : str
        Known, with a history.
    k, reasons : int
        How many recommendations, and how many reasons.

    Returns
    -------
    DataFrame
        `video_id`, `kind` ("because of", then "recommended"), `share`: of all that speaks for the
        list as a whole, the share of this reason; of all that speaks for a recommendation, the
        share that comes from the reasons above.
    """
    best = model.recommend([user_id], k=k)["video_id"]
    found = {video: model.explain(user_id, video).set_index("video_id") for video in best}
    speaks = pd.DataFrame({v: f["contribution"].clip(lower=0) for v, f in found.items()})
    total = speaks.sum(axis=1)
    top = total.sort_values(ascending=False, kind="stable").head(reasons)
    parts = speaks.loc[top.index].sum() / speaks.sum()
    rows = [(v, "because of", share) for v, share in (top / total.sum()).items()]
    rows += [(v, "recommended", share) for v, share in parts.items()]
    return pd.DataFrame(rows, columns=["video_id", "kind", "share"])
