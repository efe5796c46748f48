import dataclasses
import itertools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.logs import catalogue, examples, logs
from vidrec_utils import evaluation
from vidrec_utils.datasets import LibraryError, Split, VideoLibrary
from vidrec_utils.preprocessing.splits import (
    LeakError,
    check_split,
    describe_split,
    leave_last_out,
    ready_made_split,
    split_by_time,
    split_grouped,
    split_stratified,
    subset_of,
)
from vidrec_utils.recommender import Popularity

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
    assert caught.value.leaks["n"].tolist() == [1]  # too late for both parts, and still one row
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


# -- times that are too coarse, or absent ----------------------------------------------------------


def one_timestamp_for_all():
    users = [f"u{i % 8}" for i in range(80)]
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(50)]})
    log = pd.DataFrame({"user_id": users, "video_id": [f"v{(i * 7) % 50}" for i in range(80)]})
    return VideoLibrary(videos, log.assign(timestamp=START, watch_ratio=1.0))


def test_one_timestamp_for_all_leaves_nothing_to_train_on():
    library = one_timestamp_for_all()
    text = r"validation has 0 rows instead of 8, test has 80 rows instead of 8 .* 80 are of 2025-03"
    with pytest.warns(UserWarning, match=text):
        split = split_by_time(library.interactions, library.videos)
    assert [len(p) for p in parts(split)] == [0, 0, 80]
    with pytest.raises(
        LeakError, match=r"not usable:\n  empty part \(train, validation\)"
    ) as caught:
        check_split(split)
    assert "1 different timestamps in all" in str(caught.value)
    assert "ordered=True" in str(caught.value)  # the remedy is named next to what is wrong
    assert caught.value.leaks["n"].tolist() == [2]
    assert describe_split(split) == (
        "global time: 0 / 0 / 80 rows, no leak, nothing in train, validation."
    )
    with pytest.raises(ValueError, match=r"training part .* has no interactions"):
        evaluation.evaluate(Popularity().fit(split), split, on="test")
    by_row = split_by_time(library.interactions, library.videos, ordered=True)
    assert [len(p) for p in parts(by_row)] == [64, 8, 8]
    assert check_split(by_row).empty


