"""From a plan to files: one job per upload, each independent of all others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import video_io
from vidrec_utils.files import draft_folder, replace_whole
from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.plan import plan_shots
from vidrec_utils.minitube.rendering import Clip, join, render
from vidrec_utils.minitube.sound import RATE, synthesize

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
    shots = plan_shots(plan.loc[[original]], config)
    clip = render_upload(original, plan, config)
    music = synthesize_upload(original, plan, config) if row["has_sound"] else None
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
        frames = _reencode(clip.frames, music, crf, path, config, rng)
    elif kind in NOT_A_VIDEO:
        replace_whole(path, NOT_A_VIDEO[kind])
    else:
        _write(path, frames, music, crf, config)
    if kind == "truncated":
        whole = path.read_bytes()
        replace_whole(path, whole[: int(len(whole) * rng.uniform(0.3, 0.6))])
    if kind not in NOT_A_VIDEO:
        thumbnail = target / "library" / "thumbnails" / f"{video_id}.jpg"
        best = _showable(clip.boxes, shots)[-len(frames) :]
        _write_thumbnail(thumbnail, frames, best, config.rng(f"thumbnail {video_id}"))
    _write_array(done, clip.boxes)


def render_upload(video_id: str, plan: pd.DataFrame, config: WorldConfig) -> Clip:
    """Render the undamaged clip of an original upload: the same id and seed, the same pixels.

    Parameters
    ----------
    video_id : str
        A row of the plan that is no re-upload.
    plan : pandas.DataFrame
        As `dirt.plant_media` returns it.
    config : WorldConfig
        Frame size, rate and seed.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from vidrec_utils.minitube.config import world_config
    >>> from vidrec_utils.minitube.plan import plan_videos
    >>> config = replace(world_config(), n_videos=2, image_size=32)
    >>> plan = plan_videos(config)
    >>> clip = render_upload(plan.index[0], plan, config)
    >>> bool(len(clip.frames) == plan["n_frames"].iloc[0]), clip.frames.shape[1:]
    (True, (32, 32, 3))
    """
    pace = plan.at[video_id, "pace"]
    shots = plan_shots(plan.loc[[video_id]], config).reset_index(drop=True)
    return join(
        [
            render(
                shot["subject"],
                shot["scene"],
                shot["motion"],
                pace,
                shot["end_frame"] - shot["first_frame"],
                config,
                config.rng(f"clip {video_id} {number}"),
            )
            for number, shot in shots.iterrows()
        ]
    )


def synthesize_upload(video_id: str, plan: pd.DataFrame, config: WorldConfig) -> np.ndarray:
    """Synthesise the music of an original upload, at `sound.RATE`; it is as long as the clip."""
    row = plan.loc[video_id]
    duration_s = row["n_frames"] / config.fps
    return synthesize(row["mood"], row["pace"], duration_s, config.rng(f"sound {video_id}"))


def _write(
    path: Path,
    frames: np.ndarray,
    music: np.ndarray | None,
    crf: int,
    config: WorldConfig,
    bit_rate: int = 32_000,
) -> None:
    """Write a clip, with its music if it has any."""
    track: dict[str, Any] = {}
    if music is not None:
        track = {"sound": music, "sound_rate": RATE, "sound_bit_rate": bit_rate}
    video_io.write_clip(path, frames, fps=config.fps, crf=crf, **track)


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
    frames: np.ndarray,
    music: np.ndarray | None,
    crf: int,
    path: Path,
    config: WorldConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """Write what a re-upload looks like: decoded, scaled, brightened, trimmed, encoded again.

    The sound begins as much later as the picture; it is quieter or louder, and has fewer bits.
    """
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
    crf = int(rng.integers(28, 36))
    if music is not None:
        louder = rng.uniform(0.7, 1.1)
        music = (louder * music[round(trim * RATE / config.fps) :]).clip(-1, 1)
    _write(path, brightened, music, crf, config, bit_rate=24_000)
    return brightened


def _showable(boxes: np.ndarray, shots: pd.DataFrame) -> np.ndarray:
    """Return which frames an uploader would choose from: the subject is well in view.

    Only the longest shot counts (the earliest of several): what it shows is what the clip is about.
    """
    longest = shots.iloc[int((shots["end_frame"] - shots["first_frame"]).to_numpy().argmax())]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    frame = np.arange(len(boxes))
    inside = (frame >= longest["first_frame"]) & (frame < longest["end_frame"])
    return inside & (area >= 0.8 * area[inside].max())


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
