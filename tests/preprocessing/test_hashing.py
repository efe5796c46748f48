import numpy as np
import pytest
from scipy.fft import idctn

from vidrec_utils import video_io
from vidrec_utils.preprocessing import hashing
from vidrec_utils.preprocessing.hashing import (
    Fingerprint,
    fingerprint,
    grid,
    hamming,
    in_parallel,
    perceptual_hash,
    shrink,
)

from .conftest import moving, scene


def picture(*frequencies):
    """A 32 x 32 picture made of the given (row, column) frequencies."""
    waves = np.zeros((32, 32))
    for place in frequencies:
        waves[place] = 1000.0
    return 128 + idctn(waves, norm="ortho")


def test_bits_are_the_low_frequencies_above_the_median():
    one, two = perceptual_hash(np.stack([picture((0, 1)), picture((0, 1), (3, 2))]))
    bits = np.unpackbits(np.array([two], dtype=np.uint64).view(np.uint8)).reshape(8, 8)
    assert bits[0, 1] == 1
    assert bits[3, 2] == 1
    assert bits[0, 0] == 0
    assert hamming(one, two) >= 1


def test_brightness_and_contrast_change_no_bit():
    frames = np.stack([scene(seed, 32).mean(axis=-1) for seed in range(20)])
    assert (hamming(perceptual_hash(frames), perceptual_hash(0.8 * frames + 20)) == 0).all()


def test_unrelated_pictures_differ_in_half_of_their_bits():
    frames = np.random.default_rng(0).normal(size=(200, 32, 32))
    hashes = perceptual_hash(frames)
    assert hamming(hashes[:100], hashes[100:]).mean() == pytest.approx(31.5, abs=1.5)


def test_pictures_that_cannot_be_hashed():
    with pytest.raises(ValueError, match="8 x 8"):
        perceptual_hash(np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="grey"):
        perceptual_hash(np.zeros((2, 32, 32, 3)))


def test_shrinking_averages_areas():
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96), dtype=np.uint8)
    by_hand = frames.reshape(2, 32, 2, 32, 3).mean(axis=(2, 4))
    assert np.abs(shrink(frames) - by_hand).max() <= 1.0
    flat = np.full((1, 45, 77, 3), 90, dtype=np.uint8)  # sizes that 32 does not divide
    assert (shrink(flat) == 90).all()
    assert shrink(np.full((1, 5, 7), 40.0)).shape == (1, 32, 32)
    with pytest.raises(ValueError, match="no frames"):
        shrink(np.empty((0, 5, 7, 3)))


@pytest.mark.parametrize("size", [(128, 128), (45, 77), (90, 16)])
def test_a_frame_is_shrunk_the_same_among_others(size, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (7, *size, 3), dtype=np.uint8)
    single = np.concatenate([shrink(frame[None]) for frame in frames])
    assert (shrink(frames) == single).all()
    monkeypatch.setattr(hashing, "_TALL_BYTES", 3 * frames[0].nbytes)  # in parts of three
    assert (shrink(frames) == single).all()


def test_clips_are_seen_at_equal_times():
    assert [grid(s) for s in (0.01, 0.5, 2.0, 4.0, 10.0, 60.0)] == [1, 8, 32, 64, 80, 480]
    assert grid(3600.0) == 450  # every 8 s
    assert grid(10.0, max_frames=32) == 20


def test_a_file_and_its_frames_have_the_same_fingerprint(tmp_path):
    frames = moving(5, "right")
    path = tmp_path / "clip.mp4"
    video_io.write_clip(path, frames, fps=16, crf=18)
    found = fingerprint(path)
    made = Fingerprint.of_frames(frames, len(frames) / 16)
    assert found.images.shape == made.images.shape == (24, 32, 32)
    assert found.step_s == pytest.approx(1 / 16)
    assert hamming(found.hashes, made.hashes).mean() < 2


def test_work_is_done_in_order():
    assert in_parallel(lambda x: x * x, list(range(50)), "", progress=False) == [
        x * x for x in range(50)
    ]


def crossing(seed=0, n=8):
    """A bright square that crosses a scene from left to right."""
    scene = np.random.default_rng(seed).integers(0, 120, (4, 4)).repeat(16, 0).repeat(16, 1)
    frames = np.repeat(scene[None], n, axis=0).astype(np.uint8)
    for k in range(n):
        frames[k, 24:40, 6 * k : 6 * k + 16] = 250
    return Fingerprint.of_frames(frames, n / 16)


def test_a_reversed_fingerprint_has_the_same_bag_of_hashes_in_the_opposite_order():
    clip = crossing()
    turned = clip.reversed()
    assert set(turned.hashes) == set(clip.hashes)
    assert np.array_equal(turned.images[0], clip.images[-1])
    assert np.array_equal(turned.reversed().hashes, clip.hashes)


def test_mirrored_hashes_belong_to_mirrored_images():
    turned = crossing().mirrored()
    assert np.array_equal(turned.images[0, :, 0], crossing().images[0, :, -1])
    assert np.array_equal(turned.hashes, perceptual_hash(turned.images))
