"""Libraries of videos: one shape whatever the source, and a place for everything that is wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.helpers import real_clips, real_data
from vidrec_utils import datasets, settings
from vidrec_utils.datasets import LibraryError, VideoLibrary

NOW = pd.Timestamp("2025-01-01", tz="UTC")
VIDEOS = """\
video_id,title,tags,category,published_at,duration_s,path,thumbnail
v1,First,cat|cute,pets,2024-01-01T00:00:00Z,2.5,clips/a b.mp4,
v2,"Second, with comma",,sport,2024-01-02T00:00:00Z,3,,
v3,Third,NA,pets,2024-01-03 12:00,4,,
"""
INTERACTIONS = """\
user_id,video_id,timestamp,watch_ratio,liked,shared,comment,position
u1,v1,2024-02-01T10:00:00Z,0.5,true,false,"so, ""good"" it is",1
u1,v2,2024-02-01T10:00:05Z,1.25,0,,,2
u2,v3,2024-02-02T10:00:00+01:00,,1,1,,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small sound library on disk, with one media file."""
    root = tmp_path / "library"
    (root / "clips").mkdir(parents=True)
    (root / "clips" / "a b.mp4").write_bytes(b"not really a video")
    (root / "videos.csv").write_text(VIDEOS, encoding="utf-8")
    (root / "interactions.csv").write_text(INTERACTIONS, encoding="utf-8")
    return root


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems_of(folder: Path, now: pd.Timestamp = NOW) -> pd.DataFrame:
    return datasets.load_folder(folder, check=False).problems(now)


def assert_libraries_equal(left: VideoLibrary, right: VideoLibrary) -> None:
    for table in ("videos", "interactions", "users"):
        assert_frame_equal(getattr(left, table), getattr(right, table), check_exact=True)
    assert (left.name, left.notes, left.earliest) == (right.name, right.notes, right.earliest)
    assert list(left.extras) == list(right.extras)
    for name, frame in left.extras.items():
        assert_frame_equal(frame, right.extras[name])


def rich_library(root: Path | None = None) -> VideoLibrary:
    """A library whose values are hard to keep: quotes, line breaks, long decimals, every type."""
    videos = pd.DataFrame(
        {
            "video_id": ["1", "with blank", "a/b", "\N{CAT FACE}"],
            "title": ['He said "hi", twice', "line\nbreak", None, "\r\n é  "],
            "tags": ["a|b", None, "c", "NA"],
            "published_at": ["2024-01-01", None, "2024-01-03 10:11:12.123456", None],
            "duration_s": [0.1 + 0.2, None, 1e-300, 2 / 3],
            "path": ["clips/a.mp4", "clips/b c.mp4", None, "clips/absent.mp4"],
            "score": [0.1 + 0.2, None, 1.7976931348623157e308, 5e-324],
            "score32": np.array([0.1, 2, 3, 4], dtype="float32"),
            "views": pd.array([1, None, 2**53 + 1, -4], dtype="Int64"),
            "small": np.array([1, 2, 3, 4], dtype="int8"),
            "huge": np.array([1, 2, 3, 2**63 + 5], dtype="uint64"),
            "code": ["007", "1", "2", None],
            "kept": [True, False, True, True],
            "maybe": pd.array([True, None, False, None], dtype="boolean"),
            "seen_at": pd.to_datetime(["2024-01-01 01:02:03", None, None, None]),
        }
    )
    interactions = pd.DataFrame(
        {
            "user_id": ["u 1", "u 1", "2"],
            "video_id": ["1", "a/b", "\N{CAT FACE}"],
            "timestamp": pd.to_datetime(
                [1_700_000_000_123_456, 1_700_000_001_000_000, 1_700_000_002_000_001],
                unit="us",
                utc=True,
            ),
            "watch_ratio": [1 / 3, None, 0.0],
            "liked": [True, None, False],
            "comment": ["", 'a,"b"', "multi\n\nline"],
            "position": [1, None, 3],
            "session_id": ["1", "1", "2"],
        }
    )
    users = pd.DataFrame({"user_id": ["u 1", "2", "silent"], "age": [20.0, None, 30.5]})
    return VideoLibrary(
        videos,
        interactions,
        users,
        root=root,
        name="rich",
        notes={"rows": 3, "why": ["é"]},
        extras={"lists": pd.DataFrame({"x": [1, 2]})},
        earliest=pd.Timestamp("1999-01-01", tz="UTC"),
    )


# -- the shape -------------------------------------------------------------------------------------


def test_a_folder_becomes_frames_of_the_contracts_types(folder: Path) -> None:
    library = datasets.load_folder(folder)
    assert list(library.videos.columns) == [
        "title", "tags", "category", "description", "uploader", "language",
        "published_at", "duration_s", "path", "thumbnail",
    ]  # fmt: skip
    assert library.videos.index.tolist() == ["v1", "v2", "v3"]
    assert library.videos.index.name == "video_id"
    assert {c: str(t) for c, t in library.videos.dtypes.items() if t != "str"} == {
        "published_at": "datetime64[us, UTC]",
        "duration_s": "float64",
    }
    assert {c: str(t) for c, t in library.interactions.dtypes.items()} == {
        "user_id": "str",
        "video_id": "str",
        "timestamp": "datetime64[us, UTC]",
        "watch_ratio": "float64",
        "liked": "boolean",
        "shared": "boolean",
        "comment": "str",
        "position": "Int64",
    }
    assert isinstance(library.interactions.index, pd.RangeIndex)
    assert library.users.index.tolist() == ["u1", "u2"]
    assert library.name == "library"


def test_values_are_read_as_written(folder: Path) -> None:
    library = datasets.load_folder(folder)
    first, second, third = (library.interactions.iloc[i] for i in range(3))
    assert first["comment"] == 'so, "good" it is'
    assert bool(first["liked"]) is True
    assert bool(second["liked"]) is False
    assert second["shared"] is pd.NA
    assert second["watch_ratio"] == 1.25
    assert np.isnan(third["watch_ratio"])
    assert third["position"] is pd.NA
    assert third["timestamp"] == pd.Timestamp("2024-02-02T09:00:00Z")  # 10:00 at +01:00
    assert library.videos.at["v3", "published_at"] == pd.Timestamp("2024-01-03T12:00:00Z")
    assert library.videos.at["v3", "tags"] == "NA"  # a word like another
    assert pd.isna(library.videos.at["v2", "tags"])  # an empty cell


def test_signals_that_are_lacking_are_na_and_are_named(folder: Path) -> None:
    library = datasets.load_folder(folder)
    assert library.videos["language"].isna().all()
    assert library.has("title")
    assert library.has("liked")
    assert not library.has("thumbnail")
    assert not library.has("no such column")
    library.require("title")
    with pytest.raises(LibraryError, match=r"library has no thumbnails"):
        library.require("thumbnail")


def test_frames_from_memory_are_brought_into_shape_and_left_alone() -> None:
    videos = pd.DataFrame({"title": ["a", ""], "tags": [["x", "y"], None]}, index=[1, 2])
    videos.index.name = "video_id"
    interactions = pd.DataFrame(
        {"user_id": [7, 8], "video_id": [1.0, 2.0], "timestamp": [1_700_000_000, 1_700_000_001]},
        index=[5, 3],
    )
    before = videos.copy(), interactions.copy()
    library = VideoLibrary(videos, interactions)
    assert_frame_equal(videos, before[0])
    assert_frame_equal(interactions, before[1])
    assert library.videos.index.tolist() == ["1", "2"]
    assert library.videos["tags"].iloc[0] == "x|y"
    assert pd.isna(library.videos["title"].iloc[1])
    assert library.interactions["video_id"].tolist() == ["1", "2"]
    assert library.interactions.index.tolist() == [0, 1]
    library.check()


def test_categories_and_other_text_types_become_texts() -> None:
    videos = pd.DataFrame(
        {
            "video_id": pd.Categorical(["a", "b"]),
            "category": pd.Categorical(["x", None], categories=["x", "unused"]),
            "genre": pd.array(["p", None], dtype="string"),
        }
    )
    library = VideoLibrary(
        videos, pd.DataFrame({"user_id": ["u"], "video_id": ["a"], "timestamp": ["2024-01-01"]})
    )
    assert library.videos.dtypes[["category", "genre"]].eq("str").all()
    library.check()


def test_split_tags() -> None:
    tags = datasets.split_tags(pd.Series(["a|b c", " d ||e", np.nan, "|"], dtype="str"))
    assert tags.tolist() == [("a", "b c"), ("d", "e"), (), ()]


def test_subset_keeps_the_original(folder: Path) -> None:
    library = datasets.load_folder(folder)
    part = library.subset(video_ids=["v3", "v1"])
    assert part.videos.index.tolist() == ["v1", "v3"]
    assert part.interactions["video_id"].tolist() == ["v1", "v3"]
    assert part.interactions.index.tolist() == [0, 1]
    assert len(library.videos) == 3
    assert len(library.interactions) == 3
    masked = library.subset(interactions=library.interactions["user_id"] == "u1")
    assert masked.interactions["video_id"].tolist() == ["v1", "v2"]
    assert len(masked.videos) == 3
    rows = library.subset(video_ids=["v1"], interactions=library.interactions.tail(2))
    assert len(rows.interactions) == 0
    with pytest.raises(LibraryError, match=r"'v9'"):
        library.subset(video_ids=["v1", "v9"])
    with pytest.raises(ValueError, match=r"mask"):
        library.subset(interactions=[True])


def test_split_tells_the_size_of_its_parts(folder: Path) -> None:
    library = datasets.load_folder(folder)
    log = library.interactions
    split = datasets.Split(log.head(2), log.iloc[2:2], log.tail(1), library.videos, "by hand")
    assert split.summary()["interactions"].to_dict() == {"train": 2, "validation": 0, "test": 1}
    assert split.summary().at["train", "users"] == 1
    with pytest.raises(AttributeError):
        split.train = log


# -- files -----------------------------------------------------------------------------------------


def test_file_stays_inside_the_folder(folder: Path) -> None:
    library = datasets.load_folder(folder)
    assert library.file("v1") == folder / "clips" / "a b.mp4"
    with pytest.raises(LibraryError, match=r"'v2' of the library library has no path"):
        library.file("v2")
    with pytest.raises(LibraryError, match=r"no video 'v9'"):
        library.file("v9")
    with pytest.raises(ValueError, match=r"path"):
        library.file("v1", of="title")
    edit(folder / "videos.csv", "clips/a b.mp4", "../outside.mp4")
    with pytest.raises(LibraryError, match=r"leaves the library's folder"):
        datasets.load_folder(folder, check=False).file("v1")


LEAVING = {
    "/etc/passwd": "absolute",
    "../outside.mp4": "leaves",
    "clips/../../outside.mp4": "leaves",
    "C:/clips/a.mp4": "absolute",
    "C:a.mp4": "absolute",
    "clips\\a.mp4": "backslash",
    "\\\\server\\share\\a.mp4": "backslash",
    "https://example.org/a.mp4": "web address",
}


@pytest.mark.parametrize("path", LEAVING)
@pytest.mark.parametrize("column", ["path", "thumbnail"])
def test_a_path_that_leaves_the_folder_is_an_error(folder: Path, path: str, column: str) -> None:
    videos = pd.read_csv(folder / "videos.csv", dtype=str)
    videos.loc[1, column] = path
    videos.to_csv(folder / "videos.csv", index=False)
    with pytest.raises(
        LibraryError, match=rf"videos.csv row 3, column {column}: .*{LEAVING[path]}"
    ):
        datasets.load_folder(folder)


def test_a_link_out_of_the_folder_is_an_error(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"secret")
    link = folder / "clips" / "a b.mp4"
    link.unlink()
    try:
        link.symlink_to(outside)
    except OSError:
        pytest.skip("This system does not let us make symbolic links.")
    with pytest.raises(LibraryError, match=r"through a link"):
        datasets.load_folder(folder)
    link.unlink()
    (folder / "inside.mp4").write_bytes(b"fine")
    link.symlink_to(folder / "inside.mp4")
    assert datasets.load_folder(folder).file("v1").read_bytes() == b"fine"


def test_an_absent_file_is_a_warning(folder: Path) -> None:
    (folder / "clips" / "a b.mp4").unlink()
    datasets.load_folder(folder)
    problems = problems_of(folder)
    assert problems[["row", "column", "value", "severity"]].to_numpy().tolist() == [
        [2, "path", "clips/a b.mp4", "warning"]
    ]


# -- what is wrong ---------------------------------------------------------------------------------

# name: (file, old text, new text, severity, row, column, value, part of the sentence)
FAULTS = {
    "duplicate video": ("videos", "v3,", "v1,", "error", 4, "video_id", "v1", "already in row 2"),
    "unknown video": ("interactions", "u1,v2", "u1,v999", "error", 3, "video_id", "v999",
                      "is not in videos.csv. Remove the row or add the video."),
    "empty video id": ("videos", "v2,", ",", "error", 3, "video_id", None, "the id is empty"),
    "empty quoted id": ("videos", "v2,", '"",', "error", 3, "video_id", None, "the id is empty"),
    "blank id": ("videos", "v2,", '"  ",', "error", 3, "video_id", "  ", "the id is empty"),
    "id with a trailing blank": ("videos", "v2,", "v2 ,", "error", 3, "video_id", "v2 ", "blanks"),
    "empty user id": ("interactions", "u2,v3", ",v3", "error", 4, "user_id", None, "is empty"),
    "user id with a leading blank": ("interactions", "u2,v3", " u2,v3", "error", 4, "user_id",
                                     " u2", "blanks"),
    "empty id in the log": ("interactions", "u1,v1", "u1,", "error", 2, "video_id", None, "empty"),
    "negative ratio": ("interactions", "0.5", "-0.5", "error", 2, "watch_ratio", "-0.5",
                       "is negative"),
    "ratio is no number": ("interactions", "1.25", "most", "error", 3, "watch_ratio", "most",
                           "is not a number"),
    "ratio is infinite": ("interactions", "1.25", "inf", "error", 3, "watch_ratio", "inf",
                          "is not a number"),
    "liked is no boolean": ("interactions", "true,false", "maybe,false", "error", 2, "liked",
                            "maybe", "neither yes nor no"),
    "shared is a count": ("interactions", "true,false", "true,7", "error", 2, "shared", "7",
                          "neither yes nor no"),
    "position is a fraction": ("interactions", ",,2", ",,2.5", "error", 3, "position", "2.5",
                               "not a whole number"),
    "duration is no number": ("videos", ",2.5,", ",short,", "error", 2, "duration_s", "short",
                              "is not a number"),
    "moment in the future": ("interactions", "2024-02-02T10", "2031-02-02T10", "warning", 4,
                             "timestamp", "2031-02-02T09:00:00Z", "in the future"),
    "moment before 2000": ("interactions", "2024-02-02T10", "1970-01-01T10", "warning", 4,
                           "timestamp", "1970-01-01T09:00:00Z", "is before 2000"),
    "impossible day": ("interactions", "2024-02-02T10", "2024-02-31T10", "warning", 4,
                       "timestamp", "2024-02-31T10:00:00+01:00", "not a readable time"),
    "missing moment": ("interactions", "2024-02-02T10:00:00+01:00", "", "warning", 4, "timestamp",
                       None, "the time is missing"),
    "published in the future": ("videos", "2024-01-02T", "2031-01-02T", "warning", 3,
                                "published_at", "2031-01-02T00:00:00Z", "in the future"),
    "watched before published": ("videos", "2024-01-01T", "2024-03-01T", "warning", 2,
                                 "timestamp", "2024-02-01T10:00:00Z", "before the video 'v1'"),
    "missing title": ("videos", "First", "", "warning", 2, "title", None, "title is missing"),
    "repeated row": ("interactions", "u1,v2,2024-02-01T10:00:05Z", "u1,v1,2024-02-01T10:00:00Z",
                     "warning", 3, None, None, "of row 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_with_its_place(folder: Path, name: str) -> None:
    table, old, new, severity, row, column, value, sentence = FAULTS[name]
    edit(folder / f"{table}.csv", old, new)
    problems = problems_of(folder)
    place = {"watched before published": "interactions"}.get(name, table) + ".csv"
    mask = (problems["row"] == row) & (problems["file"] == place)
    mask &= problems["column"].isna() if column is None else problems["column"] == column
    mask &= (problems["problem"] + ". " + problems["remedy"]).str.contains(sentence, regex=False)
    assert mask.sum() == 1
    problem = problems[mask].squeeze()
    assert problem["value"] == value
    assert problem["severity"] == severity
    if severity == "error":
        with pytest.raises(LibraryError, match=rf"{table}.csv row {row}, column {column}: "):
            datasets.load_folder(folder)
    else:
        library = datasets.load_folder(folder)
        with pytest.raises(LibraryError, match=rf"{place} row {row}"):
            library.check(strict=True)


def test_a_fault_makes_no_others(folder: Path) -> None:
    """An edit for each fault gives that one problem, not a cascade."""
    several = {"duplicate video", "empty video id", "empty quoted id", "blank id",
               "id with a trailing blank"}  # fmt: skip
    several |= {"moment before 2000", "published in the future"}
    sound = {file: file.read_text(encoding="utf-8") for file in folder.glob("*.csv")}
    for name, (table, old, new, *_) in FAULTS.items():
        edit(folder / f"{table}.csv", old, new)
        assert (len(problems_of(folder)) > 1) == (name in several), name
        for file, text in sound.items():
            file.write_text(text, encoding="utf-8")
    assert len(problems_of(folder)) == 0


def test_one_error_lists_everything(folder: Path) -> None:
    edit(folder / "videos.csv", "v3,", "v1,")
    edit(folder / "interactions.csv", "0.5", "-1")
    edit(folder / "interactions.csv", "u1,v2", "u1,v999")
    (folder / "users.csv").write_text("user_id\nu1\nu1\nu2\n", encoding="utf-8")
    with pytest.raises(LibraryError) as caught:
        datasets.load_folder(folder)
    message = str(caught.value)
    assert message.startswith("5 problems in the library library (")
    assert (
        "interactions.csv row 3, column video_id: 'v999' is not in videos.csv. "
        "Remove the row or add the video."
    ) in message
    assert "users.csv row 3, column user_id: 'u1' occurs already in row 2." in message
    assert "interactions.csv row 2, column watch_ratio: '-1' is negative." in message
    assert len(caught.value.problems) == 5
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == message


def test_a_long_list_is_cut_and_counted() -> None:
    videos = pd.DataFrame({"video_id": ["v"], "title": ["t"]})
    log = pd.DataFrame({"user_id": "u", "video_id": [f"x{i}" for i in range(100)]})
    library = VideoLibrary(videos, log.assign(timestamp="2024-01-01"))
    with pytest.raises(LibraryError, match=r"... and 80 more of this kind") as caught:
        library.check()
    assert str(caught.value).count("is not in videos") == 20
    assert len(caught.value.problems) == 100


@pytest.mark.parametrize(
    ("table", "column"),
    [("videos", "video_id"), ("interactions", "user_id"), ("interactions", "video_id"),
     ("interactions", "timestamp")],
)  # fmt: skip
def test_a_missing_column_is_one_error(folder: Path, table: str, column: str) -> None:
    edit(folder / f"{table}.csv", column, "wrong")
    with pytest.raises(LibraryError) as caught:
        datasets.load_folder(folder)
    assert len(caught.value.problems) == 1
    assert f"{table}.csv, column {column}: the column is missing" in str(caught.value)
    assert "wrong" in str(caught.value)  # the columns that are there


def test_a_header_split_by_semicolons_is_recognised(folder: Path) -> None:
    (folder / "videos.csv").write_text("video_id;title\nv1;x\n", encoding="utf-8")
    with pytest.raises(LibraryError, match=r"semicolons"):
        datasets.load_folder(folder)


def test_a_column_that_is_there_twice_is_an_error(folder: Path) -> None:
    edit(folder / "videos.csv", "category", "title")
    with pytest.raises(LibraryError, match=r"column title: the header names it twice"):
        datasets.load_folder(folder)


def test_integer_ids_meet_text_ids(folder: Path) -> None:
    pd.DataFrame({"video_id": [1, 2]}).to_parquet(folder / "videos.parquet")
    (folder / "videos.csv").unlink()
    edit(folder / "interactions.csv", "u1,v1", "5,1")
    edit(folder / "interactions.csv", "u1,v2", "5,2")
    edit(folder / "interactions.csv", "u2,v3", "6,02")
    with pytest.raises(LibraryError, match=r"row 4, column video_id: '02' is not in") as caught:
        datasets.load_folder(folder)
    assert len(caught.value.problems) == 1


def test_ids_that_became_decimals_are_an_error_in_the_row_of_the_gap(folder: Path) -> None:
    (folder / "videos.csv").write_text("video_id,title\n1,a\n2,b\n", encoding="utf-8")
    rows = "u,1.0,2024-01-01\nu,,2024-01-02\nu,2.0,2024-01-03\n"
    file = folder / "interactions.csv"
    file.write_text("user_id,video_id,timestamp\n" + rows, encoding="utf-8")
    with pytest.raises(
        LibraryError, match=r"row 3, column video_id: the ids read like '1.0'"
    ) as caught:
        datasets.load_folder(folder)
    assert "row 3, column video_id: the id is empty" in str(caught.value)
    assert len(caught.value.problems) == 2
    in_memory = pd.DataFrame({"user_id": "u", "video_id": [1.0, np.nan], "timestamp": "2024-01-01"})
    library = VideoLibrary(pd.DataFrame({"video_id": [1, 2], "title": "t"}), in_memory)
    problems = library.problems()
    assert problems[["row", "column", "problem"]].to_numpy().tolist() == [
        [3, "video_id", "the id is empty"]
    ]
    assert library.interactions["video_id"].iloc[0] == "1"


def test_ids_may_hold_blanks_slashes_and_any_letters(folder: Path) -> None:
    for old, new in (("v1", "a b/c"), ("v2", "../x"), ("v3", "\N{CAT FACE}")):
        edit(folder / "videos.csv", old, new)
        edit(folder / "interactions.csv", old, new)
    assert datasets.load_folder(folder).videos.index.tolist() == ["a b/c", "../x", "\N{CAT FACE}"]
    assert len(problems_of(folder)) == 0


def test_users_that_the_users_table_lacks_are_a_warning(folder: Path) -> None:
    (folder / "users.csv").write_text("user_id,age\nu1,30\n", encoding="utf-8")
    problem = problems_of(folder).squeeze()
    assert (problem["row"], problem["value"], problem["severity"]) == (4, "u2", "warning")


def test_empty_tables_are_errors(folder: Path) -> None:
    (folder / "interactions.csv").write_text(INTERACTIONS.splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(LibraryError, match=r"interactions.csv: there are no rows"):
        datasets.load_folder(folder)
    (folder / "interactions.csv").write_bytes(b"")
    with pytest.raises(LibraryError, match=r"interactions.csv: the file is empty"):
        datasets.load_folder(folder)
    (folder / "interactions.csv").write_text(INTERACTIONS, encoding="utf-8")
    (folder / "videos.csv").write_text("video_id,title\n", encoding="utf-8")
    with pytest.raises(LibraryError, match=r"videos.csv: there are no rows"):
        datasets.load_folder(folder)


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LibraryError) as caught:
        datasets.load_folder(tmp_path)
    for name in ("videos.csv", "videos.parquet", "interactions.csv", "interactions.parquet"):
        assert name in str(caught.value)
    with pytest.raises(LibraryError, match=r"There is no folder"):
        datasets.load_folder(tmp_path / "absent")


def test_two_forms_of_a_table_are_an_error(folder: Path) -> None:
    pd.DataFrame({"video_id": ["v1"]}).to_parquet(folder / "videos.parquet")
    with pytest.raises(LibraryError, match=r"both files exist"):
        datasets.load_folder(folder)


# -- broken files ----------------------------------------------------------------------------------


def test_a_csv_that_is_not_utf8_names_the_line(folder: Path) -> None:
    (folder / "videos.csv").write_bytes("video_id,title\nv1,a\nv2,Café\n".encode("latin-1"))
    with pytest.raises(LibraryError, match=r"videos.csv row 3: line 3: byte 0xe9 is not UTF-8"):
        datasets.load_folder(folder)


def test_a_byte_order_mark_is_no_problem(folder: Path) -> None:
    (folder / "videos.csv").write_bytes(b"\xef\xbb\xbf" + VIDEOS.encode())
    assert len(datasets.load_folder(folder).videos) == 3


def test_a_loosely_written_header_is_understood(folder: Path) -> None:
    """Blanks around names and a comma at the end of each line, as spreadsheets leave them."""
    text = "video_id, title ,\r\nv1,a,\r\nv2,b,\r\nv3,c,\r\n"
    (folder / "videos.csv").write_bytes(text.encode())
    videos = datasets.load_folder(folder).videos
    assert videos["title"].tolist() == ["a", "b", "c"]
    assert len(videos.columns) == 10


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [("v2,", "v2,more,", 3), ("v3,Third,NA,", "v3,", 4), ('"Second', "Second", 3)],
)
def test_a_row_with_too_many_or_too_few_cells_is_named(
    folder: Path, old: str, new: str, row: int
) -> None:
    edit(folder / "videos.csv", old, new)
    with pytest.raises(
        LibraryError, match=rf"videos.csv row {row}: the row has . cells, the header 8"
    ):
        datasets.load_folder(folder)


def test_an_unclosed_quote_and_a_broken_parquet_are_reported_together(folder: Path) -> None:
    edit(folder / "videos.csv", 'comma"', "comma")
    (folder / "interactions.csv").unlink()
    (folder / "interactions.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(
        LibraryError, match=r"interactions.parquet: not readable as parquet"
    ) as caught:
        datasets.load_folder(folder)
    assert "videos.csv row 3" in str(caught.value)


def test_unreadable_tables_do_not_hide_faults_of_the_others(folder: Path) -> None:
    (folder / "videos.csv").write_bytes(b"\xff\xfe")
    edit(folder / "interactions.csv", "0.5", "-0.5")
    with pytest.raises(LibraryError, match=r"row 2, column watch_ratio: '-0.5' is negative"):
        datasets.load_folder(folder)


def test_rows_are_counted_as_a_spreadsheet_shows_them(folder: Path) -> None:
    """Blank lines count, line breaks within a cell do not."""
    rows = VIDEOS.replace("First", '"First\n\nof all"').replace("v3,Third", "\nv3,Third")
    (folder / "videos.csv").write_text(rows.replace("NA,pets", "NA,pets") + "\n", encoding="utf-8")
    edit(folder / "videos.csv", ",4,", ",long,")
    with pytest.raises(LibraryError, match=r"videos.csv row 5, column duration_s: 'long'"):
        datasets.load_folder(folder)


# -- moments ---------------------------------------------------------------------------------------

SECONDS = np.array([1_706_781_600, 1_706_781_605, 1_706_864_400])


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")],
)
@pytest.mark.parametrize("form", ["csv", "parquet", "float"])
def test_the_unit_of_numbers_is_worked_out(folder: Path, factor: int, unit: str, form: str) -> None:
    log = pd.read_csv(folder / "interactions.csv").assign(timestamp=SECONDS * factor)
    if form == "csv":
        log.to_csv(folder / "interactions.csv", index=False)
    else:
        (folder / "interactions.csv").unlink()
        log["timestamp"] = log["timestamp"].astype("float64" if form == "float" else "int64")
        log.to_parquet(folder / "interactions.parquet")
    library = datasets.load_folder(folder)
    expected = pd.to_datetime(SECONDS, unit="s", utc=True)
    assert library.interactions["timestamp"].tolist() == expected.tolist()
    assert [unit in note for note in library.notes.values()] == [True]


WRONG_NUMBERS = {
    "looks like days since 1970": SECONDS // 86_400,
    "looks like hours since 1970": SECONDS // 3_600,
    "looks like minutes since 1970": SECONDS // 60,
    "looks like years": [2022, 2023, 2024],
    "looks like dates written as YYYYMMDD": [20240201, 20240202, 20240203],
    "looks like times written as YYYYMMDDhhmmss": [20240201100000, 20240201100005, 20240202100000],
    "looks like a spreadsheet's day numbers": [45323, 45324, 45325],
    "neither as seconds since 1970 nor as milliseconds": [0, 1, 2],
}


@pytest.mark.parametrize("sentence", WRONG_NUMBERS)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_column_in_a_wrong_unit_is_one_error_with_a_guess(
    folder: Path, sentence: str, form: str
) -> None:
    log = pd.read_csv(folder / "interactions.csv").assign(timestamp=WRONG_NUMBERS[sentence])
    (folder / "interactions.csv").unlink()
    if form == "csv":
        log.to_csv(folder / "interactions.csv", index=False)
    else:
        log.to_parquet(folder / "interactions.parquet")
    with pytest.raises(LibraryError, match=rf"column timestamp: the whole column .*{sentence}"):
        datasets.load_folder(folder)
    assert len(problems_of(folder)) == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (pd.to_datetime(SECONDS, unit="ms"), "seconds that were read as milliseconds"),
        (pd.to_datetime(SECONDS, unit="us"), "seconds that were read as microseconds"),
        (pd.to_datetime(SECONDS, unit="ns"), "seconds that were read as nanoseconds"),
        (pd.Series((SECONDS * 1000).astype("datetime64[s]")), "milliseconds that were read as sec"),
        (pd.Series((SECONDS * 10**6).astype("datetime64[s]")), "microseconds that were read as s"),
        (
            pd.Series(pd.to_datetime(SECONDS, unit="ms").astype("str")),
            "seconds that were read as m",
        ),
    ],
)
def test_datetimes_that_were_read_in_a_wrong_unit_are_one_error(values, sentence: str) -> None:
    videos = pd.DataFrame({"video_id": ["v"], "title": ["t"], "published_at": ["2024-01-01"]})
    log = pd.DataFrame({"user_id": "u", "video_id": ["v"] * 3, "timestamp": np.asarray(values)})
    library = VideoLibrary(videos, log)
    errors = library.problems().query("severity == 'error'")
    assert errors["problem"].str.contains(sentence).tolist() == [True]


def test_words_in_place_of_all_moments_are_one_error(folder: Path) -> None:
    for moment in ("2024-02-01T10:00:00Z", "2024-02-01T10:00:05Z", "2024-02-02T10:00:00+01:00"):
        edit(folder / "interactions.csv", moment, "01/02/2024")
    with pytest.raises(
        LibraryError, match=r"unreadable as times .for example '01/02/2024'"
    ) as caught:
        datasets.load_folder(folder)
    assert len(caught.value.problems) == 1


def test_single_odd_numbers_among_moments_are_warnings() -> None:
    seconds = [1_706_781_600] * 5 + [0, 10**18]
    log = pd.DataFrame({"user_id": list("abcdefg"), "video_id": "v", "timestamp": seconds})
    library = VideoLibrary(pd.DataFrame({"video_id": ["v"], "title": ["t"]}), log)
    problems = library.problems(NOW)
    assert sorted(problems["row"]) == [7, 8]
    assert set(problems["severity"]) == {"warning"}
    library.check()


def test_old_data_may_say_how_early_is_possible() -> None:
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["v"], "timestamp": ["1998-01-01"]})
    videos = pd.DataFrame({"video_id": ["v"], "title": ["t"]})
    assert len(VideoLibrary(videos, log).problems()) == 1
    early = pd.Timestamp("1995-01-01", tz="UTC")
    assert len(VideoLibrary(videos, log, earliest=early).problems()) == 0


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_is_saved_is_read_back_equal(tmp_path: Path, form: str) -> None:
    source = tmp_path / "source"
    (source / "clips").mkdir(parents=True)
    (source / "clips" / "a.mp4").write_bytes(b"a")
    (source / "clips" / "b c.mp4").write_bytes(b"b")
    library = rich_library(source)
    saved = library.save(tmp_path / "new" / "saved", format=form)
    again = datasets.load_folder(saved)
    assert_libraries_equal(again, library)
    assert again.root == saved
    assert again.file("with blank").read_bytes() == b"b"
    assert not again.file("\N{CAT FACE}").exists()  # it was absent before
    assert again.videos.at["1", "duration_s"] == 0.1 + 0.2
    twice = datasets.load_folder(again.save(tmp_path / "twice", format=form, copy_media=False))
    assert_libraries_equal(twice, library)
    assert not (tmp_path / "twice" / "clips").exists()


def test_any_text_survives_a_csv_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = list("ab,\"\n\r\t |;\\'é\N{CAT FACE}\u2028\xa0")
    texts = ["".join(rng.choice(letters, size=n)) for n in rng.integers(1, 9, size=2_000)]
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(2_000)], "title": texts})
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["v0"], "timestamp": ["2024-01-01"]})
    library = VideoLibrary(videos, log)
    again = datasets.load_folder(library.save(tmp_path / "saved"))
    assert again.videos["title"].tolist() == texts


def test_columns_that_csv_cannot_keep_are_refused(tmp_path: Path) -> None:
    library = rich_library()
    videos = library.videos.assign(vector=[[1, 2]] * 4)
    with_lists = VideoLibrary(videos, library.interactions, name="lists")
    with pytest.raises(LibraryError, match=r"column vector of videos"):
        with_lists.save(tmp_path / "saved")
    left = [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")]
    assert left == []  # nothing half-written is left
    again = datasets.load_folder(with_lists.save(tmp_path / "saved", format="parquet"))
    assert again.videos["vector"].map(list).tolist() == [[1, 2]] * 4


def test_types_of_unknown_columns_are_guessed_without_a_manifest(folder: Path) -> None:
    (folder / "users.csv").write_text(
        "user_id,age,score,code,member,joined\nu1,30,0.5,007,true,2024-01-01\nu2,,1000.0,08,false,\n",
        encoding="utf-8",
    )
    users = datasets.load_folder(folder).users
    assert {c: str(t) for c, t in users.dtypes.items()} == {
        "age": "Int64", "score": "float64", "code": "str", "member": "bool", "joined": "str",
    }  # fmt: skip
    assert users["score"].tolist() == [0.5, 1000.0]
    assert users["code"].tolist() == ["007", "08"]


def test_a_manifest_that_no_longer_fits_does_no_harm(tmp_path: Path) -> None:
    saved = rich_library().save(tmp_path / "saved")
    edit(saved / "users.csv", "20.0", "twenty")
    users = datasets.load_folder(saved).users
    assert users["age"].tolist()[0] == "twenty"
    (saved / "library.json").write_text("{", encoding="utf-8")
    with pytest.raises(LibraryError, match=r"library.json is not readable"):
        datasets.load_folder(saved)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("[" * 100_000, "recursion"),
        ("[]", "it is no mapping"),
        ('{"name": 7}', "its entry 'name'"),
        ('{"notes": []}', "its entry 'notes'"),
        ('{"dtypes": "str"}', "its entry 'dtypes'"),
        ('{"dtypes": {"videos": "str"}}', "its entry 'dtypes'"),
        ('{"dtypes": {"videos": {"code": 1}}}', "its entry 'dtypes'"),
        ('{"earliest": null}', "its entry 'earliest' is None"),
        ('{"earliest": "NaT"}', "its entry 'earliest' is 'NaT'"),
        ('{"earliest": "one evening"}', "one evening"),
    ],
)
def test_a_manifest_with_entries_of_other_types_is_refused(
    manifest: str, complaint: str, tmp_path: Path
) -> None:
    saved = rich_library().save(tmp_path / "saved")
    (saved / "library.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(LibraryError, match=complaint) as caught:
        datasets.load_folder(saved)
    assert str(saved / "library.json") in str(caught.value)


def test_an_earliest_time_without_a_zone_is_in_utc(tmp_path: Path) -> None:
    saved = rich_library().save(tmp_path / "saved")
    (saved / "library.json").write_text('{"earliest": "2020-01-01"}', encoding="utf-8")
    assert datasets.load_folder(saved).earliest == pd.Timestamp("2020-01-01", tz="UTC")


def test_saving_over_a_library_keeps_its_other_files(folder: Path) -> None:
    (folder / "NOTES.txt").write_text("mine", encoding="utf-8")
    library = datasets.load_folder(folder)
    part = library.subset(["v1"])
    part.save(folder, format="parquet")
    again = datasets.load_folder(folder)
    assert again.videos.index.tolist() == ["v1"]
    assert again.file("v1").read_bytes() == b"not really a video"
    assert (folder / "NOTES.txt").read_text(encoding="utf-8") == "mine"
    assert not (folder / "videos.csv").exists()
    assert [p.name for p in folder.parent.iterdir() if not p.name.endswith(".lock")] == ["library"]


def test_saving_never_replaces_what_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work", encoding="utf-8")
    (tmp_path / "file").write_text("also mine", encoding="utf-8")
    for name in ("thesis", "file"):
        with pytest.raises(LibraryError, match=r"is not a library of videos"):
            rich_library().save(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter1.txt").exists()
    with pytest.raises(ValueError, match=r"format is 'json'"):
        rich_library().save(tmp_path / "new", format="json")
    (tmp_path / "empty").mkdir()
    rich_library().save(tmp_path / "empty")


def test_media_outside_the_folder_are_not_copied(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    edit(folder / "videos.csv", "clips/a b.mp4", "../outside.mp4")
    library = datasets.load_folder(folder, check=False)
    with pytest.raises(LibraryError, match=r"refused"):
        library.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


KILLED_SAVE = """
import os, sys
from pathlib import Path
from vidrec_utils import datasets
from vidrec_utils.datasets import _folder

