"""Trials: ways to spend labels, tested on one division of the data, and what each achieves."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from vidrec_utils.encoders import Tunable
from vidrec_utils.intervals import mean_intervals, share_intervals
from vidrec_utils.reporting import interval
from vidrec_utils.transfer_learning.backbone import original
from vidrec_utils.transfer_learning.budget import constant_share
from vidrec_utils.transfer_learning.fine_tuning import FineTuned, fine_tune
from vidrec_utils.transfer_learning.holdout import few, hold_out


class Trial:
    """Items with labels, divided so that no group is in training and test at once.

    Parameters
    ----------
    items : mapping of str to item
        Clips, images or texts by id, as they are or as `prepare_once` returns them.
    labels, groups : Series
        Label and group of each id, such as the subject of a clip; ids without a label are left out.
        An id without a group (NA) is a group of its own. `preprocessing.clip_groups` gives the
        groups that a library knows.
    test : float
        Share of the items that is held out.
    seed : int
        The division, the choice of a few items and training are drawn with this seed.

    Attributes
    ----------
    train, test : Index
        Ids.

    Examples
    --------
    >>> ids = list("abcdef")
    >>> labels = pd.Series(["cat", "dog"] * 3, ids)
    >>> groups = pd.Series([1, 1, 2, 2, 3, 3], ids)
    >>> trial = Trial(dict.fromkeys(ids, "a text"), labels, groups)
    >>> len(trial.train), len(trial.test)
    (4, 2)
    >>> set(groups[trial.train]) & set(groups[trial.test])
    set()
    """

    def __init__(
        self,
        items: Mapping,
        labels: pd.Series,
        groups: pd.Series,
        test: float = 0.35,
        seed: int = 0,
    ):
        self.items, self.groups, self.seed = items, groups, seed
        self.labels = labels.dropna()
        own_groups = groups.reindex(self.labels.index)
        train, held = hold_out(self.labels.tolist(), test, own_groups, seed)
        self.train, self.test = self.labels.index[train], self.labels.index[held]

    def sample(self, per_class: int | None) -> pd.Index:
        """Ids of a few training items of each class, from different groups; None: all."""
        groups = self.groups.reindex(self.train).to_numpy()
        return self.train[few(self.labels[self.train], per_class, groups, self.seed)]

    def unseen(self, per_class: int | None) -> pd.Index:
        """Ids of training items whose groups have no item in `sample`: to calibrate with.

        Warns
        -----
        UserWarning
            If no group is left: the result is then the other items of the same groups.
        """
        sample, groups = self.sample(per_class), self.groups.reindex(self.train)
        left = self.train[~groups.isin(groups[sample]).to_numpy()]
        if len(left):
            return left
        warnings.warn(
            "Each group has an item in the sample, so none is unseen; these are other items of the "
            "same groups, and a temperature fitted on them may be too optimistic.",
            stacklevel=2,
        )
        return self.train.difference(sample, sort=False)

    def tune(
        self,
        encoder: Tunable,
        strategy: str = "probe",
        per_class: int | None = None,
        **options: Any,
    ) -> FineTuned:
        """Fine-tune on `sample(per_class)`; see `fine_tune`.

        If a share is held out for validation, no group is divided by that either.
        """
        ids = self.sample(per_class)
        groups = self.groups.reindex(ids).tolist()
        options = {"progress": False, "seed": self.seed, "groups": groups} | options
        return fine_tune(
            encoder, [self.items[i] for i in ids], self.labels[ids], strategy, **options
        )

    def held_out(self) -> list:
        """The items to test on."""
        return [self.items[i] for i in self.test]

    def scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """Accuracy of each model on the test items, with its interval.

        Items of a group were held out together, and are mostly right or wrong together; so the
        intervals resample groups (see `intervals`).

        Returns
        -------
        DataFrame
            One row for each model: `mean, low, high`; and, from the second on, `more, more_low,
            more_high`: its accuracy minus that of the first model (`than`) on the same items.
        """
        target = self.labels[self.test].to_numpy()
        right = {n: _right(m.predict(self.held_out()), target) for n, m in models.items()}
        return _shares(right, self.groups.reindex(self.test), self.seed)

    def constant(self) -> float:
        """Accuracy of always predicting the most frequent training class."""
        return constant_share(self.labels[self.train], self.labels[self.test])

    def mirror_scores(self, models: Mapping[str, FineTuned]) -> pd.DataFrame:
        """The same for two classes that are each other's time reversal, on clips and mirrors.

        The mirror of a clip has its frames in reversed order, and belongs to the other class. For
        the intervals a clip and its mirror are resampled together, with all clips of their group.
        """
        one, other = sorted(self.labels.unique())
        target = self.labels[self.test].to_numpy()
        mirrored = np.where(target == one, other, one)
        frames = [original(clip) for clip in self.held_out()]
        right = {}
        for name, model in models.items():
            forwards = _right(model.predict(frames), target)
            backwards = _right(model.predict([clip[::-1] for clip in frames]), mirrored)
            right[name] = (forwards + backwards) / 2
        return _shares(right, self.groups.reindex(self.test), self.seed)


def two_directions(
    clips: Mapping[str, np.ndarray], labels: pd.Series, reversals: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], pd.Series]:
    """Choose clips of two classes that are each other's time reversal.

    Parameters
    ----------
    clips : mapping
        Clips `(time, height, width, 3)` by id; not changed.
    labels : Series of str
        Class of each id; NA where there is none.
    reversals : mapping
        The class that each class becomes when it is played backwards. The first pair is chosen of
        which both classes are among the labels.

    Returns
    -------
    clips : dict
        Clips of the pair. If the labels hold no pair: all clips, every second one backwards.
    labels : Series of str
        The two classes; `"forwards"` and `"backwards"` if the labels hold no pair.

    Examples
    --------
    >>> clips = {"a": np.arange(3), "b": np.arange(3), "c": np.arange(3)}
    >>> labels = pd.Series(["rise", "fall", "spin"], list("abc"))
    >>> two_directions(clips, labels, {"zoom in": "zoom out", "rise": "fall"})[1].to_dict()
    {'a': 'rise', 'b': 'fall'}
    """
    known = set(labels.dropna())
    pair = next((p for p in reversals.items() if known.issuperset(p)), None)
    if pair is not None:
        chosen = labels[labels.isin(pair) & labels.index.isin(list(clips))]
        return {v: clips[v] for v in chosen.index}, chosen
    names = pd.Series(["forwards", "backwards"] * len(clips))[: len(clips)].set_axis(list(clips))
    return {v: c if names[v] == "forwards" else c[::-1] for v, c in clips.items()}, names


def differences(table: pd.DataFrame, one: str, other: str, seed: int = 0) -> pd.DataFrame:
    """Accuracy of one way minus that of another on the same clips, with paired intervals.

    Parameters
    ----------
    table : DataFrame
        See `label_budget`; one target.
    one, other : str
        Ways.
    seed : int
        Seed of the bootstrap, which resamples groups (such as subjects) with all their clips and in
        all trials at once. Trained networks are fixed: how much another training would differ,
        `least` and `most` hint at.

    Returns
    -------
    DataFrame
        One row for each number of labels per class; 0 (all labels) is the last. `mean, low, high`:
        the mean over all tested clips of all seeds, with its 95% interval; `least, most`: the
        smallest and the greatest difference of a seed, which is no interval: of two ways that are
        equally good, one is ahead on all of three seeds in a quarter of all cases.

    Examples
    --------
    >>> rows = [("full", 5, 0, "11"), ("probe", 5, 0, "01"), ("full", 5, 1, "10")]
    >>> rows += [("probe", 5, 1, "00")]
    >>> table = pd.DataFrame(rows, columns=["way", "per_class", "seed", "hits"])
    >>> table["group"] = [[0, 1], [0, 1], [2, 3], [2, 3]]
    >>> differences(table, "full", "probe").loc[5, ["mean", "least", "most"]].tolist()
    [0.5, 0.5, 0.5]
    """
    rows = {}
    for budget in sorted(table["per_class"].unique(), key=lambda n: n or np.inf):
        runs = table[table["per_class"] == budget]
        first, second = (_answers(runs[runs["way"] == way]) for way in (one, other))
        both = first.merge(second, on=["seed", "position"], suffixes=("", "_other"))
        if both.empty:
            continue
        more = (both["hit"] - both["hit_other"]).to_numpy()
        mean, low, high = mean_intervals(more[:, None], both["group"], seed=seed)[0]
        seeds = pd.Series(more).groupby(both["seed"].to_numpy()).mean()
        rows[budget] = {
            "mean": mean, "low": low, "high": high, "least": seeds.min(), "most": seeds.max(),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("per_class")


def print_differences(tables: Mapping[str, pd.DataFrame], other: str) -> None:
    """Print what `differences` returned, one line for each row.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Differences by the name of the first way.
    other : str
        Name of the second way, the same for all.

    Examples
    --------
    >>> columns = ["mean", "low", "high", "least", "most"]
    >>> table = pd.DataFrame([[0.1, 0.0, 0.2, 0.05, 0.15]], index=[5], columns=columns)
    >>> print_differences({"full": table}, "probe")
    5 labels per class: full minus probe: +0.100 [+0.000, +0.200]; seeds from +0.050 to +0.150.
    """
    for one, table in tables.items():
        for n, row in table.iterrows():
            seeds = f"seeds from {row['least']:+.3f} to {row['most']:+.3f}"
            budget = f"{n} label{'s' * (n != 1)} per class" if n else "All labels"
            more = interval(row["mean"], row["low"], row["high"], "+.3f")
            print(f"{budget}: {one} minus {other}: {more}; {seeds}.")


def spread(
    table: pd.DataFrame,
    target: str,
    per_class: int = 0,
    constant: str | None = None,
    kind: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of each way over the tested clips of all seeds, with intervals.

    Parameters
    ----------
    table : DataFrame
        See `recorded`.
    target : str
        What the labels were.
    per_class : int
        Labels per class; 0: all.
    constant : str, optional
        Name of a first row, for always predicting the most frequent training class: the mean over
        seeds, without an interval.
    kind : str, optional
        Only clips of this kind, such as titles of one language; not together with `constant`.
    seed : int
        Seed of the bootstrap, which resamples groups as `differences` does.

    Returns
    -------
    DataFrame
        One row for each way: `mean, low, high`.

    Raises
    ------
    ValueError
        If `constant` is given, but the table has no column of that name; or no clip is of the kind.

    Examples
    --------
    >>> rows = [("probe", "motion", 0, 0, "1100"), ("full", "motion", 0, 0, "1110")]
    >>> table = pd.DataFrame(rows, columns=["way", "target", "per_class", "seed", "hits"])
    >>> table["group"] = [[0, 1, 2, 3]] * 2
    >>> table["kind"] = [["zh", "en", "en", "en"]] * 2
    >>> spread(table, "motion")["mean"].tolist()
    [0.5, 0.75]
    >>> spread(table, "motion", kind="zh")["mean"].tolist()
    [1.0, 1.0]
    """
    rows = table[(table["target"] == target) & (table["per_class"] == per_class)]
    if constant is not None and kind is not None:
        raise ValueError("The constant prediction is known for all clips only: leave kind out.")
    shares = {}
    if constant is not None:
        if "constant" not in rows:
            raise ValueError(
                "The table has no column 'constant', as older ones; measure anew with label_budget."
            )
        share = rows.drop_duplicates("seed")["constant"].mean()
        shares[constant] = [share, np.nan, np.nan]
    for way, runs in rows.groupby("way", sort=False):
        answers = _answers(runs)
        if kind is not None:
            answers = answers[answers["kind"] == kind]
        if answers.empty:
            raise ValueError(f"No clip of {target!r} is of the kind {kind!r}.")
        hits = answers["hit"].to_numpy()[:, None]
        shares[str(way)] = share_intervals(hits, answers["group"], seed=seed)[0].tolist()
    return pd.DataFrame.from_dict(shares, orient="index", columns=["mean", "low", "high"])


