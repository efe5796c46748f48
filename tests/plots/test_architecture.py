"""Drawings of networks: blocks, branches and shapes are those of the run."""

import matplotlib as mpl
import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.inception import InceptionE

from vidrec_utils import plots
from vidrec_utils.plots._blocks import Diagram
from vidrec_utils.plots._layout import arrange
from vidrec_utils.plots._network import read
from vidrec_utils.video_encoders.mini.networks import SlowFastMini

CLIP = torch.zeros(1, 3, 16, 64, 64)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class Plain(Residual):
    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


def links(diagram: Diagram) -> set[tuple[str, str]]:
    def title(block):
        return block.name or block.text

    return {(title(source), title(block)) for source, block in diagram.edges()}


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def diagram_of(network, example, depth=None) -> Diagram:
    return read(network, example, depth, most=30)


def test_a_residual_connection_is_found_from_the_flow_and_not_from_names():
    x = torch.zeros(1, 4, 8, 8)
    residual, plain = diagram_of(Residual(), x), diagram_of(Plain(), x)
    assert links(residual) == {("input", "conv"), ("conv", "+, ReLU"), ("input", "+, ReLU")}
    assert links(plain) == {("input", "conv")}
    assert [b.text for b in plain.blocks] == ["input", "Conv2d 3×3, BN, ReLU"]


def test_an_addition_in_place_is_seen():
    class InPlace(Residual):
        def forward(self, x):
            out = self.conv(x)
            out += x
            return nn.functional.relu_(out)

    assert ("input", "+, ReLU") in links(diagram_of(InPlace(), torch.zeros(1, 4, 8, 8)))


def test_repeated_blocks_are_folded_only_if_they_are_the_same_in_a_row():
    x = torch.zeros(1, 4, 8, 8)
    diagram = diagram_of(nn.Sequential(Residual(), Residual(), Residual(), Plain()), x, 2)
    assert [(g.name, g.repeat) for g in diagram.groups if g.level == 1] == [("0", 3)]
    assert links(diagram) == {
        ("input", "0.conv"),
        ("0.conv", "+, ReLU"),
        ("input", "+, ReLU"),
        ("+, ReLU", "3"),  # one layer with its norm: named as a whole
    }
    closed = diagram_of(nn.Sequential(Plain(), Residual(), Residual()), x, 1)
    assert [(b.text, b.repeat) for b in closed.blocks][1:] == [
        ("Conv2d 3×3, BN, ReLU", 1),
        ("Residual", 2),
    ]


def test_layers_of_different_widths_are_not_folded():
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 5))
    diagram = diagram_of(network, torch.zeros(1, 3))
    assert [(b.repeat, b.parameters) for b in diagram.blocks[1:]] == [(1, 20), (2, 30)]


def test_resnet_by_depth_has_its_parameters_and_shapes():
    network, x = resnet18(weights=None), torch.zeros(1, 3, 64, 64)
    shallow = diagram_of(network, x, 1)
    assert [b.name for b in shallow.blocks[1:]] == [
        *("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")
    ]
    for depth in (1, 2):
        diagram = diagram_of(network, x, depth)
        total = sum(b.parameters * b.repeat for b in diagram.blocks)
        assert total == sum(p.numel() for p in network.parameters())
    assert [b.shapes for b in shallow.blocks[1:3]] == [[(64, 32, 32)], [(64, 16, 16)]]
    assert sum(b.text.startswith("+") for b in diagram_of(network, x, 3).blocks) == 7
    assert "64×32×32" in texts(plots.architecture(network, x, 1))


def test_the_branches_of_an_inception_block_lie_side_by_side():
    diagram = diagram_of(InceptionE(32), torch.zeros(1, 32, 5, 5))
    last = diagram.blocks[-1]
    assert last.text == "concat"
    assert len(last.sources) == 4
    first = [b for b in diagram.blocks if diagram.blocks[0] in b.sources]
    layout = arrange(diagram, fits=9, tallest=99)
    assert len({layout.lane[b] for b in first}) == len(first) == 4
    positions = {(layout.column[b], layout.row[b], layout.lane[b]) for b in diagram.blocks}
    assert len(positions) == len(diagram.blocks)


def test_slowfast_has_two_pathways_and_four_lateral_connections():
    diagram = diagram_of(SlowFastMini(5), CLIP, 1)
    lateral = [b for b in diagram.blocks if b.name.endswith("conv_fast_to_slow")]
    assert len(lateral) == 4
    layout = arrange(diagram, fits=4, tallest=99)
    slow, fast = layout.pathways
    for block in lateral:
        assert block.sources[0] in fast
        assert diagram.followers(block)[0] in slow
        assert layout.lane[slow[0]] < layout.lane[block] < layout.lane[fast[0]]
    drawn = texts(plots.architecture(SlowFastMini(5), CLIP, 1))
    assert {"pathway of 4 frames", "16 to 512 channels"} <= {*drawn}
    assert {"pathway of 16 frames", "8 to 256 channels", "diff", "[:, :, ::4]"} <= {*drawn}


@pytest.mark.parametrize("training", [True, False])
def test_a_transformer_block_keeps_its_mode_and_loses_its_hooks(training):
    block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).train(training)
    block.dropout.eval()
    diagram = diagram_of(block, torch.zeros(1, 7, 16))
    assert links(diagram) >= {("input", "self_attn"), ("input", "+, LN"), ("self_attn", "+, LN")}
    assert block.training == training
    assert not block.dropout.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())


def test_hooks_are_removed_after_an_error():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 4)).train()
    with pytest.raises(RuntimeError, match="shapes"):
        plots.architecture(network, torch.zeros(1, 3))
    assert network[0].training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_several_inputs_and_a_changed_batch():
    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, clip, mask):
            return self.conv(clip.transpose(1, 2).flatten(0, 1)).mean() * mask

    diagram = diagram_of(Frames(), (torch.zeros(1, 3, 4, 5, 5), torch.zeros(1)))
    assert [b.kind for b in diagram.blocks].count("input") == 2
    conv = next(b for b in diagram.blocks if b.name == "conv")
    assert conv.shapes == [(4, 2, 5, 5)]  # four frames as images: the batch is written


def test_a_figure_fits_the_notebook_on_light_and_dark_grounds():
    widths = range(3, 23)
    network = nn.Sequential(*(nn.Conv2d(n, n + 1, 1) for n in widths))
    x = torch.zeros(1, 3, 4, 4)
    for dark, bright in ((False, True), (True, False)):
        figure = plots.architecture(network, x, title="VGG", dark=dark)
        assert figure.get_figwidth() <= 9.01
        ground = sum(mpl.colors.to_rgb(figure.get_facecolor())) / 3
        ink = sum(mpl.colors.to_rgb(figure.axes[0].texts[0].get_color())) / 3
        assert (ground > 0.8, ink < 0.3) == (bright, bright)
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
    kind, data = plots.encode_figure(figure)
    assert kind == "image/png"
    assert data


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="depth"):
        plots.architecture(nn.Linear(2, 2), torch.zeros(1, 2), depth=0)
    with pytest.raises(ValueError, match="holds no tensor"):
        plots.architecture(nn.Linear(2, 2), "a title")

    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(1)

    with pytest.raises(ValueError, match="no function of torch"):
        plots.architecture(Constant(), torch.zeros(1, 2))
