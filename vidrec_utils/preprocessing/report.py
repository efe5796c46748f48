"""What cleaning did, one row per thing done: the currency of every function in this folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

REPORT_COLUMNS = ("table", "row", "id", "column", "problem", "action", "before", "after")
FIRST_RECORD = 2
"""A person who opens the file sees the header in row 1 and the first record in row 2."""


def empty_report() -> pd.DataFrame:
    """A report of nothing: the right columns and no rows."""
    return make_report("", [], [], "", "", "")


def make_report(
    table: str,
    rows: Iterable[int],
    ids: Iterable[str],
    column: str,
    problem: str | Iterable[str],
    action: str | Iterable[str],
    before: object = None,
    after: object = None,
) -> pd.DataFrame:
    """Build report rows; single values are repeated for all rows.

    Parameters
    ----------
    table : str
        `"videos"`, `"interactions"` or `"users"`.
    rows : iterable of int
        Rows as a person sees them in the file: header 1, first record 2.
    ids : iterable of str
        The video (or user) that each row is about.
    column : str
        The column that was wrong; empty when it is the whole row.
    problem, action : str or iterable of str
        What was wrong and what was done.
    before, after : object
        Values before and after, shown as text; None where there is none to show.

    Returns
    -------
    DataFrame
        Columns `table, row, id, column, problem, action, before, after`.
    """
    rows = np.asarray(list(rows), dtype=np.int64)
    n = len(rows)
    frame = pd.DataFrame(
        {
            "table": _repeat(table, n),
            "row": rows,
            "id": _repeat(ids, n),
            "column": _repeat(column, n),
            "problem": _repeat(problem, n),
            "action": _repeat(action, n),
            "before": _repeat(before, n),
            "after": _repeat(after, n),
        }
    )
    return frame


def _repeat(value: object, n: int) -> pd.Series:
    """`n` texts (missing stays missing) from one value or from `n` of them."""
    if value is None or isinstance(value, str) or np.isscalar(value):
        values = [value] * n
    else:
        values = list(value)
    texts = [None if v is None or v is pd.NaT or pd.isna(v) else str(v) for v in values]
    return pd.Series(texts, dtype="str")


def file_rows(frame: pd.DataFrame, mask: np.ndarray | pd.Series | None = None) -> np.ndarray:
    """File rows of a frame, or of the rows where `mask` holds.

    An integer index is taken as the position in the file, so the numbers stay right after other
    rows were dropped; a table indexed by id is counted as it stands.

    Returns
    -------
    ndarray of int64
        Header is row 1, the first record row 2.
    """
    if pd.api.types.is_integer_dtype(frame.index.dtype):
        positions = frame.index.to_numpy(dtype=np.int64)
    else:
        positions = np.arange(len(frame), dtype=np.int64)
    rows = positions + FIRST_RECORD
    return rows if mask is None else rows[np.asarray(mask, dtype=bool)]


def join_reports(reports: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put reports under each other, empty ones left out."""
    kept = [report for report in reports if len(report)]
    return pd.concat(kept, ignore_index=True) if kept else empty_report()


@dataclass(frozen=True)
class Step:
    """One cleaning step: its name, the rows it reports, and why it was skipped, if it was."""

    name: str
    report: pd.DataFrame = field(default_factory=empty_report)
    skipped: str = ""

    def sentence(self) -> str:
        """Say in one sentence what the step did."""
        if self.skipped:
            return f"{self.name}: skipped, {self.skipped}."
        if self.report.empty:
            return f"{self.name}: nothing to do."
        counts = self.report.groupby(["table", "problem", "action"], sort=False).size()
        parts = [
            f"{problem}, {n:,} {table} ({action})" for (table, problem, action), n in counts.items()
        ]
        return f"{self.name}: {'; '.join(parts)}."


@dataclass(frozen=True)
class Report:
    """All steps of a cleaning run, in order.

    Attributes
    ----------
    steps : tuple of Step
        What was done, and what was skipped and why.
    """

    steps: tuple[Step, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """All rows of all steps, with the step's name in a first column `step`."""
        frames = [step.report.assign(step=step.name) for step in self.steps]
        joined = join_reports(frames)
        if "step" not in joined:
            joined = joined.assign(step=pd.Series(dtype="str"))
        return joined[["step", *REPORT_COLUMNS]]

    def summary(self) -> str:
        """One sentence per step, each on its own line."""
        return "\n".join(step.sentence() for step in self.steps)

    def of(self, problem: str) -> list[str]:
        """Ids whose problem contains this text, each once, in order: `report.of("black")`."""
        frame = self.frame
        found = frame.loc[frame["problem"].str.contains(problem, regex=False, na=False), "id"]
        return list(dict.fromkeys(found))

    def examples(self, width: int = 36) -> pd.DataFrame:
        """Show the first row of each step, to read: what was done to which row of which file.

        Parameters
        ----------
        width : int
            Longest value before and after, in characters; longer ones end in an ellipsis.

        Returns
        -------
        DataFrame
            `REPORT_COLUMNS`, indexed by step; what is missing is an empty text.
        """
        rows = self.frame.groupby("step", sort=False).head(1).set_index("step")
        for column in ("before", "after"):
            text = rows[column].fillna("")
            short = text.str.slice(0, width - 1).str.rstrip() + "…"
            rows[column] = text.where(text.str.len() <= width, short)
        return rows

    def __add__(self, other: Report) -> Report:
        """Join two reports, the second after the first."""
        return Report(self.steps + other.steps)

    def __len__(self) -> int:
        return sum(len(step.report) for step in self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __str__(self) -> str:
        return self.summary()
