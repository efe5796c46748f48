"""Times of events, and which videos could have been shown by then."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.events.matrices import as_ids


def times_of(interactions: pd.DataFrame, use: str) -> pd.Series:
    """Timestamps in UTC, some of which may be missing; times without a zone are taken for UTC.

    Parameters
    ----------
    interactions : DataFrame
        One row per event.
    use : str
        What cannot be done without times, for the message: `"so nothing ..."`.

    Raises
    ------
    ValueError
        If there are events, but no column of times or nothing in it, or it holds no times.

    Examples
    --------
    >>> log = pd.DataFrame({"timestamp": pd.to_datetime(["2025-03-01 12:00", None])})
    >>> str(times_of(log, "so nothing shows what came later")[0])
    '2025-03-01 12:00:00+00:00'
    """
    if "timestamp" not in interactions:
        if len(interactions):
            raise ValueError(
                f"The interactions have no timestamp (there is no such column), {use}."
            )
        return pd.Series(pd.NaT, index=interactions.index, dtype="datetime64[ns, UTC]")
    times = interactions["timestamp"]
    if len(times) and times.isna().all():
        raise ValueError(f"The interactions have no timestamp (all are missing), {use}.")
    return _utc(times, "timestamp").dt.tz_localize("UTC")


def published_by(videos: pd.DataFrame, until: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Which videos could have been shown at given times: those published by then.

    Parameters
    ----------
    videos : DataFrame
        One row a video; `published_at` may be absent, and then every video counts as published.
    until : Series or DatetimeIndex of times, length n
        Times without a zone are taken for UTC, here and in `published_at`.

    Returns
    -------
    ndarray of bool, shape (n, n_videos)
        True where `published_at` is not later than `until`. Where one of the two is unknown,
        nothing speaks against the video, and it counts as published.

    Raises
    ------
    ValueError
        If `until` or `published_at` holds values that are not times.

    Examples
    --------
    >>> videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-01", "2025-03-05", None])})
    >>> published_by(videos, pd.to_datetime(pd.Series(["2025-03-01", "2025-03-09"])))
    array([[ True, False,  True],
           [ True,  True,  True]])
    """
    times = _utc(pd.Series(until), "until")
    if "published_at" not in videos:
        return np.ones((len(times), len(videos)), dtype=bool)
    published = _utc(videos["published_at"], "published_at")
    # In one unit that holds all years, since NumPy would let the year 3000 overflow.
    published, times = (a.dt.as_unit("us").to_numpy() for a in (published, times))
    # NaT is later than nothing, so what is unknown counts as published: (n, n_videos).
    return ~(published[None, :] > times[:, None])


class PublicationOrder:
    """`published_by` for many users and videos without a table of all pairs.

    Of the videos in the order of their publication, unknown times first, the first `counts[u]` were
    published by the time of user u.

    Parameters
    ----------
    videos : DataFrame
        One row a video, with or without `published_at`.
    until : Series or DatetimeIndex of times, length n
        See `published_by`.

    Attributes
    ----------
    order : ndarray of int64, shape (n_videos,)
        Positions of the videos, the earliest published first.
    ranks : ndarray of int64, shape (n_videos,)
        Position of each video in that order.
    counts : ndarray of int64, shape (n,)
        How many videos were published by each time.

    Raises
    ------
    ValueError
        See `published_by`.

    Examples
    --------
    >>> videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-05", "2025-03-01", None])})
    >>> online = PublicationOrder(videos, pd.to_datetime(pd.Series(["2025-03-02"])))
    >>> online.order.tolist(), online.counts.tolist()
    ([2, 1, 0], [2])
    >>> online.published(np.array([0, 0]), np.array([0, 1])).tolist()
    [False, True]
    """

    def __init__(self, videos: pd.DataFrame, until: pd.Series | pd.DatetimeIndex):
        n_videos = len(videos)
        published = pd.Series(pd.NaT, index=range(n_videos), dtype="datetime64[us]")
        if "published_at" in videos:
            published = _utc(videos["published_at"], "published_at").reset_index(drop=True)
        times = _utc(pd.Series(until), "until")
        self.order = np.argsort(_micros(published), kind="stable")
        self.ranks = np.empty(n_videos, dtype=np.int64)
        self.ranks[self.order] = np.arange(n_videos)
        counts = np.searchsorted(_micros(published)[self.order], _micros(times), side="right")
        self.counts = np.where(times.isna(), n_videos, counts)

    def published(self, users: np.ndarray, videos: np.ndarray) -> np.ndarray:
        """Whether each video was published by the time of the user; positions that broadcast."""
        return self.ranks[videos] < self.counts[users]

    def draw(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A video for each user, uniformly from those published by the user's time.

        A user before whose time nothing was published gets any video.
        """
        counts = self.counts[users]
        counts = np.where(counts > 0, counts, len(self.order))
        return self.order[rng.integers(0, counts)]


def publication_order(
    interactions: pd.DataFrame, videos: pd.DataFrame | None, user_ids: pd.Index
) -> PublicationOrder | None:
    """Which videos could have been shown to each user, by the time of the user's last event.

    Parameters
    ----------
    interactions : DataFrame
        Columns `user_id`, and `timestamp` if it is known.
    videos : DataFrame, optional
        The catalogue, one row a video. Without it, without `published_at`, or without the times of
        a user's events, all videos could have been shown.
    user_ids : Index of str
        The users, in the order of the result.

    Returns
    -------
    PublicationOrder or None
        None where every video could have been shown to everybody.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["cat"]})
    >>> log["timestamp"] = pd.to_datetime(["2025-03-02"])
    >>> videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-05", "2025-03-01"])})
    >>> publication_order(log, videos, pd.Index(["ann", "bob"])).counts.tolist()
    [1, 2]
    """
    timed = "timestamp" in interactions and interactions["timestamp"].notna().any()
    if videos is None or "published_at" not in videos or not timed:
        return None
    times = times_of(interactions, "so nothing shows what could have been shown")
    last = times.groupby(as_ids(interactions["user_id"]).to_numpy()).max()
    order = PublicationOrder(videos, last.reindex(user_ids))
    return order if (order.counts < len(order.order)).any() else None


def _micros(times: pd.Series) -> np.ndarray:
    """Times as int64 microseconds; unknown ones are the smallest number."""
    return times.dt.as_unit("us").to_numpy().astype("datetime64[us]").view(np.int64)


def _utc(times: pd.Series, column: str) -> pd.Series:
    """Times in UTC, without a zone.

    Raises
    ------
    ValueError
        If the column holds something, and no times.
    """
    if times.isna().all():  # a column without a value may be of any kind
        return pd.Series(pd.NaT, index=times.index, dtype="datetime64[ns]")
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        raise ValueError(
            f"The column {column} holds {times.dtype}, such as {times.dropna().iloc[0]!r}, and no "
            "times. A VideoLibrary made of the frame reads them; pandas.to_datetime does, too."
        )
    return times if times.dt.tz is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
