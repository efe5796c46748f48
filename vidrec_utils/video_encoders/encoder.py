"""Networks over clips with their preprocessing around them: from uint8 frames to vectors."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Self, TypeAlias

import numpy as np
import torch
from torch import nn
from torchvision.transforms import InterpolationMode, functional, v2

from vidrec_utils import settings
from vidrec_utils.encoders.batch_norm import batch_norms, estimate_batch_norm
from vidrec_utils.encoders.pixels import checked, cut_long_sides, square
from vidrec_utils.encoders.protocol import FrameContract, WeightsInfo, batches
from vidrec_utils.encoders.weights import fingerprint_of
from vidrec_utils.image_encoders.encoder import ImageEncoder

Clips: TypeAlias = "Sequence[np.ndarray] | np.ndarray"


@dataclass(frozen=True)
class Framing:
    """Preprocessing of frames as a network's authors do it, where it is not the usual one.

    Attributes
    ----------
    size : int
        Pixels of the square that is cut out of the centre.
    resize : int or tuple of int
        The shorter side before that, or height and width, whatever the shape was.
    mean, std : tuple of float
        Of the three channels, for values in [0, 1].
    antialias : bool
        Torchvision's video networks were trained without.
    """

    size: int
    resize: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    antialias: bool

    def at(self, size: int) -> Framing:
        """The same for another size; the margin that is cut off stays the same part."""
        if size == self.size:
            return self
        sides = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        scaled = tuple(round(side * size / self.size) for side in sides)
        resize = scaled if isinstance(self.resize, tuple) else scaled[0]
        return Framing(size, resize, self.mean, self.std, self.antialias)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Uint8 `(time, 3, height, width)` to float32 `(time, 3, size, size)`."""
        if isinstance(self.resize, int):
            frames = cut_long_sides(frames)
        sides = list(self.resize) if isinstance(self.resize, tuple) else [self.resize]
        # each as its authors' library does it: the two round half a grey level differently
        resize = v2.functional.resize if self.antialias else functional.resize
        frames = resize(frames, sides, InterpolationMode.BILINEAR, antialias=self.antialias)
        frames = v2.functional.center_crop(frames, [self.size, self.size])
        mean, std = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (self.mean, self.std)
        )
        return frames.float().div_(255).sub_(mean).div_(std)


