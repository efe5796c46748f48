"""Hold clips out, and choose a few of them, without dividing a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vidrec_utils.intervals import cluster_codes


def hold_out(
    labels: Sequence, share: float, groups: Sequence | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those to train on and those held out; no group is in both.

    If labels are classes, every class keeps a group in training, so that no class is held out that
    training does not know.

    Parameters
    ----------
    labels : sequence, n
        Strings are classes; anything else is only counted.
    share : float
        Share of the clips to hold out.
    groups : sequence, n, optional
        Group of each clip; by default, and where it is NA, a clip is a group of its own.
    seed : int
        Order in which groups are held out.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1, or nothing is left for either part.

    Examples
    --------
    >>> train, held = hold_out(["a", "a", "b", "b"], 0.5, groups=["x", "y", "x", "y"])
    >>> train.tolist(), held.tolist()  # one group each
    ([1, 3], [0, 2])
    """
    if not 0 < share < 1:
        raise ValueError(f"validation is {share}; a share lies between 0 and 1.")
    n = len(labels)
    codes = cluster_codes(groups, n)  # group of each clip, (n,)
    classes = [str(label) if isinstance(label, (str, np.str_)) else "" for label in labels]
    left = pd.Series(codes).groupby(classes).nunique().to_dict()  # groups of each class in training
    of_group = pd.Series(classes).groupby(codes).unique()
    held = np.zeros(n, dtype=bool)
    for group in np.random.default_rng(seed).permutation(codes.max() + 1):
        members = codes == group
        if held.sum() + members.sum() > max(share * n, 1) or any(
            left[c] < 2 for c in of_group[group]
        ):
            continue
        held |= members
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
    """Choose rows of at most `per_class` clips of each class, from as many groups as possible.

    Parameters
    ----------
    labels : sequence, n
        Class of each clip.
    per_class : int or None
        Number of clips; None: all.
    groups : sequence, n, optional
        Such as subjects: clips of new subjects are taken first. NA is a group of its own.
    seed : int
        The choice is drawn with this seed; its smaller choice is part of its larger one.

    Examples
    --------
    >>> rows = few(["a", "a", "a", "b"], 1, groups=[0, 0, 1, 2])
    >>> len(rows), 3 in rows
    (2, True)
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    frame = pd.DataFrame({"label": np.asarray(labels)[order], "row": order})
    frame["group"] = cluster_codes(groups, len(labels))[order]
    frame["turn"] = frame.groupby(["label", "group"]).cumcount()
    frame = frame.sort_values("turn", kind="stable")
    if per_class is not None:
        frame = frame[frame.groupby("label").cumcount() < per_class]
    return np.sort(frame["row"].to_numpy())
