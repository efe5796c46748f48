"""Several notebooks at once, with results in their order."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import nbformat
import psutil

from vidrec_utils import settings

MOST_JOBS = 4
"""Notebooks at once unless more are asked for: each needs a kernel with PyTorch in it."""
LEAST_BUDGET_GB = 3.7
"""Memory for kernels, in 10^9 bytes, on a machine that has little: two small notebooks."""
SHARE_OF_FREE = 0.7
"""Share of the memory that is free when a course begins, which its kernels may take together."""
UNSTATED_GB = 4.0
"""What a notebook counts that does not tell how much memory it takes."""

_STATED = re.compile(r"(\d+(?:\.\d+)?)\s*GB\b")

Result = TypeVar("Result")


def default_jobs() -> int:
    """One notebook for each core, at most `MOST_JOBS`."""
    return min(MOST_JOBS, settings.threads())


def memory_budget_gb() -> float:
    """How much memory all kernels together may take, in 10^9 bytes."""
    return max(LEAST_BUDGET_GB, SHARE_OF_FREE * psutil.virtual_memory().available / 1e9)


def stated_memory_gb(path: Path) -> float:
    """The memory that a notebook's card says it takes, in 10^9 bytes.

    Parameters
    ----------
    path : Path
        The notebook. Its card is its first text; the first amount in "GB" counts.

    Returns
    -------
    float
        `UNSTATED_GB` if the card tells none, or the file is no notebook.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception:  # whatever is wrong with the file is said when it is run
        return UNSTATED_GB
    texts = [cell.source for cell in cells[:2] if cell.cell_type == "markdown"]
    amount = _STATED.search("\n".join(texts))
    return float(amount[1]) if amount else UNSTATED_GB


def side_by_side(
    work: Callable[[Path, threading.Event], Result],
    notebooks: Sequence[Path],
    jobs: int,
    budget_gb: float,
) -> Iterator[tuple[Path, Future[Result]]]:
    """Work on several notebooks at once; yield what came of each in their order.

    They begin in their order, too. The next one begins when a place is free and its memory fits
    beside those that are running; alone, each may take what it needs.

    Parameters
    ----------
    work : callable
        Called in a thread with the notebook and an event; once that is set, it should end soon
        with any exception.
    notebooks : sequence of Path
        What to work on.
    jobs : int
        How many at once, at most.
    budget_gb : float
        See `memory_budget_gb`.

    Yields
    ------
    path : Path
        The notebook.
    outcome : Future
        Ended: `result()` returns what `work` returned, or raises what it raised.

    Notes
    -----
    When the caller stops to ask, or is interrupted, whatever is still running is stopped and its
    results are dropped.
    """
    waiting = deque(enumerate(notebooks))
    running: dict[Future[Result], tuple[int, float]] = {}
    ended: dict[int, Future[Result]] = {}
    stop = threading.Event()
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="notebook")
    following = 0  # whose turn it is to be yielded
    try:
        while following < len(notebooks):
            while waiting and len(running) < jobs:
                index, path = waiting[0]
                needs_gb = stated_memory_gb(path)
                if running and needs_gb + sum(gb for _, gb in running.values()) > budget_gb:
                    break
                waiting.popleft()
                running[pool.submit(work, path, stop)] = index, needs_gb
            # A short wait, so that Ctrl-C arrives
            for future in wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done:
                ended[running.pop(future)[0]] = future
            while following in ended:
                yield notebooks[following], ended.pop(following)
                following += 1
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
