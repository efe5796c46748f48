"""Run what is frozen once: below the lowest trained block, no epoch changes anything.

Where the last block of a deep network is trained, most of a step would go into frozen layers, whose
answers to a clip are the same in every epoch. `find` tells which of those answers reach what is
trained, `keep` takes them down in one pass over the clips, and `Above` is the network that begins
with them.

What is needed is not read off the architecture, but tried: if a module answers with NaN and the
network's answer is finite nevertheless, nobody above needs that module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from vidrec_utils.transfer_learning.bodies import KEPT, Batch, Features, Inputs, vectors


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


def find(body: nn.Module, batch: Batch, clips: int = 1, most: int = KEPT) -> Frozen | None:
    """Find the frozen modules of a network, and which of their answers are needed above.

    Parameters
    ----------
    body : nn.Module
        From a batch to vectors. What is trained has `requires_grad`. Left in evaluation mode.
    batch : tuple of tensor
        Prepared items, two if there are.
    clips : int
        Whose answers are to be kept.
    most : int
        Bytes that they may take.

    Returns
    -------
    Frozen or None
        None where nothing is gained or it cannot be done: no module is frozen, what is trained
        reads the clips themselves, clips are of different lengths (as texts are), or the answers
        would take too much memory.
    """
    body.eval()
    if not all(part.is_floating_point() for part in batch):
        return None
    places = _frozen_places(body, batch)
    if not places:
        return None
    answers = {place.module: place.answer for place in places}
    blank = tuple(torch.full_like(part, torch.nan) for part in batch)
    if not _finite(body, blank, answers):
        return None
    needed, idle = [], []
    for place in places:
        without = answers | {place.module: torch.full_like(place.answer, torch.nan)}
        (idle if _finite(body, batch, without) else needed).append(place)
    n = len(batch[0])
    if sum(place.answer.nbytes for place in needed) / n * clips > most:
        return None
    found = Frozen(needed, idle, tuple(part[:1] for part in batch))
    above, kept = Above(body, found), _kept(found, [p.answer for p in needed])
    with torch.no_grad():  # a network that mixes the clips of a batch cannot be cut like this
        same = torch.allclose(above(*kept), body(*batch), rtol=1e-3, atol=1e-5)
    return found if same else None


class Above(nn.Module):
    """A network that is called with what its frozen part answered to a batch, kept by `keep`.

    Parameters
    ----------
    network : nn.Module
        From a batch of prepared items to anything.
    found : Frozen
        Of it, or of a part of it.
    """

    def __init__(self, network: nn.Module, found: Frozen):
        super().__init__()
        self.network, self.found = network, found

    def forward(self, *kept: torch.Tensor) -> torch.Tensor:
        """What the network answers; each of `kept` is `(n, rows, ...)`."""
        n = len(kept[0])
        answers = {place.module: place.zeros(n) for place in self.found.idle}
        for place, answer in zip(self.found.needed, kept, strict=True):
            answers[place.module] = place.laid_out(answer)
        blank = (part.expand(n, *part.shape[1:]) for part in self.found.batch)
        with answering(answers):
            return self.network(*blank)


def keep(
    body: nn.Module, found: Frozen, inputs: Inputs, device: torch.device
) -> tuple[torch.Tensor, Features]:
    """Run a network once, and keep what its frozen part answers.

    Returns
    -------
    vectors : tensor
        What the network answers, `(n, dim)`, on the CPU.
    kept : Features
        For `Above`, in the same order.
    """
    caught: list[list[torch.Tensor]] = [[] for _ in found.needed]

    def catch(into: list[torch.Tensor]):
        return lambda _module, _inputs, answer: into.append(answer.detach().cpu().clone())

    with ExitStack() as hooks:
        for place, into in zip(found.needed, caught, strict=True):
            hooks.enter_context(_removed(place.module.register_forward_hook(catch(into))))
        answered = vectors(body, inputs, device)
    return answered, Features(*_kept(found, [torch.cat(parts) for parts in caught]))


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


def _frozen_places(body: nn.Module, batch: Batch) -> list[Place]:
    """The outermost modules that answer with one tensor which nothing trained has touched."""
    said: dict[nn.Module, list] = {}

    def note(module: nn.Module, _inputs: object, answer: object) -> None:
        # a copy: what comes after may write into the answer
        copy = answer.detach().clone() if torch.is_tensor(answer) else None
        touched = torch.is_tensor(answer) and answer.requires_grad
        said.setdefault(module, []).append((copy, touched))

    with ExitStack() as hooks, torch.enable_grad():
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


@contextmanager
def _removed(hook: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """The hook is gone afterwards."""
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def _finite(body: nn.Module, batch: Batch, answers: Mapping[nn.Module, torch.Tensor]) -> bool:
    copies = {module: answer.clone() for module, answer in answers.items()}
    with answering(copies):
        return bool(body(*batch).isfinite().all())


def _kept(found: Frozen, answers: list[torch.Tensor]) -> Batch:
    return tuple(
        answer.unflatten(0, (-1, place.rows))
        for place, answer in zip(found.needed, answers, strict=True)
    )
