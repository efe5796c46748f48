"""Video networks whose weights their authors published: fetched by hash, opened at their stages.

R(2+1)D splits a filter into one over space and one over time. MViT is a transformer that pools as
it goes. Those of pytorchvideo (SlowFast, I3D, X3D) are in `slowfast`, VideoMAE is in `videomae`.

References
----------
Tran and others: A Closer Look at Spatiotemporal Convolutions. CVPR 2018 (arXiv:1711.11248).
Li and others: MViTv2. CVPR 2022 (arXiv:2112.01526).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.download import at_hand, fetch
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsError, WeightsNotAvailable
from vidrec_utils.video_encoders import slowfast
from vidrec_utils.video_encoders.encoder import Framing, TimedContract, VideoEncoder
from vidrec_utils.video_encoders.slowfast import STAGES

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
ZOO_MEAN, ZOO_SCALE = 0.45 * 255, 0.225 * 255
"""Of all three channels; the zoo's frames are squares cut out of the centre, none larger fits."""

MVIT_STAGES = (0, 2, 13, 15)
"""The last block of each width."""


@dataclass(frozen=True)
class Wanted:
    """What a caller of `load` asks for; see there."""

    name: str
    weights: str | Path = "packaged"
    device: torch.device | str | None = None
    frames: int | None = None
    size: int | None = None
    seed: int = 0
    sha256: str | None = None
    download: bool = False


