"""What is popular now, which is not what has ever been popular."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.events import times_of
from vidrec_utils.recommender import Recommender


class _RecentPopularity(Recommender):
    """One list for everyone, known or not, from events that count by their age."""

    knows_cold_videos = False

    _learned: ClassVar = ("recent",)
    same_for_all = True

    @abstractmethod
    def _factor(self, days: pd.Series) -> pd.Series:
        """Factor of the weight of an event this many days before the last one."""

    def _reweigh(self, weights: pd.Series, interactions: pd.DataFrame) -> pd.Series:
        # w <- w f(t), with t the age in days; 0 for an event without a time  (n_events,)
        return weights * self._factor(_ages(interactions)).fillna(0.0)

    def _fit(self, matrix: sparse.csr_array) -> None:
        # sum_u w_ui  (n_videos,)
        self.recent = np.asarray(matrix.sum(axis=0), dtype=np.float32).ravel()

    def _score(self, users: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.recent, (len(users), len(self.recent)))

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        return self.recent


class WindowedPopularity(_RecentPopularity):
    """Videos by the sum of their event weights in the last days of the log.

    Cold videos, and those without an event in the window, score 0. An event without a time counts
    nothing.

    Parameters
    ----------
    days : float
        Length of the window, which ends with the last event and includes both of its ends.
    name : str
        Shown in tables.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "ann"], "video_id": ["a", "a", "b"]})
    >>> log["timestamp"] = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-09"], utc=True)
    >>> log["watch_ratio"] = 1.0
    >>> WindowedPopularity(days=3).fit(log).recommend("new", k=1)["video_id"].item()
    'b'
    """

    def __init__(self, days: float = 7.0, name: str = "popularity (window)"):
        arguments.positive(days=days)
        self._set_arguments(locals())

    def _factor(self, days: pd.Series) -> pd.Series:
        return (days <= self.days).astype("float64")  # 1 inside the window, 0 before


class DecayedPopularity(_RecentPopularity):
    """Videos by the sum of their event weights, each halved with every half-life of its age.

    With an age of `t` days before the last event, a weight w counts `w * 0.5 ** (t / half_life)`.
    Unlike a window, the list changes smoothly, and the sums can be carried on from day to day
    without the old log. An event without a time counts nothing.

    Parameters
    ----------
    half_life_days : float
        Age at which an event counts half.
    name : str
        Shown in tables.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "ann"], "video_id": ["a", "a", "b"]})
    >>> log["timestamp"] = pd.to_datetime(["2025-01-01", "2025-01-08", "2025-01-08"], utc=True)
    >>> log["watch_ratio"] = 1.0
    >>> DecayedPopularity(half_life_days=7).fit(log).score("new").tolist()  # a: 1/2 + 1
    [[1.5, 1.0]]
    """

    def __init__(self, half_life_days: float = 7.0, name: str = "popularity (decay)"):
        arguments.positive(half_life_days=half_life_days)
        self._set_arguments(locals())

    def _factor(self, days: pd.Series) -> pd.Series:
        return 0.5 ** (days / self.half_life_days)  # 1/2 for each half-life


def _ages(interactions: pd.DataFrame) -> pd.Series:
    """Days before the last event; NaN for events without a time."""
    times = times_of(interactions, "so nothing is recent; use Popularity()")
    return (times.max() - times).dt.total_seconds() / 86_400
