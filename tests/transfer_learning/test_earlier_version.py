"""Files that the package wrote in cdef2ba, before the backbone was called so, load and go on.

`earlier_version/` was written there: a full fine-tuning of `TinyEncoder(width=4)` on
`coloured(20)` (4 epochs in batches of 5, body_rate=1e-2, validation=0.2). `fine_tuned/` is its
`FineTuned.save`, `checkpoint.safetensors` the state of the same run interrupted before step 7, and
`expected.json` has its losses and its logits of the first three clips. `start.safetensors` has the
weights that the run began with, because another processor draws others from the same seed: the last
digits differ.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils.transfer_learning import CheckpointError, budget, fine_tune, load, training

FILES = Path(__file__).parent / "earlier_version"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
RUN = {"epochs": 4, "batch_size": 5, "backbone_rate": 1e-2, "validation": 0.2, "progress": False}


def tiny() -> TinyEncoder:
    """The encoder that was fine-tuned."""
    encoder = TinyEncoder(width=4)
    encoder.net.load_state_dict(load_file(FILES / "start.safetensors"))
    return encoder


def resumed(tmp_path, **changes):
    file = tmp_path / "checkpoint.safetensors"
    shutil.copyfile(FILES / "checkpoint.safetensors", file)
    return fine_tune(tiny(), *coloured(20), "full", checkpoint=file, **RUN | changes)


def test_a_fine_tuned_folder_predicts_the_same():
    encoder = tiny()
    assert encoder.fingerprint == EXPECTED["fingerprint"]
    model = load(FILES / "fine_tuned", encoder)
    assert model.recipe.backbone_rate == 1e-2
    clips, _ = coloured(20)
    np.testing.assert_allclose(model.logits(clips[:3]), EXPECTED["logits"], atol=1e-5)


def test_saved_again_it_has_the_present_names(tmp_path):
    model = load(FILES / "fine_tuned", tiny())
    folder = model.save(tmp_path / "model")
    tensors = json.loads((folder / "model.json").read_text(encoding="utf-8"))["tensors"]
    assert "backbone/blocks.0.0.weight" in tensors
    again = load(folder, tiny())
    clips, _ = coloured(3)
    np.testing.assert_array_equal(again.logits(clips), model.logits(clips))


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    steps = []
    plain = training.set_rates
    monkeypatch.setattr(training, "set_rates", lambda *rates: steps.append(plain(*rates)))
    model = resumed(tmp_path)
    assert len(steps) == 12 - 6  # two epochs of three steps were done
    np.testing.assert_allclose(model.losses, EXPECTED["losses"], atol=1e-5)
    clips, _ = coloured(20)
    np.testing.assert_allclose(model.logits(clips[:3]), EXPECTED["logits"], atol=1e-4)


def test_another_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="another run: recipe was"):
        resumed(tmp_path, epochs=5)


def test_recorded_tables_have_the_present_names():
    numbers = budget.recorded()["numbers"]
    assert any("backbone_rate" in row for row in numbers)
    assert not any("body_rate" in row for row in numbers)
