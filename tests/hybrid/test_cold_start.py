"""Newcomers: who is drawn, what they keep, and that nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.hybrid import newcomers, with_history
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
    with pytest.raises(ValueError, match="0 or more"):
        with_history(split, ["a"], -1)
