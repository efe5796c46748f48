"""What settings of each model of behaviour a dense and a sparse log want, chosen on validation.

MovieLens-latest-small is split by each user's last ratings but one and last (people rate all their
movies in one sitting, so that a split in time leaves few of them), KuaiRand-Pure in time (train
70%, validation 10%, test 20%). Movies with fewer than five ratings are left out.
`evaluation.search` tries `behavior_based.GRIDS` on validation, and the default settings and the
chosen ones, fitted on train and validation, are measured on the test, once.

    python benchmarks/settings_on_logs.py --movielens FOLDER --kuairand FOLDER

The table shows the settings that differ from the default, NDCG@10 on validation and test, and the
paired difference on the test with its 95% interval.
"""

from __future__ import annotations

import time
import warnings
from types import SimpleNamespace

import pandas as pd
from side_by_side import Option, options

from vidrec_utils import behavior_based, datasets
from vidrec_utils.behavior_based import GRIDS
from vidrec_utils.evaluation import compare, evaluate, refit, search
from vidrec_utils.preprocessing import leave_last_out, split_by_time
from vidrec_utils.recommender import Popularity, Recommender
from vidrec_utils.reporting import interval

SETS = {"MovieLens-latest-small": "movielens", "KuaiRand-Pure": "kuairand"}


def load(name: str, chosen: SimpleNamespace) -> datasets.Split:
    """A log, split."""
    folder = getattr(chosen, SETS[name])
    library = getattr(datasets, f"load_{SETS[name]}")(folder)
    if name == "KuaiRand-Pure":
        return split_by_time(library.interactions, library.videos)
    counts = library.interactions["video_id"].value_counts()
    library = library.subset(counts.index[counts >= 5])
    return leave_last_out(library.interactions, library.videos)


def row(name: str, split: datasets.Split, chosen: SimpleNamespace) -> dict[str, str]:
    """One model: default settings and chosen ones."""
    start = time.perf_counter()
    kind = getattr(behavior_based, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notes say the same
        result = search(kind, GRIDS[name], split, max_users=chosen.users, progress=False)
        models: list[Recommender] = [kind(), kind(**result.settings)]
        tested = [evaluate(refit(m, split), split, on="test", slices=False) for m in models]
    default = result.table[result.table["start"]].iloc[0]["metric"]
    best = result.table[result.table["chosen"]].iloc[0]["metric"]
    gain = compare(tested[1], tested[0])
    means = [one.per_user["ndcg"].mean() for one in tested]
    return {
        "model": name,
        "chosen": ", ".join(f"{key} {value}" for key, value in result.settings.items()),
        "validation, default to chosen": f"{default:.4f} to {best:.4f}",
        "test, default to chosen": f"{means[0]:.4f} to {means[1]:.4f}",
        "difference on the test": interval(gain.difference, gain.low, gain.high, "+.4f"),
        "tried": f"{len(result.table)} in {time.perf_counter() - start:.0f} s",
    }


def main() -> None:
    chosen = options(
        __doc__,
        movielens=Option(None, "folder of MovieLens-latest-small"),
        kuairand=Option(None, "folder of KuaiRand-Pure"),
        sets=Option(list(SETS), "default: both", SETS),
        only=Option(list(GRIDS), "default: all", GRIDS),
        users=Option(1_000, "users of validation that settings are tried on, at most"),
    )
    for name in chosen.sets:
        split = load(name, chosen)
        popularity = evaluate(Popularity().fit(split.known("test")), split, on="test", slices=False)
        n = len(popularity.per_user)
        mean = popularity.per_user["ndcg"].mean()
        print(f"\n{name}: {n:,} users of the test, popularity {mean:.4f}", flush=True)
        rows = []
        for model in chosen.only:
            rows.append(row(model, split, chosen))
            print(rows[-1], flush=True)
        print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
