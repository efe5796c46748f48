"""Recommending what resembles what a user liked: by tags and words, by titles, images and clips.

No model here needs other people to find what resembles: somebody's own history and the videos'
content are enough, so a video that nobody has watched can be recommended.

- `TermRecommender`, with `documents`: tags, categories and keywords, by TF-IDF or BM25.
- `ContentRecommender`: a profile of vectors; `combine` makes one vector of several modalities.
- `InterestRecommender`: several interests of one user, found by clustering.
- `LearnedRanker`: logistic regression learns which agreements count.
- `Diversified`, `mmr`: any recommender's lists with fewer repetitions.
- `list_entries`: videos with thumbnail, title and category, for `plots.list_table`.

`explanations` shows the lists of very different people, with the reasons.
"""

from vidrec_utils.content_based.diversity import Diversified, mmr
from vidrec_utils.content_based.interests import InterestRecommender, find_interests
from vidrec_utils.content_based.lists import list_entries
from vidrec_utils.content_based.profiles import ContentRecommender, HistoryProfile
from vidrec_utils.content_based.ranker import LearnedRanker
from vidrec_utils.content_based.terms import (
    TermRecommender,
    bm25_weights,
    count_terms,
    documents,
    plain_words,
    term_vectors,
    tfidf_weights,
)
from vidrec_utils.content_based.vectors import aligned, combine, unit_vectors

__all__ = [
    "ContentRecommender",
    "Diversified",
    "HistoryProfile",
    "InterestRecommender",
    "LearnedRanker",
    "TermRecommender",
    "aligned",
    "bm25_weights",
    "combine",
    "count_terms",
    "documents",
    "find_interests",
    "list_entries",
    "mmr",
    "plain_words",
    "term_vectors",
    "tfidf_weights",
    "unit_vectors",
]
