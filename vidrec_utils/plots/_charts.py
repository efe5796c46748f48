"""Charts of counts, scores and behaviour."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from vidrec_utils.plots._style import PALETTE, safe_text

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split

MARKERS = "os^Dv*"


def _need(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise ValueError(
            f"The table lacks {', '.join(lacking)}; it has {', '.join(map(str, frame.columns))}."
        )


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of rows next to the axis, the first one on top, without grid lines."""
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(False, axis="y")


def bars_with_intervals(
    frame: pd.DataFrame,
    value: str,
    low: str,
    high: str,
    label: str | None = None,
    *,
    xlabel: str | None = None,
    title: str = "",
    reference: float | None = None,
    reference_label: str = "chance",
) -> Figure:
    """Compare scores, each with its interval, as horizontal bars from top to bottom.

    Parameters
    ----------
    frame : DataFrame
        One row per bar, drawn in the frame's order.
    value, low, high : str
        Columns with the score and the two ends of its interval.
    label : str, optional
        Column with the name of each bar; the index if not given.
    xlabel : str, optional
        What is measured and in which unit; the name of the value column if not given.
    title : str
        The figure's message.
    reference : float, optional
        A score to compare with, drawn as a dashed line.
    reference_label : str
        The name of that line.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If the frame is empty, lacks a column, or a value lies outside its interval.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"mean": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 0.95]})
    >>> table.index = ["frames", "motion"]
    >>> figure = bars_with_intervals(table, "mean", "low", "high", xlabel="accuracy")
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['frames', 'motion']
    """
    _need(frame, [value, low, high, *([label] if label else [])])
    if frame.empty:
        raise ValueError("The table has no rows to draw.")
    score = frame[value].to_numpy(float)
    ends = np.stack([score - frame[low].to_numpy(float), frame[high].to_numpy(float) - score])
    if (ends < -1e-12).any():
        row = int(np.flatnonzero((ends < -1e-12).any(axis=0))[0])
        raise ValueError(
            f"Row {row}: {value} lies outside its interval; are {low} and {high} ends, not widths?"
        )
    names = [safe_text(text, 40) for text in (frame[label] if label else frame.index)]
    positions = np.arange(len(frame))
    figure = Figure(figsize=(7.0, 1.1 + 0.42 * len(frame)), layout="constrained")
    axes = figure.add_subplot(xlabel=safe_text(xlabel or value), title=safe_text(title))
    axes.barh(positions, score, height=0.6, color=PALETTE[5])
    axes.errorbar(
        score,
        positions,
        xerr=np.clip(ends, 0, None),
        fmt="o",
        color="black",
        capsize=4,
        markersize=4,
    )
    if reference is not None:
        axes.axvline(reference, color=PALETTE[3], linestyle="--", label=safe_text(reference_label))
        figure.legend(loc="outside lower right")
    _name_rows(axes, names)
    return figure


def class_balance(
    counts: pd.Series, *, xlabel: str = "videos", title: str = "", most: int = 20
) -> Figure:
    """Show how many items each class has, from the largest down, with counts and shares.

    Parameters
    ----------
    counts : Series
        Items per class, the class as index, for example `videos.category.value_counts()`.
    xlabel : str
        What is counted.
    title : str
        The figure's message.
    most : int
        Classes that are drawn; the rest is summed up in a last bar.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If nothing is counted.

    Examples
    --------
    >>> import pandas as pd
    >>> figure = class_balance(pd.Series({"sport": 1, "music": 3}))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3 (75%)', '1 (25%)']
    """
    total = float(counts.sum()) if len(counts) else 0.0
    if total <= 0:
        raise ValueError("There is nothing to count: the series is empty or sums to zero.")
    ordered = counts.sort_values(ascending=False, kind="stable")
    names = [safe_text(name, 30) for name in ordered.index[:most]]
    values = ordered.to_numpy(float)[:most]
    if len(ordered) > most:
        names.append(f"{len(ordered) - most} more")
        values = np.append(values, ordered.to_numpy(float)[most:].sum())
    figure = Figure(figsize=(7.0, 1.0 + 0.32 * len(values)), layout="constrained")
    axes = figure.add_subplot(xlabel=safe_text(xlabel), title=safe_text(title))
    bars = axes.barh(np.arange(len(values)), values, color=PALETTE[0])
    axes.bar_label(bars, [f"{v:,.0f} ({v / total:.0%})" for v in values], padding=4, fontsize=9)
    axes.margins(x=0.18)
    _name_rows(axes, names)
    return figure


