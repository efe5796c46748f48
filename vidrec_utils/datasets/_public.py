"""Reading files of public data sets: named columns in their types, all others as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from vidrec_utils.datasets import _problems
from vidrec_utils.datasets._csv import Table, read_csv, read_csv_blocks, read_lines
from vidrec_utils.datasets._files import form_of, read_table, restore_types
from vidrec_utils.datasets._parquet import arrow_frame, broken_parquet
from vidrec_utils.datasets._problems import (
    MISSING_COLUMN,
    Origin,
    Unreadable,
    problem_frame,
    unreadable,
)
from vidrec_utils.datasets._tables import (
    read_extra,
    read_flags,
    read_ids,
    read_numbers,
    read_text,
    read_whole,
)

_READERS = {
    "id": read_ids,
    "text": read_text,
    "number": read_numbers,
    "whole": read_whole,
    "flag": read_flags,
}


def read_public(
    root: Path, names: list[str], kinds: Mapping[str, str], lone_returns: bool = False
) -> Table:
    """Read files of a public data set that have the same columns, one after the other.

    Parameters
    ----------
    root : pathlib.Path
        The data set's folder.
    names : list of str
        Files in it, csv or parquet.
    kinds : mapping of str to str
        Columns that every file must have, and what they hold: "id", "text", "number" (float64),
        "whole" (Int64) or "flag" (boolean). Other columns are kept as `load_folder` keeps them.
    lone_returns : bool
        Whether carriage returns that no line feed follows belong to a text, as some programs write
        them without quotation marks; each is read as a blank.

    Returns
    -------
    Table
        The rows of all files; `problems` holds warnings.

    Raises
    ------
    LibraryError
        If a file is absent, broken or lacks a column, or a cell is not of its kind; all of them
        are listed.
    """
    tables, problems = [], []
    for name in names:
        try:
            tables.append(_typed(root / name, kinds, lone_returns))
        except Unreadable as error:
            problems.append(error.problem)
    return _joined(root, tables, problems)


def read_plain(
    root: Path, name: str, delimiter: bytes, kinds: Mapping[str, str], header: list[str]
) -> Table:
    """Read a file without a header, whose cells are separated and never quoted.

    Parameters
    ----------
    root : pathlib.Path
        The data set's folder.
    name : str
        A file in it, in UTF-8 or, as older data sets are, in Latin-1.
    delimiter : bytes
        What separates cells; it may be several characters.
    kinds : mapping of str to str
        Kinds of the columns that are kept; see `read_public`.
    header : list of str
        Names of all columns, in order.

    Raises
    ------
    LibraryError
        See `read_public`.
    """
    try:
        table = read_csv(root / name, delimiter, names=header, quotes=False, latin=True)
        table = _with_kinds(name, Table(table.frame[list(kinds)], table.rows), kinds)
    except Unreadable as error:
        return _joined(root, [], [error.problem])
    return _joined(root, [table], [])


def read_free_text(
    root: Path, name: str, delimiter: bytes, kinds: Mapping[str, str], header: bool = False
) -> Table:
    """Read a file of lines whose last cell is free text; see `read_lines`.

    Parameters
    ----------
    root : pathlib.Path
        The data set's folder.
    name : str
        A file in it.
    delimiter : bytes
        What separates cells.
    kinds : mapping of str to str
        Names of all columns, in order, and their kinds; see `read_public`.
    header : bool
        Whether the first line names the columns.

    Raises
    ------
    LibraryError
        See `read_public`.
    """
    try:
        table = read_lines(root / name, delimiter, list(kinds), header)
        table = _with_kinds(name, table, kinds)
    except Unreadable as error:
        return _joined(root, [], [error.problem])
    return _joined(root, [table], [])


Keep = Callable[[pd.DataFrame], np.ndarray]
"""Chooses rows of a block: booleans of shape (n_rows,)."""


def read_in_blocks(
    root: Path, names: list[str], kinds: Mapping[str, str], keep: Keep | None = None
) -> list[Table]:
    """Read large files block by block, so that memory holds no more than what is kept.

    Parameters
    ----------
    root : pathlib.Path
        The data set's folder.
    names : list of str
        Files in it, csv without quoted cells, or parquet.
    kinds : mapping of str to str
        Columns that every file must have and that are read, and their kinds; see `read_public`.
    keep : callable, optional
        Which rows of a block are kept; all by default.

    Returns
    -------
    list of Table
        One for each file, with the rows in the file.

    Raises
    ------
    LibraryError
        If a file is absent, broken or lacks a column, or a cell is not of its kind: for the first
        block in which that is so.
    """
    return [_kept(root, name, kinds, keep) for name in names]


def _kept(root: Path, name: str, kinds: Mapping[str, str], keep: Keep | None) -> Table:
    frames, rows, problems = [], [], []
    blocks = _parquet_blocks if form_of(root / name) == "parquet" else _csv_blocks
    try:
        for block in blocks(root / name, kinds):
            table = _joined(root, [_with_kinds(name, block, kinds)], [])
            mask = slice(None) if keep is None else keep(table.frame)
            assert block.rows is not None
            frames.append(table.frame[mask])
            rows.append(block.rows[mask])
            problems += table.problems
    except Unreadable as error:
        return _joined(root, [], [error.problem])
    frame = pd.concat(frames, ignore_index=True)
    return Table(frame, np.concatenate(rows), problems)


def _csv_blocks(file: Path, kinds: Mapping[str, str]) -> Iterator[Table]:
    try:
        for block in read_csv_blocks(file):
            _require_columns(file, list(block.frame.columns), kinds)
            rows = np.empty(0, dtype="int64") if block.rows is None else block.rows
            yield Table(block.frame[list(kinds)], rows, block.problems)
    except OSError as error:
        raise _unopened(file, error) from error


def _parquet_blocks(file: Path, kinds: Mapping[str, str], size: int = 1 << 18) -> Iterator[Table]:
    try:
        with pyarrow.parquet.ParquetFile(file) as source:
            _require_columns(file, source.schema_arrow.names, kinds)
            columns = list(kinds)
            yield Table(source.schema_arrow.empty_table().select(columns).to_pandas(), _rows(0, 0))
            start = 0
            for batch in source.iter_batches(size, columns=columns):
                frame = arrow_frame(pa.table(batch))
                yield Table(frame[columns], _rows(start, len(frame)))
                start += len(frame)
    except FileNotFoundError as error:
        raise _unopened(file, error) from error
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise broken_parquet(file, error) from error


def _rows(start: int, count: int) -> np.ndarray:
    return np.arange(count, dtype="int64") + start + 2


def _unopened(file: Path, error: OSError) -> Unreadable:
    problem = f"cannot be opened: {error.strerror or error}"
    return unreadable(file, None, problem, "Look at the file and its rights.")


def _require_columns(file: Path, names: list[str], kinds: Mapping[str, str]) -> None:
    lacking = [column for column in kinds if column not in names]
    if lacking:
        raise Unreadable(_problems.join_problems(_lacking(file.name, column) for column in lacking))


def _lacking(name: str, column: str) -> pd.DataFrame:
    remedy = "Get the file in the form in which its authors publish it."
    return problem_frame(name, None, column, None, MISSING_COLUMN, remedy)


def in_share(ids: pd.Series, share: float, seed: int) -> np.ndarray:
    """Draw a share of ids by hashing them, so that each id has one answer in every file.

    Parameters
    ----------
    ids : pandas.Series of str
        Ids; they may repeat.
    share : float
        Share of the distinct ids that are drawn, from 0 to 1.
    seed : int
        Another seed draws others.

    Returns
    -------
    numpy.ndarray of bool, shape (n_ids,)

    Examples
    --------
    >>> drawn = in_share(pd.Series([str(n) for n in range(1000)], dtype="str"), 0.25, seed=0)
    >>> bool(200 < drawn.sum() < 300)
    True
    """
    if share >= 1:
        return np.ones(len(ids), dtype=bool)
    key = f"{seed % 10**16:016d}"
    hashed = pd.util.hash_array(ids.fillna("").to_numpy(dtype=object), hash_key=key)
    return np.asarray(hashed < np.uint64(share * 2.0**64))


def _joined(root: Path, tables: list[Table], problems: list[pd.DataFrame]) -> Table:
    noticed = _problems.join_problems(
        [*problems, *(problem for table in tables for problem in table.problems)]
    )
    errors = noticed["severity"] == "error"
    _problems.raise_for(noticed[errors].reset_index(drop=True), f"in {root}")
    frames = [table.frame for table in tables]
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    rows = tables[0].rows if len(tables) == 1 else None
    return Table(frame, rows, [noticed])


def _typed(file: Path, kinds: Mapping[str, str], lone_returns: bool) -> Table:
    table = read_table(file, lone_returns)
    lacking = [column for column in kinds if column not in table.frame.columns]
    if lacking:
        problems = [_lacking(file.name, column) for column in lacking]
        return Table(table.frame, table.rows, [*table.problems, *problems])
    return _with_kinds(file.name, table, kinds, guess=form_of(file) != "parquet")


def _with_kinds(name: str, table: Table, kinds: Mapping[str, str], guess: bool = False) -> Table:
    rows = np.arange(len(table.frame)) + 2 if table.rows is None else table.rows
    frame, problems = table.frame, list(table.problems)
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()].unique()
        remedy = "Rename or remove one of them."
        problems += [
            problem_frame(name, None, str(column), None, "the header names it twice", remedy)
            for column in repeated
        ]
        frame = frame.loc[:, ~frame.columns.duplicated()]
    extra = Table(frame[[column for column in frame.columns if column not in kinds]], rows)
    extra = restore_types(extra, name, {}) if guess else extra
    columns = {}
    for column in frame.columns:
        origin = Origin(name, rows, str(column))
        values = frame[column] if column in kinds else extra.frame[column]
        columns[column], noticed = _READERS.get(kinds.get(column, ""), read_extra)(values, origin)
        problems += noticed
    return Table(pd.DataFrame(columns, index=frame.index), table.rows, [*problems, *extra.problems])
