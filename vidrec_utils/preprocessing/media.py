"""Checks of every media file: broken, black, noisy and frozen clips, and wrong durations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from vidrec_utils import video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.preprocessing.hashing import (
    LUMA,
    Fingerprint,
    fingerprint,
    grid,
    in_parallel,
)
from vidrec_utils.preprocessing.report import (
    empty_report,
    file_rows,
    join_reports,
    make_report,
)

BLACK_LUMA = 24.0
"""Grey level under which a pixel counts as black: video black is 16 of 255, plus a little noise."""
NOISE_SIGMA = 4.5
"""Grey levels of noise (standard deviation) from which a clip counts as noisy."""
# Lossy encoders refine a static image from frame to frame, which alone changes it by up to 0.4
# grey levels between two sampled frames; clips in which something moves change by 4.6 and more.
FROZEN_CHANGE = 1.0
"""Mean change in grey levels between frames under which a clip counts as frozen."""
DURATION_TOLERANCE = 0.05
CERTAIN = ("empty", "not_a_video", "no_video_stream", "no_frames", "truncated")
"""Reasons why a file is broken for certain. Whatever else keeps it from being read here (no
permission, no decoder, too large or too slow for the budget, an error of a library) is a doubt."""
NO_FILE = ("missing", "directory", "special")
"""Reasons that mean that there is no file at the path."""
_ONE_PASS_BYTES = 64 * 2**20
"""Clips whose frames take more memory are decoded twice: few frames whole, many of them small."""
_NOISE_SIDE = 512
"""Noise is estimated in the middle of larger images."""

MediaAction = Literal["keep", "drop", "no_media"]
DEFAULT_ACTIONS: dict[str, MediaAction] = {
    "broken": "drop",
    "absent": "keep",
    "unread": "keep",
    "black": "drop",
    "noisy": "keep",
    "frozen": "keep",
}
MEDIA_COLUMNS = {
    "status": "str",
    "reason": "str",
    "width": "Int64",
    "height": "Int64",
    "fps": float,
    "duration_s": float,
    "luma_mean": float,
    "luma_p99": float,
    "noise_sigma": float,
    "change": float,
    "rule": "str",
    "doubts": "str",
}


def check_media(
    library: VideoLibrary,
    n_frames: int = 8,
    *,
    progress: bool = True,
    budget: video_io.Budget | None = None,
) -> pd.DataFrame:
    """Check a few frames of every clip, on all cores; a broken file costs a row, not the run.

    Parameters
    ----------
    library : VideoLibrary
        The file at each video's `path` is checked.
    n_frames : int
        Frames spread over each clip.
    progress : bool
        Show a progress bar.
    budget : video_io.Budget, optional
        What reading one file may cost; a file that costs more is `"unread"`.

    Returns
    -------
    DataFrame
        Indexed by `video_id`, in the library's order:

        - `status`: `"ok"`, `"absent"` (no path, or no such file), `"broken"` (for certain; `reason`
          says how), `"unread"` (it could not be read here, which may not be its fault), `"black"`,
          `"noisy"` or `"frozen"` (clips of one frame are never called frozen);
        - `width`, `height`, `fps`, `duration_s` (seconds) of the file;
        - `luma_mean`, `luma_p99`: mean and 99th percentile of brightness, 0 to 255;
        - `noise_sigma`: see `noise_level`; `change`: mean difference of neighbouring sampled
          frames, in grey levels;
        - `rule`: for a broken or unread file, the sentence that says what was found;
        - `doubts`: what is odd about a file that can be read, such as a clock that starts again.
    """
    return survey(library, n_frames, prints=False, progress=progress, budget=budget)[0]


def survey(
    library: VideoLibrary,
    n_frames: int = 8,
    *,
    prints: bool = True,
    progress: bool = True,
    budget: video_io.Budget | None = None,
) -> tuple[pd.DataFrame, dict[str, Fingerprint]]:
    """Check every file and make its fingerprint, decoding each clip once where memory allows.

    Parameters
    ----------
    library, n_frames, progress, budget
        See `check_media`.
    prints : bool
        Whether to make fingerprints, too.

    Returns
    -------
    media : DataFrame
        See `check_media`.
    prints : dict
        Video id to `Fingerprint` of every clip that can be read and is not black: black clips all
        look alike.

    Examples
    --------
    >>> import tempfile
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2"], "path": ["v1.mp4", "v2.mp4"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = video_io.write_clip(Path(folder, "v1.mp4"), np.zeros((3, 32, 32, 3), np.uint8), 3)
    ...     _ = Path(folder, "v2.mp4").write_text("not a video")
    ...     media, prints = survey(VideoLibrary(videos, log, root=folder), progress=False)
    >>> media["status"].to_dict(), media.loc["v2", "reason"], prints
    ({'v1': 'black', 'v2': 'broken'}, 'not_a_video', {})
    """
    pathless = set(library.videos.index[library.videos["path"].isna()])

    def look(video_id: str) -> tuple[dict[str, object], Fingerprint | None]:
        if video_id in pathless:
            return {"status": "absent", "reason": "no path"}, None
        try:
            return look_at(library.file(video_id), n_frames, prints=prints, budget=budget)
        except LibraryError as error:
            return {"status": "absent", "reason": str(error)}, None
        except Exception as error:  # whatever it is, it is this file's and costs one row
            rule = f"{type(error).__name__}: {error}"
            return {"status": "unread", "reason": "failed", "rule": rule}, None

    looks = in_parallel(look, list(library.videos.index), "checking files", progress)
    facts = [fact for fact, _ in looks]
    media = pd.DataFrame(facts, index=library.videos.index, columns=list(MEDIA_COLUMNS))
    pairs = zip(library.videos.index, looks, strict=True)
    return media.astype(MEDIA_COLUMNS), {
        video_id: clip_print
        for video_id, (fact, clip_print) in pairs
        if clip_print is not None and fact["status"] != "black"
    }


def look_at(
    path: str | Path,
    n_frames: int = 8,
    *,
    prints: bool = False,
    budget: video_io.Budget | None = None,
) -> tuple[dict[str, object], Fingerprint | None]:
    """Check one file: returns its facts (the columns of `check_media`) and its fingerprint."""

    def at_once(info: video_io.VideoInfo) -> bool:
        frame = 3 * info.width * info.height
        return prints and frame * grid(info.duration_s) <= _ONE_PASS_BYTES

    def choose(info: video_io.VideoInfo) -> int:
        size = info.height, info.width
        most = (budget or video_io.Budget()).frames(*size, info.height * info.width)
        return grid(info.duration_s) if at_once(info) else min(n_frames, max(1, most))

    clip_print = None
    try:
        info, frames = video_io.probe_and_sample(path, choose, strict=True, budget=budget)
        if at_once(info):
            clip_print = Fingerprint.of_frames(frames, info.duration_s)
            frames = frames[_spread(len(frames), n_frames)]
        elif prints:
            clip_print = fingerprint(path, budget=budget)
    except video_io.VideoError as error:
        return _failure(error), None
    facts = {
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "duration_s": info.duration_s,
        **judge(frames, single=info.n_frames == 1),
        "doubts": "; ".join(info.doubts),
    }
    return facts, clip_print


def _failure(error: video_io.VideoError) -> dict[str, object]:
    """Return the facts of a file that cannot be read."""
    status = "unread"
    if error.reason in NO_FILE:
        status = "absent"
    elif error.reason in CERTAIN:
        status = "broken"
    return {"status": status, "reason": error.reason, "rule": error.explanation}


def files_to_inspect(media: pd.DataFrame, most: int = 6) -> pd.DataFrame:
    """Choose the files that a person should inspect.

    Parameters
    ----------
    media : DataFrame
        The result of `survey` or `check_media`, with the column `status`.
    most : int
        How many files of each status are chosen.

    Returns
    -------
    DataFrame
        The first files of each status that is neither `"ok"` nor `"absent"`, grouped by status;
        the first files of all if nothing is wrong.

    Examples
    --------
    >>> media = pd.DataFrame({"status": ["ok", "noisy", "black", "noisy"]}, index=list("abcd"))
    >>> files_to_inspect(media, most=1).index.tolist()
    ['c', 'b']
    """
    odd = media[~media["status"].isin(["ok", "absent"])].sort_values("status", kind="stable")
    return odd.groupby("status").head(most) if len(odd) else media.head(most)


def _spread(many: int, few: int) -> np.ndarray:
    """Indices of `few` frames spread over `many`, each once."""
    return np.unique(((np.arange(few) + 0.5) * many / few).astype(int))


def judge(frames: np.ndarray, single: bool = False) -> dict[str, object]:
    """Judge the frames of one clip: black, noisy, frozen or ok.

    Parameters
    ----------
    frames : ndarray of uint8
        (n, height, width, 3), spread over the clip.
    single : bool
        Whether the clip has a single frame, so that it cannot be frozen.

    Returns
    -------
    dict
        `status`, `reason`, `luma_mean`, `luma_p99`, `noise_sigma`, `change`.
    """
    grey = frames @ LUMA  # (n, height, width)
    mean, p99 = float(grey.mean()), _quantile(grey, 0.99)
    noise = noise_level(grey)
    change = float(np.abs(np.diff(grey, axis=0)).mean()) if len(grey) > 1 else 0.0
    if p99 < BLACK_LUMA:
        status, reason = "black", f"99% of its pixels are darker than {BLACK_LUMA:.0f} of 255"
    elif noise > NOISE_SIGMA:
        status, reason = "noisy", f"noise of about {noise:.1f} grey levels"
    elif change < FROZEN_CHANGE and len(grey) > 1 and not single:
        status, reason = "frozen", f"frames differ by {change:.2f} grey levels"
    else:
        status, reason = "ok", ""
    return {
        "status": status,
        "reason": reason,
        "luma_mean": mean,
        "luma_p99": p99,
        "noise_sigma": noise,
        "change": change,
    }


def estimate_sigma(grey: np.ndarray) -> float:
    """Estimate the standard deviation of white noise in one image.

    The image is filtered with a mask that flat and sloping areas do not pass; what passes is
    noise, amplified by 6. Mask from J. Immerkaer, Fast Noise Variance Estimation, Computer Vision
    and Image Understanding 64(2), 1996; the median of absolute values instead of their mean keeps
    edges from counting as noise.

    Parameters
    ----------
    grey : ndarray
        (height, width), at least 3 x 3.

    Returns
    -------
    float
        In the units of the image; 0 for smaller images.

    Examples
    --------
    >>> slope = np.add.outer(np.arange(64.0), np.arange(64.0))  # no noise, whatever the slope
    >>> noise = np.random.default_rng(0).normal(0, 5, slope.shape)
    >>> estimate_sigma(slope), round(estimate_sigma(slope + noise))
    (0.0, 5)
    """
    if min(grey.shape) < 3:
        return 0.0
    # The mask [1 -2 1; -2 4 -2; 1 -2 1] is the second difference along both axes.
    grey = np.asarray(grey, dtype=np.float32)
    passed = np.diff(np.diff(grey, n=2, axis=0), n=2, axis=1)
    return _quantile(np.abs(passed), 0.5) / 0.6745 / 6


def _quantile(values: np.ndarray, share: float) -> float:
    """Do what `np.quantile` does, up to rounding, but faster, for a non-empty array without NaN.

    NumPy partitions around one position with vector instructions, around several without.
    """
    flat = values.ravel()
    position = share * (flat.size - 1)
    above = int(position) + 1
    if above >= flat.size:
        return float(flat.max())
    parted = np.partition(flat, above)
    low, high = float(parted[:above].max()), float(parted[above])
    return low + (high - low) * (position - int(position))


def noise_level(grey: np.ndarray) -> float:
    """Estimate the noise of a clip: roughness in space that **also** changes in time.

    Fine texture (fur, leaves) is rough in every frame, but stays from frame to frame; noise is
    drawn anew. So the roughness of each frame is compared with that of its difference to the next,
    which noise makes larger by the square root of 2, and the smaller one counts.

    Parameters
    ----------
    grey : ndarray
        (n, height, width).

    Returns
    -------
    float
        Median over frames of the standard deviation of noise, in grey levels.
    """
    grey = _middle(grey)
    spatial = [estimate_sigma(frame) for frame in grey]
    if len(grey) < 2:
        return spatial[0]
    temporal = [estimate_sigma(change) / np.sqrt(2) for change in np.diff(grey, axis=0)]
    return float(min(np.median(spatial), np.median(temporal)))


def _middle(grey: np.ndarray) -> np.ndarray:
    top, left = (max(0, (edge - _NOISE_SIDE) // 2) for edge in grey.shape[1:])
    return grey[:, top : top + _NOISE_SIDE, left : left + _NOISE_SIDE]


def treat_media(
    videos: pd.DataFrame,
    interactions: pd.DataFrame,
    media: pd.DataFrame,
    actions: Mapping[str, MediaAction] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Drop or keep the videos whose files `check_media` complains about.

    Parameters
    ----------
    videos, interactions : DataFrame
        Not changed.
    media : DataFrame
        The result of `check_media`.
    actions : mapping, optional
        Per status `"keep"` (only report), `"drop"` (the video and its exposures: nobody can watch
        it) or `"no_media"` (keep the video, forget its file). Default: `DEFAULT_ACTIONS`, which are
        overridden by these.

    Returns
    -------
    videos, interactions, report : DataFrame
        Cleaned tables, and one report row per affected video and exposure.

    Raises
    ------
    ValueError
        If an action or a status is unknown.
    """
    plan = {**DEFAULT_ACTIONS, **(actions or {})}
    wrong = {s: a for s, a in plan.items() if a not in ("keep", "drop", "no_media")}
    if wrong or set(plan) != set(DEFAULT_ACTIONS):
        raise ValueError(
            f"Actions {actions!r}: statuses are {', '.join(DEFAULT_ACTIONS)}, each with 'keep', "
            "'drop' or 'no_media'."
        )
    status = media["status"].reindex(videos.index)
    action = status.map(plan)
    noted = status.isin(list(plan)).to_numpy() & videos["path"].notna().to_numpy()
    words = {"keep": "kept, noted", "drop": "removed", "no_media": "its file forgotten"}
    report = make_report(
        "videos",
        file_rows(videos, noted),
        videos.index[noted],
        "path",
        [_problem(media.loc[v]) for v in videos.index[noted]],
        action[noted].map(words),
        videos.loc[noted, "path"],
        videos.loc[noted, "path"].where((action[noted] == "keep").to_numpy()),
        media["rule"].reindex(videos.index[noted]) if "rule" in media else None,
    )
    dropped = noted & (action == "drop").to_numpy()
    cleaned = videos.assign(path=videos["path"].mask(noted & (action == "no_media").to_numpy()))
    log, exposures = drop_videos(interactions, videos.index[dropped], "exposure of a removed video")
    doubtful = _report_doubts(videos, media, ~dropped)
    return cleaned.loc[~dropped], log, join_reports([report, doubtful, exposures])


