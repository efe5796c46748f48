"""What duration does to a label: tables by duration and by label, and agreement with known liking.

A label is judged three ways: by how well duration alone predicts it, which it should not; by how
well its watch time predicts likes, which are clear, rare, and follow duration themselves; and,
where a simulated world tells how much somebody liked a video, by how well it agrees with that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from vidrec_utils.events import (
    LABELS,
    DurationGroups,
    Label,
    LabelRule,
    as_ids,
    exposure_durations,
    fit_label,
    shorter_first,
)
from vidrec_utils.events.durations import LEAST_EXPOSURES
from vidrec_utils.intervals import mean_intervals


def label_table(
    exposures: pd.DataFrame,
    videos: pd.DataFrame,
    labels: Sequence[Label] = LABELS,
    columns: Sequence[str] = (),
    short_s: float | None = None,
    long_s: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare labels by how well duration alone predicts them, on all exposures of known duration.

    Every rule is fitted to the exposures that it is applied to: this describes a log, it judges
    nobody.

    Parameters
    ----------
    exposures : DataFrame
        One row per exposure; those without a known duration are left out.
    videos : DataFrame
        The catalogue, with `duration_s`.
    labels : sequence of str or LabelRule
        See `events.fit_label`.
    columns : sequence of str
        Columns of the log that are labels themselves, such as `"liked"`.
    short_s, long_s : float, optional
        Durations that count as short below, and as long above; by default the 10% and 90% quantiles
        of the exposures' durations.
    seed : int
        Seed of the bootstrap, which resamples videos.

    Returns
    -------
    DataFrame
        Indexed by `label`: `positive` (share of the exposures), `shorter_first, low, high` (AUC of
        "the shorter video first", with its 95% interval), `short, long` (share of positives among
        short and long videos), and `likes`, the AUC with which the watch time that the label
        compares, a video being watched once at most, predicts a like: NaN without likes, and for
        columns.

    Examples
    --------
    Everybody watches for about five seconds:

    >>> rng = np.random.default_rng(0)
    >>> ids = [f"v{i}" for i in range(40)]
    >>> videos = pd.DataFrame({"duration_s": np.linspace(5, 50, 40)}, index=ids)
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": rng.choice(ids, 2000)})
    >>> seconds = 5 * rng.random(2000)
    >>> log["watch_ratio"] = seconds / videos["duration_s"].loc[log["video_id"]].to_numpy()
    >>> table = label_table(log, videos, ["ratio", "quantile"])
    >>> print(table["shorter_first"].round(1).to_string())
    label
    ratio       1.0
    quantile    0.5
    """
    durations = exposure_durations(exposures, videos)
    known = ~np.isnan(durations)
    exposures, durations = exposures[known], durations[known]
    short_s = float(np.quantile(durations, 0.1)) if short_s is None else short_s
    long_s = float(np.quantile(durations, 0.9)) if long_s is None else long_s
    is_short, is_long = durations < short_s, durations > long_s
    ids = as_ids(exposures["video_id"])
    liked = _flags(exposures, "liked")
    once = exposures.assign(watch_ratio=exposures["watch_ratio"].clip(upper=1))
    rows = {}
    for label in [*labels, *columns]:
        if label in columns:
            name, positive = str(label), pd.Series(_flags(exposures, str(label)))
            likes = np.nan
        else:
            rule = fit_label(exposures, videos, label)
            name, positive = rule.label, rule.positives(exposures)
            likes = auc(fit_label(once, videos, name).strength(once).to_numpy(), liked)
        good = positive.astype("boolean").to_numpy(dtype=float, na_value=np.nan)
        rows[name] = [
            np.nanmean(good),
            *shorter_first(durations, positive.array, ids, seed=seed),
            _mean(good[is_short]),
            _mean(good[is_long]),
            likes,
        ]
    names = ["positive", "shorter_first", "low", "high", "short", "long", "likes"]
    return pd.DataFrame.from_dict(rows, "index", columns=names).rename_axis("label")


