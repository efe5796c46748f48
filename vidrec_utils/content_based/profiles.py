"""Recommending what resembles what a user liked, by vectors of titles, thumbnails or clips.

A profile is the weighted mean of the vectors of the videos that a user was shown. A video's score
is its inner product with the profile. The score is a sum over the user's history, so each watched
video's contribution to it is known exactly (`HistoryProfile.explain`).

References
----------
Lops, de Gemmis, Semeraro: Content-based Recommender Systems. Recommender Systems Handbook, 2011.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.content_based.vectors import VectorModel
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.events import as_ids, times_of
from vidrec_utils.explanations import HistoryExplainable, NotExplainable
from vidrec_utils.recommender import Recommender, position


class HistoryProfile(HistoryExplainable, Recommender):
    """A score that is the sum, over a user's videos, of a share times a similarity.

    With `w_uj` the weight of user u's events with video j, the share of j is
    `w_uj / sum_j |w_uj|` over the videos that have content. Videos without content have no share,
    and their scores lie just below all others of a row. A user without any such history, and an
    unknown user, gets the popularity answer. A cold video with content is scored like any other.

    Parameters
    ----------
    dislike : float
        Subtract this multiple of the mean event weight from each event, so that what was shown and
        skipped pushes the profile away. 0: only attraction.
    half_life_days : float, optional
        An event this much older than the user's last counts half; default: age does not matter.

    Raises
    ------
    ValueError
        If half_life_days is not positive.
    """

    missing: np.ndarray
    shares: sparse.csr_array
    profiled: np.ndarray

    def __init__(self, dislike: float = 0.0, half_life_days: float | None = None):
        if half_life_days is not None:
            arguments.positive(half_life_days=half_life_days)
        self._set_arguments(locals())

    def similar(self, video_id: str, k: int = 10) -> pd.DataFrame:
        """The k videos most similar to one, by the similarity that the score sums up.

        Returns
        -------
        DataFrame
            `video_id, similarity`, most similar first; videos without content are left out.

        Raises
        ------
        KeyError
            If the video is not in the catalogue.
        ValueError
            If it has no vector (or no term).
        """
        row = position(self.video_ids, video_id, "video")
        if self.missing[row]:
            raise ValueError(f"Video {video_id!r} has no vector, so nothing is similar to it.")
        similarity = self._similarity(np.array([row]), np.arange(len(self.video_ids)))[0]
        similarity[self.missing] = -np.inf
        similarity[row] = -np.inf
        return self._best_of(similarity, k, "similarity")

    @property
    def history(self) -> sparse.csr_array:
        """Share of each video in the history of each user, `(n_users, n_videos)`."""
        return self.shares

    def _explained_positions(self, user_id: str, video_id: str) -> tuple[int, int]:
        user, video = super()._explained_positions(user_id, video_id)
        if self.missing[video]:
            raise NotExplainable(
                f"Video {video_id!r} has no vector: it is ranked last, not scored."
            )
        return user, video

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        return self._similarity(columns, np.array([video]))[:, 0]

    def _reweigh(self, weights: pd.Series, interactions: pd.DataFrame) -> pd.Series:
        # w <- w - dislike mean(w)
        weights = weights - self.dislike * weights.mean() if len(weights) else weights
        if self.half_life_days is None:
            return weights
        # w <- w 0.5^(t / half_life), with t the days before the user's last event
        times = times_of(interactions, "so no event is older than another; use half_life_days=None")
        last = times.groupby(as_ids(interactions["user_id"])).transform("max")
        days = (last - times).dt.total_seconds() / 86_400
        return weights * 0.5 ** (days.fillna(np.inf) / self.half_life_days)

    def _share(self, matrix: sparse.csr_array, missing: np.ndarray) -> None:
        """Set `missing`, `shares` and `profiled` from the summed weights."""
        self.missing = missing
        usable = matrix @ sparse.diags_array((~missing).astype(np.float32))  # w_uj with content
        total = abs(usable).sum(axis=1)  # sum_j |w_uj| (n_users,)
        self.profiled = total > 0
        scale = np.divide(1, total, out=np.zeros_like(total), where=self.profiled)
        self.shares = sparse.csr_array(sparse.diags_array(scale.astype(np.float32)) @ usable)
        self.shares.eliminate_zeros()

    def _complete(self, scores: np.ndarray, users: np.ndarray) -> np.ndarray:
        """Give videos without content and users without profile their defined scores, in place."""
        if self.missing.any() and not self.missing.all():
            lowest = scores[:, ~self.missing].min(axis=1, keepdims=True)
            scores[:, self.missing] = np.nextafter(lowest, np.float32(-np.inf))
        scores[~self.profiled[users]] = self.popularity
        return scores

    @abstractmethod
    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Contribution of a unit share of each video of `history` to each column, `(n, m)`."""


class VectorProfile(VectorModel, HistoryProfile):
    """A history profile over vectors of the caller."""

    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self.unit[history] @ self.unit[columns].T


class ContentRecommender(VectorProfile):
    """Videos whose vectors point where the user's profile points.

    With `v_j` the centred, unit-length vector of video j and `w_uj` the weight of user u's events
    with it, the score is `sum_j w_uj <v_j, v_i> / sum_j |w_uj|`.

    A video without a vector (no file, a broken one) scores just below all others of a row, and
    has no share in a profile. A user whose history has no vector or no weight, and an unknown user,
    gets the popularity answer. A cold video with a vector is scored like any other.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        One row a video, indexed by `video_id`; rows with NaN are missing.
    center : bool
        Subtract the catalogue's mean vector first. Embeddings of one network share a large common
        component, which makes everything resemble everything.
    dislike : float
        Subtract this multiple of the mean event weight from each event, so that what was shown and
        skipped pushes the profile away. 0: only attraction.
    half_life_days : float, optional
        An event this much older than the user's last counts half; default: age does not matter.
    name : str
        Shown in tables.

    Examples
    --------
    >>> import pandas as pd
    >>> vectors = pd.DataFrame({"x": [1, 1, 0, 0], "y": [0, 0, 1, 1]}, index=list("abcd"))
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"], "watch_ratio": [1.0]})
    >>> class Library:  # a catalogue of four videos, of which one was watched
    ...     videos = pd.DataFrame(index=list("abcd"))
    ...     interactions = log
    >>> model = ContentRecommender(vectors).fit(Library())
    >>> model.recommend("ann", k=1)["video_id"].item()
    'b'
    >>> print(model.explain("ann", "b").table.round(2).to_string(index=False))
       kind reason  contribution  weight  similarity
    history      a           1.0     1.0         1.0
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
        super().__init__(dislike, half_life_days)
        self._set_arguments(locals())

    def _fit(self, matrix: sparse.csr_array) -> None:
        self._share(matrix, self._unit_vectors())
        # p_u = sum_j share_uj v_j  (n_users, dim)
        self.profiles = (self.shares @ self.unit).astype(np.float32)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._complete(self.profiles[users] @ self.unit.T, users)  # <p_u, v_i>
