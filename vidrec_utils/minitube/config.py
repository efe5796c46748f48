"""How large the world is and how dirty: every figure that shapes MiniTube, in one frozen record."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

VERSION = 4
"""Raised whenever a change alters the tables or the frames, so that an old rendering is remade."""


@dataclass(frozen=True)
class WorldConfig:
    """Sizes and rates of one world.

    Attributes
    ----------
    size : str
        Name of the preset, `"small"` or `"large"`.
    seed : int
        Seed of everything random. The same seed gives the same tables and the same frames.
    n_videos : int
        Original uploads, before duplicates are planted.
    n_users, n_uploaders, n_days : int
        People who watch, people who upload, and days of behaviour.
    exposures_per_user : float
        Mean number of videos shown to one user over all days.
    image_size : int
        Height and width of a clip, in pixels.
    fps : int
        Frames per second.
    shortest_s, longest_s : float
        Bounds of the clips' durations in seconds, which are log-uniform between them.
    start : str
        First day of the log, UTC.
    annotated : float
        Share of the watchable clips that annotators described, as public labels: the motion of
        clips of one shot, and the mood.
    logged_slots : float
        Share of the sessions of which the platform kept the chance of the first video.
    """

    size: str
    seed: int
    n_videos: int
    n_users: int
    n_uploaders: int
    n_days: int = 28
    exposures_per_user: float = 98.0
    image_size: int = 128
    fps: int = 16
    shortest_s: float = 0.8
    longest_s: float = 8.0
    start: str = "2025-03-03"
    annotated: float = 0.75
    logged_slots: float = 0.9
    # Dirt: shares of the original uploads, of the rows of the log, and of the users.
    exact_duplicates: float = 0.027
    reencoded_duplicates: float = 0.04
    truncated: float = 0.01
    text_as_video: float = 0.007
    empty_files: float = 0.007
    black: float = 0.01
    noisy: float = 0.03
    silent: float = 0.02
    missing_title: float = 0.03
    missing_tags: float = 0.08
    missing_category: float = 0.05
    wrong_category: float = 0.04
    missing_description: float = 0.15
    missing_duration: float = 0.04
    wrong_duration: float = 0.02
    impossible_timestamps: float = 0.006
    missing_watch_ratio: float = 0.02
    bots: float = 0.012

    @property
    def name(self) -> str:
        """Name of the world's folder, such as `small-0`."""
        return f"{self.size}-{self.seed}"

    def count(self, share: float) -> int:
        """Turn a share of the original uploads into a number of videos, at least one."""
        return max(1, round(share * self.n_videos))

    def to_dict(self) -> dict[str, object]:
        """Return all fields, for the manifest that says what a rendered world was made with."""
        return {"version": VERSION, **asdict(self)}

    def rng(self, stream: str) -> np.random.Generator:
        """Return the generator of one named stream, independent of all other streams.

        Streams keep parts of the world apart: a change to the titles leaves the clips alone.
        """
        return np.random.default_rng([self.seed, *stream.encode("utf-8")])


def world_config(size: str = "small", seed: int = 0) -> WorldConfig:
    """Return the preset for a size.

    Parameters
    ----------
    size : {"small", "large"}
        `large` has ten times as many videos, users and exposures.
    seed : int
        Seed of the world, zero or more.

    Raises
    ------
    ValueError
        If the size is unknown or the seed is negative.

    Examples
    --------
    >>> config = world_config("small", seed=3)
    >>> config.name, config.n_videos, config.n_users, config.longest_s
    ('small-3', 400, 1000, 8.0)
    """
    presets = {"small": (400, 1_000, 40), "large": (4_000, 10_000, 400)}
    if size not in presets:
        raise ValueError(f"MiniTube has no size {size!r}; choose one of {', '.join(presets)}.")
    if seed < 0:
        raise ValueError(f"The seed of a MiniTube is {seed}; use a whole number from 0 up.")
    n_videos, n_users, n_uploaders = presets[size]
    return WorldConfig(size, seed, n_videos, n_users, n_uploaders)
