"""Features of videos: tables of each modality of a library, and shorter versions of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from vidrec_utils import (
    arguments,
    audio_encoders,
    claims,
    embeddings,
    image_encoders,
    text_encoders,
    video_encoders,
)
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import Embeddings

Modalities: TypeAlias = Mapping[str, Embeddings | pd.DataFrame]


def modalities(library: VideoLibrary) -> dict[str, Embeddings | pd.DataFrame]:
    """Encode words, titles, thumbnails, clips and sound with the packaged encoders of the course.

    Categories and tags become zeros and ones (`metadata_features`); titles are read by MiniLM,
    thumbnails by EfficientNet-Lite0, clips by the small two-stream network, and sound tracks by
    log-mel statistics. What a library lacks is left out, and a sentence says so; so is the sound of
    clips that are all silent.

    Parameters
    ----------
    library : VideoLibrary
        Cleaned; vectors that are known already come from the store.

    Returns
    -------
    dict of str to Embeddings or DataFrame
        By `"words"`, `"title"`, `"thumbnail"`, `"clip"`, `"sound"`.

    Raises
    ------
    ValueError
        If there is nothing at all.

    Examples
    --------
    A library that has nothing but categories:

    >>> from vidrec_utils.datasets import VideoLibrary
    >>> videos = pd.DataFrame({"video_id": "a b c".split(), "category": ["art", "art", "music"]})
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"]})
    >>> tables = modalities(VideoLibrary(videos=videos, interactions=log))  # doctest: +ELLIPSIS
    The library library has no title, so ...
    >>> tables["words"]["category=art"].tolist()
    [1.0, 1.0, 0.0]
    """
    tables: dict[str, Embeddings | pd.DataFrame] = {}
    words = metadata_features(library.videos)
    if len(words.columns):
        tables["words"] = words
    # the column that a library needs, and the encoder of each modality
    encoders = {
        "title": ("title", lambda: text_encoders.load("minilm")),
        "thumbnail": ("thumbnail", lambda: image_encoders.load("efficientnet_lite0", size=128)),
        "clip": ("path", lambda: video_encoders.load("two_stream_mini")),
        "sound": ("path", lambda: audio_encoders.load("log_mel")),
    }
    for name, (column, load) in encoders.items():
        if claims.has(library, column):
            vectors = embeddings.embed(library, load(), of=name, progress=False)
            if name != "sound" or vectors.frame().notna().all(axis=1).any():
                tables[name] = vectors
    if not tables:
        raise ValueError(
            f"The library {library.name} has neither categories, tags, titles, thumbnails nor "
            "clips: there is no content to recommend by."
        )
    return tables


def metadata_features(
    videos: pd.DataFrame, columns: tuple[str, ...] = ("category", "tags"), least: int = 2
) -> pd.DataFrame:
    """Zeros and ones out of a library's columns of words.

    Parameters
    ----------
    videos : DataFrame
        `VideoLibrary.videos`.
    columns : tuple of str
        Columns that are absent or empty are skipped; tags are split at `|`.
    least : int
        Values that fewer videos have are left out.

    Returns
    -------
    DataFrame of float32
        One row a video; columns such as `"category=music"`. NA makes a row of zeros.

    Examples
    --------
    >>> videos = pd.DataFrame({"tags": ["cat|cute", "cat", "dog"]}, index=["1", "2", "3"])
    >>> print(metadata_features(videos))
       tags=cat
    1       1.0
    2       1.0
    3       0.0
    """
    tables = []
    for column in columns:
        if column not in videos or videos[column].isna().all():
            continue
        text = videos[column].astype("str")
        if column != "tags":  # a category may hold the sign that separates tags
            text = text.str.replace("|", "/", regex=False)
        table = text.str.get_dummies("|").astype(np.float32)
        table = table.loc[:, table.sum() >= least]
        tables.append(table.add_prefix(f"{column}="))
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=videos.index)


def shortened(modalities: Modalities, dims: int = 16, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Each modality's first principal components, so that small networks do not drown in columns.

    Columns are standardised and rows scaled to length 1 before (`embeddings.join`).

    Parameters
    ----------
    modalities : mapping of str to Embeddings or DataFrame
        Not changed. Rows with a gap are left out.
    dims : int
        Components of each; fewer where a modality has fewer columns or videos.
    seed : int
        The solver's seed.

    Raises
    ------
    ValueError
        If dims is not positive, or a modality has no complete row.

    Examples
    --------
    >>> title = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)), index=list("abcde"))
    >>> {name: table.shape for name, table in shortened({"title": title}, dims=2).items()}
    {'title': (5, 2)}
    """
    arguments.at_least(1, dims=dims)
    tables = {}
    for name, table in modalities.items():
        complete = embeddings.join(table).dropna()
        if not len(complete):
            raise ValueError(f"No video has the modality {name!r}; leave it out.")
        components = PCA(min(dims, *complete.shape), random_state=seed).fit_transform(complete)
        tables[name] = pd.DataFrame(components.astype(np.float32), index=complete.index)
    return tables
