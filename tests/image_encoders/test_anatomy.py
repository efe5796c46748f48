"""The anatomy of networks by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from vidrec_utils import image_encoders
from vidrec_utils.image_encoders import anatomy
from vidrec_utils.image_encoders.convolutional import Opened


def test_receptive_field_is_that_of_the_formula():
    # 3, then 3 and a pooling of 2 (as in VGG's first stage: 1 + 2 + 2 + 1), then 3 at step 2
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Linear(1, 1),
    )
    net = Opened(layers[:4].append(layers[4]), {"stage1": "2", "stage2": "3"}, 8)
    net.forward = lambda x: layers[:4](x)
    net.net.forward = lambda x: layers[:4](x)
    assert anatomy.receptive_field(net, "stage1", 32) == 6
    assert anatomy.receptive_field(net, "stage2", 32) == 10


def test_vggs_stages_see_as_far_as_the_paper_says():
    vgg = image_encoders.load("vgg16", "random", "cpu", size=64)
    assert [anatomy.receptive_field(vgg.net, f"stage{n}", 96) for n in (1, 2, 3)] == [6, 16, 44]
    share = anatomy.parameter_shares(vgg.net)
    assert share["Linear"] == pytest.approx(123_642_856 / 138_357_544)
    assert share.sum() == pytest.approx(1)


def test_fields_are_compared_at_equal_stride():
    fields = anatomy.fields_by_stride("vgg16", most=16)
    assert fields.to_dict() == {2: 6, 4: 16, 8: 44, 16: 100}  # after each pooling, by the formula
    # stem and two poolings: 31; three blocks whose two 3 x 3 filters add 4 steps of 8 pixels each
    assert anatomy.fields_by_stride("inception_v3")[8] == 31 + 3 * 4 * 8


def test_costs_are_those_of_the_paper():
    with torch.device("meta"):
        vgg = models.vgg16()
    table = anatomy.costs(vgg)
    assert table["parameters"].sum() == 138_357_544
    assert table["multiply_adds"].sum() == pytest.approx(15.47e9, rel=0.001)
    assert table.loc["features.0"].tolist() == ["Conv2d", 3 * 64 * 9 + 64, 3 * 64 * 9 * 224**2]


def test_times_that_contradict_the_operations_warn(monkeypatch):
    times = iter([20.0, 10.0])  # VGG computes four times as much as ResNet-50
    monkeypatch.setattr(anatomy, "milliseconds", lambda *_, **__: 30 - next(times))
    images = np.zeros((2, 40, 40, 3), np.uint8)
    with pytest.warns(RuntimeWarning, match="vgg16 computes half as much again as resnet50"):
        anatomy.compare_networks(["vgg16", "resnet50"], images)
