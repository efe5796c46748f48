"""One open sound track: decoded samples in the order and at the times at which they are heard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from .budget import Budget, Clock
from .errors import SoundError, VideoError, existing_file
from .integrity import examine
from .reader import Reader, open_container
from .resampling import Run, mixture
from .scanning import ABSURD_S, DAMAGED, DEMUX_ERRORS, JUMP, JUMP_S, RESTART, SHORT, UNREAD
from .streams import best_sound, candidates
from .timeline import beyond_file, counts_from_zero, duration_tag, is_mp4, may_be_joined

RATES = (1_000, 384_000)
"""Samples a second, lowest and highest, that are read and that can be asked for."""

NEAR_S = Fraction(1, 100)
"""A time stamp that differs by less from the running clock is rounded: packets last longer."""

VORBIS_BLOCK = 8192
"""Samples of the longest block of Vorbis. Where long and short blocks meet, time stamps are off by
up to a quarter of one."""

BACK_S = 1
"""A clock that goes back further was set anew; up to here, packets overlap."""

PREROLL_S = Fraction(1, 2)
"""Decoding begins so long before a span: codecs mix neighbouring packets (MP3 up to 0.25 s)."""

SEEK_S = 2
"""Spans that begin earlier are read from the beginning of the file."""

AFTER_S = Fraction(1, 20)
"""Decoding goes on so long after a span, for the resampler's filter."""

SHORT_S = Fraction(1, 10)
"""A track that ends earlier than declared by less is as long as declared."""

NO_FRAME = "its first frame cannot be read, so times count from the first sample"
GAPS = "gaps between its packets are filled with silence"
OVERLAPS = "some of its packets overlap in time"
STAMPS = "some of its time stamps are damaged"


@dataclass(frozen=True)
class Piece:
    """Decoded samples of one packet.

    Attributes
    ----------
    start : Fraction or None
        When the first one is heard, in seconds; None: when the piece before has ended.
    rate : int
        Samples a second.
    samples : numpy.ndarray
        float32 of shape (n,).
    """

    start: Fraction | None
    rate: int
    samples: np.ndarray

    @property
    def length(self) -> Fraction:
        """Seconds."""
        return Fraction(len(self.samples), self.rate)


