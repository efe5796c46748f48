"""EASE: the best linear model from videos to videos, in closed form.

References
----------
Steck: Embarrassingly Shallow Autoencoders for Sparse Data. WWW 2019 (arXiv:1905.03375).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import lapack

from vidrec_utils import settings
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import position, top_k


class EASE(HistoryExplainable, SessionRecommender):
    """Every video as a weighted sum of the others: `X B`, with a zero diagonal.

    With X the summed event weights (users x videos), `B` minimises `|X - X B|^2 + l2 |B|^2` under
    the constraint that no video may explain itself. With `P = (X'X + l2 I)^-1` the solution is
    `B_ij = -P_ij / P_jj` off the diagonal (Steck's equation 8).

    An unknown user gets the popularity answer, and so does a user whose events all weigh nothing.
    A cold video scores 0 for everybody. Needs the memory of two dense matrices videos x videos in
    float32 (20,000 videos: 3.2 GB) and, in time, the cube of their number.

    Parameters
    ----------
    l2 : float
        Strength of the regularisation, in units of summed squared weights; positive.
    binary : bool
        Count that a pair has any positive weight, not how much.
    name : str
        Shown in tables.
    """

    _learned: ClassVar = ("matrix", "weights")

    def __init__(self, l2: float = 100.0, binary: bool = False, name: str = "ease"):
        if not l2 > 0:
            raise ValueError(f"l2 is {l2}; it must be positive, or there is no unique solution.")
        self.l2, self.binary, self.name = float(l2), bool(binary), name

    def similar(self, video_id: str, k: int = 10) -> pd.DataFrame:
        """The videos that speak most for one: `video_id, similarity`, the largest weight first.

        Raises
        ------
        KeyError
            If the video is not in the catalogue.
        """
        column = self.weights[:, position(self.video_ids, video_id, "video")]
        best = top_k(np.where(column > 0, column, -np.inf)[None], k)[0]
        best = best[column[best] > 0]
        return pd.DataFrame({"video_id": self.video_ids[best], "similarity": column[best]})

    def _fit(self, matrix: sparse.csr_array) -> None:
        self.matrix = _binary(matrix) if self.binary else matrix.copy()
        self.matrix.eliminate_zeros()
        self.weights = ease_weights(self.matrix, self.l2)

    def _score(self, users: np.ndarray) -> np.ndarray:
        history = self.matrix[users]
        scores = history @ self.weights  # (users, videos)
        scores[np.diff(history.indptr) == 0] = self.popularity
        return scores

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        row = self._history_row(columns, weights)
        return ((_binary(row) if self.binary else row) @ self.weights).ravel()

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        return self.weights[columns, video]


def ease_weights(matrix: sparse.csr_array, l2: float) -> np.ndarray:
    """Solve for EASE's weights.

    Parameters
    ----------
    matrix : csr_array of float32, shape (n_users, n_videos)
    l2 : float
        Positive.

    Returns
    -------
    ndarray of float32, shape (n_videos, n_videos)
        Column j holds what each video says for video j; the diagonal is 0.

    Notes
    -----
    The Gram matrix is positive definite, so Cholesky factors replace a general inverse: half the
    work, in place, on all threads of LAPACK.
    """
    gram = _gram(matrix).T  # symmetric: its transpose is the same in LAPACK's order of memory
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += np.float32(l2)
    factor, info = lapack.spotrf(gram, lower=1, overwrite_a=1)  # X'X + l2 I = L L'
    if info != 0:
        raise ValueError(
            f"The Gram matrix is not positive definite in float32 with l2 = {l2:g}: the weights "
            "are too large for it. Raise l2, or scale the event weights to about 1."
        )
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)  # P, its lower triangle
    inverse = np.tril(inverse, -1)
    scale = -1 / np.diagonal(factor).copy()  # spotri worked in place: the diagonal of P
    weights = inverse + inverse.T
    weights *= scale  # column j by -1 / P_jj
    return np.ascontiguousarray(weights)


def _gram(matrix: sparse.csr_array) -> np.ndarray:
    """`X'X` as a dense matrix `(n_videos, n_videos)`, its rows shared among the threads."""
    n, threads = matrix.shape[1], settings.threads()
    columns = sparse.csr_array(matrix.T)
    gram = np.empty((n, n), dtype=np.float32)

    def fill(rows: slice) -> None:
        gram[rows] = (columns[rows] @ matrix).toarray()

    size = max(1, -(-n // (4 * threads)))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, [slice(start, start + size) for start in range(0, n, size)]))
    return gram


def _binary(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((matrix > 0).astype(np.float32))
