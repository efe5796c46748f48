"""What encoders of text are asked for: a category without training, and words that tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidrec_utils.embeddings.weights import Encoder
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
        Of texts.
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
    """
    labels = check_texts(labels)
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"Labels must be given, and each once; these are {labels}.")
    if "{}" not in template:
        raise ValueError(f"The template {template!r} has no {{}} for the label to stand at.")
    index = texts.index if isinstance(texts, pd.Series) else None
    said = _unit(encoder.encode(check_texts(texts)))  # (texts, dim)
    asked = _unit(encoder.encode([template.replace("{}", label) for label in labels]))
    return pd.DataFrame(said @ asked.T, index=index, columns=labels)


def keywords(texts: Texts, k: int = 3) -> pd.DataFrame:
    """The k words of each text that tell it from the others: those of the largest TF-IDF weight.

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
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for one keyword or more.")
    index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
    texts = check_texts(texts)
    encoder = TfidfEncoder(max_words=100_000).fit(texts)
    names = np.asarray(encoder.vocabulary, dtype=object)
    telling = np.array([not (w in ENGLISH_STOP_WORDS or w.isdigit()) for w in names])
    rows = []
    for label, text in zip(index, texts, strict=True):
        weights = np.where(telling, encoder.encode([text])[0], 0)
        best = np.argsort(-weights, kind="stable")[:k]  # the vocabulary is sorted
        best = best[weights[best] > 0]
        rows += [(label, r, names[w], float(weights[w])) for r, w in enumerate(best, start=1)]
    return pd.DataFrame(rows, columns=["text", "rank", "keyword", "weight"])


def probe(vectors: np.ndarray, labels: pd.Series, groups: pd.Series, folds: int = 5) -> pd.Series:
    """Predict labels by a linear classifier on vectors, each from groups that it was not shown.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        One a label.
    labels : Series
        What to predict.
    groups : Series
        Items of one group are never on both sides, so that it is not enough to know them again.
    folds : int
        Parts that the groups are cut into.

    Returns
    -------
    Series
        Predicted labels, with the index of `labels`.

    References
    ----------
    Alain, Bengio: Understanding intermediate layers using linear classifier probes. ICLR workshop
    2017 (arXiv:1610.01644).
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    told = cross_val_predict(
        model, vectors, labels.to_numpy(), groups=groups.to_numpy(), cv=GroupKFold(folds)
    )
    return pd.Series(told, index=labels.index)


def accuracy(hits: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    """How often each method was right in each group, with 95% intervals.

    Parameters
    ----------
    hits : DataFrame of bool
        A row an item, a column a method.
    by : Series
        The group of each item, with the same index.

    Returns
    -------
    DataFrame
        Indexed by `"<group>, <method>"`: `mean, low, high, n`.

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    rows = {}
    for group, part in hits.groupby(by.loc[hits.index]):
        for method in hits.columns:
            low, high = _wilson(int(part[method].sum()), len(part))
            rows[f"{group}, {method}"] = (float(part[method].mean()), low, high, len(part))
    columns = ["mean", "low", "high", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def sentences(table: pd.DataFrame, what: str) -> str:
    """A sentence for each row of `accuracy`'s table: `"<name>: <share> <what> [<interval>]."`."""
    return "\n".join(
        f"{name}: {row['mean']:.0%} {what} [{row['low']:.0%}, {row['high']:.0%}]."
        for name, row in table.iterrows()
    )


def _wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Ends of Wilson's interval for a share; unlike the normal one it never leaves 0..1."""
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
