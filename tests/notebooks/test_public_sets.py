"""Notebooks on small public sets: what a set lacks costs a sentence, never the run.

The cells run in this process, one notebook after the other, so that nothing is imported twice.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest

from tests.helpers import public_sets
from vidrec_utils import datasets

REPO = Path(__file__).resolve().parents[2]
SETS = {"movielens": public_sets.write_movielens, "kuairand": public_sets.write_kuairand}
NOTEBOOKS = (
    "01_preprocessing",
    "06_evaluation",
    "07_content_based",
    "08_behavior_based",
    "09_hybrid",
)
SENTENCES = {
    ("movielens", "01_preprocessing"): "The library movielens has no uploader",
    ("kuairand", "01_preprocessing"): "The library kuairand has no path",
    ("movielens", "06_evaluation"): "The library movielens has no watch_ratio and duration_s",
    ("kuairand", "06_evaluation"): "Without vectors there is nothing that a classifier could read.",
    ("movielens", "07_content_based"): "The library movielens has no thumbnail",
    ("kuairand", "07_content_based"): "There are vectors of: tags.",
    ("movielens", "08_behavior_based"): "The library movielens has no duration_s and watch_ratio",
    ("kuairand", "08_behavior_based"): "The library kuairand has no comment",
    ("movielens", "09_hybrid"): "Nobody has a success in the test for heavy users.",
    ("kuairand", "09_hybrid"): "Only one modality is known here",
}
"""A sentence that each notebook says on each set."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both sets and of what notebooks keep."""
    folder = tmp_path_factory.mktemp("public")
    for name, write in SETS.items():
        write(folder / name)
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("which", SETS)
def test_notebook_runs_on_a_public_set(
    which: str,
    name: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    one_thread: None,
) -> None:
    monkeypatch.setenv("VIDREC_DATASET", str(home / which))
    monkeypatch.setenv("VIDREC_DATA", str(home / "data"))
    names: dict[str, object] = {"__name__": "__main__"}
    with mpl.rc_context():
        for number, cell in enumerate(nbformat.read(_path(name), as_version=4).cells):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{name}, cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert SENTENCES[which, name] in printed
    words = re.sub(r"[A-Za-z0-9+/=]{60,}", "", printed)  # a picture can spell anything
    assert not re.search(r"\bnan\b", words)
    assert not (home / "data" / "minitube").exists()


def test_the_sets_are_read_as_what_they_stand_for(home: Path) -> None:
    films, clips = (datasets.load(home / name) for name in SETS)
    assert films.name == "movielens"
    assert films.lacking("title", "category", "liked", "timestamp") == []
    assert len(films.lacking("path", "thumbnail", "watch_ratio", "duration_s")) == 4
    assert clips.name == "kuairand"
    assert clips.lacking("tags", "duration_s", "watch_ratio", "liked", "published_at") == []
    assert len(clips.lacking("title", "path", "thumbnail", "comment")) == 4


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("00_tour", '("path", "interactions")'),
        ("02_text_encoders", '"title"'),
        ("03_image_encoders", '"thumbnail"'),
        ("04_video_encoders", '"path"'),
        ("05_transfer_learning", '"path"'),
        ("06_evaluation", '"interactions"'),
        ("07_content_based", '"interactions"'),
        ("08_behavior_based", '"interactions"'),
        ("09_hybrid", '"interactions"'),
    ],
)
def test_notebooks_about_one_signal_name_it(name: str, needs: str) -> None:
    """On a set without it they run on MiniTube, as they do in all other tests."""
    call = f"library = datasets.load(needs={needs})"
    assert any(call in cell.source for cell in nbformat.read(_path(name), as_version=4).cells)


def _path(name: str) -> Path:
    return REPO / "notebooks" / f"{name}.ipynb"
