"""The lessons on somebody's own data: libraries that `VideoLibrary.save` wrote, without media.

The cells run in this process, one notebook after the other, on small libraries in MovieLens' and in
KuaiRand's form: titles but no watching times, and watching times but no titles.
"""

import io
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest

from vidrec_utils.datasets import VideoLibrary

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = ("06_evaluation", "07_content_based", "08_behavior_based")

N_USERS, N_VIDEOS = 60, 120
KINDS = ("Comedy", "Drama", "War", "Western", "Horror")
WORDS = ("sunny", "lonely", "last", "wild", "hidden", "second", "long", "quiet")


def events(rng: np.random.Generator) -> pd.DataFrame:
    """Everybody mostly meets videos of one kind; time goes on for all together."""
    users = np.repeat(np.arange(N_USERS), 24)
    chance = rng.random(len(users))
    same = rng.integers(0, N_VIDEOS // len(KINDS), len(users)) * len(KINDS) + users % len(KINDS)
    videos = np.where(chance < 0.7, same, rng.integers(0, N_VIDEOS, len(users)))
    frame = pd.DataFrame({"user_id": users, "video_id": videos}).drop_duplicates()
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    frame["timestamp"] = pd.Timestamp("2022-04-08", tz="UTC") + pd.to_timedelta(
        np.sort(rng.uniform(0, 30 * 24, len(frame))), unit="h"
    )
    frame["enjoyed"] = frame["video_id"] % len(KINDS) == frame["user_id"] % len(KINDS)
    return frame


def movies(rng: np.random.Generator) -> VideoLibrary:
    """Titles, genres, tags and likes, as `load_movielens` gives them."""
    number = np.arange(N_VIDEOS)
    kinds = np.array(KINDS)[number % len(KINDS)]
    words = rng.choice(WORDS, (N_VIDEOS, 2))
    videos = pd.DataFrame(
        {
            "video_id": number,
            "title": [f"{a} {b} {k}" for (a, b), k in zip(words, kinds, strict=True)],
            "tags": np.where(number % 3 == 0, "slow|" + pd.Series(kinds).str.lower(), None),
            "category": kinds,
            "genres": kinds,
        }
    )
    log = events(rng)
    log["rating"] = np.where(log["enjoyed"], 4.5, 2.0)
    log["liked"] = log["rating"] >= 4
    return VideoLibrary(videos=videos, interactions=log.drop(columns="enjoyed"), name="movies")


def shorts(rng: np.random.Generator) -> VideoLibrary:
    """Numbered tags, watching times and likes, as `load_kuairand` gives them: not one title."""
    number = np.arange(N_VIDEOS)
    tags = (number % len(KINDS)).astype(str)
    videos = pd.DataFrame({"video_id": number, "tags": tags, "category": tags, "duration_s": 15.0})
    log = events(rng)
    log["watch_ratio"] = np.where(log["enjoyed"], 0.9, 0.1) + rng.uniform(0, 0.1, len(log))
    log["liked"] = log["enjoyed"] & (rng.random(len(log)) < 0.3)
    log["shared"] = log["enjoyed"] & (rng.random(len(log)) < 0.1)
    return VideoLibrary(videos=videos, interactions=log.drop(columns="enjoyed"), name="shorts")


def run(lesson: str) -> str:
    """Run the code of a notebook; returns what it printed."""
    cells = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4).cells
    names: dict[str, object] = {"__name__": "__main__"}
    with redirect_stdout(io.StringIO()) as printed, matplotlib.rc_context():
        for cell in cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{lesson}, {cell.id}", "exec"), names)
    plt.close("all")
    return printed.getvalue()


@pytest.fixture(params=[movies, shorts], ids=["movies", "shorts"])
def library(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> VideoLibrary:
    made = request.param(np.random.default_rng(0))
    made.save(tmp_path / "library")
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path / "library"))
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "data"))
    return made


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_on_a_library_without_media(library: VideoLibrary, lesson: str) -> None:
    """It gets to the end, and says in sentences what the library lacks."""
    printed = run(lesson)
    said = f"The library {library.name} has no"
    assert f"{said} thumbnail, so there is nothing to show here." in printed
    if lesson == "08_behavior_based":
        lacking = "comment" if library.has("watch_ratio") else "comment and watch_ratio"
        assert f"{said} {lacking}, so there is nothing to show here." in printed
    else:
        assert f"{said} path, so there is nothing to show here." in printed
        assert (f"{said} title," in printed) == (not library.has("title"))
    assert "(no title)" not in printed
