"""What the benchmarks share: the command line, turns, ratios and matrices."""

import sys

import pytest

from benchmarks.side_by_side import (
    Option,
    binary_matrix,
    claim,
    not_kept,
    options,
    ratio,
    rounds,
    timed,
)


def chosen(monkeypatch, *typed):
    """Options of each kind, as they are read from what was typed."""
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *typed])
    return vars(
        options(
            "Compare things.",
            k=10,
            minutes=Option(2.5, "of this run"),
            per_user=Option(None, "a file"),
            seeds=Option([0, 1], choices=(0, 1, 2)),
            only=[""],
            write=False,
        )
    )


def test_defaults_are_those_of_the_keywords(monkeypatch):
    assert chosen(monkeypatch) == {
        "k": 10, "minutes": 2.5, "per_user": None, "seeds": [0, 1], "only": [""], "write": False,
    }  # fmt: skip


def test_a_default_gives_the_type_of_what_is_typed(monkeypatch):
    typed = "-k 3 --minutes 4 --per-user 7 --seeds 2 1 --only ALS 100k --write"
    assert chosen(monkeypatch, *typed.split()) == {
        "k": 3, "minutes": 4.0, "per_user": "7", "seeds": [2, 1], "only": ["ALS", "100k"],
        "write": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--seeds", "3"], "invalid choice: 3"),
        (["-k", "ten"], "invalid int value: 'ten'"),
        (["--only"], "expected at least one argument"),
        (["--k", "3"], "unrecognized arguments"),
    ],
)
def test_what_is_typed_wrongly_is_refused(typed, message, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        chosen(monkeypatch, *typed)
    assert message in capsys.readouterr().err


def test_help_describes_the_program_and_its_options(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        chosen(monkeypatch, "--help")
    printed = capsys.readouterr().out
    assert "Compare things." in printed
    assert "of this run" in printed


def test_ways_take_turns_and_every_second_round_goes_backwards():
    runs, ticks = [], iter([0, 1, 1, 3, 3, 7, 7, 15])  # the runs take 1, 2, 4 and 8 ticks
    ways = {"ours": lambda: runs.append("ours"), "peer": lambda: runs.append("peer")}
    taken = rounds(ways, 2, clock=lambda: next(ticks))
    assert runs == ["ours", "peer", "peer", "ours"]
    assert taken == {"ours": [1, 8], "peer": [2, 4]}
    assert ratio(taken["peer"], taken["ours"]) == 1.25  # the median of 2 / 1 and 4 / 8


def test_medians_are_printed_in_their_unit(capsys):
    ticks = iter([0.0, 0.25, 1.0, 1.75])
    timed("Two rounds:", {"ours": lambda: None}, 2, "ms", 1000, clock=lambda: next(ticks))
    assert capsys.readouterr().out.split("\n")[:2] == [
        "Two rounds:",
        "  ours             500.00 ms",
    ]


def test_a_pair_that_occurs_twice_counts_once():
    matrix = binary_matrix([0, 0, 1], [2, 2, 0], (2, 3))
    assert matrix.toarray().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert matrix.dtype == "float32"


def test_claims_and_promises_that_do_not_hold_are_named(capsys):
    assert claim("seeking", 5.0, 5.0) == []
    assert claim("seeking", 4.0, 5.0) == ["seeking: 4.00, claimed is 5.0"]
    assert not_kept(3, {"the sun rises": True, "it rains": False}) == [
        "seed 3: not true that it rains"
    ]
