"""The comparison of printed numbers: what it sees, what it leaves out, what it says."""

import json

import pytest

from scripts.compare_outputs import differences, main, numbers


def write(folder, *texts):
    """Write a notebook with one code cell for each text, after a cell of text."""
    cells = [{"cell_type": "markdown", "source": "# 7 things"}]
    for text in texts:
        outputs = [{"output_type": "stream", "name": "stdout", "text": text.splitlines(True)}]
        cells.append({"cell_type": "code", "source": "f()", "outputs": outputs})
    folder.mkdir(exist_ok=True)
    path = folder / "07_example.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("recall 0.12 [-.5, +3e-04], 1,024 of 2,000 users", "0.12 -.5 +3e-04 1,024 2,000"),
        ("sport minus food: −0.20 [-64, -41].", "−0.20 -64 -41"),
        ("took 3.2 s, 1 to 2 minutes, 5 ms, 7 items/s, 1.5 GB; 2 times as fast, 3x", ""),
        ("ResNet50, I3D, recall@10, <object at 0x7f3a>, 53aa51172d142c89", "10"),
        ("<table><tr><td>0.5</td></tr></table>", "0.5"),
        (
            "      score  ms a clip\ni3d    0.5       12.25\nvgg    0.6        9.00\n\n  12.25",
            "0.5 0.6 12.25",
        ),
        ("       seconds  n\nslow    51.483  5", "5"),
    ],
)
def test_numbers_that_have_to_stay(text, values):
    assert numbers(text) == values.split()


def test_equal_notebooks_differ_nowhere(tmp_path, capsys):
    write(tmp_path / "a", "recall 0.12 in 3 s\n", "done\n")
    write(tmp_path / "b", "recall 0.12 in 4 s\n", "done\n")
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == "1 notebooks compared, 0 cells differ\n"


def test_a_difference_is_named_with_its_cell_and_numbers(tmp_path, capsys):
    write(tmp_path / "a", "one 1", "recall 0.120, ndcg 0.30")
    write(tmp_path / "b", "one 1", "recall 0.121, ndcg 0.30")
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(folders) == 1
    assert capsys.readouterr().out.startswith("07_example, cell 3 (now 3): 0.120 -> 0.121\n")
    assert main([*folders, "--tolerance", "0.002"]) == 0


def test_added_and_moved_cells_are_found_again(tmp_path):
    before = write(tmp_path / "a", "one 1", "two 2.5", "three 3")
    assert [
        *differences(before, write(tmp_path / "b", "no number", "one 1", "two 2.5", "three 3"))
    ] == []
    (line,) = differences(before, write(tmp_path / "c", "one 1", "three 3"))
    assert line == "07_example, cell 3 (now none): 2.5 -> nothing"
    (line,) = differences(before, write(tmp_path / "d", "one 1", "two 2.5", "new 7", "three 3"))
    assert line == "07_example, cell none (now 4): nothing -> 7"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [("a", "empty", "empty lacks 07_example.ipynb of"), ("empty", "a", "there is no notebook in")],
)
def test_a_notebook_that_is_missing_is_named(tmp_path, capsys, before, after, message):
    write(tmp_path / "a", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / before), str(tmp_path / after)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
