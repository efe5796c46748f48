"""A policy that runs the platform sees what a platform sees, and is graded by the truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import minitube
from vidrec_utils.minitube import Run, Sessions, behavior, dirt, world_config
from vidrec_utils.minitube.plan import plan_shots, plan_videos

TINY = replace(world_config(), n_videos=150, n_users=120, n_uploaders=5)


class Fixed:
    """Scores that a function of the sessions gives; remembers what it was told."""

    def __init__(self, scores) -> None:
        self._scores = scores
        self.asked: list[Sessions] = []
        self.logs: list[pd.DataFrame] = []

    def scores(self, sessions: Sessions) -> np.ndarray:
        self.asked.append(sessions)
        return self._scores(sessions)

    def learn(self, log: pd.DataFrame) -> None:
        self.logs.append(log)


def shape(sessions: Sessions) -> tuple[int, int]:
    return len(sessions.user_ids), len(sessions.video_ids)


def uniform(sessions: Sessions) -> np.ndarray:
    return np.zeros(shape(sessions))


def by_number(sessions: Sessions) -> np.ndarray:
    """So far apart that the available video of the highest number is certain to come first."""
    return np.tile(1000.0 * np.arange(len(sessions.video_ids)), (len(sessions.user_ids), 1))


def play(policy, days: int = 4, **options) -> Run:
    return minitube.run(policy, days, config=TINY, progress=False, **options)


def test_nobody_is_shown_a_video_twice_or_before_its_publication() -> None:
    log = play(Fixed(uniform), days=10).log
    assert not log.duplicated(["user_id", "video_id"]).any()
    plan, _ = dirt.plant_media(plan_videos(TINY), TINY)
    assert (log["timestamp"] > log["video_id"].map(plan["published_at"])).all()
    assert log["timestamp"].is_monotonic_increasing


def first_slots(policy: Fixed, log: pd.DataFrame) -> list[tuple[Sessions, int, pd.Series]]:
    """Of each session that was a user's only one of its day: what was asked, its row, the slot."""
    start = pd.Timestamp(TINY.start, tz="UTC")
    first = log[log["position"] == 1]
    keys = list(zip((first["timestamp"] - start).dt.days, first["user_id"], strict=True))
    rows = {
        (one.day, user): (one, k) for one in policy.asked for k, user in enumerate(one.user_ids)
    }
    single = [n for n, key in enumerate(keys) if keys.count(key) == 1]
    return [(*rows[keys[n]], first.iloc[n]) for n in single]


def test_the_first_slot_shows_the_best_that_is_available() -> None:
    policy = Fixed(by_number)
    log = play(policy).log
    assert (log["position"] == 1).sum() == sum(len(one.user_ids) for one in policy.asked)
    slots = first_slots(policy, log)
    assert len(slots) > 50
    for one, row, slot in slots:
        assert slot["video_id"] == one.video_ids[np.flatnonzero(one.available[row]).max()]
    np.testing.assert_allclose(log.loc[log["position"] == 1, "probability"], 1.0)
    assert log.loc[log["position"] > 1, "probability"].isna().all()


def test_probabilities_are_the_softmax_of_what_is_available() -> None:
    def scores(sessions: Sessions) -> np.ndarray:  # every second video is three times as likely
        odd = np.arange(len(sessions.video_ids)) % 2
        return np.where(odd, np.log(3.0), 0.0) + uniform(sessions)

    policy = Fixed(scores)
    slots = first_slots(policy, play(policy).log)
    assert len(slots) > 50
    for one, row, slot in slots:
        weights = np.where(np.arange(len(one.video_ids)) % 2, 3.0, 1.0)
        weight = weights[one.video_ids.get_loc(slot["video_id"])]
        expected = weight / weights[one.available[row]].sum()
        assert slot["probability"] == pytest.approx(expected, rel=1e-5)


def test_draws_follow_the_probabilities() -> None:
    policy = Fixed(lambda sessions: uniform(sessions) + np.arange(len(sessions.video_ids)) / 40)
    slots = first_slots(policy, play(policy, days=14).log)
    # Where videos are drawn with the probabilities p, the mean of 1 / p is the number of videos.
    excess = [1 / slot["probability"] - one.available[row].sum() for one, row, slot in slots]
    error = np.std(excess) / np.sqrt(len(excess))
    assert len(excess) > 200
    assert abs(np.mean(excess)) < 4 * error
    assert error < 20  # of some 150 videos


