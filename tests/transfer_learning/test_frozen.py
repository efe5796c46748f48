"""Frozen modules are run once, and the results are the same."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils import image_encoders, text_encoders, video_encoders
from vidrec_utils.transfer_learning import Recipe, fine_tune, frozen
from vidrec_utils.transfer_learning.backbone import Backbone, Features
from vidrec_utils.transfer_learning.strategies import choose

X = torch.arange(24.0).reshape(2, 12) / 10


class Skips(nn.Module):
    """`last` reads `second` and, past it, `first`; what is between is written into in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.first, self.second = nn.Linear(12, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        way = self.first(self.before(x))
        return self.last(F.relu_(self.second(way)) + way)


def freeze(net, *trained):
    net.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)
    return net


def test_needed_outputs_are_those_that_trained_layers_depend_on():
    net = freeze(Skips())
    net.last.requires_grad_(True)
    part = frozen.find(net, (X,))
    assert [p.module for p in part.needed] == [net.first, net.second]
    assert [p.module for p in part.unused] == [net.before]
    above = frozen.CachedNetwork(net, part)
    kept = [net.first(net.before(X))[:, None], net.second(net.first(net.before(X)))[:, None]]
    torch.testing.assert_close(above(*kept), net(X))
    assert "forward" not in vars(net.first)  # modules are themselves again
    torch.testing.assert_close(net(2 * X).sum(), Skips()(2 * X).sum())


def test_gradients_are_those_of_the_whole_network():
    net = freeze(Skips())
    net.last.requires_grad_(True)
    part = frozen.find(net, (X,))
    outputs = [net.first(net.before(X)).detach(), net.second(net.first(net.before(X))).detach()]
    frozen.CachedNetwork(net, part)(*(a[:, None] for a in outputs)).square().sum().backward()
    mine = net.last.weight.grad.clone()
    net.zero_grad()
    net(X).square().sum().backward()
    torch.testing.assert_close(mine, net.last.weight.grad)


def test_nothing_is_kept_where_it_would_not_do():
    everything = Skips()
    assert frozen.find(everything, (X,)) is None  # all is trained
    lowest = freeze(Skips())
    lowest.before.requires_grad_(True)
    assert frozen.find(lowest, (X,)) is None  # what is trained reads the input itself
    upper = freeze(Skips())
    upper.last.requires_grad_(True)
    assert frozen.find(upper, (X.long(),)) is None  # tokens: of different lengths
    assert frozen.find(upper, (X,), clips=1000, most=2000) is None  # 48 bytes a clip
    assert frozen.find(upper, (X,), clips=1000, most=48000) is not None


class TimeFirst(nn.Module):
    """Frames lie in the batch, the first frames of all clips first: rows are not clip by clip."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.low, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        frames = x.reshape(len(x), 2, 6).transpose(0, 1).flatten(0, 1)
        return self.last(self.low(frames).relu().unflatten(0, (2, -1)).mean(0))


class Places(TimeFirst):
    """A frozen table returns one row for each timestamp, however many clips there are."""

    def __init__(self):
        super().__init__()
        self.timestamps = nn.Embedding(2, 6)

    def forward(self, x):
        at = self.timestamps(torch.arange(2))
        return self.last((self.low(x.reshape(len(x), 2, 6)) + at).relu().mean(1))


class Follows(TimeFirst):
    """A frozen layer hangs on a trained one, without a gradient."""

    def forward(self, x):
        way = self.last(x[:, :6])
        return way + self.low(torch.cat([way, x[:, :2]], 1).detach())[:, :4]


@pytest.mark.parametrize("kind", [TimeFirst, Places, Follows])
def test_a_network_that_cannot_be_cut_is_run_whole(kind):
    net = freeze(kind())
    net.last.requires_grad_(True)
    before = net.last.weight.detach().clone()
    assert frozen.find(net, (X,)) is None
    assert torch.equal(net.last.weight, before)  # it was changed for a trial


class Switch(nn.Module):
    """Above a threshold another layer is used, which no gradient shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.one, self.other = nn.Linear(12, 1), nn.Linear(12, 6), nn.Linear(12, 6)
        self.last = nn.Linear(6, 4)
        with torch.no_grad():
            self.gate.weight.fill_(1.0)

    def forward(self, x):
        return self.last(torch.where(self.gate(x) > 100, self.one(x), self.other(x)))


def test_every_clip_is_compared():
    net = freeze(Switch())
    net.last.requires_grad_(True)
    few, many = X, torch.cat([X, 100 * X])
    part = frozen.find(net, (few,))
    assert net.gate in [p.module for p in part.unused]
    vectors, kept = frozen.cache(net, part, Features(few), torch.device("cpu"))
    assert len(kept) == 2
    vectors, kept = frozen.cache(net, part, Features(many), torch.device("cpu"))
    assert kept is None
    torch.testing.assert_close(vectors, net(many).detach())


