"""Run what is frozen once: below the lowest trained block, no epoch changes anything.

Where the last block of a deep network is trained, most of a step would go into frozen layers, whose
outputs for a clip are the same in every epoch. `find` tells which of those outputs the trained
layers depend on, `cache` computes them in one pass over the clips, and `CachedNetwork` is the
network that begins with them. `run_once` does all three.

The dependencies are not read off the architecture: the outputs of frozen modules are made the
leaves of one backward pass, and those that get a gradient are needed. A network that computes with
them in ways without gradients (a threshold, say) would be cut wrongly. So nothing is trusted: the
cut network must give the same output for every clip, in another order and in other batches, as the
whole one did. Where it does not, or cannot be run like this, the whole one is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from vidrec_utils.transfer_learning.backbone import KEPT, Batch, Features, Inputs, vectors

SHARE = 4
"""Cached outputs may take this part of the memory for prepared inputs, which are kept as well."""

OTHER_BATCH = 24
"""Clips in a batch of the check: another number than in the batches whose outputs were cached."""


@dataclass(frozen=True, eq=False)
class FrozenModule:
    """A frozen module, and the shape of its output.

    Attributes
    ----------
    module : nn.Module
        A module of the network.
    rows : int
        Rows of its output for each clip: more than one where frames lie in the batch.
    output : tensor
        Its output for one clip or two.
    """

    module: nn.Module
    rows: int
    output: torch.Tensor

    def zeros(self, n: int) -> torch.Tensor:
        """A placeholder for the output for `n` clips, which nothing depends on."""
        return self.output.new_zeros((n * self.rows, *self.output.shape[1:]))

    def by_clip(self, output: torch.Tensor) -> torch.Tensor:
        """An output as `(n, rows, ...)`."""
        return output.unflatten(0, (-1, self.rows))

    def laid_out(self, cached: torch.Tensor) -> torch.Tensor:
        """A cached output `(n, rows, ...)` in the shape and layout that the module gives it."""
        output = cached.flatten(0, 1)
        if output.ndim == 4 and self.output.is_contiguous(memory_format=torch.channels_last):
            output = output.contiguous(memory_format=torch.channels_last)
        return output


@dataclass(frozen=True, eq=False)
class FrozenPart:
    """The frozen modules of a network whose outputs can be cached.

    Attributes
    ----------
    needed, unused : list of FrozenModule
        Modules whose outputs the trained layers depend on, and the others.
    batch : tuple of tensor
        A prepared item, for its shape.
    """

    needed: list[FrozenModule]
    unused: list[FrozenModule]
    batch: Batch


@dataclass(frozen=True, eq=False)
class Trainable:
    """What is left to train once the frozen part has been run.

    Attributes
    ----------
    vectors : tensor, shape (n, dim)
        Vectors of the training clips before anything is trained, on the CPU.
    inputs, validation : Inputs
        Inputs of the network that is trained; validation may be None.
    network : callable
        From the whole model, a backbone and a head, to the part that takes these inputs.
    """

    vectors: torch.Tensor
    inputs: Inputs
    validation: Inputs | None
    network: Callable[[nn.Module], nn.Module]


def run_once(
    backbone: nn.Module,
    batch: Batch,
    eval_modules: Sequence[nn.Module],
    inputs: Inputs,
    validation: Inputs | None,
    device: torch.device,
) -> Trainable:
    """Run the frozen part of a network once for each clip; return what is left to train.

    If the whole backbone is frozen, that is the head, on vectors; if no output can be cached, it is
    the whole model, on the inputs as they are.
    """
    if not any(p.requires_grad for p in backbone.parameters()):
        features = vectors(backbone, inputs, device)
        if validation is not None:
            validation = Features(vectors(backbone, validation, device))
        return Trainable(features, Features(features), validation, lambda model: model.head)

    total = len(inputs) + (0 if validation is None else len(validation))
    part = find(backbone, batch, eval_modules, total)
    if part is None:
        return Trainable(vectors(backbone, inputs, device), inputs, validation, lambda model: model)
    features, cached = cache(backbone, part, inputs, device)
    held = None
    if cached is not None and validation is not None:
        _, held = cache(backbone, part, validation, device)
    if cached is None or (held is None) != (validation is None):
        return Trainable(features, inputs, validation, lambda model: model)
    return Trainable(features, cached, held, lambda model: CachedNetwork(model, part))


def find(
    backbone: nn.Module,
    batch: Batch,
    eval_modules: Sequence[nn.Module] = (),
    clips: int = 1,
    most: int = KEPT // SHARE,
) -> FrozenPart | None:
    """Find the frozen modules of a network, and which of their outputs are needed above.

    Parameters
    ----------
    backbone : nn.Module
        Takes a batch and returns vectors. Trained parameters have `requires_grad`. It is left in
        evaluation mode.
    batch : tuple of tensor
        Prepared items, two if there are two.
    eval_modules : sequence of Module
        Modules that stay in evaluation mode in training. Dropout in other modules draws anew in
        each step, so its outputs, and everything computed from them, are not cached.
    clips : int
        Number of clips whose outputs are to be cached.
    most : int
        Bytes that they may take.

    Returns
    -------
    FrozenPart or None
        None where nothing is gained or it cannot be done: no module with parameters is frozen, the
        trained layers read the clips themselves, clips are of different lengths (as texts are), the
        outputs would take too much memory, or the cut network gives other outputs than the whole.
    """
    backbone.eval()
    texts = not all(part.is_floating_point() for part in batch)
    if texts or all(p.requires_grad for p in backbone.parameters()):
        return None
    try:
        modules = _frozen_modules(backbone, batch, _random_modules(backbone, eval_modules))
        if not any(p.numel() for frozen in modules for p in frozen.module.parameters()):
            return None
        part = _cut(backbone, batch, modules)
        if part is None:
            return None
        size = sum(frozen.output.nbytes for frozen in part.needed) / len(batch[0]) * clips
        return part if size <= most and _agrees(backbone, part, batch) else None
    except Exception:
        # The network may be anybody's code, and is run here in ways that it was not written for.
        # Whatever it raises, training it whole is right; if the network itself is broken, that
        # raises the same error again
        return None


class CachedNetwork(nn.Module):
    """A network that is called with the cached outputs of its frozen part.

    Its children have the names that they have in the network.

    Parameters
    ----------
    network : nn.Module
        Takes a batch of prepared items.
    part : FrozenPart
        The frozen part of the network, or of a part of it.
    """

    def __init__(self, network: nn.Module, part: FrozenPart):
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        self.whole = (network,)  # in a tuple: PyTorch must not take it for a child
        self.part = part

    def forward(self, *cached: torch.Tensor) -> torch.Tensor:
        """The network's output; each of `cached` is `(n, rows, ...)`."""
        n = len(cached[0])
        outputs = {frozen.module: frozen.zeros(n) for frozen in self.part.unused}
        for frozen, output in zip(self.part.needed, cached, strict=True):
            outputs[frozen.module] = frozen.laid_out(output)
        blank = (part.expand(n, *part.shape[1:]).contiguous() for part in self.part.batch)
        with replaced_outputs(outputs):
            return self.whole[0](*blank)


