"""Let a policy run the platform: it chooses what people see, and learns from what they do.

No real platform can tell how much people truly liked what they were shown. Here a policy sees what
a platform sees, the log, and a graded summary tells what its choices were worth. No taste is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils.minitube import behavior, dirt
from vidrec_utils.minitube.config import WorldConfig, world_config
from vidrec_utils.minitube.plan import plan_shots, plan_videos

FRESH_DAYS = 7
"""A video counts as a newcomer for this many days after its publication."""


@dataclass(frozen=True)
class Sessions:
    """Sessions for which a policy scores the videos.

    Attributes
    ----------
    day : int
        Number of the day, from 0.
    user_ids : ndarray of str, shape (sessions,)
        Who opened each session. No user occurs twice: a second session of the same day comes in a
        later call.
    timestamps : DatetimeIndex, length sessions
        When.
    video_ids : Index of str, length videos
        All videos of the platform, also those to come.
    available : ndarray of bool, shape (sessions, videos)
        What can be shown: it is online, and the user was not shown it before.
    """

    day: int
    user_ids: np.ndarray
    timestamps: pd.DatetimeIndex
    video_ids: pd.Index
    available: np.ndarray


class Policy(Protocol):
    """What chooses videos."""

    def scores(self, sessions: Sessions) -> np.ndarray:
        """Score all videos for some sessions.

        Parameters
        ----------
        sessions : Sessions
            Who asks, and what can be shown.

        Returns
        -------
        ndarray, shape (sessions, videos)
            Logits: the first slot shows an available video with the probability that is their
            softmax, and the next slots are drawn in the same way from what is left. Larger
            differences make choices surer. -inf is never shown.
        """
        ...

    def learn(self, log: pd.DataFrame) -> None:
        """Take notice of a day that has ended.

        Parameters
        ----------
        log : DataFrame
            The rows of that day, as in `Run.log`.
        """
        ...


@dataclass(frozen=True)
class Run:
    """What came of a policy that ran the platform.

    Attributes
    ----------
    log : DataFrame
        `user_id, video_id, timestamp, watch_ratio, liked, shared, comment, position, session_id`
        as in the library's interactions, and `probability`: with which the policy showed this
        video in the first slot; NaN in later slots.
    summary : DataFrame
        By day: `sessions`, `exposures`; `first_liking` and `liking`, the mean true liking of what
        was in first slots and of all that was shown (0 is what an average video is worth to an
        average user); `looked_at`, the share of exposures that were looked at; `watched_s`, mean
        seconds; `likes`, share of exposures; `coverage`, the share of the videos online that were
        shown; `head`, the share of exposures of the fifth of the videos online that was shown most;
        `newcomers`, the share of exposures of videos published within `FRESH_DAYS` days.
    """

    log: pd.DataFrame
    summary: pd.DataFrame


def run(
    policy: Policy | Literal["platform"],
    days: int = 28,
    seed: int = 0,
    *,
    slots: Literal["all", "first"] = "all",
    warm_up: int = 0,
    config: WorldConfig | None = None,
    progress: bool = True,
) -> Run:
    """Let a policy run MiniTube from its first day.

    Nothing is rendered, and nothing of the log is spoiled. People open as many sessions as on the
    platform of the library, leave as they like what they see, and are never shown a video twice.

    Parameters
    ----------
    policy : Policy or "platform"
        What chooses, or the platform's own policy, which made the log of the library.
    days : int
        At most as many as the world has.
    seed : int
        Sessions, draws and people's responses are drawn with this seed. Two policies with the same
        seed meet the same users on the same days.
    slots : {"all", "first"}
        With "first", the policy chooses the first video of each session, and the platform's own
        policy all others: then what it is worth is the mean of `first_liking`.
    warm_up : int
        On so many first days the platform's own policy chooses alone, so that there is something to
        learn from.
    config : WorldConfig, optional
        The world; by default the one of `datasets.load("minitube")`.
    progress : bool
        Show a bar.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If days, warm-up or slots are impossible, or scores have another shape or are NaN or +inf.

    Examples
    --------
    >>> from dataclasses import replace
    >>> tiny = replace(world_config(), n_videos=40, n_users=20, n_uploaders=5)
    >>> class Newest:
    ...     def scores(self, sessions):
    ...         return np.tile(np.arange(len(sessions.video_ids)), (len(sessions.user_ids), 1))
    ...     def learn(self, log):
    ...         self.rows = len(log)
    >>> outcome = run(Newest(), days=3, config=tiny, progress=False)
    >>> len(outcome.summary), int((outcome.log["position"] == 1).sum()) > 0
    (3, True)
    """
    config = config or world_config()
    _check(days, slots, warm_up, config)
    plan, _ = dirt.plant_media(plan_videos(config), config)
    shots = plan_shots(plan, config)
    tastes = behavior.draw_tastes(config)
    platform = behavior.Platform(plan, shots, tastes, config, _rng(config, seed, "platform"))
    platform.first_slot_only = slots == "first"
    responses = _rng(config, seed, "responses")
    logs, rows = [], []
    for day in tqdm(range(days), "Running the platform", unit="day", disable=not progress):
        if policy != "platform":
            chooses = day >= warm_up
            platform.choose = _choice(policy, day, plan.index, tastes, config) if chooses else None
        columns = platform.day(day)
        log, order = behavior.log_table(columns, plan, tastes, config, responses)
        first = columns["position"] == 0
        log["probability"] = np.where(first, columns["propensity"], np.nan)[order]
        log["session_id"] = [f"d{day:02d}{session}" for session in log["session_id"]]
        if policy != "platform":
            policy.learn(log.copy())
        logs.append(log)
        rows.append(_grade(columns, log, platform, day))
    summary = pd.DataFrame(rows, index=pd.RangeIndex(days, name="day"))
    return Run(pd.concat(logs, ignore_index=True), summary)


def catalogue(config: WorldConfig | None = None) -> pd.DataFrame:
    """Publication and duration of all videos of a world, as its platform shows them.

    Nothing is rendered, and nothing is told that a platform would not know.

    Parameters
    ----------
    config : WorldConfig, optional
        Default: the small world.

    Returns
    -------
    DataFrame
        Indexed by `video_id`: `published_at`, and `duration_s` in seconds.

    Examples
    --------
    >>> catalogue().columns.tolist()
    ['published_at', 'duration_s']
    """
    config = config or world_config()
    plan, _ = dirt.plant_media(plan_videos(config), config)
    return plan[["published_at"]].assign(duration_s=plan["n_frames"] / config.fps)


def _check(days: int, slots: str, warm_up: int, config: WorldConfig) -> None:
    if not 1 <= days <= config.n_days:
        raise ValueError(f"This world has {config.n_days} days: days is {days}, not 1 to that.")
    if not 0 <= warm_up < days:
        raise ValueError(f"warm_up is {warm_up}; choose 0 to {days - 1}, fewer than the days.")
    if slots not in ("all", "first"):
        raise ValueError(f'slots is {slots!r}; choose "all" or "first".')


def _rng(config: WorldConfig, seed: int, stream: str) -> np.random.Generator:
    """A generator of one world and one run."""
    return np.random.default_rng([config.seed, seed, *stream.encode("utf-8")])


def _choice(
    policy: Policy, day: int, video_ids: pd.Index, tastes: behavior.Tastes, config: WorldConfig
) -> behavior.Choice:
    """Ask a policy in the platform's terms, and check what it answers."""
    start = pd.Timestamp(config.start, tz="UTC")
    users = tastes.users.index.to_numpy()

    def choose(
        who: np.ndarray, begin: np.ndarray, available: np.ndarray, _: np.ndarray
    ) -> np.ndarray:
        timestamps = pd.DatetimeIndex(start + pd.to_timedelta(begin, unit="s"))
        sessions = Sessions(day, users[who], timestamps, video_ids, available.copy())
        scores = np.asarray(policy.scores(sessions))
        if scores.shape != available.shape:
            raise ValueError(
                f"The policy's scores have shape {scores.shape}; there are {available.shape[0]} "
                f"sessions and {available.shape[1]} videos: return {available.shape}."
            )
        wrong = (np.isnan(scores) | np.isposinf(scores)) & available
        if wrong.any():
            session, video = np.argwhere(wrong)[0]
            raise ValueError(
                f"The policy's score of video {video_ids[video]} for user "
                f"{sessions.user_ids[session]} is {scores[session, video]}; return a number, or "
                "-inf for what must not be shown."
            )
        return scores.astype(np.float32)

    return choose


def _grade(
    columns: dict[str, np.ndarray], log: pd.DataFrame, platform: behavior.Platform, day: int
) -> dict[str, float]:
    """One day's row of the summary."""
    video, felt = columns["video"], columns["liking"]
    first = columns["position"] == 0
    age_s = columns["second"] - platform.published_s[video]
    online = platform.published_s < (day + 1) * 86_400
    counts = np.sort(np.bincount(video, minlength=len(online))[online])[::-1]
    n = max(1, len(video))
    return {
        "sessions": int(first.sum()),
        "exposures": len(video),
        "first_liking": _mean(felt[first]),
        "liking": _mean(felt),
        "looked_at": _mean(columns["examined"]),
        "watched_s": _mean(columns["watched_s"]),
        "likes": _mean(log["liked"].to_numpy()),
        "coverage": float((counts > 0).mean()),
        "head": float(counts[: round(len(counts) / 5)].sum() / n),
        "newcomers": _mean(age_s < FRESH_DAYS * 86_400),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
