"""Reports of cleaning: one row per change, returned by every function of this folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

REPORT_COLUMNS = ("table", "row", "id", "column", "problem", "action", "before", "after", "rule")
FIRST_RECORD = 2
"""Row of the first record in a file: the header is row 1."""


def empty_report() -> pd.DataFrame:
    """Return a report without rows, with the right columns."""
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
    rule: object = None,
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
        The column with the problem; empty if the whole row has it.
    problem, action : str or iterable of str
        The problem and the action.
    before, after : object
        Values before and after, shown as text; None if there is no value to show.
    rule : str or iterable of str
        The sentence that says by what the problem was recognised; None if `problem` says it.

    Returns
    -------
    DataFrame
        Columns `table, row, id, column, problem, action, before, after, rule`.
    """
    rows = np.asarray(list(rows), dtype=np.int64)
    n = len(rows)
    return pd.DataFrame(
        {
            "table": _repeat(table, n),
            "row": rows,
            "id": _repeat(ids, n),
            "column": _repeat(column, n),
            "problem": _repeat(problem, n),
            "action": _repeat(action, n),
            "before": _repeat(before, n),
            "after": _repeat(after, n),
            "rule": _repeat(rule, n),
        }
    )


def _repeat(value: object, n: int) -> pd.Series:
    """Return `n` texts (missing stays missing) from one value or from `n` of them."""
    if value is None or isinstance(value, str) or np.isscalar(value):
        values = [value] * n
    else:
        values = list(value)
    texts = [None if v is None or v is pd.NaT or pd.isna(v) else str(v) for v in values]
    return pd.Series(texts, dtype="str")


def file_rows(frame: pd.DataFrame, mask: np.ndarray | pd.Series | None = None) -> np.ndarray:
    """Return the file rows of a frame, or of its rows where `mask` is true.

    An integer index is taken as the position in the file, so the numbers stay correct after other
    rows were dropped; the rows of a table indexed by id are counted in order.

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
    """One cleaning step: its name, its report, and the reason if it was skipped.

    Examples
    --------
    >>> report = make_report("videos", [2, 3], ["v1", "v2"], "path", "black clip", "removed")
    >>> Step("files", report).sentence()
    'files: black clip, 2 videos (removed).'
    """

    name: str
    report: pd.DataFrame = field(default_factory=empty_report)
    skipped: str = ""

    def sentence(self) -> str:
        """Describe in one sentence what the step did."""
        if self.skipped:
            return f"{self.name}: skipped, {self.skipped}."
        if self.report.empty:
            return f"{self.name}: nothing to do."
        counts = self.report.groupby(["table", "problem", "action"], sort=False).size()
        counts_by_kind = [
            f"{problem}, {n:,} {table} ({action})" for (table, problem, action), n in counts.items()
        ]
        return f"{self.name}: {'; '.join(counts_by_kind)}."


@dataclass(frozen=True)
class Report:
    """All steps of a cleaning run, in order.

    Attributes
    ----------
    steps : tuple of Step
        The steps, with the reasons of those that were skipped.
    """

    steps: tuple[Step, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """All rows of all steps; the first column `step` holds the step's name."""
        frames = [step.report.assign(step=step.name) for step in self.steps]
        joined = join_reports(frames)
        if "step" not in joined:
            joined = joined.assign(step=pd.Series(dtype="str"))
        return joined[["step", *REPORT_COLUMNS]]

    def summary(self) -> str:
        """Describe each step in one sentence, each on its own line."""
        return "\n".join(step.sentence() for step in self.steps)

    def of(self, problem: str) -> list[str]:
        """List the ids whose problem contains this text, each once: `report.of("black")`."""
        frame = self.frame
        ids = frame.loc[frame["problem"].str.contains(problem, regex=False, na=False), "id"]
        return list(dict.fromkeys(ids))

    def examples(self, width: int = 36) -> pd.DataFrame:
        """Show the first row of each step as an example of what the step did.

        Parameters
        ----------
        width : int
            Largest number of characters of a value; longer values end in an ellipsis.

        Returns
        -------
        DataFrame
            `REPORT_COLUMNS` but `rule`, indexed by step; a missing value is an empty text.
        """
        rows = self.frame.drop(columns="rule").groupby("step", sort=False).head(1)
        rows = rows.set_index("step")
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
