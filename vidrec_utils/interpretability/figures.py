"""Explanations drawn where they belong: over the frame, and under the film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vidrec_utils import plots


def overlays(
    images: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[np.ndarray]],
    size: float = 1.5,
    blend: float = 0.55,
) -> Figure:
    """Draw maps over their images, one row a method.

    Parameters
    ----------
    images : sequence of uint8 (height, width, 3)
        Images, or single frames.
    rows : mapping of str to sequence of ndarray (rows, columns)
        A map for each image, by method; each is scaled by its own largest value (the 99th
        percentile, so that single pixels do not darken the rest).
    size : float
        Width of an image in inches.
    blend : float
        How much the map covers the image; 1: the map alone.

    Raises
    ------
    ValueError
        If a row has not one map for each image.

    Examples
    --------
    >>> image = np.zeros((4, 4, 3), np.uint8)
    >>> figure = overlays([image], {"Grad-CAM": [np.eye(2)], "random": [np.ones((2, 2))]})
    >>> len(figure.axes)
    2
    """
    if any(len(row) != len(images) for row in rows.values()):
        raise ValueError(f"Give each row one map for each of the {len(images)} images.")
    figure = Figure(figsize=(len(images) * size + 0.3, len(rows) * size), layout="constrained")
    for line, (name, row) in enumerate(rows.items()):
        for column, (image, values) in enumerate(zip(images, row, strict=True)):
            axes = figure.add_subplot(len(rows), len(images), line * len(images) + column + 1)
            axes.imshow(image, extent=(0, 1, 1, 0))
            top = float(np.quantile(values, 0.99)) or 1.0
            axes.imshow(values, cmap="inferno", alpha=blend, vmax=top, extent=(0, 1, 1, 0))
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            if column == 0:
                axes.set_ylabel(plots.safe_text(name, 24), fontsize=8)
    return figure


def under_film(
    frames: Sequence[np.ndarray],
    lines: Mapping[str, Sequence[float]],
    ylabel: str,
    *,
    xlabel: str = "frame",
    mark: float | None = None,
) -> Figure:
    """Draw numbers over time under the film that they belong to.

    Parameters
    ----------
    frames : sequence of uint8 (height, width, 3)
        Frames at equal distances.
    lines : mapping of str to sequence of float
        A number for each frame, by name.
    ylabel, xlabel : str
        What the numbers are, and what is counted.
    mark : float, optional
        Where a vertical line is drawn, in frames; the middle of the first is 1.

    Raises
    ------
    ValueError
        If a line has not one number for each frame.

    Examples
    --------
    >>> film = np.zeros((3, 4, 4, 3), np.uint8)
    >>> figure = under_film(film, {"hazard": [0.1, 0.3, 0.2]}, "chance to leave")
    >>> figure.axes[1].get_ylabel()
    'chance to leave'
    """
    if any(len(values) != len(frames) for values in lines.values()):
        raise ValueError(f"Give each line one number for each of the {len(frames)} frames.")
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 2.4), sharex=True)
    top.imshow(np.hstack(list(frames)), aspect="auto", extent=(0.5, len(frames) + 0.5, 0, 1))
    top.set(yticks=[])
    top.tick_params(bottom=False)
    top.grid(False)
    for name, values in lines.items():
        bottom.plot(np.arange(1, len(frames) + 1), values, marker="o", label=plots.safe_text(name))
    if mark is not None:
        bottom.axvline(mark, color="0.5", linestyle="--")
    bottom.axhline(0, color="0.7", linewidth=1)
    bottom.set(xlabel=xlabel, ylabel=ylabel, xlim=(0.5, len(frames) + 0.5))
    bottom.legend(fontsize=8)
    return figure