moment, folder = sys.argv[1:]
library = datasets.load_folder(folder)
new = library.subset(["v1", "v2"])
rename, calls = Path.rename, []

def die(*_, **__):
    os._exit(9)

def counted(self, target):
    calls.append(target)
    if len(calls) == {"first rename": 1, "second rename": 2}.get(moment):
        die()
    return rename(self, target)

Path.rename = counted
if moment == "copying":
    _folder.shutil.copyfile = die
if moment == "cleaning up":
    _folder.shutil.rmtree = die
new.save(folder)
"""


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("copying", 3), ("first rename", 3), ("second rename", 3), ("cleaning up", 2)],
)
def test_a_killed_save_leaves_a_whole_library(folder: Path, moment: str, expected: int) -> None:
    """Whenever the process dies, the older or the newer library loads, and saving works again."""
    path = os.pathsep.join([str(real_data.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", textwrap.dedent(KILLED_SAVE), moment, str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    library = datasets.load_folder(folder)
    assert len(library.videos) == expected
    assert library.file("v1").read_bytes() == b"not really a video"
    library.subset(["v1"]).save(folder)
    assert len(datasets.load_folder(folder).videos) == 1
    left = [p.name for p in folder.parent.iterdir() if not p.name.endswith(".lock")]
    assert left == ["library"]


# -- load ------------------------------------------------------------------------------------------


def test_load_builds_the_embedded_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def build(size: str = "small", seed: int = 0, **options) -> Path:
        calls.append((size, seed, options))
        return folder

    fake = types.ModuleType("vidrec_utils.minitube")
    fake.build = build
    monkeypatch.setitem(sys.modules, "vidrec_utils.minitube", fake)
    monkeypatch.setattr("vidrec_utils.minitube", fake, raising=False)
    monkeypatch.delenv("VIDREC_DATASET", raising=False)
    monkeypatch.delenv("VIDREC_PROFILE", raising=False)
    assert len(datasets.load().videos) == 3
    datasets.load("minitube-large", progress=False)
    monkeypatch.setenv("VIDREC_PROFILE", "large")
    datasets.load("minitube", seed=5)
    assert calls == [
        ("small", settings.SEED, {}),
        ("large", settings.SEED, {"progress": False}),
        ("large", 5, {}),
    ]


def test_load_follows_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_DATASET", str(folder))
    assert datasets.load().name == "library"
    monkeypatch.chdir(folder.parent)
    assert len(datasets.load("library").videos) == 3
    with pytest.raises(LibraryError, match=r"minitube-large, real_clips, or a folder that exists"):
        datasets.load("minitub")


# -- public data sets ------------------------------------------------------------------------------


def write_movielens(folder: Path) -> Path:
    folder.mkdir()
    files = {
        "movies.csv": "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Comedy\n"
        '2,"Matrix, The (1999) ",Action\n'
        "3,Cosmos,(no genres listed)\n"
        "4,Death Note (2006–2007),Horror\n"
        "5,Toy Story (1995),Comedy\n",
        "ratings.csv": "userId,movieId,rating,timestamp\n"
        "1,1,4.0,964982703\n1,2,3.5,964982931\n2,1,5.0,1445714994\n2,1,2.0,1445714995\n",
        "tags.csv": "userId,movieId,tag,timestamp\n"
        "2,1,pixar,20\n1,1,Fun,10\n2,1,fun,30\n3,2,a|b,1445714994\n",
        "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n2,0133093,\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_movielens_by_hand(tmp_path: Path) -> None:
    library = datasets.load_movielens(write_movielens(tmp_path / "ml"))
    videos = library.videos
    assert videos.index.tolist() == ["1", "2", "3", "4", "5"]
    assert videos["title"].tolist()[:4] == ["Toy Story", "Matrix, The", "Cosmos", "Death Note"]
    assert videos["year"].tolist() == [1995, 1999, pd.NA, 2006, 1995]
    assert videos["tags"].iloc[:2].tolist() == ["Fun|pixar", "a/b"]
    assert videos["category"].fillna("-").tolist() == [
        "Adventure",
        "Action",
        "-",
        "Horror",
        "Comedy",
    ]
    assert videos.at["1", "genres"] == "Adventure|Comedy"
    assert videos.at["1", "imdb_id"] == "0114709"
    assert pd.isna(videos.at["2", "tmdb_id"])
    assert videos["published_at"].isna().all()
    log = library.interactions
    assert log["liked"].tolist() == [True, False, True, False]
    assert log["rating"].tolist() == [4.0, 3.5, 5.0, 2.0]
    assert log["timestamp"].iloc[0] == pd.Timestamp("2000-07-30T18:45:03Z")
    for column in ("watch_ratio", "shared", "comment", "position"):
        assert log[column].isna().all()
    assert library.users.index.tolist() == ["1", "2", "3"]
    assert library.notes["repeated_ratings"] == 1
    assert library.notes["repeated_titles"] == 1
    assert library.duplicates().to_numpy().tolist() == [["title", "movies.csv", 6, 2]]
    assert len(library.extras["tag_applications"]) == 4
    assert datasets.load(tmp_path / "ml").name == "movielens"


def test_movielens_says_what_is_absent_or_broken(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "ml")
    edit(folder / "ratings.csv", "rating", "stars")
    with pytest.raises(LibraryError, match=r"ratings.csv, column rating: the column is missing"):
        datasets.load_movielens(folder)
    (folder / "tags.csv").unlink()
    with pytest.raises(LibraryError, match=r"tags.csv is not there"):
        datasets.load_movielens(folder)


def test_movielens_completely() -> None:
    folder = real_data.require("ml-latest-small")
    library = datasets.load_movielens(folder)
    assert len(library.interactions) == library.notes["ratings"] == 100_836
    assert library.interactions["user_id"].nunique() == library.notes["users"] == 610
    assert len(library.videos) == 9_742
    assert len(library.extras["tag_applications"]) == 3_683
    ratings = pd.read_csv(folder / "ratings.csv")
    assert library.interactions["liked"].sum() == (ratings["rating"] >= 4).sum()
    assert library.notes["repeated_ratings"] == 0
    titles = pd.read_csv(folder / "movies.csv")["title"]
    assert library.notes["repeated_titles"] == titles.duplicated().sum() == 5
    library.check(strict=True)


LOG_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,"
    "long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)


def write_kuairand(folder: Path) -> Path:
    """The authors' own files, as their description lays them out, with a few rows each."""
    data = folder / "data"
    data.mkdir(parents=True)
    files = {
        "log_standard_4_08_to_4_21_pure.csv": LOG_HEADER
        + "0,10,20220421,400,1650485801301,1,0,0,0,0,0,1,151024,104400,0,0,0,0,1\n",
        "log_standard_4_22_to_5_08_pure.csv": LOG_HEADER
        + "0,11,20220501,1100,1651374316788,1,1,0,1,1,0,1,20000,0,0,900,0,0,1\n"
        + "0,11,20220501,1100,1651374316788,1,1,0,1,1,0,1,20000,0,0,900,0,0,1\n",
        "log_random_4_22_to_5_08_pure.csv": LOG_HEADER
        + "1,10,20220502,900,1651453200000,0,0,1,0,0,1,0,1044,104400,5,0,1,1,4\n",
        "user_features_pure.csv": "user_id,user_active_degree,is_lowactive_period,is_live_streamer,"
        "is_video_author,follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,"
        "friend_user_num,friend_user_num_range,register_days,register_days_range,"
        + ",".join(f"onehot_feat{i}" for i in range(18))
        + '\n0,full_active,0,0,1,5,"(0,10]",312,"[100,1k)",0,0,3624,730+'
        + ",1" * 18
        + '\n1,UNKNOWN,0,0,0,0,0,0,0,0,0,20,15-30'
        + ",0" * 17
        + ",\n",
        "video_features_basic_pure.csv": "video_id,author_id,video_type,upload_dt,upload_type,"
        "visible_status,video_duration,server_width,server_height,music_id,music_type,tag\n"
        '10,441,NORMAL,2022-04-10,ShortImport,1,104400.0,720,1280,9155697141,4.0,"12,65"\n'
        "11,442,AD,2022-04-11,Web,1,,720,1280,0,,\n",
        "video_features_statistic_pure.csv": "video_id,counts,show_cnt,play_cnt,like_cnt\n"
        "10,66,75.212,9.409,0.303\n11,2,1.5,1,0\n",
    }  # fmt: skip
    for name, text in files.items():
        (data / name).write_text(text, encoding="utf-8")
    return folder