def cache(
    backbone: nn.Module, part: FrozenPart, inputs: Inputs, device: torch.device
) -> tuple[torch.Tensor, Features | None]:
    """Run a network once for each clip, and keep the outputs of its frozen part.

    Returns
    -------
    vectors : tensor
        Outputs of the network, `(n, dim)`, on the CPU.
    cached : Features or None
        Inputs of `CachedNetwork`, in the same order. None if with them the network's outputs would
        be different.
    """
    outputs: list[list[torch.Tensor]] = [[] for _ in part.needed]

    def catch(into: list[torch.Tensor]) -> Callable:
        return lambda _module, _inputs, output: into.append(output.detach().cpu().clone())

    with ExitStack() as hooks:
        for frozen, into in zip(part.needed, outputs, strict=True):
            hooks.enter_context(frozen.module.register_forward_hook(catch(into)))
        computed = vectors(backbone, inputs, device)
    try:
        pairs = zip(part.needed, outputs, strict=True)
        cached = Features(*(frozen.by_clip(torch.cat(batches)) for frozen, batches in pairs))
        if any(len(output) != len(inputs) for output in cached.ready):
            return computed, None
        network = CachedNetwork(backbone, part)
        with torch.no_grad():
            cuts = range(OTHER_BATCH, len(inputs), OTHER_BATCH)
            for rows in np.split(np.arange(len(inputs))[::-1].copy(), list(cuts)):
                batch = (output.to(device) for output in cached.batch(rows))
                if not _same(network(*batch).float().cpu(), computed[torch.as_tensor(rows)]):
                    return computed, None
    except (RuntimeError, ValueError, IndexError):  # clips of another length than those of `find`
        return computed, None
    return computed, cached


@contextmanager
def replaced_outputs(outputs: Mapping[nn.Module, torch.Tensor]) -> Iterator[None]:
    """Let modules return fixed tensors, whatever they are called with."""
    before = {module: module.__dict__.get("forward") for module in outputs}
    try:
        for module, output in outputs.items():
            module.forward = lambda *_, output=output, **__: output
        yield
    finally:
        for module, forward in before.items():
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.forward = forward


