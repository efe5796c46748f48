"""Vectors that were computed elsewhere: read from a file, matched with a library's videos by id."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.embeddings.embedding import Embeddings
from vidrec_utils.files import sha256

ID_NAMES = ("video_id", "item_id", "id")
"""Names under which a file's ids are looked for, in this order."""
MOST_ID_BYTES = 1 << 31
BLOCK_BYTES = 1 << 24
_EXAMPLES = 3

Ids: TypeAlias = "str | Path | Iterable[object] | None"
Array: TypeAlias = np.ndarray
Gather: TypeAlias = Callable[[Array], Array]
"""Reads some rows, ascending, as float32 `(n, dim)`."""


@dataclass(frozen=True)
class _Matrix:
    """Vectors in a file.

    Attributes
    ----------
    ids : ndarray
        Ids of the rows, as the file has them.
    gather : callable
        Reads the vectors of some rows.
    """

    ids: Array
    gather: Gather


def load_vectors(
    path: str | Path, library: VideoLibrary, ids: Ids = None, vectors: str | None = None
) -> Embeddings:
    """Read vectors that you bring, and match them with a library's videos by id.

    The result is what `embed` gives, so that everything that takes vectors takes them: content
    recommenders, `join`, `evaluation.audit_vectors`. Only the vectors of the library's videos are
    kept in memory, whatever the file holds besides. Nothing is matched by position alone: whoever
    has rows in the library's order says `ids=library.videos.index`.

    Parameters
    ----------
    path : path
        One of: `.npy`, numbers of shape `(n, dim)`; `.npz`, an array of ids and one of numbers;
        `.parquet`, a column of ids, and either one column of lists or several columns of numbers.
        Pickled objects are never read.
    library : VideoLibrary
        Whose videos need vectors.
    ids : path, str or iterable, optional
        Ids of the rows, in order. For `.npy`, which has none: a file (`.txt` with one id a line,
        `.csv`, `.tsv`, `.npy` or `.parquet`), or the ids themselves. For the others: the name of
        the column or array, by default "video_id", "item_id" or "id", or the ids themselves.
    vectors : str, optional
        Name of the column of lists or of the array with the vectors, where there are several.

    Returns
    -------
    Embeddings
        In the library's order. Videos without a usable vector are in `failures`, with the reason:
        the file does not have them, or their row holds NaN or infinity. `provenance` has the
        file's name and SHA-256, and the number of vectors that no video uses.

    Raises
    ------
    LibraryError
        If the file or its ids cannot be read, have other shapes than they should, name a video of
        the library twice, or give none of its videos a usable vector.
    ValueError
        If the file has another ending, or `ids` are needed and not given.

    Warns
    -----
    UserWarning
        If videos of the library have no usable vector: how many, and examples.

    Examples
    --------
    >>> import tempfile
    >>> videos = pd.DataFrame({"video_id": ["a", "b"]})
    >>> library = VideoLibrary(videos, pd.DataFrame(columns=["user_id", "video_id", "timestamp"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "mine.npy")
    ...     np.save(file, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    ...     brought = load_vectors(file, library, ids=["b", "c", "a"])
    >>> brought.vectors.tolist(), brought.provenance["unused"]
    ([[5.0, 6.0], [1.0, 2.0]], 1)
    """
    file = Path(path).expanduser()
    read = _FORMS.get(file.suffix.lower())
    if read is None:
        raise ValueError(f"{file.name} ends in none of {', '.join(_FORMS)}; save vectors as one.")
    if not file.is_file():
        raise LibraryError(f"There is no file {file}.")
    matrix = read(file, ids, vectors)
    known = pd.Index(library.videos.index, name="video_id")
    row_of = _matched(file, matrix.ids, known)
    kept = np.unique(row_of[row_of >= 0])
    stored = np.ascontiguousarray(matrix.gather(kept), dtype=np.float32)
    usable = np.asarray(np.isfinite(stored).all(axis=1))
    stored[~usable] = np.nan
    rows = np.where(row_of >= 0, np.searchsorted(kept, row_of), -1).astype(np.int64)
    failures = _failures(known, rows, usable)
    if not usable.any():
        raise LibraryError(
            f"{file.name}: no video of {library.name} gets a usable vector, because all rows hold "
            "NaN or infinity. Compute them again, or scale them to fit into float32."
        )
    provenance: dict[str, object] = {
        "of": "file",
        "encoder": file.stem,
        "file": file.name,
        "sha256": sha256(file),
        "dim": stored.shape[1],
        "unused": len(matrix.ids) - len(kept),
    }
    if len(failures):
        _warn(file, library, failures)
    return Embeddings(known, rows, stored, failures, provenance)


