"""From activations at many positions of an image, a clip or a text to one vector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

POOLINGS = ("mean", "max", "mean_std", "segments")
SEGMENTS = 4  # of time or of a text; an image is cut into 2 x 2


def pool(activations: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool activations over all positions.

    Parameters
    ----------
    activations : tensor, shape (n, channels, *positions)
        Positions are `tokens`, `height, width`, or `time, height, width`. Those that are NaN in a
        text (padding) are left out.
    pooling : {"mean", "max", "mean_std", "segments"}
        `"mean_std"`: mean and deviation side by side. `"segments"`: the means of 4 equal parts of
        a text or of a clip's time, or of the 2 x 2 quarters of an image, side by side.

    Returns
    -------
    tensor of float32, shape (n, width)
        NaN for an item without any position.

    Raises
    ------
    ValueError
        If the pooling is unknown, or there is no position to pool over.
    """
    import torch

    if activations.ndim < 3:
        raise ValueError(f"There is nothing to pool in activations of {activations.ndim} axes.")
    x = activations.float()
    if pooling == "segments":
        return _segments(x)
    flat = x.flatten(2)  # (n, channels, positions)
    if pooling == "mean":
        return flat.nanmean(dim=2)
    if pooling == "max":
        lowest = flat.nan_to_num(nan=-math.inf).amax(dim=2)
        return torch.where(lowest == -math.inf, math.nan, lowest)
    if pooling == "mean_std":
        mean = flat.nanmean(dim=2)
        deviation = (flat - mean[..., None]).square().nanmean(dim=2).sqrt()
        return torch.cat([mean, deviation], dim=1)
    raise ValueError(f"pooling is {pooling!r}; choose from {', '.join(POOLINGS)}.")


def _segments(x: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn import functional

    if x.ndim == 4:  # an image
        quarters = functional.adaptive_avg_pool2d(x, (min(2, x.shape[2]), min(2, x.shape[3])))
        return quarters.flatten(1)
    if x.ndim == 5:  # a clip: averaged over space, not over time
        x = x.mean(dim=(3, 4))
        return functional.adaptive_avg_pool1d(x, min(SEGMENTS, x.shape[2])).flatten(1)
    rows = []
    for row in x:  # texts differ in length
        tokens = row[:, ~row.isnan().any(dim=0)]
        rows.append(
            functional.adaptive_avg_pool1d(tokens[None], SEGMENTS)[0]
            if tokens.shape[1]
            else row.new_full((len(row), SEGMENTS), math.nan)
        )
    return torch.stack(rows).flatten(1)
