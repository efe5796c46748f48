"""Cases that end as none may, so that a test sees what the runner notices."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from tests.long.kind import Kind


class Misbehaving(Kind):
    """A crash, a hang, an untrue claim, too much memory and an error, by the number of the case."""

    name = "misbehaving"

    def __init__(self, folder: Path) -> None:
        (folder / "intact.txt").write_text("intact")

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        (folder / "number.txt").write_text(str(number))

    def examine(self, folder: Path) -> str:
        number = int((folder / "number.txt").read_text())
        if number == 1:
            os.kill(os.getpid(), signal.SIGSEGV if sys.platform != "win32" else signal.SIGTERM)
        if number == 2:
            while True:
                pass
        if number == 3:
            assert len(np.ones(200 * 2**20, np.uint8)) == 0
        if number == 4:
            assert len(np.ones(60 * 2**20, np.uint8))
        if number == 5:
            raise KeyError("not documented")
        return f"ended in process {os.getpid()}"
