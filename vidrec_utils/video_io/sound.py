"""Reading sound: one channel at a given rate, placed in time.

Time stamps decide what is heard when, as they do for frames: a track that begins later than the
image does so here, too, gaps are silent, and what overlaps is heard once. Samples lie on one grid,
`k / rate` seconds from the first frame for whole k, so that neighbouring spans of a file join
without a seam (in Matroska and FLV within the millisecond to which they round their times).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike

import numpy as np
from av.container import InputContainer

from .budget import Budget
from .errors import SoundError, guarded
from .streams import best_sound
from .timeline import counts_from_zero
from .track import RATES, Track, declared_duration

BYTES = 8
"""Memory for each sample: the blocks that were decoded, and the whole that they are joined to."""


@dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a file, in one channel.

    Attributes
    ----------
    samples : numpy.ndarray
        float32 of shape (n,), from -1 to 1.
    rate : int
        Samples a second.
    start_s : float
        When the first sample is heard, in seconds from the first frame of the video, or from the
        first sample of a file without frames.
    doubts : tuple of str
        What is odd about the track though it can be read; empty for nearly all files.
    """

    samples: np.ndarray
    rate: int
    start_s: float
    doubts: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class SoundInfo:
    """What a file's header says of its sound track.

    Attributes
    ----------
    codec : str
        FFmpeg's name, such as `"aac"`; empty if there is no decoder for it.
    rate : int
        Samples a second.
    channels : int
    duration_s : float or None
        Length in seconds; None if the header does not state it.
    """

    codec: str
    rate: int
    channels: int
    duration_s: float | None


def sound_info(container: InputContainer) -> SoundInfo | None:
    """Return what the header of an open file says of its sound track; None if there is none."""
    stream = best_sound(container)
    if stream is None:
        return None
    context = stream.codec_context
    duration = declared_duration(stream)
    if duration is not None and counts_from_zero(container):
        duration -= (stream.start_time or 0) * stream.time_base
    return SoundInfo(
        codec=context.codec.canonical_name if context is not None else "",
        rate=context.sample_rate if context is not None else 0,
        channels=context.channels if context is not None else 0,
        duration_s=None if duration is None else float(duration),
    )


def read_sound(
    path: str | PathLike[str],
    rate: int = 16_000,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    strict: bool = False,
    budget: Budget | None = None,
) -> Sound:
    """Read the sound of a video, or of a file of sound alone, as one channel.

    Of several tracks the one that players choose is read: the default one, else the first. A span
    in the middle of a long file is found by seeking. What an encoder puts in front of a track
    (priming) is left out where the file says how long it is.

    Damaged packets are left out, and `doubts` says so. That is known as far as the codec notices:
    a damaged packet of MP3 or PCM mostly decodes to noise, as those have no checksums.

    Channels are mixed with the levels of ITU-R BS.775-3 (centre 1, left and right .71, surrounds
    .5, no low-frequency effects), divided by their sum, so that the mixture is never louder than
    its loudest channel. Then libswresample changes the rate.

    Parameters
    ----------
    path
        The file.
    rate
        Samples a second of the result; any rate of the file is converted to it.
    start_s, end_s
        The span in seconds from the first frame of the video (from the first sample of a file
        without frames), `end_s` excluded; None means the end of the sound, which may be later than
        that of the video. The start may be below 0, for sound that begins before the first frame.
        The result begins and ends where there is sound: its `start_s` says when.
    strict
        Refuse files that are cut short instead of reading what they hold.
    budget
        What reading may cost; default `Budget()`.

    Returns
    -------
    Sound
        The samples, when they begin, and doubts about the track.

    Raises
    ------
    SoundError
        If the file has no sound track, it cannot be read, there is no sound within the span, or
        the result would need more memory than the budget allows.
    ValueError
        If an argument is invalid.

    References
    ----------
    ITU-R BS.775-3: Multichannel stereophonic sound system with and without accompanying picture,
    2012, annex 4.

    Examples
    --------
    The second quarter of a second of two loud channels:

    >>> import tempfile, wave
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "loud.wav")
    ...     with wave.open(str(path), "wb") as file:
    ...         file.setparams((2, 2, 8000, 0, "NONE", ""))
    ...         _ = file.writeframes(np.full((4000, 2), 2**14, "<i2").tobytes())
    ...     sound = read_sound(path, rate=8000, start_s=0.25)
    >>> sound.samples.shape, float(sound.samples[0]), sound.start_s
    ((2000,), 0.5, 0.25)
    """
    _check(rate, start_s, end_s)
    start = _exact(start_s)
    end = None if end_s is None or end_s == math.inf else _exact(end_s)
    with guarded(path, SoundError), Track(path, budget) as track:
        if strict and track.missing:
            raise SoundError(
                track.path,
                "truncated",
                f"it was cut short: {track.missing}. Copy it again, or read what it holds with "
                "strict=False.",
            )
        position, samples = _joined(track, int(rate), start, end)
        doubts = [f"it was cut short: {track.missing}"] if track.missing else []
        return Sound(samples, int(rate), position / rate, (*doubts, *track.doubts))


