"""Sampled metrics: what a rank becomes when it is taken among a few drawn candidates.

To save time, many papers rank each relevant video among itself and m videos drawn at random, not
among all. Near the top everything then looks alike: the first of a million and the five-hundredth
are both first of a hundred, mostly. The metrics of such ranks estimate none of the metrics of the
true ones, and can put two recommenders in the opposite order.

References
----------
Krichene, Rendle: On Sampled Metrics for Item Recommendation. KDD 2020.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import binom

from vidrec_utils.evaluation.metrics import bootstrap_means


def metric_of_rank(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A metric of the rank of a single relevant video, as a function of ranks from 1.

    Parameters
    ----------
    name : str
        `"ap"` (1 / rank; with one relevant video also the reciprocal rank), `"ndcg"`
        (1 / log2(rank + 1)), or with a cut such as `"recall@10"` (1 up to there, then 0),
        `"ap@10"`, `"ndcg@10"`.

    Raises
    ------
    ValueError
        If there is no such metric.

    Examples
    --------
    >>> metric_of_rank("recall@2")(np.array([1, 2, 3]))
    array([1., 1., 0.])
    """
    match = re.fullmatch(r"(ap|mrr|ndcg|recall|hit_rate)(?:@(\d+))?", name)
    if not match or (match[1] in ("recall", "hit_rate") and not match[2]):
        raise ValueError(f"There is no metric {name!r}; try 'ap', 'ndcg', 'recall@10', 'ndcg@10'.")
    cut = int(match[2]) if match[2] else np.inf
    gain = {
        "ap": lambda rank: 1 / rank,
        "mrr": lambda rank: 1 / rank,
        "ndcg": lambda rank: 1 / np.log2(rank + 1),
    }.get(match[1], np.ones_like)
    return lambda rank: np.where(rank <= cut, gain(np.asarray(rank, dtype=float)), 0.0)


def exact(ranks: np.ndarray, metric: str = "ndcg@10") -> np.ndarray:
    """The metric of each rank among all candidates, shape of `ranks`.

    Examples
    --------
    >>> exact([1, 10, 11], "recall@10")
    array([1., 1., 0.])
    """
    return metric_of_rank(metric)(np.asarray(ranks))


def expected(
    ranks: np.ndarray, n_candidates: int | np.ndarray, m: int, metric: str = "ndcg@10"
) -> np.ndarray:
    """Mean of the metric over all draws of m negatives, computed without drawing.

    A video at rank r of n has r - 1 of n - 1 negatives above it. Of m drawn with replacement,
    `Binomial(m, (r - 1) / (n - 1))` rank above it, so its sampled rank is 1 plus that number.

    Parameters
    ----------
    ranks : ndarray of int, shape (n,)
        Ranks among all candidates, from 1; see `evaluation.ranks`.
    n_candidates : int or ndarray, shape (n,)
        Number of candidates, the relevant one included.
    m : int
        Number of drawn negatives.
    metric : str
        See `metric_of_rank`.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If a rank lies outside 1..n_candidates, or m < 1.

    Examples
    --------
    At rank 51 of 101, half of all negatives are above: none of two drawn ones is in a quarter of
    the draws, one in a half, both in a quarter.

    >>> print(expected([51], 101, m=2, metric="recall@1"), expected([51], 101, 2, "recall@2"))
    [0.25] [0.75]
    """
    ranks, n = np.broadcast_arrays(np.asarray(ranks), np.asarray(n_candidates))
    if m < 1 or (ranks < 1).any() or (ranks > n).any():
        raise ValueError(f"Ranks lie between 1 and n_candidates, and m is at least 1; m is {m}.")
    values = metric_of_rank(metric)(np.arange(1, m + 2))  # of the sampled ranks 1..m + 1
    # Each pair of r and n is computed once: (2, pairs).
    pairs, back = np.unique(np.stack([ranks.ravel(), n.ravel()]), axis=1, return_inverse=True)
    above = (pairs[0] - 1) / np.maximum(pairs[1] - 1, 1)  # p, the share of negatives above
    means = np.empty(len(above))
    for start in range(0, len(above), 1024):
        p = above[start : start + 1024, None]  # (block, 1)
        # sum over j of P(j of m drawn are above) * metric(1 + j)
        means[start : start + 1024] = binom.pmf(np.arange(m + 1), m, p) @ values
    return means[back.ravel()].reshape(ranks.shape)


def draw(ranks: np.ndarray, n_candidates: int | np.ndarray, m: int, seed: int = 0) -> np.ndarray:
    """One draw of the sampled ranks, as an evaluation with m random negatives would see them."""
    above = (np.asarray(ranks) - 1) / np.maximum(np.asarray(n_candidates) - 1, 1)
    return 1 + np.random.default_rng(seed).binomial(m, above)


