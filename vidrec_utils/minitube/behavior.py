"""Who watches what: users with known tastes, a platform with habits, and what comes of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from vidrec_utils.minitube import watching
from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.phrases import write_comment
from vidrec_utils.minitube.plan import STYLE_DIM, random_ids
from vidrec_utils.minitube.vocabulary import (
    CATEGORIES,
    MOODS,
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
    "mood": MOODS,
}
"""The visible and audible factors that a taste is over, with their values."""

WEIGHTS: dict[str, float] = {
    "category": 0.8,
    "topic": 1.5,
    "scene": 1.07,
    "motion": 1.24,
    "pace": 0.31,
    "mood": 1.34,
    "category x motion": 0.13,
    "style": 0.25,
    "quality": 0.14,
}
"""Standard deviation of each factor's share in a user's liking of a video, over videos."""


SHARE = (1.6, -14.0)
"""Slope and offset of the logit of a share, given the liking of who looks."""

COMMENT = (0.03, 0.01)
"""Chance of a comment by somebody who likes or dislikes a video a lot, and by somebody else."""

OFFSET = 25.0
"""Audience that the policy adds to everybody's, so that new videos are tried as well."""

POPULAR, GUESS, FRESH = 5.8, 1.55, 4.0
"""How much the platform's policy counts the log of a video's audience, its guess of the user's
liking, and an upload of the last four days."""

MISJUDGED = 0.38
"""Standard deviation of the platform's errors about the liking of a user."""

FAVOURED_S, FAVOUR = 2.6, 0.3
"""The duration in seconds that the policy favours, and how much: the logit falls by `FAVOUR` times
the square of the log of the ratio to it."""


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
        first = np.float32(np.sqrt(SHARED)) * shared + np.float32(np.sqrt(1 - SHARED)) * own
        last = np.float32(0.9) * first + np.float32(0.436) * other
        # the hidden style has no values of which a few could be loved
        start[factor], end[factor] = (
            (first, last) if factor == "style" else (skewed(first), skewed(last))
        )
    return Tastes(users, start, end)


def skewed(normal: np.ndarray) -> np.ndarray:
    """Turn standard normal numbers into log-normal ones with mean 0 and variance 1.

    With `k = SKEW`, `x` becomes `(exp(k x) - exp(k² / 2)) / sqrt((exp(k²) - 1) exp(k²))`.

    Examples
    --------
    An average taste is slightly negative, a strong one is stronger than it was.

    >>> [round(float(taste), 2) for taste in skewed(np.array([-2.0, 0.0, 2.0]))]
    [-1.01, -0.27, 2.73]
    """
    spread = np.exp(SKEW**2)
    shifted = np.exp(SKEW * normal) - np.sqrt(spread)
    return (shifted / np.sqrt((spread - 1) * spread)).astype(np.float32)


_MEAN_SLATE = 8.0

FOCUS = 0.25
"""How much more users like their session's category."""

N_COMMUNITIES = 12
SHARED = 0.3
"""Users form communities; this share of the variance of a taste is common to its community."""

SKEW = 0.7
"""How much rarer loves are than aversions: tastes are shifted log-normal with this exponent, so
that people love a few values a lot and mildly dislike most others. At 0 they would be normal."""


