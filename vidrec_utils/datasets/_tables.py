"""The shape of the three tables, and the conversion of any frames into it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

from vidrec_utils.datasets._missing import MISSING_WORDS, mask_missing_words
from vidrec_utils.datasets._problems import DAMAGED, MISSING_COLUMN, NO_ID, Origin, problem_frame
from vidrec_utils.datasets._times import read_times

TEXT = pd.StringDtype(na_value=np.nan)

VIDEO_COLUMNS = {
    "title": "text",
    "tags": "tags",
    "category": "text",
    "description": "text",
    "uploader": "name",
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
OPTIONAL_COLUMNS = {"session_id": "name", "disliked": "flag", "duration_s": "number"}
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
    if key and key not in frame.columns and _holds_ids(frame.index, key):
        frame = frame.rename_axis(key).reset_index()
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


def _holds_ids(index: pd.Index, key: str) -> bool:
    """Whether an index is the key: by its name, or without one if it is not just 0, 1, 2."""
    return index.name == key or (index.name is None and not isinstance(index, pd.RangeIndex))


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
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    categories = values.cat.categories
    if pd.api.types.is_integer_dtype(categories.dtype):  # through floats they would lose digits
        unsigned = pd.api.types.is_unsigned_integer_dtype(categories.dtype)
        whole = pd.array(categories, dtype="UInt64" if unsigned else "Int64")
        cells = whole.take(values.cat.codes.to_numpy(), allow_fill=True)
        return pd.Series(cells, index=values.index)
    return values.astype(categories.dtype)


def read_text(values: pd.Series, origin: Origin) -> _Result:
    """Read texts; whole numbers become their digits, an empty text or a word for it is missing."""
    cells, problems = _cells(values, origin)
    text, notices = mask_missing_words(cells, origin)
    return text, [*problems, *notices]


def _cells(values: pd.Series, origin: Origin) -> _Result:
    """Convert values to texts; an empty one is missing."""
    values, problems = _plain(values), []
    if pd.api.types.is_float_dtype(values.dtype):
        problems.append(_lost_digits(values, origin))
        values = _whole_texts(values)
    if values.dtype == object:
        values, broken = _object_texts(values, origin)
        problems += broken
    text = values.astype(TEXT)
    empty = text == ""
    return (text.mask(empty) if empty.any() else text), problems


def _object_texts(values: pd.Series, origin: Origin) -> _Result:
    """Convert objects to texts; those that no text can hold become NA and are reported."""
    problems = []
    numbers = values.map(lambda value: value if isinstance(value, float | np.floating) else np.nan)
    if numbers.notna().any():
        problems.append(_lost_digits(numbers.astype("float64"), origin))
    texts = _mapped(values, _text_of)
    try:
        return texts.astype(TEXT), problems
    except UnicodeEncodeError:
        bad = texts.map(lambda text: isinstance(text, str) and not _is_unicode(text)).to_numpy()
        shown = _mapped(texts, ascii)
        remedy = "Write the text anew; half a character cannot be stored."
        problems.append(origin.report(bad, shown, "holds half a character (a surrogate)", remedy))
        return texts.mask(bad).astype(TEXT), problems


def _mapped(values: pd.Series, function: Callable[[object], object]) -> pd.Series:
    """Apply a function to objects; the result is one of objects, whatever they are."""
    return pd.Series([function(value) for value in values], index=values.index, dtype=object)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _text_of(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        whole = value == value.to_integral_value()
        return str(int(value)) if whole else format(value, "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not pd.api.types.is_scalar(value):
        return str(value)
    return None if pd.isna(value) else str(value)


_EXACT = {"float16": 2**11, "float32": 2**24}
"""Numbers from which on a decimal type skips whole numbers; 2**53 for the others."""


def _lost_digits(values: pd.Series, origin: Origin) -> pd.DataFrame:
    """Report whole numbers that are too long for the decimal type that they were kept in."""
    number = np.abs(values.to_numpy(dtype="float64", na_value=np.nan))
    limit = _EXACT.get(str(values.dtype).lower(), 2**53)
    bad = np.isfinite(number) & (number >= limit)
    if not bad.any():
        return problem_frame(origin.file, [], None, None, "", "")
    problem = (
        f"is one of {bad.sum():,} numbers of this column that {DAMAGED}, which loses the last "
        "digits of such long ones"
    )
    first = np.flatnonzero(bad)[:1]
    remedy = "Write the column as whole numbers or as text, from the source."
    shown = [f"{value:.0f}" for value in values.iloc[first].astype("float64")]
    return problem_frame(origin.file, origin.rows[first], origin.column, shown, problem, remedy)


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
    """Read tags as one text joined with '|'; lists are joined without their missing members."""
    if values.dtype == object:
        values = _mapped(
            values,
            lambda tags: _joined(tags) if isinstance(tags, list | tuple | np.ndarray) else tags,
        )
    return read_text(values, origin)


def _joined(tags: Iterable[object]) -> str:
    texts = (_text_of(tag) for tag in tags)
    return "|".join(text for text in texts if text and text not in MISSING_WORDS)


def read_names(values: pd.Series, origin: Origin) -> _Result:
    """Read names of something, such as an uploader or a session: texts whose digits count."""
    text, problems = read_text(values, origin)
    return text, [*problems, *_damaged(text, origin)]


def read_ids(values: pd.Series, origin: Origin) -> _Result:
    """Read ids as texts. Those that a program made decimal numbers of are an error."""
    cells, problems = _cells(values, origin)
    text, _ = mask_missing_words(cells, origin)
    words = cells.notna() & text.isna()
    problem, remedy = f"is a word for a missing value: {NO_ID}", "Write an id or remove the row."
    problems.append(origin.report(words, cells, problem, remedy))
    if isinstance(values.dtype, pd.StringDtype):
        problems += _decimal_texts(text, origin)
    return text, [*problems, *_damaged(text, origin)]


def _decimal_texts(text: pd.Series, origin: Origin) -> list[pd.DataFrame]:
    """Report texts like '1.0' throughout, which were whole numbers once."""
    present = text.dropna()
    if not len(present) or not present.iloc[0].endswith(".0"):
        return []
    if not present.str.fullmatch(r"-?\d+\.0").all():
        return []
    gap = text.isna().to_numpy()
    first = int(np.argmax(gap)) if gap.any() else text.index.get_loc(present.index[0])
    cause = "a missing id in this row" if gap.any() else "a missing id"
    problem = (
        f"the ids read like {present.iloc[0]!r}: {cause} turned the column into decimal numbers"
    )
    remedy = "Write the ids as whole numbers or as text, and give every row one."
    rows = origin.rows[[first]]
    return [problem_frame(origin.file, rows, origin.column, None, problem, remedy)]


_SHORTENED = r"-?\d(\.\d+)?[eE]\+\d{2,3}|-?\d\.\d+[eE]\d{2,3}"
_EXCEL_DIGITS = 15
_FEWEST_ZEROS = 6


def _damaged(text: pd.Series, origin: Origin) -> list[pd.DataFrame]:
    """Report texts that a spreadsheet made of long numbers: 7.2E+17, or zeros from a digit on."""
    unique = text.dropna().drop_duplicates()
    damaged = unique[unique.str.fullmatch(_SHORTENED)]
    how = f"{DAMAGED}, so that the last digits are lost"
    if not len(damaged):
        long = unique[unique.str.fullmatch(r"-?[1-9]\d{15,}")].str.lstrip("-")
        zeros = long.str.slice(_EXCEL_DIGITS)
        # By chance, so many digits are all 0 once in a million.
        if not zeros.str.fullmatch("0+").all() or int(zeros.str.len().sum()) < _FEWEST_ZEROS:
            return []
        damaged = unique[long.index]
        how = f"{DAMAGED} of {_EXCEL_DIGITS} digits: they all end in zeros"
    bad = text.isin(damaged)
    first = np.flatnonzero(bad)[:1]
    problem = f"is one of {int(bad.sum()):,} long numbers of this column that {how}"
    remedy = "Export the column as text from the source; a spreadsheet keeps 15 digits of a number."
    value = text.iloc[first]
    return [problem_frame(origin.file, origin.rows[first], origin.column, value, problem, remedy)]


def read_numbers(values: pd.Series, origin: Origin) -> _Result:
    """Read numbers as float64; anything else is an error."""
    values = _plain(values)
    notices: list[pd.DataFrame] = []
    if pd.api.types.is_numeric_dtype(values.dtype):
        number = pd.Series(values.to_numpy(dtype="float64", na_value=np.nan), index=values.index)
        readable = np.ones(len(values), dtype=bool)
    else:
        text, notices = _without_words(values, origin)
        number = _exact_numbers(text)
        readable = (text.isna() | number.notna()).to_numpy()
    readable = readable & ~np.isinf(number.to_numpy())
    problem = origin.report(
        ~readable, values, "is not a number", "Write a number or leave the cell empty."
    )
    return number.where(readable), [problem, *notices]


def _without_words(values: pd.Series, origin: Origin) -> _Result:
    """Convert cells to texts without blanks around them; empty ones and words for it are NA."""
    text = _mapped(values, _text_of) if values.dtype == object else values
    text = text.astype(TEXT).str.strip()
    return mask_missing_words(text.mask(text == ""), origin, text=False)


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
    notices: list[pd.DataFrame] = []
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean"), []
    if pd.api.types.is_numeric_dtype(values.dtype):
        number = values.to_numpy(dtype="float64", na_value=np.nan)
        true, false, gap = number == 1, number == 0, np.isnan(number)
    else:
        text, notices = _without_words(values, origin)
        codes, unique = pd.factorize(text, use_na_sentinel=False)
        words = pd.Series(unique).str.lower()
        true, false = words.isin(_TRUE).to_numpy()[codes], words.isin(_FALSE).to_numpy()[codes]
        gap = text.isna().to_numpy()
    flags = pd.Series(pd.arrays.BooleanArray(true, ~(true | false)), index=values.index)
    bad = ~(true | false | gap)
    return flags, [
        origin.report(bad, values, "is neither yes nor no", "Write true, false or nothing."),
        *notices,
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
    "name": read_names,
    "text": read_text,
    "tags": read_tags,
    "number": read_numbers,
    "ratio": read_ratios,
    "flag": read_flags,
    "whole": read_whole,
    "extra": read_extra,
}
