"""Where a sprite is, how large and at which angle, in every frame of every motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidrec_utils.minitube.vocabulary import MOTIONS, PACES, REVERSED

_FORWARD = {backward: forward for forward, backward in REVERSED.items()}


@dataclass(frozen=True)
class Track:
    """A sprite's path through a clip.

    Attributes
    ----------
    x, y : numpy.ndarray
        Centre in every frame, as shares of the frame's width and height, shape (frames,).
    size : numpy.ndarray
        Edge as a share of the frame's width, shape (frames,).
    angle : numpy.ndarray
        Degrees, counter-clockwise, shape (frames,).
    """

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    angle: np.ndarray

    def reversed(self) -> Track:
        """Return the same path played backwards."""
        return Track(self.x[::-1], self.y[::-1], self.size[::-1], self.angle[::-1])


def track(motion: str, pace: str, n_frames: int, rng: np.random.Generator) -> Track:
    """Draw one path of a motion.

    The motions of a pair come from one formula: the second is the first played backwards. With the
    same random draws, the two clips therefore hold the same frames in opposite order, and
    no statistic that ignores the order can tell them apart.

    Parameters
    ----------
    motion : str
        One of `vocabulary.MOTIONS`.
    pace : str
        One of `vocabulary.PACES`.
    n_frames : int
        Frames in the clip.
    rng : numpy.random.Generator
        Where start, size and phase come from.

    Raises
    ------
    ValueError
        If motion or pace is unknown.
    """
    if motion not in MOTIONS or pace not in PACES:
        raise ValueError(f"There is no motion {motion!r} at pace {pace!r} in MiniTube.")
    if motion in _FORWARD:
        return track(_FORWARD[motion], pace, n_frames, rng).reversed()
    x0, y0 = rng.uniform(0.4, 0.6, size=2)
    size = np.full(n_frames, rng.uniform(0.42, 0.58))
    tilt = rng.uniform(-15, 15)
    phase = rng.random()
    cycles = PACES[pace] * rng.uniform(0.9, 1.1)
    # Measured from the middle of the clip, so that a path and its reversal are equally likely.
    turns = phase + cycles * (np.linspace(0, 1, n_frames) - 0.5)
    sawtooth = turns % 1.0
    x, y = np.full(n_frames, x0), np.full(n_frames, y0)
    angle = np.full(n_frames, tilt)
    if motion == "zoom_in":
        size = 0.26 + 0.7 * sawtooth
    elif motion == "spin_clockwise":
        angle = tilt - 360.0 * turns
    elif motion == "orbit_clockwise":
        x = x0 + 0.22 * np.cos(2 * np.pi * turns)
        y = y0 + 0.22 * np.sin(2 * np.pi * turns)
    elif motion == "rise":
        y = 1.08 - 1.16 * sawtooth
    elif motion == "slide_left":
        x = 1.08 - 1.16 * sawtooth
    elif motion == "bounce":
        y = 0.72 - 0.45 * np.abs(np.sin(np.pi * 1.5 * turns))
    elif motion == "shake":
        x = x0 + 0.09 * np.sin(2 * np.pi * 3 * turns)
    return Track(x, y, size, angle)
