"""What a profile of the course says, with costs that are known."""

import os
import re
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from vidrec_utils import course
from vidrec_utils.cache import LOG_VARIABLE, Lookup
from vidrec_utils.course import costs
from vidrec_utils.course.command import measured
from vidrec_utils.notebooks.kernels import CellCost, Run, Watch


def notebook(folder: Path, name: str, *cells: str) -> Path:
    """Write a notebook of code cells."""
    folder.mkdir(parents=True, exist_ok=True)
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


BURN = """
import subprocess, sys, time
end = time.process_time() + 2
while time.process_time() < end:
    pass
child = "import time\\nwhile time.process_time() < 1.5: pass"
subprocess.run([sys.executable, "-c", child], check=True)
"""
FILL = """
import numpy as np, time
from vidrec_utils import cache
def build():
    time.sleep(0.2)
    return {"n": np.arange(3)}
for _ in range(2):
    cache.load_or_build("numbers", "key", build)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One that computes for 3.5 seconds, in two processes, then holds 300 MB, then asks a cache."""
    home = tmp_path_factory.mktemp("costs")
    held = "held = bytearray(b'1') * 300_000_000"
    path = notebook(home, "00_costs", "1", BURN, held, "del held\n1 + 1", FILL, "2")
    environment = course.environment(home / "build") | {"VIDREC_DATA": str(home / "data")}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    return course.execute(path, environment)[1]


def test_each_cell_has_its_own_processor_time(run: Run) -> None:
    assert [cost.number for cost in run.costs] == [1, 2, 3, 4, 5, 6]
    assert 3.4 < run.costs[1].processor_seconds < 6
    assert run.costs[1].source == BURN
    assert run.costs[3].processor_seconds < 1
    assert run.processor_seconds >= sum(cost.processor_seconds for cost in run.costs)


def test_each_cell_has_its_own_peak(run: Run) -> None:
    before, held, after = (run.costs[n].peak_memory_mb for n in (0, 2, 5))
    assert held > before + 250
    assert after < held - 150
    assert run.peak_memory_mb >= held


def test_lookups_belong_to_the_cell_that_asked(run: Run) -> None:
    assert [len(cost.lookups) for cost in run.costs] == [0, 0, 0, 0, 2, 0]
    first, second = run.costs[4].lookups
    assert (first.what, first.computed, first.reused) == ("numbers", 1, 0)
    assert first.seconds >= 0.2
    assert (second.what, second.computed, second.reused) == ("numbers", 0, 1)


def table_of(others: float = 0.0) -> str:
    title = Lookup("vectors of titles, minilm", 800, 0, 9.0)
    cleaning, reused = Lookup("cleaning", 1, 0, 5.0), Lookup("cleaning", 0, 1, 0.1)
    first = (
        CellCost(1, "import numpy", 2.0, 3.0, 500, (cleaning,)),
        CellCost(2, "a | b = `x`\nsecond", 9.5, 18.0, 900, (title, reused)),
        CellCost(3, "quick()", 0.1, 0.2, 900),
        CellCost(4, "quick too", 0.2, 0.1, 900),
    )
    second = (CellCost(1, "import numpy", 1.0, 1.0, 400, (title, reused)),)
    runs = [Run("00_a", "A", 12.5, 900, 4, 22.3, first), Run("01_b", "B", 2.0, 400, 1, 3.0, second)]
    return costs.profile_table(runs, others, "the command")


def test_table_adds_up() -> None:
    table = table_of()
    # 22.3 in all less 18.0 + .2 + .1 after the set-up cell; 5.0 + 9.0 filled caches.
    assert "| 00_a | 12.5 | 22.3 | 4.0 | 0.90 | 14.0 |" in table
    assert "| 01_b | 2.0 | 3.0 | 3.0 | 0.40 | 9.0 |" in table
    assert "| together | 14.5 | 25.3 | | 0.90 | |" in table
    cell = (
        "| 2 `a \\| b = 'x'` | 9.5 | 18.0 | 0.90 | vectors of titles, minilm: 800 | cleaning: 1 |"
    )
    assert cell in table
    assert "quick" not in table
    assert "| the 2 others | 0.3 | 0.3 | | | |" in table


