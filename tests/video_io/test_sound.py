"""Sound that is read is compared with the samples that were written, by value and by time."""

from __future__ import annotations

import pickle
import shutil
import wave
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from scipy.signal import resample_poly

from tests.helpers import real_data
from tests.helpers.sounds import add_sound, delay, notes, sine, write_sound
from vidrec_utils import video_io
from vidrec_utils.video_io import Budget, SoundError, read_sound, track

RATE = 16_000


def reason_of(work: Callable[[], object]) -> str:
    with pytest.raises(SoundError) as caught:
        work()
    return caught.value.reason


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """A 16-bit file of (samples, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1] if samples.ndim == 2 else 1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 2**15).astype("<i2").tobytes())
    return path


def damaged(source: Path, target: Path, share: float, seed: int = 0) -> Path:
    """A copy in which bytes of the sound's packets are flipped, and none of their headers."""
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [(p.pos, p.size) for p in container.demux(audio=0) if p.pos is not None]
    rng = np.random.default_rng(seed)
    for position, size in packets[3:-3]:
        for at in position + 16 + np.flatnonzero(rng.random(size - 16) < share):
            content[at] ^= int(rng.integers(1, 256))
    target.write_bytes(content)
    return target


# --- what comes out is what was written ---------------------------------------------------------

FORMATS = [
    ("a.mp4", "aac", 44_100, "stereo", 0),
    ("a.m4a", "aac", 16_000, "mono", 0),
    ("a.mov", "pcm_s16le", 8_000, "mono", 0),
    ("a.mkv", "aac", 44_100, "mono", 0),
    ("opus.webm", "libopus", 48_000, "stereo", 0),
    ("vorbis.webm", "vorbis", 44_100, "stereo", 0),
    ("a.ogg", "libopus", 48_000, "mono", 0),
    ("a.mp3", "libmp3lame", 44_100, "mono", 0),
    ("a.flac", "flac", 44_100, "mono", 0),
    ("a.wav", "pcm_s16le", 96_000, "mono", 0),
    ("ac3.mkv", "ac3", 48_000, "5.1", 0),
    # these store no length of what the encoder puts in front of a track
    ("a.ts", "aac", 44_100, "mono", 1024 / 44_100),
    ("a.aac", "aac", 44_100, "mono", 1024 / 44_100),
    ("a.avi", "libmp3lame", 44_100, "mono", 1105 / 44_100),
]


@pytest.mark.parametrize(("name", "codec", "rate", "layout", "late_s"), FORMATS)
def test_containers_and_codecs(name, codec, rate, layout, late_s, tmp_path):
    original = notes(1.0, rate)
    sound = read_sound(write_sound(tmp_path / name, original, rate, codec, layout), RATE)
    assert sound.samples.dtype == np.float32
    assert (sound.rate, sound.start_s, sound.doubts) == (RATE, 0.0, ())
    assert 1.0 <= sound.duration_s + 1e-9 <= 1.06
    expected = resample_poly(original, RATE, rate)
    late = round(late_s * RATE)
    assert abs(delay(sound.samples, expected) - late) <= 1
    heard = sound.samples[late:][: len(expected)]
    assert np.corrcoef(heard, expected[: len(heard)])[0, 1] > 0.97
    assert np.quantile(np.abs(heard), 0.95) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("target", [8_000, 16_000, 22_050])
