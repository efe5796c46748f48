"""Backgrounds: photographs that ship with scikit-image and scikit-learn, cropped and tinted."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from vidrec_utils.files import find_packaged
from vidrec_utils.minitube.vocabulary import SCENES, TINTS

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}


@cache
def photograph(scene: str) -> Image.Image:
    """Open the photograph of a scene.

    Parameters
    ----------
    scene : str
        A key of `vocabulary.SCENES`.

    Returns
    -------
    PIL.Image.Image
        RGB, with its shorter side scaled to 256 pixels; treat it as read-only.

    Raises
    ------
    FileNotFoundError
        If the package that ships the photograph is not installed or lacks it.
    """
    package, name = SCENES[scene].split(":")
    path = find_packaged(package, f"{_FOLDERS[package]}/{name}")
    if path is None:
        raise FileNotFoundError(
            f"The photograph {name!r} is not in the installed {package}. "
            "Install what requirements.txt names and try again."
        )
    with Image.open(path) as file:
        photo = file.convert("RGB")
    scale = 256 / min(photo.size)
    size = (round(photo.width * scale), round(photo.height * scale))
    photo = photo.resize(size, Image.Resampling.BICUBIC)
    if scene in TINTS:
        tinted = np.asarray(photo, dtype=np.float32) * np.array(TINTS[scene], dtype=np.float32)
        photo = Image.fromarray(tinted.clip(0, 255).astype(np.uint8))
    return photo


def background(scene: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Cut a random piece out of a scene's photograph and shift its colours a little.

    Parameters
    ----------
    scene : str
        A key of `vocabulary.SCENES`.
    size : int
        Height and width of the piece, in pixels.
    rng : numpy.random.Generator
        Source of the position, the zoom and the colours of the piece.
    """
    photo = photograph(scene)
    edge = int(min(photo.size) * rng.uniform(0.55, 1.0))
    left = int(rng.integers(0, photo.width - edge + 1))
    top = int(rng.integers(0, photo.height - edge + 1))
    piece = photo.crop((left, top, left + edge, top + edge)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(piece, dtype=np.float32)
    gain = rng.uniform(0.65, 1.1) * rng.uniform(0.88, 1.12, size=3)
    return Image.fromarray((pixels * gain).clip(0, 255).astype(np.uint8))
