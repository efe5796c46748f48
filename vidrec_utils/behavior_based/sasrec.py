"""A sequence model: a small transformer that reads what was watched and guesses what comes next.

References
----------
Kang, McAuley: Self-Attentive Sequential Recommendation. ICDM 2018 (arXiv:1808.09781).
Klenitskiy, Vasilev: Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec? RecSys
2023 (arXiv:2309.07602): with the cross-entropy over all videos it is not.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.behavior_based.sessions import SessionRecommender, in_order
from vidrec_utils.recommender import as_ids

NONE = -1
"""Place of no video: before a history begins, and where there is nothing to guess."""


class Block(nn.Module):
    """Attention over what came before, then a small network, each added to its input."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_attention, self.norm_network = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mix, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.network = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), nn.Dropout(dropout)
        )

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Let every place gather from itself and the places before it."""
        batch, length, dim = x.shape
        parts = self.mix(x).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, dim / heads)
        chance = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=chance)
        return self.out(y.transpose(1, 2).reshape(batch, length, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return states of the same shape."""
        x = x + self.attend(self.norm_attention(x))  # (batch, length, dim)
        return x + self.network(self.norm_network(x))  # (batch, length, dim)


class SequenceModel(nn.Module):
    """Videos watched, in; at every place, a guess at the next video, out.

    Histories begin at the first place and are filled up at the end, so that with attention to the
    past alone no place ever sees the filling, and no mask is needed.
    """

    def __init__(
        self, n_videos: int, length: int, dim: int, heads: int, layers: int, dropout: float
    ):
        super().__init__()
        self.video = nn.Embedding(n_videos + 1, dim)  # the last row is the filling
        self.place = nn.Embedding(length, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        for embedding in (self.video, self.place):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, watched: torch.Tensor) -> torch.Tensor:
        """Return a state for every place of the histories, whose filling is `NONE`."""
        watched = watched.where(watched >= 0, self.video.num_embeddings - 1)  # (batch, length)
        x = self.video(watched) + self.place.weight[: watched.shape[1]]  # (batch, length, dim)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # (batch, length, dim)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Scores of all videos for states: the same vectors that stand for what was watched."""
        return states @ self.video.weight[:-1].T  # (..., videos)


class SASRec(SessionRecommender):
    """Recommend what a transformer expects next, from the order of what was liked.

    Only events that weigh at least `least` make a history: what was skipped is not what somebody
    wants next. The loss is the cross-entropy over **all** videos, not over a few sampled ones.

    An unknown user gets the popularity answer, and so does a user without such an event. A cold
    video is never right while training, and sinks.

    Parameters
    ----------
    length : int
        How many last videos are read.
    dim, heads, layers : int
        Of the transformer.
    dropout : float
        Share of values dropped while training.
    epochs : int
        Passes over the users.
    batch_size : int
        Users at once.
    learning_rate, weight_decay : float
        Of AdamW.
    least : float
        Smallest event weight that makes a history.
    seed : int
        Of first weights, order and dropout.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.
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
        sizes = {"length": length, "dim": dim, "heads": heads, "layers": layers, "epochs": epochs}
        for label, value in {**sizes, "batch_size": batch_size}.items():
            if value < 1:
                raise ValueError(f"{label} is {value}; it must be at least 1.")
        if dim % heads:
            raise ValueError(f"dim is {dim}, which {heads} heads cannot share; take a multiple.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it is a share from 0 to below 1.")
        self.length, self.dim, self.heads, self.layers = length, dim, heads, layers
        self.dropout, self.epochs, self.batch_size = dropout, epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.least, self.seed, self.progress, self.name = least, int(seed), progress, name

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        order = in_order(interactions)
        order = order[weights.to_numpy()[order] >= self.least]
        events = interactions.iloc[order]
        users = self.user_ids.get_indexer(as_ids(events["user_id"]))
        videos = self.video_ids.get_indexer(as_ids(events["video_id"]))
        whole = last_events(users, videos, len(self.user_ids), self.length + 1)
        self.histories = np.ascontiguousarray(shifted(whole, self.length))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model = self._network()
            with settings.threads_for(self._work()):
                self._train(whole[(whole >= 0).sum(axis=1) > 1])

    def _network(self) -> SequenceModel:
        sizes = (self.length, self.dim, self.heads, self.layers, self.dropout)
        return SequenceModel(len(self.video_ids), *sizes).to(settings.device())

    def _work(self) -> float:
        """Multiplications of a step, most of which compare guesses with the whole catalogue."""
        return self.batch_size * self.length * self.dim * len(self.video_ids)

    def _train(self, whole: np.ndarray) -> None:
        """Guess each video of the histories `(users, length + 1)` from those before it."""
        options = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.98), **options)
        data = torch.from_numpy(whole).to(settings.device())
        epochs = range(self.epochs if len(whole) else 0)
        self.model.train()
        for _ in tqdm(epochs, desc=self.name, delay=2, leave=False, disable=not self.progress):
            for batch in torch.randperm(len(data)).split(self.batch_size):
                rows = data[batch.to(data.device)]  # (batch, length + 1)
                watched, following = rows[:, :-1], rows[:, 1:]  # (batch, length)
                there = following != NONE
                logits = self.model.logits(self.model(watched)[there])  # (guesses, videos)
                loss = F.cross_entropy(logits, following[there])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        self.model.eval()

    @torch.inference_mode()
    def _guess(self, histories: np.ndarray) -> np.ndarray:
        """Scores after the last video of each history `(n, length)`, filled with `NONE`."""
        self.model.eval()
        parts = []
        for rows in torch.from_numpy(histories).to(settings.device()).split(1024):
            last = (rows != NONE).sum(dim=1).sub(1).clamp_min(0)
            states = self.model(rows)[torch.arange(len(rows)), last]  # (n, dim)
            parts.append(self.model.logits(states).cpu().numpy())
        return np.concatenate(parts)

    def _score(self, users: np.ndarray) -> np.ndarray:
        histories = self.histories[users]
        scores = self._guess(histories)
        scores[histories[:, 0] == NONE] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        history = np.full((1, self.length), NONE, dtype=np.int64)
        recent = columns[-self.length :]
        history[0, : len(recent)] = recent
        return self._guess(history)[0]

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        learned = {f"net.{k}": v.cpu().numpy() for k, v in self.model.state_dict().items()}
        return {**super()._state(), **learned}

    def _restore(self, state: dict[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.model = self._network()
        learned = {k[4:]: torch.from_numpy(v) for k, v in state.items() if k.startswith("net.")}
        self.model.load_state_dict(learned)
        self.model.eval()


def last_events(users: np.ndarray, videos: np.ndarray, n_users: int, length: int) -> np.ndarray:
    """Each user's last videos, the earliest first, filled with `NONE` at the end.

    Parameters
    ----------
    users, videos : ndarray of int, shape (n,)
        Events, ordered by user and time.
    n_users, length : int
        Shape of the result.

    Returns
    -------
    ndarray of int64, shape (n_users, length)
    """
    counts = np.bincount(users, minlength=n_users)
    starts = np.cumsum(counts) - counts
    kept = np.minimum(counts, length)
    place = np.arange(len(users)) - starts[users] - (counts - kept)[users]
    table = np.full((n_users, length), NONE, dtype=np.int64)
    recent = place >= 0
    table[users[recent], place[recent]] = videos[recent]
    return table


def shifted(whole: np.ndarray, length: int) -> np.ndarray:
    """The last `length` of the `length + 1` places: full rows lose their first video."""
    full = whole[:, -1] != NONE
    return np.where(full[:, None], whole[:, 1:], whole[:, :length])
