"""A library as a folder of tables and media: reading it, and writing it all or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from filelock import FileLock

from vidrec_utils.datasets import _checks, _problems
from vidrec_utils.datasets._clips import load_videos_alone, no_interactions, video_files
from vidrec_utils.datasets._csv import Table
from vidrec_utils.datasets._files import (
    FORMS,
    KNOWN,
    form_of,
    read_table,
    restore_types,
    table_files,
)
from vidrec_utils.datasets._library import CONTENT_ALONE, EARLIEST, VideoLibrary
from vidrec_utils.datasets._parquet import read_parquet
from vidrec_utils.datasets._problems import LibraryError, Unreadable, problem_frame
from vidrec_utils.datasets._tables import tidy
from vidrec_utils.files import naming

TABLES = ("videos", "interactions", "users")
FORMATS = ("csv", "parquet")
MANIFEST = "library.json"


def load_folder(path: str | Path, check: bool = True) -> VideoLibrary:
    r"""Read a library from a folder.

    The folder holds `videos.csv` or `videos.parquet`, `interactions.csv` or `.parquet`, optionally
    `users.csv` or `.parquet`, and media files anywhere below it, which the tables name by relative
    paths. csv files are UTF-8 (or UTF-16 with its mark), separated by commas; `.tsv` by tabs;
    `.csv.gz` and `.tsv.gz` are packed; `.parquet` may be a folder of parquet files, whose rows are
    counted in the order of their names. Times are ISO 8601 (UTC unless they say otherwise) or
    numbers since 1970.

    A folder that holds videos and no table is read, too: titles are the names of the files,
    thumbnails are made on the way and kept in its folder `thumbnails`, and a warning says so. Such
    a library has no interactions. Nor has a folder with a table of videos and no log, of which a
    warning tells, too.

    An empty cell is a missing value, and so is a word that databases write for it (`NULL`, `None`,
    `nan`, `\N` and the like), in every column; `problems` says where. Among numbers, times and
    flags `NA` is missing, too; among texts it is a word. Columns that the course does not know
    become numbers only where every cell is written as a number is: "007" and "1.10" stay texts.

    Parameters
    ----------
    path : path
        Folder of the library.
    check : bool
        Raise an error if the library is unusable. Without it the library is returned with NA in
        unreadable cells, and `problems` lists what is wrong.

    Raises
    ------
    LibraryError
        If the table of videos is absent, if a table is unreadable, or if `check` finds errors:
        one error that lists all.
    """
    root = Path(path).expanduser().resolve()
    _recover(root)
    if not root.is_dir():
        raise LibraryError(f"There is no folder {root}.")
    if not any(any(table_files(root, table)) for table in TABLES):
        paths, left_out = video_files(root)
        if paths:
            return load_videos_alone(root, paths, left_out)
    manifest = _read_manifest(root)
    dtypes = manifest.get("dtypes", {})
    tables, sources, unreadable = _read_tables(root, dtypes)
    frames = {table: content.frame for table, content in tables.items()}
    rows = {table: content.rows for table, content in tables.items() if content.rows is not None}
    notices = [problem for content in tables.values() for problem in content.problems]
    if len(unreadable):
        tidied = [tidy(t, f, sources[t], rows.get(t)).problems for t, f in frames.items()]
        problems = [unreadable, *notices, *(problem for problems in tidied for problem in problems)]
        _problems.raise_for(_problems.join_problems(problems), f"in {root}")
    notes = manifest.get("notes", {})
    if "interactions" not in frames:
        frames["interactions"] = no_interactions()
        notes = notes | {CONTENT_ALONE: _warn_of_no_log(root, sources["videos"])}
    library = VideoLibrary(
        videos=frames["videos"],
        interactions=frames["interactions"],
        users=frames.get("users"),
        root=root,
        name=manifest.get("name", root.name),
        notes=notes,
        extras=_read_extras(root),
        earliest=manifest.get("earliest", EARLIEST),
        sources=sources,
        file_rows=rows,
    )
    library.add_problems(notices)
    if check:
        library.check()
    return library


def _read_manifest(root: Path) -> dict:
    """Read what `save` notes of a library.

    Raises
    ------
    LibraryError
        If the file is not JSON, or holds something of another type than `save` writes.
    """
    file = root / MANIFEST
    if not file.is_file():
        return {}
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("it is no mapping")
        earliest = _zoned(manifest.get("earliest", EARLIEST))
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable_manifest(file, str(error)) from error
    dtypes = manifest.get("dtypes", {})
    sound = {
        "name": isinstance(manifest.get("name", ""), str),
        "notes": isinstance(manifest.get("notes", {}), dict),
        "dtypes": isinstance(dtypes, dict) and all(map(_names_types, dtypes.values())),
    }
    for entry, is_sound in sound.items():
        if not is_sound:
            raise _unreadable_manifest(file, f"its entry {entry!r} is of another type")
    return {**manifest, "earliest": earliest}


def _names_types(columns: object) -> bool:
    """Whether these are the types of a table's columns, by name."""
    return isinstance(columns, dict) and all(isinstance(dtype, str) for dtype in columns.values())


