"""Networks over clips with their preprocessing around them: from uint8 frames to vectors."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import torch
from torch import nn

from vidrec_utils.encoders.network import NetworkEncoder
from vidrec_utils.encoders.pixels import checked, cut_long_sides, square
from vidrec_utils.encoders.protocol import FrameContract, WeightsInfo
from vidrec_utils.encoders.windows import Windows
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
        Mean and standard deviation of the three channels, for values in [0, 1].
    antialias : bool
        Whether resizing smooths; torchvision's video networks were trained without.
    """

    size: int
    resize: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    antialias: bool

    def at(self, size: int) -> Framing:
        """The same for another size; the margin that is cut off keeps its share."""
        if isinstance(self.resize, int):
            return replace(self, size=size, resize=round(self.resize * size / self.size))
        height, width = (round(side * size / self.size) for side in self.resize)
        return replace(self, size=size, resize=(height, width))

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Uint8 `(time, 3, height, width)` to float32 `(time, 3, size, size)`."""
        from torchvision.transforms import InterpolationMode, functional, v2

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


class ClipNetwork(nn.Module):
    """A network over clips: what a `VideoEncoder` needs of it.

    A subclass has at least `dim` and `maps`; where it shows its stages, also `layers` and `stage`.
    """

    dim: int
    layers: tuple[str, ...] = ("maps", "penultimate")

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Last feature maps, `(batch, channels, time, height, width)`, of prepared clips."""
        raise NotImplementedError

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over each frame, `(batch, dim, time)`."""
        return self.maps(x).mean(dim=(3, 4))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Features averaged over time, `(batch, dim)`."""
        return self.features(x).mean(dim=2)

    def stage(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of a layer that is neither the vector nor the logits; here the last maps."""
        return self.maps(x)

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`."""
        if layer == "penultimate":
            return self.vector(x)
        return self(x) if layer == "logits" else self.stage(x, layer)


class ClipNetworkEncoder(NetworkEncoder):
    """What all encoders of clips around a network share: the windows of a clip.

    Attributes
    ----------
    windows : Windows or None
        Windows that `embeddings.embed` gives to the network instead of the whole clip. They are
        no part of the `fingerprint`, which tells what `encode` makes of frames; a store of vectors
        keeps both.
    """

    frame_contract: FrameContract
    windows: Windows | None = None

    def with_windows(self, windows: Windows | None) -> Self:
        """A copy of the encoder, around the same network, that sees other windows of a clip.

        Parameters
        ----------
        windows : Windows or None
            Windows without a length get that of the encoder's own. None: the frames are spread
            over the whole clip.

        Raises
        ------
        ValueError
            If neither the windows nor the encoder know how long a window is.

        Examples
        --------
        >>> from vidrec_utils import video_encoders
        >>> encoder = video_encoders.load("slowfast_mini")
        >>> encoder.with_windows(video_encoders.Windows(at="centre")).windows.seconds
        2.0
        """
        if windows is not None and windows.seconds is None:
            own = self.windows.seconds if self.windows else None
            if own is None:
                raise ValueError(
                    f"{self.name} was trained at no rate in particular, so the length of its "
                    "windows is not known: give it, as Windows(seconds=2.0)."
                )
            windows = replace(windows, seconds=own)
        twin = copy.copy(self)
        twin.windows = windows
        return twin


class VideoEncoder(ClipNetworkEncoder):
    """A network over clips with its preprocessing, its device and the origin of its weights.

    From each clip, `frame_contract.frames` frames are taken at the middles of equal segments (a
    shorter clip repeats frames), cropped to the centre square, resized to `frame_contract.size` and
    scaled to `(x - mean) / scale`; or prepared by `framing` where that is given. A file is read in
    windows of the length on which the network was trained, where that is known (`windows`).

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    frame_contract : FrameContract
        How many frames the network is given, and of which size.
    windows : Windows or None
        See `with_windows`.
    layers : tuple of str
        Names of the layers that `activations` shows, from the first stage to the last.
    net : nn.Module
        Has the attributes and methods of `ClipNetwork`, for prepared clips; can be fine-tuned.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import video_encoders
    >>> encoder = video_encoders.load("slowfast_mini")
    >>> clip = np.zeros((24, 64, 64, 3), dtype=np.uint8)  # 24 frames of 64 x 64 pixels
    >>> encoder.prepare([clip]).shape  # 16 of them
    torch.Size([1, 3, 16, 64, 64])
    >>> encoder.encode([clip]).shape
    (1, 768)
    """

    modality = "video"
    batch_size = 8

    def __init__(
        self,
        name: str,
        net: ClipNetwork,
        weights: WeightsInfo,
        contract: FrameContract,
        device: torch.device | str | None = None,
        mean: float = 127.0,
        scale: float = 128.0,
        framing: Framing | None = None,
        windows: Windows | None = None,
    ) -> None:
        super().__init__(name, net, weights, device)
        self.frame_contract = contract
        self.windows = windows
        self.dim = net.dim
        self.layers = net.layers
        self.mean, self.scale, self.framing = mean, scale, framing

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to a clip before the network sees it."""
        steps: dict[str, object] = {"frames": "uniform, middles of segments"}
        if self.framing is not None:
            steps["framing"] = asdict(self.framing)
        else:
            steps |= {"crop": "centre square", "resize": "bilinear, antialias"}
            steps |= {"mean": self.mean, "scale": self.scale}
        return steps | asdict(self.frame_contract)

    @property
    def values_per_item(self) -> int:
        """Values of the frames of one clip."""
        return self.frame_contract.n_values

    def prepare(self, clips: Clips) -> torch.Tensor:
        """Turn clips into the network's input, float32 `(n, 3, frames, size, size)` on the CPU.

        Raises
        ------
        ValueError
            If a clip is not uint8 `(time, height, width, 3)`; the message says which.
        """
        frames, size = self.frame_contract.frames, self.frame_contract.size
        out = torch.empty(len(clips), 3, frames, size, size)
        for position, sampled in enumerate(_sampled(clips, frames)):
            images = torch.from_numpy(sampled).permute(0, 3, 1, 2)  # (frames, 3, height, width)
            images = self.framing(images) if self.framing else square(images, size)
            out[position] = images.transpose(0, 1)  # (3, frames, size, size)
        return out if self.framing else out.sub_(self.mean).div_(self.scale)

    def encode_prepared(self, prepared: torch.Tensor) -> np.ndarray:
        """Vectors of what `prepare` returned, in one forward pass, float32 `(n, dim)`."""
        return self.infer(self.net.vector, prepared).numpy()

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
        return self.outputs(self.net.vector, clips, batch_size, (self.dim,)).numpy()

    def features(self, clips: Clips, batch_size: int = 8) -> torch.Tensor:
        """Features in the order of time, float32 `(n, dim, time)` on the CPU."""
        return self.outputs(self.net.features, clips, batch_size)

    def maps(self, clips: Clips, batch_size: int = 8) -> torch.Tensor:
        """Feature maps, float32 `(n, channels, time, height, width)` on the CPU."""
        return self.outputs(self.net.maps, clips, batch_size)

    def activations(self, clips: Clips, layer: str, batch_size: int = 8) -> torch.Tensor:
        """Output of one layer of the network for each clip.

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
        self.check_layer(layer)
        if not len(clips):
            raise ValueError("There is no clip; give at least one.")
        return self.outputs(lambda x: self.net.activations(x, layer), clips, batch_size)


class AveragedFrames(nn.Module):
    """A network for images on every frame, its features averaged.

    Parameters
    ----------
    net : nn.Module
        Has `features` for images.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, 3, height, width)` to `(batch, dim)`."""
        # every frame is an image of the batch: (batch * frames, 3, height, width)
        images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.net.features(images).unflatten(0, (-1, x.shape[1])).mean(dim=1)


class FrameAverage(ClipNetworkEncoder):
    """The baseline without time: an image encoder on each frame, averaged.

    Any order of the frames gives the same vector, and no rate is better than another, so the frames
    are spread over the whole clip unless `with_windows` says otherwise.

    Parameters
    ----------
    images : ImageEncoder
        Encodes each frame.
    frames : int
        How many frames are averaged.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import image_encoders
    >>> average = FrameAverage(image_encoders.load("efficientnet_lite0", size=32), frames=2)
    >>> clip = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> clip[1] = 255  # black, then white
    >>> forwards, backwards = average.encode([clip, clip[::-1]])
    >>> bool(np.allclose(forwards, backwards, atol=1e-4))
    True
    """

    modality = "video"

    def __init__(self, images: ImageEncoder, frames: int = 8) -> None:
        self.images = images
        self.net = AveragedFrames(images.net)
        self.name = "frame_average"
        self.dim = images.dim
        self.weights, self.device = images.weights, images.device
        self.parameters = images.parameters
        self.frame_contract = FrameContract(frames, images.size, max(128, images.size))
        self.layers = images.layers

    @property
    def calibrated(self) -> bool:
        """Whether the image encoder's statistics are trained or estimated."""
        return self.images.calibrated

    @property
    def values_per_item(self) -> int:
        """Values of the frames of one clip."""
        return self.frame_contract.n_values

    @property
    def preprocessing(self) -> dict[str, object]:
        """The image encoder's preprocessing, and the number of frames."""
        return {**self.images.preprocessing, **asdict(self.frame_contract)}

    @property
    def fingerprint(self) -> str:
        """Digest of the image encoder's fingerprint and the number of frames."""
        text = f"{self.name} {self.frame_contract.frames} {self.images.fingerprint}"
        return hashlib.sha256(text.encode()).hexdigest()

    def prepare(self, clips: Clips) -> torch.Tensor:
        """Turn frames into the image network's input, float32 `(n, frames, 3, size, size)`."""
        frames, size = self.frame_contract.frames, self.frame_contract.size
        prepared = [self.images.prepare(sampled) for sampled in _sampled(clips, frames)]
        return torch.stack(prepared) if prepared else torch.empty(0, frames, 3, size, size)

    def with_network(self, net: nn.Module, weights: WeightsInfo) -> Self:
        """A copy of the encoder around another network over frames, which holds that of images."""
        twin = copy.copy(self)
        twin.net, twin.weights = net.eval(), weights
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
        """Vectors of what `prepare` returned, a clip at a time, float32 `(n, dim)`."""
        means = [self.infer(self.net.vector, clip[None]) for clip in prepared]
        return torch.cat(means).numpy() if means else np.empty((0, self.dim), dtype=np.float32)

    def activations(self, clips: Clips, layer: str) -> torch.Tensor:
        """Output of one of the image network's layers for the frames.

        Returns
        -------
        tensor of float32, shape (n, channels, frames, height, width) or (n, channels)
            Maps of each frame; of a layer without spatial dimensions, the mean over frames.

        Raises
        ------
        ValueError
            If there is no such layer, or no clip.
        """
        if not len(clips):
            raise ValueError("There is no clip; give at least one.")
        samples = _sampled(clips, self.frame_contract.frames)
        outputs = [self.images.activations(sampled, layer) for sampled in samples]
        if outputs[0].ndim == 2:  # (frames, channels)
            return torch.stack([output.mean(dim=0) for output in outputs])
        return torch.stack([output.transpose(0, 1) for output in outputs])

    def calibrate(self, clips: Clips, batch_size: int | None = None) -> Self:
        """Estimate the batch-norm statistics of random weights on the clips' frames."""
        samples = _sampled(clips, self.frame_contract.frames)
        self.images.calibrate([frame for sampled in samples for frame in sampled], batch_size)
        return self


def frame_positions(length: int, frames: int) -> np.ndarray:
    """Positions of the frames in the middle of `frames` equal segments of a clip.

    Examples
    --------
    >>> frame_positions(8, 4).tolist()
    [1, 3, 5, 7]
    >>> frame_positions(1, 3).tolist()  # a short clip repeats frames
    [0, 0, 0]
    """
    return np.floor((np.arange(frames) + 0.5) * length / frames).astype(np.int64)


def _sampled(clips: Clips, frames: int) -> list[np.ndarray]:
    """The frames of each clip that a network sees, uint8 `(frames, height, width, 3)`."""
    return [clip[frame_positions(len(clip), frames)] for clip in checked(clips, "Clip")]
