"""Writing clips: H.264 and AAC that every browser plays, the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from os import PathLike
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from vidrec_utils.arguments import positive
from vidrec_utils.files import draft_folder

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

SOUND_RATES = (
    *(7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000),
    *(32_000, 44_100, 48_000, 64_000, 88_200, 96_000),
)
"""Samples a second that AAC has a code for (ISO/IEC 14496-3, table 1.18)."""

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""Number of channels -> their arrangement around the listener, as FFmpeg names it."""

FRAME_SAMPLES = 1024
"""Samples of one channel that AAC encodes together."""


def write_clip(
    path: str | PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    crf: int = 23,
    preset: str = "veryfast",
    gop: int | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int | None = None,
    sound_bit_rate: int | None = None,
) -> Path:
    """Write frames as an H.264 clip (yuv420p, index in front), with sound as AAC, atomically.

    The same frames, sound and settings give the same bytes with the same version of the encoder:
    one thread, no clock, no random identifier. H.264 with 4:2:0 colour needs even sides, so an odd
    width or height is made even by repeating the last column or row.

    Sound and picture begin together. The sound may be shorter or longer than the picture; it is
    neither cut nor padded. AAC is lossy, and works on pieces of 1,024 samples: a reader may get up
    to that many samples of silence more at the end.

    Parameters
    ----------
    path
        Target, `.mp4`, `.m4v`, `.mov` or `.mkv`. Missing folders are made; an older file of that
        name is replaced when the new one is complete. What killed writers of the same clip left
        behind is removed.
    frames
        uint8 frames of shape (height, width, 3), RGB, all of one size: an array
        (n, height, width, 3) or any iterable, which is consumed one frame at a time.
    fps
        Frames per second.
    crf
        Constant rate factor: 0 (largest file) to 51 (worst image).
    preset
        x264's compromise between time and size, `"ultrafast"` to `"veryslow"`.
    gop
        Largest distance of two keyframes in frames; x264's default is 250.
    sound
        Samples between -1 and 1, of a floating type: shape (samples,) for one channel, or
        (channels, samples) for up to six, in FFmpeg's order (left, right, centre, low frequencies,
        back left, back right). Without it the clip has no sound track.
    sound_rate
        Samples a second, one of `SOUND_RATES`. Needed with `sound`, and only then.
    sound_bit_rate
        Bits a second of all channels together; 64,000 for each channel by default. The encoder
        takes less where the rate of samples does not allow so many.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ValueError
        If there are no frames, or one has another shape or type, or `fps`, `crf` or the suffix
        is invalid; if `sound` has another shape or type, no samples, or samples that are no numbers
        between -1 and 1; if AAC does not know `sound_rate`, or `sound_bit_rate` is not positive.

    Examples
    --------
    >>> import tempfile
    >>> from vidrec_utils import video_io
    >>> frames = np.zeros((3, 32, 48, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = video_io.probe(write_clip(Path(folder, "black.mp4"), frames, fps=2))
    >>> info.n_frames, info.duration_s, (info.height, info.width)
    (3, 1.5, (32, 48))

    A tone of 440 Hz goes with the picture:

    >>> tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16_000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "tone.mp4")
    ...     info = video_io.probe(write_clip(path, frames, fps=2, sound=tone, sound_rate=16_000))
    >>> info.has_audio, info.duration_s
    (True, 1.5)
    """
    path = Path(path)
    container = FORMATS.get(path.suffix.lower())
    if container is None:
        raise ValueError(f"{path}: the name of a clip ends in one of {', '.join(FORMATS)}.")
    rate = Fraction(fps).limit_denominator(65535)
    if rate <= 0:
        raise ValueError(f"fps is {fps}; give a number above 0.")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf is {crf}; give 0 (best image) to 51 (smallest file).")
    track = _sound_track(sound, sound_rate, sound_bit_rate)

    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write.")
    first = _checked(first, None, 0)

    with draft_folder(path) as folder:
        draft = folder / "clip"
        _encode(
            draft, container, chain([first], remaining), first.shape, rate, crf, preset, gop, track
        )
        draft.replace(path)
    return path


@dataclass(frozen=True)
class _SoundTrack:
    """What goes beside the picture: float32 samples (channels, samples), and how to encode them."""

    samples: np.ndarray
    rate: int
    bit_rate: int


