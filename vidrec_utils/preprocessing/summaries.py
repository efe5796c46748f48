"""Small tables that summarize a library: its classes, and how long people watched."""

from __future__ import annotations

import numpy as np
import pandas as pd


def class_balance(videos: pd.DataFrame, column: str = "category") -> pd.DataFrame:
    """Count the videos of each class, in descending order; missing is a class of its own.

    Parameters
    ----------
    videos : DataFrame
        The table of videos.
    column : str
        The column of classes.

    Returns
    -------
    DataFrame
        Indexed by class: `videos` (count), `share` (of all), `imbalance` (count of the commonest
        class divided by this one's).

    Raises
    ------
    KeyError
        If the table has no such column.

    Examples
    --------
    >>> videos = pd.DataFrame({"category": ["cats", "cats", "cats", "dogs"]})
    >>> class_balance(videos).loc["dogs"].tolist()  # videos, share, imbalance
    [1.0, 0.25, 3.0]
    """
    if column not in videos:
        raise KeyError(f"The videos have no column {column!r}; they have {', '.join(videos)}.")
    counts = videos[column].astype(object).where(videos[column].notna(), "(missing)").value_counts()
    counts = counts.rename_axis(column).to_frame("videos")
    return counts.assign(
        share=counts["videos"] / max(len(videos), 1),
        imbalance=counts["videos"].max() / counts["videos"],
    )


def watch_time_summary(
    interactions: pd.DataFrame, videos: pd.DataFrame | None = None, by: str | None = None
) -> pd.DataFrame:
    """Summarize how long people watched, overall or per group.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure; `watch_ratio` is the share of the video watched (above 1: replays).
    videos : DataFrame, optional
        With `duration_s`, to turn ratios into hours, and with the column `by`.
    by : str, optional
        A column of `videos` (such as `"category"`) or of `interactions` to group by.

    Returns
    -------
    DataFrame
        Per group: `exposures`, `known` (with a watch ratio), `mean`, `median`, `skipped` (share
        below 0.1), `completed` (share of at least 0.95), `hours` (NaN without durations).

    Raises
    ------
    KeyError
        If neither table has the column `by`.
    """
    frame = interactions[["video_id", "watch_ratio"]].copy()
    frame["seconds"] = np.nan
    if videos is not None and "duration_s" in videos:
        frame["seconds"] = frame["watch_ratio"] * frame["video_id"].map(videos["duration_s"])
    if by is None:
        key = pd.Series("all", index=frame.index, name="group")
    elif by in interactions:
        key = interactions[by]
    elif videos is not None and by in videos:
        key = frame["video_id"].map(videos[by]).rename(by)
    else:
        raise KeyError(f"Neither videos nor interactions have a column {by!r} to group by.")
    groups = frame.groupby(key.astype(object).where(key.notna(), "(missing)").rename(key.name))
    ratio = groups["watch_ratio"]
    return pd.DataFrame(
        {
            "exposures": groups.size(),
            "known": ratio.count(),
            "mean": ratio.mean(),
            "median": ratio.median(),
            "skipped": ratio.agg(lambda r: _share(r < 0.1, r)),
            "completed": ratio.agg(lambda r: _share(r >= 0.95, r)),
            "hours": groups["seconds"].sum(min_count=1) / 3600,
        }
    )


def _share(holds: pd.Series, of: pd.Series) -> float:
    known = of.notna()
    return float(holds[known].mean()) if known.any() else float("nan")
