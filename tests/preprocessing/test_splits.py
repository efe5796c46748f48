import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.datasets import Split
from vidrec_utils.preprocessing.splits import (
    LeakError,
    check_split,
    describe_split,
    leave_last_out,
    split_by_time,
    split_grouped,
    split_stratified,
)

START = pd.Timestamp("2025-03-01", tz="UTC")


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    ids = [f"v{k}" for k in range(40)]
    videos = pd.DataFrame(
        {
            "uploader": [f"c{k % 10}" for k in range(40)],
            "category": ["rare"] * 4 + ["common"] * 36,
            "published_at": START - pd.Timedelta(days=1),
        },
        index=pd.Index(ids, name="video_id"),
    )
    log = pd.DataFrame(
        {
            "user_id": rng.choice([f"u{k}" for k in range(15)], 400),
            "video_id": rng.choice(ids, 400),
            "timestamp": START + pd.to_timedelta(rng.permutation(400), unit="h"),
        }
    )
    return log, videos


def parts(split):
    return split.train, split.validation, split.test


def assert_partition(split, frame):
    joined = pd.concat(parts(split)).sort_index()
    pd.testing.assert_frame_equal(joined, frame.sort_index())


def test_shares_in_time(world):
    log, videos = world
    before = log.copy()
    split = split_by_time(log, videos, validation=0.1, test=0.2)
    assert [len(p) for p in parts(split)] == [280, 40, 80]
    assert split.train["timestamp"].max() < split.validation["timestamp"].min()
    assert split.validation["timestamp"].max() < split.test["timestamp"].min()
    assert_partition(split, log)
    assert check_split(split).empty
    pd.testing.assert_frame_equal(log, before)


def test_moments_in_time_and_ties(world):
    log, videos = world
    border = START + pd.Timedelta(hours=300)
    split = split_by_time(log, videos, validation=border, test=border + pd.Timedelta(hours=50))
    assert [len(p) for p in parts(split)] == [300, 50, 50]
    tied = log.assign(timestamp=START + pd.to_timedelta(np.repeat([0, 1], 200), unit="h"))
    split = split_by_time(tied, videos, validation=0.0, test=0.3)
    assert [len(p) for p in parts(split)] == [200, 0, 200]  # rows of one moment stay together
    assert check_split(split).empty
    assert len(split_by_time(log, videos, validation=0.1, test=0.0).test) == 0
    with pytest.raises(ValueError, match="after test"):
        split_by_time(log, videos, validation="2025-03-15", test="2025-03-10")
    with pytest.raises(ValueError, match="less than 1"):
        split_by_time(log, videos, validation=0.5, test=0.5)
    log.loc[3, "timestamp"] = pd.NaT
    with pytest.raises(ValueError, match="1 of 400"):
        split_by_time(log, videos)


def test_a_share_before_a_moment_must_fit(world):
    log, videos = world
    border = START + pd.Timedelta(hours=300)  # a quarter of the 400 hours lies after it
    split = split_by_time(log, videos, validation=0.25, test=border)
    assert [len(p) for p in parts(split)] == [200, 100, 100]
    for share in (1.1, 0.75, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"holds 25.0% of the exposures"):
            split_by_time(log, videos, validation=share, test=border)
    for share in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="less than 1"):
            split_by_time(log, videos, validation=border, test=share)


def test_logs_that_repeat_their_index(world):
    """What `pd.concat([a, b])` gives is split as the same rows with an index of their own."""
    log, videos = world
    repeated = log.set_axis([*range(200)] * 2)
    before = repeated.copy()
    splitters = {
        "time": split_by_time,
        "last": leave_last_out,
        "stratified": lambda *tables: split_stratified(*tables, by="category"),
        "own column": lambda rows, v: split_stratified(rows, v, by="user_id"),
        "grouped": lambda *tables: split_grouped(*tables, by="uploader"),
    }
    for name, splitter in splitters.items():
        split, usual = splitter(repeated, videos), splitter(log, videos)
        for part, same in zip(parts(split), parts(usual), strict=True):
            pd.testing.assert_frame_equal(
                part.reset_index(drop=True), same.reset_index(drop=True), obj=name
            )
        assert check_split(split, strict=False).equals(check_split(usual, strict=False)), name
    pd.testing.assert_frame_equal(repeated, before)


