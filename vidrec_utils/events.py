"""Events as numbers: who was shown what, when, and how much preference it expresses."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.datasets import Split, VideoLibrary

SIGNALS = ("watch_ratio", "liked", "shared", "comment")
"""Columns in which an event can say how it ended."""

NO_SIGNAL = (
    "No event says how it ended (no watch_ratio, liked, shared or comment), so all events count "
    "alike: each weighs 1 when models are fitted, and is a success when they are measured. Give "
    "one of these columns, or weights of your own, if that is not what you mean."
)


def signals(interactions: pd.DataFrame) -> list[str]:
    """Signals that at least one event has, of `SIGNALS`; a blank comment is none.

    Examples
    --------
    >>> log = pd.DataFrame({"watch_ratio": [0.3, None], "liked": [None, None], "comment": " "})
    >>> signals(log)
    ['watch_ratio']
    """
    return [column for column in SIGNALS if _present(interactions, column).any()]


WARNED: set[str] = set()
"""Warnings that this process has given, see `warn_once`."""


def warn_once(message: str) -> None:
    """Warn once in a process, where Python is asked to show a warning once at all.

    Python's own memory does not do for this: it is lost whenever a library changes the filters of
    warnings for a while, as NumPy, SciPy and PyTorch do. Where a filter asks for errors, or to show
    every warning (as `pytest.warns` does), each call warns.
    """
    actions = [
        action
        for action, pattern, category, *_ in warnings.filters
        if issubclass(UserWarning, category) and (pattern is None or pattern.match(message))
    ]
    each = bool(actions) and actions[0] in ("always", "all", "error")
    if each or message not in WARNED:
        WARNED.add(message)
        warnings.warn(message, UserWarning, stacklevel=3)


def event_weights(
    interactions: pd.DataFrame,
    watch: float = 1.0,
    like: float = 1.0,
    share: float = 1.0,
    comment: float = 0.5,
    sentiment: pd.Series | None = None,
) -> pd.Series:
    """Preference that each event expresses, as one number.

    `weight = watch * watch_ratio + like * liked + share * shared + comment * (has a comment)`. The
    watch ratio is cut to 0..1 (a loop played twice is not twice the taste). A signal that is NA, or
    a column that is absent, contributes nothing: not knowing is not disliking. In a log without any
    signal, which holds only who was shown what, each event weighs 1, and a warning says so once.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure; columns `watch_ratio, liked, shared, comment`, each optional.
    watch, like, share, comment : float
        How much each signal counts.
    sentiment : Series of float, optional
        Sentiment of each comment in -1..1, aligned with `interactions`. With it, a comment
        counts `comment * sentiment` (NA: nothing); without, any comment counts as interest.

    Returns
    -------
    Series of float64
        Aligned with `interactions`, named `"weight"`.

    Examples
    --------
    >>> log = pd.DataFrame({"watch_ratio": [0.25, 1.0, 3.0], "liked": [False, True, None]})
    >>> event_weights(log).tolist()
    [0.25, 2.0, 1.0]
    >>> event_weights(log, watch=2, like=0).tolist()
    [0.5, 2.0, 2.0]
    """
    judged = sentiment is not None and bool(sentiment.notna().any())
    if len(interactions) and not judged and not signals(interactions):
        warn_once(NO_SIGNAL)
        return pd.Series(1.0, index=interactions.index, name="weight")
    total = pd.Series(0.0, index=interactions.index, name="weight")
    if "watch_ratio" in interactions:
        total += watch * _numbers(interactions["watch_ratio"]).clip(0, 1)
    if "liked" in interactions:
        total += like * _numbers(interactions["liked"])
    if "shared" in interactions:
        total += share * _numbers(interactions["shared"])
    if sentiment is not None:
        total += comment * _numbers(sentiment.reindex(interactions.index)).clip(-1, 1)
    elif "comment" in interactions:
        total += comment * _has_text(interactions["comment"]).astype(float)
    return total


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


def interaction_matrix(
    interactions: pd.DataFrame,
    values: pd.Series | np.ndarray | float,
    user_ids: pd.Index,
    video_ids: pd.Index,
) -> sparse.csr_array:
    """Events as a sparse users x videos matrix; the values of repeated pairs are added.

    Parameters
    ----------
    interactions : DataFrame
        One row per event; columns `user_id, video_id`.
    values : Series, ndarray or number
        Value of each event, in the order of the rows, or one that all events have: with 1 the
        matrix counts events.
    user_ids, video_ids : Index of str
        The ids of the rows and columns.

    Returns
    -------
    csr_array of float32, shape (n_users, n_videos)

    Raises
    ------
    ValueError
        If an event's user or video is not in the index; names the first.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "video_id": ["cat", "dog", "dog"]})
    >>> user_ids, video_ids = pd.Index(["ann", "bob"]), pd.Index(["cat", "dog"])
    >>> interaction_matrix(log, [1, 2, 3], user_ids, video_ids).toarray()
    array([[1., 0.],
           [0., 5.]], dtype=float32)
    """
    rows = user_ids.get_indexer(as_ids(interactions["user_id"]))
    columns = video_ids.get_indexer(as_ids(interactions["video_id"]))
    for column, positions in (("user_id", rows), ("video_id", columns)):
        if (positions < 0).any():
            bad = interactions[column].iloc[int(np.argmax(positions < 0))]
            raise ValueError(
                f"{(positions < 0).sum()} events have a {column} that is not in the catalogue, the "
                f"first is {bad!r}. VideoLibrary.problems() lists them."
            )
    data = np.broadcast_to(np.asarray(values, dtype=np.float32), rows.shape)
    shape = (len(user_ids), len(video_ids))
    return sparse.csr_array(sparse.coo_array((data, (rows, columns)), shape=shape))


def as_ids(values: Iterable[object]) -> pd.Index:
    """Ids as an index of strings: 7, 7.0 and "7" name the same video whatever a file made of them.

    Examples
    --------
    >>> as_ids([7, 12]).tolist()
    ['7', '12']
    >>> as_ids([7, "7", 7.0]).tolist()
    ['7', '7', '7']
    """
    index = pd.Index(values)
    if isinstance(index.dtype, pd.StringDtype):
        return index
    plain = pd.api.types.is_integer_dtype(index.dtype)
    if plain or pd.api.types.infer_dtype(index, skipna=False) == "string":
        return index.astype("str")
    return index.map(_id).astype("str")


def _id(value: object) -> object:
    """Text of one id; whole numbers without a point, NA as it is."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return value if isinstance(value, str) or pd.isna(value) else str(value)