def test_who_knows_the_tastes_is_graded_above_the_platform_and_chance() -> None:
    plan, _ = dirt.plant_media(plan_videos(TINY), TINY)
    tastes = behavior.draw_tastes(TINY)
    factors = behavior.video_factors(plan, plan_shots(plan, TINY))
    known = pd.DataFrame(behavior.liking(tastes, factors, 0.0), index=tastes.users.index)
    oracle = Fixed(lambda sessions: 20 * known.loc[sessions.user_ids].to_numpy())
    grades = {
        name: play(policy, slots="first").summary["first_liking"].mean()
        for name, policy in {"oracle": oracle, "chance": Fixed(uniform)}.items()
    }
    grades["platform"] = play("platform").summary["first_liking"].mean()
    assert grades["oracle"] > grades["platform"] + 0.5 > grades["chance"] + 1.0


def test_only_the_first_slot_is_the_policys_where_that_is_asked() -> None:
    policy = Fixed(by_number)
    log = play(policy, slots="first").log
    rank = {video: k for k, video in enumerate(policy.asked[0].video_ids)}
    numbers = log["video_id"].map(rank)
    first, others = numbers[log["position"] == 1], numbers[log["position"] > 1]
    every = play(Fixed(by_number)).log
    all_others = every.loc[every["position"] > 1, "video_id"].map(rank)
    assert first.mean() > others.mean()
    assert all_others.mean() > others.mean() + 1


def test_during_the_warm_up_the_platform_chooses_and_the_policy_learns() -> None:
    policy = Fixed(uniform)
    outcome = play(policy, days=5, warm_up=2)
    assert min(one.day for one in policy.asked) == 2
    assert len(policy.logs) == 5
    joined = pd.concat(policy.logs, ignore_index=True)
    pd.testing.assert_frame_equal(joined, outcome.log)
    platform = play("platform", days=5)
    first_days = outcome.summary.iloc[:2]
    pd.testing.assert_frame_equal(first_days, platform.summary.iloc[:2])


def test_the_same_seed_gives_the_same_run_and_the_same_sessions() -> None:
    one, two = (play(Fixed(uniform), seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one.log, two.log)
    other = play(Fixed(by_number), seed=3)
    pd.testing.assert_series_equal(one.summary["sessions"].iloc[:1], other.summary["sessions"][:1])
    assert not play(Fixed(uniform), seed=4).log.equals(one.log)


def test_the_summary_adds_up_and_no_taste_is_shown() -> None:
    outcome = play(Fixed(uniform), days=3)
    log, summary = outcome.log, outcome.summary
    assert summary["exposures"].sum() == len(log)
    assert summary["sessions"].sum() == log["session_id"].nunique()
    likes = (summary["likes"] * summary["exposures"]).sum()
    assert likes == pytest.approx(log["liked"].sum())
    public = {"user_id", "video_id", "timestamp", "watch_ratio", "liked", "shared", "comment"}
    assert set(log) == public | {"position", "session_id", "probability"}
    shares = summary[["coverage", "head", "newcomers", "looked_at"]].to_numpy()
    assert ((shares >= 0) & (shares <= 1)).all()


def test_a_policy_cannot_change_what_is_available() -> None:
    def greedy(sessions: Sessions) -> np.ndarray:
        sessions.available[:] = True
        return by_number(sessions)

    pd.testing.assert_frame_equal(play(Fixed(greedy)).log, play(Fixed(by_number)).log)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda sessions: np.zeros((2, 2)), r"have shape \(2, 2\)"),
        (lambda sessions: np.full(shape(sessions), np.nan), "for user u.* is nan"),
        (lambda sessions: np.full(shape(sessions), np.inf), "for user u.* is inf"),
    ],
)
def test_wrong_scores_are_refused(scores, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play(Fixed(scores))


def test_a_policy_that_shows_nothing_shows_nothing() -> None:
    outcome = play(Fixed(lambda sessions: np.full(shape(sessions), -np.inf)), days=2)
    assert outcome.log.empty
    assert outcome.summary["exposures"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 0}, "days is 0"),
        ({"days": 29}, "28 days: days is 29"),
        ({"warm_up": 4}, "warm_up is 4"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"slots": "last"}, "slots is 'last'"),
    ],
)
def test_impossible_runs_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play(Fixed(uniform), **options)
