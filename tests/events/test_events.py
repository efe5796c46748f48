"""Events as numbers: their weights by hand, their matrix, and logs that lack something."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from tests.helpers.logs import examples, logs
from vidrec_utils.events import (
    PublicationOrder,
    as_ids,
    event_weights,
    interaction_matrix,
    publication_order,
    published_by,
    signals,
    times_of,
    unpack,
)


def events(*rows, **columns):
    """Interactions from (user, video) pairs and columns of signals."""
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).astype("str")
    return frame.assign(**columns)


def test_event_weights_by_hand():
    frame = events(
        *[("u", "a")] * 4,
        watch_ratio=[0.5, np.nan, 3.0, 0.0],
        liked=pd.array([True, None, False, None], dtype="boolean"),
        shared=pd.array([None, None, True, None], dtype="boolean"),
        comment=pd.Series(["nice", None, " ", None], dtype="str"),
    )
    weights = event_weights(frame)
    assert weights.tolist() == [0.5 + 1 + 0.5, 0, 1 + 1, 0]
    assert weights.index.equals(frame.index)
    doubled = event_weights(frame, watch=2, like=0, share=3, comment=0)
    assert doubled.tolist() == [1, 0, 5, 0]
    mood = pd.Series([-1.0, np.nan, np.nan, 0.5])
    moody = event_weights(frame, comment=2, sentiment=mood)
    assert moody.tolist() == [0.5 + 1 - 2, 0, 2, 1]


def test_an_absent_signal_contributes_nothing():
    log = events(("u", "a"), ("u", "b"), liked=pd.array([None, True], dtype="boolean"))
    assert signals(log) == ["liked"]
    assert event_weights(log).tolist() == [0, 1]
    # The column is there, but switched off: the caller said so, and the log does have a signal.
    assert event_weights(log, like=0).tolist() == [0, 0]
    assert event_weights(log, sentiment=pd.Series([0.5, None])).tolist() == [0.25, 1]


NOTHING = {
    "no column": {},
    "columns of NA": {
        "liked": pd.array([None] * 2, dtype="boolean"),
        "watch_ratio": np.nan,
        "comment": pd.Series([None] * 2, dtype="str"),
    },
    "blank comments": {"comment": " "},
    "objects": {"shared": pd.Series([None] * 2, dtype=object)},
}


@pytest.mark.parametrize("columns", NOTHING.values(), ids=NOTHING)
def test_without_any_signal_each_event_weighs_one_and_it_is_said(columns):
    log = events(("u", "a"), ("u", "b"), **columns)
    assert signals(log) == []
    with pytest.warns(UserWarning, match="all events count alike: each weighs 1"):
        weights = event_weights(log)
    assert weights.tolist() == [1, 1]
    assert weights.name == "weight"
    nobody = pd.Series([None, None], dtype="float64")
    with pytest.warns(UserWarning, match="all events count alike"):
        assert event_weights(log, sentiment=nobody).tolist() == [1, 1]


def test_it_is_said_once_and_not_of_an_empty_log(monkeypatch):
    log = events(("u", "a"))
    monkeypatch.setattr("vidrec_utils.events.weights.WARNED", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # as in a notebook
        for _ in range(3):
            event_weights(log)
            with warnings.catch_warnings():  # as libraries do, after which Python forgets
                warnings.simplefilter("ignore")
        event_weights(log.iloc[:0])
    assert len(caught) == 1
    for action, error in (("always", None), ("error", UserWarning), ("ignore", None)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            if error:
                with pytest.raises(error, match="all events count alike"):
                    event_weights(log)
                continue
            event_weights(log)
        assert len(caught) == (action == "always")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert event_weights(log.iloc[:0]).tolist() == []


def test_times_are_utc_or_refused_in_a_sentence():
    log = events(("u", "a"), ("u", "b"))
    with pytest.raises(
        ValueError, match=r"no timestamp \(there is no such column\), so nothing is"
    ):
        times_of(log, "so nothing is old")
    with pytest.raises(ValueError, match=r"no timestamp \(all are missing\), so nothing is old"):
        times_of(log.assign(timestamp=pd.NaT), "so nothing is old")
    for wrong in ([1714567890, 1714567891], ["2025-03-01", "2025-03-02"]):
        with pytest.raises(ValueError, match="and no times"):
            times_of(log.assign(timestamp=wrong), "")
    noon = pd.to_datetime(["2025-03-01 12:00", None])
    for zone in (None, "UTC", "Asia/Shanghai"):
        local = noon.tz_localize("UTC").tz_convert(zone) if zone else noon
        times = times_of(log.assign(timestamp=local), "")
        assert times[0] == pd.Timestamp("2025-03-01 12:00", tz="UTC")
        assert times.isna().tolist() == [False, True]
    assert times_of(log.iloc[:0], "").tolist() == []
    assert times_of(pd.DataFrame({"user_id": [], "timestamp": []}), "").tolist() == []


def test_a_matrix_adds_what_is_repeated():
    log = events(("u", "b"), ("u", "b"), ("v", "a"))
    matrix = interaction_matrix(log, [1, 2, 4], pd.Index(["u", "v"]), pd.Index(["a", "b"]))
    assert matrix.toarray().tolist() == [[0, 3], [4, 0]]
    with pytest.raises(ValueError, match=r"1 events have a user_id .* the first is 'v'"):
        interaction_matrix(log, [1, 2, 4], pd.Index(["u"]), pd.Index(["a", "b"]))


def test_ids_are_strings_whatever_a_file_made_of_them():
    assert as_ids([7, np.int64(8)]).tolist() == as_ids(["7", "8"]).tolist() == ["7", "8"]


@pytest.mark.parametrize("column", ["user_id", "video_id"])
def test_interactions_without_a_column_are_refused_by_its_name(column):
    log = pd.DataFrame({"user_id": ["a"], "video_id": ["1"]}).drop(columns=column)
    with pytest.raises(ValueError, match=f"no column {column}"):
        unpack(log)


@examples(60)
@given(logs())
def test_weights_of_any_log(log):
    before = log.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = event_weights(log)
    pd.testing.assert_frame_equal(log, before)
    assert weights.index.equals(log.index)
    assert weights.between(0, 3.5).all()  # watched whole, liked, shared and commented on
    available = signals(log)
    if not available:
        assert (weights == 1).all()
        return
    silent = log[available].isna().all(axis=1).to_numpy()
    assert (weights[silent] == 0).all()  # not knowing is not disliking
    rows = np.random.default_rng(len(log)).permutation(len(log))
    again = event_weights(log.iloc[rows])  # an event weighs what it weighs, wherever it stands
    assert again.tolist() == weights.iloc[rows].tolist()


def test_published_by_hand():
    times = pd.to_datetime(["2025-03-02 00:00:00", "2025-03-01 23:59:59", None], utc=True)
    videos = pd.DataFrame({"published_at": times}, index=["a", "b", "c"])
    until = pd.Series(pd.to_datetime(["2025-03-02", "2025-03-01", None]), index=[7, 7, 9])
    expected = [[True, True, True], [False, False, True], [True, True, True]]
    assert published_by(videos, until).tolist() == expected
    assert published_by(videos, pd.DatetimeIndex(until)).tolist() == expected


def test_published_by_compares_instants_whatever_their_zones_and_units():
    at = pd.Timestamp("2025-03-02 01:00", tz="Asia/Shanghai")  # 17:00 of the day before, in UTC
    videos = pd.DataFrame({"published_at": pd.Series([at]).dt.as_unit("s")})
    until = pd.to_datetime(pd.Series(["2025-03-01 16:59:59", "2025-03-01 17:00:00"]))
    assert published_by(videos, until).tolist() == [[False], [True]]
    assert published_by(videos, until.dt.tz_localize("UTC")).tolist() == [[False], [True]]
    far = pd.DataFrame({"published_at": np.array(["3000-01-01"], dtype="datetime64[s]")})
    assert not published_by(far, until.dt.as_unit("ns")).any()


def times(rng, n, missing=0.2, zone="UTC"):
    """Some days, many of which are equal, and some unknown."""
    days = pd.Series(pd.Timestamp("2025-03-01") + pd.to_timedelta(rng.integers(0, 6, n), "D"))
    return days.where(rng.random(n) >= missing).dt.tz_localize(zone)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_the_publication_order_says_what_published_by_says(zone):
    rng = np.random.default_rng(0)
    videos = pd.DataFrame({"published_at": times(rng, 40, zone=zone)})
    until = times(rng, 30)
    online = PublicationOrder(videos, until)
    expected = published_by(videos, until)
    users, columns = np.arange(30)[:, None], np.arange(40)[None]
    np.testing.assert_array_equal(online.published(users, columns), expected)
    assert sorted(online.order) == list(range(40))
    drawn = online.draw(np.repeat(np.arange(30), 4000), rng).reshape(30, 4000)
    for row, mask in zip(drawn, expected, strict=True):  # every published video, and no other
        counts = np.bincount(row, minlength=40)
        np.testing.assert_array_equal(counts > 0, mask)
        assert counts[mask].max() < 2 * counts[mask].min() + 60


def test_before_the_first_publication_any_video_is_drawn():
    videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-02", "2025-03-03"])})
    online = PublicationOrder(videos, pd.to_datetime(pd.Series(["2025-03-01"])))
    assert online.counts.tolist() == [0]
    assert set(online.draw(np.zeros(50, int), np.random.default_rng(0))) == {0, 1}


def test_the_publication_order_of_users_is_by_their_last_event():
    log = events(("u", "a"), ("v", "a"), ("u", "a"), ("w", "a"))
    log["timestamp"] = pd.to_datetime(["2025-03-01", "2025-03-02", "2025-03-03", None])
    videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-02", "2025-03-05"])})
    online = publication_order(log, videos, pd.Index(["w", "v", "u", "x"]))
    assert online.counts.tolist() == [2, 1, 1, 2]  # unknown times rule nothing out
    for without in (
        publication_order(log, None, pd.Index(["u"])),
        publication_order(log, videos.drop(columns="published_at"), pd.Index(["u"])),
        publication_order(log.drop(columns="timestamp"), videos, pd.Index(["u"])),
        publication_order(log.assign(timestamp=pd.NaT), videos, pd.Index(["u"])),
        publication_order(log, videos.iloc[:1], pd.Index(["u"])),  # all had been published
    ):
        assert without is None


def test_published_by_without_publication_times():
    until = pd.to_datetime(pd.Series(["2025-03-01", "2025-03-02"]))
    for videos in (pd.DataFrame(index=["a"]), pd.DataFrame({"published_at": [None]}, index=["a"])):
        assert published_by(videos, until).tolist() == [[True], [True]]
    assert published_by(videos.iloc[:0], until).shape == (2, 0)
    assert published_by(videos, until.iloc[:0]).shape == (0, 1)


def test_published_by_refuses_what_is_no_time():
    until = pd.to_datetime(pd.Series(["2025-03-01"]))
    with pytest.raises(ValueError, match="published_at holds str, such as '2025-03-01'"):
        published_by(pd.DataFrame({"published_at": pd.Series(["2025-03-01"], dtype="str")}), until)
    with pytest.raises(ValueError, match="until holds int64"):
        published_by(pd.DataFrame({"published_at": until}), pd.Series([3]))
