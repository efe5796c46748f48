"""What becomes of a platform whose recommender learns from its own log, with and without remedies.

`python benchmarks/feedback_loop.py --seeds 0 1 2 3 4` lets policies run MiniTube for four weeks.
After a warm-up of three days, which the platform's own policy chooses, each learns every night from
all days before. The table shows, for the second and for the fourth week, how much the most shown
fifth of the videos takes of the exposures, which share of the videos is shown on a day, the share
of videos younger than a week among the exposures, and the mean true liking of what is shown. For
the last, the paired difference to EASE without a remedy follows, with a 95% interval of a t
distribution over the seeds. Nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from off_policy import catalogue
from scipy import stats
from side_by_side import options

from vidrec_utils import minitube
from vidrec_utils.behavior_based import EASE
from vidrec_utils.imbalance import Discounting, Exploring, SoftmaxPolicy, Welcoming
from vidrec_utils.minitube import Policy
from vidrec_utils.recommender import Popularity, Random, Recommender

DAYS, WARM_UP = 28, 3
WEEKS = {"week 2": slice(7, 14), "week 4": slice(21, 28)}
COLUMNS = ("head", "coverage", "newcomers", "liking")


def policies(videos: pd.DataFrame) -> dict[str, Callable[[], Policy | str]]:
    """Policies by name, made anew for each run."""

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


def main() -> int:
    """Measure and print."""
    arguments = options(__doc__, seeds=[0, 1, 2, 3, 4])
    rows = []
    for name, make in policies(catalogue()).items():
        for seed in arguments.seeds:
            run = minitube.run(make(), DAYS, seed, warm_up=WARM_UP, progress=False)
            for week, days in WEEKS.items():
                means = run.summary[list(COLUMNS)].iloc[days].mean()
                rows.append({"policy": name, "week": week, "seed": seed, **means})
        print(name, flush=True)
    table = pd.DataFrame(rows)
    means = table.groupby(["policy", "week"], sort=False)[list(COLUMNS)].mean()
    wide = table.pivot_table(index="seed", columns=["policy", "week"], values="liking", sort=False)
    intervals = {}
    for name, week in wide:
        gap = wide[name, week] - wide["EASE", week]
        half = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap))
        low, high = gap.mean() - half, gap.mean() + half
        intervals[name, week] = f"{gap.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    means["liking minus EASE"] = pd.Series(intervals)
    print(means.round(3).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