def _encode(
    draft: Path,
    container: str,
    frames: Iterable[np.ndarray],
    shape: tuple[int, ...],
    rate: Fraction,
    crf: int,
    preset: str,
    gop: int | None,
    track: _SoundTrack | None,
) -> None:
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    options = {"fflags": "+bitexact"}
    if container != "matroska":
        options["movflags"] = "+faststart"
    with av.open(str(draft), "w", format=container, container_options=options) as output:
        # x264's macroblock tree gives other bytes from run to run at widths such as 96 or 112.
        codec = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0"}
        stream = output.add_stream("libx264", rate=rate, options=codec)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if gop is not None:
            stream.codec_context.gop_size = gop
        sound = None if track is None else _SoundEncoder(output, track)
        scaler = av.video.reformatter.VideoReformatter()
        for number, image in enumerate(frames):
            image = _even(_checked(image, shape, number))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = scaler.reformat(frame, format="yuv420p", threads=1)
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(stream.encode(frame))
            if sound is not None:
                # Sound and picture alternate, so that a player finds close together what it
                # shows and plays together.
                sound.mux_until((number + 1) / rate)
        output.mux(stream.encode(None))
        if sound is not None:
            sound.finish()


class _SoundEncoder:
    """The sound of a file that is being written, of which a part is encoded already."""

    def __init__(self, output: OutputContainer, track: _SoundTrack) -> None:
        self.output, self.track = output, track
        self.layout = LAYOUTS[len(track.samples)]
        # Of FFmpeg's two searches for scale factors the fast one takes 0.4 times as long; at low
        # rates its sound is closer to the original, too.
        options = {"flags": "bitexact", "aac_coder": "fast"}
        self.stream = output.add_stream("aac", rate=track.rate, layout=self.layout, options=options)
        self.stream.bit_rate = track.bit_rate
        self.stream.codec_context.thread_count = 1
        self.encoded = 0

    def mux_until(self, seconds: Fraction) -> None:
        """Encode and write piece by piece, until this time is reached or nothing is left."""
        samples, rate = self.track.samples, self.track.rate
        while self.encoded < min(seconds * rate, samples.shape[1]):
            piece = samples[:, self.encoded : self.encoded + FRAME_SAMPLES]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(piece), format="fltp", layout=self.layout
            )
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = self.encoded
            self.output.mux(self.stream.encode(frame))
            self.encoded += piece.shape[1]

    def finish(self) -> None:
        """Encode and write what is left."""
        self.mux_until(Fraction(self.track.samples.shape[1], self.track.rate))
        self.output.mux(self.stream.encode(None))


def _sound_track(
    sound: np.ndarray | None, rate: int | None, bit_rate: int | None
) -> _SoundTrack | None:
    """Check what is to be heard; None if nothing is."""
    if sound is None:
        if rate is not None or bit_rate is not None:
            raise ValueError("sound_rate and sound_bit_rate go with sound; give the sound, too.")
        return None
    sound = np.asarray(sound)
    if not np.issubdtype(sound.dtype, np.floating) or sound.ndim not in (1, 2):
        raise ValueError(
            f"sound is {sound.dtype} of shape {sound.shape}; "
            "give floats of shape (samples,) or (channels, samples)."
        )
    samples = np.atleast_2d(sound)
    if len(samples) not in LAYOUTS:
        raise ValueError(
            f"sound has {len(samples)} channels; the shape is (channels, samples), with "
            f"1 to {max(LAYOUTS)} channels."
        )
    if not samples.shape[1]:
        raise ValueError("sound has no samples; leave it out to write a clip without sound.")
    # NaN compares false
    if not (np.abs(samples) <= 1).all():
        raise ValueError(
            "sound holds samples that are no numbers between -1 and 1; scale it, and replace what "
            "is NaN or infinite."
        )
    if rate not in SOUND_RATES:
        raise ValueError(
            f"sound_rate is {rate}; AAC knows {', '.join(map(str, SOUND_RATES))} samples a second."
        )
    if bit_rate is None:
        bit_rate = 64_000 * len(samples)
    positive(sound_bit_rate=bit_rate)
    return _SoundTrack(samples.astype(np.float32), int(rate), int(bit_rate))


def _checked(image: np.ndarray, shape: tuple[int, ...] | None, number: int) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"frame {number} is {image.dtype} of shape {image.shape}; "
            "give uint8 of shape (height, width, 3)."
        )
    if shape is not None and image.shape != shape:
        raise ValueError(
            f"frame {number} has shape {image.shape}, the first one {shape}; "
            "give all frames one size."
        )
    return image


def _even(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape[0] % 2, image.shape[1] % 2
    if rows or columns:
        image = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
