"""Loads the compact networks, trained or not, with their preprocessing around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vidrec_utils import arguments
from vidrec_utils.encoders import (
    FrameContract,
    WeightsError,
    WeightsInfo,
    Windows,
    load_strictly,
    read_checkpoint,
    verify,
)
from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0, lite0_network
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.video_encoders.encoder import Clips, VideoEncoder
from vidrec_utils.video_encoders.flow import optical_flow, stack_flow
from vidrec_utils.video_encoders.inflation import draw_taps
from vidrec_utils.video_encoders.mini.networks import (
    FlowStream,
    I3DMini,
    SlowFastMini,
    SpatialStream,
    TwoStreamMini,
)

WEIGHTS = Path(__file__).parent / "weights"
SIZE = 64
FRAMES = {"slowfast_mini": 16, "i3d_mini": 16, "two_stream_mini": 16}
RATE = 8.0
"""Frames a second at which MiniTube's motions are as fast as those that were trained on."""


class TwoStreamEncoder(VideoEncoder):
    """A video encoder whose network also sees the optical flow between the frames it is given."""

    @property
    def preprocessing(self) -> dict[str, object]:
        """The preprocessing of every video encoder, and the flow."""
        return {**super().preprocessing, "flow": "OpenCV, on the resized frames, +-20 pixels"}

    def prepare(self, clips: Clips) -> torch.Tensor:
        """RGB and flow, float32 `(n, 5, frames, size, size)`: the last frame's flow is zero."""
        rgb = super().prepare(clips)
        out = torch.zeros(len(rgb), 5, *rgb.shape[2:])
        out[:, :3] = rgb
        pixels = (rgb * self.scale + self.mean).round().clamp(0, 255).to(torch.uint8)
        for number, clip in enumerate(pixels.permute(0, 2, 3, 4, 1).contiguous().numpy()):
            stacked = stack_flow(optical_flow(clip), n=len(clip) - 1)  # (2 * (frames - 1), h, w)
            flow = torch.as_tensor(np.asarray(stacked)).unflatten(0, (-1, 2)).transpose(0, 1)
            out[number, 3:, :-1] = flow
        return out


def untrained(name: str, classes: int, seed: int = 0) -> VideoEncoder:
    """Build a network as its training starts: SlowFast from nothing, the others from ImageNet.

    Parameters
    ----------
    name : {"slowfast_mini", "i3d_mini", "two_stream_mini"}
        The network's name.
    classes : int
        Outputs of the classifier.
    seed : int
        Seed of the random weights; the global seed is not touched.

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    The seed draws the weights of a classifier for three classes, but not ImageNet's filters:

    >>> one, other = (untrained("i3d_mini", classes=3, seed=seed) for seed in (0, 1))
    >>> one.net.classify.weight.shape  # (classes, dim)
    torch.Size([3, 224])
    >>> torch.equal(one.net.classify.weight, other.net.classify.weight)
    False
    >>> filters = one.net.blocks.parameters(), other.net.blocks.parameters()
    >>> all(torch.equal(*pair) for pair in zip(*filters, strict=True))
    True
    """
    net = _network(name, classes, seed, lite0_network("packaged")[0])
    return _encoder(name, net, WeightsInfo("file", None))


def load(
    name: str,
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    frames: int | None = None,
    size: int | None = None,
    seed: int = 0,
    sha256: str | None = None,
) -> VideoEncoder:
    """Load a compact network with the weights that came with the course, random ones, or a file's.

    Parameters
    ----------
    name : {"slowfast_mini", "i3d_mini", "two_stream_mini"}
        The network's name.
    weights : {"packaged", "random"} or path
        `"random"`: nothing in the network is trained, not even by ImageNet, and the filters of the
        I3D are random at all of their taps, so that it depends on the order of frames; call
        `.calibrate(clips)`. Packaged ones are compared with their hash on record.
    device : torch.device or str, optional
        Default: `settings.device()`.
    frames, size : int, optional
        Only what the network was trained on fits: its own number of frames, 64 pixels.
    seed : int
        Seed of random weights.
    sha256 : str, optional
        Hash that a file must have.

    Raises
    ------
    ValueError
        If there is no such network, or the weights, frames or size do not fit it.
    WeightsNotAvailable, WeightsError
        If the file is absent, damaged or of another network.
    """
    arguments.one_of(FRAMES, name=name)
    if (frames or FRAMES[name], size or SIZE) != (FRAMES[name], SIZE):
        raise ValueError(
            f"{name} takes {FRAMES[name]} frames of {SIZE} pixels, on which it was trained, and no "
            f"others, but frames={frames} and size={size} were given. Leave both out."
        )
    if weights == "published":
        raise ValueError(f"{name} is this course's own: its weights are weights='packaged'.")
    if weights == "random":
        net = _network(name, 22, seed, lite0_network("random", seed)[0])
        build_seeded(lambda: draw_taps(net), seed)
        return _encoder(name, net, WeightsInfo("random"), device)
    path = WEIGHTS / f"{name}.safetensors" if weights == "packaged" else Path(weights)
    state = read_checkpoint(path)
    digest = verify(path, sha256)
    classes = max(len(v) for k, v in state.items() if k.endswith(("classify.bias", "proj.bias")))
    net = _network(name, classes, seed, lite0_network("packaged")[0])
    load_strictly(trained_part(net), state, path.name)
    if weights == "packaged":
        verify(path, record(name)["sha256"])
        return _encoder(name, net, WeightsInfo("packaged", path.name, digest, "MIT"), device)
    return _encoder(name, net, WeightsInfo("file", path.name, digest), device)


def record(name: str) -> dict[str, object]:
    """Read how the packaged weights were made: data, recipe, curve, scores, hash.

    Raises
    ------
    ValueError
        If there is no such network.
    WeightsError
        If the record is absent.
    """
    arguments.one_of(FRAMES, name=name)
    path = WEIGHTS / f"{name}.json"
    if not path.is_file():
        raise WeightsError(
            f"{path.name} is missing: run `python scripts/pretrain_motion.py {name}`"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def trained_part(net: nn.Module) -> nn.Module:
    """The part of a network that pretraining changes and that is saved: the temporal stream."""
    return net.temporal if isinstance(net, TwoStreamMini) else net


def _network(name: str, classes: int, seed: int, lite0: EfficientNetLite0) -> nn.Module:
    builders: dict[str, Callable[[], nn.Module]] = {
        "slowfast_mini": lambda: SlowFastMini(classes),
        "i3d_mini": lambda: I3DMini(lite0, classes),
        "two_stream_mini": lambda: TwoStreamMini(
            SpatialStream(lite0), FlowStream(lite0, 2 * (FRAMES[name] - 1), classes)
        ),
    }
    arguments.one_of(FRAMES, name=name)
    return build_seeded(builders[name], seed)


def _encoder(
    name: str, net: nn.Module, info: WeightsInfo, device: torch.device | str | None = None
) -> VideoEncoder:
    kind = TwoStreamEncoder if name == "two_stream_mini" else VideoEncoder
    contract = FrameContract(FRAMES[name], SIZE, 128)
    # looped clips cost it accuracy; a guess: optical flow takes the jump of a loop for a motion
    windows = Windows(FRAMES[name] / RATE, short="stretch" if kind is TwoStreamEncoder else "loop")
    return kind(name, net, info, contract, device, windows=windows)