def _report_doubts(videos: pd.DataFrame, media: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    """Report what is odd about files that stay: a doubt is no reason to remove a video."""
    if "doubts" not in media:
        return empty_report()
    doubts = media["doubts"].reindex(videos.index).fillna("")
    noted = kept & (doubts != "").to_numpy()
    return make_report(
        "videos",
        file_rows(videos, noted),
        videos.index[noted],
        "path",
        "doubtful file: " + doubts[noted],
        "kept, noted",
        videos.loc[noted, "path"],
        videos.loc[noted, "path"],
    )


def _problem(facts: pd.Series) -> str:
    """Name the kind of problem; for a broken or unread file also the reason."""
    if facts["status"] in ("broken", "unread"):
        return f"{facts['status']} file: {facts['reason']}"
    return f"{facts['status']} clip" if facts["status"] != "absent" else "file absent"


def drop_videos(
    interactions: pd.DataFrame, video_ids: pd.Index, problem: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop the exposures of some videos from the log, with a report row for each."""
    gone = interactions["video_id"].isin(video_ids).to_numpy()
    report = make_report(
        "interactions",
        file_rows(interactions, gone),
        interactions.loc[gone, "user_id"],
        "video_id",
        problem,
        "removed",
        interactions.loc[gone, "video_id"],
    )
    return interactions.loc[~gone], report


def repair_durations(
    videos: pd.DataFrame, media: pd.DataFrame, tolerance: float = DURATION_TOLERANCE
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace durations that are missing or contradict the file by the file's own.

    Parameters
    ----------
    videos, media : DataFrame
        The table (not changed) and the result of `check_media`.
    tolerance : float
        Relative difference from which a stated duration counts as wrong; a quarter of a second is
        always allowed.

    Returns
    -------
    cleaned, report : DataFrame
        The same rows, and a report row per duration replaced.
    """
    stated = videos["duration_s"]
    real = media["duration_s"].reindex(videos.index)
    apart = (stated - real).abs() > np.maximum(0.25, tolerance * real)
    wrong = (real.notna() & (stated.isna() | apart)).to_numpy(dtype=bool)
    problems = np.where(stated[wrong].isna(), "duration missing", "duration contradicts the file")
    report = make_report(
        "videos",
        file_rows(videos, wrong),
        videos.index[wrong],
        "duration_s",
        problems,
        "read from the file",
        stated[wrong],
        real[wrong].round(3),
    )
    return videos.assign(duration_s=stated.mask(wrong, real).astype(float)), report


def thumbnails(
    library: VideoLibrary,
    video_ids: Iterable[str],
    *,
    budget: video_io.Budget | None = None,
) -> list[np.ndarray | None]:
    """Read the thumbnails of some videos.

    Parameters
    ----------
    library : VideoLibrary
        The library that the videos belong to.
    video_ids : iterable of str
        The videos, in the order of the result.
    budget : video_io.Budget, optional
        What reading one image may cost.

    Returns
    -------
    list of (ndarray or None)
        uint8 `(height, width, 3)` each; None for a video without a readable thumbnail.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2"], "thumbnail": ["v1.png", None]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (6, 4)).save(Path(folder, "v1.png"))
    ...     image, absent = thumbnails(VideoLibrary(videos, log, root=folder), ["v1", "v2"])
    >>> image.shape, absent
    ((4, 6, 3), None)
    """

    def read(video_id: str) -> np.ndarray | None:
        try:
            return video_io.read_image(library.file(video_id, "thumbnail"), budget=budget)
        except (LibraryError, video_io.ImageError):
            return None

    return [read(video_id) for video_id in video_ids]
