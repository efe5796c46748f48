"""Text stays text: every character of ids, titles, tags and further columns, in every reader."""

from __future__ import annotations

import gzip
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidrec_utils import datasets
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.events import event_weights

VIDEOS = "video_id,title\n" + "".join(f"v{n},Title {n}\n" for n in range(6))
LOG = "user_id,video_id,timestamp\nu,v0,2024-05-01\n"
LONG, NEXT = 720575940631797753, 720575940631797754
"""Two numbers that are one as 64-bit floats."""


def write(root: Path, **tables: str | bytes | pa.Table | pd.DataFrame) -> Path:
    """Write tables into a folder: texts and bytes as csv, frames and arrow tables as parquet."""
    root.mkdir(exist_ok=True)
    tables = {"videos": VIDEOS, "interactions": LOG, **tables}
    for name, content in tables.items():
        for older in (root / f"{name}.csv", root / f"{name}.parquet"):
            older.unlink(missing_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, root / f"{name}.parquet")
        elif isinstance(content, pd.DataFrame):
            content.to_parquet(root / f"{name}.parquet")
        else:
            data = content if isinstance(content, bytes) else content.encode()
            (root / f"{name}.csv").write_bytes(data)
    return root


def refusal(root: Path) -> str:
    with pytest.raises(LibraryError) as caught:
        datasets.load(root)
    return str(caught.value)


# -- quotation marks -------------------------------------------------------------------------------


def test_a_stray_quotation_mark_swallows_no_rows(tmp_path: Path) -> None:
    rows = [
        f"u{n},v{n % 6},2024-05-0{n + 1}T10:00:00Z," + ('"great' if n == 2 else "ok")
        for n in range(9)
    ]
    log = "user_id,video_id,timestamp,comment\n" + "\n".join(rows) + "\n"
    said = refusal(write(tmp_path, interactions=log))
    assert "interactions.csv row 4: nothing closes the quotation mark" in said
    assert "'\"great'" in said


def test_a_stray_mark_in_the_last_column_of_videos(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, videos=VIDEOS.replace("Title 3", '"Title 3')))
    assert "videos.csv row 5: nothing closes the quotation mark" in said


@pytest.mark.parametrize("later", ['so "cool"', '"nice', 'a "word" here'])
def test_a_second_stray_mark_does_not_hide_the_rows_between(tmp_path: Path, later: str) -> None:
    comments = ["ok", '"great', "ok", "ok", later, "ok"]
    rows = [f"u{n},v{n},2024-05-0{n + 1},{comment}\n" for n, comment in enumerate(comments)]
    log = "user_id,video_id,timestamp,comment\n" + "".join(rows)
    said = refusal(write(tmp_path, interactions=log))
    assert "interactions.csv row 3: text follows the mark that closes the cell" in said


def test_rows_between_two_marks_that_fit_each_other_are_not_taken_for_one_cell(
    tmp_path: Path,
) -> None:
    comments = ["ok", '"great', "ok", "ok", 'cool"', "ok"]
    rows = [f"u{n},v{n},2024-05-0{n + 1},{comment}\n" for n, comment in enumerate(comments)]
    log = "user_id,video_id,timestamp,comment\n" + "".join(rows)
    said = refusal(write(tmp_path, interactions=log))
    assert "row 3: the cell that a quotation mark opens here has lines like rows" in said
    assert "'u2,v2,2024-05-03,ok'" in said
    titles = VIDEOS.replace("Title 2", '"Title 2').replace("Title 4", 'Title 4"')
    assert "videos.csv row 4: the cell" in refusal(write(tmp_path, videos=titles))


def test_a_cell_of_several_lines_is_read_and_doubtful_ones_are_told(tmp_path: Path) -> None:
    poem = '"roses are red,\nviolets are blue,\n\nand so ""on"""'
    root = write(tmp_path, videos=VIDEOS.replace("Title 1", poem))
    library = datasets.load(root)
    assert library.videos.loc["v1", "title"] == 'roses are red,\nviolets are blue,\n\nand so "on"'
    assert len(library.videos) == 6
    problems = library.problems()
    assert problems["severity"].tolist() == ["warning"]  # two lines have one comma, as rows have
    assert problems["row"].tolist() == [3]
    library = datasets.load(write(tmp_path, videos=VIDEOS.replace("Title 1", '"two\nlines"')))
    assert library.videos.loc["v1", "title"] == "two\nlines"
    assert len(library.problems()) == 0


