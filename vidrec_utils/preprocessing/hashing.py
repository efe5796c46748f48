"""Fingerprints of clips: hashes of what a viewer sees, which survive re-encoding."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from typing import TypeVar

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from tqdm import tqdm

from vidrec_utils import settings, video_io
from vidrec_utils.datasets import VideoLibrary

SIDE = 32
"""Height and width of the grey images that are hashed, in pixels."""
HASH_SIDE = 8
"""The hash keeps the lowest 8 x 8 frequencies: 64 bits."""
FINEST_STEP_S = 1 / 16
SHORT_S = 4.0
"""Length up to which a clip is sampled at the finest step; longer ones at twice that step."""
MAX_FRAMES = 512
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TALL_BYTES = 2**24
"""Size of the frames that are shrunk at once, in bytes."""


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """Hash grey images by the signs of their lowest frequencies.

    The two-dimensional cosine transform of an image is cut to its 8 x 8 lowest frequencies, and
    each becomes one bit: above the median or not (the constant term is left out of the median).
    After C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    Brightness and contrast drop out, and re-encoding moves few low frequencies across the median.

    Parameters
    ----------
    images : ndarray
        Grey levels, shape (n, height, width), at least 8 x 8.

    Returns
    -------
    ndarray of uint64
        Shape (n,); compare two hashes with `hamming`.

    Raises
    ------
    ValueError
        If the images are smaller than 8 x 8 or not grey.

    Examples
    --------
    >>> grey = 100 * np.random.default_rng(0).random((1, 32, 32))  # one image
    >>> brighter = 2 * grey + 20
    >>> int(hamming(perceptual_hash(grey), perceptual_hash(brighter))[0])
    0
    >>> bool(hamming(perceptual_hash(grey), perceptual_hash(grey[:, :, ::-1]))[0] > 10)
    True
    """
    images = np.asarray(images, dtype=np.float32)
    if images.ndim != 3 or min(images.shape[1:]) < HASH_SIDE:
        raise ValueError(
            f"Images of shape {images.shape} cannot be hashed; give grey ones, "
            f"(n, height, width), of at least {HASH_SIDE} x {HASH_SIDE} pixels."
        )
    waves = dctn(images, axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE]
    waves = waves.reshape(len(images), HASH_SIDE * HASH_SIDE)
    bits = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Count the bits in which hashes differ, 0 to 64, elementwise.

    Parameters
    ----------
    a, b : ndarray of uint64
        Hashes; their shapes are broadcast.

    Returns
    -------
    ndarray of uint8
        Number of differing bits.

    Examples
    --------
    >>> hamming(np.array([0b1100, 7], dtype=np.uint64), np.array([0b1010, 7], dtype=np.uint64))
    array([2, 0], dtype=uint8)
    """
    return np.bitwise_count(np.bitwise_xor(a, b))


@dataclass(frozen=True)
class Fingerprint:
    """Small grey images of one clip and their hashes.

    Attributes
    ----------
    duration_s : float
        Length of the clip in seconds.
    step_s : float
        Seconds between two of the sampled frames.
    images : ndarray of uint8
        Grey images, shape (n, 32, 32): frame k is on display at `(k + 1/2) * step_s`.
    hashes : ndarray of uint64
        Their perceptual hashes, shape (n,).

    Examples
    --------
    >>> frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    >>> clip = Fingerprint.of_frames(frames, duration_s=0.25)
    >>> bool((clip.reversed().hashes == clip.hashes[::-1]).all())
    True
    >>> bool((clip.mirrored().images[0, :, 0] == clip.images[0, :, -1]).all())
    True
    """

    duration_s: float
    step_s: float
    images: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of_frames(cls, frames: np.ndarray, duration_s: float) -> Fingerprint:
        """Make a fingerprint from evenly spaced frames (n, h, w, 3) or (n, h, w)."""
        images = shrink(frames)
        return cls(duration_s, duration_s / len(frames), images, perceptual_hash(images))

    def reversed(self) -> Fingerprint:
        """Return the fingerprint of the clip played backwards: the same hashes in reverse order."""
        return replace(self, images=self.images[::-1], hashes=self.hashes[::-1])

    def mirrored(self) -> Fingerprint:
        """Return the fingerprint of the clip flipped from left to right."""
        images = self.images[:, :, ::-1]
        return replace(self, images=images, hashes=perceptual_hash(images))


def grid(duration_s: float, max_frames: int = MAX_FRAMES) -> int:
    """Return the number of evenly spaced frames to sample: one each 1/16 s, of long clips 1/8 s.

    Clips are thus compared at equal times, so that a trimmed copy can be shifted into place. The
    step of a clip of more than `max_frames / 8` seconds is doubled until its frames are no more
    than `max_frames`.
    """
    step_s = FINEST_STEP_S if duration_s <= SHORT_S else 2 * FINEST_STEP_S
    while round(duration_s / step_s) > max_frames:
        step_s *= 2
    return max(1, round(duration_s / step_s))


