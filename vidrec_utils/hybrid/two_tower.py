"""Two towers: one makes a vector of a user, one of a video, and their product is the score.

Where the video tower sees content, a video has a vector before anybody watched it; where both see
ids, they can learn what content does not contain.

References
----------
Covington, Adams, Sargin: Deep Neural Networks for YouTube Recommendations. RecSys 2016.
Yi et al.: Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations. RecSys
2019.
Volkovs, Yu, Poutanen: DropoutNet: Addressing Cold Start in Recommender Systems. NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from vidrec_utils import arguments, settings
from vidrec_utils.content_based.vectors import VectorModel, aligned
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.hybrid.sampled_softmax import CORRECTIONS, full_softmax, in_batch_softmax
from vidrec_utils.recommender import DrawsNegatives
from vidrec_utils.saving import Array, below


class IdVectors(nn.Embedding):
    """Vectors of ids, `(n, dim)`; zero for position -1, and in training for a share of the ids.

    Parameters
    ----------
    n, dim : int
        Number of ids, length of the vectors.
    dropout : float
        Share of ids left out while training.
    """

    def __init__(self, n: int, dim: int, dropout: float):
        super().__init__(n, dim)
        self.dropout = dropout

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of ids by position."""
        known = positions >= 0  # (n,)
        if self.training:
            drawn = torch.rand(positions.shape, device=positions.device)
            known = known & (drawn >= self.dropout)
        return super().forward(positions.clamp_min(0)) * known[:, None]


