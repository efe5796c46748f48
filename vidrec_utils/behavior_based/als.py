"""Implicit ALS: factors of users and videos, learned by solving one side after the other.

References
----------
Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets. ICDM 2008.
Rendle, Krichene, Zhang, Koren: Revisiting the Performance of iALS on Item Recommendation
Benchmarks. RecSys 2022 (arXiv:2110.14037).
Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
Collaborative Filtering. RecSys 2011.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.behavior_based.early_stopping import EpochRecommender, check_stopping
from vidrec_utils.behavior_based.row_solvers import solve_rows
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import as_ids, blocks, interaction_matrix


class ALS(EpochRecommender, HistoryExplainable, SessionRecommender):
    """Weighted matrix factorisation over all pairs of user and video, watched or not.

    With `x_ui` the summed event weights, it minimises

        sum_ui c_ui (p_ui - <u, v>)^2 + regularization (sum_u r_u |u|^2 + sum_i r_i |v|^2),
        p_ui = 1 if x_ui > 0 else 0,    c_ui = unobserved + alpha x_ui,
        r_u = (n_u + unobserved n_videos)^exponent,    r_i alike,

    where `n_u` is the number of u's videos (Hu's objective, with the frequency-scaled
    regularisation of Rendle et al.; `exponent=0, unobserved=1` is Hu's own). While one side is
    fixed, the other is a ridge regression for each row, so the objective never rises.

    A negative weight counts as no event. An unknown user gets the popularity answer, and so does a
    user whose events all weigh nothing. A cold video has the zero vector and scores 0.

    With a validation part (`held_out`, or the argument of `fit`) the rounds end early. The video
    vectors do not learn from what was held out; the users' vectors, which are solved last, do.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    iterations : int
        Rounds over both sides.
    regularization, unobserved, alpha, exponent : float
        As above; all but `exponent` positive. A published regularisation has to be converted; see
        the notes.
    stddev : float
        Standard deviation of the initial vectors, times `1 / sqrt(factors)`.
    cg_steps : int, optional
        Solve each row by this many steps of conjugate gradients from its last solution: with 64
        factors two to three times as fast, to nearly the same objective. Default: exactly. The last
        solution for users is always exact.
    held_out : float
        Share of the users whose last event is held out for early stopping; 1: everybody's, 0: no
        event is.
    patience : int
        Rounds without a better NDCG@10 on the validation part after which training ends.
    seed : int
        The initial vectors and what is held out are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Attributes
    ----------
    user_factors, video_factors : ndarray of float32, shape (n, factors)
    training_history : DataFrame
        A row for each round, from 1: `loss`, the objective, which is only computed (else NaN) with
        a validation part or a hook, and `ndcg` if there is a validation part.
    best_epoch : int
        The round whose video vectors the model has.

    Notes
    -----
    **Regularisation in print.** Rendle et al. weight the target of a watched pair by `alpha x`
    alone, and let `unobserved` pull every score to 0, that of a watched pair as well:

        sum_watched alpha x (1 - s)^2 + unobserved sum_all s^2 + lambda (...).

    Here the target weighs `alpha x + unobserved`. If all weights are the same x, as in a log of 0
    and 1, both have the same optimum, but for one factor `c = 1 + unobserved / (alpha x)` of all
    scores, which changes no ranking: their `lambda` is `regularization = c lambda` here (and a
    start with `stddev` times `sqrt(c)` goes through the same vectors). If weights differ, each pair
    has a c of its own, and nothing converts exactly. Hu's own paper needs no conversion.

    **Dense and sparse logs.** No default serves both. On sparse logs these give many people the
    same few videos (`evaluation.evaluate` warns); `evaluation.search` finds better ones from
    `behavior_based.GRIDS`.

    Examples
    --------
    Two groups of people, and a video that both groups watched:

    >>> import pandas as pd
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "c"),
    ...      ("cat", "d"), ("cat", "c"), ("dan", "d")], columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = ALS(factors=2, iterations=5).fit(log)
    >>> model.recommend("ann", k=1)["video_id"].item()
    'c'
    >>> new = model.fold_in(["a", "b"])  # somebody with the history of ann
    >>> bool(abs(new - model.user_factors[0]).max() < 1e-4)
    True

    The settings that Rendle et al. published for MovieLens-20M are a regularisation of 0.003 with
    an unobserved weight of 0.1; every event there weighs 1:

    >>> published, unobserved, weight = 0.003, 0.1, 1.0
    >>> same = ALS(256, 16, published * (1 + unobserved / weight), unobserved)
    >>> round(same.regularization, 6)
    0.0033
    """

    knows_cold_videos = False

    _learned: ClassVar = ("matrix", "user_factors", "video_factors")

    def __init__(
        self,
        factors: int = 64,
        iterations: int = 16,
        regularization: float = 0.003,
        unobserved: float = 0.1,
        alpha: float = 1.0,
        exponent: float = 1.0,
        stddev: float = 0.1,
        cg_steps: int | None = None,
        held_out: float = 0.0,
        patience: int = 10,
        seed: int = 0,
        progress: bool = True,
        name: str = "als",
    ):
        check_stopping(held_out, patience)
        arguments.at_least(1, factors=factors, iterations=iterations)
        arguments.positive(regularization=regularization, unobserved=unobserved, alpha=alpha)
        if cg_steps is not None and cg_steps < 1:
            raise ValueError(f"cg_steps is {cg_steps}; take at least one, or None for Cholesky.")
        self._set_arguments(locals())

    def objective(self) -> float:
        """Value of the objective at the present vectors."""
        users = self.user_factors.astype("f8")  # (n_users, f)
        videos = self.video_factors.astype("f8")  # (n_videos, f)
        pairs = self.matrix.tocoo()
        predicted = np.empty(pairs.nnz)  # <u, v> of the watched pairs
        for block in blocks(pairs.nnz, self.factors):
            predicted[block] = np.einsum(
                "nf,nf->n", users[pairs.row[block]], videos[pairs.col[block]]
            )
        # sum over all pairs of w0 <u, v>^2 = w0 sum of U'U * V'V, without a dense matrix
        everywhere = self.unobserved * np.sum((users.T @ users) * (videos.T @ videos))
        # replace the watched pairs: c_ui (1 - <u, v>)^2 instead of w0 <u, v>^2
        confidence = self.unobserved + self.alpha * pairs.data.astype("f8")  # c_ui
        watched = np.sum(confidence * (1 - predicted) ** 2 - self.unobserved * predicted**2)
        # regularization times r_u |u|^2 and r_i |v|^2
        penalty = np.sum(self._ridge(self.matrix) * (users**2).sum(axis=1)) + np.sum(
            self._ridge(self.matrix.T.tocsr()) * (videos**2).sum(axis=1)
        )
        return float(everywhere + watched + penalty)

    def fold_in(self, videos: Iterable[str], weights: Sequence[float] | None = None) -> np.ndarray:
        """Compute the vector of a user with this history, with the video vectors held fixed.

        For a user of the training data and their summed weights it is the vector that `fit` found.

        Parameters
        ----------
        videos : iterable of str
            Those outside the catalogue are ignored.
        weights : sequence of float, optional
            Preference for each; default 1.

        Returns
        -------
        ndarray of float32, shape (factors,)
        """
        columns = self.video_ids.get_indexer(as_ids(list(videos)))
        values = np.ones(len(columns)) if weights is None else np.asarray(weights, dtype=float)
        known = columns >= 0
        return self._fold(columns[known], values[known])

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        kept, held_out = self._split_events(interactions, weights)
        trained = matrix
        if not kept.all():
            events = interactions[kept]
            trained = interaction_matrix(events, weights[kept], self.user_ids, self.video_ids)
        # x_ui, without negative weights and zeros
        self.matrix = _positive(trained)  # (n_users, n_videos)
        by_video = sparse.csr_array(self.matrix.T)  # (n_videos, n_users)
        # V starts at random, U at 0
        rng = np.random.default_rng(self.seed)
        scale = self.stddev / np.sqrt(self.factors)
        initial = rng.normal(0, scale, (len(self.video_ids), self.factors))
        self.video_factors = initial.astype(np.float32)
        self.user_factors = np.zeros((len(self.user_ids), self.factors), dtype=np.float32)

        def iteration() -> float | None:
            # the best U for this V, then the best V for that U
            self.user_factors = self._solve(
                self.matrix, self.video_factors, self.user_factors, self.cg_steps
            )
            self.video_factors = self._solve(
                by_video, self.user_factors, self.video_factors, self.cg_steps
            )
            watched = held_out is not None or self._hook is not None
            return self.objective() if watched else None

        self._train_epochs(self.iterations, iteration, held_out)
        # the exact U for the last V, as `fold_in` computes it
        self.matrix = _positive(matrix)
        self.user_factors = self._solve(self.matrix, self.video_factors)

    def _score_held_out(self, users: np.ndarray) -> np.ndarray:
        history = self.matrix[users]
        scores = self._solve(history, self.video_factors) @ self.video_factors.T
        scores[np.diff(history.indptr) == 0] = self.popularity
        return scores

    def _snapshot(self) -> np.ndarray:
        return self.video_factors

    def _put_back(self, weights: np.ndarray) -> None:
        self.video_factors = weights

    def _solve(
        self,
        matrix: sparse.csr_array,
        fixed: np.ndarray,
        start: np.ndarray | None = None,
        cg_steps: int | None = None,
    ) -> np.ndarray:
        """Solve the rows of `matrix`, with the vectors of its columns held fixed."""
        extra = sparse.csr_array(matrix * np.float32(self.alpha))  # E = C - w0
        return solve_rows(extra, fixed, self.unobserved, self._ridge(matrix), start, cg_steps)

    def _ridge(self, matrix: sparse.csr_array) -> np.ndarray:
        """Regularisation of each row, regularization times `r_u`, `(n,)`."""
        counts = np.diff(matrix.indptr) + self.unobserved * matrix.shape[1]
        return (self.regularization * counts**self.exponent).astype(np.float32)

    def _fold(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        row = self._history_row(columns, np.maximum(weights, 0).astype(np.float32))
        row.eliminate_zeros()
        return self._solve(row, self.video_factors)[0]

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.user_factors[users] @ self.video_factors.T  # U V' (users, n_videos)
        scores[np.diff(self.matrix.indptr)[users] == 0] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self.video_factors @ self._fold(columns, weights)

    def _history_weights(self, values: np.ndarray) -> np.ndarray:
        return self.unobserved + self.alpha * values  # c_ui

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        """Hu's `s_ij = v_i' W_u v_j`: how similar two videos are for this user (section 5)."""
        history = self.matrix[[user]]
        watched = self.video_factors[history.indices]  # V_u (length, f)
        # W_u^-1 = w0 V'V + V_u'E_u V_u + r_u I  (f, f)
        hessian = self.unobserved * (self.video_factors.T @ self.video_factors)
        hessian += (watched * (self.alpha * history.data)[:, None]).T @ watched
        hessian[np.diag_indices(self.factors)] += self._ridge(history)
        return self.video_factors[columns] @ np.linalg.solve(hessian, self.video_factors[video])


def _positive(matrix: sparse.csr_array) -> sparse.csr_array:
    """The entries above 0."""
    positive = sparse.csr_array(matrix.maximum(0))
    positive.eliminate_zeros()
    return positive
