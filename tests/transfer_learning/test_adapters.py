"""From images to clips: the still clip's fixed point, and the first layer for flow."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidrec_utils import image_encoders
from vidrec_utils.encoders import WeightsInfo
from vidrec_utils.encoders.efficientnet_lite0 import random_lite0
from vidrec_utils.image_encoders import ImageEncoder, convolutional
from vidrec_utils.transfer_learning import (
    InflatedFrames,
    fine_tune,
    flow_network,
    inflate_encoder,
    inflation_gaps,
    units,
)
from vidrec_utils.transfer_learning.backbone import Backbone
from vidrec_utils.video_encoders import FrameAverage, InflatedLite0
from vidrec_utils.video_encoders.inflation import TimedConv2d

SIZES = {"efficientnet_lite0": 48, "vgg16": 32, "resnet50": 48, "inception_v3": 80}
CNNS = {entry.name: entry for entry in convolutional.ENTRIES}


def network(name):
    if name == "efficientnet_lite0":
        return random_lite0(0).eval()
    if name == "vgg16":  # with narrow linear layers: all of its 138 million weights take long
        entry = CNNS[name]
        net = entry.build(weights=None, init_weights=False)
        for conv in [m for m in net.features if isinstance(m, nn.Conv2d)]:
            nn.init.kaiming_normal_(conv.weight)
        shapes = {0: (25_088, 32), 3: (32, 32), 6: (32, 10)}
        for position, (before, after) in shapes.items():
            net.classifier[position] = nn.Linear(before, after)
        return convolutional.Opened(net, entry.taps, 32).eval()
    return image_encoders.load(name, "random", device="cpu").net


class SmallNetwork(nn.Module):
    """Two convolutions and a mean."""

    layers, classes, dim = (), 0, 16

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 5, 4, 2), nn.Conv2d(16, 16, 3, 1, 1)

    def features(self, x):
        return F.relu(self.two(F.relu(self.one(x)))).mean(dim=(2, 3))


@pytest.mark.parametrize("name", SIZES)
def test_a_still_clip_gives_what_its_picture_gives(name):
    net, size = network(name), SIZES[name]
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, size, size, generator=generator)
    clip = torch.randn(1, 4, 3, size, size, generator=generator)
    still = image[:, None].expand(-1, 4, -1, -1, -1)
    with torch.no_grad():
        expected = net.features(image)
        each = net.features(clip[0]).mean(dim=0, keepdim=True)
        for mode in ("centre", "average"):
            deep = InflatedFrames(net, taps=3, mode=mode).eval()
            scale = expected.abs().max()
            assert (deep.vector(still) - expected).abs().max() < 1e-4 * scale
            gap = (deep.vector(clip) - each).abs().max() / each.abs().max()
            if mode == "centre":  # of any clip: the average of frames, until it is trained
                assert gap < 1e-4
            else:
                assert gap > 1e-3
                back = deep.vector(clip.flip(1))  # it mixes neighbours, but sees no direction
                assert (deep.vector(clip) - back).abs().max() < 1e-3 * scale


def test_it_agrees_with_the_inflated_efficientnet():
    net = random_lite0(0).eval()
    clip = torch.randn(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = InflatedFrames(net).eval().vector(clip)
        other = InflatedLite0(net).eval().vector(clip.transpose(1, 2))
    assert (ours - other).abs().max() < 1e-4 * other.abs().max()


def test_an_inflated_encoder_learns_the_direction_of_time():
    """A bright bar that moves left or right: an average of frames cannot tell, this can."""
    torch.manual_seed(0)
    images = ImageEncoder("small", SmallNetwork(), WeightsInfo("file"), "cpu", 32)
    clips, labels = [], []
    rng = np.random.default_rng(0)
    for number in range(16):
        clip = rng.integers(0, 60, (4, 32, 32, 3)).astype(np.uint8)
        for t in range(4):
            clip[t, :, 8 * t : 8 * t + 8] = 250
        clips.append(clip if number % 2 else clip[::-1].copy())
        labels.append("right" if number % 2 else "left")
    deep = inflate_encoder(images, frames=4)
    plain = FrameAverage(images, frames=4)
    np.testing.assert_allclose(deep.encode(clips[:2]), plain.encode(clips[:2]), atol=1e-3)
    options = {
        "epochs": 40,
        "batch_size": 8,
        "backbone_rate": 1e-2,
        "patience": None,
        "progress": False,
    }
    model = fine_tune(deep, clips, labels, "full", **options)
    assert (model.predict(clips) == np.array(labels)).mean() > 0.9
    assert not np.allclose(model.encode(clips[:1]), model.encode([clips[0][::-1]]), atol=1e-3)
    assert model.encoder.fingerprint != deep.fingerprint
    blind = fine_tune(plain, clips, labels, "full", **options)
    forwards, backwards = blind.logits(clips), blind.logits([c[::-1] for c in clips])
    np.testing.assert_allclose(forwards, backwards, atol=1e-3 * max(1, np.abs(forwards).max()))


def test_the_encoder_is_a_body_like_others():
    deep = inflate_encoder(image_encoders.load("efficientnet_lite0", size=32), frames=2)
    backbone = Backbone(deep)
    found = units(backbone, backbone.prepare([np.zeros((2, 32, 32, 3), dtype=np.uint8)]))
    assert len(found) == 18
    assert sum(isinstance(m, TimedConv2d) for part in found.values() for m in part) == 17
    assert deep.parameters > deep.images.parameters
    with pytest.raises(NotImplementedError, match="its vector is offered"):
        deep.activations([], "stage1")


def test_a_transformer_is_not_inflated():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)

    with pytest.raises(ValueError, match="no convolutional network"):
        InflatedFrames(Attention())
    with pytest.raises(ValueError, match="nothing to inflate"):
        InflatedFrames(nn.Sequential(nn.Conv2d(3, 4, 1)))
    with pytest.raises(ValueError, match="odd"):
        InflatedFrames(random_lite0(0), taps=2)


@pytest.mark.parametrize("name", SIZES)
def test_flow_that_is_grey_gives_what_a_grey_picture_gives(name):
    """All channels equal: the mean over RGB, repeated and scaled, is the same sum."""
    net, size = network(name), SIZES[name]
    if name == "inception_v3":
        net.net.transform_input = False  # it would treat the channels of RGB unlike each other
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    flow = flow_network(net, 20).eval()
    grey = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net.features(grey.expand(-1, 3, -1, -1))
        vector = flow.features(grey.expand(-1, 20, -1, -1))
    assert (vector - expected).abs().max() < 1e-3 * expected.abs().max()
    assert all(torch.equal(p, before[n]) for n, p in net.named_parameters())
    changed = [n for n, p in flow.named_parameters() if p.shape != before[n].shape]
    assert len(changed) == 1


def test_flow_wants_a_first_convolution_of_rgb():
    with pytest.raises(ValueError, match="no convolution"):
        flow_network(nn.Linear(2, 2), 20)
    with pytest.raises(ValueError, match="takes 1 channels"):
        flow_network(nn.Conv2d(1, 2, 3), 20)
    with pytest.raises(ValueError, match="channels is 0"):
        flow_network(nn.Conv2d(3, 2, 3), 0)


def test_any_image_encoder_of_the_catalogue_is_taken_as_it_is():
    images = image_encoders.load("resnet50", "random", "cpu", size=48)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3)).astype(np.uint8)
    images.calibrate(pixels)
    deep = inflate_encoder(images, frames=2)
    still = np.stack([pixels[0], pixels[0]])
    vectors, expected = deep.encode([still]), images.encode(pixels[:1])
    assert np.abs(vectors - expected).max() < 1e-3 * np.abs(expected).max()


def test_gaps_of_an_inflated_network():
    """Averaging blurs what moves; weight in the middle keeps the average of frames."""
    images = image_encoders.load("efficientnet_lite0", size=32)
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (32, 56, 3)).astype(np.uint8)
    clip = np.stack([scene[:, 8 * t : 8 * t + 32] for t in range(4)])
    gaps = inflation_gaps(images, clip)
    assert gaps.index.tolist() == ["average", "centre"]
    assert (gaps[["still", "mirror"]] < 1e-4).all(axis=None)
    assert gaps.loc["centre", "frames"] < 1e-4
    deep = inflate_encoder(images, 4, mode="average").encode([clip])[0]
    plain = images.encode(clip).mean(axis=0)
    expected = np.linalg.norm(deep - plain) / np.linalg.norm(plain)
    assert gaps.loc["average", "frames"] == pytest.approx(expected, rel=1e-3)
    assert expected > 0.05
