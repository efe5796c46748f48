"""The work behind `embed`: reading, preparing and encoding side by side, in bounded memory."""

from __future__ import annotations

import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import psutil
from tqdm import tqdm

from vidrec_utils import settings
from vidrec_utils.encoders import Encoder, Staged, Windows

if TYPE_CHECKING:
    import torch

    from vidrec_utils.embeddings.store import Store

Loaded: TypeAlias = "list | torch.Tensor"
"""Items of a batch as they were read, or what an encoder prepared of them."""
MOST = {"title": 64, "thumbnail": 32, "clip": 8, "sound": 16}
AHEAD = 2  # batches that are read before they are needed
SHARE = 0.25  # of the available memory that one batch may take
ACTIVATIONS = 16  # bytes that a network holds at once, per byte of its float32 input
_NO_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


PASSING = ("too_slow", "too_large", "unreadable", "unsupported", "failed", "missing")
"""Reasons of media errors that another budget, permission or package may lift: not kept."""


class Passing(str):
    """A reason for a failure that may pass, so that it is not kept in a store."""

    __slots__ = ()


@dataclass(frozen=True)
class Item:
    """Something to encode.

    Attributes
    ----------
    key : str
        Key of its vector.
    read : callable
        Reads it.
    pool : callable or None
        If it is read as several windows, an axis before all others: from their vectors `(windows,
        dim)` to that of the item.
    """

    key: str
    read: Callable[[], str | np.ndarray]
    pool: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Batch:
    """What was read of the items of a batch.

    Attributes
    ----------
    loaded : list or tensor
        What goes into the encoder: the items that could be read, or all windows of each, one after
        the other; or what the encoder prepared of them.
    counts : list of int
        How many windows each item that could be read has; 1 for one that is read as a whole.
    reasons : list of str or None
        Why an item could not be read.
    """

    loaded: Loaded
    counts: list[int]
    reasons: list[str | None]


def compute(
    store: Store, encoder: Encoder, todo: Sequence[Item], size: int, title: str, progress: bool
) -> dict[str, str]:
    """Encode items batch by batch and append each batch to the store.

    Items that failed for a reason that may pass (see `PASSING`) are left out of the store.

    Parameters
    ----------
    store : Store
        Its lock is held by the caller.
    encoder : Encoder
        With or without `encode_prepared`.
    todo : sequence of Item
        Keys that the store lacks, each once.
    size : int
        Items of a batch.
    title : str
        Shown before the bar.
    progress : bool
        Show it.

    Returns
    -------
    dict
        Keys of the items that were left out, with reasons.
    """
    passing: dict[str, str] = {}
    batches = [todo[start : start + size] for start in range(0, len(todo), size)]
    staged = encoder if isinstance(encoder, Staged) else None
    forward = Forward(staged.encode_prepared if staged else encoder.encode, encoder.name, size)
    ahead = _read_ahead(batches, staged.prepare if staged else None)
    with (
        closing(ahead),
        tqdm(total=len(todo), desc=title, unit="item", disable=not progress) as bar,
    ):
        for whole, read in zip(batches, ahead, strict=True):
            passing |= {
                item.key: reason
                for item, reason in zip(whole, read.reasons, strict=True)
                if isinstance(reason, Passing)
            }
            pairs = zip(whole, read.reasons, strict=True)
            batch, reasons = _unzip([(i, r) for i, r in pairs if not isinstance(r, Passing)])
            vectors = np.full((len(batch), encoder.dim), np.nan, dtype=np.float32)
            good = [row for row, reason in enumerate(reasons) if reason is None]
            if good:
                vectors[good] = _pooled(forward(read.loaded), read.counts, [batch[r] for r in good])
            if batch:
                store.append([item.key for item in batch], vectors, reasons)
            bar.update(len(whole))
    return passing


def _pooled(vectors: np.ndarray, counts: list[int], items: Sequence[Item]) -> np.ndarray:
    """A vector for each item, `(len(items), dim)`, from those of all windows."""
    if len(vectors) == len(items):
        return vectors
    ends = np.cumsum(counts)
    each = np.split(vectors, ends[:-1])
    return np.stack(
        [item.pool(own) if item.pool else own[0] for item, own in zip(items, each, strict=True)]
    )


def _unzip(
    pairs: Sequence[tuple[Item, str | None]],
) -> tuple[list[Item], list[str | None]]:
    return [item for item, _ in pairs], [reason for _, reason in pairs]


