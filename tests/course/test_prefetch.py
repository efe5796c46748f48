"""What is computed ahead is what notebooks ask for, and failures are said."""

from pathlib import Path

import nbformat
import pytest

from vidrec_utils import cache
from vidrec_utils.course import prefetch

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def test_tasks_by_notebook() -> None:
    every = prefetch.tasks_for([])
    assert every == list(prefetch.TASKS)
    assert len({task.name for task in every}) == len(every)
    assert prefetch.tasks_for(["08_behavior_based"]) == []
    known = {path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert {number for task in every for number in task.notebooks} <= known


@pytest.mark.parametrize("name", ["06_evaluation", "07_content_based"])
def test_the_notebook_finds_what_was_computed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    for task in prefetch.tasks_for([name]):
        assert prefetch._outcome(prefetch.TASKS.index(task)) == (task.name, "")
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    codes = [cell.source for cell in cells if cell.cell_type == "code"]
    last = next(k for k, code in enumerate(codes) if "embeddings.embed(" in code)
    monkeypatch.setenv(cache.LOG_VARIABLE, str(tmp_path / "log"))
    names: dict[str, object] = {"__name__": "__main__"}
    needed = {0, 1, last}
    for k, code in enumerate(codes[: last + 1]):
        if k in needed or "preprocessing.clean(" in code:
            exec(compile(code, f"{name}, code cell {k}", "exec"), names)
    asked = [one for one in cache.read_log(tmp_path / "log")[0] if one.what.startswith("vectors")]
    assert len(asked) >= 3
    assert [one for one in asked if one.computed] == []


def test_a_failure_is_said_and_the_others_are_done(monkeypatch, tmp_path: Path) -> None:
    def fail(library: object) -> None:
        raise FileNotFoundError("no such weights")

    def write(library: object) -> None:
        (tmp_path / "done").touch()

    tasks = (prefetch.Task("bad", ("00",), fail), prefetch.Task("good", ("00",), write))
    monkeypatch.setattr(prefetch, "TASKS", tasks)
    monkeypatch.setattr(prefetch, "_cleaned", lambda: None)
    monkeypatch.setenv("VIDREC_THREADS", "1")  # one process, which knows these tasks
    with pytest.warns(RuntimeWarning, match=r"bad were not computed ahead \(FileNotFoundError: no"):
        prefetch.prefetch(progress=False)
    assert (tmp_path / "done").exists()


def test_ones_own_library_is_left_to_the_notebooks(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video_id\na\n", encoding="utf-8")
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path))
    monkeypatch.setattr(prefetch, "_outcome", None)  # nobody calls it
    prefetch.prefetch(progress=False)