def duration_table(
    exposures: pd.DataFrame, videos: pd.DataFrame, label: Label = "ratio", groups: int = 10
) -> pd.DataFrame:
    """How long videos of like duration are watched, and how often they succeed.

    Parameters
    ----------
    exposures : DataFrame
        One row per exposure; those without a known duration or watch ratio are left out.
    videos : DataFrame
        The catalogue, with `duration_s`.
    label : str or LabelRule
        See `events.fit_label`.
    groups : int
        Number of groups, each with about equally many exposures.

    Returns
    -------
    DataFrame
        A row for each group, the shortest first: `duration_s` (median), `seconds` and `ratio`
        (means of the watch time, a video being watched once at most), `positive` and `liked`
        (shares; NaN without likes), `exposures`.

    Examples
    --------
    >>> videos = pd.DataFrame({"duration_s": [5.0, 50.0]}, index=["short", "long"])
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": ["short", "long"] * 400})
    >>> log["watch_ratio"] = [0.9, 0.3] * 400
    >>> duration_table(log, videos, groups=2)[["duration_s", "seconds", "ratio"]].round(1)
       duration_s  seconds  ratio
    0         5.0      4.5    0.9
    1        50.0     15.0    0.3
    """
    positive = fit_label(exposures, videos, label).positives(exposures)
    durations = exposure_durations(exposures, videos)
    ratios = pd.to_numeric(exposures["watch_ratio"]).astype("Float64")
    once = np.minimum(ratios.to_numpy(dtype=float, na_value=np.nan), 1)
    known = ~np.isnan(durations) & ~np.isnan(once)
    group = DurationGroups(durations[known], groups, min(LEAST_EXPOSURES, max(1, known.sum())))
    liked = _flags(exposures, "liked").astype(float)
    values = pd.DataFrame(
        {
            "duration_s": durations,
            "seconds": once * durations,
            "ratio": once,
            "positive": positive.astype("Float64").to_numpy(dtype=float, na_value=np.nan),
            "liked": liked if liked.any() else np.nan,
        }
    )[known]
    by_group = values.groupby(group.of(durations[known]))
    table = by_group.mean().assign(duration_s=by_group["duration_s"].median())
    return table.assign(exposures=by_group.size()).reset_index(drop=True)


def liking_aucs(
    exposures: pd.DataFrame,
    videos: pd.DataFrame,
    liking: np.ndarray | pd.Series,
    labels: Sequence[Label] | Mapping[str, Label] = LABELS,
) -> pd.DataFrame:
    """How well labels agree with a liking that a simulated world tells, for each user.

    An AUC also depends on where a label cuts: of two labels with different shares of positives one
    may win for that alone. `same_share` gives a ratio with as many positives as another label.

    Parameters
    ----------
    exposures : DataFrame
        One row per exposure.
    videos : DataFrame
        The catalogue, with `duration_s`.
    liking : array, shape (n,)
        How much the user likes what each exposure shows, in the order of the rows.
    labels : sequence of str or LabelRule, or mapping of these by name
        See `events.fit_label`.

    Returns
    -------
    DataFrame
        Indexed by `user_id`, a column for each label: the chance that of a positive and a negative
        exposure of the user the positive one is liked more. NaN where the user lacks one of the
        two.

    Examples
    --------
    >>> videos = pd.DataFrame({"duration_s": [10.0]}, index=["cat"])
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": "cat", "watch_ratio": [0.1, 0.5, 0.9]})
    >>> liking_aucs(log, videos, np.array([2.0, 1.0, 3.0]), ["ratio"])["ratio"].to_dict()
    {'ann': 1.0}
    """
    users = as_ids(exposures["user_id"])
    values = np.asarray(liking, dtype=float)
    columns = {}
    rules = [fit_label(exposures, videos, label) for label in _labels_of(labels)]
    names = labels if isinstance(labels, Mapping) else [rule.label for rule in rules]
    for name, rule in zip(names, rules, strict=True):
        positive = rule.positives(exposures).astype("boolean")
        judged = positive.notna().to_numpy()
        frame = pd.DataFrame(
            {
                "user_id": users[judged],
                "good": positive.to_numpy(dtype=float, na_value=np.nan)[judged],
                "liking": values[judged],
            }
        )
        frame["rank"] = frame.groupby("user_id")["liking"].rank()
        frame["good_rank"] = frame["rank"] * frame["good"]
        by_user = frame.groupby("user_id")[["good", "good_rank"]].sum()
        n = by_user["good"]
        m = frame.groupby("user_id").size() - n
        # Mann and Whitney: (sum of the positives' ranks - n (n + 1) / 2) / (n m)
        pairs = (n * m).where(n * m > 0)
        columns[name] = (by_user["good_rank"] - n * (n + 1) / 2) / pairs
    return pd.DataFrame(columns)


