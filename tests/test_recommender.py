"""The common interface: masks, ties, unknown users, cold videos, odd input."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import recommender as rec


def events(*rows, **columns):
    """Interactions from (user, video) pairs and columns of signals."""
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).astype("str")
    return frame.assign(**columns)


def library(interactions, videos):
    return SimpleNamespace(
        interactions=interactions, videos=pd.DataFrame(index=pd.Index(videos, name="video_id"))
    )


PAIRS = events(("u", "b"), ("u", "c"), ("v", "c"), ("w", "a"), ("w", "c"), watch_ratio=1.0)
CATALOGUE = ["d", "c", "b", "a"]


def test_event_weights_by_hand():
    frame = events(
        *[("u", "a")] * 4,
        watch_ratio=[0.5, np.nan, 3.0, 0.0],
        liked=pd.array([True, None, False, None], dtype="boolean"),
        shared=pd.array([None, None, True, None], dtype="boolean"),
        comment=pd.Series(["nice", None, " ", None], dtype="str"),
    )
    weights = rec.event_weights(frame)
    assert weights.tolist() == [0.5 + 1 + 0.5, 0, 1 + 1, 0]
    assert weights.index.equals(frame.index)
    doubled = rec.event_weights(frame, watch=2, like=0, share=3, comment=0)
    assert doubled.tolist() == [1, 0, 5, 0]
    mood = pd.Series([-1.0, np.nan, np.nan, 0.5])
    moody = rec.event_weights(frame, comment=2, sentiment=mood)
    assert moody.tolist() == [0.5 + 1 - 2, 0, 2, 1]


def test_absent_signals_contribute_nothing():
    assert rec.event_weights(events(("u", "a"))).tolist() == [0]
    gone = events(("u", "a"), liked=pd.array([None], dtype="boolean"), watch_ratio=np.nan)
    assert rec.event_weights(gone).tolist() == [0]


def test_top_k_equals_a_stable_sort():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, m = rng.integers(1, 12, 2)
        scores = rng.integers(0, 4, (n, m)).astype("f4")
        scores[rng.random((n, m)) < 0.2] = -np.inf
        for k in (1, 3, m, m + 5):
            expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(rec.top_k(scores, k), expected)
    assert rec.top_k(np.array([[np.nan, 1.0, 2.0]]), 3).tolist() == [[2, 1, 0]]
    assert rec.top_k(np.empty((0, 4)), 2).shape == (0, 2)


def test_top_k_of_many_columns_equals_a_stable_sort():
    rng = np.random.default_rng(1)
    for values in (3, 50, 10**6):  # from nearly everything tied to hardly anything
        scores = rng.integers(0, values, (9, 700)).astype("f4")
        scores[0] = 1.0  # flat
        scores[1, 4:] = -np.inf  # fewer than k are left
        scores[2] = np.arange(700)
        scores[3] = -np.arange(700)
        scores[4, 690:] = np.nan
        clean = np.where(np.isnan(scores), -np.inf, scores)
        before = scores.copy()
        for k in (1, 7, 40, 43, 44, 400):
            expected = np.argsort(-clean, axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(rec.top_k(scores, k), expected)
        np.testing.assert_array_equal(scores, before)


def test_best_gives_the_same_as_arrays():
    model = rec.Popularity().fit(library(PAIRS, CATALOGUE))
    best, scores = model.best(["u", "w", "x"], k=3)
    assert best.tolist() == [[3, 0, -1], [2, 0, -1], [1, 2, 3]]
    assert scores.tolist() == [[1, 0, -np.inf], [1, 0, -np.inf], [3, 1, 1]]
    assert model.best([], k=3)[0].shape == (0, 3)


def test_popularity_ranks_excludes_and_breaks_ties():
    model = rec.Popularity().fit(library(PAIRS, CATALOGUE))
    assert model.score(["u"]).tolist() == [[0, 3, 1, 1]]
    got = model.recommend(["u", "v"], k=10)
    assert got["video_id"].tolist() == ["a", "d", "b", "a", "d"]
    assert got["rank"].tolist() == [1, 2, 1, 2, 3]
    assert got.columns.tolist() == ["user_id", "video_id", "rank", "score"]
    everything = model.recommend("u", k=3, exclude_seen=False)
    assert everything["video_id"].tolist() == ["c", "b", "a"]


def test_unknown_users_get_popularity_and_order_is_kept():
    model = rec.Popularity().fit(PAIRS)
    got = model.recommend(["nobody", "u"], k=1)
    assert got.to_numpy().tolist() == [["nobody", "c", 1, 3], ["u", "a", 1, 1]]


def test_everything_seen_gives_no_rows():
    pairs = events(("u", "a"), ("u", "b"), ("v", "a"))
    model = rec.Popularity().fit(pairs)
    got = model.recommend(["u", "v"])
    assert got.to_numpy().tolist() == [["v", "b", 1, 0]]
    empty = model.recommend(["u"])
    assert len(empty) == 0
    assert empty.columns.tolist() == got.columns.tolist()
    assert len(model.recommend([])) == 0


def test_repeated_exposures_add_up_and_inputs_stay():
    pairs = events(("u", "a"), ("u", "a"), ("v", "b"), watch_ratio=[0.5, 0.75, 1.0])
    before = pairs.copy()
    model = rec.Popularity().fit(pairs)
    assert model.score(["u"]).tolist() == [[1.25, 1.0]]
    pd.testing.assert_frame_equal(pairs, before)


def test_integer_ids_and_a_split():
    split = SimpleNamespace(
        train=pd.DataFrame({"user_id": [1, 2], "video_id": [7, 8], "watch_ratio": 1.0}),
        videos=pd.DataFrame(index=["8", "9", "7"]),
    )
    model = rec.Popularity().fit(split)
    assert model.recommend(["1"], k=1)["video_id"].tolist() == ["8"]
    assert model.recommend([1], k=1)["video_id"].tolist() == ["8"]


@pytest.mark.parametrize("one", [1, np.int64(1), "1", np.str_("1")])
def test_one_id_alone_is_a_list_of_one(one):
    pairs = pd.DataFrame({"user_id": [1, 2], "video_id": [7, 8], "watch_ratio": 1.0})
    model = rec.Popularity().fit(pairs)
    assert model.recommend(one, k=1).to_numpy().tolist() == [["1", "8", 1, 1.0]]
    assert model.score(one).shape == (1, 2)
    assert model.recommend(i for i in (1, 2))["user_id"].tolist() == ["1", "2"]


def test_missing_ids_are_refused_and_counted():
    videos = pd.DataFrame(index=["a", "b"])
    for users in (["u", None, "v", None], [1, np.nan, 2, np.nan]):
        frame = pd.DataFrame({"user_id": users, "video_id": list("aabb"), "watch_ratio": 1.0})
        split = SimpleNamespace(train=frame, videos=videos)
        for data in (frame, library(frame, ["a", "b"]), split):
            with pytest.raises(ValueError, match=r"2 of 4 .* no user_id.* row 1.*ing\.clean"):
                rec.Popularity().fit(data)
    frame = events(("u", "a"), ("v", None)).assign(video_id=["a", None])
    with pytest.raises(ValueError, match=r"1 of 2 .* no video_id"):
        rec.Popularity().fit(frame)
    with pytest.raises(ValueError, match="user ids asked for are missing"):
        rec.Popularity().fit(PAIRS).recommend(None)


def test_own_weights():
    by_series = rec.Popularity().fit(PAIRS, weights=pd.Series([5.0, 0, 0, 0, 0]))
    assert by_series.recommend("x", k=1)["video_id"].tolist() == ["b"]
    by_function = rec.Popularity().fit(PAIRS, weights=lambda f: (f["video_id"] == "a") * 1.0)
    assert by_function.recommend("x", k=1)["video_id"].tolist() == ["a"]
    with pytest.raises(ValueError, match="finite"):
        rec.Popularity().fit(PAIRS, weights=pd.Series([np.nan] * 5))


def test_no_events_at_all():
    model = rec.Popularity().fit(library(PAIRS.iloc[:0], CATALOGUE))
    assert model.recommend("u", k=2)["video_id"].tolist() == ["d", "c"]


def test_random_is_the_same_in_any_batch_and_uniform():
    videos = [f"v{i}" for i in range(400)]
    model = rec.Random(seed=3).fit(library(PAIRS.iloc[:0], videos))
    users = [f"u{i}" for i in range(50)]
    scores = model.score(users)
    np.testing.assert_array_equal(scores[7:9], model.score(users[7:9]))
    assert not np.array_equal(
        scores, rec.Random(seed=4).fit(library(PAIRS[:0], videos)).score(users)
    )
    assert abs(scores.mean() - 0.5) < 0.01
    assert abs(scores.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(scores)[np.triu_indices(50, 1)]).mean() < 0.06  # 0.04 by chance


def test_given_scores_are_given(tmp_path):
    scores = pd.DataFrame([[1.0, 3.0], [-2.0, np.nan]], index=["u", "x"], columns=["b", "a"])
    model = rec.FixedScores(scores, name="oracle").fit(library(PAIRS, CATALOGUE))
    expected = [[-2, -2, 1, 3], [-2, -2, -2, -2], [-2, -2, -2, -2]]
    for one in (model, rec.load(model.save(tmp_path))):
        assert one.score(["u", "x", "nobody"]).tolist() == expected
        assert one.name == "oracle"
    numbers = rec.FixedScores(pd.DataFrame([[5.0]], index=[1], columns=[7]))
    pairs = pd.DataFrame({"user_id": [1], "video_id": [7]})
    assert numbers.fit(pairs).score([1]).tolist() == [[5.0]]


def test_blocks_do_not_change_the_answer(monkeypatch):
    model = rec.Random().fit(library(PAIRS, CATALOGUE))
    users = ["u", "x", "v", "w"]
    whole = model.recommend(users, k=3)
    monkeypatch.setattr(rec, "BLOCK_VALUES", 5)
    pd.testing.assert_frame_equal(whole, model.recommend(users, k=3))


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"2 events have a video_id.*'a'"):
        rec.Popularity().fit(library(events(("u", "a"), ("u", "b")), ["c"]))
    with pytest.raises(ValueError, match="catalogue is empty"):
        rec.Popularity().fit(PAIRS.iloc[:0])
    with pytest.raises(ValueError, match=r"'c' more than once"):
        rec.Popularity().fit(library(PAIRS, ["a", "b", "c", "c"]))
    with pytest.raises(TypeError, match="VideoLibrary"):
        rec.Popularity().fit([1, 2])
    with pytest.raises(RuntimeError, match="not fitted"):
        rec.Popularity().score(["u"])
    with pytest.raises(ValueError, match="at least one"):
        rec.Popularity().fit(PAIRS).recommend("u", k=0)


@pytest.mark.parametrize("column", ["user_id", "video_id"])
def test_interactions_without_a_column_are_refused_by_its_name(column):
    log = pd.DataFrame({"user_id": ["a"], "video_id": ["1"]}).drop(columns=column)
    with pytest.raises(ValueError, match=f"no column {column}"):
        rec.Popularity().fit(log)
