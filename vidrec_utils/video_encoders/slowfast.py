"""SlowFast, built by pytorchvideo: a slow path for what is seen, a fast one for how it moves.

References
----------
Feichtenhofer, Fan, Malik, He: SlowFast Networks for Video Recognition. ICCV 2019
(arXiv:1812.03982).
"""

from __future__ import annotations

import warnings

import torch
from torch import nn


class SlowFastR50(nn.Module):
    """SlowFast R50 8x8 in pytorchvideo's layout, whose published checkpoint loads into `.net`.

    Parameters
    ----------
    classes : int
        400 for Kinetics.
    """

    alpha = 4  # the slow path sees every fourth frame

    def __init__(self, classes: int = 400):
        super().__init__()
        with warnings.catch_warnings():  # its torch.jit.script at import, none of ours
            warnings.simplefilter("ignore", FutureWarning)
            from pytorchvideo.models.slowfast import create_slowfast
        self.net = create_slowfast(
            model_depth=50,
            slowfast_fusion_conv_kernel_size=(7, 1, 1),
            model_num_class=classes,
        )
        self.channels = self.dim = 2304

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The layer before the classifier, `(batch, 2304)`, of `(batch, 3, 32, height, width)`."""
        return self.maps(x).mean(dim=(2, 3, 4))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The vector as a sequence of one, `(batch, 2304, 1)`: both paths are pooled over time."""
        return self.vector(x)[:, :, None]

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Both paths pooled, side by side, `(batch, 2304, 1, height / 32 - 6, width / 32 - 6)`."""
        paths = [x[:, :, :: self.alpha].contiguous(), x]
        for block in self.net.blocks[:-1]:
            paths = block(paths)
        return paths

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.blocks[-1](self.maps(x))
