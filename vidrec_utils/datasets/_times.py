"""Reading columns of times: ISO 8601 texts, datetimes, and numbers whose unit is inferred."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.datasets._missing import mask_missing_words
from vidrec_utils.datasets._problems import Origin, problem_frame

UTC_MICROSECONDS = "datetime64[us, UTC]"

# A column is believed to be in a unit when its median falls between these times.
_EARLIEST = pd.Timestamp("1995-01-01", tz="UTC").timestamp()
_LATEST = pd.Timestamp("2100-01-01", tz="UTC").timestamp()
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_MICROSECONDS_LIMIT = 9.2e18

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"

_ISO = "Write times as ISO 8601 in UTC, for example 2024-05-01T12:30:00Z."


def read_times(
    values: pd.Series, origin: Origin
) -> tuple[pd.Series, list[pd.DataFrame], str | None]:
    """Read a column of times.

    Texts are ISO 8601, those without a zone are UTC. Numbers count from 1970 in seconds,
    milliseconds, microseconds or nanoseconds: the unit whose median lies between 1995 and 2100.

    Parameters
    ----------
    values : pandas.Series
        The column as the file has it.
    origin : Origin
        The file, rows and column, for the report.

    Returns
    -------
    times : pandas.Series
        `datetime64[us, UTC]`, NaT where there is no readable time.
    problems : list of pandas.DataFrame
        An error for a column in a wrong unit, a warning for a single unreadable time.
    note : str or None
        The unit that numbers were taken to be in.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if values.dtype == UTC_MICROSECONDS:
        return values, _wrong_unit(_seconds(values), origin), None
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _from_datetimes(values, origin)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _from_numbers(values, values, origin)
    text = values.where(values.notna()).astype("str").str.strip()
    text, notices = mask_missing_words(text.mask(text == ""), origin, text=False)
    if 2 * int(text.str.fullmatch(_NUMBER).sum()) > int(text.notna().sum()):
        numbers = pd.to_numeric(text, errors="coerce")
        times, problems, note = _from_numbers(numbers, text, origin)
    else:
        times, problems, note = _from_texts(text, origin)
    return times, [*problems, *notices], note


def _seconds(times: pd.Series) -> np.ndarray:
    """Return seconds since 1970 of all times that are not missing, as floats."""
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[times.dt.unit]
    return times.dropna().astype("int64").to_numpy(dtype="float64") / per_second


def _wrong_unit(seconds: np.ndarray, origin: Origin) -> list[pd.DataFrame]:
    """Return the error for a column of datetimes in a wrong unit, or no error."""
    if not len(seconds):
        return []
    median = float(np.median(seconds))
    if _EARLIEST <= median < _LATEST:
        return []
    names = list(_UNITS)
    for step in (1, 2, 3):
        for meant, read in ((names[0], names[step]), (names[step], names[0])):
            factor = _UNITS[read] / _UNITS[meant]
            if _EARLIEST <= median * factor < _LATEST:
                return [_unit_error(origin, f"looks like {meant} that were read as {read}")]
    if median >= _LATEST:
        return [_unit_error(origin, "lies after the year 2100, in no unit that we know")]
    return []


def _unit_error(origin: Origin, what: str) -> pd.DataFrame:
    return origin.report_all(f"the whole column {what}", _ISO)


def _from_datetimes(
    values: pd.Series, origin: Origin
) -> tuple[pd.Series, list[pd.DataFrame], None]:
    values = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
    problems = _wrong_unit(_seconds(values), origin)
    try:
        return values.astype(UTC_MICROSECONDS), problems, None
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        # Only coarser units reach this far: over 290,000 years from now.
        far = values.astype("int64").abs().to_numpy() > _MICROSECONDS_LIMIT / 1e6
        problems.append(_unreadable(origin, values, far))
        return values.mask(far).astype(UTC_MICROSECONDS), problems, None


def _from_numbers(
    numbers: pd.Series, shown: pd.Series, origin: Origin
) -> tuple[pd.Series, list[pd.DataFrame], str | None]:
    number = numbers.to_numpy(dtype="float64", na_value=np.nan)
    finite = np.isfinite(number)
    nothing = pd.Series(pd.NaT, index=numbers.index, dtype=UTC_MICROSECONDS)
    if not finite.any():
        bad = shown.notna().to_numpy()
        return nothing, [_unreadable(origin, shown, bad)], None
    median = float(np.median(number[finite]))
    unit = next((u for u, n in _UNITS.items() if _EARLIEST <= median / n < _LATEST), None)
    if unit is None:
        return nothing, [_unit_error(origin, _guess(number[finite], median))], None
    if pd.api.types.is_integer_dtype(numbers.dtype) and unit in ("microseconds", "nanoseconds"):
        whole = numbers.fillna(0).to_numpy(dtype="int64")  # exact where a float is not
        microseconds = whole.astype("float64") if unit == "microseconds" else whole // 1000
    else:
        microseconds = np.round(number * (1e6 / _UNITS[unit]))
    usable = finite & (np.abs(np.nan_to_num(microseconds)) < _MICROSECONDS_LIMIT)
    filled = np.where(usable, microseconds, 0).astype("int64").astype("datetime64[us]")
    times = pd.Series(filled, index=numbers.index).dt.tz_localize("UTC").where(usable)
    bad = shown.notna().to_numpy() & ~usable
    note = f"numbers read as {unit} since 1970"
    return times.astype(UTC_MICROSECONDS), [_unreadable(origin, shown, bad)], note


def _guess(number: np.ndarray, median: float) -> str:
    """Say what the numbers of a column may be."""
    whole = np.abs(number)
    dated = (whole // 100 % 100 >= 1) & (whole // 100 % 100 <= 12) & (whole % 100 <= 31)
    if 1900 <= median <= 2100:
        return "looks like years"
    if 9_131 <= median < 36_525:
        return "looks like days since 1970"
    if 36_525 <= median < 73_050:
        return "looks like a spreadsheet's day numbers"
    if 219_000 <= median < 1_140_000:
        return "looks like hours since 1970"
    if 19_900_101 <= median <= 21_001_231 and dated.mean() > 0.9:
        return "looks like dates written as YYYYMMDD"
    if 13_140_000 <= median < 68_400_000:
        return "looks like minutes since 1970"
    if 1.99e13 <= median < 2.11e13:
        return "looks like times written as YYYYMMDDhhmmss"
    return (
        f"is numbers around {median:.6g}, which lie between 1995 and 2100 neither as "
        "seconds since 1970 nor as milliseconds, microseconds or nanoseconds"
    )


def _from_texts(text: pd.Series, origin: Origin) -> tuple[pd.Series, list[pd.DataFrame], None]:
    times = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    times = times.astype(UTC_MICROSECONDS)
    bad = (text.notna() & times.isna()).to_numpy()
    if bad.any() and bad.sum() == int(text.notna().sum()):
        example = text[bad].iloc[0]
        problem = f"the whole column is unreadable as times (for example {example!r})"
        return times, [origin.report_all(problem, _ISO)], None
    problems = [
        _unreadable(origin, text, bad),
        *_wrong_unit(_seconds(times), origin),
    ]
    return times, problems, None


def _unreadable(origin: Origin, values: pd.Series, bad: np.ndarray) -> pd.DataFrame:
    problem = "is not a readable time; it counts as missing"
    texts = values[bad].astype("str")
    return problem_frame(
        origin.file, origin.rows[bad], origin.column, texts, problem, _ISO, "warning"
    )
