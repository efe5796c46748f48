"""How far a clip lies from its reversal, in units of how far clips lie apart."""

import numpy as np
import pytest

from vidrec_utils import video_encoders
from vidrec_utils.encoders import FrameContract


class FirstAndLast:
    """Encodes a clip as the brightness of its first frame and of its last one."""

    frame_contract = FrameContract(4, 8)

    def encode(self, clips: list[np.ndarray]) -> np.ndarray:
        return np.array([[clip[0].mean(), clip[-1].mean()] for clip in clips], dtype=np.float32)


def brightening(low: int, high: int, time: int = 4) -> np.ndarray:
    levels = np.linspace(low, high, time).round().astype(np.uint8)
    return np.tile(levels[:, None, None, None], (1, 8, 8, 3))


def test_by_hand():
    clips = [brightening(0, 30), brightening(10, 10), brightening(40, 0)]
    # vectors (0, 30), (10, 10), (40, 0); distances: sqrt(500), 50, sqrt(1000)
    apart = (np.sqrt(500) + 50 + np.sqrt(1000)) / 3
    expected = np.array([30, 0, 40]) * np.sqrt(2) / apart
    np.testing.assert_allclose(
        video_encoders.reversal_distance(FirstAndLast(), clips), expected, rtol=1e-6
    )


def test_both_directions_hold_the_same_frames_of_a_longer_clip():
    average = video_encoders.load("frame_average", device="cpu", frames=4, size=32)
    noise = np.random.default_rng(0).integers(0, 256, (3, 17, 32, 32, 3), dtype=np.uint8)
    assert video_encoders.reversal_distance(average, list(noise)).max() < 1e-4


def test_errors_say_what_is_missing():
    with pytest.raises(ValueError, match="two or more"):
        video_encoders.reversal_distance(FirstAndLast(), [brightening(0, 9)])
    with pytest.raises(ValueError, match="same vector"):
        video_encoders.reversal_distance(FirstAndLast(), [brightening(0, 9)] * 2)


def test_a_pan_and_its_reversal_hold_the_same_frames():
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    clips, ways = video_encoders.pans([frame, frame], length=5)
    assert ways == ["right", "left"] * 2
    assert np.array_equal(clips[0][0], frame[:, :8])
    assert np.array_equal(clips[0][-1], frame[:, 4:])
    assert np.array_equal(clips[1], clips[0][::-1])
    with pytest.raises(ValueError, match="no room"):
        video_encoders.pans([frame[:, :8]])


def test_who_can_have_which_pretraining():
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 64, 64, 3), dtype=np.uint8)
    encoders = video_encoders.by_pretraining(list(noise))
    groups = {}
    for name, group in encoders:
        groups.setdefault(name, set()).add(group)
    assert groups == {
        "frame_average": {"ImageNet"},
        "lite0_correlation": {"nothing", "ImageNet"},
        "two_stream_mini": {"nothing", "ImageNet", "video"},
        "i3d_mini": {"nothing", "ImageNet", "video"},
        "slowfast_mini": {"nothing", "video"},
    }
    assert encoders["i3d_mini", "nothing"].weights.source == "random"
    assert encoders["i3d_mini", "video"].weights.source == "packaged"
    apart = {
        g: video_encoders.reversal_distance(encoders["i3d_mini", g], list(noise)).max()
        for g in ("nothing", "ImageNet")
    }
    assert apart["ImageNet"] < 1e-3 < apart["nothing"]