def test_table_names_what_was_computed_twice() -> None:
    repeated = "| vectors of titles, minilm | 00_a (800, 9.0 s), 01_b (800, 9.0 s) |"
    assert repeated in table_of()
    assert "| cleaning | 00_a" not in table_of()
    once = costs.profile_table([Run("00_a", "A", 1.0, 1, 0, 1.0)], 0.0, "the command")
    assert "Nothing that caches keep was computed more than once." in once


def test_table_says_whether_the_machine_was_busy() -> None:
    assert "took 40% of the processor meanwhile: these numbers are from a busy" in table_of(0.4)
    assert "took 2% of the processor meanwhile, so the machine counts as idle" in table_of(0.02)


def test_others_are_what_neither_we_nor_kernels_took(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, now = iter([100.0, 190.0]), iter([0.0, 60.0])
    monkeypatch.setattr(costs, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(costs.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(costs.time, "process_time", lambda: 6.0)
    monkeypatch.setattr(costs.psutil, "cpu_count", lambda: 2)
    usage = costs.Usage()
    # 90 busy seconds, 6 of this process and 60 of the kernel; of 120 there were 24 left.
    assert usage.others([Run("00_a", "A", 60.0, 1, 1, 60.0)]) == pytest.approx(24 / 120)


def test_command_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook(tmp_path / "notebooks", "00_first", "x = 1", "print(x)")
    table = tmp_path / "tables" / "costs.md"
    arguments = ["--notebooks", str(tmp_path / "notebooks"), "--output", str(tmp_path / "build")]
    arguments += ["--no-html", "--profile", "--table", str(table)]
    assert course.main(arguments) == 0
    text = table.read_text("utf-8")
    assert f"`python -m vidrec_utils.course {' '.join(arguments)}`" in text
    assert re.search(r"^\| 00_first \| [\d.]+ \| [\d.]+ \|", text, re.MULTILINE)
    assert "the 2 others" in text or "x = 1" in text
    assert str(table) in capsys.readouterr().out
    assert "costs" not in (tmp_path / "build" / "course.json").read_text("utf-8")


def test_what_is_computed_ahead_is_measured_with_its_children(tmp_path: Path) -> None:
    work = "import time\nwhile time.process_time() < 1.0: pass\n"
    record = tmp_path / "lookups.jsonl"
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys\n"
        "from vidrec_utils.cache import Lookup, record\n"
        f"subprocess.run([sys.executable, '-c', {work!r}], check=True)\n"
        "record(Lookup('numbers', 3, 0, 0.5))\n"
        f"{work}",
        encoding="utf-8",
    )
    env = {**os.environ, LOG_VARIABLE: str(record)}
    run = measured([sys.executable, str(program)], env, record)
    # A second of the program, a second of its child, and what Python's start and imports take.
    assert 1.9 <= run.processor_seconds < 20
    assert run.name == costs.AHEAD
    assert [(one.what, one.computed) for one in run.costs[0].lookups] == [("numbers", 3)]
    assert run.peak_memory_mb > 5
    # It has no set-up cell.
    row = f"| computed ahead | {run.seconds:.1f} | {run.processor_seconds:.1f} | "
    assert row + "| " in costs.profile_table([run], 0.0, "the command")


def test_interrupting_what_is_computed_ahead_ends_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupt(watch: Watch) -> float:
        assert watch.pid is not None
        children = psutil.Process(watch.pid).children()
        if not children:
            return 0.0
        started.extend([watch.pid, children[0].pid])
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "processor_seconds", interrupt)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    sleeper = f"import subprocess; subprocess.run({sleep!r})"
    command = [sys.executable, "-c", sleeper]
    with pytest.raises(KeyboardInterrupt):
        measured(command, os.environ, tmp_path / "lookups.jsonl")
    assert len(started) == 2
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)], timeout=10
    )
    assert not alive
