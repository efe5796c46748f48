"""Several recommenders made one, by their scores or by their ranks.

References
----------
Fox, Shaw: Combination of Multiple Searches. TREC-2, 1994 (sums of normalised scores).
Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
Methods. SIGIR 2009.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata
from tqdm.auto import tqdm

from vidrec_utils.evaluation import evaluate
from vidrec_utils.hybrid.parts import OfParts, fitted
from vidrec_utils.recommender import Recommender, as_ids

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split

NORMALISATIONS = ("zscore", "minmax", "rank")


class Fusion(OfParts):
    """A weighted sum of what the parts say, once it has been made comparable.

    A part has nothing to say about a video that it scores NaN or -inf, or that its catalogue lacks:
    the video gets the lowest value that the part gives to anything else. A video about which no
    part has anything to say scores NaN, and is never recommended.

    An unknown user gets the parts' own answers for unknown users, fused; a cold video what the
    parts say of it.
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None,
        refit: bool,
        name: str,
    ):
        super().__init__(models, refit)
        self.weights = checked_weights(weights, [model.name for model in self.models])
        self.name = name

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Values `(..., n_videos)` of a part that may be added to another's; NaN stays."""
        raise NotImplementedError

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        return weighted(self.comparable(self.part_scores(user_ids)), self.weights)


class WeightedFusion(Fusion):
    """The weighted sum of normalised scores, each normalised over a user's videos.

    Parameters
    ----------
    models : sequence of Recommender
        The parts, each with a name of its own.
    weights : sequence of float or mapping of str to float, optional
        One for each part, in order or by name, 0 or more; only their ratios count. Default: equal.
        `tune` finds them.
    normalise : {"zscore", "minmax", "rank"}
        Mean 0 and deviation 1; from 0 to 1; or the share of videos that score lower (ties share).
    refit : bool
        Whether `fit` fits the parts; otherwise they must be fitted.
    name : str
        Shown in tables.
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None = None,
        normalise: str = "zscore",
        refit: bool = True,
        name: str = "weighted fusion",
    ):
        if normalise not in NORMALISATIONS:
            raise ValueError(
                f"normalise is {normalise!r}; choose from {', '.join(map(repr, NORMALISATIONS))}."
            )
        super().__init__(models, weights, refit, name)
        self.normalise = normalise

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Normalised scores; see `normalised`."""
        return normalised(scores, self.normalise)


class RankFusion(Fusion):
    """Reciprocal rank fusion: `sum_m weight_m / (constant + rank_m)`, ranks from 1.

    Scores are never compared, only orders, so nothing has to be normalised. Ranks are over the
    whole catalogue; videos with equal scores share the mean of their ranks, or those early in the
    catalogue would gain.

    Parameters
    ----------
    models : sequence of Recommender
        The parts, each with a name of its own.
    weights : sequence of float or mapping of str to float, optional
        As for `WeightedFusion`.
    constant : float
        60 in the paper. The larger, the less the first places stand out.
    refit : bool
        Whether `fit` fits the parts; otherwise they must be fitted.
    name : str
        Shown in tables.
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None = None,
        constant: float = 60.0,
        refit: bool = True,
        name: str = "rank fusion",
    ):
        if not constant >= 0:
            raise ValueError(f"constant is {constant}; it must be 0 or more.")
        super().__init__(models, weights, refit, name)
        self.constant = float(constant)

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Reciprocal ranks."""
        return reciprocal_ranks(scores, self.constant)


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """What `tune` found.

    Attributes
    ----------
    weights : dict of str to float
        The best weights, by the name of the part; they add up to 1.
    table : DataFrame
        Every combination tried: a column for each part, and the mean of the metric on validation;
        the best first.
    fusion : Fusion
        As given, with these weights; not fitted.
    """

    weights: dict[str, float]
    table: pd.DataFrame
    fusion: Fusion


