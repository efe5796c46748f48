"""A folder of videos alone: it loads, and a sentence says what was made up."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import real_data
from vidrec_utils import datasets, preprocessing, video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary


def load(root: Path) -> tuple[VideoLibrary, str]:
    """Load a folder; returns the library and the sentence."""
    with pytest.warns(UserWarning, match="no table") as caught:
        library = datasets.load(root)
    return library, str(caught[0].message)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips of one colour each, in two folders."""
    root = tmp_path / "my_clips"
    for name, colour in (("my_cat-01.mp4", 40), ("trips/Sea.MP4", 90), ("trips/sea.mkv", 140)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        video_io.write_clip(root / name, np.full((10, 48, 64, 3), colour, dtype=np.uint8), fps=10)
    (root / "trips" / ".hidden.mp4").write_bytes(b"")
    (root / "notes.txt").write_text("mine")
    return root


def test_a_folder_of_videos_alone_is_a_library(folder: Path) -> None:
    library, sentence = load(folder)
    library.check(strict=True)
    assert library.name == "my_clips"
    assert library.videos.index.tolist() == ["my_cat-01", "trips/Sea", "trips/sea"]
    assert library.videos["title"].tolist() == ["My cat 01", "Sea", "Sea"]
    assert library.videos["path"].tolist() == ["my_cat-01.mp4", "trips/Sea.MP4", "trips/sea.mkv"]
    assert library.videos["duration_s"].tolist() == [1.0, 1.0, 1.0]
    assert len(library.interactions) == len(library.users) == 0
    for video_id, colour in (("my_cat-01", 40), ("trips/sea", 140)):
        image = video_io.read_image(library.file(video_id, "thumbnail"))
        assert image.shape == (48, 64, 3)
        assert abs(float(image.mean()) - colour) < 4
    assert "holds 3 videos and no table" in sentence
    assert "add videos.csv and interactions.csv" in sentence
    assert (folder / "notes.txt").read_text() == "mine"


def test_thumbnails_are_made_once(folder: Path) -> None:
    load(folder)
    made = {file: file.stat().st_mtime_ns for file in (folder / "thumbnails").rglob("*.jpg")}
    assert len(made) == 3
    library, _ = load(folder)
    assert {f: f.stat().st_mtime_ns for f in (folder / "thumbnails").rglob("*.jpg")} == made
    assert len(library.videos) == 3


def test_such_a_library_is_cleaned_and_saved(folder: Path, tmp_path: Path) -> None:
    library, _ = load(folder)
    cleaned, _ = preprocessing.clean(library, progress=False)
    assert len(cleaned.videos) >= 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = datasets.load(library.save(tmp_path / "saved"))
    again.check()
    assert again.videos.index.tolist() == library.videos.index.tolist()
    assert again.file("trips/sea").is_file()
    assert len(again.interactions) == 0


def test_two_files_of_one_name_and_a_broken_one(folder: Path) -> None:
    shutil.copy(folder / "my_cat-01.mp4", folder / "my_cat-01.mov")
    (folder / "broken.webm").write_bytes(b"no video")
    library, sentence = load(folder)
    assert library.videos.index.tolist()[:3] == ["broken", "my_cat-01.mov", "my_cat-01.mp4"]
    assert library.videos["thumbnail"].isna().tolist() == [True, False, False, False, False]
    assert "except for 1 that cannot be read or written" in sentence
    library.check()


def test_a_folder_that_cannot_be_written_has_no_thumbnails(folder: Path) -> None:
    (folder / "thumbnails").write_text("a file in its way")
    library, sentence = load(folder)
    assert library.videos["thumbnail"].isna().all()
    assert library.videos["duration_s"].tolist() == [1.0, 1.0, 1.0]
    assert "except for 3 that cannot be read or written" in sentence


def test_what_is_not_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "clips.csv").write_text("video_id,title\n")
    outside = tmp_path / "outside.mp4"
    shutil.copy(folder / "my_cat-01.mp4", outside)
    (folder / "link.mp4").symlink_to(outside)
    latin = os.fsencode(folder) + b"/caf\xe9.mp4"
    Path(os.fsdecode(latin)).write_bytes(outside.read_bytes())
    library, sentence = load(folder)
    assert len(library.videos) == 3
    assert "Not read: 'caf\\udce9.mp4', 'clips.csv', 'link.mp4'." in sentence


def test_a_folder_with_a_library_below_or_with_one_table_is_no_such_folder(folder: Path) -> None:
    (folder / "interactions.csv").write_text("user_id,video_id,timestamp\nu,a,2024-05-01\n")
    with pytest.raises(LibraryError, match="neither file exists"):
        datasets.load(folder)
    (folder / "interactions.csv").unlink()
    (folder / "trips" / "videos.csv").write_text("video_id\na\n")
    with pytest.raises(LibraryError, match="neither file exists"):
        datasets.load(folder)


def test_videos_without_a_log_are_a_library(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "videos.csv").write_text("video_id,title\nv1,Cats\nv2,Dogs\n")
    with pytest.warns(UserWarning, match="no table of interactions") as caught:
        library = datasets.load(root)
    assert len(caught) == 1
    assert "add interactions.csv" in str(caught[0].message)
    assert library.videos["title"].to_dict() == {"v1": "Cats", "v2": "Dogs"}
    assert len(library.interactions) == len(library.users) == 0
    assert str(library.interactions["timestamp"].dtype).startswith("datetime64")
    library.check(strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = datasets.load(library.save(tmp_path / "saved"))  # which has an empty log
    assert len(again.videos) == 2
    assert len(again.interactions) == 0


def test_a_log_of_another_form_or_without_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video_id,title\nv1,Cats\n")
    (tmp_path / "interactions.xlsx").write_bytes(b"PK")
    with pytest.raises(LibraryError, match=r"interactions\.xlsx is a form that is not read"):
        datasets.load(tmp_path)
    (tmp_path / "videos.csv").unlink()
    (tmp_path / "interactions.xlsx").unlink()
    (tmp_path / "users.csv").write_text("user_id\nann\n")
    with pytest.raises(LibraryError, match=r"videos\.csv(.|\n)*interactions\.csv"):
        datasets.load(tmp_path)


def test_real_clips_load_without_a_table(tmp_path: Path) -> None:
    source = real_data.require("asl-gestures-ccby")
    shutil.copytree(source, tmp_path / "signs")
    library, sentence = load(tmp_path / "signs")
    assert len(library.videos) == 23
    assert "Again" in library.videos["title"].tolist()
    assert library.videos["thumbnail"].notna().all()
    assert library.videos["duration_s"].between(0.5, 600).all()
    assert "'clips.csv'" in sentence