def test_marks_within_a_cell_are_letters(tmp_path: Path) -> None:
    titles = VIDEOS.replace("Title 1", '5" floppy').replace("Title 2", "it is \"so\" 'good'")
    library = datasets.load(write(tmp_path, videos=titles))
    assert library.videos["title"].tolist()[1:3] == ['5" floppy', "it is \"so\" 'good'"]


def test_the_row_of_a_stray_mark_counts_blank_lines_and_not_line_breaks(tmp_path: Path) -> None:
    text = 'video_id,title\n\nv0,"two\nlines"\n\nv1,"open\nv2,x\n'
    assert "videos.csv row 5: nothing closes" in refusal(write(tmp_path, videos=text))


# -- separators, cells, encodings ------------------------------------------------------------------

SEPARATED = {
    "video_id;title;duration_s\nv0;Hello, world;1,5\n": "header are separated by semicolons, not",
    "video_id;title\nv0;x\n": "header are separated by semicolons, not by commas",
    "video_id|title|duration_s\nv0|Hello, world|1.5\n": "header are separated by vertical bars",
    "video_id\ttitle\nv0\tHello, world\n": "header are separated by tabs, not by commas",
    "sep=;\nvideo_id,title\nv0,a\n": "header are separated by commas, not by semicolons",
    "video_id,title\nv0,a,\n": "row 2: the row has 3 cells, the header 2: it ends with a comma",
    "video_id,title\nv0,a,,\n": "row 2: the row has 4 cells, the header 2: it ends with a comma",
    "video_id,title\nv0,a,b\n": "row 2: the row has 3 cells, the header 2. Put cells that hold",
    "video_id,title,tags\nv0,a\n": "row 2: the row has 2 cells, the header 3. Write a comma for",
}


@pytest.mark.parametrize("text", SEPARATED)
def test_the_cause_of_cells_that_do_not_fit_is_named(tmp_path: Path, text: str) -> None:
    said = refusal(write(tmp_path, videos=text))
    assert SEPARATED[text] in said, said
    assert "videos.csv row" in said


def test_the_row_with_too_many_cells_is_counted_as_a_spreadsheet_shows_it(tmp_path: Path) -> None:
    text = 'video_id,title\n\nv0,"two\nlines"\n\nv1,a,b\n'
    assert "videos.csv row 5: the row has 3 cells" in refusal(write(tmp_path, videos=text))


@pytest.mark.parametrize("line", ["sep=,", '"sep=,"', "SEP=,,"])
def test_a_line_that_names_the_separator_is_understood(tmp_path: Path, line: str) -> None:
    text = f"{line}\r\nvideo_id,title,duration_s\r\nv0,a,1\r\nv1,b,long\r\n"
    said = refusal(write(tmp_path, videos=text))
    assert "1 problem in" in said
    assert "videos.csv row 4, column duration_s: 'long' is not a number" in said
    library = datasets.load(write(tmp_path, videos=text.replace("long", "2")))
    assert library.videos["title"].tolist() == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    text = "video_id,title\nv0,Amélie \N{CAT FACE}\n"
    library = datasets.load(write(tmp_path, videos=text.encode(encoding)))
    assert library.videos.loc["v0", "title"] == "Amélie \N{CAT FACE}"


def test_utf_16_without_a_mark_is_named(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, videos=VIDEOS.encode("utf-16-le")))
    assert "videos.csv row 1: every other byte is 0, as in UTF-16" in said
    assert "begins like UTF-16" in refusal(write(tmp_path, videos=b"\xff\xfea"))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_ends_of_all_systems(tmp_path: Path, end: str) -> None:
    library = datasets.load(write(tmp_path, videos=VIDEOS.replace("\n", end)))
    assert library.videos.index.tolist() == [f"v{n}" for n in range(6)]
    text = f"video_id,title{end}{end}v0,a{end}v0,b{end}"
    assert "row 4, column video_id: 'v0' occurs already in row 3" in refusal(
        write(tmp_path, videos=text)
    )


