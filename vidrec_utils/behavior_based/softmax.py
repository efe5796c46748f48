"""The softmax over a catalogue: exactly, in chunks, or from a sample of its videos.

The loss of a state that is followed by video i is `-s_i + log sum_j exp(s_j)` over all videos j,
with `s_j` the product of the state and the vector of j. Scores of all states and videos at once
take more memory than the model itself; a chunk of the states at a time does not. Where even the
time is too much, a sample of the videos stands for the catalogue.

References
----------
Bengio, Senécal: Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic
Language Model. IEEE Transactions on Neural Networks 19, 2008.
Khrylchenko et al.: Correcting the LogQ Correction. RecSys 2025 (arXiv:2507.09331).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

CHUNK_VALUES = 2**21
"""Scores held at once (8 MB of float32)."""


class _ChunkedSoftmax(torch.autograd.Function):
    """Mean cross-entropy, whose gradient is computed along with it, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, rows: int
    ) -> torch.Tensor:
        total = states.new_zeros(())
        of_states = torch.empty_like(states)  # d loss / d states (n, dim)
        of_table = torch.zeros_like(table)  # d loss / d table (n_videos, dim)
        for start in range(0, len(states), rows):
            chunk = slice(start, start + rows)
            target = targets[chunk, None]  # (rows, 1)
            scores = states[chunk] @ table.T  # s (rows, n_videos)
            norm = scores.logsumexp(dim=1, keepdim=True)  # log sum_j exp(s_j) (rows, 1)
            total += (norm - scores.gather(1, target)).sum()
            # d loss / d s = softmax(s) - one-hot of the target  (rows, n_videos)
            slope = scores.sub_(norm).exp_()
            slope.scatter_add_(1, target, slope.new_full(target.shape, -1.0))
            of_states[chunk] = slope @ table
            of_table.addmm_(slope.T, states[chunk])
        ctx.save_for_backward(of_states.div_(len(states)), of_table.div_(len(states)))
        return total / len(states)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_states, of_table = ctx.saved_tensors
        return gradients[0] * of_states, gradients[0] * of_table, None, None


def chunked_softmax(
    states: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    chunk_values: int = CHUNK_VALUES,
) -> torch.Tensor:
    """Mean softmax loss over the whole catalogue, with the memory of one chunk of the scores.

    Value and gradient are those of `cross_entropy(states @ table.T, targets)`; the gradient has no
    gradient of its own.

    Parameters
    ----------
    states : Tensor, shape (n, dim)
        States of a user, at least one.
    table : Tensor, shape (n_videos, dim)
        Vectors of all videos.
    targets : Tensor of int64, shape (n,)
        Which video followed each state.
    chunk_values : int
        How many scores are held at once; at least one state's are.

    Returns
    -------
    Tensor
        One number.

    Examples
    --------
    Without any preference the loss is the logarithm of the number of videos:

    >>> loss = chunked_softmax(torch.zeros(3, 2), torch.ones(4, 2), torch.tensor([0, 1, 2]))
    >>> print(f"{loss:.4f}")  # ln 4
    1.3863
    """
    rows = max(1, chunk_values // len(table))
    loss: torch.Tensor = _ChunkedSoftmax.apply(states, table, targets, rows)
    return loss


def sampled_softmax(
    states: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    log_q: torch.Tensor,
) -> torch.Tensor:
    """Mean softmax loss in which a sample of videos stands for the catalogue.

    With m videos drawn with the probabilities `q`, the sum over the catalogue is replaced by

        exp(s_i) + sum over the drawn j other than i of exp(s_j - log(m q_j)),

    which has exactly the expectation of the full sum: each drawn video stands for `1 / (m q_j)`,
    and the target itself, which is always there, is not corrected. So loss and gradient tend to
    those of the full softmax as m grows (the logarithm has a bias of order 1 / m).

    Parameters
    ----------
    states : Tensor, shape (n, dim)
        States of a user, at least one.
    table : Tensor, shape (n_videos, dim)
        Vectors of all videos.
    targets : Tensor of int64, shape (n,)
        Which video followed each state.
    negatives : Tensor of int64, shape (m,)
        Videos drawn with replacement, the same for all states.
    log_q : Tensor, shape (n_videos,)
        Logarithm of the probability with which each video is drawn.

    Returns
    -------
    Tensor
        One number.

    Examples
    --------
    Two videos are drawn out of four, all alike, so each stands for two of them:

    >>> states, table = torch.zeros(1, 2), torch.ones(4, 2)
    >>> log_q = torch.full((4,), 0.25).log()
    >>> loss = sampled_softmax(states, table, torch.tensor([0]), torch.tensor([1, 2]), log_q)
    >>> print(f"{loss:.4f}")  # ln (1 + 2 + 2)
    1.6094
    """
    m = torch.tensor(len(negatives), dtype=states.dtype, device=states.device)
    own = (states * table[targets]).sum(dim=1, keepdim=True)  # s_i (n, 1)
    # s_j - log(m q_j) of the drawn videos  (n, m)
    others = states @ table[negatives].T - (log_q[negatives] + m.log())
    # a copy of the target is no negative
    others = others.masked_fill(targets[:, None] == negatives[None, :], -torch.inf)
    # -s_i + log(exp(s_i) + sum_j exp(s_j - log(m q_j)))
    logits = torch.cat([own, others], dim=1)  # (n, 1 + m)
    return F.cross_entropy(logits, torch.zeros_like(targets))
