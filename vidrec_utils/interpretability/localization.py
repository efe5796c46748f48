"""Do maps point at the thing? The pointing game, overlap with boxes, and shots in time.

These need to be told where the thing is: by somebody who drew boxes, or by a simulated world.

References
----------
Zhang, Lin, Brandt, Shen, Sclaroff: Top-down Neural Attention by Excitation Backprop. ECCV 2016
(arXiv:1608.00507; the pointing game).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.interpretability.faithfulness import cells
from vidrec_utils.intervals import mean_intervals

RECORD = Path(__file__).with_name("attributions.csv")
"""What the benchmark measured."""


def center_prior(shape: tuple[int, ...], spread: float = 0.25) -> np.ndarray:
    """The map of somebody who has not looked: things are in the middle.

    Parameters
    ----------
    shape : tuple of int
        `(height, width)` or `(time, height, width)`.
    spread : float
        Standard deviation in shares of the sides.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> np.unravel_index(center_prior((5, 7)).argmax(), (5, 7))
    (np.int64(2), np.int64(3))
    """
    arguments.positive(spread=spread)
    rows, columns = ((np.arange(n) + 0.5) / n - 0.5 for n in shape[-2:])
    plane = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * spread**2))
    return np.broadcast_to(plane, shape).astype(np.float32)


def box_masks(boxes: np.ndarray, shape: tuple[int, int], size: float) -> np.ndarray:
    """Fill boxes on the grid of a map.

    Parameters
    ----------
    boxes : ndarray, shape (..., 4)
        Left, top, right, bottom in pixels of the item; NaN where there is none.
    shape : (int, int)
        Height and width of the map.
    size : float
        Side of the item in pixels.

    Returns
    -------
    ndarray of bool, shape (..., height, width)
        Positions whose middle is inside.

    Examples
    --------
    >>> box_masks(np.array([0.0, 4.0, 4.0, 8.0]), (2, 2), size=8).astype(int).tolist()
    [[0, 0], [1, 0]]
    """
    boxes = np.asarray(boxes, dtype=float)
    rows, columns = ((np.arange(n) + 0.5) * size / n for n in shape)
    left, top, right, bottom = (boxes[..., i, None] for i in range(4))
    inside_x = (columns >= left) & (columns < right)
    inside_y = (rows >= top) & (rows < bottom)
    return inside_y[..., :, None] & inside_x[..., None, :]


def localize(values: np.ndarray, mask: np.ndarray, grid: int | None = None) -> dict[str, float]:
    """How well a map points at the true mask.

    Parameters
    ----------
    values : ndarray, shape (height, width)
        A map.
    mask : ndarray of bool, shape (height, width)
        Where the thing is.
    grid : int, optional
        Compare maps of unequal grain on this many rows and columns of cells: the map is averaged
        over them, and a cell counts as far as the mask covers it.

    Returns
    -------
    dict
        `pointing`: 1 if the map's largest value lies inside (with a grid: if at least half of its
        cell does; of several largest values, their mean); `overlap`: IoU of the mask and of as many
        positions with the largest values; `inside`: share of the positive values inside; `area`:
        the mask's share of the map.

    Raises
    ------
    ValueError
        If the shapes differ, or the mask is empty.

    Examples
    --------
    >>> mask = np.zeros((4, 4), dtype=bool)
    >>> mask[:2, :2] = True
    >>> localize(mask + 0.0, mask)
    {'pointing': 1.0, 'overlap': 1.0, 'inside': 1.0, 'area': 0.25}
    """
    if values.shape != mask.shape or not mask.any():
        raise ValueError(
            f"The map has shape {values.shape}, the mask {mask.shape} with {int(mask.sum())} "
            "positions; give a mask of the same shape with at least one."
        )
    heights, cover = values.astype(np.float64), mask.astype(np.float64)
    if grid is not None:
        heights, cover = cells(heights, grid), cells(cover, grid)
    largest = heights == heights.max()
    inside = cover >= 0.5 if cover.max() >= 0.5 else cover == cover.max()
    top = np.zeros(heights.size, dtype=bool)
    top[np.argsort(-heights.ravel(), kind="stable")[: int(inside.sum())]] = True
    top = top.reshape(heights.shape)
    positive = np.clip(heights, 0, None)
    total = positive.sum()
    return {
        "pointing": float(inside[largest].mean()),
        "overlap": float((top & inside).sum() / (top | inside).sum()),
        "inside": float((positive * cover).sum() / total) if total else float(cover.mean()),
        "area": float(cover.mean()),
    }


def in_time(values: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """How well an attribution over time finds the true stretch.

    Parameters
    ----------
    values : ndarray, shape (time,)
        One number for each frame.
    positive : ndarray of bool, shape (time,)
        Frames of the true stretch.

    Returns
    -------
    dict
        `pointing`: 1 if the largest value lies in the stretch (of several, their mean); `auc`: the
        chance that a frame of the stretch has a larger value than another one; `area`: the
        stretch's share of the clip.

    Raises
    ------
    ValueError
        If the shapes differ, or all frames are alike.

    Examples
    --------
    >>> in_time(np.array([0.0, 3.0, 1.0, 0.0]), np.array([False, True, True, False]))
    {'pointing': 1.0, 'auc': 1.0, 'area': 0.5}
    """
    if values.shape != positive.shape or positive.all() or not positive.any():
        raise ValueError("Give one number a frame, and a stretch that is a part of the clip.")
    largest = values == values.max()
    gaps = values[positive][:, None] - values[~positive][None]
    return {
        "pointing": float(positive[largest].mean()),
        "auc": float(((gaps > 0) + 0.5 * (gaps == 0)).mean()),
        "area": float(positive.mean()),
    }


def compare_methods(
    columns: Mapping[str, Mapping[str, Sequence[float]]],
    than: str,
    groups: Sequence[object] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of each measure for each method, and its paired difference to one of the methods.

    Parameters
    ----------
    columns : mapping of str to mapping of str to sequence of float
        By method and measure: one number for each item, of the same items throughout.
    than : str
        The method that the others are compared with, such as a random map.
    groups : sequence, optional
        Group of each item, such as its subject: groups are resampled together.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Indexed by method; for each measure its mean, and `... minus`, `... low`, `... high`: the
        difference and its 95% interval.

    Raises
    ------
    KeyError
        If there is no method of that name.

    Examples
    --------
    >>> columns = {"cam": {"pointing": [1, 1, 1, 1]}, "random": {"pointing": [0, 1, 0, 1]}}
    >>> table = compare_methods(columns, "random")
    >>> table.loc["cam", ["pointing", "pointing minus"]].tolist()
    [1.0, 0.5]
    """
    if than not in columns:
        raise KeyError(f"There is no method {than!r}; there are {', '.join(columns)}.")
    rows = {}
    for method, measures in columns.items():
        row = {}
        for measure, values in measures.items():
            own = np.asarray(values, dtype=float)
            gaps = own - np.asarray(columns[than][measure], dtype=float)
            clusters = None if groups is None else pd.Series(list(groups))
            minus, low, high = mean_intervals(gaps[:, None], clusters, seed=seed)[0]
            row |= {measure: own.mean(), f"{measure} minus": minus}
            row |= {f"{measure} low": low, f"{measure} high": high}
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def recorded_attributions() -> pd.DataFrame:
    """Read what `python benchmarks/attributions.py --write` measured.

    Returns
    -------
    DataFrame
        A row for each network and method: `clips`, `subjects`, `pointing`, `inside`,
        `faithfulness`, `agreement` with the other methods, `seconds` of the processor for a clip;
        `shuffled`, the rank correlation with maps of the network with shuffled weights, and
        `shuffled pointing`; and differences such as `pointing - centre` with the ends of their 95%
        intervals over subjects. `centre` and `random` are maps that have not looked.

    Examples
    --------
    >>> sorted(recorded_attributions()["network"].unique())
    ['efficientnet_lite0', 'i3d_mini']
    """
    return pd.read_csv(RECORD)
