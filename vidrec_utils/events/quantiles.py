"""Quantiles of watch times: empirical ones, and those of views that the end of a video cut short.

References
----------
Kaplan, Meier: Nonparametric Estimation from Incomplete Observations. JASA 53, 1958.
"""

from __future__ import annotations

import numpy as np

COMPLETED = 0.001
"""A view that ends this close to the end of its video, as a share of it, was ended by the video."""


def smallest_quantile(values: np.ndarray, quantile: float) -> float:
    """The smallest of sorted values that at least a share `quantile` of them does not exceed.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Sorted; infinite is returned for none.
    quantile : float
        From 0 to 1.

    Examples
    --------
    >>> smallest_quantile(np.array([1.0, 2.0, 3.0, 4.0]), 0.75)
    3.0
    """
    if not len(values):
        return float("inf")
    return float(values[max(int(np.ceil(quantile * len(values))) - 1, 0)])


def kaplan_meier_quantile(times: np.ndarray, censored: np.ndarray, quantile: float) -> float:
    """Quantile of durations some of which were cut short, by the Kaplan-Meier estimator.

    Parameters
    ----------
    times : ndarray of float, shape (n,)
        When each was ended, or cut short.
    censored : ndarray of bool, shape (n,)
        Whether it was cut short.
    quantile : float
        From 0 to 1.

    Returns
    -------
    float
        The smallest time t at which the estimated share of durations beyond t, `S(t)`, is at most
        `1 - quantile`; infinite where `S` stays above that.

    Examples
    --------
    >>> times = np.array([1.0, 2.0, 3.0, 4.0])
    >>> kaplan_meier_quantile(times, np.array([False, False, False, False]), 0.75)
    3.0
    >>> kaplan_meier_quantile(times, np.array([False, True, False, False]), 0.75)
    4.0
    """
    ends, at = np.unique(times, return_inverse=True)
    leavers = np.bincount(at, weights=~censored, minlength=len(ends))  # d_i
    all_ends = np.bincount(at, minlength=len(ends))
    at_risk = len(times) - np.append(0, np.cumsum(all_ends)[:-1]) if len(times) else all_ends  # n_i
    # S(t) = product over t_i <= t of (1 - d_i / n_i)
    survival = np.cumprod(1 - leavers / np.maximum(at_risk, 1))
    reached = np.flatnonzero(survival <= 1 - quantile + 1e-9)
    return float(ends[reached[0]]) if len(reached) else float("inf")


def completed_views(ratios: np.ndarray) -> np.ndarray:
    """Which views ended with their video, and so may have been cut short by it, bool `(n,)`.

    Who loops, with a ratio above 1, was not stopped by the end.

    Examples
    --------
    >>> completed_views(np.array([0.5, 1.0, 1.4, np.nan])).tolist()
    [False, True, False, False]
    """
    return np.abs(ratios - 1) <= COMPLETED


def percentile_among(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Share of sorted values below each of some seconds; of equal ones half counts.

    Examples
    --------
    >>> percentile_among(np.array([1.0, 2.0, 2.0, 4.0]), np.array([0.5, 2.0, 4.5])).tolist()
    [0.0, 0.5, 1.0]
    """
    below, upto = (np.searchsorted(values, seconds, side) for side in ("left", "right"))
    return (below + upto) / 2 / max(len(values), 1)
