"""Every reading copy, opened in headless Chromium without a network.

The pages are made from the committed notebooks with their committed outputs: nothing is executed.
"""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.helpers import browser
from tests.helpers.browser import Browser
from vidrec_utils import datasets
from vidrec_utils.course.pages import formulas_in, reading_copy

COURSE = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9]*.ipynb"))
WIDTHS = (390, 1200)
"""Of a phone and of a laptop, in CSS pixels."""
PATIENCE = {"play_s": 20.0}
"""How long a clip may take until it plays, in seconds."""

_OPEN_ANSWERS = "document.querySelectorAll('details:not(.clip)').forEach(d => d.open = true)"
_MATH = """[...document.querySelectorAll('math')].map(m => {
  const b = m.getBoundingClientRect();
  return {text: m.textContent, width: b.width, height: b.height}})"""
_WIDER = """(() => {
  const page = document.documentElement, limit = page.clientWidth;
  if (page.scrollWidth <= limit && document.body.scrollWidth <= limit) return [];
  const inside = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== 'visible') return true;
    return false};
  const wide = [...document.body.querySelectorAll('*')].filter(
    e => e.getBoundingClientRect().right > limit + 1 && !inside(e));
  return [`the page is ${page.scrollWidth} wide in a window of ${limit}`, ...wide.slice(-5).map(
    e => `${e.tagName} ${e.className} to ${Math.round(e.getBoundingClientRect().right)}: `
      + e.textContent.trim().slice(0, 60))]})()"""
_CLIPPED = """(() => {
  const limit = document.documentElement.clientWidth, found = [];
  for (const e of document.body.querySelectorAll('pre, table, img, svg, math, video')) {
    const box = e.getBoundingClientRect();
    if (!box.width || Math.max(box.right, box.left + e.scrollWidth) <= limit + 1) continue;
    for (let p = e; p && p !== document.body; p = p.parentElement) {
      const how = getComputedStyle(p).overflowX;
      if (how === 'auto' || how === 'scroll') break;
      if (how !== 'visible') {
        found.push(`${e.tagName} is cut off by ${p.tagName} ${p.className}`); break}}}
  return [...new Set(found)]})()"""
_CLIP = "document.querySelectorAll('details.clip')[{}]"
_VIDEO = "document.querySelectorAll('video')[{}]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as started:
        yield started


def faults(
    page: Browser, path: Path, formulas: int | None = None, animations: int | None = None
) -> list[str]:
    """What is wrong with a page as a reader sees it.

    Parameters
    ----------
    page
        The browser.
    path
        The page, on disk.
    formulas, animations
        How many the page ought to have; any number if not given.
    """
    page.open(path, WIDTHS[-1])
    page.evaluate(_OPEN_ANSWERS)
    found = []
    for width in WIDTHS:
        page.resize(width)
        seen = page.evaluate(_WIDER) + page.evaluate(_CLIPPED)
        found += [f"at {width} pixels: {fault}" for fault in seen]
    found += _formula_faults(page, formulas)
    found += _clip_faults(page, animations)
    found += _video_faults(page)
    own = path.resolve().as_uri()
    found += [f"asks for {url}" for url in page.requests if url != own]
    found += [f"error: {error}" for error in page.errors]
    return found


def _formula_faults(page: Browser, expected: int | None) -> list[str]:
    shown = page.evaluate(_MATH)
    found = [
        f"the formula {formula['text'][:40]!r} has no size"
        for formula in shown
        if not (formula["width"] > 1 and formula["height"] > 1)
    ]
    if expected not in (None, len(shown)):
        found.append(f"{len(shown)} formulas are shown instead of {expected}")
    if page.evaluate("document.querySelectorAll('merror').length"):
        found.append("a formula is marked as an error")
    return found


