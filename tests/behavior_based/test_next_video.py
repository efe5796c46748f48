"""The next video of a session: which events are asked for, and what a rank is worth."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import events
from vidrec_utils.behavior_based import SequentialRules, next_ndcg, next_questions


def log_of(rows):
    """A log from (user, video, minute, watch ratio)."""
    log = pd.DataFrame(rows, columns=["user_id", "video_id", "minute", "watch_ratio"])
    start = pd.Timestamp("2026-01-01", tz="UTC")
    log["timestamp"] = [start + pd.Timedelta(minutes=minute) for minute in log.pop("minute")]
    return log


@pytest.fixture
def log():
    return log_of(
        [
            ("ann", "a", 0, 1.0),  # nothing before it in the session
            ("ann", "b", 5, 0.9),  # asked for
            ("ann", "c", 9, 0.1),  # no success
            ("ann", "a", 12, 1.0),  # seen before
            ("ann", "d", 300, 1.0),  # a session of its own
            ("bob", "c", 301, 0.2),  # no success
            ("bob", "d", 303, 1.0),  # nothing enjoyed before it
            ("bob", "e", 305, 1.0),  # asked for
        ]
    )


@pytest.fixture
def rule(log):
    return events.fit_label(log, None, "ratio")


def test_only_new_successes_after_something_enjoyed_are_asked_for(log, rule):
    questions = next_questions(log[:0], log.sample(frac=1, random_state=0), rule)
    assert questions["target"].tolist() == ["b", "e"]
    assert questions["history"].tolist() == [["a"], ["c", "d"]]
    assert questions["weights"].tolist() == [[1.0], [0.2, 1.0]]
    assert questions["in_session"].tolist() == [1, 2]


def test_the_past_is_history_and_is_not_asked_for(log, rule):
    questions = next_questions(log[log["user_id"] == "ann"], log[log["user_id"] == "bob"], rule)
    assert questions["target"].tolist() == ["e"]
    later = log_of([("ann", "e", 302, 1.0)])
    questions = next_questions(log[:5], later, rule)
    assert questions["history"].tolist() == [["a", "b", "c", "a", "d"]]
    assert questions["in_session"].tolist() == [1]


def test_no_question_gives_an_empty_table(log, rule):
    questions = next_questions(log[:0], log[:1], rule)
    assert len(questions) == 0
    model = SequentialRules().fit(log)
    assert next_ndcg(model, questions, pd.DataFrame(index=list("abcde"))).shape == (0,)


class Fixed(SequentialRules):
    """The same scores for every session, by video a to e."""

    def _score_history(self, columns, weights):
        self.asked = columns
        return np.array([9.0, 1, 5, 3, 1])


def question(**changes):
    row = {"target": "d", "timestamp": pd.Timestamp("2026-01-01", tz="UTC"), "seen": ["a"]}
    row |= {"history": ["a", "c"], "weights": [0.2, 1.0], "in_session": 1}
    return pd.DataFrame([row | changes])


@pytest.mark.parametrize(
    ("changes", "k", "expected"),
    [
        ({}, 10, 1 / np.log2(3)),  # c is before d, and a was seen
        ({"seen": []}, 10, 1 / np.log2(4)),  # a, c, d
        ({"seen": ["a", "c"]}, 10, 1.0),
        ({}, 1, 0.0),
        ({"target": "b"}, 10, 1 / np.log2(5)),  # e has the same score, so it counts as before b
        ({"target": "unknown"}, 10, 0.0),
        ({"target": "a"}, 10, 0.0),  # seen, so never listed
    ],
)
def test_a_rank_is_worth_its_logarithm(log, changes, k, expected):
    model = Fixed().fit(log)
    gain = next_ndcg(model, question(**changes), pd.DataFrame(index=list("abcde")), k)
    assert gain == pytest.approx([expected])


def test_videos_that_were_not_online_are_not_ranked(log):
    online = pd.to_datetime(["2025-01-01", "2025-01-01", "2026-02-01", None, None], utc=True)
    videos = pd.DataFrame({"published_at": online}, index=list("abcde"))
    assert next_ndcg(Fixed().fit(log), question(), videos) == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("options", "columns"),
    [({}, [0, 2]), ({"least": 0.5}, [2]), ({"session_only": True}, [2])],
)
def test_what_a_model_is_asked_with(log, options, columns):
    model = Fixed().fit(log)
    next_ndcg(model, question(), pd.DataFrame(index=list("abcde")), **options)
    assert model.asked.tolist() == columns
