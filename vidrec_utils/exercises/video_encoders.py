"""Exercises of `04_video_encoders`: which frames a network sees, and how a filter is inflated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def frame_positions(length: int, frames: int) -> list[int]:
    """Return the positions of the frames that a network sees: the middles of equal segments.

    The clip is cut into `frames` segments of equal length, and the frame in the middle of each is
    taken, rounded down. A clip with too few frames repeats some.
    For example, `length` 8 and `frames` 4 give `[1, 3, 5, 7]`; `length` 1 gives `[0, 0, 0, 0]`.
    """
    # solution
    return [int((i + 0.5) * length / frames) for i in range(frames)]
    # end solution


def check_frame_positions(function: Callable[[int, int], list[int]]) -> str:
    """Check an attempt at `frame_positions`."""
    positions = [int(position) for position in function(8, 4)]
    assert positions != [0, 1, 2, 3], "these are the first frames; spread them over the whole clip."
    assert positions != [0, 2, 4, 6], (
        "these are the beginnings of the segments; add half a segment to get to their middles."
    )
    assert positions == [1, 3, 5, 7], (
        f"8 frames in 4 segments have middles [1, 3, 5, 7], not {positions}."
    )
    short = [int(position) for position in function(1, 4)]
    assert short == [0, 0, 0, 0], (
        f"a clip of one frame can only repeat it, yours is {short}: compute with fractions first, "
        "and round down last."
    )
    uneven = [int(position) for position in function(10, 4)]
    assert uneven == [1, 3, 6, 8], f"10 frames in 4 segments give [1, 3, 6, 8], yours is {uneven}."
    return "every part of the clip is seen, whatever its length."


WRONG_FRAME_POSITIONS = [
    (lambda length, frames: list(range(frames)), "first frames"),
    (lambda length, frames: [i * length // frames for i in range(frames)], "beginnings"),
    (lambda length, frames: [i * (length // frames) + 1 for i in range(frames)], "can only repeat"),
    (lambda length, frames: print([0] * frames), "returns nothing"),
]


def inflate(kernel: np.ndarray, taps: int) -> np.ndarray:
    """Return a filter for clips from one for images: the same filter at the middle tap.

    `kernel` has shape `(height, width)`, the result `(taps, height, width)`; `taps` is odd. All
    weight is on the middle tap, so that each frame gives the same output as before.
    For example, `[[2]]` and 3 taps give `[[[0]], [[2]], [[0]]]`.
    """
    # solution
    deep = np.zeros((taps, *kernel.shape))
    deep[taps // 2] = kernel
    return deep
    # end solution


def check_inflate(function: Callable[[np.ndarray, int], np.ndarray]) -> str:
    """Check an attempt at `inflate`."""
    kernel = np.array([[1.0, -2.0], [0.0, 3.0]])
    inflated = np.asarray(function(kernel, 5), dtype=float)
    assert inflated.shape == (5, 2, 2), (
        f"time comes first: the shape is (5, 2, 2), yours is {inflated.shape}."
    )
    assert not np.allclose(inflated, kernel), (
        "every tap holds the whole filter, so a clip in which nothing moves would give five times "
        "the output."
    )
    assert not np.allclose(inflated, kernel / 5), (
        "this is the average over time: where nothing moves it gives the same as the middle tap, "
        "but it blurs whatever moves. Put all weight in the middle."
    )
    assert np.allclose(inflated[2], kernel), "the middle tap, of index taps // 2, holds the filter."
    assert not inflated[[0, 1, 3, 4]].any(), "all other taps are zero; training will fill them."
    assert np.array_equal(kernel, [[1, -2], [0, 3]]), "leave the filter that you were given alone."
    return "a new video network starts with everything that the image network learned."


WRONG_INFLATE = [
    (lambda kernel, taps: np.stack([kernel] * taps), "every tap holds the whole filter"),
    (lambda kernel, taps: np.stack([kernel / taps] * taps), "blurs whatever moves"),
    (lambda kernel, taps: np.stack([kernel] * taps, axis=-1), "time comes first"),
    (
        lambda kernel, taps: np.stack([kernel, *[np.zeros_like(kernel)] * (taps - 1)]),
        "the middle tap",
    ),
]
