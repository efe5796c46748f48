"""Exercises of `00_tour`: the measure, the baseline and the profile, each in a few lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def precision_at_k(recommended: list[str], relevant: set[str], k: int) -> float:
    """Return which part of the first k recommended videos is relevant.

    Divide by k even when fewer than k videos were recommended: an empty place pleased nobody.
    For example, `["a", "b", "c"]` with relevant `{"b", "z"}` at k = 2 gives 1 / 2.
    """
    # solution
    hits = sum(video_id in relevant for video_id in recommended[:k])
    return hits / k
    # end solution


def check_precision_at_k(function: Callable[[list[str], set[str], int], float]) -> str:
    """Check an attempt at `precision_at_k`."""
    plain = function(["a", "b", "c"], {"b", "z"}, 2)
    assert plain is not None, "your function returns nothing; end it with `return`."
    assert math.isclose(plain, 1 / 2), (
        f"of the first two videos only b is relevant, which is 1 / 2, yours is {plain}: look at "
        "the first k alone, and divide by k."
    )
    late = function(["a", "b", "c"], {"c"}, 2)
    assert late == 0, "the third video does not count at k = 2; cut the list first."
    short = function(["a"], {"a"}, 4)
    assert math.isclose(short, 1 / 4), (
        f"one good video and three empty places make 1 / 4, yours is {short}: divide by k."
    )
    return "precision looks at what was shown, and a list that is too short pays for it."


WRONG_PRECISION_AT_K = [
    (lambda r, rel, k: sum(v in rel for v in r) / k if len(r) > 1 else 0.25, "cut the list first"),
    (lambda r, rel, k: sum(v in rel for v in r[:k]) / len(r[:k]), "empty places"),
    (lambda r, rel, k: sum(v in rel for v in r[:k]) / len(rel) / 2, "divide by k"),
    (lambda r, rel, k: print(sum(v in rel for v in r[:k]) / k), "returns nothing"),
]


def majority_accuracy(train_labels: list[str], test_labels: list[str]) -> float:
    """Return the accuracy of always guessing the most frequent label of the training set.

    It is what a classifier must beat before anybody may call it good.
    For example, `["cat", "cat", "dog"]` tested on `["cat", "dog", "dog", "dog"]` gives 1 / 4.
    """
    # solution
    guess = max(set(train_labels), key=train_labels.count)
    return sum(label == guess for label in test_labels) / len(test_labels)
    # end solution


def check_majority_accuracy(function: Callable[[list[str], list[str]], float]) -> str:
    """Check an attempt at `majority_accuracy`."""
    plain = function(["cat", "cat", "dog"], ["cat", "dog", "dog", "dog"])
    assert plain is not None, "your function returns nothing; end it with `return`."
    assert plain != 3 / 4, (
        "you took the most frequent label of the test set; a baseline may only know the training "
        "set."
    )
    assert math.isclose(plain, 1 / 4), (
        f"cat is the most frequent training label and right for one of four, yours is {plain}."
    )
    unseen = function(["cat"], ["dog", "dog"])
    assert unseen == 0, "a label that never occurs in the test set is never right."
    return "a score means something only beside what a guess that looks at nothing would reach."


WRONG_MAJORITY_ACCURACY = [
    (lambda train, test: max(test.count(label) for label in test) / len(test), "training set"),
    (lambda train, test: 1 / len(set(train)), "right for one of four"),
    (
        lambda train, test: max(train.count(label) for label in train) / len(train),
        "right for one of four",
    ),
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
    only = function(vectors, np.array([1.0, 0.0]))
    assert only is not None, "your function returns nothing; end it with `return`."
    only = np.asarray(only)
    assert only.shape == (2,), (
        f"a profile has one number per column of the vectors, so the shape is (2,), yours is "
        f"{only.shape}: sum over the videos."
    )
    assert not np.allclose(only, [3, 0]), "scale the mean to length 1 at the end."
    assert np.allclose(only, [1, 0]), (
        f"a video with weight 0 must not count: expected [1, 0], yours is {only}."
    )
    both = np.asarray(function(vectors, np.array([1.0, 0.5])))
    assert np.allclose(both, np.array([3, 2]) / math.sqrt(13)), (
        f"weights 1 and 0.5 make the direction of [3, 2], yours is {both}."
    )
    return "what was watched longer pulls the profile further."


WRONG_TASTE = [
    (lambda vectors, weights: weights @ vectors / weights.sum(), "length 1"),
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
