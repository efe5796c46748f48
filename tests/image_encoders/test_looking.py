"""Looking at encoders: neighbours and fields by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from vidrec_utils import image_encoders
from vidrec_utils.image_encoders import looking
from vidrec_utils.image_encoders.convolutional import Opened


def test_nearest_by_hand():
    rows = np.array([[1, 0], [2, 0.1], [0, 1], [0, 0]], dtype=float)
    assert looking.nearest(rows, 2)[0].tolist() == [1, 2]
    assert looking.nearest(rows, 1)[2].tolist() == [1]


def test_strip_begins_with_the_picture_itself():
    rows = np.array([[1, 0], [1, 0.1], [0, 1]])
    pictures = [np.full((2, 2, 3), i, np.uint8) for i in range(3)]
    captions = pd.Series(["a", "b", "c"], index=["v1", "v2", "v3"])
    strip, titles = looking.neighbour_strip({"net": rows}, pictures, captions, 0, k=2)
    assert [int(p[0, 0, 0]) for p in strip] == [0, 1, 2]
    assert titles == ["net", "b", "c"]


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
    assert looking.receptive_field(net, "stage1", 32) == 6
    assert looking.receptive_field(net, "stage2", 32) == 10


def test_vggs_stages_see_as_far_as_the_paper_says():
    vgg = image_encoders.load("vgg16", "random", "cpu", size=64)
    assert [looking.receptive_field(vgg.net, f"stage{n}", 96) for n in (1, 2, 3)] == [6, 16, 44]
    share = looking.anatomy(vgg.net)
    assert share["Linear"] == pytest.approx(123_642_856 / 138_357_544)
    assert share.sum() == pytest.approx(1)


def test_map_has_a_form():
    rows = np.random.default_rng(0).normal(size=(40, 6))
    flat = looking.flat_map(rows)
    assert flat.shape == (40, 2)
    pd.testing.assert_frame_equal(flat, looking.flat_map(rows))
    assert torch.is_grad_enabled()
