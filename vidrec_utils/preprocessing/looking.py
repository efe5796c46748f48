"""What detectors see, laid out so that a person can look at it and judge the detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from vidrec_utils import video_io
from vidrec_utils.datasets import LibraryError, Split, VideoLibrary
from vidrec_utils.preprocessing.denoising import moving_mask, psnr
from vidrec_utils.preprocessing.duplicates import MAX_HAMMING, MIN_MOTION, compare, is_copy
from vidrec_utils.preprocessing.hashing import Fingerprint, perceptual_hash
from vidrec_utils.preprocessing.report import FIRST_RECORD, Report
from vidrec_utils.preprocessing.splitting import PARTS, check_split
from vidrec_utils.preprocessing.summaries import score_detection

COPY_AXES = {
    "title": "Copies look alike and move alike",
    "xlabel": "bits of 64 that differ, mean per frame",
    "ylabel": "correlation of motion (1: the same)",
    "x_line": MAX_HAMMING,
    "y_line": MIN_MOTION,
}
"""How `plots.scatter` draws what `compare_pairs` returns; the lines are the limits of a copy."""

BOT_AXES = {
    "title": "Bots are busy, and watch without variety",
    "xlabel": "exposures per user",
    "ylabel": "watch ratio, 90th minus 10th percentile",
    "log_x": True,
}
"""How `plots.scatter` draws `exposures` and `watch_spread` of `find_bots`."""

PLANTED_AS: dict[str, tuple[str, ...]] = {
    "timestamp in the future": ("timestamp_far_future",),
    "timestamp before the platform": ("timestamp_epoch_zero",),
    "watched before it was published": ("timestamp_before_upload",),
    "behaves like a bot": ("bot",),
    "broken file": ("truncated", "text_as_video", "empty_file"),
    "black clip": ("black",),
    "noisy clip": ("noisy",),
    "exact duplicate": ("exact_duplicate",),
    "near duplicate": ("reencoded_duplicate",),
}
"""Problems of a report, and the kinds of planted dirt that each of them should find."""


def to_look_at(media: pd.DataFrame, most: int = 6) -> pd.DataFrame:
    """Choose the files that a person should look at.

    Parameters
    ----------
    media : DataFrame
        What `survey` or `check_media` returned, with the column `status`.
    most : int
        Files of each status.

    Returns
    -------
    DataFrame
        The first files of each status that is neither `"ok"` nor `"absent"`, grouped by status;
        the first files of all if nothing is wrong.
    """
    odd = media[~media["status"].isin(["ok", "absent"])].sort_values("status", kind="stable")
    return odd.groupby("status").head(most) if len(odd) else media.head(most)


def thumbnails(library: VideoLibrary, video_ids: Iterable[str]) -> list[np.ndarray | None]:
    """Read the thumbnails of some videos.

    Parameters
    ----------
    library : VideoLibrary
        Where the pictures are.
    video_ids : iterable of str
        Whose thumbnails, in this order.

    Returns
    -------
    list of (ndarray or None)
        uint8 `(height, width, 3)` each; None where there is none, or none that can be read.
    """

    def read(video_id: str) -> np.ndarray | None:
        try:
            return video_io.read_image(library.file(video_id, "thumbnail"))
        except (LibraryError, video_io.ImageError):
            return None

    return [read(video_id) for video_id in video_ids]


def backwards(clip: Fingerprint) -> Fingerprint:
    """The fingerprint of a clip played backwards: the same frames, hence the same bag of hashes."""
    return replace(clip, pictures=clip.pictures[::-1], hashes=clip.hashes[::-1])


def mirrored(clip: Fingerprint) -> Fingerprint:
    """The fingerprint of a clip seen in a mirror."""
    pictures = clip.pictures[:, :, ::-1]
    return replace(clip, pictures=pictures, hashes=perceptual_hash(pictures))


def compare_pairs(pairs: Iterable[tuple[Fingerprint, Fingerprint]]) -> pd.DataFrame:
    """Compare pairs of clips, and say of each whether it counts as one video.

    Parameters
    ----------
    pairs : iterable of (Fingerprint, Fingerprint)
        What to compare.

    Returns
    -------
    DataFrame
        One row per pair, in order: `hamming` (mean differing bits per frame, of 64), `motion`
        (correlation of what moves), `size` (how much moves, in grey levels; see `compare`) and
        `copy` (bool, see `is_copy`).
    """
    facts = [compare(a, b) for a, b in pairs]
    table = pd.DataFrame(facts, columns=["hamming", "motion", "size"], dtype=float)
    return table.assign(copy=np.array([is_copy(*fact) for fact in facts], dtype=bool))


def score_report(report: Report, planted: Callable[..., set[str]]) -> pd.DataFrame:
    """Measure each detector of a cleaning run against what was planted.

    Parameters
    ----------
    report : Report
        What `clean` did.
    planted : callable
        From kinds of dirt to the ids of everything spoiled so, such as `Truth.planted` of
        MiniTube; the id of a row of the log is its place, counted from 0.

    Returns
    -------
    DataFrame
        Indexed by problem, those of `PLANTED_AS`: `precision` and `recall` (see
        `score_detection`), and `planted`, how many there were to find.
    """
    frame, scores = report.frame, {}
    places = (frame["row"] - FIRST_RECORD).astype("str")
    ids = frame["id"].where(frame["table"] != "interactions", places)
    for problem, kinds in PLANTED_AS.items():
        found = ids[frame["problem"].str.contains(problem, regex=False, na=False)]
        score = score_detection(found, planted(*kinds))
        scores[problem] = (score["precision"], score["recall"], score["n"])
    return pd.DataFrame.from_dict(scores, "index", columns=["precision", "recall", "planted"])


def psnr_by_motion(clean: np.ndarray, versions: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Measure versions of a clip apart where it stands still and where it moves.

    Parameters
    ----------
    clean : ndarray of uint8
        The clip as it should be, (t, height, width, 3).
    versions : mapping of str to ndarray
        Versions of it, of the same shape.

    Returns
    -------
    DataFrame
        Indexed by name: `still` and `moving`, peak signal-to-noise ratios in decibels over the
        two parts that `moving_mask` tells apart; NaN for a part that the clip does not have.
    """
    moving = moving_mask(clean)
    parts = {"still": ~moving, "moving": moving}
    scores = {
        name: {
            part: psnr(clean, frames, mask) if mask.any() else np.nan
            for part, mask in parts.items()
        }
        for name, frames in versions.items()
    }
    return pd.DataFrame.from_dict(scores, orient="index", columns=list(parts), dtype=float)


def describe_split(split: Split) -> str:
    """Say in a sentence how large the parts of a split are, and how it leaks, if it does."""
    sizes = " / ".join(f"{len(getattr(split, part)):,}" for part in PARTS)
    leaks = check_split(split, strict=False)["leak"].unique()
    verdict = f"leaks by {' and '.join(leaks)}" if len(leaks) else "no leak"
    return f"{split.name}: {sizes} rows, {verdict}."