def test_kuairand_in_its_authors_form(tmp_path: Path) -> None:
    library = datasets.load_kuairand(write_kuairand(tmp_path / "KuaiRand-Pure"))
    library.check()
    videos, log = library.videos, library.interactions
    assert videos.index.tolist() == ["10", "11"]
    assert videos["tags"].iloc[0] == "12|65"
    assert videos["category"].iloc[0] == "12"
    assert pd.isna(videos["tags"].iloc[1])
    assert videos["uploader"].tolist() == ["441", "442"]
    assert videos["published_at"].iloc[0] == pd.Timestamp("2022-04-10T00:00:00+08:00")
    assert videos["duration_s"].iloc[0] == 104.4
    assert videos["music_id"].iloc[0] == "9155697141"
    assert not any(column.startswith("leaks_future_") for column in videos)
    by_file = log.sort_values("timestamp", ignore_index=True)
    assert by_file["watch_ratio"].iloc[0] == 151024 / 104400
    assert by_file["watch_ratio"].iloc[1:3].isna().all()  # the log gives a duration of 0
    assert by_file["timestamp"].iloc[0] == pd.Timestamp(1650485801301, unit="ms", tz="UTC")
    assert by_file["liked"].tolist() == [False, True, True, False]
    assert by_file["shared"].tolist() == [False, True, True, False]
    assert by_file["commented"].tolist() == [False, True, True, False]
    assert by_file["disliked"].tolist() == [False, False, False, True]
    assert by_file["random"].tolist() == [False, False, False, True]
    assert log["comment"].isna().all()
    assert log["position"].isna().all()
    assert library.users.index.tolist() == ["0", "1"]
    assert library.users.at["0", "follow_user_num_range"] == "(0,10]"
    assert library.notes["repeated_interactions"] == 1
    repeated = library.duplicates()
    assert repeated["kind"].tolist() == ["interaction"]
    assert (repeated["row"] - repeated["first_row"]).tolist() == [1]
    assert datasets.load(tmp_path / "KuaiRand-Pure").name == "kuairand"


