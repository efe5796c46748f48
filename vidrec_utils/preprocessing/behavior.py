"""Impossible timestamps, incomplete rows and bots in a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

from vidrec_utils import arguments
from vidrec_utils.preprocessing.report import file_rows, make_report

TimeStrategy = Literal["drop", "clip", "na"]
PLATFORMS_START = pd.Timestamp("2000-01-01", tz="UTC")
"""No video platform has a log that is older."""

_UNITS = {"nanoseconds": 1, "microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9}

BOT_THRESHOLD = 8.0
"""Robust standard deviations from the median at which a feature becomes a sign of a bot."""
MIN_EXPOSURES = 20
"""Users with fewer exposures are not judged: too few to distinguish a habit from chance."""


def infer_now(interactions: pd.DataFrame) -> pd.Timestamp:
    """Find the end of the log: the last day that is connected with the days before.

    A wrong clock writes a few rows far in the future, so the latest timestamp is unreliable, and
    today's date would make results depend on the day on which they are computed.

    Returns
    -------
    Timestamp
        The latest timestamp before the gap that separates the log from the future: starting at the
        last day with at least a tenth of the usual number of exposures, later days belong to the
        log as long as they follow within a tenth of its length. NaT for a log without timestamps.
    """
    times = interactions["timestamp"].dropna()
    if times.empty:
        return pd.NaT
    day = times.dt.floor("D")
    counts = day.value_counts().sort_index()
    usual = day.map(counts).median()  # of the median exposure, since empty days do not count
    busy = counts.index[counts >= max(1.0, usual / 10)]
    reach = max(pd.Timedelta(days=1), (busy[-1] - busy[0]) / 10)
    later = counts.index[counts.index >= busy[-1]]
    torn = np.flatnonzero(np.diff(later) > reach)
    last = later[torn[0]] if len(torn) else later[-1]
    return times[day == last].max()


def check_timestamps(
    interactions: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    *,
    now: pd.Timestamp | None = None,
    start: pd.Timestamp = PLATFORMS_START,
) -> pd.DataFrame:
    """Find timestamps that cannot be true.

    Parameters
    ----------
    interactions : DataFrame
        With `timestamp` (UTC) and `video_id`.
    videos : DataFrame, optional
        With `published_at`, to find videos watched before their publication.
    now : Timestamp, optional
        Later timestamps lie in the future; default `infer_now(interactions)`. A time without a
        zone is taken as UTC.
    start : Timestamp
        Earlier timestamps lie before the platform existed.

    Returns
    -------
    DataFrame
        One row per impossible timestamp, with the index of `interactions`: `problem` (one of
        `"timestamp in a wrong unit"`, `"timestamp before the platform"`, `"timestamp in the
        future"`, `"watched before it was published"`) and `remedy`, the timestamp that it probably
        was (wrong unit) or the nearest possible one; NaT if none is known.
    """
    times = interactions["timestamp"]
    now = infer_now(interactions) if now is None else _utc(now)
    start = _utc(start)
    published = _published(interactions, videos)
    unit = _in_other_unit(times, start, now)
    future, early = (times > now).to_numpy(), (times < start).to_numpy()
    before = (times < published).to_numpy()
    problem = np.select(
        [unit.notna().to_numpy(), early, future, before],
        [
            "timestamp in a wrong unit",
            "timestamp before the platform",
            "timestamp in the future",
            "watched before it was published",
        ],
        default="",
    )
    nearest = published.where(before | early).mask(future, now)
    impossible = problem != ""
    return pd.DataFrame(
        {"problem": problem, "remedy": unit.where(unit.notna(), nearest)}, index=interactions.index
    ).loc[impossible]


def fix_timestamps(
    interactions: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    *,
    now: pd.Timestamp | None = None,
    start: pd.Timestamp = PLATFORMS_START,
    strategy: TimeStrategy = "drop",
    repair_units: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repair or drop timestamps that cannot be true; see `check_timestamps`.

    Parameters
    ----------
    interactions, videos, now, start
        See `check_timestamps`. Not changed.
    strategy : {"drop", "clip", "na"}
        Drop the row, move the timestamp to the nearest possible time (missing where none is
        known), or set it to missing.
    repair_units : bool
        Whatever the strategy, a timestamp that makes sense in another unit is converted.

    Returns
    -------
    cleaned, report : DataFrame
        The log and one report row per impossible timestamp.

    Raises
    ------
    ValueError
        If the strategy is unknown.

    Examples
    --------
    >>> times = pd.to_datetime(["2025-03-01", "1970-01-01", "2025-03-02"], utc=True)
    >>> log = pd.DataFrame({"user_id": "anna", "video_id": list("abc"), "timestamp": times})
    >>> cleaned, report = fix_timestamps(log)
    >>> cleaned["video_id"].tolist(), report["problem"].tolist()
    (['a', 'c'], ['timestamp before the platform'])
    """
    arguments.one_of(("drop", "clip", "na"), strategy=strategy)
    # By position: logs that were put together with pd.concat repeat their index.
    log = interactions.reset_index(drop=True)
    impossible = check_timestamps(log, videos, now=now, start=start)
    at = impossible.index.to_numpy()
    before = log.loc[at, "timestamp"]
    after = pd.Series(pd.NaT, index=impossible.index, dtype=before.dtype)
    wrong_unit = (impossible["problem"] == "timestamp in a wrong unit").to_numpy() & repair_units
    keep_remedy = wrong_unit | (strategy == "clip")
    after = after.where(~keep_remedy, impossible["remedy"].astype(before.dtype))
    words = {"drop": "row dropped", "clip": "moved to the nearest", "na": "set to missing"}
    action = np.where(wrong_unit, "unit repaired", words[strategy])
    report = make_report(
        "interactions",
        file_rows(interactions)[at],
        log.loc[at, "user_id"],
        "timestamp",
        impossible["problem"],
        action,
        before,
        after,
    )
    log.loc[at, "timestamp"] = after
    cleaned = log.set_axis(interactions.index)
    if strategy == "drop":
        cleaned = cleaned.iloc[np.delete(np.arange(len(log)), at[~wrong_unit])]
    return cleaned, report


