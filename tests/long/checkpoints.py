"""Damaged checkpoints of fine-tuning: refused before anything changes, or resumed as saved."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from tests.helpers.damage import damaged_array, damaged_bytes, damaged_json
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from tests.transfer_learning.test_checkpoints import rewritten, state, trained, values
from vidrec_utils.transfer_learning import CheckpointError


class Checkpoints(Kind):
    """The checkpoint of a run of two steps."""

    name = "checkpoints"

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state.safetensors"
        self.saved = values(trained(self.file))
        self.untouched = values(state(None))

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        edited = number % 3 == 2
        file = folder / ("edited" if edited else "damaged") / self.file.name
        file.parent.mkdir()
        if not edited:
            file.write_bytes(damaged_bytes(self.file.read_bytes(), rng))
            return
        shutil.copyfile(self.file, file)

        def change(tensors: dict, metadata: dict) -> tuple[dict, object]:
            if rng.random() < 0.5:
                return tensors, damaged_json(metadata, rng)
            name = sorted(tensors)[int(rng.integers(len(tensors)))]
            array = np.ascontiguousarray(damaged_array(tensors[name].numpy(), rng))
            return {**tensors, name: torch.from_numpy(array)}, metadata

        rewritten(file, change)

    def examine(self, folder: Path) -> str:
        [file] = folder.glob("*/*.safetensors")
        edited = file.parent.name == "edited"
        resumed = state(file)
        try:
            resumed.resume()
        except CheckpointError:
            assert values(resumed) == self.untouched, "it was refused, and yet changed something"
            return "edited: refused" if edited else "refused"
        if edited:  # another loss, say, that a run could have had
            resumed.model(torch.arange(12.0).reshape(4, 3)).square().mean().backward()
            resumed.optimizer.step()
            return "edited: goes on"
        assert values(resumed) == self.saved, "it was resumed with other values"
        return "same"


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(Checkpoints, count, seed, folder, progress)
