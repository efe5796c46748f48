"""Factorisation that knows features: a user, a video is the sum of what is known of it.

References
----------
Rendle: Factorization Machines. ICDM 2010.
Kula: Metadata Embeddings for User and Item Cold-start Recommendations. CBRecSys 2015
(arXiv:1507.08439), known as LightFM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from tqdm.auto import tqdm

from vidrec_utils import saving, settings
from vidrec_utils.behavior_based.bpr import triples
from vidrec_utils.hybrid.sampled_softmax import in_batch_softmax
from vidrec_utils.recommender import Recommender, as_ids

LOSSES = ("bpr", "softmax")


class Side(nn.Module):
    """Users, or videos: `vector = sum_f x_f e_f`, and `bias = sum_f x_f b_f`.

    Parameters
    ----------
    values : Tensor, shape (n, n_features)
        Features of all of them.
    factors : int
        Length of the vectors.
    identity : bool
        Whether each has a feature of its own, besides.
    """

    def __init__(self, values: torch.Tensor, factors: int, identity: bool):
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        n, n_features = values.shape
        self.feature = nn.Parameter(torch.randn(n_features, factors) * 0.1)
        self.feature_bias = nn.Parameter(torch.zeros(n_features))
        rows = n if identity else 0
        self.own = nn.Parameter(torch.randn(rows, factors) * 0.1)
        self.own_bias = nn.Parameter(torch.zeros(rows))

    def forward(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors `(n, factors)` and biases `(n,)`."""
        x = self.values[places]  # (n, n_features)
        vectors, bias = x @ self.feature, x @ self.feature_bias
        if len(self.own):
            vectors, bias = vectors + self.own[places], bias + self.own_bias[places]
        return vectors, bias


