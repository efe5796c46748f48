"""Training sets with other shares of their classes: made unequal for a trial, or equal again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import WeightedRandomSampler

from vidrec_utils import arguments

How = Literal["over", "under", "smote"]


def long_tail_counts(largest: int, classes: int, ratio: float) -> np.ndarray:
    """Compute the sizes of classes that fall geometrically, from the largest to 1 in `ratio`.

    `n_k = largest * ratio^(-k / (classes - 1))` for k from 0, rounded, and at least 1.

    Parameters
    ----------
    largest : int
        Size of the largest class.
    classes : int
        Number of classes, at least two.
    ratio : float
        How many times as large the largest class is as the rarest, at least 1.

    Returns
    -------
    ndarray of int64, shape (classes,)

    Raises
    ------
    ValueError
        If there are fewer than two classes, or the largest or the ratio is below 1.

    References
    ----------
    Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples.
    CVPR 2019, section 5.1.

    Examples
    --------
    >>> long_tail_counts(100, 3, ratio=100).tolist()
    [100, 10, 1]
    """
    arguments.at_least(2, classes=classes)
    arguments.at_least(1, largest=largest, ratio=ratio)
    shares = float(ratio) ** (-np.arange(classes) / (classes - 1))
    return np.maximum(1, np.round(largest * shares)).astype(np.int64)


def subsample(
    labels: Sequence | pd.Series,
    ratio: float,
    seed: int = 0,
    order: Sequence | None = None,
    least: int = 1,
) -> np.ndarray:
    """Draw rows such that the largest class is `ratio` times as large as the rarest.

    The classes fall geometrically from the first of `order` to the last (see `long_tail_counts`).
    The largest size is the greatest for which all classes have enough rows.

    Parameters
    ----------
    labels : sequence, shape (n,)
        Class of each row.
    ratio : float
        1: as many rows of each class.
    seed : int
        The rows, and the order of the classes if none is given, are drawn with this seed.
    order : sequence, optional
        All classes, from the one that becomes the largest to the rarest.
    least : int
        Fewest rows of a class.

    Returns
    -------
    ndarray of int64
        Positions of the drawn rows, ascending.

    Raises
    ------
    ValueError
        If there are fewer than two classes, the order lacks one, or a class has fewer than `least`
        rows.

    Examples
    --------
    >>> labels = ["cat"] * 20 + ["dog"] * 20
    >>> rows = subsample(labels, ratio=10, order=["dog", "cat"])
    >>> pd.Series(labels)[rows].value_counts().to_dict()
    {'dog': 20, 'cat': 2}
    """
    labels = pd.Series(list(labels), dtype=object)
    rng = np.random.default_rng(seed)
    sizes = labels.value_counts()
    if len(sizes) < 2:
        raise ValueError(f"There are {len(sizes)} classes; an imbalance needs two or more.")
    names = sorted(sizes.index, key=str)
    order = [names[k] for k in rng.permutation(len(names))] if order is None else list(order)
    if sorted(order, key=str) != names:
        raise ValueError(f"The order {order} does not name each of the classes {names} once.")
    largest = int(sizes[order[0]])
    while (long_tail_counts(largest, len(order), ratio) > sizes[order].to_numpy()).any():
        largest -= 1
    sizes_drawn = np.maximum(long_tail_counts(largest, len(order), ratio), least)
    rows = []
    for name, n in zip(order, sizes_drawn, strict=True):
        members = np.flatnonzero(labels == name)
        if len(members) < n:
            raise ValueError(f"Class {name!r} has {len(members)} rows, and {n} are asked for.")
        rows.append(rng.choice(members, n, replace=False))
    return np.sort(np.concatenate(rows))


def sampling_weights(labels: Sequence | pd.Series, power: float = 1.0) -> np.ndarray:
    """Weights of rows for a sampler: `1 / n_class^power`, scaled to sum to 1.

    Parameters
    ----------
    labels : sequence, shape (n,)
        Class of each row.
    power : float
        1: all classes are drawn equally often; 1/2: square-root sampling; 0: all rows are.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    ValueError
        If there is no row, or the power is negative.

    Examples
    --------
    >>> sampling_weights(["cat", "cat", "cat", "dog"]).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
    """
    arguments.at_least(0, power=power)
    labels = pd.Series(list(labels), dtype=object)
    if labels.empty:
        raise ValueError("There is no row to draw: the labels are empty.")
    weights = labels.map(labels.value_counts()).to_numpy(float) ** -power
    return weights / weights.sum()


def draw_rows(weights: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Draw rows with replacement, in proportion to their weights.

    This is one epoch of `torch.utils.data.WeightedRandomSampler`, which a `DataLoader` takes as its
    `sampler`.

    Parameters
    ----------
    weights : ndarray, shape (rows,)
        From 0; see `sampling_weights`.
    n : int
        Rows to draw.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or their sum is zero.

    Examples
    --------
    >>> draw_rows(np.array([0.0, 2.0, 0.0]), 4).tolist()
    [1, 1, 1, 1]
    """
    weights = np.asarray(weights, dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(f"The weight of row {wrong[0]} is {weights[wrong[0]]}; it is from 0 up.")
    if not weights.sum() > 0:
        raise ValueError(
            f"The {len(weights)} weights sum to zero, so that no row can be drawn; give one of "
            "them a weight above 0."
        )
    generator = torch.Generator().manual_seed(seed)
    sampler = WeightedRandomSampler(weights.tolist(), n, replacement=True, generator=generator)
    return np.fromiter(sampler, dtype=np.int64, count=n)


def resample(
    vectors: np.ndarray, labels: Sequence | pd.Series, how: How, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Make all classes equally large, by imbalanced-learn.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Embeddings.
    labels : sequence, shape (n,)
        Class of each row.
    how : {"over", "under", "smote"}
        `over` repeats rows of the smaller classes, `under` leaves out rows of the larger ones, and
        `smote` adds vectors between a row and one of its (up to five) nearest neighbours in its
        class.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of float32, shape (m, dim); ndarray, shape (m,)
        Vectors and labels.

    Raises
    ------
    ValueError
        If there are fewer than two classes, vectors and labels differ in length, or SMOTE meets a
        class with one row, which has no neighbour.

    References
    ----------
    Chawla, Bowyer, Hall, Kegelmeyer: SMOTE: Synthetic Minority Over-sampling Technique. JAIR 16,
    2002. Lemaître, Nogueira, Aridas: Imbalanced-learn. JMLR 18, 2017.

    Examples
    --------
    >>> vectors = np.arange(10.0).reshape(5, 2)
    >>> x, y = resample(vectors, ["cat", "cat", "cat", "dog", "dog"], "smote")
    >>> x.shape, sorted(y.tolist())
    ((6, 2), ['cat', 'cat', 'cat', 'dog', 'dog', 'dog'])
    """
    from imblearn import over_sampling, under_sampling  # slow to import, and needed only here

    arguments.one_of(("over", "under", "smote"), how=how)
    vectors, y = (
        np.asarray(vectors, dtype=np.float32),
        np.asarray(pd.Series(labels).tolist(), dtype=object),
    )
    if len(vectors) != len(y):
        raise ValueError(f"{len(vectors)} vectors, but {len(y)} labels: give one for each.")
    sizes = pd.Series(y).value_counts()
    if len(sizes) < 2:
        raise ValueError(f"There are {len(sizes)} classes; resampling needs two or more.")
    if how == "smote" and sizes.min() < 2:
        raise ValueError(
            f"Class {sizes.index[-1]!r} has one example, which has no neighbour in its class: "
            'SMOTE needs two. Collect another one, or use "over".'
        )
    if how == "over":
        sampler = over_sampling.RandomOverSampler(random_state=seed)
    elif how == "under":
        sampler = under_sampling.RandomUnderSampler(random_state=seed)
    else:
        sampler = over_sampling.SMOTE(k_neighbors=min(5, sizes.min() - 1), random_state=seed)
    new_vectors, new_labels = sampler.fit_resample(vectors, y.astype(str))
    names = {str(name): name for name in sizes.index}
    return new_vectors, np.array([names[label] for label in new_labels], dtype=object)
