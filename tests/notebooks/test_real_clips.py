"""Notebooks that read pixels on real clips, as on a library of the reader's own."""

import os
from pathlib import Path

import nbformat
import pytest

from tests.helpers import real_clips, real_data
from vidrec_utils import course

REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = (
    "00_tour",
    "01_preprocessing",
    "04_video_encoders",
    "05_transfer_learning",
    "10_imbalance",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of kernels that read the real clips, and write nowhere else."""
    source = real_data.require(real_clips.SOURCE)
    folder = tmp_path_factory.mktemp("real")
    library = real_clips.build_library(source, folder / "clips")
    given = {"VIDREC_DATASET": str(library), "VIDREC_DATA": str(folder / "data")}
    return course.environment(folder / "build", os.environ | given)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_on_real_clips(name: str, environment: dict[str, str]) -> None:
    path = REPO / "notebooks" / f"{name}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    _, run = course.execute(path, environment)
    assert run.cells == sum(
        cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells
    )
    assert not (Path(environment["VIDREC_DATA"]) / "minitube").exists()
