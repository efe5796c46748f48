"""Figures of runs, curves and gains; `plots.show` displays them below a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from vidrec_utils.evaluation import BINS, reliability
from vidrec_utils.plots import PALETTE
from vidrec_utils.transfer_learning.trials import spread

MARKERS = "os^Dv*"


def plot_history(histories: Mapping[str, pd.DataFrame], score: str = "accuracy") -> Figure:
    """Draw loss and score of each epoch.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        Histories by name; see `FineTuned.history`. Solid lines are training, dashed ones
        validation. A ring marks the epoch whose weights are kept: the first with the lowest
        validation loss, which need not be the one with the best score.
    score : str
        Name of the score.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> columns = {"train_loss": [2.0, 1.0], "valid_loss": [2.1, 1.6], "valid_score": [0.2, 0.5]}
    >>> figure = plot_history({"full": pd.DataFrame(columns, index=[1, 2])})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss (dashed: validation)', 'accuracy on validation']
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['full', 'kept: lowest validation loss']
    """
    if not histories:
        raise ValueError("There is no history to draw.")
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    ring = {"marker": "o", "ms": 11, "mfc": "none", "mec": "black", "linestyle": ""}
    ring |= {"label": "kept: lowest validation loss"}
    for number, (name, frame) in enumerate(histories.items()):
        style = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % 6], "ms": 4}
        left.plot(frame.index, frame["train_loss"], label=name, **style)
        if frame["valid_loss"].notna().any():
            left.plot(frame.index, frame["valid_loss"], linestyle="--", **style)
            right.plot(frame.index, frame["valid_score"], linestyle="--", label=name, **style)
            kept = frame["valid_loss"].idxmin()  # the first of equals, as in training
            for axes, column in ((left, "valid_loss"), (right, "valid_score")):
                axes.plot(kept, frame.loc[kept, column], **ring)
            ring = ring | {"label": "_"}  # once in the legend
    left.set(xlabel="epoch", ylabel="loss (dashed: validation)")
    right.set(xlabel="epoch", ylabel=f"{score} on validation")
    left.legend()
    return figure


def plot_budget(
    table: pd.DataFrame, chance: float | None = None, everything: str = "all"
) -> Figure:
    """Draw accuracy against labels per class, with intervals over groups (see `spread`).

    Parameters
    ----------
    table : DataFrame
        See `label_budget`; one target; `per_class` 0 means all.
    chance : float, optional
        Accuracy of guessing, drawn as a line.
    everything : str
        Label of the position at which all labels are used.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Examples
    --------
    >>> rows = [("probe", 1, "01"), ("probe", 0, "11"), ("full", 1, "00"), ("full", 0, "11")]
    >>> table = pd.DataFrame(rows, columns=["way", "per_class", "hits"])
    >>> table = table.assign(seed=0, target="motion", group=[[0, 1]] * 4)
    >>> axes = plot_budget(table, chance=0.1).axes[0]
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['1', 'all']
    """
    budgets = sorted(table["per_class"].unique(), key=lambda k: k or np.inf)
    positions = {budget: position for position, budget in enumerate(budgets)}
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    ways = table["way"].nunique()
    for number, (way, runs) in enumerate(table.groupby("way", sort=False)):
        mine = [budget for budget in budgets if budget in set(runs["per_class"])]
        target = runs["target"].iloc[0]
        rows = pd.concat([spread(runs, target, budget) for budget in mine])  # (budgets, 3)
        x = np.array([positions[budget] for budget in mine]) + 0.06 * (number - (ways - 1) / 2)
        ends = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        axes.errorbar(
            x, rows["mean"], yerr=np.array(ends), color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % 6], capsize=3, label=way,
        )  # fmt: skip
    if chance is not None:
        axes.axhline(chance, color="black", linestyle=":", label="chance")
    axes.set_xticks(range(len(budgets)), [str(budget or everything) for budget in budgets])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="labelled clips per class", ylabel="accuracy on unseen subjects")
    figure.legend(loc="outside right upper")
    return figure


def plot_gains(table: pd.DataFrame) -> Figure:
    """Draw gains with their intervals, one row for each way to fine-tune, one mark for each use.

    Parameters
    ----------
    table : DataFrame
        `mean, low, high`, as `over_worlds` returns it; a row's name is `"way, use"`, divided at its
        last comma.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = {"motion, full, both": [0.02, 0.01, 0.03], "motion, full, tuned": [0.0, -0.01, 0.01]}
    >>> figure = plot_gains(pd.DataFrame(rows, ["mean", "low", "high"]).T)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['motion, full']
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
        gains = table[names["use"] == use]
        y = pd.Index(ways).get_indexer(names["way"][names["use"] == use]) + 0.3 * (
            number - (len(uses) - 1) / 2
        )
        ends = np.array([gains["mean"] - gains["low"], gains["high"] - gains["mean"]])
        axes.errorbar(
            gains["mean"], y, xerr=ends, linestyle="", capsize=3, label=use,
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
    truth: Sequence, probabilities: Mapping[str, pd.DataFrame], bins: int = BINS
) -> Figure:
    """Draw stated confidence against accuracy, bin by bin.

    Parameters
    ----------
    truth : sequence, n
        True class of each item.
    probabilities : mapping of str to DataFrame
        Probabilities by name, one row for each item and one column for each class; see
        `FineTuned.probabilities`. The area of a marker is the number of predictions.
    bins : int
        Number of bins of confidence, by default as many as `evaluation.probability_scores` counts
        with; see `evaluation.reliability`.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Examples
    --------
    >>> probabilities = pd.DataFrame({"a": [0.9, 0.8, 0.2], "b": [0.1, 0.2, 0.8]})
    >>> figure = plot_reliability(["a", "b", "b"], {"before": probabilities})
    >>> print(figure.axes[0].get_xlabel())
    stated confidence, in 10 bins
    (area: number of predictions)
    """
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", label="perfectly calibrated")
    for number, (name, stated) in enumerate(probabilities.items()):
        right = stated.idxmax(axis=1).to_numpy() == np.asarray(truth)
        table = reliability(right, stated.max(axis=1), bins)
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % 6]
        axes.plot(table["confidence"], table["accuracy"], color=color, alpha=0.6)
        size = 12 + 160 * table["n"] / table["n"].sum()
        axes.scatter(table["confidence"], table["accuracy"], size, color=color, marker=marker,
                     label=name)  # fmt: skip
    axes.set(
        xlabel=f"stated confidence, in {bins} bins\n(area: number of predictions)",
        ylabel="accuracy",
        xlim=(0, 1.02),
        ylim=(-0.06, 1.06),  # so that no marker is cut
    )
    figure.legend(loc="outside right upper")
    return figure
