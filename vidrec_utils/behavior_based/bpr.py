"""BPR: factors learned from pairs, a video that a user watched and one that the user did not.

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
import pandas as pd
import torch
from scipy import sparse
from torch.nn import functional as F

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.early_stopping import EpochRecommender, check_stopping
from vidrec_utils.events import PublicationOrder
from vidrec_utils.recommender import DrawsNegatives, interaction_matrix


class BPR(DrawsNegatives, EpochRecommender):
    """Stochastic gradient ascent on `ln sigmoid(x_ui - x_uj)`, where u watched i and not j.

    `x_ui = <u, v_i> + b_i`. Each epoch draws as many triples as there are watched pairs: a pair in
    proportion to its weight, and a negative among the videos that could have been shown to the user
    (published by the user's last event, see `DrawsNegatives`) and have no positive weight for the
    user: uniformly (Rendle et al.), or in proportion to how many watched it (Gantner et al.;
    `implicit` does the same). The second teaches what sets tastes apart, not what is popular, and
    ranks worse where all videos compete.

    An unknown user gets the popularity answer, and so does a user whose events all weigh nothing.
    A cold video is only ever drawn as a negative, and sinks. With a validation part (`held_out`, or
    the argument of `fit`) training stops early; what was held out is not learned from.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    epochs : int
        Passes over as many triples as there are pairs.
    learning_rate : float
        Step size of the gradient ascent.
    regularization : float
        Weight decay of every vector and bias that a triple touches.
    batch_size : int
        Triples whose gradients are computed together and added.
    negatives : {"uniform", "popular"}
        How negative videos are drawn.
    held_out : float
        Share of the users whose last event is held out for early stopping; 1: everybody's, 0: no
        event is.
    patience : int
        Epochs without a better NDCG@10 on the validation part after which training ends.
    seed : int
        The initial vectors, the triples and what is held out are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Attributes
    ----------
    training_history : DataFrame
        A row for each epoch, from 1: `loss`, the mean of `-ln sigmoid(x_uij)`, and `ndcg` on the
        validation part if there is one.
    best_epoch : int
        The epoch whose vectors the model has.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("bob", "a"), ("bob", "b"), ("cat", "c"), ("dan", "c"), ("dan", "d")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = BPR(factors=2, epochs=300, batch_size=2, progress=False).fit(log)
    >>> model.recommend("ann", k=1)["video_id"].item()
    'b'
    """

    knows_cold_videos = False

    _learned: ClassVar = ("user_factors", "video_factors", "video_bias", "active")

    def __init__(
        self,
        factors: int = 64,
        epochs: int = 100,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        batch_size: int = 256,
        negatives: str = "uniform",
        held_out: float = 0.0,
        patience: int = 10,
        seed: int = 0,
        progress: bool = True,
        name: str = "bpr",
    ):
        check_stopping(held_out, patience)
        arguments.at_least(1, factors=factors, epochs=epochs, batch_size=batch_size)
        arguments.positive(learning_rate=learning_rate)
        arguments.at_least(0, regularization=regularization)
        arguments.one_of(("uniform", "popular"), negatives=negatives)
        self._set_arguments(locals())

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        kept, held_out = self._split_events(interactions, weights)
        if not kept.all():
            events = interactions[kept]
            matrix = interaction_matrix(events, weights[kept], self.user_ids, self.video_ids)
        # the watched pairs, D_s without its negatives
        positive = sparse.csr_array(matrix.maximum(0))  # (n_users, n_videos)
        positive.eliminate_zeros()
        self.active = np.diff(positive.indptr) > 0  # (n_users,)
        # W, H and b: small random vectors, and no bias
        rng = np.random.default_rng(self.seed)
        users = _initial(rng, positive.shape[0], self.factors)  # (n_users, f)
        videos = _initial(rng, positive.shape[1], self.factors)  # (n_videos, f)
        bias = torch.zeros(positive.shape[1])  # (n_videos,)
        # the same memory, so that scores are always those of the last step
        self.user_factors = users.numpy()
        self.video_factors = videos.numpy()
        self.video_bias = bias.numpy()

        def epoch() -> float:
            total, n = 0.0, 0
            batches = triples(positive, rng, self.batch_size, self.negatives, self.online)
            for u, i, j in batches:
                total += self._step(users, videos, bias, u, i, j)
                n += len(u)
            return total / max(n, 1)

        with settings.threads_for(3 * self.batch_size * self.factors):
            self._train_epochs(self.epochs if positive.nnz else 0, epoch, held_out)

    def _snapshot(self) -> tuple[np.ndarray, ...]:
        return self.user_factors.copy(), self.video_factors.copy(), self.video_bias.copy()

    def _put_back(self, weights: tuple[np.ndarray, ...]) -> None:
        self.user_factors, self.video_factors, self.video_bias = weights

    def _step(
        self,
        users: torch.Tensor,
        videos: torch.Tensor,
        bias: torch.Tensor,
        u: torch.Tensor,
        i: torch.Tensor,
        j: torch.Tensor,
    ) -> float:
        """Add the gradients of one batch of triples (u, i, j), in place; returns its loss."""
        w_u = users[u]  # (batch, f)
        h_i = videos[i]  # (batch, f)
        h_j = videos[j]  # (batch, f)
        # x_uij = x_ui - x_uj  (batch,)
        x_uij = (w_u * (h_i - h_j)).sum(dim=1) + bias[i] - bias[j]
        # d ln sigmoid(x_uij) / d x_uij = sigmoid(-x_uij): 0 once the order is clear  (batch, 1)
        slope = torch.sigmoid(-x_uij)[:, None]
        # theta += rate (slope d x_uij / d theta - decay theta), for each theta of the triple
        rate = self.learning_rate
        decay = self.regularization
        users.index_add_(0, u, slope * (h_i - h_j) - decay * w_u, alpha=rate)
        videos.index_add_(0, i, slope * w_u - decay * h_i, alpha=rate)
        videos.index_add_(0, j, -slope * w_u - decay * h_j, alpha=rate)
        bias.index_add_(0, i, slope[:, 0] - decay * bias[i], alpha=rate)
        bias.index_add_(0, j, -slope[:, 0] - decay * bias[j], alpha=rate)
        return float(-F.logsigmoid(x_uij).sum())  # sum of -ln sigmoid(x_uij)

    def _score(self, users: np.ndarray) -> np.ndarray:
        # x_ui = <w_u, h_i> + b_i  (users, n_videos)
        scores = self.user_factors[users] @ self.video_factors.T + self.video_bias
        scores[~self.active[users]] = self.popularity
        return scores


def triples(
    matrix: sparse.csr_array,
    rng: np.random.Generator,
    batch_size: int,
    negatives: str = "uniform",
    online: PublicationOrder | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of triples (u, i, j) as int64 tensors, together as many as the matrix has entries.

    A negative j that u watched, or that was not published by the time of u (`online`), is drawn
    again, up to three times; triples that still have one (users who watched nearly everything) are
    dropped. Uniform negatives are drawn from what was published at once.
    """
    pairs = matrix.tocoo()
    watched = np.sort(pairs.row.astype(np.int64) * matrix.shape[1] + pairs.col)  # (u, i) as numbers
    # (u, i): entries in proportion to their weights, by the inverse of their cumulated sum
    cumulated = np.cumsum(pairs.data, dtype=np.float64)
    entries = np.searchsorted(cumulated, rng.random(matrix.nnz) * cumulated[-1], side="right")
    entries = np.minimum(entries, matrix.nnz - 1)
    u = pairs.row[entries].astype(np.int64)
    i = pairs.col[entries].astype(np.int64)

    def drawn(users: np.ndarray) -> np.ndarray:
        """j: any published video, or the video of any entry, popular as often as it has some."""
        if negatives == "uniform" and online is not None:
            return online.draw(users, rng)
        pool = pairs.col if negatives == "popular" else np.arange(matrix.shape[1])
        return pool[rng.integers(0, len(pool), len(users))].astype(np.int64)

    def wrong() -> np.ndarray:
        """Whether u watched j, or could not have been shown it."""
        seen = _contains(watched, u * matrix.shape[1] + j)
        return seen if online is None else seen | ~online.published(u, j)

    j = drawn(u)
    for _ in range(3):
        rejected = np.flatnonzero(wrong())
        j[rejected] = drawn(u[rejected])
    kept = ~wrong()
    batches = [torch.from_numpy(ids[kept]).split(batch_size) for ids in (u, i, j)]
    yield from zip(*batches, strict=True)


def _contains(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether each value is in a sorted array."""
    positions = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[positions] == values


def _initial(rng: np.random.Generator, n: int, factors: int) -> torch.Tensor:
    """Small random vectors, `(n, factors)`."""
    values = (rng.random((n, factors)) - 0.5) / factors
    return torch.from_numpy(values.astype(np.float32))
