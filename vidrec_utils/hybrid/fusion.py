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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils.evaluation import bootstrap_means, evaluate
from vidrec_utils.hybrid.ensemble import Ensemble, fitted
from vidrec_utils.hybrid.normalization import (
    NORMALISATIONS,
    checked_weights,
    normalised,
    reciprocal_ranks,
    simplex,
    weighted,
)
from vidrec_utils.recommender import Recommender, as_ids

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split


class Fusion(Ensemble):
    """A weighted sum of what the parts say, once it has been made comparable.

    A part has nothing to say about a video that it scores NaN or -inf, or that its catalogue lacks:
    the video gets the lowest value that the part gives to anything else. A video about which no
    part has anything to say scores NaN, and is never recommended.

    A part named as `blind` knows videos by their events alone: to it, a cold video is not a bad
    one, it is none. With blind parts, what a part does not say is left to the others, by the
    weighted mean over those that speak; so cold videos compete by content alone.

    An unknown user gets the parts' own answers for unknown users, fused; a cold video what the
    parts say of it.
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None,
        blind: Sequence[str],
        refit: bool,
        name: str,
    ):
        super().__init__(models, refit)
        names = [model.name for model in self.models]
        self.weights = checked_weights(weights, names)
        self.blind, self.name = list(blind), name
        if not set(self.blind) <= set(names):
            raise ValueError(f"blind names {self.blind}, the parts are {names}.")

    def member_scores(self, user_ids: pd.Index) -> np.ndarray:
        """As `Ensemble.member_scores`; NaN also where a blind part is asked about a cold video."""
        scores = super().member_scores(user_ids)
        for values, member in zip(scores, self.members, strict=True):
            if member.name in self.blind:
                warm = member.video_ids[member.seen.sum(axis=0) > 0]
                values[:, ~self.video_ids.isin(warm)] = np.nan
        return scores

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Values `(..., n_videos)` of a part that may be added to another's; NaN stays."""
        raise NotImplementedError

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        values = self.comparable(self.member_scores(user_ids))
        return weighted(values, self.weights, bool(self.blind))


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
    blind : sequence of str
        Names of the parts that know videos by their events alone.
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
        blind: Sequence[str] = (),
        refit: bool = True,
        name: str = "weighted fusion",
    ):
        if normalise not in NORMALISATIONS:
            raise ValueError(
                f"normalise is {normalise!r}; choose from {', '.join(map(repr, NORMALISATIONS))}."
            )
        super().__init__(models, weights, blind, refit, name)
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
    blind : sequence of str
        Names of the parts that know videos by their events alone.
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
        blind: Sequence[str] = (),
        refit: bool = True,
        name: str = "rank fusion",
    ):
        if not constant >= 0:
            raise ValueError(f"constant is {constant}; it must be 0 or more.")
        super().__init__(models, weights, blind, refit, name)
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
        Every combination tried: a column for each part, and the mean of the metric on validation
        with the `low` and `high` end of its 95% interval; the best first.
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
        values = result.per_user[metric]
        ends = np.percentile(bootstrap_means(values.to_numpy()[:, None], 1000, seed), [2.5, 97.5])
        rows.append([*weights, float(values.mean()), *ends])
    names = [model.name for model in fusion.models]
    table = pd.DataFrame(rows, columns=[*names, metric, "low", "high"])
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
        fusion.members = fitted(fusion.models, split) if fusion.refit else fusion.models
        self.fit(split)
        fusion.video_ids = self.video_ids
        if len(self.asked):
            self.values = fusion.comparable(fusion.member_scores(self.asked))
        return self

    def score(self, user_ids: pd.Index) -> np.ndarray:
        rows = self.asked.get_indexer(as_ids(user_ids))
        return weighted(self.values[:, rows], self.weights, bool(self.fusion.blind))

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.score(self.user_ids[users])


def _some(interactions: pd.DataFrame, n_users: int, seed: int) -> pd.DataFrame:
    """The events of at most `n_users` users."""
    users = as_ids(interactions["user_id"])
    every = users.unique().sort_values()
    if len(every) <= n_users:
        return interactions
    drawn = np.random.default_rng(seed).choice(len(every), n_users, replace=False)
    return interactions[users.isin(every[np.sort(drawn)])]
