"""The steps of a computation as boxes and arrows, with what goes through them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vidrec_utils.plots._images import Drawable, pixels_of
from vidrec_utils.plots._style import PALETTE, safe_text

WIDTH, PITCH = 9.0, 1.5
"""Width of a notebook's column, and the largest distance of two columns of boxes, in inches."""
MARGIN, GAP, BETWEEN = 0.1, 0.22, 0.3
"""Around the drawing, between the boxes of a column, and between two columns, in inches."""
NAME, DETAIL, LINE, IMAGE = 8.5, 7.5, 0.15, 0.72
"""Sizes of the two fonts in points; height of a line of text and of an image in inches."""


def pipeline(
    steps: Mapping[str, str],
    arrows: Sequence[tuple[str, str]],
    *,
    images: Mapping[str, Drawable] | None = None,
    title: str = "",
) -> Figure:
    """Draw the steps of a computation from left to right, each right of all that it needs.

    Parameters
    ----------
    steps : mapping of str to str
        What stands below the name of each step, such as the shape of what comes out of it. Steps
        of one column stand in the order of the mapping.
    arrows : sequence of (str, str)
        From one step to another.
    images : mapping of str to array or PIL image, optional
        Small pictures for some steps, drawn inside their boxes.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, at most 9 inches wide.

    Raises
    ------
    ValueError
        If there is no step, an arrow or an image names a step that does not exist, or the arrows
        go round in a circle.

    Examples
    --------
    >>> figure = pipeline(
    ...     {"clean": "386 videos", "embed": "386 x 1280", "rank": "ten videos"},
    ...     [("clean", "embed"), ("embed", "rank")],
    ... )
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    ['clean', 'embed', 'rank']
    """
    images = {name: pixels_of(image) for name, image in (images or {}).items()}
    _check(steps, arrows, images)
    columns = columns_of(list(steps), arrows)
    count = max(columns.values()) + 1
    pitch = min(PITCH, (WIDTH - 2 * MARGIN + BETWEEN) / count)
    width = pitch - BETWEEN
    texts = {name: _lines(name, detail, width) for name, detail in steps.items()}
    heights = {
        name: 0.14 + LINE * sum(map(len, texts[name])) + (IMAGE if name in images else 0)
        for name in steps
    }
    stacks = [[name for name in steps if columns[name] == column] for column in range(count)]
    tallest = max(sum(heights[n] for n in stack) + GAP * (len(stack) - 1) for stack in stacks)
    top = MARGIN + (0.28 if title else 0)
    height = top + tallest + MARGIN
    total = count * pitch - BETWEEN + 2 * MARGIN
    figure = Figure(figsize=(total, height), layout="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, total), ylim=(height, 0))
    axes.set_axis_off()
    if title:
        axes.text(MARGIN, 0.2, safe_text(title), fontsize=11, va="center")
    boxes: dict[str, tuple[float, float, float, float]] = {}  # left, top, width, height
    for column, stack in enumerate(stacks):
        used = sum(heights[name] for name in stack) + GAP * (len(stack) - 1)
        y = top + (tallest - used) / 2
        for name in stack:
            boxes[name] = (MARGIN + column * pitch, y, width, heights[name])
            y += heights[name] + GAP
    for source, target in arrows:
        _arrow(axes, boxes[source], boxes[target])
    for name, box in boxes.items():
        _box(axes, box, texts[name], images.get(name))
    return figure


def _check(
    steps: Mapping[str, str], arrows: Sequence[tuple[str, str]], images: Mapping[str, object]
) -> None:
    if not steps:
        raise ValueError("There is no step to draw.")
    named = [name for arrow in arrows for name in arrow] + list(images)
    unknown = [name for name in dict.fromkeys(named) if name not in steps]
    if unknown:
        raise ValueError(f"There is no step {unknown[0]!r}; there are {', '.join(steps)}.")


def columns_of(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Number the column of each step: one more than the largest of those that it comes from.

    Raises
    ------
    ValueError
        If the arrows go round in a circle.

    Examples
    --------
    >>> columns_of(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    {'a': 0, 'b': 1, 'c': 2}
    """
    columns = dict.fromkeys(names, 0)
    for _ in names:
        before = dict(columns)
        for source, target in arrows:
            columns[target] = max(columns[target], columns[source] + 1)
        if columns == before:
            return columns
    raise ValueError("The arrows go round in a circle; a pipeline has a beginning and an end.")


def _lines(name: str, detail: str, width: float) -> tuple[list[str], list[str]]:
    """Break the name and the detail of a step into lines that fit the box, in inches."""
    fits = [int((width - 0.12) / (size * 0.0080)) for size in (NAME * 1.08, DETAIL)]
    return (
        textwrap.wrap(safe_text(name), fits[0]) or [""],
        textwrap.wrap(safe_text(detail), fits[1]),
    )


def _box(
    axes: Axes,
    box: tuple[float, float, float, float],
    texts: tuple[list[str], list[str]],
    image: object,
) -> None:
    x, y, width, height = box
    tint = tuple(0.14 * channel + 0.86 for channel in to_rgb(PALETTE[0]))
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=tint,
            edgecolor=PALETTE[0],
            linewidth=1.0,
            zorder=2,
        )
    )
    y += 0.07
    for lines, size, weight in ((texts[0], NAME, "bold"), (texts[1], DETAIL, "normal")):
        for line in lines:
            axes.text(
                x + width / 2, y + LINE / 2, line,
                fontsize=size, fontweight=weight, ha="center", va="center", zorder=3,
            )  # fmt: skip
            y += LINE
    if image is not None:
        _draw_image(axes, image, (x + 0.05, y + 0.03, width - 0.1, IMAGE - 0.06))


def _draw_image(axes: Axes, pixels: object, frame: tuple[float, float, float, float]) -> None:
    """Draw an image as large as fits into a frame (left, top, width, height), in its middle."""
    x, y, width, height = frame
    rows, columns = pixels.shape[:2]
    scale = min(width / columns, height / rows)
    left, top = x + (width - scale * columns) / 2, y + (height - scale * rows) / 2
    extent = (left, left + scale * columns, top + scale * rows, top)
    axes.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest", zorder=3)


def _arrow(
    axes: Axes, source: tuple[float, float, float, float], target: tuple[float, float, float, float]
) -> None:
    start = (source[0] + source[2], source[1] + source[3] / 2)
    end = (target[0], target[1] + target[3] / 2)
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": "#6b6b6b",
            "linewidth": 1.2,
            "shrinkA": 0,
            "shrinkB": 1,
            "mutation_scale": 9,
        },
        zorder=1,
    )
