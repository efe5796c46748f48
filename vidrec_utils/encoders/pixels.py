"""Images and frames as arrays: checked, and cut to the centre square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

LONGEST = 8
"""Of an image whose sides differ by more than this factor, only the middle is read."""

_SHAPES = {
    "Image": ("(height, width, 3)", "video_io.read_image"),
    "Clip": ("(time, height, width, 3)", "video_io.sample_frames"),
}


def checked(arrays: Sequence[np.ndarray] | np.ndarray, kind: str) -> list[np.ndarray]:
    """Return images or clips as a list of uint8 arrays.

    Parameters
    ----------
    arrays : sequence of ndarray
        RGB images `(height, width, 3)`, or clips `(time, height, width, 3)`.
    kind : {"Image", "Clip"}
        What they are.

    Raises
    ------
    ValueError
        If one is anything else; the message names its position, shape and type.

    Examples
    --------
    >>> import numpy as np
    >>> len(checked(np.zeros((2, 8, 8, 3), np.uint8), "Image"))
    2
    """
    shape, reader = _SHAPES[kind]
    for position, item in enumerate(arrays):
        array = np.asarray(item)
        ndim = shape.count(",") + 1
        if array.dtype != np.uint8 or array.ndim != ndim or array.shape[-1] != 3 or not array.size:
            raise ValueError(
                f"{kind} {position} is {array.dtype} of shape {array.shape}, but must be uint8 of "
                f"shape {shape}, RGB. {reader} returns that for any file."
            )
    return [np.asarray(item) for item in arrays]


def square(image: torch.Tensor, size: int, interpolation: str = "bilinear") -> torch.Tensor:
    """Crop the centre square and resize it; uint8 `(..., 3, height, width)` to `(..., size, size)`.

    The crop comes first, so that an image of 1 x 10,000 pixels is never blown up.
    """
    from torchvision.transforms import InterpolationMode, v2

    mode = InterpolationMode(interpolation)
    side = min(image.shape[-2:])
    centre = v2.functional.center_crop(image, [side, side])
    return v2.functional.resize(centre, [size, size], mode, antialias=True)


def cut_long_sides(image: torch.Tensor) -> torch.Tensor:
    """Cut off what lies beyond `LONGEST` times the shorter side of `(..., height, width)`.

    Otherwise 1 x 10,000 pixels, resized to a shorter side of 256, would fill gigabytes.
    """
    from torchvision.transforms import v2

    height, width = image.shape[-2:]
    limit = LONGEST * min(height, width)
    return v2.functional.center_crop(image, [min(height, limit), min(width, limit)])
