"""What becomes of a platform whose recommender learns from its own log, with and without remedies.

`python benchmarks/feedback_loop.py --seeds 0 1 2 3 4` lets policies run MiniTube for four weeks.
After a warm-up of three days, which the platform's own policy chooses, each learns every night from
all days before. The table shows, for the second and for the fourth week, how much the most shown
fifth of the videos takes of the exposures, which share of the videos is shown on a day, the share
of videos younger than a week among the exposures, and the mean true liking of what is shown. For
the last, the paired difference to EASE without a remedy follows, with a 95% interval of a t
distribution over the seeds. Nothing is rendered. All days are written to
`vidrec_utils/imbalance/feedback_loop.csv`.
"""

from __future__ import annotations

import pandas as pd
from side_by_side import options

from vidrec_utils.imbalance import loop_trials as trials
from vidrec_utils.imbalance.off_policy_trials import catalogue


def main() -> int:
    """Measure, print and record."""
    arguments = options(__doc__, seeds=[0, 1, 2, 3, 4])
    tables = []
    for name, make in trials.loop_policies(catalogue()).items():
        for seed in arguments.seeds:
            days = trials.run_loop(make(), seed).reset_index()
            tables.append(days.assign(policy=name, seed=seed))
        print(name, flush=True)
    record = pd.concat(tables)[["policy", "seed", "day", *trials.COLUMNS]]
    text = record.to_csv(index=False, float_format="%.4g", lineterminator="\n")
    trials.RECORD.write_text(text, encoding="utf-8")
    for measure in trials.COLUMNS:
        print(f"\n{measure}:")
        print(trials.gains(record, measure=measure).round(3).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
