"""The state of a training run in one safetensors file, written whole or not at all.

The file's header holds a JSON text with the run that the tensors belong to, and the SHA-256 of that
text and of all tensors. A file that was changed since, or that is of another network, other data or
other settings, is refused before anything is changed. Files of formats 1 and 2 have no such hash:
they are read as they are, and the next save of the run gives them one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from vidrec_utils.files import replace_whole
from vidrec_utils.saving import below
from vidrec_utils.transfer_learning import processes

FORMAT = "3"
EARLIER_NAMES = {"body_rate": "backbone_rate"}
"""Fields of a recipe that had another name when a file was written."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another run."""


@dataclass
class Progress:
    """How far a training run has come.

    Attributes
    ----------
    step : int
        Number of steps taken.
    losses : list of float
        Training loss of each step.
    epochs : list of dict
        Rows of the history.
    best : float
        Lowest validation loss.
    waited : int
        Number of epochs since then.
    finished : bool
        Whether the run is complete.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)
    best: float = math.inf
    waited: int = 0
    finished: bool = False

    def check(self) -> None:
        """Compare the types and signs of all entries with what they have to be.

        Raises
        ------
        ValueError
            If one differs.
        """
        counts = (self.step, self.waited)
        sound = (
            all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts)
            and isinstance(self.losses, list)
            and all(isinstance(loss, float) for loss in self.losses)
            and isinstance(self.epochs, list)
            and all(isinstance(row, dict) for row in self.epochs)
            and isinstance(self.best, float)
            and isinstance(self.finished, bool)
        )
        if not sound or len(self.losses) != self.step:
            raise ValueError(f"its progress is not that of a run: {asdict(self)}"[:200])


class TrainingState:
    """Everything that changes during a run, and the file that it is saved in.

    Parameters
    ----------
    path : Path or None
        The checkpoint; None: nothing is saved.
    run : mapping
        What a checkpoint must agree with; the architecture is added to it.
    model, optimizer, scaler
        What is trained, and how. They are changed in place by `resume`.

    Attributes
    ----------
    progress : Progress
        How far the run has come.
    best : dict of str to tensor
        Weights of the best epoch.
    """

    def __init__(
        self,
        path: Path | None,
        run: Mapping[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ):
        self.path = path
        self.run = {**run, "architecture": shape_digest(changing_tensors(model))}
        self.model, self.optimizer, self.scaler = model, optimizer, scaler
        self.progress = Progress()
        self.keep_best()

    def resume(self) -> Progress:
        """Go on from the checkpoint if the file is there; return the progress.

        Raises
        ------
        CheckpointError
            If the file is damaged, or belongs to another run.
        """
        if self.path is not None and self.path.is_file():
            tensors, metadata = read(self.path, self.run)
            progress, scaler = self._checked(tensors, metadata)
            self.scaler.load_state_dict(scaler)
            self.progress = progress
            self.best = below(tensors, "best/")
            assign(self.model, below(tensors, "model/"))
            unpack(self.optimizer, below(tensors, "optimizer/"))
        processes.wait()  # no process writes while another still reads
        return self.progress

    def _checked(
        self, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
    ) -> tuple[Progress, dict[str, Any]]:
        """Progress and scaler of a file, once everything in it is known to fit this run.

        Raises
        ------
        CheckpointError
            If something is missing, left over, or of another shape or type.
        """
        try:
            progress = Progress(**metadata["progress"])
            progress.check()
            own = changing_tensors(self.model)
            for kind in ("model/", "best/"):
                if _shapes(below(tensors, kind)) != _shapes(own):
                    raise ValueError(f"the tensors {kind}* are not those of the network")
            _check_optimizer(self.optimizer, below(tensors, "optimizer/"))
            scaler = metadata["scaler"]
            if not isinstance(scaler, dict) or scaler.keys() != self.scaler.state_dict().keys():
                raise ValueError("its scaler has other entries")
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this run: {error}. Remove it to start anew."
            ) from error
        return progress, scaler

    def save(self) -> None:
        """Write the checkpoint, in one process of all."""
        if self.path is None or processes.join()[0]:
            return
        saved = {
            "model": changing_tensors(self.model),
            "best": self.best,
            "optimizer": pack(self.optimizer),
        }
        tensors = {f"{kind}/{name}": t for kind, own in saved.items() for name, t in own.items()}
        progress, scaler = asdict(self.progress), self.scaler.state_dict()
        write(self.path, tensors, {"run": self.run, "progress": progress, "scaler": scaler})

    def keep_best(self) -> None:
        """Take the present weights as those of the best epoch."""
        self.best = {n: t.detach().clone() for n, t in changing_tensors(self.model).items()}

    def restore_best(self) -> None:
        """Give the model the weights of the best epoch."""
        assign(self.model, self.best)


def shape_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Digest of the names and shapes of tensors: the architecture, whatever its values."""
    return digest([[name, list(tensor.shape)] for name, tensor in sorted(tensors.items())])


