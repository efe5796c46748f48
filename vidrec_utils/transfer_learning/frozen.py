"""Run what is frozen once: below the lowest trained block, no epoch changes anything.

Where the last block of a deep network is trained, most of a step would go into frozen layers, whose
answers to a clip are the same in every epoch. `find` tells which of those answers reach what is
trained, `keep` takes them down in one pass over the clips, and `Above` is the network that begins
with them.

What reaches what is not read off the architecture: the answers of frozen modules are made the
leaves of one backward pass, and those that get a gradient are needed. A network that computes with
them in ways without gradients (a threshold, say) would be cut wrongly. So nothing is trusted: the
cut network must answer to every clip, in another order and in other batches, as the whole one did.
Where it does not, or cannot be run like this, the whole one is trained, as it would be anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vidrec_utils.transfer_learning.bodies import KEPT, Batch, Features, Inputs, vectors

SHARE = 4
"""Kept answers may take this part of what prepared inputs may, beside which they lie in memory."""

OTHER_BATCH = 24
"""Clips in a batch of the check: not the number of those in which answers were taken down."""


@dataclass(frozen=True, eq=False)
class Place:
    """A frozen module, and the shape of what it answers.

    Attributes
    ----------
    module : nn.Module
        Of the network.
    rows : int
        Rows of its answer for each clip: more than one where frames lie in the batch.
    answer : tensor
        Its answer to two clips or one.
    """

    module: nn.Module
    rows: int
    answer: torch.Tensor

    def zeros(self, n: int) -> torch.Tensor:
        """An answer to `n` clips that nobody will use."""
        return self.answer.new_zeros((n * self.rows, *self.answer.shape[1:]))

    def by_clip(self, answer: torch.Tensor) -> torch.Tensor:
        """An answer as `(n, rows, ...)`."""
        return answer.unflatten(0, (-1, self.rows))

    def laid_out(self, kept: torch.Tensor) -> torch.Tensor:
        """A kept answer `(n, rows, ...)` as the module gives it."""
        answer = kept.flatten(0, 1)
        if answer.ndim == 4 and self.answer.is_contiguous(memory_format=torch.channels_last):
            answer = answer.contiguous(memory_format=torch.channels_last)
        return answer


@dataclass(frozen=True, eq=False)
class Frozen:
    """What of a network need not be run again.

    Attributes
    ----------
    needed, idle : list of Place
        Frozen modules whose answers reach what is trained, and the others.
    batch : tuple of tensor
        A prepared item, for its shape.
    """

    needed: list[Place]
    idle: list[Place]
    batch: Batch


def find(
    body: nn.Module,
    batch: Batch,
    resting: Sequence[nn.Module] = (),
    clips: int = 1,
    most: int = KEPT // SHARE,
) -> Frozen | None:
    """Find the frozen modules of a network, and which of their answers are needed above.

    Parameters
    ----------
    body : nn.Module
        From a batch to vectors. What is trained has `requires_grad`. Left in evaluation mode.
    batch : tuple of tensor
        Prepared items, two if there are.
    resting : sequence of Module
        Stay in evaluation mode in training. Dropout outside of them draws anew in each step, so
        neither its answers are kept nor what hangs on them.
    clips : int
        Whose answers are to be kept.
    most : int
        Bytes that they may take.

    Returns
    -------
    Frozen or None
        None where nothing is gained or it cannot be done: no module with parameters is frozen, what
        is trained reads the clips themselves, clips are of different lengths (as texts are), the
        answers would take too much memory, or the cut network answers otherwise than the whole.
    """
    body.eval()
    if not all(part.is_floating_point() for part in batch):
        return None
    if all(p.requires_grad for p in body.parameters()):
        return None
    try:
        places = _frozen_places(body, batch, _live(body, resting))
        if not any(p.numel() for place in places for p in place.module.parameters()):
            return None
        found = _cut(body, batch, places)
        if found is None:
            return None
        size = sum(place.answer.nbytes for place in found.needed) / len(batch[0]) * clips
        return found if size <= most and _agrees(body, found, batch) else None
    except Exception:  # whatever a strange network raises when it is run in parts
        return None


class Above(nn.Module):
    """A network that is called with what its frozen part answered to a batch, kept by `keep`.

    Its parts have the names that they have in the network.

    Parameters
    ----------
    network : nn.Module
        From a batch of prepared items to anything.
    found : Frozen
        Of it, or of a part of it.
    """

    def __init__(self, network: nn.Module, found: Frozen):
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        self.whole = [network]  # in a list: not a part of its own
        self.found = found

    def forward(self, *kept: torch.Tensor) -> torch.Tensor:
        """What the network answers; each of `kept` is `(n, rows, ...)`."""
        n = len(kept[0])
        answers = {place.module: place.zeros(n) for place in self.found.idle}
        for place, answer in zip(self.found.needed, kept, strict=True):
            answers[place.module] = place.laid_out(answer)
        blank = (part.expand(n, *part.shape[1:]).contiguous() for part in self.found.batch)
        with answering(answers):
            return self.whole[0](*blank)


def keep(
    body: nn.Module, found: Frozen, inputs: Inputs, device: torch.device
) -> tuple[torch.Tensor, Features | None]:
    """Run a network once, and keep what its frozen part answers.

    Returns
    -------
    vectors : tensor
        What the network answers, `(n, dim)`, on the CPU.
    kept : Features or None
        For `Above`, in the same order. None if with them the network would answer otherwise.
    """
    caught: list[list[torch.Tensor]] = [[] for _ in found.needed]

    def catch(into: list[torch.Tensor]):
        return lambda _module, _inputs, answer: into.append(answer.detach().cpu().clone())

    with ExitStack() as hooks:
        for place, into in zip(found.needed, caught, strict=True):
            hooks.enter_context(_removed(place.module.register_forward_hook(catch(into))))
        answered = vectors(body, inputs, device)
    try:
        pairs = zip(found.needed, caught, strict=True)
        kept = Features(*(place.by_clip(torch.cat(parts)) for place, parts in pairs))
        if any(len(part) != len(inputs) for part in kept.ready):
            return answered, None
        above = Above(body, found)
        with torch.no_grad():
            for rows in np.split(np.arange(len(inputs))[::-1].copy(), _cuts(len(inputs))):
                again = above(*(part.to(device) for part in kept.batch(rows))).float().cpu()
                if not _same(again, answered[torch.as_tensor(rows)]):
                    return answered, None
    except (RuntimeError, ValueError, IndexError):  # clips of another length than those of `find`
        return answered, None
    return answered, kept


def _cuts(n: int) -> Iterable[int]:
    return range(OTHER_BATCH, n, OTHER_BATCH)


@contextmanager
def answering(answers: Mapping[nn.Module, torch.Tensor]) -> Iterator[None]:
    """Let modules answer with given tensors, whatever they are called with."""
    before = {module: module.__dict__.get("forward") for module in answers}
    try:
        for module, answer in answers.items():
            module.forward = lambda *_, answer=answer, **__: answer
        yield
    finally:
        for module, forward in before.items():
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.forward = forward


def _live(body: nn.Module, resting: Sequence[nn.Module]) -> list[nn.Module]:
    """Modules that may draw at random in training: dropout, and what is not PyTorch's own."""
    rests = {module for one in resting for module in one.modules()}

    def draws(module: nn.Module) -> bool:
        if isinstance(module, nn.modules.dropout._DropoutNd):
            return True
        known = type(module).__module__.startswith("torch.nn.")
        return not known and not any(True for _ in module.parameters())

    return [module for module in body.modules() if module not in rests and draws(module)]


