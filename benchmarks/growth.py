"""How time grows with the number of videos and of users: rendering, cleaning, embedding, models.

Each job runs in four sizes that span a factor of ten, and once in a size below them, whose time
holds the fixed cost. The time above that one, in processor seconds of one thread, is fitted by a
power of the size, `T(n) - T(n0) = c (n^p - n0^p)`; printed are the seconds and the exponent p.

- Videos: rendering MiniTube, cleaning it, embedding its thumbnails; fitting ItemKNN, ALS and EASE
  to a drawn log of as many events whatever the catalogue, and ranking the whole catalogue.
- Users, with as many events each: MiniTube's tables, the same models, and ranking.

Fails where an exponent is above 1.1, EASE aside, whose time grows with the cube of the videos.

    python benchmarks/growth.py
    python benchmarks/growth.py --parts media --clips 40 80 172 372 800
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from evaluation_memory import Factors, simulated
from side_by_side import Option, exponent, options
from threadpoolctl import threadpool_limits

from vidrec_utils import datasets, image_encoders
from vidrec_utils.behavior_based import ALS, EASE, ItemKNN
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import embed
from vidrec_utils.evaluation import evaluate
from vidrec_utils.minitube import WorldConfig
from vidrec_utils.minitube.world import build_world, make_tables
from vidrec_utils.preprocessing import clean
from vidrec_utils.recommender import Recommender

LIMIT = 1.1


def measured(job: Callable[[], object], repeats: int) -> float:
    """Median processor seconds of a job."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        job()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def told(job: str, sizes: Sequence[int], seconds: Sequence[float], checked: bool = True) -> bool:
    """Print a row of the table; whether the exponent is above the limit."""
    p = exponent(sizes, seconds)
    above = checked and not p <= LIMIT
    row = " | ".join(f"{n:,}: {s:.2f} s" for n, s in zip(sizes, seconds, strict=True))
    print(f"| {job} | {row} | {p:.2f} |{'  ABOVE' if above else ''}", flush=True)
    return above


def config(n_videos: int, n_users: int) -> WorldConfig:
    return WorldConfig("growth", 0, n_videos, n_users, max(4, n_videos // 10))


def media(sizes: Sequence[int], folder: Path) -> list[bool]:
    """What reads or writes clips."""
    encoder = image_encoders.load("efficientnet_lite0")
    encoder.encode([np.zeros((64, 64, 3), np.uint8)])  # what is only done once
    names = ("rendering", "cleaning", "embedding thumbnails")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for n in sizes:
        library: list[VideoLibrary] = []

        def render(n: int = n, library: list[VideoLibrary] = library) -> None:
            path = build_world(config(n, 100), folder / str(n), progress=False)
            library.append(datasets.load_folder(path))

        def treat(library: list[VideoLibrary] = library) -> None:
            library.append(clean(library[0], cache=False, progress=False)[0])

        def encode(n: int = n, library: list[VideoLibrary] = library) -> None:
            embed(library[1], encoder, "thumbnail", folder / f"{n}-vectors", progress=False)

        for name, job in zip(names, (render, treat, encode), strict=True):
            seconds[name].append(measured(job, 1))
    return [told(f"{name}, videos", sizes, seconds[name]) for name in names]


def models(
    unit: str, sizes: Sequence[int], other: int, makers: dict[str, Callable[[], Recommender]]
) -> list[bool]:
    """Fitting and ranking, with the number of videos or of users growing."""
    jobs = [*makers] if "EASE" in makers else [*makers, "ranking"]
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for n in sizes:
        users, videos = (n, other) if unit == "users" else (other, n)
        split = simulated(users, videos, 20)
        for name, make in makers.items():
            seconds[name].append(measured(partial(make().fit, split), 3))
        if "ranking" in seconds:
            ranker = Factors().fit(split)
            ask = partial(evaluate, ranker, split, on="test", progress=False)
            seconds["ranking"].append(measured(ask, 3))
    return [
        told(f"{name}, {unit}", sizes, taken, checked=name != "EASE")
        for name, taken in seconds.items()
    ]


def main() -> None:
    chosen = options(
        __doc__,
        clips=Option([16, 32, 69, 149, 320], "of MiniTube; the first holds the fixed cost"),
        videos=Option([500, 5_000, 10_750, 23_250, 50_000], "of drawn logs, for 3,000 users"),
        users=Option([500, 5_000, 10_750, 23_250, 50_000], "of drawn logs, with 1,000 videos"),
        parts=Option(["models", "media"], "default: both", ("models", "media")),
    )
    os.environ["VIDREC_THREADS"] = "1"  # what renders stays in this process, whose time is taken
    torch.set_num_threads(1)
    cheap: dict[str, Callable[[], Recommender]] = {
        "ItemKNN": ItemKNN,
        "ALS": lambda: ALS(iterations=3, progress=False),
        "ALS, 3 steps": lambda: ALS(iterations=3, cg_steps=3, progress=False),
    }
    above = []
    with threadpool_limits(1), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if "models" in chosen.parts:
            above += models("users", chosen.users, 1_000, cheap)
            above += models("videos", chosen.videos, 3_000, cheap)
            models("videos", [n // 10 for n in chosen.videos], 1_000, {"EASE": EASE})
        if "media" in chosen.parts:
            people = [n // 5 for n in chosen.users]
            tables = [measured(partial(make_tables, config(40, n)), 1) for n in people]
            above.append(told("MiniTube's tables, users", people, tables))
            above += media(chosen.clips, Path(folder))
    if any(above):
        raise SystemExit(f"An exponent is above {LIMIT}.")


if __name__ == "__main__":
    main()
