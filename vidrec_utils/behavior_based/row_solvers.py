"""The ridge regressions of implicit ALS: one small system for each row of a sparse matrix.

References
----------
Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets. ICDM 2008.
Woodbury: Inverting Modified Matrices. Memorandum Report 42, Princeton University, 1950.
Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
Collaborative Filtering. RecSys 2011.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy import sparse

from vidrec_utils import settings
from vidrec_utils.behavior_based.conjugate_gradients import conjugate_gradients

PADDED_VALUES = 2**18
"""Values gathered at once for a block of rows (1 MB of float32), so that they fit into a cache."""

SHORT = 0.75
"""A row is short if it has at most this share of `factors` entries: then a system of its entries is
solved, which is smaller than that of its vector."""


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
        `r_u`; positive.
    start : ndarray of float32, shape (n, factors), optional
        Initial vectors of conjugate gradients; default: zeros.
    cg_steps : int, optional
        Number of steps of conjugate gradients; default: exactly, by Cholesky factors.

    Returns
    -------
    ndarray of float32, shape (n, factors)
        Zero for rows without entries.

    Notes
    -----
    A row with fewer entries than factors is solved through a system that has one unknown for each
    entry (see `_by_entries`): the same solution for less work.
    """
    fixed = np.ascontiguousarray(fixed)
    if cg_steps is not None:
        if start is None:
            start = np.zeros((extra.shape[0], fixed.shape[1]), dtype=np.float32)
        return conjugate_gradients(extra, fixed, unobserved, ridge, start, cg_steps)
    factors = fixed.shape[1]
    common = np.float32(unobserved) * (fixed.T @ fixed)  # w0 Y'Y (f, f)
    rotated = Rotated(fixed, common)
    solved = np.zeros((extra.shape[0], factors), dtype=np.float32)

    def solve(rows: np.ndarray) -> None:
        columns, weights = padded(extra, rows)  # E_u (rows, length), 0 where padded
        if columns.shape[1] <= SHORT * factors:
            solved[rows] = _by_entries(rotated, columns, weights, unobserved, ridge[rows])
        else:
            solved[rows] = _by_factors(fixed, common, columns, weights, unobserved, ridge[rows])

    # torch is single-threaded here, as its callers already run in parallel
    with settings.one_torch_thread(), ThreadPoolExecutor(settings.threads()) as pool:
        for _ in pool.map(solve, row_blocks(np.diff(extra.indptr), factors)):
            pass  # an error in a thread is raised here
    return solved


class Rotated:
    """Fixed vectors in the basis in which `w0 Y'Y` is diagonal: `w0 Y'Y = Q diag(values) Q'`."""

    def __init__(self, fixed: np.ndarray, common: np.ndarray):
        values, axes = np.linalg.eigh(common.astype(np.float64))
        self.values = np.maximum(values, 0).astype(np.float32)  # (f,)
        self.axes = axes.astype(np.float32)  # Q (f, f)
        self.vectors = fixed @ self.axes  # Y Q (m, f)


def _by_factors(
    fixed: np.ndarray,
    common: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    unobserved: float,
    ridge: np.ndarray,
) -> np.ndarray:
    """Solve `A x = b` for a block of rows as it stands, with one unknown for each factor."""
    watched = fixed.take(columns, axis=0)  # Y_u (rows, length, f)
    confidence = np.where(weights > 0, weights + np.float32(unobserved), 0)  # C_u p_u
    right = np.einsum("rl,rlf->rf", confidence, watched)  # b = Y'C_u p_u (rows, f)
    vectors = torch.from_numpy(watched)
    weighted = vectors * torch.from_numpy(weights)[:, :, None]  # E_u Y_u (rows, length, f)
    # A = w0 Y'Y + Y'E_u Y + r_u I  (rows, f, f)
    left = torch.baddbmm(torch.from_numpy(common)[None], weighted.transpose(1, 2), vectors)
    left.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(ridge)[:, None])
    # A = L L', so two triangular systems give x  (rows, f)
    triangle = torch.linalg.cholesky(left)
    return torch.cholesky_solve(torch.from_numpy(right)[:, :, None], triangle)[:, :, 0].numpy()


def _by_entries(
    rotated: Rotated,
    columns: np.ndarray,
    weights: np.ndarray,
    unobserved: float,
    ridge: np.ndarray,
) -> np.ndarray:
    """Solve `A x = b` for a block of short rows, with one unknown for each entry.

    In the rotated basis `D = w0 Y'Y + r_u I` is diagonal. With `W = E_u^(1/2) Y_u`, the matrix
    is `A = D + W'W`, and Woodbury's identity gives

        x = D^-1 W' (I + W D^-1 W')^-1 g,    g = E_u^(-1/2) C_u p_u.
    """
    root = np.sqrt(weights)  # E_u^(1/2) (rows, length)
    confidence = weights + np.float32(unobserved)  # C_u
    g = np.divide(confidence, root, out=np.zeros_like(root), where=root > 0)
    w = torch.from_numpy(rotated.vectors.take(columns, axis=0))  # Y_u (rows, length, f)
    w *= torch.from_numpy(root)[:, :, None]  # W
    diagonal = torch.from_numpy(rotated.values + ridge[:, None])  # D (rows, f)
    scaled = w / diagonal[:, None, :]  # W D^-1 (rows, length, f)
    left = torch.bmm(scaled, w.transpose(1, 2))  # W D^-1 W' (rows, length, length)
    left.diagonal(dim1=1, dim2=2).add_(1)
    triangle = torch.linalg.cholesky(left)
    solution = torch.cholesky_solve(torch.from_numpy(g)[:, :, None], triangle)
    x = torch.bmm(scaled.transpose(1, 2), solution)[:, :, 0].numpy()  # (rows, f)
    return x @ rotated.axes.T  # back from the rotated basis


def row_blocks(lengths: np.ndarray, factors: int) -> Iterator[np.ndarray]:
    """Rows that have entries, the longest first, in blocks that fit into a cache when padded.

    No block holds both short and other rows. In a block of others, a row counts as at least
    `factors` entries long, since it has a square matrix, too.
    """
    rows = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    n_long = np.count_nonzero(lengths > SHORT * factors)
    groups = ((rows[:n_long], factors), (rows[n_long:], 1))
    return itertools.chain.from_iterable(_blocks(*group, lengths, factors) for group in groups)


def _blocks(
    rows: np.ndarray, least: int, lengths: np.ndarray, factors: int
) -> Iterator[np.ndarray]:
    """Blocks of rows that are sorted by length, each of which counts as `least` entries or more."""
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
