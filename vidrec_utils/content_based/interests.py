"""Several interests of one user, kept apart instead of averaged into something in between.

References
----------
Pal et al.: PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest.
KDD 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from tqdm import tqdm

from vidrec_utils import arguments, saving
from vidrec_utils.content_based.profiles import VectorProfile
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.explanations import Explanation
from vidrec_utils.recommender import position
from vidrec_utils.saving import Array


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

    Examples
    --------
    >>> import numpy as np
    >>> find_interests(np.array([[0, 1], [1, 0], [1, 0.1], [0.1, 1]]), n=2).tolist()
    [0, 1, 1, 0]
    """
    if len(vectors) < 2 or n == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    tree = linkage(vectors.astype(np.float64), method="ward")
    different = 1 + np.count_nonzero(tree[:, 2] > 1e-9)  # equal vectors merge at distance 0
    labels = fcluster(tree, min(n, different), criterion="maxclust")
    return pd.factorize(labels)[0].astype(np.int64)


class InterestRecommender(VectorProfile):
    """Videos near any one of a user's interests, instead of near the mean of all.

    The videos that a user enjoyed are clustered (`find_interests`): those with an event that weighs
    `least` or more. Most exposures weigh a little, and what was left after some seconds is no
    interest. An interest c is the weighted mean of its videos' unit vectors, scaled to length 1
    (`m_c`), and has the share `s_c` of the user's weight. The score is
    `max_c s_c^importance <m_c, v_i>`. With one interest and `least=0` the ranking is that of
    `ContentRecommender`.

    Unknown users, users without usable history, and videos without vectors: see `HistoryProfile`.

    Parameters
    ----------
    vectors : Embeddings or DataFrame
        One row a video, indexed by `video_id`; rows with NaN are missing.
    interests : int
        Largest number of interests of a user.
    importance : float
        0: every interest counts the same, however small; 1: in proportion to its share.
    least : float
        Smallest event weight that counts as enjoyed. 0: every event of positive weight.
    longest : int
        Only this many videos, those of the largest weight, are clustered, since the work grows with
        the square of their number.
    dislike, half_life_days
        See `HistoryProfile`; what has a negative weight belongs to no interest.
    center : bool
        See `ContentRecommender`.
    name : str
        Shown in tables.
    progress : bool
        Show a bar when fitting takes longer than two seconds.

    Raises
    ------
    ValueError
        If interests or longest is below 1, or importance or least negative.

    Examples
    --------
    A history of two topics has two interests, each with half of the weight:

    >>> import pandas as pd
    >>> vectors = pd.DataFrame({"x": [1, 0, 1, 0], "y": [0, 1, 0, 1]}, index=list("abcd"))
    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob", "bob"], "video_id": list("abcd")})
    >>> model = InterestRecommender(vectors, center=False).fit(log.assign(watch_ratio=1.0))
    >>> print(model.interests_of("ann").to_string(index=False))
    video_id  interest  share
           a         0    0.5
           b         1    0.5
    """

    _learned: ClassVar = ("unit", "missing", "shares", "profiled", "centres", "starts", "interest")

    def __init__(
        self,
        vectors: Embeddings | pd.DataFrame,
        interests: int = 3,
        importance: float = 0.5,
        longest: int = 200,
        least: float = 0.5,
        dislike: float = 0.0,
        half_life_days: float | None = None,
        center: bool = True,
        name: str = "interests",
        progress: bool = True,
    ):
        super().__init__(dislike, half_life_days)
        arguments.at_least(1, interests=interests, longest=longest)
        arguments.at_least(0, importance=importance, least=least)
        self._set_arguments(locals())

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
        table = pd.DataFrame(
            {"video_id": self.video_ids[history.col], "interest": own, "share": history.data}
        )
        table = table[own >= 0]
        order = table.groupby("interest")["share"].sum().sort_values(ascending=False, kind="stable")
        table["interest"] = table["interest"].map({old: new for new, old in enumerate(order.index)})
        table = table.sort_values(["interest", "share"], ascending=[True, False], kind="stable")
        return table.reset_index(drop=True)

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
        rows["weight"] *= np.linalg.norm(centres[winner]) / max(float(np.linalg.norm(mean)), 1e-12)
        rows["contribution"] = rows["weight"] * rows["similarity"]
        return Explanation.from_rows(user_id, video_id, rows)

    def _reweigh(self, weights: pd.Series, interactions: pd.DataFrame) -> pd.Series:
        # before age counts: what was enjoyed long ago was enjoyed
        return super()._reweigh(weights.where(weights >= self.least, 0.0), interactions)

    def _fit(self, matrix: sparse.csr_array) -> None:
        self._share(matrix.maximum(0), self._unit_vectors())
        self.shares.sort_indices()
        # the interest of each entry of `shares`, -1 for none, and the centres of each user
        self.interest = np.full(self.shares.nnz, -1, dtype=np.int64)
        users = range(len(self.user_ids))
        bar = tqdm(users, desc=self.name, unit="user", delay=2, disable=not self.progress)
        centres = [self._cluster(user) for user in bar]  # each (n_interests, dim)
        # the centres of user u are rows starts[u] to starts[u + 1]
        self.starts = np.cumsum([0, *map(len, centres)], dtype=np.int64)
        self.centres = np.concatenate([np.zeros((0, self.unit.shape[1]), np.float32), *centres])

    def _cluster(self, user: int) -> np.ndarray:
        """Set the interests of a user's history; their weighted centres, `(n_interests, dim)`."""
        # the history of the user, cut to the videos of the largest weight
        start = self.shares.indptr[user]
        stop = self.shares.indptr[user + 1]
        weights = self.shares.data[start:stop]
        kept = np.sort(np.argsort(-weights, kind="stable")[: self.longest])
        weights = weights[kept]  # (videos,)
        rows = self.unit[self.shares.indices[start:stop][kept]]  # v_j (videos, dim)
        labels = find_interests(rows, self.interests)
        self.interest[start + kept] = labels
        # m_c: weighted mean of the vectors of cluster c, of length 1  (interests, dim)
        n = labels.max(initial=-1) + 1
        members = (labels == np.arange(n)[:, None]) * weights  # (interests, videos)
        centres = (members @ rows).astype(np.float32)
        unit = unit_rows(centres, 1e-12)
        # s_c^importance: what the interest counts by its share of the weight  (interests, 1)
        return members.sum(axis=1, keepdims=True).astype(np.float32) ** self.importance * unit

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        saving.check_indices("starts", self.starts, 0, len(self.centres) + 1)
        ordered = (
            self.starts.shape == (len(self.user_ids) + 1,) and (np.diff(self.starts) >= 0).all()
        )
        if not ordered or self.interest.shape != self.shares.data.shape:
            raise ValueError("starts or interest do not fit the users and their histories")

    def _score(self, users: np.ndarray) -> np.ndarray:
        # max_c s_c^importance <m_c, v_i>: the first interests of all users, then the second, ...
        counts = np.diff(self.starts)[users]
        scores = np.zeros((len(users), len(self.video_ids)), dtype=np.float32)
        for number in range(counts.max(initial=0)):
            rows = np.flatnonzero(counts > number)  # users that have such an interest
            similarity = self.centres[self.starts[users[rows]] + number] @ self.unit.T
            scores[rows] = similarity if number == 0 else np.maximum(scores[rows], similarity)
        return self._complete(scores, users)
