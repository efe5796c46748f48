"""Names in texts, learned from examples: one tag for each word, read from a frozen encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from vidrec_utils.intervals import cluster_sums
from vidrec_utils.text_encoders.encoder import TextEncoder, Texts, check_texts
from vidrec_utils.text_encoders.entities import COLUMNS

Span = tuple[int, int]
"""First character of a name, and the one behind its last."""


def bio_tags(pieces: Sequence[Span], names: Iterable[Span]) -> list[str]:
    """Give each word of a text a tag: the Beginning of a name, Inside of one, or Outside.

    Parameters
    ----------
    pieces : sequence of (start, end)
        Where the words of the text stand, in characters.
    names : iterable of (start, end)
        Where the names stand.

    Returns
    -------
    list of str
        `"B"`, `"I"` or `"O"` for each word.

    References
    ----------
    Ramshaw, Marcus: Text Chunking using Transformation-Based Learning. 1995 (arXiv:cmp-lg/9505040).

    Examples
    --------
    >>> bio_tags([(0, 3), (4, 8), (8, 10), (11, 16)], [(4, 10)])  # my | rock-|et | landed
    ['O', 'B', 'I', 'O']
    """
    tags = ["O"] * len(pieces)
    for start, end in names:
        inside = [i for i, (a, b) in enumerate(pieces) if a < end and b > start]
        for position, piece in enumerate(inside):
            tags[piece] = "I" if position else "B"
    return tags


def spans_of(pieces: Sequence[Span], tags: Sequence[str]) -> list[Span]:
    """Read the names back from the tags of words; an I after an O begins a name, too.

    Examples
    --------
    >>> spans_of([(0, 3), (4, 8), (8, 10), (11, 16)], ["O", "B", "I", "O"])
    [(4, 10)]
    """
    spans: list[Span] = []
    before = "O"
    for (start, end), tag in zip(pieces, tags, strict=True):
        if tag == "B" or (tag == "I" and before == "O"):
            spans.append((start, end))
        elif tag == "I":
            spans[-1] = (spans[-1][0], end)
        before = tag
    return spans


def occurrences(title: str, name: str) -> list[Span]:
    """Find a name in a text, whatever the case; empty if it is not there.

    Examples
    --------
    >>> occurrences("A CAT and a cat", "cat")
    [(2, 5), (12, 15)]
    """
    matches = re.finditer(re.escape(name), title, re.IGNORECASE)
    return [match.span() for match in matches] if name else []


def spans_by_text(names: pd.DataFrame) -> dict[object, list[Span]]:
    """Collect what `find` of a tagger or a gazetteer returned, by text.

    Examples
    --------
    >>> frame = pd.DataFrame({"text": ["t", "t"], "start": [0, 5], "end": [3, 9]})
    >>> spans_by_text(frame)
    {'t': [(0, 3), (5, 9)]}
    """
    spans: dict[object, list[Span]] = {}
    for text, start, end in zip(names["text"], names["start"], names["end"], strict=True):
        spans.setdefault(text, []).append((int(start), int(end)))
    return spans


def span_scores(
    true: Mapping[object, Iterable[Span]], predicted: Mapping[object, Iterable[Span]]
) -> dict[str, float]:
    """Precision, recall and F1 of names; a name counts if both of its ends are right.

    Parameters
    ----------
    true, predicted : mapping of text to spans
        The names of each text; a text may be absent from `predicted`.

    Returns
    -------
    dict of str to float
        `precision, recall, f1`; 0 where nothing was found or there is nothing to find.

    Examples
    --------
    >>> span_scores({"t": [(0, 3), (5, 9)]}, {"t": [(0, 3)]})
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    hits, n_true, n_predicted = (int(n) for n in _counts(true, predicted).sum(axis=0))
    return {
        "precision": hits / n_predicted if n_predicted else 0.0,
        "recall": hits / n_true if n_true else 0.0,
        "f1": 2 * hits / (n_true + n_predicted) if hits else 0.0,
    }


