"""What duration does to labels of watching: tables for KuaiRand-Pure and for MiniTube.

    python benchmarks/watch_labels.py --kuairand FOLDER --seeds 0 1 2

For each log, the label table (share positive; AUC of "the shorter video first", 95% interval over
videos; share positive among short and long videos; AUC with which the watch time that the label
compares predicts likes) and what happens by duration. KuaiRand's repeated exposures are dropped,
and those without a duration; its figures are compared with those that were measured before.

Of MiniTube the truth is known: how well each label agrees with the liking of the exposure (AUC for
each user), paired over users against `ratio` and `seconds`. Where a label cuts matters for that, so
there is also a row for a ratio with as many positives as the default. The log is taken as it is,
but without bots, and with the durations that were spoiled as unknown. The command fails if
KuaiRand's figures have changed, if the default label of a log has an AUC of "the shorter video
first" further than .02 from one half, or if on a world of MiniTube whose durations vary it does not
agree better with the liking than `ratio` and `seconds`, by intervals clear of zero. Where durations
do not vary, all labels are the same question, which it says.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from side_by_side import Option, options

from vidrec_utils import datasets, minitube
from vidrec_utils.behavior_based import agreement_table, duration_table, label_table, liking_aucs
from vidrec_utils.behavior_based.label_tables import same_share
from vidrec_utils.events import LABELS, durations_vary, exposure_durations, fit_label
from vidrec_utils.minitube import truth

AWAY = 0.02
"""How far from one half the AUC of "the shorter video first" may lie for the default label."""

KUAIRAND = {
    ("ratio", "positive"): 0.211,
    ("ratio", "shorter_first"): 0.680,
    ("ratio", "short"): 0.366,
    ("ratio", "long"): 0.070,
    ("ratio", "likes"): 0.738,
    ("quantile", "positive"): 0.258,
    ("quantile", "shorter_first"): 0.505,
    ("quantile", "short"): 0.266,
    ("quantile", "long"): 0.256,
    ("quantile", "likes"): 0.719,
    ("gain", "likes"): 0.713,
    ("seconds", "likes"): 0.700,
    ("long_view", "positive"): 0.321,
    ("long_view", "shorter_first"): 0.511,
    ("liked", "positive"): 0.017,
    ("liked", "shorter_first"): 0.588,
}
"""Figures of KuaiRand-Pure that were measured before, with other code."""

DECILES = {
    "duration_s": [10, 17, 28, 41, 63, 87, 115, 159, 215, 310],
    "seconds": [5.2, 7.8, 11.5, 15.9, 20.2, 23.8, 28.6, 29.3, 33.7, 35.8],
    "ratio": [0.519, 0.457, 0.417, 0.379, 0.322, 0.274, 0.249, 0.186, 0.156, 0.109],
    "positive": [0.359, 0.324, 0.306, 0.262, 0.218, 0.176, 0.147, 0.104, 0.078, 0.050],
    "liked": [0.029, 0.022, 0.019, 0.021, 0.016, 0.015, 0.014, 0.014, 0.012, 0.010],
}
"""The same by deciles of duration; positive is watched to four fifths, whether liked or not."""
DIGITS = {"duration_s": 0, "seconds": 1}


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n{table.to_string(float_format='{:.3f}'.format)}")


def kuairand(folder: str) -> list[str]:
    """Print the tables of KuaiRand-Pure; returns sentences on what is not as it was."""
    library = datasets.load_kuairand(folder)
    views = library.interactions.drop_duplicates(["user_id", "video_id", "timestamp"])
    known = ~np.isnan(exposure_durations(views, library.videos))
    views, videos = views[known], library.videos
    columns = [name for name in ("long_view", "liked") if name in views]
    table = label_table(views, videos, columns=columns, short_s=15, long_s=200)
    title = f"KuaiRand-Pure, {len(views):,} exposures (short: under 15 s, long: over 200 s)"
    show(title, table)
    deciles = duration_table(views, videos)
    show("KuaiRand-Pure by duration", deciles)
    watched = duration_table(views.assign(liked=pd.NA, disliked=pd.NA), videos)
    deciles["positive"] = watched["positive"]
    broken = [
        f"KuaiRand by duration, {name}: {deciles[name].round(4).tolist()}, before {figures}"
        for name, figures in DECILES.items()
        if (deciles[name] - figures).abs().max() > 0.51 * 10.0 ** -DIGITS.get(name, 3)
    ]
    broken += [
        f"KuaiRand, {label}, {name}: {table.at[label, name]:.4f}, before {figure}"
        for (label, name), figure in KUAIRAND.items()
        if abs(table.at[label, name] - figure) > 5.1e-4
    ]
    return broken + far_from_half("KuaiRand", table, fit_label(views, videos).label)


def far_from_half(log: str, table: pd.DataFrame, label: str) -> list[str]:
    """Say so if duration predicts the default label of a log."""
    auc = table.at[label, "shorter_first"]
    if abs(auc - 0.5) <= AWAY:
        return []
    return [f"{log}: the shorter video first predicts the default, {label}, with {auc:.3f}"]


def world(seed: int) -> list[str]:
    """Print the tables of one MiniTube; returns sentences on what does not hold."""
    root = minitube.build(seed=seed)
    library, known = datasets.load_folder(root), truth.load(root)
    planted = known.dirt.groupby("kind")["id"].agg(set)
    videos = library.videos.copy()
    videos.loc[videos.index.isin(planted.get("wrong_duration", set())), "duration_s"] = np.nan
    kept = ~library.interactions["user_id"].isin(planted.get("bot", set()))
    kept &= library.interactions["watch_ratio"].notna()
    views, liking = library.interactions[kept], known.exposures["liking"].to_numpy()[kept]
    durations = exposure_durations(views, videos)
    name = f"MiniTube, seed {seed}"
    if not durations_vary(durations):
        print(
            f"\n{name}: durations do not vary (median {np.nanmedian(durations):.2f} s), so they "
            "predict nothing, and all labels with a quantile over everybody are one and the same."
        )
        show(f"{name}, agreement with liking", agreement_table(liking_aucs(views, videos, liking)))
        return []
    default = fit_label(views, videos).label
    table = label_table(views, videos, columns=["liked"], seed=seed)
    show(f"{name}, {len(views):,} exposures (short, long: the outer tenths)", table)
    show(f"{name} by duration", duration_table(views, videos))
    rules = {label: fit_label(views, videos, label) for label in LABELS}
    rules["ratio, same share"] = same_share(views, videos, rules[default])
    aucs = liking_aucs(views, videos, liking, rules)
    agreement = agreement_table(aucs, seed=seed)
    show(f"{name}, agreement with liking, AUC for each user", agreement)
    return far_from_half(name, table, default) + [
        f"{name}: {default} does not agree better with liking than {other} does"
        for other in ("ratio", "seconds")
        if not agreement.at[default, f"low {other}"] > 0
    ]


def main() -> int:
    """Print all tables, and say what does not hold."""
    arguments = options(
        __doc__,
        kuairand=Option(None, "folder of KuaiRand-Pure"),
        seeds=Option([0, 1, 2], "worlds of MiniTube"),
    )
    broken = kuairand(arguments.kuairand) if arguments.kuairand else []
    for seed in arguments.seeds:
        broken += world(seed)
    print("\n" + ("\n".join(broken) or "All of this holds."))
    return bool(broken)


if __name__ == "__main__":
    raise SystemExit(main())
