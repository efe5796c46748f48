"""Clips that teach motion, made so that nothing in them is in MiniTube.

Sprites are OpenMoji characters that MiniTube does not use, scenes are procedural textures where
MiniTube has photographs, and the motions are other ones: oblique drifts, spirals, turning growth,
squares, swings. A network that has learned them knows *that* and *which way* things move; it has
yet to learn MiniTube's own motions.

`motions.track` of MiniTube is not used either, so that no formula is shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import emoji
import joblib
import numpy as np
from PIL import Image
from tqdm import tqdm

from vidrec_utils.minitube.sprites import sprite
from vidrec_utils.minitube.vocabulary import SUBJECTS

VERSION = 1
"""Raised whenever a change alters the clips, so that an old corpus is not used."""

FRAMES, SIZE = 16, 64
RESERVED = "⛪🕋🕌🛕"
"""Characters that MiniTube used when the corpus was made: without them it stays the same, clip by
clip, and so do the networks that were trained on it."""
DRIFTS = tuple(f"drift_{angle}" for angle in range(22, 360, 45))
SPIRALS = ("spiral_out_cw", "spiral_out_ccw", "spiral_in_cw", "spiral_in_ccw")
GROWTHS = ("grow_cw", "grow_ccw", "shrink_cw", "shrink_ccw")
MOTIONS = (
    *DRIFTS, *SPIRALS, *GROWTHS, "square_ccw", "square_cw", "swing", "pulse", "tremble", "still",
)  # fmt: skip
"""All motions; drifts are named by their angle in degrees, counter-clockwise from the right."""


@dataclass(frozen=True)
class Corpus:
    """Clips with their labels.

    Attributes
    ----------
    clips : ndarray of uint8, shape (n, frames, size, size, 3)
        RGB, memory-mapped.
    motions : ndarray of int64, shape (n,)
        Position in `MOTIONS`.
    """

    clips: np.ndarray
    motions: np.ndarray


def reversed_in_time(name: str) -> str:
    """The motion that a clip shows when it is played backwards."""
    if name in DRIFTS:
        return DRIFTS[(DRIFTS.index(name) + 4) % 8]
    return _turned_round(_swapped(name, ("out", "in"), ("grow", "shrink")))


def mirrored(name: str) -> str:
    """The motion that a clip shows when left and right are exchanged."""
    if name in DRIFTS:
        return DRIFTS[(3 - DRIFTS.index(name)) % 8]
    return _turned_round(name)


def quarter_turned(name: str) -> str:
    """The motion that a clip shows when its frames are turned by 90 degrees counter-clockwise."""
    return DRIFTS[(DRIFTS.index(name) + 2) % 8] if name in DRIFTS else name


def _turned_round(name: str) -> str:
    return _swapped(name, ("cw", "ccw"))


def _swapped(name: str, *pairs: tuple[str, str]) -> str:
    other = {a: b for one, two in pairs for a, b in ((one, two), (two, one))}
    return "_".join(other.get(word, word) for word in name.split("_"))


@cache
def characters() -> tuple[str, ...]:
    """Single emoji that the font draws and MiniTube does not use, in a fixed order."""
    taken = {one for many in SUBJECTS.values() for one in many} | {*RESERVED}
    taken |= {one.rstrip("\ufe0f") for one in taken}
    usable = []
    for one in sorted(emoji.EMOJI_DATA):
        if len(one) > 1 or one in taken or emoji.EMOJI_DATA[one]["status"] > 2:
            continue
        try:
            sprite(one)
        except ValueError:
            continue
        usable.append(one)
    return tuple(usable)


def texture(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Draw a background that no camera took: coloured noise of several grains, stripes, a gradient.

    Returns
    -------
    ndarray of float32, shape (size, size, 3)
        Between 0 and 255.
    """
    steps = np.linspace(0, 1, size, dtype=np.float32)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    slope = rng.normal(size=(2, 3)) * rng.uniform(0, 90)
    image = rng.uniform(40, 215, size=3) + x[..., None] * slope[0] + y[..., None] * slope[1]
    for grain in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(grain, grain, 3)) * rng.uniform(0, 28)
        if rng.random() < 0.5:
            noise[:] = noise.mean(axis=2, keepdims=True)
        layers = [
            np.asarray(Image.fromarray(noise[..., c].astype(np.float32)).resize((size, size), 3))
            for c in range(3)
        ]
        image = image + np.stack(layers, axis=-1)
    if rng.random() < 0.4:
        angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 12)
        stripes = np.sin(2 * np.pi * waves * (np.cos(angle) * x + np.sin(angle) * y))
        image = image + stripes[..., None] * rng.normal(size=3) * 25
    return image.clip(0, 255).astype(np.float32)


