"""Problems of a library as rows of a frame, and the one error that lists them all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ["file", "row", "column", "value", "problem", "remedy", "severity"]
MISSING_COLUMN = "the column is missing"
DAMAGED = "were kept as decimal numbers"
"""Said of ids that some program has changed before."""
NO_ID = "the id is missing"
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
    """Return an empty frame of problems with the right columns and types."""
    columns = {column: pd.Series(dtype="str") for column in COLUMNS}
    columns |= {"row": pd.Series(dtype="Int64"), "value": pd.Series(dtype=object)}
    return pd.DataFrame(columns)


def problem_frame(
    file: str,
    rows: Sequence[int] | np.ndarray | None,
    column: str | None,
    values: Iterable[object] | None,
    problem: str | Iterable[str],
    remedy: str,
    severity: str = "error",
) -> pd.DataFrame:
    """Build the frame of one kind of problem.

    Parameters
    ----------
    file : str
        The file (or table) that has the problem.
    rows : sequence of int, optional
        Row of each case as a spreadsheet shows it, the header being row 1. None for a problem of
        the whole file or column, which makes one row.
    column : str, optional
        The column that has the problem; None for a problem of a whole row or file.
    values : iterable, optional
        The offending value of each case.
    problem : str or iterable of str
        What is wrong, worded to follow the value; one text for all cases or one each.
    remedy : str
        What to do, as a sentence.
    severity : {"error", "warning"}
        Whether the library is unusable, or usable and worth cleaning.
    """
    row = [pd.NA] if rows is None else np.asarray(rows, dtype="int64")
    if not len(row):
        return _EMPTY
    frame = pd.DataFrame({"file": file, "row": pd.array(row, dtype="Int64")})
    frame["column"] = column
    value = [None] * len(frame) if values is None else [_plain(value) for value in values]
    frame["value"] = pd.Series(value, dtype=object)
    frame["problem"] = problem if isinstance(problem, str) else list(problem)
    frame["remedy"] = remedy
    frame["severity"] = severity
    texts = ["file", "column", "problem", "remedy", "severity"]
    return frame[COLUMNS].astype(dict.fromkeys(texts, "str"))


_EMPTY = no_problems()


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, str | bytes) or not pd.api.types.is_scalar(value):
        return value
    return None if pd.isna(value) else value


class Unreadable(Exception):
    """A file cannot be read; `.problem` is the row to report."""

    def __init__(self, problem: pd.DataFrame) -> None:
        super().__init__(problem)
        self.problem = problem


def unreadable(file: Path, row: int | None, problem: str, remedy: str) -> Unreadable:
    """Build the exception for a file, with the row where reading failed if it is known."""
    rows = None if row is None else [row]
    return Unreadable(problem_frame(file.name, rows, None, None, problem, remedy))


@dataclass(frozen=True)
class Origin:
    """The file, rows and column that values come from.

    Attributes
    ----------
    file : str
        The file (or table).
    rows : numpy.ndarray of int
        Row of each value in the file.
    column : str, optional
        The column; None for problems of whole rows or of the file.
    """

    file: str
    rows: np.ndarray
    column: str | None = None

    def report(
        self,
        mask: np.ndarray | pd.Series,
        values: pd.Series,
        problem: str | Iterable[str],
        remedy: str,
        severity: str = "error",
    ) -> pd.DataFrame:
        """Report the values where a mask is true; see `problem_frame`."""
        mask = np.asarray(mask, dtype=bool)
        rows = self.rows[mask]
        return problem_frame(self.file, rows, self.column, values[mask], problem, remedy, severity)

    def report_all(self, problem: str, remedy: str) -> pd.DataFrame:
        """Report a problem of the whole column or file, in one row."""
        return problem_frame(self.file, None, self.column, None, problem, remedy)


def join_problems(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put frames of problems under each other, in order."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else _EMPTY.copy()


def sentence(problem: Mapping[Hashable, object]) -> str:
    """Say one problem (a row of the frame, by column) in a sentence that begins with its file."""
    row = f" row {problem['row']}" if isinstance(problem["row"], int) else ""
    column = f", column {problem['column']}" if isinstance(problem["column"], str) else ""
    value = "" if problem["value"] is None else f"{_shown(problem['value'])} "
    return f"{problem['file']}{row}{column}: {value}{problem['problem']}. {problem['remedy']}"


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def listing(problems: pd.DataFrame, heading: str) -> str:
    """List problems under a heading, at most 20 of each kind and a count of the rest."""
    lines = [heading]
    kinds = problems.groupby(["severity", "file", "column", "remedy"], sort=False, dropna=False)
    for _, kind in kinds:
        lines += ["  " + sentence(row) for row in kind.head(SHOWN_PER_KIND).to_dict("records")]
        if len(kind) > SHOWN_PER_KIND:
            lines.append(f"  ... and {len(kind) - SHOWN_PER_KIND:,} more of this kind.")
    return "\n".join(lines)


def raise_for(problems: pd.DataFrame, library: str) -> None:
    """Raise one `LibraryError` with all the given problems; do nothing when there are none."""
    if len(problems):
        count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        raise LibraryError(listing(problems, f"{count} in the library {library}:"), problems)
