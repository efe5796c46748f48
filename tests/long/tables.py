"""Damaged tables: refused with a `LibraryError`, or read with all their rows and every sound cell.

Either cells are changed before a table is written, which is then a sound file with odd contents; or
bytes of the file are changed, and what lies before and behind them has to be as it was.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tests.helpers.damage import damaged_bytes, damaged_json
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.datasets._folder import load_folder
from vidrec_utils.datasets._missing import MISSING_WORDS, NOT_AVAILABLE

Rows = list[dict[str, str]]

ODD_CELLS = (
    'he said "no"', "one, two", "a line\nbreak", "a carriage\rreturn", "both\r\nends", ";", "\t",
    "NULL", "NA", "nan", "None", "\\N", "007", "1.10", "1e5", "=1+1", "-0", "éü漢字😀", "\u2028",
    '"', '""', '"quoted"', " leading", "trailing ", "\ufeffmark", "x" * 5_000, "#", "'", "a|b",
    "\x01", "true", "2025-01-01", "1,5", "\u00a0", "sep=;", "",
)  # fmt: skip
TEXTS = {
    "videos": ("title", "category", "uploader", "code"),
    "interactions": ("comment", "channel"),
}
NUMBERS = {"videos": ("duration_s", "score"), "interactions": ("watch_ratio",)}
FORMS = ("csv", "tsv", "csv.gz", "parquet")
EXPECTED = "expected.json"
NAMES = re.compile(r"(videos|interactions)\.|library\.json")


class Tables(Kind):
    """Folders of two tables in the course's own form."""

    name = "tables"

    def __init__(self, folder: Path) -> None:
        del folder  # each case draws its own

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        tables = drawn(rng)
        kind = ("cells", "bytes", "cells", "bytes", "manifest")[number % 5]
        if kind == "cells":
            for _ in range(int(rng.integers(1, 5))):
                table = "videos" if rng.random() < 0.5 else "interactions"
                names = TEXTS[table] + (NUMBERS[table] if rng.random() < 0.2 else ())
                row = tables[table][int(rng.integers(len(tables[table])))]
                row[names[int(rng.integers(len(names)))]] = str(rng.choice(ODD_CELLS))
        expected = {name: {"rows": rows} for name, rows in tables.items()}
        form = str(rng.choice(FORMS))
        for name, rows in tables.items():
            (folder / f"{name}.{form}").write_bytes(encoded(rows, form, rng))
        if kind == "manifest":
            content = damaged_json(MANIFEST, rng)
            (folder / "library.json").write_text(json.dumps(content), encoding="utf-8")
        if kind == "bytes":
            name = "videos" if rng.random() < 0.5 else "interactions"
            file = folder / f"{name}.{form}"
            before = file.read_bytes()
            after = damaged_bytes(before, rng)
            file.write_bytes(after)
            expected[name] = _beside(tables[name], form, before, after)
        (folder / EXPECTED).write_text(json.dumps(expected), encoding="utf-8")

    def examine(self, folder: Path) -> str:
        try:
            library = load_folder(folder, check=False)
            problems = library.problems()
        except LibraryError as error:
            if not NAMES.search(str(error)):
                raise AssertionError("the error names no file") from error
            return "refused"
        differences = self._differences(library, folder)
        silent = problems.empty or not (problems["file"].notna()).any()
        assert not differences or not silent, "; ".join(differences[:5])
        try:
            library.check()
        except LibraryError:
            return "read, and refused by its check"
        return "read as it was" if not differences else "read otherwise, and told"

    def _differences(self, library: VideoLibrary, folder: Path) -> list[str]:
        file = folder / EXPECTED
        if not file.exists():  # a case of the corpus, which says itself how it ends
            return []
        expected = json.loads(file.read_text(encoding="utf-8"))
        frames = {"videos": library.videos.reset_index(), "interactions": library.interactions}
        return [
            difference
            for name, content in expected.items()
            for difference in _compared(name, frames[name], content)
        ]


MANIFEST = {
    "name": "made up",
    "earliest": "2005-01-01T00:00:00+00:00",
    "notes": {"seed": 1},
    "dtypes": {
        "videos": {"code": "str", "score": "float64"},
        "interactions": {"channel": "str", "day": "datetime64[us, UTC]"},
    },
}


