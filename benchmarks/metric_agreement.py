"""Whether our ranking metrics are those of RecTools, scikit-learn and plain loops, to 1e-9.

A ready-made split of MovieLens-100K (the last fifth of each user's ratings is the test), item
neighbours with five neighbours each, which score most videos 0, so that ties are everywhere. Every
ideal, every denominator of recall and both ways to rank ties are evaluated at three lengths, and
compared user by user:

- with `metric_loops.py`, all metrics;
- with scikit-learn's `ndcg_score`: the ideal min(n, k), and ties averaged or in order;
- with RecTools, on the same lists, in an environment of its own (`--rectools PYTHON`).

    python benchmarks/metric_agreement.py --recbole WHEEL --rectools PYTHON

Fails if any value differs by more than 1e-9.
"""

from __future__ import annotations

import subprocess
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from metric_loops import LOOPS
from reference_quality import movielens_100k
from side_by_side import Option, options
from sklearn.metrics import ndcg_score

from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import RANKING_METRICS, Result, evaluate
from vidrec_utils.preprocessing import ready_made_split
from vidrec_utils.recommender import Recommender

IDEALS = ("min(n, k)", "n", "k")
RECALLS = ("n", "min(n, k)")
LENGTHS = (1, 10, 50)
CLOSE = 1e-9


def movielens_split(path: str | None) -> Split:
    """Who and what alone: the last fifth of each user's ratings is the test, nothing validation."""
    ratings = movielens_100k(path).sort_values("time", kind="stable")
    number = ratings.groupby("user").cumcount()
    late = number >= 0.8 * ratings.groupby("user")["item"].transform("size")
    pairs = ratings[["user", "item"]].set_axis(["user_id", "video_id"], axis=1)
    return ready_made_split(pairs[~late], pairs[late], name="last fifth of each user")


class Questions:
    """Scores of the candidates of each user, and which are relevant, made without the package."""

    def __init__(self, model: Recommender, split: Split, users: pd.Index):
        scores = model.score(users).astype(float)
        seen = split.train.groupby("user_id")["video_id"].agg(set)
        wanted = split.test.groupby("user_id")["video_id"].agg(set)
        videos = model.video_ids
        self.scores, self.relevant = [], []
        for row, user in zip(scores, users, strict=True):
            candidate = ~videos.isin(list(seen.get(user, ())))
            self.scores.append(row[candidate])
            self.relevant.append(videos[candidate].isin(list(wanted[user])))

    def by_loops(self, k: int, ties: str, ideal: str, recall: str) -> pd.DataFrame:
        """All metrics in plain loops."""
        pairs = zip(self.scores, self.relevant, strict=True)
        return pd.DataFrame([LOOPS[ties](*pair, k, ideal, recall) for pair in pairs])

    def by_scikit_learn(self, k: int, ties: str) -> list[float]:
        """NDCG with the ideal min(n, k); for ties in order the scores become ranks."""
        values = []
        for scores, relevant in zip(self.scores, self.relevant, strict=True):
            if ties == "catalogue":
                scores = -np.argsort(np.argsort(-scores, kind="stable"))
            values.append(ndcg_score(relevant[None].astype(int), scores[None], k=k))
        return values


def by_rectools(python: str, split: Split, result: Result) -> dict[str, np.ndarray]:
    """Metrics of RecTools for the lists of a result, in the order of its users."""
    videos = result.top[1].cat.categories
    users = result.per_user.index
    lists = np.column_stack([result.top[rank].cat.codes for rank in result.top])
    test = split.test.drop_duplicates()
    rows, columns = users.get_indexer(test["user_id"]), videos.get_indexer(test["video_id"])
    pairs = np.column_stack([rows, columns])
    with tempfile.TemporaryDirectory() as folder:
        task, answer = Path(folder, "task.npz"), Path(folder, "answer.npz")
        np.savez(task, lists=lists, relevant=pairs[pairs[:, 0] >= 0], k=result.k)
        script = Path(__file__).with_name("rectools_metrics.py")
        subprocess.run([python, script, task, answer], check=True)
        with np.load(answer) as values:
            return dict(values)


def compared_with_rectools(python: str, split: Split, results: dict) -> dict[str, float]:
    """Largest difference by metric, over the lengths."""
    largest: dict[str, float] = {}
    for k in LENGTHS:
        first = results["catalogue", "n", "n"].at(k)
        for name, theirs in by_rectools(python, split, first).items():
            metric, _, divisor = name.partition(", ")
            ideal = divisor if metric in ("ndcg", "map") else "n"
            ours = results["catalogue", ideal, "n"].at(k).per_user[metric]
            gap = float(np.abs(ours.to_numpy() - theirs).max())
            largest[f"RecTools, {name}"] = max(gap, largest.get(f"RecTools, {name}", 0.0))
    return largest


def main() -> int:
    """Measure, print the largest difference from each reference, and fail if one is not small."""
    arguments = options(
        __doc__,
        recbole=Option(None, "wheel of recbole, if it is not installed"),
        rectools=Option(None, "Python of an environment that has RecTools"),
    )
    split = movielens_split(arguments.recbole)
    model = ItemKNN(neighbours=5).fit(split)
    results = {
        (ties, ideal, recall): evaluate(
            model, split, LENGTHS, "test", slices=False, ties=ties, ideal=ideal, recall=recall
        )
        for ties, ideal, recall in product(LOOPS, IDEALS, RECALLS)
    }
    users = next(iter(results.values())).per_user.index
    questions = Questions(model, split, users)
    tied = np.mean([1 - len(np.unique(row)) / len(row) for row in questions.scores])
    print(f"{len(users)} users, {len(split.videos):,} videos; {tied:.0%} of the scores are ties.")
    largest: dict[str, float] = {}
    for (ties, ideal, recall), k in product(results, LENGTHS):
        ours = results[ties, ideal, recall].at(k).per_user.reset_index(drop=True)
        theirs = {f"loops, {ties}": questions.by_loops(k, ties, ideal, recall)[[*RANKING_METRICS]]}
        if (ideal, recall) == ("min(n, k)", "n"):
            values = questions.by_scikit_learn(k, ties)
            theirs[f"scikit-learn, {ties}"] = pd.DataFrame({"ndcg": values})
        for name, table in theirs.items():
            gap = float((ours[table.columns] - table).abs().max(axis=None))
            largest[name] = max(gap, largest.get(name, 0.0))
    if arguments.rectools:
        largest |= compared_with_rectools(arguments.rectools, split, results)
    for name, gap in largest.items():
        print(f"{name}: largest difference {gap:.1e}")
    return int(max(largest.values()) > CLOSE)


if __name__ == "__main__":
    raise SystemExit(main())
