"""Scores of several recommenders made comparable: plain functions on arrays."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

NORMALIZATIONS = ("zscore", "minmax", "rank")


def normalized(scores: np.ndarray, how: str = "zscore") -> np.ndarray:
    """Make scores comparable within each row (last axis); NaN is left out and stays.

    Parameters
    ----------
    scores : ndarray of float, shape (..., n_videos)
        Not changed.
    how : {"zscore", "minmax", "rank"}
        `"zscore"`: mean 0, deviation 1. `"minmax"`: from 0 to 1. `"rank"`: the share of the other
        videos that score lower, equal ones counting half.

    Returns
    -------
    ndarray of float32, of the same shape
        A row whose values are all the same becomes 0: it prefers nothing.

    Examples
    --------
    >>> normalized(np.array([[2.0, 4.0, 6.0]]), "minmax").tolist()
    [[0.0, 0.5, 1.0]]
    >>> normalized(np.array([[7.0, -3.0, 100.0]]), "rank").tolist()
    [[0.5, 0.0, 1.0]]
    """
    values = np.asarray(scores, dtype=np.float64)
    finite = np.isfinite(values)
    count = finite.sum(axis=-1, keepdims=True)  # (..., 1)
    low = smallest(values, finite)
    high = -smallest(-values, finite)
    if how == "rank":
        ranks = rankdata(values, axis=-1, nan_policy="omit")  # from 1, ties share the mean rank
        result = np.where(high == low, 0, (ranks - 1) / np.maximum(count - 1, 1))
        return np.where(finite, result, np.nan).astype(np.float32)
    if how == "minmax":
        center = low
        width = high - low
    else:
        center = np.where(finite, values, 0).sum(axis=-1, keepdims=True) / np.maximum(count, 1)
        squares = np.where(finite, (values - center) ** 2, 0)
        width = np.sqrt(squares.sum(axis=-1, keepdims=True) / np.maximum(count, 1))
    usable = high > low  # not width > 0: the mean of equal numbers is not always exactly theirs
    result = np.where(usable, (values - center) / np.where(usable, width, 1), 0)
    return np.where(finite, result, np.nan).astype(np.float32)


def reciprocal_ranks(scores: np.ndarray, constant: float = 60.0) -> np.ndarray:
    """`1 / (constant + rank)` along the last axis, the highest score having rank 1.

    Equal scores share the mean of their ranks; NaN has none, and stays.

    Examples
    --------
    >>> ranks = 1 / reciprocal_ranks(np.array([0.2, 0.9, 0.5]), constant=0)
    >>> ranks.round().tolist()
    [3.0, 1.0, 2.0]
    """
    ranks = rankdata(-np.asarray(scores, dtype=np.float64), axis=-1, nan_policy="omit")
    return (1 / (constant + ranks)).astype(np.float32)


def smallest(values: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """The smallest value of each row (last axis) among those marked; infinite if there is none."""
    return np.where(finite, values, np.inf).min(axis=-1, keepdims=True)
