"""Our models of behaviour and reference implementations: same split, settings and metric code.

Three public sets: MovieLens-latest-small and KuaiRand-Pure in their own form, and MovieLens-100K
from the wheel of `recbole` (installed, or the wheel's path; its code is not run).

    python benchmarks/reference_quality.py --movielens PATH --kuairand PATH --recbole WHEEL

`--sets` and `--only` choose among these parts and strategies, to run one at a time:

- `100k`, `small`, `kuairand`: every model gets the same binary matrix of a 75/25 split stratified
  by user; all items that a user does not have in training are ranked, by the same lines of code.
  Recall@20 is over min(n, 20), NDCG@20 has its ideal over min(n, 20).
- `sequence`: MovieLens-100K with everybody's last event as the test, for SASRec, which reads what
  came before in order.
- `published`: MovieLens-100K at k = 10, by the protocol of the `recommenders` repository:
  popularity, ItemKNN, iALS (32 factors, regularisation .02, unobserved .3, 10 rounds) and EASE
  (l2 300).

Peers (`benchmarks/requirements.txt`): implicit (ALS, BPR, cosine neighbours), irspack (EASE, iALS,
cosine neighbours), cornac (BPR), and RecTools (SASRec), which has to live in an environment of its
own, whose Python is given as `--rectools`. A peer that is absent is named and left out.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from side_by_side import Option, binary_matrix, options, peer

from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN, SASRec
from vidrec_utils.evaluation import list_metrics
from vidrec_utils.files import find_packaged
from vidrec_utils.recommender import Popularity, Recommender, top_k

K = 20
RATINGS = ["user", "item", "rating", "time"]
SETS = {
    "published": "MovieLens-100K, k = 10",
    "100k": "MovieLens-100K",
    "small": "MovieLens-latest-small",
    "kuairand": "KuaiRand-Pure, long views",
    "sequence": "MovieLens-100K, last event out",
}
FACTORS, ROUNDS, REGULARIZATION = 32, 15, 5.0
SEQUENCE = {"length": 50, "dim": 64, "heads": 2, "layers": 2, "dropout": 0.2, "batch_size": 128}
SEQUENCE |= {"learning_rate": 1e-3, "epochs": 100}
PAIRS = {"learning_rate": 0.05, "regularization": 0.01}
WITHOUT_CHANCE = ("popularity", "ItemKNN", "EASE")

# --- data --------------------------------------------------------------------------------------


def movielens_100k(path: str | None) -> pd.DataFrame:
    """Ratings from the installed package `recbole`, or from its wheel."""
    inner = "dataset_example/ml-100k/ml-100k.inter"
    file = zipfile.Path(path, f"recbole/{inner}") if path else find_packaged("recbole", inner)
    if file is None:
        raise SystemExit(
            "MovieLens-100K is not available: pip download --no-deps recbole==1.2.1, and give "
            "the wheel as --recbole."
        )
    with file.open(encoding="utf-8") as source:
        return pd.read_csv(source, sep="\t", names=RATINGS, header=0)


def movielens_small(folder: str) -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "ratings.csv", names=RATINGS, header=0)


def kuairand(folder: str) -> pd.DataFrame:
    """Videos that were watched long, of users and videos with at least five such events."""
    files = sorted(Path(folder).glob("interactions_*.parquet"))
    frame = pd.concat(map(pd.read_parquet, files), ignore_index=True)
    frame = frame[frame["long_view"] == 1]
    frame = frame.rename(columns={"user_id": "user", "video_id": "item", "time_ms": "time"})
    frame = frame.drop_duplicates(["user", "item"])
    for _ in range(20):
        kept = frame.groupby("user")["item"].transform("size") >= 5
        kept &= frame.groupby("item")["user"].transform("size") >= 5
        frame = frame[kept]
    return frame[["user", "item", "time"]]


def split(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three quarters of each user's events, drawn at random, and the rest."""
    shuffled = frame.iloc[np.random.default_rng(seed).permutation(len(frame))]
    number = shuffled.groupby("user").cumcount()
    size = shuffled.groupby("user")["item"].transform("size")
    train = (number < np.round(0.75 * size)).to_numpy()
    return shuffled[train].sort_values("time", kind="stable"), shuffled[~train]


