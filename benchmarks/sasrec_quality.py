"""Our SASRec and RecTools' on three public sets: same events, settings and early stopping.

Each user's last events are the test (five on MovieLens, where histories are long, one on
KuaiRand), and the one before them is the validation part, on which both stop early by the same
rule. Every test event is to be found from the events before it, among all items that the user has
not seen by then. Length, width, blocks, heads, dropout, rate, batch and epochs are the same; what
is not fixed is as each library has it by default.

    python benchmarks/sasrec_quality.py --movielens PATH --kuairand PATH --recbole WHEEL \
        --rectools PYTHON

Each run is one line of `--results`, so a run that was broken off goes on where it was. The table
shows NDCG@10, means over users and seeds, and the paired difference with its 95% interval over
users (a user's value is the mean of their test events and of the seeds). It fails where the
interval reaches below -.002.

RecTools lives in an environment of its own (`requirements.txt`).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from reference_quality import kuairand, movielens_100k, movielens_small
from side_by_side import Option, options

from vidrec_utils.behavior_based import SASRec
from vidrec_utils.behavior_based.sasrec import last_events
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.settings import build_dir
from vidrec_utils.top_k import top_k

K = 10
MARGIN = 0.002
SETTINGS: dict[str, Any] = {"length": 30, "dim": 64, "heads": 2, "layers": 2, "dropout": 0.2}
SETTINGS |= {"batch_size": 16, "learning_rate": 1e-3, "epochs": 60, "patience": 8}
SETS: dict[str, dict[str, int]] = {
    "MovieLens-100K": {"least": 20, "test": 5},
    "MovieLens-latest-small": {"least": 20, "test": 5, "patience": 20},
    "KuaiRand-Pure": {"least": 5, "test": 1, "length": 10, "batch_size": 64, "patience": 20},
}
"""By set: the fewest events that an item has, test events of each user, and settings of its own.

