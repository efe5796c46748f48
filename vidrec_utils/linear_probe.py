"""Linear probes: what can be read from frozen vectors by a linear classifier, with intervals.

Where items belong to groups, such as clips to subjects, a group is held out as a whole, and the
intervals resample groups (see `intervals`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vidrec_utils.intervals import mean_intervals, share_intervals, wilson


@dataclass(frozen=True, eq=False)
class Probe:
    """Predictions of a linear probe for videos that it was not trained on.

    Attributes
    ----------
    labels, predicted : Series
        By video, in the same order.
    groups : Series, optional
        Group of each video, in the same order, if the folds kept groups together.
    """

    labels: pd.Series
    predicted: pd.Series
    groups: pd.Series | None = None

    @property
    def right(self) -> np.ndarray:
        """Whether each prediction is right, bool `(n,)`."""
        return self.predicted.to_numpy() == self.labels.to_numpy()

    def interval(self, level: float = 0.95) -> tuple[float, float, float]:
        """Accuracy with the ends of its interval.

        With groups it resamples groups, with all their videos: the cluster bootstrap. Without, it
        takes videos for independent tries (Wilson, 1927).
        """
        return _share(self.right, self.groups, level)

    @property
    def resampled(self) -> str:
        """What the interval takes for independent, in words."""
        if self.groups is None:
            return f"{len(self.labels):,} videos, each for itself, as their groups are not known"
        return f"{self.groups.nunique():,} groups of {len(self.labels):,} videos"

    def row(self) -> dict[str, float]:
        """The interval as a row of a table: `mean, low, high`."""
        return dict(zip(("mean", "low", "high"), self.interval(), strict=True))


def linear_probe(
    vectors: pd.DataFrame | np.ndarray,
    labels: pd.Series,
    groups: pd.Series | None = None,
    folds: int = 5,
    strength: float = 0.01,
    seed: int = 0,
) -> Probe:
    """Train a logistic regression on frozen vectors and test it on other videos, fold by fold.

    Parameters
    ----------
    vectors : DataFrame or ndarray, shape (n, dim)
        By video, an array in the order of `labels`; rows with NaN are left out.
    labels : Series
        By video; only videos with a label and a vector take part.
    groups : Series, optional
        By video, such as the subject: a group is never in training and test at once. With and
        without it the folds are stratified by label, as far as whole groups allow.
    folds : int
        Number of folds that the videos are cut into.
    strength : float
        Inverse of the L2 penalty (`C` of scikit-learn); the columns are standardised first.
    seed : int
        Seed of the draw of the folds.

    Raises
    ------
    ValueError
        If fewer than two labels, or fewer groups than folds, are left; or if a fold leaves a
        single label to learn from.

    Examples
    --------
    One number tells whether a video is long:

    >>> vectors = pd.DataFrame({"minutes": [1.0, 2, 1, 2, 1, 50, 60, 50, 60, 50]})
    >>> labels = pd.Series(["short"] * 5 + ["long"] * 5)
    >>> float(linear_probe(vectors, labels, strength=1).right.mean())
    1.0

    References
    ----------
    Alain, Bengio: Understanding Intermediate Layers Using Linear Classifier Probes. 2016
    (arXiv:1610.01644).
    """
    vectors, labels, groups = _matched(vectors, labels, groups, folds)
    model = _logistic(strength)
    cut = stratified_folds(labels, groups, folds, seed)
    with threadpool_limits(1):  # the matrices are so small that threads mostly wait for each other
        answers = cross_val_predict(
            model,
            vectors.to_numpy(),
            labels.to_numpy(),
            cv=cut,
        )
    return Probe(labels, pd.Series(answers, index=labels.index), groups)


def held_out_scores(
    vectors: pd.DataFrame | np.ndarray,
    labels: pd.Series,
    groups: pd.Series | None = None,
    folds: int = 5,
    strength: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the probabilities that `linear_probe` gives to each label of videos it never saw.

    Parameters
    ----------
    vectors, labels, groups, folds, strength, seed
        As for `linear_probe`, and errors as there.

    Returns
    -------
    DataFrame of float, shape (n, n_labels)
        A row for each video with a label and a vector, a column a label; rows sum to 1. The label
        with the largest one is what `linear_probe` predicts.

    Examples
    --------
    >>> vectors = pd.DataFrame({"minutes": [1.0, 2, 1, 2, 1, 50, 60, 50, 60, 50]})
    >>> labels = pd.Series(["short"] * 5 + ["long"] * 5)
    >>> bool((held_out_scores(vectors, labels, strength=1)["short"][:5] > 0.5).all())
    True
    """
    vectors, labels, groups = _matched(vectors, labels, groups, folds)
    model = _logistic(strength)
    cut = stratified_folds(labels, groups, folds, seed)
    with threadpool_limits(1):
        chances = cross_val_predict(
            model, vectors.to_numpy(), labels.to_numpy(), cv=cut, method="predict_proba"
        )
    return pd.DataFrame(chances, index=labels.index, columns=sorted(labels.unique()))


