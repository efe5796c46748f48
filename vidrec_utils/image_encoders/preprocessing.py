"""What is done to an image before a network sees it: framing, scaling, normalising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch

from vidrec_utils.encoders.pixels import checked, cut_long_sides, square

Images: TypeAlias = "Sequence[np.ndarray] | np.ndarray"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """Preprocessing of one network, as its authors do it.

    Attributes
    ----------
    size : int
        Side of the square that the network sees, in pixels.
    resize : int or None
        Shorter side in pixels before the centre square is cut out; None cuts the largest square
        out first and resizes that, so that nothing of the shorter side is lost.
    interpolation : {"bilinear", "bicubic"}
        Always antialiased.
    mean, std : tuple of float
        Mean and deviation of the three channels; the network gets `(x / unit - mean) / std`.
    unit : float
        255 where mean and std are of values in [0, 1].
    """

    size: int
    resize: int | None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    unit: float = 255.0

    def at(self, size: int) -> Recipe:
        """The same for another size; the margin that is cut off stays the same part."""
        resize = self.resize and round(self.resize * size / self.size)
        return replace(self, size=int(size), resize=resize)

    def described(self) -> dict[str, object]:
        """What is done to an image, for the provenance of vectors."""
        description: dict[str, object] = {
            "crop": "centre square",
            "resize": f"{self.interpolation}, antialias",
            "size": self.size,
            "mean": self.mean[0] if len(set(self.mean)) == 1 else list(self.mean),
            "scale": self.std[0] if len(set(self.std)) == 1 else list(self.std),
        }
        if self.resize:
            description |= {"shorter side": self.resize, "unit": self.unit}
        return description

    def __call__(self, images: Images) -> torch.Tensor:
        """Prepare images: float32 `(n, 3, size, size)`; errors as in `encoders.pixels.checked`."""
        batch = checked(images, "Image")
        if not batch:
            return torch.empty(0, 3, self.size, self.size)
        tensors = [torch.from_numpy(np.ascontiguousarray(i)).permute(2, 0, 1) for i in batch]
        if len({tensor.shape for tensor in tensors}) == 1:  # one call for all of one size
            framed = self._frame(torch.stack(tensors))
        else:
            framed = torch.stack([self._frame(tensor) for tensor in tensors])
        mean, std = (
            torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (self.mean, self.std)
        )
        return framed.float().div_(self.unit).sub_(mean).div_(std)

    def _frame(self, image: torch.Tensor) -> torch.Tensor:
        """Frame uint8 `(..., 3, height, width)` to `(..., 3, size, size)`."""
        if self.resize is None:
            return square(image, self.size, self.interpolation)
        from torchvision.transforms import InterpolationMode, functional, v2

        image = cut_long_sides(image)
        # each as its authors' library does it: the two round half a grey level differently
        resize = functional.resize if self.interpolation == "bilinear" else v2.functional.resize
        mode = InterpolationMode(self.interpolation)
        image = resize(image, [self.resize], mode, antialias=True)
        return v2.functional.center_crop(image, [self.size, self.size])
