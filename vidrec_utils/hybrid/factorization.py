"""Factorisation with features: the vector of a user or a video is the sum of its features'.

References
----------
Rendle: Factorization Machines. ICDM 2010.
Kula: Metadata Embeddings for User and Item Cold-start Recommendations. CBRecSys 2015
(arXiv:1507.08439), known as LightFM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn

from vidrec_utils import arguments, saving, settings
from vidrec_utils.behavior_based.bpr import triples
from vidrec_utils.content_based.vectors import rows_by_id
from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.hybrid.sampled_softmax import in_batch_softmax
from vidrec_utils.recommender import DrawsNegatives, as_ids
from vidrec_utils.saving import Array, below

LOSSES = ("bpr", "softmax")


class Side(nn.Module):
    """Users, or videos: `vector = sum_f x_f e_f`, and `bias = sum_f x_f b_f`.

    Parameters
    ----------
    values : Tensor, shape (n, n_features)
        Features of all users, or of all videos.
    factors : int
        Length of the vectors.
    identity : bool
        Whether each user or video has, in addition, a feature of its own.
    """

    def __init__(self, values: torch.Tensor, factors: int, identity: bool):
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        n, n_features = values.shape
        self.feature = nn.Parameter(torch.randn(n_features, factors) * 0.1)  # e_f
        self.feature_bias = nn.Parameter(torch.zeros(n_features))  # b_f
        rows = n if identity else 0
        self.own = nn.Parameter(torch.randn(rows, factors) * 0.1)  # e of the identities
        self.own_bias = nn.Parameter(torch.zeros(rows))

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors `(n, factors)` and biases `(n,)`."""
        x = self.values[positions]  # (n, n_features)
        vectors = x @ self.feature  # sum_f x_f e_f, (n, factors)
        bias = x @ self.feature_bias  # sum_f x_f b_f, (n,)
        if len(self.own):
            vectors = vectors + self.own[positions]  # the identity is one more feature, x = 1
            bias = bias + self.own_bias[positions]
        return vectors, bias


