"""Where in an image or a clip a network found what speaks for a score: Grad-CAM and CAM.

References
----------
Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative Localization.
CVPR 2016 (arXiv:1512.04150).
Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM. ICCV 2017 (arXiv:1610.02391).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.interpretability.targets import Target

LAST = "maps"
"""Name of the last feature maps, the output of a network's method `maps`."""
DEEPEST = 3
"""Components of the longest layer name that an error lists."""


def _owners(net: nn.Module) -> list[nn.Module]:
    """The parts of a network that compute last feature maps, one a stream."""
    return [module for module in net.modules() if hasattr(type(module), "maps")]


@contextmanager
def _caught(net: nn.Module, layer: str, store: list[torch.Tensor]) -> Iterator[None]:
    """Keep the output of one layer while the network runs; of several streams, the last one's."""
    if layer == LAST:

        def keeping(method: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
            def call(x: torch.Tensor) -> torch.Tensor:
                store.append(method(x))
                return store[-1]

            return call

        owners = _owners(net)
        for owner in owners:
            owner.maps = keeping(owner.maps)
        try:
            yield
        finally:
            for owner in owners:
                del owner.maps  # the method of the class is there again
        return
    hook = net.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: store.append(output)
    )
    try:
        yield
    finally:
        hook.remove()


def _is_map(output: object) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim in (4, 5) and output.shape[-1] > 1


