"""Public data sets in their own forms: what is in their files is in the library, or is refused."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.datasets.test_datasets import LOG_HEADER, edit, write_kuairand, write_movielens
from tests.helpers import real_data
from vidrec_utils import datasets
from vidrec_utils.datasets import LibraryError

HEADERS = {
    "ratings": "userId,movieId,rating,timestamp",
    "movies": "movieId,title,genres",
    "tags": "userId,movieId,tag,timestamp",
    "links": "movieId,imdbId,tmdbId",
}


def refusal(folder: Path) -> str:
    with pytest.raises(LibraryError) as caught:
        datasets.load(folder)
    return str(caught.value)


# -- MovieLens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", HEADERS)
def test_movielens_in_latin_1_names_the_file_and_the_row(tmp_path: Path, table: str) -> None:
    folder = write_movielens(tmp_path / "ml")
    file = folder / f"{table}.csv"
    lines = file.read_text(encoding="utf-8").replace("–", "-").splitlines()
    row = {"ratings": "1,1,4.0,964982703é", "tags": "1,1,café,10", "links": "1,é,1"}.get(
        table, "1,Amélie (2001),Comedy"
    )
    file.write_bytes("\n".join([lines[0], row, *lines[2:]]).encode("latin-1"))
    said = refusal(folder)
    assert f"{table}.csv row 2: line 2: byte 0xe9 is not UTF-8" in said


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("ratings", "1,1,4.0,", "1,1,good,", "ratings.csv row 2, column rating: 'good' is not a n"),
        ("ratings", "964982931", "soon", "ratings.csv row 3, column timestamp: 'soon' is not a nu"),
        ("ratings", "1,2,3.5", "NULL,2,3.5", "ratings.csv row 3, column userId: 'NULL' is a word"),
        ("movies", "Toy", '"Toy', "movies.csv row 2: text follows the mark that closes"),
        ("movies", "3,Cosmos,", "3,Cosmos,,", "movies.csv row 4: the row has 4 cells, the header"),
        ("tags", "2,1,pixar,20", "2,1,pixar", "tags.csv row 2: the row has 3 cells, the header 4"),
        ("links", "movieId,", "movieid,", "links.csv, column movieId: the column is missing"),
        ("ratings", "userId,movieId,", "userId;movieId;", "ratings.csv row"),
    ],
)
def test_movielens_names_the_cell_that_is_wrong(
    tmp_path: Path, table: str, old: str, new: str, said: str
) -> None:
    folder = write_movielens(tmp_path / "ml")
    edit(folder / f"{table}.csv", old, new)
    assert said in refusal(folder)


def test_movielens_keeps_texts_and_tells_of_missing_words(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "ml")
    edit(folder / "movies.csv", "3,Cosmos,(no genres listed)", "3,1.10,NULL")
    edit(folder / "tags.csv", "pixar", "007")
    edit(folder / "links.csv", "1,0114709,862", "1,0014709,0862")
    library = datasets.load(folder)
    assert library.videos.loc["3", "title"] == "1.10"
    assert pd.isna(library.videos.loc["3", "category"])
    assert library.videos.loc["1", "tags"] == "Fun|007"
    assert library.videos.loc["1", ["imdb_id", "tmdb_id"]].tolist() == ["0014709", "0862"]
    problems = library.problems()
    assert problems[["file", "row", "column", "value"]].to_numpy().tolist() == [
        ["movies.csv", 4, "genres", "NULL"]
    ]


def test_the_larger_csv_forms_have_a_genome_that_is_named_as_unread(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "ml-25m")
    (folder / "genome-scores.csv").write_text("movieId,tagId,relevance\n1,1,0.5\n")
    (folder / "genome-tags.csv").write_text("tagId,tag\n1,007\n")
    library = datasets.load(folder)
    assert library.notes["not_read"] == ["genome-scores.csv", "genome-tags.csv"]


def write_1m(folder: Path, encoding: str = "latin-1") -> Path:
    """The form of 1M: two colons, no header, no quotation marks."""
    folder.mkdir()
    files = {
        "movies.dat": "1::Toy Story (1995)::Animation|Children's|Comedy\n"
        '2::"Great Day: Amélie", A (2001)::Comedy|Romance\n'
        "3::None::Drama\n",
        "ratings.dat": "1::1::5::978300760\n1::2::3::978302109\n2::2::4::978298413\n",
        "users.dat": "1::F::1::10::48067\n2::M::56::16::02460\n",
    }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_1m(tmp_path: Path, encoding: str) -> None:
    library = datasets.load(write_1m(tmp_path / "ml-1m", encoding))
    library.check()
    videos, log, users = library.videos, library.interactions, library.users
    assert library.name == "movielens"
    assert videos["title"].tolist()[:2] == ["Toy Story", '"Great Day: Amélie", A']
    assert videos["year"].tolist() == [1995, 2001, pd.NA]
    assert videos["genres"].tolist() == [
        "Animation|Children's|Comedy", "Comedy|Romance", "Drama",
    ]  # fmt: skip
    assert videos["category"].tolist() == ["Animation", "Comedy", "Drama"]
    assert videos["tags"].isna().all()
    assert log[["user_id", "video_id"]].to_numpy().tolist() == [["1", "1"], ["1", "2"], ["2", "2"]]
    assert log["rating"].tolist() == [5.0, 3.0, 4.0]
    assert log["liked"].tolist() == [True, False, True]
    assert log["timestamp"].iloc[0] == pd.Timestamp("2000-12-31T22:12:40Z")
    assert users.loc["2"].tolist() == ["M", 56, "16", "02460"]
    assert library.notes["ratings"] == 3
    warned = library.problems().query("problem.str.contains('word for a missing value')")
    assert warned[["file", "row", "value"]].to_numpy().tolist() == [["movies.dat", 3, "None"]]


def test_movielens_10m_has_tags_and_half_stars(tmp_path: Path) -> None:
    folder = write_1m(tmp_path / "ml-10M100K", "utf-8")
    (folder / "users.dat").unlink()
    edit(folder / "ratings.dat", "1::2::3::", "1::2::3.5::")
    (folder / "tags.dat").write_text("1::2::excellent!::1215184630\n2::2::a|b::1215184631\n")
    library = datasets.load(folder)
    assert library.videos["tags"].fillna("-").tolist() == ["-", "excellent!|a/b", "-"]
    assert library.interactions["rating"].tolist() == [5.0, 3.5, 4.0]
    assert library.users.index.tolist() == ["1", "2"]
    assert len(library.extras["tag_applications"]) == 2


def test_movielens_1m_names_what_is_broken(tmp_path: Path) -> None:
    folder = write_1m(tmp_path / "ml-1m")
    edit(folder / "ratings.dat", "1::2::3::", "1::2::good::")
    assert "ratings.dat row 2, column rating: 'good' is not a number" in refusal(folder)
    edit(folder / "ratings.dat", "1::2::good::", "1::2::3::4::")
    assert "ratings.dat row 2: the row has 5 cells, the header 4" in refusal(folder)
    edit(folder / "ratings.dat", "1::2::3::4::", "1:2:3:")
    assert "ratings.dat row 2: the row has 1 cell, the header 4" in refusal(folder)
    (folder / "ratings.dat").write_bytes(b"")
    assert "ratings.dat: the file is empty" in refusal(folder)


def write_100k(folder: Path) -> Path:
    folder.mkdir()
    flags = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
    unknown = "1" + "|0" * 18
    files = {
        "u.data": "196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
        "u.item": f"242|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/x|{flags}\n"
        f"267|unknown||||{unknown}\n"
        f'302|"Délits", Les (1997)|01-Jan-1997||http://x|{flags}\n',
        "u.user": "196|49|M|writer|05105\n186|39|F|executive|T8H1N\n",
    }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("latin-1"))
    return folder


def test_movielens_100k(tmp_path: Path) -> None:
    library = datasets.load(write_100k(tmp_path / "ml-100k"))
    library.check()
    videos = library.videos
    assert videos.index.tolist() == ["242", "267", "302"]
    assert videos["title"].tolist() == ["Toy Story", "unknown", '"Délits", Les']
    assert videos["genres"].fillna("-").tolist() == [
        "Animation|Children's|Comedy", "-", "Animation|Children's|Comedy",
    ]  # fmt: skip
    assert videos["release_date"].fillna("-").tolist() == ["01-Jan-1995", "-", "01-Jan-1997"]
    assert library.interactions["user_id"].tolist() == ["196", "186"]
    assert library.interactions["timestamp"].iloc[0] == pd.Timestamp("1997-12-04T15:55:49Z")
    assert library.interactions["liked"].tolist() == [False, True]
    assert library.users.loc["186"].tolist() == [39, "F", "executive", "T8H1N"]
    assert library.users.loc["196", "zip_code"] == "05105"
    again = datasets.load(library.save(tmp_path / "saved"))
    assert again.users.loc["196", "zip_code"] == "05105"


def test_movielens_100k_names_what_is_broken(tmp_path: Path) -> None:
    folder = write_100k(tmp_path / "ml-100k")
    edit(folder / "u.data", "196\t242\t3\t", "196,242,3,")
    assert "u.data row 1: the row has 1 cell, the header 4" in refusal(folder)


def test_a_folder_with_half_of_movielens_is_told_the_other_half(tmp_path: Path) -> None:
    folder = write_1m(tmp_path / "ml-1m")
    (folder / "movies.dat").unlink()
    with pytest.raises(LibraryError, match=r"ratings.dat and movies.dat \(1M, 10M\)"):
        datasets.load_movielens(folder)


def test_a_large_movielens_takes_seconds(tmp_path: Path) -> None:
    """A million ratings, as 1M has them, in its form."""
    folder = write_1m(tmp_path / "ml-1m")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"u": rng.integers(1, 6041, 10**6), "v": rng.integers(1, 3, 10**6), "r": 4, "t": 978300760}
    )
    text = rows.to_csv(sep="\t", header=False, index=False).replace("\t", "::")
    (folder / "ratings.dat").write_text(text)
    start = time.process_time()
    library = datasets.load(folder)
    seconds = time.process_time() - start
    assert len(library.interactions) == 10**6
    assert seconds < 8, f"{seconds:.1f} s"


# -- KuaiRand --------------------------------------------------------------------------------------


def test_kuairand_keeps_texts_and_long_numbers(tmp_path: Path) -> None:
    folder = write_kuairand(tmp_path / "KuaiRand-Pure")
    catalogue = folder / "data" / "video_features_basic_pure.csv"
    edit(catalogue, '"12,65"', "012")
    edit(catalogue, "10,441,", "10,720575940631797753,")
    edit(catalogue, "11,442,", "11,720575940631797754,")
    edit(catalogue, "9155697141", "09155697141")
    users = folder / "data" / "user_features_pure.csv"
    edit(users, "312", "007")
    library = datasets.load(folder)
    assert library.videos["tags"].iloc[0] == "012"
    assert library.videos["uploader"].tolist() == ["720575940631797753", "720575940631797754"]
    assert library.videos["music_id"].iloc[0] == "09155697141"
    assert library.users.loc["0", "fans_user_num"] == "007"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",151024,", ",long,", "row 2, column play_time_ms: 'long' is not a number"),
        (
            ",1650485801301,1,",
            ",1650485801301,maybe,",
            "row 2, column is_click: 'maybe' is neither",
        ),
        (
            "0,10,2022",
            "NULL,10,2022",
            "row 2, column user_id: 'NULL' is a word for a missing value",
        ),
        (",1650485801301,", ",soon,", "row 2, column time_ms: 'soon' is not a number"),
        ("\n0,10,", '\n"0,10,', "row 2: nothing closes the quotation mark"),
    ],
)
def test_kuairand_names_the_cell_that_is_wrong(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    folder = write_kuairand(tmp_path / "KuaiRand-Pure")
    log = folder / "data" / "log_standard_4_08_to_4_21_pure.csv"
    edit(log, old, new)
    assert f"{log.name} {said}" in refusal(folder)


def test_kuairand_reads_words_for_a_missing_value_as_missing(tmp_path: Path) -> None:
    folder = write_kuairand(tmp_path / "KuaiRand-Pure")
    log = folder / "data" / "log_standard_4_08_to_4_21_pure.csv"
    edit(log, ",151024,104400,", ",\\N,NULL,")
    library = datasets.load(folder)
    assert library.interactions["watch_ratio"].isna().sum() == 3
    warned = library.problems().query("problem.str.contains('word for a missing value')")
    assert sorted(warned["value"]) == ["NULL", "\\N"]
    assert set(warned["file"]) == {log.name}


def test_kuairand_with_gaps_in_parquet_keeps_its_digits(tmp_path: Path) -> None:
    folder = write_kuairand(tmp_path / "KuaiRand-Pure") / "data"
    for file in folder.glob("log_*.csv"):
        file.unlink()
    columns = LOG_HEADER.strip().split(",")
    log = {name: pa.array([0, 0], pa.int64()) for name in columns}
    log |= {
        "user_id": pa.array([720575940631797753, 720575940631797754]),
        "video_id": pa.array([10, 11]),
        "time_ms": pa.array([1650485801301, 1650485801302]),
        "play_time_ms": pa.array([5, None], pa.int64()),
        "duration_ms": pa.array([10, None], pa.int64()),
    }
    pq.write_table(pa.table(log), folder / "interactions_1.parquet")
    library = datasets.load_folder(datasets.load(folder).save(tmp_path / "saved", format="parquet"))
    assert library.interactions["user_id"].tolist() == ["720575940631797753", "720575940631797754"]
    assert library.interactions["watch_ratio"].tolist()[0] == 0.5
    assert library.interactions["play_time_ms"].tolist() == [5, pd.NA]


def test_real_data_sets_have_nothing_to_tell() -> None:
    """No real title, tag or id is taken for a word, and none looks damaged."""
    for name in ("ml-latest-small", "kuairand-pure"):
        problems = datasets.load(real_data.require(name)).problems()
        assert not len(problems[~problems["problem"].str.startswith("the row repeats")])
