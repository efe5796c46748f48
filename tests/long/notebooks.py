"""Damaged notebooks: judged by the course's rules, or refused by path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.helpers.damage import damaged_bytes, damaged_json
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from vidrec_utils.notebooks import check_notebook
from vidrec_utils.notebooks.reading import read_node

GOOD = Path(__file__).parents[1] / "notebooks" / "known_good" / "07_example.ipynb"


class Notebooks(Kind):
    """A notebook that keeps all rules, whole or with its first cells only."""

    name = "notebooks"

    def __init__(self, folder: Path) -> None:
        self.data = GOOD.read_bytes()
        self.content = json.loads(self.data)
        cells = self.content["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        self.contents = [
            self.content | {"cells": part} for part in (cells[:4], code[:6], code[-3:])
        ]

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        file = folder / GOOD.name
        if number % 3 == 0:
            file.write_bytes(damaged_bytes(self.data, rng))
            return
        content = self.contents[int(rng.integers(len(self.contents)))]
        file.write_text(json.dumps(damaged_json(content, rng)), encoding="utf-8")

    def examine(self, folder: Path) -> str:
        [file] = folder.glob("*.ipynb")
        outcomes = []
        for read in (check_notebook, read_node):
            try:
                read(file)
                outcomes.append("read")
            except ValueError as error:
                if not str(error).startswith(f"{file} is not a notebook"):
                    raise
                outcomes.append("refused")
        return {"read read": "judged", "read refused": "judged, not run"}.get(
            " ".join(outcomes), "refused"
        )


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(Notebooks, count, seed, folder, progress)
