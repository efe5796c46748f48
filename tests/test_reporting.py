"""How numbers with intervals, and differences, are printed."""

import pandas as pd
import pytest

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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, "better"),
        (0.0, 0.02, "not worse"),  # includes zero, but no loss that matters
        (-0.0049, 0.02, "not worse"),
        (-0.004, -0.001, "not worse"),  # a loss, smaller than the margin
        (-0.005, 0.02, "cannot tell"),
        (-0.0107, 0.0157, "cannot tell"),
        (-0.02, -0.001, "worse"),
        (-0.02, -0.01, "worse"),
    ],
)
def test_what_an_interval_shows_with_a_margin(low, high, expected):
    assert reporting.verdict(low, high, margin=0.005) == expected


def test_without_a_margin_nothing_is_not_worse():
    assert reporting.verdict(0.001, 0.02) == "better"
    assert reporting.verdict(-0.0001, 0.02) == "cannot tell"
    assert reporting.verdict(-0.02, -0.01) == "worse"
    with pytest.raises(ValueError, match="margin is 0; it must be positive"):
        reporting.verdict(0.1, 0.2, margin=0)


def test_outcomes_are_sentences():
    numbers = "a minus b: -0.0025 [-0.0040, -0.0010]"
    small = reporting.outcome("a", "b", -0.0025, -0.004, -0.001, margin=0.005)
    assert small == f"{numbers}: not worse by more than 0.005, though below zero."
    assert reporting.outcome("a", "b", -0.0025, -0.004, -0.001) == (
        f"{numbers}: worse, as the interval lies below zero."
    )
