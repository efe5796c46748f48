"""Newcomers: who is drawn, what they keep, and that nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import compare
from vidrec_utils.hybrid import (
    compare_newcomers,
    newcomer_table,
    newcomers,
    possible_histories,
    with_history,
)
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


class InOrder(Popularity):
    """Scores by the order of the catalogue, in which a newcomer watched the first videos."""

    def _score(self, users):
        return np.tile(np.arange(len(self.video_ids), 0, -1, dtype=np.float32), (len(users), 1))


def test_hidden_history_is_no_candidate():
    """Ann watched 0 to 10, and then 11. Whatever is known of her, 11 is all that is left."""
    videos = [str(n).zfill(2) for n in range(12)]
    events = log([("ann", video, hour) for hour, video in enumerate(videos[:11])])
    events = pd.concat([events, log([("bob", video, 0) for video in videos])])
    later = log([("ann", videos[11], 99)])
    split = Split(events, later, later, pd.DataFrame(index=videos), "by hand")
    results = compare_newcomers([InOrder()], split, (0, 3, 10), share=1.0, k=1)
    for (_, known), result in results.items():
        assert result.per_user["recall"].tolist() == [1.0], known
        assert result.top.loc["ann", 1] == videos[11]
        assert result.per_user["n_known"].tolist() == [11]  # what the platform showed her


def test_results_for_any_number_of_events_can_be_compared():
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", str(v), h) for u in range(20) for h, v in enumerate(rng.permutation(40)[:20])]
    late = log([(f"u{u}", str(v), 99) for u in range(20) for v in rng.permutation(40)[:6]])
    split = Split(log(rows), late, late, pd.DataFrame(index=[str(v) for v in range(40)]), "by hand")
    results = compare_newcomers([Popularity()], split, (0, 5), share=0.5)
    assert compare(results["popularity", 0], results["popularity", 5]).n_users >= 5
    table = newcomer_table(results)
    assert table.index.names == ["model", "events"]
    assert table.loc[("popularity", 5), "mean"] == results["popularity", 5].interval("ndcg")[0]
    assert table["n_users"].tolist() == [len(result.per_user) for result in results.values()]


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


def test_possible_histories_count_who_comes_back():
    """Ann and bob have 30 and 12 events in train; only ann is in validation, both in the test."""
    train = pd.DataFrame({"user_id": ["ann"] * 30 + ["bob"] * 12 + ["eve"] * 40, "video_id": "a"})
    validation = pd.DataFrame({"user_id": ["ann"], "video_id": "b"})
    test = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": "b"})
    split = Split(train, validation, test, pd.DataFrame(index=["a", "b"]), "by hand")
    asked = (0, 10, 12, 13, 30, 31)
    assert possible_histories(split, asked, people=1) == (0, 10, 12, 13, 30)
    assert possible_histories(split, asked, people=2) == ()
    assert possible_histories(split, asked, "test", people=1) == (0, 10, 12, 13, 30)
    assert possible_histories(split, asked, "test", people=2) == (0, 10, 12)
    assert possible_histories(split, asked, "test", people=3) == ()
    with pytest.raises(ValueError, match="on is 'train'"):
        possible_histories(split, asked, "train")
