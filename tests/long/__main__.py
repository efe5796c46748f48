"""The command `python -m tests.long`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.long.report import Report

COUNTS = {
    "media": 10_000,
    "sounds": 5_000,
    "tables": 2_000,
    "awkward_tables": 2_000,
    "stores": 1_000,
    "models": 1_000,
    "checkpoints": 1_000,
    "notebooks": 1_000,
    "media_matrix": 10_000,
    "kills": 80,
}
"""Modules of this folder, and their cases unless another number is asked for."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.long",
        description="Damage files of many kinds and read them again, read all honest media of the "
        "matrix of containers and codecs, and kill what writes. Exits with 1 if anything ends as "
        "it must not.",
    )
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(COUNTS)}; default: all")
    parser.add_argument("--count", type=int, help="cases of each kind; default: thousands")
    parser.add_argument("--seed", type=int, default=0, help="damage is drawn from it; default: 0")
    parser.add_argument("--folder", type=Path, help="where files go; default: a temporary one")
    return parser


def _table(reports: dict[str, Report], seconds: dict[str, float]) -> str:
    lines = [f"{'kind':14} {'cases':>6} {'failures':>8} {'minutes':>7} {'slowest':>8} {'peak':>8}"]
    for kind, report in reports.items():
        lines.append(
            f"{kind:14} {report.cases:6} {len(report.failures):8} {seconds[kind] / 60:7.1f} "
            f"{report.slowest_s:6.1f} s {report.peak_bytes / 1e6:5.0f} MB"
        )
        lines += [f"    {number:6} {outcome}" for outcome, number in report.outcomes.most_common()]
    return "\n".join(lines)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that its table is printed, too.

    A run in the background of a shell script inherits that SIGINT is ignored, so both are set.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Returns
    -------
    int
        1 if a case failed, 130 if the run was interrupted, else 0.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = [kind for kind in options.kinds if kind not in COUNTS]
    if unknown:
        parser.error(f"no kind of {', '.join(COUNTS)}: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as temporary, _interruptible():
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        reports, seconds = {}, {}
        for kind in options.kinds or COUNTS:
            # only now, as the process that examines cases imports what this module does
            module = import_module(f"tests.long.{kind}")
            begin = time.monotonic()
            count = COUNTS[kind] if options.count is None else options.count
            try:
                reports[kind] = module.run(count, options.seed, folder, progress=True)
            except KeyboardInterrupt:  # before its first case, or after its last one
                reports[kind] = Report(interrupted=True)
            seconds[kind] = time.monotonic() - begin
            if reports[kind].interrupted:
                break
    failures = [failure for report in reports.values() for failure in report.failures]
    print(_table(reports, seconds))
    interrupted = any(report.interrupted for report in reports.values())
    print("\n\n".join(failures) or "All of these cases ended as they have to.")
    if failures and options.folder:
        print(f"The files of these cases are in {options.folder / 'findings'}.")
    if interrupted:
        print("The run was interrupted.")
    return 1 if failures else 130 * interrupted


if __name__ == "__main__":
    sys.exit(main())
