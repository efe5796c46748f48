"""Fonts, colours, and text that the available fonts can draw."""

from __future__ import annotations

import re
from functools import lru_cache

import matplotlib as mpl
from cycler import cycler
from matplotlib import font_manager

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
"""Eight colours that stay apart under every common colour blindness (Okabe and Ito, 2008)."""

CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)
MISSING = "□"


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    """Return DejaVu Sans, which comes with matplotlib, and the Chinese fonts found here."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in CJK_FONTS if name in installed))


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Code points that at least one of the fonts in use can draw."""
    covered: set[int] = set()
    for family in _families():
        covered |= set(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    return frozenset(covered)


def use_style() -> None:
    """Set readable fonts, the colour-blind-safe palette and quiet axes for all later figures.

    Where a font with Chinese glyphs is installed, it is used for those glyphs; where none is,
    `safe_text` keeps warnings about missing glyphs away.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context():  # only to leave this session's settings alone
    ...     use_style()
    ...     matplotlib.rcParams["axes.labelsize"]
    11.0
    """
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "axes.labelsize": 11,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.figsize": (7.0, 3.6),
            "font.family": list(_families()),
            "font.size": 11,
            "grid.alpha": 0.3,
            "image.cmap": "cividis",
            "legend.frameon": False,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
        }
    )


def safe_text(text: object, width: int | None = None) -> str:
    """Make any text drawable: no missing glyphs, no accidental formulas, no line breaks.

    Parameters
    ----------
    text : object
        A title, tag or label; anything else is turned into a string, a missing value into "".
    width : int, optional
        Longest length in characters; longer text is cut and ends in an ellipsis.

    Returns
    -------
    str
        The text on one line. Each character that no available font can draw becomes a hollow
        square, and dollar signs, which matplotlib would read as mathematics, are escaped.

    Examples
    --------
    >>> safe_text("one line, and more than fits", width=10)
    'one line,…'
    """
    line = "" if text is None or text != text else re.sub(r"\s+", " ", str(text)).strip()
    # Variation selectors and joiners draw nothing themselves, and few fonts list them.
    line = re.sub(r"[\u200b-\u200f\ufe00-\ufe0f]", "", line)
    if width is not None and len(line) > width:
        line = line[: max(width - 1, 0)].rstrip() + "…"
    drawn = "".join(char if ord(char) in _glyphs() else MISSING for char in line)
    return drawn.replace("$", r"\$")
