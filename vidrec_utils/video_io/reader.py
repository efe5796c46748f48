"""One open video: frames at given times, by seeking; the container is always closed again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path

import av
from av.container import InputContainer

from .. import settings
from . import streams
from .budget import Budget, Clock
from .errors import MediaError, VideoError, existing_file
from .integrity import examine
from .painter import Orientation
from .scanning import DEMUX_ERRORS, scanned_timeline
from .timeline import header_timeline, nominal_rate

SCAN_BYTES = 64 * 2**20
"""Up to this size all packets are read before seeking (not decoded), which costs milliseconds."""

MAX_SILENT_PACKETS = 5_000
"""After this many packets in a row without a frame, decoding gives up."""

MAX_DECODER_THREADS = 4
"""Each decoding thread holds a frame of its own: more threads cost memory with 4k clips."""

SMALL_FRAME_PIXELS = 256 * 256
"""Up to this size one decoding thread is used: starting another takes longer than it saves."""

BLIND_SEEK_S = 3.0
"""Where no keyframe is known, seeking is tried for gaps from this length on."""

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,ogg,"
    "h264,hevc,obu,av1,ivf,vc1,h263,dv,mxf,nut,rm,swf,gif,apng,yuv4mpegpipe,mjpeg,dnxhd,"
    "wav,mp3,aac,flac,amr,aiff,au,caf,ac3,eac3"
)
"""Containers that are opened. Playlists stay out (they would open other files or addresses),
and so do still images and text, which FFmpeg would show as a video."""

SIGNATURES = {b"ftyp": 4, b"moov": 4, b"mdat": 4, b"\x1a\x45\xdf\xa3": 0, b"AVI ": 8, b"FLV": 0}


Shown = tuple[int, av.VideoFrame]
"""The tick at which a frame appears, and the decoded frame."""


class EndedEarly(Exception):
    """The video is not what its header says: it is shorter, or its times do not rise."""


class Reader:
    """A video file, open for reading frames.

    Parameters
    ----------
    path
        The file.
    budget
        What reading it may cost; the time counts from now.

    Raises
    ------
    VideoError
        If the file is absent, is no video, or has no video stream.
    """

    def __init__(self, path: str | PathLike[str], budget: Budget | None = None) -> None:
        self.path = Path(path)
        self.budget = budget or Budget()
        self.clock = Clock(self.path, self.budget, VideoError)
        self.file = existing_file(path, VideoError)
        self._bytes = self.file.stat().st_size
        self._index: int | None = None
        self.first: Orientation | None = None
        self._open()
        try:
            self._learn_timeline()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._frames = iter(())
        self.container.close()

    def _open(self) -> None:
        self.container = open_container(self.path, self.file, VideoError)
        try:
            self.stream = self._choose_stream()
        except BaseException:
            self.container.close()
            raise
        for other in self.container.streams:
            if other is not self.stream:
                other.discard = av.stream.Discard.all
        self.stream.thread_type = "AUTO"
        context = self.stream.codec_context
        # The decoder counts sides that are rounded up; the exact size is looked at afterwards.
        context.options = {"max_pixels": str(self.budget.frame_pixels * 5 // 4 + 2**16)}
        small = context.width * context.height <= SMALL_FRAME_PIXELS
        context.thread_count = 1 if small else min(settings.threads(), MAX_DECODER_THREADS)
        self.seekable = True
        self._blind = True
        self._ahead: Shown | None = None
        self._frames: Iterator[Shown] = iter(())
        self._started = False
        self._unknown = False

    def _choose_stream(self) -> av.video.stream.VideoStream:
        """Return the stream that is the video, if it can be decoded within the budget."""
        if self._index is None:
            self._index = self._best_stream()
        if self._index is None:
            raise VideoError(
                self.path,
                "no_video_stream",
                "the file holds sound or data but no video. Leave it out, or use its sound alone.",
            )
        stream = self.container.streams[self._index]
        if stream.codec_context is None:
            raise self._unsupported()
        context = stream.codec_context
        if context.width * context.height > self.budget.frame_pixels:
            raise VideoError(
                self.path,
                "too_large",
                f"its frames have {context.width} x {context.height} pixels, more than "
                f"{self.budget.frame_pixels:,}. Scale it down, or allow more with "
                "budget=Budget(frame_pixels=...).",
            )
        return stream

    def _best_stream(self) -> int | None:
        """Choose among several streams in a container of its own, since it reads packets."""
        if len(streams.candidates(self.container)) < 2:
            return streams.best_stream(self.container, self.clock.check)
        with open_container(self.path, self.file, VideoError) as container:
            return streams.best_stream(container, self.clock.check)

    def _unsupported(self) -> VideoError:
        return VideoError(
            self.path,
            "unsupported",
            "there is no decoder for its codec here. Re-encode it, for example to H.264.",
        )

    def _learn_timeline(self) -> None:
        """Read the timeline from the header of a large file, else from the packets."""
        self._missing, self._doubts = examine(self.file, self.container.format.name)
        if self._bytes > SCAN_BYTES:
            header = header_timeline(self.container, self.stream, self._bytes)
            if header is not None:
                self.timeline = replace(header, missing=self._missing, doubts=tuple(self._doubts))
                self._begin()
                ahead = self._peek()
                if ahead is not None and ahead[0] < header.end:
                    self.timeline = replace(self.timeline, start=ahead[0])
                    return
        self.scan()

    def scan(self) -> None:
        """Read the timeline from the packets and return to the beginning.

        Raises
        ------
        VideoError
            If there are no packets.
        """
        if self._started:
            self.container.close()
            self._open()
        line = scanned_timeline(
            self.container, self.stream, self._bytes, self._missing, self.clock.check
        )
        self.timeline = replace(line, doubts=(*self._doubts, *line.doubts))
        if not self.timeline.times:
            raise self._no_frames()
        self.rewind()

    def rewind(self) -> None:
        """Return to the first packet; the file is reopened where seeking is impossible."""
        line = self.timeline
        first = line.start
        if line.keyframes:
            first = min(line.decoded_at(line.keyframes[0]), line.start)
        in_order = line.packet_times is not None or (line.counted and not line.keyframes)
        if self.seekable and not in_order:
            try:
                self.container.seek(first, stream=self.stream)
                self._begin()
                landed = self._peek()
                if landed is not None and landed[0] <= line.start:
                    return
            except (av.FFmpegError, OSError):
                self.seekable = False
        else:
            self.seekable = False
        seekable, self.first = self.seekable, None
        self.container.close()
        self._open()
        self.seekable = seekable
        self._begin()

    def _begin(self) -> None:
        self._ahead = None
        self._started = True
        self._read = self._skip_to = self._silent = 0
        if self.timeline.packet_times is not None:
            self._frames = self._in_order(self._decode_in_order())
        elif self.timeline.counted:
            self._frames = self._decode_counted()
        else:
            self._frames = self._in_order(self._decode())

    def _no_frames(self) -> VideoError:
        if self._unknown:
            return self._unsupported()
        if not self.timeline.complete:
            return VideoError(
                self.path,
                "truncated",
                "the file was cut short before its first frame. Copy or download it again.",
            )
        return VideoError(
            self.path,
            "no_frames",
            "the file has a video stream, but no frame of it can be decoded. "
            "Re-encode it from the original, or leave it out.",
        )

    def _decode(self) -> Iterator[Shown]:
        """Yield frames with their times, from the next keyframe packet on."""
        first_key: int | None = None
        latest: int | None = None
        begun = False
        for packet in self._packets():
            if packet.size and not begun:
                if not packet.is_keyframe and self._has_keyframes:
                    continue
                begun = True
                first_key = packet.pts
            for frame in self._frames_of(packet):
                if frame.pts is not None and (first_key is None or frame.pts >= first_key):
                    # Frames shown before the keyframe depend on what came before the seek.
                    if self.timeline.times is None and latest is not None and frame.pts <= latest:
                        raise EndedEarly
                    latest = frame.pts
                    yield frame.pts, frame

    def _in_order(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        """Yield frames with times that never go back, whatever a damaged packet states.

        A frame that leaps over times at which others are shown waits for the frame after it, which
        may show that the leap was none.
        """
        times = self.timeline.times or ()
        latest: int | None = None
        waiting: Shown | None = None
        for ticks, frame in frames:
            if waiting is not None and latest is not None:
                latest = max(latest, min(waiting[0], ticks))
                yield latest, waiting[1]
                waiting = None
            if latest is not None:
                expected = bisect_right(times, latest)
                if expected < len(times) and times[expected] < ticks:
                    waiting = ticks, frame
                    continue
                ticks = max(ticks, latest)
            latest = ticks
            yield ticks, frame
        if waiting is not None:
            yield waiting

    def _decode_counted(self) -> Iterator[Shown]:
        """Yield frames with the times that belong to their numbers in order of display.

        After a seek the number of a frame is known from the second keyframe on: all packets before
        it are shown before it, and so are those after it that the decoder gives earlier.
        """
        line = self.timeline
        times = line.times or ()
        keys = set(line.packet_keys)
        number = None if line.order else 0  # of the next packet
        order = 0 if number == 0 else None  # of the next frame
        first, earlier = -1, []
        for packet in self._packets():
            frames = self._ended(packet)
            if packet.size and line.order:
                if number is None:
                    if packet.dts is None or not packet.is_keyframe:
                        continue
                    first = number = bisect_left(line.order, packet.dts)
                    order = number if number == 0 or not line.reordered else None
                packet.pts, number = number, number + (not packet.is_discard)
            for frame in [*frames, *self._frames_of(packet)]:
                if order is None and frame.pts in keys and frame.pts > first:
                    order = frame.pts + sum(other > frame.pts for other in earlier)
                if order is None:
                    earlier.append(-1 if frame.pts is None else frame.pts)
                    continue
                yield times[min(order, len(times) - 1)], frame
                order += 1

    def _decode_in_order(self) -> Iterator[Shown]:
        """Yield frames with the times that the timeline gives to their packets.

        Packets before `_skip_to` are not decoded; it may be raised on the way, to a keyframe.
        """
        times = self.timeline.packet_times or ()
        floor = self.timeline.start - 1
        skipped = False
        for packet in self._packets():
            frames: list[av.VideoFrame] = []
            if packet.size and self._read < len(times):
                time = times[self._read]
                if self._read < self._skip_to:
                    self._read += 1
                    skipped = True
                    continue
                frames = self._ended(packet)
                if skipped:
                    skipped, floor = False, time - 1
                packet.pts, packet.dts = time, None
            for frame in [*frames, *self._frames_of(packet)]:
                # Frames shown before the keyframe depend on what was skipped.
                if frame.pts is not None and frame.pts > floor:
                    yield frame.pts, frame

    def _ended(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Return what the decoder still holds of a recording if the packet begins another one.

        Some decoders forget these frames when the size of frames changes.
        """
        if not packet.size:
            return []
        self._read += 1
        if self._read - 1 not in self.timeline.breaks:
            return []
        context = self.stream.codec_context
        depth = context.reorder_depth
        try:
            frames = context.decode(None)
        except (av.FFmpegError, ValueError):
            frames = []
        context.flush_buffers()
        context.reorder_depth = depth  # which flushing forgets
        return frames

    def _frames_of(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Decode a packet; one that cannot be decoded gives no frame."""
        self.clock.check()
        try:
            frames = packet.decode()
        except av.error.PatchWelcomeError:
            frames, self._unknown = [], True
        except (av.FFmpegError, ValueError):
            frames = []
        self._silent = 0 if frames else self._silent + 1
        for frame in frames:
            if frame.width * frame.height > self.budget.frame_pixels:
                raise VideoError(
                    self.path,
                    "too_large",
                    f"a frame has {frame.width} x {frame.height} pixels, more than "
                    f"{self.budget.frame_pixels:,}. Scale the video down, or allow more with "
                    "budget=Budget(frame_pixels=...).",
                )
        return frames

    def _packets(self) -> Iterator[av.Packet]:
        """Yield packets up to the end of the file, or up to where it is damaged."""
        with suppress(*DEMUX_ERRORS):
            for packet in self.container.demux(self.stream):
                yield packet
                if self._silent > MAX_SILENT_PACKETS:
                    return

    @property
    def _has_keyframes(self) -> bool:
        return self.timeline.keyframes is None or bool(self.timeline.keyframes)

    def _peek(self) -> Shown | None:
        if self._ahead is None:
            self._ahead = next(self._frames, None)
            if self.first is None and self._ahead is not None:
                self.first = Orientation(self._ahead[1])
        return self._ahead

    def first_frame(self) -> Orientation:
        """Return how the video's first frame is oriented, and its size; no frame is consumed.

        Raises
        ------
        VideoError
            If no frame can be decoded.
        """
        if self.first is None:
            self._peek()
        if self.first is None:
            raise self._no_frames()
        return self.first

    def _should_seek(self, ticks: int) -> bool:
        """Whether a keyframe lies between the next frame and a requested time."""
        if self.timeline.packet_times is not None:
            ahead = self._peek()
            number = self._key_before(ticks)
            return ahead is not None and number > self._read and self._time_of(number) > ahead[0]
        if not self.seekable:
            return False
        ahead = self._peek() if self._started else None
        if ahead is None:
            return True
        position = ahead[0]
        if self.timeline.keyframes is not None:
            key = self.timeline.keyframe_before(ticks)
            return key is not None and key > position
        entries = self.stream.index_entries
        entry = entries.search_timestamp(ticks, backward=True) if len(entries) else -1
        if entry >= 0 and entries[entry].timestamp > position:
            return True
        gap = float((ticks - position) * self.timeline.time_base)
        return self._blind and gap > BLIND_SEEK_S

    def _seek(self, ticks: int) -> None:
        """Seek to a frame at or before a time from which decoding gives the true pixels."""
        if self.timeline.packet_times is not None:
            self._skip_to = self._key_before(ticks)
            context = self.stream.codec_context
            depth = context.reorder_depth
            context.flush_buffers()
            context.reorder_depth = depth  # which flushing forgets
            self._ahead = None
            return
        before = self._ahead[0] if self._ahead else None
        key = self.timeline.keyframe_before(ticks)
        goal = ticks if key is None else self.timeline.decoded_at(key)
        back = max(1, round(1 / self.timeline.time_base))  # a tick may be longer than a second
        while goal > self.timeline.start:
            self.clock.check()
            try:
                self.container.seek(goal, stream=self.stream)
            except (av.FFmpegError, OSError):
                break
            self._begin()
            landed = self._peek()
            if landed is not None and landed[0] <= ticks:
                if before is not None and landed[0] <= before:
                    self._blind = False
                return
            goal, back = goal - back, 2 * back
        self.rewind()

    def _key_before(self, ticks: int) -> int:
        """Return the number of the last key packet that is shown at or before a time, or 0."""
        keys = self.timeline.packet_keys
        index = bisect_right(keys, ticks, key=self._time_of)
        return keys[index - 1] if index else 0

    def _time_of(self, number: int) -> int:
        return (self.timeline.packet_times or ())[number]

    def frames_at(self, ticks: list[int]) -> Iterator[Shown]:
        """Yield the frame on display at each of the sorted times, with the time when it appears.

        Times before the first frame give the first one, times after the last frame the last one.

        Raises
        ------
        VideoError
            If no frame can be decoded.
        EndedEarly
            If only the header was read and declared too much: call `scan`, then try again.
        """
        current: Shown | None = None
        for target in ticks:
            if self._should_seek(target):
                self._seek(target)
                current = self._peek() or current
            while (ahead := self._peek()) is not None:
                if current is not None and ahead[0] > target:
                    break
                current, self._ahead = ahead, None
            if ahead is None and self.timeline.times is None:
                self._refuse_early_end(current, target)
            if current is None:
                raise self._no_frames()
            yield current

    def _refuse_early_end(self, current: Shown | None, target: int) -> None:
        """Raise if a requested time is beyond the last frame, while only the header is known."""
        step = 1 / (nominal_rate(self.stream) * self.timeline.time_base)
        if current is None or target > current[0] + max(current[1].duration or 0, 2 * step):
            raise EndedEarly

    def frames_between(self, start: int, end: int) -> Iterator[Shown]:
        """Yield all frames that appear from `start` on and before `end`, else the one on display.

        Raises
        ------
        VideoError
            If no frame can be decoded.
        EndedEarly
            If only the header was read and declared too much: call `scan`, then try again.
        """
        if self._should_seek(start):
            self._seek(start)
        before: Shown | None = None
        any_within = False
        while (ahead := self._peek()) is not None and ahead[0] < end:
            self._ahead = None
            if ahead[0] >= start:
                any_within = True
                yield ahead
            else:
                before = ahead
        if any_within:
            return
        if ahead is None and self.timeline.times is None:
            self._refuse_early_end(before, start)
        instead = before or ahead
        if instead is None:
            raise self._no_frames()
        yield instead

    @property
    def rate(self) -> float:
        """Frames per second."""
        return float(nominal_rate(self.stream))


def open_container(path: Path, file: Path, error: type[MediaError]) -> InputContainer:
    """Open a file by its content, whatever its name is.

    Parameters
    ----------
    path
        The file, for messages.
    file
        Its absolute path.
    error
        The class of error to raise.

    Raises
    ------
    MediaError
        With the reason `"truncated"` where the beginning is that of a recording, else
        `"not_a_video"` or, of a `SoundError`, `"not_media"`.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        return av.open(str(file), metadata_errors="replace", container_options=options)
    except (av.FFmpegError, OSError, ValueError) as problem:
        with file.open("rb") as content:
            head = content.read(16)
        if any(head[at : at + len(mark)] == mark for mark, at in SIGNATURES.items()):
            raise error(
                path,
                "truncated",
                "it starts like a video, but its index is missing or damaged: a recording or "
                "copy was cut short. Copy it again or repair it from the original.",
            ) from problem
        video = issubclass(error, VideoError)
        raise error(
            path,
            "not_a_video" if video else "not_media",
            f"its content is {'no video' if video else 'neither video nor sound'} in a known "
            "format, whatever its name says. Replace it, or leave it out.",
        ) from problem