def by_sample_size(
    frames: Mapping[str, pd.DataFrame],
    sizes: tuple[int, ...] = (5, 20, 99),
    metric: str = "ndcg@10",
) -> pd.DataFrame:
    """Expected metric of several recommenders, by the number of drawn negatives and among all.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        By name, what `evaluation.ranks` gives, all on the same users and videos.
    sizes : tuple of int
        Numbers of drawn negatives.
    metric : str
        See `metric_of_rank`.

    Returns
    -------
    DataFrame
        One row a recommender, one column a size, and `"all"`; means over users of their mean over
        relevant videos.

    Raises
    ------
    ValueError
        If the frames do not hold the same pairs of users and videos.

    Examples
    --------
    One recommender puts a video first and another one last of 101, the other both at rank 26:

    >>> pairs = pd.DataFrame({"user_id": ["u", "v"], "video_id": ["a", "b"], "n_candidates": 101})
    >>> frames = {"bold": pairs.assign(rank=[1, 101]), "even": pairs.assign(rank=[26, 26])}
    >>> by_sample_size(frames, sizes=(1,), metric="recall@1").to_dict("index")
    {'bold': {1: 0.5, 'all': 0.5}, 'even': {1: 0.75, 'all': 0.0}}
    """
    _require_same(*frames.values())
    table = {
        name: {m or "all": per_user(frame, m, metric).mean() for m in (*sizes, None)}
        for name, frame in frames.items()
    }
    return pd.DataFrame(table).T.rename_axis("recommender")


def reordered_pairs(table: pd.DataFrame) -> pd.Series:
    """Count the pairs of recommenders whose order drawn candidates turn round.

    Parameters
    ----------
    table : DataFrame
        What `by_sample_size` gives: one row a recommender, and a column `"all"`.

    Returns
    -------
    Series of int
        By number of drawn negatives: the pairs of which one is ahead among all candidates and the
        other among drawn ones, by however little. A tie is no order.

    Raises
    ------
    ValueError
        If there is no column `"all"`.

    Examples
    --------
    Among all candidates the order is a, b, c. Among five drawn ones c overtakes both:

    >>> table = pd.DataFrame({5: [0.8, 0.7, 0.9], "all": [0.2, 0.1, 0.0]}, index=list("abc"))
    >>> reordered_pairs(table).to_dict()
    {5: 2}
    """
    if "all" not in table:
        raise ValueError("The table has no column 'all'; give what `by_sample_size` returns.")
    scores = table.to_numpy(dtype=float)  # (recommenders, columns)
    ahead = np.sign(scores[:, None] - scores[None])  # (recommenders, recommenders, columns)
    among_all = ahead[..., table.columns.get_loc("all"), None]
    turned = (ahead * among_all < 0).sum(axis=(0, 1)) // 2  # each pair is in the table twice
    return pd.Series(turned, table.columns).drop("all")


def per_user(frame: pd.DataFrame, m: int | None = None, metric: str = "ndcg@10") -> pd.Series:
    """Each user's mean over relevant videos, expected with m drawn negatives (None: all)."""
    ranks = frame["rank"].to_numpy()
    values = (
        exact(ranks, metric)
        if m is None
        else expected(ranks, frame["n_candidates"].to_numpy(), m, metric)
    )
    return pd.Series(values).groupby(frame["user_id"].to_numpy()).mean()


def difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    m: int | None = None,
    metric: str = "ndcg@10",
    seed: int = 0,
    resamples: int = 10_000,
) -> tuple[float, float, float]:
    """Difference `a - b` of a sampled metric, with a paired 95% interval over users.

    Parameters
    ----------
    a, b : DataFrame
        Results of `evaluation.ranks`, on the same users and videos.
    m : int, optional
        Number of drawn negatives; by default all candidates compete.
    metric : str
        See `metric_of_rank`.
    seed, resamples : int
        Seed and number of resamples of the bootstrap.

    Returns
    -------
    tuple of float
        Mean difference, lower and upper end.

    Examples
    --------
    Of two users, one recommender ranks the video of the first on top, the other neither's:

    >>> pairs = pd.DataFrame({"user_id": ["u", "v"], "video_id": ["a", "b"], "n_candidates": 101})
    >>> one, other = pairs.assign(rank=[1, 101]), pairs.assign(rank=[26, 26])
    >>> difference(one, other, metric="recall@1")
    (0.5, 0.0, 1.0)
    """
    _require_same(a, b)
    gaps = (per_user(a, m, metric) - per_user(b, m, metric)).to_numpy()  # (users,)
    draws = bootstrap_means(gaps[:, None], resamples, seed)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(gaps.mean()), float(low), float(high)


def differences(
    a: pd.DataFrame,
    b: pd.DataFrame,
    sizes: tuple[int, ...] = (99, 20, 10, 5),
    metric: str = "recall@5",
    seed: int = 0,
) -> pd.DataFrame:
    """`difference` among all candidates and among drawn ones: `mean, low, high`, one row a size.

    Examples
    --------
    >>> pairs = pd.DataFrame({"user_id": ["u", "v"], "video_id": ["a", "b"], "n_candidates": 101})
    >>> one, other = pairs.assign(rank=[1, 101]), pairs.assign(rank=[26, 26])
    >>> differences(one, other, sizes=(1,), metric="recall@1")["mean"].to_dict()
    {'all': 0.5, '1 drawn': -0.25}
    """
    rows = {"all": difference(a, b, None, metric, seed)}
    rows |= {f"{m} drawn": difference(a, b, m, metric, seed) for m in sizes}
    return pd.DataFrame(rows, index=["mean", "low", "high"]).T


def _require_same(*frames: pd.DataFrame) -> None:
    pairs = [frame[["user_id", "video_id"]].reset_index(drop=True) for frame in frames]
    if not all(pair.equals(pairs[0]) for pair in pairs):
        raise ValueError("The frames rank different videos of different users: nothing to compare.")
