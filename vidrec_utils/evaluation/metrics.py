"""Ranking metrics of lists, and bootstrap intervals of their means.

Definitions, for one user with `n` relevant videos and a list of `k`, where `hit_i` is 1 if the
video at rank `i` is relevant, else 0, and `h` is the number of hits:

============== ===================================================================================
hit_rate       1 if h > 0 else 0
precision      h / k (also where fewer than k videos were left to recommend)
recall         h / n (with n > k it cannot reach 1), or on demand h / min(n, k)
f1             harmonic mean of the two, 0 if both are 0
ndcg           sum_i hit_i / log2(i + 1), over the same sum for m hits at the top
               (Järvelin, Kekäläinen, ACM TOIS 2002, binary gains)
mrr            1 / rank of the first hit, 0 if there is none among the k
map            sum_i hit_i * (hits up to i) / i, over m
accuracy       share of all candidates that are on the list and relevant, or off it and irrelevant;
               close to 1 for any list where few videos are relevant, and shown for that reason
novelty        mean over the list of -log2((users shown the video + 1) / (users + 1)), in bits
               (self-information; Vargas, Castells, RecSys 2011)
popularity     mean over the list of the number of known exposures of the video
diversity      1 - mean cosine of the vectors of two videos on the list, over all pairs; needs
               vectors (intra-list diversity; Smyth, McClave, ICCBR 2001)
============== ===================================================================================

The ideal m of `ndcg` and `map` is min(n, k), the most hits that the list can hold. Others are in
print: n, with which a list shorter than n cannot reach 1, and k, with which nobody who has fewer
than k relevant videos can.

Over all users: `coverage`, the share of the catalogue that is on at least one list, and
`popularity_lift`, the mean popularity of the lists over that of the users' histories, minus 1, both
over the users who have a list and a history (Abdollahpouri et al., RMSE workshop 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from vidrec_utils.embeddings import Embeddings
from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.recommender import as_ids, blocks

RANKING_METRICS = ("hit_rate", "precision", "recall", "f1", "ndcg", "mrr", "map")
USER_METRICS = (*RANKING_METRICS, "accuracy", "novelty", "popularity")


def list_metrics(
    hits: np.ndarray, n_relevant: np.ndarray, k: int, ideal: str = "min(n, k)", recall: str = "n"
) -> pd.DataFrame:
    """Ranking metrics of lists, by the definitions above.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, up to k)
        Whether the video at each rank is relevant.
    n_relevant : ndarray of int, shape (n_users,)
        Relevant videos of each user, on the list or not; 0 gives NaN for metrics that divide by it.
    k : int
        Nominal length of the lists.
    ideal : {"min(n, k)", "n", "k"}
        What NDCG and MAP are divided by: so many hits at the top.
    recall : {"n", "min(n, k)"}
        What recall is divided by.

    Returns
    -------
    DataFrame
        One row a user, columns `RANKING_METRICS`.

    Examples
    --------
    The second and the third of three videos are hits, of four that are relevant:

    >>> list_metrics(np.array([[False, True, True]]), np.array([4]), k=3).round(3).T
                   0
    hit_rate   1.000
    precision  0.667
    recall     0.500
    f1         0.571
    ndcg       0.531
    mrr        0.500
    map        0.389
    """
    hits = np.asarray(hits)  # (users, k)
    blocks_of_users = list_blocks(hits) or [slice(0, 0)]
    by_block = [list_sums(hits[users]) for users in blocks_of_users]
    sums = ListSums(*map(np.concatenate, zip(*by_block, strict=True)))
    return normalized(sums, n_relevant, k, ideal, recall)


LIST_VALUES = 2**20
"""Positions of lists whose metrics are computed at once: 8 MB of float64."""


def list_blocks(lists: np.ndarray) -> list[slice]:
    """Slices of users, so that memory does not grow with several copies of their lists."""
    n_users = max(1, LIST_VALUES // max(lists.shape[1], 1))
    return [slice(start, start + n_users) for start in range(0, len(lists), n_users)]


class ListSums(NamedTuple):
    """What the metrics of a list are made of, before they are divided; each `(n_users,)`."""

    hit_rate: np.ndarray
    hits: np.ndarray
    gain: np.ndarray
    reciprocal_rank: np.ndarray
    precisions: np.ndarray


def list_sums(hits: np.ndarray) -> ListSums:
    """What the metrics of lists `(n_users, up to k)` are made of."""
    hits = hits.astype(np.float64)  # (users, k)
    ranks = np.arange(1, hits.shape[1] + 1)  # (k,)
    h = hits.sum(axis=1)  # number of hits, (users,)
    return ListSums(
        hit_rate=(h > 0).astype(float),
        hits=h,
        gain=hits @ (1 / np.log2(ranks + 1)),  # a hit at rank i gains 1 / log2(i + 1)
        # The first hit has the largest reciprocal rank; 0 if there is none.
        reciprocal_rank=(hits / ranks).max(axis=1, initial=0),
        # Precision at each hit: (hits up to i) / i.
        precisions=(hits * np.cumsum(hits, axis=1) / ranks).sum(axis=1),
    )


def normalized(
    sums: ListSums, n_relevant: np.ndarray, k: int, ideal: str, recall: str
) -> pd.DataFrame:
    """Divide the sums of lists by what the definitions ask for; see `list_metrics`."""
    n = np.asarray(n_relevant, dtype=int)  # (users,)
    options = {"n": n, "min(n, k)": np.minimum(n, k), "k": np.full_like(n, k)}
    m = options[ideal]  # hits of the ideal list
    possible = options[recall]  # hits that recall counts as all
    h = sums.hits
    # The gain of m hits at the top; no ideal without a relevant video: (most + 1,).
    gains = 1 / np.log2(np.arange(1, m.max(initial=0) + 1) + 1)
    best = np.where(n > 0, np.concatenate([[np.nan], np.cumsum(gains)])[m], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        # The harmonic mean of h / possible and h / k is 2h / (possible + k).
        f1 = np.where(h > 0, 2 * h / (possible + k), np.where(n > 0, 0.0, np.nan))
        return pd.DataFrame(
            {
                "hit_rate": sums.hit_rate,
                "precision": h / k,
                "recall": h / possible,
                "f1": f1,
                "ndcg": sums.gain / best,
                "mrr": sums.reciprocal_rank,
                "map": sums.precisions / np.where(n > 0, m, np.nan),
            }
        )


def list_means(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Mean of a per-video value over each list; NaN for an empty list."""
    means = np.empty(len(top))
    for users in list_blocks(top):
        lists = top[users]
        filled = lists >= 0  # (users, k); -1 is an empty position
        sums = np.where(filled, values[lists], 0.0).sum(axis=1)  # (users,)
        own = sums / np.maximum(filled.sum(axis=1), 1)
        means[users] = np.where(filled.any(axis=1), own, np.nan)
    return means


