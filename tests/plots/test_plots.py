"""Figures: structure, limits, descriptions, and text in any script."""

import base64
import html
import io
import re
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vidrec_utils import datasets, plots
from vidrec_utils.plots import _output


@pytest.fixture(autouse=True)
def _style():
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.use_style()
        yield


@pytest.fixture
def shown(monkeypatch):
    """What went to the notebook, in place of a notebook."""
    outputs = []

    def keep(data, raw, metadata):
        assert raw
        outputs.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", keep)
    return outputs


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_palette_stays_apart_in_brightness_or_hue():
    rgb = [mpl.colors.to_rgb(colour) for colour in plots.PALETTE]
    gaps = [np.abs(np.subtract(a, b)).max() for i, a in enumerate(rgb) for b in rgb[:i]]
    assert len(rgb) == 8
    assert min(gaps) > 0.15


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("two\nlines\t here", "two lines here"),
        ("cost $5 or $6", r"cost \$5 or \$6"),
        (None, ""),
        (float("nan"), ""),
        (7, "7"),
        ("naïve Ωmega", "naïve Ωmega"),
    ],
)
def test_safe_text(text, expected):
    assert plots.safe_text(text) == expected


def test_safe_text_cuts_with_an_ellipsis():
    assert plots.safe_text("a long title", width=7) == "a long…"


def test_text_in_any_script_draws_without_a_warning():
    title = "猫が跳ぶ 视频 🐱\ufe0f $x_$ \U0001f9ff"
    figure = plots.contact_sheet([noise(8, 8, 3)] * 2, [title, title], title_width=40)
    kind, data = plots.encode_figure(figure)
    assert kind == "image/png"
    assert len(data) > 0


def test_contact_sheet_has_an_axes_for_each_image_and_takes_mixed_forms():
    images = [
        noise(8, 12, 3),
        noise(8, 12, 4),
        noise(8, 12),
        noise(8, 12, 3) / 255,
        Image.new("L", (9, 5)),
    ]
    figure = plots.contact_sheet(images, titles="abcde", columns=3)
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes] == list("abcde")
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
    assert [axes.images[0].get_array().shape[2] for axes in figure.axes] == [3] * 5
    assert np.array_equal(figure.axes[0].images[0].get_array(), images[0])


@pytest.mark.parametrize(
    ("images", "titles", "message"),
    [
        ([], None, "no image"),
        ([noise(3, 8, 8)], None, r"\(3, 8, 8\)"),
        ([noise(8, 8, 3).astype(np.float32)], None, "values from 0 to 1"),
        ([noise(8, 8, 3)], ["a", "b"], "1 images but 2 titles"),
    ],
)
def test_contact_sheet_refuses_what_it_cannot_draw(images, titles, message):
    with pytest.raises(ValueError, match=message):
        plots.contact_sheet(images, titles)


