"""Implicit ALS: factors of users and videos, found by solving one side after the other.

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
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import as_ids

PADDED_VALUES = 2**20
"""Values gathered at once for a block of rows (4 MB of float32): about what a cache holds."""

TINY = np.float32(1e-30)
"""Keeps rows that are solved already from dividing by 0."""


class ALS(HistoryExplainable, SessionRecommender):
    """Weighted matrix factorisation over all pairs, watched or not.

    With `x_ui` the summed event weights, it minimises

        sum_ui c_ui (p_ui - <u, v>)^2 + regularization (sum_u r_u |u|^2 + sum_i r_i |v|^2),
        p_ui = 1 if x_ui > 0 else 0,    c_ui = unobserved + alpha x_ui,
        r_u = (n_u + unobserved n_videos)^exponent,    r_i alike,

    `n_u` being the number of u's videos (Hu's objective, with the frequency-scaled regularisation
    of Rendle et al.; `exponent=0, unobserved=1` is Hu's own). While one side is fixed, the other is
    a ridge regression for each row, so the objective never rises.

    A negative weight counts as no event. An unknown user gets the popularity answer, and so does a
    user whose events all weigh nothing. A cold video has the zero vector and scores 0.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    iterations : int
        Rounds over both sides.
    regularization, exponent, unobserved, alpha : float
        As above; all but `exponent` positive.
    stddev : float
        Of the first vectors, times `1 / sqrt(factors)`.
    cg_steps : int, optional
        Solve each row by so many steps of conjugate gradients from where it was: cheaper for many
        factors. Default: exactly, by Cholesky. The last solution for users is always exact.
    seed : int
        Of the first vectors.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str
        Shown in tables.

    Attributes
    ----------
    user_factors, video_factors : ndarray of float32, shape (n, factors)
    """

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
        seed: int = 0,
        progress: bool = True,
        name: str = "als",
    ):
        for label, value in (("factors", factors), ("iterations", iterations)):
            if value < 1:
                raise ValueError(f"{label} is {value}; it must be at least 1.")
        positive = {"regularization": regularization, "unobserved": unobserved, "alpha": alpha}
        for label, value in positive.items():
            if not value > 0:
                raise ValueError(f"{label} is {value}; it must be positive.")
        if cg_steps is not None and cg_steps < 1:
            raise ValueError(f"cg_steps is {cg_steps}; take at least one, or None for Cholesky.")
        self.factors, self.iterations, self.seed = int(factors), int(iterations), int(seed)
        self.regularization, self.unobserved = float(regularization), float(unobserved)
        self.alpha, self.exponent, self.stddev = float(alpha), float(exponent), float(stddev)
        self.cg_steps, self.progress, self.name = cg_steps, progress, name

    def objective(self) -> float:
        """Value of what is minimised, at the present vectors."""
        users, videos = self.user_factors.astype("f8"), self.video_factors.astype("f8")
        pairs = self.matrix.tocoo()
        predicted = np.concatenate(
            [
                np.einsum("nf,nf->n", users[pairs.row[part]], videos[pairs.col[part]])
                for part in _slices(pairs.nnz, 2**18)
            ]
            or [np.empty(0)]
        )
        everywhere = self.unobserved * np.sum((users.T @ users) * (videos.T @ videos))
        confidence = self.unobserved + self.alpha * pairs.data.astype("f8")
        watched = np.sum(confidence * (1 - predicted) ** 2 - self.unobserved * predicted**2)
        penalty = np.sum(self._ridge(self.matrix) * (users**2).sum(axis=1)) + np.sum(
            self._ridge(self.matrix.T.tocsr()) * (videos**2).sum(axis=1)
        )
        return float(everywhere + watched + penalty)

    def fold_in(self, videos: Iterable[str], weights: Sequence[float] | None = None) -> np.ndarray:
        """The vector of somebody with this history, the videos' vectors being what they are.

        For a user of the training data and their summed weights it is the vector that `fit` found.

        Parameters
        ----------
        videos : iterable of str
            Those outside the catalogue are passed over.
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

    def _fit(self, matrix: sparse.csr_array) -> None:
        self.matrix = sparse.csr_array(matrix.maximum(0))
        self.matrix.eliminate_zeros()
        by_video = sparse.csr_array(self.matrix.T)
        rng = np.random.default_rng(self.seed)
        scale = self.stddev / np.sqrt(self.factors)
        first = rng.normal(0, scale, (len(self.video_ids), self.factors))
        self.video_factors = first.astype(np.float32)
        self.user_factors = np.zeros((len(self.user_ids), self.factors), dtype=np.float32)
        rounds = range(self.iterations)
        for _ in tqdm(rounds, desc=self.name, delay=2, leave=False, disable=not self.progress):
            self.user_factors = self._solve(
                self.matrix, self.video_factors, self.user_factors, self.cg_steps
            )
            self.video_factors = self._solve(
                by_video, self.user_factors, self.video_factors, self.cg_steps
            )
        self.user_factors = self._solve(self.matrix, self.video_factors)

    def _solve(
        self,
        matrix: sparse.csr_array,
        fixed: np.ndarray,
        start: np.ndarray | None = None,
        cg_steps: int | None = None,
    ) -> np.ndarray:
        extra = sparse.csr_array(matrix * np.float32(self.alpha))
        return solve_rows(extra, fixed, self.unobserved, self._ridge(matrix), start, cg_steps)

    def _ridge(self, matrix: sparse.csr_array) -> np.ndarray:
        """Regularisation of each row, `(n,)`: more data, more pull."""
        counts = np.diff(matrix.indptr) + self.unobserved * matrix.shape[1]
        return (self.regularization * counts**self.exponent).astype(np.float32)

    def _fold(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        row = self._history_row(columns, np.maximum(weights, 0).astype(np.float32))
        row.eliminate_zeros()
        return self._solve(row, self.video_factors)[0]

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = self.user_factors[users] @ self.video_factors.T  # (users, videos)
        scores[np.diff(self.matrix.indptr)[users] == 0] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self.video_factors @ self._fold(columns, weights)

    def _history_weights(self, values: np.ndarray) -> np.ndarray:
        return self.unobserved + self.alpha * values

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        """Hu's `s_ij = v_i' W_u v_j`: two videos alike in the eyes of this user (section 5)."""
        history = self.matrix[[user]]
        left = self.video_factors[history.indices]
        hessian = self.unobserved * (self.video_factors.T @ self.video_factors)
        hessian += (left * (self.alpha * history.data)[:, None]).T @ left
        hessian[np.diag_indices(self.factors)] += self._ridge(history)
        return self.video_factors[columns] @ np.linalg.solve(hessian, self.video_factors[video])


def solve_rows(
    extra: sparse.csr_array,
    fixed: np.ndarray,
    unobserved: float,
    ridge: np.ndarray,
    start: np.ndarray | None = None,
    cg_steps: int | None = None,
) -> np.ndarray:
    """The best vectors for the rows of a matrix while those of its columns are fixed.

    Row u solves `(w0 V'V + V' E_u V + r_u I) u = V' (w0 + E_u) p_u`, with `E_u` the extra
    confidence of what was watched: a few columns, so the common part `V'V` is computed once.

    Parameters
    ----------
    extra : csr_array of float32, shape (n, m)
        Confidence of each pair beyond `unobserved`; positive.
    fixed : ndarray of float32, shape (m, factors)
    unobserved : float
        Confidence of every pair, `w0`.
    ridge : ndarray of float32, shape (n,)
    start : ndarray of float32, shape (n, factors), optional
        Where conjugate gradients begin.
    cg_steps : int, optional
        Their number; default: Cholesky.

    Returns
    -------
    ndarray of float32, shape (n, factors)
        Zero for rows without entries.
    """
    fixed = np.ascontiguousarray(fixed)
    common = torch.from_numpy(np.float32(unobserved) * (fixed.T @ fixed))  # (factors, factors)
    solved = np.zeros((extra.shape[0], fixed.shape[1]), dtype=np.float32)

    def solve(rows: np.ndarray) -> None:
        columns, weights = padded(extra, rows)
        other = fixed.take(columns, axis=0)  # (rows, length, factors)
        target = np.where(weights > 0, weights + np.float32(unobserved), 0)  # (rows, length)
        right = np.einsum("rl,rlf->rf", target, other)
        if cg_steps is None:
            solved[rows] = _cholesky(other, weights, right, common, ridge[rows])
        else:
            first = (other, weights, right, common, ridge[rows, None], start[rows])
            solved[rows] = _conjugate(*first, cg_steps)

    with one_torch_thread(), ThreadPoolExecutor(settings.threads()) as pool:
        least = 8 if cg_steps else fixed.shape[1]  # Cholesky holds a square matrix for each row
        for _ in pool.map(solve, row_blocks(np.diff(extra.indptr), fixed.shape[1], least)):
            pass  # an error in a thread is raised here
    return solved


def _cholesky(
    other: np.ndarray,
    weights: np.ndarray,
    right: np.ndarray,
    common: torch.Tensor,
    ridge: np.ndarray,
) -> np.ndarray:
    factor = torch.from_numpy(other)
    weighted = (factor * torch.from_numpy(weights)[:, :, None]).transpose(1, 2)
    left = torch.baddbmm(common[None], weighted, factor)  # (rows, factors, factors)
    left.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(ridge)[:, None])
    triangle = torch.linalg.cholesky(left)
    return torch.cholesky_solve(torch.from_numpy(right)[:, :, None], triangle)[:, :, 0].numpy()