def _random_modules(backbone: nn.Module, eval_modules: Sequence[nn.Module]) -> list[nn.Module]:
    """Modules that may draw at random in training: dropout, and what is not PyTorch's own."""
    fixed = {module for one in eval_modules for module in one.modules()}

    def draws(module: nn.Module) -> bool:
        if isinstance(module, nn.modules.dropout._DropoutNd):
            return True
        known = type(module).__module__.startswith("torch.nn.")
        return not known and not any(True for _ in module.parameters())

    return [module for module in backbone.modules() if module not in fixed and draws(module)]


def _frozen_modules(
    backbone: nn.Module, batch: Batch, random: Sequence[nn.Module]
) -> list[FrozenModule]:
    """The outermost modules with one output tensor that does not depend on trained or random ones.

    Dependence is seen by `requires_grad`: the outputs of random modules get it here.
    """
    outputs: dict[nn.Module, list] = {}

    def mark(_module: nn.Module, _inputs: object, output: Any) -> Any:
        plain = torch.is_tensor(output) and output.is_floating_point() and not output.requires_grad
        return output.clone().requires_grad_() if plain else output

    def note(module: nn.Module, _inputs: object, output: Any) -> None:
        # a copy: later layers may write into the output
        copy = output.detach().clone() if torch.is_tensor(output) else None
        dependent = torch.is_tensor(output) and output.requires_grad
        outputs.setdefault(module, []).append((copy, dependent))

    with ExitStack() as hooks, torch.enable_grad():
        for module in random:
            hooks.enter_context(module.register_forward_hook(mark))
        for module in backbone.modules():
            hooks.enter_context(module.register_forward_hook(note))
        backbone(*batch)

    frozen = []

    def visit(module: nn.Module) -> None:
        (output, dependent), *again = outputs.get(module) or [(None, True)]
        shaped = output is not None and output.ndim and output.is_floating_point()
        if shaped and not dependent and not again and len(output) % len(batch[0]) == 0:
            frozen.append(FrozenModule(module, len(output) // len(batch[0]), output))
        else:
            for child in module.children():
                visit(child)

    visit(backbone)
    return frozen


def _cut(backbone: nn.Module, batch: Batch, modules: Sequence[FrozenModule]) -> FrozenPart | None:
    """Which cached outputs the result depends on; None if it also depends on the raw clips."""
    outputs = [frozen.output.clone().requires_grad_() for frozen in modules]
    clips = [part.clone().requires_grad_() for part in batch]
    with torch.enable_grad():
        # copies: a network may write into its inputs, but not into a leaf
        copies = {frozen.module: o.clone() for frozen, o in zip(modules, outputs, strict=True)}
        with replaced_outputs(copies):
            end = backbone(*(part.clone() for part in clips))
        if not end.requires_grad:
            return None
        gradients = torch.autograd.grad(end.sum(), [*clips, *outputs], allow_unused=True)
    if any(gradient is not None for gradient in gradients[: len(clips)]):
        return None
    used = [gradient is not None for gradient in gradients[len(clips) :]]
    return FrozenPart(
        [frozen for frozen, is_used in zip(modules, used, strict=True) if is_used],
        [frozen for frozen, is_used in zip(modules, used, strict=True) if not is_used],
        tuple(part[:1] for part in batch),
    )


@torch.no_grad()
def _agrees(backbone: nn.Module, part: FrozenPart, batch: Batch) -> bool:
    """Whether the cut network equals the whole one, also after trained parameters have changed."""
    network = CachedNetwork(backbone, part)
    cached = [frozen.by_clip(frozen.output) for frozen in part.needed]
    trained = [p for p in backbone.parameters() if p.requires_grad]
    before = [p.clone() for p in trained]
    draws = torch.Generator().manual_seed(0)
    n = len(batch[0])
    try:
        for _ in range(2):
            for rows in ([*range(n)], [*range(n)][::-1], [n - 1]):
                whole = backbone(*(part[rows] for part in batch))
                if not _same(network(*(output[rows] for output in cached)), whole):
                    return False
            for parameter in trained:
                noise = torch.randn(parameter.shape, generator=draws).to(parameter)
                parameter.add_(0.1 * (parameter.abs().mean() + 0.1) * noise)
    finally:
        for parameter, old in zip(trained, before, strict=True):
            parameter.copy_(old)
    return True


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal up to rounding, which depends on how many clips go through a network at once."""
    close = 1e-3 * float(other.abs().nanmean()) + 1e-7
    return one.shape == other.shape and torch.allclose(one, other, 1e-3, close, equal_nan=True)
