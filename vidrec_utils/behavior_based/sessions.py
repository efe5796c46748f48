"""The next video of a session, for users with an account and for visitors.

`SessionRecommender` gives every model that can score any history the two methods for a present
session. `SequentialRules` is the simplest model made for it: what followed what. `shuffled_order`
makes the control of every model of order: the same events, in no order.

References
----------
Ludewig, Jannach: Evaluation of Session-based Recommendation Algorithms. User Modeling and
User-Adapted Interaction 28, 2018 (arXiv:1803.09587).
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.events import times_of, warn_once
from vidrec_utils.explanations import HistoryExplainable, NotExplainable
from vidrec_utils.recommender import Recommender, as_ids


class SessionRecommender(Recommender):
    """A recommender that answers for any history, not only for the users it was fitted on."""

    def score_next(
        self, session: Iterable[str], weights: Sequence[float] | None = None
    ) -> np.ndarray:
        """Score every video for a visitor, of whom only the present session is known.

        Parameters
        ----------
        session : iterable of str
            Videos watched, the last one last. Those outside the catalogue are ignored; if none is
            left, the answer is what is popular.
        weights : sequence of float, optional
            Preference for each, 0 or more; default 1.

        Returns
        -------
        ndarray of float32, shape (n_videos,)

        Raises
        ------
        ValueError
            If weights are not one finite number of at least 0 for each video.
        """
        self._require_fit()
        columns = self.video_ids.get_indexer(as_ids(list(session)))
        values = np.ones(len(columns)) if weights is None else np.asarray(weights, dtype=float)
        if values.shape != columns.shape or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("Give one weight for each video of the session, 0 or more.")
        usable = (columns >= 0) & (values > 0)
        if not usable.any():
            return self._score_unknown(pd.Index(["a visitor"])).astype(np.float32).ravel()
        return self._score_history(columns[usable], values[usable].astype(np.float32))

    def recommend_next(
        self,
        session: Iterable[str],
        k: int = 10,
        exclude_seen: bool = True,
        weights: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """The k best next videos for a present session, of a known user or of a visitor.

        Returns
        -------
        DataFrame
            `video_id, rank` (from 1)`, score`.

        Raises
        ------
        ValueError
            See `score_next`; or if k is not positive.
        """
        arguments.at_least(1, k=k)
        session = as_ids(list(session))
        scores = np.array(self.score_next(session, weights))
        if exclude_seen:
            watched = self.video_ids.get_indexer(session)
            scores[watched[watched >= 0]] = -np.inf
        best = self._best_of(scores, k, "score")
        best.insert(1, "rank", np.arange(1, len(best) + 1))
        return best

    @abstractmethod
    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Scores `(n_videos,)` for videos given by column, in the order watched; at least one."""

    def _history_row(self, columns: np.ndarray, weights: np.ndarray) -> sparse.csr_array:
        """A history as a sparse row; repeats add up."""
        rows = np.zeros(len(columns), dtype=int)
        coo = sparse.coo_array((weights, (rows, columns)), shape=(1, len(self.video_ids)))
        return sparse.csr_array(coo)


COARSE = 0.5
"""Share of events without a time of their own from which `in_order` warns."""


def in_order(interactions: pd.DataFrame) -> np.ndarray:
    """Positions of the rows by user and time; events without a time come first, ties by row.

    Warns
    -----
    UserWarning
        If there are no times at all, or most events of people with several share their time with
        another event of the same person: then the order is that of the rows.
    """
    users = pd.factorize(as_ids(interactions["user_id"]), sort=True)[0]
    if "timestamp" not in interactions or interactions["timestamp"].isna().all():
        if len(users) > len(np.unique(users)):
            warn_once(
                "The events have no timestamps, so their order is that of the rows. Sort the rows "
                "by time first, or give the times."
            )
        return np.argsort(users, kind="stable")
    times = times_of(interactions, "")
    ranks = times.rank(method="dense").fillna(0).to_numpy()
    order = np.lexsort((np.arange(len(users)), ranks, users))
    _warn_if_coarse(users[order], ranks[order])
    return order


def _warn_if_coarse(users: np.ndarray, ranks: np.ndarray) -> None:
    """Say so if times do not tell the order of most events; rows are sorted by user and time."""
    same_user = users[1:] == users[:-1]
    tied = same_user & (ranks[1:] == ranks[:-1])  # an event and the one before it
    several = np.append(False, same_user) | np.append(same_user, False)
    unordered = np.append(False, tied) | np.append(tied, False)
    if several.any() and unordered.sum() > COARSE * several.sum():
        warnings.warn(
            f"{unordered.sum() / several.sum():.0%} of the events have no timestamp of their own "
            "(another event of their user has the same, or it is missing), so times do not tell "
            "what came first: the order of these is that of the rows. Give finer times, if there "
            "are any: dates alone are too coarse.",
            UserWarning,
            stacklevel=1,
        )