class VideoEncoder:
    """A network over clips with its preprocessing, its device and the story of its weights.

    Of a clip, `frame_contract.frames` frames are taken at the middles of equal segments (a shorter
    clip repeats frames), cropped to the centre square, resized to `frame_contract.size` and scaled
    to `(x - mean) / scale`; or prepared by `framing` where that is given.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    frame_contract : FrameContract
        How many frames the network is given, and of which size.
    layers : tuple of str
        What `activations` can be asked for, from the first stage to the last.
    net : nn.Module
        With `maps`, `features` and `vector` for prepared clips; ready to be fine-tuned. Where it
        has `layers` and `activations(x, layer)` of its own, the encoder offers those.
    """

    modality = "video"

    def __init__(
        self,
        name: str,
        net: nn.Module,
        weights: WeightsInfo,
        contract: FrameContract,
        device: torch.device | str | None = None,
        mean: float = 127.0,
        scale: float = 128.0,
        framing: Framing | None = None,
    ):
        self.name = name
        self.weights = weights
        self.frame_contract = contract
        self.dim = net.dim
        self.parameters = sum(p.numel() for p in net.parameters())
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.mean, self.scale, self.framing = mean, scale, framing
        self.layers: tuple[str, ...] = getattr(net, "layers", ("maps", "penultimate"))
        self.calibrated = weights.source != "random" or not batch_norms(net)

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to a clip before the network sees it."""
        if self.framing is not None:
            told = {"frames": "uniform, middles of segments", "framing": asdict(self.framing)}
            return told | asdict(self.frame_contract)
        return {
            "frames": "uniform, middles of segments",
            "crop": "centre square",
            "resize": "bilinear, antialias",
            "mean": self.mean,
            "scale": self.scale,
            **asdict(self.frame_contract),
        }

    @property
    def values_per_item(self) -> int:
        """Values of the frames of one clip."""
        return self.frame_contract.n_values

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the values of all weights, and the preprocessing."""
        return fingerprint_of(self.net, self.name, self.dim, self.preprocessing)

    def prepare(self, clips: Clips) -> torch.Tensor:
        """Clips as the network wants them, float32 `(n, 3, frames, size, size)` on the CPU.

        Raises
        ------
        ValueError
            If a clip is not uint8 `(time, height, width, 3)`; the message says which.
        """
        frames, size = self.frame_contract.frames, self.frame_contract.size
        out = torch.empty(len(clips), 3, frames, size, size)
        for place, clip in enumerate(checked(clips, "Clip")):
            chosen = torch.from_numpy(clip[frame_places(len(clip), frames)]).permute(0, 3, 1, 2)
            pictures = self.framing(chosen) if self.framing else square(chosen, size)
            out[place] = pictures.transpose(0, 1)  # (3, frames, size, size)
        return out if self.framing else out.sub_(self.mean).div_(self.scale)

    def encode_prepared(self, prepared: torch.Tensor) -> np.ndarray:
        """Vectors of clips that `prepare` made ready, in one forward pass, float32 `(n, dim)`."""
        return self._forward(self.net.vector, prepared).numpy()

    def network_inputs(self, clips: Clips) -> tuple[torch.Tensor, ...]:
        """What `prepare` returns, alone."""
        return (self.prepare(clips),)

    def network_vectors(self, net: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of what `network_inputs` returned."""
        return net.vector(*inputs)

    def with_network(self, net: nn.Module, weights: WeightsInfo) -> Self:
        """A copy of the encoder around another network of the same architecture."""
        twin = copy.copy(self)
        twin.net, twin.weights, twin.calibrated = net.eval(), weights, True
        return twin

    def encode(self, clips: Clips, batch_size: int = 8) -> np.ndarray:
        """Vectors of clips, float32 `(n, dim)`.

        Parameters
        ----------
        clips : list of uint8 (time, height, width, 3), or uint8 (n, time, height, width, 3)
            RGB; lengths and sizes may differ.
        batch_size : int
            Clips in one forward pass; no effect on the values beyond 1e-4.

        Raises
        ------
        RuntimeError
            If the weights are random and `calibrate` was not called.
        """
        parts = list(self._run(self.net.vector, clips, batch_size))
        return torch.cat(parts).numpy() if parts else np.empty((0, self.dim), dtype=np.float32)

    def features(self, clips: Clips, batch_size: int = 8) -> torch.Tensor:
        """Features in the order of time, float32 `(n, dim, time)` on the CPU."""
        return torch.cat(list(self._run(self.net.features, clips, batch_size)))

    def maps(self, clips: Clips, batch_size: int = 8) -> torch.Tensor:
        """Feature maps, float32 `(n, channels, time, height, width)` on the CPU."""
        return torch.cat(list(self._run(self.net.maps, clips, batch_size)))

    def activations(self, clips: Clips, layer: str, batch_size: int = 8) -> torch.Tensor:
        """What one layer makes of clips.

        Parameters
        ----------
        clips : list of uint8 (time, height, width, 3), or uint8 (n, time, height, width, 3)
            RGB; lengths and sizes may differ.
        layer : str
            One of `layers`.
        batch_size : int
            Clips in one forward pass.

        Returns
        -------
        tensor of float32 on the CPU, shape (n, channels, time, height, width) or (n, channels)
            Maps of a stage (of a transformer: the tokens where they lie in the clip), or vectors.

        Raises
        ------
        ValueError
            If there is no such layer, or no clip.
        """
        if layer not in self.layers:
            raise ValueError(
                f"{self.name} has no layer {layer!r}; choose from {', '.join(self.layers)}."
            )
        if not len(clips):
            raise ValueError("There is no clip to look at; give at least one.")
        if hasattr(self.net, "activations"):
            return torch.cat(
                list(self._run(lambda x: self.net.activations(x, layer), clips, batch_size))
            )
        function = self.net.vector if layer == "penultimate" else self.net.maps
        return torch.cat(list(self._run(function, clips, batch_size)))

    def calibrate(self, clips: Clips, batch_size: int = 8) -> VideoEncoder:
        """Estimate the batch-norm statistics of a random network on clips; returns itself.

        Without it a random network is no baseline; see `ImageEncoder.calibrate`.

        Raises
        ------
        ValueError
            If the weights are trained, or fewer than 2 clips came.
        """
        if self.weights.source != "random":
            raise ValueError(
                f"{self.name} has {self.weights.source} weights; only random ones are calibrated."
            )
        if len(clips) < 2:
            raise ValueError(f"{len(clips)} clips are too few to estimate statistics from.")
        prepared = (self.prepare(b).to(self.device) for b in batches(clips, batch_size))
        estimate_batch_norm(self.net, self.net.vector, prepared)
        self.calibrated = True
        return self

    def _run(
        self, function: Callable[[torch.Tensor], torch.Tensor], clips: Clips, batch_size: int
    ) -> Iterator[torch.Tensor]:
        for batch in batches(clips, batch_size):
            yield self._forward(function, self.prepare(batch))

    def _forward(
        self, function: Callable[[torch.Tensor], torch.Tensor], prepared: torch.Tensor
    ) -> torch.Tensor:
        if not self.calibrated:
            raise RuntimeError(
                "Random weights need batch-norm statistics first: call encoder.calibrate(clips) "
                "with some clips of your library."
            )
        return _inferred(function, prepared, self.device)


class AveragedFrames(nn.Module):
    """A picture network on every frame, its features averaged.

    Parameters
    ----------
    net : nn.Module
        With `features` of pictures.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, 3, height, width)` to `(batch, dim)`."""
        pictures = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.net.features(pictures).unflatten(0, (-1, x.shape[1])).mean(dim=1)


class FrameAverage:
    """The baseline that knows no time: an image encoder on each frame, averaged.

    Any order of the frames gives the same vector.

    Parameters
    ----------
    images : ImageEncoder
        Sees each frame.
    frames : int
        How many.
    """

    modality = "video"

    def __init__(self, images: ImageEncoder, frames: int = 8):
        self.images = images
        self.net = AveragedFrames(images.net)
        self.name = "frame_average"
        self.dim = images.dim
        self.parameters = images.parameters
        self.frame_contract = FrameContract(frames, images.size, max(128, images.size))
        self.layers = images.layers

    @property
    def calibrated(self) -> bool:
        """Whether the image encoder's statistics are trained or estimated."""
        return self.images.calibrated

    @property
    def weights(self) -> WeightsInfo:
        """The image encoder's."""
        return self.images.weights

    @property
    def device(self) -> torch.device:
        """The image encoder's."""
        return self.images.device

    @property
    def values_per_item(self) -> int:
        """Values of the frames of one clip."""
        return self.frame_contract.n_values

    @property
    def preprocessing(self) -> dict[str, object]:
        """The image encoder's, and the number of frames."""
        return {**self.images.preprocessing, **asdict(self.frame_contract)}

    @property
    def fingerprint(self) -> str:
        """Digest of the image encoder's and the number of frames."""
        told = f"{self.name} {self.frame_contract.frames} {self.images.fingerprint}"
        return hashlib.sha256(told.encode()).hexdigest()

    def prepare(self, clips: Clips) -> torch.Tensor:
        """Frames as the image network wants them, float32 `(n, frames, 3, size, size)`."""
        frames, size = self.frame_contract.frames, self.frame_contract.size
        chosen = [clip[frame_places(len(clip), frames)] for clip in checked(clips, "Clip")]
        if not chosen:
            return torch.empty(0, frames, 3, size, size)
        return torch.stack([self.images.prepare(clip) for clip in chosen])

    def network_inputs(self, clips: Clips) -> tuple[torch.Tensor, ...]:
        """What `prepare` returns, alone."""
        return (self.prepare(clips),)

    def network_vectors(self, net: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of what `network_inputs` returned."""
        return net.vector(*inputs)

    def with_network(self, net: nn.Module, weights: WeightsInfo) -> Self:
        """A copy of the encoder around another network over frames, which holds that of images."""
        twin = copy.copy(self)
        twin.net = net.eval()
        twin.images = self.images.with_network(net.net, weights)
        return twin

    def encode(self, clips: Clips) -> np.ndarray:
        """Mean of the frames' vectors, float32 `(n, dim)`.

        Raises
        ------
        RuntimeError
            If the weights are random and `calibrate` was not called.
        """
        return self.encode_prepared(self.prepare(clips))

    def encode_prepared(self, prepared: torch.Tensor) -> np.ndarray:
        """Vectors of clips that `prepare` made ready, a clip at a time, float32 `(n, dim)`."""
        if not self.images.calibrated:
            raise RuntimeError(
                "Random weights need batch-norm statistics first: call encoder.calibrate(clips) "
                "with some clips of your library."
            )
        device = self.images.device
        means = [_inferred(self.net.vector, clip[None], device) for clip in prepared]
        return torch.cat(means).numpy() if means else np.empty((0, self.dim), dtype=np.float32)

    def activations(self, clips: Clips, layer: str) -> torch.Tensor:
        """What one of the image network's layers makes of the frames.

        Returns
        -------
        tensor of float32, shape (n, channels, frames, height, width) or (n, channels)
            Maps of each frame; where a layer has no places left, the mean over frames.

        Raises
        ------
        ValueError
            If there is no such layer, or no clip.
        """
        frames = self.frame_contract.frames
        if not len(clips):
            raise ValueError("There is no clip to look at; give at least one.")
        found = [
            self.images.activations(clip[frame_places(len(clip), frames)], layer)
            for clip in checked(clips, "Clip")
        ]
        if found[0].ndim == 2:
            return torch.stack([each.mean(dim=0) for each in found])
        return torch.stack([each.transpose(0, 1) for each in found])

    def calibrate(self, clips: Clips) -> FrameAverage:
        """Estimate the batch-norm statistics of random weights on the clips' frames."""
        frames = self.frame_contract.frames
        chosen = [clip[frame_places(len(clip), frames)] for clip in checked(clips, "Clip")]
        self.images.calibrate([frame for clip in chosen for frame in clip])
        return self


def frame_places(length: int, frames: int) -> np.ndarray:
    """Which of `length` frames to take: those in the middle of `frames` equal segments."""
    return np.floor((np.arange(frames) + 0.5) * length / frames).astype(np.int64)


def _inferred(
    function: Callable[[torch.Tensor], torch.Tensor], prepared: torch.Tensor, device: torch.device
) -> torch.Tensor:
    """What a network answers without learning from it, float32 on the CPU."""
    with torch.inference_mode(), settings.precision(device):
        result = function(prepared.to(device)).float().cpu()
    return result.clone()  # a normal tensor, which a head can be trained on