def watch_time(
    interactions: pd.DataFrame, threshold: float | None = None, *, title: str = ""
) -> Figure:
    """Show how far people watch, and how much is watched on each day.

    Parameters
    ----------
    interactions : DataFrame
        With `watch_ratio` (NaN where unknown) and `timestamp` (UTC).
    threshold : float, optional
        Watch ratio from which an exposure counts as watched, drawn as a line.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes: the histogram of watch ratios, and the exposures per day.

    Raises
    ------
    ValueError
        If a column is missing, or no row has both a watch ratio and a time.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2025-03-01", "2025-03-01", "2025-03-02"], utc=True)
    >>> log = pd.DataFrame({"timestamp": days, "watch_ratio": [0.2, 0.9, 1.0]})
    >>> histogram, by_day = watch_time(log, threshold=0.8).axes
    >>> [int(bar.get_height()) for bar in by_day.patches]  # exposures on each day
    [2, 1]
    """
    _need(interactions, ["watch_ratio", "timestamp"])
    known = interactions[["watch_ratio", "timestamp"]].dropna()
    if known.empty:
        raise ValueError("No exposure has both a watch ratio and a time, so there is no plot.")
    days = known["timestamp"].dt.floor("D").value_counts().sort_index()
    days = days.reindex(pd.date_range(days.index[0], days.index[-1], freq="D"), fill_value=0)
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(known["watch_ratio"].to_numpy(float), bins=30, color=PALETTE[0])
    left.set(xlabel="watch ratio (watched / duration)", ylabel="exposures")
    if threshold is not None:
        share = float((known["watch_ratio"] >= threshold).mean())
        left.axvline(
            threshold, color=PALETTE[3], linestyle="--", label=f"{share:.0%} at {threshold:g} or up"
        )
        left.legend()
    since = (days.index - days.index[0]).days
    right.bar(since, days.to_numpy(), color=PALETTE[5], width=0.9)
    right.set(xlabel=f"days since {days.index[0]:%Y-%m-%d}", ylabel="exposures per day")
    if title:
        figure.suptitle(safe_text(title))
    return figure


def confusion(matrix: np.ndarray, labels: Sequence[object], *, title: str = "") -> Figure:
    """Show which classes are confused with which, as shares of each true class.

    Parameters
    ----------
    matrix : array of shape (classes, classes)
        Counts; rows are the true classes, columns the predicted ones (as in scikit-learn).
    labels : sequence
        Class names in the matrix's order.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        The matrix and its colour scale. A class without items has an empty row.

    Raises
    ------
    ValueError
        If the matrix is not square, or the labels do not match it.

    Examples
    --------
    >>> import numpy as np
    >>> figure = confusion(np.array([[3, 1], [0, 4]]), ["rise", "fall"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.75', '0.25', '1.00']
    """
    counts = np.asarray(matrix, dtype=float)
    n = len(labels)
    if counts.shape != (n, n):
        raise ValueError(f"{n} labels need a matrix of shape ({n}, {n}), not {counts.shape}.")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    names = [safe_text(label, 20) for label in labels]
    side = 2.2 + 0.5 * n
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true", title=safe_text(title))
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(n, n):
        if counts[row, column]:
            shade = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", c=shade)
    axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def maps(points: pd.DataFrame, kinds: Mapping[str, pd.Series], most: int = 6) -> Figure:
    """Draw one map of items several times, each time with the colours of another grouping.

    Parameters
    ----------
    points : DataFrame, shape (n, 2)
        Positions `x` and `y`, in no unit.
    kinds : mapping of str to Series of n values
        Groupings by name, their values in the order of the points.
    most : int
        Groups that are drawn, the largest first; at most six.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each grouping, with its legend below.

    Raises
    ------
    ValueError
        If there is no grouping, one has another length, or more than six groups are asked for.

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.0]})
    >>> figure = maps(points, {"kind": pd.Series(["cat", "cat", "dog"])})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['cat', 'dog']
    """
    if not kinds or not 0 < most <= len(MARKERS):
        raise ValueError(f"Give a grouping and one to {len(MARKERS)} groups, not {most}.")
    figure = Figure(figsize=(4.5 * len(kinds), 4.2), layout="constrained")
    for number, (name, values) in enumerate(kinds.items(), start=1):
        if len(values) != len(points):
            raise ValueError(f"{name} has {len(values)} values for {len(points)} points.")
        axes = figure.add_subplot(1, len(kinds), number, title=f"by {safe_text(name)}")
        largest = values.value_counts().index[:most]
        for colour, marker, value in zip(PALETTE, MARKERS, largest, strict=False):
            own = points[(values == value).to_numpy()]
            style = {"color": colour, "marker": marker, "linestyle": "", "markersize": 4}
            axes.plot(own["x"], own["y"], label=safe_text(value), **style)
        axes.set(xticks=[], yticks=[])
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3)
    return figure


