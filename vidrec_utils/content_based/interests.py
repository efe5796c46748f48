"""Several interests of one user, kept apart instead of averaged into something in between.

References
----------
Pal et al.: PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest.
KDD 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from tqdm import tqdm

from vidrec_utils.content_based.profiles import VectorProfile
from vidrec_utils.content_based.vectors import aligned, unit_vectors
from vidrec_utils.explanations import Explanation
from vidrec_utils.recommender import position

if TYPE_CHECKING:
    from vidrec_utils.embeddings import Embeddings


def find_interests(vectors: np.ndarray, n: int) -> np.ndarray:
    """Group vectors into at most n clusters, by Ward's method (as PinnerSage does).

    Parameters
    ----------
    vectors : ndarray, shape (n_vectors, dim)
        Not changed.
    n : int
        Fewer clusters are found where there are fewer different vectors.

    Returns
    -------
    ndarray of int, shape (n_vectors,)
        Cluster of each vector, numbered from 0 in the order of their first vectors.
    """
    if len(vectors) < 2 or n == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    tree = linkage(vectors.astype(np.float64), method="ward")
    different = 1 + np.count_nonzero(tree[:, 2] > 1e-9)  # equal vectors merge at distance 0
    labels = fcluster(tree, min(n, different), criterion="maxclust")
    return pd.factorize(labels)[0].astype(np.int64)


class InterestRecommender(VectorProfile):
    """Videos near any one of a user's interests, instead of near the mean of all.

    The videos with positive weight are clustered (`find_interests`); an interest c is the weighted
    mean of its videos' unit vectors, scaled to length 1 (`m_c`), and has the share `s_c` of the
    user's weight. The score is `max_c s_c^importance <m_c, v_i>`. With one interest the ranking is
    that of `ContentRecommender`.

    Unknown users, users without usable history, and videos without vectors: see `HistoryProfile`.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        One row a video, indexed by `video_id`; rows with NaN are missing.
    interests : int
        At most so many a user.
    importance : float
        0: every interest has the same say, however small; 1: a say in proportion to its share.
    longest : int
        Only so many videos of the largest weight are clustered, since the work grows with the
        square of their number.
    dislike, half_life_days
        See `HistoryProfile`; what weighs less than nothing belongs to no interest.
    center : bool
        See `ContentRecommender`.
    name : str
        Shown in tables.
    progress : bool
        Show a bar when fitting takes longer than two seconds.

    Raises
    ------
    ValueError
        If interests or longest is below 1, or importance negative.
    """

    _learned: ClassVar = ("unit", "missing", "shares", "profiled", "centres", "starts", "interest")

    def __init__(
        self,
        vectors: Embeddings | pd.DataFrame,
        interests: int = 3,
        importance: float = 0.5,
        longest: int = 200,
        dislike: float = 0.0,
        half_life_days: float | None = None,
        center: bool = True,
        name: str = "interests",
        progress: bool = True,
    ):
        super().__init__(dislike, half_life_days)
        if interests < 1 or longest < 1 or not importance >= 0:
            raise ValueError(
                f"interests is {interests}, longest {longest}, importance {importance}; the first "
                "two must be at least 1 and the last not negative."
            )
        self.vectors, self.center = vectors, center
        self.interests, self.longest = int(interests), int(longest)
        self.importance = float(importance)
        self.name, self.progress = name, progress

    def interests_of(self, user_id: str) -> pd.DataFrame:
        """The videos of a user's history by the interest that they belong to.

        Returns
        -------
        DataFrame
            `video_id, interest` (from 0, the one with the largest share first)`, share` (of the
            user's weight), sorted by interest and share. Empty for a user without any.

        Raises
        ------
        KeyError
            If the user is unknown.
        """
        row = position(self.user_ids, user_id, "user")
        history = self.shares[[row]].tocoo()
        own = self.interest[self.shares.indptr[row] : self.shares.indptr[row + 1]]
        found = pd.DataFrame(
            {"video_id": self.video_ids[history.col], "interest": own, "share": history.data}
        )
        found = found[own >= 0]
        order = found.groupby("interest")["share"].sum().sort_values(ascending=False, kind="stable")
        found["interest"] = found["interest"].map({old: new for new, old in enumerate(order.index)})
        by = found.sort_values(["interest", "share"], ascending=[True, False], kind="stable")
        return by.reset_index(drop=True)

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score into what each video of the winning interest contributes.

        Returns
        -------
        Explanation
            As from `HistoryExplainable.explain`, with the videos of one interest only.

        Raises
        ------
        KeyError, NotExplainable
            As `HistoryExplainable.explain`.
        """
        table = super().explain(user_id, video_id).table
        user, video = self._explained_positions(user_id, video_id)
        centres = self.centres[self.starts[user] : self.starts[user + 1]]
        winner = int(np.argmax(centres @ self.unit[video]))
        span = slice(self.shares.indptr[user], self.shares.indptr[user + 1])
        members = self.interest[span] == winner
        columns = self.shares.indices[span][members]
        rows = table[table["reason"].isin(self.video_ids[columns])].copy()
        # the centre is the mean scaled to its length: the same factor for each of its videos
        mean = self.shares.data[span][members] @ self.unit[columns]
        rows["weight"] *= np.linalg.norm(centres[winner]) / max(np.linalg.norm(mean), 1e-12)
        rows["contribution"] = rows["weight"] * rows["similarity"]
        return Explanation.from_rows(user_id, video_id, rows)

    def _fit(self, matrix: sparse.csr_array) -> None:
        vectors = aligned(self.vectors, self.video_ids)
        missing = ~np.isfinite(vectors).all(axis=1)
        self.unit = unit_vectors(vectors, missing, self.center)
        self._share(matrix.maximum(0), missing)
        self.shares.sort_indices()
        self.interest = np.full(self.shares.nnz, -1, dtype=np.int64)
        centres, counts = [], np.zeros(len(self.user_ids), dtype=np.int64)
        users = tqdm(
            range(len(counts)), desc=self.name, unit="user", delay=2, disable=not self.progress
        )
        for user in users:
            found = self._cluster(user)
            counts[user] = len(found)
            centres.append(found)
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.centres = np.concatenate([np.zeros((0, self.unit.shape[1]), np.float32), *centres])

    def _cluster(self, user: int) -> np.ndarray:
        """Set the interests of a user's history; their weighted centres, `(n_interests, dim)`."""
        start, stop = self.shares.indptr[user], self.shares.indptr[user + 1]
        weights = self.shares.data[start:stop]
        kept = np.sort(np.argsort(-weights, kind="stable")[: self.longest])
        rows, weights = self.unit[self.shares.indices[start:stop][kept]], weights[kept]
        labels = find_interests(rows, self.interests)
        self.interest[start + kept] = labels
        n = labels.max(initial=-1) + 1
        belongs = (labels == np.arange(n)[:, None]) * weights  # (interests, videos)
        centres = (belongs @ rows).astype(np.float32)
        length = np.linalg.norm(centres, axis=1, keepdims=True)
        say = belongs.sum(axis=1, keepdims=True).astype(np.float32) ** self.importance
        return say * np.divide(centres, length, out=np.zeros_like(centres), where=length > 1e-12)

    def _score(self, users: np.ndarray) -> np.ndarray:
        counts = np.diff(self.starts)[users]
        scores = np.zeros((len(users), len(self.video_ids)), dtype=np.float32)
        for place in range(counts.max(initial=0)):  # at most `interests` rounds
            has = np.flatnonzero(counts > place)
            found = self.centres[self.starts[users[has]] + place] @ self.unit.T
            scores[has] = found if place == 0 else np.maximum(scores[has], found)
        return self._complete(scores, users)
