"""The experiment on depth: one kind of block, more and more of them, on scanned digits.

`run` trains one network; `recorded` reads what `benchmarks/depth_of_blocks.py` measured, which
takes minutes.

The digits are 1,797 real scans of 8 x 8 pixels from scikit-learn (Alpaydin and Kaynak, 1998, UCI
machine learning repository), small enough for deep networks on a laptop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from vidrec_utils import settings
from vidrec_utils.image_encoders.blocks import StackedNet, gradient_norms, train

KINDS = ("plain", "residual", "inception")
STEPS = 40
TRAINED_ON = 1200
"""The first scans are trained on, the others, by other writers, are held out."""
RECORD = Path(__file__).with_name("depth.csv")


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scans in [0, 1], float32 `(1797, 1, 8, 8)`, and their digits, `(1797,)`.

    Examples
    --------
    >>> images, labels = digits()
    >>> images.shape, labels[:3].tolist()
    (torch.Size([1797, 1, 8, 8]), [0, 1, 2])
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return pixels, torch.tensor(labels)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    kind, depth, steps, seed
        See `run`.
    accuracy, train_accuracy : float
        Share of held-out scans, and of those trained on, that are classified correctly.
    losses : list of float
        Cross-entropy of each step.
    before : Series of float
        Length of the gradient in each convolution before the first step.
    net : StackedNet
        After training.
    """

    kind: str
    depth: int
    steps: int
    seed: int
    accuracy: float
    train_accuracy: float
    losses: list[float]
    before: pd.Series
    net: StackedNet

    def row(self) -> dict[str, object]:
        """What is recorded of it."""
        kept = ("kind", "depth", "steps", "seed", "accuracy", "train_accuracy")
        ratio = self.before.iloc[0] / self.before.iloc[-1]
        return {name: getattr(self, name) for name in kept} | {"gradient_ratio": ratio}


def run(kind: str, depth: int, steps: int = STEPS, *, seed: int = 0) -> Run:
    """Train one network on the digits.

    Parameters
    ----------
    kind : {"plain", "residual", "inception"}
        Its block.
    depth : int
        Number of blocks.
    steps : int
        Batches of 64.
    seed : int
        Initial weights and batches are drawn with this seed.

    Examples
    --------
    >>> result = run("residual", depth=1, steps=2)
    >>> len(result.losses), result.kind
    (2, 'residual')
    """
    images, labels = digits()
    held_out = images[TRAINED_ON:], labels[TRAINED_ON:]
    # Sums over several threads round otherwise, and deep plain nets make much of that.
    with settings.one_torch_thread():
        net = StackedNet(kind, depth, seed=seed)
        before = gradient_norms(net, images[:64], labels[:64])
        trained = train(net, images[:TRAINED_ON], labels[:TRAINED_ON], held_out, steps, seed=seed)
    return Run(kind, depth, steps, seed, **asdict(trained), before=before, net=net)


def recorded() -> pd.DataFrame:
    """Read what `python benchmarks/depth_of_blocks.py` measured.

    Returns
    -------
    DataFrame
        `kind, depth, steps, seed, accuracy, train_accuracy`, and `gradient_ratio`: the length of
        the first convolution's gradient before training, divided by the last one's.

    Examples
    --------
    >>> sorted(recorded()["kind"].unique())
    ['inception', 'plain', 'residual']
    """
    return pd.read_csv(RECORD)
