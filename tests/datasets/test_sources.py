"""Fetching public data sets from a server of our own: behaved, badly behaved, hostile, absent."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.datasets.test_datasets import write_kuairand, write_movielens
from tests.datasets.test_microlens import write_50k
from tests.helpers.model_server import ModelServer
from vidrec_utils import datasets, settings
from vidrec_utils.datasets import LibraryError, _archives, _sources
from vidrec_utils.datasets._archives import unpack
from vidrec_utils.datasets._sources import SOURCES

ML = "files.grouplens.org/datasets/movielens/ml-25m.zip"
SMALL = "files.grouplens.org/datasets/movielens/ml-latest-small.zip"
KUAIRAND = "zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz"


def zipped(folder: Path, top: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(top)
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{top}/{file.relative_to(folder).as_posix()}")
    return buffer.getvalue()


def tarred(folder: Path, top: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, top)
    return buffer.getvalue()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def ml(tmp_path: Path) -> bytes:
    return zipped(write_movielens(tmp_path / "made"), "ml-25m")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Start a server with these files, whose hashes become the published ones."""
    started = []

    def start(files: dict[str, bytes], behaviour: dict[str, str] | None = None) -> ModelServer:
        server = ModelServer(files, behaviour).__enter__()
        started.append(server)
        server.use(monkeypatch, tmp_path)
        for name, source in SOURCES.items():
            data = files.get((source.url or "").removeprefix("https://"))
            if data is not None and source.md5:
                monkeypatch.setitem(SOURCES, name, replace(source, md5=md5(data)))
        return server

    yield start
    for server in started:
        server.__exit__()


def quick(name: str) -> Path:
    return datasets.fetch(name, timeout_s=1, progress=False)


def refusal(name: str) -> str:
    with pytest.raises(LibraryError) as caught:
        quick(name)
    return str(caught.value)


def left_over(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "public").iterdir())


# -- a server that behaves -------------------------------------------------------------------------


def test_a_zip_is_fetched_once_and_loaded(serve, tmp_path: Path, ml: bytes) -> None:
    server = serve({ML: ml})
    folder = quick("ml-25m")
    assert folder == tmp_path / "data" / "public" / "ml-25m" / "ml-25m"
    assert len(datasets.load(folder).interactions) == 4
    assert quick("ml-25m") == folder
    assert server.requests == [("GET", ML)]
    assert left_over(tmp_path) == ["ml-25m"]  # neither archive nor draft


def test_a_tar_is_fetched_and_loaded(serve, tmp_path: Path) -> None:
    serve({KUAIRAND: tarred(write_kuairand(tmp_path / "made"), "KuaiRand-Pure")})
    assert datasets.load(quick("kuairand-pure")).name == "kuairand"


def test_a_changing_set_has_its_hash_beside_it(serve, tmp_path: Path, ml: bytes) -> None:
    beside = f"MD5 (ml-latest-small.zip) = {md5(ml).upper()}\n".encode()
    server = serve({SMALL: ml, f"{SMALL}.md5": beside})
    assert datasets.load(quick("ml-latest-small")).name == "movielens"
    assert [path for _, path in server.requests] == [f"{SMALL}.md5", SMALL]


def test_a_hash_beside_it_that_differs_or_is_none(serve, tmp_path: Path, ml: bytes) -> None:
    server = serve({SMALL: ml, f"{SMALL}.md5": b"<html>not found</html>"})
    assert "ml-latest-small.zip.md5 holds no MD5" in refusal("ml-latest-small")
    server.files[f"{SMALL}.md5"] = f"{'0' * 32}  ml-latest-small.zip".encode()
    assert f"expected {'0' * 32}" in refusal("ml-latest-small")
    assert left_over(tmp_path) == []


def test_what_a_killed_fetch_left_is_swept(serve, tmp_path: Path, ml: bytes) -> None:
    serve({ML: ml})
    leftover = tmp_path / "data" / "public" / ".ml-25m.k3j2.part"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    quick("ml-25m")
    assert left_over(tmp_path) == ["ml-25m"]