def _utc(timestamp: pd.Timestamp) -> pd.Timestamp:
    timestamp = pd.Timestamp(timestamp)
    return timestamp.tz_localize("UTC") if timestamp.tzinfo is None else timestamp.tz_convert("UTC")


def _published(interactions: pd.DataFrame, videos: pd.DataFrame | None) -> pd.Series:
    """Return the publication time of each row's video; NaT where it is unknown."""
    if videos is None or "published_at" not in videos:
        return pd.Series(pd.NaT, index=interactions.index, dtype=interactions["timestamp"].dtype)
    published = interactions["video_id"].map(videos["published_at"])
    return published.astype(interactions["timestamp"].dtype)


def _in_other_unit(times: pd.Series, start: pd.Timestamp, now: pd.Timestamp) -> pd.Series:
    """Convert timestamps out of range by the unit that brings them into range, else to NaT."""
    nanoseconds = times.dt.as_unit("ns") if _fits_ns(times) else times
    if nanoseconds is times or pd.isna(now):
        return pd.Series(pd.NaT, index=times.index, dtype=times.dtype)
    count = nanoseconds.dt.tz_localize(None).astype("int64").astype(float).where(times.notna())
    low, high = start.value, now.value
    outside = (count < low) | (count > high)
    fixed = pd.Series(np.nan, index=times.index)
    factors = sorted({a / b for a in _UNITS.values() for b in _UNITS.values()} - {1.0})
    for factor in factors:
        scaled = count * factor
        fits = outside & fixed.isna() & (count != 0) & (scaled >= low) & (scaled <= high)
        fixed = fixed.where(~fits, scaled)
    return pd.to_datetime(fixed, utc=True, unit="ns").astype(times.dtype)


def _fits_ns(times: pd.Series) -> bool:
    """Whether all times lie in the years 1678 to 2261, which nanoseconds can count."""
    years = times.dropna().dt.year
    return bool(years.between(1678, 2261).all())


def user_features(interactions: pd.DataFrame) -> pd.DataFrame:
    """Describe how regularly, how much and how each user watches.

    Parameters
    ----------
    interactions : DataFrame
        With `user_id`, `timestamp`, `watch_ratio`, `video_id`.

    Returns
    -------
    DataFrame
        Indexed by `user_id`, one row each:

        - `exposures`: rows in the log;
        - `per_active_day`: exposures per day on which the user was active;
        - `interval_cv`: standard deviation of the time between two exposures of one sitting (gaps
          of up to half an hour), divided by its mean: people are irregular (about 1), timers are
          not (about 0);
        - `hours_share`: share of the 24 hours of the day in which the user was ever seen;
        - `watch_spread`: difference between the 90th and 10th percentile of the watch ratio;
        - `longest_sitting`: exposures in the longest sitting;
        - `repeats`: exposures per different video.

    Examples
    --------
    >>> times = pd.date_range("2025-03-01", periods=4, freq="min", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": list("abab"), "timestamp": times})
    >>> features = user_features(log.assign(watch_ratio=1.0)).loc["ann"]
    >>> features[["exposures", "interval_cv", "watch_spread", "repeats"]].tolist()
    [4.0, 0.0, 0.0, 2.0]
    """
    frame = interactions[["user_id", "video_id", "timestamp", "watch_ratio"]]
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable")
    gap = frame.groupby("user_id")["timestamp"].diff().dt.total_seconds()
    sitting = (~(gap <= 1800)).cumsum()  # a first row has no gap and opens a sitting
    day = frame["timestamp"].dt.floor("D")
    groups = frame.groupby("user_id")
    inside = gap.where(gap <= 1800).groupby(frame["user_id"])
    size = groups.size()
    ratio = groups["watch_ratio"]
    return pd.DataFrame(
        {
            "exposures": size,
            "per_active_day": size / day.groupby(frame["user_id"]).nunique().clip(lower=1),
            "interval_cv": inside.std() / inside.mean().where(lambda mean: mean > 0),
            "hours_share": frame["timestamp"].dt.hour.groupby(frame["user_id"]).nunique() / 24,
            "watch_spread": ratio.quantile(0.9) - ratio.quantile(0.1),
            "longest_sitting": frame.groupby(["user_id", sitting.rename("sitting")])
            .size()
            .groupby("user_id")
            .max(),
            "repeats": size / groups["video_id"].nunique().clip(lower=1),
        }
    )


