"""Optical flow against displacements that were planted, and what Two-Stream makes of it."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from vidrec_utils.video_encoders.flow import cross_modality_stem, optical_flow, stack_flow

PHOTOGRAPH = cv2.GaussianBlur(data.astronaut(), (0, 0), 1.0)


def shifted(right, down, time=3, size=96):
    """A cut-out of a photograph whose content moves by so many pixels a frame."""
    frames = []
    for t in range(time):
        move = np.array([[1, 0, right * t], [0, 1, down * t]], np.float32)
        moved = cv2.warpAffine(PHOTOGRAPH, move, PHOTOGRAPH.shape[1::-1], flags=cv2.INTER_CUBIC)
        frames.append(moved[100 : 100 + size, 150 : 150 + size])
    return np.stack(frames)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-2.5, 1.5), (5, 4)])
def test_flow_finds_planted_displacements(right, down):
    flow = optical_flow(shifted(right, down))
    assert flow.shape == (2, 96, 96, 2)
    assert flow.dtype == np.float32
    inside = flow[:, 12:-12, 12:-12]
    error = np.hypot(inside[..., 0] - right, inside[..., 1] - down)
    assert error.mean() < 0.3


def test_flow_is_deterministic_whatever_the_threads(monkeypatch):
    frames = shifted(2, 1)
    flows = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("VIDREC_THREADS", threads)
        flows.append(optical_flow(frames))
        assert cv2.getNumThreads() == int(threads)
    np.testing.assert_array_equal(flows[0], flows[1])
    np.testing.assert_array_equal(flows[0], flows[2])


def test_still_and_single_frames_have_no_flow():
    still = np.repeat(shifted(0, 0, time=1), 4, axis=0)
    np.testing.assert_array_equal(optical_flow(still), 0)
    assert optical_flow(still[:1]).shape == (0, 96, 96, 2)
    np.testing.assert_array_equal(optical_flow(np.zeros((2, 16, 40, 3), np.uint8)), 0)


def test_frames_that_cannot_be_followed_are_refused():
    with pytest.raises(ValueError, match=r"float64 of shape \(2, 32, 32, 3\)"):
        optical_flow(np.zeros((2, 32, 32, 3)))
    with pytest.raises(ValueError, match="12 x 40 pixels are too small"):
        optical_flow(np.zeros((2, 40, 12, 3), np.uint8))


def test_stacking_by_hand():
    flow = np.zeros((3, 1, 2, 2), np.float32)
    flow[0, 0, 0] = (10, -5)
    flow[1, 0, 1] = (30, -100)  # cut at 20 pixels
    flow[2] = 7  # beyond the two steps that are asked for
    stacked = stack_flow(flow, n=2)
    assert stacked.shape == (4, 1, 2)
    assert stacked.dtype == np.float32
    want = [[[0.5, 0]], [[-0.25, 0]], [[0, 1]], [[0, -1]]]  # x, y of step 1, x, y of step 2
    np.testing.assert_allclose(stacked, want)
    assert flow[1, 0, 1, 0] == 30
    padded = stack_flow(flow[:1], n=3)
    np.testing.assert_allclose(padded[:2], want[:2])
    np.testing.assert_array_equal(padded[2:], 0)
    assert stack_flow(flow).shape == (20, 1, 2)
    with pytest.raises(ValueError, match="n is 0"):
        stack_flow(flow, n=0)


def test_stem_starts_from_the_mean_over_rgb():
    weight = torch.arange(24, dtype=torch.float32).view(2, 3, 2, 2)
    stem = cross_modality_stem(weight, 20)
    assert stem.shape == (2, 20, 2, 2)
    torch.testing.assert_close(stem[0, 0], torch.tensor([[4.0, 5.0], [6.0, 7.0]]))
    torch.testing.assert_close(stem[:, 7], weight.mean(dim=1))
    grey = torch.rand(1, 1, 5, 5)  # on equal channels, both stems answer alike but for the scale
    got = torch.nn.functional.conv2d(grey.expand(-1, 20, -1, -1), stem) / 20
    want = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight) / 3
    torch.testing.assert_close(got, want)
