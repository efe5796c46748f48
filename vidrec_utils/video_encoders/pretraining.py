"""The same networks with other pretraining: on nothing, on ImageNet, on video."""

from __future__ import annotations

from vidrec_utils.video_encoders import mini
from vidrec_utils.video_encoders.catalogue import load
from vidrec_utils.video_encoders.encoder import Clips, FrameAverage, VideoEncoder
from vidrec_utils.video_encoders.mini.loading import FRAMES

GROUPS = ("nothing", "ImageNet", "video")
"""What a network was pretrained on; the last stands for ImageNet and video where both apply."""


def by_pretraining(
    clips: Clips, classes: int = 22, seed: int = 0
) -> dict[tuple[str, str], VideoEncoder | FrameAverage]:
    """Build the offline encoders with each kind of pretraining that they can have.

    Parameters
    ----------
    clips : list of uint8 (time, height, width, 3)
        Random networks estimate their batch-norm statistics on these; without, they would answer
        with a constant.
    classes : int
        Outputs of the classifier of networks that are about to be trained; their vectors do not
        depend on it.
    seed : int
        Seed of random weights.

    Returns
    -------
    dict of (name, group) to encoder
        `"nothing"`: random weights; those of the I3D are random at all taps, so that it can depend
        on time. `"ImageNet"`: weights from images and no training on video, as the trained ones
        began; SlowFast did not begin there. `"video"`: the trained ones.

    Examples
    --------
    >>> import numpy as np
    >>> clip = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> encoders = by_pretraining([clip] * 2, classes=3)
    >>> [group for group in GROUPS if ("i3d_mini", group) in encoders]
    ['nothing', 'ImageNet', 'video']
    >>> [group for group in GROUPS if ("slowfast_mini", group) in encoders]
    ['nothing', 'video']
    >>> [group for group in GROUPS if ("frame_average", group) in encoders]
    ['ImageNet']
    """
    encoders = {(name, "ImageNet"): load(name) for name in ("frame_average", "lite0_correlation")}
    for name in ("lite0_correlation", *FRAMES):
        random = load(name, weights="random", seed=seed)
        encoders[name, "nothing"] = random.calibrate(clips)
    for name in ("two_stream_mini", "i3d_mini"):
        encoders[name, "ImageNet"] = mini.untrained(name, classes, seed)
    return encoders | {(name, "video"): load(name) for name in FRAMES}
