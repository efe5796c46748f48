"""Words that programs write where a value is missing, and how they are told."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.datasets._problems import Origin, problem_frame

MISSING_WORDS = (
    *("NULL", "null", "None", "nan", "NaN", "NaT", "\\N", "<NA>"),
    *("(null)", "(NULL)", "[NULL]", "<null>", "<NULL>"),
)
"""What databases and programs write for a missing value; missing in every column."""

NOT_AVAILABLE = ("NA", "N/A", "#N/A")
"""Missing where numbers, flags or times stand; among texts they are words like others."""

_FEW = 1_000
"""Rows up to which looking at each cell costs less than asking pandas."""


def mask_missing_words(
    values: pd.Series, origin: Origin, text: bool = True
) -> tuple[pd.Series, list[pd.DataFrame]]:
    """Replace words for a missing value by NA, and report them.

    Parameters
    ----------
    values : pandas.Series of str
        The column.
    origin : Origin
        The file, rows and column, for the report.
    text : bool
        Whether the column holds texts, where "NA" may be a word.

    Returns
    -------
    values : pandas.Series of str
        The column with NA in place of these words.
    problems : list of pandas.DataFrame
        A warning for each word, with the first row that holds it and the number of such cells.
    """
    words = MISSING_WORDS if text else (*MISSING_WORDS, *NOT_AVAILABLE)
    if len(values) < _FEW and not any(
        isinstance(cell, str) and cell.strip() in words for cell in values.tolist()
    ):
        return values, []
    stripped = values.str.strip()
    mask = stripped.isin(words).to_numpy()
    if not mask.any():
        return values, []
    cells = stripped[mask]
    positions = np.flatnonzero(mask)
    problems = []
    for word in cells.unique():
        same = positions[(cells == word).to_numpy()]
        problem = f"is a word for a missing value; {len(same):,} such cells count as missing"
        if len(same) == 1:
            problem = "is a word for a missing value; the cell counts as missing"
        rows, remedy = origin.rows[same[:1]], "Leave cells without a value empty."
        problems.append(
            problem_frame(origin.file, rows, origin.column, [word], problem, remedy, "warning")
        )
    return values.mask(mask), problems
