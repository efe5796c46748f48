"""Exercises of `03_image_encoders`: bottlenecks, receptive fields, sure errors and look-alikes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import datasets, image_encoders, preprocessing


def bottleneck_by_hand() -> int:
    """Return the number of weights of an Inception branch, computed on paper.

    192 channels come in, a 1 x 1 convolution makes 96 of them, and a 3 x 3 convolution makes 128
    of those. There are no biases. These are the numbers of GoogLeNet's first Inception block.
    """
    # solution
    return 192 * 96 + 9 * 96 * 128
    # end solution


def check_bottleneck_by_hand(function: Callable[[], int]) -> str:
    """Check the number that `bottleneck_by_hand` returns."""
    answer = function()
    assert answer != 221184, "that is the 3 x 3 convolution without the bottleneck in front of it."
    assert answer != 110592, "the 1 x 1 convolution has weights, too; add them."
    assert answer != 30720, "a filter of 3 x 3 has nine weights for each channel that it sees."
    assert answer == 129024, f"add 192 x 96 and 9 x 96 x 128, which is not {answer}."
    return "the bottleneck saves four weights in ten, and as large a part of the multiplications."


WRONG_BOTTLENECK_BY_HAND = [
    (lambda: 9 * 192 * 128, "without the bottleneck"),
    (lambda: 9 * 96 * 128, "add them"),
    (lambda: 192 * 96 + 96 * 128, "nine weights"),
    (lambda: 1, "which is not"),
]


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Return the side of the square of pixels that one output of stacked filters depends on.

    The first filter sees `kernels[0]` pixels. Each later one adds `kernel - 1` steps, and a step is
    as wide as the product of all strides *before* it.
    For example, kernels `[3, 3]` with strides `[1, 1]` give 5, with strides `[2, 1]` 7.
    """
    # solution
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return field
    # end solution


def check_receptive_field(function: Callable[[list[int], list[int]], int]) -> str:
    """Check an attempt at `receptive_field`."""
    plain = function([3, 3], [1, 1])
    assert plain != 6, "two filters of 3 overlap: the second adds 2 pixels, not 3."
    assert plain == 5, f"two filters of 3 see 5 pixels, yours says {plain}."
    assert function([7], [2]) == 7, "a single filter sees its own size, whatever its stride."
    wide = function([3, 3], [2, 1])
    assert wide != 5, "after a stride of 2 neighbours lie 2 pixels apart: widen the step."
    assert wide == 7, (
        f"with strides [2, 1] the field is 7, yours is {wide}: a stride counts for the filters "
        "after it, not for its own."
    )
    deep = function([3, 2, 3, 3], [1, 2, 1, 1])
    assert deep == 12, f"the strides before a filter are multiplied; expected is 12, not {deep}."
    assert function([3, 3, 3], [2, 2, 1]) == 15, "the strides before a filter are multiplied."
    return "small filters in a stack see as far as a large one, with fewer weights."


WRONG_RECEPTIVE_FIELD = [
    (lambda kernels, strides: sum(kernels), "overlap"),
    (lambda kernels, strides: 1 + sum(k - 1 for k in kernels), "widen the step"),
    (
        lambda kernels, strides: (
            1 + sum((k - 1) * math.prod(strides[: i + 1]) for i, k in enumerate(kernels))
        ),
        "whatever its stride",
    ),
    (
        lambda kernels, strides: (
            1 + sum((k - 1) * (1 + sum(s - 1 for s in strides[:i])) for i, k in enumerate(kernels))
        ),
        "multiplied",
    ),
    (lambda kernels, strides: print(5), "returns nothing"),
]


def sure_and_wrong(probabilities: list[float], right: list[bool], threshold: float) -> float:
    """Return the share of wrong names among those that the network is sure of.

    A network is sure of a name whose probability is at least the threshold. Where it is sure of
    none, the share is NaN.
    For example, probabilities `[0.9, 0.8, 0.3]` of names that are `[True, False, False]` give 0.5
    at a threshold of 0.8.
    """
    # solution
    sure = [ok for p, ok in zip(probabilities, right, strict=True) if p >= threshold]
    return 1 - sum(sure) / len(sure) if sure else math.nan
    # end solution


