"""The timeline of a video from all its packets, none of which is decoded.

Most files state when each frame is shown, and their frames are found by that time. Four kinds of
honest files do not, and keep their true times all the same:

- AVI, ASF and some MXF store the order of decoding only: the i-th frame that the decoder gives
  belongs to the i-th time;
- MPEG programs and raw streams leave out most or all times: those between are filled in evenly;
- recordings that were joined start their clock again: the second begins where the first ends;
- more frames than the container has ticks share a time: they are spread within the tick.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

import av
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from .integrity import APPENDED
from .start_codes import foreign_codes
from .streams import candidates
from .timeline import (
    Timeline,
    beyond_file,
    declared_duration,
    duration_tag,
    is_mp4,
    may_be_joined,
    nominal_rate,
)

DEMUX_ERRORS = (av.FFmpegError, IndexError)
"""Errors of reading packets of a damaged file (IndexError: a stream appears late)."""

JUMP_S = 10
"""In streams that may be joined, a clock that leaps further was set anew (FFmpeg's own limit)."""

ABSURD_S = 30 * 86_400
"""No clock of any container is believed to leap further between two frames."""

NEAR = 17
"""More packets than any codec puts into another order at once."""

SHARED = 0.1
"""Share of frames that share their time up to which the order of packets tells them apart."""

FINER = 2520
"""A tick is cut into this many where frames share it: divisible by all numbers up to 10."""

FEW = 3
"""A stream of fewer packets is a still image, and no recording that was appended."""

RESTART = "its clock starts again"
JUMP = "its clock jumps"
COARSE = "several frames share a time"
DAMAGED = "some packets are damaged"
UNREAD = "it cannot be read to its end"
SHORT = "it ends earlier than it declares"
CODEC = "its codec changes on the way, and only the frames of one codec are read"


@dataclass(frozen=True)
class _Packet:
    """What is known of a packet without decoding it; times are in ticks."""

    decoded: int | None
    shown: int | None
    duration: int
    key: bool
    visible: bool
    damaged: bool


@dataclass(frozen=True)
class _Stream:
    """The packets of a stream and what they have in common.

    `clock` is when each packet is decoded, `breaks` are the packets at which the clock was set
    anew (the first of all included), `step` is the usual distance of two packets, and `delay` how
    many frames the decoder holds back to put them into order.
    """

    packets: list[_Packet]
    clock: list[int]
    breaks: list[int]
    step: int
    delay: int
    base: Fraction

    @property
    def visible(self) -> list[int]:
        """Numbers of the packets whose frame is shown."""
        return [number for number, packet in enumerate(self.packets) if packet.visible]

    def segments(self) -> list[list[int]]:
        """Return the visible packets between two breaks, for each segment that has any."""
        numbers = self.visible
        bounds = [bisect_left(numbers, start) for start in [*self.breaks, len(self.packets)]]
        return [numbers[a:b] for a, b in pairwise(bounds) if a < b]


def scanned_timeline(
    container: InputContainer,
    stream: VideoStream,
    file_bytes: int,
    missing: str = "",
    check: Callable[[], None] = lambda: None,
) -> Timeline:
    """Return the timeline of all packets of the stream; the container is left at its end.

    Parameters
    ----------
    container, stream
        The open file, at its beginning, and the stream.
    file_bytes
        Size of the file.
    missing
        How the container's lengths show that bytes are missing; see `integrity.examine`.
    check
        Called for each packet; it raises when the time is over.
    """
    doubts: list[str] = []
    packets = _scan(container, stream, check, doubts)
    if not any(packet.visible for packet in packets):
        line = Timeline(stream.time_base, 0, 0, (), ())
    else:
        line = _timeline(container, stream, packets, doubts)
    if not missing and beyond_file(container, file_bytes):
        missing = "its index points beyond the end of the file"
    declared = declared_duration(container, stream)
    anew = RESTART in doubts or JUMP in doubts
    if not missing and not anew and _falls_short(container, stream, declared, line, len(packets)):
        doubts.append(SHORT)
    return replace(line, declared=declared is not None, missing=missing, doubts=tuple(doubts))


def _scan(
    container: InputContainer, stream: VideoStream, check: Callable[[], None], doubts: list[str]
) -> list[_Packet]:
    packets: list[_Packet] = []
    vp8 = stream.codec_context.codec.canonical_name == "vp8"
    foreign = foreign_codes(container, stream)
    others = _other_streams(container, stream)
    arrivals: dict[int, list[int]] = {}
    try:
        for number, packet in enumerate(container.demux([stream, *others])):
            check()
            if not packet.size:
                continue
            if others:
                arrivals.setdefault(packet.stream_index, []).append(number)
            if packet.stream_index != stream.index:
                continue
            if foreign and CODEC not in doubts and foreign.search(packet):
                doubts.append(CODEC)
            # An "alternate reference" of VP8 is decoded, never shown, and may be a packet alone.
            hidden = packet.is_discard or (vp8 and not memoryview(packet)[0] & 0x10)
            duration = max(packet.duration or 0, 0)
            packets.append(
                _Packet(
                    packet.dts,
                    packet.pts,
                    duration,
                    packet.is_keyframe,
                    not hidden,
                    packet.is_corrupt,
                )
            )
    except DEMUX_ERRORS:
        doubts.append(UNREAD)
    for other in others:
        other.discard = Discard.all
    own = arrivals.pop(stream.index, [])
    if any(_apart(own, numbers) for numbers in arrivals.values()):
        doubts.append(APPENDED)
    return packets


def _other_streams(container: InputContainer, stream: VideoStream) -> list[VideoStream]:
    """Other videos of a container that may be joined, whose packets are read along."""
    if not may_be_joined(container):
        return []
    others = [
        other
        for other in candidates(container)
        if other.index != stream.index and other.codec_context is not None
    ]
    for other in others:
        other.discard = Discard.default
    return others


def _apart(own: list[int], others: list[int]) -> bool:
    """Whether the packets of one stream follow those of another: a recording was appended.

    The last packet of a stream is not looked at: its parser holds it until the end of the file.
    """
    if min(len(own), len(others)) < FEW:
        return False
    return own[-2] < others[0] or others[-2] < own[0]


def _timeline(
    container: InputContainer, stream: VideoStream, packets: list[_Packet], doubts: list[str]
) -> Timeline:
    """Choose how the times of the frames are known."""
    step = max(p.duration for p in packets if p.visible)
    step = step or max(1, round(1 / (nominal_rate(stream) * stream.time_base)))
    clock = _clock(packets, step)
    gaps = [gap for gap in (b - a for a, b in pairwise(clock)) if gap > 0]
    usual = median_low(gaps) if gaps else step
    breaks = _breaks(container, packets, clock, usual, stream.time_base, doubts)
    # Where two recordings meet, one of the last packets is called damaged, and is whole.
    if any(p.damaged and not {n + 1, n + 2} & set(breaks) for n, p in enumerate(packets)):
        doubts.append(DAMAGED)
    delay = stream.codec_context.reorder_depth
    line = _Stream(packets, clock, breaks, usual, delay, stream.time_base)
    by_decoding = container.format.name in ("avi", "asf") or (
        container.format.name == "mxf" and delay > 0 and all(p.shown == p.decoded for p in packets)
    )
    if by_decoding or any(packet.shown is None for packet in packets if packet.visible):
        seek = by_decoding and all(packet.decoded is not None for packet in packets)
        times = _counted(line, doubts, seek=seek)
    else:
        times = _shown(line, step, doubts)
    return replace(times, breaks=tuple(n for n in breaks if n and packets[n].key))


def _clock(packets: list[_Packet], step: int) -> list[int]:
    """Return when each packet is decoded; what is not stated follows from its neighbours."""
    stated = [packet.decoded for packet in packets]
    if all(ticks is None for ticks in stated):
        stated = [packet.shown for packet in packets]
    first = next((number for number, ticks in enumerate(stated) if ticks is not None), 0)
    clock: list[int] = []
    ticks = (stated[first] or 0) - step * first
    for packet, own in zip(packets, stated, strict=True):
        ticks = ticks if own is None else own
        clock.append(ticks)
        ticks += packet.duration or step
    return clock


def _breaks(
    container: InputContainer,
    packets: list[_Packet],
    clock: list[int],
    step: int,
    base: Fraction,
    doubts: list[str],
) -> list[int]:
    """Return the numbers of the packets at which the clock was set anew, the first included."""
    leap = math.ceil((JUMP_S if may_be_joined(container) else ABSURD_S) / base)
    by_keys = _breaks_by_keys(packets, step, leap)
    near = range(-NEAR, NEAR + 1)
    by_clock = [
        (number, back)
        for number, back in _breaks_by_clock(packets, clock, step, leap)
        if not {number + more for more in near} & {other for other, _ in by_keys}
    ]
    for _, back in by_keys + by_clock:
        doubt = RESTART if back else JUMP
        if doubt not in doubts:
            doubts.append(doubt)
    return sorted({0, *(number for number, _ in by_keys + by_clock)})


def _breaks_by_keys(packets: list[_Packet], step: int, leap: int) -> list[tuple[int, bool]]:
    """Return where a keyframe is shown before, or long after, all that was decoded before it.

    Nothing that is decoded before a keyframe is shown after it, unless the clock was set anew.
    """
    breaks: list[tuple[int, bool]] = []
    latest: int | None = None
    for number, packet in enumerate(packets):
        if packet.shown is None or not packet.visible:
            continue
        if packet.key and latest is not None:
            back = packet.shown <= latest - step
            if back or packet.shown > latest + leap:
                breaks.append((number, back))
                latest = None
        latest = packet.shown if latest is None else max(latest, packet.shown)
    return breaks


def _breaks_by_clock(
    packets: list[_Packet], clock: list[int], step: int, leap: int
) -> list[tuple[int, bool]]:
    """Return where decoding goes back in time, or leaps ahead."""
    breaks: list[tuple[int, bool]] = []
    # Where only display times are known, they go to and fro by as many frames as B-frames do.
    slack = step if any(packet.decoded is not None for packet in packets) else NEAR * step
    latest, last_shown = clock[0], None
    for number, (packet, ticks) in enumerate(zip(packets, clock, strict=True)):
        shown = packet.shown
        back, ahead = ticks < latest - slack, ticks > latest + leap
        if shown is not None and last_shown is not None:  # some containers only guess the clock
            back &= shown < last_shown - NEAR * step
            ahead &= shown > last_shown + leap
        if back or ahead:
            breaks.append((number, back))
            latest, last_shown = ticks, None
        latest = max(latest, ticks)
        if shown is not None:
            last_shown = shown if last_shown is None else max(last_shown, shown)
    return breaks


def _counted(line: _Stream, doubts: list[str], *, seek: bool) -> Timeline:
    """Give the i-th frame in order of display the i-th time of decoding, less the delay.

    A frame is decoded `delay` frames before its turn, so its time is that of the packet `delay`
    later; the last frames go on by the usual step.
    """
    segments = [sorted(line.clock[number] for number in s) for s in line.segments()]
    order = segments[0] if len(segments) == 1 else []
    moved = []
    for slots in segments:
        later = slots[line.delay :] or slots[-1:]
        tail = range(1, len(slots) - len(later) + 1)
        moved.append([*later, *(later[-1] + line.step * more for more in tail)])
    base, times, end = _joined(moved, [line.step] * len(moved), line.base, doubts)
    counted = Timeline(base, times[0], end, (), tuple(times), counted=True)
    if not (seek and base == line.base and order):
        return counted
    return replace(
        counted, order=tuple(order), reordered=line.delay > 0, **_anchors(line, order, times)
    )


def _anchors(line: _Stream, order: list[int], times: list[int]) -> dict[str, tuple[int, ...]]:
    """Return keyframes that can be sought where packets have no display time.

    How many frames that follow a keyframe are shown before it is seen only when the frames before
    it are decoded, too. So where frames are put into order, decoding begins a keyframe earlier, and
    an anchor serves times from the latest on at which it may be shown itself.
    """
    numbers = {number: index for index, number in enumerate(line.visible)}
    keys = [numbers[n] for n, packet in enumerate(line.packets) if packet.key and n in numbers]
    if not line.delay:
        return {
            "keyframes": tuple(times[key] for key in keys),
            "seeks": tuple(order[key] for key in keys),
            "packet_keys": tuple(keys),
        }
    anchors = [(before, key) for before, key in pairwise(keys) if key + NEAR < len(times)]
    return {
        "keyframes": (times[0], *(times[key + NEAR] for _, key in anchors)),
        "seeks": (order[0], *(order[before] for before, _ in anchors)),
        "packet_keys": tuple(keys),
    }


def _shown(line: _Stream, step: int, doubts: list[str]) -> Timeline:
    """Trust the stated display times, after breaks and shared ticks are mended."""
    packets, segments = line.packets, line.segments()
    ordered = [sorted(segment, key=lambda n: (packets[n].shown, n)) for segment in segments]
    stated = [
        _moved_back([packets[number].shown for number in segment], line.step) for segment in ordered
    ]
    lasts = [packets[segment[-1]].duration or step for segment in ordered]
    shared = sum(len(ticks) - len(set(ticks)) for ticks in stated)
    base, times, end = _joined(stated, lasts, line.base, doubts)
    if not shared and len(segments) == 1:
        keys = {p.shown for p in packets if p.key and p.shown is not None}
        return Timeline(base, times[0], end, tuple(sorted(keys)), tuple(times))
    if line.delay and shared > SHARED * len(times):
        return Timeline(base, times[0], end, (), tuple(times), counted=True)
    numbers = [number for segment in ordered for number in segment]
    by_packet = dict(zip(numbers, times, strict=True))
    return Timeline(
        base,
        times[0],
        end,
        (),
        tuple(times),
        packet_times=tuple(by_packet.get(number, times[0]) for number in range(len(packets))),
        packet_keys=tuple(n for n, p in enumerate(packets) if p.key and n in by_packet),
    )


def _moved_back(ticks: Sequence[int], step: int) -> list[int]:
    """Return sorted times of which those that repeat fill the gap before them, if they fit.

    One time for several frames of an MPEG program may be put on the last of them.
    """
    moved: list[int] = []
    for tick, run in zip(dict.fromkeys(ticks), _runs(ticks), strict=True):
        fits = run > 1 and moved and tick - moved[-1] >= run * step
        moved += [tick - (run - 1 - index) * step if fits else tick for index in range(run)]
    return moved


def _joined(
    segments: Sequence[Sequence[int]], lasts: Sequence[int], base: Fraction, doubts: list[str]
) -> tuple[Fraction, list[int], int]:
    """Return the tick, the times of all segments one after the other, and the end of the last.

    Parameters
    ----------
    segments
        Sorted times of each segment.
    lasts
        How long the last frame of each segment is shown.
    base
        Seconds in a tick; the result's tick is finer where frames share one.
    doubts
        Gets `COARSE` if frames share a time.
    """
    most = max(max(_runs(ticks)) for ticks in segments)
    finer = 1 if most == 1 else max(FINER, most)
    if most > 1:
        doubts.append(COARSE)
    times: list[int] = []
    end = segments[0][0] * finer
    for ticks, last in zip(segments, lasts, strict=True):
        offset = end - ticks[0] * finer
        spread = [
            tick * finer + index * finer // run + offset
            for tick, run in zip(dict.fromkeys(ticks), _runs(ticks), strict=True)
            for index in range(run)
        ]
        times += spread
        end = max(spread[-1] + 1, ticks[-1] * finer + offset + last * finer)
    return base / finer, times, end


def _runs(ticks: Sequence[int]) -> list[int]:
    """Return how often each different time occurs in a sorted sequence."""
    counts: dict[int, int] = {}
    for tick in ticks:
        counts[tick] = counts.get(tick, 0) + 1
    return list(counts.values())


def _falls_short(
    container: InputContainer,
    stream: VideoStream,
    declared: Fraction | None,
    line: Timeline,
    read: int,
) -> bool:
    """Whether packets are fewer or end earlier than the header declares.

    An MP4's edit list may leave out frames on purpose, an AVI's header counts dropped frames, and
    a duration of the whole container may be that of its sound.
    """
    if is_mp4(container):
        return False
    if read < stream.frames and container.format.name != "avi":
        return True
    only_whole = len(container.streams) > 1 and not stream.duration and not duration_tag(stream)
    if declared is None or only_whole:
        return False
    # Some containers declare the time of the end, others the distance from the start.
    reached = max(line.end, line.end - line.start)
    step = 1 / nominal_rate(stream)
    return reached * line.time_base < declared - max(Fraction(1, 2), 3 * step)
