"""Classification metrics: how many answers are right, of which classes, and calibration.

For class c, with `TP` true positives (examples of c that were predicted as c), `FP` false positives
(predicted as c, but of another class) and `FN` false negatives (of c, but predicted as another):

=========== ===================================================================================
precision   TP / (TP + FP), 0 where nothing was predicted as c
recall      TP / (TP + FN), NaN where no example is a c
F1          2 TP / (2 TP + FP + FN), the harmonic mean of the two (van Rijsbergen, 1979)
support     TP + FN
macro       unweighted mean over the classes that occur among the labels: each class counts alike
micro       from TP, FP and FN summed over all classes; with one label an example, precision, recall
            and F1 are then all equal to the accuracy
weighted    mean over the classes by support: the many count more
accuracy    share of examples that are predicted correctly
balanced    macro recall, which is 1 / number of classes for any constant answer (Brodersen et al.,
accuracy    ICPR 2010)
=========== ===================================================================================

Counts come from `pandas.crosstab`; the intervals resample that matrix, which holds everything that
these metrics depend on. Where examples belong to groups, such as clips to subjects, the matrices of
whole groups are resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

from vidrec_utils.evaluation.results import percentile_interval
from vidrec_utils.intervals import cluster_sums
from vidrec_utils.linear_probe import stratified_folds

BINS = 10
"""Bins of confidence of every calibration error and every figure of one."""
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1")


def confusion(
    labels: Sequence, predicted: Sequence, classes: Sequence | None = None
) -> pd.DataFrame:
    """Count each pair of true and predicted class.

    Parameters
    ----------
    labels, predicted : sequence, shape (n,)
        One class an example; NA is refused.
    classes : sequence, optional
        Order of rows and columns, and classes that may not occur; by default those that occur in
        either, sorted.

    Returns
    -------
    DataFrame of int
        Rows are true classes, columns predicted ones.

    Raises
    ------
    ValueError
        If the two differ in length, there is no example, one is NA, or a class is not in `classes`.

    Examples
    --------
    >>> confusion(["a", "a", "b"], ["a", "b", "b"]).loc["a"].to_dict()
    {'a': 1, 'b': 1}
    """
    labels, predicted = _paired(labels, predicted)
    occurring = sorted(set(labels) | set(predicted), key=lambda name: (str(type(name)), name))
    names = occurring if classes is None else list(classes)
    strange = [name for name in occurring if name not in set(names)]
    if strange:
        raise ValueError(f"The class {strange[0]!r} is not among the classes {names}.")
    counts = pd.crosstab(pd.Series(labels, dtype=object), pd.Series(predicted, dtype=object))
    rows, columns = (pd.Index(names, name=axis) for axis in ("label", "predicted"))
    return counts.reindex(index=rows, columns=columns, fill_value=0)


def classification_table(
    labels: Sequence, predicted: Sequence, classes: Sequence | None = None
) -> pd.DataFrame:
    """Precision, recall and F1 of each class, and their macro, micro and weighted means.

    Parameters
    ----------
    labels, predicted, classes
        As for `confusion`.

    Returns
    -------
    DataFrame
        `precision, recall, f1, support`; one row a class, then `macro`, `micro`, `weighted`.

    Examples
    --------
    >>> classification_table(["a", "a", "b", "b"], ["a", "b", "b", "b"])["recall"].to_dict()
    {'a': 0.5, 'b': 1.0, 'macro': 0.75, 'micro': 0.75, 'weighted': 0.75}
    """
    matrix = confusion(labels, predicted, classes)  # (classes, classes)
    table = pd.DataFrame(_per_class(matrix.to_numpy(float)), index=matrix.index)
    occurs = table["support"] > 0
    share = table["support"] / table["support"].sum()
    columns = ["precision", "recall", "f1"]
    rows = {
        "macro": table.loc[occurs, columns].mean(),
        "micro": pd.Series(np.trace(matrix) / matrix.to_numpy().sum(), index=columns),
        "weighted": table.loc[occurs, columns].mul(share[occurs], axis=0).sum(),
    }
    means = pd.DataFrame(rows).T.assign(support=table["support"].sum())
    return pd.concat([table, means]).rename_axis("class")


def classification_scores(
    labels: Sequence,
    predicted: Sequence,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    groups: Sequence | None = None,
) -> pd.DataFrame:
    """Accuracy, balanced accuracy and F1 with percentile bootstrap intervals.

    Drawing n examples with replacement and counting them is drawing the counts of the confusion
    matrix from a multinomial distribution, so each sample costs one small matrix. With groups,
    whole groups are drawn, and their matrices added up: clips of one subject are mostly right or
    wrong together, so that intervals over clips are too narrow.

    Parameters
    ----------
    labels, predicted
        As for `confusion`.
    seed, resamples, level : int, int, float
        Seed of the bootstrap, its number of resamples, and the coverage of the intervals.
    groups : sequence, shape (n,), optional
        Group of each example, such as the subject of a clip; NA is a group of its own. By default
        examples are taken for independent.

    Returns
    -------
    DataFrame
        Indexed by `OVERALL`: `mean, low, high`. The mean is the value on these examples.

    Raises
    ------
    ValueError
        As for `confusion`, and if there is not one group for each example.

    Examples
    --------
    A constant answer is right as often as its class occurs, and has a balanced accuracy of 1 / 2:

    >>> scores = classification_scores(["a"] * 9 + ["b"], ["a"] * 10)
    >>> scores["mean"].head(2).to_dict()
    {'accuracy': 0.9, 'balanced_accuracy': 0.5}
    """
    matrix = confusion(labels, predicted)
    counts = matrix.to_numpy()  # (classes, classes)
    n = counts.sum()
    if groups is None:
        cells = counts.ravel() / n  # share of each pair of label and prediction
        draws = np.random.default_rng(seed).multinomial(n, cells, resamples)
    else:
        rows, columns = (matrix.index.get_indexer(list(names)) for names in (labels, predicted))
        pair = rows * len(matrix) + columns  # the cell of each example, (n,)
        shape = (n, counts.size)
        examples = sparse.csr_array((np.ones(n), (np.arange(n), pair)), shape=shape)
        draws = cluster_sums(examples, groups, resamples, seed)  # (resamples, cells)
    draws = draws.reshape(resamples, *counts.shape)
    low, high = percentile_interval(_overall(draws.astype(float)), level)
    value = _overall(counts[None].astype(float))[0]
    return pd.DataFrame({"mean": value, "low": low, "high": high}, index=list(OVERALL))


def reliability(right: ArrayLike, confidence: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """Compare stated confidence with the share that was right, bin by bin.

    Parameters
    ----------
    right : sequence of bool, shape (n,)
        Whether each answer was right; for a probability of a yes, whether it was a yes.
    confidence : sequence of float, shape (n,)
        Stated probability of being right, 0 to 1.
    bins : int
        Bins of equal width; the value 1 falls into the last.

    Returns
    -------
    DataFrame
        Per bin that is not empty: `low, high` (its ends)`, n, confidence` (mean)`, accuracy`,
        `gap` (confidence minus accuracy; above 0: too sure).

    Raises
    ------
    ValueError
        If lengths differ, there is no answer, a confidence lies outside 0..1, or bins < 1.

    Examples
    --------
    >>> reliability([True, True, False, True], [0.9, 0.9, 0.9, 0.3])[["n", "accuracy"]].round(2)
       n  accuracy
    0  1      1.00
    1  3      0.67

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.
    """
    hits = np.asarray(right, dtype=float)  # (n,)
    stated = np.asarray(confidence, dtype=float)  # (n,)
    if hits.shape != stated.shape or hits.ndim != 1 or not len(hits):
        raise ValueError(
            f"Give as many answers as confidences, at least one; got shapes {hits.shape} and "
            f"{stated.shape}."
        )
    if bins < 1 or not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("Confidences lie between 0 and 1, and there is at least one bin.")
    number = np.minimum((stated * bins).astype(int), bins - 1)  # the bin of each answer
    frame = pd.DataFrame({"bin": number, "confidence": stated, "accuracy": hits})
    grouped = frame.groupby("bin")
    table = grouped.mean().assign(n=grouped.size())
    table = table.assign(low=table.index / bins, high=(table.index + 1) / bins)
    table["gap"] = table["confidence"] - table["accuracy"]
    return table[["low", "high", "n", "confidence", "accuracy", "gap"]].reset_index(drop=True)


def expected_calibration_error(right: ArrayLike, confidence: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their examples.

    `ECE = sum_b n_b / n * |accuracy_b - confidence_b|` (Naeini, Cooper, Hauskrecht, AAAI 2015).
    It depends on the number of bins, and is biased upwards when they hold few examples.

    Parameters
    ----------
    right, confidence, bins
        As for `reliability`.

    Returns
    -------
    float
        0 is perfect, 1 the worst.

    Examples
    --------
    Four answers are stated with 90% confidence, and half of them are right:

    >>> round(expected_calibration_error([True, False, True, False], [0.9] * 4), 3)
    0.4
    """
    table = reliability(right, confidence, bins)
    return float((table["gap"].abs() * table["n"]).sum() / table["n"].sum())