def test_a_lone_carriage_return_is_a_line_end(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, videos="video_id,ti\rtle\nv0,a\n"))
    assert "videos.csv row 2: the row has 1 cell, the header 2" in said


# -- forms of files --------------------------------------------------------------------------------


def test_packed_and_tab_separated_files_and_upper_case_names(tmp_path: Path) -> None:
    log = "user_id\tvideo_id\ttimestamp\tcomment\nu\tv0\t2024-05-01\tso, so\n"
    files = {"VIDEOS.CSV": VIDEOS.encode(), "interactions.tsv.gz": gzip.compress(log.encode())}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    library = datasets.load(tmp_path)
    assert len(library.videos) == 6
    assert library.interactions["comment"].tolist() == ["so, so"]
    library.save(tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "interactions.csv", "library.json", "users.csv", "videos.csv",
    ]  # fmt: skip
    assert len(datasets.load(tmp_path).videos) == 6


def test_a_damaged_packed_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "videos.csv").unlink()
    (tmp_path / "videos.csv.gz").write_bytes(gzip.compress(VIDEOS.encode())[:-12])
    assert "videos.csv.gz: not readable as gzip" in refusal(tmp_path)


def test_a_folder_of_members_is_one_table(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "interactions.csv").unlink()
    for day, user in (("2024-05-01", LONG), ("2024-05-02", NEXT)):
        folder = root / "interactions.parquet" / f"batch=0{day[-1]}"
        folder.mkdir(parents=True)
        table = pa.table({"user_id": [user], "video_id": ["v0"], "timestamp": [day]})
        pq.write_table(table, folder / "part-00000.parquet")
    (root / "interactions.parquet" / "_SUCCESS").touch()
    (root / "interactions.parquet" / "_metadata.parquet").write_bytes(b"none")
    log = datasets.load(root).interactions
    assert log["user_id"].tolist() == [str(LONG), str(NEXT)]
    assert log["batch"].tolist() == ["01", "02"]


def test_members_that_do_not_fit_each_other_or_are_broken_are_named(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "interactions.csv").unlink()
    folder = root / "interactions.parquet"
    folder.mkdir()
    assert "interactions.parquet: the folder holds no parquet file" in refusal(root)
    for number, user in enumerate(("7", 7)):
        table = pa.table({"user_id": [user], "video_id": ["v0"], "timestamp": ["2024-05-01"]})
        pq.write_table(table, folder / f"part-{number}.parquet")
    assert "its files do not have the same columns and types" in refusal(root)
    (folder / "part-1.parquet").write_bytes(b"PAR1")
    assert "part-1.parquet: not readable as parquet" in refusal(root)


@pytest.mark.parametrize("name", ["videos.xlsx", "videos.json", "videos.csv.zip", "Videos.csv.bak"])
def test_a_form_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    root = write(tmp_path)
    (root / "videos.csv").rename(root / name)
    assert f"neither file exists, and {name} is a form that is not read" in refusal(root)


def test_a_form_of_users_that_is_not_read_is_no_silent_loss(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "users.xlsx").touch()
    assert "users.xlsx is a form that is not read" in refusal(root)


# -- numbers with gaps -----------------------------------------------------------------------------


def exact(column: str) -> pa.Table:
    kinds = {
        "uint64": pa.array([LONG, NEXT, None], pa.uint64()),
        "int64": pa.array([LONG, NEXT, None], pa.int64()),
        "dictionary": pa.array([LONG, NEXT, None], pa.int64()).dictionary_encode(),
        "decimal": pa.array([Decimal(LONG), Decimal(NEXT), None], pa.decimal128(30, 6)),
        "binary": pa.array([str(LONG).encode(), str(NEXT).encode(), None], pa.binary()),
        "text": pa.array([str(LONG), str(NEXT), None]),
    }
    return kinds[column]


