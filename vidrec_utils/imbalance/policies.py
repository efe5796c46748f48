"""Recommenders as policies that draw what they show, and what they would have done in a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from vidrec_utils import arguments
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.minitube import Policy, Sessions
from vidrec_utils.recommender import EventWeights, Recommender


class SoftmaxPolicy:
    """Draws videos from the softmax of a recommender's scores, and fits it again as the log grows.

    The scores of what is available to a user are standardised (mean 0, standard deviation 1) and
    divided by the temperature, so that recommenders whose scores have other units choose about
    equally surely. Before there is a log, all videos are equally likely.

    Parameters
    ----------
    model : Recommender
        Fitted or not.
    videos : DataFrame
        The catalogue, indexed by `video_id`.
    temperature : float
        Towards 0 the best video is shown, for large values any.
    refit_days : int
        Days between two fits; 0 leaves a fitted model as it is.
    weights : Series or callable, optional
        See `Recommender.fit`.

    Raises
    ------
    ValueError
        If the temperature is not above 0, or `refit_days` is negative.

    Examples
    --------
    >>> from vidrec_utils.recommender import Popularity
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "video_id": ["a", "a", "b"]})
    >>> videos = pd.DataFrame(index=pd.Index(["a", "b", "c"], name="video_id"))
    >>> policy = SoftmaxPolicy(Popularity(), videos)
    >>> policy.learn(log)
    >>> available = np.array([[True, True, False]])
    >>> now = pd.DatetimeIndex(["2025-03-03"])
    >>> sessions = Sessions(0, np.array(["eve"]), now, videos.index, available)
    >>> policy.scores(sessions)[0, :2].tolist()
    [1.0, -1.0]
    """

    def __init__(
        self,
        model: Recommender,
        videos: pd.DataFrame,
        temperature: float = 1.0,
        refit_days: int = 1,
        weights: EventWeights | None = None,
    ) -> None:
        arguments.positive(temperature=temperature)
        arguments.at_least(0, refit_days=refit_days)
        self.model, self.videos = model, videos
        self.temperature, self.refit_days, self.weights = temperature, refit_days, weights
        self._days: list[pd.DataFrame] = []
        self._fitted = refit_days == 0

    def scores(self, sessions: Sessions) -> np.ndarray:
        """Logits of all videos; see `minitube.Policy`.

        Raises
        ------
        ValueError
            If `refit_days` is 0 and the model is not fitted.
        """
        logits = np.zeros(sessions.available.shape, dtype=np.float32)
        if not self._fitted:
            return logits
        if not hasattr(self.model, "video_ids"):
            raise ValueError(f"{self.model.name} is not fitted, and refit_days=0 never fits it.")
        columns = self.model.video_ids.get_indexer(sessions.video_ids)
        scores = self.model.score(sessions.user_ids)[:, columns]
        usable = sessions.available & (columns >= 0) & np.isfinite(scores)
        # mean and deviation of what is available to each user  (sessions, 1)
        counts = np.maximum(usable.sum(axis=1, keepdims=True), 1)
        values = np.where(usable, scores, 0.0).astype(np.float64)
        mean = values.sum(axis=1, keepdims=True) / counts
        centred = np.where(usable, values - mean, 0.0)
        deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / counts)
        scaled = centred / np.where(deviation > 0, deviation, 1.0) / self.temperature
        # what the model does not know is as good as its worst
        worst = np.where(usable, scaled, np.inf).min(axis=1, keepdims=True)
        worst = np.where(np.isfinite(worst), worst, 0.0)
        return np.where(usable, scaled, worst).astype(np.float32)

    def learn(self, log: pd.DataFrame) -> None:
        """Add a day to the log, and fit the model again if it is time."""
        if self.refit_days == 0:
            return
        self._days.append(log)
        if len(self._days) % self.refit_days:
            return
        history = pd.concat(self._days, ignore_index=True)
        if len(history):
            self.model.fit(VideoLibrary(self.videos, history), self.weights)
            self._fitted = True


@dataclass(frozen=True)
class Replayed:
    """What a policy would have done in some sessions of a log.

    Attributes
    ----------
    rows : ndarray of int64, shape (sessions,)
        Positions, in the log, of the first video of each session.
    sessions : Sessions
        Who asked, and what could be shown.
    probabilities : ndarray of float64, shape (sessions, videos)
        With which the policy would have shown each video first.
    """

    rows: np.ndarray
    sessions: Sessions
    probabilities: np.ndarray

    def of(self, video_ids: np.ndarray | pd.Series) -> np.ndarray:
        """The probability of one video for each session, shape (sessions,); 0 for unknown ones."""
        columns = self.sessions.video_ids.get_indexer(video_ids)
        chosen = self.probabilities[np.arange(len(columns)), columns]
        return np.where(columns >= 0, chosen, 0.0)


def replay(policy: Policy, log: pd.DataFrame, published_at: pd.Series) -> Iterator[Replayed]:
    """Ask a policy what it would have shown first in the sessions of a log.

    What was available is rebuilt from the log: a video that was published before the session and
    that the user had not been shown in it before. The policy does not learn meanwhile.

    Parameters
    ----------
    policy : Policy
        For example a `SoftmaxPolicy` of a model that was fitted on an earlier part of the log.
    log : DataFrame
        `user_id, video_id, timestamp, position, session_id`, in order of time, from the first day
        on: what is left out counts as not shown.
    published_at : Series of datetime
        When each video went online, by `video_id`.

    Yields
    ------
    Replayed
        Sessions of one day in which no user occurs twice.

    Raises
    ------
    ValueError
        If the log lacks a column, or is not in order of time.
    """
    missing = {"user_id", "video_id", "timestamp", "position", "session_id"} - set(log)
    if missing:
        raise ValueError(f"The log lacks {', '.join(sorted(missing))}, so sessions are not known.")
    if not log["timestamp"].is_monotonic_increasing:
        raise ValueError("The log is not in order of time: sort it by timestamp.")
    users, user = np.unique(log["user_id"].to_numpy(dtype=object), return_inverse=True)
    video = published_at.index.get_indexer(log["video_id"])
    online_s, second = _seconds(published_at), _seconds(log["timestamp"])
    first = np.flatnonzero(log["position"].to_numpy() == 1)
    group = _groups(log, first)
    seen = np.zeros((len(users), len(published_at)), dtype=bool)
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        rows = np.intersect1d(first, members)
        if len(rows):
            available = (online_s[None] < second[rows, None]) & ~seen[user[rows]]
            timestamps = pd.DatetimeIndex(log["timestamp"].iloc[rows])
            day = int(number // _MOST_SESSIONS)
            asking = users[user[rows]]
            sessions = Sessions(day, asking, timestamps, published_at.index, available)
            logits = np.where(available, policy.scores(sessions), -np.inf)
            yield Replayed(rows, sessions, _chances(logits))
        shown = members[video[members] >= 0]
        seen[user[shown], video[shown]] = True


_MOST_SESSIONS = 100_000
"""More sessions than a user opens on a day."""


def _groups(log: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """Number of each row's day and, among its user's sessions of that day, of its session.

    Sessions with one number do not see each other's videos. Rows of a session whose first row is
    not in the log belong to the first session of their day.
    """
    days = log["timestamp"].dt.floor("D")
    day = (days - days.min()).dt.days.to_numpy()
    keys = pd.DataFrame({"day": day[first], "user": log["user_id"].to_numpy(dtype=object)[first]})
    turn = keys.groupby(["day", "user"]).cumcount().to_numpy()
    by_session = pd.Series(
        day[first] * _MOST_SESSIONS + turn, index=log["session_id"].to_numpy(dtype=object)[first]
    )
    group = log["session_id"].map(by_session[~by_session.index.duplicated()])
    return group.fillna(pd.Series(day * _MOST_SESSIONS, index=log.index)).to_numpy(dtype=np.int64)


def _chances(logits: np.ndarray) -> np.ndarray:
    """Softmax of each row; 0 in rows without anything available."""
    chances = np.zeros(logits.shape)
    possible = np.isfinite(logits).any(axis=1)
    chances[possible] = softmax(logits[possible].astype(np.float64), axis=1)
    return chances


def _seconds(timestamps: pd.Series) -> np.ndarray:
    """Seconds since 1970; infinite where the time is unknown."""
    values = pd.to_datetime(timestamps, utc=True)
    return np.where(values.isna(), np.inf, (values - pd.Timestamp(0, tz="UTC")).dt.total_seconds())
