"""Who watches what: users with known tastes, a platform with habits, and what comes of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.plan import STYLE_DIM, random_ids
from vidrec_utils.minitube.vocabulary import (
    CATEGORIES,
    COMMENTS,
    MOTIONS,
    PACES,
    SCENES,
    TOPICS,
)

FACTORS: dict[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "topic": TOPICS,
    "scene": tuple(SCENES),
    "motion": MOTIONS,
    "pace": tuple(PACES),
}
"""The visible factors that a taste is over, with their values."""

WEIGHTS: dict[str, float] = {
    "category": 0.85,
    "topic": 1.2,
    "scene": 1.05,
    "motion": 1.1,
    "pace": 0.6,
    "category x motion": 0.3,
    "style": 1.1,
    "quality": 0.25,
}
"""Standard deviation of each factor's share in a user's liking of a video, over videos."""


PULL = (1.25, -1.2, 0.7)
"""Slope, offset and noise of the logit of a watch ratio, given the liking of who looks."""

LIKE = (1.5, -3.8)
"""Slope and offset of the logit of a like."""


@dataclass(frozen=True)
class Tastes:
    """Latent tastes of all users at the first and on the last day.

    Attributes
    ----------
    users : pandas.DataFrame
        Indexed by `user_id`: `language`, `activity` (expected sessions per day).
    start, end : dict of str to numpy.ndarray
        Factor -> float32 (users, values); `"category x motion"` -> (users, categories * motions);
        `"style"` -> (users, STYLE_DIM).
    """

    users: pd.DataFrame
    start: dict[str, np.ndarray]
    end: dict[str, np.ndarray]


def draw_tastes(config: WorldConfig) -> Tastes:
    """Draw users: most watch little, a few watch a lot, and every taste drifts."""
    rng = config.rng("users")
    n = config.n_users
    activity = np.minimum(rng.lognormal(0.0, 0.75, n), 4.0)
    users = pd.DataFrame(
        {
            "language": rng.choice(["en", "zh"], n, p=[0.78, 0.22]),
            "activity": activity / activity.mean() * config.exposures_per_user / _MEAN_SLATE,
        },
        index=pd.Index(random_ids("u", rng, n, digits=5), name="user_id"),
    )
    users["activity"] /= config.n_days
    sizes = {factor: len(values) for factor, values in FACTORS.items()}
    sizes |= {"category x motion": len(CATEGORIES) * len(MOTIONS), "style": STYLE_DIM}
    start, end = {}, {}
    community = rng.integers(0, N_COMMUNITIES, n)
    for factor, size in sizes.items():
        shared = rng.normal(size=(N_COMMUNITIES, size)).astype(np.float32)[community]
        own, other = rng.normal(size=(2, n, size)).astype(np.float32)
        start[factor] = np.float32(np.sqrt(SHARED)) * shared + np.float32(np.sqrt(1 - SHARED)) * own
        end[factor] = np.float32(0.9) * start[factor] + np.float32(0.436) * other
    return Tastes(users, start, end)


_MEAN_SLATE = 8.0

N_COMMUNITIES = 12
SHARED = 0.4
"""Users form communities; this share of the variance of a taste is common to its community."""


def video_factors(plan: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the factors of every video as float32 arrays (videos, values).

    Visible factors are one-hot; `"style"` has unit variance and `"quality"` is one column.
    """
    onehot = {
        factor: (plan[factor].to_numpy()[:, None] == np.array(values)[None]).astype(np.float32)
        for factor, values in FACTORS.items()
    }
    joint = onehot["category"][:, :, None] * onehot["motion"][:, None, :]
    style = plan[[f"style_{d}" for d in range(STYLE_DIM)]].to_numpy(np.float32)
    return onehot | {
        "category x motion": joint.reshape(len(plan), -1),
        "style": style / np.sqrt(STYLE_DIM * (style**2).mean()),
        "quality": plan[["quality"]].to_numpy(np.float32),
    }


