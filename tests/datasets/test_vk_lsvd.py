"""VK-LSVD in its authors' form: what is in its files is in the library, or is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidrec_utils import datasets, preprocessing
from vidrec_utils.datasets import LibraryError, _public

COLUMNS = [
    "user_id", "item_id", "place", "platform", "agent", "timespent",
    "like", "dislike", "share", "bookmark", "click_on_author", "open_comments",
]  # fmt: skip
TYPES = [pa.uint32(), pa.uint32(), *[pa.uint8()] * 4, *[pa.bool_()] * 6]
YES, NO = True, False
WEEKS = {
    "train/week_00": [
        [4_000_000_000, 10, 1, 2, 3, 20, YES, NO, NO, NO, NO, NO],
        [7, 11, 1, 2, 3, 0, NO, YES, NO, NO, NO, NO],
    ],
    "train/week_01": [[7, 10, 1, 2, 3, 5, NO, NO, YES, YES, NO, NO]],
    "validation/week_02": [[7, 12, 1, 2, 3, 9, NO, NO, NO, NO, YES, NO]],
    "test/week_03": [[4_000_000_000, 11, 1, 2, 3, 60, NO, NO, NO, NO, NO, YES]],
}


def write_week(file: Path, rows: list[list[object]], columns: list[str] = COLUMNS) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = [pa.array(values, kind) for values, kind in zip(zip(*rows), TYPES)]  # noqa: B905
    pq.write_table(pa.Table.from_arrays(arrays, columns), file)


def write_vk_lsvd(folder: Path, sample: str = "subsamples/up0.001_ip0.001") -> Path:
    """Weeks and metadata in the layout of the authors' repository, with a few rows each."""
    for name, rows in WEEKS.items():
        write_week(folder / sample / f"{name}.parquet", rows)
    (folder / "metadata").mkdir(exist_ok=True)
    items = {
        "item_id": pa.array([12, 11, 10, 99], pa.uint32()),
        "author_id": pa.array([5, 5, 6, 7], pa.uint32()),
        "duration": pa.array([0, 30, 10, 15], pa.uint8()),
        "train_interactions_rank": pa.array([4, 2, 1, 3], pa.uint32()),
    }
    users = {
        "user_id": pa.array([7, 8], pa.uint32()),
        "age": pa.array([31, 20], pa.uint8()),
        "gender": pa.array([1, 2], pa.uint8()),
        "geo": pa.array([80, 3], pa.uint8()),
    }
    pq.write_table(pa.table(items), folder / "metadata" / "items_metadata.parquet")
    pq.write_table(pa.table(users), folder / "metadata" / "users_metadata.parquet")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_vk_lsvd(tmp_path / "VK-LSVD")


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(LibraryError) as caught:
        datasets.load_vk_lsvd(folder, **options).check()
    return str(caught.value)


def test_the_log_by_hand(folder: Path) -> None:
    library = datasets.load(folder)
    library.check(strict=True)
    log, videos = library.interactions, library.videos
    assert library.name == "vk-lsvd"
    assert log["user_id"].tolist() == ["4000000000", "7", "7", "7", "4000000000"]
    assert log["video_id"].tolist() == ["10", "11", "10", "12", "11"]
    assert log["timestamp"].isna().all()
    assert log["watch_ratio"].fillna(-1).tolist() == [2.0, 0.0, 0.5, -1.0, 2.0]  # 12 lasts 0 s
    assert log["timespent"].tolist() == [20, 0, 5, 9, 60]
    flags = ("liked", "disliked", "shared", "bookmarked", "author_clicked", "comments_opened")
    assert [log[flag].tolist().index(True) for flag in flags] == [0, 1, 2, 2, 3, 4]
    assert log["comment"].isna().all()
    assert log["week"].tolist() == [0, 0, 1, 2, 3]
    assert log["period"].tolist() == ["train"] * 3 + ["validation", "test"]
    assert log["place"].tolist() == [1] * 5
    assert videos.index.tolist() == ["12", "11", "10"]  # only those of the log
    assert videos["duration_s"].tolist() == [0.0, 30.0, 10.0]
    assert videos["uploader"].tolist() == ["5", "5", "6"]
    assert library.users.index.tolist() == ["4000000000", "7"]
    assert library.users.loc["7", ["age", "gender", "geo"]].tolist() == [31, "1", "80"]
    assert pd.isna(library.users.at["4000000000", "age"])
    assert library.notes["vectors"] is None


