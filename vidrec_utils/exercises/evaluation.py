"""Exercises of `06_evaluation`: an honest NDCG, and an accuracy that counts classes alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def ndcg(hits: list[bool], n_relevant: int) -> float:
    """Return the NDCG of one list: its gain, as a share of the best possible list's.

    A hit at rank i (from 1) gains `1 / log2(i + 1)`. `hits` says for each rank whether it is
    one; `n_relevant` (at least 1) counts all relevant videos, listed or not. The best list of this
    length has its `min(n_relevant, len(hits))` hits at the top.
    For example, `[False, True]` with `n_relevant` 1 gives about 0.63.
    """
    # solution
    gains = 1 / np.log2(np.arange(2, len(hits) + 2))
    best = gains[: min(n_relevant, len(hits))].sum()
    return float(gains[np.asarray(hits, dtype=bool)].sum() / best)
    # end solution


def check_ndcg(function: Callable[[list[bool], int], float]) -> str:
    """Check an attempt at `ndcg`."""
    first = function([True, False], 1)
    assert np.isfinite(first), "rank 1 gains 1 / log2(1 + 1) = 1; ranks begin at 1, not at 0."
    assert abs(first - 1) < 1e-6, f"a hit at the top of a list is perfect, 1; yours is {first:.3f}."
    second = function([False, True], 1)
    assert abs(second - 0.6309) < 1e-3, (
        f"a hit at rank 2 gains 1 / log2(3) = 0.631 of the best list's 1, yours says {second:.3f}: "
        "the best list has its hits at the top, wherever this one has them."
    )
    missed = function([True, False, False], 2)
    assert abs(missed - 0.6131) < 1e-3, (
        f"one of two relevant videos, at the top of three, gives 0.613, not {missed:.3f}: "
        "the best list would hold both, so count relevant videos that are not on this list."
    )
    long = function([True, True], 9)
    assert abs(long - 1) < 1e-6, (
        f"two ranks with two hits cannot be better: 1, not {long:.3f}. The best list has "
        "min(n_relevant, len(hits)) hits."
    )
    assert function([False, False], 3) == 0, "a list without a hit has the NDCG 0."
    return "the ideal decides the number, so name it whenever you report an NDCG."


def _from_zero(hits: list[bool], n_relevant: int) -> float:
    gains = [1 / np.log2(i + 1) if i else np.inf for i in range(len(hits))]
    return float(sum(g for g, hit in zip(gains, hits, strict=True) if hit))


def _gain(hits: list[bool]) -> float:
    return float((np.asarray(hits) / np.log2(np.arange(2, len(hits) + 2))).sum())


WRONG_NDCG = [
    (_from_zero, "ranks begin at 1"),
    (lambda hits, n: _gain(hits) / max(_gain([True] * sum(hits)), 1e-9), "not on this list"),
    (lambda hits, n_relevant: _gain(hits) / _gain([True] * n_relevant), "cannot be better"),
    (lambda hits, n_relevant: _gain(hits) / _gain([True] * len(hits)), "perfect"),
    (lambda hits, n_relevant: sum(hits) / n_relevant, "rank 2"),
    (lambda hits, n_relevant: print(ndcg(hits, n_relevant)), "returns nothing"),
]


def balanced_accuracy(labels: list[str], predicted: list[str]) -> float:
    """Return the mean over the classes of the share of their examples predicted correctly.

    The classes are those among the labels; each counts the same, however few examples it has.
    For example, labels `["a", "a", "a", "b"]` all predicted as `"a"` give (1 + 0) / 2 = 0.5.
    """
    # solution
    true, guess = np.array(labels), np.array(predicted)
    return float(np.mean([(guess[true == name] == name).mean() for name in set(labels)]))
    # end solution


def check_balanced_accuracy(function: Callable[[list[str], list[str]], float]) -> str:
    """Check an attempt at `balanced_accuracy`."""
    labels = ["a", "a", "a", "b"]
    constant = function(labels, ["a"] * 4)
    assert abs(constant - 0.75) > 1e-9, (
        "0.75 is the plain accuracy, which the common class dominates; average over the classes."
    )
    precise = function(labels, ["a", "a", "b", "b"])
    assert abs(precise - 5 / 6) < 1e-9, (
        f"of the a's two in three are found, of the b's one in one: 5/6 on average, not "
        f"{precise:.3f}. Divide by the examples that are of a class, not by those called so."
    )
    assert abs(constant - 0.5) < 1e-9, (
        f"one class is found whole, the other never: 0.5, not {constant}."
    )
    strange = function(["a", "b"], ["a", "c"])
    assert abs(strange - 0.5) < 1e-9, (
        f"there are two classes among the labels, a and b; c is only a wrong answer: 0.5, not "
        f"{strange:.3f}."
    )
    assert abs(function(["x"], ["x"]) - 1) < 1e-9, "one example, predicted correctly, gives 1."
    return "any constant answer scores one over the number of classes, so nothing is won by it."


def _by_precision(labels: list[str], predicted: list[str]) -> float:
    true, guess = np.array(labels), np.array(predicted)
    shares = [(true[guess == c] == c).mean() if (guess == c).any() else 0.0 for c in set(labels)]
    return float(np.mean(shares))


def _all_names(labels: list[str], predicted: list[str]) -> float:
    true, guess = np.array(labels), np.array(predicted)
    names = set(labels) | set(predicted)
    return float(np.mean([(guess[true == c] == c).mean() if c in labels else 0.0 for c in names]))


WRONG_BALANCED_ACCURACY = [
    (lambda labels, guess: np.mean(np.array(labels) == np.array(guess)), "plain accuracy"),
    (lambda labels, predicted: 5 / 6, "found whole"),
    (_by_precision, "not by those called so"),
    (_all_names, "only a wrong answer"),
    (lambda labels, predicted: print(balanced_accuracy(labels, predicted)), "returns nothing"),
]
