"""How long videos last and are watched: groups of like duration, and what duration alone predicts.

Of two videos that somebody likes alike, the longer one is watched for more seconds and to a smaller
share. So a label made from the seconds, or from the share, prefers long or short videos, whatever
anybody likes. Comparing a watch time only with those of videos that last about as long takes that
away.

References
----------
Zhan, Pei, Su et al.: Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation.
KDD 2022 (arXiv:2206.06003). Zheng, Gao, Ding et al.: DVR: Micro-Video Recommendation Optimizing
Watch-Time-Gain under Duration Bias. ACM Multimedia 2022 (arXiv:2208.05190).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.events.matrices import as_ids
from vidrec_utils.events.weights import warn_once
from vidrec_utils.intervals import cluster_codes

MOST_GROUPS = 60
LEAST_EXPOSURES = 200
"""Exposures that a group of like duration has at least; with fewer, its quantiles are guesses."""

VARYING = 1.2
"""Durations vary if the longest tenth of the exposures lasts more than this times the shortest."""

LONGEST_MEDIAN = 3 * 3600.0
"""Seconds; if half of all exposures last longer, the durations are taken for milliseconds."""

RESAMPLES = 1000


def exposure_durations(
    interactions: pd.DataFrame, videos: pd.DataFrame | pd.Series | None = None
) -> np.ndarray:
    """Duration of the video of each exposure, in seconds.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure; a column `duration_s` of the log counts before that of the videos.
    videos : DataFrame with `duration_s`, or Series of durations, optional
        Indexed by video id.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where the duration is unknown. One that is zero, negative or infinite is no duration,
        and counts as unknown, too.

    Warns
    -----
    UserWarning
        If half of the exposures would last longer than three hours, as durations in milliseconds
        do. Groups of like duration do not depend on the unit, but thresholds in seconds do.

    Examples
    --------
    >>> videos = pd.DataFrame({"duration_s": [8.0, 0.0]}, index=["cat", "dog"])
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": ["cat", "dog", "fox"]})
    >>> exposure_durations(log, videos).tolist()
    [8.0, nan, nan]
    """
    durations = np.full(len(interactions), np.nan)
    if isinstance(videos, pd.DataFrame):
        videos = videos.get("duration_s")
    if videos is not None and len(videos):
        ids = as_ids(videos.index)
        values = usable_durations(videos)[~ids.duplicated()]  # of an id that repeats, the first
        ids = ids[~ids.duplicated()]
        position = ids.get_indexer(as_ids(interactions["video_id"]))  # -1: not in the catalogue
        durations = np.where(position >= 0, values[position], np.nan)
    if "duration_s" in interactions:
        own = usable_durations(interactions["duration_s"])
        durations = np.where(np.isnan(own), durations, own)
    known = durations[~np.isnan(durations)]
    if len(known) and np.median(known) > LONGEST_MEDIAN:
        warn_once(
            f"Half of the exposures would last longer than {np.median(known) / 3600:.1f} hours, so "
            "duration_s looks like milliseconds. Divide it by 1000, or thresholds in seconds will "
            "be those of another unit; if the videos are that long, go on."
        )
    return durations


def usable_durations(values: pd.Series) -> np.ndarray:
    """Durations as float64, NaN where there is none, or one that is not above zero and finite.

    Examples
    --------
    >>> usable_durations(pd.Series([2.5, -1, 0, None, float("inf")])).tolist()
    [2.5, nan, nan, nan, nan]
    """
    numbers = pd.to_numeric(values).astype("Float64").to_numpy(dtype="float64", na_value=np.nan)
    return np.where((numbers > 0) & np.isfinite(numbers), numbers, np.nan)


def durations_vary(durations: np.ndarray) -> bool:
    """Whether exposures differ in duration: the 90% quantile exceeds the 10% one by over a fifth.

    A few wrong durations, up to a tenth at each end, do not decide.

    Parameters
    ----------
    durations : ndarray of float, shape (n,)
        NaN where unknown.

    Examples
    --------
    >>> durations_vary(np.array([2.0] * 98 + [2000.0] * 2))
    False
    >>> durations_vary(np.linspace(1, 8, 100))
    True
    """
    known = durations[~np.isnan(durations)]
    if not len(known):
        return False
    low, high = np.quantile(known, [0.1, 0.9])
    return bool(high > VARYING * low)


class DurationGroups:
    """Groups of exposures whose videos last about as long: quantiles of the training exposures.

    Parameters
    ----------
    durations : ndarray of float, shape (n,)
        Durations of the training exposures in seconds, NaN where unknown.
    most : int
        Number of groups, if there are enough exposures.
    least : int
        Exposures that each group has at least. With fewer in all, there is one group.

    Attributes
    ----------
    edges : ndarray of float64, shape (n_groups - 1,)
        The longest duration of each group but the last. The first and the last group hold whatever
        is shorter, or longer, than any training exposure.
    sizes : ndarray of int, shape (n_groups,)
        Training exposures of each group.

    Examples
    --------
    >>> groups = DurationGroups(np.array([1.0, 1, 2, 3, 5, 8, 13, np.nan]), most=3, least=2)
    >>> groups.edges.tolist(), groups.sizes.tolist()
    ([2.0, 5.0], [3, 2, 2])
    >>> groups.of(np.array([0.5, 2, 2.1, 500, np.nan])).tolist()
    [0, 0, 1, 2, -1]
    """

    def __init__(
        self, durations: np.ndarray, most: int = MOST_GROUPS, least: int = LEAST_EXPOSURES
    ) -> None:
        arguments.at_least(1, most=most, least=least)
        known = durations[~np.isnan(durations)]
        count = int(np.clip(len(known) // least, 1, most))
        shares = np.arange(1, count) / count
        self.edges = np.unique(np.quantile(known, shares)) if len(known) else np.empty(0)
        self._count(known)
        # Many exposures of one duration leave other groups small: these join a neighbour.
        while len(self.sizes) > 1 and self.sizes.min() < least:
            small = int(self.sizes.argmin())
            before = self.sizes[small - 1] if small else np.inf
            after = self.sizes[small + 1] if small + 1 < len(self.sizes) else np.inf
            self.edges = np.delete(self.edges, small - 1 if before <= after else small)
            self._count(known)

    def _count(self, known: np.ndarray) -> None:
        self.sizes = np.bincount(self.of(known), minlength=len(self.edges) + 1)

    def __len__(self) -> int:
        return len(self.edges) + 1

    def of(self, durations: np.ndarray) -> np.ndarray:
        """Group of each duration, int `(n,)`; -1 where it is unknown."""
        group = np.searchsorted(self.edges, durations, side="left")  # the edge belongs below
        return np.where(np.isnan(durations), -1, group)

    def words(self) -> str:
        """How many groups there are, in words.

        Examples
        --------
        >>> DurationGroups(np.array([2.0, 2.0])).words()
        'one group of duration'
        """
        return "one group of duration" if len(self) == 1 else f"{len(self)} groups of duration"


def shorter_first(
    durations: np.ndarray,
    positive: np.ndarray,
    clusters: Sequence | pd.Series | np.ndarray | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """How well "the shorter video first" alone predicts a label: its AUC, with an interval.

    The AUC is the chance that of a positive and a negative exposure the positive one has the
    shorter video; equal durations count half. One half is what a label has that duration says
    nothing about; above it short videos are preferred, below it long ones.

    Parameters
    ----------
    durations : ndarray of float, shape (n,)
        NaN where unknown; such exposures are left out.
    positive : ndarray, shape (n,)
        The label, true or false; NA is left out.
    clusters : sequence, shape (n,), optional
        What is resampled, such as the id of each exposure's video, since all exposures of a video
        share its duration; by default single exposures.
    level, seed, resamples
        Coverage of the percentile interval, and the bootstrap's seed and number of samples.

    Returns
    -------
    auc, low, high : float
        NaN if no exposure is positive, or none is negative.

    Examples
    --------
    >>> durations = np.array([1.0, 2.0, 3.0, 4.0])
    >>> shorter_first(durations, np.array([True, True, False, False]))[0]
    1.0
    >>> shorter_first(durations, np.array([False, True, True, False]))[0]
    0.5
    """
    label = pd.array(positive, dtype="boolean")
    known = ~np.isnan(durations) & ~np.asarray(label.isna())
    good = label[known].to_numpy(dtype=bool)
    _, position = np.unique(durations[known], return_inverse=True)
    codes = cluster_codes(clusters, len(durations))[known]
    # Exposures of one cluster and one duration are counted together, in cells.
    n_positions = position.max(initial=-1) + 1
    cells, cell = np.unique(codes * n_positions + position, return_inverse=True)
    good_in = np.bincount(cell[good], minlength=len(cells))  # P of each cell
    bad_in = np.bincount(cell[~good], minlength=len(cells))  # N of each cell
    if not len(cells):
        return np.nan, np.nan, np.nan
    cluster, order = np.unique(cells // n_positions, return_inverse=True)[1], cells % n_positions
    auc = _auc(good_in, bad_in, order)
    if np.isnan(auc):
        return auc, np.nan, np.nan
    rng = np.random.default_rng(seed)
    n = cluster.max() + 1
    draws = np.empty(resamples)
    for i in range(resamples):
        drawn = np.bincount(rng.integers(0, n, n), minlength=n)[cluster]  # (cells,)
        draws[i] = _auc(drawn * good_in, drawn * bad_in, order)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return auc, float(low), float(high)


def _auc(good: np.ndarray, bad: np.ndarray, order: np.ndarray) -> float:
    """AUC of "the lower position first", from positives and negatives of each cell, `(cells,)`."""
    n_positions = order.max(initial=0) + 1
    p, n = (np.bincount(order, weights=w, minlength=n_positions) for w in (good, bad))
    pairs = p.sum() * n.sum()
    if not pairs:
        return float("nan")
    longer = n.sum() - np.cumsum(n)  # negatives that last longer than each duration
    return float((p * (longer + n / 2)).sum() / pairs)
