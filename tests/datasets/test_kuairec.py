"""KuaiRec in its authors' form: what is in its files is in the library, or is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vidrec_utils import datasets, preprocessing
from vidrec_utils.datasets import LibraryError, _csv

HEADER = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
FILES = {
    "big_matrix.csv": HEADER
    + "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.273397\n"
    + "0,9598,13665,0,2020-07-05 00:13:41.297,20200705,1593879221.297,1.244082\n"
    + "7,3649,2000,10867,2020-07-06 00:13:41.297,20200706,1593965621.297,0.184043\n",
    "small_matrix.csv": HEADER + "7,148,4381,6067,,,,0.722103\n"
    "7,9598,11635,100000,2020-07-05 05:27:48.378,20200705.0,1593898068.378,0.11635\n",
    "item_categories.csv": 'video_id,feat\n148,[8]\n3649,"[27, 9]"\n9598,[]\n',
    "user_features.csv": "user_id,user_active_degree,is_lowactive_period,follow_user_num_range\n"
    '0,high_active,0,"(0,10]"\n7,full_active,1,0\n99,UNKNOWN,0,500+\n',
    "social_network.csv": 'user_id,friend_list\n7,"[0, 99]"\n3,[]\n',
    "kuairec_caption_category.csv": "video_id,manual_cover_text,caption,topic_tag,"
    "first_level_category_id,first_level_category_name,second_level_category_id,"
    "second_level_category_name,third_level_category_id,third_level_category_name\n"
    '148,UNKNOWN,"精神小伙路难走 程哥, ""你狗粮"" 慢点撒",[],8,颜值,673,颜值随拍,-124,UNKNOWN\n'
    '3649,封面,first line\rsecond line,"[五爱市场,感谢快手|我要上热门]",27,高新数码,'
    "-124,UNKNOWN,-124,UNKNOWN\n9598,UNKNOWN,,[],9,喜剧,727,搞笑互动,-124,UNKNOWN\n",
    "item_daily_features.csv": "video_id,date,show_cnt\n148,20200705,7\n",
}


def write_kuairec(folder: Path) -> Path:
    """The authors' files, as their description lays them out, with a few rows each."""
    data = folder / "data"
    data.mkdir(parents=True)
    for name, text in FILES.items():
        (data / name).write_bytes(text.encode())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_kuairec(tmp_path / "KuaiRec 2.0")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / "data" / name
    text = file.read_bytes().decode()
    assert old in text
    file.write_bytes(text.replace(old, new, 1).encode())


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(LibraryError) as caught:
        datasets.load_kuairec(folder, **options).check()
    return str(caught.value)


def test_the_big_matrix_by_hand(folder: Path) -> None:
    library = datasets.load(folder)
    library.check()
    log, videos = library.interactions, library.videos
    assert library.name == "kuairec"
    assert log["user_id"].tolist() == ["0", "0", "7"]
    assert log["video_id"].tolist() == ["3649", "9598", "3649"]
    assert log["timestamp"].iloc[0] == pd.Timestamp("2020-07-04T16:08:23.438Z")
    assert log["watch_ratio"].iloc[0] == 13838 / 10867
    assert pd.isna(log["watch_ratio"].iloc[1])  # a duration of 0
    assert log["play_time_ms"].tolist() == [13838, 13665, 2000]
    assert log["fully_observed"].tolist() == [False] * 3
    for signal in ("liked", "shared", "comment", "position"):
        assert log[signal].isna().all()
    assert videos.index.tolist() == ["148", "3649", "9598"]
    assert videos["duration_s"].fillna(-1).tolist() == [-1, 10.867, -1]
    assert videos["title"].fillna("-").tolist() == [
        '精神小伙路难走 程哥, "你狗粮" 慢点撒', "first line second line", "-",
    ]  # fmt: skip
    assert videos["tags"].fillna("-").tolist() == ["-", "五爱市场|感谢快手/我要上热门", "-"]
    assert videos["category"].tolist() == ["颜值", "高新数码", "喜剧"]
    assert videos["category_2"].fillna("-").tolist() == ["颜值随拍", "-", "搞笑互动"]
    assert videos["cover_text"].fillna("-").tolist() == ["-", "封面", "-"]
    assert videos["feat"].fillna("-").tolist() == ["8", "27|9", "-"]
    assert library.users.index.tolist() == ["0", "7"]
    assert library.users.at["0", "follow_user_num_range"] == "(0,10]"
    assert library.extras["friends"].to_numpy().tolist() == [["7", "0"], ["7", "99"]]
    assert library.notes["not_read"] == ["item_daily_features.csv"]
    assert "show_cnt" not in videos


def test_both_matrices_become_a_split(folder: Path) -> None:
    library = datasets.load_kuairec(folder, matrix="both")
    library.check()
    log = library.interactions
    assert log["fully_observed"].tolist() == [False] * 3 + [True] * 2
    assert library.notes["views_without_time"] == 1
    train, test = log[~log["fully_observed"]], log[log["fully_observed"]]
    split = preprocessing.ready_made_split(train, test, videos=library.videos)
    assert (len(split.train), len(split.test)) == (3, 2)
    assert len(datasets.load_kuairec(folder, matrix="small").interactions) == 2