def session_numbers(interactions: pd.DataFrame, gap_minutes: float = 30.0) -> np.ndarray:
    """Number of the session of each event, rows being in the order of `in_order`.

    A session ends with its user, and after a pause of more than `gap_minutes`. A column
    `session_id`, where there is one without gaps, decides instead of the pauses.

    Returns
    -------
    ndarray of int, shape (n,)
        Ascending from 0.
    """
    if not len(interactions):
        return np.empty(0, dtype=int)
    users = as_ids(interactions["user_id"]).to_numpy()
    new = np.append(True, users[1:] != users[:-1])  # whether a session begins  (n,)
    if "session_id" in interactions and interactions["session_id"].notna().all():
        own = interactions["session_id"].to_numpy()
        new[1:] |= own[1:] != own[:-1]
    elif "timestamp" in interactions and interactions["timestamp"].notna().any():
        pause = times_of(interactions, "").diff().dt.total_seconds().to_numpy()
        new[1:] |= pause[1:] > 60 * gap_minutes  # a pause of unknown length does not count
    return np.cumsum(new) - 1


def shuffled_order(
    interactions: pd.DataFrame,
    length: int,
    counted: Sequence[bool] | np.ndarray | pd.Series | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Shuffle each user's last events: the control of a model that reads them in their order.

    A model that reads the last `length` events has to be compared with one that reads the **same**
    events in no order. So each history is cut first and shuffled then. Shuffled first, it would be
    cut to a sample of all its events, and the control would lose what is recent, too.

    What moves within a user's last events is what was watched and how it ended; `user_id`,
    `timestamp` and `session_id`, and all other events, stay where they are.

    Parameters
    ----------
    interactions : DataFrame
        One row per event. Not changed.
    length : int
        How many last events are shuffled, of each user. `SASRec` reads `length + 1` to train.
    counted : array of bool, shape (n,), optional
        The events that the model reads; default all. For `SASRec`,
        `event_weights(interactions) >= least`.
    seed : int
        The new order is drawn with this seed.

    Returns
    -------
    DataFrame
        The rows of `interactions`, under their own index. Weights have to be computed anew from it.

    Raises
    ------
    ValueError
        If length is not positive, or `counted` does not hold one truth value for each event.

    Examples
    --------
    Of four events the last two are read, so the first two keep their place:

    >>> log = pd.DataFrame({"user_id": ["ann"] * 4, "video_id": list("abcd")})
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=4, freq="h", tz="UTC")
    >>> shuffled_order(log, length=2, seed=0)["video_id"].tolist()
    ['a', 'b', 'd', 'c']
    """
    arguments.at_least(1, length=length)
    n = len(interactions)
    read = np.ones(n, dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    if read.shape != (n,):
        raise ValueError(f"counted has the shape {read.shape}; it must hold one value per event.")
    # the counted events by user and time, cut to the last `length` of each user
    order = in_order(interactions)
    order = order[read[order]]
    users = pd.factorize(as_ids(interactions["user_id"].iloc[order]))[0]  # ascending
    remaining = np.cumsum(np.bincount(users))[users] - np.arange(len(users))  # 1: the last one
    last = remaining <= length
    rows, users = order[last], users[last]
    # within each user, the events of these rows in the order of random numbers
    drawn = np.lexsort((np.random.default_rng(seed).random(len(rows)), users))
    source = np.arange(n)
    source[rows] = rows[drawn]
    result = interactions.copy()
    for column in result.columns.difference(["user_id", "timestamp", "session_id"]):
        result[column] = interactions[column].iloc[source].array
    return result


def _remedy_for_lone_events(events: pd.DataFrame, gap_minutes: float) -> str:
    """What to do about sessions of one event; events are in the order of `in_order`."""
    users = as_ids(events["user_id"]).to_numpy()
    again = np.append(False, users[1:] == users[:-1])  # whether the user was there before
    if again.mean() < 0.5:
        return "Most people have few events: a model of content serves them better."
    if "session_id" in events and events["session_id"].notna().all():
        return "The column session_id says so: check it, or drop it to cut sessions by pauses."
    typical = times_of(events, "so no pause is known").diff()[again].median()
    return (
        f"Events of one person are typically {typical.total_seconds() / 60:,.0f} minutes apart, "
        f"and a pause of more than {gap_minutes:g} ends a session: give a longer gap_minutes, or a "
        "column session_id."
    )


class SequentialRules(HistoryExplainable, SessionRecommender):
    """Rules from video to video within a session: what people watched soon after.

    A video j that came d steps after i in a session adds `w_j / d` to the rule from i to j, with
    `w_j` the weight of the event. The score of j is the sum of its rules from the last videos
    watched, where the t-th last, of weight w, counts `w / t`. Direction matters: a rule from i to j
    is not one from j to i.

    A known user's session is the last one of the log, and counts like that of a visitor: only
    events of positive weight belong to it, and the t-th last of them counts `w / t`. A cold video
    has no rule and scores 0. An unknown user, and one from whose last videos no rule starts, gets
    the popularity answer. If most sessions hold a single event, as with daily dates, that is nearly
    everybody: `fit` warns.

    Parameters
    ----------
    steps : int
        How far a rule reaches, and how many last videos count.
    gap_minutes : float
        A longer pause begins a new session, if the data have no `session_id`.
    name : str
        Shown in tables.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"user_id": ["ann"] * 3 + ["bob"], "video_id": list("abca")})
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=4, freq="5min", tz="UTC")
    >>> log["watch_ratio"] = 1.0
    >>> model = SequentialRules().fit(log)
    >>> print(model.recommend_next(["a"], k=2).to_string(index=False))  # c came two steps later
    video_id  rank  score
           b     1    1.0
           c     2    0.5
    """

    knows_cold_videos = False

    _learned: ClassVar = ("rules", "last")

    def __init__(
        self, steps: int = 5, gap_minutes: float = 30.0, name: str = "session (sequential rules)"
    ):
        arguments.at_least(1, steps=steps)
        self._set_arguments(locals())

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        # events by user and time, each with its session, video, user and weight w_j
        order = in_order(interactions)
        events = interactions.iloc[order]
        session = session_numbers(events, self.gap_minutes)
        self._warn_if_alone(events, session)
        video = self.video_ids.get_indexer(as_ids(events["video_id"]))
        user = self.user_ids.get_indexer(as_ids(events["user_id"]))
        gain = np.clip(weights.to_numpy(dtype="f4")[order], 0, None)
        # rules of distance d: every pair of events d steps apart in a session adds w_j / d
        n = len(self.video_ids)
        self.rules = sparse.csr_array((n, n), dtype=np.float32)
        for step in range(1, self.steps + 1):
            same = session[step:] == session[:-step]
            before = video[:-step][same]  # i
            after = video[step:][same]  # j
            pairs = (gain[step:][same] / np.float32(step), (before, after))
            self.rules += sparse.csr_array(sparse.coo_array(pairs, shape=(n, n)))
        # no rule from a video to itself
        self.rules = sparse.csr_array(self.rules - sparse.diags_array(self.rules.diagonal()))
        self.rules.eliminate_zeros()
        self.last = self._last_sessions(user, video, session, gain)

    def _warn_if_alone(self, events: pd.DataFrame, session: np.ndarray) -> None:
        """Say so if most sessions hold one event, from which no rule starts."""
        alone = np.bincount(session) == 1  # (n_sessions,)
        if not len(alone) or alone.mean() <= 0.5:
            return
        warnings.warn(
            f"{self.name}: {alone.mean():.0%} of the sessions hold a single event, from which no "
            "rule starts, so most people get what is popular. "
            f"{_remedy_for_lone_events(events, self.gap_minutes)}",
            UserWarning,
            stacklevel=2,
        )

    def _last_sessions(
        self, user: np.ndarray, video: np.ndarray, session: np.ndarray, gain: np.ndarray
    ) -> sparse.csr_array:
        """Each user's last videos of the last session: the t-th last weighs `w / t`."""
        shape = (len(self.user_ids), len(self.video_ids))
        if not len(user):
            return sparse.csr_array(shape, dtype=np.float32)
        # events of the user's last session that have a weight
        ends = np.append(np.flatnonzero(np.diff(user)), len(user) - 1)
        end = ends[np.searchsorted(user[ends], user)]  # the last event of the same user
        read = (session == session[end]) & (gain > 0)
        user, video, gain = user[read], video[read], gain[read]
        # t: 1 for the last of them, 2 for the one before it
        n_read = np.bincount(user, minlength=len(self.user_ids))
        t = np.cumsum(n_read)[user] - np.arange(len(user))
        kept = t <= self.steps
        values = (gain[kept] / t[kept]).astype(np.float32)  # w / t
        return sparse.csr_array(sparse.coo_array((values, (user[kept], video[kept])), shape=shape))

    @property
    def history(self) -> sparse.csr_array:
        """Weight of each of the last videos of each user: the t-th last has `w / t`."""
        return self.last

    def _explained_positions(self, user_id: str, video_id: str) -> tuple[int, int]:
        user, video = super()._explained_positions(user_id, video_id)
        if not (self.last[[user]] @ self.rules).nnz:
            raise NotExplainable(
                f"No rule starts from the last videos of user {user_id!r}, so the answer is what "
                "is popular."
            )
        return user, video

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        return self.rules[:, [video]].toarray().ravel()[columns]

    def _score(self, users: np.ndarray) -> np.ndarray:
        # sum of the rules from the last videos  (users, n_videos)
        scores = (self.last[users] @ self.rules).toarray().astype(np.float32)
        scores[~scores.any(axis=1)] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        columns = columns[-self.steps :]
        # w / t for the t-th last
        recency = (1 / np.arange(len(columns), 0, -1)).astype(np.float32)
        row = self._history_row(columns, weights[-self.steps :] * recency)
        scores = (row @ self.rules).toarray().astype(np.float32).ravel()
        return scores if scores.any() else self.popularity
