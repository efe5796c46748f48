"""From decoded sound of any form to one channel at one rate, on a grid that all spans share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

LEVELS = {
    "FC": 1.0,
    "FL": 0.5**0.5,
    "FR": 0.5**0.5,
    "DL": 0.5**0.5,
    "DR": 0.5**0.5,
    "LFE": 0.0,
    "LFE2": 0.0,
}
"""Level of a channel in the mixture, by FFmpeg's name (ITU-R BS.775-3, annex 4)."""
BEHIND = 0.5
"""Level of all other channels, which are behind or above."""

ARRAYS = {form + planar for form in ("u8", "s16", "s32", "flt", "dbl") for planar in ("", "p")}
"""Sample formats that PyAV turns into arrays."""
PLANES = 7
"""Of a frame with more planes PyAV 18.1 reads one too many, and the process may die of it."""

BLOCK = 65_536
"""Samples that are resampled at once: a packet has about a thousand, each call takes its time."""


def mixture(frame: av.AudioFrame) -> np.ndarray:
    """Mix the channels of decoded sound.

    libswresample would mix floating point louder than integers; here both give the same.

    Parameters
    ----------
    frame
        Any sample format, packed or planar, any number of channels.

    Returns
    -------
    numpy.ndarray
        float32 of shape (n,): full scale is 1.
    """
    count = frame.layout.nb_channels
    if frame.format.name not in ARRAYS or (frame.format.is_planar and count > PLANES):
        frame = av.AudioResampler("dbl", frame.layout, frame.sample_rate).resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, count).T  # (channels, samples)
    if values.dtype == np.uint8:
        scale, middle = 2.0**7, 2.0**7
    elif np.issubdtype(values.dtype, np.integer):
        scale, middle = 2.0 ** (8 * values.dtype.itemsize - 1), 0.0
    else:
        scale, middle = 1.0, 0.0
    if count == 1:
        return ((values[0] - middle) / scale).astype(np.float32)
    levels = np.array([LEVELS.get(channel.name, BEHIND) for channel in frame.layout.channels])
    levels = levels if levels.any() else np.ones(count)
    levels = levels / levels.sum()
    return ((levels @ values - middle) / scale).astype(np.float32)


TAPS = 32
"""Length of libswresample's filter in samples of the lower rate. Of a shorter sound it gives
nothing, so silence follows such a one."""


class Run:
    """Sound without gaps, on its way to another rate.

    The grid has a sample at every `k / rate` seconds. The two rates meet at every `native / gcd`
    samples only; a run that begins between two such meetings is preceded by silence from the one
    before, so that the resampler's samples lie on the grid.

    Parameters
    ----------
    start
        When the first sample is heard, in seconds.
    native
        Samples a second of what is pushed.
    rate
        Samples a second of the grid.
    """

    def __init__(self, start: Fraction, native: int, rate: int) -> None:
        self.native, self.rate = native, rate
        common = math.gcd(native, rate)
        first = round(start * native)
        silence = first % (native // common)
        self._behind = first  # the native sample that comes next
        self._first = math.ceil(Fraction(first * rate, native))
        self._position = (first - silence) * rate // native
        self._pushed = 0
        self._waiting = [np.zeros(silence, np.float32)]
        self._resampler = av.AudioResampler("flt", "mono", rate) if native != rate else None

    @property
    def end(self) -> Fraction:
        """When the last sample that was pushed has been heard, in seconds."""
        return Fraction(self._behind, self.native)

    def push(self, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield grid positions, and the float32 samples from there on, that are ready."""
        self._waiting.append(samples)
        self._behind += len(samples)
        if sum(map(len, self._waiting)) >= BLOCK:
            yield from self._convert()

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rest; nothing can be pushed afterwards."""
        if self._resampler is not None:
            ahead = self._pushed + sum(map(len, self._waiting))
            filter_length = TAPS * max(1, math.ceil(self.native / self.rate))
            self._waiting.append(np.zeros(max(0, 2 * filter_length - ahead), np.float32))
        yield from self._convert()
        if self._resampler is not None and self._pushed:
            yield from self._on_grid(self._resampler.resample(None))

    def _convert(self) -> Iterator[tuple[int, np.ndarray]]:
        if not any(map(len, self._waiting)):
            return
        samples, self._waiting = np.concatenate(self._waiting), []
        if self._resampler is None:
            yield from self._on_grid([samples])
            return
        frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
        frame.sample_rate, frame.pts = self.native, self._pushed
        frame.time_base = Fraction(1, self.native)
        self._pushed += len(samples)
        yield from self._on_grid(self._resampler.resample(frame))

    def _on_grid(
        self, ready: list[av.AudioFrame] | list[np.ndarray]
    ) -> Iterator[tuple[int, np.ndarray]]:
        last = math.ceil(Fraction(self._behind * self.rate, self.native))
        for block in ready:
            samples = block if isinstance(block, np.ndarray) else block.to_ndarray()[0]
            position, self._position = self._position, self._position + len(samples)
            skipped = max(0, self._first - position)
            samples = samples[skipped : max(0, last - position)]
            if len(samples):
                yield position + skipped, np.clip(samples, -1.0, 1.0)
