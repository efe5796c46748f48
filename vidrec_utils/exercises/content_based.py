"""Exercises of `07_content_based`: a score, its main reason, fading, and shared tags."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def score_by_hand() -> float:
    """Return the score of one video for one person, computed on paper, to two digits or more.

    The person watched two videos. The first weighs 3 and has the vector (1, 0), the second weighs
    1 and has the vector (0, 1). Both vectors have length 1, and so has that of the video whose
    score is asked, (0.6, 0.8). The score is the product of the profile and this vector.
    """
    # solution
    return (3 * 0.6 + 1 * 0.8) / (3 + 1)
    # end solution


def check_score_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `score_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 2.6, abs_tol=0.005), (
        "divide by the sum of the weights, 4: a profile is a mean, not a sum."
    )
    assert not math.isclose(answer, 0.7, abs_tol=0.005), (
        "that gives both videos the same weight; the first counts three times as much."
    )
    assert not math.isclose(answer, 1.3, abs_tol=0.005), (
        "divide by the sum of the weights, 3 + 1, not by the number of videos."
    )
    assert not math.isclose(answer, 2.6 / math.sqrt(10), abs_tol=0.005), (
        "the profile is not scaled to length 1; that would be one factor for all videos of a list."
    )
    assert math.isclose(answer, 0.65, abs_tol=0.005), (
        f"the profile is (3/4, 1/4); multiply it by (0.6, 0.8) and add up. Yours is {answer}."
    )
    return "each watched video adds its share of the weight times its cosine: 0.45 and 0.2."


WRONG_SCORE_BY_HAND = [
    (lambda: 2.6, "not a sum"),
    (lambda: 0.7, "the same weight"),
    (lambda: 1.3, "number of videos"),
    (lambda: 0.822, "length 1"),
    (lambda: 0.5, "(3/4, 1/4)"),
]


def main_reason(
    vectors: np.ndarray, weights: np.ndarray, candidate: np.ndarray
) -> tuple[int, float]:
    """Return which watched video speaks most for a candidate, and its share of what speaks for it.

    Row j of `vectors` is the vector of a watched video, `weights[j]` its weight, which may be below
    0; all vectors have length 1. Video j contributes `weights[j] * (vectors[j] @ candidate)`. The
    share is its part of the sum of all contributions above 0; at least one is.
    """
    # solution
    contributions = weights * (vectors @ candidate)
    best = int(contributions.argmax())
    return best, float(contributions[best] / contributions[contributions > 0].sum())
    # end solution


def _history() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four watched videos, the last of which was disliked; the candidate is the first axis."""
    vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.8, 0.6]])
    return vectors, np.array([1.0, 4.0, 5.0, -1.0]), np.array([1.0, 0.0])


def check_main_reason(
    function: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[int, float]],
) -> str:
    """Check an attempt at `main_reason` on four watched videos, one of them disliked."""
    vectors, weights, candidate = _history()
    answer = function(vectors, weights, candidate)
    two = isinstance(answer, tuple) and len(answer) == 2
    assert two, "return two things, the position of the video and its share."
    best, share = answer
    fresh = zip(_history(), (vectors, weights, candidate), strict=True)
    assert all(np.array_equal(old, new) for old, new in fresh), (
        "the caller's arrays were changed; compute new ones."
    )
    assert best != 0, "0 is the most similar, but 1 weighs four times as much: multiply both."
    assert best != 2, "2 weighs most, but is at a right angle to the candidate: multiply both."
    assert best == 1, f"the contributions are 1, 2.4, 0 and 0.8, so it is 1, not {best}."
    assert not math.isclose(share, 2.4), "a share: divide by the sum of what speaks for it."
    assert not math.isclose(share, 2.4 / 3.4), (
        "what is disliked and unlike the candidate speaks for it, too: minus times minus is plus."
    )
    assert math.isclose(share, 2.4 / 4.2), f"2.4 of 1 + 2.4 + 0.8 is 0.571, yours is {share:.3f}."
    against = function(vectors, np.array([1.0, 4.0, 5.0, 1.0]), candidate)[1]
    assert math.isclose(against, 2.4 / 3.4), (
        "with a weight of 1 the last video contributes -0.8, which speaks against the candidate: "
        "leave it out of the sum."
    )
    return "a score that is a sum over the history tells its own reasons."


