"""Awkward tables made from a seed, and what a reader may do with them: read all, or refuse.

A case is one `videos` table in one of the forms that `datasets.load_folder` reads, sound or damaged
in one of the ways in which programs, people and disks damage tables. Python's own csv reader in its
strict mode says what a text holds: what it refuses must be refused, and of what it reads every
record and every character must arrive, or be refused, or (rows in one cell) be told.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vidrec_utils import datasets
from vidrec_utils.datasets import LibraryError

LOG = "user_id,video_id,timestamp\nu,v0,2024-05-01T10:00:00Z\n"
MISSING = (
    *("NULL", "null", "None", "nan", "NaN", "NaT", "\\N", "<NA>"),
    *("(null)", "(NULL)", "[NULL]", "<null>", "<NULL>"),
)
CELLS = (
    *("", "cats", "Amélie", "\N{CAT FACE} x", "two\nlines", "a,b", 'he said "hi"', "tab\there"),
    *("007", "1.10", "1e3", "72057594063179775399", "720575940631797753", "0.5", "4.0", "True"),
    *("NULL", "nan", "NA", "\\N", " padded ", "2024-05-01", "=1+1", "\r", ";", "x" * 300, "'"),
)
LETTERS = 'abz019 ,;"\t\n\r|é\N{CAT FACE}\\-.'
FORMS = ("csv", "csv", "csv", "tsv", "csv.gz", "parquet")


@dataclass(frozen=True)
class Case:
    """One table as the bytes of a file.

    Attributes
    ----------
    name : str
        Name of the file.
    data : bytes
    damage : str
        What was done to it.
    """

    name: str
    data: bytes
    damage: str


def cases(count: int, seed: int) -> Iterator[Case]:
    """Go through `count` cases; the same seed gives the same ones."""
    for number in range(count):
        yield drawn(np.random.default_rng([seed, number]))


def drawn(rng: np.random.Generator) -> Case:
    """Draw one case."""
    form = str(rng.choice(FORMS))
    header, rows = _table(rng)
    if form == "parquet":
        data = _parquet(header, rows, rng)
    else:
        data = _text(header, rows, "\t" if form == "tsv" else ",", rng).encode("utf-8")
    damage = str(rng.choice(list(DAMAGES)))
    data = DAMAGES[damage](data, rng)
    if form == "csv.gz":
        data = gzip.compress(data)
        if damage == "cut off" and rng.random() < 0.5:
            data = data[: int(rng.integers(0, len(data)))]
    return Case(f"videos.{form}", data, damage)


def check(case: Case, folder: Path) -> str:
    """Load a case from a folder of its own; returns "read" or "refused".

    Raises
    ------
    AssertionError
        If a record or a character is lost without a word.
    Exception
        Whatever else loading raises that is no `LibraryError`.
    """
    folder.mkdir(parents=True)
    (folder / case.name).write_bytes(case.data)
    (folder / "interactions.csv").write_text(LOG, encoding="utf-8")
    try:
        library = datasets.load_folder(folder, check=False)
        problems = library.problems()
    except LibraryError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "videos" in refusal, "the refusal names the file"
        return "refused"
    if case.name.endswith("parquet"):
        if case.damage == "none":
            _compare(_reference_parquet(case.data), library.videos)
        return "read"
    text = case.data if case.name != "videos.csv.gz" else gzip.decompress(case.data)
    header, records = reference(text, "\t" if "tsv" in case.name else ",")
    assert len(library.videos) == len(records), f"{len(records)} records, {len(library.videos)}"
    _compare(_columns(header, records), library.videos)
    swallowed = [
        cell
        for record in records
        for cell in record
        if any(
            line.count("\t" if "tsv" in case.name else ",") == len(header) - 1
            for line in re.split("\r\n|\r|\n", cell)[1:]
        )
    ]
    if swallowed and len(header) > 1:
        assert problems["problem"].str.contains("lines like rows").any(), "rows in one cell"
    return "read"


def reference(data: bytes, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the records of a text as Python's csv reader has them.

    Raises
    ------
    csv.Error
        If it is no csv.
    UnicodeDecodeError
        If it is in no encoding that is read.
    """
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if marked else "utf-8-sig").lstrip("\r\n")
    named = re.match(r'(?i)"?sep=([^\r\n"])"?[\t,;| ]*(\r\n|\r|\n)', text)
    if named:
        text, delimiter = text[named.end() :].lstrip("\r\n"), named[1]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    filled = [record for record in lines if record]
    header, records = filled[0], filled[1:]
    assert all(len(record) == len(header) for record in records), "records of several lengths"
    return [name.strip() for name in header], records


def run(count: int, seed: int, folder: Path) -> Counter[str]:
    """Check cases; returns how many were read and refused, also by damage."""
    outcomes: Counter[str] = Counter()
    for number, case in enumerate(cases(count, seed)):
        try:
            outcome = check(case, folder / str(number))
        except Exception as error:
            raise AssertionError(f"case {number} of seed {seed}, {case}: {error!r}") from error
        outcomes[outcome] += 1
        outcomes[f"{outcome}, {case.damage}"] += 1
    return outcomes


