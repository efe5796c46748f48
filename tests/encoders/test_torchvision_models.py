"""Torchvision's networks by name are torchvision's own."""

import pytest

from vidrec_utils.encoders.torchvision_models import TorchvisionWeights, builder
from vidrec_utils.image_encoders.convolutional import ENTRIES as CNNS
from vidrec_utils.image_encoders.tasks import FINDERS
from vidrec_utils.video_encoders.published import ENTRIES as VIDEO_NETWORKS

KNOWN = [entry.torchvision for entry in (*CNNS, *VIDEO_NETWORKS) if entry.torchvision]
KNOWN += [finder.torchvision for finder in FINDERS.values()]


@pytest.mark.parametrize("weights", KNOWN, ids=str)
def test_address_is_that_of_torchvision(weights: TorchvisionWeights) -> None:
    assert weights.url == weights.entry().url
    assert str(weights) == str(weights.entry())


def test_all_of_them_are_tested() -> None:
    assert len(KNOWN) == 3 + 2 + 4


def test_builder_passes_options_on() -> None:
    net = builder("squeezenet1_1", num_classes=7)(dropout=0.25)
    assert net.classifier[1].out_channels == 7
    assert net.classifier[0].p == 0.25
