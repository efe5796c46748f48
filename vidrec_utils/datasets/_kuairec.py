"""KuaiRec, logs of a short-video app with a matrix in which nearly every cell is observed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.datasets._csv import Table
from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._public import in_share, read_in_blocks, read_public
from vidrec_utils.datasets._tables import TEXT

MATRICES = {"big": "big_matrix.csv", "small": "small_matrix.csv"}
CATEGORIES = "item_categories.csv"
_CAPTIONS = "kuairec_caption_category.csv"
_USERS = "user_features.csv"
_FRIENDS = "social_network.csv"
_NOT_READ = ("item_daily_features.csv", "video_raw_categories_multi.csv", "user_features_raw.csv")

_MATRIX_COLUMNS = {
    "user_id": "id",
    "video_id": "id",
    "play_duration": "whole",
    "video_duration": "whole",
    "timestamp": "number",
}
_LEVELS = {
    "first_level_category_name": "category",
    "second_level_category_name": "category_2",
    "third_level_category_name": "category_3",
}
_CAPTION_COLUMNS = {
    "video_id": "id",
    "manual_cover_text": "text",
    "caption": "text",
    "topic_tag": "text",
    **dict.fromkeys(_LEVELS, "text"),
}
_UNKNOWN = "UNKNOWN"
"""What KuaiRec writes for a text or a category that it does not know."""


def _data_folder(root: Path) -> Path:
    """Return the folder of the tables; the authors' archive keeps them in `data`."""
    here = any((root / name).is_file() for name in MATRICES.values())
    return root if here or not (root / "data").is_dir() else root / "data"


def is_kuairec(folder: Path) -> bool:
    """Whether a folder holds KuaiRec rather than a library of ours."""
    root = _data_folder(folder)
    matrix = any((root / name).is_file() for name in MATRICES.values())
    return matrix and (root / CATEGORIES).is_file()


def load_kuairec(
    path: str | Path,
    matrix: Literal["big", "small", "both"] = "big",
    user_share: float = 1.0,
    seed: int = 0,
    captions: bool = True,
) -> VideoLibrary:
    """Read KuaiRec 1.0 or 2.0: its big matrix, its small one, or both.

    The big matrix is a log of what the app's policy showed to 7,176 people. The small one holds
    99.6% of all pairs of 1,411 of these people and 3,327 videos, and none of them is in the big
    one. The usual protocol trains on the big matrix and tests on the small one, where there is no
    exposure bias: read both, split by the column `fully_observed`, and hand the two frames to
    `preprocessing.ready_made_split`.

    Views become interactions: `watch_ratio` is played time divided by the video's duration in the
    log, without a cap, NA where the duration is 0; `play_time_ms` and `duration_ms` are the two,
    in milliseconds. The data have no likes, shares, comments or positions: those are NA. A view
    without a time keeps none.

    Videos have a `duration_s` (the median of their durations in the log). With
    `kuairec_caption_category.csv`, which is part of version 2.0, `title` is the caption, `tags` are
    its topics, `category` is the first of three levels (the others are `category_2` and
    `category_3`), and `cover_text` is what somebody wrote on the cover. Without it, `tags` are the
    anonymous numbers of `item_categories.csv`, which are also kept as `feat`, and `category` is the
    first of them.

    `item_daily_features.csv` is not read. It counts plays and likes of each video day by day, the
    days of the test included: a model that is given these columns sees the future.

    Parameters
    ----------
    path : path
        The folder with `big_matrix.csv`, `small_matrix.csv` and `item_categories.csv`, or its
        parent, where these are in `data/`.
    matrix : {"big", "small", "both"}
        Which matrix is read. The big one has 12.5 million rows, the small one 4.7 million.
    user_share : float
        Share of the users that are read, drawn with `seed`. The files are read block by block, so
        a small share needs little memory.
    seed : int
        Draws the users.
    captions : bool
        Read the captions if the folder has them.

    Returns
    -------
    VideoLibrary
        With counts in `notes`; `extras["friends"]` (`user_id`, `friend_id`) if the folder has
        `social_network.csv`.

    Raises
    ------
    LibraryError
        If a file is absent or broken, lacks a column, or has a cell that cannot be read.

    References
    ----------
    C. Gao et al., "KuaiRec: A Fully-observed Dataset and Insights for Evaluating Recommender
    Systems", CIKM 2022.
    """
    arguments.one_of((*MATRICES, "both"), matrix=matrix)
    arguments.share(user_share=user_share)
    root = _data_folder(Path(path).expanduser().resolve())
    names = [MATRICES[name] for name in (MATRICES if matrix == "both" else (matrix,))]
    absent = [name for name in (*names, CATEGORIES) if not (root / name).is_file()]
    if absent:
        raise LibraryError(
            f"{root} is not KuaiRec, or not all of it: {', '.join(absent)} is not there. Unpack "
            "KuaiRec.zip and name its folder."
        )
    matrices = read_in_blocks(
        root, names, _MATRIX_COLUMNS, lambda block: in_share(block["user_id"], user_share, seed)
    )
    log = _interactions(matrices, names)
    categories = read_public(root, [CATEGORIES], {"video_id": "id", "feat": "text"})
    tables = [*matrices, categories]
    videos = _videos(categories.frame, log)
    if captions and (root / _CAPTIONS).is_file():
        caption_table = read_public(root, [_CAPTIONS], _CAPTION_COLUMNS, lone_returns=True)
        tables.append(caption_table)
        videos = _with_captions(videos, caption_table.frame)
    users = _users(root, log, tables)
    library = VideoLibrary(
        videos=videos,
        interactions=log,
        users=users,
        name="kuairec",
        extras={"friends": _friends(root, tables)} if (root / _FRIENDS).is_file() else {},
        sources={"videos": CATEGORIES, "interactions": " + ".join(names)},
        file_rows={"interactions": np.concatenate([_rows(table) for table in matrices])},
    )
    for table in tables:
        library.add_problems(table.problems)
    library.notes |= {
        "files": names,
        "views": len(log),
        "users_in_log": int(library.interactions["user_id"].nunique()),
        "videos_in_log": int(library.interactions["video_id"].nunique()),
        "videos_in_catalogue": len(library.videos),
        "views_without_time": int(log["timestamp"].isna().sum()),
        "not_read": [name for name in _NOT_READ if (root / name).is_file()],
    }
    return library


