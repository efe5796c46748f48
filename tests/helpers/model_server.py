"""A server on this machine that stands for the web and for the model hub, also a badly behaved one.

Used through `VIDREC_MIRROR`::

    with ModelServer({"download.pytorch.org/models/net-0a1b2c3d.pth": data}) as server:
        server.use(monkeypatch, tmp_path)
        fetch("https://download.pytorch.org/models/net-0a1b2c3d.pth", sha256="0a1b2c3d")

A path is `<host>/<path>`, as in a mirror. Files of the hub are
`huggingface.co/<owner>/<name>/<file>`, or `hub(repo, folder)` for a whole folder, and are served at
every revision. Misbehaviour by path:

- `"missing"`: 404; `"error"`: 500;
- `"truncated"`: promises the whole file and hangs up halfway;
- `"slow"`: says nothing until the server is closed (with a short timeout, that is soon);
- `"wrong"`: the right length and name, but the last byte is another.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee00" * 5
BEHAVIOURS = ("missing", "error", "truncated", "slow", "wrong")
LARGE = (".safetensors", ".bin", ".pth", ".pt", ".onnx")  # what the hub keeps by SHA-256


def hub(repo: str, folder: Path) -> dict[str, Path]:
    """The files of a folder as those of a model-hub repository."""
    folder = Path(folder)
    names = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.is_file()]
    return {f"huggingface.co/{repo}/{name.as_posix()}": folder / name for name in names}


class ModelServer:
    """Serves files on 127.0.0.1 at a free port, in a thread.

    Parameters
    ----------
    files : mapping of str to bytes or Path
        Content by path; a Path is read when it is asked for.
    behaviour : mapping of str to str
        How to misbehave, by path; `"*"` is for all.

    Attributes
    ----------
    url : str
        What `VIDREC_MIRROR` is set to.
    requests : list of tuple
        `(method, path)` of what was asked, in order.
    """

    def __init__(
        self, files: Mapping[str, bytes | Path], behaviour: Mapping[str, str] | None = None
    ):
        self.files = dict(files)
        self.behaviour = dict(behaviour or {})
        unknown = set(self.behaviour.values()) - set(BEHAVIOURS)
        assert not unknown, f"no such behaviour: {unknown}"
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def __enter__(self) -> ModelServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def use(self, monkeypatch, folder: Path) -> None:
        """Let everything that is fetched come from here, and be kept under a folder of the test."""
        import huggingface_hub.constants as hub_constants

        monkeypatch.setenv("VIDREC_MIRROR", self.url)
        monkeypatch.setenv("VIDREC_DATA", str(folder / "data"))
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)

    def answer(self, path: str) -> tuple[bytes, str, bool] | None:
        """Content, behaviour and whether it is of the hub, for the path of a request."""
        resolve = re.fullmatch(r"((?:huggingface\.co/)?)([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        if resolve:
            path = f"huggingface.co/{resolve[2]}/{resolve[3]}"
        content = self.files.get(path)
        if content is None:
            return None
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        return data, self.behaviour.get(path, self.behaviour.get("*", "")), bool(resolve)


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            server.requests.append((self.command, path))
            found = server.answer(path)
            data, behaviour, of_hub = found or (b"", "missing", "/resolve/" in path)
            if behaviour == "slow" and (body or not of_hub):
                server.closing.wait(60)
                return
            if behaviour in ("missing", "error"):
                self.send_response(404 if behaviour == "missing" else 500)
                if of_hub and behaviour == "missing":
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = self._start() if body else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if of_hub:
                self._hub_headers(path, data)
            self.end_headers()
            if not body:
                return
            if behaviour == "truncated":
                self.wfile.write(data[start : len(data) // 2])
                self.close_connection = True
            elif behaviour == "wrong":
                self.wfile.write(data[start:-1] + bytes([data[-1] ^ 255]))
            else:
                self.wfile.write(data[start:])

        def _start(self) -> int:
            asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
            return int(asked[1]) if asked else 0

        def _hub_headers(self, path: str, data: bytes) -> None:
            revision = path.split("/resolve/")[1].split("/")[0]
            commit = revision if re.fullmatch("[0-9a-f]{40}", revision) else COMMIT
            self.send_header("X-Repo-Commit", commit)
            if path.endswith(LARGE):
                self.send_header("X-Linked-ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("ETag", '"of-a-pointer"')
            else:
                git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
                self.send_header("ETag", f'"{git}"')

        def log_message(self, *_: object) -> None:
            pass

    return Handler
