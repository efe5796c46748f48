"""Inflated filters: their weights by hand, and the convolution in time that they compute."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from vidrec_utils.encoders.efficientnet_lite0 import (
    SameConv2d,
    lite0_network,
    random_lite0,
    same_pad,
)
from vidrec_utils.video_encoders import InflatedLite0, inflate
from vidrec_utils.video_encoders.inflation import (
    TimedConv2d,
    draw_taps,
    inflate_layers,
    set_frames,
)

FRAMES = 5


def folded(clip: torch.Tensor) -> torch.Tensor:
    """`(batch, channels, time, height, width)` to frames in the batch."""
    return clip.transpose(1, 2).flatten(0, 1)


def timed(conv: nn.Conv2d, clip: torch.Tensor, **options: object) -> torch.Tensor:
    """A clip through a newly inflated convolution, `(batch, channels, time, height, width)`."""
    layer = TimedConv2d(conv, **options)
    set_frames(layer, clip.shape[2])
    return layer(folded(clip)).unflatten(0, (len(clip), -1)).transpose(1, 2)


def test_weights_by_hand():
    weight = SameConv2d(2, 2, 3, 2, groups=2, bias=False).weight
    before = weight.detach().clone()
    centre, average = inflate(weight, 3), inflate(weight, 3, "average")
    assert not centre[:, :, [0, 2]].any()
    assert torch.equal(centre[:, :, 1], weight)
    torch.testing.assert_close(average.sum(dim=2), weight)
    assert torch.equal(weight, before)
    with pytest.raises(ValueError, match="odd"):
        inflate(weight, 2)
    with pytest.raises(ValueError, match="choose from 'centre', 'average'"):
        inflate(weight, 3, "middle")


def test_a_clip_in_which_nothing_moves():
    conv = SameConv2d(2, 2, 3, 2, groups=2, bias=False)
    still = torch.randn(1, 2, 1, 9, 8).expand(-1, -1, FRAMES, -1, -1)
    image = conv(still[:, :, 0])
    for mode in ("centre", "average"):
        for frame in range(FRAMES):
            repeated = timed(conv, still, mode=mode)
            torch.testing.assert_close(repeated[:, :, frame], image)
    faded = timed(conv, still, mode="average", ends="zero")
    torch.testing.assert_close(faded[:, :, 2], image)
    torch.testing.assert_close(faded[:, :, 0], image * 2 / 3)  # one of three taps sees zeros


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("ends", ["repeat", "zero"])
@pytest.mark.parametrize("frames", [1, 2, FRAMES])
def test_it_is_a_3d_convolution(taps, ends, frames):
    """Against conv3d on a clip that was lengthened by hand; all taps differ."""
    generator = torch.Generator().manual_seed(0)
    for conv in (
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        SameConv2d(4, 4, 5, 1, groups=4, bias=False),
        SameConv2d(4, 4, 5, 2, groups=4, bias=False),
    ):
        layer = TimedConv2d(conv, taps, ends=ends)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        clip = torch.randn(2, 4, frames, 9, 9, generator=generator)
        set_frames(layer, frames)
        output = layer(folded(clip)).unflatten(0, (2, frames)).transpose(1, 2)
        margin = taps // 2
        first, last = clip[:, :, :1], clip[:, :, -1:]
        if ends == "zero":
            first, last = torch.zeros_like(first), torch.zeros_like(last)
        longer = torch.cat([first] * margin + [clip] + [last] * margin, dim=2)
        if isinstance(conv, SameConv2d):
            padded = same_pad(longer.flatten(0, 1), 5, conv.stride[0])
            longer, padding = padded.unflatten(0, (2, 4)), (0, 0, 0)
        else:
            padding = (0, 1, 1)
        stride = (1, *conv.stride)
        expected = functional.conv3d(
            longer, layer.weight, layer.bias, stride, padding, groups=conv.groups
        )
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
        if isinstance(conv, SameConv2d) and ends == "zero":  # a whole clip in one step
            torch.testing.assert_close(layer(clip), expected, rtol=1e-4, atol=1e-4)
        elif ends == "repeat":
            with pytest.raises(ValueError, match="fold its frames into the batch"):
                layer(clip)


def test_copies_and_gradients():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    layer = TimedConv2d(conv, mode="average")
    set_frames(layer, 3)
    x = torch.randn(6, 2, 8, 8)
    layer(x).sum().backward()
    assert layer.weight.grad.abs().sum(dim=(0, 1, 3, 4)).all()
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), layer(x))
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_layers_are_chosen():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))
    assert inflate_layers(net, lambda conv: max(conv.kernel_size) > 1) == 1
    assert isinstance(net[1][0], TimedConv2d)
    assert type(net[0]) is nn.Conv2d


def test_weights_stored_with_single_taps_load():
    """Files from when the 1x1 convolutions of InflatedLite0 were 3D, with one tap in time."""
    net = InflatedLite0(random_lite0(0))
    stored = {
        name: value[:, :, None] if value.ndim == 4 else value
        for name, value in net.state_dict().items()
    }
    other = InflatedLite0(random_lite0(1))
    other.load_state_dict(stored)
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in other.state_dict().items())


@pytest.mark.parametrize(("frames", "size"), [(1, 32), (5, 65)])
def test_whole_clips_and_folded_frames_give_the_same(frames, size):
    """With gradients the frames are folded into the batch, without them the clip stays whole."""
    generator = torch.Generator().manual_seed(0)
    net = InflatedLite0(lite0_network()[0]).eval()
    for module in net.modules():
        if isinstance(module, TimedConv2d):  # weights at every tap, or neighbours would not count
            noise = torch.randn(module.weight.shape, generator=generator)
            module.weight.data += 0.1 * module.weight.std() * noise
    clip = torch.randn(2, 3, frames, size, size, generator=generator)
    folded_maps = net.maps(clip)
    assert folded_maps.requires_grad
    with torch.no_grad():
        whole_maps = net.maps(clip)
    torch.testing.assert_close(whole_maps, folded_maps, rtol=1e-3, atol=1e-3)
    assert whole_maps.std() > 0.01


def test_drawn_taps_see_the_order_of_frames_and_keep_the_spread():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)
    net = nn.Sequential(TimedConv2d(conv, 3, ends="zero"))
    before = net[0].weight.std().item()
    assert draw_taps(net) is net
    assert all(net[0].weight[:, :, tap].std() > 0.5 * before for tap in range(3))
    assert net[0].weight.std().item() == pytest.approx(before, rel=0.1)