def test_kuairand_statistics_come_with_a_warning(tmp_path: Path) -> None:
    folder = write_kuairand(tmp_path / "KuaiRand-Pure")
    with pytest.warns(UserWarning, match=r"leaks the future"):
        library = datasets.load_kuairand(folder, statistics=True)
    assert library.videos["leaks_future_show_cnt"].tolist() == [75.212, 1.5]
    (folder / "data" / "video_features_statistic_pure.csv").unlink()
    with pytest.raises(LibraryError, match=r"no statistics"):
        datasets.load_kuairand(folder, statistics=True)


def test_kuairand_says_what_is_absent_or_broken(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"log_standard"):
        datasets.load_kuairand(tmp_path)
    folder = write_kuairand(tmp_path / "KuaiRand-Pure")
    edit(folder / "data" / "log_random_4_22_to_5_08_pure.csv", "is_like", "likes")
    with pytest.raises(LibraryError, match=r"log_random.*column is_like: the column is missing"):
        datasets.load_kuairand(folder)


def test_kuairand_completely() -> None:
    library = datasets.load_kuairand(real_data.require("kuairand-pure"))
    log = library.interactions
    assert len(log) == library.notes["exposures"] == 228_329
    assert log["user_id"].nunique() == 25_156
    assert log["video_id"].nunique() == 6_361
    assert len(library.videos) == 7_583
    assert len(library.users) == 27_285
    assert library.notes["repeated_interactions"] == 5_885
    assert library.duplicates()["kind"].value_counts().to_dict() == {"interaction": 5_885}
    assert int(log["liked"].sum()) == 3_915
    assert int(log["clicked"].sum()) == 100_900
    assert int(log["long_view"].sum()) == 70_963
    histories = library.extras["histories"]
    watched = histories[histories["signal"] == "watched"]
    assert len(watched) == 817_187
    first = watched[watched["user_id"] == "0"]
    assert first["video_id"].tolist()[:3] == ["7136", "7136", "909"]
    assert first["place"].tolist()[:3] == [0, 1, 2]
    library.check()


