import dataclasses

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import datasets, minitube
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.truth import score_detection
from vidrec_utils.preprocessing import pipeline
from vidrec_utils.preprocessing.behavior import drop_bots
from vidrec_utils.preprocessing.pipeline import clean


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path))
    return tmp_path / "cache"


def test_everything_planted_is_found():
    """Precision and recall of every detector on the world's planted dirt."""
    library = datasets.load_folder(minitube.build("small", seed=0, progress=False))
    planted = truth.load(library.root)
    cleaned, report = clean(library, cache=False, progress=False)
    frame = report.frame
    videos = frame[frame["table"] == "videos"]

    def found(problem):
        return videos.loc[videos["problem"].str.contains(problem), "id"]

    scores = {
        "broken": (found("broken file"), ("truncated", "text_as_video", "empty_file")),
        "black": (found("black clip"), ("black",)),
        "noisy": (found("noisy clip"), ("noisy",)),
        "exact": (found("exact duplicate"), ("exact_duplicate",)),
        "near": (found("near duplicate"), ("reencoded_duplicate",)),
        "duration": (found("contradicts"), ("wrong_duration",)),
    }
    scores = {
        k: score_detection(ids, planted.planted(*kinds)) for k, (ids, kinds) in scores.items()
    }
    users = frame.loc[frame["table"] == "users", "id"]
    scores["bots"] = score_detection(users, planted.planted("bot"))
    rows = frame.loc[(frame["table"] == "interactions") & (frame["column"] == "timestamp"), "row"]
    times = [kind for kind in planted.dirt["kind"].unique() if kind.startswith("timestamp_")]
    scores["times"] = score_detection(rows - 2, map(int, planted.planted(*times)))
    for kind, score in scores.items():
        assert score["n"] > 0, kind
        assert score["precision"] >= 0.95, (kind, score)
        assert score["recall"] >= 0.9, (kind, score)
    kept = cleaned.interactions["video_id"].isin(cleaned.videos.index)
    assert kept.all()
    assert not planted.planted("bot") & set(cleaned.users.index)
    cleaned.check()


def test_a_dirty_library(dirty, own_cache):
    videos, log = dirty.videos.copy(), dirty.interactions.copy()
    cleaned, report = clean(dirty, progress=False)
    assert list(cleaned.videos.index) == [
        "first", "reversed", "other way", "second", "noisy", "frozen", "one frame", "gone",
    ]  # fmt: skip
    assert cleaned.interactions["video_id"].isin(cleaned.videos.index).all()
    assert (cleaned.interactions["video_id"] == "first").sum() == 6
    assert [step.name for step in report if step.skipped] == ["tags"]
    assert "no tags" in report.summary()
    # Rows are those of the table that was handed in, though earlier steps dropped others.
    frame = report.frame
    moved = frame[frame["problem"] == "exposure of a duplicate"]
    assert set(log["video_id"].iloc[moved["row"] - 2]) == {"exact copy", "recoded"}
    copies = frame[frame["problem"].isin(["exact duplicate", "near duplicate"])]
    assert list(videos.index[copies["row"] - 2]) == list(copies["id"])
    pd.testing.assert_frame_equal(dirty.videos, videos)
    pd.testing.assert_frame_equal(dirty.interactions, log)


def test_the_cache_gives_the_same_and_notices_changes(dirty, own_cache, monkeypatch):
    cleaned, report = clean(dirty, progress=False)

    def refuse(*arguments):
        raise RuntimeError("cleaned again")

    monkeypatch.setattr(pipeline, "_run", refuse)
    again, same = clean(dirty, progress=False)
    pd.testing.assert_frame_equal(again.videos, cleaned.videos)
    pd.testing.assert_frame_equal(again.interactions, cleaned.interactions)
    pd.testing.assert_frame_equal(same.frame, report.frame)
    assert same.summary() == report.summary()
    assert not [p for p in (own_cache / "cleaning").iterdir() if p.name.startswith(".")]
    renamed = VideoLibrary(dirty.videos.assign(title="other"), dirty.interactions, root=dirty.root)
    with pytest.raises(RuntimeError, match="cleaned again"):
        clean(renamed, progress=False)
    with pytest.raises(RuntimeError, match="cleaned again"):
        clean(dirty, progress=False, cache=False)


def test_a_damaged_cache_is_made_again(dirty, own_cache):
    cleaned, _ = clean(dirty, progress=False)
    for path in (own_cache / "cleaning").glob("*/videos.parquet"):
        path.write_bytes(b"half a fi")
    again, _ = clean(dirty, progress=False)
    pd.testing.assert_frame_equal(again.videos, cleaned.videos)
    calls = len(list((own_cache / "cleaning").iterdir()))
    assert calls == 1


