"""Images of videos: sheets of thumbnails and strips of frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vidrec_utils.plots._style import PALETTE, safe_text

Drawable: TypeAlias = np.ndarray | Image.Image


def pixels_of(image: Drawable) -> np.ndarray:
    """Return an image as uint8 `(height, width, 3)`, or raise an error that says what it is."""
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise ValueError(
            f"An image has shape (height, width, 3), not {pixels.shape}; "
            "move the channels to the end or pass one image at a time."
        )
    if pixels.dtype != np.uint8:
        if pixels.size and (pixels.min() < 0 or pixels.max() > 1):
            raise ValueError(
                f"An image of {pixels.dtype} needs values from 0 to 1, not from "
                f"{pixels.min():g} to {pixels.max():g}; undo its normalisation first."
            )
        pixels = np.round(pixels * 255).astype(np.uint8)
    return pixels[..., :3]


def matching(titles: Sequence[object] | None, n: int) -> list[object]:
    """Return the titles of n images, empty ones if there are none."""
    if titles is None:
        return [""] * n
    if len(titles) != n:
        raise ValueError(f"There are {n} images but {len(titles)} titles.")
    return list(titles)


def check_clips(clips: np.ndarray | Sequence[np.ndarray]) -> None:
    """Raise an error if there is no clip, or one is not `(frames, height, width, 3)`."""
    if len(clips) == 0:
        raise ValueError("There is no clip to show.")
    for clip in clips:
        if np.ndim(clip) != 4 or len(clip) == 0:
            raise ValueError(
                f"A clip has shape (frames, height, width, 3), not {np.shape(clip)}; "
                "for a single clip pass `clip[None]`."
            )


def bare(axes: Axes) -> None:
    """Leave out ticks, grid and frame, as around an image."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _empty(axes: Axes) -> None:
    """Draw a grey square where an image is missing."""
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_facecolor("#e8e8e8")
    axes.text(0.5, 0.5, "no image", ha="center", va="center", fontsize=8, color="#555555")


def _grid(
    figure: Figure,
    images: Sequence[np.ndarray | None],
    titles: Sequence[object] | None,
    columns: int,
    title_width: int,
    **style: object,
) -> Figure:
    """Draw images row by row, each under its title if there are titles."""
    rows = math.ceil(len(images) / columns)
    texts = matching(titles, len(images))
    for position, (image, text) in enumerate(zip(images, texts, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, position)
        if image is None:
            _empty(axes)
        else:
            axes.imshow(image)
        bare(axes)
        if titles is not None:
            axes.set_title(safe_text(text, title_width), pad=3, **style)
    return figure


def contact_sheet(
    images: Sequence[Drawable | None],
    titles: Sequence[object] | None = None,
    columns: int = 6,
    size: float = 1.3,
    title_width: int = 18,
) -> Figure:
    """Lay images out on a grid.

    Parameters
    ----------
    images : sequence of arrays, PIL images or None
        Each `(height, width, 3)`, uint8 or floats from 0 to 1; sizes may differ. For None a
        grey square is drawn.
    titles : sequence, optional
        One text per image; long ones are cut.
    columns : int
        Images per row.
    size : float
        Width of one image in inches.
    title_width : int
        Longest title in characters.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per image.

    Raises
    ------
    ValueError
        If there is no image, an image has another shape, or the number of titles differs.

    Examples
    --------
    >>> import numpy as np
    >>> black, white = np.zeros((8, 8, 3)), np.ones((8, 8, 3))
    >>> figure = contact_sheet([black, white, None], ["dark", "light", "lost"], columns=3)
    >>> [axes.get_title() for axes in figure.axes]
    ['dark', 'light', 'lost']
    """
    if len(images) == 0:
        raise ValueError("There is no image to show.")
    columns = min(columns, len(images))
    height = math.ceil(len(images) / columns) * size * (1.0 if titles is None else 1.2)
    figure = Figure(figsize=(columns * size, height), layout="constrained")
    pixels = [None if image is None else pixels_of(image) for image in images]
    return _grid(figure, pixels, titles, columns, title_width, fontsize=8, loc="center")


def boxed(
    images: Sequence[Drawable],
    corners: Sequence[np.ndarray],
    titles: Sequence[object] | None = None,
    size: float = 3.5,
) -> Figure:
    """Draw boxes over images, side by side.

    Parameters
    ----------
    images : sequence of arrays or PIL images
        Each `(height, width, 3)`, uint8 or floats from 0 to 1; sizes may differ.
    corners : sequence of arrays, each of shape (n, 4)
        Boxes of each image: left, top, right, bottom, in shares of the image's sides. Their colours
        differ only so that boxes can be told apart.
    titles : sequence, optional
        One text per image.
    size : float
        Width of one image in inches.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per image.

    Raises
    ------
    ValueError
        If there is no image, or the number of lists of boxes or of titles differs.

    Examples
    --------
    >>> import numpy as np
    >>> figure = boxed([np.zeros((4, 8, 3))], [[[0.0, 0.0, 0.5, 1.0]]])
    >>> figure.axes[0].patches[0].get_bbox().get_points().tolist()
    [[-0.5, -0.5], [3.5, 3.5]]
    """
    if len(corners) != len(images):
        raise ValueError(f"There are {len(images)} images but boxes of {len(corners)}.")
    figure = contact_sheet(images, titles, columns=len(images), size=size, title_width=40)
    shapes = [pixels_of(image).shape for image in images]
    inches = size * max(shape[0] / shape[1] for shape in shapes) + (0 if titles is None else 0.3)
    figure.set_size_inches(len(images) * size, inches)
    colours = [colour for colour in PALETTE if colour != "#F0E442"]  # yellow is hard to see
    for axes, (height, width, _), rows in zip(figure.axes, shapes, corners, strict=True):
        for number, (left, top, right, bottom) in enumerate(rows):
            corner = (left * width - 0.5, top * height - 0.5)  # a pixel's middle is at 0
            sides = ((right - left) * width, (bottom - top) * height)
            colour = colours[number % len(colours)]
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=1.5))
    return figure