# -- speed, and the library of real clips ----------------------------------------------------------


def test_a_large_log_is_read_and_checked_fast(tmp_path: Path) -> None:
    """400,000 interactions take well under two seconds of computing."""
    rng = np.random.default_rng(0)
    n = 400_000
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(3_000)], "title": "t"})
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 10_000, n).astype("str"),
            "video_id": np.char.add("v", rng.integers(0, 3_000, n).astype("str")),
            "timestamp": 1_700_000_000 + rng.integers(0, 2_000_000, n),
            "watch_ratio": rng.random(n),
            "liked": rng.random(n) < 0.1,
        }
    )
    videos.to_csv(tmp_path / "videos.csv", index=False)
    log.to_csv(tmp_path / "interactions.csv", index=False)
    start = time.process_time()
    library = datasets.load_folder(tmp_path)
    seconds = time.process_time() - start
    assert len(library.interactions) == n
    assert seconds < 4, f"{seconds:.1f} s; twice the promise allows for a busy machine"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = real_data.require(real_clips.SOURCE)
    return real_clips.build_library(source, tmp_path_factory.mktemp("real") / "clips", seed=0)


def test_real_clips_make_a_sound_library(clips: Path) -> None:
    library = datasets.load(clips)
    library.check(strict=True)
    assert len(library.videos) == 61
    assert sorted(library.videos["category"].unique()) == [
        "airplane", "bird", "drone", "helicopter", "sign language", "toy",
    ]  # fmt: skip
    assert library.videos.at["learning-area__crystal", "title"] == "Crystal"
    assert library.videos.at["v_drone_023", "title"] == "Drone 023"
    for video_id in library.videos.index:
        assert library.file(video_id).stat().st_size > 0
        assert library.file(video_id, of="thumbnail").read_bytes()[:2] == b"\xff\xd8"  # JPEG
    sources = real_data.require(real_clips.SOURCE) / "clips.csv"
    assert (clips / "SOURCES.csv").read_bytes() == sources.read_bytes()


