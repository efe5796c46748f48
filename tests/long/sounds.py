"""Damaged sound: each call refuses it with a `SoundError`, or returns what sound can hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.sounds import notes, write_sound
from tests.long import runner
from tests.long.kind import Kind
from tests.long.media import damaged_media
from tests.long.report import Report
from vidrec_utils import video_io
from vidrec_utils.video_io import SoundError

FORMATS = (  # container, codec, rate, channels, frames
    ("mp4", "aac", 44_100, "stereo", 20),
    ("mkv", "aac", 16_000, "mono", 20),
    ("webm", "libopus", 48_000, "stereo", 0),
    ("ogg", "libopus", 48_000, "mono", 0),
    ("mp3", "libmp3lame", 44_100, "mono", 0),
    ("flac", "flac", 44_100, "stereo", 0),
    ("wav", "pcm_s16le", 8_000, "5.1", 0),
    ("ts", "aac", 44_100, "mono", 20),
    ("avi", "libmp3lame", 44_100, "mono", 20),
    ("mka", "ac3", 48_000, "5.1", 0),
    ("mov", "pcm_s16le", 44_100, "mono", 20),
    ("m4a", "aac", 48_000, "7.1", 0),
    ("flv", "aac", 44_100, "mono", 0),
)
LEAST_READ = 0.5
"""Share of the files that still have to be read, so that what lies behind is reached."""
CALLS: tuple[dict[str, float], ...] = ({}, {"start_s": 2.2}, {"rate": 44_100, "end_s": 1.0})


class Sounds(Kind):
    """Three seconds of sound in many formats, with frames beside it or without."""

    name = "sounds"

    def __init__(self, folder: Path) -> None:
        self.files = [
            write_sound(folder / f"sound.{form}", notes(3.0, rate), rate, codec, layout, frames=n)
            for form, codec, rate, layout, n in FORMATS
        ]

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        file = self.files[number % len(self.files)]
        (folder / file.name).write_bytes(damaged_media(file.read_bytes(), rng))

    def examine(self, folder: Path) -> str:
        [path] = folder.glob("sound.*")
        outcomes = [_read(path, **call) for call in CALLS]
        return max(outcomes, key=("refused", "read", "read with doubts").index)


def _read(path: Path, **call: float) -> str:
    try:
        sound = video_io.read_sound(path, **call)
    except SoundError:
        return "refused"
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert len(sound.samples)
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max() <= 1
    assert sound.rate == call.get("rate", 16_000)
    assert sound.start_s >= call.get("start_s", 0.0)
    if "end_s" in call:
        assert sound.start_s + sound.duration_s <= call["end_s"] + 1 / sound.rate
    return "read with doubts" if sound.doubts else "read"


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`; enough of the files have to be read."""
    report = runner.run(Sounds, count, seed, folder, progress)
    damaged = sum(report.outcomes.values()) - report.outcomes["corpus"]
    refused = report.outcomes["refused"]
    if damaged - refused < LEAST_READ * damaged:
        report.failures.append(f"sounds: only {damaged - refused} of {damaged} files are read")
    return report
