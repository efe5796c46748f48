"""Photograph one lesson for the README: the cells of a box, as their reading copy shows them.

    python scripts/lesson_image.py      # writes .github/lesson.jpg; needs Chromium

The cells are those of the committed notebook; nothing is drawn by hand.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from vidrec_utils.course.pages import reading_copy

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".github" / "lesson.jpg"
WIDTH, HEIGHT = 900, 6000
COLUMNS = (("idea", "drawing"), ("scratch", "look", "read"))


def lesson(path: Path, box: str, parts: tuple[str, ...]) -> nbformat.NotebookNode:
    """The notebook with the cells of one box alone."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if f"box-{box}" in (tags := cell.metadata.get("tags", [])) and set(parts) & set(tags)
    ]
    if not notebook.cells:
        raise SystemExit(f"{path.name} has no box {box!r}.")
    return notebook


def photograph(page: str, chromium: str) -> Image.Image:
    """The page as Chromium shows it, without the empty rest of the window."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page, encoding="utf-8")
        subprocess.run(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--hide-scrollbars",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={shot}",
                source.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        image = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    pixels = np.asarray(image)
    rows = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    return image.crop((0, 0, image.width, min(image.height, int(rows.max()) + 20)))


def beside(columns: list[Image.Image]) -> Image.Image:
    """Columns next to each other, at the top of a white ground."""
    height = max(column.height for column in columns)
    ground = Image.new("RGB", (sum(column.width for column in columns), height), "white")
    left = 0
    for column in columns:
        ground.paste(column, (left, 0))
        left += column.width
    return ground


def main() -> None:
    """Read the command line, photograph the box and write the image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--notebook", default="04_video_encoders")
    parser.add_argument("--box", default="optical-flow")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--target", type=Path, default=TARGET)
    chosen = parser.parse_args()
    path = ROOT / "notebooks" / f"{chosen.notebook}.ipynb"
    image = beside(
        [
            photograph(
                reading_copy(lesson(path, chosen.box, parts), path.name, set()), chosen.chromium
            )
            for parts in COLUMNS
        ]
    )
    image.save(chosen.target, quality=70, optimize=True)
    print(
        f"{chosen.target}: {image.width} x {image.height}, {chosen.target.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
