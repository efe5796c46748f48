"""Exercises of `00_tour`: the measure and the profile, each in a few lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def precision_at_k(recommended: list[str], relevant: set[str], k: int) -> float:
    """Return which share of the first k recommended videos is relevant.

    Divide by k even when fewer than k videos were recommended: an empty position pleased nobody.
    For example, `["a", "b", "c"]` with relevant `{"b", "y", "z"}` at k = 2 gives 1 / 2.
    """
    # solution
    hits = sum(video_id in relevant for video_id in recommended[:k])
    return hits / k
    # end solution


def check_precision_at_k(function: Callable[[list[str], set[str], int], float]) -> str:
    """Check an attempt at `precision_at_k`."""
    plain = function(["a", "b", "c"], {"b", "y", "z"}, 2)
    assert math.isclose(plain, 1 / 2), (
        f"of the first two videos only b is relevant, which is 1 / 2, yours is {plain}: look at "
        "the first k alone, and divide by k, not by the number of relevant videos (that is recall)."
    )
    assert function(["a", "b", "c"], {"c"}, 2) == 0, (
        "the third video does not count at k = 2; cut the list first."
    )
    short = function(["a"], {"a"}, 4)
    assert math.isclose(short, 1 / 4), (
        f"one good video and three empty positions make 1 / 4, yours is {short}: divide by k."
    )
    return "precision looks at what was shown, and a list that is too short pays for it."


WRONG_PRECISION_AT_K = [
    (lambda r, rel, k: sum(v in rel for v in r) / k if len(r) > 1 else 0.25, "cut the list first"),
    (lambda r, rel, k: sum(v in rel for v in r[:k]) / len(r[:k]), "empty positions"),
    (lambda r, rel, k: sum(v in rel for v in r[:k]) / len(rel), "that is recall"),
    (lambda r, rel, k: print(sum(v in rel for v in r[:k]) / k), "returns nothing"),
]


def taste(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a user's profile: the weighted mean of watched videos' vectors, scaled to length 1.

    `vectors` has one row per watched video, `weights` one number per row, such as the watch ratio.
    For example, rows `[3, 0]` and `[0, 4]` with weights 1 and 0 give `[1, 0]`.
    """
    # solution
    mean = weights @ vectors / weights.sum()
    return mean / np.linalg.norm(mean)
    # end solution


def check_taste(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Check an attempt at `taste`."""
    vectors = np.array([[3.0, 0.0], [0.0, 4.0]])
    only = np.asarray(function(vectors, np.array([1.0, 0.0])))
    assert only.shape == (2,), (
        f"a profile has one number per column of the vectors, so the shape is (2,), yours is "
        f"{only.shape}: sum over the videos."
    )
    both = np.asarray(function(vectors, np.array([1.0, 0.5])))
    assert math.isclose(only[1], 0), (
        f"a video with weight 0 must not count: the second number is 0, yours is {only[1]}."
    )
    assert np.allclose([np.linalg.norm(only), np.linalg.norm(both)], 1), (
        "scale the mean to length 1 at the end: divide it by its own `np.linalg.norm`."
    )
    assert np.allclose(both, np.array([3, 2]) / math.sqrt(13)), (
        f"weights 1 and 0.5 make the direction of [3, 2], yours is {both}."
    )
    return "what was watched longer pulls the profile further."


WRONG_TASTE = [
    (lambda vectors, weights: weights @ vectors / weights.sum(), "length 1"),
    (lambda vectors, weights: weights @ vectors / (weights @ vectors).sum(), "length 1"),
    (
        lambda vectors, weights: vectors.mean(0) / np.linalg.norm(vectors.mean(0)),
        "weight 0 must not count",
    ),
    (lambda vectors, weights: weights[:, None] * vectors, "sum over the videos"),
    (
        lambda vectors, weights: (lambda m: m / np.linalg.norm(m))(
            np.sign(weights) @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        ),
        "direction of",
    ),
]
