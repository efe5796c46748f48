"""One catalogue for all encoders: an entry for each network, one `available()` and one `load()`.

A modality (`text_encoders`, `image_encoders`, `video_encoders`, `audio_encoders`) keeps a list of
entries. An entry says what is known of a network, where its weights come from and how it is loaded;
the doctor and the tests find it through the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.encoders.protocol import Encoder, FrameContract, TimedContract
from vidrec_utils.encoders.weights import WeightsNotAvailable

if TYPE_CHECKING:
    import torch

LoadedEncoder = TypeVar("LoadedEncoder", bound=Encoder, covariant=True)

DTYPES = {
    "year": "Int64",
    "dim": "Int64",
    "accuracy": "Float64",
    "rate": "Float64",
    "window_s": "Float64",
}
COLUMNS = (
    "family", "year", "parameters", "gflops", "dim", "frames", "rate", "window_s", "size",
    "shorter", "licence", "languages", "pretrained_on", "accuracy", "accuracy_source", "available",
)  # fmt: skip
"""Columns of `available()` in their order; those that no entry of a modality has are left out."""


@dataclass(frozen=True)
class LoadRequest:
    """What a caller of `load` asks for.

    Attributes
    ----------
    name : str
        Name in the catalogue.
    weights : {"packaged", "published", "random"} or path
        Where the weights come from.
    device : torch.device or str, optional
        Default: `settings.device()`.
    seed : int
        Seed of random weights.
    download : bool
        Whether published weights may be fetched from the network.
    sha256 : str, optional
        Hash that the file must have, or its first 8 digits.
    frames, size : int, optional
        Frames of a clip, and side of the square that the network sees, in pixels; default: those
        of the catalogue.
    max_tokens : int
        Tokens of a text that are read.

    Raises
    ------
    ValueError
        If frames or size are not positive.
    """

    name: str
    weights: str | Path = "packaged"
    device: torch.device | str | None = None
    seed: int = 0
    download: bool = False
    sha256: str | None = None
    frames: int | None = None
    size: int | None = None
    max_tokens: int = 256

    def __post_init__(self) -> None:
        asked = {"frames": self.frames, "size": self.size}
        arguments.at_least(1, **{name: value for name, value in asked.items() if value is not None})


class WeightsSource(Protocol):
    """Where weights come from: a packaged file, a published one, a repository of the model hub."""

    def is_available(self) -> bool:
        """Whether the weights are on this machine; damage shows when they are loaded."""


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[LoadedEncoder]):
    """One encoder of a catalogue.

    A subclass says in `load` how encoders of its kind are loaded; `loader` does for a single one.

    Attributes
    ----------
    name : str
        Name for `load`.
    about : mapping
        Columns of `available()`: `family, year, parameters, gflops, dim, licence, pretrained_on,
        accuracy, accuracy_source`, `languages` of texts, and `rate` of sound (samples a second).
    packaged, published : WeightsSource or None
        Where `weights="packaged"` and `"published"` come from; None: there are none.
    random_needs_files : bool
        Whether an untrained network needs the files, too, as for the tokenizer in them.
    contract : FrameContract or None
        The frames that a network of clips takes unless the caller asks for others.
    smallest : mapping of str to int
        The cheapest settings that `load` takes, as `{"frames": 4, "size": 32}`, for tests.
    loader : callable or None
        From a request to the encoder.
    """

    name: str
    about: Mapping[str, object]
    packaged: WeightsSource | None = None
    published: WeightsSource | None = None
    random_needs_files: bool = False
    contract: FrameContract | None = None
    smallest: Mapping[str, int] = field(default_factory=dict)
    loader: Callable[[LoadRequest], LoadedEncoder] | None = None

    def load(self, request: LoadRequest) -> LoadedEncoder:
        """The encoder that is asked for; errors as in the modality's `load`."""
        if self.loader is None:
            raise NotImplementedError(f"The entry {self.name!r} needs a loader or its own load().")
        return self.loader(request)

    @property
    def has_weights(self) -> bool:
        """Whether there are any: baselines such as counted words and pixels have none."""
        return bool(self.packaged or self.published)

    def available_weights(self) -> list[str]:
        """Values for `load`'s `weights` that need no network now."""
        if not self.has_weights:
            return ["none"]
        sources = (("packaged", self.packaged), ("published", self.published))
        trained = [kind for kind, source in sources if source and source.is_available()]
        untrained = ["random"] if trained or not self.random_needs_files else []
        return trained + untrained

    def row(self) -> dict[str, object]:
        """The entry's row of `available()`."""
        row = {**self.about, "available": ", ".join(self.available_weights())}
        contract = self.contract
        if contract is not None:
            row |= {
                "frames": contract.frames,
                "size": contract.size,
                "shorter": "frames repeat",
                "rate": None,
                "window_s": None,
            }
        if isinstance(contract, TimedContract):
            window = contract.window_s
            row |= {"rate": contract.fps, "window_s": window and round(window, 2)}
        return row


class Catalogue(Generic[LoadedEncoder]):
    """The encoders of one modality.

    Parameters
    ----------
    modality : str
        `"text"`, `"image"`, `"video"` or `"audio"`.
    entries : iterable of Entry
        In the order in which `available()` lists them.

    Examples
    --------
    >>> catalogue = Catalogue("text", [Entry(name="counts", about={"family": "baseline"})])
    >>> catalogue.available()["available"].to_dict()
    {'counts': 'none'}
    >>> catalogue.load(LoadRequest("gpt9"))
    Traceback (most recent call last):
    ValueError: There is no text encoder 'gpt9'; choose from counts.
    """

    def __init__(self, modality: str, entries: Iterable[Entry[LoadedEncoder]]):
        self.modality = modality
        self.entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[Entry[LoadedEncoder]]:
        return iter(self.entries.values())

    def __getitem__(self, name: str) -> Entry[LoadedEncoder]:
        return self.entries[name]

    def available(self) -> pd.DataFrame:
        """One row for each encoder, indexed by `name`; no weights are read for it."""
        frame = pd.DataFrame.from_dict({e.name: e.row() for e in self}, orient="index")
        columns = [column for column in COLUMNS if column in frame]
        dtypes = {column: dtype for column, dtype in DTYPES.items() if column in frame}
        return frame[columns].rename_axis("name").astype(dtypes)

    def load(self, request: LoadRequest) -> LoadedEncoder:
        """The encoder that is asked for.

        Raises
        ------
        ValueError
            If there is no encoder of that name, or it has no weights of this kind.
        WeightsNotAvailable
            If no package carries the weights, or they are not on this machine; names the remedy.
        """
        name, weights = request.name, request.weights
        if name not in self.entries:
            names = ", ".join(self.entries)
            raise ValueError(f"There is no {self.modality} encoder {name!r}; choose from {names}.")
        entry = self.entries[name]
        if not entry.has_weights and weights not in ("packaged", "none"):
            raise ValueError(f"The encoder {name!r} has no weights; leave the argument out.")
        if weights == "packaged" and entry.has_weights and entry.packaged is None:
            packaged = ", ".join(other.name for other in self if other.packaged)
            raise WeightsNotAvailable(
                f"No package carries weights of {name}. Use weights='published' (with "
                f"download=True the first time), or an encoder with packaged weights: {packaged}."
            )
        if weights == "published" and entry.published is None:
            raise ValueError(
                f"The published weights of {name} are the packaged ones: weights='packaged'."
            )
        return entry.load(request)
