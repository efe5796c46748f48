"""Exercises of `10_imbalance`: an estimate, other shares, clipped weights, a constant answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def snips_by_hand() -> float:
    """Return the self-normalised estimate, computed on paper, to two digits or more.

    In three sessions the log's policy chose its first video with the probabilities 0.8, 0.5 and
    0.2. A new policy would have chosen the same videos with 0.4, 0.5 and 0.6. The rewards that were
    seen are 1, 0 and 1.
    """
    # solution
    return (0.5 * 1 + 1.0 * 0 + 3.0 * 1) / (0.5 + 1.0 + 3.0)
    # end solution


def check_snips_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `snips_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 3.5 / 3, abs_tol=0.005), (
        "that is the plain weighted mean, over the number of sessions; divide by the sum of the "
        "weights instead."
    )
    assert not math.isclose(answer, 2 / 3, abs_tol=0.005), (
        "that is the mean of the log, without weights; it says what the *old* policy is worth."
    )
    assert not math.isclose(answer, 0.7, abs_tol=0.005), (
        "the weights are turned round: the new policy's probability stands above the line."
    )
    assert not math.isclose(answer, 6.25 / 8.25, abs_tol=0.005), (
        "you divided by the log's probabilities only; the new policy's belong into the weights."
    )
    assert math.isclose(answer, 3.5 / 4.5, abs_tol=0.005), (
        f"the weights are 0.5, 1 and 3, so it is 3.5 / 4.5; yours is {answer}."
    )
    return "3.5 of 4.5: an estimate that can never leave the range of the rewards."


WRONG_SNIPS_BY_HAND = [
    (lambda: 3.5 / 3, "number of sessions"),
    (lambda: 2 / 3, "old* policy"),
    (lambda: 0.7, "turned round"),
    (lambda: 0.7576, "log's probabilities only"),
    (lambda: 3.5, "3.5 / 4.5"),
]


def shift_shares(
    probabilities: np.ndarray, trained: np.ndarray, deployed: np.ndarray
) -> np.ndarray:
    """Return the probabilities for a platform whose classes have other shares than in training.

    By Bayes, each class's probability is multiplied by its share there, `deployed[c]`, over its
    share in training, `trained[c]`; then each row is scaled to sum to 1 again. `probabilities` has
    the shape (n, classes) and is not changed.
    """
    # solution
    shifted = probabilities * (np.asarray(deployed) / np.asarray(trained))
    return shifted / shifted.sum(axis=1, keepdims=True)
    # end solution


def check_shift_shares(function: Callable[..., np.ndarray]) -> str:
    """Check an attempt at `shift_shares` on three videos and two classes."""
    stated = np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    before, trained, deployed = stated.copy(), np.array([0.5, 0.5]), np.array([0.9, 0.1])
    got = np.asarray(function(stated, trained, deployed), dtype=float)
    assert np.array_equal(stated, before), "the caller's table was changed; compute a new one."
    assert got.shape == (3, 2), f"return one row a video and one column a class, not {got.shape}."
    assert not np.allclose(got, stated), "nothing has changed; multiply by the shares."
    assert np.allclose(got.sum(axis=1), 1), (
        "rows do not sum to 1: divide each row by its sum, with `keepdims=True`."
    )
    other = np.array([0.1, 0.9])
    assert not np.allclose(got, shift_shares(stated, deployed, trained)), (
        "the shares are turned round: multiply by those of the platform, divide by training's."
    )
    assert np.allclose(got[1], [0.9, 0.1]), (
        "a video that says nothing should get the shares of the platform, 0.9 and 0.1; yours gets "
        f"{got[1].round(2).tolist()}."
    )
    mixed = np.asarray(function(stated, other, deployed), dtype=float)
    assert np.allclose(mixed, shift_shares(stated, other, deployed)), (
        "your answer does not depend on `trained`: a class that was rare in training has to be "
        "raised."
    )
    return "a model that was trained on equal classes can state probabilities for any platform."


def _overwrites(probabilities: np.ndarray, trained: np.ndarray, deployed: np.ndarray) -> np.ndarray:
    probabilities *= np.asarray(deployed) / np.asarray(trained)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


WRONG_SHIFT_SHARES = [
    (lambda p, trained, deployed: p * deployed / trained, "sum to 1"),
    (lambda p, trained, deployed: p, "nothing has changed"),
    (lambda p, trained, deployed: shift_shares(p, deployed, trained), "turned round"),
    (
        lambda p, trained, deployed: shift_shares(p, np.ones(p.shape[1]), deployed),
        "depend on `trained`",
    ),
    (lambda p, trained, deployed: shift_shares(p, trained, deployed)[:, 0], "one column a class"),
    (lambda p, trained, deployed: np.tile([0.6, 0.4], (len(p), 1)), "says nothing"),
    (_overwrites, "was changed"),
]


def effective_sessions(target: np.ndarray, logged: np.ndarray, limit: float) -> float:
    """Return how many sessions of equal weight would be as good as these, with clipped weights.

    The weights are `target / logged`, cut at `limit`. Their effective number is the square of their
    sum, divided by the sum of their squares.
    """
    # solution
    weights = np.minimum(np.asarray(target) / np.asarray(logged), limit)
    return float(weights.sum() ** 2 / (weights**2).sum())
    # end solution


def check_effective_sessions(function: Callable[..., float]) -> str:
    """Check an attempt at `effective_sessions` on four sessions, for three limits."""
    target, logged = np.array([0.2, 0.4, 0.5, 0.9]), np.array([0.4, 0.4, 0.25, 0.1])
    # the weights are 0.5, 1, 2 and 9
    whole, cut = float(function(target, logged, 100.0)), float(function(target, logged, 2.0))
    assert not math.isclose(whole, 12.5), (
        "that is the sum of the weights; square it, and divide by the sum of their squares."
    )
    assert not math.isclose(whole, 12.5 / 86.25), (
        "the sum above the line has to be squared as a whole: (0.5 + 1 + 2 + 9)^2."
    )
    turned = logged / target
    assert not math.isclose(whole, turned.sum() ** 2 / (turned**2).sum()), (
        "the weights are turned round: they are `target / logged`."
    )
    assert math.isclose(whole, 12.5**2 / 86.25), (
        f"the weights 0.5, 1, 2 and 9 are worth 1.81 sessions; yours is {whole:.2f}."
    )
    assert not math.isclose(cut, whole), "`limit` is not used: cut the weights with `np.minimum`."
    assert not math.isclose(cut, 3.5**2 / 5.25), (
        "weights above the limit are cut *to* the limit; your sessions with such weights are gone."
    )
    assert math.isclose(cut, 5.5**2 / 9.25), (
        f"cut at 2, the weights 0.5, 1, 2 and 2 are worth 3.27 sessions; yours is {cut:.2f}."
    )
    return "one large weight makes four sessions worth less than two; cutting it gives them back."


def _left_out(target: np.ndarray, logged: np.ndarray, limit: float) -> float:
    weights = target / logged
    weights = weights[weights <= limit]
    return float(weights.sum() ** 2 / (weights**2).sum())


WRONG_EFFECTIVE_SESSIONS = [
    (lambda target, logged, limit: effective_sessions(target, logged, 1e9), "not used"),
    (lambda target, logged, limit: effective_sessions(logged, target, limit), "turned round"),
    (lambda target, logged, limit: float(np.minimum(target / logged, limit).sum()), "sum of the"),
    (
        lambda target, logged, limit: float(
            np.minimum(target / logged, limit).sum()
            / (np.minimum(target / logged, limit) ** 2).sum()
        ),
        "squared as a whole",
    ),
    (_left_out, "cut *to* the limit"),
    (lambda target, logged, limit: 4.0, "1.81 sessions"),
]


def constant_answer(library: datasets.VideoLibrary) -> tuple[float, float]:
    """Return accuracy and macro F1 of answering the largest category for every video.

    Videos whose category is missing are left out. The macro F1 is the plain mean of the F1 of all
    categories that occur: 2 TP / (2 TP + FP + FN), which is 0 for those that are never answered.
    """
    # solution
    category = library.videos["category"].dropna()
    shares = category.value_counts(normalize=True)
    accuracy = float(shares.iloc[0])
    f1 = 2 * accuracy / (1 + accuracy)  # TP = share, FP = 1 - share, FN = 0
    return accuracy, f1 / len(shares)
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Five videos: three of one category, one of another, and one without."""
    titles = {"title": [f"Video {number}" for number in range(5)]}
    videos = pd.DataFrame(titles, pd.Index([f"v{number}" for number in range(5)], name="video_id"))
    videos["category"] = ["news", "tea", "news", None, "news"]
    log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["v0", "v1"]})
    log["timestamp"] = pd.Timestamp("2026-02-01", tz="UTC")
    videos.to_csv(folder / "videos.csv")
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_constant_answer(
    function: Callable[[datasets.VideoLibrary], tuple[float, float]],
) -> str:
    """Check an attempt at `constant_answer` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        library = _five_videos(Path(folder))
        before = library.videos.copy()
        got = function(library)
        assert library.videos.equals(before), "the library was changed; work on a copy."
    pair = isinstance(got, tuple) and len(got) == 2
    assert pair, "return two numbers: accuracy, macro F1."
    accuracy, macro_f1 = map(float, got)
    assert not math.isclose(accuracy, 0.6), (
        "the video without a category is counted; leave it out with `dropna()`."
    )
    assert math.isclose(accuracy, 0.75), (
        f"three of the four known categories are news: 0.75, yours is {accuracy:.2f}."
    )
    assert not math.isclose(macro_f1, 6 / 7), (
        "that is the F1 of the largest category alone; the other category has an F1 of 0, and "
        "counts as much."
    )
    assert not math.isclose(macro_f1, 0.75), "that is the micro F1, which is the accuracy again."
    assert math.isclose(macro_f1, 3 / 7), (
        f"news has an F1 of 6 / 7 and tea one of 0, so the mean is 3 / 7; yours is {macro_f1:.3f}."
    )
    return "an accuracy of 75% for an answer that has learned nothing: compare every model with it."


def _with_unknown(library: datasets.VideoLibrary) -> tuple[float, float]:
    accuracy = float((library.videos["category"] == "news").fillna(False).mean())
    return accuracy, 0.0


def _adds_a_column(library: datasets.VideoLibrary) -> tuple[float, float]:
    library.videos["answer"] = "news"
    return constant_answer(library)


WRONG_CONSTANT_ANSWER = [
    (_with_unknown, "is counted"),
    (lambda library: (0.75, 6 / 7), "largest category alone"),
    (lambda library: (0.75, 0.75), "micro F1"),
    (lambda library: (0.75, 0.5), "3 / 7"),
    (lambda library: (1.0, 0.5), "three of the four"),
    (lambda library: 0.75, "two numbers"),
    (_adds_a_column, "was changed"),
]
