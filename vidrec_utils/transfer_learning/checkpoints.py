"""The state of a training run in one safetensors file, written whole or not at all.

Beside the tensors stands a JSON text in the file's header, which names the run that it belongs to.
A file of another network, other data or other settings is refused before anything is changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from vidrec_utils.files import replace_whole

FORMAT = "1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another run."""


def describe(tensors: Mapping[str, torch.Tensor]) -> str:
    """Digest of the names and shapes of tensors: the architecture, whatever its values."""
    shapes = [[name, list(tensor.shape)] for name, tensor in sorted(tensors.items())]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]


def digest(*parts: object) -> str:
    """Digest of tensors, and of whatever JSON can say."""
    found = hashlib.sha256()
    for part in parts:
        if torch.is_tensor(part):
            found.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            found.update(json.dumps(part, sort_keys=True, default=str).encode())
    return found.hexdigest()[:16]


def changing(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a model that training may change: trained parameters, and all statistics."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return parameters | dict(model.named_buffers())


@torch.no_grad()
def put(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the places of a model that `changing` names."""
    for name, place in changing(model).items():
        place.copy_(tensors[name])


def write(path: Path, tensors: Mapping[str, torch.Tensor], told: Mapping[str, Any]) -> None:
    """Write tensors and a description, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # copies: safetensors refuses tensors that share memory, or that lie channels last
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    data = save(plain, {"format": FORMAT, "told": json.dumps(told)})
    replace_whole(path, data)


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
        If the file is damaged or of another format, or belongs to another run; says in what.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path.name} is no checkpoint that can be read: {error}. Remove it to start anew."
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path.name} is no checkpoint of a fine-tuning run. Remove it.")
    told = json.loads(header["told"])
    other = [name for name, value in run.items() if told["run"].get(name) != value]
    if other:
        were = ", ".join(
            f"{name} was {told['run'].get(name)!r} and is {run[name]!r}" for name in other[:4]
        )
        raise CheckpointError(
            f"{path.name} belongs to another run: {were}. Give this run a checkpoint file of its "
            "own, or remove the old one to start anew."
        )
    return tensors, told


def pack(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimizer's state as named tensors."""
    return {
        f"{place}/{name}": torch.as_tensor(value)
        for place, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def unpack(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `pack` took."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        place, _, name = key.partition("/")
        state.setdefault(int(place), {})[name] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def prefixed(
    prefix: str, tensors: Mapping[str, torch.Tensor]
) -> Iterable[tuple[str, torch.Tensor]]:
    """Pairs with a prefix before each name."""
    return ((prefix + name, tensor) for name, tensor in tensors.items())
