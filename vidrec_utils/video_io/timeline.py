"""The times of a video's frames, and what a header says of them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

DEFAULT_RATE = Fraction(25)
"""Frames per second of a raw stream without a stated rate (FFmpeg's own assumption)."""


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
    order : tuple of int
        With `counted`, for seeking: the decoding time of each packet, sorted.
    seeks : tuple of int
        With `counted`, the decoding time to seek for each of the `keyframes`.
    reordered : bool
        With `counted`: the decoder puts frames into another order.
    packet_times : tuple of int or None
        Times of the packets in the order of the file, where they differ from the stated ones: they
        are written into the packets, which are read from the beginning.
    packet_keys : tuple of int
        With `packet_times` or `order`, the numbers of the packets at which decoding can begin.
    breaks : tuple of int
        The numbers of the packets with which another recording begins.
    declared : bool
        The header states a duration.
    missing : str
        How the container shows that bytes are missing; empty if nothing does.
    doubts : tuple of str
        What is odd about the stream, though it can be read.
    """

    time_base: Fraction
    start: int
    end: int
    keyframes: tuple[int, ...] | None = None
    times: tuple[int, ...] | None = None
    counted: bool = False
    order: tuple[int, ...] = ()
    seeks: tuple[int, ...] = ()
    reordered: bool = False
    packet_times: tuple[int, ...] | None = None
    packet_keys: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()
    declared: bool = True
    missing: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing shows that bytes are missing."""
        return not self.missing

    def keyframe_before(self, ticks: int) -> int | None:
        """Return the last known keyframe at or before a time."""
        index = bisect_right(self.keyframes, ticks) if self.keyframes else 0
        return self.keyframes[index - 1] if index else None

    def decoded_at(self, keyframe: int) -> int:
        """Return the time at which a keyframe is decoded, by which it is sought."""
        if not self.seeks or not self.keyframes:
            return keyframe
        return self.seeks[bisect_left(self.keyframes, keyframe)]

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
    tag = duration_tag(stream)
    if tag:
        return tag
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None


_DURATION = re.compile(r"(\d{1,5}):(\d{1,2}):(\d{1,2}(?:\.\d{1,12})?)")


def duration_tag(stream: VideoStream | AudioStream) -> Fraction | None:
    """Return the duration of a Matroska track in seconds by its tag (`00:00:02.500000000`)."""
    tag = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "")
    match = _DURATION.fullmatch(tag.strip(" \0"))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return (3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)) or None


def is_mp4(container: InputContainer) -> bool:
    """Whether the container is of the MP4 and QuickTime family, with an index of all samples."""
    return container.format.name.startswith("mov,")


def counts_from_zero(container: InputContainer) -> bool:
    """Whether the declared duration is the time of the end, not the distance from the start."""
    return container.format.name.startswith("matroska")


def may_be_joined(container: InputContainer) -> bool:
    """Whether the container is a stream that stays valid when another is appended."""
    return container.format.name in ("mpegts", "mpeg")


def header_timeline(
    container: InputContainer, stream: VideoStream, file_bytes: int
) -> Timeline | None:
    """Return the timeline that the header declares; None if there is none or it is unreliable."""
    duration = declared_duration(container, stream)
    unreliable = (
        container.format.name in ("avi", "asf", "mxf")
        or may_be_joined(container)
        or (is_mp4(container) and not stream.frames)
    )
    if (
        duration is None
        or stream.start_time is None
        or unreliable
        or beyond_file(container, file_bytes)
    ):
        return None
    start = stream.start_time
    length = max(1, round(duration / stream.time_base))
    end = length if counts_from_zero(container) else start + length
    return Timeline(stream.time_base, start, max(end, start + 1))


def beyond_file(container: InputContainer, file_bytes: int) -> bool:
    """Whether the index of an MP4 or AVI points beyond the end of the file."""
    if not is_mp4(container) and container.format.name != "avi":
        return False
    indices = (stream.index_entries for stream in container.streams)
    last = [entries[len(entries) - 1] for entries in indices if len(entries)]
    return any(entry.pos + entry.size > file_bytes for entry in last)
