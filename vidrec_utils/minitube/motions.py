"""Where a sprite is, how large and at which angle, in every frame of every motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidrec_utils.minitube.vocabulary import MOTIONS, PACES, REVERSED

_FORWARD = {backward: forward for forward, backward in REVERSED.items()}


@dataclass(frozen=True)
class Track:
    """A sprite's path through a shot.

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


def track(motion: str, pace: str, n_frames: int, fps: float, rng: np.random.Generator) -> Track:
    """Draw one path of a motion.

    A motion goes on for as long as its shot lasts, at a speed that the pace gives: it runs through
    `PACES[pace]` times in two seconds, within a tenth.

    The motions of a pair come from one formula: the second is the first played backwards. With the
    same random draws, the two shots therefore hold the same frames in opposite order, and
    no statistic that ignores the order can tell them apart.

    Parameters
    ----------
    motion : str
        One of `vocabulary.MOTIONS`.
    pace : str
        One of `vocabulary.PACES`.
    n_frames : int
        Frames in the shot.
    fps : float
        Frames per second.
    rng : numpy.random.Generator
        Where start, size and phase come from.

    Raises
    ------
    ValueError
        If motion or pace is unknown.

    Examples
    --------
    >>> path = track("spin_clockwise", "slow", 33, 16, np.random.default_rng(0))
    >>> turns = (path.angle[0] - path.angle[-1]) / 360
    >>> print(f"{turns:.2f} turns in two seconds")
    0.76 turns in two seconds
    """
    if motion not in MOTIONS or pace not in PACES:
        raise ValueError(f"There is no motion {motion!r} at pace {pace!r} in MiniTube.")
    if motion in _FORWARD:
        return track(_FORWARD[motion], pace, n_frames, fps, rng).reversed()
    x0, y0 = rng.uniform(0.4, 0.6, size=2)
    size = np.full(n_frames, rng.uniform(0.42, 0.58))
    tilt = rng.uniform(-15, 15)
    phase = rng.random()
    speed = PACES[pace] / 2 * rng.uniform(0.9, 1.1)  # cycles per second
    # Measured from the middle of the shot, so that a path and its reversal are equally likely.
    turns = phase + speed * seconds_from_middle(n_frames, fps)
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


def seconds_from_middle(n_frames: int, fps: float) -> np.ndarray:
    """Return the time of each frame in seconds, zero in the middle of the shot.

    Examples
    --------
    >>> print(seconds_from_middle(3, fps=16))
    [-0.0625  0.      0.0625]
    """
    return (np.arange(n_frames) - (n_frames - 1) / 2) / fps
