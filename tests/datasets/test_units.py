"""Units are checked where they are known, before anything is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.helpers import real_data
from vidrec_utils import datasets
from vidrec_utils.datasets import LibraryError, VideoLibrary

NOW = pd.Timestamp("2025-01-01", tz="UTC")


def library(
    ratios: object = np.nan, durations: object = np.nan, times: object = None, n: int = 20
) -> VideoLibrary:
    stamps = pd.date_range("2024-05-01", periods=n, freq="97min", tz="UTC")
    log = pd.DataFrame({"user_id": [f"u{i % 3}" for i in range(n)], "video_id": "v0"})
    log["timestamp"] = stamps if times is None else times
    log["watch_ratio"] = ratios
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(4)], "duration_s": durations})
    return VideoLibrary(videos, log)


def refusal(made: VideoLibrary) -> str:
    with pytest.raises(LibraryError) as caught:
        made.check()
    return str(caught.value)


def test_a_ratio_in_percent_is_refused_with_its_remedy() -> None:
    said = refusal(library([1, 100, 45, 3] * 5))
    assert "1 problem in" in said
    assert "interactions, column watch_ratio: the whole column looks like percentages" in said
    assert "Divide it by 100" in said
    # The quantile decides: one row in twenty may be a video that played all night.
    library([1.0] * 19 + [500.0]).check()
    assert "percentages" in refusal(library([50.0] * 3 + [0.0] * 17))


def test_watched_time_in_place_of_a_ratio_is_refused() -> None:
    said = refusal(library([0, 3000, 15000, 45] * 5))
    assert "looks like seconds or milliseconds watched" in said
    assert "Divide it by the duration in the same unit" in said


@pytest.mark.parametrize("largest", [1.0, 5.0, 10.0])
def test_honest_loops_are_no_percentages(largest: float) -> None:
    library([0.0, 0.5, 1.0, largest] * 5).check()


def test_durations_in_milliseconds_are_refused_with_their_remedy() -> None:
    for durations in ([90_000, 65_000, 80_000, None], [15_000, 12_000, 11_000, 3]):
        said = refusal(library(durations=durations))
        assert "1 problem in" in said
        assert "videos, column duration_s: the whole column looks like milliseconds" in said
        assert "Divide it by 1000" in said


@pytest.mark.parametrize("durations", [[0.8, 3, 60, 600], [5400, 7200, 6000, 86_400], [None] * 4])
def test_clips_and_films_have_honest_durations(durations: list) -> None:
    library(durations=durations).check()


def test_one_time_for_all_events_is_a_finding() -> None:
    made = library(times=pd.Timestamp("2024-05-01T10:00:00Z"), n=80)
    made.check()
    problems = made.problems(NOW)
    first = problems[problems["row"].isna()].squeeze()
    assert first["column"] == "timestamp"
    assert first["problem"] == "all 80 events have the time 2024-05-01T10:00:00Z"
    assert first["severity"] == "warning"
    assert "nothing can be split by time" in first["remedy"]


def test_days_without_hours_are_a_finding() -> None:
    days = pd.date_range("2024-05-01", periods=5, tz="UTC").repeat(4)
    first = library(times=days).problems(NOW).query("row.isna()").squeeze()
    assert first["problem"] == "no time has an hour: 5 days for 20 events"
    assert first["severity"] == "warning"
    one_day = library(times=pd.Timestamp("2024-05-01", tz="UTC"))
    assert "all 20 events" in one_day.problems(NOW)["problem"].iloc[0]


def test_times_of_one_day_with_hours_are_none() -> None:
    hours = pd.date_range("2024-05-01", periods=20, freq="1min", tz="UTC")
    assert not len(library(times=hours).problems(NOW))
    few = library(times=pd.Timestamp("2024-05-01T10:00:00Z"), n=3)  # too few to say
    assert not few.problems(NOW)["problem"].str.contains("events").any()


@pytest.mark.parametrize("name", ["ml-latest-small", "kuairand-pure"])
def test_real_logs_are_in_their_units(name: str) -> None:
    assert not len(datasets.load(real_data.require(name)).problems().query("row.isna()"))
