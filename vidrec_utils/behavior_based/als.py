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

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.early_stopping import EpochRecommender, check_stopping
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import as_ids, blocks, interaction_matrix

PADDED_VALUES = 2**20
"""Values gathered at once for a block of rows (4 MB of float32), so that they fit into a cache."""

TINY = np.float32(1e-30)
"""Keeps rows that are solved already from a division by 0."""


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
        Solve each row by this many steps of conjugate gradients from its last solution, which is
        cheaper for many factors. Default: exactly, by Cholesky. The last solution for users is
        always exact.
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


def solve_rows(
    extra: sparse.csr_array,
    fixed: np.ndarray,
    unobserved: float,
    ridge: np.ndarray,
    start: np.ndarray | None = None,
    cg_steps: int | None = None,
) -> np.ndarray:
    """Find the best vectors for the rows of a matrix while those of its columns are fixed.

    With Y the fixed vectors, `C_u = w0 + E_u` the confidences of row u and `p_u` its ones, the
    vector of row u solves `A x_u = b` (Hu et al., equation 4) with

        A = Y'C_u Y + r_u I = w0 Y'Y + Y'E_u Y + r_u I,    b = Y'C_u p_u.

    `E_u` is zero but for what was watched, so `Y'Y` is computed once for all rows.

    Parameters
    ----------
    extra : csr_array of float32, shape (n, m)
        `E`, the confidence of each pair beyond `unobserved`; positive.
    fixed : ndarray of float32, shape (m, factors)
        `Y`.
    unobserved : float
        `w0`, the confidence of every pair.
    ridge : ndarray of float32, shape (n,)
        `r_u`.
    start : ndarray of float32, shape (n, factors), optional
        Initial vectors of conjugate gradients; default: zeros.
    cg_steps : int, optional
        Number of steps of conjugate gradients; default: Cholesky.

    Returns
    -------
    ndarray of float32, shape (n, factors)
        Zero for rows without entries.
    """
    fixed = np.ascontiguousarray(fixed)
    common = torch.from_numpy(np.float32(unobserved) * (fixed.T @ fixed))  # w0 Y'Y (f, f)
    solved = np.zeros((extra.shape[0], fixed.shape[1]), dtype=np.float32)

    def solve(rows: np.ndarray) -> None:
        columns, weights = padded(extra, rows)  # E_u (rows, length), 0 where padded
        watched = fixed.take(columns, axis=0)  # Y_u (rows, length, f)
        confidence = np.where(weights > 0, weights + np.float32(unobserved), 0)  # C_u p_u
        right = np.einsum("rl,rlf->rf", confidence, watched)  # b = Y'C_u p_u (rows, f)
        if cg_steps is None:
            solved[rows] = _cholesky(watched, weights, right, common, ridge[rows])
        else:
            x = solved[rows] if start is None else start[rows]
            matrix = (watched, weights, common, ridge[rows, None])
            solved[rows] = _conjugate_gradients(*matrix, right, x, cg_steps)

    # torch is single-threaded here, as its callers already run in parallel
    with settings.one_torch_thread(), ThreadPoolExecutor(settings.threads()) as pool:
        least = 8 if cg_steps else fixed.shape[1]  # Cholesky holds a square matrix for each row
        for _ in pool.map(solve, row_blocks(np.diff(extra.indptr), fixed.shape[1], least)):
            pass  # an error in a thread is raised here
    return solved


def _cholesky(
    watched: np.ndarray,
    weights: np.ndarray,
    right: np.ndarray,
    common: torch.Tensor,
    ridge: np.ndarray,
) -> np.ndarray:
    """Solve `A x = b` for a block of rows exactly, by the Cholesky factors of A."""
    vectors = torch.from_numpy(watched)  # Y_u (rows, length, f)
    weighted = vectors * torch.from_numpy(weights)[:, :, None]  # E_u Y_u (rows, length, f)
    # A = w0 Y'Y + Y'E_u Y + r_u I  (rows, f, f)
    left = torch.baddbmm(common[None], weighted.transpose(1, 2), vectors)
    left.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(ridge)[:, None])
    # A = L L', so two triangular systems give x  (rows, f)
    triangle = torch.linalg.cholesky(left)
    return torch.cholesky_solve(torch.from_numpy(right)[:, :, None], triangle)[:, :, 0].numpy()


def _conjugate_gradients(
    watched: np.ndarray,
    weights: np.ndarray,
    common: torch.Tensor,
    ridge: np.ndarray,
    right: np.ndarray,
    x: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Approach the solution of `A x = b` for a block of rows; A itself is never formed."""

    def left(vector: np.ndarray) -> np.ndarray:
        """Compute `A p = Y'E_u Y p + r_u p + w0 Y'Y p`, `(rows, f)`."""
        products = np.einsum("rlf,rf->rl", watched, vector) * weights  # E_u Y p (rows, length)
        image = np.einsum("rl,rlf->rf", products, watched) + ridge * vector  # (rows, f)
        return image + torch.mm(torch.from_numpy(vector), common).numpy()

    residual = right - left(x)  # r = b - A x (rows, f)
    direction = residual  # p
    norm = (residual**2).sum(axis=1, keepdims=True)  # r'r (rows, 1)
    for _ in range(steps):
        image = left(direction)  # A p
        step = norm / np.maximum((direction * image).sum(axis=1, keepdims=True), TINY)  # r'r / p'Ap
        x = x + step * direction
        residual = residual - step * image
        before = norm
        norm = (residual**2).sum(axis=1, keepdims=True)
        direction = residual + norm / np.maximum(before, TINY) * direction
    return x


def row_blocks(lengths: np.ndarray, factors: int, least: int) -> Iterator[np.ndarray]:
    """Rows that have entries, the longest first, in blocks that fit into a cache when padded.

    A row counts as at least `least` entries long.
    """
    rows = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    start = 0
    while start < len(rows):
        longest = int(lengths[rows[start]])
        stop = start + max(1, PADDED_VALUES // (factors * max(longest, least)))
        yield rows[start:stop]
        start = stop


def padded(matrix: sparse.csr_array, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of several rows as dense arrays `(rows, length)`, padded with 0."""
    begin = matrix.indptr[rows, None]
    end = matrix.indptr[rows + 1, None]
    entry = begin + np.arange(int((end - begin).max()))  # (rows, length)
    inside = entry < end
    entry = np.where(inside, entry, 0)
    return np.where(inside, matrix.indices[entry], 0), np.where(inside, matrix.data[entry], 0)