def test_leave_last_out(world):
    log, videos = world
    split = leave_last_out(log, videos)
    assert len(split.test) == len(split.validation) == 15
    last = log.groupby("user_id")["timestamp"].max()
    assert (split.test.set_index("user_id")["timestamp"].sort_index() == last.sort_index()).all()
    assert_partition(split, log)
    leaks = check_split(split, strict=False)
    assert set(leaks["leak"]) == {"time travel"}  # the others' future is in training
    light = log.groupby("user_id").head(2)
    assert len(leave_last_out(light, videos).train) == len(light)


def test_stratified_shares(world):
    _, videos = world
    split = split_stratified(videos, videos, by="category", validation=0.25, test=0.25, seed=1)
    assert_partition(split, videos)
    for part in parts(split):
        assert (part["category"] == "rare").sum() in (1, 2)
    assert check_split(split).empty
    same = split_stratified(videos, videos, by="category", validation=0.25, test=0.25, seed=1)
    assert list(same.test.index) == list(split.test.index)
    other = split_stratified(videos, videos, by="category", validation=0.25, test=0.25, seed=2)
    assert list(other.test.index) != list(split.test.index)


def test_stratified_with_single_and_missing_classes(world):
    log, videos = world
    videos.loc["v0", "category"] = "alone"
    videos.loc["v1", "category"] = np.nan
    split = split_stratified(videos, videos, by="category")
    assert {"v0", "v1"} <= set(split.train.index)
    assert_partition(split_stratified(log, videos, by="category"), log)
    with pytest.raises(KeyError, match="mood"):
        split_stratified(log, videos, by="mood")


def test_small_classes_do_not_change_the_share():
    videos = pd.DataFrame({"topic": [f"t{k % 100}" for k in range(1000)]})
    split = split_stratified(videos, videos, by="topic", validation=0.01, test=0.01)
    assert [len(p) for p in parts(split)] == [980, 10, 10]
    assert_partition(split, videos)
    # Both parts are of the same ten classes, one row of each.
    topics = [sorted(part["topic"]) for part in (split.validation, split.test)]
    assert topics[0] == topics[1]
    assert len(set(topics[0])) == 10
    # Of large and small classes the small ones stay in training.
    mixed = pd.DataFrame(
        {"topic": ["a"] * 300 + ["b"] * 150 + [f"s{k // 3}" for k in range(50 * 3)]}
    )
    split = split_stratified(mixed, mixed, by="topic", validation=0.0, test=2 / 600)
    assert len(split.test) == 2
    assert set(split.test["topic"]) <= {"a", "b"}


