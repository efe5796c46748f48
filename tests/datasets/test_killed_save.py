"""A save of a library that is killed between its renames, or finds no room, loses nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from vidrec_utils import datasets
from vidrec_utils.datasets import VideoLibrary

PRELUDE = """
import os, resource, shutil, signal, sys
from pathlib import Path
import pandas as pd
from vidrec_utils.datasets import VideoLibrary

def library(n):
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(n)], "title": "a title"})
    log = pd.DataFrame({"user_id": "u", "video_id": videos["video_id"], "timestamp": "2025-03-01"})
    return VideoLibrary(videos, log)
"""
KILLED = f"""{PRELUDE}
def step(call):
    def wrapped(*arguments, **options):
        global steps
        steps += 1
        if steps == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped

Path.rename, shutil.rmtree = step(Path.rename), step(shutil.rmtree)
for moment in range(1, 5):
    steps = 0
    child = os.fork()
    if not child:
        library(5).save(Path(sys.argv[1], str(moment)))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
FULL = f"""{PRELUDE}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    library(500).save(Path(sys.argv[1]), format=sys.argv[2])
except OSError as error:
    print(error)
"""


def library(n: int) -> VideoLibrary:
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(n)], "title": "a title"})
    log = pd.DataFrame({"user_id": "u", "video_id": videos["video_id"], "timestamp": "2025-03-01"})
    return VideoLibrary(videos, log)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_killed_before_and_between_its_renames_a_save_leaves_the_old_or_the_new(
    tmp_path: Path,
) -> None:
    for moment in range(1, 5):
        library(3).save(tmp_path / str(moment))
        (tmp_path / str(moment) / "own notes.txt").write_text("mine")
    ended = run(KILLED, str(tmp_path))
    # the old one moved aside, the new one moved in, the old one removed, the end
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * 3 + ["0"], ended.stderr
    lengths = []
    for moment in range(1, 5):
        target = tmp_path / str(moment)
        lengths.append(len(datasets.load(target).videos))
        assert (target / "own notes.txt").read_text() == "mine"
        library(7).save(target)
        assert len(datasets.load(target).videos) == 7
        assert (target / "own notes.txt").read_text() == "mine"
    assert lengths == [3, 3, 5, 5]
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert kept == ["1", "2", "3", "4"]


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE exists on POSIX systems only")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_where_there_is_no_room_the_folder_is_named_and_the_old_library_stays(
    form: str, tmp_path: Path
) -> None:
    library(3).save(tmp_path / "mine")
    ended = run(FULL, str(tmp_path / "mine"), form)
    assert "File too large" in ended.stdout, ended.stderr
    assert str(tmp_path / "mine") in ended.stdout
    assert len(datasets.load(tmp_path / "mine").videos) == 3
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert kept == ["mine"]
