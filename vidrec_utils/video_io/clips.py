"""Reading clips: a description, a sample of frames, all frames of a span, a thumbnail."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from vidrec_utils import arguments

from .budget import Budget
from .errors import VideoError, guarded
from .painter import Painter, target_size
from .reader import EndedEarly, Reader
from .sound import SoundInfo, sound_info
from .timeline import Timeline

Result = TypeVar("Result")


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
        Bytes are missing, as the container's own lengths show.
    doubts : tuple of str
        What is odd about the file though it can be read, such as `"its clock starts again"`; empty
        for nearly all files.
    missing : str
        How the container shows that bytes are missing; empty if nothing shows it.
    sound : SoundInfo or None
        Codec, rate, channels and length of the sound track that `read_sound` reads, as its header
        states them.
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
    doubts: tuple[str, ...] = ()
    missing: str = ""
    sound: SoundInfo | None = None


def probe(path: str | PathLike[str], *, budget: Budget | None = None) -> VideoInfo:
    """Describe a video file. One frame is decoded, to verify that it can be.

    Parameters
    ----------
    path
        The file.
    budget
        What reading may cost; default `Budget()`.

    Returns
    -------
    VideoInfo
        Size, rate, length and more.

    Raises
    ------
    VideoError
        If the file cannot be read as a video.
    """
    return _read(path, _describe, budget)


def _describe(video: Reader) -> VideoInfo:
    orientation = video.first_frame()
    line = video.timeline
    count = len(line.times) if line.times is not None else video.stream.frames
    rate = video.rate
    if line.times is not None:
        measured = count / line.duration_s
        rate = measured if abs(measured / rate - 1) > 0.01 else rate
    return VideoInfo(
        path=video.path,
        width=orientation.width,
        height=orientation.height,
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
        doubts=line.doubts,
        missing=line.missing,
        sound=sound_info(video.container),
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
    budget: Budget | None = None,
) -> np.ndarray:
    """Sample frames spread over the length of a video, by seeking instead of decoding all.

    The span from `start_s` to `end_s` is cut into `n` equal segments. `"uniform"` takes the
    frame on display in the middle of each, `"random"` at a random time of each (as temporal
    segment networks are trained, Wang et al. 2016, https://arxiv.org/abs/1608.00859). Timestamps
    decide, so a variable frame rate needs no special treatment. A clip of fewer than `n` frames
    repeats them. The pixels are the same as after decoding everything.

    Frames have the size of the video's first frame: where it changes on the way, the others are
    scaled to it. Colours follow the matrix and range that the stream states. A stream that states
    none is read as ITU-R BT.601 of limited range whatever its size, as FFmpeg does; players often
    take BT.709 for such a video of 720 lines and more, which shifts reds and greens by a few per
    cent.

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
    budget
        What reading may cost; default `Budget()`.

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
        budget=budget,
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
    budget: Budget | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Like `sample_frames`, with the second at which each frame appears.

    Parameters
    ----------
    path, n, mode, seed, rng, size, start_s, end_s, strict, budget
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
    _check_span(start_s, end_s, size)
    rng = rng if rng is not None else np.random.default_rng(seed)
    draws: list[Fraction] = []

    def paint(video: Reader) -> tuple[np.ndarray, np.ndarray]:
        start, end = _span(video, start_s, end_s, strict)
        _refuse_too_large(video, n, size)
        if not draws:
            drawn = rng.random(n).tolist() if mode == "random" else [0.5] * n
            draws.extend(map(Fraction, drawn))
        seconds = [start + (end - start) * (i + draw) / n for i, draw in enumerate(draws)]
        return _paint_at(video, seconds, size)

    return _read(path, paint, budget)


def frames_at(
    path: str | PathLike[str],
    seconds: ArrayLike | Callable[[float], ArrayLike],
    *,
    size: int | tuple[int, int] | None = None,
    strict: bool = False,
    budget: Budget | None = None,
) -> np.ndarray:
    """Read the frames on display at chosen times, in one pass over the file.

    Each frame is decoded once, in whatever order and however often its time is given.

    Parameters
    ----------
    path
        The file.
    seconds
        Times in seconds from the first frame, of any shape; or a function from the duration in
        seconds to them.
    size, strict, budget
        As for `sample_frames`.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (*shape of the times, height, width, 3), upright RGB.

    Raises
    ------
    VideoError
        If the file cannot be read as a video, or a time lies outside it.

    Examples
    --------
    A clip of a dark, a grey and a light frame, a second each:

    >>> import tempfile
    >>> from vidrec_utils import video_io
    >>> frames = np.full((3, 32, 48, 3), np.array([0, 128, 255])[:, None, None, None], np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = video_io.write_clip(Path(folder, "clip.mp4"), frames, fps=1)
    ...     light, dark = frames_at(path, [2.5, 0.5])
    ...     last = frames_at(path, lambda duration_s: [[duration_s - 0.1]])
    >>> bool(light.mean() > 250), bool(dark.mean() < 5), last.shape
    (True, True, (1, 1, 32, 48, 3))
    """
    _check_span(0.0, None, size)

    def paint(video: Reader) -> np.ndarray:
        end = _span(video, 0.0, None, strict)[1]
        times = _times_within(video.path, seconds, float(end))
        distinct, index = np.unique(times, return_inverse=True)
        _refuse_too_large(video, max(times.size, 1), size)
        if not times.size:
            first = video.first_frame()
            shape = target_size(first.height, first.width, size)
            return np.empty((*times.shape, *shape, 3), np.uint8)
        frames, _ = _paint_at(video, [_exact(second) for second in distinct], size)
        in_order = times.size == len(distinct) and bool(
            (index.ravel()[:-1] < index.ravel()[1:]).all()
        )
        return (frames if in_order else frames[index.ravel()]).reshape(
            *times.shape, *frames.shape[1:]
        )

    return _read(path, paint, budget)


def _times_within(
    path: Path, seconds: ArrayLike | Callable[[float], ArrayLike], duration_s: float
) -> np.ndarray:
    """The chosen times as float64; those that no frame is on display at are an error."""
    try:
        times = np.asarray(seconds(duration_s) if callable(seconds) else seconds, dtype=np.float64)
    except ValueError as problem:
        raise VideoError(path, "out_of_range", f"{problem}. Choose other times.") from problem
    outside = times[~((times >= 0) & (times <= duration_s))]
    if outside.size:
        raise VideoError(
            path,
            "out_of_range",
            f"there is no frame at {outside.flat[0]:g} s: the video lasts {duration_s:.3f} s. "
            "Choose times within it.",
        )
    return times


def probe_and_sample(
    path: str | PathLike[str],
    choose: Callable[[VideoInfo], int],
    *,
    strict: bool = False,
    budget: Budget | None = None,
) -> tuple[VideoInfo, np.ndarray]:
    """Do what `probe` and `sample_frames` do, but open the file once.

    Opening a short clip takes about as long as decoding ten of its frames.

    Parameters
    ----------
    path
        The file.
    choose
        From the result of `probe` to the number of frames; 0 for none.
    strict, budget
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
    with guarded(path, VideoError):
        opened = Reader(path, budget)
    with opened as video:
        info = _working(video, _describe)
        n = choose(info)
        if n < 0:
            raise ValueError(f"{n} frames were chosen; choose 0 or more.")
        if not n:
            return info, np.empty((0, info.height, info.width, 3), np.uint8)

        def paint(video: Reader) -> np.ndarray:
            video.rewind()  # the first frame was decoded already
            start, end = _span(video, 0.0, None, strict)
            _refuse_too_large(video, n, None)
            seconds = [start + (end - start) * Fraction(2 * i + 1, 2 * n) for i in range(n)]
            return _paint_at(video, seconds, None)[0]

        return info, _working(video, paint)


def _read(
    path: str | PathLike[str], work: Callable[[Reader], Result], budget: Budget | None
) -> Result:
    """Open a video and work on it."""
    with guarded(path, VideoError), Reader(path, budget) as video:
        return _working(video, work)


def _working(video: Reader, work: Callable[[Reader], Result]) -> Result:
    """Work on an open video; repeat it if the header turns out to declare too much."""
    with guarded(video.path, VideoError):
        try:
            return work(video)
        except EndedEarly:
            video.scan()
            return work(video)


def _check_span(start_s: float, end_s: float | None, size: int | tuple[int, int] | None) -> None:
    """Refuse arguments that fit no video, before it is opened.

    Raises
    ------
    ValueError
        If the start lies before the first frame, the end is no number, or a side is below 1.
    """
    if not 0 <= start_s < math.inf:
        raise ValueError(f"start_s is {start_s}; times count from the first frame, so 0 or more.")
    if end_s is not None and math.isnan(end_s):
        raise ValueError(f"end_s is {end_s}; give a time in seconds, or None for the end.")
    if size is not None:
        target_size(1, 1, size)


def _span(
    video: Reader, start_s: float, end_s: float | None, strict: bool
) -> tuple[Fraction, Fraction]:
    """Return the requested span in seconds since the first frame, cut to the clip."""
    line = video.timeline
    if strict and not line.complete:
        raise VideoError(
            video.path,
            "truncated",
            f"it was cut short: {line.missing}. Copy it again, or read the {line.duration_s:.3f} s "
            "that it holds with strict=False.",
        )
    duration = (line.end - line.start) * line.time_base
    start = _exact(start_s)
    end = duration if end_s is None or end_s > duration else _exact(end_s)
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
            painter = Painter(video.first_frame(), size)
            frames = np.empty((len(seconds), *painter.shape, 3), np.uint8)
        frames[i] = frames[i - 1] if i and ticks == last else painter.paint(frame)
        times[i] = (ticks - video.timeline.start) * video.timeline.time_base
        last = ticks
    assert frames is not None
    return frames, times


def _refuse_too_large(video: Reader, count: int, size: int | tuple[int, int] | None) -> None:
    first = video.first_frame()
    shape = target_size(first.height, first.width, size)
    needed = count * shape[0] * shape[1] * 3
    if count > video.budget.frames(*shape, first.height * first.width):
        raise VideoError(
            video.path,
            "too_large",
            f"{count} frames of {shape[1]}x{shape[0]} are {needed / 2**30:.1f} GiB, and decoding "
            f"takes more, of which {video.budget.memory / 2**30:.1f} are allowed. Ask for a "
            "shorter span, fewer frames a second or a smaller size, or allow more with "
            "budget=Budget(memory=...).",
        )


def read_clip(
    path: str | PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: float | None = None,
    size: int | tuple[int, int] | None = None,
    *,
    strict: bool = False,
    budget: Budget | None = None,
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
    budget
        As for `sample_frames`.

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
        more memory than the budget allows.
    ValueError
        If an argument is invalid.

    Examples
    --------
    A clip of three frames, a second each; the span from 1 s on holds two of them:

    >>> import tempfile
    >>> from vidrec_utils import video_io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = video_io.write_clip(
    ...         Path(folder, "clip.mp4"), np.zeros((3, 32, 48, 3), np.uint8), fps=1
    ...     )
    ...     frames, times_s = read_clip(path, start_s=1.0)
    ...     grid = read_clip(path, start_s=1.0, fps=2)[1]
    >>> frames.shape, times_s.tolist()
    ((2, 32, 48, 3), [1.0, 2.0])
    >>> grid.tolist()
    [1.0, 1.5, 2.0, 2.5]
    """
    if fps is not None and not fps > 0:
        raise ValueError(f"fps is {fps}; give a number above 0, or None for every frame.")
    _check_span(start_s, end_s, size)

    def paint(video: Reader) -> tuple[np.ndarray, np.ndarray]:
        start, end = _span(video, start_s, end_s, strict)
        if fps is None:
            return _paint_between(video, start, end, size)
        step = 1 / Fraction(fps).limit_denominator(65535)
        count = math.ceil((end - start) / step)
        _refuse_too_large(video, count, size)
        seconds = [start + i * step for i in range(count)]
        return _paint_at(video, seconds, size)[0], np.array([float(s) for s in seconds])

    return _read(path, paint, budget)


def _paint_between(
    video: Reader, start: Fraction, end: Fraction, size: int | tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    line = video.timeline
    first = line.start + math.ceil(start / line.time_base)
    last = line.start + math.ceil(end / line.time_base)
    _refuse_too_large(video, _expected(line, first, last), size)
    painter: Painter | None = None
    frames = np.empty((0, 0, 0, 3), np.uint8)
    times: list[float] = []
    for ticks, frame in video.frames_between(first, last):
        if painter is None:
            painter = Painter(video.first_frame(), size)
            frames = np.empty((_expected(line, first, last), *painter.shape, 3), np.uint8)
        _refuse_too_large(video, len(times) + 1, size)
        if len(times) == len(frames):
            more = np.empty((len(frames) // 2 + 1, *painter.shape, 3), np.uint8)
            frames = np.concatenate([frames, more])
        frames[len(times)] = painter.paint(frame)
        times.append(float((ticks - line.start) * line.time_base))
    frames = frames if len(times) == len(frames) else frames[: len(times)].copy()
    return frames, np.array(times)


def _expected(line: Timeline, first: int, last: int) -> int:
    """Return how many frames appear from one time to another, as far as that is known."""
    if line.times is None:
        return 1
    return max(1, bisect_left(line.times, last) - bisect_left(line.times, first))


def thumbnail(
    path: str | PathLike[str], size: int = 128, at: float = 0.5, *, budget: Budget | None = None
) -> Image.Image:
    """Read one frame of a video as a small image.

    Parameters
    ----------
    path
        The file.
    size
        The longer side in pixels at most; a smaller video is not enlarged.
    at
        Position in the video, from 0 (first frame) to 1 (last frame).
    budget
        As for `sample_frames`.

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
        first = video.first_frame()
        scale = min(1.0, size / max(first.height, first.width))
        shape = (max(1, round(first.height * scale)), max(1, round(first.width * scale)))
        return np.ascontiguousarray(Painter(first, shape).paint(frame))

    return Image.fromarray(_read(path, paint, budget))
