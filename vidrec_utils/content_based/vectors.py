"""Vectors of videos as recommenders use them: in the catalogue's order, centred, of length 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from vidrec_utils.embeddings import Embeddings, join
from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.recommender import Recommender, as_ids
from vidrec_utils.saving import Array


def unit_vectors(vectors: np.ndarray, missing: np.ndarray, center: bool = True) -> np.ndarray:
    """Centre rows on the mean of those present and scale each to length 1; missing rows become 0.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Not changed.
    missing : ndarray of bool, shape (n,)
        Rows to leave out of the mean and set to zero.
    center : bool
        Whether to subtract the mean.

    Returns
    -------
    ndarray of float32, shape (n, dim)
        A row that equals the mean has no direction and stays 0.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[5.0, 4.0], [5.0, 0.0], [9.0, 9.0]])
    >>> unit_vectors(rows, missing=np.array([False, False, True])).tolist()
    [[0.0, 1.0], [0.0, -1.0], [0.0, 0.0]]
    """
    rows = np.array(vectors, dtype=np.float32)
    rows[missing] = 0
    if center and not missing.all():
        rows[~missing] -= rows[~missing].mean(axis=0, dtype=np.float64).astype(np.float32)
    return unit_rows(rows, 1e-12)


class VectorModel(Recommender):
    """A recommender over vectors of the caller, one row a video, which are saved with the model."""

    _array_arguments: ClassVar = ("vectors",)

    vectors: Embeddings | pd.DataFrame
    center = True
    unit: np.ndarray

    def _unit_vectors(self) -> np.ndarray:
        """Set `unit`, the vectors (centred if `center`) of length 1; return which are missing."""
        vectors = aligned(self.vectors, self.video_ids)
        missing = ~np.isfinite(vectors).all(axis=1)
        self.unit = unit_vectors(vectors, missing, self.center)
        return missing

    def _state(self) -> dict[str, Array]:
        return {**super()._state(), "vectors": aligned(self.vectors, self.video_ids)}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        return cls(vectors=pd.DataFrame(state["vectors"]), **parameters)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.vectors.index = self.video_ids


def aligned(vectors: Embeddings | pd.DataFrame, video_ids: pd.Index) -> np.ndarray:
    """Vectors in the catalogue's order, float32 `(n_videos, dim)`, NaN rows for the missing.

    Raises
    ------
    ValueError
        If a video has two vectors, or none of the catalogue has any.

    Examples
    --------
    >>> import pandas as pd
    >>> vectors = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["b", "a"])
    >>> aligned(vectors, pd.Index(["a", "b", "c"])).tolist()
    [[3.0, 4.0], [1.0, 2.0], [nan, nan]]
    """
    frame = vectors if isinstance(vectors, pd.DataFrame) else vectors.frame()
    ids = unique_ids(frame.index, "vectors for video")
    if not video_ids.isin(ids).any():
        raise ValueError(
            f"None of the {len(video_ids)} videos has a vector: the vectors' ids start with "
            f"{list(ids[:2])}, the catalogue's with {list(video_ids[:2])}."
        )
    return rows_by_id(frame, video_ids, "vectors for video")


def rows_by_id(table: pd.DataFrame, ids: pd.Index, what: str) -> np.ndarray:
    """Rows of a table of numbers in the order of ids, float32 `(n_ids, n_columns)`.

    An id that the table lacks has a row of NaN. `what` goes into the message of `unique_ids`.
    """
    values = table.to_numpy(dtype=np.float32, na_value=np.nan)
    rows = pd.DataFrame(values, unique_ids(table.index, what)).reindex(ids)
    return np.ascontiguousarray(rows, dtype=np.float32)


def unique_ids(values: Iterable[object], what: str) -> pd.Index:
    """Ids as text.

    Raises
    ------
    ValueError
        If one occurs twice; `what` ("vectors for video") says in the message what there are two of.

    Examples
    --------
    >>> unique_ids([7, 8, 7], "documents for video")
    Traceback (most recent call last):
    ValueError: Two documents for video '7'; keep one.
    """
    ids = as_ids(values)
    if ids.has_duplicates:
        raise ValueError(f"Two {what} {ids[ids.duplicated()][0]!r}; keep one.")
    return ids


def combine(
    modalities: Mapping[str, Embeddings | pd.DataFrame], weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Put the vectors of several modalities into one, each with its own weight.

    Every modality is standardised and scaled to length 1 (`embeddings.join`), then multiplied by
    the square root of its weight. So the inner product of two rows is the weighted sum of the
    cosines of the modalities: `sum_m w_m cos_m`.

    Parameters
    ----------
    modalities : mapping of str to Embeddings or DataFrame
        Such as `{"title": ..., "thumbnail": ..., "clip": ...}`.
    weights : mapping of str to float, optional
        Not negative; a modality that is not named has weight 1.

    Returns
    -------
    DataFrame of float32
        Indexed by `video_id`. A modality that a video lacks is zero there and agrees with nothing;
        a video that all modalities lack has NaN.

    Raises
    ------
    ValueError
        If there is no modality, a weight is negative or no number, names no modality, or all are 0.

    Examples
    --------
    >>> import pandas as pd
    >>> title = pd.DataFrame({"x": [1.0, -1.0, 1.0, -1.0]}, index=list("abcd"))
    >>> clip = pd.DataFrame({"y": [1.0, 1.0, -1.0, -1.0]}, index=list("abcd"))
    >>> both = combine({"title": title, "clip": clip}, weights={"title": 4})
    >>> (both @ both.T).loc["a"].tolist()  # with itself 4 + 1; with b -4 + 1, with c 4 - 1
    [5.0, -3.0, 3.0, -5.0]
    """
    weights = dict(weights or {})
    unknown = [name for name in weights if name not in modalities]
    if unknown:
        raise ValueError(f"There is no modality {unknown[0]!r}; there are {', '.join(modalities)}.")
    complete = {name: float(weights.get(name, 1.0)) for name in modalities}
    if not all(np.isfinite(weight) and weight >= 0 for weight in complete.values()):
        raise ValueError(f"weights must be numbers that are not negative, not {complete}.")
    if modalities and not any(complete.values()):
        raise ValueError("All weights are 0, so nothing would be left to compare videos by.")
    # each modality: standardised columns, rows of length 1
    joined = {name: join(table) for name, table in modalities.items() if complete[name] > 0}
    together = join(*(modalities[name] for name in joined))  # decides which videos there are
    # side by side, each times sqrt(w_m), so that products carry w_m  (n_videos, dims of all)
    columns = [
        table.reindex(together.index).fillna(0).to_numpy(np.float32)
        * np.float32(complete[name] ** 0.5)
        for name, table in joined.items()
    ]
    values = np.hstack(columns)
    values[together.isna().all(axis=1).to_numpy()] = np.nan
    return pd.DataFrame(values, index=together.index)
