"""Removal of noise from frames: within one frame (spatial) or across frames (temporal).

Noise is drawn anew in every frame while the scene stays, so averaging over time is better wherever
nothing moves: n frames divide the variance by n and blur nothing. Where something moves, the same
average smears it; a filter that takes motion into account avoids both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_bilateral, denoise_nl_means

from vidrec_utils import arguments
from vidrec_utils.preprocessing.media import noise_level

SpatialMethod = Literal["gaussian", "median", "bilateral", "nl_means"]
TemporalMethod = Literal["mean", "median"]


def add_noise(
    frames: np.ndarray, sigma: float, *, rng: np.random.Generator | int = 0
) -> np.ndarray:
    """Add white Gaussian noise to frames.

    Parameters
    ----------
    frames : ndarray of uint8
        Any shape. Not changed.
    sigma : float
        Standard deviation in grey levels, before clipping to 0..255.
    rng : Generator or int
        Source of the noise, or its seed.

    Returns
    -------
    ndarray of uint8
        Frames of the same shape.

    Examples
    --------
    >>> frames = np.full((2, 40, 40, 3), 128, dtype=np.uint8)
    >>> noisy = add_noise(frames, sigma=10)
    >>> bool(abs(noisy.std() - 10) < 0.5)
    True
    """
    noise = np.random.default_rng(rng).normal(0, sigma, frames.shape)
    return np.rint(frames + noise).clip(0, 255).astype(np.uint8)


def psnr(clean: np.ndarray, frames: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(255^2 / mean squared error).

    Parameters
    ----------
    clean, frames : ndarray of uint8
        Two arrays of equal shape.
    mask : ndarray of bool, optional
        Region to compare, such as the static part; over the leading axes of the frames.

    Returns
    -------
    float
        Infinite for equal frames; 20 looks noisy, 30 good, 40 like the original.

    Raises
    ------
    ValueError
        If shapes differ or the mask is empty.

    Examples
    --------
    >>> clean = np.full((4, 4), 100, dtype=np.uint8)
    >>> round(psnr(clean, clean + 16), 2)  # 20 log10(255 / 16)
    24.05
    """
    if clean.shape != frames.shape:
        raise ValueError(f"Frames of shape {frames.shape} have no match in {clean.shape}.")
    if mask is not None:
        if not mask.any():
            raise ValueError("The mask is empty: there is nothing to compare.")
        clean, frames = clean[mask], frames[mask]
    if np.array_equal(clean, frames):
        return float("inf")
    return float(peak_signal_noise_ratio(clean, frames, data_range=255))


def psnr_by_motion(
    clean: np.ndarray, versions: Mapping[str, np.ndarray], *, radius: int = 2
) -> pd.DataFrame:
    """Measure versions of a clip separately where it is static and where it moves.

    Parameters
    ----------
    clean : ndarray of uint8
        The clip without noise, (t, height, width, 3).
    versions : mapping of str to ndarray
        Versions of the clip by name, of the same shape.
    radius : int
        A pixel counts as static if nothing moves there within so many frames. For a mean over n
        frames this is n // 2: then nothing that moves enters the mean of a static pixel.

    Returns
    -------
    DataFrame
        Indexed by name: `static` and `moving`, the peak signal-to-noise ratios in decibels over
        the two regions that `moving_mask` separates; NaN for a region that the clip does not have.

    Examples
    --------
    >>> clip = np.full((3, 8, 8, 3), 100, dtype=np.uint8)  # nothing moves
    >>> table = psnr_by_motion(clip, {"same": clip, "lighter": clip + 1})
    >>> table["static"].round(1).to_dict()
    {'same': inf, 'lighter': 48.1}
    """
    moving = moving_mask(clean, radius=radius)
    regions = {"static": ~moving, "moving": moving}
    scores = {
        name: {
            region: psnr(clean, frames, mask) if mask.any() else np.nan
            for region, mask in regions.items()
        }
        for name, frames in versions.items()
    }
    return pd.DataFrame.from_dict(scores, orient="index", columns=list(regions), dtype=float)


def moving_mask(frames: np.ndarray, threshold: float = 12.0, radius: int = 2) -> np.ndarray:
    """Mask what moves: pixels that change by more than `threshold` within `radius` frames.

    Parameters
    ----------
    frames : ndarray of uint8
        A clean clip, (t, height, width, 3).
    threshold : float
        Grey levels.
    radius : int
        Neighbouring frames on each side.

    Returns
    -------
    ndarray of bool
        (t, height, width).

    Raises
    ------
    ValueError
        If the radius is below 1.

    Examples
    --------
    >>> clip = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    >>> clip[3:, 2:4, 2:4] = 200  # a square appears
    >>> moving_mask(clip)[2].sum()
    np.int64(4)
    """
    arguments.at_least(1, radius=radius)
    grey = frames.astype(np.float32).mean(axis=-1)
    change = [np.abs(_neighbours(grey, offset) - grey) for offset in _offsets(radius)]
    return np.max(change, axis=0) > threshold


