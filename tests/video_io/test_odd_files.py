"""Odd but honest files that the matrix does not hold: several streams, joined clocks, seeking."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tests.helpers.media_matrix import number_of, numbered
from vidrec_utils import video_io
from vidrec_utils.video_io import integrity, reader, scanning, streams

SIDES = (176, 144)


def write(
    path: Path,
    ticks: Iterable[int] = range(30),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    rate: int = 25,
    container: dict[str, str] | None = None,
    first: int = 0,
) -> Path:
    """Write frames numbered from the first on at the given times, counted in frames."""
    with av.open(str(path), "w", container_options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {"g": "10"})
        stream.width, stream.height = SIDES
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(numbered((first + number) % 256), "rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def join(path: Path, *files: Path) -> Path:
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


def numbers(frames: np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


def assert_samples_are_exact(path: Path, n: int) -> None:
    """Sampling by seeking gives the frames that reading everything gives."""
    frames, times = video_io.read_clip(path)
    duration = video_io.probe(path).duration_s
    sampled = video_io.sample_frames(path, n)
    for index, frame in enumerate(sampled):
        middle = (index + 0.5) * duration / n
        shown = max(0, bisect_right(times.tolist(), middle + 0.001) - 1)
        assert np.array_equal(frame, frames[shown]), f"{path.name}, sample {index}"


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_recordings_that_were_joined_follow_each_other(
    tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(reader, "SCAN_BYTES", 0)
    now = write(tmp_path / "now.ts", range(50))
    later = write(tmp_path / "later.ts", range(90_000, 90_050))  # an hour ahead
    for name, files in {
        "a.ts": (now, now),
        "b.ts": (now, later),
        "c.ts": (later, now, now),
    }.items():
        path = join(tmp_path / name, *files)
        info = video_io.probe(path)
        assert (info.n_frames, info.truncated) == (50 * len(files), False)
        assert info.duration_s == pytest.approx(2 * len(files))
        frames, times = video_io.read_clip(path)
        assert numbers(frames) == [*range(50)] * len(files)
        assert times == pytest.approx(np.arange(50 * len(files)) / 25)
        assert_samples_are_exact(path, 11)
        assert set(info.doubts) <= {"its clock starts again", "its clock jumps"}
        assert info.doubts


def test_samples_of_joined_recordings_decode_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write(tmp_path / "one.ts", range(100), options={"g": "10", "bf": "0"})
    path = join(tmp_path / "three.ts", one, one, one)
    decoded = []
    original = reader.Reader._frames_of
    monkeypatch.setattr(
        reader.Reader,
        "_frames_of",
        lambda self, packet: (decoded.append(packet.size), original(self, packet))[1],
    )
    assert numbers(video_io.sample_frames(path, 2)) == [75, 25]  # at 3 and 9 of 12 seconds
    assert len(decoded) < 40  # of 300


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.mkv", "libx264"),
        ("x.webm", "libvpx"),
        ("x.ogv", "libvpx"),
        ("x.vob", "mpeg2video"),
        ("x.h264", "libx264"),
        ("x.mjpeg", "mjpeg"),
        ("x.avi", "mjpeg"),
    ],
)
def test_other_containers_that_were_joined(tmp_path: Path, name: str, codec: str) -> None:
    one = write(tmp_path / f"one-{name}", codec=codec)
    path = join(tmp_path / name, one, one)
    info = video_io.probe(path)
    assert (info.n_frames, info.duration_s, info.truncated) == (60, pytest.approx(2.4), False)
    assert numbers(video_io.read_clip(path)[0]) == [*range(30)] * 2
    assert_samples_are_exact(path, 7)


@pytest.mark.parametrize("name", ["x.flv", "x.nut", "x.ivf", "x.mp4"])
def test_what_cannot_be_read_behind_the_first_recording_is_told(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name == "x.ivf" else "libx264"
    container = {"movflags": "frag_keyframe+empty_moov"} if name == "x.mp4" else {}
    one = write(tmp_path / f"one-{name}", codec=codec, container=container)
    path = join(tmp_path / name, one, one)
    info = video_io.probe(path)
    assert integrity.APPENDED in info.doubts
    assert not info.truncated
    assert numbers(video_io.read_clip(path)[0])[:27] == list(range(27))


@pytest.mark.parametrize("rate", [2000, 5000])
@pytest.mark.parametrize("large", [False, True])
def test_rates_beyond_the_ticks_of_the_container(
    tmp_path: Path, rate: int, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(reader, "SCAN_BYTES", 0)
    path = write(tmp_path / "fast.mkv", range(200), rate=rate)
    frames, times = video_io.read_clip(path)
    assert numbers(frames) == list(range(200))
    assert len(set(times)) == 200
    assert times == pytest.approx(np.arange(200) / rate, abs=0.0011)
    if not large:  # of a large file, only the header is believed until frames are read
        assert video_io.probe(path).n_frames == 200
    assert numbers(video_io.sample_frames(path, 4)) == pytest.approx([25, 75, 125, 175], abs=5)


# --- dropped frames, and times of decoding only --------------------------------------------------


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
@pytest.mark.parametrize("dropped", [{40}, set(range(2, 100, 4))])
def test_frames_that_a_capture_program_dropped(tmp_path: Path, codec: str, dropped: set) -> None:
    ticks = [tick for tick in range(100) if tick not in dropped]
    path = write(tmp_path / "dropped.avi", ticks, codec)
    info = video_io.probe(path)
    assert (info.truncated, info.doubts, info.n_frames) == (False, (), len(ticks))
    frames, times = video_io.read_clip(path, strict=True)
    assert numbers(frames) == list(range(len(ticks)))
    assert times == pytest.approx(np.array(ticks) / 25)


ORDERS = {
    "b-frames": ("mpeg4", {"g": "10", "bf": "2"}),
    "mpeg2": ("mpeg2video", {"g": "10", "bf": "2"}),
    "open groups": (
        "libx264",
        {"g": "10", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    ),
    "closed groups": ("libx264", {"g": "10", "bf": "2"}),
    "no reordering": ("msmpeg4", {"g": "10"}),
}


@pytest.mark.parametrize("suffix", ["avi", "wmv"])
@pytest.mark.parametrize("order", ORDERS)
def test_seeking_where_packets_have_no_display_time(
    tmp_path: Path, suffix: str, order: str
) -> None:
    codec, options = ORDERS[order]
    for name, ticks in {"even": [*range(100)], "gap": [*range(40), *range(70, 130)]}.items():
        path = write(tmp_path / f"{name}.{suffix}", ticks, codec, options)
        frames, times = video_io.read_clip(path)
        assert numbers(frames) == list(range(100))
        assert times == pytest.approx(np.array(ticks) / 25, abs=0.001)
        assert_samples_are_exact(path, 12)


# --- what shows that bytes are missing, and what does not ----------------------------------------


def test_claims_that_are_not_met_are_doubts_and_prove_nothing(tmp_path: Path) -> None:
    mkv = write(tmp_path / "long.mkv")
    content = mkv.read_bytes()
    assert content.count(b"00:00:01.2") == 1
    mkv.write_bytes(content.replace(b"00:00:01.2", b"00:01:01.2"))
    info = video_io.probe(mkv)
    assert (info.truncated, info.doubts) == (False, ("it ends earlier than it declares",))
    assert info.duration_s == pytest.approx(1.2)
    avi = write(tmp_path / "open.avi", codec="mjpeg")
    content = bytearray(avi.read_bytes())
    content[4:8] = bytes(4)  # a recording that was interrupted never wrote its length
    avi.write_bytes(content)
    assert not video_io.probe(avi).truncated
    mp4 = write(tmp_path / "camera.mp4")
    mp4.write_bytes(mp4.read_bytes() + b"a camera's own notes" * 50)
    assert (video_io.probe(mp4).truncated, video_io.probe(mp4).doubts) == (False, ())
    ts = write(tmp_path / "broadcast.ts")
    ts.write_bytes(ts.read_bytes()[:-500])  # within a packet of 188 bytes
    assert not video_io.probe(ts).truncated


def test_missing_bytes_are_told_with_what_shows_them(tmp_path: Path) -> None:
    shown = {}
    for name in ("a.mp4", "a.mkv", "a.flv", "a.wmv", "fragmented.mp4", "live.mkv"):
        container = {
            "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"},
            "live.mkv": {"live": "1"},
            "a.mp4": {"movflags": "+faststart"},
        }.get(name, {})
        path = write(tmp_path / name, container=container)
        assert video_io.probe(path).missing == ""
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 9 // 10])
        info = video_io.probe(path)
        assert info.truncated
        shown[name] = info.missing
        with pytest.raises(video_io.VideoError, match=info.missing) as caught:
            video_io.sample_frames(path, strict=True)
        assert caught.value.reason == "truncated"
    assert shown == {
        "a.mp4": "its index points beyond the end of the file",
        "a.mkv": "its segment ends beyond the file",
        "a.flv": "its last tag ends beyond the file",
        "a.wmv": "its data object ends beyond the file",
        "fragmented.mp4": "its box 'mdat' ends beyond the file",
        "live.mkv": "its cluster ends beyond the file",
    }


# --- several streams -----------------------------------------------------------------------------


def several(path: Path, *kinds: tuple[tuple[int, int], int, int]) -> Path:
    """Write streams of (size, frames, disposition), each in a grey level of its own."""
    with av.open(str(path), "w") as output:
        made = []
        for size, _, disposition in kinds:
            stream = output.add_stream("mpeg4", rate=25)
            stream.width, stream.height = size
            stream.pix_fmt, stream.disposition = "yuv420p", disposition
            made.append(stream)
        for stream, (size, count, _) in zip(made, kinds, strict=True):
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(numbered(number, (90, 90, 90), *size), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


SMALL, MIDDLE, LARGE = (64, 48), (160, 120), (320, 240)
DEFAULT = av.stream.Disposition.default


@pytest.mark.parametrize(
    ("kinds", "width"),
    [
        ([(SMALL, 5, 0), (LARGE, 40, DEFAULT)], 320),  # the default, wherever it stands
        ([(LARGE, 40, 0), (MIDDLE, 40, DEFAULT)], 160),  # the default, though smaller
        ([(SMALL, 40, 0), (LARGE, 40, 0), (MIDDLE, 40, 0)], 320),  # the largest
        ([(LARGE, 1, DEFAULT), (SMALL, 40, 0)], 64),  # a cover of one frame is none
        ([(SMALL, 1, 0)], 64),  # one frame is a video if there is nothing else
    ],
)
def test_which_stream_is_the_video(tmp_path: Path, kinds: list, width: int) -> None:
    path = several(tmp_path / "streams.mkv", *kinds)
    info = video_io.probe(path)
    assert info.width == width
    assert video_io.sample_frames(path, 3).shape[2] == width
    assert video_io.read_clip(path)[0].shape[2] == width
    assert max(video_io.thumbnail(path, 1000).size) == width


class FakeContainer:
    """Streams with marks that few containers can hold; each gives two packets."""

    def __init__(self, *marks: int) -> None:
        context = SimpleNamespace(width=64, height=48)
        self.streams = SimpleNamespace(
            video=[
                SimpleNamespace(
                    index=index,
                    disposition=av.stream.Disposition(mark),
                    codec_context=context if mark >= 0 else None,
                    duration=None,
                    time_base=None,
                )
                for index, mark in enumerate(marks)
            ]
        )

    def demux(self, streams: list) -> list:
        return [SimpleNamespace(stream_index=s.index, size=1) for s in streams] * 2


MARKS = av.stream.Disposition


@pytest.mark.parametrize(
    ("marks", "index"),
    [
        ([MARKS.attached_pic | MARKS.default, 0], 1),
        ([MARKS.timed_thumbnails, 0], 1),
        ([MARKS.still_image | MARKS.default, 0], 1),
        ([MARKS.still_image], 0),
        ([MARKS.dependent, MARKS.default, 0], 1),
        ([0, 0], 0),
        ([MARKS.attached_pic], None),
        ([], None),
    ],
)
def test_marks_of_streams(marks: list, index: int | None) -> None:
    container = FakeContainer(*map(int, marks))
    assert streams.best_stream(container, lambda: None) == index


def test_a_marked_cover_is_never_the_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        cover.disposition = MARKS.attached_pic
        for stream, count in ((cover, 1), (video, 5)):
            for number in range(count):
                image = numbered(number, (90, 90, 90), stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    assert (video_io.probe(path).width, video_io.probe(path).n_frames) == (64, 5)


# --- colours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [144, 720])
def test_colours_without_a_stated_matrix_are_bt601_whatever_the_size(
    tmp_path: Path, height: int
) -> None:
    """Y, U, V of (200, 60, 40) by BT.709 of limited range: read by BT.601 it is another colour.

    By hand. BT.709: luma .2126 R + .7152 G + .0722 B = 88.3, so Y = 16 + 219 / 255 * 88.3 = 92,
    U = 128 + 224 / 255 * (40 - 88.3) / 1.8556 = 105, V = 128 + 224 / 255 * (200 - 88.3) / 1.5748
    = 190. From these by BT.601: R = 1.164 * 76 + 1.596 * 62 = 187, G = 88.5 + .392 * 23 - .813 * 62
    = 47, B = 88.5 - 2.017 * 23 = 42.
    """
    bt709 = 1
    expected = {None: (187, 47, 42), bt709: (200, 60, 40)}
    for space, color in expected.items():
        path = tmp_path / f"{height}-{space}.mkv"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 256, height, "yuv420p"
            if space is not None:
                stream.codec_context.colorspace = space
            frame = av.VideoFrame(256, height, "yuv420p")
            for plane, value in zip(frame.planes, (92, 105, 190), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            if space is not None:
                frame.colorspace = space
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        read = video_io.sample_frames(path, 1)[0].reshape(-1, 3)
        assert np.abs(read.mean(axis=0) - color).max() < 4, (space, read.mean(axis=0))


# --- recordings of another codec -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("x.ts", "mpeg2video", "libx264"),
        ("x.ts", "libx264", "mpeg2video"),
        ("x.ts", "mpeg4", "libx264"),
        ("x.ts", "libx264", "mpeg4"),
        ("x.ts", "mpeg4", "mpeg2video"),
        ("x.ts", "mpeg2video", "mpeg4"),
        ("x.mpg", "mpeg2video", "mpeg4"),
        ("x.mpg", "mpeg4", "mpeg1video"),
        ("x.h264", "libx264", "mpeg2video"),
        ("x.m2v", "mpeg2video", "libx264"),
    ],
)
def test_a_recording_of_another_codec_is_told(
    tmp_path: Path, name: str, first: str, second: str
) -> None:
    one = write(tmp_path / f"one-{name}", codec=first)
    # its clock goes on, so that nothing but its bytes tells it
    raw = {"x.h264": ".m2v", "x.m2v": ".h264"}  # a raw stream is of one codec
    other = (tmp_path / f"two-{name}").with_suffix(raw.get(name, Path(name).suffix))
    two = write(other, range(30, 60), codec=second, first=30)
    assert scanning.CODEC not in video_io.probe(one).doubts
    assert scanning.CODEC not in video_io.probe(join(tmp_path / f"same-{name}", one, one)).doubts
    info = video_io.probe(join(tmp_path / name, one, two))
    assert scanning.CODEC in info.doubts
    assert not info.truncated


def test_the_first_mpeg_is_read_by_the_decoder_of_the_second(tmp_path: Path) -> None:
    one = write(tmp_path / "one.ts", codec="mpeg1video")
    two = write(tmp_path / "two.ts", codec="mpeg2video", first=30)
    path = join(tmp_path / "x.ts", one, two)
    assert numbers(video_io.read_clip(path)[0]) == [*range(60)]
    assert scanning.CODEC not in video_io.probe(path).doubts


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("x.mpg", "libx264", "mpeg2video"),  # streams of other numbers
        ("x.mpg", "mpeg2video", "libx264"),
        ("x.wmv", "wmv2", "wmv2"),
        ("x.asf", "msmpeg4", "libx264"),
        ("x.avi", "mpeg4", "libx264"),
        ("x.avi", "libx264", "mpeg4"),
    ],
)
def test_a_recording_that_is_not_read_is_told(
    tmp_path: Path, name: str, first: str, second: str
) -> None:
    one = write(tmp_path / f"one-{name}", codec=first)
    two = write(tmp_path / f"two-{name}", range(30, 60), codec=second)
    assert integrity.APPENDED not in video_io.probe(one).doubts
    info = video_io.probe(join(tmp_path / name, one, two))
    assert integrity.APPENDED in info.doubts
    assert not info.truncated


def test_two_videos_of_one_program_are_no_appended_recording(tmp_path: Path) -> None:
    path = tmp_path / "two.ts"
    with av.open(str(path), "w") as output:
        both = [output.add_stream("mpeg2video", rate=25) for _ in range(2)]
        for stream in both:
            stream.width, stream.height = SIDES
            stream.pix_fmt = "yuv420p"
        for number in range(30):
            for stream in both:
                frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame.reformat(format="yuv420p")))
        for stream in both:
            output.mux(stream.encode(None))
    assert video_io.probe(path).doubts == ()


@pytest.mark.parametrize(
    ("first", "second"), [({}, {}), ({"g": "250"}, {"g": "250"}), ({"bf": "2"}, {})]
)
def test_joined_raw_mpeg4_is_read_whole(
    tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    raw = []
    for number, options in enumerate((first, second)):
        ts = write(tmp_path / f"{number}.ts", codec="mpeg4", options=options, first=30 * number)
        raw.append(tmp_path / f"{number}.m4v")
        with av.open(str(ts)) as source:  # the elementary stream alone
            packets = source.demux(source.streams.video[0])
            raw[-1].write_bytes(b"".join(bytes(packet) for packet in packets if packet.size))
    path = join(tmp_path / "x.m4v", *raw)
    info = video_io.probe(path)
    assert (info.n_frames, info.truncated) == (60, False)
    assert numbers(video_io.read_clip(path)[0]) == [*range(60)]


def test_times_never_go_back_whatever_a_packet_states(tmp_path: Path) -> None:
    """A display time that one damaged packet states: the frame is shown between its neighbours."""
    for late in (11, 25):
        path = write(tmp_path / f"{late}.mkv", options={"g": "10", "bf": "0"})
        with av.open(str(path)) as source, av.open(str(tmp_path / "x.mkv"), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    if round(packet.pts * packet.time_base * 25) == 8:
                        packet.pts += round((late - 8) / 25 / packet.time_base)
                    output.mux(packet)
        frames, times = video_io.read_clip(tmp_path / "x.mkv")
        assert numbers(frames) == [*range(30)]
        assert (np.diff(times) >= 0).all()
        if late == 11:  # the leap to 25 is told as a clock that starts again
            expected = np.arange(30) / 25
            expected[8] = expected[9]
            assert times == pytest.approx(expected, abs=0.001)