def test_filmstrip_is_one_row_per_clip_with_time_to_the_right():
    clips = noise(2, 5, 6, 7, 3)
    figure = plots.filmstrip(clips, ["first", "second"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["first", "second"]
    strip = np.asarray(figure.axes[1].images[0].get_array())
    assert strip.shape == (6, 5 * 7 + 4, 3)
    assert np.array_equal(strip[:, 8:15], clips[1, 1])
    assert (strip[:, 7] == 255).all()  # frames do not touch


def test_time_slices_show_one_row_of_pixels_with_time_downwards():
    clip = noise(4, 6, 9, 3)
    figure = plots.time_slices({"first": clip, "second": clip[::-1]}, row=2)
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["first", "second"]
    np.testing.assert_array_equal(first.images[0].get_array(), clip[:, 2])
    np.testing.assert_array_equal(second.images[0].get_array(), clip[::-1, 2])
    with pytest.raises(ValueError, match="first has 6 rows of pixels; there is none at 6"):
        plots.time_slices({"first": clip}, row=6)
    with pytest.raises(ValueError, match="no clip"):
        plots.time_slices({}, row=0)


def test_filmstrip_takes_clips_of_different_lengths_and_names_a_missing_axis():
    assert len(plots.filmstrip([noise(3, 6, 6, 3), noise(5, 6, 6, 3)]).axes) == 2
    with pytest.raises(ValueError, match=r"clip\[None\]"):
        plots.filmstrip(noise(5, 6, 6, 3))


def test_bars_with_intervals_draws_rows_in_order_with_their_ends():
    frame = pd.DataFrame(
        {"who": ["popularity", "ours"], "v": [0.2, 0.5], "l": [0.1, 0.4], "h": [0.25, 0.7]}
    )
    before = frame.copy()
    figure = plots.bars_with_intervals(
        frame, "v", "l", "h", "who", xlabel="recall", reference=0.05, reference_label="random"
    )
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["popularity", "ours"]
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.5]
    segments = axes.collections[0].get_segments()
    assert np.allclose([s[:, 0] for s in segments], [[0.1, 0.25], [0.4, 0.7]])
    assert axes.get_xlabel() == "recall"
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random"]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"v": [1.0], "l": [0.5]}), "lacks h; it has v, l"),
        (pd.DataFrame({"v": [], "l": [], "h": []}, dtype=float), "no rows"),
        (pd.DataFrame({"v": [0.5], "l": [0.1], "h": [0.2]}), "outside its interval"),
    ],
)
def test_bars_with_intervals_names_what_is_wrong(frame, message):
    with pytest.raises(ValueError, match=message):
        plots.bars_with_intervals(frame, "v", "l", "h")


def test_class_balance_sorts_and_sums_up_the_rest():
    counts = pd.Series({"sport": 2, "food": 5, "music": 2, "news": 1})
    (axes,) = plots.class_balance(counts, most=2).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["food", "sport", "2 more"]
    assert [bar.get_width() for bar in axes.patches] == [5, 2, 3]
    assert [text.get_text() for text in axes.texts] == ["5 (50%)", "2 (20%)", "3 (30%)"]
    with pytest.raises(ValueError, match="nothing to count"):
        plots.class_balance(pd.Series(dtype=int))


def test_watch_time_counts_every_day_and_says_the_share_above_the_threshold():
    frame = pd.DataFrame(
        {
            "watch_ratio": [0.1, 0.5, 0.9, np.nan],
            "timestamp": pd.to_datetime(
                ["2026-01-01 10:00", "2026-01-01 23:59", "2026-01-03 00:00", "2026-01-09 00:00"],
                utc=True,
            ),
        }
    )
    ratios, days = plots.watch_time(frame, threshold=0.5).axes
    assert sum(bar.get_height() for bar in ratios.patches) == 3
    assert [text.get_text() for text in ratios.get_legend().get_texts()] == ["67% at 0.5 or up"]
    assert [bar.get_height() for bar in days.patches] == [2, 0, 1]
    assert days.get_xlabel() == "days since 2026-01-01"
    with pytest.raises(ValueError, match="no plot"):
        plots.watch_time(frame.iloc[3:])
    with pytest.raises(ValueError, match="lacks watch_ratio"):
        plots.watch_time(frame[["timestamp"]])


def test_confusion_shows_shares_of_the_true_class():
    figure = plots.confusion(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    axes, scale = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.75", "0.25"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert scale.get_ylabel() == "share of the true class"
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        plots.confusion(np.eye(2), "abc")


def chart():
    figure = Figure(figsize=(4, 3))
    figure.add_subplot().plot([1, 2, 3])
    return figure


def test_show_puts_a_described_png_under_the_cell(shown):
    plots.show(chart(), alt="a line\n that rises")
    ((data, metadata),) = shown
    assert metadata == {"image/png": {"alt": "a line that rises"}}
    assert data["text/plain"] == "a line that rises"
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (400, 300)


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_show_refuses_a_figure_without_description(shown, alt):
    with pytest.raises(ValueError, match="alt"):
        plots.show(chart(), alt=alt)
    assert shown == []


def test_show_closes_a_figure_of_pyplot(shown):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2])
    plots.show(figure, alt="two points on a line")
    assert not plt.fignum_exists(figure.number)