def test_without_captions_tags_are_the_numbers(folder: Path) -> None:
    for library in (
        datasets.load_kuairec(folder, captions=False),
        (folder / "data" / "kuairec_caption_category.csv").unlink() or datasets.load(folder),
    ):
        assert library.videos["title"].isna().all()
        assert library.videos["tags"].fillna("-").tolist() == ["8", "27|9", "-"]
        assert library.videos["category"].fillna("-").tolist() == ["8", "27", "-"]


def test_a_share_of_the_users_is_the_same_in_both_matrices(folder: Path) -> None:
    rows = "".join(f"{u},148,1,2,,,1593878903.4,0.5\n" for u in range(400))
    for name in ("big_matrix.csv", "small_matrix.csv"):
        (folder / "data" / name).write_text(HEADER + rows)
    (folder / "data" / "user_features.csv").unlink()
    log = datasets.load_kuairec(folder, matrix="both", user_share=0.5, seed=1).interactions
    big, small = (set(part["user_id"]) for _, part in log.groupby("fully_observed"))
    assert big == small
    assert 160 < len(big) < 240
    other = datasets.load_kuairec(folder, user_share=0.5, seed=2).interactions
    assert set(other["user_id"]) != big


def test_blocks_make_no_difference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one line or two give the same rows, values and row numbers as one block."""
    whole = datasets.load_kuairec(folder, matrix="both")
    read = _csv.read_csv_blocks
    monkeypatch.setattr(
        "vidrec_utils.datasets._public.read_csv_blocks", lambda file: read(file, size=100)
    )
    parts = datasets.load_kuairec(folder, matrix="both")
    pd.testing.assert_frame_equal(parts.interactions, whole.interactions)
    assert parts.rows("interactions").tolist() == [2, 3, 4, 2, 3]
    edit(folder, "big_matrix.csv", "7,3649,2000", "7,3649,long")
    said = "big_matrix.csv row 4, column play_duration: 'long' is not a number"
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("big_matrix.csv", "13838", "?", "row 2, column play_duration: '?' is not a number"),
        ("big_matrix.csv", "13838", "1.5", "row 2, column play_duration: '1.5' is not a w"),
        ("big_matrix.csv", "\n0,9598", "\nNULL,9598", "row 3, column user_id: 'NULL' is a word"),
        ("big_matrix.csv", "video_id,", "item_id,", "column video_id: the column is missing"),
        ("big_matrix.csv", "7,3649,", "7,3649,,", "row 4: the row has 9 cells, the header 8"),
        ("big_matrix.csv", "7,3649,", "7;3649;", "row 4: the row has 6 cells, the header 8"),
        ("big_matrix.csv", "7,3649,", "7,5,", "row 4, column video_id: '5' is not in item_cat"),
        ("item_categories.csv", "feat", "tags", "column feat: the column is missing"),
        ("kuairec_caption_category.csv", "封面,", "封面", "row 3: the row has 9 cells, the hea"),
        ("user_features.csv", "user_id", "id", "column user_id: the column is missing"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, name: str, old: str, new: str, said: str) -> None:
    edit(folder, name, old, new)
    message = refusal(folder)
    assert name in message
    assert said in message


def test_absent_empty_and_damaged_files(folder: Path) -> None:
    data = folder / "data"
    (data / "big_matrix.csv").write_bytes(b"")
    assert "big_matrix.csv: the file is empty" in refusal(folder)
    (data / "big_matrix.csv").write_bytes(HEADER.encode())
    assert "there are no rows" in refusal(folder)
    (data / "big_matrix.csv").write_bytes(HEADER.encode() + b"\xff\xfe\n")
    assert "row 2: line 2: byte 0xff is not UTF-8" in refusal(folder)
    (data / "big_matrix.csv").unlink()
    assert "big_matrix.csv is not there. Unpack KuaiRec.zip" in refusal(folder)
    assert len(datasets.load(folder, matrix="small").interactions) == 2
    with pytest.raises(ValueError, match="matrix is 'large'"):
        datasets.load_kuairec(folder, matrix="large")
    with pytest.raises(ValueError, match="user_share is 2"):
        datasets.load_kuairec(folder, user_share=2)


def test_ids_that_a_program_made_decimals_of(folder: Path) -> None:
    text = FILES["big_matrix.csv"].replace("\n0,", "\n0.0,").replace("\n7,", "\n7.0,")
    (folder / "data" / "big_matrix.csv").write_text(text)
    assert "the ids read like '0.0'" in refusal(folder)


def test_it_is_saved_and_read_again(folder: Path, tmp_path: Path) -> None:
    library = datasets.load(folder)
    again = datasets.load(library.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(again.interactions, library.interactions)
    pd.testing.assert_frame_equal(again.videos, library.videos)
