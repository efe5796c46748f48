"""Remedies for rare classes side by side: the same rows, the same head, one table.

Each trial draws a training set whose largest class is `ratio` times as large as its rarest, from
videos of groups (such as subjects) that are not tested. Test videos are weighted such that their
classes have the shares of the training set, as on a platform whose videos are imbalanced, too.
What was measured on larger data is recorded by `benchmarks/class_imbalance.py`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from vidrec_utils.imbalance.heads import HiddenLayer, Loss, fit_head, fit_hidden
from vidrec_utils.imbalance.losses import (
    adjust_logits,
    class_balanced_weights,
    focal_loss,
    logit_adjusted_loss,
)
from vidrec_utils.imbalance.resampling import draw_rows, resample, sampling_weights, subsample
from vidrec_utils.imbalance.thresholds import decide, move_thresholds
from vidrec_utils.intervals import cluster_codes, cluster_sums
from vidrec_utils.linear_probe import stratified_folds
from vidrec_utils.reporting import interval
from vidrec_utils.transfer_learning.calibration import fit_temperature

RECORD = Path(__file__).with_name("class_imbalance.csv")
"""What `benchmarks/class_imbalance.py` writes."""
BETA = 0.99
"""Overlap of examples in the class-balanced loss; see `effective_numbers`."""
BINS = 10
"""Bins of confidence of the calibration error."""
MOST_COLUMNS = 64
"""Principal components of the training rows that a head reads."""

Logits = Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Training:
    """What a remedy is given.

    Attributes
    ----------
    x : ndarray of float64, shape (n, dim)
        Vectors of the training rows.
    y : ndarray of int64, shape (n,)
        Their class numbers.
    classes : int
        Number of classes.
    seed : int
        Seed of all draws.
    l2 : float
        Penalty of the head.
    views : ndarray, shape (n, dim), optional
        Vectors of the same rows in an augmented form.
    """

    x: np.ndarray
    y: np.ndarray
    classes: int
    seed: int = 0
    l2: float = 0.01
    views: np.ndarray | None = None

    @property
    def counts(self) -> np.ndarray:
        """Rows of each class, int64 `(classes,)`."""
        return np.bincount(self.y, minlength=self.classes)

    @property
    def shares(self) -> torch.Tensor:
        """Share of each class, float64 `(classes,)`."""
        return torch.as_tensor(self.counts / len(self.y))

    def fit(
        self, loss: Loss | None = None, x: np.ndarray | None = None, y: np.ndarray | None = None
    ) -> Logits:
        """Fit a linear head on these rows or on others, with the frame and penalty of these."""
        x, y = (self.x if x is None else x), (self.y if y is None else y)
        one = torch.ones(self.x.shape[1], dtype=torch.float64)
        return fit_head(x, y, self.classes, loss, self.l2, frame=(0 * one, one)).logits


Remedy = Callable[[Training], Logits]


def _plain(t: Training) -> Logits:
    return t.fit()


def _weighted(t: Training, weights: Callable[[np.ndarray], np.ndarray]) -> Logits:
    """Weigh each row's loss by its class, 1 on average over the rows."""
    of_class = weights(t.counts)
    scaled = torch.as_tensor(of_class * len(t.y) / of_class[t.y].sum())
    return t.fit(partial(focal_loss, gamma=0.0, weight=scaled))


def _focal(t: Training) -> Logits:
    return t.fit(partial(focal_loss, gamma=2.0))


def _adjusted_loss(t: Training) -> Logits:
    return t.fit(partial(logit_adjusted_loss, priors=t.shares))


def _adjusted_afterwards(t: Training) -> Logits:
    plain = t.fit()
    return lambda x: adjust_logits(plain(x), t.shares)


def _drawn_rows(t: Training) -> np.ndarray:
    """Rows of one epoch in which all classes are drawn equally often."""
    return draw_rows(sampling_weights(t.y), t.classes * int(t.counts.max()), t.seed)


def _drawn(t: Training) -> Logits:
    rows = _drawn_rows(t)
    rows = np.concatenate([rows, _missing(t.y, rows)])
    return t.fit(None, t.x[rows], t.y[rows])


