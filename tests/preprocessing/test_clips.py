import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from vidrec_utils import video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.preprocessing.augmentation import ClipAugmentation
from vidrec_utils.preprocessing.clips import VideoClips, clip_groups, clip_labels

GOOD = ["first", "reversed", "second", "frozen"]


def test_items(dirty):
    clips = VideoClips(dirty, GOOD, n_frames=6, size=32, labels="category")
    assert len(clips) == 4
    item = clips[2]
    assert item["clip"].shape == (6, 3, 32, 32)
    assert item["clip"].dtype == torch.uint8
    assert item["video_id"] == "second"
    assert clips.classes == ["a", "b"]
    assert item["label"] == ["a", "b"].index(dirty.videos.loc["second", "category"])
    frames = video_io.sample_frames(dirty.file("second"), 6, size=(32, 32))
    np.testing.assert_array_equal(item["clip"].permute(0, 2, 3, 1).numpy(), frames)
    assert VideoClips(dirty, GOOD, n_frames=2, size=(20, 30))[0]["clip"].shape == (2, 3, 20, 30)
    assert "label" not in VideoClips(dirty, GOOD)[0]


def test_opening_reads_nothing(dirty):
    assert len(VideoClips(dirty)) == len(dirty.videos)


def test_random_frames_depend_on_seed_epoch_and_id_alone(dirty):
    make = lambda ids, seed=0: VideoClips(dirty, ids, n_frames=4, size=32, mode="random", seed=seed)  # noqa: E731
    clips = make(GOOD)
    first = clips[0]["clip"]
    assert torch.equal(first, clips[0]["clip"])
    assert torch.equal(first, make(GOOD[::-1])[3]["clip"])
    draws = [first, make(GOOD, seed=1)[0]["clip"]]
    clips.set_epoch(1)
    draws.append(clips[0]["clip"])
    assert not all(torch.equal(first, other) for other in draws[1:])


def test_workers_give_what_the_main_process_gives(dirty):
    augment = ClipAugmentation(size=32, flips={"a": "a"}, seed=1)
    clips = VideoClips(
        dirty, GOOD, n_frames=4, size=40, mode="random", transform=augment, labels="category"
    )
    alone = [clips[k]["clip"] for k in range(len(clips))]
    loader = DataLoader(clips, batch_size=2, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert torch.equal(torch.cat([b["clip"] for b in batches]), torch.stack(alone))
    assert [v for b in batches for v in b["video_id"]] == GOOD
    assert batches[0]["label"].dtype == torch.int64


def test_flips_rename_numbered_labels(dirty):
    augment = ClipAugmentation(flips={"a": "b", "b": "a"}, flip_probability=1.0)
    plain = VideoClips(dirty, GOOD, labels="category")
    flipped = VideoClips(dirty, GOOD, labels="category", transform=augment)
    assert [flipped[k]["label"] for k in range(4)] == [1 - plain[k]["label"] for k in range(4)]
    strange = ClipAugmentation(flips={"a": "z"}, flip_probability=1.0)
    with pytest.raises(ValueError, match="'z'"):
        VideoClips(dirty, ["first"], labels="category", transform=strange)[0]


def test_any_transform_can_be_used(dirty):
    clips = VideoClips(dirty, GOOD, size=16, transform=lambda clip: clip.float() / 255)
    assert clips[0]["clip"].dtype == torch.float32
    numbered = VideoClips(dirty, GOOD, size=16, labels=dict.fromkeys(GOOD, 0.5))
    assert numbered[1]["label"] == 0.5
    assert numbered.classes == []


def test_a_broken_file_is_raised_skipped_or_blank(dirty):
    ids = ["first", "empty", "error page", "second"]
    clips = VideoClips(dirty, ids, size=32)
    with pytest.raises(video_io.VideoError) as caught:
        clips[1]
    assert caught.value.reason == "empty"
    skipping = VideoClips(dirty, ids, size=32, on_error="skip")
    assert skipping.video_ids == ["first", "second"]
    assert dict(skipping.failures.to_numpy()) == {"empty": "empty", "error page": "not_a_video"}
    assert skipping[1]["video_id"] == "second"
    blank = VideoClips(dirty, ids, size=32, on_error="blank")
    batch = next(iter(DataLoader(blank, batch_size=4)))
    assert batch["ok"].tolist() == [True, False, False, True]
    assert batch["clip"][1].max() == 0


def test_it_pickles(dirty):
    clips = pickle.loads(pickle.dumps(VideoClips(dirty, GOOD, size=16, mode="random")))
    assert clips[0]["clip"].shape == (8, 3, 16, 16)


def test_mistakes_are_named(dirty):
    with pytest.raises(ValueError, match="choose from 'uniform', 'random'"):
        VideoClips(dirty, mode="dense")
    with pytest.raises(ValueError, match="'raise', 'skip', 'blank'"):
        VideoClips(dirty, on_error="ignore")
    with pytest.raises(ValueError, match="at least 1"):
        VideoClips(dirty, n_frames=0)
    with pytest.raises(ValueError, match="no column 'mood'"):
        VideoClips(dirty, labels="mood")
    with pytest.raises(ValueError, match="no label, such as 'second'"):
        VideoClips(dirty, ["first", "second"], labels={"first": 1})
    with pytest.raises(LibraryError, match="no video 'nobody'"):
        VideoClips(dirty, ["nobody"])


def test_labels_are_annotations_or_else_categories(dirty):
    assert clip_labels(dirty).equals(dirty.videos["category"])
    asked = pd.DataFrame({"video_id": ["second", "first"], "motion": ["rise", "fall"]})
    answered = clip_labels(replace(dirty, extras={"annotations": asked}))
    assert answered["first"] == "fall"
    assert answered["second"] == "rise"
    assert answered.drop(["first", "second"]).isna().all()
    other = clip_labels(replace(dirty, extras={"annotations": asked}), "mood")
    assert other.equals(dirty.videos["category"])


def test_groups_of_clips_are_subjects_or_else_uploaders_or_else_each_its_own(capsys):
    videos = pd.DataFrame({"video_id": list("abc"), "uploader": ["ann", None, "ann"]})
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    library = VideoLibrary(videos, log, name="mine")
    known = clip_groups(library, pd.Series({"b": "rocket", "a": "rocket"}))
    assert known.to_dict() == {"a": "rocket", "b": "rocket", "c": "video c"}
    assert capsys.readouterr().out == ""  # nothing to excuse
    assert clip_groups(library).nunique() == 2
    assert "names no subjects: the 3 clips are grouped by uploader" in capsys.readouterr().out
    bare = VideoLibrary(videos.drop(columns="uploader"), log, name="mine")
    assert clip_groups(bare).nunique() == 3
    assert "each of 3 clips counts as independent" in capsys.readouterr().out
