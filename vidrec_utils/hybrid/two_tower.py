"""Two towers: one makes a vector of a user, one of a video, and their product is the score.

Where the video tower sees content, a video has a vector before anybody watched it; where both see
ids, they remember what content does not tell.

References
----------
Covington, Adams, Sargin: Deep Neural Networks for YouTube Recommendations. RecSys 2016.
Yi et al.: Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations. RecSys
2019.
Volkovs, Yu, Poutanen: DropoutNet: Addressing Cold Start in Recommender Systems. NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.content_based import aligned
from vidrec_utils.hybrid.sampled_softmax import CORRECTIONS, full_softmax, in_batch_softmax
from vidrec_utils.recommender import Recommender

if TYPE_CHECKING:
    from vidrec_utils.embeddings import Embeddings


class Towers(nn.Module):
    """The network: content and ids in, unit-length vectors out.

    Parameters
    ----------
    n_users, n_videos, n_content : int
        Sizes.
    dim, hidden : int
        Length of the vectors, width of the hidden layer of each tower.
    user_ids, video_ids : bool
        Whether a tower knows who or which it is.
    id_dropout : float
        Share of ids left out while training, so that content learns to stand alone.
    """

    def __init__(
        self,
        n_users: int,
        n_videos: int,
        n_content: int,
        dim: int,
        hidden: int,
        user_ids: bool,
        video_ids: bool,
        id_dropout: float,
    ):
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(n_content))  # stands for values that are missing
        self.user, self.video = (
            nn.Sequential(nn.Linear(n_content, hidden), nn.ReLU(), nn.Linear(hidden, dim))
            for _ in range(2)
        )
        self.user_id = nn.Embedding(n_users, dim) if user_ids else None
        self.video_id = nn.Embedding(n_videos, dim) if video_ids else None
        for embedding in (self.user_id, self.video_id):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=0.01)
        self.id_dropout = id_dropout

    def users(self, content: torch.Tensor, users: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` from mean contents `(n, n_content)` and places of the users."""
        return F.normalize(self.user(content) + self._ids(self.user_id, users), dim=1)

    def videos(self, content: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` from contents `(n, n_content)` and places; -1: without an id."""
        return F.normalize(self.video(content) + self._ids(self.video_id, videos), dim=1)

    def _ids(self, embedding: nn.Embedding | None, places: torch.Tensor) -> torch.Tensor | float:
        if embedding is None:
            return 0.0
        known = places >= 0
        if self.training:
            known = known & (torch.rand(places.shape, device=places.device) >= self.id_dropout)
        return embedding(places.clamp_min(0)) * known[:, None]


class TwoTower(Recommender):
    """Retrieval by two towers, trained with the videos of a batch as each other's negatives.

    The user tower sees the weighted mean of the contents of what the user watched, and the user's
    id; the video tower sees the video's content, and its id. While training, the event that is to
    be guessed is taken out of the mean. The product of the two unit vectors, over a temperature, is
    the score; the loss is `in_batch_softmax` over events with a positive weight.

    A missing value of the content (NaN, or a video without a row) is replaced by a learned one, in
    the video tower and in the users' means. A cold video is scored by its content alone, as its id
    was never trained. An unknown user gets the popularity answer, and so does a user without an
    event of positive weight.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        Content, one row a video, indexed by `video_id`; `embeddings.join` puts several modalities
        side by side. Columns are standardised here.
    dim, hidden : int
        Length of the vectors; width of the hidden layers.
    know_users, know_videos : bool
        Whether the towers know ids.
    id_dropout : float
        Share of ids left out while training.
    temperature : float
        The smaller, the sharper the softmax.
    correction : {"logq", "none", "wrong sign"}
        Of the sampled softmax; the last two only to compare.
    full : bool
        Softmax over the whole catalogue instead: exact, and affordable if it is small.
    epochs, batch_size : int
        Passes over the events; events at once.
    learning_rate, weight_decay : float
        Of AdamW.
    seed : int
        Of first weights, order and dropout.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.
    """

    _learned: ClassVar = ("user_vectors", "video_vectors", "active")

    def __init__(
        self,
        vectors: Embeddings | pd.DataFrame,
        dim: int = 32,
        hidden: int = 64,
        know_users: bool = True,
        know_videos: bool = True,
        id_dropout: float = 0.3,
        temperature: float = 0.1,
        correction: str = "logq",
        full: bool = False,
        epochs: int = 10,
        batch_size: int = 512,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-3,
        seed: int = 0,
        progress: bool = True,
        name: str = "two towers",
    ):
        sizes = {"dim": dim, "hidden": hidden, "epochs": epochs, "batch_size": batch_size}
        for label, value in sizes.items():
            if value < 1:
                raise ValueError(f"{label} is {value}; it must be at least 1.")
        if not 0 <= id_dropout <= 1:
            raise ValueError(f"id_dropout is {id_dropout}; it is a share from 0 to 1.")
        if not temperature > 0 or not learning_rate > 0:
            raise ValueError("temperature and learning_rate must be positive.")
        if correction not in CORRECTIONS:
            raise ValueError(
                f"correction is {correction!r}; choose from {', '.join(map(repr, CORRECTIONS))}."
            )
        self.vectors, self.dim, self.hidden = vectors, dim, hidden
        self.know_users, self.know_videos = bool(know_users), bool(know_videos)
        self.id_dropout, self.temperature = id_dropout, temperature
        self.correction, self.full = correction, bool(full)
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.seed, self.progress, self.name = int(seed), progress, name

    def _fit(self, matrix: sparse.csr_array) -> None:
        liked = sparse.csr_array(matrix.maximum(0))
        liked.eliminate_zeros()
        self.active = np.diff(liked.indptr) > 0
        content, gaps = standardised(aligned(self.vectors, self.video_ids))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self._network(content.shape[1])
            rivals = len(content) if self.full else self.batch_size
            layers = 2 * content.shape[1] * self.hidden + rivals * self.dim
            with settings.threads_for(self.batch_size * layers):
                self.losses = self._train(net, liked, content, gaps)
        net.eval()
        self.state = {k: v.cpu().numpy() for k, v in net.state_dict().items()}
        self.video_vectors, self.user_vectors = self._vectors(net, liked, content, gaps)

    def _network(self, n_content: int) -> Towers:
        ids = (self.know_users, self.know_videos, self.id_dropout)
        sizes = (len(self.user_ids), len(self.video_ids), n_content, self.dim, self.hidden)
        return Towers(*sizes, *ids).to(settings.device())

    def _train(
        self, net: Towers, liked: sparse.csr_array, content: np.ndarray, gaps: np.ndarray
    ) -> list[float]:
        """Mean loss of each pass."""
        device = settings.device()
        pairs = liked.tocoo()
        user, video, weight = (
            torch.from_numpy(np.ascontiguousarray(part)).to(device)
            for part in (pairs.row.astype("i8"), pairs.col.astype("i8"), pairs.data)
        )
        content, gaps = torch.from_numpy(content).to(device), torch.from_numpy(gaps).to(device)
        share = torch.bincount(video, minlength=len(content)) / max(len(video), 1)
        log_q = torch.log(share.to(torch.float32))
        sums = _Sums(liked, content, gaps)
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        losses = []
        epochs = range(self.epochs if len(user) else 0)
        for _ in tqdm(epochs, desc=self.name, delay=2, leave=False, disable=not self.progress):
            total = 0.0
            for batch in torch.randperm(len(user)).split(self.batch_size):
                u, v, w = user[batch], video[batch], weight[batch]  # (batch,)
                users = net.users(sums.without(u, v, w, net.absent), u)  # (batch, dim)
                asked = torch.arange(len(content), device=device) if self.full else v
                seen = content[asked] + gaps[asked] * net.absent  # (batch or n_videos, n_content)
                scores = users @ net.videos(seen, asked).T / self.temperature
                if self.full:
                    loss = full_softmax(scores, v)
                else:
                    loss = in_batch_softmax(scores, v, log_q[v], self.correction)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            losses.append(total / len(user))
        return losses

    @torch.inference_mode()
    def _vectors(
        self, net: Towers, liked: sparse.csr_array, content: np.ndarray, gaps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of all videos and of all users; a cold video's id is left out."""
        device = settings.device()
        trained = np.bincount(liked.indices, minlength=len(content)) > 0
        places = torch.from_numpy(np.where(trained, np.arange(len(content)), -1)).to(device)
        content, gaps = torch.from_numpy(content).to(device), torch.from_numpy(gaps).to(device)
        videos = net.videos(content + gaps * net.absent, places)
        every = torch.arange(liked.shape[0], device=device)
        users = net.users(_Sums(liked, content, gaps).means(net.absent), every)
        return videos.cpu().numpy(), users.cpu().numpy()

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.user_vectors[users] @ self.video_vectors.T / np.float32(self.temperature)
        scores[~self.active[users]] = self.popularity
        return scores

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, without the vectors."""
        return {name: v for name, v in super().parameters().items() if name != "vectors"}

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        net = {f"net.{name}": array for name, array in self.state.items()}
        kept = {**super()._state(), "losses": np.array(self.losses, dtype=np.float64), **net}
        return {**kept, "vectors": aligned(self.vectors, self.video_ids)}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> TwoTower:
        return cls(pd.DataFrame(state["vectors"]), **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.vectors.index = self.video_ids
        self.losses = state["losses"].tolist()
        self.state = {name[4:]: array for name, array in state.items() if name.startswith("net.")}


class _Sums:
    """Weighted sums of contents over each user's history, with one event taken out at will.

    The replacement of missing values changes while training, so what is there and what is missing
    are summed apart.
    """

    def __init__(self, liked: sparse.csr_array, content: torch.Tensor, gaps: torch.Tensor):
        self.content, self.gaps = content, gaps
        device = content.device
        self.there, self.missing = (
            torch.from_numpy(np.asarray(liked @ part.cpu().numpy(), "f4")).to(device)
            for part in (content, gaps)
        )
        self.weight = torch.from_numpy(np.asarray(liked.sum(axis=1), "f4")).to(device)

    def means(self, absent: torch.Tensor) -> torch.Tensor:
        """Mean contents `(n_users, n_content)`; 0, the mean of all videos, without a history."""
        total = self.there + self.missing * absent
        return total / self.weight.clamp_min(1e-6)[:, None]

    def without(
        self, user: torch.Tensor, video: torch.Tensor, weight: torch.Tensor, absent: torch.Tensor
    ) -> torch.Tensor:
        """Mean contents `(n, n_content)` of users who had not watched one of their videos."""
        part = weight[:, None]
        there = self.there[user] - part * self.content[video]
        missing = self.missing[user] - part * self.gaps[video]
        left = self.weight[user] - weight
        alone = left <= 1e-4 * self.weight[user]  # the only event: rounding must not be scaled up
        total = there + missing * absent
        mean = total / left.clamp_min(1e-6)[:, None]
        return mean.masked_fill(alone[:, None], 0.0)


def standardised(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns with mean 0 and deviation 1 over what is there, and which values are missing.

    Returns
    -------
    values, gaps : ndarray of float32, shape (n, dim)
        Missing values (NaN, infinite) are 0 in the first and 1 in the second, which else is 0. A
        column that is constant or wholly missing becomes 0.
    """
    there = np.isfinite(vectors)
    count = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, vectors, 0).astype(np.float64)
    values = np.where(there, values - values.sum(axis=0) / count, 0)
    deviation = np.sqrt((values**2).sum(axis=0) / count)
    values = np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 1e-12)
    return values.astype(np.float32), (~there).astype(np.float32)