def digest(*contents: object) -> str:
    """Digest of tensors, and of anything else that JSON can represent."""
    hashed = hashlib.sha256()
    for content in contents:
        if isinstance(content, torch.Tensor):
            hashed.update(content.detach().cpu().contiguous().numpy().tobytes())
        else:
            hashed.update(json.dumps(content, sort_keys=True, default=str).encode())
    return hashed.hexdigest()[:16]


def changing_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a model that training may change: trained parameters, and all statistics."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return parameters | dict(model.named_buffers())


@torch.no_grad()
def assign(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy values into the tensors of a model that `changing_tensors` lists."""
    for name, tensor in changing_tensors(model).items():
        tensor.copy_(tensors[name])


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and a description of them, atomically."""
    # copies: safetensors refuses tensors that share memory, or whose layout is channels last
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    text = json.dumps(metadata)
    header = {"format": FORMAT, "metadata": text, "sha256": _checksum(plain, text)}
    replace_whole(path, save(plain, header))


def read(path: Path, run: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write` wrote, if it belongs to a run.

    Parameters
    ----------
    path : Path
        The file.
    run : mapping
        What must be the same in the description's `"run"`, such as the architecture.

    Raises
    ------
    CheckpointError
        If the file is damaged or has another format, or belongs to another run; the message names
        the differences.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint that can be read: {error}. Remove it to start anew."
        ) from error
    if header.get("format") not in ("1", "2", FORMAT):
        raise CheckpointError(f"{path} is no checkpoint of a fine-tuning run. Remove it.")
    text = header.get("told" if header["format"] == "1" else "metadata", "")
    checksum = header.get("sha256")
    if checksum is None and header["format"] == FORMAT:
        raise CheckpointError(f"{path} was changed after it was saved. Remove it to start anew.")
    if checksum is not None and checksum != _checksum(tensors, text):
        raise CheckpointError(f"{path} was changed after it was saved. Remove it to start anew.")
    try:
        metadata = json.loads(text)
        if header["format"] == "1":
            tensors, metadata = _translated(tensors, metadata)
        saved = dict(metadata["run"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} does not describe a run: {type(error).__name__}: {error}. Remove it to start "
            "anew."
        ) from error
    differing = [name for name, value in run.items() if saved.get(name) != value]
    if differing:
        changes = ", ".join(
            f"{name} was {saved.get(name)!r} and is {run[name]!r}" for name in differing[:4]
        )
        raise CheckpointError(
            f"{path} belongs to another run: {changes}. Give this run a checkpoint file of "
            "its own, or remove the old one to start anew."
        )
    return tensors, metadata


def current_names(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe from a file under their present names."""
    return {EARLIER_NAMES.get(name, name): value for name, value in recipe.items()}


def _translated(
    tensors: Mapping[str, torch.Tensor], metadata: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A file of format 1, in which the backbone was called `body`, under the present names."""
    renamed = {
        re.sub(r"^(model|best)/body\.", r"\1/backbone.", name): t for name, t in tensors.items()
    }
    run = metadata["run"]
    run["recipe"] = current_names(run["recipe"])
    run["architecture"] = shape_digest(below(renamed, "model/"))
    return renamed, metadata


def _checksum(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """SHA-256 of tensors, their names, types and shapes, and of a text."""
    hashed = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        hashed.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _check_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise a ValueError where tensors are not the state of an optimizer's parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        fits = index.isdecimal() and int(index) < len(parameters)
        if not fits or tensor.shape not in (torch.Size(), parameters[int(index)].shape):
            raise ValueError(f"the tensor optimizer/{index}/{name} is of no parameter")


def pack(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of an optimizer as named tensors."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def unpack(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer the state that `pack` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
