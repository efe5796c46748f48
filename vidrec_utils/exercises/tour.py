"""Exercises of `00_tour`: a measure by hand, neighbours, the width of intervals, the audience."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def ndcg_by_hand() -> float:
    """Return the NDCG of a list of three, computed on paper, to two decimals.

    The first and the third video are hits, and the user has two relevant videos in all. You need
    the binary logarithms of 2, 3 and 4: 1, 1.585 and 2.
    """
    # solution
    return 0.92
    # end solution


def check_ndcg_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `ndcg_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 1.5, abs_tol=0.01), (
        "that is the gain of the list; divide it by the gain of the best list."
    )
    assert not math.isclose(answer, 1.5 / 2.131, abs_tol=0.01), (
        "the best list has only two hits, as the user has only two relevant videos."
    )
    assert not math.isclose(answer, 0.75, abs_tol=0.01), (
        "divide by the gain of two hits at the top, not by the number of hits."
    )
    assert math.isclose(answer, 0.92, abs_tol=0.006), (
        f"the list gains 1 + 1 / 2, and the best one 1 + 1 / 1.585; yours is {answer}."
    )
    return "1.5 / 1.631: the list loses little, since its second hit is only one rank too low."


WRONG_NDCG_BY_HAND = [
    (lambda: 1.5, "divide it by the gain of the best list"),
    (lambda: 0.704, "only two relevant videos"),
    (lambda: 0.75, "not by the number of hits"),
    (lambda: 0.667, "the list gains"),
]


def neighbour_scores(weights: np.ndarray, user: int) -> np.ndarray:
    """Return the score of each video for one user, from what all users watched.

    `weights` has a row for each user and a column for each video, 0 where nothing was watched; no
    column is 0 throughout. The similarity of two videos is the cosine of their columns, and a video
    is no neighbour of itself. A score sums the similarities to all videos, each times its weight
    for the user.
    For example, `[[1, 1], [0, 1]]` and user 0 give `[0.707, 0.707]`, rounded.
    """
    # solution
    unit = weights / np.linalg.norm(weights, axis=0)
    similarity = unit.T @ unit
    np.fill_diagonal(similarity, 0)
    return similarity @ weights[user]
    # end solution


def check_neighbour_scores(function: Callable[[np.ndarray, int], np.ndarray]) -> str:
    """Check an attempt at `neighbour_scores` with three users who overlap in one video."""
    weights = np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    answer = np.asarray(function(weights.copy(), 2), dtype=float)
    assert answer.shape == (3,), f"there is one score for each video: (3,), not {answer.shape}."
    assert not math.isclose(answer[1], 1), (
        "the user watched the second video, which counts as its own neighbour in your sum; its "
        "similarity to itself has to be 0."
    )
    assert not np.allclose(answer, [1, 0, 0]), (
        "those are products of columns, which grow with the audience: divide by both lengths."
    )
    assert math.isclose(answer[0], 0.5), (
        "the first two columns share one of two users each, so their cosine is 1 / (sqrt(2) "
        f"sqrt(2)) = 0.5, and that is the first score; yours is {answer[0]:.3g}."
    )
    weighted = np.asarray(function(weights.copy(), 0), dtype=float)
    assert np.allclose(weighted, [math.sqrt(2), 0.5, math.sqrt(0.5)]), (
        "each similarity counts as much as the user's weight for that video: the first user "
        "watched the third video with weight 2."
    )
    return "the second video is close to the first, and nobody had to look at a frame of either."


def _unit_columns(weights: np.ndarray) -> np.ndarray:
    return weights / np.linalg.norm(weights, axis=0)


def _without_diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix - np.diag(np.diag(matrix))


WRONG_NEIGHBOUR_SCORES = [
    (
        lambda weights, user: _unit_columns(weights).T @ _unit_columns(weights) @ weights[user],
        "its own neighbour",
    ),
    (
        lambda weights, user: _without_diagonal(weights.T @ weights) @ weights[user],
        "divide by both lengths",
    ),
    (
        lambda weights, user: _without_diagonal(_unit_columns(weights).T @ _unit_columns(weights)),
        "one score for each video",
    ),
    (  # neighbours of the user, not of the videos
        lambda weights, user: (
            weights.T
            @ _without_diagonal(_unit_columns(weights.T).T @ _unit_columns(weights.T))[user]
        ),
        "share one of two users",
    ),
    (  # watched or not, whatever the weight
        lambda weights, user: (
            _without_diagonal(_unit_columns(weights).T @ _unit_columns(weights))
            @ (weights[user] > 0)
        ),
        "counts as much as the user's weight",
    ),
]


def times_wider(interval: Callable[[np.ndarray], tuple], values: np.ndarray) -> float:
    """Return how many times wider an interval is with a quarter of the users.

    `interval(values)` returns the lower and the upper end for the values of some users. Compare the
    first quarter of `values` (rounded down) with all of them.
    """
    # solution
    low, high = interval(values)
    low_of_few, high_of_few = interval(values[: len(values) // 4])
    return (high_of_few - low_of_few) / (high - low)
    # end solution


def check_times_wider(function: Callable[[Callable, np.ndarray], float]) -> str:
    """Check an attempt at `times_wider` with an interval whose width is known."""

    def interval(values: np.ndarray) -> tuple[float, float]:
        half = 2 / math.sqrt(len(values))
        return values.mean() - half, values.mean() + half

    values = np.tile([0.0, 0.0, 1.0, 3.0], 16)
    answer = function(interval, values)
    assert not math.isclose(answer, 0.5), "that is how many times *narrower* it is: turn it round."
    assert not math.isclose(answer, 4), (
        "you compared four users with all; a quarter of the users is `len(values) // 4` of them."
    )
    assert math.isclose(answer, 2), (
        f"here a quarter of the users makes it twice as wide, not {answer:.3g} times: divide the "
        "width of one by the width of the other, where a width is the upper minus the lower end."
    )
    return "the width falls with the square root of the number of users: half of it costs fourfold."


WRONG_TIMES_WIDER = [
    (lambda interval, values: 0.5, "turn it round"),
    (
        lambda interval, values: np.diff(interval(values[:4]))[0] / np.diff(interval(values))[0],
        "four users",
    ),
    (lambda interval, values: interval(values[:16])[1] / interval(values)[1], "twice as wide"),
]


def top_share(library: datasets.VideoLibrary) -> float:
    """Return the share of all exposures that the most shown fifth of the videos gets.

    The fifth is `len(library.videos) // 5` videos, of all that the platform has: a video that was
    never shown is one of them, too.
    """
    # solution
    shown = library.interactions["video_id"].value_counts()
    return float(shown.head(len(library.videos) // 5).sum() / len(library.interactions))
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five videos: one is shown most, another watched longest, one never."""
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(5)],
            "title": [f"clip {i}" for i in range(5)],
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
        }
    )
    shown = [0, 1, 1, 1, 1, 2, 2, 3, 3, 3]
    interactions = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(10)],
            "video_id": [f"v{i}" for i in shown],
            "timestamp": "2026-02-01T00:00:00Z",
            "watch_ratio": [0.1] + [0.2] * 4 + [0.3] * 2 + [0.9] * 3,
        }
    )
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_top_share(function: Callable[[datasets.VideoLibrary], float]) -> str:
    """Check an attempt at `top_share` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        answer = function(_five_videos(Path(folder)))
    assert answer != 0, (
        "only four of the five videos were shown, and a fifth of four is none: take the fifth of "
        "all videos of the platform."
    )
    assert not math.isclose(answer, 0.3), (
        "that is the video that is watched longest; count exposures, whatever was watched of them."
    )
    assert not math.isclose(answer, 4), "that is a number of exposures; divide it by all of them."
    assert math.isclose(answer, 0.4), (
        f"the most shown of the five videos has four of ten exposures, which is 0.4, not {answer}."
    )
    return "with an even audience it would be a fifth; compare your platform with that."


WRONG_TOP_SHARE = [
    (
        lambda library: (
            (shown := library.interactions["video_id"].value_counts()).head(len(shown) // 5).sum()
            / shown.sum()
        ),
        "a fifth of four is none",
    ),
    (
        lambda library: float(
            (
                library.interactions["video_id"]
                == library.interactions.groupby("video_id")["watch_ratio"].sum().idxmax()
            ).mean()
        ),
        "watched longest",
    ),
    (lambda library: 4, "divide it by all"),
    (lambda library: 0.1, "four of ten"),
]
