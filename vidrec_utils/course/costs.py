"""The table of what each notebook and cell costs, and what it computed or found in caches."""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

import psutil

from vidrec_utils import settings
from vidrec_utils.cache import Lookup
from vidrec_utils.notebooks.kernels import CellCost, Run

LEAST_S = 0.5
"""Cells below both this wall time and this processor time share one row."""
QUIET = 0.05
"""Largest share of the processor that other programs may take on a machine that counts as idle."""


AHEAD = "computed ahead"
"""Name of the run in which what several notebooks need is computed, see `prefetch`."""


class Usage:
    """How much of the processor other programs take while a course runs.

    Made before the run; `others` is asked after it.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy_seconds()

    def others(self, runs: Iterable[Run]) -> float:
        """Share of all cores' time, from 0 to 1, that went to programs other than the kernels.

        Parameters
        ----------
        runs : iterable of Run
            Everything that ran since this object was made, computing ahead included.
        """
        seconds = (time.monotonic() - self._began) * (psutil.cpu_count() or 1)
        ours = time.process_time() + sum(run.processor_seconds for run in runs)
        return max(0.0, (_busy_seconds() - self._busy - ours) / seconds) if seconds else 0.0


def _busy_seconds() -> float:
    """Processor seconds of all cores since the machine started, waiting left out."""
    times = psutil.cpu_times()
    waiting = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time in `user`, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return sum(times) - waiting - guests


def profile_table(runs: Sequence[Run], others: float, command: str) -> str:
    """Write the profile of a course as Markdown.

    Parameters
    ----------
    runs : sequence of Run
        What was computed ahead, if anything was, and the notebooks that ran.
    others : float
        Share of the processor that other programs took meanwhile, see `Usage`.
    command : str
        The command that made the table.

    Returns
    -------
    str
        A table of notebooks, a table of what was computed more than once, and one of the cells of
        each notebook.

    Examples
    --------
    >>> asked = Lookup("vectors", computed=3, reused=1, seconds=2.0)
    >>> cell = CellCost(1, "x = embed(library)", 2.5, 2.0, 900, (asked,))
    >>> run = Run("00_tour", "Tour", 4.0, 900, 1, 3.5, (cell,))
    >>> table = profile_table([run], 0.3, "make profile")
    >>> next(line for line in table.splitlines() if line.startswith("| 00_tour"))
    '| 00_tour | 4.0 | 3.5 | 3.5 | 0.90 | 2.0 |'
    """
    share = f"Other programs took {others:.0%} of the processor meanwhile"
    verdict = (
        f"**{share}: these numbers are from a busy machine.** Compare their shares; the seconds "
        "are not final, those by the clock least of all."
        if others > QUIET
        else f"{share}, so the machine counts as idle."
    )
    lines = [
        "# What each notebook costs",
        "",
        f"Made by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}: "
        f"{platform.system()}, {settings.threads()} cores, Python {platform.python_version()}, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}.",
        verdict,
        "",
        "The kernel's start and the first cell hold the imports and the loading of the library; "
        '"computed" is the wall time in which caches were filled. Peaks are those of a kernel and '
        "its children.",
        "",
        "| notebook | wall s | processor s | start and set-up cell, processor s | peak GB "
        "| computed s |",
        "|---|---|---|---|---|---|",
        *map(_notebook_row, runs),
        _total_row(runs),
        "",
        *_repeated(runs),
    ]
    for run in runs:
        lines += ["", f"## {run.name}", "", *_cell_rows(run.costs)]
    return "\n".join(lines) + "\n"


def computed(run: Run) -> list[Lookup]:
    """What a notebook had to compute for the caches."""
    return [asked for cost in run.costs for asked in cost.lookups if asked.computed]


def _notebook_row(run: Run) -> str:
    rest = sum(cost.processor_seconds for cost in run.costs[1:])
    spent = sum(asked.seconds for asked in computed(run))
    set_up = "" if run.name == AHEAD else f"{run.processor_seconds - rest:.1f} "
    return (
        f"| {run.name} | {run.seconds:.1f} | {run.processor_seconds:.1f} "
        f"| {set_up}| {run.peak_memory_mb / 1000:.2f} | {spent:.1f} |"
    )


def _total_row(runs: Sequence[Run]) -> str:
    wall, processor = (
        sum(getattr(run, name) for run in runs) for name in ("seconds", "processor_seconds")
    )
    peak = max((run.peak_memory_mb for run in runs), default=0) / 1000
    return f"| together | {wall:.1f} | {processor:.1f} | | {peak:.2f} | |"


def _repeated(runs: Sequence[Run]) -> list[str]:
    """Say what more than one notebook, or one notebook several times, computed."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        for asked in computed(run):
            by_name[asked.what].append(f"{run.name} ({asked.computed}, {asked.seconds:.1f} s)")
    rows = [f"| {what} | {', '.join(where)} |" for what, where in by_name.items() if len(where) > 1]
    if not rows:
        return ["Nothing that caches keep was computed more than once."]
    return [
        "Computed in more than one place (items, wall seconds; the items may be different ones):",
        "",
        "| what | where |",
        "|---|---|",
        *rows,
    ]


def _cell_rows(costs: Sequence[CellCost]) -> list[str]:
    rows = [
        "| cell | wall s | processor s | peak GB | computed | reused |",
        "|---|---|---|---|---|---|",
    ]
    small = [cost for cost in costs if max(cost.seconds, cost.processor_seconds) < LEAST_S]
    for cost in costs:
        if cost in small and not any(asked.computed for asked in cost.lookups):
            continue
        first = cost.source.strip().partition("\n")[0].replace("|", "\\|").replace("`", "'")[:60]
        asked = [
            ", ".join(
                f"{one.what}: {getattr(one, kind)}" for one in cost.lookups if getattr(one, kind)
            )
            for kind in ("computed", "reused")
        ]
        rows.append(
            f"| {cost.number} `{first}` | {cost.seconds:.1f} | {cost.processor_seconds:.1f} "
            f"| {cost.peak_memory_mb / 1000:.2f} | {' | '.join(asked)} |"
        )
    together = [
        sum(getattr(cost, name) for cost in small) for name in ("seconds", "processor_seconds")
    ]
    rows.append(f"| the {len(small)} others | {together[0]:.1f} | {together[1]:.1f} | | | |")
    return rows
