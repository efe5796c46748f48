"""Heads on frozen vectors: linear, with a loss of choice, and with one hidden layer.

A linear head is fitted by L-BFGS on all rows at once, so that two remedies differ by nothing but
the remedy. The head with a hidden layer serves decoupled training: first the layer, then the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vidrec_utils import arguments

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits of a linear layer on standardised vectors: `(x - mean) / scale @ weight.T + bias`.

    Attributes
    ----------
    weight : Tensor, shape (classes, dim)
    bias : Tensor, shape (classes,)
    mean, scale : Tensor, shape (dim,)
        Mean and deviation of the training columns.

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> LinearHead(2 * one[:, None], one, 0 * one, one).bias.tolist()
    [1.0]
    """

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def logits(self, vectors: np.ndarray) -> torch.Tensor:
        """Compute the logits, float64 `(n, classes)`.

        Examples
        --------
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> LinearHead(2 * one[:, None], one, 0 * one, one).logits(np.array([[3.0]])).tolist()
        [[7.0]]
        """
        x = torch.as_tensor(np.asarray(vectors), dtype=torch.float64)
        return (x - self.mean) / self.scale @ self.weight.T + self.bias

    def normalized(self, tau: float = 1.0) -> LinearHead:
        """Divide each class's weights by their length to the power of tau, and drop the bias.

        Frequent classes get longer weights in training, and therefore larger logits.

        References
        ----------
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling Representation and Classifier
        for Long-Tailed Recognition. ICLR 2020, section 4.

        Examples
        --------
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> head = LinearHead(torch.tensor([[3.0, 4.0]]).double(), one, 0 * one, one)
        >>> head.normalized().weight.tolist()
        [[0.6, 0.8]]
        """
        length = self.weight.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return replace(self, weight=self.weight / length**tau, bias=torch.zeros_like(self.bias))


def fit_head(
    vectors: np.ndarray,
    targets: np.ndarray,
    classes: int,
    loss: Loss | None = None,
    l2: float = 0.01,
    iterations: int = 200,
    frame: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> LinearHead:
    """Fit a linear head with a loss of choice.

    Minimises `loss + l2 / 2 ||weight||^2`, from weights of 0; for the cross-entropy this is the
    logistic regression of scikit-learn on standardised columns, with `C = 1 / (l2 n)`.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Frozen embeddings.
    targets : ndarray of int, shape (n,)
        Class numbers from 0.
    classes : int
        Number of classes; each has at least one row.
    loss : callable, optional
        Takes logits `(n, classes)` and targets `(n,)` and returns a number, as `focal_loss` does;
        the cross-entropy by default.
    l2 : float
        Strength of the penalty.
    iterations : int
        Most steps of L-BFGS.
    frame : (Tensor, Tensor), optional
        Mean and scale of the columns, where they should be those of other rows.

    Returns
    -------
    LinearHead

    Raises
    ------
    ValueError
        If lengths differ, or a class has no row.

    Examples
    --------
    >>> head = fit_head(np.array([[-1.0], [1.0], [-2.0], [2.0]]), np.array([0, 1, 0, 1]), 2)
    >>> head.logits(np.array([[-1.0], [1.0]])).argmax(dim=1).tolist()
    [0, 1]
    """
    arguments.positive(l2=l2)
    if len(vectors) != len(targets):
        raise ValueError(f"{len(vectors)} vectors, but {len(targets)} targets: give as many.")
    x = torch.as_tensor(np.asarray(vectors), dtype=torch.float64)  # (n, dim)
    y = torch.as_tensor(np.asarray(targets), dtype=torch.int64)  # (n,)
    empty = sorted(set(range(classes)) - set(y.tolist()))
    if empty:
        raise ValueError(f"Class number {empty[0]} has no row to learn from.")
    if frame is None:
        scale = x.std(dim=0, correction=0)
        frame = x.mean(dim=0), torch.where(scale > 1e-9, scale, torch.ones_like(scale))
    mean, scale = frame
    z = (x - mean) / scale
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, line_search_fn="strong_wolfe"
    )
    measure = loss or functional.cross_entropy

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        total = measure(z @ weight.T + bias, y) + l2 / 2 * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return LinearHead(weight.detach(), bias.detach(), mean, scale)


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """One hidden layer that was trained together with a head.

    Attributes
    ----------
    network : Sequential
        A linear layer and its ReLU.
    head : Linear
        The head that it was trained with.
    mean, scale : Tensor, shape (dim,)
        Mean and deviation of the training columns.
    """

    network: nn.Sequential
    head: nn.Linear
    mean: torch.Tensor
    scale: torch.Tensor

    def features(self, vectors: np.ndarray) -> np.ndarray:
        """Compute the layer's activations, float32 `(n, hidden)`.

        Examples
        --------
        >>> layer = fit_hidden(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 2, hidden=3)
        >>> layer.features(np.eye(4)).shape
        (4, 3)
        """
        x = torch.as_tensor(np.asarray(vectors), dtype=torch.float32)
        with torch.no_grad():
            return self.network((x - self.mean) / self.scale).numpy()

    def logits(self, vectors: np.ndarray) -> torch.Tensor:
        """Compute the logits of layer and head, float64 `(n, classes)`.

        Examples
        --------
        >>> layer = fit_hidden(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 2, hidden=3)
        >>> tuple(layer.logits(np.eye(4)).shape)
        (4, 2)
        """
        with torch.no_grad():
            return self.head(torch.as_tensor(self.features(vectors))).double()


