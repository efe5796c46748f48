"""What the benchmarks share: peers, rounds in turns, ratios, and tables in data/README.md."""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "data" / "README.md"
REMEDY = "python -m pip install --no-deps -r benchmarks/requirements.txt"


def peer(name: str) -> object | None:
    """A module, or None after saying how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is left out ({error}). To have it: {REMEDY}", file=sys.stderr)
        return None


def rounds(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run each way in turns; returns its seconds in each round."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            start = clock()
            run()
            seconds[way].append(clock() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median over the rounds of how many times longer one way took than another."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def claim(what: str, measured: float, least: float) -> list[str]:
    """Print a ratio; returns a sentence if it is less than was claimed."""
    print(f"  {what}: {measured:.2f} times as fast, claimed is {least}")
    return [] if measured >= least else [f"{what}: {measured:.2f}, claimed is {least}"]


def as_table(columns: Mapping[int, Mapping[str, str]], head: str) -> str:
    """Write results as a Markdown table, with a column for each seed."""
    lines = [f"| {head} | " + " | ".join(f"seed {seed}" for seed in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for name in next(iter(columns.values())):
        lines.append(f"| {name} | " + " | ".join(columns[seed][name] for seed in columns) + " |")
    return "\n".join(lines)


def report(text: str, broken: list[str], section: str, write: bool) -> bool:
    """Print tables and broken promises, and write the tables into a section of data/README.md.

    Returns
    -------
    bool
        Whether a promise is broken.
    """
    print(text)
    print("\n".join(broken) or "All promises hold on all seeds.")
    if write:
        begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
        before, rest = README.read_text(encoding="utf-8").split(begin)
        after = rest.split(end)[1]
        README.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    return bool(broken)
