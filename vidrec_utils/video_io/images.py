"""Still images as arrays: upright 8-bit RGB, whatever the mode of the file."""

from __future__ import annotations

import warnings
from os import PathLike

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError, existing_file

MAX_IMAGE_PIXELS = 89_000_000
"""Larger images are refused: a small file may unfold into more memory than the machine has."""


def read_image(path: str | PathLike[str]) -> np.ndarray:
    """Read an image file as upright RGB.

    Greyscale is repeated in three channels, CMYK is converted, 16 bits become 8 (the upper
    ones), transparent pixels are laid over white, the EXIF orientation is applied, and an
    animation is represented by its first image.

    Parameters
    ----------
    path
        A file in any format that Pillow reads.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (height, width, 3).

    Raises
    ------
    ImageError
        If the file is missing, a folder, empty, no image, cut short or of more than
        `MAX_IMAGE_PIXELS` pixels.
    """
    file = existing_file(path, ImageError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if image.width * image.height > MAX_IMAGE_PIXELS:
                    raise _too_large(file)
                image.load()
                return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as problem:
        raise _too_large(file) from problem
    except UnidentifiedImageError as problem:
        raise ImageError(
            file,
            "not_an_image",
            "this is not an image in a known format. Open it in a viewer; if that fails too, "
            "replace it.",
        ) from problem
    except (OSError, SyntaxError, EOFError, ValueError) as problem:
        if isinstance(problem, ImageError):
            raise
        raise ImageError(
            file,
            "truncated",
            f"the image is cut short or damaged ({problem}). Copy or download it again.",
        ) from problem


def _too_large(path: str | PathLike[str]) -> ImageError:
    return ImageError(
        path,
        "too_large",
        f"the image has more than {MAX_IMAGE_PIXELS:,} pixels. Scale it down before use.",
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Convert greyscale with 16 bits, 32 bits or floats to 8-bit RGB.

    Whole numbers above 255 are read as 16-bit; floats that stay in 0 to 1 as fractions of white.
    """
    grey = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        scale = 255.0 if grey.size and grey.max() <= 1 else 1.0
    else:
        deep = image.mode.startswith("I;16") or (grey.size and grey.max() > 255)
        scale = 1 / 256 if deep else 1.0
    return Image.fromarray(np.clip(grey * scale, 0, 255).astype(np.uint8)).convert("RGB")
