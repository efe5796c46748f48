"""The shape of the three tables, and the conversion of any frames into it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from vidrec_utils.datasets._problems import MISSING_COLUMN, Origin, problem_frame
from vidrec_utils.datasets._times import MISSING_WORDS, read_times

TEXT = pd.StringDtype(na_value=np.nan)

VIDEO_COLUMNS = {
    "title": "text",
    "tags": "tags",
    "category": "text",
    "description": "text",
    "uploader": "text",
    "language": "text",
    "published_at": "time",
    "duration_s": "number",
    "path": "text",
    "thumbnail": "text",
}
INTERACTION_COLUMNS = {
    "user_id": "id",
    "video_id": "id",
    "timestamp": "time",
    "watch_ratio": "ratio",
    "liked": "flag",
    "shared": "flag",
    "comment": "text",
    "position": "whole",
}
OPTIONAL_COLUMNS = {"session_id": "text"}
NEEDED = {
    "videos": ["video_id"],
    "interactions": ["user_id", "video_id", "timestamp"],
    "users": ["user_id"],
}
KEYS = {"videos": "video_id", "users": "user_id"}

_TRUE = {"true", "t", "yes", "y", "1", "1.0"}
_FALSE = {"false", "f", "no", "n", "0", "0.0"}


@dataclass
class Tidy:
    """A table in its final shape, with the problems and notes of bringing it there."""

    frame: pd.DataFrame
    problems: list[pd.DataFrame] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


def tidy(table: str, frame: pd.DataFrame, file: str, rows: np.ndarray | None = None) -> Tidy:
    """Bring a copy of a frame into the shape of a table.

    The result has every column of the contract, with its type and in its order; columns that the
    source lacks are all NA; further columns follow. A cell that cannot be read becomes NA and
    is reported.

    Parameters
    ----------
    table : {"videos", "interactions", "users"}
        Which table it is.
    frame : pandas.DataFrame
        The table as the source has it, its key as a column or as the index.
    file : str
        Name for the report.
    rows : numpy.ndarray of int, optional
        Row of each record in the file; record 0 is in row 2 unless said otherwise.
    """
    key = KEYS.get(table)
    if key and key not in frame.columns and frame.index.name == key:
        frame = frame.reset_index()
    twice = frame.columns.duplicated()
    repeated = [str(name) for name in frame.columns[twice].unique()]
    frame = frame.loc[:, ~twice].reset_index(drop=True)
    rows = np.arange(len(frame)) + 2 if rows is None else rows
    kinds = {"videos": VIDEO_COLUMNS, "interactions": INTERACTION_COLUMNS}.get(table, {})
    kinds = {key: "id", **kinds} if key else kinds
    out = Tidy(pd.DataFrame(index=frame.index))
    for name in repeated:
        problem, remedy = "the header names it twice", "Rename or remove one of them."
        out.problems.append(Origin(file, rows, name).report_all(problem, remedy))
    columns: dict[str, pd.Series] = {}
    for column, kind in kinds.items():
        if column in frame.columns:
            values = frame[column]
        else:
            values = pd.Series(np.nan, index=frame.index)
            if column in NEEDED[table]:
                out.problems.append(_missing_column(Origin(file, rows, column), frame))
        columns[column] = _read(kind, values, Origin(file, rows, column), out)
    for column in frame.columns.drop([c for c in kinds if c in frame.columns]):
        kind = OPTIONAL_COLUMNS.get(column, "extra") if table == "interactions" else "extra"
        columns[str(column)] = _read(kind, frame[column], Origin(file, rows, str(column)), out)
    out.frame = pd.DataFrame(columns, index=frame.index)
    if key:
        out.frame = out.frame.set_index(key)
    return out


def _missing_column(origin: Origin, frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(name) for name in frame.columns]
    remedy = f"Add it, or rename the column that holds it; there are: {', '.join(names) or 'none'}."
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        remedy = "The header seems to be split by semicolons or tabs: save the file with commas."
    return origin.report_all(MISSING_COLUMN, remedy)


def _read(kind: str, values: pd.Series, origin: Origin, out: Tidy) -> pd.Series:
    if kind == "time":
        series, problems, note = read_times(values, origin)
        if note:
            out.notes[f"{origin.file}, column {origin.column}"] = note
    else:
        series, problems = _COLUMN_READERS[kind](values, origin)
    out.problems += [problem for problem in problems if len(problem)]
    return series


_Result = tuple[pd.Series, list[pd.DataFrame]]


def _plain(values: pd.Series) -> pd.Series:
    """Convert categories to their values."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.cat.categories.dtype)
    return values


def read_text(values: pd.Series, origin: Origin) -> _Result:
    """Read texts; whole numbers become their digits, an empty text is missing."""
    values = _plain(values)
    if pd.api.types.is_float_dtype(values.dtype):
        values = _whole_texts(values)
    if values.dtype == object:
        values = values.map(_text_of)
    text = values.astype(TEXT)
    empty = text == ""
    return (text.mask(empty) if empty.any() else text), []


