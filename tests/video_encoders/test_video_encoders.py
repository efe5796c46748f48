"""Video encoders: inflation keeps what was learned, correlation sees motion, nothing is claimed."""

import numpy as np
import pytest
import torch

from vidrec_utils import image_encoders, video_encoders
from vidrec_utils.encoders import Encoder, WeightsError
from vidrec_utils.video_encoders.encoder import frame_positions

NAMES = [
    "frame_average",
    "efficientnet_lite0_3d",
    "lite0_correlation",
    "lite0_appearance_motion",
]


@pytest.fixture(scope="module")
def encoders():
    return {name: video_encoders.load(name, size=64, frames=4, device="cpu") for name in NAMES}


def noise(n=3, time=6, size=72, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, time, size, size, 3), dtype=np.uint8)


def moving(step, time=8, size=64, seed=0):
    """A textured square that moves `step` pixels to the right a frame over a still background."""
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(90, 130, (1, size, size, 3), dtype=np.uint8), time, axis=0)
    texture = np.kron(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    for t in range(time):
        left = 20 + step * t if step > 0 else 20 + 8 * (time - 1) + step * t
        left = min(left, size - 24)
        frames[t, 20:44, left : left + 24] = texture
    return frames


def test_the_catalogue_has_parameters_and_what_is_available(encoders):
    catalogue = video_encoders.available()
    for name, encoder in encoders.items():
        assert catalogue.loc[name, "parameters"] == encoder.parameters
        assert catalogue.loc[name, "dim"] == encoder.dim
        assert catalogue.loc[name, "available"] == "packaged, random"


@pytest.mark.parametrize("name", NAMES)
def test_protocol_batches_and_odd_clips(encoders, name):
    encoder = encoders[name]
    assert isinstance(encoder, Encoder)
    assert encoder.modality == "video"
    assert encoder.frame_contract.frames == 4
    odd = [noise(1)[0], noise(1, time=1, size=20)[0], noise(1, time=9, size=90)[0][:, :40]]
    together = encoder.encode(odd)
    assert together.shape == (3, encoder.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    alone = np.concatenate([encoder.encode([clip]) for clip in odd])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_array_equal(together, encoder.encode(odd))
    assert encoder.encode([]).shape == (0, encoder.dim)
    with pytest.raises(ValueError, match=r"Clip 1 is float32 of shape"):
        encoder.encode([odd[0], odd[0].astype("f4")])


def test_frames_are_the_middles_of_segments():
    assert frame_positions(8, 4).tolist() == [1, 3, 5, 7]
    assert frame_positions(4, 4).tolist() == [0, 1, 2, 3]
    assert frame_positions(1, 3).tolist() == [0, 0, 0]
    assert frame_positions(2, 4).tolist() == [0, 0, 1, 1]


def test_centre_tap_equals_the_2d_network_on_every_frame(encoders):
    images = image_encoders.load(size=64, device="cpu")
    clips = noise(2, time=4, size=64)
    features = encoders["efficientnet_lite0_3d"].features(clips)
    assert features.shape == (2, 1280, 4)
    for clip, got in zip(clips, features, strict=True):
        np.testing.assert_allclose(got.numpy().T, images.encode(clip), atol=1e-4)
    np.testing.assert_allclose(
        encoders["efficientnet_lite0_3d"].encode(clips),
        encoders["frame_average"].encode(clips),
        atol=1e-4,
    )


def test_correlation_finds_a_planted_displacement():
    rng = torch.Generator().manual_seed(0)
    patch = torch.randn(1, 8, 3, 3, generator=rng)
    maps = torch.zeros(1, 8, 3, 12, 12)
    for t in range(3):  # one cell down, two to the right, each frame
        maps[:, :, t, 2 + t : 5 + t, 2 + 2 * t : 5 + 2 * t] = patch
    got = video_encoders.correlate(maps, radius=2)
    assert got.shape == (1, 26, 2, 12, 12)
    strength = got[0, :25].sum(dim=(1, 2, 3)).reshape(5, 5)
    down, right = divmod(int(strength.argmax()), 5)
    assert (down - 2, right - 2) == (1, 2)
    still = maps[:, :, :1].expand(-1, -1, 3, -1, -1)
    assert video_encoders.correlate(still, radius=2).abs().max() < 1e-5
    with pytest.raises(ValueError, match="at least two frames"):
        video_encoders.correlate(maps[:, :, :1], radius=2)


def test_order_of_frames_matters_where_it_should(encoders):
    clip = moving(6, time=4)  # as many frames as the encoders take
    for name, tells in {
        "frame_average": False,
        "lite0_correlation": True,
        "lite0_appearance_motion": True,
    }.items():
        forward, backward = encoders[name].encode([clip, clip[::-1].copy()])
        apart = np.linalg.norm(forward - backward) / np.linalg.norm(forward)
        assert (apart > 0.2) == tells, (name, apart)
        if not tells:
            assert apart < 1e-4


def test_a_head_learns_on_frozen_maps(encoders):
    clips = [moving(step, seed=s) for s in range(8) for step in (6, -6)]
    labels = torch.tensor([0, 1] * 8)
    encoder = encoders["lite0_correlation"]
    maps = encoder.maps(clips)
    assert maps.shape == (16, encoder.net.channels, 3, 8, 8)
    torch.manual_seed(0)
    head = video_encoders.MotionHead(encoder.net.channels, classes=2, width=8)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(maps[:12]), labels[:12]).backward()
        optimiser.step()
    with torch.inference_mode():
        assert (head.eval()(maps[12:]).argmax(dim=1) == labels[12:]).all()


def test_a_head_stored_under_an_older_name_loads():
    head = video_encoders.MotionHead(8, classes=2)
    stored = {name.replace("conv.", "mix."): value for name, value in head.state_dict().items()}
    other = video_encoders.MotionHead(8, classes=2)
    other.load_state_dict(stored)
    assert torch.equal(other.conv.weight, head.conv.weight)


def test_networks_can_be_fine_tuned(encoders):
    net = video_encoders.load("efficientnet_lite0_3d", size=32, frames=3, device="cpu").net
    net.features(torch.randn(1, 3, 3, 32, 32)).sum().backward()
    taps = net.net._blocks[2]._depthwise_conv.weight.grad
    assert taps[:, :, 0].abs().sum() > 0  # the empty taps get a gradient, so they can be filled


def test_layers_for_the_audit(encoders):
    clips = noise(2, time=5)
    average = encoders["frame_average"]
    assert average.activations(clips, "stage5").shape == (2, 1280, 4, 2, 2)
    got = average.activations(clips, "penultimate").numpy()
    np.testing.assert_allclose(got, average.encode(clips), atol=1e-5)
    correlation = encoders["lite0_correlation"]
    assert correlation.layers == ("maps", "penultimate")
    assert torch.equal(correlation.activations(clips, "maps"), correlation.maps(clips))
    got = correlation.activations(clips, "penultimate").numpy()
    np.testing.assert_allclose(got, correlation.encode(clips), atol=1e-5)
    for encoder in (average, correlation):
        with pytest.raises(ValueError, match="no layer"):
            encoder.activations(clips, "stage9")
        with pytest.raises(ValueError, match="at least one"):
            encoder.activations([], "penultimate")


@pytest.mark.parametrize("name", NAMES)
def test_preparing_and_encoding_apart_is_encoding(encoders, name):
    clips = noise(2)
    prepared = encoders[name].prepare(clips)
    assert len(prepared[1:]) == 1
    np.testing.assert_array_equal(
        encoders[name].encode_prepared(prepared), encoders[name].encode(clips)
    )


def test_random_weights_are_labelled_and_calibrated():
    encoder = video_encoders.load("lite0_correlation", "random", frames=4, device="cpu")
    assert encoder.weights.source == "random"
    with pytest.raises(RuntimeError, match="calibrate"):
        encoder.encode(noise())
    before = encoder.fingerprint
    assert np.isfinite(encoder.calibrate(noise()).encode(noise())).all()
    assert encoder.fingerprint != before
    with pytest.raises(ValueError, match="only random"):
        video_encoders.load("lite0_correlation", device="cpu").calibrate(noise())


@pytest.mark.parametrize("name", ["frame_average", "lite0_correlation"])
def test_a_hash_that_a_caller_states_is_compared(name, tmp_path):
    (tmp_path / "own.pth").write_bytes(b"another file")
    for weights in ("packaged", tmp_path / "own.pth"):
        with pytest.raises(WeightsError, match="SHA-256"):
            video_encoders.load(name, weights, device="cpu", sha256="0" * 64)


def test_fingerprints_follow_the_frame_contract(encoders):
    other = video_encoders.load("lite0_correlation", size=64, frames=5, device="cpu")
    same = video_encoders.load("lite0_correlation", size=64, frames=4, device="cpu")
    prints = [encoder.fingerprint for encoder in encoders.values()]
    assert len({*prints, other.fingerprint}) == len(NAMES) + 1
    assert same.fingerprint == encoders["lite0_correlation"].fingerprint


def test_windows_have_the_length_of_training_and_leave_the_fingerprint_of_encode():
    encoder = video_encoders.load("slowfast_mini", device="cpu")
    assert encoder.windows == video_encoders.Windows(2.0)
    other = encoder.with_windows(video_encoders.Windows(at="centre", pooling="max"))
    assert other.windows == video_encoders.Windows(2.0, at="centre", pooling="max")
    assert other.net is encoder.net
    assert other.fingerprint == encoder.fingerprint
    assert encoder.windows == video_encoders.Windows(2.0)
    assert encoder.with_windows(None).windows is None
    flow = video_encoders.load("two_stream_mini", device="cpu")
    assert flow.windows == video_encoders.Windows(2.0, short="stretch")  # a loop's jump is no flow
    catalogue = video_encoders.available()
    for name in ("lite0_correlation", "slowfast_mini", "i3d_mini", "two_stream_mini"):
        assert catalogue.loc[name, ["rate", "window_s"]].tolist() == [8.0, 2.0]
    slowfast = video_encoders.load("slowfast_r50", "random", frames=8, size=64, device="cpu")
    assert slowfast.windows == video_encoders.Windows(8 / 15)


def test_an_encoder_of_no_rate_asks_for_the_length(encoders):
    average = encoders["frame_average"]
    assert average.windows is None
    with pytest.raises(ValueError, match="trained at no rate"):
        average.with_windows(video_encoders.Windows())
    assert average.with_windows(video_encoders.Windows(2.0)).windows.seconds == 2.0


def test_unknown_names():
    with pytest.raises(ValueError, match="choose from frame_average"):
        video_encoders.load("c3d")


def test_appearance_and_motion_are_the_average_and_the_correlation_side_by_side(encoders):
    clips = list(noise(2, time=4, size=64))
    both = encoders["lite0_appearance_motion"].encode(clips)
    shown = encoders["frame_average"].images.encode([c for clip in clips for c in clip[::2]])
    shown = shown.reshape(2, 2, -1).mean(axis=1)
    moves = encoders["lite0_correlation"].encode(clips)
    for got, expected in ((both[:, :1280], shown), (both[:, 1280:], moves)):
        length = np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(got, expected / length, atol=1e-4)


def test_larger_frames_are_correlated_at_their_own_size():
    encoder = video_encoders.load("lite0_appearance_motion", device="cpu")
    assert encoder.frame_contract.size == 96
    assert encoder.maps([moving(4, time=16, size=96)]).shape == (1, 50, 15, 8, 8)
