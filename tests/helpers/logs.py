"""Made-up logs of every kind that platforms export, for tests that hold for any log."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

USERS = ["ann", "bob", "cat", "dan", "7", "甲"]
VIDEOS = [f"v{n}" for n in range(8)]
START = pd.Timestamp("2025-03-01", tz="UTC")

TIMES = ("no column", "all missing", "one", "days", "some missing", "no zone", "fine")
"""Kinds of timestamps that a log may have, the last two good enough to be split by."""


def examples(count: int) -> Callable:
    """As many made-up examples, the same ones in each run, none of them kept."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


@st.composite
def logs(draw: st.DrawFn, least: int = 0, most: int = 30, times: tuple = TIMES) -> pd.DataFrame:
    """Who watched what, perhaps when, with any signals, in any order, under any index."""
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    users = USERS[: draw(st.integers(1, len(USERS)))]
    log = pd.DataFrame({"user_id": rng.choice(users, n), "video_id": rng.choice(VIDEOS, n)})
    log = log.astype("str")
    for column, values in _signals(n, rng).items():
        if draw(st.booleans()):
            log[column] = values
    stamps = _timestamps(draw(st.sampled_from(times)), n, rng)
    if stamps is not None:
        log["timestamp"] = stamps
    if n and draw(st.booleans()):
        log.index = rng.integers(0, 3, n)  # as logs that were put together with pd.concat
    return log


def _signals(n: int, rng: np.random.Generator) -> dict[str, pd.Series]:
    """A column of each signal, some or all of it missing."""

    def holes(values: np.ndarray, dtype: str) -> pd.Series:
        missing = rng.random(n) < rng.choice([0, 0.5, 1])
        return pd.Series(values).astype(dtype).mask(missing)

    return {
        "watch_ratio": holes(rng.choice([0, 0.3, 0.8, 1, 2.5], n), "float64"),
        "liked": holes(rng.random(n) < 0.3, "boolean"),
        "shared": holes(rng.random(n) < 0.2, "boolean"),
        "comment": holes(rng.choice(["nice", " ", "?"], n), "str"),
    }


def _timestamps(kind: str, n: int, rng: np.random.Generator) -> pd.Series | None:
    if kind == "no column":
        return None
    minutes = rng.permutation(n * 40)[:n]
    times = pd.Series(START + pd.to_timedelta(minutes, unit="min"))
    if kind == "days":
        times = times.dt.floor("D")
    elif kind == "one":
        times = pd.Series([START] * n, dtype="datetime64[us, UTC]")
    elif kind == "no zone":
        times = times.dt.tz_localize(None)
    elif kind == "all missing":
        times = pd.Series([pd.NaT] * n, dtype="datetime64[us, UTC]")
    elif kind == "some missing":
        times = times.mask(rng.random(n) < 0.3)
    return times


def catalogue() -> pd.DataFrame:
    """All videos, and one that nobody watches, in three categories."""
    ids = pd.Index([*VIDEOS, "never watched"], name="video_id")
    return pd.DataFrame({"category": ["a", "b", "c"] * 3}, index=ids)