# -- matching --------------------------------------------------------------------------------------


def _matched(file: Path, ids: Array, known: pd.Index) -> Array:
    """Row of each video in the file; -1 where it has none."""
    if np.issubdtype(ids.dtype, np.integer):
        # Whole numbers are compared as such: a file may have many millions of them.
        canonical = known[known.str.fullmatch(r"0|-?[1-9]\d{0,17}")]
        candidates = np.flatnonzero(np.isin(ids, canonical.astype("int64")))
        texts = pd.Index(ids[candidates].astype(str))
    else:
        candidates, texts = np.arange(len(ids)), pd.Index(ids)
        candidates = candidates[texts.isin(known)]
        texts = texts[candidates]
    if not len(candidates):
        raise LibraryError(
            f"{file.name}: none of its {len(ids):,} ids is a video of the library. They begin with "
            f"{_listed(ids)}, the library's with {_listed(known)}. Bring the ids of the library."
        )
    if texts.has_duplicates:
        twice = texts[texts.duplicated()][0]
        first, second = candidates[texts == twice][:2]
        raise LibraryError(
            f"{file.name}: video {twice!r} has two vectors, in rows {first} and {second} (counted "
            "from 0). Keep one of them."
        )
    positions = texts.get_indexer(known)
    return np.where(positions >= 0, candidates[positions], -1)


def _listed(ids: Array | pd.Index) -> str:
    return ", ".join(repr(str(value)) for value in ids[:_EXAMPLES])


def _failures(known: pd.Index, rows: Array, usable: Array) -> pd.DataFrame:
    absent, broken = rows < 0, np.zeros(len(rows), dtype=bool)
    broken[~absent] = ~usable[rows[~absent]]
    reasons = np.where(absent, "the file has no vector for it", "its row holds NaN or infinity")
    failed = absent | broken
    columns = {"video_id": known[failed], "reason": reasons[failed]}
    return pd.DataFrame(columns).astype("str")


def _warn(file: Path, library: VideoLibrary, failures: pd.DataFrame) -> None:
    counts = failures["reason"].value_counts()
    counted = "; ".join(f"{count:,}: {reason}" for reason, count in counts.items())
    warnings.warn(
        f"{file.name}: {len(failures):,} of {len(library.videos):,} videos of {library.name} have "
        f"no usable vector ({counted}), for example {_listed(failures['video_id'].to_numpy())}. "
        "`failures` lists them.",
        UserWarning,
        stacklevel=3,
    )


# -- ids -------------------------------------------------------------------------------------------


