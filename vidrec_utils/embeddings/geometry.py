"""The space that vectors lie in: how narrow it is, and three ways to open it before comparing.

Vectors of a pretrained network point into a narrow cone: they share a large common part, and a few
directions hold most of their variance. A cosine then compares mostly what all videos have in
common. Taking the mean away, or scaling all directions alike, costs nothing and often helps.

References
----------
Ethayarajh: How Contextual are Contextualized Word Representations? EMNLP 2019 (arXiv:1909.00512).
Su, Cao, Liu, Ou: Whitening Sentence Representations for Better Semantics and Faster Retrieval. 2021
(arXiv:2103.15316).
Roy, Vetterli: The Effective Rank: A Measure of Effective Dimensionality. EUSIPCO 2007.
Ledoit, Wolf: A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices. Journal of
Multivariate Analysis 88, 2004.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from vidrec_utils import arguments

GeometryKind = Literal["raw", "centred", "whitened", "pca"]
GEOMETRIES: tuple[GeometryKind, ...] = ("raw", "centred", "whitened", "pca")
PCA_DIM = 64


class Geometry:
    """A map of vectors, learned on training vectors, after which cosines are compared.

    Parameters
    ----------
    kind : {"raw", "centred", "whitened", "pca"}
        `"raw"`: nothing is done. `"centred"`: the mean is taken away. `"pca"`: centred, and turned
        into the directions of largest variance, of which `dim` are kept. `"whitened"`: the same
        with every direction scaled to variance 1, after shrinking the variances towards their mean,
        since small ones are mostly noise where videos are few.
    dim : int, optional
        Directions kept by `"pca"` (default 64) and `"whitened"` (default all), those of the largest
        variances; never more than the training vectors span. Whitening all of them gives the
        smallest, which are mostly noise, the same say as the largest; a few dozen are often better.

    Attributes
    ----------
    mean : ndarray, shape (dim,)
        Mean of the training vectors; zeros for `"raw"`.
    directions : ndarray, shape (kept, dim) or None
        Orthonormal rows.
    shrinkage : float
        Share of the mean variance in the shrunk ones (Ledoit and Wolf), 0 unless `"whitened"`.

    Examples
    --------
    >>> narrow = np.array([[9.0, 1.0], [9.0, -1.0]])  # what both have in common is the 9
    >>> Geometry("centred").fit(narrow).transform(narrow).tolist()
    [[0.0, 1.0], [0.0, -1.0]]
    """

    def __init__(self, kind: GeometryKind = "centred", dim: int | None = None):
        arguments.one_of(GEOMETRIES, geometry=kind)
        if dim is not None and (dim < 1 or kind in ("raw", "centred")):
            raise ValueError(
                f"dim is {dim} for {kind!r}; only 'pca' and 'whitened' keep 1 or more."
            )
        self.kind = kind
        self.dim = dim
        self.mean: np.ndarray | None = None

    def fit(self, vectors: np.ndarray) -> Self:
        """Learn from training vectors; returns itself.

        Parameters
        ----------
        vectors : ndarray, shape (n, dim)
            Vectors of training videos only; rows with NaN are left out.

        Raises
        ------
        ValueError
            If there is no complete row, or fewer than two where variances are needed.
        """
        rows = _present(vectors)
        needed = 1 if self.kind in ("raw", "centred") else 2
        if len(rows) < needed:
            raise ValueError(
                f"{len(rows)} complete vectors are too few to learn {self.kind!r} from; at least "
                f"{needed} are needed."
            )
        self.mean = np.zeros(rows.shape[1]) if self.kind == "raw" else rows.mean(axis=0)
        self.directions: np.ndarray | None = None
        self.scales = np.ones(rows.shape[1])
        self.shrinkage = 0.0
        if self.kind not in ("raw", "centred"):
            self._fit_directions(rows - self.mean)
        return self

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """Map vectors, also of videos that were not learned from.

        Parameters
        ----------
        vectors : ndarray, shape (n, dim)
            Not changed.

        Returns
        -------
        ndarray of float32, shape (n, kept)
            Rows with NaN become all NaN.
        """
        if self.mean is None:
            raise RuntimeError("This geometry has learned nothing yet: call fit(vectors) first.")
        rows = np.asarray(vectors, dtype=np.float64) - self.mean
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        if self.directions is not None:
            rows = rows @ self.directions.T / self.scales
        return rows.astype(np.float32)

    def truncated(self, dim: int) -> Geometry:
        """Keep only the first directions of a fitted geometry, those of the largest variances.

        It is what a fit with `dim` gives on the same vectors, without another decomposition.

        Parameters
        ----------
        dim : int
            Directions to keep; all of them if there are fewer.

        Raises
        ------
        ValueError
            If the geometry has no directions, or `dim` is not positive.

        Examples
        --------
        >>> rows = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> Geometry("pca").fit(rows).truncated(1).transform(rows).shape
        (4, 1)
        """
        if self.mean is None or self.directions is None:
            raise ValueError(f"{self.kind!r} has no directions to keep, or was not fitted.")
        arguments.at_least(1, dim=dim)
        shorter = Geometry(self.kind, dim)
        shorter.mean, shorter.shrinkage = self.mean, self.shrinkage
        shorter.directions, shorter.scales = self.directions[:dim], self.scales[:dim]
        return shorter

    def _fit_directions(self, centred: np.ndarray) -> None:
        n, width = centred.shape
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        smallest = singular[0] * max(n, width) * np.finfo(float).eps
        rank = max(int((singular > smallest).sum()), 1)
        kept = min(self.dim or (PCA_DIM if self.kind == "pca" else rank), rank)
        self.directions = directions[:kept]
        variances = singular**2 / n
        self.scales = np.ones(kept)
        if self.kind == "whitened":
            self.shrinkage = ledoit_wolf(centred)
            mean = variances.sum() / width
            shrunk = (1 - self.shrinkage) * variances[:kept] + self.shrinkage * mean
            self.scales = np.sqrt(np.where(shrunk > 0, shrunk, 1.0))


def unit_rows(rows: np.ndarray, shortest: float = 0.0) -> np.ndarray:
    """Scale each row to length 1; rows of length `shortest` or less, as zeros, become zeros.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > shortest)


