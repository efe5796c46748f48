"""Comparison of two clips: what they look like, and what moves in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vidrec_utils.preprocessing.hashing import Fingerprint, hamming

MAX_HAMMING = 8.0
"""Mean number of differing bits (of 64) per frame up to which two clips may be one."""
MIN_MOTION = 0.85
"""Correlation of what moves from which two clips may be one, where much moves."""
MAX_SHIFT_S = 0.25
"""Seconds by which a copy may begin earlier or later than its original."""
MAX_TRIM = 0.22
"""Share of a clip that a copy may lack at its start, at its end, or in sum at both."""
STATIC_MOTION = 0.15
"""Grey levels (root mean square) of motion under which a clip counts as static."""
_LOSS = 0.5
"""Grey levels (root mean square) of motion that re-encoding may change."""
_FLOOR = 1.0
"""Grey levels of change that re-encoding alone makes; smaller changes count as none."""


def compare(
    a: Fingerprint, b: Fingerprint, max_shift_s: float = MAX_SHIFT_S
) -> tuple[float, float, float]:
    """Compare two clips frame by frame at the shift in time at which they match best.

    Returns
    -------
    distance : float
        Mean Hamming distance of the frames that overlap, 0 to 64.
    motion : float
        Correlation of motion, -1 to 1.
    size : float
        Motion in grey levels (root mean square over pixels and frames), of the clip that moves
        more; near 0, `motion` has no meaning.
    """
    a, b = same_step(a, b)
    moving, other = motion_of(a.images), motion_of(b.images)
    size = max(motion_size(moving), motion_size(other))
    overlap = best_overlap(a, b, moving, other, max_shift_s)
    if overlap is None:
        return 64.0, 0.0, size
    distance, motion, mine, yours = overlap
    if is_trimmed(a, b):  # what does not move is known from the frames that both have
        motion = max(motion, motion_correlation(a.images[mine], b.images[yours]))
    return distance, motion, size


def bag_distance(a: Fingerprint, b: Fingerprint) -> float:
    """Compare two clips as bags of hashes: what they show counts, and not when.

    Each frame is compared with whichever frame of the other clip is closest. A clip and its
    reversal hold the same frames, so their distance is 0: order is the one thing that a bag loses.

    Parameters
    ----------
    a, b : Fingerprint
        Two clips of any length.

    Returns
    -------
    float
        Mean number of differing bits, 0 to 64, over the frames of both clips.

    Examples
    --------
    >>> frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    >>> clip = Fingerprint.of_frames(frames, duration_s=0.25)
    >>> bag_distance(clip, clip.reversed())
    0.0
    >>> compare(clip, clip.reversed())[0] > 10  # aligned in time they differ
    True
    """
    bits = hamming(a.hashes[:, None], b.hashes[None]).astype(float)  # (frames of a, frames of b)
    return float(np.concatenate([bits.min(axis=1), bits.min(axis=0)]).mean())


def is_trimmed(a: Fingerprint, b: Fingerprint) -> bool:
    """Whether lengths differ so much that one clip can only be a trimmed copy of the other."""
    return abs(a.duration_s - b.duration_s) > MAX_SHIFT_S


def best_overlap(
    a: Fingerprint,
    b: Fingerprint,
    moving: np.ndarray,
    other: np.ndarray,
    max_shift_s: float = MAX_SHIFT_S,
) -> tuple[float, float, slice, slice] | None:
    """Find the shift in time at which two clips of one step match best.

    Parameters
    ----------
    a, b : Fingerprint
        Clips of about the same step, see `same_step`.
    moving, other : ndarray
        What moves in `a` and in `b`, see `motion_of`.
    max_shift_s : float
        Seconds by which one may begin before the other, beyond what was trimmed.

    Returns
    -------
    tuple or None
        The mean Hamming distance, the correlation of motion, and the frames of `a` and of `b`
        that overlap; None where no shift leaves half of the shorter clip.
    """
    n, m = len(a.hashes), len(b.hashes)
    most = max(1, round(max_shift_s / max(a.step_s, b.step_s)))
    first, last = (min(0, n - m), max(0, n - m)) if is_trimmed(a, b) else (0, 0)
    fits = []
    for shift in range(first - most, last + most + 1):
        mine, yours = overlapping(n, m, shift)
        if mine.stop - mine.start < min(n, m) / 2:
            continue
        distance = float(hamming(a.hashes[mine], b.hashes[yours]).mean())
        fits.append((distance, correlation(moving[mine], other[yours]), mine, yours))
    return min(fits, key=lambda fit: fit[0] / 64 - fit[1], default=None)


def same_step(a: Fingerprint, b: Fingerprint) -> tuple[Fingerprint, Fingerprint]:
    """Thin out the clip whose frames are closer in time, until both have about the same step."""
    while a.step_s > 1.5 * b.step_s and len(b.hashes) > 1:
        b = replace(b, step_s=2 * b.step_s, images=b.images[1::2], hashes=b.hashes[1::2])
    while b.step_s > 1.5 * a.step_s and len(a.hashes) > 1:
        a = replace(a, step_s=2 * a.step_s, images=a.images[1::2], hashes=a.hashes[1::2])
    return a, b


def is_copy(
    distance: float,
    motion: float,
    size: float,
    max_hamming: float = MAX_HAMMING,
    min_motion: float = MIN_MOTION,
) -> bool:
    """Decide whether two clips are one, from what `compare` returned.

    Re-encoding changes motion by a fixed amount e, about half a grey level, whatever the clip. A
    motion of size s therefore keeps a correlation of about s^2 / (s^2 + e^2): near 1 for a dancer
    who fills the frame, and far less for a bird in the distance. `min_motion` is scaled by that,
    down to 0.3. Clips in which nothing moves are compared by their looks alone, twice as strictly.
    """
    if size < STATIC_MOTION:
        return distance <= max_hamming / 2
    required = max(0.3, required_motion(size, min_motion))
    return distance <= max_hamming and motion >= required


def required_motion(size: float, min_motion: float) -> float:
    """Scale the smallest correlation of motion by what re-encoding leaves of it."""
    return min_motion * size**2 / (size**2 + _LOSS**2)


def motion_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlate the motion in two clips of equally many frames.

    From each frame the clip's median frame is subtracted, which leaves what moves; then the frame's
    median, which removes flicker; and changes of up to one grey level, which encoders make, are
    set to zero. The rest of both clips is correlated over all pixels and frames.

    Parameters
    ----------
    a, b : ndarray
        Grey images, shape (n, height, width).

    Returns
    -------
    float
        1 for equal motion, about 0 for unrelated motion, 0 where nothing moves.
    """
    return correlation(motion_of(a), motion_of(b))


def motion_of(images: np.ndarray) -> np.ndarray:
    """Return what moves in grey images (n, height, width), see `motion_correlation`."""
    images = images.astype(np.float32)
    moved = images - np.median(images, axis=0)
    moved -= np.median(moved, axis=(1, 2), keepdims=True)
    return np.sign(moved) * np.maximum(np.abs(moved) - _FLOOR, 0)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the correlation of two motions about 0; 0 where nothing moves."""
    size = motion_size(x) * motion_size(y)
    return float((x * y).mean()) / size if size > 0 else 0.0


def motion_size(moved: np.ndarray) -> float:
    """Return the root mean square of a motion, in grey levels."""
    return float(np.sqrt((moved * moved).mean()))


def overlapping(n: int, m: int, shift: int) -> tuple[slice, slice]:
    """Slices of the frames of two clips that overlap when the second is moved by `shift`."""
    start = max(0, shift)
    length = min(n - start, m - max(0, -shift))
    return slice(start, start + length), slice(max(0, -shift), max(0, -shift) + length)
