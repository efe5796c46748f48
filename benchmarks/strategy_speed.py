"""Speed of the strategies: ours and the peers in one process, in turns, same sizes and threads.

- ALS: fitting, against `implicit` (same factors, rounds, regularisation, threads), once with exact
  solutions (Cholesky) and once with three steps of conjugate gradients, its default;
- the 100 best for all users, without what they know, against `implicit`;
- ItemKNN: neighbours against `implicit`, and EASE against a plain NumPy inverse and `irspack`;
- fusion by normalised scores and by ranks, against its members asked alone;
- metrics: NDCG@10 of ranked lists, against `ranx`.

    python benchmarks/strategy_speed.py --users 20000 --videos 10000 --events 1000000
    VIDREC_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/strategy_speed.py --processor --rounds 10

Peers come from `benchmarks/requirements.txt`; one that is absent is named and left out. Each pair
is checked to give the same result first. The data are drawn: popularity and activity fall off like
a power, as they do on platforms.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from side_by_side import REPEATS, Option, binary_matrix, options, peer, ratio, rounds
from threadpoolctl import threadpool_limits

from vidrec_utils import settings
from vidrec_utils.behavior_based import ALS, EASE, ItemKNN, cosine_neighbours, ease_weights
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.evaluation import metrics
from vidrec_utils.hybrid import RankFusion, WeightedFusion
from vidrec_utils.hybrid.fusion import Fusion
from vidrec_utils.recommender import Recommender, blocks


def drawn(n_users: int, n_videos: int, n_events: int, seed: int = 0) -> sparse.csr_matrix:
    """Binary users x videos, heavy-tailed on both sides."""
    rng = np.random.default_rng(seed)
    user = (rng.pareto(1.2, n_events) * n_users / 20).astype(np.int64) % n_users
    video = (rng.pareto(1.0, n_events) * n_videos / 40).astype(np.int64) % n_videos
    return binary_matrix(user, video, (n_users, n_videos))


def as_library(matrix: sparse.csr_matrix) -> VideoLibrary:
    """The same as a library, whose ids keep the order of rows and columns."""
    pairs = matrix.tocoo()
    users = np.array([f"{u:07d}" for u in range(matrix.shape[0])])
    videos = np.array([f"{v:07d}" for v in range(matrix.shape[1])])
    log = pd.DataFrame({"user_id": users[pairs.row], "video_id": videos[pairs.col]})
    log["watch_ratio"] = 1.0
    return VideoLibrary(pd.DataFrame(index=pd.Index(videos, name="video_id")), log)


CLOCK: list[Callable[[], float]] = [time.perf_counter]
"""The clock in use; `--processor` sets another one."""


def turns(what: str, ways: dict[str, Callable[[], object]], repeats: int) -> None:
    """Run each way in turns and print the medians, and their ratios to ours."""
    taken = rounds(ways, repeats, CLOCK[0])
    for way, seconds in taken.items():
        times = ratio(seconds, taken["ours"])
        print(
            f"{what:34s} {way:10s} {statistics.median(seconds):8.3f} s   {times:6.2f} times ours",
            flush=True,
        )


def same(what: str, a: np.ndarray, b: np.ndarray, tolerance: float) -> None:
    if not np.allclose(a, b, atol=tolerance):
        raise SystemExit(f"{what}: ours and the peer differ by up to {abs(a - b).max():.2g}.")


def factorisation(matrix: sparse.csr_matrix, factors: int, rounds: int, repeats: int) -> None:
    implicit = peer("implicit")
    extra = sparse.csr_array(matrix)
    settled = {"unobserved": 1.0, "exponent": 0.0, "regularization": 1.0, "progress": False}
    for label, cg in (("exact", None), ("3 CG steps", 3)):
        model = ALS(factors, rounds, cg_steps=cg, **settled)
        model.video_ids, model.user_ids = (pd.RangeIndex(n) for n in matrix.shape[::-1])
        model._validation = model._hook = None  # as `fit` sets them, which also reads the ids
        events = (pd.DataFrame({"user_id": ["0"]}), pd.Series([1.0]))
        ways: dict[str, Callable[[], object]] = {"ours": partial(model._fit_events, extra, *events)}
        if implicit is not None:
            theirs = implicit.als.AlternatingLeastSquares(
                factors=factors,
                iterations=rounds,
                regularization=1.0,
                alpha=2.0,
                use_cg=cg is not None,
                num_threads=settings.threads(),
                use_gpu=False,
            )
            ways["implicit"] = partial(theirs.fit, matrix, show_progress=False)
        turns(f"ALS, {factors} factors, {rounds} rounds, {label}", ways, repeats)


def best_of_all(matrix: sparse.csr_matrix, factors: int, repeats: int) -> None:
    implicit = peer("implicit")
    model = ALS(factors, 2, cg_steps=3, progress=False).fit(as_library(matrix))
    everybody, k = model.user_ids, 100
    ways: dict[str, Callable[[], object]] = {"ours": partial(model.best, everybody, k)}
    if implicit is not None:
        als = implicit.cpu.als.AlternatingLeastSquares
        theirs = als(factors=factors, num_threads=settings.threads())
        theirs.user_factors, theirs.item_factors = model.user_factors, model.video_factors
        known = sparse.csr_matrix(model.seen)
        users = np.arange(len(everybody))
        ways["implicit"] = partial(
            theirs.recommend, users, known, N=k, filter_already_liked_items=True
        )
        mine, others = model.best(everybody, k)[1], ways["implicit"]()[1]
        active = np.isfinite(mine).all(axis=1)
        same("100 best", mine[active], others[active], 1e-3)
    turns(f"{k} best of {matrix.shape[1]:,} for all users", ways, repeats)


def neighbours(matrix: sparse.csr_matrix, repeats: int) -> None:
    implicit = peer("implicit")
    extra = sparse.csr_array(matrix)
    ways: dict[str, Callable[[], object]] = {"ours": partial(cosine_neighbours, extra, 100)}
    if implicit is not None:
        theirs = implicit.nearest_neighbours.CosineRecommender(101, settings.threads())
        ways["implicit"] = partial(theirs.fit, matrix, show_progress=False)
    turns("ItemKNN, 100 neighbours", ways, repeats)


def closed_form(matrix: sparse.csr_matrix, n_videos: int, repeats: int) -> None:
    irspack = peer("irspack")
    head = sparse.csr_matrix(matrix[:, :n_videos])
    ours = sparse.csr_array(head)

    def plain() -> np.ndarray:
        gram = (head.T @ head).toarray()
        inverse = np.linalg.inv(gram + np.float32(300) * np.eye(len(gram), dtype=np.float32))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return weights

    ways: dict[str, Callable[[], object]] = {
        "ours": partial(ease_weights, ours, 300.0),
        "plain": plain,
    }
    same("EASE", ease_weights(ours, 300.0), plain(), 1e-4)
    if irspack is not None:
        ways["irspack"] = lambda: irspack.DenseSLIMRecommender(head, reg=300.0).learn()
    turns(f"EASE, {n_videos:,} videos", ways, repeats)


def fusions(matrix: sparse.csr_matrix, n_users: int, repeats: int) -> None:
    """Scores of a fusion against those of its members, asked one after the other."""
    data = as_library(matrix)
    members = [
        ALS(64, 3, cg_steps=3, progress=False, name="als").fit(data),
        ItemKNN(name="knn").fit(data),
        EASE(100.0, name="ease").fit(data),
    ]
    users = members[0].user_ids[:n_users]

    def asked(models: Sequence[Recommender]) -> None:
        for block in blocks(len(users), matrix.shape[1]):
            for model in models:
                model.score(users[block])

    makers: dict[str, Callable[[], Fusion]] = {
        "z-scores": lambda: WeightedFusion(members, refit=False),
        "shares of the range": lambda: WeightedFusion(members, normalize="minmax", refit=False),
        "reciprocal ranks": lambda: RankFusion(members, refit=False),
    }
    for label, make in makers.items():
        ways = {"ours": partial(asked, [make().fit(data)]), "members": partial(asked, members)}
        turns(f"fusion of three, {label}", ways, repeats)


def measuring(n_users: int, k: int, repeats: int) -> None:
    """NDCG of lists that are ranked already; ranx keeps dictionaries, whose making is not timed."""
    rng = np.random.default_rng(0)
    relevant = rng.random((n_users, 50)) < 0.1
    relevant[:, 0] = True
    order = rng.permuted(np.tile(np.arange(50), (n_users, 1)), axis=1)[:, :k]
    hits = np.take_along_axis(relevant, order, axis=1)
    counts = relevant.sum(axis=1)
    ways: dict[str, Callable[[], object]] = {"ours": lambda: metrics(hits, counts, k)["ndcg"]}
    ranx = peer("ranx")
    if ranx is not None:
        judged = {
            f"u{u}": {f"v{v}": 1 for v in np.flatnonzero(row)} for u, row in enumerate(relevant)
        }
        ranked = {
            f"u{u}": {f"v{v}": float(k - r) for r, v in enumerate(row)}
            for u, row in enumerate(order)
        }
        truth, run = ranx.Qrels(judged), ranx.Run(ranked)
        ways["ranx"] = lambda: ranx.evaluate(truth, run, f"ndcg@{k}")
        same("NDCG", np.mean(metrics(hits, counts, k)["ndcg"]), ways["ranx"](), 1e-6)
    turns(f"all metrics (ranx: NDCG), {n_users:,} users", ways, repeats)


def main() -> None:
    chosen = options(
        __doc__,
        users=20_000,
        videos=10_000,
        events=1_000_000,
        factors=64,
        rounds=3,
        ease_videos=3_000,
        repeats=REPEATS._replace(default=3),
        processor=Option(False, "processor time, for a machine that is at other work, too"),
        without_metrics=Option(False, "ranx compiles for a minute"),
    )
    warnings.filterwarnings("ignore")
    CLOCK[0] = time.process_time if chosen.processor else time.perf_counter
    torch.set_num_threads(settings.threads())
    matrix = drawn(chosen.users, chosen.videos, chosen.events)
    print(f"{matrix.shape[0]:,} users, {matrix.shape[1]:,} videos, {matrix.nnz:,} pairs")
    # one thread for BLAS, as implicit asks for: its own threads, and ours, each call BLAS
    with threadpool_limits(1, "blas"):
        factorisation(matrix, chosen.factors, chosen.rounds, chosen.repeats)
    best_of_all(matrix, chosen.factors, chosen.repeats)
    neighbours(matrix, chosen.repeats)
    closed_form(matrix, chosen.ease_videos, chosen.repeats)
    fusions(drawn(4000, 5000, 300_000), 1600, chosen.repeats)
    if not chosen.without_metrics:
        measuring(chosen.users, 10, chosen.repeats)


if __name__ == "__main__":
    main()