def _required_ids(file: Path, ids: Ids) -> Array:
    """Ids that a caller gives, or those of a file."""
    if ids is None:
        raise ValueError(
            f"{file.name} has no ids: give ids=, the file of them or the ids themselves; "
            "ids=library.videos.index if the rows are in the library's order."
        )
    if not isinstance(ids, str | Path):
        return _checked_ids("ids", np.asarray(pd.Index(list(ids))))
    path = Path(ids).expanduser()
    if not path.is_file():
        raise LibraryError(f"There is no file of ids {path}.")
    form = path.suffix.lower()
    if form == ".npy":
        array = _opened_npy(path)
        if array.ndim != 1:
            raise _error(path, f"holds an array of shape {array.shape}", "Save a list of ids.")
        return _checked_ids(path.name, np.asarray(array))
    if form == ".parquet":
        with _parquet(path) as source:
            names = source.schema_arrow.names
            column = names[0] if len(names) == 1 else _id_name(path, names, None, "column")
            return _checked_ids(path.name, _column(path, source, column))
    if form == ".txt":
        lines = _decoded(path).splitlines()
        return _checked_ids(path.name, np.array(lines, dtype=object))
    if form not in (".csv", ".tsv"):
        raise ValueError(f"{path.name} is no .txt, .csv, .tsv, .npy or .parquet file of ids.")
    try:
        table = pd.read_csv(path, sep="\t" if form == ".tsv" else ",", dtype="str", na_values=[""])
    except (ValueError, OSError) as error:
        raise _error(path, f"cannot be read: {_first(error)}", "Write it anew.") from error
    names = [str(name) for name in table.columns]
    column = names[0] if len(names) == 1 else _id_name(path, names, None, "column")
    return _checked_ids(path.name, table[column].to_numpy(dtype=object))


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(path, f"is not UTF-8: {_first(error)}", "Save it as UTF-8.") from error


def _checked_ids(name: str, ids: Array) -> Array:
    """Ids as whole numbers or as texts; those that are neither are refused."""
    if ids.dtype.kind in "iu":
        return ids
    if ids.dtype.kind == "S":
        ids = np.char.decode(ids, "utf-8")
    if ids.dtype.kind == "f":
        remedy = "Save them as whole numbers or as texts, and give every row one."
        raise LibraryError(f"{name}: the ids are decimal numbers, such as {ids[:1]}. {remedy}")
    texts = pd.Series(ids, dtype=object)
    bad = texts.isna() | (texts.astype(str).str.strip() == "")
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise LibraryError(f"{name}: the id in row {row} (counted from 0) is empty. Write one.")
    return texts.astype(str).to_numpy(dtype=object)


def _id_name(file: Path, names: Iterable[str], chosen: Ids, what: str) -> str:
    """Name of the column or array of ids: the one that was chosen, or one of `ID_NAMES`."""
    names = list(names)
    if isinstance(chosen, str | Path):
        if str(chosen) not in names:
            raise _error(file, f"has no {what} {str(chosen)!r}", f"It has {', '.join(names)}.")
        return str(chosen)
    for name in ID_NAMES:
        if name in names:
            return name
    raise _error(
        file,
        f"has no {what} named {', '.join(ID_NAMES)}",
        f"Say ids= and one of {', '.join(names)}, or give the ids themselves.",
    )


# -- .npy ------------------------------------------------------------------------------------------


def _read_npy(file: Path, ids: Ids, vectors: str | None) -> _Matrix:
    array = _opened_npy(file)
    _check_shape(file, array.shape, array.dtype)
    row_ids = _required_ids(file, ids)
    _check_count(file, len(row_ids), len(array))

    def gather(rows: Array) -> Array:
        with np.errstate(over="ignore"):  # infinity is found afterwards
            return np.asarray(array[rows], dtype=np.float32)

    return _Matrix(row_ids, gather)


def _opened_npy(file: Path) -> Array:
    """Map an array into memory; objects, which only pickle can read, are refused."""
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except (ValueError, OSError, EOFError, TypeError) as error:
        problem = f"is no array that can be read safely: {_first(error)}"
        remedy = "Save numbers, not objects: numpy.save(file, vectors.astype('float32'))."
        raise _error(file, problem, remedy) from error


def _check_shape(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) != 2 or not shape[0] or not shape[1]:
        raise _error(file, f"holds an array of shape {shape}", "It must be (n, dim), one a video.")
    if dtype.kind not in "fiu":
        raise _error(file, f"holds {dtype}, no numbers", "Save the vectors as float32.")


def _check_count(file: Path, n_ids: int, n_rows: int) -> None:
    if n_ids != n_rows:
        raise _error(file, f"has {n_rows:,} vectors and {n_ids:,} ids", "Give an id for each row.")


