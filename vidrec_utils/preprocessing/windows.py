"""Windows of images: what is left of a clip that was cropped, or that carries a caption.

A cropped copy shows a window of its original. A copy with a caption shows its original in all
rows but those of the caption. Both are looked for alike: each of the two clips is cut to many
windows, whose hashes are compared with those of the other clip, in all rows, in the upper two
thirds and in the lower two thirds. The best window is then moved until its pixels fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.fft import dct

from vidrec_utils.preprocessing.hashing import (
    HASH_SIDE,
    SIDE,
    Fingerprint,
    hamming,
    perceptual_hash,
)
from vidrec_utils.preprocessing.matching import (
    MAX_HAMMING,
    MAX_SHIFT_S,
    MAX_TRIM,
    MIN_MOTION,
    STATIC_MOTION,
    best_overlap,
    correlation,
    motion_of,
    motion_size,
    required_motion,
    same_step,
)

CUTS = (0.0, 0.05, 0.1)
"""Shares of the height or width that a window lacks at one edge."""
FINE_CUTS = (0.0, 0.025, 0.05, 0.075, 0.1)
"""The same, where two clips are compared closely."""
BANDS = (slice(0, SIDE), slice(0, 22), slice(SIDE - 22, SIDE))
"""Rows that are compared: all, the upper two thirds, the lower two thirds."""
MAX_CUT = 0.14
"""Largest share that alignment cuts at one edge."""
WINDOW_HAMMING = 12.0
"""Mean distance of hashes up to which a window of one clip may be the other clip."""
MIN_CHANGE = 0.66
"""Correlation of changes from one frame to the next from which a clip may be a copy."""
MUCH_CHANGE = 0.85
"""The same where very much changes, of which encoders leave more."""
ENOUGH_CHANGE = 1.0
"""Grey levels (root mean square) of change from which another take is known by its timing."""
LEAST_CORRELATION = 0.6
"""Correlation of what moves from which a clip may be an edited copy, where little moves."""
SLACK = 6.0
"""Bits of 64 by which the hashes of edited copies may differ beyond those of other copies."""
_PROBES = 4
_ALIGNMENT_FRAMES = 12
_ROUNDS = 5
_FITS = 2
_STRIDE_S = 0.25
_HOPELESS = 0.25
"""Correlation of motion before alignment from which alignment is worth its time."""


class EditedMatch(NamedTuple):
    """How well two clips match, of which one may be an edited copy of the other.

    Attributes
    ----------
    distance : float
        Mean Hamming distance of the frames that overlap, 0 to 64.
    motion : float
        Correlation of motion, -1 to 1.
    size : float
        Motion in grey levels (root mean square), of the clip that moves less.
    change : float
        Correlation of the changes of motion from one frame to the next, -1 to 1.
    change_size : float
        These changes in grey levels (root mean square), of the clip that changes less.
    """

    distance: float = 64.0
    motion: float = 0.0
    size: float = 0.0
    change: float = 0.0
    change_size: float = 0.0


@dataclass(frozen=True)
class Window:
    """A part of an image, as the shares that are cut at its four edges.

    Attributes
    ----------
    top, bottom, left, right : float
        Shares of the height and of the width, 0 to `MAX_CUT`.
    """

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def cut(self, images: np.ndarray, rows: slice = BANDS[0]) -> np.ndarray:
        """Cut images to the window, scale them to 32 x 32 and keep some of the rows.

        Parameters
        ----------
        images : ndarray
            Grey images, shape (n, 32, 32).
        rows : slice
            The rows of the scaled images that are kept.

        Returns
        -------
        ndarray of float32
            Shape (n, number of rows, 32).
        """
        vertical = interpolation(self.top, 1 - self.bottom)[rows]  # (rows, 32)
        horizontal = interpolation(self.left, 1 - self.right)  # (32, 32)
        return vertical @ np.asarray(images, dtype=np.float32) @ horizontal.T


def interpolation(first: float, last: float) -> np.ndarray:
    """Return the weights with which 32 pixels are scaled from a part of an axis.

    Parameters
    ----------
    first, last : float
        The part's ends, as shares of the axis.

    Returns
    -------
    ndarray of float32
        Shape (32, 32): row i has the weights of pixel i, linear between the two nearest pixels.
    """
    centers = SIDE * (first + (last - first) * (np.arange(SIDE) + 0.5) / SIDE) - 0.5
    centers = centers.clip(0, SIDE - 1)
    low = np.minimum(centers.astype(int), SIDE - 2)
    weights = np.zeros((SIDE, SIDE), dtype=np.float32)
    weights[np.arange(SIDE), low] = 1 - (centers - low)
    weights[np.arange(SIDE), low + 1] = centers - low
    return weights


@cache
def windows(cuts: tuple[float, ...] = CUTS) -> list[Window]:
    """List the windows that lack one of these shares at each edge; the first is the whole image."""
    return [Window(*edges) for edges in product(cuts, repeat=4)]


@cache
def _waves(cuts: tuple[float, ...]) -> np.ndarray:
    """Lowest 8 frequencies of each part of one axis, shape (parts x 8, 32)."""
    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:HASH_SIDE]  # (8, 32)
    frequencies = [
        basis @ interpolation(first, 1 - last) for first, last in product(cuts, repeat=2)
    ]
    return np.concatenate(frequencies).astype(np.float32)


def window_hashes(images: np.ndarray, cuts: tuple[float, ...] = CUTS) -> np.ndarray:
    """Hash all windows of images.

    Cutting, scaling and the cosine transform are linear along each axis, so that one product of
    matrices gives the low frequencies of all windows at once.

    Parameters
    ----------
    images : ndarray
        Grey images, shape (n, 32, 32).
    cuts : tuple of float
        Shares that a window may lack at one edge.

    Returns
    -------
    ndarray of uint64
        Shape (n, number of windows), in the order of `windows(cuts)`: 81 by default.

    Examples
    --------
    >>> coarse = np.random.default_rng(0).integers(0, 256, (1, 10, 10), dtype=np.uint8)
    >>> image = coarse.repeat(32, axis=1).repeat(32, axis=2)
    >>> whole = Fingerprint.of_frames(image, duration_s=1)
    >>> part = Fingerprint.of_frames(image[:, 32:], duration_s=1)  # a tenth is cut at the top
    >>> bits = hamming(window_hashes(whole.images)[0], part.hashes[0])
    >>> windows()[int(bits.argmin())]
    Window(top=0.1, bottom=0.0, left=0.0, right=0.0)
    """
    images = np.asarray(images, dtype=np.float32)
    waves = _waves(cuts) @ images @ _waves(cuts).T  # (n, parts x 8, parts x 8)
    n = len(cuts) ** 2
    waves = waves.reshape(len(images), n, HASH_SIDE, n, HASH_SIDE).transpose(0, 1, 3, 2, 4)
    waves = waves.reshape(len(images), n * n, HASH_SIDE * HASH_SIDE)
    bits = waves > np.median(waves[..., 1:], axis=-1, keepdims=True)
    bits[..., 0] = False
    return np.packbits(bits, axis=-1).view(np.uint64)[..., 0]


def band_hashes(images: np.ndarray, rows: slice) -> np.ndarray:
    """Hash some rows of images (n, 32, 32); shape (n,)."""
    return perceptual_hash(np.asarray(images[:, rows], dtype=np.float32))


def align(
    a: np.ndarray, b: np.ndarray, start: Window, rows: slice = BANDS[0]
) -> tuple[Window, float]:
    """Move the edges of a window of one clip until it fits the other clip, and its time, too.

    Gauss-Newton: pixels change about linearly with small moves of the four edges and of time, so
    the best move solves a linear least-squares problem; brightness and contrast are free. After
    B. Lucas and T. Kanade, An Iterative Image Registration Technique, IJCAI 1981.

    Parameters
    ----------
    a, b : ndarray
        Grey images at equal times, shape (n, 32, 32) each; `a` shows a window of `b`.
    start : Window
        The window to begin with.
    rows : slice
        Rows of `a` that are compared.

    Returns
    -------
    window : Window
        The window of `b` that fits `a` best.
    delay : float
        Frames, -0.75 to 0.75, by which `b` has to be read later.
    """
    keep = np.unique(np.linspace(0, len(a) - 1, _ALIGNMENT_FRAMES).round().astype(int))
    target = np.asarray(a[keep, rows], dtype=np.float32)
    target = target - target.mean()
    around = [b[(keep + k).clip(0, len(b) - 1)].astype(np.float32) for k in (-1, 0, 1)]
    edges, delay = np.array([start.top, start.bottom, start.left, start.right]), 0.0
    best: tuple[float, np.ndarray, float] = (np.inf, edges, delay)
    for _ in range(_ROUNDS + 1):
        images = _at(around, delay)
        fitted = Window(*edges).cut(images, rows)
        fitted -= fitted.mean()
        gain = float((fitted * target).sum() / max((fitted * fitted).sum(), 1e-6))
        rest = target - gain * fitted
        best = min(best, (float((rest * rest).mean()), edges, delay), key=lambda fit: fit[0])
        slopes = [gain * slope.ravel() for slope in _slopes(around, images, edges, delay, rows)]
        slopes += [fitted.ravel(), np.ones(fitted.size, dtype=np.float32)]
        matrix = np.stack(slopes)  # (7, pixels)
        square = matrix @ matrix.T
        square[np.diag_indices(len(square))] *= 1.001
        square[np.diag_indices(len(square))] += 1e-6
        move = np.linalg.solve(square, matrix @ rest.ravel())
        edges = (edges + move[:4].clip(-0.03, 0.03)).clip(0, MAX_CUT)
        delay = float(np.clip(delay + np.clip(move[4], -0.3, 0.3), -0.75, 0.75))
    _, edges, delay = best
    return Window(*edges), delay


def _at(around: list[np.ndarray], delay: float) -> np.ndarray:
    """Images at a time between those before, at and after the grid, linear in time."""
    before, now, after = around
    other = after if delay > 0 else before
    return now + np.float32(abs(delay)) * (other - now)


def _slopes(
    around: list[np.ndarray], images: np.ndarray, edges: np.ndarray, delay: float, rows: slice
) -> Iterator[np.ndarray]:
    """How pixels change with each of the four edges, and with time."""
    step = 0.01
    for k in range(4):
        move = step * (np.arange(4) == k)
        further = Window(*(edges + move)).cut(images, rows)
        yield (further - Window(*(edges - move)).cut(images, rows)) / (2 * step)
    before, _, after = around
    yield Window(*edges).cut((after - before) / 2, rows)


def delayed(images: np.ndarray, delay: float) -> np.ndarray:
    """Read images later by a part of a frame, linear in time; the ends repeat."""
    images = np.asarray(images, dtype=np.float32)
    frames = np.arange(len(images))
    around = [images[(frames + k).clip(0, len(images) - 1)] for k in (-1, 0, 1)]
    return _at(around, delay)


def edited_pairs(
    prints: Mapping[str, Fingerprint], max_hamming: float = WINDOW_HAMMING
) -> list[tuple[str, str]]:
    """Find pairs of clips of which one may be cropped, captioned or trimmed.

    For each pair of similar length, the windows and bands of four frames of each clip are compared
    with the frames that the other clip shows at these times, at every shift, in steps of a quarter
    of a second, that a trimmed copy may have. The cost grows with the square of the number of
    clips: a thousand clips of ten seconds have 500,000 pairs, with 10 shifts each.

    Parameters
    ----------
    prints : mapping
        Video id to fingerprint.
    max_hamming : float
        Largest mean distance of four hashes, in bits of 64.

    Returns
    -------
    list of (str, str)
        Pairs in the order of the mapping.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8), dtype=np.uint8)
    >>> first, other = noise.repeat(16, axis=2).repeat(16, axis=3)  # (4, 128, 128) each
    >>> cropped = first[:, 6:-6, 6:-6]
    >>> clips = {"v1": first, "v2": other, "v3": cropped}
    >>> edited_pairs({v: Fingerprint.of_frames(f, duration_s=0.25) for v, f in clips.items()})
    [('v1', 'v3')]
    """
    ids = sorted(prints, key=lambda v: prints[v].duration_s)
    rank = {v: k for k, v in enumerate(prints)}
    durations = np.array([prints[v].duration_s for v in ids])
    probes = [_probe_hashes(prints[v]) for v in ids]
    codes = np.stack(probes) if probes else np.empty((0, _PROBES, 0))  # (n, 4, 83)
    pairs = []
    first = np.searchsorted(durations, durations * (1 - MAX_TRIM) - MAX_SHIFT_S, "left")
    for k, video_id in enumerate(ids):
        if first[k] < k:
            shorter = slice(first[k], k)
            bits = _window_bits(codes[shorter], durations[shorter], prints[video_id])
            pairs += [(ids[i + first[k]], video_id) for i in np.flatnonzero(bits <= max_hamming)]
    return sorted(
        (tuple(sorted(pair, key=rank.__getitem__)) for pair in pairs),
        key=lambda p: (rank[p[0]], rank[p[1]]),
    )


def _probe_hashes(clip: Fingerprint) -> np.ndarray:
    """Hashes of the windows and bands of four frames, shape (4, 83)."""
    return _all_hashes(clip.images[_probes(len(clip.images))])


def _all_hashes(images: np.ndarray) -> np.ndarray:
    """Hashes of all windows, then of the bands, shape (n, 83)."""
    bands = [band_hashes(images, rows) for rows in BANDS[1:]]
    return np.column_stack([window_hashes(images), *bands])


def _window_bits(codes: np.ndarray, durations: np.ndarray, longer: Fingerprint) -> np.ndarray:
    """Smallest distance of shorter clips from a longer one, at any window, band and shift.

    Parameters
    ----------
    codes : ndarray
        Hashes of four frames of each shorter clip, shape (m, 4, 83).
    durations : ndarray
        Seconds of each shorter clip, shape (m,).
    longer : Fingerprint
        The longer clip.

    Returns
    -------
    ndarray
        Shape (m,).
    """
    frames = _all_hashes(longer.images)  # (n, 83)
    times = (np.arange(_PROBES) + 0.5) / _PROBES * durations[:, None]  # (m, 4) seconds
    bits = np.full(len(codes), 64.0)
    stride = max(_STRIDE_S, longer.step_s)
    for shift in np.arange(0, longer.duration_s - durations.min() + stride, stride):
        at = ((times + shift) / longer.step_s).astype(int).clip(0, len(frames) - 1)
        other = frames[at]  # (m, 4, 83)
        for x, y in ((codes, other), (other, codes)):
            windows = hamming(x[..., : -len(BANDS) + 1], y[..., :1]).mean(axis=1)  # (m, 81)
            bits = np.minimum(bits, windows.min(axis=1))
        bands = hamming(codes[..., -len(BANDS) + 1 :], other[..., -len(BANDS) + 1 :]).mean(axis=1)
        bits = np.minimum(bits, bands.min(axis=1))
    return bits


def compare_edited(
    a: Fingerprint,
    b: Fingerprint,
    max_shift_s: float = MAX_SHIFT_S,
    max_hamming: float = MAX_HAMMING,
    min_motion: float = MIN_MOTION,
) -> EditedMatch:
    """Compare two clips of which one may be cropped, captioned or trimmed.

    Parameters
    ----------
    a, b : Fingerprint
        The clips, in any order.
    max_shift_s : float
        Largest shift in time beyond what was trimmed, in seconds.
    max_hamming, min_motion : float
        Limits of `is_edited_copy`, from which no better window is looked for.

    Returns
    -------
    EditedMatch
        At the window or band and the shift in time where motion correlates best.
    """
    a, b = same_step(a, b)
    starts = []
    for x, y in ((a, b), (b, a)):
        probes = y.images[_probes(len(y.images))]
        bits = _closest(x, y, x.hashes[:, None], window_hashes(probes, FINE_CUTS))
        starts.append((float(bits.min()), x, y, windows(FINE_CUTS)[int(bits.argmin())], BANDS[0]))
    for rows in BANDS[1:]:
        plain, other = band_hashes(a.images, rows), band_hashes(b.images, rows)
        bits = _closest(a, b, plain[:, None], other[_probes(len(other)), None])
        starts.append((float(bits.min()), a, b, Window(), rows))
    starts.sort(key=lambda start: start[0])
    best = EditedMatch()
    for bits, x, y, start, rows in starts[:_FITS]:
        if bits <= WINDOW_HAMMING:
            match = _fit(x, y, start, rows, max_shift_s)
            best = max(best, match, key=lambda match: match.motion)
        if is_edited_copy(best, max_hamming, min_motion):
            break
    return best


def is_edited_copy(
    match: EditedMatch, max_hamming: float = MAX_HAMMING, min_motion: float = MIN_MOTION
) -> bool:
    """Decide whether a clip is an edited copy, from what `compare_edited` returned.

    A clip has many windows, and the best one counts, so that looks say little: they may differ
    by `SLACK` more bits than those of other copies. What decides is that the same moves at the
    same time. Two takes in which one person raises the same arm have the same motion but for its
    timing, so that the changes of motion have to correlate, too. Clips in which nothing moves are
    never called edited copies.
    """
    looks_alike = match.distance <= max_hamming + SLACK
    motion = max(LEAST_CORRELATION, required_motion(match.size, min_motion))
    change = required_change(match.change_size)
    moves = match.size >= STATIC_MOTION
    return moves and looks_alike and match.motion >= motion and match.change >= change


def is_another_take(match: EditedMatch) -> bool:
    """Tell whether the same moves at other times, from what `compare_edited` returned.

    Two takes of one gesture by one person may look alike and have motion in the same places, the
    more so after one of them is trimmed. What changes from frame to frame tells them apart, where
    enough changes.
    """
    return match.change_size >= ENOUGH_CHANGE and match.change < required_change(match.change_size)


def required_change(size: float) -> float:
    """Scale the smallest correlation of changes by what editing and encoding leave of it.

    Changes from frame to frame are smaller than motion, and a copy with half of the frames has
    other ones: by what was seen in real clips, the loss is about 1.4 grey levels.
    """
    return max(required_motion(size, MIN_CHANGE), MUCH_CHANGE * size**2 / (size**2 + 2.0))


def _fit(
    x: Fingerprint, y: Fingerprint, start: Window, rows: slice, max_shift_s: float
) -> EditedMatch:
    """Align a window of `y` with `x`, in space and time, and compare them."""
    target = np.asarray(x.images[:, rows], dtype=np.float32)
    cut = start.cut(y.images, rows)
    overlap = best_overlap(
        replace(x, hashes=perceptual_hash(target)),
        replace(y, hashes=perceptual_hash(cut)),
        motion_of(target),
        motion_of(cut),
        max_shift_s,
    )
    if overlap is None or overlap[1] < _HOPELESS:
        return EditedMatch()
    _, _, mine, yours = overlap
    fitted, delay = align(x.images[mine], y.images[yours], start, rows)
    target = target[mine]
    cut = fitted.cut(delayed(y.images[yours], delay), rows)
    distance = float(hamming(perceptual_hash(target), perceptual_hash(cut)).mean())
    moving, other = motion_of(target), motion_of(cut)
    size = min(motion_size(moving), motion_size(other))
    changing, changed = _changes(moving), _changes(other)
    change_size = min(motion_size(changing), motion_size(changed))
    change = correlation(changing, changed)
    return EditedMatch(distance, correlation(moving, other), size, change, change_size)


def _changes(moving: np.ndarray) -> np.ndarray:
    """Changes of motion (n, height, width) from frame to frame, after smoothing it in time.

    Smoothing with weights 1/4, 1/2, 1/4 makes up for frames that were sampled at other times.
    """
    before = np.concatenate([moving[:1], moving[:-1]])
    after = np.concatenate([moving[1:], moving[-1:]])
    return np.diff((before + 2 * moving + after) / 4, axis=0)


def _probes(n: int) -> np.ndarray:
    """Indices of four frames at equal fractions of n."""
    return ((np.arange(_PROBES) + 0.5) / _PROBES * n).astype(int)


def _closest(x: Fingerprint, y: Fingerprint, frames: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Mean distance of the windows of four probes of `y` from `x`, at the best shift in time.

    `frames` are hashes of all frames of `x`, shape (n, 1), `probes` those of `y`, (4, windows).
    """
    times = _probes(len(y.images))
    longer = len(x.images) - len(y.images)
    best = np.full(probes.shape[1], 64.0)
    for shift in range(min(0, longer) - 1, max(0, longer) + 2):
        at = times + shift
        inside = (at >= 0) & (at < len(frames))
        if inside.sum() >= _PROBES / 2:
            best = np.minimum(best, hamming(frames[at[inside]], probes[inside]).mean(axis=0))
    return best
