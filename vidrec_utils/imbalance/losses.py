"""Losses and weights for classes of unequal size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from vidrec_utils import arguments


def focal_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    gamma: float = 2.0,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy that counts an example less, the surer the model is of its class.

    `FL = -a_t (1 - p_t)^gamma log p_t`, averaged over the examples, where `p_t` is the probability
    of the example's class and `a_t` its weight.

    Parameters
    ----------
    logits : Tensor, shape (n, classes)
        Before the softmax.
    targets : Tensor of int64, shape (n,)
        The classes.
    gamma : float
        How much it looks away from sure examples; with 0 it is the cross-entropy.
    weight : Tensor, shape (classes,), optional
        Weights of the classes; 1 by default. Unlike `torch.nn.functional.cross_entropy`, the mean
        is over the number of examples, not over the sum of their weights, as in the paper.

    Returns
    -------
    Tensor
        A number.

    Raises
    ------
    ValueError
        If gamma is negative or there is no example.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection. ICCV 2017, equation 5.

    Examples
    --------
    An example that the model is 90% sure of counts a hundredth of what it does in cross-entropy.

    >>> logits = torch.log(torch.tensor([[0.9, 0.1]]))
    >>> round(float(focal_loss(logits, torch.tensor([0])) / -np.log(0.9)), 4)
    0.01
    """
    arguments.at_least(0, gamma=gamma)
    if not len(targets):
        raise ValueError("The focal loss of no example is not defined: the batch is empty.")
    log_p = functional.log_softmax(logits, dim=1)
    log_p_t = log_p.gather(1, targets[:, None])[:, 0]  # log p_t  (n,)
    losses = -((1 - log_p_t.exp()) ** gamma) * log_p_t
    if weight is not None:
        losses = weight[targets] * losses
    return losses.mean()


def effective_numbers(counts: Sequence[int] | np.ndarray, beta: float = 0.999) -> np.ndarray:
    """How many examples a class has if examples overlap in what they show.

    `E_n = (1 - beta^n) / (1 - beta)`: the n-th example brings beta times as much that is new as the
    one before it. With beta = 0 a class counts once, towards 1 each example counts.

    Parameters
    ----------
    counts : sequence of int, length classes
        Examples of each class, at least one.
    beta : float
        From 0 to below 1.

    Returns
    -------
    ndarray of float64, shape (classes,)

    Raises
    ------
    ValueError
        If beta is out of its range, or a class has no example.

    References
    ----------
    Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples.
    CVPR 2019, proposition 1.

    Examples
    --------
    >>> effective_numbers([1, 2, 1000], beta=0.9).round(2).tolist()
    [1.0, 1.9, 10.0]
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta is {beta}; choose a number from 0 to below 1.")
    counts = np.asarray(counts)
    _require_examples(counts)
    if beta == 0:
        return np.ones(len(counts))
    # expm1 keeps the digits that 1 - beta^n loses where beta is close to 1
    return np.expm1(counts * np.log(beta)) / (beta - 1)


def class_balanced_weights(counts: Sequence[int] | np.ndarray, beta: float = 0.999) -> np.ndarray:
    """Weights of classes in inverse proportion to their effective numbers, 1 on average.

    Parameters
    ----------
    counts, beta
        See `effective_numbers`.

    Returns
    -------
    ndarray of float64, shape (classes,)

    Raises
    ------
    ValueError
        See `effective_numbers`.

    References
    ----------
    Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples.
    CVPR 2019, section 4.

    Examples
    --------
    >>> class_balanced_weights([1000, 10]).round(3).tolist()
    [0.031, 1.969]
    """
    weights = 1 / effective_numbers(counts, beta)
    return weights * len(weights) / weights.sum()


def logit_adjusted_loss(
    logits: torch.Tensor, targets: torch.Tensor, priors: torch.Tensor, tau: float = 1.0
) -> torch.Tensor:
    """Cross-entropy of logits to which the log of each class's share was added.

    The model need not learn that a class is frequent, as the added term says so. Its own logits are
    then those of a world where all classes are equally frequent.

    Parameters
    ----------
    logits : Tensor, shape (n, classes)
        Before the softmax.
    targets : Tensor of int64, shape (n,)
        The classes.
    priors : Tensor, shape (classes,)
        Shares of the classes in training, all above 0; scaled to sum to 1.
    tau : float
        How much of it is added; with 0 this is the cross-entropy.

    Returns
    -------
    Tensor
        A number, the mean over the examples.

    Raises
    ------
    ValueError
        If a share is not above 0.

    References
    ----------
    Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-tail learning via logit adjustment. ICLR 2021,
    equation 10.

    Examples
    --------
    A model that knows nothing has a loss of log 2 for each example of two classes, whatever their
    shares, if it answers with the shares.

    >>> priors = torch.tensor([0.9, 0.1])
    >>> targets = torch.tensor([0] * 9 + [1])
    >>> loss = logit_adjusted_loss(torch.zeros(10, 2), targets, priors)
    >>> round(float(loss), 3), round(float(-(priors * priors.log()).sum()), 3)
    (0.325, 0.325)
    """
    return functional.cross_entropy(logits + tau * _log_shares(priors), targets)


def adjust_logits(logits: torch.Tensor, priors: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    """Subtract the log of each class's share from logits of a model trained without adjustment.

    Parameters
    ----------
    logits : Tensor, shape (n, classes)
        What a model that was trained with cross-entropy says before its softmax.
    priors, tau
        See `logit_adjusted_loss`.

    Returns
    -------
    Tensor, shape (n, classes)
        The largest of each row is the class with the least balanced error, if tau is 1 and the
        model's probabilities are right.

    Raises
    ------
    ValueError
        If a share is not above 0.

    References
    ----------
    Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-tail learning via logit adjustment. ICLR 2021,
    equation 9.

    Examples
    --------
    The rare class need only be likelier than its share.

    >>> logits = torch.log(torch.tensor([[0.8, 0.2]]))
    >>> int(adjust_logits(logits, torch.tensor([0.9, 0.1])).argmax())
    1
    """
    return logits - tau * _log_shares(priors)


def _log_shares(priors: torch.Tensor) -> torch.Tensor:
    """Log of shares that sum to 1."""
    _require_examples(priors.detach().cpu().numpy())
    return (priors / priors.sum()).log()


def _require_examples(counts: np.ndarray) -> None:
    if counts.ndim != 1 or not len(counts):
        raise ValueError(
            f"Numbers of examples by class have shape {counts.shape}; give one number a class."
        )
    empty = np.flatnonzero(~(counts > 0))
    if len(empty):
        raise ValueError(
            f"Class {empty[0]} has {counts[empty[0]]} examples, and no weight makes up for that: "
            "leave it out, or collect examples of it."
        )
