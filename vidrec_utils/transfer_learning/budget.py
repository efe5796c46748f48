"""How much labelled data do I need? Accuracy on unseen groups against labels per class.

`label_budget` measures it for any clips; `recorded` reads what it measured on MiniTube, which takes
two hours on one core and so is not computed in the notebook. The command is
`python benchmarks/fine_tuning.py --budget`. A record may be older than the MiniTube of today;
`print_provenance` says on which version it was measured.
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

from vidrec_utils import minitube
from vidrec_utils.encoders import Tunable
from vidrec_utils.files import write_atomically
from vidrec_utils.intervals import cluster_codes
from vidrec_utils.transfer_learning.checkpoints import current_names
from vidrec_utils.transfer_learning.fine_tuning import fine_tune
from vidrec_utils.transfer_learning.holdout import few, hold_out

RECORD = Path(__file__).parent / "label_budget.json"
GAINS = Path(__file__).parent / "recommendation_gains.json"
"""What `benchmarks/fine_tuned_recommendations.py` measured on five MiniTubes."""
FORMER = {3: "whose clips all lasted two seconds"}
"""What sets a former version of MiniTube apart, by the version of its `minitube.config`."""


@dataclass(frozen=True)
class Way:
    """One way to spend labels.

    Attributes
    ----------
    load : callable
        Takes a seed and returns the encoder to start from.
    strategy : str
        See `strategies`.
    numbers : dict
        Numbers for `fine_tune`.
    choices : tuple of dict
        More numbers for `fine_tune`, one of which is chosen for each seed, on groups that are
        held out of that seed's training clips.
    probe_first : bool
        Whether a probe is trained on the same clips first, from whose head training begins.

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> way = Way(lambda seed: video_encoders.load("slowfast_mini"), "probe", {"epochs": 5})
    >>> way.strategy, way.numbers
    ('probe', {'epochs': 5})
    """

    load: Callable[[int], Tunable]
    strategy: str
    numbers: dict[str, Any] = field(default_factory=dict)
    choices: tuple[dict[str, Any], ...] = ()
    probe_first: bool = False


def label_budget(
    ways: dict[str, Way],
    clips: Sequence,
    labels: Sequence,
    groups: Sequence | None = None,
    budgets: Iterable[int | None] = (1, 2, 5, 10, None),
    seeds: Iterable[int] = (0, 1, 2),
    test: float = 0.35,
    tried_on: Iterable[int | None] = (5, None),
    kinds: Sequence | None = None,
    done: pd.DataFrame | None = None,
    checkpoints: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Train with few and with many labels, and test on groups that no training saw.

    Where a way has choices, the training clips are divided once more, and the choice whose accuracy
    there is highest, on average over `tried_on`, is the one that is tested; of equals, the first.

    Parameters
    ----------
    ways : dict
        Ways by name.
    clips, labels, groups : sequence, n
        As for `fine_tune`.
    budgets : iterable of int or None
        Clips per class; None: all that are not held out.
    seeds : iterable of int
        The division, the choice of clips and training are drawn with each of these. Ways with the
        same seed and budget have the same clips.
    test : float
        Share that is held out: of all clips for the test, of the rest for choosing.
    tried_on : iterable of int or None
        Budgets with which choices are compared.
    kinds : sequence of str, n, optional
        What the clips are told apart by afterwards, such as the language of a title.
    done : DataFrame, optional
        Rows of an earlier run. Those that belong here are yielded unchanged, not measured again.
    checkpoints : Path, optional
        A folder, so that a run which was interrupted goes on from its last epoch.

    Yields
    ------
    dict
        `way`, `split` ("validation": a choice that was tried; "test"), `per_class` (0: all),
        `seed`, `numbers`, `n` (clips trained on), `right`, `tested`, `accuracy`, `constant`
        (accuracy of always predicting the most frequent training class), `seconds`. Of each
        tested clip, for intervals: `hits` (a text of 1 and 0, right or wrong), `group` (a number)
        and `kind`; these are empty for the split "validation", `kind` also without `kinds`.

    Examples
    --------
    Six clips that are dark or bright, two of each for training and one for the test:

    >>> from vidrec_utils import video_encoders
    >>> encoder = video_encoders.load("slowfast_mini", device="cpu")
    >>> ways = {"probe": Way(lambda seed: encoder, "probe")}
    >>> shades = (10, 20, 30, 230, 240, 250)
    >>> clips = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in shades]
    >>> labels = ["dark"] * 3 + ["bright"] * 3
    >>> (row,) = label_budget(ways, clips, labels, budgets=[None], seeds=[0])
    >>> row["way"], row["n"], row["tested"], row["right"]
    ('probe', 4, 2, 2)
    """
    labels = np.asarray(labels)
    groups = np.asarray(groups) if groups is not None else np.arange(len(labels))
    known = {_key(row): row for row in ([] if done is None else done.to_dict("records"))}
    clips = [clips[row] for row in range(len(labels))]
    codes = cluster_codes(groups, len(labels))
    kinds = None if kinds is None else np.asarray(kinds)

    def measured(name: str, split: str, per_class: int | None, numbers: dict) -> dict[str, Any]:
        run = {"way": name, "split": split, "per_class": per_class or 0, "seed": seed,
               "numbers": numbers}  # fmt: skip
        rows = rows_of[split]
        row = known.get(_key(run))
        if row is None:
            row = run | _measure(run, ways[name], clips, labels, groups, *rows, checkpoints)
            held = rows[1] if split == "test" else []  # their clips are described one by one
            row["hits"] = row["hits"] if split == "test" else ""
            row["group"] = codes[held].tolist() if len(held) else []
            row["kind"] = kinds[held].tolist() if kinds is not None and len(held) else []
        return row

    for seed in seeds:
        train, held = hold_out(labels.tolist(), test, groups, seed)
        inner, chosen_on = hold_out(labels[train].tolist(), test, groups[train], seed)
        rows_of = {"validation": (train[inner], train[chosen_on]), "test": (train, held)}
        chosen = {}
        for name, way in ways.items():
            scores = []  # of each choice, by budget
            for choice in way.choices:
                scores.append([])
                for budget in tried_on:
                    row = measured(name, "validation", budget, way.numbers | choice)
                    yield row
                    scores[-1].append(row["accuracy"])
            best = np.argmax(np.mean(scores, axis=1)) if scores else None
            chosen[name] = way.numbers | ({} if best is None else way.choices[best])
        for budget in budgets:
            for name in ways:
                yield measured(name, "test", budget, chosen[name])


