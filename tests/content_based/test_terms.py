"""Tags, categories and words: weights by the formulas, scores by hand, reasons that add up."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from vidrec_utils import recommender
from vidrec_utils.content_based import (
    TermRecommender,
    bm25_weights,
    combine,
    count_terms,
    documents,
    term_vectors,
    tfidf_weights,
)

DOCUMENTS = pd.Series(
    [("cat", "slow"), ("cat",), ("dog", "slow"), (), ("dog", "dog", "park", "sun")],
    index=list("abcde"),
    dtype=object,
)


def library(rows, videos="abcde"):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=list(videos)))


LIBRARY = library([("u", "a", 1.0), ("u", "c", 0.5), ("v", "d", 1.0), ("w", "b", 0.0)])


def test_documents_keep_tags_apart_from_words():
    videos = pd.DataFrame(
        {
            "tags": ["Cats|slow tv", pd.NA, "x"],
            "category": ["animals", "music", pd.NA],
            "title": ["My CAT, my cat!", pd.NA, "Ünïcode 猫"],
            "views": [1, 2, 3],
        },
        index=["7", "8", "9"],
    )
    found = documents(videos)
    assert found["7"] == ("tags:cats", "tags:slow tv", "category:animals", "my", "cat", "my", "cat")
    assert found["8"] == ("category:music",)
    assert found["9"] == ("tags:x", "ünïcode", "猫")
    assert documents(videos, "title", words=str.split)["7"] == ("My", "CAT,", "my", "cat!")
    assert documents(videos[["title"]])["8"] == ()
    with pytest.raises(ValueError, match="no column of tags"):
        documents(videos[["views"]], ["tags"])


def test_bm25_by_hand():
    counts, vocabulary = count_terms(DOCUMENTS)
    assert vocabulary == ["cat", "dog", "park", "slow", "sun"]
    weights = bm25_weights(counts, k1=1.0, b=0.5).toarray()
    # four documents with terms, nine terms in all
    average, idf_dog = 9 / 4, math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    assert idf_dog == pytest.approx(math.log(2))
    expected = idf_dog * 2 * 2 / (2 + 1 * (0.5 + 0.5 * 4 / average))
    assert weights[4, 1] == pytest.approx(expected, rel=1e-6)
    assert not weights[3].any()
    rare = math.log(1 + 3.5 / 1.5)
    assert bm25_weights(counts, k1=0.0).toarray()[4, 2] == pytest.approx(rare, rel=1e-6)
    for options, message in (({"k1": -1}, "at least 0"), ({"b": 1.5}, "between 0 and 1")):
        with pytest.raises(ValueError, match=message):
            bm25_weights(counts, **options)


def test_tfidf_is_scikit_learns_where_all_have_terms():
    texts = ["a b b", "b c", "c c c d", "a"]
    ours = tfidf_weights(count_terms([text.split() for text in texts])[0]).toarray()
    theirs = TfidfVectorizer(token_pattern=r"\S+").fit_transform(texts).toarray()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    with_empty = tfidf_weights(count_terms([[], *(text.split() for text in texts)])[0]).toarray()
    np.testing.assert_allclose(with_empty[1:], theirs, rtol=1e-6)
    assert not with_empty[0].any()


def test_scores_by_hand():
    model = TermRecommender(DOCUMENTS, "bm25", k1=0.0).fit(LIBRARY)
    score = model.score("u")[0]
    two, one = math.log(2), math.log(1 + 3.5 / 1.5)  # idf of terms in two documents, and in one
    assert one > two
    # a has share 2/3 and asks for cat and slow; c has 1/3 and asks for dog and slow
    np.testing.assert_allclose(score[1], 2 / 3 * two / 2, rtol=1e-6)  # b: cat
    np.testing.assert_allclose(score[4], 1 / 3 * two / 2, rtol=1e-6)  # e: dog
    assert score[3] < score.min(where=np.arange(5) != 3, initial=9)  # d has no term
    assert model.recommend("u", k=9)["video_id"].tolist() == ["b", "e", "d"]


@pytest.mark.parametrize("weighting", ["bm25", "tfidf"])
def test_reasons_add_up(weighting):
    model = TermRecommender(DOCUMENTS, weighting).fit(LIBRARY)
    score = model.score("u")[0]
    for column, video in enumerate("abce"):
        column += video == "e"
        assert model.explain("u", video).total == pytest.approx(score[column])
        terms = model.explain("u", video, by="term")
        assert terms.total == pytest.approx(score[column])
        assert terms.table["contribution"].is_monotonic_decreasing
    assert model.explain("u", "b", by="term").table["reason"].tolist() == ["cat"]
    with pytest.raises(ValueError, match="ranked last"):
        model.explain("u", "d")
    with pytest.raises(ValueError, match="popular"):
        model.explain("w", "a", by="term")
    with pytest.raises(ValueError, match="choose from 'history', 'term'"):
        model.explain("u", "a", by="word")


def test_similar_by_terms():
    model = TermRecommender(DOCUMENTS, "tfidf").fit(LIBRARY)
    similar = model.similar("a", k=9)
    # cat and slow weigh the same, so b shares one of two equal directions
    assert similar["video_id"].tolist() == ["b", "c", "e"]
    np.testing.assert_allclose(similar["similarity"], [2**-0.5, 0.5, 0], atol=1e-6)


def test_users_without_terms_get_popularity():
    model = TermRecommender(DOCUMENTS).fit(LIBRARY)
    for user in ("v", "w", "nobody"):  # only a video without terms, no weight, unknown
        np.testing.assert_array_equal(model.score(user)[0], model.popularity)


@pytest.mark.parametrize("weighting", ["bm25", "tfidf"])
def test_a_round_trip_changes_nothing(weighting, tmp_path):
    model = TermRecommender(DOCUMENTS, weighting, k1=0.5, half_life_days=None).fit(LIBRARY)
    again = recommender.load(model.save(tmp_path))
    assert (type(again), again.name) == (TermRecommender, weighting)
    assert again.parameters() == model.parameters()
    np.testing.assert_array_equal(again.score(["u", "v"]), model.score(["u", "v"]))
    tables = [m.explain("u", "e", by="term").table for m in (again, model)]
    pd.testing.assert_frame_equal(*tables)
    np.testing.assert_array_equal(again.fit(LIBRARY).score("u"), model.score("u"))


def test_one_user_one_video():
    lone = library([("u", "a", 1.0)], "a")
    model = TermRecommender(DOCUMENTS).fit(lone)
    assert model.recommend("u").empty
    assert model.recommend("new", k=99)["video_id"].tolist() == ["a"]


def test_numbers_as_ids():
    rows = library([(1, 7, 1.0), (2, 8, 1.0)], [])
    rows.videos = pd.DataFrame(index=[7, 8, 9])
    terms = pd.Series([("x",), ("y",), ("x",)], index=["7", "8", "9"], dtype=object)
    assert TermRecommender(terms).fit(rows).recommend(1, 1)["video_id"].tolist() == ["9"]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="choose from 'bm25'"):
        TermRecommender(DOCUMENTS, "bm26")
    with pytest.raises(ValueError, match="None of the 5 videos"):
        TermRecommender(DOCUMENTS.set_axis(list("vwxyz"))).fit(LIBRARY)
    with pytest.raises(ValueError, match="Two documents for video 'a'"):
        TermRecommender(DOCUMENTS.set_axis(list("aacde"))).fit(LIBRARY)


MODALITIES = {
    "one": pd.DataFrame({"x": [1.0, -1.0, np.nan, np.nan]}, index=list("abcd")),
    "two": pd.DataFrame({"y": [1.0, -1.0, -1.0, np.nan]}, index=list("abcd")),
}


def test_combined_vectors_add_their_cosines():
    both = combine(MODALITIES, {"one": 4.0})
    gram = both.to_numpy() @ both.to_numpy().T
    np.testing.assert_allclose(gram[0, :3], [4 + 1, -4 - 1, -1], rtol=1e-6)  # c lacks "one"
    assert both.loc["d"].isna().all()
    only = combine(MODALITIES, {"two": 0})
    assert only.shape[1] == 1
    assert only.loc[["c", "d"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("modalities", "weights", "complaint"),
    [
        ({}, None, "nothing to join"),
        (MODALITIES, {"three": 1}, "no modality 'three'"),
        (MODALITIES, {"one": -1}, "not negative"),
        (MODALITIES, {"one": np.nan}, "not negative"),
        (MODALITIES, {"one": 0, "two": 0}, "All weights are 0"),
    ],
)
def test_impossible_combinations(modalities, weights, complaint):
    with pytest.raises(ValueError, match=complaint):
        combine(modalities, weights)


def test_term_vectors_keep_the_terms_that_videos_share():
    table = term_vectors(DOCUMENTS)
    assert table.columns.tolist() == ["cat", "dog", "slow"]  # park and sun have one video each
    assert table.index.equals(DOCUMENTS.index)
    assert table.loc["d"].isna().all()
    lengths = np.linalg.norm(table.drop("d"), axis=1)
    assert np.allclose(lengths, 1)
    assert term_vectors(DOCUMENTS, least=1).shape == (5, 5)
    assert term_vectors(DOCUMENTS, most=2).columns.tolist() == ["cat", "dog"]
    with pytest.raises(ValueError, match="No term has 9 videos"):
        term_vectors(DOCUMENTS, least=9)
