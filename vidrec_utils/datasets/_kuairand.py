"""KuaiRand, logs of a short-video app, in its authors' csv form and in a processed parquet form."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._public import read_public
from vidrec_utils.datasets._tables import TEXT

LOGS = ("log_standard_*.csv", "log_random_*.csv", "interactions_*.parquet")
_CATALOGUE = ("video_features_basic_*.csv", "item_features.parquet")
_STATISTICS = ("video_features_statistic_*.csv", "item_features.parquet")
_USERS = ("user_features_*.csv",)
_HISTORIES = ("user_sequences_*.parquet",)

_FLAGS = {
    "liked": "is_like",
    "shared": "is_forward",
    "clicked": "is_click",
    "followed": "is_follow",
    "commented": "is_comment",
    "disliked": "is_hate",
    "long_view": "long_view",
    "profile_entered": "is_profile_enter",
    "random": "is_rand",
}
_NUMBERS = ("tab", "play_time_ms", "duration_ms", "profile_stay_time", "comment_stay_time")
_LOG_COLUMNS = {
    "user_id": "id",
    "video_id": "id",
    "time_ms": "whole",
    **dict.fromkeys(_FLAGS.values(), "flag"),
    **dict.fromkeys(_NUMBERS, "whole"),
}
_CATALOGUE_COLUMNS = {
    "video_id": "id",
    "author_id": "text",
    "video_type": "text",
    "upload_dt": "text",
    "upload_type": "text",
    "visible_status": "whole",
    "video_duration": "number",
    "server_width": "whole",
    "server_height": "whole",
    "music_id": "text",
    "music_type": "whole",
    "tag": "text",
}
# Columns of the processed form's item table that are neither the authors' basic features nor
# their statistics.
_DERIVED = ["upload_dt_parsed", "upload_date"]
LEAK_PREFIX = "leaks_future_"


def _data_folder(root: Path) -> Path:
    """Return the folder of the tables; the authors' archive keeps them in `data`."""
    return root / "data" if not _find(root, LOGS) and (root / "data").is_dir() else root


def _find(root: Path, patterns: tuple[str, ...]) -> list[str]:
    return [file.name for pattern in patterns for file in sorted(root.glob(pattern))]


def _first(root: Path, patterns: tuple[str, ...]) -> list[str]:
    """Return the files of the first pattern that matches any."""
    return next((names for pattern in patterns if (names := _find(root, (pattern,)))), [])


def is_kuairand(folder: Path) -> bool:
    """Whether a folder holds KuaiRand rather than a library of ours."""
    root = _data_folder(folder)
    return bool(_find(root, LOGS) and _find(root, _CATALOGUE))


def load_kuairand(path: str | Path, statistics: bool = False) -> VideoLibrary:
    """Read KuaiRand-Pure (or 1K), with all logs that the folder holds.

    Exposures become interactions: `watch_ratio` is played time divided by the video's duration in
    the log, without a cap, NA where the log has a duration of 0; `liked` is `is_like`, `shared` is
    `is_forward`. Further columns: `clicked`, `followed`, `commented` (the texts are not
    published, so `comment` is NA), `disliked` (`is_hate`), `long_view`, `profile_entered`,
    `random` (exposed at random rather than by the app's policy), `tab`, `play_time_ms`,
    `duration_ms`, `profile_stay_time`, `comment_stay_time`. Repeated rows are kept.

    Videos have no titles, covers or files: `tags` are anonymous numbers joined with `|`, `category`
    is the first of them, `uploader` the author, `published_at` the beginning of the upload day
    in Beijing (the data name only the day).

    Parameters
    ----------
    path : path
        The folder with `log_standard_*.csv`, `log_random_*.csv`, `user_features_*.csv`,
        `video_features_basic_*.csv` (or its parent, where these are in `data/`), or with
        `interactions_*.parquet` instead of the logs.
    statistics : bool
        Also load the videos' counts of shows, plays, likes and so on, as columns that begin with
        `leaks_future_`: they are averages over the whole period, test days included.

    Returns
    -------
    VideoLibrary
        `notes` holds counts, among them `repeated_interactions`; `duplicates()` names the rows.
        With `user_sequences_*.parquet`, `extras["histories"]` holds what users did before the
        log: `user_id`, `video_id`, `signal` ("watched", "liked", "long_watched"), `place` (position
        in the history, 0 is the oldest).

    Raises
    ------
    LibraryError
        If files are absent, broken, or lack columns.

    Warns
    -----
    UserWarning
        With `statistics`, that predicting with them leaks the future.

    References
    ----------
    C. Gao et al., "KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed
    Videos", CIKM 2022.
    """
    root = _data_folder(Path(path).expanduser().resolve())
    logs, catalogue, users = _find(root, LOGS), _first(root, _CATALOGUE), _find(root, _USERS)
    if not logs or not catalogue or not users:
        expected = ", ".join((*LOGS[:2], _CATALOGUE[0], *_USERS))
        raise LibraryError(
            f"{root} is not KuaiRand: looked for {expected} (or {LOGS[2]} and {_CATALOGUE[1]}). "
            "Unpack KuaiRand-Pure and name its folder."
        )
    log_table = read_public(root, logs, _LOG_COLUMNS)
    catalogue_table = read_public(root, catalogue, _CATALOGUE_COLUMNS)
    users_table = read_public(root, users, {"user_id": "id"})
    log, videos = log_table.frame, _videos(catalogue_table.frame)
    if statistics:
        videos = _with_statistics(videos, root)
    histories = _find(root, _HISTORIES)
    library = VideoLibrary(
        videos=videos,
        interactions=_interactions(log),
        users=users_table.frame,
        name="kuairand",
        extras={"histories": _histories(root, histories)} if histories else {},
        sources={"videos": catalogue[0], "interactions": " + ".join(logs), "users": users[0]},
    )
    for table in (log_table, catalogue_table, users_table):
        library.add_problems(table.problems)
    again = library.duplicates()["kind"].value_counts()
    library.notes |= {
        "files": logs,
        "exposures": len(log),
        "users_in_log": int(library.interactions["user_id"].nunique()),
        "users_in_catalogue": len(library.users),
        "videos_in_log": int(library.interactions["video_id"].nunique()),
        "videos_in_catalogue": len(library.videos),
        "exposures_without_duration": int((log["duration_ms"] == 0).sum()),
        "repeated_interactions": int(again.get("interaction", 0)),
    }
    return library


