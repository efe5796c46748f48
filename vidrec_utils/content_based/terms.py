"""Tags, categories and the words of titles: profiles of terms, rare ones weighing more.

References
----------
Salton, Buckley: Term-weighting approaches in automatic text retrieval. Information Processing &
Management 24(5), 1988.
Robertson, Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond. Foundations and Trends
in Information Retrieval 3(4), 2009.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from vidrec_utils import saving
from vidrec_utils.content_based.profiles import HistoryProfile
from vidrec_utils.datasets import split_tags
from vidrec_utils.explanations import Explanation
from vidrec_utils.recommender import Recommender, as_ids

FIELDS = ("tags", "category", "title")
WEIGHTINGS = ("bm25", "tfidf")


def plain_words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; scripts without blanks give one long word."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())


def documents(
    videos: pd.DataFrame,
    of: Iterable[str] = FIELDS,
    words: Callable[[str], list[str]] = plain_words,
) -> pd.Series:
    """The terms of each video: its tags, its category, and the words of its texts.

    Parameters
    ----------
    videos : DataFrame
        Indexed by `video_id`. A column that is absent, and a value that is NA, gives no term.
    of : iterable of str
        Columns. Tags and the category are one term each, written `tags:…` and `category:…` so that
        a tag is not mistaken for a word; every other column is a text and gives its words.
    words : callable
        Cuts a text; `text_encoders.words` also knows scripts without blanks, and emoji.

    Returns
    -------
    Series of tuple of str
        Indexed like `videos`, terms in reading order, repeated where the text repeats them.

    Raises
    ------
    ValueError
        If the videos have none of the columns.
    """
    of = [of] if isinstance(of, str) else list(of)
    there = [column for column in of if column in videos]
    if not there:
        raise ValueError(f"The videos have no column of {', '.join(of)}; nothing to take terms of.")
    parts = [_terms(videos[column], column, words) for column in there]
    together = [sum(row, ()) for row in zip(*parts, strict=True)]
    return pd.Series(together, index=videos.index, dtype=object, name="terms")


def _terms(
    column: pd.Series, name: str, words: Callable[[str], list[str]]
) -> list[tuple[str, ...]]:
    if name == "tags":
        return [tuple(f"tags:{tag.lower()}" for tag in tags) for tags in split_tags(column)]
    if name == "category":
        return [() if pd.isna(v) else (f"category:{str(v).lower()}",) for v in column]
    return [() if pd.isna(v) else tuple(words(str(v))) for v in column]


def count_terms(terms: Iterable[Iterable[str]]) -> tuple[sparse.csr_array, list[str]]:
    """How often each document has each term.

    Returns
    -------
    counts : csr_array of float32, shape (n_documents, n_terms)
    vocabulary : list of str
        The term of each column, sorted.

    Raises
    ------
    ValueError
        If no document has any term.
    """
    terms = [list(document) for document in terms]
    if not any(terms):
        raise ValueError(
            f"None of the {len(terms)} videos has a tag, a category or a word to compare by."
        )
    counter = CountVectorizer(analyzer=list, dtype=np.float32)
    counts = sparse.csr_array(counter.fit_transform(terms))
    return counts, [str(term) for term in counter.get_feature_names_out()]


def tfidf_weights(counts: sparse.csr_array) -> sparse.csr_array:
    """Term frequency times inverse document frequency, rows of length 1.

    `w_dt = tf_dt (1 + ln((1 + n) / (1 + df_t)))`, divided by the row's length, with `tf` the count,
    `df` the number of documents with the term and n the number of documents that have any term
    (Salton and Buckley 1988, smoothed as in scikit-learn). An empty document stays empty.
    """
    filled = np.diff(counts.indptr) > 0
    weigher = TfidfTransformer().fit(counts[filled])
    return sparse.csr_array(weigher.transform(counts)).astype(np.float32)


def bm25_weights(counts: sparse.csr_array, k1: float = 1.2, b: float = 0.75) -> sparse.csr_array:
    """What each term of a document is worth to a query that asks for it.

    `w_dt = idf_t tf_dt (k1 + 1) / (tf_dt + k1 (1 - b + b |d| / avg))` with
    `idf_t = ln(1 + (n - df_t + 1/2) / (df_t + 1/2))`; `|d|` is the number of terms of a document,
    `avg` its mean and n the number of documents, both over those that have any term (Robertson and
    Zaragoza 2009; the 1 inside the logarithm keeps common terms from counting against a document).

    Parameters
    ----------
    counts : csr_array, shape (n_documents, n_terms)
        Not changed.
    k1 : float
        How much a repeated term adds; 0: nothing.
    b : float
        How much long documents are discounted, 0 to 1.

    Raises
    ------
    ValueError
        If k1 is negative or b outside 0..1.
    """
    if k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"k1 is {k1} and b is {b}; k1 must be at least 0 and b between 0 and 1.")
    length = counts.sum(axis=1)
    n = np.count_nonzero(length)
    df = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((n - df + 0.5) / (df + 0.5))
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    norm = k1 * (1 - b + b * length[rows] * n / max(length.sum(), 1))
    values = idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + norm)
    return sparse.csr_array(
        (values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), counts.shape
    )


class TermRecommender(HistoryProfile):
    """Videos whose tags, category and words are those of the user's history.

    A score is `sum_j share_uj <q_j, d_i>`: `tfidf` compares rows by cosine (`q` and `d` are
    `tfidf_weights`); `bm25` lets each watched video ask for its terms, `q` being 1/n for each of
    its n different terms, and `d` what BM25 gives for each.

    A video without any term is one without content; see `HistoryProfile`.

    Parameters
    ----------
    documents : Series of sequence of str
        Terms of each video, indexed by `video_id`; see `content_based.documents`.
    weighting : {"bm25", "tfidf"}
        How terms are weighed.
    k1, b : float
        See `bm25_weights`.
    dislike, half_life_days
        See `HistoryProfile`.
    name : str, optional
        Shown in tables; default: the weighting.

    Raises
    ------
    ValueError
        If an option is impossible, a video has two documents, or no video has a term (in `fit`).
    """

    _learned: ClassVar = ("asks", "tells", "missing", "shares", "profiled")

    def __init__(
        self,
        documents: pd.Series,
        weighting: str = "bm25",
        k1: float = 1.2,
        b: float = 0.75,
        dislike: float = 0.0,
        half_life_days: float | None = None,
        name: str | None = None,
    ):
        super().__init__(dislike, half_life_days)
        if weighting not in WEIGHTINGS:
            raise ValueError(f"weighting is {weighting!r}; choose from {', '.join(WEIGHTINGS)}.")
        self.documents = documents
        self.weighting, self.k1, self.b = weighting, float(k1), float(b)
        self.name = name or weighting

    def explain(self, user_id: str, video_id: str, by: str = "history") -> Explanation:
        """Split a score exactly into what each watched video, or each term, contributes.

        Parameters
        ----------
        user_id, video_id : str
            Known.
        by : {"history", "term"}
            The kind of the reasons.

        Raises
        ------
        KeyError, NotExplainable
            As `HistoryExplainable.explain`.
        ValueError
            If there are no reasons of this kind.
        """
        if by == "history":
            return super().explain(user_id, video_id)
        if by != "term":
            raise ValueError(f"by is {by!r}; reasons are of the kind 'history' or 'term'.")
        user, video = self._explained_positions(user_id, video_id)
        profile = (self.shares[[user]] @ self.asks).toarray().ravel()  # (n_terms,)
        document = self.tells[[video]].tocoo()
        contribution = profile[document.col] * document.data
        reason = np.array(self.vocabulary, dtype=object)[document.col]
        rows = pd.DataFrame({"kind": "term", "reason": reason, "contribution": contribution})
        return Explanation.from_rows(user_id, video_id, rows)

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, without the documents."""
        return {name: v for name, v in super().parameters().items() if name != "documents"}

    def _fit(self, matrix: sparse.csr_array) -> None:
        terms = self._terms()
        counts, self.vocabulary = count_terms(terms)
        if self.weighting == "tfidf":
            self.asks = self.tells = tfidf_weights(counts)
        else:
            self.tells = bm25_weights(counts, self.k1, self.b)
            different = np.maximum(np.diff(counts.indptr), 1).astype(np.float32)
            once = counts.copy()
            once.data[:] = 1
            self.asks = sparse.csr_array(sparse.diags_array(1 / different) @ once)
        self._share(matrix, np.diff(counts.indptr) == 0)

    def _score(self, users: np.ndarray) -> np.ndarray:
        profiles = self.shares[users] @ self.asks
        scores = (profiles @ self.tells.T).toarray().astype(np.float32)
        return self._complete(scores, users)

    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return (self.asks[history] @ self.tells[columns].T).toarray().astype(np.float32)

    def _terms(self) -> list[list[str]]:
        """Terms in the catalogue's order; none for a video that has no document."""
        ids = as_ids(self.documents.index)
        if ids.has_duplicates:
            raise ValueError(f"Two documents for video {ids[ids.duplicated()][0]!r}; keep one.")
        places = ids.get_indexer(self.video_ids)
        given = list(self.documents)
        found = [given[place] if place >= 0 else () for place in places]
        return [list(t) if isinstance(t, (tuple, list, set, frozenset)) else [] for t in found]

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        kept = saving.encode_ids(json.dumps(terms, ensure_ascii=False) for terms in self._terms())
        words = saving.encode_ids(self.vocabulary)
        return {**super()._state(), "documents": kept, "vocabulary": words}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Recommender:
        kept = [tuple(json.loads(terms)) for terms in saving.decode_ids(state["documents"])]
        return cls(pd.Series(kept, dtype=object), **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.documents.index = self.video_ids
        self.vocabulary = saving.decode_ids(state["vocabulary"])