def check_sure_and_wrong(function: Callable[[list[float], list[bool], float], float]) -> str:
    """Check an attempt at `sure_and_wrong`."""
    share = function([0.9, 0.8, 0.3, 0.95], [True, False, False, True], 0.5)
    assert not math.isclose(share, 0.25), "divide by the names that it is sure of, not by all."
    assert not math.isclose(share, 2 / 3), "that is the share of right names; wrong ones are asked."
    assert math.isclose(share, 1 / 3), f"one of three sure names is wrong, yours says {share}."
    edge = function([0.9, 0.8, 0.3], [True, False, False], 0.8)
    assert math.isclose(edge, 0.5), "a probability equal to the threshold counts as sure."
    no_share = function([0.2], [True], 0.5)
    assert math.isnan(no_share), (
        f"where it is sure of nothing there is no share: NaN, not {no_share}."
    )
    return "raise the threshold and watch whether errors become rarer, or only names."


def _among_all(probabilities: list[float], right: list[bool], threshold: float) -> float:
    pairs = zip(probabilities, right, strict=True)
    return sum(p >= threshold and not ok for p, ok in pairs) / len(right)


def _wrong_share(p: list[float], right: list[bool], least: float, strict: bool) -> float:
    sure = [ok for x, ok in zip(p, right, strict=True) if x > least or (x == least and not strict)]
    return 1 - sum(sure) / len(sure) if sure else 0.0


WRONG_SURE_AND_WRONG = [
    (_among_all, "not by all"),
    (lambda p, right, least: 1 - _wrong_share(p, right, least, False), "wrong ones are asked"),
    (lambda p, right, least: _wrong_share(p, right, least, True), "counts as sure"),
    (lambda p, right, least: _wrong_share(p, right, least, False), "NaN"),
]


def look_alikes(library: datasets.VideoLibrary) -> tuple[str, str]:
    """Return the ids of the two videos whose thumbnails are most alike, in alphabetical order.

    Alike means: the largest cosine of their pixels, once the mean of all thumbnails is subtracted.
    `preprocessing.thumbnails(library, library.videos.index)` reads the images, and
    `image_encoders.load("pixels").encode(images)` turns them into vectors. Try another encoder
    on your own library afterwards.
    """
    # solution
    ids = library.videos.index
    vectors = image_encoders.load("pixels").encode(preprocessing.thumbnails(library, ids))
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(len(ids))
    first, second = np.unravel_index(cosine.argmax(), cosine.shape)
    return tuple(sorted([ids[first], ids[second]]))
    # end solution


def _five_thumbnails(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five bright thumbnails: two near the mean, two that share a pattern."""
    rng = np.random.default_rng(0)
    first, other, weak = 30 * rng.uniform(-1, 1, (3, 16, 16, 3))
    second = 0.8 * first + 0.2 * other
    patterns = [-first - second, first, 0.1 * weak, second, -0.1 * weak]  # their mean is zero
    pixels = (160 + np.stack(patterns)).round().astype(np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).resize((64, 64), Image.Resampling.NEAREST).save(folder / f"{i}.png")
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(5)],
            "title": [f"clip {i}" for i in range(5)],
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
            "thumbnail": [f"{i}.png" for i in range(5)],
        }
    )
    interactions = pd.DataFrame({"user_id": ["u0"], "video_id": ["v0"]})
    interactions["timestamp"] = "2026-02-01T00:00:00Z"
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_look_alikes(function: Callable[[datasets.VideoLibrary], tuple[str, str]]) -> str:
    """Check an attempt at `look_alikes` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        answer = function(_five_thumbnails(Path(folder)))
    ids = tuple(map(str, answer))
    assert ids != ("v2", "v4"), "all are bright; take the mean of all thumbnails away first."
    assert len(ids) == 2, f"return two ids, not {ids}."
    assert ids[0] != ids[1], "a thumbnail is most like itself; leave the diagonal out."
    assert ids != ("v3", "v1"), "put the two ids in alphabetical order."
    assert ids == ("v1", "v3"), f"v1 and v3 share most of a pattern, yours says {ids}."
    return "what all thumbnails share says nothing about two of them."


def _uncentred(library: datasets.VideoLibrary) -> tuple[str, str]:
    ids = library.videos.index
    vectors = image_encoders.load("pixels").encode(preprocessing.thumbnails(library, ids))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(len(ids))
    first, second = np.unravel_index(cosine.argmax(), cosine.shape)
    return (ids[min(first, second)], ids[max(first, second)])


WRONG_LOOK_ALIKES = [
    (_uncentred, "take the mean of all"),
    (lambda library: ("v1", "v1"), "leave the diagonal out"),
    (lambda library: ("v3", "v1"), "alphabetical order"),
    (lambda library: ("v0", "v1"), "share most of a pattern"),
]
