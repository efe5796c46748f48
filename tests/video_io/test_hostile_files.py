"""Files made to hang, to crash or to fill the memory: each costs an error of its own, soon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.video_io.test_odd_files import write
from vidrec_utils import embeddings, video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.encoders import FrameContract, WeightsInfo
from vidrec_utils.files import sha256
from vidrec_utils.preprocessing import hashing, pipeline
from vidrec_utils.preprocessing.clips import VideoClips
from vidrec_utils.preprocessing.duplicates import exact_duplicates
from vidrec_utils.preprocessing.media import check_media
from vidrec_utils.video_io import Budget, ImageError, MediaError, VideoError, reader


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def reason_of(work: Callable[[], object]) -> str:
    with pytest.raises(MediaError) as caught:
        work()
    return caught.value.reason


def library_of(root: Path, **paths: str) -> VideoLibrary:
    videos = pd.DataFrame({"video_id": list(paths), "path": list(paths.values())})
    videos["thumbnail"] = videos["path"]
    log = pd.DataFrame({"user_id": "u", "video_id": list(paths), "timestamp": "2025-01-01"})
    return VideoLibrary(videos.astype("str"), log, root=root)


class MeanColor:
    """The mean colour of images or of a clip's frames."""

    name, dim, parameters, preprocessing = "colour", 3, 0, None
    values_per_item = 3 * 224**2
    weights, fingerprint = WeightsInfo("none"), "colour-1"
    frame_contract = FrameContract(frames=4, size=16, read_size=16)

    def __init__(self, modality: str) -> None:
        self.modality = modality

    def encode(self, batch: list) -> np.ndarray:
        return np.stack([i.reshape(-1, 3).mean(axis=0) for i in batch]).astype("f4")


# --- tags, ticks and arguments -------------------------------------------------------------------

TAGS = [
    "0:0:1e999999999999",
    "00:00:4/0",
    "1/0:00:01",
    "00:00:nan",
    "00:00:-1",
    "999999:00:00",
    "00:00:1_0.0",
    "٠٠:٠٠:٠٤",
    "00:00:00.000000000",
]


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_that_is_no_duration_counts_as_none(tmp_path: Path, tag: str) -> None:
    path = write(tmp_path / "tag.mkv")
    content, old = path.read_bytes(), b"00:00:01.200000000"
    new = tag.encode()[:18].ljust(18, b"\0")
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with within(5):
        info = video_io.probe(path)
    assert (info.n_frames, info.truncated) == (30, False)
    assert info.duration_s == pytest.approx(1.2)


def test_seeking_advances_where_a_tick_is_longer_than_a_second(tmp_path: Path) -> None:
    """Ticks of 16,634 s, and frames that do not decode where seeking lands."""
    path = write(tmp_path / "slow.avi", codec="mjpeg")
    content = bytearray(path.read_bytes())
    at = content.index(b"vids") + 20
    content[at : at + 8] = (16_634).to_bytes(4, "little") + (1).to_bytes(4, "little")
    start = content.index(b"movi") + 4
    for number in range(30):  # all frames but the last are blanked
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if number < 29:
            content[start + 8 : start + 8 + size] = bytes(size)
        start += 8 + size + size % 2
    path.write_bytes(content)
    with within(10):
        frames = video_io.sample_frames(path, 4, budget=Budget(seconds=8))
    assert len(frames) == 4


def test_numbers_of_frames_that_fit_nowhere_are_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")
    with within(5):
        assert reason_of(lambda: video_io.read_clip(path, fps=1e15)) == "too_large"
        assert reason_of(lambda: video_io.sample_frames(path, 10**9)) == "too_large"
        assert reason_of(lambda: video_io.sample_frames(path, size=10**9)) == "too_large"
        assert len(video_io.read_clip(path, end_s=float("inf"))[0]) == 30
        for wrong in ({"end_s": float("nan")}, {"start_s": float("nan")}):
            with pytest.raises(ValueError, match="_s is nan"):
                video_io.read_clip(path, **wrong)


# --- budgets -------------------------------------------------------------------------------------


def test_each_reading_keeps_the_time_that_it_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv")
    budget = Budget(seconds=1e-9)
    for work in (
        video_io.probe,
        video_io.sample_frames,
        video_io.read_clip,
        video_io.thumbnail,
        video_io.sample_clip,
    ):
        assert reason_of(lambda work=work: work(path, budget=budget)) == "too_slow"
    with pytest.raises(VideoError, match=r"more than 1e-09 s. Allow more time"):
        video_io.probe(path, budget=budget)
    assert video_io.probe(path, budget=Budget(seconds=60)).n_frames == 30


