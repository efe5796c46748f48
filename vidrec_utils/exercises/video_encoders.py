"""Exercises of `04_video_encoders`: an overlap, inflation, the limits of flow, and direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy import ndimage

from vidrec_utils import datasets, video_io


def overlap_by_hand() -> float:
    """Return the temporal IoU of the spans 1 to 4 s and 3 to 6 s, computed on paper."""
    # solution
    return 0.2
    # end solution


def check_overlap_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `overlap_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 1 / 3, abs_tol=0.01), (
        "that is the intersection over the length of one span; divide by the length of the union."
    )
    assert not math.isclose(answer, 1 / 6, abs_tol=0.01), (
        "you added both lengths, so the second that they share was counted twice; take it off once."
    )
    assert math.isclose(answer, 0.2, abs_tol=0.001), (
        f"the spans share one second, and together they cover five; yours is {answer}."
    )
    return "1 s of intersection over 5 s of union: below one half, so this would be no hit."


WRONG_OVERLAP_BY_HAND = [
    (lambda: 1 / 3, "length of one span"),
    (lambda: 1 / 6, "counted twice"),
    (lambda: 1.0, "share one second"),
]


def inflate(kernel: np.ndarray, taps: int) -> np.ndarray:
    """Return a filter for clips from one for images, so that a still film gives the same answer.

    `kernel` has shape `(height, width)`, the result `(taps, height, width)`; `taps` is odd. Choose
    one of two ways: the filter at every tap, divided by their number, as I3D's paper did; or all of
    it at the middle tap. Leave `kernel` as it is.
    For example, `[[6]]` and 3 taps give `[[[2]], [[2]], [[2]]]`, or `[[[0]], [[6]], [[0]]]`.
    """
    # solution
    return np.stack([kernel / taps] * taps)
    # end solution


def check_inflate(function: Callable[[np.ndarray, int], np.ndarray]) -> str:
    """Check an attempt at `inflate`, and say which of the two ways it is."""
    kernel = np.array([[1.0, -2.0], [0.0, 3.0]])
    inflated = np.asarray(function(kernel, 5), dtype=float)
    assert inflated.shape == (5, 2, 2), (
        f"time comes first: the shape is (5, 2, 2), yours is {inflated.shape}."
    )
    assert np.array_equal(kernel, [[1, -2], [0, 3]]), "leave the filter that you were given alone."
    assert not np.allclose(inflated, kernel), (
        "every tap holds the whole filter, so a clip in which nothing moves would give five times "
        "the output: divide by the number of taps."
    )
    assert np.allclose(inflated.sum(axis=0), kernel), (
        "in a still film every tap sees the same image, so the taps must sum to the filter."
    )
    if np.allclose(inflated, kernel / 5):
        return (
            "this is what I3D's paper did. A still film gives the image's answer; whatever moves "
            "is averaged over five frames. The centre tap would keep single frames sharp."
        )
    assert np.allclose(inflated[2], kernel), (
        "the taps sum to the filter, but this is neither of the two ways: put all of it at the "
        "middle tap, of index taps // 2, or the same share at each."
    )
    return (
        "this is the centre tap, which came later. Every frame gives the image's answer, moving or "
        "not. I3D's paper put the filter at every tap, divided by their number."
    )


WRONG_INFLATE = [
    (lambda kernel, taps: np.stack([kernel] * taps), "divide by the number of taps"),
    (lambda kernel, taps: np.stack([kernel / taps] * taps, axis=-1), "time comes first"),
    (
        lambda kernel, taps: np.stack([kernel, *[np.zeros_like(kernel)] * (taps - 1)]),
        "neither of the two ways",
    ),
    (lambda kernel, taps: np.stack([kernel / 2] * taps), "sum to the filter"),
    (lambda kernel, taps: np.stack([np.divide(kernel, 2, out=kernel)] * taps), "leave the filter"),
]


STEPS = (0.5, 1.0, 2.0, 4.0, 8.0)


def first_failure(estimate: Callable, image: np.ndarray) -> float:
    """Return the smallest of the steps 0.5, 1, 2, 4 and 8 at which an estimate of flow fails.

    Move `image` to the right by each step in turn, with
    `ndimage.shift(image, (0, step), order=3, mode="nearest")`, and let `estimate(image, moved)`
    find the displacement `(u, v)`. It fails where `u` is wrong by more than half a pixel. Return
    infinity if it never fails.
    """
    # solution
    for step in (0.5, 1.0, 2.0, 4.0, 8.0):
        moved = ndimage.shift(image, (0, step), order=3, mode="nearest")
        u, _ = estimate(image, moved)
        if abs(u - step) > 0.5:
            return step
    return np.inf
    # end solution


def _shift_between(one: np.ndarray, two: np.ndarray) -> float:
    """Find by trying which of the steps moved an image to the right."""
    errors = [
        np.abs(ndimage.shift(one, (0, step), order=3, mode="nearest") - two).max() for step in STEPS
    ]
    return STEPS[int(np.argmin(errors))]


def check_first_failure(function: Callable[[Callable, np.ndarray], float]) -> str:
    """Check an attempt at `first_failure` with estimates that are known to fail somewhere."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 40)), 2)
    exact = function(lambda one, two: (_shift_between(one, two), 0.0), image)
    assert exact == np.inf, f"an estimate without errors never fails: return infinity, not {exact}."
    capped = function(lambda one, two: (min(_shift_between(one, two), 2.0), 0.0), image)
    assert capped != 8.0, "that is the largest step that fails; return the smallest."
    assert capped == 4.0, (
        f"an estimate that never says more than 2 fails first at 4, not at {capped}."
    )
    slightly = function(lambda one, two: (_shift_between(one, two) * 1.2, 0.0), image)
    assert slightly == 4.0, (
        "an error of 0.4 pixels is no failure, one of 0.8 is: compare the absolute error with 0.5."
    )
    low = function(lambda one, two: (_shift_between(one, two) * 0.8, 0.0), image)
    assert low == 4.0, "an estimate may be too small as well: compare the absolute error."
    return "small steps are the assumption of flow; larger ones need a search from coarse to fine."


