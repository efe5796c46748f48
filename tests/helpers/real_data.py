"""Finding the real data sets that some tests read and nobody commits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def find(name: str) -> Path | None:
    """The folder of a real data set, or None if it is absent.

    It is looked for in the folder that `VIDREC_REAL_DATA` names, else in `../shared/data` beside
    the repository.
    """
    given = os.environ.get("VIDREC_REAL_DATA")
    base = Path(given).expanduser() if given else REPOSITORY.parent / "shared" / "data"
    folder = base / name
    return folder if folder.is_dir() else None


def require(name: str) -> Path:
    """The folder of a real data set; the test is skipped, with the reason, if it is absent."""
    folder = find(name)
    if folder is None:
        pytest.skip(
            f"The real data set {name} is absent. Put it into ../shared/data beside the "
            "repository, or name the folder that holds it in VIDREC_REAL_DATA."
        )
    return folder