def _overwrites(vectors: np.ndarray, weights: np.ndarray, candidate: np.ndarray):
    weights *= vectors @ candidate
    return int(weights.argmax()), float(weights.max() / weights[weights > 0].sum())


def _only_liked(vectors: np.ndarray, weights: np.ndarray, candidate: np.ndarray):
    return main_reason(vectors, np.maximum(weights, 0), candidate)


def _of_the_sum(vectors: np.ndarray, weights: np.ndarray, candidate: np.ndarray):
    contributions = weights * (vectors @ candidate)
    return int(contributions.argmax()), float(contributions.max() / contributions.sum())


WRONG_MAIN_REASON = [
    (lambda v, w, candidate: print(main_reason(v, w, candidate)), "returns nothing"),
    (lambda v, w, candidate: main_reason(v, w, candidate)[0], "two things"),
    (lambda v, w, candidate: main_reason(v, np.ones(len(v)), candidate), "the most similar"),
    (lambda v, w, candidate: (int(w.argmax()), float(w.max() / w.sum())), "weighs most"),
    (lambda v, w, candidate: (1, float((w * (v @ candidate)).max())), "a share"),
    (_only_liked, "minus times minus"),
    (_of_the_sum, "against the candidate"),
    (_overwrites, "were changed"),
    (lambda v, w, candidate: (3, 0.2), "so it is 1"),
]


def recent_share(days_ago: np.ndarray, half_life: float, recent: float = 7.0) -> float:
    """Return the share of a profile's weight that comes from its last days.

    `days_ago` holds the age of each event in days. An event weighs one half for every `half_life`
    of its age: `0.5 ** (age / half_life)`. Recent are events of at most `recent` days.
    """
    # solution
    weights = 0.5 ** (days_ago / half_life)
    return float(weights[days_ago <= recent].sum() / weights.sum())
    # end solution


def check_recent_share(function: Callable[..., float]) -> str:
    """Check an attempt at `recent_share` on three events, by hand."""
    days = np.array([0.0, 7.0, 14.0])
    answer = function(days, 7.0)
    assert not math.isclose(answer, 2 / 3), "that is the share of the events: weigh them by age."
    assert not math.isclose(answer, 1.5), "divide by the weight of all events: a share, not a sum."
    assert not math.isclose(answer, 4 / 7), "an event of exactly 7 days is recent, too."
    assert math.isclose(answer, 6 / 7), (
        f"the weights are 1, 1/2 and 1/4, and the first two are recent: 6/7, not {answer:.3f}."
    )
    later = function(days, 14.0)
    assert not math.isclose(later, answer), (
        "use the argument `half_life`, not a number of your own."
    )
    assert math.isclose(function(days, 7.0, 0.0), 4 / 7), "use the argument `recent`, too."
    return "the longer the half-life, the nearer the share comes to that of the plain mean."


WRONG_RECENT_SHARE = [
    (lambda d, half_life, recent=7.0: print(recent_share(d, half_life, recent)), "returns nothing"),
    (lambda days_ago, half_life, recent=7.0: (days_ago <= recent).mean(), "share of the events"),
    (lambda d, h, recent=7.0: (0.5 ** (d / h))[d <= recent].sum(), "not a sum"),
    (lambda d, half_life, recent=7.0: recent_share(d, half_life, recent - 0.1), "exactly 7 days"),
    (lambda d, h, recent=7.0: recent_share(d, h / math.log(2), recent), "1, 1/2 and 1/4"),
    (lambda d, half_life, recent=7.0: recent_share(d, 7.0, recent), "`half_life`"),
    (lambda d, half_life, recent=7.0: recent_share(d, half_life, 7.0), "`recent`"),
]


