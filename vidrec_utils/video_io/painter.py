"""Decoded frames as upright RGB arrays of a requested size."""

from __future__ import annotations

import struct

import av
import numpy as np
from av.video.reformatter import VideoReformatter


class Orientation:
    """The turn that makes stored pixels upright, from a frame's display matrix.

    Only quarter turns and mirrors are applied; another angle goes to the nearest quarter.

    Attributes
    ----------
    height, width : int
        Size of the frame when it is upright.
    """

    def __init__(self, frame: av.VideoFrame) -> None:
        self.transpose = self.mirror = self.flip = False
        self._read_matrix(frame)
        self.height, self.width = self.size(frame.height, frame.width)

    def _read_matrix(self, frame: av.VideoFrame) -> None:
        data = next((d for d in frame.side_data if d.type.name == "DISPLAYMATRIX"), None)
        if data is None:
            return
        a, b, _, c, d = struct.unpack("<5i" if np.little_endian else ">5i", bytes(data)[:20])
        self.transpose = abs(b) > abs(a)
        self.mirror = (c if self.transpose else a) < 0
        self.flip = (b if self.transpose else d) < 0

    @property
    def degrees(self) -> int:
        """Clockwise quarter turns in degrees (a mirror counts as none)."""
        if self.transpose:
            return 90 if self.mirror or not self.flip else 270
        return 180 if self.mirror and self.flip else 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Convert stored (height, width) to upright ones, and the other way round."""
        return (width, height) if self.transpose else (height, width)

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Turn (height, width, 3) pixels; returns a view."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


class Painter:
    """Turns decoded frames into upright RGB arrays of one size, with one scaler for all.

    Parameters
    ----------
    first
        The orientation of the video's first frame: it holds for all frames, and frames of another
        size are scaled to that of the first.
    size
        None keeps the size; an int is the length of the shorter side; (height, width) is exact.
    """

    def __init__(self, first: Orientation, size: int | tuple[int, int] | None) -> None:
        self.orientation = first
        self.shape = target_size(first.height, first.width, size)
        self._height, self._width = self.orientation.size(*self.shape)
        self._scaler = VideoReformatter()

    def paint(self, frame: av.VideoFrame) -> np.ndarray:
        """Return uint8 (height, width, 3); it may be a view into the frame's memory."""
        image = self._scaler.reformat(
            frame, width=self._width, height=self._height, format="rgb24", threads=1
        )
        return self.orientation.upright(image.to_ndarray())


def target_size(height: int, width: int, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return (height, width) after resizing.

    Raises
    ------
    ValueError
        If a side is below 1.
    """
    if size is None:
        return height, width
    if isinstance(size, (int, np.integer)):
        scale = size / min(height, width)
        target = (
            (int(size), max(1, round(width * scale)))
            if height <= width
            else (max(1, round(height * scale)), int(size))
        )
    else:
        target = tuple(int(side) for side in size)
    if len(target) != 2 or min(target) < 1:
        raise ValueError(f"size is {size!r}; give one side or (height, width), each at least 1.")
    return target
