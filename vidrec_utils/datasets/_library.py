"""`VideoLibrary`: videos, what people did with them, and the people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from vidrec_utils.datasets import _checks, _problems
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._tables import TEXT, tidy

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

EARLIEST = pd.Timestamp("2000-01-01", tz="UTC")

CONTENT_ALONE = "content_alone"
"""The note of a library that is meant to have no interactions."""

_SIGNALS = {
    "interactions": "no interactions",
    "title": "no titles",
    "tags": "no tags",
    "category": "no categories",
    "description": "no descriptions",
    "uploader": "no uploaders",
    "language": "no languages",
    "published_at": "no times of publication",
    "duration_s": "no durations",
    "path": "no video files",
    "thumbnail": "no thumbnails",
    "timestamp": "no times of the exposures",
    "watch_ratio": "no watch ratios",
    "liked": "no likes",
    "shared": "no shares",
    "disliked": "no dislikes",
    "comment": "no comments",
    "position": "no positions in the list that was shown",
    "session_id": "no sessions",
}


@dataclass(eq=False, repr=False, init=False)
class VideoLibrary:
    """Videos, interactions and users of one platform.

    Frames from anywhere are brought into one shape on construction, without changing them: ids
    become texts, times UTC, every column of the contract exists, and a signal that the source
    lacks is a column of NA, never 0. Construction raises no error about content; `check` does.

    Parameters
    ----------
    videos : pandas.DataFrame
        One row per video, with `video_id` as a column or as the index (an index without a name
        counts unless it is just 0, 1, 2).
    interactions : pandas.DataFrame
        One row per exposure of a video to a user.
    users : pandas.DataFrame, optional
        One row per user, with `user_id` as a column or as the index; made from the interactions
        when absent.
    root : path, optional
        The folder that `path` and `thumbnail` are relative to; None when there are no files.
    name : str
        Name of the library in messages.
    notes : dict
        Remarks and counts of the reader, as JSON can hold them.
    extras : dict of str to pandas.DataFrame
        Further tables of the source, which no module relies on.
    earliest : pandas.Timestamp
        Times before this count as impossible.
    sources : dict of str to str
        File name of each table, for reports.
    file_rows : dict of str to numpy.ndarray
        Row in the file of each record of a table, where it is not simply its index plus 2.

    Attributes
    ----------
    videos : pandas.DataFrame
        Indexed by `video_id` (str): `title`, `tags` (joined with `|`, see `split_tags`),
        `category`, `description`, `uploader`, `language` (str, NaN when missing), `published_at`
        (UTC), `duration_s` (float64, seconds), `path`, `thumbnail` (str, relative to `root`, with
        forward slashes), then any further columns.
    interactions : pandas.DataFrame
        RangeIndex: `user_id`, `video_id` (str), `timestamp` (UTC), `watch_ratio` (float64, watched
        time divided by duration), `liked`, `shared` ("boolean"), `comment` (str), `position`
        ("Int64", rank in the list that was shown), then any further columns; of these `disliked`
        ("boolean") counts against a video, and `duration_s` (float64, seconds) says how long it
        lasted when it was shown.
    users : pandas.DataFrame
        Indexed by `user_id` (str), any columns.

    Examples
    --------
    >>> videos = pd.DataFrame({"video_id": [1, 2], "title": ["Cats", "Dogs"]})
    >>> times = ["2025-03-01T10:00:00Z", "2025-03-02T10:00:00Z"]
    >>> log = pd.DataFrame({"user_id": [7, 7], "video_id": [1, 2], "timestamp": times})
    >>> library = VideoLibrary(videos, log, name="pets")
    >>> library
    VideoLibrary('pets': 2 videos, 2 interactions, 1 users)
    >>> library.interactions["video_id"].tolist()  # ids are texts
    ['1', '2']
    >>> library.has("title"), library.has("watch_ratio")
    (True, False)
    """

    videos: pd.DataFrame
    interactions: pd.DataFrame
    users: pd.DataFrame
    root: Path | None
    name: str
    notes: dict[str, Json]
    extras: dict[str, pd.DataFrame]
    earliest: pd.Timestamp
    sources: dict[str, str]
    file_rows: dict[str, np.ndarray]

    def __init__(
        self,
        videos: pd.DataFrame,
        interactions: pd.DataFrame,
        users: pd.DataFrame | None = None,
        root: str | Path | None = None,
        name: str = "library",
        notes: Mapping[str, Json] | None = None,
        extras: dict[str, pd.DataFrame] | None = None,
        earliest: pd.Timestamp = EARLIEST,
        sources: dict[str, str] | None = None,
        file_rows: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.root = None if root is None else Path(root)
        self.name = name
        self.notes = dict(notes or {})
        self.extras = {} if extras is None else extras
        self.earliest = earliest
        self.sources = {} if sources is None else sources
        self.file_rows = {} if file_rows is None else file_rows
        self.has_users_table = users is not None
        self._reading = _problems.no_problems()
        self.videos = self._tidied("videos", videos)
        self.interactions = self._tidied("interactions", interactions)
        if users is None:
            ids = self.interactions["user_id"].dropna().drop_duplicates().sort_values()
            self.users = pd.DataFrame(index=pd.Index(ids, dtype=TEXT, name="user_id"))
        else:
            self.users = self._tidied("users", users)

    def _tidied(self, table: str, frame: pd.DataFrame) -> pd.DataFrame:
        result = tidy(table, frame, self.source(table), self.file_rows.get(table))
        self._reading = _problems.join_problems([self._reading, *result.problems])
        self.notes.update(result.notes)
        return result.frame

    def add_problems(self, problems: Iterable[pd.DataFrame]) -> None:
        """Add what a reader noticed to what `problems` lists.

        Parameters
        ----------
        problems : iterable of pandas.DataFrame
            Frames with the columns of `problems`.
        """
        self._reading = _problems.join_problems([*problems, self._reading])

    def __repr__(self) -> str:
        return (
            f"VideoLibrary({self.name!r}: {len(self.videos):,} videos, "
            f"{len(self.interactions):,} interactions, {len(self.users):,} users)"
        )

    def source(self, table: str) -> str:
        """Return the file name of a table, or the table's name if it did not come from a file."""
        return self.sources.get(table, table)

    def rows(self, table: str) -> np.ndarray:
        """Return the file row of each record of a table; the header is row 1."""
        known = self.file_rows.get(table)
        return np.arange(len(getattr(self, table))) + 2 if known is None else known

    # -- signals ---------------------------------------------------------------------------------

    def has(self, column: str) -> bool:
        """Whether any video, interaction or user has a value in this column.

        The name of a table, `"interactions"`, asks whether it has any row.
        """
        if column == "interactions":
            return bool(len(self.interactions))
        tables = (self.videos, self.interactions, self.users)
        if column in ("video_id", "user_id"):
            return bool(len(self.videos if column == "video_id" else self.users))
        return any(column in table and bool(table[column].notna().any()) for table in tables)

    def lacking(self, *columns: str) -> list[str]:
        """Name the signals that the library lacks, in words for a sentence.

        Parameters
        ----------
        *columns : str
            Columns such as `"path"` or `"watch_ratio"`, or `"interactions"` for the whole table.

        Returns
        -------
        list of str
            One phrase for each column in which no row has a value, such as "no video files".

        Examples
        --------
        >>> videos = pd.DataFrame({"video_id": ["a"], "title": ["Tea"]})
        >>> views = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
        >>> VideoLibrary(videos, views).lacking("title", "path", "mood")
        ['no video files', 'nothing in the column mood']
        >>> VideoLibrary(videos, views.head(0)).lacking("title", "interactions")
        ['no interactions']
        """
        return [
            _SIGNALS.get(column, f"nothing in the column {column}")
            for column in columns
            if not self.has(column)
        ]

    def require(self, column: str) -> None:
        """Raise an error unless the library has a signal.

        Raises
        ------
        LibraryError
            If no row has a value in this column; the message is a sentence for the reader.
        """
        for lack in self.lacking(column):
            raise LibraryError(
                f"The library {self.name} has {lack} (column {column}), which this step needs."
            )

    def file(self, video_id: str, of: Literal["path", "thumbnail"] = "path") -> Path:
        """Return the path of a video's file or thumbnail; the file itself may still be absent.

        Parameters
        ----------
        video_id : str
            Id of the video.
        of : {"path", "thumbnail"}
            Which of its files.

        Raises
        ------
        LibraryError
            If the video is unknown, names no such file, or names one outside the library's
            folder (directly or through a link).
        """
        if of not in ("path", "thumbnail"):
            raise ValueError(f'of is {of!r}; it is "path" or "thumbnail".')
        if not _contains(self.videos.index, video_id):
            raise LibraryError(f"The library {self.name} has no video {video_id!r}.")
        relative = self.videos[of].get(video_id)
        if isinstance(relative, pd.Series):  # the first, should the id repeat
            relative = relative.iloc[0]
        if not isinstance(relative, str):
            raise LibraryError(f"Video {video_id!r} of the library {self.name} has no {of}.")
        if self.root is None:
            raise LibraryError(
                f"The library {self.name} was made without a folder of files (root)."
            )
        reason = _checks.path_problem(self.root, relative)
        if reason:
            raise LibraryError(f"Video {video_id!r} of {self.name}, {of}: {relative!r} {reason}.")
        return self.root / relative

    # -- subsets ---------------------------------------------------------------------------------

    def subset(
        self,
        video_ids: Iterable[str] | None = None,
        interactions: pd.DataFrame | pd.Series | np.ndarray | None = None,
    ) -> VideoLibrary:
        """Return a new library with a subset of videos, interactions or both; users are unchanged.

        Parameters
        ----------
        video_ids : iterable of str, optional
            Videos to keep, in the library's order; their interactions are kept with them.
        interactions : DataFrame, or booleans of shape (n_interactions,), optional
            Interactions to keep, given as rows or as a mask.

        Raises
        ------
        LibraryError
            If a video is not in the library.
        """
        chosen = self.interactions if interactions is None else interactions
        if not isinstance(chosen, pd.DataFrame):
            mask = np.asarray(chosen, dtype=bool)
            if mask.shape != (len(self.interactions),):
                raise ValueError(
                    f"The mask has shape {mask.shape}, not ({len(self.interactions)},)."
                )
            chosen = self.interactions[mask]
        videos = self.videos
        if video_ids is not None:
            ids = pd.Index(list(video_ids), dtype=TEXT)
            unknown = ids[~ids.isin(videos.index)]
            if len(unknown):
                shown = ", ".join(map(repr, unknown[:5]))
                raise LibraryError(
                    f"{len(unknown)} videos are not in the library {self.name}: {shown}."
                )
            videos = videos[videos.index.isin(ids)]
            chosen = chosen[chosen["video_id"].isin(ids)]
        return VideoLibrary(
            videos=videos,
            interactions=chosen,
            users=self.users,
            root=self.root,
            name=self.name,
            notes=self.notes,
            extras=dict(self.extras),
            earliest=self.earliest,
        )

    def save(
        self,
        path: str | Path,
        copy_media: bool = True,
        format: Literal["csv", "parquet"] = "csv",
    ) -> Path:
        """Write the library as a folder that `load_folder` reads back equal.

        The folder appears complete or not at all: it is written next to its target under another
        name, then the two are exchanged. Saving over an older library keeps its other files.

        Parameters
        ----------
        path : path
            The folder: new, empty, or a library, which is replaced.
        copy_media : bool
            Copy video files and thumbnails along; absent ones are skipped.
        format : {"csv", "parquet"}
            Format of the tables.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        LibraryError
            If the folder holds something that is not a library, if a media path leaves the
            library's folder, or if a column cannot be written as csv.
        """
        from vidrec_utils.datasets._folder import save_folder

        return save_folder(self, Path(path), copy_media, format)

    # -- quality ---------------------------------------------------------------------------------

    def problems(self, now: pd.Timestamp | None = None) -> pd.DataFrame:
        """List everything that is wrong with the library.

        Parameters
        ----------
        now : pandas.Timestamp, optional
            Times more than a day after this are in the future; the clock's time by default.

        Returns
        -------
        pandas.DataFrame
            `file`, `row` (as a spreadsheet shows it: the header is row 1; NA for a whole column or
            file), `column`, `value`, `problem`, `remedy`, `severity`: "error" for what makes the
            library unusable, "warning" for what `preprocessing` can repair.
        """
        return _problems.join_problems([self._reading, _checks.problems(self, now)])

    def check(self, strict: bool = False) -> None:
        """Raise an error unless the library can be used.

        Parameters
        ----------
        strict : bool
            Raise for warnings, too.

        Raises
        ------
        LibraryError
            One error that lists all problems (the first 20 of each kind, and how many more).
        """
        problems = self.problems()
        if not strict:
            problems = problems[problems["severity"] == "error"].reset_index(drop=True)
        location = "" if self.root is None else f" ({self.root})"
        _problems.raise_for(problems, f"{self.name}{location}")

    def duplicates(self) -> pd.DataFrame:
        """List rows that repeat an earlier row; nothing is dropped.

        Returns
        -------
        pandas.DataFrame
            `kind` ("interaction": same user, video and time; "title": same title, and same
            `year` where there is such a column), `file`, `row`, `first_row` (the repeated row).
        """
        return _checks.duplicates(self)


