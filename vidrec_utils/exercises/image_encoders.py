"""Exercises of `03_image_encoders`: what a stack of filters sees, and a cosine without the cone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Return the side of the square of pixels that one output of stacked filters depends on.

    The first filter sees `kernels[0]` pixels. Each later one adds `kernel - 1` steps, and a step is
    as wide as the product of all strides *before* it.
    For example, kernels `[3, 3]` with strides `[1, 1]` give 5, with strides `[2, 1]` 7.
    """
    # solution
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return field
    # end solution


def check_receptive_field(function: Callable[[list[int], list[int]], int]) -> str:
    """Check an attempt at `receptive_field`."""
    plain = function([3, 3], [1, 1])
    assert plain != 6, "two filters of 3 overlap: the second adds 2 pixels, not 3."
    assert plain == 5, f"two filters of 3 see 5 pixels, yours says {plain}."
    assert function([7], [2]) == 7, "a single filter sees its own size, whatever its stride."
    wide = function([3, 3], [2, 1])
    assert wide != 5, "after a stride of 2 neighbours lie 2 pixels apart: widen the step."
    assert wide == 7, (
        f"with strides [2, 1] the field is 7, yours is {wide}: a stride counts for the filters "
        "after it, not for its own."
    )
    deep = function([3, 2, 3, 3], [1, 2, 1, 1])
    assert deep == 12, f"the strides before a filter are multiplied; expected is 12, not {deep}."
    assert function([3, 3, 3], [2, 2, 1]) == 15, "the strides before a filter are multiplied."
    return "small filters in a stack see as far as a large one, with fewer weights."


WRONG_RECEPTIVE_FIELD = [
    (lambda kernels, strides: sum(kernels), "overlap"),
    (lambda kernels, strides: 1 + sum(k - 1 for k in kernels), "widen the step"),
    (
        lambda kernels, strides: (
            1 + sum((k - 1) * math.prod(strides[: i + 1]) for i, k in enumerate(kernels))
        ),
        "whatever its stride",
    ),
    (
        lambda kernels, strides: (
            1 + sum((k - 1) * (1 + sum(s - 1 for s in strides[:i])) for i, k in enumerate(kernels))
        ),
        "multiplied",
    ),
    (lambda kernels, strides: print(5), "returns nothing"),
]


def centred_cosine(a: np.ndarray, b: np.ndarray, mean: np.ndarray) -> float:
    """Return the cosine of two vectors as seen from the mean of all.

    Take the mean from both, then divide their inner product by both lengths.
    For example, `[3, 1]` and `[1, 1]` with mean `[2, 1]` give -1: they lie on opposite sides.
    """
    # solution
    a, b = a - mean, b - mean
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    # end solution


def check_centred_cosine(function: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> str:
    """Check an attempt at `centred_cosine`."""
    a, b, mean = np.array([3.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 1.0])
    kept = a.copy(), b.copy()
    plain = function(a, b, mean)
    assert np.array_equal([a, b], kept), "the caller's vectors were changed; make new ones."
    assert plain < 0, (
        f"the two lie on opposite sides of the mean, so the cosine is -1, yours is {plain}: take "
        "the mean from both first."
    )
    far = function(np.array([6.0, 1.0]), np.array([2.0, 4.0]), np.array([2.0, 1.0]))
    assert math.isclose(far, 0, abs_tol=1e-9), "vectors at right angles have a cosine of 0."
    long = function(np.array([5.0, 5.0]), np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    assert math.isclose(long, 0.8), (
        f"expected is 0.8, yours is {long}: divide by the lengths of the *centred* vectors."
    )
    return "seen from the mean, videos differ that all looked alike from the origin."


def _on_the_callers_arrays(a: np.ndarray, b: np.ndarray, mean: np.ndarray) -> float:
    a -= mean
    b -= mean
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


WRONG_CENTRED_COSINE = [
    (lambda a, b, mean: a @ b / np.linalg.norm(a) / np.linalg.norm(b), "opposite sides"),
    (lambda a, b, mean: (a - mean) @ (b - mean), "centred"),
    (
        lambda a, b, mean: (a - mean) @ (b - mean) / np.linalg.norm(a) / np.linalg.norm(b),
        "centred",
    ),
    (_on_the_callers_arrays, "were changed"),
    (lambda a, b, mean: print(0), "returns nothing"),
]
