"""Start codes in a stream of bytes that its codec never writes: another codec's data follow.

In raw streams, MPEG-TS and MPEG-PS a recording of another codec may be appended. The parser then
takes its data for those of the first codec, and the decoder gives no frames of it. Each codec
begins its units with the bytes 0, 0, 1 and a code, and keeps this pattern out of all other data, so
a code that the first codec does not have tells the second one.

Codes are those of ISO/IEC 13818-2 (MPEG-2), table 6-1; 14496-2 (MPEG-4), table 6-3; 14496-10
(H.264), table 7-1; 23008-2 (HEVC), table 7-1.
"""

from __future__ import annotations

import re

from av.container import InputContainer
from av.video.stream import VideoStream

STREAMS = ("mpegts", "mpeg", "m4v", "h264", "hevc", "mpegvideo")
"""FFmpeg's names of the containers whose packets hold start codes."""

# HEVC: the headers of all its parameter sets end in 1; MPEG-2: a slice never goes on with it.
_HEVC = rb"[\x40\x42\x44]\x01"
# H.264: a sequence's parameters, with the profiles that are in use.
_H264 = rb"[\x27\x47\x67][\x42\x4d\x58\x64\x6e\x7a\xf4]"
# MPEG-4: only its layers (20 to 2F) follow its objects (0 to 1F), where MPEG-2 has its slices.
_NO_OBJECT = rb"[\x00-\x1f](?!\x00\x00\x01[\x20-\x2f])[\x00-\xff]{4}"
# MPEG-2: slices are numbered by row, and no frame of it has as many as these codes of H.264.
_NO_SLICE = rb"[\x65\x67\x68]"
_MOST_ROWS = 0x60

_FOREIGN = {
    "h264": rb"[\x80-\xff]|" + _HEVC,
    "hevc": rb"[\x80-\xff]|" + _H264,
    "mpeg4": rb"[\x30-\xaf\xb8]|" + _NO_OBJECT,
    "mpeg1video": rb"[\xb0\xb1\xb6]|" + _HEVC,
    "mpeg2video": rb"[\xb0\xb1\xb6]|" + _HEVC,
}


def foreign_codes(container: InputContainer, stream: VideoStream) -> re.Pattern[bytes] | None:
    """Return a pattern that no packet of a stream holds unless its codec changes on the way.

    Parameters
    ----------
    container, stream
        The open file and its video.

    Returns
    -------
    re.Pattern or None
        None where packets hold no start codes, or those of the codec are not known here.
    """
    context = stream.codec_context
    name = context.codec.canonical_name
    if container.format.name not in STREAMS or name not in _FOREIGN:
        return None
    codes = _FOREIGN[name]
    if name.startswith("mpeg") and name != "mpeg4" and 0 < context.height <= 16 * _MOST_ROWS:
        codes += b"|" + _NO_SLICE
    return re.compile(rb"\x00\x00\x01(?:" + codes + rb")")
