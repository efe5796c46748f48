"""A plug-in for pytest: cells that nbval runs have to print what is committed.

    python -m pytest --nbval-lax -p vidrec_utils.notebooks.nbval_printed notebooks/*.ipynb

Notebooks of `techniques.NOT_YET_REWRITTEN` are left out, and so is a run on other data or with
another profile. On other platforms than the one that wrote the outputs only words are compared.
"""

from __future__ import annotations

import os
from collections.abc import Generator

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
            advice = f"{difference} Run `make notebooks NOTEBOOKS={item.path.name}` and commit it."
            item.raise_cell_error("The committed output is stale", advice)
    return result