def denoise_spatial(
    frames: np.ndarray, method: SpatialMethod = "bilateral", *, strength: float | None = None
) -> np.ndarray:
    """Denoise each frame on its own.

    Parameters
    ----------
    frames : ndarray of uint8
        (t, height, width, 3). Not changed.
    method : {"gaussian", "median", "bilateral", "nl_means"}
        Blur; the median of a neighbourhood (best against dead pixels); an average of near pixels
        of like colour (Tomasi and Manduchi 1998), which keeps edges; an average of pixels with
        like surroundings (Buades, Coll and Morel 2005), which keeps texture.
    strength : float, optional
        Width of the blur in pixels (gaussian), of the neighbourhood (median), or the noise's
        standard deviation in grey levels (bilateral, nl_means; by default estimated).

    Returns
    -------
    ndarray of uint8
        Frames of the same shape.

    Raises
    ------
    ValueError
        If the method is unknown or the frames are not (t, height, width, 3).

    Examples
    --------
    >>> frames = np.full((1, 9, 9, 3), 100, dtype=np.uint8)
    >>> frames[0, 4, 4] = 255  # a dead pixel
    >>> int(denoise_spatial(frames, "median").max())
    100
    """
    _check_frames(frames)
    if method == "gaussian":
        width = 1.0 if strength is None else strength
        smooth = gaussian_filter(frames.astype(np.float32), (0, width, width, 0))
        return _to_uint8(smooth)
    if method == "median":
        size = 3 if strength is None else max(1, round(strength))
        return median_filter(frames, (1, size, size, 1))
    sigma = _sigma(frames) if strength is None else strength
    unit = frames.astype(np.float32) / 255
    level = max(sigma, 1e-3) / 255
    if method == "bilateral":
        done = [
            denoise_bilateral(
                f, win_size=5, sigma_color=2 * level, sigma_spatial=2, channel_axis=-1
            )
            for f in unit
        ]
    elif method == "nl_means":
        done = [
            denoise_nl_means(
                f,
                patch_size=5,
                patch_distance=5,
                h=0.8 * level,
                sigma=level,
                fast_mode=True,
                channel_axis=-1,
            )
            for f in unit
        ]
    else:
        raise ValueError(
            f"method is {method!r}; choose 'gaussian', 'median', 'bilateral' or 'nl_means'."
        )
    return _to_uint8(np.stack(done) * 255)


def denoise_temporal(
    frames: np.ndarray,
    method: TemporalMethod = "mean",
    *,
    radius: int = 2,
    motion_aware: bool = False,
    sigma: float | None = None,
) -> np.ndarray:
    """Denoise each pixel with its own past and future.

    Parameters
    ----------
    frames : ndarray of uint8
        (t, height, width, 3). Not changed.
    method : {"mean", "median"}
        The mean divides the noise's variance by `2 * radius + 1`; the median smears less.
    radius : int
        Neighbouring frames on each side; the clip's ends repeat its first and last frame.
    motion_aware : bool
        Weigh each neighbour by how little it differs around the pixel (mean only): with d the mean
        squared difference over 5 x 5 pixels, the weight is `exp(-max(0, d - 2 sigma^2) /
        (0.5 sigma^2))`, since noise alone makes `d` about `2 sigma^2`. This is
        the idea of non-local means, restricted to the pixel's own position in other frames.
    sigma : float, optional
        Standard deviation of the noise in grey levels for `motion_aware`; by default estimated.

    Returns
    -------
    ndarray of uint8
        Frames of the same shape.

    Raises
    ------
    ValueError
        If an argument is invalid.

    Examples
    --------
    >>> clip = np.full((9, 16, 16, 3), 128, dtype=np.uint8)  # nothing moves
    >>> noisy = add_noise(clip, sigma=9)
    >>> averaged = denoise_temporal(noisy, radius=4)  # nine frames in the middle of the clip
    >>> bool(abs(averaged[4].std() - 9 / 3) < 0.5)
    True
    """
    _check_frames(frames)
    arguments.one_of(("mean", "median"), method=method)
    arguments.at_least(1, radius=radius)
    if motion_aware and method == "median":
        raise ValueError("motion_aware goes with method='mean'; a median has no weights.")
    video = frames.astype(np.float32)
    if method == "median":
        around = [_neighbours(video, offset) for offset in range(-radius, radius + 1)]
        return _to_uint8(np.median(around, axis=0))
    sigma = max(_sigma(frames) if sigma is None else sigma, 1e-3)
    total, weights = video.copy(), np.ones((*video.shape[:3], 1), dtype=np.float32)
    for offset in _offsets(radius):
        other = _neighbours(video, offset)
        weight = _likeness(video, other, sigma) if motion_aware else np.float32(1.0)
        total += weight * other
        weights += weight
    return _to_uint8(total / weights)


def _likeness(video: np.ndarray, other: np.ndarray, sigma: float) -> np.ndarray:
    """Weight of each pixel of another frame, 0 to 1, shape (t, height, width, 1)."""
    apart = uniform_filter(((video - other) ** 2).mean(axis=-1), size=(1, 5, 5))
    excess = np.maximum(apart - 2 * sigma**2, 0) / (0.5 * sigma**2)
    return np.exp(-excess)[..., None]


def _offsets(radius: int) -> list[int]:
    return [offset for offset in range(-radius, radius + 1) if offset]


def _neighbours(video: np.ndarray, offset: int) -> np.ndarray:
    """Return for each frame the one `offset` later; the first and last frame are repeated."""
    return video[np.clip(np.arange(len(video)) + offset, 0, len(video) - 1)]


def _sigma(frames: np.ndarray) -> float:
    """Noise of one colour channel; that of their mean is smaller by the square root of 3."""
    return noise_level(frames[::2].astype(np.float32)[..., 1])


def _to_uint8(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames).clip(0, 255).astype(np.uint8)


def _check_frames(frames: np.ndarray) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"Frames have shape {frames.shape}; give (t, height, width, 3).")
