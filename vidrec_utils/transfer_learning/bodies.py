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
from vidrec_utils.encoders import WeightsInfo

Batch = tuple[torch.Tensor, ...]

KEPT = 2 * 1024**3
"""Bytes of prepared inputs that are kept in memory; more are prepared anew for each batch."""


class Body(nn.Module):
    """A copy of an encoder's network, called with a batch of its prepared items.

    Parameters
    ----------
    encoder
        Of text, pictures or clips, as the `load` of each of the three makes it. It stays as it is.

    Attributes
    ----------
    net : nn.Module
        The copy.
    dim : int
        Length of the vectors.
    """

    def __init__(self, encoder: Any):
        super().__init__()
        if not isinstance(getattr(encoder, "net", None), nn.Module):
            raise TypeError(
                f"{getattr(encoder, 'name', encoder)!r} has no network to fine-tune; load one with "
                "video_encoders.load, image_encoders.load or text_encoders.load."
            )
        self.net = copy.deepcopy(encoder.net)
        self.encoder = [encoder]  # in a list: not a module of this one
        self.dim = int(encoder.dim)
        self.modality = encoder.modality

    @property
    def device(self) -> torch.device:
        """That of the encoder."""
        encoder = self.encoder[0]
        return encoder.images.device if hasattr(encoder, "images") else encoder.device

    def prepare(self, items: Sequence) -> Batch:
        """Items as the network wants them, on the CPU."""
        encoder = self.encoder[0]
        if self.modality != "text":
            return (encoder.prepare(items),)
        texts = [encoder.prefix + text for text in items]
        ids = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_tokens)["input_ids"]
        width = max(map(len, ids))
        tokens = torch.zeros(len(ids), width, dtype=torch.int64)
        mask = torch.zeros(len(ids), width, dtype=torch.int64)
        for row, one in enumerate(ids):
            tokens[row, : len(one)], mask[row, : len(one)] = torch.tensor(one), 1
        readable = torch.tensor([[bool(text.strip())] for text in items])  # blank: the zero vector
        return tokens, mask, readable

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)`, the same as the encoder's."""
        if self.modality == "text":
            from vidrec_utils.text_encoders import mean_pool

            tokens, mask, readable = batch
            width = int(mask.sum(dim=1).max())  # of this batch, not of the longest text of all
            tokens, mask = tokens[:, :width], mask[:, :width]
            states = self.net(input_ids=tokens, attention_mask=mask).last_hidden_state
            pooled = nn.functional.normalize(mean_pool(states.float(), mask), dim=1)
            return pooled * readable
        return (self.net.vector if self.modality == "video" else self.net.features)(batch[0])

    def tuned_encoder(self) -> Any:
        """The encoder with this network in place of its own."""
        tuned = copy.copy(self.encoder[0])
        tuned.net = self.net.eval()
        told = WeightsInfo("fine-tuned", None, None, self.encoder[0].weights.licence)
        if hasattr(tuned, "images"):  # a picture network on every frame
            tuned.images = copy.copy(tuned.images)
            tuned.images.net, tuned.images.weights = tuned.net.net, told
            tuned.images.calibrated = True
        else:
            tuned.weights, tuned.calibrated = told, True
        return tuned


@dataclass(frozen=True, eq=False)
class Prepared:
    """An item, and what an encoder makes of it before its network; see `prepare_once`.

    Attributes
    ----------
    item
        A clip or picture as it was.
    batch : tuple of tensor
        A batch of one.
    """

    item: Any
    batch: Batch


def original(item: Any) -> Any:
    """An item as it was before anything prepared it."""
    return item.item if isinstance(item, Prepared) else item


def prepare_once(
    encoder: Any, items: Mapping[Any, Any], kept: int = KEPT, progress: bool = True
) -> dict[Any, Any]:
    """Prepare items for many trainings and tests, where preparing takes long (optical flow does).

    What comes back goes wherever `fine_tune`, `FineTuned.predict` and the like take items. An
    encoder that prepares otherwise than this one still does so itself, from the items as they were.

    Parameters
    ----------
    encoder
        Of clips or pictures. Those of texts are quick, and get their texts back as they are.
    items : mapping
        By id.
    kept : int
        Bytes that may be kept. Items that need more come back as they are.
    progress : bool
        Show a bar when preparing takes longer than two seconds.

    Returns
    -------
    dict
        By id, each a `Prepared`.
    """
    prepare = Body(encoder).prepare
    if _agrees(prepare, next(iter(items.values()), None)):
        return dict(items)
    raw = {name: original(item) for name, item in items.items()}
    first = next(iter(raw.values()), "")
    if isinstance(first, str) or _size(prepare([first])) * len(raw) > kept:
        return raw
    with ThreadPoolExecutor(settings.threads()) as pool:  # OpenCV and torch release Python's lock
        made = pool.map(lambda item: Prepared(item, prepare([item])), raw.values())
        bar = tqdm(made, "preparing", len(raw), unit="clip", delay=2, disable=not progress)
        return dict(zip(raw, bar, strict=True))


class Inputs:
    """Items, prepared once when they fit into memory, and for each batch anew when not.

    Parameters
    ----------
    prepare : callable
        From some items to a batch of tensors.
    items : sequence
        Clips, pictures or texts; something that reads them when asked, as `ClipFiles`, will do.
        Items that are `Prepared` are taken as they are if `prepare` agrees about the first.
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
    """Whether an item was prepared, and as this would do it."""
    if not isinstance(item, Prepared):
        return False
    own = prepare([item.item])
    return len(own) == len(item.batch) and all(map(torch.equal, own, item.batch))


def _cat(batches: Sequence[Batch]) -> Batch:
    return tuple(torch.cat(kind) for kind in zip(*batches, strict=True))


def _joined(items: Sequence[Prepared]) -> Batch:
    return _cat([item.batch for item in items])


class Features(Inputs):
    """What frozen layers answered, a row a clip, as inputs of what is trained above them."""

    def __init__(self, *answers: torch.Tensor):
        self.items, self.ready = range(len(answers[0])), answers


def units(body: nn.Module, batch: Batch) -> dict[str, list[nn.Module]]:
    """Cut a network into the pieces that are trained or frozen together, from input to output.

    A piece is what stands at one place of a list in the network (a block, a layer), or else a layer
    by itself; normalisations go with the layer before. The order is that in which the pieces are
    first used, and what has no part in the vectors (a classifier, a pooling layer) is left out.

    Parameters
    ----------
    body : nn.Module
        Not changed.
    batch : tuple of tensor
        One prepared item or more.

    Returns
    -------
    dict
        Name to modules; only those with parameters of their own.
    """
    used: list[str] = []
    names = {module: name for name, module in body.named_modules()}
    owners = [module for module in names if module._parameters]
    hooks = [
        module.register_forward_pre_hook(lambda one, _: used.append(names[one])) for module in names
    ]
    wanted = [parameter.requires_grad for parameter in body.parameters()]
    training = body.training
    body.eval().requires_grad_(True)
    try:
        with torch.enable_grad():
            body(*batch).square().sum().backward()
        alive = [
            m
            for m in owners
            if any(p.grad is not None for p in m._parameters.values() if p is not None)
        ]
    finally:
        for hook in hooks:
            hook.remove()
        body.zero_grad(set_to_none=True)
        body.train(training)
        for parameter, wish in zip(body.parameters(), wanted, strict=True):
            parameter.requires_grad = wish
    order = {name: place for place, name in reversed(list(enumerate(used)))}
    alive.sort(key=lambda m: order.get(names[m], order.get(_unit(names[m]), len(order))))
    found: dict[str, list[nn.Module]] = {}
    for module in alive:
        name = _unit(names[module])
        last = next(reversed(found), None)
        flat = all(p is None or p.ndim < 2 for p in module._parameters.values())
        if name not in found and last is not None and (flat or _same_parent(name, last)):
            name = last
        found.setdefault(name, []).append(module)
    return found


def _unit(name: str) -> str:
    """`net.blocks.3.conv` is of `net.blocks.3`; a name without a number is its own unit."""
    numbered = re.match(r"(?:[^.]+\.)*?\d+(?=\.|$)", name)
    return numbered[0] if numbered else name


def _same_parent(one: str, other: str) -> bool:
    """Whether two layers without a number stand side by side in a module below the top."""
    parents = [name.rpartition(".")[0] for name in (one, other)]
    numbered = any(re.search(r"\.\d+$", name) for name in (one, other))
    return parents[0] == parents[1] and parents[0] not in ("", "net") and not numbered


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps statistics of its batches."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


@torch.no_grad()  # not inference_mode: a head is trained on the result
def vectors(body: Body, inputs: Inputs, device: torch.device, batch_size: int = 32) -> torch.Tensor:
    """What a body answers in evaluation mode, float32 `(n, dim)` on the CPU."""
    body.eval()
    parts = []
    for rows in np.array_split(np.arange(len(inputs)), -(-len(inputs) // batch_size)):
        batch = tuple(part.to(device) for part in inputs.batch(rows))
        parts.append(body(*batch).float().cpu())
    return torch.cat(parts)
