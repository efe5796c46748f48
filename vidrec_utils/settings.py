"""Paths, device, threads, seed and profile: every choice about the machine, made in one place.

Each value is a function, not a constant, so that an environment variable set in a notebook or a
test takes effect from then on. `VIDREC_DATA` moves the data folder, `VIDREC_DATASET` names the
library that `datasets.load()` reads, `VIDREC_PROFILE` chooses the size of the embedded world, and
`VIDREC_DEVICE` and `VIDREC_THREADS` override what is detected on the machine.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

SEED = 0
"""The course's seed. Notebooks pass it on explicitly; nothing else reads it."""

PROFILES = ("small", "large")


def repository() -> Path | None:
    """The root of the course's checkout, or None where the package was installed without it."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "notebooks").is_dir() and (root / "pyproject.toml").is_file() else None


def data_dir() -> Path:
    """The folder for worlds, vectors and other files that can be computed again.

    `VIDREC_DATA` if it is set, else `data/` of the checkout, else `vidrec-data/` in the current
    folder. The folder is created when something is first written there.
    """
    chosen = os.environ.get("VIDREC_DATA")
    if chosen:
        return Path(chosen).expanduser().resolve()
    root = repository()
    return root / "data" if root else Path.cwd() / "vidrec-data"


def cache_dir() -> Path:
    """The folder of computed vectors and cleaning results: safe to delete at any time."""
    return data_dir() / "cache"


def build_dir() -> Path:
    """The folder of executed notebooks: `build/` of the checkout, else of the current folder."""
    return (repository() or Path.cwd()) / "build"


def dataset_name() -> str:
    """What `datasets.load()` reads: `VIDREC_DATASET` (a name or a folder), else `"minitube"`."""
    return os.environ.get("VIDREC_DATASET") or "minitube"


def profile() -> str:
    """Size of the embedded world, `"small"` unless `VIDREC_PROFILE` says `"large"`.

    Raises
    ------
    ValueError
        If `VIDREC_PROFILE` is neither of the two.

    Examples
    --------
    >>> profile() in PROFILES
    True
    """
    chosen = os.environ.get("VIDREC_PROFILE") or "small"
    if chosen not in PROFILES:
        raise ValueError(f"VIDREC_PROFILE is {chosen!r}; set it to one of {', '.join(PROFILES)}.")
    return chosen


def device() -> torch.device:
    """The device that models run on: `VIDREC_DEVICE`, else CUDA, else Apple's MPS, else the CPU."""
    import torch

    chosen = os.environ.get("VIDREC_DEVICE")
    if chosen:
        return torch.device(chosen)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def dtype(on: torch.device | None = None) -> torch.dtype:
    """The number format for inference on a device: float16 on CUDA, float32 elsewhere.

    Without hardware support for it, bfloat16 on a CPU is many times slower than float32, so a CPU
    always computes in float32.
    """
    import torch

    return torch.float16 if (on or device()).type == "cuda" else torch.float32


def instruction_set() -> str:
    """The widest vector instructions of this processor: `"AVX512"`, `"AVX2"`, `"DEFAULT"`, ...

    What the processor has counts, not what `ATEN_CPU_CAPABILITY` restricts PyTorch's own kernels
    to, because oneDNN does not follow that variable.
    """
    import torch

    if torch.cpu.get_capabilities().get("avx512_f"):
        return "AVX512"
    return torch.backends.cpu.get_cpu_capability()


ONEDNN_WARNING = (
    "On processors with AVX-512, oneDNN computes wrong bfloat16 gradients for filters over time. "
    "Training goes on with PyTorch's own kernels, which are right but slower. Take float32 or "
    "float16 to train with oneDNN."
)


class TrainingFormat(NamedTuple):
    """How a network is trained on a device.

    Attributes
    ----------
    dtype : torch.dtype
        The number format of the forward pass; weights stay in float32.
    onednn : bool
        Whether the library oneDNN may compute convolutions on the CPU.
    warning : str
        What the user has to know about the choice; empty if nothing.
    """

    dtype: torch.dtype
    onednn: bool
    warning: str


