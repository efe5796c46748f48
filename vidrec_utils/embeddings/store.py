"""A store of vectors on disk that a kill at any moment leaves whole.

A store is a folder for one encoder and one kind of item:

- `vectors.f32`: rows of little-endian float32, one a key, in the order of the log;
- `log.jsonl`: one line a batch, the keys of its rows and what failed. **A batch counts once its
  line is complete**, and the line is written after the rows have reached the disk;
- `provenance.json`: which encoder, weights, preprocessing and versions made it, and the batch size
  that it was begun with; checked on opening.

After a kill, the rows and the half line of an unfinished batch are written over by the next run.
Keys are hashes of content, so nothing is computed twice, and a file that changed is a new key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidrec_utils.files import write_atomically

FORMAT = 1
CHECKED = ("format", "of", "encoder", "fingerprint", "dim", "frames")


class StoreError(RuntimeError):
    """A folder of vectors that is damaged or was made by something else; names the remedy."""


class Store:
    """Rows of vectors by key. Making a store and appending need the lock that `embed` holds.

    Reading an existing one needs none.

    Parameters
    ----------
    folder : Path
        Made if absent.
    provenance : dict
        What must be true of the vectors; written into a new store, compared with an old one.

    Raises
    ------
    StoreError
        If the folder holds vectors of another provenance, or is damaged.
    """

    def __init__(self, folder: Path, provenance: dict[str, object]):
        self.folder = Path(folder)
        self.dim = int(str(provenance["dim"]))
        self.vectors_file = self.folder / "vectors.f32"
        self.log_file = self.folder / "log.jsonl"
        self.provenance = self._open(provenance)
        self.refresh()

    def refresh(self) -> None:
        """Read the log: `rows` (key to row), `reasons` (key to what failed), `n` complete rows."""
        self.rows: dict[str, int] = {}
        self.reasons: dict[str, str] = {}
        self.log_bytes = 0
        text = self.log_file.read_bytes() if self.log_file.exists() else b""
        for line in text.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # a batch that a kill interrupted: it does not count
            batch = self._parsed(line)
            self._count(batch["keys"], batch["reasons"], line)
        size = self.vectors_file.stat().st_size if self.vectors_file.exists() else 0
        if size < self.n * self.dim * 4:
            raise self._damaged(f"vectors.f32 is shorter than its {self.n} rows")

    @property
    def n(self) -> int:
        """Complete rows."""
        return len(self.rows)

    def append(
        self, keys: Sequence[str], vectors: np.ndarray, reasons: Sequence[str | None]
    ) -> None:
        """Add a batch: all of it or, if killed meanwhile, nothing.

        Parameters
        ----------
        keys : sequence of str
            New keys, each once.
        vectors : ndarray, shape (len(keys), dim)
            NaN rows where there is a reason.
        reasons : sequence of str or None
            Why a row failed.
        """
        data = np.ascontiguousarray(vectors, dtype="<f4")
        if data.shape != (len(keys), self.dim):
            raise ValueError(f"Vectors of shape {data.shape} for {len(keys)} keys of {self.dim}.")
        line = json.dumps({"keys": list(keys), "reasons": list(reasons)}).encode() + b"\n"
        _write_at(self.vectors_file, self.n * self.dim * 4, data.tobytes())
        _write_at(self.log_file, self.log_bytes, line, cut=True)
        self._count(keys, reasons, line)

    def _count(self, keys: Sequence[str], reasons: Sequence[str | None], line: bytes) -> None:
        """Take a batch into account whose line of the log is complete."""
        for key, reason in zip(keys, reasons, strict=True):
            if reason is not None:
                self.reasons[key] = reason
            self.rows[key] = len(self.rows)
        self.log_bytes += len(line)

    def vectors(self) -> np.ndarray:
        """All complete rows, float32 `(n, dim)`, memory-mapped and read-only."""
        if not self.n:
            return np.empty((0, self.dim), dtype="<f4")
        return np.memmap(self.vectors_file, dtype="<f4", mode="r", shape=(self.n, self.dim))

    def _open(self, provenance: dict[str, object]) -> dict[str, Any]:
        provenance = {"format": FORMAT, **json.loads(json.dumps(provenance))}
        file = self.folder / "provenance.json"
        if not file.exists():
            if self.log_file.exists():
                raise self._damaged("provenance.json is gone")
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f".{file.name}.*"):  # of a kill while writing it
                leftover.unlink(missing_ok=True)
            write_atomically(file, json.dumps(provenance, indent=1, sort_keys=True))
            return provenance
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self._damaged("provenance.json cannot be read") from error
        for key in CHECKED:
            if stored.get(key) != provenance.get(key):
                raise self._damaged(
                    f"its {key} is {stored.get(key)!r}, the encoder's is {provenance.get(key)!r}"
                )
        return stored

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            batch = json.loads(line)
            batch["keys"], batch["reasons"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged("log.jsonl has a line that is not its own") from error
        return batch

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"The vectors in {self.folder} cannot be used: {what}. Delete the folder; it will be "
            "computed again."
        )


def _write_at(path: Path, offset: int, data: bytes, cut: bool = False) -> None:
    """Write bytes at an offset and wait until they are on disk; `cut` drops what followed."""
    path.touch()
    with path.open("r+b") as file:
        if cut:
            file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
