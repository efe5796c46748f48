"""How a convolutional network is built: where its parameters are, and how far its layers see."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from itertools import permutations
from typing import cast

import pandas as pd
import torch
from torch import nn

from vidrec_utils import arguments
from vidrec_utils.encoders import milliseconds
from vidrec_utils.image_encoders.catalogue import load
from vidrec_utils.image_encoders.convolutional import ENTRIES, Opened
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


LAST_STRIDE = 8
"""Stride up to which `fields_by_depth` goes; at 16 the fields exceed small images."""
_ON_PATH = {
    "vgg16": r"features",
    "resnet50": r"conv1|maxpool|layer\d\.\d+\.conv",
    "inception_v3": r"Conv2d|maxpool|Mixed_5.\.branch3x3dbl",
}
"""Names of the layers on the path that sees farthest, as a regular expression."""


def fields_by_depth(name: str) -> pd.DataFrame:
    """Compute how far each layer of a network sees, from the first layer to the last of stride 8.

    Only layers of one stride can be compared, and a network has many of them: its field grows from
    the first layer of a stride to the last. Where branches run side by side, the one that sees
    farthest is followed.

    Parameters
    ----------
    name : {"vgg16", "resnet50", "inception_v3"}
        The network; only its structure is built, without weights.

    Returns
    -------
    DataFrame
        A row a convolution or pooling, indexed by `depth` from 1: `layer` (its name), `stride`
        (pixels between two positions of its output), `field` (side of the square that it sees, in
        pixels).

    Raises
    ------
    ValueError
        If the network is none of these.

    References
    ----------
    Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks. Distill, 2019.

    Examples
    --------
    >>> fields_by_depth("vgg16").head(3).to_numpy().tolist()
    [['features.0', 1, 3], ['features.2', 1, 5], ['features.4', 2, 6]]
    """
    arguments.one_of(_ON_PATH, name=name)
    entry = next(entry for entry in ENTRIES if entry.name == name)
    with torch.device("meta"):
        layers = entry.build().named_modules()
    rows, field, stride = [], 1, 1
    for layer, module in layers:
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and re.match(_ON_PATH[name], layer):
            kernel, step = (_side(size) for size in (module.kernel_size, module.stride))
            field += (kernel - 1) * stride  # r_l = r_(l-1) + (k_l - 1) s_1 ... s_(l-1)
            stride *= step
            if stride > LAST_STRIDE:
                break
            rows.append((layer, stride, field))
    index = pd.RangeIndex(1, len(rows) + 1, name="depth")
    return pd.DataFrame(rows, index, columns=["layer", "stride", "field"])


def _side(size: int | tuple[int, ...]) -> int:
    """Side of a square window, given as one number or as two."""
    return size if isinstance(size, int) else size[0]


def costs(net: nn.Module, size: int = 224, channels: int = 3) -> pd.DataFrame:
    """Count parameters and multiply-adds of each convolution and linear layer.

    Parameters
    ----------
    net : nn.Module
        Maps an image to something. On the device "meta" nothing is computed, only counted.
    size, channels : int
        Side of the image in pixels, and its channels.

    Returns
    -------
    DataFrame
        A row a layer in the order of computation, indexed by its name: `kind` ("Conv2d" or
        "Linear"), `parameters`, `multiply_adds` (of one image).

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten())
    >>> costs(net, size=8).loc["0"].to_dict()  # 3 x 4 x 9 weights at 64 positions
    {'kind': 'Conv2d', 'parameters': 108, 'multiply_adds': 6912}
    """
    rows, hooks = {}, []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def count(own: nn.Module, _: object, output: torch.Tensor, name: str = name) -> None:
                positions = output.shape[2:].numel() if isinstance(own, nn.Conv2d) else 1
                weight = cast(torch.Tensor, own.weight)
                parameters = sum(p.numel() for p in own.parameters())
                rows[name] = (type(own).__name__, parameters, weight.numel() * positions)

            hooks.append(module.register_forward_hook(count))
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    was_training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, size, size, device=device))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    columns = ["kind", "parameters", "multiply_adds"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("layer")


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
    """Compare where networks have their parameters, what they compute, and their speed.

    A warning tells when times contradict the operations: a network with half as many again needs
    less time than another. Then something else kept the machine busy; measure again.

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
        Indexed by name: `parameters, M`, `in the classifier, %`, `GFLOPs` (a multiply and an add
        count as two) and `ms an image`, both at the network's own size.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    >>> table = compare_networks(["resnet50"], noise)
    >>> table.loc["resnet50", ["parameters, M", "in the classifier, %"]].round().tolist()
    [26.0, 8.0]
    """
    # One network at a time is in memory
    rows = {name: _costs_of_one(name, images, seed) for name in names}
    table = pd.DataFrame.from_dict(rows, orient="index")
    for heavy, light in contradictions(table["GFLOPs"], table["ms an image"]):
        warnings.warn(
            f"{heavy} computes half as much again as {light} or more, and took less time: the "
            "machine was busy. Measure again when nothing else runs.",
            RuntimeWarning,
            stacklevel=2,
        )
    return table


def _costs_of_one(name: str, images: Images, seed: int) -> dict[str, float]:
    """A row of `compare_networks`."""
    encoder = cast(ImageEncoder, load(name, "random", seed=seed))
    if not encoder.calibrated:
        encoder.calibrate(images)
    return {
        "parameters, M": encoder.parameters / 1e6,
        "in the classifier, %": 100 * parameter_shares(encoder.net)["Linear"],
        "GFLOPs": 2e-9 * costs(encoder.net, encoder.size)["multiply_adds"].sum(),
        "ms an image": milliseconds(encoder, images, repeats=REPEATS),
    }


REPEATS = 3
"""Timed runs of each network; the fastest counts."""
APART = 1.5
"""Ratio of operations from which on times should follow."""


def contradictions(operations: pd.Series, times: pd.Series) -> list[tuple[str, str]]:
    """List the pairs of networks of which the one with far more operations took less time.

    Parameters
    ----------
    operations, times : Series
        Indexed by name, in any unit.

    Examples
    --------
    >>> work = pd.Series({"big": 30.0, "small": 10.0, "middle": 11.0})
    >>> contradictions(work, pd.Series({"big": 100.0, "small": 150.0, "middle": 90.0}))
    [('big', 'small')]
    """
    return [
        (heavy, light)
        for heavy, light in permutations(operations.index, 2)
        if operations[heavy] > APART * operations[light] and times[heavy] < times[light]
    ]
