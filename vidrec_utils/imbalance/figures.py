"""Figures of the notebook on imbalance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vidrec_utils.imbalance.loop_trials import COLUMNS
from vidrec_utils.imbalance.off_policy_trials import clipping_curve
from vidrec_utils.plots import PALETTE, safe_text

MEASURES = {"macro_f1": "macro F1", "rare_recall": "recall of the rarest"}
"""Measures of `remedy_table` that `plot_gains` draws, with their names."""
MARKERS = "os^Dv*"


def plot_gains(tables: Mapping[str, pd.DataFrame], than: str = "plain") -> Figure:
    """Draw what each remedy gains against another one, with intervals.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        See `remedy_table`; one pair of panels for each, with the remedies of the first.
    than : str
        The remedy that the others were compared with.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes a table: macro F1, and recall of the rarest classes.

    Examples
    --------
    >>> table = pd.DataFrame(0.0, ["plain", "focal loss"], [
    ...     f"{m}_minus{end}" for m in MEASURES for end in ("", "_low", "_high")])
    >>> [axes.get_title() for axes in plot_gains({"motions": table}).axes]
    ['motions', 'motions']
    """
    remedies = [name for name in next(iter(tables.values())).index if name != than]
    figure = Figure(figsize=(2.2 + 2.3 * 2 * len(tables), 1.2 + 0.26 * len(remedies)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, 2 * len(tables), sharey=True)
    pairs = [(name, measure) for name in tables for measure in MEASURES]
    for panel, (name, measure) in zip(panels, pairs, strict=True):
        table = tables[name].reindex(remedies)
        gain = table[f"{measure}_minus"]
        ends = [gain - table[f"{measure}_minus_low"], table[f"{measure}_minus_high"] - gain]
        clear = (table[f"{measure}_minus_low"] > 0) | (table[f"{measure}_minus_high"] < 0)
        heights = np.arange(len(remedies))
        panel.errorbar(
            gain, heights, xerr=np.clip(ends, 0, None), fmt="none", color="grey", capsize=3
        )
        for kind, face in ((clear, PALETTE[3]), (~clear, "white")):  # hollow: cannot tell
            panel.plot(gain[kind], heights[kind], "o", mfc=face, mec=PALETTE[3])
        panel.axvline(0, color="black", linestyle="--", linewidth=1)
        panel.set(title=safe_text(name), xlabel=f"{MEASURES[measure]}, minus {than}")
        panel.title.set_fontsize(9)
        panel.xaxis.label.set_fontsize(8)
        panel.xaxis.set_major_locator(MaxNLocator(3))
    panels[0].set_yticks(heights, remedies)
    panels[0].invert_yaxis()
    return figure


def plot_resampled(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Sequence[str]
) -> Figure:
    """Draw training sets in the plane of the first one's two principal components.

    Parameters
    ----------
    sets : mapping of str to (ndarray, ndarray)
        Vectors `(n, dim)` and class numbers, up to six classes.
    names : sequence of str
        Names of all classes, by number.

    Returns
    -------
    matplotlib.figure.Figure
        One axes a set.

    Examples
    --------
    >>> figure = plot_resampled({"as drawn": (np.eye(3), np.array([0, 0, 1]))}, ["a", "b"])
    >>> figure.axes[0].get_title()
    'as drawn: 3 rows'
    """
    first = next(iter(sets.values()))[0]
    centre = first.mean(axis=0)
    _, _, components = np.linalg.svd(first - centre, full_matrices=False)
    figure = Figure(figsize=(2.4 * len(sets), 2.8), layout="constrained")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (title, (rows, classes)) in zip(panels, sets.items(), strict=True):
        flat = (rows - centre) @ components[:2].T  # (rows, 2)
        numbers = np.asarray(classes).astype(int)
        for label, mark, colour in zip(np.unique(numbers), MARKERS, PALETTE, strict=False):
            own = flat[numbers == label]
            panel.plot(*own.T, mark, alpha=0.35, color=colour, label=safe_text(names[label]))
        panel.set(title=f"{title}: {len(rows)} rows", xticks=[], yticks=[])
        panel.title.set_fontsize(9)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def plot_weights(slots: pd.DataFrame, lines: Sequence[float] = (0.01, 1, 100)) -> Figure:
    """Draw each session by the two probabilities of its choice, with lines of equal weight.

    Parameters
    ----------
    slots : DataFrame
        `target, logged, reward`; see `off_policy_trials.LoggedTrial.first_slots`.
    lines : sequence of float
        Weights of the lines.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Examples
    --------
    >>> slots = pd.DataFrame({"target": [0.1, 0.2], "logged": [0.2, 0.1], "reward": [0.0, 1.0]})
    >>> plot_weights(slots).axes[0].get_xlabel()
    'probability in the log'
    """
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.add_subplot()
    for hit, colour, mark in ((0, PALETTE[5], "."), (1, PALETTE[3], "x")):
        own = slots[slots["reward"] == hit]
        style = {"markersize": 3, "alpha": 0.5, "color": colour, "label": f"reward {hit}"}
        axes.plot(own["logged"], own["target"], mark, **style)
    ends = np.array([slots["logged"].min(), 1.0])
    low, high = slots["target"].min(), slots["target"].max()
    for weight in lines:
        inside = weight * ends
        axes.plot(ends, inside, color="black", linewidth=1)
        height = float(np.clip(inside[1], low, high))  # where the line leaves the picture
        axes.annotate(f"weight {weight:g}", (height / weight, height), fontsize=8, ha="right")
    axes.set(xscale="log", yscale="log", ylim=(low, 1.5 * high))
    axes.set(xlabel="probability in the log", ylabel="probability under the new policy")
    axes.legend(loc="lower left", markerscale=2)
    return figure


def plot_clipping(record: pd.DataFrame, policies: Sequence[str]) -> Figure:
    """Draw bias, spread and error of clipped weighting by the limit of the weights.

    Parameters
    ----------
    record : DataFrame
        See `off_policy_trials.recorded`.
    policies : sequence of str
        One panel for each.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from vidrec_utils.imbalance import off_policy_trials
    >>> figure = plot_clipping(off_policy_trials.recorded(), ["any video"])
    >>> figure.axes[0].get_title()
    'any video'
    """
    figure = Figure(figsize=(1 + 3.8 * len(policies), 3.4), layout="constrained")
    panels = figure.subplots(1, len(policies), sharey=True, squeeze=False)[0]
    for panel, policy in zip(panels, policies, strict=True):
        curve = clipping_curve(record, policy)
        limits = np.array([*curve.index[:-1], 2 * curve.index[-2]])  # the last has no limit
        panel.plot(limits, abs(curve["bias"]), "o-", label="size of the bias")
        panel.plot(limits, curve["spread"], "s--", label="spread over the logs")
        panel.plot(limits, curve["rmse"], "^-", color="black", label="both: root mean square")
        panel.set(xscale="log", title=policy, xlabel="limit of the weights (last point: none)")
    panels[0].set_ylabel("error, as a share of successes")
    panels[-1].legend(fontsize=8)
    return figure


def plot_errors(record: pd.DataFrame, policy: str, estimates: Sequence[str]) -> Figure:
    """Draw the error of each estimate on each log, with its mean.

    Parameters
    ----------
    record : DataFrame
        See `off_policy_trials.recorded`.
    policy : str
        The policy that is estimated.
    estimates : sequence of str
        From top to bottom.

    Returns
    -------
    matplotlib.figure.Figure
        One axes.

    Examples
    --------
    >>> from vidrec_utils.imbalance import off_policy_trials
    >>> figure = plot_errors(off_policy_trials.recorded(), "EASE, soft", ["naive", "IPS"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['naive', 'IPS']
    """
    own = record[record["policy"] == policy]
    figure = Figure(figsize=(7, 1 + 0.35 * len(estimates)), layout="constrained")
    axes = figure.add_subplot(xlabel="estimate minus truth, as a share of successes")
    for height, name in enumerate(estimates):
        errors = own.loc[own["estimate"] == name, "error"]
        axes.plot(errors, np.full(len(errors), height), "o", alpha=0.5, color=PALETTE[0])
        axes.plot(errors.mean(), height, "|", markersize=18, color="black")
    axes.axvline(0, color="grey", linestyle="--")
    axes.set_yticks(range(len(estimates)), estimates)
    axes.invert_yaxis()
    return figure


def plot_days(record: pd.DataFrame, policies: Sequence[str]) -> Figure:
    """Draw what becomes of a platform, day by day, as means over the seeds.

    Parameters
    ----------
    record : DataFrame
        See `loop_trials.recorded`.
    policies : sequence of str
        Up to eight.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each of `loop_trials.COLUMNS`.

    Examples
    --------
    >>> from vidrec_utils.imbalance import loop_trials
    >>> figure = plot_days(loop_trials.recorded(), ["EASE"])
    >>> [axes.get_title() for axes in figure.axes]
    ['head', 'coverage', 'newcomers', 'liking']
    """
    means = record.groupby(["policy", "day"])[list(COLUMNS)].mean()
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    panels = figure.subplots(1, len(COLUMNS))
    styles = ("-", "--", "-.", ":")
    for panel, measure in zip(panels, COLUMNS, strict=True):
        for number, policy in enumerate(policies):
            line = means.loc[policy, measure]
            style = {"color": PALETTE[number], "linestyle": styles[number % 4], "label": policy}
            panel.plot(line.index, line, **style)
        panel.set(title=measure, xlabel="day")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(policies), fontsize=8)
    return figure
