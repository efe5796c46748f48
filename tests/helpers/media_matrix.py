"""Odd but honest media, generated: every container with every codec that it can hold.

Frames, times and colours are known before a file is written. The upper half of frame `i` shows the
number `i` as eight black or white bars, the lower half shows one flat colour, so that what a reader
returns can be compared with what went in, whatever the container does to times and the codec to
pixels. `cases` lists what there is, `make` writes a file and returns what is true of it, `verify`
reads it through the public functions and lists what differs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd

from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.media import check_media, treat_media

WIDTH, HEIGHT = 176, 144
FRAMES = 30
RATE = 25
COLOR = (190, 70, 50)
"""Flat colour of the lower half: red, green, blue."""
OTHER = (40, 80, 180)
"""Flat colour of the second recording of a joined file."""

CONTAINERS: dict[str, tuple[str, float]] = {
    "mp4": ("mp4", 0.0),
    "mov": ("mov", 0.0),
    "3gp": ("3gp", 0.0),
    "mkv": ("matroska", 0.001),
    "webm": ("webm", 0.001),
    "avi": ("avi", 0.0),
    "ts": ("mpegts", 0.0),
    "mpg": ("mpeg", 0.0),
    "flv": ("flv", 0.001),
    "wmv": ("asf", 0.001),
    "ogv": ("ogv", 0.0),
    "nut": ("nut", 0.0),
    "mxf": ("mxf", 0.0),
    "ivf": ("ivf", 0.0),
}
"""Suffix to FFmpeg's name of the container, and how coarse its times are in seconds."""

CODECS: dict[str, tuple[str, str]] = {
    "h264": ("libx264", "yuv420p"),
    "hevc": ("libx265", "yuv420p"),
    "av1": ("libsvtav1", "yuv420p"),
    "vp9": ("libvpx-vp9", "yuv420p"),
    "vp8": ("libvpx", "yuv420p"),
    "mpeg4": ("mpeg4", "yuv420p"),
    "mpeg2": ("mpeg2video", "yuv420p"),
    "mpeg1": ("mpeg1video", "yuv420p"),
    "mjpeg": ("mjpeg", "yuvj420p"),
    "prores": ("prores_ks", "yuv422p10le"),
    "ffv1": ("ffv1", "yuv444p"),
    "h263": ("h263p", "yuv420p"),
    "wmv2": ("wmv2", "yuv420p"),
    "msmpeg4": ("msmpeg4", "yuv420p"),
    "flv1": ("flv", "yuv420p"),
    "png": ("png", "rgb24"),
    "qtrle": ("qtrle", "rgb24"),
}
"""Codec to FFmpeg's encoder and its pixel format."""

PAIRS: dict[str, str] = {
    "mp4": "h264 hevc av1 vp9 mpeg4 mpeg2 mpeg1 mjpeg ffv1 png",
    "mov": "h264 hevc mpeg4 mpeg2 mpeg1 mjpeg prores png qtrle msmpeg4",
    "3gp": "h264 mpeg4",
    "mkv": "h264 hevc av1 vp9 vp8 mpeg4 mpeg2 mpeg1 mjpeg prores ffv1 msmpeg4",
    "webm": "av1 vp9 vp8",
    "avi": "h264 vp9 vp8 mpeg4 mpeg2 mpeg1 mjpeg ffv1 h263 wmv2 msmpeg4 flv1 png",
    "ts": "h264 hevc mpeg4 mpeg2 mpeg1",
    "mpg": "h264 mpeg4 mpeg2 mpeg1",
    "flv": "h264 hevc av1 vp9 flv1",
    "wmv": "h264 vp9 vp8 mpeg4 mpeg2 mpeg1 mjpeg ffv1 h263 wmv2 msmpeg4 flv1 png",
    "ogv": "vp8",
    "nut": "h264 hevc vp9 vp8 mpeg4 mpeg2 mpeg1 mjpeg ffv1 h263 wmv2 msmpeg4 flv1 png",
    "mxf": "h264 mpeg2 prores ffv1",
    "ivf": "av1 vp9 vp8",
}
"""Codecs that each container can hold (as FFmpeg writes and reads them)."""

