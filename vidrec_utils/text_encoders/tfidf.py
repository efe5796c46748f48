"""The baseline that has read nothing: words counted, rare ones weighing more."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Self

import emoji
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from vidrec_utils.encoders import Entry, WeightsInfo
from vidrec_utils.text_encoders.encoder import Texts, check_texts

# Scripts written without blanks between words: kana, Chinese characters
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words(text: str) -> list[str]:
    """Cut a text into words, in lower case and in the order of reading.

    Where a script has no blanks (Chinese, Japanese) each pair of neighbouring characters is a word,
    as is a single character by itself; each emoji is a word.

    Parameters
    ----------
    text : str
        Any text, any mixture of scripts.

    Examples
    --------
    >>> words("The cat's 小猫, OK")
    ['the', "cat's", '小猫', 'ok']
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    cut: list[str] = []
    end = 0
    for piece in emoji.emoji_list(plain):
        cut += [*_plain_words(plain[end : piece["match_start"]]), piece["emoji"]]
        end = piece["match_end"]
    return cut + _plain_words(plain[end:])


def _plain_words(text: str) -> list[str]:
    cut: list[str] = []
    end = 0
    for run in _UNSPACED.finditer(text):
        cut += _WORD.findall(text[end : run.start()])
        characters = run.group()
        pairs = [characters[i : i + 2] for i in range(len(characters) - 1)]
        cut += pairs or [characters]
        end = run.end()
    return cut + _WORD.findall(text[end:])


class TfidfEncoder:
    """Term frequency times inverse document frequency, scaled to length 1.

    It has to be shown texts first (`fit`), since only they show which words are rare. A text none
    of whose words were seen, and an empty one, gets the zero vector.

    Parameters
    ----------
    max_words : int
        Keep the most frequent; vectors are dense, so this bounds their size.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`; `dim` is the size of the vocabulary, 0 before `fit`.
    vocabulary : list of str
        The word of each dimension.

    References
    ----------
    Salton, Buckley: Term-weighting approaches in automatic text retrieval. Information Processing &
    Management 24(5), 1988; in scikit-learn's smoothed form.

    Examples
    --------
    >>> encoder = TfidfEncoder().fit(["a cat", "a dog"])
    >>> encoder.vocabulary
    ['a', 'cat', 'dog']
    >>> encoder.encode(["dog dog"]).tolist()
    [[0.0, 0.0, 1.0]]
    """

    name = "tfidf"
    modality = "text"
    parameters = 0
    weights = WeightsInfo(source="none")

    def __init__(self, max_words: int = 4096):
        self.max_words = int(max_words)
        self.dim = 0
        self.vocabulary: list[str] = []

    @property
    def preprocessing(self) -> dict[str, object]:
        """How texts are cut."""
        return {"words": "lower case, pairs of unspaced characters", "max_words": self.max_words}

    @property
    def values_per_item(self) -> int:
        """Values of one vector."""
        return self.dim

    @property
    def fingerprint(self) -> str:
        """Digest of the words and their weights."""
        self._require_fit()
        description = json.dumps([self.name, self.preprocessing, self.vocabulary])
        digest = hashlib.sha256(description.encode())
        digest.update(np.ascontiguousarray(self._vectorizer.idf_).tobytes())
        return digest.hexdigest()

    def fit(self, texts: Texts) -> Self:
        """Learn which words there are and how rare each is; returns itself.

        Raises
        ------
        TypeError
            If an item is not a string.
        ValueError
            If there is no word in any text.
        """
        texts = check_texts(texts)
        if not any(words(text) for text in texts):
            raise ValueError(f"There is no word in these {len(texts)} texts to learn from.")
        self._vectorizer = TfidfVectorizer(
            analyzer=words, max_features=self.max_words, dtype=np.float32
        ).fit(texts)
        self.vocabulary = [str(word) for word in self._vectorizer.get_feature_names_out()]
        self.dim = len(self.vocabulary)
        return self

    def encode(self, texts: Texts) -> np.ndarray:
        """Vectors of texts, float32 `(n, dim)`.

        Raises
        ------
        RuntimeError
            If `fit` was not called.
        TypeError
            If an item is not a string.
        """
        self._require_fit()
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._vectorizer.transform(texts).toarray().astype(np.float32)

    def _require_fit(self) -> None:
        if not self.dim:
            raise RuntimeError(
                "TF-IDF has to count words first: call encoder.fit(titles) with the titles of your "
                "library."
            )


ENTRY = Entry(
    name="tfidf",
    about={"family": "baseline", "parameters": 0, "gflops": 0.0},
    loader=lambda request: TfidfEncoder(),
)
