"""Several vectors of one video made into one, so that none drowns the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.embeddings.embedding import Embeddings


def join(*parts: Embeddings | pd.DataFrame) -> pd.DataFrame:
    """Put vectors of several sources side by side, each with the same say.

    Of each part, every column is standardised over the videos that have a vector (a column that is
    constant becomes 0), then every row is scaled to length 1. The inner product of two joined rows
    is the sum of the parts' cosines.

    Parameters
    ----------
    *parts : Embeddings or DataFrame
        One or more, one row a video, indexed by `video_id`; rows with NaN are missing.

    Returns
    -------
    DataFrame of float32
        Indexed by `video_id`, all videos of all parts, in the order of the first; columns numbered
        from 0. A video that one part lacks has zeros there, which agree with nothing; a video that
        every part lacks has NaN.

    Raises
    ------
    ValueError
        If there is no part, or a part names a video twice.
    """
    if not parts:
        raise ValueError("There is nothing to join: give at least one table of vectors.")
    frames = [part if isinstance(part, pd.DataFrame) else part.frame() for part in parts]
    ids = frames[0].index
    for number, frame in enumerate(frames):
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise ValueError(f"Part {number} has two vectors for video {twice!r}; keep one.")
        ids = ids.union(frame.index, sort=False)
    scaled = [_unit_rows(frame.reindex(ids).to_numpy(np.float32)) for frame in frames]
    joined = np.hstack([np.nan_to_num(part) for part in scaled])
    joined[np.all([np.isnan(part).all(axis=1) for part in scaled], axis=0)] = np.nan
    return pd.DataFrame(joined, index=ids)


def _unit_rows(values: np.ndarray) -> np.ndarray:
    """Standardise columns, then scale rows to length 1; rows with NaN become all NaN."""
    present = np.isfinite(values).all(axis=1)
    out = np.full_like(values, np.nan)
    if present.any():
        rows = values[present].astype(np.float64)
        rows -= rows.mean(axis=0)
        deviation = rows.std(axis=0)
        rows = np.divide(rows, deviation, out=np.zeros_like(rows), where=deviation > 1e-12)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        out[present] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)
    return out