def unpack(data: VideoLibrary | Split | pd.DataFrame) -> tuple[pd.DataFrame, pd.Index]:
    """Interactions and catalogue of a library, a split, or a frame of interactions.

    Raises
    ------
    TypeError
        If `data` is none of the three.
    ValueError
        If a column or an id is missing, the catalogue is empty, or it has an id twice.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["dog", "cat"]})
    >>> interactions, video_ids = unpack(log)
    >>> video_ids.tolist()
    ['cat', 'dog']
    """
    if isinstance(data, pd.DataFrame):
        interactions, video_ids = data, None
    elif hasattr(data, "videos") and hasattr(data, "interactions"):
        interactions, video_ids = data.interactions, as_ids(data.videos.index)
    elif hasattr(data, "videos") and hasattr(data, "train"):
        interactions, video_ids = data.train, as_ids(data.videos.index)
    else:
        raise TypeError(
            f"fit takes a VideoLibrary, a Split or a frame of interactions, not {type(data)}."
        )
    lacking = [column for column in ("user_id", "video_id") if column not in interactions]
    if lacking:
        raise ValueError(f"The interactions have no column {' and no '.join(lacking)}.")
    for column in ("user_id", "video_id"):
        missing = interactions[column].isna().to_numpy()
        if missing.any():
            raise ValueError(
                f"{missing.sum()} of {len(missing)} interactions have no {column}, the first in "
                f"row {int(np.argmax(missing))} (from 0). preprocessing.clean drops such rows."
            )
    if video_ids is None:
        video_ids = as_ids(interactions["video_id"]).unique().sort_values()
    if not len(video_ids):
        raise ValueError("There is no video to recommend: the catalogue is empty.")
    if video_ids.has_duplicates:
        first = video_ids[video_ids.duplicated()][0]
        raise ValueError(f"The catalogue has the video id {first!r} more than once.")
    return interactions, video_ids.rename("video_id")


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


def _present(interactions: pd.DataFrame, column: str) -> pd.Series:
    """Whether each event has the signal of a column."""
    if column not in interactions:
        return pd.Series(False, index=interactions.index)
    values = interactions[column]
    return _has_text(values) if column == "comment" else values.notna()


def _has_text(comments: pd.Series) -> pd.Series:
    """Whether there is a comment that is not blank."""
    return comments.notna() & (comments.astype("str").str.strip() != "")


def _numbers(signal: pd.Series) -> pd.Series:
    """A numeric or boolean signal as float64, NA as 0."""
    return pd.to_numeric(signal).astype("Float64").fillna(0.0).astype("float64")
