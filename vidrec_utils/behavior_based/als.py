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
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from vidrec_utils.behavior_based.reasons import HistoryReasons
from vidrec_utils.behavior_based.sessions import FromHistory
from vidrec_utils.recommender import as_ids

PADDED_VALUES = 2**20
"""Values gathered at once for a block of rows (4 MB of float32): about what a cache holds."""


class ALS(HistoryReasons, FromHistory):
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

    def _weigh(self, values: np.ndarray) -> np.ndarray:
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
    columns_side = torch.from_numpy(np.ascontiguousarray(fixed))
    common = unobserved * columns_side.T @ columns_side  # (factors, factors)
    solved = torch.zeros((extra.shape[0], fixed.shape[1]))
    for rows, columns, weights in padded_rows(extra, fixed.shape[1]):
        other = columns_side[columns]  # (rows, length, factors)
        target = torch.where(weights > 0, weights + unobserved, weights)  # (rows, length)
        right = torch.bmm(target[:, None], other)[:, 0]  # (rows, factors)
        pull = torch.from_numpy(ridge[rows.numpy()])  # (rows,)
        if cg_steps is None:
            solved[rows] = _cholesky(other, weights, right, common, pull)
        else:
            first = torch.from_numpy(start)[rows]
            solved[rows] = _conjugate(other, weights, right, common, pull, first, cg_steps)
    return solved.numpy()


def _cholesky(
    other: torch.Tensor,
    weights: torch.Tensor,
    right: torch.Tensor,
    common: torch.Tensor,
    ridge: torch.Tensor,
) -> torch.Tensor:
    weighted = (other * weights[:, :, None]).transpose(1, 2)  # (rows, factors, length)
    left = torch.baddbmm(common[None], weighted, other)  # (rows, factors, factors)
    left.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    return torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(left))[:, :, 0]


def _conjugate(
    other: torch.Tensor,
    weights: torch.Tensor,
    right: torch.Tensor,
    common: torch.Tensor,
    ridge: torch.Tensor,
    x: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """Conjugate gradients for all rows at once; the matrix itself is never formed."""

    def left(vector: torch.Tensor) -> torch.Tensor:
        seen = torch.bmm(other, vector[:, :, None])[:, :, 0] * weights  # (rows, length)
        back = torch.bmm(seen[:, None], other)[:, 0]  # (rows, factors)
        return back + vector @ common + ridge[:, None] * vector

    residual = right - left(x)
    direction, norm = residual, (residual**2).sum(dim=1, keepdim=True)
    for _ in range(steps):
        image = left(direction)
        step = norm / (direction * image).sum(dim=1, keepdim=True).clamp_min(1e-30)
        x = x + step * direction
        residual = residual - step * image
        before, norm = norm, (residual**2).sum(dim=1, keepdim=True)
        direction = residual + norm / before.clamp_min(1e-30) * direction
    return x


def padded_rows(
    matrix: sparse.csr_array, factors: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Rows with entries, in blocks of similar length, as dense columns and values.

    Yields
    ------
    rows : Tensor of int64, shape (n,)
    columns : Tensor of int64, shape (n, length)
        0 where a row is shorter.
    values : Tensor of float32, shape (n, length)
        0 where a row is shorter.
    """
    lengths = np.diff(matrix.indptr)
    rows = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    start = 0
    while start < len(rows):
        length = int(lengths[rows[start]])  # the longest of those left
        stop = start + max(1, PADDED_VALUES // (factors * max(length, factors)))
        block = rows[start:stop]
        place = matrix.indptr[block, None] + np.arange(length)
        there = np.arange(length) < lengths[block, None]
        place[~there] = 0
        columns = np.where(there, matrix.indices[place], 0).astype(np.int64)
        values = np.where(there, matrix.data[place], 0).astype(np.float32)
        yield torch.from_numpy(block), torch.from_numpy(columns), torch.from_numpy(values)
        start = stop


def _slices(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, start + size)
