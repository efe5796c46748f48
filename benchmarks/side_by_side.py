"""What the benchmarks share: options, peers, rounds in turns, and tables in data/README.md."""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import torch

README = Path(__file__).resolve().parent.parent / "data" / "README.md"
REMEDY = "python -m pip install --no-deps -r benchmarks/requirements.txt"


class Option(NamedTuple):
    """An option of the command line: its default, its help, and the values that it may have."""

    default: Any
    help: str | None = None
    choices: Collection | None = None


REPEATS = Option(5, "rounds, of which the median counts")
WRITE = Option(False, "put the tables into data/README.md")


def options(documentation: str, **named: Any) -> argparse.Namespace:
    """Read the command line, which has an option for each keyword.

    Parameters
    ----------
    documentation : str
        Its first line describes the program.
    **named : Option, or its default alone
        The default gives the type: False is a switch, a list takes several values of the type of
        its first one, and None stands for a text that is absent.
    """
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    for name, option in named.items():
        default, meaning, choices = option if isinstance(option, Option) else Option(option)
        several = isinstance(default, list)
        value = next(iter(default), "") if several else default
        reading: dict[str, Any] = {
            "type": str if value is None else type(value),
            "nargs": "+" if several else None,
            "choices": choices,
        }
        flag = ("-" if len(name) == 1 else "--") + name.replace("_", "-")
        how = {"action": "store_true"} if default is False else reading
        parser.add_argument(flag, default=default, help=meaning, **how)
    return parser.parse_args()


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
    clock: Callable[[], Any] = time.perf_counter,
) -> dict[str, list[Any]]:
    """Run each way in turns, in every second round backwards; returns its seconds in each round."""
    seconds: dict[str, list[Any]] = {way: [] for way in ways}
    for turn in range(repeats):
        for way in reversed(ways) if turn % 2 else ways:
            start = clock()
            ways[way]()
            seconds[way].append(clock() - start)
    return seconds


def timed(
    title: str,
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    unit: str = "s",
    in_unit: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run each way in turns, and print the median of each as `in_unit` times its seconds."""
    taken = rounds(ways, repeats, clock)
    print(title)
    for way, seconds in taken.items():
        print(f"  {way:15s} {in_unit * statistics.median(seconds):7.2f} {unit}")
    return taken


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over the rounds of how many times longer one way took than another."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


POWERS = np.linspace(0.1, 4, 391)
"""Exponents that `exponent` tries."""


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The p for which `c (n^p - n0^p)` fits the time above that of the smallest size, n0, best.

    The fit is by relative errors: the p whose ratios vary least. It is 0 if no size takes a tenth
    longer than the smallest, and NaN if one that should take longer takes less.

    Examples
    --------
    Two seconds, and a hundredth of a second for each item:

    >>> print(round(exponent([10, 100, 200, 1000], [2.1, 3, 4, 12]), 2))
    1.0
    """
    n, above = np.array(sizes, dtype=float), np.array(seconds) - seconds[0]
    if above.max() < 0.1 * seconds[0]:
        return 0.0  # all sizes take the time of the smallest
    if (above[1:] <= 0).any():
        return float("nan")  # noise is larger than the growth
    spread = [np.std(np.log(above[1:] / (n[1:] ** p - n[0] ** p))) for p in POWERS]
    return float(POWERS[int(np.argmin(spread))])


def claim(what: str, measured: float, least: float) -> list[str]:
    """Print a ratio; returns a sentence if it is less than was claimed."""
    print(f"  {what}: {measured:.2f} times as fast, claimed is {least}")
    return [] if measured >= least else [f"{what}: {measured:.2f}, claimed is {least}"]


def binary_matrix(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Float32 users x videos: 1 where a pair occurs, however often, and 0 elsewhere."""
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
    matrix.data[:] = 1
    return matrix


def pytorchvideo_frames(path: Path) -> torch.Tensor:
    """All frames of a clip as pytorchvideo decodes them, `(3, time, height, width)`."""
    from pytorchvideo.data.encoded_video import EncodedVideo

    with closing(EncodedVideo.from_path(str(path), decode_audio=False)) as video:
        return video.get_clip(0, float(video.duration))["video"]


def not_kept(seed: int, promises: Mapping[str, bool]) -> list[str]:
    """Name the promises that do not hold on this seed."""
    return [f"seed {seed}: not true that {name}" for name, holds in promises.items() if not holds]


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