# -- .npz ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """One array of a `.npz` file, as its header describes it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


def _read_npz(file: Path, ids: Ids, vectors: str | None) -> _Matrix:
    members = _npz_members(file)
    two = [name for name, member in members.items() if len(member.shape) == 2]
    if vectors is None and len(two) != 1:
        problem = f"has {len(two)} arrays of shape (n, dim) among {', '.join(members)}"
        raise _error(file, problem, "Say vectors= and the name of one.")
    name = two[0] if vectors is None else vectors
    if name not in members:
        raise _error(file, f"has no array {name!r}", f"It has {', '.join(members)}.")
    member = members[name]
    _check_shape(file, member.shape, member.dtype)
    if member.fortran:
        raise _error(file, "holds its array by columns", "Save numpy.ascontiguousarray(vectors).")
    if ids is None or isinstance(ids, str | Path):
        row_ids = _npz_ids(file, members[_id_name(file, members, ids, "array")])
    else:
        row_ids = _required_ids(file, ids)
    _check_count(file, len(row_ids), member.shape[0])
    return _Matrix(row_ids, lambda rows: _npz_rows(file, member, rows))


def _npz_members(file: Path) -> dict[str, _Member]:
    """Read the headers of all arrays; objects, which only pickle can read, are refused."""
    members = {}
    try:
        with zipfile.ZipFile(file) as source:
            for name in source.namelist():
                if name.endswith(".npy"):
                    with source.open(name) as stream:
                        members[name[:-4]] = _Member(name, *_header(stream))
    except _DAMAGES as error:
        raise _damaged(file, error) from error
    for name, member in members.items():
        if member.dtype.hasobject:
            remedy = "Save numbers, and ids as numbers or texts: numpy.savez(file, video_id=..., )."
            raise _error(file, f"holds pickled objects in {name!r}, which are not read", remedy)
    return members


_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"its arrays are of the unknown version {version}")
    shape, fortran, dtype = read(stream)
    return shape, dtype, fortran


def _npz_ids(file: Path, member: _Member) -> Array:
    count = math.prod(member.shape) * member.dtype.itemsize
    if len(member.shape) != 1 or count > MOST_ID_BYTES:
        raise _error(file, f"holds ids of shape {member.shape}", "Save a list of ids.")
    blocks = [block for _, block in _npz_blocks(file, member)]
    return _checked_ids(file.name, np.concatenate([*blocks, np.empty(0, member.dtype)]))


def _npz_rows(file: Path, member: _Member, rows: Array) -> Array:
    """Read some rows of an array, ascending, with one block in memory at a time."""
    pieces = []
    for start, block in _npz_blocks(file, member):
        first, last = np.searchsorted(rows, (start, start + len(block)))
        with np.errstate(over="ignore"):  # infinity is found afterwards
            pieces.append(block[rows[first:last] - start].astype(np.float32))
    return np.concatenate(pieces)