SUSPICIOUS: dict[str, tuple[int, str]] = {
    "per_active_day": (1, "{value:.0f} exposures per active day (usual {median:.0f})"),
    "interval_cv": (-1, "intervals vary by {value:.2f} of their mean (usual {median:.2f})"),
    "watch_spread": (-1, "watch ratios spread over {value:.2f} (usual {median:.2f})"),
    "longest_sitting": (1, "{value:.0f} exposures in one sitting (usual {median:.0f})"),
    "repeats": (1, "{value:.1f} exposures per video (usual {median:.1f})"),
}
"""The suspicious side of each feature (1: high, -1: low), and the text of the reason."""


def robust_z(values: pd.Series) -> pd.Series:
    """Measure how far values lie from the median, in robust standard deviations.

    A robust standard deviation is 1.4826 times the median absolute deviation: that of a normal
    distribution, and a number that outliers cannot inflate. Where more than half of all values are
    equal, 1.2533 times the mean absolute deviation takes its place (Iglewicz and Hoaglin, How to
    Detect and Handle Outliers, 1993).

    Parameters
    ----------
    values : Series of float
        NaN is passed over.

    Returns
    -------
    Series of float
        Distances without unit, with the same index; 0 everywhere if all values are equal.

    Examples
    --------
    >>> robust_z(pd.Series([1.0, 2.0, 3.0, 4.0, 100.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 65.4]
    """
    apart = values - values.median()
    scale = 1.4826 * apart.abs().median()
    if not scale > 0:
        scale = 1.2533 * apart.abs().mean()
    return apart / scale if scale > 0 else apart * 0.0


def find_bots(
    interactions: pd.DataFrame,
    *,
    method: Literal["rules", "forest"] = "rules",
    threshold: float = BOT_THRESHOLD,
    min_exposures: int = MIN_EXPOSURES,
    seed: int = 0,
) -> pd.DataFrame:
    """Flag users who do not behave like people, with reasons.

    `"rules"` turns each feature of `user_features` into a robust z-score on its suspicious side
    and asks for **two** of four signs (volume, regularity, uniform watching, repetition): a binge
    watcher has volume, and somebody who always watches to the end has no spread, but hardly
    anyone has both.
    `"forest"` scores the same features by how easily random cuts isolate a user (Liu, Ting and
    Zhou, Isolation Forest, ICDM 2008), which needs no thresholds per feature and gives no
    reasons of its own; the most extreme features are named instead.

    Parameters
    ----------
    interactions : DataFrame
        The log.
    method : {"rules", "forest"}
        The decision rule.
    threshold : float
        For `"rules"`: robust standard deviations from which a feature counts as a sign.
    min_exposures : int
        Users with fewer are not judged.
    seed : int
        Seed of the draws of `"forest"`.

    Returns
    -------
    DataFrame
        Indexed by `user_id`: the features, `score` (higher is more suspicious), `flagged`,
        `reason` (empty for people).

    Raises
    ------
    ValueError
        If the method is unknown.

    Examples
    --------
    Nineteen people watch 30 videos each at irregular times; a bot watches 300, one a minute:

    >>> rng = np.random.default_rng(0)
    >>> start = pd.Timestamp("2025-03-01", tz="UTC")
    >>> def visits(user, seconds, ratios):
    ...     times = start + pd.to_timedelta(np.cumsum(seconds), unit="s")
    ...     videos = [f"v{k}" for k in range(len(times))]
    ...     columns = {"video_id": videos, "timestamp": times, "watch_ratio": ratios}
    ...     return pd.DataFrame({"user_id": user, **columns})
    >>> people = [visits(f"u{k}", rng.exponential(900, 30), rng.random(30)) for k in range(19)]
    >>> log = pd.concat([*people, visits("bot", np.full(300, 60), np.full(300, 1.0))])
    >>> bots = find_bots(log)
    >>> bots.index[bots["flagged"]].tolist()
    ['bot']
    """
    arguments.one_of(("rules", "forest"), method=method)
    features = user_features(interactions)
    judged = features[features["exposures"] >= min_exposures]
    signs = pd.DataFrame({name: _sign(judged[name], way) for name, (way, _) in SUSPICIOUS.items()})
    signs = signs.reindex(features.index, fill_value=0.0).fillna(0.0)
    if method == "rules":
        score = _second_sign(signs)
        flagged = score >= threshold
    else:
        score, flagged = _forest(features, judged, seed)
    medians = judged.median(numeric_only=True)
    limit = threshold if method == "rules" else 2.0
    reason = [
        _reason(features.loc[user], signs.loc[user], medians, limit) if bad else ""
        for user, bad in zip(features.index, flagged, strict=True)
    ]
    return features.assign(score=score, flagged=flagged, reason=pd.array(reason, dtype="str"))