def shot_factors(plan: pd.DataFrame, shots: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the factors of every shot as float32 arrays (shots, values).

    Scene and motion are the shot's, everything else is the whole clip's. Visible and audible
    factors are one-hot (that of the mood is zero where there is no sound); `"style"` has unit
    variance over videos and `"quality"` is one column.
    """
    video = plan.index.get_indexer(shots.index.get_level_values(0))
    shown = plan.iloc[video].assign(
        **{name: shots[name].to_numpy() for name in ("scene", "motion")}
    )
    onehot = {
        factor: (shown[factor].to_numpy()[:, None] == np.array(values)[None]).astype(np.float32)
        for factor, values in FACTORS.items()
    }
    if "has_sound" in shown:  # nobody hears the mood of a clip without a sound track
        onehot["mood"] *= shown["has_sound"].to_numpy(np.float32)[:, None]
    joint = onehot["category"][:, :, None] * onehot["motion"][:, None, :]
    style = plan[[f"style_{d}" for d in range(STYLE_DIM)]].to_numpy(np.float32)
    return onehot | {
        "category x motion": joint.reshape(len(shown), -1),
        "style": (style / np.sqrt(STYLE_DIM * (style**2).mean()))[video],
        "quality": shown[["quality"]].to_numpy(np.float32),
    }


def video_factors(plan: pd.DataFrame, shots: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the factors of every video as float32 arrays (videos, values).

    They are the means of those of its shots (see `shot_factors`), weighted by their lengths. The
    liking of a video, linear in its factors, is therefore the mean of the liking of its shots.
    """
    shares = watching.timeline(plan, shots, fps=1).shares()
    of_shots = shot_factors(plan, shots)
    return {factor: (shares @ values).astype(np.float32) for factor, values in of_shots.items()}


def liking(
    tastes: Tastes,
    factors: dict[str, np.ndarray],
    time: float,
    who: np.ndarray | None = None,
    only: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Compute how much users like videos, or shots, at a time.

    Parameters
    ----------
    tastes, factors
        From `draw_tastes`, and from `video_factors` or `shot_factors`.
    time : float
        0 is the beginning of the world, 1 its end.
    who : numpy.ndarray, optional
        Row numbers of users; all by default.
    only : tuple of str, optional
        Factors to count; all of `WEIGHTS` by default.

    Returns
    -------
    numpy.ndarray
        float32, shape (users, videos or shots), zero on average, standard deviation about 2.5.
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
    return watched, rng.normal(0, MISJUDGED, (config.n_users, len(plan))).astype(np.float32)


def published_seconds(plan: pd.DataFrame, config: WorldConfig) -> np.ndarray:
    """Seconds from the beginning of the log to each publication, negative before it."""
    start = pd.Timestamp(config.start, tz="UTC")
    return (plan["published_at"] - start).dt.total_seconds().to_numpy()


def exposure_logits(
    watched: np.ndarray, judged: np.ndarray, age_s: np.ndarray, duration_s: np.ndarray
) -> np.ndarray:
    """Logits with which the platform draws videos for sessions; -inf before the publication.

    Parameters
    ----------
    watched : numpy.ndarray, shape (videos,)
        How often each video was watched and enjoyed so far.
    judged : numpy.ndarray, shape (sessions, videos)
        What the platform takes for the user's liking.
    age_s : numpy.ndarray, shape (sessions, videos) or (1, videos)
        Seconds since the publication.
    duration_s : numpy.ndarray, shape (videos,)
        The platform favours some durations, whoever is asking.
    """
    fresh = age_s < 4 * 86_400
    # what the platform thinks of a video without looking at the user  (videos,)
    appeal = POPULAR * np.log(OFFSET + watched) - FAVOUR * np.log(duration_s / FAVOURED_S) ** 2
    logits = appeal[None] + GUESS * judged + FRESH * fresh
    return np.where(age_s > 0, logits, -np.inf).astype(np.float32)


def chances(logits: np.ndarray) -> np.ndarray:
    """Chance of each video in the first slot of a session: the softmax, 0 where nothing is left."""
    best = logits.max(axis=1, keepdims=True, initial=np.float32(-1e9))
    chance = np.exp(logits - best)
    return chance / np.maximum(chance.sum(axis=1, keepdims=True), np.float32(1e-30))


def simulate(
    plan: pd.DataFrame, shots: pd.DataFrame, tastes: Tastes, config: WorldConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate all exposures, day by day.

    Each day, users open sessions. For a session the platform draws a slate without replacement from
    the videos that are online and new to the user, with a chance that grows with past popularity
    (rich get richer), with a rough guess of the user's taste, for fresh uploads, and for durations
    that it favours. Users look less at lower positions, and leave what they do not look at within
    tenths of a second. What they look at they watch until they leave (see `watching`), and like,
    share or comment accordingly. In a session, each user focuses on one category.

    Parameters
    ----------
    plan : pandas.DataFrame
        Latent videos, duplicates included, indexed by `video_id`; what is not `playable` is
        shown and left at once.
    shots : pandas.DataFrame
        What is on when; see `plan.plan_shots`.
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
        show the video), `liking` (of the whole clip, with the focus), `examined`, `uncensored_s`
        (seconds until the viewer leaves a clip that goes round and round).
    """
    rng = config.rng("behavior")
    world = Platform(plan, shots, tastes, config, rng)
    days = [world.day(day) for day in range(config.n_days)]
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    table, order = log_table(columns, plan, tastes, config, rng)
    truth = pd.DataFrame({name: columns[name] for name in EXPOSURE_COLUMNS}).iloc[order]
    return table, truth.reset_index(drop=True)


def log_table(
    columns: dict[str, np.ndarray],
    plan: pd.DataFrame,
    tastes: Tastes,
    config: WorldConfig,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Let people respond to what they were shown, and write the platform's log of it.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        From `Platform.day`, one entry per exposure.
    plan, tastes, config
        The world.
    rng : numpy.random.Generator
        Draws likes, shares and comments.

    Returns
    -------
    log : pandas.DataFrame
        As `simulate` returns it, in order of time.
    order : numpy.ndarray of int
        The entry of `columns` that each row comes from.
    """
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
    table = table.assign(**_responses(columns, tastes, rng))
    order = np.lexsort((table["position"], table["session_id"], table["timestamp"]))
    table = table.iloc[order]
    sessions = pd.factorize(table["session_id"])[0]
    table["session_id"] = [f"s{k:07d}" for k in sessions]
    names = ["user_id", "video_id", "timestamp", "watch_ratio", "liked", "shared", "comment"]
    table = table[[*names, "position", "session_id"]]
    return table.reset_index(drop=True), order


EXPOSURE_COLUMNS = ("propensity", "liking", "examined", "uncensored_s")
"""What the truth keeps of each exposure."""


Choice = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""How somebody else than the platform's own policy scores videos for sessions.

A function of the rows of their users, their seconds since the log began, what is available
to them and the platform's own logits, all by session; returns logits (sessions, videos)."""


class Platform:
    """What the platform remembers from day to day: who saw what, and how popular it is.

    Parameters
    ----------
    plan, shots, tastes, config
        See `simulate`.
    rng : numpy.random.Generator
        Draws everything that happens, but the draws of a `chosen` policy.
    """

    def __init__(
        self,
        plan: pd.DataFrame,
        shots: pd.DataFrame,
        tastes: Tastes,
        config: WorldConfig,
        rng: np.random.Generator,
    ) -> None:
        self.config, self.tastes, self.rng = config, tastes, rng
        self.clock = watching.timeline(plan, shots, config.fps)
        self.shares = self.clock.shares().astype(np.float32)
        self.factors = shot_factors(plan, shots)
        self.category = self.factors["category"].argmax(axis=1)  # of each shot
        self.published_s = published_seconds(plan, config)
        self.watched, self.misjudged = platform_start(plan, config, rng)
        self.playable = plan["playable"].to_numpy()
        self.seen = np.zeros((config.n_users, len(plan)), dtype=bool)
        self.sessions = 0
        self.choose: Choice | None = None
        """Scores videos in place of the platform's own policy, if there is one."""
        self.first_slot_only = False
        """Whether it scores them for the first slot of each session alone."""

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
        by_shot = liking(self.tastes, self.factors, time, who)  # (sessions, shots)
        by_shot += np.float32(FOCUS) * (self.category[None] == focus[:, None])
        utility = (self.shares @ by_shot.T).T  # (sessions, videos)
        age_s = begin[:, None] - self.published_s[None]
        judged = utility + self.misjudged[who]
        logits = exposure_logits(self.watched, judged, age_s, self.clock.duration_s)
        logits[self.seen[who]] = -np.inf
        chance = chances(logits)
        length = 3 + rng.poisson(_MEAN_SLATE - 3, n)
        # Gumbel top-k: a draw without replacement in proportion to `chance`.
        keys = logits + rng.gumbel(size=logits.shape)
        if self.choose is not None:
            logits, chance, keys = self._chosen(who, begin, logits, keys)
        most = int(length.max(initial=0))
        order = np.argsort(-keys, axis=1, kind="stable")[:, :most]
        possible = np.isfinite(np.take_along_axis(logits, order, axis=1))
        shown = (np.arange(most)[None] < length[:, None]) & possible
        row, position = np.nonzero(shown)
        video = order[row, position]
        examined = rng.random(len(row)) < 0.3 + 0.7 * np.exp(-0.13 * position)
        examined &= self.playable[video]
        self.seen[who[row], video] = True
        felt = utility[row, video]
        np.add.at(self.watched, video, examined & (felt > 0))
        session = self.sessions + row
        self.sessions += n
        uncensored_s, watched_s = self._watch(by_shot, felt, row, video, examined)
        return {
            "user": who[row],
            "video": video,
            "second": begin[row] + _elapsed(row, watched_s, rng),
            "session": session,
            "position": position,
            "propensity": chance[row, video],
            "liking": felt,
            "examined": examined,
            "uncensored_s": uncensored_s,
            "watched_s": watched_s,
            "duration_s": self.clock.duration_s[video],
        }

    def _chosen(
        self, who: np.ndarray, begin: np.ndarray, logits: np.ndarray, keys: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits, chances in the first slot, and keys to sort by, of somebody else's policy."""
        assert self.choose is not None
        available = np.isfinite(logits)
        scores = self.choose(who, begin, available, logits)
        scores = np.where(available, scores, -np.inf)
        chance = chances(scores)
        drawn = scores + self.rng.gumbel(size=scores.shape)
        if not self.first_slot_only:
            return scores, chance, drawn
        # its first draw goes before everything that the platform's own policy has drawn
        first = (np.arange(len(who)), drawn.argmax(axis=1))
        keys[first] = np.where(np.isfinite(drawn[first]), np.inf, keys[first])
        return logits, chance, keys

    def _watch(
        self,
        by_shot: np.ndarray,
        felt: np.ndarray,
        row: np.ndarray,
        video: np.ndarray,
        examined: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of each exposure without the clip's end, and as watched; see `watching.leave`."""
        rng, n = self.rng, len(row)
        noise = np.exp(watching.NOISE * rng.normal(size=(n, 1)))
        rates = watching.interest_rate(by_shot[row[:, None], self.clock.shots[video]])
        rates *= noise * self.clock.patience[video, None]
        loops = rng.random(n) < watching.loop_chance(felt)
        seconds = watching.leave(rates, self.clock.lengths[video], rng.exponential(size=n), loops)
        glance = rng.uniform(0.05, 0.4, n)  # of whoever does not look, or finds a broken file
        uncensored_s, watched_s = (np.where(examined, one, glance) for one in seconds)
        return uncensored_s, watched_s


def _elapsed(row: np.ndarray, watched_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole seconds from the begin of a session to each exposure, given the rows in order."""
    takes = np.ceil(watched_s + rng.uniform(0.2, 1.5, len(row))).astype(np.int64)
    before = pd.Series(takes).groupby(row).cumsum().to_numpy() - takes
    return before


def _responses(
    columns: dict[str, np.ndarray], tastes: Tastes, rng: np.random.Generator
) -> dict[str, object]:
    """Turn liking and attention into likes, shares and comments."""
    n, liked_by = len(columns["liking"]), columns["liking"]
    decides = columns["examined"] & (columns["watched_s"] >= watching.DECIDE_S)
    like = decides & (rng.random(n) < watching.like_chance(liked_by))
    share = decides & (rng.random(n) < expit(SHARE[0] * liked_by + SHARE[1]))
    strong = np.abs(liked_by) > 2.0
    writes = columns["examined"] & (rng.random(n) < np.where(strong, *COMMENT))
    language = tastes.users["language"].to_numpy()[columns["user"]]
    comment = np.full(n, None, dtype=object)
    for k in np.flatnonzero(writes):
        comment[k] = _comment(float(liked_by[k]), str(language[k]), rng)
    ratio = np.round(columns["watched_s"] / columns["duration_s"], 3)
    return {"watch_ratio": ratio, "liked": like, "shared": share, "comment": comment}


def _comment(liked_by: float, language: str, rng: np.random.Generator) -> str:
    tone = liked_by + rng.normal(0, 0.6)
    kind = "positive" if tone > 0.9 else "negative" if tone < -0.9 else "neutral"
    return write_comment(language, kind, rng)


def first_slots(
    interactions: pd.DataFrame, exposures: pd.DataFrame, config: WorldConfig
) -> pd.DataFrame:
    """Return what the platform logged of its own draws: the chance of each session's first video.

    The chance is that with which the policy showed this video in the first slot. It is public, in
    `library.extras["first_slots"]`. The record of some sessions was lost, and what a bot fetched
    was not drawn.

    Parameters
    ----------
    interactions, exposures : pandas.DataFrame
        As `dirt.plant_log` returns them.
    config : WorldConfig
        Share of the sessions with a record, and seed.

    Returns
    -------
    pandas.DataFrame
        `session_id`, `video_id`, `probability`, in the order of the log.
    """
    first = (interactions["position"] == 1) & exposures["propensity"].notna()
    table = interactions.loc[first, ["session_id", "video_id"]]
    table = table.assign(probability=exposures.loc[first, "propensity"])
    kept = config.rng("first slots").random(len(table)) < config.logged_slots
    return table[kept].reset_index(drop=True)