def test_row_order_is_time(folder: Path) -> None:
    library = datasets.load_vk_lsvd(folder)
    split = preprocessing.split_by_time(
        library.interactions, library.videos, validation=0.2, test=0.2, ordered=True
    )
    assert split.test["week"].tolist() == [3]
    parts = dict(tuple(library.interactions.groupby("period")))
    split = preprocessing.ready_made_split(
        parts["train"], parts["test"], validation=parts["validation"], videos=library.videos
    )
    assert [len(split.train), len(split.validation), len(split.test)] == [3, 1, 1]


def test_a_sample_is_named_where_there_are_several(folder: Path) -> None:
    write_vk_lsvd(folder, "interactions")
    said = "holds several samples. Say sample= and one of interactions, up0.001_ip0.001."
    assert said in refusal(folder)
    assert "holds no sample 'ur0.01'" in refusal(folder, sample="ur0.01")
    library = datasets.load(folder, sample="interactions")
    assert library.notes["files"][0] == "interactions/train/week_00.parquet"


def test_small_batches_and_a_share_of_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = datasets.load(folder)
    read = _public._parquet_blocks
    monkeypatch.setattr(_public, "_parquet_blocks", lambda file, kinds: read(file, kinds, size=1))
    parts = datasets.load(folder)
    pd.testing.assert_frame_equal(parts.interactions, whole.interactions)
    assert parts.rows("interactions").tolist() == [2, 3, 2, 2, 2]
    shares = [datasets.load(folder, user_share=0.5, seed=seed) for seed in range(8)]
    drawn = {tuple(sorted(library.interactions["user_id"].unique())) for library in shares}
    assert {("7",), ("4000000000",)} & drawn
    for library in shares:
        assert set(library.videos.index) == set(library.interactions["video_id"])


def test_missing_weeks_are_told_and_disorder_is_refused(folder: Path) -> None:
    sample = folder / "subsamples" / "up0.001_ip0.001"
    (sample / "train" / "week_01.parquet").unlink()
    warned = datasets.load(folder).problems()
    assert "the log has no week_01.parquet" in warned["problem"].iloc[0]
    assert warned["severity"].tolist() == ["warning"]
    write_week(sample / "train" / "week_09.parquet", WEEKS["train/week_00"])
    assert "validation begins with week 2, train ends with week 9" in refusal(folder)


def test_what_is_wrong_is_named(folder: Path) -> None:
    week = folder / "subsamples" / "up0.001_ip0.001" / "train" / "week_00.parquet"
    columns = ["user" if column == "user_id" else column for column in COLUMNS]
    write_week(week, WEEKS["train/week_00"], columns)
    assert "column user_id: the column is missing" in refusal(folder)
    floats = pa.array([1.0, None])
    rest = [pa.array([1, 2], kind) for kind in TYPES[1:6]] + [pa.array([YES, NO])] * 6
    pq.write_table(pa.Table.from_arrays([floats, *rest], COLUMNS), week)
    assert "the id is empty" in refusal(folder)
    decimals = pa.array(["1.0", "2.0"])
    pq.write_table(pa.Table.from_arrays([decimals, *rest], COLUMNS), week)
    assert "the ids read like '1.0'" in refusal(folder)
    texts = pa.array(["1", "2"])
    odd = [*rest[:4], pa.array(["5", "long"]), *rest[5:]]
    pq.write_table(pa.Table.from_arrays([texts, *odd], COLUMNS), week)
    assert "row 3, column timespent: 'long' is not a number" in refusal(folder)
    week.write_bytes(b"")
    assert "week_00.parquet: not readable as parquet" in refusal(folder)
    week.write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    assert "week_00.parquet: not readable as parquet" in refusal(folder)


def test_a_video_without_metadata_is_an_error(folder: Path) -> None:
    items = folder / "metadata" / "items_metadata.parquet"
    pq.write_table(pq.read_table(items).slice(1), items)
    assert "column video_id: '12' is not in metadata/items_metadata.parquet" in refusal(folder)
    items.unlink()
    with pytest.raises(LibraryError, match="is not VK-LSVD: looked for metadata/items_metadata"):
        datasets.load_vk_lsvd(folder)


def test_it_is_saved_and_read_again(folder: Path, tmp_path: Path) -> None:
    library = datasets.load(folder)
    again = datasets.load(library.save(tmp_path / "saved", format="parquet"))
    pd.testing.assert_frame_equal(again.interactions, library.interactions)
