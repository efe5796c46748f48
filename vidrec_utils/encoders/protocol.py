"""What callers may rely on in an encoder: small protocols, one for each kind of caller.

Every encoder is an `Encoder`, one of clips a `ClipEncoder` and one of sound a `SoundEncoder`. What
else it offers is asked with `isinstance`: `Staged` encoders prepare a batch in a step of its own,
`Layered` ones show their inner layers, and `HasNetwork` ones lend out their network, to be
fine-tuned or compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn


@dataclass(frozen=True)
class WeightsInfo:
    """Where the weights in a model came from.

    Attributes
    ----------
    source : str
        `"packaged"`, `"published"`, `"random"`, `"file"`, `"fine-tuned"`, or `"none"` for encoders
        without weights.
    file : str or None
        Name of the file that was read.
    sha256 : str or None
        Hash of that file's bytes.
    licence : str or None
        Licence of the weights, as stated by their authors.
    """

    source: str
    file: str | None = None
    sha256: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class FrameContract:
    """The frames that a video encoder takes, known before any weights are read.

    Attributes
    ----------
    frames : int
        Number of frames, spread evenly over the clip or window; a shorter clip repeats frames.
    size : int
        Side of the square that the network sees, in pixels.
    read_size : int or None
        Size to which `video_io.sample_frames` scales frames while reading; None: not at all.
    """

    frames: int
    size: int
    read_size: int | None = None

    @property
    def n_values(self) -> int:
        """Number of values in the RGB frames of one clip, at the larger of the two sizes."""
        return 3 * self.frames * max(self.size, self.read_size or 0) ** 2


@dataclass(frozen=True)
class TimedContract(FrameContract):
    """A frame contract with the stretch of time that the network was trained on.

    `encode` spreads its frames over the whole of each clip that it is given all the same. `embed`
    gives it windows of `window_s` seconds (see `Windows`), at the rate of its training.

    Attributes
    ----------
    fps : float or None
        Frames a second that the network was trained on; None: no rate in particular.
    """

    fps: float | None = None

    @property
    def window_s(self) -> float | None:
        """Seconds from the first frame to the end of the last one, at the rate of training."""
        return self.frames / self.fps if self.fps else None


@dataclass(frozen=True)
class SoundContract:
    """The sound that an audio encoder takes.

    Attributes
    ----------
    rate : int
        Samples a second, in one channel.
    most_s : float
        Seconds that are read, from the beginning of the sound; it may be shorter.
    """

    rate: int
    most_s: float

    @property
    def n_values(self) -> int:
        """Number of samples in the longest sound."""
        return round(self.rate * self.most_s)


@runtime_checkable
class Encoder(Protocol):
    """What every encoder has, whatever it encodes."""

    @property
    def name(self) -> str:
        """Name in the catalogue, or one that a caller gave."""

    @property
    def modality(self) -> str:
        """What is encoded: `"text"`, `"image"`, `"video"` or `"audio"`."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""

    @property
    def weights(self) -> WeightsInfo:
        """Where the weights came from."""

    @property
    def preprocessing(self) -> dict[str, object] | None:
        """What is done to an item before the network sees it, for the record; None: nothing."""

    @property
    def values_per_item(self) -> int:
        """Float32 values that one item occupies before the network; batches are sized by it."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of everything that determines the vectors.

        It changes with the weights, the preprocessing and the layer that is read, and with nothing
        else: the same on every processor.
        """

    def encode(self, batch: list, /) -> np.ndarray:
        """Vectors of a batch of texts, images, clips or sounds, float32 `(n, dim)`.

        The same item gets the same vector in any batch, up to rounding.
        """


class ClipEncoder(Encoder, Protocol):
    """An encoder of clips.

    If it has an attribute `windows` (see `Windows`), `embed` gives it windows of a clip and pools
    their vectors; without, or if that is None, it is given frames spread over the whole clip.
    """

    @property
    def frame_contract(self) -> FrameContract:
        """How many frames of a clip it takes, and of which size."""


class SoundEncoder(Encoder, Protocol):
    """An encoder of sound: each item is an array of shape `(samples,)`."""

    @property
    def sound_contract(self) -> SoundContract:
        """How many samples a second it takes, and how many seconds at most."""


@runtime_checkable
class Staged(Protocol):
    """An encoder whose `encode` is two steps, so that `embed` can overlap them."""

    def prepare(self, batch: list, /) -> torch.Tensor:
        """The network's input for a batch, on the CPU; slices of it are inputs, too."""

    def encode_prepared(self, prepared: torch.Tensor, /) -> np.ndarray:
        """Vectors of what `prepare` returned, float32 `(n, dim)`."""


@runtime_checkable
class Layered(Protocol):
    """An encoder that shows its inner layers."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the first to the last."""

    def activations(self, batch: list, layer: str, /) -> torch.Tensor:
        """Output of one layer, float32 on the CPU, `(n, channels, *positions)` or `(n, channels)`.

        NaN marks positions behind the end of an item that is shorter than others in the batch.
        """


@runtime_checkable
class LayeredInOnePass(Layered, Protocol):
    """An encoder that computes several layers in one forward pass."""

    def all_activations(self, batch: list, layers: Sequence[str], /) -> dict[str, torch.Tensor]:
        """Outputs of several layers, by name; each as `activations` returns it."""


@runtime_checkable
class HasNetwork(Protocol):
    """An encoder whose network can be fine-tuned, or run on another runtime."""

    @property
    def net(self) -> nn.Module:
        """The network, in evaluation mode."""

    @property
    def device(self) -> torch.device:
        """Where the network lies."""

    @property
    def calibrated(self) -> bool:
        """Whether batch-norm statistics are trained or estimated; without any, true."""

    def network_inputs(self, items: Sequence, /) -> tuple[torch.Tensor, ...]:
        """The network's inputs for a batch of items, on the CPU: tensors of `n` rows each."""

    def network_vectors(self, net: nn.Module, /, *inputs: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of prepared inputs, by this encoder's network or a copy of it."""

    def with_network(self, net: nn.Module, weights: WeightsInfo, /) -> Self:
        """A copy of the encoder around another network of the same architecture."""


class Tunable(Encoder, HasNetwork, Protocol):
    """An encoder that can be fine-tuned."""


def batches(items: Sequence, batch_size: int) -> Iterator[Sequence]:
    """Cut a sequence into slices of at most `batch_size` items."""
    for start in range(0, len(items), batch_size):
        yield items[start : start + batch_size]