def _check(rate: float, start_s: float, end_s: float | None) -> None:
    """Refuse arguments that fit no file, before it is opened.

    Raises
    ------
    ValueError
        If the rate is none of sound, or a time is no number.
    """
    if not RATES[0] <= rate <= RATES[1] or rate != int(rate):
        raise ValueError(
            f"rate is {rate}; give a whole number of samples a second, {RATES[0]:,} to "
            f"{RATES[1]:,}."
        )
    if not math.isfinite(start_s):
        raise ValueError(f"start_s is {start_s}; give a time in seconds from the first frame.")
    if end_s is not None and math.isnan(end_s):
        raise ValueError(f"end_s is {end_s}; give a time in seconds, or None for the end.")


def _exact(seconds: float) -> Fraction:
    """Return the number that a float stands for: 0.4 is two fifths, its binary form is more."""
    return Fraction(seconds).limit_denominator(1_000_000)


def _joined(
    track: Track, rate: int, start: Fraction, end: Fraction | None
) -> tuple[int, np.ndarray]:
    """Return the grid position at which the sound of a span begins, and its samples."""
    first, last = math.ceil(start * rate), None if end is None else math.ceil(end * rate)
    blocks: list[tuple[int, np.ndarray]] = []
    for position, samples in track.resampled(rate, start, end):
        behind = position + len(samples)
        low, high = max(position, first), behind if last is None else min(behind, last)
        if low < high:
            blocks.append((low, samples[low - position : high - position]))
            _refuse_too_large(track, high - blocks[0][0], rate)
    if not blocks:
        raise _nothing(track, start, end)
    begin, (position, samples) = blocks[0][0], blocks[-1]
    joined = np.zeros(position + len(samples) - begin, np.float32)
    for position, samples in blocks:
        joined[position - begin : position - begin + len(samples)] = samples
    return begin, joined


def _refuse_too_large(track: Track, count: int, rate: int) -> None:
    if BYTES * count > track.budget.memory:
        raise SoundError(
            track.path,
            "too_large",
            f"{count / rate:,.0f} s of sound at {rate:,} samples a second take "
            f"{BYTES * count / 2**20:,.0f} MiB, of which {track.budget.memory / 2**20:,.0f} are "
            "allowed. Ask for a shorter span or a lower rate, or allow more with "
            "budget=Budget(memory=...).",
        )


def _nothing(track: Track, start: Fraction, end: Fraction | None) -> SoundError:
    """Return the error of a span without sound, or of a track without any."""
    if track.decoded is not None:
        until = "the end" if end is None else f"{float(end):g} s"
        return SoundError(
            track.path,
            "out_of_range",
            f"there is no sound between {float(start):g} s and {until}: what was decoded lasts "
            f"from {float(track.decoded[0]):.3f} to {float(track.decoded[1]):.3f} s. Choose "
            "another span.",
        )
    if track.missing:
        return SoundError(
            track.path,
            "truncated",
            "the file was cut short before its first sound. Copy or download it again.",
        )
    return SoundError(
        track.path,
        "no_samples",
        "the file has a sound track, but no sample of it can be decoded. Re-encode it from the "
        "original, or use its frames alone.",
    )
