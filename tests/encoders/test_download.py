"""Fetching weights from a server that behaves, and from ones that do not."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.helpers.model_server import COMMIT, ModelServer, hub
from vidrec_utils.encoders import WeightsError, WeightsNotAvailable, fetch, hub_folder
from vidrec_utils.encoders.download import kept_file

DATA = bytes(range(256)) * 500
SHA = hashlib.sha256(DATA).hexdigest()
PATH = f"example.org/models/net-{SHA[:8]}.pth"
URL = f"https://{PATH}"
REPO = "someone/net"
CONFIG = b'{"model_type": "net"}'
HUB_FILES = {
    f"huggingface.co/{REPO}/config.json": CONFIG,
    f"huggingface.co/{REPO}/model.safetensors": DATA,
    f"huggingface.co/{REPO}/onnx/model.onnx": DATA[:100],
}
NAMES = ["config.json", "model.safetensors"]


def quick(url=URL, sha256=SHA, **options):
    return fetch(url, sha256=sha256, timeout_s=1, progress=False, **options)


def parts_left(folder):
    """Files of unfinished downloads."""
    return [f.name for f in folder.rglob("*") if f.is_file() and f.name.startswith(".")]


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Start a server, and let everything be fetched from it."""
    started = []

    def start(behaviour=None, files=None):
        default = {PATH: DATA, "example.org/models/net.pth": DATA, **HUB_FILES}
        server = ModelServer(default if files is None else files, behaviour).__enter__()
        started.append(server)
        server.use(monkeypatch, tmp_path)
        return server

    yield start
    for server in started:
        server.__exit__()


def test_a_file_is_fetched_once_and_hashed_at_every_call(serve, tmp_path):
    server = serve()
    assert kept_file(URL) is None
    file = quick()
    assert file.read_bytes() == DATA
    assert file == tmp_path / "data" / "cache" / "weights" / PATH  # the layout of a mirror
    assert kept_file(URL) == file == quick() == quick(sha256=SHA[:8].upper())
    assert server.requests == [("GET", PATH)]
    file.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"damaged or is another file. Remove .*net-"):
        quick()
    assert file.exists()  # left, for its owner to look at
    assert parts_left(tmp_path) == []


def test_what_a_killed_download_left_is_swept_by_the_next(serve, tmp_path):
    serve()
    leftover = (tmp_path / "data/cache/weights" / PATH).parent / f".{Path(PATH).name}.k3j2.part"
    leftover.mkdir(parents=True)
    (leftover / "half").write_bytes(DATA[:10])
    assert quick().read_bytes() == DATA
    assert parts_left(tmp_path) == []
    assert not leftover.exists()


def test_a_folder_and_a_query_and_a_bar(serve, tmp_path, capsys):
    server = serve()
    file = fetch(URL + "?token=secret", sha256=SHA[:12], folder=tmp_path / "own", timeout_s=1)
    assert file == tmp_path / "own" / PATH.rpartition("/")[2]
    assert server.requests == [("GET", PATH)]
    assert "100%" in capsys.readouterr().err


def test_without_a_known_hash_the_first_download_is_remembered(serve):
    serve()
    url = "https://example.org/models/net.pth"
    file = quick(url, sha256=None)
    record = file.with_name("net.pth.sha256")
    assert record.read_text().strip() == SHA
    assert quick(url, sha256=None) == file
    file.write_bytes(b"another")
    with pytest.raises(WeightsError, match="damaged or is another file"):
        quick(url, sha256=None)
    record.write_text("nonsense")
    with pytest.raises(WeightsError, match=r"net.pth.sha256 holds no SHA-256"):
        quick(url, sha256=None)
    file.unlink()  # what is fetched anew is trusted anew
    assert quick(url, sha256=None).read_bytes() == DATA
    assert record.read_text().strip() == SHA


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        ("missing", WeightsNotAvailable, r"has no such file \(404\)"),
        ("error", WeightsNotAvailable, "answered with error 500"),
        ("truncated", WeightsNotAvailable, "broke off before the end"),
        ("slow", WeightsNotAvailable, "sent nothing for 1 s"),
        ("wrong", WeightsError, r"expected .* The download was removed"),
    ],
)
def test_bad_servers(serve, tmp_path, behaviour, error, said):
    serve({PATH: behaviour})
    with pytest.raises(error, match=said) as caught:
        quick()
    assert "example.org" in str(caught.value)
    assert kept_file(URL) is None
    assert parts_left(tmp_path) == []
    if error is WeightsNotAvailable:
        assert "or put the file from" in str(caught.value)


