"""A headless Chromium without a network, driven by the DevTools protocol.

The protocol (https://chromedevtools.github.io/devtools-protocol) is JSON over one web socket: a
command has a number and gets one answer, events come in between.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
REMEDY = (
    "Chromium is absent, in which the reading copies are opened. Install it (Debian, Ubuntu: "
    "apt-get install -y --no-install-recommends chromium; macOS: brew install --cask chromium; "
    "Windows: winget install Google.Chrome), or name a Chromium or Chrome in the variable "
    "VIDREC_CHROMIUM."
)
PATIENCE_S = 60


def find() -> str | None:
    """The program: the one that `VIDREC_CHROMIUM` names, else a usual one, or None."""
    given = os.environ.get("VIDREC_CHROMIUM")
    if given:
        return shutil.which(given)
    named = (shutil.which(name) for name in NAMES)
    installed = (place for place in PLACES if Path(place).is_file())
    return next((path for path in (*named, *installed) if path), None)


def require() -> str:
    """The program; without one the test fails where `CI` is set, and is skipped elsewhere."""
    program = find()
    if program is None and os.environ.get("CI"):
        pytest.fail(REMEDY)
    if program is None:
        pytest.skip(REMEDY)
    return program


class Browser:
    """One page of a running Chromium.

    Attributes
    ----------
    requests : list of str
        Addresses that the page asked for since it was opened, without data that it holds itself.
    errors : list of str
        What its scripts and the browser complained of since then.
    """

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._count = 0
        self._seen: set[str] = set()
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer.get('error')}"
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        method, given = event.get("method", ""), event.get("params", {})
        self._seen.add(method)
        if method == "Network.requestWillBeSent":
            url = given["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                self.requests.append(url)
        elif method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))
        elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append(given["entry"]["text"])

    def open(self, path: Path, width: int) -> None:
        """Open a page from disk in a window of this width, and wait until it is loaded."""
        self.resize(width)
        self.requests.clear()
        self.errors.clear()
        self._seen.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + PATIENCE_S
        while "Page.loadEventFired" not in self._seen:
            assert time.monotonic() < end, f"{path} was not loaded in {PATIENCE_S} s"
            self._note(json.loads(self._socket.recv()))

    def resize(self, width: int, height: int = 900) -> None:
        """Change the size of the window."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=False, **sizes)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression of JavaScript on the page; promises are awaited."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, element: str, button: bool = False) -> None:
        """Bring an element, an expression of JavaScript, into sight and click on its middle.

        With `button`, click on its lower left corner instead, where a video has its play button.
        """
        self.evaluate(f"({element}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        middle = "[(b.left + b.right) / 2, (b.top + b.bottom) / 2]"
        point = "[b.left + 20, b.bottom - 30]" if button else middle
        box = self.evaluate(f"(b => {point})(({element}).getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            mouse = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **mouse)

    def picture(self, whole: bool = False) -> bytes:
        """What the window shows, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium that knows nothing of its user, and end it."""
    program = require()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        log = Path(profile, "chromium.log")
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            address = _page_address(Path(profile, "DevToolsActivePort"), process, log)
            socket = websocket.create_connection(
                address, timeout=PATIENCE_S, suppress_origin=True, http_no_proxy=["127.0.0.1"]
            )
            try:
                yield Browser(socket)
            finally:
                socket.close()
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _page_address(file: Path, process: subprocess.Popen, log: Path) -> str:
    """Wait for the port that Chromium writes down, and return the address of its page's socket."""
    end = time.monotonic() + PATIENCE_S
    while not (file.is_file() and file.read_text().count("\n")):
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"Chromium does not start on {sys.platform}:\n{text}")
        time.sleep(0.1)
    port = file.read_text().split()[0]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with direct.open(f"http://127.0.0.1:{port}/json", timeout=PATIENCE_S) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
        if pages:
            return pages[0]["webSocketDebuggerUrl"]
        if time.monotonic() > end:
            raise RuntimeError("Chromium has opened no page.")
        time.sleep(0.1)
