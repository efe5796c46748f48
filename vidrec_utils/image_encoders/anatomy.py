"""How a convolutional network is built: where its parameters are, and how far its layers see."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import permutations
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


def fields_by_stride(name: str, most: int = 8, *, seed: int = 0) -> pd.Series:
    """Measure how far each stage of a network sees, by the stage's stride.

    Only stages of one stride can be compared: a stage that has shrunk the image less often sees
    less, whatever its architecture.

    Parameters
    ----------
    name : str
        VGG, ResNet or Inception; built with random weights, which change nothing here.
    most : int
        Largest stride that is measured. At 16 Inception's field already exceeds any usual image,
        and a field is never reported as larger than 320 pixels.
    seed : int
        Seed of the weights and of the image.

    Returns
    -------
    Series of int
        Side of the field in pixels, indexed by stride; of two stages of one stride the later one.

    Examples
    --------
    At stride 8 a ResNet sees farther than a VGG, which has fewer layers there.

    >>> fields = {name: fields_by_stride(name)[8] for name in ("vgg16", "resnet50")}
    >>> bool(fields["resnet50"] > fields["vgg16"])
    True
    """
    net = cast(ImageEncoder, load(name, "random", seed=seed)).net.eval()
    stages = [layer for layer in net.layers if layer.startswith("stage")]
    for size in (128, 320):  # a field that nearly fills the image was cut off by it
        strides = {layer: _stride(net, layer, size) for layer in stages}
        fields = {
            strides[layer]: receptive_field(net, layer, size, seed=seed)
            for layer in stages
            if strides[layer] <= most
        }
        if max(fields.values()) < 0.9 * size:
            break
    return pd.Series(fields, name=name, dtype=int).rename_axis("stride")


def _stride(net: Opened, layer: str, size: int) -> int:
    """Pixels between two positions of a layer's maps: the power of two nearest to the ratio."""
    with torch.inference_mode():
        side = net.activations(torch.zeros(1, 3, size, size), layer).shape[-1]
    return 2 ** round(math.log2(size / side))


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
