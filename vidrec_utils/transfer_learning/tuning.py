"""Fine-tuning an encoder in one call: initialise, change the head, train, answer.

`fine_tune` prepares the data, chooses what is trained (`strategies`), runs the loop
(`training.train`), and gives back a `FineTuned`: answers, vectors, and the encoder with its new
weights, which goes wherever the old one went (`embeddings.embed`, for example).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from vidrec_utils import saving, settings
from vidrec_utils.encoders.batch_norm import estimate_batch_norm
from vidrec_utils.transfer_learning import frozen, processes, tasks
from vidrec_utils.transfer_learning.bodies import (
    Body,
    Features,
    Inputs,
    Prepared,
    is_batch_norm,
    original,
    vectors,
)
from vidrec_utils.transfer_learning.calibration import fit_temperature
from vidrec_utils.transfer_learning.splitting import hold_out
from vidrec_utils.transfer_learning.strategies import STRATEGIES, choose, merge_adapters, resting
from vidrec_utils.transfer_learning.training import Recipe, history, predict, train

DEFAULTS: dict[str, dict[str, Any]] = {
    "probe": {"epochs": 50, "head_rate": 3e-4, "dropout": 0.5, "patience": 10},
    "lora": {"body_rate": 1e-3},
}
"""Where a strategy's numbers differ from those of `Recipe`."""

SCRATCH = {"body_rate": 1e-3}
"""Where those of random weights do: they have nothing to lose, and far to go."""


