"""Trials of off-policy estimates: the log of one policy, other policies, and what they are worth.

The platform's own policy runs MiniTube for four weeks. Models are fitted on the first two. What
policies that draw from their scores would reach in the first slots of the other two weeks is
estimated from the platform's log, and measured in a run in which they chose these slots themselves.
`benchmarks/off_policy.py` records ten seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import events, minitube
from vidrec_utils.behavior_based import EASE
from vidrec_utils.imbalance.off_policy import (
    Estimate,
    doubly_robust,
    inverse_propensity,
    naive,
    self_normalized,
)
from vidrec_utils.imbalance.policies import SoftmaxPolicy, replay
from vidrec_utils.recommender import Popularity, Random

RECORD = Path(__file__).with_name("off_policy.csv")
"""What `benchmarks/off_policy.py` writes."""
DAYS, LEARNED = 28, 14
LIMIT = 10.0
LIMITS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Largest weights of the curve of clipping."""
PRIOR = 20.0
"""Exposures with the mean reward that each video's share of successes begins with."""


def catalogue() -> pd.DataFrame:
    """Read publication and duration of all videos of the simulated platform; nothing is rendered.

    Examples
    --------
    >>> catalogue().columns.tolist()
    ['published_at', 'duration_s']
    """
    return minitube.catalogue()


def target_policies(videos: pd.DataFrame, train: pd.DataFrame) -> dict[str, SoftmaxPolicy]:
    """Fit the policies that are estimated, from close to the platform's to far from it.

    Parameters
    ----------
    videos : DataFrame
        See `catalogue`.
    train : DataFrame
        The part of the log that models are fitted on.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["a", "b"]})
    >>> log = log.assign(timestamp=pd.Timestamp("2025-03-03", tz="UTC"), watch_ratio=1.0)
    >>> list(target_policies(pd.DataFrame(index=["a", "b"]), log))[0]
    'popularity, soft'
    """
    models = {
        "popularity, soft": (Popularity(), 1.0),
        "EASE, soft": (EASE(500), 1.0),
        "EASE, sharp": (EASE(500), 0.3),
        "any video": (Random(), 1e6),
    }
    return {
        name: SoftmaxPolicy(model.fit(train), videos, temperature, refit_days=0)
        for name, (model, temperature) in models.items()
    }


