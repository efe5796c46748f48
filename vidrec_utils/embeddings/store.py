"""A store of vectors on disk that a kill at any moment leaves whole.

A store is a folder for one encoder and one kind of item:

- `vectors.f32`: rows of little-endian float32, one a key, in the order of the log;
- `log.jsonl`: one line a batch, the keys of its rows, what failed, and the CRC-32 of the rows and
  of the line itself. **A batch counts once its line is complete**, and the line is written after
  the rows have reached the disk;
- `provenance.json`: which encoder, weights, preprocessing and versions made it, and the batch size
  that it was begun with, and a CRC-32 of all that; checked on opening.

Whoever opens a store compares all of it with its checksums: rows that are not what was computed are
never handed out. That takes about as long as reading the log (see `Store.refresh`).

A store of an earlier version, which kept no checksums, is read as it is, and gets them with the
next batch. From then on, as in a new store, a line without a checksum proves nothing. An earlier
version can still add such lines, but only at the end of the log: there they do not count, a warning
says so, and what they held is computed again. Anywhere else, such a line was changed.

After a kill, the rows and the half line of an unfinished batch are written over by the next run.
Keys are hashes of content, so nothing is computed twice, and a file that changed is a new key.
"""

from __future__ import annotations

import json
import os
import re
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from vidrec_utils import settings
from vidrec_utils.files import naming, replace_whole, write_atomically

FORMAT = 1
CHECKED = ("format", "of", "encoder", "fingerprint", "dim", "frames", "windows")
CHECKSUM = "crc32"
UNCHECKED_LOG = "unchecked_log"
"""Entry of a sealed provenance, while a log without checksums gets them: CRC-32 of that log."""
BLOCK_BYTES = 2**24
"""Rows that a thread reads at once to compare them with their checksums."""
CLOCK_NS = 2 * 10**9
"""Nanoseconds after which another change of a file shows in its time, on every file system."""
_VERIFIED: set[tuple[object, ...]] = set()
"""Files of rows that this process has compared with their checksums: path, state, log."""
_LINE_END = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n\Z')


class StoreError(RuntimeError):
    """A folder of vectors that is damaged or was made by something else; names the remedy."""