def test_photographs_stay_below_the_limit():
    figure = plots.contact_sheet([noise(64, 64, 3, seed=i) for i in range(24)])
    kind, data = plots.encode_figure(figure)
    assert kind == "image/jpeg"
    assert 20_000 < len(data) <= plots.MAX_BYTES


def test_what_cannot_be_made_small_enough_is_refused():
    with pytest.raises(ValueError, match="limit of 200"):
        plots.encode_figure(chart(), max_bytes=200)


def moving(n=3, frames=8, side=64):
    """Clips in which a bright square travels over a dark ground."""
    clips = np.zeros((n, frames, side, side, 3), np.uint8)
    for clip in range(n):
        for frame in range(frames):
            clips[clip, frame, 20:40, 4 * frame : 4 * frame + 20, clip % 3] = 255
    return clips


@pytest.mark.parametrize("avif", [True, False])
def test_playing_sheet_moves_is_described_and_fits(shown, monkeypatch, avif):
    monkeypatch.setattr(_output.features, "check", lambda name: avif)
    data = plots.playing_sheet(
        moving(), ["one", "two", "三"], alt='squares that "travel"', columns=2, tile=64
    )
    ((output, metadata),) = shown
    poster = base64.b64decode(output["image/jpeg"])
    assert metadata == {"image/jpeg": {"alt": 'squares that "travel"'}}
    assert Image.open(io.BytesIO(poster)).size == Image.open(io.BytesIO(data)).size
    assert len(poster) + len(data) <= plots.MAX_BYTES
    tag = output["text/html"]
    assert 'alt="squares that &quot;travel&quot;"' in tag
    kind, encoded = re.search(r'src="data:image/(\w+);base64,([^"]+)"', tag).groups()
    assert kind == ("avif" if avif else "webp")
    assert base64.b64decode(encoded) == data
    assert len(data) <= plots.MAX_BYTES
    assert html.unescape(output["text/plain"]) == 'squares that "travel"'
    image = Image.open(io.BytesIO(data))
    assert image.n_frames == 8
    assert image.width == 2 * 64 + 4
    first = np.asarray(image.convert("RGB")).astype(int)
    image.seek(7)
    last = np.asarray(image.convert("RGB")).astype(int)
    assert first[30, 10, 0] > 200 > 100 > last[30, 10, 0]
    assert last[30, 40, 0] > 200 > 100 > first[30, 40, 0]


def test_playing_sheet_coarsens_until_it_fits(shown):
    data = plots.playing_sheet(noise(4, 8, 64, 64, 3), alt="noise", tile=64, max_bytes=40_000)
    assert len(data) <= 40_000
    assert Image.open(io.BytesIO(data)).n_frames < 8


def test_playing_sheet_starts_short_clips_again(shown):
    data = plots.playing_sheet([moving(1, 4)[0], moving(1, 8)[0]], alt="two squares", tile=64)
    image = Image.open(io.BytesIO(data))
    assert image.n_frames == 8


@pytest.mark.parametrize(
    ("clips", "labels", "alt", "message"),
    [
        (moving(), None, "", "alt"),
        ([], None, "nothing", "no clip"),
        (moving()[0], None, "one clip", r"clip\[None\]"),
        (moving(), ["a"], "three", "3 images but 1 titles"),
    ],
)
def test_playing_sheet_names_what_is_wrong(shown, clips, labels, alt, message):
    with pytest.raises(ValueError, match=message):
        plots.playing_sheet(clips, labels, alt=alt)
    assert shown == []


def test_playing_sheet_that_cannot_fit_is_refused(shown):
    with pytest.raises(ValueError, match="limit of 500"):
        plots.playing_sheet(noise(2, 4, 32, 32, 3), alt="noise", tile=32, max_bytes=500)


def test_contact_sheet_draws_a_square_for_a_missing_image():
    figure = plots.contact_sheet([noise(8, 8, 3), None], ["a", "b"])
    assert len(figure.axes[0].images) == 1
    assert not figure.axes[1].images
    assert [text.get_text() for text in figure.axes[1].texts] == ["no image"]


