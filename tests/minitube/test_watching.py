"""Leaving as a hazard: closed forms against sums over small steps, and chances against draws."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.minitube import watching
from vidrec_utils.minitube.watching import (
    DECIDE_S,
    DISTRACTION,
    EARLY,
    EARLY_S,
    NOISE,
    REPLAY,
    interest_rate,
    leave,
    like_chance,
    loop_chance,
    stay_chance,
    success_chance,
    timeline,
)

NEVER = np.zeros(1, dtype=bool)


def clock_of(*durations):
    """Videos whose shots last as long as told, in seconds at 10 frames a second."""
    frames = [np.round(np.asarray(shots) * 10).astype(int) for shots in durations]
    keys = [(f"v{v}", s) for v, shots in enumerate(frames) for s in range(len(shots))]
    ends = np.concatenate([np.cumsum(shots) for shots in frames])
    begins = ends - np.concatenate(frames)
    table = pd.DataFrame(
        {"first_frame": begins, "end_frame": ends}, pd.MultiIndex.from_tuples(keys)
    )
    return timeline(pd.DataFrame(index=[f"v{v}" for v in range(len(frames))]), table, fps=10)


def test_a_timeline_holds_every_shot_in_order():
    clock = clock_of([2.0], [1.0, 3.0], [1.0, 1.0, 1.5])
    assert clock.lengths.tolist() == [[2.0, 0, 0], [1.0, 3.0, 0], [1.0, 1.0, 1.5]]
    assert clock.shots.tolist() == [[0, 0, 0], [1, 2, 0], [3, 4, 5]]
    assert clock.shares().toarray()[1].tolist() == [0, 0.25, 0.75, 0, 0, 0]


def test_who_leaves_leaves_when_the_cumulative_hazard_is_spent():
    rates, lengths = np.array([[2.0, 0.3, 1.0]]), np.array([[1.0, 2.0, 0.5]])
    step = 1e-4
    time = np.arange(0, 7, step) + step / 2  # two passes
    shot = np.searchsorted([1.0, 3.0], time % 3.5)
    danger = rates[0][shot] * np.where(time < EARLY_S, EARLY, 1) + DISTRACTION
    hazard = np.cumsum(danger) * step
    for spent in (0.1, 1.9, 2.5, 3.3, 4.4, 6.0):
        expected = time[np.searchsorted(hazard, spent)]
        uncensored_s, watched_s = leave(rates, lengths, np.array([spent]), NEVER)
        assert uncensored_s[0] == pytest.approx(expected, abs=3 * step)
        assert watched_s[0] == pytest.approx(min(expected, 3.5), abs=3 * step)


def test_who_stops_at_the_end_watched_exactly_the_duration_and_a_replay_is_left_faster():
    rates, lengths = np.array([[1.0]]), np.array([[1.3]])
    at_the_end = (EARLY - 1) * EARLY_S + (1 + DISTRACTION) * 1.3
    spent = np.array([at_the_end + 0.5])
    uncensored_s, watched_s = leave(rates, lengths, spent, NEVER)
    assert watched_s[0] == 1.3
    assert uncensored_s[0] == pytest.approx(1.3 + 0.5 / (1 + DISTRACTION))
    same, longer = leave(rates, lengths, spent, ~NEVER)
    assert same[0] == uncensored_s[0]
    assert longer[0] == pytest.approx(1.3 + 0.5 / (1 + DISTRACTION) / REPLAY)


def test_people_leave_later_what_they_like_and_in_the_shot_that_they_dislike():
    rng, n = np.random.default_rng(0), 4_000
    lengths = np.tile([1.0, 1.0], (n, 1))
    spent, loops = rng.exponential(size=n), np.zeros(n, dtype=bool)
    seconds = {
        liked: leave(interest_rate(np.tile(liked, (n, 1))), lengths, spent, loops)[1]
        for liked in ((4.0, -4.0), (-4.0, 4.0), (4.0, 4.0))
    }
    assert seconds[4.0, 4.0].mean() > seconds[4.0, -4.0].mean() > seconds[-4.0, 4.0].mean()
    left = seconds[4.0, -4.0][seconds[4.0, -4.0] < 2]
    assert (left > 1).mean() > 0.6


@pytest.fixture(scope="module")
def views():
    """Many views of each of four videos by two users: seconds watched and liking of the shots."""
    clock = clock_of([0.8], [2.3], [1.2, 2.4], [1.5, 1.0, 5.5])
    rng, n = np.random.default_rng(1), 60_000
    liked_by = rng.normal(1.0, 2.0, size=(2, clock.n_shots))
    watched = np.empty((2, 4, n))
    for user in range(2):
        for video in range(4):
            shots = clock.shots[video]
            rates = np.tile(interest_rate(liked_by[user, shots]), (n, 1)) * clock.patience[video]
            whole = liked_by[user, shots] @ clock.lengths[video] / clock.duration_s[video]
            loops = rng.random(n) < loop_chance(np.array(whole))
            noise = np.exp(NOISE * rng.normal(size=(n, 1)))
            lengths = np.tile(clock.lengths[video], (n, 1))
            watched[user, video] = leave(rates * noise, lengths, rng.exponential(size=n), loops)[1]
    return clock, liked_by, watched


def whole_liking(clock, liked_by):
    return (clock.shares() @ liked_by.T).T


@pytest.mark.parametrize("share", [0.1, 0.6, 1.0, 1.05, 1.3])
def test_the_chance_to_stay_is_the_share_of_the_draws_that_stayed(views, share):
    clock, liked_by, watched = views
    until_s = share * clock.duration_s
    loops = loop_chance(whole_liking(clock, liked_by))
    chance = stay_chance(interest_rate(liked_by), clock, until_s, loops)
    stayed = (watched >= until_s[None, :, None] - 1e-9).mean(axis=2)
    np.testing.assert_allclose(chance, stayed, atol=4 * 0.5 / np.sqrt(watched.shape[2]))


def test_the_chance_of_a_success_is_the_share_of_the_draws_that_succeeded(views):
    clock, liked_by, watched = views
    least_s = np.array([0.9, 1.4, clock.duration_s[2], 2.0])
    rng = np.random.default_rng(2)
    likes = rng.random(watched.shape) < like_chance(whole_liking(clock, liked_by))[..., None]
    good = (watched >= least_s[None, :, None]) | (likes & (watched >= DECIDE_S))
    chance = success_chance(liked_by, clock, least_s)
    np.testing.assert_allclose(chance, good.mean(axis=2), atol=4 * 0.5 / np.sqrt(likes.shape[2]))


def test_without_a_threshold_only_likes_count(views):
    clock, liked_by, _ = views
    never = success_chance(liked_by, clock, np.full(4, np.nan))
    whole = whole_liking(clock, liked_by)
    decides = stay_chance(interest_rate(liked_by), clock, np.full(4, DECIDE_S), loop_chance(whole))
    np.testing.assert_allclose(never, decides * like_chance(whole))
    assert (never < success_chance(liked_by, clock, 0.8 * clock.duration_s)).all()


def test_rates_fall_with_liking_and_with_the_duration():
    assert interest_rate(np.array([0.0]))[0] == watching.BASE
    assert interest_rate(np.array([1.0]))[0] == pytest.approx(
        watching.BASE * np.exp(-watching.SLOPE)
    )
    clock = clock_of([0.8], [2.5], [8.0])
    assert clock.patience[1] == pytest.approx(1.0)
    assert clock.patience[0] > 1 > clock.patience[2]