Nearly all histories of KuaiRand are shorter than 10, and RecTools computes its padding, too. There
RecTools starts near popularity and stays on that level for some epochs: both wait longer.
"""


def load(name: str, chosen: SimpleNamespace) -> pd.DataFrame:
    """Events of a set in order of time, `user` and `item` numbered from 0.

    Items have at least `least` events, and users at least three beyond their test events.
    """
    if name == "MovieLens-100K":
        frame = movielens_100k(chosen.recbole)
    elif name == "MovieLens-latest-small":
        frame = movielens_small(chosen.movielens)
    else:
        frame = kuairand(chosen.kuairand)
    for _ in range(20):
        kept = frame.groupby("item")["user"].transform("size") >= SETS[name]["least"]
        kept &= frame.groupby("user")["item"].transform("size") >= SETS[name]["test"] + 3
        frame = frame[kept]
    frame = frame.sort_values("time", kind="stable").reset_index(drop=True)
    return pd.DataFrame({c: pd.factorize(frame[c], sort=True)[0] for c in ("user", "item")})


class Questions:
    """Histories, each with the item that comes next.

    Attributes
    ----------
    train : DataFrame
        Events before the test ones, the validation events among them.
    user, target : ndarray of int64, shape (n,)
        The user and the item of each test event.
    history : DataFrame
        The events before each test event, `user` being the number of the question.
    """

    def __init__(self, events: pd.DataFrame, n_test: int):
        back = events.groupby("user").cumcount(ascending=False).to_numpy()  # 0: the last one
        self.train = events[back >= n_test].reset_index(drop=True)
        test = events[back < n_test]
        self.user, self.target = test["user"].to_numpy(), test["item"].to_numpy()
        questions = pd.DataFrame({"user": self.user, "asked": back[back < n_test]})
        questions["question"] = np.arange(len(questions))
        pairs = events.assign(back=back).merge(questions, on="user")
        pairs = pairs[pairs["back"] > pairs["asked"]]
        pairs = pairs.sort_values(["question", "back"], ascending=[True, False])
        self.history = pd.DataFrame({"user": pairs["question"], "item": pairs["item"]})
        self.shape = (int(events["user"].max()) + 1, int(events["item"].max()) + 1)

    def gains(self, lists: np.ndarray) -> np.ndarray:
        """NDCG@K of each user, the mean of their questions, from lists `(n, K)`."""
        hits = lists == self.target[:, None]
        gain = np.where(hits.any(axis=1), 1 / np.log2(hits.argmax(axis=1) + 2), 0.0)
        return np.bincount(self.user, gain) / np.bincount(self.user)


# --- models: functions from questions and settings to lists `(n, K)` and the NDCG by epoch ------

Answer = tuple[np.ndarray, list[float]]


def ours(questions: Questions, task: dict[str, Any], chosen: SimpleNamespace) -> Answer:
    events = questions.train
    interactions = pd.DataFrame(
        {
            "user_id": events["user"].astype(str),
            "video_id": events["item"].astype(str),
            "timestamp": pd.to_datetime(np.arange(len(events)), unit="s", utc=True),
            "watch_ratio": 1.0,
        }
    )
    videos = pd.DataFrame(index=pd.Index(np.arange(questions.shape[1]).astype(str)))
    model = SASRec(**task, held_out=1.0, progress=False)
    model.fit(VideoLibrary(videos=videos, interactions=interactions))
    history = questions.history
    n = len(questions.target)
    read = last_events(history["user"].to_numpy(), history["item"].to_numpy(), n, model.length)
    scores = model._predict(read)  # the columns are the numbers of the items
    scores[history["user"], history["item"]] = -np.inf
    return top_k(scores, K), model.training_history["ndcg"].tolist()


def rectools(questions: Questions, task: dict[str, Any], chosen: SimpleNamespace) -> Answer:
    events, history = questions.train, questions.history
    script = Path(__file__).with_name("rectools_sasrec.py")
    with tempfile.TemporaryDirectory() as folder:
        file, answer = Path(folder) / "task.npz", Path(folder) / "answer.npz"
        np.savez(
            file,
            users=events["user"],
            items=events["item"],
            validation=~events.duplicated("user", keep="last"),
            asked_users=history["user"],
            asked_items=history["item"],
            shape=questions.shape,
            k=K,
            **task,
        )
        subprocess.run([chosen.rectools, script, file, answer], check=True, capture_output=True)
        arrays = np.load(answer)
        return arrays["lists"], arrays["ndcg"].tolist()


MODELS: dict[str, Callable[..., Answer]] = {"ours": ours, "RecTools": rectools}


def run(name: str, by: str, seed: int, chosen: SimpleNamespace) -> dict[str, Any]:
    """One training, measured."""
    own = SETS[name]
    questions = Questions(load(name, chosen), own["test"])
    task = {**SETTINGS, "seed": seed}
    task |= {key: value for key, value in own.items() if key in SETTINGS}
    task |= json.loads(chosen.more)
    start = time.perf_counter()
    lists, history = MODELS[by](questions, task, chosen)
    return {
        "set": name,
        "by": by,
        "seed": seed,
        "epochs": len(history),
        "best": int(np.argmax(history)) + 1,
        "validation": np.round(history, 4).tolist(),
        "seconds": round(time.perf_counter() - start, 1),
        "events": len(questions.train),
        "items": questions.shape[1],
        "ndcg": np.round(questions.gains(lists), 5).tolist(),
    }


def table(results: list[dict[str, Any]]) -> bool:
    """Print what was measured; True if ours is nowhere behind by more than the margin."""
    good = True
    for name in SETS:
        each = {by: [r for r in results if (r["set"], r["by"]) == (name, by)] for by in MODELS}
        if not all(each.values()):
            continue
        by_user = {by: np.mean([r["ndcg"] for r in each[by]], axis=0) for by in MODELS}
        difference = by_user["ours"] - by_user["RecTools"]
        error = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
        low, high = difference.mean() - error, difference.mean() + error
        good &= low > -MARGIN
        print(f"\n{name}: {len(difference):,} users")
        for by in MODELS:
            means = [np.mean(r["ndcg"]) for r in each[by]]
            best = [r["best"] for r in each[by]]
            spread = np.std(means, ddof=1) if len(means) > 1 else 0.0
            print(
                f"  {by:9s} {np.mean(means):.4f} ± {spread:.4f}, {len(means)} seeds, epochs {best}"
            )
        print(f"  ours minus RecTools {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]")
    return good


def main() -> None:
    chosen = options(
        __doc__,
        movielens=Option(None, "folder of MovieLens-latest-small"),
        kuairand=Option(None, "folder of KuaiRand-Pure"),
        recbole=Option(None, "wheel of recbole, if it is not installed"),
        rectools=Option(None, "the Python that has RecTools"),
        seeds=[0, 1, 2, 3, 4],
        sets=Option(list(SETS), "default: all", SETS),
        only=Option(list(MODELS), "default: both", MODELS),
        more=Option("{}", "further settings of these models, as JSON"),
        results=Option(str(build_dir() / "sasrec_quality.jsonl"), "where runs are kept"),
    )
    file = Path(chosen.results)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    results = [json.loads(line) for line in lines]
    done = {(r["set"], r["by"], r["seed"]) for r in results}
    for seed in chosen.seeds:
        for name in chosen.sets:
            for by in chosen.only:
                if (name, by, seed) in done:
                    continue
                result = run(name, by, seed, chosen)
                results.append(result)
                with file.open("a", encoding="utf-8") as target:
                    target.write(json.dumps(result) + "\n")
                shown = f"{name}, {by}, seed {seed}: {np.mean(result['ndcg']):.4f} after"
                print(f"{shown} {result['best']} of {result['epochs']} epochs", flush=True)
    if not table(results):
        raise SystemExit("Ours is behind RecTools, or may be, by more than the margin.")


if __name__ == "__main__":
    main()
