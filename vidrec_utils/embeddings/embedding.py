"""Vectors of a library's titles, thumbnails, clips or sound: computed once, kept, found again."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from filelock import AcquireReturnProxy, FileLock, Timeout
from tqdm import tqdm

from vidrec_utils import arguments, cache, settings, video_io
from vidrec_utils.embeddings.batches import (
    Item,
    batch_size_for,
    compute,
    reason_of,
    windows_of,
)
from vidrec_utils.embeddings.store import Store
from vidrec_utils.encoders import ClipEncoder, Encoder, SoundEncoder, Spans, WeightsInfo
from vidrec_utils.files import installed_version, sha256

if TYPE_CHECKING:
    from vidrec_utils.datasets import VideoLibrary

MODALITY = {"title": "text", "thumbnail": "image", "clip": "video", "sound": "audio"}
THUMBNAIL_PIXELS = 2_100_000
"""Larger thumbnails are scaled down while they are read: a batch holds many, a network sees few."""
VERSIONS = ("numpy", "torch", "torchvision", "transformers", "av", "pillow")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors of the videos of one library.

    Attributes
    ----------
    ids : Index of str
        The library's videos, in its order.
    rows : ndarray of int64, shape (n,)
        Row of each video in `stored`; -1 where there was nothing to encode.
    stored : ndarray of float32, memory-mapped
        All vectors of this encoder, also of other libraries; NaN rows where encoding failed.
    failures : DataFrame
        `video_id, reason`: the videos whose vector is NaN, in the library's order.
    provenance : dict
        Encoder, weights and their hash, preprocessing, versions.
    """

    ids: pd.Index
    rows: np.ndarray
    stored: np.ndarray
    failures: pd.DataFrame
    provenance: dict[str, object]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.stored.shape[1]

    @cached_property
    def vectors(self) -> np.ndarray:
        """Float32 `(n, dim)`: a read-only view of the file if in its order, else gathered."""
        first = self.rows[0] if len(self.rows) else -1
        if first >= 0 and np.array_equal(self.rows, first + np.arange(len(self.rows))):
            return self.stored[first : first + len(self.rows)]
        return self._gather(self.rows)

    def frame(self) -> pd.DataFrame:
        """Vectors as a frame indexed by `video_id`; NaN rows for failures."""
        return pd.DataFrame(np.asarray(self.vectors), index=self.ids)

    def vector(self, video_id: str) -> np.ndarray:
        """The vector of one video, float32 `(dim,)`.

        Raises
        ------
        KeyError
            If the library has no such video.
        """
        return self._gather(self.rows[[self.ids.get_loc(video_id)]])[0]

    def matrix(self, video_ids: Iterable[str]) -> np.ndarray:
        """Vectors of some videos, float32 `(n, dim)`; NaN rows for failures and unknown ids."""
        positions = self.ids.get_indexer(pd.Index(list(video_ids), dtype=self.ids.dtype))
        return self._gather(np.where(positions >= 0, self.rows[positions], -1))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"Embeddings({len(self)} videos x {self.dim}, {self.provenance['encoder']} of "
            f"{self.provenance['of']}, {len(self.failures)} failures)"
        )

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        out = np.full((len(rows), self.dim), np.nan, dtype=np.float32)
        out[rows >= 0] = self.stored[rows[rows >= 0]]
        return out