def _zoned(text: object) -> pd.Timestamp:
    """A point in time, in UTC unless it says otherwise."""
    if not isinstance(text, str | pd.Timestamp):
        raise TypeError(f"its entry 'earliest' is {text!r}, which is no time")
    time = pd.Timestamp(text)
    if time is pd.NaT:
        raise ValueError(f"its entry 'earliest' is {text!r}, which is no time")
    return time.tz_localize("UTC") if time.tz is None else time


def _unreadable_manifest(file: Path, problem: str) -> LibraryError:
    return LibraryError(
        f"{file} is not readable as JSON of a library ({problem}). Correct it, or delete it: "
        "it only holds the library's name and the types of extra columns."
    )


def _read_extras(root: Path) -> dict[str, pd.DataFrame]:
    files = sorted(root.glob("extras/*.parquet"))
    try:
        return {file.stem: read_parquet(file) for file in files}
    except Unreadable as error:
        _problems.raise_for(error.problem, f"in {root / 'extras'}")
        raise


def _read_tables(
    root: Path, dtypes: dict[str, dict[str, str]]
) -> tuple[dict[str, Table], dict[str, str], pd.DataFrame]:
    """Read all tables that can be read, with their file names, and report the others."""
    tables: dict[str, Table] = {}
    sources: dict[str, str] = {}
    unreadable = []
    for table in TABLES:
        optional = ("users", "interactions") if "videos" in tables else ("users",)
        present, other = table_files(root, table)
        if len(present) > 1:
            names = " and ".join(file.name for file in present)
            count = "both files exist" if len(present) == 2 else "all of these files exist"
            remedy = "Keep one of them."
            unreadable.append(problem_frame(names, None, None, None, count, remedy))
        elif not present and (other or table not in optional):
            unreadable.append(_absent(root, table, other))
        for file in present:
            try:
                content = read_table(file)
            except Unreadable as error:
                unreadable.append(error.problem)
                continue
            if form_of(file) != "parquet":
                content = restore_types(content, file.name, dtypes.get(table, {}))
            tables[table], sources[table] = content, file.name
    return tables, sources, _problems.join_problems(unreadable)


def _warn_of_no_log(root: Path, videos: str) -> str:
    text = (
        f"{root} holds {videos} and no table of interactions. Nobody watched anything, so only "
        "content can be compared: to recommend by behaviour, add interactions.csv."
    )
    warnings.warn(text, UserWarning, stacklevel=4)
    return text


def _absent(root: Path, table: str, other: list[Path]) -> pd.DataFrame:
    """Report a table without a file that is read, naming files that look like it."""
    names = f"{table}.csv and {table}.parquet"
    problem, remedy = "neither file exists", f"Put {names.replace(' and ', ' or ')} into {root}."
    if other:
        listed = " and ".join(file.name for file in other)
        verb = "is a form that is" if len(other) == 1 else "are forms that are"
        problem += f", and {listed} {verb} not read"
        endings = ", ".join(f".{form}" for form in FORMS[:-1])
        remedy = f"Save the table as {table} with one of {endings} or .parquet."
    return problem_frame(names, None, None, None, problem, remedy)


# -- writing ---------------------------------------------------------------------------------------


