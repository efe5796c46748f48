"""Measuring a recommender: what counts as right, over which candidates, and how sure we are.

`evaluate` ranks, for every user with something right in the evaluated part, **all** videos that the
user had not been shown before it (no sampled candidates), and gives per-user metrics whose means
come with bootstrap intervals over users. `compare` asks whether one recommender beats another on
the same users. Each result carries its protocol in words, and refuses to be compared with a result
under another.

Definitions, for one user with `n` relevant videos and a list of `k`, where `hit_i` is 1 if the
video at rank `i` is relevant, else 0, and `h` is the number of hits:

============== ===================================================================================
hit_rate       1 if h > 0 else 0
precision      h / k (also where fewer than k videos were left to recommend)
recall         h / n (not min(n, k): with n > k it cannot reach 1)
f1             harmonic mean of the two, 0 if both are 0
ndcg           sum_i hit_i / log2(i + 1), over the same sum for min(n, k) hits at the top
               (Järvelin, Kekäläinen, ACM TOIS 2002, binary gains)
mrr            1 / rank of the first hit, 0 if there is none among the k
map            sum_i hit_i * (hits up to i) / i, over min(n, k)
accuracy       share of all candidates that are rightly on the list or rightly off it; close to 1
               for any list where few videos are relevant, and shown for that reason
novelty        mean over the list of -log2((users shown the video + 1) / (users + 1)), in bits
               (self-information; Vargas, Castells, RecSys 2011)
popularity     mean over the list of the number of known exposures of the video
============== ===================================================================================

Over all users: `coverage`, the share of the catalogue that is on at least one list, and
`popularity_lift`, the mean popularity of the lists over that of the users' histories, minus 1
(Abdollahpouri et al., RMSE workshop 2019).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.recommender import Recommender, as_ids, blocks, hide, interaction_matrix, top_k

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split

RANKING_METRICS = ("hit_rate", "precision", "recall", "f1", "ndcg", "mrr", "map")
USER_METRICS = (*RANKING_METRICS, "accuracy", "novelty", "popularity")
SLICES = ("light users", "heavy users", "new users", "cold videos")


@dataclass(frozen=True, eq=False)
class Result:
    """What `evaluate` found, per user.

    Attributes
    ----------
    name : str
        Name of the recommender.
    protocol : str
        Split, candidates, relevance, masks, k, ideal, ties: everything that a number depends on.
    per_user : DataFrame
        Indexed by `user_id`, one column a metric (see the module's docstring), and `n_relevant`,
        `n_known` (events before the evaluated part).
    history : Series
        Mean popularity of what each user was shown before; NaN for new users.
    coverage : float
        Share of the catalogue that is on at least one list.
    top : DataFrame
        Indexed by `user_id`, columns 1..k: the ids recommended (NA where none was left).
    slices : dict of str to DataFrame
        Like `per_user`, for light, heavy and new users, and for cold videos (only videos without
        a known event count as relevant; the lists stay the same).
    n_left_out : int
        Users in the evaluated part who have no relevant video there.
    digest : str
        Hash of the users and their relevant videos; results with another are not comparable.
    """

    name: str
    k: int
    on: str
    seed: int
    protocol: str
    per_user: pd.DataFrame
    history: pd.Series
    coverage: float
    top: pd.DataFrame
    slices: dict[str, pd.DataFrame] = field(default_factory=dict)
    n_left_out: int = 0
    digest: str = ""

    def table(self, which: str = "all", resamples: int = 1000, level: float = 0.95) -> pd.DataFrame:
        """Means over users with percentile bootstrap intervals.

        Parameters
        ----------
        which : str
            `"all"`, or a name in `slices`.
        resamples : int
            Bootstrap samples of users, drawn from the result's seed.
        level : float
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            Indexed by `metric`: `mean, low, high, n_users`. Coverage has no interval: it is not a
            mean, and a resampled crowd of users covers less by construction.
        """
        users = self.per_user if which == "all" else self.slices[which]
        values = users[list(USER_METRICS)].assign(_history=self.history.loc[users.index])
        means = values.mean().to_numpy()
        draws = bootstrap_means(values.to_numpy(), resamples, self.seed)
        columns = [*USER_METRICS, "popularity_lift"]
        center, spread = _with_lift(means[None])[0], _with_lift(draws)
        if len(users):
            low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
        else:
            low = high = np.full(len(columns), np.nan)
        frame = pd.DataFrame({"mean": center, "low": low, "high": high}, index=columns)
        if which == "all":
            frame.loc["coverage"] = [self.coverage, np.nan, np.nan]
        return frame.assign(n_users=len(users)).rename_axis("metric")

    def interval(self, metric: str, which: str = "all") -> tuple[float, float, float]:
        """Mean, lower and upper end of one metric."""
        row = self.table(which).loc[metric]
        return float(row["mean"]), float(row["low"]), float(row["high"])

    def __str__(self) -> str:
        mean, low, high = self.interval("ndcg")
        return (
            f"{self.name}: NDCG@{self.k} {mean:.3f} [{low:.3f}, {high:.3f}] over "
            f"{len(self.per_user)} users ({self.protocol})"
        )


@dataclass(frozen=True)
class Comparison:
    """A paired difference `a - b` with its interval; see `compare`."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    n_users: int

    def __str__(self) -> str:
        return (
            f"{self.a} - {self.b}: {self.metric} {self.difference:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], p = {self.p_value:.4f}, {self.n_users} users"
        )


def positives(interactions: pd.DataFrame, threshold: float = 0.8) -> pd.Series:
    """Which exposures ended well: watched to at least `threshold`, or liked.

    Parameters
    ----------
    interactions : DataFrame
        Columns `watch_ratio` and `liked`; one of them may be absent or all NA. An NA signal says
        nothing, so it never makes a positive.
    threshold : float
        Least watch ratio.

    Returns
    -------
    Series of bool
        Aligned with `interactions`.

    Raises
    ------
    ValueError
        If there are interactions, and neither signal in any of them.
    """
    none = pd.Series(np.nan, index=interactions.index)
    watched = pd.to_numeric(interactions.get("watch_ratio", none)).astype("Float64")
    liked = interactions.get("liked", none).astype("boolean")
    if len(interactions) and watched.isna().all() and liked.isna().all():
        raise ValueError(
            "These interactions have neither watch_ratio nor liked, so nothing tells a good "
            "recommendation from a bad one. Add one of the two columns."
        )
    good = (watched >= threshold).fillna(False) | liked.fillna(False)
    return good.astype(bool).rename("positive")


def evaluate(
    recommender: Recommender,
    split: Split,
    k: int = 10,
    on: str = "test",
    seed: int = 0,
    slices: bool = True,
    threshold: float = 0.8,
) -> Result:
    """Rank all videos for all users of the evaluated part, and measure the first k.

    Candidates of a user are all videos of `split.videos` that the user was not shown before the
    evaluated part: in train, and for `on="test"` in validation too. The masks come from the split,
    so they are the same for every recommender. Users without a relevant video among their
    candidates are left out, and counted. Memory is bounded: users are scored in blocks.

    Parameters
    ----------
    recommender : Recommender
        Fitted, on the training part (or for a final test on train and validation). Videos outside
        its catalogue are never recommended, but count as relevant.
    split : Split
        `train, validation, test` (frames of interactions) and `videos`.
    k : int
        Length of the lists; more than the catalogue is cut to it only in `top`.
    on : {"test", "validation"}
        The part to predict. Choose models on validation; look at test once.
    seed : int
        For the bootstrap.
    slices : bool
        Also keep light, heavy and new users, and cold videos.
    threshold : float
        See `positives`.

    Raises
    ------
    ValueError
        If the part is empty, or no user in it has a relevant candidate (as when the recommender's
        training data hold the test), or k is not positive.
    """
    if on not in ("test", "validation"):
        raise ValueError(f"on is {on!r}; choose 'test' or 'validation'.")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    target = getattr(split, on)
    if not len(target):
        raise ValueError(f"The {on} part of the split {split.name!r} has no interactions.")
    known = split.train
    if on == "test" and len(split.validation):
        known = pd.concat([known, split.validation], ignore_index=True)
    videos = as_ids(split.videos.index)
    every = as_ids(target["user_id"]).unique().sort_values()  # users who could be evaluated
    seen = _counts(known[as_ids(known["user_id"]).isin(every)], every, videos)
    crowd = as_ids(known["user_id"]).unique()
    shows = _counts(known, crowd, videos)
    exposures = np.asarray(shows.sum(axis=0)).ravel()
    audience = np.bincount(shows.indices, minlength=len(videos))  # users, each counted once
    relevant = _counts(target[positives(target, threshold).to_numpy()], every, videos)
    relevant = _without(relevant, seen)
    n_relevant = np.diff(relevant.indptr)
    kept = np.flatnonzero(n_relevant)
    if not len(kept):
        raise ValueError(
            f"No user of the {on} part has a relevant video that is new to them: nothing to "
            "measure. Check the split, the threshold, and that train does not hold the test."
        )
    users, seen, relevant = every[kept], seen[kept], relevant[kept]
    top, hits, candidates = _rank(recommender, users, videos, seen, relevant, k)
    per_user = metrics(hits, n_relevant[kept], k)
    per_user["accuracy"] = _accuracy(hits, n_relevant[kept], candidates)
    surprise = -np.log2((audience + 1) / (len(crowd) + 1))
    per_user["novelty"] = _list_means(surprise, top)
    per_user["popularity"] = _list_means(exposures, top)
    per_user["n_relevant"], per_user["n_known"] = n_relevant[kept], seen.sum(axis=1).astype(int)
    per_user.index = users.rename("user_id")
    shown = np.maximum(per_user["n_known"].to_numpy(), 1)
    history = (seen @ exposures) / shown
    history = np.where(per_user["n_known"] > 0, history, np.nan)
    parts = {}
    if slices:
        cold = _cold(relevant, hits, top, exposures, k, per_user)
        parts = {**_user_slices(per_user), "cold videos": cold}
    return Result(
        name=recommender.name,
        k=k,
        on=on,
        seed=seed,
        protocol=_protocol(split, on, k, threshold, len(videos), len(kept), len(every)),
        per_user=per_user,
        history=pd.Series(history, index=per_user.index),
        coverage=len(np.unique(top[top >= 0])) / len(videos),
        top=_top_frame(top, videos, users),
        slices=parts,
        n_left_out=len(every) - len(kept),
        digest=_digest(users, videos, relevant),
    )


def metrics(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> pd.DataFrame:
    """Ranking metrics of lists, by the definitions in the module's docstring.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, up to k)
        Whether the video at each rank is relevant.
    n_relevant : ndarray of int, shape (n_users,)
        Relevant videos of each user, on the list or not; 0 gives NaN for metrics that divide by it.
    k : int
        Nominal length of the lists.

    Returns
    -------
    DataFrame
        One row a user, columns `RANKING_METRICS`.
    """
    hits = np.asarray(hits, dtype=np.float64)
    n = np.asarray(n_relevant, dtype=np.float64)
    ranks = np.arange(1, hits.shape[1] + 1)
    total = hits.sum(axis=1)
    gains = 1 / np.log2(np.arange(1, k + 1) + 1)
    possible = np.minimum(n, k).astype(int)
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[possible]
    first = np.where(total > 0, hits.argmax(axis=1) + 1, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = total / n
        precision = total / k
        f1 = np.where(total > 0, 2 * total / (n + k), np.where(n > 0, 0.0, np.nan))
        average = (hits * np.cumsum(hits, axis=1) / ranks).sum(axis=1) / np.minimum(n, k)
    return pd.DataFrame(
        {
            "hit_rate": (total > 0).astype(float),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "ndcg": hits @ gains[: hits.shape[1]] / ideal,
            "mrr": 1 / first,
            "map": average,
        }
    )


def compare(
    a: Result,
    b: Result,
    metric: str = "ndcg",
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """Does `a` beat `b` on the same users? A paired bootstrap over the per-user differences.

    Parameters
    ----------
    a, b : Result
        Under the same protocol, on the same users.
    metric : str
        A column of `per_user`.
    seed, resamples, level : int, int, float
        Of the bootstrap.

    Returns
    -------
    Comparison
        Mean difference, percentile interval, and a two-sided p-value: twice the smaller share of
        resampled means on either side of zero, `(count + 1) / (resamples + 1)`, at most 1.

    Raises
    ------
    ValueError
        If the protocols or the users differ, or there is no such metric.
    """
    if (a.protocol, a.digest) != (b.protocol, b.digest):
        raise ValueError(
            "These results are not comparable: they were measured under different protocols or on "
            f"different users.\n  {a.name}: {a.protocol}\n  {b.name}: {b.protocol}"
        )
    if metric not in USER_METRICS:
        raise ValueError(f"There is no metric {metric!r}; choose from {', '.join(USER_METRICS)}.")
    differences = (a.per_user[metric] - b.per_user[metric]).to_numpy()
    draws = bootstrap_means(differences[:, None], resamples, seed)[:, 0]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    p_value = min(1.0, 2 * (side + 1) / (resamples + 1))
    mean = float(differences.mean())
    return Comparison(
        a.name, b.name, metric, mean, float(low), float(high), float(p_value), len(differences)
    )


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of the columns over resampled rows; NaN values are left out of their column's mean.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        One row a user.
    resamples, seed : int
        How many samples of n rows with replacement, and the seed of their generator.

    Returns
    -------
    ndarray, shape (resamples, m)
    """
    n, m = values.shape
    if n == 0:
        return np.full((resamples, m), np.nan)
    rng = np.random.default_rng(seed)
    there = ~np.isnan(values)
    filled = np.concatenate([np.where(there, values, 0.0), there], axis=1)
    draws = np.empty((resamples, m))
    step = max(1, 2**22 // n)  # counts of a few dozen MB at a time
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        rows = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(rows.ravel(), minlength=size * n).reshape(size, n)
        sums = counts.astype(np.float64) @ filled
        with np.errstate(invalid="ignore"):
            draws[start : start + size] = sums[:, :m] / sums[:, m:]
    return draws


def _rank(
    recommender: Recommender,
    users: pd.Index,
    videos: pd.Index,
    seen: sparse.csr_array,
    relevant: sparse.csr_array,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of `videos` on each list (-1: none left), which are hits, number of candidates."""
    columns = videos.get_indexer(recommender.video_ids)
    same = np.array_equal(columns, np.arange(len(videos)))
    top = np.full((len(users), min(k, len(videos))), -1, dtype=np.int32)
    hits = np.zeros(top.shape, dtype=bool)
    for block in blocks(len(users), len(videos)):
        scores = recommender.score(users[block])
        if not same:  # a catalogue of its own: what it lacks is never recommended
            whole = np.full((len(scores), len(videos)), -np.inf, dtype=np.float32)
            whole[:, columns[columns >= 0]] = scores[:, columns >= 0]
            scores = whole
        hide(scores, seen, np.arange(block.start, block.stop))
        best = top_k(scores, k)
        valid = np.take_along_axis(scores, best, axis=1) > -np.inf
        truth = relevant[block].toarray() > 0
        top[block] = np.where(valid, best, -1)
        hits[block] = np.take_along_axis(truth, best, axis=1) & valid
    return top, hits, len(videos) - np.diff(seen.indptr)


def _counts(events: pd.DataFrame, users: pd.Index, videos: pd.Index) -> sparse.csr_array:
    """Number of events of each pair, without stored zeros."""
    return interaction_matrix(events, np.ones(len(events)), users, videos)


def _without(a: sparse.csr_array, b: sparse.csr_array) -> sparse.csr_array:
    """Entries of `a` where `b` has none, as ones."""
    left = sparse.csr_array((a > 0).astype(np.int8) - (a > 0).multiply(b > 0).astype(np.int8))
    left.eliminate_zeros()
    return left


def _list_means(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Mean of a per-video value over each list; NaN for an empty list."""
    there = top >= 0
    sums = np.where(there, values[top], 0.0).sum(axis=1)
    return np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), np.nan)


def _accuracy(hits: np.ndarray, n_relevant: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    listed = np.minimum(hits.shape[1], candidates)
    found = hits.sum(axis=1)
    wrong = (listed - found) + (n_relevant - found)
    return 1 - wrong / candidates


def _user_slices(per_user: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Users by what is known of them: new (nothing), light (up to the median), heavy (above)."""
    known = per_user["n_known"]
    old = known > 0
    median = known[old].median() if old.any() else 0
    return {
        "light users": per_user[old & (known <= median)],
        "heavy users": per_user[known > median],
        "new users": per_user[~old],
    }


def _cold(
    relevant: sparse.csr_array,
    hits: np.ndarray,
    top: np.ndarray,
    exposures: np.ndarray,
    k: int,
    per_user: pd.DataFrame,
) -> pd.DataFrame:
    """Metrics when only videos without a known event count as relevant."""
    cold = exposures == 0
    n_cold = np.asarray(relevant @ cold.astype(np.int32)).ravel()
    frame = metrics(hits & cold[top] & (top >= 0), n_cold, k).set_axis(per_user.index)
    rest = per_user[["novelty", "popularity", "n_known"]]
    return frame.join(rest).assign(n_relevant=n_cold, accuracy=np.nan)[n_cold > 0]


def _with_lift(means: np.ndarray) -> np.ndarray:
    """Replace the last column, mean popularity of histories, by the lists' lift over it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = means[:, -2] / means[:, -1] - 1
    return np.column_stack([means[:, :-1], lift])


def _top_frame(top: np.ndarray, videos: pd.Index, users: pd.Index) -> pd.DataFrame:
    ids = np.append(videos.to_numpy(dtype=object), None)[top]  # -1 takes the last
    return pd.DataFrame(ids, index=users.rename("user_id"), columns=range(1, top.shape[1] + 1))


def _protocol(
    split: Split, on: str, k: int, threshold: float, n_videos: int, n_users: int, n_all: int
) -> str:
    before = "train" if on == "validation" else "train and validation"
    return (
        f"split {split.name!r}, {on}; k = {k}; candidates: all {n_videos} videos minus those shown "
        f"to the user in {before}; relevant: watch ratio >= {threshold:g} or liked; recall over "
        f"all relevant, NDCG and MAP over min(n, k); ties in catalogue order; {n_users} of {n_all} "
        f"users, {n_all - n_users} without a relevant candidate left out"
    )


def _digest(users: pd.Index, videos: pd.Index, relevant: sparse.csr_array) -> str:
    digest = hashlib.sha256()
    for ids in (users, videos):
        digest.update("\0".join(ids).encode())
    relevant.sort_indices()
    digest.update(
        relevant.indptr.astype("<i8").tobytes() + relevant.indices.astype("<i8").tobytes()
    )
    return digest.hexdigest()
