"""Files and folders that are written whole or not at all, and files of installed packages.

A draft lies next to its target under the name `.NAME.xxxxxxxx.part`, and its writer keeps it
locked. A draft that nobody has locked is the leftover of a killed writer; the next writer removes
it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PART = ".part"
ABANDONED_S = 86_400
"""Seconds after which a draft is a leftover on Windows, where it cannot be kept locked."""


def replace_whole(target: Path, data: bytes) -> None:
    """Write a file so that a reader, also after a kill, finds the old or the new one, never a part.

    What killed writers of the same file left behind is removed.

    Parameters
    ----------
    target : Path
        The file; its folder is created.
    data : bytes
        All of its content.

    Raises
    ------
    OSError
        If the file cannot be written, because the disk is full, for example; it names the file.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, glob.escape(target.name))
        handle, draft = _draft_file(target)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
                draft.chmod(0o644)
                if sys.platform != "win32":
                    draft.replace(target)  # still locked
            if sys.platform == "win32":  # an open file cannot be moved there
                draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def write_atomically(path: Path, text: str) -> None:
    r"""Write a text file, UTF-8 with `\n` line ends, by `replace_whole`."""
    replace_whole(path, text.encode())


@contextlib.contextmanager
def draft_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder next to a target, in which it can be prepared, and remove it at the end.

    What killed writers of the same target left behind is removed first.

    Parameters
    ----------
    target : Path
        A file or folder that need not exist; the folder around it is created.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as home:
    ...     target = Path(home, "result")
    ...     with draft_folder(target) as draft:
    ...         (draft / "content").mkdir()
    ...         _ = (draft / "content").rename(target)
    ...     print([path.name for path in Path(home).iterdir()])
    ['result']
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, glob.escape(target.name))
    lock, draft = _made_folder(target)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder; the others wait.

    On Windows, and where the file system has no locks, nobody waits.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Remove drafts of files and folders whose writers were killed; those of living ones stay.

    Parameters
    ----------
    folder : Path
        The folder of the targets.
    pattern : str
        Names of the targets, as `glob` knows them.
    """
    for draft in folder.glob(f".{pattern}.*{PART}"):
        with contextlib.suppress(OSError), _abandoned(draft) as abandoned:
            if abandoned and draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            elif abandoned:
                draft.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put a path into an `OSError` that names none, as that of a full disk does.

    Examples
    --------
    >>> with naming(Path("model.json")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
        ...
    OSError: [Errno 28] No space left on device: 'model.json'
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        error.filename = str(path)
        raise


def write_obstacle(folder: Path) -> str:
    """Say why nothing can be written into a folder, which need not exist yet.

    A small file is written where the folder is or would be made, and removed again: rights alone
    do not tell, because a disk may be full or mounted for reading only.

    Returns
    -------
    str
        Empty if a file can be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = Path(home, "file").write_text("in the way")
    ...     write_obstacle(Path(home, "new", "folder")), write_obstacle(Path(home, "file"))[:9]
    ('', 'it is not')
    """
    existing = nearest(folder)
    if not existing.is_dir():
        kind = "it" if existing == folder else str(existing)
        return f"{kind} is not a folder"
    # Not `tempfile`: on Windows it tries for hours in a folder without the right to write
    draft = existing / f".{secrets.token_hex(8)}{PART}"
    try:
        with draft.open("xb") as stream:
            stream.write(bytes(4096))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return f"{error.strerror or error} ({existing})"
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return ""


def nearest(path: Path) -> Path:
    """The path itself if it exists, else the closest folder above it that does."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def find_packaged(package: str, name: str) -> Path | None:
    """Path of a file inside an installed package, or None; the package is never imported."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    return None


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises
    ------
    OSError
        If the file cannot be read, or is a pipe, a device or a socket, which may have no end.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "this is no regular file", str(path))
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _draft_file(target: Path) -> tuple[int, Path]:
    """A new file next to a target: its descriptor, which holds the lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=PART)
        if _lock(handle) and Path(name).exists():
            return handle, Path(name)
        os.close(handle)  # swept between being made and being locked


def _made_folder(target: Path) -> tuple[int | None, Path]:
    """A new folder next to a target: the descriptor that holds its lock, and its path."""
    while True:
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=PART))
        if sys.platform == "win32":
            return None, draft
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(draft, os.O_RDONLY)
            if _lock(handle) and draft.exists():
                return handle, draft
            os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open draft for its writer; false if it is being swept at this moment."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody can sweep there
    return True


@contextlib.contextmanager
def _abandoned(draft: Path) -> Iterator[bool]:
    """Tell whether nobody is writing a draft, and keep it so while the block runs.

    Raises
    ------
    OSError
        If that cannot be decided.
    """
    if sys.platform == "win32":
        yield time.time() - draft.stat().st_mtime > ABANDONED_S
        return
    # Neither follow a link nor wait for the other end of a pipe.
    handle = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    finally:
        os.close(handle)
