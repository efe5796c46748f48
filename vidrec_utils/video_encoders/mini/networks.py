"""Three compact video networks, one per idea: two pathways, inflated filters, two streams.

All take float32 `(batch, 3, 16, 64, 64)` or more, and offer `maps`, `features`, `vector` and logits
as every network behind a `VideoEncoder` does. The model cards in `weights/` describe what they were
trained on; they never saw Kinetics.

References
----------
SlowFast: Feichtenhofer, Fan, Malik, He, ICCV 2019 (arXiv:1812.03982).
I3D: Carreira, Zisserman, CVPR 2017 (arXiv:1705.07750).
Two-Stream: Simonyan, Zisserman, NeurIPS 2014 (arXiv:1406.2199); the start of its stem: Wang et al.,
Temporal Segment Networks, ECCV 2016 (arXiv:1608.00859).
"""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import EfficientNetLite0, SameConv2d
from vidrec_utils.video_encoders.encoder import ClipNetwork
from vidrec_utils.video_encoders.flow import cross_modality_stem
from vidrec_utils.video_encoders.inflation import inflate_layers, set_frames
from vidrec_utils.video_encoders.slowfast import SlowFast, pytorchvideo

BLOCKS = 11
"""Blocks of EfficientNet-Lite0 that the I3D and the flow stream keep (112 channels, stride 16)."""

DEPTH = 2
"""Residual blocks that the SlowFast keeps in each stage (of 3, 4, 6 and 3)."""

FROZEN = 3
"""The first of those `BLOCKS`: the I3D applies them to single frames, as ImageNet trained them."""

HALVED = 5
"""Before this block the I3D halves the number of time steps: the larger of two neighbours."""


class SlowFastMini(SlowFast):
    """SlowFast as pytorchvideo builds it, with a quarter of the channels and fewer blocks.

    The slow pathway sees every `alpha`-th frame through 16 and more channels. The fast pathway has
    as many steps as the clip has frames and 8 and more channels; **it does not see the frames
    themselves, but twice the differences between neighbouring frames**, so that it starts from what
    changes. A lateral connection hands the fast pathway's features to the slow one after the stem
    and after each of the first three stages::

                      clip (batch, 3, 16, 64, 64)
                slow: every 4th frame     fast: 2 x differences
                  (3, 4, 64, 64)             (3, 16, 64, 64)
                        |                           |
          stem   (16, 4, 16, 16)  <-- lateral --  (8, 16, 16, 16)
        stage 1  (64, 4, 16, 16)  <-- lateral --  (32, 16, 16, 16)
        stage 2  (128, 4, 8, 8)   <-- lateral --  (64, 16, 8, 8)
        stage 3  (256, 4, 4, 4)   <-- lateral --  (128, 16, 4, 4)
        stage 4  (512, 4, 2, 2)                   (256, 16, 2, 2)
                        |                           |
                        +---- pooled over time -----+
                              (768, 1, 1, 1)

    The paper's symbols: `alpha` is the ratio of the frame rates (here 4; 8 in the paper), beta the
    ratio of the channels. The paper's fast pathway has an eighth of the slow one's channels (beta =
    1/8), which of so few would leave too little: here beta is 1/2.

    Parameters
    ----------
    classes : int
        Outputs of the classifier.

    Examples
    --------
    >>> import torch
    >>> net = SlowFastMini(classes=5).eval()
    >>> clip = torch.zeros(1, 3, 16, 64, 64)
    >>> slow, fast = net.pathways(clip)
    >>> slow.shape[2], fast.shape[2]  # frames
    (4, 16)
    >>> slow, fast = net.stages(clip, upto=1)  # the stem; laterally, 2 x 8 channels are added to 16
    >>> tuple(slow.shape), tuple(fast.shape)
    ((1, 32, 4, 16, 16), (1, 8, 16, 16, 16))
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = pytorchvideo("slowfast").create_slowfast(
            model_depth=50,
            model_num_class=classes,
            dropout_rate=0.2,
            slowfast_channel_reduction_ratio=(2,),  # 1 / beta
            slowfast_conv_channel_fusion_ratio=2,  # a lateral connection doubles the channels
            slowfast_fusion_conv_kernel_size=(5, 1, 1),  # it is a convolution in time ...
            slowfast_fusion_conv_stride=(self.alpha, 1, 1),  # ... with one result a slow frame
            stem_dim_outs=(16, 8),
            head_pool_kernel_sizes=((4, 2, 2), (16, 2, 2)),
        )
        for stage in self.net.blocks[1:5]:
            for pathway in stage.multipathway_blocks:
                pathway.res_blocks = pathway.res_blocks[:DEPTH]
        self.channels = self.dim = self.net.blocks[-1].proj.in_features

    def pathways(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Inputs of the slow and the fast pathway for a clip `(batch, 3, frames, height, width)`.

        Every `alpha`-th frame, `(batch, 3, frames / alpha, height, width)`; and twice the change
        from each frame to the next (zero for the last), `(batch, 3, frames, height, width)`.
        """
        slow = x[:, :, :: self.alpha].contiguous()
        changes = torch.diff(x, dim=2, append=x[:, :, -1:])  # frame t + 1 minus frame t
        return [slow, 2 * changes]


