"""Tasks for text encoders: categories without training, keywords, and how good tags are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.encoders import Encoder
from vidrec_utils.linear_probe import compare_shares, shares
from vidrec_utils.text_encoders.encoder import Texts, check_texts
from vidrec_utils.text_encoders.tfidf import TfidfEncoder


def zero_shot(
    texts: Texts,
    labels: Sequence[str],
    encoder: Encoder,
    template: str = "a video about {}",
) -> pd.DataFrame:
    """Compare texts with the names of classes; nothing is trained.

    Parameters
    ----------
    texts : sequence of str
        Titles, for example.
    labels : sequence of str
        Names of classes, in words that the encoder knows.
    encoder : Encoder
        An encoder of texts.
    template : str
        A sentence around the label, which stands at `{}`.

    Returns
    -------
    DataFrame
        Cosine similarity, a row a text (a Series keeps its index) and a column a label; the best
        label of each is `.idxmax(axis=1)`. 0 where a text or a label has the zero vector.

    Raises
    ------
    ValueError
        If there is no label, one is named twice, or the template has no `{}`.
    TypeError
        If a text is not a string.

    References
    ----------
    Yin, Hay, Roth: Benchmarking Zero-shot Text Classification. EMNLP 2019 (arXiv:1909.00161).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> words = text_encoders.load("tfidf").fit(["cooking soup", "football goals"])
    >>> table = zero_shot(["best goals"], ["cooking", "football goals"], words, "{}")
    >>> table.idxmax(axis=1).tolist()
    ['football goals']
    """
    labels = check_texts(labels)
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"Labels must be given, and each once; these are {labels}.")
    if "{}" not in template:
        raise ValueError(f"The template {template!r} has no {{}} for the label to stand at.")
    index = texts.index if isinstance(texts, pd.Series) else None
    titles = unit_rows(encoder.encode(check_texts(texts)))  # (texts, dim)
    classes = unit_rows(encoder.encode([template.replace("{}", label) for label in labels]))
    return pd.DataFrame(titles @ classes.T, index=index, columns=labels)


def keywords(texts: Texts, k: int = 3) -> pd.DataFrame:
    """Find the k words that distinguish each text from the others: the largest TF-IDF weights.

    English function words and numbers are left out.

    Parameters
    ----------
    texts : sequence of str
        They are each other's background: a word in many of them weighs little.
    k : int
        At most this many for each text.

    Returns
    -------
    DataFrame
        `text` (position, or the index of a Series), `rank` (from 1), `keyword`, `weight`; a text
        without words has no row. Equal weights stand in the order of the alphabet.

    Raises
    ------
    ValueError
        If k is not positive, or no text has a word.
    TypeError
        If a text is not a string.

    Examples
    --------
    >>> keywords(["the cat sleeps", "the cat runs fast"], k=1)["keyword"].tolist()
    ['sleeps', 'fast']
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for one keyword or more.")
    index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
    texts = check_texts(texts)
    encoder = TfidfEncoder(max_words=100_000).fit(texts)
    names = np.asarray(encoder.vocabulary, dtype=object)
    eligible = np.array([not (w in ENGLISH_STOP_WORDS or w.isdigit()) for w in names])
    rows = []
    for label, text in zip(index, texts, strict=True):
        weights = np.where(eligible, encoder.encode([text])[0], 0)
        best = np.argsort(-weights, kind="stable")[:k]  # the vocabulary is sorted
        best = best[weights[best] > 0]
        rows += [(label, r, names[w], float(weights[w])) for r, w in enumerate(best, start=1)]
    return pd.DataFrame(rows, columns=["text", "rank", "keyword", "weight"])


def tag_hits(
    suggestions: Mapping[str, Mapping[object, set[str]]],
    tags: pd.Series,
    by: pd.Series | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tell for which videos a suggested tag is among those that their uploaders gave.

    All methods are asked about the same videos; one that suggests nothing for a video has no hit
    there. As a control, each video's tags are also compared with what was suggested for *another*
    video: such hits say how common the tags are, and nothing about the video.

    Parameters
    ----------
    suggestions : mapping of str to mapping
        By method: the suggested tags by video.
    tags : Series of set of str
        The tags that the uploaders gave, by video.
    by : Series, optional
        What each video is, such as the language of its title, by the same ids; then the other video
        is of the same kind.

    Returns
    -------
    own, other : DataFrame of bool
        A row for each video of `tags`, a column for each method. `other` is the control: the
        suggestions are those of the video before, and the first gets those of the last.

    Examples
    --------
    >>> tags = pd.Series({"a": {"cat"}, "b": {"dog"}})
    >>> own, other = tag_hits({"words": {"a": {"cat", "mat"}, "b": {"bone"}}}, tags)
    >>> own["words"].tolist(), other["words"].tolist()
    ([True, False], [False, False])
    """
    videos = pd.Series(tags.index, tags.index)
    kinds = pd.Series(0, tags.index) if by is None else by.reindex(tags.index)
    another = videos.groupby(kinds, dropna=False).transform(lambda ids: np.roll(ids, 1))
    tables = []
    for source in (videos, another):
        hits = {
            name: [bool(of.get(v, set()) & own) for v, own in zip(source, tags, strict=True)]
            for name, of in suggestions.items()
        }
        tables.append(pd.DataFrame(hits, index=tags.index, dtype=bool))
    return tables[0], tables[1]


def tag_shares(
    suggestions: Mapping[str, Mapping[object, set[str]]],
    tags: pd.Series,
    by: pd.Series | None = None,
    groups: pd.Series | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Share of videos with a right suggestion, and its difference from that of another video's.

    Parameters
    ----------
    suggestions, tags, by
        See `tag_hits`.
    groups : Series, optional
        Group of each video, such as its subject, by the same ids: the intervals resample groups.

    Returns
    -------
    share, above : DataFrame
        By method, or by `"<kind>, <method>"`: `mean, low, high, n`. `above` is the share minus that
        of the control, on the same videos.

    Examples
    --------
    >>> tags = pd.Series([{"cat"}, {"dog"}] * 20)
    >>> share, above = tag_shares({"words": tags.where(tags.index > 9, set())}, tags)
    >>> share["mean"].tolist(), above["mean"].tolist()
    ([0.75], [0.75])
    """
    own, other = tag_hits(suggestions, tags, by)
    gains = [
        compare_shares(pd.DataFrame({name: own[name], "": other[name]}), "", by, groups)
        for name in own
    ]
    share = shares(own, by, groups)
    return share, pd.concat(gains).reindex(share.index)
