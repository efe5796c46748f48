"""Confidence intervals for shares and means of items in clusters, such as the clips of a subject.

Clips of one subject resemble each other, so a hundred clips of ten subjects say less than a hundred
clips of a hundred subjects. What is resampled is therefore the subject, with all its clips: the
cluster bootstrap. An interval that resamples clips, or Wilson's, which takes them for independent
tries, is too narrow. For users, who are independent, see `evaluation.bootstrap_means`.

References
----------
Davison, Hinkley: Bootstrap Methods and their Application. Cambridge University Press, 1997,
section 3.8. Field, Welsh: Bootstrapping clustered data. JRSS B 69(3), 2007. Wilson: Probable
inference, the law of succession, and statistical inference. JASA 22, 1927.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import binomtest

RESAMPLES = 2000
BLOCK = 2**22
"""Most counts of drawn clusters that are in memory at once."""


def cluster_codes(clusters: Sequence | pd.Series | None, n: int) -> np.ndarray:
    """Number the clusters of n items from 0; an item without a cluster (NA) is one of its own.

    Parameters
    ----------
    clusters : sequence, shape (n,), optional
        Cluster of each item; None: each item is a cluster.
    n : int
        Number of items.

    Raises
    ------
    ValueError
        If there is not one cluster for each item.

    Examples
    --------
    >>> print(cluster_codes(["ann", None, "ann", None], 4))
    [0 1 0 2]
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters for {n} items: give one for each.")
    codes = pd.factorize(pd.Series(list(clusters), dtype=object))[0]
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def cluster_sums(
    values: np.ndarray | sparse.csr_array,
    clusters: Sequence | pd.Series | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap whole clusters: sums of the columns over the items of the clusters drawn.

    Parameters
    ----------
    values : ndarray or csr_array, shape (n, m)
        One row an item.
    clusters : sequence, shape (n,), optional
        See `cluster_codes`.
    resamples, seed : int
        Each of so many samples has as many clusters as there are, drawn with replacement; and the
        seed of their generator.

    Returns
    -------
    ndarray, shape (resamples, m)

    Examples
    --------
    Two clusters of two equal items each: a sample holds both, or one of them twice.

    >>> sums = cluster_sums(np.array([[1], [1], [0], [0]]), ["x", "x", "y", "y"])
    >>> print(np.unique(sums))
    [0. 2. 4.]
    """
    n, m = values.shape
    codes = cluster_codes(clusters, n)
    size = codes.max(initial=-1) + 1  # clusters
    inside = sparse.csr_array((np.ones(n), (codes, np.arange(n))), shape=(size, n))
    totals = inside @ values  # of each cluster, (clusters, m)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, m))
    step = max(1, BLOCK // max(size, 1))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # how often each cluster is drawn into each sample, (rows, clusters)
        drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        sums[start : start + rows] = (totals.T @ counts.T.astype(float)).T
    return sums


def cluster_means(
    values: np.ndarray,
    clusters: Sequence | pd.Series | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap whole clusters: means of the columns over the items of the clusters drawn.

    Parameters
    ----------
    values, clusters, resamples, seed
        See `cluster_sums`; without NaN.

    Returns
    -------
    ndarray, shape (resamples, m)

    Examples
    --------
    >>> means = cluster_means(np.array([[1], [1], [0], [0]]), ["x", "x", "y", "y"])
    >>> print(np.unique(means))
    [0.  0.5 1. ]
    """
    values = np.asarray(values, dtype=float)
    sums = cluster_sums(np.column_stack([values, np.ones(len(values))]), clusters, resamples, seed)
    return sums[:, :-1] / sums[:, -1:]


def mean_intervals(
    values: np.ndarray,
    clusters: Sequence | pd.Series | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Mean of each column with its interval by the cluster bootstrap.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        Without NaN.
    clusters, seed, resamples
        See `cluster_sums`. With fewer than some twenty clusters the interval is too narrow.
    level : float
        Coverage of the intervals.

    Returns
    -------
    ndarray, shape (m, 3)
        Mean, and the two percentiles of the resampled means.

    Examples
    --------
    >>> values = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> print(mean_intervals(values, ["x", "x", "y", "y"]))
    [[0.5 0.  1. ]]
    """
    draws = cluster_means(values, clusters, resamples, seed)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.column_stack([np.mean(values, axis=0), low, high])


def statistic_interval(
    statistic: Callable[[np.ndarray], float],
    n: int,
    clusters: Sequence | pd.Series | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 500,
) -> tuple[float, float, float]:
    """Any statistic of n items with its interval by the cluster bootstrap.

    A mean or a share is faster with `mean_intervals` or `share_intervals`.

    Parameters
    ----------
    statistic : callable
        Maps positions of items, int of shape (m,), some of them repeated, to a number.
    n : int
        Number of items.
    clusters, seed, resamples
        See `cluster_sums`.
    level : float
        Coverage of the interval.

    Returns
    -------
    (float, float, float)
        The statistic of all items, and the two percentiles of that of the samples.

    Examples
    --------
    >>> values = np.array([1.0, 1.0, 5.0, 5.0])
    >>> statistic_interval(lambda rows: np.median(values[rows]), 4, ["x", "x", "y", "y"])
    (3.0, 1.0, 5.0)
    """
    codes = cluster_codes(clusters, n)
    members = [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(members), size=(resamples, len(members)))
    values = [float(statistic(np.concatenate([members[c] for c in draw]))) for draw in draws]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(np.arange(n))), float(low), float(high)


def rank_correlation(
    x: Sequence | pd.Series,
    y: Sequence | pd.Series,
    clusters: Sequence | pd.Series | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Spearman's correlation of two columns with its interval by the cluster bootstrap.

    It is the mean product of the two ranks, each scaled to mean 0 and deviation 1 over all items;
    the bootstrap resamples that mean and keeps the ranks.

    Parameters
    ----------
    x, y : sequence, shape (n,)
        Items where one of them is NA are left out. Equal values share their mean rank.
    clusters, level, seed
        See `mean_intervals`.

    Returns
    -------
    tuple of float
        Correlation, and both ends of its interval; zeros where a column does not vary.

    Raises
    ------
    ValueError
        If the lengths differ, or fewer than two items are left.

    Examples
    --------
    >>> print(rank_correlation([1, 2, 3], [10, 30, 20])[0].round(2))
    0.5

    References
    ----------
    Spearman: The proof and measurement of association between two things. American Journal of
    Psychology 15(1), 1904.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values of x and {len(y)} of y: give as many of both.")
    pair = pd.DataFrame({"x": np.asarray(x), "y": np.asarray(y)}).apply(pd.to_numeric)
    kept = pair.notna().all(axis=1)
    if kept.sum() < 2:
        raise ValueError(f"A correlation needs two items with both values, not {kept.sum()}.")
    ranks = pair[kept].rank()
    spread = ranks.std(ddof=0).replace(0, np.inf)
    scaled = (ranks - ranks.mean()) / spread
    groups = None if clusters is None else np.asarray(clusters, dtype=object)[kept]
    product = (scaled["x"] * scaled["y"]).to_numpy()[:, None]
    mean, low, high = mean_intervals(product, groups, level, seed)[0]
    return mean, low, high


def share_intervals(
    right: np.ndarray,
    clusters: Sequence | pd.Series | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Share of each column with its interval: `mean_intervals`, and Wilson's for 0 and 1.

    Where all items are right, or none, every sample is like the others, and the bootstrap knows
    nothing. The interval is then Wilson's for as many independent tries as there are clusters.

    Parameters
    ----------
    right : ndarray, shape (n, m)
        0 to 1 for each item.
    clusters, level, seed, resamples
        See `mean_intervals`.

    Returns
    -------
    ndarray, shape (m, 3)
        Share, lower and upper end.

    Examples
    --------
    >>> print(share_intervals(np.ones((10, 1)), list("aabbccddee")).round(3))
    [[1.    0.566 1.   ]]
    """
    right = np.asarray(right, dtype=float)
    intervals = mean_intervals(right, clusters, level, seed, resamples)
    number = cluster_codes(clusters, len(right)).max() + 1
    for column in np.flatnonzero(np.isin(intervals[:, 0], (0.0, 1.0))):
        intervals[column] = wilson(number * int(intervals[column, 0]), number, level)
    return intervals


def wilson(right: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share of n independent tries and the ends of Wilson's interval, which never leave 0..1.

    Examples
    --------
    >>> print(*np.round(wilson(8, 10), 3))
    0.8 0.49 0.943
    """
    ends = binomtest(right, n).proportion_ci(level, method="wilson")
    return right / n, float(ends.low), float(ends.high)