class Track:
    """A file, open for reading its sound once.

    Parameters
    ----------
    path
        The file.
    budget
        What reading it may cost; the time counts from now.

    Attributes
    ----------
    missing : str
        How the container shows that bytes are missing; empty if nothing does.
    doubts : list of str
        What was odd about the track up to now.
    decoded : tuple of Fraction, or None
        When the sound that was decoded up to now begins and ends, in seconds from zero.

    Raises
    ------
    SoundError
        If the file is absent, is no recording, or has no sound track.
    """

    def __init__(self, path: str | PathLike[str], budget: Budget | None = None) -> None:
        self.path = Path(path)
        self.budget = budget or Budget()
        self.file = existing_file(path, SoundError)
        self.doubts: list[str] = []
        self.decoded: tuple[Fraction, Fraction] | None = None
        self._clock = Clock(self.path, self.budget, SoundError)
        self._zero: Fraction | None = None
        self._restarted = False
        self._open()
        try:
            self._examine()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Track:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _open(self) -> None:
        self.container = open_container(self.path, self.file, SoundError)
        try:
            self.stream = self._choose_stream()
        except BaseException:
            self.container.close()
            raise
        for other in self.container.streams:
            if other is not self.stream:
                other.discard = av.stream.Discard.all

    def _choose_stream(self) -> AudioStream:
        stream = best_sound(self.container)
        if stream is None:
            raise SoundError(
                self.path,
                "no_sound",
                "the file has no sound track. Leave it out, or use its frames alone.",
            )
        if stream.codec_context is None:
            raise SoundError(
                self.path,
                "unsupported",
                "there is no decoder for its sound here. Re-encode it, for example to AAC.",
            )
        return stream

    def _examine(self) -> None:
        """Look at the container's lengths, and at when the first frame is shown."""
        self.missing, _ = examine(self.file, self.container.format.name)
        if not self.missing and beyond_file(self.container, self.file.stat().st_size):
            self.missing = "its index points beyond the end of the file"
        videos = candidates(self.container)
        start = videos[0].start_time if len(videos) == 1 else None
        if start is not None:
            self._zero = start * videos[0].time_base
        elif videos:
            self._zero = self._first_frame()

    def _first_frame(self) -> Fraction | None:
        """Return the time stamp of the first frame in seconds; None if none can be read.

        Packets are read to choose among several videos, or where the header states no start.
        """
        try:
            with Reader(self.path, self.budget) as video:
                start = video.stream.start_time
                return (video.timeline.start if start is None else start) * video.stream.time_base
        except VideoError:
            self._doubt(NO_FRAME)
            return None

    def resampled(
        self, rate: int, start: Fraction, end: Fraction | None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the sound of a span and of what is near it, in one channel.

        Parameters
        ----------
        rate
            Samples a second.
        start, end
            Seconds from the first frame, or from the first sample of a file without frames; None:
            up to the end.

        Yields
        ------
        position : int
            When the samples begin: `position / rate` seconds. Positions rise; between two blocks
            there may be a gap.
        samples : numpy.ndarray
            float32 of shape (n,).
        """
        run: Run | None = None
        for clock, piece in self._placed(self._from(start)):
            if end is not None and clock > end + AFTER_S:
                break
            if run is None or run.native != piece.rate or clock - run.end > NEAR_S / 2:
                if run is not None:
                    yield from run.flush()
                run = Run(clock, piece.rate, rate)
            yield from run.push(piece.samples)
        else:
            if run is not None:
                self._check_end(run.end)
        if run is not None:
            yield from run.flush()

    def _from(self, start: Fraction) -> Iterator[Piece]:
        """Decode from a time on, or from somewhat earlier; times count from zero."""
        pieces = self._pieces()
        first = next(pieces, None)
        if first is None:
            return
        if self._zero is None:
            self._zero = first.start or Fraction(0)
        if start > SEEK_S:
            sought = self._sought(self._zero + start - PREROLL_S)
            if sought is None:
                self.container.close()
                self._open()
                pieces = self._pieces()
                first = next(pieces, None)
            else:
                first, pieces = sought
        while first is not None:
            time = None if first.start is None else first.start - self._zero
            yield Piece(time, first.rate, first.samples)
            first = next(pieces, None)

    def _sought(self, time: Fraction) -> tuple[Piece, Iterator[Piece]] | None:
        """Seek and decode the first piece; None where that does not land at the time or before."""
        try:
            self.container.seek(math.floor(time / self.stream.time_base), stream=self.stream)
        except (av.FFmpegError, OSError):
            return None
        pieces = self._pieces()
        first = next(pieces, None)
        if first is None or first.start is None or first.start > time + PREROLL_S / 2:
            return None
        return first, pieces

    def _pieces(self) -> Iterator[Piece]:
        """Decode from where the container stands; what is damaged is left out."""
        for packet in self._packets():
            if packet.is_corrupt:
                self._doubt(DAMAGED)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._doubt(DAMAGED)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._doubt(DAMAGED)
                if frame.samples:
                    yield self._piece(frame)

    def _packets(self) -> Iterator[av.Packet]:
        packets = self.container.demux(self.stream)
        while True:
            self._clock.check()
            try:
                packet = next(packets, None)
            except DEMUX_ERRORS:
                self._doubt(UNREAD)
                return
            if packet is None:
                return
            yield packet

    def _piece(self, frame: av.AudioFrame) -> Piece:
        if not RATES[0] <= frame.sample_rate <= RATES[1]:
            raise SoundError(
                self.path,
                "unsupported",
                f"it states {frame.sample_rate:,} samples a second; sound has {RATES[0]:,} to "
                f"{RATES[1]:,}. It is damaged, or holds no sound: leave it out.",
            )
        samples = mixture(frame)
        if not np.isfinite(samples).all():  # of a damaged packet in floating point
            self._doubt(DAMAGED)
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        start = None if frame.pts is None else frame.pts * frame.time_base
        return Piece(start, frame.sample_rate, samples)

    def _placed(self, pieces: Iterable[Piece]) -> Iterator[tuple[Fraction, Piece]]:
        """Yield each piece with the time at which it is heard, without what overlaps.

        Times that are rounded, or were set anew on the way, follow the running clock; a time that
        is later is a gap, one that is earlier an overlap, of which the first piece is heard.
        """
        clock: Fraction | None = None
        shift = Fraction(0)
        for piece, following in with_next(pieces):
            time = None if piece.start is None else piece.start + shift
            if clock is None:
                clock = time or Fraction(0)
            drift = Fraction(0) if time is None else time - clock
            skipped = 0
            if abs(drift) > self._near:
                if self._goes_on(following, clock + piece.length - shift):
                    self._doubt(STAMPS)
                elif drift < -BACK_S or drift > self._longest_gap:
                    self._doubt(RESTART if drift < 0 else JUMP)
                    self._restarted = True
                    shift -= drift
                elif drift < 0:
                    self._doubt(OVERLAPS)
                    skipped = math.ceil(-drift * piece.rate)
                else:
                    self._doubt(GAPS)
                    clock += drift
            samples = piece.samples[skipped:]
            if following is None:
                samples = samples[: self._before_padding(clock, piece.rate)]
            if len(samples):
                end = clock + Fraction(len(samples), piece.rate)
                self.decoded = (self.decoded[0] if self.decoded else clock), end
                yield clock, Piece(time, piece.rate, samples)
                clock = end

    def _goes_on(self, following: Piece | None, time: Fraction) -> bool:
        """Whether the next piece begins when this one ends, as if this one's time were none."""
        if following is None or following.start is None:
            return False
        return abs(following.start - time) <= self._near

    @cached_property
    def _near(self) -> Fraction:
        """How far time stamps of honest files differ from the running clock, in seconds."""
        context = self.stream.codec_context
        if context.codec.canonical_name != "vorbis" or not context.sample_rate:
            return NEAR_S
        return max(NEAR_S, Fraction(VORBIS_BLOCK, 4 * context.sample_rate))

    @property
    def _longest_gap(self) -> int:
        return JUMP_S if may_be_joined(self.container) else ABSURD_S

    def _declared_end(self) -> Fraction | None:
        """Return when the track ends by its header, in seconds from zero; None if unknown."""
        form, zero = self.container.format.name, self._zero or Fraction(0)
        duration = declared_duration(self.stream)
        if duration is None or not (
            is_mp4(self.container) or form in ("wav", "flac") or counts_from_zero(self.container)
        ):
            return None
        begin = (self.stream.start_time or 0) * self.stream.time_base
        return duration - zero if counts_from_zero(self.container) else begin + duration - zero

    def _before_padding(self, clock: Fraction, rate: int) -> int | None:
        """Return how many samples of the last packet an MP4 declares; None: no limit."""
        end = self._declared_end() if is_mp4(self.container) and not self._restarted else None
        return round((end - clock) * rate) if end is not None and end > clock else None

    def _check_end(self, end: Fraction) -> None:
        declared = self._declared_end()
        if declared is None or self.missing or self._restarted or UNREAD in self.doubts:
            return
        if end < declared - SHORT_S:
            self._doubt(SHORT)

    def _doubt(self, doubt: str) -> None:
        if doubt not in self.doubts:
            self.doubts.append(doubt)


def declared_duration(stream: AudioStream) -> Fraction | None:
    """Return the duration of a sound track in seconds by its header, or None."""
    if stream.duration and stream.duration > 0:
        return stream.duration * stream.time_base
    return duration_tag(stream)


def with_next(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Piece | None]]:
    """Go through pieces, each with the one after it."""
    before: Piece | None = None
    for piece in pieces:
        if before is not None:
            yield before, piece
        before = piece
    if before is not None:
        yield before, None
