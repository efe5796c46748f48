"""Sound beside the picture: what is written is what PyAV decodes, in step, the same every time."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidrec_utils import video_io
from vidrec_utils.video_io.writer import FRAME_SAMPLES, SOUND_RATES

FRAMES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
FPS = 16


def tone(hertz: float, seconds: float, rate: int, level: float = 0.4) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def decode(path: Path) -> tuple[np.ndarray, int, float]:
    """Samples (channels, samples), their rate, and the time of the first in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return samples, frames[0].sample_rate, float(frames[0].pts * frames[0].time_base)


def loudest(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """Frequency in hertz and amplitude of the strongest tone, from the middle half."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    window = np.hanning(len(middle))
    finer = 8 * len(middle)  # so that a tone between two frequencies keeps its level
    spectrum = np.abs(np.fft.rfft(middle * window, finer)) / window.sum() * 2
    peak = int(spectrum.argmax())
    return peak * rate / finer, float(spectrum[peak])


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov", "mkv"])
def test_a_tone_comes_back_in_step_with_its_frequency_and_level(
    tmp_path: Path, suffix: str
) -> None:
    sound = tone(440, 1.5, 22_050)
    kept = sound.copy()
    path = video_io.write_clip(
        tmp_path / f"a.{suffix}", FRAMES, FPS, sound=sound, sound_rate=22_050
    )
    assert np.array_equal(sound, kept)
    assert video_io.probe(path).has_audio
    samples, rate, start = decode(path)
    assert (len(samples), rate, start) == (1, 22_050, 0)
    assert 0 <= samples.shape[1] - len(sound) < FRAME_SAMPLES
    hertz, level = loudest(samples[0], rate)
    assert hertz == pytest.approx(440, abs=2)
    assert level == pytest.approx(0.4, abs=0.01)
    # In step to the sample: a shift of one sample would give errors up to .05.
    middle = slice(4_000, 28_000)
    assert np.abs(samples[0, middle] - sound[middle]).max() < 0.02


@pytest.mark.parametrize("rate", SOUND_RATES)
def test_every_rate_of_aac(tmp_path: Path, rate: int) -> None:
    path = video_io.write_clip(
        tmp_path / "a.mp4", FRAMES, FPS, sound=tone(500, 1, rate), sound_rate=rate
    )
    samples, decoded_rate, _ = decode(path)
    assert decoded_rate == rate
    assert loudest(samples[0], rate) == pytest.approx((500, 0.4), rel=0.03)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
def test_each_channel_stays_where_it_is(tmp_path: Path, channels: int) -> None:
    # The fourth of six is for low frequencies, below 120 Hz.
    hertz = [400, 600, 800, 100, 1_000, 1_200] if channels == 6 else [400, 600, 800, 1_000, 1_200]
    sound = np.stack([tone(each, 1, 48_000, 0.3) for each in hertz[:channels]])
    path = video_io.write_clip(tmp_path / "a.mp4", FRAMES, FPS, sound=sound, sound_rate=48_000)
    samples, rate, _ = decode(path)
    assert len(samples) == channels
    for channel, expected in zip(samples, hertz, strict=False):
        assert loudest(channel, rate) == pytest.approx((expected, 0.3), rel=0.05)


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1.5, 4.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_may_be_shorter_or_longer_than_the_picture(
    tmp_path: Path, seconds: float, suffix: str
) -> None:
    sound = tone(300, seconds, 16_000)
    path = video_io.write_clip(
        tmp_path / f"a.{suffix}", FRAMES, FPS, sound=sound, sound_rate=16_000
    )
    assert 0 <= decode(path)[0].shape[1] - len(sound) < FRAME_SAMPLES
    frames, times = video_io.read_clip(path)
    assert len(frames) == len(FRAMES)
    assert times == pytest.approx(np.arange(len(FRAMES)) / FPS, abs=0.001)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 30_000))
    paths = [
        video_io.write_clip(tmp_path / f"{k}.{suffix}", FRAMES, FPS, sound=given, sound_rate=22_050)
        for k, given in enumerate((sound, sound.astype(np.float32), np.asfortranarray(sound)))
    ]
    contents = {path.read_bytes() for path in paths}
    assert len(contents) == 1
    assert re.search(rb"Lav[cf]\d", contents.pop()) is None


def test_many_encodings_of_sound_are_one_file(tmp_path: Path) -> None:
    sound = tone(220, 1.0, 16_000) + tone(333, 1.0, 16_000)
    contents = {
        video_io.write_clip(
            tmp_path / "a.mp4", FRAMES, FPS, sound=sound, sound_rate=16_000, sound_bit_rate=32_000
        ).read_bytes()
        for _ in range(10)
    }
    assert len(contents) == 1


def test_the_picture_is_the_same_with_and_without_sound(tmp_path: Path) -> None:
    silent = video_io.write_clip(tmp_path / "silent.mp4", FRAMES, FPS)
    heard = video_io.write_clip(
        tmp_path / "heard.mp4", FRAMES, FPS, sound=tone(440, 1.5, 16_000), sound_rate=16_000
    )
    assert not video_io.probe(silent).has_audio
    np.testing.assert_array_equal(video_io.read_clip(silent)[0], video_io.read_clip(heard)[0])


def test_sound_and_picture_alternate_in_the_file(tmp_path: Path) -> None:
    frames = [FRAMES[k % len(FRAMES)] for k in range(20 * FPS)]
    sound = np.random.default_rng(0).normal(0, 0.1, 20 * 16_000).clip(-1, 1)
    path = video_io.write_clip(tmp_path / "a.mp4", frames, FPS, sound=sound, sound_rate=16_000)
    latest = {"audio": Fraction(0), "video": Fraction(0)}
    with av.open(str(path)) as container:
        packets = sorted(
            (packet for packet in container.demux() if packet.size), key=lambda packet: packet.pos
        )
        for packet in packets:
            latest[packet.stream.type] = packet.dts * packet.time_base
            assert abs(latest["audio"] - latest["video"]) < 1.5
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


def test_fewer_bits_make_a_smaller_file(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 5 * 22_050).clip(-1, 1)

    def size(bit_rate: int | None) -> int:
        return (
            video_io.write_clip(
                tmp_path / f"{bit_rate}.mp4",
                FRAMES,
                FPS,
                sound=sound,
                sound_rate=22_050,
                sound_bit_rate=bit_rate,
            )
            .stat()
            .st_size
        )

    saved_bits = 8 * (size(None) - size(24_000))
    assert saved_bits == pytest.approx(5 * (64_000 - 24_000), rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sound": np.zeros(0)}, "no samples"),
        ({"sound": np.zeros((2, 0))}, "no samples"),
        ({"sound": np.zeros((1, 1, 9))}, "shape"),
        ({"sound": np.array(0.0)}, "shape"),
        ({"sound": np.zeros((16_000, 2))}, r"16000 channels; the shape is \(channels, samples\)"),
        ({"sound": np.zeros(9, np.int16)}, "int16"),
        ({"sound": np.zeros(9, complex)}, "complex128"),
        ({"sound": np.array([0, np.nan])}, "NaN"),
        ({"sound": np.array([0, np.inf])}, "between -1 and 1"),
        ({"sound": np.array([0, 1.01])}, "between -1 and 1"),
        ({"sound": np.zeros(9), "sound_rate": None}, "sound_rate is None; AAC knows"),
        ({"sound": np.zeros(9), "sound_rate": 15_999}, "sound_rate is 15999; AAC knows"),
        ({"sound": np.zeros(9), "sound_bit_rate": 0}, "sound_bit_rate is 0"),
        ({"sound": None}, "go with sound"),
    ],
)
def test_sound_that_cannot_be_written(tmp_path: Path, arguments: dict, message: str) -> None:
    given = {"sound_rate": 16_000, **arguments}
    with pytest.raises(ValueError, match=message):
        video_io.write_clip(tmp_path / "a.mp4", FRAMES, FPS, **given)
    assert list(tmp_path.iterdir()) == []
