"""Bytes that are missing, as a container's own lengths show it.

A file counts as cut short only where its structure proves it: a box, chunk, cluster, tag, page or
frame that states its length ends beyond the file. A clock that jumps, a duration that is not
reached and frames that were dropped prove nothing. Streams without lengths (MPEG-TS, MPEG-PS, raw
video) can be cut anywhere and stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MAX_ELEMENTS = 2_000_000
"""After this many elements the walk ends; what lies behind counts as complete."""

_AVI_HEADER_BYTES = 4096
_AVI_VIDEO = re.compile(rb"strf[\0-\xff]{4}\x28\0\0\0[\0-\xff]{12}([\0-\xff]{4})")
"""The description of a video stream (BITMAPINFOHEADER); the group is the code of its codec."""
_RIFF_SLACK = 12
"""Writers count a chunk's own header or its padding in or out: so many bytes prove nothing."""


APPENDED = "another recording is appended, which may not be read whole"


def examine(file: Path, form: str) -> tuple[str, list[str]]:
    """Return how a container shows that bytes are missing, and what else is odd about it.

    Parameters
    ----------
    file : Path
        The file.
    form : str
        FFmpeg's name of the container, such as `"matroska,webm"`.

    Returns
    -------
    missing : str
        A clause, such as `"its chunk 'RIFF' ends beyond the file"`; empty if nothing shows it.
    doubts : list of str
        `APPENDED`, if the headers of another recording follow.
    """
    doubts: list[str] = []
    walk = _WALKS.get(form.split(",")[0])
    if walk is None:
        return "", doubts
    size = file.stat().st_size
    with file.open("rb") as content:
        element = walk(content, size, doubts)
    return (f"its {element} ends beyond the file" if element else ""), doubts


def _mp4(file: BinaryIO, size: int, doubts: list[str]) -> str:
    """Walk the boxes of a fragmented file; the index of any other says more than its boxes."""
    at, fragmented, indexed = 0, False, False
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 16)
        if len(head) < 8:
            return ""
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16])
        fragmented |= kind == b"moof"
        if kind == b"moov" and indexed and APPENDED not in doubts:
            doubts.append(APPENDED)
        indexed |= kind == b"moov"
        if length < 8:  # 0 means up to the end of the file
            return ""
        if fragmented and kind in (b"moof", b"mdat") and at + length > size:
            return f"box '{kind.decode()}'"
        at += length
    return ""


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def _matroska(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at = 0
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 12)
        name, name_length = _variable(head, marker=True)
        length, length_length = _variable(head[name_length:], marker=False)
        if not name_length or not length_length:
            return ""
        start = at + name_length + length_length
        if length is None:  # unknown: a live recording; its children follow
            if name not in (_SEGMENT, _CLUSTER):
                return ""
            at = start
            continue
        if start + length > size:
            kind = {_SEGMENT: "segment", _CLUSTER: "cluster"}.get(name, "last element")
            return str(kind)
        at = start + length
    return ""


def _variable(data: bytes, *, marker: bool) -> tuple[int | None, int]:
    """Return an EBML number and its length in bytes (0 if there is none); None means unknown."""
    if not data or not data[0]:
        return None, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return None, 0
    number = int.from_bytes(data[:length])
    if marker:
        return number, length
    number &= (1 << 7 * length) - 1
    return (None if number == (1 << 7 * length) - 1 else number), length


def _riff(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at, codec = 0, None
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 8)
        length = int.from_bytes(head[4:8], "little")
        described = _AVI_VIDEO.search(_read(file, at, _AVI_HEADER_BYTES))
        if described and codec not in (None, described[1]) and APPENDED not in doubts:
            doubts.append(APPENDED)  # whose frames a decoder of the first codec gets
        codec = codec or (described[1] if described else None)
        # Recordings that were interrupted, and those over 4 GB, state no length.
        if len(head) < 8 or head[:4] != b"RIFF" or length in (0, 2**32 - 1):
            return ""
        if at + 8 + length > size + _RIFF_SLACK:
            return "chunk 'RIFF'"
        at += 8 + length + length % 2
    return ""


def _flv(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at = int.from_bytes(_read(file, 5, 4)) + 4
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 4)
        if head[:3] == b"FLV":
            doubts.append(APPENDED)
        if len(head) < 4 or head[0] & 0x1F not in (8, 9, 18):
            return ""
        end = at + 11 + int.from_bytes(head[1:4])
        if end > size:
            return "last tag"
        at = end + 4
    return ""


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def _asf(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at = 0
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 24)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:  # a live recording states no length
            return ""
        if head[:16] == _ASF_DATA and at + length > size:
            return "data object"
        if at and head[:16] == _ASF_HEADER and APPENDED not in doubts:
            doubts.append(APPENDED)
        at += length
    return ""


def _ivf(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at = int.from_bytes(_read(file, 6, 2), "little")
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 12)
        if len(head) < 12:
            return "last frame" if head else ""
        if head[:4] == b"DKIF":
            doubts[:] = [APPENDED]
            at += int.from_bytes(head[6:8], "little")
            continue
        at += 12 + int.from_bytes(head[:4], "little")
        if at > size:
            return "last frame"
    return ""


_NUT = b"nut/multimedia container\0"


def _nut(file: BinaryIO, size: int, doubts: list[str]) -> str:
    """Look for a second file header; the packets of NUT state no length that proves anything."""
    at = len(_NUT)
    while at < size:
        if _NUT in _read(file, at, 2**20 + len(_NUT)):
            doubts.append(APPENDED)
            break
        at += 2**20
    return ""


def _ogg(file: BinaryIO, size: int, doubts: list[str]) -> str:
    at = 0
    for _ in range(MAX_ELEMENTS):
        head = _read(file, at, 27 + 255)
        if not head.startswith(b"OggS"):
            return ""
        segments = head[26] if len(head) > 26 else 255
        at += 27 + segments + sum(head[27 : 27 + segments])
        if len(head) < 27 + segments or at > size:
            return "last page"
    return ""


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    if at >= 2**63:
        return b""
    file.seek(at)
    return file.read(length)


_WALKS: dict[str, Callable[[BinaryIO, int, list[str]], str]] = {
    "mov": _mp4,
    "matroska": _matroska,
    "avi": _riff,
    "wav": _riff,
    "flv": _flv,
    "live_flv": _flv,
    "asf": _asf,
    "ivf": _ivf,
    "nut": _nut,
    "ogg": _ogg,
}
