"""What is computed ahead is what notebooks ask for, and failures are said."""

import ast
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import nbformat
import numpy as np
import psutil
import pytest

from tests.helpers import slices
from vidrec_utils import cache, embeddings, hybrid, video_encoders
from vidrec_utils.course import prefetch
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import embedding
from vidrec_utils.encoders import Encoder
from vidrec_utils.video_encoders import by_pretraining

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def is_check(cell: nbformat.NotebookNode) -> bool:
    return "check" in cell.metadata.get("tags", [])


def test_tasks_by_notebook() -> None:
    every = prefetch.tasks_for([])
    assert every == list(prefetch.TASKS)
    assert len({task.name for task in every}) == len(every)
    assert prefetch.tasks_for(["08_behavior_based"]) == []
    known = {path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert {number for task in every for number in task.notebooks} <= known


@pytest.mark.parametrize(
    ("name", "asks", "times"),
    [
        ("06_evaluation", "embeddings.embed(", 3),
        ("07_content_based", "embeddings.embed(", 3),
        ("09_hybrid", "hybrid.modalities(", 4),
        ("10_imbalance", "embeddings.embed(", 1),
    ],
)
def test_the_notebook_finds_what_was_computed(
    name: str,
    asks: str,
    times: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> None:
    for task in prefetch.tasks_for([name]):
        assert prefetch._outcome(prefetch.TASKS.index(task)) == (task.name, "")
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    codes = [cell.source for cell in cells if cell.cell_type == "code" and not is_check(cell)]
    first = next(k for k, code in enumerate(codes) if asks in code)
    monkeypatch.setenv(cache.LOG_VARIABLE, str(tmp_path / "log"))
    names: dict[str, object] = {"__name__": "__main__"}
    for k, code in enumerate(codes[: first + 1]):
        exec(compile(code, f"{name}, code cell {k}", "exec"), names)
    asked = [one for one in cache.read_log(tmp_path / "log")[0] if one.what.startswith("vectors")]
    assert len(asked) >= times
    assert [one for one in asked if one.computed] == []


def test_the_inputs_of_trainable_stages_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    tasks = prefetch.tasks_for(["09_hybrid"])
    chosen = next(task for task in tasks if task.name == "inputs of trainable stages")
    assert prefetch._outcome(prefetch.TASKS.index(chosen)) == (chosen.name, "")
    cells = nbformat.read(NOTEBOOKS / "09_hybrid.ipynb", as_version=4).cells
    assert any("clips = hybrid.read_clips(cleaned)\n" in cell.source for cell in cells)
    monkeypatch.setenv(cache.LOG_VARIABLE, str(tmp_path / "log"))
    hybrid.source_models(hybrid.read_clips(prefetch._cleaned()), ("frozen", "joint"))
    asked = [one for one in cache.read_log(tmp_path / "log")[0] if one.what.startswith("inputs")]
    assert [one.computed for one in asked] == [0]


@pytest.mark.parametrize("name", ["02_text_encoders", "03_image_encoders", "04_video_encoders"])
def test_the_notebook_asks_for_what_is_computed_ahead(
    name: str, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    asked: dict[str, set[str]] = {}

    def ask(library: VideoLibrary, encoder: Encoder, of: str = "title", **options: bool) -> object:
        store = embedding._store_of(encoder, of, None)[0].name  # by the hash of all weights
        asked.setdefault(store, set()).update(library.videos.index)
        return MagicMock()  # nobody looks at the vectors

    monkeypatch.setattr(embeddings, "embed", ask)
    monkeypatch.setattr(video_encoders, "by_pretraining", remembered(by_pretraining))
    for task in prefetch.tasks_for([name]):
        task.compute(prefetch._cleaned())
    ahead = asked.copy()
    assert ahead
    asked.clear()
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    slices.run(slices.slice_for(code, "embeddings.embed"), {"__name__": "__main__"})
    assert set(ahead) <= set(asked), "nobody asks for these vectors"
    lacking = {store: len(asked[store] - ahead[store]) for store in ahead}
    assert set(lacking.values()) == {0}, f"videos that were not computed ahead: {lacking}"


def remembered(build: Callable[..., dict]) -> Callable[..., dict]:
    """Build the same networks once, though several tasks and the notebook ask for them."""
    built: dict[bytes, dict] = {}

    def look_up(clips: list, *options: object, **named: object) -> dict:
        key = hashlib.sha256(np.stack(clips).tobytes() + repr((options, named)).encode()).digest()
        if key not in built:
            built[key] = build(clips, *options, **named)
        return built[key].copy()

    return look_up


def test_a_failure_is_said_and_the_others_are_done(monkeypatch, tmp_path: Path) -> None:
    def fail(library: object) -> None:
        raise FileNotFoundError("no such weights")

    def write(library: object) -> None:
        (tmp_path / "done").touch()

    tasks = (prefetch.Task("bad", ("00",), fail), prefetch.Task("good", ("00",), write))
    monkeypatch.setattr(prefetch, "TASKS", tasks)
    monkeypatch.setattr(prefetch, "_cleaned", lambda: None)
    monkeypatch.setattr(prefetch, "_mark", lambda task: tmp_path / "marks" / task.name)
    monkeypatch.setenv("VIDREC_THREADS", "1")  # one process, which knows these tasks
    with pytest.warns(RuntimeWarning, match=r"bad were not computed ahead \(FileNotFoundError: no"):
        prefetch.prefetch(progress=False)
    assert (tmp_path / "done").exists()
    assert [path.name for path in (tmp_path / "marks").iterdir()] == ["good"]
    # The next call tries the one that failed, and leaves the other.
    (tmp_path / "done").unlink()
    with pytest.warns(RuntimeWarning, match="bad were not computed ahead"):
        prefetch.prefetch(progress=False)
    assert not (tmp_path / "done").exists()


def test_marks_depend_on_the_task_the_data_and_the_code(monkeypatch) -> None:
    first, second = prefetch.TASKS[:2]
    mark = prefetch._mark(first)
    assert mark == prefetch._mark(first)
    assert mark != prefetch._mark(second)
    monkeypatch.setenv("VIDREC_DATASET", "another")
    assert mark != prefetch._mark(first)
    monkeypatch.undo()
    monkeypatch.setattr(prefetch, "code_version", lambda *folders: "another")
    assert mark != prefetch._mark(first)


def test_a_process_that_was_ended_is_said(monkeypatch) -> None:
    monkeypatch.setattr(prefetch, "_outcome", end_this_process)
    outcomes = list(prefetch._outcomes(list(prefetch.TASKS[:2])))
    assert {name for name, _ in outcomes} == {task.name for task in prefetch.TASKS[:2]}
    assert {reason for _, reason in outcomes} == {"a process was ended from outside"}


def end_this_process(number: int) -> None:
    os._exit(number + 1)


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, os, time\n"
        "from vidrec_utils.course.prefetch import _end_with_parent\n\n\n"
        "def work(path):\n"
        "    _end_with_parent()\n"
        "    path.write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n\n\n"
        "if __name__ == '__main__':\n"
        "    from pathlib import Path\n"
        f"    path = Path({str(tmp_path / 'pid')!r})\n"
        "    multiprocessing.get_context('spawn').Process(target=work, args=(path,)).start()\n"
        "    while not path.exists() or not path.read_text():\n"
        "        time.sleep(0.05)\n"
        "    os._exit(1)  # as if killed: no clean-up\n",
        encoding="utf-8",
    )
    subprocess.run([sys.executable, str(program)], check=False, timeout=60)
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    gone = time.monotonic() + 10
    while runs(pid) and time.monotonic() < gone:
        time.sleep(0.05)
    assert not runs(pid)


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended, and that nobody has asked for since, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ones_own_library_is_left_to_the_notebooks(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video_id\na\n", encoding="utf-8")
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path))
    monkeypatch.setattr(prefetch, "_outcome", None)  # nobody calls it
    prefetch.prefetch(progress=False)


def test_a_slice_holds_the_calls_and_what_they_need() -> None:
    cells = [
        "import math\nfrom here import load, embed as other",
        "a = load(1)\nb = slow(a)\ntable = {}\ntable['a'] = a\nunused = a + 1",
        "def both(x):\n    y = scale\n    return embed(x, y)\nscale = 2\n",
        "if claims.has(a):\n    rows = embed(a, scale).rows\n    show(rows)\nelse:\n    embed(0)",
        "vectors = {k: both(v) for k, v in table.items()}\nshow(vectors, b)",
        "a = 5\nif scale > 3:\n    a = 6\nfor k in range(a):\n    table[k] = embed(k, 1)",
    ]
    lines = [ast.unparse(one) for one in slices.slice_for(cells, "embed")]
    assert lines == [
        "from here import load, embed as other",
        "a = load(1)",
        "table = {}",
        "table['a'] = a",
        "def both(x):\n    y = scale\n    return embed(x, y)",
        "scale = 2",
        "embed(a, scale)",
        "{k: both(v) for k, v in table.items()}",
        "a = 5",
        "if scale > 3:\n    a = 6",
        "for k in range(a):\n    table[k] = embed(k, 1)",
    ]
    assert slices.run(slices.slice_for(["x = 1", "y = f(x)"], "f"), {"f": print})["x"] == 1