def test_any_rate_becomes_the_requested_one(rate, target, tmp_path):
    path = write_wav(tmp_path / "tone.wav", sine(440, 1.0, rate), rate)
    sound = read_sound(path, target)
    assert len(sound.samples) == target
    inner = slice(target // 20, -target // 20)  # the ends of the resampler's filter
    np.testing.assert_allclose(sound.samples[inner], sine(440, 1.0, target)[inner], atol=2e-3)


def test_the_rate_of_the_file_changes_nothing(tmp_path):
    values = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    sound = read_sound(write_wav(tmp_path / "noise.wav", values, 22_050), 22_050)
    np.testing.assert_array_equal(sound.samples, (np.round(values * 2**15) / 2**15))


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
@pytest.mark.parametrize("count", [1, 5, 31, 32, 33, 100, 400])
def test_the_shortest_sounds_are_whole(count, rate, tmp_path):
    sound = read_sound(write_wav(tmp_path / "a.wav", np.full(count, 0.5), rate), 16_000)
    assert 0 <= -(-count * 16_000 // rate) - len(sound.samples) <= (count > 100)
    assert sound.samples[0] > 0.05


def test_above_half_the_new_rate_nothing_is_left(tmp_path):
    path = write_wav(tmp_path / "high.wav", sine(9_000, 1.0, 48_000), 48_000)
    assert np.abs(read_sound(path, 16_000).samples[800:-800]).max() < 0.003


@pytest.mark.parametrize(
    ("codec", "accuracy"),
    [("pcm_u8", 2**-7), ("pcm_s16le", 2**-15), ("pcm_s24le", 2**-23), ("pcm_s32le", 2**-23),
     ("pcm_f32le", 1e-9), ("pcm_f64le", 1e-7), ("pcm_s64le", 2**-23), ("alac", 2**-15)],
)  # fmt: skip
def test_sample_formats(codec, accuracy, tmp_path):
    original = np.stack([notes(0.2, 16_000, seed) for seed in (0, 1)])
    path = tmp_path / ("a.m4a" if codec == "alac" else "a.nut" if "64" in codec else "a.wav")
    heard = read_sound(write_sound(path, original, 16_000, codec, "stereo")).samples
    np.testing.assert_allclose(heard, original.mean(axis=0), atol=accuracy)


# --- channels -----------------------------------------------------------------------------------

ALL = 1 + 2 * 0.5**0.5 + 2 * 0.5
SURROUND = {"FL": 0.5**0.5, "FR": 0.5**0.5, "FC": 1.0, "LFE": 0.0, "BL": 0.5, "BR": 0.5}


@pytest.mark.parametrize(("number", "level"), list(enumerate(SURROUND.values())))
def test_each_of_six_channels_has_its_level(number, level, tmp_path):
    channels = np.zeros((6, 1600), np.float32)
    channels[number] = 0.5
    path = write_sound(tmp_path / "a.wav", channels, 16_000, "pcm_s16le", "5.1")
    assert read_sound(path).samples == pytest.approx(0.5 * level / ALL, abs=1e-4)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "quad", "5.1", "7.1"])
def test_channels_that_agree_are_as_loud_as_each(layout, codec, tmp_path):
    """libswresample would make two channels in floating point louder than one."""
    original = notes(0.2, 16_000)
    channels = np.repeat(original[None], av.AudioLayout(layout).nb_channels, axis=0)
    for number, channel in enumerate(av.AudioLayout(layout).channels):
        channels[number] *= channel.name != "LFE"
    path = write_sound(tmp_path / "a.wav", channels, 16_000, codec, layout)
    np.testing.assert_allclose(read_sound(path).samples, original, atol=2e-4)


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_many_channels_in_planes(layout, tmp_path):
    """PyAV 18.1 reads beyond the eighth plane."""
    original = notes(1.0, 48_000)
    channels = np.repeat(original[None], av.AudioLayout(layout).nb_channels, axis=0)
    channels[3] = 0  # low-frequency effects
    path = write_sound(tmp_path / "a.m4a", channels, 48_000, "aac", layout)
    sound = read_sound(path, 48_000)
    assert delay(sound.samples, original) == 0
    assert np.corrcoef(sound.samples, original)[0, 1] > 0.98


# --- when it is heard ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
@pytest.mark.parametrize(("start", "frames_start"), [(0, 0), (1, 0), (0, Fraction(3, 10))])
def test_times_count_from_the_first_frame(name, start, frames_start, tmp_path):
    original = notes(1.0, 48_000)
    path = write_sound(
        tmp_path / name, original, 48_000, start=start, frames=60, frames_start=frames_start
    )
    sound = read_sound(path, 48_000, start_s=-1.0)
    begins = start - frames_start
    assert sound.start_s == pytest.approx(begins, abs=0.023)  # or earlier by the priming
    expected = round((begins - sound.start_s) * 48_000)
    assert abs(delay(sound.samples, original) - expected) <= 48
    info = video_io.probe(path)
    assert info.duration_s == pytest.approx(3.0)
    # from the first frame on, what came before it is left out
    later = read_sound(path, 48_000)
    assert later.start_s == max(0.0, sound.start_s)
    np.testing.assert_array_equal(later.samples, sound.samples[-len(later.samples) :])


