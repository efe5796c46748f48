"""Compare the numbers that notebooks print, cell by cell, before and after a change.

    python scripts/compare_outputs.py BEFORE AFTER [--tolerance 0.002]

Both are folders of executed notebooks, such as `notebooks/` of two checkouts or `build/notebooks`.
Compared are all numbers in printed texts and tables; times, memory and speed-ups are left out,
because they differ in each run. The exit code is 0 if no number differs, 1 if one does, and 2 if
BEFORE holds no notebook, or one that AFTER lacks.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path

NUMBER = re.compile(r"(?<![\w#.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:e[-+]?\d+)?")
MEASURED = re.compile(
    r"[-+−]?[\d.,]+(?:\s+to\s+[\d.,]+)?\s*"
    r"(?:ms|s|sec|seconds?|minutes?|min|GB|MB|kB|\w+/s|times as fast|[x×](?: faster)?)(?!\w)"
)
"""A time, an amount of memory or a speed."""
TIMED = re.compile(r"\b(ms|seconds|minutes)\b")
"""Names of columns that hold times."""
NOISE = re.compile(r"(?s)\x1b\[[0-9;]*m|<style.*?</style>|<[^>]*>|0x[0-9a-f]+|\b[0-9a-f]{12,}\b")
"""Colours, HTML, addresses and hashes."""


def printed(cell: dict) -> str:
    """Return the text and the tables that a code cell shows."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.get("name") != "stderr" and "image/png" not in data:
            texts += output.get("text") or data.get("text/plain") or data.get("text/html", "")
    return "".join(texts)


def without_times(text: str) -> str:
    """Blank what stands under a column's name with a unit of time in printed tables."""
    lines, ends = [], set()
    for line in text.split("\n"):
        names = [m for m in re.finditer(r"\S+(?: \S+){0,2}(?=  |$)", line) if TIMED.search(m[0])]
        ends = {name.end() for name in names} or (ends if line.strip() else set())
        lines.append(
            re.sub(
                r"\S+", lambda m, ends=ends: m[0] if m.end() not in ends else " " * len(m[0]), line
            )
        )
    return "\n".join(lines)


def numbers(text: str) -> list[str]:
    """List the numbers in a text that have to be the same in each run."""
    return NUMBER.findall(MEASURED.sub(" ", without_times(NOISE.sub(" ", text))))


def read(path: Path) -> list[tuple[int, list[str]]]:
    """List the code cells of a notebook: position among all cells from 1, and numbers."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (position, numbers(printed(cell)))
        for position, cell in enumerate(cells, start=1)
        if cell["cell_type"] == "code"
    ]


def value(number: str) -> float:
    """Turn a printed number into a float."""
    return float(number.replace(",", "").replace("−", "-"))


def differences(before: Path, after: Path, tolerance: float = 0.0) -> Iterator[str]:
    """Compare two versions of one notebook; cells that were added or moved are found again.

    Yields
    ------
    str
        A line for each cell that differs, with its position and up to eight pairs of numbers.
    """
    old, new = read(before), read(after)
    blocks = SequenceMatcher(a=[str(n) for _, n in old], b=[str(n) for _, n in new], autojunk=False)
    for tag, i, i_end, j, j_end in blocks.get_opcodes():
        pairs = zip_longest(old[i:i_end], new[j:j_end], fillvalue=(None, []))
        for (position, was), (now_position, now) in pairs if tag != "equal" else ():
            changed = [
                f"{a} -> {b}"
                for a, b in zip_longest(was, now, fillvalue="nothing")
                if a != b and ("nothing" in (a, b) or abs(value(a) - value(b)) > tolerance)
            ]
            if changed:
                more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
                where = f"cell {position or 'none'} (now {now_position or 'none'})"
                yield f"{before.stem}, {where}: {', '.join(changed[:8])}{more}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest allowed difference")
    options = parser.parse_args(arguments)
    names = sorted(path.name for path in options.before.glob("[0-9][0-9]_*.ipynb"))
    missing = [name for name in names if not (options.after / name).is_file()]
    if missing:
        parser.error(f"{options.after} lacks {', '.join(missing)} of {options.before}")
    if not names:
        parser.error(f"there is no notebook in {options.before}")
    lines = [
        line
        for name in names
        for line in differences(options.before / name, options.after / name, options.tolerance)
    ]
    print(*lines, f"{len(names)} notebooks compared, {len(lines)} cells differ", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
