"""SASRec: a small transformer that reads a watch history and predicts the next video.

References
----------
Kang, McAuley: Self-Attentive Sequential Recommendation. ICDM 2018 (arXiv:1808.09781).
Klenitskiy, Vasilev: Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec? RecSys
2023 (arXiv:2309.07602): with the cross-entropy over all videos it is not.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from vidrec_utils import arguments, saving, settings
from vidrec_utils.behavior_based.early_stopping import EpochRecommender, HeldOut, check_stopping
from vidrec_utils.behavior_based.sessions import SessionRecommender, in_order
from vidrec_utils.behavior_based.softmax import chunked_softmax, sampled_softmax
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


class SASRec(EpochRecommender, SessionRecommender):
    """Recommend what a transformer expects next, from the order of what was liked.

    Only events that weigh at least `least` make a history: what was skipped is not what somebody
    wants next. The loss is the cross-entropy over **all** videos, not over a few sampled ones,
    unless `loss="sampled"` asks for a sample. Histories of similar length go through the network
    together, so that little of its work is spent on padding.

    With a validation part (`held_out`, or the argument of `fit`) training stops early. What was
    held out is not learned from, but it is part of the history that is read afterwards.

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
    loss : {"softmax", "sampled"}
        Softmax over all videos, or over a sample of them in each step (see `sampled_softmax`), for
        large catalogues.
    n_negatives : int
        How many videos are drawn in a step for `loss="sampled"`, in proportion to how often they
        are watched, plus one.
    held_out : float
        Share of the users whose last event is held out for early stopping; 1: everybody's, 0: no
        event is.
    patience : int
        Epochs without a better NDCG@10 on the validation part after which training ends.
    seed : int
        Initial weights, order, dropout and what is held out are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Attributes
    ----------
    training_history : DataFrame
        A row for each epoch, from 1: `loss`, and `ndcg` on the validation part if there is one.
    best_epoch : int
        The epoch whose weights the model has.

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

    knows_cold_videos = False

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
        loss: str = "softmax",
        n_negatives: int = 256,
        held_out: float = 0.0,
        patience: int = 10,
        seed: int = 0,
        progress: bool = True,
        name: str = "sasrec",
    ):
        arguments.at_least(1, length=length, dim=dim, heads=heads, layers=layers)
        arguments.at_least(1, epochs=epochs, batch_size=batch_size, n_negatives=n_negatives)
        arguments.one_of(("softmax", "sampled"), loss=loss)
        check_stopping(held_out, patience)
        if dim % heads:
            raise ValueError(f"dim is {dim}, which {heads} heads cannot share; take a multiple.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it is a share from 0 to below 1.")
        self._set_arguments(locals())

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        if len(interactions) and not (weights >= self.least).any():
            warnings.warn(
                f"{self.name}: no event weighs least={self.least:g} or more (the heaviest weighs "
                f"{weights.max():g}), so nobody has a history and everybody gets what is popular. "
                "Give a smaller least.",
                UserWarning,
                stacklevel=2,
            )
        kept, held_out = self._split_events(interactions, weights, self.least)
        # one video more than the model reads: each position needs a target
        sequences = self._sequences(interactions[kept], weights[kept])
        known = sequences if kept.all() else self._sequences(interactions, weights)
        self.histories = np.ascontiguousarray(shifted(known, self.length))
        self._read = shifted(sequences, self.length)  # without what is held out
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model = self._sequence_model()
            with settings.threads_for(self._work()):
                self._train(sequences[(sequences >= 0).sum(axis=1) > 1], held_out)
        del self._read

    def _sequences(self, interactions: pd.DataFrame, weights: pd.Series) -> np.ndarray:
        """Each user's last liked videos, by time, `(n_users, length + 1)`, padded with `PAD`."""
        order = in_order(interactions)
        order = order[weights.to_numpy()[order] >= self.least]
        events = interactions.iloc[order]
        users = self.user_ids.get_indexer(as_ids(events["user_id"]))
        videos = self.video_ids.get_indexer(as_ids(events["video_id"]))
        return last_events(users, videos, len(self.user_ids), self.length + 1)

    def _sequence_model(self) -> SequenceModel:
        sizes = (self.length, self.dim, self.heads, self.layers, self.dropout)
        return SequenceModel(len(self.video_ids), *sizes).to(settings.device())

    def _work(self) -> float:
        """Multiplications of a step, most of which compare states with the whole catalogue."""
        return self.batch_size * self.length * self.dim * len(self.video_ids)

    def _train(self, sequences: np.ndarray, held_out: HeldOut | None) -> None:
        """Learn to predict each video of sequences `(users, length + 1)` from those before it."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.weight_decay,
        )
        device = settings.device()
        data = torch.from_numpy(sequences).to(device)
        # q_j: how often each video is watched, plus one, so that cold ones are drawn too
        count = np.bincount(sequences[sequences != PAD], minlength=len(self.video_ids)) + 1.0
        log_q = torch.from_numpy(np.log(count / count.sum())).to(device, torch.float32)

        def epoch() -> float:
            self.model.train()
            total, n = 0.0, 0
            for batch in torch.randperm(len(data)).split(self.batch_size):
                loss, n_targets = self._loss(data[batch.to(device)], log_q)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.item() * n_targets
                n += n_targets
            return total / n

        self._train_epochs(self.epochs if len(sequences) else 0, epoch, held_out)
        self.model.eval()

    def _loss(self, rows: torch.Tensor, log_q: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Mean loss of a batch `(batch, length + 1)`, and over how many targets."""
        states, targets = [], []
        for group, _ in by_length((rows != PAD).sum(dim=1)):
            longest = int((rows[group] != PAD).sum(dim=1).max())
            trimmed = rows[group, :longest]  # (group, longest)
            # the target of a position is the video after it
            watched = trimmed[:, :-1]  # (group, longest - 1)
            target = trimmed[:, 1:]  # (group, longest - 1)
            predicted = target != PAD  # positions that have a target
            states.append(self.model(watched)[predicted])
            targets.append(target[predicted])
        state, target = torch.cat(states), torch.cat(targets)  # (targets, dim), (targets,)
        table = self.model.video.weight[:-1]  # M (n_videos, dim)
        if self.loss == "softmax":
            return chunked_softmax(state, table, target), len(target)
        drawn = torch.multinomial(log_q.exp(), self.n_negatives, replacement=True)
        return sampled_softmax(state, table, target, drawn, log_q), len(target)

    def _snapshot(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(self.model.state_dict())

    def _put_back(self, weights: dict[str, torch.Tensor]) -> None:
        self.model.load_state_dict(weights)

    @torch.inference_mode()
    def _predict(self, histories: np.ndarray) -> np.ndarray:
        """Scores after the last video of each history `(n, length)`, padded with `PAD`."""
        self.model.eval()
        scores = np.empty((len(histories), len(self.video_ids)), dtype=np.float32)
        watched = torch.from_numpy(histories)
        lengths = (watched != PAD).sum(dim=1)  # (n,)
        for group, width in by_length(lengths):
            for rows in group.split(1024):
                batch = watched[rows, :width].to(settings.device())  # (rows, width)
                last = lengths[rows].sub(1).clamp_min(0)  # (rows,)
                states = self.model(batch)[torch.arange(len(rows)), last]  # (rows, dim)
                scores[rows.numpy()] = self.model.logits(states).cpu().numpy()
        return scores

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._score_after(self.histories[users])

    def _score_held_out(self, users: np.ndarray) -> np.ndarray:
        return self._score_after(self._read[users])

    def _score_after(self, histories: np.ndarray) -> np.ndarray:
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


def by_length(lengths: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Group rows whose lengths lie between the same powers of two: at most half is padding.

    Parameters
    ----------
    lengths : Tensor of int64, shape (n,)
        Lengths up to 8 are one group.

    Yields
    ------
    rows : Tensor of int64
        The rows of a group, in their order.
    width : int
        The power of two that none of them exceeds.

    Examples
    --------
    >>> [(rows.tolist(), width) for rows, width in by_length(torch.tensor([3, 40, 1, 33]))]
    [([0, 2], 8), ([1, 3], 64)]
    """
    width, below = 8, -1
    longest = int(lengths.max()) if len(lengths) else 0
    while below < longest:
        rows = ((lengths > below) & (lengths <= width)).nonzero()[:, 0]
        if len(rows):
            yield rows, width
        width, below = 2 * width, width


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