class Towers(nn.Module):
    """The network: content and ids in, unit-length vectors out.

    Parameters
    ----------
    n_users, n_videos, n_content : int
        Numbers of users, of videos, and of columns of the content.
    dim, hidden : int
        Length of the vectors, width of the hidden layer of each tower.
    user_ids, video_ids : bool
        Whether a tower knows the id of its user or video.
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
        self.user_id = IdVectors(n_users, dim, id_dropout) if user_ids else None
        self.video_id = IdVectors(n_videos, dim, id_dropout) if video_ids else None
        for vectors in (self.user_id, self.video_id):
            if vectors is not None:
                nn.init.normal_(vectors.weight, std=0.01)

    def forward(
        self,
        histories: torch.Tensor,
        users: torch.Tensor,
        contents: torch.Tensor,
        videos: torch.Tensor,
    ) -> torch.Tensor:
        """Cosines `(n, m)` of n users, by mean content and position, with m videos, likewise."""
        return self.users(histories, users) @ self.videos(contents, videos).T

    def users(self, content: torch.Tensor, users: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` from mean contents `(n, n_content)` and positions of the users."""
        # u = (f(c_u) + e_u) / |f(c_u) + e_u|, (n, dim)
        return F.normalize(self.user(content) + self._ids(self.user_id, users), dim=1)

    def videos(self, content: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` from contents `(n, n_content)` and positions; -1: without an id."""
        # v = (g(c_v) + e_v) / |g(c_v) + e_v|, (n, dim)
        return F.normalize(self.video(content) + self._ids(self.video_id, videos), dim=1)

    @staticmethod
    def _ids(vectors: IdVectors | None, positions: torch.Tensor) -> torch.Tensor | float:
        """Vectors e of ids, `(n, dim)`; 0 for a tower that knows no ids."""
        return 0.0 if vectors is None else vectors(positions)


class TwoTower(DrawsNegatives, VectorModel):
    """Retrieval by two towers, trained with the videos of a batch as each other's negatives.

    The user tower sees the weighted mean of the contents of what the user watched, and the user's
    id; the video tower sees the video's content, and its id. While training, the event that is to
    be predicted is left out of the mean. The score is the product of the two unit vectors over a
    temperature, `s_uv = <u, v> / T`; the loss is the mean of `in_batch_softmax` over the events,
    each of which counts by its weight: what was watched to the end and liked teaches more than what
    was left after a second. A video of the batch is no negative of a user to whom it could not have
    been shown (see `DrawsNegatives`).

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
        T; the smaller, the sharper the softmax.
    correction : {"logq", "none", "wrong sign"}
        Correction of the sampled softmax; the last two only to compare.
    full : bool
        Softmax over the whole catalogue instead: exact, and affordable if it is small.
    epochs, batch_size : int
        Passes over the events; events at once.
    learning_rate, weight_decay : float
        Options of AdamW.
    seed : int
        Initial weights, order and dropout are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Attributes
    ----------
    losses : list of float
        Mean loss of each epoch, by the weights of the events.

    Examples
    --------
    Two kinds of videos; ann watched two of the first kind, so the third of it is her best new one:

    >>> content = pd.DataFrame([[1.0], [0.9], [1.1], [-1.0], [-0.9], [-1.1]], index=list("abcdef"))
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "b"), ("bob", "c"), ("cem", "d"), ("cem", "e"),
    ...      ("dan", "e"), ("dan", "f")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = TwoTower(content, dim=4, hidden=8, epochs=20, learning_rate=0.05, progress=False)
    >>> model.fit(log).recommend("ann", k=1)["video_id"].tolist()
    ['c']
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
        arguments.at_least(1, dim=dim, hidden=hidden, epochs=epochs, batch_size=batch_size)
        arguments.share(id_dropout=id_dropout)
        arguments.positive(temperature=temperature, learning_rate=learning_rate)
        arguments.one_of(CORRECTIONS, correction=correction)
        self._set_arguments(locals())

    def network(self) -> Towers:
        """Return the trained network, in evaluation mode, on the CPU.

        Raises
        ------
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> content = pd.DataFrame([[1.0], [-1.0]], index=["a", "b"])
        >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["a", "b"]})
        >>> model = TwoTower(content, dim=4, hidden=8, epochs=1, progress=False)
        >>> towers = model.fit(log.assign(watch_ratio=1.0)).network()
        >>> one = torch.zeros(1, 1), torch.tensor([0])
        >>> towers(*one, *one).shape  # one user, one video
        torch.Size([1, 1])
        """
        self._require_fit()
        net = self._towers(len(self.state["absent"]))
        net.load_state_dict({name: torch.from_numpy(a) for name, a in self.state.items()})
        return net.eval()

    def _towers(self, n_content: int) -> Towers:
        """The network with initial weights."""
        return Towers(
            len(self.user_ids), len(self.video_ids), n_content, self.dim, self.hidden,
            self.know_users, self.know_videos, self.id_dropout,
        )  # fmt: skip

    def _fit(self, matrix: sparse.csr_array) -> None:
        liked = sparse.csr_array(matrix.maximum(0))  # W, (n_users, n_videos)
        liked.eliminate_zeros()
        self.active = np.diff(liked.indptr) > 0  # (n_users,)
        content, gaps = standardized(aligned(self.vectors, self.video_ids))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self._towers(content.shape[1]).to(settings.device())
            contents = _Contents(liked, content, gaps)
            candidates = len(content) if self.full else self.batch_size
            layers = 2 * content.shape[1] * self.hidden + candidates * self.dim
            with settings.threads_for(self.batch_size * layers):
                self.losses = self._train(net, liked, contents)
        net.eval()
        self.state = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
        self._keep(net, liked, contents)

    def _train(self, net: Towers, liked: sparse.csr_array, contents: _Contents) -> list[float]:
        """Mean loss of each pass."""
        device = settings.device()
        # the events: user, video and weight of each, (n_events,)
        events = liked.tocoo()
        user = torch.from_numpy(events.row.astype(np.int64)).to(device)
        video = torch.from_numpy(events.col.astype(np.int64)).to(device)
        weight = torch.from_numpy(np.ascontiguousarray(events.data)).to(device)
        # log q_j, the logarithm of each video's share of the events, (n_videos,)
        n_videos = liked.shape[1]
        share = torch.bincount(video, minlength=n_videos) / max(len(video), 1)
        log_q = torch.log(share.to(torch.float32))
        catalogue = torch.arange(n_videos, device=device)
        # a video could have been shown to a user if its rank by publication is below the user's
        # count, (n_videos,) and (n_users,)
        ranks = counts = None
        if self.online is not None:
            ranks = torch.from_numpy(self.online.ranks).to(device)
            counts = torch.from_numpy(self.online.counts).to(device)
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        losses = []
        for _ in self._rounds(self.epochs if len(user) else 0):
            total = 0.0
            for batch in torch.randperm(len(user)).split(self.batch_size):
                u = user[batch]  # (batch,)
                v = video[batch]  # (batch,)
                w = weight[batch]  # (batch,)
                # user vectors, without the event that is to be predicted: (batch, dim)
                users = net.users(contents.without(u, v, w, net.absent), u)
                # vectors of the candidates: the batch's videos or all, (m, dim)
                candidates = catalogue if self.full else v
                videos = net.videos(contents.videos(candidates, net.absent), candidates)
                # s = U V^T / T, (batch, m)
                scores = users @ videos.T / self.temperature
                # which of them could have been shown to each user, (batch, m)
                shown = None if ranks is None else ranks[candidates] < counts[u][:, None]
                # -ln of the softmax at v, the mean over the events by their weights w
                if self.full:
                    loss = full_softmax(scores, v, w, shown)
                else:
                    loss = in_batch_softmax(scores, v, log_q[v], self.correction, w, shown)
                # one step of AdamW
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.item() * float(w.sum())
            losses.append(total / float(weight.sum()))
        return losses

    @torch.inference_mode()
    def _keep(self, net: Towers, liked: sparse.csr_array, contents: _Contents) -> None:
        """Keep the vectors of all videos and users; a cold video's id is left out."""
        n_users, n_videos = liked.shape
        device = settings.device()
        trained = np.bincount(liked.indices, minlength=n_videos) > 0  # (n_videos,)
        positions = torch.from_numpy(np.where(trained, np.arange(n_videos), -1)).to(device)
        catalogue = torch.arange(n_videos, device=device)
        videos = net.videos(contents.videos(catalogue, net.absent), positions)
        self.video_vectors = videos.cpu().numpy()  # V, (n_videos, dim)
        users = net.users(contents.means(net.absent), torch.arange(n_users, device=device))
        self.user_vectors = users.cpu().numpy()  # U, (n_users, dim)

    def _score(self, users: np.ndarray) -> np.ndarray:
        # U V^T / T, (n_users, n_videos)
        scores = self.user_vectors[users] @ self.video_vectors.T / np.float32(self.temperature)
        scores[~self.active[users]] = self.popularity
        return scores

    def _state(self) -> dict[str, Array]:
        net = {f"net.{name}": array for name, array in self.state.items()}
        return {**super()._state(), "losses": np.array(self.losses, dtype=np.float64), **net}

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.losses = state["losses"].tolist()
        self.state = below(state, "net.")


class _Contents:
    """Contents of videos, and their weighted means over each user's history.

    A missing value is 0 in `content` (C) and 1 in `gaps` (M). The value that replaces it, `absent`
    (a), changes while training: with weights W the sums are `W C + a (W M)`, so both products are
    computed once.
    """

    def __init__(self, liked: sparse.csr_array, content: np.ndarray, gaps: np.ndarray):
        device = settings.device()
        self.content = torch.from_numpy(content).to(device)  # C, (n_videos, n_content)
        self.gaps = torch.from_numpy(gaps).to(device)  # M, (n_videos, n_content)
        sums = np.asarray(liked @ content, dtype=np.float32)
        self.sums = torch.from_numpy(sums).to(device)  # W C, (n_users, n_content)
        missing = np.asarray(liked @ gaps, dtype=np.float32)
        self.missing = torch.from_numpy(missing).to(device)  # W M, (n_users, n_content)
        weight = np.asarray(liked.sum(axis=1), dtype=np.float32)
        self.weight = torch.from_numpy(weight).to(device)  # W 1, (n_users,)

    def videos(self, positions: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
        """Contents `(n, n_content)` of videos, `C + a M`."""
        return self.content[positions] + self.gaps[positions] * absent

    def means(self, absent: torch.Tensor) -> torch.Tensor:
        """Mean contents `(n_users, n_content)`; 0, the mean of all videos, without a history."""
        total = self.sums + self.missing * absent
        return total / self.weight.clamp_min(1e-6)[:, None]

    def without(
        self, user: torch.Tensor, video: torch.Tensor, weight: torch.Tensor, absent: torch.Tensor
    ) -> torch.Tensor:
        """Mean contents `(n, n_content)` of users as if each had not watched one of the videos."""
        w = weight[:, None]  # (n, 1)
        sums = self.sums[user] - w * self.content[video]
        missing = self.missing[user] - w * self.gaps[video]
        left = self.weight[user] - weight  # (n,)
        alone = left <= 1e-4 * self.weight[user]  # the only event: rounding must not be scaled up
        total = sums + missing * absent
        mean = total / left.clamp_min(1e-6)[:, None]
        return mean.masked_fill(alone[:, None], 0.0)


def standardized(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns with mean 0 and deviation 1 over the known values, and which values are missing.

    Returns
    -------
    values, gaps : ndarray of float32, shape (n, dim)
        Missing values (NaN, infinite) are 0 in the first and 1 in the second, which else is 0. A
        column that is constant or wholly missing becomes 0.

    Examples
    --------
    >>> values, gaps = standardized(np.array([[1.0, 7.0], [3.0, 7.0], [np.nan, 7.0]]))
    >>> values.tolist(), gaps[:, 0].tolist()
    ([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], [0.0, 0.0, 1.0])
    """
    known = np.isfinite(vectors)
    count = np.maximum(known.sum(axis=0), 1)  # (dim,)
    values = np.where(known, vectors, 0).astype(np.float64)
    values = np.where(known, values - values.sum(axis=0) / count, 0)
    deviation = np.sqrt((values**2).sum(axis=0) / count)  # (dim,)
    values = np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 1e-12)
    return values.astype(np.float32), (~known).astype(np.float32)