def _interactions(log: pd.DataFrame) -> pd.DataFrame:
    duration = log["duration_ms"].astype("float64")
    return pd.DataFrame(
        {
            "user_id": log["user_id"],
            "video_id": log["video_id"],
            "timestamp": pd.to_datetime(log["time_ms"], unit="ms", utc=True),
            "watch_ratio": log["play_time_ms"].astype("float64") / duration.where(duration > 0),
            **{ours: log[theirs] for ours, theirs in _FLAGS.items()},
            **{number: log[number] for number in _NUMBERS},
        }
    )


def _videos(catalogue: pd.DataFrame) -> pd.DataFrame:
    tags = catalogue["tag"].str.replace(",", "|")
    day = pd.to_datetime(catalogue["upload_dt"], format="ISO8601", errors="coerce")
    return pd.DataFrame(
        {
            "video_id": catalogue["video_id"],
            "tags": tags,
            "category": tags.str.split("|").str[0],
            "uploader": catalogue["author_id"],
            "published_at": day.dt.tz_localize("Asia/Shanghai"),
            "duration_s": catalogue["video_duration"] / 1000.0,
            "music_id": catalogue["music_id"],
            "music_type": catalogue["music_type"],
            "video_type": catalogue["video_type"],
            "upload_type": catalogue["upload_type"],
            "visible_status": catalogue["visible_status"],
            "width": catalogue["server_width"],
            "height": catalogue["server_height"],
        }
    )


def _with_statistics(videos: pd.DataFrame, root: Path) -> pd.DataFrame:
    names = _first(root, _STATISTICS)
    if not names:
        raise LibraryError(f"There are no statistics of videos in {root}: {_STATISTICS[0]}.")
    warnings.warn(
        "KuaiRand's statistics of videos are averages over the whole period: predicting with them "
        f"leaks the future. Their columns begin with {LEAK_PREFIX!r}.",
        UserWarning,
        stacklevel=3,
    )
    counts = dict.fromkeys(("show_cnt", "play_cnt", "like_cnt"), "number")
    table = read_public(root, names, {"video_id": "id", **counts}).frame.set_index("video_id")
    table = table.drop(columns=[c for c in (*_CATALOGUE_COLUMNS, *_DERIVED) if c in table])
    table = table.astype("float64").add_prefix(LEAK_PREFIX)
    return videos.join(table, on="video_id")


def _histories(root: Path, names: list[str]) -> pd.DataFrame:
    """List what users did before the log, one row per event."""
    signals = {"watched": "watch_seq", "liked": "like_seq", "long_watched": "long_watch_seq"}
    kinds = {"user_id": "id", **dict.fromkeys(signals.values(), "list")}
    table = read_public(root, names, kinds).frame
    users = table["user_id"].to_numpy(dtype=object)
    frames = []
    for signal, column in signals.items():
        lengths = table[column].map(len).to_numpy()
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = pd.DataFrame({"user_id": np.repeat(users, lengths)}, dtype=TEXT)
        events["video_id"] = pd.Series(np.concatenate(table[column].to_numpy())).astype(TEXT)
        events["signal"] = pd.Series(signal, index=events.index, dtype=TEXT)
        events["place"] = np.arange(len(events)) - starts
        frames.append(events)
    return pd.concat(frames, ignore_index=True)
