"""How long people watch: they leave at a rate that falls with how they like what is on just now.

While the shot that is on is liked by `L` (see `behavior.liking`), somebody who looks leaves at the
rate, per second,

    rate = BASE * exp(-SLOPE * L + noise) * (EARLY in the first EARLY_S, else 1) + DISTRACTION,

where the noise, of standard deviation `NOISE`, belongs to the view as a whole. With the cumulative
hazard `H(t)`, the sum of rate times seconds until t, the viewer leaves when `H(t) = E`, where E is
drawn from the exponential distribution with mean 1. Rates change only at cuts, so H is piecewise
linear and is inverted in closed form.

The **watch time without the end** is the t at which this happens if the clip goes round and round.
A real viewer who reaches the clip's end either stops there, and the log does not know for how long
a longer clip would have held them (the watch time is *censored*), or lets the clip run again. In a
replay people leave `REPLAY` times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit

BASE = 1.5
"""Rate of leaving a shot that is neither liked nor disliked, per second."""

SLOPE = 2.16
"""Fall of the log of that rate with the liking of the shot."""

NOISE = 0.3
"""Standard deviation, over views, of the log of that rate."""

EARLY, EARLY_S = 1.6, 0.5
"""In the first moments people swipe on more easily: how many times, and for how many seconds."""

PATIENCE = 0.05
"""People grant a longer clip more patience: the rate falls with this power of the duration."""

DISTRACTION = 0.13
"""Rate of leaving for reasons that have nothing to do with the clip, per second."""

REPLAY = 10.0
"""How many times as fast people leave a replay."""

LOOP = (1.2, -0.4)
"""Slope and offset of the logit of the chance of a replay, given the liking of the clip."""

LIKE = (1.6, -11.0)
"""Slope and offset of the logit of the chance of a like, given the liking of the clip."""

DECIDE_S = 0.5
"""Who leaves earlier than this, in seconds, neither likes nor shares."""


@dataclass(frozen=True)
class Timeline:
    """Which shots each video consists of, and for how many seconds each is on.

    Attributes
    ----------
    shots : numpy.ndarray of int, shape (videos, most)
        Row of each shot in the table of all shots; 0 after the last shot of a video.
    lengths : numpy.ndarray, shape (videos, most)
        Seconds; 0 after the last shot of a video.
    n_shots : int
        Rows of the table of all shots.
    """

    shots: np.ndarray
    lengths: np.ndarray
    n_shots: int

    @property
    def patience(self) -> np.ndarray:
        """Factor of the rate of leaving that depends on the duration, shape (videos,)."""
        return (self.duration_s / 2.5) ** -PATIENCE

    @property
    def duration_s(self) -> np.ndarray:
        """Seconds of each video, shape (videos,)."""
        return self.lengths.sum(axis=1)

    def shares(self) -> sparse.csr_array:
        """Share of each shot in the time of each video, shape (videos, shots)."""
        return self.matrix(self.lengths / self.duration_s[:, None])

    def matrix(self, values: np.ndarray) -> sparse.csr_array:
        """Lay values of each video's shots, (videos, most), out as (videos, shots)."""
        video, slot = np.nonzero(self.lengths)
        entries = (values[video, slot], (video, self.shots[video, slot]))
        return sparse.csr_array(entries, shape=(len(self.lengths), self.n_shots))


def timeline(plan: pd.DataFrame, shots: pd.DataFrame, fps: int) -> Timeline:
    """Read a timeline from the tables of `plan.plan_videos` and `plan.plan_shots`.

    Examples
    --------
    >>> plan = pd.DataFrame(index=["v1", "v2"])
    >>> index = pd.MultiIndex.from_tuples([("v1", 0), ("v2", 0), ("v2", 1)])
    >>> cuts = pd.DataFrame({"first_frame": [0, 0, 16], "end_frame": [24, 16, 48]}, index)
    >>> clock = timeline(plan, cuts, fps=16)
    >>> clock.lengths.tolist(), clock.shots.tolist()
    ([[1.5, 0.0], [1.0, 2.0]], [[0, 0], [1, 2]])
    """
    video = plan.index.get_indexer(shots.index.get_level_values(0))
    slot = shots.index.get_level_values(1).to_numpy()
    shape = (len(plan), int(slot.max()) + 1)
    rows, lengths = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    rows[video, slot] = np.arange(len(shots))
    lengths[video, slot] = (shots["end_frame"] - shots["first_frame"]).to_numpy() / fps
    return Timeline(rows, lengths, len(shots))


