"""A folder that holds videos alone, without any table, as a library."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import video_io
from vidrec_utils.datasets._checks import path_problem
from vidrec_utils.datasets._files import form_of
from vidrec_utils.datasets._library import CONTENT_ALONE, VideoLibrary
from vidrec_utils.files import replace_whole

ENDINGS = frozenset(
    {
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    }
)
"""Endings of names by which a file counts as a video."""

THUMBNAILS = "thumbnails"
_SIZE = 256


def video_files(root: Path) -> tuple[list[str], list[str]]:
    """List the videos below a folder where no table describes any.

    Parameters
    ----------
    root : pathlib.Path
        The folder.

    Returns
    -------
    paths : list of str
        Relative paths in order, without hidden files; empty where a folder below has the tables of
        a library.
    left_out : list of str
        Files that look like tables under other names, and videos that a table cannot name.
    """
    paths: list[str] = []
    left_out: list[str] = []
    for file in root.rglob("*"):
        relative = file.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or not file.is_file():
            continue
        if form_of(file) and file.name.lower().startswith("videos."):
            return [], []
        if file.suffix.lower() in ENDINGS:
            path = relative.as_posix()
            nameable = path.isprintable() and path_problem(root, path) is None
            (paths if nameable else left_out).append(path)
        elif form_of(file) and len(relative.parts) == 1:
            left_out.append(relative.as_posix())
    return sorted(paths), sorted(left_out)


def load_videos_alone(root: Path, paths: list[str], left_out: list[str]) -> VideoLibrary:
    """Make a library of videos that no table describes, and their thumbnails.

    Titles come from the names of the files, durations from the files; thumbnails are the frames in
    the middle, written into the folder `thumbnails` beside the videos unless they are there. There
    are no interactions, so only what looks at content works.

    Parameters
    ----------
    root : pathlib.Path
        The folder.
    paths, left_out : list of str
        Its videos, and what is not read, as `video_files` lists them.

    Warns
    -----
    UserWarning
        Always: what was made up, and what is lacking.
    """
    ids = _ids(paths)
    described = [
        _describe(root, path, f"{THUMBNAILS}/{video_id}.jpg")
        for path, video_id in zip(paths, ids, strict=True)
    ]
    videos = pd.DataFrame(
        {
            "video_id": ids,
            "title": [title_of(path) for path in paths],
            "path": paths,
            "duration_s": [duration for duration, _ in described],
            "thumbnail": [thumbnail for _, thumbnail in described],
        }
    )
    without = int(videos["thumbnail"].isna().sum())
    lack = f", except for {without:,} that cannot be read or written" if without else ""
    text = (
        f"{root} holds {len(paths):,} videos and no table. Titles are the names of the files, "
        f"thumbnails are frames of them, kept in {root / THUMBNAILS}{lack}. Nobody watched "
        "anything, so only content can be compared: to recommend by behaviour, add videos.csv and "
        "interactions.csv."
    )
    if left_out:
        text += f" Not read: {', '.join(map(ascii, left_out[:5]))}"
        text += f" and {len(left_out) - 5:,} more." if len(left_out) > 5 else "."
    warnings.warn(text, UserWarning, stacklevel=4)
    return VideoLibrary(
        videos=videos,
        interactions=no_interactions(),
        root=root,
        name=root.name,
        notes={CONTENT_ALONE: text},
    )


def no_interactions() -> pd.DataFrame:
    """Return the log of a library that nobody used."""
    columns = ["user_id", "video_id", "timestamp"]
    return pd.DataFrame({column: pd.Series(dtype="str") for column in columns})


def title_of(path: str) -> str:
    """Return a title for a file: "holiday/my_cat-01.mp4" is "My cat 01".

    Examples
    --------
    >>> title_of("holiday/my_cat-01.mp4")
    'My cat 01'
    """
    stem = Path(path).stem
    words = re.sub(r"[_\W]+", " ", stem).strip()
    return words[:1].upper() + words[1:] if words else stem


def _ids(paths: list[str]) -> list[str]:
    """Return the path of each video without its ending, or with it where two would be the same."""
    stems = pd.Series([str(Path(path).with_suffix("").as_posix()) for path in paths], dtype="str")
    return stems.where(~stems.duplicated(keep=False), pd.Series(paths, dtype="str")).tolist()


def _describe(root: Path, path: str, thumbnail: str) -> tuple[float, str | None]:
    """Return the duration of a video, and its thumbnail's path if there is or can be one."""
    try:
        duration = float(video_io.probe(root / path).duration_s)
        target = root / thumbnail
        if not target.is_file():
            data = io.BytesIO()
            video_io.thumbnail(root / path, _SIZE).save(data, "JPEG", quality=88)
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_whole(target, data.getvalue())
    except video_io.VideoError:
        return np.nan, None
    except OSError:  # the folder is read-only, or the disk is full
        return duration, None
    return duration, thumbnail
