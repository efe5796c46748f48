"""Exercises of `06_evaluation`: an NDCG, a verdict with a margin, luck, and cold exposures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def ndcg_by_hand() -> float:
    """Return the NDCG@3 of one list, computed on paper, to two digits or more.

    The videos at ranks 1 and 3 are hits, the one at rank 2 is not. The user has two relevant
    videos, and both are on the list. A hit at rank i gains 1 / log2(i + 1); log2(3) is about 1.585.
    """
    # solution
    return 0.92
    # end solution


def check_ndcg_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `ndcg_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 1.5, abs_tol=0.02), (
        "1.5 is what the two hits gain; divide it by the gain of the best list."
    )
    assert not math.isclose(answer, 1.5 / (1 + 1 / np.log2(3) + 0.5), abs_tol=0.01), (
        "you divided by three hits at the top, but the user has only two relevant videos."
    )
    assert not math.isclose(answer, 5 / 6, abs_tol=0.005), (
        "that is the average precision, (1/1 + 2/3) / 2; NDCG discounts by the logarithm."
    )
    assert not math.isclose(answer, 0.75, abs_tol=0.01), (
        "you divided by the number of relevant videos; the best list gains 1 + 1 / log2(3)."
    )
    assert math.isclose(answer, 1.5 / (1 + 1 / np.log2(3)), abs_tol=0.006), (
        f"the gain is 1 + 1/2, that of the best list 1 + 1 / 1.585 = 1.631; yours is {answer}."
    )
    return "1.5 of 1.631: one rank lost by the second hit costs eight percent."


WRONG_NDCG_BY_HAND = [
    (lambda: 1.5, "divide it by"),
    (lambda: 0.70, "only two relevant"),
    (lambda: 0.833, "average precision"),
    (lambda: 0.75, "number of relevant"),
    (lambda: 0.61, "the gain is"),
]


def verdict(a: list[float], b: list[float], margin: float, seed: int) -> str:
    """Return "better", "not worse" or "cannot tell": what the scores of the same users show of a.

    `a[i]` and `b[i]` are the scores of user i, where more is better. Draw the users with
    replacement 2,000 times with `np.random.default_rng(seed)`, and take the 95% interval of the
    mean of `a - b` from the percentiles. Better: all of it lies above 0. Not worse: all of it lies
    above minus the margin. In every other case these data cannot tell that a is as good as b.
    """
    # solution
    gaps = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    rows = np.random.default_rng(seed).integers(0, len(gaps), (2000, len(gaps)))
    low = np.quantile(gaps[rows].mean(axis=1), 0.025)
    return "better" if low > 0 else "not worse" if low > -margin else "cannot tell"
    # end solution


def _scores(lead: float, spread: float, n: int = 400) -> tuple[list[float], list[float]]:
    """Scores of two models that are easy or hard for the same users, with a given mean lead."""
    rng = np.random.default_rng(5)
    common, noise = rng.normal(0.5, 0.5, n), rng.normal(0, spread, n)
    b = common + 0.0
    a = common + lead + noise - noise.mean()
    return a.tolist(), b.tolist()


def check_verdict(function: Callable[[list[float], list[float], float, int], str]) -> str:
    """Check an attempt at `verdict` on scores whose lead is known."""
    words = {"better", "not worse", "cannot tell"}
    answer = function(*_scores(0.05, 0.1), 0.02, 0)
    assert answer in words, f"return one of {', '.join(sorted(words))}, not {answer!r}."
    assert answer != "cannot tell", (
        "nearly every user has more under a, so the lead is clear: take a minus b, user by user."
    )
    assert answer == "better", (
        "the whole interval of the paired difference lies above 0. Take the difference of each "
        "user first, and draw users afterwards: what is easy for both then cancels out."
    )
    wide = function(*_scores(0.0, 0.6), 0.02, 0)
    assert wide == "cannot tell", (
        f"the interval reaches from about -0.06 to +0.06, so a loss of more than 0.02 would fit: "
        f"cannot tell, not {wide!r}. That an interval includes 0 shows nothing."
    )
    narrow = function(*_scores(0.0, 0.1), 0.02, 0)
    assert narrow == "not worse", (
        f"the interval reaches from about -0.01 to +0.01, all of it above -0.02: not worse, "
        f"yours says {narrow!r}."
    )
    loss = function(*_scores(-0.05, 0.1), 0.02, 0)
    assert loss == "cannot tell", f"a loses by more than the margin, and yours says {loss!r}."
    return "a margin turns 'no difference was found' into a claim that the data can refute."


def _unpaired(a: list[float], b: list[float], margin: float, seed: int) -> str:
    rng = np.random.default_rng(seed)
    one, other = (np.asarray(values) for values in (a, b))
    means = [
        rng.choice(one, len(one)).mean() - rng.choice(other, len(other)).mean() for _ in range(2000)
    ]
    low = np.quantile(means, 0.025)
    return "better" if low > 0 else "not worse" if low > -margin else "cannot tell"


def _includes_zero(a: list[float], b: list[float], margin: float, seed: int) -> str:
    gaps = np.asarray(a) - np.asarray(b)
    rows = np.random.default_rng(seed).integers(0, len(gaps), (2000, len(gaps)))
    low, high = np.quantile(gaps[rows].mean(axis=1), [0.025, 0.975])
    return "better" if low > 0 else "not worse" if high > 0 else "cannot tell"


def _without_margin(a: list[float], b: list[float], margin: float, seed: int) -> str:
    return "better" if verdict(a, b, 1e-9, seed) == "better" else "cannot tell"


WRONG_VERDICT = [
    (_unpaired, "cancels out"),
    (_includes_zero, "includes 0 shows nothing"),
    (_without_margin, "above -0.02"),
    (lambda a, b, margin, seed: verdict(b, a, margin, seed), "take a minus b"),
    (lambda a, b, margin, seed: np.mean(a) > np.mean(b), "return one of"),
    (
        lambda a, b, margin, seed: "better" if np.mean(a) >= np.mean(b) else "cannot tell",
        "a loss of more than 0.02",
    ),
]


def lead_of_the_best(scores: np.ndarray, n_settings: int) -> float:
    """Return by how much the best of the first settings exceeds their mean.

    `scores` has one row a user and one column a setting. The score of a setting is its mean over
    the users. Take the first `n_settings` columns only, for the best and for the mean alike.
    For example, `[[0, 1, 5], [0, 3, 5]]` and 2 settings, with scores 0 and 2, give 1.
    """
    # solution
    means = np.asarray(scores, dtype=float)[:, :n_settings].mean(axis=0)  # (n_settings,)
    return float(means.max() - means.mean())
    # end solution


def check_lead_of_the_best(function: Callable[[np.ndarray, int], float]) -> str:
    """Check an attempt at `lead_of_the_best` on two users and four settings."""
    scores = np.array([[0.0, 1.0, 5.0, 1.0], [0.0, 3.0, 5.0, 0.0]])
    kept = scores.copy()
    alone = function(scores[:, 3:], 1)
    assert abs(alone) < 1e-9, f"one setting is the best and the mean: 0, not {alone}."
    two = function(scores, 2)
    assert np.array_equal(scores, kept), "leave the scores that you were given as they are."
    assert not np.isclose(two, [3.125, 4, 5]).any(), (
        "the third setting is not among the first two; cut the columns before you choose."
    )
    assert abs(two - 1) < 1e-9, f"of the means 0 and 2 the best exceeds the mean by 1, not {two}."
    crossed = function(np.array([[1.0, 0.0], [0.0, 1.0]]), 2)
    assert abs(crossed) < 1e-9, (
        f"both settings have the mean 0.5, so none leads: 0, not {crossed}. Choose one setting for "
        "all users, not the best one of each."
    )
    return (
        "the lead of the best grows with the number tried, though none is better: that is why the "
        "winner is measured again on users who did not choose it."
    )


def _best_of_each(scores: np.ndarray, n_settings: int) -> float:
    first = np.asarray(scores)[:, :n_settings]
    return float(first.max(axis=1).mean() - first.mean())


WRONG_LEAD_OF_THE_BEST = [
    (lambda scores, n_settings: float(np.ptp(scores.mean(axis=0))), "among the first two"),
    (
        lambda scores, n_settings: float(
            scores.mean(axis=0).max() - scores[:, :n_settings].mean(axis=0).mean()
        ),
        "among the first two",
    ),
    (_best_of_each, "the best one of each"),
    (lambda scores, n_settings: float(scores[:, :n_settings].mean(axis=0).max()), "one setting"),
    (
        lambda scores, n_settings: float(np.ptp(scores[:, :n_settings].mean(axis=0))),
        "exceeds the mean by 1",
    ),
]


def cold_share(library: datasets.VideoLibrary, known: float = 0.8) -> float:
    """Return the share of the later exposures that go to videos never shown before.

    Sort `library.interactions` by `timestamp`. The first part, the share `known` of all rows, is
    what a model could learn from; the other rows are later. Return the share of the later rows
    whose video has no row in the first part.
    """
    # solution
    log = library.interactions.sort_values("timestamp", kind="stable")
    cut = round(known * len(log))
    earlier, later = log.iloc[:cut], log.iloc[cut:]
    return float((~later["video_id"].isin(earlier["video_id"])).mean())
    # end solution


_LOG = [
    ("u2", "new", 8),
    ("u1", "late", 9),
    ("u1", "old", 1),
    ("u2", "old", 2),
    ("u1", "both", 4),
    ("u3", "once", 6),
    ("u3", "old", 3),
    ("u2", "both", 5),
    ("u3", "old", 10),
    ("u1", "new", 7),
]
"""Ten exposures of five videos, not in the order of time: user, video, day."""


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a folder with five videos; a log of ten rows is not sorted by time."""
    names = ["old", "both", "once", "new", "late"]
    videos = pd.DataFrame({"video_id": names, "title": names})
    days = [f"2026-02-{day:02d}T00:00:00Z" for _, _, day in _LOG]
    log = pd.DataFrame(_LOG, columns=["user_id", "video_id", "timestamp"]).assign(timestamp=days)
    videos.to_csv(folder / "videos.csv", index=False)
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_cold_share(function: Callable[[datasets.VideoLibrary], float]) -> str:
    """Check an attempt at `cold_share` on a folder of five videos and ten exposures."""
    with TemporaryDirectory() as folder:
        library = _five_videos(Path(folder))
        half = function(library, 0.6)
        short = function(library)
    assert half != 0, (
        "the rows are not in the order of time: sort them by timestamp before you cut."
    )
    assert not math.isclose(half, 2 / 5), (
        "that is a share of the videos; count the later rows, of which a video may have several."
    )
    assert not math.isclose(half, 0.3), "that is a share of all rows; divide by the later ones."
    assert not math.isclose(half, 0.25), (
        "that is the share that goes to known videos; turn it around."
    )
    assert math.isclose(half, 0.75), (
        f"after six of ten rows, three of the four later ones show new videos: 0.75, not {half}."
    )
    assert math.isclose(short, 0.5), (
        f"with 80% known, one of the last two rows shows a new video: 0.5, not {short}. Does your "
        "function use `known`?"
    )
    return (
        "the larger this share, the more a test by time is about videos that behaviour does not "
        "know. A split at random would hide it."
    )


def _shares(log: pd.DataFrame, known: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    cut = round(known * len(log))
    return log.iloc[:cut], log.iloc[cut:]


def _unsorted(library: datasets.VideoLibrary, known: float = 0.8) -> float:
    earlier, later = _shares(library.interactions, known)
    return float((~later["video_id"].isin(earlier["video_id"])).mean())


def _of_videos(library: datasets.VideoLibrary, known: float = 0.8) -> float:
    earlier, later = _shares(library.interactions.sort_values("timestamp"), known)
    new = set(later["video_id"]) - set(earlier["video_id"])
    return len(new) / len(library.videos)


def _of_all(library: datasets.VideoLibrary, known: float = 0.8) -> float:
    earlier, later = _shares(library.interactions.sort_values("timestamp"), known)
    return float((~later["video_id"].isin(earlier["video_id"])).sum() / len(library.interactions))


WRONG_COLD_SHARE = [
    (_unsorted, "sort them by timestamp"),
    (_of_videos, "a share of the videos"),
    (_of_all, "a share of all rows"),
    (lambda library, known=0.8: 1 - cold_share(library, known), "turn it around"),
    (lambda library, known=0.8: cold_share(library, 0.6), "use `known`"),
]
