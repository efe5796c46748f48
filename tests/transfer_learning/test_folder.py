"""From a folder of files in one call: files as they should be, broken ones, and real ones."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tests.helpers import real_data
from tests.transfer_learning.tiny import TinyEncoder
from vidrec_utils import settings, video_encoders, video_io
from vidrec_utils.transfer_learning import fine_tune_folder, folder, labelled_files

SIGNS, CLASSES = "asl-gestures-ccby", "video6-mini-redistributable"


class SmallFrames(TinyEncoder):
    """Takes files of any size: every fourth pixel of a square of 16."""

    def prepare(self, clips):
        return super().prepare([clip[:2, :16:4, :16:4] for clip in clips])


@pytest.fixture(autouse=True)
def kept(tmp_path_factory, monkeypatch):
    """The folder of frames that were read, empty at first."""
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path_factory.mktemp("data")))
    return settings.cache_dir() / "frames"


@pytest.fixture
def files(tmp_path):
    """Six dark and six bright clips in a folder each, one broken file, and some that are none."""
    rng = np.random.default_rng(0)
    for label, least in (("dark", 0), ("bright", 150)):
        (tmp_path / label).mkdir()
        for place in range(6):
            clip = rng.integers(least, least + 100, (4, 32, 32, 3)).astype(np.uint8)
            video_io.write_clip(tmp_path / label / f"{place}.mp4", clip, fps=8)
    (tmp_path / "dark" / "broken.mp4").write_bytes(b"no video at all")
    (tmp_path / "dark" / "notes.txt").write_text("not a video", encoding="utf-8")
    shutil.copyfile(tmp_path / "dark" / "0.mp4", tmp_path / "of-no-class.mp4")
    return tmp_path


def test_a_folder_for_each_class(files):
    table = labelled_files(files)
    assert table["label"].value_counts().to_dict() == {"dark": 7, "bright": 6}
    assert "of-no-class.mp4" not in set(table["path"])
    model = fine_tune_folder(files, SmallFrames(), progress=False, validation=0.2)
    assert model.failures.to_dict("records") == [
        {"path": "dark/broken.mp4", "reason": "not_a_video"}
    ]
    clips = [video_io.sample_frames(files / f"{c}/1.mp4", n=2) for c in ("dark", "bright")]
    assert list(model.predict(clips)) == ["dark", "bright"]
    assert model.history["valid_loss"].notna().all()


def test_labels_in_a_frame_with_groups(files):
    table = labelled_files(files)
    table["group"] = [path.rpartition("/")[2] for path in table["path"]]
    model = fine_tune_folder(
        files, SmallFrames(), "full", table, validation=0.4, epochs=2, progress=False
    )
    assert len(model.history) == 2
    absolute = table.assign(path=[str(files / path) for path in table["path"]])
    again = fine_tune_folder(
        "elsewhere", SmallFrames(), "full", absolute, validation=0.4, epochs=2, progress=False
    )
    assert again.losses.tolist() == model.losses.tolist()


def test_what_does_not_fit_into_memory_is_read_when_asked_for(files, monkeypatch):
    kept = fine_tune_folder(files, SmallFrames(), "full", epochs=2, progress=False)
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    asked = fine_tune_folder(files, SmallFrames(), "full", epochs=2, progress=False)
    assert asked.losses.tolist() == kept.losses.tolist()


def test_files_are_read_once(files, kept, monkeypatch):
    """A second call reads no file, with any strategy; a file with other bytes is read."""
    read = []
    sample = video_io.sample_frames

    def counted(path, **options):
        read.append(path.name)
        return sample(path, **options)

    monkeypatch.setattr(folder.video_io, "sample_frames", counted)
    first = fine_tune_folder(files, SmallFrames(), "full", epochs=2, progress=False)
    assert len(read) == 13  # twelve clips, and one that is none
    assert len(list(kept.iterdir())) == 12
    again = fine_tune_folder(files, SmallFrames(), "full", epochs=2, progress=False)
    assert read[13:] == ["broken.mp4"]
    assert again.losses.tolist() == first.losses.tolist()
    assert again.failures.equals(first.failures)
    shutil.copyfile(files / "dark" / "2.mp4", files / "dark" / "3.mp4")  # known by its bytes
    (files / "dark" / "2.mp4").rename(files / "dark" / "renamed.mp4")
    video_io.write_clip(files / "dark" / "4.mp4", np.zeros((4, 32, 32, 3), np.uint8), fps=8)
    fine_tune_folder(files, SmallFrames(), "probe", progress=False)
    assert sorted(read[14:]) == ["4.mp4", "broken.mp4"]
    fine_tune_folder(files, SmallFrames(), "probe", progress=False, keep_frames=False)
    assert len(read) == 16 + 13


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "another shape", "no archive"])
def test_frames_that_are_not_what_was_kept_are_read_again(files, kept, damage):
    path = files / "dark" / "0.mp4"
    right = folder.frames_of(path, 2, 32)
    (file,) = kept.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    damaged = {"cut": data[:-40], "empty": b"", "no archive": b"frames" * 9}.get(damage, data)
    file.write_bytes(damaged)
    if damage == "another shape":
        np.savez(file, frames=right[:1])
    np.testing.assert_array_equal(folder.frames_of(path, 2, 32), right)
    assert file.stat().st_size == len(data)  # and kept anew
    other = folder.frames_of(path, 3, 32)
    assert len(other) == 3


def test_a_folder_that_cannot_be_written_costs_no_run(files, kept):
    kept.parent.mkdir(parents=True)
    kept.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.warns(UserWarning, match="Frames cannot be kept"):
        clip = folder.frames_of(files / "dark" / "0.mp4", 2, 32)
    np.testing.assert_array_equal(
        clip, video_io.sample_frames(files / "dark" / "0.mp4", 2, size=32)
    )


def test_a_missing_file_costs_a_row(files):
    table = labelled_files(files)
    table.loc[len(table)] = ["dark/absent.mp4", "dark"]
    table.loc[len(table)] = ["dark", "dark"]
    model = fine_tune_folder(files, SmallFrames(), labels=table, progress=False)
    assert model.failures["reason"].tolist() == ["not_a_video", "missing", "directory"]


def test_folders_that_hold_nothing(tmp_path, files):
    with pytest.raises(ValueError, match="There is no folder"):
        labelled_files(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no folder of a class"):
        fine_tune_folder(tmp_path / "empty", SmallFrames())
    with pytest.raises(ValueError, match="lack the column label"):
        fine_tune_folder(files, SmallFrames(), labels=pd.DataFrame({"path": ["a.mp4"]}))
    with pytest.raises(ValueError, match="None of 1 files can be read"):
        fine_tune_folder(
            files, SmallFrames(), labels=pd.DataFrame({"path": ["x.mp4"], "label": ["a"]})
        )


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The smallest clips of each class of the one set, and signs of the other, by class."""
    signs, classes = real_data.require(SIGNS), real_data.require(CLASSES)
    target = tmp_path_factory.mktemp("real")
    table = pd.read_csv(classes / "clips.csv")
    table["bytes"] = [(classes / path).stat().st_size for path in table["path"]]
    some = table.sort_values("bytes").groupby("label").head(3)
    words = pd.read_csv(signs / "clips.csv")["path"]
    words = words[words.str.endswith(".mkv")].head(4)
    named = [
        (classes / path, label) for path, label in zip(some["path"], some["label"], strict=True)
    ]
    for file, label in [*named, *((signs / path, "sign_language") for path in words)]:
        (target / label).mkdir(exist_ok=True)
        shutil.copyfile(file, target / label / file.name)
    return target


