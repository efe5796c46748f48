"""Fine-tuning an encoder in one call: initialise, change the head, train, predict.

`fine_tune` prepares the data, chooses what is trained (`strategies`), runs the loop
(`training.train`), and returns a `FineTuned`: predictions, vectors, and the encoder with its new
weights, which can be used wherever the old one was (in `embeddings.embed`, for example).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Subset

from vidrec_utils import arguments, saving, settings
from vidrec_utils.encoders import Tunable
from vidrec_utils.encoders.batch_norm import batch_norms, estimate_batch_norm
from vidrec_utils.encoders.weights import check_finite
from vidrec_utils.transfer_learning import frozen, processes, strategies, tasks
from vidrec_utils.transfer_learning.backbone import (
    Backbone,
    Inputs,
    Prepared,
    original,
    units,
)
from vidrec_utils.transfer_learning.calibration import fit_temperature
from vidrec_utils.transfer_learning.checkpoints import current_names, digest
from vidrec_utils.transfer_learning.holdout import hold_out
from vidrec_utils.transfer_learning.strategies import STRATEGIES
from vidrec_utils.transfer_learning.training import Recipe, history, predict, train

DEFAULTS: dict[str, dict[str, Any]] = {
    "probe": {"epochs": 50, "head_rate": 3e-4, "dropout": 0.5, "patience": 10},
    "lora": {"backbone_rate": 1e-3},
}
"""Numbers of a strategy that differ from those of `Recipe`."""

SCRATCH = {"backbone_rate": 1e-3}
"""Numbers for random weights, which have no features to lose and a long way to go."""


class Head(nn.Module):
    """Standardise, drop out, and one linear layer, whose weights start at zero.

    Mean and scale are those of the training clips' features before anything is trained. A batch
    normalisation instead would make a prediction depend on the other clips of its batch.

    Parameters
    ----------
    features : tensor, shape (n, dim)
        Features of the training clips.
    outputs : int
        Number of outputs.
    dropout : float
        Share of inputs that is dropped in training.
    """

    def __init__(self, features: torch.Tensor, outputs: int, dropout: float):
        super().__init__()
        scale = features.std(dim=0, correction=0)  # (dim,)
        least = 0.1 * scale.mean() if scale.mean() > 0 else torch.tensor(1.0)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("scale", scale.clamp_min(least))  # constant features stay small
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.utils.skip_init(nn.Linear, features.shape[1], outputs)  # nothing is drawn
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits `(n, outputs)` of features `(n, dim)`."""
        return self.linear(self.dropout((features - self.mean) / self.scale))


