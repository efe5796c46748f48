"""SASRec of RecTools, in an environment of its own: reads a task, writes scores of all pairs.

`reference_quality.py` runs it with the Python that has RecTools, which needs older versions of
NumPy and pandas than the course. A task is an `.npz` with `users` and `items` (the events, numbered
from 0, in order of time), `shape` (users, items), `seed` and the settings; the answer is one `.npy`
of float32 `(users, items)`.

    PYTHON_WITH_RECTOOLS benchmarks/rectools_sasrec.py TASK.npz SCORES.npy
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main(task: str, answer: str) -> None:
    settings = np.load(task)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    seed_everything(int(settings["seed"]))
    events = pd.DataFrame({Columns.User: settings["users"], Columns.Item: settings["items"]})
    events[Columns.Weight] = 1.0
    events[Columns.Datetime] = pd.to_datetime(np.arange(len(events)), unit="s")
    data = Dataset.construct(events)
    epochs = int(settings["epochs"])
    model = SASRecModel(
        n_blocks=int(settings["layers"]),
        n_heads=int(settings["heads"]),
        n_factors=int(settings["dim"]),
        dropout_rate=float(settings["dropout"]),
        session_max_len=int(settings["length"]),
        lr=float(settings["learning_rate"]),
        batch_size=int(settings["batch_size"]),
        loss="softmax",
        epochs=epochs,
        get_trainer_func=lambda: Trainer(
            max_epochs=epochs,
            min_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    model.fit(data)
    scores = np.full(settings["shape"], -np.inf, dtype=np.float32)  # no event, no score
    users = np.unique(settings["users"])
    answers = model.recommend(users, data, k=data.item_id_map.size, filter_viewed=False)
    scores[answers[Columns.User], answers[Columns.Item]] = answers[Columns.Score]
    np.save(answer, scores)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of an old pandas about itself; nothing of ours runs here
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main(*sys.argv[1:])
