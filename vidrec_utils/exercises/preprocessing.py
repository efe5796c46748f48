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
    assert plain is not None, "your function returns nothing; end it with `return`."
    assert plain != 0b0110, "`a ^ b` marks the bits that differ; now count the ones in it."
    assert plain == 2, f"0b1100 and 0b1010 differ in 2 bits, yours says {plain}."
    assert function(0b111, 0b111) == 0, "a hash does not differ from itself: the answer is 0."
    assert function(0b1000, 0b0111) == 4, (
        "0b1000 and 0b0111 have no bit in common and differ in 4: neither the difference of the "
        "numbers nor that of their counts of ones tells; as text they differ in length, so fill "
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


def split_at(log: pd.DataFrame, moment: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return new `(train, test)`: rows before a moment, or from it on; undated in neither."""
    # solution
    train = log[log["timestamp"] < moment]
    test = log[log["timestamp"] >= moment]
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
    log, moment = _log(), pd.Timestamp("2025-03-03 12:00", tz="UTC")
    parts = function(log, moment)
    assert parts is not None, "your function returns nothing; end it with `return train, test`."
    assert isinstance(parts, tuple), "return two frames, `train, test`."
    assert len(parts) == 2, "return two frames, `train, test`."
    assert all(isinstance(part, pd.DataFrame) for part in parts), (
        "return rows, not masks: `log[mask]`."
    )
    train, test = (set(part["video_id"]) for part in parts)
    assert log.equals(_log()), (
        "the caller's log was changed; make new frames instead of writing into it."
    )
    assert not train & test, f"{sorted(train & test)} stands in both parts: a row overlap."
    assert not train & set("ade"), (
        f"{sorted(train & set('ade'))} trains, although it lies after the moment or at no known "
        "time. The log is not sorted, so its rows' places say nothing."
    )
    assert "c" not in train, (
        "the row at the very moment trains: rows of that moment belong to the test, `>=`."
    )
    assert "d" not in test, (
        "the row without a time is tested: `~` turns an unknown comparison into a yes."
    )
    assert (train, test) == ({"b"}, set("ace")), (
        f"expected b to train and a, c, e to test, got {sorted(train)} and {sorted(test)}."
    )
    return "every row that trains is older than every row that is asked for."


def _by_place(log: pd.DataFrame, moment: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    first = int((log["timestamp"] < moment).sum())
    return log.iloc[:first], log.iloc[first:]


def _in_place(log: pd.DataFrame, moment: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    log["part"] = log["timestamp"] >= moment
    return log[~log["part"]], log[log["part"]]


def _negated(log: pd.DataFrame, moment: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    before = log["timestamp"] < moment
    return log[before], log[~before]


WRONG_SPLIT_AT = [
    (lambda log, moment: (log[log["timestamp"] < moment],), "return two frames"),
    (
        lambda log, moment: (log[log["timestamp"] <= moment], log[log["timestamp"] >= moment]),
        "row overlap",
    ),
    (
        lambda log, moment: (log[log["timestamp"] <= moment], log[log["timestamp"] > moment]),
        "belong to the test",
    ),
    (
        lambda log, moment: (log[log["timestamp"] >= moment], log[log["timestamp"] < moment]),
        "lies after the moment",
    ),
    (lambda log, moment: (log["timestamp"] < moment, log["timestamp"] >= moment), "not masks"),
    (_by_place, "is not sorted"),
    (_in_place, "was changed"),
    (_negated, "without a time"),
    (lambda log, moment: print(_by_place(log, moment)), "returns nothing"),
]
