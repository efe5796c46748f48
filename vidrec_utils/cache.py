"""Results kept by their content: computed by whoever needs them first, found by all others.

`load_or_build` keeps arrays. Every cache of the package also tells `record` what was computed and
what was found, so that a profile can say where the time of a notebook goes: `VIDREC_CACHE_LOG`
names the file to which the lines are added.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidrec_utils import settings
from vidrec_utils.files import replace_whole

LOG_VARIABLE = "VIDREC_CACHE_LOG"
"""Environment variable that names the file for `record`; nothing is recorded without it."""


@dataclass(frozen=True)
class Lookup:
    """One question to a cache.

    Attributes
    ----------
    what : str
        What was asked for, such as `"cleaning"` or `"vectors of titles, minilm"`.
    computed : int
        How many of the items had to be computed.
    reused : int
        How many were kept from before.
    seconds : float
        Wall time until all of them were available.
    """

    what: str
    computed: int
    reused: int
    seconds: float


def record(lookup: Lookup) -> None:
    """Add one line to the file that `VIDREC_CACHE_LOG` names, if it names one."""
    path = os.environ.get(LOG_VARIABLE)
    if path:
        with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(lookup)) + "\n")


def read_log(path: Path, start: int = 0) -> tuple[list[Lookup], int]:
    """Read what `record` has written.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    start : int
        Bytes to leave out: what an earlier call has read.

    Returns
    -------
    lookups : list of Lookup
        In the order of time. A line that is still being written is left for the next call.
    end : int
        Where the next call should start.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            data = stream.read()
    except FileNotFoundError:
        return [], start
    whole = data[: data.rfind(b"\n") + 1]
    return [Lookup(**json.loads(line)) for line in whole.splitlines()], start + len(whole)


@contextlib.contextmanager
def recorded(what: str, computed: int = 1, reused: int = 0) -> Iterator[None]:
    """Record how long a block took that computes what a cache lacked.

    Examples
    --------
    >>> with recorded("vectors of titles", computed=3, reused=7):
    ...     pass
    """
    start = time.perf_counter()
    yield
    record(Lookup(what, computed, reused, round(time.perf_counter() - start, 3)))


def code_version(*folders: Path) -> str:
    """Hexadecimal SHA-256 of the Python sources in some folders.

    As part of a key it makes sure that improved code does not find what older code computed.
    """
    sources = [source for folder in folders for source in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def load_or_build(
    what: str, key: object, build: Callable[[], Mapping[str, np.ndarray]], name: str | None = None
) -> dict[str, np.ndarray]:
    """Return arrays that were kept under a key, or compute them and keep them.

    They lie in one file of `settings.cache_dir()`, which is written whole or not at all. A file
    whose bytes are not what was written is computed again. Of several processes that ask at the
    same time, one computes and the others wait.

    Parameters
    ----------
    what : str
        A noun phrase for the profile and for the folder, such as `"clips"`.
    key : object
        Everything that the arrays depend on, the version of the code included, as values whose
        `repr` tells them apart: texts, numbers, and tuples, lists and dicts of them.
    build : callable
        Computes the arrays, by name. Called at most once.
    name : str, optional
        Shown in the profile after `what`.

    Returns
    -------
    dict of str to ndarray
        By name, in the order of the names.

    Raises
    ------
    TypeError
        If an array is of Python objects, which cannot be kept.

    Warns
    -----
    RuntimeWarning
        If the arrays could not be kept, because the disk is full, for example.

    Examples
    --------
    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, VIDREC_DATA=folder):
    ...     for n in (1, 2):  # the second call finds what the first one kept
    ...         print(load_or_build("example", "key", lambda: {"n": np.array([n])})["n"])
    [1]
    [1]
    """
    start = time.perf_counter()
    folder = settings.cache_dir() / re.sub(r"[^A-Za-z0-9_-]+", "-", what)
    path = folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.safetensors"
    label = f"{what}, {name}" if name else what
    arrays = _read(path)
    if arrays is None:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # writing will say so
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(folder / f"{path.stem}.lock"))
            arrays = _read(path)  # another process may have been at work
            if arrays is None:
                with recorded(label):
                    return _built(build, path, label)
    record(Lookup(label, 0, 1, round(time.perf_counter() - start, 3)))
    return arrays


def _built(
    build: Callable[[], Mapping[str, np.ndarray]], path: Path, label: str
) -> dict[str, np.ndarray]:
    """Compute arrays and keep them if possible."""
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(build().items())}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(
                f"{label}: the array {name!r} holds Python objects, which cannot be kept; make it "
                "an array of numbers."
            )
    try:
        replace_whole(path, save(arrays, {"sha256": _checksum(arrays)}))
    except OSError as error:
        warnings.warn(
            f"{label} could not be kept in {path.parent} ({error}), so the next run computes it "
            "again; set VIDREC_DATA to a folder that can be written.",
            RuntimeWarning,
            stacklevel=4,
        )
    return arrays


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file, or None if it is absent or not what was written."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
            known = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return arrays if known == _checksum(arrays) else None


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Hexadecimal SHA-256 of the names, kinds, shapes and bytes of some arrays."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
