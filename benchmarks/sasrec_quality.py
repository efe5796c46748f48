"""Our SASRec and RecTools' on three public sets: same events, settings and early stopping.

Each user's last event is the test, the one before it the validation part, on which both stop early
by the same rule; the history that is read for the test holds the validation event. All items that
the user has not seen are ranked. Width, length, blocks, heads, dropout, rate, batch and epochs are
the same; what is not fixed is as each library has it by default.

    python benchmarks/sasrec_quality.py --movielens PATH --kuairand PATH --recbole WHEEL \
        --rectools PYTHON --results build/sasrec.jsonl

Each run is one line of the results, so that a run that was broken off goes on where it was; only
what is missing is computed. The table holds NDCG@10: means over users and seeds, the paired
difference with its 95% interval over users (each user's difference is the mean of the seeds), and
the range of the seeds' own differences. It fails where the interval reaches below -.002.

RecTools lives in an environment of its own (`requirements.txt`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from reference_quality import kuairand, last_out, movielens_100k, movielens_small

from vidrec_utils.behavior_based import SASRec
from vidrec_utils.datasets import VideoLibrary

K = 10
MARGIN = 0.002
SETTINGS: dict[str, Any] = {"length": 50, "dim": 64, "heads": 2, "layers": 2, "dropout": 0.2}
SETTINGS |= {"batch_size": 32, "learning_rate": 1e-3, "epochs": 60, "patience": 6}
SHORT = {"KuaiRand-Pure": 20}
"""Where nearly all histories are shorter, so is what is read: RecTools computes its padding."""


def five_core(frame: pd.DataFrame) -> pd.DataFrame:
    """Users and items with at least five events each."""
    for _ in range(20):
        kept = frame.groupby("user")["item"].transform("size") >= 5
        kept &= frame.groupby("item")["user"].transform("size") >= 5
        frame = frame[kept]
    return frame


def sets(given: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """Events of each set in order of time, `user` and `item` numbered from 0."""
    frames = {
        "MovieLens-100K": movielens_100k(given.recbole),
        "MovieLens-latest-small": movielens_small(given.movielens),
        "KuaiRand-Pure": kuairand(given.kuairand),
    }
    numbered = {}
    for name, frame in frames.items():
        if given.sets and name not in given.sets:
            continue
        events = five_core(frame).sort_values("time", kind="stable").reset_index(drop=True)
        numbers = {column: pd.factorize(events[column], sort=True)[0] for column in events}
        numbered[name] = pd.DataFrame(numbers)
    return numbered


def lists_of_rectools(
    given: argparse.Namespace, train: pd.DataFrame, options: dict[str, Any]
) -> dict[str, Any]:
    """Lists `(users, K)` of RecTools, in a process of its own, and the NDCG by epoch."""
    held_out = ~train.duplicated("user", keep="last")
    script = Path(__file__).with_name("rectools_sasrec.py")
    with tempfile.TemporaryDirectory() as folder:
        task, answer = Path(folder) / "task.npz", Path(folder) / "answer.npz"
        shape = (int(train["user"].max()) + 1, int(train["item"].max()) + 1)
        events = {"users": train["user"], "items": train["item"], "validation": held_out}
        np.savez(task, **events, **options, shape=shape, k=K, net=given.net)
        subprocess.run([given.rectools, script, task, answer], check=True, capture_output=True)
        arrays = np.load(answer)
        return {"lists": arrays["lists"], "history": arrays["ndcg"].tolist()}


def gains(lists: np.ndarray, test: pd.DataFrame) -> np.ndarray:
    """NDCG@K of each test event, one for a user, `(users,)`."""
    target = test.sort_values("user")["item"].to_numpy()
    hits = lists == target[:, None]
    return np.where(hits.any(axis=1), 1 / np.log2(hits.argmax(axis=1) + 2), 0.0)


def run(
    given: argparse.Namespace, by: str, events: pd.DataFrame, options: dict[str, Any]
) -> dict[str, Any]:
    """Lists of one model after one training, measured."""
    train, test = last_out(events)
    start = time.perf_counter()
    result = MAKERS[by](given, train, options)
    history = result["history"]
    return {
        "epochs": len(history),
        "best": int(np.argmax(history)) + 1,
        "validation": float(np.max(history)),
        "seconds": round(time.perf_counter() - start, 1),
        "ndcg": np.round(gains(result["lists"], test), 4).tolist(),
    }


def lists_of_ours(
    given: argparse.Namespace, train: pd.DataFrame, options: dict[str, Any]
) -> dict[str, Any]:
    """Lists `(users, K)` of our SASRec, and the NDCG by epoch."""
    videos = pd.DataFrame(index=pd.Index(np.arange(train["item"].max() + 1).astype(str)))
    interactions = pd.DataFrame(
        {
            "user_id": train["user"].astype(str).to_numpy(),
            "video_id": train["item"].astype(str).to_numpy(),
            "timestamp": pd.to_datetime(np.arange(len(train)), unit="s", utc=True),
            "watch_ratio": 1.0,
        }
    )
    model = SASRec(**options, **json.loads(given.ours), held_out=1.0, progress=False)
    model.fit(VideoLibrary(videos=videos, interactions=interactions))
    users = np.arange(train["user"].max() + 1).astype(str)
    columns = model.best(users, K)[0]
    items = model.video_ids.to_numpy().astype(int)
    history = model.training_history["ndcg"].tolist()
    return {"lists": np.where(columns < 0, -1, items[columns]), "history": history}


MAKERS = {"ours": lists_of_ours, "RecTools": lists_of_rectools}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--movielens", required=True, help="folder of MovieLens-latest-small")
    parser.add_argument("--kuairand", required=True, help="folder of KuaiRand-Pure")
    parser.add_argument("--recbole", help="wheel that holds MovieLens-100K")
    parser.add_argument("--rectools", help="Python that has RecTools")
    parser.add_argument("--net", default="", help="pre: RecTools' pre-norm layers")
    parser.add_argument("--ours", default="{}", help="other arguments of ours, as JSON")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--only", nargs="*", default=[])
    return parser.parse_args()


def main() -> None:
    given = options()
    done = set()
    if given.results.exists():
        lines = [json.loads(line) for line in given.results.read_text("utf-8").splitlines()]
        done = {(line["set"], line["by"], line["seed"]) for line in lines}
    for seed in given.seeds:
        for name, events in sets(given).items():
            for by in given.only or MAKERS:
                if (name, by, seed) in done:
                    continue
                length = SHORT.get(name, SETTINGS["length"])
                task = {**SETTINGS, "length": length, "seed": seed}
                result = {"set": name, "by": by, "seed": seed, **run(given, by, events, task)}
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(name, by, seed, result["epochs"], np.mean(result["ndcg"]), flush=True)


if __name__ == "__main__":
    main()