def span_outcomes(
    true: Mapping[object, Iterable[Span]], predicted: Mapping[object, Iterable[Span]]
) -> dict[str, int]:
    """Count the names that were found whole, only in part, or not at all.

    Parameters
    ----------
    true, predicted : mapping of text to spans
        See `span_scores`.

    Returns
    -------
    dict of str to int
        `whole`: both ends are right; `in part`: a predicted span shares a character with the name,
        but differs at one end at least; `missed`: none does.

    Examples
    --------
    >>> span_outcomes({"t": [(0, 3), (5, 9), (11, 14)]}, {"t": [(0, 3), (7, 9)]})
    {'whole': 1, 'in part': 1, 'missed': 1}
    """
    outcomes = {"whole": 0, "in part": 0, "missed": 0}
    for text, spans in true.items():
        others = {*predicted.get(text, ())}
        for start, end in {*spans}:
            touched = any(a < end and b > start for a, b in others)
            outcome = "whole" if (start, end) in others else "in part" if touched else "missed"
            outcomes[outcome] += 1
    return outcomes


def f1_intervals(
    true: Mapping[object, Iterable[Span]],
    methods: Mapping[str, Mapping[object, Iterable[Span]]],
    groups: pd.Series | None = None,
    than: str | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """F1 of the names that some methods found, with intervals that resample groups of texts.

    Parameters
    ----------
    true : mapping of text to spans
        The names of each text.
    methods : mapping of str to mapping
        What each method found, see `span_scores`.
    groups : Series, optional
        Group of each text, such as its subject: texts of a group are resampled together, since
        they hold the same name. Without, each text is resampled by itself.
    than : str, optional
        A method; then the rows are the differences of all others from it, on the same samples.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Indexed by method: `mean` (the F1, or the difference), `low`, `high`.

    Raises
    ------
    KeyError
        If there is no method `than`.

    Examples
    --------
    >>> true = {"t": [(0, 3)], "u": [(0, 3)]}
    >>> f1_intervals(true, {"all": true, "one": {"t": [(0, 3)]}}).round(2)
         mean  low  high
    all  1.00  1.0   1.0
    one  0.67  0.0   1.0

    References
    ----------
    Davison, Hinkley: Bootstrap Methods and their Application. Cambridge University Press, 1997,
    section 3.8.
    """
    if than is not None and than not in methods:
        raise KeyError(f"There is no method {than!r}; there are {', '.join(methods)}.")
    counts = np.stack([_counts(true, of) for of in methods.values()])  # (methods, texts, 3)
    clusters = None if groups is None else groups.reindex(list(true))
    rows = counts.transpose(1, 0, 2).reshape(len(true), -1)
    sums = cluster_sums(rows, clusters, seed=seed).reshape(-1, len(methods), 3)
    draws, means = _f1(sums), _f1(counts.sum(axis=1))  # (resamples, methods), (methods,)
    if than is not None:
        base = list(methods).index(than)
        draws, means = draws - draws[:, [base]], means - means[base]
    ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    table = pd.DataFrame({"mean": means, "low": ends[0], "high": ends[1]}, index=[*methods])
    return table if than is None else table.drop(index=than)


def _counts(
    true: Mapping[object, Iterable[Span]], predicted: Mapping[object, Iterable[Span]]
) -> np.ndarray:
    """For each text: names found with both ends right, true names, predicted names; (texts, 3)."""
    pairs = [({*spans}, {*predicted.get(text, ())}) for text, spans in true.items()]
    rows = [(len(own & other), len(own), len(other)) for own, other in pairs]
    return np.array(rows, dtype=int).reshape(-1, 3)


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 from hits, true and predicted names along the last axis; 0 where nothing was hit."""
    hits, n_true, n_predicted = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    return 2 * hits / np.maximum(n_true + n_predicted, 1)


class TokenTagger:
    """A linear head on the token vectors of a frozen encoder that tags names word by word.

    A word is read from the vector of its first token. What the head learns is what a name and its
    surroundings look like to the encoder, so it can find names that it was never shown; a list
    cannot.

    Parameters
    ----------
    encoder : TextEncoder
        A network of the BERT family, whose tokens see what comes before and behind them.
    strength : float
        Inverse of the L2 penalty of the logistic regression (scikit-learn's `C`).

    References
    ----------
    Devlin, Chang, Lee, Toutanova: BERT. NAACL 2019 (arXiv:1810.04805), section 5.3: features of a
    frozen network for named entities.

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> texts = ["I saw the cat today", "I saw the red bus today", "I saw the dog today"]
    >>> names = [[(10, 13)], [(10, 17)], [(10, 13)]]
    >>> tagger = TokenTagger(text_encoders.load("minilm"), 10).fit(texts, names)
    >>> tagger.find(["We saw the dog yesterday"])["entity"].tolist()
    ['dog']
    """

    def __init__(self, encoder: TextEncoder, strength: float = 1.0):
        self.encoder = encoder
        self.strength = float(strength)
        self._head: LogisticRegression | None = None

    def fit(self, texts: Texts, names: Sequence[Iterable[Span]]) -> Self:
        """Learn from texts whose names are known; returns itself.

        Parameters
        ----------
        texts : sequence of str
            The texts.
        names : sequence of iterables of (start, end)
            The names of each text, none where there is none.

        Raises
        ------
        ValueError
            If the lengths differ, or no text has a name.
        """
        texts = check_texts(texts)
        if len(texts) != len(names):
            raise ValueError(f"{len(texts)} texts but names for {len(names)}: give one list each.")
        read = self._read(texts)
        tags = [bio_tags(pieces, own) for (pieces, _), own in zip(read, names, strict=True)]
        flat = [tag for one in tags for tag in one]
        if len({*flat}) < 2:
            raise ValueError(f"The {len(texts)} texts hold no name and another word to learn from.")
        with threadpool_limits(1):
            self._head = LogisticRegression(C=self.strength, max_iter=1000).fit(
                np.concatenate([vectors for _, vectors in read]), flat
            )
        return self

    def tags(self, text: str) -> list[tuple[str, str, float]]:
        """Each word of a text with its tag and the probability that the head gives to that tag."""
        pieces, vectors = self._read(check_texts([text]))[0]
        chances = self._chances(vectors)
        return [
            (text[a:b], str(self._head.classes_[row.argmax()]), float(row.max()))
            for (a, b), row in zip(pieces, chances, strict=True)
        ]

    def find(self, texts: Texts) -> pd.DataFrame:
        """Find names, as `Gazetteer.find` does.

        Returns
        -------
        DataFrame
            A row for each name: `text` (position, or the index of a Series), `entity`, `kind`
            (always `"name"`), `start`, `end` (characters), and `score`, the lowest probability of
            its tags.

        Raises
        ------
        RuntimeError
            If `fit` was not called.
        """
        index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
        texts, rows = check_texts(texts), []
        for label, text, (pieces, vectors) in zip(index, texts, self._read(texts), strict=True):
            chances = self._chances(vectors)
            best = chances.argmax(axis=1)
            for start, end in spans_of(pieces, self._head.classes_[best]):
                own = [i for i, (a, b) in enumerate(pieces) if a >= start and b <= end]
                score = float(chances[own].max(axis=1).min())
                rows.append((label, text[start:end], "name", start, end, score))
        return pd.DataFrame(rows, columns=COLUMNS)

    def _chances(self, vectors: np.ndarray) -> np.ndarray:
        if self._head is None:
            raise RuntimeError("The tagger has to learn first: call fit(texts, names).")
        if not len(vectors):
            return np.empty((0, len(self._head.classes_)))
        return self._head.predict_proba(vectors)

    def _read(self, texts: list[str]) -> list[tuple[list[Span], np.ndarray]]:
        """Where the words of each text stand, and their vectors `(words, dim)`."""
        encoder = self.encoder
        states = encoder.activations(texts, encoder.layers[-1])  # (n, dim, tokens)
        before = len(encoder.prefix)
        read = []
        for text, state in zip(texts, states, strict=True):
            coded = encoder.tokenizer(
                encoder.prefix + text, truncation=True, max_length=encoder.max_tokens,
                return_offsets_mapping=True,
            )  # fmt: skip
            spans: dict[int, list[int]] = {}  # by word: its first token, its start and its end
            for token, (word, (a, b)) in enumerate(
                zip(coded.word_ids(), coded["offset_mapping"], strict=True)
            ):
                if word is not None and b > a >= before and text.strip():
                    spans.setdefault(word, [token, a - before, 0])[2] = b - before
            first = [token for token, _, _ in spans.values()]
            pieces = [(a, b) for _, a, b in spans.values()]
            read.append((pieces, state[:, first].T.numpy()))
        return read
