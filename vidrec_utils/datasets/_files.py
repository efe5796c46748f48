"""Reading one table: csv as texts with the row of whatever is broken, parquet as it is."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from vidrec_utils.datasets import _problems
from vidrec_utils.datasets._problems import problem_frame
from vidrec_utils.datasets._tables import (
    INTERACTION_COLUMNS,
    KEYS,
    OPTIONAL_COLUMNS,
    VIDEO_COLUMNS,
    cast_text,
)

KNOWN = {*KEYS.values(), *VIDEO_COLUMNS, *INTERACTION_COLUMNS, *OPTIONAL_COLUMNS}


class Unreadable(Exception):
    """A file cannot be read; `.problem` is the row to report."""

    def __init__(self, problem: pd.DataFrame) -> None:
        super().__init__(problem)
        self.problem = problem


def unreadable(file: Path, row: int | None, problem: str, remedy: str) -> Unreadable:
    """Build the exception for a file, with the row where reading failed if it is known."""
    rows = None if row is None else [row]
    return Unreadable(problem_frame(file.name, rows, None, None, problem, remedy))


def read_table(file: Path) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Read a csv file as texts, or a parquet file as it is.

    Returns
    -------
    frame : pandas.DataFrame
        The table.
    rows : numpy.ndarray of int or None
        The row of each record where blank lines shift them, else None.
    """
    if file.suffix == ".csv":
        return _read_csv(file)
    try:
        return pa.parquet.read_table(file).to_pandas(), None
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise unreadable(
            file, None, f"not readable as parquet: {first}", "Write it anew."
        ) from error


def _read_csv(file: Path) -> tuple[pd.DataFrame, np.ndarray | None]:
    data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise unreadable(file, None, "the file is empty", "Write a header and rows.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8"
        raise unreadable(file, line, problem, 'Save the file as "CSV UTF-8".') from error
    header = next(csv.reader(io.StringIO(data[: 1 << 20].decode("utf-8", "ignore"))), [])
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=max(1 << 16, min(len(data) + 1, 1 << 30))
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _broken_csv(file, str(error)) from error
    frame = pd.DataFrame({i: column.to_pandas() for i, column in enumerate(table.columns)})
    frame = frame.astype("str").set_axis([name.strip() for name in table.column_names], axis=1)
    if "" in frame and frame[[""]].isna().all(axis=None):
        frame = frame.drop(columns="")  # every line ends with a comma
    return frame, _shifted_rows(data, len(frame))


def _broken_csv(file: Path, message: str) -> Unreadable:
    remedy = "Put cells that hold commas, quotes or line breaks into double quotes, and close them."
    counted = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if counted:
        row, expected, got = map(int, counted.groups())
        return unreadable(file, row, f"the row has {got} cells, the header {expected}", remedy)
    return unreadable(file, None, f"not readable as csv: {message.splitlines()[0]}", remedy)


def _shifted_rows(data: bytes, n_records: int) -> np.ndarray | None:
    """Return the row of each record when blank lines, which are skipped, shift them."""
    if not re.search(rb"\n\r?\n", data.rstrip()) and not data.startswith((b"\n", b"\r\n")):
        return None
    records = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    filled = [row for row, record in enumerate(records, start=1) if record]
    return np.array(filled[1:]) if len(filled) == n_records + 1 else None


# -- types of columns that the contract does not know ----------------------------------------------


_NULLABLE = {
    "bool": (pa.bool_(), pd.BooleanDtype()),
    "boolean": (pa.bool_(), pd.BooleanDtype()),
    "uint": (pa.uint64(), pd.UInt64Dtype()),
    "int": (pa.int64(), pd.Int64Dtype()),
}
"""Types of the cells of a column, by the kind of the type that it is to have."""


def restore_types(frame: pd.DataFrame, dtypes: dict[str, str]) -> pd.DataFrame:
    """Give columns of a csv file their types: those noted when it was saved, else guessed.

    Columns of the contract stay texts here; `tidy` reads them, with reports.
    """
    out = {}
    for position, column in enumerate(frame.columns):
        values = frame.iloc[:, position]
        if column in KNOWN or column in out or not frame.columns.is_unique:
            continue
        noted = dtypes.get(column)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            out[column] = values if noted in ("str", "object") else _typed(values, noted)
    return frame.assign(**out)


def _typed(values: pd.Series, dtype: str | None) -> pd.Series:
    if dtype is None:
        return _guessed(values)
    if dtype.startswith("datetime64"):
        times = pd.to_datetime(values, format="ISO8601", utc="UTC" in dtype)
        return times.astype(dtype)
    kind = dtype.lower().rstrip("0123456789")
    if kind == "float":
        cells = cast_text(values, pa.float64()).to_numpy(zero_copy_only=False)
    elif kind in _NULLABLE:
        arrow_type, nullable = _NULLABLE[kind]
        cells = nullable.__from_arrow__(cast_text(values, arrow_type))
    else:
        cells = values
    return pd.Series(cells, index=values.index).astype(dtype)


def _guessed(values: pd.Series) -> pd.Series:
    """Read numbers and booleans if all cells look like them; leading zeros mean texts."""
    present = values.dropna()
    if not len(present):
        return values
    if present.isin(["True", "False", "true", "false"]).all():
        return _typed(values.str.capitalize(), "boolean" if len(present) < len(values) else "bool")
    if present.str.fullmatch(r"-?(0|[1-9]\d{0,17})").all():
        return _typed(values, "Int64" if len(present) < len(values) else "int64")
    if present.str.fullmatch(r"-?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?").all():
        return _typed(values, "float64")
    return values


def read_public(root: Path, names: list[str], columns: list[str]) -> pd.DataFrame:
    """Read files of a public data set that have the same columns, one after the other.

    Parameters
    ----------
    root : pathlib.Path
        The data set's folder.
    names : list of str
        Files in it, csv or parquet; types of csv columns are inferred.
    columns : list of str
        Columns that every file must have. Others are kept.

    Raises
    ------
    LibraryError
        If a file is absent, broken or lacks a column; all of them are listed.
    """
    frames, problems = [], []
    for name in names:
        try:
            frame = _read_any(root / name)
        except (pa.ArrowException, OSError, ValueError) as error:
            problem = f"not readable: {str(error).splitlines()[0]}"
            problems.append(problem_frame(name, None, None, None, problem, "Get the file again."))
            continue
        for column in columns:
            if column not in frame.columns:
                remedy = "Get the file in the form in which its authors publish it."
                problem = _problems.MISSING_COLUMN
                problems.append(problem_frame(name, None, column, None, problem, remedy))
        frames.append(frame)
    _problems.raise_for(_problems.join_problems(problems), f"in {root}")
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _read_any(file: Path) -> pd.DataFrame:
    if file.suffix == ".parquet":
        return pa.parquet.read_table(file).to_pandas()
    options = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    return pa.csv.read_csv(file, parse_options=parsing, convert_options=options).to_pandas()