KINDS = ("uint64", "int64", "dictionary", "decimal", "binary", "text")


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_with_a_gap_keep_their_digits_in_parquet(tmp_path: Path, kind: str) -> None:
    values = exact(kind)
    ids = ["v0", "v1", "v2"]
    videos = pa.table({"video_id": ids, "title": values, "uploader": values, "code": values})
    log = pa.table(
        {
            "user_id": values.take([0, 1, 1]),
            "video_id": ids,
            "timestamp": ["2024-05-01"] * 3,
            "session_id": values,
            "extra": values,
        }
    )
    library = datasets.load(write(tmp_path, videos=videos, interactions=log))
    digits = [str(LONG), str(NEXT)]
    for column in ("uploader", "title", "code"):
        texts = library.videos[column]
        written = [str(value).removesuffix(".000000") for value in texts.iloc[:2]]
        assert written == digits, column
        assert pd.isna(texts.iloc[2])
    extra = library.interactions["extra"].iloc[:2]
    assert [str(value).removesuffix(".000000") for value in extra] == digits
    assert library.interactions["session_id"].tolist()[:2] == digits
    assert library.interactions["user_id"].tolist() == [*digits, digits[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_id_in_parquet_is_the_only_problem(tmp_path: Path, kind: str) -> None:
    videos = pa.table({"video_id": exact(kind).take([0, 1]), "title": ["a", "b"]})
    log = pa.table({"user_id": ["u"] * 3, "video_id": exact(kind), "timestamp": ["2024-05-01"] * 3})
    root = write(tmp_path, videos=videos, interactions=log)
    problems = datasets.load_folder(root, check=False).problems()
    assert problems[["row", "column", "problem"]].to_numpy().tolist() == [
        [4, "video_id", "the id is empty"]
    ]


def test_lists_of_numbers_with_a_gap_are_tags(tmp_path: Path) -> None:
    tags = pa.array([[LONG, None, 7], [None], None], pa.list_(pa.int64()))
    words = pa.array([["a", None], [], None], pa.list_(pa.string()))
    ids = ["v0", "v1", "v2"]
    videos = pa.table({"video_id": ids, "title": ids, "tags": tags})
    library = datasets.load(write(tmp_path, videos=videos))
    assert library.videos["tags"].tolist()[0] == f"{LONG}|7"
    assert library.videos["tags"].isna().tolist() == [False, True, True]
    videos = videos.set_column(2, "tags", words)
    library = datasets.load(write(tmp_path, videos=videos))
    assert library.videos["tags"].fillna("-").tolist() == ["a", "-", "-"]


def test_times_with_a_gap_keep_their_microseconds(tmp_path: Path) -> None:
    nanoseconds = 1_714_567_890_123_456_000
    for unit, factor in (("ns", 1), ("us", 1000)):
        times = pa.array([nanoseconds // factor, nanoseconds // factor + 1000, None], pa.int64())
        log = pa.table({"user_id": list("abc"), "video_id": ["v0"] * 3, "timestamp": times})
        read = datasets.load(write(tmp_path, interactions=log)).interactions["timestamp"]
        assert read.iloc[0] == pd.Timestamp(nanoseconds, tz="UTC"), unit
        texts = pd.DataFrame({"timestamp": [str(t) if t else "" for t in times.to_pylist()]})
        library = VideoLibrary(
            pd.DataFrame({"video_id": ["v0"]}),
            texts.assign(user_id=list("abc"), video_id="v0"),
        )
        assert library.interactions["timestamp"].tolist()[:2] == read.tolist()[:2]


CSV_EXTRAS = {
    "007": "leading zeros",
    "1.10": "a version",
    "1e3": "a code",
    "12E5": "a code",
    "+1": "a sign",
    "72057594063179775399": "twenty digits",
    "-0": "a sign of zero",
    ".5": "no digit before the point",
    "1.": "no digit after the point",
    "0x10": "hexadecimal",
    "1_000": "a group",
    "0.1000000000000000055511151231257827": "more digits than a float has",
    "inf": "a word",
    "2024-05-01": "a date",
    "True": "a word among others",
}


@pytest.mark.parametrize("cell", CSV_EXTRAS)
def test_further_columns_of_csv_keep_every_character(tmp_path: Path, cell: str) -> None:
    other = "maybe" if cell == "True" else "5"
    videos = f"video_id,title,code\nv0,a,{cell}\nv1,b,{other}\n"
    library = datasets.load(write(tmp_path, videos=videos))
    assert library.videos["code"].tolist() == [cell, other]
    again = datasets.load(library.save(tmp_path / "saved"))
    assert again.videos["code"].tolist() == [cell, other]


def test_further_columns_that_are_numbers_throughout_are_numbers(tmp_path: Path) -> None:
    text = "video_id,whole,gap,real,mixed,yes,long\nv0,1,1,0.5,3,true,123456789012345678\n"
    text += "v1,-20,,4.0,0.25,false,-1\n"
    videos = datasets.load(write(tmp_path, videos=text)).videos
    types = {c: str(t) for c, t in videos.dtypes.items() if c in text.splitlines()[0].split(",")}
    assert types == {
        "whole": "int64", "gap": "Int64", "real": "float64", "mixed": "float64", "yes": "bool",
        "long": "int64",
    }  # fmt: skip
    assert videos["long"].tolist() == [123456789012345678, -1]


def test_titles_that_look_like_numbers_are_texts_in_every_container(tmp_path: Path) -> None:
    titles = ["1917", "007", "1.10", "1e3", "True", "2012-12-21", "NA", " 9 "]
    ids = [f"0{n}" for n in range(len(titles))]
    rows = "".join(f"{i},{t},{t}\n" for i, t in zip(ids, titles, strict=True))
    log = LOG.replace("v0", "00")
    from_csv = datasets.load(
        write(tmp_path / "csv", videos="video_id,title,tags\n" + rows, interactions=log)
    )
    frame = pd.DataFrame({"video_id": ids, "title": titles, "tags": titles})
    from_parquet = datasets.load(write(tmp_path / "parquet", interactions=log, videos=frame))
    in_memory = VideoLibrary(frame, from_csv.interactions)
    for library in (from_csv, from_parquet, in_memory):
        assert library.videos.index.tolist() == ids
        assert library.videos["title"].tolist() == titles
        assert library.videos["tags"].tolist() == titles


# -- words for a missing value ---------------------------------------------------------------------

WORDS = ("NULL", "null", "None", "nan", "NaN", "\\N", "<NA>", "(null)", "[NULL]")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("container", ["csv", "parquet", "memory"])
def test_words_for_a_missing_value_are_missing_everywhere_and_told(
    tmp_path: Path, word: str, container: str
) -> None:
    log = pd.DataFrame(
        {
            "user_id": ["a", "b", "c"],
            "video_id": ["v0", "v1", "v2"],
            "timestamp": ["2024-05-01", "2024-05-02", word],
            "watch_ratio": ["0.5", word, "1"],
            "liked": ["true", word, "false"],
            "comment": [word, word, "fine"],
            "position": ["1", word, "3"],
            "session_id": ["s", word, "t"],
            "code": ["x", word, "y"],
        }
    )
    videos = pd.DataFrame(
        {"video_id": ["v0", "v1", "v2"], "title": ["a", word, "c"], "tags": ["x|y", word, None],
         "category": ["p", word, "q"], "duration_s": ["1", word, "3"]}
    )  # fmt: skip
    if container == "memory":
        library = VideoLibrary(videos, log)
    else:
        root = tmp_path
        for name, frame in (("videos", videos), ("interactions", log)):
            if container == "csv":
                frame.to_csv(root / f"{name}.csv", index=False)
            else:
                frame.to_parquet(root / f"{name}.parquet")
        library = datasets.load(root)
    library.check()
    for column in log.columns[3:]:
        gap = library.interactions[column].isna().tolist()
        assert gap == ([True, True, False] if column == "comment" else [False, True, False]), column
    assert library.videos.drop(columns="tags").loc["v1"].isna().all()
    assert library.videos["tags"].isna().tolist() == [False, True, True]
    assert event_weights(library.interactions).tolist() == [1.5, 0.0, 1.5]
    warned = library.problems()
    warned = warned[warned["problem"].str.contains("word for a missing value")]
    assert set(warned["column"]) == {*log.columns[2:], *videos.columns[1:]}
    assert set(warned["value"]) == {word}
    comment = warned[warned["column"] == "comment"].squeeze()
    assert "2 such cells count as missing" in comment["problem"]
    assert comment["row"] == 2


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("column", ["user_id", "video_id"])
def test_a_word_for_a_missing_value_is_no_id(tmp_path: Path, word: str, column: str) -> None:
    ids = {"user_id": "u", "video_id": "v1"} | {column: word}
    log = LOG + f"{ids['user_id']},{ids['video_id']},2024-05-02\n"
    said = refusal(write(tmp_path, interactions=log))
    assert "1 problem in" in said
    row = f"interactions.csv row 3, column {column}: {word!r} is a word for a missing value: the id"
    assert row in said
    library = datasets.load_folder(tmp_path, check=False)
    assert library.interactions[column].isna().tolist() == [False, True]
    assert word not in library.users.index


def test_words_that_are_told_are_told_after_saving_no_more(tmp_path: Path) -> None:
    library = VideoLibrary(
        pd.DataFrame({"video_id": ["a", "b"], "title": ["None", "x"]}),
        pd.DataFrame({"user_id": ["u"], "video_id": ["a"], "timestamp": ["2024-05-01"]}),
    )
    assert library.videos["title"].isna().tolist() == [True, False]
    again = datasets.load(library.save(tmp_path / "saved"))
    assert not again.problems()["problem"].str.contains("word for").any()


def test_na_is_a_word_among_texts_and_missing_among_numbers(tmp_path: Path) -> None:
    log = "user_id,video_id,timestamp,watch_ratio,comment\nNA,v0,2024-05-01,NA,NA\n"
    library = datasets.load(write(tmp_path, interactions=log))
    row = library.interactions.iloc[0]
    assert (row["user_id"], row["comment"]) == ("NA", "NA")
    assert np.isnan(row["watch_ratio"])
    warned = library.problems()
    assert warned[["column", "value"]].to_numpy().tolist() == [["watch_ratio", "NA"]]


# -- ids that were damaged before ------------------------------------------------------------------

DAMAGED = {
    "scientific": ("7.20576E+17", "7.20577E+17"),
    "pandas": ("7.205759406317978e+17", "12"),
    "fifteen digits": ("720575940631797000", "720575940631798000"),
    "decimal": ("5.0", "6.0"),
}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        (name, column)
        for name in DAMAGED
        for column in ("user_id", "video_id", "session_id", "uploader")
        # Sessions and uploaders are joined with nothing: "5.0" is as good a name as "5".
        if name != "decimal" or column in ("user_id", "video_id")
    ],
)
def test_damaged_ids_are_refused_by_name(tmp_path: Path, name: str, column: str) -> None:
    first, second = DAMAGED[name]
    log = pd.DataFrame({"user_id": ["a", "b"], "video_id": ["v0", "v1"], "timestamp": "2024-05-01"})
    videos = pd.DataFrame({"video_id": ["v0", "v1"], "title": "t", "uploader": ["x", "y"]})
    table = videos if column == "uploader" else log
    table[column] = [first, second]
    (tmp_path / "videos.csv").write_text(videos.to_csv(index=False))
    (tmp_path / "interactions.csv").write_text(log.to_csv(index=False))
    said = refusal(tmp_path)
    file = "videos.csv" if column == "uploader" else "interactions.csv"
    assert f"1 problem in the library {tmp_path.name}" in said
    assert f"{file} row 2, column {column}: " in said
    assert "decimal numbers" in said


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_ids_that_are_floats_too_long_for_them_are_refused(tmp_path: Path, dtype: str) -> None:
    exact_to = {"float64": 2**53, "float32": 2**24, "float16": 2**11}[dtype]
    videos = pd.DataFrame({"video_id": [exact_to - 1, 2], "title": "t"})
    log = pd.DataFrame({"user_id": ["u", "u"], "timestamp": ["2024-05-01", "2024-05-02"]})
    log["video_id"] = np.array([exact_to - 1, 2], dtype=dtype)
    VideoLibrary(videos, log).check()
    log["video_id"] = np.array([exact_to, 2], dtype=dtype)
    with pytest.raises(LibraryError, match="kept as decimal numbers") as caught:
        VideoLibrary(videos, log).check()
    assert f"interactions row 2, column video_id: '{exact_to}' is one of 1 numbers" in str(
        caught.value
    )


def test_ids_that_only_look_odd_are_kept(tmp_path: Path) -> None:
    ids = ["1e5", "5E10", "1000000000000000", "00000000000000000000", "1.5", "v1.0", "deadbeef"]
    videos = "video_id,title\n" + "".join(f"{i},t\n" for i in ids)
    library = datasets.load(write(tmp_path, videos=videos, interactions=LOG.replace("v0", "1e5")))
    assert library.videos.index.tolist() == ids


# -- frames in memory ------------------------------------------------------------------------------


def test_an_index_without_a_name_holds_the_ids() -> None:
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["7"], "timestamp": ["2024-05-01"]})
    for index in (["7", "8"], [7, 8], [7.0, 8.0], pd.Index([7, "8"], dtype=object)):
        library = VideoLibrary(pd.DataFrame({"title": ["a", "b"]}, index=index), log)
        assert library.videos.index.tolist() == ["7", "8"]
        assert library.videos.index.name == "video_id"
        library.check()
    numbered = VideoLibrary(pd.DataFrame({"title": ["a", "b"]}), log)
    with pytest.raises(LibraryError, match="videos, column video_id: the column is missing"):
        numbered.check()


