"""A library made of 61 real clips, with interactions that are simulated.

The clips are `video6-mini-redistributable` (six classes; origin and licence of each in its
`clips.csv`, which is copied to `SOURCES.csv`). Titles come from file names, categories are the
classes; uploaders, times and all behaviour are made up from a seed. To run the course on it:

    python -m tests.helpers.real_clips build/real-clips
    VIDREC_DATASET=build/real-clips make course
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tests.helpers import real_data
from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary

SOURCE = "video6-mini-redistributable"
START = pd.Timestamp("2024-03-04", tz="UTC")
DAYS = 21
USERS = 120
EXPOSURES = 4_000
_SESSION_LENGTH = 8

_COMMENTS = {
    "positive": [
        "Love this one!",
        "Great clip, more please.",
        "So good, watched it twice.",
        "This made my day.",
        "Beautiful shot.",
        "Very helpful, thank you!",
    ],
    "negative": [
        "Boring.",
        "Not what I expected, a waste of time.",
        "Too shaky, bad quality.",
        "I do not like this at all.",
    ],
}


def build_library(source: Path | None = None, target: Path | str = "", seed: int = 0) -> Path:
    """Build the library as a folder that `datasets.load_folder` reads.

    Parameters
    ----------
    source : path, optional
        The folder of clips with `clips.csv`; found as `real_data` says when not given.
    target : path
        Where the library goes; an older library there is replaced.
    seed : int
        Seed of everything that is simulated; the same seed gives the same tables.

    Returns
    -------
    pathlib.Path
        The library's folder.
    """
    source = real_data.find(SOURCE) if source is None else Path(source)
    if source is None or not (source / "clips.csv").is_file():
        raise FileNotFoundError(
            f"The clips of {SOURCE} are absent. Put them into ../shared/data beside the "
            "repository, or name the folder that holds it in VIDREC_REAL_DATA."
        )
    target = Path(target).expanduser().resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    videos = _videos(pd.read_csv(source / "clips.csv"), rng)
    interactions = simulate(videos, rng)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        stage = Path(folder)
        _stage_media(videos, source, stage)
        # Some users are never shown anything: a platform has those, too.
        users = pd.DataFrame({"user_id": [f"user-{user:03d}" for user in range(USERS)]})
        library = VideoLibrary(videos, interactions, users, root=stage, name="real-clips")
        library.check()
        saved = library.save(target)
    sources = saved / "SOURCES.csv"
    partial = sources.with_suffix(".partial")
    shutil.copyfile(source / "clips.csv", partial)
    partial.replace(sources)
    return saved


def title_of(path: str) -> str:
    """A title from a file name: 'toy/learning-area__crystal.webm' is 'Crystal'."""
    stem = Path(path).stem.removeprefix("v_").rpartition("__")[2]
    return re.sub(r"[_\W]+", " ", stem).strip().capitalize()


def _videos(clips: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    clips = clips.sort_values("path", ignore_index=True)
    words = clips["label"].str.replace("_", " ")
    name = clips["path"].map(lambda path: Path(path).stem)
    # Two thirds are there from the start, the rest appear during the three weeks.
    n = len(clips)
    age = np.where(rng.random(n) < 0.67, -rng.uniform(0, 60, n), rng.uniform(0, 18, n))
    channel = pd.Series(rng.integers(1, 4, n)).astype("str")
    return pd.DataFrame(
        {
            "video_id": name,
            "title": clips["path"].map(title_of),
            "tags": clips["label"].str.replace("_", "|"),
            "category": words,
            "uploader": words + " channel " + channel,
            "language": "en",
            "published_at": (START + pd.to_timedelta(age, unit="D")).floor("s"),
            "duration_s": clips["seconds"].astype("float64"),
            "path": "clips/" + clips["path"],
            "thumbnail": "thumbnails/" + name + ".jpg",
        }
    )


def simulate(
    videos: pd.DataFrame,
    rng: np.random.Generator,
    n_users: int = USERS,
    n_exposures: int = EXPOSURES,
) -> pd.DataFrame:
    """Simulate three weeks of exposures to users who each like some categories.

    A user's taste is a draw from a Dirichlet distribution over categories; sessions of up to 8
    videos are drawn without repetition from what is published, in proportion to taste and
    quality. Watching and liking follow from taste, quality, place in the session and noise.

    Parameters
    ----------
    videos : pandas.DataFrame
        With `video_id`, `category`, `published_at`, `duration_s`.
    rng : numpy.random.Generator
        Source of chance.
    n_users, n_exposures : int
        How many of each.

    Returns
    -------
    pandas.DataFrame
        Interactions in the order of time, with `session_id`.
    """
    category, names = pd.factorize(videos["category"])
    taste = rng.dirichlet(np.full(len(names), 0.35), n_users)  # (users, categories)
    quality = rng.normal(0, 0.6, len(videos))  # (videos,)
    appeal = 3.2 * np.sqrt(taste[:, category]) + quality - 1.6  # (users, videos)
    weight = np.exp(0.6 * appeal)
    activity = rng.lognormal(0, 0.5, n_users)
    published = ((videos["published_at"] - START) / pd.Timedelta(days=1)).to_numpy()
    seen: list[set[int]] = [set() for _ in range(n_users)]
    sessions = []
    total = 0
    while total < n_exposures:
        user = int(rng.choice(n_users, p=activity / activity.sum()))
        day = rng.uniform(0.05, DAYS)
        there = np.flatnonzero(published < day)
        # What was shown before comes again now and then, but seldom.
        rarer = np.where(np.isin(there, list(seen[user])), 0.05, 1.0)
        chance = weight[user, there] * rarer
        length = min(int(rng.integers(3, _SESSION_LENGTH + 1)), n_exposures - total, len(there))
        shown = rng.choice(there, length, replace=False, p=chance / chance.sum())
        seen[user] |= set(shown.tolist())
        sessions.append(_session(len(sessions), user, day, shown, appeal[user, shown], videos, rng))
        total += length
    log = pd.concat(sessions, ignore_index=True)
    return log.sort_values(["timestamp", "user_id", "position"], ignore_index=True)


def _session(
    number: int,
    user: int,
    day: float,
    shown: np.ndarray,
    appeal: np.ndarray,
    videos: pd.DataFrame,
    rng: np.random.Generator,
) -> pd.DataFrame:
    n = len(shown)
    position = np.arange(n)
    felt = appeal - 0.12 * position + rng.normal(0, 0.7, n)
    share = 1 / (1 + np.exp(-felt))
    watch_ratio = np.round(np.clip(share + rng.normal(0, 0.08, n), 0.02, 1.3), 3)
    liked = rng.random(n) < np.clip(1.1 * share - 0.35, 0.01, 0.9)
    shared = rng.random(n) < np.where(liked, 0.15, 0.01)
    talks = rng.random(n) < np.where(liked | (share < 0.15), 0.25, 0.04)
    mood = np.where(felt > 0, "positive", "negative")
    comment = [rng.choice(_COMMENTS[m]) if t else None for m, t in zip(mood, talks, strict=True)]
    watched = watch_ratio * videos["duration_s"].to_numpy()[shown] + rng.uniform(0.5, 3, n)
    after = np.concatenate([[0.0], np.cumsum(watched)[:-1]])
    return pd.DataFrame(
        {
            "user_id": f"user-{user:03d}",
            "video_id": videos["video_id"].to_numpy()[shown],
            "timestamp": (START + pd.to_timedelta(day * 86_400 + after, unit="s")).floor("ms"),
            "watch_ratio": watch_ratio,
            "liked": liked,
            "shared": shared,
            "comment": pd.Series(comment, dtype="str"),
            "position": position + 1,
            "session_id": f"session-{number:04d}",
        }
    )


def _stage_media(videos: pd.DataFrame, source: Path, stage: Path) -> None:
    """Link the clips and draw the thumbnails; saving the library copies them from here."""
    (stage / "thumbnails").mkdir()
    rows = videos[["path", "thumbnail"]].itertuples(index=False)
    for path, thumbnail in tqdm(rows, total=len(videos), desc="real clips", unit="clip"):
        original = (source / Path(path).relative_to("clips")).resolve()
        clip = stage / path
        clip.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(original, clip)
        except OSError:  # another disk, or a system without hard links
            shutil.copyfile(original, clip)
        video_io.thumbnail(original, size=128).convert("RGB").save(stage / thumbnail, quality=85)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder of the library")
    parser.add_argument("--source", type=Path, help="folder of the clips, with clips.csv")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(build_library(arguments.source, arguments.target, arguments.seed))


if __name__ == "__main__":
    main()
