"""Charts of counts, scores and behaviour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vidrec_utils.plots._style import PALETTE, safe_text


def _need(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise ValueError(
            f"The table lacks {', '.join(lacking)}; it has {', '.join(map(str, frame.columns))}."
        )


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
        If the frame is empty, lacks a column, or an interval does not hold its value.
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
    places = np.arange(len(frame))
    figure = Figure(figsize=(7.0, 1.1 + 0.42 * len(frame)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(places, score, height=0.6, color=PALETTE[5])
    axes.errorbar(
        score, places, xerr=np.clip(ends, 0, None), fmt="o", color="black", capsize=4, markersize=4
    )
    if reference is not None:
        axes.axvline(reference, color=PALETTE[3], linestyle="--", label=safe_text(reference_label))
        figure.legend(loc="outside lower right")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(safe_text(xlabel or value))
    axes.set_title(safe_text(title))
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
    axes = figure.add_subplot()
    bars = axes.barh(np.arange(len(values)), values, color=PALETTE[0])
    axes.bar_label(bars, [f"{v:,.0f} ({v / total:.0%})" for v in values], padding=4, fontsize=9)
    axes.margins(x=0.18)
    axes.set_yticks(np.arange(len(values)), names)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(safe_text(xlabel))
    axes.set_title(safe_text(title))
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
    left.set_xlabel("watch ratio (watched / duration)")
    left.set_ylabel("exposures")
    if threshold is not None:
        share = float((known["watch_ratio"] >= threshold).mean())
        left.axvline(
            threshold, color=PALETTE[3], linestyle="--", label=f"{share:.0%} at {threshold:g} or up"
        )
        left.legend()
    since = (days.index - days.index[0]).days
    right.bar(since, days.to_numpy(), color=PALETTE[5], width=0.9)
    right.set_xlabel(f"days since {days.index[0]:%Y-%m-%d}")
    right.set_ylabel("exposures per day")
    if title:
        figure.suptitle(safe_text(title))
    return figure


def confusion(matrix: np.ndarray, labels: Sequence[object], *, title: str = "") -> Figure:
    """Show which classes are taken for which, as shares of each true class.

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
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(n, n):
        if counts[row, column]:
            shade = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", c=shade)
    axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.grid(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(safe_text(title))
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure
