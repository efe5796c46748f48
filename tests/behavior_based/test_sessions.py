"""Sessions, and the order of events, in logs whose times are coarse, or absent."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from tests.helpers.events import START
from tests.helpers.logs import examples, logs
from vidrec_utils.behavior_based import (
    SASRec,
    SequentialRules,
    session_numbers,
    shuffled_order,
)
from vidrec_utils.behavior_based.sessions import in_order


def log(n_users=20, n_events=6, gap="5min", **columns):
    """Everybody watches six videos in a row, each from another start, one every `gap`."""
    rows = [(f"u{u}", f"v{(u + e) % 8}", e) for u in range(n_users) for e in range(n_events)]
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "step"])
    times = START + frame.pop("step") * pd.Timedelta(gap)
    return frame.assign(timestamp=times, watch_ratio=1.0, **columns)


def test_days_between_events_leave_no_rule_and_it_is_told():
    days = log(gap="1D")
    with pytest.warns(UserWarning, match=r"100% of the sessions .* typically 1,440 minutes apart"):
        lonely = SequentialRules().fit(days)
    assert lonely.rules.nnz == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        longer = SequentialRules(gap_minutes=2 * 1440).fit(days)
        assert longer.recommend_next(["v3"], k=1)["video_id"].item() == "v4"
        minutes = SequentialRules().fit(log())
    np.testing.assert_array_equal(minutes.score(["u1"]), longer.score(["u1"]))


def test_sessions_of_one_event_have_three_causes():
    each = log(session_id=[f"s{n}" for n in range(120)])
    with pytest.warns(UserWarning, match="The column session_id says so"):
        SequentialRules().fit(each)
    with pytest.warns(UserWarning, match="Most people have few events"):
        SequentialRules().fit(log(n_events=1))
    half = log(gap="1D")
    half.loc[half["user_id"].isin([f"u{n}" for n in range(18)]), "timestamp"] = START
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SequentialRules().fit(half)  # 18 sessions of six events, 12 of one
    assert not [w for w in caught if "sessions" in str(w.message)]


def test_dates_without_a_time_of_day_are_told_by_models_of_order():
    dates = log(gap="5min")
    dates["timestamp"] = dates["timestamp"].dt.floor("D")
    for model in (SASRec(length=6, dim=8, epochs=1), SequentialRules()):
        with pytest.warns(UserWarning, match="100% of the events have no timestamp of their own"):
            model.fit(dates)
    assert in_order(dates).tolist() == in_order(log()).tolist()  # then by row


def test_the_share_of_coarse_times_is_of_people_with_several_events():
    frame = log(n_users=2)
    frame.loc[:5, "timestamp"] = START  # u0 has one time for all, u1 six of them: half is not most
    lonely = log(n_users=9, n_events=1).assign(user_id=[f"x{n}" for n in range(9)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_order(pd.concat([frame, lonely], ignore_index=True))
    frame.loc[6:7, "timestamp"] = START
    with pytest.warns(UserWarning, match="67% of the events"):
        in_order(frame)
    frame["timestamp"] = log(n_users=2)["timestamp"]
    frame.loc[:7, "timestamp"] = pd.NaT
    with pytest.warns(UserWarning, match="67% of the events .*it is missing"):
        in_order(frame)


@pytest.mark.parametrize("absent", ["no column", "all missing"])
def test_the_order_of_the_rows_without_times_is_told(absent):
    frame = log().drop(columns="timestamp")
    frame = frame if absent == "no column" else frame.assign(timestamp=pd.NaT)
    for model in (SASRec(length=6, dim=8, epochs=1), SequentialRules()):
        with pytest.warns(UserWarning, match="their order is that of the rows"):
            model.fit(frame)
    assert in_order(frame).tolist() == in_order(log()).tolist()
    assert session_numbers(frame.iloc[in_order(frame)]).max() == 19  # one session of each user


def test_numbers_are_no_times():
    frame = log().assign(timestamp=range(120))
    with pytest.raises(ValueError, match="timestamp holds int64"):
        SequentialRules().fit(frame)


def test_a_transformer_without_histories_says_so():
    with pytest.warns(
        UserWarning, match=r"no event weighs least=0.5 or more \(the heaviest .* 0.3"
    ):
        model = SASRec(length=6, dim=8, epochs=1).fit(log().assign(watch_ratio=0.3))
    assert (model.score(["u0"]) == model.popularity).all()


def test_known_users_and_visitors_with_the_same_session_get_the_same_scores():
    frame = log(n_events=7)
    rng = np.random.default_rng(0)
    frame["watch_ratio"] = rng.choice([0.0, 0.2, 0.9], len(frame))
    model = SequentialRules(steps=3).fit(frame)
    for user, events in frame.groupby("user_id"):
        visitor = model.score_next(events["video_id"], events["watch_ratio"].to_numpy())
        np.testing.assert_allclose(model.score(user)[0], visitor, rtol=1e-6)


def test_a_last_session_counts_by_what_came_of_it():
    frame = log(n_users=1, n_events=4).assign(watch_ratio=[1.0, 0.5, 0.25, 0.0])
    model = SequentialRules(steps=2).fit(frame)
    # the skipped v3 does not count: v2 is the last (0.25 / 1), v1 the one before (0.5 / 2)
    last = model.history.toarray()[0]
    assert dict(zip(model.video_ids, last.tolist(), strict=True)) == {
        "v0": 0.0, "v1": 0.25, "v2": 0.25, "v3": 0.0,
    }  # fmt: skip


def test_a_shuffled_order_keeps_the_events_that_a_model_reads():
    frame = log(n_users=30, n_events=8)
    rng = np.random.default_rng(1)
    frame["watch_ratio"] = rng.random(len(frame)).round(3)
    frame["comment"] = [f"c{n}" for n in range(len(frame))]
    frame = frame.sample(frac=1, random_state=2)  # in any order
    frame.index = frame.index + 7
    before = frame.copy()
    counted = frame["watch_ratio"] >= 0.3
    mixed = shuffled_order(frame, 3, counted, seed=4)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(mixed[["user_id", "timestamp"]], frame[["user_id", "timestamp"]])
    pd.testing.assert_frame_equal(mixed, shuffled_order(frame, 3, counted, seed=4))

    def read(table):  # what SASRec(length=3, least=0.3) would read: the last three counted events
        kept = table[table["watch_ratio"] >= 0.3].sort_values("timestamp")
        return kept.groupby("user_id").tail(3)

    ends, ended = read(frame), read(mixed)
    for user in frame["user_id"].unique():
        own = [t[t["user_id"] == user] for t in (ends, ended)]
        assert sorted(own[0]["comment"]) == sorted(own[1]["comment"])
    moved = frame["comment"] != mixed["comment"]
    assert moved.any()
    assert not moved[~frame.index.isin(ends.index)].any()  # older and skipped events stay
    # whatever an event holds moves together
    whole = frame.set_index("comment")["watch_ratio"]
    assert (whole[mixed["comment"]].to_numpy() == mixed["watch_ratio"].to_numpy()).all()


def test_all_orders_of_the_last_events_are_drawn_alike():
    frame = log(n_users=600, n_events=5).assign(video_id=list("abcde") * 600)
    for times in (frame["timestamp"], pd.NaT):  # without times the rows are the order
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mixed = shuffled_order(frame.assign(timestamp=times), 3)
        words = mixed.groupby("user_id")["video_id"].agg("".join)
        assert words.str.startswith("ab").all()
        counts = words.str[2:].value_counts()
        assert len(counts) == 6
        assert counts.between(70, 130).all()  # 100 expected, deviation 9


def test_what_cannot_be_shuffled():
    with pytest.raises(ValueError, match="length is 0"):
        shuffled_order(log(), 0)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        shuffled_order(log(), 2, [True, False])
    assert shuffled_order(log().iloc[:0], 2).empty


@examples(80)
@given(logs())
def test_order_and_sessions_of_any_log(log):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        order = in_order(log)
        assert sorted(order.tolist()) == list(range(len(log)))
        events = log.iloc[order]
        session = session_numbers(events, gap_minutes=30)
    users = events["user_id"].to_numpy()
    assert (np.diff(pd.factorize(users, sort=True)[0]) >= 0).all()
    times = events.get("timestamp", pd.Series(pd.NaT, index=events.index)).to_numpy()
    for row in range(1, len(events)):
        same = session[row] == session[row - 1]
        assert session[row] - session[row - 1] in (0, 1)
        if users[row] != users[row - 1]:
            assert not same
        elif pd.isna(times[row - 1]) or pd.isna(times[row]):
            assert same  # a pause of unknown length does not count
        else:
            pause = pd.Timestamp(times[row]) - pd.Timestamp(times[row - 1])
            assert pause >= pd.Timedelta(0)
            assert same == (pause <= pd.Timedelta("30min"))
        if users[row] == users[row - 1] and pd.isna(times[row]):
            assert pd.isna(times[row - 1])  # events without a time come first
