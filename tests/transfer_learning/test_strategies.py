"""What each strategy trains, and what it must leave alone."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils import image_encoders, text_encoders, video_encoders
from vidrec_utils.encoders.batch_norm import batch_norms
from vidrec_utils.transfer_learning import (
    CheckpointError,
    Recipe,
    fine_tune,
    load,
    strategies,
    units,
)
from vidrec_utils.transfer_learning.backbone import Backbone

QUICK = {"epochs": 3, "batch_size": 6, "backbone_rate": 1e-2, "progress": False}


def changed(encoder, model):
    """Names of the network's tensors that are different after training."""
    after = model.encoder.net.state_dict()
    return {n for n, t in encoder.net.state_dict().items() if not torch.equal(t, after[n])}


def test_blocks_are_found_in_the_order_of_use():
    encoder = TinyEncoder()
    backbone = Backbone(encoder)
    found = units(backbone, backbone.prepare(coloured(1)[0]))
    assert list(found) == ["net.blocks.0", "net.blocks.1", "net.mix"]
    kinds = [[type(module) for module in part] for part in found.values()]
    assert kinds[:2] == [[nn.Conv3d, nn.BatchNorm3d]] * 2
    assert all(p.requires_grad and p.grad is None for p in backbone.parameters())


def test_blocks_of_the_course_encoders():
    clip = np.zeros((16, 64, 64, 3), dtype=np.uint8)
    backbone = Backbone(video_encoders.load("slowfast_mini"))
    found = units(backbone, backbone.prepare([clip]))
    assert list(found) == [f"net.net.blocks.{n}" for n in range(5)]  # the sixth is the classifier
    backbone = Backbone(image_encoders.load("efficientnet_lite0", size=64))
    found = units(backbone, backbone.prepare([clip[0]]))
    blocks = [f"net._blocks.{n}" for n in range(16)]
    assert list(found) == ["net._conv_stem", *blocks, "net._conv_head"]


def test_probe_trains_the_head_alone():
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    model = fine_tune(encoder, clips, labels, "probe", epochs=40, progress=False)
    assert changed(encoder, model) == set()
    assert model.trained == 8 * 3 + 3
    assert (model.predict(clips) == np.array(labels)).mean() > 0.8
    np.testing.assert_array_equal(model.encode(clips), encoder.encode(clips))


def test_partial_trains_the_last_blocks():
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    one = changed(encoder, fine_tune(encoder, clips, labels, "partial", **QUICK))
    assert one == {"mix.weight", "mix.bias"}
    two = changed(encoder, fine_tune(encoder, clips, labels, "partial", blocks=2, **QUICK))
    assert two == one | {"blocks.1.0.weight", "blocks.1.1.weight", "blocks.1.1.bias"}


@pytest.mark.parametrize("strategy", ["full", "discriminative"])
def test_full_trains_everything_that_the_vector_is_made_of(strategy):
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    found = changed(encoder, fine_tune(encoder, clips, labels, strategy, **QUICK))
    all_of = {n for n, _ in encoder.net.named_parameters() if not n.startswith("classify")}
    assert found == all_of  # no statistics among them


def test_discriminative_rates_fall_with_depth():
    recipe = Recipe(backbone_rate=1e-3, decay=0.5)
    rates = strategies.discriminative(["stem", "block", "top"], recipe)
    assert rates == pytest.approx({"top": 1e-3, "block": 5e-4, "stem": 2.5e-4})
    backbone = Backbone(TinyEncoder())
    groups = strategies.choose(backbone, backbone.prepare(coloured(1)[0]), "discriminative", recipe)
    assert [g["name"] for g in groups] == ["net.mix", "net.blocks.1", "net.blocks.0"]
    assert [g["rate"] for g in groups] == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_lora_trains_only_its_adapters():
    backbone = Backbone(TinyEncoder())
    before = {n: p.detach().clone() for n, p in backbone.net.named_parameters()}
    clip = backbone.prepare(coloured(3)[0])
    vector = backbone.eval()(*clip)
    groups = strategies.choose(backbone, clip, "lora", Recipe(rank=2, dropout=0.0))
    trained = {n for n, p in backbone.named_parameters() if p.requires_grad}
    assert {n for g in groups for n, _ in g["parameters"]} == trained
    assert trained == {f"net.mix.lora_{x}.default.weight" for x in "AB"}  # not `classify`
    assert sum(p.numel() for p in backbone.parameters() if p.requires_grad) == 2 * (8 + 8)
    assert torch.allclose(backbone(*clip), vector)  # an untrained adapter adds nothing
    own = {n.replace("base_layer.", ""): p for n, p in backbone.net.named_parameters()}
    assert all(torch.equal(own[name], tensor) for name, tensor in before.items())
    with torch.no_grad():
        backbone.net.mix.lora_B["default"].weight.fill_(0.1)
    moved = backbone(*clip)
    strategies.merge_adapters(backbone.net)
    assert type(backbone.net.mix) is nn.Linear
    assert torch.allclose(backbone(*clip), moved, atol=1e-6)
    assert not torch.allclose(moved, vector)


