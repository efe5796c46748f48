"""Windows of a clip: stretches of a few seconds that a network sees at the rate of its training.

A network for clips takes a fixed number of frames. Spread over a clip of eight seconds, the 16
frames of a network that was trained at 8 frames a second are 2 frames a second: fast motions alias,
and shots mix. `Windows` says which stretches are seen instead, and how their vectors become one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from vidrec_utils import arguments

Spans: TypeAlias = Sequence[tuple[float, float]]
"""Stretches of a clip, such as its shots: start and end of each, in seconds."""

AT = ("even", "centre")
POOLINGS = ("mean", "max")
SHORT = ("loop", "stretch", "hold")
NEARLY = 0.75
"""A clip of this share of a window or more is stretched to one, by a third at most."""


@dataclass(frozen=True)
class Windows:
    """How a clip of any length becomes windows, and their vectors become one.

    Each window holds as many frames as the network takes, at the middles of equal segments. A clip
    of exactly `seconds` is one window, whatever the other options are.

    Attributes
    ----------
    seconds : float or None
        Length of a window; None: that on which the network was trained.
    at : {"even", "centre"}
        Windows evenly spread from the beginning to the end of a clip, or one in its middle.
    count : int or None
        How many evenly spread windows there are; None: as many as follow from `hop`. A clip that
        is no longer than a window has one.
    hop : float or None
        Seconds from the start of one window to the next, roughly: the last one ends with the clip.
        None: the length of a window, so that windows lie side by side.
    most : int
        Bound of the number of windows that follow from `hop` or from shots, so that a film costs
        no more than ten clips.
    pooling : {"mean", "max"}
        What becomes of the vectors of several windows, component by component.
    short : {"loop", "stretch", "hold"}
        What is seen of a clip that is shorter than three quarters of a window. `"loop"`: the clip
        at its rate, from the beginning again and again, as players loop it. `"stretch"`: its frames
        spread over the window, so that it plays slower. `"hold"`: the clip at its rate, then its
        last frame again and again. A clip that is nearly as long as a window is stretched.

    Raises
    ------
    ValueError
        If a number is not positive, or a word is none of those above.

    Examples
    --------
    Three seconds hold two windows of two seconds that overlap:

    >>> Windows(2.0).starts(3.0)
    [0.0, 1.0]
    >>> Windows(2.0, at="centre").starts(3.0)
    [0.5]
    >>> Windows(2.0).times(2.0, frames=4).tolist()  # the middles of four segments
    [[0.25, 0.75, 1.25, 1.75]]
    """

    seconds: float | None = None
    at: Literal["even", "centre"] = "even"
    count: int | None = None
    hop: float | None = None
    most: int = 10
    pooling: Literal["mean", "max"] = "mean"
    short: Literal["loop", "stretch", "hold"] = "loop"

    def __post_init__(self) -> None:
        arguments.one_of(AT, at=self.at)
        arguments.one_of(POOLINGS, pooling=self.pooling)
        arguments.one_of(SHORT, short=self.short)
        lengths = {"seconds": self.seconds, "hop": self.hop}
        arguments.positive(**{name: value for name, value in lengths.items() if value is not None})
        arguments.at_least(
            1, most=self.most, **({} if self.count is None else {"count": self.count})
        )
        if self.count is not None and self.hop is not None:
            raise ValueError(f"count is {self.count} and hop is {self.hop}; give one of them.")

    @property
    def limit(self) -> int:
        """Windows that a clip of one shot can have at most."""
        return 1 if self.at == "centre" else self.count or self.most

    def starts(self, duration_s: float) -> list[float]:
        """When the windows of a clip begin, in seconds.

        Parameters
        ----------
        duration_s : float
            Length of the clip.
        """
        spare = duration_s - self._length()
        if spare <= 0:
            return [0.0]
        side_by_side = math.floor(spare / (self.hop or self._length()) + 0.5) + 1
        n = min(self.count or side_by_side, self.limit)
        return [spare / 2] if n == 1 else [spare * i / (n - 1) for i in range(n)]

    def times(self, duration_s: float, frames: int, spans: Spans | None = None) -> np.ndarray:
        """When the frames of each window are on display.

        Parameters
        ----------
        duration_s : float
            Length of the clip.
        frames : int
            Frames of a window.
        spans : sequence of (float, float), optional
            Shots of the clip, each of which gets windows of its own, one in its middle for
            `at="centre"`; default: all of it is one. What lies beyond the end of the clip is cut
            off.

        Returns
        -------
        ndarray of float64, shape (windows, frames)
            Seconds, before the end of the clip.

        Raises
        ------
        ValueError
            If a span does not end after it begins, or none lies within the clip.

        Examples
        --------
        A second is shorter than a window:

        >>> Windows(2.0).times(1.0, frames=4).tolist()  # twice
        [[0.25, 0.75, 0.25, 0.75]]
        >>> Windows(2.0, short="stretch").times(1.0, frames=4).tolist()
        [[0.125, 0.375, 0.625, 0.875]]
        >>> Windows(2.0).times(4.0, 2, spans=[(0, 2), (2, 4)]).tolist()
        [[0.5, 1.5], [2.5, 3.5]]
        """
        if spans is None:
            return self._times_within(duration_s, frames)
        cut = [
            (start, min(end, duration_s)) for start, end in _checked(spans) if start < duration_s
        ]
        if not cut:
            raise ValueError(f"no shot begins within the {duration_s:g} s of the clip")
        times = [start + self._times_within(end - start, frames) for start, end in cut]
        return _thinned(np.concatenate(times), max(self.most, self.count or 1))

    def pool(self, vectors: np.ndarray) -> np.ndarray:
        """One vector `(dim,)` from those of a clip's windows, `(windows, dim)`."""
        if len(vectors) == 1:
            return vectors[0]
        return vectors.mean(axis=0) if self.pooling == "mean" else vectors.max(axis=0)

    def _length(self) -> float:
        if self.seconds is None:
            raise ValueError(
                "The windows have no length: give seconds, or let an encoder that was trained at a "
                "known rate set it (encoder.with_windows)."
            )
        return self.seconds

    def _times_within(self, duration_s: float, frames: int) -> np.ndarray:
        length = self._length()
        offsets = (np.arange(frames) + 0.5) / frames  # middles of segments, as shares of a window
        if duration_s >= length:
            return np.array(self.starts(duration_s))[:, None] + length * offsets
        if self.short == "stretch" or duration_s >= NEARLY * length:
            return duration_s * offsets[None]
        times = length * offsets[None]
        if self.short == "loop":
            return times % duration_s
        last = duration_s * (1 - 0.5 / frames)  # within the last frame, whatever the rate is
        return np.minimum(times, last)


def _checked(spans: Spans) -> list[tuple[float, float]]:
    pairs = [(float(start), float(end)) for start, end in spans]
    for start, end in pairs:
        if not 0 <= start < end:
            raise ValueError(
                f"a shot lasts from {start:g} s to {end:g} s; it must end after it begins"
            )
    return pairs


def _thinned(times: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly chosen."""
    if len(times) <= most:
        return times
    return times[np.floor((np.arange(most) + 0.5) * len(times) / most).astype(np.int64)]
