"""A fitted model on disk: one JSON file to read, one safetensors file of arrays, no pickle.

The JSON file names its file of arrays by the hash of its content. So saving over an older model is
one replacement, that of the JSON file: a kill at any moment leaves the old model or the new one,
and a file that was changed since is recognised.
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

from vidrec_utils.files import replace_whole

DESCRIPTION = "model.json"
FORMAT = 1
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
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save(_dense(arrays))
    digest = hashlib.sha256(data).hexdigest()
    name = f"arrays-{digest[:16]}.safetensors"
    whole = {"format": FORMAT, **description, "arrays": name, "arrays_sha256": digest}
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_whole(folder / name, data)
    replace_whole(folder / DESCRIPTION, text.encode())
    for old in folder.glob("arrays-*.safetensors"):
        if old.name != name:
            old.unlink()
    return folder


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
    except (SafetensorError, KeyError) as error:
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
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SavedModelError(f"{file} is not JSON: {error}. {_REMEDY}") from error
    if not isinstance(description, dict) or not {"format", "arrays", "arrays_sha256"} <= set(
        description
    ):
        raise SavedModelError(f"{file} does not describe a saved model. {_REMEDY}")
    if description["format"] != FORMAT:
        raise SavedModelError(
            f"{file} has format {description['format']!r}, this version of the course reads "
            f"{FORMAT}. {_REMEDY}"
        )
    return description


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
    out: dict[str, Array] = {name: array for name, array in arrays.items() if "/" not in name}
    for name in {key.rpartition("/")[0] for key in arrays if "/" in key}:
        data, indices, indptr, shape = (arrays[f"{name}/{field}"] for field in SPARSE)
        out[name] = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
    return out