def test_lora_changes_linear_layers_alone():
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    model = fine_tune(encoder, clips, labels, "lora", rank=2, **QUICK)
    assert changed(encoder, model) == {"mix.weight"}
    assert model.trained == 2 * (8 + 8) + 8 * 3 + 3
    assert (model.losses[-3:] < model.losses[0]).all()


def test_lora_needs_a_linear_layer():
    encoder = video_encoders.load("lite0_correlation")
    clips = [np.zeros((16, 64, 64, 3), dtype=np.uint8)] * 2
    with pytest.raises(ValueError, match=r"no linear layer.*'partial'"):
        fine_tune(encoder, clips, ["a", "b"], "lora", progress=False)


def test_frozen_batch_norm_stays_in_evaluation():
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    modes = []
    net = Backbone(encoder)
    strategies.choose(net, net.prepare(clips[:1]), "partial", Recipe(blocks=2))
    net.train()
    for module in strategies.eval_modules(net, "frozen"):
        module.eval()
    modes = {n: m.training for n, m in net.net.named_modules() if n.count(".") == 2}
    assert modes == {
        "blocks.0.0": False, "blocks.0.1": False, "blocks.0.2": False, "blocks.0.3": False,
        "blocks.1.0": True, "blocks.1.1": False, "blocks.1.2": True, "blocks.1.3": True,
    }  # fmt: skip
    model = fine_tune(encoder, clips, labels, "full", batch_norm="train", **QUICK)
    statistics = {n for n in changed(encoder, model) if "running" in n}
    assert len(statistics) == 4
    model = fine_tune(encoder, clips, labels, "full", **QUICK)
    assert not {n for n in changed(encoder, model) if "running" in n}


def test_from_scratch_batch_norm_learns():
    clips, labels = coloured(18)
    encoder = TinyEncoder(source="random")
    model = fine_tune(encoder, clips, labels, "full", **QUICK)
    assert model.recipe.batch_norm == "train"
    assert not encoder.calibrated
    assert model.encoder.calibrated
    assert {n for n in changed(encoder, model) if "running" in n}


def test_batch_of_one_with_batch_norm():
    clips, labels = coloured(6)
    with pytest.raises(ValueError, match=r"batch of one.*batch_size=2"):
        fine_tune(
            TinyEncoder(), clips, labels, "full", batch_norm="train", batch_size=1, progress=False
        )
    model = fine_tune(TinyEncoder(), clips, labels, "full", **QUICK | {"batch_size": 1})
    assert model.recipe.batch_norm == "frozen"
    assert np.isfinite(model.losses).all()
    scratch = fine_tune(
        TinyEncoder(source="random"), clips, labels, "full", **QUICK | {"batch_size": 1}
    )
    assert scratch.recipe.batch_norm == "frozen"
    odd = coloured(7)  # 6 and 1: the last joins
    model = fine_tune(TinyEncoder(), *odd, "full", batch_norm="train", **QUICK)
    assert len(model.losses) == 3
    assert np.isfinite(model.losses).all()


def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    model = fine_tune(encoder, clips, labels, "lora", **QUICK).calibrated(*coloured(9, seed=2))
    folder = model.save(tmp_path / "model")
    again = load(folder, TinyEncoder())
    np.testing.assert_array_equal(again.logits(clips), model.logits(clips))
    assert again.probabilities(clips).equals(model.probabilities(clips))
    assert again.encoder.fingerprint == model.encoder.fingerprint
    with pytest.raises(ValueError, match="other weights"):
        load(folder, TinyEncoder(seed=4))


def test_every_strategy_is_known_by_name():
    with pytest.raises(ValueError, match="'probe', 'partial', 'full', 'discriminative', 'lora'"):
        fine_tune(TinyEncoder(), *coloured(6), "all")