def test_frames_and_images_beyond_the_budget_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")  # 176 x 144
    assert reason_of(lambda: video_io.probe(path, budget=Budget(frame_pixels=25_343))) == (
        "too_large"
    )
    assert video_io.probe(path, budget=Budget(frame_pixels=25_344)).width == 176
    memory = 3 * 176 * 144 * 8 + 16 * 176 * 144  # the result, and what decoding takes
    assert len(video_io.sample_frames(path, 8, budget=Budget(memory=memory))) == 8
    assert reason_of(lambda: video_io.sample_frames(path, 8, budget=Budget(memory=memory - 1))) == (
        "too_large"
    )
    image = tmp_path / "image.png"
    Image.new("RGB", (100, 80)).save(image)
    assert reason_of(lambda: video_io.read_image(image, budget=Budget(image_pixels=7_999))) == (
        "too_large"
    )
    assert reason_of(lambda: video_io.read_image(image, budget=Budget(memory=79_999))) == (
        "too_large"
    )
    assert video_io.read_image(image, budget=Budget(memory=80_000)).shape == (80, 100, 3)
    with pytest.raises(ValueError, match="seconds is 0"):
        Budget(seconds=0)


@pytest.mark.parametrize("form", ["gif", "png"])
def test_a_frame_larger_than_any_codec_allows_is_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"bomb.{form}"
    images = [Image.new("P", (6_000, 6_000), n) for n in range(2)]
    images[0].save(path, save_all=True, append_images=images[1:])
    path = path.rename(path.with_suffix(".apng" if form == "png" else ".gif"))
    with within(10):
        assert reason_of(lambda: video_io.sample_frames(path)) == "too_large"


def test_large_images_are_scaled_down_while_they_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 90, 3), np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    assert np.array_equal(video_io.read_image(path, most_pixels=5_400), pixels)
    blocks = pixels.reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    small = video_io.read_image(path, most_pixels=600)
    assert np.abs(small - blocks).max() < 0.6
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    turned = video_io.read_image(tmp_path / "turned.png", most_pixels=600)
    assert np.array_equal(turned, np.rot90(small, -1))
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16", "CMYK", "F"):
        path = tmp_path / ("mode.jpg" if mode == "CMYK" else "mode.tif")
        Image.new(mode, (90, 60)).save(path)
        assert video_io.read_image(path, most_pixels=600).shape == (20, 30, 3)
    with pytest.raises(ValueError, match="most_pixels is 0"):
        video_io.read_image(path, most_pixels=0)


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd
from vidrec_utils import embeddings
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.encoders import WeightsInfo
class MeanColor:
    name, dim, parameters, preprocessing, modality = "colour", 3, 0, None, "image"
    values_per_item, weights, fingerprint = 3 * 224**2, WeightsInfo("none"), "colour-1"
    def encode(self, batch):
        return np.stack([i.reshape(-1, 3).mean(axis=0) for i in batch]).astype("f4")
