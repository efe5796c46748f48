"""What the truth says of detectors."""

import pandas as pd
import pytest

from vidrec_utils.minitube import truth
from vidrec_utils.minitube.truth import score_detection


def test_reports_are_scored_by_index_in_the_log_and_by_id_elsewhere():
    columns = ["table", "row", "id", "problem"]
    # Rows 2 and 9 of the file have index 0 and 7 in the log; 0 and 3 were planted.
    rows = [
        ("interactions", 2, "u", "timestamp in the future"),
        ("interactions", 9, "u", "timestamp in the future"),
        ("videos", 5, "v", "broken file: empty"),
    ]
    dirt = [
        ("0", "timestamp_far_future"),
        ("3", "timestamp_far_future"),
        ("v", "empty_file"),
        ("w", "truncated"),
    ]
    kinds = {kind for group in truth.PLANTED_AS.values() for kind in group}
    others = [("elsewhere", kind) for kind in kinds - {kind for _, kind in dirt}]
    planted = pd.DataFrame(dirt + others, columns=["id", "kind"])
    world = truth.Truth(videos=None, boxes=None, exposures=None, dirt=planted, tastes=None)
    table = world.score_report(pd.DataFrame(rows, columns=columns))
    assert list(table.index) == list(truth.PLANTED_AS)
    assert tuple(table.loc["timestamp in the future"]) == (0.5, 0.5, 2)
    # Three kinds of dirt break a file; one of the three files was reported.
    assert tuple(table.loc["broken file"]) == (1.0, 1 / 3, 3)
    assert tuple(table.loc["black clip"]) == (1.0, 0.0, 1)


def test_detection_by_hand():
    score = score_detection(["a", "b", "b", "c"], ["b", "c", "d", "e"])
    assert score["precision"] == pytest.approx(2 / 3)
    assert score["recall"] == 0.5
    assert score["f1"] == pytest.approx(4 / 7)
    assert score["n"] == 4
    assert score_detection([], ["a"])["f1"] == 0.0
    assert score_detection([], [])["f1"] == 1.0
    assert score_detection(["a"], [])["precision"] == 0.0
