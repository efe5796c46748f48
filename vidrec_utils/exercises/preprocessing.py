"""Exercises of `01_preprocessing`: decibels, splits, limits of a detector, and impossible views."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from vidrec_utils import datasets


def decibels_by_hand() -> float:
    """Return the PSNR of the mean of sixteen frames, in decibels, computed on paper.

    Nothing moves in the clip. White noise of a standard deviation of 20 grey levels lies on each of
    its frames, and the peak is 255. Round to whole decibels.
    """
    # solution
    return 34  # 16 frames leave a deviation of 20 / 4 = 5, and 20 log10(255 / 5) = 34.2
    # end solution


def check_decibels_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `decibels_by_hand` returns."""
    answer = function()
    assert round(answer) != 22, "that is a single frame; averaging sixteen lowers the deviation."
    assert round(answer) != 46, (
        "the *variance* is divided by sixteen, so the standard deviation by four only."
    )
    assert round(answer) != 17, "a ratio of amplitudes, 255 / 5, is squared: 20 log10, not 10."
    assert round(answer) == 34, f"20 log10(255 / 5) is not {answer}."
    return "each time that you average four times as many frames, you gain six decibels."


WRONG_DECIBELS_BY_HAND = [
    (lambda: 22, "a single frame"),
    (lambda: 46, "the *variance*"),
    (lambda: 17, "is squared"),
    (lambda: 1, "is not 1"),
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


def precision_and_recall(distances: list[float], copies: list[bool], limit: float) -> tuple:
    """Return `(precision, recall)` of the rule that pairs up to a limit of distance are copies.

    `distances` are bits of 64, and `copies` says which pairs are copies. Where nothing is accused,
    precision is NaN; where there is no copy, recall is NaN.
    For example, distances `[2, 5, 9]` of pairs that are `[True, False, True]` give `(0.5, 0.5)` at
    a limit of 5.
    """
    # solution
    accused = [copy for d, copy in zip(distances, copies, strict=True) if d <= limit]
    precision = sum(accused) / len(accused) if accused else math.nan
    recall = sum(accused) / sum(copies) if any(copies) else math.nan
    return precision, recall
    # end solution


def check_precision_and_recall(function: Callable[[list[float], list[bool], float], tuple]) -> str:
    """Check an attempt at `precision_and_recall`, with limits that accuse nobody or everybody."""
    pair = function([2, 4, 9, 11, 30], [True, False, True, True, False], 5)
    assert isinstance(pair, tuple), "return two numbers, `precision, recall`."
    assert len(pair) == 2, "return two numbers, `precision, recall`."
    precision, recall = pair
    assert not (math.isclose(precision, 1 / 3) and math.isclose(recall, 1 / 2)), (
        "the two are swapped: precision is the share of the accused, and recall that of the copies."
    )
    assert not math.isclose(precision, 1 / 5), "precision divides by the accused, not by all pairs."
    assert math.isclose(precision, 1 / 2), f"1 of the 2 accused is a copy, yours says {precision}."
    assert math.isclose(recall, 1 / 3), f"1 of 3 copies is detected, yours says {recall}."
    edge = function([2, 5, 9], [True, False, True], 5)
    assert math.isclose(edge[0], 0.5), "a distance equal to the limit is accused."
    silent = function([9.0], [True], 1)
    assert math.isnan(silent[0]), f"nobody is accused, so precision is NaN, not {silent[0]}."
    assert silent[1] == 0, f"the only copy is missed: recall is 0, not {silent[1]}."
    clean = function([1.0], [False], 5)
    assert math.isnan(clean[1]), f"there is no copy to detect: recall is NaN, not {clean[1]}."
    return "raise the limit: recall can only rise, while precision usually falls."


def _counted(
    distances: list[float], copies: list[bool], limit: float, strict: bool = False
) -> tuple[int, int, int]:
    """Copies among the accused, all accused, all copies."""
    pairs = list(zip(distances, copies, strict=True))
    accused = [copy for d, copy in pairs if d < limit or (d == limit and not strict)]
    return sum(accused), len(accused), sum(copies)


def _ratios(hits: int, accused: int, copies: int, empty: float = math.nan) -> tuple[float, float]:
    return (hits / accused if accused else empty, hits / copies if copies else empty)


WRONG_PRECISION_AND_RECALL = [
    (lambda d, c, limit: _ratios(*_counted(d, c, limit))[::-1], "swapped"),
    (lambda d, c, limit: (_counted(d, c, limit)[0] / len(d), 0.0), "not by all pairs"),
    (lambda d, c, limit: _ratios(*_counted(d, c, limit, strict=True)), "is accused"),
    (lambda d, c, limit: _ratios(*_counted(d, c, limit), empty=1.0), "precision is NaN"),
    (
        lambda d, c, limit: (
            _ratios(*_counted(d, c, limit))[0],
            _ratios(*_counted(d, c, limit), empty=0.0)[1],
        ),
        "recall is NaN",
    ),
    (lambda d, c, limit: _ratios(*_counted(d, c, limit))[0], "two numbers"),
]


def watched_too_early(library: datasets.VideoLibrary) -> list[str]:
    """Return the videos that somebody watched before they were published, in alphabetical order.

    `library.interactions` has `video_id` and `timestamp`, `library.videos` is indexed by video id
    and has `published_at`. An exposure without a time, or of a video without a date, proves
    nothing.
    """
    # solution
    log = library.interactions
    published = log["video_id"].map(library.videos["published_at"])
    early = log["timestamp"] < published  # a comparison with NaT is False
    return sorted(log.loc[early, "video_id"].unique())
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five videos, of which one was watched too early, twice."""
    days = ["2025-03-05", "2025-03-05", None, "2025-03-05", "2025-03-01"]
    videos = pd.DataFrame({"video_id": [f"v{k}" for k in range(5)], "published_at": days})
    videos.assign(title="a clip").to_csv(folder / "videos.csv", index=False)
    watched = [
        ("v3", "2025-03-04T08:00:00Z"),  # the day before
        ("v3", "2025-03-03T08:00:00Z"),
        ("v3", "2025-03-06T08:00:00Z"),
        ("v0", "2025-03-05T00:00:00Z"),  # at the very moment
        ("v1", "2025-03-07T08:00:00Z"),
        ("v2", "2025-03-01T08:00:00Z"),  # of a video without a date
        ("v4", None),
    ]
    log = pd.DataFrame(watched, columns=["video_id", "timestamp"]).assign(user_id="ann")
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_watched_too_early(function: Callable[[datasets.VideoLibrary], list[str]]) -> str:
    """Check an attempt at `watched_too_early` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        answer = function(_five_videos(Path(folder)))
    ids = [str(video_id) for video_id in answer]
    assert ids != ["v3", "v3"], "name each video once, however often it was watched too early."
    assert "v0" not in ids, (
        "v0 was watched at the very second of its publication: that is possible."
    )
    assert "v2" not in ids, "v2 has no date of publication, so nothing is known about it."
    assert "v4" not in ids, "the exposure of v4 has no time, and NaT is not early."
    assert "v1" not in ids, "v1 was watched after it was published: compare the other way round."
    assert ids == ["v3"], f"only v3 was watched too early, yours says {ids}."
    return "a wrong clock that stays within possible times is seen by no such check."


def _dates(library: datasets.VideoLibrary) -> tuple[pd.DataFrame, pd.Series]:
    log = library.interactions
    return log, log["video_id"].map(library.videos["published_at"])


def _repeated(library: datasets.VideoLibrary) -> list[str]:
    log, published = _dates(library)
    return sorted(log.loc[log["timestamp"] < published, "video_id"])


def _at_the_second(library: datasets.VideoLibrary) -> list[str]:
    log, published = _dates(library)
    return sorted(log.loc[log["timestamp"] <= published, "video_id"].unique())


def _not_later(library: datasets.VideoLibrary) -> list[str]:
    log, published = _dates(library)
    return sorted(log.loc[~(log["timestamp"] >= published), "video_id"].unique())


def _later(library: datasets.VideoLibrary) -> list[str]:
    log, published = _dates(library)
    return sorted(log.loc[log["timestamp"] > published, "video_id"].unique())


WRONG_WATCHED_TOO_EARLY = [
    (_repeated, "name each video once"),
    (_at_the_second, "at the very second"),
    (_not_later, "no date of publication"),
    (_later, "the other way round"),
    (lambda library: [], "only v3"),
]