def embed(
    library: VideoLibrary,
    encoder: Encoder,
    of: Literal["title", "thumbnail", "clip", "sound"] = "title",
    root: Path | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    *,
    budget: video_io.Budget | None = None,
    shots: pd.DataFrame | None = None,
) -> Embeddings:
    """Encode a library's titles, thumbnails, clips or sound; what was encoded before is only read.

    A vector is found again by the hash of what it was made from (the text, or the bytes of the
    file) and the encoder's fingerprint, so only new or changed items are computed. Killed at any
    moment, the next call goes on with the batch that was interrupted, and ends with the same bytes
    as a call that was never killed. A second process that wants the same vectors waits for the
    first. A broken or missing file costs one row of `failures`, not the run, and so does a clip
    without a sound track, of which there is no sound to encode.

    What is read is compared with the checksums that were kept with it; vectors that are no longer
    what was computed raise a `StoreError`. Vectors that a version without checksums kept are read
    as they are, and get checksums when a batch is added to them.

    While a batch is in the network, the next ones are read by several threads, and prepared in
    another where the encoder offers that as a step of its own: `prepare(batch)`, whose result can
    be sliced, and `encode_prepared(prepared)`, float32 `(n, dim)`. Where a batch does not fit into
    memory, it is halved, said once in a warning, and the run goes on with the smaller size.

    The same item may get a vector that differs by rounding (up to about 1e-4 of its length) in a
    batch of another size. So the batch size of a new store is kept in its provenance, and used
    again by every later call that does not name one: that is what makes interrupted and
    uninterrupted runs equal to the last bit.

    **Clips of any length.** An encoder of clips has `windows` (see `encoders.Windows`): stretches
    of a clip that it sees at the rate of its training, all read in one pass over the file. The
    vector of the clip is the mean or maximum of their vectors. Other windows give other vectors,
    which are kept apart. An encoder without is given frames that are spread over the whole clip.

    Parameters
    ----------
    library : VideoLibrary
        Files are found through `library.file`.
    encoder : Encoder
        An encoder of the modality that `of` needs: text for titles, image for thumbnails, video
        for clips (its `frame_contract` says how many frames it is given, its `windows` of what),
        audio for the sound of clips (its `sound_contract` says at which rate, and up to which
        length).
    of : {"title", "thumbnail", "clip", "sound"}
        What to encode.
    root : Path, optional
        Folder of all stores; default `settings.cache_dir() / "embeddings"`. Safe to delete.
    batch_size : int, optional
        Items in one call of the encoder; default the size that the store was begun with, and for a
        new store 64 titles, 32 thumbnails, 8 clips or 16 sounds, fewer where memory is short.
    progress : bool
        Show a bar with items per second and the time left while computing.
    budget : video_io.Budget, optional
        What reading one thumbnail, clip or sound may cost; default `video_io.Budget()`. What costs
        more is a failure of this call alone, and is tried again by the next one. Thumbnails of
        more than `THUMBNAIL_PIXELS` are scaled down while they are read.
    shots : DataFrame, optional
        For clips: `start_s` and `end_s` of the shots, indexed by `video_id`. Each shot gets windows
        of its own, so that none crosses a cut. Videos that it does not name are one shot. Default:
        windows do not heed cuts.

    Returns
    -------
    Embeddings

    Raises
    ------
    ValueError
        If `of` is unknown or the encoder is of another modality; or if shots are given where
        nothing is cut into windows, or lack a column.
    StoreError
        If the folder of these vectors is damaged or of another provenance.
    MemoryError
        If not even one item at a time fits into memory.

    Examples
    --------
    >>> import tempfile
    >>> from vidrec_utils import text_encoders
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> videos = pd.DataFrame({"video_id": ["x", "y"], "title": ["a cat", ""]}, dtype="str")
    >>> log = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    >>> encoder = text_encoders.load("tfidf").fit(["a cat"])
    >>> with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # mapped files
    ...     got = embed(VideoLibrary(videos, log), encoder, "title", Path(folder), progress=False)
    ...     print(got.vectors.shape, got.failures["reason"].tolist())
    (2, 2) ['there is no title']
    """
    arguments.one_of(MODALITY, of=of)
    if encoder.modality != MODALITY[of]:
        raise ValueError(
            f"{encoder.name} is an encoder of {encoder.modality}; of={of!r} needs one of "
            f"{MODALITY[of]}."
        )
    if batch_size is not None:
        arguments.at_least(1, batch_size=batch_size)
    start = time.perf_counter()
    items, reasons = _items(library, encoder, of, budget, _spans(shots, encoder, of))
    folder, provenance = _store_of(encoder, of, root)
    provenance["batch_size"] = batch_size or batch_size_for(encoder, of)
    store = _opened(folder, provenance, progress)
    computed = 0
    if any(item.key not in store.rows for item in items.values()):
        with _locked(folder, progress):
            store.refresh()  # another process may have been at work
            todo = {i.key: i for i in items.values() if i.key not in store.rows}
            computed = len(todo)
            size = batch_size or store.provenance.get("batch_size") or provenance["batch_size"]
            title = f"{encoder.name}, {of}s"
            passing = compute(store, encoder, list(todo.values()), size, title, progress)
            for video_id, item in list(items.items()):
                if item.key in passing:
                    reasons[video_id] = passing[item.key]
                    del items[video_id]
    what = f"vectors of {of}s, {encoder.name} ({_origin(encoder)['source']} weights)"
    taken = round(time.perf_counter() - start, 3)
    cache.record(cache.Lookup(what, computed, max(0, len(items) - computed), taken))
    return _result(library, store, items, reasons)


