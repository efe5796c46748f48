"""Neighbourhoods: two videos are similar when the same people enjoyed both.

References
----------
Sarwar et al.: Item-based Collaborative Filtering Recommendation Algorithms. WWW 2001.
Deshpande, Karypis: Item-based Top-N Recommendation Algorithms. ACM TOIS 22(1), 2004.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable
from vidrec_utils.recommender import position
from vidrec_utils.top_k import top_k


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
    negative, it comes after everything that has any support. The time of fitting grows with the
    co-occurrences (see `cosine_neighbours`), not with the square of the catalogue.

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
    matrix : csr_array of float, shape (n_users, n_videos)
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
    A video's co-occurrences are the entries of its users' histories. The work grows with their
    number, not with the square of the catalogue: only a video that has at least a quarter as many
    co-occurrences as there are videos is given a dense row. Where they are very many, all entries
    of the matrix are multiplied with several such videos at once, which is cheaper still.

    Examples
    --------
    Two users watched the first two videos, and one of them the third:

    >>> import numpy as np
    >>> from scipy import sparse
    >>> matrix = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]], dtype="f4"))
    >>> similarity = cosine_neighbours(matrix, neighbours=1)
    >>> print(similarity.toarray().astype(float).round(2).tolist())
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.71, 0.0, 0.0]]
    """
    n = matrix.shape[1]
    columns = sparse.csr_array(matrix.T)  # X' (n_videos, n_users)
    length = np.sqrt(columns.multiply(columns).sum(axis=1)).astype(np.float32)  # |x_i| (n_videos,)
    length[length == 0] = 1  # without weights, the numerator is 0 as well

    def nearest(rows: np.ndarray) -> sparse.csr_array:
        # numerator sum_u x_ui x_uj of the pairs that share a user
        products = sparse.csr_array(columns[rows] @ matrix)
        j, each = products.indices, np.diff(products.indptr)  # (n_pairs,), (n_rows,)
        # divided by |x_i| |x_j| + shrinkage
        scale = length.take(j)
        scale *= np.repeat(length[rows], each)
        scale += np.float32(shrinkage)
        similarity = products.data
        similarity /= scale
        # no video is its own neighbour
        similarity[j == np.repeat(rows.astype(j.dtype), each)] = 0
        # keep the most similar; negative similarities are neighbours, too, ranked by their size
        kept = largest(np.abs(similarity), j, products.indptr, neighbours)
        kept &= similarity != 0
        pair = np.flatnonzero(kept)
        ends = np.searchsorted(pair, products.indptr).astype(np.int32)
        result = sparse.csr_array((similarity.take(pair), j.take(pair), ends), (len(rows), n))
        result.sort_indices()
        return result

    def nearest_in_dense_rows(rows: np.ndarray) -> sparse.csr_array:
        return best_of(_dense_products(columns[rows], matrix), rows)

    def nearest_of_popular(rows: np.ndarray) -> sparse.csr_array:
        # X' x_i for several i at once: (n_videos, n_users) @ (n_users, n_rows)
        watchers = np.ascontiguousarray(columns[rows].toarray().T)
        return best_of(np.ascontiguousarray((columns @ watchers).T), rows)

    def best_of(similarity: np.ndarray, rows: np.ndarray) -> sparse.csr_array:
        # the same steps as in `nearest`, on all videos j  (n_rows, n_videos)
        scale = np.multiply.outer(length[rows], length)
        scale += np.float32(shrinkage)
        similarity /= scale
        similarity[np.arange(len(rows)), rows] = 0
        kept = np.sort(top_k(np.abs(similarity), neighbours), axis=1)  # (n_rows, n_neighbours)
        data = np.take_along_axis(similarity, kept, axis=1)
        # in 32 bits, since a sparse array keeps indices as wide as they come
        j = kept.ravel().astype(np.int32)
        ends = np.arange(0, len(j) + 1, kept.shape[1], dtype=np.int32)
        result = sparse.csr_array((data.ravel(), j, ends), (len(rows), n))
        result.eliminate_zeros()
        return result

    # co-occurrences of each video: the history lengths of its users, added up  (n_videos,)
    history = np.diff(matrix.indptr).astype(np.int64)
    work = (columns != 0).astype(np.int64) @ history
    popular = POPULAR * work >= matrix.nnz
    often, seldom = ~popular & (4 * work >= n), ~popular & (4 * work < n)
    popular, often, seldom = map(np.flatnonzero, (popular, often, seldom))
    with ThreadPoolExecutor(settings.threads()) as pool:
        nearest_blocks = [
            *pool.map(
                nearest_of_popular,
                np.split(popular, range(POPULAR_AT_ONCE, len(popular), POPULAR_AT_ONCE)),
            ),
            *pool.map(nearest_in_dense_rows, _even_blocks(often, np.maximum(work[often], n))),
            *pool.map(nearest, _even_blocks(seldom, work[seldom])),
        ]
    in_order = np.argsort(np.concatenate([popular, often, seldom]))
    similarity = sparse.vstack(nearest_blocks, format="csr")[in_order]
    return sparse.csr_array(similarity).astype(np.float32)


