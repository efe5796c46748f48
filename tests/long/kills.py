"""Kills again and again: the tests that kill what writes, often at times that chance decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tqdm.auto import tqdm

from tests.long.report import Report

REPO = Path(__file__).parents[2]
FILES = (
    "tests/course/test_killed_course.py",
    "tests/test_files.py",
    "tests/test_saving.py",
    "tests/datasets/test_killed_save.py",
    "tests/embeddings/test_embeddings.py",
    "tests/minitube/test_minitube.py",
    "tests/notebooks/test_kernels.py",
    "tests/preprocessing/test_cache.py",
    "tests/transfer_learning/test_training.py",
    "tests/video_io/test_killed_writer.py",
)
"""Files with tests whose names say that something is killed."""
LIMIT_S = 1_800


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """Run the tests that kill.

    Parameters
    ----------
    count
        How many files of tests, in turns.
    seed
        Not used: where a kill falls is up to the system.
    folder
        Where the tests write.
    progress
        Whether a bar shows how far the run is.
    """
    report = Report()
    for number in tqdm(range(count), "kills", disable=not progress, mininterval=1):
        file = FILES[number % len(FILES)]
        temporary = folder / "kills"
        options = ["-q", "-k", "kill", "--basetemp", str(temporary), file]
        command = [sys.executable, "-m", "pytest", *options]
        report.cases += 1
        try:
            ended = subprocess.run(
                command, cwd=REPO, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except KeyboardInterrupt:
            report.cases -= 1
            report.interrupted = True
            break
        except subprocess.TimeoutExpired:
            report.failures.append(f"kills, case {number}: {file} takes over {LIMIT_S} s")
            continue
        if ended.returncode:
            report.failures.append(f"kills, case {number}: {file}\n{ended.stdout[-3000:]}")
        else:
            report.outcomes["whole"] += 1
    return report
