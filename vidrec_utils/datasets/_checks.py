"""Checks of a library whose tables could be read."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vidrec_utils.datasets._problems import (
    MISSING_COLUMN,
    NO_ID,
    Origin,
    join_problems,
    problem_frame,
)

if TYPE_CHECKING:
    from vidrec_utils.datasets._library import VideoLibrary

_CLOCK_SLACK = pd.Timedelta(days=1)
_WHOLE_COLUMN = "the whole column"


def problems(library: VideoLibrary, now: pd.Timestamp | None = None) -> pd.DataFrame:
    """List problems of tables, ids, media and timestamps; see `VideoLibrary.problems`."""
    now = pd.Timestamp.now("UTC") if now is None else pd.Timestamp(now)
    now = now.tz_localize("UTC") if now.tzinfo is None else now
    return join_problems(
        [
            *_empty_tables(library),
            *_ids(library, "videos", "video_id"),
            *_ids(library, "users", "user_id"),
            *_ids(library, "interactions", "user_id"),
            *_ids(library, "interactions", "video_id"),
            *_unknown(library),
            *_media(library),
            *_timestamps(library, now),
            *_units(library),
            *_titles(library),
            *_repeats(library),
        ]
    )


def _reported(library: VideoLibrary, table: str, column: str, text: str) -> bool:
    """Whether reading a table already reported a problem of a column that contains a text."""
    known = library._reading
    here = (known["file"] == library.source(table)) & (known["column"] == column)
    return bool((here & known["problem"].str.contains(text, regex=False)).any())


def _reported_rows(library: VideoLibrary, table: str, column: str, text: str = "") -> np.ndarray:
    """Return the rows of a column in which reading its table reported such a problem."""
    known = library._reading
    here = (known["file"] == library.source(table)) & (known["column"] == column)
    here &= known["problem"].str.contains(text, regex=False)
    return known.loc[here, "row"].dropna().to_numpy(dtype="int64")


def _lacks(library: VideoLibrary, table: str, column: str) -> bool:
    """Whether a needed column is missing altogether, which is reported only once."""
    return _reported(library, table, column, MISSING_COLUMN)


def _origin(library: VideoLibrary, table: str, column: str | None = None) -> Origin:
    return Origin(library.source(table), library.rows(table), column)


def _empty_tables(library: VideoLibrary) -> list[pd.DataFrame]:
    from vidrec_utils.datasets._library import CONTENT_ALONE

    tables = ("videos",) if CONTENT_ALONE in library.notes else ("videos", "interactions")
    return [
        _origin(library, table).report_all("there are no rows", f"Add the {table}.")
        for table in tables
        if not len(getattr(library, table))
    ]


def _column(library: VideoLibrary, table: str, column: str) -> pd.Series:
    frame = getattr(library, table)
    values = frame.index.to_series() if frame.index.name == column else frame[column]
    return values.reset_index(drop=True)


def _ids(library: VideoLibrary, table: str, column: str) -> list[pd.DataFrame]:
    """Report ids that are empty, have blanks around them, or occur twice."""
    own = table != "users" or library.has_users_table
    if not own or _lacks(library, table, column):
        return []
    origin, ids = _origin(library, table, column), _column(library, table, column)
    stripped = ids.str.strip()
    missing = (stripped.isna() | (stripped == "")).to_numpy()
    empty = missing & ~np.isin(origin.rows, _reported_rows(library, table, column, NO_ID))
    padded = ~missing & (stripped != ids).to_numpy()
    out = [
        origin.report(empty, ids, "the id is empty", "Write an id or remove the row."),
        origin.report(padded, ids, "has blanks around it", "Remove the blanks."),
    ]
    if table != "interactions":
        codes = pd.factorize(ids)[0]
        again = pd.Series(codes).duplicated().to_numpy() & ~missing
        firsts = _first_rows(codes, origin.rows)[again]
        problem = [f"occurs already in row {first}" for first in firsts]
        out.append(origin.report(again, ids, problem, "Keep one of the rows."))
    return out


def _first_rows(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each record the row in which its code appears first; codes of -1 are void."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return rows[first[inverse]] if len(codes) else rows


def _unknown(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report interactions with a video or a user that the other tables do not have."""
    out = []
    cases = [("video_id", "videos", "error", "Remove the row or add the video.")]
    if library.has_users_table:
        cases.append(("user_id", "users", "warning", "Add the user."))
    for column, table, severity, remedy in cases:
        if _lacks(library, "interactions", column) or _lacks(library, table, column):
            continue
        tables = (table, "interactions")
        if any(_reported(library, name, column, "decimal numbers") for name in tables):
            continue
        ids = library.interactions[column]
        known = getattr(library, table).index
        unknown = (ids.notna() & (ids.str.strip() != "") & ~ids.isin(known)).to_numpy()
        if severity == "warning":
            unknown = unknown & ~ids.duplicated().to_numpy()
        problem = f"is not in {library.source(table)}"
        origin = _origin(library, "interactions", column)
        out.append(origin.report(unknown, ids, problem, remedy, severity))
    return out


