"""Running damaged files in a process of their own, which is used again until one harms it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
from tqdm.auto import tqdm

from tests.long import corpus
from tests.long.kind import Kind
from tests.long.report import Report

CPU_LIMIT_S = 10.0
"""Processor time after which a case counts as hanging."""
WAIT_LIMIT_S = 60.0
"""Time after which it does if it only waits: more, as a busy machine makes everybody wait."""
MEMORY_LIMIT = 10**9
"""Bytes that a case may take above what the process holds after its imports."""
START_LIMIT_S = 600.0
TRACE = "native.txt"
PRINTED = "printed.txt"


@dataclass
class Answer:
    """How a case ended.

    `failure` is empty if it ended as it may; `outcome` says how in a word or two. `peak_bytes` is
    the most memory of the process so far, above what it held after its imports; `harmed` says that
    the process cannot go on.
    """

    outcome: str = ""
    failure: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    harmed: bool = False


class Worker:
    """A process that examines cases of one kind; started anew after a case that harmed it."""

    def __init__(self, kind: type[Kind], seed: int, folder: Path) -> None:
        self._arguments = (kind.__module__, kind.__name__, seed, folder)
        self._trace = folder / TRACE
        self._process: multiprocessing.process.BaseProcess | None = None

    def ask(self, case: int | str) -> Answer:
        """Let the process examine a case, by its number or its name in the corpus."""
        self._start()
        self._connection.send(case)
        answer = self._answer(CPU_LIMIT_S, WAIT_LIMIT_S)
        if answer.peak_bytes > MEMORY_LIMIT:
            answer.failure += f"it took {answer.peak_bytes / 1e6:.0f} MB above the imports"
            answer.harmed = True
        if answer.harmed:
            self.stop()
        return answer

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        if self._process.pid is not None:  # none if it was interrupted while it started
            self._process.kill()
            self._process.join()
        self._connection.close()
        self._process = None

    def _start(self) -> None:
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        ready = self._answer(START_LIMIT_S, START_LIMIT_S)
        if ready.failure:
            self.stop()
            raise RuntimeError(f"The process for the cases did not start: {ready.failure}")

    def _answer(self, cpu_limit: float, wait_limit: float) -> Answer:
        watched = psutil.Process(self._process.pid)
        begin, used = time.monotonic(), _cpu(watched)
        try:
            while not self._connection.poll(0.2):
                waited, worked = time.monotonic() - begin, _cpu(watched) - used
                if worked > cpu_limit or waited > wait_limit:
                    failure = f"it hung: {worked:.0f} s of processor time within {waited:.0f} s"
                    return Answer("", failure + self._native(), worked, harmed=True)
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Answer("", f"the process ended: {name}" + self._native(), harmed=True)

    def _native(self) -> str:
        """Where the process was when it ended or hung, and what it printed last."""
        files = [file for file in (self._trace, self._trace.with_name(PRINTED)) if file.exists()]
        return "".join(f"\n{file.read_text(errors='replace')[-3000:]}" for file in files)


def run(kind: type[Kind], count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """Examine damaged files of a kind, and before them those of the corpus.

    Parameters
    ----------
    kind
        What is damaged.
    count, seed
        How many cases, and the seed from which each is drawn with its number.
    folder
        Where files are written; those of failures stay in its folder `findings`.
    progress
        Whether a bar shows how far the run is.

    Returns
    -------
    Report
        Its cases count those of the corpus, too.
    """
    folder = folder / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    cases = [*corpus.names(kind.name), *range(count)]
    report, worker = Report(), Worker(kind, seed, folder)
    try:
        for case in tqdm(cases, kind.name, disable=not progress, mininterval=1):
            answer = worker.ask(case)
            _enter(report, answer, f"{kind.name}, case {case} of seed {seed}")
            if answer.failure:
                kept = folder.parent / "findings" / f"{kind.name}-{case}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(folder / "case", kept)
                (kept / "failure.txt").write_text(report.failures[-1], encoding="utf-8")
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        worker.stop()
    return report


def _enter(report: Report, answer: Answer, name: str) -> None:
    report.cases += 1
    report.slowest_s = max(report.slowest_s, answer.seconds)
    report.peak_bytes = max(report.peak_bytes, answer.peak_bytes)
    if answer.failure:
        report.failures.append(f"{name}: {answer.failure}")
    else:
        report.outcomes[answer.outcome] += 1


# --- within the process --------------------------------------------------------------------------


def _serve(connection: Connection, module: str, name: str, seed: int, folder: Path) -> None:
    """Examine the cases that are asked for until the other end is closed."""
    _silence(folder)
    trace = (folder / TRACE).open("w", encoding="utf-8")
    faulthandler.enable(trace)
    warnings.simplefilter("ignore")
    intact = folder / "intact"
    shutil.rmtree(intact, ignore_errors=True)
    intact.mkdir()
    own = psutil.Process()
    kind = getattr(import_module(module), name)(intact)  # which imports as much again
    held = own.memory_info().rss
    connection.send(Answer())
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        trace.seek(0)
        trace.truncate()
        faulthandler.dump_traceback_later(CPU_LIMIT_S, file=trace)
        used = _cpu(own)
        answer = _tried(kind, case, seed, folder / "case")
        answer.seconds = _cpu(own) - used
        faulthandler.cancel_dump_traceback_later()
        answer.peak_bytes = max(0, _peak(own) - held)
        connection.send(answer)


def _tried(kind: Kind, case: int | str, seed: int, folder: Path) -> Answer:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        if isinstance(case, int):
            kind.damage(case, np.random.default_rng([seed, case]), folder)
            return Answer(kind.examine(folder))
        expected = corpus.write(kind.name, case, folder)
        outcome = kind.examine(folder)
        assert outcome == expected, f"it ended as {outcome!r}, not as {expected!r}"
        return Answer("corpus")
    except Exception:
        return Answer(failure="\n" + traceback.format_exc())


def _silence(folder: Path) -> None:
    """Send what native libraries print about damaged files into a file."""
    output = os.open(folder / PRINTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak(process: psutil.Process) -> int:
    """The most memory that a process ever held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the peak of whoever started the process, too
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return process.memory_info().peak_wset
    import resource  # absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
