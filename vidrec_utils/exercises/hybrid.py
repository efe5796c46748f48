"""Exercises of `09_hybrid`: a corrected loss, ranks, places of cold videos, and what is new."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def corrected_loss_by_hand() -> float:
    """Return the log-Q corrected loss of one event, computed on paper, to two digits or more.

    All scores are 0. The batch holds two others: a video with one half of all events, and one
    with a quarter of them.
    """
    # solution
    return math.log(1 + 1 / (2 * 1 / 2) + 1 / (2 * 1 / 4))
    # end solution


def check_corrected_loss_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `corrected_loss_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, math.log(3), abs_tol=0.005), (
        "ln 3 is the loss without a correction: each of the others still counts as one."
    )
    assert not math.isclose(answer, math.log(1 + 1 + 1 / 2), abs_tol=0.005), (
        "the sign is turned round: what is drawn often must count for less, not for more."
    )
    assert not math.isclose(answer, math.log(1 + 2 + 4), abs_tol=0.005), (
        "you divide by the share alone; with m = 2 others each is expected m times its share."
    )
    assert not math.isclose(answer, 4, abs_tol=0.005), (
        "4 is what stands inside of the logarithm; the loss is its logarithm."
    )
    assert math.isclose(answer, math.log(4), abs_tol=0.005), (
        "the watched video adds 1, the first of the others 1 / (2 times one half), the second "
        f"1 / (2 times a quarter); the loss is the logarithm of the sum. Yours is {answer}."
    )
    return "the rarer of the two stands for two videos, as it comes half as often as it should."


WRONG_CORRECTED_LOSS_BY_HAND = [
    (lambda: 1.0986, "without a correction"),
    (lambda: math.log(2.5), "sign is turned round"),
    (lambda: math.log(7), "share alone"),
    (lambda: 4.0, "inside of the logarithm"),
    (lambda: 0.5, "the watched video adds 1"),
]


def fuse_ranks(lists: list[list[str]], constant: float = 60.0) -> dict[str, float]:
    """Return `sum over the lists of 1 / (constant + rank)` for each video, ranks from 1."""
    # solution
    scores: dict[str, float] = {}
    for ranked in lists:
        for rank, video in enumerate(ranked, start=1):
            scores[video] = scores.get(video, 0.0) + 1 / (constant + rank)
    return scores
    # end solution


def check_fuse_ranks(function: Callable[..., dict[str, float]]) -> str:
    """Check an attempt at `fuse_ranks` on two lists that share one video."""
    lists = [["a", "b", "c"], ["b", "d"]]
    got = function([list(ranked) for ranked in lists], constant=10.0)
    assert isinstance(got, dict), "return a dict from video to score."
    assert set(got) == set("abcd"), (
        f"every video of any list has a score; yours are {sorted(got)}. A list that lacks a video "
        "just adds nothing."
    )
    assert not np.isclose(got["a"], 1 / 10), "ranks begin at 1, not at 0."
    assert not np.isclose(got["b"], max(1 / 12, 1 / 11)), "add what the lists say of a video."
    assert not np.isclose(got["a"], 1 / 61), (
        "use the argument `constant`, not a number of your own."
    )
    expected = {"a": 1 / 11, "b": 1 / 12 + 1 / 11, "c": 1 / 13, "d": 1 / 12}
    for video, value in expected.items():
        assert np.isclose(got[video], value), (
            f"{video} should have {value:.4f}, yours has {got[video]:.4f}: add "
            "`1 / (constant + rank)` for each list that holds it."
        )
    return "whoever is in two lists gains from both, and no score was ever compared with another."


def _last(lists: list[list[str]], constant: float = 60.0) -> dict[str, float]:
    return {v: 1 / (constant + r) for ranked in lists for r, v in enumerate(ranked, start=1)}


def _shared(lists: list[list[str]], constant: float = 60.0) -> dict[str, float]:
    common = set.intersection(*map(set, lists))
    return {v: s for v, s in fuse_ranks(lists, constant).items() if v in common}


WRONG_FUSE_RANKS = [
    (_last, "add what the lists say"),
    (_shared, "every video of any list"),
    (lambda lists, constant=60.0: fuse_ranks(lists, constant - 1), "not at 0"),
    (lambda lists, constant=60.0: fuse_ranks(lists), "argument `constant`"),
    (lambda lists, constant=60.0: list(fuse_ranks(lists, constant)), "return a dict"),
    (
        lambda lists, constant=60.0: {v: -s for v, s in fuse_ranks(lists, constant).items()},
        "should have",
    ),
    (lambda lists, constant=60.0: print(fuse_ranks(lists, constant)), "returns nothing"),
]


def cold_share(
    content: np.ndarray, behaviour: np.ndarray, cold: np.ndarray, weight: float, k: int = 10
) -> float:
    """Return the share of the k first places that cold videos get in a fusion.

    `content` and `behaviour` hold the normalised scores of one person for all videos, `cold` says
    which videos are cold. A warm video scores `weight * content + (1 - weight) * behaviour`, a
    cold one `content`, since behaviour is silent about it.
    """
    # solution
    fused = weight * content + (1 - weight) * behaviour
    fused = np.where(cold, content, fused)
    return float(cold[np.argsort(-fused)[:k]].mean())
    # end solution


def _scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalised scores of 400 videos by two members that do not agree; a fifth are cold."""
    rng = np.random.default_rng(3)
    content, behaviour = rng.standard_normal((2, 400))
    return content, behaviour, np.arange(400) % 5 == 0