def _media(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report media paths that leave the folder (errors) and absent files (warnings)."""
    if library.root is None:
        return []
    out = []
    for column in ("path", "thumbnail"):
        origin = _origin(library, "videos", column)
        paths = library.videos[column].reset_index(drop=True)
        reasons = {path: path_problem(library.root, path) for path in paths.dropna().unique()}
        bad = [path for path, reason in reasons.items() if reason]
        sound = [path for path, reason in reasons.items() if not reason]
        absent = [path for path in sound if not (library.root / path).is_file()]
        problem = [str(reasons[path]) for path in paths[paths.isin(bad)]]
        remedy = "Write the path relative to the library's folder, with forward slashes."
        out.append(origin.report(paths.isin(bad), paths, problem, remedy))
        remedy = "Put the file there or correct the path."
        mask = paths.isin(absent)
        out.append(origin.report(mask, paths, "is no existing file", remedy, "warning"))
    return out


def path_problem(root: Path, path: str) -> str | None:
    """Say why a media path is refused, or None if it stays within the folder.

    Parameters
    ----------
    root : pathlib.Path
        The library's folder.
    path : str
        A path of the table.
    """
    if "\0" in path:
        return "holds a null character"
    if "://" in path:
        return "is a web address, not a file of the library"
    if "\\" in path:
        return "has a backslash"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is an absolute path"
    if ".." in path.split("/"):
        return "leaves the library's folder"
    try:
        os.lstat(root / path)
    except UnicodeEncodeError:
        return "holds half a character (a surrogate), which no file name can"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return f"cannot be looked up: {error.strerror}"
    target = Path(os.path.realpath(root / path))
    if not target.is_relative_to(os.path.realpath(root)):
        return "leaves the library's folder through a link"
    return None


def _timestamps(library: VideoLibrary, now: pd.Timestamp) -> list[pd.DataFrame]:
    """Report timestamps that are missing, too early, in the future, or before publication."""
    out = []
    for table, column in (("interactions", "timestamp"), ("videos", "published_at")):
        origin = _origin(library, table, column)
        times = getattr(library, table)[column].reset_index(drop=True)
        if times.isna().all() or _reported(library, table, column, _WHOLE_COLUMN):
            continue
        remedy = "Correct the time, or leave it to preprocessing."
        early, late = times < library.earliest, times > now + _CLOCK_SLACK
        for mask, problem in (
            (early, f"is before {library.earliest.year}"),
            (late, "is in the future"),
        ):
            out.append(origin.report(mask, times, problem, remedy, "warning"))
        if table == "interactions":
            reported = np.isin(origin.rows, _reported_rows(library, table, column))
            gone = times.isna() & ~reported
            remedy = "Write the time, or leave it to preprocessing."
            out.append(origin.report(gone, times, "the time is missing", remedy, "warning"))
    return [*out, *_watched_too_early(library)]


LARGEST_RATIO = 10.0
"""Nine tenths of watch ratios are below this: loops are honest, a hundred of them are not."""
LONGEST_MEDIAN = 3 * 3600.0
"""Seconds that half of the videos are shorter than."""
_FEWEST_TIMES = 10


def _units(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report columns whose values are of another unit, as a whole."""
    out = []
    ratios = library.interactions["watch_ratio"].dropna()
    large = float(ratios.quantile(0.9)) if len(ratios) else 0.0
    if large > LARGEST_RATIO:
        unit, divisor = "percentages", "100"
        if large > 100 * LARGEST_RATIO:
            unit, divisor = "seconds or milliseconds watched", "the duration in the same unit"
        problem = f"{_WHOLE_COLUMN} looks like {unit}: a tenth of it exceeds {large:g}"
        remedy = f"Divide it by {divisor}: a video that was watched to its end once has 1."
        out.append(_origin(library, "interactions", "watch_ratio").report_all(problem, remedy))
    durations = library.videos["duration_s"].dropna()
    median = float(durations.median()) if len(durations) else 0.0
    if median > LONGEST_MEDIAN:
        problem = (
            f"{_WHOLE_COLUMN} looks like milliseconds: half of the videos would be longer than "
            f"{median / 3600:.1f} hours"
        )
        remedy = "Divide it by 1000; if the videos are that long, load with check=False and go on."
        out.append(_origin(library, "videos", "duration_s").report_all(problem, remedy))
    return [*out, *_coarse_times(library)]


def _coarse_times(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report times of events that are all one, or that tell no more than the day."""
    times = library.interactions["timestamp"].dropna()
    if len(times) < _FEWEST_TIMES:
        return []
    origin = _origin(library, "interactions", "timestamp")
    if (times == times.iloc[0]).all():
        problem = f"all {len(times):,} events have the time {times.iloc[0]:%Y-%m-%dT%H:%M:%SZ}"
        remedy = "Write when each event happened; without it nothing can be split by time."
    elif (times == times.dt.normalize()).all():
        problem = f"no time has an hour: {times.nunique():,} days for {len(times):,} events"
        remedy = "Write the time of day, too; events of one day have no order, and split together."
    else:
        return []
    return [origin.report_all(problem, remedy).assign(severity="warning")]


def _watched_too_early(library: VideoLibrary) -> list[pd.DataFrame]:
    interactions, videos = library.interactions, library.videos
    published = videos["published_at"]
    usable = published.index.notna() & ~published.index.duplicated() & published.notna()
    if not usable.any() or interactions["timestamp"].isna().all():
        return []
    origin = _origin(library, "interactions", "timestamp")
    columns = (("interactions", "timestamp"), ("videos", "published_at"))
    if any(_reported(library, *column, _WHOLE_COLUMN) for column in columns):
        return []
    published = published[usable]
    position = published.index.get_indexer(interactions["video_id"])
    since = published.astype("int64").to_numpy()[position]
    timestamp = interactions["timestamp"]
    early = (
        (position >= 0)
        & timestamp.notna().to_numpy()
        & (timestamp.astype("int64").to_numpy() < since)
    )
    ids = interactions.loc[early, "video_id"]
    problem = [f"is before the video {video!r} was published" for video in ids]
    remedy = "Correct one of the two times, or leave it to preprocessing."
    return [origin.report(early, timestamp, problem, remedy, "warning")]


def _titles(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report missing titles if the source has titles at all."""
    titles = library.videos["title"]
    if titles.isna().all():
        return []
    origin = _origin(library, "videos", "title")
    remedy = "Write a title, or leave it to preprocessing."
    return [origin.report(titles.isna(), titles, "the title is missing", remedy, "warning")]


def _repeats(library: VideoLibrary) -> list[pd.DataFrame]:
    """Report interactions that repeat an earlier one."""
    again = _repeated_interactions(library)
    rows, first_rows = again["row"].to_numpy(), again["first_row"]
    problem = [f"the row repeats the user, video and time of row {row}" for row in first_rows]
    file, remedy = library.source("interactions"), "Remove it, or leave it to preprocessing."
    return [problem_frame(file, rows, None, None, problem, remedy, "warning")]


def _repeated_interactions(library: VideoLibrary) -> pd.DataFrame:
    keys = ["user_id", "video_id", "timestamp"]
    # Without times, watching again is no repetition: a missing key makes none.
    return _repeated(library, "interactions", keys, library.interactions[keys].notna().all(axis=1))


def _repeated(
    library: VideoLibrary, table: str, keys: list[str], eligible: pd.Series
) -> pd.DataFrame:
    """List eligible rows of a table whose keys occurred before: `kind`, file and both rows."""
    frame, rows = getattr(library, table), library.rows(table)
    codes = _codes([frame[key] for key in keys])
    again = pd.Series(codes).duplicated().to_numpy() & eligible.to_numpy()
    return pd.DataFrame(
        {
            "kind": {"videos": "title"}.get(table, "interaction"),
            "file": library.source(table),
            "row": rows[again],
            "first_row": _first_rows(codes, rows)[again],
        }
    )


def _codes(columns: list[pd.Series]) -> np.ndarray:
    """Return one whole number per combination of values, equal for equal rows."""
    codes = np.zeros(len(columns[0]), dtype="int64")
    for column in columns:
        code, values = pd.factorize(column, use_na_sentinel=False)
        codes = pd.factorize(codes * (len(values) + 1) + code)[0]
    return codes


def duplicates(library: VideoLibrary) -> pd.DataFrame:
    """List repeated interactions and titles; see `VideoLibrary.duplicates`."""
    videos = library.videos
    keys = ["title", "year"] if "year" in videos else ["title"]
    titles = _repeated(library, "videos", keys, videos["title"].notna())
    table = pd.concat([_repeated_interactions(library), titles], ignore_index=True)
    return table.astype({"kind": "str", "file": "str"})