# -- a server that does not ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("truncated", "broke off before the end of the file"),
        ("missing", "has no such file (404)"),
        ("error", "answered with error 500"),
        ("slow", "sent nothing for 1 s"),
    ],
)
def test_an_interrupted_download_leaves_nothing(
    serve, tmp_path: Path, ml: bytes, behaviour: str, said: str
) -> None:
    server = serve({ML: ml}, {ML: behaviour})
    message = refusal("ml-25m")
    assert said in message
    by_hand = tmp_path / "data" / "public" / "ml-25m.zip"
    assert f"get ml-25m.zip from {SOURCES['ml-25m'].page}, put ml-25m.zip at {by_hand}" in message
    assert left_over(tmp_path) == []
    server.behaviour.clear()
    assert datasets.load(quick("ml-25m")).name == "movielens"


def test_a_wrong_hash(serve, tmp_path: Path, ml: bytes) -> None:
    serve({ML: ml}, {ML: "wrong"})
    message = refusal("ml-25m")
    assert f"expected {md5(ml)}: it is damaged or is another file" in message
    assert SOURCES["ml-25m"].page in message
    assert left_over(tmp_path) == []


def test_no_network_names_file_and_folder_and_takes_a_file_by_hand(
    serve, tmp_path: Path, ml: bytes
) -> None:
    server = serve({ML: ml, SMALL: ml})
    server.__exit__()
    public = tmp_path / "data" / "public"
    said = "cannot be reached. Check the network and try again; or get ml-25m.zip"
    assert said in refusal("ml-25m")
    (public / "ml-25m.zip").write_bytes(ml)
    assert datasets.load(quick("ml-25m")).name == "movielens"
    assert left_over(tmp_path) == ["ml-25m", "ml-25m.zip"]  # what somebody put there stays
    message = refusal("ml-latest-small")
    assert "get ml-latest-small.zip and ml-latest-small.zip.md5 from" in message
    (public / "ml-latest-small.zip").write_bytes(ml)
    (public / "ml-latest-small.zip.md5").write_text(md5(ml))
    assert datasets.load(quick("ml-latest-small")).name == "movielens"


def test_a_file_by_hand_is_compared_too(serve, tmp_path: Path, ml: bytes) -> None:
    serve({ML: ml})
    public = tmp_path / "data" / "public"
    public.mkdir(parents=True)
    (public / "ml-25m.zip").write_bytes(ml[:-1] + b"x")
    assert f"{public / 'ml-25m.zip'} has the MD5 {md5(ml[:-1] + b'x')}" in refusal("ml-25m")
    assert (public / "ml-25m.zip").is_file()


# -- what is fetched by hand -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, s in SOURCES.items() if not s.url])
def test_a_set_without_a_published_hash_says_what_to_do(serve, tmp_path: Path, name: str) -> None:
    server = serve({})
    message = refusal(name)
    assert f"{name} is not fetched automatically" in message
    assert f"Put them into {settings.data_dir() / 'public' / name}, and call fetch" in message
    assert SOURCES[name].page in message
    assert server.requests == []


def test_files_by_hand_are_found(serve, tmp_path: Path) -> None:
    serve({})
    home = tmp_path / "data" / "public" / "microlens-50k"
    home.mkdir(parents=True)
    assert "is not fetched automatically" in refusal("microlens-50k")  # still empty
    (home / "notes.txt").touch()
    assert f"{home} is there, and holds no microlens-50k that can be read" in refusal(
        "microlens-50k"
    )
    (home / "notes.txt").unlink()
    home.rmdir()
    write_50k(home)
    assert datasets.load(quick("microlens-50k")).name == "microlens"


def test_unknown_names(serve) -> None:
    with pytest.raises(ValueError, match="name is 'netflix'; choose from 'ml-latest-small'"):
        datasets.fetch("netflix")
    with pytest.raises(LibraryError, match=r"datasets.fetch\('ml-25m'\) gets this public"):
        datasets.load("ml-25m")


def test_every_source_is_complete() -> None:
    table = datasets.public_sets()
    assert table.index.tolist() == list(SOURCES)
    assert table["page"].str.startswith("https://").all()
    assert (table["licence"].str.len() > 5).all()
    for source in SOURCES.values():
        assert bool(source.url) != bool(source.by_hand)
        assert source.md5 is None or len(source.md5) == 32
        assert source.recognizes in [reader.recognizes for reader in datasets.READERS]
    changing = [name for name, source in SOURCES.items() if source.url and not source.md5]
    assert changing == ["ml-latest-small", "ml-latest"]


