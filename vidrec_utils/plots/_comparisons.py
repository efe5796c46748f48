"""Curves with names at their ends, points and differences with intervals, before and after."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from vidrec_utils.plots._charts import MARKERS
from vidrec_utils.plots._images import Drawable, bare, pixels_of
from vidrec_utils.plots._style import PALETTE, safe_text


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]] | Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    reference: float | None = None,
    reference_label: str = "chance",
    dashed: Sequence[str] = (),
    log_x: bool = False,
    log_y: bool = False,
    x_lines: Mapping[str, float] | None = None,
) -> Figure:
    """Draw curves, each with its name at its end, in place of a legend.

    Parameters
    ----------
    lines : mapping of str to values or to (x, y)
        Up to seven curves by name. Where x is not given, it counts from 1. Gaps (NaN) are left out.
    xlabel, ylabel : str
        What is measured, and in which unit.
    title : str
        The figure's message.
    reference : float, optional
        A value to compare with, drawn as a dashed line.
    reference_label : str
        The name of that line, written at its right end.
    dashed : sequence of str
        Names of curves that are drawn dashed and on top, so that a curve below them can be seen
        where both have the same values.
    log_x, log_y : bool
        Use logarithmic axes.
    x_lines : mapping of str to float, optional
        Horizontal positions that matter, by name: dotted lines, each with its name on its left.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If there is no curve or more than seven, x and y differ in length, a curve has no finite
        value, or one that is to be dashed is not given.

    Examples
    --------
    >>> figure = curves(
    ...     {"plain": [0.9, 0.8], "residual": [0.9, 0.4]}, xlabel="epoch", ylabel="loss"
    ... )
    >>> sorted(text.get_text() for text in figure.axes[0].texts)
    ['plain', 'residual']
    """
    if not 0 < len(lines) < len(PALETTE):
        raise ValueError(f"Give one to {len(PALETTE) - 1} curves to draw, not {len(lines)}.")
    if unknown := [name for name in dashed if name not in lines]:
        raise ValueError(f"No curve is called {unknown[0]!r}; there are {', '.join(lines)}.")
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.add_subplot(
        xlabel=safe_text(xlabel), ylabel=safe_text(ylabel), title=safe_text(title)
    )
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    # yellow is hard to see as a line on white: black takes its turn
    colours = [colour for colour in PALETTE if colour != "#F0E442"]
    ends: list[tuple[float, float, str, str]] = []
    for colour, (name, values) in zip(colours, lines.items(), strict=False):
        x, y = _points(name, values)
        style = {"linestyle": "--", "zorder": 3} if name in dashed else {}
        axes.plot(x, y, color=colour, linewidth=1.8, **style)
        ends.append((x[-1], y[-1], name, colour))
    if reference is not None:
        axes.axhline(reference, color="#555555", linestyle="--", linewidth=1.2)
        ends.append((max(e[0] for e in ends), reference, reference_label, "#555555"))
    for name, position in (x_lines or {}).items():
        axes.axvline(position, color="#555555", linestyle=":", linewidth=1.2)
        axes.annotate(
            safe_text(name),
            (position, 0.96),
            (-3, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=9,
            color="#555555",
        )
    if not log_x and all((line.get_xdata() % 1 == 0).all() for line in axes.lines[: len(lines)]):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # epochs come whole
    _label_ends(figure, ends)
    return figure


def _points(name: str, values: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite points of a curve."""
    if isinstance(values, tuple) and len(values) == 2 and np.ndim(values[0]) == 1:
        x, y = (np.asarray(v, dtype=float) for v in values)
    else:
        y = np.asarray(values, dtype=float)
        x = np.arange(1, len(y) + 1, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{name} has {len(x)} values of x, but {len(y)} of y.")
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        raise ValueError(f"{name} has no finite value to draw.")
    return x[finite], y[finite]


def _label_ends(figure: Figure, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each name at the end of its curve, moved off curves, names and numbers of ticks."""
    axes = figure.axes[0]
    labels = [
        axes.annotate(
            safe_text(name, 28),
            (x, y),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
        for x, y, name, colour in ends
    ]
    figure.draw_without_rendering()  # the layout makes room for the names
    drawn = np.concatenate([_along(line) for line in axes.lines])  # (points, 2), pixels
    # numbers at the ticks count as names that stand there already
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    placed = [tick.get_window_extent() for tick in ticks if tick.get_text()]
    step = 6.5 * figure.dpi / 72  # half a line of text, in pixels
    for label in sorted(labels, key=lambda label: label.get_window_extent().y0):
        box = label.get_window_extent()
        options = [box.translated(0, step * k) for k in sorted(range(-8, 17), key=abs)]
        costs = [
            _hidden(option, drawn, placed) + abs(option.y0 - box.y0) / step for option in options
        ]
        best = options[int(np.argmin(costs))]
        placed.append(best)
        label.set_position((6, (best.y0 - box.y0) * 72 / figure.dpi))


def _hidden(box: Bbox, drawn: np.ndarray, names: Sequence[Bbox]) -> float:
    """Return how much a name in this box would hide: points of curves, and above all names."""
    covered = (drawn > box.min).all(axis=1) & (drawn < box.max).all(axis=1)
    return float(covered.sum()) + 1000 * sum(box.padded(-1).overlaps(name) for name in names)


def _along(line: Line2D) -> np.ndarray:
    """Return points along a drawn line, about two pixels apart: (points, 2), in pixels."""
    corners = line.get_transform().transform(line.get_xydata())
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    where = np.concatenate([[0], np.cumsum(lengths)])
    at = np.linspace(0, where[-1], int(where[-1] / 2) + 2)
    return np.stack([np.interp(at, where, corners[:, k]) for k in (0, 1)], axis=1)


def before_after(
    before: Sequence[object] | Drawable,
    after: Sequence[object] | Drawable,
    *,
    labels: tuple[str, str] = ("before", "after"),
    title: str = "",
) -> Figure:
    """Show two lists or two images next to each other, with what changed marked.

    Lists are ranked from the top, and each item of both is joined by a line: blue if it rose,
    orange if it fell, grey if it kept its position. What only one list holds is bold. For images a
    third one shows the mean absolute difference of their channels.

    Parameters
    ----------
    before, after : lists, or arrays or PIL images of one size
        Items without repetition, or images.
    labels : tuple of str
        What the two are.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for lists, three and a colour scale for images.

    Raises
    ------
    ValueError
        If a list is empty or repeats an item, the images differ in size, or the kinds differ.

    Examples
    --------
    >>> figure = before_after(["cats", "news"], ["news", "songs"])
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    ['1 cats', '2 songs']
    """
    plain = [isinstance(value, list | tuple) for value in (before, after)]
    if plain[0] != plain[1]:
        raise ValueError("Give two lists or two images, not one of each.")
    return (_two_lists if plain[0] else _two_images)(before, after, labels, title)


def _two_lists(before: list, after: list, labels: tuple[str, str], title: str) -> Figure:
    items = [[str(item) for item in side] for side in (before, after)]
    for side, label in zip(items, labels, strict=True):
        if not side or len({*side}) < len(side):
            raise ValueError(f"The list {label!r} is empty or holds an item twice.")
    rows = max(map(len, items))
    figure = Figure(figsize=(7.0, 0.8 + 0.32 * rows), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1), ylim=(rows - 0.5, -1.2), title=safe_text(title))
    for x, label, align, side, other in (
        (0.42, labels[0], "right", items[0], items[1]),
        (0.58, labels[1], "left", items[1], items[0]),
    ):
        axes.text(x, -0.85, safe_text(label), ha=align, va="center", color="#555555")
        for position, item in enumerate(side):
            axes.text(
                x,
                position,
                safe_text(f"{position + 1} {item}", 40),
                ha=align,
                va="center",
                fontsize=9,
                fontweight="normal" if item in other else "bold",
            )
    for start, item in enumerate(items[0]):
        if item in items[1]:
            end = items[1].index(item)
            colour = PALETTE[0] if end < start else PALETTE[1] if end > start else "#999999"
            axes.plot([0.43, 0.57], [start, end], color=colour, linewidth=1.6)
    bare(axes)
    return figure


def _two_images(before: Drawable, after: Drawable, labels: tuple[str, str], title: str) -> Figure:
    pixels = [pixels_of(image) for image in (before, after)]
    if pixels[0].shape != pixels[1].shape:
        sizes = [f"{p.shape[1]} x {p.shape[0]}" for p in pixels]
        raise ValueError(f"The images have {sizes[0]} and {sizes[1]} pixels: make them equal.")
    change = np.abs(pixels[0].astype(float) - pixels[1]).mean(axis=2)
    figure = Figure(figsize=(8.0, 2.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, image, label in ((left, pixels[0], labels[0]), (middle, pixels[1], labels[1])):
        axes.imshow(image)
        axes.set_title(safe_text(label, 30), fontsize=10)
    drawn = right.imshow(change, cmap="cividis", vmin=0, vmax=max(float(change.max()), 1.0))
    right.set_title("change", fontsize=10)
    for axes in (left, middle, right):
        bare(axes)
    figure.colorbar(drawn, ax=right, label="grey levels of 255", shrink=0.8)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def points(
    panels: Mapping[str, pd.DataFrame],
    *,
    x: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    references: Mapping[str, float] | None = None,
    reference_label: str = "",
    log_x: bool = False,
) -> Figure:
    """Draw named points with their intervals in panels that share one scale.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        One panel for each; rows by name with the columns `mean, low, high`, and those below. Rows
        that lack a mean are left out.
    x : str, optional
        Column with the horizontal position; where it is not given, rows stand in their order, and a
        name keeps its position and colour in all panels.
    xlabel, ylabel, title : str
        What is measured, in which unit, and the figure's message.
    references : mapping of str to float, optional
        A value to compare with, by panel, drawn as a dashed line.
    reference_label : str
        The name of those lines.
    log_x : bool
        Use a logarithmic axis for `x`.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per panel. Where a frame has a column `filled`, points without it are hollow.

    Raises
    ------
    ValueError
        If there is no panel, or a frame lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> row = pd.DataFrame({"mean": [0.5], "low": [0.4], "high": [0.6]}, index=["average"])
    >>> figure = points({"random": row, "trained": row + 0.3}, ylabel="accuracy")
    >>> [axes.get_title() for axes in figure.axes]
    ['random', 'trained']
    """
    if not panels:
        raise ValueError("There is no panel to draw.")
    needed = ["mean", "low", "high", *([x] if x else [])]
    for name, frame in panels.items():
        if lacking := [column for column in needed if column not in frame]:
            raise ValueError(f"The panel {name!r} lacks the column {', '.join(lacking)}.")
    names = list(dict.fromkeys(name for frame in panels.values() for name in frame.index))
    colours = [colour for colour in PALETTE if colour != "#F0E442"]
    width = 6.4 if len(panels) == 1 else min(9.5, 3.3 * len(panels) + 0.8)  # names need room
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    same = len({(references or {}).get(panel) for panel in panels}) == 1
    height = max(f["high"].max() for f in panels.values())
    height -= min(f["low"].min() for f in panels.values())
    for axes, (panel, frame) in zip(grid, panels.items(), strict=True):
        known = frame.dropna(subset=needed)
        heights = _apart(known["mean"], 0.065 * height) if x else known["mean"]
        for name, row in known.iterrows():
            order = names.index(name)
            at = row[x] if x else order
            colour = colours[order % len(colours)]
            reach = _reach(row)
            face = colour if row.get("filled", True) else "white"
            axes.errorbar(at, row["mean"], reach, fmt="o", color=colour, mfc=face, capsize=3)
            below = x is None and order % 2 == 1  # neighbours' names do not run into each other
            if x:
                right = known[x].max()
                beside = right * 1.35 if log_x else right + 0.08 * np.ptp(known[x])
                target, offset = (beside, heights[name]), (0, 0)
                line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5}
            else:
                target, offset = (at, row["low" if below else "high"]), (0, -3 if below else 3)
                line = None
            axes.annotate(
                safe_text(name),
                (at, row["mean"]) if x else target,
                target if x else offset,
                textcoords="data" if x else "offset points",
                ha="left" if x else "center",
                va="center" if x else "top" if below else "bottom",
                color=colour,
                fontsize=8,
                arrowprops=line,
            )
        if references and panel in references:
            axes.axhline(references[panel], color="#555555", linestyle="--", linewidth=1.2)
            if not same or axes is grid[-1]:  # one line through all panels is named once
                axes.annotate(
                    safe_text(reference_label),
                    (0.02 if x else 0.98, references[panel]),
                    (0, -3),
                    xycoords=axes.get_yaxis_transform(),
                    textcoords="offset points",
                    ha="left" if x else "right",
                    va="top",
                    fontsize=8,
                    color="#555555",
                )
        axes.set(title=safe_text(panel), xlabel=safe_text(xlabel))
        if x is None:
            axes.set(xlim=(-1, len(names)), xticks=[])
            axes.margins(y=0.1)  # room for the names
        elif log_x:
            axes.set_xscale("log")
        if x is not None:
            low, high = known[x].min(), known[x].max()
            axes.set_xlim(
                (low / 1.5, high * (high / low) ** 0.9)
                if log_x
                else (low - 0.08 * (high - low), 2 * high - low)
            )
            if not log_x:  # the rest of the axis belongs to the names
                axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= high])
    grid[0].set_ylabel(safe_text(ylabel))
    if title:
        figure.suptitle(safe_text(title))
    return figure


def forest(panels: Mapping[str, pd.DataFrame], *, xlabel: str = "", title: str = "") -> Figure:
    """Draw differences with their intervals around zero: a forest plot, a panel for each pair.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        One panel for each; rows by name, in the same order from the top in all panels, with the
        columns `mean, low, high`. A row that a panel lacks stays empty there.
    xlabel, title : str
        What is measured, in which unit, and the figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per panel. Where an interval holds zero, the point is hollow and grey; otherwise
        its colour says on which side of zero it lies.

    Raises
    ------
    ValueError
        If there is no panel, or a frame lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"mean": [0.2, 0], "low": [0.1, -1], "high": [0.3, 1]}, ["a", "b"])
    >>> figure = forest({"new minus old": rows}, xlabel="NDCG@10")
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['a', 'b']
    """
    if not panels:
        raise ValueError("There is no panel to draw.")
    for name, frame in panels.items():
        if lacking := [c for c in ("mean", "low", "high") if c not in frame]:
            raise ValueError(f"The panel {name!r} lacks the column {', '.join(lacking)}.")
    names = list(dict.fromkeys(name for frame in panels.values() for name in frame.index))
    width = min(9.5, max(5.0, 2.2 * len(panels) + 1.6))
    figure = Figure(figsize=(width, 0.34 * len(names) + 1.3), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (panel, frame) in zip(grid, panels.items(), strict=True):
        for name, row in frame.iterrows():
            side = int(row["low"] > 0) - int(row["high"] < 0)
            colour = {1: "#0072B2", -1: "#D55E00", 0: "#777777"}[side]
            reach = _reach(row)
            face = colour if side else "white"
            axes.errorbar(
                row["mean"], names.index(name), None, reach, fmt="o", color=colour, mfc=face
            )
        axes.axvline(0, color="#555555", linestyle="--", linewidth=1)
        axes.set_title(textwrap.fill(safe_text(panel), 22), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(3 if len(panels) > 1 else 6))
        axes.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
        axes.set_yticklabels([safe_text(name) for name in names])
    figure.supxlabel(safe_text(xlabel), fontsize=9)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def grouped_points(tables: Mapping[str, pd.DataFrame], *, ylabel: str, title: str = "") -> Figure:
    """Draw the scores of several models side by side, group by group, each with its interval.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By the name of a model, up to six: one row a group, with the columns `mean, low, high`. The
        groups of all tables are drawn, in the order in which they come.
    ylabel, title : str
        What is measured, in which unit, and the figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, with one legend. A model that lacks a group has no point there.

    Raises
    ------
    ValueError
        If there is no model or more than six, or a table lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> row = pd.DataFrame({"mean": [0.5], "low": [0.4], "high": [0.6]}, index=["new users"])
    >>> figure = grouped_points({"popularity": row, "content": row + 0.1}, ylabel="recall")
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['popularity', 'content']
    """
    if not 0 < len(tables) <= len(MARKERS):
        raise ValueError(f"Give one to {len(MARKERS)} models to draw, not {len(tables)}.")
    for name, table in tables.items():
        if lacking := [column for column in ("mean", "low", "high") if column not in table]:
            raise ValueError(f"The table of {name!r} lacks the column {', '.join(lacking)}.")
    groups = list(dict.fromkeys(group for table in tables.values() for group in table.index))
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.add_subplot(ylabel=safe_text(ylabel), title=safe_text(title))
    step = min(0.18, 0.7 / len(tables))
    for number, (name, table) in enumerate(tables.items()):
        rows = table.reindex(groups)[["mean", "low", "high"]].to_numpy(dtype=float)
        mean, low, high = rows.T  # each (groups,)
        axes.errorbar(
            np.arange(len(groups)) + step * (number - (len(tables) - 1) / 2),
            mean,
            [mean - low, high - mean],
            fmt=MARKERS[number],
            color=PALETTE[number],
            capsize=3,
            label=safe_text(name),
        )
    names = ["\n".join(textwrap.wrap(safe_text(group, 40), 12)) for group in groups]
    axes.set_xticks(range(len(groups)), names, fontsize=9)
    axes.grid(False, axis="x")
    figure.legend(loc="outside upper right", ncols=len(tables))
    return figure


def _reach(row: pd.Series) -> np.ndarray:
    """Length of an interval on either side of the mean, `(2, 1)`; rounding does not make it < 0."""
    return np.maximum([[row["mean"] - row["low"]], [row["high"] - row["mean"]]], 0.0)


def _apart(heights: pd.Series, least: float) -> pd.Series:
    """Move heights apart until neighbours differ by at least so much; their order stays."""
    ordered = heights.sort_values()
    values = ordered.to_numpy(float).copy()
    for _ in range(50):
        gaps = np.diff(values)
        short = np.clip(least - gaps, 0, None) / 2
        if not short.any():
            break
        values[:-1] -= short
        values[1:] += short
    return pd.Series(values, ordered.index)


def pair_scores(
    panels: Mapping[str, Mapping[tuple[str, str], pd.DataFrame]], *, title: str = ""
) -> Figure:
    """Draw how sure a probe is of the first of two labels, one row of points for each pair.

    Parameters
    ----------
    panels : mapping of str to mapping
        By panel and pair of labels: a frame with the columns `score` (probability of the first) and
        `label`.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per panel; circles are items of the first label, triangles those of the second.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"score": [0.9, 0.2], "label": ["rise", "fall"]})
    >>> figure = pair_scores({"trained": {("rise", "fall"): scores}})
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['rise (o), fall']
    """
    if not panels:
        raise ValueError("There is no panel to draw.")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, pairs) in zip(grid, panels.items(), strict=True):
        for row, (pair, frame) in enumerate(pairs.items()):
            for side, label in enumerate(pair):
                values = frame.loc[frame["label"] == label, "score"].to_numpy(float)
                axes.plot(
                    values,
                    np.full(len(values), row + 0.24 * (side - 0.5)),
                    "o^"[side],
                    color=PALETTE[(0, 3)[side]],
                    markersize=4,
                    alpha=0.6,
                )
        axes.axvline(0.5, color="#555555", linestyle="--", linewidth=1.2)
        axes.set(title=safe_text(name), xlabel="probability of the first", xlim=(-0.03, 1.03))
        rows = [safe_text(f"{one} (o), {other}", 40) for one, other in pairs]
        axes.set_yticks(range(len(rows)), rows)
    if title:
        figure.suptitle(safe_text(title))
    return figure
