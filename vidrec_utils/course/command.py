"""The command line: which notebooks to run, in which order, and what is written."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat

from vidrec_utils import settings
from vidrec_utils.cache import LOG_VARIABLE, read_log
from vidrec_utils.course import schedule
from vidrec_utils.course.costs import AHEAD, Usage, profile_table
from vidrec_utils.course.pages import index_page, reading_copy, relink
from vidrec_utils.files import write_atomically, write_obstacle
from vidrec_utils.notebooks.kernels import (
    CELL_TIMEOUT_S,
    CellCost,
    NotebookFailed,
    Run,
    Watch,
    end_family,
    environment,
    execute,
)

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""


def find(folder: Path, names: list[str] | None = None) -> list[Path]:
    """The notebooks to run, in order.

    Parameters
    ----------
    folder : Path
        Holds `00_first.ipynb`, `01_second.ipynb`, ...
    names : list of str, optional
        Paths, names (`01_preprocessing`) or beginnings of names (`01`). None or empty: all.

    Returns
    -------
    list of Path
        Sorted, each once.

    Raises
    ------
    FileNotFoundError
        If a name fits no notebook, or the folder holds none.
    """
    known = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        if not known:
            raise FileNotFoundError(f"There is no notebook in {folder}.")
        return known
    chosen = set()
    for name in names:
        if name.endswith(".ipynb") and Path(name).is_file():
            chosen.add(Path(name).resolve())
            continue
        fitting = [path for path in known if path.stem.startswith(Path(name).stem)]
        if not fitting:
            have = ", ".join(path.stem for path in known) or "none"
            raise FileNotFoundError(f"No notebook fits {name!r}. In {folder} there are: {have}.")
        chosen.update(fitting)
    return sorted(chosen)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "threads": settings.threads(),
        "dataset": settings.dataset_name(),
        "profile": settings.profile(),
    }


def _earlier(output: Path) -> list[dict[str, Any]]:
    """What `course.json` tells of earlier runs whose executed copies are still there.

    An entry from other circumstances (data set, Python, ...) keeps them as its own `machine`.
    """
    try:
        report = json.loads((output / "course.json").read_text(encoding="utf-8"))
        entries = [{"machine": report["machine"], **entry} for entry in report["notebooks"]]
        kept = [
            entry
            for entry in entries
            if (output / "notebooks" / f"{entry['name']}.ipynb").is_file()
        ]
        now = _machine()
        for entry in kept:
            _run_of(entry)
            if entry["machine"] == now:
                del entry["machine"]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # absent, or of another version of this program
    return kept


def _run_of(entry: dict[str, Any]) -> Run:
    return Run(**{name: value for name, value in entry.items() if name != "machine"})


def _entry(run: Run) -> dict[str, Any]:
    """A run as `course.json` holds it, without its cells."""
    return {name: value for name, value in asdict(run).items() if name != "costs"}


def _write_report(output: Path, runs: list[Run]) -> None:
    """Write the timings and the index of all copies that there are, of this and earlier runs.

    Afterwards links between the reading copies lead to pages that exist.
    """
    entries = {entry["name"]: entry for entry in [*_earlier(output), *map(_entry, runs)]}
    entries = dict(sorted(entries.items()))
    report, index = output / "course.json", output / "html" / "index.html"
    if entries:
        content = {"machine": _machine(), "notebooks": list(entries.values())}
        write_atomically(report, json.dumps(content, indent=1) + "\n")
    else:
        report.unlink(missing_ok=True)
    pages = {name: output / "html" / f"{name}.html" for name in entries}
    pages = {name: page for name, page in pages.items() if page.is_file()}
    if pages:
        write_atomically(index, index_page([_run_of(entries[name]) for name in pages]))
    else:
        index.unlink(missing_ok=True)
    for page in pages.values():
        before = page.read_text(encoding="utf-8")
        after = relink(before, set(pages))
        if after != before:
            write_atomically(page, after)


def plain(text: str) -> str:
    """Text without the escape sequences that colour it in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a run as cleanly as Ctrl-C (only a main thread may decide that)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Progress:
    """The line, on a terminal, that tells which cell each running notebook has come to."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._lock = threading.Lock()
        self._at: dict[str, str] = {}
        self._width = 0

    def follow(self, name: str, number: int, total: int) -> None:
        """A notebook has come to a cell; called by several threads."""
        with self._lock:
            self._at[name] = f"{name} cell {number} of {total}"
            self._show("   ".join(self._at.values()))

    def ended(self, name: str) -> None:
        """A notebook is no longer running."""
        with self._lock:
            self._at.pop(name, None)

    def print(self, line: str, error: bool = False) -> None:
        """Print a line that stays, above the one that changes."""
        with self._lock:
            self._show("")
            print(line, file=sys.stderr if error else sys.stdout, flush=True)
            self._show("   ".join(self._at.values()))

    def _show(self, text: str) -> None:
        if self._live:
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text:{self._width}}", end="" if text else "\r", flush=True)
            self._width = len(text)


def run_course(
    notebooks: list[Path],
    output: Path,
    *,
    keep_going: bool = False,
    write_html: bool = True,
    cell_timeout_s: float = CELL_TIMEOUT_S,
    jobs: int | None = None,
    on_ahead: Callable[[Run], None] | None = None,
) -> tuple[list[Run], list[NotebookFailed]]:
    """Run notebooks, some of them at the same time, and write their copies in order.

    Copies of other notebooks, of earlier runs, stay and remain in the index.

    Parameters
    ----------
    notebooks : list of Path
        What to run.
    output : Path
        Folder of the copies.
    keep_going : bool
        Go on with the next notebook after a failure.
    write_html : bool
        Write the reading copies too.
    cell_timeout_s : float
        Seconds for one cell.
    jobs : int, optional
        How many notebooks at once, as far as memory allows; see `schedule` for the default. With
        more than one, they share the cores.
    on_ahead : callable, optional
        Called with what computing ahead took, if there was anything to compute ahead.

    Returns
    -------
    runs : list of Run
        The notebooks that ended well.
    failures : list of NotebookFailed
        At most one, unless `keep_going`. A notebook that failed leaves no copy, nor does an
        earlier copy of it stay, nor anything of those that come after it.
    """
    jobs = min(jobs or schedule.default_jobs(), len(notebooks))
    env = environment(output)
    if jobs > 1:
        # Kernels whose threads outnumber the cores wait for one another most of the time.
        env.setdefault("OMP_NUM_THREADS", str(max(1, settings.threads() // jobs)))
    width = max(len(path.stem) for path in notebooks)
    progress = _Progress()
    runs: list[Run] = []
    failures: list[NotebookFailed] = []

    def work(path: Path, stop: threading.Event) -> tuple[nbformat.NotebookNode, Run]:
        (output / "notebooks" / path.name).unlink(missing_ok=True)
        (output / "html" / f"{path.stem}.html").unlink(missing_ok=True)
        try:
            return execute(
                path, env, cell_timeout_s, lambda *at: progress.follow(path.stem, *at), stop
            )
        finally:
            progress.ended(path.stem)

    ahead = compute_ahead(notebooks, env)
    if ahead and on_ahead:
        on_ahead(ahead)
    budget_gb = schedule.memory_budget_gb()
    with (
        patch.dict(os.environ, env, clear=True),
        closing(schedule.side_by_side(work, notebooks, jobs, budget_gb)) as outcomes,
    ):
        for number, (path, outcome) in enumerate(outcomes, start=1):
            label = f"[{number}/{len(notebooks)}] {path.stem:{width}}"
            try:
                notebook, run = outcome.result()
            except NotebookFailed as failure:
                message = str(failure) if sys.stderr.isatty() else plain(str(failure))
                progress.print(f"{label} FAILED\n\n{message}\n", error=True)
                failures.append(failure)
                _write_report(output, runs)
                if not keep_going:
                    break  # which stops the others
                continue
            memory = f"{run.peak_memory_mb / 1000:.2f} GB"
            progress.print(f"{label} {run.seconds:6.1f} s  peak {memory}  {run.cells} cells")
            runs.append(run)
            write_atomically(output / "notebooks" / path.name, nbformat.writes(notebook))
            if write_html:
                page = output / "html" / f"{path.stem}.html"
                write_atomically(page, reading_copy(notebook, run.title or run.name, {run.name}))
            _write_report(output, runs)
    return runs, failures


def compute_ahead(notebooks: list[Path], env: Mapping[str, str]) -> Run | None:
    """Compute with all cores what several notebooks of the course will ask the caches for.

    Notebooks of another folder, and one that runs alone, compute for themselves. A failure is
    shown, and left to the notebook that will meet it again.

    Parameters
    ----------
    notebooks : list of Path
        The notebooks that will run.
    env : mapping of str to str
        Environment variables of the process that computes.

    Returns
    -------
    Run or None
        What it took, under the name `costs.AHEAD`; None if nothing was computed ahead.
    """
    folder = settings.repository()
    if len(notebooks) < 2 or not folder or notebooks[0].parent != folder / "notebooks":
        return None
    command = [sys.executable, "-m", "vidrec_utils.course.prefetch"]
    with tempfile.TemporaryDirectory() as draft:
        record = Path(draft) / "lookups.jsonl"
        return measured(
            [*command, *(path.stem for path in notebooks)],
            {"OMP_NUM_THREADS": "1", LOG_VARIABLE: str(record), **env},
            record,
        )


def measured(command: list[str], env: Mapping[str, str], record: Path) -> Run:
    """Run a command to its end, whatever its exit code, and measure it and its child processes.

    Being interrupted ends all of them before the interruption goes on.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    env : mapping of str to str
        Its environment variables.
    record : Path
        File in which it records what it asks the caches for, see `cache.record`.

    Returns
    -------
    Run
        Under the name `costs.AHEAD`, with one row of costs.
    """
    begin, reaped = time.monotonic(), _reaped_seconds()
    watch, processor = Watch(), 0.0
    process = subprocess.Popen(command, env=dict(env))
    watch.pid = process.pid
    watch.start()
    try:
        while process.poll() is None:
            processor = max(processor, watch.processor_seconds())
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
    except BaseException:
        end_family(process.pid)
        raise
    finally:
        watch.stop()
    # What a process has taken is known to the last moment once it has been waited for (not on
    # Windows, where the last look must do).
    processor = max(processor, _reaped_seconds() - reaped)
    wall, peak = time.monotonic() - begin, round(watch.peak_bytes / 1e6)
    lookups = tuple(read_log(record)[0])
    source = shlex.join(command[1:3])
    cost = CellCost(1, source, round(wall, 2), round(processor, 2), peak, lookups)
    return Run(AHEAD, "", round(wall, 1), peak, 1, round(processor, 1), (cost,))


def _reaped_seconds() -> float:
    """Processor seconds of all child processes that ended and were waited for."""
    times = os.times()
    return times.children_user + times.children_system


def run_tests(notebooks: Path, output: Path, workers: int | None = None) -> int:
    """Package tests, examples, notebook contract and nbval over all notebooks, several at once.

    MiniTube is rendered first, and what several notebooks need is computed, so that the parallel
    kernels find it complete.

    Parameters
    ----------
    notebooks : Path
        Folder of the notebooks; its parent holds `tests`.
    output : Path
        Folder for the kernels' settings.
    workers : int, optional
        Processes (default: one for each core, at least two, at most eight).

    Returns
    -------
    int
        Exit code: 0 if all is well.
    """
    count = workers or min(8, max(2, settings.threads()))
    env = environment(output)
    # Processes whose threads outnumber the cores wait for one another most of the time.
    env.setdefault("OMP_NUM_THREADS", str(max(1, settings.threads() // count)))
    world = subprocess.run(
        [sys.executable, "-m", "vidrec_utils.minitube"], env=env, cwd=notebooks.parent, check=False
    )
    if world.returncode:
        return world.returncode
    compute_ahead(find(notebooks), env)
    pytest = [sys.executable, "-m", "pytest", "-n", str(count), "--dist", "loadfile"]
    nbval = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT_S}"]
    nbval += ["-p", "vidrec_utils.notebooks.nbval_printed"]  # what is printed is what is committed
    return subprocess.run(
        [*pytest, *nbval, "tests", *map(str, sorted(notebooks.glob("[0-9][0-9]_*.ipynb")))],
        env=env,
        cwd=notebooks.parent,
        check=False,
    ).returncode


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    root = settings.repository() or Path.cwd()
    build = settings.build_dir()
    parser = argparse.ArgumentParser(
        prog="python -m vidrec_utils.course", description="Run the notebooks of the course."
    )
    parser.add_argument("notebook", nargs="*", help="name, beginning of a name, or path")
    parser.add_argument("--notebooks", type=Path, default=root / "notebooks", metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=build, metavar="FOLDER")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    parser.add_argument("--no-html", action="store_true", help="write no reading copies")
    parser.add_argument("--cell-timeout", type=float, default=CELL_TIMEOUT_S, metavar="SECONDS")
    parser.add_argument(
        "-j", "--jobs", type=_count, metavar="N", help="notebooks at once (default: by cores)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="write what each cell cost, and what it computed"
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="where --profile writes")
    parser.add_argument("--test", action="store_true", help="run all tests instead")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m vidrec_utils.course`.

    Returns
    -------
    int
        0 if all went well, 1 if a notebook failed, 2 if there was nothing to run or the copies
        cannot be written, 130 if it was interrupted.
    """
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    output = options.output.resolve()
    reason = write_obstacle(output)
    if reason:
        print(
            f"The course cannot write its copies to {output}: {reason}. Name another folder: "
            "--output FOLDER.",
            file=sys.stderr,
        )
        return 2
    if options.test:
        return run_tests(options.notebooks.resolve(), output)
    try:
        notebooks = find(options.notebooks.resolve(), options.notebook)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    begin, usage = time.monotonic(), Usage()
    ahead: list[Run] = []
    try:
        with _terminate_as_interrupt():
            runs, failures = run_course(
                notebooks,
                output,
                keep_going=options.keep_going,
                write_html=not options.no_html,
                cell_timeout_s=options.cell_timeout,
                jobs=options.jobs,
                on_ahead=ahead.append,
            )
    except KeyboardInterrupt:
        print("\nInterrupted: the kernel has been ended, no partial file is left.", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # the disk became full on the way
        print(
            f"\nThe course stopped: {error}. Free some disk, or name another folder for copies: "
            "--output FOLDER.",
            file=sys.stderr,
        )
        return 2
    if options.profile:
        table = options.table or output / "course_profile.md"
        command = " ".join(["python -m vidrec_utils.course", *(arguments or sys.argv[1:])])
        everything = [*ahead, *runs]
        write_atomically(table, profile_table(everything, usage.others(everything), command))
        print(f"What each notebook and cell cost: {table}")
    minutes = (time.monotonic() - begin) / 60
    if failures:
        names = ", ".join(failure.name for failure in failures)
        print(f"{len(runs)} of {len(notebooks)} notebooks ran; failed: {names}.", file=sys.stderr)
        return 1
    reading = options.output / ("notebooks" if options.no_html else "html/index.html")
    print(f"{len(runs)} notebooks ran in {minutes:.1f} minutes. Read them: {reading}")
    return 0
