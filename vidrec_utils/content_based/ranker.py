"""A small learned ranker: which agreements between user and video are worth how much.

References
----------
Richardson, Dominowska, Ragno: Predicting Clicks: Estimating the Click-Through Rate for New Ads.
WWW 2007 (logistic regression on features of content).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from vidrec_utils.content_based.profiles import HistoryProfile
from vidrec_utils.content_based.vectors import aligned, unit_vectors
from vidrec_utils.explanations import Explanation
from vidrec_utils.recommender import Recommender

if TYPE_CHECKING:
    from vidrec_utils.embeddings import Embeddings


class LearnedRanker(HistoryProfile):
    """Logistic regression on products of user profile and video, dimension by dimension.

    Each part (title, thumbnail, clip) is reduced to `dims` principal components and scaled to unit
    length. The features of a user and a video are, for every component d, the product `p_ud v_id`
    (do they agree?) and the component itself, `v_id` (does everybody like it?). A cosine would add
    the products with equal weights; here the weights are learned from train: an event that weighs
    more than the mean of all is a success, every other event and `negatives` drawn videos for each
    success are not.

    The profile of a training example leaves its own video out. Otherwise the answer would be in the
    question: every success would resemble a profile that it is itself a part of.

    A part that a video lacks is zero and says nothing; a video that lacks all, unknown users, and
    users without usable history are as `HistoryProfile` has it.

    Parameters
    ----------
    parts : mapping of str to Embeddings or DataFrame
        Vectors of each part, one row a video; rows with NaN are missing.
    dims : int
        Components of each part, or fewer where the data have fewer.
    C : float
        Inverse strength of the ridge penalty on standardised features.
    negatives : int
        Drawn for each success from the videos that the user was not shown.
    dislike, half_life_days
        See `HistoryProfile`.
    leave_out : bool
        Whether the profile of an example leaves its own video out; False shows what happens then.
    seed : int
        For the drawn videos.
    name : str
        Shown in tables.

    Raises
    ------
    ValueError
        If an option is impossible, or there is no part.
    """

    _learned: ClassVar = ("unit", "missing", "shares", "profiled", "profiles", "agree", "liked")

    def __init__(
        self,
        parts: Mapping[str, Embeddings | pd.DataFrame],
        dims: int = 32,
        C: float = 0.01,
        negatives: int = 4,
        dislike: float = 0.0,
        half_life_days: float | None = None,
        leave_out: bool = True,
        seed: int = 0,
        name: str = "learned ranker",
    ):
        super().__init__(dislike, half_life_days)
        if not parts:
            raise ValueError("There is no part: give the ranker at least one table of vectors.")
        if dims < 1 or not C > 0 or negatives < 0:
            raise ValueError(
                f"dims is {dims}, C {C}, negatives {negatives}; wanted are dims of at least 1, "
                "C positive and negatives not below 0."
            )
        self.parts = dict(parts)
        self.dims, self.C, self.negatives = int(dims), float(C), int(negatives)
        self.leave_out, self.seed, self.name = leave_out, int(seed), name

    def importance(self) -> pd.Series:
        """What each part contributes: its share of the squared spread of all scores' terms.

        Returns
        -------
        Series of float
            Indexed by part, adding up to 1 (all 0 where nothing was learned).
        """
        agreed = np.zeros_like(self.agree)
        if self.profiled.any():
            agreed = (self.profiles[self.profiled] ** 2).mean(axis=0) * self.agree**2
        spread = (agreed + self.liked**2) * self.unit.var(axis=0)
        shares = pd.Series(spread, dtype=float).groupby(self._columns()).sum()
        return (shares / max(shares.sum(), 1e-12)).reindex(list(self.parts))

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given; of the parts, their names."""
        return {**super().parameters(), "parts": list(self.parts)}

    def _columns(self) -> np.ndarray:
        """The part of each column of `unit`."""
        return np.repeat(list(self.parts), np.asarray(self.widths))

    def _fit(self, matrix: sparse.csr_array) -> None:
        blocks = [self._reduced(aligned(p, self.video_ids)) for p in self.parts.values()]
        self.widths = np.array([block.shape[1] for block, _ in blocks])
        self.unit = np.hstack([block for block, _ in blocks])
        self._share(matrix, np.all([missing for _, missing in blocks], axis=0))
        self.profiles = (self.shares @ self.unit).astype(np.float32)
        self._learn(matrix)

    def _reduced(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of the rows, unit length, 0 where missing; and which are missing."""
        missing = ~np.isfinite(vectors).all(axis=1)
        present = unit_vectors(vectors, missing)[~missing]
        n = max(0, min(self.dims, len(present) - 1, present.shape[1]))  # centred: one less
        out = np.zeros((len(vectors), max(n, 1)), dtype=np.float32)
        if n:
            found = PCA(n, svd_solver="full").fit_transform(present.astype(np.float64))
            out[~missing, :n] = found
        return unit_vectors(out, missing, center=False), missing

    def _learn(self, matrix: sparse.csr_array) -> None:
        """Set the weights of agreement and of liking from train."""
        rows, columns, success = self._examples(matrix)
        n = self.unit.shape[1]
        self.agree, self.liked = np.ones(n, np.float32), np.zeros(n, np.float32)
        if len(np.unique(success)) < 2:  # nothing to tell apart: a plain sum of cosines
            return
        features = np.hstack([self._profiles(matrix, rows, columns), self.unit[columns]])
        features[:, :n] *= self.unit[columns]
        scale = features.std(axis=0)
        scale[scale < 1e-9] = np.inf  # a constant feature gets no weight
        model = LogisticRegression(C=self.C, max_iter=300)
        model.fit(features / scale, success)
        weights = (model.coef_[0] / scale).astype(np.float32)
        self.agree, self.liked = weights[:n], weights[n:]

    def _examples(self, matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, video and success of each training example."""
        shown = self.seen.tocoo()
        values = _at(matrix, shown.row, shown.col)
        success = values > values.mean() if len(values) else np.zeros(0, dtype=bool)
        rng = np.random.default_rng(self.seed)
        users = np.repeat(shown.row[success], self.negatives)
        videos = rng.integers(0, len(self.video_ids), len(users))
        new = _at(self.seen, users, videos) == 0
        rows = np.concatenate([shown.row, users[new]])
        columns = np.concatenate([shown.col, videos[new]])
        success = np.concatenate([success, np.zeros(new.sum(), dtype=bool)])
        usable = self.profiled[rows] & ~self.missing[columns]
        return rows[usable], columns[usable], success[usable]

    def _profiles(
        self, matrix: sparse.csr_array, rows: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        """Profile of each example's user, its own video left out, `(n_examples, width)`."""
        profiles = self.profiles[rows]
        if not self.leave_out:
            return profiles
        own = _at(self.shares, rows, columns)[:, None]
        rest = 1 - np.abs(own)
        left = profiles - own * self.unit[columns]
        return np.divide(left, rest, out=np.zeros_like(left), where=rest > 1e-6)

    def _score(self, users: np.ndarray) -> np.ndarray:
        wanted = self.profiles[users] * self.agree + self.liked
        return self._complete(wanted @ self.unit.T, users)

    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return (self.unit[history] * self.agree) @ self.unit[columns].T

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score exactly into what each table of vectors contributes.

        Returns
        -------
        Explanation
            Two rows for each table, whose name is the `reason`: of kind "agreement" (with the
            user's profile), and of kind "liking" (by everybody).

        Raises
        ------
        KeyError, NotExplainable
            As `HistoryExplainable.explain`.
        """
        user, video = self._explained_positions(user_id, video_id)
        vector = self.unit[video]
        terms = {
            "agreement": self.profiles[user] * self.agree * vector,
            "liking": self.liked * vector,
        }
        rows = [
            {"kind": kind, "reason": name, "contribution": values[self._columns() == name].sum()}
            for kind, values in terms.items()
            for name in self.parts
        ]
        return Explanation.from_rows(user_id, video_id, pd.DataFrame(rows))

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        vectors = {
            f"part.{number}": aligned(part, self.video_ids)
            for number, part in enumerate(self.parts.values())
        }
        return {**super()._state(), **vectors, "widths": self.widths}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Recommender:
        names = parameters.pop("parts")
        parts = {name: pd.DataFrame(state[f"part.{i}"]) for i, name in enumerate(names)}
        return cls(parts, **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.widths = state["widths"]
        for part in self.parts.values():
            part.index = self.video_ids


def _at(matrix: sparse.csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values at pairs of places, float32; none for no pair."""
    if not len(rows):
        return np.zeros(0, dtype=np.float32)
    return np.asarray(matrix[rows, columns], dtype=np.float32).ravel()
