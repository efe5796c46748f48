"""Compact SlowFast, I3D and Two-Stream networks with weights that this course trained itself.

No package carries weights trained on video. `scripts/pretrain_motion.py` made these from clips that
share nothing with MiniTube; the model cards in `weights/` describe how, and what they can do.
"""

from vidrec_utils.video_encoders.mini.loading import (
    TwoStreamEncoder,
    load,
    record,
    trained_part,
    untrained,
)
from vidrec_utils.video_encoders.mini.networks import (
    FlowStream,
    I3DMini,
    SlowFastMini,
    TwoStreamMini,
)

__all__ = [
    "FlowStream",
    "I3DMini",
    "SlowFastMini",
    "TwoStreamEncoder",
    "TwoStreamMini",
    "load",
    "record",
    "trained_part",
    "untrained",
]
