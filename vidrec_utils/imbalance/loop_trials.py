"""Trials of the feedback loop: recommenders that learn from the log that they make themselves.

After a warm-up of three days, which the platform's own policy chooses, a policy runs MiniTube and
learns every night from all days before. `benchmarks/feedback_loop.py` records five seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from vidrec_utils import minitube
from vidrec_utils.behavior_based import EASE
from vidrec_utils.imbalance.policies import SoftmaxPolicy
from vidrec_utils.imbalance.remedies import Discounting, Exploring, Welcoming
from vidrec_utils.minitube import Policy
from vidrec_utils.recommender import Popularity, Random, Recommender

RECORD = Path(__file__).with_name("feedback_loop.csv")
"""What `benchmarks/feedback_loop.py` writes."""
DAYS, WARM_UP = 28, 3
WEEKS = {"week 2": slice(7, 14), "week 4": slice(21, 28)}
COLUMNS = ("head", "coverage", "newcomers", "liking")


def loop_policies(videos: pd.DataFrame) -> dict[str, Callable[[], Policy | str]]:
    """Name the policies of the record; each call of one makes it anew.

    Parameters
    ----------
    videos : DataFrame
        See `off_policy_trials.catalogue`.

    Examples
    --------
    >>> videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-03"], utc=True)}, ["a"])
    >>> list(loop_policies(videos))[:3]
    ['platform', 'any video', 'popularity']
    """

    def soft(model: Recommender, temperature: float = 0.3) -> SoftmaxPolicy:
        return SoftmaxPolicy(model, videos, temperature)

    published = videos["published_at"]
    return {
        "platform": lambda: "platform",
        "any video": lambda: soft(Random(), 1e6),
        "popularity": lambda: soft(Popularity()),
        "EASE": lambda: soft(EASE(500)),
        "EASE, exploring 10%": lambda: Exploring(soft(EASE(500)), 0.1),
        "EASE, exploring 30%": lambda: Exploring(soft(EASE(500)), 0.3),
        "EASE, discount .5": lambda: Discounting(soft(EASE(500)), 0.5),
        "EASE, newcomers +2": lambda: Welcoming(soft(EASE(500)), published, bonus=2.0),
    }


def run_loop(policy: Policy | str, seed: int) -> pd.DataFrame:
    """Let a policy run the platform for four weeks, and grade each day.

    Parameters
    ----------
    policy : Policy or "platform"
        See `loop_policies`.
    seed : int
        See `minitube.run`.

    Returns
    -------
    DataFrame
        By day: `head` (share of the exposures of the fifth of the videos shown most), `coverage`,
        `newcomers` and `liking`, as in `minitube.Run.summary`.

    Examples
    --------
    A run takes seconds, so only its columns are shown:

    >>> COLUMNS
    ('head', 'coverage', 'newcomers', 'liking')
    """
    run = minitube.run(policy, DAYS, seed, warm_up=WARM_UP, progress=False)
    return run.summary[list(COLUMNS)]


def recorded() -> pd.DataFrame:
    """Read what `benchmarks/feedback_loop.py` recorded.

    Returns
    -------
    DataFrame
        One row a policy, seed and day: `policy, seed, day, head, coverage, newcomers, liking`.

    Examples
    --------
    >>> int(recorded()["day"].max())
    27
    """
    return pd.read_csv(RECORD)


def gains(record: pd.DataFrame, than: str = "EASE", measure: str = "liking") -> pd.DataFrame:
    """Compare each policy's weeks with those of another policy on the same seeds.

    Parameters
    ----------
    record : DataFrame
        See `recorded`.
    than : str
        The other policy.
    measure : str
        One of `COLUMNS`.

    Returns
    -------
    DataFrame
        By policy and week: `mean` of the measure; `minus`, its difference to the other policy with
        the ends `low` and `high` of a 95% interval of a t distribution over the seeds.

    Examples
    --------
    >>> rows = [("EASE", 0, 0.0), ("EASE", 1, 0.1), ("new", 0, 1.0), ("new", 1, 1.1)]
    >>> table = pd.DataFrame(rows, columns=["policy", "seed", "liking"]).assign(day=7)
    >>> gains(table).loc[("new", "week 2"), ["minus", "low"]].round(2).tolist()
    [1.0, 1.0]
    """
    weekly = []
    for name, days in WEEKS.items():
        inside = record[record["day"].between(days.start, days.stop - 1)]
        means = inside.groupby(["policy", "seed"], sort=False)[measure].mean()
        weekly.append(means.rename(name))
    table = pd.concat(weekly, axis=1).dropna(axis=1, how="all")
    rows = {}
    for policy in table.index.get_level_values("policy").unique():
        for week in table:
            own = table.loc[policy, week]
            gap = own - table.loc[than, week]
            half = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap))
            rows[policy, week] = {
                "mean": own.mean(),
                "minus": gap.mean(),
                "low": gap.mean() - half,
                "high": gap.mean() + half,
            }
    return pd.DataFrame.from_dict(rows, orient="index")
