"""Fine-tuning on a folder of video files, in one call."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils import settings, video_io
from vidrec_utils.encoders import ClipEncoder, Tunable
from vidrec_utils.files import replace_whole, sha256
from vidrec_utils.transfer_learning.fine_tuning import FineTuned, fine_tune
from vidrec_utils.video_io.errors import existing_file

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts")
IN_MEMORY = 4 * 1024**3
"""Bytes of decoded frames that are kept; if there are more, files are decoded on demand."""

READING = 1
"""Raised when `video_io.sample_frames` gives other pixels than before: frames are kept by it."""


class TunableClipEncoder(Tunable, ClipEncoder, Protocol):
    """An encoder of clips that can be fine-tuned."""


class ClipFiles(Sequence):
    """Clips that are read from their files on demand.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    frames, size : int
        As for `video_io.sample_frames`.
    """

    def __init__(self, paths: Sequence[Path], frames: int, size: int | None):
        self.paths, self.frames, self.size = list(paths), frames, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return video_io.sample_frames(self.paths[index], n=self.frames, size=self.size)


def frames_of(path: Path, frames: int, size: int | None, keep: bool = True) -> np.ndarray:
    """Read frames of a file as `video_io.sample_frames` does, once for each content of the file.

    They are kept in `cache/frames/` of the data folder, by a hash of the file's bytes, the number
    and size of the frames and the version of the decoder, and can be deleted at any time. Frames
    whose checksum is wrong are read again from the video.

    Parameters
    ----------
    path : Path
        The video.
    frames, size : int
        As for `video_io.sample_frames`.
    keep : bool
        False: read the file, whatever is kept.

    Returns
    -------
    ndarray of uint8, shape (frames, height, width, 3)

    Raises
    ------
    VideoError
        If the file cannot be read.
    """
    if not keep:
        return video_io.sample_frames(path, n=frames, size=size)
    key = [sha256(existing_file(path, video_io.VideoError)), frames, size, av.__version__, READING]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    kept = settings.cache_dir() / "frames" / f"{name}.npz"
    clip = _kept(kept, frames)
    if clip is None:
        clip = video_io.sample_frames(path, n=frames, size=size)
        buffer = io.BytesIO()
        np.savez(buffer, frames=clip)  # a zip archive, with a checksum
        try:
            replace_whole(kept, buffer.getvalue())
        except OSError as error:
            warnings.warn(
                f"Frames cannot be kept in {kept.parent} ({error.strerror}), so the next run reads "
                "all files again.",
                UserWarning,
                stacklevel=2,
            )
    return clip


def _kept(path: Path, frames: int) -> np.ndarray | None:
    """Frames that were kept, if they are there and whole."""
    try:
        with np.load(path) as archive:
            clip = archive["frames"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = clip.dtype == np.uint8 and clip.ndim == 4 and clip.shape[::3] == (frames, 3)
    return clip if whole else None


def labelled_files(folder: Path | str) -> pd.DataFrame:
    """List the videos of a folder that has a folder for each class.

    Returns
    -------
    DataFrame
        `path` (relative to the folder, posix), `label` (name of the folder just below).

    Raises
    ------
    ValueError
        If there is no such folder, or no video in a folder of a class.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    inner = [path.relative_to(folder) for path in files]
    rows = [(path.as_posix(), path.parts[0]) for path in inner if len(path.parts) > 1]
    if not rows:
        raise ValueError(
            f"{folder} has no folder of a class with videos in it ({', '.join(SUFFIXES)}). Make "
            "one folder a class, or give labels: a frame with the columns path and label."
        )
    return pd.DataFrame(rows, columns=["path", "label"])


def fine_tune_folder(
    folder: Path | str,
    encoder: TunableClipEncoder,
    strategy: str = "probe",
    labels: pd.DataFrame | None = None,
    validation: float | None = 0.25,
    progress: bool = True,
    keep_frames: bool = True,
    **options: Any,
) -> FineTuned:
    """Fine-tune a video encoder on files.

    A file that cannot be read costs a row in `failures`, not the run. Reading takes nearly all of
    the time, so the frames of each file are kept (see `frames_of`), and the next call on the same
    files, with any encoder that takes frames alike, reads them from there.

    Parameters
    ----------
    folder : path
        A folder with a folder for each class, or with any layout if `labels` is given.
    encoder : TunableClipEncoder
        A video encoder.
    strategy : str
        As for `fine_tune`.
    labels : DataFrame, optional
        `path` (relative to the folder, or absolute), `label`, and optionally `group`: clips of one
        group, such as a person or a recording, are never in training and validation at once.
    validation : float, optional
        Share of the clips that is held out for early stopping.
    progress : bool
        Show bars.
    keep_frames : bool
        Whether to read and to write the frames that are kept.
    **options
        Other arguments of `fine_tune`.

    Returns
    -------
    FineTuned
        With `failures`.

    Raises
    ------
    ValueError
        If there is nothing to read or to learn; see `labelled_files` and `fine_tune`.
    """
    folder = Path(folder)
    table = labelled_files(folder) if labels is None else labels.reset_index(drop=True)
    lacking = {"path", "label"} - set(table.columns)
    if lacking:
        raise ValueError(f"The labels lack the column {', '.join(sorted(lacking))}.")
    contract = encoder.frame_contract
    bar = tqdm(table["path"], desc="reading clips", unit="file", delay=2, disable=not progress)
    clips, good, failures, total = [], [], [], 0
    for row, path in enumerate(bar):
        file = folder / path  # an absolute path stays what it is
        kept = keep_frames and total <= IN_MEMORY
        try:
            clip = frames_of(file, contract.frames, contract.read_size, kept)
        except video_io.VideoError as error:
            failures.append({"path": str(path), "reason": error.reason})
            continue
        good.append(row)
        total += clip.nbytes
        if total <= IN_MEMORY:
            clips.append(clip)
    failed = pd.DataFrame(failures, columns=["path", "reason"], dtype="str")
    if not good:
        raise ValueError(f"None of {len(table)} files can be read; the first: {failures[0]}.")
    table = table.iloc[good]
    if len(clips) < len(good):
        files = [folder / path for path in table["path"]]
        clips = ClipFiles(files, contract.frames, contract.read_size)
    model = fine_tune(
        encoder, clips, table["label"].tolist(), strategy,
        validation=validation, groups=table["group"].to_numpy() if "group" in table else None,
        ids=table["path"].tolist(), progress=progress, **options,
    )  # fmt: skip
    return replace(model, failures=failed)