def same_share(exposures: pd.DataFrame, videos: pd.DataFrame, rule: LabelRule) -> LabelRule:
    """The label `ratio` at the threshold at which it has about as many positives as another rule.

    Parameters
    ----------
    exposures, videos : DataFrame
        What the rule is applied to, and the catalogue.
    rule : LabelRule
        See `events.fit_label`.

    Examples
    --------
    >>> videos = pd.DataFrame({"duration_s": [10.0]}, index=["cat"])
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": "cat"}, index=range(4))
    >>> log["watch_ratio"] = [0.1, 0.2, 0.3, 0.4]
    >>> same_share(log, videos, fit_label(log, videos, "seconds")).threshold
    0.3
    """
    unliked = ~_flags(exposures, "liked")  # likes are positive by both
    ratios = pd.to_numeric(exposures["watch_ratio"][unliked]).dropna().to_numpy(dtype=float)
    watched = rule.positives(exposures)[unliked].fillna(False)
    count = min(int(watched.sum()), len(ratios))
    threshold = float(np.sort(ratios)[-count]) if count else float("inf")
    return fit_label(exposures, videos, "ratio", threshold=threshold)


def agreement_table(
    aucs: pd.DataFrame, against: Sequence[str] = ("ratio", "seconds"), seed: int = 0
) -> pd.DataFrame:
    """Mean agreement of each label, and its paired difference from some labels, over users.

    Parameters
    ----------
    aucs : DataFrame
        See `liking_aucs`.
    against : sequence of str
        Columns of `aucs` that every label is compared with.
    seed : int
        Seed of the bootstrap over users.

    Returns
    -------
    DataFrame
        Indexed by `label`: `auc` (mean over users), `users`, and for each label of `against`
        `minus NAME`, with `low NAME` and `high NAME`, the ends of the 95% interval over the users
        who have both.

    Examples
    --------
    >>> aucs = pd.DataFrame({"ratio": [0.6, 0.7, 0.8], "quantile": [0.7, 0.8, 0.9]})
    >>> print(agreement_table(aucs, ["ratio"])["minus ratio"].round(2).to_dict())
    {'ratio': 0.0, 'quantile': 0.1}
    """
    rows = {}
    for label in aucs:
        row = {"auc": aucs[label].mean(), "users": int(aucs[label].notna().sum())}
        for other in against:
            difference = (aucs[label] - aucs[other]).dropna().to_numpy()
            interval = mean_intervals(difference[:, None], seed=seed)[0]
            names = (f"minus {other}", f"low {other}", f"high {other}")
            row |= dict(zip(names, interval, strict=True))
        rows[label] = row
    return pd.DataFrame.from_dict(rows, "index").rename_axis("label")


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """AUC of scores for a label; NaN scores are left out, and NaN is returned for one class alone.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
    positive : ndarray of bool, shape (n,)

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    known = ~np.isnan(scores)
    ranks, good = rankdata(scores[known]), positive[known]
    n, m = good.sum(), (~good).sum()
    return float((ranks[good].sum() - n * (n + 1) / 2) / (n * m)) if n * m else float("nan")


def _flags(exposures: pd.DataFrame, column: str) -> np.ndarray:
    """A column of yes and no as booleans, NA as no."""
    if column not in exposures:
        return np.zeros(len(exposures), dtype=bool)
    return exposures[column].astype("boolean").fillna(False).to_numpy(dtype=bool)


def _labels_of(labels: Sequence[Label] | Mapping[str, Label]) -> list[Label]:
    return list(labels.values() if isinstance(labels, Mapping) else labels)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else float("nan")
