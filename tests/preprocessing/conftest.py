"""A small library of real files, made once: scenes, motions, copies and broken files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary

FPS = 16
FRAMES = 24
SIDE = 64


def scene(seed: int, side: int = SIDE) -> np.ndarray:
    """A smooth random picture, (side, side, 3) of floats."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 210, (6, 6, 3))
    places = np.linspace(0, 4.999, side)
    low, part = places.astype(int), (places % 1)[:, None]
    rows = coarse[low] * (1 - part[..., None]) + coarse[low + 1] * part[..., None]
    return rows[:, low] * (1 - part[None]) + rows[:, low + 1] * part[None]


def moving(seed: int, motion: str, frames: int = FRAMES, side: int = SIDE) -> np.ndarray:
    """A white square of a fifth of the picture that moves over a scene, uint8 (t, h, w, 3)."""
    clip = np.repeat(scene(seed, side)[None], frames, axis=0)
    way = np.linspace(0.1, 0.7, frames)
    x, y = {
        "right": (way, np.full(frames, 0.4)),
        "left": (way[::-1], np.full(frames, 0.4)),
        "down": (np.full(frames, 0.4), way),
        "still": (np.full(frames, 0.4), np.full(frames, 0.4)),
    }[motion]
    edge = side // 5
    for t in range(frames):
        top, left = int(y[t] * side), int(x[t] * side)
        clip[t, top : top + edge, left : left + edge] = 250
    return clip.round().astype(np.uint8)


def write_library(folder: Path, clips: dict[str, np.ndarray | bytes]) -> VideoLibrary:
    """Write clips (frames or raw bytes) and make a library of them, published in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for video_id, content in clips.items():
        path = folder / f"{video_id}.mp4"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            video_io.write_clip(path, content, fps=FPS, crf=23)
    ids = list(clips)
    start = pd.Timestamp("2025-01-01", tz="UTC")
    videos = pd.DataFrame(
        {
            "title": [f"Clip {v}" for v in ids],
            "category": ["a", "b"] * (len(ids) // 2) + ["a"] * (len(ids) % 2),
            "published_at": [start + pd.Timedelta(days=k) for k in range(len(ids))],
            "path": [f"{v}.mp4" for v in ids],
        },
        index=pd.Index(ids, name="video_id"),
    )
    interactions = pd.DataFrame(
        {
            "user_id": [f"u{k % 3}" for k in range(2 * len(ids))],
            "video_id": ids * 2,
            "timestamp": [start + pd.Timedelta(days=30, hours=5 * k) for k in range(2 * len(ids))],
            "watch_ratio": [0.5] * (2 * len(ids)),
        }
    )
    return VideoLibrary(videos, interactions, root=folder)


@pytest.fixture(scope="session")
def dirty(tmp_path_factory) -> VideoLibrary:
    """Two scenes in several motions; copies, reversals, black, noisy, frozen, broken files."""
    folder = tmp_path_factory.mktemp("dirty")
    rng = np.random.default_rng(0)
    first = moving(1, "right")
    noisy = np.clip(moving(2, "down") + rng.normal(0, 30, (FRAMES, SIDE, SIDE, 3)), 0, 255)
    library = write_library(
        folder,
        {
            "first": first,
            "reversed": first[::-1].copy(),
            "other way": moving(1, "down"),
            "second": moving(2, "right"),
            "noisy": noisy.astype(np.uint8),
            "black": np.full((FRAMES, SIDE, SIDE, 3), 3, dtype=np.uint8),
            "black too": np.full((FRAMES, SIDE, SIDE, 3), 7, dtype=np.uint8),
            "frozen": moving(3, "still"),
            "one frame": moving(4, "still", frames=1),
            "error page": b"<html>404</html>\n",
            "error page too": b"<html>404</html>\n",
            "empty": b"",
            "exact copy": b"",
            "recoded": _recoded(first),
            "gone": b"",
            "cut": b"",
        },
    )
    (folder / "exact copy.mp4").write_bytes((folder / "first.mp4").read_bytes())
    (folder / "gone.mp4").unlink()
    cut = (folder / "second.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(cut[: len(cut) // 2])
    return library


def _recoded(frames: np.ndarray) -> np.ndarray:
    """Scaled to two thirds, brighter, its first frame cut off."""
    places = (np.arange(44) * SIDE / 44).astype(int)
    small = frames[1:, places][:, :, places].astype(float) * 1.06
    return small.clip(0, 255).astype(np.uint8)