def _strip(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Put frames side by side with white between them, a twenty-fifth of a frame wide."""
    height, width = frames[0].shape[:2]
    gap = np.full((height, max(1, round(width / 25)), 3), 255, dtype=np.uint8)
    pieces = [piece for frame in frames for piece in (gap, frame)]
    return np.concatenate(pieces[1:], axis=1)


def filmstrip(
    clips: np.ndarray | Sequence[np.ndarray],
    titles: Sequence[object] | None = None,
    size: float = 1.0,
    title_width: int = 60,
) -> Figure:
    """Show each clip as one row of frames, time from left to right.

    Parameters
    ----------
    clips : array or sequence of arrays
        `(n, frames, height, width, 3)`, or n arrays `(frames, height, width, 3)`; uint8 or floats
        from 0 to 1.
    titles : sequence, optional
        One text per clip.
    size : float
        Width of one frame in inches.
    title_width : int
        Longest title in characters.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per clip.

    Raises
    ------
    ValueError
        If there is no clip, a clip has another shape, or the number of titles differs.

    Examples
    --------
    >>> import numpy as np
    >>> clip = np.zeros((8, 16, 16, 3), dtype=np.uint8)  # eight frames of 16 x 16 pixels
    >>> figure = filmstrip([clip, clip[::-1]], ["forwards", "backwards"])
    >>> figure.axes[0].images[0].get_array().shape  # frames side by side, 7 gaps of a pixel
    (16, 135, 3)
    """
    check_clips(clips)
    strips = [_strip([pixels_of(frame) for frame in clip]) for clip in clips]
    longest = max(len(clip) for clip in clips)
    row = size * (1.0 if titles is None else 1.25)
    figure = Figure(figsize=(longest * size, len(strips) * row), layout="constrained")
    return _grid(figure, strips, titles, 1, title_width, fontsize=9)


def time_slices(clips: Mapping[str, np.ndarray], row: int) -> Figure:
    """Show one row of pixels of each clip over time, downwards.

    What stays where it is becomes a vertical line, what moves sideways a slanted one.

    Parameters
    ----------
    clips : mapping of str to array
        Clips by title, each `(frames, height, width, 3)`, uint8 or floats from 0 to 1.
    row : int
        Which row of pixels, from 0 at the top.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per clip.

    Raises
    ------
    ValueError
        If there is no clip, or a clip has another shape or no such row.

    Examples
    --------
    >>> import numpy as np
    >>> clip = np.zeros((8, 16, 24, 3), dtype=np.uint8)  # eight frames of 16 x 24 pixels
    >>> time_slices({"black": clip}, row=5).axes[0].images[0].get_array().shape
    (8, 24, 3)
    """
    check_clips(list(clips.values()))
    for name, clip in clips.items():
        if not 0 <= row < len(clip[0]):
            raise ValueError(f"{name} has {len(clip[0])} rows of pixels; there is none at {row}.")
    figure = Figure(figsize=(2.7 * len(clips), 2.5), layout="constrained")
    grid = figure.subplots(1, len(clips), squeeze=False)[0]
    for axes, (name, clip) in zip(grid, clips.items(), strict=True):
        axes.imshow(pixels_of(clip[:, row]), aspect="auto", interpolation="nearest")
        axes.set_title(safe_text(name, 30), fontsize=10)
        axes.set(xlabel="column", ylabel="frame")
        axes.grid(False)
    return figure