def save_folder(library: VideoLibrary, path: Path, copy_media: bool, format: str) -> Path:
    """Write a library; see `VideoLibrary.save`."""
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; it is one of {', '.join(FORMATS)}.")
    target = path.expanduser().resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    media = _media_to_copy(library) if copy_media else {}
    with _locked(target):
        _swap_back(target)
        _refuse_foreign(target)
        for leftover in target.parent.glob(f".{target.name}.saving-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = target.with_name(f".{target.name}.saving-{uuid.uuid4().hex[:12]}")
        try:
            with naming(target):
                fresh.mkdir()
                _write_tables(library, fresh, format)
                for relative, source in media.items():
                    (fresh / relative).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, fresh / relative)
                _carry_over(target, fresh)
                _swap(fresh, target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return target


def _media_to_copy(library: VideoLibrary) -> dict[str, Path]:
    """Return the relative path and the source of each media file that exists."""
    if library.root is None:
        return {}
    paths = pd.concat([library.videos["path"], library.videos["thumbnail"]]).dropna().unique()
    reasons = {path: _checks.path_problem(library.root, path) for path in paths}
    refused = [f"{path!r} {reason}" for path, reason in reasons.items() if reason]
    if refused:
        shown = "; ".join(refused[:20])
        raise LibraryError(f"{len(refused)} media paths of {library.name} are refused: {shown}.")
    files = {path: library.root / path for path in paths}
    return {path: file for path, file in files.items() if file.is_file()}


def _write_tables(library: VideoLibrary, folder: Path, format: str) -> None:
    dtypes: dict[str, dict[str, str]] = {}
    for table in TABLES:
        frame = getattr(library, table)
        frame = frame.reset_index() if frame.index.name else frame
        dtypes[table] = {c: str(frame[c].dtype) for c in frame.columns if c not in KNOWN}
        if format == "parquet":
            frame.to_parquet(folder / f"{table}.parquet", index=False)
            continue
        for column in (c for c in frame if pd.api.types.is_object_dtype(frame[c])):
            raise LibraryError(
                f"The column {column} of {table} holds lists or other objects, which csv cannot "
                'keep. Save with format="parquet", or drop the column.'
            )
        _write_csv(frame, folder / f"{table}.csv")
    for name, frame in library.extras.items():
        (folder / "extras").mkdir(exist_ok=True)
        frame.to_parquet(folder / "extras" / f"{name}.parquet")
    manifest = {
        "name": library.name,
        "earliest": library.earliest.isoformat(),
        "notes": library.notes,
        "dtypes": dtypes,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _write_csv(frame: pd.DataFrame, file: Path) -> None:
    texts = frame.select_dtypes("str")
    # A lone carriage return ends a row for readers, but writers leave it without quotes.
    returns = any(texts[column].str.contains("\r", regex=False).any() for column in texts)
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    frame.to_csv(file, index=False, encoding="utf-8", lineterminator="\n", quoting=quoting)


def _refuse_foreign(target: Path) -> None:
    """Raise an error when the folder to be replaced holds something that is not a library."""
    if not target.exists():
        return
    known = target.is_dir() and ((target / MANIFEST).is_file() or table_files(target, "videos")[0])
    if not target.is_dir() or (any(target.iterdir()) and not known):
        raise LibraryError(
            f"{target} exists already and is not a library of videos. Save into a new folder."
        )


def _is_table(relative: Path) -> bool:
    top = relative.parts[0]
    tables = {f"{table}.{form}" for table in TABLES for form in FORMS}
    return top.lower() in tables or top in (MANIFEST, "extras")


def _carry_over(old: Path, fresh: Path) -> None:
    """Keep all files of the replaced library except its tables, by hard links where possible."""
    if not old.is_dir():
        return
    for source in old.rglob("*"):
        relative = source.relative_to(old)
        if source.is_dir() and not source.is_symlink():
            continue
        if _is_table(relative) or (fresh / relative).exists():
            continue
        (fresh / relative).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, fresh / relative, follow_symlinks=False)
        except (OSError, NotImplementedError):
            shutil.copy2(source, fresh / relative, follow_symlinks=False)


def _previous(target: Path) -> Path:
    """Return the path that the replaced library has between the two renames."""
    return target.with_name(f".{target.name}.previous")


def _swap(fresh: Path, target: Path) -> None:
    previous = _previous(target)
    if target.exists():
        target.rename(previous)
    fresh.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


def _swap_back(target: Path) -> None:
    """Finish an interrupted save: restore the older library unless the new one is complete."""
    previous = _previous(target)
    if previous.is_dir():
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:
            previous.rename(target)


def _recover(target: Path) -> None:
    if not target.exists() and _previous(target).is_dir():
        with _locked(target):
            _swap_back(target)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let one process at a time replace a folder."""
    with FileLock(target.with_name(f".{target.name}.lock"), timeout=600):
        yield
