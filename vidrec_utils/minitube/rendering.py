"""From a planned shot to frames: sprite over scene, with distractors, occlusion and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.motions import Track, seconds_from_middle, track
from vidrec_utils.minitube.scenes import background
from vidrec_utils.minitube.sprites import all_subjects, scaled_sprite


@dataclass(frozen=True)
class Clip:
    """Rendered frames, of one shot or of several, with their ground truth.

    Attributes
    ----------
    frames : numpy.ndarray
        uint8, shape (frames, height, width, 3), RGB.
    boxes : numpy.ndarray
        The sprite's box in every frame, clipped to the frame: left, top, right, bottom in pixels,
        float32, shape (frames, 4).
    """

    frames: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class _Patch:
    """An image to paste: colours, opacity, and the box of its visible part."""

    colour: Image.Image
    opacity: Image.Image
    ink: tuple[int, int, int, int]

    @classmethod
    def of(cls, image: Image.Image) -> _Patch:
        opacity = image.getchannel("A")
        return cls(image.convert("RGB"), opacity, opacity.getbbox() or (0, 0, 0, 0))


@lru_cache(maxsize=64)  # most motions keep size and angle through the shot
def _patch(character: str, edge: int, angle: float) -> _Patch:
    scaled = scaled_sprite(character, edge)
    if angle:
        scaled = scaled.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    return _Patch.of(scaled)


def _paste(frame: Image.Image, patch: _Patch, x: float, y: float) -> tuple[int, int]:
    left, top = round(x - patch.colour.width / 2), round(y - patch.colour.height / 2)
    frame.paste(patch.colour, (left, top), patch.opacity)
    return left, top


def _box(patch: _Patch, left: int, top: int, size: int) -> list[int]:
    """Return the visible box of a pasted patch: left, top, right, bottom, inside the frame."""
    corners = zip(patch.ink, (left, top, left, top), strict=True)
    return [min(max(inside + start, 0), size) for inside, start in corners]


def _distractors(subject: str, n_frames: int, rng: np.random.Generator) -> list[tuple[str, Track]]:
    """Draw up to two small sprites that drift in a straight line, in no preferred direction."""
    drawn = []
    others = [one for _, one in all_subjects() if one != subject]
    for _ in range(int(rng.choice(3, p=[0.35, 0.4, 0.25]))):
        start, end = rng.uniform(0.0, 1.0, size=(2, 2))
        way = start + np.linspace(0, 1, n_frames)[:, None] * (end - start) * rng.uniform(0, 0.6)
        size = np.full(n_frames, rng.uniform(0.13, 0.22))
        drawn.append(
            (str(rng.choice(others)), Track(way[:, 0], way[:, 1], size, np.zeros(n_frames)))
        )
    return drawn


def _occluder(size: int, rng: np.random.Generator) -> _Patch | None:
    """Draw a bar that hides part of the frame in a third of the shots."""
    if rng.random() > 0.33:
        return None
    layer = Image.new("RGBA", (size, size))
    colour = (*(int(c) for c in rng.integers(20, 200, size=3)), 235)
    width = int(size * rng.uniform(0.08, 0.16))
    at = int(rng.integers(int(0.15 * size), int(0.75 * size)))
    upright = rng.random() < 0.5
    layer.paste(colour, (at, 0, at + width, size) if upright else (0, at, size, at + width))
    return _Patch.of(layer)


def render(
    subject: str,
    scene: str,
    motion: str,
    pace: str,
    n_frames: int,
    config: WorldConfig,
    rng: np.random.Generator,
) -> Clip:
    """Render one shot.

    Parameters
    ----------
    subject : str
        The sprite's character, a value of `vocabulary.SUBJECTS`.
    scene, motion, pace : str
        Keys of `vocabulary.SCENES`, `MOTIONS` and `PACES`.
    n_frames : int
        Frames in the shot.
    config : WorldConfig
        Gives the frames' size and rate.
    rng : numpy.random.Generator
        Everything else that differs between two shots of the same plan comes from here.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from vidrec_utils.minitube import world_config
    >>> config = replace(world_config(), image_size=32)
    >>> shot = render("🐎", "garden", "slide_left", "medium", 4, config, np.random.default_rng(0))
    >>> shot.frames.shape, shot.boxes.shape
    ((4, 32, 32, 3), (4, 4))
    """
    size = config.image_size
    path = track(motion, pace, n_frames, config.fps, rng)
    base = background(scene, size, rng)
    others = _distractors(subject, n_frames, rng)
    occluder = _occluder(size, rng)
    light = _light(n_frames, config.fps, rng)
    grain = np.repeat(rng.normal(0, 3.0, size=(4, size, size, 1)), 3, axis=3).astype(np.float32)
    which = rng.integers(4, size=n_frames)
    frames = np.empty((n_frames, size, size, 3), dtype=np.uint8)
    boxes = np.empty((n_frames, 4), dtype=np.float32)
    pixels = np.empty((size, size, 3), dtype=np.float32)
    for t in range(n_frames):
        frame = base.copy()
        for other, way in others:
            edge = max(2, round(way.size[t] * size))
            _paste(frame, _patch(other, edge, 0.0), way.x[t] * size, way.y[t] * size)
        patch = _patch(subject, max(2, round(path.size[t] * size)), path.angle[t])
        left, top = _paste(frame, patch, path.x[t] * size, path.y[t] * size)
        boxes[t] = _box(patch, left, top, size)
        if occluder is not None:
            frame.paste(occluder.colour, (0, 0), occluder.opacity)
        np.multiply(np.asarray(frame), light[t], out=pixels)
        pixels += grain[which[t]]
        frames[t] = pixels.clip(0, 255, out=pixels)
    return Clip(frames, boxes)


def _light(n_frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the brightness of every frame: it swells and fades slowly."""
    strength, speed, phase = rng.uniform(0, 0.18), rng.uniform(0.15, 0.75), rng.random()
    turns = speed * seconds_from_middle(n_frames, fps) + phase
    return (1.0 + strength * np.sin(2 * np.pi * turns)).astype(np.float32)


def join(shots: Sequence[Clip]) -> Clip:
    """Put shots one after the other, with hard cuts between them.

    Examples
    --------
    >>> white = Clip(np.full((2, 4, 4, 3), 255, np.uint8), np.zeros((2, 4), np.float32))
    >>> join([white, white]).frames.shape
    (4, 4, 4, 3)
    """
    return Clip(
        np.concatenate([shot.frames for shot in shots]),
        np.concatenate([shot.boxes for shot in shots]),
    )
