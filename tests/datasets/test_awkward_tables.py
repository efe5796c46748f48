"""Made-up tables of all kinds: each is read whole, to the last character, or refused by name."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers import awkward_tables
from tests.helpers.awkward_tables import MISSING
from vidrec_utils import datasets
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.events import as_ids

QUICK = settings(max_examples=15, deadline=None, derandomize=True, database=None)
LOG = pd.DataFrame({"user_id": ["u"], "video_id": ["v"], "timestamp": ["2024-05-01"]})
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def test_awkward_tables_are_read_whole_or_refused(tmp_path: Path) -> None:
    outcomes = awkward_tables.run(150, seed=0, folder=tmp_path)
    assert outcomes["read"] + outcomes["refused"] == 150
    assert min(outcomes["read"], outcomes["refused"]) > 30
    assert outcomes["read, none"] >= 5


FAILED_ONCE = [
    awkward_tables.Case("videos.csv", data, "corpus")
    for data in (
        b'video_id,title\nv0,a\nv1,"b\nv2,c\n',
        b'video_id,title\nv0,"a\nv1,b\nv2,c"\nv3,d\n',
        b"video_id,ti\rtle\nv0,a\n",
        b"video_id,title,code0\nv0,a,72057594063179775399\nv1,b,1\n",
        b"video_id,title,code0\nv0,a,1.10\nv1,b,1.1\n",
        b"video_id,title\r\rv0,a\r",
        b"sep=,\n\nvideo_id,title\nv0,a\n",
        b"video_id,title,\x00code\nv0,a,b\nv1,c,d\n",
        b"video_id,title\n\x00v0,a\nv1,\x00\nv2,\x00\x00c\n",
    )
]


@pytest.mark.parametrize("case", FAILED_ONCE, ids=lambda case: str(case.data[:40]))
def test_tables_that_once_lost_something(tmp_path: Path, case: awkward_tables.Case) -> None:
    assert awkward_tables.check(case, tmp_path / "case") in ("read", "refused")


@QUICK
@given(st.lists(TEXT, min_size=1, max_size=6, unique=True))
@example(["NULL", "nan", "NA", "007", "1.0", "1e3"])
def test_ids_and_texts_of_frames_survive_memory_csv_and_parquet(texts: list[str]) -> None:
    expected = [None if text.strip() in MISSING else text for text in texts]
    ids = [f"v{n}" for n in range(len(texts))]
    videos = pd.DataFrame({"video_id": ids, "title": texts, "tags": texts, "code": texts})
    library = VideoLibrary(videos, LOG.assign(video_id="v0", comment=texts[0]))
    with TemporaryDirectory() as folder:
        kept = [
            library,
            *(
                datasets.load_folder(library.save(Path(folder, form), format=form))
                for form in ("csv", "parquet")
            ),
        ]
    for one in kept:
        for column in ("title", "tags", "code"):
            values = one.videos[column].tolist()
            assert [None if pd.isna(v) else v for v in values] == expected
        comment = one.interactions["comment"].iloc[0]
        assert (None if pd.isna(comment) else comment) == expected[0]


NUMBERS = st.integers(-(2**63), 2**63 - 1)


@QUICK
@given(st.lists(st.one_of(NUMBERS, st.none()), min_size=1, max_size=6))
def test_whole_numbers_with_gaps_keep_their_digits(numbers: list[int | None]) -> None:
    column = pd.Series(pd.array(numbers, dtype="Int64"))
    videos = pd.DataFrame({"video_id": [f"v{n}" for n in range(len(numbers))], "title": column})
    videos = videos.assign(uploader=column, code=column)
    library = VideoLibrary(videos, LOG.assign(video_id="v0"))
    with TemporaryDirectory() as folder:
        for form in ("csv", "parquet"):
            again = datasets.load_folder(library.save(Path(folder, form), format=form), check=False)
            for frame in (library.videos, again.videos):
                for name in ("title", "uploader", "code"):
                    texts = [None if pd.isna(v) else str(v) for v in frame[name]]
                    assert texts == [None if n is None else str(n) for n in numbers], name


MIXED = st.lists(
    st.one_of(
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.integers(-1000, 1000).map(float),
        st.integers(-1000, 1000).map(np.float64),
        TEXT.filter(lambda text: text.strip() not in MISSING),
    ),
    min_size=1,
    max_size=6,
)


@QUICK
@given(MIXED)
@example([7, "7", 7.0])
def test_models_and_tables_agree_on_ids(values: list[object]) -> None:
    frame = pd.DataFrame({"video_id": pd.Series(values, dtype=object)})
    library = VideoLibrary(frame, LOG)
    assert as_ids(pd.Series(values, dtype=object)).tolist() == library.videos.index.tolist()


@QUICK
@given(st.lists(st.datetimes(pd.Timestamp("1996-01-01"), pd.Timestamp("2090-01-01")), min_size=1))
def test_times_are_the_same_in_every_unit_and_form(moments: list) -> None:
    stamps = pd.Series(pd.DatetimeIndex(moments, tz="UTC").as_unit("us"))
    micros = stamps.astype("int64")
    log = pd.DataFrame({"user_id": "u", "video_id": "v"}, index=range(len(moments)))
    forms = {
        "microseconds": micros,
        "texts": stamps.astype("str"),
        "digits": micros.astype("str"),
        "nullable": micros.astype("Int64"),
    }
    for name, values in forms.items():
        library = VideoLibrary(pd.DataFrame({"video_id": ["v"]}), log.assign(timestamp=values))
        assert library.interactions["timestamp"].tolist() == stamps.tolist(), name
