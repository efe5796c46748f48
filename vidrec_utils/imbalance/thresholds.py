"""Decisions from probabilities: a threshold for each class, chosen on held-out rows."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

GRID = np.geomspace(0.02, 50.0, 41)
"""Factors that are tried for each class."""


def decide(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Choose the class whose probability is largest relative to its threshold: `argmax p_c / t_c`.

    Equal thresholds choose the likeliest class. With two classes, `t = (1 - t_1, t_1)` chooses the
    second from a probability of `t_1` on.

    Parameters
    ----------
    probabilities : ndarray, shape (n, classes)
        Rows sum to 1.
    thresholds : ndarray, shape (classes,)
        All above 0.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If there is not one threshold for each class, or one is not above 0.

    Examples
    --------
    >>> decide(np.array([[0.8, 0.2]]), np.array([0.9, 0.1])).tolist()
    [1]
    """
    probabilities, thresholds = np.asarray(probabilities), np.asarray(thresholds, dtype=float)
    if thresholds.shape != probabilities.shape[1:]:
        raise ValueError(
            f"{thresholds.size} thresholds for {probabilities.shape[1]} classes: give one for each."
        )
    wrong = np.flatnonzero(~(thresholds > 0))
    if len(wrong):
        raise ValueError(
            f"The threshold of class {wrong[0]} is {thresholds[wrong[0]]}, not above 0."
        )
    return (probabilities / thresholds).argmax(axis=1)


def move_thresholds(probabilities: np.ndarray, targets: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Choose the thresholds with the best macro F1 on held-out rows, one class after the other.

    Parameters
    ----------
    probabilities : ndarray, shape (n, classes)
        Probabilities of rows that the model was not trained on, calibrated so that thresholds mean
        something.
    targets : ndarray of int, shape (n,)
        Class numbers.
    rounds : int
        How often all classes are gone through.

    Returns
    -------
    ndarray of float64, shape (classes,)
        They sum to 1. Of equally good ones, those nearest to equal thresholds.

    Raises
    ------
    ValueError
        If there is no row, or lengths differ.

    References
    ----------
    Lipton, Elkan, Naryanaswamy: Optimal Thresholding of Classifiers to Maximize F1 Measure.
    ECML PKDD 2014. Collell, Prelec, Patil: A simple plug-in bagging ensemble based on
    threshold-moving. Neurocomputing 275, 2018.

    Examples
    --------
    Every video of the rare class has a probability of a quarter, all others have less:

    >>> p = np.array([0.25] * 2 + [0.1] * 8)
    >>> thresholds = move_thresholds(np.stack([1 - p, p], axis=1), np.array([1] * 2 + [0] * 8))
    >>> bool(0.1 < thresholds[1] < 0.25)
    True
    """
    probabilities, targets = np.asarray(probabilities, dtype=float), np.asarray(targets)
    if len(probabilities) != len(targets) or not len(targets):
        raise ValueError(
            f"{len(probabilities)} rows of probabilities and {len(targets)} targets: give as many "
            "of both, and at least one."
        )
    classes = probabilities.shape[1]
    present = np.unique(targets)
    thresholds = np.ones(classes)
    # factors nearest to 1 first, so that equally good ones change as little as possible
    factors = GRID[np.argsort(abs(np.log(GRID)), kind="stable")]
    best = _macro_f1(targets, decide(probabilities, thresholds), present)
    for _ in range(rounds):
        for label in range(classes):
            own = thresholds[label]
            for factor in factors:
                tried = thresholds.copy()
                tried[label] = own * factor
                score = _macro_f1(targets, decide(probabilities, tried), present)
                if score > best + 1e-9:
                    best, thresholds = score, tried
    return thresholds / thresholds.sum()


def _macro_f1(targets: np.ndarray, predicted: np.ndarray, present: np.ndarray) -> float:
    return float(f1_score(targets, predicted, labels=present, average="macro", zero_division=0))
