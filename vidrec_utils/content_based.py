"""Recommending what resembles what a user liked, by vectors of titles, thumbnails or clips.

A profile is the weighted mean of the vectors of the videos that a user was shown; a video's score
is its inner product with the profile. The score is a sum over the user's history, so each watched
video's part in it can be told exactly (`ContentRecommender.explain`).

References
----------
Lops, de Gemmis, Semeraro: Content-based Recommender Systems. Recommender Systems Handbook, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.recommender import Recommender, as_ids, explanation, position, top_k

if TYPE_CHECKING:
    from vidrec_utils.embeddings import Embeddings


class ContentRecommender(Recommender):
    """Videos whose vectors point where the user's profile points.

    With `v_j` the centred, unit-length vector of video j and `w_uj` the weight of user u's events
    with it, the score is `sum_j w_uj <v_j, v_i> / sum_j |w_uj|`.

    A video without a vector (no file, a broken one) scores just below all others of a row, and
    counts nothing in a profile. A user whose history has no vector or no weight, and an unknown
    user, gets the popularity answer. A cold video with a vector is scored like any other.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        One row a video, indexed by `video_id`; rows with NaN are missing.
    center : bool
        Subtract the catalogue's mean vector first. Embeddings of one network share a large common
        part, which makes everything resemble everything.
    dislike : float
        Subtract this multiple of the mean event weight from each event, so that what was shown and
        skipped pushes the profile away. 0: only attraction.
    half_life_days : float, optional
        An event this much older than the user's last counts half; default: age does not matter.
    name : str
        Shown in tables.
    """

    _learned: ClassVar = ("unit", "missing", "shares", "profiles", "profiled")

    def __init__(
        self,
        vectors: Embeddings | pd.DataFrame,
        center: bool = True,
        dislike: float = 0.0,
        half_life_days: float | None = None,
        name: str = "content",
    ):
        if half_life_days is not None and not half_life_days > 0:
            raise ValueError(f"half_life_days is {half_life_days}; it must be positive, or None.")
        self.vectors = vectors
        self.center = center
        self.dislike = dislike
        self.half_life_days = half_life_days
        self.name = name

    def similar(self, video_id: str, k: int = 10) -> pd.DataFrame:
        """The k videos most like one, by cosine of the centred vectors.

        Returns
        -------
        DataFrame
            `video_id, similarity`, most similar first; videos without a vector are left out.

        Raises
        ------
        KeyError
            If the video is not in the catalogue.
        ValueError
            If it has no vector.
        """
        row = position(self.video_ids, video_id, "video")
        if self.missing[row]:
            raise ValueError(f"Video {video_id!r} has no vector, so nothing is similar to it.")
        cosine = self.unit @ self.unit[row]
        cosine[self.missing], cosine[row] = -np.inf, -np.inf
        best = top_k(cosine[None], k)[0]
        best = best[cosine[best] > -np.inf]
        return pd.DataFrame({"video_id": self.video_ids[best], "similarity": cosine[best]})

    def explain(self, user_id: str, video_id: str) -> pd.DataFrame:
        """Split a score exactly into what each video of the user's history gave to it.

        Returns
        -------
        DataFrame
            `video_id, weight` (share of the user's total)`, similarity` (cosine with the video that
            is explained)`, contribution` (their product), largest contribution first. The
            contributions add up to the score.

        Raises
        ------
        KeyError
            If the user or the video is unknown.
        ValueError
            If the score is not made of contributions: the video has no vector, or the user got the
            popularity answer.
        """
        row = position(self.user_ids, user_id, "user")
        column = position(self.video_ids, video_id, "video")
        if self.missing[column]:
            raise ValueError(f"Video {video_id!r} has no vector: it is ranked last, not scored.")
        if not self.profiled[row]:
            raise ValueError(
                f"User {user_id!r} has no history with vectors and weights: the answer is what is "
                "popular."
            )
        history = self.shares[[row]].tocoo()
        similarity = self.unit[history.col] @ self.unit[column]
        return explanation(self.video_ids[history.col], history.data, similarity)

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, without the vectors."""
        return {name: v for name, v in super().parameters().items() if name != "vectors"}

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        return {**super()._state(), "vectors": _aligned(self.vectors, self.video_ids)}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> ContentRecommender:
        return cls(pd.DataFrame(state["vectors"]), **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.vectors.index = self.video_ids

    def _reweigh(self, weights: pd.Series, interactions: pd.DataFrame) -> pd.Series:
        weights = weights - self.dislike * weights.mean() if len(weights) else weights
        if self.half_life_days is None:
            return weights
        last = interactions.groupby("user_id")["timestamp"].transform("max")
        days = (last - interactions["timestamp"]).dt.total_seconds() / 86_400
        return weights * 0.5 ** (days.fillna(np.inf) / self.half_life_days)

    def _fit(self, matrix: sparse.csr_array) -> None:
        vectors = _aligned(self.vectors, self.video_ids)
        self.missing = ~np.isfinite(vectors).all(axis=1)
        self.unit = unit_vectors(vectors, self.missing, self.center)
        usable = matrix @ sparse.diags_array((~self.missing).astype(np.float32))
        total = abs(usable).sum(axis=1)
        self.profiled = total > 0
        scale = np.divide(1, total, out=np.zeros_like(total), where=self.profiled)
        self.shares = sparse.csr_array(sparse.diags_array(scale.astype(np.float32)) @ usable)
        self.shares.eliminate_zeros()
        self.profiles = (self.shares @ self.unit).astype(np.float32)

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.profiles[users] @ self.unit.T
        if self.missing.any() and not self.missing.all():
            lowest = scores[:, ~self.missing].min(axis=1, keepdims=True)
            scores[:, self.missing] = np.nextafter(lowest, np.float32(-np.inf))
        scores[~self.profiled[users]] = self.popularity
        return scores


def unit_vectors(vectors: np.ndarray, missing: np.ndarray, center: bool = True) -> np.ndarray:
    """Centre rows on the mean of those present and scale each to length 1; missing rows become 0.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Not changed.
    missing : ndarray of bool, shape (n,)
        Rows to leave out of the mean and set to zero.
    center : bool
        Whether to subtract the mean.

    Returns
    -------
    ndarray of float32, shape (n, dim)
        A row that equals the mean has no direction and stays 0.
    """
    rows = np.array(vectors, dtype=np.float32)
    rows[missing] = 0
    if center and not missing.all():
        rows[~missing] -= rows[~missing].mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)


def _aligned(vectors: Embeddings | pd.DataFrame, video_ids: pd.Index) -> np.ndarray:
    """Vectors in the catalogue's order, NaN rows for the missing."""
    frame = vectors if isinstance(vectors, pd.DataFrame) else vectors.frame()
    ids = as_ids(frame.index)
    if ids.has_duplicates:
        raise ValueError(f"Two vectors for video {ids[ids.duplicated()][0]!r}; keep one.")
    positions = ids.get_indexer(video_ids)
    if (positions < 0).all():
        raise ValueError(
            f"None of the {len(video_ids)} videos has a vector: the vectors' ids start with "
            f"{list(ids[:2])}, the catalogue's with {list(video_ids[:2])}."
        )
    values = frame.to_numpy(dtype=np.float32)
    out = np.full((len(video_ids), values.shape[1]), np.nan, dtype=np.float32)
    out[positions >= 0] = values[positions[positions >= 0]]
    return out
