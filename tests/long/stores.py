"""Damaged stores of vectors: refused, or they hold what was computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from tests.helpers.damage import damaged_bytes, damaged_json
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from vidrec_utils.embeddings import StoreError
from vidrec_utils.embeddings.store import Store

DIM, BATCHES, BATCH = 12, 9, 4
PROVENANCE: dict[str, object] = {
    "of": "title",
    "encoder": "minilm",
    "fingerprint": "f0",
    "dim": DIM,
    "frames": None,
    "batch_size": BATCH,
}
FILES = ("vectors.f32", "log.jsonl", "provenance.json")


class Stores(Kind):
    """A store of nine batches, some of whose items failed."""

    name = "stores"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        rng = np.random.default_rng(0)
        n = BATCHES * BATCH
        self.keys = [f"{rng.integers(2**63):016x}" for _ in range(n)]
        self.vectors = rng.normal(size=(n, DIM)).astype("<f4")
        self.reasons = ["the file is missing" if i % 7 == 3 else None for i in range(n)]
        self.vectors[3::7] = np.nan
        made = Store(self.folder, PROVENANCE)
        self._append(made)
        other = Store(folder / "other", PROVENANCE)  # of the same encoder, for other items
        other.append(self.keys[::-1][:BATCH], 1 + self.vectors[:BATCH], [None] * BATCH)
        self.other = other.folder

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        file = folder / FILES[number % 3]
        kind = rng.choice(["bytes", "entries", "files"], p=[0.6, 0.3, 0.1])
        if kind == "files":
            self._mix_up(file, rng)
        elif kind == "entries" and file.name != "vectors.f32":
            lines = (
                file.read_text().splitlines() if file.name == "log.jsonl" else [file.read_text()]
            )
            index = int(rng.integers(len(lines)))
            lines[index] = json.dumps(damaged_json(json.loads(lines[index]), rng))
            file.write_text("\n".join(lines) + "\n")
        else:
            file.write_bytes(damaged_bytes(file.read_bytes(), rng))

    def examine(self, folder: Path) -> str:
        try:
            store = Store(folder, PROVENANCE)
        except StoreError:
            return "refused"
        n = store.n
        self._compare(store)
        self._append(store)  # as a second run does, which computes what is not there
        self._compare(Store(folder, PROVENANCE))
        assert store.n == len(self.keys)
        # a line that lost its end counts as one that a kill interrupted
        return "same" if n == len(self.keys) else "first batches"

    def _append(self, store: Store) -> None:
        for start in range(store.n, len(self.keys), BATCH):
            rows = slice(start, start + BATCH)
            store.append(self.keys[rows], self.vectors[rows], self.reasons[rows])

    def _compare(self, store: Store) -> None:
        n = store.n
        assert n % BATCH == 0
        assert store.rows == {key: row for row, key in enumerate(self.keys[:n])}
        assert store.vectors().tobytes() == self.vectors[:n].tobytes()
        pairs = zip(self.keys[:n], self.reasons[:n], strict=True)
        assert store.reasons == {key: reason for key, reason in pairs if reason}
        assert {name: store.provenance[name] for name in PROVENANCE} == PROVENANCE

    def _mix_up(self, file: Path, rng: np.random.Generator) -> None:
        """Remove or empty a file, or put another store's in its stead, or shuffle its lines."""
        kind = rng.choice(["remove", "empty", "other", "shuffle"])
        if kind == "remove":
            file.unlink()
        elif kind == "empty":
            file.write_bytes(b"")
        elif kind == "other":
            shutil.copyfile(self.other / file.name, file)
        else:
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b"".join(lines[i] for i in rng.permutation(len(lines))))


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(Stores, count, seed, folder, progress)
