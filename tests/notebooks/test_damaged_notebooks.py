"""Notebooks that are none, or were damaged: judged, or refused with a sentence."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.damage import damaged_bytes, damaged_json
from vidrec_utils.notebooks import check_notebook
from vidrec_utils.notebooks.reading import read_node

GOOD = Path(__file__).parent / "known_good" / "07_example.ipynb"


def try_damaged(count: int, seed: int, folder: Path) -> Counter[str]:
    """Judge notebooks with damaged bytes or damaged entries.

    Parameters
    ----------
    count, seed : int
        Number of notebooks, and what decides how they are damaged.
    folder : Path
        Where they are written.

    Returns
    -------
    Counter
        How many were judged, and how many refused.

    Raises
    ------
    Exception
        What `check_notebook` raises and does not document.
    """
    rng = np.random.default_rng(seed)
    path = folder / GOOD.name
    data = GOOD.read_bytes()
    content = json.loads(data)
    # small notebooks, so that every entry has its turn
    content["cells"] = [cell for cell in content["cells"] if cell["cell_type"] == "code"][:6]
    outcomes: Counter[str] = Counter()
    for case in range(count):
        if case % 3 == 0:
            path.write_bytes(damaged_bytes(data, rng))
        else:
            path.write_text(json.dumps(damaged_json(content, rng)), encoding="utf-8")
        try:
            check_notebook(path)
            outcomes["judged"] += 1
        except ValueError as error:
            if not str(error).startswith(f"{path} is not a notebook: "):
                error.add_note(f"seed {seed}, case {case}")
                raise
            outcomes["refused"] += 1
        except Exception as error:
            error.add_note(f"seed {seed}, case {case}")
            raise
    return outcomes


def test_damaged_notebooks_are_judged_or_refused(tmp_path: Path) -> None:
    outcomes = try_damaged(150, seed=0, folder=tmp_path)
    assert outcomes["judged"] > 20
    assert outcomes["refused"] > 20


def with_cell(**entries: object) -> dict:
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [], "id": "cell-00"}
    return {"cells": [cell | entries], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[1", "Expecting"),
        ("[" * 100_000, "recursion"),
        ("[]", "no cells"),
        ('{"cells": 3}', "no cells"),
        ('{"cells": [3]}', "cell 1 is no mapping"),
        ('{"cells": [], "metadata": []}', "its metadata"),
        ('{"cells": [], "metadata": {"kernelspec": "python3"}}', "kernelspec"),
        (with_cell(metadata=None), "cell 1 has metadata"),
        (with_cell(metadata={"tags": None}), "cell 1 has tags"),
        (with_cell(metadata={"tags": "check"}), "cell 1 has tags"),
        (with_cell(metadata={"tags": [["check"]]}), "cell 1 has tags"),
        (with_cell(metadata={"jupyter": True}), "cell 1 has metadata of jupyter"),
        (with_cell(source=None), "cell 1 has a source"),
        (with_cell(source=[1]), "cell 1 has a source"),
        (with_cell(id=7), "cell 1 has a id|cell 1 has an id"),
        (with_cell(cell_type=None), "cell 1 has a cell_type"),
        (with_cell(execution_count="1"), "cell 1 has an execution_count"),
        (with_cell(outputs=None), "cell 1 has outputs"),
        (with_cell(outputs=["text"]), "cell 1 has outputs"),
        (with_cell(outputs=[{"data": []}]), "output whose data"),
        (with_cell(outputs=[{"data": {"text/html": {}}}]), "output whose text/html"),
        (with_cell(outputs=[{"data": {"image/png": 1}}]), "output whose image/png"),
        (with_cell(outputs=[{"metadata": None}]), "output whose metadata"),
        (
            with_cell(outputs=[{"data": {"image/png": ""}, "metadata": {"image/png": 1}}]),
            "output whose metadata of image/png",
        ),
        (with_cell(outputs=[{"output_type": "stream", "text": 1}]), "output whose text"),
        (with_cell(outputs=[{"output_type": "error", "ename": 1}]), "output whose ename"),
    ],
)
def test_what_is_no_notebook_is_named_with_its_path_and_cell(
    content: str | dict, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "07_example.ipynb"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as caught:
        check_notebook(path)
    assert str(caught.value).startswith(f"{path} is not a notebook: ")


@pytest.mark.parametrize("entries", [{"nbformat_minor": None}, {"metadata": None}])
def test_what_cannot_run_is_named_with_its_path(entries: dict, tmp_path: Path) -> None:
    path = tmp_path / GOOD.name
    content = {k: v for k, v in (with_cell() | entries).items() if k != "metadata" or v is not None}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="is not a notebook: ") as caught:
        read_node(path)
    assert str(caught.value).startswith(str(path))


def test_a_cell_nested_too_deeply_is_judged(tmp_path: Path) -> None:
    path = tmp_path / GOOD.name
    shutil.copyfile(GOOD, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][-1] |= {"cell_type": "code", "source": "(" * 5000 + ")" * 5000, "outputs": []}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert check_notebook(path)