def _signed(estimate: Callable, image: np.ndarray) -> float:
    for step in STEPS:
        u, _ = estimate(image, ndimage.shift(image, (0, step), order=3, mode="nearest"))
        if u - step > 0.5:
            return step
    return np.inf


def _last(estimate: Callable, image: np.ndarray) -> float:
    moved = [ndimage.shift(image, (0, step), order=3, mode="nearest") for step in STEPS]
    wrong = [s for s, m in zip(STEPS, moved, strict=True) if abs(estimate(image, m)[0] - s) > 0.5]
    return max(wrong, default=np.inf)


def _strict(estimate: Callable, image: np.ndarray) -> float:
    moved = [ndimage.shift(image, (0, step), order=3, mode="nearest") for step in STEPS]
    wrong = [s for s, m in zip(STEPS, moved, strict=True) if abs(estimate(image, m)[0] - s) > 0]
    return min(wrong, default=np.inf)


WRONG_FIRST_FAILURE = [
    (lambda estimate, image: 8.0, "never fails"),
    (_last, "the largest step"),
    (_signed, "fails first at 4"),
    (_strict, "no failure"),
]


def most_directed(library: datasets.VideoLibrary) -> str:
    """Return the id of the video that differs most from its reversal.

    Compare eight frames of each file, from `video_io.sample_frames(library.file(video_id), n=8)`,
    with the same frames in opposite order, by the mean absolute difference of their pixels. (The
    frames are uint8: turn them into floats before you subtract.)
    """
    # solution
    differences = {}
    for video_id in library.videos.index:
        frames = video_io.sample_frames(library.file(video_id), n=8).astype(float)
        differences[video_id] = np.abs(frames - frames[::-1]).mean()
    return max(differences, key=differences.get)
    # end solution


def _five_clips(folder: Path) -> datasets.VideoLibrary:
    """Write five clips: a bright still one, one there and back, and three that brighten or move."""
    t = np.arange(16)
    back_and_forth = np.minimum(t, 15 - t) * 30
    levels = {
        "still": np.full(16, 250),
        "back_and_forth": back_and_forth,
        "brightens": t * 15,
        "darkens_a_little": 200 - t * 3,
        "flickers": np.where(t // 4 % 2, 60, 0),
    }
    for name, level in levels.items():
        frames = np.tile(level.astype(np.uint8)[:, None, None, None], (1, 32, 32, 3))
        video_io.write_clip(folder / f"{name}.mp4", frames, fps=8)
    videos = pd.DataFrame(
        {
            "video_id": list(levels),
            "title": list(levels),
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
            "path": [f"{name}.mp4" for name in levels],
        }
    )
    videos.to_csv(folder / "videos.csv", index=False)
    (folder / "interactions.csv").write_text(
        "user_id,video_id,timestamp\nu1,still,2026-02-01T00:00:00Z\n", encoding="utf-8"
    )
    return datasets.load_folder(folder)


def check_most_directed(function: Callable[[datasets.VideoLibrary], str]) -> str:
    """Check an attempt at `most_directed` on a folder of five clips."""
    with TemporaryDirectory() as folder:
        answer = function(_five_clips(Path(folder)))
    assert answer != "still", "nothing moves in it: compare frames with frames, not with zero."
    assert answer != "back_and_forth", (
        "this clip changes most from frame to frame, but backwards it is the same; compare the "
        "clip with its reversal."
    )
    assert answer != "darkens_a_little", (
        "differences of uint8 wrap around: turn the frames into floats before you subtract."
    )
    assert answer == "brightens", (
        f"the clip that brightens differs most from its reversal, not {answer!r}."
    )
    return "this test needs no labels, so it works on anybody's clips."


def _by_steps(library: datasets.VideoLibrary) -> str:
    change = {}
    for video_id in library.videos.index:
        frames = video_io.sample_frames(library.file(video_id), n=8).astype(float)
        change[video_id] = np.abs(np.diff(frames, axis=0)).mean()
    return max(change, key=change.get)


WRONG_MOST_DIRECTED = [
    (_by_steps, "backwards it is the same"),
    (lambda library: "still", "nothing moves"),
    (lambda library: "darkens_a_little", "wrap around"),
    (lambda library: "flickers", "differs most"),
]
