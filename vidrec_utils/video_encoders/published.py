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
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from vidrec_utils.encoders import Entry, LoadRequest, PublishedFile, TimedContract, Windows
from vidrec_utils.encoders.network import with_weights
from vidrec_utils.encoders.torchvision_models import MODELS, TorchvisionWeights, builder
from vidrec_utils.video_encoders import slowfast
from vidrec_utils.video_encoders.encoder import ClipNetwork, Framing, VideoEncoder
from vidrec_utils.video_encoders.slowfast import STAGES

if TYPE_CHECKING:
    from torchvision.models.video import MViT
    from torchvision.models.video.resnet import VideoResNet

ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
ZOO_MEAN, ZOO_SCALE = 0.45 * 255, 0.225 * 255
"""Of all three channels; the zoo's frames are squares cut out of the centre, none larger fits."""

MVIT_STAGES = (0, 2, 13, 15)
"""The last block of each width."""


class R2Plus1D(ClipNetwork):
    """R(2+1)D with 18 layers, torchvision's.

    Parameters
    ----------
    classes : int
        400 for Kinetics.
    """

    layers = (*STAGES, "penultimate", "logits")

    def __init__(self, classes: int = 400):
        super().__init__()
        self.net = cast("VideoResNet", builder("r2plus1d_18")(num_classes=classes))
        self.channels = self.dim = 512

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Last maps, `(batch, 512, time / 8, height / 16, width / 16)`."""
        return self.stage(x, "stage4")

    def stage(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Output of one of the four stages."""
        net = self.net
        stages = (net.layer1, net.layer2, net.layer3, net.layer4)
        return nn.Sequential(net.stem, *stages[: STAGES.index(layer) + 1])(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net(x)


class TokenNet(ClipNetwork):
    """A transformer over clips: the part that all of them share.

    Subclasses give `tokens(x, stage)`, patches `(batch, dim, time, height, width)` after a stage.
    """

    layers = (*STAGES, "token_mean", "penultimate", "logits")

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after a quarter of the network, at their positions in the clip."""
        raise NotImplementedError

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Patches after the last layer, `(batch, dim, time, height, width)`."""
        return self.tokens(x, 3)

    def stage(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Patches after a quarter of the network, or their mean, `(batch, dim)`."""
        if layer == "token_mean":
            return self.maps(x).mean(dim=(2, 3, 4))
        return self.tokens(x, STAGES.index(layer))


class MViTv2(TokenNet):
    """MViTv2-S, torchvision's; the vector is that of the class token.

    Parameters
    ----------
    frames, size : int
        Number of frames of a clip, and the side of a frame in pixels. The published tables of
        relative positions are those of 16 frames and 224 pixels; others are interpolated.
    classes : int
        400 for Kinetics.
    """

    def __init__(self, frames: int = 16, size: int = 224, classes: int = 400):
        super().__init__()
        self.net = cast("MViT", builder("mvit_v2_s")(num_classes=classes))
        # the builder fixes the size of its input; these two override it
        self.net.pos_encoding.temporal_size = frames // 2
        self.net.pos_encoding.spatial_size = (size // 4, size // 4)
        self.channels = self.dim = 768

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The class token after the last layer norm, `(batch, 768)`."""
        return self.net.norm(self._passed(x, len(self.net.blocks))[0])[:, 0]

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after the last block of a width; the last after the norm, as the class token."""
        tokens, grid = self._passed(x, MVIT_STAGES[stage] + 1)
        tokens = self.net.norm(tokens) if stage == 3 else tokens
        return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.head(self.vector(x))

    def _passed(self, x: torch.Tensor, blocks: int) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """All tokens after the first blocks, and the grid of patches: time, height, width."""
        net = self.net
        tokens = net.pos_encoding(net.conv_proj(x).flatten(2).transpose(1, 2))
        grid = (net.pos_encoding.temporal_size, *net.pos_encoding.spatial_size)
        for block in net.blocks[:blocks]:
            tokens, grid = block(tokens, grid)
        return tokens, grid


def contract_for(contract: TimedContract, request: LoadRequest) -> TimedContract:
    """The frame contract with the frames and size that a caller asks for instead."""
    if request.size not in (None, contract.size):
        read = round((contract.read_size or contract.size) * request.size / contract.size)
        contract = replace(contract, size=request.size, read_size=max(128, read))
    return replace(contract, frames=request.frames or contract.frames)


def torchvision_framing(published: TorchvisionWeights) -> Framing:
    """The preprocessing that torchvision publishes with a video network's weights."""
    preset = published.entry().transforms()
    resize = tuple(preset.resize_size)
    return Framing(
        preset.crop_size[0],
        resize if len(resize) == 2 else resize[0],
        tuple(preset.mean),
        tuple(preset.std),
        antialias=False,
    )


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


@dataclass(frozen=True, kw_only=True)
class PublishedNetwork(Entry[VideoEncoder]):
    """A network whose authors published its weights as one file.

    Attributes
    ----------
    build : callable
        From frames and size to the untrained network; its `net` has the published layout.
    torchvision : TorchvisionWeights or None
        Torchvision's entry, which has the preprocessing; None: the zoo's preprocessing.
    steps : tuple of int
        Frames, and pixels, must be multiples of these two.
    least : tuple of int
        Fewest frames, and pixels.
    """

    published: PublishedFile
    contract: TimedContract
    build: Callable[[int, int], nn.Module]
    torchvision: TorchvisionWeights | None = None
    steps: tuple[int, int] = (1, 1)
    least: tuple[int, int] = (1, 32)

    def load(self, request: LoadRequest) -> VideoEncoder:
        """The encoder that is asked for; errors as in `video_encoders.load`."""
        contract = contract_for(self.contract, request)
        check_contract(self.name, contract, self.steps, self.least)
        net, info = with_weights(
            lambda: self.build(contract.frames, contract.size), request, self.published, "net"
        )
        usual = torchvision_framing(self.torchvision) if self.torchvision else None
        framing = usual.at(contract.size) if usual else None
        return VideoEncoder(
            self.name,
            net,
            info,
            contract,
            request.device,
            ZOO_MEAN,
            ZOO_SCALE,
            framing,
            Windows(contract.window_s),
        )


def _zoo(accuracy: float, steps: str) -> dict[str, object]:
    return {
        "licence": "Apache-2.0",
        "pretrained_on": "Kinetics-400",
        "accuracy": accuracy,
        "accuracy_source": f"top-1 %, {steps}, pytorchvideo model zoo (10 x 3 views)",
    }


def _torchvision(weights: TorchvisionWeights, accuracy: float) -> dict[str, object]:
    return {
        "licence": "BSD-3-Clause",
        "pretrained_on": "Kinetics-400",
        "accuracy": accuracy,
        "accuracy_source": f"top-1 %, torchvision {weights}",
    }


_R2PLUS1D = TorchvisionWeights(
    "R2Plus1D_18_Weights.KINETICS400_V1", f"{MODELS}/r2plus1d_18-91a641e6.pth"
)
_MVIT = TorchvisionWeights("MViT_V2_S_Weights.KINETICS400_V1", f"{MODELS}/mvit_v2_s-ae3be167.pth")

ENTRIES = [
    PublishedNetwork(
        name="i3d_r50",
        about={
            "family": "I3D",
            "year": 2017,
            "parameters": 28_043_472,
            "gflops": 74.21,
            "dim": 2048,
            **_zoo(73.27, "8x8"),
        },
        published=PublishedFile(f"{ZOO}/I3D_8x8_R50.pyth", None, "Apache-2.0"),
        contract=TimedContract(8, 256, 256, 3.75),
        build=lambda frames, size: slowfast.i3d_r50(),
        least=(2, 32),
        smallest={"frames": 4, "size": 32},
    ),
    PublishedNetwork(
        name="r2plus1d_18",
        about={
            "family": "R(2+1)D",
            "year": 2018,
            "parameters": 31_505_325,
            "gflops": 81.04,
            "dim": 512,
            **_torchvision(_R2PLUS1D, 67.463),
        },
        published=PublishedFile.of_torchvision(_R2PLUS1D),
        contract=TimedContract(16, 112, 256, 15.0),
        build=lambda frames, size: R2Plus1D(),
        torchvision=_R2PLUS1D,
        least=(1, 16),
        smallest={"frames": 4, "size": 32},
    ),
    PublishedNetwork(
        name="slowfast_r50",
        about={
            "family": "SlowFast",
            "year": 2019,
            "parameters": 34_566_488,
            "gflops": 100.62,
            "dim": 2304,
            **_zoo(76.94, "8x8"),
        },
        published=PublishedFile(f"{ZOO}/SLOWFAST_8x8_R50.pyth", None, "Apache-2.0"),
        contract=TimedContract(32, 224, 224, 15.0),
        build=lambda frames, size: slowfast.SlowFastR50(),
        steps=(4, 1),
        least=(4, 32),
        smallest={"frames": 8, "size": 32},
    ),
    PublishedNetwork(
        name="x3d_s",
        about={
            "family": "X3D",
            "year": 2020,
            "parameters": 3_794_274,
            "gflops": 5.45,
            "dim": 2048,
            **_zoo(73.33, "13x6"),
        },
        published=PublishedFile(f"{ZOO}/X3D_S.pyth", None, "Apache-2.0"),
        contract=TimedContract(13, 182, 182, 5.0),
        build=lambda frames, size: slowfast.x3d_s(),
        smallest={"frames": 4, "size": 32},
    ),
    PublishedNetwork(
        name="mvit_v2_s",
        about={
            "family": "MViTv2",
            "year": 2021,
            "parameters": 34_537_744,
            "gflops": 128.45,
            "dim": 768,
            **_torchvision(_MVIT, 80.757),
        },
        published=PublishedFile.of_torchvision(_MVIT),
        contract=TimedContract(16, 224, 256, 7.5),
        build=MViTv2,
        torchvision=_MVIT,
        steps=(2, 32),
        least=(2, 64),
        smallest={"frames": 4, "size": 64},
    ),
]
