"""Damage for files of every kind: bytes, JSON and arrays that are no longer what was written."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 1e308, float("nan"), "", "\ud800", "../x",
    [], [[]], {}, {"": 0},
)  # fmt: skip


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with one to four faults: flipped bits, bytes changed, cut off, left out, doubled."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        start = int(rng.integers(len(damaged) + 1))
        end = min(len(damaged), start + int(2 ** rng.uniform(0, 9)))
        kind = rng.choice(["bit", "byte", "cut", "leave out", "double", "noise", "zeros"])
        if kind == "bit" and start < len(damaged):
            damaged[start] ^= 1 << int(rng.integers(8))
        elif kind == "byte" and start < len(damaged):
            damaged[start] = int(rng.integers(256))
        elif kind == "cut":
            del damaged[start:]
        elif kind == "leave out":
            del damaged[start:end]
        elif kind == "double":
            damaged[start:start] = damaged[start:end]
        elif kind == "noise":
            damaged[start:end] = rng.bytes(end - start)
        else:
            damaged[start:end] = bytes(end - start)
    return bytes(damaged)


def damaged_json(value: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value with one or two entries changed, left out, renamed or doubled."""
    damaged = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 3))):
        node, parents = damaged, []
        while isinstance(node, (dict, list)) and node and (not parents or rng.random() < 0.75):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = keys[int(rng.integers(len(keys)))]
            parents.append((node, key))
            node = node[key]
        if not parents:
            return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
        holder, key = parents[-1]
        kind = rng.choice(["odd", "near", "leave out", "rename", "double"])
        if kind == "leave out":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        elif kind == "double" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(node))
        elif kind == "near" and isinstance(node, (int, float)):
            holder[key] = node * float(rng.choice([-1, 0.5, 2])) + int(rng.integers(-3, 4))
        else:
            holder[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    return damaged


def damaged_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An array with other values, another type or another shape."""
    kind = rng.choice(["values", "extreme", "type", "shape", "cut", "longer", "empty", "flat"])
    if kind in ("values", "extreme") and array.size:
        damaged = array.copy()
        where = rng.integers(damaged.size, size=int(rng.integers(1, 4)))
        if damaged.dtype.kind == "f":
            values = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1.0, 0.0], len(where))
        elif kind == "values":
            values = rng.integers(0, 120, len(where))
        else:
            info = np.iinfo(damaged.dtype) if damaged.dtype.kind in "iu" else np.iinfo(np.int8)
            values = rng.choice([info.min, info.max, info.max // 2], len(where))
        damaged.flat[where] = values.astype(damaged.dtype)
        return damaged
    if kind == "type":
        with np.errstate(all="ignore"):
            return array.astype(rng.choice(["f4", "f8", "i4", "i8", "u1", "u8", "i1", "?", "f2"]))
    if kind == "shape":
        return array[None] if rng.random() < 0.5 else array.reshape(-1, 1)
    if kind == "cut" and array.ndim:
        return array[: int(rng.integers(len(array) + 1))].copy()
    if kind == "longer" and array.ndim:
        return np.concatenate([array, array])
    return array.ravel().copy() if kind == "flat" else np.empty(0, dtype=array.dtype)
