"""Exercises of `02_text_encoders`: from tokens to a vector, and from vectors to a label."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def pool(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean of the vectors of real tokens, leaving padding out.

    `tokens` has one row per token; `mask` holds 1 for a real token and 0 for padding, which fills
    short texts up to the length of the longest.
    For example, rows `[1, 3]`, `[3, 5]` and `[9, 9]` with mask `[1, 1, 0]` give `[2, 4]`.
    """
    # solution
    return mask @ tokens / mask.sum()
    # end solution


def check_pool(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Check an attempt at `pool`."""
    tokens = np.array([[1.0, 3.0], [3.0, 5.0], [9.0, 9.0], [9.0, 9.0]])
    mean = np.asarray(function(tokens, np.array([1, 1, 0, 0])))
    assert mean.shape == (2,), (
        f"a text has one number per column, so the shape is (2,), yours is {mean.shape}: "
        "average over the rows."
    )
    assert not np.allclose(mean, tokens.mean(axis=0)), (
        "the padding counts in your mean; a text must not change with the length of its neighbours."
    )
    assert not np.allclose(mean, [1, 2]), (
        "you divide by the number of all rows; divide by the number of real tokens."
    )
    assert not np.allclose(mean, [4, 8]), "that is the sum; divide by the number of real tokens."
    assert np.allclose(mean, [2, 4]), f"the mean of the real tokens is [2, 4], yours is {mean}."
    whole = np.asarray(function(tokens, np.ones(4)))
    assert np.allclose(whole, tokens.mean(axis=0)), (
        "without padding the mean is over all rows; read the mask instead of assuming its position."
    )
    return "a title has the same vector whatever the others in the batch are."


WRONG_POOL = [
    (lambda tokens, mask: tokens.mean(axis=0), "the padding counts"),
    (lambda tokens, mask: (tokens * mask[:, None]).mean(axis=0), "number of all rows"),
    (lambda tokens, mask: mask @ tokens, "that is the sum"),
    (lambda tokens, mask: tokens[:2].mean(axis=0), "read the mask"),
    (lambda tokens, mask: tokens * mask[:, None], "average over the rows"),
]


def best_label(text: np.ndarray, labels: dict[str, np.ndarray]) -> str:
    """Return the label whose vector has the largest cosine similarity with the text's.

    The cosine is the inner product divided by both lengths, so a long vector has no advantage.
    For example, text `[1, 0]` with labels `{"up": [0, 5], "right": [2, 0]}` gives `"right"`.
    """

    # solution
    def cosine(label: str) -> float:
        vector = labels[label]
        return text @ vector / (np.linalg.norm(text) * np.linalg.norm(vector))

    return max(labels, key=cosine)
    # end solution


def check_best_label(function: Callable[[np.ndarray, dict[str, np.ndarray]], str]) -> str:
    """Check an attempt at `best_label`."""
    plain = {"up": np.array([0.0, 1.0]), "right": np.array([1.0, 0.0])}
    label = function(np.array([1.0, 0.2]), plain)
    assert isinstance(label, str), f"return the label itself, a string; yours is {label!r}."
    assert label == "right", (
        f"[1, 0.2] points to the right, yours is {label!r}: take the largest similarity."
    )
    long = {"up": np.array([0.0, 90.0]), "right": np.array([1.0, 0.0])}
    assert function(np.array([1.0, 0.2]), long) == "right", (
        "a long vector wins in yours: divide the inner product by the label's length."
    )
    far = {"up": np.array([0.0, 1.0]), "right": np.array([60.0, 0.0])}
    assert function(np.array([1.0, 0.2]), far) == "right", (
        "a label that points the right way but is far away loses in yours: compare directions "
        "by the cosine, not positions by the distance."
    )
    angle = math.cos(0.5)
    near = {"behind": np.array([-1.0, 0.0]), "near": np.array([angle, math.sqrt(1 - angle**2)])}
    assert function(np.array([2.0, 0.0]), near) == "near", (
        "a cosine of -1 is the opposite direction: do not take its absolute value."
    )
    return "nothing was trained, the labels' own words did it."


WRONG_BEST_LABEL = [
    (lambda text, labels: max(labels, key=lambda k: text @ labels[k]), "a long vector wins"),
    (
        lambda text, labels: min(labels, key=lambda k: np.linalg.norm(text - labels[k])),
        "by the distance",
    ),
    (lambda text, labels: min(labels, key=lambda k: text @ labels[k]), "largest similarity"),
    (
        lambda text, labels: max(
            labels, key=lambda k: abs(text @ labels[k]) / np.linalg.norm(labels[k])
        ),
        "absolute value",
    ),
    (
        lambda text, labels: int(
            np.argmax([text @ v / np.linalg.norm(v) for v in labels.values()])
        ),
        "a string",
    ),
]
