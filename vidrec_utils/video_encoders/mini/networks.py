"""Three compact video networks, one per idea: two pathways, inflated filters, two streams.

All take float32 `(batch, 3, 16, 64, 64)` or more, and answer with `maps`, `features`, `vector` and
logits as every network behind a `VideoEncoder` does. What they were taught is told by the model
cards in `weights/`; they never saw Kinetics.

References
----------
SlowFast: Feichtenhofer, Fan, Malik, He, ICCV 2019 (arXiv:1812.03982).
I3D: Carreira, Zisserman, CVPR 2017 (arXiv:1705.07750).
Two-Stream: Simonyan, Zisserman, NeurIPS 2014 (arXiv:1406.2199); its stem's start: Wang et al.,
Temporal Segment Networks, ECCV 2016 (arXiv:1608.00859).
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0, SameConv2d, same_pad
from vidrec_utils.video_encoders.flow import cross_modality_stem
from vidrec_utils.video_encoders.inflation import inflate

BLOCKS = 11
"""Blocks of EfficientNet-Lite0 that the I3D and the flow stream keep (112 channels, stride 16)."""

DEPTH = 2
"""Residual blocks that the SlowFast keeps of each stage (of 3, 4, 6 and 3)."""

STILL = 3
"""Of them, those that the I3D applies to single frames, as ImageNet trained them."""

HALVED = 5
"""Before this block the I3D halves the number of time steps, by the larger of two neighbours."""


class SlowFastMini(nn.Module):
    """SlowFast as pytorchvideo builds it, with a quarter of the channels and fewer blocks.

    The slow path sees every fourth frame through 16 and more channels, the fast path all frames
    through 8 and more, and hands what it found over after each stage. The paper's fast path has an
    eighth of the slow one's channels; of so few, too few would be left.

    Parameters
    ----------
    classes : int
        Outputs of the classifier.
    """

    alpha = 4

    def __init__(self, classes: int):
        super().__init__()
        with warnings.catch_warnings():  # its torch.jit.script at import, none of ours
            warnings.simplefilter("ignore", FutureWarning)
            from pytorchvideo.models.slowfast import create_slowfast
        self.net = create_slowfast(
            model_depth=50,
            model_num_class=classes,
            dropout_rate=0.2,
            slowfast_channel_reduction_ratio=(2,),
            slowfast_conv_channel_fusion_ratio=2,
            slowfast_fusion_conv_kernel_size=(5, 1, 1),
            slowfast_fusion_conv_stride=(self.alpha, 1, 1),
            stem_dim_outs=(16, 8),
            head_pool_kernel_sizes=((4, 2, 2), (16, 2, 2)),
        )
        for stage in self.net.blocks[1:5]:
            for way in stage.multipathway_blocks:
                way.res_blocks = way.res_blocks[:DEPTH]
        self.channels = self.dim = self.net.blocks[-1].proj.in_features

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Both paths pooled over time and side by side, `(batch, dim, 1, h, w)`."""
        steps = torch.diff(x, dim=2, append=x[:, :, -1:])  # what changes until the next frame
        paths = [x[:, :, :: self.alpha].contiguous(), 2 * steps]
        for block in self.net.blocks[:-1]:
            paths = block(paths)
        return paths

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, dim, 1)`: both paths are pooled over time."""
        return self.vector(x)[:, :, None]

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The layer before the classifier, `(batch, dim)`."""
        return self.maps(x).mean(dim=(2, 3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.blocks[-1](self.maps(x)).flatten(1)


class InflatedFilter(nn.Module):
    """A depthwise convolution over three neighbouring frames, on frames folded into the batch.

    The same sum as a 3D convolution's: each frame is filtered with every tap's 2D filter, and the
    answers of the frames before and after are added. On a CPU this is several times as fast.

    Parameters
    ----------
    conv : SameConv2d
        Depthwise; its filter becomes the centre tap, the others start at zero.
    """

    def __init__(self, conv: SameConv2d):
        super().__init__()
        deep = inflate(conv, taps=3, mode="centre")
        self.weight = nn.Parameter(deep.weight.detach().clone())  # (channels, 1, 3, k, k)
        self.stride = conv.stride[0]

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """`(batch * frames, channels, height, width)`, smaller by the stride."""
        before, here, after = (
            functional.conv2d(same_pad(x, tap.shape[-1], self.stride), tap, None, self.stride,
                              0, 1, len(tap))
            for tap in self.weight.unbind(2)
        )  # fmt: skip
        before, after = (y.unflatten(0, (-1, frames)) for y in (before, after))
        none = torch.zeros_like(before[:, :1])
        past = torch.cat([none, before[:, :-1]], dim=1).flatten(0, 1)
        future = torch.cat([after[:, 1:], none], dim=1).flatten(0, 1)
        return past + here + future


class I3DMini(nn.Module):
    """An I3D: EfficientNet-Lite0's blocks, the depthwise filters inflated to three frames.

    Top-heavy, as "Rethinking Spatiotemporal Feature Learning" (arXiv:1712.04851) found best: stem
    and the first three blocks see single frames and keep ImageNet's weights, the next eight see
    three time steps each. As in the paper, time is pooled on the way: two of the blocks work on all
    frames, six on half as many steps.

    Parameters
    ----------
    net : EfficientNetLite0
        Its first blocks start the network; ImageNet's where it was pretrained.
    classes : int
        Outputs of the classifier.
    """

    def __init__(self, net: EfficientNetLite0, classes: int):
        super().__init__()
        net = copy.deepcopy(net)
        self._conv_stem, self._bn0 = net._conv_stem, net._bn0
        self.still = nn.Sequential(*net._blocks[:STILL]).requires_grad_(False)
        self._conv_stem.requires_grad_(False)
        self._bn0.requires_grad_(False)
        self.blocks = nn.ModuleList(net._blocks[STILL:BLOCKS])
        for block in self.blocks:
            block._depthwise_conv = InflatedFilter(block._depthwise_conv)
        self.channels = self.blocks[-1]._bn2.num_features
        self.dim = 2 * self.channels
        self.scale = nn.BatchNorm1d(self.dim, affine=False)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(self.dim, classes)

    def train(self, mode: bool = True) -> I3DMini:
        """As ever, but the part that keeps ImageNet's weights keeps its statistics, too."""
        super().train(mode)
        self._bn0.eval()
        self.still.eval()
        return self

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """From `(batch, 3, t, height, width)` to `(batch, 112, t / 2, height / 16, width / 16)`."""
        batch, _, frames = x.shape[:3]
        x = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.still(functional.relu6(self._bn0(self._conv_stem(x))))  # (batch * frames, 24, ...)
        for place, block in enumerate(self.blocks, start=STILL):
            if place == HALVED:
                x, frames = _halved(x, frames), frames // 2
            y = functional.relu6(block._bn0(block._expand_conv(x)))
            y = functional.relu6(block._bn1(block._depthwise_conv(y, frames)))
            y = block._bn2(block._project_conv(y))
            x = x + y if block.residual else y
        return x.unflatten(0, (batch, frames)).transpose(1, 2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and largest value of each map, `(batch, 224, time / 2)`."""
        maps = self.maps(x)
        return torch.cat([maps.mean(dim=(3, 4)), maps.amax(dim=(3, 4))], dim=1)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Features averaged over time, `(batch, 224)`."""
        return self.features(x).mean(dim=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.classify(self.dropout(self.scale(self.vector(x))))


def _halved(x: torch.Tensor, frames: int) -> torch.Tensor:
    """The larger of each two time steps; `(batch * frames, channels, height, width)`."""
    steps = x.unflatten(0, (-1, frames))[:, : frames // 2 * 2]
    return torch.maximum(steps[:, ::2], steps[:, 1::2]).flatten(0, 1)


class PictureStream(nn.Module):
    """The spatial stream: EfficientNet-Lite0's first blocks on single frames.

    Of a clip's frames the middle layers tell more than the last: drawn things over photographs are
    not what ImageNet's classes are about. And a short vector does not drown the other stream's.

    Parameters
    ----------
    net : EfficientNetLite0
        Its first blocks are the stream.
    """

    def __init__(self, net: EfficientNetLite0):
        super().__init__()
        net = copy.deepcopy(net)
        self._conv_stem, self._bn0 = net._conv_stem, net._bn0
        self.blocks = nn.Sequential(*net._blocks[:BLOCKS])
        self.channels = self.dim = self.blocks[-1]._bn2.num_features

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, height, width)` to `(batch, 112, height / 16, width / 16)`."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.blocks(functional.relu6(self._bn0(self._conv_stem(x))))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of each map, `(batch, 112)`."""
        return self.maps(x).mean(dim=(2, 3))


