"""The drawing of a pipeline: where its boxes stand, and what they hold."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from vidrec_utils import plots
from vidrec_utils.plots._pipeline import columns_of

STEPS = {
    "files and log": "427 videos",
    "image network": "1,280 numbers for each thumbnail, from weights that stay as they are",
    "log": "",
    "ranking": "ten videos for each user",
}
ARROWS = [
    ("files and log", "image network"),
    ("files and log", "log"),
    ("image network", "ranking"),
    ("log", "ranking"),
]


def boxes_of(figure):
    """Boxes in inches, as (left, right, top, bottom), in the order in which they were drawn."""
    patches = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    sides = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in patches]
    return [(x, x + width, y, y + height) for x, y, width, height in sides]


def test_each_step_stands_right_of_all_that_it_needs():
    figure = plots.pipeline(STEPS, ARROWS)
    boxes = dict(zip(STEPS, boxes_of(figure), strict=True))
    for source, target in ARROWS:
        assert boxes[source][1] < boxes[target][0]
    assert boxes["image network"][0] == boxes["log"][0]
    assert boxes["image network"][3] < boxes["log"][2]  # in the order of the mapping


def test_boxes_lie_apart_inside_the_figure_and_hold_their_texts():
    figure = plots.pipeline(STEPS, ARROWS, title="from files to lists")
    boxes = boxes_of(figure)
    width, height = figure.get_size_inches()
    assert width <= 9
    assert all(0 < x0 < x1 < width and 0 < y0 < y1 < height for x0, x1, y0, y1 in boxes)
    for one, other in combinations(boxes, 2):
        assert one[1] < other[0] or other[1] < one[0] or one[3] < other[2] or other[3] < one[2]
    figure.draw_without_rendering()
    (axes,) = figure.axes
    title, *texts = [text for text in axes.texts if text.get_text()]
    assert title.get_text() == "from files to lists"
    for text in texts:
        drawn = text.get_window_extent().transformed(axes.transData.inverted())
        low, high = sorted([drawn.y0, drawn.y1])
        assert any(
            x0 <= drawn.x0 and drawn.x1 <= x1 and y0 <= low and high <= y1
            for x0, x1, y0, y1 in boxes
        ), text.get_text()


def test_long_details_are_broken_into_lines_without_loss():
    figure = plots.pipeline(STEPS, ARROWS)
    written = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "from weights that stay as they are" in " ".join(written.split())


def test_images_lie_inside_their_boxes_and_keep_their_shape():
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    figure = plots.pipeline(STEPS, ARROWS, images={"ranking": wide})
    (image,) = figure.axes[0].images
    left, right, bottom, top = image.get_extent()
    x0, x1, y0, y1 = boxes_of(figure)[-1]
    assert x0 < left < right < x1
    assert y0 < top < bottom < y1
    assert (right - left) / (bottom - top) == pytest.approx(3)


def test_a_step_with_two_ways_to_it_waits_for_the_longer_one():
    arrows = [("a", "d"), ("a", "b"), ("b", "c"), ("c", "d")]
    assert columns_of("abcd", arrows) == {"a": 0, "b": 1, "c": 2, "d": 3}


@pytest.mark.parametrize(
    ("steps", "arrows", "images", "message"),
    [
        ({}, [], {}, "no step to draw"),
        ({"a": ""}, [("a", "b")], {}, "no step 'b'; there are a"),
        ({"a": ""}, [], {"c": np.zeros((2, 2, 3))}, "no step 'c'"),
        ({"a": "", "b": ""}, [("a", "b"), ("b", "a")], {}, "go round in a circle"),
        ({"a": ""}, [("a", "a")], {}, "go round in a circle"),
    ],
)
def test_what_is_no_pipeline_is_refused(steps, arrows, images, message):
    with pytest.raises(ValueError, match=message):
        plots.pipeline(steps, arrows, images=images)
