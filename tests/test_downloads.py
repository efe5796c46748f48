"""Getting one file from the web, from a server that behaves and from ones that do not."""

from pathlib import Path

import pytest

from tests.helpers.model_server import ModelServer
from vidrec_utils import downloads
from vidrec_utils.downloads import DownloadError, download

URL = "https://example.org/data/set.zip"
DATA = bytes(range(256)) * 100


def test_without_a_mirror_an_address_is_itself(monkeypatch) -> None:
    monkeypatch.delenv("VIDREC_MIRROR", raising=False)
    assert downloads.mirror() is None
    assert downloads.mirrored(URL) == URL
    assert downloads.server_of(URL) == "example.org"
    monkeypatch.setenv("VIDREC_MIRROR", "http://10.0.0.1:8000/")
    assert downloads.mirrored(f"{URL}?x=1") == "http://10.0.0.1:8000/example.org/data/set.zip?x=1"
    assert downloads.server_of(URL) == "10.0.0.1:8000 (VIDREC_MIRROR, for example.org)"
    assert downloads.shown("https://someone:secret@example.org/a?b=c") == "example.org/a"


def test_a_file_is_fetched_whole(monkeypatch, tmp_path: Path) -> None:
    with ModelServer({"example.org/data/set.zip": DATA}) as server:
        server.use(monkeypatch, tmp_path)
        download(URL, tmp_path / "draft", timeout_s=5, progress=False)
    assert (tmp_path / "draft").read_bytes() == DATA


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("missing", "has no such file (404)"),
        ("error", "answered with error 500"),
        ("truncated", "broke off before the end of the file"),
        ("slow", "sent nothing for 0.5 s"),
    ],
)
def test_what_goes_wrong_is_said(monkeypatch, tmp_path: Path, behaviour: str, said: str) -> None:
    with ModelServer({"example.org/data/set.zip": DATA}, {"*": behaviour}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(DownloadError) as caught:
            download(URL, tmp_path / "draft", timeout_s=0.5, progress=False)
    assert str(caught.value).endswith(f"(VIDREC_MIRROR, for example.org) {said}")


def test_a_server_that_is_not_there(monkeypatch, tmp_path: Path) -> None:
    with ModelServer({}) as server:
        pass
    server.use(monkeypatch, tmp_path)
    with pytest.raises(DownloadError, match="cannot be reached"):
        download(URL, tmp_path / "draft", timeout_s=1, progress=False)