def test_half_a_character_is_reported_with_its_row() -> None:
    videos = pd.DataFrame(
        {"video_id": ["a", "b"], "title": ["x", "\ud800"], "path": ["p\udfff.mp4", None]},
        dtype=object,
    )
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["a"], "timestamp": ["2024-05-01"]})
    library = VideoLibrary(videos, log, root=Path())
    with pytest.raises(LibraryError, match="half a character") as caught:
        library.check()
    assert "videos row 3, column title: " in str(caught.value)
    assert "videos row 2, column path: " in str(caught.value)
    with pytest.raises(LibraryError, match="no video"):
        library.file("\ud800")


def test_a_path_that_is_too_long_is_reported_with_its_row(tmp_path: Path) -> None:
    for path in ("x" * 5_000, "a/" * 3_000 + "b", "x" * 300 + ".mp4"):
        videos = f"video_id,title,path\nv0,a,{path}\n"
        said = refusal(write(tmp_path, videos=videos))
        assert "videos.csv row 2, column path: " in said
        assert "cannot be looked up: File name too long" in said


def test_users_may_be_left_out_or_none() -> None:
    videos = pd.DataFrame({"video_id": ["a"]})
    log = pd.DataFrame({"user_id": ["u"], "video_id": ["a"], "timestamp": ["2024-05-01"]})
    for library in (VideoLibrary(videos, log), VideoLibrary(videos, log, None)):
        assert library.users.index.tolist() == ["u"]
        assert not library.has_users_table


