"""Does an encoder see the order of frames? Each clip is compared with its own reversal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidrec_utils.encoders import Encoder
from vidrec_utils.video_encoders.encoder import frame_positions


def reversal_distance(encoder: Encoder, clips: Sequence[np.ndarray]) -> np.ndarray:
    """Measure how far each clip's vector lies from that of its reversal.

    It needs no labels, so it works on anybody's clips. The unit is the mean distance of two
    different clips: 0 says that the order of frames makes no difference to the encoder, 1 that it
    makes as much as another clip does. A large value says that the order is *seen*, not that what
    is seen is of any use.

    Parameters
    ----------
    encoder : Encoder
        A video encoder.
    clips : sequence of ndarray, uint8 (time, height, width, 3)
        Two clips or more. From each, as many frames as the encoder takes are used, evenly spread,
        so that forwards and backwards hold the same frames.

    Returns
    -------
    ndarray of float, shape (n,)

    Raises
    ------
    ValueError
        If there are fewer than two clips, or all of them have the same vector.

    Examples
    --------
    >>> from vidrec_utils import video_encoders
    >>> average = video_encoders.load("frame_average", frames=4, size=32)
    >>> clips = np.random.default_rng(0).integers(0, 256, (2, 9, 32, 32, 3), dtype=np.uint8)
    >>> reversal_distance(average, list(clips)).round(3).tolist()
    [0.0, 0.0]
    """
    if len(clips) < 2:
        raise ValueError(f"{len(clips)} clips: give two or more, to know how far clips lie apart.")
    frames = encoder.frame_contract.frames
    chosen = [clip[frame_positions(len(clip), frames)] for clip in clips]
    ahead = encoder.encode(chosen)
    back = encoder.encode([clip[::-1] for clip in chosen])
    pairs = np.triu_indices(len(ahead), 1)
    apart = float(np.linalg.norm(ahead[pairs[0]] - ahead[pairs[1]], axis=1).mean())
    if apart == 0:
        raise ValueError("All clips have the same vector, so there is no distance to compare with.")
    return np.linalg.norm(ahead - back, axis=1) / apart


def pans(frames: Sequence[np.ndarray], length: int = 16) -> tuple[list[np.ndarray], list[str]]:
    """Plant a motion of known direction in real pixels: a window slides over each frame.

    Parameters
    ----------
    frames : sequence of ndarray, uint8 (height, width, 3)
        Wider than high.
    length : int
        Frames of a clip.

    Returns
    -------
    list of ndarray, uint8 (length, height, height, 3)
        For each frame the pan of the camera from its left edge to its right one, then its reversal.
    list of str
        `"right"` or `"left"` for each clip.

    Raises
    ------
    ValueError
        If a frame is not wider than high.

    Examples
    --------
    >>> frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    >>> clips, ways = pans([frame], length=3)
    >>> ways, clips[0].shape
    (['right', 'left'], (3, 2, 2, 3))
    >>> clips[0][:, 0, 0, 0].tolist(), clips[1][:, 0, 0, 0].tolist()
    ([0, 3, 6], [6, 3, 0])
    """
    clips: list[np.ndarray] = []
    for frame in frames:
        height, width = frame.shape[:2]
        if width <= height:
            raise ValueError(f"A frame of {width} x {height} pixels leaves no room to pan.")
        starts = np.linspace(0, width - height, length).round().astype(int)
        clip = np.stack([frame[:, start : start + height] for start in starts])
        clips += [clip, clip[::-1]]
    return clips, ["right", "left"] * len(frames)