@dataclass(frozen=True)
class _Batch:
    """A complete line of the log: its keys, what failed, and the checksum if it has one."""

    line: bytes
    number: int
    keys: list[str]
    reasons: list[str | None]
    first_row: int

    @property
    def content(self) -> bytes:
        """The line without its checksum, whose bytes the checksum covers."""
        return _LINE_END.sub(b"", self.line).removesuffix(b"}\n")

    @property
    def checksum(self) -> int | None:
        """The CRC-32 of rows and line, or None in a log of an earlier version."""
        end = _LINE_END.search(self.line)
        return int(end[1], 16) if end else None


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
        self.provenance_file = self.folder / "provenance.json"
        self._expected = {"format": FORMAT, **json.loads(json.dumps(provenance))}
        self._make()
        self.refresh()

    def refresh(self) -> None:
        """Read the log, and compare rows and log with their checksums.

        Sets `provenance`, `rows` (key to row), `reasons` (key to what failed), `n` complete rows.

        CRC-32 notices every change of one bit and every one within 32 bits in a row; of others, one
        in four billion escapes. It is the fastest checksum of the standard library: a gigabyte of
        rows takes one core half a second (SHA-256: 1.1, BLAKE2b: 2.2), and reading its log takes
        0.4. Rows that this process has compared before, and whose file has not changed since, are
        not compared again.

        Raises
        ------
        StoreError
            If the log or the rows are not what was written.

        Warns
        -----
        RuntimeWarning
            If the log ends with lines that do not count, because they have no checksum.
        """
        self.provenance, self._unchecked_log, log = self._read()
        batches = self._that_count(list(self._batches(log)), log)
        keys = list(chain.from_iterable(batch.keys for batch in batches))
        self.rows = dict(zip(keys, range(len(keys)), strict=True))
        reasons = chain.from_iterable(batch.reasons for batch in batches)
        self.reasons = {k: text for k, text in zip(keys, reasons, strict=True) if text is not None}
        self.log_bytes = sum(len(batch.line) for batch in batches)
        self._unchecked = any(batch.checksum is None for batch in batches)
        if self.n != len(keys):
            raise self._damaged("log.jsonl names a key twice")
        if self.n:
            self._verify(batches, log)

    @property
    def n(self) -> int:
        """Complete rows."""
        return len(self.rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in `vectors.f32`."""
        return self.dim * 4

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
        if self._unchecked_log is not None:
            self._add_checksums()
        line = _checked_line(_content(keys, reasons), data)
        _write_at(self.vectors_file, self.n * self.row_bytes, data.tobytes())
        _write_at(self.log_file, self.log_bytes, line, cut=True)
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

    def _make(self) -> None:
        """Begin a new store where there is none."""
        if self.provenance_file.exists():
            return
        if self.log_file.exists():
            raise self._damaged("provenance.json is gone")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.provenance_file, _sealed(self._expected))

    def _read(self) -> tuple[dict[str, Any], str | None, bytes]:
        """The provenance, the log, and what that log may be if its lines have no checksums.

        The latter is "" for a store of an earlier version, the checksum of a log that is about to
        get its own, and None for a store in which all lines have theirs.
        """
        before, log = None, b""
        try:
            while before != (text := self.provenance_file.read_bytes()):
                # until both are of one moment: another process may be adding checksums
                before = text
                log = self.log_file.read_bytes() if self.log_file.exists() else b""
        except FileNotFoundError as error:
            raise self._damaged("provenance.json is gone") from error
        return *self._parsed_provenance(text), log

    def _parsed_provenance(self, text: bytes) -> tuple[dict[str, Any], str | None]:
        try:
            stored = json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise self._damaged("provenance.json cannot be read") from error
        if not isinstance(stored, dict):
            raise self._damaged("provenance.json does not describe vectors")
        checksum = stored.pop(CHECKSUM, None)
        for key in CHECKED:
            own, expected = stored.get(key), self._expected.get(key)
            if own != expected:
                raise self._damaged(f"its {key} is {own!r}, the encoder's is {expected!r}")
        if checksum is None:  # of an earlier version, which knew no other entries
            size = stored.get("batch_size", 1)
            intact = stored.keys() <= self._expected.keys() and type(size) is int and size > 0
        else:
            intact = checksum == _checksum(stored)
        if not intact:
            raise self._damaged("provenance.json was changed")
        unchecked_log = stored.pop(UNCHECKED_LOG, None)
        return stored, "" if checksum is None else unchecked_log

    def _that_count(self, batches: list[_Batch], log: bytes) -> list[_Batch]:
        """The batches before the lines that do not count, with a warning if there are any."""
        checked = [batch.checksum is not None for batch in batches]
        first = checked.index(False) if False in checked else len(batches)
        if any(checked[first:]):
            number = batches[first].number
            raise self._damaged(f"line {number} of log.jsonl lost its checksum")
        if self._unchecked_log == "" and any(checked):
            raise self._damaged("provenance.json lost its checksum")
        if first < len(batches) and self._unchecked_log not in ("", f"{zlib.crc32(log):08x}"):
            a, b = batches[first].number, batches[-1].number
            lines = f"line {a} has" if a == b else f"lines {a} to {b} have"
            warnings.warn(
                f"{self.log_file}: {lines} no checksum, which this store keeps for each line. "
                "An earlier version of the course wrote without it, or something was changed. "
                "These rows do not count; they are computed again.",
                RuntimeWarning,
                stacklevel=4,
            )
            return batches[:first]
        return batches

    def _batches(self, log: bytes) -> Iterator[_Batch]:
        """The complete batches of a log."""
        row = 0
        for number, line in enumerate(log.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                return  # a batch that a kill interrupted: it does not count
            keys, reasons = self._parsed(line, number)
            yield _Batch(line, number, keys, reasons, row)
            row += len(keys)

    def _parsed(self, line: bytes, number: int) -> tuple[list[str], list[str | None]]:
        try:
            batch = json.loads(line)
            keys, reasons = batch["keys"], batch["reasons"]
            names = {"keys", "reasons", CHECKSUM} if _LINE_END.search(line) else {"keys", "reasons"}
            own = (
                batch.keys() == names
                and isinstance(keys, list)
                and isinstance(reasons, list)
                and len(keys) == len(reasons)
                and all(isinstance(key, str) for key in keys)
                and all(reason is None or isinstance(reason, str) for reason in reasons)
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(f"line {number} of log.jsonl is not its own") from error
        if not own:
            raise self._damaged(f"line {number} of log.jsonl is not its own")
        return keys, reasons

    def _verify(self, batches: Sequence[_Batch], log: bytes) -> None:
        """Raise an error if rows or lines are not what was written."""
        status = self.vectors_file.stat() if self.vectors_file.exists() else None
        if status is None or status.st_size < self.n * self.row_bytes:
            raise self._damaged(f"vectors.f32 is shorter than its {self.n} rows")
        file = (str(self.vectors_file.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
        state = (*file, zlib.crc32(log))
        if state in _VERIFIED:
            return
        changed = next(self._changed(batches), None)
        if changed is not None:
            rows = f"{changed.first_row} to {changed.first_row + len(changed.keys) - 1}"
            raise self._damaged(f"rows {rows} of vectors.f32, or their line in log.jsonl, changed")
        if time.time_ns() - status.st_mtime_ns > CLOCK_NS:
            _VERIFIED.add(state)

    def _changed(self, batches: Sequence[_Batch]) -> Iterator[_Batch]:
        """Batches whose checksum is not that of their rows and line."""
        length = max(1, BLOCK_BYTES // self.row_bytes)
        checked = [batch for batch in batches if batch.checksum is not None]
        blocks = groupby(checked, lambda batch: batch.first_row // length)
        with ThreadPoolExecutor(settings.threads()) as threads:
            for changed in threads.map(self._changed_in_block, [list(b) for _, b in blocks]):
                yield from changed

    def _changed_in_block(self, block: Sequence[_Batch]) -> list[_Batch]:
        changed = []
        with self.vectors_file.open("rb") as file:
            for batch in block:
                file.seek(batch.first_row * self.row_bytes)
                rows = file.read(len(batch.keys) * self.row_bytes)
                if batch.checksum != zlib.crc32(batch.content, zlib.crc32(rows)):
                    changed.append(batch)
        return changed

    def _add_checksums(self) -> None:
        """Give a store of an earlier version checksums of what it holds now.

        The seal names the old log until the new one is in its place, so that a kill in between
        costs nothing.
        """
        if self._unchecked:
            log, rows = self.log_file.read_bytes(), self.vectors()
            lines = [
                _checked_line(b.content, rows[b.first_row : b.first_row + len(b.keys)])
                for b in self._batches(log)
            ]
            unchecked = {UNCHECKED_LOG: f"{zlib.crc32(log):08x}"}
            write_atomically(self.provenance_file, _sealed(self.provenance | unchecked))
            replace_whole(self.log_file, b"".join(lines))
            self.log_bytes = sum(map(len, lines))
        write_atomically(self.provenance_file, _sealed(self.provenance))
        self._unchecked, self._unchecked_log = False, None

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"The vectors in {self.folder} cannot be used: {what}. Delete the folder; it will be "
            "computed again."
        )


def _content(keys: Sequence[str], reasons: Sequence[str | None]) -> bytes:
    """A line of the log without its end."""
    return json.dumps({"keys": list(keys), "reasons": list(reasons)}).encode().removesuffix(b"}")


def _checked_line(content: bytes, rows: np.ndarray) -> bytes:
    """A line of the log with the checksum of the batch."""
    checksum = zlib.crc32(content, zlib.crc32(rows.tobytes()))
    return content + b', "%s": "%08x"}\n' % (CHECKSUM.encode(), checksum)


def _sealed(provenance: dict[str, Any]) -> str:
    """The text of `provenance.json`, with a checksum of its entries."""
    sealed = {**provenance, CHECKSUM: _checksum(provenance)}
    return json.dumps(sealed, indent=1, sort_keys=True)


def _checksum(entries: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(entries, sort_keys=True).encode()):08x}"


def _write_at(path: Path, offset: int, data: bytes, cut: bool = False) -> None:
    """Write bytes at an offset and wait until they are on disk; `cut` drops what followed."""
    path.touch()
    with naming(path), path.open("r+b") as file:
        if cut:
            file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
