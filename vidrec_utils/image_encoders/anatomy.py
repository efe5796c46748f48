"""How a convolutional network is built: where its parameters are, and how far its layers see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import nn

from vidrec_utils.encoders import milliseconds
from vidrec_utils.image_encoders.catalogue import load
from vidrec_utils.image_encoders.convolutional import Opened
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Images


def receptive_field(net: Opened, layer: str, size: int = 224, *, seed: int = 0) -> int:
    """Measure by gradients the side of the square of pixels that one position of a layer sees.

    Parameters
    ----------
    net : Opened
        VGG, ResNet or Inception; random weights will do.
    layer : str
        One of its stages.
    size : int
        Side of the image in pixels; a field that is larger is reported as large as the image.
    seed : int
        Seed of the image, which is noise.

    Examples
    --------
    >>> layers = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(16, 1))
    >>> receptive_field(Opened(layers, {"stage1": "0"}, 16), "stage1", size=6)
    5
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 3, size, size, generator=generator).requires_grad_()
    maps = net.activations(x, layer)
    middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
    weights = torch.rand(len(middle), generator=generator)  # or opposite channels might cancel
    (gradient,) = torch.autograd.grad((middle * weights).sum(), x)
    touched = gradient[0].abs().sum(dim=0) > 0
    rows = touched.any(dim=1).nonzero()
    return int(rows.max() - rows.min() + 1) if len(rows) else 0


def parameter_shares(net: nn.Module, kinds: Sequence[str] = ("Conv2d", "Linear")) -> pd.Series:
    """Share of a network's parameters in each kind of layer, the rest as `other`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(3))  # 4 + 2, and 3 + 3
    >>> parameter_shares(net).to_dict()
    {'Conv2d': 0.0, 'Linear': 0.5, 'other': 0.5}
    """
    counts = dict.fromkeys([*kinds, "other"], 0)
    for module in net.modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        kind = type(module).__name__
        counts[kind if kind in kinds else "other"] += own
    return pd.Series(counts, dtype=float) / max(sum(counts.values()), 1)


def compare_networks(names: Sequence[str], images: Images, *, seed: int = 0) -> pd.DataFrame:
    """Compare where networks have their parameters, how far an early map sees, and their speed.

    Parameters
    ----------
    names : sequence of str
        Names of VGG, ResNet and Inception; built with random weights, which change no result.
    images : list of uint8 (height, width, 3)
        Two or more, on which the time is measured.
    seed : int
        Seed of the weights.

    Returns
    -------
    DataFrame
        Indexed by name: `parameters, M`, `in the classifier, %`, `field after stage 2, pixels` and
        `ms an image`.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    >>> table = compare_networks(["resnet50"], noise)
    >>> table.loc["resnet50", ["parameters, M", "in the classifier, %"]].round().tolist()
    [26.0, 8.0]
    """
    rows = {}
    for name in names:
        encoder = cast(ImageEncoder, load(name, "random", seed=seed))
        if not encoder.calibrated:
            encoder.calibrate(images)
        rows[name] = {
            "parameters, M": encoder.parameters / 1e6,
            "in the classifier, %": 100 * parameter_shares(encoder.net)["Linear"],
            "field after stage 2, pixels": receptive_field(encoder.net, "stage2", 128),
            "ms an image": milliseconds(encoder, images, repeats=1),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