class Drops(nn.Module):
    """Dropout between what is frozen and what is trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.low, self.drop, self.last = nn.Linear(12, 6), nn.Dropout(0.5), nn.Linear(6, 4)

    def forward(self, x):
        return self.last(self.drop(self.low(x)))


def test_what_draws_in_training_still_draws():
    net = freeze(Drops())
    net.last.requires_grad_(True)
    part = frozen.find(net, (X,), eval_modules=[net.low])
    assert [p.module for p in part.needed] == [net.low]
    above = frozen.CachedNetwork(net, part).train()
    kept = net.low(X)[:, None]
    assert not torch.equal(above(kept), above(kept))
    torch.manual_seed(1)
    mine = above(kept)
    torch.manual_seed(1)
    torch.testing.assert_close(mine, net(X))
    rests = frozen.find(net, (X,), eval_modules=[net.low, net.drop])
    assert [p.module for p in rests.needed] == [net.drop]


def test_names_are_those_of_the_network():
    net = freeze(Skips())
    net.last.requires_grad_(True)
    above = frozen.CachedNetwork(net, frozen.find(net, (X,)))
    assert list(dict(above.named_parameters())) == list(dict(net.named_parameters()))


@pytest.mark.parametrize("options", [{}, {"blocks": 2}, {"blocks": 2, "batch_norm": "train"}])
def test_training_is_that_of_the_whole_network(options, monkeypatch):
    clips, labels = coloured(20)
    asked = {"epochs": 3, "batch_size": 6, "backbone_rate": 1e-2, "progress": False} | options
    held = (clips[15:], labels[15:])
    runs = []
    calls = []
    plain = frozen.find

    def watched(*arguments):
        calls.append(plain(*arguments))
        return calls[-1]

    for find in (watched, lambda *_: None):
        monkeypatch.setattr(frozen, "find", find)
        runs.append(
            fine_tune(TinyEncoder(), clips[:15], labels[:15], "partial", validation=held, **asked)
        )
    assert calls[0].needed  # the first run did keep something
    np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-5)
    np.testing.assert_allclose(runs[0].encode(clips), runs[1].encode(clips), atol=1e-5)
    seen = ["train_loss", "valid_loss", "valid_score"]
    np.testing.assert_allclose(runs[0].history[seen], runs[1].history[seen], rtol=1e-5)


def test_frozen_layers_run_once_for_each_clip(monkeypatch):
    clips, labels = coloured(20)
    ran = []

    def count(self, x):
        ran.append(len(x))
        return nn.functional.conv3d(x, self.weight, self.bias, self.stride, self.padding)

    encoder = TinyEncoder()
    asked = {"epochs": 6, "batch_size": 5, "progress": False, "validation": 0.25}
    monkeypatch.setattr(nn.Conv3d, "forward", count)
    fine_tune(encoder, clips, labels, "partial", **asked)
    looking = sum(ran) / 2 - len(clips)  # two convolutions
    assert 0 < looking < len(clips)  # to see what is used and needed; not six epochs of 20


ENCODERS = {
    "two_stream_mini": lambda: video_encoders.load("two_stream_mini"),
    "slowfast_mini": lambda: video_encoders.load("slowfast_mini"),
    "frames": lambda: video_encoders.FrameAverage(
        image_encoders.load("efficientnet_lite0", size=64), frames=2
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_networks_of_the_course_are_cut_correctly(name):
    encoder = ENCODERS[name]()
    rng = np.random.default_rng(0)
    items = [rng.integers(0, 255, (16, 64, 64, 3)).astype(np.uint8) for _ in range(3)]
    backbone = Backbone(encoder)
    batch = backbone.prepare(items)

    choose(backbone, backbone.prepare(items[:1]), "partial", Recipe())
    part = frozen.find(backbone, tuple(part[:2] for part in batch))
    vectors, kept = frozen.cache(backbone, part, Features(*batch), torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(vectors, backbone(*batch))
        again = frozen.CachedNetwork(backbone, part)(*kept.batch(np.array([2, 0])))
        torch.testing.assert_close(again, vectors[[2, 0]], rtol=1e-4, atol=1e-5)
    assert sum(p.output[0].nbytes for p in part.needed) < batch[0][0].nbytes  # less to keep


def test_validation_clips_of_another_length_are_run_whole():
    clips, labels = coloured(20)
    longer = [np.concatenate([clip, clip]) for clip in clips[15:]]
    model = fine_tune(
        FrameWise(), clips[:15], labels[:15], "partial",
        validation=(longer, labels[15:]), epochs=2, progress=False,
    )  # fmt: skip
    assert model.history["valid_loss"].notna().all()


class FrameNet(nn.Module):
    """Frames in the batch, whose outputs a trained layer weighs before they are averaged."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.low, self.last, self.dim = nn.Conv2d(3, 4, 3), nn.Linear(4, 8), 8

    def vector(self, x):
        frames = x.transpose(1, 2)
        seen = self.low(frames.flatten(0, 1)).mean((2, 3))
        return self.last(seen).unflatten(0, (len(x), -1)).mean(1)


class FrameWise(TinyEncoder):
    def __init__(self):
        super().__init__()
        self.net = FrameNet().eval()


def test_an_unfit_clip_is_named_by_its_position():
    clips, labels = coloured(6)
    encoder = video_encoders.load("two_stream_mini")
    large = [np.zeros((16, 64, 64, 3), np.uint8)] * 5 + [clips[5][:0]]
    with pytest.raises(ValueError, match=r"position 5 of 6.*shape \(0, "):
        fine_tune(encoder, large, labels, "partial", progress=False)


def test_texts_are_run_whole():
    reader = text_encoders.load("minilm", max_tokens=8)
    backbone = Backbone(reader)
    assert frozen.find(backbone, backbone.prepare(["a cat", "two dogs run"])) is None
