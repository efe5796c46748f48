"""Does the score really come from where a map points? Deletion, insertion, and agreement of maps.

A map that looks right may be wrong. Here nothing is looked at: what the map calls important is
removed from the item first (*deletion*), or given back first to an item without content
(*insertion*), and the score says whether it was.

References
----------
Petsiuk, Das, Saenko: RISE. BMVC 2018 (arXiv:1806.07421).
Adebayo and others: Sanity Checks for Saliency Maps. NeurIPS 2018 (arXiv:1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from vidrec_utils import arguments
from vidrec_utils.interpretability.gradients import Baseline, baseline_items

Score = Callable[[list[np.ndarray]], np.ndarray]


def cells(values: np.ndarray, grid: int) -> np.ndarray:
    """Mean of a map over the cells of a square grid.

    Parameters
    ----------
    values : ndarray, shape (height, width) or (time, height, width)
        A map; over a clip the mean over time is taken.
    grid : int
        Rows and columns of cells.

    Returns
    -------
    ndarray of float64, shape (grid, grid)

    Raises
    ------
    ValueError
        If the map has fewer rows or columns than the grid.

    Examples
    --------
    >>> cells(np.arange(16.0).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    flat = values.mean(axis=0) if values.ndim == 3 else values
    if min(flat.shape) < grid:
        raise ValueError(
            f"A map of {flat.shape[0]} x {flat.shape[1]} has no {grid} x {grid} cells."
        )
    means = [
        [column.mean() for column in np.array_split(row, grid, axis=1)]
        for row in np.array_split(flat, grid, axis=0)
    ]
    return np.array(means, dtype=np.float64)


def random_map(shape: tuple[int, ...], rng: np.random.Generator, grid: int = 8) -> np.ndarray:
    """A map that knows nothing: one random number for each cell of a grid.

    Parameters
    ----------
    shape : tuple of int
        `(height, width)` or `(time, height, width)`.
    rng : numpy.random.Generator
        Draws the numbers.
    grid : int
        Rows and columns of cells.

    Examples
    --------
    >>> values = random_map((4, 4), np.random.default_rng(0), grid=2)
    >>> len(np.unique(values)), bool((values[:2, :2] == values[0, 0]).all())
    (4, True)
    """
    rows = np.arange(shape[-2]) * grid // shape[-2]
    columns = np.arange(shape[-1]) * grid // shape[-1]
    return np.broadcast_to(rng.random((grid, grid))[rows][:, columns], shape).astype(np.float32)


def deletion_insertion(
    scores: Score,
    item: np.ndarray,
    values: np.ndarray,
    grid: int = 8,
    steps: int = 8,
    baseline: Baseline = "blurred",
) -> pd.DataFrame:
    """Scores while the most important cells are taken away, and while they are given back.

    Parameters
    ----------
    scores : callable
        From a list of items to their scores, such as `Target.scores`.
    item : uint8 (height, width, 3) or (time, height, width, 3)
        An image, or a clip whose frames all lose the same cells.
    values : ndarray, shape (height, width) or (time, height, width)
        Its map, on any grid.
    grid : int
        The item is cut into grid x grid cells.
    steps : int
        Points of the curves after the first.
    baseline : {"grey", "black", "blurred", "frozen"}
        What takes the place of a cell; see `baseline_items`.

    Returns
    -------
    DataFrame
        `share` of the cells that were changed, from 0 to 1, and the scores `deletion` (from the
        item) and `insertion` (from the baseline).

    Raises
    ------
    ValueError
        If a number is not positive, or the map is smaller than the grid.

    Examples
    --------
    The score is the brightness of the corner, and the map knows it:

    >>> image = np.zeros((4, 4, 3), np.uint8)
    >>> image[:2, :2] = 200
    >>> corner = lambda items: np.array([item[:2, :2].mean() for item in items])
    >>> knows = image.mean(axis=2)
    >>> curves = deletion_insertion(corner, image, knows, grid=2, steps=2, baseline="black")
    >>> curves["deletion"].tolist(), curves["insertion"].tolist()
    ([200.0, 0.0, 0.0], [0.0, 200.0, 200.0])
    """
    arguments.at_least(1, grid=grid, steps=steps)
    order = np.argsort(-cells(values, grid).ravel(), kind="stable")
    height, width = item.shape[-3:-1]
    cell = (np.arange(height) * grid // height)[:, None] * grid + np.arange(width) * grid // width
    blank = baseline_items([item], baseline)[0]
    shares = np.linspace(0, 1, steps + 1)
    deleted, inserted = [], []
    for share in shares:
        chosen = np.isin(cell, order[: round(share * grid**2)])[..., None]  # (height, width, 1)
        deleted.append(np.where(chosen, blank, item))
        inserted.append(np.where(chosen, item, blank))
    both = scores([*deleted, *inserted])
    return pd.DataFrame(
        {"share": shares, "deletion": both[: steps + 1], "insertion": both[steps + 1 :]}
    )


def faithfulness(curves: pd.DataFrame) -> float:
    """Mean height of the insertion curve, minus that of the deletion curve.

    Both ends of the curves are the same for every map of an item, so two maps are compared by the
    difference of this number. A random map has an expectation near 0 where cells do not depend on
    each other.

    Examples
    --------
    >>> curves = pd.DataFrame({"share": [0, 0.5, 1], "deletion": [2.0, 0, 0]})
    >>> faithfulness(curves.assign(insertion=[0.0, 2, 2]))
    1.0
    """
    areas = [np.trapezoid(curves[name], curves["share"]) for name in ("insertion", "deletion")]
    return float(areas[0] - areas[1])


def agreement(values: np.ndarray, others: np.ndarray, grid: int = 8) -> np.ndarray:
    """Spearman's correlation of two maps of each item, over the cells of a grid.

    Parameters
    ----------
    values, others : ndarray, shape (n, height, width) or (n, time, height, width)
        Maps of the same items.
    grid : int
        Rows and columns of cells.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 where a map is constant.

    Raises
    ------
    ValueError
        If there are not as many maps.

    Examples
    --------
    >>> maps = np.arange(32.0).reshape(2, 4, 4)
    >>> agreement(maps, -maps, grid=2).tolist()
    [-1.0, -1.0]
    """
    if len(values) != len(others):
        raise ValueError(f"There are {len(values)} maps and {len(others)} others.")
    result = []
    for a, b in zip(values, others, strict=True):
        x, y = cells(a, grid).ravel(), cells(b, grid).ravel()
        constant = np.ptp(x) == 0 or np.ptp(y) == 0
        result.append(0.0 if constant else float(stats.spearmanr(x, y).statistic))
    return np.array(result)


def mean_agreements(maps: dict[str, np.ndarray], grid: int = 8) -> pd.Series:
    """Mean agreement of each method with the others.

    Parameters
    ----------
    maps : dict of str to ndarray
        Maps of the same items, by method.
    grid : int
        Rows and columns of cells.

    Examples
    --------
    >>> one = np.arange(16.0).reshape(1, 4, 4)
    >>> mean_agreements({"a": one, "b": one, "c": -one}, grid=2).tolist()
    [0.0, 0.0, -1.0]
    """
    table = {
        name: np.mean(
            [agreement(own, other, grid).mean() for n, other in maps.items() if n != name]
        )
        for name, own in maps.items()
    }
    return pd.Series(table, name="agreement")


def in_groups(values: Sequence[float], groups: Sequence[object]) -> np.ndarray:
    """Mean within each group, such as the clips of a subject, in the order of the groups' names."""
    return pd.Series(list(values)).groupby(list(groups)).mean().to_numpy()
