"""How far the detectors of notebook 01 reach, on worlds that chose none of their limits.

No claim about speed. Copies lose a growing share of the clip, bots imitate people more and more,
noise grows, and whole worlds drawn with other seeds are cleaned and scored.

    python benchmarks/harder_dirt.py

writes `vidrec_utils/preprocessing/difficulty.csv`. It takes about five minutes on one core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

from vidrec_utils import datasets, preprocessing
from vidrec_utils.minitube import build, truth, world_config
from vidrec_utils.minitube.media import render_upload
from vidrec_utils.minitube.world import make_tables
from vidrec_utils.preprocessing import difficulty

CLIPS = 40
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
SIGMAS = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
DISGUISES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
DETECTORS = ("rules", "forest", "busiest")
SEED = difficulty.SECOND_SEED
WHOLE = (SEED, SEED + 1)
"""Seeds of the worlds that are cleaned from end to end."""


def clip_rows() -> Iterator[dict[str, object]]:
    """Copies and noise, one row a clip."""
    config = world_config(seed=SEED)
    plan = make_tables(config)[0]
    ids = plan.index[plan["media"] == "clip"][:CLIPS]
    clips = {v: render_upload(v, plan, config).frames for v in ids}
    for edit, share in tqdm(list(product(difficulty.EDITS, SHARES)), desc="copies"):
        table = difficulty.detect_copies(clips, edit, share)
        for item, row in enumerate(table.itertuples()):
            yield _row("copies", edit, share, item, row.found, 1, row.alarm)
    for sigma in tqdm(SIGMAS, desc="noise"):
        table = difficulty.detect_noise(clips, sigma)
        for item, found in enumerate(table["found"]):
            yield _row("noise", "white noise", sigma, item, found, 1, found and not sigma)


def bot_rows() -> Iterator[dict[str, object]]:
    """Bots, one row for each detector and disguise."""
    for seed in (0, SEED):
        log = make_tables(world_config(seed=seed))[1]["interactions"]
        people = without_bots(log)
        for detector, disguise in product(DETECTORS, DISGUISES):
            accused = difficulty.detect_bots(people, disguise, detector)
            bots = accused.index.str.startswith("bot")
            counts = int(accused[bots].sum()), int(bots.sum()), int(accused[~bots].sum())
            yield {**_row("bots", detector, disguise, -1, *counts), "seed": seed}


def without_bots(log: pd.DataFrame) -> pd.DataFrame:
    """Drop the users whom the rules accuse, which are the planted bots."""
    bots = preprocessing.find_bots(log)
    return log[~log["user_id"].isin(bots.index[bots["flagged"]])]


def whole_rows() -> Iterator[dict[str, object]]:
    """Clean whole worlds, one row for each kind of planted dirt."""
    for seed in WHOLE:
        with tempfile.TemporaryDirectory() as folder:
            library = datasets.load_folder(build("small", seed, folder))
            _, report = preprocessing.clean(library)
            scores = truth.load(library.root).score_report(report.frame)
        for problem, precision, recall, n in scores.itertuples():
            hits = round(recall * n)
            alarms = round(hits / precision) - hits if precision else int(n)
            yield {**_row("whole", problem, np.nan, -1, hits, int(n), alarms), "seed": seed}


def _row(
    detector: str, kind: str, level: float, item: int, found: int, of: int, alarms: int
) -> dict[str, object]:
    counts = {"item": item, "found": int(found), "of": int(of), "alarms": int(alarms)}
    return {"seed": SEED, "detector": detector, "kind": kind, "level": level, **counts}


def main() -> None:
    """Measure everything and write the record."""
    table = pd.DataFrame([*clip_rows(), *bot_rows(), *whole_rows()])
    difficulty.RECORD.write_text(table.to_csv(index=False, float_format="%.4g"), encoding="utf-8")
    print(table.groupby(["detector", "kind", "level", "seed"])[["found", "of", "alarms"]].sum())
    print(table[table["detector"] == "whole"].to_string())


if __name__ == "__main__":
    main()
