"""VK-LSVD, weeks of exposures to short videos in order of time, with vectors of the videos."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.datasets._csv import Table
from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError, problem_frame
from vidrec_utils.datasets._public import in_share, read_in_blocks
from vidrec_utils.datasets._tables import TEXT

ITEMS = "metadata/items_metadata.parquet"
VECTORS = "metadata/item_embeddings.npz"
_USERS = "metadata/users_metadata.parquet"
PERIODS = ("train", "validation", "test")
_WHOLE = "interactions"
"""The folder of the complete log; the authors' subsamples lie in `subsamples/NAME`."""
_WEEK = re.compile(r"week_(\d+)\.parquet")

_FLAGS = {
    "liked": "like",
    "shared": "share",
    "disliked": "dislike",
    "bookmarked": "bookmark",
    "author_clicked": "click_on_author",
    "comments_opened": "open_comments",
}
_CONTEXT = ("place", "platform", "agent")
_LOG_COLUMNS = {
    "user_id": "id",
    "item_id": "id",
    **dict.fromkeys(_CONTEXT, "whole"),
    "timespent": "whole",
    **dict.fromkeys(_FLAGS.values(), "flag"),
}
_ITEM_COLUMNS = {"item_id": "id", "author_id": "text", "duration": "number"}
_USER_COLUMNS = {"user_id": "id", "age": "whole", "gender": "text", "geo": "text"}


def is_vk_lsvd(folder: Path) -> bool:
    """Whether a folder holds VK-LSVD rather than a library of ours."""
    return (folder / ITEMS).is_file() and bool(_samples(folder))


def load_vk_lsvd(
    path: str | Path, sample: str | None = None, user_share: float = 1.0, seed: int = 0
) -> VideoLibrary:
    """Read the log of VK-LSVD, or of one of its subsamples, in order of time.

    Each row is one exposure; nobody is shown a video twice. The log has no timestamps: the files
    are weeks, and the rows of a week are in order of time. So `timestamp` is NA, the rows of
    `interactions` are in order of time, and `week` is a coarse time. Split such a log by
    `preprocessing.split_by_time(..., ordered=True)`, or as its authors do: `period` is "train",
    "validation" or "test", and `preprocessing.ready_made_split` takes the three frames.

    `watch_ratio` is `timespent` divided by the video's duration, both in whole seconds, NA where
    the duration is 0 or unknown; `timespent` is kept. `liked`, `shared` and `disliked` are the
    authors' flags; further ones are `bookmarked`, `author_clicked` and `comments_opened` (the texts
    are not published, so `comment` is NA). `place`, `platform` and `agent` are anonymous numbers.

    Videos have a `duration_s` and an `uploader` (the anonymous author); no titles, covers or files.
    Only the videos of the log are listed, of 19.6 million. Their vectors are read by
    `embeddings.load_vectors(folder / "metadata/item_embeddings.npz", library)`.

    Parameters
    ----------
    path : path
        The folder with `metadata/items_metadata.parquet` and with `interactions/train/
        week_00.parquet` and so on, or `subsamples/NAME/train/week_00.parquet`.
    sample : str, optional
        Name of a subsample, such as "up0.001_ip0.001", or "interactions" for the complete log.
        May be left away where the folder holds only one of them.
    user_share : float
        Share of the users that are read, drawn with `seed`. The files are read block by block, so
        a small share needs little memory.
    seed : int
        Draws the users.

    Returns
    -------
    VideoLibrary
        With counts in `notes`. `users` has `age`, `gender` and `geo` where the folder has
        `metadata/users_metadata.parquet`.

    Raises
    ------
    LibraryError
        If a file is absent or broken, lacks a column, or has a cell that cannot be read; if there
        are several samples and none is named; or if weeks are not in order over the periods.

    References
    ----------
    A. Poslavsky et al., "VK-LSVD: A Large-Scale Industrial Dataset for Short-Video
    Recommendation", arXiv:2602.04567, 2026.
    """
    arguments.share(user_share=user_share)
    root = Path(path).expanduser().resolve()
    folder = _folder_of(root, sample)
    weeks = _weeks(folder)
    names = [file.relative_to(root).as_posix() for _, _, file in weeks]
    tables = read_in_blocks(
        root, names, _LOG_COLUMNS, lambda block: in_share(block["user_id"], user_share, seed)
    )
    log = pd.concat([table.frame for table in tables], ignore_index=True)
    counts = [len(table.frame) for table in tables]
    items = _known(root, ITEMS, _ITEM_COLUMNS, log["item_id"])
    users = _users(root, log)
    videos = _videos(items.frame)
    library = VideoLibrary(
        videos=videos,
        interactions=_interactions(log, videos, weeks, counts),
        users=users.frame,
        name="vk-lsvd",
        sources={
            "videos": ITEMS,
            "interactions": f"{folder.relative_to(root).as_posix()}/",
            "users": _USERS,
        },
        file_rows={"interactions": np.concatenate([_rows(table) for table in tables])},
    )
    library.add_problems([_gaps(folder, [week for _, week, _ in weeks])])
    for table in (*tables, items, users):
        library.add_problems(table.problems)
    library.notes |= {
        "sample": folder.name,
        "files": names,
        "exposures": len(log),
        "users_in_log": int(log["user_id"].nunique()),
        "videos_in_log": int(log["item_id"].nunique()),
        "order": "rows are in order of time",
        "vectors": VECTORS if (root / VECTORS).is_file() else None,
    }
    return library


