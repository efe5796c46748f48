"""Linear probes: what can be read from frozen vectors by a linear classifier, with intervals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


@dataclass(frozen=True, eq=False)
class Probe:
    """Predictions of a linear probe for videos that it was not trained on.

    Attributes
    ----------
    labels, predicted : Series
        By video, in the same order.
    """

    labels: pd.Series
    predicted: pd.Series

    @property
    def right(self) -> np.ndarray:
        """Whether each prediction is right, bool `(n,)`."""
        return self.predicted.to_numpy() == self.labels.to_numpy()

    def interval(self, level: float = 0.95) -> tuple[float, float, float]:
        """Accuracy with the ends of its interval (Wilson 1927, for independent tries)."""
        return _wilson(int(self.right.sum()), len(self.right), level)

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
    if groups is not None and groups.loc[ids].nunique() < folds:
        raise ValueError(f"{groups.loc[ids].nunique()} groups cannot fill {folds} folds.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    cut = _folds(labels, None if groups is None else groups.loc[ids], folds, seed)
    with threadpool_limits(1):  # the matrices are so small that threads mostly wait for each other
        answers = cross_val_predict(
            model,
            vectors.loc[ids].to_numpy(),
            labels.to_numpy(),
            cv=cut,
        )
    return Probe(labels, pd.Series(answers, index=ids))


def _folds(
    labels: pd.Series, groups: pd.Series | None, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, with the labels in like shares."""
    options = {"n_splits": folds, "shuffle": True, "random_state": seed}
    rows = np.zeros((len(labels), 1))
    classes = pd.factorize(labels)[0]
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

    Parameters
    ----------
    vectors, labels, groups, folds, strength, seed
        As for `linear_probe`.
    pairs : mapping
        Label -> the other label of its pair.

    Returns
    -------
    Probe
        The predictions of all pairs together.

    Examples
    --------
    >>> vectors = pd.DataFrame({"x": [0.0, 1, 0, 1] * 5}, index=[f"v{i}" for i in range(20)])
    >>> labels = pd.Series(["left", "right", "up", "up"] * 5, index=vectors.index)
    >>> len(probe_pairs(vectors, labels, {"left": "right"}, strength=1).right)
    10
    """
    probes = [
        linear_probe(vectors, labels[labels.isin([one, other])], groups, folds, strength, seed)
        for one, other in pairs.items()
    ]
    return Probe(
        pd.concat([probe.labels for probe in probes]),
        pd.concat([probe.predicted for probe in probes]),
    )


def shares(hits: pd.DataFrame, by: pd.Series | None = None) -> pd.DataFrame:
    """Share of items for which each method is right, with 95% intervals.

    Parameters
    ----------
    hits : DataFrame of bool
        One row an item, one column a method.
    by : Series, optional
        The group of each item, with the same index; then there is a row for each group and method.

    Returns
    -------
    DataFrame
        Indexed by method, or by `"<group>, <method>"`: `mean, low, high, n`.

    Examples
    --------
    >>> shares(pd.DataFrame({"BERT": [True, True, True, False]})).round(2)
          mean  low  high  n
    BERT  0.75  0.3  0.95  4

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    tables = {"": hits}
    if by is not None:
        tables = {f"{group}, ": table for group, table in hits.groupby(by.loc[hits.index])}
    rows = {
        f"{group}{method}": (*_wilson(int(table[method].sum()), len(table)), len(table))
        for group, table in tables.items()
        for method in hits.columns
    }
    columns = ["mean", "low", "high", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def _wilson(right: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share and the ends of its interval; unlike the normal one it never leaves 0..1."""
    ends = binomtest(right, n).proportion_ci(level, method="wilson")
    return right / n, float(ends.low), float(ends.high)