def test_scatter_draws_each_group_apart_counts_it_and_leaves_gaps_out():
    first = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0]})
    groups = {"people": first, "bots": first.iloc[:1], "nobody": first.iloc[:0]}
    figure = plots.scatter(groups, "a", "b", xlabel="width", x_line=2.0, log_x=True)
    axes = figure.axes[0]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 1, 0]
    assert len({tuple(dots.get_facecolor()[0][:3]) for dots in axes.collections[:2]}) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["people (2)", "bots (1)", "nobody (0)"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("width", "b", "log")
    assert len(axes.lines) == 1


def test_scatter_keeps_long_names_inside_the_figure():
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    groups = {"candidate pairs that are no copies": rows, "clip and its reversal": rows}
    groups["called copies, exact or nearly so"] = rows
    name = "watch ratio, 90th minus 10th percentile"
    figure = plots.scatter(groups, "a", "b", ylabel=name)
    assert figure.axes[0].get_ylabel().split("\n") == ["watch ratio, 90th minus 10th", "percentile"]
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    for part in (figure.legends[0], figure.axes[0].yaxis.label):
        box = part.get_window_extent()
        assert inside.x0 <= box.x0
        assert inside.y0 <= box.y0
        assert box.x1 <= inside.x1
        assert box.y1 <= inside.y1


@pytest.mark.parametrize(
    ("groups", "message"), [({}, "not 0"), ({"a": pd.DataFrame({"x": [1]})}, "lacks y")]
)
def test_scatter_refuses_what_it_cannot_draw(groups, message):
    with pytest.raises(ValueError, match=message):
        plots.scatter(groups, "x", "y")


def test_split_spans_reach_from_the_first_to_the_last_moment_of_each_part():
    times = pd.Series(pd.date_range("2025-03-01", periods=5, freq="D", tz="UTC"))
    rows = pd.DataFrame({"timestamp": times})
    split = datasets.Split(rows[:3], rows[:0], rows[3:], rows, "by day")
    axes = plots.split_spans([split]).axes[0]
    spans = [(bar.get_x(), bar.get_width()) for group in axes.containers for bar in group]
    start = mpl.dates.date2num(times[0].tz_localize(None))
    assert spans == [(start, 2.0), (start + 3, 1.0)]
    assert [text.get_text() for text in axes.texts] == ["3", "2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["by day"]
    assert axes.get_xlabel() == "day of the exposure (UTC)"
    assert axes.xaxis.get_major_formatter()(start) == "01 Mar"


def test_split_spans_of_years_name_the_year():
    times = pd.Series(pd.to_datetime(["2019-05-01", "2021-06-01"], utc=True))
    rows = pd.DataFrame({"timestamp": times})
    axes = plots.split_spans([datasets.Split(rows[:1], rows[:0], rows[1:], rows, "x")]).axes[0]
    moment = mpl.dates.date2num(times[0].tz_localize(None))
    assert axes.xaxis.get_major_formatter()(moment) == "May 2019"


@pytest.mark.parametrize("years", [0.01, 0.1, 0.3, 1, 2, 3, 4, 5, 8, 15, 23])
def test_split_spans_find_dates_to_name_whatever_the_span(years):
    times = pd.Timestamp("1996-03-01", tz="UTC") + pd.to_timedelta([0, 365 * years], unit="D")
    rows = pd.DataFrame({"timestamp": times})
    figure = plots.split_spans([datasets.Split(rows[:1], rows[:0], rows[1:], rows, "x")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    ticks = figure.axes[0].get_xticks()
    assert 2 <= len(ticks) <= 9


def test_split_timelines_draw_each_part_of_each_split():
    times = pd.date_range("2025-03-01", periods=4, tz="UTC")
    log = pd.DataFrame({"user_id": list("aabb"), "timestamp": times})
    halves = pd.Series(["train", "train", "test", "test"])
    one = pd.Series(["train", "validation", "left out", "train"])
    figure = plots.split_timelines(log, {"by time": halves, "other": one, "third": halves})
    panels = [axes for axes in figure.axes if axes.get_visible()]
    drawn = [[len(lines.get_segments()) for lines in axes.collections] for axes in panels]
    assert drawn == [[2, 2], [2, 1], [2, 2]]
    ends = np.array(panels[0].collections[1].get_segments())  # (exposures, ends, x and y)
    assert ends[:, :, 1].mean(axis=1).tolist() == [1, 1]  # the second user
    assert ends[:, 0, 0].tolist() == [2, 3]  # the last two in time
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["train", "validation", "test"]
    with pytest.raises(ValueError, match="3 parts for 4 exposures"):
        plots.split_timelines(log, {"short": halves[:3]})
    with pytest.raises(ValueError, match="no split"):
        plots.split_timelines(log, {})


def test_split_spans_need_splits_with_times():
    with pytest.raises(ValueError, match="no split"):
        plots.split_spans([])
    rows = pd.DataFrame({"title": ["a"]})
    with pytest.raises(ValueError, match="lacks timestamp"):
        plots.split_spans([datasets.Split(rows, rows, rows, rows, "videos")])


def test_boxes_are_drawn_where_they_are():
    figure = plots.boxed(
        [noise(10, 20, 3)] * 2, [np.array([[0.25, 0.0, 0.75, 0.5]]), []], ["a", "b"]
    )
    (box,) = figure.axes[0].patches
    assert box.get_bbox().bounds == (4.5, -0.5, 10.0, 5.0)  # half of each side of 20 x 10 pixels
    assert not figure.axes[1].patches
    with pytest.raises(ValueError, match="2 images but boxes of 1"):
        plots.boxed([noise(10, 20, 3)] * 2, [[]])


def test_maps_colour_the_same_points_by_each_grouping():
    points = pd.DataFrame({"x": [0.0, 1, 2, 3], "y": [0.0, 1, 4, 9]})
    kinds = {"kind": pd.Series(list("aabc")), "shape": pd.Series(list("xyyy"))}
    figure = plots.maps(points, kinds, most=2)
    drawn = [[line.get_xdata().tolist() for line in axes.lines] for axes in figure.axes]
    assert drawn == [[[0, 1], [2]], [[1, 2, 3], [0]]]  # the two largest groups
    with pytest.raises(ValueError, match="2 values for 4 points"):
        plots.maps(points, {"kind": pd.Series(["a", "b"])})
    with pytest.raises(ValueError, match="not 9"):
        plots.maps(points, kinds, most=9)


def test_alarms_are_dark_cells_at_their_row_and_column():
    table = pd.DataFrame({"smoke": [True, False], "water": [False, False]}, ["fire", "nothing"])
    axes = plots.alarms(table, xlabel="detector", ylabel="injected").axes[0]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[1, 0], [0, 0]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["fire", "nothing"]
    assert axes.get_xlabel() == "detector"
    with pytest.raises(ValueError, match="no cells"):
        plots.alarms(table[:0])


def test_a_table_of_lists_holds_titles_as_text_and_images_below_the_limit(shown):
    lists = {
        "watched": [(noise(90, 120, 3), "Tea & rain\nmusic")],
        "recommended": [(None, "<b>猫</b>"), (noise(120, 60, 3, seed=1), "Cats")],
    }
    text = plots.list_table({"ann": lists, "bob": {"watched": []}}, "Two lists.", max_bytes=9_000)
    (data, _), *rest = shown
    assert not rest
    assert data["text/html"] == text
    assert data["text/plain"] == "Two lists."
    assert "Tea &amp; rain<br>music" in text
    assert "&lt;b&gt;猫&lt;/b&gt;" in text
    images = [base64.b64decode(code) for code in re.findall(r"base64,([\w+/=]+)", text)]
    assert sum(map(len, images)) <= 9_000
    assert [Image.open(io.BytesIO(code)).size for code in images] == [(72, 54), (36, 72)]
    assert text.count("alt=") == 2
    with pytest.raises(ValueError, match="show fewer"):
        plots.list_table({"ann": lists}, "Two lists.", max_bytes=100)
    with pytest.raises(ValueError, match="no list"):
        plots.list_table({}, "None.")
