"""The blocks that VGG, ResNet and Inception are built of, small enough to train in seconds.

A `StackedNet` repeats one kind of block at one width, so that two networks differ in nothing but
the block and their depth; `train` trains one, `gradient_norms` shows how much of the gradient
reaches each of its layers.

    Simonyan and Zisserman: Very Deep Convolutional Networks (2015), arXiv:1409.1556
    He and others: Deep Residual Learning for Image Recognition (2016), arXiv:1512.03385
    Szegedy and others: Going Deeper with Convolutions (2015), arXiv:1409.4842
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from vidrec_utils import arguments


def conv_norm(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Build a convolution that keeps height and width, and batch normalisation after it."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class VggBlock(nn.Module):
    """Two convolutions of 3 x 3: together they see 5 x 5 pixels.

    VGG itself had no batch normalisation, which was published a year later; with it, the three
    blocks differ in one thing only.

    Parameters
    ----------
    width : int
        Channels that go in and come out.
    """

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv_norm(width, width, 3), conv_norm(width, width, 3)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """F(x): both convolutions, without the last non-linearity."""
        return self.second(self.first(x).relu())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(n, width, h, w)` to the same shape."""
        return self.residual(x).relu()


class ResidualBlock(VggBlock):
    """The same two convolutions, which learn what to *add* to the input: `F(x) + x`.

    Examples
    --------
    A block whose `F(x)` is zero passes a non-negative input on unchanged:

    >>> block = ResidualBlock(4).eval()
    >>> scale = nn.init.zeros_(block.second[1].weight)
    >>> x = torch.ones(1, 4, 3, 3)
    >>> torch.equal(block(x), x)
    True
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(n, width, h, w)` to the same shape."""
        return (self.residual(x) + x).relu()