def _rows(table: Table) -> np.ndarray:
    return np.arange(len(table.frame)) + 2 if table.rows is None else table.rows


def _interactions(matrices: list[Table], names: list[str]) -> pd.DataFrame:
    frames = []
    for table, name in zip(matrices, names, strict=True):
        log = table.frame
        duration = log["video_duration"].astype("float64")
        milliseconds = (log["timestamp"] * 1000).round().astype("Int64")
        frames.append(
            pd.DataFrame(
                {
                    "user_id": log["user_id"],
                    "video_id": log["video_id"],
                    "timestamp": pd.to_datetime(milliseconds, unit="ms", utc=True),
                    "watch_ratio": log["play_duration"].astype("float64")
                    / duration.where(duration > 0),
                    "play_time_ms": log["play_duration"],
                    "duration_ms": log["video_duration"],
                    "fully_observed": name == MATRICES["small"],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _videos(categories: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    numbers = categories["feat"].str.strip("[] ").str.replace(r"\s*,\s*", "|", regex=True)
    numbers = numbers.mask(numbers == "")
    milliseconds = log["duration_ms"].astype("float64")
    seconds = (milliseconds[milliseconds > 0] / 1000).groupby(log["video_id"]).median()
    return pd.DataFrame(
        {
            "video_id": categories["video_id"],
            "tags": numbers,
            "category": numbers.str.split("|").str[0],
            "duration_s": categories["video_id"].map(seconds).astype("float64"),
            "feat": numbers,
        }
    )


def _with_captions(videos: pd.DataFrame, captions: pd.DataFrame) -> pd.DataFrame:
    table = captions.drop_duplicates("video_id").set_index("video_id").reindex(videos["video_id"])
    table = table.set_axis(videos.index).mask(table.set_axis(videos.index) == _UNKNOWN)
    topics = table["topic_tag"].str.strip("[] ").str.replace("|", "/", regex=False)
    topics = topics.str.replace(r"\s*,\s*", "|", regex=True)
    return videos.assign(
        title=table["caption"],
        tags=topics.mask(topics == ""),
        **{ours: table[theirs] for theirs, ours in _LEVELS.items()},
        cover_text=table["manual_cover_text"],
    )


def _users(root: Path, log: pd.DataFrame, tables: list[Table]) -> pd.DataFrame:
    """Read the users of the log with what is known of them."""
    users = pd.DataFrame({"user_id": log["user_id"].unique()}, dtype=TEXT)
    if not (root / _USERS).is_file():
        return users
    table = read_public(root, [_USERS], {"user_id": "id"})
    tables.append(table)
    return users.merge(table.frame.drop_duplicates("user_id"), on="user_id", how="left")


def _friends(root: Path, tables: list[Table]) -> pd.DataFrame:
    table = read_public(root, [_FRIENDS], {"user_id": "id", "friend_list": "text"})
    tables.append(table)
    friends = table.frame["friend_list"].str.strip("[] ").str.split(r"\s*,\s*", regex=True)
    pairs = table.frame.assign(friend_id=friends).explode("friend_id", ignore_index=True)
    known = pairs["friend_id"].fillna("") != ""
    return pairs.loc[known, ["user_id", "friend_id"]].astype(TEXT).reset_index(drop=True)