@dataclass(frozen=True, eq=False)
class LoggedTrial:
    """A log, and what is learned from its first two weeks.

    Attributes
    ----------
    log, videos : DataFrame
        Four weeks of the platform's own policy, and its catalogue.
    train : DataFrame
        The first two weeks.
    border : Timestamp
        Their end.
    rule : LabelRule
        What counts as a success, fitted on `train`.
    success : Series of float
        1 and 0 for each row of the log; NaN where the rule cannot tell.
    expected : Series of float
        A model of the reward: each video's share of successes in all slots of `train`, drawn
        towards the mean. It knows no users.
    guessed : Series of float
        Guessed propensities: each video's share of the first slots of `train`.
    """

    log: pd.DataFrame
    videos: pd.DataFrame
    train: pd.DataFrame
    border: pd.Timestamp
    rule: events.LabelRule
    success: pd.Series
    expected: pd.Series
    guessed: pd.Series

    @classmethod
    def run(cls, seed: int, videos: pd.DataFrame) -> LoggedTrial:
        """Let the platform's own policy make the log, and learn from its first two weeks.

        Parameters
        ----------
        seed : int
            See `minitube.run`.
        videos : DataFrame
            See `catalogue`.

        Examples
        --------
        A run takes seconds, so only its settings are shown:

        >>> DAYS, LEARNED
        (28, 14)
        """
        log = minitube.run("platform", DAYS, seed, progress=False).log
        border = log["timestamp"].min().floor("D") + pd.Timedelta(days=LEARNED)
        early = log["timestamp"] < border
        train = log[early]
        rule = events.fit_label(train, videos)
        success = successes(log, rule)
        by_video = success[early].groupby(log["video_id"]).agg(["sum", "count"])
        mean = success[early].mean()
        share = (by_video["sum"] + PRIOR * mean) / (by_video["count"] + PRIOR)
        expected = share.reindex(videos.index, fill_value=mean)
        first = train.loc[train["position"] == 1, "video_id"].value_counts()
        guessed = (first.reindex(videos.index, fill_value=0) + 1) / (first.sum() + len(videos))
        return cls(log, videos, train, border, rule, success, expected, guessed)

    def first_slots(self, policy: SoftmaxPolicy) -> pd.DataFrame:
        """List the first slots of the last two weeks, with what estimates of a policy need.

        Returns
        -------
        DataFrame
            One row a session: `user_id, video_id, timestamp, reward`; `target` and `logged`, the
            probabilities of the logged choice under the policy and in the log; `guessed`, that
            probability as guessed; `predicted` and `expected`, what the model of rewards says of
            the logged choice, and of what the policy would choose, on average.

        Examples
        --------
        >>> LoggedTrial.first_slots.__name__
        'first_slots'
        """
        tables = []
        for replayed in replay(policy, self.log, self.videos["published_at"]):
            rows = self.log.iloc[replayed.rows]
            model = self.expected.reindex(replayed.sessions.video_ids).to_numpy()
            table = rows[["user_id", "video_id", "timestamp"]].assign(
                reward=self.success.iloc[replayed.rows],
                target=replayed.of(rows["video_id"]),
                logged=rows["probability"],
                guessed=rows["video_id"].map(self.guessed),
                predicted=rows["video_id"].map(self.expected),
                expected=replayed.probabilities @ model,
            )
            tables.append(table)
        table = pd.concat(tables).dropna(subset=["reward"])
        return table[table["timestamp"] >= self.border]

    def true_value(self, policy: SoftmaxPolicy, seed: int) -> tuple[float, float]:
        """Let a policy choose the first slots of the last two weeks, and grade it.

        Returns
        -------
        (float, float)
            The share of successes in these slots, and the mean true liking of what was in them.

        Examples
        --------
        >>> LoggedTrial.true_value.__name__
        'true_value'
        """
        run = minitube.run(policy, DAYS, seed, slots="first", warm_up=LEARNED, progress=False)
        chosen = run.log[(run.log["timestamp"] >= self.border) & (run.log["position"] == 1)]
        liking = run.summary["first_liking"].iloc[LEARNED:].mean()
        return float(successes(chosen, self.rule).mean()), float(liking)


def successes(log: pd.DataFrame, rule: events.LabelRule) -> pd.Series:
    """Successes as 1 and 0; NaN where the rule cannot tell.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": "u", "video_id": ["a", "b"], "watch_ratio": [1.0, 0.1]})
    >>> successes(log, events.fit_label(log, None, "ratio")).tolist()
    [1.0, 0.0]
    """
    return rule.positives(log).astype("Float64").astype(float)


def estimates(slots: pd.DataFrame) -> dict[str, Estimate]:
    """Estimate a policy's share of successes in all ways of the record.

    Parameters
    ----------
    slots : DataFrame
        See `LoggedTrial.first_slots`.

    Returns
    -------
    dict of str to Estimate

    Examples
    --------
    >>> slots = pd.DataFrame({"reward": [1.0, 0.0], "target": [0.2, 0.2], "logged": [0.4, 0.1]})
    >>> slots = slots.assign(user_id=["a", "b"], guessed=0.2, predicted=0.5, expected=0.5)
    >>> round(estimates(slots)["IPS"].value, 2)
    0.25
    """
    reward, target, logged, guess, predicted, expected = (
        slots[name].to_numpy()
        for name in ("reward", "target", "logged", "guessed", "predicted", "expected")
    )
    users = slots["user_id"].to_numpy()
    limit = f"weights to {LIMIT:.0f}"
    return {
        "naive": naive(reward, users),
        "IPS": inverse_propensity(reward, target, logged, groups=users),
        f"IPS, {limit}": inverse_propensity(reward, target, logged, LIMIT, users),
        "SNIPS": self_normalized(reward, target, logged, groups=users),
        f"SNIPS, {limit}": self_normalized(reward, target, logged, LIMIT, users),
        "doubly robust": doubly_robust(reward, target, logged, predicted, expected, groups=users),
        f"doubly robust, {limit}": doubly_robust(
            reward, target, logged, predicted, expected, LIMIT, users
        ),
        "model alone": naive(expected, users),
        "IPS, guessed": inverse_propensity(reward, target, guess, groups=users),
        "SNIPS, guessed": self_normalized(reward, target, guess, groups=users),
        "doubly robust, guessed": doubly_robust(
            reward, target, guess, predicted, expected, groups=users
        ),
    }