def test_no_network_and_not_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path))
    monkeypatch.setenv("VIDREC_MIRROR", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WeightsNotAvailable, match="cannot be reached"):
        quick()
    with pytest.raises(WeightsNotAvailable, match="say download=True"):
        quick(download=False)


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "file:///etc/passwd", "https://a/", "https://a/%2e%2e/b"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match="address"):
        quick(url)


@pytest.mark.parametrize("value", ["", "abc", "g" * 64, 5])
def test_hashes_that_are_none(value):
    with pytest.raises(ValueError, match="8 to 64 hexadecimal digits"):
        quick(sha256=value)


def test_files_of_the_hub_come_once_and_stay(serve):
    server = serve()
    assert hub_folder(REPO, NAMES, revision=COMMIT, download=False) is None
    folder = hub_folder(REPO, NAMES, revision=COMMIT, download=True)
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "model.safetensors").read_bytes() == DATA
    asked = len(server.requests)
    known = {"model.safetensors": SHA}
    for download in (True, False):
        again = hub_folder(REPO, NAMES, revision=COMMIT, sha256=known, download=download)
        assert again == folder
    assert len(server.requests) == asked
    nested = hub_folder(REPO, ["onnx/model.onnx"], revision=COMMIT, download=True)
    assert nested == folder


@pytest.mark.parametrize("room", [None, "http://127.0.0.1:9"])
def test_a_mirror_of_the_hub_alone(serve, monkeypatch, room):
    server = serve()
    # Nobody listens at port 9: a server in the room that lacks the hub does not stand in the way.
    monkeypatch.delenv("VIDREC_MIRROR")
    if room:
        monkeypatch.setenv("VIDREC_MIRROR", room)
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
    folder = hub_folder(REPO, NAMES, revision=COMMIT, download=True)
    assert (folder / "model.safetensors").read_bytes() == DATA
    paths = {path.partition("/resolve/")[0] for _, path in server.requests}
    assert REPO in paths
    assert f"huggingface.co/{REPO}" not in paths
    with pytest.raises(WeightsNotAvailable, match=r"127\.0\.0\.1 has no such file \(404\)"):
        hub_folder("someone/else", ["config.json"], revision=COMMIT, download=True)


def test_branches_of_the_hub(serve):
    serve()
    folder = hub_folder(REPO, NAMES, revision="main", download=True)
    assert folder.name == COMMIT
    assert hub_folder(REPO, NAMES, revision="main", download=False) == folder


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_in_the_hubs_cache_is_found(serve, name):
    serve()
    folder = hub_folder(REPO, NAMES, revision=COMMIT, download=True)
    blob = (folder / name).resolve()
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    with pytest.raises(WeightsError, match=f"{name} of {REPO} .*Remove .*fetch it again"):
        hub_folder(REPO, NAMES, revision=COMMIT, download=False)
    assert blob.exists()


def test_another_file_than_the_known_one_is_refused_and_removed(serve):
    serve()
    known = {"model.safetensors": "0" * 64}
    with pytest.raises(WeightsError, match=r"expected 000000000000.*download was removed"):
        hub_folder(REPO, NAMES, revision=COMMIT, sha256=known, download=True)
    assert hub_folder(REPO, NAMES, revision=COMMIT, download=False) is None


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        ("missing", WeightsNotAvailable, r"has no such file \(404\)"),
        ("error", WeightsNotAvailable, "answered with error 500"),
        ("truncated", WeightsNotAvailable, "could not be fetched whole"),
        ("slow", WeightsNotAvailable, "could not be fetched whole"),
        ("wrong", WeightsError, "The download was removed"),
    ],
)
def test_bad_hubs(serve, monkeypatch, behaviour, error, said):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits between its attempts
    serve({f"huggingface.co/{REPO}/model.safetensors": behaviour})
    with pytest.raises(error, match=said) as caught:
        hub_folder(REPO, NAMES, revision=COMMIT, download=True, timeout_s=1)
    assert REPO in str(caught.value)
    assert hub_folder(REPO, NAMES, revision=COMMIT, download=False) is None


def test_no_hub(monkeypatch, tmp_path, serve):
    serve()
    monkeypatch.setenv("VIDREC_MIRROR", "http://127.0.0.1:9")
    start = time.perf_counter()
    with pytest.raises(WeightsNotAvailable, match=r"cannot be reached. .*HF_HOME"):
        hub_folder(REPO, NAMES, revision=COMMIT, download=True)
    assert time.perf_counter() - start < 5
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotAvailable, match="HF_HUB_OFFLINE forbids"):
        hub_folder(REPO, NAMES, revision=COMMIT, download=True)


def test_a_folder_is_served_as_a_repository(serve, tmp_path):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "b.json").write_text("{}")
    serve(files=hub(REPO, source))
    folder = hub_folder(REPO, ["a/b.json"], revision="v1", download=True)
    assert (folder / "a" / "b.json").read_text() == "{}"
