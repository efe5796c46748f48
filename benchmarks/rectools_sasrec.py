"""SASRec of RecTools, in an environment of its own: reads a task, writes scores or lists.

`reference_quality.py` and `sasrec_quality.py` run it with the Python that has RecTools, which needs
older versions of NumPy and pandas than the course. A task is an `.npz` with `users` and `items`
(the events, numbered from 0, in order of time), `shape` (users, items), `seed` and the settings;
the answer is an `.npz`:

- without `validation`: `scores`, float32 `(users, items)`, after `epochs` epochs;
- with `validation` (a truth value for each event: held out), `patience`, `k`, and questions
  (`asked_users`, `asked_items`: histories as events, users numbered from 0): `lists`, int64
  `(questions, k)` of items without those in the history, -1 where there is none, and `ndcg` of the
  validation part by epoch. Training ends when that has not risen for `patience` epochs, and the
  best weights are kept.

What a task does not fix is as RecTools has it by default. `net="pre"` takes its pre-norm layers.

    PYTHON_WITH_RECTOOLS benchmarks/rectools_sasrec.py TASK.npz ANSWER.npz
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import warnings

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class EarlyStopping(Callback):
    """Stop when NDCG@k of the held-out events has not risen for a while; keep the best weights."""

    def __init__(self, model: SASRecModel, events: pd.DataFrame, k: int, patience: int):
        self.model, self.events, self.k, self.patience = model, events, k, patience
        self.history: list[float] = []
        self.best: dict[str, torch.Tensor] = {}

    def on_validation_epoch_start(self, trainer: Trainer, module: torch.nn.Module) -> None:
        self.gains: list[torch.Tensor] = []
        data = self.model.data_preparator
        rows = data.val_interactions.sort_values(Columns.Datetime, kind="stable")
        self.order = pd.unique(rows[Columns.User])  # as the loader groups them
        users = data.train_dataset.user_id_map.convert_to_external(self.order)
        known = self.events[self.events[Columns.Item].isin(data.item_id_map.external_ids)]
        known = known.assign(item=data.item_id_map.convert_to_internal(known[Columns.Item]))
        of_user = {user: items.to_numpy() for user, items in known.groupby(Columns.User)["item"]}
        self.seen = [of_user[user] for user in users]

    def on_validation_batch_end(
        self, trainer: Trainer, module: torch.nn.Module, outputs: dict, batch: dict, batch_idx: int
    ) -> None:
        start = sum(map(len, self.gains))
        logits = outputs["logits"].reshape(len(batch["y"]), -1).clone()
        target = batch["y"][:, 0]
        own = logits[torch.arange(len(target)), target]
        logits[:, 0] = -torch.inf  # the padding
        for row, seen in enumerate(self.seen[start : start + len(target)]):
            logits[row, seen] = -torch.inf
        rank = (logits > own[:, None]).sum(dim=1)
        self.gains.append(torch.where(rank < self.k, 1 / torch.log2(rank + 2.0), 0.0))

    def on_validation_epoch_end(self, trainer: Trainer, module: torch.nn.Module) -> None:
        ndcg = float(torch.cat(self.gains).mean())
        if not self.history or ndcg > max(self.history):
            self.best = copy.deepcopy(module.torch_model.state_dict())
        self.history.append(ndcg)
        trainer.should_stop = len(self.history) - 1 - int(np.argmax(self.history)) >= self.patience


def layers(net: str) -> dict[str, object]:
    """The layers of the authors, which are the default, or those with the norm before each step."""
    if net == "pre":
        from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

        return {"transformer_layers_type": PreLNTransformerLayers}
    return {}


def dataset(users: np.ndarray, items: np.ndarray) -> tuple[pd.DataFrame, Dataset]:
    """Events in order of time, as a frame and as RecTools reads them."""
    events = pd.DataFrame({Columns.User: users, Columns.Item: items})
    events[Columns.Weight] = 1.0
    events[Columns.Datetime] = pd.to_datetime(np.arange(len(events)), unit="s")
    return events, Dataset.construct(events)


def fitted(task: np.lib.npyio.NpzFile) -> tuple[SASRecModel, Dataset, list[float]]:
    """The fitted model, all events as a data set, and the NDCG by epoch."""
    events, data = dataset(task["users"], task["items"])
    held_out = task.get("validation")

    def mask(interactions: pd.DataFrame) -> np.ndarray:
        number = interactions[Columns.Datetime].astype("int64") // 10**9
        return held_out[number.to_numpy()]

    epochs = int(task["epochs"])
    model = SASRecModel(
        n_blocks=int(task["layers"]),
        n_heads=int(task["heads"]),
        n_factors=int(task["dim"]),
        dropout_rate=float(task["dropout"]),
        session_max_len=int(task["length"]),
        lr=float(task["learning_rate"]),
        batch_size=int(task["batch_size"]),
        loss="softmax",
        epochs=epochs,
        get_val_mask_func=None if held_out is None else mask,
        get_trainer_func=lambda: Trainer(
            max_epochs=epochs,
            min_epochs=epochs if held_out is None else 1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        ),
        **layers(str(task["net"]) if "net" in task else ""),
    )
    if held_out is None:
        return model.fit(data), data, []
    stopping = EarlyStopping(model, events[~held_out], int(task["k"]), int(task["patience"]))
    # set now: RecTools deep-copies its trainer when it fits
    _with_callback(model, stopping)
    model.fit(data)
    model.torch_model.load_state_dict(stopping.best)
    return model, data, stopping.history


def _with_callback(model: SASRecModel, callback: Callback) -> None:
    """Give the model's trainer a callback that is not copied along with it."""
    callback.__class__.__deepcopy__ = lambda self, memory: self
    model._trainer.callbacks.append(callback)


def main(path: str, answer: str) -> None:
    task = np.load(path)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    seed_everything(int(task["seed"]))
    model, data, history = fitted(task)
    users = np.unique(task["users"])
    if "validation" not in task:
        scores = np.full(task["shape"], -np.inf, dtype=np.float32)  # no event, no score
        table = model.recommend(users, data, k=data.item_id_map.size, filter_viewed=False)
        scores[table[Columns.User], table[Columns.Item]] = table[Columns.Score]
        np.savez(answer, scores=scores)
        return
    k = int(task["k"])
    asked = task["asked_users"]
    lists = np.full((asked.max() + 1, k), -1)
    _, questions = dataset(asked, task["asked_items"])
    table = model.recommend(np.unique(asked), questions, k=k, filter_viewed=True)
    lists[table[Columns.User], table[Columns.Rank] - 1] = table[Columns.Item]
    np.savez(answer, lists=lists, ndcg=history)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of an old pandas about itself; nothing of ours runs here
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main(*sys.argv[1:])
