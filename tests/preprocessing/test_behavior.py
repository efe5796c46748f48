import numpy as np
import pandas as pd
import pytest

from vidrec_utils.preprocessing.behavior import (
    check_timestamps,
    drop_bots,
    drop_incomplete,
    find_bots,
    fix_timestamps,
    infer_now,
    robust_z,
    user_features,
)

START = pd.Timestamp("2025-03-01", tz="UTC")


def log_of(times, users="u", videos="v", ratios=0.5):
    return pd.DataFrame(
        {
            "user_id": users,
            "video_id": videos,
            "timestamp": pd.to_datetime(pd.Series(times), utc=True).astype("datetime64[us, UTC]"),
            "watch_ratio": ratios,
        }
    )


def test_the_end_of_the_log_ignores_wrong_clocks():
    usual = [START + pd.Timedelta(hours=h) for h in range(240)]
    log = log_of([*usual, pd.Timestamp("2099-12-31", tz="UTC")])
    assert infer_now(log) == usual[-1]
    # A log that simply has quiet days keeps its end.
    sparse = log_of([START + pd.Timedelta(days=d) for d in (*range(100), 105)])
    assert infer_now(sparse) == START + pd.Timedelta(days=105)
    assert pd.isna(infer_now(log_of([pd.NaT])))