def lonely_share(library: datasets.VideoLibrary) -> float:
    """Return the share of videos that share no tag with any other video of the library.

    `library.videos["tags"]` holds the tags of a video as one text, such as `"cats|slow tv"`;
    `datasets.split_tags` turns the column into lists. A video without tags shares none.
    """
    # solution
    tags = datasets.split_tags(library.videos["tags"])
    n_videos = pd.Series([tag for row in tags for tag in {*row}]).value_counts()
    lonely = [all(n_videos[tag] == 1 for tag in row) for row in tags]
    return float(np.mean(lonely))
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Five videos: two share a tag, one repeats its own tag, one has another, one has none."""
    tags = ["cats|rain", "rain|tea", "dogs|dogs", "sun", None]
    ids = pd.Index([f"v{number}" for number in range(5)], name="video_id")
    pd.DataFrame({"title": [f"Video {n}" for n in range(5)], "tags": tags}, ids).to_csv(
        folder / "videos.csv"
    )
    times = pd.date_range("2026-02-01", periods=5, freq="h", tz="UTC")
    log = pd.DataFrame({"user_id": "ann", "video_id": ids, "timestamp": times})
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_lonely_share(function: Callable[[datasets.VideoLibrary], float]) -> str:
    """Check an attempt at `lonely_share` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        library = _five_videos(Path(folder))
        before = library.videos.copy()
        answer = float(function(library))
        assert library.videos.equals(before), (
            "the videos of the library were changed; work on a copy."
        )
    assert not math.isclose(answer, 1 / 5), (
        "that counts videos without tags only; a tag that no other video has shares nothing either."
    )
    assert not math.isclose(answer, 1 / 2), (
        "the video without tags counts among the five, and it is lonely, too."
    )
    assert not math.isclose(answer, 2 / 5), (
        "a video that shares nothing is asked for; is it the others that you count, or does a tag "
        "that one video holds twice, or no tag at all, pass for a shared one?"
    )
    assert not math.isclose(answer, 1.0), (
        "'cats|rain' is one text with two tags: split it with `datasets.split_tags` first."
    )
    assert math.isclose(answer, 3 / 5), (
        f"the first two share 'rain', the other three share nothing: 3/5, yours is {answer:.3f}."
    )
    return "for these videos tags say nothing, and another modality has to speak."


def _counts_tags(library: datasets.VideoLibrary) -> float:
    tags = datasets.split_tags(library.videos["tags"])
    n_tags = pd.Series([tag for row in tags for tag in row]).value_counts()
    return float(np.mean([all(n_tags[tag] == 1 for tag in row) for row in tags]))


def _whole_texts(library: datasets.VideoLibrary) -> float:
    return float(np.mean(~library.videos["tags"].duplicated(keep=False)))


def _with_tags_only(library: datasets.VideoLibrary) -> float:
    tagged = library.videos[library.videos["tags"].notna()]
    tags = datasets.split_tags(tagged["tags"])
    n_videos = pd.Series([tag for row in tags for tag in {*row}]).value_counts()
    return float(np.mean([all(n_videos[tag] == 1 for tag in row) for row in tags]))


def _adds_a_column(library: datasets.VideoLibrary) -> float:
    library.videos["n_tags"] = datasets.split_tags(library.videos["tags"]).map(len)
    return lonely_share(library)


WRONG_LONELY_SHARE = [
    (lambda library: print(lonely_share(library)), "returns nothing"),
    (lambda library: library.videos["tags"].isna().mean(), "without tags only"),
    (_with_tags_only, "among the five"),
    (_counts_tags, "holds twice"),
    (lambda library: 1 - lonely_share(library), "the others that you count"),
    (_whole_texts, "split_tags"),
    (_adds_a_column, "were changed"),
    (lambda library: 0.0, "share nothing"),
]
