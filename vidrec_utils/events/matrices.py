"""Events as a matrix: ids as texts, users x videos, and the tables that hold them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.datasets import Split, VideoLibrary


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
