"""Names in texts, learned from examples: one tag for each word, read from a frozen encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

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
    pairs = [({*spans}, {*predicted.get(text, ())}) for text, spans in true.items()]
    hits = sum(len(own & other) for own, other in pairs)
    n_true, n_predicted = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return {
        "precision": hits / n_predicted if n_predicted else 0.0,
        "recall": hits / n_true if n_true else 0.0,
        "f1": 2 * hits / (n_true + n_predicted) if hits else 0.0,
    }


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
