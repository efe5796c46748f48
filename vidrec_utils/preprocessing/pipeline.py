"""All cleaning steps in order, with one report and a cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from vidrec_utils import cache as kept_results
from vidrec_utils import settings, video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.files import draft_folder, naming, sha256
from vidrec_utils.preprocessing.behavior import drop_bots, drop_incomplete, fix_timestamps
from vidrec_utils.preprocessing.duplicates import exact_duplicates, merge_tables, near_duplicates
from vidrec_utils.preprocessing.hashing import in_parallel
from vidrec_utils.preprocessing.media import repair_durations, survey, treat_media
from vidrec_utils.preprocessing.missing import DEFAULT_STRATEGIES, fill_missing
from vidrec_utils.preprocessing.report import FIRST_RECORD, Report, Step, empty_report
from vidrec_utils.preprocessing.text import clean_tags, clean_text

Tables = tuple[pd.DataFrame, pd.DataFrame]
StepResult = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def clean(
    library: VideoLibrary,
    *,
    now: pd.Timestamp | None = None,
    strategies: Mapping[str, object] | None = None,
    cache: bool = True,
    progress: bool = True,
    budget: video_io.Budget | None = None,
) -> tuple[VideoLibrary, Report]:
    """Clean a library: every step of this subject, in the order in which they help each other.

    1. rows of the log that lack user, video or time, and impossible timestamps, are dropped;
    2. bots are dropped with their exposures;
    3. files that are broken for certain and black ones are dropped with their exposures; noisy,
       frozen and doubtful ones, and those that cannot be read here, are kept and noted;
    4. durations are checked against the files;
    5. exact and near duplicates are merged into the earliest upload;
    6. titles, descriptions and tags are normalized;
    7. missing titles, tags, categories, durations are filled.

    The log comes first because later steps remove videos, and the files before the text because
    a duplicate needs no title. A step is skipped if the library lacks its signal; the
    report says so.

    Parameters
    ----------
    library : VideoLibrary
        Not changed.
    now : Timestamp, optional
        Later timestamps lie in the future; default the end of the log, see `infer_now`.
    strategies : mapping, optional
        For missing values, see `fill_missing`. They learn from all videos here; in an experiment
        fit `MissingValues` on the training videos instead.
    cache : bool
        Keep the result in `settings.cache_dir()`, keyed by the content of tables and files, and
        use it next time. A cache that cannot be written costs a warning, never the result.
    progress : bool
        Show progress bars.
    budget : video_io.Budget, optional
        What reading one file may cost; default `video_io.Budget()`. A file that costs more is kept
        and noted.

    Returns
    -------
    library : VideoLibrary
        The cleaned library, with the same root.
    report : Report
        Every row that was changed; `print(report.summary())` describes it in sentences.

    Raises
    ------
    vidrec_utils.datasets.LibraryError
        If the library has errors that cleaning cannot repair, such as duplicate ids.

    Warns
    -----
    RuntimeWarning
        If the result could not be kept in the cache.

    Examples
    --------
    >>> times = ["2025-03-01", "2025-03-02", "1970-01-01"]  # no platform is that old
    >>> log = pd.DataFrame({"user_id": "anna", "video_id": ["v1", "v2", "v1"], "timestamp": times})
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2"], "title": ["Ｃats!!!!", "Dogs"]})
    >>> cleaned, report = clean(VideoLibrary(videos, log), cache=False, progress=False)
    >>> len(cleaned.interactions), list(cleaned.videos["title"])
    (2, ['Cats!', 'Dogs'])
    >>> print(report.of("before the platform"), report.of("normal form"))
    ['anna'] ['v1']
    """
    library.check()
    if cache:
        folder = settings.cache_dir() / "cleaning" / _key(library, now, strategies, budget)
        kept = _load(folder, library)
        if kept is not None:
            kept_results.record(kept_results.Lookup("cleaning", 0, 1, 0.0))
            return kept
    with kept_results.recorded("cleaning"):
        tables, steps = _run(library, now, strategies, progress, budget)
    report = Report(tuple(_original_rows(step, library) for step in steps))
    result = _with_tables(library, *tables, report)
    if cache:
        try:
            _store(folder, result, report)
        except (OSError, pa.ArrowException) as error:
            warnings.warn(
                f"The cleaned library could not be kept in {folder.parent} ({error}), so the next "
                "run cleans it again; set VIDREC_DATA to a folder that can be written, or pass "
                "cache=False.",
                RuntimeWarning,
                stacklevel=2,
            )
    return result, report


def _run(
    library: VideoLibrary,
    now: pd.Timestamp | None,
    strategies: Mapping[str, object] | None,
    progress: bool,
    budget: video_io.Budget | None = None,
) -> tuple[Tables, list[Step]]:
    """Apply all steps to the tables; the log keeps its index, so rows stay known."""
    videos, log = library.videos, library.interactions
    seen: dict[str, Any] = {}

    def times(videos: pd.DataFrame, log: pd.DataFrame) -> StepResult:
        return videos, *fix_timestamps(log, videos, now=now, start=library.earliest)

    def files(videos: pd.DataFrame, log: pd.DataFrame) -> StepResult:
        media, seen["prints"] = survey(library, progress=progress, budget=budget)
        seen["media"] = media
        return treat_media(videos, log, media)

    def exact(videos: pd.DataFrame, log: pd.DataFrame) -> StepResult:
        gone = library.videos.index.difference(videos.index)
        copies = exact_duplicates(library, exclude=gone, progress=False)
        return merge_tables(videos, log, copies)

    def near(videos: pd.DataFrame, log: pd.DataFrame) -> StepResult:
        prints = {v: p for v, p in seen["prints"].items() if v in videos.index}
        return merge_tables(videos, log, near_duplicates(library, prints, progress=False))

    plan: list[tuple[str, str, Callable[..., StepResult]]] = [
        ("incomplete rows", "user_id", _on_log(drop_incomplete)),
        ("timestamps", "timestamp", times),
        ("bots", "timestamp", _on_log(drop_bots)),
        ("files", "path", files),
        ("durations", "path", _on_videos(lambda v: repair_durations(v, seen["media"]))),
        ("exact duplicates", "path", exact),
        ("near duplicates", "path", near),
        ("text", "title", _on_videos(clean_text)),
        ("tags", "tags", _on_videos(clean_tags)),
        ("missing values", "", _on_videos(lambda v: fill_missing(v, _plan(v, strategies)))),
    ]
    steps = []
    bar = tqdm(plan, desc="cleaning", disable=not progress)
    for name, signal, step in bar:
        bar.set_postfix_str(name)
        if signal and not library.has(signal):
            steps.append(Step(name, skipped=_lack(library, signal)))
            continue
        videos, log, report = step(videos, log)
        steps.append(Step(name, report))
    return (videos, log), steps


def _on_log(function: Callable[[pd.DataFrame], Tables]) -> Callable[..., StepResult]:
    return lambda videos, log: (videos, *function(log))


def _on_videos(function: Callable[[pd.DataFrame], Tables]) -> Callable[..., StepResult]:
    def step(videos: pd.DataFrame, log: pd.DataFrame) -> StepResult:
        cleaned, report = function(videos)
        return cleaned, log[log["video_id"].isin(cleaned.index)], report

    return step


def _plan(videos: pd.DataFrame, strategies: Mapping[str, object] | None) -> dict[str, object]:
    """Return the default strategies for columns with any value: all-NA is an absent signal."""
    if strategies is not None:
        return dict(strategies)
    return {
        column: strategy
        for column, strategy in DEFAULT_STRATEGIES.items()
        if column in videos and videos[column].notna().any()
    }


def _lack(library: VideoLibrary, signal: str) -> str:
    """Return the library's own words for what it lacks, as a clause."""
    try:
        library.require(signal)
    except LibraryError as error:
        words = str(error).split(" (column")[0]
        return words[0].lower() + words[1:]
    return f"the library has nothing in {signal}"


