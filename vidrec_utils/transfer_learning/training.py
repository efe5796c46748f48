"""The training loop, to be read from top to bottom: `train`.

Every strategy runs it; they differ in what they hand over as trainable, and at which rate. What
chance decides in a step (the order of examples, dropout) depends on the seed and the step's number
alone, so that a run which goes on from a checkpoint takes the same steps as one that was never
interrupted.

References
----------
Loshchilov, Hutter: SGDR. ICLR 2017 (arXiv:1608.03983): the cosine. Loshchilov, Hutter: Decoupled
Weight Decay Regularization. ICLR 2019 (arXiv:1711.05101). Szegedy et al.: Rethinking the Inception
Architecture. CVPR 2016 (arXiv:1512.00567), section 7: label smoothing.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.transfer_learning import checkpoints, processes
from vidrec_utils.transfer_learning.bodies import Inputs
from vidrec_utils.transfer_learning.tasks import Task


class TrainingDiverged(RuntimeError):
    """The loss is no number any more.

    Attributes
    ----------
    step, batch : int
        Which step of the run, and which batch of its epoch, from 0.
    clips : list
        Ids (or positions) of the clips whose loss is no number.
    """

    def __init__(self, message: str, step: int, batch: int, clips: list):
        super().__init__(message)
        self.step, self.batch, self.clips = step, batch, clips


@dataclass(frozen=True)
class Recipe:
    """Everything about a run that is a number.

    Attributes
    ----------
    epochs : int
        Passes over the training clips, at most.
    batch_size : int
        Clips in one forward pass.
    head_rate, body_rate : float
        Highest learning rates of the head and of what is trained below it.
    weight_decay : float
        Of matrices and filters; norms and biases have none.
    warmup : float
        Share of the steps in which the rate rises from 0; after that it falls along a cosine.
    smoothing : float
        Part of each label that is spread over all classes.
    clip_norm : float
        Longest gradient; a longer one is scaled down to it.
    accumulate : int
        Batches whose gradients are added up before a step.
    patience : int or None
        Epochs without a better validation loss after which training ends. The best epoch's weights
        are kept. None: never.
    dropout : float
        Share of the head's inputs that is dropped in training.
    blocks : int
        How many of the last blocks the strategy "partial" trains.
    decay : float
        Rate of a block divided by that of the block above, in the strategy "discriminative".
    rank : int
        Of the matrices that the strategy "lora" adds.
    batch_norm : {"auto", "frozen", "train"}
        Whether batch normalisation keeps its statistics. "auto": yes, unless the encoder's weights
        are random. Few clips a batch make poor statistics.
    seed : int
        Of order, dropout and adapters.
    """

    epochs: int = 10
    batch_size: int = 16
    head_rate: float = 3e-3
    body_rate: float = 1e-4
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

    def __post_init__(self):
        for name in ("epochs", "batch_size", "accumulate", "blocks", "rank"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 up.")
        for name in ("warmup", "smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in 0..1, below 1.")
        if self.batch_norm not in ("auto", "frozen", "train"):
            raise ValueError(
                f"batch_norm is {self.batch_norm!r}; choose 'auto', 'frozen' or 'train'."
            )


@dataclass
class Progress:
    """How far a run has come.

    Attributes
    ----------
    step : int
        Steps taken.
    losses : list of float
        Training loss of each.
    epochs : list of dict
        Rows of the history.
    best : float
        Lowest validation loss.
    waited : int
        Epochs since then.
    finished : bool
        Whether there is nothing left to do.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)
    best: float = math.inf
    waited: int = 0
    finished: bool = False