def accuracy(
    n_hits: np.ndarray, n_relevant: np.ndarray, candidates: np.ndarray, listed: np.ndarray
) -> np.ndarray:
    """Share of candidates that are relevant and listed, or irrelevant and not listed, `(n_users,)`.

    `n_hits` is the number of hits on each list, `n_relevant` and `candidates` count what there is,
    and `listed` is the length of each list, `(n_users,)`: a recommender whose own catalogue is
    small leaves positions empty, and an empty position recommends nothing wrong.
    """
    wrong = (listed - n_hits) + (n_relevant - n_hits)  # false positives and false negatives
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
        Lists; -1 is an empty position. Videos without a vector, or with one of length 0, are left
        out.

    Returns
    -------
    ndarray
        0: all alike, 1: at right angles on average. NaN where fewer than two videos have a vector.

    Notes
    -----
    The sum of the cosines of all pairs of m unit vectors follows from the length of their sum:
    `(|sum v|^2 - m) / 2`, so no pair is ever formed.

    Examples
    --------
    >>> vectors = pd.DataFrame([[1, 0], [2, 0], [0, 3]], index=["a", "b", "c"])
    >>> alike, apart = diversity(vectors, vectors.index, np.array([[0, 1], [0, 2]]))
    >>> print(round(alike, 3), round(apart, 3))
    0.0 1.0
    """
    frame = vectors if isinstance(vectors, pd.DataFrame) else vectors.frame()
    rows = frame.set_axis(as_ids(frame.index)).reindex(videos).to_numpy(np.float32)
    unit = unit_rows(rows)  # (n_videos, dim)
    known = np.append(unit.any(axis=1), False)  # the last row is that of an empty position, -1
    unit = np.vstack([unit, np.zeros_like(unit[:1])])
    unit[~known] = 0  # NaN rows, too
    out = np.empty(len(top))
    for block in blocks(len(top), top.shape[1] * unit.shape[1]):
        lists = top[block]
        m = known[lists].sum(axis=1)  # vectors on each list, (users,)
        total = unit[lists].sum(axis=1, dtype=np.float64)  # (users, dim)
        with np.errstate(invalid="ignore", divide="ignore"):
            # mean cosine over the m (m - 1) ordered pairs
            cosine = ((total**2).sum(axis=1) - m) / (m * (m - 1.0))
        out[block] = np.where(m > 1, 1 - cosine, np.nan)
    return out


DRAWN_VALUES = 2**20
"""Rows that are drawn at once (8 MB), whatever the number of users; it changes no result."""


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap: means of the columns over rows that are drawn with replacement.

    Rows are what is resampled, so they have to be independent of each other: users, or groups of
    clips, not single views. NaN values are left out of their column's mean. The percentiles of the
    means are a confidence interval (Efron, Tibshirani: An Introduction to the Bootstrap, 1993).

    Parameters
    ----------
    values : ndarray, shape (n, m)
        One row a user.
    resamples, seed : int
        Number of samples of n rows with replacement, and the seed of their generator.

    Returns
    -------
    ndarray, shape (resamples, m)

    Examples
    --------
    >>> draws = bootstrap_means(np.array([[0.0], [1.0]]), resamples=1000, seed=0)
    >>> print(np.quantile(draws, [0.025, 0.975]))
    [0. 1.]
    """
    n, m = values.shape
    if n == 0:
        return np.full((resamples, m), np.nan)
    rng = np.random.default_rng(seed)
    present = ~np.isnan(values)
    # Sums of values, and of their numbers, from the same draw: (n, 2m).
    columns = np.concatenate([np.where(present, values, 0.0), present], axis=1)
    draws = np.empty((resamples, m))
    n_samples = max(1, DRAWN_VALUES // n)
    for start in range(0, resamples, n_samples):
        size = min(n_samples, resamples - start)
        # Draw n rows for each sample, and count how often each row was drawn: (size, n).
        rows = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(rows.ravel(), minlength=size * n).reshape(size, n)
        sums = counts.astype(np.float64) @ columns  # (size, 2m)
        with np.errstate(invalid="ignore"):
            draws[start : start + size] = sums[:, :m] / sums[:, m:]
    return draws
