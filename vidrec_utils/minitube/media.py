"""From a plan to files: one job per upload, each independent of all others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import video_io
from vidrec_utils.files import draft_folder, replace_whole
from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.rendering import Clip, render

NOT_A_VIDEO = {
    "text_as_video": b"<html><body>404: this video has moved</body></html>\n",
    "empty_file": b"",
}
"""What stands in files that are no videos, by kind of dirt."""


def make_media(video_id: str, plan: pd.DataFrame, config: WorldConfig, target: Path) -> None:
    """Render and write one upload: its clip, its thumbnail and the boxes of its sprite.

    What exists is left alone, and every file appears whole or not at all, so an interrupted
    rendering goes on where it stopped.

    Parameters
    ----------
    video_id : str
        A row of the plan.
    plan : pandas.DataFrame
        As `dirt.plant_media` returns it.
    config : WorldConfig
        Frame size, rate and seed.
    target : pathlib.Path
        The world's folder, with `library/clips`, `library/thumbnails` and `truth/boxes`.
    """
    # The boxes are written last: where they are, the upload is complete.
    done = target / "truth" / "boxes" / f"{video_id}.npy"
    if done.exists():
        return
    row = plan.loc[video_id]
    original = video_id if pd.isna(row["source_id"]) else str(row["source_id"])
    clip = render_upload(original, plan, config)
    path = target / "library" / "clips" / f"{video_id}.mp4"
    kind = row["media"]
    frames = clip.frames
    # A re-upload of the same file is the same file: its encoding follows the original's seed.
    crf = int(config.rng(f"encode {original}").integers(23, 33))
    rng = config.rng(f"spoil {video_id}")
    if kind == "black":
        frames = rng.integers(0, 6, frames.shape, dtype=np.uint8)
    elif kind == "noisy":
        frames = add_noise(frames, rng)
    if kind == "reencoded_duplicate":
        frames = _reencode(clip.frames, crf, path, config, rng)
    elif kind in NOT_A_VIDEO:
        replace_whole(path, NOT_A_VIDEO[kind])
    else:
        video_io.write_clip(path, frames, fps=config.fps, crf=crf)
    if kind == "truncated":
        whole = path.read_bytes()
        replace_whole(path, whole[: int(len(whole) * rng.uniform(0.3, 0.6))])
    if kind not in NOT_A_VIDEO:
        thumbnail = target / "library" / "thumbnails" / f"{video_id}.jpg"
        best = _showable(clip.boxes)[-len(frames) :]
        _write_thumbnail(thumbnail, frames, best, config.rng(f"thumbnail {video_id}"))
    _write_array(done, clip.boxes)


def render_upload(video_id: str, plan: pd.DataFrame, config: WorldConfig) -> Clip:
    """Render the undamaged clip of an original upload: the same id and seed, the same pixels."""
    row = plan.loc[video_id]
    return render(
        row["subject"],
        row["scene"],
        row["motion"],
        row["pace"],
        config,
        config.rng(f"clip {video_id}"),
    )


def add_noise(frames: np.ndarray, rng: np.random.Generator, sigma: float = 32.0) -> np.ndarray:
    """Add Gaussian noise and a few dead pixels to a clip, as a cheap camera does in the dark.

    Parameters
    ----------
    frames : numpy.ndarray
        uint8, shape (frames, height, width, 3).
    rng : numpy.random.Generator
        Source of the noise.
    sigma : float
        Standard deviation in grey levels of 0..255.
    """
    noisy = frames + rng.normal(0, sigma, frames.shape)
    dead = rng.random(frames.shape[:3]) < 0.01
    noisy[dead] = rng.choice([0, 255], size=(int(dead.sum()), 1))
    return noisy.clip(0, 255).astype(np.uint8)


def _reencode(
    frames: np.ndarray, crf: int, path: Path, config: WorldConfig, rng: np.random.Generator
) -> np.ndarray:
    """Write what a re-upload looks like: decoded, scaled, brightened, trimmed, encoded again."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first.mp4"
        video_io.write_clip(first, frames, fps=config.fps, crf=crf)
        decoded, _ = video_io.read_clip(first)
    trim = int(rng.integers(0, 3))
    edge = int(rng.choice([96, 112, 144]))
    gain = rng.uniform(0.92, 1.08)
    again = [
        np.asarray(Image.fromarray(frame).resize((edge, edge), Image.Resampling.BICUBIC))
        for frame in decoded[trim:]
    ]
    brightened = (np.stack(again).astype(np.float32) * gain).clip(0, 255).astype(np.uint8)
    video_io.write_clip(path, brightened, fps=config.fps, crf=int(rng.integers(28, 36)))
    return brightened


def _showable(boxes: np.ndarray) -> np.ndarray:
    """Return which frames an uploader would choose from: the subject is well in view."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area >= 0.8 * area.max()


def _write_thumbnail(
    path: Path, frames: np.ndarray, showable: np.ndarray, rng: np.random.Generator
) -> None:
    candidates = np.flatnonzero(showable)
    # A trimmed re-upload may have lost the frames that were best.
    pick = rng.choice(candidates) if len(candidates) else rng.integers(len(frames))
    frame = frames[int(pick)]
    with draft_folder(path) as folder:
        draft = folder / path.name
        Image.fromarray(frame).save(draft, quality=88)
        draft.replace(path)


def _write_array(path: Path, array: np.ndarray) -> None:
    with draft_folder(path) as folder:
        draft = folder / path.name
        np.save(draft, array)
        draft.replace(path)