def train(
    model: nn.Module,
    inputs: Inputs,
    targets: torch.Tensor,
    task: Task,
    groups: Sequence[dict],
    recipe: Recipe,
    *,
    resting: Sequence[nn.Module] = (),
    validation: tuple[Inputs, torch.Tensor] | None = None,
    ids: Sequence | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int | None = None,
    run: dict | None = None,
    progress: bool = True,
) -> Progress:
    """Train a model in place.

    Parameters
    ----------
    model : Module
        From a batch of prepared inputs to logits `(n, outputs)`; on its device.
    inputs, targets : Inputs, tensor
        One row a clip.
    task : Task
        The loss.
    groups : sequence of dict
        `parameters` (named ones, as pairs) and their highest `rate`.
    recipe : Recipe
        All numbers.
    resting : sequence of Module
        Stay in evaluation mode.
    validation : (Inputs, tensor), optional
        Looked at after each epoch.
    ids : sequence, optional
        Names of the clips for messages.
    checkpoint : Path, optional
        Where the run's state is kept; if the file is there, the run goes on from it.
    checkpoint_every : int, optional
        Steps between two checkpoints; by default one at the end of each epoch.
    run : dict, optional
        What a checkpoint must agree with.
    progress : bool
        Show a bar when training takes longer than two seconds.

    Raises
    ------
    TrainingDiverged
        If a loss or gradient is no number; the checkpoint is the last good one then.
    CheckpointError
        If the checkpoint is damaged or of another run.
    """
    device = next(model.parameters()).device
    # float32 on a CPU, where lower precision costs more
    dtype, onednn, warning = settings.training_format(
        settings.instruction_set(), device, settings.dtype(device), filter_layout(model)
    )
    if warning:
        warnings.warn(warning, RuntimeWarning, stacklevel=2)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    rank, world = processes.join()
    trained = [p for group in groups for _, p in group["parameters"]]
    # not fused: on a CPU that pairs weights and gradients as they lie in memory, and is wrong where
    # only one of the two is laid out channels last (torch 2.14)
    optimizer = torch.optim.AdamW(_optimizer_groups(groups, recipe.weight_decay), foreach=False)
    per_epoch = len(epoch_batches(len(inputs), recipe, 0))
    total = recipe.epochs * per_epoch
    state, best = Progress(), {n: t.clone() for n, t in checkpoints.changing(model).items()}
    run = (run or {}) | {
        "architecture": checkpoints.describe(checkpoints.changing(model)),
        "recipe": asdict(recipe),
        "data": checkpoints.digest(targets, [str(i) for i in ids or ()]),
    }
    if checkpoint is not None and Path(checkpoint).is_file():
        tensors, told = checkpoints.read(Path(checkpoint), run)
        state, best = Progress(**told["progress"]), checkpoints.below(tensors, "best/")
        checkpoints.put(model, checkpoints.below(tensors, "model/"))
        checkpoints.unpack(optimizer, checkpoints.below(tensors, "optimizer/"))
        scaler.load_state_dict(told["scaler"])
    processes.wait()  # nobody writes while another still reads

    def keep() -> None:
        if checkpoint is None or rank:
            return
        tensors = dict(checkpoints.prefixed("model/", checkpoints.changing(model)))
        tensors.update(checkpoints.prefixed("best/", best))
        tensors.update(checkpoints.prefixed("optimizer/", checkpoints.pack(optimizer)))
        told = {"run": run, "progress": asdict(state), "scaler": scaler.state_dict()}
        checkpoints.write(Path(checkpoint), tensors, told)

    bar = tqdm(total=total, initial=state.step, desc="fine-tuning", unit="step", delay=2,
               disable=not progress or rank > 0)  # fmt: skip
    forked = [device] if device.type == "cuda" else []
    with bar, torch.random.fork_rng(devices=forked):
        while state.step < total and not state.finished:
            began = time.perf_counter()
            epoch, place = divmod(state.step, per_epoch)
            model.train()
            for module in resting:
                module.eval()
            for batch in epoch_batches(len(inputs), recipe, epoch)[place:]:
                _seed((recipe.seed * 1_000_003 + state.step) * world + rank, device)
                set_rates(optimizer, warmup_cosine(state.step, total, recipe.warmup))

                # Gradients of the mean loss over all clips of the step, whoever computes them
                rows = np.concatenate(batch)
                loss = torch.zeros(1 + len(rows), device=device)  # and which clips have none
                for part, start in zip(batch, _starts(batch), strict=True):
                    mine = np.arange(len(part))[rank::world]
                    if not len(mine):
                        continue
                    prepared = tuple(x.to(device) for x in inputs.batch(part[mine]))
                    wanted = targets[torch.as_tensor(part[mine])].to(device)
                    with settings.onednn(onednn):
                        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                            logits = model(*prepared)
                        each = task.loss(logits.float(), wanted, recipe.smoothing)  # (n,)
                        scaler.scale(each.sum() / len(rows)).backward()
                    loss[0] += each.detach().sum() / len(rows)
                    loss[1 + start + torch.as_tensor(mine)] = (~each.isfinite()).float()
                processes.add_up(loss)
                processes.add_gradients(trained)

                scaler.unscale_(optimizer)
                length = nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
                lost = loss[1:].cpu().numpy() > 0
                if lost.any():
                    raise _diverged("loss", state.step, per_epoch, rows[lost], ids, checkpoint)
                if not scaler.is_enabled() and not length.isfinite():
                    raise _diverged("gradient", state.step, per_epoch, rows, ids, checkpoint)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                state.step += 1
                state.losses.append(float(loss[0]))
                bar.update()
                bar.set_postfix(loss=f"{state.losses[-1]:.3f}", refresh=False)
                if (
                    state.step % per_epoch
                    and checkpoint_every
                    and not state.step % checkpoint_every
                ):
                    keep()

            row = {
                "epoch": epoch + 1,
                "step": state.step,
                "rate": warmup_cosine(state.step - 1, total, recipe.warmup),
                "train_loss": float(np.mean(state.losses[-per_epoch:])),
                "valid_loss": math.nan,
                "valid_score": math.nan,
            }
            if validation is not None:
                logits = predict(model, validation[0], task.outputs, recipe.batch_size)
                row["valid_loss"] = float(task.loss(logits, validation[1], 0.0).double().mean())
                row["valid_score"] = task.score(logits, validation[1])
            if validation is None or row["valid_loss"] < state.best:
                state.best, state.waited = row["valid_loss"], 0
                best = {n: t.detach().clone() for n, t in checkpoints.changing(model).items()}
            else:
                state.waited += 1
            state.epochs.append(row | {"seconds": time.perf_counter() - began})
            state.finished = state.step >= total or state.waited >= (recipe.patience or math.inf)
            keep()
    checkpoints.put(model, best)
    model.eval()
    return state


