"""Every frame of a test clip carries its own number in black and white bars, so that what comes
out can be read; the reference for exactness is PyAV decoding everything."""

from __future__ import annotations

import contextlib
import gc
import pickle
import re
import subprocess
import sys
import warnings
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers import real_data
from vidrec_utils import video_io
from vidrec_utils.video_io import Budget, ImageError, MediaError, VideoError, clips, reader

FPS = 20


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A frame that shows a number below 256 as eight vertical bars, lowest bit on the left."""
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            frame[:, bit * width // 8 : (bit + 1) * width // 8] = 255
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows."""
    width = frame.shape[1]
    bars = frame.mean(axis=(0, 2))
    return sum(1 << bit for bit in range(8) if bars[bit * width // 8 + width // 16] > 128)


def numbers_of(frames: np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


def mux(
    path: Path,
    n: int = 40,
    codec: str = "libx264",
    pix: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    times: Callable[[int], Fraction] = lambda i: Fraction(i, FPS),
    tick: Fraction = Fraction(1, FPS),
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
) -> Path:
    """A clip of numbered frames, made with PyAV alone."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=FPS, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix
        stream.codec_context.time_base = tick
        prepare(stream)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(numbered(i, *size), "rgb24").reformat(format=pix)
            frame.pts, frame.time_base = int(times(i) / tick), tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def shifted(source: Path, target: Path, by_s: Fraction) -> Path:
    """The same packets, all timestamps moved; an MP4 gets an edit list for those below 0."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts += int(by_s / packet.time_base)
                packet.dts += int(by_s / packet.time_base)
                packet.stream = copy
                new.mux(packet)
    return target


def decode_everything(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Times from the first frame and pixels, by PyAV without any seeking."""
    with av.open(str(path)) as container:
        pairs = [
            (f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)
        ]
    return [float(t - pairs[0][0]) for t, _ in pairs], [pixels for _, pixels in pairs]


def assert_exact(path: Path, n: int = 8, rounding: float = 1e-5) -> None:
    """Sampled frames equal those on display among all decoded ones."""
    times, pixels = decode_everything(path)
    duration = video_io.probe(path).duration_s
    frames = video_io.sample_frames(path, n)
    for i in range(n):
        expected = pixels[bisect_right(times, (i + 0.5) * duration / n + rounding) - 1]
        assert np.array_equal(frames[i], expected), f"{path.name}: sampled frame {i}"


def reason_of(work: Callable[[], object]) -> str:
    with pytest.raises(MediaError) as caught:
        work()
    return caught.value.reason


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """Forty frames, two seconds, a keyframe every eight frames, B-frames between."""
    return mux(folder / "clip.mp4", options={"g": "8"})


# --- what a clip is ------------------------------------------------------------------------------


def test_probe_tells_what_the_clip_holds(clip: Path) -> None:
    info = video_io.probe(clip)
    assert (info.path, info.width, info.height, info.fps) == (clip, 64, 48, 20.0)
    assert (info.duration_s, info.n_frames) == (2.0, 40)
    assert (info.codec, info.container, info.rotation) == ("h264", "mp4", 0)
    assert (info.has_audio, info.variable_fps) == (False, False)
    assert (info.duration_is_estimated, info.truncated) == (False, False)


@pytest.mark.parametrize("n", [1, 8, 40, 100])
def test_probing_and_sampling_at_once_gives_what_both_give(clip: Path, n: int) -> None:
    told = []
    info, frames = video_io.probe_and_sample(clip, lambda info: told.append(info) or n)
    assert told == [info] == [video_io.probe(clip)]
    assert np.array_equal(frames, video_io.sample_frames(clip, n))


def test_probing_and_sampling_at_once_looks_at_nothing_if_so_chosen(clip: Path) -> None:
    info, frames = video_io.probe_and_sample(clip, lambda _: 0)
    assert info.n_frames == 40
    assert frames.shape == (0, 48, 64, 3)
    with pytest.raises(ValueError, match="-1 frames were chosen"):
        video_io.probe_and_sample(clip, lambda _: -1)


def test_probe_accepts_text_paths_with_blanks_and_other_letters(folder: Path, clip: Path) -> None:
    path = folder / "片 über 100%d #1.mp4"
    path.write_bytes(clip.read_bytes())
    assert video_io.probe(str(path)).n_frames == 40


def test_sound_is_reported_and_does_not_disturb(folder: Path) -> None:
    path = folder / "sound.mkv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS, options={"g": "8"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("aac", rate=8000, layout="mono")
        for i in range(40):
            output.mux(video.encode(av.VideoFrame.from_ndarray(numbered(i), "rgb24")))
        for i in range(40):  # five seconds of sound, two of pictures
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, 1024 * i
            output.mux(sound.encode(frame))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    info = video_io.probe(path)
    assert info.has_audio
    assert info.duration_s == pytest.approx(2.0, abs=0.002)
    assert not info.truncated
    assert numbers_of(video_io.sample_frames(path, 4)) == [5, 15, 25, 35]


# --- sampling ------------------------------------------------------------------------------------


def test_uniform_takes_the_frame_on_display_in_the_middle_of_each_segment(clip: Path) -> None:
    frames, times = video_io.sample_clip(clip, 8)
    assert frames.shape == (8, 48, 64, 3)
    assert frames.dtype == np.uint8
    # Middles at 0.125, 0.375, ... s; at 20 frames a second those are frames 2.5, 7.5, ...
    assert numbers_of(frames) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert times == pytest.approx([0.1, 0.35, 0.6, 0.85, 1.1, 1.35, 1.6, 1.85])


def test_a_moment_at_which_a_frame_appears_belongs_to_that_frame(clip: Path) -> None:
    assert numbers_of(video_io.sample_frames(clip, 4)) == [5, 15, 25, 35]


@pytest.mark.parametrize("n", [1, 3, 40, 100])
def test_any_number_of_frames_is_exact(clip: Path, n: int) -> None:
    assert_exact(clip, n)


def test_more_frames_than_there_are_repeat_in_order(clip: Path) -> None:
    assert numbers_of(video_io.sample_frames(clip, 80)) == [i // 2 for i in range(80)]


def test_span(clip: Path) -> None:
    assert numbers_of(video_io.sample_frames(clip, 5, start_s=0.5, end_s=1.0)) == [
        11,
        13,
        15,
        17,
        19,
    ]
    assert numbers_of(video_io.sample_frames(clip, 2, start_s=1.9, end_s=99)) == [38, 39]


def test_random_is_seeded_sorted_and_one_of_each_segment(clip: Path) -> None:
    one = video_io.sample_clip(clip, 8, "random", seed=3)[1]
    again = video_io.sample_clip(clip, 8, "random", rng=np.random.default_rng(3))[1]
    other = video_io.sample_clip(clip, 8, "random", seed=4)[1]
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    segments = (one * 4).astype(int)  # a frame appears at most 0.05 s before its moment
    assert all(i - 1 <= segment <= i for i, segment in enumerate(segments))


def test_random_covers_the_clip(clip: Path) -> None:
    rng = np.random.default_rng(0)
    seen = {
        n for _ in range(60) for n in numbers_of(video_io.sample_frames(clip, 8, "random", rng=rng))
    }
    assert seen == set(range(40))


@pytest.mark.parametrize(
    "arguments",
    [{"n": 0}, {"mode": "best"}, {"start_s": -1.0}, {"size": 0}, {"size": (0, 4)}],
)
def test_arguments_that_do_not_fit_are_refused(clip: Path, arguments: dict) -> None:
    with pytest.raises(ValueError, match="is "):
        video_io.sample_frames(clip, **arguments)


@pytest.mark.parametrize("span", [(2.0, None), (5.0, 6.0), (1.0, 1.0), (1.0, 0.5)])
def test_a_span_outside_the_clip_is_an_error(clip: Path, span: tuple) -> None:
    assert reason_of(lambda: video_io.sample_frames(clip, start_s=span[0], end_s=span[1])) == (
        "out_of_range"
    )


def test_seeking_decodes_little(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mux(folder / "long.mp4", n=200, options={"g": "10", "bf": "0", "sc_threshold": "0"})
    decoded = []
    original = reader.Reader._decode

    def counting(self):
        for pair in original(self):
            decoded.append(pair[0])
            yield pair

    monkeypatch.setattr(reader.Reader, "_decode", counting)
    assert numbers_of(video_io.sample_frames(path, 2)) == [50, 150]
    assert len(decoded) <= 6  # of 200: two keyframes, what follows each, and the very first


def test_frames_of_one_group_are_decoded_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mux(folder / "one-group.mp4", n=100, options={"g": "250", "sc_threshold": "0"})
    seeks = []
    original = reader.Reader._seek
    monkeypatch.setattr(
        reader.Reader, "_seek", lambda self, t: (seeks.append(t), original(self, t))[1]
    )
    assert numbers_of(video_io.sample_frames(path, 5)) == [10, 30, 50, 70, 90]
    assert seeks == []


# --- frames at chosen times -----------------------------------------------------------------------


def test_frames_at_any_times_in_any_order(clip: Path) -> None:
    times = np.array([[1.99, 0.0, 0.51], [0.51, 2.0, 1.26]])
    frames = video_io.frames_at(clip, times)
    assert frames.shape[:2] == (2, 3)
    assert numbers_of(frames.reshape(-1, *frames.shape[2:])) == [39, 0, 10, 10, 39, 25]


def test_frames_at_the_middles_of_segments_are_those_of_sample_frames(clip: Path) -> None:
    sampled = video_io.sample_frames(clip, 16, size=24)
    frames = video_io.frames_at(
        clip, lambda duration: (np.arange(16) + 0.5) * duration / 16, size=24
    )
    assert np.array_equal(frames, sampled)


def test_each_frame_is_decoded_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = []
    paint = clips.Painter.paint
    monkeypatch.setattr(clips.Painter, "paint", lambda self, f: painted.append(1) or paint(self, f))
    windows = np.array([0.1, 0.6, 1.1, 0.6, 1.1, 1.6, 0.1])
    assert numbers_of(video_io.frames_at(clip, windows)) == [2, 12, 22, 12, 22, 32, 2]
    assert len(painted) == 4


def test_no_times_are_no_frames(clip: Path) -> None:
    assert video_io.frames_at(clip, np.empty((0, 4)), size=(16, 24)).shape == (0, 4, 16, 24, 3)


@pytest.mark.parametrize("second", [-0.1, 2.5, float("nan"), float("inf")])
def test_times_outside_the_video_are_refused(clip: Path, second: float) -> None:
    assert reason_of(lambda: video_io.frames_at(clip, [0.0, second])) == "out_of_range"


def test_what_a_choice_refuses_is_an_error_of_the_file(clip: Path) -> None:
    def choose(duration: float) -> list[float]:
        raise ValueError("no shot is that long")

    with pytest.raises(video_io.VideoError, match="no shot is that long"):
        video_io.frames_at(clip, choose)


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shape"),
    [(None, (48, 64)), (24, (24, 32)), (96, (96, 128)), ((30, 20), (30, 20)), (1, (1, 1))],
)
def test_size(clip: Path, size: object, shape: tuple[int, int]) -> None:
    assert video_io.sample_frames(clip, 2, size=size).shape == (2, *shape, 3)


def test_resizing_averages_and_keeps_colours(folder: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    path = video_io.write_clip(folder / "board.mp4", [np.dstack([board] * 3).astype(np.uint8)], 10)
    small = video_io.sample_frames(path, 1, size=8)
    assert abs(int(small.mean()) - 127) < 6
    assert small.std() < 12


def test_odd_sizes(folder: Path) -> None:
    path = mux(folder / "odd.mkv", codec="ffv1", size=(127, 95))
    assert (video_io.probe(path).width, video_io.probe(path).height) == (127, 95)
    assert_exact(path)
    assert video_io.sample_frames(path, 2, size=33).shape == (2, 33, 44, 3)


def test_pixels_that_are_not_square_stay_as_stored(folder: Path) -> None:
    def stretch(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    path = mux(folder / "stretched.mp4", prepare=stretch)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    assert video_io.probe(path).width == 64
    assert video_io.sample_frames(path, 1).shape == (1, 48, 64, 3)


# --- rotation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_rotated_and_mirrored_clips_come_upright(folder: Path, turn: int, flips: tuple) -> None:
    """`numpy.rot90` turns counter-clockwise, as the display matrix's angle does."""
    path = mux(
        folder / f"turn-{turn}-{flips}.mp4",
        n=4,
        prepare=lambda stream: stream.set_display_rotation(turn, hflip=flips[0], vflip=flips[1]),
    )
    stored = decode_everything(path)[1][0]
    expected = np.rot90(stored, turn // 90)
    if flips[0]:
        expected = expected[:, ::-1]
    if flips[1]:
        expected = expected[::-1]
    assert np.array_equal(video_io.sample_frames(path, 4)[0], expected)
    info = video_io.probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    if not any(flips):
        assert info.rotation == -turn % 360
    assert video_io.thumbnail(path, 32).size == ((24, 32) if turn % 180 else (32, 24))


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate_is_sampled_by_time(folder: Path, suffix: str) -> None:
    """Frame i appears at i * i milliseconds."""
    path = mux(
        folder / f"variable.{suffix}",
        times=lambda i: Fraction(i * i, 1000),
        tick=Fraction(1, 1000),
    )
    info = video_io.probe(path)
    assert info.variable_fps
    assert info.n_frames == 40
    frames = video_io.sample_frames(path, 5, start_s=0.0, end_s=1.0)
    assert numbers_of(frames) == [10, 17, 22, 26, 30]  # roots of 100, 300, 500, 700, 900
    assert_exact(path, rounding=1e-3 if suffix == "mkv" else 1e-5)
    assert numbers_of(video_io.read_clip(path, 0.4, 0.6)[0]) == [20, 21, 22, 23, 24]
    assert numbers_of(video_io.read_clip(path, 0.401, 0.44)[0]) == [20]  # nothing appears there


@pytest.mark.parametrize("gop", ["8", "250"])
def test_an_edit_list_that_starts_within_a_group(folder: Path, gop: str) -> None:
    """Ten of forty frames lie before 0: players decode them and do not show them."""
    path = shifted(
        mux(folder / f"whole-{gop}.mp4", options={"g": gop}),
        folder / f"edited-{gop}.mp4",
        Fraction(-1, 2),
    )
    info = video_io.probe(path)
    assert (info.n_frames, info.duration_s, info.truncated) == (30, 1.5, False)
    assert numbers_of(video_io.read_clip(path)[0]) == list(range(10, 40))
    assert_exact(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_time_counts_from_the_first_frame(folder: Path, clip: Path, suffix: str) -> None:
    path = shifted(clip, folder / f"late.{suffix}", Fraction(37, 20))
    info = video_io.probe(path)
    assert info.duration_s == pytest.approx(2.0, abs=0.002)
    assert not info.truncated
    assert numbers_of(video_io.sample_frames(path, 4)) == [5, 15, 25, 35]
    assert_exact(path, rounding=1e-3)


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_open_groups_are_exact(folder: Path, suffix: str) -> None:
    """B-frames before a keyframe in display order lean on the group before."""
    path = mux(
        folder / f"open.{suffix}",
        n=60,
        options={"g": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    )
    assert_exact(path, 20)


def test_read_clip_gives_every_frame_of_a_span_once(clip: Path) -> None:
    frames, times = video_io.read_clip(clip)
    assert numbers_of(frames) == list(range(40))
    assert times == pytest.approx(np.arange(40) / 20)
    parts = [video_io.read_clip(clip, a, a + 0.375)[0] for a in np.arange(0, 2, 0.375)]
    assert [n for part in parts for n in numbers_of(part)] == list(range(40))


def test_read_clip_at_another_rate(clip: Path) -> None:
    frames, times = video_io.read_clip(clip, 0.5, 1.5, fps=5)
    assert numbers_of(frames) == [10, 14, 18, 22, 26]
    assert times == pytest.approx([0.5, 0.7, 0.9, 1.1, 1.3])
    assert numbers_of(video_io.read_clip(clip, 0, 0.2, fps=40)[0]) == [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="fps"):
        video_io.read_clip(clip, fps=0)


def test_read_clip_refuses_what_would_not_fit_into_memory(clip: Path) -> None:
    budget = Budget(memory=20 * 64 * 48 * 3 + 16 * 64 * 48)
    assert reason_of(lambda: video_io.read_clip(clip, budget=budget)) == "too_large"
    assert len(video_io.read_clip(clip, 0, 1, budget=budget)[0]) == 20


# --- containers and pixel formats ----------------------------------------------------------------

CONTAINERS = {
    "clip.mkv": {},
    "clip.mov": {},
    "clip.ts": {},
    "clip.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {"codec": "libvpx"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "b-frames.avi": {},
    "clip.flv": {},
    "fragmented.mp4": {"container": {"movflags": "frag_keyframe+empty_moov"}},
    "live.mkv": {"container": {"live": "1"}},
    "raw.h264": {},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=8:log-level=none"}},
    "intra-refresh.mp4": {"options": {"g": "8", "x264-params": "intra-refresh=1"}},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(folder: Path, name: str) -> None:
    path = mux(folder / name, n=60, **{"options": {"g": "8"}, **CONTAINERS[name]})
    info = video_io.probe(path)
    assert info.n_frames == 60
    assert info.duration_s == pytest.approx(3.0, abs=0.003)
    assert info.fps == pytest.approx(20, rel=0.002)
    assert (info.variable_fps, info.truncated) == (False, False)
    assert info.duration_is_estimated == (name in {"live.mkv", "raw.h264"})
    assert numbers_of(video_io.sample_frames(path, 6)) == [5, 15, 25, 35, 45, 55]
    at_once = video_io.probe_and_sample(path, lambda _: 6)[1]
    assert numbers_of(at_once) == [5, 15, 25, 35, 45, 55]
    assert numbers_of(video_io.read_clip(path)[0]) == list(range(60))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "fragmented.mp4", "live.mkv", "mpeg4.avi"])
def test_large_files_are_read_by_their_header(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mux(folder / f"large-{name}", n=60, **{"options": {"g": "8"}, **CONTAINERS[name]})
    monkeypatch.setattr(reader, "SCAN_BYTES", 0)
    assert numbers_of(video_io.sample_frames(path, 6)) == [5, 15, 25, 35, 45, 55]
    at_once = video_io.probe_and_sample(path, lambda _: 6)[1]
    assert numbers_of(at_once) == [5, 15, 25, 35, 45, 55]
    assert numbers_of(video_io.read_clip(path)[0]) == list(range(60))
    assert video_io.probe(path).n_frames == 60


@pytest.mark.parametrize(
    ("pix", "codec"),
    [
        ("gray", "ffv1"),
        ("gray16le", "ffv1"),
        ("yuv420p10le", "libx264"),
        ("yuv422p", "libx264"),
        ("yuv444p", "libx264"),
        ("yuvj420p", "mjpeg"),
        ("bgra", "ffv1"),
        ("yuva420p", "libvpx-vp9"),
    ],
)
def test_pixel_formats(folder: Path, pix: str, codec: str) -> None:
    path = mux(folder / f"{pix}.mkv", n=20, codec=codec, pix=pix)
    frames = video_io.sample_frames(path, 4)
    assert numbers_of(frames) == [2, 7, 12, 17]
    bars = frames[3].reshape(48, 8, 8, 3)[:, 0, 2:6].mean()  # the lowest bit of 17 is white
    assert bars > 245


def test_animated_gif_is_a_video(folder: Path) -> None:
    path = folder / "moving.gif"
    pictures = [Image.fromarray(numbered(i)) for i in range(1, 9)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    assert video_io.probe(path).duration_s == pytest.approx(0.8)
    assert numbers_of(video_io.sample_frames(path, 4)) == [2, 4, 6, 8]


def test_one_frame_repeats(folder: Path) -> None:
    for suffix in ("mp4", "mkv", "avi"):
        path = mux(folder / f"single.{suffix}", n=1, codec="mpeg4")
        assert video_io.probe(path).n_frames == 1
        frames = video_io.sample_frames(path, 5)
        assert frames.shape == (5, 48, 64, 3)
        assert (frames == frames[0]).all()
        assert len(video_io.read_clip(path)[0]) == 1
        assert video_io.thumbnail(path, at=1).size == (64, 48)


PEAK = """
import resource, sys
from vidrec_utils import video_io
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
video_io.sample_frames(sys.argv[1], 8, size=224)
before = peak()
frames = video_io.sample_frames(sys.argv[2], 8, size=224)
assert frames.shape == (8, 224, 398, 3), frames.shape
print((peak() - before) * (1 if sys.platform == "darwin" else 1024))
"""


def test_four_k_needs_a_few_frames_of_memory(folder: Path, clip: Path) -> None:
    pytest.importorskip("resource", reason="Peak memory is not measured on Windows.")
    path = folder / "4k.mp4"
    flat = (np.full((2160, 3840, 3), 12 * i, np.uint8) for i in range(16))
    video_io.write_clip(path, flat, 24, preset="ultrafast")
    frames = video_io.sample_frames(path, 8, size=224)
    assert frames.mean(axis=(1, 2, 3)) == pytest.approx(np.arange(12, 192, 24), abs=4)
    arguments = [sys.executable, "-c", PEAK, str(clip), str(path)]
    root = Path(video_io.__file__).parents[2]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 0, run.stderr
    # A decoded frame (4:2:0) is half as large as its RGB form; all 16 would take 200 MB, or 400.
    assert int(run.stdout) < 6 * 2160 * 3840 * 3


# --- what is wrong with a file -------------------------------------------------------------------


def test_files_that_are_no_videos(folder: Path, clip: Path) -> None:
    cases = {
        "text.mp4": (b"This is a text file.\n" * 50, "not_a_video"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:2,\nclip.mp4\n#EXT-X-ENDLIST\n", "not_a_video"),
        "concat.mp4": (b"ffconcat version 1.0\nfile clip.mp4\n", "not_a_video"),
        "zeros.mp4": (bytes(5000), "not_a_video"),
        "noise.mkv": (np.random.default_rng(0).bytes(20_000), "not_a_video"),
        "nothing.mp4": (b"", "empty"),
    }
    for name, (content, reason) in cases.items():
        path = folder / name
        path.write_bytes(content)
        for work in (
            video_io.probe,
            video_io.sample_frames,
            video_io.read_clip,
            video_io.thumbnail,
        ):
            assert reason_of(lambda work=work, path=path: work(path)) == reason, name
    assert clip.is_file()
    assert reason_of(lambda: video_io.probe(folder)) == "directory"
    assert reason_of(lambda: video_io.probe(folder / "absent.mp4")) == "missing"


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_a_still_image_is_no_video(folder: Path, form: str) -> None:
    path = folder / f"still.{form}"
    Image.fromarray(numbered(5)).save(path)
    path = path.rename(path.with_suffix(".mp4"))
    assert reason_of(lambda: video_io.probe(path)) == "not_a_video"


def test_sound_without_pictures(folder: Path) -> None:
    path = folder / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert reason_of(lambda: video_io.probe(path)) == "no_video_stream"


def test_a_stream_without_frames(folder: Path) -> None:
    path = folder / "hollow.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()
    assert reason_of(lambda: video_io.probe(path)) in {"no_frames", "no_video_stream"}


def test_packets_that_do_not_decode(folder: Path, clip: Path) -> None:
    content = bytearray(clip.read_bytes())
    at = content.index(b"mdat") + 4
    end = content.index(b"moov", at) - 4
    content[at:end] = bytes(end - at)
    path = folder / "blank.mp4"
    path.write_bytes(content)
    assert reason_of(lambda: video_io.sample_frames(path)) == "no_frames"


@pytest.fixture(scope="module")
def noisy(folder: Path) -> Path:
    """A clip whose bytes are nearly all pictures: index in front, keyframe every ten frames."""
    rng = np.random.default_rng(0)
    frames = [
        numbered(i, 256, 256) ^ rng.integers(0, 60, (256, 256, 3), np.uint8) for i in range(60)
    ]
    return video_io.write_clip(folder / "noisy.mp4", frames, FPS, gop=10)


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.3])
@pytest.mark.parametrize("large", [False, True])
def test_a_file_cut_in_its_pictures_gives_what_is_there(
    folder: Path, noisy: Path, kept: float, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noisy.read_bytes()
    path = folder / f"cut-{kept}.mp4"
    path.write_bytes(content[: int(kept * len(content))])
    if large:
        monkeypatch.setattr(reader, "SCAN_BYTES", 0)
    info = video_io.probe(path)
    assert info.truncated
    assert 60 * (kept - 0.15) < info.n_frames < 60 * (kept + 0.15)
    frames, times = video_io.sample_clip(path, 8)
    numbers = numbers_of(frames)
    assert numbers == sorted(set(numbers))  # spread over what exists, none repeated
    assert numbers == [round(t * FPS) for t in times]
    assert numbers[-1] < info.n_frames <= numbers[-1] + 5
    assert reason_of(lambda: video_io.sample_frames(path, strict=True)) == "truncated"
    assert reason_of(lambda: video_io.read_clip(path, strict=True)) == "truncated"
    both = video_io.probe_and_sample
    assert reason_of(lambda: both(path, lambda _: 4, strict=True)) == "truncated"
    info, frames = both(path, lambda _: 4)
    assert info.truncated
    assert np.array_equal(frames, video_io.sample_frames(path, 4))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "mpeg4.avi"])
def test_other_containers_cut_short(folder: Path, name: str) -> None:
    path = mux(folder / f"whole-{name}", n=60, **{"options": {"g": "8"}, **CONTAINERS[name]})
    content = path.read_bytes()
    path = path.with_name(f"cut-{name}")
    path.write_bytes(content[: int(0.7 * len(content))])
    info = video_io.probe(path)
    assert info.truncated
    numbers = numbers_of(video_io.read_clip(path)[0])
    assert numbers == list(range(info.n_frames))
    assert 10 < info.n_frames < 55


def test_a_file_whose_index_was_at_the_lost_end(folder: Path, clip: Path) -> None:
    content = clip.read_bytes()
    path = folder / "headless.mp4"
    path.write_bytes(content[: len(content) // 2])
    assert reason_of(lambda: video_io.probe(path)) == "truncated"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_give_frames_or_a_video_error(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name in ("clip.mkv", "clip.webm", "clip.ts", "mpeg4.avi", "fragmented.mp4"):
        source = folder / f"sound-{name}"
        if not source.exists():
            mux(source, n=20, **{"options": {"g": "8"}, **CONTAINERS[name]})
        content = np.frombuffer(source.read_bytes(), np.uint8).copy()
        places = rng.integers(0, len(content), 12)
        content[places] = rng.integers(0, 256, 12)
        path = folder / f"damaged-{name}"
        path.write_bytes(content.tobytes())
        with contextlib.suppress(VideoError):
            assert len(video_io.sample_frames(path, 4)) == 4


def test_errors_speak_to_people_and_programs(folder: Path) -> None:
    path = folder / "absent.mp4"
    with pytest.raises(VideoError) as caught:
        video_io.probe(path)
    error = caught.value
    assert isinstance(error, ValueError)
    assert (error.path, error.reason) == (path, "missing")
    assert str(error) == f"{path}: there is no such file. Check the path and its spelling."
    copy = pickle.loads(pickle.dumps(error))  # as from the worker of a DataLoader
    assert (str(copy), copy.reason, copy.path) == (str(error), error.reason, error.path)


def test_files_are_closed_in_every_case(folder: Path, clip: Path, noisy: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("Open files are counted through /proc, which this system lacks.")
    half = folder / "half.mp4"
    half.write_bytes(noisy.read_bytes()[:30_000])
    text = folder / "words.mp4"
    text.write_text("words" * 100, encoding="utf-8")
    raw = mux(folder / "again.h264", n=5)
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for path in (clip, half, text, raw, folder / "absent.mp4"):
            for work in (video_io.probe, video_io.sample_frames, video_io.read_clip):
                with contextlib.suppress(VideoError):
                    work(path)
        for arguments in ({"start_s": 9.0}, {"size": 0}):
            with pytest.raises(ValueError, match=r"."):
                video_io.sample_frames(clip, **arguments)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        gc.enable()


# --- thumbnails ----------------------------------------------------------------------------------


def test_thumbnail(clip: Path) -> None:
    picture = video_io.thumbnail(clip, 32)
    assert (picture.mode, picture.size) == ("RGB", (32, 24))
    assert [number_of(np.asarray(video_io.thumbnail(clip, at=at))) for at in (0, 0.5, 1)] == [
        0,
        20,
        39,
    ]
    assert video_io.thumbnail(clip, 500).size == (64, 48)
    for arguments in ({"at": 1.5}, {"size": 0}):
        with pytest.raises(ValueError, match="it must be"):
            video_io.thumbnail(clip, **arguments)


# --- writing -------------------------------------------------------------------------------------


def test_written_clips_come_back(folder: Path) -> None:
    frames = np.stack([numbered(i, 128, 128) for i in range(32)])
    kept = frames.copy()
    path = video_io.write_clip(folder / "new" / "written.mp4", frames, 16)
    assert np.array_equal(frames, kept)
    info = video_io.probe(path)
    assert (info.n_frames, info.fps, info.duration_s, info.codec) == (32, 16.0, 2.0, "h264")
    back, times = video_io.read_clip(path)
    assert numbers_of(back) == list(range(32))
    assert times == pytest.approx(np.arange(32) / 16)
    assert np.abs(back.astype(int) - frames).mean() < 2
    assert [p.name for p in path.parent.iterdir()] == ["written.mp4"]


def test_index_comes_first_and_colour_is_yuv420p(folder: Path) -> None:
    path = video_io.write_clip(folder / "order.mp4", [numbered(1)] * 3, 10)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_same_frames_same_bytes(folder: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (12, 64, 64, 3), np.uint8)
    one = video_io.write_clip(folder / f"one.{suffix}", frames, 16)
    two = video_io.write_clip(folder / f"two.{suffix}", iter(frames), 16.0)
    assert one.read_bytes() == two.read_bytes()
    assert re.search(rb"Lav[cf]\d", one.read_bytes()) is None


@pytest.mark.parametrize("edge", [96, 112, 128, 144])
def test_many_encodings_are_one_file(folder: Path, edge: int) -> None:
    """Some options of x264 depend on memory that nobody wrote; one repetition does not show it."""
    rng = np.random.default_rng(edge)
    still = rng.integers(0, 256, (edge // 8, edge // 8, 3), dtype=np.uint8)
    still = still.repeat(8, axis=0).repeat(8, axis=1)
    frames = np.stack([np.roll(still, 3 * t, axis=1) for t in range(32)])
    path = folder / "again.mp4"
    found = {video_io.write_clip(path, frames, fps=16, crf=30).read_bytes() for _ in range(20)}
    assert len(found) == 1


def test_settings_of_writing(folder: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (30, 64, 64, 3), np.uint8)
    fine = video_io.write_clip(folder / "fine.mp4", frames, 30, crf=10)
    coarse = video_io.write_clip(folder / "coarse.mp4", frames, 30, crf=40)
    assert coarse.stat().st_size < fine.stat().st_size / 2
    still = [frames[0]] * 30  # nothing that the encoder would take for a new scene
    path = video_io.write_clip(folder / "gop.mp4", still, Fraction(30000, 1001), gop=5)
    assert video_io.probe(path).fps == pytest.approx(30000 / 1001)
    with av.open(str(path)) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert [i for i, key in enumerate(keys) if key] == [0, 5, 10, 15, 20, 25]


def test_odd_sides_are_made_even_by_repeating_the_edge(folder: Path) -> None:
    frame = np.full((95, 127, 3), 40, np.uint8)
    frame[:, -1] = frame[-1] = 200
    path = video_io.write_clip(folder / "edge.mp4", [frame] * 2, 10, crf=1)
    back = video_io.read_clip(path)[0][0].astype(int)
    assert back.shape == (96, 128, 3)
    assert np.abs(back[:95, :127].astype(int) - frame).mean() < 2
    assert back[:, 127].mean() == pytest.approx(200, abs=5)
    assert back[95].mean() == pytest.approx(200, abs=5)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder: Path) -> None:
    place = folder / "atomic"
    path = video_io.write_clip(place / "a.mp4", [numbered(1)] * 3, 10)
    old = path.read_bytes()

    def interrupted():
        yield numbered(2)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        video_io.write_clip(path, interrupted(), 10)
    with pytest.raises(ValueError, match="frame 1 has shape"):
        video_io.write_clip(path, [numbered(1), numbered(1, 32, 32)], 10)
    assert path.read_bytes() == old
    assert [p.name for p in place.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "frames", "arguments", "message"),
    [
        ("x.mp4", [], {}, "no frames"),
        ("x.mp4", [np.zeros((4, 4, 3))], {}, "float64"),
        ("x.mp4", [np.zeros((4, 4), np.uint8)], {}, "shape"),
        ("x.webm", [numbered(1)], {}, "ends in"),
        ("x.mp4", [numbered(1)], {"fps": 0}, "fps"),
        ("x.mp4", [numbered(1)], {"crf": 99}, "crf"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, name: str, frames: list, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        video_io.write_clip(tmp_path / name, frames, **{"fps": 10, **arguments})
    assert list(tmp_path.iterdir()) == []


# --- images --------------------------------------------------------------------------------------


def saved(tmp_path: Path, image: Image.Image, name: str = "image.png", **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_rgb_and_grey_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(video_io.read_image(saved(tmp_path, Image.fromarray(pixels))), pixels)
    grey = pixels[:, :, 0]
    read = video_io.read_image(saved(tmp_path, Image.fromarray(grey)))
    assert np.array_equal(read, np.dstack([grey] * 3))
    assert read.dtype == np.uint8


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    read = video_io.read_image(saved(tmp_path, Image.fromarray(deep)))
    assert read[:, :, 1].tolist() == [[0, 0, 1], [128, 255, 255]]


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]], np.uint8)
    read = video_io.read_image(saved(tmp_path, Image.fromarray(pixels)))
    assert read[0, :2].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert read[0, 2] == pytest.approx([227, 127, 127], abs=1)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.info["transparency"] = 1
    read = video_io.read_image(saved(tmp_path, palette, transparency=1))
    assert read[0, -1].tolist() == [255, 255, 255]


def test_cmyk_and_exif_orientation(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (16, 8), (255, 0, 0, 0))
    read = video_io.read_image(saved(tmp_path, cyan, "cyan.jpg", quality=95))
    assert read.shape == (8, 16, 3)
    assert read[4, 8] == pytest.approx([0, 255, 255], abs=4)
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    read = video_io.read_image(saved(tmp_path, Image.fromarray(pixels), "turn.jpg", exif=exif))
    assert read.shape == (32, 16, 3)
    assert read[:14].mean() > 250
    assert read[18:].mean() < 5


def test_images_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), "whole.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(path.read_bytes()[:1500])
    text = tmp_path / "text.jpg"
    text.write_text("no picture", encoding="utf-8")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    expected = {
        cut: "truncated",
        text: "not_an_image",
        empty: "empty",
        tmp_path: "directory",
        tmp_path / "absent.jpg": "missing",
    }
    for file, reason in expected.items():
        assert reason_of(lambda file=file: video_io.read_image(file)) == reason
    with pytest.raises(ImageError, match="Copy or download"):
        video_io.read_image(cut)


def test_decompression_bombs_are_refused_without_a_warning(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("1", (12_000, 12_000)), "bomb.png")
    assert path.stat().st_size < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(lambda: video_io.read_image(path)) == "too_large"


# --- real clips ----------------------------------------------------------------------------------


def real_clips(name: str) -> list[Path]:
    folder = real_data.require(name)
    suffixes = {".mkv", ".mp4", ".webm"}
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes)


@pytest.mark.parametrize("name", ["asl-gestures-ccby", "video6-mini-redistributable"])
def test_real_clips_are_described_and_sampled(name: str) -> None:
    clips = real_clips(name)
    assert len(clips) >= 20
    for number, path in enumerate(clips):
        info = video_io.probe(path)
        assert 0.5 < info.duration_s < 200
        assert not info.truncated
        if number % 4 == 0:
            frames = video_io.sample_frames(path, 4, size=64)
            assert len(frames) == 4
            assert frames.std() > 5


@pytest.mark.parametrize("name", ["asl-gestures-ccby", "video6-mini-redistributable"])
def test_real_clips_are_exact(name: str) -> None:
    clips = [p for p in real_clips(name) if p.stat().st_size < 1_500_000]
    for suffix in (".mkv", ".mp4", ".webm"):
        for path in [p for p in clips if p.suffix == suffix][:2]:
            assert_exact(path, rounding=1e-5 if suffix == ".mp4" else 1e-3)