class InceptionBlock(nn.Module):
    """Four branches that look at the same maps at different sizes, joined channel by channel.

    The 3 x 3 and 5 x 5 filters see fewer channels than came in: a 1 x 1 convolution, the
    *bottleneck*, mixes them down first.

    Parameters
    ----------
    width : int
        Channels that go in and come out; divisible by 8.

    Raises
    ------
    ValueError
        If the width is not divisible by 8.

    Examples
    --------
    Its branches give 4, 8, 2 and 2 of 16 channels:

    >>> block, x = InceptionBlock(16), torch.ones(1, 16, 5, 5)
    >>> [branch(x).shape[1] for branch in block.branches().values()], block(x).shape[1]
    ([4, 8, 2, 2], 16)
    """

    def __init__(self, width: int):
        super().__init__()
        if width % 8:
            raise ValueError(f"width is {width}; four branches share it, so divide it by 8.")
        quarter, eighth = width // 4, width // 8
        self.one = conv_norm(width, quarter, 1)
        self.three = nn.Sequential(
            conv_norm(width, quarter, 1), nn.ReLU(), conv_norm(quarter, 2 * quarter, 3)
        )
        self.five = nn.Sequential(
            conv_norm(width, eighth, 1), nn.ReLU(), conv_norm(eighth, eighth, 5)
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(width, eighth, 1))

    def branches(self) -> dict[str, nn.Module]:
        """The four branches by name, in the order of their channels."""
        return {"1x1": self.one, "3x3": self.three, "5x5": self.five, "pooled": self.pooled}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(n, width, h, w)` to the same shape."""
        return torch.cat([branch(x) for branch in self.branches().values()], dim=1).relu()


def rows_reached(branch: nn.Module, width: int, *, size: int = 9, seed: int = 0) -> int:
    """Count the rows of a branch's output that a change in one row of its input reaches.

    Parameters
    ----------
    branch : nn.Module
        Maps `(n, width, size, size)` to maps of the same height.
    width : int
        Channels that go in.
    size : int
        Height and width of the maps.
    seed : int
        Seed of the noise that goes in.

    Examples
    --------
    >>> rows_reached(nn.Conv2d(4, 2, 3, padding=1), width=4)
    3
    """
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.rand(2, 64, width, size, size, generator=generator)
    same = torch.arange(size) != size // 2
    other[:, :, same] = one[:, :, same]
    with torch.inference_mode():
        apart = (branch(one) - branch(other)).abs().amax(dim=(0, 1, 3))  # (size,)
    return int((apart > 1e-6).sum())


BLOCKS: dict[str, type[nn.Module]] = {
    "plain": VggBlock,
    "residual": ResidualBlock,
    "inception": InceptionBlock,
}


class StackedNet(nn.Module):
    """A stem, blocks of one kind at one width, the mean over all positions, and one linear layer.

    Parameters
    ----------
    kind : {"plain", "residual", "inception"}
        The block.
    depth : int
        Number of blocks; each is two convolutions deep.
    width : int
        Channels everywhere.
    channels, classes : int
        Channels of the images, and number of classes.
    seed : int
        Initial weights are drawn with this seed; the global generator stays as it was.

    Raises
    ------
    ValueError
        If there is no such block, or no depth.

    Examples
    --------
    >>> StackedNet("residual", 2, width=8)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        kind: str,
        depth: int,
        width: int = 16,
        channels: int = 1,
        classes: int = 10,
        *,
        seed: int = 0,
    ):
        super().__init__()
        arguments.one_of(BLOCKS, kind=kind)
        arguments.positive(depth=depth)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Sequential(conv_norm(channels, width, 3), nn.ReLU())
            self.blocks = nn.Sequential(*(BLOCKS[kind](width) for _ in range(depth)))
            self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images `(n, channels, h, w)` to logits `(n, classes)`."""
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


@dataclass(frozen=True)
class Training:
    """What happened in a training.

    Attributes
    ----------
    losses : list of float
        Cross-entropy of each step's batch.
    accuracy : float
        Share of held-out images that are classified correctly after the last step.
    train_accuracy : float
        The same on all images that it was trained on.
    """

    losses: list[float]
    accuracy: float
    train_accuracy: float


def train(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    held_out: tuple[torch.Tensor, torch.Tensor],
    steps: int = 40,
    batch_size: int = 64,
    learning_rate: float = 0.05,
    *,
    seed: int = 0,
) -> Training:
    """Train a classifier by stochastic gradient descent with momentum, in place.

    Parameters
    ----------
    net : nn.Module
        Maps images to logits; it is changed.
    images, labels : tensors, (n, channels, h, w) and (n,)
        To train on.
    held_out : pair of tensors
        Images and labels to judge on; nothing is chosen by them.
    steps, batch_size : int
        Number of batches, and images in each.
    learning_rate : float
        The highest rate; it falls to zero along half a cosine.
    seed : int
        Batches are drawn with this seed.

    Raises
    ------
    RuntimeError
        If the loss becomes NaN or infinite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    net.train()
    for _ in range(steps):
        chosen = torch.randint(len(images), (batch_size,), generator=generator)
        loss = functional.cross_entropy(net(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise RuntimeError(f"Training diverged in step {len(losses)}: use a smaller rate.")
    return Training(losses, _accuracy(net, *held_out), _accuracy(net, images, labels))


def _accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    net.eval()
    with torch.inference_mode():
        return (net(images).argmax(dim=1) == labels).float().mean().item()


def gradient_norms(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> pd.Series:
    """Length of the loss's gradient in each convolution, from the first layer to the last.

    Batch normalisation uses the batch's own statistics, as in training; the network and its
    running statistics stay as they were.

    Parameters
    ----------
    net : nn.Module
        A classifier.
    images, labels : tensors, (n, channels, h, w) and (n,)
        One batch.

    Returns
    -------
    Series of float
        Indexed by the name of the convolution's module, in the order of the layers.
    """
    from copy import deepcopy

    copy = deepcopy(net).train()
    functional.cross_entropy(copy(images), labels).backward()
    norms = {
        name: module.weight.grad.norm().item()
        for name, module in copy.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    return pd.Series(norms, name="gradient norm")
