"""How much fine-tuned vectors improve a content recommender, on several MiniTubes.

No claim about speed, but the table behind the last section of notebook 05. In each world a video
encoder is fine-tuned for four targets:

- motion, and motion and category as tags: what people wrote about the clips of two thirds of the
  subjects; nothing about the other third is used;
- the mean watch ratio in the training weeks, of all clips that have one;
- the mean watch percentile in the training weeks, of the same clips: the share of exposures to
  clips of like duration that were watched less long.

The vectors, and those of both networks side by side, go into the content recommender. The learning
rate is chosen by NDCG@10 on the validation part of a split in time; on the test part the chosen one
is compared with the vectors as they came, user by user. Two controls tell what the labels and the
training owe to each other:

- "motion, probe": the same labels without fine-tuning. In place of tuned vectors stand the class
  probabilities of a probe;
- "shuffled motion, full": the same fine-tuning without what the labels say, which are exchanged
  among the clips at random.

    python benchmarks/fine_tuned_recommendations.py --worlds 0 1 2 --minutes 10

goes on where the last run ended, and writes the record once all worlds are there. It takes about a
quarter of an hour a world on one core; several processes may take different worlds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from side_by_side import Option, options

from vidrec_utils import datasets, minitube, preprocessing, settings, video_encoders
from vidrec_utils import transfer_learning as tl
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.encoders import Tunable
from vidrec_utils.evaluation import Result, compare, evaluate
from vidrec_utils.files import write_atomically
from vidrec_utils.hybrid import read_clips
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.config import VERSION
from vidrec_utils.transfer_learning import checkpoints
from vidrec_utils.transfer_learning.budget import write_record

WORLDS = (0, 1, 2, 3, 4)
ASKED = (
    ("motion", "partial"), ("motion", "full"), ("tags", "partial"), ("tags", "full"),
    ("watch ratio", "partial"), ("watch ratio", "full"),
    ("watch percentile", "partial"), ("watch percentile", "full"),
    ("motion", "probe"), ("shuffled motion", "full"),
)  # fmt: skip
"""Targets and strategies; the last two are controls."""
EPOCHS = 8
RATES = {
    "partial": (3e-4, 1e-3, 3e-3, 1e-2),
    "full": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "probe": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
}
"""Highest learning rates of the backbone, or of a probe's head, from which validation chooses."""


@dataclass(frozen=True)
class World:
    """One MiniTube, its clips as the encoder wants them, and what a network is asked about them."""

    seed: int
    encoder: Tunable
    clips: dict[str, Any]
    split: datasets.Split
    labels: dict[str, pd.Series]

    def result(self, vectors: pd.DataFrame, on: str) -> Result:
        """Evaluate the content recommender with some vectors."""
        model = ContentRecommender(vectors)
        return evaluate(model.fit(self.split), self.split, on=on, seed=self.seed)


def world(seed: int) -> World:
    """Render it if it is missing, clean it, divide it."""
    library, _ = preprocessing.clean(datasets.load_folder(minitube.build(seed=seed)))
    read = read_clips(library, short="stretch")
    encoder = video_encoders.load("two_stream_mini", device="cpu")
    split = preprocessing.split_by_time(
        library.interactions, library.videos, validation=0.1, test=0.2
    )
    motion = preprocessing.clip_labels(library).dropna()
    subject = truth.load(library.root).videos["subject"].reindex(library.videos.index)
    known = tl.Trial(read, motion, subject, seed=seed).train  # the others have no labels here
    category = library.videos["category"].where(lambda c: c != "unknown").reindex(known).fillna("")
    mixed = np.random.default_rng(seed).permutation(motion[known])
    labels = {
        "motion": motion[known],
        "shuffled motion": pd.Series(mixed, known),
        "tags": motion[known] + "|" + category,
        "watch ratio": tl.mean_watch_ratio(split.train).reindex(library.videos.index).dropna(),
        "watch percentile": tl.mean_percentile(split.train, split.videos)
        .reindex(library.videos.index)
        .dropna(),
    }
    return World(seed, encoder, tl.prepare_once(encoder, read, progress=False), split, labels)


