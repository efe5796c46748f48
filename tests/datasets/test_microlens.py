"""MicroLens in its authors' form: what is in its files is in the library, or is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vidrec_utils import datasets, events, preprocessing
from vidrec_utils.datasets import LibraryError

PAIRS_CSV = "user,item,timestamp\n1,3,1583378629552\n1,9,1583379000000\n2,3,1583380000001\n"
PAIRS_TSV = "1\t3 9\n2\t3\n"


def write_50k(folder: Path) -> Path:
    """The form of 50K: titles with a header, quoted where they hold a comma."""
    folder.mkdir()
    files = {
        "MicroLens-50k_pairs.csv": PAIRS_CSV,
        "MicroLens-50k_pairs.tsv": PAIRS_TSV,
        "MicroLens-50k_titles.csv": 'item,title\n3,"Cats, ""wild"" ones"\n9,007\n12,Unseen\n',
        "MicroLens-50k_likes_and_views.txt": "3\t10\t1000\n9\t0\t5\n12\t1\t7\n",
        "readme.txt": "Read me.\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("MicroLens-50k_covers/3.jpg", "MicroLens-50k_covers/notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def write_100k(folder: Path) -> Path:
    """The form of 100K: no header, stray quotation marks, comments and categories."""
    folder.mkdir()
    files = {
        "MicroLens-100k_pairs.csv": PAIRS_CSV,
        "MicroLens-100k_title_en.csv": '3,Cats, wild "ones\n9,"Dogs, ""tame"""\r\n12,\n',
        "MicroLens-100k_comment_en.txt": "1\t3\tso\tcute\n1\t3\tagain\n9\t9\tnobody's\n2\t3\t\n"
        'second half\n1\t9\t"quoted" text\n',
        "tags_to_summary.csv": "3,Pets\n12,Food\n",
    }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    for name in ("MicroLens-100k_videos/3.mp4", "MicroLens-100k_videos/9.MP4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(LibraryError) as caught:
        datasets.load_microlens(folder).check()
    return str(caught.value)


def test_50k_by_hand(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    library = datasets.load(folder)
    library.check()
    log, videos = library.interactions, library.videos
    assert library.name == "microlens"
    assert log[["user_id", "video_id"]].to_numpy().tolist() == [["1", "3"], ["1", "9"], ["2", "3"]]
    assert log["timestamp"].iloc[0] == pd.Timestamp(1583378629552, unit="ms", tz="UTC")
    for signal in ("watch_ratio", "liked", "shared", "comment", "position"):
        assert log[signal].isna().all()
    assert videos["title"].to_dict() == {"3": 'Cats, "wild" ones', "9": "007", "12": "Unseen"}
    assert videos["thumbnail"].fillna("-").tolist() == ["MicroLens-50k_covers/3.jpg", "-", "-"]
    assert library.file("3", of="thumbnail").is_file()
    assert videos["path"].isna().all()
    assert library.users.index.tolist() == ["1", "2"]
    assert library.notes["order"] == "by time"
    assert library.notes["videos_without_a_pair"] == 1
    with pytest.warns(UserWarning, match="count alike"):
        assert events.event_weights(log).tolist() == [1, 1, 1]


def test_100k_by_hand(tmp_path: Path) -> None:
    library = datasets.load(write_100k(tmp_path / "ml"))
    library.check()
    log, videos = library.interactions, library.videos
    assert videos["title"].fillna("-").tolist() == ['Cats, wild "ones', 'Dogs, "tame"', "-"]
    assert videos["category"].fillna("-").tolist() == ["Pets", "-", "Food"]
    assert videos["path"].fillna("-").tolist() == [
        "MicroLens-100k_videos/3.mp4", "MicroLens-100k_videos/9.MP4", "-",
    ]  # fmt: skip
    assert log["comment"].fillna("-").tolist() == ["so\tcute", '"quoted" text', "-"]
    assert library.notes["pairs_without_comment"] == 1
    comments = library.extras["comments"]
    assert comments["comment"].fillna("-").tolist() == [
        "so\tcute", "again", "-", '"quoted" text',
    ]  # fmt: skip
    left_out = library.problems().query("file == 'MicroLens-100k_comment_en.txt'")
    assert left_out[["row", "value", "severity"]].to_numpy().tolist() == [
        [5, "second half", "warning"]
    ]


def test_without_times_the_order_is_within_each_user(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    (folder / "MicroLens-50k_pairs.csv").unlink()
    library = datasets.load(folder)
    log = library.interactions
    assert log[["user_id", "video_id"]].to_numpy().tolist() == [["1", "3"], ["1", "9"], ["2", "3"]]
    assert log["timestamp"].isna().all()
    assert library.rows("interactions").tolist() == [1, 1, 2]
    assert library.notes["order"] == "within each user, without times"
    split = preprocessing.leave_last_out(log, library.videos, min_interactions=2, ordered=True)
    assert split.test[["user_id", "video_id"]].to_numpy().tolist() == [["1", "9"]]


def test_a_video_without_a_title_is_kept(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    edit(folder / "MicroLens-50k_titles.csv", "9,007\n", "")
    library = datasets.load(folder)
    library.check()
    assert library.videos.index.tolist() == ["3", "12", "9"]
    assert pd.isna(library.videos.at["9", "title"])
    (folder / "MicroLens-50k_titles.csv").unlink()
    assert datasets.load(folder).videos.index.tolist() == ["3", "9"]


def test_likes_and_views_are_marked_as_leaks(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    assert not any("likes" in column for column in datasets.load(folder).videos)
    with pytest.warns(UserWarning, match="leaks the future"):
        videos = datasets.load(folder, statistics=True).videos
    assert videos["leaks_future_likes"].tolist() == [10, 0, 1]
    assert videos["leaks_future_views"].tolist() == [1000, 5, 7]
    (folder / "MicroLens-50k_likes_and_views.txt").unlink()
    with pytest.raises(LibraryError, match="no likes and views of videos"):
        datasets.load(folder, statistics=True)


def test_the_other_names_of_columns(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    edit(folder / "MicroLens-50k_pairs.csv", "user,item", "userID,videoID")
    edit(folder / "MicroLens-50k_titles.csv", "item,", "videoID,")
    library = datasets.load(folder)
    assert len(library.interactions) == 3
    assert library.videos.at["9", "title"] == "007"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("pairs.csv", "1583378629552", "soon", "pairs.csv row 2, column timestamp: 'soon' is not"),
        ("pairs.csv", "user,", "who,", "pairs.csv, column user: the column is missing"),
        ("pairs.csv", "1,9,", "1,9,9,", "pairs.csv row 3: the row has 4 cells, the header 3"),
        ("pairs.csv", "\n2,3", "\nNULL,3", "pairs.csv row 4, column user: 'NULL' is a word"),
        ("titles.csv", "item,title", "item,name", "titles.csv, column title: the column is mis"),
        ("titles.csv", '"Cats', "Cats", "titles.csv row 2: the row has 3 cells, the header 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    folder = write_50k(tmp_path / "ml")
    edit(folder / f"MicroLens-50k_{file}", old, new)
    assert said in refusal(folder)


def test_ids_that_a_program_made_decimals_of(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    file = folder / "MicroLens-50k_pairs.csv"
    file.write_text("user,item,timestamp\n1,3.0,1583378629552\n1,9.0,1583379000000\n")
    assert "column item" in refusal(folder)
    assert "the ids read like '3.0'" in refusal(folder)


def test_absent_empty_and_several(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    (folder / "MicroLens-50k_pairs.csv").write_bytes(b"")
    assert "MicroLens-50k_pairs.csv: the file is empty" in refusal(folder)
    (folder / "MicroLens-50k_pairs.csv").unlink()
    (folder / "MicroLens-50k_pairs.tsv").write_text("1 3 9\n")
    assert "MicroLens-50k_pairs.tsv row 1: the row has 1 cell, the header 2" in refusal(folder)
    (folder / "MicroLens-100k_pairs.tsv").write_text(PAIRS_TSV)
    assert "several sets: MicroLens-100k, MicroLens-50k" in refusal(folder)
    with pytest.raises(LibraryError, match="is not MicroLens: looked for"):
        datasets.load_microlens(tmp_path)
    other = write_100k(tmp_path / "other")
    (other / "MicroLens-100k_title_en.csv").write_text("3;Cats\n9;Dogs\n")
    said = "MicroLens-100k_title_en.csv row 1: the line has fewer than 2 cells"
    assert said in refusal(other)


def test_a_share_of_the_users(tmp_path: Path) -> None:
    folder = write_50k(tmp_path / "ml")
    rows = [(user, item) for user in range(300) for item in (3, 9)]
    lines = "".join(f"{user},{item},1583378629552\n" for user, item in rows)
    (folder / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n" + lines)
    log = datasets.load(folder, user_share=0.5).interactions
    assert log.groupby("user_id").size().eq(2).all()
    assert 120 < log["user_id"].nunique() < 180