def check_cold_share(function: Callable[..., float]) -> str:
    """Check an attempt at `cold_share` on 400 made-up videos, a fifth of them cold."""
    content, behaviour, cold = _scores()
    before = content.copy()
    got = {w: float(function(content, behaviour, cold, w, k=40)) for w in (0.0, 0.3, 1.0)}
    assert np.array_equal(content, before), "the caller's scores were changed; make new ones."
    right = {w: cold_share(content, behaviour, cold, w, k=40) for w in got}
    assert not math.isclose(got[0.3], _judged(content, behaviour, cold, 0.3, 40)), (
        "behaviour still judges cold videos in your fusion: a cold one scores `content` alone."
    )
    assert not math.isclose(got[0.3], _shrunk(content, behaviour, cold, 0.3, 40)), (
        "a cold video scores `content`, not `weight * content`: the weight of a silent member "
        "goes to the others."
    )
    assert not math.isclose(got[0.3], _worst(content, behaviour, cold, 0.3, 40)), (
        "these are the lowest scores; the list begins with the highest."
    )
    assert not math.isclose(got[0.3], cold_share(content, behaviour, cold, 0.3)), (
        "use the argument `k`, not a number of your own."
    )
    for w, share in right.items():
        assert math.isclose(got[w], share, abs_tol=1e-6), (
            f"for weight {w} cold videos get {share:.3f} of the places, yours is {got[w]:.3f}."
        )
    return (
        "cold videos get most places between the ends: a mean of two scores varies less than one, "
        "so there a cold video's score of one member stands out."
    )


def _first(cold: np.ndarray, fused: np.ndarray, k: int) -> float:
    return float(cold[np.argsort(-fused)[:k]].mean())


def _judged(
    content: np.ndarray, behaviour: np.ndarray, cold: np.ndarray, weight: float, k: int = 10
) -> float:
    return _first(cold, weight * content + (1 - weight) * behaviour, k)


def _shrunk(
    content: np.ndarray, behaviour: np.ndarray, cold: np.ndarray, weight: float, k: int = 10
) -> float:
    fused = weight * content + (1 - weight) * np.where(cold, 0, behaviour)
    return _first(cold, fused, k)


def _worst(
    content: np.ndarray, behaviour: np.ndarray, cold: np.ndarray, weight: float, k: int = 10
) -> float:
    fused = np.where(cold, content, weight * content + (1 - weight) * behaviour)
    return _first(cold, -fused, k)


def _overwrites(
    content: np.ndarray, behaviour: np.ndarray, cold: np.ndarray, weight: float, k: int = 10
) -> float:
    share = cold_share(content, behaviour, cold, weight, k)
    content *= weight
    return share


