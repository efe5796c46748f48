"""Checkpoints that were changed are refused with a sentence, and before anything is changed."""

import contextlib
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from tests.helpers.damage import damaged_bytes, damaged_json
from vidrec_utils.transfer_learning import CheckpointError, checkpoints
from vidrec_utils.transfer_learning.checkpoints import TrainingState

RUN = {"recipe": {"epochs": 3}, "data": "d0"}


def state(file: Path | None) -> TrainingState:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return TrainingState(file, RUN, model, optimizer, torch.amp.GradScaler("cpu", enabled=False))


def trained(file: Path) -> TrainingState:
    """A state after two steps, saved."""
    made = state(file)
    for step in range(2):
        made.model(torch.arange(12.0).reshape(4, 3)).square().mean().backward()
        made.optimizer.step()
        made.progress.step = step + 1
        made.progress.losses.append(0.5 / (step + 1))
    made.progress.epochs.append({"epoch": 1, "step": 2, "valid_loss": 0.25})
    made.progress.best = 0.25
    made.save()
    return made


def values(of: TrainingState) -> dict:
    optimizer = checkpoints.pack(of.optimizer)
    tensors = {**of.model.state_dict(), **optimizer, **{f"best/{k}": t for k, t in of.best.items()}}
    return {name: tensor.tolist() for name, tensor in tensors.items()} | vars(of.progress)


def rewritten(file: Path, change) -> None:
    """Edit tensors and metadata, and renew the hash, as an attacker can."""
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = json.loads(opened.metadata()["metadata"])
    tensors, metadata = change(tensors, metadata)
    checkpoints.write(file, tensors, metadata)


def test_a_run_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    before = trained(file)
    again = state(file)
    assert again.resume().step == 2
    assert values(again) == values(before)


def test_no_changed_bit_is_passed_on(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    checkpoints.write(file, {"a": torch.tensor([1.0, 2.0])}, {"run": {"seed": 1}})
    data = file.read_bytes()
    refused = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            tensors, metadata = checkpoints.read(file, {})
        except CheckpointError:
            refused += 1
            continue
        assert {name: t.tolist() for name, t in tensors.items()} == {"a": [1, 2]}, bit
        assert metadata == {"run": {"seed": 1}}, bit
    assert refused > 0.95 * 8 * len(data)


def test_damaged_files_are_refused_or_the_same(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    expected = values(trained(file))
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    untouched = values(state(None))
    outcomes: Counter[str] = Counter()
    for case in range(150):
        file.write_bytes(damaged_bytes(data, rng))
        resumed = state(file)
        with contextlib.suppress(CheckpointError):
            resumed.resume()
            outcomes["read"] += 1
            assert values(resumed) == expected, case
            continue
        assert values(resumed) == untouched, case
    assert outcomes["read"] < 30


def test_edited_files_with_a_new_hash_are_refused_or_fit(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    trained(file)
    data = file.read_bytes()
    rng = np.random.default_rng(1)
    untouched = values(state(None))
    outcomes: Counter[str] = Counter()
    for case in range(150):
        file.write_bytes(data)
        rewritten(file, lambda tensors, metadata: (tensors, damaged_json(metadata, rng)))
        resumed = state(file)
        try:
            resumed.resume()
            outcomes["fits"] += 1
        except CheckpointError:
            assert values(resumed) == untouched, case
            outcomes["refused"] += 1
    assert outcomes["refused"] > 70
    assert outcomes["fits"] > 5  # another loss, say, that a run could have had


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t, m: ({k: v for k, v in t.items() if k != "model/0.bias"}, m), r"model/\*"),
        (lambda t, m: ({**t, "best/0.bias": torch.zeros(3)}, m), r"best/\*"),
        (lambda t, m: ({**t, "best/0.bias": torch.zeros(2, dtype=torch.int64)}, m), r"best/\*"),
        (lambda t, m: ({**t, "optimizer/9/exp_avg": torch.zeros(2)}, m), "optimizer/9/exp_avg"),
        (lambda t, m: ({**t, "optimizer/x/exp_avg": torch.zeros(2)}, m), "optimizer/x/exp_avg"),
        (lambda t, m: ({**t, "optimizer/0/exp_avg": torch.zeros(7)}, m), "optimizer/0/exp_avg"),
        (lambda t, m: (t, {**m, "progress": {**m["progress"], "step": -1}}), "progress"),
        (lambda t, m: (t, {**m, "progress": {**m["progress"], "step": 7}}), "progress"),
        (lambda t, m: (t, {**m, "progress": {**m["progress"], "best": None}}), "progress"),
        (lambda t, m: (t, {**m, "progress": {**m["progress"], "more": 1}}), "more"),
        (lambda t, m: (t, {**m, "progress": 3}), "Progress"),
        (lambda t, m: (t, {**m, "scaler": {"scale": 1}}), "scaler"),
        (lambda t, m: (t, {"run": m["run"], "progress": m["progress"]}), "scaler"),
        (lambda t, m: (t, {"progress": m["progress"]}), "does not describe a run"),
        (lambda t, m: (t, {**m, "run": 5}), "does not describe a run"),
        (lambda t, m: (t, [m]), "does not describe a run"),
    ],
)
def test_what_does_not_fit_is_named(change, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    trained(file)
    rewritten(file, change)
    resumed = state(file)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        resumed.resume()
    assert str(file) in str(caught.value)
    assert values(resumed) == values(state(None))


@pytest.mark.parametrize("version", ["2", "3"])
def test_only_a_file_of_before_may_lack_the_hash(version: str, tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    before = values(trained(file))
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        text = opened.metadata()["metadata"]
    save_file(tensors, file, {"format": version, "metadata": text})
    resumed = state(file)
    if version == "3":
        with pytest.raises(CheckpointError, match="was changed"):
            resumed.resume()
        return
    resumed.resume()
    assert values(resumed) == before
    resumed.save()
    with safe_open(file, framework="pt") as opened:
        assert re.fullmatch(r"[0-9a-f]{64}", opened.metadata()["sha256"])


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", '{"run": []}'])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_header_that_describes_nothing(version: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    key = "told" if version == "1" else "metadata"
    save_file({"a": torch.zeros(1)}, file, {"format": version, key: text})
    with pytest.raises(CheckpointError, match=r"does not describe a run|belongs to another run"):
        checkpoints.read(file, {"seed": 1})


def test_best_may_be_infinite_until_the_first_epoch_ends(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    state(file).save()
    assert state(file).resume().best == math.inf
