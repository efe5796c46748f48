"""Which of a file's streams is *the* video, and which is its sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

ENOUGH = 250
"""Packets of one stream after which another that gave fewer than two does not move."""

_KINDS = av.stream.Disposition
NEVER = _KINDS.attached_pic | _KINDS.timed_thumbnails
"""Covers of music and preview images are no video, whatever else a file holds."""
RATHER_NOT = _KINDS.still_image | _KINDS.dependent | _KINDS.metadata
"""These are chosen only if there is nothing else."""


def candidates(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not covers."""
    return [stream for stream in container.streams.video if not stream.disposition & NEVER]


def best_stream(container: InputContainer, check: Callable[[], None]) -> int | None:
    """Return the index of the stream that is the video; None if there is none.

    In this order: it can be decoded; it has more than one frame, so that an unmarked cover or
    poster is not taken for the video; the file calls it the default; its frames are larger; it is
    longer; it comes first.

    Parameters
    ----------
    container
        Open, at its beginning. Packets are read if it has several candidates.
    check
        Called for each packet; it raises when the time is over.
    """
    streams = candidates(container)
    if len(streams) < 2:
        return streams[0].index if streams else None
    counts = _counts(container, streams, check)

    def rank(stream: VideoStream) -> tuple[bool, bool, bool, bool, int, float, int]:
        context = stream.codec_context
        return (
            context is not None,
            not stream.disposition & RATHER_NOT,
            counts[stream.index] > 1,
            bool(stream.disposition & _KINDS.default),
            context.width * context.height if context is not None else 0,
            float((stream.duration or 0) * (stream.time_base or 0)),
            -stream.index,
        )

    return max(streams, key=rank).index


def best_sound(container: InputContainer) -> AudioStream | None:
    """Return the sound track that players choose; None if there is none.

    In this order: it can be decoded; the file calls it the default; it comes first.
    """

    def rank(stream: AudioStream) -> tuple[bool, bool, int]:
        default = bool(stream.disposition & _KINDS.default)
        return stream.codec_context is not None, default, -stream.index

    return max(container.streams.audio, key=rank, default=None)


def _counts(
    container: InputContainer, streams: list[VideoStream], check: Callable[[], None]
) -> Counter[int]:
    """Count packets of each stream until each moves, or one has given enough of them."""
    counts: Counter[int] = Counter()
    decodable = [stream for stream in streams if stream.codec_context is not None]
    try:
        for packet in container.demux(decodable):
            check()
            counts[packet.stream_index] += packet.size > 0
            if counts[packet.stream_index] >= ENOUGH or (
                len(counts) == len(decodable) and min(counts.values()) > 1
            ):
                break
    except (av.FFmpegError, IndexError):
        pass
    return counts