class Forward:
    """Calls of an encoder that become smaller where memory does not suffice.

    Parameters
    ----------
    encode : callable
        Turns a batch that can be cut by slices into float32 vectors `(n, dim)`.
    name : str
        Name of the encoder, for messages.
    limit : int
        Rows of a batch in one call at first; lowered where memory does not suffice.
    """

    def __init__(self, encode: Callable[..., np.ndarray], name: str, limit: int = sys.maxsize):
        self.encode = encode
        self.name = name
        self.limit = limit
        self.warned = False

    def __call__(self, batch: Loaded) -> np.ndarray:
        """Vectors of a batch.

        Raises
        ------
        MemoryError
            If not even one item at a time fits.
        """
        vectors, start = [], 0
        while start < len(batch):
            part = batch[start : start + self.limit]
            try:
                vectors.append(self.encode(part))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._lower(len(part), error)
                continue
            start += len(part)
        return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)

    def _lower(self, tried: int, error: Exception) -> None:
        if tried == 1:
            raise MemoryError(
                f"{self.name} does not fit into memory even with one item at a time. Close other "
                "programs, choose a smaller size or fewer frames, or a smaller encoder."
            ) from error
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.name} ran out of memory with {tried} items at once; going on with fewer. "
                "Pass a smaller batch_size to avoid the attempt.",
                RuntimeWarning,
                stacklevel=5,
            )
        self.limit = tried // 2
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def windows_of(encoder: Encoder) -> Windows | None:
    """The windows of a clip that an encoder sees; None: all of it, as with an encoder of old."""
    return getattr(encoder, "windows", None)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, on a CPU or an accelerator."""
    return isinstance(error, MemoryError) or bool(_NO_MEMORY.search(str(error)))


def batch_size_for(encoder: Encoder, of: str) -> int:
    """Items whose batch takes at most a quarter of the available memory.

    The estimate is the float32 input of an item times 16, for the activations that a network holds
    at once, and for each further window of a clip times 3, for what is read ahead; rounded down to
    a power of 2, at least 1, at most 64 titles, 32 thumbnails, 8 clips or 16 sounds.

    Parameters
    ----------
    encoder : Encoder
        Its `values_per_item` is the size of an item.
    of : {"title", "thumbnail", "clip", "sound"}
        What is encoded.
    """
    windows = windows_of(encoder) if of == "clip" else None
    further = windows.limit - 1 if windows else 0
    item_bytes = 4 * encoder.values_per_item * (ACTIVATIONS + (1 + AHEAD) * further)
    fits = SHARE * psutil.virtual_memory().available / item_bytes
    return min(MOST[of], 1 << max(int(fits).bit_length() - 1, 0))


def reason_of(error: Exception) -> str:
    """What failed, in a sentence without machine paths where the error offers one."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(getattr(error, "explanation", None) or error) or type(error).__name__


def _read_ahead(
    batches: Sequence[Sequence[Item]], prepare: Callable[[list], torch.Tensor] | None
) -> Generator[Batch]:
    """What could be read of each batch (prepared if asked), and reasons for what could not.

    Items are read by as many threads as there are cores, one more thread puts batches together; at
    most `AHEAD` batches wait, so memory is bounded whatever the library's size.
    """
    readers = ThreadPoolExecutor(max_workers=settings.threads(), thread_name_prefix="read")
    preparer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")
    _alone(preparer)

    def start(batch: Sequence[Item]) -> Future:
        return preparer.submit(_gathered, batch, [readers.submit(_read, i) for i in batch], prepare)

    try:
        waiting = deque(start(batch) for batch in batches[:AHEAD])
        for number in range(len(batches)):
            current = waiting.popleft().result()
            if number + AHEAD < len(batches):
                waiting.append(start(batches[number + AHEAD]))
            yield current
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
        preparer.shutdown(wait=True, cancel_futures=True)


def _alone(preparer: ThreadPoolExecutor) -> None:
    """Let the thread that prepares compute without helpers, which would delay the network's."""
    torch = sys.modules.get("torch")
    if torch is not None:
        threads = torch.get_num_threads()
        preparer.submit(torch.set_num_threads, 1).result()
        torch.set_num_threads(threads)  # for this thread, and those that are still to come


def _gathered(
    items: Sequence[Item],
    readings: list[Future],
    prepare: Callable[[list], torch.Tensor] | None,
) -> Batch:
    loaded: list = []
    counts: list[int] = []
    reasons: list[str | None] = []
    for item, reading in zip(items, readings, strict=True):
        content, reason = reading.result()
        reasons.append(reason)
        if reason is None:
            windows = list(content) if item.pool else [content]
            loaded += windows
            counts.append(len(windows))
    return Batch(prepare(loaded) if prepare and loaded else loaded, counts, reasons)


def _read(item: Item) -> tuple[str | np.ndarray | None, str | None]:
    try:
        return item.read(), None
    except Exception as error:  # whatever it is, it is this item's and costs one row
        words = reason_of(error)
        kept = getattr(error, "reason", "failed") not in PASSING
        return None, words if kept else Passing(words)