GAP = frozenset(["mp4", "mov", "3gp", "mkv", "webm", "avi", "ts", "flv", "wmv", "nut"])
"""Containers that say where a gap is (MPEG programs and Ogg give one time to several frames)."""
LATE = (GAP | {"mpg", "ogv"}) - {"avi"}
"""Containers in which the first frame may appear late (AVI holds it until the second)."""
FAST = frozenset(["mp4", "mov", "mkv", "webm", "flv", "ts", "nut"])
JOINABLE = frozenset(["ts", "mpg"])
SEVERAL = frozenset(["mp4", "mov", "mkv", "avi", "ts", "wmv", "nut"])
DECLARED = frozenset(["mp4", "mov", "3gp", "mkv", "webm", "avi", "flv", "wmv", "ogv", "ivf"])
"""Containers that show that bytes are missing when a file is cut."""
COVER = frozenset(["mov", "mkv", "avi", "nut"])
RATES = {"mpeg2", "mpeg1"}
"""Codecs that know only the rates of television."""


@dataclass(frozen=True)
class Case:
    """One file of the matrix."""

    container: str
    codec: str
    variant: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.codec}-{self.variant}.{self.container}"


@dataclass
class Truth:
    """What is true of a file.

    `times` are the seconds at which frames appear, counted from the first one, `numbers` what they
    show, `colors` the flat colour of their lower halves.
    """

    numbers: list[int]
    times: list[float]
    duration_s: float
    size: tuple[int, int] = (WIDTH, HEIGHT)
    colors: list[tuple[int, int, int]] = field(default_factory=list)
    truncated: bool = False
    partial: bool = False
    doubts: tuple[str, ...] = ()


def variants(container: str, codec: str) -> list[str]:
    """Return the variants of a pair."""
    names = ["plain", "cut"]
    names += ["gap"] if container in GAP else []
    names += ["late"] if container in LATE else []
    fast = container in FAST and codec not in RATES | {"mpeg4", "h263", "av1"}
    names += ["fast"] if fast else []
    names += ["joined", "resized"] if container in JOINABLE else []
    names += ["second"] if container in SEVERAL else []
    names += ["cover"] if container in COVER else []
    return names


def cases() -> list[Case]:
    """Return all files of the matrix."""
    return [
        Case(container, codec, variant)
        for container, codecs in PAIRS.items()
        for codec in codecs.split()
        for variant in variants(container, codec)
    ]


def sample(count: int, seed: int) -> list[Case]:
    """Draw some files of the matrix; each container, codec and variant comes before any repeats."""
    rng = random.Random(seed)
    rest = cases()
    rng.shuffle(rest)
    chosen: list[Case] = []
    seen: set[str] = set()
    for most_new in (3, 2, 1, 0):
        for case in list(rest):
            new = {case.container, "codec " + case.codec, "variant " + case.variant} - seen
            if len(chosen) < count and len(new) >= most_new:
                chosen.append(case)
                rest.remove(case)
                seen |= new
    return chosen