def training_format(
    instruction_set: str,
    device: torch.device,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> TrainingFormat:
    """Choose how to train a network, so that its gradients are right on every processor.

    oneDNN computes wrong gradients, some of them infinite, for the weights of a bfloat16 `Conv3d`
    on processors with AVX-512, wherever the filter is longer in time than the clip (torch 2.14.1).
    In the layout channels last all widths are affected, in the contiguous layout networks from 16
    channels up. PyTorch's own kernels are right there, only slower; so are oneDNN's for float16,
    for float32 and for convolutions over images.

    Parameters
    ----------
    instruction_set : str
        Vector instructions of the processor; see `instruction_set`.
    device : torch.device
        Where the network is.
    dtype : torch.dtype
        The number format that is asked for.
    memory_format : torch.memory_format
        The layout of the network's filters over time, `torch.contiguous_format` or
        `torch.channels_last_3d`. For a network without filters over time, `torch.channels_last` or
        `torch.preserve_format`.

    Returns
    -------
    TrainingFormat
        The number format is always the one that is asked for.

    Examples
    --------
    >>> import torch
    >>> cpu, layout = torch.device("cpu"), torch.channels_last_3d
    >>> training_format("AVX2", cpu, torch.bfloat16, layout).onednn
    True
    >>> training_format("AVX512", cpu, torch.bfloat16, layout).onednn
    False
    """
    import torch

    wrong_with_onednn = (
        device.type == "cpu"
        and instruction_set.startswith("AVX512")
        and dtype == torch.bfloat16
        and memory_format in (torch.contiguous_format, torch.channels_last_3d)
    )
    return TrainingFormat(dtype, not wrong_with_onednn, ONEDNN_WARNING if wrong_with_onednn else "")


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Let oneDNN compute convolutions on the CPU, or leave them to PyTorch's own kernels."""
    import torch

    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = before and enabled
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def precision(on: torch.device) -> AbstractContextManager:
    """Run a network in `dtype(on)` inside the block."""
    import torch

    chosen = dtype(on)
    return nullcontext() if chosen == torch.float32 else torch.autocast(on.type, chosen)


SMALL_STEP = 2e8
"""Multiplications below which a step of training takes less time than starting its threads."""


@contextmanager
def threads_for(multiplications: float) -> Iterator[None]:
    """Let PyTorch and BLAS use one thread for small steps, and all of their threads for large ones.

    On matrices as small as those of a course, threads mostly wait for one another: on a machine
    with other work the same training took twenty times the processor time with two of them.

    Parameters
    ----------
    multiplications : float
        Approximate number of multiplications in one step.
    """
    if multiplications >= SMALL_STEP:
        yield
        return
    from threadpoolctl import threadpool_limits

    with one_torch_thread(), threadpool_limits(1):
        yield


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let PyTorch use one thread inside the block, and as many as before after it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads() -> int:
    """How many CPU threads to use: `VIDREC_THREADS`, else the cores this process may run on.

    Raises
    ------
    ValueError
        If `VIDREC_THREADS` is not a positive whole number.
    """
    chosen = os.environ.get("VIDREC_THREADS")
    if chosen:
        if not chosen.isdigit() or int(chosen) < 1:
            raise ValueError(f"VIDREC_THREADS is {chosen!r}; set it to a whole number from 1 up.")
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def release_memory(collect: bool = True) -> None:
    """Give memory that nothing uses any more back to the operating system.

    Python frees an object as soon as nothing refers to it, but the C library of Linux keeps the
    space for later. After a large network was dropped, that can be half a gigabyte.

    Parameters
    ----------
    collect : bool
        Free objects that only refer to each other first, which takes a fraction of a second.

    References
    ----------
    GNU C Library: malloc_trim(3). Other C libraries are left to themselves.

    Examples
    --------
    >>> release_memory()
    """
    if collect:
        gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
