"""How far estimates from the platform's log are from the true worth of a policy, on several seeds.

`python benchmarks/off_policy.py --seeds 0 1 2 3 4 5 6 7 8 9` lets the platform's own policy run
MiniTube for four weeks. Models are fitted on the first two. What policies that draw from their
scores are worth in the first slots of the other two weeks, as the share of successes there, is
estimated from the platform's log, and compared with the share in a run in which the policy itself
chose these slots. The columns are the mean error over the seeds with its standard error, the root
of the mean squared error, the mean of the standard errors that the estimates state of themselves,
and the mean effective number of sessions. Nothing is rendered.

Rewards are successes under the label of the course, fitted on the first two weeks. The model of
rewards of the doubly robust estimate is each video's share of successes in all slots of these
weeks, drawn towards the mean. "Guessed" propensities are each video's share of the first slots
there, without a look at the user.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from side_by_side import options

from vidrec_utils import events, minitube
from vidrec_utils.behavior_based import EASE
from vidrec_utils.imbalance import (
    Estimate,
    SoftmaxPolicy,
    doubly_robust,
    inverse_propensity,
    naive,
    replay,
    self_normalized,
)
from vidrec_utils.minitube import dirt
from vidrec_utils.minitube.plan import plan_videos
from vidrec_utils.recommender import Popularity, Random

DAYS, LEARNED = 28, 14
LIMIT = 10.0
PRIOR = 20.0
"""Exposures with the mean reward that each video's share of successes begins with."""


def catalogue() -> pd.DataFrame:
    """Publication and duration of all videos."""
    config = minitube.world_config()
    plan, _ = dirt.plant_media(plan_videos(config), config)
    return plan[["published_at"]].assign(duration_s=plan["n_frames"] / config.fps)


def policies(videos: pd.DataFrame, train: pd.DataFrame) -> dict[str, SoftmaxPolicy]:
    """Policies whose models were fitted, from close to the platform's to far from it."""
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


def rewards(log: pd.DataFrame, rule: events.LabelRule) -> pd.Series:
    """Successes as 1 and 0; NaN where the rule cannot tell."""
    return rule.positives(log).astype("Float64").astype(float)


def estimates(
    policy: SoftmaxPolicy,
    log: pd.DataFrame,
    success: pd.Series,
    published_at: pd.Series,
    expected: pd.Series,
    guessed: pd.Series,
) -> dict[str, Estimate]:
    """All estimates of one policy from the last two weeks of a log."""
    parts: list[pd.DataFrame] = []
    for part in replay(policy, log, published_at):
        rows = log.iloc[part.rows]
        table = rows[["user_id", "video_id", "timestamp", "probability"]].assign(
            target=part.of(rows["video_id"]),
            model=part.probabilities @ expected.reindex(part.sessions.video_ids).to_numpy(),
            reward=success.iloc[part.rows],
        )
        parts.append(table)
    table = pd.concat(parts).dropna(subset=["reward"])
    table = table[
        table["timestamp"] >= log["timestamp"].min().floor("D") + pd.Timedelta(days=LEARNED)
    ]
    reward, target, logged, model = (
        table[name].to_numpy() for name in ("reward", "target", "probability", "model")
    )
    users = table["user_id"].to_numpy()
    said = table["video_id"].map(expected).to_numpy()
    guess = table["video_id"].map(guessed).to_numpy()
    return {
        "naive": naive(reward, users),
        "IPS": inverse_propensity(reward, target, logged, groups=users),
        f"IPS, weights to {LIMIT:.0f}": inverse_propensity(reward, target, logged, LIMIT, users),
        "SNIPS": self_normalized(reward, target, logged, groups=users),
        f"SNIPS, weights to {LIMIT:.0f}": self_normalized(reward, target, logged, LIMIT, users),
        "doubly robust": doubly_robust(reward, target, logged, said, model, groups=users),
        f"doubly robust, weights to {LIMIT:.0f}": doubly_robust(
            reward, target, logged, said, model, LIMIT, users
        ),
        "model alone": naive(model, users),
        "IPS, guessed": inverse_propensity(reward, target, guess, groups=users),
        "SNIPS, guessed": self_normalized(reward, target, guess, groups=users),
        "doubly robust, guessed": doubly_robust(reward, target, guess, said, model, groups=users),
    }


def one_seed(seed: int, videos: pd.DataFrame) -> pd.DataFrame:
    """Estimates and the truth of all policies on one seed."""
    log = minitube.run("platform", DAYS, seed, progress=False).log
    border = log["timestamp"].min().floor("D") + pd.Timedelta(days=LEARNED)
    train = log[log["timestamp"] < border]
    rule = events.fit_label(train, videos)
    success = rewards(log, rule)
    early = log["timestamp"] < border
    by_video = success[early].groupby(log["video_id"]).agg(["sum", "count"])
    mean = success[early].mean()
    share = (by_video["sum"] + PRIOR * mean) / (by_video["count"] + PRIOR)
    expected = share.reindex(videos.index, fill_value=mean)
    first = train.loc[train["position"] == 1, "video_id"].value_counts()
    guessed = (first.reindex(videos.index, fill_value=0) + 1) / (first.sum() + len(videos))
    rows = []
    for name, policy in policies(videos, train).items():
        run = minitube.run(policy, DAYS, seed, slots="first", warm_up=LEARNED, progress=False)
        chosen = run.log[(run.log["timestamp"] >= border) & (run.log["position"] == 1)]
        true = rewards(chosen, rule).mean()
        liked = run.summary["first_liking"].iloc[LEARNED:].mean()
        found = estimates(policy, log, success, videos["published_at"], expected, guessed)
        rows += [
            {
                "policy": name,
                "estimate": how,
                "seed": seed,
                "true": true,
                "liking": liked,
                "error": one.value - true,
                "stated": one.standard_error,
                "sessions": one.effective_size,
            }
            for how, one in found.items()
        ]
    return pd.DataFrame(rows)


def main() -> int:
    """Measure and print."""
    arguments = options(__doc__, seeds=list(range(10)))
    videos = catalogue()
    table = pd.concat([one_seed(seed, videos) for seed in arguments.seeds])
    worth = table.groupby("policy", sort=False)[["true", "liking"]].mean()
    print(worth.round(4).to_string(), end="\n\n")
    grouped = table.groupby(["policy", "estimate"], sort=False)
    summary = pd.DataFrame(
        {
            "mean error": grouped["error"].mean(),
            "its s.e.": grouped["error"].std() / np.sqrt(len(arguments.seeds)),
            "RMSE": grouped["error"].apply(lambda e: np.sqrt((e**2).mean())),
            "stated s.e.": grouped["stated"].mean(),
            "effective sessions": grouped["sessions"].mean().round(0),
        }
    )
    print(summary.round(4).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
