"""Several processes that train one model, as `torchrun` starts them.

    torchrun --nproc_per_node 2 my_training.py

Each process computes its share of every batch; the gradients are added up, so that all of them take
the same step, which is the step that one process alone would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import torch
from torch import distributed


def join() -> tuple[int, int]:
    """Return the number of this process and how many there are; 0 and 1 outside of `torchrun`."""
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not distributed.is_available() or (alone and not distributed.is_initialized()):
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def share(rows: np.ndarray) -> np.ndarray:
    """Return the rows that this process computes: every n-th of n processes."""
    rank, world = join()
    return rows[rank::world]


def add_up(tensor: torch.Tensor) -> torch.Tensor:
    """Replace a tensor by its sum over all processes, in place."""
    if join()[1] > 1:
        distributed.all_reduce(tensor)
    return tensor


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its sum over all processes."""
    if join()[1] == 1:
        return
    parameters = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    joined = torch.cat([g.flatten() for g in gradients])  # one message instead of hundreds
    distributed.all_reduce(joined)
    sums = joined.split([p.numel() for p in gradients])
    for parameter, gradient, total in zip(parameters, gradients, sums, strict=True):
        parameter.grad = total.view_as(gradient)


def wait() -> None:
    """Block until every process has reached this point."""
    if join()[1] > 1:
        distributed.barrier()
