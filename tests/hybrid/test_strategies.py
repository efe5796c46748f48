from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.hybrid import strategies


@pytest.fixture
def groups():
    """Two groups of people who watch what their group watches, and videos named after it."""
    user, step = np.tile(np.arange(30), 5), np.repeat(np.arange(5), 30)
    video = user % 2 * 8 + (user // 2 + np.array([0, 1, 3, 4, 6])[step]) % 8
    log = pd.DataFrame({"user_id": user, "video_id": video}).astype(str)
    log["timestamp"] = pd.date_range("2025-01-01", periods=len(log), freq="h", tz="UTC")
    log["watch_ratio"] = 1.0
    videos = pd.DataFrame({"video_id": [str(n) for n in range(16)]})
    videos["category"] = np.repeat(["cats", "dogs"], 8)
    library = VideoLibrary(videos=videos, interactions=log)
    parts = log[:90], log[90:120], log[120:]
    return library, Split(*parts, videos.set_index("video_id"), "in order")


@pytest.mark.filterwarnings("ignore:The best")  # a grid that ends on so small a log
def test_each_strategy_is_measured_and_compared(groups):
    measured = strategies.measure(*groups, progress=False)
    table = measured.scores.set_index("strategy")
    assert tuple(table.index) == strategies.STRATEGIES
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    for name in ("words", "content", "EASE", "fusion"):  # who knows the groups is ahead
        assert table.at[name, "mean"] > table.at["popularity", "mean"]
    pairs = measured.differences.set_index(["strategy", "against"])["mean"]
    assert set(pairs.index) == set(strategies.PAIRS)
    for (one, other), difference in pairs.items():  # the same users, so means subtract
        assert difference == pytest.approx(table.at[one, "mean"] - table.at[other, "mean"])
    assert (measured.users, measured.videos) == (30, 16)


def test_settings_are_chosen_without_the_test(groups):
    library, split = groups
    other = split.test.assign(video_id=split.test["video_id"].to_numpy()[::-1])
    names = ["EASE"]
    one = strategies.measure(library, split, names, progress=False).scores
    two = strategies.measure(library, replace(split, test=other), names, progress=False).scores
    assert one["settings"].tolist() == two["settings"].tolist()
    assert one["mean"].tolist() != two["mean"].tolist()


def test_what_is_asked_for_has_to_exist(groups):
    with pytest.raises(ValueError, match="strategy"):
        strategies.measure(*groups, ["magic"])
    with pytest.raises(ValueError, match="only is empty"):
        strategies.measure(*groups, [])


def test_what_is_recorded_is_read_again(groups, tmp_path, monkeypatch):
    monkeypatch.setattr(strategies, "RECORD", tmp_path / "record.csv")
    one = strategies.measure(*groups, ["popularity", "EASE"], progress=False)
    strategies.record({"small": one, "again": one})
    again = strategies.recorded()
    assert list(again) == ["small", "again"]
    pd.testing.assert_frame_equal(again["small"].scores, one.scores, atol=1e-5)
    pd.testing.assert_frame_equal(again["again"].differences, one.differences, atol=1e-5)
    assert (again["small"].users, again["small"].videos) == (one.users, one.videos)


def test_differences_are_rearranged_by_pair(groups):
    one = strategies.measure(*groups, ["popularity", "EASE"], progress=False)
    none = strategies.measure(*groups, ["popularity"], progress=False)
    tables = strategies.by_pair(
        {"first": one, "second": one, "third": none}, [("EASE", "popularity")]
    )
    table = tables["EASE minus popularity"]
    assert table.index.tolist() == ["first", "second"]
    assert table.loc["first"].tolist() == one.differences.loc[0, ["mean", "low", "high"]].tolist()


def test_the_package_has_a_record_of_real_logs():
    measured = strategies.recorded()
    assert next(iter(measured)) == "MiniTube"
    assert {"MovieLens-100K", "MovieLens-latest-small", "KuaiRand-Pure"} < set(measured)
    for one in measured.values():
        table = one.scores.set_index("strategy")["mean"]
        assert tuple(table.index) == strategies.STRATEGIES
        pairs = one.differences.set_index(["strategy", "against"])["mean"]
        for a, b in strategies.PAIRS:  # paired on the same users, so that means subtract
            assert pairs[a, b] == pytest.approx(table[a] - table[b], abs=3e-5)


def test_users_are_drawn_for_validation_and_test_alone(groups):
    split = groups[1]
    few = strategies.of_users(split, 5, seed=1)
    assert few.train is split.train
    assert few.validation["user_id"].nunique() == few.test["user_id"].nunique() == 5
    assert few.test.index.isin(split.test.index).all()
    assert strategies.of_users(split, 1_000).test.equals(split.test)