@pytest.fixture
def impossible():
    videos = pd.DataFrame({"published_at": [START]}, index=["v"])
    seconds_as_ms = pd.Timestamp((START + pd.Timedelta(days=2)).value // 1000, tz="UTC")
    times = [
        START + pd.Timedelta(days=1),
        START - pd.Timedelta(days=3),
        pd.Timestamp(0, tz="UTC"),
        START + pd.Timedelta(days=400),
        seconds_as_ms,
        pd.NaT,
    ]
    return log_of(times), videos, START + pd.Timedelta(days=10)


def test_each_impossible_time_is_named(impossible):
    log, videos, now = impossible
    found = check_timestamps(log, videos, now=now)
    assert found["problem"].to_dict() == {
        1: "watched before it was published",
        2: "timestamp before the platform",
        3: "timestamp in the future",
        4: "timestamp in a wrong unit",
    }
    assert found.loc[4, "remedy"] == START + pd.Timedelta(days=2)


def test_strategies(impossible):
    log, videos, now = impossible
    before = log.copy()
    dropped, report = fix_timestamps(log, videos, now=now)
    assert list(dropped.index) == [0, 4, 5]
    assert dropped.loc[4, "timestamp"] == START + pd.Timedelta(days=2)
    assert list(report["row"]) == [3, 4, 5, 6]
    assert list(report["action"]) == ["row dropped"] * 3 + ["unit repaired"]
    clipped, _ = fix_timestamps(log, videos, now=now, strategy="clip")
    assert clipped.loc[1, "timestamp"] == START
    assert clipped.loc[3, "timestamp"] == now
    emptied, _ = fix_timestamps(log, videos, now=now, strategy="na", repair_units=False)
    assert emptied["timestamp"].isna().tolist() == [False, True, True, True, True, True]
    pd.testing.assert_frame_equal(log, before)
    with pytest.raises(ValueError, match="clip"):
        fix_timestamps(log, strategy="delete")


def test_a_clean_log_stays_as_it_is():
    log = log_of([START, START + pd.Timedelta(days=1)])
    cleaned, report = fix_timestamps(log, now=pd.Timestamp("2025-04-01"))
    pd.testing.assert_frame_equal(cleaned, log)
    assert report.empty


def test_robust_z_by_hand():
    values = pd.Series([1.0, 2.0, 3.0, 4.0, 100.0])
    # Median 3, absolute deviations 2 1 0 1 97, their median 1.
    assert robust_z(values).iloc[0] == pytest.approx(-2 / 1.4826)
    assert robust_z(values).iloc[4] == pytest.approx(97 / 1.4826)
    equal = pd.Series([5.0, 5.0, 5.0, 5.0, 6.0])
    assert robust_z(equal).iloc[4] == pytest.approx(1 / (1.2533 * 0.2))
    assert (robust_z(pd.Series([2.0, 2.0])) == 0).all()


def test_features_by_hand():
    minutes = [0, 10, 20, 30, 24 * 60]
    times = [START + pd.Timedelta(minutes=m) for m in minutes]
    log = log_of(times, videos=["a", "b", "c", "a", "b"], ratios=[0, 0.25, 0.5, 0.75, 1.0])
    features = user_features(log).loc["u"]
    assert features["exposures"] == 5
    assert features["per_active_day"] == 2.5
    assert features["interval_cv"] == 0.0
    assert features["hours_share"] == pytest.approx(1 / 24)
    assert features["watch_spread"] == pytest.approx(0.8)
    assert features["longest_sitting"] == 4
    assert features["repeats"] == pytest.approx(5 / 3)


@pytest.fixture(scope="module")
def crowd():
    """Sixty people, one of whom binges, two bots, and somebody with two exposures."""
    rng = np.random.default_rng(0)
    parts = []
    for k in range(60):
        n = 120 if k == 0 else int(rng.integers(25, 60))
        sessions = rng.integers(0, 20 if k else 2, n) * 1440 + rng.integers(0, 5, n) * 60
        times = START + pd.to_timedelta(np.sort(sessions + rng.exponential(8, n)), unit="min")
        parts.append(
            log_of(times, f"person {k}", rng.integers(0, 200, n).astype(str), rng.random(n))
        )
    for k, ratio in enumerate((1.0, 0.01)):
        times = START + pd.to_timedelta(np.arange(200) * 60, unit="s")
        parts.append(log_of(times, f"bot {k}", [str(i % 10) for i in range(200)], ratio))
    parts.append(log_of([START, START], "guest", ["1", "2"], 1.0))
    return pd.concat(parts, ignore_index=True)


def test_bots_are_found_and_people_are_not(crowd):
    bots = find_bots(crowd)
    assert set(bots.index[bots["flagged"]]) == {"bot 0", "bot 1"}
    assert "intervals vary by 0.00" in bots.loc["bot 0", "reason"]
    assert bots.loc["person 0", "reason"] == ""
    assert len(bots) == 63


def test_the_forest_ranks_bots_first(crowd):
    bots = find_bots(crowd, method="forest", seed=3)
    assert set(bots["score"].nlargest(2).index) == {"bot 0", "bot 1"}
    assert bots.loc[["bot 0", "bot 1"], "flagged"].all()
    assert bots.loc["bot 0", "reason"]
    pd.testing.assert_frame_equal(bots, find_bots(crowd, method="forest", seed=3))
    with pytest.raises(ValueError, match="forest"):
        find_bots(crowd, method="magic")


def test_bots_leave_the_log_with_a_reason(crowd):
    cleaned, report = drop_bots(crowd)
    assert not cleaned["user_id"].str.startswith("bot").any()
    assert len(cleaned) == len(crowd) - 400
    users = report[report["table"] == "users"]
    assert list(users["id"]) == ["bot 0", "bot 1"]
    assert users["before"].str.contains("exposures").all()
    assert (report["table"] == "interactions").sum() == 400
    again, report = drop_bots(cleaned)
    assert len(again) == len(cleaned)
    assert report.empty


def test_a_log_without_watch_ratios_or_with_few_users_is_judged_too():
    log = log_of([START + pd.Timedelta(hours=h) for h in range(30)], ratios=np.nan)
    assert not find_bots(log)["flagged"].any()
    assert not find_bots(log, method="forest")["flagged"].any()
    assert find_bots(log.iloc[:0]).empty


def test_rows_without_user_or_time_are_dropped():
    log = log_of([START, pd.NaT, START], users=["a", "b", None])
    cleaned, report = drop_incomplete(log)
    assert list(cleaned.index) == [0]
    assert list(report["problem"]) == ["timestamp missing", "user_id missing"]
    assert list(report["row"]) == [3, 4]
    untimed = log_of([pd.NaT, pd.NaT])
    assert len(drop_incomplete(untimed)[0]) == 2


@pytest.mark.parametrize("strategy", ["drop", "clip", "na"])
def test_a_log_that_repeats_its_index(impossible, strategy):
    """What `pd.concat([a, b])` gives is cleaned as the same rows with an index of their own."""
    log, videos, now = impossible
    repeated = log.set_axis([0, 1, 2, 0, 1, 2])
    before = repeated.copy()
    options = {"now": now, "strategy": strategy}
    cleaned, report = fix_timestamps(repeated, videos, **options)
    usual, same = fix_timestamps(log, videos, **options)
    pd.testing.assert_frame_equal(cleaned, usual.set_axis(repeated.index[usual.index]))
    pd.testing.assert_frame_equal(report.drop(columns="row"), same.drop(columns="row"))
    pd.testing.assert_frame_equal(repeated, before)