def _npz_blocks(file: Path, member: _Member) -> Iterator[tuple[int, Array]]:
    """Go through an array to its end, where its checksum is compared: first row, and rows."""
    width = math.prod(member.shape[1:]) * member.dtype.itemsize
    step = max(1, BLOCK_BYTES // max(1, width))
    try:
        with zipfile.ZipFile(file) as source, source.open(member.name) as stream:
            _header(stream)
            for start in range(0, member.shape[0], step):
                count = min(step, member.shape[0] - start)
                data = stream.read(count * width)
                if len(data) < count * width:
                    raise EOFError(f"{member.name} ends before its last row")
                yield start, np.frombuffer(data, member.dtype).reshape(count, *member.shape[1:])
            stream.read(1)
    except _DAMAGES as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> LibraryError:
    return _error(file, f"is damaged or no .npz file: {_first(error)}", "Get or write it anew.")


# -- .parquet --------------------------------------------------------------------------------------


def _read_parquet(file: Path, ids: Ids, vectors: str | None) -> _Matrix:
    with _parquet(file) as source:
        schema, n_rows = source.schema_arrow, source.metadata.num_rows
        if ids is None or isinstance(ids, str | Path):
            id_name = _id_name(file, schema.names, ids, "column")
            row_ids = _checked_ids(file.name, _column(file, source, id_name))
        else:
            id_name, row_ids = "", _required_ids(file, ids)
    _check_count(file, len(row_ids), n_rows)
    columns = _vector_columns(file, schema, id_name, vectors)
    return _Matrix(row_ids, lambda rows: _parquet_rows(file, columns, rows))


def _parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _error(file, f"is no parquet file: {_first(error)}", "Write it anew.") from error


def _column(file: Path, source: pq.ParquetFile, name: str) -> Array:
    column = source.read(columns=[name]).column(0)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise _error(file, f"has no id in row {row} (counted from 0)", "Write one.")
    return column.to_numpy()


def _is_list(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists) and _is_number(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _vector_columns(file: Path, schema: pa.Schema, id_name: str, chosen: str | None) -> list[str]:
    """Names of the columns of numbers, or of the one column of lists."""
    kinds = {field.name: field.type for field in schema if field.name != id_name}
    lists = [name for name, kind in kinds.items() if _is_list(kind)]
    if chosen is not None:
        if chosen not in lists:
            raise _error(file, f"has no column {chosen!r} of lists of numbers", _has(kinds))
        return [chosen]
    if len(lists) > 1:
        raise _error(file, f"has several columns of lists: {', '.join(lists)}", "Say vectors=.")
    if lists:
        return lists
    others = [name for name, kind in kinds.items() if not _is_number(kind)]
    if others or not kinds:
        problem = f"has columns that are no numbers: {', '.join(others)}" if others else "has ids"
        remedy = "Keep the ids and either one column of lists or columns of numbers."
        raise _error(file, problem if others else "has ids and no vectors", remedy)
    return list(kinds)


def _has(kinds: dict[str, pa.DataType]) -> str:
    return f"It has {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}."


def _parquet_rows(file: Path, columns: list[str], rows: Array) -> Array:
    """Read some rows, ascending, with one batch in memory at a time."""
    pieces, start = [], 0
    try:
        with _parquet(file) as source:
            for batch in source.iter_batches(1 << 14, columns=columns):
                first, last = np.searchsorted(rows, (start, start + len(batch)))
                if last > first:
                    part = batch.take(pa.array(rows[first:last] - start))
                    pieces.append(_numbers(file, part, columns, rows[first:last]))
                start += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise _error(file, f"is damaged: {_first(error)}", "Write it anew.") from error
    widths = sorted({piece.shape[1] for piece in pieces} - {0})
    if len(widths) != 1:
        problem = f"has vectors of lengths {widths}" if widths else "has only empty vectors"
        raise _error(file, problem, "All must have one length.")
    empty = np.full((1, widths[0]), np.nan, dtype=np.float32)
    return np.concatenate([p if p.shape[1] else empty.repeat(len(p), axis=0) for p in pieces])


def _numbers(file: Path, batch: pa.RecordBatch, columns: list[str], rows: Array) -> Array:
    if not _is_list(batch.schema.field(columns[0]).type):
        table = batch.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            return table.astype(np.float32)
    column = batch.column(columns[0])
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    present = lengths >= 0  # a row without a list becomes NaN
    dim = int(lengths[present][0]) if present.any() else 0
    other = present & (lengths != dim)
    if other.any():
        problem = f"has a vector of another length in row {rows[other][0]} (counted from 0)"
        raise _error(file, problem, f"All must have one length; those before have {dim}.")
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.float64)
    out = np.full((len(lengths), dim), np.nan, dtype=np.float32)
    with np.errstate(over="ignore"):
        out[present] = flat.reshape(-1, dim) if dim else out[present]
    return out


_FORMS: dict[str, Callable[[Path, Ids, str | None], _Matrix]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}


def _error(file: Path, problem: str, remedy: str) -> LibraryError:
    return LibraryError(f"{file.name} {problem}. {remedy}")


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
