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

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import position


class EASE(HistoryExplainable, SessionRecommender):
    """Every video as a weighted sum of the others: `X B`, with a zero diagonal.

    With X the summed event weights (users x videos), `B` minimises `|X - X B|^2 + l2 |B|^2` under
    the constraint that no video may explain itself. With `P = (X'X + l2 I)^-1` the solution is
    `B_ij = -P_ij / P_jj` off the diagonal (Steck's equation 8).

    An unknown user gets the popularity answer, and so does a user whose events all weigh nothing.
    A cold video scores 0 for everybody. Fitting needs the memory of little more than one dense
    matrix, videos x videos, in float32 (20,000 videos: 1.6 GB), and time that grows with the cube
    of their number.

    Parameters
    ----------
    l2 : float
        Strength of the regularisation, in units of summed squared weights; positive.
    binary : bool
        Count that a pair has any positive weight, not how much.
    name : str
        Shown in tables.

    Attributes
    ----------
    weights : ndarray of float32, shape (n_videos, n_videos)
        `B`: column j holds the weight of each video in the score of video j.

    Examples
    --------
    Two people watched a and b, one watched c. With `X'X + l2 I = [[3, 2], [2, 3]]` for a and b,
    each gets the weight `2 / 3` in the score of the other:

    >>> import pandas as pd
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("cat", "c")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = EASE(l2=1.0).fit(log)
    >>> print(abs(model.weights).astype(float).round(2).tolist())
    [[0.0, 0.67, 0.0], [0.67, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> model.similar("a")["video_id"].tolist()
    ['b']
    """

    knows_cold_videos = False

    _learned: ClassVar = ("matrix", "weights")

    def __init__(self, l2: float = 100.0, binary: bool = False, name: str = "ease"):
        arguments.positive(l2=l2)  # or there is no unique solution
        self._set_arguments(locals())

    def similar(self, video_id: str, k: int = 10) -> pd.DataFrame:
        """The videos with the largest weights in the score of one: `video_id, similarity`.

        Raises
        ------
        KeyError
            If the video is not in the catalogue.
        """
        column = self.weights[:, position(self.video_ids, video_id, "video")]
        return self._best_of(np.where(column > 0, column, -np.inf), k, "similarity")

    def _fit(self, matrix: sparse.csr_array) -> None:
        self.matrix = _binary(matrix) if self.binary else matrix.copy()
        self.matrix.eliminate_zeros()
        self.weights = ease_weights(self.matrix, self.l2)  # B (n_videos, n_videos)

    def _score(self, users: np.ndarray) -> np.ndarray:
        history = self.matrix[users]
        scores = history @ self.weights  # X B (users, n_videos)
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
        `B`: column j holds the weight of each video in the score of video j; the diagonal is 0.

    Notes
    -----
    The Gram matrix is positive definite, so Cholesky factors replace a general inverse: half the
    work, in place, on all threads of LAPACK. In plain NumPy, `P = inv(X'X + l2 I)` and then
    `B = -P / diag(P)` with a zero diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> X = sparse.csr_array(np.array([[1, 1], [1, 1]], dtype="f4"))
    >>> print(abs(ease_weights(X, l2=1.0)).astype(float).round(2).tolist())
    [[0.0, 0.67], [0.67, 0.0]]
    """
    # G = X'X + l2 I  (n_videos, n_videos); symmetric, so its transpose suits LAPACK's memory order
    gram = _gram(matrix).T
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += np.float32(l2)
    # G = L L', with L lower triangular
    factor, info = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if info != 0:
        raise ValueError(
            f"The Gram matrix is not positive definite in float32 with l2 = {l2:g}: the weights "
            "are too large for it. Raise l2, or scale the event weights to about 1."
        )
    # P = G^-1, the lower triangle of which spotri writes over L
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    scale = -1 / np.diagonal(inverse).copy()  # -1 / P_jj (n_videos,)
    # B_ij = -P_ij / P_jj, and B_jj = 0; P is symmetric, so its transpose suits NumPy's order
    weights = _mirrored(inverse).T
    weights *= scale
    np.fill_diagonal(weights, 0)
    return weights


def _mirrored(lower: np.ndarray) -> np.ndarray:
    """Copy a lower triangle to the upper one, in place: no second matrix is needed."""
    n = len(lower)
    for start in range(0, n, MIRRORED_ROWS):
        stop = min(start + MIRRORED_ROWS, n)
        block = np.tril(lower[start:stop, start:stop], -1)
        diagonal = np.diag(np.diagonal(lower)[start:stop])
        lower[start:stop, start:stop] = block + block.T + diagonal
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower


MIRRORED_ROWS = 512
"""Rows of a triangle that are copied at once."""

GRAM_VALUES = 2**22
"""Values of the Gram matrix that each thread computes at once."""


def _gram(matrix: sparse.csr_array) -> np.ndarray:
    """`X'X` as a dense matrix `(n_videos, n_videos)`, its rows shared among the threads."""
    n = matrix.shape[1]
    threads = settings.threads()
    columns = sparse.csr_array(matrix.T)
    gram = np.empty((n, n), dtype=np.float32)

    def fill(rows: slice) -> None:
        gram[rows] = (columns[rows] @ matrix).toarray()

    size = max(1, min(-(-n // (4 * threads)), GRAM_VALUES // max(n, 1)))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, [slice(start, start + size) for start in range(0, n, size)]))
    return gram


def _binary(matrix: sparse.csr_array) -> sparse.csr_array:
    """1 where a weight is positive."""
    return sparse.csr_array((matrix > 0).astype(np.float32))