def test_shares_that_the_classes_cannot_give():
    single = pd.DataFrame({"topic": [f"t{k}" for k in range(20)]})
    with pytest.raises(ValueError, match=r"test=0.1 asks for 2 rows, .*'topic'"):
        split_stratified(single, single, by="topic")
    threes = pd.DataFrame({"topic": [k // 3 for k in range(30)]})
    with pytest.raises(ValueError, match=r"test=0.8 asks for 24 rows, .* have 30, .* 10 classes"):
        split_stratified(threes, threes, by="topic", validation=0.0, test=0.8)
    with pytest.raises(ValueError, match=r"validation=0.4 asks for 12 rows"):
        split_stratified(threes, threes, by="topic", validation=0.4, test=0.5)
    empty = split_stratified(threes.iloc[:0], threes, by="topic")
    assert [len(p) for p in parts(empty)] == [0, 0, 0]


def test_classes_of_several_types():
    videos = pd.DataFrame({"level": [1.0, 2.0, np.nan] * 20})
    split = split_stratified(videos, videos, by="level", validation=0.1, test=0.1)
    assert [len(p) for p in parts(split)] == [48, 6, 6]
    assert split.test["level"].value_counts(dropna=False).tolist() == [2, 2, 2]


def test_groups_stay_together(world):
    log, videos = world
    split = split_grouped(log, videos, by="uploader", validation=0.2, test=0.3, seed=4)
    owners = [set(part["video_id"].map(videos["uploader"])) for part in parts(split)]
    assert [len(o) for o in owners] == [5, 2, 3]
    assert_partition(split, log)
    assert check_split(split).empty
    clips = split_grouped(videos, videos, by="uploader", validation=0.0, test=0.2)
    assert len(clips.validation) == 0
    assert check_split(clips, by="uploader").empty
    with pytest.raises(ValueError, match="three groups"):
        split_grouped(videos, videos.assign(x=1), by="category")


def test_rows_without_a_group_are_groups_of_their_own(world):
    _, videos = world
    videos["uploader"] = videos["uploader"].where(videos["uploader"] != "c0")
    split = split_grouped(videos, videos, by="uploader", test=0.3, validation=0.2, seed=1)
    lonely = [part["uploader"].isna().sum() for part in parts(split)]
    assert sum(lonely) == 4
    assert check_split(split).empty


# -- injected leaks: each must be found, and named -------------------------------------------------


def leaks_of(split, **options):
    return set(check_split(split, strict=False, **options)["leak"])


def test_time_travel_is_found(world):
    split = split_by_time(*world)
    late = split.test.iloc[[-1]].assign(user_id="time traveller")
    late["timestamp"] = late["timestamp"] + pd.Timedelta(hours=1)
    leaky = dataclasses.replace(split, train=pd.concat([split.train, late]))
    assert leaks_of(leaky) == {"time travel"}
    with pytest.raises(LeakError, match=r"time travel .*train and test: 1") as caught:
        check_split(leaky)
    assert caught.value.leaks["n"].tolist() == [2]  # before validation, and before the test
    assert pickle.loads(pickle.dumps(caught.value)).leaks.equals(caught.value.leaks)


def test_a_repeated_row_is_found(world):
    split = split_grouped(*world, by="uploader")
    leaky = dataclasses.replace(split, train=pd.concat([split.train, split.test.iloc[[0]]]))
    assert leaks_of(leaky) == {"row overlap", "group overlap"}
    assert leaks_of(dataclasses.replace(leaky, name="stratified")) == {"row overlap"}


def test_a_shared_group_is_found(world):
    log, videos = world
    split = split_stratified(log, videos, by="category")
    assert leaks_of(split) == set()
    assert leaks_of(split, by="uploader") == {"group overlap"}


def test_a_duplicate_under_another_name_is_found(world):
    _, videos = world
    split = split_stratified(videos, videos, by="category")
    copies = pd.DataFrame({"video_id": [split.test.index[0]], "kept_id": [split.train.index[0]]})
    assert leaks_of(split) == set()
    leaks = check_split(split, duplicates=copies, strict=False)
    assert leaks["leak"].tolist() == ["duplicate videos"]
    example = f"in train and test: {split.train.index[0]} and {split.test.index[0]}"
    assert example in leaks.loc[0, "detail"]
    # Two copies of a third video meet as well.
    both = pd.DataFrame(
        {"video_id": [split.test.index[0], split.train.index[0]], "kept_id": ["elsewhere"] * 2}
    )
    assert leaks_of(split, duplicates=both) == {"duplicate videos"}


def test_a_video_from_the_future_is_found(world):
    log, videos = world
    videos.loc["v7", "published_at"] = START + pd.Timedelta(days=300)
    split = split_by_time(log, videos)
    assert leaks_of(split) == {"future videos"}
    (detail,) = check_split(split, strict=False)["detail"]
    assert "a view of v7" in detail


def test_describe_split_says_sizes_and_leaks():
    times = pd.date_range("2025-03-01", periods=5, freq="D", tz="UTC")
    log = pd.DataFrame({"user_id": list("aabbb"), "video_id": "v", "timestamp": times})
    videos = pd.DataFrame(index=pd.Index(["v"], name="video_id"))
    honest = Split(log[:3], log[3:4], log[4:], videos, "by day")
    assert describe_split(honest) == "by day: 3 / 1 / 1 rows, no leak."
    spoiled = Split(pd.concat([log[:3], log[4:]]), log[3:4], log[4:], videos, "spoiled")
    assert describe_split(spoiled) == (
        "spoiled: 4 / 1 / 1 rows, leaks by time travel and row overlap."
    )