def gains(here: World, target: str, strategy: str) -> Iterator[dict[str, Any]]:
    """Rows of one target and strategy: each rate on validation, then the chosen ones on test."""
    came = tl.vectors_of(here.encoder, here.clips)
    before = {on: here.result(came, on) for on in ("validation", "test")}
    tried: dict[str, list[tuple[float, dict, pd.DataFrame]]] = {"tuned": [], "both": []}
    for rate in RATES[strategy]:
        labels, began = here.labels[target], time.perf_counter()
        probing = strategy == "probe"
        numbers = {"head_rate": rate} if probing else {"backbone_rate": rate, "epochs": EPOCHS}
        model = tl.fine_tune(
            here.encoder, here.clips, labels, strategy, seed=here.seed, progress=False,
            task="multi" if target == "tags" else "auto", **numbers,
        )  # fmt: skip
        if probing:
            tuned = model.probabilities(pd.Series(here.clips))
        else:
            tuned = tl.vectors_of(model.encoder, here.clips)
        run = {"world": here.seed, "target": target, "strategy": strategy, "n": len(labels),
                "numbers": numbers,
                "seconds": round(time.perf_counter() - began, 1)}  # fmt: skip
        for name, made in (("tuned", tuned), ("both", tl.side_by_side(came, tuned))):
            row = run | {"vectors": name} | difference(here, made, before, "validation")
            yield row
            tried[name].append((row["ndcg"], run, made))
    for name, runs in tried.items():
        _, run, made = max(runs, key=lambda one: one[0])
        yield run | {"vectors": name} | difference(here, made, before, "test")


def difference(
    here: World, vectors: pd.DataFrame, before: dict[str, Result], on: str
) -> dict[str, Any]:
    """NDCG@10 with some vectors, and by how much it is more than before, on the same users."""
    after = here.result(vectors, on)
    comparison = compare(after, before[on], seed=here.seed)
    return {
        "split": on, "before": before[on].interval("ndcg")[0], "ndcg": after.interval("ndcg")[0],
        "more": comparison.difference, "low": comparison.low, "high": comparison.high,
        "users": comparison.n_users,
    }  # fmt: skip


def measure(seeds: list[int], minutes: float) -> None:
    """Measure for some minutes; the record is written once all worlds are there."""
    began = time.monotonic()
    for seed in seeds:
        here = None
        for target, strategy in ASKED:
            part = part_of(seed, target, strategy)
            if part.is_file():
                continue
            here = here or world(seed)
            rows = list(gains(here, target, strategy))
            for row in rows:
                print(*(f"{n}={v}" for n, v in row.items()), flush=True)
            write_atomically(part, json.dumps(rows))
            if time.monotonic() - began > 60 * minutes:
                raise SystemExit("Not all is done yet; run the same command again to go on.")
    files = [part_of(seed, *asked) for seed in WORLDS for asked in ASKED]
    if not all(file.is_file() for file in files):
        print("These worlds are done.")
        return
    rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    write_record(tl.GAINS, "python benchmarks/fine_tuned_recommendations.py", rows)
    print("All is done.")


def part_of(seed: int, target: str, strategy: str) -> Path:
    """Where rows are kept; other settings have other files."""
    how = checkpoints.digest(EPOCHS, RATES[strategy])
    folder = settings.cache_dir() / f"recommendation-gains-{VERSION}"
    return folder / f"{seed}-{target}-{strategy}-{how}.json"


def main() -> None:
    worlds, minutes = Option(list(WORLDS), choices=WORLDS), Option(240.0, "of this run")
    chosen = options(__doc__, worlds=worlds, minutes=minutes)
    torch.set_num_threads(1)
    measure(chosen.worlds, chosen.minutes)


if __name__ == "__main__":
    main()