def _original_rows(step: Step, library: VideoLibrary) -> Step:
    """Convert positions into rows of the files that the library was read from.

    A user of the log whom the table of users lacks has no row there: NA.
    """
    report = step.report
    if report.empty:
        return step
    rows = report["row"].to_numpy(copy=True)
    known = np.ones(len(rows), dtype=bool)
    log = (report["table"] == "interactions").to_numpy()
    rows[log] = library.rows("interactions")[rows[log] - FIRST_RECORD]
    for table, index in (("videos", library.videos.index), ("users", library.users.index)):
        of_table = np.flatnonzero(report["table"] == table)
        positions = index.get_indexer(report["id"].iloc[of_table])
        known[of_table] = positions >= 0
        rows[of_table[positions >= 0]] = library.rows(table)[positions[positions >= 0]]
    if not known.all():
        rows = pd.array(rows, dtype="Int64")
        rows[~known] = pd.NA
    return Step(step.name, report.assign(row=rows), step.skipped)


def _with_tables(
    library: VideoLibrary, videos: pd.DataFrame, log: pd.DataFrame, report: Report
) -> VideoLibrary:
    frame = report.frame
    bots = frame.loc[frame["table"] == "users", "id"]
    return VideoLibrary(
        videos=videos,
        interactions=log.reset_index(drop=True),
        users=library.users[~library.users.index.isin(bots)],
        root=library.root,
        name=library.name,
        notes={**library.notes, "cleaned": True},
        extras=dict(library.extras),
        earliest=library.earliest,
    )


