"""The result of an evaluation: metrics of each user, with the protocol they were measured under."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vidrec_utils import reporting
from vidrec_utils.evaluation.metrics import RANKING_METRICS, USER_METRICS, bootstrap_means
from vidrec_utils.evaluation.protocol import Protocol

SLIVER = 0.05
"""Share of the videos that lists could hold, below which `evaluate` warns."""


@dataclass(frozen=True, eq=False)
class Result:
    """Metrics of one recommender for each user, as `evaluate` returns them.

    Attributes
    ----------
    name : str
        Name of the recommender.
    protocol : Protocol
        Split, candidates, relevance, masks, k, ideal, ties: everything that a number depends on.
        As text it is one sentence.
    per_user : DataFrame
        Indexed by `user_id`, one column a metric (see `evaluation.metrics`), and `n_relevant`,
        `n_known` (events before the evaluated part).
    history : Series
        Mean popularity of what each user was shown before; NaN for new users.
    coverage : float
        Share of the catalogue that is on at least one list.
    top : DataFrame
        Indexed by `user_id`, columns 1..k: the ids recommended (NA where none was left),
        categorical with the catalogue as categories.
    slices : dict of str to DataFrame
        Like `per_user`, for groups of users, and for groups of videos, where nothing but the group
        is ranked; `evaluation.slices` defines the groups.
    list_share : DataFrame
        Indexed by `user_id`, one column a group of videos: the share of each list in `top` that
        goes to the group.
    shorter : dict of int to Result
        Results of the shorter lists of the same evaluation; see `at`.
    hits : DataFrame of bool
        Like `top`: whether the video at each rank is relevant, False where none was left. Unless
        ties are averaged over their orders, the ranking metrics follow from it, from `k` and from
        `per_user["n_relevant"]`.
    """

    name: str
    k: int
    on: str
    seed: int
    protocol: Protocol
    per_user: pd.DataFrame
    history: pd.Series
    coverage: float
    top: pd.DataFrame
    slices: dict[str, pd.DataFrame] = field(default_factory=dict)
    list_share: pd.DataFrame = field(default_factory=pd.DataFrame)
    shorter: dict[int, Result] = field(default_factory=dict)
    hits: pd.DataFrame = field(default_factory=pd.DataFrame)

    def at(self, k: int) -> Result:
        """The result for another length of the lists, one of those that were evaluated.

        Raises
        ------
        KeyError
            If this length was not asked for; the message lists those that were.
        """
        lengths = self.shorter | {self.k: self}
        if k not in lengths:
            names = ", ".join(map(str, lengths))
            raise KeyError(f"Lists of {k} were not evaluated, only of {names}.")
        return lengths[k]

    def by_length(self, metric: str = "ndcg", which: str = "all") -> pd.DataFrame:
        """One row a length of the lists: `mean, low, high, n_users` of one metric, indexed by `k`.

        Examples
        --------
        >>> from vidrec_utils.datasets import Split
        >>> from vidrec_utils.evaluation import evaluate
        >>> from vidrec_utils.recommender import Popularity
        >>> users = ["u", "v", "w"]
        >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
        >>> later = train.assign(video_id=["b", "b", "c"])
        >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
        >>> result = evaluate(Popularity().fit(split), split, k=(1, 2))
        >>> result.by_length("recall")["mean"].round(2).to_dict()
        {1: 0.67, 2: 1.0}
        """
        results = self.shorter | {self.k: self}
        rows = {k: result.table(which).loc[metric] for k, result in results.items()}
        return pd.DataFrame(rows).T.rename_axis("k")

    @property
    def n_left_out(self) -> int:
        """Users in the evaluated part who have no relevant video there."""
        return self.protocol.n_left_out

    @property
    def digest(self) -> str:
        """Hash of the protocol; results with another are not comparable."""
        return self.protocol.digest

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that each user has."""
        return tuple(m for m in (*USER_METRICS, "diversity") if m in self.per_user)

    def sliver(self, users: pd.Index | None = None, share: float = SLIVER) -> str:
        """Say so if lists come from a sliver of the catalogue; an empty text if they do not.

        Parameters
        ----------
        users : Index of str, optional
            Users whose lists count; default all.
        share : float
            Lists hold too few different videos if these are less than this share of those that
            they could hold: of the catalogue, or of all entries of the lists if those are fewer.
        """
        counted = np.ones(len(self.top), bool) if users is None else self.top.index.isin(users)
        n, n_entries = self.protocol.n_videos, 0
        listed = np.zeros(n + 1, dtype=bool)
        for rank in self.top:  # one column after another, since a copy of all lists is large
            codes = self.top[rank].cat.codes.to_numpy()[counted]  # (users,), -1: none left
            listed[codes] = True  # -1 marks the last place
            n_entries += int(np.count_nonzero(codes >= 0))
        different = np.count_nonzero(listed[:-1])
        if different >= share * min(n_entries, n):
            return ""
        return (
            f"{self.name} recommends {different:,} of {n:,} videos in {n_entries:,} entries of "
            f"lists (coverage {different / n:.2%}): nearly everybody gets the same. Common causes "
            "are weights that are all alike or zero, settings that are too strong for so few "
            "events, and answers that fall back to what is popular."
        )

    def rows(self, which: str = "all") -> pd.DataFrame:
        """Metrics per user, of all users or of one slice.

        Raises
        ------
        KeyError
            If there is no such slice; the message lists those that exist.
        """
        if which == "all":
            return self.per_user
        if which not in self.slices:
            names = ", ".join(map(repr, ["all", *self.slices]))
            raise KeyError(f"There is no slice {which!r}; choose from {names}.")
        return self.slices[which]

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
            mean and interval. Coverage has no interval: it is not a mean, and a resampled crowd of
            users covers less by construction. `.attrs["protocol"]` holds the protocol in words.
        """
        users = self.rows(which)
        listed, history = users["popularity"], self.history.loc[users.index]
        both = listed.notna() & history.notna()  # a lift compares one crowd with itself
        values = users[list(self.metrics)].assign(
            _listed=listed.where(both), _history=history.where(both)
        )
        means = values.mean().to_numpy()  # (m,)
        draws = bootstrap_means(values.to_numpy(), resamples, self.seed)  # (resamples, m)
        columns = [*self.metrics, "popularity_lift"]
        center, spread = _with_lift(means[None])[0], _with_lift(draws)
        low, high = percentile_interval(spread, level)
        frame = pd.DataFrame({"mean": center, "low": low, "high": high}, index=columns)
        counts = values.notna().sum().to_numpy()[:-1]  # both columns of the lift: the same users
        if which == "all":
            frame.loc["coverage"] = [self.coverage, np.nan, np.nan]
            counts = np.append(counts, len(users))
        frame = frame.assign(n_users=counts).rename_axis("metric")
        frame.attrs["protocol"] = str(self.protocol)
        return frame

    def interval(self, metric: str, which: str = "all") -> tuple[float, float, float]:
        """Mean, lower and upper end of one metric."""
        row = self.table(which).loc[metric]
        return float(row["mean"]), float(row["low"]), float(row["high"])

    def report(self, which: str = "all", names: Iterable[str] = RANKING_METRICS) -> str:
        """Several metrics with their intervals, and the protocol below them, as text."""
        lines = reporting.sentences(self.table(which).loc[list(names)], form=".4f")
        users = f"{len(self.rows(which)):,} users" + ("" if which == "all" else f", {which}")
        return "\n".join(
            [f"{self.name} ({users})", lines, self.covered(), f"Measured under: {self.protocol}"]
        )

    def covered(self) -> str:
        """Say how much of the catalogue the lists hold: the coverage, in words."""
        n, share = self.protocol.n_videos, self.coverage
        return f"coverage: {round(share * n):,} of {n:,} videos are on a list ({share:.1%})"

    def sentence(self, metric: str = "ndcg") -> str:
        """Write the mean of a metric with its interval, `name: METRIC@k mean [low, high]`."""
        interval = reporting.interval(*self.interval(metric))
        return f"{self.name}: {metric.upper()}@{self.k} {interval}"

    def __str__(self) -> str:
        users = f"{len(self.per_user)} users"
        return f"{self.sentence()} over {users}; {self.covered()} ({self.protocol})"


def percentile_interval(draws: np.ndarray, level: float) -> np.ndarray:
    """Percentile interval of each column, `(2, m)`, without NaN draws; NaN where all are."""
    ends = np.full((2, draws.shape[1]), np.nan)
    known = ~np.isnan(draws).all(axis=0)  # an all-NaN column would only add a warning
    # For a level of 95%, 2.5% of the resampled means lie below the interval, 2.5% above it.
    ends[:, known] = np.nanquantile(draws[:, known], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends


def _with_lift(means: np.ndarray) -> np.ndarray:
    """Replace the last two columns, mean popularity of lists and of histories, by the lift."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = means[:, -2] / means[:, -1] - 1
    return np.column_stack([means[:, :-2], lift])
