"""What each signal says by itself."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.behavior_based import SIGNALS, available_signals, signal_weights
from vidrec_utils.recommender import event_weights

LOG = pd.DataFrame(
    {
        "user_id": "u",
        "video_id": list("abcd"),
        "watch_ratio": [0.25, np.nan, 1.75, 0.8],
        "liked": pd.array([True, None, False, None], dtype="boolean"),
        "shared": pd.array([None, True, False, False], dtype="boolean"),
        "comment": pd.Series(["nice", None, " ", "awful"], dtype="str"),
    }
)
MOOD = pd.Series([0.5, np.nan, np.nan, -2.0])
EXPECTED = {
    "shown": [1, 1, 1, 1],
    "watch ratio": [0.25, 0, 1, 0.8],
    "finished": [0, 0, 1, 1],
    "liked": [1, 0, 0, 0],
    "shared": [0, 1, 0, 0],
    "comment": [1, 0, 0, 1],
    "sentiment": [0.5, 0, 0, -1],
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_by_hand(signal):
    before = LOG.copy()
    got = signal_weights(LOG, signal, sentiment=MOOD)
    assert got.tolist() == EXPECTED[signal]
    assert got.name == signal
    assert got.index.equals(LOG.index)
    pd.testing.assert_frame_equal(LOG, before)


def test_the_signals_add_up_to_the_event_weights():
    parts = {s: signal_weights(LOG, s, sentiment=MOOD) for s in SIGNALS}
    every = event_weights(LOG, watch=1, like=2, share=3, comment=4)
    whole = parts["watch ratio"] + 2 * parts["liked"] + 3 * parts["shared"] + 4 * parts["comment"]
    np.testing.assert_allclose(whole, every)
    moody = event_weights(LOG, watch=0, like=0, share=0, comment=4, sentiment=MOOD)
    np.testing.assert_allclose(4 * parts["sentiment"], moody)


def test_a_signal_that_nobody_gave_is_refused():
    bare = LOG[["user_id", "video_id"]].assign(liked=pd.array([None] * 4, dtype="boolean"))
    assert available_signals(bare) == ["shown"]
    assert available_signals(LOG) == list(SIGNALS)
    for signal in ("liked", "watch ratio", "sentiment"):
        with pytest.raises(ValueError, match="says nothing about these data"):
            signal_weights(bare, signal)
    with pytest.raises(ValueError, match="choose from shown, watch ratio"):
        signal_weights(LOG, "smell")
    with pytest.raises(ValueError, match="sentiment of each comment"):
        signal_weights(LOG, "sentiment")