class Tuned(nn.Module):
    """A backbone and a head."""

    def __init__(self, backbone: Backbone, head: Head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Logits `(n, outputs)` of a prepared batch."""
        return self.head(self.backbone(*batch))


@dataclass(frozen=True, eq=False, repr=False)
class FineTuned:
    """A fine-tuned encoder with its head.

    Attributes
    ----------
    model : Tuned
        Backbone and head, in evaluation mode.
    original : Tunable
        The encoder before fine-tuning.
    task : Task
        The kind of labels.
    strategy : str
        The strategy that it was trained by.
    recipe : Recipe
        The numbers that it was trained with.
    trained : int
        Number of parameters that were trained, head included.
    history : DataFrame
        A row for each epoch; see `training.history`.
    losses : ndarray of float
        Training loss of each step.
    temperature : float
        Number that logits are divided by; see `calibrated`.
    failures : DataFrame
        `path, reason` of files that could not be read, where it was trained from files.
    """

    model: Tuned
    original: Tunable
    task: tasks.Task
    strategy: str
    recipe: Recipe
    trained: int
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    losses: np.ndarray = field(default_factory=lambda: np.empty(0))
    temperature: float = 1.0
    failures: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["path", "reason"], dtype="str")
    )

    @cached_property
    def encoder(self) -> Tunable:
        """The encoder with its new weights."""
        return self.model.backbone.tuned_encoder()

    def logits(self, items: Sequence, batch_size: int = 32) -> np.ndarray:
        """Outputs of the head, float32 `(n, outputs)`; for numbers, in standard deviations."""
        if not len(items):
            return np.empty((0, self.task.outputs), dtype=np.float32)
        items = list(items) if isinstance(items, pd.Series) else items
        inputs = Inputs(self.model.backbone.prepare, items, kept=0)
        return predict(self.model, inputs, self.task.outputs, batch_size).numpy()

    def predict(self, items: Sequence, batch_size: int = 32) -> np.ndarray | list:
        """Classes or numbers `(n,)`, or a tuple of tags for each item."""
        return self.task.predict(self.probabilities(items, batch_size).to_numpy())

    def probabilities(self, items: Sequence, batch_size: int = 32) -> pd.DataFrame:
        """Probability of each class or tag, one column each; for regression, the number itself.

        Items that are a Series keep its index.
        """
        logits = torch.from_numpy(self.logits(items, batch_size)) / self.temperature
        index = items.index if isinstance(items, pd.Series) else None
        columns = self.task.classes or ["value"]
        return pd.DataFrame(self.task.probabilities(logits).numpy(), index, columns)

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
            Examples that are used neither for training nor for the test.

        Raises
        ------
        ValueError
            If the task is regression, which has no probabilities.
        """
        if self.task.kind == "regression":
            raise ValueError("A number has no probability to calibrate.")
        logits = torch.from_numpy(self.logits(items))
        temperature = fit_temperature(logits, self.task.targets(labels), self.task.kind)
        return dataclasses.replace(self, temperature=temperature)

    def changes(self, item: Any) -> pd.Series:
        """How far training moved each block, relative to the length of its original weights.

        Parameters
        ----------
        item
            A clip, image or text, to see which blocks are used, and in which order.

        Returns
        -------
        Series
            `|w - w_0| / |w_0|` over the matrices and filters of a block, by the block's name, from
            input to output; see `units`. 0 for a block that was frozen.
        """
        now, before = (dict(b.net.named_parameters()) for b in (self.model.backbone, self.original))
        copied = Backbone(self.original)
        names = {parameter: name for name, parameter in copied.net.named_parameters()}
        ratios = {}
        for block, layers in units(copied, copied.prepare([original(item)])).items():
            own = [names[p] for layer in layers for p in layer.parameters(False) if p.ndim > 1]
            moved = sum(float((now[n] - before[n]).detach().square().sum()) for n in own)
            length = sum(float(before[n].detach().square().sum()) for n in own)
            ratios[block] = (moved / length) ** 0.5 if length else 0.0
        return pd.Series(ratios)

    def save(self, folder: Path | str) -> Path:
        """Write the trained weights into a folder, atomically; `load` reads it.

        Weights that did not change are left out: they are those of the original encoder.
        """
        before = self.original.net.state_dict()
        changed = {
            name: tensor
            for name, tensor in self.model.backbone.net.state_dict().items()
            if not torch.equal(tensor.cpu(), before[name].cpu())
        }
        tensors = {f"backbone/{name}": tensor for name, tensor in changed.items()}
        tensors |= {f"head/{name}": t for name, t in self.model.head.state_dict().items()}
        metadata = {
            "kind": "fine-tuned encoder",
            "encoder": self.original.name,
            "fingerprint": self.original.fingerprint,
            "strategy": self.strategy,
            "task": self.task.metadata(),
            "temperature": self.temperature,
            "trained": self.trained,
            "recipe": dataclasses.asdict(self.recipe),
            "tensors": sorted(tensors),
        }
        arrays = {name.replace("/", ":"): t.cpu().numpy() for name, t in tensors.items()}
        return saving.write(folder, metadata, arrays)


def load(folder: Path | str, encoder: Tunable) -> FineTuned:
    """Read what `FineTuned.save` wrote.

    Parameters
    ----------
    folder : path
        The folder.
    encoder : Tunable
        The encoder that was fine-tuned, with its original weights.

    Raises
    ------
    SavedModelError
        If the folder holds no such model, a changed one, or one of another encoder.
    """
    metadata, arrays = saving.read(folder)
    try:
        return _restored(folder, encoder, metadata, arrays)
    except saving.SavedModelError:
        raise
    except Exception as error:  # whatever a changed file can cause has one meaning
        raise saving.SavedModelError(
            f"The model in {folder} does not fit {encoder.name}: {type(error).__name__}: {error}. "
            "It was saved by another version, or changed; fine-tune again."
        ) from error


def _restored(
    folder: Path | str,
    encoder: Tunable,
    metadata: Mapping[str, Any],
    arrays: Mapping[str, saving.Array],
) -> FineTuned:
    if metadata.get("kind") != "fine-tuned encoder":
        raise saving.SavedModelError(f"{folder} holds no fine-tuned encoder.")
    if metadata["fingerprint"] != encoder.fingerprint:
        raise saving.SavedModelError(
            f"{folder} was fine-tuned from {metadata['encoder']!r} with other weights or another "
            f"size than this {encoder.name!r}; load the encoder as it was loaded then."
        )
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    check_finite(tensors, str(folder))
    head_state = saving.below(tensors, "head:")
    # earlier versions wrote "body:" in place of "backbone:"
    changed = saving.below(tensors, "backbone:") | saving.below(tensors, "body:")
    task = tasks.restore(metadata["task"])
    backbone = Backbone(encoder)
    backbone.net.load_state_dict(backbone.net.state_dict() | changed)
    head = Head(torch.zeros(1, len(head_state["mean"])), task.outputs, 0.0)
    head.load_state_dict(head_state)
    model = Tuned(backbone, head).to(encoder.device).eval()
    recipe = Recipe(**current_names(metadata["recipe"]))
    return FineTuned(
        model, encoder, task, metadata["strategy"], recipe, metadata["trained"],
        temperature=metadata["temperature"],
    )  # fmt: skip


def fine_tune(
    encoder: Tunable,
    clips: Sequence | Mapping,
    labels: Sequence,
    strategy: str = "probe",
    *,
    task: str = "auto",
    classes: Sequence | None = None,
    first: FineTuned | None = None,
    validation: float | tuple[Sequence, Sequence] | None = None,
    groups: Sequence | None = None,
    ids: Sequence | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_interval: int | None = None,
    progress: bool = True,
    **numbers: Any,
) -> FineTuned:
    """Train an encoder, or a head on top of it, to predict labels.

    Parameters
    ----------
    encoder : Tunable
        An encoder of clips, images or texts; it is not changed. With random weights (training from
        scratch), batch-norm statistics are first estimated on the training clips.
    clips : sequence or mapping, n
        What the encoder's `encode` takes, or what `prepare_once` returns. In a mapping of clips by
        id, those are used whose ids are in the index of the labels.
    labels : sequence, n
        Classes, tags or numbers; see `tasks.task_for`. A Series where clips are a mapping by id.
    strategy : {"probe", "partial", "full", "discriminative", "lora"}
        See `strategies`.
    task : {"auto", "single", "multi", "regression"}
        The kind of labels.
    classes : sequence, optional
        All classes or tags, if the training clips may lack some.
    first : FineTuned, optional
        A probe of the same encoder and classes: the head starts from its weights, not from zero.
        Then the first steps do not pull the backbone towards a head that knows nothing yet (Kumar
        et al., 2022).
    validation : float or (clips, labels), optional
        Clips for early stopping: a share of the clips, or other ones. None: all epochs are run.
    groups : sequence, n, optional
        Such as the subject of each clip: a group is never in training and validation at once.
    ids : sequence, n, optional
        Names of the clips, for messages; by default the index of the labels, or positions.
    checkpoint : path, optional
        A file for the state of the run: called again with the same arguments, it goes on from
        there, and its losses are those of a run that was never interrupted.
    checkpoint_interval : int, optional
        Number of steps between two checkpoints; by default one is written after each epoch.
    progress : bool
        Show a bar when training takes longer than two seconds.
    **numbers
        Fields of `Recipe` that replace those of the strategy.

    Returns
    -------
    FineTuned

    Raises
    ------
    ValueError
        If lengths differ, an id has no clip, labels are missing or of one class, a number or
        strategy is not known, LoRA is asked of a network without linear layers, or `first` is no
        probe of this encoder for these classes.
    TrainingDiverged
        If the loss is NaN or infinite; names batch and clips.
    CheckpointError
        If the checkpoint is damaged, or belongs to another run.

    Notes
    -----
    Under `torchrun` every process calls this with the same arguments; they share each batch.

    Examples
    --------
    Four clips, two bright and two dark, and a probe on a small video network:

    >>> from vidrec_utils import video_encoders
    >>> encoder = video_encoders.load("slowfast_mini", device="cpu")
    >>> clips = [np.full((8, 32, 32, 3), shade, np.uint8) for shade in (10, 30, 230, 250)]
    >>> model = fine_tune(encoder, clips, ["dark", "dark", "bright", "bright"], "probe")
    >>> model.predict([np.full((8, 32, 32, 3), 20, np.uint8)]).tolist()
    ['dark']
    >>> model.trained == 2 * encoder.dim + 2  # the weights and biases of the head
    True
    """
    arguments.one_of(STRATEGIES, strategy=strategy)
    scratch = encoder.weights.source == "random"
    recipe = _recipe(strategy, SCRATCH | numbers if scratch else numbers)

    # Data: pair clips with labels, hold validation clips out, turn labels into targets
    examples = _Examples.paired(clips, labels, ids)
    held_out = None
    if isinstance(validation, Real):
        rows, held_rows = hold_out(examples.labels, validation, groups, recipe.seed)
        examples, held_out = examples.subset(rows), examples.subset(held_rows)
    elif validation is not None:
        held_out = _Examples.paired(*validation)
    head_task = tasks.task_for(examples.labels, task, classes)
    targets = head_task.targets(examples.labels)

    # Initialise: a copy of the encoder's network, the backbone. Random weights get batch-norm
    # statistics first
    processes.join()
    backbone = Backbone(encoder)
    device = encoder.device
    inputs = Inputs(backbone.prepare, examples.clips)
    held_inputs = None if held_out is None else Inputs(backbone.prepare, held_out.clips)
    held_targets = None if held_out is None else head_task.targets(held_out.labels)
    batch_norm = _batch_norm(backbone, recipe, scratch, len(inputs))
    recipe = dataclasses.replace(recipe, batch_norm=batch_norm)
    backbone.to(device)
    if not encoder.calibrated:
        rows = np.array_split(np.arange(len(inputs)), -(-len(inputs) // 16))
        batches = ((inputs.batch(batch)[0].to(device),) for batch in rows)
        estimate_batch_norm(backbone, lambda batch: backbone(*batch), batches)

    # Choose the blocks that are trained, and the learning rate of each
    sample = tuple(part.to(device) for part in inputs.batch(np.arange(min(2, len(inputs)))))
    rates = strategies.choose(backbone, tuple(part[:1] for part in sample), strategy, recipe)
    backbone.to(device)  # LoRA's adapters, too
    eval_modules = strategies.eval_modules(backbone, recipe.batch_norm)

    # Frozen modules are run once for each clip: their outputs do not change in training
    trainable = frozen.run_once(backbone, sample, eval_modules, inputs, held_inputs, device)
    _check_finite(trainable.vectors, examples.ids)

    # Change the head: one output for each class
    head = Head(trainable.vectors, head_task.outputs, recipe.dropout).to(device)
    if first is not None:
        _check_first(first, encoder, head_task)
        head.load_state_dict(first.model.head.state_dict())
    model = Tuned(backbone, head)
    network = trainable.network(model)
    rates.append({"name": "head", "parameters": list(head.named_parameters()),
                  "rate": recipe.head_rate})  # fmt: skip

    # Train. A head alone is so little work that threads would wait for one another
    if recipe.batch_norm == "train":
        _quicken_statistics(backbone)
    work = head.linear.weight.numel() * recipe.batch_size if network is head else np.inf
    with settings.threads_for(work):
        progress_made = train(
            network, trainable.inputs, targets, head_task, rates, recipe,
            eval_modules=() if network is head else eval_modules,
            validation=None if held_out is None else (trainable.validation, held_targets),
            ids=examples.ids,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            checkpoint_interval=checkpoint_interval,
            run={"encoder": encoder.name, "weights": encoder.fingerprint[:16],
                 "strategy": strategy, "task": head_task.kind} | _facts(first),
            progress=progress,
        )  # fmt: skip

    # Merge LoRA's adapters into the layers, so that the encoder has its usual form
    trained = sum(p.numel() for group in rates for _, p in group["parameters"])
    strategies.merge_adapters(backbone.net)
    return FineTuned(
        model.requires_grad_(False).eval(), encoder, head_task, strategy, recipe, trained,
        history(progress_made), np.array(progress_made.losses),
    )  # fmt: skip


def _facts(first: FineTuned | None) -> dict[str, str]:
    """What a checkpoint must agree with about the head that training began with."""
    return {} if first is None else {"first": digest(first.model.head.linear.weight, [])}


def _check_first(first: FineTuned, encoder: Tunable, task: tasks.Task) -> None:
    """Refuse a head to start from that belongs to other vectors or other classes."""
    if first.strategy != "probe" or first.original.fingerprint != encoder.fingerprint:
        raise ValueError(
            f"first was trained by {first.strategy!r} on {first.original.name!r}; give a probe of "
            f"the same {encoder.name!r} with the same weights, because only its vectors fit."
        )
    if first.task.metadata() != task.metadata():
        raise ValueError(
            "first was trained for other classes; train the probe on the same labels, or give "
            "both the same classes."
        )


def _recipe(strategy: str, numbers: dict[str, Any]) -> Recipe:
    """The numbers of a run: those of the call, else of the strategy, else of `Recipe`."""
    known = {f.name for f in dataclasses.fields(Recipe)}
    unknown = [name for name in numbers if name not in known]
    if unknown:
        raise ValueError(
            f"There is no {unknown[0]!r} to set; there are {', '.join(sorted(known))}."
        )
    return Recipe(**(DEFAULTS.get(strategy, {}) | numbers))


def _batch_norm(backbone: Backbone, recipe: Recipe, scratch: bool, clips: int) -> str:
    """What "auto" means for this network and data; refuses what cannot be computed."""
    least = min(recipe.batch_size, clips)
    if recipe.batch_norm == "train" and batch_norms(backbone):
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


def _quicken_statistics(backbone: Backbone) -> None:
    """Let statistics follow within a short run: a momentum of 0.01 would leave them stale."""
    for norm in batch_norms(backbone):
        if norm.momentum is not None:
            norm.momentum = max(norm.momentum, 0.1)


def _check_finite(vectors: torch.Tensor, ids: Sequence) -> None:
    """Refuse clips whose vectors are NaN or infinite before anything is trained."""
    infinite = (~vectors.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if infinite:
        raise ValueError(
            f"The network has no finite vector for {len(infinite)} clips, the first is clip "
            f"{ids[infinite[0]]}. Look at its frames, or leave it out."
        )


@dataclass(frozen=True)
class _Examples:
    """Clips with their labels, and names for messages."""

    clips: Sequence
    labels: list
    ids: list

    @classmethod
    def paired(
        cls, clips: Sequence | Mapping, labels: Sequence, ids: Sequence | None = None
    ) -> _Examples:
        """Pair clips with labels; refuse lengths and ids that do not agree."""
        by_id = isinstance(labels, pd.Series)
        if ids is None and by_id:
            ids = labels.index
        if isinstance(clips, Mapping):
            if not by_id:
                raise ValueError(
                    "The clips are given by id: give the labels as a Series by id, too."
                )
            lost = [name for name in labels.index if name not in clips]
            if lost:
                raise ValueError(
                    f"There is no clip for {len(lost)} labels, the first is {lost[0]!r}."
                )
            clips = [clips[name] for name in labels.index]
        clips = list(clips) if isinstance(clips, pd.Series) else clips
        labels = list(labels)
        if len(clips) != len(labels):
            raise ValueError(f"{len(clips)} clips, but {len(labels)} labels: give one for each.")
        if not labels:
            raise ValueError("There is nothing to learn from: no clip was given.")
        return cls(clips, labels, list(range(len(clips)) if ids is None else ids))

    def subset(self, rows: np.ndarray) -> _Examples:
        """Some of the examples; clips are still read on demand if they were."""
        indices = rows.tolist()
        labels = [self.labels[row] for row in indices]
        return _Examples(Subset(self.clips, indices), labels, [self.ids[row] for row in indices])
