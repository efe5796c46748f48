"""Batch-norm statistics of untrained networks, estimated on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """All batch-norm layers of a network."""
    return [module for module in net.modules() if isinstance(module, _BatchNorm)]


def estimate_batch_norm(
    net: nn.Module,
    forward: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterable[torch.Tensor],
) -> None:
    """Replace a network's batch-norm statistics, in place, by the mean over several batches.

    Fresh statistics (mean 0, variance 1) describe no layer of a random network: activations fade
    from layer to layer, all inputs get nearly the same vector, and the network scores exactly
    chance. That would be an artefact, not a baseline.

    Parameters
    ----------
    net : nn.Module
        Left in evaluation mode.
    forward : callable
        Run on each batch; layers that it does not reach keep fresh statistics.
    batches : iterable of tensor
        Prepared inputs.
    """
    norms = batch_norms(net)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        with torch.inference_mode():
            for batch in batches:
                forward(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
