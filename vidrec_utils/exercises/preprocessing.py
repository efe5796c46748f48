"""Exercises of `01_preprocessing`: compare two hashes, and split a log without a leak."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd


def differing_bits(a: int, b: int) -> int:
    """Return in how many bits two hashes differ: `0b1100` and `0b1010` differ in two."""
    # solution
    return (a ^ b).bit_count()
    # end solution


def check_differing_bits(function: Callable[[int, int], int]) -> str:
    """Check an attempt at `differing_bits`, from equal hashes to those of 64 bits."""
    plain = function(0b1100, 0b1010)
    assert plain != 0b0110, "`a ^ b` marks the bits that differ; now count the ones in it."
    assert plain == 2, f"0b1100 and 0b1010 differ in 2 bits, yours says {plain}."
    assert function(0b111, 0b111) == 0, "a hash does not differ from itself: the answer is 0."
    assert function(0b1000, 0b0111) == 4, (
        "0b1000 and 0b0111 have no bit in common and differ in 4: neither the difference of the "
        "numbers nor that of their counts of ones is right; as text they differ in length, so fill "
        "with zeros first, or use `a ^ b`."
    )
    long = function(2**64 - 1, 0)
    assert long == 64, f"a perceptual hash has 64 bits, and all may differ; yours says {long}."
    assert function(0, 1 << 63) == 1, "the highest bit counts like any other."
    return "near hashes differ in few bits, however far apart they lie as numbers."


WRONG_DIFFERING_BITS = [
    (lambda a, b: a ^ b, "count the ones"),
    (lambda a, b: (a & b).bit_count(), "differ in 2 bits"),
    (lambda a, b: abs(a - b), "neither the difference of the numbers"),
    (lambda a, b: abs(a.bit_count() - b.bit_count()), "differ in 2 bits"),
    (lambda a, b: int(a != b), "differ in 2 bits"),
    (lambda a, b: sum((a ^ b) >> k & 1 for k in range(32)), "64 bits"),
    (lambda a, b: sum(p != q for p, q in zip(bin(a), bin(b), strict=False)), "fill with zeros"),
    (lambda a, b: print((a ^ b).bit_count()), "returns nothing"),
]


def split_at(log: pd.DataFrame, timestamp: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return new `(train, test)`: rows before a timestamp, or from it on; undated in neither."""
    # solution
    train = log[log["timestamp"] < timestamp]
    test = log[log["timestamp"] >= timestamp]
    return train, test
    # end solution


def _log() -> pd.DataFrame:
    """Five rows out of order, one of them exactly at noon and one without a time."""
    days = ["2025-03-05", "2025-03-01", "2025-03-03 12:00", None, "2025-03-04"]
    times = pd.to_datetime(pd.Series(days), format="mixed", utc=True)
    return pd.DataFrame({"video_id": list("abcde"), "timestamp": times})


def check_split_at(
    function: Callable[[pd.DataFrame, pd.Timestamp], tuple[pd.DataFrame, pd.DataFrame]],
) -> str:
    """Check an attempt at `split_at` on rows that are not sorted."""
    log, timestamp = _log(), pd.Timestamp("2025-03-03 12:00", tz="UTC")
    frames = function(log, timestamp)
    assert isinstance(frames, tuple), "return two frames, `train, test`."
    assert len(frames) == 2, "return two frames, `train, test`."
    assert all(isinstance(frame, pd.DataFrame) for frame in frames), (
        "return rows, not masks: `log[mask]`."
    )
    train, test = (set(frame["video_id"]) for frame in frames)
    assert log.equals(_log()), (
        "the caller's log was changed; make new frames instead of writing into it."
    )
    assert not train & test, f"{sorted(train & test)} is in both parts: a row overlap."
    assert not train & set("ade"), (
        f"{sorted(train & set('ade'))} trains, although it lies after the timestamp or at no known "
        "time. The log is not sorted, so the rows' positions say nothing."
    )
    assert "c" not in train, (
        "a row at exactly the timestamp trains: rows of that time belong to the test, `>=`."
    )
    assert "d" not in test, (
        "the row without a time is tested: `~` turns an unknown comparison into a yes."
    )
    assert (train, test) == ({"b"}, set("ace")), (
        f"expected b to train and a, c, e to test, got {sorted(train)} and {sorted(test)}."
    )
    return "every row that trains is older than every row that is asked for."


def _by_position(log: pd.DataFrame, timestamp: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    first = int((log["timestamp"] < timestamp).sum())
    return log.iloc[:first], log.iloc[first:]


def _into_the_log(log: pd.DataFrame, timestamp: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    log["part"] = log["timestamp"] >= timestamp
    return log[~log["part"]], log[log["part"]]


def _negated(log: pd.DataFrame, timestamp: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    before = log["timestamp"] < timestamp
    return log[before], log[~before]


WRONG_SPLIT_AT = [
    (lambda log, timestamp: (log[log["timestamp"] < timestamp],), "return two frames"),
    (
        lambda log, timestamp: (
            log[log["timestamp"] <= timestamp],
            log[log["timestamp"] >= timestamp],
        ),
        "row overlap",
    ),
    (
        lambda log, timestamp: (
            log[log["timestamp"] <= timestamp],
            log[log["timestamp"] > timestamp],
        ),
        "belong to the test",
    ),
    (
        lambda log, timestamp: (
            log[log["timestamp"] >= timestamp],
            log[log["timestamp"] < timestamp],
        ),
        "lies after the timestamp",
    ),
    (
        lambda log, timestamp: (log["timestamp"] < timestamp, log["timestamp"] >= timestamp),
        "not masks",
    ),
    (_by_position, "is not sorted"),
    (_into_the_log, "was changed"),
    (_negated, "without a time"),
    (lambda log, timestamp: print(_by_position(log, timestamp)), "returns nothing"),
]
