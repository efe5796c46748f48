"""From what a platform has to what a model can learn from: cleaning, augmenting, splitting.

Cleaning functions are pure: they take frames or a library and return `(cleaned, report)`. The
report is a frame with one row per change (`table, row, id, column, problem, action, before,
after`). `clean` applies all of them in order. `VideoClips` and `ClipAugmentation` turn the cleaned
library into training batches, and the `split_*` functions divide it without leaks, which
`check_split` verifies; `ready_made_split` takes a split that somebody else has made. The single
steps of cleaning are in the modules of their topics: `text`, `missing`, `behavior`, `media`,
`duplicates`.
"""

from vidrec_utils.preprocessing.augmentation import ClipAugmentation, build_augmentation
from vidrec_utils.preprocessing.behavior import find_bots, fix_timestamps
from vidrec_utils.preprocessing.clips import VideoClips, clip_groups, clip_labels
from vidrec_utils.preprocessing.denoising import (
    add_noise,
    denoise_spatial,
    denoise_temporal,
    psnr_by_motion,
)
from vidrec_utils.preprocessing.duplicates import (
    MAX_HAMMING,
    MIN_MOTION,
    candidate_pairs,
    compare_pairs,
    exact_duplicates,
    near_duplicates,
)
from vidrec_utils.preprocessing.hashing import Fingerprint
from vidrec_utils.preprocessing.matching import bag_distance
from vidrec_utils.preprocessing.media import files_to_inspect, survey, thumbnails
from vidrec_utils.preprocessing.missing import MissingValues, fill_missing
from vidrec_utils.preprocessing.pipeline import clean
from vidrec_utils.preprocessing.report import Report, Step
from vidrec_utils.preprocessing.splits import (
    LeakError,
    check_split,
    describe_split,
    leave_last_out,
    ready_made_split,
    split_by_time,
    split_grouped,
    split_stratified,
    subset_of,
)
from vidrec_utils.preprocessing.summaries import class_balance
from vidrec_utils.preprocessing.text import normalize_tags, normalize_text

__all__ = [
    "MAX_HAMMING",
    "MIN_MOTION",
    "ClipAugmentation",
    "Fingerprint",
    "LeakError",
    "MissingValues",
    "Report",
    "Step",
    "VideoClips",
    "add_noise",
    "bag_distance",
    "build_augmentation",
    "candidate_pairs",
    "check_split",
    "class_balance",
    "clean",
    "clip_groups",
    "clip_labels",
    "compare_pairs",
    "denoise_spatial",
    "denoise_temporal",
    "describe_split",
    "exact_duplicates",
    "files_to_inspect",
    "fill_missing",
    "find_bots",
    "fix_timestamps",
    "leave_last_out",
    "near_duplicates",
    "normalize_tags",
    "normalize_text",
    "psnr_by_motion",
    "ready_made_split",
    "split_by_time",
    "split_grouped",
    "split_stratified",
    "subset_of",
    "survey",
    "thumbnails",
]
