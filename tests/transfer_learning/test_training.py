"""The loop: what a step is, what is decayed, how it is interrupted, resumed and stopped."""

import math
import warnings
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils.transfer_learning import (
    CheckpointError,
    Recipe,
    TrainingDiverged,
    checkpoints,
    fine_tune,
    fine_tuning,
    training,
    warmup_cosine,
)
from vidrec_utils.transfer_learning.backbone import Features
from vidrec_utils.transfer_learning.tasks import SingleLabel

QUICK = {"epochs": 4, "batch_size": 5, "backbone_rate": 1e-2, "progress": False}


class Stopped(Exception):
    """Stands for a kill."""


def stop_at(monkeypatch, step):
    """Let the run end when it is about to take a step."""
    plain = training.warmup_cosine

    def factor(now, total, warmup):
        if now == step:
            raise Stopped
        return plain(now, total, warmup)

    monkeypatch.setattr(training, "warmup_cosine", factor)
    return lambda: monkeypatch.setattr(training, "warmup_cosine", plain)


def test_schedule_rises_in_a_line_and_falls_along_a_cosine():
    factors = [warmup_cosine(step, 110, 10 / 110) for step in range(110)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[35] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert all(a > b > 0 for a, b in pairwise(factors[10:]))
    assert warmup_cosine(0, 5, 0.0) == 1


def test_a_step_is_the_plain_one():
    """One step of the loop against AdamW written out by hand for a linear model."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(8, 3)), dtype=torch.float32)
    y = torch.tensor([0, 1] * 4)
    head = nn.Linear(3, 2)
    weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
    recipe = Recipe(epochs=1, batch_size=8, warmup=0, weight_decay=0.1, clip_norm=1e9)
    groups = [{"parameters": list(head.named_parameters()), "rate": 0.01}]
    training.train(head, Features(x), y, SingleLabel(["a", "b"]), groups, recipe, progress=False)
    given = F.linear(x, weight, bias).softmax(dim=1)
    target = 0.9 * F.one_hot(y, 2) + 0.1 / 2
    slope = (given - target) / 8
    for was, is_, gradient, decay in (
        (weight, head.weight, slope.T @ x, 0.1),
        (bias, head.bias, slope.sum(dim=0), 0.0),
    ):
        # the first step of Adam is the gradient's sign times the rate
        target_weight = was * (1 - 0.01 * decay) - 0.01 * gradient / (gradient.abs() + 1e-8)
        assert torch.allclose(is_, target_weight, atol=1e-5)


def test_norms_and_biases_have_no_weight_decay():
    net = TinyEncoder().net
    groups = [{"parameters": list(net.named_parameters()), "rate": 1e-3}]
    decay = {
        id(p): group["weight_decay"]
        for group in training.adamw(groups, 0.05).param_groups
        for p in group["params"]
    }
    assert len(decay) == len(list(net.parameters()))
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = name == "bias" or isinstance(module, nn.BatchNorm3d)
            assert decay[id(parameter)] == (0 if plain else 0.05)


def test_long_gradients_are_scaled_down():
    recipe = Recipe(epochs=1, batch_size=4, warmup=0, clip_norm=1e-8, weight_decay=0.0)
    lengths = []
    head = nn.Linear(2, 2)
    head.weight.register_post_accumulate_grad_hook(lambda p: lengths.append(p.grad.norm()))
    plain = torch.optim.AdamW.step
    clipped = []

    def step(self, *args, **kwargs):
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        clipped.append(torch.stack([g.norm() for g in grads]).norm())
        return plain(self, *args, **kwargs)

    groups = [{"parameters": list(head.named_parameters()), "rate": 0.01}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        training.train(
            head, Features(torch.ones(4, 2)), torch.tensor([0, 1, 0, 0]), SingleLabel("ab"),
            groups, recipe, progress=False,
        )  # fmt: skip
    assert lengths[0] > 1e-3
    assert clipped[0] < 1.1e-8


def test_accumulated_batches_make_one_large_step():
    clips, labels = coloured(24)
    plain = {"epochs": 2, "backbone_rate": 1e-2, "dropout": 0.0, "progress": False}
    encoder = TinyEncoder(dropout=0.0)
    large = fine_tune(encoder, clips, labels, "full", batch_size=12, **plain)
    parts = fine_tune(encoder, clips, labels, "full", batch_size=4, accumulate=3, **plain)
    assert len(large.losses) == len(parts.losses) == 4
    np.testing.assert_allclose(parts.losses, large.losses, atol=1e-5)


def test_it_learns_and_leaves_the_encoder_alone():
    clips, labels = coloured(30)
    encoder = TinyEncoder()
    before = encoder.fingerprint
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model = fine_tune(encoder, clips, labels, "full", **QUICK | {"epochs": 12})
    assert torch.equal(torch.get_rng_state(), state)
    assert encoder.fingerprint == before != model.encoder.fingerprint
    test, names = coloured(30, seed=9)
    assert (model.predict(test) == np.array(names)).mean() > 0.9
    again = fine_tune(encoder, clips, labels, "full", **QUICK | {"epochs": 12})
    assert again.losses.tolist() == model.losses.tolist()


def test_history_has_a_row_an_epoch():
    clips, labels = coloured(24)
    model = fine_tune(TinyEncoder(), clips, labels, "full", validation=0.25, **QUICK)
    assert list(model.history.index) == [1, 2, 3, 4]
    assert model.history["step"].tolist() == [4, 8, 12, 16]  # 18 clips, 5 at a time
    means = model.losses.reshape(4, 4).mean(axis=1)
    np.testing.assert_allclose(model.history["train_loss"], means)
    assert np.isfinite(model.history).all(axis=None)


def test_early_stopping_keeps_the_best_epoch():
    clips, labels = coloured(24)
    wrong = labels[1:] + labels[:1]  # the better it learns, the worse it does here
    model = fine_tune(
        TinyEncoder(), clips, labels, "full", validation=(clips, wrong), patience=2,
        epochs=30, batch_size=6, backbone_rate=1e-2, progress=False,
    )  # fmt: skip
    assert len(model.history) < 30
    best = model.history["valid_loss"].idxmin()
    assert len(model.history) == best + 2
    targets = model.task.targets(wrong)
    loss = float(F.cross_entropy(torch.from_numpy(model.logits(clips)), targets))
    assert loss == pytest.approx(model.history["valid_loss"].min(), abs=1e-5)


@pytest.mark.parametrize("strategy", ["full", "partial", "probe", "lora"])
@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_interrupted_anywhere_it_goes_on_with_the_same_losses(
    strategy, step, tmp_path, monkeypatch
):
    clips, labels = coloured(20)
    encoder, options = TinyEncoder(), QUICK | {"validation": 0.2, "checkpoint_interval": 2}
    whole = fine_tune(encoder, clips, labels, strategy, **options)
    assert len(whole.losses) == 12  # 16 clips, in batches of 5, 5 and 6
    file = tmp_path / "run" / "state.safetensors"
    go_on = stop_at(monkeypatch, step)
    with pytest.raises(Stopped):
        fine_tune(encoder, clips, labels, strategy, checkpoint=file, **options)
    go_on()
    taken = []
    monkeypatch.setattr(training, "set_rates", counting(training.set_rates, taken))
    model = fine_tune(encoder, clips, labels, strategy, checkpoint=file, **options)
    kept = max(s for s in range(step + 1) if not s % 2 or not s % 3)
    assert len(taken) == 12 - kept  # it did go on, not anew
    assert model.losses.tolist() == whole.losses.tolist()
    numbers = ["train_loss", "valid_loss", "valid_score", "rate"]
    pd.testing.assert_frame_equal(model.history[numbers], whole.history[numbers])
    assert np.array_equal(model.encode(clips), whole.encode(clips))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_networks_laid_out_channels_last_go_on_too(tmp_path, monkeypatch):
    clips, labels = coloured(20)
    encoder = TinyEncoder()
    plain = fine_tune(encoder, clips, labels, "full", **QUICK)
    encoder.net.to(memory_format=torch.channels_last_3d)
    assert not encoder.net.blocks[1][0].weight.is_contiguous()
    whole = fine_tune(encoder, clips, labels, "full", **QUICK)
    np.testing.assert_allclose(whole.losses, plain.losses, rtol=1e-4)
    file = tmp_path / "state.safetensors"
    go_on = stop_at(monkeypatch, 6)
    with pytest.raises(Stopped):
        fine_tune(encoder, clips, labels, "full", checkpoint=file, **QUICK)
    go_on()
    model = fine_tune(encoder, clips, labels, "full", checkpoint=file, **QUICK)
    assert model.losses.tolist() == whole.losses.tolist()
    assert np.array_equal(model.encode(clips), whole.encode(clips))


def counting(function, calls):
    def wrapped(*args):
        calls.append(args)
        return function(*args)

    return wrapped


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch):
    clips, labels = coloured(12)
    file = tmp_path / "state.safetensors"
    model = fine_tune(TinyEncoder(), clips, labels, "full", checkpoint=file, **QUICK)
    monkeypatch.setattr(training, "set_rates", lambda *_: pytest.fail("it took a step"))
    again = fine_tune(TinyEncoder(), clips, labels, "full", checkpoint=file, **QUICK)
    assert np.array_equal(again.encode(clips), model.encode(clips))


def test_a_kill_while_writing_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"
    checkpoints.write(file, {"a": torch.ones(2)}, {"run": {}})

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.write(file, {"a": torch.zeros(2)}, {"run": {}})
    monkeypatch.undo()
    assert checkpoints.read(file, {})[0]["a"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder": TinyEncoder(width=6)}, "architecture"),
        ({"encoder": TinyEncoder(seed=5)}, "weights"),
        ({"strategy": "partial"}, "strategy"),
        ({"epochs": 5}, "recipe"),
        ({"labels": coloured(12)[1][::-1]}, "data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(change, named, tmp_path):
    clips, labels = coloured(12)
    file = tmp_path / "state.safetensors"
    asked = {"encoder": TinyEncoder(), "clips": clips, "labels": labels, "strategy": "full"} | QUICK
    fine_tune(**asked, checkpoint=file)
    kept = file.read_bytes()
    with pytest.raises(CheckpointError, match=rf"another run.*{named} was"):
        fine_tune(**asked | change, checkpoint=file)
    assert file.read_bytes() == kept


def test_a_damaged_checkpoint_is_refused(tmp_path):
    clips, labels = coloured(12)
    file = tmp_path / "state.safetensors"
    fine_tune(TinyEncoder(), clips, labels, "full", checkpoint=file, **QUICK)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="no checkpoint that can be read"):
        fine_tune(TinyEncoder(), clips, labels, "full", checkpoint=file, **QUICK)


class Broken(TinyEncoder):
    """One clip, all white, becomes infinite while it is prepared."""

    def prepare(self, clips):
        out = super().prepare(clips)
        return torch.where((out == 1).all(dim=(1, 2, 3, 4), keepdim=True), torch.inf, out)


def test_a_loss_that_is_not_finite_names_batch_and_clip(tmp_path, monkeypatch):
    clips, labels = coloured(20)
    file = tmp_path / "state.safetensors"
    plain = SingleLabel.loss
    calls = []

    def loss(self, logits, targets, smoothing):
        each = plain(self, logits, targets, smoothing)
        if smoothing:  # in training, not in validation
            calls.append(len(each))
            if len(calls) == 7:
                each = torch.where(torch.arange(len(each)) == 2, torch.nan, each)
        return each

    monkeypatch.setattr(SingleLabel, "loss", loss)
    names = [f"clip-{index}" for index in range(20)]
    with pytest.raises(TrainingDiverged) as caught:
        fine_tune(TinyEncoder(), clips, labels, "full", ids=names, checkpoint=file, **QUICK)
    error = caught.value
    expected = training.epoch_batches(20, Recipe(batch_size=5), 1)[2][0][2]
    assert (error.step, error.batch, error.clips) == (6, 2, [f"clip-{expected}"])
    for part in ("epoch 2, batch 2", f"clip-{expected}", "last good state", file.name):
        assert part in str(error)
    tensors, metadata = checkpoints.read(file, {})
    assert metadata["progress"]["step"] == 4  # the end of the first epoch
    assert all(t.isfinite().all() for t in tensors.values())
    monkeypatch.undo()  # the cause is removed: the run goes on and is the same as ever
    model = fine_tune(TinyEncoder(), clips, labels, "full", ids=names, checkpoint=file, **QUICK)
    whole = fine_tune(TinyEncoder(), clips, labels, "full", ids=names, **QUICK)
    assert model.losses.tolist() == whole.losses.tolist()


def test_a_clip_that_is_infinite_is_named():
    clips, labels = coloured(20)
    clips[13] = np.full_like(clips[13], 255)
    with pytest.raises(ValueError, match="clip 13"):
        fine_tune(Broken(), clips, labels, "full", **QUICK)


def test_batches_hold_each_clip_once_and_none_is_alone():
    recipe = Recipe(batch_size=4, accumulate=2, seed=3)
    steps = training.epoch_batches(13, recipe, 0)
    sizes = [[len(part) for part in step] for step in steps]
    assert sizes == [[4, 4], [5]]
    assert sorted(np.concatenate([p for s in steps for p in s])) == list(range(13))
    other = training.epoch_batches(13, recipe, 1)
    assert any(not np.array_equal(a, b) for a, b in zip(steps[0], other[0], strict=True))


@pytest.mark.parametrize(
    ("numbers", "part"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"batch_norm": "maybe"}, "choose 'auto'"),
        ({"epoch": 3}, "no 'epoch' to set"),
    ],
)
def test_strange_numbers_are_refused(numbers, part):
    clips, labels = coloured(6)
    with pytest.raises(ValueError, match=part):
        fine_tune(TinyEncoder(), clips, labels, **numbers)


def test_less_precision_only_where_it_gains():
    assert training.settings.dtype(torch.device("cpu")) == torch.float32
    assert training.settings.dtype(torch.device("cuda")) == torch.float16
    assert set(asdict(Recipe())) >= {"epochs", "seed"}
    assert fine_tuning.DEFAULTS["probe"]["epochs"] > Recipe().epochs


def test_the_layout_of_filters_over_time():
    net = TinyEncoder().net
    assert training.filter_layout(net) == torch.contiguous_format
    net.to(memory_format=torch.channels_last_3d)
    assert training.filter_layout(net) == torch.channels_last_3d
    assert training.filter_layout(nn.Conv2d(3, 4, 3)) == torch.preserve_format


@pytest.mark.parametrize("instructions", ["this processor's", "AVX512"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.filterwarnings("ignore:On processors with AVX-512:RuntimeWarning")
def test_mixed_precision_learns_the_same_and_resumes_exactly(
    dtype, instructions, tmp_path, monkeypatch
):
    """On a CPU it only costs; that it works where it gains is seen all the same."""
    if instructions == "AVX512":
        monkeypatch.setattr(training.settings, "instruction_set", lambda: "AVX512")
    clips, labels = coloured(20)
    options = QUICK | {"epochs": 6, "dropout": 0.0}
    plain = fine_tune(TinyEncoder(dropout=0.0), clips, labels, "full", **options)
    seen = []

    def spy(model, batch, out):
        if model.training:
            seen.append(out.dtype)

    monkeypatch.setattr(training.settings, "dtype", lambda device: dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tuning.Tuned, "forward", watched_forward(fine_tuning.Tuned.forward, spy))
        mixed = fine_tune(TinyEncoder(dropout=0.0), clips, labels, "full", **options)
    assert set(seen) == {dtype}
    assert {p.dtype for p in mixed.encoder.net.parameters()} == {torch.float32}
    assert mixed.losses[0] == pytest.approx(plain.losses[0], abs=0.01)
    assert mixed.losses[-4:].mean() == pytest.approx(plain.losses[-4:].mean(), abs=0.1)
    assert (mixed.losses != plain.losses).any()

    file = tmp_path / "state.safetensors"
    go_on = stop_at(monkeypatch, 9)
    with pytest.raises(Stopped):
        fine_tune(TinyEncoder(dropout=0.0), clips, labels, "full", checkpoint=file, **options)
    go_on()
    again = fine_tune(TinyEncoder(dropout=0.0), clips, labels, "full", checkpoint=file, **options)
    assert again.losses.tolist() == mixed.losses.tolist()  # the scale of the loss is kept, too


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512"])
def test_who_trains_in_bfloat16_on_avx512_is_told(instructions, monkeypatch):
    """oneDNN is left out in both cases, so that the step is right on every processor."""
    clips, labels = coloured(6)
    monkeypatch.setattr(training.settings, "dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(training.settings, "instruction_set", lambda: instructions)
    plain = training.settings.onednn
    monkeypatch.setattr(training.settings, "onednn", lambda enabled: plain(False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fine_tune(TinyEncoder(), clips, labels, "full", **QUICK | {"epochs": 1})
    messages = [str(one.message) for one in caught if one.category is RuntimeWarning]
    assert len(messages) == (instructions == "AVX512")
    assert all("oneDNN" in message and "Take float32" in message for message in messages)


def watched_forward(function, spy):
    def forward(self, *batch):
        out = function(self, *batch)
        spy(self, batch, out)
        return out

    return forward