def _conjugate(
    other: np.ndarray,
    weights: np.ndarray,
    right: np.ndarray,
    common: torch.Tensor,
    ridge: np.ndarray,
    x: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Conjugate gradients for all rows at once; the matrix itself is never formed."""

    def left(vector: np.ndarray) -> np.ndarray:
        seen = np.einsum("rlf,rf->rl", other, vector) * weights  # (rows, length)
        image = np.einsum("rl,rlf->rf", seen, other) + ridge * vector  # (rows, factors)
        return image + torch.mm(torch.from_numpy(vector), common).numpy()

    residual = right - left(x)
    direction, norm = residual, (residual**2).sum(axis=1, keepdims=True)
    for _ in range(steps):
        image = left(direction)
        step = norm / np.maximum((direction * image).sum(axis=1, keepdims=True), TINY)
        x = x + step * direction
        residual = residual - step * image
        before, norm = norm, (residual**2).sum(axis=1, keepdims=True)
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
    """Columns and values of some rows as dense arrays `(rows, length)`, 0 after a row's end."""
    begin, end = matrix.indptr[rows, None], matrix.indptr[rows + 1, None]
    place = begin + np.arange(int((end - begin).max()))
    there = place < end
    place = np.where(there, place, 0)
    return np.where(there, matrix.indices[place], 0), np.where(there, matrix.data[place], 0)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread: those that call it are many already."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _slices(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, start + size)
