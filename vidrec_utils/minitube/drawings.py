"""Single images made as the frames of MiniTube are, which belong to no platform."""

from __future__ import annotations

import numpy as np

from vidrec_utils.minitube.scenes import background
from vidrec_utils.minitube.sprites import all_subjects, scaled_sprite
from vidrec_utils.minitube.vocabulary import SCENES


def drawing(rng: np.random.Generator, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Paste a sprite over a photograph, as MiniTube does, and keep its true mask.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the sprite and the photograph.
    size : int
        Side of the image in pixels.

    Returns
    -------
    (ndarray of uint8, shape (size, size, 3), ndarray of bool, shape (size, size))
        The image, and the pixels of the sprite: those of which it hides at least one half.

    Examples
    --------
    >>> image, mask = drawing(np.random.default_rng(0))
    >>> image.shape, mask.shape, bool(mask.any())
    ((128, 128, 3), (128, 128), True)
    """
    subjects = [character for _, character in all_subjects()]
    sprite = scaled_sprite(str(rng.choice(subjects)), round(0.55 * size))
    image = background(str(rng.choice(list(SCENES))), size, rng).copy()
    corner = ((size - sprite.width) // 2, (size - sprite.height) // 2)
    opacity = sprite.getchannel("A")
    image.paste(sprite.convert("RGB"), corner, opacity)
    mask = np.zeros((size, size), dtype=bool)
    rows, columns = (slice(c, c + s) for c, s in zip(corner[::-1], opacity.size[::-1], strict=True))
    mask[rows, columns] = np.asarray(opacity) >= 128
    return np.asarray(image), mask