def _second_sign(signs: pd.DataFrame) -> np.ndarray:
    """The second strongest sign; the two measures of volume count once, as a binge has both."""
    volume = signs[["per_active_day", "longest_sitting"]].max(axis=1)
    others = signs.drop(columns=["per_active_day", "longest_sitting"])
    return np.sort(others.assign(volume=volume).to_numpy(), axis=1)[:, -2]


def _sign(values: pd.Series, way: int) -> pd.Series:
    """How far a feature lies on its suspicious side; ratios and counts on a logarithmic scale."""
    return way * robust_z(np.log(values.clip(lower=0) + 0.01))


def _forest(
    features: pd.DataFrame, judged: pd.DataFrame, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    score, flagged = np.zeros(len(features)), np.zeros(len(features), dtype=bool)
    if len(judged) < 2:
        return score, flagged
    table = np.log(judged[list(SUSPICIOUS)].fillna(judged.median(numeric_only=True)) + 0.01)
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(table.to_numpy())
    where = features.index.get_indexer(judged.index)
    score[where] = -forest.score_samples(table.to_numpy())
    # Scores near one half are ordinary; 0.6 is the authors' mark for "possible anomaly".
    flagged[where] = score[where] > 0.6
    return score, flagged


def _reason(values: pd.Series, signs: pd.Series, medians: pd.Series, limit: float) -> str:
    strong = signs[signs >= limit].sort_values(ascending=False).index
    chosen = strong if len(strong) else signs.sort_values(ascending=False).index[:2]
    return "; ".join(
        SUSPICIOUS[name][1].format(value=values[name], median=medians[name]) for name in chosen
    )


def drop_bots(
    interactions: pd.DataFrame, bots: pd.DataFrame | None = None, **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop the exposures of users who do not behave like people.

    Parameters
    ----------
    interactions : DataFrame
        Not changed.
    bots : DataFrame, optional
        The result of `find_bots`; computed here with `options` by default.

    Returns
    -------
    cleaned, report : DataFrame
        The log without their rows; one report row per user with the reason, and one per exposure.
    """
    bots = find_bots(interactions, **options) if bots is None else bots
    flagged = bots[bots["flagged"]]
    gone = interactions["user_id"].isin(flagged.index).to_numpy()
    rows = interactions.loc[gone]
    users = make_report(
        "users",
        rows.groupby("user_id").apply(lambda part: file_rows(part)[0]).reindex(flagged.index)
        if len(rows)
        else [],
        flagged.index,
        "",
        "behaves like a bot",
        "exposures removed",
        flagged["reason"],
    )
    exposures = make_report(
        "interactions",
        file_rows(interactions, gone),
        rows["user_id"],
        "user_id",
        "exposure of a bot",
        "removed",
    )
    return interactions.loc[~gone], pd.concat([users, exposures], ignore_index=True)


def drop_incomplete(
    interactions: pd.DataFrame, columns: Sequence[str] = ("user_id", "video_id", "timestamp")
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop rows of the log that lack a value that cannot be filled.

    Parameters
    ----------
    interactions : DataFrame
        Not changed.
    columns : sequence of str
        Columns that every row must have; a column without any value is ignored.

    Returns
    -------
    cleaned, report : DataFrame
        The complete rows, and one report row for each dropped one.
    """
    needed = [name for name in columns if interactions[name].notna().any()]
    lacking = interactions[needed].isna()
    gone = lacking.any(axis=1).to_numpy()
    first = lacking.loc[gone].idxmax(axis=1) if gone.any() else pd.Series(dtype="str")
    report = make_report(
        "interactions",
        file_rows(interactions, gone),
        interactions.loc[gone, "user_id"].fillna(""),
        "",
        [f"{column} missing" for column in first],
        "row dropped",
    )
    report["column"] = first.to_numpy() if gone.any() else report["column"]
    return interactions.loc[~gone], report
