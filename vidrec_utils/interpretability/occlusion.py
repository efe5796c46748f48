"""What happens to a score when a part of the input is covered, frozen or left out.

Occlusion needs scores only, so it explains every encoder, whatever it runs on.

References
----------
Zeiler, Fergus: Visualizing and Understanding Convolutional Networks. ECCV 2014 (arXiv:1311.2901).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Literal

import numpy as np

from vidrec_utils import arguments

Score = Callable[[list[np.ndarray]], np.ndarray]
"""From items to one number each, such as `Target.scores`."""

Interruption = Literal["frozen", "dropped"]
INTERRUPTIONS = ("frozen", "dropped")


def _mean_drop(
    scores: Score,
    item: np.ndarray,
    variants: list[np.ndarray],
    covers: list[tuple[slice, ...]],
    shape: tuple[int, ...],
    batch_size: int,
) -> np.ndarray:
    """Fall of the score for each position: the mean over all variants that change it."""
    full = float(scores([item])[0])
    batches = [variants[i : i + batch_size] for i in range(0, len(variants), batch_size)]
    drops = full - np.concatenate([scores(batch) for batch in batches])
    total, count = np.zeros(shape), np.zeros(shape)
    for drop, cover in zip(drops, covers, strict=True):
        total[cover] += drop
        count[cover] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin, so that all positions are covered."""
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def occlude_space(
    scores: Score,
    item: np.ndarray,
    patch: int = 16,
    stride: int | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """How far a score falls when a square is painted over with the item's mean colour.

    Parameters
    ----------
    scores : callable
        From a list of items to their scores, such as `Target.scores`.
    item : uint8 (height, width, 3) or (time, height, width, 3)
        An image, or a clip whose frames all lose the same square.
    patch : int
        Side of the square in pixels.
    stride : int, optional
        Pixels from one square to the next; default: its side.
    batch_size : int
        Variants that are scored at once.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Positive where covering costs score; a pixel has the mean over all squares that cover it.

    Raises
    ------
    ValueError
        If a number is not positive, or the square is larger than the item.

    Examples
    --------
    The score is the brightness of the left half:

    >>> image = np.zeros((2, 4, 3), np.uint8)
    >>> image[:, :2] = 200
    >>> left = lambda items: np.array([item[:, :2].mean() for item in items])
    >>> occlude_space(left, image, patch=2).tolist()
    [[100.0, 100.0, 0.0, 0.0], [100.0, 100.0, 0.0, 0.0]]
    """
    stride = patch if stride is None else stride
    arguments.at_least(1, patch=patch, stride=stride, batch_size=batch_size)
    height, width = item.shape[-3:-1]
    if patch > min(height, width):
        raise ValueError(f"A square of {patch} pixels does not fit into {height} x {width}.")
    colour = _mean_colour(item)
    covers, variants = [], []
    for top, left in product(_starts(height, patch, stride), _starts(width, patch, stride)):
        cover = (slice(top, top + patch), slice(left, left + patch))
        variant = item.copy()
        variant[(..., *cover, slice(None))] = colour
        covers.append(cover)
        variants.append(variant)
    return _mean_drop(scores, item, variants, covers, (height, width), batch_size)


def _mean_colour(item: np.ndarray) -> np.ndarray:
    return item.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)


def interrupted(clip: np.ndarray, start: int, end: int, how: Interruption = "frozen") -> np.ndarray:
    """Take a stretch of time out of a clip.

    Parameters
    ----------
    clip : ndarray, shape (time, height, width, 3)
        Not changed.
    start, end : int
        First frame of the stretch, and the one after its last.
    how : {"frozen", "dropped"}
        The frame before the stretch is held (the one after it, at the clip's beginning), so that
        nothing moves; or the frames are cut out, so that the clip is shorter.

    Raises
    ------
    ValueError
        If the stretch is empty, leaves the clip, or is the whole of it.

    Examples
    --------
    >>> clip = np.arange(5).reshape(5, 1, 1, 1)
    >>> interrupted(clip, 1, 3).ravel().tolist()
    [0, 0, 0, 3, 4]
    >>> interrupted(clip, 0, 2).ravel().tolist()
    [2, 2, 2, 3, 4]
    >>> interrupted(clip, 1, 3, "dropped").ravel().tolist()
    [0, 3, 4]
    """
    arguments.one_of(INTERRUPTIONS, how=how)
    if not 0 <= start < end <= len(clip) or end - start == len(clip):
        raise ValueError(
            f"The stretch from frame {start} to {end} is not a part of a clip of {len(clip)}."
        )
    if how == "dropped":
        return np.concatenate([clip[:start], clip[end:]])
    held = clip.copy()
    held[start:end] = clip[start - 1] if start else clip[end]
    return held