def test_a_library_of_bare_ids(own_cache):
    videos = pd.DataFrame(index=pd.Index(["a", "b"], name="video_id"))
    log = pd.DataFrame(
        {"user_id": ["u", "u"], "video_id": ["a", "b"], "timestamp": pd.to_datetime(["2025"] * 2)}
    )
    cleaned, report = clean(VideoLibrary(videos, log), progress=False)
    assert len(cleaned.interactions) == 2
    skipped = {step.name for step in report if step.skipped}
    assert skipped == {"files", "durations", "exact duplicates", "near duplicates", "text", "tags"}
    assert "no video files" in report.summary()


def test_a_library_whose_folder_is_unknown(own_cache, dirty):
    rootless = VideoLibrary(dirty.videos, dirty.interactions)
    cleaned, report = clean(rootless, progress=False)
    assert len(cleaned.videos) == len(dirty.videos)
    assert set(report.frame.loc[report.frame["step"] == "files", "problem"]) == {"file absent"}


def test_what_cannot_be_repaired_is_refused(own_cache):
    videos = pd.DataFrame({"video_id": ["a", "a"], "title": ["x", "y"]})
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["a"], "timestamp": ["2025-01-01"]})
    with pytest.raises(LibraryError, match="a"):
        clean(VideoLibrary(videos, log), progress=False)


def test_strategies_and_now_are_part_of_the_key(own_cache, dirty):
    part = dirty.subset(["first", "second"])
    part.videos.loc["first", "category"] = np.nan
    default, _ = clean(part, progress=False)
    other, _ = clean(part, strategies={"category": ("constant", "misc")}, progress=False)
    assert other.videos.loc["first", "category"] == "misc"
    assert default.videos.loc["first", "category"] != "misc"
    early, report = clean(part, now=pd.Timestamp("2025-01-01"), progress=False)
    assert early.interactions.empty
    assert len(report.frame) >= len(part.interactions)


def bare(**columns):
    """A library without files: two videos, one user who is in no table of users."""
    videos = pd.DataFrame({"title": ["x", "y"], **columns}, index=["a", "b"])
    videos.index.name = "video_id"
    log = pd.DataFrame(
        {"user_id": ["u", "u"], "video_id": ["a", "b"], "timestamp": pd.to_datetime(["2025"] * 2)}
    )
    return VideoLibrary(videos, log)


@pytest.mark.parametrize("cache", [True, False])
def test_an_extra_column_of_lists_is_no_obstacle(own_cache, cache):
    library = bare(faces=[[1, 2], []])
    cleaned, _ = clean(library, cache=cache, progress=False)
    again, _ = clean(library, cache=cache, progress=False)
    for result in (cleaned, again):
        assert [list(faces) for faces in result.videos["faces"]] == [[1, 2], []]
    assert own_cache.exists() == cache


def test_every_value_of_an_array_is_part_of_the_key():
    long = np.zeros(5000)
    other = long.copy()
    other[2500] = 1
    keys = {pipeline._key(bare(vector=[v, long]), None, None) for v in (long, other)}
    assert len(keys) == 2


def test_a_cache_that_cannot_be_written_costs_only_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="could not be kept"):
        cleaned, _ = clean(bare(), progress=False)
    assert list(cleaned.videos.index) == ["a", "b"]


def test_a_table_that_no_file_can_hold_costs_only_a_warning(own_cache):
    with pytest.warns(RuntimeWarning, match="could not be kept"):
        cleaned, _ = clean(bare(mixed=[1, "one"]), progress=False)
    assert list(cleaned.videos["mixed"]) == [1, "one"]


def test_a_bot_whom_the_table_of_users_lacks_has_no_row_there(own_cache, monkeypatch):
    planted = pd.DataFrame({"flagged": True, "reason": "planted"}, index=["u1", "u2"])
    monkeypatch.setattr(pipeline, "drop_bots", lambda log: drop_bots(log, planted))
    log = pd.DataFrame(
        {
            "user_id": ["u1", "u2", "u3"],
            "video_id": ["a", "b", "a"],
            "timestamp": pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"]),
        }
    )
    users = pd.DataFrame({"country": ["x", "y"]}, index=pd.Index(["u3", "u2"], name="user_id"))
    library = VideoLibrary(bare().videos, log, users)
    for _ in range(2):  # the second time from the cache
        _, report = clean(library, progress=False)
        rows = report.frame[report.frame["table"] == "users"].set_index("id")["row"]
        assert pd.isna(rows["u1"])
        assert rows["u2"] == 3


def test_users_and_rows_of_the_files_are_part_of_the_key():
    library = bare()
    users = pd.DataFrame({"country": ["x"]}, index=pd.Index(["u"], name="user_id"))
    libraries = [
        library,
        dataclasses.replace(library, users=users),
        dataclasses.replace(library, file_rows={"videos": np.array([2, 4])}),
    ]
    assert len({pipeline._key(one, None, None) for one in libraries}) == 3
