"""Augmentation of clips: random changes that leave the label true.

There is one draw per clip: every frame gets the same crop, the same flip, the same colours. Draws
per frame would add motion that nobody filmed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass
class ClipAugmentation:
    """Random but reproducible changes of a clip, consistent over time.

    Parameters
    ----------
    size : int or None
        Height and width of the result in pixels; None keeps the input's.
    scale : (float, float)
        Share of the frame's area that a random crop covers; (1, 1) means no crop.
    ratio : (float, float)
        Aspect ratio of the crop.
    flips : mapping or None
        Labels that may be mirrored, and their names after the flip:
        `{"bounce": "bounce", "slide_left": "slide_right"}`. A label that is not named is never
        flipped, and None flips nothing: whether a mirrored clip still shows what its label says
        depends on the label.
    flip_probability : float
        Probability of a flip where it is allowed.
    brightness, contrast, saturation : float
        Largest relative change of each: 0.2 draws a factor from 0.8 to 1.2.
    hue : float
        Largest shift of hue, in turns of the colour circle, up to 0.5.
    speed : (float, float)
        Playing speed is drawn from this range: 2 shows every second frame (the clip's last frame
        is repeated when it runs out), 0.5 each frame twice. Leave it at (1, 1) where pace is the
        label.
    jitter : float
        Largest shift of each frame's time, in frames, the order being kept.
    seed : int
        Seed of the object's own generator, used by calls without one.

    Notes
    -----
    The generator is the only source of randomness: torch's global state is neither read nor
    changed. Inside a `DataLoader`, `VideoClips` passes a generator per item and epoch.

    Examples
    --------
    >>> clip = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)  # (frames, channels, height, width)
    >>> flips = {"slide_left": "slide_right"}
    >>> augment = ClipAugmentation(size=16, flips=flips, flip_probability=1.0)
    >>> changed, label = augment(clip, "slide_left")
    >>> tuple(changed.shape), label
    ((4, 3, 16, 16), 'slide_right')
    >>> augment(clip, "rise")[1]  # a label that `flips` does not name is never flipped
    'rise'
    """

    size: int | None = None
    scale: tuple[float, float] = (0.6, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flips: Mapping[object, object] | None = None
    flip_probability: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    speed: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    seed: int = 0
    _rng: torch.Generator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_range("scale", self.scale, 0.0, 1.0)
        _check_range("ratio", self.ratio, 0.0, np.inf)
        _check_range("speed", self.speed, 0.0, np.inf)
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue is {self.hue}; give 0 to 0.5 turns.")
        for name in ("brightness", "contrast", "saturation", "jitter"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more.")
        self._rng = torch.Generator().manual_seed(self.seed)

    def __call__(
        self, clip: torch.Tensor, label: object = None, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, object]:
        """Change one clip.

        Parameters
        ----------
        clip : Tensor
            (frames, channels, height, width), uint8 or float in 0..1. Not changed.
        label : object
            Its label.
        generator : torch.Generator, optional
            Source of randomness; by default the object's own, which continues from call to call.

        Returns
        -------
        clip : Tensor
            A clip of the same dtype and number of frames.
        label : object
            The label, renamed if the clip was flipped and `flips` says so.

        Raises
        ------
        ValueError
            If the clip does not have four axes.
        """
        if clip.ndim != 4:
            raise ValueError(f"The clip has shape {tuple(clip.shape)}; give (frames, c, h, w).")
        rng = self._rng if generator is None else generator
        clip = self._resample(clip, rng)
        clip = self._crop(clip, rng)
        clip, label = self._flip(clip, label, rng)
        return self._colour(clip, rng), label

    def _resample(self, clip: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Play faster or slower, and shift single frames in time."""
        n = len(clip)
        times = torch.arange(n) * uniform(rng, *self.speed)
        if self.jitter:
            times = times + (2 * torch.rand(n, generator=rng) - 1) * self.jitter
            times = times.sort().values
        return clip[times.round().long().clamp(0, n - 1)]

    def _crop(self, clip: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        from torchvision.transforms.v2 import functional as F

        height, width = clip.shape[-2:]
        top, left, h, w = self._box(height, width, rng)
        size = [height, width] if self.size is None else [self.size, self.size]
        return F.resized_crop(clip, top, left, h, w, size, antialias=True)

    def _box(self, height: int, width: int, rng: torch.Generator) -> tuple[int, int, int, int]:
        """Draw a crop as Inception training does: area, then aspect ratio, then position."""
        if self.scale == (1.0, 1.0):
            return 0, 0, height, width
        for _ in range(10):
            area = height * width * uniform(rng, *self.scale)
            aspect = float(np.exp(uniform(rng, *np.log(self.ratio))))
            w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                top = int(torch.randint(height - h + 1, (), generator=rng))
                return top, int(torch.randint(width - w + 1, (), generator=rng)), h, w
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side

    def _flip(
        self, clip: torch.Tensor, label: object, rng: torch.Generator
    ) -> tuple[torch.Tensor, object]:
        from torchvision.transforms.v2 import functional as F

        # The draw is made in any case, so that later draws do not depend on the label.
        flip_drawn = uniform(rng, 0, 1) < self.flip_probability
        if not flip_drawn or self.flips is None or label not in self.flips:
            return clip, label
        return F.horizontal_flip(clip), self.flips[label]

    def _colour(self, clip: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        from torchvision.transforms.v2 import functional as F

        factors = {
            F.adjust_brightness: self.brightness,
            F.adjust_contrast: self.contrast,
            F.adjust_saturation: self.saturation,
        }
        for adjust, width in factors.items():
            factor = uniform(rng, max(0.0, 1 - width), 1 + width)
            if width and (clip.shape[1] == 3 or adjust is F.adjust_brightness):
                clip = _per_clip(adjust, clip, factor)
        turn = uniform(rng, -self.hue, self.hue)
        return F.adjust_hue(clip, turn) if self.hue and clip.shape[1] == 3 else clip

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the generator as bytes: as a tensor it would need shared memory to travel."""
        return {**self.__dict__, "_rng": self._rng.get_state().numpy().tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rng = torch.Generator()
        self._rng.set_state(torch.frombuffer(bytearray(state["_rng"]), dtype=torch.uint8))


def build_augmentation(
    *,
    train: bool = True,
    size: int = 64,
    flips: Mapping[object, object] | None = None,
    seed: int = 0,
    **options: Any,
) -> ClipAugmentation:
    """Build the augmentation for training clips, or the plain resizing for all others.

    Parameters
    ----------
    train : bool
        False gives an object that only resizes: validation clips are not augmented.
    size : int
        Height and width of the result.
    flips, seed, **options
        See `ClipAugmentation`.

    Returns
    -------
    ClipAugmentation
        The object to call on clips.

    Examples
    --------
    >>> resize = build_augmentation(train=False, size=16)
    >>> clip = torch.full((4, 3, 32, 32), 77, dtype=torch.uint8)
    >>> changed, _ = resize(clip)
    >>> tuple(changed.shape), int(changed.min()), int(changed.max())
    ((4, 3, 16, 16), 77, 77)
    """
    if train:
        return ClipAugmentation(size=size, flips=flips, seed=seed, **options)
    unchanged = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    return ClipAugmentation(
        size=size, scale=(1.0, 1.0), flip_probability=0.0, seed=seed, **unchanged
    )


def to_float(
    clip: torch.Tensor,
    mean: tuple[float, ...] = (0.485, 0.456, 0.406),
    std: tuple[float, ...] = (0.229, 0.224, 0.225),
) -> torch.Tensor:
    """Scale a uint8 clip (t, c, h, w) to 0..1 and normalize it, by default as for ImageNet."""
    from torchvision.transforms import v2

    pipeline = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    return pipeline(clip)


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """Draw a number between two others."""
    return float(low + (high - low) * torch.rand((), generator=rng))


def _per_clip(
    adjust: Callable[[torch.Tensor, float], torch.Tensor], clip: torch.Tensor, factor: float
) -> torch.Tensor:
    """Adjust colours; contrast is relative to the clip's mean, not to each frame's."""
    from torchvision.transforms.v2 import functional as F

    if adjust is not F.adjust_contrast:
        return adjust(clip, factor)
    # Frames next to each other are one image to the function, so all of them share one mean.
    frames, channels, height, width = clip.shape
    strip = clip.permute(1, 0, 2, 3).reshape(channels, frames * height, width)
    strip = adjust(strip, factor)
    return strip.reshape(channels, frames, height, width).permute(1, 0, 2, 3).contiguous()


def _check_range(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    if not (low < pair[0] <= pair[1] <= high):
        raise ValueError(
            f"{name} is {pair}; give two numbers in order, above {low:g}"
            f"{'' if np.isinf(high) else f' and up to {high:g}'}."
        )
