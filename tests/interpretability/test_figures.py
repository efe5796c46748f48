"""Figures of explanations: what stands where, and what is refused."""

import numpy as np
import pytest

from vidrec_utils.interpretability import overlays, recorded_attributions, under_film


def test_maps_lie_over_their_images() -> None:
    images = [np.full((8, 8, 3), n, np.uint8) for n in (50, 200)]
    rows = {"one": [np.eye(4), np.ones((4, 4))], "two": [np.zeros((4, 4)), np.eye(4)]}
    figure = overlays(images, rows)
    assert len(figure.axes) == 4
    assert [axes.get_ylabel() for axes in figure.axes] == ["one", "", "two", ""]
    image, values = figure.axes[3].images
    assert image.get_array()[0, 0, 0] == 200
    assert np.array_equal(values.get_array(), np.eye(4))
    with pytest.raises(ValueError, match="each of the 2 images"):
        overlays(images, {"one": [np.eye(4)]})


def test_numbers_stand_under_their_frames() -> None:
    film = np.zeros((5, 4, 6, 3), np.uint8)
    figure = under_film(film, {"a": range(5), "b": np.ones(5)}, "worth", mark=2.5)
    top, bottom = figure.axes
    assert top.get_xlim() == bottom.get_xlim() == (0.5, 5.5)
    assert list(bottom.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert list(bottom.lines[2].get_xdata()) == [2.5, 2.5]
    with pytest.raises(ValueError, match="each of the 5 frames"):
        under_film(film, {"a": range(4)}, "worth")


def test_the_record_supports_what_is_said_of_it() -> None:
    table = recorded_attributions().set_index(["network", "method"])
    cam = table.loc[("efficientnet_lite0", "Grad-CAM")]
    assert cam["pointing - centre low"] > 0
    assert cam["pointing - random low"] > 0
    assert cam["shuffled"] < 0.5
    assert cam["shuffled pointing - centre high"] <= 0.05  # no better than the centre
