"""A seeded sample of the long runs, the corpus of what once failed, and what the runner notices."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.long import __main__ as command
from tests.long import corpus, runner
from tests.long.misbehaving import Misbehaving

REPO = Path(__file__).parents[2]
SAMPLES = {
    "media": 16,
    "sounds": 40,
    "tables": 40,
    "stores": 40,
    "models": 20,
    "checkpoints": 40,
    "notebooks": 20,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_and_the_corpus_end_as_they_have_to(name: str, tmp_path: Path) -> None:
    report = import_module(f"tests.long.{name}").run(SAMPLES[name], 0, tmp_path)
    assert report.failures == []
    assert report.cases == SAMPLES[name] + len(corpus.CASES[name])
    assert report.outcomes["corpus"] == len(corpus.CASES[name])
    assert len(report.outcomes) > 2  # neither all refused nor all read


def test_the_runner_notices_what_must_not_happen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CPU_LIMIT_S", 1.0)
    monkeypatch.setattr(runner, "MEMORY_LIMIT", 50 * 2**20)
    report = runner.run(Misbehaving, 7, 3, tmp_path)
    assert report.cases == 7
    named = [failure.partition(": ")[0] for failure in report.failures]
    assert named == [f"misbehaving, case {number} of seed 3" for number in range(1, 6)]
    crash, hang, wrong, memory, undocumented = report.failures
    assert "the process ended: SIGSEGV" in crash or sys.platform == "win32"
    assert "it hung" in hang
    assert "AssertionError" in wrong
    assert "MB above the imports" in memory
    assert "KeyError: 'not documented'" in undocumented
    assert sum(report.outcomes.values()) == 2
    kept = tmp_path / "findings" / "misbehaving-5"
    assert (kept / "number.txt").read_text() == "5"
    assert "KeyError" in (kept / "failure.txt").read_text()


def test_a_case_is_drawn_alike_whatever_runs_before_it(tmp_path: Path) -> None:
    from tests.long.stores import Stores

    kind = Stores(tmp_path)
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        kind.damage(17, np.random.default_rng([0, 17]), tmp_path / name)
        contents.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_the_command_ends_with_1_on_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from tests.long import stores
    from tests.long.report import Report

    for failures, code in (([], 0), (["stores, case 4: it hung"], 1)):
        report = Report(cases=5, failures=failures)
        monkeypatch.setattr(stores, "run", lambda *_, report=report, **__: report)
        assert command.main(["stores", "--count", "5", "--folder", str(tmp_path)]) == code
        printed = capsys.readouterr().out
        assert ("All of these cases ended as they have to." in printed) is not bool(failures)
        assert all(failure in printed for failure in failures)
    with pytest.raises(SystemExit):
        command.main(["stoves"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that end politely")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["tables", "kills"])
def test_an_interrupted_run_prints_its_table(
    kind: str, ending: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.long", kind, "awkward_tables", "--folder", tmp_path]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO
    )
    assert process.stderr is not None
    shown = ""
    while kind not in shown:  # its bar
        shown += process.stderr.read(1)
        assert process.poll() is None, shown
    process.send_signal(ending)
    printed, _ = process.communicate(timeout=120)
    assert printed.startswith("kind ")
    assert f"\n{kind} " in printed
    assert "awkward_tables" not in printed
    assert printed.endswith("The run was interrupted.\n")
    assert process.returncode == 130
