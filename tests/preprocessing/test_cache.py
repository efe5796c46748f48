"""The cleaned library that is kept: whole after a kill, computed again when it was changed."""

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.damage import damaged_bytes
from vidrec_utils import settings
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing import clean, pipeline

PRELUDE = """
import os, resource, signal, sys
from pathlib import Path
import pandas as pd
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing import clean, pipeline

def library():
    times = ["2025-03-01", "2025-03-02", "1970-01-01"]
    log = pd.DataFrame({"user_id": "anna", "video_id": ["v1", "v2", "v1"], "timestamp": times})
    videos = pd.DataFrame({"video_id": ["v1", "v2"], "title": ["Cats!!!!", "Dogs"]})
    return VideoLibrary(videos, log)
"""
KILLED = f"""{PRELUDE}
steps = 0

def step(call):
    def wrapped(*arguments, **options):
        global steps
        steps += 1
        if steps == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped

pd.DataFrame.to_parquet = step(pd.DataFrame.to_parquet)
Path.write_text, Path.replace = step(Path.write_text), step(Path.replace)
pipeline.shutil.rmtree = step(pipeline.shutil.rmtree)
for moment in range(1, 9):  # imports are paid for once
    child = os.fork()
    if not child:
        os.environ["VIDREC_DATA"] = str(Path(sys.argv[1], str(moment)))
        clean(library(), progress=False)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
FULL = f"""{PRELUDE}
import warnings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cleaned, _ = clean(library(), progress=False)
print(len(cleaned.interactions), [str(each.message) for each in caught])
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path))


def library() -> VideoLibrary:
    namespace: dict = {}
    exec(PRELUDE.replace("resource, ", ""), namespace)
    return namespace["library"]()


def cached() -> list[Path]:
    folder = settings.cache_dir() / "cleaning"
    return sorted(folder.iterdir()) if folder.exists() else []


def run(script: str, *arguments: object, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "VIDREC_DATA": str(data), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@cache
def cleaned_without_a_cache() -> tuple:
    return clean(library(), cache=False, progress=False)


def assert_clean_as_ever() -> None:
    expected, first = cleaned_without_a_cache()
    for _ in range(2):  # computed and kept, then read
        cleaned, report = clean(library(), progress=False)
        pd.testing.assert_frame_equal(cleaned.interactions, expected.interactions)
        pd.testing.assert_frame_equal(cleaned.videos, expected.videos)
        pd.testing.assert_frame_equal(report.frame, first.frame)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_killed_at_each_step_of_keeping_it_the_result_is_whole_or_absent(tmp_path: Path) -> None:
    # three tables and their description written, room made, the whole moved, its draft removed
    ended = run(KILLED, tmp_path, data=tmp_path)
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * 7 + ["0"], ended.stderr
    for moment in range(1, 9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VIDREC_DATA", str(tmp_path / str(moment)))
            whole = [path for path in cached() if not path.name.endswith(".part")]
            assert len(whole) == (moment > 6), moment
            if whole:
                # what a reader finds is whole; the draft's rest goes with the next writer
                assert pipeline._content(whole[0]) is not None
            assert_clean_as_ever()
            if moment <= 6:
                assert [path.name.startswith(".") for path in cached()] == [False], moment


def test_changed_files_are_computed_again_and_replaced() -> None:
    assert_clean_as_ever()
    (folder,) = cached()
    rng = np.random.default_rng(0)
    files = {file: file.read_bytes() for file in sorted(folder.iterdir())}
    for file, data in files.items():
        for _ in range(5):
            changed = damaged_bytes(data, rng)
            file.write_bytes(changed)
            assert (pipeline._content(folder) is not None) == (changed == data), file.name
        assert_clean_as_ever()
        assert pipeline._content(folder) is not None
        assert cached() == [folder]
    # one bit of the values, which parquet itself does not notice
    file = folder / "interactions.parquet"
    data = bytearray(file.read_bytes())
    for bit in range(32, 8 * len(data), 97):
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        assert pipeline._content(folder) is None
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE exists on POSIX systems only")
def test_where_there_is_no_room_the_result_comes_with_a_warning_that_names_the_folder(
    tmp_path: Path,
) -> None:
    ended = run(FULL, data=tmp_path / "full")
    assert ended.stdout.startswith("2 ["), ended.stderr
    assert str(tmp_path / "full") in ended.stdout
    assert "File too large" in ended.stdout
    assert "set VIDREC_DATA" in ended.stdout
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()]