def liking(
    tastes: Tastes,
    factors: dict[str, np.ndarray],
    time: float,
    who: np.ndarray | None = None,
    only: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Compute how much users like videos at a time.

    Parameters
    ----------
    tastes, factors
        From `draw_tastes` and `video_factors`.
    time : float
        0 is the beginning of the world, 1 its end.
    who : numpy.ndarray, optional
        Row numbers of users; all by default.
    only : tuple of str, optional
        Factors to count; all of `WEIGHTS` by default.

    Returns
    -------
    numpy.ndarray
        float32, shape (users, videos), zero on average, standard deviation about 2.4.
    """
    rows = slice(None) if who is None else who
    total = None
    for factor in only or tuple(WEIGHTS):
        if factor == "quality":
            part = np.broadcast_to(factors["quality"][:, 0], (1, len(factors["quality"])))
        else:
            taste = (1 - time) * tastes.start[factor][rows] + time * tastes.end[factor][rows]
            part = taste @ factors[factor].T
        part = np.float32(WEIGHTS[factor]) * part
        total = part if total is None else total + part
    return np.array(total, dtype=np.float32)


def success_chance(liked_by: np.ndarray, threshold: float = 0.8) -> np.ndarray:
    """Chance that somebody who looks at a video watches to a share of it, or likes it.

    Parameters
    ----------
    liked_by : ndarray
        Liking, of any shape; see `liking`.
    threshold : float
        Least watch ratio, between 0 and 1.

    Examples
    --------
    >>> print(success_chance(np.array([-3.0, 0.0, 3.0])).round(3))
    [0.    0.022 0.984]
    """
    slope, offset, noise = PULL
    short = np.log(threshold / (1 - threshold)) - (slope * liked_by + offset)
    watched = ndtr(-short / noise)  # the pull exceeds the logit of the threshold
    return 1 - (1 - watched) * (1 - expit(LIKE[0] * liked_by + LIKE[1]))


def platform_start(
    plan: pd.DataFrame, config: WorldConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the audience that videos have before the log, and how the platform misjudges its users.

    Returns
    -------
    watched : numpy.ndarray, shape (videos,)
        Only videos that were online before the log begins have an audience by then.
    misjudged : numpy.ndarray of float32, shape (users, videos)
        The platform's model of its users is rough, and wrong in the same way every day.
    """
    published_s = published_seconds(plan, config)
    watched = np.where(published_s < 0, rng.gamma(0.5, 12.0, len(plan)), 0.0)
    watched *= np.exp(0.8 * plan["quality"].to_numpy())
    return watched, rng.normal(0, 1.2, (config.n_users, len(plan))).astype(np.float32)


def published_seconds(plan: pd.DataFrame, config: WorldConfig) -> np.ndarray:
    """Seconds from the beginning of the log to each publication, negative before it."""
    start = pd.Timestamp(config.start, tz="UTC")
    return (plan["published_at"] - start).dt.total_seconds().to_numpy()


def exposure_logits(watched: np.ndarray, judged: np.ndarray, age_s: np.ndarray) -> np.ndarray:
    """Logits with which the platform draws videos for sessions; -inf before the publication.

    Parameters
    ----------
    watched : numpy.ndarray, shape (videos,)
        How often each video was watched and enjoyed so far.
    judged : numpy.ndarray, shape (sessions, videos)
        What the platform takes for the user's liking.
    age_s : numpy.ndarray, shape (sessions, videos) or (1, videos)
        Seconds since the publication.
    """
    fresh = age_s < 4 * 86_400
    logits = 0.5 * np.log(2.0 + watched)[None] + 0.6 * judged + 0.6 * fresh
    return np.where(age_s > 0, logits, -np.inf).astype(np.float32)


def chances(logits: np.ndarray) -> np.ndarray:
    """Chance of each video in the first slot of a session: the softmax, 0 where nothing is left."""
    best = logits.max(axis=1, keepdims=True, initial=np.float32(-1e9))
    chance = np.exp(logits - best)
    return chance / np.maximum(chance.sum(axis=1, keepdims=True), np.float32(1e-30))


def simulate(
    plan: pd.DataFrame, tastes: Tastes, config: WorldConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate all exposures, day by day.

    Each day, users open sessions. For a session the platform draws a slate without replacement from
    the videos that are online and new to the user, with a chance that grows with past popularity
    (rich get richer), with a rough guess of the user's taste, and for fresh uploads. Users look
    less at lower positions; what they look at they watch as far as they like it, and like, share
    or comment accordingly. In a session, each user focuses on one category.

    Parameters
    ----------
    plan : pandas.DataFrame
        Latent videos, duplicates included, indexed by `video_id`; what is not `playable` is
        shown and left at once.
    tastes : Tastes
        Latent users.
    config : WorldConfig
        Sizes and seed.

    Returns
    -------
    interactions : pandas.DataFrame
        `user_id`, `video_id`, `timestamp`, `watch_ratio`, `liked`, `shared`, `comment`,
        `position`, `session_id`, in order of time.
    exposures : pandas.DataFrame
        Truth, row by row beside it: `propensity` (chance that the first slot of the session would
        show the video), `liking` (with the focus), `examined`.
    """
    rng = config.rng("behavior")
    world = _World(plan, tastes, config, rng)
    days = [world.day(day) for day in range(config.n_days)]
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    start = pd.Timestamp(config.start, tz="UTC")
    table = pd.DataFrame(
        {
            "user_id": tastes.users.index.to_numpy()[columns["user"]],
            "video_id": plan.index.to_numpy()[columns["video"]],
            "timestamp": start + pd.to_timedelta(columns["second"], unit="s"),
            "session_id": columns["session"],
            "position": columns["position"] + 1,
        }
    )
    table = table.assign(**_responses(table, columns, tastes, rng))
    truth = pd.DataFrame({name: columns[name] for name in ("propensity", "liking", "examined")})
    order = np.lexsort((table["position"], table["session_id"], table["timestamp"]))
    table, truth = table.iloc[order], truth.iloc[order]
    sessions = pd.factorize(table["session_id"])[0]
    table["session_id"] = [f"s{k:07d}" for k in sessions]
    names = ["user_id", "video_id", "timestamp", "watch_ratio", "liked", "shared", "comment"]
    table = table[[*names, "position", "session_id"]]
    return table.reset_index(drop=True), truth.reset_index(drop=True)


class _World:
    """What the platform remembers from day to day: who saw what, and how popular it is."""

    def __init__(
        self, plan: pd.DataFrame, tastes: Tastes, config: WorldConfig, rng: np.random.Generator
    ) -> None:
        self.config, self.tastes, self.rng = config, tastes, rng
        self.factors = video_factors(plan)
        self.category = self.factors["category"].argmax(axis=1)
        self.published_s = published_seconds(plan, config)
        self.watched, self.misjudged = platform_start(plan, config, rng)
        self.playable = plan["playable"].to_numpy()
        self.seen = np.zeros((config.n_users, len(plan)), dtype=bool)
        self.sessions = 0

    def day(self, day: int) -> dict[str, np.ndarray]:
        """Simulate one day; returns columns of equal length, one entry per exposure."""
        counts = self.rng.poisson(self.tastes.users["activity"].to_numpy())
        who = self.rng.permutation(np.repeat(np.arange(self.config.n_users), counts))
        # Two sessions of a user on a day must not show the same video: later rounds see the first.
        round_of = pd.Series(who).groupby(who).cumcount().to_numpy()
        rounds = [
            self._sessions(day, who[round_of == k]) for k in range(round_of.max(initial=0) + 1)
        ]
        return {name: np.concatenate([columns[name] for columns in rounds]) for name in rounds[0]}

    def _sessions(self, day: int, who: np.ndarray) -> dict[str, np.ndarray]:
        rng, n = self.rng, len(who)
        begin = day * 86_400 + np.round(rng.beta(4, 2, n) * 82_000).astype(np.int64)
        time = (day + 0.5) / self.config.n_days
        focus = rng.integers(0, len(FACTORS["category"]), n)
        utility = liking(self.tastes, self.factors, time, who)
        in_focus = self.category[None] == focus[:, None]
        utility = utility + np.float32(0.6) * in_focus
        age_s = begin[:, None] - self.published_s[None]
        logits = exposure_logits(self.watched, utility + self.misjudged[who], age_s)
        logits[self.seen[who]] = -np.inf
        chance = chances(logits)
        length = 3 + rng.poisson(_MEAN_SLATE - 3, n)
        # Gumbel top-k: a draw without replacement in proportion to `chance`.
        keys = logits + rng.gumbel(size=logits.shape)
        most = int(length.max(initial=0))
        order = np.argsort(-keys, axis=1, kind="stable")[:, :most]
        possible = np.isfinite(np.take_along_axis(logits, order, axis=1))
        shown = (np.arange(most)[None] < length[:, None]) & possible
        row, position = np.nonzero(shown)
        video = order[row, position]
        examined = rng.random(len(row)) < 0.35 + 0.65 * np.exp(-0.12 * position)
        examined &= self.playable[video]
        self.seen[who[row], video] = True
        felt = utility[row, video]
        np.add.at(self.watched, video, examined & (felt > 0))
        session = self.sessions + row
        self.sessions += n
        return {
            "user": who[row],
            "video": video,
            "second": begin[row] + position * 3 + rng.integers(0, 3, len(row)),
            "session": session,
            "position": position,
            "propensity": chance[row, video],
            "liking": felt,
            "examined": examined,
        }


def _responses(
    table: pd.DataFrame, columns: dict[str, np.ndarray], tastes: Tastes, rng: np.random.Generator
) -> dict[str, object]:
    """Turn liking and attention into watch ratio, like, share and comment."""
    n, liked_by, examined = len(table), columns["liking"], columns["examined"]
    slope, offset, noise = PULL
    pull = slope * liked_by + offset + rng.normal(0, noise, n)
    ratio = 1 / (1 + np.exp(-pull))
    ratio = np.where(examined, ratio, 0.12 * rng.random(n))
    again = (ratio > 0.9) & (rng.random(n) < 0.25)
    ratio = np.round(np.where(again, ratio + rng.uniform(0.2, 1.0, n), ratio), 3)
    like = examined & (rng.random(n) < 1 / (1 + np.exp(-(LIKE[0] * liked_by + LIKE[1]))))
    share = examined & (rng.random(n) < 1 / (1 + np.exp(-(1.2 * liked_by - 5.6))))
    strong = np.abs(liked_by) > 2.0
    writes = examined & (rng.random(n) < np.where(strong, 0.07, 0.02))
    language = tastes.users["language"].to_numpy()[columns["user"]]
    comment = np.full(n, None, dtype=object)
    for k in np.flatnonzero(writes):
        comment[k] = _comment(float(liked_by[k]), str(language[k]), rng)
    return {"watch_ratio": ratio, "liked": like, "shared": share, "comment": comment}


def _comment(liked_by: float, language: str, rng: np.random.Generator) -> str:
    tone = liked_by + rng.normal(0, 0.6)
    kind = "positive" if tone > 0.9 else "negative" if tone < -0.9 else "neutral"
    return str(rng.choice(COMMENTS[language][kind]))
