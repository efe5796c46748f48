"""Vectors that somebody brings: matched with the library's videos by id, or refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidrec_utils import evaluation, preprocessing
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.datasets import LibraryError, VideoLibrary, load_vk_lsvd
from vidrec_utils.embeddings import join, load_vectors, vector_files

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = ["30", "10", "99", "20"]
IN_ORDER = VECTORS[[1, 3, 0]]  # of the library


@pytest.fixture
def library() -> VideoLibrary:
    log = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    return VideoLibrary(pd.DataFrame({"video_id": ["10", "20", "30"]}), log, name="mine")


def refusal(*arguments: object, **options: object) -> str:
    with pytest.raises(LibraryError) as caught:
        load_vectors(*arguments, **options)
    return str(caught.value)


def saved(folder: Path, vectors: np.ndarray = VECTORS, name: str = "mine.npy") -> Path:
    np.save(folder / name, vectors, allow_pickle=True)
    return folder / name


# -- forms -----------------------------------------------------------------------------------------


def id_files(folder: Path) -> list[object]:
    """The same ids in each form in which they are read."""
    (folder / "ids.txt").write_text("\n".join(IDS) + "\n")
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(IDS).encode())
    pd.DataFrame({"video_id": IDS, "note": "x"}).to_csv(folder / "ids.csv", index=False)
    pd.DataFrame({"whatever": IDS}).to_csv(folder / "ids.tsv", index=False, sep="\t")
    np.save(folder / "ids.npy", np.array(IDS, dtype=np.int64))
    np.save(folder / "texts.npy", np.array(IDS))
    np.save(folder / "bytes.npy", np.array(IDS, dtype="S"))
    pq.write_table(pa.table({"item_id": [int(i) for i in IDS], "n": [1] * 4}), folder / "i.parquet")
    files = sorted(folder.glob("*"))
    return [*files, str(files[0]), IDS, np.array(IDS, dtype=np.uint32), pd.Series(IDS)]


def test_an_array_with_ids_in_every_form(tmp_path: Path, library: VideoLibrary) -> None:
    (tmp_path / "ids").mkdir()
    file = saved(tmp_path)
    for ids in id_files(tmp_path / "ids"):
        brought = load_vectors(file, library, ids=ids)
        assert brought.ids.tolist() == ["10", "20", "30"]
        assert brought.vectors.dtype == np.float32
        np.testing.assert_array_equal(brought.vectors, IN_ORDER, err_msg=str(ids))
        assert not len(brought.failures)
    assert brought.provenance["unused"] == 1
    assert brought.provenance["dim"] == brought.dim == 3
    assert len(str(brought.provenance["sha256"])) == 64
    assert "3 videos x 3, mine of file, 0 failures" in repr(brought)


@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint16", ">f4"])
def test_numbers_of_other_types_become_float32(
    tmp_path: Path, library: VideoLibrary, kind: str
) -> None:
    brought = load_vectors(saved(tmp_path, VECTORS.astype(kind)), library, ids=IDS)
    assert brought.vectors.dtype == np.float32
    np.testing.assert_array_equal(brought.vectors, IN_ORDER)
    by_columns = np.asfortranarray(VECTORS)
    brought = load_vectors(saved(tmp_path, by_columns), library, ids=IDS)
    np.testing.assert_array_equal(brought.vectors, IN_ORDER)


def parquets(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """The same vectors in each parquet form, with what has to be said of it."""
    lists = pa.array(VECTORS.tolist(), pa.list_(pa.float32()))
    fixed = pa.array(VECTORS.tolist(), pa.list_(pa.float16(), 3))
    doubles = pa.array(VECTORS.tolist(), pa.large_list(pa.float64()))
    columns = {f"x{n}": VECTORS[:, n] for n in range(3)}
    numbers = pa.array([int(i) for i in IDS], pa.uint32())
    tables = {
        "a": ({"video_id": IDS, "vector": lists}, {}),
        "b": ({"vector": fixed, "item_id": numbers}, {}),
        "c": ({"id": numbers, **columns}, {}),
        "d": ({"key": IDS, "title": ["x"] * 4, "v": doubles, "w": lists}, {"vectors": "v"}),
        "e": ({"item_id": ["a"] * 4, "key": IDS, "vector": lists}, {}),
    }
    out = []
    for name, (table, options) in tables.items():
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
        by_key = {"ids": "key"} if "key" in table else {}
        out.append((folder / f"{name}.parquet", options | by_key))
    return out


def test_parquet_in_every_form(
    tmp_path: Path, library: VideoLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, options in parquets(tmp_path):
        brought = load_vectors(file, library, **options)
        np.testing.assert_array_equal(brought.vectors, IN_ORDER, err_msg=str(file))
    pq.write_table(pa.table({"v": pa.array(VECTORS.tolist())}), tmp_path / "x.parquet")
    brought = load_vectors(tmp_path / "x.parquet", library, ids=IDS)
    np.testing.assert_array_equal(brought.vectors, IN_ORDER)


def write_npz(file: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(file, **arrays)
    return file


@pytest.mark.parametrize("block", [1, 24, 1 << 24])
def test_npz_with_its_ids(
    tmp_path: Path, library: VideoLibrary, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(vector_files, "BLOCK_BYTES", block)
    ids = np.array(IDS, dtype=np.uint32)
    file = write_npz(tmp_path / "v.npz", item_id=ids, embedding=VECTORS.astype(np.float16))
    np.testing.assert_array_equal(load_vectors(file, library).vectors, IN_ORDER)
    file = write_npz(tmp_path / "w.npz", key=np.array(IDS), a=VECTORS, b=VECTORS + 1)
    brought = load_vectors(file, library, ids="key", vectors="b")
    np.testing.assert_array_equal(brought.vectors, IN_ORDER + 1)
    file = write_npz(tmp_path / "x.npz", a=VECTORS)
    np.testing.assert_array_equal(load_vectors(file, library, ids=IDS).vectors, IN_ORDER)


def test_vk_lsvd_comes_with_vectors(tmp_path: Path) -> None:
    from tests.datasets.test_vk_lsvd import write_vk_lsvd

    folder = write_vk_lsvd(tmp_path / "VK-LSVD")
    items = np.array([99, 12, 10, 11], dtype=np.uint32)
    file = folder / "metadata" / "item_embeddings.npz"
    write_npz(file, item_id=items, embedding=VECTORS.astype(np.float16))
    library = load_vk_lsvd(folder)
    brought = load_vectors(folder / str(library.notes["vectors"]), library)
    assert brought.ids.tolist() == ["12", "11", "10"]
    np.testing.assert_array_equal(brought.vectors, VECTORS[[1, 3, 2]])
    write_npz(file, item_id=items + 1000, embedding=VECTORS)
    assert "none of its 4 ids is a video of the library" in refusal(file, library)


# -- ids that do not fit ---------------------------------------------------------------------------


def test_videos_without_a_vector_are_failures_and_told(
    tmp_path: Path, library: VideoLibrary
) -> None:
    vectors = VECTORS.copy()
    vectors[1, 2] = np.nan
    with pytest.warns(UserWarning, match=r"2 of 3 videos of mine have no usable vector") as caught:
        brought = load_vectors(saved(tmp_path, vectors), library, ids=["30", "10", "98", "99"])
    assert "1: the file has no vector for it" in str(caught[0].message)
    assert brought.failures.to_numpy().tolist() == [
        ["10", "its row holds NaN or infinity"],
        ["20", "the file has no vector for it"],
    ]
    assert np.isnan(brought.vectors[:2]).all()  # also the numbers beside the NaN
    assert brought.vectors[2].tolist() == VECTORS[0].tolist()
    assert brought.frame().index.tolist() == ["10", "20", "30"]
    assert np.isnan(brought.vector("20")).all()
    assert brought.matrix(["30"]).tolist() == [VECTORS[0].tolist()]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_nan_infinity_and_what_float32_cannot_hold(
    tmp_path: Path, library: VideoLibrary, value: float
) -> None:
    vectors = VECTORS.astype(np.float64)
    vectors[0, 0] = value
    with pytest.warns(UserWarning, match="1 of 3 videos"):
        brought = load_vectors(saved(tmp_path, vectors), library, ids=IDS)
    assert brought.failures["video_id"].tolist() == ["30"]
    assert "all rows hold NaN or infinity" in refusal(
        saved(tmp_path, np.full((4, 3), value)), library, ids=IDS
    )
    table = pa.table({"id": IDS, "a": vectors[:, 0], "b": vectors[:, 1]})
    pq.write_table(table, tmp_path / "v.parquet")
    with pytest.warns(UserWarning, match="1 of 3 videos"):
        brought = load_vectors(tmp_path / "v.parquet", library)
    assert brought.failures["video_id"].tolist() == ["30"]


def test_ids_of_another_library(tmp_path: Path, library: VideoLibrary) -> None:
    said = refusal(saved(tmp_path), library, ids=["10.0", "20.0", "30.0", "40.0"])
    assert "none of its 4 ids is a video of the library. They begin with '10.0', '20.0'" in said
    assert "the library's with '10', '20', '30'" in said
    assert "none of its 4 ids" in refusal(saved(tmp_path), library, ids=[1, 2, 3, 4])
    said = refusal(saved(tmp_path), library, ids=np.array([10.0, 20.0, 30.0, np.nan]))
    assert "the ids are decimal numbers" in said


def test_ids_with_zeros_in_front_are_other_ids(tmp_path: Path) -> None:
    log = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    library = VideoLibrary(pd.DataFrame({"video_id": ["010", "20"]}), log)
    with pytest.warns(UserWarning, match="1 of 2 videos"):
        brought = load_vectors(saved(tmp_path), library, ids=[30, 10, 99, 20])
    assert brought.failures["video_id"].tolist() == ["010"]
    with pytest.warns(UserWarning, match="1 of 2 videos"):
        brought = load_vectors(saved(tmp_path), library, ids=IDS)
    assert brought.failures["video_id"].tolist() == ["010"]


@pytest.mark.parametrize("ids", [["30", "10", "99", "10"], [30, 10, 99, 10]])
def test_an_id_that_is_there_twice(tmp_path: Path, library: VideoLibrary, ids: list) -> None:
    said = refusal(saved(tmp_path), library, ids=ids)
    assert "mine.npy: video '10' has two vectors, in rows 1 and 3 (counted from 0)" in said


def test_ids_that_are_absent_short_or_empty(tmp_path: Path, library: VideoLibrary) -> None:
    file = saved(tmp_path)
    with pytest.raises(ValueError, match=r"mine.npy has no ids: .* ids=library.videos.index if"):
        load_vectors(file, library)
    assert "has 4 vectors and 3 ids" in refusal(file, library, ids=IDS[:3])
    assert "the id in row 1 (counted from 0) is empty" in refusal(
        file, library, ids=["30", "", "99", "20"]
    )
    assert "the id in row 0" in refusal(file, library, ids=[None, "10", "99", "20"])
    assert "There is no file of ids" in refusal(file, library, ids=tmp_path / "no.txt")
    (tmp_path / "ids.csv").write_text("a,b\n1,2\n")
    assert "ids.csv has no column named video_id, item_id, id" in refusal(
        file, library, ids=tmp_path / "ids.csv"
    )
    (tmp_path / "ids.csv").write_bytes(b"")
    assert "ids.csv cannot be read" in refusal(file, library, ids=tmp_path / "ids.csv")
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe\xfa")
    assert "ids.txt is not UTF-8" in refusal(file, library, ids=tmp_path / "ids.txt")
    (tmp_path / "ids.md").touch()
    with pytest.raises(ValueError, match=r"is no .txt, .csv"):
        load_vectors(file, library, ids=tmp_path / "ids.md")
    ids = saved(tmp_path, VECTORS, "ids.npy")
    assert "holds an array of shape (4, 3)" in refusal(file, library, ids=ids)
    pq.write_table(pa.table({"id": ["30", None, "1", "2"]}), tmp_path / "ids.parquet")
    assert "ids.parquet has no id in row 1 (counted from 0)" in refusal(
        file, library, ids=tmp_path / "ids.parquet"
    )


# -- files that cannot be read ---------------------------------------------------------------------


class Bomb:
    """Does harm when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def test_pickled_objects_are_never_read(
    tmp_path: Path, library: VideoLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([[Bomb()], [Bomb()]], dtype=object)
    said = refusal(saved(tmp_path, objects), library, ids=["10", "20"])
    assert "is no array that can be read safely" in said
    assert "Save numbers, not objects" in said
    (tmp_path / "raw.npy").write_bytes(__import__("pickle").dumps(objects))
    assert "is no array that can be read safely" in refusal("raw.npy", library, ids=["10"])
    ids = saved(tmp_path, np.array([Bomb()] * 4, dtype=object), "ids.npy")
    assert "is no array that can be read" in refusal(saved(tmp_path), library, ids=ids)
    file = write_npz(tmp_path / "v.npz", item_id=np.array(IDS, dtype=object), embedding=VECTORS)
    assert "holds pickled objects in 'item_id', which are not read" in refusal(file, library)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (VECTORS[0], "holds an array of shape (3,)"),
        (VECTORS[None], "holds an array of shape (1, 4, 3)"),
        (VECTORS[:, :0], "holds an array of shape (4, 0)"),
        (VECTORS[:0], "holds an array of shape (0, 3)"),
        (VECTORS.astype(str), "no numbers. Save the vectors as float32"),
        (VECTORS.astype(complex), "holds complex128, no numbers"),
        (VECTORS > 3, "holds bool, no numbers"),
    ],
)
def test_other_shapes_and_types(
    tmp_path: Path, library: VideoLibrary, vectors: np.ndarray, said: str
) -> None:
    message = refusal(saved(tmp_path, vectors), library, ids=IDS)
    assert message.startswith("mine.npy")
    assert said in message
    file = write_npz(tmp_path / "v.npz", video_id=np.array(IDS), embedding=vectors)
    assert said in refusal(file, library, vectors="embedding")


