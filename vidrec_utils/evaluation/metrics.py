"""Ranking metrics of lists, and bootstrap intervals of their means.

Definitions, for one user with `n` relevant videos and a list of `k`, where `hit_i` is 1 if the
video at rank `i` is relevant, else 0, and `h` is the number of hits:

============== ===================================================================================
hit_rate       1 if h > 0 else 0
precision      h / k (also where fewer than k videos were left to recommend)
recall         h / n (not min(n, k): with n > k it cannot reach 1)
f1             harmonic mean of the two, 0 if both are 0
ndcg           sum_i hit_i / log2(i + 1), over the same sum for min(n, k) hits at the top
               (Järvelin, Kekäläinen, ACM TOIS 2002, binary gains)
mrr            1 / rank of the first hit, 0 if there is none among the k
map            sum_i hit_i * (hits up to i) / i, over min(n, k)
accuracy       share of all candidates that are rightly on the list or rightly off it; close to 1
               for any list where few videos are relevant, and shown for that reason
novelty        mean over the list of -log2((users shown the video + 1) / (users + 1)), in bits
               (self-information; Vargas, Castells, RecSys 2011)
popularity     mean over the list of the number of known exposures of the video
diversity      1 - mean cosine of the vectors of two videos on the list, over all pairs; needs
               vectors (intra-list diversity; Smyth, McClave, ICCBR 2001)
============== ===================================================================================

Over all users: `coverage`, the share of the catalogue that is on at least one list, and
`popularity_lift`, the mean popularity of the lists over that of the users' histories, minus 1, both
over the users who have a list and a history (Abdollahpouri et al., RMSE workshop 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.recommender import BLOCK_VALUES, as_ids

if TYPE_CHECKING:
    from vidrec_utils.embeddings import Embeddings

RANKING_METRICS = ("hit_rate", "precision", "recall", "f1", "ndcg", "mrr", "map")
USER_METRICS = (*RANKING_METRICS, "accuracy", "novelty", "popularity")


def list_metrics(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> pd.DataFrame:
    """Ranking metrics of lists, by the definitions above.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, up to k)
        Whether the video at each rank is relevant.
    n_relevant : ndarray of int, shape (n_users,)
        Relevant videos of each user, on the list or not; 0 gives NaN for metrics that divide by it.
    k : int
        Nominal length of the lists.

    Returns
    -------
    DataFrame
        One row a user, columns `RANKING_METRICS`.
    """
    hits = np.asarray(hits, dtype=np.float64)
    n = np.asarray(n_relevant, dtype=np.float64)
    ranks = np.arange(1, hits.shape[1] + 1)
    total = hits.sum(axis=1)
    gains = 1 / np.log2(np.arange(1, k + 1) + 1)
    possible = np.minimum(n, k).astype(int)
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[possible]
    first = np.where(total > 0, hits.argmax(axis=1) + 1, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = total / n
        precision = total / k
        f1 = np.where(total > 0, 2 * total / (n + k), np.where(n > 0, 0.0, np.nan))
        average = (hits * np.cumsum(hits, axis=1) / ranks).sum(axis=1) / np.minimum(n, k)
    return pd.DataFrame(
        {
            "hit_rate": (total > 0).astype(float),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "ndcg": hits @ gains[: hits.shape[1]] / ideal,
            "mrr": 1 / first,
            "map": average,
        }
    )


def list_means(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Mean of a per-video value over each list; NaN for an empty list."""
    there = top >= 0
    sums = np.where(there, values[top], 0.0).sum(axis=1)
    return np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), np.nan)


def accuracy(
    hits: np.ndarray, n_relevant: np.ndarray, candidates: np.ndarray, listed: np.ndarray
) -> np.ndarray:
    """Share of candidates rightly on the list or rightly off it, `(n_users,)`.

    `listed` is the number of places filled, `(n_users,)`: a recommender whose own catalogue is
    small leaves some empty, and an empty place recommends nothing wrong.
    """
    found = hits.sum(axis=1)
    wrong = (listed - found) + (n_relevant - found)
    return 1 - wrong / candidates


def diversity(vectors: Embeddings | pd.DataFrame, videos: pd.Index, top: np.ndarray) -> np.ndarray:
    """Intra-list diversity by cosine distance, `(n_users,)`.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        One row a video, by id. Centre them first if they share a large common part.
    videos : Index
        The catalogue, which `top` points into.
    top : ndarray of int, shape (n_users, up to k)
        Lists; -1 is an empty place. Videos without a vector, or with one of length 0, are left out.

    Returns
    -------
    ndarray
        0: all alike, 1: at right angles on average. NaN where fewer than two videos have a vector.

    Notes
    -----
    The sum of the cosines of all pairs of m unit vectors follows from the length of their sum:
    `(|sum v|^2 - m) / 2`, so no pair is ever formed.
    """
    frame = vectors if isinstance(vectors, pd.DataFrame) else vectors.frame()
    rows = frame.set_axis(as_ids(frame.index)).reindex(videos).to_numpy(np.float32)
    unit = unit_rows(rows)
    there = np.append(unit.any(axis=1), False)  # the last stands for an empty place, -1
    unit = np.vstack([unit, np.zeros_like(unit[:1])])
    unit[~there] = 0
    out = np.empty(len(top))
    step = max(1, BLOCK_VALUES // max(1, top.shape[1] * unit.shape[1]))
    for start in range(0, len(top), step):
        lists = top[start : start + step]
        m = there[lists].sum(axis=1)
        total = unit[lists].sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = ((total**2).sum(axis=1) - m) / (m * (m - 1.0))
        out[start : start + step] = np.where(m > 1, 1 - cosine, np.nan)
    return out


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of the columns over resampled rows; NaN values are left out of their column's mean.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        One row a user.
    resamples, seed : int
        How many samples of n rows with replacement, and the seed of their generator.

    Returns
    -------
    ndarray, shape (resamples, m)
    """
    n, m = values.shape
    if n == 0:
        return np.full((resamples, m), np.nan)
    rng = np.random.default_rng(seed)
    there = ~np.isnan(values)
    filled = np.concatenate([np.where(there, values, 0.0), there], axis=1)
    draws = np.empty((resamples, m))
    step = max(1, 2**22 // n)  # counts of a few dozen MB at a time
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        rows = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(rows.ravel(), minlength=size * n).reshape(size, n)
        sums = counts.astype(np.float64) @ filled
        with np.errstate(invalid="ignore"):
            draws[start : start + size] = sums[:, :m] / sums[:, m:]
    return draws