def filter_layout(model: nn.Module) -> torch.memory_format:
    """The layout of a network's filters over time; `torch.preserve_format` if it has none."""
    filters = [p for p in model.parameters() if p.ndim == 5]
    if not filters:
        return torch.preserve_format
    if all(p.is_contiguous() for p in filters):
        return torch.contiguous_format
    return torch.channels_last_3d


def epoch_batches(n: int, recipe: Recipe, epoch: int) -> list[list[np.ndarray]]:
    """Rows of each step of an epoch, in the parts that go through the network at once.

    A last batch of a single clip joins the one before: batch normalisation has no statistics of
    one.
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(n)
    parts = [order[i : i + recipe.batch_size] for i in range(0, n, recipe.batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return [parts[i : i + recipe.accumulate] for i in range(0, len(parts), recipe.accumulate)]


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """The factor of a step's learning rate: up to 1 in a straight line, then to 0 along a cosine.

    Parameters
    ----------
    step, total : int
        From 0, and how many there are.
    warmup : float
        Share of the steps that the rise takes.
    """
    rise = round(total * warmup)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to its highest times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * factor


def predict(model: nn.Module, inputs: Inputs, outputs: int, batch_size: int = 32) -> torch.Tensor:
    """Logits in evaluation mode, float32 `(n, outputs)` on the CPU; processes share the work."""
    model.eval()
    device = next(model.parameters()).device
    rank, world = processes.join()
    rows = np.arange(len(inputs))[rank::world]
    found = torch.zeros(len(inputs), outputs, device=device)
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            prepared = (part.to(device) for part in inputs.batch(some))
            found[torch.as_tensor(some, device=device)] = model(*prepared).float()
    return processes.add_up(found).cpu()


def history(state: Progress) -> pd.DataFrame:
    """`step, rate` (share of the highest)`, train_loss, valid_loss, valid_score, seconds`."""
    columns = ["step", "rate", "train_loss", "valid_loss", "valid_score", "seconds"]
    return pd.DataFrame(state.epochs, columns=["epoch", *columns]).set_index("epoch")


def _seed(seed: int, device: torch.device) -> None:
    """What `torch.manual_seed` does, without the stack trace that it takes for CUDA each time."""
    torch.default_generator.manual_seed(seed)
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).manual_seed(seed)


def _optimizer_groups(groups: Sequence[dict], weight_decay: float) -> list[dict]:
    """Each group twice: what has a weight decay, and norms and biases, which have none."""
    out = []
    for group in groups:
        for decays in (True, False):
            some = [p for _, p in group["parameters"] if (p.ndim > 1) == decays]
            if some:
                decay = weight_decay if decays else 0.0
                out.append({"params": some, "highest": group["rate"], "lr": group["rate"],
                            "weight_decay": decay})  # fmt: skip
    return out


def _starts(batch: list[np.ndarray]) -> list[int]:
    """Where each part of a step begins among all of its rows."""
    return [0, *np.cumsum([len(part) for part in batch])[:-1].tolist()]


def _diverged(
    what: str, step: int, per_epoch: int, rows: np.ndarray, ids: Sequence | None, path: Path | None
) -> TrainingDiverged:
    clips = [ids[int(row)] if ids is not None else int(row) for row in rows]
    shown = ", ".join(map(str, clips[:5])) + (" ..." if len(clips) > 5 else "")
    epoch, batch = divmod(step, per_epoch)
    kept = f" The last good state is in {Path(path).name}." if path and Path(path).is_file() else ""
    message = (
        f"The {what} is no number in epoch {epoch + 1}, batch {batch} (step {step}); clips: "
        f"{shown}. Look at these clips and their labels for values that are not finite, or take "
        f"smaller learning rates.{kept}"
    )
    return TrainingDiverged(message, step, batch, clips)
