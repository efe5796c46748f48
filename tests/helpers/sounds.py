"""Sound for tests: signals in which every time is known, and files of them made with PyAV alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Packets = Iterable[av.Packet]


def sine(frequency: float, seconds: float, rate: int, level: float = 0.3) -> np.ndarray:
    """A tone, float32 of shape (samples,)."""
    times = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def notes(seconds: float, rate: int, seed: int = 0, level: float = 0.3) -> np.ndarray:
    """Tones that change every tenth of a second by chance, so that no two seconds are alike."""
    rng = np.random.default_rng(seed)
    frequencies = np.repeat(rng.uniform(200, 1500, int(seconds * 10) + 1), rate // 10)
    phase = 2 * np.pi * np.cumsum(frequencies[: round(seconds * rate)]) / rate
    return (level * np.sin(phase)).astype(np.float32)


def add_sound(
    output: av.container.OutputContainer,
    samples: np.ndarray,
    rate: int,
    codec: str = "aac",
    layout: str = "mono",
) -> tuple[av.AudioStream, Callable[[Fraction], list[av.Packet]]]:
    """Add a track to an open file; the second result encodes it, from a time on."""
    options = {"strict": "experimental"}  # FFmpeg's own encoder of Vorbis
    stream = output.add_stream(codec, rate=rate, layout=layout, options=options)

    def encode(start: Fraction) -> list[av.Packet]:
        rows = np.atleast_2d(samples)  # (channels, samples)
        rows = np.repeat(rows, stream.layout.nb_channels // len(rows), axis=0)
        packed = np.ascontiguousarray(rows.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = int(start * rate)
        convert = av.AudioResampler(stream.format, layout, rate)
        packets: list[av.Packet] = []
        for converted in [*convert.resample(frame), *convert.resample(None), None]:
            if converted is not None or not packets or packets[-1] is not None:
                packets += stream.encode(converted)
        return packets

    return stream, encode


def write_sound(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str = "aac",
    layout: str = "mono",
    *,
    start: Fraction | int = 0,
    frames: int = 0,
    frames_start: Fraction | int = 0,
    edit: Callable[[list[av.Packet]], list[av.Packet]] = lambda packets: packets,
) -> Path:
    """A file with one sound track and, with `frames`, 20 of them a second.

    Parameters
    ----------
    samples
        (samples,) for all channels, or (channels, samples).
    start, frames_start
        Seconds at which sound and image begin.
    edit
        Changes the packets of the sound before they are written.
    """
    with av.open(str(path), "w") as output:
        packets: list[av.Packet] = []
        if frames:
            video = output.add_stream("libx264", rate=20)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            for number in range(frames):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = number + int(20 * frames_start), Fraction(1, 20)
                packets += video.encode(frame)
            packets += video.encode(None)
        _, encode = add_sound(output, samples, rate, codec, layout)
        packets += edit(encode(Fraction(start)))
        if frames:
            packets.sort(key=lambda packet: packet.dts * packet.time_base)
        output.mux(packets)
    return path


def delay(heard: np.ndarray, original: np.ndarray, most: int = 4000) -> int:
    """How many samples later than in the original what is heard begins, by correlation."""
    size = 1 << (len(heard) + len(original)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    correlation = np.fft.irfft(spectrum, size)
    lags = np.arange(-most, most + 1)
    return int(lags[np.argmax(correlation[lags])])
