"""SASRec: a small transformer that reads a watch history and predicts the next video.

References
----------
Kang, McAuley: Self-Attentive Sequential Recommendation. ICDM 2018 (arXiv:1808.09781).
Klenitskiy, Vasilev: Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec? RecSys
2023 (arXiv:2309.07602): with the cross-entropy over all videos it is not.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from vidrec_utils import arguments, saving, settings
from vidrec_utils.behavior_based.sessions import SessionRecommender, in_order
from vidrec_utils.recommender import as_ids
from vidrec_utils.saving import Array

PAD = -1
"""Fills up a history that is shorter than the others: the position of no video."""


class Block(nn.Module):
    """Pre-norm transformer block: causal self-attention, then feed-forward, both residual.

    Parameters
    ----------
    dim : int
        Length of the states.
    heads : int
        Attention heads, each of `head_dim = dim / heads`.
    dropout : float
        Share of attention weights, and of outputs of the feed-forward network, that is dropped
        while training.
    """

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_feed_forward = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), nn.Dropout(dropout)
        )

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Causal self-attention: every position reads itself and the positions before it."""
        batch, time, dim = x.shape
        # query, key and value of all heads in one product
        qkv = self.qkv(x).view(batch, time, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, time, head_dim)
        # softmax(q k' / sqrt(head_dim) + causal mask) v  (batch, heads, time, head_dim)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        # the heads side by side, then the output projection  (batch, time, dim)
        return self.out(y.transpose(1, 2).reshape(batch, time, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return states of the same shape, `(batch, time, dim)`."""
        x = x + self.attend(self.norm_attention(x))
        return x + self.feed_forward(self.norm_feed_forward(x))


class SequenceModel(nn.Module):
    """Predicts the next video at every position of a watch history.

    Histories begin at position 0 and are padded at the end. Causal attention looks back only, so no
    video ever attends to padding, and no padding mask is needed.

    Examples
    --------
    >>> import torch
    >>> model = SequenceModel(n_videos=9, length=4, dim=8, heads=2, layers=1, dropout=0.0)
    >>> states = model(torch.tensor([[3, 5, PAD, PAD]]))  # (batch, time, dim)
    >>> tuple(model.logits(states).shape)  # a score of each video at each position
    (1, 4, 9)
    """

    def __init__(
        self, n_videos: int, length: int, dim: int, heads: int, layers: int, dropout: float
    ):
        super().__init__()
        self.video = nn.Embedding(n_videos + 1, dim)  # the last row is the padding's
        self.position = nn.Embedding(length, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        for embedding in (self.video, self.position):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, watched: torch.Tensor) -> torch.Tensor:
        """Return a state for every position of histories `(batch, time)` padded with `PAD`."""
        # E = M_s + P: the embedding of each video plus that of its position  (batch, time, dim)
        watched = watched.where(watched >= 0, self.video.num_embeddings - 1)
        x = self.video(watched) + self.position.weight[: watched.shape[1]]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # F (batch, time, dim)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Scores of all videos for states: products with the embeddings that stand for them."""
        return states @ self.video.weight[:-1].T  # r = F M' (..., n_videos)


class SASRec(SessionRecommender):
    """Recommend what a transformer expects next, from the order of what was liked.

    Only events that weigh at least `least` make a history: what was skipped is not what somebody
    wants next. The loss is the cross-entropy over **all** videos, not over a few sampled ones.

    An unknown user gets the popularity answer, and so does a user without such an event. A cold
    video is never the right answer while training, and sinks.

    Parameters
    ----------
    length : int
        How many last videos are read.
    dim, heads, layers : int
        Width of the transformer, its attention heads, and its blocks.
    dropout : float
        Share of values dropped while training.
    epochs : int
        Passes over the users.
    batch_size : int
        Users at once.
    learning_rate, weight_decay : float
        Options of the optimizer, AdamW.
    least : float
        Smallest event weight that makes a history.
    seed : int
        Initial weights, order and dropout are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Examples
    --------
    Everybody watches a, b and c in a circle, each from another start:

    >>> import pandas as pd
    >>> log = pd.DataFrame(
    ...     [(f"u{u}", "abc"[(u + step) % 3]) for u in range(12) for step in range(4)],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = SASRec(length=4, dim=8, epochs=30, batch_size=4, learning_rate=0.01, dropout=0.0)
    >>> model.fit(log).recommend_next(["a"], k=1)["video_id"].item()
    'b'
    """

    _learned: ClassVar = ("histories",)

    def __init__(
        self,
        length: int = 50,
        dim: int = 64,
        heads: int = 2,
        layers: int = 2,
        dropout: float = 0.2,
        epochs: int = 30,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        least: float = 0.5,
        seed: int = 0,
        progress: bool = True,
        name: str = "sasrec",
    ):
        arguments.at_least(1, length=length, dim=dim, heads=heads, layers=layers)
        arguments.at_least(1, epochs=epochs, batch_size=batch_size)
        if dim % heads:
            raise ValueError(f"dim is {dim}, which {heads} heads cannot share; take a multiple.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it is a share from 0 to below 1.")
        self._set_arguments(locals())

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        # the events that somebody liked, by user and time
        order = in_order(interactions)
        order = order[weights.to_numpy()[order] >= self.least]
        if len(interactions) and not len(order):
            warnings.warn(
                f"{self.name}: no event weighs least={self.least:g} or more (the heaviest weighs "
                f"{weights.max():g}), so nobody has a history and everybody gets what is popular. "
                "Give a smaller least.",
                UserWarning,
                stacklevel=2,
            )
        events = interactions.iloc[order]
        users = self.user_ids.get_indexer(as_ids(events["user_id"]))
        videos = self.video_ids.get_indexer(as_ids(events["video_id"]))
        # one video more than the model reads: each position needs a target
        sequences = last_events(users, videos, len(self.user_ids), self.length + 1)
        self.histories = np.ascontiguousarray(shifted(sequences, self.length))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model = self._sequence_model()
            with settings.threads_for(self._work()):
                self._train(sequences[(sequences >= 0).sum(axis=1) > 1])

    def _sequence_model(self) -> SequenceModel:
        sizes = (self.length, self.dim, self.heads, self.layers, self.dropout)
        return SequenceModel(len(self.video_ids), *sizes).to(settings.device())

    def _work(self) -> float:
        """Multiplications of a step, most of which compare states with the whole catalogue."""
        return self.batch_size * self.length * self.dim * len(self.video_ids)

    def _train(self, sequences: np.ndarray) -> None:
        """Learn to predict each video of sequences `(users, length + 1)` from those before it."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.weight_decay,
        )
        data = torch.from_numpy(sequences).to(settings.device())
        self.model.train()
        for _ in self._rounds(self.epochs if len(sequences) else 0):
            for batch in torch.randperm(len(data)).split(self.batch_size):
                rows = data[batch.to(data.device)]  # (batch, length + 1)
                # the target of a position is the video after it
                watched = rows[:, :-1]  # (batch, length)
                target = rows[:, 1:]  # (batch, length)
                predicted = target != PAD  # positions that have a target
                # cross-entropy over all videos
                logits = self.model.logits(self.model(watched)[predicted])  # (targets, n_videos)
                loss = F.cross_entropy(logits, target[predicted])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        self.model.eval()

    @torch.inference_mode()
    def _predict(self, histories: np.ndarray) -> np.ndarray:
        """Scores after the last video of each history `(n, length)`, padded with `PAD`."""
        self.model.eval()
        scores = []
        for rows in torch.from_numpy(histories).to(settings.device()).split(1024):
            last = (rows != PAD).sum(dim=1).sub(1).clamp_min(0)  # (n,)
            states = self.model(rows)[torch.arange(len(rows)), last]  # (n, dim)
            scores.append(self.model.logits(states).cpu().numpy())
        return np.concatenate(scores)

    def _score(self, users: np.ndarray) -> np.ndarray:
        histories = self.histories[users]
        scores = self._predict(histories)
        scores[histories[:, 0] == PAD] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        history = np.full((1, self.length), PAD, dtype=np.int64)
        recent = columns[-self.length :]
        history[0, : len(recent)] = recent
        return self._predict(history)[0]

    def _state(self) -> dict[str, Array]:
        weights = self.model.state_dict().items()
        return {**super()._state(), **{f"net.{key}": w.cpu().numpy() for key, w in weights}}

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        saving.check_indices("histories", self.histories, PAD, len(self.video_ids))
        if self.histories.shape != (len(self.user_ids), self.length):
            raise ValueError(f"histories has the shape {self.histories.shape}")
        self.model = self._sequence_model()
        weights = saving.below(state, "net.").items()
        self.model.load_state_dict({key: torch.from_numpy(w) for key, w in weights})
        self.model.eval()


def last_events(users: np.ndarray, videos: np.ndarray, n_users: int, length: int) -> np.ndarray:
    """Each user's last videos, the earliest first, padded with `PAD` at the end.

    Parameters
    ----------
    users, videos : ndarray of int, shape (n,)
        Events, ordered by user and time.
    n_users, length : int
        Shape of the result.

    Returns
    -------
    ndarray of int64, shape (n_users, length)

    Examples
    --------
    >>> import numpy as np
    >>> last_events(np.array([0, 0, 0, 1]), np.array([5, 6, 7, 1]), 2, 2).tolist()
    [[6, 7], [1, -1]]
    """
    counts = np.bincount(users, minlength=n_users)
    starts = np.cumsum(counts) - counts
    kept = np.minimum(counts, length)
    # position of each event among the kept ones of its user; negative before them
    position = np.arange(len(users)) - starts[users] - (counts - kept)[users]
    table = np.full((n_users, length), PAD, dtype=np.int64)
    recent = position >= 0
    table[users[recent], position[recent]] = videos[recent]
    return table


def shifted(sequences: np.ndarray, length: int) -> np.ndarray:
    """The last `length` of `length + 1` positions: full rows lose their first video."""
    full = sequences[:, -1] != PAD
    return np.where(full[:, None], sequences[:, 1:], sequences[:, :length])