def _spans(shots: pd.DataFrame | None, encoder: Encoder, of: str) -> dict[str, Spans]:
    """The shots of each video, in the order of time."""
    if shots is None:
        return {}
    if of != "clip" or windows_of(encoder) is None:
        raise ValueError(
            f"Shots bound the windows of clips, but of is {of!r} and {encoder.name} has "
            f"{'no windows' if windows_of(encoder) is None else 'windows'}. Leave shots out, or "
            "take an encoder of clips with windows (encoder.with_windows)."
        )
    absent = {"start_s", "end_s"} - {*shots.columns}
    if absent:
        raise ValueError(f"shots lacks {', '.join(sorted(absent))}; give seconds from the start.")
    in_order = shots.sort_values("start_s", kind="stable")
    return {
        str(video_id): list(zip(rows["start_s"], rows["end_s"], strict=True))
        for video_id, rows in in_order.groupby(in_order.index)
    }


def _items(
    library: VideoLibrary,
    encoder: Encoder,
    of: str,
    budget: video_io.Budget | None,
    spans: Mapping[str, Spans],
) -> tuple[dict[str, Item], dict[str, str]]:
    """What there is to encode, by video, and why some videos have nothing."""

    def look_up(video_id: str) -> Item | str:
        try:
            return _item(library, video_id, encoder, of, budget, spans.get(video_id))
        except Exception as error:  # whatever it is, it is this item's
            return reason_of(error)

    ids = list(library.videos.index)
    if of == "title":
        looked_up = [look_up(video_id) for video_id in ids]
    else:  # hashing files waits for the disk, and lets other threads run
        with ThreadPoolExecutor(max_workers=settings.threads()) as threads:
            looked_up = list(threads.map(look_up, ids))
    pairs = list(zip(ids, looked_up, strict=True))
    items = {video_id: item for video_id, item in pairs if isinstance(item, Item)}
    return items, {video_id: reason for video_id, reason in pairs if isinstance(reason, str)}


def _item(
    library: VideoLibrary,
    video_id: str,
    encoder: Encoder,
    of: str,
    budget: video_io.Budget | None,
    spans: Spans | None,
) -> Item:
    if of == "title":
        title = library.videos.at[video_id, "title"]
        if not isinstance(title, str) or not title.strip():
            raise ValueError("there is no title")
        return Item(hashlib.sha256(title.encode()).hexdigest(), lambda: title)
    path = library.file(video_id, of="thumbnail" if of == "thumbnail" else "path")
    key = sha256(path)
    if of == "thumbnail":
        return Item(
            key, lambda: video_io.read_image(path, most_pixels=THUMBNAIL_PIXELS, budget=budget)
        )
    if of == "sound":
        wave = cast(SoundEncoder, encoder).sound_contract
        return Item(
            key,
            lambda: (
                video_io.read_sound(path, rate=wave.rate, end_s=wave.most_s, budget=budget).samples
            ),
        )
    contract = cast(ClipEncoder, encoder).frame_contract
    size, windows = contract.read_size, windows_of(encoder)
    if windows is None:
        return Item(
            key,
            lambda: video_io.sample_frames(path, n=contract.frames, size=size, budget=budget),
        )
    times = partial(windows.times, frames=contract.frames, spans=spans)
    if spans is not None:
        key = hashlib.sha256(
            f"{key} {[(float(a), float(b)) for a, b in spans]}".encode()
        ).hexdigest()
    return Item(
        key, lambda: video_io.frames_at(path, times, size=size, budget=budget), windows.pool
    )


