"""Lists of videos as tables: what was watched next to what is recommended, with small images."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

from PIL import Image

from vidrec_utils.plots._images import Drawable, pixels_of
from vidrec_utils.plots._output import MAX_BYTES, _described, _emit

Entry = tuple[Drawable | None, str]


def list_table(
    rows: Mapping[str, Mapping[str, Sequence[Entry]]],
    alt: str,
    size: int = 72,
    max_bytes: int = MAX_BYTES,
) -> str:
    """Show lists next to each other in a table, each entry with a small image and a text.

    Titles stand as text, in whatever script, so that a reader can copy them and no font is missing.

    Parameters
    ----------
    rows : mapping of str to mapping of str to entries
        By the name of a row (a person), its lists by the name of their column. An entry is an
        image, uint8 `(height, width, 3)` or None, and a text; each line of it has its own line.
    alt : str
        What the table shows, in a sentence, for readers who cannot see it.
    size : int
        Longest side of an image in pixels.
    max_bytes : int
        The most that all images together may take; their quality is lowered until they fit.

    Returns
    -------
    str
        The HTML that was shown.

    Raises
    ------
    ValueError
        If there is no row, the description is empty, or the images are too large.

    Examples
    --------
    >>> import contextlib
    >>> with contextlib.redirect_stdout(io.StringIO()):  # a notebook needs no redirection
    ...     shown = list_table({"ann": {"watched": [(None, "Tea")]}}, "One list of one video.")
    >>> "Tea" in shown
    True
    """
    text = _described(alt)
    if not rows:
        raise ValueError("There is no list to show.")
    total = 0
    for quality in (75, 55, 35):
        images = {
            id(entry): _jpeg(entry[0], size, quality)
            for lists in rows.values()
            for entries in lists.values()
            for entry in entries
            if entry[0] is not None
        }
        total = sum(map(len, images.values()))
        if total <= max_bytes:
            break
    else:
        raise ValueError(
            f"The images take {total:,} bytes, over the limit of {max_bytes:,}; show fewer."
        )
    columns = list(dict.fromkeys(column for lists in rows.values() for column in lists))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *columns))
    table = ""
    for name, lists in rows.items():
        cells = "".join(
            "<td>" + "".join(_entry(each, images) for each in lists.get(column, ())) + "</td>"
            for column in columns
        )
        table += f"<tr><th>{html.escape(name)}</th>{cells}</tr>"
    shown = f'<table class="lists"><thead><tr>{head}</tr></thead><tbody>{table}</tbody></table>'
    _emit("text/html", shown, text)
    return shown


def _jpeg(image: Drawable, size: int, quality: int) -> bytes:
    whole = Image.fromarray(pixels_of(image))
    scale = size / max(whole.size)
    small = whole.resize([max(1, math.floor(side * scale)) for side in whole.size])
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _entry(entry: Entry, images: Mapping[int, bytes]) -> str:
    """One image with its text to the right, as HTML."""
    lines = [html.escape(line) for line in str(entry[1]).splitlines()]
    image = ""
    if id(entry) in images:
        data = base64.b64encode(images[id(entry)]).decode("ascii")
        alt = f"thumbnail of {' '.join(lines)}"
        image = (
            f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" '
            'style="float:left;margin:0 8px 4px 0">'
        )
    outer, inner = "clear:both;text-align:left;min-height:76px", "overflow:hidden"
    text = "<br>".join(lines)
    return f'<div style="{outer}">{image}<div style="{inner}">{text}</div></div>'
