"""Does augmentation help? One head on a frozen video encoder, trained with and without.

`predictions` trains and tests it; `recorded` reads what `benchmarks/augmented_training.py`
measured, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from vidrec_utils import arguments, video_encoders
from vidrec_utils.linear_probe import stratified_folds
from vidrec_utils.preprocessing.augmentation import ClipAugmentation

VARIANTS = ("none", "one draw per clip", "one draw per frame", "mirrored, old label")
"""Ways to augment: not at all; rightly; without consistency over time; without renaming labels."""
RECORD = Path(__file__).with_name("augmented_training.csv")
COPIES = 4
"""Augmented versions of each clip, beside the clip itself."""
STEPS = 250
"""Training steps, the same number for all variants."""
FOLDS = 5
_BATCH = 16
_ENCODER = "lite0_correlation"


def augmented(
    clip: np.ndarray, label: str, variant: str, mirrored: Mapping[str, str], *, seed: int = 0
) -> tuple[np.ndarray, str]:
    """Augment one clip in one of four ways.

    Parameters
    ----------
    clip : ndarray of uint8
        (t, height, width, 3). Not changed.
    label : str
        What it shows, such as its motion.
    variant : str
        One of `VARIANTS`. `"mirrored, old label"` draws once per clip, too, but keeps the label of
        a clip that it mirrors.
    mirrored : mapping
        Each label's name after a mirroring, see `ClipAugmentation`.
    seed : int
        Seed of all draws.

    Returns
    -------
    clip : ndarray of uint8
        The changed clip, of the same shape.
    label : str
        The label that it is trained with.

    Raises
    ------
    ValueError
        If the variant is unknown.

    Examples
    --------
    >>> clip = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    >>> same, label = augmented(clip, "slide_left", "none", {"slide_left": "slide_right"})
    >>> bool((same == clip).all()), label
    (True, 'slide_left')
    >>> labels = {
    ...     augmented(clip, "left", "one draw per clip", {"left": "right"}, seed=s)[1]
    ...     for s in range(9)
    ... }
    >>> sorted(labels)
    ['left', 'right']
    """
    arguments.one_of(VARIANTS, variant=variant)
    if variant == "none":
        return clip, label
    kept = {name: name for name in mirrored}
    augment = ClipAugmentation(flips=kept if "old label" in variant else mirrored, seed=seed)
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2)  # (t, 3, height, width)
    if variant == "one draw per frame":
        changed = torch.cat([augment(frame[None], label)[0] for frame in frames])
        return changed.permute(0, 2, 3, 1).numpy(), label
    changed, new_label = augment(frames, label)
    return changed.permute(0, 2, 3, 1).numpy(), str(new_label)


def training_maps(
    clips: Sequence[np.ndarray],
    labels: Sequence[str],
    variant: str,
    mirrored: Mapping[str, str],
    *,
    copies: int = COPIES,
    seed: int = 0,
) -> tuple[torch.Tensor, np.ndarray]:
    """Feature maps of clips and of their augmented copies, with the labels of each.

    Parameters
    ----------
    clips : sequence of ndarray of uint8
        n clips, each (t, height, width, 3), of one shape.
    labels : sequence of str
        The label of each.
    variant, mirrored, seed
        See `augmented`.
    copies : int
        Augmented copies of each clip; the variant `"none"` has none.

    Returns
    -------
    maps : Tensor of float32
        (1 + copies, n, channels, t', height', width'); first those of the clips themselves.
    labels : ndarray of str
        (1 + copies, n).

    Examples
    --------
    >>> clip = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    >>> maps, names = training_maps([clip], ["rise"], "one draw per clip", {}, copies=2)
    >>> maps.shape[:3], names.ravel().tolist()  # itself and two copies
    (torch.Size([3, 1, 50]), ['rise', 'rise', 'rise'])
    """
    arguments.one_of(VARIANTS, variant=variant)
    encoder = video_encoders.load(_ENCODER)
    maps, names = [encoder.maps(list(clips))], [list(labels)]
    for copy in range(copies if variant != "none" else 0):
        pairs = [
            augmented(clip, label, variant, mirrored, seed=seed + 1000 * copy + k)
            for k, (clip, label) in enumerate(zip(clips, labels, strict=True))
        ]
        maps.append(encoder.maps([clip for clip, _ in pairs]))
        names.append([label for _, label in pairs])
    return torch.stack(maps), np.array(names, dtype=object)


def predictions(
    maps: torch.Tensor,
    labels: np.ndarray,
    groups: pd.Series,
    *,
    folds: Sequence[int] | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> pd.DataFrame:
    """Train a head on some groups of clips and predict the labels of the others, fold by fold.

    Only clips as they are get tested, and no augmented copy of a clip of the test is trained on.

    Parameters
    ----------
    maps : Tensor of float32
        (1 + copies, n, channels, t', height', width'), see `training_maps`.
    labels : ndarray of str
        (1 + copies, n).
    groups : Series of str
        Group of each clip, such as its subject, indexed by video id; no group is in two folds.
    folds : sequence of int, optional
        Which of the `FOLDS` folds are tested; default all.
    steps : int
        Training steps, each of a batch of 16 clips.
    seed : int
        Folds, initial weights and batches are drawn with this seed.

    Returns
    -------
    DataFrame
        Indexed by video id, the clips of the folds: `fold`, `label` (the true one), `predicted`.

    Examples
    --------
    >>> maps = torch.zeros(1, 20, 3, 2, 4, 4)
    >>> maps[0, ::2] = 1.0
    >>> names = np.array([["rise", "fall"] * 10], dtype=object)
    >>> ids = pd.Series([f"subject {k // 2}" for k in range(20)], [f"v{k}" for k in range(20)])
    >>> table = predictions(maps, names, ids, folds=[0], steps=60)
    >>> bool((table["label"] == table["predicted"]).all())
    True
    """
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    targets = torch.from_numpy(codes.reshape(labels.shape))  # (1 + copies, n)
    true = pd.Series(labels[0].astype(str), groups.index)
    tables = []
    for fold, (train, test) in enumerate(stratified_folds(true, groups, FOLDS, seed)):
        if folds is not None and fold not in folds:
            continue
        inputs = maps[:, train].flatten(0, 1), targets[:, train].flatten()
        head = _train(*inputs, len(classes), steps, seed)
        with torch.inference_mode():
            predicted = classes[head(maps[0, test]).argmax(dim=1).numpy()]
        rows = {"fold": fold, "label": true.iloc[test], "predicted": predicted}
        tables.append(pd.DataFrame(rows, index=groups.index[test]))
    return pd.concat(tables).rename_axis("video_id")


def _train(
    maps: torch.Tensor, targets: torch.Tensor, classes: int, steps: int, seed: int
) -> torch.nn.Module:
    """Train a `MotionHead` with Adam on batches drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = video_encoders.MotionHead(maps.shape[1], classes)
        optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
        for _ in range(steps):
            batch = torch.randint(len(maps), (_BATCH,))
            optimizer.zero_grad()
            functional.cross_entropy(head(maps[batch]), targets[batch]).backward()
            optimizer.step()
    return head.eval()


def recorded() -> pd.DataFrame:
    """Read what `python benchmarks/augmented_training.py` measured on MiniTube.

    Returns
    -------
    DataFrame
        `seed`, `variant`, `video_id`, `subject`, `fold`, `label`, `predicted`: one row for each
        clip whose motion annotators named, for each variant and seed.

    Examples
    --------
    >>> sorted(recorded()["variant"].unique()) == sorted(VARIANTS)
    True
    """
    return pd.read_csv(RECORD)