def _missing(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """One row of each class of which none was drawn."""
    absent = np.setdiff1d(y, y[rows])
    return np.array([np.flatnonzero(y == label)[0] for label in absent], dtype=np.int64)


def _resampled(t: Training, how: str) -> Logits:
    x, y = resample(t.x, t.y, how, t.seed)
    return t.fit(None, x, y.astype(np.int64))


def _augmented(t: Training) -> Logits:
    if t.views is None:
        raise ValueError("Augmentation needs vectors of augmented items: give `views`.")
    rows = _drawn_rows(t)
    rows = np.concatenate([rows, _missing(t.y, rows)])
    # one half of the draws of all but the largest class show the augmented item
    coin = np.random.default_rng(t.seed).random(len(rows)) < 0.5
    coin &= t.y[rows] != t.counts.argmax()
    return t.fit(None, np.where(coin[:, None], t.views[rows], t.x[rows]), t.y[rows])


def _normalized(t: Training) -> Logits:
    one = torch.ones(t.x.shape[1], dtype=torch.float64)
    head = fit_head(t.x, t.y, t.classes, None, t.l2, frame=(0 * one, one))
    return head.normalized().logits


def _layer(t: Training) -> HiddenLayer:
    one = torch.ones(t.x.shape[1])
    return fit_hidden(t.x, t.y, t.classes, seed=t.seed, frame=(0 * one, one))


def _hidden(t: Training) -> Logits:
    return _layer(t).logits


def _retrained(t: Training) -> Logits:
    layer = _layer(t)
    rows = _drawn_rows(t)
    rows = np.concatenate([rows, _missing(t.y, rows)])
    head = fit_head(layer.features(t.x)[rows], t.y[rows], t.classes, None, t.l2)
    return lambda x: head.logits(layer.features(x))


NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "rare_recall": "recall of the rarest"}
"""Measures of `remedy_table` with intervals, and their names in sentences."""
PLAIN, MOVED = "plain", "thresholds moved"
REMEDIES: dict[str, Remedy] = {
    PLAIN: _plain,
    "class weights": partial(_weighted, weights=lambda counts: 1 / counts),
    "class-balanced loss": partial(_weighted, weights=partial(class_balanced_weights, beta=BETA)),
    "focal loss": _focal,
    "logit-adjusted loss": _adjusted_loss,
    "logits adjusted afterwards": _adjusted_afterwards,
    MOVED: _plain,
    "classes drawn equally often": _drawn,
    "undersampling": partial(_resampled, how="under"),
    "SMOTE": partial(_resampled, how="smote"),
    "augmented rare classes": _augmented,
    "normalized head": _normalized,
    "hidden layer": _hidden,
    "hidden layer, head retrained": _retrained,
}
"""All remedies by name. Those with a hidden layer are compared with the plain one of that kind."""


