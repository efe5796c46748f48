"""Several vectors of one video joined into one, so that none drowns out the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.embeddings.embedding import Embeddings
from vidrec_utils.embeddings.geometry import unit_rows


def join(*tables: Embeddings | pd.DataFrame, balance: bool = False) -> pd.DataFrame:
    """Put vectors of several sources side by side, with equal weight.

    In each table, every column is standardised over the videos that have a vector (a column that is
    constant becomes 0), then every row is scaled to length 1. The inner product of two joined rows
    is the sum of the tables' cosines.

    Parameters
    ----------
    *tables : Embeddings or DataFrame
        One or more, one row a video, indexed by `video_id`; rows with NaN are missing.
    balance : bool
        Divide each table by the root of the standard deviation of its cosines between different
        videos, so that all tables have an equal say in which videos are alike. Without, a table of
        many sparse columns (words), whose cosines lie near zero, is outvoted by one whose cosines
        differ widely.

    Returns
    -------
    DataFrame of float32
        Indexed by `video_id`, all videos of all tables, in the order of the first; columns numbered
        from 0. A video that one table lacks has zeros in its columns, which agree with nothing; a
        video that every table lacks has NaN.

    Raises
    ------
    ValueError
        If there is no table, or a table names a video twice.

    Examples
    --------
    >>> looks = pd.DataFrame({"red": [0.0, 1.0]}, index=["a", "b"])
    >>> moves = pd.DataFrame({"pace": [5.0]}, index=["b"])
    >>> join(looks, moves).to_numpy().tolist()
    [[-1.0, 0.0], [1.0, 0.0]]

    Balanced, the cosines have a standard deviation of 1:

    >>> hues = pd.DataFrame({"hue": [0.0, 1.0, 2.0, 9.0]}, index=list("abcd"))
    >>> joined = join(hues, balance=True).to_numpy()
    >>> round(float((joined @ joined.T)[np.triu_indices(4, 1)].std()), 6)
    1.0
    """
    if not tables:
        raise ValueError("There is nothing to join: give at least one table of vectors.")
    frames = [table if isinstance(table, pd.DataFrame) else table.frame() for table in tables]
    ids = frames[0].index
    for number, frame in enumerate(frames):
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise ValueError(f"Table {number} has two vectors for video {twice!r}; keep one.")
        ids = ids.union(frame.index, sort=False)
    scaled = [_standardized(frame.reindex(ids).to_numpy(np.float32)) for frame in frames]
    if balance:
        scaled = [block / np.sqrt(_spread(block)) for block in scaled]
    joined = np.hstack([np.nan_to_num(block) for block in scaled])
    joined[np.all([np.isnan(block).all(axis=1) for block in scaled], axis=0)] = np.nan
    return pd.DataFrame(joined, index=ids)


def _spread(unit: np.ndarray) -> float:
    """Standard deviation of the inner products of different rows; 1 if they do not differ."""
    rows = unit[np.isfinite(unit).all(axis=1)]
    if len(rows) < 3:
        return 1.0
    # over pairs i != j, without the square matrix: the mean of s and of s²
    pairs = len(rows) * (len(rows) - 1)
    norms = (rows**2).sum(axis=1)
    mean = ((rows.sum(axis=0) ** 2).sum() - norms.sum()) / pairs
    square = (((rows.T @ rows) ** 2).sum() - (norms**2).sum()) / pairs
    spread = np.sqrt(max(square - mean**2, 0.0))
    return float(spread) if spread > 1e-6 else 1.0


def _standardized(values: np.ndarray) -> np.ndarray:
    """Standardise columns, then scale rows to length 1; rows with NaN become all NaN."""
    present = np.isfinite(values).all(axis=1)
    out = np.full_like(values, np.nan)
    if present.any():
        rows = values[present].astype(np.float64)
        rows -= rows.mean(axis=0)
        deviation = rows.std(axis=0)
        rows = np.divide(rows, deviation, out=np.zeros_like(rows), where=deviation > 1e-12)
        out[present] = unit_rows(rows, 1e-12)
    return out