def clipped_estimates(slots: pd.DataFrame) -> dict[float, Estimate]:
    """Estimate by inverse-propensity weighting with each of `LIMITS`.

    Examples
    --------
    >>> slots = pd.DataFrame({"reward": [1.0, 1.0], "target": [0.9, 0.1], "logged": [0.1, 0.9]})
    >>> {limit: round(one.value, 2) for limit, one in clipped_estimates(slots).items() if limit < 9}
    {1.0: 0.56, 2.0: 1.06, 5.0: 2.56}
    """
    known = [slots[name].to_numpy() for name in ("reward", "target", "logged")]
    users = slots["user_id"].to_numpy() if "user_id" in slots else None
    return {limit: inverse_propensity(*known, limit, users) for limit in LIMITS}


def recorded() -> pd.DataFrame:
    """Read what `benchmarks/off_policy.py` recorded.

    Returns
    -------
    DataFrame
        One row a policy, estimate and seed: `policy, estimate, seed, limit` (NaN but for the rows
        of the curve of clipping, whose estimate is `"curve"`)`, true, liking, error` (estimate
        minus truth)`, stated` (its standard error)`, sessions` (effective).

    Examples
    --------
    >>> int(recorded()["seed"].nunique())
    10
    """
    return pd.read_csv(RECORD)


def error_table(record: pd.DataFrame) -> pd.DataFrame:
    """Sum up errors over the seeds.

    Parameters
    ----------
    record : DataFrame
        See `recorded`.

    Returns
    -------
    DataFrame
        By policy and estimate: `bias` (mean error), `bias_se` (its standard error), `rmse`,
        `stated` (mean standard error that the estimates state) and `sessions` (mean effective
        number).

    Examples
    --------
    >>> rows = {"policy": "p", "estimate": "IPS", "error": [0.1, -0.1], "stated": 0.1}
    >>> float(error_table(pd.DataFrame(rows).assign(sessions=5)).loc[("p", "IPS"), "rmse"])
    0.1
    """
    grouped = record.groupby(["policy", "estimate"], sort=False)
    return pd.DataFrame(
        {
            "bias": grouped["error"].mean(),
            "bias_se": grouped["error"].sem(),
            "rmse": np.sqrt(grouped["error"].apply(lambda errors: (errors**2).mean())),
            "stated": grouped["stated"].mean(),
            "sessions": grouped["sessions"].mean(),
        }
    )


def clipping_curve(record: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Bias and spread of clipped weighting over the seeds, by the limit of the weights.

    Returns
    -------
    DataFrame
        By limit, infinite for none: `bias`, `spread` (standard deviation over the seeds) and
        `rmse`.

    Examples
    --------
    >>> float(clipping_curve(recorded(), "EASE, soft").index[-1])
    inf
    """
    own = record[record["policy"] == policy]
    rows = own[own["estimate"].isin(["curve", "IPS"])].copy()
    rows["limit"] = rows["limit"].fillna(np.inf)
    errors = rows.groupby("limit")["error"]
    return pd.DataFrame(
        {
            "bias": errors.mean(),
            "spread": errors.std(),
            "rmse": np.sqrt(errors.apply(lambda e: (e**2).mean())),
        }
    )