def fit_hidden(
    vectors: np.ndarray,
    targets: np.ndarray,
    classes: int,
    hidden: int = 64,
    epochs: int = 150,
    seed: int = 0,
    frame: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> HiddenLayer:
    """Train a hidden layer and a head together, on the rows as they are (AdamW, all rows a step).

    This is the first stage of decoupled training: the layer is learned from all rows alike. For the
    second, fit a new head on its `features` of rows of which each class has as many.

    Parameters
    ----------
    vectors, targets, classes, frame
        See `fit_head`.
    hidden : int
        Units of the layer.
    epochs : int
        Steps.
    seed : int
        Initial weights are drawn with this seed.

    Returns
    -------
    HiddenLayer

    Raises
    ------
    ValueError
        If lengths differ.

    References
    ----------
    Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling Representation and Classifier for
    Long-Tailed Recognition. ICLR 2020, section 4 (classifier re-training, cRT).

    Examples
    --------
    >>> x = np.array([[-1.0, 1.0], [1.0, 1.0], [-2.0, 0.0], [2.0, 0.0]])
    >>> layer = fit_hidden(x, np.array([0, 1, 0, 1]), 2, hidden=8)
    >>> layer.logits(x).argmax(dim=1).tolist()
    [0, 1, 0, 1]
    """
    arguments.at_least(1, hidden=hidden, epochs=epochs)
    if len(vectors) != len(targets):
        raise ValueError(f"{len(vectors)} vectors, but {len(targets)} targets: give as many.")
    x = torch.as_tensor(np.asarray(vectors), dtype=torch.float32)
    y = torch.as_tensor(np.asarray(targets), dtype=torch.int64)
    if frame is None:
        scale = x.std(dim=0, correction=0)
        frame = x.mean(dim=0), torch.where(scale > 1e-6, scale, torch.ones_like(scale))
    mean, scale = frame
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer, head = nn.Linear(x.shape[1], hidden), nn.Linear(hidden, classes)
    network = nn.Sequential(layer, nn.ReLU())
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.1)
    z = (x - mean) / scale
    for _ in range(epochs):
        optimizer.zero_grad()
        functional.cross_entropy(head(network(z)), y).backward()
        optimizer.step()
    return HiddenLayer(network, head, mean, scale)
