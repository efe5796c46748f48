"""Reading files of public data sets: named columns in their types, all others as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils.datasets import _problems
from vidrec_utils.datasets._csv import Table, read_csv
from vidrec_utils.datasets._files import form_of, read_table, restore_types
from vidrec_utils.datasets._problems import (
    MISSING_COLUMN,
    Origin,
    Unreadable,
    problem_frame,
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


def read_public(root: Path, names: list[str], kinds: Mapping[str, str]) -> Table:
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
            tables.append(_typed(root / name, kinds))
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


def _typed(file: Path, kinds: Mapping[str, str]) -> Table:
    table = read_table(file)
    lacking = [column for column in kinds if column not in table.frame.columns]
    if lacking:
        remedy = "Get the file in the form in which its authors publish it."
        problems = [
            problem_frame(file.name, None, column, None, MISSING_COLUMN, remedy)
            for column in lacking
        ]
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