def map_layers(target: Target, items: Sequence[np.ndarray]) -> dict[str, tuple[int, ...]]:
    """List the layers whose output is a map, so that `grad_cam` can use them.

    Parameters
    ----------
    target : Target
        With a PyTorch network.
    items : sequence
        One item is enough.

    Returns
    -------
    dict of str to tuple of int
        Shape of the output for one item, by the name of the layer, in the order of computation;
        `"maps"` are the last feature maps, if the network has a method of that name.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> from vidrec_utils.interpretability.targets import classifier_head
    >>> encoder = image_encoders.load("efficientnet_lite0", size=64)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> map_layers(target, [np.zeros((64, 64, 3), np.uint8)])["maps"]
    (1280, 2, 2)
    """
    net, shapes = target.network, {}
    prepared = target.prepare(items[:1])
    hooks = []
    for name, module in net.named_modules():
        if name:

            def look(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if _is_map(output):
                    shapes[name] = tuple(output.shape[1:])

            hooks.append(module.register_forward_hook(look))
    store: list[torch.Tensor] = []
    try:
        with torch.no_grad(), _caught(net, LAST, store):
            target(prepared)
    finally:
        for hook in hooks:
            hook.remove()
    if store and _is_map(store[-1]):
        shapes[LAST] = tuple(store[-1].shape[1:])
    return shapes


def _check(target: Target, items: Sequence[np.ndarray], layer: str) -> None:
    known = map_layers(target, items)
    if layer in known:
        return
    listed = [name for name in known if name.count(".") < DEEPEST]
    raise ValueError(
        f"{target.encoder.name} has no layer {layer!r} with maps. There are: {', '.join(listed)}."
    )


def layer_gradients(
    target: Target, items: Sequence[np.ndarray], layer: str = LAST
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output of a layer, and the gradient of the score with respect to it.

    Returns
    -------
    (tensor, tensor), each of shape (n, channels, height, width) or (n, channels, time, ...)
        On the CPU. Of an image network that sees the frames of a clip one by one, time is among
        the axes, too.

    Raises
    ------
    ValueError
        If there is no such layer, or its output is no map; the message lists those that there are.
    NoGradients
        If the encoder has none.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> from vidrec_utils.interpretability.targets import Target, classifier_head
    >>> encoder = image_encoders.load("efficientnet_lite0", size=64)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> image = np.zeros((64, 64, 3), np.uint8)
    >>> maps, slopes = layer_gradients(target, [image])
    >>> maps.shape == slopes.shape == (1, 1280, 2, 2)
    True
    """
    _check(target, items, layer)
    store: list[torch.Tensor] = []
    prepared = target.prepare(items).requires_grad_()  # frozen layers pass the gradient on, too
    with _caught(target.network, layer, store):
        score = target(prepared)
    (gradient,) = torch.autograd.grad(score.sum(), store[-1])
    outputs = [tensor.detach().cpu() for tensor in (store[-1], gradient)]
    if len(outputs[0]) != len(prepared):  # (n * frames, channels, height, width)
        outputs = [t.unflatten(0, (len(prepared), -1)).transpose(1, 2) for t in outputs]
    return outputs[0], outputs[1]


def grad_cam(
    target: Target, items: Sequence[np.ndarray], layer: str = LAST, signed: bool = False
) -> np.ndarray:
    """Grad-CAM: feature maps, each weighted by the mean gradient of the score over its positions.

    Parameters
    ----------
    target : Target
        With a convolutional network of PyTorch, over images or clips.
    items : sequence of uint8 (height, width, 3) or (time, height, width, 3)
        Images or clips.
    layer : str
        `"maps"`, the last feature maps, or a name of `map_layers`.
    signed : bool
        Whether to keep what speaks against the score, instead of cutting it off at 0.

    Returns
    -------
    ndarray of float32, shape (n, height, width) or (n, time, height, width)
        Interpolated linearly to the grid that the network sees.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists those that there are.
    NoGradients
        If the encoder has none.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> from vidrec_utils.interpretability.targets import classifier_head
    >>> encoder = image_encoders.load("efficientnet_lite0", size=64)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> grad_cam(target, [np.zeros((64, 64, 3), np.uint8)]).shape
    (1, 64, 64)
    """
    maps, gradients = layer_gradients(target, items, layer)
    alpha = gradients.flatten(2).mean(dim=2)  # (n, channels)
    return _weighted(target, items, maps, alpha, signed)


def cam(target: Target, items: Sequence[np.ndarray], signed: bool = False) -> np.ndarray:
    """CAM: the last feature maps, weighted by the head itself.

    It needs a vector that is the mean of the maps, and a head without centring. Then Grad-CAM gives
    the same up to a constant, the number of positions.

    Parameters
    ----------
    target, items, signed
        As for `grad_cam`, and errors as there.

    Raises
    ------
    ValueError
        If the vector is not the mean of the last feature maps, or the head scales vectors.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> from vidrec_utils.interpretability.targets import Target, classifier_head
    >>> encoder = image_encoders.load("efficientnet_lite0", size=64)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> image = np.zeros((64, 64, 3), np.uint8)
    >>> bool(np.allclose(cam(target, [image]), 4 * grad_cam(target, [image]), atol=1e-4))
    True
    """
    _check(target, items, LAST)
    store: list[torch.Tensor] = []
    with torch.no_grad(), _caught(target.network, LAST, store):
        prepared = target.prepare(items)
        vectors = target.encoder.network_vectors(target.network, prepared.to(target.encoder.device))
    maps = store[-1].cpu()
    if len(maps) != len(prepared):
        maps = maps.unflatten(0, (len(prepared), -1)).transpose(1, 2)
    pooled = maps.flatten(2).mean(dim=2)
    if (
        pooled.shape != vectors.shape
        or not torch.allclose(pooled, vectors.cpu(), rtol=1e-3, atol=1e-4)
        or target.head.center is not None
    ):
        raise ValueError(
            f"CAM needs a vector that is the mean of the last maps and a linear head on it; "
            f"{target.encoder.name} with {target.name!r} is not of this kind. Use grad_cam."
        )
    alpha = torch.as_tensor(target.head.weight, dtype=maps.dtype).expand(len(maps), -1)
    return _weighted(target, items, maps, alpha, signed)


def _weighted(
    target: Target,
    items: Sequence[np.ndarray],
    maps: torch.Tensor,
    alpha: torch.Tensor,
    signed: bool,
) -> np.ndarray:
    """Sum of maps times weights, on the grid of the network's input."""
    weights = alpha.view(*alpha.shape, *[1] * (maps.ndim - 2))
    total = (maps * weights).sum(dim=1)  # (n, [time,] height, width)
    if not signed:
        total = total.clamp(min=0)
    grid = list(target.prepare(items[:1]).shape)
    del grid[target.channel_axis]
    if total.ndim < len(grid):  # a map of the whole clip, such as that of stacked flow
        total = total[:, None]
    mode = "trilinear" if total.ndim == 4 else "bilinear"
    size = grid[1:]
    large = functional.interpolate(total[:, None], size=size, mode=mode, align_corners=False)
    return large[:, 0].float().numpy()