def muxed_late(path: Path, original: np.ndarray, videos: int = 1) -> Path:
    """Sound that begins half a second before the frames of one or two videos."""
    with av.open(str(path), "w") as output:
        streams = []
        for _ in range(videos):
            video = output.add_stream("mjpeg", rate=20)
            video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
            streams.append(video)
        _, encode = add_sound(output, original, 48_000, "pcm_s16le")
        output.mux(encode(Fraction(0)))
        for number in range(20):
            for video in streams:
                frame = av.VideoFrame(32, 32, "yuvj420p")
                frame.pts, frame.time_base = number + 10, Fraction(1, 20)
                output.mux(video.encode(frame))
    return path


@pytest.mark.parametrize("videos", [1, 2])
@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.nut"])
def test_the_first_frame_of_one_video_or_two(name, videos, tmp_path):
    original = notes(2.0, 48_000)
    path = muxed_late(tmp_path / name, original, videos)
    sound = read_sound(path, 48_000, start_s=-1)
    assert sound.start_s == pytest.approx(-0.5, abs=1e-3)
    np.testing.assert_allclose(sound.samples, original, atol=1e-4)
    assert read_sound(path, 48_000).duration_s == pytest.approx(1.5, abs=1e-3)


def test_the_packets_tell_where_the_header_states_no_start(tmp_path, monkeypatch):
    """As in many files of ASF and NUT."""
    path = muxed_late(tmp_path / "a.mkv", notes(2.0, 48_000))
    monkeypatch.setattr(track, "candidates", lambda _: [SimpleNamespace(start_time=None)])
    assert read_sound(path, start_s=-1).start_s == pytest.approx(-0.5, abs=1e-3)


def test_frames_that_cannot_be_read_do_not_cost_the_sound(tmp_path, monkeypatch):
    path = write_sound(tmp_path / "a.avi", notes(1.0, 48_000), 48_000, "libmp3lame", frames=40)

    def refuse(*_: object) -> None:
        raise video_io.VideoError(path, "unsupported", "there is no decoder.")

    monkeypatch.setattr(track, "candidates", lambda _: [SimpleNamespace(start_time=None)])
    monkeypatch.setattr(track, "Reader", refuse)
    sound = read_sound(path)
    assert (sound.start_s, sound.doubts) == (0.0, (track.NO_FRAME,))


@pytest.mark.parametrize(("seconds", "frames"), [(3.0, 20), (0.5, 60)])
def test_longer_and_shorter_than_the_image(seconds, frames, tmp_path):
    path = write_sound(tmp_path / "a.mp4", notes(seconds, 16_000), 16_000, frames=frames)
    sound = read_sound(path)
    assert (sound.start_s, sound.duration_s) == (0.0, seconds)
    assert video_io.probe(path).duration_s == frames / 20
    assert video_io.probe(path).sound == video_io.SoundInfo("aac", 16_000, 1, seconds)


def without(first: int, last: int) -> Callable[[list[av.Packet]], list[av.Packet]]:
    """Leave packets out."""
    return lambda packets: packets[:first] + packets[last:]


def moved(first: int, by: int, last: int | None = None):
    """Move the time stamps of packets by so many samples."""

    def edit(packets: list[av.Packet]) -> list[av.Packet]:
        for packet in packets[first:last]:
            packet.pts += by
            packet.dts += by
        return packets

    return edit


def pcm(path: Path, edit: Callable, seconds: float = 2.0) -> tuple[np.ndarray, video_io.Sound]:
    """What was written as packets of 1,024 samples without compression, and what is read of it."""
    original = notes(seconds, 16_000)

    def packets_of_1024(packets: list[av.Packet]) -> list[av.Packet]:
        content = b"".join(bytes(packet) for packet in packets)
        cut = [av.Packet(content[at : at + 2048]) for at in range(0, len(content), 2048)]
        for number, packet in enumerate(cut):
            packet.stream, packet.time_base = packets[0].stream, Fraction(1, 16_000)
            packet.pts = packet.dts = 1024 * number
        return edit(cut)

    write_sound(path, original, 16_000, "pcm_s16le", edit=packets_of_1024)
    return original, read_sound(path)


def test_a_gap_is_silent(tmp_path):
    original, sound = pcm(tmp_path / "gap.mkv", without(10, 15))
    expected = original.copy()
    expected[10 * 1024 : 15 * 1024] = 0
    assert sound.doubts == (track.GAPS,)
    assert len(sound.samples) == len(expected)
    np.testing.assert_allclose(sound.samples, expected, atol=1e-4)