def _contains(index: pd.Index, key: str) -> bool:
    try:
        return key in index
    except (UnicodeEncodeError, TypeError):  # half a character, or no text at all
        return False


@dataclass(frozen=True, eq=False)
class Split:
    """A library's interactions in three parts; model selection never looks at `test`.

    `preprocessing` has functions that split a log; `preprocessing.ready_made_split` takes one that
    somebody else has split.

    Parameters
    ----------
    train : pandas.DataFrame
        Interactions, in the columns of `VideoLibrary.interactions`; `timestamp` may be absent.
    validation, test : pandas.DataFrame or None
        Likewise. None is a part that is meant to be empty, and becomes a frame without rows; a
        frame without rows is an accident, which `preprocessing.check_split` reports.
    videos : pandas.DataFrame
        All videos that can be recommended, as in `VideoLibrary.videos`.
    name : str
        How the log was split, for example "global time".
    left_out : tuple of str
        Names of the parts that are meant to be empty; those given as None are added.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
    >>> split = Split(log[:1], None, log[1:], pd.DataFrame(index=["cat", "dog"]), "by hand")
    >>> len(split.validation), split.left_out
    (0, ('validation',))
    >>> split.summary()[["interactions", "users", "videos"]].to_dict("index")["test"]
    {'interactions': 1, 'users': 1, 'videos': 1}
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    videos: pd.DataFrame
    name: str
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in ("validation", "test"):
            if getattr(self, part) is None:
                object.__setattr__(self, part, self.train.iloc[:0])
                object.__setattr__(self, "left_out", (*self.left_out, part))

    def known(self, on: str) -> pd.DataFrame:
        """Interactions that are known before a part: train, and for the test validation, too.

        Parameters
        ----------
        on : {"validation", "test"}
            The part that is to be predicted.

        Returns
        -------
        pandas.DataFrame
            For the test with a new index, 0, 1, ...

        Raises
        ------
        ValueError
            If there is no such part.

        Examples
        --------
        >>> log = pd.DataFrame({"user_id": ["u", "u", "u"], "video_id": ["a", "b", "c"]})
        >>> videos = pd.DataFrame(index=["a", "b", "c"])
        >>> split = Split(log[:1], log[1:2], log[2:], videos, "by hand")
        >>> split.known("validation")["video_id"].tolist(), split.known("test")["video_id"].tolist()
        (['a'], ['a', 'b'])
        """
        if on not in ("validation", "test"):
            raise ValueError(f"on is {on!r}; choose from 'validation', 'test'.")
        if on == "validation" or not len(self.validation):
            return self.train
        return pd.concat([self.train, self.validation], ignore_index=True)

    def summary(self) -> pd.DataFrame:
        """Size of each part: interactions, users, videos, first and last timestamp.

        Of a split of videos, `interactions` counts the rows, and `users` is missing. Without
        timestamps, `first` and `last` are missing.
        """
        frames = {"train": self.train, "validation": self.validation, "test": self.test}
        rows = {}
        for name, frame in frames.items():
            times = frame.get("timestamp", pd.Series(pd.NaT, index=frame.index))
            rows[name] = {
                "interactions": len(frame),
                "users": frame["user_id"].nunique() if "user_id" in frame else pd.NA,
                "videos": frame.get("video_id", frame.index.to_series()).nunique(),
                "first": times.min(),
                "last": times.max(),
            }
        return pd.DataFrame.from_dict(rows, orient="index")


def split_tags(tags: pd.Series) -> pd.Series:
    """Split tags that are joined with '|' into tuples.

    Parameters
    ----------
    tags : pandas.Series of str
        One text per video, as in `VideoLibrary.videos["tags"]`.

    Returns
    -------
    pandas.Series of tuple of str
        Tags without blanks around them; an empty tuple where there are none.

    Examples
    --------
    >>> tags = pd.Series(["cat|funny cats", None], index=["v1", "v2"])
    >>> split_tags(tags).to_dict()
    {'v1': ('cat', 'funny cats'), 'v2': ()}
    """
    return tags.map(
        lambda text: (
            tuple(tag.strip() for tag in text.split("|") if tag.strip())
            if isinstance(text, str)
            else ()
        )
    ).astype(object)
