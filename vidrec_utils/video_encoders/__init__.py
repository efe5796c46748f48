"""Video encoders: from a clip to a vector, and why the order of frames matters.

`load("lite0_correlation")` follows patches from frame to frame with features learned on
photographs. It differs from `load("frame_average")`, the same kind of features without time, on
every motion that has a reverse. `available()` is the catalogue, and `MotionHead` a small classifier
to train on top. No package carries weights that were trained on video: the published ones are
fetched with `download=True`, and `slowfast_mini`, `i3d_mini` and `two_stream_mini` are small
networks that this course trained itself (`video_encoders.mini`), so that they work offline.
`embeddings.embed` gives a network `Windows` of a clip, at the frame rate of its training, and takes
the mean of their vectors. `optical_flow` is the input of a Two-Stream network's second stream,
`inflate` gives the filters of an image network taps in time, and `shot_boundaries` cuts a video
into shots. `sliding_spans`, `span_vectors`, `suppress` and `average_precision` localise what
happens in a video of several shots.

`load("lite0_appearance_motion")` is the encoder for a platform of one's own: the average of frames
next to the correlation, both from the packaged network for images. The networks `..._mini` are
models of ideas, trained on rendered clips; on real footage they do not describe what is shown.

Measured on MiniTube: 12 motions, 255 clips to train on, about 130 clips of unseen subjects to test
on, mean of four splits. A pair is a motion and its time reversal. Chance is .50 for pairs and .08
for all motions.

==================================================== =========== =====
encoder and what is trained on it                    all motions pairs
==================================================== =========== =====
frame average, logistic regression                   .12         .47
pixels, correlation, MotionHead                      .66         .86
lite0_correlation, random weights, MotionHead        .55         .76
lite0_correlation, ImageNet weights, logistic regr.  .84         .99
lite0_correlation, ImageNet weights, MotionHead      .91         .96
==================================================== =========== =====

On one idle core, the maps of 386 clips (16 frames of 64 pixels) take 8 s and 20 epochs of
`MotionHead` (Adam, one-cycle rate up to 3e-3, batches of 16) 4 s.
"""

from vidrec_utils.encoders import FrameContract, TimedContract, WeightsNotAvailable, Windows
from vidrec_utils.video_encoders.appearance_motion import AppearanceMotionLite0
from vidrec_utils.video_encoders.catalogue import available, load
from vidrec_utils.video_encoders.correlation import CorrelationLite0, MotionHead, correlate
from vidrec_utils.video_encoders.encoder import FrameAverage, VideoEncoder
from vidrec_utils.video_encoders.flow import cross_modality_stem, optical_flow, stack_flow
from vidrec_utils.video_encoders.inflation import InflatedLite0, inflate
from vidrec_utils.video_encoders.localisation import (
    average_precision,
    candidate_kinds,
    compare_candidates,
    localise,
    sliding_spans,
    span_vectors,
    suppress,
    temporal_iou,
)
from vidrec_utils.video_encoders.pretraining import by_pretraining
from vidrec_utils.video_encoders.reversal import pans, reversal_distance
from vidrec_utils.video_encoders.shots import can_cut, shot_boundaries, transition_probabilities

__all__ = [
    "AppearanceMotionLite0",
    "CorrelationLite0",
    "FrameAverage",
    "FrameContract",
    "InflatedLite0",
    "MotionHead",
    "TimedContract",
    "VideoEncoder",
    "WeightsNotAvailable",
    "Windows",
    "available",
    "average_precision",
    "by_pretraining",
    "can_cut",
    "candidate_kinds",
    "compare_candidates",
    "correlate",
    "cross_modality_stem",
    "inflate",
    "load",
    "localise",
    "optical_flow",
    "pans",
    "reversal_distance",
    "shot_boundaries",
    "sliding_spans",
    "span_vectors",
    "stack_flow",
    "suppress",
    "temporal_iou",
    "transition_probabilities",
]
