"""What is inside a network: colours of flow, filters, attention, maps of a layer."""

import numpy as np
import pytest
import torch

from vidrec_utils import plots
from vidrec_utils.plots._insides import flow_colours


def drawn(axes) -> np.ndarray:
    return np.asarray(axes.images[-1].get_array())


def test_the_hue_of_flow_is_its_direction_and_the_saturation_its_length():
    right, down, left, half = flow_colours(np.array([[4, 0], [0, 4], [-4, 0], [2.0, 0]]), 4)
    assert right.tolist() == [1, 0, 0]
    assert np.allclose(down, [0.5, 1, 0])  # a quarter of the circle
    assert np.allclose(left, [0, 1, 1])
    assert np.allclose(half, [1, 0.5, 0.5])


def test_fields_of_flow_share_a_scale_and_the_wheel_names_it():
    fields = np.zeros((2, 6, 8, 2))
    fields[1, :, :, 0] = 5
    figure = plots.flow(fields, ["rest", "slide"])
    assert [a.get_title() for a in figure.axes] == ["rest", "slide", "up to 5 pixels"]
    assert (drawn(figure.axes[0]) == 1).all()
    assert np.allclose(drawn(figure.axes[1]), [1, 0, 0])
    wheel = drawn(figure.axes[2])
    assert np.allclose(wheel[50, 100, :3], [1, 0, 0])  # its right end is what moves to the right
    assert wheel[0, 0, 3] == 0  # nothing outside the circle


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        (np.zeros((4, 4, 3)), {}, "not"),
        (np.full((4, 4, 2), np.nan), {}, "not finite"),
        (np.zeros((4, 4, 2)), {"titles": ["a", "b"]}, "1 fields but 2 titles"),
        (np.zeros((4, 4, 2)), {"largest": 0}, "above 0"),
    ],
)
def test_flow_that_cannot_be_drawn_is_refused(fields, options, message):
    with pytest.raises(ValueError, match=message):
        plots.flow(fields, **options)


def test_filters_keep_their_sign_and_films_their_order():
    weight = torch.zeros(2, 3, 2, 2, requires_grad=True)
    with torch.no_grad():
        weight[0, 0, 0, 0], weight[0, 2, 1, 1] = 2, -2
    first, second = (drawn(axes) for axes in plots.filters(weight).axes)
    assert first[0, 0].tolist() == [1, 0.5, 0.5]
    assert first[1, 1].tolist() == [0.5, 0.5, 0]
    assert (second == 0.5).all()  # a filter of zeros
    film = np.zeros((1, 1, 3, 2, 2))
    film[0, 0, 2] = 1
    (axes,) = plots.filters(film).axes
    assert drawn(axes).shape == (2, 8, 3)  # three steps of two pixels, two gaps
    assert (drawn(axes)[:, :2] == 0.5).all()
    assert (drawn(axes)[:, 6:] == 1).all()
    assert len(plots.filters(np.ones((9, 1, 2, 2)), most=4).axes) == 4
    with pytest.raises(ValueError, match="Filters have shape"):
        plots.filters(np.zeros((3, 3)))


def test_attention_names_tokens_and_heads():
    maps = torch.softmax(torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0)), dim=2)
    figure = plots.attention(maps, "abc", names=["near", "far"])
    near, far, _ = figure.axes
    assert (near.get_title(), far.get_title()) == ("near", "far")
    assert [t.get_text() for t in near.get_yticklabels()] == ["a", "b", "c"]
    assert np.allclose(drawn(far), maps[1])


def test_attention_over_an_image_has_a_map_for_each_query_of_each_head():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = plots.attention(np.full((2, 3, 4), 0.25), image=image)
    assert len(figure.axes) == 6
    assert drawn(figure.axes[0]).shape == (2, 2)
    with pytest.raises(ValueError, match="no square grid"):
        plots.attention(np.full((1, 1, 5), 0.2), image=image)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.ones((2, 2)), {}, "heads, queries, keys"),
        (np.ones((1, 2, 2)), {}, "sum to 1"),
        (np.full((1, 2, 2), 0.5), {"tokens": "abc"}, "3 tokens"),
        (np.full((1, 2, 2), 0.5), {"names": "ab"}, "1 heads but 2 names"),
    ],
)
def test_attention_that_cannot_be_drawn_is_refused(maps, options, message):
    with pytest.raises(ValueError, match=message):
        plots.attention(maps, **options)


def test_pieces_have_boxes_with_their_colours():
    figure = plots.pieces({"one": ["a", "[UNK]"], "two": ["\u732b"]}, marked=["[UNK]"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == [
        "one",
        "a",
        "[UNK]",
        "two",
        axes.texts[-1].get_text(),
    ]
    narrow, wide, _ = axes.patches
    assert wide.get_width() > narrow.get_width()
    assert wide.get_facecolor() != narrow.get_facecolor()


def test_pieces_are_coloured_by_their_values():
    figure = plots.pieces({"x": "abc"}, {"x": [np.nan, 0.0, 1.0]}, label="ln P")
    axes, bar = figure.axes
    assert bar.get_ylabel() == "ln P"
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert colours[0] == (1, 1, 1, 1)  # no value
    assert len({*colours}) == 3
    with pytest.raises(ValueError, match="one value for each"):
        plots.pieces({"x": "abc"}, {"x": [0.0]})
    with pytest.raises(ValueError, match="no piece"):
        plots.pieces({"x": ""})


def test_activations_are_the_strongest_maps_over_what_the_layer_saw():
    maps = np.arange(3)[:, None, None] * np.ones((3, 2, 2))
    figure = plots.activations(maps, np.zeros((8, 8, 3), np.uint8), most=2, names="abc")
    assert [axes.get_title() for axes in figure.axes] == ["c", "b"]
    assert [len(axes.images) for axes in figure.axes] == [2, 2]
    clip = np.zeros((8, 6, 6, 3), np.uint8)
    clip[-1] = 255
    figure = plots.activations(np.ones((2, 4, 2, 2)), clip, most=1)
    assert len(figure.axes) == 4  # one step of the layer each
    grounds = [np.asarray(axes.images[0].get_array()).max() for axes in figure.axes]
    assert grounds == [0, 0, 0, 255]
    with pytest.raises(ValueError, match=r"maps\[0\]"):
        plots.activations(np.ones((2, 2)))
    with pytest.raises(ValueError, match="3 channels but 1 names"):
        plots.activations(maps, names="a")
