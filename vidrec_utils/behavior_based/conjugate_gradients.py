"""Conjugate gradients for the many small systems of implicit ALS, all rows of a block at once.

References
----------
Hestenes, Stiefel: Methods of Conjugate Gradients for Solving Linear Systems. Journal of Research of
the National Bureau of Standards 49(6), 1952.
Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
Collaborative Filtering. RecSys 2011.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from vidrec_utils import settings

ENTRIES_AT_ONCE = 2**15
"""Entries of the matrix whose rows are solved together, so that all of them fit into a cache."""

VALUES_AT_ONCE = 2**17
"""Values of the vectors that are solved together, for the same reason."""

TINY = 1e-30
"""Keeps rows that are solved already from a division by 0."""


class RowSystems:
    """The systems `A x = b` of some rows, whose matrices A are never formed.

    With Y the fixed vectors, `E` the confidence of each pair beyond `w0` and p the ones,

        A = w0 Y'Y + Y'E Y + r I,    b = Y'(w0 + E) p.

    Only two products touch the entries, and both take one pass over them: the scores `<x, y>` of
    the entries, and weighted sums of the y of each row.

    Parameters
    ----------
    extra : csr_array of float32, shape (rows, m)
        `E`; positive.
    fixed : Tensor of float32, shape (m, factors)
        `Y`.
    common : Tensor of float32, shape (factors, factors)
        `w0 Y'Y`.
    unobserved : float
        `w0`.
    ridge : Tensor of float32, shape (rows, 1)
        `r`.
    """

    def __init__(
        self,
        extra: sparse.csr_array,
        fixed: torch.Tensor,
        common: torch.Tensor,
        unobserved: float,
        ridge: torch.Tensor,
    ):
        self.begins, self.columns, self.extra = map(
            torch.from_numpy, (extra.indptr, extra.indices, extra.data)
        )
        self.pattern = torch.sparse_csr_tensor(
            self.begins, self.columns, self.extra, extra.shape, check_invariants=False
        )
        self.fixed, self.common, self.ridge = fixed, common, ridge
        self.confidence = self.extra + unobserved  # c (entries,)

    def scores(self, vectors: torch.Tensor) -> torch.Tensor:
        """`Y x` at the entries alone, `(entries,)`, for vectors `(rows, factors)`."""
        products = torch.sparse.sampled_addmm(self.pattern, vectors, self.fixed.T, beta=0.0)
        return products.values()

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """`Y'v` for values `(entries,)`: weighted sums of each row's y, `(rows, factors)`."""
        return functional.embedding_bag(
            self.columns,
            self.fixed,
            self.begins,
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        )

    def left(self, vectors: torch.Tensor) -> torch.Tensor:
        """`A p = Y'E Y p + w0 Y'Y p + r p`, `(rows, factors)`."""
        products = self.scores(vectors).mul_(self.extra)  # E Y p (entries,)
        image = self.sums(products).addmm_(vectors, self.common)
        return image.addcmul_(self.ridge, vectors)

    def right(self) -> torch.Tensor:
        """`b`, `(rows, factors)`."""
        return self.sums(self.confidence)

    def solve(self, x: torch.Tensor, steps: int) -> torch.Tensor:
        """Approach the solutions from `x`, `(rows, factors)`."""
        residual = self.right() - self.left(x)  # r = b - A x (rows, f)
        direction, x = residual.clone(), x.clone()  # p
        norm = _squares(residual)  # r'r (rows, 1)
        for _ in range(steps):
            image = self.left(direction)  # A p
            curvature = (direction * image).sum(dim=1, keepdim=True)  # p'A p (rows, 1)
            step = norm / curvature.clamp(min=TINY)
            x.addcmul_(step, direction)
            residual.addcmul_(step, image, value=-1)
            before, norm = norm, _squares(residual)
            # the next direction is conjugate to all former ones: p = r + (r'r / former r'r) p
            direction.mul_(norm / before.clamp(min=TINY)).add_(residual)
        return x


def _squares(vectors: torch.Tensor) -> torch.Tensor:
    """`r'r` of each row, `(rows, 1)`."""
    return torch.linalg.vector_norm(vectors, dim=1, keepdim=True) ** 2


def conjugate_gradients(
    extra: sparse.csr_array,
    fixed: np.ndarray,
    unobserved: float,
    ridge: np.ndarray,
    start: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Approach the best vector of each row of a matrix, while those of its columns are fixed.

    Parameters
    ----------
    extra, fixed, unobserved, ridge
        As in `row_solvers.solve_rows`, which says which systems are solved.
    start : ndarray of float32, shape (n, factors)
        Initial vectors.
    steps : int
        Number of steps.

    Returns
    -------
    ndarray of float32, shape (n, factors)
        Zero for rows without entries.

    Examples
    --------
    With one factor, a single step solves each system: `(1 + 1 + 0.5) x = 2` for the first row.

    >>> extra = sparse.csr_array(np.array([[1.0, 0], [1, 1]], dtype="f4"))
    >>> fixed, start = np.ones((2, 1), dtype="f4"), np.zeros((2, 1), dtype="f4")
    >>> ridge = np.full(2, 0.5, dtype="f4")
    >>> vectors = conjugate_gradients(extra, fixed, 0.5, ridge, start, steps=1)
    >>> print(vectors.ravel().astype(float).round(3).tolist())
    [0.6, 0.857]
    """
    fixed = np.ascontiguousarray(fixed)
    common = torch.from_numpy(np.float32(unobserved) * (fixed.T @ fixed))  # w0 Y'Y (f, f)
    vectors = np.zeros((extra.shape[0], fixed.shape[1]), dtype=np.float32)

    def solve(rows: np.ndarray) -> None:
        system = RowSystems(
            extra[rows],
            torch.from_numpy(fixed),
            common,
            unobserved,
            torch.from_numpy(ridge[rows, None]),
        )
        vectors[rows] = system.solve(torch.from_numpy(start[rows]), steps).numpy()

    with warnings.catch_warnings():
        # told once in a process by the first sparse tensor; the two products used here are tested
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        # torch is single-threaded here, as its callers already run in parallel
        with settings.one_torch_thread(), ThreadPoolExecutor(settings.threads()) as pool:
            for _ in pool.map(solve, _blocks(np.diff(extra.indptr), fixed.shape[1])):
                pass  # an error in a thread is raised here
    return vectors


def _blocks(lengths: np.ndarray, factors: int) -> list[np.ndarray]:
    """Rows that have entries, in their order, in blocks that fit into a cache."""
    rows = np.flatnonzero(lengths)
    # what a row takes of a block: its entries, or its vector
    share = np.maximum(lengths[rows] / ENTRIES_AT_ONCE, factors / VALUES_AT_ONCE)
    number = np.floor(np.cumsum(share))
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1) if len(rows) else []
