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


def test_fields_grow_with_depth_and_are_those_of_the_formula():
    fields = {name: anatomy.fields_by_depth(name) for name in ("vgg16", "resnet50", "inception_v3")}
    spans = {name: table.query("stride == 8")["field"] for name, table in fields.items()}
    # Three poolings: 44 (by the formula), and three filters of side 3 at stride 8
    assert spans["vgg16"].tolist() == [44, 60, 76, 92]
    # 7 x 7 and a pooling: 11; three blocks at stride 4: 35; one step of 4, three of 8 pixels
    assert (spans["resnet50"].iloc[0], spans["resnet50"].iloc[-1]) == (43, 91)
    # stem and two poolings: 31; three blocks whose two 3 x 3 filters add 4 steps of 8 pixels each
    assert (spans["inception_v3"].iloc[0], spans["inception_v3"].iloc[-1]) == (31, 31 + 3 * 4 * 8)


@pytest.mark.parametrize(("name", "stage"), [("vgg16", "stage3"), ("resnet50", "stage2")])
def test_fields_are_what_gradients_measure(name, stage):
    net = image_encoders.load(name, "random", "cpu", size=64).net.eval()
    table = anatomy.fields_by_depth(name).set_index("layer")["field"]
    measured = anatomy.receptive_field(net, stage, 128)
    assert measured == table[table.index.str.startswith(net.taps[stage])].iloc[-1]


def test_fields_of_an_unknown_network_raise():
    with pytest.raises(ValueError, match="vgg16"):
        anatomy.fields_by_depth("lenet")


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
