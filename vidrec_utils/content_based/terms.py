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
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from vidrec_utils import arguments, saving
from vidrec_utils.content_based.profiles import HistoryProfile
from vidrec_utils.content_based.vectors import unique_ids
from vidrec_utils.datasets import split_tags
from vidrec_utils.explanations import Explanation
from vidrec_utils.saving import Array

FIELDS = ("tags", "category", "title")
WEIGHTINGS = ("bm25", "tfidf")


def plain_words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; scripts without blanks give one long word.

    Examples
    --------
    >>> plain_words("Slow TV: 8 hours!")
    ['slow', 'tv', '8', 'hours']
    """
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
        Cuts a text into words; `text_encoders.words` also knows scripts without blanks, and emoji.

    Returns
    -------
    Series of tuple of str
        Indexed like `videos`, terms in reading order, repeated where the text repeats them.

    Raises
    ------
    ValueError
        If the videos have none of the columns.

    Examples
    --------
    >>> import pandas as pd
    >>> videos = pd.DataFrame(
    ...     {"title": ["My cat", None], "category": ["Pets", "Pets"]}, index=["a", "b"]
    ... )
    >>> documents(videos).to_dict()
    {'a': ('category:pets', 'my', 'cat'), 'b': ('category:pets',)}
    """
    of = [of] if isinstance(of, str) else list(of)
    columns = [column for column in of if column in videos]
    if not columns:
        raise ValueError(f"The videos have no column of {', '.join(of)}; nothing to take terms of.")
    fields = [_terms(videos[column], column, words) for column in columns]
    terms = [sum(row, ()) for row in zip(*fields, strict=True)]
    return pd.Series(terms, index=videos.index, dtype=object, name="terms")


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

    Examples
    --------
    >>> counts, vocabulary = count_terms([("cat", "cat", "tv"), ("tv",), ()])
    >>> vocabulary
    ['cat', 'tv']
    >>> counts.toarray().tolist()
    [[2.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    """
    terms = [list(document) for document in terms]
    if not any(terms):
        raise ValueError(
            f"None of the {len(terms)} videos has a tag, a category or a word to compare by."
        )
    counter = CountVectorizer(analyzer=list, dtype=np.float32)
    counts = sparse.csr_array(counter.fit_transform(terms))
    return counts, [str(term) for term in counter.get_feature_names_out()]


def term_vectors(documents: pd.Series, least: int = 2, most: int = 512) -> pd.DataFrame:
    """The TF-IDF weights of the terms that videos share, as vectors that can be joined with others.

    Parameters
    ----------
    documents : Series of sequence of str
        Terms of each video, indexed by `video_id`; see `documents`.
    least : int
        A term that fewer videos have is left out: it makes no two videos alike.
    most : int
        At most this many terms, those of most videos; of equal ones the first in the alphabet.

    Returns
    -------
    DataFrame of float32
        Indexed like `documents`, one column a term. A video without any of the terms has NaN.

    Raises
    ------
    ValueError
        If no video has a term, or no term has as many videos.

    Examples
    --------
    >>> import pandas as pd
    >>> terms = pd.Series([("cat", "slow"), ("cat",), ("dog",)], index=list("abc"))
    >>> print(term_vectors(terms).to_string())
       cat
    a  1.0
    b  1.0
    c  NaN
    """
    arguments.at_least(1, least=least, most=most)
    counts, vocabulary = count_terms(documents)
    n_videos = np.bincount(counts.indices, minlength=len(vocabulary))
    kept = np.argsort(-n_videos, kind="stable")[:most]
    kept = np.sort(kept[n_videos[kept] >= least])
    if not len(kept):
        raise ValueError(
            f"No term has {least} videos; with a smaller `least` there are more terms."
        )
    columns = sparse.csr_array(counts[:, kept])
    weights = tfidf_weights(columns).toarray()
    weights[np.diff(columns.indptr) == 0] = np.nan
    return pd.DataFrame(weights, documents.index, [vocabulary[column] for column in kept])


def tfidf_weights(counts: sparse.csr_array) -> sparse.csr_array:
    """Term frequency times inverse document frequency, rows of length 1.

    `w_dt = tf_dt (1 + ln((1 + n) / (1 + df_t)))`, divided by the row's length, with `tf` the count,
    `df` the number of documents with the term and n the number of documents that have any term
    (Salton and Buckley 1988, smoothed as in scikit-learn). An empty document stays empty.

    Examples
    --------
    The rarer term has the larger weight, and a row has length 1:

    >>> counts, vocabulary = count_terms([("cat", "tv"), ("tv",)])
    >>> print(tfidf_weights(counts).toarray().astype(float).round(2).tolist())
    [[0.81, 0.58], [0.0, 1.0]]
    """
    # idf_t = 1 + ln((1 + n) / (1 + df_t)), from the n documents that have any term  (n_terms,)
    filled = np.diff(counts.indptr) > 0
    transformer = TfidfTransformer().fit(counts[filled])
    # w_dt = tf_dt idf_t, divided by the length of row d  (n_documents, n_terms)
    return sparse.csr_array(transformer.transform(counts)).astype(np.float32)


def bm25_weights(counts: sparse.csr_array, k1: float = 1.2, b: float = 0.75) -> sparse.csr_array:
    """Weight of each term of a document for a query that asks for it.

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
        How much long documents are discounted, from 0 to 1.

    Raises
    ------
    ValueError
        If k1 is negative or b outside 0..1.

    Examples
    --------
    >>> counts, vocabulary = count_terms([("cat", "tv"), ("tv", "tv")])
    >>> print(bm25_weights(counts).toarray().astype(float).round(2).tolist())
    [[0.69, 0.18], [0.0, 0.25]]
    """
    arguments.at_least(0, k1=k1)
    arguments.share(b=b)
    length = counts.sum(axis=1)  # |d| (n_documents,)
    n = np.count_nonzero(length)
    df = np.bincount(counts.indices, minlength=counts.shape[1])  # (n_terms,)
    # idf_t = ln(1 + (n - df_t + 1/2) / (df_t + 1/2))  (n_terms,)
    idf = np.log1p((n - df + 0.5) / (df + 0.5))
    # k1 (1 - b + b |d| / avg), for the document of each entry  (n_entries,)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    norm = k1 * (1 - b + b * length[rows] * n / max(length.sum(), 1))
    # w_dt = idf_t tf_dt (k1 + 1) / (tf_dt + norm)
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
        How terms are weighted.
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

    Examples
    --------
    >>> import pandas as pd
    >>> terms = pd.Series([("cat", "slow"), ("cat",), ("dog",)], index=list("abc"))
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "video_id": list("abc")})
    >>> model = TermRecommender(terms).fit(log.assign(watch_ratio=1.0))
    >>> model.recommend("ann", k=1)["video_id"].item()
    'b'
    >>> model.explain("ann", "b", by="term").table["reason"].tolist()
    ['cat']
    """

    _array_arguments: ClassVar = ("documents",)
    _learned: ClassVar = ("queries", "term_weights", "missing", "shares", "profiled")

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
        arguments.one_of(WEIGHTINGS, weighting=weighting)
        name = name or weighting
        self._set_arguments(locals())

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
        arguments.one_of(("history", "term"), by=by)
        user, video = self._explained_positions(user_id, video_id)
        profile = (self.shares[[user]] @ self.queries).toarray().ravel()  # (n_terms,)
        document = self.term_weights[[video]].tocoo()
        contribution = profile[document.col] * document.data
        reason = np.array(self.vocabulary, dtype=object)[document.col]
        rows = pd.DataFrame({"kind": "term", "reason": reason, "contribution": contribution})
        return Explanation.from_rows(user_id, video_id, rows)

    def _fit(self, matrix: sparse.csr_array) -> None:
        terms = self._terms()
        counts, self.vocabulary = count_terms(terms)
        if self.weighting == "tfidf":
            # q = d: rows of length 1, so that their product is a cosine  (n_videos, n_terms)
            self.term_weights = tfidf_weights(counts)
            self.queries = self.term_weights
        else:
            # d: BM25's weights; q: 1 / n for each of the n different terms  (n_videos, n_terms)
            self.term_weights = bm25_weights(counts, self.k1, self.b)
            different = np.maximum(np.diff(counts.indptr), 1).astype(np.float32)
            once = counts.copy()
            once.data[:] = 1
            self.queries = sparse.csr_array(sparse.diags_array(1 / different) @ once)
        self._share(matrix, np.diff(counts.indptr) == 0)

    def _score(self, users: np.ndarray) -> np.ndarray:
        # <sum_j share_uj q_j, d_i>  (users, n_videos)
        profiles = self.shares[users] @ self.queries
        scores = (profiles @ self.term_weights.T).toarray().astype(np.float32)
        return self._complete(scores, users)

    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return (self.queries[history] @ self.term_weights[columns].T).toarray().astype(np.float32)

    def _terms(self) -> list[list[str]]:
        """Terms in the catalogue's order; an empty list for a video that has no document."""
        ids = unique_ids(self.documents.index, "documents for video")
        terms = self.documents.set_axis(ids).reindex(self.video_ids)
        return [list(t) if isinstance(t, (tuple, list, set, frozenset)) else [] for t in terms]

    def _state(self) -> dict[str, Array]:
        rows = saving.encode_ids(json.dumps(terms, ensure_ascii=False) for terms in self._terms())
        words = saving.encode_ids(self.vocabulary)
        return {**super()._state(), "documents": rows, "vocabulary": words}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        rows = [tuple(json.loads(terms)) for terms in saving.decode_ids(state["documents"])]
        return cls(pd.Series(rows, dtype=object), **parameters)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.documents.index = self.video_ids
        self.vocabulary = saving.decode_ids(state["vocabulary"])
