"""How far estimates from the platform's log are from the true worth of a policy, on several seeds.

`python benchmarks/off_policy.py --seeds 0 1 2 3 4 5 6 7 8 9` lets the platform's own policy run
MiniTube for four weeks. Models are fitted on the first two. What policies that draw from their
scores are worth in the first slots of the other two weeks, as the share of successes there, is
estimated from the platform's log, and compared with the share in a run in which the policy itself
chose these slots. The columns are the mean error over the seeds with its standard error, the root
of the mean squared error, the mean of the standard errors that the estimates state of themselves,
and the mean effective number of sessions. Nothing is rendered. All rows, and those of the curve of
clipping, are written to `vidrec_utils/imbalance/off_policy.csv`.

Rewards are successes under the label of the course, fitted on the first two weeks. The model of
rewards of the doubly robust estimate is each video's share of successes in all slots of these
weeks, drawn towards the mean. "Guessed" propensities are each video's share of the first slots
there, without a look at the user.
"""

from __future__ import annotations

import pandas as pd
from side_by_side import options

from vidrec_utils.imbalance import off_policy_trials as trials


def one_seed(seed: int, videos: pd.DataFrame) -> pd.DataFrame:
    """Estimates and the truth of all policies on one seed."""
    trial = trials.LoggedTrial.run(seed, videos)
    rows = []
    for name, policy in trials.target_policies(videos, trial.train).items():
        true, liked = trial.true_value(policy, seed)
        slots = trial.first_slots(policy)
        ways = {(how, None): one for how, one in trials.estimates(slots).items()}
        ways |= {("curve", limit): e for limit, e in trials.clipped_estimates(slots).items()}
        rows += [
            {
                "policy": name,
                "estimate": how,
                "limit": limit,
                "seed": seed,
                "true": true,
                "liking": liked,
                "error": one.value - true,
                "stated": one.standard_error,
                "sessions": one.effective_size,
            }
            for (how, limit), one in ways.items()
        ]
    return pd.DataFrame(rows)


def main() -> int:
    """Measure, print and record."""
    arguments = options(__doc__, seeds=list(range(10)))
    videos = trials.catalogue()
    table = pd.concat([one_seed(seed, videos) for seed in arguments.seeds])
    text = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    trials.RECORD.write_text(text, encoding="utf-8")
    worth = table.groupby("policy", sort=False)[["true", "liking"]].mean()
    print(worth.round(4).to_string(), end="\n\n")
    print(trials.error_table(table[table["estimate"] != "curve"]).round(4).to_string())
    for name in worth.index:
        print(f"\n{name}, by the limit of the weights:")
        print(trials.clipping_curve(table, name).round(4).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
