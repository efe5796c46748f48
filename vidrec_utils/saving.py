"""A fitted model on disk: one JSON file to read, one safetensors file of arrays, no pickle.

The JSON file names its file of arrays by the hash of its content. So saving over an older model is
one replacement, that of the JSON file: a kill at any moment leaves the old model or the new one.
Both files are checked by their SHA-256 when they are read, so a change since is recognised. Files
of format 1, which had no hash of the JSON file, are read as they are; saved again, they get one.

A hash tells nothing about whoever could write both files. So nothing that they hold is executed,
and sparse arrays are checked entry by entry before any native code sees them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from scipy import sparse

from vidrec_utils.files import exclusive, naming, replace_whole, sweep

DESCRIPTION = "model.json"
FORMAT = 2
READABLE = (1, FORMAT)
SEAL = "description_sha256"
ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")
SPARSE = ("data", "indices", "indptr", "shape")

Array: TypeAlias = np.ndarray | sparse.csr_array
T = TypeVar("T")


class SavedModelError(ValueError):
    """A folder that holds no model that can be read; says what is wrong and what to do."""


def write(
    folder: Path | str,
    description: Mapping[str, object],
    arrays: Mapping[str, Array],
) -> Path:
    """Write a description and arrays into a folder, atomically; returns the folder.

    Parameters
    ----------
    folder : path
        Made if absent; a model that it holds is replaced.
    description : mapping
        Anything that JSON can say.
    arrays : mapping of str to ndarray or csr_array
        Numbers or truth values.

    Raises
    ------
    TypeError
        If the description holds something that JSON cannot say.
    OSError
        If a file cannot be written, because the disk is full, for example; it names the file.
    """
    folder = Path(folder)
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    data = save(_dense(arrays))
    digest = hashlib.sha256(data).hexdigest()
    name = f"arrays-{digest[:16]}.safetensors"
    whole = {**description, "format": FORMAT, "arrays": name, "arrays_sha256": digest}
    text = sealed(whole)
    with exclusive(folder):
        sweep(folder, "arrays-*.safetensors")  # under whatever hash a killed writer wrote
        replace_whole(folder / name, data)
        replace_whole(folder / DESCRIPTION, text.encode())
        for old in folder.glob("arrays-*.safetensors"):
            if old.name != name:
                old.unlink()
    return folder


def sealed(description: Mapping[str, object]) -> str:
    """The text of a JSON file that holds a description and the hash of its entries."""
    entries = {name: value for name, value in description.items() if name != SEAL}
    whole = {**entries, SEAL: _digest(entries)}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(folder: Path | str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `write` wrote: description and arrays.

    Raises
    ------
    SavedModelError
        If the folder or one of its files is missing, is of another format, or was changed.
    """
    folder = Path(folder)
    description = _description(folder / DESCRIPTION)
    name = description["arrays"]
    if not ARRAYS.fullmatch(str(name)):  # never a path to somewhere else
        raise SavedModelError(f"{folder / DESCRIPTION} names {name!r} as its arrays. {_REMEDY}")
    file = folder / name
    if not file.is_file():
        raise SavedModelError(f"{file} is missing: the model is incomplete. {_REMEDY}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != description["arrays_sha256"]:
        raise SavedModelError(f"{file} was changed after it was saved. {_REMEDY}")
    try:
        return description, _sparse(load_file(file))
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SavedModelError(f"{file} holds no arrays: {error}. {_REMEDY}") from error


_REMEDY = "Fit the model again and save it, or copy the whole folder anew."


def _description(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SavedModelError(
            f"There is no saved model in {file.parent}: {file.name} is missing. Give the folder "
            "that was handed to save()."
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SavedModelError(f"{file} is not JSON: {error}. {_REMEDY}") from error
    if not isinstance(description, dict) or not {"format", "arrays", "arrays_sha256"} <= set(
        description
    ):
        raise SavedModelError(f"{file} does not describe a saved model. {_REMEDY}")
    if description["format"] not in READABLE or isinstance(description["format"], bool):
        raise SavedModelError(
            f"{file} has format {description['format']!r}, this version of the course reads "
            f"{' and '.join(map(str, READABLE))}. {_REMEDY}"
        )
    seal = description.pop(SEAL, None)
    if description["format"] == FORMAT and seal != _digest(description):
        raise SavedModelError(f"{file} was changed after it was saved. {_REMEDY}")
    return description


def _digest(entries: Mapping[str, object]) -> str:
    text = json.dumps(entries, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def below(arrays: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Arrays or tensors whose name starts with a prefix, by their names without it.

    Examples
    --------
    >>> below({"net.weight": np.zeros(2), "losses": np.ones(3)}, "net.")
    {'weight': array([0., 0.])}
    """
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def check_indices(name: str, array: np.ndarray, low: int, high: int) -> None:
    """Make sure that an array of a saved model holds integers from `low` up to below `high`.

    Raises
    ------
    ValueError
        If it does not.
    """
    if array.dtype.kind != "i" or (array.size and not low <= array.min() <= array.max() < high):
        raise ValueError(f"{name} holds values that are no integers from {low} to {high - 1}")


def encode_ids(ids: Iterable[str]) -> np.ndarray:
    """Strings as an array of uint8 (JSON in UTF-8), whatever their lengths."""
    return np.frombuffer(json.dumps(list(ids), ensure_ascii=False).encode(), dtype=np.uint8)


def decode_ids(array: np.ndarray) -> list[str]:
    """Strings from what `encode_ids` made."""
    return json.loads(array.tobytes().decode())


def encode_frame(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """A frame of numbers as arrays: `ids` of the rows, `columns` and `values` (float32)."""
    return {
        "ids": encode_ids(map(str, frame.index)),
        "columns": encode_ids(map(str, frame.columns)),
        "values": frame.to_numpy(dtype=np.float32),
    }


def decode_frame(arrays: Mapping[str, Array]) -> pd.DataFrame:
    """The frame that `encode_frame` took apart.

    Examples
    --------
    >>> print(decode_frame(encode_frame(pd.DataFrame({"cat": [0.5, 2.0]}, index=["ann", "bob"]))))
         cat
    ann  0.5
    bob  2.0
    """
    ids = decode_ids(arrays["ids"])
    return pd.DataFrame(arrays["values"], index=ids, columns=decode_ids(arrays["columns"]))


def ids_digest(*ids: Iterable[str]) -> str:
    """SHA-256 of lists of ids: shows whether two models are about the same users and videos."""
    return hashlib.sha256(json.dumps([list(group) for group in ids]).encode()).hexdigest()


def _dense(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Each sparse array as four dense ones, `name/data` and so on."""
    dense = {}
    for name, array in arrays.items():
        if sparse.issparse(array):
            fields = {f"{name}/{field}": getattr(array, field) for field in SPARSE}
        else:
            fields = {name: array}
        # np.array, as np.ascontiguousarray would make a 0-d array (1,)
        dense |= {label: np.array(values, order="C") for label, values in fields.items()}
    return dense


def _sparse(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Sparse arrays put together again.

    Raises
    ------
    ValueError, TypeError, LookupError
        If the fields of one do not fit each other.
    """
    out: dict[str, Array] = {name: array for name, array in arrays.items() if "/" not in name}
    for name in {key.rpartition("/")[0] for key in arrays if "/" in key}:
        data, indices, indptr, shape = (arrays[f"{name}/{field}"] for field in SPARSE)
        out[name] = _csr(name, data, indices, indptr, shape)
    return out


def _csr(
    name: str, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: np.ndarray
) -> sparse.csr_array:
    """A sparse array, once all its indices are known to lie inside it: native code trusts them."""
    fields = {"indices": indices, "indptr": indptr, "shape": shape}
    wrong = [field for field, values in fields.items() if values.dtype.kind != "i"]
    if data.dtype == np.float16:  # which sparse arrays cannot hold
        wrong.append("data")
    if wrong or any(values.ndim != 1 for values in (data, *fields.values())) or len(shape) != 2:
        raise ValueError(f"the fields of {name!r} are not those of a sparse array")
    n_rows, n_columns = shape.tolist()
    # not by check_format, which skips this where the last entry of indptr is 0
    rows_fit = (
        len(indptr) == n_rows + 1
        and indptr[0] == 0
        and (indptr[1:] >= indptr[:-1]).all()
        and indptr[-1] <= len(indices) == len(data)
    )
    if not rows_fit:
        raise ValueError(f"{name!r} is no sparse array: its rows do not fit its {len(data)} values")
    if len(indices) and not 0 <= indices.min() <= indices.max() < n_columns:
        raise ValueError(f"{name!r} is no sparse array: it has values outside of its columns")
    return sparse.csr_array((data, indices, indptr), shape=(n_rows, n_columns))