def test_of_what_overlaps_the_first_is_heard(tmp_path):
    original, sound = pcm(tmp_path / "overlap.mkv", moved(10, -800))  # 50 ms
    assert sound.doubts == (track.OVERLAPS,)
    expected = np.concatenate([original[: 10 * 1024], original[10 * 1024 + 800 :]])
    assert len(sound.samples) == len(expected)
    np.testing.assert_allclose(sound.samples, expected, atol=1e-4)


@pytest.mark.parametrize("by", [-800, 800])
def test_one_damaged_time_stamp_moves_nothing(by, tmp_path):
    original, sound = pcm(tmp_path / "a.mkv", moved(10, by, 11))
    assert sound.doubts == (track.STAMPS,)
    np.testing.assert_allclose(sound.samples, original, atol=1e-4)


DAY = 86_400
PLACED = [  # when pieces of 1 s begin by their time stamps, when they are heard, and the doubt
    ([0, 1, 2], [0, 1, 2], None),
    ([5, 6], [5, 6], None),
    ([-0.5, 0.5], [-0.5, 0.5], None),
    ([0, 1.009, 2.0], [0, 1, 2], None),
    ([0, None, None], [0, 1, 2], None),
    ([None, None], [0, 1], None),
    ([0, 1, 4, 5], [0, 1, 4, 5], track.GAPS),
    ([0, 1, DAY, DAY + 1], [0, 1, DAY, DAY + 1], track.GAPS),
    ([0, 1, 1.5, 2.5], [0, 1, 2, 2.5], track.OVERLAPS),
    ([0, 1, 1, 2], [0, 1, 2], track.OVERLAPS),
    ([0, 1, 99, 3, 4], [0, 1, 2, 3, 4], track.STAMPS),
    ([0, 1, -99, 3, 4], [0, 1, 2, 3, 4], track.STAMPS),
    ([0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5], track.RESTART),
    ([0, 1, 99 * DAY, 99 * DAY + 1], [0, 1, 2, 3], track.JUMP),
]


@pytest.mark.parametrize(("stamps", "heard", "doubt"), PLACED)
def test_pieces_are_placed_by_their_time_stamps(stamps, heard, doubt, tmp_path):
    path = write_wav(tmp_path / "a.wav", np.zeros(9), 8_000)
    second = np.ones(1000, np.float32)
    pieces = [
        track.Piece(None if stamp is None else Fraction(stamp), 1000, second) for stamp in stamps
    ]
    with track.Track(path) as opened:
        placed = list(opened._placed(pieces))
        assert [float(start) for start, _ in placed] == heard
        assert opened.doubts == ([doubt] if doubt else [])
        ends = [start + piece.length for start, piece in placed]
        assert all(a <= b for a, (b, _) in zip(ends, placed[1:], strict=False))


def test_rounded_time_stamps_make_no_gaps(tmp_path):
    original = notes(3.0, 44_100)
    path = write_sound(tmp_path / "a.mkv", original, 44_100, "pcm_s16le")  # whole milliseconds
    sound = read_sound(path, 44_100)
    assert sound.doubts == ()
    np.testing.assert_allclose(sound.samples, original, atol=1e-4)


def test_real_clips_are_read_without_doubts_and_gaps():
    """Time stamps of Vorbis differ by 10 ms from its samples where long and short blocks meet."""
    folder = real_data.require("video6-mini-redistributable")
    with_sound = [p for p in sorted(folder.rglob("*.webm")) if video_io.probe(p).has_audio]
    assert len(with_sound) >= 6
    for path in with_sound:
        sound = read_sound(path)
        assert sound.doubts == (), path.name
        assert sound.start_s < 0.05
        assert sound.duration_s == pytest.approx(video_io.probe(path).duration_s, abs=0.5)
        assert np.abs(sound.samples).max() > 0.01


def test_a_clock_that_starts_again_goes_on(tmp_path):
    tone = notes(3.0, 48_000)
    one = write_sound(tmp_path / "one.ts", tone, 48_000).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    sound = read_sound(tmp_path / "two.ts", 48_000)
    assert any("clock" in doubt for doubt in sound.doubts)
    assert sound.duration_s == pytest.approx(6.0, abs=0.1)


