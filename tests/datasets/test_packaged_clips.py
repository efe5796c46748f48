"""The real clips that come with the package: they load offline, decode, and name their authors."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import real_data
from vidrec_utils import datasets, video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.files import sha256

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "vidrec_utils" / "datasets" / "real_clips"
MEDIA = sorted(
    path.relative_to(FOLDER).as_posix()
    for kind in ("clips", "thumbnails")
    for path in (FOLDER / kind).iterdir()
)


@pytest.fixture(scope="module")
def library() -> VideoLibrary:
    return datasets.load("real_clips")


def test_the_clips_load_without_a_warning_and_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        library = datasets.load("real_clips")
    library.check(strict=True)
    assert library.name == "real_clips"
    assert (len(library.videos), len(library.interactions), len(library.users)) == (10, 0, 0)
    assert library.has("title")
    with pytest.raises(LibraryError, match="has no watch ratios"):
        library.require("watch_ratio")


def test_the_environment_can_name_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_DATASET", "real_clips")
    assert datasets.load().name == "real_clips"


def test_media_are_small_and_decode(library: VideoLibrary) -> None:
    for video_id, video in library.videos.iterrows():
        frames, times = video_io.read_clip(library.file(video_id))
        assert 30 <= len(frames) <= 90, video_id
        assert times[-1] < video["duration_s"] <= 3, video_id
        assert max(frames.shape[1:3]) == 224, video_id
        assert np.ptp(frames, axis=(1, 2, 3)).min() > 50, f"{video_id} has an empty frame"
        assert np.abs(np.diff(frames[::5].astype(float), axis=0)).mean() > 0.5, f"{video_id} rests"
        with Image.open(library.file(video_id, of="thumbnail")) as thumbnail:
            assert thumbnail.size == (frames.shape[2], frames.shape[1])
            shown = np.asarray(thumbnail.convert("RGB"), dtype=float)
        nearest = np.abs(frames - shown).mean(axis=(1, 2, 3)).min()
        assert nearest < 4, f"the thumbnail of {video_id} is none of its frames"
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 1_000_000


def test_media_have_the_hashes_that_are_written_down(library: VideoLibrary) -> None:
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sorted(known) == MEDIA
    assert {name: sha256(FOLDER / name) for name in MEDIA} == known
    assert sorted([*library.videos["path"], *library.videos["thumbnail"]]) == MEDIA


def test_the_attribution_names_every_clip_its_author_and_its_licence(
    library: VideoLibrary,
) -> None:
    page = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", page, flags=re.MULTILINE))
    assert list(rows) == list(library.videos.index)
    deeds = {"CC BY 4.0": "licenses/by/4.0/", "CC0 1.0": "publicdomain/zero/1.0/"}
    for video_id, video in library.videos.iterrows():
        url, _, file = video["source"].partition(", ")
        deed = f"https://creativecommons.org/{deeds[video['license']]}"
        needed = (video["author"], f"[{video['license']}]({deed})", f"[{file}]({url})")
        assert all(part in rows[video_id] for part in needed), video_id
    assert "were changed" in " ".join(page.split()), "CC BY asks to say what was changed"
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "vidrec_utils/datasets/real_clips" in licence
    assert "real_clips/ATTRIBUTION.md" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_two_clips_have_a_cut_and_one_is_not_seen_in_colours(library: VideoLibrary) -> None:
    def jumps(video_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Differences of neighbouring frames: of their pixels, and of their histograms."""
        frames, _ = video_io.read_clip(library.file(video_id))
        pixels = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
        counts = [
            np.histogram(frame.mean(axis=2), 16, (0, 256), density=True)[0] for frame in frames
        ]
        return pixels, 16 * np.abs(np.diff(counts, axis=0)).sum(axis=1) / 2

    pixels, colours = jumps("airplane_lands")
    assert np.argmax(pixels) == np.argmax(colours) == 40  # the 42nd frame begins a new shot
    assert colours[40] > 0.3
    pixels, colours = jumps("bird_circles")
    assert np.argmax(pixels) == 28
    assert pixels[28] > 3 * np.delete(pixels, 28).max()
    assert colours[28] < 0.3


def test_a_wheel_holds_the_clips_and_what_belongs_to_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        REPOSITORY / "vidrec_utils", source / "vidrec_utils",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(REPOSITORY / name, source)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        prefix = "vidrec_utils/datasets/real_clips/"
        names = {n.removeprefix(prefix) for n in archive.namelist() if n.startswith(prefix)}
    tables = {"videos.csv", "interactions.csv", "users.csv", "library.json"}
    assert names == {*MEDIA, *tables, "ATTRIBUTION.md", "SHA256SUMS"}


def test_the_script_made_what_is_packaged(tmp_path: Path, library: VideoLibrary) -> None:
    source = real_data.require("asl-gestures-ccby").parent
    real_data.require("video6-mini-redistributable")
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    try:
        import real_clips as script
    finally:
        sys.path.pop(0)
    assert script.attribution() == (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert list(script.CLIPS) == list(library.videos.index)
    for video_id in ("man_leaves", "helicopter_passes", "toy_pig_nears"):  # one of each origin
        row = script.describe(source, tmp_path, video_id)
        assert row.pop("video_id") == video_id
        assert row == library.videos.loc[video_id, list(row)].to_dict()
        # Another version of the encoder may give other bytes.
        new, _ = video_io.read_clip(tmp_path / row["path"])
        old, _ = video_io.read_clip(library.file(video_id))
        assert new.shape == old.shape
        assert np.abs(new.astype(float) - old).mean() < 1, video_id
