"""A bench: one split, one list length and one metric, for all the models of a notebook."""

from __future__ import annotations

import pandas as pd

from vidrec_utils.datasets import Split
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.evaluation.comparison import Comparison, compare
from vidrec_utils.evaluation.ranking import evaluate
from vidrec_utils.evaluation.results import Result
from vidrec_utils.events import Label
from vidrec_utils.recommender import Recommender


class Bench:
    """Fit, measure and compare models under the same conditions.

    Parameters
    ----------
    split : Split
        Models are fitted on `train`.
    k : int
        Length of the lists.
    metric : str
        The metric that is printed and compared; see `evaluate` for the names.
    seed : int
        Seed of the bootstrap.
    label : str or LabelRule, optional
        The label that judges the lists; see `evaluate`.

    Examples
    --------
    Three users saw `a`, and went on to watch `b`, `b` and `c`:

    >>> import pandas as pd
    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> bench = Bench(split, k=1, metric="recall")
    >>> popular = bench.score(Popularity())
    popularity: RECALL@1 0.667 [0.000, 1.000] on validation.
    """

    def __init__(
        self,
        split: Split,
        k: int = 10,
        metric: str = "ndcg",
        seed: int = 0,
        label: Label = None,
    ):
        self.split = split
        self.label = label
        self.k = k
        self.metric = metric
        self.seed = seed

    def measure(
        self,
        model: Recommender,
        on: str = "validation",
        weights: pd.Series | None = None,
        vectors: Embeddings | pd.DataFrame | None = None,
    ) -> Result:
        """Fit a model on train and measure it, without printing.

        Parameters
        ----------
        model : Recommender
        on : {"validation", "test"}
            The part to predict.
        weights : Series, optional
            Weight of each training event; see `Recommender.fit`.
        vectors : Embeddings or DataFrame, optional
            Adds the metric `diversity`; see `evaluate`.
        """
        fitted = model.fit(self.split, weights)
        return evaluate(
            fitted,
            self.split,
            self.k,
            on,
            self.seed,
            vectors=vectors,
            progress=False,
            label=self.label,
        )

    def score(
        self,
        model: Recommender,
        on: str = "validation",
        vectors: Embeddings | pd.DataFrame | None = None,
    ) -> Result:
        """Fit a model on train, measure it, and print the mean with its interval."""
        result = self.measure(model, on, vectors=vectors)
        print(f"{result.sentence(self.metric)} on {on}.")
        return result

    def compare(self, a: Result, b: Result, which: str = "all") -> Comparison:
        """Compare two results on the same users, and print the difference `a - b`."""
        comparison = compare(a, b, self.metric, self.seed, which=which)
        where = "" if which == "all" else f" on {which}"
        print(f"{comparison.sentence()}{where}.")
        return comparison