root = Path(sys.argv[1])
names = [p.name for p in sorted(root.glob("*.*"))]
log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
library = VideoLibrary(pd.DataFrame({"video_id": names, "thumbnail": names}), log, root=root)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
got = embeddings.embed(library, MeanColor(), "thumbnail", root / "store", progress=False)
print((peak() - before) * (1 if sys.platform == "darwin" else 1024), len(got.failures))
"""


def test_a_batch_of_huge_thumbnails_stays_in_memory(tmp_path: Path) -> None:
    """Eight images of 16 megapixels in a few kilobytes: whole, they are 384 MB."""
    pytest.importorskip("resource", reason="Peak memory is not measured on Windows.")
    for number in range(8):
        image = Image.new("RGB", (4_000, 4_000), (number, 0, 0))
        image.save(tmp_path / f"i{number}.{'webp' if number == 0 else 'png'}", compress_level=1)
    root = Path(video_io.__file__).parents[2]
    arguments = [sys.executable, "-c", PEAK, str(tmp_path)]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 0, run.stderr
    peak, failures = map(int, run.stdout.split())
    assert failures == 0
    assert peak < 340e6  # most of it for one image of WebP


# --- pipes and devices ---------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes.")
def test_pipes_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    write(tmp_path / "clip.mp4")
    library = library_of(tmp_path, pipe="pipe.mp4", clip="clip.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), Path("/dev/null")):
        with within(5):
            assert reason_of(lambda path=path: video_io.probe(path)) == "special"
            assert reason_of(lambda path=path: video_io.read_image(path)) == "special"
            with pytest.raises(OSError, match="no regular file"):
                sha256(path)
    with within(60):
        media = check_media(library, progress=False)
        assert media["status"].tolist() == ["absent", "ok"]
        monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "data"))
        cleaned, report = pipeline.clean(library, progress=False)
        assert list(cleaned.videos.index) == ["pipe", "clip"]
        assert report.of("file absent") == ["pipe"]
        assert exact_duplicates(library, progress=False).empty
        for of, modality in (("clip", "video"), ("thumbnail", "image")):
            store = tmp_path / "stores"
            got = embeddings.embed(library, MeanColor(modality), of, store, progress=False)
            assert "pipe" in got.failures["video_id"].tolist()
            assert not got.failures["reason"].str.contains(str(tmp_path)).any()


@pytest.mark.parametrize("name", ["x" * 5_000, "a\0b", "lone \udcff surrogate"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    for work in (video_io.probe, video_io.read_image):
        assert reason_of(lambda work=work: work(tmp_path / name)) in {"missing", "unreadable"}


# --- whatever goes wrong costs one row -----------------------------------------------------------

ERRORS = [
    ZeroDivisionError("division by zero"),
    av.error.OSError(5, "Input/output error"),
    RuntimeError("the decoder gave up"),
    KeyError("no such stream"),
    TypeError("unexpected"),
    MemoryError(),
]


@pytest.fixture
def pair(tmp_path: Path) -> VideoLibrary:
    """Two clips, the second of which makes the scaler fail."""
    write(tmp_path / "good.mp4")
    write(tmp_path / "bad.mkv", first=100)
    return library_of(tmp_path, good="good.mp4", bad="bad.mkv")


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    original = reader.Reader._frames_of

    def failing(self: reader.Reader, packet: av.Packet) -> list:
        if self.path.name == name:
            raise error
        return original(self, packet)

    monkeypatch.setattr(reader.Reader, "_frames_of", failing)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_any_type_costs_one_row(
    pair: VideoLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fail_on(monkeypatch, "bad.mkv", error)
    reason = "too_large" if isinstance(error, MemoryError) else "failed"
    for work in (video_io.probe, video_io.sample_frames, video_io.read_clip, video_io.thumbnail):
        assert reason_of(lambda work=work: work(pair.file("bad"))) == reason
    media = check_media(pair, progress=False)
    assert media["status"].tolist() == ["ok", "unread"]
    assert media.loc["bad", "reason"] == reason
    cleaned, report = pipeline.clean(pair, cache=False, progress=False)
    assert list(cleaned.videos.index) == ["good", "bad"]
    assert len(cleaned.interactions) == 2
    assert report.of(f"unread file: {reason}") == ["bad"]
    got = embeddings.embed(pair, MeanColor("video"), "clip", tmp_path / "store", progress=False)
    assert got.failures["video_id"].tolist() == ["bad"]
    assert set(hashing.fingerprints(pair, progress=False)[0]) == {"good"}
    blank = VideoClips(pair, size=16, on_error="blank")
    assert [blank[index]["ok"] for index in range(2)] == [True, False]
    assert VideoClips(pair, size=16, on_error="skip").video_ids == ["good"]
    with pytest.raises(VideoError):
        VideoClips(pair, size=16)[1]


def test_an_error_that_may_pass_is_tried_again(
    pair: VideoLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, encoder = tmp_path / "store", MeanColor("video")
    slow = embeddings.embed(
        pair, encoder, "clip", store, progress=False, budget=Budget(seconds=1e-9)
    )
    assert slow.failures["video_id"].tolist() == ["good", "bad"]
    assert slow.failures["reason"].str.contains("Allow more time").all()
    assert np.isnan(slow.vectors).all()
    whole = embeddings.embed(pair, encoder, "clip", store, progress=False)
    assert whole.failures.empty
    assert np.isfinite(whole.vectors).all()


def test_a_budget_reaches_every_file_of_a_library(
    pair: VideoLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "data"))
    small = Budget(seconds=1e-9)
    for budget, status in ((small, "unread"), (Budget(), "ok")):
        assert (check_media(pair, progress=False, budget=budget)["status"] == status).all()
        cleaned, report = pipeline.clean(pair, progress=False, budget=budget)
        assert list(cleaned.videos.index) == ["good", "bad"]
        assert len(report.of("unread file: too_slow")) == (2 if budget is small else 0)
    with pytest.raises(VideoError, match="Allow more time"):
        VideoClips(pair, budget=small)[0]


def test_a_clip_without_a_file_is_skipped_or_blank(pair: VideoLibrary) -> None:
    videos = pair.videos.reset_index()
    videos.loc[1, "path"] = "../outside.mp4"
    library = VideoLibrary(videos, pair.interactions, root=pair.root)
    skipping = VideoClips(library, size=16, on_error="skip")
    assert skipping.video_ids == ["good"]
    assert skipping.failures["video_id"].tolist() == ["bad"]
    blank = VideoClips(library, size=16, on_error="blank")
    assert [blank[index]["ok"] for index in range(2)] == [True, False]


def test_damaged_images_are_errors_of_the_image(tmp_path: Path) -> None:
    """Formats whose readers raise errors of many types."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    for form in ("png", "jpg", "gif", "webp", "avif", "tif", "bmp", "ico", "jp2", "tga"):
        path = tmp_path / f"image.{form}"
        picture.save(path)
        content = path.read_bytes()
        for _ in range(40):
            mutated = bytearray(content[: rng.integers(1, len(content) + 1)])
            for _ in range(4):
                mutated[rng.integers(len(mutated))] = rng.integers(256)
            path.write_bytes(mutated)
            try:
                assert video_io.read_image(path).ndim == 3
            except ImageError:
                continue