def occlude_time(
    scores: Score,
    clip: np.ndarray,
    window: int = 3,
    how: Interruption = "frozen",
    batch_size: int = 16,
) -> np.ndarray:
    """How far a score falls when a stretch of time is frozen or dropped.

    Parameters
    ----------
    scores : callable
        From a list of clips to their scores, such as `Target.scores`.
    clip : uint8 (time, height, width, 3)
        More frames than the window.
    window : int
        Frames of a stretch; it is moved by one frame at a time.
    how : {"frozen", "dropped"}
        See `interrupted`.
    batch_size : int
        Variants that are scored at once.

    Returns
    -------
    ndarray of float32, shape (time,)
        Positive where the interruption costs score; a frame has the mean over all stretches that
        hold it.

    Raises
    ------
    ValueError
        If the window is not positive, or not shorter than the clip.

    Examples
    --------
    The score is the largest step from frame to frame, and that is the one to the fourth frame:

    >>> clip = np.array([0, 0, 0, 90, 90, 90], np.uint8).reshape(6, 1, 1, 1).repeat(3, axis=3)
    >>> largest = lambda clips: np.array([np.diff(c[:, 0, 0, 0].astype(int)).max() for c in clips])
    >>> occlude_time(largest, clip, window=1, how="dropped").tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    arguments.at_least(1, window=window, batch_size=batch_size)
    spans = [(start, start + window) for start in range(len(clip) - window + 1)]
    variants = [interrupted(clip, *span, how) for span in spans]
    covers = [(slice(*span),) for span in spans]
    return _mean_drop(scores, clip, variants, covers, (len(clip),), batch_size)


def occlude_tubes(
    scores: Score, clip: np.ndarray, patch: int = 16, window: int = 4, batch_size: int = 16
) -> np.ndarray:
    """How far a score falls when a square is frozen for a stretch of time: a tube.

    Parameters
    ----------
    scores : callable
        From a list of clips to their scores, such as `Target.scores`.
    clip : uint8 (time, height, width, 3)
        More frames than the window.
    patch : int
        Side of the square in pixels.
    window : int
        Frames of the stretch. Within it the square shows what it showed before (at the clip's
        beginning, what it shows after), so that nothing moves there.
    batch_size : int
        Variants that are scored at once.

    Returns
    -------
    ndarray of float32, shape (time, height, width)
        Positive where the interruption costs score.

    Raises
    ------
    ValueError
        If a number is not positive, the square is larger than the frames, or the window is not
        shorter than the clip.
    """
    arguments.at_least(1, patch=patch, window=window, batch_size=batch_size)
    length, height, width = clip.shape[:3]
    if patch > min(height, width):
        raise ValueError(f"A square of {patch} pixels does not fit into {height} x {width}.")
    corners = product(_starts(height, patch, patch), _starts(width, patch, patch))
    squares = [(slice(top, top + patch), slice(left, left + patch)) for top, left in corners]
    variants, covers = [], []
    for start in _starts(length, window, window):
        frozen = interrupted(clip, start, start + window)
        for square in squares:
            variant = clip.copy()
            variant[:, *square] = frozen[:, *square]
            variants.append(variant)
            covers.append((slice(start, start + window), *square))
    return _mean_drop(scores, clip, variants, covers, (length, height, width), batch_size)


def occlude_sound(
    scores: Score,
    samples: np.ndarray,
    spans: int = 8,
    bands: Sequence[float] = (0, 250, 500, 1000, 2000, 4000, 8000),
    rate: int = 16_000,
    batch_size: int = 16,
) -> np.ndarray:
    """How far a score falls when a region of a spectrogram is silenced.

    Parameters
    ----------
    scores : callable
        From a list of sounds to their scores, such as `Target.scores` of an audio encoder.
    samples : ndarray of float, shape (samples,)
        One channel.
    spans : int
        Equal stretches that the sound is cut into.
    bands : sequence of float
        Limits of the bands in hertz, ascending.
    rate : int
        Samples a second.
    batch_size : int
        Variants that are scored at once.

    Returns
    -------
    ndarray of float32, shape (bands, spans)
        Positive where silence costs score; the lowest band first.

    Raises
    ------
    ValueError
        If there is no band or no span, or the sound has fewer samples than spans.

    Examples
    --------
    A low tone, then a high one; the score is the energy of what changes quickly:

    >>> times = np.arange(1600) / 16_000
    >>> tones = np.concatenate([np.sin(2 * np.pi * f * times) for f in (400, 3000)])
    >>> energy = lambda sounds: np.array([np.mean(np.diff(s) ** 2) for s in sounds])
    >>> occlude_sound(energy, tones, spans=2, bands=(0, 1000, 8000)).argmax()  # high and late
    np.int64(3)
    """
    arguments.at_least(1, spans=spans, batch_size=batch_size)
    if len(bands) < 2 or any(a >= b for a, b in pairwise(bands)):
        raise ValueError(f"The limits of the bands must ascend, and be two or more, not {bands}.")
    if len(samples) < spans:
        raise ValueError(f"A sound of {len(samples)} samples has no {spans} stretches.")
    edges = np.linspace(0, len(samples), spans + 1).astype(int)
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    spectrum = np.fft.rfft(samples)
    variants, covers = [], []
    for band, (low, high) in enumerate(pairwise(bands)):
        inside = (frequencies >= low) & (frequencies < high)
        component = np.fft.irfft(np.where(inside, spectrum, 0), n=len(samples))
        for span in range(spans):
            variant = samples.copy()
            region = slice(edges[span], edges[span + 1])
            variant[region] -= component[region].astype(samples.dtype)
            variants.append(variant)
            covers.append((slice(band, band + 1), slice(span, span + 1)))
    return _mean_drop(scores, samples, variants, covers, (len(bands) - 1, spans), batch_size)
