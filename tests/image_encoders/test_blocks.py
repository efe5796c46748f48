"""Blocks: the residual block of torchvision, sizes counted by hand, and a training that learns."""

import numpy as np
import pytest
import torch
from torchvision.models.resnet import BasicBlock

from vidrec_utils.image_encoders import blocks, depth


def test_residual_block_is_torchvisions_basic_block():
    ours, reference = blocks.ResidualBlock(8).eval(), BasicBlock(8, 8).eval()
    names = {"conv1": "first.0", "bn1": "first.1", "conv2": "second.0", "bn2": "second.1"}
    reference.load_state_dict(
        {
            key: ours.state_dict()[f"{names[key.partition('.')[0]]}.{key.partition('.')[2]}"]
            for key in reference.state_dict()
        }
    )
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), reference(x))


def test_residual_and_plain_block_differ_by_the_input_alone():
    plain, residual = blocks.VggBlock(8).eval(), blocks.ResidualBlock(8).eval()
    residual.load_state_dict(plain.state_dict())
    for net in (plain, residual):
        torch.nn.init.zeros_(net.second[0].weight)
    x = torch.rand(1, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert not plain(x).any()  # F is zero: the plain block forgets its input
    torch.testing.assert_close(residual(x), x)


def test_parameters_by_hand():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    norms = 2 * 2 * 16  # two batch normalisations of 16 channels, scale and shift
    assert count(blocks.VggBlock(16)) == 2 * 9 * 16 * 16 + norms
    # 1x1: 16-4; 3x3: 16-4-8; 5x5: 16-2-2; pooled: 16-2; and scale and shift of each
    weights = 16 * 4 + (16 * 4 + 9 * 4 * 8) + (16 * 2 + 25 * 2 * 2) + 16 * 2
    assert count(blocks.InceptionBlock(16)) == weights + 2 * (4 + 4 + 8 + 2 + 2 + 2)
    with pytest.raises(ValueError, match="divide it by 8"):
        blocks.InceptionBlock(12)


@pytest.mark.parametrize("kind", blocks.BLOCKS)
def test_nets_keep_shape_and_leave_the_global_generator_alone(kind):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    net = blocks.StackedNet(kind, 2, width=8, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    twin = blocks.StackedNet(kind, 2, width=8, seed=1)
    assert torch.equal(net.stem[0][0].weight, twin.stem[0][0].weight)
    assert net(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_wrong_kinds_are_refused():
    with pytest.raises(ValueError, match="kind"):
        blocks.StackedNet("dense", 2)


def test_gradient_norms_are_autograds_and_change_nothing():
    net = blocks.StackedNet("plain", 1, width=8)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    norms = blocks.gradient_norms(net, images, labels)
    assert list(norms.index) == ["stem.0.0", "blocks.0.first.0", "blocks.0.second.0"]
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.train()
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    assert norms["stem.0.0"] == pytest.approx(net.stem[0][0].weight.grad.norm().item(), rel=1e-5)


def test_training_learns_and_says_when_it_diverges(one_thread):
    run = depth.run("residual", 2, steps=60)
    images, labels = depth.digits()
    common = labels[depth.TRAINED_ON :].bincount().max().item() / len(labels[depth.TRAINED_ON :])
    assert run.accuracy > common + 0.3
    assert run.losses[-1] < run.losses[0]
    net = blocks.StackedNet("plain", 1, width=8)
    with pytest.raises(RuntimeError, match="smaller rate"):
        blocks.train(net, images[:64] * np.nan, labels[:64], (images, labels), steps=1)


def test_record_has_a_row_that_is_recomputed(one_thread):
    table = depth.recorded()
    assert set(table["kind"]) == set(depth.KINDS)
    row = table.query("kind == 'residual' and depth == 2 and steps == 40 and seed == 1").iloc[0]
    again = depth.run("residual", 2, seed=1).row()
    assert again["accuracy"] == pytest.approx(row["accuracy"], abs=0.02)
    assert again["gradient_ratio"] == pytest.approx(row["gradient_ratio"], rel=0.02)


def test_branches_reach_as_far_as_their_widest_window():
    block = blocks.InceptionBlock(16).eval()
    reach = {name: blocks.rows_reached(own, 16) for name, own in block.branches().items()}
    assert reach == {"1x1": 1, "3x3": 3, "5x5": 5, "pooled": 3}
