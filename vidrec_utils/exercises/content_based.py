"""Exercises of `07_content_based`: the next pick of MMR, and a profile that forgets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def next_pick(
    relevance: np.ndarray, similarity: np.ndarray, picked: list[int], balance: float
) -> int:
    """Return the candidate not in `picked` with the largest marginal relevance.

    That is `balance * relevance[i] - (1 - balance) * (largest similarity[i, j], j picked)`; with
    nothing picked, the most relevant.
    """
    # solution
    nearest = similarity[:, picked].max(axis=1) if picked else np.zeros(len(relevance))
    gain = balance * relevance - (1 - balance) * nearest
    gain[picked] = -np.inf
    return int(gain.argmax())
    # end solution


def _candidates() -> tuple[np.ndarray, np.ndarray]:
    relevance = np.array([1.0, 0.9, 0.5, 0.4])
    similarity = np.eye(4)
    similarity[0, 1] = similarity[1, 0] = 0.8
    similarity[1, 2] = similarity[2, 1] = -0.6
    similarity[2, 3] = similarity[3, 2] = 0.9
    return relevance, similarity


def check_next_pick(function: Callable[[np.ndarray, np.ndarray, list[int], float], int]) -> str:
    """Check an attempt at `next_pick` on four candidates, two pairs of which are similar."""
    relevance, similarity = _candidates()
    first = function(relevance, similarity, [], 0.5)
    assert np.ndim(first) == 0, "return one candidate, a number, not a list of them."
    assert first == 0, f"with nothing picked the most relevant comes first: 0, not {first}."
    second = function(relevance, similarity, [0], 0.5)
    assert second != 0, "candidate 0 is picked already; leave out what is in `picked`."
    assert second == 2, (
        f"after 0 comes 2, not {second}: candidate 1 is more relevant, but so similar to 0 that it "
        "adds less; subtract its similarity."
    )
    # 1 gains .45 - .4 and 3 gains .2 - .45; by the mean similarity 1 and 3 would not change, by
    # the last pick alone 1 gains .75
    third = function(relevance, similarity, [0, 3], 0.3)
    assert third == 1, (
        f"after 0 and 3, at balance 0.3, comes 1, not {third}: what counts is the largest "
        "similarity to any pick, and the balance that was given."
    )
    assert function(relevance, similarity, [0], 1.0) == 1, "at balance 1 only relevance counts."
    fresh, _ = _candidates()
    assert np.array_equal(relevance, fresh), "the caller's relevance was changed; copy it first."
    return "each pick is relevant and unlike the picks before it."


def _changes(relevance: np.ndarray, similarity: np.ndarray, picked: list[int], balance: float):
    pick = next_pick(relevance, similarity, picked, balance)
    if balance == 1.0:
        relevance[pick] = -np.inf
    return pick


def _repeats(relevance: np.ndarray, similarity: np.ndarray, picked: list[int], balance: float):
    nearest = similarity[:, picked].max(axis=1) if picked else np.zeros(len(relevance))
    return int((relevance - 0.5 * balance * nearest).argmax())


WRONG_NEXT_PICK = [
    (lambda r, s, picked, balance: print(next_pick(r, s, picked, balance)), "returns nothing"),
    (lambda relevance, similarity, picked, balance: relevance.argsort()[::-1], "a number"),
    (lambda relevance, similarity, picked, balance: int(relevance.argmin()), "most relevant"),
    (_repeats, "picked already"),
    (lambda r, s, picked, balance: next_pick(r, s, picked, 1.0), "subtract its similarity"),
    (lambda r, s, picked, balance: next_pick(r, s, picked, 0.5), "balance 1"),
    (_changes, "was changed"),
]


def fading_profile(vectors: np.ndarray, days_ago: np.ndarray, half_life: float) -> np.ndarray:
    """Return the weighted mean of the rows, each weight halved every `half_life` days of age."""
    # solution
    weights = 0.5 ** (days_ago / half_life)
    return weights @ vectors / weights.sum()
    # end solution


def check_fading_profile(function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> str:
    """Check an attempt at `fading_profile` on three videos, by hand."""
    vectors, days = np.array([[4.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), np.array([0.0, 7.0, 14.0])
    got = function(vectors, days, 7.0)
    assert np.shape(got) == (2,), f"a profile is one vector of 2 numbers, not {np.shape(got)}."
    assert not np.allclose(got, [4 / 3, 2 / 3]), "that is the plain mean: let age lower the weight."
    assert not np.allclose(got, [4, 1]), "divide by the sum of the weights: a mean, not a sum."
    assert np.allclose(got, [16 / 7, 4 / 7]), (
        f"the weights are 1, 1/2 and 1/4, so the profile is [16/7, 4/7], yours is {got}."
    )
    assert not np.allclose(function(vectors, days, 14.0), got), (
        "use the argument `half_life`, not a number of your own."
    )
    return "old events fade, and none is ever quite forgotten."


WRONG_FADING_PROFILE = [
    (lambda v, days_ago, half_life: print(fading_profile(v, days_ago, half_life)), "nothing"),
    (lambda vectors, days_ago, half_life: vectors, "one vector"),
    (lambda vectors, days_ago, half_life: vectors.mean(axis=0), "plain mean"),
    (lambda vectors, days_ago, half_life: 0.5 ** (days_ago / half_life) @ vectors, "not a sum"),
    (lambda vectors, days_ago, half_life: np.exp(-days_ago / half_life) @ vectors, "1/2 and 1/4"),
    (lambda vectors, days_ago, half_life: fading_profile(vectors, days_ago, 7.0), "`half_life`"),
]
