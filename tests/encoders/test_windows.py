"""Windows of clips, by hand: where they begin, which frames they hold, how vectors are pooled."""

import numpy as np
import pytest

from vidrec_utils.encoders import Windows


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        (0.8, [0]),
        (2.0, [0]),
        (2.5, [0.25]),
        (3.0, [0, 1]),
        (4.0, [0, 2]),
        (5.2, [0, 1.6, 3.2]),
        (8.0, [0, 2, 4, 6]),
    ],
)
def test_windows_of_two_seconds_lie_side_by_side(duration, starts):
    np.testing.assert_allclose(Windows(2.0).starts(duration), starts, atol=1e-12)


def test_options_of_starts():
    assert Windows(2.0, at="centre").starts(8.0) == [3.0]
    assert Windows(2.0, count=3).starts(8.0) == [0, 3, 6]
    assert Windows(2.0, count=3).starts(2.0) == [0]
    assert Windows(2.0, count=1).starts(8.0) == [3.0]
    assert Windows(2.0, hop=1.0).starts(4.0) == [0, 1, 2]
    film = Windows(2.0).starts(7200.0)
    assert len(film) == 10
    assert (film[0], film[-1]) == (0, 7198)
    assert len(Windows(2.0, count=12).starts(100.0)) == 12


def test_a_clip_of_a_windows_length_has_one_with_the_middles_of_equal_segments():
    middles = (np.arange(16) + 0.5) / 8
    for options in ({}, {"at": "centre"}, {"count": 4}, {"hop": 0.5}, {"short": "loop"}):
        times = Windows(2.0, **options).times(2.0, 16)
        np.testing.assert_array_equal(times, [middles])


def test_windows_keep_the_rate_whatever_the_duration_is():
    for duration in (2.0, 2.9, 5.5, 8.0):
        times = Windows(2.0).times(duration, 16)
        np.testing.assert_allclose(np.diff(times, axis=1), 1 / 8)
        assert times.min() >= 0
        assert times.max() < duration


@pytest.mark.parametrize(
    ("short", "times"),
    [
        ("stretch", [0.125, 0.375, 0.625, 0.875]),
        ("hold", [0.25, 0.75, 0.875, 0.875]),
        ("loop", [0.25, 0.75, 0.25, 0.75]),
    ],
)
def test_a_short_clip(short, times):
    np.testing.assert_allclose(Windows(2.0, short=short).times(1.0, 4), [times])


@pytest.mark.parametrize("short", ["loop", "stretch", "hold"])
def test_a_clip_that_is_nearly_a_window_is_stretched(short):
    """Of a clip of two seconds, networks of a window of 2.13 see what they saw without windows."""
    times = Windows(32 / 15, short=short).times(2.0, 32)
    np.testing.assert_allclose(times, [(np.arange(32) + 0.5) / 16])
    assert (np.diff(Windows(2.0, short="loop").times(1.49, 16)) < 0).any()
    assert (np.diff(Windows(2.0, short="loop").times(1.5, 16)) > 0).all()


def test_shots_have_windows_of_their_own():
    windows = Windows(2.0, short="stretch")
    times = windows.times(6.0, 2, spans=[(0, 2), (2, 3), (3, 99)])
    np.testing.assert_allclose(times, [[0.5, 1.5], [2.25, 2.75], [3.5, 4.5], [4.5, 5.5]])
    centre = Windows(2.0, at="centre").times(6.0, 2, spans=[(0, 2), (2, 6)])
    np.testing.assert_allclose(centre, [[0.5, 1.5], [3.5, 4.5]])
    assert len(windows.times(100.0, 2, spans=[(t, t + 1) for t in range(100)])) == 10
    beyond = windows.times(2.0, 2, spans=[(0, 2), (2, 4)])
    np.testing.assert_allclose(beyond, [[0.5, 1.5]])
    with pytest.raises(ValueError, match="no shot begins within the 2 s"):
        windows.times(2.0, 2, spans=[(3, 4)])
    for span in ((1, 1), (2, 1), (-1, 1), (float("nan"), 1)):
        with pytest.raises(ValueError, match="must end after it begins"):
            windows.times(2.0, 2, spans=[span])


def test_pooling_by_hand():
    vectors = np.array([[1, 4], [3, 2]], dtype=np.float32)
    assert Windows(2.0).pool(vectors).tolist() == [2, 3]
    assert Windows(2.0, pooling="max").pool(vectors).tolist() == [3, 4]
    for pooling in ("mean", "max"):
        one = Windows(2.0, pooling=pooling).pool(vectors[:1])
        assert one.dtype == np.float32
        assert one.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"hop": -1}, "hop is -1"),
        ({"count": 0}, "count is 0"),
        ({"most": 0}, "most is 0"),
        ({"at": "random"}, "'even', 'centre'"),
        ({"pooling": "median"}, "'mean', 'max'"),
        ({"short": "skip"}, "'loop', 'stretch', 'hold'"),
        ({"count": 2, "hop": 1.0}, "give one of them"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Windows(**options)


def test_windows_without_a_length_say_so():
    with pytest.raises(ValueError, match="have no length"):
        Windows().times(2.0, 16)