def alarms(table: pd.DataFrame, *, xlabel: str = "", ylabel: str = "", title: str = "") -> Figure:
    """Show a table of yes and no as a grid, with a dark cell for each yes.

    Parameters
    ----------
    table : DataFrame of bool
        Its index and its columns name the rows and the columns of the grid.
    xlabel, ylabel : str
        What the columns and the rows are.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If the table has no cell.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"smoke": [True, False], "water": [False, True]}, ["fire", "leak"])
    >>> figure = alarms(table, xlabel="detector")
    >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
    ['smoke', 'water']
    """
    if table.empty:
        raise ValueError("The table has no cells to draw.")
    rows, columns = table.shape
    figure = Figure(figsize=(7.5, 1.4 + 0.26 * rows), layout="constrained")
    axes = figure.add_subplot(
        xlabel=safe_text(xlabel), ylabel=safe_text(ylabel), title=safe_text(title)
    )
    axes.imshow(table.to_numpy(dtype=float), cmap="Blues", vmin=-0.12, vmax=1.2, aspect="auto")
    for number in range(1, columns):
        axes.axvline(number - 0.5, color="white", linewidth=2)
    for number in range(1, rows):
        axes.axhline(number - 0.5, color="white", linewidth=2)
    names = [safe_text(name, 24) for name in table.columns]
    axes.set_xticks(range(columns), names, rotation=25, ha="right")
    axes.set_yticks(range(rows), [safe_text(name, 40) for name in table.index])
    axes.tick_params(length=0)
    axes.grid(False)
    return figure


def scatter(
    groups: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    *,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str = "",
    x_line: float | None = None,
    y_line: float | None = None,
    log_x: bool = False,
) -> Figure:
    """Compare groups of rows by two numbers each, with a colour and a marker for each group.

    Parameters
    ----------
    groups : mapping of str to DataFrame
        Rows to draw, by the group's name; later groups lie on top. Rows that lack a number are
        left out, and the legend counts those that are drawn.
    x, y : str
        Columns of every frame.
    xlabel, ylabel : str, optional
        What is measured and in which unit; the column's name if not given.
    title : str
        The figure's message.
    x_line, y_line : float, optional
        Thresholds, drawn as dashed lines.
    log_x : bool
        Use a logarithmic axis.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, with its legend on the right.

    Raises
    ------
    ValueError
        If there is no group, there are more than six, or a frame lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"ms": [3.0, 9.0], "accuracy": [0.7, 0.8]})
    >>> figure = scatter({"fast": points[:1], "slow": points[1:]}, "ms", "accuracy")
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['fast (1)', 'slow (1)']
    """
    if not 0 < len(groups) <= len(MARKERS):
        raise ValueError(f"Give one to {len(MARKERS)} groups to draw, not {len(groups)}.")
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.add_subplot(
        xlabel=safe_text(xlabel or x),
        ylabel="\n".join(textwrap.wrap(safe_text(ylabel or y), 36)),
        title=safe_text(title),
    )
    for number, (name, frame) in enumerate(groups.items()):
        _need(frame, [x, y])
        known = frame[[x, y]].dropna()
        axes.scatter(
            known[x].to_numpy(float),
            known[y].to_numpy(float),
            s=22,
            alpha=0.7,
            marker=MARKERS[number],
            color=PALETTE[number],
            linewidths=0,
            label=safe_text(f"{name} ({len(known):,})", 40),
        )
    if x_line is not None:
        axes.axvline(x_line, color="black", linestyle="--", linewidth=1)
    if y_line is not None:
        axes.axhline(y_line, color="black", linestyle="--", linewidth=1)
    if log_x:
        axes.set_xscale("log")
    figure.legend(
        loc="outside lower center",
        ncols=min(3, len(groups)),
        fontsize=9,
        columnspacing=1.2,
        handletextpad=0.2,
    )
    return figure


