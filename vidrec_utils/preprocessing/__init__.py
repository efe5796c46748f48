"""From what a platform has to what a model can learn from: cleaning, augmenting, splitting.

Cleaning functions are pure: they take frames or a library and return `(cleaned, report)`, the
report being a frame with one row per thing done (`table, row, id, column, problem, action, before,
after`). `clean` does all of them in order. `VideoClips` and `ClipAugmentation` turn the cleaned
library into training batches, and the `split_*` functions divide it without leaks, which
`check_split` proves.
"""

from vidrec_utils.preprocessing.augmentation import (
    ClipAugmentation,
    build_augmentation,
    to_float,
)
from vidrec_utils.preprocessing.behavior import (
    check_timestamps,
    drop_bots,
    drop_incomplete,
    find_bots,
    fix_timestamps,
    infer_now,
    robust_z,
    user_features,
)
from vidrec_utils.preprocessing.clips import VideoClips, clip_labels
from vidrec_utils.preprocessing.denoising import (
    add_noise,
    denoise_spatial,
    denoise_temporal,
    moving_mask,
    psnr,
)
from vidrec_utils.preprocessing.duplicates import (
    MAX_HAMMING,
    MIN_MOTION,
    candidate_pairs,
    compare,
    exact_duplicates,
    is_copy,
    merge_duplicates,
    motion_correlation,
    near_duplicates,
)
from vidrec_utils.preprocessing.hashing import (
    Fingerprint,
    fingerprint,
    fingerprints,
    hamming,
    perceptual_hash,
)
from vidrec_utils.preprocessing.looking import (
    BOT_AXES,
    COPY_AXES,
    PLANTED_AS,
    backwards,
    compare_pairs,
    describe_split,
    mirrored,
    psnr_by_motion,
    score_report,
    thumbnails,
    to_look_at,
)
from vidrec_utils.preprocessing.media import (
    check_media,
    estimate_sigma,
    noise_level,
    repair_durations,
    survey,
    treat_media,
)
from vidrec_utils.preprocessing.missing import MissingValues, fill_missing
from vidrec_utils.preprocessing.pipeline import clean
from vidrec_utils.preprocessing.report import REPORT_COLUMNS, Report, Step, join_reports
from vidrec_utils.preprocessing.splitting import (
    LeakError,
    check_split,
    leave_last_out,
    split_by_time,
    split_grouped,
    split_stratified,
)
from vidrec_utils.preprocessing.summaries import (
    class_balance,
    score_detection,
    watch_time_summary,
)
from vidrec_utils.preprocessing.text import (
    clean_tags,
    clean_text,
    normalize_tags,
    normalize_text,
)

__all__ = [
    "BOT_AXES",
    "COPY_AXES",
    "MAX_HAMMING",
    "MIN_MOTION",
    "PLANTED_AS",
    "REPORT_COLUMNS",
    "ClipAugmentation",
    "Fingerprint",
    "LeakError",
    "MissingValues",
    "Report",
    "Step",
    "VideoClips",
    "add_noise",
    "backwards",
    "build_augmentation",
    "candidate_pairs",
    "check_media",
    "check_split",
    "check_timestamps",
    "class_balance",
    "clean",
    "clean_tags",
    "clean_text",
    "clip_labels",
    "compare",
    "compare_pairs",
    "denoise_spatial",
    "denoise_temporal",
    "describe_split",
    "drop_bots",
    "drop_incomplete",
    "estimate_sigma",
    "exact_duplicates",
    "fill_missing",
    "find_bots",
    "fingerprint",
    "fingerprints",
    "fix_timestamps",
    "hamming",
    "infer_now",
    "is_copy",
    "join_reports",
    "leave_last_out",
    "merge_duplicates",
    "mirrored",
    "motion_correlation",
    "moving_mask",
    "near_duplicates",
    "noise_level",
    "normalize_tags",
    "normalize_text",
    "perceptual_hash",
    "psnr",
    "psnr_by_motion",
    "repair_durations",
    "robust_z",
    "score_detection",
    "score_report",
    "split_by_time",
    "split_grouped",
    "split_stratified",
    "survey",
    "thumbnails",
    "to_float",
    "to_look_at",
    "treat_media",
    "user_features",
    "watch_time_summary",
]