def test_dates_without_a_time_of_day_give_other_shares(world):
    log, videos = world
    days = log.assign(timestamp=log["timestamp"].dt.ceil("7D"))
    text = "validation has 0 rows instead of 40, test has 279 rows instead of 120"
    with pytest.warns(UserWarning, match=text):
        split = split_by_time(days, videos, test=0.3)
    with pytest.raises(LeakError, match=r"empty part \(validation\)"):
        check_split(split)
    hours = log.assign(timestamp=log["timestamp"].dt.ceil("6h"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_split(split_by_time(hours, videos)).empty
        assert check_split(split_by_time(days, videos, validation=0.0, test=0.35)).empty


def test_a_part_that_is_meant_to_be_empty_is_no_finding(world):
    log, videos = world
    for validation in (0, 0.0, np.float64(0)):
        assert check_split(split_by_time(log, videos, validation=validation)).empty
    assert check_split(split_by_time(log, videos, validation=0, ordered=False, test=0)).empty
    for splitter in (split_stratified, split_grouped):
        assert check_split(splitter(log, videos, by="uploader", validation=0)).empty
        assert check_split(splitter(log, videos, by="uploader", test=0)).empty
    by_hand = Split(log[:9], None, log[9:], videos, "stratified by hand")
    assert check_split(by_hand).empty
    again = dataclasses.replace(by_hand, train=log[:5])
    assert again.left_out == ("validation",)
    assert check_split(again).empty
    accident = Split(log[:9], log[:0], log[9:], videos, "stratified by hand")
    assert leaks_of(accident) == {"empty part"}


@pytest.mark.parametrize("share", [0.001, 0.02])
def test_a_share_of_less_than_a_row_is_found(world, share):
    log, videos = world
    split = split_by_time(log.iloc[:20], videos, validation=share)
    assert leaks_of(split) == {"empty part"}
    split = split_stratified(log.iloc[:20], videos, by="user_id", validation=share, test=0)
    assert leaks_of(split) == {"empty part"}


def test_nobody_with_enough_exposures_is_found(world):
    log, videos = world
    split = leave_last_out(log.groupby("user_id").head(2), videos)
    assert check_split(split, strict=False)["where"].tolist() == ["validation, test"]


@pytest.mark.parametrize("absent", ["no column", "all missing"])
@pytest.mark.parametrize("splitter", [split_by_time, leave_last_out])
def test_tables_without_times_are_refused_or_taken_in_row_order(world, splitter, absent):
    log, videos = world
    log = log.sort_values("timestamp", ignore_index=True)
    bare = log.drop(columns="timestamp")
    bare = bare if absent == "no column" else bare.assign(timestamp=pd.NaT)
    with pytest.raises(ValueError, match=r"have no timestamp .* ordered=True if the rows are in"):
        splitter(bare, videos)
    split, usual = splitter(bare, videos, ordered=True), splitter(log, videos)
    for part, same in zip(parts(split), parts(usual), strict=True):
        assert part.index.tolist() == same.index.tolist()
    sizes = split.summary()
    assert sizes["interactions"].tolist() == [len(p) for p in parts(usual)]
    assert sizes[["first", "last"]].isna().all(axis=None)
    assert sizes["users"].tolist() == usual.summary()["users"].tolist()
    assert {"row overlap"} >= leaks_of(split)  # a video may be watched twice


def test_times_that_contradict_the_order_of_the_rows_are_refused(world):
    log, videos = world
    log = log.sort_values("timestamp", ignore_index=True)
    log.loc[[17, 18], "timestamp"] = log.loc[[18, 17], "timestamp"].to_numpy()
    with pytest.raises(ValueError, match=r"row 18 \(from 0\) is of .*; there are 1 such rows"):
        split_by_time(log, videos, ordered=True)
    log["user_id"] = [f"u{n % 15}" for n in range(len(log))]
    leave_last_out(log, videos, ordered=True)  # the order of each user holds
    log["user_id"] = "u"
    with pytest.raises(ValueError, match="row 18"):
        leave_last_out(log, videos, ordered=True)
    with pytest.raises(ValueError, match="cut by shares"):
        split_by_time(log, videos, test="2025-03-10", ordered=True)
    with pytest.raises(ValueError, match="less than 1"):
        split_by_time(log, videos, test=1.0, ordered=True)


def test_a_last_exposure_that_times_do_not_tell_is_told(world):
    log, videos = world
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leave_last_out(log, videos)
    with pytest.warns(UserWarning, match="times of 15 of 15 users do not tell which exposure was"):
        leave_last_out(log.assign(timestamp=START), videos)
    ordered = leave_last_out(log.assign(timestamp=START), videos, ordered=True)
    assert ordered.test.index.tolist() == log.groupby("user_id").tail(1).index.tolist()


def test_times_without_a_zone_are_split_as_utc(world):
    log, videos = world
    naive = log.assign(timestamp=log["timestamp"].dt.tz_localize(None))
    for options in ({}, {"test": "2025-03-15"}):
        split, usual = (split_by_time(rows, videos, **options) for rows in (naive, log))
        assert [p.index.tolist() for p in parts(split)] == [p.index.tolist() for p in parts(usual)]


def test_the_summary_of_a_split_of_videos(world):
    _, videos = world
    sizes = split_stratified(videos, videos, by="category").summary()
    assert sizes["videos"].tolist() == sizes["interactions"].tolist() == [32, 4, 4]
    assert sizes[["users", "first", "last"]].isna().all(axis=None)


# -- a split that somebody else has made -----------------------------------------------------------


def test_a_ready_made_split_is_one_call():
    train = pd.DataFrame({"user_id": [1, 1, 2, 2], "video_id": [7, 8, 7, 9]})
    test = pd.DataFrame({"user_id": [1, 2], "video_id": [9, 10]})
    split = ready_made_split(train, test, name="published")
    assert check_split(split).empty
    assert split.videos.index.tolist() == ["10", "7", "8", "9"]
    assert split.train["video_id"].tolist() == ["7", "8", "7", "9"]
    with pytest.warns(UserWarning, match="all events count alike"):
        model = Popularity().fit(split)
    result = evaluation.evaluate(model, split, k=2, on="test")
    # 7 was watched twice, 8 and 9 once, 10 never; 1 is asked for 9 and gets [9, 10], 2 gets [8, 10]
    assert result.per_user["recall"].to_dict() == {"1": 1.0, "2": 1.0}
    assert result.per_user["mrr"].to_dict() == {"1": 1.0, "2": 0.5}
    assert "split 'published', test" in str(result.protocol)


def test_a_ready_made_split_with_all_its_tables(world):
    log, videos = world
    usual = split_by_time(log, videos)
    frames = [part.reset_index(drop=True) for part in parts(usual)]
    texts = [frame.assign(timestamp=frame["timestamp"].astype("str")) for frame in frames]
    split = ready_made_split(texts[0], texts[2], texts[1], videos.reset_index())
    assert split.summary().equals(usual.summary())
    assert split.videos["uploader"].tolist() == videos["uploader"].tolist()
    assert check_split(split).empty
    assert ready_made_split(log, log, videos=videos).left_out == ("validation",)


def test_a_ready_made_split_names_what_is_wrong():
    good = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    with pytest.raises(LibraryError, match="test part has no column video_id"):
        ready_made_split(good, good.rename(columns={"video_id": "item"}))
    with pytest.raises(LibraryError, match=r"(?s)test.*row 2.*user_id"):
        ready_made_split(good, good.assign(user_id=[None]))
    with pytest.raises(LibraryError, match=r"(?s)test.*'b'"):
        ready_made_split(good, good.assign(video_id="b"), videos=pd.DataFrame(index=["a"]))


def test_subsets_of_exposures_follow_their_rows_or_their_videos():
    times = pd.date_range("2025-03-01", periods=6, tz="UTC")
    log = pd.DataFrame({"user_id": list("aaabbc"), "video_id": list("vwxvwz"), "timestamp": times})
    videos = pd.DataFrame({"uploader": list("mno")}, index=pd.Index(list("vwx"), name="video_id"))
    last = subset_of(leave_last_out(log, videos), log)  # only a has three exposures
    assert last.tolist() == ["train", "validation", "test", "train", "train", "train"]
    by_hand = Split(videos[:1], videos[1:2], videos[2:], videos, "grouped by uploader")
    expected = ["train", "validation", "test", "train", "validation", "left out"]
    assert subset_of(by_hand, log).tolist() == expected
    without = Split(videos[:1], None, videos[2:], videos, "by hand")
    assert subset_of(without, log.iloc[[1]]).tolist() == ["left out"]


def test_describe_split_says_that_a_random_split_was_not_checked_for_time():
    videos = pd.DataFrame({"uploader": list("abcde")}, index=pd.Index(list("vwxyz")))
    drawn = split_grouped(videos, videos, by="uploader", validation=0.2, test=0.2)
    assert describe_split(drawn) == (
        "grouped by uploader: 3 / 1 / 1 rows, no leak (time was not checked)."
    )


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


# -- what holds for any log ------------------------------------------------------------------------

SHARES = st.sampled_from([0, 0.05, 0.1, 0.3, 0.45])


def numbered(log):
    """The log with the number of each row, by which it is known in the parts."""
    return log.assign(row=np.arange(len(log)))


def rows_of(split):
    return [part["row"].tolist() for part in parts(split)]


def splits(splitter, *args, **options):
    """What a splitter gives, or the message of its refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return splitter(*args, **options)
        except ValueError as error:
            return str(error)


def usable_times(log):
    return not len(log) or ("timestamp" in log and log["timestamp"].notna().all())


@examples(60)
@given(logs(), SHARES, SHARES)
def test_any_log_is_split_in_time_or_refused(log, validation, test):
    log = numbered(log)
    split = splits(split_by_time, log, catalogue(), validation=validation, test=test)
    assert isinstance(split, str) == (not usable_times(log))
    if isinstance(split, str):
        assert "timestamp" in split
        return
    rows = rows_of(split)
    assert sorted(itertools.chain(*rows)) == list(range(len(log)))
    assert all(part == sorted(part) for part in rows)  # in the order of the log
    sizes = [len(part) for part in rows]
    assert sizes[2] >= round(test * len(log))  # rows of one time stay together
    assert (sizes[2] > 0) == (round(test * len(log)) > 0)
    if len(log) and log["timestamp"].is_unique:
        assert sizes[2] == round(test * len(log))
        assert sizes[1] == round((validation + test) * len(log)) - sizes[2]
    spans = [part["timestamp"] for part in parts(split) if len(part)]
    assert all(one.max() < other.min() for one, other in itertools.pairwise(spans))
    findings = check_split(split, strict=False).set_index("leak")["where"]
    empty = [
        name
        for name, size, share in zip(
            ("train", "validation", "test"), sizes, (1, validation, test), strict=True
        )
        if not size and share
    ]
    assert findings.get("empty part", "") == ", ".join(empty)
    assert set(findings.index) <= {"empty part"}


@examples(60)
@given(logs(), SHARES, SHARES)
def test_any_log_in_order_is_cut_by_row_or_refused(log, validation, test):
    log = numbered(log)
    split = splits(split_by_time, log, catalogue(), validation=validation, test=test, ordered=True)
    times = log.get("timestamp", pd.Series(dtype="datetime64[us, UTC]")).dropna()
    assert isinstance(split, str) == (not times.is_monotonic_increasing)
    if isinstance(split, str):
        assert "Sort the rows" in split
        return
    n = len(log)
    cut, late = n - round((validation + test) * n), n - round(test * n)
    assert rows_of(split) == [[*range(cut)], [*range(cut, late)], [*range(late, n)]]


@examples(60)
@given(logs(), st.integers(1, 5), st.booleans())
def test_the_last_of_each_user_is_left_out_in_any_log(log, least, ordered):
    log = numbered(log)
    options = {"min_interactions": least, "ordered": ordered}
    split = splits(leave_last_out, log, catalogue(), **options)
    if isinstance(split, str):
        assert ordered or not usable_times(log)
        assert "Sort the rows" in split if ordered else "timestamp" in split
        return
    rows = rows_of(split)
    assert sorted(itertools.chain(*rows)) == list(range(len(log)))
    counts = log["user_id"].value_counts()
    tested = counts.index[counts >= max(least, 1)]
    assert sorted(split.test["user_id"]) == sorted(tested)
    assert sorted(split.validation["user_id"]) == sorted(counts.index[counts >= max(least, 2)])
    for user in tested:
        own = [part[part["user_id"] == user] for part in parts(split)]
        key = "row" if ordered else "timestamp"
        spans = [part[key] for part in own if len(part)]
        assert all(one.max() <= other.min() for one, other in itertools.pairwise(spans))


@examples(30)
@given(logs(), SHARES, SHARES, st.sampled_from(["category", "user_id"]), st.integers(0, 9))
def test_any_log_is_split_at_random_or_refused(log, validation, test, by, seed):
    log = numbered(log)
    options = {"by": by, "validation": validation, "test": test, "seed": seed}
    for splitter in (split_stratified, split_grouped):
        split = splits(splitter, log, catalogue(), **options)
        if isinstance(split, str):
            assert "fewer than three groups" in split or "asks for" in split
            continue
        assert sorted(itertools.chain(*rows_of(split))) == list(range(len(log)))
        again = splits(splitter, log, catalogue(), **options)
        assert rows_of(again) == rows_of(split)
        if splitter is split_grouped:
            assert "group overlap" not in leaks_of(split)
        else:
            assert len(split.test) == round(test * len(log))