def drawn(rng: np.random.Generator) -> dict[str, Rows]:
    """Videos and interactions of sound cells, as texts."""
    videos = [
        {
            "video_id": f"v{number:03d}",
            "title": f"title {number} of many",
            "category": ["cats", "dogs"][number % 2],
            "uploader": f"channel{number % 3}",
            "duration_s": f"{rng.integers(10, 900) / 10}",
            "score": str(rng.integers(100)),
            "code": f"{rng.integers(1000):04d}",
        }
        for number in range(int(rng.integers(3, 30)))
    ]
    interactions = [
        {
            "user_id": f"u{rng.integers(9)}",
            "video_id": str(rng.choice([video["video_id"] for video in videos])),
            "timestamp": f"2025-03-{number % 28 + 1:02d}T{rng.integers(24):02d}:30:00Z",
            "watch_ratio": f"{rng.integers(1, 100) / 100}",
            "comment": f"comment {number}",
            "channel": ["app", "web"][number % 2],
        }
        for number in range(int(rng.integers(3, 60)))
    ]
    return {"videos": videos, "interactions": interactions}


def encoded(rows: Rows, form: str, rng: np.random.Generator) -> bytes:
    """A table in one of its forms: separators, quotes, ends of lines and marks vary."""
    if form == "parquet":
        sink = io.BytesIO()
        pa.parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
        return sink.getvalue()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text,
        list(rows[0]),
        delimiter="\t" if form == "tsv" else ",",
        quoting=csv.QUOTE_ALL if rng.random() < 0.5 else csv.QUOTE_MINIMAL,
        lineterminator="\r\n" if rng.random() < 0.3 else "\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode(str(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])))
    return gzip.compress(data) if form == "csv.gz" else data


def _beside(rows: Rows, form: str, before: bytes, after: bytes) -> dict[str, object]:
    """What damaged bytes leave certain.

    `first` and `last` are the numbers of rows at both ends that damage cannot have reached, `count`
    that of all rows, if another reader can tell. Without them all rows have to be as they were.
    """
    if form == "csv.gz":  # which has a checksum
        return {"rows": rows}
    if form == "parquet":  # which has none, and is packed: any cell may be another
        return {"rows": rows, "first": 0, "last": 0, "count": _rows_of_parquet(after)}
    shorter = min(len(before), len(after))
    prefix = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    suffix = next((i for i in range(shorter) if before[-1 - i] != after[-1 - i]), shorter)
    suffix = min(suffix, shorter - prefix)
    end = b"\n\0" if before[:2] in (b"\xff\xfe", b"\xfe\xff") else b"\n"
    first = max(0, before[:prefix].count(end) - 1)
    last = max(0, before[len(before) - suffix :].count(end) - 1)
    header = before[:prefix].count(end) > 0
    return {
        "rows": rows,
        "first": first if header else 0,
        "last": last if header else 0,
        "count": _rows_of_text(after, "\t" if form == "tsv" else ","),
    }


def _rows_of_parquet(data: bytes) -> int | None:
    """The rows that a file itself says it has, if it says anything."""
    try:
        return pa.parquet.ParquetFile(io.BytesIO(data)).metadata.num_rows
    except Exception:  # it is refused, then
        return None


def _rows_of_text(data: bytes, delimiter: str) -> int | None:
    """The rows that another reader sees in a file, if it can read it."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = io.StringIO(data.decode(encoding), newline="")
        return sum(1 for row in csv.reader(text, delimiter=delimiter) if row) - 1
    except (UnicodeDecodeError, csv.Error):
        return None


def _compared(name: str, frame: pd.DataFrame, content: Mapping) -> list[str]:
    """What in a table is not as it was, as sentences."""
    rows = content["rows"]
    first, last = content.get("first", len(rows)), content.get("last", 0)
    count = content.get("count", len(rows))
    if len(frame) < first + last or count not in (None, len(frame)):
        return [f"{name} has {len(frame)} rows, not {count}, of which {first + last} are sound"]
    shift = len(frame) - len(rows)
    sound = [*enumerate(rows[:first]), *list(enumerate(rows, shift))[len(rows) - last :]]
    return [
        f"{name}, row {index}, {column}: {frame[column].iloc[index]!r} for {cell!r}"
        for index, row in sound
        for column, cell in row.items()
        if column in frame and not _same(cell, frame[column].iloc[index], frame[column].dtype)
    ]


def _same(cell: str, value: object, dtype: object) -> bool:
    """Whether a cell was read as what the file has."""
    if pd.isna(value):
        return cell.strip() in ("", *MISSING_WORDS, *NOT_AVAILABLE)
    if isinstance(value, str):
        return value == cell
    if isinstance(value, pd.Timestamp):
        return value == pd.Timestamp(cell)
    return float(value) == float(cell)


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(Tables, count, seed, folder, progress)
