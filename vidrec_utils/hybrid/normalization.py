"""Scores of several recommenders made comparable and added: plain functions on arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

NORMALISATIONS = ("zscore", "minmax", "rank")


def normalised(scores: np.ndarray, how: str = "zscore") -> np.ndarray:
    """Scores made comparable within each row (last axis), NaN left out and kept.

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
    """
    values = np.asarray(scores, dtype=np.float64)
    there = np.isfinite(values)
    count = there.sum(axis=-1, keepdims=True)
    if how == "rank":
        ranks = rankdata(values, axis=-1, nan_policy="omit")
        out = (ranks - 1) / np.maximum(count - 1, 1)
        flat = _largest(values, there) == _smallest(values, there)
        return np.where(there & flat, 0, np.where(there, out, np.nan)).astype(np.float32)
    low, high = _smallest(values, there), _largest(values, there)
    if how == "minmax":
        centre, width = low, high - low
    else:
        zero = np.where(there, values, 0)
        centre = zero.sum(axis=-1, keepdims=True) / np.maximum(count, 1)
        square = np.where(there, (values - centre) ** 2, 0).sum(axis=-1, keepdims=True)
        width = np.sqrt(square / np.maximum(count, 1))
    usable = high > low  # not width > 0: the mean of equal numbers is not always exactly theirs
    out = np.where(usable, (values - centre) / np.where(usable, width, 1), 0)
    return np.where(there, out, np.nan).astype(np.float32)


def reciprocal_ranks(scores: np.ndarray, constant: float = 60.0) -> np.ndarray:
    """`1 / (constant + rank)` along the last axis, the highest score having rank 1.

    Equal scores share the mean of their ranks; NaN has none, and stays.
    """
    ranks = rankdata(-np.asarray(scores, dtype=np.float64), axis=-1, nan_policy="omit")
    return (1 / (constant + ranks)).astype(np.float32)


def weighted(
    values: np.ndarray, weights: Sequence[float], leave_to_others: bool = False
) -> np.ndarray:
    """Weighted sum over the first axis.

    Parameters
    ----------
    values : ndarray, shape (n_parts, n_users, n_videos)
        Comparable values; NaN where a part has nothing to say.
    weights : sequence of float
        One for each part; they add up to 1.
    leave_to_others : bool
        Where a part has NaN, take the weighted mean over the others instead of its row's lowest
        value.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos)
        NaN where every part has NaN.
    """
    there = np.isfinite(values)
    lowest = _smallest(values, there)
    filled = np.where(there, values, np.where(np.isfinite(lowest), lowest, 0))
    weights = np.asarray(weights, dtype=np.float64)
    total = np.tensordot(weights, filled, axes=1)
    if leave_to_others:
        said = np.tensordot(weights, np.where(there, values, 0), axes=1)
        share = np.tensordot(weights, there.astype(np.float64), axes=1)
        total = np.where(share > 0, said / np.where(share > 0, share, 1), total)
    return np.where(there.any(axis=0), total, np.nan).astype(np.float32)


def simplex(parts: int, steps: int) -> list[tuple[float, ...]]:
    """All tuples of `parts` multiples of `1 / steps` that add up to 1, in lexical order."""
    bars = itertools.combinations(range(steps + parts - 1), parts - 1)
    edges = ((-1, *places, steps + parts - 1) for places in bars)
    return [tuple((b - a - 1) / steps for a, b in itertools.pairwise(edge)) for edge in edges]


def checked_weights(
    weights: Sequence[float] | Mapping[str, float] | None, names: Sequence[str]
) -> list[float]:
    """Weights as a list that adds up to 1, in the order of the names.

    Raises
    ------
    ValueError
        If there is not one for each name, one is negative or not finite, or all are zero.
    """
    if weights is None:
        weights = [1.0] * len(names)
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise ValueError(f"The weights name {sorted(weights)}, the parts are {sorted(names)}.")
        weights = [weights[name] for name in names]
    values = np.asarray(list(weights), dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"There are {values.size} weights for {len(names)} parts.")
    if not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise ValueError(f"The weights are {values.tolist()}; 0 or more is wanted, and not all 0.")
    return (values / values.sum()).tolist()


def _smallest(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where(there, values, np.inf).min(axis=-1, keepdims=True)


def _largest(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where(there, values, -np.inf).max(axis=-1, keepdims=True)
