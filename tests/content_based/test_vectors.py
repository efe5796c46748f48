"""Content-based recommendation: scores by hand, reasons that add up, missing vectors."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vidrec_utils.content_based import ContentRecommender, list_entries, unit_vectors
from vidrec_utils.datasets import VideoLibrary

VECTORS = pd.DataFrame(
    [[1, 0], [2, 0], [0, 3], [0, -1], [-1, 0]], index=list("abcde"), columns=["x", "y"], dtype="f4"
)


def library(interactions, videos="abcdef"):
    return SimpleNamespace(
        interactions=interactions,
        videos=pd.DataFrame(index=pd.Index(list(videos), name="video_id")),
    )


def events(rows, start="2026-01-01"):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio", "day"])
    days = pd.to_timedelta(frame.pop("day"), unit="D")
    return frame.assign(timestamp=pd.Timestamp(start, tz="UTC") + days)


EVENTS = events(
    [
        ("u", "a", 1.0, 0),
        ("u", "c", 0.5, 7),
        ("v", "f", 1.0, 0),
        ("w", "b", 0.0, 0),
        ("w", "d", 1.0, 1),
    ]
)


def test_scores_by_hand():
    model = ContentRecommender(VECTORS, center=False).fit(library(EVENTS))
    # u: 2/3 towards x, 1/3 towards y
    expected = [2 / 3, 2 / 3, 1 / 3, -1 / 3, -2 / 3]
    np.testing.assert_allclose(model.score(["u"])[0, :5], expected, rtol=1e-6)
    assert model.recommend("u", k=2)["video_id"].tolist() == ["b", "d"]


def test_a_video_without_vector_comes_last():
    with_nan = pd.concat([VECTORS, pd.DataFrame([[np.nan, 1]], ["f"], ["x", "y"])])
    for vectors in (VECTORS, with_nan):
        model = ContentRecommender(vectors, center=False).fit(library(EVENTS, "fabcde"))
        everything = model.recommend("u", k=9, exclude_seen=False)
        assert everything["video_id"].tolist()[-1] == "f"
        assert np.isfinite(everything["score"]).all()


def test_users_without_a_usable_profile_get_popularity():
    model = ContentRecommender(VECTORS).fit(library(EVENTS))
    for user in ("v", "nobody"):
        np.testing.assert_array_equal(model.score([user])[0], model.popularity)


def test_centring_and_length_by_hand():
    rows = np.array([[3, 1], [1, 1], [np.nan, 0], [2, 1]], dtype="f4")
    unit = unit_vectors(rows, np.array([False, False, True, False]))
    np.testing.assert_array_equal(unit, [[1, 0], [-1, 0], [0, 0], [0, 0]])
    assert np.isnan(rows[2, 0])


def test_centring_removes_what_all_share():
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(40, 8)).astype("f4")
    shared = pd.DataFrame(taste + 100, index=[f"v{i}" for i in range(40)])
    pairs = events([("u", f"v{i}", 1.0, 0) for i in range(5)])
    videos = shared.index
    centred = ContentRecommender(shared).fit(library(pairs, videos)).score(["u"])[0]
    plain = ContentRecommender(shared, center=False).fit(library(pairs, videos)).score(["u"])[0]
    assert plain.std() < 1e-3 < centred.std()


@pytest.mark.parametrize(
    "options", [{}, {"dislike": 1.0}, {"center": False, "half_life_days": 2.0}]
)
def test_reasons_add_up_to_the_score(options):
    rng = np.random.default_rng(1)
    videos = [f"v{i:02d}" for i in range(30)]
    vectors = pd.DataFrame(rng.normal(size=(30, 6)), index=videos).iloc[2:]
    rows = [
        (f"u{u}", videos[v], rng.random(), rng.integers(0, 20))
        for u in range(5)
        for v in rng.integers(0, 30, 12)
    ]
    model = ContentRecommender(vectors, **options).fit(library(events(rows), videos))
    scores = model.score(model.user_ids)
    for u, user in enumerate(model.user_ids):
        for v in (2, 15, 29):
            reasons = model.explain(user, videos[v]).table
            assert abs(reasons["contribution"].sum() - scores[u, v]) < 1e-5
            assert reasons["contribution"].is_monotonic_decreasing
            np.testing.assert_allclose(reasons["weight"].abs().sum(), 1, rtol=1e-5)


def test_dislike_pushes_away():
    rows = events([("u", "c", 1.0, 0), ("u", "a", 0.0, 0)])
    neutral = ContentRecommender(VECTORS, center=False).fit(library(rows))
    averse = ContentRecommender(VECTORS, center=False, dislike=1.0).fit(library(rows))
    position = neutral.video_ids.get_loc("b")
    assert neutral.score(["u"])[0, position] == 0
    assert averse.score(["u"])[0, position] == -0.5
    np.testing.assert_array_equal(neutral.popularity, averse.popularity)


def test_recency_halves_by_hand():
    model = ContentRecommender(VECTORS, center=False, half_life_days=7).fit(library(EVENTS))
    # a: 1.0 seven days before c's 0.5, so both weigh the same
    np.testing.assert_allclose(model.explain("u", "b").table["weight"], [0.5, 0.5], rtol=1e-6)
    with pytest.raises(ValueError, match="positive"):
        ContentRecommender(VECTORS, half_life_days=0)


def test_a_half_life_needs_times():
    for log in (EVENTS.assign(timestamp=pd.NaT), EVENTS.drop(columns="timestamp")):
        with pytest.raises(ValueError, match=r"no timestamp .* use half_life_days=None"):
            ContentRecommender(VECTORS, half_life_days=7).fit(log)


def test_weights_that_vanish_against_the_mean_are_told():
    data = library(EVENTS.assign(watch_ratio=1.0))  # what everybody likes equally, nobody dislikes
    with pytest.warns(
        UserWarning, match=r"content: after its own weighting .* no event has a weight"
    ):
        ContentRecommender(VECTORS, dislike=1.0, name="content").fit(data)


def test_similar_videos():
    model = ContentRecommender(VECTORS, center=False).fit(library(EVENTS))
    similar = model.similar("a", k=9)
    assert similar["video_id"].tolist() == ["b", "c", "d", "e"]
    assert similar["similarity"].tolist() == [1, 0, 0, -1]
    with pytest.raises(ValueError, match="no vector"):
        model.similar("f")


def test_embeddings_are_taken_as_they_come():
    model = ContentRecommender(SimpleNamespace(frame=lambda: VECTORS)).fit(library(EVENTS))
    assert model.recommend("u", k=1)["video_id"].tolist() == ["b"]


def test_errors_say_what_is_wrong():
    model = ContentRecommender(VECTORS).fit(library(EVENTS))
    with pytest.raises(KeyError, match="no user 'x'"):
        model.explain("x", "a")
    with pytest.raises(KeyError, match="no video 'x'"):
        model.explain("u", "x")
    with pytest.raises(ValueError, match="ranked last"):
        model.explain("u", "f")
    with pytest.raises(ValueError, match="popular"):
        model.explain("v", "a")
    with pytest.raises(ValueError, match="None of the 6 videos"):
        ContentRecommender(VECTORS.set_axis(list("12345"))).fit(library(EVENTS))
    with pytest.raises(ValueError, match="Two vectors for video 'a'"):
        ContentRecommender(VECTORS.set_axis(list("aacde"))).fit(library(EVENTS))


def test_entries_of_a_list_have_a_text_in_any_case(tmp_path):
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    videos = pd.DataFrame(
        {
            "video_id": ["a", "b"],
            "title": ["Tea", None],
            "category": [None, "rain"],
            "thumbnail": ["a.png", None],
        }
    )
    log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"]})
    (image, first), (absent, second) = list_entries(
        VideoLibrary(videos, log, root=tmp_path), ["a", "b"]
    )
    assert image.shape == (6, 8, 3)
    assert absent is None
    assert (first, second) == ("Tea", "b\nrain")
    with pytest.raises(ValueError, match="2 videos but 1 notes"):
        list_entries(VideoLibrary(videos, log), ["a", "b"], ["x"])
