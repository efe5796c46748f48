"""What is wrong with a library, as rows of a frame, and the one error that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["file", "row", "column", "value", "problem", "remedy", "severity"]
MISSING_COLUMN = "the column is missing"
SHOWN_PER_KIND = 20


class LibraryError(ValueError):
    """A library of videos cannot be used as it is; the message lists everything that is wrong.

    Attributes
    ----------
    problems : pandas.DataFrame
        One row per problem, with the columns of `VideoLibrary.problems`; empty where the error is
        not about the content of tables.
    """

    def __init__(self, message: str, problems: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.problems = no_problems() if problems is None else problems


def no_problems() -> pd.DataFrame:
    """An empty frame of problems with the right columns and types."""
    columns = {column: pd.Series(dtype="str") for column in COLUMNS}
    columns |= {"row": pd.Series(dtype="Int64"), "value": pd.Series(dtype=object)}
    return pd.DataFrame(columns)


def found(
    file: str,
    rows: Sequence[int] | np.ndarray | None,
    column: str | None,
    values: Iterable[Any] | None,
    problem: str | Iterable[str],
    remedy: str,
    severity: str = "error",
) -> pd.DataFrame:
    """Build the frame of one kind of problem.

    Parameters
    ----------
    file : str
        The file (or table) that has it.
    rows : sequence of int, optional
        Row of each case as a spreadsheet shows it, the header being row 1. None for a problem of
        the whole file or column, which makes one row.
    column : str, optional
        The column that has it; None for a problem of a whole row or file.
    values : iterable, optional
        The offending value of each case.
    problem : str or iterable of str
        What is wrong, worded to follow the value; one text for all cases or one each.
    remedy : str
        A sentence: what to do.
    severity : {"error", "warning"}
        Whether the library is unusable, or usable and worth cleaning.
    """
    row = [pd.NA] if rows is None else np.asarray(rows, dtype="int64")
    if not len(row):
        return _NONE
    frame = pd.DataFrame({"file": file, "row": pd.array(row, dtype="Int64")})
    frame["column"] = column
    value = [None] * len(frame) if values is None else [_plain(value) for value in values]
    frame["value"] = pd.Series(value, dtype=object)
    frame["problem"] = problem if isinstance(problem, str) else list(problem)
    frame["remedy"] = remedy
    frame["severity"] = severity
    texts = ["file", "column", "problem", "remedy", "severity"]
    return frame[COLUMNS].astype(dict.fromkeys(texts, "str"))


_NONE = no_problems()


def _plain(value: Any) -> Any:
    if isinstance(value, str | bytes) or not pd.api.types.is_scalar(value):
        return value
    return None if pd.isna(value) else value


def together(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several, in order."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else _NONE.copy()


def line(problem: Any) -> str:
    """One problem (a row of the frame, as a named tuple) as a sentence with its place."""
    place = problem.file
    if not pd.isna(problem.row):
        place += f" row {problem.row}"
    if not pd.isna(problem.column):
        place += f", column {problem.column}"
    value = "" if problem.value is None else f"{_shown(problem.value)} "
    return f"{place}: {value}{problem.problem}. {problem.remedy}"


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def listing(problems: pd.DataFrame, heading: str) -> str:
    """All problems as lines under a heading, at most 20 of each kind and a count of the rest."""
    lines = [heading]
    kinds = problems.groupby(["severity", "file", "column", "remedy"], sort=False, dropna=False)
    for _, kind in kinds:
        lines += ["  " + line(row) for row in kind.head(SHOWN_PER_KIND).itertuples()]
        if len(kind) > SHOWN_PER_KIND:
            lines.append(f"  ... and {len(kind) - SHOWN_PER_KIND:,} more of this kind.")
    return "\n".join(lines)


def raise_for(problems: pd.DataFrame, library: str) -> None:
    """Raise one `LibraryError` with all the given problems; do nothing when there are none."""
    if len(problems):
        count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        raise LibraryError(listing(problems, f"{count} in the library {library}:"), problems)
