"""The best of many scores, and what a score is made of: plain functions on arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k highest values of each row, highest first; equal values in column order.

    Parameters
    ----------
    scores : ndarray, shape (n, m)
        NaN counts as -inf. The input is not changed.
    k : int
        At most `m` columns are returned.

    Returns
    -------
    ndarray of int64, shape (n, min(k, m))
        Columns holding -inf are returned too, last; the caller knows what -inf means.

    Notes
    -----
    Two sweeps over the scores are enough. The first takes the maxima of some hundred groups of
    columns; the k-th largest of those maxima is a value that at least k columns reach. The second
    collects the few columns that reach it, and only those are sorted. Rows where too many do (a
    flat row reaches everything) are partitioned instead.

    Examples
    --------
    >>> top_k(np.array([[0.1, 0.9, 0.5, 0.9]]), 3)
    array([[1, 3, 2]])
    """
    n, m = scores.shape
    k = min(int(k), m)
    if k < 1 or n == 0:
        return np.empty((n, max(k, 0)), dtype=np.int64)
    values = scores
    if np.isnan(values.max()):
        values = np.where(np.isnan(values), -np.inf, values)
    n_groups = 4 * k
    if m < 4 * n_groups:
        return _by_partition(values, k)
    # First sweep: a value that at least k columns reach, from the maxima of groups of columns.
    depth = m // n_groups
    groups = values[:, : depth * n_groups].reshape(n, depth, n_groups)
    maxima = groups.max(axis=1)  # (rows, groups)
    reached = np.partition(maxima, n_groups - k, axis=1)[:, n_groups - k, None]  # (rows, 1)
    # Second sweep: the columns that reach it; only they are sorted where they are few.
    candidates = values >= reached  # (rows, m)
    counts = np.count_nonzero(candidates, axis=1)  # (rows,)
    few = counts <= n_groups
    best = np.empty((n, k), dtype=np.int64)
    if few.any():
        best[few] = _by_candidates(values, candidates, counts, few, k)
    if not few.all():
        best[~few] = _by_partition(values[~few], k)
    return best


def _by_candidates(
    values: np.ndarray, candidates: np.ndarray, counts: np.ndarray, rows: np.ndarray, k: int
) -> np.ndarray:
    """The k best of the columns marked in some rows, all of which mark at least k."""
    if not rows.all():
        values, candidates, counts = values[rows], candidates[rows], counts[rows]
    row, column = np.divmod(np.flatnonzero(candidates), values.shape[1])
    # Number of each candidate within its row, its column in a narrow table of candidates.
    slot = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    table = np.full((len(counts), counts.max()), np.inf, dtype=values.dtype)
    columns = np.zeros(table.shape, dtype=np.int64)
    columns[row, slot] = column  # ascending within a row
    table[row, slot] = -values[row, column]
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    # an entry of -inf sorts like the padding, but before it: the padding comes last in a row
    return np.take_along_axis(columns, order, axis=1)


def _by_partition(values: np.ndarray, k: int) -> np.ndarray:
    """The k best of all columns: a partition finds each row's k-th value in linear time.

    Only rows where several columns hold exactly that value need a decision, and the first win.
    """
    n, m = values.shape
    threshold = np.partition(values, m - k, axis=1)[:, m - k, None]  # k-th highest, (rows, 1)
    chosen = values >= threshold
    surplus = chosen.sum(axis=1) > k
    if surplus.any():
        rows = values[surplus]
        above = rows > threshold[surplus]
        at = rows == threshold[surplus]
        remaining = k - above.sum(axis=1, keepdims=True)  # positions left for the first ties
        chosen[surplus] = above | (at & (np.cumsum(at, axis=1, dtype=np.int32) <= remaining))
    columns = np.nonzero(chosen)[1].reshape(n, k)  # ascending within a row
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def hide(scores: np.ndarray, seen: sparse.csr_array, rows: np.ndarray) -> None:
    """Write -inf, in place, where `seen` has an entry; a row number of -1 hides nothing."""
    known = np.flatnonzero(rows >= 0)
    pairs = seen[rows[known]].tocoo()
    scores[known[pairs.row], pairs.col] = -np.inf


def position(index: pd.Index, asked: str, kind: str) -> int:
    """Position of one id in an index.

    Raises
    ------
    KeyError
        If it is not in the index; `kind` ("user", "video") goes into the sentence.
    """
    row = index.get_indexer([str(asked)])[0]
    if row < 0:
        raise KeyError(f"There is no {kind} {asked!r} in the data that this was fitted on.")
    return int(row)