WRONG_COLD_SHARE = [
    (_judged, "still judges cold videos"),
    (_shrunk, "not `weight * content`"),
    (_worst, "the list begins with the highest"),
    (
        lambda content, behaviour, cold, weight, k=10: cold_share(content, behaviour, cold, weight),
        "argument `k`",
    ),
    (lambda content, behaviour, cold, weight, k=10: 0.123, "of the places"),
    (_overwrites, "were changed"),
]


def share_of_new(library: datasets.VideoLibrary, days: float = 7.0) -> float:
    """Return the share of the events of the last `days` that are about videos with no event before.

    The last days begin `days` before the last event of `library.interactions`; an event at this
    moment belongs to them. A video is new if none of its events lies before that moment.
    """
    # solution
    log = library.interactions
    begin = log["timestamp"].max() - pd.Timedelta(days=days)
    late = log["timestamp"] >= begin
    known = log.loc[~late, "video_id"]
    return float((~log.loc[late, "video_id"].isin(known)).mean())
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Five videos and eight events: in the last two days two of five are about new videos."""
    titles = {"title": [f"Video {number}" for number in range(5)]}
    videos = pd.DataFrame(titles, pd.Index([f"v{number}" for number in range(5)], name="video_id"))
    rows = [("v0", 0), ("v1", 1), ("v2", 3), ("v0", 8), ("v3", 8), ("v1", 9), ("v3", 9), ("v2", 10)]
    log = pd.DataFrame(rows, columns=["video_id", "day"])
    log["user_id"] = [f"u{number % 3}" for number in range(len(log))]
    start = pd.Timestamp("2026-02-01", tz="UTC")
    log["timestamp"] = [start + pd.Timedelta(days=day) for day in log.pop("day")]
    videos.to_csv(folder / "videos.csv")
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_share_of_new(function: Callable[..., float]) -> str:
    """Check an attempt at `share_of_new` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        library = _five_videos(Path(folder))
        before = library.interactions.copy()
        got, longer = float(function(library, 2.0)), float(function(library, 7.0))
        assert library.interactions.equals(before), (
            "the log of the library was changed; work on a copy."
        )
    assert not math.isclose(got, 1 / 4), (
        "that is the share of the videos; count events, since a video may have several."
    )
    assert not math.isclose(got, 0), (
        "an event exactly two days before the last one belongs to the last days."
    )
    assert math.isclose(got, 2 / 5), (
        f"in the last two days v3 is new and has two of five events: 2/5, yours is {got:.3f}."
    )
    assert math.isclose(longer, 4 / 6), (
        f"in the last seven days v2 and v3 have four of six events: 2/3, yours is {longer:.3f}. "
        "Is `days` used?"
    )
    return "that is the share of tomorrow's questions that behaviour alone cannot answer."


def _of_videos(library: datasets.VideoLibrary, days: float = 7.0) -> float:
    log = library.interactions
    late = log["timestamp"] >= log["timestamp"].max() - pd.Timedelta(days=days)
    recent = log.loc[late, "video_id"].drop_duplicates()
    return float((~recent.isin(log.loc[~late, "video_id"])).mean())


def _later_only(library: datasets.VideoLibrary, days: float = 7.0) -> float:
    log = library.interactions
    late = log["timestamp"] > log["timestamp"].max() - pd.Timedelta(days=days)
    return float((~log.loc[late, "video_id"].isin(log.loc[~late, "video_id"])).mean())


def _adds_a_column(library: datasets.VideoLibrary, days: float = 7.0) -> float:
    library.interactions["day"] = library.interactions["timestamp"].dt.day
    return share_of_new(library, days)


WRONG_SHARE_OF_NEW = [
    (_of_videos, "share of the videos"),
    (lambda library, days=7.0: share_of_new(library, 2.0), "Is `days` used?"),
    (_later_only, "exactly two days"),
    (lambda library, days=7.0: 0.5, "v3 is new"),
    (_adds_a_column, "was changed"),
]