def shrink(frames: np.ndarray) -> np.ndarray:
    """Make grey images of 32 x 32 from frames, each pixel the mean of the area it covers.

    Parameters
    ----------
    frames : ndarray
        (n, height, width, 3) RGB or (n, height, width) grey.

    Returns
    -------
    ndarray of uint8
        (n, 32, 32).

    Examples
    --------
    >>> frames = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    >>> frames[0, 0, :2] = 200  # two of the four pixels that become one
    >>> shrink(frames).shape, int(shrink(frames)[0, 0, 0])
    ((1, 32, 32), 100)
    """
    frames = np.ascontiguousarray(frames, dtype=np.uint8)
    if not len(frames):
        raise ValueError("There are no frames to shrink; give at least one.")
    width = frames.shape[2]
    chunk = max(1, _TALL_BYTES // frames[0].nbytes)
    small = []
    for start in range(0, len(frames), chunk):
        # Stacked to one tall image: the areas of pixels end where a frame ends.
        chunk_frames = frames[start : start + chunk]
        tall = Image.fromarray(chunk_frames.reshape(-1, width, *chunk_frames.shape[3:])).convert(
            "L"
        )
        # In two steps: Pillow's order of rows and columns, and its rounding, depend on shape.
        tall = tall.resize((SIDE, tall.height), Image.Resampling.BOX)
        tall = tall.resize((SIDE, SIDE * len(chunk_frames)), Image.Resampling.BOX)
        small.append(np.asarray(tall).reshape(-1, SIDE, SIDE))
    return np.concatenate(small)


def fingerprint(
    path: str | PathLike[str],
    max_frames: int = MAX_FRAMES,
    *,
    budget: video_io.Budget | None = None,
) -> Fingerprint:
    """Sample frames of a file and make its fingerprint.

    Parameters
    ----------
    path : path
        A video file.
    max_frames : int
        Largest number of frames that are decoded and kept, see `grid`.
    budget : video_io.Budget, optional
        What reading the file may cost.

    Raises
    ------
    vidrec_utils.video_io.VideoError
        If the file cannot be read.
    """
    duration_s = video_io.probe(path, budget=budget).duration_s
    frames = video_io.sample_frames(
        path, grid(duration_s, max_frames), size=(2 * SIDE, 2 * SIDE), budget=budget
    )
    return Fingerprint.of_frames(frames, duration_s)


def fingerprints(
    library: VideoLibrary,
    *,
    exclude: Iterable[str] = (),
    max_frames: int = MAX_FRAMES,
    progress: bool = True,
    budget: video_io.Budget | None = None,
) -> tuple[dict[str, Fingerprint], pd.DataFrame]:
    """Make the fingerprints of all clips of a library, on all cores.

    Parameters
    ----------
    library : VideoLibrary
        Videos without a path are skipped.
    exclude : iterable of str
        Videos to skip, such as black ones, which would all look alike.
    max_frames : int
        See `fingerprint`.
    progress : bool
        Show a progress bar.
    budget : video_io.Budget, optional
        What reading one file may cost.

    Returns
    -------
    fingerprints : dict
        Video id to `Fingerprint`: about 1 kB a frame, 33 kB for 2 s and 82 kB for 10 s of video.
    failures : DataFrame
        Columns `video_id`, `reason`: files that cannot be read cost a row, not the run.
    """
    skip = set(exclude)
    ids = [v for v in library.videos.index[library.videos["path"].notna()] if v not in skip]

    def look(video_id: str) -> Fingerprint | str:
        try:
            return fingerprint(library.file(video_id), max_frames, budget=budget)
        except video_io.VideoError as error:
            return error.reason
        except Exception as error:  # whatever it is, it is this file's and costs one row
            return str(error) or type(error).__name__

    results = dict(zip(ids, in_parallel(look, ids, "fingerprints", progress), strict=True))
    good = {v: result for v, result in results.items() if isinstance(result, Fingerprint)}
    bad = [(v, result) for v, result in results.items() if isinstance(result, str)]
    return good, pd.DataFrame(bad, columns=["video_id", "reason"], dtype="str")


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    label: str,
    progress: bool = True,
) -> list[_Result]:
    """Apply a function to all items on `settings.threads()` threads, in order, with a bar.

    Decoding and most of NumPy run outside Python's lock, so threads use all cores here.
    """
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    with ThreadPoolExecutor(settings.threads()) as pool:
        bar = tqdm(pool.map(function, items), total=len(items), desc=label, disable=not progress)
        return list(bar)