def probability_scores(
    labels: Sequence, probabilities: pd.DataFrame, bins: int = BINS
) -> pd.Series:
    """Judge predicted probabilities of several classes.

    Parameters
    ----------
    labels : sequence, shape (n,)
        True classes.
    probabilities : DataFrame, shape (n, n_classes)
        One column a class; each row sums to 1.

    Returns
    -------
    Series
        `accuracy` of the likeliest class, its `confidence` (mean), `ece`, and two proper scores:
        `brier` (mean squared distance from the truth, 0 to 2; Brier, 1950) and `log_loss` (nats).

    Raises
    ------
    ValueError
        If a label has no column, or a row does not sum to 1.

    Examples
    --------
    >>> probabilities = pd.DataFrame({"cat": [0.8, 0.4], "dog": [0.2, 0.6]})
    >>> probability_scores(["cat", "cat"], probabilities).round(2).to_dict()
    {'accuracy': 0.5, 'confidence': 0.7, 'ece': 0.4, 'brier': 0.4, 'log_loss': 0.57}
    """
    labels, _ = _paired(labels, labels)
    names = list(probabilities.columns)
    values = probabilities.to_numpy(float)  # (n, classes)
    strange = [name for name in labels if name not in names]
    if strange:
        raise ValueError(f"The class {strange[0]!r} has no column; there are {names}.")
    if len(values) != len(labels) or not np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise ValueError("Give one row of probabilities for each label; each row sums to 1.")
    codes = np.array([names.index(name) for name in labels])
    values = values / values.sum(axis=1, keepdims=True)
    right = values.argmax(axis=1) == codes  # (n,)
    confidence = values.max(axis=1)  # (n,)
    # Brier score: squared distance from the truth, as a row with a single one.
    squared = ((values - np.eye(len(names))[codes]) ** 2).sum(axis=1).mean()
    return pd.Series(
        {
            "accuracy": right.mean(),
            "confidence": confidence.mean(),
            "ece": expected_calibration_error(right, confidence, bins),
            "brier": squared,
            "log_loss": log_loss(codes, values, labels=range(len(names)))
            if len(names) > 1
            else 0.0,
        }
    )


