"""Setting clips aside, and choosing few of them, without tearing a group apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def hold_out(
    labels: Sequence, share: float, groups: Sequence | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows held out; no group is in both.

    With classes as labels every class keeps a group in training, so that none is held out that
    training does not know.

    Parameters
    ----------
    labels : sequence, n
        Strings are classes; anything else is only counted.
    share : float
        Of the clips to hold out.
    groups : sequence, n, optional
        By default each clip is its own.
    seed : int
        Order in which groups are set aside.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1, or nothing is left for either part.
    """
    if not 0 < share < 1:
        raise ValueError(f"validation is {share}; a share lies between 0 and 1.")
    n = len(labels)
    codes = pd.factorize(np.asarray(groups))[0] if groups is not None else np.arange(n)
    classes = [str(label) if isinstance(label, (str, np.str_)) else "" for label in labels]
    left = pd.Series(codes).groupby(classes).nunique().to_dict()  # groups of each class in training
    of_group = pd.Series(classes).groupby(codes).unique()
    held = np.zeros(n, dtype=bool)
    for group in np.random.default_rng(seed).permutation(codes.max() + 1):
        mine = codes == group
        if held.sum() + mine.sum() > max(share * n, 1) or any(left[c] < 2 for c in of_group[group]):
            continue
        held |= mine
        for name in of_group[group]:
            left[name] -= 1
    if not held.any() or held.all():
        raise ValueError(
            f"Of {n} clips in {codes.max() + 1} groups, none can be held out so that every class "
            "is left in training. Give validation clips of your own, or none."
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def few(
    labels: Sequence, per_class: int | None, groups: Sequence | None = None, seed: int = 0
) -> np.ndarray:
    """Rows of at most so many clips of each class, of as many different groups as there are.

    Parameters
    ----------
    labels : sequence, n
        Classes.
    per_class : int or None
        None: all.
    groups : sequence, n, optional
        Such as subjects: clips of new ones are taken first.
    seed : int
        Which. The same seed's smaller choice is part of its larger one.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    frame = pd.DataFrame({"label": np.asarray(labels)[order], "row": order})
    frame["group"] = np.asarray(groups)[order] if groups is not None else order
    frame["turn"] = frame.groupby(["label", "group"]).cumcount()
    frame = frame.sort_values("turn", kind="stable")
    if per_class is not None:
        frame = frame[frame.groupby("label").cumcount() < per_class]
    return np.sort(frame["row"].to_numpy())
