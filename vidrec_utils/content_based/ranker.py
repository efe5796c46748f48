"""A small learned ranker: which agreements between user and video are worth how much.

References
----------
Richardson, Dominowska, Ragno: Predicting Clicks: Estimating the Click-Through Rate for New Ads.
WWW 2007 (logistic regression on features of content).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.utils import gen_batches

from vidrec_utils import arguments
from vidrec_utils.content_based.profiles import HistoryProfile
from vidrec_utils.content_based.vectors import aligned, unit_vectors
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.explanations import Explanation
from vidrec_utils.recommender import DrawsNegatives
from vidrec_utils.saving import Array

EXAMPLES = 8192
"""Training examples whose features are computed at once."""


class LearnedRanker(DrawsNegatives, HistoryProfile):
    """Logistic regression on products of user profile and video, dimension by dimension.

    Each modality (title, thumbnail, clip) is reduced to `dims` principal components and scaled to
    unit length. The features of a user and a video are, for every component d, the product
    `p_ud v_id` (do they agree?) and the component itself, `v_id` (does everybody like it?). A
    cosine would add the products with equal weights; here the weights are learned from train: an
    event that weighs more than the mean of all is a success, every other event and `negatives`
    drawn videos for each success are not.

    The profile of a training example leaves its own video out. Otherwise the answer would be in the
    question: every success would resemble a profile that it is itself a part of.

    A modality that a video lacks is zero and contributes nothing. For a video that lacks all,
    unknown users, and users without usable history, see `HistoryProfile`.

    Parameters
    ----------
    modalities : mapping of str to Embeddings or DataFrame
        Vectors of each modality, one row a video; rows with NaN are missing.
    dims : int
        Components of each modality, or fewer where the data have fewer.
    C : float
        Inverse strength of the ridge penalty on standardised features.
    negatives : int
        Drawn for each success from the videos that the user was not shown, and could have been:
        those published by the user's last event (see `DrawsNegatives`).
    dislike, half_life_days
        See `HistoryProfile`.
    leave_out : bool
        Whether the profile of an example leaves its own video out; False shows what happens then.
    seed : int
        The negatives are drawn with this seed.
    name : str
        Shown in tables.

    Raises
    ------
    ValueError
        If an option is impossible, or there is no modality.

    Examples
    --------
    >>> import pandas as pd
    >>> topic = pd.DataFrame({"x": [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]}, index=list("abcdef"))
    >>> log = pd.DataFrame(
    ...     [("ann", "a", 1.0), ("ann", "b", 1.0), ("ann", "d", 0.0), ("bob", "e", 1.0),
    ...      ("bob", "d", 1.0), ("bob", "a", 0.0), ("cat", "c", 0.5), ("cat", "f", 0.5)],
    ...     columns=["user_id", "video_id", "watch_ratio"],
    ... )
    >>> model = LearnedRanker({"topic": topic}, dims=1, negatives=0).fit(log)
    >>> model.recommend(["ann", "bob"], k=1)["video_id"].tolist()
    ['c', 'f']
    >>> model.explain("ann", "c").table["kind"].tolist()
    ['agreement', 'liking']
    """

    _learned: ClassVar = (
        "unit",
        "widths",
        "missing",
        "shares",
        "profiled",
        "profiles",
        "agree",
        "liked",
    )

    def __init__(
        self,
        modalities: Mapping[str, Embeddings | pd.DataFrame],
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
        if not modalities:
            raise ValueError("There is no modality: give the ranker at least one table of vectors.")
        arguments.at_least(1, dims=dims)
        arguments.positive(C=C)
        arguments.at_least(0, negatives=negatives)
        modalities = dict(modalities)
        self._set_arguments(locals())

    def importance(self) -> pd.Series:
        """How much each modality contributes: its share of the variance of all terms of scores.

        Returns
        -------
        Series of float
            Indexed by modality, adding up to 1 (all 0 where nothing was learned).
        """
        agreed = np.zeros_like(self.agree)
        if self.profiled.any():
            agreed = (self.profiles[self.profiled] ** 2).mean(axis=0) * self.agree**2
        variance = (agreed + self.liked**2) * self.unit.var(axis=0)
        shares = pd.Series(variance, dtype=float).groupby(self._columns()).sum()
        return (shares / max(shares.sum(), 1e-12)).reindex(list(self.modalities))

    def parameters(self) -> dict[str, object]:
        """Arguments of the constructor; the names of the modalities instead of their vectors."""
        return {**super().parameters(), "modalities": list(self.modalities)}

    def _columns(self) -> np.ndarray:
        """The modality of each column of `unit`."""
        return np.repeat(list(self.modalities), np.asarray(self.widths))

    def _fit(self, matrix: sparse.csr_array) -> None:
        # v_i: the principal components of all modalities, side by side  (n_videos, dims of all)
        tables = [self._reduced(aligned(v, self.video_ids)) for v in self.modalities.values()]
        self.widths = np.array([table.shape[1] for table, _ in tables])
        self.unit = np.hstack([table for table, _ in tables])
        self._share(matrix, np.all([missing for _, missing in tables], axis=0))
        # p_u: the weighted mean of the history  (n_users, dims of all)
        self.profiles = (self.shares @ self.unit).astype(np.float32)
        self._learn(matrix)

    def _reduced(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of the rows, unit length, 0 where missing; and which are missing."""
        missing = ~np.isfinite(vectors).all(axis=1)
        present = unit_vectors(vectors, missing)[~missing]
        n = max(0, min(self.dims, len(present) - 1, present.shape[1]))  # centred: one less
        out = np.zeros((len(vectors), max(n, 1)), dtype=np.float32)
        if n:
            pca = PCA(n, svd_solver="full")
            out[~missing, :n] = pca.fit_transform(present.astype(np.float64))
        return unit_vectors(out, missing, center=False), missing

    def _learn(self, matrix: sparse.csr_array) -> None:
        """Set the weights of agreement and of liking from train."""
        rows, columns, success = self._examples(matrix)
        n = self.unit.shape[1]
        self.agree = np.ones(n, np.float32)
        self.liked = np.zeros(n, np.float32)
        if len(np.unique(success)) < 2:  # only one class: a plain sum of cosines
            return
        # features of an example: p_ud v_id and v_id for each component d  (n_examples, 2 n)
        features = np.empty((len(rows), 2 * n), np.float32)
        for block in gen_batches(len(rows), EXAMPLES):
            features[block, n:] = self.unit[columns[block]]
            profiles = self._profiles(matrix, rows[block], columns[block])
            features[block, :n] = profiles * features[block, n:]
        # logistic regression on standardised features; the weights for raw ones
        scale = np.hstack([features[:, part].std(axis=0) for part in gen_batches(2 * n, 32)])
        scale[scale < 1e-9] = np.inf  # a constant feature gets no weight
        features /= scale
        model = LogisticRegression(C=self.C, max_iter=300)
        model.fit(features, success)
        weights = (model.coef_[0] / scale).astype(np.float32)
        self.agree = weights[:n]
        self.liked = weights[n:]

    def _examples(self, matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, video and success of each training example."""
        # every event: a success if it weighs more than the mean of all
        shown = self.seen.tocoo()
        values = _at(matrix, shown.row, shown.col)
        success = values > values.mean() if len(values) else np.zeros(0, dtype=bool)
        # and drawn videos, for each success, that its user was not shown
        rng = np.random.default_rng(self.seed)
        users = np.repeat(shown.row[success], self.negatives)
        if self.online is None:
            videos = rng.integers(0, len(self.video_ids), len(users))
        else:
            videos = self.online.draw(users, rng)
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
        # (p_u - s v_i) / (1 - |s|), with s the share of the example's own video
        own = _at(self.shares, rows, columns)[:, None]  # (n_examples, 1)
        scale = 1 - np.abs(own)
        others = profiles - own * self.unit[columns]
        return np.divide(others, scale, out=np.zeros_like(others), where=scale > 1e-6)

    def _score(self, users: np.ndarray) -> np.ndarray:
        # sum_d (agree_d p_ud + liked_d) v_id  (users, n_videos)
        direction = self.profiles[users] * self.agree + self.liked
        return self._complete(direction @ self.unit.T, users)

    def _similarity(self, history: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return (self.unit[history] * self.agree) @ self.unit[columns].T

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score exactly into what each modality contributes.

        Returns
        -------
        Explanation
            Two rows for each modality, whose name is the `reason`: of kind "agreement" (with the
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
            for name in self.modalities
        ]
        return Explanation.from_rows(user_id, video_id, pd.DataFrame(rows))

    def _state(self) -> dict[str, Array]:
        vectors = {
            f"part.{number}": aligned(table, self.video_ids)
            for number, table in enumerate(self.modalities.values())
        }
        return {**super()._state(), **vectors}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        names = parameters.pop("modalities")
        tables = {name: pd.DataFrame(state[f"part.{i}"]) for i, name in enumerate(names)}
        return cls(tables, **parameters)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        for table in self.modalities.values():
            table.index = self.video_ids


def _at(matrix: sparse.csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values at pairs of row and column, float32; empty for no pair."""
    if not len(rows):
        return np.zeros(0, dtype=np.float32)
    return np.asarray(matrix[rows, columns], dtype=np.float32).ravel()