class FlowStream(PictureStream):
    """The temporal stream: a 2D network over the flow of a whole clip, stacked as channels.

    Parameters
    ----------
    net : EfficientNetLite0
        Its first blocks start the network; its stem's weights, averaged over RGB, start the new
        stem (cross-modality initialisation).
    channels : int
        Of stacked flow: 2 for each step from frame to frame.
    classes : int
        Outputs of the classifier.
    """

    def __init__(self, net: EfficientNetLite0, channels: int, classes: int):
        super().__init__(net)
        old = self._conv_stem
        self._conv_stem = SameConv2d(channels, old.out_channels, 3, 2, bias=False)
        with torch.no_grad():
            # Scaled so that the sum over more channels keeps the size that the next layer knows
            start = cross_modality_stem(old.weight, channels) * (3 / channels)
            self._conv_stem.weight.copy_(start)
        self.dim = 2 * self.channels
        self.scale = nn.BatchNorm1d(self.dim, affine=False)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(self.dim, classes)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and largest value of each map, `(batch, 224)`."""
        maps = self.maps(x)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.classify(self.dropout(self.scale(self.vector(x))))


class TwoStreamMini(nn.Module):
    """Two streams, one for what is seen and one for how it moves, side by side at the end.

    The spatial stream is a network of single frames as it came, with its own weights; the temporal
    stream is the one trained on flow. As in the paper, each stream is trained alone.

    Parameters
    ----------
    spatial : PictureStream
        Answers with the mean over `looks` frames.
    temporal : FlowStream
        Of the flow between all frames.
    looks : int
        How many frames the spatial stream sees.
    """

    def __init__(self, spatial: PictureStream, temporal: FlowStream, looks: int = 2):
        super().__init__()
        self.spatial, self.temporal, self.looks = spatial.requires_grad_(False), temporal, looks
        self.channels = temporal.channels
        self.dim = spatial.dim + temporal.dim

    def train(self, mode: bool = True) -> TwoStreamMini:
        """As ever, but the spatial stream keeps its statistics."""
        super().train(mode)
        self.spatial.eval()
        return self

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """The temporal stream's, `(batch, 112, 1, height / 16, width / 16)`.

        `x` holds RGB and, as channels 3 and 4, the flow to the next frame (zero for the last):
        `(batch, 5, time, height, width)`.
        """
        return self.temporal.maps(self._flow(x))[:, :, None]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, dim, 1)`."""
        return self.vector(x)[:, :, None]

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Both streams' vectors, each of length 1, `(batch, dim)`."""
        seen = torch.linspace(0, x.shape[2] - 1, self.looks + 2).round().long()[1:-1]
        frames = x[:, :3, seen].transpose(1, 2).flatten(0, 1)
        looks = self.spatial.vector(frames).unflatten(0, (-1, self.looks)).mean(dim=1)
        moves = self.temporal.vector(self._flow(x))
        return torch.cat([functional.normalize(v, dim=1) for v in (looks, moves)], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The temporal stream's logits, `(batch, classes)`."""
        return self.temporal(self._flow(x))

    def _flow(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 3:, :-1].transpose(1, 2).flatten(1, 2)  # (batch, 2 * (time - 1), h, w)
