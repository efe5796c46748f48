"""The part below the head: an encoder's network as a module from prepared items to vectors."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.encoders import Encoder, HasNetwork, Tunable, WeightsInfo

Batch = tuple[torch.Tensor, ...]

KEPT = 2 * 1024**3
"""Bytes of prepared inputs that are kept in memory; more are prepared anew for each batch."""


class Backbone(nn.Module):
    """A copy of an encoder's network, called with a batch of its prepared items.

    Parameters
    ----------
    encoder : Tunable
        An encoder of texts, images or clips, as the `load` of each of the three returns it. It is
        not changed.

    Attributes
    ----------
    net : nn.Module
        The copy.
    encoder : Tunable
        The encoder.

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> backbone = Backbone(video_encoders.load("slowfast_mini", device="cpu"))
    >>> inputs = backbone.prepare([np.zeros((4, 32, 32, 3), np.uint8)])
    >>> tuple(backbone(*inputs).shape) == (1, backbone.encoder.dim)
    True
    """

    def __init__(self, encoder: Tunable):
        super().__init__()
        if not isinstance(encoder, HasNetwork):
            name = encoder.name if isinstance(encoder, Encoder) else encoder
            raise TypeError(
                f"{name!r} has no network to fine-tune; load one with "
                "video_encoders.load, image_encoders.load or text_encoders.load."
            )
        self.net = copy.deepcopy(encoder.net)
        self._encoder = (encoder,)  # in a tuple: PyTorch must not take it for a part of this module

    @property
    def encoder(self) -> Tunable:
        """The encoder whose network was copied."""
        return self._encoder[0]

    def prepare(self, items: Sequence) -> Batch:
        """The network's inputs for a batch of items, on the CPU."""
        return self.encoder.network_inputs(items)

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)`, the same as the encoder's."""
        return self.encoder.network_vectors(self.net, *batch)

    def tuned_encoder(self) -> Tunable:
        """The encoder with this network in place of its own."""
        weights = WeightsInfo("fine-tuned", None, None, self.encoder.weights.licence)
        return self.encoder.with_network(self.net, weights)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An item, and the network's inputs that an encoder prepared from it; see `prepare_once`.

    Attributes
    ----------
    item
        The clip or image.
    batch : tuple of tensor
        A batch of one.
    """

    item: Any
    batch: Batch


def original(item: Any) -> Any:
    """An item as it was before anything prepared it."""
    return item.item if isinstance(item, Prepared) else item


def prepare_once(
    encoder: Tunable, items: Mapping[Any, Any], kept: int = KEPT, progress: bool = True
) -> dict[Any, Any]:
    """Prepare items for many trainings and tests, where preparing takes long (optical flow does).

    The result can be used wherever `fine_tune`, `FineTuned.predict` and similar functions take
    items. An encoder that prepares items differently still does so itself, from the original items.

    Parameters
    ----------
    encoder : Tunable
        An encoder of clips or images. Texts are prepared quickly, and are returned unchanged.
    items : mapping
        Items by id.
    kept : int
        Bytes that may be kept. Items that need more are returned unchanged.
    progress : bool
        Show a bar when preparing takes longer than two seconds.

    Returns
    -------
    dict
        A `Prepared` for each id.

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> encoder = video_encoders.load("slowfast_mini", device="cpu")
    >>> clips = {"a": np.zeros((4, 32, 32, 3), np.uint8), "b": np.ones((6, 32, 32, 3), np.uint8)}
    >>> ready = prepare_once(encoder, clips)
    >>> tuple(ready["a"].batch[0].shape)
    (1, 3, 16, 64, 64)
    """
    prepare = Backbone(encoder).prepare
    if _agrees(prepare, next(iter(items.values()), None)):
        return dict(items)
    raw = {name: original(item) for name, item in items.items()}
    first = next(iter(raw.values()), "")
    if isinstance(first, str) or _size(prepare([first])) * len(raw) > kept:
        return raw
    with ThreadPoolExecutor(settings.threads()) as pool:  # OpenCV and torch release Python's lock
        prepared = pool.map(lambda item: Prepared(item, prepare([item])), raw.values())
        bar = tqdm(prepared, "preparing", len(raw), unit="clip", delay=2, disable=not progress)
        return dict(zip(raw, bar, strict=True))


class Inputs:
    """Items, prepared once when they fit into memory, and otherwise for each batch anew.

    Parameters
    ----------
    prepare : callable
        Takes a list of items and returns a batch of tensors.
    items : sequence
        Clips, images or texts; a sequence that reads them on demand, as `ClipFiles`, is fine, too.
        Items that are `Prepared` are used as they are if `prepare` agrees about the first.
    kept : int
        Bytes that may be kept.
    """

    def __init__(self, prepare: Callable[[Sequence], Batch], items: Sequence, kept: int = KEPT):
        if not len(items):
            raise ValueError("There is nothing to learn from: no clip was given.")
        self.ready: Batch | None = None
        self.prepare, self.items = prepare, items
        if _agrees(prepare, items[0]):
            self.prepare = _joined
            return
        if isinstance(items[0], Prepared):
            self.items = items = [original(item) for item in items]
        if isinstance(items[0], str):
            self.ready = prepare(list(items))
        elif _size(prepare([items[0]])) * len(items) <= kept:
            self.ready = _cat([_alone(prepare, items, row) for row in range(len(items))])

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, rows: np.ndarray) -> Batch:
        """Prepared items of some rows."""
        if self.ready is not None:
            return tuple(part[torch.as_tensor(rows)] for part in self.ready)
        return self.prepare([self.items[int(row)] for row in rows])


def _alone(prepare: Callable[[Sequence], Batch], items: Sequence, row: int) -> Batch:
    try:
        return prepare([items[row]])
    except ValueError as error:  # counts within its batch of one
        raise ValueError(f"At position {row} of {len(items)}, by itself: {error}") from error


def _size(batch: Batch) -> int:
    return sum(part.nbytes for part in batch)


def _agrees(prepare: Callable[[Sequence], Batch], item: Any) -> bool:
    """Whether an item was prepared, and in the same way as `prepare` does it."""
    if not isinstance(item, Prepared):
        return False
    own = prepare([item.item])
    return len(own) == len(item.batch) and all(map(torch.equal, own, item.batch))


def _cat(batches: Sequence[Batch]) -> Batch:
    return tuple(torch.cat(kind) for kind in zip(*batches, strict=True))


def _joined(items: Sequence[Prepared]) -> Batch:
    return _cat([item.batch for item in items])


class Features(Inputs):
    """Outputs of frozen layers, one row for each clip, as inputs of what is trained above them.

    Examples
    --------
    >>> inputs = Features(torch.tensor([[1.0], [2.0], [3.0]]))
    >>> len(inputs), inputs.batch(np.array([2, 0]))[0].tolist()
    (3, [[3.0], [1.0]])
    """

    def __init__(self, *outputs: torch.Tensor):
        self.items, self.ready = range(len(outputs[0])), outputs


def units(backbone: nn.Module, batch: Batch) -> dict[str, list[nn.Module]]:
    """Cut a network into the blocks that are trained or frozen together, from input to output.

    A block is one element of a list in the network (a residual block, a layer), or else a layer by
    itself; a normalisation belongs to the layer before it. Blocks are in the order in which they
    are first used; layers that the vectors do not depend on (a classifier) are left out.

    Parameters
    ----------
    backbone : nn.Module
        Not changed.
    batch : tuple of tensor
        One prepared item or more.

    Returns
    -------
    dict
        Modules by the name of their block; only those with parameters of their own.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> {name: len(modules) for name, modules in units(net, (torch.ones(2, 3, 5, 5),)).items()}
    {'0': 2, '3': 1}
    """
    used: list[str] = []
    names = {module: name for name, module in backbone.named_modules()}
    owners = [module for module in names if module._parameters]
    hooks = [
        module.register_forward_pre_hook(lambda one, _: used.append(names[one])) for module in names
    ]
    trainable = [parameter.requires_grad for parameter in backbone.parameters()]
    training = backbone.training
    backbone.eval().requires_grad_(True)
    try:
        # One backward pass: the vectors depend on the layers that get a gradient
        with torch.enable_grad():
            backbone(*batch).square().sum().backward()
        alive = [m for m in owners if any(p.grad is not None for p in m.parameters(recurse=False))]
    finally:
        for hook in hooks:
            hook.remove()
        backbone.zero_grad(set_to_none=True)
        backbone.train(training)
        for parameter, before in zip(backbone.parameters(), trainable, strict=True):
            parameter.requires_grad = before
    # In the order of the forward pass
    order = {name: position for position, name in reversed(list(enumerate(used)))}
    alive.sort(key=lambda m: order.get(names[m], order.get(_unit(names[m]), len(order))))
    blocks: dict[str, list[nn.Module]] = {}
    for module in alive:
        name = _unit(names[module])
        last = next(reversed(blocks), None)
        flat = all(p is None or p.ndim < 2 for p in module._parameters.values())
        if name not in blocks and last is not None and (flat or _same_parent(name, last)):
            name = last
        blocks.setdefault(name, []).append(module)
    return blocks


def _unit(name: str) -> str:
    """`net.blocks.3.conv` belongs to `net.blocks.3`; a name without a number is its own unit."""
    numbered = re.match(r"(?:[^.]+\.)*?\d+(?=\.|$)", name)
    return numbered[0] if numbered else name


def _same_parent(one: str, other: str) -> bool:
    """Whether two layers without a number lie next to each other in a module below the top."""
    parents = [name.rpartition(".")[0] for name in (one, other)]
    numbered = any(re.search(r"\.\d+$", name) for name in (one, other))
    return parents[0] == parents[1] and parents[0] not in ("", "net") and not numbered


@torch.no_grad()  # not inference_mode: a head is trained on the result
def vectors(
    backbone: nn.Module, inputs: Inputs, device: torch.device, batch_size: int = 32
) -> torch.Tensor:
    """Vectors of all clips in evaluation mode, float32 `(n, dim)` on the CPU."""
    backbone.eval()
    rows = np.array_split(np.arange(len(inputs)), -(-len(inputs) // batch_size))
    batches = (tuple(part.to(device) for part in inputs.batch(batch)) for batch in rows)
    return torch.cat([backbone(*batch).float().cpu() for batch in batches])
