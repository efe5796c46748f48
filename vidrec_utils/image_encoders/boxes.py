"""Boxes around things: how much two overlap, and which of many that overlap are kept.

A box is `(left, top, right, bottom)`, in pixels or in shares of the image's sides, with `left`
below `right` and `top` below `bottom`.
"""

from __future__ import annotations

import numpy as np


def checked_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes as float64 `(n, 4)`.

    Raises
    ------
    ValueError
        If they have another shape, or one has its corners in the wrong order.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"Boxes have shape {array.shape}; give (n, 4): left, top, right, bottom.")
    if not np.all(array[:, :2] <= array[:, 2:]):
        raise ValueError("A box has its left right of its right, or its top below its bottom.")
    return array


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area that two boxes share, divided by the area that they cover together.

    Parameters
    ----------
    first, second : array-like, shapes (n, 4) and (m, 4)
        Boxes.

    Returns
    -------
    ndarray of float64, shape (n, m)
        1 for equal boxes, 0 for boxes that do not meet, and 0 where both have no area.

    Raises
    ------
    ValueError
        As in `checked_boxes`.

    Examples
    --------
    >>> intersection_over_union([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]]).round(3).tolist()
    [[0.333, 0.0]]
    """
    a, b = checked_boxes(first)[:, None], checked_boxes(second)[None]  # (n, 1, 4), (1, m, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(sides.clip(min=0), axis=-1)  # |A ∩ B|, (n, m)
    union = np.prod(a[..., 2:] - a[..., :2], -1) + np.prod(b[..., 2:] - b[..., :2], -1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def non_maximum_suppression(
    boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.5
) -> np.ndarray:
    """Keep the best box of each group of boxes that overlap.

    The box with the highest score is kept, every other box whose intersection over union with it
    exceeds `overlap` is dropped, and the same is done with what is left.

    Parameters
    ----------
    boxes : array-like, shape (n, 4)
        Boxes.
    scores : array-like, shape (n,)
        Their scores; of equal scores the first counts as the higher one.
    overlap : float
        Largest intersection over union of two boxes that are both kept, in [0, 1].

    Returns
    -------
    ndarray of int
        Positions of the boxes that are kept, by falling score.

    Raises
    ------
    ValueError
        As in `checked_boxes`, if the lengths differ, or `overlap` is not in [0, 1].

    Examples
    --------
    >>> two_and_one = [[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]]
    >>> non_maximum_suppression(two_and_one, [0.8, 0.9, 0.3]).tolist()
    [1, 2]
    """
    corners, rating = checked_boxes(boxes), np.asarray(scores, dtype=np.float64)
    if rating.shape != (len(corners),):
        raise ValueError(f"{len(corners)} boxes have scores of shape {rating.shape}; one each.")
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}; give a share between 0 and 1.")
    left, kept = np.argsort(-rating, kind="stable"), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        shared = intersection_over_union(corners[[best]], corners[left])[0]
        left = left[shared <= overlap]
    return np.array(kept, dtype=int)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap of two masks: twice the area that they share, divided by the sum of their areas.

    Parameters
    ----------
    first, second : array-like of bool, of one shape
        Masks.

    Returns
    -------
    float
        1 for equal masks, 0 for masks that share nothing; 1 for two empty masks.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> dice([True, True, False], [True, False, False])
    0.6666666666666666
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"The masks have shapes {a.shape} and {b.shape}; give two of one shape.")
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