def test_real_clips_carry_behaviour_that_a_time_split_can_use(clips: Path) -> None:
    library = datasets.load(clips)
    log = library.interactions
    assert len(log) == 4_000
    assert len(library.users) == 120
    assert log["timestamp"].is_monotonic_increasing
    assert log["timestamp"].max() - log["timestamp"].min() > pd.Timedelta(days=19)
    for signal in ("liked", "shared", "comment", "position", "session_id", "watch_ratio"):
        library.require(signal)
    late = log["timestamp"] >= log["timestamp"].quantile(0.8)
    assert log[late & log["liked"]]["user_id"].nunique() > 40
    assert log[~late & log["liked"]]["user_id"].nunique() > 90
    # Tastes are there to be found: users like much more of their favourite category.
    category = log["video_id"].map(library.videos["category"])
    rates = log.assign(category=category).pivot_table("watch_ratio", "user_id", "category")
    assert rates.max(axis=1).mean() > rates.mean(axis=1).mean() + 0.15


def test_real_clips_repeat_with_their_seed() -> None:
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(12)],
            "category": ["a", "b", "c"] * 4,
            "published_at": real_clips.START,
            "duration_s": 5.0,
        }
    )
    logs = [
        real_clips.simulate(videos, np.random.default_rng(seed), n_users=10, n_exposures=100)
        for seed in (0, 0, 1)
    ]
    assert_frame_equal(logs[0], logs[1])
    assert not logs[0].equals(logs[2])


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    saved = rich_library().save(tmp_path / "saved")
    manifest = json.loads((saved / "library.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "rich"
    assert manifest["dtypes"]["videos"]["views"] == "Int64"
    shutil.rmtree(saved)


# --- readers register in one place ---------------------------------------------------------------


@pytest.mark.parametrize("reader", datasets.READERS, ids=lambda reader: reader.name)
def test_a_registered_reader_is_exported_documented_and_named(reader, tmp_path: Path) -> None:
    assert getattr(datasets, reader.load.__name__) is reader.load
    assert reader.load.__name__ in datasets.__all__
    assert "References" in reader.load.__doc__
    assert not reader.recognizes(tmp_path)
    with pytest.raises(LibraryError, match=reader.name):
        datasets.load(tmp_path / "nowhere")


def test_load_asks_every_registered_reader(tmp_path: Path, monkeypatch) -> None:
    def load_diary(path: Path, loud: bool = False) -> VideoLibrary:
        return datasets.load_folder(path.with_name("sound"), check=not loud)

    shutil.copytree(write_movielens(tmp_path / "ml"), tmp_path / "other")
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "diary.txt").touch()
    (tmp_path / "sound").mkdir()
    (tmp_path / "sound" / "videos.csv").write_text("video_id\nv1\n", encoding="utf-8")
    log = "user_id,video_id,timestamp\nu1,v1,2024-02-01\n"
    (tmp_path / "sound" / "interactions.csv").write_text(log, encoding="utf-8")
    diary = type(datasets.READERS[0])(
        "Diary", lambda folder: (folder / "diary.txt").is_file(), load_diary
    )
    monkeypatch.setattr(datasets, "READERS", (*datasets.READERS, diary))
    assert datasets.load(tmp_path / "diary", loud=True).name == "sound"
    assert datasets.load(tmp_path / "other").name == "movielens"
    with pytest.raises(LibraryError, match="or Diary in their own form"):
        datasets.load(tmp_path / "nowhere")


@pytest.fixture
def minitube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for MiniTube: one video with a file and a title, and no comments."""
    root = tmp_path / "world" / "minitube"
    root.mkdir(parents=True)
    (root / "c.mp4").write_bytes(b"not really a video")
    (root / "videos.csv").write_text("video_id,title,path\nm1,Rain,c.mp4\n")
    (root / "interactions.csv").write_text("user_id,video_id,timestamp\nu,m1,2024-02-01T10:00Z\n")
    fake = types.ModuleType("vidrec_utils.minitube")
    fake.build = lambda size, seed: root
    monkeypatch.setitem(sys.modules, "vidrec_utils.minitube", fake)
    monkeypatch.setattr("vidrec_utils.minitube", fake, raising=False)
    return root


def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library without video files, which VIDREC_DATASET names."""
    root = tmp_path / "films"
    root.mkdir()
    (root / "videos.csv").write_text("video_id,title\nf1,Tea\n")
    (root / "interactions.csv").write_text("user_id,video_id,timestamp\nu,f1,2024-02-01T10:00Z\n")
    monkeypatch.setenv("VIDREC_DATASET", str(root))
    return root


def test_a_set_without_what_a_notebook_is_about_is_replaced_with_a_sentence(
    minitube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    films = chosen(tmp_path, monkeypatch)
    library = datasets.load(needs=("title", "path"))
    assert library.videos["title"].tolist() == ["Rain"]
    assert library.root == minitube
    assert capsys.readouterr().out == (
        f"The library films ({films}) has no video files, which this notebook is about: it goes "
        "on with MiniTube, the embedded platform.\n"
    )


def test_clips_without_a_log_are_replaced_where_interactions_are_needed(
    minitube: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("VIDREC_DATASET", "real_clips")
    assert len(datasets.load(needs=("path", "title")).videos) == 10
    assert capsys.readouterr().out == ""
    assert datasets.load(needs=("path", "interactions")).root == minitube
    assert capsys.readouterr().out == (
        "The library real_clips (real_clips) has no interactions, which this notebook is about: "
        "it goes on with MiniTube, the embedded platform.\n"
    )
    with pytest.raises(LibraryError, match="has no interactions"):
        datasets.load("real_clips").require("interactions")


def test_a_set_that_has_what_a_notebook_is_about_stays_without_a_word(
    minitube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    chosen(tmp_path, monkeypatch)
    assert datasets.load(needs="title").videos["title"].tolist() == ["Tea"]
    assert datasets.load().videos["title"].tolist() == ["Tea"]
    monkeypatch.delenv("VIDREC_DATASET")
    assert datasets.load(needs=("path", "title")).root == minitube
    assert capsys.readouterr().out == ""


def test_a_library_that_is_named_is_never_replaced(
    minitube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    films = chosen(tmp_path, monkeypatch)
    lack = "The library films has no thumbnails and no video files, which the caller needs"
    with pytest.raises(LibraryError, match=lack):
        datasets.load(films, needs=("title", "thumbnail", "path"))
    with pytest.raises(LibraryError, match="The library minitube has no comments, which"):
        datasets.load("minitube", needs="comment")
    # Nor is one replaced by a MiniTube that lacks the signal, too: a misspelt name, for example.
    with pytest.raises(LibraryError, match="The library minitube has nothing in the column clips"):
        datasets.load(needs="clips")
    monkeypatch.setenv("VIDREC_DATASET", "minitube-small")
    with pytest.raises(LibraryError, match="The library minitube has no comments, which"):
        datasets.load(needs="comment")
    assert capsys.readouterr().out == ""
