"""Whether results differ: paired tests on the same users, corrected when there are many of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from vidrec_utils import arguments, reporting
from vidrec_utils.evaluation.metrics import bootstrap_means
from vidrec_utils.evaluation.protocol import Protocol
from vidrec_utils.evaluation.results import Result, percentile_interval
from vidrec_utils.recommender import blocks


@dataclass(frozen=True)
class Comparison:
    """A paired difference `a - b` with its interval; see `compare`.

    Attributes
    ----------
    a, b : str
        Names of the two results.
    metric : str
    difference, low, high : float
        The mean difference, and the ends of its interval.
    p_value : float
        Two-sided, of no difference.
    n_users : int
        Users who have the metric in both results.
    protocol : Protocol, optional
        What both were measured under.
    margin : float, optional
        The largest loss that would not matter.
    p_not_worse : float, optional
        With a margin: one-sided p-value of a loss of at least the margin. The smaller it is, the
        surer it is that `a` is not worse by as much.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    n_users: int
    protocol: Protocol | None = None
    margin: float | None = None
    p_not_worse: float | None = None

    @property
    def verdict(self) -> str:
        """What the interval shows: "better", "not worse", "worse" or "cannot tell".

        See `reporting.verdict`; "not worse" needs a margin.
        """
        return reporting.verdict(self.low, self.high, self.margin)

    def outcome(self, form: str = "+.4f") -> str:
        """Write the difference with what its interval shows; see `reporting.outcome`."""
        return reporting.outcome(
            self.a, self.b, self.difference, self.low, self.high, self.margin, form
        )

    def sentence(self, form: str = "+.4f") -> str:
        """Write the difference with its interval, `a minus b: difference [low, high]`."""
        return reporting.difference(self.a, self.b, self.difference, self.low, self.high, form)

    def __str__(self) -> str:
        under = "" if self.protocol is None else f" ({self.protocol})"
        return (
            f"{self.sentence()} ({self.metric}), p = {self.p_value:.4f}, {self.n_users} users"
            f"{under}"
        )


def compare(
    a: Result,
    b: Result,
    metric: str = "ndcg",
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    which: str = "all",
    test: str = "bootstrap",
    margin: float | None = None,
) -> Comparison:
    """Compare two results on the same users: a paired bootstrap over their differences.

    An interval that includes zero shows neither that the two differ nor that they do not. To show
    that `a` is not worse than `b` (non-inferiority), give the margin, the largest loss that would
    not matter, chosen before looking at the numbers: the whole interval must lie above minus the
    margin. `Comparison.outcome` says which of the cases it is.

    Users who lack the metric in either result (an empty list has no novelty, for example) are left
    out; `n_users` counts the others.

    Parameters
    ----------
    a, b : Result
        Under the same protocol, on the same users.
    metric : str
        A column of `per_user`.
    seed, resamples, level : int, int, float
        Seed of the bootstrap, its number of resamples, and the coverage of the interval.
    which : str
        `"all"`, or a slice that both results have.
    test : {"bootstrap", "signs"}
        The test that gives the p-value; the interval comes from the bootstrap in both cases.
        `"signs"` asks how often a difference so large arises when the names of the two recommenders
        are exchanged for each user by the toss of a coin, which is exact when they do not differ
        (Fisher's randomisation test; Smucker, Allan, Carterette, CIKM 2007).
    margin : float, optional
        The largest loss that would not matter, above 0, in units of the metric.

    Returns
    -------
    Comparison
        Mean difference, percentile interval, and a two-sided p-value. For the bootstrap: twice the
        smaller share of resampled means on either side of zero, `(count + 1) / (resamples + 1)`, at
        most 1. With a margin `p_not_worse`, too: the share of resampled means at or below minus the
        margin, `(count + 1) / (resamples + 1)`, always from the bootstrap. It is one-sided, so that
        the interval lies above minus the margin where it is below `(1 - level) / 2`.

    Raises
    ------
    ProtocolMismatch
        If the protocols or the users differ; the message names in what. A ValueError, too.
    ValueError
        If there is no such metric or test, no user has the metric in both, or the margin is not
        positive.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> from vidrec_utils.evaluation import evaluate
    >>> from vidrec_utils.recommender import FixedScores
    >>> popular = evaluate(Popularity().fit(split), split, k=1)
    >>> table = pd.DataFrame({"b": 0.0, "c": 1.0}, index=users)
    >>> one = evaluate(FixedScores(table, name="always c").fit(split), split, k=1)
    >>> print(compare(one, popular, "recall").sentence(".2f"))
    always c minus popularity: -0.33 [-1.00, 1.00]

    Three users show nothing, whatever the margin:

    >>> compare(one, popular, "recall", margin=0.1).verdict
    'cannot tell'
    """
    return _compare_pairs([(a, b)], metric, seed, resamples, level, which, test, margin)[0]


