"""The training loop, to be read from top to bottom: `train`.

Every strategy runs it; strategies differ in which parameters they train, and how fast. What is
random in a step (the order of the examples, dropout) depends on the seed and the number of the step
alone, so that a run which goes on from a checkpoint takes the same steps as one that was never
interrupted.

References
----------
Loshchilov, Hutter: SGDR. ICLR 2017 (arXiv:1608.03983): the cosine. Loshchilov, Hutter: Decoupled
Weight Decay Regularization. ICLR 2019 (arXiv:1711.05101): AdamW. Pascanu, Mikolov, Bengio: On the
difficulty of training recurrent neural networks. ICML 2013 (arXiv:1211.5063): clipping of the
gradient's norm. Szegedy et al.: Rethinking the Inception Architecture. CVPR 2016
(arXiv:1512.00567), section 7: label smoothing.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.transfer_learning import checkpoints, processes
from vidrec_utils.transfer_learning.backbone import Inputs
from vidrec_utils.transfer_learning.checkpoints import Progress
from vidrec_utils.transfer_learning.tasks import Task

COUNTS = ("epochs", "batch_size", "accumulate", "blocks", "rank")
SHARES = ("warmup", "smoothing", "dropout")


class TrainingDiverged(RuntimeError):
    """Training diverged: the loss or the gradient is NaN or infinite.

    Attributes
    ----------
    step, batch : int
        Number of the step in the run, and of the batch in its epoch, both from 0.
    clips : list
        Ids (or positions) of the clips whose loss is NaN or infinite.
    """

    def __init__(self, message: str, step: int, batch: int, clips: list):
        super().__init__(message)
        self.step, self.batch, self.clips = step, batch, clips


@dataclass(frozen=True)
class Recipe:
    """The numbers that determine a run.

    Attributes
    ----------
    epochs : int
        Highest number of passes over the training clips.
    batch_size : int
        Number of clips in one forward pass.
    head_rate, backbone_rate : float
        Highest learning rates of the head, and of what is trained below it.
    weight_decay : float
        Decay of matrices and filters; normalisations and biases have none.
    warmup : float
        Share of the steps in which the rate rises from 0; after that it falls along a cosine.
    smoothing : float
        Share of each label that is spread evenly over all classes.
    clip_norm : float
        Longest gradient; a longer one is scaled down to it.
    accumulate : int
        Number of batches whose gradients are added up before a step.
    patience : int or None
        Epochs without a better validation loss after which training ends. The best epoch's weights
        are kept. None: training never ends early.
    dropout : float
        Share of the head's inputs that is dropped in training.
    blocks : int
        Number of blocks, counted from the last, that the strategy "partial" trains.
    decay : float
        Rate of a block divided by that of the block above, in the strategy "discriminative".
    rank : int
        Rank of the matrices that the strategy "lora" adds.
    batch_norm : {"auto", "frozen", "train"}
        Whether batch normalisation keeps its statistics. "auto": yes, unless the encoder's weights
        are random. Small batches give poor statistics.
    seed : int
        The order of the clips, dropout and adapters are drawn with this seed.

    Examples
    --------
    >>> recipe = Recipe(epochs=5, backbone_rate=1e-3)
    >>> recipe.epochs, recipe.batch_size
    (5, 16)
    """

    epochs: int = 10
    batch_size: int = 16
    head_rate: float = 3e-3
    backbone_rate: float = 1e-4
    weight_decay: float = 0.05
    warmup: float = 0.1
    smoothing: float = 0.1
    clip_norm: float = 1.0
    accumulate: int = 1
    patience: int | None = 3
    dropout: float = 0.2
    blocks: int = 1
    decay: float = 0.6
    rank: int = 8
    batch_norm: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in COUNTS and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 up.")
            if name in SHARES and not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; it must be in 0..1, below 1.")
        if self.batch_norm not in ("auto", "frozen", "train"):
            raise ValueError(
                f"batch_norm is {self.batch_norm!r}; choose 'auto', 'frozen' or 'train'."
            )


def train(
    model: nn.Module,
    inputs: Inputs,
    targets: torch.Tensor,
    task: Task,
    groups: Sequence[dict],
    recipe: Recipe,
    *,
    eval_modules: Sequence[nn.Module] = (),
    validation: tuple[Inputs, torch.Tensor] | None = None,
    ids: Sequence | None = None,
    checkpoint: Path | None = None,
    checkpoint_interval: int | None = None,
    run: dict | None = None,
    progress: bool = True,
) -> Progress:
    """Train a model in place.

    Parameters
    ----------
    model : Module
        Takes a batch of prepared inputs and returns logits `(n, outputs)`; on its device.
    inputs, targets : Inputs, tensor
        One row for each clip.
    task : Task
        Gives the loss.
    groups : sequence of dict
        `parameters` (named ones, as pairs) and their highest learning `rate`.
    recipe : Recipe
        All numbers of the run.
    eval_modules : sequence of Module
        Modules that stay in evaluation mode, because they are frozen.
    validation : (Inputs, tensor), optional
        Clips and targets on which the loss is measured after each epoch.
    ids : sequence, optional
        Names of the clips for messages.
    checkpoint : Path, optional
        File for the state of the run; if it is there, the run goes on from it.
    checkpoint_interval : int, optional
        Number of steps between two checkpoints; by default one is written after each epoch.
    run : dict, optional
        Facts that a checkpoint must agree with.
    progress : bool
        Show a bar when training takes longer than two seconds.

    Raises
    ------
    TrainingDiverged
        If a loss or gradient is NaN or infinite; the checkpoint is then the last good one.
    CheckpointError
        If the checkpoint is damaged, or belongs to another run.

    Examples
    --------
    A linear model learns which of two numbers is larger:

    >>> from vidrec_utils.transfer_learning.backbone import Features
    >>> from vidrec_utils.transfer_learning.tasks import SingleLabel
    >>> inputs = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [5.0, 2.0]])
    >>> model = nn.Linear(2, 2)
    >>> groups = [{"parameters": list(model.named_parameters()), "rate": 0.1}]
    >>> recipe = Recipe(epochs=30, warmup=0.0)
    >>> task = SingleLabel(["first", "second"])
    >>> targets = task.targets(["second", "first", "second", "first"])
    >>> run = train(model, Features(inputs), targets, task, groups, recipe, progress=False)
    >>> task.predict(task.probabilities(model(inputs)).detach().numpy()).tolist()
    ['second', 'first', 'second', 'first']
    """
    # The number format of the forward pass: float32 on a CPU, float16 on a GPU, where the scaler
    # multiplies the loss so that small gradients do not become 0
    device = next(model.parameters()).device
    precision = settings.training_format(
        settings.instruction_set(), device, settings.dtype(device), filter_layout(model)
    )
    if precision.warning:
        warnings.warn(precision.warning, RuntimeWarning, stacklevel=2)
    mixed = precision.dtype != torch.float32
    scaler = torch.amp.GradScaler(device.type, enabled=precision.dtype == torch.float16)

    # AdamW, with a learning rate of its own for each group of parameters
    trained = [parameter for group in groups for _, parameter in group["parameters"]]
    optimizer = adamw(groups, recipe.weight_decay)
    steps_per_epoch = len(epoch_batches(len(inputs), recipe, 0))
    total = recipe.epochs * steps_per_epoch

    # Go on from the checkpoint, if there is one
    data = checkpoints.digest(targets, [str(name) for name in ids or ()])
    run = (run or {}) | {"recipe": asdict(recipe), "data": data}
    state = checkpoints.TrainingState(checkpoint, run, model, optimizer, scaler)
    done = state.resume()

    # The caller gets PyTorch's random numbers back as they were
    generators = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with _bar(done.step, total, progress) as bar, generators:
        while done.step < total and not done.finished:
            # Training mode, except in frozen modules: no dropout and no new statistics there
            began = time.perf_counter()
            epoch, first = divmod(done.step, steps_per_epoch)
            model.train()
            for module in eval_modules:
                module.eval()

            for batches in epoch_batches(len(inputs), recipe, epoch)[first:]:
                # The learning rate of step t and its random numbers depend on t alone
                set_rates(optimizer, warmup_cosine(done.step, total, recipe.warmup))
                _seed_step(recipe.seed, done.step, device)

                # The gradient of the mean loss over the n clips of the step,
                # g = 1/n sum_i dL(f(x_i), y_i) / dw, is accumulated batch by batch
                rows = np.concatenate(batches)  # (n,)
                loss = torch.zeros(1, device=device)
                diverged = torch.zeros(len(inputs), device=device)  # 1 where L is not finite
                for batch in map(processes.share, batches):
                    if not len(batch):
                        continue
                    x = tuple(part.to(device) for part in inputs.batch(batch))  # (batch, ...)
                    y = targets[torch.as_tensor(batch)].to(device)
                    with settings.onednn(precision.onednn):
                        with torch.autocast(device.type, precision.dtype, mixed):
                            logits = model(*x)  # (batch, outputs)
                        losses = task.loss(logits.float(), y, recipe.smoothing)  # (batch,)
                        scaler.scale(losses.sum() / len(rows)).backward()
                    loss += losses.detach().sum() / len(rows)
                    diverged[torch.as_tensor(batch)] = (~losses.isfinite()).float()
                processes.add_up(loss)
                processes.add_up(diverged)
                processes.add_gradients(trained)

                # Clip the gradient: g <- g * min(1, c / |g|)
                scaler.unscale_(optimizer)
                norm = nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
                lost = rows[diverged.cpu().numpy()[rows] > 0]
                if len(lost):
                    raise _diverged("loss", done.step, steps_per_epoch, lost, ids, checkpoint)
                if not scaler.is_enabled() and not norm.isfinite():
                    raise _diverged("gradient", done.step, steps_per_epoch, rows, ids, checkpoint)

                # Take the step, and drop the gradients
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                done.step += 1
                done.losses.append(float(loss))
                bar.update()
                bar.set_postfix(loss=f"{done.losses[-1]:.3f}", refresh=False)
                within_epoch = done.step % steps_per_epoch
                if checkpoint_interval and within_epoch and not done.step % checkpoint_interval:
                    state.save()

            # At the end of the epoch: loss and score on the validation clips
            row = {
                "epoch": epoch + 1,
                "step": done.step,
                "rate": warmup_cosine(done.step - 1, total, recipe.warmup),
                "train_loss": float(np.mean(done.losses[-steps_per_epoch:])),
                **_validate(model, task, validation, recipe.batch_size),
            }

            # Early stopping: keep the best epoch's weights, and end the run after `patience` epochs
            # without a better one
            if validation is None or row["valid_loss"] < done.best:
                done.best = row["valid_loss"]
                done.waited = 0
                state.keep_best()
            else:
                done.waited += 1
            done.epochs.append(row | {"seconds": time.perf_counter() - began})
            done.finished = done.step >= total or done.waited >= (recipe.patience or math.inf)
            state.save()
    state.restore_best()
    model.eval()
    return done


def epoch_batches(n: int, recipe: Recipe, epoch: int) -> list[list[np.ndarray]]:
    """Rows of each step of an epoch, in the batches that go through the network at once.

    A last batch of a single clip joins the one before: batch normalisation has no statistics of
    one.

    Examples
    --------
    >>> steps = epoch_batches(7, Recipe(batch_size=2, accumulate=2), epoch=0)
    >>> [[len(batch) for batch in step] for step in steps]
    [[2, 2], [3]]
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(n)
    batches = [order[i : i + recipe.batch_size] for i in range(0, n, recipe.batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return [batches[i : i + recipe.accumulate] for i in range(0, len(batches), recipe.accumulate)]


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """The factor of a step's learning rate: up to 1 in a straight line, then to 0 along a cosine.

    Parameters
    ----------
    step, total : int
        Number of the step, from 0, and number of all steps.
    warmup : float
        Share of the steps that the rise takes.

    Examples
    --------
    >>> [round(warmup_cosine(step, total=10, warmup=0.2), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]
    """
    rise = round(total * warmup)
    if step < rise:
        return (step + 1) / rise
    # eta_t = 1/2 (1 + cos(pi * t / T)), from the end of the warm-up
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to its highest one times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * factor


def adamw(groups: Sequence[dict], weight_decay: float) -> torch.optim.AdamW:
    """The optimizer: each group twice, as normalisations and biases have no weight decay.

    Parameters
    ----------
    groups : sequence of dict
        See `train`.
    weight_decay : float
        Decay of matrices and filters.

    Examples
    --------
    >>> group = {"parameters": list(nn.Linear(3, 2).named_parameters()), "rate": 0.1}
    >>> optimizer = adamw([group], weight_decay=0.05)
    >>> [(len(part["params"]), part["weight_decay"]) for part in optimizer.param_groups]
    [(1, 0.05), (1, 0.0)]
    """
    options = []
    for group in groups:
        for decays in (True, False):
            parameters = [p for _, p in group["parameters"] if (p.ndim > 1) == decays]
            if parameters:
                options.append(
                    {
                        "params": parameters,
                        "highest": group["rate"],
                        "lr": group["rate"],
                        "weight_decay": weight_decay if decays else 0.0,
                    }
                )
    # not fused: on a CPU that pairs weights and gradients as they lie in memory, and is wrong where
    # only one of the two is laid out channels last (torch 2.14)
    return torch.optim.AdamW(options, foreach=False)


def predict(model: nn.Module, inputs: Inputs, outputs: int, batch_size: int = 32) -> torch.Tensor:
    """Logits in evaluation mode, float32 `(n, outputs)` on the CPU; processes share the work."""
    model.eval()
    device = next(model.parameters()).device
    rows = processes.share(np.arange(len(inputs)))
    logits = torch.zeros(len(inputs), outputs, device=device)
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            x = (part.to(device) for part in inputs.batch(batch))
            logits[torch.as_tensor(batch, device=device)] = model(*x).float()
    return processes.add_up(logits).cpu()


def history(progress: Progress) -> pd.DataFrame:
    """A row for each epoch.

    Returns
    -------
    DataFrame
        By epoch: `step`, `rate` (share of the highest), `train_loss`, `valid_loss`, `valid_score`,
        `seconds`.
    """
    columns = ["step", "rate", "train_loss", "valid_loss", "valid_score", "seconds"]
    return pd.DataFrame(progress.epochs, columns=["epoch", *columns]).set_index("epoch")


def filter_layout(model: nn.Module) -> torch.memory_format:
    """The layout of a network's filters over time; `torch.preserve_format` if it has none."""
    filters = [p for p in model.parameters() if p.ndim == 5]
    if not filters:
        return torch.preserve_format
    contiguous = all(p.is_contiguous() for p in filters)
    return torch.contiguous_format if contiguous else torch.channels_last_3d


def _validate(
    model: nn.Module, task: Task, validation: tuple[Inputs, torch.Tensor] | None, batch_size: int
) -> dict[str, float]:
    """Loss and score on the validation clips; NaN if there are none."""
    if validation is None:
        return {"valid_loss": math.nan, "valid_score": math.nan}
    inputs, targets = validation
    logits = predict(model, inputs, task.outputs, batch_size)
    loss = float(task.loss(logits, targets, 0.0).double().mean())
    return {"valid_loss": loss, "valid_score": task.score(logits, targets)}


def _bar(step: int, total: int, progress: bool) -> tqdm:
    """A progress bar in the first process alone."""
    hidden = not progress or processes.join()[0] > 0
    return tqdm(total=total, initial=step, desc="fine-tuning", unit="step", delay=2, disable=hidden)


def _seed_step(seed: int, step: int, device: torch.device) -> None:
    """Seed a step as `torch.manual_seed` does, but without the stack trace it takes for CUDA."""
    rank, world = processes.join()
    seed = (seed * 1_000_003 + step) * world + rank
    torch.default_generator.manual_seed(seed)
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).manual_seed(seed)


def _diverged(
    what: str, step: int, per_epoch: int, rows: np.ndarray, ids: Sequence | None, path: Path | None
) -> TrainingDiverged:
    clips = [ids[int(row)] if ids is not None else int(row) for row in rows]
    shown = ", ".join(map(str, clips[:5])) + (" ..." if len(clips) > 5 else "")
    epoch, batch = divmod(step, per_epoch)
    kept = f" The last good state is in {path.name}." if path and path.is_file() else ""
    message = (
        f"Training diverged: the {what} is NaN or infinite in epoch {epoch + 1}, batch {batch} "
        f"(step {step}); clips: {shown}. Look at these clips and their labels for values that are "
        f"not finite, or take smaller learning rates.{kept}"
    )
    return TrainingDiverged(message, step, batch, clips)
