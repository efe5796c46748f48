"""Trying ways to spend labels on one division of the data, and what each is worth."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from vidrec_utils.evaluation import bootstrap_means
from vidrec_utils.transfer_learning.bodies import original
from vidrec_utils.transfer_learning.budget import constant_share
from vidrec_utils.transfer_learning.splitting import few, hold_out
from vidrec_utils.transfer_learning.tuning import FineTuned, fine_tune


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

    def unseen(self, per_class: int | None) -> pd.Index:
        """Ids of training items of groups none of which is among `some`: to calibrate with.

        Warns
        -----
        UserWarning
            If no group is left: what comes back are the other items of the same groups.
        """
        few, groups = self.some(per_class), self.groups.reindex(self.train)
        left = self.train[~groups.isin(groups[few]).to_numpy()]
        if len(left):
            return left
        warnings.warn(
            "Each group has an item among the few, so none is unseen; these are other items of the "
            "same groups, and what is fitted on them may promise too much.",
            stacklevel=2,
        )
        return self.train.difference(few, sort=False)

    def tune(
        self, encoder: Any, strategy: str = "probe", per_class: int | None = None, **options: Any
    ) -> FineTuned:
        """Fine-tune on some training items; see `fine_tune`.

        A share that is held out for validation is of groups of its own, too.
        """
        ids = self.some(per_class)
        groups = self.groups.reindex(ids).tolist()
        options = {"progress": False, "seed": self.seed, "groups": groups} | options
        return fine_tune(
            encoder, [self.items[i] for i in ids], self.labels[ids], strategy, **options
        )

    def held_out(self) -> list:
        """The items to test on."""
        return [self.items[i] for i in self.test]

    def scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """Share of the test items that each model names rightly, with its interval.

        Returns
        -------
        DataFrame
            A row a model: `mean, low, high`; and, from the second on, `more, more_low, more_high`:
            by how much its share is larger than that of the first on the same items (`than`).
        """
        wanted = self.labels[self.test].to_numpy()
        right = {n: _right(m.predict(self.held_out()), wanted) for n, m in models.items()}
        return _shares(right, self.seed)

    def constant(self) -> float:
        """Share that is right when the commonest training class is the answer to all."""
        return constant_share(self.labels[self.train], self.labels[self.test])

    def mirror_scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """The same for two classes that are each other's time reversal, on clips and mirrors.

        The mirror of a clip holds its frames in opposite order, and is of the other class. In the
        intervals a clip and its mirror are drawn together.
        """
        one, other = sorted(self.labels.unique())
        wanted = self.labels[self.test].to_numpy()
        mirrored = np.where(wanted == one, other, one)
        frames = [original(clip) for clip in self.held_out()]
        right = {}
        for name, model in models.items():
            forwards = _right(model.predict(frames), wanted)
            backwards = _right(model.predict([clip[::-1] for clip in frames]), mirrored)
            right[name] = (forwards + backwards) / 2
        return _shares(right, self.seed)


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

    A row a number of labels per class, 0 (all of them) at the end.

    Parameters
    ----------
    table : DataFrame
        See `label_budget`.
    one, other : str
        Ways.
    """
    runs = table.pivot_table("accuracy", ["per_class", "seed"], "way")
    found = (runs[one] - runs[other]).dropna().groupby("per_class")
    table = pd.DataFrame({"mean": found.mean(), "low": found.min(), "high": found.max()})
    return table.sort_index(key=lambda n: n.where(n > 0, np.inf))


def tell_leads(rivals: Mapping[str, pd.DataFrame], over: str) -> None:
    """Print what `leads` found, a line for each way and number of labels."""
    for one, found in rivals.items():
        for n, row in found.iterrows():
            said = f"{row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            print(f"{n or 'all'} labels: {one} - {over} {said}.")


def spread(
    table: pd.DataFrame, target: str, per_class: int = 0, constant: str | None = None
) -> pd.DataFrame:
    """Accuracy of each way over seeds: `mean, low, high`.

    Parameters
    ----------
    table : DataFrame
        See `recorded`.
    target : str
        What the labels were.
    per_class : int
        Labels per class; 0: all.
    constant : str, optional
        Name of a first row, for the answer that is always the commonest training class.

    Raises
    ------
    ValueError
        If that is asked of a table without the column `constant`.
    """
    rows = table[(table["target"] == target) & (table["per_class"] == per_class)]
    if constant is not None:
        if "constant" not in rows:
            raise ValueError(
                "The table has no column 'constant', as older ones; measure anew with label_budget."
            )
        same = rows.drop_duplicates("seed")
        same = same.assign(way=constant, accuracy=same["constant"])
        rows = pd.concat([same, rows])
    found = rows.groupby("way", sort=False)["accuracy"]
    return found.agg(mean="mean", low="min", high="max")


def tell(table: pd.DataFrame, what: str = "right") -> None:
    """Print rows of `mean, low, high` as sentences, a line each; and of `more`, if it is there."""
    for name, row in table.iterrows():
        said = f"{name}: {row['mean']:.0%} [{row['low']:.0%}, {row['high']:.0%}] {what}"
        if pd.notna(row.get("than")):
            more, low, high = (100 * row[c] for c in ("more", "more_low", "more_high"))
            said += f"; {more:+.0f} points [{low:+.0f}, {high:+.0f}] against {row['than']}"
        print(f"{said}.")


def _right(said: Iterable, wanted: Iterable) -> np.ndarray:
    return (np.asarray(list(said)) == np.asarray(list(wanted))).astype(np.float64)


def _shares(right: Mapping[str, np.ndarray], seed: int, level: float = 0.95) -> pd.DataFrame:
    """Means of what is right (0 to 1 an item), and of the differences to the first, with intervals.

    All are resampled together, so that differences are those on the same items.
    """
    names = list(right)
    each = np.stack(list(right.values()), axis=1)
    each = np.concatenate([each, each - each[:, :1]], axis=1)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(bootstrap_means(each, 2000, seed), tails, axis=0)
    found = np.stack([each.mean(axis=0), low, high], axis=1)  # (2 * models, 3)
    table = pd.DataFrame(found[: len(names)], names, ["mean", "low", "high"])
    table["than"] = pd.Series([None] + names[:1] * (len(names) - 1), names, dtype="str")
    table[["more", "more_low", "more_high"]] = found[len(names) :]
    table.loc[names[0], ["more", "more_low", "more_high"]] = np.nan
    return table