class FeatureFactorization(DrawsNegatives):
    """`s_uv = <p_u, q_v> + b_v`, where p, q and b are sums over the features of user and video.

    These are the terms of a factorisation machine that join users with videos. A row of features is
    scaled to length 1; in addition, every user and every video has an identity.

    A cold video has features, but its identity was never trained and is left out: features alone
    give it a score (0 if it has none). An unknown user who has a row of features is scored from
    that, any other unknown user by what is popular; so is a user without features and without an
    event of positive weight.

    Parameters
    ----------
    video_features : DataFrame, optional
        One row a video, indexed by `video_id`, one column a feature, numbers or truth values; NaN
        counts as 0. `metadata_features` makes some; embeddings will do as well.
    user_features : DataFrame, optional
        Likewise, indexed by `user_id`, also of users without events.
    factors : int
        Length of the vectors.
    identity : bool
        Whether users and videos have identities.
    loss : {"bpr", "softmax"}
        Pairs, a watched video before another that somebody else watched; or `in_batch_softmax`.
        Either learns from videos only that could have been shown (see `DrawsNegatives`).
    epochs, batch_size : int
        Passes over the events; events at once.
    learning_rate, weight_decay : float
        Options of AdamW.
    seed : int
        Initial vectors and pairs are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Examples
    --------
    Ann likes cats, bob likes dogs; nobody watched "d", but it is about a dog:

    >>> from vidrec_utils.datasets import VideoLibrary
    >>> features = pd.DataFrame({"cat": [1, 1, 0, 0], "dog": [0, 0, 1, 1]}, index=list("abcd"))
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "c")], columns=["user_id", "video_id"]
    ... ).assign(watch_ratio=1.0)
    >>> videos = pd.DataFrame({"video_id": features.index})
    >>> library = VideoLibrary(videos=videos, interactions=log)
    >>> model = FeatureFactorization(features, factors=4, epochs=50, progress=False).fit(library)
    >>> scores = pd.Series(model.score("bob")[0], model.video_ids)
    >>> bool(scores["d"] > scores["a"])
    True
    """

    _array_arguments: ClassVar = ("video_features", "user_features")
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
        arguments.at_least(1, factors=factors, epochs=epochs, batch_size=batch_size)
        arguments.one_of(LOSSES, loss=loss)
        if video_features is None and not identity:
            raise ValueError(
                "Give video_features, or set identity=True: otherwise videos have no "
                "representation."
            )
        arguments.positive(learning_rate=learning_rate)
        arguments.at_least(0, weight_decay=weight_decay)
        self._set_arguments(locals())
        self.knows_cold_videos = video_features is not None

    def _fit(self, matrix: sparse.csr_array) -> None:
        liked = sparse.csr_array(matrix.maximum(0))  # (n_users, n_videos)
        liked.eliminate_zeros()
        x_users = feature_rows(self.user_features, self.user_ids, "user")
        x_videos = feature_rows(self.video_features, self.video_ids, "video")
        known = np.diff(liked.indptr) > 0  # (n_users,)
        warm = np.bincount(liked.indices, minlength=len(x_videos)) > 0  # (n_videos,)
        self.active = known | x_users.any(axis=1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            users, videos = (
                Side(torch.from_numpy(x), self.factors, self.identity).to(settings.device())
                for x in (x_users, x_videos)
            )
            widest = max(x_users.shape[1], x_videos.shape[1])
            with settings.threads_for(3 * self.batch_size * self.factors * widest):
                self._train(users, videos, liked, warm)
        self._keep(users, videos, known, warm)

    def _train(self, users: Side, videos: Side, liked: sparse.csr_array, warm: np.ndarray) -> None:
        device = settings.device()
        # log q_i, the logarithm of each video's share of the events, (n_videos,)
        share = np.bincount(liked.indices, minlength=len(warm)) / max(liked.nnz, 1)
        log_q = torch.from_numpy(np.log(np.maximum(share, 1e-12)).astype("f4")).to(device)
        optimizer = torch.optim.AdamW(
            [*users.parameters(), *videos.parameters()],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        rng = np.random.default_rng(self.seed)
        for _ in self._rounds(self.epochs if liked.nnz else 0):
            # u watched i, and not j: each (batch,)
            for batch in triples(liked, rng, self.batch_size, online=self.online):
                if self.loss == "bpr":
                    # a cold video is not disliked: its features must not learn that it is
                    kept = torch.from_numpy(warm)[batch[2]]
                    batch = [positions[kept] for positions in batch]
                if not len(batch[0]):
                    continue
                u, i, j = (positions.to(device) for positions in batch)
                p_u, _ = users(u)  # (batch, factors)
                q_i, b_i = videos(i)  # (batch, factors), (batch,)
                if self.loss == "bpr":
                    q_j, b_j = videos(j)
                    # s_ui - s_uj = <p_u, q_i - q_j> + b_i - b_j, (batch,)
                    difference = (p_u * (q_i - q_j)).sum(dim=1) + b_i - b_j
                    loss = nn.functional.softplus(-difference).mean()  # -ln sigmoid(difference)
                else:
                    # s_ui for every i of the batch, (batch, batch)
                    shown = None
                    if self.online is not None:  # who could have been shown what, (batch, batch)
                        user, video = batch[0].numpy(), batch[1].numpy()
                        published = self.online.published(user[:, None], video[None])
                        shown = torch.from_numpy(published).to(device)
                    loss = in_batch_softmax(p_u @ q_i.T + b_i, i, log_q[i], shown=shown)
                # one step of AdamW
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    @torch.inference_mode()
    def _keep(self, users: Side, videos: Side, known: np.ndarray, warm: np.ndarray) -> None:
        """Keep the vectors of all users and videos, without identities that were never trained."""
        self.feature_vectors = {
            "user": users.feature.cpu().numpy(),
            "video": videos.feature.cpu().numpy(),
            "video bias": videos.feature_bias.cpu().numpy(),
        }
        for side, trained in ((users, known), (videos, warm)):
            if len(side.own):
                cold = torch.from_numpy(~trained).to(side.own.device)
                side.own[cold] = 0
                side.own_bias[cold] = 0
        device = videos.own.device
        p, _ = users(torch.arange(len(known), device=device))
        q, b = videos(torch.arange(len(warm), device=device))
        self.user_vectors = p.cpu().numpy()  # (n_users, factors)
        self.video_vectors = q.cpu().numpy()  # (n_videos, factors)
        self.video_bias = b.cpu().numpy()  # (n_videos,)
        # whoever has a row of features, also without events: p = x E
        frame = self.user_features
        ids = as_ids([] if frame is None else frame.index)
        self.own_rows = saving.encode_ids(ids)
        self.own_features = feature_rows(frame, ids, "user") @ self.feature_vectors["user"]

    def feature_names(self) -> list[str]:
        """Columns of `video_features`."""
        frame = self.video_features
        return [] if frame is None else [str(column) for column in frame.columns]

    def _score(self, users: np.ndarray) -> np.ndarray:
        # P Q^T + b, (n_users, n_videos)
        scores = self.user_vectors[users] @ self.video_vectors.T + self.video_bias
        scores[~self.active[users]] = self.popularity
        return scores

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        scores = np.tile(self.popularity, (len(user_ids), 1))
        described_ids = pd.Index(saving.decode_ids(self.own_rows), dtype="str")
        rows = described_ids.get_indexer(user_ids)
        vectors = self.own_features[rows[rows >= 0]]
        described = np.flatnonzero(rows >= 0)[vectors.any(axis=1)]
        vectors = vectors[vectors.any(axis=1)]
        scores[described] = vectors @ self.video_vectors.T + self.video_bias
        return scores

    def _state(self) -> dict[str, Array]:
        tables = {"video": self.video_features, "user": self.user_features}
        arrays = {
            f"{kind}.{name}": array
            for kind, frame in tables.items()
            if frame is not None
            for name, array in saving.encode_frame(frame).items()
        }
        vectors = {f"features.{kind}": array for kind, array in self.feature_vectors.items()}
        return {**super()._state(), **arrays, **vectors}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        tables = {
            f"{kind}_features": saving.decode_frame(below(state, f"{kind}."))
            for kind in ("video", "user")
            if f"{kind}.values" in state
        }
        return cls(**tables, **parameters)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.feature_vectors = below(state, "features.")
        if len(self.own_features) != len(saving.decode_ids(self.own_rows)):
            raise ValueError("own_features has not one row for each user of own_rows")


def feature_rows(features: pd.DataFrame | None, ids: pd.Index, kind: str = "video") -> np.ndarray:
    """Features in the order of `ids`, float32 `(n, n_features)`, each row of length 1 or all 0.

    Raises
    ------
    ValueError
        If an id has two rows.
    """
    if features is None:
        return np.zeros((len(ids), 0), dtype=np.float32)
    rows = rows_by_id(features, ids, f"rows of features for {kind}")
    return unit_rows(np.where(np.isfinite(rows), rows, np.float32(0)), 1e-12)
