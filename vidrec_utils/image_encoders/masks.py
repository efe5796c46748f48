"""Masks without training, and drawings whose true mask is known.

Rother, Kolmogorov, Blake: GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts.
ACM Transactions on Graphics 23 (2004)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidrec_utils import arguments
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.minitube import drawing

__all__ = ["box_mask", "drawing", "filled_box", "grab_cut"]

MARGIN = 2
"""Pixels around the box that `grab_cut` still looks at."""


def box_mask(mask: np.ndarray) -> np.ndarray:
    """Fill the smallest upright box around a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        With at least one pixel.

    Examples
    --------
    >>> box_mask(np.eye(3, dtype=bool)).sum()
    np.int64(9)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    filled = np.zeros(mask.shape, dtype=bool)
    filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return filled


def grab_cut(image: np.ndarray, box: np.ndarray, *, rounds: int = 5, seed: int = 0) -> np.ndarray:
    """Cut a thing out of its box by GrabCut, which nobody has trained.

    What lies outside of the box is background. The colours inside and outside are described by two
    mixtures of normal distributions, and the border is cut where neighbouring pixels differ.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
        RGB.
    box : ndarray of bool, shape (height, width)
        The filled box around the thing, such as `box_mask` gives.
    rounds : int
        How often mixtures and border are fitted in turn.
    seed : int
        The mixtures are first drawn with this seed, which is that of all of OpenCV.

    Returns
    -------
    ndarray of bool, shape (height, width)
        The pixels of the thing.

    Raises
    ------
    ValueError
        If the image is not uint8 RGB, or the box has another shape or no pixel.

    Examples
    --------
    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[15:25, 15:25] = 200
    >>> box = np.zeros((40, 40), bool)
    >>> box[12:28, 12:28] = True
    >>> grab_cut(image, box).sum()
    np.int64(100)
    """
    arguments.at_least(1, rounds=rounds)
    (pixels,) = checked([image], "Image")
    if box.shape != pixels.shape[:2] or not box.any():
        raise ValueError(
            f"The box has shape {box.shape} and {int(box.sum())} pixels; the image has shape "
            f"{pixels.shape[:2]}. Give a box of that shape with at least one pixel."
        )
    left, top, width, height = cv2.boundingRect(box.astype(np.uint8))
    around = (left - MARGIN, top - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN)
    states, mixtures = np.zeros(box.shape, np.uint8), np.zeros((2, 1, 65))
    cv2.setRNGSeed(seed)
    cv2.grabCut(pixels, states, around, *mixtures, rounds, cv2.GC_INIT_WITH_RECT)
    return np.isin(states, (cv2.GC_FGD, cv2.GC_PR_FGD))


def filled_box(corners: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
    """Fill a box that is given in shares of an image's sides.

    Parameters
    ----------
    corners : sequence of four floats
        Left, top, right, bottom; what lies outside of the image is cut off.
    shape : (int, int)
        Height and width of the image in pixels.

    Returns
    -------
    ndarray of bool, shape (height, width)

    Examples
    --------
    >>> filled_box([0.0, 0.5, 0.5, 1.5], (2, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [1, 1, 0, 0]]
    """
    height, width = shape
    shares = np.clip(np.asarray(corners, dtype=float), 0, 1)
    left, top, right, bottom = (shares * (width, height, width, height)).astype(int)
    filled = np.zeros(shape, dtype=bool)
    filled[top:bottom, left:right] = True
    return filled