class FeatureFactorization(Recommender):
    """`<p_u, q_v> + b_v`, where p, q and b are sums over the features of the user and the video.

    This is the part of a factorisation machine that joins users with videos. A row of features is
    scaled to length 1; besides, everybody and everything has an identity.

    A cold video has features, but its identity was never trained and is left out: features alone
    give it a score (0 if it has none). An unknown user who has a row of features is answered from
    that, any other unknown user with what is popular; so is a user without features and without an
    event of positive weight.

    Parameters
    ----------
    video_features : DataFrame, optional
        One row a video, indexed by `video_id`, one column a feature, numbers or truth values; NaN
        says nothing. `metadata_features` makes some; embeddings will do as well.
    user_features : DataFrame, optional
        Likewise, indexed by `user_id`, also of users without events.
    factors : int
        Length of the vectors.
    identity : bool
        Whether users and videos have identities.
    loss : {"bpr", "softmax"}
        Pairs, a watched video before another that somebody else watched; or `in_batch_softmax`.
    epochs, batch_size : int
        Passes; events at once.
    learning_rate, weight_decay : float
        Of AdamW.
    seed : int
        Of first values and draws.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.
    """

    _learned: ClassVar = (
        "user_vectors", "video_vectors", "video_bias", "active", "own_features", "own_rows",
    )  # fmt: skip

    def __init__(
        self,
        video_features: pd.DataFrame | None = None,
        user_features: pd.DataFrame | None = None,
        factors: int = 32,
        identity: bool = True,
        loss: str = "bpr",
        epochs: int = 20,
        batch_size: int = 512,
        learning_rate: float = 0.01,
        weight_decay: float = 0.01,
        seed: int = 0,
        progress: bool = True,
        name: str = "feature factorisation",
    ):
        for label, value in (("factors", factors), ("epochs", epochs), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{label} is {value}; it must be at least 1.")
        if loss not in LOSSES:
            raise ValueError(f"loss is {loss!r}; choose from {', '.join(map(repr, LOSSES))}.")
        if video_features is None and not identity:
            raise ValueError("Without video_features and without identity nothing is known of one.")
        if not learning_rate > 0 or weight_decay < 0:
            raise ValueError("learning_rate must be positive, and weight_decay not negative.")
        self.video_features, self.user_features = video_features, user_features
        self.factors, self.identity, self.loss = int(factors), bool(identity), loss
        self.epochs, self.batch_size = int(epochs), int(batch_size)
        self.learning_rate, self.weight_decay = float(learning_rate), float(weight_decay)
        self.seed, self.progress, self.name = int(seed), progress, name

    def _fit(self, matrix: sparse.csr_array) -> None:
        liked = sparse.csr_array(matrix.maximum(0))
        liked.eliminate_zeros()
        users = feature_rows(self.user_features, self.user_ids, "user")
        videos = feature_rows(self.video_features, self.video_ids, "video")
        self.active = (np.diff(liked.indptr) > 0) | users.any(axis=1)
        warm = np.bincount(liked.indices, minlength=len(videos)) > 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            sides = [
                Side(torch.from_numpy(x), self.factors, self.identity).to(settings.device())
                for x in (users, videos)
            ]
            with settings.threads_for(
                3 * self.batch_size * self.factors * max(users.shape[1], videos.shape[1])
            ):
                self._train(*sides, liked, warm)
        self._keep(*sides, np.diff(liked.indptr) > 0, warm)

    def _train(self, users: Side, videos: Side, liked: sparse.csr_array, warm: np.ndarray) -> None:
        device = settings.device()
        counts = np.bincount(liked.indices, minlength=len(warm)) / max(liked.nnz, 1)
        share = torch.from_numpy(np.log(np.maximum(counts, 1e-12)).astype("f4")).to(device)
        optimizer = torch.optim.AdamW(
            [*users.parameters(), *videos.parameters()],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        rng = np.random.default_rng(self.seed)
        epochs = range(self.epochs if liked.nnz else 0)
        for _ in tqdm(epochs, desc=self.name, delay=2, leave=False, disable=not self.progress):
            for u, i, j in triples(liked, rng, self.batch_size):
                if self.loss == "bpr":
                    # a cold video is not disliked: its features must not learn that it is
                    kept = torch.from_numpy(warm)[j]
                    u, i, j = u[kept], i[kept], j[kept]
                if not len(u):
                    continue
                u, i, j = u.to(device), i.to(device), j.to(device)
                mine, _ = users(u)  # (batch, factors)
                better, bias = videos(i)
                if self.loss == "bpr":
                    worse, other_bias = videos(j)
                    lead = (mine * (better - worse)).sum(dim=1) + bias - other_bias
                    loss = nn.functional.softplus(-lead).mean()  # -ln sigmoid(lead)
                else:
                    loss = in_batch_softmax(mine @ better.T + bias, i, share[i])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    @torch.inference_mode()
    def _keep(self, users: Side, videos: Side, known: np.ndarray, warm: np.ndarray) -> None:
        """Vectors of all, without identities that were never trained."""
        self.feature_vectors = {
            "user": users.feature.cpu().numpy(),
            "video": videos.feature.cpu().numpy(),
            "video bias": videos.feature_bias.cpu().numpy(),
        }
        for side, trained in ((users, known), (videos, warm)):
            if len(side.own):
                cold = torch.from_numpy(~trained).to(side.own.device)
                side.own[cold], side.own_bias[cold] = 0, 0
        device = videos.own.device
        self.user_vectors = users(torch.arange(len(known), device=device))[0].cpu().numpy()
        vectors, bias = videos(torch.arange(len(warm), device=device))
        self.video_vectors, self.video_bias = vectors.cpu().numpy(), bias.cpu().numpy()
        frame = self.user_features
        ids = as_ids([] if frame is None else frame.index)
        self.own_rows = saving.encode_ids(ids)
        self.own_features = feature_rows(frame, ids, "user") @ self.feature_vectors["user"]

    def feature_names(self) -> list[str]:
        """Columns of `video_features`."""
        frame = self.video_features
        return [] if frame is None else [str(column) for column in frame.columns]

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.user_vectors[users] @ self.video_vectors.T + self.video_bias
        scores[~self.active[users]] = self.popularity
        return scores

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        described = pd.Index(saving.decode_ids(self.own_rows), dtype="str")
        rows = described.get_indexer(user_ids)
        scores = np.tile(self.popularity, (len(user_ids), 1))
        vectors = self.own_features[rows[rows >= 0]]
        told = np.flatnonzero(rows >= 0)[vectors.any(axis=1)]
        vectors = vectors[vectors.any(axis=1)]
        scores[told] = vectors @ self.video_vectors.T + self.video_bias
        return scores

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, without the features."""
        tables = ("video_features", "user_features")
        return {name: v for name, v in super().parameters().items() if name not in tables}

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        kept = dict(super()._state())
        for kind, frame in (("video", self.video_features), ("user", self.user_features)):
            if frame is not None:
                kept[f"{kind}.ids"] = saving.encode_ids(as_ids(frame.index))
                kept[f"{kind}.columns"] = saving.encode_ids(map(str, frame.columns))
                kept[f"{kind}.values"] = frame.to_numpy(dtype=np.float32)
        learned = {f"features.{kind}": array for kind, array in self.feature_vectors.items()}
        return {**kept, **learned}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> FeatureFactorization:
        tables: list[pd.DataFrame | None] = [None, None]
        for place, kind in enumerate(("video", "user")):
            if f"{kind}.values" in state:
                ids, columns = (saving.decode_ids(state[f"{kind}.{n}"]) for n in ("ids", "columns"))
                tables[place] = pd.DataFrame(state[f"{kind}.values"], index=ids, columns=columns)
        return cls(*tables, **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.feature_vectors = {
            name.removeprefix("features."): array
            for name, array in state.items()
            if name.startswith("features.")
        }


def feature_rows(features: pd.DataFrame | None, ids: pd.Index, kind: str = "video") -> np.ndarray:
    """Features in the order of `ids`, float32 `(n, n_features)`, each row of length 1 or all 0.

    Raises
    ------
    ValueError
        If an id has two rows.
    """
    if features is None:
        return np.zeros((len(ids), 0), dtype=np.float32)
    own = as_ids(features.index)
    if own.has_duplicates:
        twice = own[own.duplicated()][0]
        raise ValueError(f"Two rows of features for {kind} {twice!r}; keep one.")
    values = features.to_numpy(dtype=np.float32, na_value=np.nan)
    values = np.where(np.isfinite(values), values, 0)
    places = own.get_indexer(ids)
    rows = np.zeros((len(ids), values.shape[1]), dtype=np.float32)
    rows[places >= 0] = values[places[places >= 0]]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)