def _store_of(encoder: Encoder, of: str, root: Path | None) -> tuple[Path, dict[str, Any]]:
    """Folder and provenance of the vectors of one encoder and one kind of item."""
    contract = cast(ClipEncoder, encoder).frame_contract if of == "clip" else None
    windows = windows_of(encoder) if of == "clip" else None
    fingerprint = encoder.fingerprint  # hashes all weights
    provenance = {
        "of": of,
        "encoder": encoder.name,
        "fingerprint": fingerprint,
        "dim": encoder.dim,
        "weights": _origin(encoder),
        "preprocessing": encoder.preprocessing,
        "frames": asdict(contract) if contract else None,
        "windows": asdict(windows) if windows else None,
        "versions": _versions(),
    }
    identity = f"{of}/{encoder.name}/{fingerprint}/{provenance['frames']}"
    identity += f"/{provenance['windows']}" if windows else ""
    if of == "sound":
        provenance["sound"] = asdict(cast(SoundEncoder, encoder).sound_contract)
        identity += f"/{provenance['sound']}"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{of}-{encoder.name}")[:60]
    folder = f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    return Path(root or settings.cache_dir() / "embeddings") / folder, provenance


def _origin(encoder: Encoder) -> dict[str, Any]:
    """Where the weights came from, as the store records it.

    An encoder of the caller's own may say None (it has no weights), or a text.
    """
    weights: object = encoder.weights
    if weights is None or isinstance(weights, str):
        weights = WeightsInfo("none" if weights is None else weights)
    if not isinstance(weights, WeightsInfo):
        raise TypeError(
            f"The weights of the encoder {encoder.name!r} are {weights!r}; give an "
            "encoders.WeightsInfo, a text that says where they came from, or None if there are "
            "none."
        )
    return asdict(weights)


def _result(
    library: VideoLibrary, store: Store, items: dict[str, Item], reasons: dict[str, str]
) -> Embeddings:
    ids = pd.Index(library.videos.index, name="video_id")
    keys = [items[video_id].key if video_id in items else None for video_id in ids]
    rows = np.array([-1 if key is None else store.rows[key] for key in keys], dtype=np.int64)
    failed = [
        (video_id, reasons.get(video_id) or store.reasons[str(key)])
        for video_id, key in zip(ids, keys, strict=True)
        if video_id in reasons or key in store.reasons
    ]
    failures = pd.DataFrame(failed, columns=["video_id", "reason"], dtype="str")
    return Embeddings(ids, rows, store.vectors(), failures, store.provenance)


def _opened(folder: Path, provenance: dict[str, Any], progress: bool) -> Store:
    """The store; a new one is made by one process at a time."""
    if (folder / "provenance.json").exists():
        return Store(folder, provenance)
    with _locked(folder, progress):
        return Store(folder, provenance)


def _locked(folder: Path, progress: bool) -> AcquireReturnProxy:
    """The store's lock, held until the block ends; says so when it has to wait."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        return lock.acquire(timeout=0.5)
    except Timeout:
        if progress:
            tqdm.write("Another process is computing these vectors; waiting for it.")
        return lock.acquire()


def _versions() -> dict[str, str]:
    """Versions of the packages that decide about pixels and vectors."""
    versions = {package: installed_version(package) for package in ("vidrec-utils", *VERSIONS)}
    return {package: version for package, version in versions.items() if version is not None}