def _rows(table: Table) -> np.ndarray:
    return np.arange(len(table.frame)) + 2 if table.rows is None else table.rows


# -- files -----------------------------------------------------------------------------------------


def _samples(root: Path) -> dict[str, Path]:
    """Map the names of the complete log and of the subsamples to their folders, if present."""
    candidates = [root / _WHOLE, *sorted((root / "subsamples").glob("*"))]
    return {folder.name: folder for folder in candidates if any(folder.glob("*/week_*.parquet"))}


def _folder_of(root: Path, sample: str | None) -> Path:
    samples = _samples(root)
    if not (root / ITEMS).is_file() or not samples:
        raise LibraryError(
            f"{root} is not VK-LSVD: looked for {ITEMS}, and for {_WHOLE}/train/week_00.parquet or "
            "subsamples/NAME/train/week_00.parquet. Get these files from the authors' repository "
            "and keep their folders."
        )
    if sample is None and len(samples) == 1:
        return next(iter(samples.values()))
    if sample not in samples:
        problem = "several samples" if sample is None else f"no sample {sample!r}"
        raise LibraryError(f"{root} holds {problem}. Say sample= and one of {', '.join(samples)}.")
    return samples[sample]


def _weeks(folder: Path) -> list[tuple[str, int, Path]]:
    """List period, number and file of each week, in order of time."""
    weeks = []
    for period in PERIODS:
        numbered = [(_WEEK.fullmatch(file.name), file) for file in (folder / period).glob("*")]
        weeks += sorted((period, int(match[1]), file) for match, file in numbered if match)
    for (period, week, _), (later, next_week, _) in itertools.pairwise(weeks):
        if next_week <= week:
            raise LibraryError(
                f"The weeks in {folder} are not in order: {later} begins with week {next_week}, "
                f"{period} ends with week {week}. Get the files as their authors publish them."
            )
    return weeks


def _gaps(folder: Path, weeks: list[int]) -> pd.DataFrame:
    """Report weeks that are absent between the first and the last."""
    absent = sorted(set(range(weeks[0], weeks[-1] + 1)) - set(weeks))
    if not absent:
        return problem_frame(folder.name, [], None, None, "", "")
    names = ", ".join(f"week_{week:02}.parquet" for week in absent)
    problem = f"the log has no {names}; events before and after follow each other directly"
    remedy = "Get the missing weeks, or go on if the gap does not matter."
    return problem_frame(folder.name, None, None, None, problem, remedy, "warning")


# -- tables ----------------------------------------------------------------------------------------


def _known(root: Path, name: str, kinds: dict[str, str], ids: pd.Series) -> Table:
    """Read the rows of a table of metadata whose ids occur in the log."""
    key = next(iter(kinds))
    known = pd.Index(ids.unique())
    [table] = read_in_blocks(root, [name], kinds, lambda block: block[key].isin(known).to_numpy())
    return table


def _users(root: Path, log: pd.DataFrame) -> Table:
    """Read the users of the log with what is known of them."""
    users = pd.DataFrame({"user_id": log["user_id"].unique()}, dtype=TEXT)
    if not (root / _USERS).is_file():
        return Table(users)
    table = _known(root, _USERS, _USER_COLUMNS, log["user_id"])
    return Table(
        users.merge(table.frame.drop_duplicates("user_id"), on="user_id", how="left"),
        None,
        table.problems,
    )


def _videos(items: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "video_id": items["item_id"],
            "uploader": items["author_id"],
            "duration_s": items["duration"],
        }
    )


def _interactions(
    log: pd.DataFrame,
    videos: pd.DataFrame,
    weeks: list[tuple[str, int, Path]],
    counts: list[int],
) -> pd.DataFrame:
    durations = videos.drop_duplicates("video_id").set_index("video_id")["duration_s"]
    duration = log["item_id"].map(durations).astype("float64")
    return pd.DataFrame(
        {
            "user_id": log["user_id"],
            "video_id": log["item_id"],
            "timestamp": pd.NaT,
            "watch_ratio": log["timespent"].astype("float64") / duration.where(duration > 0),
            **{ours: log[theirs] for ours, theirs in _FLAGS.items()},
            "timespent": log["timespent"],
            **{column: log[column] for column in _CONTEXT},
            "week": np.repeat([week for _, week, _ in weeks], counts),
            "period": pd.Series(np.repeat([period for period, _, _ in weeks], counts), dtype=TEXT),
        }
    )
