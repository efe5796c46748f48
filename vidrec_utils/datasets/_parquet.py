"""Reading one parquet table, a file or a folder of its members, with every value as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from vidrec_utils.datasets._problems import Unreadable, unreadable

_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file, or a folder of such files as Spark and others write a table.

    Whole numbers and booleans with gaps get pandas' nullable types, never decimal numbers; bytes
    that are UTF-8 become texts; the values of folders such as `day=2024-05-01` are texts.

    Raises
    ------
    Unreadable
        If a file is broken, or the files of a folder have different columns.
    """
    table = _folder(path) if path.is_dir() else _file(path)
    try:
        return arrow_frame(table)
    except Exception as error:  # pandas' own notes in the file may be anything when damaged
        raise broken_parquet(path, error) from error


def broken_parquet(path: Path, error: Exception) -> Unreadable:
    """Build the exception for a file that cannot be read as parquet."""
    first = (str(error).splitlines() or [""])[0]
    problem = f"not readable as parquet: {first or type(error).__name__}"
    return unreadable(path, None, problem, "Write it anew.")


def _file(path: Path) -> pa.Table:
    try:
        table = pa.parquet.ParquetFile(path).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise broken_parquet(path, error) from error
    return table


def _folder(path: Path) -> pa.Table:
    files = sorted(_members(path))
    if not files:
        remedy = "Put the files of the table into it, or remove the folder."
        raise unreadable(path, None, "the folder holds no parquet file", remedy)
    tables = []
    for file in files:
        table = _file(file).replace_schema_metadata(None)
        for folder in file.relative_to(path).parts[:-1]:
            key, _, value = folder.partition("=")
            cells = pa.nulls(len(table), pa.string())
            if value != _NO_VALUE:
                cells = pa.array([unquote(value)] * len(table), pa.string())
            table = table.append_column(unquote(key), cells)
        tables.append(table)
    try:
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowException, ValueError) as error:
        first = str(error).splitlines()[0]
        problem = f"its files do not have the same columns and types: {first}"
        raise unreadable(path, None, problem, "Write them anew, all alike.") from error


def _members(path: Path) -> Iterator[Path]:
    """Go through the data files below a folder; names that begin with _ or . are notes."""
    for file in path.rglob("*"):
        names = file.relative_to(path).parts
        hidden = any(name.startswith(("_", ".")) and "=" not in name for name in names)
        if file.suffix == ".parquet" and file.is_file() and not hidden:
            yield file


def arrow_frame(table: pa.Table) -> pd.DataFrame:
    """Convert a table of Arrow to a frame, every value as it stands; see `read_parquet`."""
    gaps: dict[str, pa.DataType] = {}
    for position, column in enumerate(table.schema):
        values, kind = table.column(position), column.type
        if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
            values, kind = values.cast(kind.value_type), kind.value_type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            values = _as_text(values)
        if values.type != column.type:
            table = table.set_column(position, column.name, values)
        if kind in _NULLABLE and values.null_count:
            gaps[column.name] = kind
    frame = table.to_pandas(integer_object_nulls=True)
    if not frame.columns.is_unique:
        return frame  # which is reported
    exact = {
        name: pd.array(frame[name], dtype=_NULLABLE[kind])
        for name, kind in gaps.items()
        if name in frame
    }
    return frame.assign(**exact)


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return bytes as texts if they are UTF-8, as databases write theirs, else as they are."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return values
