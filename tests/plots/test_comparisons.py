"""Curves with direct labels, and what changed between two lists or two images."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from vidrec_utils import plots


def test_curves_carry_their_names_at_their_ends_in_their_colours():
    lines = {"plain": [3, 2, np.nan, 2], "residual": ([10, 20], [3.0, 1.9])}
    figure = plots.curves(lines, xlabel="epoch", ylabel="loss", reference=2.5)
    (axes,) = figure.axes
    first, second, dashed = axes.lines
    assert first.get_xdata().tolist() == [1, 2, 4]
    assert second.get_xdata().tolist() == [10, 20]
    assert (dashed.get_linestyle(), dashed.get_ydata()[0]) == ("--", 2.5)
    labels = {text.get_text(): text for text in axes.texts}
    assert set(labels) == {"plain", "residual", "chance"}
    assert to_hex(labels["plain"].get_color()) == to_hex(first.get_color())
    assert axes.get_legend() is None
    figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in axes.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_each_name_stands_at_the_end_of_its_curve_and_hides_no_other():
    x = np.arange(1, 21)
    lines = {
        "stops early": ([1, 2, 3, 4], [4.0, 3.0, 2.5, 2.0]),
        "goes on above": (x, 2.2 - x / 40),
        "goes on below": (x, 1.95 - x / 40),
        "far away": ([1, 20], [0.0, 0.0]),
    }
    figure = plots.curves(lines, xlabel="epoch", ylabel="loss")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(boxes) == {*lines}
    for name, line in zip(lines, axes.lines, strict=True):
        end = axes.transData.transform(line.get_xydata()[-1])
        assert 0 < boxes[name].x0 - end[0] < 15, f"{name} is not beside its end"
        assert abs((boxes[name].y0 + boxes[name].y1) / 2 - end[1]) < 45, name
        points = np.column_stack([np.linspace(*line.get_xdata()[[0, -1]], 500)] * 2)
        points[:, 1] = np.interp(points[:, 0], line.get_xdata(), line.get_ydata())
        drawn = axes.transData.transform(points)
        for other, box in boxes.items():
            hidden = (drawn > box.min).all(axis=1) & (drawn < box.max).all(axis=1)
            assert not hidden.any(), f"the name {other!r} lies on {name!r}"


def test_a_dashed_curve_lets_the_one_below_it_show():
    lines = {"measured": [1, 2, 3], "predicted": [1, 2, 3]}
    figure = plots.curves(lines, xlabel="x", ylabel="y", dashed=["predicted"])
    measured, predicted = figure.axes[0].lines
    assert (measured.get_linestyle(), predicted.get_linestyle()) == ("-", "--")
    assert predicted.get_zorder() > measured.get_zorder()
    with pytest.raises(ValueError, match="No curve is called 'guessed'; there are measured"):
        plots.curves(lines, xlabel="x", ylabel="y", dashed=["guessed"])


def test_no_name_hides_the_numbers_at_the_ticks():
    lines = {name: ([0, 0.2, 0.4], [1, 0.1, 0.0]) for name in ("played faster", "cropped")}
    figure = plots.curves(lines, xlabel="share", ylabel="detected")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    names = [text.get_window_extent() for text in axes.texts]
    ticks = [tick.get_window_extent() for tick in axes.get_xticklabels() if tick.get_text()]
    assert not any(name.overlaps(tick) for name in names for tick in ticks)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "not 0"),
        ({str(n): [1] for n in range(8)}, "not 8"),
        ({"a": ([1, 2], [1])}, "a has 2 values of x, but 1 of y"),
        ({"a": [np.nan]}, "no finite value"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(lines, xlabel="x", ylabel="y")


def test_lists_are_joined_by_what_rose_fell_and_stayed():
    figure = plots.before_after(["a", "b", "c", "old"], ["a", "c", "b", "new"])
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 0], [1, 2], [2, 1]]
    colours = [to_hex(line.get_color()) for line in axes.lines]
    assert colours == ["#999999", "#e69f00", "#0072b2"]
    bold = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert bold == ["4 old", "4 new"]


def test_images_are_shown_with_their_difference():
    dark, bright = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    bright[0, 0] = 30, 60, 90
    figure = plots.before_after(dark, bright, labels=("clean", "attacked"))
    assert [axes.get_title() for axes in figure.axes[:3]] == ["clean", "attacked", "change"]
    change = np.asarray(figure.axes[2].images[0].get_array())
    assert (change[0, 0], change.sum()) == (60, 60)


def test_a_comparison_that_makes_no_sense_is_refused():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="not one of each"):
        plots.before_after(["a"], image)
    with pytest.raises(ValueError, match="holds an item twice"):
        plots.before_after(["a", "a"], ["b"])
    with pytest.raises(ValueError, match="4 x 4 and 4 x 3"):
        plots.before_after(image, image[:3])


def test_points_are_named_and_hollow_where_they_are_not_filled():
    frame = pd.DataFrame(
        {"mean": [0.5, 0.8], "low": [0.4, 0.7], "high": [0.6, 0.9], "cost": [1.0, 10.0]},
        index=["small", "large"],
    )
    figure = plots.points(
        {"motion": frame.assign(filled=[True, False])},
        x="cost",
        references={"motion": 0.1},
        log_x=True,
    )
    axes = figure.axes[0]
    assert {"small", "large"} <= {text.get_text() for text in axes.texts}
    faces = {
        tuple(line.get_xdata()): line.get_markerfacecolor()
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert faces[(10.0,)] == "white"
    assert faces[(1.0,)] != "white"
    with pytest.raises(ValueError, match="lacks the column cost"):
        plots.points({"motion": frame.drop(columns="cost")}, x="cost")
    with pytest.raises(ValueError, match="no panel"):
        plots.points({})


def test_a_forest_says_by_colour_on_which_side_of_zero_an_interval_lies():
    first = pd.DataFrame(
        {"mean": [0.2, -0.2, 0.0], "low": [0.1, -0.3, -0.1], "high": [0.3, -0.1, 0.1]},
        index=["up", "down", "open"],
    )
    figure = plots.forest({"new minus old": first, "one row": first.loc[["open"]]})
    left, right = figure.axes
    points = [line for line in left.lines if line.get_marker() == "o"]
    colours = [line.get_color() for line in points]
    assert len(set(colours)) == 3
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, False, True]
    assert [line.get_ydata()[0] for line in points] == [0, 1, 2]
    assert [line.get_ydata()[0] for line in right.lines if line.get_marker() == "o"] == [2]
    low, high = left.get_ylim()
    assert low > high  # the first row stands at the top
    with pytest.raises(ValueError, match="lacks the column high"):
        plots.forest({"one": first.drop(columns="high")})
    with pytest.raises(ValueError, match="no panel"):
        plots.forest({})


def test_an_interval_without_length_is_drawn_whatever_the_rounding():
    same = pd.Series([0.1, 0.1, 0.1])
    row = pd.DataFrame({"mean": [same.mean()], "low": [0.1], "high": [0.1]}, ["drop"])
    assert row["mean"].item() != 0.1  # the mean of three equal numbers
    for figure in (plots.points({"all": row}), plots.forest({"all": row})):
        assert [line for line in figure.axes[0].lines if line.get_marker() == "o"]


def test_names_of_points_stay_next_to_small_values():
    means = [0.062, 0.065, 0.067, 0.088, 0.119]
    frame = pd.DataFrame({"mean": means, "x": [1.0, 9.0, 2.0, 3.0, 8.0]}, index=list("abcde"))
    frame = frame.assign(low=frame["mean"] - 0.01, high=frame["mean"] + 0.01)
    axes = plots.points({"NDCG": frame}, x="x").axes[0]
    heights = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert set(heights) == set("abcde")
    assert 0.04 < min(heights.values()) < max(heights.values()) < 0.14
    assert np.diff(sorted(heights.values())).min() > 0.004
    assert axes.get_xlim()[0] < 1


def test_pairs_are_drawn_on_two_levels():
    scores = pd.DataFrame({"score": [0.9, 0.8, 0.2], "label": ["rise", "rise", "fall"]})
    axes = plots.pair_scores({"trained": {("rise", "fall"): scores}}).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0.9, 0.8]
    assert axes.lines[1].get_xdata().tolist() == [0.2]
    assert axes.lines[0].get_ydata()[0] != axes.lines[1].get_ydata()[0]
    with pytest.raises(ValueError, match="no panel"):
        plots.pair_scores({})


def test_a_reference_through_all_panels_is_named_once():
    frame = pd.DataFrame({"mean": [0.5], "low": [0.4], "high": [0.6]}, index=["average"])
    panels = {"random": frame, "trained": frame}

    def names(references: dict[str, float]) -> list[int]:
        figure = plots.points(panels, references=references, reference_label="chance")
        return [[text.get_text() for text in axes.texts].count("chance") for axes in figure.axes]

    assert names({"random": 0.1, "trained": 0.1}) == [0, 1]
    assert names({"random": 0.1, "trained": 0.2}) == [1, 1]
    assert names({"random": 0.1}) == [1, 0]


def test_positions_that_matter_are_dotted_and_named():
    figure = plots.curves({"a": [1, 2, 3]}, xlabel="rank", ylabel="share", x_lines={"first two": 2})
    axes = figure.axes[0]
    dotted = axes.lines[1]
    assert (dotted.get_linestyle(), list(dotted.get_xdata())) == (":", [2, 2])
    assert {text.get_text() for text in axes.texts} == {"a", "first two"}
    figure.draw_without_rendering()
    name = next(text for text in axes.texts if text.get_text() == "first two")
    assert name.get_window_extent().x1 < axes.transData.transform((2, 0))[0]


def test_grouped_points_stand_side_by_side_and_groups_that_a_model_lacks_stay_empty():
    frame = pd.DataFrame({"mean": [0.2, 0.5], "low": [0.1, 0.4], "high": [0.3, 0.6]})
    content = frame.set_axis(["light users", "cold videos"])
    popular = content.iloc[:1]
    figure = plots.grouped_points({"content": content, "popularity": popular}, ylabel="NDCG")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert [name.split() for name in names] == [["light", "users"], ["cold", "videos"]]
    one, other = (container[0] for container in axes.containers)
    assert one.get_xdata()[0] < 0 < other.get_xdata()[0]
    assert list(one.get_ydata()) == [0.2, 0.5]
    assert np.isnan(other.get_ydata()).tolist() == [False, True]
    assert one.get_marker() != other.get_marker()
    with pytest.raises(ValueError, match="lacks the column high"):
        plots.grouped_points({"content": content.drop(columns="high")}, ylabel="NDCG")
    with pytest.raises(ValueError, match="not 0"):
        plots.grouped_points({}, ylabel="NDCG")


def test_a_figure_of_one_panel_leaves_room_for_its_names():
    frame = pd.DataFrame({"mean": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.3, 0.4]}, ["a", "b"])

    one, three = plots.points({"NDCG": frame}), plots.points(dict.fromkeys("xyz", frame))
    assert one.get_size_inches()[0] == pytest.approx(6.4)
    assert three.get_size_inches()[0] == pytest.approx(9.5)
    assert one.axes[0].get_ylim()[1] > 0.42  # a name stands on the highest interval

    assert plots.forest({"new minus old": frame}).get_size_inches()[0] == pytest.approx(5)
