"""Damaged models: refused, or they score as they did; edited ones with new hashes can score."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.helpers import damaged_models
from tests.helpers.damage import damaged_bytes
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from vidrec_utils import recommender

SAVED = Path(__file__).parents[1] / "saved_models"


class Models(Kind):
    """The models of `tests/saved_models`, in the format of today."""

    name = "models"

    def __init__(self, folder: Path) -> None:
        saved = sorted(file.parent for file in SAVED.glob("*/model.json"))
        loaded = {model.name: recommender.load(model) for model in saved}
        self.models = [model.save(folder / name) for name, model in loaded.items()]
        self.scores = {name: m.score(damaged_models.USERS) for name, m in loaded.items()}

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        model = self.models[number // 2 % len(self.models)]
        kind = "edited" if number % 2 else "damaged"
        copied = folder / kind / model.name
        shutil.copytree(model, copied)
        if kind == "edited":
            damaged_models.edit(copied, rng)
        else:
            files = sorted(copied.iterdir())
            file = files[int(rng.integers(len(files)))]
            file.write_bytes(damaged_bytes(file.read_bytes(), rng))

    def examine(self, folder: Path) -> str:
        [model] = folder.glob("*/*")
        edited = model.parent.name == "edited"
        outcome = damaged_models.outcome(model, None if edited else self.scores[model.name])
        assert outcome != "changed", f"{model.name} scores otherwise"
        return f"edited: {outcome}" if edited else outcome


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`."""
    return runner.run(Models, count, seed, folder, progress)
