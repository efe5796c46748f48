"""Awkward tables of many forms: read as Python's own csv reader reads them, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers import awkward_tables
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report


class AwkwardTables(Kind):
    """The tables of `tests/helpers/awkward_tables.py`, of which `make test` reads a sample."""

    name = "awkward_tables"

    def __init__(self, folder: Path) -> None:
        del folder  # each case draws its own

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        self.case = awkward_tables.drawn(rng)
        (folder / "damage.txt").write_text(self.case.damage, encoding="utf-8")

    def examine(self, folder: Path) -> str:
        return f"{awkward_tables.check(self.case, folder / 'library')}, {self.case.damage}"


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(AwkwardTables, count, seed, folder, progress)
