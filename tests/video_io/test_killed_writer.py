"""What killed writers of clips leave behind, and what happens to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidrec_utils import video_io

FRAMES = np.zeros((3, 32, 32, 3), np.uint8)
WRITER = """
import sys, time
import numpy as np
from vidrec_utils import video_io

def frames():
    for _ in range(50):
        yield np.zeros((32, 32, 3), np.uint8)
    print("halted", flush=True)
    time.sleep(60)

video_io.write_clip(sys.argv[1], frames(), 10)
"""


@pytest.mark.skipif(os.name == "nt", reason="drafts are locked on POSIX systems only")
def test_the_draft_of_a_killed_writer_is_swept_and_that_of_a_living_one_stays(
    tmp_path: Path,
) -> None:
    target = tmp_path / "a [1].mp4"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halted\n"
        (draft,) = tmp_path.iterdir()
        video_io.write_clip(target, FRAMES, 10)
        assert sorted(tmp_path.iterdir()) == sorted([draft, target])
        process.kill()
        process.wait()
    video_io.write_clip(tmp_path / "a 1.mp4", FRAMES, 10)  # another clip
    assert draft.exists()
    video_io.write_clip(target, FRAMES, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a 1.mp4", "a [1].mp4"]
    assert video_io.probe(target).n_frames == 3


def test_a_writer_that_fails_leaves_the_old_clip_and_nothing_else(tmp_path: Path) -> None:
    target = video_io.write_clip(tmp_path / "a.mp4", FRAMES, 10)
    old = target.read_bytes()
    with pytest.raises(ValueError, match="frame 1 has shape"):
        video_io.write_clip(target, [FRAMES[0], FRAMES[0][:16]], 10)
    assert target.read_bytes() == old
    assert list(tmp_path.iterdir()) == [target]