def path(name: str, rng: np.random.Generator, frames: int = FRAMES) -> np.ndarray:
    """Compute where a sprite is in each frame.

    Returns
    -------
    ndarray, shape (frames, 4)
        x and y of the centre and the edge as shares of the frame, and the angle in degrees,
        counter-clockwise.
    """
    x, y = np.full((2, frames), rng.uniform(0.38, 0.62, size=(2, 1)))
    size = np.full(frames, rng.uniform(0.32, 0.6))
    angle = np.full(frames, rng.uniform(-40, 40))
    turns = rng.random() + rng.uniform(0.5, 2.6) * (np.linspace(0, 1, frames) - 0.5)
    saw = turns % 1.0
    way = -1.0 if name.endswith("_cw") else 1.0  # y points down, so clockwise is minus
    if name in DRIFTS:
        direction = np.deg2rad(float(name.split("_")[1]))
        across = rng.uniform(-0.2, 0.2)
        along = 1.25 * (saw - 0.5)
        x = 0.5 + along * np.cos(direction) + across * np.sin(direction)
        y = 0.5 - along * np.sin(direction) + across * np.cos(direction)
    elif name in SPIRALS:
        share = saw if "out" in name else 1 - saw
        radius, circles = 0.06 + 0.3 * share, rng.uniform(1.0, 1.6)
        x = 0.5 + radius * np.cos(2 * np.pi * circles * turns)
        y = 0.5 - way * radius * np.sin(2 * np.pi * circles * turns)
    elif name in GROWTHS:
        size = 0.2 + 0.75 * (saw if "grow" in name else 1 - saw)
        angle = angle + way * 360.0 * rng.uniform(0.6, 1.2) * turns
    elif name.startswith("square"):
        corner = 4 * (turns % 1.0)
        a = np.clip(np.abs((corner + 0.5) % 4 - 2) - 0.5, 0, 1)
        b = np.clip(np.abs((corner + 3.5) % 4 - 2) - 0.5, 0, 1)
        half = rng.uniform(0.18, 0.26)
        x, y = x + half * (2 * a - 1), y - way * half * (2 * b - 1)
    elif name == "swing":
        angle = angle + rng.uniform(25, 70) * np.sin(2 * np.pi * turns)
    elif name == "pulse":
        size = size * (1 + rng.uniform(0.2, 0.45) * np.sin(2 * np.pi * turns))
    elif name == "tremble":
        x, y = x + rng.normal(0, 0.035, frames), y + rng.normal(0, 0.035, frames)
    return np.stack([x, y, size, angle], axis=1)


def clip(name: str, shapes: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Render one clip, uint8 `(FRAMES, SIZE, SIZE, 3)`: sprite over texture, with distractors."""
    base = Image.fromarray(texture(rng).astype(np.uint8))
    paths = [path(name, rng)]
    for _ in range(int(rng.integers(0, 3))):  # small ones, which drift slowly and anywhere
        start, end = rng.uniform(0, 1, size=(2, 2))
        way = start + np.linspace(0, 1, FRAMES)[:, None] * (end - start) * rng.uniform(0, 0.6)
        rest = np.tile([rng.uniform(0.12, 0.22), 0.0], (FRAMES, 1))
        paths.insert(0, np.hstack([way, rest]))
    drawn = [sprite(str(shapes[i])) for i in rng.integers(len(shapes), size=len(paths))]
    bar = _bar(rng)
    light = 1 + rng.uniform(0, 0.2) * np.sin(2 * np.pi * (np.linspace(0, 1, FRAMES) + rng.random()))
    frames = np.empty((FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    for t in range(FRAMES):
        frame = base.copy()
        for image, way in zip(drawn, paths, strict=True):
            x, y, share, angle = way[t]
            edge = max(3, round(share * SIZE))
            placed = image.resize((edge, edge), Image.Resampling.BILINEAR)
            if angle:
                placed = placed.rotate(angle, Image.Resampling.BILINEAR, expand=True)
            corner = (round(x * SIZE - placed.width / 2), round(y * SIZE - placed.height / 2))
            frame.paste(placed, corner, placed)
        if bar is not None:
            frame.paste(bar[0], bar[1])
        noise = rng.normal(0, 3, size=(SIZE, SIZE, 1))
        frames[t] = (np.asarray(frame, dtype=np.float32) * light[t] + noise).clip(0, 255)
    return frames


def _bar(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, int, int, int]] | None:
    """Colour and box of a bar that hides part of the image in a third of the clips."""
    if rng.random() > 0.33:
        return None
    at, width = int(rng.integers(8, SIZE - 16)), int(rng.integers(4, 10))
    box = (at, 0, at + width, SIZE) if rng.random() < 0.5 else (0, at, SIZE, at + width)
    return tuple(int(c) for c in rng.integers(20, 200, size=3)), box


def _rendered(part: str, start: int, stop: int, seed: int) -> np.ndarray:
    shapes = characters()[1::5] if part == "validation" else _training_shapes()
    rng = np.random.default_rng([seed, *part.encode(), start])
    return np.stack([clip(MOTIONS[i % len(MOTIONS)], shapes, rng) for i in range(start, stop)])


def _training_shapes() -> tuple[str, ...]:
    return tuple(one for number, one in enumerate(characters()) if number % 5 != 1)


def build(folder: Path, part: str, n: int, seed: int = 1234, jobs: int = 2) -> Corpus:
    """Render a part of the corpus, or open it if it was rendered before.

    Training and validation share neither sprites nor textures.

    Parameters
    ----------
    folder : Path
        Where it is kept; safe to delete.
    part : {"train", "validation"}
        Which part.
    n : int
        Clips; every motion occurs equally often.
    seed : int
        The same seed gives the same clips.
    jobs : int
        Processes.
    """
    if part not in ("train", "validation"):
        raise ValueError(f"The corpus has no part {part!r}; choose 'train' or 'validation'.")
    file = Path(folder) / f"motion-corpus-{VERSION}-{part}-{n}-{seed}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        starts = range(0, n, 100)
        work = joblib.Parallel(n_jobs=jobs, return_as="generator")(
            joblib.delayed(_rendered)(part, start, min(start + 100, n), seed) for start in starts
        )
        done = np.concatenate(list(tqdm(work, total=len(starts), desc=f"clips, {part}")))
        unfinished = file.with_suffix(".part.npy")
        np.save(unfinished, done)
        unfinished.replace(file)
    return Corpus(np.load(file, mmap_mode="r"), np.arange(n) % len(MOTIONS))
