"""Neighbourhoods: two videos are similar when the same people enjoyed both.

References
----------
Sarwar et al.: Item-based Collaborative Filtering Recommendation Algorithms. WWW 2001.
Deshpande, Karypis: Item-based Top-N Recommendation Algorithms. ACM TOIS 22(1), 2004.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import position


class ItemKNN(HistoryExplainable, SessionRecommender):
    """Neighbourhoods of videos by the users they share.

    With `x_ui` the summed event weights, the similarity of two videos is
    `s_ij = sum_u x_ui x_uj / (|x_i| |x_j| + shrinkage)`, kept for the `neighbours` most similar j
    of each i, and a score is `sum_j x_uj s_ij`.

    Whose neighbours are kept makes a difference. Those of the video that is **scored** (Sarwar et
    al.) give every video the same number of voices, so that a video which resembles very many is
    no better off. Those of the videos that were **watched** (Deshpande and Karypis; `implicit` and
    `irspack` do the same) give every watched video the same number of votes, and a popular video
    collects many. The first is better on MovieLens, the second on the sparse KuaiRand.

    An unknown user gets the popularity answer, and so does a user whose events all weigh nothing.
    A cold video has no neighbours and scores 0: with the weights of `event_weights`, which are not
    negative, it comes after everything that has any support. Time and memory of fitting grow with
    the number of pairs of videos that share a user, not with the square of the catalogue.

    Parameters
    ----------
    neighbours : int
        How many similar videos may contribute to the score of a video.
    shrinkage : float
        Pulls similarities with little evidence towards 0, in units of summed weights.
    neighbours_of : {"scored", "watched"}
        Whose neighbours are kept.
    name : str
        Shown in tables.

    Examples
    --------
    Both who watched b also watched a; one of them watched c.

    >>> import pandas as pd
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "c"), ("cat", "b")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> model = ItemKNN(neighbours=2, shrinkage=0).fit(log)
    >>> print(model.similar("a").round(2).to_string(index=False))
    video_id  similarity
           b        0.82
           c        0.71
    >>> model.recommend("cat", k=1)["video_id"].item()
    'a'
    >>> model.recommend_next(["c"], k=1)["video_id"].item()
    'a'
    """

    knows_cold_videos = False

    _learned: ClassVar = ("matrix", "similarity")

    def __init__(
        self,
        neighbours: int = 200,
        shrinkage: float = 10.0,
        neighbours_of: str = "scored",
        name: str = "item-knn",
    ):
        arguments.at_least(1, neighbours=neighbours)
        arguments.at_least(0, shrinkage=shrinkage)
        arguments.one_of(("scored", "watched"), neighbours_of=neighbours_of)
        self._set_arguments(locals())

    def similar(self, video_id: str, k: int = 10) -> pd.DataFrame:
        """The neighbours of a video, most similar first: `video_id, similarity`.

        Raises
        ------
        KeyError
            If the video is not in the catalogue.
        """
        row = self.similarity[[position(self.video_ids, video_id, "video")]].tocoo()
        order = np.lexsort((row.col, -row.data))[:k]
        return pd.DataFrame(
            {"video_id": self.video_ids[row.col[order]], "similarity": row.data[order]}
        )

    def _fit(self, matrix: sparse.csr_array) -> None:
        self.matrix = matrix
        self.matrix.eliminate_zeros()
        self.similarity = cosine_neighbours(matrix, self.neighbours, self.shrinkage)
        self.votes = self._votes()

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.votes = self._votes()

    def _votes(self) -> sparse.csr_array:
        """Contribution of a watched video (row) to each other, `(n_videos, n_videos)`."""
        watched = self.neighbours_of == "watched"
        return self.similarity if watched else sparse.csr_array(self.similarity.T)

    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        return self.votes[:, [video]].toarray().ravel()[columns]

    def _score_history(self, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        row = self._history_row(columns, weights)
        return (row @ self.votes).toarray().astype(np.float32).ravel()

    def _score(self, users: np.ndarray) -> np.ndarray:
        history = self.matrix[users]
        scores = (history @ self.votes).toarray().astype(np.float32)  # sum_j x_uj s_ij
        scores[np.diff(history.indptr) == 0] = self.popularity
        return scores


def cosine_neighbours(
    matrix: sparse.csr_array, neighbours: int, shrinkage: float = 0.0
) -> sparse.csr_array:
    """For each column, its most similar other columns by shrunk cosine.

    Parameters
    ----------
    matrix : csr_array, shape (n_users, n_videos)
        Weights.
    neighbours : int
        Entries kept in a row of the result; equal similarities are kept in column order.
    shrinkage : float
        Added to the product of the two columns' lengths.

    Returns
    -------
    csr_array of float32, shape (n_videos, n_videos)
        Row i holds the neighbours of video i; the diagonal is empty, zeros are not stored.

    Notes
    -----
    Only pairs of columns that share a row are ever computed or held, in blocks of columns: the work
    grows with the number of such pairs, not with the square of the number of columns.
    """
    columns = sparse.csr_array(matrix.T)  # X' (n_videos, n_users)
    length = np.sqrt(columns.multiply(columns).sum(axis=1)).astype(np.float32)  # |x_i| (n_videos,)

    def nearest(block: slice) -> sparse.csr_array:
        # numerator sum_u x_ui x_uj of the pairs that share a user  (rows, n_videos)
        pairs = sparse.csr_array(columns[block] @ matrix)
        pairs.sort_indices()  # equal similarities are kept in column order
        i = np.repeat(np.arange(block.start, block.stop), np.diff(pairs.indptr))  # (n_pairs,)
        j = pairs.indices
        # divided by |x_i| |x_j| + shrinkage
        scale = length[i] * length[j] + np.float32(shrinkage)
        data = np.divide(pairs.data, scale, out=np.zeros_like(pairs.data), where=scale > 0)
        # no video is its own neighbour
        data[i == j] = 0
        # keep the most similar; negative similarities are neighbours, too, ranked by their size
        pairs.data = np.where(largest(np.abs(data), pairs.indptr, neighbours), data, 0)
        pairs.eliminate_zeros()
        return pairs

    with ThreadPoolExecutor(settings.threads()) as pool:
        rows = list(pool.map(nearest, _even_blocks(columns, matrix)))
    return sparse.csr_array(sparse.vstack(rows)).astype(np.float32)


PAIRS_AT_ONCE = 2**21
"""Pairs of videos of one block of `cosine_neighbours`; each thread holds one."""


def _even_blocks(columns: sparse.csr_array, matrix: sparse.csr_array) -> list[slice]:
    """Slices of the videos, each with at most `PAIRS_AT_ONCE` pairs, or one video."""
    n = matrix.shape[1]
    # at most so many videos share a user with video i: the history lengths of its users added up
    pairs = (columns != 0).astype(np.int64) @ np.diff(matrix.indptr).astype(np.int64)
    ends = np.cumsum(np.minimum(pairs, n))
    slices, start = [], 0
    while start < n:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
        slices.append(slice(start, stop))
        start = stop
    return slices


def largest(values: np.ndarray, indptr: np.ndarray, k: int) -> np.ndarray:
    """Which values are among the k largest of their row; of equal ones the first.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        The values of all rows, one row after another.
    indptr : ndarray of int, shape (n_rows + 1,)
        Where each row begins, and where the last ends, as of a `csr_array`.
    k : int
        At least 1.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    kept = np.ones(len(values), dtype=bool)
    for row in np.flatnonzero(np.diff(indptr) > k):
        own = values[indptr[row] : indptr[row + 1]]
        least = np.partition(own, len(own) - k)[len(own) - k]  # the k-th largest
        above = own > least
        equal = np.flatnonzero(own == least)[: k - above.sum()]
        above[equal] = True
        kept[indptr[row] : indptr[row + 1]] = above
    return kept
