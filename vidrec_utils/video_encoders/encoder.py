"""Networks over clips with their preprocessing around them: from uint8 frames to vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from vidrec_utils import settings
from vidrec_utils.embeddings.weights import FrameContract, WeightsInfo, state_digest
from vidrec_utils.image_encoders.encoder import ImageEncoder, estimate_batch_norm, square

Clips = Sequence[np.ndarray] | np.ndarray


class VideoEncoder:
    """A network over clips with its preprocessing, its device and the story of its weights.

    Of a clip, `frame_contract.frames` frames are taken at the middles of equal segments (a shorter
    clip repeats frames), cropped to the centre square, resized to `frame_contract.size` and scaled
    to `(x - mean) / scale`.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.embeddings.Encoder`.
    frame_contract : FrameContract
        How many frames the network is given, and of which size.
    net : nn.Module
        With `maps`, `features` and `vector` for prepared clips; ready to be fine-tuned.
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
    ):
        self.name = name
        self.weights = weights
        self.frame_contract = contract
        self.dim = net.dim
        self.parameters = sum(p.numel() for p in net.parameters())
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.mean, self.scale = mean, scale
        self.calibrated = weights.source != "random"

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to a clip before the network sees it."""
        return {
            "frames": "uniform, middles of segments",
            "crop": "centre square",
            "resize": "bilinear, antialias",
            "mean": self.mean,
            "scale": self.scale,
            **asdict(self.frame_contract),
        }

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the values of all weights, and the preprocessing."""
        told = json.dumps([self.name, self.dim, self.preprocessing], sort_keys=True)
        return hashlib.sha256((told + state_digest(self.net)).encode()).hexdigest()

    def prepare(self, clips: Clips) -> torch.Tensor:
        """Clips as the network wants them, float32 `(n, 3, frames, size, size)` on the CPU.

        Raises
        ------
        ValueError
            If a clip is not uint8 `(time, height, width, 3)`; the message says which.
        """
        frames, size = self.frame_contract.frames, self.frame_contract.size
        out = torch.empty(len(clips), 3, frames, size, size)
        for place, clip in enumerate(check_clips(clips)):
            chosen = torch.from_numpy(clip[frame_places(len(clip), frames)])
            pictures = square(chosen.permute(0, 3, 1, 2), size)  # (frames, 3, size, size)
            out[place] = pictures.transpose(0, 1)
        return out.sub_(self.mean).div_(self.scale)

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
        prepared = (self.prepare(b).to(self.device) for b in _batches(clips, batch_size))
        estimate_batch_norm(self.net, self.net.vector, prepared)
        self.calibrated = True
        return self

    def _run(
        self, function: Callable[[torch.Tensor], torch.Tensor], clips: Clips, batch_size: int
    ) -> Iterator[torch.Tensor]:
        if not self.calibrated:
            raise RuntimeError(
                "Random weights need batch-norm statistics first: call encoder.calibrate(clips) "
                "with some clips of your library."
            )
        dtype = settings.dtype(self.device)
        for batch in _batches(clips, batch_size):
            lower = (
                torch.autocast(self.device.type, dtype) if dtype != torch.float32 else nullcontext()
            )
            with torch.inference_mode(), lower:
                result = function(self.prepare(batch).to(self.device)).float().cpu()
            yield result.clone()  # a normal tensor, which a head can be trained on


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
        self.name = "frame_average"
        self.dim = images.dim
        self.parameters = images.parameters
        self.frame_contract = FrameContract(frames, images.size, max(128, images.size))

    @property
    def weights(self) -> WeightsInfo:
        """The image encoder's."""
        return self.images.weights

    @property
    def preprocessing(self) -> dict[str, object]:
        """The image encoder's, and the number of frames."""
        return {**self.images.preprocessing, **asdict(self.frame_contract)}

    @property
    def fingerprint(self) -> str:
        """Digest of the image encoder's and the number of frames."""
        told = f"{self.name} {self.frame_contract.frames} {self.images.fingerprint}"
        return hashlib.sha256(told.encode()).hexdigest()

    def encode(self, clips: Clips) -> np.ndarray:
        """Mean of the frames' vectors, float32 `(n, dim)`."""
        frames = self.frame_contract.frames
        chosen = [clip[frame_places(len(clip), frames)] for clip in check_clips(clips)]
        means = [self.images.encode(clip).mean(axis=0) for clip in chosen]
        return np.stack(means) if means else np.empty((0, self.dim), dtype=np.float32)


def frame_places(length: int, frames: int) -> np.ndarray:
    """Which of `length` frames to take: those in the middle of `frames` equal segments."""
    return np.floor((np.arange(frames) + 0.5) * length / frames).astype(np.int64)


def check_clips(clips: Clips) -> list[np.ndarray]:
    """Return clips as a list of uint8 `(time, height, width, 3)` arrays.

    Raises
    ------
    ValueError
        If one is anything else; the message names its position, shape and type.
    """
    for place, clip in enumerate(clips):
        array = np.asarray(clip)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
            raise ValueError(
                f"Clip {place} is {array.dtype} of shape {array.shape}; wanted is uint8 of shape "
                "(time, height, width, 3), RGB. video_io.sample_frames gives that for any file."
            )
    return [np.asarray(clip) for clip in clips]


def _batches(clips: Clips, batch_size: int) -> Iterator[Clips]:
    for start in range(0, len(clips), batch_size):
        yield clips[start : start + batch_size]
