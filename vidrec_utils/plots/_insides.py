"""What is inside a network, made visible: flow, filters, attention, and maps of a layer."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib import rcParams
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, hsv_to_rgb, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vidrec_utils import arguments
from vidrec_utils.plots._images import Drawable, bare, pixels_of
from vidrec_utils.plots._style import safe_text


def flow_colours(flow: np.ndarray, largest: float) -> np.ndarray:
    """Turn displacements into colours: the hue is the direction, the saturation the length.

    Parameters
    ----------
    flow : ndarray, shape (..., 2)
        Displacement in pixels, to the right and down.
    largest : float
        Length in pixels at which a colour is full; longer ones have the same.

    Returns
    -------
    ndarray of float, shape (..., 3)
        RGB from 0 to 1: white where nothing moves, red to the right, hues then go round clockwise.

    Examples
    --------
    >>> flow_colours(np.array([[0.0, 0.0], [3.0, 0.0]]), largest=3).tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1
    length = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / largest, 0, 1)
    return hsv_to_rgb(np.stack([hue, length, np.ones_like(hue)], axis=-1))


def flow(
    fields: np.ndarray,
    titles: Sequence[object] | None = None,
    *,
    largest: float | None = None,
    title: str = "",
    size: float = 1.5,
) -> Figure:
    """Show fields of optical flow as colours, with the wheel of directions as their legend.

    Parameters
    ----------
    fields : ndarray, shape (n, height, width, 2) or (height, width, 2)
        Displacements in pixels, to the right and down, as `video_encoders.optical_flow` returns
        them; all share one scale.
    titles : sequence, optional
        One text per field.
    largest : float, optional
        Length in pixels that has the fullest colour; the 99th percentile of all lengths if not
        given.
    title : str
        The figure's message.
    size : float
        Width of one field in inches.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per field and a last one with the wheel.

    Raises
    ------
    ValueError
        If the shape is another one, a displacement is not finite, `largest` is not positive, or
        the number of titles differs.

    Examples
    --------
    >>> field = np.zeros((8, 8, 2))
    >>> field[2:5, 2:5] = 2, 0  # a square that moves two pixels to the right
    >>> figure = flow(field, ["one step"])
    >>> [axes.get_title() for axes in figure.axes]
    ['one step', 'up to 2 pixels']
    """
    fields = np.asarray(fields, dtype=float)
    fields = fields[None] if fields.ndim == 3 else fields
    if fields.ndim != 4 or fields.shape[-1] != 2 or not fields.size:
        raise ValueError(f"Flow has shape (n, height, width, 2), not {fields.shape}.")
    if not np.isfinite(fields).all():
        raise ValueError("Flow holds values that are not finite; set unknown displacements to 0.")
    if titles is not None and len(titles) != len(fields):
        raise ValueError(f"There are {len(fields)} fields but {len(titles)} titles.")
    if largest is None:
        largest = float(np.percentile(np.hypot(*np.moveaxis(fields, -1, 0)), 99)) or 1.0
    if not largest > 0:
        raise ValueError(f"largest is a length in pixels above 0, not {largest}.")
    columns = min(len(fields) + 1, 6)
    rows = math.ceil((len(fields) + 1) / columns)
    height = rows * size * fields.shape[1] / fields.shape[2] * 1.2 + (0.4 if title else 0.1)
    figure = Figure(figsize=(columns * size, max(height, 1.4)), layout="constrained")
    for number, field in enumerate(fields):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(flow_colours(field, largest))
        bare(axes)
        axes.set_title("" if titles is None else safe_text(titles[number], 20), fontsize=8)
    down, right = np.mgrid[-1:1:101j, -1:1:101j]
    wheel = flow_colours(np.stack([right, down], axis=-1), 1)
    outside = np.hypot(down, right)[..., None] > 1
    axes = figure.add_subplot(rows, columns, len(fields) + 1)
    axes.imshow(np.dstack([wheel, ~outside]), extent=(-1, 1, 1, -1))
    for x, y, word in ((0.6, 0, "right"), (-0.6, 0, "left"), (0, -0.75, "up"), (0, 0.75, "down")):
        axes.text(x, y, word, ha="center", va="center", fontsize=7, color="black")
    bare(axes)
    axes.set_title(f"up to {largest:.3g} pixels", fontsize=8)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def filters(
    weight: np.ndarray, *, most: int = 32, columns: int = 8, size: float = 0.7, title: str = ""
) -> Figure:
    """Show the filters of a convolution: 2D ones as tiles, 3D ones as small films in a row.

    Filters over three channels are drawn in colour, others as the mean over their channels, in
    grey. Each is scaled by its own largest absolute weight: grey is 0, and brighter is positive.

    Parameters
    ----------
    weight : array or tensor, shape (out, in, height, width) or (out, in, time, height, width)
        Weights of a layer, such as `network.conv1.weight`.
    most : int
        Filters that are drawn, from the first one.
    columns : int
        Tiles per row; a film takes one row, or half of one if it is short.
    size : float
        Width of a tile in inches.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per filter; a film has its steps from left to right.

    Raises
    ------
    ValueError
        If the weights have another number of axes, or a number is below 1.

    Examples
    --------
    >>> edge = np.zeros((1, 1, 3, 3))
    >>> edge[0, 0, :, 0], edge[0, 0, :, 2] = -1, 1
    >>> figure = filters(edge)
    >>> figure.axes[0].images[0].get_array()[0, :, 0].tolist()  # dark, grey, bright
    [0.0, 0.5, 1.0]
    """
    arguments.at_least(1, most=most, columns=columns)
    values = array_of(weight)
    if values.ndim not in (4, 5):
        raise ValueError(
            "Filters have shape (out, in, height, width) or (out, in, time, height, width), "
            f"not {values.shape}."
        )
    values = values[:most] if values.ndim == 5 else values[:most, :, None]
    if values.shape[1] != 3:
        values = values.mean(axis=1, keepdims=True).repeat(3, axis=1)
    largest = np.abs(values).max(axis=(1, 2, 3, 4), keepdims=True)
    scaled = 0.5 + 0.5 * values / np.where(largest > 0, largest, 1)
    films = np.moveaxis(scaled, 1, -1)  # (out, time, height, width, 3)
    steps = films.shape[1]
    across = max(1, min(columns // steps, len(films)))
    rows = math.ceil(len(films) / across)
    high = size * films.shape[2] / films.shape[3]
    shape = (across * size * (steps + 0.3), rows * high * 1.12 + (0.4 if title else 0.05))
    figure = Figure(figsize=shape, layout="constrained")
    if steps > 1:
        figure.get_layout_engine().set(wspace=0.06)  # films do not run into each other
    for number, film in enumerate(films):
        gap = np.ones((film.shape[1], 1, 3))
        pieces = [piece for step in film for piece in (gap, step)][1:]
        axes = figure.add_subplot(rows, across, number + 1)
        axes.imshow(np.concatenate(pieces, axis=1), interpolation="nearest")
        bare(axes)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def array_of(values: object) -> np.ndarray:
    """Return an array or a tensor, which may need gradients, as an array of floats."""
    detach = getattr(values, "detach", None)
    return np.asarray(detach().cpu() if detach else values, dtype=float)


def attention(
    maps: np.ndarray,
    tokens: Sequence[object] | None = None,
    *,
    image: Drawable | None = None,
    names: Sequence[object] | None = None,
    title: str = "",
    size: float = 2.3,
) -> Figure:
    """Show attention: for each head, how much each query looks at each key.

    Without an image, each head is a matrix, queries down and keys to the right. With one, each
    query is drawn as the share of its attention that falls on each patch, over the image.

    Parameters
    ----------
    maps : array or tensor, shape (heads, queries, keys)
        Attention weights, which sum to 1 over the keys.
    tokens : sequence, optional
        Names of the tokens (queries and keys alike), where there is no image.
    image : array or PIL image, optional
        The image whose square grid of patches are the keys, row by row.
    names : sequence, optional
        Names of the heads; `head 1` and so on if not given.
    title : str
        The figure's message.
    size : float
        Width of a map in inches.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per head, or with an image per head and query (heads down, queries to the right).

    Raises
    ------
    ValueError
        If the shape is another one, the weights of a query are negative or do not sum to 1, the
        names do not match, or the keys are no square grid.

    Examples
    --------
    >>> causal = np.array([[[1.0, 0.0], [0.5, 0.5]]])  # the first token sees itself alone
    >>> figure = attention(causal, ["cats", "play"])
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['cats', 'play']
    """
    weights = array_of(maps)
    if weights.ndim != 3 or not weights.size:
        raise ValueError(f"Attention has shape (heads, queries, keys), not {weights.shape}.")
    if weights.min() < -1e-6 or not np.allclose(weights.sum(axis=2), 1, atol=1e-3):
        raise ValueError("The weights of each query must sum to 1 over the keys: pass the softmax.")
    heads, queries, keys = weights.shape
    texts = [f"head {n + 1}" for n in range(heads)] if names is None else [*map(str, names)]
    if len(texts) != heads:
        raise ValueError(f"There are {heads} heads but {len(texts)} names.")
    if image is not None:
        return _over_image(weights, pixels_of(image), texts, title, size)
    if tokens is not None and not len(tokens) == keys == queries:
        raise ValueError(f"{len(tokens)} tokens do not name {queries} queries and {keys} keys.")
    columns = min(heads, 4)
    rows = math.ceil(heads / columns)
    figure = Figure(
        figsize=(columns * size + 0.8, rows * (size * queries / keys + 0.7)), layout="constrained"
    )
    top = float(weights.max())
    for number, (head, text) in enumerate(zip(weights, texts, strict=True)):
        axes = figure.add_subplot(rows, columns, number + 1)
        drawn = axes.imshow(head, cmap="cividis", vmin=0, vmax=top)
        axes.set_title(safe_text(text, 24), fontsize=9)
        axes.grid(False)
        if tokens is not None:
            words = [safe_text(token, 12) for token in tokens]
            axes.set_xticks(range(keys), words, rotation=60, ha="right", fontsize=7)
            axes.set_yticks(range(queries), words if number % columns == 0 else [""] * queries)
            axes.tick_params(axis="y", labelsize=7)
        if number % columns == 0:
            axes.set_ylabel("query", fontsize=8)
        axes.set_xlabel("key", fontsize=8)
    figure.colorbar(drawn, ax=figure.axes, label="attention", shrink=0.7)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def pieces(
    rows: Mapping[str, Sequence[str]],
    values: Mapping[str, Sequence[float]] | None = None,
    *,
    marked: Collection[str] = (),
    label: str = "",
    title: str = "",
) -> Figure:
    """Draw texts as the pieces that a tokenizer cut them into, one box for each piece.

    Parameters
    ----------
    rows : mapping of str to sequence of str
        The pieces of each text, by the name that stands above it.
    values : mapping of str to sequence of float, optional
        A number for each piece, shown as its colour; NaN where there is none.
    marked : collection of str
        Pieces that are drawn in orange, such as the unknown token. Without values only.
    label : str
        What the numbers are, for the colour bar.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, and a colour bar where there are values.

    Raises
    ------
    ValueError
        If there is no piece, or not one value for each piece.

    Examples
    --------
    >>> figure = pieces({"by hand": ["low", "er"]}, marked=["er"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['by hand', 'low', 'er']
    """
    if not any(len(row) for row in rows.values()):
        raise ValueError("There is no piece to draw; give the tokens of a text.")
    if values is not None and any(len(row) != len(values[name]) for name, row in rows.items()):
        raise ValueError("Give one value for each piece.")
    widths = {name: [_width(piece) + 1.4 for piece in row] for name, row in rows.items()}
    longest = max(sum(own) for own in widths.values())
    size = min(10.0, 480 / (0.66 * longest))  # points; a monospace character is 0.6 as wide
    figure = Figure(figsize=(7.5, 0.72 * len(rows) + 0.5), layout="constrained")
    axes = figure.add_subplot(xlim=(0, longest), ylim=(-len(rows), 0.1))
    bare(axes)
    axes.set_frame_on(False)
    known = [v for own in (values or {}).values() for v in own if np.isfinite(v)] or [0.0, 1.0]
    shades = ScalarMappable(Normalize(min(known), max(known)), "cividis")
    for number, (name, row) in enumerate(rows.items()):
        axes.text(0, -number - 0.12, safe_text(name), fontsize=9, color="0.3", va="center")
        left = 0.0
        for index, (piece, width) in enumerate(zip(row, widths[name], strict=True)):
            colour = "#f0a36b" if piece in marked else ("#dbe7f3", "#eef2f6")[index % 2]
            if values is not None:
                value = values[name][index]
                colour = to_hex(shades.to_rgba(value)) if np.isfinite(value) else "#ffffff"
            light = np.dot(to_rgb(colour), (0.3, 0.59, 0.11)) > 0.5
            axes.add_patch(
                Rectangle((left, -number - 0.86), width - 0.2, 0.5, color=colour, linewidth=0)
            )
            axes.text(
                left + width / 2 - 0.1, -number - 0.61, safe_text(piece), fontsize=size,
                ha="center", va="center", color="black" if light else "white",
                family=["DejaVu Sans Mono", *rcParams["font.family"]],
            )  # fmt: skip
            left += width
    if values is not None:
        figure.colorbar(shades, ax=axes, label=safe_text(label), shrink=0.8, pad=0.01)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def _width(text: str) -> int:
    """Width of a text in monospace characters: Chinese characters and emoji take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _over_image(
    weights: np.ndarray, pixels: np.ndarray, texts: list[str], title: str, size: float
) -> Figure:
    """Draw each query of each head over the image."""
    heads, queries, keys = weights.shape
    side = math.isqrt(keys)
    if side * side != keys:
        raise ValueError(
            f"{keys} keys are no square grid of patches; leave the class token out and divide the "
            "rest by their sum."
        )
    figure = Figure(figsize=(queries * size, heads * size + 0.4), layout="constrained")
    for number, (head, query) in enumerate(product(range(heads), range(queries))):
        axes = figure.add_subplot(heads, queries, number + 1)
        _overlay(axes, pixels, weights[head, query].reshape(side, side))
        text = texts[head] if queries == 1 else f"{texts[head]}, query {query + 1}"
        axes.set_title(safe_text(text, 24), fontsize=8)
    if title:
        figure.suptitle(safe_text(title))
    return figure


def _overlay(axes: object, pixels: np.ndarray, values: np.ndarray) -> None:
    """Draw a map, stretched over an image in grey."""
    height, width = pixels.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(pixels.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(values, cmap="cividis", alpha=0.6, extent=extent, interpolation="nearest")
    bare(axes)


def activations(
    maps: np.ndarray,
    image: Drawable | np.ndarray | None = None,
    *,
    names: Sequence[object] | None = None,
    most: int = 12,
    columns: int = 6,
    size: float = 1.3,
    title: str = "",
) -> Figure:
    """Show the strongest maps of a layer, over the image or the frames of the clip that it saw.

    Parameters
    ----------
    maps : array or tensor, shape (channels, height, width) or (channels, time, height, width)
        Output of a layer for one image or one clip.
    image : array or PIL image, optional
        The image `(height, width, 3)`, or the clip `(frames, height, width, 3)`, drawn below the
        maps in grey; the clip's frames are taken at even distances.
    names : sequence, optional
        Name of each channel; its number if not given.
    most : int
        Channels that are drawn: those with the largest mean, strongest first. Of a clip, as many
        rows.
    columns : int
        Maps per row, for an image.
    size : float
        Width of a map in inches.
    title : str
        The figure's message.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per map; a clip has one row per channel, its time from left to right.

    Raises
    ------
    ValueError
        If a shape is another one, or the number of names differs.

    Examples
    --------
    >>> maps = np.zeros((3, 4, 4))
    >>> maps[1], maps[2, 0, 0] = 1, 1
    >>> figure = activations(maps, most=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['channel 1', 'channel 2']
    """
    arguments.at_least(1, most=most, columns=columns)
    values = array_of(maps)
    if values.ndim not in (3, 4) or not values.size:
        raise ValueError(
            "Maps of one image have shape (channels, height, width), of one clip (channels, time, "
            f"height, width), not {values.shape}; pass the first of a batch as `maps[0]`."
        )
    if names is not None and len(names) != len(values):
        raise ValueError(f"There are {len(values)} channels but {len(names)} names.")
    texts = [f"channel {n}" for n in range(len(values))] if names is None else [*map(str, names)]
    is_clip = values.ndim == 4
    values = values if is_clip else values[:, None]  # (channels, time, height, width)
    steps = values.shape[1]
    grounds: list[np.ndarray | None] = [None] * steps
    if image is not None:
        frames = list(image) if is_clip else [image]
        chosen = np.linspace(0, len(frames) - 1, steps).round().astype(int)
        grounds = [pixels_of(frames[n]) for n in chosen]
    order = np.argsort(-values.mean(axis=(1, 2, 3)), kind="stable")[:most]
    across = steps if is_clip else min(columns, len(order))
    rows = math.ceil(len(order) * steps / across)
    figure = Figure(
        figsize=(across * size, rows * size * 1.2 + (0.4 if title else 0)), layout="constrained"
    )
    for number, (channel, step) in enumerate(product(order, range(steps))):
        axes = figure.add_subplot(rows, across, number + 1)
        if (ground := grounds[step]) is None:
            low, high = values[channel].min(), values[channel].max()
            axes.imshow(values[channel, step], cmap="cividis", vmin=low, vmax=high)
            bare(axes)
        else:
            _overlay(axes, ground, values[channel, step])
        if step == 0:
            axes.set_title(safe_text(texts[channel], 18), fontsize=8)
    if title:
        figure.suptitle(safe_text(title))
    return figure
