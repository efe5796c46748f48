"""Unpacking archives from outside: nothing leaves the folder, nothing fills the disk."""

from __future__ import annotations

import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from vidrec_utils.datasets._problems import LibraryError

CHUNK = 1 << 20
MOST_MEMBERS = 10_000
"""Files and folders that an archive may have."""


def unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpack a zip or tar archive into a folder, or refuse it.

    Only ordinary files and folders are written. A name that leaves the folder, a link, a device, an
    encrypted member or one that occurs twice makes the archive unusable as a whole.

    Parameters
    ----------
    archive : pathlib.Path
        A `.zip`, or a tar archive, packed or not.
    folder : pathlib.Path
        Where to unpack; what was written before an error stays there, so give a draft.
    limit : int
        Bytes that all members may have together. They are counted while they are written, whatever
        the archive says of itself.

    Raises
    ------
    LibraryError
        If the archive is damaged or refused.
    """
    members = _zip_members if archive.suffix.lower() == ".zip" else _tar_members
    written = count = 0
    try:
        for name, stream in members(archive):
            count += 1
            if count > MOST_MEMBERS:
                raise _refused(archive, f"it has more than {MOST_MEMBERS:,} members")
            target = folder / _checked(archive, name)
            if stream is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with stream, target.open("xb") as file:
                while chunk := stream.read(CHUNK):
                    written += len(chunk)
                    if written > limit:
                        raise _refused(archive, f"it holds more than {limit / 1e9:g} GB")
                    file.write(chunk)
    except FileExistsError as error:
        raise _refused(archive, f"two of its members are {Path(error.filename).name}") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as e:
        raise _damaged(archive, e) from e
    except OSError as error:
        if error.errno is not None:  # the disk's error, not the archive's
            raise
        raise _damaged(archive, error) from error


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            if member.flag_bits & 1:
                raise _refused(archive, f"its member {member.filename!r} is encrypted")
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"its member {member.filename!r} is no ordinary file")
            yield member.filename, None if member.is_dir() else source.open(member)


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(archive) as source:
        for member in source:
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, f"its member {member.name!r} is no ordinary file")
            yield member.name, None if member.isdir() else source.extractfile(member)


def _checked(archive: Path, name: str) -> PurePosixPath:
    """Return the relative path of a member; refuse one that is none on any system."""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or not path.parts or re.search(r'[\\:\0*?"<>|]', name):
        raise _refused(archive, f"the name of its member {name[:80]!r} is no path inside a folder")
    return path


def _refused(archive: Path, reason: str) -> LibraryError:
    return LibraryError(
        f"{archive.name} is not unpacked: {reason}. It is not what the authors publish; do not use "
        "it."
    )


def _damaged(archive: Path, error: Exception) -> LibraryError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return LibraryError(f"{archive.name} is damaged: {first}. Remove it and get it again.")