def split_timelines(
    exposures: pd.DataFrame, subsets: Mapping[str, pd.Series], *, title: str = ""
) -> Figure:
    """Draw exposures over users and time, one panel a split, coloured by the part they went to.

    Time is the order of all exposures that are drawn: people watch in sittings, and on a clock the
    exposures of a sitting would lie on top of one another.

    Parameters
    ----------
    exposures : DataFrame
        With `user_id` and `timestamp` (UTC): those of a few users, each of whom has a row of
        lines.
    subsets : mapping of str to Series
        By the name of a split, the part of each exposure: `"train"`, `"validation"`, `"test"`, or
        anything else for rows that are in none of them.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per split, in two columns, with one legend.

    Raises
    ------
    ValueError
        If there is no split, or a part does not name as many rows as there are exposures.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2025-03-01", "2025-03-02", "2025-03-02"], utc=True)
    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "timestamp": days})
    >>> figure = split_timelines(log, {"by time": pd.Series(["train", "test", "test"])})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['train', 'test']
    """
    if not subsets:
        raise ValueError("There is no split to draw.")
    _need(exposures, ["user_id", "timestamp"])
    rows = pd.factorize(exposures["user_id"])[0]
    order = exposures["timestamp"].argsort().argsort().to_numpy()
    lines = -(-len(subsets) // 2)
    figure = Figure(figsize=(8.0, 0.9 + 1.7 * lines), layout="constrained")
    panels = figure.subplots(lines, min(2, len(subsets)), sharex=True, sharey=True, squeeze=False)
    shown: dict[str, object] = {}
    for axes, (name, part) in zip(panels.flat, subsets.items(), strict=False):
        if len(part) != len(exposures):
            raise ValueError(f"{name!r} names {len(part)} parts for {len(exposures)} exposures.")
        for number, which in enumerate(("train", "validation", "test")):
            at = (part == which).to_numpy()
            if at.any():
                ends = rows[at] - 0.4, rows[at] + 0.4
                shown[which] = axes.vlines(order[at], *ends, colors=PALETTE[number], linewidths=1.8)
        axes.set_title(safe_text(name, 40), fontsize=10)
        axes.set(yticks=[], xticks=[])
    for axes in panels.flat[len(subsets) :]:
        axes.set_visible(False)
    figure.supylabel("users", fontsize=10)
    figure.supxlabel("exposures in order of time", fontsize=10)
    names = [which for which in ("train", "validation", "test") if which in shown]
    figure.legend([shown[which] for which in names], names, loc="outside right upper")
    if title:
        figure.suptitle(safe_text(title))
    return figure


def split_spans(splits: Sequence[Split], *, title: str = "") -> Figure:
    """Show the span of time of each part of one or more splits of a log.

    In an honest split by time the bars of training, validation and test follow each other; where
    they lie above each other, the model is trained on what comes after its test.

    Parameters
    ----------
    splits : sequence of Split
        Each with `name`, and parts that have a `timestamp` (UTC).
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes: three bars per split, empty parts left out, each with its number of rows.

    Raises
    ------
    ValueError
        If there is no split, or a part has no timestamps.

    Examples
    --------
    >>> import pandas as pd
    >>> from vidrec_utils.datasets import Split
    >>> days = pd.to_datetime(["2025-03-01", "2025-03-02", "2025-03-03"], utc=True)
    >>> log = pd.DataFrame({"timestamp": days})
    >>> figure = split_spans([Split(log[:1], log[1:2], log[2:], pd.DataFrame(), "by time")])
    >>> len(figure.axes[0].patches)  # training, validation, test
    3
    """
    if not len(splits):
        raise ValueError("There is no split to draw.")
    figure = Figure(figsize=(7.5, 0.9 + 1.1 * len(splits)), layout="constrained")
    axes = figure.add_subplot(xlabel="day of the exposure (UTC)", title=safe_text(title))
    for row, split in enumerate(splits):
        for number, part in enumerate(("train", "validation", "test")):
            rows = getattr(split, part)
            if rows.empty:
                continue
            _need(rows, ["timestamp"])
            first, last = (
                timestamp.tz_localize(None) for timestamp in rows["timestamp"].agg(["min", "max"])
            )
            height = row + 0.25 * (number - 1)
            axes.barh(
                height,
                max(last - first, pd.Timedelta(1, "h")),
                left=first,
                height=0.22,
                color=PALETTE[number],
                label=part if row == 0 else None,
            )
            axes.annotate(
                f"{len(rows):,}",
                (last, height),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    _name_rows(axes, [safe_text(split.name, 30) for split in splits])
    axes.margins(x=0.08)
    low, high = axes.get_xlim()  # in days
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=7))
    axes.xaxis.set_major_formatter(DateFormatter("%d %b" if high - low < 300 else "%b %Y"))
    figure.legend(loc="outside lower center", ncols=3, fontsize=10)
    return figure
