"""Videos as the entries of a table of lists: thumbnail, title, category, and a note."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vidrec_utils import preprocessing
from vidrec_utils.datasets import VideoLibrary


def list_entries(
    library: VideoLibrary, video_ids: Iterable[str], notes: Iterable[object] = ()
) -> list[tuple[np.ndarray | None, str]]:
    r"""Thumbnail and text of each video, as `plots.list_table` shows them.

    Parameters
    ----------
    library : VideoLibrary
        The library that the videos belong to.
    video_ids : iterable of str
        The videos, in the order of the list.
    notes : iterable, optional
        One note for each video, such as its share; written behind its category.

    Returns
    -------
    list of tuple of (ndarray or None, str)
        The thumbnail, None where there is none; and the title (or else the id) on one line, the
        category and the note on the next, which tell readers of any language what it is about.

    Raises
    ------
    ValueError
        If there are notes, but not one for each video.

    Examples
    --------
    >>> import pandas as pd
    >>> videos = pd.DataFrame({"video_id": ["a"], "title": ["Tea"], "category": ["food"]})
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"]})
    >>> list_entries(VideoLibrary(videos, log), ["a"], notes=["12%"])
    [(None, 'Tea\nfood 12%')]
    """
    ids, behind = list(video_ids), list(notes)
    if behind and len(behind) != len(ids):
        raise ValueError(f"There are {len(ids)} videos but {len(behind)} notes.")
    shown = library.videos.reindex(index=ids, columns=["title", "category"])
    titles = shown["title"].fillna(shown.index.to_series())
    categories = shown["category"].fillna("")
    seen = library.has("thumbnail")
    images = preprocessing.thumbnails(library, ids) if seen else [None] * len(ids)
    texts = [
        f"{title}\n{category} {note}".rstrip()
        for title, category, note in zip(titles, categories, behind or [""] * len(ids), strict=True)
    ]
    return list(zip(images, texts, strict=True))
