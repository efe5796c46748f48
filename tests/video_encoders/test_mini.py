"""The compact networks: their arithmetic by hand, their start, their weights and records."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vidrec_utils import video_encoders
from vidrec_utils.encoders import WeightsError, WeightsNotAvailable
from vidrec_utils.encoders.efficientnet_lite0 import lite0_network
from vidrec_utils.video_encoders import mini
from vidrec_utils.video_encoders.mini import loading, networks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import motion_corpus
import pretrain_motion

NAMES = ("slowfast_mini", "i3d_mini", "two_stream_mini")


def clips(n: int = 3, frames: int = 20, size: int = 80) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (frames, size, size + 8, 3), dtype=np.uint8) for _ in range(n)]


def test_a_new_i3d_answers_a_still_clip_as_the_2d_network_does():
    lite0 = lite0_network("packaged")[0].eval()
    net = networks.I3DMini(lite0, classes=5).eval()
    x = torch.randn(2, 3, 1, 64, 64)
    with torch.inference_mode():
        maps = net.maps(x.expand(-1, -1, 6, -1, -1))
        y = lite0.activations(x[:, :, 0], "stage3")
        assert maps.shape == (2, 112, 3, 4, 4)
        for t in range(3):
            torch.testing.assert_close(maps[:, :, t], y, rtol=1e-4, atol=1e-4)


def test_a_new_i3d_pools_pairs_of_frames_and_sees_no_others():
    lite0 = lite0_network("packaged")[0].eval()
    net = networks.I3DMini(lite0, classes=5).eval()
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.inference_mode():
        maps = net.maps(x)
        early = lite0.stem(x[0].transpose(0, 1))
        for block in lite0._blocks[: networks.HALVED]:
            early = block(early)
        for t in range(2):
            y = torch.maximum(early[2 * t : 2 * t + 1], early[2 * t + 1 : 2 * t + 2])
            for block in lite0._blocks[networks.HALVED : networks.BLOCKS]:
                y = block(y)
            torch.testing.assert_close(maps[:, :, t], y, rtol=1e-4, atol=1e-4)


def test_the_i3d_keeps_the_first_blocks_while_training():
    net = networks.I3DMini(lite0_network("packaged")[0], classes=5).train()
    before = {k: v.clone() for k, v in net.state_dict().items() if k.startswith(("still", "_"))}
    net(torch.randn(2, 3, 4, 64, 64)).sum().backward()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is None for p in net.frozen.parameters())
    assert all(block._depthwise_conv.weight.grad[:, :, 0].any() for block in net.blocks)


def test_the_flow_stem_starts_from_the_mean_over_rgb():
    lite0 = lite0_network("packaged")[0]
    stream = networks.FlowStream(lite0, channels=30, classes=5)
    mean = lite0._conv_stem.weight.mean(dim=1)
    torch.testing.assert_close(stream._conv_stem.weight[:, 17], mean * 3 / 30)
    grey = torch.rand(1, 1, 16, 16)  # the same in all channels: the stem answers as to grey RGB
    torch.testing.assert_close(
        stream._conv_stem(grey.repeat(1, 30, 1, 1)), lite0._conv_stem(grey.repeat(1, 3, 1, 1))
    )


def test_two_streams_see_flow_and_frames():
    encoder = mini.load("two_stream_mini", "random")
    size, step = 64, 3
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.random((1, 3, 16, 30)))
    wide = torch.nn.functional.interpolate(coarse, (size, 120), mode="bicubic")[0]
    wide = (wide.permute(1, 2, 0).clamp(0, 1) * 255).numpy().astype(np.uint8)
    clip = np.stack([wide[:, 50 - step * t : 50 - step * t + size] for t in range(16)])
    x = encoder.prepare([clip])
    assert x.shape == (1, 5, 16, 64, 64)
    assert x[0, 3, :-1, 16:-16, 16:-16].mean() * 20 == pytest.approx(step, abs=0.3)
    assert x[0, 4, :-1, 16:-16, 16:-16].mean() * 20 == pytest.approx(0, abs=0.3)
    assert not x[0, 3:, -1].any()
    assert not encoder.prepare([np.repeat(clip[:1], 16, axis=0)])[0, 3:].any()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_batches_and_repetition(name):
    encoder = mini.load(name)
    some = [*clips(2), clips(1, frames=1, size=40)[0]]  # one has a single frame
    vectors = encoder.encode(some)
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(encoder.encode(some[1:2]), vectors[1:2], atol=1e-4)
    assert np.array_equal(encoder.encode(some), vectors)
    assert encoder.weights.source == "packaged"
    assert encoder.weights.licence == "MIT"
    with torch.inference_mode():
        prepared = encoder.prepare(some[:1])
        assert encoder.net.features(prepared).shape[:2] == (1, encoder.dim)
        assert encoder.net.maps(prepared).ndim == 5


@pytest.mark.parametrize("name", NAMES)
def test_random_ones_know_nothing_of_imagenet(name):
    one, two = (mini.load(name, "random", seed=seed) for seed in (0, 1))
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == mini.load(name, "random", seed=0).fingerprint
    with pytest.raises(RuntimeError, match="calibrate"):
        one.encode(clips(1))
    if name != "slowfast_mini":
        stem = lite0_network("packaged")[0]._conv_stem.weight
        own = one.net._conv_stem if name == "i3d_mini" else one.net.spatial._conv_stem
        assert not torch.equal(own.weight, stem)


@pytest.mark.parametrize("name", NAMES)
def test_the_record_tells_how_they_were_made(name):
    record = mini.record(name)
    assert record["data"]["classes"] == list(motion_corpus.MOTIONS)
    assert record["data"]["corpus"] == motion_corpus.VERSION
    assert record["curve"][-1]["step"] == record["recipe"]["steps"]
    assert record["minutes"] < 60
    assert (loading.WEIGHTS / f"{name}.safetensors").stat().st_size < 5_000_000
    card = (loading.WEIGHTS / f"{name}.md").read_text("utf-8")
    assert f"{record['scores']['validation']['accuracy']:.2f}" in card
    assert "Kinetics" in card


@pytest.mark.parametrize("name", NAMES)
def test_the_score_on_record_is_what_new_clips_give(name, tmp_path):
    """On clips of the same recipe that nobody has rendered before; 10 of each motion."""
    fresh = motion_corpus.build(tmp_path, "validation", 220, seed=77)
    got = pretrain_motion.score(mini.load(name), fresh)["accuracy"]
    wanted = mini.record(name)["scores"]["validation"]["accuracy"]
    assert abs(got - wanted) < 3 * np.sqrt(wanted * (1 - wanted) / 220) + 0.02


def test_augmentation_leaves_its_input_alone_and_repeats():
    batch = torch.from_numpy(np.stack(clips(4, 16, 64))[:, :, :, :64])
    labels = torch.arange(4)
    kept = batch.clone()
    one = pretrain_motion.augmented(batch, labels, np.random.default_rng(0))
    two = pretrain_motion.augmented(batch, labels, np.random.default_rng(0))
    assert torch.equal(batch, kept)
    assert torch.equal(labels, torch.arange(4))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_wrong_files_and_names(tmp_path):
    own = load_file(loading.WEIGHTS / "i3d_mini.safetensors")
    save_file(own, tmp_path / "own.safetensors")
    assert mini.load("i3d_mini", tmp_path / "own.safetensors").weights.source == "file"
    with pytest.raises(WeightsError, match="another model"):
        mini.load("slowfast_mini", tmp_path / "own.safetensors")
    with pytest.raises(WeightsNotAvailable):
        mini.load("slowfast_mini", tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="course's own"):
        mini.load("i3d_mini", "published")
    with pytest.raises(ValueError, match="slowfast_mini"):
        mini.load("x3d_mini")


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_has_them(name):
    row = video_encoders.available().loc[name]
    assert "packaged" in row["available"]
    encoder = video_encoders.load(name)
    assert (encoder.dim, encoder.parameters) == (row["dim"], row["parameters"])
    assert encoder.frame_contract.frames == row["frames"]


def test_only_the_random_i3d_depends_on_time_before_training():
    forwards = clips(1)
    both = [forwards[0], forwards[0][::-1].copy()]
    random = mini.load("i3d_mini", "random").calibrate(clips(3))
    fresh = mini.untrained("i3d_mini", classes=2)
    apart = {
        name: np.abs(np.subtract(*e.encode(both))).max()
        for name, e in {"random": random, "fresh": fresh}.items()
    }
    assert apart["random"] > 0.01
    assert apart["fresh"] < 1e-4