PRODUCTS_AT_ONCE = 2**19
"""Products `x_ui x_uj` of one block of `cosine_neighbours`; each thread holds one."""

POPULAR = 8
"""A video counts as popular with at least `1 / POPULAR` as many co-occurrences as the matrix has
entries. It is multiplied with all entries: for several videos at once, an entry takes a fraction of
the time of a co-occurrence."""

POPULAR_AT_ONCE = 16
"""Popular videos that are multiplied at once: one line of a processor's cache for each user."""

PADDED_AT_ONCE = 2**17
"""Values of rows of similar length that are partitioned at once."""


def _even_blocks(rows: np.ndarray, work: np.ndarray) -> list[np.ndarray]:
    """Cut rows into blocks whose work is at most `PRODUCTS_AT_ONCE`, or that hold one row."""
    ends = np.cumsum(work)
    blocks, start = [], 0
    while start < len(rows):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + PRODUCTS_AT_ONCE, side="right"))
        stop = max(start + 1, stop)
        blocks.append(rows[start:stop])
        start = stop
    return blocks


def _dense_products(watchers: sparse.csr_array, matrix: sparse.csr_array) -> np.ndarray:
    """`watchers @ matrix` as a dense array: the matrix's rows are copied, weighted and added up.

    That takes one pass, while a product of sparse matrices needs a second one, which counts how
    many entries each row will have. At most `PRODUCTS_AT_ONCE` values, or one row, are copied at
    once.
    """
    total = np.zeros((watchers.shape[0], matrix.shape[1]), dtype=matrix.dtype)
    for part in _even_blocks(np.arange(watchers.nnz), np.diff(matrix.indptr)[watchers.indices]):
        start, stop = part[0], part[-1] + 1
        histories = matrix[watchers.indices[start:stop]]  # x_u of the watchers (n_part, n_videos)
        histories.data *= np.repeat(watchers.data[start:stop], np.diff(histories.indptr))
        # row r of the result consists of the histories of its watchers
        ends = histories.indptr[np.clip(watchers.indptr - start, 0, stop - start)]
        total += sparse.csr_array((histories.data, histories.indices, ends), total.shape).toarray()
    return total


def largest(values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, k: int) -> np.ndarray:
    """Which values are among the k largest of their row; of equal ones those of the first columns.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        The values of all rows, one row after another.
    columns : ndarray of int, shape (n,)
        The column of each value, in any order within a row.
    indptr : ndarray of int, shape (n_rows + 1,)
        Where each row begins, and where the last ends, as of a `csr_array`.
    k : int
        At least 1.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    lengths = np.diff(indptr)  # (n_rows,)
    least = np.full(len(lengths), -np.inf, dtype=values.dtype)  # the k-th largest of each row
    surplus = np.zeros(len(lengths), dtype=np.int64)  # values equal to it beyond the k largest
    for rows in _similar_lengths(np.flatnonzero(lengths > k), lengths):
        longest = int(lengths[rows[0]])
        entry = indptr[rows, None] + np.arange(longest)  # (rows, longest)
        size = values.take(entry, mode="clip")
        shortest = int(lengths[rows[-1]])
        padding = np.arange(shortest, longest) >= lengths[rows, None]
        size[:, shortest:][padding] = -np.inf
        size.partition(longest - k, axis=1)
        least[rows] = size[:, longest - k]
        surplus[rows] = (size[:, : longest - k] == least[rows, None]).sum(axis=1)
    kept = values >= np.repeat(least, lengths)
    # of the values equal to the limit, those of the last columns have to go
    limit = np.where(surplus > 0, least, np.nan)  # (n_rows,), equal to nothing where none has to
    pair = np.flatnonzero(values == np.repeat(limit, lengths))
    row = np.searchsorted(indptr, pair, side="right") - 1
    last = columns.max(initial=0)
    order = np.argsort(row * (last + 1) + (last - columns[pair]))  # row by row, last columns first
    pair, row = pair[order], row[order]
    number = np.arange(len(row)) - np.searchsorted(row, row)  # within its row, from 0
    kept[pair[number < surplus[row]]] = False
    return kept


def _similar_lengths(rows: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows into blocks, the longest first, that hold `PADDED_AT_ONCE` values when padded."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(rows):
        stop = start + max(1, PADDED_AT_ONCE // int(lengths[rows[start]]))
        yield rows[start:stop]
        start = stop