def compare_remedies(
    vectors: pd.DataFrame,
    labels: pd.Series,
    ratio: float,
    groups: pd.Series | None = None,
    *,
    remedies: Mapping[str, Remedy] | None = None,
    folds: int = 3,
    seeds: Iterable[int] = (0,),
    order: Sequence | None = None,
    views: pd.DataFrame | None = None,
    l2: float = 0.01,
) -> pd.DataFrame:
    """Test remedies on the same draws of an imbalanced training set.

    Parameters
    ----------
    vectors : DataFrame
        By video; videos without a vector or a label are left out.
    labels : Series
        Class of each video.
    ratio : float
        Size of the largest class to that of the rarest in training; see `subsample`. The rarest
        has at least two rows.
    groups : Series, optional
        By video, such as the subject; a group is never in training and test at once.
    remedies : mapping, optional
        By default `REMEDIES`, without augmentation if there are no views.
    folds : int
        Each video is tested once a seed.
    seeds : iterable of int
        Folds, training sets and their order of classes are drawn with each of these.
    order : sequence, optional
        All classes, from the largest in training to the rarest; by default another order for each
        seed, so that no class is always the rarest.
    views : DataFrame, optional
        Vectors of augmented items, by video.
    l2 : float
        See `fit_head`.

    Returns
    -------
    DataFrame
        One row a remedy, seed and tested video: `remedy, seed, video_id, group, label, predicted`
        (numbers of the classes' ranks, 0 is the largest in training)`, classes, before, after`
        (stated probability of the prediction, before and after the temperature was fitted)`,
        weight` (of the video), `rows` (trained on)` and `seconds` (of fitting once).

    Raises
    ------
    ValueError
        If a class has too few videos or groups, or as the remedies do.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = pd.Series(["cat", "dog"] * 30)
    >>> vectors = pd.DataFrame(rng.normal(size=(60, 2)))
    >>> vectors[0] += labels.map({"cat": 3.0, "dog": -3.0})
    >>> two = {name: REMEDIES[name] for name in ("plain", "class weights")}
    >>> predictions = compare_remedies(vectors, labels, ratio=5, remedies=two)
    >>> remedy_table(predictions)["rare_recall"].round().tolist()
    [1.0, 1.0]
    """
    vectors = vectors.dropna()
    labels = labels.dropna()
    ids = vectors.index[vectors.index.isin(labels.index)]
    own = None if groups is None else groups.reindex(ids)
    if remedies is None:
        remedies = {n: r for n, r in REMEDIES.items() if views is not None or r is not _augmented}
    data = _Data(
        vectors.loc[ids].to_numpy(np.float64),
        labels.loc[ids],
        own,
        None if views is None else views.loc[ids].to_numpy(np.float64),
        l2,
    )
    tables = []
    for seed in seeds:
        names = sorted(set(data.labels), key=str)
        ranked = order or [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
        for train, test in stratified_folds(data.labels, own, folds, seed):
            rows = train[subsample(data.labels.iloc[train], ratio, seed, ranked, least=2)]
            tables += data.predictions(rows, test, list(ranked), remedies, seed)
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True, eq=False)
class _Data:
    """Vectors `(n, dim)`, labels, groups and augmented views of the same videos."""

    x: np.ndarray
    labels: pd.Series
    groups: pd.Series | None
    views: np.ndarray | None
    l2: float

    def predictions(
        self,
        rows: np.ndarray,
        test: np.ndarray,
        ranked: list,
        remedies: Mapping[str, Remedy],
        seed: int,
    ) -> list[pd.DataFrame]:
        """Train all remedies on some rows and test them on others."""
        y = self.labels.map({name: rank for rank, name in enumerate(ranked)}).to_numpy(np.int64)
        project = _projection(self.x[rows])
        x, x_test = project(self.x[rows]), project(self.x[test])
        views = None if self.views is None else project(self.views[rows])
        training = Training(x, y[rows], len(ranked), seed, self.l2, views)
        groups = None if self.groups is None else self.groups.iloc[rows]
        inner = _inner_folds(pd.Series(y[rows]), groups, seed)
        tested = np.bincount(y[test], minlength=len(ranked))
        weight = (training.counts / len(rows))[y[test]] / (tested / len(test))[y[test]]
        group = test if self.groups is None else self.groups.iloc[test].to_numpy()
        tables = []
        for name, remedy in remedies.items():
            start = time.perf_counter()
            logits = remedy(training)(x_test)
            seconds = time.perf_counter() - start
            held, truth = _held_out(remedy, training, inner)
            heat = fit_temperature(held, truth)
            after = (logits / heat).softmax(dim=1).numpy()
            predicted = after.argmax(axis=1)
            if name == MOVED:
                moved = move_thresholds((held / heat).softmax(dim=1).numpy(), truth.numpy())
                predicted = decide(after, moved)
            chosen = np.arange(len(test)), predicted
            columns = {
                "remedy": name, "seed": seed, "video_id": self.labels.index[test], "group": group,
                "label": y[test], "predicted": predicted, "classes": len(ranked),
                "before": logits.softmax(dim=1).numpy()[chosen], "after": after[chosen],
                "weight": weight, "rows": len(rows), "seconds": seconds,
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
        return tables


def _projection(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Standardise columns by these rows, and rotate to their principal components."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    _, _, axes = np.linalg.svd((x - mean) / scale, full_matrices=False)
    kept = axes[:MOST_COLUMNS].T  # (dim, columns)
    length = np.sqrt((((x - mean) / scale @ kept) ** 2).mean())  # one number for all columns
    return lambda other: (other - mean) / scale @ kept / (length or 1.0)


def _inner_folds(
    y: pd.Series, groups: pd.Series | None, seed: int, folds: int = 3
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of the training rows; a class of which fewer than two rows would be left stays.

    Where a class is in too few groups for stratified folds, whole groups are dealt out in turn.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "No label has", UserWarning)
            divided = stratified_folds(y, groups, folds, seed)
    except (ValueError, UserWarning):
        codes = cluster_codes(groups, len(y))
        fold = np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % folds
        divided = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    pairs = []
    for train, test in divided:
        left = np.bincount(y.iloc[train], minlength=int(y.max()) + 1)
        scarce = left[y.iloc[test]] < 2
        pairs.append((np.concatenate([train, test[scarce]]), test[~scarce]))
    return [(train, test) for train, test in pairs if len(test)]


def _held_out(
    remedy: Remedy, training: Training, inner: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and class numbers of training rows that the remedy was not fitted on."""
    logits, targets = [], []
    if not inner:
        raise ValueError(
            f"The {len(training.y)} training rows leave none to calibrate on: each class has two "
            "rows, or all of its rows in one group. Give more videos, or more groups."
        )
    for train, test in inner:
        views = None if training.views is None else training.views[train]
        part = Training(
            training.x[train], training.y[train], training.classes, training.seed, training.l2,
            views,
        )  # fmt: skip
        logits.append(remedy(part)(training.x[test]))
        targets.append(training.y[test])
    return torch.cat(logits), torch.as_tensor(np.concatenate(targets))


def remedy_table(
    predictions: pd.DataFrame, than: str = PLAIN, seed: int = 0, resamples: int = 1000
) -> pd.DataFrame:
    """Sum up predictions of `compare_remedies`, with 95% intervals that resample groups.

    Parameters
    ----------
    predictions : DataFrame
        See `compare_remedies`; one data set and ratio.
    than : str
        Remedy that the others are compared with, on the same resamples.
    seed, resamples : int
        Seed of the bootstrap, and its number of resamples.

    Returns
    -------
    DataFrame
        One row a remedy: `accuracy`, `macro_f1` and `rare_recall` (share of the videos of the two
        rarest classes that are predicted correctly; of the rarest, if there are three classes or
        fewer), each with `_low` and `_high`, and as differences to `than` (`_minus`, `_minus_low`,
        `_minus_high`); `ece_before` and `ece_after` the temperature; `rows` and `seconds`.

    Raises
    ------
    ValueError
        If `than` is not among the remedies.

    Examples
    --------
    >>> row = {"seed": 0, "classes": 2, "before": 0.9, "after": 0.8, "weight": 1.0, "rows": 4}
    >>> data = {"group": [1, 2], "label": [0, 1], "predicted": [0, 0], "seconds": 0.1}
    >>> predictions = pd.DataFrame(data).assign(remedy="plain", **row)
    >>> remedy_table(predictions)[["accuracy", "rare_recall"]].values.tolist()
    [[0.5, 0.0]]
    """
    samples = {
        n: _samples(p, seed, resamples) for n, p in predictions.groupby("remedy", sort=False)
    }
    if than not in samples:
        raise ValueError(f"There is no remedy {than!r}; there are {', '.join(samples)}.")
    rows = {}
    for name, (value, drawn) in samples.items():
        own = predictions[predictions["remedy"] == name]
        row = {}
        for measure in value:
            row[measure] = value[measure]
            row[f"{measure}_low"], row[f"{measure}_high"] = _ends(drawn[measure])
            gap = drawn[measure] - samples[than][1][measure]
            row[f"{measure}_minus"] = value[measure] - samples[than][0][measure]
            row[f"{measure}_minus_low"], row[f"{measure}_minus_high"] = _ends(gap)
        right = (own["label"] == own["predicted"]).to_numpy(float)
        for when in ("before", "after"):
            row[f"ece_{when}"] = weighted_calibration_error(right, own[when], own["weight"])
        row |= {"rows": own["rows"].mean(), "seconds": own["seconds"].mean()}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _samples(
    own: pd.DataFrame, seed: int, resamples: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measures of one remedy's predictions, and of resamples of their groups."""
    classes = int(own["classes"].iloc[0])
    n, cell = len(own), (own["label"] * classes + own["predicted"]).to_numpy()
    weight = own["weight"].to_numpy(float)
    table = sparse.csr_array((weight, (np.arange(n), cell)), shape=(n, classes**2))
    drawn = cluster_sums(table, own["group"].tolist(), resamples, seed)
    whole = np.asarray(table.sum(axis=0)).reshape(1, classes, classes)
    value = {name: float(v[0]) for name, v in _measures(whole).items()}
    return value, _measures(drawn.reshape(resamples, classes, classes))


def _measures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, macro F1 and recall of the rarest classes of confusion matrices `(b, c, c)`."""
    right = np.diagonal(counts, axis1=1, axis2=2)  # (b, c)
    support, predicted = counts.sum(axis=2), counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(support > 0, 2 * right / (support + predicted), np.nan)
        recall = np.where(support > 0, right / support, np.nan)
    rare = 2 if counts.shape[1] > 3 else 1
    return {
        "accuracy": right.sum(axis=1) / support.sum(axis=1),
        "macro_f1": _known_mean(f1),
        "rare_recall": _known_mean(recall[:, -rare:]),
    }


def _known_mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row without its NaN; NaN where nothing is left, `(b,)`."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)


def gain_sentences(table: pd.DataFrame, measures: Sequence[str], than: str = PLAIN) -> str:
    """Write what each remedy gains against another one, as lines to print.

    Parameters
    ----------
    table : DataFrame
        See `remedy_table`.
    measures : sequence of str
        Names among `accuracy`, `macro_f1` and `rare_recall`.
    than : str
        The remedy that the others were compared with.

    Examples
    --------
    >>> columns = ["macro_f1_minus", "macro_f1_minus_low", "macro_f1_minus_high"]
    >>> table = pd.DataFrame([[0, 0, 0], [0.1, 0.05, 0.2]], ["plain", "weights"], columns)
    >>> print(gain_sentences(table, ["macro_f1"]))
    - weights minus plain: macro F1 +0.100 [+0.050, +0.200].
    """
    lines = []
    for name, row in table.drop(than).iterrows():
        ends = {m: row[[f"{m}_minus{end}" for end in ("", "_low", "_high")]] for m in measures}
        words = [f"{NAMES[m]} {interval(*values, '+.3f')}" for m, values in ends.items()]
        lines.append(f"- {name} minus {than}: {', '.join(words)}.")
    return "\n".join(lines)


def weighted_calibration_error(
    right: np.ndarray, confidence: np.ndarray | pd.Series, weight: np.ndarray | pd.Series
) -> float:
    """Expected calibration error of examples that count differently, over `BINS` bins.

    Parameters
    ----------
    right : ndarray of float, shape (n,)
        1 where the prediction was right, else 0.
    confidence : ndarray, shape (n,)
        Stated probability of being right.
    weight : ndarray, shape (n,)
        Weights of the examples.

    Returns
    -------
    float
        With equal weights that of `evaluation.expected_calibration_error`.

    Raises
    ------
    ValueError
        If the weights sum to zero.

    Examples
    --------
    >>> weighted_calibration_error(np.array([1.0, 0.0]), np.array([0.9, 0.9]), np.array([1, 1]))
    0.4
    """
    right, confidence, weight = (np.asarray(a, dtype=float) for a in (right, confidence, weight))
    if not weight.sum() > 0:
        raise ValueError("The weights sum to zero, so no example counts.")
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(number, weights=weight * (confidence - right), minlength=BINS)
    return float(abs(gap).sum() / weight.sum())


def recorded() -> pd.DataFrame:
    """Read the table that `benchmarks/class_imbalance.py` recorded.

    Returns
    -------
    DataFrame
        Columns of `remedy_table`, by `data`, `ratio` and `remedy`.

    Examples
    --------
    >>> {"plain", "focal loss"} <= set(recorded()["remedy"])
    True
    """
    return pd.read_csv(RECORD)
