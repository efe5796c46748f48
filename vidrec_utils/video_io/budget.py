"""What one reading may cost: time, pixels and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .errors import MediaError

DECODING = 16
"""Bytes for each pixel of a frame that decoding and scaling hold beside the result (measured)."""


@dataclass(frozen=True)
class Budget:
    """What reading one medium may cost; a medium that costs more raises, and the run goes on.

    A small file may unfold into more pixels than a machine has memory for, or keep a decoder busy
    for hours. Every function of this package that reads a file takes a `budget`.

    Attributes
    ----------
    seconds : float
        Time that one call may take. It is looked at between packets and between frames.
    frame_pixels : int
        Pixels of one frame of a video. The default is the largest frame of H.264, HEVC and AV1 at
        their level 6 (8,192 x 4,352).
    image_pixels : int
        Pixels of a still image.
    memory : int
        Bytes: of the frames that a call returns and of those that are decoded on the way
        (`DECODING` for each pixel of one), that decoding an image takes, or of the sound that a
        call returns and the blocks it is joined from.

    Examples
    --------
    >>> Budget(seconds=5).memory == Budget().memory
    True
    """

    seconds: float = 120.0
    frame_pixels: int = 35_651_584
    image_pixels: int = 89_000_000
    memory: int = 850 * 2**20

    def frames(self, height: int, width: int, decoded: int) -> int:
        """Return how many RGB frames of a size fit into the memory; below 0 if none decodes.

        Parameters
        ----------
        height, width : int
            Size of the frames that are returned.
        decoded : int
            Pixels of a frame as it is decoded.
        """
        return (self.memory - DECODING * decoded) // (3 * height * width)

    def __post_init__(self) -> None:
        for name in ("seconds", "frame_pixels", "image_pixels", "memory"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0.")


class Clock:
    """Time that is left of a budget, from now on.

    Parameters
    ----------
    path
        The file, for messages.
    budget
        Its `seconds` count.
    error
        The class of error to raise.
    """

    def __init__(self, path: Path, budget: Budget, error: type[MediaError]) -> None:
        self._path, self._seconds, self._error = path, budget.seconds, error
        self._end = time.monotonic() + budget.seconds

    def check(self) -> None:
        """Raise if the time is over.

        Raises
        ------
        MediaError
            With the reason `"too_slow"`.
        """
        if time.monotonic() > self._end:
            raise self._error(
                self._path,
                "too_slow",
                f"reading it takes more than {self._seconds:g} s. Allow more time with "
                "budget=Budget(seconds=...), or re-encode it.",
            )
