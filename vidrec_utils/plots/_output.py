"""Putting figures and moving clips under a cell: described, and below a size limit."""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, features

from vidrec_utils.plots._images import check_clips, matching, pixels_of
from vidrec_utils.plots._style import safe_text

MAX_BYTES = 80_000
"""The most that one figure may add to a notebook."""

POSTER_KIND = "image/jpeg"
"""Form of the still that goes with moving clips."""


def _described(alt: str) -> str:
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("Say in `alt` what the image shows, for readers who cannot see it.")
    return " ".join(alt.split())


def _render(figure: Figure, dpi: float) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return Image.open(buffer).convert("RGB")


def _file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of an image as a file of a kind that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_figure(
    figure: Figure, max_bytes: int = MAX_BYTES, dpi: float = 100
) -> tuple[str, bytes]:
    """Encode a figure as well as a size limit allows.

    A chart has few colours and fits as a PNG; a sheet of photographs fits better as a JPEG. Only
    when neither does is the resolution lowered.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it is not changed.
    max_bytes : int
        The limit.
    dpi : float
        Resolution to begin with, in pixels per inch.

    Returns
    -------
    tuple of (str, bytes)
        `"image/png"` or `"image/jpeg"`, and the file.

    Raises
    ------
    ValueError
        If even the coarsest form is too large.

    Examples
    --------
    >>> kind, data = encode_figure(Figure(figsize=(2, 1)))
    >>> kind, len(data) < MAX_BYTES
    ('image/png', True)
    """
    for scale in (1.0, 0.85, 0.7, 0.55, 0.4):
        image = _render(figure, dpi * scale)
        for colours in (256, 64):
            few = image.quantize(colours, dither=Image.Dither.NONE)
            data = _file_of(few, "PNG", optimize=True)
            if len(data) <= max_bytes:
                return "image/png", data
        for quality in (85, 70, 55):
            data = _file_of(image, "JPEG", quality=quality, optimize=True)
            if len(data) <= max_bytes:
                return "image/jpeg", data
    raise ValueError(
        f"The figure takes {len(data):,} bytes at its smallest, over the limit of {max_bytes:,}; "
        "show fewer images or use a smaller figure."
    )


def show(figure: Figure, alt: str, max_bytes: int = MAX_BYTES) -> None:
    """Show a figure under the cell, with a description, below a size limit, and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure, from this module or from pyplot.
    alt : str
        What the figure shows, in a sentence, for readers who cannot see it.
    max_bytes : int
        The limit.

    Raises
    ------
    ValueError
        If the description is empty or the figure cannot be made small enough.

    Examples
    --------
    >>> import contextlib
    >>> figure = Figure()
    >>> lines = figure.add_subplot().plot([1, 2, 4])
    >>> with contextlib.redirect_stdout(io.StringIO()) as output:  # a notebook needs no redirection
    ...     show(figure, "A line that rises.")
    >>> "A line that rises." in output.getvalue()
    True
    """
    text = _described(alt)
    kind, data = encode_figure(figure, max_bytes)
    _emit(kind, base64.b64encode(data).decode("ascii"), text, {kind: {"alt": text}})
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:  # pyplot keeps its figures, and the notebook would show them again
        pyplot.close(figure)


def _emit(
    kind: str,
    content: str,
    alt: str,
    metadata: dict | None = None,
    others: dict[str, str] | None = None,
) -> None:
    """Put content under the cell, with forms of it for viewers that cannot show the first one."""
    from IPython.display import display

    data = {kind: content, **(others or {}), "text/plain": alt}
    display(data, raw=True, metadata=metadata or {})


