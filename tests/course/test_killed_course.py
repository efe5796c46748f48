"""Killed while it computes, a course leaves caches that give the same results."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from vidrec_utils import (
    audio_encoders,
    datasets,
    embeddings,
    preprocessing,
    settings,
    text_encoders,
)
from vidrec_utils.course import prefetch

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once"
)
AHEAD = """
from vidrec_utils.course import prefetch

if __name__ == "__main__":
    chosen = [task for task in prefetch.TASKS if task.name in ("titles", "sounds")]
    print(list(prefetch._outcomes(chosen)))
"""
CELLS = (
    "from vidrec_utils import audio_encoders, datasets, embeddings, preprocessing, text_encoders",
    "cleaned, _ = preprocessing.clean(datasets.load(), progress=False)",
    'titles = text_encoders.load("minilm", device="cpu")\n'
    'embeddings.embed(cleaned, titles, of="title", progress=False)',
    'embeddings.embed(cleaned, audio_encoders.load("log_mel"), of="sound", progress=False)',
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the embedded world and its cleaning, and no vector."""
    preprocessing.clean(datasets.load(), progress=False)
    folder = tmp_path / "data"
    shutil.copytree(settings.data_dir() / "minitube", folder / "minitube")
    shutil.copytree(settings.cache_dir() / "cleaning", folder / "cache" / "cleaning")
    return folder


def vectors() -> list[np.ndarray]:
    """Vectors of titles and of sounds, from the caches where they hold them."""
    cleaned, _ = preprocessing.clean(datasets.load(), progress=False)
    encoders = {"title": text_encoders.load("minilm", device="cpu")}
    found = [embeddings.embed(cleaned, encoders["title"], of="title", progress=False)]
    found.append(embeddings.embed(cleaned, audio_encoders.load("log_mel"), of="sound"))
    return [one.matrix(one.ids[one.rows >= 0]) for one in found]


def killed_at_some_moment(command: list[str], data: Path, most_s: float) -> None:
    """Start a command, and kill it with all its children at a moment that chance decides."""
    env = {**os.environ, "VIDREC_DATA": str(data), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=env, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(random.uniform(1, most_s))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def assert_the_same_results(
    command: list[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a command to its end, and compare with vectors that nobody interrupted."""
    expected = vectors()
    env = {**os.environ, "VIDREC_DATA": str(data), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=env, check=True, capture_output=True)
    monkeypatch.setenv("VIDREC_DATA", str(data))
    for found, uninterrupted in zip(vectors(), expected, strict=True):
        # Batches are others after an interruption, which moves the last digits.
        np.testing.assert_allclose(found, uninterrupted, rtol=1e-4, atol=1e-5)


def test_computing_ahead_goes_on_after_a_kill(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ahead.py"
    program.write_text(AHEAD, encoding="utf-8")
    command = [sys.executable, str(program)]
    killed_at_some_moment(command, data, most_s=15)
    assert_the_same_results(command, data, monkeypatch)
    marks = {prefetch._mark(task) for task in prefetch.TASKS if task.name in ("titles", "sounds")}
    assert marks == set((data / "cache" / "computed-ahead").iterdir())


def test_two_notebooks_at_once_go_on_after_a_kill(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("00_one", "01_two"):
        cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(
            nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb"
        )
    command = [sys.executable, "-m", "vidrec_utils.course", "--jobs", "2", "--no-html"]
    command += ["--notebooks", str(tmp_path / "notebooks"), "--output", str(tmp_path / "build")]
    killed_at_some_moment(command, data, most_s=20)
    assert_the_same_results(command, data, monkeypatch)