def numbered(
    number: int,
    color: tuple[int, int, int] = COLOR,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> np.ndarray:
    """Return a frame that shows a number below 256 above a flat colour."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = color
    for bit in range(8):
        left, right = bit * width // 8, (bit + 1) * width // 8
        frame[: height // 2, left:right] = 235 if number >> bit & 1 else 16
    return frame


def number_of(frame: np.ndarray) -> int:
    """Return the number that a frame shows."""
    height, width = frame.shape[:2]
    bars = frame[height // 8 : 3 * height // 8].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(8) if bars[bit * width // 8 + width // 16] > 128)


def color_of(frame: np.ndarray) -> np.ndarray:
    """Return the colour of a frame's lower half."""
    height, width = frame.shape[:2]
    return frame[3 * height // 4 : -4, 8 : width - 8].mean(axis=(0, 1))


def make(case: Case, folder: Path) -> tuple[Path, Truth]:
    """Write a file of the matrix and return what is true of it."""
    path = folder / case.name
    writer = {
        "plain": _plain,
        "gap": _gap,
        "late": _late,
        "fast": _fast,
        "joined": _joined,
        "resized": _resized,
        "second": _second,
        "cover": _cover,
        "cut": _cut,
    }[case.variant]
    return path, writer(case, path)


def _truth(ticks: list[int], rate: int, **more: object) -> Truth:
    times = [(tick - ticks[0]) / rate for tick in ticks]
    return Truth(
        numbers=[number % 256 for number in range(len(ticks))],
        times=times,
        duration_s=times[-1] + 1 / rate,
        colors=[COLOR] * len(ticks),
        **more,
    )


def _plain(case: Case, path: Path) -> Truth:
    ticks = list(range(FRAMES))
    write(case, path, ticks)
    return _truth(ticks, RATE)


def _gap(case: Case, path: Path) -> Truth:
    """Write frames of which thirty are missing in the middle: time goes on without them."""
    ticks = [*range(15), *range(45, 60)]
    write(case, path, ticks)
    return _truth(ticks, RATE)


def _late(case: Case, path: Path) -> Truth:
    ticks = list(range(40, 40 + FRAMES))
    write(case, path, ticks)
    return _truth(ticks, RATE)


def _fast(case: Case, path: Path) -> Truth:
    """Write 2,000 frames a second, two for each tick of a millisecond."""
    ticks = list(range(60))
    write(case, path, ticks, rate=2000)
    coarse = CONTAINERS[case.container][1] > 0
    return _truth(ticks, 2000, doubts=("several frames share a time",) if coarse else ())


def _joined(case: Case, path: Path) -> Truth:
    return _two_recordings(case, path, (WIDTH, HEIGHT))


def _resized(case: Case, path: Path) -> Truth:
    """Join two recordings of which the second has other sides: it is scaled to the first."""
    return _two_recordings(case, path, (352, 288))


def _two_recordings(case: Case, path: Path, size: tuple[int, int]) -> Truth:
    first, second = (path.with_name(f"{n}-{path.name}") for n in (1, 2))
    write(case, first, list(range(FRAMES)))
    write(case, second, list(range(FRAMES)), color=OTHER, size=size)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return Truth(
        numbers=[*range(FRAMES)] * 2,
        times=[n / RATE for n in range(2 * FRAMES)],
        duration_s=2 * FRAMES / RATE,
        colors=[COLOR] * FRAMES + [OTHER] * FRAMES,
        doubts=("its clock starts again",),
    )


def _second(case: Case, path: Path) -> Truth:
    """Write a small preview first, and the video as a second stream that is the default."""
    write(case, path, list(range(FRAMES)), preview=(96, 80))
    return _truth(list(range(FRAMES)), RATE)


def _cover(case: Case, path: Path) -> Truth:
    """Write a cover of one frame as the first stream, without the mark of an attached picture."""
    write(case, path, list(range(FRAMES)), cover=True)
    return _truth(list(range(FRAMES)), RATE)


def _cut(case: Case, path: Path) -> Truth:
    """Write a file and keep seven tenths of its bytes, the index in front where there is one."""
    ticks = list(range(FRAMES))
    write(case, path, ticks)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10])
    truth = _truth(ticks, RATE, truncated=case.container in DECLARED)
    truth.partial = True
    return truth


def write(
    case: Case,
    path: Path,
    ticks: list[int],
    *,
    rate: int = RATE,
    color: tuple[int, int, int] = COLOR,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    preview: tuple[int, int] | None = None,
    cover: bool = False,
) -> None:
    """Write numbered frames at the given times, counted in frames."""
    form = CONTAINERS[case.container][0]
    options = {"movflags": "+faststart"} if form in ("mp4", "mov", "3gp") else {}
    with av.open(str(path), "w", format=form, container_options=options) as output:
        before = []
        if cover:
            before.append(_stream(output, "mjpeg", "yuvj420p", (640, 480), 1))
        if preview:
            before.append(_stream(output, *CODECS[case.codec], preview, RATE))
        stream = _stream(output, *CODECS[case.codec], size, rate)
        if preview:
            before[0].disposition = 0
            stream.disposition = av.stream.Disposition.default
        for other in before:
            count = 1 if cover else 5
            for number in range(count):
                image = numbered(255, OTHER, other.width, other.height)
                output.mux(other.encode(_frame(image, number, RATE, other.pix_fmt)))
            output.mux(other.encode(None))
        for number, tick in enumerate(ticks):
            image = numbered(number % 256, color, *size)
            output.mux(stream.encode(_frame(image, tick, rate, stream.pix_fmt)))
        output.mux(stream.encode(None))


def _frame(image: np.ndarray, tick: int, rate: int, pix: str) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix)
    frame.pts, frame.time_base = tick, Fraction(1, rate)
    return frame


