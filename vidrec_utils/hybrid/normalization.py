"""Scores of several recommenders made comparable: plain functions on arrays."""

from __future__ import annotations

import numpy as np

NORMALIZATIONS = ("zscore", "minmax", "rank")


def normalized(scores: np.ndarray, how: str = "zscore") -> np.ndarray:
    """Make scores comparable within each row (last axis); NaN is left out and stays.

    Parameters
    ----------
    scores : ndarray of float, shape (..., n_videos)
        Not changed. Scores in float32, as recommenders give them, are never copied to float64; only
        the sums over a row are.
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
    values = np.asarray(scores)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if how != "rank" and values.dtype == np.float32 and all_finite(values):
        return _normalized_whole(values, how)
    finite = np.isfinite(values)
    count = finite.sum(axis=-1, keepdims=True)  # (..., 1)
    low = smallest(values, finite)
    high = -smallest(-values, finite)
    if how == "rank":
        ranks = mean_ranks(np.where(finite, values, np.nan))  # from 1, ties share the mean rank
        lower = (ranks - 1) / np.maximum(count - 1, 1).astype(np.float32)  # NaN stays
        return np.where((high == low) & finite, np.float32(0), lower)
    if how == "minmax":
        center, width = low, high - low
    else:
        center, width = _mean_and_deviation(values, finite, count)
    usable = high > low  # not width > 0: the mean of equal numbers is not always exactly theirs
    scale = np.where(usable, width, 1).astype(values.dtype)
    result = np.full(values.shape, np.nan, dtype=values.dtype)
    result[finite] = 0
    moved = np.broadcast_to(usable, values.shape) & finite
    np.subtract(values, center.astype(values.dtype), out=result, where=moved)
    np.divide(result, scale, out=result, where=moved)
    return result.astype(np.float32, copy=False)


def all_finite(values: np.ndarray) -> bool:
    """Whether no value is NaN or infinite: their sum is finite, which takes a single quick pass.

    If the sum of finite values overflows, the answer is False, which costs time alone.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def _normalized_whole(values: np.ndarray, how: str) -> np.ndarray:
    """`normalized` for float32 values without gaps, in few passes."""
    if not values.size:
        return values.copy()
    low, high = (f(axis=-1, keepdims=True) for f in (values.min, values.max))
    if how == "minmax":
        result, width = values - low, high - low
    else:
        result = values - values.mean(axis=-1, keepdims=True)
        # what rounding left of the mean goes, too
        result -= result.mean(axis=-1, keepdims=True)
        width = np.sqrt(np.square(result).mean(axis=-1, keepdims=True))
    usable = (high > low) & (width > 0)
    result /= np.where(usable, width, np.float32(1))
    result[~usable[..., 0]] = 0
    return result


def _mean_and_deviation(
    values: np.ndarray, finite: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values of each row, summed in float64."""
    count = np.maximum(count, 1)
    where = True if finite.all() else finite  # without a mask it takes a fraction of the time
    mean = np.sum(values, axis=-1, keepdims=True, dtype=np.float64, where=where) / count
    squares = np.square(values - mean.astype(values.dtype))
    variance = np.sum(squares, axis=-1, keepdims=True, dtype=np.float64, where=where) / count
    return mean, np.sqrt(variance)


def reciprocal_ranks(scores: np.ndarray, constant: float = 60.0) -> np.ndarray:
    """`1 / (constant + rank)` along the last axis, the highest score having rank 1.

    Equal scores share the mean of their ranks; NaN has none, and stays.

    Examples
    --------
    >>> ranks = 1 / reciprocal_ranks(np.array([0.2, 0.9, 0.5]), constant=0)
    >>> ranks.round().tolist()
    [3.0, 1.0, 2.0]
    """
    return (1 / (np.float32(constant) + mean_ranks(-np.asarray(scores)))).astype(np.float32)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, the smallest value having rank 1.

    As `scipy.stats.rankdata(values, axis=-1, nan_policy="omit")`, which masks arrays and takes
    several times as long.

    Parameters
    ----------
    values : ndarray of float, shape (..., n)

    Returns
    -------
    ndarray of float32, of the same shape
        Equal values share the mean of their ranks; NaN has none, and stays.

    Examples
    --------
    >>> mean_ranks(np.array([5.0, np.nan, 1.0, 5.0])).tolist()
    [2.5, nan, 1.0, 2.5]
    """
    rows = values.reshape(-1, values.shape[-1])
    ranks = np.empty(rows.shape, dtype=np.float32)
    step = max(1, RANKED_VALUES // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        ranks[start : start + step] = _mean_ranks(rows[start : start + step])
    return ranks.reshape(values.shape)


RANKED_VALUES = 2**16
"""Values ranked at once, since sorting needs several arrays of integers as large."""


def _mean_ranks(rows: np.ndarray) -> np.ndarray:
    """`mean_ranks` of some rows, `(n_rows, n)`."""
    n = rows.shape[1]
    if rows.dtype == np.float32:
        order, ordered = _sorted_with_positions(rows)
    else:
        order = np.argsort(rows, axis=1)  # NaN comes last, so it moves no rank
        ordered = np.take_along_axis(rows, order, axis=1)
    # whether a group of equal values begins, and where  (n_groups,)
    begins = np.ones(ordered.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=begins[:, 1:])
    sizes = np.diff(np.flatnonzero(begins), append=begins.size)
    # ranks first, first + 1, ..., first + size - 1 have the mean first + (size - 1) / 2
    first = np.broadcast_to(np.arange(1, n + 1, dtype=np.float32), begins.shape)[begins]
    shared = first + (sizes - 1).astype(np.float32) / 2
    ranks = np.empty(rows.size, dtype=np.float32)
    ranks[(order + n * np.arange(len(rows))[:, None]).ravel()] = np.repeat(shared, sizes)
    ranks = ranks.reshape(rows.shape)
    ranks[np.isnan(rows)] = np.nan
    return ranks


def _sorted_with_positions(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of each row, and its values in that order as whole numbers; NaN comes last.

    The bits of a float are a whole number of the same order, once those of negative floats are
    turned round. With its position in the lower half, one sort of 64 bits gives both, in a fraction
    of the time of `argsort`.
    """
    bits = np.where(np.isnan(rows), np.float32(np.nan), rows + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)  # -0 is 0 by the addition above
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(rows.shape[1])
    keys.sort(axis=1)
    return keys & 0xFFFFFFFF, keys >> 32


def smallest(values: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """The smallest value of each row (last axis) among those marked; infinite if there is none."""
    where = True if finite.all() else finite  # without a mask it takes a fraction of the time
    return np.min(values, axis=-1, keepdims=True, where=where, initial=np.inf)
