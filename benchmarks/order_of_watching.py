"""Does the order of watching help? SASRec on the log as it is and shuffled, three seeds, two tasks.

    python benchmarks/order_of_watching.py

Writes `vidrec_utils/behavior_based/order_of_watching.json`, which notebook 08 draws and of which it
computes one row anew. All is measured on the validation part of MiniTube, judged by the label that
judges all lists of the course: the *week* asks for everything that succeeds in the days that
follow, the *next* video for each success of a session, from all events before it. Intervals
resample users. It takes some three minutes on one core.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from vidrec_utils import datasets, events, files, preprocessing, settings
from vidrec_utils.behavior_based import ALS, EASE, SequentialRules, WindowedPopularity, order_trials
from vidrec_utils.evaluation import compare, evaluate
from vidrec_utils.intervals import mean_intervals

SEEDS = (0, 1, 2)


def main() -> None:
    """Train, measure, and write the record."""
    library, _ = preprocessing.clean(datasets.load("minitube"))
    log, videos = library.interactions, library.videos
    split = preprocessing.split_by_time(log, videos, validation=0.1, test=0.2)
    rule = events.fit_label(split.train, split.videos)
    questions = order_trials.sample_questions(split, rule, settings.SEED)
    users = questions["user_id"]
    options = {"k": 10, "on": "validation", "seed": settings.SEED, "progress": False}

    def interval(name: str, values: np.ndarray) -> dict[str, float]:
        mean, low, high = mean_intervals(values[:, None], users, seed=settings.SEED)[0]
        return {name: mean, f"{name}_low": low, f"{name}_high": high}

    def measured(fitted: Any, **about: Any) -> tuple[Any, np.ndarray, dict[str, Any]]:
        result = evaluate(fitted, split, **options)
        gains = order_trials.per_question(fitted, questions, split)
        mean, low, high = result.interval("ndcg")
        row = {**about, "week": mean, "week_low": low, "week_high": high}
        return result, gains, row | interval("next", gains)

    rows = []
    others = {
        "EASE": EASE(150),
        "ALS": ALS(64, 12, regularization=1e-4, unobserved=0.5, seed=settings.SEED, progress=False),
        "rules": SequentialRules(),
    }
    for name, model in others.items():
        rows.append(measured(model.fit(split), model=name, order="as watched", seed=0)[2])
    window = evaluate(WindowedPopularity(days=3).fit(split), split, **options)
    mean, low, high = window.interval("ndcg")
    rows.append({"model": "window", "order": "as watched", "seed": 0})
    rows[-1] |= {"week": mean, "week_low": low, "week_high": high}
    for seed in SEEDS:
        for order in order_trials.ORDERS:
            model = order_trials.run_trial(split, order, seed)
            about = {"model": "SASRec", "order": order, "seed": seed}
            result, gains, row = measured(model, **about, best_epoch=int(model.best_epoch))
            if order == "as watched":
                first, first_gains = result, gains
            else:  # the paired difference to the log as it is, on the same seed
                week = compare(first, result, seed=settings.SEED)
                row |= {"week_lost": week.difference}
                row |= {"week_lost_low": week.low, "week_lost_high": week.high}
                row |= interval("next_lost", first_gains - gains)
            rows.append(row)
            print(row, flush=True)
    rows = [{k: round(v, 5) if isinstance(v, float) else v for k, v in r.items()} for r in rows]
    content = {"command": "python benchmarks/order_of_watching.py", "n_questions": len(questions)}
    text = json.dumps({**content, "rows": rows}, indent=1) + "\n"
    files.write_atomically(order_trials.RECORD, text)


if __name__ == "__main__":
    main()
