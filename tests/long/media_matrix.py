"""The whole matrix of containers, codecs and oddities: `python -m tests.long media_matrix`.

`make test` reads a sample of it, see `tests/video_io/test_matrix.py`.
"""

from __future__ import annotations

from pathlib import Path

from tqdm.auto import tqdm

from tests.helpers import media_matrix
from tests.long.report import Report


def run(count: int, seed: int, folder: Path, progress: bool = False) -> Report:
    """Write and read files of the matrix, and clean a library of them.

    Parameters
    ----------
    count
        How many of its files; all of them if there are fewer.
    seed
        The seed by which they are drawn.
    folder
        Where they are written.
    progress
        Whether a bar shows how far the run is.
    """
    folder = folder / "matrix"
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    made = {}
    sample = media_matrix.sample(count, seed)
    for case in tqdm(sample, "matrix", disable=not progress, mininterval=1):
        try:
            path, truth = media_matrix.make(case, folder)
            differences = media_matrix.verify(case, path, truth)
        except KeyboardInterrupt:
            report.interrupted = True
            return report
        made[case.name] = truth
        report.cases += 1
        report.failures += [f"{case.name}: {d}" for d in differences]
    report.failures += media_matrix.wrongly_cleaned(folder, made)
    return report
