"""Events as numbers: who was shown what, and how much preference it expresses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.datasets import Split, VideoLibrary


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
    a column that is absent, contributes nothing: not knowing is not disliking.

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
        text = interactions["comment"]
        total += comment * (text.notna() & (text.astype("str").str.strip() != "")).astype(float)
    return total


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
    """Ids as an index of strings: 7 and "7" name the same video whatever a file made of them.

    Examples
    --------
    >>> as_ids([7, 12]).tolist()
    ['7', '12']
    """
    index = pd.Index(values)
    return index if pd.api.types.is_string_dtype(index.dtype) else index.astype("str")


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


def _numbers(signal: pd.Series) -> pd.Series:
    """A numeric or boolean signal as float64, NA as 0."""
    return pd.to_numeric(signal).astype("Float64").fillna(0.0).astype("float64")