# -- hostile archives ------------------------------------------------------------------------------


def hostile_zip(file: Path, name: str, data: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("good.txt", "good")
        member = zipfile.ZipInfo(name)
        member.filename = name  # as it stands, also a backslash
        member.external_attr = mode << 16
        archive.writestr(member, data)
    return file


NAMES = ["../out.txt", "a/../../out.txt", "/out.txt", "C:/out.txt", "..\\out.txt", "a\\b", "x?.txt"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str, form: str) -> None:
    archive = tmp_path / f"bad.{form}"
    if form == "zip":
        hostile_zip(archive, name)
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    with pytest.raises(LibraryError, match=r"is not unpacked: the name of its member .* is no pa"):
        unpack(archive, inside, 1000)
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(names) in ([archive.name], [archive.name, "good.txt"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(LibraryError, match="'link' is no ordinary file"):
        unpack(tmp_path / "bad.tar", tmp_path / "inside", 1000)
    archive = hostile_zip(tmp_path / "bad.zip", "link", b"/etc/passwd", stat.S_IFLNK | 0o777)
    with pytest.raises(LibraryError, match="'link' is no ordinary file"):
        unpack(archive, tmp_path / "inside", 1000)


def test_sizes_are_bounded_whatever_the_archive_says(tmp_path: Path, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**6))
    with pytest.raises(LibraryError, match=r"holds more than 0.0001 GB"):
        unpack(tmp_path / "bomb.zip", tmp_path / "a", 10**5)
    data = (tmp_path / "bomb.zip").read_bytes()
    lying = data.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "lying.zip").write_bytes(lying)
    with pytest.raises(LibraryError, match=r"lying.zip is damaged"):
        unpack(tmp_path / "lying.zip", tmp_path / "b", 10**5)
    assert sum(path.stat().st_size for path in (tmp_path / "b").rglob("*")) <= 10**5
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 10**6
        archive.addfile(member, io.BytesIO(bytes(10**6)))
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(tar.getvalue()))
    with pytest.raises(LibraryError, match="holds more than"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "c", 10**5)
    monkeypatch.setattr(_archives, "MOST_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(4):
            archive.writestr(str(number), "")
    with pytest.raises(LibraryError, match="more than 3 members"):
        unpack(tmp_path / "many.zip", tmp_path / "d", 10**5)


def test_damaged_and_encrypted_archives(tmp_path: Path, ml: bytes) -> None:
    file = tmp_path / "x.zip"
    for data in (b"", b"no archive", ml[: len(ml) // 2], ml[:60] + bytes(40) + ml[100:]):
        file.write_bytes(data)
        with pytest.raises(LibraryError, match=r"x.zip is damaged"):
            unpack(file, tmp_path / str(len(data)), 10**6)
    tar = tarred(tmp_path / "made", "top")
    for data in (b"", tar[: len(tar) // 2], b"no archive"):
        (tmp_path / "x.tar.gz").write_bytes(data)
        with pytest.raises(LibraryError, match=r"x.tar.gz is damaged"):
            unpack(tmp_path / "x.tar.gz", tmp_path / f"t{len(data)}", 10**6)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("secret", "s")
    data = bytearray(file.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(bytes(data))
    with pytest.raises(LibraryError, match="'secret' is encrypted"):
        unpack(file, tmp_path / "e", 10**6)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("twice", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice", "2")
    with pytest.raises(LibraryError, match="two of its members are twice"):
        unpack(file, tmp_path / "f", 10**6)


def test_a_hostile_archive_with_the_right_hash_leaves_nothing(serve, tmp_path: Path) -> None:
    bad = hostile_zip(tmp_path / "bad.zip", "../../../escaped.txt").read_bytes()
    serve({ML: bad})
    assert "ml-25m.zip is not unpacked" in refusal("ml-25m")
    assert left_over(tmp_path) == []
    assert not list(tmp_path.rglob("escaped.txt"))


def test_an_archive_of_something_else(serve, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    serve({ML: (tmp_path / "x.zip").read_bytes()})
    assert "ml-25m.zip holds no ml-25m that can be read" in refusal("ml-25m")
    assert left_over(tmp_path) == []
    assert _sources.SOURCES["ml-25m"].url is not None