# -- damaged parquet -------------------------------------------------------------------------------


@pytest.mark.parametrize("notes", [b"{}", b"[]", b"not json", b'{"index_columns": [{}]}', b"7"])
def test_damaged_notes_of_pandas_are_one_problem(tmp_path: Path, notes: bytes) -> None:
    table = pa.table({"video_id": ["v0"], "title": ["a"]})
    root = write(tmp_path, videos=table.replace_schema_metadata({"pandas": notes}))
    said = refusal(root)
    assert "1 problem in" in said
    assert "videos.parquet: not readable as parquet: " in said


def test_text_that_is_none_in_parquet_is_refused(tmp_path: Path) -> None:
    broken = pa.array([b"v0", b"\xff\xfe"], pa.binary()).view(pa.string())
    root = write(tmp_path, videos=pa.table({"video_id": ["v0", "v1"], "title": broken}))
    assert "videos.parquet: not readable as parquet: " in refusal(root)


def test_broken_extras_are_named(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "extras").mkdir()
    (root / "extras" / "labels.parquet").write_bytes(b"PAR1")
    assert "labels.parquet: not readable as parquet" in refusal(root)


def test_many_columns_are_read_in_seconds(tmp_path: Path) -> None:
    """A column costs about a millisecond, however many there are."""
    names = ",".join(f"c{n}" for n in range(3_000))
    cells = ",".join("1" for _ in range(3_000))
    videos = f"video_id,title,{names}\nv0,a,{cells}\nv1,b,{cells}\n"
    root = write(tmp_path, videos=videos)
    start = time.process_time()
    library = datasets.load(root)
    seconds = time.process_time() - start
    assert library.videos["c2999"].tolist() == [1, 1]
    assert seconds < 9, f"{seconds:.1f} s"
    too_many = "video_id" + ",c" * 60_000 + "\n"
    assert "the header has 60,001 cells" in refusal(write(tmp_path, videos=too_many))
