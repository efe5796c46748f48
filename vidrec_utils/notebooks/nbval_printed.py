"""A plug-in for pytest: cells that nbval runs have to print what is committed.

    python -m pytest --nbval-lax -p vidrec_utils.notebooks.nbval_printed notebooks/*.ipynb

Notebooks of `techniques.NOT_YET_REWRITTEN` are left out, and so is a run on other data or with
another profile. On other platforms than the one that wrote the outputs only words are compared.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

from vidrec_utils.notebooks.printed import (
    TIMES,
    printed_text,
    text_difference,
    writes_the_numbers,
)
from vidrec_utils.notebooks.techniques import NOT_YET_REWRITTEN


def _compares(item: pytest.Item) -> bool:
    """Tell whether the outputs of a test item have to be those of its notebook."""
    other = os.environ.get("VIDREC_DATASET") or os.environ.get("VIDREC_PROFILE")
    return isinstance(item, IPyNbCell) and not other and item.path.stem not in NOT_YET_REWRITTEN


def _advice(path: Path) -> str:
    """Say what to do about a stale output, in this order."""
    name = f"notebooks/{path.name}"
    return (
        "If the new text is wrong, correct the code. If it is right, see whether the prose still "
        f"holds, then write the outputs anew with `make notebooks NOTEBOOKS={name}` (without make: "
        f"`python -m vidrec_utils.notebooks --refresh --check {name}`) and commit them. A cell "
        f"that prints times or memory, which differ from run to run, has the tag `{TIMES}`."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Compare the text that a cell has printed with the committed one."""
    result = yield
    if _compares(item):
        difference = text_difference(
            printed_text(item.cell.outputs),
            printed_text(item.test_outputs or []),
            numbers=writes_the_numbers(),
            times=TIMES in item.cell.metadata.get("tags", []),
        )
        if difference:
            item.raise_cell_error(
                "The committed output is stale", f"{difference} {_advice(item.path)}"
            )
    return result