def _compare_pairs(
    pairs: Sequence[tuple[Result, Result]],
    metric: str,
    seed: int,
    resamples: int,
    level: float,
    which: str,
    test: str,
    margin: float | None,
) -> list[Comparison]:
    """`compare` for pairs that all have the same users, who are drawn once for all of them."""
    arguments.one_of(("bootstrap", "signs"), test=test)
    if margin is not None:
        arguments.positive(margin=margin)
    columns = [_differences(a, b, metric, which) for a, b in pairs]  # each (n_users,)
    # Pairs that all users take part in are resampled together, so that each is drawn once.
    whole = len({len(column) for column in columns}) == 1
    groups = [columns] if whole else [[column] for column in columns]
    ends, p_values = [], []
    p_not_worse: list[float | None] = []
    for group in groups:
        values = np.column_stack(group)  # (n_users, n_pairs)
        draws = bootstrap_means(values, resamples, seed)
        ends.append(percentile_interval(draws, level))
        for column, means in zip(group, draws.T, strict=True):
            signs = test == "signs"
            p_values.append(_signs(column, resamples, seed) if signs else _two_sided(means))
            p_not_worse.append(None if margin is None else _share_below(means, -margin))
    low, high = np.concatenate(ends, axis=1)
    return [
        Comparison(
            a.name,
            b.name,
            metric,
            float(column.mean()),
            float(low[i]),
            float(high[i]),
            p_values[i],
            len(column),
            a.protocol,
            margin,
            p_not_worse[i],
        )
        for i, ((a, b), column) in enumerate(zip(pairs, columns, strict=True))
    ]


def _differences(a: Result, b: Result, metric: str, which: str) -> np.ndarray:
    """Differences of the users who have the metric in both results."""
    a.protocol.require_equal(b.protocol, a.name, b.name)
    if metric not in a.metrics or metric not in b.metrics:
        both = ", ".join(name for name in a.metrics if name in b.metrics)
        raise ValueError(f"There is no metric {metric!r} in both; choose from {both}.")
    differences = (a.rows(which)[metric] - b.rows(which)[metric]).dropna().to_numpy()
    if not len(differences):
        raise ValueError(
            f"There is nothing to compare: no user has a {metric} in both {a.name} and {b.name}. "
            "Lists that stayed empty have none; choose a ranking metric, or fit both on the whole "
            "catalogue."
        )
    return differences


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Correct p-values for their number: controls the chance of any false positive among all.

    Sorted upwards, the i-th of m (from 0) is multiplied by m - i, cut to 1, and never smaller than
    the one before it. Holds for any dependence between the tests.

    Parameters
    ----------
    p_values : sequence of float
        Uncorrected, in any order; NaN stays NaN and does not count.

    Returns
    -------
    ndarray of float
        Corrected, in the same order.

    Raises
    ------
    ValueError
        If one lies outside 0..1.

    Examples
    --------
    >>> print(holm([0.01, 0.04, 0.03]))
    [0.03 0.06 0.06]

    References
    ----------
    Holm: A Simple Sequentially Rejective Multiple Test Procedure. Scand. J. Statist. 6, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"P-values lie between 0 and 1; got {p[(p < 0) | (p > 1)][0]}.")
    out = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: (~np.isnan(p)).sum()]  # NaN sorts last
    # The smallest of m is multiplied by m, the next by m - 1, ...; never below the one before.
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return out