def rare_or_other(category: pd.Series, least: int = 20) -> pd.Series:
    """Turn categories into a rare class and the rest: the rarest of some size, or `"other"`.

    Parameters
    ----------
    category : Series of str
        By video; NA counts as `"other"`.
    least : int
        Number of videos that the rare class has at least.

    Raises
    ------
    ValueError
        If no category has `least` videos.

    Examples
    --------
    >>> rare_or_other(pd.Series(["news", "news", "news", "tea", "tea", "jazz"]), least=2).tolist()
    ['other', 'other', 'other', 'tea', 'tea', 'other']
    """
    counts = category.value_counts()
    if counts.max() < least:
        raise ValueError(f"No category has {least} videos; the largest has {counts.max()}.")
    rare = counts[counts >= least].index[-1]
    return category.eq(rare).fillna(False).map({True: rare, False: "other"})


def compare_classifiers(
    models: Mapping[str, ClassifierMixin],
    vectors: pd.DataFrame,
    labels: pd.Series,
    folds: int = 5,
    seed: int = 0,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Cross-validate classifiers on the same folds.

    If videos resemble each other in groups, as those of one subject or uploader do, give the
    groups: otherwise a classifier is tested on groups that it knows, and the accuracy is that of
    recognising them.

    Parameters
    ----------
    models : mapping of str to classifier
        Classifiers that have `predict_proba`.
    vectors : DataFrame
        By video; rows with NaN are left out.
    labels : Series
        By video; only videos with both take part.
    folds, seed : int
        Number of stratified folds, and the seed of their draw.
    groups : Series, optional
        Group of each video, by the same ids; a group is never in training and test at once, and the
        intervals resample groups. Videos without a group are left out.

    Returns
    -------
    DataFrame
        One row a model: `accuracy`; `mean, low, high` of the balanced accuracy; `ece`.

    Raises
    ------
    ValueError
        If there are fewer groups than folds, or a fold leaves a single label to learn from.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> vectors = pd.DataFrame(np.zeros((20, 2)))
    >>> labels = pd.Series(["other"] * 15 + ["rare"] * 5)
    >>> constant = {"constant": DummyClassifier(strategy="prior")}
    >>> compare_classifiers(constant, vectors, labels)[["accuracy", "mean", "ece"]]
              accuracy  mean  ece
    constant      0.75   0.5  0.0
    """
    probabilities, y, held_out = _held_out(models, vectors, labels, folds, seed, groups)
    rows = {}
    for name, table in probabilities.items():
        predicted = table.idxmax(axis=1)
        scores = classification_scores(y, predicted, seed=seed, groups=held_out)
        rows[name] = {
            "accuracy": scores.loc["accuracy", "mean"],
            **scores.loc["balanced_accuracy"],
            "ece": probability_scores(y, table)["ece"],
        }
    return pd.DataFrame(rows).T


def held_out_probabilities(
    models: Mapping[str, ClassifierMixin],
    vectors: pd.DataFrame,
    labels: pd.Series,
    folds: int = 5,
    seed: int = 0,
    groups: pd.Series | None = None,
) -> dict[str, pd.DataFrame]:
    """Predict each video's class by classifiers that were not trained on it.

    Parameters
    ----------
    models, vectors, labels, folds, seed, groups
        As for `compare_classifiers`, which has the same folds.

    Returns
    -------
    dict of str to DataFrame
        By model, one row a video and one column a class: probabilities that sum to 1.

    Raises
    ------
    ValueError
        As for `compare_classifiers`.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> vectors = pd.DataFrame(np.zeros((20, 2)))
    >>> labels = pd.Series(["other"] * 15 + ["rare"] * 5)
    >>> constant = {"constant": DummyClassifier(strategy="prior")}
    >>> held_out_probabilities(constant, vectors, labels)["constant"].iloc[0].to_dict()
    {'other': 0.75, 'rare': 0.25}
    """
    return _held_out(models, vectors, labels, folds, seed, groups)[0]


def _held_out(
    models: Mapping[str, ClassifierMixin],
    vectors: pd.DataFrame,
    labels: pd.Series,
    folds: int,
    seed: int,
    groups: pd.Series | None,
) -> tuple[dict[str, pd.DataFrame], pd.Series, pd.Series | None]:
    """Probabilities by model, and the labels and groups of the same videos."""
    vectors = vectors.dropna()
    labels = labels.dropna()
    ids = vectors.index[vectors.index.isin(labels.index)]
    if groups is not None:
        ids = ids[ids.isin(groups.dropna().index)]
        groups = groups.loc[ids]
        if groups.nunique() < folds:
            raise ValueError(f"{groups.nunique()} groups cannot fill {folds} folds.")
    x, y = vectors.loc[ids].to_numpy(), labels.loc[ids]  # (n, dim) and (n,)
    cut = stratified_folds(y, groups, folds, seed)
    classes = sorted(set(y))
    probabilities = {
        name: pd.DataFrame(
            cross_val_predict(model, x, y.to_numpy(), cv=cut, method="predict_proba"), ids, classes
        )
        for name, model in models.items()
    }
    return probabilities, y, groups


def _per_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support from confusion matrices `(..., c, c)`."""
    true_positives = np.diagonal(counts, axis1=-2, axis2=-1)  # TP, (..., c)
    support = counts.sum(axis=-1)  # TP + FN
    predicted = counts.sum(axis=-2)  # TP + FP
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true_positives / support
        precision = np.where(predicted > 0, true_positives / predicted, 0.0)
        # F1 = 2 TP / (2 TP + FP + FN), whose denominator is the sum of the other two
        f1 = np.where(support + predicted > 0, 2 * true_positives / (support + predicted), 0.0)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def _overall(counts: np.ndarray) -> np.ndarray:
    """The values of `OVERALL` for confusion matrices `(n, c, c)`, `(n, 5)`."""
    each = _per_class(counts)  # (n, c) each
    occurs = each["support"] > 0  # classes without an example do not count
    share = each["support"] / each["support"].sum(axis=-1, keepdims=True)
    accuracy = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    macro = np.where(occurs, each["f1"], 0).sum(axis=-1) / occurs.sum(axis=-1)
    balanced = np.where(occurs, each["recall"], 0).sum(axis=-1) / occurs.sum(axis=-1)
    weighted = (each["f1"] * share).sum(axis=-1)
    return np.column_stack([accuracy, balanced, macro, accuracy, weighted])


def _paired(labels: Sequence, predicted: Sequence) -> tuple[list, list]:
    """Both as lists, of the same length and without NA."""
    one, other = list(labels), list(predicted)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} labels, but {len(other)} predictions: give one for each.")
    if not one:
        raise ValueError("There is no example to judge: labels and predictions are empty.")
    if pd.Series([*one, *other], dtype=object).isna().any():
        raise ValueError("Some labels or predictions are missing (NA): leave those examples out.")
    return one, other