def test_damaged_arrays(tmp_path: Path, library: VideoLibrary) -> None:
    file = saved(tmp_path)
    data = file.read_bytes()
    for broken in (b"", data[:5], data[:40], data[:-1], b"x" * 200):
        file.write_bytes(broken)
        assert "is no array that can be read safely" in refusal(file, library, ids=IDS)
    ids = np.array(IDS, dtype=np.uint32)
    file = write_npz(tmp_path / "v.npz", item_id=ids, embedding=np.tile(VECTORS, (1, 100)))
    data = file.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    for broken in (b"", data[: len(data) // 2], flipped, b"x" * 200):
        file.write_bytes(broken)
        assert "v.npz is damaged or no .npz file" in refusal(file, library)


def test_an_array_that_ends_before_its_header_says(tmp_path: Path, library: VideoLibrary) -> None:
    saved(tmp_path)
    data = (tmp_path / "mine.npy").read_bytes()
    np.save(tmp_path / "ids.npy", np.array(IDS, dtype=np.uint32))
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("item_id.npy", (tmp_path / "ids.npy").read_bytes())
        archive.writestr("embedding.npy", data[:-4])
    assert "ends before its last row" in refusal(tmp_path / "v.npz", library)
    huge = data.replace(b"(4, 3)", b"(4000000000000, 3)").replace(b" " * 17 + b"\n", b"  \n")
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("item_id.npy", huge)
        archive.writestr("embedding.npy", data)
    assert "v.npz" in refusal(tmp_path / "v.npz", library, vectors="embedding")


def test_arrays_that_are_not_there(tmp_path: Path, library: VideoLibrary) -> None:
    assert "There is no file" in refusal(tmp_path / "no.npy", library, ids=IDS)
    with pytest.raises(ValueError, match=r"mine.txt ends in none of .npy, .npz, .parquet"):
        load_vectors(tmp_path / "mine.txt", library)
    ids = np.array(IDS)
    file = write_npz(tmp_path / "v.npz", video_id=ids, a=VECTORS, b=VECTORS)
    assert "has 2 arrays of shape (n, dim) among video_id, a, b" in refusal(file, library)
    assert "has no array 'c'. It has video_id, a, b" in refusal(file, library, vectors="c")
    assert "has no array 'key'" in refusal(file, library, ids="key", vectors="a")
    file = write_npz(tmp_path / "v.npz", a=VECTORS)
    assert "has no array named video_id, item_id, id. Say ids=" in refusal(file, library)
    file = write_npz(tmp_path / "v.npz", id=ids, a=np.asfortranarray(VECTORS))
    assert "holds its array by columns" in refusal(file, library)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"video_id": IDS, "title": ["x"] * 4}, "has columns that are no numbers: title"),
        ({"video_id": IDS}, "has ids and no vectors"),
        ({"name": IDS, "x": [1.0] * 4}, "has no column named video_id, item_id, id"),
        ({"id": IDS, "v": [[1.0], [2.0], [3.0, 4.0], [5.0]]}, "all rows"),
        ({"id": ["30", "10", "20", "99"], "v": [[1.0], [2.0], [3.0, 4.0], [5.0]]}, "in row 2"),
        ({"id": IDS, "v": pa.array([[]] * 4, pa.list_(pa.float32()))}, "has only empty vectors"),
        ({"id": IDS, "v": [["a"]] * 4}, "has columns that are no numbers: v"),
        ({"id": IDS, "v": [[1.0]] * 4, "w": [[1.0]] * 4}, "has several columns of lists: v, w"),
        (
            {"id": ["30", None, "99", "20"], "x": [1.0] * 4},
            "v.parquet has no id in row 1 (counted from 0)",
        ),
        ({"id": [1.0, 2.0, 3.0, 4.0], "x": [1.0] * 4}, "the ids are decimal numbers"),
    ],
)
def test_parquet_that_is_wrong(
    tmp_path: Path, library: VideoLibrary, columns: dict, said: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    if said == "all rows":  # the odd vector belongs to no video of the library
        assert load_vectors(tmp_path / "v.parquet", library).vectors.tolist() == [[2], [5], [1]]
        return
    assert said in refusal(tmp_path / "v.parquet", library)


def test_a_list_that_is_missing_is_a_failure(tmp_path: Path, library: VideoLibrary) -> None:
    table = {"id": IDS, "v": [[1.0, 2.0], None, [3.0, 4.0], [5.0, None]]}
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.warns(UserWarning, match="2 of 3 videos"):
        brought = load_vectors(tmp_path / "v.parquet", library)
    assert brought.failures["video_id"].tolist() == ["10", "20"]
    assert brought.vector("30").tolist() == [1.0, 2.0]


def test_damaged_parquet(tmp_path: Path, library: VideoLibrary) -> None:
    file, options = parquets(tmp_path)[0]
    data = file.read_bytes()
    for broken in (b"", data[:-5], b"PAR1" + b"x" * 50 + b"PAR1"):
        file.write_bytes(broken)
        assert "a.parquet is no parquet file" in refusal(file, library, **options)


# -- what takes them -------------------------------------------------------------------------------


def test_recommenders_audits_and_joins_take_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 10)
    videos = pd.DataFrame({"video_id": [f"v{n}" for n in range(20)]})
    users = np.repeat(np.arange(30), 8)
    chosen = [
        rng.choice(np.flatnonzero(groups == user % 2), 8, replace=False) for user in range(30)
    ]
    times = pd.date_range("2025-03-01", periods=len(users), freq="h", tz="UTC")
    log = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "video_id": [f"v{n}" for n in np.concatenate(chosen)],
            "timestamp": times[rng.permutation(len(times))],
            "liked": True,
        }
    ).sort_values("timestamp", ignore_index=True)
    library = VideoLibrary(videos, log)
    vectors = np.stack([groups, 1 - groups], axis=1) + 0.1 * rng.standard_normal((20, 2))
    brought = load_vectors(saved(tmp_path, vectors), library, ids=library.videos.index)
    split = preprocessing.split_by_time(library.interactions, library.videos)
    model = ContentRecommender(brought).fit(split)
    top = model.recommend(["u0", "u1"], k=2)["video_id"].str[1:].astype(int)
    assert groups[top].tolist() == [0, 0, 1, 1]
    assert join(brought, brought).shape == (20, 4)
    both = {"brought": brought, "plain": brought.frame()}
    with pytest.warns(UserWarning, match="is few"):
        audit = evaluation.audit_vectors(both, split=split, progress=False)
    raw = audit.table.query("geometry == 'raw'").set_index("layer")["recall_validation"]
    assert raw["brought"] == raw["plain"]
