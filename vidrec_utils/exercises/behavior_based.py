"""Exercises of `08_behavior_based`: weigh events, and solve EASE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd


def weigh(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    """Return watch ratio cut to 0..1, plus `like` where `liked`; what is NA adds nothing."""
    # solution
    watched = log["watch_ratio"].clip(0, 1).fillna(0)
    liked = log["liked"].astype("Float64").fillna(0).astype(float)
    return watched + like * liked
    # end solution


def _log() -> pd.DataFrame:
    """Five events: watched in part, played twice, only a like, nothing known, skipped."""
    return pd.DataFrame(
        {
            "watch_ratio": [0.5, 2.0, np.nan, np.nan, 0.0],
            "liked": pd.array([False, True, True, None, None], dtype="boolean"),
        },
        index=[7, 3, 5, 1, 9],
    )


def check_weigh(function: Callable[..., pd.Series]) -> str:
    """Check an attempt at `weigh` on five events, two of them partly unknown."""
    log = _log()
    got = function(log, like=2.0)
    assert isinstance(got, pd.Series), "return a Series, one weight for each event."
    assert len(got) == len(log), (
        f"there are {len(log)} events and {len(got)} weights: an event that lacks a signal is "
        "still an event, with what is known of it."
    )
    assert log.equals(_log()), "the caller's log was changed; compute new columns instead."
    assert got.index.equals(log.index), "keep the index of the log, or the weights go astray."
    assert not got.isna().any(), (
        "a weight is NA: a number plus NA is NA, so fill what is unknown with 0 before adding."
    )
    values = got.astype(float).to_numpy()
    assert values[1] != 4.0, "played twice is not twice the taste: cut the watch ratio to 1."
    assert values[0] == 0.5, f"watched to one half and not liked weighs 0.5, yours is {values[0]}."
    assert values[1] == 3.0, f"watched to the end and liked weighs 1 + 2, yours is {values[1]}."
    assert values[2] == 2.0, (
        f"an event of which only a like is known weighs 2, yours is {values[2]}."
    )
    assert values[3] == values[4] == 0.0, "what is unknown or skipped weighs 0, not less."
    tripled = function(log, like=3.0).astype(float).to_numpy()
    assert tripled[2] == 3.0, "use the argument `like`, not a number of your own."
    return "every event has a weight, and not knowing is not the same as disliking."


def _dropped(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    known = log.dropna()
    return known["watch_ratio"].clip(0, 1) + like * known["liked"].astype(float)


def _disliked(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    liked = log["liked"].map({True: 1.0, False: 0.0}).astype(float).fillna(-1.0)
    return log["watch_ratio"].clip(0, 1).fillna(0) + like * liked


def _overwrites(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    log["watch_ratio"] = log["watch_ratio"].clip(0, 1).fillna(0)
    return weigh(log, like)


WRONG_WEIGH = [
    (lambda log, like=2.0: log["watch_ratio"].clip(0, 1) + like * log["liked"], "is NA"),
    (
        lambda log, like=2.0: (
            log["watch_ratio"].fillna(0) + like * log["liked"].fillna(False).astype(float)
        ),
        "not twice the taste",
    ),
    (lambda log, like=2.0: log["watch_ratio"].clip(0, 1).fillna(0), "weighs 1 + 2"),
    (lambda log, like=2.0: weigh(log, like).to_numpy(), "return a Series"),
    (lambda log, like=2.0: weigh(log, like).reset_index(drop=True), "keep the index"),
    (_dropped, "still an event"),
    (_disliked, "not less"),
    (lambda log, like=2.0: weigh(log), "argument `like`"),
    (_overwrites, "was changed"),
    (lambda log, like=2.0: print(weigh(log, like)), "returns nothing"),
]


def ease(x: np.ndarray, l2: float) -> np.ndarray:
    """Return EASE's weights for `x` (users, videos): `P = (X'X + l2 I)^-1`, `B = -P_ij / P_jj`."""
    # solution
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights
    # end solution


def check_ease(function: Callable[[np.ndarray, float], np.ndarray]) -> str:
    """Check an attempt at `ease` by what makes it a minimum."""
    x = (np.random.default_rng(0).random((40, 6)) < [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).astype(float)
    before, l2 = x.copy(), 5.0
    got = function(x, l2)
    assert np.shape(got) == (6, 6), (
        f"the weights lead from videos to videos, so 6 videos give (6, 6), yours {np.shape(got)}: "
        "is it `x.T @ x`?"
    )
    assert np.array_equal(x, before), "the caller's matrix was changed; work on a new one."
    assert np.allclose(np.diag(got), 0), (
        "the diagonal must be 0: a video that explains itself learns nothing about others."
    )
    gram = x.T @ x
    off = ~np.eye(6, dtype=bool)
    gradient = (gram @ got - gram + l2 * got)[off]
    if not np.allclose(gradient, 0, atol=1e-6):
        expected = ease(x, l2)
        assert not np.allclose(got, -expected), "the sign is wrong: B is *minus* P_ij / P_jj."
        assert not np.allclose(got, expected.T), (
            "each column j is divided by P_jj; yours divides the rows. NumPy divides the columns "
            "when the diagonal is a row, `P / np.diag(P)`."
        )
        assert not np.allclose(got, ease(x, 1e-9)), "`l2` is not used: add `l2 * np.eye(n)`."
        raise AssertionError("this is not the minimum: the gradient off the diagonal is not 0.")
    return "no small change of any weight would fit better: the gradient off the diagonal is 0."


def _raw(x: np.ndarray, l2: float) -> np.ndarray:
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    return -inverse / np.diag(inverse)


def _ridge(x: np.ndarray, l2: float) -> np.ndarray:
    weights = np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ x)
    np.fill_diagonal(weights, 0)
    return weights


WRONG_EASE = [
    (_raw, "diagonal must be 0"),
    (lambda x, l2: ease(x, l2).T, "divides the rows"),
    (lambda x, l2: ease(x.T, l2), "videos to videos"),
    (lambda x, l2: -ease(x, l2), "sign is wrong"),
    (lambda x, l2: ease(x, 1e-9), "`l2` is not used"),
    (_ridge, "not the minimum"),
    (lambda x, l2: print(ease(x, l2)), "returns nothing"),
]
