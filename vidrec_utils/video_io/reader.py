"""One open video: frames at given times, by seeking; the container is always closed again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path

import av

from .. import settings
from .errors import VideoError, existing_file
from .timeline import DEMUX_ERRORS, header_timeline, nominal_rate, scanned_timeline

SCAN_BYTES = 64 * 2**20
"""Up to this size all packets are read before seeking (not decoded), which costs milliseconds."""

MAX_FRAME_PIXELS = 89_000_000
"""Larger frames are refused: a damaged header may claim any size."""

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

SIGNATURES = {b"ftyp": 4, b"moov": 4, b"mdat": 4, b"\x1a\x45\xdf\xa3": 0, b"RIFF": 0, b"FLV": 0}


Shown = tuple[int, av.VideoFrame]
"""The tick at which a frame appears, and the decoded frame."""


class EndedEarly(Exception):
    """The video is shorter than its header says."""


class Reader:
    """A video file, open for reading frames.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    VideoError
        If the file is absent, is no video, or has no video stream.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.file = existing_file(path, VideoError)
        self._bytes = self.file.stat().st_size
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
        self.container = _open(self.path, self.file)
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
        small = context.width * context.height <= SMALL_FRAME_PIXELS
        context.thread_count = 1 if small else min(settings.threads(), MAX_DECODER_THREADS)
        self.seekable = True
        self._blind = True
        self._ahead: Shown | None = None
        self._frames: Iterator[Shown] = iter(())
        self._started = False

    def _choose_stream(self) -> av.video.stream.VideoStream:
        """Return the first video stream that is not the cover image of a piece of music."""
        covers = av.stream.Disposition.attached_pic
        streams = [s for s in self.container.streams.video if not s.disposition & covers]
        if not streams:
            raise VideoError(
                self.path,
                "no_video_stream",
                "the file holds sound or data but no video. Leave it out, or use its sound alone.",
            )
        if streams[0].codec_context is None:
            raise VideoError(
                self.path,
                "unsupported",
                "there is no decoder for its codec here. Re-encode it, for example to H.264.",
            )
        context = streams[0].codec_context
        if context.width * context.height > MAX_FRAME_PIXELS:
            raise VideoError(
                self.path,
                "too_large",
                f"its frames have {context.width} x {context.height} pixels, more than "
                f"{MAX_FRAME_PIXELS:,}. Scale it down before use.",
            )
        return streams[0]

    def _learn_timeline(self) -> None:
        """Read the timeline from the header of a large file, else from the packets."""
        if self._bytes > SCAN_BYTES:
            header = header_timeline(self.container, self.stream, self._bytes)
            if header is not None:
                self.timeline = header
                self._begin()
                ahead = self._peek()
                if ahead is not None and ahead[0] < header.end:
                    self.timeline = replace(header, start=ahead[0])
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
        self.timeline = scanned_timeline(self.container, self.stream, self._bytes)
        if not self.timeline.times:
            raise self._no_frames()
        self.rewind()

    def rewind(self) -> None:
        """Return to the first packet; the file is reopened where seeking is impossible."""
        keyframes = self.timeline.keyframes
        first = min(keyframes[0], self.timeline.start) if keyframes else self.timeline.start
        if self.seekable and not (self.timeline.counted and not keyframes):
            try:
                self.container.seek(first, stream=self.stream)
                self._begin()
                landed = self._peek()
                if landed is not None and landed[0] <= self.timeline.start:
                    return
            except (av.FFmpegError, OSError):
                self.seekable = False
        else:
            self.seekable = False
        seekable = self.seekable
        self.container.close()
        self._open()
        self.seekable = seekable
        self._begin()

    def _begin(self) -> None:
        self._ahead = None
        self._started = True
        self._frames = self._decode()

    def _no_frames(self) -> VideoError:
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
        begun = False
        silent = 0
        order = 0
        for packet in self._packets():
            if packet.size:
                if packet.is_corrupt:
                    continue
                if not begun and not packet.is_keyframe and self._has_keyframes:
                    continue
                if not begun:
                    begun = True
                    first_key = packet.pts
                    if self.timeline.counted and self.timeline.keyframes:
                        order = bisect_left(self.timeline.times, packet.dts)
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError):
                frames = []
            silent = 0 if frames else silent + 1
            if silent > MAX_SILENT_PACKETS:
                return
            for frame in frames:
                if self.timeline.counted:
                    last = len(self.timeline.times) - 1
                    yield self.timeline.times[min(order, last)], frame
                    order += 1
                elif frame.pts is not None and (first_key is None or frame.pts >= first_key):
                    # Frames shown before the keyframe depend on what came before the seek.
                    yield frame.pts, frame

    def _packets(self) -> Iterator[av.Packet]:
        """Yield packets up to the end of the file, or up to where it is damaged."""
        with suppress(*DEMUX_ERRORS):
            yield from self.container.demux(self.stream)

    @property
    def _has_keyframes(self) -> bool:
        return self.timeline.keyframes is None or bool(self.timeline.keyframes)

    def _peek(self) -> Shown | None:
        if self._ahead is None:
            self._ahead = next(self._frames, None)
        return self._ahead

    def _should_seek(self, ticks: int) -> bool:
        """Whether a keyframe lies between the next frame and a requested time."""
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
        before = self._ahead[0] if self._ahead else None
        key = self.timeline.keyframe_before(ticks)
        goal = ticks if key is None else key
        back = round(1 / self.timeline.time_base)
        while goal > self.timeline.start:
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


def _open(path: Path, file: Path) -> av.container.InputContainer:
    """Open a file by its content, whatever its name is."""
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        return av.open(str(file), metadata_errors="replace", container_options=options)
    except (av.FFmpegError, OSError, ValueError) as problem:
        with file.open("rb") as content:
            head = content.read(16)
        if any(head[at : at + len(mark)] == mark for mark, at in SIGNATURES.items()):
            raise VideoError(
                path,
                "truncated",
                "it starts like a video, but its index is missing or damaged: a recording or "
                "copy was cut short. Copy it again or repair it from the original.",
            ) from problem
        raise VideoError(
            path,
            "not_a_video",
            "its content is no video in a known format, whatever its name says. Replace it, "
            "or leave it out.",
        ) from problem