def _key(
    library: VideoLibrary,
    now: pd.Timestamp | None,
    strategies: Mapping[str, object] | None,
    budget: video_io.Budget | None = None,
) -> str:
    """Digest of everything that the result depends on: tables, files, options and this code."""
    digest = hashlib.sha256(_code_version().encode())
    options = (str(now), str(library.earliest), sorted((strategies or {}).items(), key=str))
    digest.update(repr((*options, budget or video_io.Budget())).encode())
    for table in ("videos", "interactions", "users"):
        frame = getattr(library, table)
        digest.update(repr([table, *frame.columns, frame.index.name]).encode())
        digest.update(pd.util.hash_pandas_object(_hashable(frame)).to_numpy().tobytes())
        # The report names rows of the files, which blank lines there move.
        digest.update(np.asarray(library.rows(table), dtype=np.int64).tobytes())
    with_file = list(library.videos.index[library.videos["path"].notna()])
    checksums = in_parallel(lambda v: _checksum(library, v), with_file, "checksums", False)
    digest.update(repr(checksums).encode())
    return digest.hexdigest()[:32]


def _hashable(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert lists, arrays and the like to texts, since only plain values have a hash."""
    texts = {
        name: column.map(_whole_text)
        for name, column in frame.items()
        if column.dtype == object or isinstance(column.dtype, pd.ArrowDtype)
    }
    return frame.assign(**texts)


def _whole_text(value: object) -> str:
    # The repr of a long array leaves out its middle.
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


def _checksum(library: VideoLibrary, video_id: str) -> str:
    try:
        return sha256(library.file(video_id))
    except (LibraryError, OSError):
        return "absent"


def _code_version() -> str:
    """Hash of these sources: an improved detector or reader must not find old results."""
    folders = (Path(__file__).parent, Path(video_io.__file__).parent)
    sources = [source for folder in folders for source in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _store(folder: Path, library: VideoLibrary, report: Report) -> None:
    """Write a result; the folder appears complete or not at all."""
    steps = [{"name": step.name, "skipped": step.skipped} for step in report]
    frames = {
        "videos": library.videos,
        "interactions": library.interactions,
        "report": report.frame,
    }
    with draft_folder(folder) as draft, naming(folder):
        made = draft / "result"
        made.mkdir()
        for name, frame in frames.items():
            frame.to_parquet(made / f"{name}.parquet")
        hashes = {name: sha256(made / f"{name}.parquet") for name in frames}
        content = {"steps": steps, "sha256": hashes}
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        (made / "steps.json").write_text(
            json.dumps({**content, "digest": digest}), encoding="utf-8"
        )
        if _content(folder) is None:  # a result that was damaged makes room
            shutil.rmtree(folder, ignore_errors=True)
        # Another process may have been faster; its result is the same.
        with contextlib.suppress(OSError):
            made.replace(folder)


def _content(folder: Path) -> list[dict[str, Any]] | None:
    """The steps of a stored result whose files are what was written, else None."""
    try:
        content = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
        digest = content.pop("digest")
        same = digest == hashlib.sha256(json.dumps(content).encode()).hexdigest() and all(
            sha256(folder / f"{name}.parquet") == known for name, known in content["sha256"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return content["steps"] if same else None


def _load(folder: Path, library: VideoLibrary) -> tuple[VideoLibrary, Report] | None:
    """Read a stored result, or return None when no readable one exists, or it was changed."""
    names = _content(folder)
    if names is None:
        return None
    videos = pd.read_parquet(folder / "videos.parquet")
    log = pd.read_parquet(folder / "interactions.parquet")
    rows = pd.read_parquet(folder / "report.parquet")
    of_step = {name: part.drop(columns="step") for name, part in rows.groupby("step", sort=False)}
    steps = [
        Step(
            step["name"],
            of_step.get(step["name"], empty_report()).reset_index(drop=True),
            step["skipped"],
        )
        for step in names
    ]
    report = Report(tuple(steps))
    return _with_tables(library, videos, log, report), report
