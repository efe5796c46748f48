"""Looking at what encoders see: neighbours, maps, receptive fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from vidrec_utils.encoders.runtime import milliseconds
from vidrec_utils.image_encoders.convolutional import Opened
from vidrec_utils.image_encoders.preprocessing import Images


def nearest(vectors: np.ndarray, k: int = 1) -> np.ndarray:
    """Positions of the k other rows with the largest cosine, best first, `(n, k)`."""
    rows = np.asarray(vectors, dtype=np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k]


def flat_map(vectors: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """Lay vectors out on a plane so that neighbours stay neighbours: t-SNE of 30 directions.

    Returns
    -------
    DataFrame
        Columns `x` and `y`, in no unit; only who lies near whom has a meaning.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.asarray(vectors)
    small = PCA(min(30, *rows.shape), random_state=seed).fit_transform(rows)
    near = TSNE(perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=seed)
    return pd.DataFrame(near.fit_transform(small), columns=["x", "y"])


def receptive_field(net: Opened, layer: str, size: int = 224, *, seed: int = 0) -> int:
    """Side of the square of pixels that one place of a layer depends on, measured by gradients.

    Parameters
    ----------
    net : Opened
        VGG, ResNet or Inception; random weights serve.
    layer : str
        One of its stages.
    size : int
        Pixels of the picture; a field that is larger is reported as large as the picture.
    seed : int
        Of the picture, which is noise.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 3, size, size, generator=generator).requires_grad_()
    maps = net.activations(x, layer)
    middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
    weights = torch.rand(len(middle), generator=generator)  # or opposite channels might cancel
    (gradient,) = torch.autograd.grad((middle * weights).sum(), x)
    touched = gradient[0].abs().sum(dim=0) > 0
    rows = touched.any(dim=1).nonzero()
    return int(rows.max() - rows.min() + 1) if len(rows) else 0


def anatomy(net: Opened, kinds: Sequence[str] = ("Conv2d", "Linear")) -> pd.Series:
    """Share of a network's parameters that sits in each kind of layer, the rest as `other`."""
    counts = dict.fromkeys([*kinds, "other"], 0)
    for module in net.modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        kind = type(module).__name__
        counts[kind if kind in kinds else "other"] += own
    return pd.Series(counts, dtype=float) / max(sum(counts.values()), 1)


def neighbour_strip(
    vectors: Mapping[str, np.ndarray],
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    start: int,
    k: int = 4,
) -> tuple[list[np.ndarray], list[str]]:
    """Lay out one picture and its nearest neighbours, a row for each encoder.

    Parameters
    ----------
    vectors : mapping of str to ndarray, shape (n, dim)
        By the encoder's name.
    pictures, captions : sequences of length n
        What to show of each item.
    start : int
        Whose neighbours.
    k : int
        How many of them.

    Returns
    -------
    (list of ndarray, list of str)
        Pictures and titles, `1 + k` a row, for `plots.contact_sheet`.
    """
    strip, titles, captions = [], [], list(captions)
    for name, rows in vectors.items():
        near = nearest(rows, k)[start]
        strip += [pictures[place] for place in (start, *near)]
        titles += [name, *(captions[place] for place in near)]
    return strip, titles


def opened(names: Sequence[str], pictures: Images, *, seed: int = 0) -> pd.DataFrame:
    """Where parameters sit, how far an early map sees, and what a picture costs.

    Parameters
    ----------
    names : sequence of str
        Of VGG, ResNet and Inception; built with random weights, which change none of the answers.
    pictures : list of uint8 (height, width, 3)
        Two or more, to take the time with.
    seed : int
        Of the weights.

    Returns
    -------
    DataFrame
        Indexed by name: `parameters, M`, `in the classifier, %`, `field after stage 2, pixels` and
        `ms a picture`.
    """
    from vidrec_utils.image_encoders.catalogue import load

    rows = {}
    for name in names:
        encoder = load(name, "random", seed=seed)
        if not encoder.calibrated:
            encoder.calibrate(pictures)
        rows[name] = {
            "parameters, M": encoder.parameters / 1e6,
            "in the classifier, %": 100 * anatomy(encoder.net)["Linear"],
            "field after stage 2, pixels": receptive_field(encoder.net, "stage2", 128),
            "ms a picture": milliseconds(encoder, pictures, repeats=1),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
