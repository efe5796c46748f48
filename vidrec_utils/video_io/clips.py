"""Reading clips: a description, a sample of frames, all frames of a span, a thumbnail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from vidrec_utils import arguments

from .errors import VideoError
from .painter import Orientation, Painter
from .reader import EndedEarly, Reader

Result = TypeVar("Result")

MAX_CLIP_BYTES = 2 * 2**30
"""`read_clip` refuses to return more than this at once."""


@dataclass(frozen=True)
class VideoInfo:
    """Description of a video file.

    Attributes
    ----------
    path : pathlib.Path
    width, height : int
        Size of upright frames in stored pixels, as `sample_frames` returns them. Pixels that are
        not square on the screen stay as they are stored.
    fps : float
        Frames per second; the mean for a variable rate.
    duration_s : float
        Seconds from the first frame's beginning to the last one's end.
    n_frames : int
        Frames that are shown.
    codec, container : str
        FFmpeg's names, for example `"h264"` and `"mp4"`.
    rotation : int
        Clockwise turn that players apply to the stored pixels: 0, 90, 180 or 270. Frames from
        this module are turned already.
    has_audio : bool
    variable_fps : bool
        Frames are not evenly spaced, so that a frame's number does not give its time.
    duration_is_estimated : bool
        The file does not state its duration; it was added up from its packets.
    truncated : bool
        The file declares more than it holds.
    """

    path: Path
    width: int
    height: int
    fps: float
    duration_s: float
    n_frames: int
    codec: str
    container: str
    rotation: int
    has_audio: bool
    variable_fps: bool
    duration_is_estimated: bool
    truncated: bool


def probe(path: str | PathLike[str]) -> VideoInfo:
    """Describe a video file. One frame is decoded, to verify that it can be.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    VideoInfo
        Size, rate, length and more.

    Raises
    ------
    VideoError
        If the file cannot be read as a video.
    """
    with Reader(path) as video:
        return _describe(video)


def _describe(video: Reader) -> VideoInfo:
    _, frame = next(video.frames_at([video.timeline.start]))
    orientation = Orientation(frame)
    height, width = orientation.size(frame.height, frame.width)
    line = video.timeline
    count = len(line.times) if line.times is not None else video.stream.frames
    rate = video.rate
    if line.times is not None:
        measured = count / line.duration_s
        rate = measured if abs(measured / rate - 1) > 0.01 else rate
    return VideoInfo(
        path=video.path,
        width=width,
        height=height,
        fps=rate,
        duration_s=line.duration_s,
        n_frames=count or max(1, round(line.duration_s * rate)),
        codec=video.stream.codec_context.codec.canonical_name,
        container=_container_name(video.container.format.name, video.path),
        rotation=orientation.degrees,
        has_audio=bool(video.container.streams.audio),
        variable_fps=line.variable,
        duration_is_estimated=not line.declared,
        truncated=not line.complete,
    )


def _container_name(names: str, path: Path) -> str:
    """Choose one of FFmpeg's names: the one of the file's suffix, else the usual one."""
    names_list = names.split(",")
    suffix = path.suffix.lower().lstrip(".")
    if suffix in names_list:
        return suffix
    return {"mov": "mp4"}.get(names_list[0], names_list[0])


def sample_frames(
    path: str | PathLike[str],
    n: int = 8,
    mode: Literal["uniform", "random"] = "uniform",
    *,
    seed: int | None = None,
    rng: np.random.Generator | None = None,
    size: int | tuple[int, int] | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    strict: bool = False,
) -> np.ndarray:
    """Sample frames spread over the length of a video, by seeking instead of decoding all.

    The span from `start_s` to `end_s` is cut into `n` equal segments. `"uniform"` takes the
    frame on display in the middle of each, `"random"` at a random time of each (as temporal
    segment networks are trained, Wang et al. 2016, https://arxiv.org/abs/1608.00859). Timestamps
    decide, so a variable frame rate needs no special treatment. A clip of fewer than `n` frames
    repeats them. The pixels are the same as after decoding everything.

    Parameters
    ----------
    path
        The file.
    n
        Number of frames.
    mode
        `"uniform"` or `"random"`.
    seed, rng
        For `"random"`: a seed or a generator.
    size
        None: as stored. An int: length of the shorter side, the aspect ratio kept. A pair:
        exactly (height, width).
    start_s, end_s
        The span in seconds from the first frame; `end_s` beyond the end means the end.
    strict
        Refuse files that are cut short instead of sampling what they hold.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (n, height, width, 3), upright RGB, in order of time.

    Raises
    ------
    VideoError
        If the file cannot be read as a video, or the span lies outside it.
    ValueError
        If an argument is invalid.

    Examples
    --------
    A clip of a dark, a grey and a light frame; the middle of its one segment shows grey:

    >>> import tempfile
    >>> from vidrec_utils import video_io
    >>> frames = np.full((3, 32, 48, 3), np.array([0, 128, 255])[:, None, None, None], np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = video_io.write_clip(Path(folder, "clip.mp4"), frames, fps=1)
    ...     middle = sample_frames(path, n=1)
    ...     both = sample_frames(path, n=2, size=(16, 24))
    >>> middle.shape, bool(abs(middle.mean() - 128) < 3)
    ((1, 32, 48, 3), True)
    >>> both.shape
    (2, 16, 24, 3)
    """
    return sample_clip(
        path,
        n,
        mode,
        seed=seed,
        rng=rng,
        size=size,
        start_s=start_s,
        end_s=end_s,
        strict=strict,
    )[0]


def sample_clip(
    path: str | PathLike[str],
    n: int = 8,
    mode: Literal["uniform", "random"] = "uniform",
    *,
    seed: int | None = None,
    rng: np.random.Generator | None = None,
    size: int | tuple[int, int] | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    strict: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Like `sample_frames`, with the second at which each frame appears.

    Parameters
    ----------
    path, n, mode, seed, rng, size, start_s, end_s, strict
        As for `sample_frames`.

    Returns
    -------
    frames : numpy.ndarray
        uint8 of shape (n, height, width, 3).
    times_s : numpy.ndarray
        float64 of shape (n,): seconds since the first frame of the file.

    Raises
    ------
    VideoError
        If the file cannot be read as a video, or the span lies outside it.
    ValueError
        If an argument is invalid.
    """
    arguments.at_least(1, n=n)
    arguments.one_of(("uniform", "random"), mode=mode)
    if mode == "random":
        rng = rng if rng is not None else np.random.default_rng(seed)
        positions = [Fraction(i) + Fraction(float(rng.random())) for i in range(n)]
    else:
        positions = [Fraction(2 * i + 1, 2) for i in range(n)]

    def paint(video: Reader) -> tuple[np.ndarray, np.ndarray]:
        start, end = _span(video, start_s, end_s, strict)
        seconds = [start + (end - start) * position / n for position in positions]
        return _paint_at(video, seconds, size)

    return _read(path, paint)


def probe_and_sample(
    path: str | PathLike[str], choose: Callable[[VideoInfo], int], *, strict: bool = False
) -> tuple[VideoInfo, np.ndarray]:
    """Do what `probe` and `sample_frames` do, but open the file once.

    Opening a short clip takes about as long as decoding ten of its frames.

    Parameters
    ----------
    path
        The file.
    choose
        From the result of `probe` to the number of frames; 0 for none.
    strict
        As for `sample_frames`.

    Returns
    -------
    info : VideoInfo
    frames : numpy.ndarray
        uint8 of shape (n, height, width, 3), as stored, upright RGB, in order of time.

    Raises
    ------
    VideoError
        If the file cannot be read as a video.
    ValueError
        If a number below 0 is chosen.
    """

    def look(video: Reader) -> tuple[VideoInfo, np.ndarray]:
        info = _describe(video)
        n = choose(info)
        if n < 0:
            raise ValueError(f"{n} frames were chosen; choose 0 or more.")
        if not n:
            return info, np.empty((0, info.height, info.width, 3), np.uint8)
        video.rewind()  # the first frame was decoded already
        start, end = _span(video, 0.0, None, strict)
        seconds = [start + (end - start) * Fraction(2 * i + 1, 2 * n) for i in range(n)]
        return info, _paint_at(video, seconds, None)[0]

    return _read(path, look)


def _read(path: str | PathLike[str], work: Callable[[Reader], Result]) -> Result:
    """Work on an open video; repeat it if the header turns out to declare too much."""
    with Reader(path) as video:
        try:
            return work(video)
        except EndedEarly:
            video.scan()
            return work(video)


def _span(
    video: Reader, start_s: float, end_s: float | None, strict: bool
) -> tuple[Fraction, Fraction]:
    """Return the requested span in seconds since the first frame, cut to the clip."""
    line = video.timeline
    if strict and not line.complete:
        raise VideoError(
            video.path,
            "truncated",
            f"the file declares more than its {line.duration_s:.3f} s: it was cut short. "
            "Copy it again, or read what it holds with strict=False.",
        )
    duration = (line.end - line.start) * line.time_base
    start = _exact(start_s)
    end = duration if end_s is None else min(_exact(end_s), duration)
    if start < 0:
        raise ValueError(f"start_s is {start_s}; times count from the first frame, so 0 or more.")
    if start >= end:
        until = "the end" if end_s is None else f"{end_s} s"
        raise VideoError(
            video.path,
            "out_of_range",
            f"there is nothing between {start_s} s and {until}: the video lasts "
            f"{float(duration):.3f} s. Choose an earlier start or a later end.",
        )
    return start, end


def _exact(seconds: float) -> Fraction:
    """Return the number that a float stands for: 0.4 is two fifths, its binary form is more."""
    return Fraction(seconds).limit_denominator(1_000_000)


def _ticks(video: Reader, second: Fraction) -> int:
    """Return the last tick that counts as being on display at a second.

    Containers round timestamps to their tick, so a frame that appears within a tick (at most a
    millisecond) after the requested second counts as shown.
    """
    line = video.timeline
    slack = min(line.time_base, Fraction(1, 1000))
    return line.start + math.floor((second + slack) / line.time_base)


def _paint_at(
    video: Reader, seconds: list[Fraction], size: int | tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    frames: np.ndarray | None = None
    painter: Painter | None = None
    times = np.empty(len(seconds))
    last: int | None = None
    for i, (ticks, frame) in enumerate(video.frames_at([_ticks(video, s) for s in seconds])):
        if painter is None or frames is None:
            painter = Painter(frame, size)
            _refuse_too_large(video, len(seconds), painter.shape)
            frames = np.empty((len(seconds), *painter.shape, 3), np.uint8)
        frames[i] = frames[i - 1] if i and ticks == last else painter.paint(frame)
        times[i] = (ticks - video.timeline.start) * video.timeline.time_base
        last = ticks
    assert frames is not None
    return frames, times


def _refuse_too_large(video: Reader, count: int, shape: tuple[int, int]) -> None:
    needed = count * shape[0] * shape[1] * 3
    if needed > MAX_CLIP_BYTES:
        raise VideoError(
            video.path,
            "too_large",
            f"{count} frames of {shape[1]}x{shape[0]} are {needed / 2**30:.1f} GiB. "
            "Ask for a shorter span, fewer frames a second or a smaller size.",
        )


def read_clip(
    path: str | PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: float | None = None,
    size: int | tuple[int, int] | None = None,
    *,
    strict: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Read all frames of a span, or frames at an even rate.

    Parameters
    ----------
    path
        The file.
    start_s, end_s
        The span in seconds from the first frame, `end_s` excluded; None means the end.
    fps
        None gives every frame that appears within the span (so that neighbouring spans share
        none; a span between two frames gives the one on display). A number gives the frame on
        display at `start_s`, `start_s + 1 / fps`, and so on.
    size
        As for `sample_frames`.
    strict
        Refuse files that are cut short instead of reading what they hold.

    Returns
    -------
    frames : numpy.ndarray
        uint8 of shape (t, height, width, 3), upright RGB.
    times_s : numpy.ndarray
        float64 of shape (t,): when each frame appears or, with `fps`, the times of the grid;
        seconds since the first frame of the file.

    Raises
    ------
    VideoError
        If the file cannot be read as a video, the span lies outside it, or its frames would need
        more than `MAX_CLIP_BYTES`.
    ValueError
        If an argument is invalid.
    """
    if fps is not None and not fps > 0:
        raise ValueError(f"fps is {fps}; give a number above 0, or None for every frame.")

    def paint(video: Reader) -> tuple[np.ndarray, np.ndarray]:
        start, end = _span(video, start_s, end_s, strict)
        if fps is None:
            return _paint_between(video, start, end, size)
        step = 1 / Fraction(fps).limit_denominator(65535)
        seconds = [start + i * step for i in range(math.ceil((end - start) / step))]
        return _paint_at(video, seconds, size)[0], np.array([float(s) for s in seconds])

    return _read(path, paint)


def _paint_between(
    video: Reader, start: Fraction, end: Fraction, size: int | tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    line = video.timeline
    first = line.start + math.ceil(start / line.time_base)
    last = line.start + math.ceil(end / line.time_base)
    painter: Painter | None = None
    images: list[np.ndarray] = []
    times: list[float] = []
    for ticks, frame in video.frames_between(first, last):
        painter = painter or Painter(frame, size)
        _refuse_too_large(video, len(images) + 1, painter.shape)
        images.append(np.ascontiguousarray(painter.paint(frame)))
        times.append(float((ticks - line.start) * line.time_base))
    return np.stack(images), np.array(times)


def thumbnail(path: str | PathLike[str], size: int = 128, at: float = 0.5) -> Image.Image:
    """Read one frame of a video as a small image.

    Parameters
    ----------
    path
        The file.
    size
        The longer side in pixels at most; a smaller video is not enlarged.
    at
        Position in the video, from 0 (first frame) to 1 (last frame).

    Returns
    -------
    PIL.Image.Image
        RGB, upright.

    Raises
    ------
    VideoError
        If the file cannot be read as a video.
    ValueError
        If `at` or `size` is invalid.
    """
    arguments.share(at=at)
    arguments.at_least(1, size=size)

    def paint(video: Reader) -> np.ndarray:
        line = video.timeline
        second = Fraction(at) * (line.end - line.start) * line.time_base
        _, frame = next(video.frames_at([_ticks(video, second)]))
        height, width = Orientation(frame).size(frame.height, frame.width)
        scale = min(1.0, size / max(height, width))
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        return np.ascontiguousarray(Painter(frame, shape).paint(frame))

    return Image.fromarray(_read(path, paint))
