"""Interests, diverse lists and the learned ranker: by hand, on planted tastes, on bad input."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import recommender
from vidrec_utils.content_based import (
    ContentRecommender,
    Diversified,
    InterestRecommender,
    LearnedRanker,
    find_interests,
    mmr,
)
from vidrec_utils.explanations import contrasting_users, explained_list
from vidrec_utils.recommender import Popularity

PLANE = pd.DataFrame(
    [[1, 0], [1, 0], [0, 1], [1, 1], [0, 2], [-1, 0]], index=list("abcdef"), columns=["x", "y"]
).astype("f4")


def library(rows, videos="abcdef"):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=list(videos)))


TWO = library([("u", "a", 0.9), ("u", "c", 0.1), ("w", "b", 0.0), ("n", "g", 1.0)], "abcdefg")


def planted(seed=0, noise=6):
    """Users who like one of two directions of `taste`; `noise` is columns that mean nothing."""
    rng = np.random.default_rng(seed)
    videos = [f"v{i:03d}" for i in range(120)]
    side = rng.choice([-1.0, 1.0], 120)
    rows = []
    for user in range(60):
        likes = 1.0 if user % 2 else -1.0
        for video in rng.choice(120, 15, replace=False):
            rows.append((f"u{user}", videos[video], 1.0 if side[video] == likes else 0.0))
    vectors = np.column_stack([side, 3 * rng.normal(size=(120, noise))]).astype("f4")
    return library(rows, videos), pd.DataFrame(vectors, index=videos), side


def test_interests_by_hand():
    rows = np.array([[0, 1], [1, 0], [1, 0.1], [0.1, 1]])
    assert find_interests(rows, 2).tolist() == [0, 1, 1, 0]
    assert find_interests(rows, 1).tolist() == [0, 0, 0, 0]
    assert find_interests(rows[:1], 5).tolist() == [0]
    assert find_interests(rows[:0], 5).tolist() == []
    assert find_interests(np.ones((3, 2)), 3).tolist() == [0, 0, 0]


def test_a_score_is_that_of_the_best_interest():
    options = {"center": False, "least": 0.0}
    equal = InterestRecommender(PLANE, 2, importance=0.0, **options).fit(TWO)
    diagonal = 2**-0.5
    np.testing.assert_allclose(equal.score("u")[0, :6], [1, 1, 1, diagonal, 1, 0], atol=1e-6)
    shared = InterestRecommender(PLANE, 2, importance=1.0, **options).fit(TWO)
    expected = [0.9, 0.9, 0.1, 0.9 * diagonal, 0.1, 0]
    np.testing.assert_allclose(shared.score("u")[0, :6], expected, atol=1e-6)
    assert shared.interests_of("u")["video_id"].tolist() == ["a", "c"]
    assert shared.interests_of("u")["interest"].tolist() == [0, 1]
    assert shared.interests_of("w").empty
    assert shared.explain("u", "d").table["reason"].tolist() == ["a"]
    for user in ("w", "n", "nobody"):  # no weight, no vector, unknown
        np.testing.assert_array_equal(shared.score(user)[0], shared.popularity)


def test_what_was_skipped_is_no_interest():
    """Ann watched a and c to the end, and left twenty videos between them after a moment."""
    skipped = [f"s{n}" for n in range(20)]
    rng = np.random.default_rng(0)
    plane = pd.DataFrame(rng.normal([-1, -1], 0.1, (22, 2)), index=["a", "c", *skipped])
    plane.loc["a"], plane.loc["c"] = [1, 0], [0, 1]
    rows = [("ann", "a", 0.9), ("ann", "c", 0.5), *[("ann", s, 0.1) for s in skipped]]
    log = library(rows, plane.index)
    model = InterestRecommender(plane, 2, center=False).fit(log)
    assert model.interests_of("ann")["video_id"].tolist() == ["a", "c"]
    # an event counts as it happened, however long ago; what it weighs now is another matter
    log.interactions["timestamp"] = pd.Timestamp("2025-03-01", tz="UTC")
    log.interactions.loc[0, "timestamp"] -= pd.Timedelta("30D")
    aged = InterestRecommender(plane, 2, center=False, half_life_days=1.0).fit(log)
    assert set(aged.interests_of("ann")["video_id"]) == {"a", "c"}
    everything = InterestRecommender(plane, 2, center=False, least=0.0).fit(log)
    assert len(everything.interests_of("ann")) == 22


def test_negatives_of_the_ranker_could_have_been_shown():
    data, vectors, _ = planted()
    start = pd.Timestamp("2025-03-01", tz="UTC")
    data.interactions["timestamp"] = start
    late = np.arange(120) >= 70
    data.videos["published_at"] = np.where(late, start + pd.Timedelta("1D"), start)
    data.videos["published_at"] = pd.to_datetime(data.videos["published_at"])
    model = LearnedRanker({"x": vectors}, negatives=20).fit(data)
    weights = recommender.event_weights(data.interactions)
    matrix = recommender.interaction_matrix(
        data.interactions, weights, model.user_ids, model.video_ids
    )
    _, columns, success = model._examples(matrix)
    pairs = model.seen.nnz
    drawn = columns[pairs:]  # the events come first
    assert len(drawn) > 1000
    assert not success[pairs:].any()
    assert not late[drawn].any()
    del data.videos["published_at"]
    free = LearnedRanker({"x": vectors}, negatives=20).fit(data)
    assert late[free._examples(matrix)[1][pairs:]].mean() > 0.3


def test_one_interest_ranks_as_the_mean_does():
    data, vectors, _ = planted()
    one = InterestRecommender(vectors, 1).fit(data)
    mean = ContentRecommender(vectors).fit(data)
    pd.testing.assert_series_equal(
        one.recommend(one.user_ids)["video_id"], mean.recommend(mean.user_ids)["video_id"]
    )


def test_reasons_of_an_interest_add_up():
    data, vectors, _ = planted()
    model = InterestRecommender(vectors, 3).fit(data)
    for user in ("u0", "u7"):
        score = model.score(user)[0]
        for column in (0, 50, 119):
            reasons = model.explain(user, model.video_ids[column])
            assert reasons.total == pytest.approx(score[column], abs=1e-5)


def test_mmr_by_hand():
    relevance = np.array([1.0, 0.9, 0.5, -np.inf])
    alike = np.array([[1, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    # second pick: 0.5 * 0.9 - 0.5 * 0.8 = 0.05 against 0.5 * 0.5 - 0 = 0.25
    assert mmr(relevance, alike, 3, 0.5).tolist() == [0, 2, 1]
    assert mmr(relevance, alike, 3, 1.0).tolist() == [0, 1, 2]
    assert mmr(relevance, alike, 9, 0.5).tolist() == [0, 2, 1, 3]
    both = mmr(np.stack([relevance] * 2), np.stack([alike] * 2), 2, 0.5)
    assert both.tolist() == [[0, 2], [0, 2]]
    for k, balance in ((0, 0.5), (1, 1.5)):
        with pytest.raises(ValueError, match=r"at least 1|between 0 and 1"):
            mmr(relevance, alike, k, balance)


def test_diverse_lists():
    rows = [("x", v, 1.0) for v in "aabbbbccd"] + [("u", "b", 1.0)]
    data = library(rows)
    plain = Popularity().fit(data)
    assert plain.recommend("u", 3)["video_id"].tolist() == ["a", "c", "d"]
    vectors = pd.DataFrame(
        [[1, 0], [0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], index=list("abcdef"), dtype="f4"
    )
    same = Diversified(Popularity(), vectors, balance=1.0, k=3, depth=5).fit(data)
    pd.testing.assert_series_equal(
        same.recommend("u", 9)["video_id"], plain.recommend("u", 9)["video_id"]
    )
    # a is picked first; c equals a, d is its opposite
    diverse = Diversified(Popularity(), vectors, balance=0.5, k=3, depth=5).fit(data)
    assert diverse.recommend("u", 2)["video_id"].tolist() == ["a", "d"]
    assert sorted(diverse.recommend("u", 9)["video_id"]) == list("acdef")
    everything = diverse.recommend(["u", "new"], 9, exclude_seen=False)
    assert everything.groupby("user_id").size().tolist() == [6, 6]
    assert diverse.name == "popularity, diverse"
    for options in ({"balance": 2}, {"k": 0}, {"k": 5, "depth": 4}):
        with pytest.raises(ValueError, match=r"balance is|pick at least"):
            Diversified(Popularity(), vectors, **options)


def test_the_ranker_learns_which_direction_counts():
    data, vectors, side = planted()
    hits = {}
    for model in (ContentRecommender(vectors), LearnedRanker({"all": vectors}, dims=7)):
        best = model.fit(data).recommend(model.user_ids, k=10)
        likes = np.where(best["user_id"].str[1:].astype(int) % 2, 1.0, -1.0)
        hits[model.name] = (side[model.video_ids.get_indexer(best["video_id"])] == likes).mean()
    assert hits["content"] < 0.9 < hits["learned ranker"]


def test_an_example_leaves_its_own_video_out():
    data, vectors, _ = planted()
    model = LearnedRanker({"all": vectors}, dims=7).fit(data)
    row, own = 3, int(model.shares[[3]].indices[0])
    without = data.interactions.copy()
    dropped = (without["user_id"] == model.user_ids[row]) & (
        without["video_id"] == model.video_ids[own]
    )
    rest = LearnedRanker({"all": vectors}, dims=7).fit(
        SimpleNamespace(interactions=without[~dropped], videos=data.videos)
    )
    profiles = model._profiles(None, np.array([row]), np.array([own]))
    np.testing.assert_allclose(profiles[0], rest.profiles[row], atol=1e-5)


def test_modalities_of_the_ranker_add_up():
    data, vectors, _ = planted()
    modalities = {"taste": vectors.iloc[:, :1], "noise": vectors.iloc[5:, 1:]}
    model = LearnedRanker(modalities, dims=4, seed=3).fit(data)
    score = model.score("u5")[0]
    for column in (0, 60):
        reasons = model.explain("u5", model.video_ids[column])
        pairs = set(zip(reasons.table["kind"], reasons.table["reason"], strict=True))
        assert pairs == {(k, r) for k in ("agreement", "liking") for r in ("taste", "noise")}
        assert reasons.total == pytest.approx(score[column], abs=1e-5)
    assert model.importance()["taste"] > 0.9
    assert model.importance().sum() == pytest.approx(1)


MODELS = {
    "interests": lambda v: InterestRecommender(v, 2, progress=False),
    "ranker": lambda v: LearnedRanker({"one": v, "two": v.iloc[:, :1]}, dims=3, seed=1),
    "diverse": lambda v: Diversified(ContentRecommender(v), v, k=2, depth=4),
    "diverse popularity": lambda v: Diversified(Popularity(), v, k=2, depth=4),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_round_trip_changes_nothing(kind, tmp_path):
    data, vectors, _ = planted()
    vectors = vectors.drop(index="v003")
    model = MODELS[kind](vectors).fit(data)
    again = recommender.load(model.save(tmp_path))
    assert (type(again), again.name) == (type(model), model.name)
    assert again.parameters() == model.parameters()
    users = [*model.user_ids[:5], "nobody"]
    np.testing.assert_array_equal(again.score(users), model.score(users))
    np.testing.assert_array_equal(MODELS[kind](vectors).fit(data).score(users), model.score(users))
    np.testing.assert_allclose(again.fit(data).score(users), model.score(users), rtol=1e-4)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("bad", ["nan rows", "all nan", "no weight", "no event", "one video"])
def test_bad_input_has_an_answer(kind, bad):
    rows, videos, vectors = [("u", "a", 1.0), ("u", "a", 1.0), ("w", "b", 0.2)], "abcdef", PLANE
    if bad == "nan rows":
        vectors = PLANE.copy()
        vectors.loc[["a", "d"]] = np.nan
    if bad == "all nan":
        vectors = PLANE * np.nan
    if bad == "no weight":
        rows = [(user, video, 0.0) for user, video, _ in rows]
    if bad == "no event":
        rows = []
    if bad == "one video":
        rows, videos = rows[:1], "a"
    model = MODELS[kind](vectors).fit(library(rows, videos))
    lists = model.recommend(["u", "nobody"], k=99, exclude_seen=False)
    assert lists.groupby("user_id").size().tolist() == [len(videos)] * 2
    assert np.isfinite(lists["score"]).all()
    if bad == "one video":
        assert model.recommend("u").empty


def test_impossible_options():
    with pytest.raises(ValueError, match="at least 1"):
        InterestRecommender(PLANE, 0)
    with pytest.raises(ValueError, match="no modality"):
        LearnedRanker({})
    with pytest.raises(ValueError, match="C is 0; it must be positive"):
        LearnedRanker({"one": PLANE}, C=0)


def test_contrasting_users_and_their_explained_lists():
    rows = [("x", "a", 1.0), ("y", "c", 1.0), ("x2", "b", 1.0), ("none", "a", 0.0)]
    model = ContentRecommender(PLANE, center=False).fit(library(rows))
    users = (model.profiles, model.user_ids)
    assert contrasting_users(*users, 2, model.history_lengths) == ["y", "x"]
    assert len(contrasting_users(*users, 9)) == 3
    listed = explained_list(model, "x", k=2)
    assert listed["video_id"].tolist() == ["a", "b", "d"]
    assert listed["kind"].tolist() == ["because of", "recommended", "recommended"]
    np.testing.assert_allclose(listed["share"], 1, rtol=1e-6)
    with pytest.raises(KeyError, match="no user"):
        explained_list(model, "nobody")
