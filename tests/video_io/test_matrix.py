"""A seeded sample of the matrix of containers, codecs and oddities; `tests.long` runs it whole."""

from pathlib import Path

import pandas as pd
import pytest

from tests.helpers import media_matrix
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing import pipeline

CASES = media_matrix.sample(count=90, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


def test_the_matrix_is_a_dozen_containers_fifteen_codecs_and_all_their_pairs() -> None:
    assert len(media_matrix.CONTAINERS) >= 12
    assert len(media_matrix.CODECS) >= 15
    pairs = {(case.container, case.codec) for case in media_matrix.cases()}
    listed = {(c, codec) for c, codecs in media_matrix.PAIRS.items() for codec in codecs.split()}
    assert pairs == listed
    assert {container for container, _ in pairs} == set(media_matrix.CONTAINERS)
    assert {codec for _, codec in pairs} == set(media_matrix.CODECS)


def test_the_sample_holds_each_container_codec_and_oddity() -> None:
    for part in ("container", "codec", "variant"):
        assert {getattr(c, part) for c in CASES} == {getattr(c, part) for c in media_matrix.cases()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_read_is_what_was_written(folder: Path, case: media_matrix.Case) -> None:
    path, truth = media_matrix.make(case, folder)
    assert media_matrix.verify(case, path, truth) == []


def test_cleaning_removes_what_is_cut_and_nothing_else(tmp_path: Path) -> None:
    made = {case.name: media_matrix.make(case, tmp_path)[1] for case in CASES}
    assert media_matrix.wrongly_cleaned(tmp_path, made) == []


def test_cleaning_keeps_what_the_library_says_of_the_log(tmp_path: Path) -> None:
    """A doubtful file keeps its exposures, and the report says which rule fired."""
    case = media_matrix.Case("ts", "h264", "joined")
    cut = media_matrix.Case("avi", "mjpeg", "cut")
    for one in (case, cut):
        media_matrix.make(one, tmp_path)
    names = [case.name, cut.name]
    videos = pd.DataFrame({"video_id": names, "path": names})
    log = pd.DataFrame({"user_id": "u", "video_id": names, "timestamp": ["2025-01-01"] * 2})
    library = VideoLibrary(videos, log, root=tmp_path)
    cleaned, report = pipeline.clean(library, cache=False, progress=False)
    assert list(cleaned.videos.index) == [case.name]
    assert list(cleaned.interactions["video_id"]) == [case.name]
    rows = report.frame[report.frame["column"] == "path"].set_index("id")
    assert rows.loc[case.name, "problem"] == "doubtful file: its clock starts again"
    assert rows.loc[case.name, "action"] == "kept, noted"
    assert rows.loc[cut.name, "problem"] == "broken file: truncated"
    assert rows.loc[cut.name, "action"] == "removed"
    assert "its chunk 'RIFF' ends beyond the file" in rows.loc[cut.name, "rule"]