def ledoit_wolf(centred: np.ndarray) -> float:
    """Share of the mean variance that best stabilises an empirical covariance, from 0 to 1.

    Computed from inner products of rows, so that wide vectors of few videos cost little; the value
    is that of `sklearn.covariance.ledoit_wolf_shrinkage`.

    Parameters
    ----------
    centred : ndarray, shape (n, dim)
        Rows whose mean is zero.
    """
    n, width = centred.shape
    lengths = (centred**2).sum(axis=1)  # (n,)
    small = centred @ centred.T if n <= width else centred.T @ centred
    square = (small**2).sum() / n**2  # squared Frobenius norm of the covariance
    mean = lengths.sum() / n / width
    spread = square - width * mean**2
    noise = ((lengths**2).sum() / n - square) / n
    return float(min(noise, spread) / spread) if spread > 0 else 0.0


def mean_cosine(vectors: np.ndarray) -> float:
    """Average the cosine over all pairs of rows: 0 for a cloud around the origin, 1 for a line.

    A large value is called anisotropy: everything resembles everything.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows with NaN, and rows of zeros, which have no direction, are left out.

    Returns
    -------
    float
        NaN for fewer than two rows.

    Examples
    --------
    >>> round(mean_cosine(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])), 3)  # 1, 0 and 0
    0.333
    """
    rows = _present(vectors)
    unit = unit_rows(rows[rows.any(axis=1)])
    n = len(unit)
    # The sum over all pairs is the squared length of the sum; each row with itself gives 1.
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1))) if n > 1 else np.nan


def effective_rank(vectors: np.ndarray) -> float:
    """Count the directions that vectors really use: exp of the entropy of their shares.

    With singular values `s_i` of the matrix of vectors and `p_i = s_i / sum(s)`, it is
    `exp(-sum p_i log p_i)`: k for k equal singular values, near 1 where one outweighs all others.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows with NaN are left out. Not centred here: a large common part counts as a direction.

    Returns
    -------
    float
        From 1 to min(n, dim); NaN without a row that is not zero.

    Examples
    --------
    >>> round(effective_rank(np.eye(3)), 3)
    3.0
    >>> round(effective_rank(np.array([[1.0, 1.0], [2.0, 2.0]])), 3)
    1.0
    """
    rows = _present(vectors)
    if not rows.any():
        return np.nan
    # Of the smaller product: exact enough for an entropy, and fast for wide vectors.
    small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    eigenvalues = np.linalg.eigvalsh(small)
    largest = eigenvalues[-1]
    singular = np.sqrt(eigenvalues[eigenvalues > largest * len(small) * np.finfo(float).eps])
    share = singular / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _present(vectors: np.ndarray) -> np.ndarray:
    """Complete rows as float64."""
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"Vectors have shape {rows.shape}; it must be (n, dim).")
    return rows[np.isfinite(rows).all(axis=1)]