def _text_of(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if pd.isna(value) else str(value)


def _whole_texts(values: pd.Series) -> pd.Series:
    """Convert floats to texts, without the '.0' that a missing value in the column caused."""
    number = values.to_numpy(dtype="float64", na_value=np.nan)
    finite = np.isfinite(number)
    if (number[finite] == np.round(number[finite])).all() and (
        np.abs(number[finite]) < 2**53
    ).all():
        whole = pd.Series(pd.array(np.where(finite, number, 0).astype("int64"), dtype="Int64"))
        return whole.set_axis(values.index).astype(TEXT).where(finite)
    return pd.Series(number, index=values.index).map(_text_of)


def read_tags(values: pd.Series, origin: Origin) -> _Result:
    """Read tags as one text joined with '|'; lists are joined."""
    if values.dtype == object:
        values = values.map(
            lambda tags: (
                "|".join(map(str, tags)) if isinstance(tags, list | tuple | np.ndarray) else tags
            )
        )
    return read_text(values, origin)


def read_ids(values: pd.Series, origin: Origin) -> _Result:
    """Read ids as texts. Texts like '1.0' throughout were whole numbers once: an error."""
    text, _ = read_text(values, origin)
    if not isinstance(values.dtype, pd.StringDtype):
        return text, []
    present = text.dropna()
    if not len(present) or not present.iloc[0].endswith(".0"):
        return text, []
    if not present.str.fullmatch(r"-?\d+\.0").all():
        return text, []
    gap = text.isna().to_numpy()
    first = int(np.argmax(gap)) if gap.any() else text.index.get_loc(present.index[0])
    cause = "a missing id in this row" if gap.any() else "a missing id"
    problem = (
        f"the ids read like {present.iloc[0]!r}: {cause} turned the column into decimal numbers"
    )
    remedy = "Write the ids as whole numbers or as text, and give every row one."
    rows = origin.rows[[first]]
    return text, [problem_frame(origin.file, rows, origin.column, None, problem, remedy)]


def read_numbers(values: pd.Series, origin: Origin) -> _Result:
    """Read numbers as float64; anything else is an error."""
    values = _plain(values)
    if pd.api.types.is_numeric_dtype(values.dtype):
        number = pd.Series(values.to_numpy(dtype="float64", na_value=np.nan), index=values.index)
        readable = np.ones(len(values), dtype=bool)
    else:
        text, readable = _texts_and_gaps(values)
        number = _exact_numbers(text)
        readable = readable | number.notna().to_numpy()
    readable = readable & ~np.isinf(number.to_numpy())
    problem = origin.report(
        ~readable, values, "is not a number", "Write a number or leave the cell empty."
    )
    return number.where(readable), [problem]


def _texts_and_gaps(values: pd.Series) -> tuple[pd.Series, np.ndarray]:
    text = values.astype(TEXT).str.strip()
    return text, (text.isna() | text.isin(MISSING_WORDS)).to_numpy()


def _exact_numbers(text: pd.Series) -> pd.Series:
    """Convert decimal texts to the nearest floats; other texts become NaN."""
    with contextlib.suppress(pa.ArrowInvalid):  # raised when any cell is not a number
        return pd.Series(
            cast_text(text, pa.float64()).to_numpy(zero_copy_only=False), index=text.index
        )
    number = pd.to_numeric(text, errors="coerce").astype("float64")
    readable = number.notna().to_numpy()
    # pandas' own parser may be one unit in the last place off; numpy's is exact.
    number[readable] = text[readable].to_numpy(dtype=object).astype("float64")
    return number


def cast_text(text: pd.Series, to: pa.DataType) -> pa.Array:
    """Parse texts with pyarrow, which is fast and exact, all or nothing; NA stays null.

    Raises
    ------
    pyarrow.ArrowInvalid
        If any text cannot be parsed.
    """
    cast = pa.array(text.astype(TEXT), from_pandas=True).cast(to)
    return cast.combine_chunks() if isinstance(cast, pa.ChunkedArray) else cast


def read_ratios(values: pd.Series, origin: Origin) -> _Result:
    """Read watch ratios: numbers from 0 up (above 1 when the video was watched again)."""
    number, problems = read_numbers(values, origin)
    negative = (number < 0).to_numpy()
    remedy = "Write watched time divided by duration (0 or more), or leave the cell empty."
    problems.append(origin.report(negative, values, "is negative", remedy))
    return number.mask(negative), problems


def read_flags(values: pd.Series, origin: Origin) -> _Result:
    """Read yes or no as nullable booleans."""
    values = _plain(values)
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean"), []
    if pd.api.types.is_numeric_dtype(values.dtype):
        number = values.to_numpy(dtype="float64", na_value=np.nan)
        true, false, gap = number == 1, number == 0, np.isnan(number)
    else:
        codes, unique = pd.factorize(values.astype(TEXT), use_na_sentinel=False)
        text, gap = _texts_and_gaps(pd.Series(unique))
        text = text.str.lower()
        true, false = text.isin(_TRUE).to_numpy()[codes], text.isin(_FALSE).to_numpy()[codes]
        gap = gap[codes]
    flags = pd.Series(pd.arrays.BooleanArray(true, ~(true | false)), index=values.index)
    bad = ~(true | false | gap)
    return flags, [
        origin.report(bad, values, "is neither yes nor no", "Write true, false or nothing.")
    ]


def read_whole(values: pd.Series, origin: Origin) -> _Result:
    """Read whole numbers as nullable integers."""
    number, problems = read_numbers(values, origin)
    broken = (number.notna() & (number != number.round())).to_numpy()
    whole = number.mask(broken).astype("Int64")
    if broken.any():
        remedy = "Write a whole number or leave the cell empty."
        problems.append(origin.report(broken, values, "is not a whole number", remedy))
    return whole, problems


def read_extra(values: pd.Series, origin: Origin) -> _Result:
    """Read a column that the contract does not know: only texts are made uniform."""
    values = _plain(values)
    texts = isinstance(values.dtype, pd.StringDtype)
    if values.dtype == object:
        texts = pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty")
    return read_text(values, origin) if texts else (values, [])


_COLUMN_READERS: dict[str, Callable[[pd.Series, Origin], _Result]] = {
    "id": read_ids,
    "text": read_text,
    "tags": read_tags,
    "number": read_numbers,
    "ratio": read_ratios,
    "flag": read_flags,
    "whole": read_whole,
    "extra": read_extra,
}
