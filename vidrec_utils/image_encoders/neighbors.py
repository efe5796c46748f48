"""Which items an encoder holds to be alike: nearest neighbours, and a map of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vidrec_utils.embeddings.geometry import unit_rows


def nearest(vectors: np.ndarray, k: int = 1) -> np.ndarray:
    """Find for each row the k other rows with the largest cosine.

    Returns
    -------
    ndarray of int, shape (n, k)
        Positions, the nearest first.

    Examples
    --------
    >>> nearest(np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])).tolist()
    [[1], [0], [1]]
    """
    unit = unit_rows(np.asarray(vectors, dtype=np.float32))
    cosine = unit @ unit.T  # (n, n)
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k]


def nearest_ids(vectors: pd.DataFrame, groups: pd.Series | None = None) -> pd.Series:
    """Find for each row the id of its nearest other row, by cosine after centring.

    Parameters
    ----------
    vectors : DataFrame, shape (n, dim)
        Indexed by id; rows with NaN are left out.
    groups : Series, optional
        Group of each id. With it, only rows of other groups are searched, so that finding the same
        thing once more does not count.

    Returns
    -------
    Series of str
        Id of the neighbour, by id.

    Raises
    ------
    KeyError
        If an id has no group.
    ValueError
        If all rows are of one group, so that none has a neighbour.

    Examples
    --------
    >>> vectors = pd.DataFrame([[1.0, 0.0], [2.0, 0.1], [-3.0, 0.0]], index=["a", "b", "c"])
    >>> nearest_ids(vectors)["a"]
    'b'
    >>> nearest_ids(vectors, groups=pd.Series({"a": "cat", "b": "cat", "c": "dog"}))["a"]
    'c'
    """
    known = vectors.dropna()
    centred = (known - known.mean()).to_numpy()
    if groups is None:
        return pd.Series(known.index[nearest(centred)[:, 0]], known.index)
    group = groups.loc[known.index].to_numpy()
    if len(set(group)) < 2:
        raise ValueError(
            f"All {len(known)} rows are of one group, so none has a neighbour in another: leave "
            "`groups` out, or give finer ones."
        )
    unit = unit_rows(centred.astype(np.float32))
    cosine = np.where(group[:, None] == group, -np.inf, unit @ unit.T)  # (n, n)
    return pd.Series(known.index[cosine.argmax(axis=1)], known.index)


def flat_map(vectors: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """Lay vectors out on a plane so that neighbours stay neighbours: t-SNE of 30 directions.

    Returns
    -------
    DataFrame
        Columns `x` and `y`, in no unit; only who lies near whom has a meaning.

    Examples
    --------
    >>> points = np.arange(20.0).reshape(10, 2)
    >>> flat_map(points).shape
    (10, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.asarray(vectors)
    small = PCA(min(30, *rows.shape), random_state=seed).fit_transform(rows)
    near = TSNE(perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=seed)
    return pd.DataFrame(near.fit_transform(small), columns=["x", "y"])


def neighbor_strip(
    vectors: Mapping[str, np.ndarray],
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    start: int,
    k: int = 4,
) -> tuple[list[np.ndarray], list[str]]:
    """Lay out one image and its nearest neighbours, a row for each encoder.

    Parameters
    ----------
    vectors : mapping of str to ndarray, shape (n, dim)
        Vectors of all images, by the name of the encoder.
    images, captions : sequences of length n
        Image and caption of each item.
    start : int
        Position of the image whose neighbours are shown.
    k : int
        Number of neighbours.

    Returns
    -------
    (list of ndarray, list of str)
        Images and titles, `1 + k` a row, for `plots.contact_sheet`.

    Examples
    --------
    >>> vectors = {"net": np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])}
    >>> images = [np.full((2, 2, 3), i, np.uint8) for i in range(3)]
    >>> neighbor_strip(vectors, images, ["cat", "lion", "car"], start=0, k=1)[1]
    ['net: cat', 'lion']
    """
    strip, titles, captions = [], [], list(captions)
    for name, rows in vectors.items():
        near = nearest(rows, k)[start]
        strip += [images[position] for position in (start, *near)]
        titles += [f"{name}: {captions[start]}", *(captions[position] for position in near)]
    return strip, titles