@dataclass(frozen=True)
class Published:
    """How a network is built, fetched and fed.

    Attributes
    ----------
    build : callable
        Of frames and size, the untrained network; its `net` has the published layout.
    url : str
        Of the published checkpoint.
    sha256 : str or None
        First digits of its hash; None where its authors tell none: trust on first use.
    licence : str
        Of the weights.
    contract : TimedContract
        What it was trained on.
    framing : Framing or None
        None: the zoo's.
    steps : tuple of int
        Frames, and pixels, must be multiples of these two.
    least : tuple of int
        Fewest frames, and pixels.
    """

    build: Callable[[int, int], nn.Module]
    url: str
    sha256: str | None
    licence: str
    contract: TimedContract
    framing: Framing | None = None
    steps: tuple[int, int] = (1, 1)
    least: tuple[int, int] = (1, 32)

    def load(self, wanted: Wanted) -> VideoEncoder:
        """The encoder with the weights that are wanted; errors as in `video_encoders.load`."""
        contract = contract_for(self.contract, wanted)
        check_contract(wanted.name, contract, self.steps, self.least)
        net, info = self._network(wanted, contract)
        framing = self.framing.at(contract.size) if self.framing else None
        return VideoEncoder(
            wanted.name, net, info, contract, wanted.device, ZOO_MEAN, ZOO_SCALE, framing
        )

    def at_hand(self) -> list[str]:
        """Values for `load`'s `weights` that need no network now."""
        return ["published", "random"] if at_hand(self.url) else ["random"]

    def _network(self, wanted: Wanted, contract: TimedContract) -> tuple[nn.Module, WeightsInfo]:
        if wanted.weights == "packaged":
            raise not_packaged(wanted.name)
        if wanted.weights == "random":
            return self._built(contract, wanted.seed), WeightsInfo("random")
        if wanted.weights == "published":
            path = fetch(self.url, sha256=wanted.sha256 or self.sha256, download=wanted.download)
            info = WeightsInfo("published", path.name, weights_io.sha256(path), self.licence)
        else:
            path, info = _from_file(wanted)
        state = weights_io.read_checkpoint(path)
        net = self._built(contract, wanted.seed)
        weights_io.load_strictly(net.net, state, path.name)
        return net, info

    def _built(self, contract: TimedContract, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(contract.frames, contract.size)


class R2Plus1D(nn.Module):
    """R(2+1)D with 18 layers, torchvision's.

    Parameters
    ----------
    classes : int
        400 for Kinetics.
    """

    layers = (*STAGES, "penultimate", "logits")

    def __init__(self, classes: int = 400):
        super().__init__()
        from torchvision.models.video import r2plus1d_18

        self.net = r2plus1d_18(weights=None, num_classes=classes)
        self.channels = self.dim = 512

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Last maps, `(batch, 512, time / 8, height / 16, width / 16)`."""
        return self.activations(x, "stage4")

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the picture, `(batch, 512, time / 8)`."""
        return self.maps(x).mean(dim=(3, 4))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Maps averaged over the clip, `(batch, 512)`."""
        return self.maps(x).mean(dim=(2, 3, 4))

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`."""
        if layer in ("penultimate", "logits"):
            return self.vector(x) if layer == "penultimate" else self(x)
        x = self.net.stem(x)
        net = self.net
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4)[: STAGES.index(layer) + 1]:
            x = stage(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net(x)


class TokenNet(nn.Module):
    """A transformer over clips: what it has in common with networks of maps.

    Subclasses give `tokens(x, layer)`, patches `(batch, dim, time, height, width)` after a stage.
    """

    layers = (*STAGES, "token_mean", "penultimate", "logits")

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after a quarter of the network, where they lie in the clip."""
        raise NotImplementedError

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Patches after the last layer, `(batch, dim, time, height, width)`."""
        return self.tokens(x, 3)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Patches averaged over the picture, `(batch, dim, time)`."""
        return self.maps(x).mean(dim=(3, 4))

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of `layers`."""
        if layer in ("penultimate", "logits"):
            return self.vector(x) if layer == "penultimate" else self(x)
        if layer == "token_mean":
            return self.maps(x).mean(dim=(2, 3, 4))
        return self.tokens(x, STAGES.index(layer))


class MViTv2(TokenNet):
    """MViTv2-S, torchvision's; the vector is that of the class token.

    Parameters
    ----------
    frames, size : int
        Of a clip. Its tables of relative positions are those of 16 frames and 224 pixels;
        torchvision interpolates them for others.
    classes : int
        400 for Kinetics.
    """

    def __init__(self, frames: int = 16, size: int = 224, classes: int = 400):
        super().__init__()
        from torchvision.models.video import mvit_v2_s

        self.net = mvit_v2_s(weights=None, num_classes=classes)
        time, side = (
            frames // 2,
            size // 4,
        )  # the builder fixes the input's size, these two overrule
        self.net.pos_encoding.temporal_size = time
        self.net.pos_encoding.spatial_size = (side, side)
        self.channels = self.dim = 768

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The class token after the last layer norm, `(batch, 768)`."""
        return self.net.norm(self._passed(x, len(self.net.blocks))[0])[:, 0]

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after the last block of a width; the last after the norm, as the class token."""
        tokens, places = self._passed(x, MVIT_STAGES[stage] + 1)
        tokens = self.net.norm(tokens) if stage == 3 else tokens
        return tokens[:, 1:].transpose(1, 2).unflatten(2, places)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.head(self.vector(x))

    def _passed(self, x: torch.Tensor, blocks: int) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """All tokens after the first blocks, and how many there are in time, height and width."""
        net = self.net
        tokens = net.pos_encoding(net.conv_proj(x).flatten(2).transpose(1, 2))
        places = (net.pos_encoding.temporal_size, *net.pos_encoding.spatial_size)
        for block in net.blocks[:blocks]:
            tokens, places = block(tokens, places)
        return tokens, places


def contract_for(contract: TimedContract, wanted: Wanted) -> TimedContract:
    """The frame contract with the frames and size that a caller wants instead.

    Raises
    ------
    ValueError
        If one of them is not a positive number.
    """
    for what, value in (("frames", wanted.frames), ("size", wanted.size)):
        if value is not None and value < 1:
            raise ValueError(f"{what} is {value}; it must be at least 1.")
    if wanted.size not in (None, contract.size):
        read = round((contract.read_size or contract.size) * wanted.size / contract.size)
        contract = replace(contract, size=wanted.size, read_size=max(128, read))
    return replace(contract, frames=wanted.frames or contract.frames)


def not_packaged(name: str) -> WeightsNotAvailable:
    """The error for weights that no package carries; names the remedies."""
    return WeightsNotAvailable(
        f"No package carries weights of {name}. Use weights='published' (with download=True the "
        "first time), or 'lite0_correlation', whose weights are packaged."
    )


def hash_prefix(published: WeightsEnum) -> str:
    """First digits of the SHA-256, as torchvision writes them at the end of a file name."""
    return Path(published.url).stem.rpartition("-")[2]


def torchvision_framing(published: WeightsEnum) -> Framing:
    """The preprocessing that torchvision publishes with a video network's weights."""
    preset = published.transforms()
    resize = tuple(preset.resize_size)
    return Framing(
        preset.crop_size[0],
        resize if len(resize) == 2 else resize[0],
        tuple(preset.mean),
        tuple(preset.std),
        antialias=False,
    )


def networks() -> dict[str, Published]:
    """The networks that are one checkpoint file each, by name."""
    from torchvision.models.video import MViT_V2_S_Weights, R2Plus1D_18_Weights

    split, pooling = R2Plus1D_18_Weights.KINETICS400_V1, MViT_V2_S_Weights.KINETICS400_V1
    return {
        "slowfast_r50": Published(
            lambda frames, size: slowfast.SlowFastR50(),
            f"{ZOO}/SLOWFAST_8x8_R50.pyth",
            None,
            "Apache-2.0",
            TimedContract(32, 224, 224, 15.0),
            steps=(4, 1),
            least=(4, 32),
        ),
        "i3d_r50": Published(
            lambda frames, size: slowfast.i3d_r50(),
            f"{ZOO}/I3D_8x8_R50.pyth",
            None,
            "Apache-2.0",
            TimedContract(8, 256, 256, 3.75),
            least=(2, 32),
        ),
        "x3d_s": Published(
            lambda frames, size: slowfast.x3d_s(),
            f"{ZOO}/X3D_S.pyth",
            None,
            "Apache-2.0",
            TimedContract(13, 182, 182, 5.0),
        ),
        "r2plus1d_18": Published(
            lambda frames, size: R2Plus1D(),
            split.url,
            hash_prefix(split),
            "BSD-3-Clause",
            TimedContract(16, 112, 256, 15.0),
            torchvision_framing(split),
            least=(1, 16),
        ),
        "mvit_v2_s": Published(
            MViTv2,
            pooling.url,
            hash_prefix(pooling),
            "BSD-3-Clause",
            TimedContract(16, 224, 256, 7.5),
            torchvision_framing(pooling),
            steps=(2, 32),
            least=(2, 64),
        ),
    }


def _from_file(wanted: Wanted) -> tuple[Path, WeightsInfo]:
    path = Path(wanted.weights)
    if not path.is_file():
        raise WeightsNotAvailable(
            f"There is no weights file {path} for {wanted.name}. Give the path of a checkpoint, or "
            "weights='published' with download=True."
        )
    return path, WeightsInfo("file", path.name, digest_of(path, wanted.sha256))


def digest_of(path: Path, expected: str | None) -> str:
    """Hash of a file, compared with what a caller knows of it: all digits, or the first 8."""
    found = weights_io.sha256(path)
    if expected is not None and not (len(expected) >= 8 and found.startswith(expected.lower())):
        raise WeightsError(
            f"{path.name} has SHA-256 {found[:12]}..., expected {expected[:12]}...: it is damaged, "
            "or is another file."
        )
    return found


def check_contract(
    name: str, contract: TimedContract, steps: tuple[int, int], least: tuple[int, int]
) -> None:
    """Refuse frames or a size that a network cannot take.

    Raises
    ------
    ValueError
        If one is too small, or no multiple of its step.
    """
    values = (("frames", contract.frames), ("size", contract.size))
    for (what, value), step, smallest in zip(values, steps, least, strict=True):
        if value < smallest or value % step:
            several = f"a multiple of {step}, " if step > 1 else ""
            raise ValueError(f"{what} is {value}; {name} takes {several}at least {smallest}.")
