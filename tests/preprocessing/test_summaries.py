import numpy as np
import pandas as pd
import pytest

from vidrec_utils.preprocessing.summaries import class_balance, watch_time_summary


def test_balance_by_hand():
    videos = pd.DataFrame({"category": ["a", "a", "b", np.nan]}, index=list("wxyz"))
    table = class_balance(videos)
    assert table.loc["a"].tolist() == [2, 0.5, 1.0]
    assert table.loc["(missing)"].tolist() == [1, 0.25, 2.0]
    with pytest.raises(KeyError, match="genre"):
        class_balance(videos, "genre")


def test_watch_time_by_hand():
    log = pd.DataFrame(
        {"video_id": ["a", "a", "b", "b"], "watch_ratio": [0.0, 1.0, 0.5, np.nan], "user_id": "u"}
    )
    videos = pd.DataFrame(
        {"duration_s": [3600.0, 7200.0], "category": ["x", "y"]}, index=["a", "b"]
    )
    overall = watch_time_summary(log, videos).loc["all"]
    assert overall["exposures"] == 4
    assert overall["known"] == 3
    assert overall["mean"] == pytest.approx(0.5)
    assert overall["skipped"] == pytest.approx(1 / 3)
    assert overall["completed"] == pytest.approx(1 / 3)
    assert overall["hours"] == pytest.approx(2.0)
    groups = watch_time_summary(log, videos, by="category")
    assert groups.loc["y", "hours"] == pytest.approx(1.0)
    assert groups.loc["y", "known"] == 1
    assert np.isnan(watch_time_summary(log).loc["all", "hours"])
    with pytest.raises(KeyError, match="mood"):
        watch_time_summary(log, videos, by="mood")
