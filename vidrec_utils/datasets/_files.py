"""The files of a library's tables: which forms are read, and what types columns have."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from vidrec_utils.datasets._csv import Table, read_csv
from vidrec_utils.datasets._missing import mask_missing_words
from vidrec_utils.datasets._parquet import read_parquet
from vidrec_utils.datasets._problems import Origin, unreadable
from vidrec_utils.datasets._tables import (
    INTERACTION_COLUMNS,
    KEYS,
    OPTIONAL_COLUMNS,
    VIDEO_COLUMNS,
    cast_text,
)

KNOWN = {*KEYS.values(), *VIDEO_COLUMNS, *INTERACTION_COLUMNS, *OPTIONAL_COLUMNS}
FORMS = ("csv", "csv.gz", "tsv", "tsv.gz", "parquet")
"""Endings of the files that are read; `.parquet` may be a folder of such files."""


def form_of(file: Path) -> str | None:
    """Return the form that a file's name says, whatever its case; None if it is not read."""
    name = file.name.lower()
    return next((form for form in FORMS[::-1] if name.endswith(f".{form}")), None)


def table_files(root: Path, table: str) -> tuple[list[Path], list[Path]]:
    """List the files of a table.

    Parameters
    ----------
    root : pathlib.Path
        The library's folder.
    table : str
        Name of the table, for example "videos".

    Returns
    -------
    readable, other : list of pathlib.Path
        Files in a form that is read, and further ones whose name begins with the table's.
    """
    readable: list[Path] = []
    other: list[Path] = []
    for file in sorted(root.iterdir()) if root.is_dir() else []:
        stem, _, ending = file.name.lower().partition(".")
        if stem != table or not ending:
            continue
        is_table = file.is_file() or (ending == "parquet" and file.is_dir())
        (readable if ending in FORMS and is_table else other).append(file)
    return readable, other


def read_table(file: Path, lone_returns: bool = False) -> Table:
    """Read a csv or tsv file as texts, or parquet as it is; for `lone_returns` see `read_csv`.

    Raises
    ------
    Unreadable
        If the file cannot be read; `.problem` names the row where it is known.
    """
    form = form_of(file)
    if form == "parquet":
        return Table(read_parquet(file))
    try:
        delimiter = b"\t" if form and form.startswith("tsv") else b","
        return read_csv(file, delimiter, lone_returns=lone_returns)
    except OSError as error:
        remedy = "Look at the file and its rights."
        raise unreadable(file, None, f"cannot be opened: {error.strerror}", remedy) from error


# -- types of columns that the contract does not know ----------------------------------------------


_NULLABLE = {
    "bool": (pa.bool_(), pd.BooleanDtype()),
    "boolean": (pa.bool_(), pd.BooleanDtype()),
    "uint": (pa.uint64(), pd.UInt64Dtype()),
    "int": (pa.int64(), pd.Int64Dtype()),
}
"""Types of the cells of a column, by the kind of the type that it is to have."""


def restore_types(table: Table, file: str, dtypes: dict[str, str]) -> Table:
    """Give columns of a csv file their types: those noted when it was saved, else guessed.

    Columns of the contract stay texts here; `tidy` reads them, with reports.
    """
    frame, problems = table.frame, list(table.problems)
    rows = np.arange(len(frame)) + 2 if table.rows is None else table.rows
    if not frame.columns.is_unique:
        return table
    columns = {}
    for column in frame.columns:
        values = frame[column]
        if column not in KNOWN:
            values, notices = mask_missing_words(values, Origin(file, rows, column))
            problems += notices
            noted = dtypes.get(column)
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                values = values if noted in ("str", "object") else _typed(values, noted)
        columns[column] = values
    return Table(pd.DataFrame(columns, index=frame.index), table.rows, problems)


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
    """Read numbers and booleans if every cell is written as they are, so that none loses a digit.

    "007", "1.10", "1e3" and numbers too long for 64 bits stay texts.
    """
    cells = {cell for cell in values.unique().tolist() if isinstance(cell, str)}
    dtype = _written_type(cells) if cells else None
    if dtype is None:
        return values
    if dtype == "bool":
        values = values.str.capitalize()
    return _typed(values, dtype if values.notna().all() or dtype == "float64" else _GAPS[dtype])


_GAPS = {"bool": "boolean", "int64": "Int64"}
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
_REAL = re.compile(r"(-?[1-9]\d{0,14}|0)|-?(0|[1-9]\d*)(\.\d+)?(e[-+]\d{2,3})?")


def _written_type(cells: set[str]) -> str | None:
    """Return the type whose values are written as these cells are, one cell for each value."""
    if cells <= {"True", "False"} or cells <= {"true", "false"}:
        return "bool"
    if all(map(_WHOLE.fullmatch, cells)):
        return "int64"
    for cell in cells:
        match = _REAL.fullmatch(cell)
        if match is None or (match[1] is None and repr(float(cell)) != cell):
            return None
    return "float64" if len(set(map(float, cells))) == len(cells) else None
