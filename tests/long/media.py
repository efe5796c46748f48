"""Damaged videos: each call refuses them with a `VideoError`, or returns what a video can hold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tests.helpers import media_matrix
from tests.helpers.damage import damaged_bytes
from tests.long import runner
from tests.long.kind import Kind
from tests.long.report import Report
from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.media import check_media
from vidrec_utils.video_io import VideoError

FORMATS = (
    ("mp4", "h264"),
    ("mov", "mjpeg"),
    ("mkv", "hevc"),
    ("webm", "vp9"),
    ("avi", "mpeg4"),
    ("ts", "mpeg2"),
    ("flv", "h264"),
    ("wmv", "msmpeg4"),
)
"""Container and codec of the files that are damaged, in turns."""
LEAST_OPEN = 0.5
"""Share of the files that still have to open, so that what lies behind is reached."""
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TOKENS = (b"1e99999999", b"4/0", b"-1", b"nan", b"inf", b"99:99:99", b"0x10", b"1_0", b"\xff")
_NUMBER = re.compile(rb"[0-9][0-9:./]{2,}")


class Media(Kind):
    """Short videos in eight formats."""

    name = "media"

    def __init__(self, folder: Path) -> None:
        cases = [media_matrix.Case(*form, variant="plain") for form in FORMATS]
        self.files = [media_matrix.make(case, folder)[0] for case in cases]
        self.intact = self.files[0]

    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        file = self.files[number % len(self.files)]
        (folder / f"video{file.suffix}").write_bytes(damaged_media(file.read_bytes(), rng))

    def examine(self, folder: Path) -> str:
        [path] = folder.glob("video.*")
        info = _or_refused(lambda: video_io.probe(path))
        if info is not None:
            assert info.n_frames > 0
            assert 0 <= info.duration_s < float("inf")
            assert info.width > 0
            assert info.height > 0
        decoded = [
            _or_refused(lambda: _frames(video_io.sample_frames(path, 4), 4)),
            _or_refused(lambda: _frames(video_io.sample_frames(path, 4, size=32), 4)),
            _or_refused(lambda: _clip(*video_io.read_clip(path, end_s=60))),
            _or_refused(lambda: _frames(np.asarray(video_io.thumbnail(path))[None], 1)),
            _or_refused(lambda: _frames(video_io.sample_clip(path, 4, size=32)[0], 4)),
        ]
        self._check_beside_an_intact_one(path)
        if any(decoded):
            return "decoded" if info is not None else "decoded, but not opened"
        return "opened" if info is not None else "refused"

    def _check_beside_an_intact_one(self, path: Path) -> None:
        """A damaged file costs its own row of a library, and no other."""
        shutil.copyfile(self.intact, path.with_name("intact.mp4"))
        names = [path.name, "intact.mp4"]
        videos = pd.DataFrame({"video_id": ["damaged", "intact"], "path": names})
        log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []}, dtype="str")
        media = check_media(VideoLibrary(videos, log, root=path.parent), progress=False)
        assert list(media.index) == ["damaged", "intact"]
        assert media.loc["intact", "status"] == "ok"


def _or_refused(work: Callable[[], object]) -> object:
    try:
        return work()
    except VideoError:
        return None


def _frames(frames: np.ndarray, count: int) -> bool:
    assert frames.dtype == np.uint8
    assert frames.ndim == 4
    assert frames.shape[0] == count
    assert frames.shape[3] == 3
    return True


def _clip(frames: np.ndarray, times: np.ndarray) -> bool:
    assert len(frames) == len(times)
    assert np.isfinite(times).all()
    assert (np.diff(times) >= 0).all()
    return len(frames) > 0


def damaged_media(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of a video with faults: any bytes, extreme numbers in fields, or odd texts in tags."""
    if rng.random() < 0.5:
        return damaged_bytes(data, rng)
    damaged = bytearray(data)
    header = rng.random() < 0.5  # fields are dense at both ends of a file
    for _ in range(int(rng.integers(1, 4))):
        numbers = list(_NUMBER.finditer(bytes(damaged)))
        if numbers and rng.random() < 0.3:
            match = numbers[int(rng.integers(len(numbers)))]
            token = TOKENS[int(rng.integers(len(TOKENS)))]
            size = match.end() - match.start()
            damaged[match.start() : match.end()] = token[:size].ljust(size, b"\0")
            continue
        width = int(rng.choice([1, 2, 4, 8]))
        value = EXTREMES[int(rng.integers(len(EXTREMES)))] % (1 << 8 * width)
        start = int(rng.integers(max(1, min(len(damaged), 2_000) if header else len(damaged))))
        start = len(damaged) - start - 1 if header and rng.random() < 0.5 else start
        order = "big" if rng.random() < 0.5 else "little"
        damaged[start : start + width] = value.to_bytes(width, order)[: len(damaged) - start]
    return bytes(damaged)


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """See `tests.long.runner.run`; enough of the files have to open."""
    report = runner.run(Media, count, seed, folder, progress)
    opened = report.outcomes["opened"] + report.outcomes["decoded"]
    damaged = sum(report.outcomes.values()) - report.outcomes["corpus"]
    if opened < LEAST_OPEN * damaged:
        report.failures.append(f"media: only {opened} of {damaged} damaged files still open")
    return report
