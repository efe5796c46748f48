"""Exercises of `09_hybrid`: fuse lists by rank, and correct a sampled softmax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


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


def corrected(scores: np.ndarray, share: np.ndarray, drawn: int) -> np.ndarray:
    """Return log-Q corrected scores of `drawn` sampled videos: `s - log(drawn * share)`."""
    # solution
    return scores - np.log(drawn * share)
    # end solution


def check_corrected(function: Callable[..., np.ndarray]) -> str:
    """Check an attempt at `corrected` by what it is for: the sum over samples is the full sum."""
    rng = np.random.default_rng(0)
    scores, share = rng.normal(size=20), rng.dirichlet(np.ones(20))
    before = scores.copy()
    got = function(scores, share, 50)
    assert np.shape(got) == (20,), f"one number for each score, so (20,), not {np.shape(got)}."
    assert np.array_equal(scores, before), "the caller's scores were changed; return new ones."
    estimate = 50 * (share * np.exp(got)).sum()  # what 50 draws by `share` give on average
    full = np.exp(scores).sum()
    assert not np.isclose(estimate, 50 * (share * np.exp(scores)).sum()), (
        "nothing is corrected: popular videos are drawn more often, and count more often."
    )
    plus = 50 * (share * np.exp(scores + np.log(50 * share))).sum()
    assert not np.isclose(estimate, plus), "the sign is wrong: what is drawn often must weigh less."
    assert not np.isclose(estimate, 50 * full), (
        "you use the share alone; with `drawn` samples a video is drawn `drawn * share` times."
    )
    assert np.isclose(estimate, full), (
        f"the corrected sum is {estimate:.2f} on average, the sum over the catalogue {full:.2f}."
    )
    return "on average the sum over samples is the sum over the catalogue, whoever is popular."


WRONG_CORRECTED = [
    (lambda scores, share, drawn: scores, "nothing is corrected"),
    (lambda scores, share, drawn: scores + np.log(drawn * share), "sign is wrong"),
    (lambda scores, share, drawn: scores - np.log(share), "share alone"),
    (lambda scores, share, drawn: scores - drawn * share, "on average"),
    (lambda scores, share, drawn: (scores - np.log(drawn * share)).sum(), "one number for each"),
    (lambda scores, share, drawn: scores.__isub__(np.log(drawn * share)), "were changed"),
    (lambda scores, share, drawn: print(scores), "returns nothing"),
]
