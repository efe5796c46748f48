"""Checkpoints as training leaves them load, or say what is wrong; none makes vectors of NaN."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.helpers.damage import damaged_bytes
from vidrec_utils import image_encoders
from vidrec_utils.encoders.weights import (
    PackagedFile,
    PackagedFiles,
    WeightsError,
    WeightsNotAvailable,
    load_strictly,
    read_checkpoint,
)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


TRAINED = {name: tensor.clone() for name, tensor in network(1).state_dict().items()}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in TRAINED.items()}


FORMS = {
    "plain": TRAINED,
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "both": prefixed("_orig_mod.module."),
    "the other way round": prefixed("module._orig_mod."),
    "a compiled layer": {n.replace("3.", "3._orig_mod."): t for n, t in TRAINED.items()},
    "Lightning": {"state_dict": prefixed("model."), "epoch": 3, "pytorch-lightning_version": "2.5"},
    "an own wrapper": prefixed("encoder.backbone."),
    "model": {"model": TRAINED},
    "model and optimizer": {
        "model": TRAINED,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "epoch": 7,
    },
    "model_state_dict": {"model_state_dict": TRAINED, "loss": torch.tensor(0.5)},
    "state_dict and average": {"state_dict": TRAINED, "ema": prefixed("x.")},
    "deeper": {"checkpoint": {"state_dict": prefixed("module.")}, "args": {"lr": 0.1}},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_training_leaves_load(form: str, tmp_path: Path) -> None:
    torch.save(FORMS[form], tmp_path / "net.pth")
    net = network()
    load_strictly(net, read_checkpoint(tmp_path / "net.pth"), "net.pth")
    for name, tensor in net.state_dict().items():
        assert tensor.equal(TRAINED[name]), name


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_safetensors_with_a_prefix_load(prefix: str, tmp_path: Path) -> None:
    save_file(prefixed(prefix), tmp_path / "net.safetensors")
    net = network()
    load_strictly(net, read_checkpoint(tmp_path / "net.safetensors"), "net.safetensors")
    assert all(tensor.equal(TRAINED[name]) for name, tensor in net.state_dict().items())


CONFUSED = {
    "several networks": ({"teacher": TRAINED, "student": TRAINED}, "'teacher', 'student'"),
    "a scalar of NumPy": (
        {"state_dict": TRAINED, "best": np.float64(0.8)},
        r"besides tensors \(numpy\.[\w.]+\)\. Save the state dict alone",
    ),
    "an array of NumPy": ({"a": np.zeros(3)}, r"besides tensors \(numpy\.[\w.]+\)"),
    "words between tensors": ({**TRAINED, "arch": "resnet"}, "'arch' is of str"),
    "a list": ([TRAINED], "not a state dict"),
    "nothing": ({}, "not a state dict"),
    "numbers as names": ({0: torch.zeros(2)}, "not a state dict"),
    "other tensors beside": (
        {**prefixed("model."), "loss.weight": torch.ones(3)},
        "names begin with 'model.' fit: save them alone",
    ),
    "one layer only": ({"3.bias": TRAINED["3.bias"]}, "8 tensors missing"),
    "sparse": ({**TRAINED, "3.weight": torch.eye(3).to_sparse()}, r"'3\.weight' is sparse"),
    "whole numbers": ({**TRAINED, "3.bias": torch.ones(3, dtype=torch.int8)}, r"\['3\.bias'\]"),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("case", CONFUSED)
def test_what_does_not_load_is_named(case: str, tmp_path: Path) -> None:
    content, complaint = CONFUSED[case]
    torch.save(content, tmp_path / "net.pth")
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError, match=complaint) as caught:
        load_strictly(net, read_checkpoint(tmp_path / "net.pth"), "net.pth")
    assert "\x1b" not in str(caught.value)
    assert all(tensor.equal(before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var", "3.bias"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_that_are_not_finite_are_refused_by_the_name_of_the_tensor(
    value: float, name: str, dtype: torch.dtype
) -> None:
    spoiled = TRAINED[name].to(dtype, copy=True)
    spoiled.view(-1)[-1] = value
    with pytest.raises(WeightsError, match=rf"net\.pth .*'{name}' holds values that are NaN"):
        load_strictly(network(), {**TRAINED, name: spoiled}, "net.pth")


def test_large_finite_values_and_a_mask_of_the_network_itself_load() -> None:
    large = {**TRAINED, "3.bias": torch.full((3,), torch.finfo(torch.float32).max)}
    load_strictly(network(), large, "net.pth")

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
            self.register_buffer("nothing", torch.zeros(0))

    load_strictly(Masked(), Masked().state_dict(), "net.pth")
    with pytest.raises(WeightsError, match="'mask'"):
        load_strictly(
            Masked(), {**Masked().state_dict(), "mask": torch.full((3, 3), -torch.inf)}, "x"
        )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files_raise_the_documented_error(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"net{suffix}"
    save_file(TRAINED, file) if suffix == ".safetensors" else torch.save(TRAINED, file)
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        file.write_bytes(damaged_bytes(data, rng))
        try:
            load_strictly(network(), read_checkpoint(file), file.name)
        except WeightsError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_an_encoder_from_a_wrapped_file_has_the_vectors_of_the_plain_one(
    prefix: str, tmp_path: Path
) -> None:
    plain = image_encoders.load(size=32, device="cpu")
    save_file(
        {prefix + n: t.contiguous() for n, t in plain.net.state_dict().items()},
        tmp_path / "a.safetensors",
    )
    wrapped = image_encoders.load(weights=tmp_path / "a.safetensors", size=32, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(wrapped.encode([image]), plain.encode([image]))


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
def test_an_encoder_does_not_load_a_filter_of_nan(name: str, tmp_path: Path) -> None:
    state = dict(image_encoders.load(name, "random", "cpu").net.state_dict())
    first = next(n for n, tensor in state.items() if tensor.ndim == 4).removeprefix("net.")
    state = {n.removeprefix("net."): tensor for n, tensor in state.items()}
    state[first] = torch.full_like(state[first], torch.nan)
    torch.save({"state_dict": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=rf"nan\.pth .*'{first}' holds values that are NaN"):
        image_encoders.load(name, tmp_path / "nan.pth", "cpu")


def test_files_of_one_network_are_available_and_verified_together(tmp_path, monkeypatch):
    for name in ("net", "layout"):
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.setattr("vidrec_utils.encoders.weights.find_packaged", _under(tmp_path))
    net, layout = (
        PackagedFile("pkg", name, "pkg", hashlib.sha256(name.encode()).hexdigest(), "MIT", name)
        for name in ("net", "layout")
    )
    paths, info = PackagedFiles((net, layout)).verified()
    assert paths == [tmp_path / "net", tmp_path / "layout"]
    assert info.sha256 == net.sha256
    with pytest.raises(WeightsError, match="layout"):
        PackagedFiles((net, replace(layout, sha256=net.sha256))).verified()

    (tmp_path / "layout").unlink()
    assert net.is_available()
    assert not PackagedFiles((net, layout)).is_available()
    with pytest.raises(WeightsNotAvailable, match="layout"):
        PackagedFiles((net, layout)).verified()


def _under(folder):
    """Stand in for `find_packaged`: files of any package lie in one folder."""
    return lambda _package, file: folder / file if (folder / file).exists() else None
