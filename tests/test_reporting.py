"""How numbers with intervals, and differences, are printed."""

import pandas as pd

from vidrec_utils import reporting


def test_each_row_is_a_line():
    table = pd.DataFrame({"mean": [0.5, 0.1], "low": [0.25, 0.0], "high": [0.75, 0.2]}, ["x", "y"])
    assert reporting.sentences(table) == "x: 0.500 [0.250, 0.750].\ny: 0.100 [0.000, 0.200]."
    text = reporting.sentences(table, "are right", ".0%").splitlines()
    assert text == ["x: 50% [25%, 75%] are right.", "y: 10% [0%, 20%] are right."]


def test_a_difference_names_both_and_keeps_its_sign():
    text = reporting.difference("a", "b", -0.02, -0.031, 0.01)
    assert text == "a minus b: -0.0200 [-0.0310, +0.0100]"
    assert reporting.difference("a", "b", 0.5, 0.25, 0.75, ".1f") == "a minus b: 0.5 [0.2, 0.8]"