def test_a_text_encoder_with_lora():
    encoder = text_encoders.load("minilm", max_tokens=16)
    texts = ["a red rocket", "cooking soup", "the rocket lands", "soup with noodles", "", "rocket"]
    labels = ["space", "food", "space", "food", "food", "space"]
    backbone = Backbone(encoder)
    with torch.no_grad():
        own = backbone.eval()(*backbone.prepare(texts)).numpy()
    np.testing.assert_allclose(own, encoder.encode(texts), atol=1e-5)
    model = fine_tune(encoder, texts, labels, "lora", epochs=4, batch_size=3, progress=False)
    layers = changed(encoder, model)
    assert layers
    assert all(n.startswith("encoder.layer.") and n.endswith("weight") for n in layers)
    assert list(model.predict(["rocket launch", "noodle soup"])) == ["space", "food"]
    assert not np.allclose(model.encode(texts)[0], own[0])
    assert not batch_norms(encoder.net)


def test_an_image_encoder():
    encoder = image_encoders.load("efficientnet_lite0", size=32)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3)).astype(np.uint8) for _ in range(4)]
    model = fine_tune(encoder, images, ["a", "b", "a", "b"], "partial", epochs=2, progress=False)
    found = changed(encoder, model)
    assert found == {"_conv_head.weight", "_bn1.weight", "_bn1.bias"}
    backbone = model.model.backbone
    vectors = backbone(*backbone.prepare(images)).detach()
    np.testing.assert_allclose(vectors, model.encode(images), atol=1e-4)


@pytest.mark.parametrize("encoder", ["slowfast_mini", None])
def test_what_has_no_network_is_refused_with_what_to_load(encoder):
    with pytest.raises(TypeError, match=f"{encoder!r} has no network to fine-tune; load one with"):
        Backbone(encoder)


def test_an_encoder_without_a_network_is_named():
    with pytest.raises(TypeError, match="'pixels' has no network to fine-tune"):
        Backbone(image_encoders.load("pixels"))


def test_changes_are_relative_and_by_block():
    """A block whose weights are doubled has changed by 1, one that is halved by 0.5."""
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    model = fine_tune(encoder, clips, labels, "probe", epochs=1, progress=False)
    assert (model.changes(clips[0]) == 0).all()
    with torch.no_grad():
        model.model.backbone.net.blocks[1][0].weight.mul_(2)
        model.model.backbone.net.mix.weight.mul_(0.5)
        model.model.backbone.net.mix.bias.add_(9)  # biases and norms do not count
    expected = {"net.blocks.0": 0.0, "net.blocks.1": 1.0, "net.mix": 0.5}
    assert model.changes(clips[0]).to_dict() == pytest.approx(expected)
    assert list(model.changes(clips[0]).index) == list(expected)


def test_a_head_begins_with_the_weights_of_a_probe():
    """Without a step that changes anything, the probe's answers stay."""
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    probe = fine_tune(encoder, clips, labels, "probe", epochs=5, progress=False)
    still = QUICK | {"backbone_rate": 0.0, "head_rate": 0.0}
    same = fine_tune(encoder, clips, labels, "full", first=probe, **still)
    np.testing.assert_allclose(same.logits(clips), probe.logits(clips), atol=1e-5)
    zero = fine_tune(encoder, clips, labels, "full", **still)
    assert (zero.logits(clips) == 0).all()
    moved = fine_tune(encoder, clips, labels, "full", first=probe, **QUICK)
    assert changed(encoder, moved)
    assert moved.losses[0] < zero.losses[0]


def test_only_a_probe_of_the_same_encoder_and_classes_comes_first():
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    probe = fine_tune(encoder, clips, labels, "probe", epochs=1, progress=False)
    full = fine_tune(encoder, clips, labels, "full", **QUICK)
    with pytest.raises(ValueError, match="trained by 'full' on 'tiny'; give a probe"):
        fine_tune(encoder, clips, labels, "full", first=full, **QUICK)
    with pytest.raises(ValueError, match="give a probe of the same 'tiny' with the same weights"):
        fine_tune(TinyEncoder(seed=1), clips, labels, "full", first=probe, **QUICK)
    others = [name.upper() for name in labels]
    with pytest.raises(ValueError, match="other classes; train the probe on the same labels"):
        fine_tune(encoder, clips, others, "full", first=probe, **QUICK)


def test_a_run_goes_on_with_the_probe_it_began_with_alone(tmp_path):
    clips, labels = coloured(18)
    encoder = TinyEncoder()
    probes = [
        fine_tune(encoder, clips, labels, "probe", epochs=epochs, progress=False)
        for epochs in (1, 2)
    ]
    options = QUICK | {"checkpoint": tmp_path / "run.safetensors"}
    once, again = (
        fine_tune(encoder, clips, labels, "full", first=probes[0], **options) for _ in range(2)
    )
    np.testing.assert_array_equal(once.losses, again.losses)
    with pytest.raises(CheckpointError, match="first"):
        fine_tune(encoder, clips, labels, "full", first=probes[1], **options)