def _clip_faults(page: Browser, expected: int | None) -> list[str]:
    """Click on the still of each clip, and see whether another picture follows."""
    count = page.evaluate("document.querySelectorAll('details.clip').length")
    found = [] if expected in (None, count) else [f"{count} clips instead of {expected}"]
    for number in range(count):
        clip = _CLIP.format(number)
        page.click(f"{clip}.querySelector('summary img')")
        moving = f"{clip}.querySelector(':scope > img')"
        page.evaluate(f"{moving}.decode()")
        page.evaluate(f"{moving}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        width = page.evaluate(f"{moving}.getBoundingClientRect().width")
        if not (page.evaluate(f"{clip}.open") and width > 10 and _changes(page)):
            found.append(f"clip {number} does not play on a click")
        page.evaluate(f"{clip}.open = false")
    return found


def _video_faults(page: Browser) -> list[str]:
    found = []
    for number in range(page.evaluate("document.querySelectorAll('video').length")):
        video = _VIDEO.format(number)
        if not page.evaluate(f"{video}.paused"):
            found.append(f"video {number} plays without a click")
        page.click(video, button=True)
        if not _until(lambda v=video: page.evaluate(f"{v}.currentTime") > 0):
            found.append(f"video {number} does not play on a click")
        page.evaluate(f"{video}.pause()")
    return found


def _changes(page: Browser) -> bool:
    first = page.picture()
    return _until(lambda: page.picture() != first)


def _until(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold before the patience ends."""
    end = time.monotonic() + PATIENCE["play_s"]
    while not (holds_now := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return holds_now


def animations_in(notebook: nbformat.NotebookNode) -> int:
    """Number of images with more than one frame among the outputs that a page shows."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code" or "check" in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            text = data.get("text/html", "")
            for found in re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', text):
                with Image.open(io.BytesIO(base64.b64decode(found))) as image:
                    count += getattr(image, "n_frames", 1) > 1
    return count


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_a_reading_copy_is_as_it_should_be(chromium: Browser, path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    target = tmp_path / f"{path.stem}.html"
    target.write_text(
        reading_copy(notebook, path.stem, {other.stem for other in COURSE}), encoding="utf-8"
    )
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    formulas = sum(len(formulas_in(text)) for text in texts)
    assert faults(chromium, target, formulas, animations_in(notebook)) == []
    shown = chromium.evaluate(
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-editor')].map(e => e.innerText)"
    )
    codes = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    is_check = ["check" in cell.metadata.get("tags", []) for cell in codes]
    kept = [cell.source for cell, check in zip(codes, is_check, strict=True) if not check]
    assert [re.sub(r"\s", "", text) for text in shown] == [re.sub(r"\s", "", s) for s in kept]


def moving_image(frames: int) -> str:
    """An animation of this many frames of noise as WebP, in base64."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8)
    first, *others = [Image.fromarray(frame) for frame in noise]
    file = io.BytesIO()
    options = {"save_all": True, "append_images": others, "duration": 100, "loop": 0}
    first.save(file, "WEBP", **options)
    return base64.b64encode(file.getvalue()).decode("ascii")


def clip(shown: str, followed: str) -> str:
    """A clip as in a reading copy."""
    images = [f'<img src="data:image/webp;base64,{data}">' for data in (shown, followed)]
    return f'<details class="clip"><summary>{images[0]}</summary>{images[1]}</details>'


def test_a_sound_page_has_no_faults(chromium: Browser, tmp_path: Path) -> None:
    film = datasets.load("real_clips").file("cars_meet").read_bytes()
    body = "<p>x <math><mi>x</mi></math></p>" + clip(moving_image(1), moving_image(5))
    source = f"data:video/mp4;base64,{base64.b64encode(film).decode('ascii')}"
    body += f'<video controls src="{source}"></video>'
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><body>{body}", encoding="utf-8")
    assert faults(chromium, tmp_path / "page.html", 1, 1) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="http://127.0.0.1:9/image.png">', "asks for http://127.0.0.1:9/image.png"),
        ('<script src="https://example.org/x.js"></script>', "asks for https://example.org/x.js"),
        ("<script>undefined.shape</script>", "error: TypeError"),
        ('<p style="width: 600px">wide</p>', "at 390 pixels: the page is"),
        (
            '<div style="overflow: hidden"><pre style="width: 600px">code</pre></div>',
            "at 390 pixels: PRE is cut off by DIV",
        ),
        ("<math><merror><mi>x</mi></merror></math>", "a formula is marked as an error"),
        ('<math style="display: none"><mi>x</mi></math>', "the formula 'x' has no size"),
        ("<p>$x$</p>", "0 formulas are shown instead of 1"),
        (clip(moving_image(1), moving_image(1)), "clip 0 does not play on a click"),
        ("<video controls></video>", "video 0 does not play on a click"),
    ],
)
def test_a_fault_is_found(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, fault: str
) -> None:
    monkeypatch.setitem(PATIENCE, "play_s", 1.5)
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><body>{body}", encoding="utf-8")
    found = faults(chromium, tmp_path / "page.html", formulas=1 if "$" in body else None)
    assert any(sentence.startswith(fault) for sentence in found), found


def test_without_chromium_a_test_is_skipped_or_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_CHROMIUM", "no-such-browser")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        browser.require()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="VIDREC_CHROMIUM"):
        browser.require()