def _frozen_places(body: nn.Module, batch: Batch, live: Sequence[nn.Module]) -> list[Place]:
    """The outermost modules that answer with one tensor which nothing trained or live touched."""
    said: dict[nn.Module, list] = {}

    def touch(_module: nn.Module, _inputs: object, answer: object) -> object:
        plain = torch.is_tensor(answer) and answer.is_floating_point() and not answer.requires_grad
        return answer.clone().requires_grad_() if plain else answer

    def note(module: nn.Module, _inputs: object, answer: object) -> None:
        # a copy: what comes after may write into the answer
        copy = answer.detach().clone() if torch.is_tensor(answer) else None
        touched = torch.is_tensor(answer) and answer.requires_grad
        said.setdefault(module, []).append((copy, touched))

    with ExitStack() as hooks, torch.enable_grad():
        for module in live:
            hooks.enter_context(_removed(module.register_forward_hook(touch)))
        for module in body.modules():
            hooks.enter_context(_removed(module.register_forward_hook(note)))
        body(*batch)

    places = []

    def visit(module: nn.Module) -> None:
        (answer, touched), *again = said.get(module) or [(None, True)]
        shaped = answer is not None and answer.ndim and answer.is_floating_point()
        if shaped and not touched and not again and len(answer) % len(batch[0]) == 0:
            places.append(Place(module, len(answer) // len(batch[0]), answer))
        else:
            for child in module.children():
                visit(child)

    visit(body)
    return places


def _cut(body: nn.Module, batch: Batch, places: Sequence[Place]) -> Frozen | None:
    """Which answers have a part in the network's own; None if the clips themselves have."""
    answers = [place.answer.clone().requires_grad_() for place in places]
    clips = [part.clone().requires_grad_() for part in batch]
    with torch.enable_grad():
        # copies: a network may write into what it is given, but not into a leaf
        given = {p.module: a.clone() for p, a in zip(places, answers, strict=True)}
        with answering(given):
            end = body(*(part.clone() for part in clips))
        if not end.requires_grad:
            return None
        reached = torch.autograd.grad(end.sum(), [*clips, *answers], allow_unused=True)
    if any(gradient is not None for gradient in reached[: len(clips)]):
        return None
    used = [gradient is not None for gradient in reached[len(clips) :]]
    return Frozen(
        [place for place, is_used in zip(places, used, strict=True) if is_used],
        [place for place, is_used in zip(places, used, strict=True) if not is_used],
        tuple(part[:1] for part in batch),
    )


@torch.no_grad()
def _agrees(body: nn.Module, found: Frozen, batch: Batch) -> bool:
    """Whether the cut network answers as the whole one, also after what is trained has changed."""
    above, kept = Above(body, found), [place.by_clip(place.answer) for place in found.needed]
    trained = [p for p in body.parameters() if p.requires_grad]
    before = [p.clone() for p in trained]
    draws = torch.Generator().manual_seed(0)
    n = len(batch[0])
    try:
        for _ in range(2):
            for rows in ([*range(n)], [*range(n)][::-1], [n - 1]):
                whole = body(*(part[rows] for part in batch))
                if not _same(above(*(part[rows] for part in kept)), whole):
                    return False
            for parameter in trained:
                noise = torch.randn(parameter.shape, generator=draws).to(parameter)
                parameter.add_(0.1 * (parameter.abs().mean() + 0.1) * noise)
    finally:
        for parameter, old in zip(trained, before, strict=True):
            parameter.copy_(old)
    return True


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Up to rounding, which depends on how many clips go through a network at once."""
    close = 1e-3 * float(other.abs().nanmean()) + 1e-7
    return one.shape == other.shape and torch.allclose(one, other, 1e-3, close, equal_nan=True)


@contextmanager
def _removed(hook: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """The hook is gone afterwards."""
    try:
        yield
    finally:
        hook.remove()
