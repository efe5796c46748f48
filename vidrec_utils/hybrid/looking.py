"""What a library's videos are made of, and what a stacked recommender makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from vidrec_utils import claims, embeddings, image_encoders, text_encoders, video_encoders
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.explanations import explained_list
from vidrec_utils.hybrid.factorization import metadata_features

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vidrec_utils.datasets import VideoLibrary
    from vidrec_utils.embeddings import Embeddings
    from vidrec_utils.hybrid.stacking import Stacked


def modalities(library: VideoLibrary) -> dict[str, Embeddings | pd.DataFrame]:
    """Words, titles, thumbnails and clips as the course's packaged encoders see them.

    Categories and tags become zeros and ones (`metadata_features`); titles are read by MiniLM,
    thumbnails by EfficientNet-Lite0, clips by the small two-stream network. What a library lacks is
    left out, and said in a sentence.

    Parameters
    ----------
    library : VideoLibrary
        Cleaned; vectors that are known already come from the store.

    Returns
    -------
    dict of str to Embeddings or DataFrame
        By `"words"`, `"title"`, `"thumbnail"`, `"clip"`.

    Raises
    ------
    ValueError
        If there is nothing at all.
    """
    found: dict[str, Embeddings | pd.DataFrame] = {}
    words = metadata_features(library.videos)
    if len(words.columns):
        found["words"] = words
    if claims.has(library, "title"):
        reader = text_encoders.load("minilm")
        found["title"] = embeddings.embed(library, reader, of="title", progress=False)
    if claims.has(library, "thumbnail"):
        eye = image_encoders.load("efficientnet_lite0", size=128)
        found["thumbnail"] = embeddings.embed(library, eye, of="thumbnail", progress=False)
    if claims.has(library, "path"):
        watcher = video_encoders.load("two_stream_mini")
        found["clip"] = embeddings.embed(library, watcher, of="clip", progress=False)
    if not found:
        raise ValueError(
            f"The library {library.name} has neither categories, tags, titles, thumbnails nor "
            "clips: there is no content to recommend by."
        )
    return found


def portraits(
    stacked: Stacked,
    content: ContentRecommender,
    user_ids: Iterable[str],
    k: int = 4,
    reasons: int = 3,
) -> pd.DataFrame:
    """Videos that speak for some users' taste, and their lists, with the share that content gives.

    Parameters
    ----------
    stacked : Stacked
        Fitted, linear, with a part of the name of `content`.
    content : ContentRecommender
        Fitted on the same data; gives the reasons.
    user_ids : iterable of str
        Known.
    k, reasons : int
        Recommendations and reasons of each.

    Returns
    -------
    DataFrame
        `user_id, video_id, why`: "because of", or the part of what lifts the recommendation above
        the user's average video that content gives, such as "content 40%"; parts that push down
        count 0.
    """
    rows = []
    for user in user_ids:
        table = explained_list(content, user, k, reasons)
        liked = table.loc[table["kind"] == "because of", "video_id"]
        rows += [(user, video, "because of") for video in liked]
        lifts = stacked.explain(user, stacked.recommend(user, k)["video_id"]).clip(lower=0)
        parts = lifts.drop(columns="events")
        share = (parts[content.name] / parts.sum(axis=1)).fillna(0)
        rows += [(user, video, f"{content.name} {part:.0%}") for video, part in share.items()]
    return pd.DataFrame(rows, columns=["user_id", "video_id", "why"])
