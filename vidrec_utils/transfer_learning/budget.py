"""How much labelled data do I need? Accuracy on unseen groups against labels per class.

`label_budget` measures it for any clips; `recorded` gives what it found on MiniTube, which takes
the better part of an hour on one core and so is not computed in the notebook. The command is
`python benchmarks/fine_tuning.py --budget`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vidrec_utils.transfer_learning.splitting import few, hold_out
from vidrec_utils.transfer_learning.tuning import fine_tune

RECORD = Path(__file__).parent / "label_budget.json"


@dataclass(frozen=True)
class Way:
    """One way to spend labels.

    Attributes
    ----------
    load : callable
        Of a seed, the encoder to start from.
    strategy : str
        See `strategies`.
    numbers : dict
        For `fine_tune`.
    """

    load: Callable[[int], Any]
    strategy: str
    numbers: dict[str, Any] = field(default_factory=dict)


def label_budget(
    ways: dict[str, Way],
    clips: Sequence,
    labels: Sequence,
    groups: Sequence | None = None,
    budgets: Iterable[int | None] = (1, 2, 5, 10, None),
    seeds: Iterable[int] = (0, 1, 2),
    test: float = 0.35,
    done: pd.DataFrame | None = None,
    checkpoints: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Train with few and with many labels, and test on groups that no training saw.

    Parameters
    ----------
    ways : dict
        By name.
    clips, labels, groups : sequence, n
        As for `fine_tune`.
    budgets : iterable of int or None
        Clips per class; None: all that are not held out.
    seeds : iterable of int
        Of the split, of the choice of clips, and of training. Ways with the same seed and budget
        have the same clips.
    test : float
        Share that is held out.
    done : DataFrame, optional
        Rows of an earlier run; they are passed over.
    checkpoints : Path, optional
        A folder, so that a run which was cut off goes on from its last epoch.

    Yields
    ------
    dict
        `way, per_class` (0: all)`, seed, n` (clips trained on)`, right, tested, accuracy, seconds`.
    """
    labels = np.asarray(labels)
    every = np.asarray(groups) if groups is not None else np.arange(len(labels))
    known = set()
    if done is not None and len(done):
        known = set(zip(done["way"], done["per_class"], done["seed"], strict=True))
    for seed in seeds:
        train, held = hold_out(labels.tolist(), test, every, seed)
        for budget in budgets:
            rows = train[few(labels[train], budget, every[train], seed)]
            for name, way in ways.items():
                if (name, budget or 0, seed) in known:
                    continue
                began = time.perf_counter()
                file = f"{name} {budget or 0} {seed}.safetensors"
                model = fine_tune(
                    way.load(seed), [clips[r] for r in rows], labels[rows].tolist(), way.strategy,
                    progress=False, seed=seed, **way.numbers,
                    checkpoint=None if checkpoints is None else checkpoints / file,
                )  # fmt: skip
                right = int((model.predict([clips[r] for r in held]) == labels[held]).sum())
                yield {
                    "way": name, "per_class": budget or 0, "seed": seed, "n": len(rows),
                    "right": right, "tested": len(held), "accuracy": right / len(held),
                    "seconds": round(time.perf_counter() - began, 1),
                }  # fmt: skip


def recorded(path: Path = RECORD) -> pd.DataFrame:
    """The table that was measured on MiniTube, a row a run; see `label_budget`.

    `target` tells what the labels were; `.attrs["command"]` what was run for it.
    """
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    frame = pd.DataFrame(told["rows"])
    frame.attrs["command"] = told["command"]
    return frame