def compare_all(
    results: Iterable[Result],
    metric: str = "ndcg",
    against: str | None = None,
    seed: int = 0,
    level: float = 0.95,
    which: str = "all",
    test: str = "bootstrap",
    margin: float | None = None,
) -> pd.DataFrame:
    """Compare several results in pairs, with p-values corrected for the number of pairs.

    Parameters
    ----------
    results : iterable of Result
        Under the same protocol, each with its own name.
    metric, seed, level, which, test, margin
        As for `compare`. The intervals are for one pair at a time.
    against : str, optional
        Name of the result that all others are compared with; by default each pair is compared.

    Returns
    -------
    DataFrame
        `a, b, difference, low, high, p_value, p_holm, clear, n_users`; `clear` is whether `p_holm`
        lies below `1 - level`. With a margin also `p_not_worse, p_not_worse_holm, not_worse`: the
        p-values of a loss of at least the margin, corrected in the same way, and whether the latter
        lies below `(1 - level) / 2`, so that `a` is not worse than `b` by as much as the margin.
        What is neither `clear` nor `not_worse` is undecided. `.attrs["protocol"]` holds the
        protocol in words.

    Raises
    ------
    ProtocolMismatch
        If the protocols differ.
    ValueError
        If there are fewer than two results, two of one name, or none named `against`; or if the
        margin is not positive.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> from vidrec_utils.evaluation import evaluate
    >>> from vidrec_utils.recommender import Random
    >>> models = [Popularity(), Random(seed=0)]
    >>> pairs = compare_all([evaluate(m.fit(split), split, k=1) for m in models], "recall")
    >>> pairs[["a", "b", "n_users"]]
                a       b  n_users
    0  popularity  random        3
    """
    named = _by_name(results)
    if against is not None and against not in named:
        raise ValueError(f"There is no result {against!r}; there are {', '.join(named)}.")
    pairs = (
        list(combinations(named, 2))
        if against is None
        else [(name, against) for name in named if name != against]
    )
    both = [(named[a], named[b]) for a, b in pairs]
    comparisons = _compare_pairs(both, metric, seed, 10_000, level, which, test, margin)
    columns = ["a", "b", "difference", "low", "high", "p_value", "n_users"]
    frame = pd.DataFrame([vars(comparison) for comparison in comparisons])[columns]
    corrected = holm(frame["p_value"])
    frame.insert(6, "p_holm", corrected)
    frame.insert(7, "clear", corrected < 1 - level)
    if margin is not None:
        frame["p_not_worse"] = [comparison.p_not_worse for comparison in comparisons]
        frame["p_not_worse_holm"] = holm(frame["p_not_worse"])
        frame["not_worse"] = frame["p_not_worse_holm"] < (1 - level) / 2
    frame.attrs["protocol"] = str(comparisons[0].protocol)
    return frame


def leaderboard(
    results: Iterable[Result], metric: str = "ndcg", which: str = "all"
) -> pd.DataFrame:
    """One row a result, in the order given: `mean, low, high, n_users` of one metric.

    `.attrs["protocol"]` holds the protocol in words.

    Raises
    ------
    ProtocolMismatch
        If the results were not measured under one protocol.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> from vidrec_utils.evaluation import evaluate
    >>> board = leaderboard([evaluate(Popularity().fit(split), split, k=1)], "recall")
    >>> board.loc["popularity", ["mean", "n_users"]].round(2).to_dict()
    {'mean': 0.67, 'n_users': 3.0}
    """
    named = _by_name(results, least=1)
    frame = pd.DataFrame({name: r.table(which).loc[metric] for name, r in named.items()}).T
    frame = frame.astype({"n_users": int}).rename_axis("recommender")
    frame.attrs["protocol"] = str(next(iter(named.values())).protocol)
    return frame


def _by_name(results: Iterable[Result], least: int = 2) -> dict[str, Result]:
    results = list(results)
    names = [result.name for result in results]
    if len(results) < least:
        raise ValueError(f"{len(results)} results were given; give at least {least}.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Two results are named {twice!r}; give each its own name.")
    for result in results[1:]:
        results[0].protocol.require_equal(result.protocol, results[0].name, result.name)
    return dict(zip(names, results, strict=True))


def _two_sided(draws: np.ndarray) -> float:
    """Twice the smaller share of resampled means on either side of zero."""
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (side + 1) / (len(draws) + 1)))


def _share_below(draws: np.ndarray, value: float) -> float:
    """Share of resampled means at or below a value, never 0."""
    return float(((draws <= value).sum() + 1) / (len(draws) + 1))


def _signs(differences: np.ndarray, draws: int, seed: int) -> float:
    """Share of random signs that make the mean as far from zero as it is."""
    rng = np.random.default_rng(seed)
    observed = abs(differences.sum())
    count = 0
    for block in blocks(draws, 2 * len(differences)):
        size = (block.stop - block.start, len(differences))
        # With coins c of 0 or 1, the signs are 2c - 1, and their sum is c @ 2d - sum(d).
        sums = rng.integers(0, 2, size, dtype=np.int8) @ (2 * differences) - differences.sum()
        count += int((np.abs(sums) >= observed * (1 - 1e-12)).sum())
    return float((count + 1) / (draws + 1))
