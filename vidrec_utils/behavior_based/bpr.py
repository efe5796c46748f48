"""BPR: factors learned from pairs, a video that somebody watched before one they did not.

References
----------
Rendle, Freudenthaler, Gantner, Schmidt-Thieme: BPR: Bayesian Personalized Ranking from Implicit
Feedback. UAI 2009 (arXiv:1205.2618).
Gantner, Drumond, Freudenthaler, Schmidt-Thieme: Personalized Ranking for Non-Uniformly Sampled
Items. KDD Cup 2011, PMLR 18, 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.recommender import Recommender


class BPR(Recommender):
    """Stochastic gradient ascent on `ln sigmoid(x_ui - x_uj)`, i watched by u and j not.

    `x_ui = <u, v_i> + b_i`. Each epoch draws as many triples as there are watched pairs: a pair in
    proportion to its weight, and a video among those that the user has no positive weight with:
    any of them alike (Rendle et al.), or in proportion to how many watched it (Gantner et al.;
    `implicit` does the same). The second teaches what sets tastes apart, not what is popular, and
    ranks worse where all videos compete.

    An unknown user gets the popularity answer, and so does a user whose events all weigh nothing.
    A cold video is only ever drawn as the worse of two, and sinks.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    epochs : int
        Passes over as many triples as there are pairs.
    learning_rate, regularization : float
        Of the gradient steps; the regularisation acts on every vector that a triple touches.
    batch_size : int
        Triples whose gradients are computed together and added.
    negatives : {"uniform", "popular"}
        How the worse videos are drawn.
    seed : int
        Of first vectors and draws.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.
    """

    _learned: ClassVar = ("user_factors", "video_factors", "video_bias", "active")

    def __init__(
        self,
        factors: int = 64,
        epochs: int = 100,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        batch_size: int = 256,
        negatives: str = "uniform",
        seed: int = 0,
        progress: bool = True,
        name: str = "bpr",
    ):
        for label, value in (("factors", factors), ("epochs", epochs), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{label} is {value}; it must be at least 1.")
        if not learning_rate > 0 or regularization < 0:
            raise ValueError("learning_rate must be positive, and regularization not negative.")
        if negatives not in ("uniform", "popular"):
            raise ValueError(f"negatives is {negatives!r}; it is 'uniform' or 'popular'.")
        self.negatives = negatives
        self.factors, self.epochs, self.batch_size = int(factors), int(epochs), int(batch_size)
        self.learning_rate, self.regularization = float(learning_rate), float(regularization)
        self.seed, self.progress, self.name = int(seed), progress, name

    def _fit(self, matrix: sparse.csr_array) -> None:
        positive = sparse.csr_array(matrix.maximum(0))
        positive.eliminate_zeros()
        rng = np.random.default_rng(self.seed)
        self.active = np.diff(positive.indptr) > 0
        users = _first(rng, positive.shape[0], self.factors)
        videos = _first(rng, positive.shape[1], self.factors)
        bias = torch.zeros(positive.shape[1])
        epochs = range(self.epochs if positive.nnz else 0)
        with settings.threads_for(3 * self.batch_size * self.factors):
            for _ in tqdm(epochs, desc=self.name, delay=2, leave=False, disable=not self.progress):
                for u, i, j in triples(positive, rng, self.batch_size, self.negatives):
                    self._step(users, videos, bias, u, i, j)
        self.user_factors, self.video_factors = users.numpy(), videos.numpy()
        self.video_bias = bias.numpy()

    def _step(
        self,
        users: torch.Tensor,
        videos: torch.Tensor,
        bias: torch.Tensor,
        u: torch.Tensor,
        i: torch.Tensor,
        j: torch.Tensor,
    ) -> None:
        """Add the gradients of one batch of triples, in place."""
        mine, better, worse = users[u], videos[i], videos[j]  # (batch, factors)
        lead = (mine * (better - worse)).sum(dim=1) + bias[i] - bias[j]
        push = torch.sigmoid(-lead)[:, None]  # slope of ln sigmoid: 0 once the order is clear
        rate, pull = self.learning_rate, self.regularization
        users.index_add_(0, u, push * (better - worse) - pull * mine, alpha=rate)
        videos.index_add_(0, i, push * mine - pull * better, alpha=rate)
        videos.index_add_(0, j, -push * mine - pull * worse, alpha=rate)
        bias.index_add_(0, i, push[:, 0] - pull * bias[i], alpha=rate)
        bias.index_add_(0, j, -push[:, 0] - pull * bias[j], alpha=rate)

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.user_factors[users] @ self.video_factors.T + self.video_bias
        scores[~self.active[users]] = self.popularity
        return scores


def triples(
    matrix: sparse.csr_array,
    rng: np.random.Generator,
    batch_size: int,
    negatives: str = "uniform",
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches `(users, better, worse)` of int64 tensors, as many triples as entries.

    A worse video that turns out to be watched is drawn anew, three times; what is left then (users
    who watched nearly everything) is dropped.
    """
    pairs = matrix.tocoo()
    keys = np.sort(pairs.row.astype(np.int64) * matrix.shape[1] + pairs.col)
    chance = np.cumsum(pairs.data, dtype=np.float64)
    drawn = np.searchsorted(chance, rng.random(matrix.nnz) * chance[-1], side="right")
    drawn = np.minimum(drawn, matrix.nnz - 1)
    users, better = pairs.row[drawn].astype(np.int64), pairs.col[drawn].astype(np.int64)
    # a video drawn from the entries is drawn in proportion to its entries
    among = pairs.col if negatives == "popular" else np.arange(matrix.shape[1])
    worse = among[rng.integers(0, len(among), len(users))]
    for _ in range(3):
        watched = np.flatnonzero(_contains(keys, users * matrix.shape[1] + worse))
        worse[watched] = among[rng.integers(0, len(among), len(watched))]
    kept = ~_contains(keys, users * matrix.shape[1] + worse)
    parts = [torch.from_numpy(a[kept]) for a in (users, better, worse)]
    yield from zip(*(torch.split(part, batch_size) for part in parts), strict=True)


def _contains(ordered: np.ndarray, asked: np.ndarray) -> np.ndarray:
    places = np.minimum(np.searchsorted(ordered, asked), len(ordered) - 1)
    return ordered[places] == asked


def _first(rng: np.random.Generator, n: int, factors: int) -> torch.Tensor:
    values = (rng.random((n, factors)) - 0.5) / factors
    return torch.from_numpy(values.astype(np.float32))
