"""Measuring one model after the other on the same split, and saying what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec_utils.evaluation.comparing import Comparison, compare
from vidrec_utils.evaluation.ranking import evaluate
from vidrec_utils.evaluation.results import Result

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split
    from vidrec_utils.recommender import Recommender


class Bench:
    """One split, one length of list and one metric, for all the models of a notebook.

    Parameters
    ----------
    split : Split
        Models are fitted on `train`.
    k : int
        Length of the lists.
    metric : str
        Said and compared; see `evaluate` for others.
    seed : int
        Of the bootstrap.
    """

    def __init__(self, split: Split, k: int = 10, metric: str = "ndcg", seed: int = 0):
        self.split, self.k, self.metric, self.seed = split, k, metric, seed

    def score(self, model: Recommender, on: str = "validation") -> Result:
        """Fit a model on train, measure it, and print the mean with its interval."""
        found = evaluate(model.fit(self.split), self.split, self.k, on, self.seed, progress=False)
        mean, low, high = found.interval(self.metric)
        label = f"{self.metric.upper()}@{self.k}"
        print(f"{model.name}: {label} {mean:.3f} [{low:.3f}, {high:.3f}] on {on}.")
        return found

    def lead(self, a: Result, b: Result, which: str = "all") -> Comparison:
        """Compare two results on the same users, and print by how much the first leads."""
        found = compare(a, b, self.metric, self.seed, which=which)
        where = "" if which == "all" else f" on {which}"
        interval = f"[{found.low:+.4f}, {found.high:+.4f}]"
        print(f"{found.a} leads {found.b} by {found.difference:+.4f} {interval}{where}.")
        return found
