"""What each signal says by itself."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from vidrec_utils.behavior_based import SIGNALS, available_signals, signal_weights
from vidrec_utils.events import fit_label
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
RULE = fit_label(LOG, pd.DataFrame({"duration_s": 4.0}, index=list("abcd")), "quantile")
EXPECTED = {
    "shown": [1, 1, 1, 1],
    "watch ratio": [0.25, 0, 1, 0.8],
    "finished": [0, 0, 1, 1],
    "watch percentile": [1 / 6, 0, 5 / 6, 1 / 2],  # of three views, half of a tie with itself
    "watch gain": norm.cdf((np.array([1, -np.inf, 7, 3.2]) - 11.2 / 3) / np.std([1, 7, 3.2])),
    "success": [1, 0, 1, 0],  # at least 7 s, or liked
    "liked": [1, 0, 0, 0],
    "shared": [0, 1, 0, 0],
    "comment": [1, 0, 0, 1],
    "sentiment": [0.5, 0, 0, -1],
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_by_hand(signal):
    before = LOG.copy()
    got = signal_weights(LOG, signal, sentiment=MOOD, rule=RULE)
    np.testing.assert_allclose(got, EXPECTED[signal], atol=1e-9)
    assert got.name == signal
    assert got.index.equals(LOG.index)
    pd.testing.assert_frame_equal(LOG, before)


def test_the_signals_add_up_to_the_event_weights():
    parts = {s: signal_weights(LOG, s, sentiment=MOOD, rule=RULE) for s in SIGNALS}
    every = event_weights(LOG, watch=1, like=2, share=3, comment=4)
    whole = parts["watch ratio"] + 2 * parts["liked"] + 3 * parts["shared"] + 4 * parts["comment"]
    np.testing.assert_allclose(whole, every)
    moody = event_weights(LOG, watch=0, like=0, share=0, comment=4, sentiment=MOOD)
    np.testing.assert_allclose(4 * parts["sentiment"], moody)


def test_a_signal_that_nobody_gave_is_refused():
    bare = LOG[["user_id", "video_id"]].assign(liked=pd.array([None] * 4, dtype="boolean"))
    assert available_signals(bare) == ["shown"]
    assert available_signals(LOG, RULE) == list(SIGNALS)
    assert set(SIGNALS) - {*available_signals(LOG)} == {"watch percentile", "watch gain", "success"}
    untimed = fit_label(LOG)  # nobody knows how long the videos last
    assert set(SIGNALS) - {*available_signals(LOG, untimed)} == {"watch percentile", "watch gain"}
    assert signal_weights(LOG, "success", rule=untimed).tolist() == [1, 0, 1, 1]
    with pytest.raises(ValueError, match="give a rule of events"):
        signal_weights(LOG, "watch gain")
    for signal in ("liked", "watch ratio", "sentiment"):
        with pytest.raises(ValueError, match="says nothing about these data"):
            signal_weights(bare, signal)
    with pytest.raises(ValueError, match="choose from shown, watch ratio"):
        signal_weights(LOG, "smell")
    with pytest.raises(ValueError, match="sentiment of each comment"):
        signal_weights(LOG, "sentiment")


def test_a_disliked_event_weighs_nothing_but_by_being_shown():
    log = LOG.assign(disliked=pd.array([True, None, True, False], dtype="boolean"))
    for signal in SIGNALS:
        got = signal_weights(log, signal, sentiment=MOOD, rule=RULE).to_numpy()
        expected = np.array(EXPECTED[signal], dtype=float)
        if signal != "shown":
            expected[[0, 2]] = 0
        np.testing.assert_allclose(got, expected, atol=1e-9)
