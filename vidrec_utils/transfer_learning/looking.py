"""Figures of runs and of curves; `plots.show` puts them under a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from vidrec_utils.evaluation import reliability
from vidrec_utils.plots import PALETTE

MARKERS = "os^Dv*"


def plot_history(histories: Mapping[str, pd.DataFrame], score: str = "accuracy") -> Figure:
    """Draw loss and score of each epoch.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        By name; see `FineTuned.history`. Lines are training, dashes validation.
    score : str
        What the score is called.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not histories:
        raise ValueError("There is no history to draw.")
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (name, frame) in enumerate(histories.items()):
        style = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % 6], "ms": 4}
        left.plot(frame.index, frame["train_loss"], label=name, **style)
        if frame["valid_loss"].notna().any():
            left.plot(frame.index, frame["valid_loss"], linestyle="--", **style)
            right.plot(frame.index, frame["valid_score"], linestyle="--", label=name, **style)
    left.set_xlabel("epoch")
    left.set_ylabel("loss (dashed: validation)")
    right.set_xlabel("epoch")
    right.set_ylabel(f"{score} on validation")
    left.legend()
    return figure


def plot_budget(
    table: pd.DataFrame, chance: float | None = None, everything: str = "all"
) -> Figure:
    """Draw accuracy against labels per class: the mean over seeds, and their range.

    Parameters
    ----------
    table : DataFrame
        See `label_budget`; `per_class` 0 means all.
    chance : float, optional
        Drawn as a line.
    everything : str
        What the place of all labels is called.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.
    """
    budgets = sorted(table["per_class"].unique(), key=lambda k: k or np.inf)
    places = {budget: place for place, budget in enumerate(budgets)}
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, (way, part) in enumerate(table.groupby("way", sort=False)):
        told = part.groupby("per_class")["accuracy"].agg(["mean", "min", "max"])
        told = told.loc[[budget for budget in budgets if budget in told.index]]
        x = np.array([places[budget] for budget in told.index]) + 0.06 * (number - 1.5)
        ends = [told["mean"] - told["min"], told["max"] - told["mean"]]
        axes.errorbar(
            x, told["mean"], yerr=np.array(ends), color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % 6], capsize=3, label=way,
        )  # fmt: skip
    if chance is not None:
        axes.axhline(chance, color="black", linestyle=":", label="chance")
    axes.set_xticks(range(len(budgets)), [str(budget or everything) for budget in budgets])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labelled clips per class")
    axes.set_ylabel("right on unseen subjects")
    figure.legend(loc="outside right upper")
    return figure


def plot_gains(table: pd.DataFrame) -> Figure:
    """Draw gains with their intervals, a row for each way to fine-tune, a mark for each use.

    Parameters
    ----------
    table : DataFrame
        `mean, low, high`, as `over_worlds` gives it; a row's name is `"way, use"`, divided at its
        last comma.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if table.empty:
        raise ValueError("There is no gain to draw.")
    names = pd.DataFrame(
        [name.rsplit(", ", 1) for name in table.index], table.index, ["way", "use"]
    )
    ways, uses = names["way"].unique(), names["use"].unique()
    figure = Figure(figsize=(7.0, 0.8 + 0.45 * len(ways)), layout="constrained")
    axes = figure.add_subplot()
    for number, use in enumerate(uses):
        part = table[names["use"] == use]
        y = pd.Index(ways).get_indexer(names["way"][names["use"] == use]) + 0.3 * (
            number - (len(uses) - 1) / 2
        )
        ends = np.array([part["mean"] - part["low"], part["high"] - part["mean"]])
        axes.errorbar(
            part["mean"], y, xerr=ends, linestyle="", capsize=3, label=use,
            color=PALETTE[number % len(PALETTE)], marker=MARKERS[number % 6],
        )  # fmt: skip
    axes.axvline(0, color="black", linestyle=":", label="no gain")
    axes.set_yticks(range(len(ways)), list(ways))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.invert_yaxis()
    axes.set_xlabel("gain in NDCG@10")
    figure.legend(loc="outside right upper")
    return figure


def plot_reliability(
    truth: Sequence, probabilities: Mapping[str, pd.DataFrame], bins: int = 5
) -> Figure:
    """Draw stated confidence against what was right, bin by bin.

    Parameters
    ----------
    truth : sequence, n
        Classes.
    probabilities : mapping of str to DataFrame
        By name, a row an item and a column a class; see `FineTuned.probabilities`. The area of a
        marker is the number of answers.
    bins : int
        Of confidence; see `evaluation.reliability`.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.
    """
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", label="as sure as right")
    for place, (name, said) in enumerate(probabilities.items()):
        right = said.idxmax(axis=1).to_numpy() == np.asarray(truth)
        table = reliability(right, said.max(axis=1), bins)
        color, marker = PALETTE[place % len(PALETTE)], MARKERS[place % 6]
        axes.plot(table["confidence"], table["accuracy"], color=color, alpha=0.6)
        size = 12 + 160 * table["n"] / table["n"].sum()
        axes.scatter(table["confidence"], table["accuracy"], size, color=color, marker=marker,
                     label=name)  # fmt: skip
    axes.set_xlabel("stated confidence")
    axes.set_ylabel("share that was right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    figure.legend(loc="outside right upper")
    return figure
