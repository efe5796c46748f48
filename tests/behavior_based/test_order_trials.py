"""Trials of order: what is shuffled, what stays, and what the record holds."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import events
from vidrec_utils.behavior_based import order_trials
from vidrec_utils.datasets import Split


@pytest.fixture
def log():
    """Two people, three days of eight events each, every video once."""
    users = np.repeat(["ann", "bob"], 24)
    times = [
        pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day, hours=hour)
        for day in range(3)
        for hour in range(8)
    ]
    log = pd.DataFrame({"user_id": users, "timestamp": times * 2, "watch_ratio": 1.0})
    log["video_id"] = [f"v{number}" for number in range(48)]
    return log


def test_as_watched_is_the_log_itself(log):
    assert order_trials.reordered(log, "as watched", 9, 0).equals(log)


def test_within_days_every_video_stays_with_its_person_and_day(log):
    before = log.copy()
    mixed = order_trials.reordered(log, "shuffled within days", 99, 0)
    assert log.equals(before)
    assert mixed["user_id"].equals(log["user_id"])
    assert (mixed["video_id"] != log["video_id"]).mean() > 0.5
    for frame in (log, mixed):
        frame["day"] = frame["user_id"] + frame["timestamp"].dt.date.astype(str)
    day_of = log.set_index("video_id")["day"]
    assert (day_of[mixed["video_id"]].to_numpy() == mixed["day"]).all()


def test_all_shuffled_moves_videos_between_days_but_keeps_the_first_that_are_not_read(log):
    mixed = order_trials.reordered(log, "shuffled", 16, 0)
    first = log.groupby("user_id").head(8).index
    assert mixed.loc[first, "video_id"].equals(log.loc[first, "video_id"])
    rest = log.index.difference(first)
    same_day = mixed.loc[rest, "video_id"].str[1:].astype(int) // 8 == rest.to_numpy() // 8
    assert same_day.mean() < 0.9


def test_an_unknown_order_is_named(log):
    with pytest.raises(ValueError, match="no order 'backwards'; choose from as watched"):
        order_trials.reordered(log, "backwards", 9, 0)


def test_questions_are_a_seeded_sample_in_their_order(log, monkeypatch):
    monkeypatch.setattr(order_trials, "N_QUESTIONS", 3)
    rows = log.assign(timestamp=pd.date_range("2026-01-01", periods=48, freq="5min", tz="UTC"))
    split = Split(rows[:0], rows, None, pd.DataFrame(index=rows["video_id"]), "by hand")
    rule = events.fit_label(rows, None, "ratio")
    one, other = (order_trials.sample_questions(split, rule, seed=1) for _ in range(2))
    assert len(one) == 3
    assert one.equals(other)
    assert one["timestamp"].is_monotonic_increasing


def test_a_transformer_is_asked_with_what_it_reads(monkeypatch):
    asked = []
    monkeypatch.setattr(order_trials, "next_ndcg", lambda *given: asked.append(given[4]))
    split = SimpleNamespace(videos=None)
    order_trials.per_question(order_trials.SASRec(), pd.DataFrame(), split)
    order_trials.per_question(SimpleNamespace(), pd.DataFrame(), split)
    assert asked == [order_trials.LEAST, 0.0]


def test_the_record_has_every_order_with_every_seed():
    record = order_trials.recorded()
    own = record[record["model"] == "SASRec"]
    pairs = set(zip(own["order"], own["seed"], strict=True))
    assert pairs == {(order, seed) for order in order_trials.ORDERS for seed in (0, 1, 2)}
    controls = own[own["order"] != "as watched"]
    first = own[own["order"] == "as watched"].set_index("seed")
    for task in ("week", "next"):
        lost = first.loc[controls["seed"], task].to_numpy() - controls[task].to_numpy()
        assert controls[f"{task}_lost"].to_numpy() == pytest.approx(lost, abs=2e-5)
        assert own[task].between(own[f"{task}_low"], own[f"{task}_high"]).all()
