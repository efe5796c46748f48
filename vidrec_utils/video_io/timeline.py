"""The times of a video's frames, from its packets or, for large files, from its header."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

DEFAULT_RATE = Fraction(25)
"""Frames per second of a raw stream without a stated rate (FFmpeg's own assumption)."""


DEMUX_ERRORS = (av.FFmpegError, IndexError)
"""Errors of reading packets of a damaged file (IndexError: a stream appears late)."""


@dataclass(frozen=True)
class Timeline:
    """The frames of a video stream in time. All times are in ticks of `time_base`.

    Attributes
    ----------
    time_base : fractions.Fraction
        Seconds in a tick.
    start, end : int
        When the first frame appears and when the last one ends.
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
        """Return the last known keyframe at or before a time."""
        index = bisect_right(self.keyframes, ticks) if self.keyframes else 0
        return self.keyframes[index - 1] if index else None

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
    """Return frames per second of the header, or an assumption for raw streams."""
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    return Fraction(rate) if rate > 0 else DEFAULT_RATE


def declared_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the duration of the video stream in seconds by its header, or None."""
    if stream.duration and stream.duration > 0:
        return stream.duration * stream.time_base
    tag = _duration_tag(stream)
    if tag:
        return tag
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None


def _duration_tag(stream: VideoStream) -> Fraction | None:
    """Return the duration of a Matroska track in seconds by its tag (`00:00:02.500000000`)."""
    tag = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "")
    try:
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        return None


def is_mp4(container: InputContainer) -> bool:
    """Whether the container is of the MP4 and QuickTime family, with an index of all samples."""
    return container.format.name.startswith("mov,")


def _counts_from_zero(container: InputContainer) -> bool:
    """Whether the declared duration is the time of the end, not the distance from the start."""
    return container.format.name.startswith("matroska")


def header_timeline(
    container: InputContainer, stream: VideoStream, file_bytes: int
) -> Timeline | None:
    """Return the timeline that the header declares; None if there is none or it is unreliable."""
    duration = declared_duration(container, stream)
    unreliable = container.format.name == "avi" or (is_mp4(container) and not stream.frames)
    if (
        duration is None
        or stream.start_time is None
        or unreliable
        or _beyond_file(container, file_bytes)
    ):
        return None
    start = stream.start_time
    length = max(1, round(duration / stream.time_base))
    end = length if _counts_from_zero(container) else start + length
    return Timeline(stream.time_base, start, max(end, start + 1))


def _beyond_file(container: InputContainer, file_bytes: int) -> bool:
    """Whether an MP4's index points beyond the end of the file."""
    if not is_mp4(container):
        return False
    indices = (stream.index_entries for stream in container.streams)
    last = [entries[len(entries) - 1] for entries in indices if len(entries)]
    return any(entry.pos + entry.size > file_bytes for entry in last)


def scanned_timeline(container: InputContainer, stream: VideoStream, file_bytes: int) -> Timeline:
    """Return the timeline of all packets of the stream, without decoding any.

    The container is left at its end.
    """
    by_decoding = container.format.name == "avi"
    shown: list[int | None] = []
    keyframes: list[int | None] = []
    durations: list[int] = []
    read = damaged = 0
    try:
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
                durations.append(packet.duration or 0)
    except DEMUX_ERRORS:
        damaged += 1

    base = stream.time_base
    step = max(durations, default=0) or max(1, round(1 / (nominal_rate(stream) * base)))
    declared = declared_duration(container, stream)
    timed = all(time is not None for time in shown)
    times = sorted(set(shown)) if timed else [step * i for i in range(len(shown))]
    begin = {time for time in keyframes if time is not None} if timed else set()
    start = times[0] if times else 0
    end = times[-1] + (_last_duration(shown, durations) or step) if times else 0
    return Timeline(
        base,
        start,
        end,
        tuple(sorted(begin)),
        tuple(times),
        by_decoding or not timed,
        declared is not None,
        not (
            damaged
            or _beyond_file(container, file_bytes)
            or _falls_short(container, stream, declared, start, end, read)
        ),
    )


def _last_duration(shown: list[int | None], durations: list[int]) -> int:
    """Return how long the last shown frame lasts; 0 if that is unknown."""
    last = max(range(len(shown)), key=lambda i: (shown[i] is not None, shown[i] or 0, i))
    return durations[last]


def _falls_short(
    container: InputContainer,
    stream: VideoStream,
    declared: Fraction | None,
    start: int,
    end: int,
    read: int,
) -> bool:
    """Whether packets are fewer or end earlier than the header declares.

    An MP4's edit list may leave out frames on purpose, and its index is checked by itself; a
    duration of the whole container may be that of its sound.
    """
    if is_mp4(container):
        return False
    if read < stream.frames:
        return True
    only_whole = len(container.streams) > 1 and not stream.duration and not _duration_tag(stream)
    if declared is None or only_whole:
        return False
    reached = max(end, end - start) if _counts_from_zero(container) else end - start
    step = 1 / nominal_rate(stream)
    return reached * stream.time_base < declared - max(Fraction(1, 2), 3 * step)
