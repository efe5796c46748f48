"""Exercises of notebook 11: a fair share, Grad-CAM, the steps of an integral, and reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets
from vidrec_utils.behavior_based import EASE
from vidrec_utils.interpretability import explain


def share_by_hand() -> float:
    """Return the Shapley value of content in a stack of two members, computed on paper.

    Without any member the score is 0, with content alone 4, with behaviour alone 2, with both 10.
    """
    # solution
    return 6.0
    # end solution


def check_share_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `share_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 4), "that is what content is worth when it comes first only."
    assert not math.isclose(answer, 8), "that is what content adds when it comes last only."
    assert not math.isclose(answer, 5), (
        "half of the whole would be fair only if both were worth the same alone."
    )
    assert math.isclose(answer, 6), (
        f"average what content adds in both orders: first 4, last 10 - 2; yours is {answer}."
    )
    return "content adds 4 when it is first and 8 when it is last; the rest, 4, is behaviour's."


WRONG_SHARE_BY_HAND = [
    (lambda: 4.0, "comes first only"),
    (lambda: 8.0, "comes last only"),
    (lambda: 5.0, "half of the whole"),
    (lambda: 12.0, "both orders"),
]


def cam_of(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the Grad-CAM of one image, `(height, width)`.

    `maps` holds the feature maps and `gradients` the slopes of the score with respect to them, both
    `(channels, height, width)`. Weigh each map with its mean gradient, add up, and cut off what is
    below 0.
    For example, one map `[[1, 2]]` with the gradients `[[2, 4]]` gives `[[3, 6]]`.
    """
    # solution
    alpha = gradients.mean(axis=(1, 2))
    return np.maximum((alpha[:, None, None] * maps).sum(axis=0), 0)
    # end solution


