"""Still images as arrays: upright 8-bit RGB, whatever the mode of the file."""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .budget import Budget
from .errors import ImageError, existing_file, guarded

USUAL_COST = 10
"""Bytes for each pixel that decoding takes at its peak (measured, rounded up): RGB and grey."""

COST = {"CMYK": 15, "RGBA": 20, "LA": 20, "PA": 20, "F": 28, "I": 28, "I;16": 26, "I;16B": 26}
"""The same for other modes."""

EXTRA_COST = {"AVIF": 10, "WEBP": 8, "JPEG2000": 10}
"""Bytes for each pixel that the decoders of some formats take on top."""

LARGE_BYTES = 64 * 2**20
"""Images whose decoding takes more are decoded one at a time, whatever the number of threads."""

REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes in which Pillow takes means of blocks."""

_one_at_a_time = threading.Lock()


def read_image(
    path: str | PathLike[str], *, most_pixels: int | None = None, budget: Budget | None = None
) -> np.ndarray:
    """Read an image file as upright RGB.

    Greyscale is repeated in three channels, CMYK is converted, 16 bits become 8 (the upper
    ones), transparent pixels are laid over white, the EXIF orientation is applied, and an
    animation is represented by its first image.

    Parameters
    ----------
    path
        A file in any format that Pillow reads.
    most_pixels
        Larger images are scaled down while they are read, by the smallest whole number that
        brings them to so many pixels: each pixel of the result is the mean of a block.
    budget
        What reading may cost; default `Budget()`.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (height, width, 3).

    Raises
    ------
    ImageError
        If the file is missing, a folder, empty, no image, cut short or larger than the budget
        allows.
    ValueError
        If `most_pixels` is below 1.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "red").save(Path(folder, "red.png"))
    ...     read_image(Path(folder, "red.png"), most_pixels=600).shape
    (20, 30, 3)
    """
    budget = budget or Budget()
    if most_pixels is not None and most_pixels < 1:
        raise ValueError(f"most_pixels is {most_pixels}; give 1 or more, or None for all.")
    file = existing_file(path, ImageError)
    with guarded(file, ImageError), warnings.catch_warnings():
        # Pillow's own limit stands in for nothing here: the budget is checked before decoding.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                return _read(image, file, most_pixels, budget)
        except Image.DecompressionBombError as problem:
            raise _too_large(file, str(problem)) from problem
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


def _read(image: Image.Image, file: Path, most_pixels: int | None, budget: Budget) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > budget.image_pixels:
        raise _too_large(
            file, f"it has {pixels:,} pixels, more than {budget.image_pixels:,}", "image_pixels"
        )
    mode = "RGBA" if image.has_transparency_data else image.mode
    cost = COST.get(mode, USUAL_COST) + EXTRA_COST.get(image.format or "", 0)
    needed = pixels * cost
    if needed > budget.memory:
        raise _too_large(
            file,
            f"decoding its {pixels:,} pixels takes about {needed / 2**20:,.0f} MiB, more than "
            f"{budget.memory / 2**20:,.0f}",
            "memory",
        )
    with _one_at_a_time if needed > LARGE_BYTES else contextlib.nullcontext():
        image.load()
        if most_pixels is not None and pixels > most_pixels:
            factor = math.ceil(math.sqrt(pixels / most_pixels))
            exif = image.getexif()
            image = (image if image.mode in REDUCIBLE else _to_rgb(image)).reduce(factor)
            image.info["exif"] = exif.tobytes()
        ImageOps.exif_transpose(image, in_place=True)
        return np.array(_to_rgb(image))


def _too_large(path: Path, reason: str, limit: str = "image_pixels") -> ImageError:
    return ImageError(
        path,
        "too_large",
        f"{reason}. Scale it down before use, or allow more with budget=Budget({limit}=...).",
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
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
