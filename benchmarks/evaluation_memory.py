"""Evaluate 100,000 users on 20,000 videos at k = 100, and print time and peak memory.

The whole matrix of scores would take 8 GB in float32. `evaluation.evaluate` scores users in blocks
and keeps their lists only, so that the log, not the matrix, decides what it takes. The claim: the
process, with Python, libraries, log and result, stays below 1 GB, and takes less than two minutes
of processor time, which is a minute on two cores. Fails when it does not.

    python benchmarks/evaluation_memory.py
    python benchmarks/evaluation_memory.py --users 10000 --videos 2000
"""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pandas as pd
import psutil
from scipy import sparse
from side_by_side import Option, options

from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import evaluate
from vidrec_utils.recommender import Recommender

LIMIT_GB, LIMIT_S = 1.0, 120.0
DIM = 32


class Factors(Recommender):
    """Inner products of random vectors: scores as a factorisation makes them, without training."""

    name = "random factors"

    def _fit(self, matrix: sparse.csr_array) -> None:
        rng = np.random.default_rng(0)
        self.of_users = rng.normal(size=(matrix.shape[0], DIM)).astype(np.float32)
        self.of_videos = rng.normal(size=(matrix.shape[1], DIM)).astype(np.float32)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.of_users[users] @ self.of_videos.T


def simulated(n_users: int, n_videos: int, per_user: int, seed: int = 0) -> Split:
    """A log with a long tail: `per_user` exposures of each user, the last fifth for the test.

    A twentieth of the catalogue is published after everything that happens, so that the candidates
    have to be cut by time.
    """
    rng = np.random.default_rng(seed)
    size, n_online = n_users * per_user, n_videos * 19 // 20
    ids = pd.Index([f"v{i:06d}" for i in range(n_videos)])
    log = pd.DataFrame(
        {
            "user_id": pd.Categorical.from_codes(
                np.repeat(np.arange(n_users), per_user), [f"u{i:07d}" for i in range(n_users)]
            ).astype("str"),
            "video_id": ids[(n_online * rng.random(size) ** 3).astype(int)],
            "watch_ratio": rng.random(size).astype(np.float32),
        }
    )
    # everybody ends with a video drawn evenly, and likes it, so that nobody is left out
    last = slice(per_user - 1, None, per_user)
    log.loc[log.index[last], "video_id"] = ids[rng.integers(0, n_online, n_users)]
    log.loc[log.index[last], "watch_ratio"] = np.float32(1)
    start = pd.Timestamp("2025-03-01", tz="UTC")
    log["timestamp"] = start + pd.to_timedelta(np.tile(np.arange(per_user), n_users), unit="D")
    late = np.tile(np.arange(per_user) >= per_user * 4 // 5, n_users)
    videos = pd.DataFrame(index=ids.rename("video_id"))
    videos["published_at"] = start
    videos.iloc[n_online:, 0] = start + pd.Timedelta(days=per_user)
    return Split(log[~late], log.iloc[:0], log[late], videos, "simulated")


class Peak:
    """Highest resident memory of this process while the block runs, sampled every 10 ms.

    The operating system's own record (`ru_maxrss`) would include the making of the log.
    """

    def __enter__(self) -> Peak:
        self.process = psutil.Process()
        self.bytes = 0
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.01):
            self.bytes = max(self.bytes, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watcher.join()


def main() -> None:
    args = options(
        __doc__, users=100_000, videos=20_000, per_user=Option(20, "exposures of each user"), k=100
    )
    split = simulated(args.users, args.videos, args.per_user)
    model = Factors().fit(split)
    gc.collect()
    before = psutil.Process().memory_info().rss
    start, processor = time.perf_counter(), time.process_time()
    with Peak() as peak:
        result = evaluate(model, split, args.k, "test", progress=False)
        table = result.table()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(f"{result.protocol}")
    print(table.round(4).to_string())
    whole = args.users * args.videos * 4 / 1e9
    print(
        f"{len(result.per_user):,} users x {args.videos:,} videos at k = {args.k}: "
        f"{seconds:.0f} s, {processor:.0f} s of processor time, peak {peak.bytes / 1e9:.2f} GB, "
        f"of which {before / 1e9:.2f} GB were in use before (Python, libraries, log); "
        f"the matrix of scores alone would take {whole:.1f} GB."
    )
    if peak.bytes > LIMIT_GB * 1e9 or processor > LIMIT_S:
        raise SystemExit(f"Claimed are {LIMIT_GB:g} GB and {LIMIT_S:g} s of processor time.")


if __name__ == "__main__":
    main()