class I3DMini(ClipNetwork):
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

    def __init__(self, net: EfficientNetLite0, classes: int) -> None:
        super().__init__()
        net = copy.deepcopy(net)
        self._conv_stem = net._conv_stem.requires_grad_(False)
        self._bn0 = net._bn0.requires_grad_(False)
        # the name under which the committed weights and the fingerprints have these blocks
        self.add_module("still", nn.Sequential(*net._blocks[:FROZEN]).requires_grad_(False))
        self.blocks = nn.ModuleList(net._blocks[FROZEN:BLOCKS])
        # a 3D convolution's zeros before and after the clip: the weights were trained with them
        inflate_layers(self.blocks, lambda conv: conv.groups > 1, ends="zero")
        self.channels = self.blocks[-1]._bn2.num_features
        self.dim = 2 * self.channels
        self.scale = nn.BatchNorm1d(self.dim, affine=False)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(self.dim, classes)

    @property
    def frozen(self) -> nn.Module:
        """The blocks that see single frames and keep ImageNet's weights."""
        return self.get_submodule("still")

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but keep the frozen layers' batch-norm statistics fixed."""
        super().train(mode)
        self._bn0.eval()
        self.frozen.eval()
        return self

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """From `(batch, 3, t, height, width)` to `(batch, 112, t / 2, height / 16, width / 16)`."""
        batch, _, frames = x.shape[:3]
        # frames become images of the batch: (batch * frames, 3, height, width)
        x = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        # the 2D layers see one frame at a time: (batch * frames, 24, height / 4, width / 4)
        x = self.frozen(functional.relu6(self._bn0(self._conv_stem(x))))
        for number, block in enumerate(self.blocks, start=FROZEN):
            if number == HALVED:  # pool over time: (batch * frames / 2, 40, ...)
                x = _halved(x, frames)
                frames = frames // 2
            set_frames(block, frames)
            x = block(x)  # its depthwise filters see time steps t - 1, t and t + 1
        # back to clips: (batch, 112, frames, height / 16, width / 16)
        return x.unflatten(0, (batch, frames)).transpose(1, 2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and largest value of each map, `(batch, 224, time / 2)`."""
        maps = self.maps(x)  # (batch, 112, time / 2, h, w)
        return torch.cat([maps.mean(dim=(3, 4)), maps.amax(dim=(3, 4))], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.classify(self.dropout(self.scale(self.vector(x))))


def _halved(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Max pooling over pairs of time steps; `(batch * frames, channels, height, width)`."""
    # (batch, frames, channels, height, width), an odd last frame left out
    steps = x.unflatten(0, (-1, frames))[:, : frames // 2 * 2]
    return torch.maximum(steps[:, ::2], steps[:, 1::2]).flatten(0, 1)


class SpatialStream(nn.Module):
    """The spatial stream: EfficientNet-Lite0's first blocks on single frames.

    Its middle layers describe a clip's frames better than its last: sprites drawn over photographs
    are not what ImageNet's classes are about. And a short vector does not drown the other stream's.

    Parameters
    ----------
    net : EfficientNetLite0
        Its first blocks are the stream.
    """

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        net = copy.deepcopy(net)
        self._conv_stem = net._conv_stem
        self._bn0 = net._bn0
        self.blocks = nn.Sequential(*net._blocks[:BLOCKS])
        self.channels = self.dim = self.blocks[-1]._bn2.num_features

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, channels, height, width)` to `(batch, 112, height / 16, width / 16)`."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.blocks(functional.relu6(self._bn0(self._conv_stem(x))))

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of each map, `(batch, 112)`."""
        return self.maps(x).mean(dim=(2, 3))


class FlowStream(SpatialStream):
    """The temporal stream: a 2D network over the flow of a whole clip, stacked as channels.

    Parameters
    ----------
    net : EfficientNetLite0
        Its first blocks start the network; its stem's weights, averaged over RGB, start the new
        stem (cross-modality initialisation).
    channels : int
        Channels of stacked flow: 2 (x and y) for each step from frame to frame.
    classes : int
        Outputs of the classifier.
    """

    def __init__(self, net: EfficientNetLite0, channels: int, classes: int) -> None:
        super().__init__(net)
        rgb = self._conv_stem
        self._conv_stem = SameConv2d(channels, rgb.out_channels, 3, 2, bias=False)
        with torch.no_grad():
            # the sum now runs over more channels: scaled, it keeps the size that the next layer
            # was trained on
            start = cross_modality_stem(rgb.weight, channels) * (3 / channels)
            self._conv_stem.weight.copy_(start)
        self.dim = 2 * self.channels
        self.scale = nn.BatchNorm1d(self.dim, affine=False)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(self.dim, classes)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and largest value of each map, `(batch, 224)`."""
        maps = self.maps(x)  # (batch, 112, h, w)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.classify(self.dropout(self.scale(self.vector(x))))


class TwoStreamMini(ClipNetwork):
    """Two streams, one for what is seen and one for how it moves, concatenated at the end.

    The spatial stream is a network for images with its own, unchanged weights; the temporal stream
    is the one trained on flow. As in the paper, each stream is trained alone.

    Parameters
    ----------
    spatial : SpatialStream
        Its vectors are averaged over `looks` frames.
    temporal : FlowStream
        Sees the flow between all frames.
    looks : int
        How many frames the spatial stream sees.
    """

    def __init__(self, spatial: SpatialStream, temporal: FlowStream, looks: int = 2) -> None:
        super().__init__()
        self.spatial = spatial.requires_grad_(False)
        self.temporal = temporal
        self.looks = looks
        self.channels = temporal.channels
        self.dim = spatial.dim + temporal.dim

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but keep the spatial stream's batch-norm statistics fixed."""
        super().train(mode)
        self.spatial.eval()
        return self

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """The temporal stream's maps, `(batch, 112, 1, height / 16, width / 16)`.

        `x` holds RGB and, as channels 3 and 4, the flow to the next frame (zero for the last):
        `(batch, 5, time, height, width)`.
        """
        return self.temporal.maps(self._flow(x))[:, :, None]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, dim, 1)`."""
        return self.vector(x)[:, :, None]

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Both streams' vectors, each of length 1, `(batch, dim)`."""
        # spatial: a few frames, evenly spaced, without the first and the last
        seen = torch.linspace(0, x.shape[2] - 1, self.looks + 2).round().long()[1:-1]
        frames = x[:, :3, seen].transpose(1, 2).flatten(0, 1)  # (batch * looks, 3, h, w)
        appearance = self.spatial.vector(frames).unflatten(0, (-1, self.looks)).mean(dim=1)
        # temporal: all flow at once
        motion = self.temporal.vector(self._flow(x))
        # late fusion: (batch, 112) and (batch, 224) side by side
        return torch.cat([functional.normalize(v, dim=1) for v in (appearance, motion)], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The temporal stream's logits, `(batch, classes)`."""
        return self.temporal(self._flow(x))

    def _flow(self, x: torch.Tensor) -> torch.Tensor:
        """The flow of all steps as channels, `(batch, 2 * (time - 1), height, width)`."""
        return x[:, 3:, :-1].transpose(1, 2).flatten(1, 2)
