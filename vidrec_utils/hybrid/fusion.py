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
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import bootstrap_means, evaluate
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.events import Label
from vidrec_utils.explanations import Explanation, NotExplainable
from vidrec_utils.hybrid.cold_start import drawn_users
from vidrec_utils.hybrid.ensemble import Ensemble
from vidrec_utils.hybrid.normalization import (
    NORMALIZATIONS,
    all_finite,
    normalized,
    reciprocal_ranks,
    smallest,
)
from vidrec_utils.recommender import (
    EventWeights,
    FixedScores,
    Recommender,
    TrainingData,
    as_ids,
    position,
)


class Fusion(Ensemble):
    """A weighted sum of the members' scores, once they have been made comparable.

    A member has no score for a video if it scores it NaN or -inf, or if its catalogue lacks it: the
    video gets the lowest value that the member gives to anything else. A video for which no member
    has a score scores NaN, and is never recommended.

    A `blind` member knows videos by their events alone: its score of a cold video does not mean
    that the video is bad, it means nothing. With blind members, a score that a member lacks is left
    to the others, by the weighted mean over those that have one; so cold videos compete by content
    alone. By default every member is blind whose `knows_cold_videos` is False, as long as another
    one does know cold videos; `blind=()` lets all members score all videos. A cold video for which
    nobody else has a score keeps that of the blind members.

    An unknown user gets the members' own answers for unknown users, fused; a cold video gets the
    members' scores for it, fused.
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None,
        blind: Sequence[str] | None,
        refit: bool,
        name: str,
    ):
        super().__init__(models, refit)
        names = [model.name for model in self.models]
        self.weights = checked_weights(weights, names)
        self.blind = None if blind is None else list(blind)
        self.name = name
        if not set(self.blind or ()) <= set(names):
            raise ValueError(f"blind names {self.blind}, the members are {names}.")

    @property
    def blind_members(self) -> list[str]:
        """Names of the members whose scores of cold videos are left to the others."""
        if self.blind is not None:
            return self.blind
        if not self.knows_cold_videos:  # nobody could take over
            return []
        return [model.name for model in self.models if not model.knows_cold_videos]

    def fit(self, data: TrainingData, weights: EventWeights | None = None) -> Self:
        """Fit every member; see `Recommender.fit`.

        Warns
        -----
        UserWarning
            If all weights are equal, `data` is a split with a validation part, and leaving out a
            member ranks that part clearly better: see `weak_members`. Nothing is learned from it.
        """
        super().fit(data, weights)
        if isinstance(data, Split) and len(self.models) > 1 and len(set(self.weights)) == 1:
            weak = weak_members(self, data)
            if len(weak):
                warnings.warn(
                    f"{self.name}: at equal weights, leaving out {weak.index[0]!r} raises NDCG@10 "
                    f"on validation by {weak['gain'].iloc[0]:.4f}, from "
                    f"{weak['all members'].iloc[0]:.4f}. Give it less weight; `tune` finds how "
                    "much.",
                    UserWarning,
                    stacklevel=2,
                )
        return self

    def member_scores(self, user_ids: pd.Index) -> np.ndarray:
        """As `Ensemble.member_scores`; NaN also where a blind member leaves a cold video."""
        return self._leave_cold(super().member_scores(user_ids), self._cold_columns())

    def _cold_columns(self) -> dict[int, np.ndarray]:
        """By number of the blind member: columns of the videos that are cold to it."""
        blind, columns = self.blind_members, {}
        for number, member in enumerate(self.members):
            if member.name in blind:
                warm = member.video_ids[member.seen.sum(axis=0) > 0]
                columns[number] = np.flatnonzero(~self.video_ids.isin(warm))
        return columns

    @staticmethod
    def _leave_cold(scores: np.ndarray, columns: Mapping[int, np.ndarray]) -> np.ndarray:
        """Members' scores, in place: NaN where a blind member leaves a cold video to others."""
        own = {number: scores[number][:, cold] for number, cold in columns.items()}
        for number, cold in columns.items():
            scores[number][:, cold] = np.nan
        for number, cold in columns.items():
            kept = np.isnan(scores[:, :, cold]).all(axis=0)  # nobody else has a score
            own[number][~kept] = np.nan
        for number, cold in columns.items():
            scores[number][:, cold] = own[number]
        return scores

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score into what each member contributes.

        Parameters
        ----------
        user_id : str
            An unknown user is scored, and explained, by the members' answers for unknown users.
        video_id : str
            A video of the catalogue.

        Returns
        -------
        Explanation
            A row of kind "member" for each member, by its name: how far it lifts the video above
            the user's average video. The score of that one is the row of kind "average".

        Raises
        ------
        KeyError
            If the video is unknown.
        NotExplainable
            If no member has a score for the video.
        RuntimeError
            If the model is not fitted.
        """
        self._require_fit()
        column = position(self.video_ids, video_id, "video")
        values = self.comparable(self.member_scores(as_ids([user_id])))  # (n_members, 1, n_videos)
        contributions = member_contributions(values, self.weights, bool(self.blind_members))[:, 0]
        if np.isnan(contributions[:, column]).any():
            raise NotExplainable(f"No member has a score for the video {video_id!r}.")
        return self._explained(user_id, video_id, contributions, column)

    @abstractmethod
    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Values `(..., n_videos)` of a member that may be added to another's; NaN stays."""

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        columns, leave = self._cold_columns(), bool(self.blind_members)
        joined = np.empty((len(user_ids), len(self.video_ids)), dtype=np.float32)
        # few users at a time, so that all that is computed of them fits into a cache
        n_users = max(1, JOINED_VALUES // len(self.video_ids))
        for start in range(0, len(user_ids), n_users):
            users = slice(start, start + n_users)
            scores = self._leave_cold(super().member_scores(user_ids[users]), columns)
            values = self.comparable(scores)  # (n_members, n_users, n_videos)
            joined[users] = weighted_sum(values, self.weights, leave)
        return joined


JOINED_VALUES = 2**19
"""Scores of each member that are joined at once (2 MB)."""


class WeightedFusion(Fusion):
    """The weighted sum of normalised scores: `s_ui = sum_m w_m norm_u(s_m)_ui`.

    Each member's scores are normalised over a user's videos.

    Parameters
    ----------
    models : sequence of Recommender
        What to fuse, each with a name of its own.
    weights : sequence of float or mapping of str to float, optional
        One for each model, in order or by name, 0 or more; only their ratios count. Default: equal.
        `tune` finds them.
    normalize : {"zscore", "minmax", "rank"}
        Mean 0 and deviation 1; from 0 to 1; or the share of videos that score lower (ties share).
    blind : sequence of str, optional
        Names of the models that know videos by their events alone; see `Fusion` for the default.
    refit : bool
        Whether `fit` fits the models; otherwise they must be fitted.
    name : str
        Shown in tables.

    Examples
    --------
    Ann's own taste is joined with what is popular, at equal weights:

    >>> from vidrec_utils.recommender import FixedScores, Popularity
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "video_id": ["cat", "cat", "dog"]})
    >>> log["watch_ratio"] = [1.0, 1.0, 0.5]
    >>> taste = FixedScores(pd.DataFrame({"cat": [0.2], "dog": [0.8]}, index=["ann"]), "taste")
    >>> fused = WeightedFusion([taste, Popularity()], [3, 1], normalize="minmax").fit(log)
    >>> fused.weights
    [0.75, 0.25]
    >>> fused.score("ann").tolist()
    [[0.25, 0.75]]
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None = None,
        normalize: str = "zscore",
        blind: Sequence[str] | None = None,
        refit: bool = True,
        name: str = "weighted fusion",
    ):
        arguments.one_of(NORMALIZATIONS, normalize=normalize)
        super().__init__(models, weights, blind, refit, name)
        self.normalize = normalize

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Normalised scores; see `normalized`."""
        return normalized(scores, self.normalize)


class RankFusion(Fusion):
    """Reciprocal rank fusion: `s_ui = sum_m w_m / (constant + rank_mui)`, ranks from 1.

    Scores are never compared, only orders, so nothing has to be normalised. Ranks are over the
    whole catalogue; videos with equal scores share the mean of their ranks, or those early in the
    catalogue would gain.

    Parameters
    ----------
    models : sequence of Recommender
        What to fuse, each with a name of its own.
    weights : sequence of float or mapping of str to float, optional
        As for `WeightedFusion`.
    constant : float
        60 in the paper. The larger, the less the first ranks stand out.
    blind : sequence of str, optional
        Names of the models that know videos by their events alone; see `Fusion` for the default.
    refit : bool
        Whether `fit` fits the models; otherwise they must be fitted.
    name : str
        Shown in tables.

    Examples
    --------
    Two models with opposite orders, the second with three times the weight:

    >>> from vidrec_utils.recommender import FixedScores
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
    >>> first = FixedScores(pd.DataFrame({"cat": [9.0], "dog": [1.0]}, index=["ann"]), "first")
    >>> second = FixedScores(pd.DataFrame({"cat": [0.1], "dog": [0.2]}, index=["ann"]), "second")
    >>> fused = RankFusion([first, second], [1, 3], constant=1).fit(log)
    >>> print(fused.score("ann").round(3))  # 0.25 / 2 + 0.75 / 3, and 0.25 / 3 + 0.75 / 2
    [[0.375 0.458]]
    """

    def __init__(
        self,
        models: Sequence[Recommender],
        weights: Sequence[float] | Mapping[str, float] | None = None,
        constant: float = 60.0,
        blind: Sequence[str] | None = None,
        refit: bool = True,
        name: str = "rank fusion",
    ):
        arguments.at_least(0, constant=constant)
        super().__init__(models, weights, blind, refit, name)
        self.constant = float(constant)

    def comparable(self, scores: np.ndarray) -> np.ndarray:
        """Reciprocal ranks."""
        return reciprocal_ranks(scores, self.constant)


def weighted_sum(
    values: np.ndarray, weights: Sequence[float], leave_to_others: bool = False
) -> np.ndarray:
    """Weighted sum over the first axis.

    Parameters
    ----------
    values : ndarray, shape (n_members, n_users, n_videos)
        Comparable values; NaN where a member has no score.
    weights : sequence of float
        One for each member; they add up to 1.
    leave_to_others : bool
        Where a member has NaN, take the weighted mean over the others instead of its row's lowest
        value.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos)
        NaN where every member has NaN.
    """
    # v_m: the members' values, (n_members, n_users, n_videos)
    if all_finite(values):
        total = np.multiply(values[0], np.float32(weights[0]), dtype=np.float32)
        for v, w in zip(values[1:], weights[1:], strict=True):
            total += np.float32(w) * v  # sum_m w_m v_m (n_users, n_videos)
        return total
    finite = np.isfinite(values)
    lowest = smallest(values, finite)  # (n_members, n_users, 1)
    lowest = np.where(np.isfinite(lowest), lowest, 0)
    total, known, share = (np.zeros(values.shape[1:], dtype=np.float32) for _ in range(3))
    for v, has, low, w in zip(values, finite, lowest, weights, strict=True):
        # sum_m w_m v_m, where a gap counts as the lowest value of its row  (n_users, n_videos)
        total += w * np.where(has, v, low)
        if leave_to_others:
            # sum_m w_m v_m and sum_m w_m over the members m that have a score
            known += w * np.where(has, v, 0)
            share += w * has
    if leave_to_others:
        total = np.where(share > 0, known / np.where(share > 0, share, 1), total)
    total[~finite.any(axis=0)] = np.nan
    return total


def member_contributions(
    values: np.ndarray, weights: Sequence[float], leave_to_others: bool = False
) -> np.ndarray:
    """What each member adds to `weighted_sum`, which takes the same arguments.

    Returns
    -------
    ndarray of float64, shape (n_members, n_users, n_videos)
        NaN where every member has NaN.
    """
    finite = np.isfinite(values)
    lowest = smallest(values, finite)  # (n_members, n_users, 1)
    filled = np.where(finite, values, np.where(np.isfinite(lowest), lowest, 0))
    w = np.asarray(weights, dtype=np.float64)[:, None, None]  # (n_members, 1, 1)
    contributions = w * filled
    if leave_to_others:
        share = (w * finite).sum(axis=0)  # (n_users, n_videos)
        contributions = np.where(
            share > 0, w * np.where(finite, values, 0) / np.maximum(share, 1e-12), contributions
        )
    return np.where(finite.any(axis=0), contributions, np.nan)


def simplex(n_weights: int, steps: int) -> list[tuple[float, ...]]:
    """All tuples of `n_weights` multiples of `1 / steps` that add up to 1, in lexical order.

    Examples
    --------
    >>> simplex(2, 2)
    [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    """
    # stars and bars: n_weights - 1 bars among the steps, a weight is the gap between two bars
    slots = steps + n_weights - 1
    bars = itertools.combinations(range(slots), n_weights - 1)
    edges = ((-1, *positions, slots) for positions in bars)
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
            raise ValueError(
                f"The weights name {sorted(weights)}, the members are {sorted(names)}."
            )
        weights = [weights[name] for name in names]
    values = np.asarray(list(weights), dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"There are {values.size} weights for {len(names)} members.")
    if not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise ValueError(f"The weights are {values.tolist()}; give 0 or more, and not all 0.")
    return (values / values.sum()).tolist()


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """Result of `tune`.

    Attributes
    ----------
    weights : dict of str to float
        The best weights, by the name of the member; they add up to 1.
    table : DataFrame
        Every combination tried: a column for each member, and the mean of the metric on validation
        with the `low` and `high` end of its 95% interval; the best first.
    fusion : Fusion
        The tuned fusion with these weights; not fitted.
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
    label: Label = None,
) -> Tuned:
    """Try all weights on a grid, on validation; the test part is never looked at.

    The models are fitted on `split.train` (or, with `refit=False`, used as they are) and scored
    once, some users at a time; only the sums are made again.

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
        If validation has more users, this many are drawn, to bound time.
    seed : int
        Users are drawn with this seed.
    progress : bool
        Show a bar when it takes longer than two seconds.
    label : str or LabelRule, optional
        The label that judges, and so chooses the weights; see `evaluation.evaluate`. The members
        are trained with `event_weights`.

    Returns
    -------
    Tuned
        If several weights are equally good, those closest to equal ones win.

    Raises
    ------
    ValueError
        If steps is not positive, or validation is empty or has nothing to measure.
    KeyError
        If there is no such metric.

    Examples
    --------
    In validation people watch the video that they have not seen, as `good` knows and `bad` denies:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import FixedScores
    >>> users, videos = ["ann", "bob"], pd.DataFrame(index=["cat", "dog", "eel"])
    >>> train = pd.DataFrame({"user_id": users, "video_id": ["cat", "dog"], "watch_ratio": 1.0})
    >>> later = pd.DataFrame({"user_id": users, "video_id": ["dog", "eel"], "watch_ratio": 1.0})
    >>> split = Split(train, later, later, videos, "by hand")
    >>> truth = pd.DataFrame([[0, 2, 1], [1, 0, 2]], index=users, columns=videos.index)
    >>> fusion = WeightedFusion([FixedScores(truth, "good"), FixedScores(-truth, "bad")])
    >>> tuned = tune(fusion, split, k=1, steps=2)
    >>> tuned.weights, tuned.fusion.weights
    ({'good': 1.0, 'bad': 0.0}, [1.0, 0.0])
    """
    arguments.at_least(1, steps=steps)
    split = dataclasses.replace(split, validation=_sample(split.validation, max_users, seed))
    names = [model.name for model in fusion.models]
    fitted = Ensemble.fit(copy.copy(fusion), split)  # its weights do not matter, and are not judged
    grid = simplex(len(names), steps)
    per_user = _measured(fitted, split, grid, k, metric, progress, label)  # (n_users, n_grid)
    rows = []
    for weights, values in zip(grid, per_user.T, strict=True):
        means = bootstrap_means(values[:, None], 1000, seed)
        rows.append([*weights, float(values.mean()), *np.percentile(means, [2.5, 97.5])])
    table = pd.DataFrame(rows, columns=[*names, metric, "low", "high"])
    # the best metric first; among equals, the smallest distance from equal weights
    uneven = ((table[names] - 1 / len(names)) ** 2).sum(axis=1).round(12)
    order = np.lexsort([uneven, -table[metric]])
    table = table.iloc[order].reset_index(drop=True)
    best = {name: float(table[name].iloc[0]) for name in names}
    chosen = copy.copy(fusion)
    chosen.weights = checked_weights(best, names)
    return Tuned(best, table, chosen)


MEASURED_VALUES = 2**25
"""Members' scores held at once while weights are measured (128 MB of float32)."""


def _measured(
    fitted: Fusion,
    split: Split,
    grid: Sequence[Sequence[float]],
    k: int,
    metric: str,
    progress: bool = False,
    label: Label = None,
) -> np.ndarray:
    """A metric of each validation user `(n_users, n_grid)`, for each of several weights.

    The members are asked once. Users come in blocks, so that memory does not grow with them.
    """
    task = prepare(split, k, "validation", label=label)
    users, options = task.users, {"label": task.rule, "slices": False, "progress": False}
    ids = as_ids(split.validation["user_id"])
    n_users = max(1, MEASURED_VALUES // (len(fitted.models) * len(fitted.video_ids)))
    starts = range(0, len(users), n_users)
    steps = tqdm(total=len(starts) * len(grid), desc="tuning", delay=2, disable=not progress)
    table = np.empty((len(users), len(grid)))
    for start in starts:
        block = users[start : start + n_users]
        part = dataclasses.replace(split, validation=split.validation[ids.isin(block)])
        values = fitted.comparable(fitted.member_scores(block))  # (n_members, n_block, n_videos)
        known = FixedScores(pd.DataFrame(index=block, columns=fitted.video_ids))
        known.fit(split, np.ones(len(split.train)))
        known.same_for_all = True  # a small coverage is no news about weights on a grid
        for column, weights in enumerate(grid):
            scores = weighted_sum(values, weights, bool(fitted.blind_members))
            scores[np.isnan(scores)] = -np.inf  # never recommended
            known.scores = pd.DataFrame(scores, block, fitted.video_ids)
            result = evaluate(known, part, k, "validation", **options)
            table[start : start + n_users, column] = result.per_user[metric].reindex(block)
            steps.update()
    steps.close()
    return table


def weak_members(
    fusion: Fusion,
    split: Split,
    k: int = 10,
    max_users: int = 500,
    seed: int = 0,
    label: Label = None,
) -> pd.DataFrame:
    """Members without which a fusion would rank validation clearly better.

    One weak member at the same weight as the others can cost a fusion a third of its quality, most
    of all one of ranks. A member is weak if, on the same users, the mean NDCG of the fusion of all
    others, at their own weights, is larger by more than a twentieth and by an interval (paired,
    bootstrap, 95%) that excludes zero.

    Parameters
    ----------
    fusion : Fusion
        Fitted on `split.train`.
    split : Split
        Its validation part decides; without one, nothing is known and the result is empty.
    k : int
        Length of the lists.
    max_users : int
        If validation has more users, this many are drawn.
    seed : int
        The users and the bootstrap samples are drawn with this seed.
    label : str or LabelRule, optional
        The label that judges; see `evaluation.evaluate`.

    Returns
    -------
    DataFrame
        Indexed by the name of the member, the weakest first: NDCG of `all members`, that `without`
        the member, the difference `gain`, and the ends `low` and `high` of its interval.

    Examples
    --------
    What everybody watched next is what `good` says; `noise` says anything:

    >>> from vidrec_utils.datasets import Split
    >>> rng = np.random.default_rng(0)
    >>> users, videos = [f"u{n}" for n in range(30)], [f"v{n}" for n in range(50)]
    >>> truth, noise = (
    ...     pd.DataFrame(rng.random((30, 50)), users, videos).assign(v0=-1.0) for _ in range(2)
    ... )
    >>> train = pd.DataFrame({"user_id": users, "video_id": "v0", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=truth.idxmax(axis=1).to_numpy())
    >>> split = Split(train, later, later, pd.DataFrame(index=videos), "by hand")
    >>> members = [FixedScores(truth, "good"), FixedScores(noise, "noise")]
    >>> fusion = WeightedFusion(members, [0.4, 0.6]).fit(split)
    >>> weak_members(fusion, split).index.tolist()
    ['noise']
    """
    columns = ["all members", "without", "gain", "low", "high"]
    empty = pd.DataFrame(columns=columns, index=pd.Index([], name="member"), dtype=float)
    if split.validation is None or not len(split.validation) or not len(split.train):
        return empty
    split = dataclasses.replace(split, validation=_sample(split.validation, max_users, seed))
    names = [model.name for model in fusion.models]
    number = np.arange(len(names))
    without = [np.where(number == left, 0, fusion.weights) for left in number]
    kept = [number for number, weights in enumerate(without) if weights.sum() > 0]
    grid = [fusion.weights, *(without[number] / without[number].sum() for number in kept)]
    try:
        rule = prepare(split, k, "validation", label=label).rule
    except ValueError:  # validation has nothing that could be measured
        return empty
    per_user = _measured(fusion, split, grid, k, "ndcg", label=rule)  # (n_users, 1 + n_kept)
    whole = per_user[:, 0]
    rows = {}
    for number, others in zip(kept, per_user[:, 1:].T, strict=True):
        means = bootstrap_means((others - whole)[:, None], 1000, seed)
        low, high = np.percentile(means, [2.5, 97.5])
        gain = others.mean() - whole.mean()
        if low > 0 and gain > whole.mean() / 20:
            rows[names[number]] = [whole.mean(), others.mean(), gain, low, high]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.rename_axis("member").sort_values("gain", ascending=False, kind="stable")


def _sample(interactions: pd.DataFrame, n_users: int, seed: int) -> pd.DataFrame:
    """The events of at most `n_users` users."""
    users = as_ids(interactions["user_id"])
    rng = np.random.default_rng(seed)
    return interactions[users.isin(drawn_users(users.unique().sort_values(), n_users, rng))]
