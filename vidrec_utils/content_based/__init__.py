"""Recommending what resembles what a user liked: by tags and words, by titles, pictures and clips.

No model here needs other people: somebody's own history and the videos' content are enough, so a
video that nobody has watched can be recommended.

- `TermRecommender`, with `documents`: tags, categories and keywords, by TF-IDF or BM25.
- `ContentRecommender`: a profile of vectors; `combine` makes one vector of several modalities.
"""

from vidrec_utils.content_based.profiles import ContentRecommender, HistoryProfile
from vidrec_utils.content_based.terms import (
    TermRecommender,
    bm25_weights,
    count_terms,
    documents,
    plain_words,
    tfidf_weights,
)
from vidrec_utils.content_based.vectors import aligned, combine, unit_vectors

__all__ = [
    "ContentRecommender",
    "HistoryProfile",
    "TermRecommender",
    "aligned",
    "bm25_weights",
    "combine",
    "count_terms",
    "documents",
    "plain_words",
    "tfidf_weights",
    "unit_vectors",
]