def _matched(
    vectors: pd.DataFrame | np.ndarray, labels: pd.Series, groups: pd.Series | None, folds: int
) -> tuple[pd.DataFrame, pd.Series, pd.Series | None]:
    """Keep the videos that have a vector, a label and, where there are groups, a group."""
    if not isinstance(vectors, pd.DataFrame):
        vectors = pd.DataFrame(np.asarray(vectors), index=labels.index)
    vectors = vectors.dropna()
    labels = labels.dropna()
    ids = vectors.index[vectors.index.isin(labels.index)]
    if groups is not None:
        ids = ids[ids.isin(groups.dropna().index)]
    labels = labels.loc[ids]
    if labels.nunique() < 2:
        raise ValueError(f"{len(ids)} videos with a vector hold {labels.nunique()} labels; give 2.")
    groups = None if groups is None else groups.loc[ids]
    if groups is not None and groups.nunique() < folds:
        raise ValueError(f"{groups.nunique()} groups cannot fill {folds} folds.")
    return vectors.loc[ids], labels, groups


def probe_scores(
    vectors: pd.DataFrame,
    labels: pd.Series,
    strength: float | Sequence[float] = 0.01,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Read labels from frozen vectors: the probabilities that a linear head gives to every video.

    The head is a logistic regression on standardised columns, trained on all videos that have a
    label and a vector. Its probabilities are vectors in their turn: they keep what the labels are
    about and drop the rest. They say nothing about the head's accuracy, since most videos were
    among its training data; `linear_probe` measures that.

    Parameters
    ----------
    vectors : DataFrame, shape (n, dim)
        By video; a row with NaN is answered with NaN.
    labels : Series
        By video; some may lack one.
    strength : float or sequence of float
        Inverse of the L2 penalty (`C` of scikit-learn). Of several, the one is taken whose
        probabilities have the lowest log loss on held-out labels, in five folds.
    groups : Series, optional
        Group of each video, such as its uploader, for these folds: none of it is in two of them.

    Returns
    -------
    DataFrame of float32, shape (n, n_labels)
        In the order of `vectors`, a column a label; rows sum to 1.

    Raises
    ------
    ValueError
        If fewer than two different labels have a vector.

    Examples
    --------
    >>> vectors = pd.DataFrame({"minutes": [1.0, 2, 1, 50, 60, 55]}, index=list("abcdef"))
    >>> labels = pd.Series(["short", "short", "long", "long"], index=list("abde"))
    >>> probe_scores(vectors, labels, strength=1).round(1).loc[["c", "f"]]
       long  short
    c   0.3    0.7
    f   0.7    0.3
    """
    usable = vectors.notna().all(axis=1)
    known = labels.reindex(vectors.index[usable]).dropna()
    if known.nunique() < 2:
        raise ValueError(
            f"{len(known)} videos with a vector hold {known.nunique()} labels; give 2."
        )
    if not isinstance(strength, (int, float)):
        of_known = None if groups is None else groups.reindex(known.index)
        strength = _best_strength(vectors.loc[known.index], known, strength, of_known)
    model = _logistic(strength)
    with threadpool_limits(1):
        model.fit(vectors.loc[known.index].to_numpy(), known.to_numpy())
        chances = model.predict_proba(vectors[usable].to_numpy())
    answers = pd.DataFrame(chances, vectors.index[usable], model.classes_, dtype=np.float32)
    return answers.reindex(vectors.index)


def _logistic(strength: float) -> Pipeline:
    """Make a logistic regression on standardised columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


def _best_strength(
    vectors: pd.DataFrame, labels: pd.Series, strengths: Sequence[float], groups: pd.Series | None
) -> float:
    """Choose the strength with the lowest log loss on held-out labels; of equals, the first."""
    losses = []
    for strength in strengths:
        chances = np.full(len(labels), np.nan)  # of the true label, (n,)
        for train, test in stratified_folds(labels, groups):
            with threadpool_limits(1):
                model = _logistic(strength).fit(vectors.iloc[train].to_numpy(), labels.iloc[train])
                rows = model.predict_proba(vectors.iloc[test].to_numpy())
            table = pd.DataFrame(rows, columns=model.classes_)
            column = table.columns.get_indexer(labels.iloc[test])  # -1: not in training
            chances[test] = np.where(column >= 0, rows[np.arange(len(test)), column], 0.0)
        losses.append(-np.log(np.maximum(chances, 1e-6)).mean())
    return float(strengths[int(np.argmin(losses))])


def stratified_folds(
    labels: pd.Series, groups: pd.Series | None = None, folds: int = 5, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide rows into folds with the labels in like shares; no group is in two folds.

    Parameters
    ----------
    labels : Series
        Without NA.
    groups : Series, optional
        Group of each row, in the same order.
    folds, seed : int
        Number of folds, and the seed of their draw. Where each label has fewer rows than that,
        there are as many folds as the most frequent label has rows.

    Returns
    -------
    list of (ndarray, ndarray)
        Positions of the training and of the test rows of each fold; a fold without a test row is
        left out.

    Raises
    ------
    ValueError
        If a fold leaves a single label to learn from, or if no label has two rows.

    Warns
    -----
    UserWarning
        If no label has as many rows as there should be folds.

    Examples
    --------
    >>> labels = pd.Series(["cat", "cat", "dog", "dog"] * 2)
    >>> groups = pd.Series(["x", "x", "y", "y", "z", "z", "w", "w"])
    >>> for train, test in stratified_folds(labels, groups, folds=2):
    ...     print(set(groups[train]) & set(groups[test]), len(test))
    set() 4
    set() 4
    """
    rows = np.zeros((len(labels), 1))
    classes = pd.factorize(labels)[0]
    folds = _possible_folds(classes, folds)
    options = {"n_splits": folds, "shuffle": True, "random_state": seed}
    with warnings.catch_warnings():  # a label with fewer clips than folds is in some folds only
        warnings.filterwarnings("ignore", message="The least populated class")
        if groups is None:
            cut = list(StratifiedKFold(**options).split(rows, classes))
        else:
            together = pd.factorize(groups)[0]
            cut = list(StratifiedGroupKFold(**options).split(rows, classes, together))
    for train, test in cut:
        if labels.iloc[train].nunique() < 2:
            raise ValueError(
                f"One of {folds} folds would leave the label {labels.iloc[train[0]]!r} alone to "
                f"learn from: {labels.iloc[test[0]]!r} is in too few "
                f"{'groups' if groups is not None else 'videos'}. Give more, or fewer folds."
            )
    return [(train, test) for train, test in cut if len(test)]


def _possible_folds(classes: np.ndarray, folds: int) -> int:
    """Return `folds`, or the rows of the most frequent label where that has fewer, and warn."""
    most = int(np.bincount(classes).max())
    if most >= folds:
        return folds
    if most < 2:
        raise ValueError(f"All {len(classes)} labels differ, so none can be learned. Give more.")
    warnings.warn(
        f"No label has {folds} rows, one for each fold: the {len(classes)} rows are divided into "
        f"{most} folds. Give more rows, or fewer folds.",
        stacklevel=3,
    )
    return most


def probe_pairs(
    vectors: pd.DataFrame,
    labels: pd.Series,
    pairs: Mapping[str, str],
    groups: pd.Series | None = None,
    folds: int = 5,
    strength: float = 0.01,
    seed: int = 0,
) -> Probe:
    """Probe two labels at a time, such as a motion and its time reversal: chance is one half.

    Of each pair, as many videos are drawn of the commoner label as there are of the rarer one.
    Otherwise a probe that has learned nothing but which label is commoner would beat one half.

    Parameters
    ----------
    vectors, labels, groups, folds, strength
        As for `linear_probe`.
    pairs : mapping
        Label -> the other label of its pair.
    seed : int
        Folds, and the videos of the commoner label, are drawn with this seed.

    Returns
    -------
    Probe
        The predictions of all pairs together.

    Examples
    --------
    >>> vectors = pd.DataFrame({"x": [0.0, 1, 0, 0] * 5}, index=[f"v{i}" for i in range(20)])
    >>> labels = pd.Series(["left", "right", "left", "up"] * 5, index=vectors.index)
    >>> sorted(probe_pairs(vectors, labels, {"left": "right"}, strength=1).labels)[4:6]
    ['left', 'right']
    """
    usable = pd.DataFrame(vectors, index=labels.index).notna().all(axis=1)
    probes = [
        linear_probe(
            vectors, _as_many_of_each(labels[usable & labels.isin(pair)], seed),
            groups, folds, strength, seed,
        )
        for pair in pairs.items()
    ]  # fmt: skip
    together = None if groups is None else pd.concat([probe.groups for probe in probes])
    return Probe(
        pd.concat([probe.labels for probe in probes]),
        pd.concat([probe.predicted for probe in probes]),
        together,
    )


def _as_many_of_each(labels: pd.Series, seed: int) -> pd.Series:
    """Draw as many items of each label as there are of the rarest; they keep their order."""
    least = labels.value_counts().min()
    drawn = labels.groupby(labels).sample(least, random_state=seed).index
    return labels[labels.index.isin(drawn)]


def pair_scores(
    vectors: pd.DataFrame,
    labels: pd.Series,
    pairs: Mapping[str, str],
    groups: pd.Series | None = None,
) -> dict[tuple[str, str], pd.DataFrame]:
    """Compute how sure a probe is of the first label of each pair, for videos it never saw.

    Parameters
    ----------
    vectors, labels, pairs, groups
        As for `probe_pairs`.

    Returns
    -------
    dict of (str, str) to DataFrame
        By pair: `score`, the probability of its first label, and the true `label`, by video.

    Examples
    --------
    >>> vectors = pd.DataFrame({"x": [0.0, 1] * 10}, index=[f"v{i}" for i in range(20)])
    >>> labels = pd.Series(["left", "right"] * 10, index=vectors.index)
    >>> scores = pair_scores(vectors, labels, {"left": "right"})["left", "right"]
    >>> scores.groupby("label")["score"].mean().round().to_dict()
    {'left': 1.0, 'right': 0.0}
    """
    tables = {}
    for pair in pairs.items():
        chances = held_out_scores(vectors, labels[labels.isin(pair)], groups, strength=1.0)
        tables[pair] = pd.DataFrame({"score": chances[pair[0]], "label": labels[chances.index]})
    return tables


def most_confused(probe: Probe, most: int = 3) -> pd.DataFrame:
    """List the confusions of a probe that are most frequent.

    Returns
    -------
    DataFrame
        `label, predicted, n` (videos with this label and this prediction)`, of` (videos with this
        label), the most frequent first.

    Examples
    --------
    >>> labels = pd.Series(["rise", "rise", "fall"])
    >>> most_confused(Probe(labels, pd.Series(["fall", "rise", "fall"]))).values.tolist()
    [['rise', 'fall', 1, 2]]
    """
    wrong = pd.DataFrame({"label": probe.labels, "predicted": probe.predicted})[~probe.right]
    table = wrong.value_counts(sort=False).rename("n").reset_index()
    table["of"] = table["label"].map(probe.labels.value_counts())
    return table.sort_values("n", ascending=False, kind="stable").head(most)


def hits(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Tell for each video and probe whether the answer was right.

    Returns
    -------
    DataFrame of bool
        A row for each video that all probes answered, a column a probe.

    Examples
    --------
    The second probe was not asked about the video "c":

    >>> labels = pd.Series({"a": "up", "b": "down", "c": "up"})
    >>> always_up = Probe(labels, labels.map(lambda label: "up"))
    >>> perfect = Probe(labels[["a", "b"]], labels[["a", "b"]])
    >>> hits({"always up": always_up, "perfect": perfect})
       always up  perfect
    a       True     True
    b      False     True
    """
    columns = {name: pd.Series(p.right, p.labels.index) for name, p in probes.items()}
    return pd.DataFrame(columns).dropna().astype(bool)


def ties(probes: Mapping[str, Probe], groups: pd.Series | None = None) -> tuple[str, list[str]]:
    """Name the best probe, and those whose difference to it has an interval that holds zero.

    Parameters
    ----------
    probes : mapping of str to Probe
        Probes of the same labels.
    groups : Series, optional
        See `shares`.

    Examples
    --------
    >>> labels = pd.Series(["a", "b"] * 40)
    >>> good, bad = Probe(labels, labels), Probe(labels, pd.Series(["a"] * 80))
    >>> ties({"good": good, "same": good, "constant": bad})
    ('good', ['same'])
    """
    table = hits(probes)
    leader = str(table.mean().idxmax())
    versus = compare_shares(table, leader, groups=groups)
    tied = versus.index[(versus["low"] <= 0) & (versus["high"] >= 0)]
    return leader, [str(name) for name in tied if name != leader]


def shares(
    hits: pd.DataFrame, by: pd.Series | None = None, groups: pd.Series | None = None
) -> pd.DataFrame:
    """Share of items for which each method is right, with 95% intervals.

    Parameters
    ----------
    hits : DataFrame of bool
        One row an item, one column a method.
    by : Series, optional
        What each item is, such as the script of a title, by the same ids; then there is a row for
        each of these and each method.
    groups : Series, optional
        Group of each item, such as its subject, by the same ids. Items of a group resemble each
        other, so the intervals resample groups (see `intervals`; NA belongs to no group). Without,
        items count as independent tries, and the intervals are Wilson's.

    Returns
    -------
    DataFrame
        Indexed by method, or by `"<kind>, <method>"`: `mean, low, high, n`.

    Examples
    --------
    >>> shares(pd.DataFrame({"BERT": [True, True, True, False]})).round(2)
          mean  low  high  n
    BERT  0.75  0.3  0.95  4

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    rows = {
        f"{kind}{method}": (*_share(table[method].to_numpy(), _of(groups, table)), len(table))
        for kind, table in _tables(hits, by).items()
        for method in hits.columns
    }
    columns = ["mean", "low", "high", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def compare_shares(
    hits: pd.DataFrame,
    than: str,
    by: pd.Series | None = None,
    groups: pd.Series | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of items for which each method is right, minus that of one method on the same items.

    Whether two intervals of `shares` overlap does not say whether two methods differ, for both were
    asked the same items. The interval of their difference does.

    Parameters
    ----------
    hits, by, groups
        See `shares`.
    than : str
        The method that the others are compared with.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Indexed by method, or by `"<kind>, <method>"`, without `than`: `mean, low, high, n`, by the
        cluster bootstrap with groups, else by that over items.

    Raises
    ------
    KeyError
        If there is no such method.

    Examples
    --------
    >>> hits = pd.DataFrame({"BERT": [1, 1, 1, 0], "words": [1, 0, 0, 0]}, dtype=bool)
    >>> compare_shares(hits, "words")
          mean  low  high  n
    BERT   0.5  0.0   1.0  4
    """
    if than not in hits:
        raise KeyError(f"There is no method {than!r}; there are {', '.join(hits.columns)}.")
    rows = {}
    for kind, table in _tables(hits, by).items():
        gaps = table.astype(float).drop(columns=than).sub(table[than].astype(float), axis=0)
        intervals = mean_intervals(gaps.to_numpy(), _of(groups, table), seed=seed)  # (methods, 3)
        for method, interval in zip(gaps.columns, intervals, strict=True):
            rows[f"{kind}{method}"] = (*interval, len(table))
    columns = ["mean", "low", "high", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def _tables(hits: pd.DataFrame, by: pd.Series | None) -> dict[str, pd.DataFrame]:
    """The items of each kind, by the beginning of their rows' names."""
    if by is None:
        return {"": hits}
    return {f"{kind}, ": table for kind, table in hits.groupby(by.loc[hits.index])}


def _of(groups: pd.Series | None, table: pd.DataFrame) -> pd.Series | None:
    """Groups of the items of a table."""
    return None if groups is None else groups.reindex(table.index)


def _share(
    right: np.ndarray, groups: pd.Series | None, level: float = 0.95
) -> tuple[float, float, float]:
    """A share and the ends of its interval: over groups, or Wilson's for independent items."""
    if groups is None:
        return wilson(int(right.sum()), len(right), level)
    mean, low, high = share_intervals(right[:, None], groups, level)[0]
    return float(mean), float(low), float(high)