def _measure(
    run: dict[str, Any],
    way: Way,
    clips: list,
    labels: np.ndarray,
    groups: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    checkpoints: Path | None,
) -> dict[str, Any]:
    """Train and test once, and return the columns of the table that were measured."""
    rows = train[few(labels[train], run["per_class"] or None, groups[train], run["seed"])]
    numbers = [f"{name} {value}" for name, value in run["numbers"].items()]
    named = [run["way"], run["split"], str(run["per_class"]), str(run["seed"]), *numbers]
    began = time.perf_counter()
    encoder, taught = way.load(run["seed"]), ([clips[r] for r in rows], labels[rows].tolist())
    options = {"progress": False, "seed": run["seed"]}
    first = fine_tune(encoder, *taught, "probe", **options) if way.probe_first else None
    model = fine_tune(
        encoder, *taught, way.strategy, first=first, **options, **run["numbers"],
        checkpoint=checkpoints and checkpoints / f"{' '.join(named)}.safetensors",
    )  # fmt: skip
    hits = np.asarray(model.predict([clips[r] for r in held])) == labels[held]  # (tested,)
    right = int(hits.sum())
    return {
        "n": len(rows), "right": right, "tested": len(held), "accuracy": right / len(held),
        "hits": "".join("01"[int(hit)] for hit in hits),
        "constant": constant_share(labels[rows], labels[held]),
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def constant_share(train: Sequence, test: Sequence) -> float:
    """Share of test labels that equal the most frequent training label; of equals, the first.

    Examples
    --------
    >>> constant_share(train=["b", "a", "b"], test=["a", "b", "a", "c"])
    0.25
    """
    return float((np.asarray(test) == pd.Series(train).mode()[0]).mean())


def _key(row: dict[str, Any]) -> tuple:
    """Key that identifies a run."""
    numbers = json.dumps(current_names(row["numbers"]), sort_keys=True)
    return row["way"], row["split"], row["per_class"], row["seed"], numbers


def write_record(
    path: Path, command: str, rows: Iterable[dict[str, Any]], world: int = minitube.VERSION
) -> None:
    """Write the table that `recorded` reads, one row a line.

    The command that measured it and the version of MiniTube (`world`) are written with it.
    """
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    head = f'"command": {json.dumps(command)}, "world": {world}'
    write_atomically(path, f'{{{head}, "rows": [\n  {lines}\n]}}\n')


def recorded(path: Path = RECORD, split: str = "test") -> pd.DataFrame:
    """Read a table that was measured on MiniTube, one row for each run; see `label_budget`.

    The split "validation" has the runs by which learning rates were chosen.

    Parameters
    ----------
    path : Path
        `RECORD` or `GAINS`.
    split : {"test", "validation"}
        Which rows.

    Returns
    -------
    DataFrame
        The column `target` names the labels; `.attrs["command"]` is the command that measured it,
        `.attrs["world"]` the version of MiniTube on which it was measured, or None if the record
        does not say. A table of a former version is returned like any other: it goes with
        `print_provenance`, and is not to be compared with what is measured today.

    Examples
    --------
    >>> table = recorded()
    >>> table.attrs["command"]
    'python benchmarks/fine_tuning.py --budget'
    >>> sorted(set(table["way"][table["target"] == "category from titles"]))
    ['LoRA', 'probe']
    """
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    frame = pd.DataFrame(record["rows"])
    frame = frame[frame["split"] == split].reset_index(drop=True)
    frame["numbers"] = frame["numbers"].map(current_names)
    frame.attrs["command"], frame.attrs["world"] = record["command"], record.get("world")
    return frame


def print_provenance(table: pd.DataFrame, version: int = minitube.VERSION) -> None:
    """Print which command measured a recorded table, and on which MiniTube.

    Parameters
    ----------
    table : DataFrame
        See `recorded`.
    version : int
        The version of MiniTube that is in use.

    Examples
    --------
    >>> table = pd.DataFrame()
    >>> table.attrs = {"command": "python measure.py", "world": 3}
    >>> print_provenance(table, version=3)
    Recorded with `python measure.py` on MiniTube version 3.
    >>> print_provenance(table, version=4)
    Recorded with `python measure.py` on MiniTube version 3, whose clips all lasted two seconds.
    Today's MiniTube is version 4: do not compare these numbers with those that are computed here.
    """
    command, world = table.attrs["command"], table.attrs["world"]
    name = "a MiniTube of unknown version" if world is None else f"MiniTube version {world}"
    origin = f"Recorded with `{command}` on {name}"
    if world == version:
        print(f"{origin}.")
        return
    difference = f", {FORMER[world]}" if world in FORMER else ""
    print(f"{origin}{difference}.")
    print(
        f"Today's MiniTube is version {version}: do not compare these numbers with those that are "
        "computed here."
    )