def _answers(runs: pd.DataFrame) -> pd.DataFrame:
    """Each tested clip of some runs: `seed, position, hit` (0 or 1)`, group, kind`."""
    if "hits" not in runs:
        raise ValueError(
            "The table does not say which clips were classified correctly, as older ones do not; "
            "measure anew with label_budget."
        )
    columns = ["seed", "position", "hit", "group", "kind"]
    tables = [
        pd.DataFrame({
            "seed": run["seed"], "position": np.arange(len(run["hits"])),
            "hit": [float(hit) for hit in run["hits"]], "group": run["group"],
            "kind": run.get("kind") or [None] * len(run["hits"]),
        })
        for _, run in runs.iterrows()
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def print_scores(table: pd.DataFrame, what: str = "right") -> None:
    """Print one sentence for each row of `mean, low, high`; and of `more`, if it is there.

    Parameters
    ----------
    table : DataFrame
        See `Trial.scores` and `spread`.
    what : str
        Words after the share.

    Examples
    --------
    >>> table = pd.DataFrame({"mean": [0.5], "low": [0.25], "high": [0.75]}, index=["probe"])
    >>> print_scores(table)
    probe: 50% [25%, 75%] right.
    """
    for name, row in table.iterrows():
        share = f"{row['mean']:.0%}"
        if pd.notna(row["low"]):
            share = interval(row["mean"], row["low"], row["high"], ".0%")
        sentence = f"{name}: {share} {what}"
        if pd.notna(row.get("than")):
            more, low, high = 100 * row[["more", "more_low", "more_high"]]
            points = interval(more, low, high, "+.0f")
            sentence += f"; {points} points against {row['than']}"
        print(f"{sentence}.")


def _right(predicted: Iterable, target: Iterable) -> np.ndarray:
    return (np.asarray(list(predicted)) == np.asarray(list(target))).astype(np.float64)


def _shares(right: Mapping[str, np.ndarray], groups: pd.Series, seed: int) -> pd.DataFrame:
    """Means of `right` (0 to 1 an item), and of the differences to the first, with intervals.

    All columns are resampled together, group by group, so that differences are those on the same
    items.
    """
    names = list(right)
    shares = np.stack(list(right.values()), axis=1)  # (items, models)
    table = pd.DataFrame(share_intervals(shares, groups, seed=seed), names, ["mean", "low", "high"])
    table["than"] = pd.Series([None] + names[:1] * (len(names) - 1), names, dtype="str")
    more = ["more", "more_low", "more_high"]
    table[more] = mean_intervals(shares - shares[:, :1], groups, seed=seed)
    table.loc[names[0], more] = np.nan
    return table