def last_out(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Everything but the last event of each user, and these; of equal times the order of rows."""
    ordered = frame.sort_values("time", kind="stable")
    last = ~ordered.duplicated("user", keep="last")
    return ordered[~last], ordered[last]


class World:
    """A split as matrices, and in the form that `fit` takes; `events` are its train in order."""

    def __init__(self, frame: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame):
        self.users = np.unique(frame["user"])
        self.items = np.unique(frame["item"])
        self.train, self.test = self._matrix(train), self._matrix(test)
        self.events = self._numbers(train)
        self.videos = pd.DataFrame(index=pd.Index(self.items.astype(str)))
        self.interactions = pd.DataFrame(
            {
                "user_id": train["user"].astype(str).to_numpy(),
                "video_id": train["item"].astype(str).to_numpy(),
                "timestamp": pd.to_datetime(np.arange(len(train)), unit="s", utc=True),
                "watch_ratio": 1.0,
            }
        )

    def _numbers(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        rows = np.searchsorted(self.users, frame["user"])
        return rows, np.searchsorted(self.items, frame["item"])

    def _matrix(self, frame: pd.DataFrame) -> sparse.csr_matrix:
        return binary_matrix(*self._numbers(frame), (len(self.users), len(self.items)))


def measure(scores: np.ndarray, world: World, k: int) -> dict[str, float]:
    """Recall (over min(n, k)), precision and NDCG at k over all items not in training."""
    scores = np.array(scores, dtype=np.float32)
    scores[world.train.toarray() > 0] = -np.inf
    truth = world.test.toarray() > 0
    asked = truth.any(axis=1)
    hits = np.take_along_axis(truth, top_k(scores, k), axis=1)[asked]
    n = truth.sum(axis=1)[asked]
    means = list_metrics(hits, n, k).mean().to_dict()
    return {
        "recall": float((hits.sum(axis=1) / np.minimum(n, k)).mean()),
        "ndcg": means["ndcg"],
        "precision": means["precision"],
        "plain recall": means["recall"],
    }


# --- models: functions from a world and a seed to scores of all pairs ----------------------------

Model = Callable[[World, int], np.ndarray]
Table = dict[str, dict[str, Model]]


def ours(model: Recommender, world: World) -> np.ndarray:
    return model.fit(world).score(world.users.astype(str))


def implicit_factors(model: Any, world: World) -> np.ndarray:
    model.fit(world.train, show_progress=False)
    return model.user_factors @ model.item_factors.T


def implicit_neighbours(model: Any, world: World) -> np.ndarray:
    model.fit(world.train, show_progress=False)
    return (world.train @ model.similarity.tocsr()).toarray()


def cornac_pairs(model: Any, dataset: Callable, world: World) -> np.ndarray:
    pairs = world.train.tocoo()
    ids = [{i: i for i in range(n)} for n in pairs.shape]
    model.fit(dataset(*pairs.shape, *ids, (pairs.row, pairs.col, pairs.data)))
    return model.u_factors @ model.i_factors.T + model.i_biases


def rectools_sasrec(python: str, world: World, seed: int) -> np.ndarray:
    users, items = world.events
    script = Path(__file__).with_name("rectools_sasrec.py")
    with tempfile.TemporaryDirectory() as folder:
        task, answer = Path(folder) / "task.npz", Path(folder) / "scores.npz"
        shape = world.train.shape
        np.savez(task, users=users, items=items, shape=shape, seed=seed, **SEQUENCE)
        subprocess.run([python, script, task, answer], check=True, capture_output=True)
        return np.load(answer)["scores"]


def irspack_scores(model: Any, world: World) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bar
        scores = model.learn().get_score(np.arange(world.train.shape[0]))
    return np.asarray(scores, dtype=np.float32)


def models() -> Table:
    """By strategy: ours first, then its references, with the same hyperparameters.

    The ALS of `implicit` counts confidence from 0, its neighbours hold the item itself, and its BPR
    draws the worse item from the events, by popularity. Peers that are absent are left out.
    """
    peers = {name: peer(name) for name in ("implicit", "irspack", "cornac")}
    implicit, irspack, cornac = peers.values()
    hu = {"factors": FACTORS, "iterations": ROUNDS, "regularization": REGULARIZATION}
    hu_ours = {**hu, "unobserved": 1.0, "alpha": 10.0, "exponent": 0.0, "progress": False}
    hu_theirs = {**hu, "alpha": 11.0, "use_cg": False, "use_gpu": False}
    rendle = {"unobserved": 0.1, "regularization": 0.003, "progress": False}
    rendle_theirs = {
        "alpha0": 0.1, "reg": 0.003, "nu": 1.0, "init_std": 0.1, "train_epochs": ROUNDS,
        "n_components": FACTORS, "loss_type": "IALSPP", "solver_type": "CHOLESKY",
    }  # fmt: skip
    watched = {"shrinkage": 0.0, "neighbours_of": "watched"}
    watched_theirs = {"shrinkage": 0.0, "normalize": True, "top_k": 100}
    pairs = {**PAIRS, "epochs": 100, "batch_size": 1024, "progress": False}
    rate, pull = PAIRS.values()
    pairs_cornac = {"k": FACTORS, "max_iter": 100, "learning_rate": rate, "lambda_reg": pull}
    table: Table = {
        "popularity": {"ours": lambda w, _: ours(Popularity(), w)},
        "ItemKNN, scored": {"ours": lambda w, _: ours(ItemKNN(100, shrinkage=0.0), w)},
        "ItemKNN, watched": {
            "ours": lambda w, _: ours(ItemKNN(100, **watched), w),
            "implicit": lambda w, _: implicit_neighbours(
                implicit.nearest_neighbours.CosineRecommender(K=101), w
            ),
            "irspack": lambda w, _: irspack_scores(
                irspack.CosineKNNRecommender(w.train, **watched_theirs), w
            ),
        },
        "EASE, 300": {
            "ours": lambda w, _: ours(EASE(300.0), w),
            "irspack": lambda w, _: irspack_scores(
                irspack.DenseSLIMRecommender(w.train, reg=300.0), w
            ),
        },
        "ALS (Hu)": {
            "ours": lambda w, s: ours(ALS(**hu_ours, seed=s), w),
            "implicit": lambda w, s: implicit_factors(
                implicit.als.AlternatingLeastSquares(**hu_theirs, random_state=s), w
            ),
        },
        "ALS (Hu), 3 steps": {
            "ours": lambda w, s: ours(ALS(**hu_ours, cg_steps=3, seed=s), w),
            "implicit": lambda w, s: implicit_factors(
                implicit.als.AlternatingLeastSquares(
                    **{**hu_theirs, "use_cg": True}, random_state=s
                ),
                w,
            ),
        },
        "iALS (Rendle)": {
            "ours": lambda w, s: ours(ALS(FACTORS, ROUNDS, **rendle, seed=s), w),
            "irspack": lambda w, s: irspack_scores(
                irspack.IALSRecommender(w.train, **rendle_theirs, random_seed=s), w
            ),
        },
        "iALS, 3 steps": {
            "ours": lambda w, s: ours(ALS(FACTORS, ROUNDS, **rendle, cg_steps=3, seed=s), w),
            "exact": lambda w, s: ours(ALS(FACTORS, ROUNDS, **rendle, seed=s), w),
        },
        "BPR, uniform": {
            "ours": lambda w, s: ours(BPR(FACTORS, **pairs, seed=s), w),
            "cornac": lambda w, s: cornac_pairs(
                cornac.models.BPR(**pairs_cornac, seed=s), cornac.data.Dataset, w
            ),
        },
        "BPR, popular": {
            "ours": lambda w, s: ours(BPR(FACTORS, **pairs, negatives="popular", seed=s), w),
            "implicit": lambda w, s: implicit_factors(
                implicit.bpr.BayesianPersonalizedRanking(
                    FACTORS, **PAIRS, iterations=100, use_gpu=False, random_state=s
                ),
                w,
            ),
        },
    }
    absent = [name for name, module in peers.items() if module is None]
    return {
        strategy: {by: model for by, model in row.items() if by not in absent}
        for strategy, row in table.items()
    }


def sequence_models(python: str | None) -> Table:
    """What reads a history in order, and two that do not."""
    table: Table = {
        "popularity": {"ours": lambda w, _: ours(Popularity(), w)},
        "EASE, 300": {"ours": lambda w, _: ours(EASE(300.0), w)},
        "SASRec": {"ours": lambda w, s: ours(SASRec(**SEQUENCE, seed=s, progress=False), w)},
    }
    if python:
        table["SASRec"]["RecTools"] = partial(rectools_sasrec, python)
    else:
        print("RecTools is left out: give its Python as --rectools.", file=sys.stderr)
    return table


def published(frame: pd.DataFrame, seeds: list[int]) -> pd.DataFrame:
    """MovieLens-100K at k = 10, next to the values to reproduce."""
    ials = {"unobserved": 0.3, "regularization": 0.02, "progress": False}
    to_reproduce = {
        "popularity": (lambda _: Popularity(), 0.2517),
        "ItemKNN": (lambda _: ItemKNN(200, shrinkage=0.0), 0.4247),
        "iALS": (lambda s: ALS(32, 10, **ials, seed=s), 0.4786),
        "EASE": (lambda _: EASE(300.0), 0.4802),
    }
    splits, rows = worlds(frame, seeds), {}
    for name, (make, value) in to_reproduce.items():
        each = pd.DataFrame([measure(ours(make(s), world), world, 10) for s, world in splits])
        rows[name] = {
            "NDCG@10": each["ndcg"].mean(),
            "spread": each["ndcg"].std(),
            "to reproduce": value,
            "P@10": each["precision"].mean(),
            "R@10": each["plain recall"].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def worlds(frame: pd.DataFrame, seeds: list[int]) -> list[tuple[int, World]]:
    return [(seed, World(frame, *split(frame, seed))) for seed in seeds]


def side_by_side(name: str, splits: list[tuple[int, World]], table: Table, starts: int) -> bool:
    """Print ours and the peers on one set; True if ours is nowhere behind.

    What is learned from a random start is measured on each split with several, and averaged.
    """

    def result(model: Model, world: World, seed: int, times: int) -> pd.Series:
        runs = [measure(model(world, seed + 1000 * i), world, K) for i in range(times)]
        return pd.DataFrame(runs).mean()

    train = splits[0][1].train
    print(
        f"\n{name}: {train.shape[0]:,} users, {train.shape[1]:,} items, {train.nnz:,} in training"
    )
    print(f"{'strategy':18s} {'by':10s} Recall@{K}          NDCG@{K}")
    good = True
    for strategy, makers in table.items():
        best: dict[str, pd.DataFrame] = {}
        for by, model in makers.items():
            times = 1 if strategy.startswith(WITHOUT_CHANCE) else starts
            best[by] = pd.DataFrame([result(model, w, s, times) for s, w in splits])
            mean, spread = best[by].mean(), best[by].std().fillna(0)
            print(
                f"{strategy:18s} {by:10s} {mean['recall']:.4f} ± {spread['recall']:.4f}   "
                f"{mean['ndcg']:.4f} ± {spread['ndcg']:.4f}",
                flush=True,
            )
        for by in set(best) - {"ours"}:
            for metric in ("recall", "ndcg"):
                difference = best["ours"][metric] - best[by][metric]  # the same splits
                margin = max(2 * difference.std(ddof=0), best[by][metric].std(ddof=0), 1e-3)
                if difference.mean() < -margin:
                    good = False
                    print(f"  behind {by} in {metric} by {-difference.mean():.4f}")
    return good


def main() -> None:
    chosen = options(
        __doc__,
        movielens=Option(None, "folder of MovieLens-latest-small"),
        kuairand=Option(None, "folder of KuaiRand-Pure"),
        recbole=Option(None, "wheel of recbole, if it is not installed"),
        rectools=Option(None, "the Python that has RecTools"),
        seeds=[0, 1, 2],
        starts=Option(1, "random starts on each split"),
        sets=Option(list(SETS), "default: all", SETS),
        only=Option([""], "strategies, by how they begin"),
    )
    seeds, begins = chosen.seeds, tuple(name.lower() for name in chosen.only)
    good = []
    for part in chosen.sets:
        if part in ("100k", "sequence", "published"):
            frame = movielens_100k(chosen.recbole)
        elif part == "small" and chosen.movielens:
            frame = movielens_small(chosen.movielens)
        elif part == "kuairand" and chosen.kuairand:
            frame = kuairand(chosen.kuairand)
        else:
            print(f"{part} is left out: its folder was not given.", file=sys.stderr)
            continue
        if part == "published":
            print("\nMovieLens-100K, 75/25 by user, k = 10, ideal over min(n, k)")
            print(published(frame, seeds).round(4).to_string(), flush=True)
            continue
        if part == "sequence":
            world = World(frame, *last_out(frame))
            splits, table = [(seed, world) for seed in seeds], sequence_models(chosen.rectools)
        else:
            splits, table = worlds(frame, seeds), models()
        table = {name: row for name, row in table.items() if name.lower().startswith(begins)}
        good.append(side_by_side(SETS[part], splits, table, chosen.starts))
    if not all(good):
        raise SystemExit("One of ours is behind its reference by more than the seeds' spread.")


if __name__ == "__main__":
    main()
