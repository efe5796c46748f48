"""Kernels leave nothing behind, also when the course is killed; two at once share a cold cache."""

import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from vidrec_utils.notebooks import kernels

RUN = """
import os, sys
from pathlib import Path
from vidrec_utils.notebooks import kernels
kernels.execute(Path(sys.argv[1]), kernels.environment(Path(sys.argv[2])))
"""


def write_notebook(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    nbformat.write(notebook, path)
    return path


def connection_files(root: Path) -> list[Path]:
    return [
        path for path in root.rglob("*.json") if "connection" in path.name or "kernel-" in path.name
    ]


def started(notebook: Path, build: Path, temporary: Path) -> subprocess.Popen:
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN, str(notebook), str(build)]
    return subprocess.Popen(command, env=environment)


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_a_killed_course_leaves_no_connection_file_and_no_kernel(tmp_path: Path) -> None:
    temporary, build = tmp_path / "temporary", tmp_path / "build"
    temporary.mkdir()
    cell = "import pathlib, time\npathlib.Path('running').touch()\ntime.sleep(120)"
    slow = write_notebook(tmp_path / "slow.ipynb", cell)

    early = started(slow, build, temporary)  # killed while the kernel starts
    wait_for(lambda: connection_files(build))
    family = psutil.Process(early.pid).children(recursive=True)
    early.kill()
    early.wait()
    # A kernel that is still starting writes its connection file again if somebody sweeps it.
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert connection_files(build)

    late = started(slow, build, temporary)  # killed while a cell runs
    wait_for((tmp_path / "running").exists)
    assert (
        connection_files(tmp_path) == []
    )  # that of the first was swept, the own one has been read
    family = psutil.Process(late.pid).children(recursive=True)
    late.kill()
    late.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert connection_files(tmp_path) == []

    kernels.execute(write_notebook(tmp_path / "quick.ipynb", "1"), kernels.environment(build))
    assert list((build / "kernels" / "runtime").iterdir()) == []


def test_a_file_that_is_no_notebook_fails_before_its_first_cell(tmp_path: Path) -> None:
    path = tmp_path / "none.ipynb"
    for text in (
        "{",
        "[]",
        '{"cells": [], "nbformat": 3}',
        '{"cells": [{}], "nbformat": 4}',
        '{"cells": [], "nbformat": 4}',
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(kernels.NotebookFailed, match=r"none\.ipynb is not a notebook"):
            kernels.execute(path, kernels.environment(tmp_path / "build"))


COLD = (
    """
    from dataclasses import replace
    from pathlib import Path
    from vidrec_utils import datasets, embeddings, preprocessing, settings, text_encoders
    from vidrec_utils.minitube.config import world_config
    from vidrec_utils.minitube.world import build_world
    config = replace(world_config(), size="tiny", n_videos=24, n_users=30, n_uploaders=6,
                     exposures_per_user=20.0)
    """,
    "folder = build_world(config, settings.data_dir() / 'minitube', progress=False)",
    "library, report = preprocessing.clean(datasets.load_folder(folder), progress=False)",
    "encoder = text_encoders.load('tfidf').fit(library.videos['title'])",
    "vectors = embeddings.embed(library, encoder, 'title', progress=False)",
    "print(len(library.interactions), report.frame.shape, vectors.frame().sum().sum())",
)


def test_two_notebooks_at_once_on_a_cold_cache_agree_and_leave_nothing(tmp_path: Path) -> None:
    """Both render, clean and embed the same world; what is there afterwards is whole."""
    environment = kernels.environment(tmp_path / "build") | {
        "VIDREC_DATA": str(tmp_path / "data"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    paths = [write_notebook(tmp_path / f"{name}.ipynb", *COLD) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as threads:
        ran = list(threads.map(lambda path: kernels.execute(path, environment), paths))
    printed = {notebook.cells[-1].outputs[-1].text for notebook, _ in ran}
    assert len(printed) == 1
    data = tmp_path / "data"
    hidden = [p.name for p in data.rglob(".*") if p.suffix != ".lock"]
    assert hidden == []
    assert len(list((data / "cache" / "cleaning").iterdir())) == 1
    assert len(list((data / "cache" / "embeddings").iterdir())) == 1
