"""MicroLens, comments on short videos with titles, covers and clips, in its authors' own files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.datasets._csv import Table
from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._public import (
    in_share,
    read_free_text,
    read_in_blocks,
    read_plain,
    read_public,
)
from vidrec_utils.datasets._tables import TEXT

PAIRS = ("_pairs.csv", "_pairs.tsv")
_TITLES = ("_titles.csv", "_title_en.csv", "_title.csv")
_COMMENTS = ("_comments_en.txt", "_comment_en.txt", "_comments.txt", "_comment.txt")
_LIKES_AND_VIEWS = "_likes_and_views.txt"
_TAGS = "tags_to_summary.csv"
_USER = ("user", "userID", "user_id")
_ITEM = ("item", "videoID", "item_id")
_IMAGES = (".jpg", ".jpeg", ".png", ".webp")
_CLIPS = (".mp4", ".webm", ".mkv", ".mov", ".avi")
LEAK_PREFIX = "leaks_future_"


def _prefixes(folder: Path) -> list[str]:
    """List the names of the sets in a folder, such as `MicroLens-50k`."""
    files = [file.name for file in folder.glob("MicroLens*_pairs.*") if file.is_file()]
    return sorted({name[: -len(PAIRS[0])] for name in files if name.endswith(PAIRS)})


def is_microlens(folder: Path) -> bool:
    """Whether a folder holds MicroLens rather than a library of ours."""
    return bool(_prefixes(folder))


def load_microlens(
    path: str | Path, statistics: bool = False, user_share: float = 1.0, seed: int = 0
) -> VideoLibrary:
    """Read MicroLens-50K, 100K or 1M.

    Each pair says that somebody commented on a video, and becomes an interaction. Nothing says how
    long it was watched, and nobody's silence is in the data: `watch_ratio`, `liked`, `shared` and
    `position` are NA. So all events count alike, as in any log without signals. With the file of
    comments (`*_comment_en.txt`), `comment` is the first comment of a user on a video. Then a pair
    without a text counts as shown and not commented; `notes["pairs_without_comment"]` counts them.

    `*_pairs.csv` (`user,item,timestamp` in milliseconds) is read where it exists. Otherwise
    `*_pairs.tsv`, which has each user's videos in order, but no times: split such a library by
    `preprocessing.leave_last_out(..., ordered=True)`, never in time, because its rows are sorted by
    user.

    Videos have `title` (from `*_titles.csv`, `*_title_en.csv` or `*_title.csv`, with a header or
    without), `category` (from `tags_to_summary.csv`), and `thumbnail` and `path` where the folder
    holds `*_covers/ID.jpg` and `*_videos/ID.mp4`.

    Parameters
    ----------
    path : path
        The folder with the files of one of the sets.
    statistics : bool
        Also load the videos' likes and views from `*_likes_and_views.txt`, as columns that begin
        with `leaks_future_`: they count the whole period, the days of the test included.
    user_share : float
        Share of the users that are read, drawn with `seed`. `*_pairs.csv` is read block by block,
        so a small share needs little memory.
    seed : int
        Draws the users.

    Returns
    -------
    VideoLibrary
        With counts in `notes`; `extras["comments"]` (`user_id`, `video_id`, `comment`) holds all
        comments where there are any.

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
    Y. Ni et al., "A Content-Driven Micro-Video Recommendation Dataset at Scale", arXiv:2309.15379,
    2023.
    """
    arguments.share(user_share=user_share)
    root = Path(path).expanduser().resolve()
    prefix = _one_prefix(root)
    pairs, file = _pairs(root, prefix, user_share, seed)
    log, tables = pairs.frame, [pairs]
    titles, title_file = _titles(root, prefix, tables)
    comments = _comments(root, prefix, log, tables)
    videos = _videos(root, prefix, titles, log, tables)
    if statistics:
        videos = _with_statistics(videos, root, prefix, tables)
    if comments is not None:
        first = comments.dropna(subset="comment").drop_duplicates(["user_id", "video_id"])
        log = log.merge(first, on=["user_id", "video_id"], how="left")
    sources = {"videos": title_file or file, "interactions": file, "users": file}
    library = VideoLibrary(
        videos=videos,
        interactions=log,
        users=pd.DataFrame({"user_id": log["user_id"].unique()}),
        root=root,
        name="microlens",
        extras={} if comments is None else {"comments": comments},
        sources=sources,
        file_rows={} if pairs.rows is None else {"interactions": pairs.rows},
    )
    for table in tables:
        library.add_problems(table.problems)
    library.notes |= {
        "files": [file, title_file] if title_file else [file],
        "pairs": len(log),
        "order": "by time" if file.endswith(PAIRS[0]) else "within each user, without times",
        "videos_without_a_pair": int((~library.videos.index.isin(log["video_id"])).sum()),
    }
    if comments is not None:
        library.notes["pairs_without_comment"] = int(log["comment"].isna().sum())
    return library


def _one_prefix(root: Path) -> str:
    prefixes = _prefixes(root)
    if len(prefixes) > 1:
        raise LibraryError(
            f"{root} holds several sets: {', '.join(prefixes)}. Put each into a folder of its own."
        )
    if not prefixes:
        raise LibraryError(
            f"{root} is not MicroLens: looked for MicroLens-*{PAIRS[0]} or MicroLens-*{PAIRS[1]}. "
            "Get the files of MicroLens-50k, -100k or -1M from their authors and name the folder."
        )
    return prefixes[0]


# -- pairs -----------------------------------------------------------------------------------------


def _pairs(root: Path, prefix: str, share: float, seed: int) -> tuple[Table, str]:
    """Read who commented on what, and when where that is known."""
    timed = prefix + PAIRS[0]
    if (root / timed).is_file():
        user, item = _header_of(root, timed)
        kinds = {user: "id", item: "id", "timestamp": "whole"}
        [table] = read_in_blocks(
            root, [timed], kinds, lambda block: in_share(block[user], share, seed)
        )
        log = table.frame
        milliseconds = log["timestamp"]
        frame = pd.DataFrame(
            {
                "user_id": log[user],
                "video_id": log[item],
                "timestamp": pd.to_datetime(milliseconds, unit="ms", utc=True),
            }
        )
        return Table(frame, table.rows, table.problems), timed
    untimed = prefix + PAIRS[1]
    header = ["user", "items"]
    table = read_plain(root, untimed, b"\t", {"user": "id", "items": "text"}, header)
    lists = table.frame.assign(items=table.frame["items"].str.split())
    rows = np.arange(len(lists)) + 1 if table.rows is None else table.rows
    drawn = in_share(lists["user"], share, seed)
    events = lists[drawn].assign(row=rows[drawn]).explode("items", ignore_index=True)
    frame = pd.DataFrame(
        {
            "user_id": events["user"],
            "video_id": events["items"].astype(TEXT),
            "timestamp": pd.NaT,
        }
    )
    return Table(frame, events["row"].to_numpy(dtype="int64"), table.problems), untimed


def _header_of(root: Path, name: str) -> tuple[str, str]:
    """Return the names that a file of pairs gives to users and videos; two are in use."""
    with (root / name).open(encoding="utf-8-sig", errors="replace") as stream:
        cells = [cell.strip() for cell in stream.readline(1_000).split(",")]
    user = next((word for word in _USER if word in cells), _USER[0])
    item = next((word for word in _ITEM if word in cells), _ITEM[0])
    return user, item


# -- videos ----------------------------------------------------------------------------------------


def _titles(root: Path, prefix: str, tables: list[Table]) -> tuple[pd.DataFrame, str | None]:
    """Read the titles; without a header, a title is all that follows the first comma of a line."""
    name = next((prefix + end for end in _TITLES if (root / (prefix + end)).is_file()), None)
    if name is None:
        return pd.DataFrame(columns=["video_id", "title"], dtype=TEXT), None
    first = _first_cell(root / name)
    kinds = {first if first in _ITEM else _ITEM[0]: "id", "title": "text"}
    if first in _ITEM:
        table = read_public(root, [name], kinds, lone_returns=True)
    else:
        table = read_free_text(root, name, b",", kinds)
    tables.append(table)
    return table.frame[list(kinds)].set_axis(["video_id", "title"], axis=1), name


def _first_cell(file: Path) -> str:
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        return stream.readline(10_000).partition(",")[0].strip().strip('"')


def _videos(
    root: Path, prefix: str, videos: pd.DataFrame, log: pd.DataFrame, tables: list[Table]
) -> pd.DataFrame:
    """List all videos that have a title or a pair, with their files."""
    others = pd.Series(log["video_id"].unique(), dtype=TEXT)
    others = others[~others.isin(videos["video_id"])].dropna()
    videos = pd.concat([videos, pd.DataFrame({"video_id": others})], ignore_index=True)
    if (root / _TAGS).is_file():
        table = read_free_text(root, _TAGS, b",", {"video_id": "id", "category": "text"})
        tables.append(table)
        category = table.frame.drop_duplicates("video_id").set_index("video_id")["category"]
        videos["category"] = videos["video_id"].map(category)
    covers = _media(root, (f"{prefix}_covers", "covers"), _IMAGES)
    clips = _media(root, (f"{prefix}_videos", "videos"), _CLIPS)
    return videos.assign(
        path=videos["video_id"].map(clips).astype(TEXT),
        thumbnail=videos["video_id"].map(covers).astype(TEXT),
    )


def _media(root: Path, folders: Iterable[str], endings: tuple[str, ...]) -> dict[str, str]:
    """Map the ids that the names of media files are to paths relative to the root."""
    folder = next((name for name in folders if (root / name).is_dir()), None)
    if folder is None:
        return {}
    files = sorted((root / folder).iterdir())
    media = [file for file in files if file.suffix.lower() in endings and file.is_file()]
    return {file.stem: f"{folder}/{file.name}" for file in media}


def _with_statistics(
    videos: pd.DataFrame, root: Path, prefix: str, tables: list[Table]
) -> pd.DataFrame:
    name = prefix + _LIKES_AND_VIEWS
    if not (root / name).is_file():
        raise LibraryError(f"There are no likes and views of videos in {root}: {name}.")
    warnings.warn(
        "MicroLens' likes and views are counts over the whole period: predicting with them leaks "
        f"the future. Their columns begin with {LEAK_PREFIX!r}.",
        UserWarning,
        stacklevel=3,
    )
    kinds = {"video_id": "id", "likes": "whole", "views": "whole"}
    table = read_plain(root, name, b"\t", kinds, list(kinds))
    tables.append(table)
    counts = table.frame.drop_duplicates("video_id").set_index("video_id")
    return videos.join(counts.add_prefix(LEAK_PREFIX), on="video_id")


# -- comments --------------------------------------------------------------------------------------


def _comments(
    root: Path, prefix: str, log: pd.DataFrame, tables: list[Table]
) -> pd.DataFrame | None:
    """Read the comments of the users that are in the log."""
    name = next((prefix + end for end in _COMMENTS if (root / (prefix + end)).is_file()), None)
    if name is None:
        return None
    kinds = {"user_id": "id", "video_id": "id", "comment": "text"}
    table = read_free_text(root, name, b"\t", kinds)
    tables.append(table)
    known = table.frame["user_id"].isin(log["user_id"])
    return table.frame[known].reset_index(drop=True)
