"""Newcomers: who is drawn, what they keep, and that nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.hybrid import compare_newcomers, newcomers, with_history
from vidrec_utils.recommender import Popularity

START = pd.Timestamp("2025-03-01", tz="UTC")


def log(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "hour"])
    times = START + pd.to_timedelta(frame["hour"], "h")
    return frame.assign(timestamp=times, watch_ratio=1.0)


@pytest.fixture
def split():
    """a and b have three events in train, c has one, d has three but none in test."""
    train = log(list(zip("aaabbbcddd", "1231231123", (5, 1, 3, 2, 4, 6, 0, 1, 2, 3), strict=True)))
    test = log([("a", "4", 9), ("b", "4", 9), ("c", "2", 9)])
    videos = pd.DataFrame(index=pd.Index(["1", "2", "3", "4"], name="video_id"))
    return Split(train, log([("a", "2", 8), ("d", "4", 8)]), test, videos, "by hand")


def test_newcomers_have_a_past_and_a_future(split):
    assert newcomers(split, 1.0, least=3).tolist() == ["a", "b"]
    assert newcomers(split, 1.0, least=1).tolist() == ["a", "b", "c"]
    one = newcomers(split, 0.5, least=3, seed=1)
    assert len(one) == 1
    assert one.equals(newcomers(split, 0.5, least=3, seed=1))
    assert {newcomers(split, 0.5, least=3, seed=s)[0] for s in range(9)} == {"a", "b"}


def test_the_latest_events_stay(split):
    before = split.train.copy()
    late = with_history(split, ["a"], 2)
    own = late.train[late.train["user_id"] == "a"]
    assert sorted(own["hour"]) == [3, 5]
    others = split.train["user_id"] != "a"
    pd.testing.assert_frame_equal(late.train[late.train["user_id"] != "a"], split.train[others])
    assert set(late.test["user_id"]) == set(late.validation["user_id"]) == {"a"}
    pd.testing.assert_frame_equal(split.train, before)
    assert late.videos is split.videos


def test_without_events_they_are_unknown(split):
    late = with_history(split, ["a", "b"], 0)
    model = ItemKNN().fit(late)
    assert "a" not in model.user_ids
    popular = Popularity().fit(late)
    np.testing.assert_array_equal(model.score("a"), popular.score("a"))
    assert len(with_history(split, ["a", "b"], 99).train) == len(split.train)


def test_impossible_arguments(split):
    with pytest.raises(ValueError, match="Nobody in test has 9"):
        newcomers(split, least=9)
    with pytest.raises(ValueError, match="above 0"):
        newcomers(split, 0.0)
    with pytest.raises(ValueError, match="events is -1"):
        with_history(split, ["a"], -1)


def test_newcomers_are_popular_until_they_are_known():
    """Even users watch even videos, odd ones odd videos, more and more new ones."""
    pairs = [
        (f"u{user}", str(2 * ((turn + 3 * user) % 15) + user % 2))
        for turn in range(12)
        for user in range(10)
    ]
    events = log([(*pair, hour) for hour, pair in enumerate(pairs)])
    late = log([(f"u{u}", str(v), v) for u in range(10) for v in range(u % 2, 30, 2)])
    videos = pd.DataFrame(index=[str(v) for v in range(30)])
    split = Split(events, late, late, videos, "by hand")
    models = [Popularity(), ItemKNN()]
    results = compare_newcomers(models, split, (0, 8), share=0.5)
    assert set(results) == {(m.name, k) for m in models for k in (0, 8)}
    users = newcomers(split, 0.5, 10)
    for result in results.values():
        assert sorted(result.per_user.index) == sorted(users)
    lists = [results["popularity", 0], results["item-knn", 0]]
    assert lists[0].per_user["ndcg"].tolist() == lists[1].per_user["ndcg"].tolist()
    known = results["item-knn", 8].per_user["ndcg"].mean()
    assert known > results["popularity", 8].per_user["ndcg"].mean()
    assert not hasattr(models[1], "video_ids")  # copies were fitted


def test_rows_in_order_do_for_times(split):
    train = split.train.sort_values("timestamp", ignore_index=True)
    split = Split(train, split.validation, split.test, split.videos, "by hand")
    usual = with_history(split, ["a", "b"], events=2)
    for bare in (split.train.drop(columns="timestamp"), split.train.assign(timestamp=pd.NaT)):
        without = Split(bare, split.validation, split.test, split.videos, "by hand")
        with pytest.raises(ValueError, match=r"no timestamp .* ordered=True"):
            with_history(without, ["a", "b"], events=2)
        late = with_history(without, ["a", "b"], events=2, ordered=True)
        assert late.train.index.tolist() == usual.train.index.tolist()


def test_logs_that_repeat_their_index_keep_as_many_events(split):
    usual = with_history(split, ["a", "b"], events=1)
    split.train.index = [0] * len(split.train)
    late = with_history(split, ["a", "b"], events=1)
    assert late.train.to_numpy().tolist() == usual.train.to_numpy().tolist()
