"""How far the detectors of dirt reach: the same kinds of dirt, harder and harder to see.

The limits of the detectors were chosen on one world. Here they meet another world, drawn with
another seed, and dirt that is disguised step by step: copies that lose a growing share of the clip,
bots that imitate people, noise that fades. `recorded` reads what `benchmarks/harder_dirt.py`
measured, which takes minutes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import arguments, video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.behavior import find_bots
from vidrec_utils.preprocessing.denoising import add_noise
from vidrec_utils.preprocessing.duplicates import near_duplicates
from vidrec_utils.preprocessing.hashing import Fingerprint, fingerprint
from vidrec_utils.preprocessing.media import look_at

RECORD = Path(__file__).with_name("difficulty.csv")
SECOND_SEED = 1
"""The world on which no limit of a detector was chosen."""
_CRF = 28
_DAY_S = 86_400
_SITTING = 8
"""Exposures in a sitting of a bot in full disguise."""


def _cropped(frames: np.ndarray, share: float) -> np.ndarray:
    """Cut a share of the height and of the width, equally on all sides."""
    top, left = (round(share / 2 * edge) for edge in frames.shape[1:3])
    return frames[:, top : frames.shape[1] - top, left : frames.shape[2] - left]


def _captioned(frames: np.ndarray, share: float) -> np.ndarray:
    """Cover a share of the height, at the bottom, by a dark bar with light stripes for letters."""
    height = frames.shape[1]
    bar = height - round(share * height)
    covered = frames.copy()
    covered[:, bar:] = 24
    covered[:, bar + 2 : height - 2 : 4, frames.shape[2] // 8 : -frames.shape[2] // 8 : 2] = 235
    return covered


def _trimmed(frames: np.ndarray, share: float) -> np.ndarray:
    """Cut a share of the frames at the start."""
    return frames[round(share * len(frames)) :]


def _hurried(frames: np.ndarray, share: float) -> np.ndarray:
    """Play faster, so that the clip lasts shorter by a share: frames are left out evenly."""
    n = max(2, round((1 - share) * len(frames)))
    return frames[np.linspace(0, len(frames) - 1, n).round().astype(int)]


EDITS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "cropped": _cropped,
    "captioned": _captioned,
    "trimmed": _trimmed,
    "played faster": _hurried,
}
"""Ways to disguise a copy: frames and the share of the clip that is lost, to frames."""


def edited(frames: np.ndarray, edit: str, share: float) -> np.ndarray:
    """Disguise a copy of a clip by an edit that loses a share of it.

    Parameters
    ----------
    frames : ndarray of uint8
        (t, height, width, 3). Not changed.
    edit : str
        One of `EDITS`: `"cropped"` loses a share of the height and of the width, `"captioned"`
        covers a share of the height, `"trimmed"` loses a share of the frames at the start, and
        `"played faster"` a share of the duration.
    share : float
        From 0, which changes nothing, to below 1.

    Returns
    -------
    ndarray of uint8
        (t', height', width', 3).

    Raises
    ------
    ValueError
        If the edit is unknown or the share is out of range.

    Examples
    --------
    >>> clip = np.zeros((10, 40, 40, 3), dtype=np.uint8)
    >>> edited(clip, "trimmed", 0.3).shape, edited(clip, "cropped", 0.2).shape
    ((7, 40, 40, 3), (10, 32, 32, 3))
    """
    arguments.one_of(tuple(EDITS), edit=edit)
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}; give 0 to below 1.")
    return EDITS[edit](frames, share) if share else frames


def detect_copies(
    clips: dict[str, np.ndarray], edit: str, share: float, fps: float = 16, edge: int = 112
) -> pd.DataFrame:
    """Disguise one copy of each clip, and look for all of them with `near_duplicates`.

    Each clip and each copy goes through a video file; copies are scaled and compressed strongly, as
    re-uploads are.

    Parameters
    ----------
    clips : dict of str to ndarray of uint8
        Frames (t, height, width, 3) by video id.
    edit, share
        See `edited`.
    fps : float
        Frames per second.
    edge : int
        Height and width of the copies, in pixels.

    Returns
    -------
    DataFrame
        Indexed by video id: `found`, whether its copy is mapped to it, and `alarm`, whether the
        clip or its copy is called a copy of *another* clip.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clip = rng.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    >>> detect_copies({"v1": clip}, "trimmed", 0.0, edge=64)["found"].to_dict()
    {'v1': True}
    """
    prints: dict[str, Fingerprint] = {}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "clip.mp4")
        for video_id, frames in clips.items():
            video_io.write_clip(draft, frames, fps=fps)
            prints[video_id] = fingerprint(draft)
            copy = _scaled(edited(frames, edit, share), edge)
            video_io.write_clip(draft, copy, fps=fps, crf=_CRF, preset="ultrafast")
            prints[f"copy of {video_id}"] = fingerprint(draft)
    kept = near_duplicates(_library_of(list(clips)), prints, progress=False)
    kept_id = kept.set_index("video_id")["kept_id"]
    own = {v: kept_id.get(f"copy of {v}") == v for v in clips}
    other = {v: v in kept_id or kept_id.get(f"copy of {v}", v) != v for v in clips}
    return pd.DataFrame({"found": own, "alarm": other}).rename_axis("video_id")


def _scaled(frames: np.ndarray, edge: int) -> np.ndarray:
    """Scale frames to a square."""
    scale = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(f).resize((edge, edge), scale)) for f in frames])


def _library_of(ids: Sequence[str]) -> VideoLibrary:
    """Tables of clips and their copies, which were all published later."""
    names = [*ids, *(f"copy of {v}" for v in ids)]
    days = np.repeat(["2025-03-01", "2025-03-02"], len(ids))
    videos = pd.DataFrame({"video_id": names, "published_at": pd.to_datetime(days, utc=True)})
    return VideoLibrary(videos, pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []}))


def detect_noise(clips: dict[str, np.ndarray], sigma: float, fps: float = 16) -> pd.DataFrame:
    """Add noise to clips, write them to files, and let the survey judge them.

    Parameters
    ----------
    clips : dict of str to ndarray of uint8
        Frames (t, height, width, 3) by video id.
    sigma : float
        Standard deviation of the noise in grey levels.
    fps : float
        Frames per second.

    Returns
    -------
    DataFrame
        Indexed by video id: `found`, whether the clip is called noisy.

    Examples
    --------
    >>> clip = np.full((8, 48, 48, 3), 128, dtype=np.uint8)
    >>> detect_noise({"v1": clip}, sigma=30.0)["found"].to_dict()
    {'v1': True}
    """
    noisy = {}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "clip.mp4")
        for seed, (video_id, frames) in enumerate(clips.items()):
            changed = add_noise(frames, sigma, rng=seed) if sigma else frames
            video_io.write_clip(draft, changed, fps=fps)
            noisy[video_id] = look_at(draft)[0]["status"] == "noisy"
    return pd.DataFrame({"found": noisy}).rename_axis("video_id")


def add_bots(
    interactions: pd.DataFrame, disguise: float, n: int = 24, *, exposures: int = 200, seed: int = 0
) -> tuple[pd.DataFrame, list[str]]:
    """Add bots to a log, which imitate people more or less.

    Without a disguise a bot opens a video at the tick of a timer, in one sitting, always watches
    to the end (every second bot: hardly at all), and returns to ten videos. With a disguise of d,
    a share d of its gaps, watch ratios and videos is drawn as those of people are, and its sittings
    become shorter. Only the number of its exposures never changes: it is paid for them.

    Parameters
    ----------
    interactions : DataFrame
        Log of people: `user_id`, `video_id`, `timestamp`, `watch_ratio`. Not changed.
    disguise : float
        From 0 to 1.
    n : int
        Number of bots.
    exposures : int
        Exposures of each bot.
    seed : int
        Seed of all draws.

    Returns
    -------
    log : DataFrame
        The log with the rows of the bots at its end.
    bots : list of str
        Their user ids.

    Raises
    ------
    ValueError
        If the disguise is not between 0 and 1.

    Examples
    --------
    >>> times = pd.date_range("2025-03-01", periods=60, freq="h", tz="UTC")
    >>> people = pd.DataFrame({"user_id": "u", "video_id": "v", "timestamp": times})
    >>> log, bots = add_bots(people.assign(watch_ratio=0.5), disguise=0.0, n=2, exposures=5)
    >>> len(log), bots
    (70, ['bot00', 'bot01'])
    """
    if not 0 <= disguise <= 1:
        raise ValueError(f"disguise is {disguise}; give 0 to 1.")
    rng = np.random.default_rng(seed)
    bots = [f"bot{k:02d}" for k in range(n)]
    ratios = interactions["watch_ratio"].dropna().to_numpy()
    videos = interactions["video_id"].unique()
    times = interactions["timestamp"]
    first, span_s = times.min(), (times.max() - times.min()).total_seconds()
    rows = []
    for number, user in enumerate(bots):
        seconds = rng.uniform(0, span_s / 4) + _visits(disguise, exposures, rng)
        own = rng.choice(videos, 10)
        plain = 1.0 if number % 2 else 0.01
        free = rng.random((2, exposures)) < disguise  # ratios and videos drawn as people's are
        rows.append(
            pd.DataFrame(
                {
                    "user_id": user,
                    "video_id": np.where(
                        free[0], rng.choice(videos, exposures), np.resize(own, exposures)
                    ),
                    "timestamp": first + pd.to_timedelta(seconds, unit="s").round("us"),
                    "watch_ratio": np.where(free[1], rng.choice(ratios, exposures), plain),
                }
            ).astype({"timestamp": times.dtype})
        )
    columns = interactions[["user_id", "video_id", "timestamp", "watch_ratio"]]
    return pd.concat([columns, *rows], ignore_index=True), bots


def _visits(disguise: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Seconds at which a bot opens its videos: gaps of a timer or of a person, in sittings."""
    step = rng.uniform(25, 90)
    human = rng.random(n) < disguise
    gaps = np.where(human, rng.exponential(step, n), step)
    sitting = max(1, round(n ** (1 - disguise) * _SITTING**disguise))
    pauses = (np.arange(n) % sitting == 0) & (np.arange(n) > 0)
    return np.cumsum(gaps + pauses * _DAY_S / 2 * rng.uniform(0.5, 1.5, n))


def detect_bots(
    interactions: pd.DataFrame, disguise: float, detector: str = "rules", n: int = 24, seed: int = 0
) -> pd.Series:
    """Add disguised bots to a log of people, and look for them.

    Parameters
    ----------
    interactions, disguise, n, seed
        See `add_bots`.
    detector : {"rules", "forest", "busiest"}
        A method of `find_bots`, or the users with the most exposures, as many as there are bots.

    Returns
    -------
    Series of bool
        Indexed by user: the users that the detector accuses; those named `bot..` are bots.

    Raises
    ------
    ValueError
        If the detector is unknown.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> start = pd.Timestamp("2025-03-01", tz="UTC")
    >>> seconds = np.sort(rng.uniform(0, 2e6, 900))
    >>> log = pd.DataFrame({"user_id": rng.choice(list("abcdefghijklmnopqrst"), 900)})
    >>> log["video_id"] = [f"v{k % 97}" for k in range(900)]
    >>> log["timestamp"] = start + pd.to_timedelta(seconds, unit="s")
    >>> log["watch_ratio"] = rng.random(900)
    >>> accused = detect_bots(log, disguise=0.0, n=2)
    >>> accused.index[accused].tolist()
    ['bot00', 'bot01']
    """
    arguments.one_of(("rules", "forest", "busiest"), detector=detector)
    log, bots = add_bots(interactions, disguise, n, seed=seed)
    if detector == "busiest":
        counts = log["user_id"].value_counts()
        accused = pd.Series(counts.index.isin(counts.index[: len(bots)]), counts.index)
    else:
        accused = find_bots(log, method=detector, seed=seed)["flagged"]
    return accused.astype(bool).sort_index()


def recorded() -> pd.DataFrame:
    """Read what `python benchmarks/harder_dirt.py` measured.

    Returns
    -------
    DataFrame
        One row per detector, kind of dirt and level: `seed` (of the world), `detector`, `kind`,
        `level`, `item` (number of the clip, -1 for all users together), `found` (whether it was
        detected; for bots: how many), `of` (how many were planted) and `alarms` (how many that were
        not planted were accused).

    Examples
    --------
    >>> sorted(recorded()["detector"].unique())
    ['bots', 'copies', 'noise', 'whole']
    """
    return pd.read_csv(RECORD)
