"""Videos, their sound, and images in and out: one facade over PyAV and Pillow.

`probe` describes a file, `sample_frames` samples a few frames by seeking, `frames_at` reads those
at chosen times, `read_clip` a span, `thumbnail` one image, `read_sound` the sound in one channel,
`write_clip` writes H.264 clips with AAC sound and `read_image` reads still images. Frames are uint8
RGB, upright, in stored pixels; sound is float32 from -1 to 1. Whatever is wrong with a file is
raised as a `VideoError`, `SoundError` or `ImageError` with `.path`, `.reason` and a sentence that
says what to do; the file is closed in every case. What reading one file may cost in time, pixels
and memory is its `Budget`.

Of several videos in one file the one that players show is read: see `streams.best_stream`. Colours
of a stream that states no matrix are read as ITU-R BT.601 of limited range, as FFmpeg does.
"""

from .budget import Budget
from .clips import (
    VideoInfo,
    frames_at,
    probe,
    probe_and_sample,
    read_clip,
    sample_clip,
    sample_frames,
    thumbnail,
)
from .errors import ImageError, MediaError, SoundError, VideoError
from .images import read_image
from .sound import Sound, SoundInfo, read_sound
from .writer import write_clip

__all__ = [
    "Budget",
    "ImageError",
    "MediaError",
    "Sound",
    "SoundError",
    "SoundInfo",
    "VideoError",
    "VideoInfo",
    "frames_at",
    "probe",
    "probe_and_sample",
    "read_clip",
    "read_image",
    "read_sound",
    "sample_clip",
    "sample_frames",
    "thumbnail",
    "write_clip",
]
