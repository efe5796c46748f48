"""When a video's frames are shown, learned from its packets or, for large files, its header."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

DEFAULT_RATE = Fraction(25)
"""Frames a second of a raw stream that says nothing about it (FFmpeg's own assumption)."""


@dataclass(frozen=True)
class Timeline:
    """The frames of a video stream in time. All times are in ticks of `time_base`.

    Attributes
    ----------
    time_base : fractions.Fraction
        Seconds in a tick.
    start, end : int
        When the first frame appears and the last one goes.
    keyframes : tuple of int or None
        Times of the frames at which decoding can begin; None if only the header was read.
    times : tuple of int or None
        Times of all frames, sorted; None if only the header was read.
    counted : bool
        The packets carry no usable display times: the i-th decoded frame is shown at `times[i]`.
    declared : bool
        The header states a duration.
    complete : bool
        Nothing that the header declares is missing.
    """

    time_base: Fraction
    start: int
    end: int
    keyframes: tuple[int, ...] | None = None
    times: tuple[int, ...] | None = None
    counted: bool = False
    declared: bool = True
    complete: bool = True

    def keyframe_before(self, ticks: int) -> int | None:
        """The last known keyframe at or before a time."""
        place = bisect_right(self.keyframes, ticks) if self.keyframes else 0
        return self.keyframes[place - 1] if place else None

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float((self.end - self.start) * self.time_base)

    @property
    def variable(self) -> bool:
        """Whether the distance between frames varies by more than the rounding of timestamps."""
        if self.times is None or len(self.times) < 3:
            return False
        gaps = [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]
        return float((max(gaps) - min(gaps)) * self.time_base) > 0.0021


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames a second as the header has them, or an assumption for raw streams."""
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    return Fraction(rate) if rate > 0 else DEFAULT_RATE


def declared_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds of the video stream as the header has them, or None."""
    if stream.duration and stream.duration > 0:
        return stream.duration * stream.time_base
    tag = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), None)
    if tag:
        try:
            hours, minutes, seconds = tag.split(":")
            return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
        except ValueError:
            pass
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None


def header_timeline(container: InputContainer, stream: VideoStream) -> Timeline | None:
    """The timeline as the header declares it; None if it does not, or cannot be believed."""
    duration = declared_duration(container, stream)
    if duration is None or stream.start_time is None or container.format.name == "avi":
        return None
    length = max(1, round(duration / stream.time_base))
    return Timeline(stream.time_base, stream.start_time, stream.start_time + length)


def scanned_timeline(container: InputContainer, stream: VideoStream) -> Timeline:
    """The timeline from all packets of the stream, without decoding any.

    The container is left at its end.
    """
    by_decoding = container.format.name == "avi"
    shown: list[int | None] = []
    keyframes: list[int | None] = []
    last_duration = read = damaged = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        read += 1
        if packet.is_corrupt:
            damaged += 1
            continue
        time = packet.dts if by_decoding else packet.pts
        if packet.is_keyframe:
            keyframes.append(time)
        if not packet.is_discard:
            shown.append(time)
            last_duration = packet.duration or last_duration

    base = stream.time_base
    step = last_duration or max(1, round(1 / (nominal_rate(stream) * base)))
    declared = declared_duration(container, stream)
    timed = all(time is not None for time in shown)
    times = sorted(set(shown)) if timed else [step * i for i in range(len(shown))]
    begin = {time for time in keyframes if time is not None} if timed else set()
    start = times[0] if times else 0
    end = times[-1] + step if times else 0
    missing = bool(declared) and (end - start) * base < declared - max(
        Fraction(1, 2), 3 * step * base
    )
    alone = len(container.streams) == 1 or bool(stream.duration)
    return Timeline(
        base,
        start,
        end,
        tuple(sorted(begin)),
        tuple(times),
        by_decoding or not timed,
        declared is not None,
        not (damaged or read < stream.frames or (missing and alone)),
    )