def interest_rate(liked_by: np.ndarray) -> np.ndarray:
    """Rate of leaving, per second, before noise, early swipes and distraction; any shape."""
    return BASE * np.exp(-SLOPE * liked_by)


def loop_chance(liked_by: np.ndarray) -> np.ndarray:
    """Chance that somebody who reaches the end lets the clip run again, given its liking.

    Examples
    --------
    >>> loop_chance(np.array([-3.0, 3.0])).round(2).tolist()
    [0.02, 0.96]
    """
    return expit(LOOP[0] * liked_by + LOOP[1])


def like_chance(liked_by: np.ndarray) -> np.ndarray:
    """Chance of a like by somebody who stayed for `DECIDE_S`, given the liking of the clip."""
    return expit(LIKE[0] * liked_by + LIKE[1])


def leave(
    rates: np.ndarray, lengths: np.ndarray, spent: np.ndarray, loops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute when viewers leave: in truth, and as the log sees it.

    Parameters
    ----------
    rates : numpy.ndarray, shape (views, shots)
        Rate of leaving each shot by `interest_rate`, times the exponential of the view's noise.
    lengths : numpy.ndarray, shape (views, shots)
        Seconds of each shot, 0 where there is none.
    spent : numpy.ndarray, shape (views,)
        Cumulative hazard at which each viewer leaves, E.
    loops : numpy.ndarray of bool, shape (views,)
        Whether the viewer, having reached the end, lets the clip run again.

    Returns
    -------
    uncensored_s : numpy.ndarray, shape (views,)
        Seconds until the viewer leaves a clip that goes round and round.
    watched_s : numpy.ndarray, shape (views,)
        Seconds watched: the duration, exactly, for whoever stops at the end.

    Examples
    --------
    Without distraction and early swipes, at one exit per second on average, a viewer whose E is .8
    leaves after .8 s, one whose E is 3 would leave after 3 s and stops at the end, at 2 s.

    >>> ones, lengths = np.ones((2, 2)), np.array([[1.5, 0.5], [1.5, 0.5]])
    >>> early = EARLY_S * (EARLY - 1) + DISTRACTION * np.array([0.8, 3.0])
    >>> uncensored_s, watched_s = leave(
    ...     ones, lengths, np.array([0.8, 3.0]) + early, np.array([False, False])
    ... )
    >>> uncensored_s.round(9).tolist(), watched_s.round(9).tolist()
    ([0.8, 3.0], [0.8, 2.0])
    """
    duration_s = lengths.sum(axis=1)
    again = rates + DISTRACTION  # of a pass after the first  (views, shots)
    # The first shot falls into two pieces, since its beginning has a rate of its own.
    opening = np.minimum(lengths[:, :1], EARLY_S)
    pieces = np.hstack([opening, lengths[:, :1] - opening, lengths[:, 1:]])
    first = np.hstack([EARLY * rates[:, :1] + DISTRACTION, again])  # (views, shots + 1)
    left_s = _invert(first, pieces, spent)
    beyond = spent - (first * pieces).sum(axis=1)  # hazard left at the end; H(duration) < E

    def replayed(hazard: np.ndarray) -> np.ndarray:
        passes, rest = np.divmod(np.maximum(hazard, 0), (again * lengths).sum(axis=1))
        return passes * duration_s + _invert(again, lengths, rest)

    # Rates that are REPLAY times as high use up the same hazard as REPLAY times less of it.
    stays = np.where(loops, duration_s + replayed(beyond / REPLAY), duration_s)
    return left_s + replayed(beyond), np.where(beyond < 0, left_s, stays)


def _invert(rates: np.ndarray, lengths: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Time at which the cumulative hazard of one pass reaches `spent`, at most its whole length."""
    hazards = rates * lengths
    before = np.cumsum(hazards, axis=1) - hazards
    return (np.clip(spent[:, None] - before, 0, hazards) / rates).sum(axis=1)


def stay_chance(
    rates: np.ndarray, clock: Timeline, until_s: np.ndarray, loops: np.ndarray
) -> np.ndarray:
    """Chance that somebody who looks watches for a number of seconds or longer.

    The noise of the view is integrated out by Gauss-Hermite quadrature.

    Parameters
    ----------
    rates : numpy.ndarray, shape (users, shots)
        `interest_rate` of all shots.
    clock : Timeline
        What is on when in each video.
    until_s : numpy.ndarray, shape (videos,)
        Seconds. Beyond the duration, the viewer has to let the clip run again.
    loops : numpy.ndarray, shape (users, videos)
        Chance of that; see `loop_chance`.

    Returns
    -------
    numpy.ndarray of float64, shape (users, videos)
    """
    duration_s = clock.duration_s
    beyond = until_s > duration_s * (1 + 1e-6)
    weights = _seconds_on(clock.lengths, until_s) * clock.patience[:, None]
    hazard = (clock.matrix(weights) @ rates.T).T  # at noise 0, without distraction
    other = DISTRACTION * (
        np.minimum(until_s, duration_s) + REPLAY * np.maximum(until_s - duration_s, 0)
    )
    nodes, share = np.polynomial.hermite_e.hermegauss(24)
    chance = np.zeros_like(hazard)
    for node, part in zip(nodes, share / share.sum(), strict=True):
        chance += part * np.exp(-np.exp(NOISE * node) * hazard)
    return chance * np.exp(-other)[None] * np.where(beyond[None], loops, 1.0)


def _seconds_on(lengths: np.ndarray, until_s: np.ndarray) -> np.ndarray:
    """Seconds for which each shot is on until a time, each counted as often as it is dangerous.

    The first `EARLY_S` count `EARLY` times and replays `REPLAY` times.
    """
    begins = np.cumsum(lengths, axis=1) - lengths
    duration_s = lengths.sum(axis=1)
    first = np.clip(until_s[:, None] - begins, 0, lengths)
    first[:, 0] += (EARLY - 1) * np.minimum(np.minimum(until_s, EARLY_S), lengths[:, 0])
    passes, rest = np.divmod(np.maximum(until_s - duration_s, 0), duration_s)
    replays = passes[:, None] * lengths + np.clip(rest[:, None] - begins, 0, lengths)
    return first + REPLAY * replays


def success_chance(liked_by: np.ndarray, clock: Timeline, least_s: np.ndarray) -> np.ndarray:
    """Chance that somebody who looks at a video watches it long enough, or likes it.

    Parameters
    ----------
    liked_by : numpy.ndarray, shape (users, shots)
        Liking of every shot; see `behavior.liking`.
    clock : Timeline
        What is on when in each video.
    least_s : numpy.ndarray, shape (videos,)
        Seconds from which a view of the video counts as long enough; NaN or infinite where none
        does.

    Returns
    -------
    numpy.ndarray of float64, shape (users, videos)
    """
    rates = interest_rate(liked_by)
    whole = (clock.shares() @ liked_by.T).T  # liking of the clip  (users, videos)
    loops = loop_chance(whole)
    never = ~np.isfinite(least_s)
    least_s = np.where(never, clock.duration_s, least_s)
    long_enough = np.where(never[None], 0.0, stay_chance(rates, clock, least_s, loops))
    decides = stay_chance(rates, clock, np.full(len(least_s), DECIDE_S), loops)
    return long_enough + np.maximum(decides - long_enough, 0) * like_chance(whole)