def _captioned(clip: np.ndarray, label: object, tile: int) -> list[Image.Image]:
    """Return the frames of a clip scaled to a tile, its label on a strip below."""
    path = font_manager.findfont("DejaVu Sans")
    font = ImageFont.truetype(path, max(9, tile // 10))
    strip = round(font.size) + 5 if label else 0
    text = safe_text(label, max(4, int(tile / (0.6 * font.size)))).replace(r"\$", "$")
    frames = []
    for frame in clip:
        image = Image.fromarray(pixels_of(frame))
        image.thumbnail((tile, tile))
        canvas = Image.new("RGB", (tile, tile + strip), "white")
        canvas.paste(image, ((tile - image.width) // 2, (tile - image.height) // 2))
        if label:
            ImageDraw.Draw(canvas).text((2, tile + 1), text, fill="black", font=font)
        frames.append(canvas)
    return frames


def _mosaic(tiles: list[list[Image.Image]], columns: int) -> list[Image.Image]:
    width, height = tiles[0][0].size
    rows = -(-len(tiles) // columns)
    sheets = []
    for step in range(max(len(frames) for frames in tiles)):
        sheet = Image.new("RGB", (columns * (width + 4) - 4, rows * (height + 4) - 4), "white")
        for position, frames in enumerate(tiles):
            row, column = divmod(position, columns)
            corner = (column * (width + 4), row * (height + 4))
            sheet.paste(frames[step % len(frames)], corner)
        sheets.append(sheet)
    return sheets


def _animation(sheets: list[Image.Image], fps: float, quality: int, kind: str) -> bytes:
    # AVIF predicts a frame from the one before it, which halves the size of most clips.
    extra = {"speed": 8} if kind == "AVIF" else {"loop": 0, "method": 4}
    return _file_of(
        sheets[0],
        kind,
        save_all=True,
        append_images=sheets[1:],
        duration=round(1000 / fps),
        quality=quality,
        **extra,
    )


def playing_sheet(
    clips: np.ndarray | Sequence[np.ndarray],
    labels: Sequence[object] | None = None,
    alt: str = "",
    columns: int = 4,
    fps: float = 8,
    tile: int = 128,
    max_bytes: int = MAX_BYTES,
) -> bytes:
    """Show clips playing side by side under the cell, as one animated image.

    The image is an AVIF, or a WebP where Pillow lacks AVIF. Quality is lowered first, then every
    other frame is left out, then the tiles shrink, until the image is below the limit. A still of
    the middle of the clips goes with it, as a small JPEG with the same description, for viewers
    that show no animation; the limit holds for both together.

    Parameters
    ----------
    clips : array or sequence of arrays
        `(n, frames, height, width, 3)` uint8, or n arrays `(frames, height, width, 3)`; shorter
        clips start again.
    labels : sequence, optional
        One text per clip, written below it.
    alt : str
        What is seen, in a sentence, for readers who cannot see it.
    columns : int
        Clips per row.
    fps : float
        Frames per second.
    tile : int
        Largest width and height of one clip in pixels.
    max_bytes : int
        The limit.

    Returns
    -------
    bytes
        The image that was shown, as a file.

    Raises
    ------
    ValueError
        If there is no clip, a clip has another shape, the number of labels differs, the
        description is empty, or the limit cannot be met.

    Examples
    --------
    >>> import contextlib
    >>> clips = np.zeros((2, 8, 32, 32, 3), dtype=np.uint8)
    >>> with contextlib.redirect_stdout(io.StringIO()):  # a notebook needs no redirection
    ...     data = playing_sheet(clips, ["first", "second"], alt="Two black clips.", tile=32)
    >>> image = Image.open(io.BytesIO(data))
    >>> image.n_frames, image.width  # two tiles of 32 pixels and 4 between them
    (8, 68)
    """
    text = _described(alt)
    check_clips(clips)
    names = matching(labels, len(clips))
    columns = min(columns, len(clips))
    kind = "AVIF" if features.check("avif") else "WEBP"
    for size in (tile, round(tile * 0.75), round(tile * 0.5)):
        tiles = [_captioned(clip, name, size) for clip, name in zip(clips, names, strict=True)]
        sheets = _mosaic(tiles, columns)
        poster = _file_of(sheets[len(sheets) // 2], "JPEG", quality=50, optimize=True)
        for step in (1, 2):
            for quality in (70, 50, 35):
                data = _animation(sheets[::step], fps / step, quality, kind)
                if len(data) + len(poster) <= max_bytes:
                    source = base64.b64encode(data).decode("ascii")
                    uri = f"data:image/{kind.lower()};base64,{source}"
                    image = base64.b64encode(poster).decode("ascii")
                    tag = f'<img src="{uri}" alt="{html.escape(text)}">'
                    _emit(
                        "text/html", tag, text, {POSTER_KIND: {"alt": text}}, {POSTER_KIND: image}
                    )
                    return data
    raise ValueError(
        f"The clips take {len(data) + len(poster):,} bytes at their smallest, over the limit of "
        f"{max_bytes:,}; show fewer clips or fewer frames."
    )
