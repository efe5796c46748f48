"""The whole matrix of containers, codecs and oddities: `python -m tests.long.media_matrix`.

`make test` reads a sample of it, see `tests/video_io/test_matrix.py`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers import media_matrix


@dataclass
class Report:
    """What a run did.

    Attributes
    ----------
    cases : int
        Files that were written and read.
    failures : list of str
        A sentence for each difference from what was written.
    """

    cases: int
    failures: list[str] = field(default_factory=list)


def run(count: int, seed: int, folder: Path) -> Report:
    """Write and read files of the matrix, and clean a library of them.

    Parameters
    ----------
    count
        How many of its files; all of them if there are fewer.
    seed
        The seed by which they are drawn.
    folder
        Where they are written.
    """
    report = Report(0)
    made = {}
    for case in media_matrix.sample(count, seed):
        path, truth = media_matrix.make(case, folder)
        made[case.name] = truth
        report.cases += 1
        report.failures += [f"{case.name}: {d}" for d in media_matrix.verify(case, path, truth)]
    report.failures += media_matrix.wrongly_cleaned(folder, made)
    return report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        whole = run(len(media_matrix.cases()), 0, Path(temporary))
    print(f"{whole.cases} files of {len(media_matrix.CONTAINERS)} containers.")
    print("\n".join(whole.failures) or "All were read as they were written.")
    sys.exit(bool(whole.failures))