def check_cam_of(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Check an attempt at `cam_of` from one map to several."""
    one = np.asarray(function(np.array([[[1.0, 2.0]]]), np.array([[[2.0, 4.0]]])))
    assert one.shape == (1, 2), f"the result has a row and two columns, yours {one.shape}."
    assert not np.allclose(one, [[2, 8]]), (
        "you multiplied each position with its own gradient; Grad-CAM takes the mean of a map."
    )
    assert not np.allclose(one, [[6, 12]]), "take the mean of the gradients, not their sum."
    assert np.allclose(one, [[3, 6]]), f"the mean gradient is 3, so [[3, 6]], not {one.tolist()}."
    rng = np.random.default_rng(0)
    maps, gradients = rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 3))
    answer = np.asarray(function(maps, gradients))
    expected = np.einsum("c,chw->hw", gradients.mean(axis=(1, 2)), maps)
    assert not np.allclose(answer, expected), (
        "cut off what is below 0: it speaks against the score."
    )
    assert np.allclose(answer, np.maximum(expected, 0)), "add up all maps, then cut off once."
    return "a map counts as far as the score follows it, wherever in the image that is."


WRONG_CAM_OF = [
    (lambda maps, gradients: np.maximum((maps * gradients).sum(axis=0), 0), "its own gradient"),
    (
        lambda maps, gradients: np.maximum(
            (gradients.sum(axis=(1, 2))[:, None, None] * maps).sum(axis=0), 0
        ),
        "not their sum",
    ),
    (
        lambda maps, gradients: (gradients.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0),
        "cut off",
    ),
    (
        lambda maps, gradients: np.maximum(
            gradients.mean(axis=(1, 2))[:, None, None] * maps, 0
        ).sum(axis=0),
        "cut off once",
    ),
    (lambda maps, gradients: maps, "a row and two columns"),
]


def steps_needed(gradient: Callable, x: np.ndarray, start: np.ndarray, gap: float) -> float:
    """Return the smallest of 1, 2, 4, 8, 16 and 32 steps at which integrated gradients add up.

    `gradient(point)` has the shape of `x`. With n steps, take the mean of the gradients at
    `start + a * (x - start)` for `a = (k + 0.5) / n`, `k = 0 .. n - 1`, and multiply it by
    `x - start`. It adds up if the sum differs from `gap` by at most 5% of its size. Return infinity
    if it never does.
    """
    # solution
    for n in (1, 2, 4, 8, 16, 32):
        points = [start + (k + 0.5) / n * (x - start) for k in range(n)]
        mean = sum(gradient(point) for point in points) / n
        if abs(((x - start) * mean).sum() - gap) <= 0.05 * abs(gap):
            return n
    return np.inf
    # end solution


def check_steps_needed(function: Callable) -> str:
    """Check an attempt at `steps_needed` on functions whose integrals are known."""
    x, start = np.array([2.0, 1.0]), np.zeros(2)
    straight = function(lambda point: np.array([3.0, -1.0]), x, start, 5.0)
    assert straight == 1, f"where the gradient is constant, one step is exact; yours: {straight}."
    shifted = function(lambda point: 2 * point, np.array([3.0]), np.array([1.0]), 8.0)
    assert shifted == 1, (
        "the line begins at start: both the points and the difference depend on it."
    )
    fourth = function(lambda point: 4 * point**3, x, start, 17.0)
    assert fourth == 4, (
        f"for the sum of fourth powers 2 steps are wrong by 12.5% and 4 by 3.1%; yours: {fourth}. "
        "Take the middle of each step."
    )
    kinked = function(lambda point: 20.0 * (point > 0.95), np.array([1.0]), np.zeros(1), -1.0)
    assert kinked == np.inf, "a sum that never comes near the gap needs infinitely many steps."
    return "the straighter the score along the line, the fewer steps; kinks of ReLU need many."


def _left_ends(gradient: Callable, x: np.ndarray, start: np.ndarray, gap: float) -> float:
    for n in (1, 2, 4, 8, 16, 32):
        mean = sum(gradient(start + k / n * (x - start)) for k in range(n)) / n
        if abs(((x - start) * mean).sum() - gap) <= 0.05 * abs(gap):
            return n
    return np.inf


def _from_zero(gradient: Callable, x: np.ndarray, start: np.ndarray, gap: float) -> float:
    for n in (1, 2, 4, 8, 16, 32):
        mean = sum(gradient((k + 0.5) / n * x) for k in range(n)) / n
        if abs((x * mean).sum() - gap) <= 0.05 * abs(gap):
            return n
    return np.inf


WRONG_STEPS_NEEDED = [
    (lambda gradient, x, start, gap: 32, "one step is exact"),
    (_from_zero, "begins at start"),
    (_left_ends, "begins at start"),
    (lambda gradient, x, start, gap: 1, "middle of each step"),
]


def strongest_reason(library: datasets.VideoLibrary, user_id: str) -> str:
    """Return the watched video that contributes most to a user's first recommendation.

    Fit `EASE(1.0)` to the library, ask it for one recommendation, and explain that with
    `interpretability.explain`.
    """
    # solution
    model = EASE(1.0).fit(library)
    first = model.recommend([user_id], k=1)["video_id"].iloc[0]
    table = explain(model, user_id, first).table
    return str(table.loc[table["contribution"].idxmax(), "reason"])
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a log in which v1 leads to v3, although v0 was watched for longer."""
    watched = {"ann": "012", "bob": "13", "cem": "13", "dan": "13", "eve": "04", "fay": "2"}
    rows = [
        (user, f"v{video}", 1.0 if video == "0" else 0.8)
        for user, videos in watched.items()
        for video in videos
    ]
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(5)]})
    videos = videos.assign(title="clip", published_at="2026-01-01T00:00:00Z", duration_s=2.0)
    log = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    videos.to_csv(folder / "videos.csv", index=False)
    log.assign(timestamp="2026-02-01T00:00:00Z").to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_strongest_reason(function: Callable[[datasets.VideoLibrary, str], str]) -> str:
    """Check an attempt at `strongest_reason` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        answer = function(_five_videos(Path(folder)), "ann")
    assert answer != "v3", (
        "that is the recommendation; the question is what it owes to the history."
    )
    assert answer != "v0", "v0 was watched longest, but it leads elsewhere: ask for contributions."
    assert answer == "v1", f"those who watched v1 watched v3, so v1 is the reason, not {answer!r}."
    return "weight times influence decides: a video watched for longer can matter less."


WRONG_STRONGEST_REASON = [
    (lambda library, user_id: "v3", "the recommendation"),
    (lambda library, user_id: "v0", "watched longest"),
    (lambda library, user_id: "v2", "v1 is the reason"),
]