def tune(
    fusion: Fusion,
    split: Split,
    k: int = 10,
    metric: str = "ndcg",
    steps: int = 5,
    max_users: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> Tuned:
    """Try all weights on a grid, on validation; the test part is never looked at.

    The parts are fitted on `split.train` (or, with `refit=False`, taken as they are) and asked
    once; only the sums are made again.

    Parameters
    ----------
    fusion : Fusion
        What to tune; its own weights are ignored.
    split : Split
        `train` is fitted on, `validation` decides.
    k, metric : int, str
        A metric per user of `evaluation.evaluate`.
    steps : int
        The weights are multiples of `1 / steps` that add up to 1.
    max_users : int
        Of more users in validation, this many are drawn, to bound memory and time.
    seed : int
        For the draw of users.
    progress : bool
        Show a bar when it takes longer than two seconds.

    Returns
    -------
    Tuned
        Of equally good weights those closest to equal ones win.

    Raises
    ------
    ValueError
        If steps is not positive, or validation is empty or has nothing to measure.
    KeyError
        If there is no such metric.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1.")
    split = dataclasses.replace(split, validation=_some(split.validation, max_users, seed))
    cached = _Cached(fusion).ask(split)
    rows = []
    grid = list(simplex(len(fusion.models), steps))
    for weights in tqdm(grid, desc="tuning", delay=2, leave=False, disable=not progress):
        cached.weights = weights
        result = evaluate(cached, split, k, "validation", slices=False, progress=False)
        rows.append([*weights, float(result.per_user[metric].mean())])
    names = [model.name for model in fusion.models]
    table = pd.DataFrame(rows, columns=[*names, metric])
    uneven = ((table[names] - 1 / len(names)) ** 2).sum(axis=1).round(12)
    order = np.lexsort([uneven, -table[metric]])
    table = table.iloc[order].reset_index(drop=True)
    weights = {name: float(table[name].iloc[0]) for name in names}
    chosen = copy.copy(fusion)
    chosen.weights = checked_weights(weights, names)
    return Tuned(weights, table, chosen)


class _Cached(Recommender):
    """A fusion whose parts have been asked about the users of validation already."""

    name = "tuned"

    def __init__(self, fusion: Fusion):
        self.fusion = fusion

    def ask(self, split: Split) -> _Cached:
        self.asked = as_ids(split.validation["user_id"]).unique().sort_values()
        fusion = copy.copy(self.fusion)
        fusion.parts = fitted(fusion.models, split) if fusion.refit else fusion.models
        self.fit(split)
        fusion.video_ids = self.video_ids
        if len(self.asked):
            self.values = fusion.comparable(fusion.part_scores(self.asked))
        return self

    def score(self, user_ids: pd.Index) -> np.ndarray:
        rows = self.asked.get_indexer(as_ids(user_ids))
        return weighted(self.values[:, rows], self.weights)

    def _fit(self, matrix: sparse.csr_array) -> None:
        pass

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.score(self.user_ids[users])


def normalised(scores: np.ndarray, how: str = "zscore") -> np.ndarray:
    """Scores made comparable within each row (last axis), NaN left out and kept.

    Parameters
    ----------
    scores : ndarray of float, shape (..., n_videos)
        Not changed.
    how : {"zscore", "minmax", "rank"}
        `"zscore"`: mean 0, deviation 1. `"minmax"`: from 0 to 1. `"rank"`: the share of the other
        videos that score lower, equal ones counting half.

    Returns
    -------
    ndarray of float32, of the same shape
        A row whose values are all the same becomes 0: it prefers nothing.
    """
    values = np.asarray(scores, dtype=np.float64)
    there = np.isfinite(values)
    count = there.sum(axis=-1, keepdims=True)
    if how == "rank":
        ranks = rankdata(values, axis=-1, nan_policy="omit")
        out = (ranks - 1) / np.maximum(count - 1, 1)
        flat = _largest(values, there) == _smallest(values, there)
        return np.where(there & flat, 0, np.where(there, out, np.nan)).astype(np.float32)
    low, high = _smallest(values, there), _largest(values, there)
    if how == "minmax":
        centre, width = low, high - low
    else:
        zero = np.where(there, values, 0)
        centre = zero.sum(axis=-1, keepdims=True) / np.maximum(count, 1)
        square = np.where(there, (values - centre) ** 2, 0).sum(axis=-1, keepdims=True)
        width = np.sqrt(square / np.maximum(count, 1))
    usable = high > low  # not width > 0: the mean of equal numbers is not always exactly theirs
    out = np.where(usable, (values - centre) / np.where(usable, width, 1), 0)
    return np.where(there, out, np.nan).astype(np.float32)


def reciprocal_ranks(scores: np.ndarray, constant: float = 60.0) -> np.ndarray:
    """`1 / (constant + rank)` along the last axis, the highest score having rank 1.

    Equal scores share the mean of their ranks; NaN has none, and stays.
    """
    ranks = rankdata(-np.asarray(scores, dtype=np.float64), axis=-1, nan_policy="omit")
    return (1 / (constant + ranks)).astype(np.float32)


def weighted(values: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Weighted sum over the first axis; where a part has NaN, its row's lowest value counts.

    Parameters
    ----------
    values : ndarray, shape (n_parts, n_users, n_videos)
        Comparable values.
    weights : sequence of float
        One for each part.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos)
        NaN where every part has NaN.
    """
    there = np.isfinite(values)
    lowest = _smallest(values, there)
    filled = np.where(there, values, np.where(np.isfinite(lowest), lowest, 0))
    total = np.tensordot(np.asarray(weights, dtype=np.float64), filled, axes=1)
    return np.where(there.any(axis=0), total, np.nan).astype(np.float32)


def simplex(parts: int, steps: int) -> list[tuple[float, ...]]:
    """All tuples of `parts` multiples of `1 / steps` that add up to 1, in lexical order."""
    bars = itertools.combinations(range(steps + parts - 1), parts - 1)
    edges = ((-1, *places, steps + parts - 1) for places in bars)
    return [tuple((b - a - 1) / steps for a, b in itertools.pairwise(edge)) for edge in edges]


def checked_weights(
    weights: Sequence[float] | Mapping[str, float] | None, names: Sequence[str]
) -> list[float]:
    """Weights as a list that adds up to 1, in the order of the names.

    Raises
    ------
    ValueError
        If there is not one for each name, one is negative or not finite, or all are zero.
    """
    if weights is None:
        weights = [1.0] * len(names)
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise ValueError(f"The weights name {sorted(weights)}, the parts are {sorted(names)}.")
        weights = [weights[name] for name in names]
    values = np.asarray(list(weights), dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"There are {values.size} weights for {len(names)} parts.")
    if not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise ValueError(f"The weights are {values.tolist()}; 0 or more is wanted, and not all 0.")
    return (values / values.sum()).tolist()


def _some(interactions: pd.DataFrame, n_users: int, seed: int) -> pd.DataFrame:
    """The events of at most `n_users` users."""
    users = as_ids(interactions["user_id"])
    every = users.unique().sort_values()
    if len(every) <= n_users:
        return interactions
    drawn = np.random.default_rng(seed).choice(len(every), n_users, replace=False)
    return interactions[users.isin(every[np.sort(drawn)])]


def _smallest(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where(there, values, np.inf).min(axis=-1, keepdims=True)


def _largest(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.where(there, values, -np.inf).max(axis=-1, keepdims=True)