def test_real_clips_from_a_folder_in_one_call(real):
    table = labelled_files(real)
    assert table["label"].nunique() == 6
    assert {path.rpartition(".")[2] for path in table["path"]} >= {"mkv", "mp4"}
    model = fine_tune_folder(real, video_encoders.load("slowfast_mini"), progress=False)
    assert model.failures.empty
    assert model.history["valid_score"].max() > 2 / 6  # twice chance: colour alone would do
    tuned = fine_tune_folder(
        real, video_encoders.load("slowfast_mini"), "partial", epochs=1, progress=False
    )
    assert np.isfinite(tuned.losses).all()
    file = real / table["path"].iloc[0]
    said = tuned.probabilities([video_io.sample_frames(file, n=16, size=128)])
    assert set(said.columns) == set(table["label"])
    assert said.sum(axis=1).iloc[0] == pytest.approx(1, abs=1e-5)


def test_real_signs_by_a_frame_of_labels():
    """Each sign is a word of its own: told by long words or short, from the file's name."""
    source = real_data.require(SIGNS)
    words = pd.read_csv(source / "clips.csv")["path"]
    words = words[words.str.endswith(".mkv")]
    table = pd.DataFrame(
        {"path": words, "label": ["long" if len(w) > 8 else "short" for w in words]}
    )
    assert table["label"].nunique() == 2
    model = fine_tune_folder(
        source, video_encoders.load("slowfast_mini"), "partial", table, epochs=1, progress=False
    )
    assert model.failures.empty
    assert len(model.history) == 1