class Head(nn.Module):
    """Standardise, drop out, and one linear layer, whose weights start at zero.

    Mean and scale are those of the training clips' features before anything is trained. A batch
    normalisation in their place would make an answer depend on the other clips of its batch.

    Parameters
    ----------
    features : tensor, shape (n, dim)
        Of the training clips.
    outputs : int
        Numbers to answer with.
    dropout : float
        Share of inputs that is dropped in training.
    """

    def __init__(self, features: torch.Tensor, outputs: int, dropout: float):
        super().__init__()
        scale = features.std(dim=0, correction=0)
        least = 0.1 * scale.mean() if scale.mean() > 0 else torch.tensor(1.0)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("scale", scale.clamp_min(least))  # what never varies stays small
        self.dropout = nn.Dropout(dropout)
        with torch.random.fork_rng(devices=[]):  # what it draws is not used
            self.linear = nn.Linear(features.shape[1], outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits `(n, outputs)` of features `(n, dim)`."""
        return self.linear(self.dropout((features - self.mean) / self.scale))


class Tuned(nn.Module):
    """A body and a head."""

    def __init__(self, body: Body, head: Head):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Logits `(n, outputs)` of a prepared batch."""
        return self.head(self.body(*batch))


class FineTuned:
    """A fine-tuned encoder with its head.

    Attributes
    ----------
    encoder
        The encoder with its new weights.
    task : Task
        What the head was asked.
    strategy : str
        How it was trained.
    recipe : Recipe
        With which numbers.
    history : DataFrame
        A row an epoch; see `training.history`.
    losses : ndarray of float
        Training loss of each step.
    trained : int
        Parameters that were trained, head included.
    temperature : float
        What logits are divided by; see `calibrated`.
    failures : DataFrame
        `path, reason` of files that could not be read, where it was trained from files.
    """

    def __init__(self, model: Tuned, original: Any, task: tasks.Task, strategy: str):
        self.model = model.eval()
        self.original, self.task, self.strategy = original, task, strategy
        self.encoder = model.body.tuned_encoder()
        self.recipe = Recipe()
        self.history, self.losses, self.trained = pd.DataFrame(), np.empty(0), 0
        self.temperature = 1.0
        self.failures = pd.DataFrame({"path": [], "reason": []}, dtype="str")

    def logits(self, items: Sequence, batch_size: int = 32) -> np.ndarray:
        """What the head answers, float32 `(n, outputs)`; for numbers, in standard deviations."""
        if not len(items):
            return np.empty((0, self.task.outputs), dtype=np.float32)
        items = list(items) if isinstance(items, pd.Series) else items
        inputs = Inputs(self.model.body.prepare, items, kept=0)
        return predict(self.model, inputs, self.task.outputs, batch_size).numpy()

    def predict(self, items: Sequence, batch_size: int = 32) -> np.ndarray | list:
        """Classes or numbers `(n,)`, or a tuple of tags for each item."""
        return self.task.answer(self.probabilities(items, batch_size).to_numpy())

    def probabilities(self, items: Sequence, batch_size: int = 32) -> pd.DataFrame:
        """Probability of each class or tag, a column each; the number itself where that is asked.

        Items that are a Series keep its index.
        """
        logits = torch.from_numpy(self.logits(items, batch_size)) / self.temperature
        said = self.task.probabilities(logits).numpy()
        columns = self.task.classes or ["value"]
        return pd.DataFrame(said, columns=columns, index=getattr(items, "index", None)
                            if isinstance(items, pd.Series) else None)  # fmt: skip

    def encode(self, items: Sequence) -> np.ndarray:
        """Vectors of the fine-tuned encoder, float32 `(n, dim)`."""
        if isinstance(next(iter(items), None), Prepared):
            items = [original(item) for item in items]
        return self.encoder.encode(items)

    def calibrated(self, items: Sequence, labels: Sequence) -> FineTuned:
        """The same model with the temperature at which its probabilities fit best.

        Parameters
        ----------
        items, labels : sequence
            Neither trained on nor tested on.

        Raises
        ------
        ValueError
            If the task is regression, which states no probabilities.
        """
        if self.task.kind == "regression":
            raise ValueError("A number has no probability to calibrate.")
        found = copy.copy(self)
        found.temperature = fit_temperature(
            torch.from_numpy(self.logits(items)), self.task.targets(labels), self.task.kind
        )
        return found

    def save(self, folder: Path | str) -> Path:
        """Write what was trained into a folder, atomically; `load` reads it.

        What did not change is left out: it comes back with the original encoder.
        """
        before = self.original.net.state_dict()
        after = self.model.body.net.state_dict()
        arrays = {
            f"body/{name}": tensor.cpu().numpy()
            for name, tensor in after.items()
            if not torch.equal(tensor.cpu(), before[name].cpu())
        }
        arrays |= {f"head/{n}": t.cpu().numpy() for n, t in self.model.head.state_dict().items()}
        described = {
            "kind": "fine-tuned encoder",
            "encoder": self.original.name,
            "fingerprint": self.original.fingerprint,
            "strategy": self.strategy,
            "task": self.task.told(),
            "temperature": self.temperature,
            "trained": self.trained,
            "recipe": {f.name: getattr(self.recipe, f.name) for f in fields(Recipe)},
            "tensors": sorted(arrays),
        }
        flat = {name.replace("/", ":"): array for name, array in arrays.items()}
        return saving.write(folder, described, flat)


def load(folder: Path | str, encoder: Any) -> FineTuned:
    """Read what `FineTuned.save` wrote.

    Parameters
    ----------
    folder : path
        The folder.
    encoder
        The encoder that was fine-tuned, with its original weights.

    Raises
    ------
    SavedModelError
        If the folder holds no such model, or one of another encoder.
    """
    described, flat = saving.read(folder)
    if described.get("kind") != "fine-tuned encoder":
        raise saving.SavedModelError(f"{folder} holds no fine-tuned encoder.")
    if described["fingerprint"] != encoder.fingerprint:
        raise saving.SavedModelError(
            f"{folder} was fine-tuned from {described['encoder']!r} with other weights or another "
            f"size than this {encoder.name!r}; load the encoder as it was loaded then."
        )
    arrays = {name.replace(":", "/"): torch.from_numpy(np.array(v)) for name, v in flat.items()}
    body, task = Body(encoder), tasks.restore(described["task"])
    head = {n.removeprefix("head/"): t for n, t in arrays.items() if n.startswith("head/")}
    tuned = {n.removeprefix("body/"): t for n, t in arrays.items() if n.startswith("body/")}
    model = Tuned(body, Head(torch.zeros(1, len(head["mean"])), task.outputs, 0.0))
    model.head.load_state_dict(head)
    body.net.load_state_dict(body.net.state_dict() | tuned)
    found = FineTuned(model.to(encoder.device), encoder, task, described["strategy"])
    found.recipe, found.trained = Recipe(**described["recipe"]), described["trained"]
    found.temperature = described["temperature"]
    return found


def fine_tune(
    encoder: Any,
    clips: Sequence | Mapping,
    labels: Sequence,
    strategy: str = "probe",
    *,
    task: str = "auto",
    classes: Sequence | None = None,
    validation: float | tuple[Sequence, Sequence] | None = None,
    groups: Sequence | None = None,
    ids: Sequence | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    progress: bool = True,
    **numbers: Any,
) -> FineTuned:
    """Train an encoder, or a head on top of it, to answer with labels.

    Parameters
    ----------
    encoder
        Of clips, pictures or texts; it stays as it is. With random weights (training from
        scratch), batch-norm statistics are first estimated on the training clips.
    clips : sequence or mapping, n
        What the encoder's `encode` takes, or what `prepare_once` makes of it. A mapping of clips by
        id will do, too: those are taken whose ids are in the index of the labels.
    labels : sequence, n
        Classes, tags or numbers; see `tasks.task_for`. A Series where clips are given by id.
    strategy : {"probe", "partial", "full", "discriminative", "lora"}
        See `strategies`.
    task : {"auto", "single", "multi", "regression"}
        What the labels are.
    classes : sequence, optional
        All classes or tags, where training may lack some.
    validation : float or (clips, labels), optional
        For early stopping: a share of the clips, or others. None: all epochs are run.
    groups : sequence, n, optional
        Such as the subject of each clip: a group is never in training and validation at once.
    ids : sequence, n, optional
        Names of the clips, for messages; by default the index of the labels, or positions.
    checkpoint : path, optional
        A file for the state of the run: called again with the same arguments, it goes on from
        there, and its losses are those of a run that was never interrupted.
    checkpoint_every : int, optional
        Steps between two checkpoints; by default one at the end of each epoch.
    progress : bool
        Show a bar when training takes longer than two seconds.
    **numbers
        Fields of `Recipe`, instead of the strategy's own.

    Returns
    -------
    FineTuned

    Raises
    ------
    ValueError
        If lengths differ, an id has no clip, labels are missing or of one class, a number or
        strategy is not known, or LoRA is asked of a network without linear layers.
    TrainingDiverged
        If the loss is no number any more; names batch and clips.
    CheckpointError
        If the checkpoint is damaged or of another run.

    Notes
    -----
    Under `torchrun` every process calls this with the same arguments; they share each batch.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; choose from {', '.join(STRATEGIES)}.")
    ids = getattr(labels, "index", None) if ids is None and isinstance(labels, pd.Series) else ids
    clips, labels = _paired(clips, labels)
    ids = list(range(len(clips))) if ids is None else list(ids)
    scratch = encoder.weights.source == "random"
    recipe = _recipe(strategy, SCRATCH | numbers if scratch else numbers)
    if isinstance(validation, Real):
        train_rows, held = hold_out(labels, validation, groups, recipe.seed)
        validation = (_some(clips, held), [labels[row] for row in held])
        clips, labels = _some(clips, train_rows), [labels[row] for row in train_rows]
        ids = [ids[row] for row in train_rows]
    asked = tasks.task_for(labels, task, classes)
    targets = asked.targets(labels)

    processes.join()
    body = Body(encoder)
    inputs = Inputs(body.prepare, clips)
    held_out = None
    if validation is not None:
        there = _paired(*validation)
        held_out = Inputs(body.prepare, there[0]), asked.targets(there[1])
    device = body.device
    recipe = replace(recipe, batch_norm=_batch_norm(body, recipe, scratch, len(clips)))
    body.to(device)
    if not getattr(encoder, "calibrated", True):
        parts = np.array_split(np.arange(len(clips)), -(-len(clips) // 16))
        batches = ((inputs.batch(rows)[0].to(device),) for rows in parts)
        estimate_batch_norm(body, lambda batch: body(*batch), batches)

    some = tuple(p.to(device) for p in inputs.batch(np.arange(min(2, len(clips)))))
    below = choose(body, tuple(part[:1] for part in some), strategy, recipe)
    body.to(device)  # the adapters, too
    still = resting(body, recipe.batch_norm)
    every = len(clips) + (0 if held_out is None else len(held_out[0]))
    rests = frozen.find(body, some, still, every) if below else None
    kept = held_kept = None
    if rests is None:
        features = vectors(body, inputs, device)
    else:
        features, kept = frozen.keep(body, rests, inputs, device)
        if held_out is not None and kept is not None:
            held_kept = frozen.keep(body, rests, held_out[0], device)[1]
            kept = None if held_kept is None else kept
    endless = (~features.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if endless:
        raise ValueError(
            f"The network has no finite vector for {len(endless)} clips, the first is clip "
            f"{ids[endless[0]]}. Look at its frames, or leave it out."
        )
    head = Head(features, asked.outputs, recipe.dropout).to(device)
    model = Tuned(body, head)
    above = {"name": "head", "parameters": list(head.named_parameters()), "rate": recipe.head_rate}
    network: nn.Module = model
    if strategy == "probe":  # the body does not change, so neither do its vectors
        network, inputs = head, Features(features)
        if held_out is not None:
            held_out = Features(vectors(body, held_out[0], device)), held_out[1]
    elif kept is not None:  # nor does what its frozen part answers
        network, inputs = frozen.Above(model, rests), kept
        held_out = None if held_out is None else (held_kept, held_out[1])
    if recipe.batch_norm == "train":
        _quicken(body)
    # a head alone is so little work that threads would wait for one another
    multiplications = features.shape[1] * asked.outputs * recipe.batch_size
    with settings.threads_for(multiplications if network is head else np.inf):
        state = train(
            network, inputs, targets, asked, [*below, above], recipe,
            resting=() if network is head else still,
            validation=held_out, ids=ids,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            checkpoint_every=checkpoint_every,
            run={"encoder": encoder.name, "weights": encoder.fingerprint[:16], "strategy": strategy,
                 "task": asked.kind},
            progress=progress,
        )  # fmt: skip
    trained = sum(p.numel() for group in [*below, above] for _, p in group["parameters"])
    merge_adapters(body.net)
    found = FineTuned(model.requires_grad_(False), encoder, asked, strategy)
    found.recipe, found.trained = recipe, trained
    found.history, found.losses = history(state), np.array(state.losses)
    return found


def _recipe(strategy: str, numbers: dict[str, Any]) -> Recipe:
    known = {f.name for f in fields(Recipe)}
    strange = [name for name in numbers if name not in known]
    if strange:
        raise ValueError(
            f"There is no {strange[0]!r} to set; there are {', '.join(sorted(known))}."
        )
    return Recipe(**(DEFAULTS.get(strategy, {}) | numbers))


def _batch_norm(body: Body, recipe: Recipe, scratch: bool, clips: int) -> str:
    """What "auto" means here; refuses what cannot be computed."""
    has = any(is_batch_norm(module) for module in body.modules())
    least = min(recipe.batch_size, clips)
    if recipe.batch_norm == "train" and has:
        if least == 1:
            raise ValueError(
                "Batch normalisation has no statistics of a batch of one. Take batch_size=2 or "
                "more (accumulate adds batches up, but not their statistics), or "
                "batch_norm='frozen'."
            )
        if processes.join()[1] > 1:
            raise ValueError(
                "Each process would take statistics of its own share of a batch. Take "
                "batch_norm='frozen', or one process."
            )
    if recipe.batch_norm != "auto":
        return recipe.batch_norm
    return "train" if scratch and least > 1 and processes.join()[1] == 1 else "frozen"


def _quicken(body: Body) -> None:
    """Let statistics follow within a short run: a momentum of 0.01 would leave them stale."""
    for module in body.modules():
        if is_batch_norm(module) and module.momentum is not None:
            module.momentum = max(module.momentum, 0.1)


def _paired(clips: Sequence | Mapping, labels: Sequence) -> tuple[Sequence, list]:
    if isinstance(clips, Mapping):
        clips = _of_labels(clips, labels)
    clips = list(clips) if isinstance(clips, pd.Series) else clips
    labels = list(labels)
    if len(clips) != len(labels):
        raise ValueError(f"{len(clips)} clips, but {len(labels)} labels: give one for each.")
    if not labels:
        raise ValueError("There is nothing to learn from: no clip was given.")
    return clips, labels


def _of_labels(clips: Mapping, labels: Sequence) -> list:
    """The clips whose ids have labels, in the order of the labels."""
    if not isinstance(labels, pd.Series):
        raise ValueError("The clips are given by id: give the labels as a Series by id, too.")
    lost = [name for name in labels.index if name not in clips]
    if lost:
        raise ValueError(f"There is no clip for {len(lost)} labels, the first is {lost[0]!r}.")
    return [clips[name] for name in labels.index]


def _some(clips: Sequence, rows: Sequence[int]) -> Sequence:
    return clips.some(rows) if hasattr(clips, "some") else [clips[row] for row in rows]