def _stream(
    output: av.container.OutputContainer,
    encoder: str,
    pix: str,
    size: tuple[int, int],
    rate: int,
) -> av.VideoStream:
    options = {
        "libx264": {"g": "10", "preset": "ultrafast", "bf": "2", "crf": "12"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=10", "crf": "12"},
        "libsvtav1": {"preset": "12", "crf": "20", "svtav1-params": "lp=1"},
        "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    }.get(encoder, {"g": "10", "qscale": "2", "b": "4M"})
    stream = output.add_stream(encoder, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, pix
    stream.codec_context.thread_count = 1
    return stream


def verify(case: Case, path: Path, truth: Truth) -> list[str]:
    """Read a file through the public functions and list what differs from the truth."""
    return list(_differences(case, path, truth))


def _differences(case: Case, path: Path, truth: Truth) -> Iterator[str]:
    slack = CONTAINERS[case.container][1] + 0.0005
    info = video_io.probe(path)
    if (info.width, info.height) != truth.size:
        yield f"the size is {info.width}x{info.height}, not {truth.size}"
    if info.truncated != truth.truncated:
        yield f"truncated is {info.truncated}"
    frames, times = video_io.read_clip(path)
    numbers = [number_of(frame) for frame in frames]
    if truth.partial:
        whole = max(1, len(numbers) - 3)  # the last lean on what is lost
        if numbers[:whole] != truth.numbers[:whole] or len(numbers) > FRAMES:
            yield f"a file that was cut shows {numbers}"
        return
    if info.n_frames != len(truth.numbers):
        yield f"{info.n_frames} frames are counted, not {len(truth.numbers)}"
    if abs(info.duration_s - truth.duration_s) > max(2 * slack, 0.0021):
        yield f"it lasts {info.duration_s} s, not {truth.duration_s}"
    if set(truth.doubts) != set(info.doubts):
        yield f"doubts are {info.doubts}, not {truth.doubts}"
    if numbers != truth.numbers:
        yield f"its frames show {numbers}"
        return
    if np.abs(times - truth.times).max() > slack:
        yield f"times differ by up to {np.abs(times - truth.times).max():.4f} s"
    if len(set(times)) < len(times):
        yield "times repeat"
    yield from _other_colors(frames, truth.colors)
    sampled, at = video_io.sample_clip(path, 7)
    for index, (frame, second) in enumerate(zip(sampled, at, strict=True)):
        middle = (index + 0.5) * truth.duration_s / 7
        shown = max(n for n, t in enumerate(truth.times) if t <= middle + 2 * slack or n == 0)
        late = max(n for n, t in enumerate(truth.times) if t <= middle - 2 * slack or n == 0)
        if number_of(frame) not in {truth.numbers[n] for n in range(late, shown + 1)}:
            yield f"sample {index} at {second:.3f} s shows {number_of(frame)}, not {shown}"


def _other_colors(frames: np.ndarray, colors: list[tuple[int, int, int]]) -> Iterator[str]:
    for index, (frame, color) in enumerate(zip(frames, colors, strict=True)):
        error = np.abs(color_of(frame) - color).max()
        if error > 12:
            yield f"frame {index} has the colour {color_of(frame).round()}, not {color}"
            return


def wrongly_cleaned(folder: Path, truths: dict[str, Truth]) -> list[str]:
    """Clean a library of files that were made, and list those that are treated wrongly.

    Parameters
    ----------
    folder
        The folder of the files.
    truths
        What is true of each file, by its name.
    """
    names = list(truths)
    videos = pd.DataFrame({"video_id": names, "path": names, "title": names})
    log = pd.DataFrame({"user_id": "u", "video_id": names, "timestamp": "2025-01-01T10:00:00Z"})
    library = VideoLibrary(videos, log, root=folder)
    media = check_media(library, progress=False)
    kept, _, report = treat_media(library.videos, library.interactions, media)
    removed = set(names) - set(kept.index)
    wrong = [
        f"{name} was {'removed' if name in removed else 'kept'}: {media.loc[name].to_dict()}"
        for name, truth in truths.items()
        if (name in removed) != truth.truncated
    ]
    noted = set(report.loc[report["problem"].str.startswith("doubtful file"), "id"])
    doubtful = {name for name, truth in truths.items() if truth.doubts and not truth.partial}
    return wrong + [f"nothing is said of {name}" for name in sorted(doubtful - noted)]
