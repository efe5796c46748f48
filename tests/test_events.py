"""Events as numbers: their weights by hand, their matrix, and logs that lack something."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.events import as_ids, event_weights, interaction_matrix, unpack


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


def test_absent_signals_contribute_nothing():
    assert event_weights(events(("u", "a"))).tolist() == [0]
    gone = events(("u", "a"), liked=pd.array([None], dtype="boolean"), watch_ratio=np.nan)
    assert event_weights(gone).tolist() == [0]


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