def test_a_rate_that_changes_on_the_way(tmp_path):
    halves = [
        write_sound(tmp_path / f"{rate}.mp3", sine(440, 1.0, rate), rate, "libmp3lame")
        for rate in (44_100, 32_000)
    ]
    path = tmp_path / "both.mp3"
    path.write_bytes(b"".join(half.read_bytes() for half in halves))
    sound = read_sound(path, 16_000)
    assert sound.duration_s == pytest.approx(2.0, abs=0.15)
    for second in (0.5, 1.5):  # the same tone before and after
        window = sound.samples[int(second * 16_000) :][:3200] * np.hanning(3200)
        assert np.argmax(np.abs(np.fft.rfft(window))) * 5 == 440


# --- a part of it -------------------------------------------------------------------------------


class Counter:
    """Counts the packets that tracks read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packets = 0
        plain = track.Track._packets

        def counted(one: track.Track):
            for packet in plain(one):
                self.packets += 1
                yield packet

        monkeypatch.setattr(track.Track, "_packets", counted)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.mp4", "aac", 44_100), ("a.mkv", "aac", 44_100), ("a.webm", "libopus", 48_000),
     ("a.ogg", "libopus", 48_000), ("a.mp3", "libmp3lame", 44_100), ("a.wav", "pcm_s16le", 8_000),
     ("a.ts", "aac", 44_100), ("a.avi", "libmp3lame", 44_100), ("a.flac", "flac", 44_100),
     ("a.aac", "aac", 44_100)],
)  # fmt: skip
def test_a_part_is_found_by_seeking(name, codec, rate, tmp_path, monkeypatch):
    path = write_sound(tmp_path / name, notes(20.0, rate), rate, codec)
    counter = Counter(monkeypatch)
    whole = read_sound(path)
    all_packets, counter.packets = counter.packets, 0
    part = read_sound(path, start_s=15.0, end_s=15.5)
    assert (part.start_s, len(part.samples)) == (15.0, 8_000)
    expected = whole.samples[15 * RATE :][:8_000]
    late = delay(part.samples, expected)
    assert abs(late) <= (16 if name.endswith(("mkv", "webm")) else 0)  # their clock's millisecond
    if not late:
        np.testing.assert_allclose(part.samples, expected, atol=5e-3)
    assert counter.packets < (
        all_packets / 4 if not name.endswith(("mkv", "webm")) else all_packets
    )


def test_where_seeking_fails_everything_is_decoded(tmp_path, monkeypatch):
    path = write_sound(tmp_path / "a.mp4", notes(5.0, 16_000), 16_000)
    expected = read_sound(path, start_s=3, end_s=4)
    monkeypatch.setattr(track.Track, "_sought", lambda *_: None)
    got = read_sound(path, start_s=3, end_s=4)
    np.testing.assert_allclose(got.samples, expected.samples, atol=1e-3)
    assert got.start_s == expected.start_s == 3.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_neighbouring_spans_join_without_a_seam(rate, tmp_path):
    path = write_sound(tmp_path / "a.wav", notes(6.0, 44_100), 44_100, "pcm_s16le")
    whole = read_sound(path, rate)
    cuts = [0, 0.1, 2.00001, 3.3, 5.7, None]
    spans = [read_sound(path, rate, a, b) for a, b in pairwise(cuts)]
    np.testing.assert_allclose(np.concatenate([s.samples for s in spans]), whole.samples, atol=1e-6)


def test_an_end_beyond_the_sound_means_its_end(tmp_path):
    path = write_wav(tmp_path / "a.wav", notes(1.0, 8_000), 8_000)
    for end in (5.0, float("inf"), None):
        assert read_sound(path, 8_000, 0.5, end).duration_s == 0.5


def test_a_span_without_sound_is_refused(tmp_path):
    path = write_sound(tmp_path / "a.mp4", notes(1.0, 16_000), 16_000, frames=80)
    for span in ((1.5, 2.5), (3.0, None), (-5.0, -4.0), (0.5, 0.5)):
        with pytest.raises(SoundError, match="there is no sound between") as caught:
            read_sound(path, RATE, *span)
        assert caught.value.reason == "out_of_range"


# --- tracks -------------------------------------------------------------------------------------


def several(path: Path, levels: list[float], default: int | None) -> Path:
    with av.open(str(path), "w") as output:
        tracks = [add_sound(output, sine(440, 1.0, 16_000, level), 16_000) for level in levels]
        for number, (stream, _) in enumerate(tracks):
            flag = av.stream.Disposition.default if number == default else 0
            stream.disposition = av.stream.Disposition(flag)
        for _, encode in tracks:
            output.mux(encode(Fraction(0)))
    return path


@pytest.mark.parametrize(("default", "level"), [(1, 0.2), (2, 0.4), (0, 0.1), (None, 0.1)])
def test_of_several_tracks_the_default_is_read_else_the_first(default, level, tmp_path):
    path = several(tmp_path / "a.mkv", [0.1, 0.2, 0.4], default)
    effective = np.sqrt(np.mean(read_sound(path).samples ** 2))
    assert effective * 2**0.5 == pytest.approx(level, rel=0.1)


def test_a_cover_is_no_video(tmp_path):
    """The times of music with a cover count from its first sample."""
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        _, encode = add_sound(output, notes(1.0, 16_000), 16_000)
        output.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        output.mux(cover.encode(None))
        output.mux(encode(Fraction(2)))
    sound = read_sound(path)
    assert (sound.start_s, sound.doubts) == (0.0, ())
    assert sound.duration_s == pytest.approx(1.0, abs=0.065)
    with pytest.raises(video_io.VideoError, match="no video"):
        video_io.probe(path)


def test_probe_describes_the_track(tmp_path):
    silent = video_io.write_clip(tmp_path / "silent.mp4", np.zeros((4, 32, 32, 3), np.uint8), 4)
    info = video_io.probe(silent)
    assert (info.has_audio, info.sound) == (False, None)
    path = write_sound(tmp_path / "a.mkv", notes(1.0, 48_000), 48_000, "ac3", "5.1", frames=20)
    info = video_io.probe(path)
    assert info.has_audio
    assert (info.sound.codec, info.sound.rate, info.sound.channels) == ("ac3", 48_000, 6)
    assert info.sound.duration_s == pytest.approx(1.0, abs=0.04)


# --- what is wrong ------------------------------------------------------------------------------


def test_no_sound_track(tmp_path):
    path = video_io.write_clip(tmp_path / "silent.mp4", np.zeros((4, 32, 32, 3), np.uint8), 4)
    with pytest.raises(SoundError, match=r"has no sound track\. Leave it out") as caught:
        read_sound(path)
    assert caught.value.reason == "no_sound"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.path, again.reason, str(again)) == (path, "no_sound", str(caught.value))


def test_a_track_without_samples(tmp_path):
    path = write_sound(tmp_path / "a.mkv", notes(1.0, 16_000), 16_000, frames=20, edit=lambda _: [])
    assert reason_of(lambda: read_sound(path)) == "no_samples"
    empty = write_wav(tmp_path / "empty.wav", np.zeros(0), 16_000)
    assert reason_of(lambda: read_sound(empty)) == "no_samples"
    assert video_io.probe(path).has_audio


def test_files_that_are_no_sound(tmp_path):
    text = tmp_path / "text.mp3"
    text.write_text("This is no sound. " * 99)
    nothing = tmp_path / "nothing.mp3"
    nothing.touch()
    assert reason_of(lambda: read_sound(text)) == "not_media"
    assert reason_of(lambda: read_sound(nothing)) == "empty"
    assert reason_of(lambda: read_sound(tmp_path)) == "directory"
    assert reason_of(lambda: read_sound(tmp_path / "absent.mp3")) == "missing"


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.avi", "libmp3lame")]
)
def test_damaged_packets_cost_what_they_hold(name, codec, tmp_path):
    whole = write_sound(tmp_path / name, notes(4.0, 44_100), 44_100, codec, frames=80)
    # MP3 has no checksums: most of its damage is noise that nothing tells from sound
    share = 0.3 if codec == "libmp3lame" else 0.02
    path = damaged(whole, tmp_path / f"damaged-{name}", share)
    sound = read_sound(path, start_s=-1)
    assert track.DAMAGED in sound.doubts
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max() <= 1
    assert 2.0 < sound.duration_s < 4.2
    clean = read_sound(whole, start_s=-1)
    beginning = slice(0, RATE // 25)  # before the first damaged packet
    np.testing.assert_allclose(sound.samples[beginning], clean.samples[beginning], atol=1e-3)


def test_a_track_of_garbage(tmp_path):
    whole = write_sound(tmp_path / "a.mp4", notes(1.0, 16_000), 16_000, frames=20)
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        for packet in container.demux(audio=0):
            if packet.pos is not None:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path = tmp_path / "garbage.mp4"
    path.write_bytes(content)
    assert reason_of(lambda: read_sound(path)) == "no_samples"


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.wav", "pcm_s16le")]
)
def test_a_file_that_is_cut_short(name, codec, tmp_path):
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    whole = tmp_path / name
    with av.open(str(whole), "w", options=options) as output:
        _, encode = add_sound(output, notes(4.0, 16_000), 16_000, codec)
        output.mux(encode(Fraction(0)))
    path = tmp_path / f"cut-{name}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    sound = read_sound(path)
    assert 1.5 < sound.duration_s < 2.5
    assert any(doubt.startswith("it was cut short: its ") for doubt in sound.doubts)
    np.testing.assert_allclose(sound.samples[:RATE], read_sound(whole).samples[:RATE], atol=1e-3)
    assert reason_of(lambda: read_sound(path, strict=True)) == "truncated"
    assert read_sound(whole, strict=True).doubts == ()


def test_a_track_that_ends_before_it_should(tmp_path):
    """An index that promises more than there is, though no length shows it."""
    whole = write_sound(tmp_path / "a.flac", notes(4.0, 16_000), 16_000, "flac")
    path = tmp_path / "short.flac"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert track.SHORT in read_sound(path).doubts
    assert read_sound(whole).doubts == ()


@pytest.mark.parametrize("rate", [1, 999, 400_000])
def test_a_rate_of_the_file_that_is_no_rate_of_sound(rate, tmp_path):
    path = write_wav(tmp_path / "a.wav", np.zeros(100), rate)
    assert reason_of(lambda: read_sound(path)) == "unsupported"


@pytest.mark.parametrize(
    ("argument", "value"),
    [("rate", 0), ("rate", -16_000), ("rate", 16_000.5), ("rate", float("nan")),
     ("rate", 10**9), ("start_s", float("nan")), ("start_s", float("inf")),
     ("end_s", float("nan"))],
)  # fmt: skip
def test_invalid_arguments(argument, value, tmp_path):
    path = write_wav(tmp_path / "a.wav", notes(0.1, 8_000), 8_000)
    with pytest.raises(ValueError, match=f"^{argument} is {value}; give "):
        read_sound(path, **{argument: value})


def test_budgets_of_memory_and_time(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", notes(10.0, 8_000), 8_000)
    small = Budget(memory=8 * 8_000 * 2)
    assert reason_of(lambda: read_sound(path, 8_000, budget=small)) == "too_large"
    assert read_sound(path, 8_000, 3, 5, budget=small).duration_s == 2
    assert reason_of(lambda: read_sound(path, budget=Budget(seconds=1e-9))) == "too_slow"


def test_a_long_gap_is_no_way_around_the_budget(tmp_path):
    path = tmp_path / "gap.nut"
    edit = moved(10, 16_000 * 3600 * 24)
    write_sound(path, notes(2.0, 16_000), 16_000, edit=edit)
    assert reason_of(lambda: read_sound(path)) == "too_large"
    assert read_sound(path, end_s=0.5).duration_s == 0.5


def test_the_file_is_closed_in_every_case(tmp_path):
    path = write_wav(tmp_path / "a.wav", notes(1.0, 8_000), 8_000)
    read_sound(path)
    reason_of(lambda: read_sound(path, start_s=9))
    shutil.move(path, tmp_path / "moved.wav")  # on Windows an open file cannot be moved
    assert (tmp_path / "moved.wav").exists()


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_what_write_clip_writes_is_read(rate, tmp_path):
    original = notes(1.5, rate)
    frames = np.zeros((20, 32, 32, 3), np.uint8)
    path = video_io.write_clip(tmp_path / "a.mp4", frames, 20, sound=original, sound_rate=rate)
    sound = read_sound(path, rate)
    assert (len(sound.samples), sound.start_s, sound.doubts) == (len(original), 0.0, ())
    assert delay(sound.samples, original) == 0
    assert np.corrcoef(sound.samples, original)[0, 1] > 0.99
