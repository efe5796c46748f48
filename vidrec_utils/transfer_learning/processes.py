"""Several processes that train one model, as `torchrun` starts them.

    torchrun --nproc_per_node 2 my_training.py

Each process computes its share of every batch; the gradients are added up, so that all of them take
the same step, which is the step that one process alone would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import distributed


def join() -> tuple[int, int]:
    """Return the number of this process and how many there are; 0 and 1 outside of `torchrun`."""
    if not distributed.is_available():
        return 0, 1
    if not distributed.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def add_up(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over processes, in place."""
    if join()[1] > 1:
        distributed.all_reduce(tensor)
    return tensor


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its sum over processes."""
    if join()[1] == 1:
        return
    parameters = list(parameters)
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    whole = torch.cat([part.flatten() for part in parts])  # one message instead of hundreds
    distributed.all_reduce(whole)
    for parameter, part in zip(parameters, whole.split([p.numel() for p in parts]), strict=True):
        parameter.grad = part.view_as(parameter)


def wait() -> None:
    """Until all processes are here."""
    if join()[1] > 1:
        distributed.barrier()
