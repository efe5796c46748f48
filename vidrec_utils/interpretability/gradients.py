"""Which pixels and frames move a score: gradients, and integrals over them.

References
----------
Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks. 2013 (arXiv:1312.6034).
Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks. ICML 2017 (arXiv:1703.01365).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy import ndimage

from vidrec_utils import arguments
from vidrec_utils.interpretability.targets import Target

Baseline = Literal["grey", "black", "blurred", "frozen"]
BASELINES = ("grey", "black", "blurred", "frozen")


def baseline_items(items: Sequence[np.ndarray], baseline: Baseline) -> list[np.ndarray]:
    """Items that lack what is to be explained.

    Parameters
    ----------
    items : sequence of uint8 (height, width, 3) or (time, height, width, 3)
        Images or clips.
    baseline : {"grey", "black", "blurred", "frozen"}
        One grey; black; without details; or, of a clip, without motion: the mean frame, repeated.

    Raises
    ------
    ValueError
        If there is no such baseline, or an image is to be frozen.

    Examples
    --------
    >>> clip = np.zeros((2, 1, 1, 3), np.uint8)
    >>> clip[1] = 100
    >>> baseline_items([clip], "frozen")[0][:, 0, 0, 0].tolist()
    [50, 50]
    """
    arguments.one_of(BASELINES, baseline=baseline)
    if baseline == "grey":
        return [np.full_like(item, 127) for item in items]
    if baseline == "black":
        return [np.zeros_like(item) for item in items]
    if baseline == "frozen":
        if any(item.ndim != 4 for item in items):
            raise ValueError("An image does not move: 'frozen' is a baseline of clips.")
        means = (item.mean(axis=0, keepdims=True).round().astype(np.uint8) for item in items)
        return [np.repeat(mean, len(item), axis=0) for mean, item in zip(means, items, strict=True)]
    return [_blurred(item) for item in items]


def _blurred(item: np.ndarray) -> np.ndarray:
    sigma = item.shape[-2] / 10
    widths = (*([0] * (item.ndim - 3)), sigma, sigma, 0)
    return ndimage.gaussian_filter(item.astype(np.float32), widths).round().astype(np.uint8)


def saliency(target: Target, items: Sequence[np.ndarray]) -> np.ndarray:
    """How strongly each pixel could move the score: the gradient's length over the colours.

    Returns
    -------
    ndarray of float32, shape (n, height, width) or (n, time, height, width)
        On the grid that the network sees.

    Raises
    ------
    NoGradients
        If the encoder has none.
    """
    gradient = target.gradient(target.prepare(items))
    return gradient.norm(dim=target.channel_axis).cpu().numpy()


def integrated_gradients(
    target: Target,
    items: Sequence[np.ndarray],
    baseline: Baseline = "grey",
    steps: int = 32,
    batch_size: int = 4,
) -> np.ndarray:
    """Share the difference of two scores, of an item and of a baseline, out among the pixels.

    The gradient is integrated along the straight line from baseline to item, and multiplied by
    their difference. So the values of an item add up to the difference of its score and that of its
    baseline (*completeness*), up to the error of the integral; see `completeness_error`.

    Parameters
    ----------
    target : Target
        With a PyTorch network.
    items : sequence of uint8 (height, width, 3) or (time, height, width, 3)
        Images or clips.
    baseline : {"grey", "black", "blurred", "frozen"}
        See `baseline_items`.
    steps : int
        Points on the line (Gauss-Legendre).
    batch_size : int
        Points in one forward pass.

    Returns
    -------
    ndarray of float32, shape (n, height, width) or (n, time, height, width)
        Signed, summed over the colours, on the grid that the network sees.

    Raises
    ------
    NoGradients
        If the encoder has none.
    ValueError
        If there is no such baseline.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> from vidrec_utils.interpretability.targets import Target, classifier_head
    >>> encoder = image_encoders.load("efficientnet_lite0", size=64)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> image = np.zeros((64, 64, 3), np.uint8)
    >>> integrated_gradients(target, [image], "grey", steps=2).shape
    (1, 64, 64)
    """
    from captum.attr import IntegratedGradients

    arguments.at_least(1, steps=steps, batch_size=batch_size)
    prepared, start = target.prepare(items), target.prepare(baseline_items(items, baseline))
    method = IntegratedGradients(target, multiply_by_inputs=True)
    values = [
        method.attribute(
            prepared[[n]], baselines=start[[n]], n_steps=steps, internal_batch_size=batch_size
        )
        for n in range(len(prepared))
    ]
    summed = torch.cat(values).sum(dim=target.channel_axis)
    return summed.detach().float().cpu().numpy()


def completeness_error(
    target: Target, items: Sequence[np.ndarray], values: np.ndarray, baseline: Baseline = "grey"
) -> np.ndarray:
    """How far the attributions of each item are from adding up.

    Returns
    -------
    ndarray of float64, shape (n,)
        Sum of the values, minus the difference of the scores of item and baseline.
    """
    with torch.no_grad():
        scores = target(target.prepare(items)).double().cpu().numpy()
        start = target(target.prepare(baseline_items(items, baseline))).double().cpu().numpy()
    return values.reshape(len(values), -1).sum(axis=1, dtype=np.float64) - (scores - start)