# -- what the cases hold ---------------------------------------------------------------------------


def _table(rng: np.random.Generator) -> tuple[list[str], list[list[str]]]:
    header = ["video_id", "title", *(["tags"] if rng.random() < 0.5 else [])]
    header += [f"code{n}" for n in range(int(rng.integers(0, 3)))]
    rows = [
        [f"v{row}", *(_cell(rng) for _ in header[1:])] for row in range(int(rng.integers(1, 9)))
    ]
    return header, rows


def _cell(rng: np.random.Generator) -> str:
    if rng.random() < 0.7:
        return str(rng.choice(CELLS))
    return "".join(rng.choice(list(LETTERS), int(rng.integers(0, 9))))


def _text(header: list[str], rows: list[list[str]], delimiter: str, rng) -> str:
    out = io.StringIO(newline="")
    end = str(rng.choice(["\n", "\r\n", "\r"]))
    quoting = csv.QUOTE_ALL if rng.random() < 0.3 else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(header)
    for row in rows:
        if rng.random() < 0.1:
            out.write(end)  # a blank line
        writer.writerow(row)
    return out.getvalue()


def _parquet(header: list[str], rows: list[list[str]], rng: np.random.Generator) -> bytes:
    columns = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    table = pa.table(columns)
    whole = [int(n) if rng.random() < 0.8 else None for n in rng.integers(0, 2**62, len(rows))]
    table = table.append_column("whole", pa.array(whole, pa.int64()))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _at(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(0, len(data) + 1))


def _insert(*pieces: bytes):
    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        position = _at(data, rng)
        return data[:position] + pieces[int(rng.integers(len(pieces)))] + data[position:]

    return damage


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        out[int(rng.integers(len(out)))] = int(rng.integers(256))
    return bytes(out)


def _two_marks(data: bytes, rng: np.random.Generator) -> bytes:
    return _insert(b'"')(_insert(b'"')(data, rng), rng)


def _after_delimiter(data: bytes, rng: np.random.Generator) -> bytes:
    """A stray mark where it does most harm: at the start of a cell."""
    starts = [match.end() for match in re.finditer(rb"[,\t\n]", data)] or [0]
    position = starts[int(rng.integers(len(starts)))]
    return data[:position] + b'"' + data[position:]


def _drop(data: bytes, rng: np.random.Generator) -> bytes:
    position = _at(data, rng)
    return data[:position] + data[position + int(rng.integers(1, 20)) :]


def _utf_16(data: bytes, rng: np.random.Generator) -> bytes:
    return data.decode("utf-8", "replace").encode("utf-16")


DAMAGES = {
    "none": lambda data, rng: data,
    "bytes changed": _flip,
    "cut off": lambda data, rng: data[: _at(data, rng)],
    "bytes lost": _drop,
    "a stray mark": _after_delimiter,
    "two stray marks": _two_marks,
    "separators": _insert(b",", b";", b"\t", b",,", b"|"),
    "line ends": _insert(b"\n", b"\r", b"\r\n\r\n", b"\x0b", b"\x0c", b"\xe2\x80\xa8"),
    "odd bytes": _insert(b"\x00", b"\xff", b"\xed\xa0\x80", b"\x1a", b"\xc3"),
    "a separator line": lambda data, rng: (b"sep=,\n" if rng.random() < 0.7 else b"sep=;\n") + data,
    "a mark of UTF-8": lambda data, rng: b"\xef\xbb\xbf" + data,
    "UTF-16": _utf_16,
}


# -- comparing -------------------------------------------------------------------------------------


def _columns(header: list[str], records: list[list[str]]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {}
    for at, name in enumerate(header):
        columns.setdefault(name, [record[at] for record in records])
    return columns


def _reference_parquet(data: bytes) -> dict[str, list[object]]:
    return pq.ParquetFile(io.BytesIO(data)).read().to_pydict()


def _compare(expected: dict[str, list[object]], videos: pd.DataFrame) -> None:
    """Compare texts of the file, and numbers as they are written, with a table of videos."""
    frame = videos.reset_index()
    numbers = {"duration_s", "published_at"}  # read by their unit, which other tests check
    for name, cells in expected.items():
        if name in numbers or name not in frame:
            assert name in numbers or not any(cells), f"the column {name!r} is gone"
            continue
        for cell, value in zip(cells, frame[name].tolist(), strict=True):
            missing = cell is None or cell == "" or str(cell).strip() in MISSING
            if missing:
                assert pd.isna(value), f"{name}: {cell!r} became {value!r}"
            else:
                assert _written(value) >= {str(cell)}, f"{name}: {cell!r} became {value!r}"


def _written(value: object) -> set[str]:
    """Return the ways in which a value may stand in a file."""
    if isinstance(value, float) and value.is_integer():
        return {repr(value), str(int(value))}
    return {str(value), str(value).lower()} if isinstance(value, bool) else {str(value)}
