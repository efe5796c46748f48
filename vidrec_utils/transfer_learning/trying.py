"""Trying ways to spend labels on one division of the data, and what each is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vidrec_utils.evaluation import classification_scores, compare, evaluate
from vidrec_utils.transfer_learning.bodies import Body, Inputs, original, prepare_once, vectors
from vidrec_utils.transfer_learning.splitting import few, hold_out
from vidrec_utils.transfer_learning.tuning import FineTuned, fine_tune

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split
    from vidrec_utils.evaluation import Comparison
    from vidrec_utils.recommender import Recommender


class Trial:
    """Items with labels, divided so that no group is in training and test at once.

    Parameters
    ----------
    items : mapping of str to item
        Clips, pictures or texts by id, as they are or as `prepare_once` gives them.
    labels, groups : Series
        By id; ids without a label take no part.
    test : float
        Share that is held out.
    seed : int
        Of the division, the choice of few, and training.

    Attributes
    ----------
    train, test : Index
        Ids.
    """

    def __init__(
        self,
        items: Mapping,
        labels: pd.Series,
        groups: pd.Series,
        test: float = 0.35,
        seed: int = 0,
    ):
        self.items, self.labels, self.groups, self.seed = items, labels.dropna(), groups, seed
        train, held = hold_out(
            self.labels.tolist(), test, groups.reindex(self.labels.index).to_numpy(), seed
        )
        self.train, self.test = self.labels.index[train], self.labels.index[held]

    def some(self, per_class: int | None) -> pd.Index:
        """Ids of a few training items of each class, of different groups; None: all."""
        groups = self.groups.reindex(self.train).to_numpy()
        return self.train[few(self.labels[self.train], per_class, groups, self.seed)]

    def tune(
        self, encoder: Any, strategy: str = "probe", per_class: int | None = None, **options: Any
    ) -> FineTuned:
        """Fine-tune on some training items; see `fine_tune`."""
        ids = self.some(per_class)
        options = {"progress": False, "seed": self.seed} | options
        return fine_tune(
            encoder, [self.items[i] for i in ids], self.labels[ids], strategy, **options
        )

    def held_out(self) -> list:
        """The items to test on."""
        return [self.items[i] for i in self.test]

    def scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """Share of the test items that each model names rightly: `mean, low, high`."""
        wanted = self.labels[self.test]
        return _accuracies({n: (wanted, m.predict(self.held_out())) for n, m in models.items()})

    def mirror_scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """The same for two classes that are each other's time reversal, on clips and mirrors.

        The mirror of a clip holds its frames in opposite order, and is of the other class.
        """
        one, other = sorted(self.labels.unique())
        wanted = self.labels[self.test].tolist()
        wanted += [other if label == one else one for label in wanted]
        frames = [original(clip) for clip in self.held_out()]
        both = frames + [clip[::-1] for clip in frames]
        return _accuracies({n: (wanted, m.predict(both)) for n, m in models.items()})


def two_directions(
    clips: Mapping[str, np.ndarray], labels: pd.Series, reversals: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], pd.Series]:
    """Clips of two classes that are each other's time reversal.

    Parameters
    ----------
    clips : mapping
        By id, `(time, height, width, 3)`; not changed.
    labels : Series of str
        By id; NA where there is none.
    reversals : mapping
        Classes by the one that they are backwards. The first pair of which both are among the
        labels is taken.

    Returns
    -------
    clips : dict
        Those of the pair. Where the labels hold no pair, all clips, every second one backwards.
    labels : Series of str
        The two classes; `"forwards"` and `"backwards"` where the labels hold no pair.
    """
    known = set(labels.dropna())
    pair = next((p for p in reversals.items() if known.issuperset(p)), None)
    if pair is not None:
        chosen = labels[labels.isin(pair) & labels.index.isin(list(clips))]
        return {v: clips[v] for v in chosen.index}, chosen
    names = pd.Series(["forwards", "backwards"] * len(clips))[: len(clips)].set_axis(list(clips))
    return {v: c if names[v] == "forwards" else c[::-1] for v, c in clips.items()}, names


def leads(table: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """By how much one way leads another on the same clips: `mean, low, high` over seeds.

    Parameters
    ----------
    table : DataFrame
        See `label_budget`.
    one, other : str
        Ways.
    """
    runs = table.pivot_table("accuracy", ["per_class", "seed"], "way")
    found = (runs[one] - runs[other]).dropna().groupby("per_class")
    return pd.DataFrame({"mean": found.mean(), "low": found.min(), "high": found.max()})


def tell(table: pd.DataFrame, what: str = "right") -> None:
    """Print rows of `mean, low, high` as sentences, a line each."""
    for name, row in table.iterrows():
        print(f"{name}: {row['mean']:.0%} [{row['low']:.0%}, {row['high']:.0%}] {what}.")


def mean_watch_ratio(interactions: pd.DataFrame, least: int = 5) -> pd.Series:
    """Mean watch ratio of each video with at least so many exposures, as labels for a regression.

    Give the training part of a split alone: later exposures would tell what is to be foretold.
    """
    found = interactions.groupby("video_id")["watch_ratio"].agg(["mean", "count"])
    return found.loc[found["count"] >= least, "mean"].astype(float)


def recommendation_gains(
    encoders: Mapping[str, Any],
    clips: Mapping[str, np.ndarray],
    recommender: Callable[[pd.DataFrame], Recommender],
    split: Split,
    k: int = 10,
    seed: int = 0,
) -> list[Comparison]:
    """Recommend with each encoder's vectors, and compare with those of the first, user by user.

    Encoders that prepare clips alike (a fine-tuned one and its original) share what was prepared.

    Parameters
    ----------
    encoders : mapping
        By name; the first is what the others are compared with.
    clips : mapping
        By video id.
    recommender : callable
        Of vectors, a recommender.
    split : Split
        Trained on its training part, compared by NDCG on its test part.
    k, seed : int
        Length of the lists; of the bootstrap.

    Returns
    -------
    list of Comparison
        One for each encoder but the first.
    """
    items = list(prepare_once(next(iter(encoders.values())), clips, progress=False).values())
    found = []
    for name, encoder in encoders.items():
        body = Body(encoder)
        made = vectors(body.to(body.device), Inputs(body.prepare, items), body.device)
        model = recommender(pd.DataFrame(made.numpy(), index=list(clips)))
        model.name = name
        found.append(evaluate(model.fit(split), split, k, "test", seed))
    return [compare(other, found[0], seed=seed) for other in found[1:]]


def _accuracies(answers: Mapping[str, tuple]) -> pd.DataFrame:
    rows = {}
    for name, (wanted, said) in answers.items():
        right = np.asarray(list(said)) == np.asarray(list(wanted))
        # an answer is right or wrong: the scores of that, whatever the classes are
        rows[name] = classification_scores(right.tolist(), [True] * len(right)).loc["accuracy"]
    return pd.DataFrame(rows).T
