"""Errors of media files: what is wrong, in a sentence with a remedy."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
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

    `reason` is one of `"missing"`, `"directory"`, `"special"` (a pipe or a device),
    `"unreadable"` (no permission), `"empty"` (0 bytes), `"not_a_video"`, `"no_video_stream"`,
    `"no_frames"`, `"truncated"` (bytes are missing, as the container's own lengths show),
    `"unsupported"` (no decoder), `"out_of_range"` (the requested time lies outside the clip),
    `"too_large"` and `"too_slow"` (it would cost more than the `Budget`), and `"failed"` (the
    demuxer, decoder or scaler gave up with an error of its own, which is the cause).
    """


class SoundError(MediaError):
    """The sound of a video, or a file of sound alone, cannot be read.

    `reason` is one of those of `VideoError`, with `"not_media"` for content of no known format,
    `"no_sound"` (the file has no sound track) and `"no_samples"` (it has one that holds nothing,
    or nothing that can be decoded).
    """


class ImageError(MediaError):
    """An image cannot be read.

    `reason` is one of `"missing"`, `"directory"`, `"special"`, `"unreadable"`, `"empty"`,
    `"not_an_image"`, `"truncated"`, `"too_large"` and `"failed"`; see `VideoError`.
    """


def existing_file(path: str | PathLike[str], error: type[MediaError]) -> Path:
    """Return the absolute path of a readable, non-empty, regular file.

    Raises
    ------
    MediaError
        An `error`, if the file is missing, a directory, a pipe or device, unreadable or empty.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise error(
            path, "missing", "there is no such file. Check the path and its spelling."
        ) from None
    except (OSError, ValueError) as problem:  # too long a name, a NUL, no permission
        words = getattr(problem, "strerror", None) or problem
        raise error(
            path, "unreadable", f"it cannot be opened ({words}). Check its name and permissions."
        ) from problem
    if stat.S_ISDIR(mode):
        raise error(path, "directory", "this is a folder. Give the path of one file in it.")
    if not stat.S_ISREG(mode):
        raise error(
            path,
            "special",
            "this is a pipe, a device or a socket, which may have no end. Give a regular file.",
        )
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


@contextmanager
def guarded(path: str | PathLike[str], error: type[MediaError]) -> Iterator[None]:
    """Turn whatever a library raises while one medium is read into an error of that medium.

    Demuxers, decoders and scalers of damaged files raise errors of many types. Each of them costs
    the medium, and must not cost the run.

    Raises
    ------
    MediaError
        An `error` with the reason `"failed"`, or `"too_large"` where memory did not suffice.
    """
    try:
        yield
    except MediaError:
        raise
    except MemoryError as problem:
        raise error(
            path,
            "too_large",
            "there is not enough memory to read it. Ask for fewer frames or a smaller size.",
        ) from problem
    except Exception as problem:
        raise error(
            path,
            "failed",
            f"reading it ended with an error ({type(problem).__name__}: {problem}). Open it in a "
            "player; if that fails too, replace it, else re-encode it.",
        ) from problem
