"""What an evaluation found, and whether two of them differ."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vidrec_utils.evaluation.metrics import USER_METRICS, bootstrap_means


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
        Indexed by `user_id`, one column a metric (see `evaluation.metrics`), and `n_relevant`,
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
            Indexed by `metric`: `mean, low, high, n_users`, the last the number of users who have
            the metric (an empty list has no novelty, for example); the others are left out of
            mean and interval. Coverage has no interval: it is not a
            mean, and a resampled crowd of users covers less by construction.
        """
        users = self.per_user if which == "all" else self.slices[which]
        listed, history = users["popularity"], self.history.loc[users.index]
        both = listed.notna() & history.notna()  # a lift compares one crowd with itself
        values = users[list(USER_METRICS)].assign(
            _listed=listed.where(both), _history=history.where(both)
        )
        means = values.mean().to_numpy()
        draws = bootstrap_means(values.to_numpy(), resamples, self.seed)
        columns = [*USER_METRICS, "popularity_lift"]
        center, spread = _with_lift(means[None])[0], _with_lift(draws)
        low, high = _interval(spread, level)
        frame = pd.DataFrame({"mean": center, "low": low, "high": high}, index=columns)
        counts = values.notna().sum().to_numpy()[:-1]  # both columns of the lift: the same users
        if which == "all":
            frame.loc["coverage"] = [self.coverage, np.nan, np.nan]
            counts = np.append(counts, len(users))
        return frame.assign(n_users=counts).rename_axis("metric")

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


def compare(
    a: Result,
    b: Result,
    metric: str = "ndcg",
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """Does `a` beat `b` on the same users? A paired bootstrap over the per-user differences.

    Users who lack the metric in either result (an empty list has no novelty, for example) are left
    out; `n_users` counts the others.

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
        If the protocols or the users differ, there is no such metric, or no user has it in both.
    """
    if (a.protocol, a.digest) != (b.protocol, b.digest):
        raise ValueError(
            "These results are not comparable: they were measured under different protocols or on "
            f"different users.\n  {a.name}: {a.protocol}\n  {b.name}: {b.protocol}"
        )
    if metric not in USER_METRICS:
        raise ValueError(f"There is no metric {metric!r}; choose from {', '.join(USER_METRICS)}.")
    differences = (a.per_user[metric] - b.per_user[metric]).dropna().to_numpy()
    if not len(differences):
        raise ValueError(
            f"There is nothing to compare: no user has a {metric} in both {a.name} and {b.name}. "
            "Lists that stayed empty have none; choose a ranking metric, or fit both on the whole "
            "catalogue."
        )
    draws = bootstrap_means(differences[:, None], resamples, seed)
    (low,), (high,) = _interval(draws, level)
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    p_value = min(1.0, 2 * (side + 1) / (resamples + 1))
    mean = float(differences.mean())
    return Comparison(
        a.name, b.name, metric, mean, float(low), float(high), float(p_value), len(differences)
    )


def _interval(draws: np.ndarray, level: float) -> np.ndarray:
    """Percentile interval of each column, `(2, m)`, without NaN draws; NaN where all are."""
    ends = np.full((2, draws.shape[1]), np.nan)
    some = ~np.isnan(draws).all(axis=0)  # an all-NaN column would only add a warning
    ends[:, some] = np.nanquantile(draws[:, some], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends


def _with_lift(means: np.ndarray) -> np.ndarray:
    """Replace the last two columns, mean popularity of lists and of histories, by the lift."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = means[:, -2] / means[:, -1] - 1
    return np.column_stack([means[:, :-2], lift])
