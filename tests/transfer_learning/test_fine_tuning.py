"""Folders of fine-tuned encoders that were damaged or edited are refused with a sentence."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.helpers.damage import damaged_array, damaged_bytes, damaged_json
from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils import saving
from vidrec_utils.transfer_learning import fine_tune, load

CLIPS, LABELS = coloured(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = fine_tune(
        TinyEncoder(),
        CLIPS,
        LABELS,
        "full",
        epochs=1,
        batch_size=6,
        validation=None,
        progress=False,
    )
    return model.save(tmp_path_factory.mktemp("saved") / "model")


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_damaged_files_are_refused_or_predict_the_same(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    expected = load(folder, TinyEncoder()).logits(CLIPS[:2])
    whole = files(folder)
    refused = 0
    for case in range(60):
        name = sorted(whole)[case % 2]
        for other, data in whole.items():
            (tmp_path / other).write_bytes(damaged_bytes(data, rng) if other == name else data)
        try:
            model = load(tmp_path, TinyEncoder())
        except saving.SavedModelError:
            refused += 1
        else:
            np.testing.assert_array_equal(model.logits(CLIPS[:2]), expected)
    assert refused > 50


@pytest.mark.filterwarnings("ignore:std..:UserWarning", "ignore:Initializing zero-element")
def test_edited_files_with_new_hashes_are_refused_or_predict(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    description = json.loads((folder / saving.DESCRIPTION).read_text(encoding="utf-8"))
    arrays = load_file(folder / description["arrays"])
    own = {k: v for k, v in description.items() if k not in ("arrays", "arrays_sha256", "format")}
    own.pop(saving.SEAL)
    outcomes: Counter[str] = Counter()
    for case in range(80):
        name = sorted(arrays)[case % len(arrays)]
        edited = case % 2 == 1
        changed = damaged_json(own, rng) if edited else own
        kept = {name: arrays[name] if edited else damaged_array(arrays[name], rng)}
        try:
            saving.write(tmp_path, changed, {**arrays, **kept})
        except (TypeError, ValueError):  # JSON of today cannot hold it
            continue
        try:
            logits = load(tmp_path, TinyEncoder()).logits(CLIPS[:2])
            outcomes["predicts"] += 1
            assert logits.shape[0] == 2
        except saving.SavedModelError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 30
    assert outcomes["predicts"] > 5


def test_a_weight_that_is_not_finite_is_named(folder: Path, tmp_path: Path) -> None:
    description, arrays = saving.read(folder)
    name = next(name for name in arrays if name.startswith("backbone:"))
    spoiled = np.array(arrays[name])
    spoiled.flat[0] = torch.nan
    saving.write(tmp_path, description, {**arrays, name: spoiled})
    with pytest.raises(saving.SavedModelError, match=rf"{name}.*NaN"):
        load(tmp_path, TinyEncoder())
