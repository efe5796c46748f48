"""Errors of media files: what is wrong, in a sentence with a remedy."""

from __future__ import annotations

from os import PathLike
from pathlib import Path


class MediaError(ValueError):
    """A media file cannot be used; the message says what is wrong and what to do.

    Parameters
    ----------
    path
        The file.
    reason
        The kind of error in one word, for programs (see the subclasses).
    explanation
        The message for people: a sentence that ends with the remedy.

    Attributes
    ----------
    path : pathlib.Path
    reason : str
    """

    def __init__(self, path: str | PathLike[str], reason: str, explanation: str) -> None:
        self.path = Path(path)
        self.reason = reason
        self.explanation = explanation
        super().__init__(f"{self.path}: {explanation}")

    def __reduce__(self) -> tuple:
        """Pickle with all arguments, so that `DataLoader` workers can raise the error."""
        return type(self), (self.path, self.reason, self.explanation)


class VideoError(MediaError):
    """A video cannot be read.

    `reason` is one of `"missing"`, `"directory"`, `"unreadable"` (no permission), `"empty"`
    (0 bytes), `"not_a_video"`, `"no_video_stream"`, `"no_frames"`, `"truncated"`,
    `"unsupported"` (no decoder), `"out_of_range"` (the requested time lies outside the clip)
    and `"too_large"` (the requested pixels would not fit into memory).
    """


class ImageError(MediaError):
    """An image cannot be read.

    `reason` is one of `"missing"`, `"directory"`, `"unreadable"`, `"empty"`, `"not_an_image"`,
    `"truncated"` and `"too_large"`.
    """


def existing_file(path: str | PathLike[str], error: type[MediaError]) -> Path:
    """Return the absolute path of a readable, non-empty file.

    Raises
    ------
    MediaError
        An `error`, if the file is missing, a directory, unreadable or empty.
    """
    path = Path(path)
    if path.is_dir():
        raise error(path, "directory", "this is a folder. Give the path of one file in it.")
    if not path.exists():
        raise error(path, "missing", "there is no such file. Check the path and its spelling.")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as problem:
        raise error(
            path, "unreadable", f"it cannot be opened ({problem.strerror}). Check its permissions."
        ) from problem
    if not first:
        raise error(path, "empty", "the file has 0 bytes. Copy or download it again.")
    return path.absolute()
