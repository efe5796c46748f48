"""The form that every module of exercises follows, on the smallest example; copy it.

The docstring is the task. Annotate with names that the notebook's set-up cell imports, because
the stub is run there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from vidrec_utils import datasets


def mean_by_hand() -> float:
    """Return the mean watch ratio of four exposures, computed on paper.

    Their ratios are 0.2, 0.4 and 0.9; the player of the fourth sent no report.
    """
    # solution
    return 0.5
    # end solution


def check_mean_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `mean_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 0.375), "you divided by four, but only three are known."
    assert math.isclose(answer, 0.5), f"add the known ratios and divide by three, not {answer}."
    return "an exposure without a ratio is left out of the sum and of the number."


WRONG_MEAN_BY_HAND = [
    (lambda: 0.375, "divided by four"),
    (lambda: 1.5, "divide by three"),
]


def mean_watch(ratios: list[float]) -> float:
    """Return the mean watch ratio, leaving out exposures without one (NaN).

    An empty list, or one of NaN alone, has the mean NaN.
    For example, `[0.5, nan, 1.0]` gives 0.75.
    """
    # solution
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return sum(known) / len(known) if known else math.nan
    # end solution


def check_mean_watch(function: Callable[[list[float]], float]) -> str:
    """Check an attempt at `mean_watch` from the plainest case to the corner."""
    plain = function([0.5, 1.0])
    assert math.isclose(plain, 0.75), f"for [0.5, 1.0] the mean is 0.75, yours is {plain}."
    gaps = function([0.5, math.nan, 1.0])
    assert not math.isnan(gaps), "one missing ratio turned the mean into NaN; leave it out first."
    assert math.isclose(gaps, 0.75), (
        f"a missing ratio is unknown, not zero: [0.5, nan, 1.0] gives 0.75, yours is {gaps}."
    )
    assert math.isnan(function([])), "with no known ratio the mean is unknown: return NaN."
    return "a signal that is missing counts neither as zero nor as anything else."


WRONG_MEAN_WATCH = [
    (lambda ratios: sum(ratios) / len(ratios), "leave it out first"),
    (lambda ratios: sum(r for r in ratios if r == r) / len(ratios), "not zero"),
    (lambda ratios: sum(r for r in ratios if r == r), "the mean is 0.75"),
    (lambda ratios: print(sum(ratios) / len(ratios)) if ratios else None, "returns nothing"),
    (
        lambda ratios: sum(r for r in ratios if r == r) / sum(r == r for r in ratios),
        "ZeroDivisionError",
    ),
]


def share_watched(ratios: list[float], threshold: float) -> float:
    """Return the share of known watch ratios that reach a threshold.

    A ratio equal to the threshold counts as watched; NaN is left out.
    For example, `[0.2, 0.5, nan, 0.9]` at 0.5 gives 2 / 3.
    """
    # solution
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return sum(ratio >= threshold for ratio in known) / len(known) if known else math.nan
    # end solution


def check_share_watched(function: Callable[[list[float], float], float]) -> str:
    """Check an attempt at `share_watched` from the plainest case to the corner."""
    plain = function([0.2, 0.9], 0.5)
    assert plain == 0.5, f"one of two ratios reaches 0.5, so the share is 0.5, yours is {plain}."
    edge = function([0.2, 0.5], 0.5)
    assert edge == 0.5, "a ratio equal to the threshold counts as watched: compare with >=."
    gaps = function([0.2, 0.5, math.nan, 0.9], 0.5)
    assert math.isclose(gaps, 2 / 3), "divide by the number of known ratios, not of all."
    return "the threshold belongs to the watched, and what is unknown belongs to neither side."


WRONG_SHARE_WATCHED = [
    (lambda ratios, threshold: sum(r >= threshold for r in ratios), "the share is 0.5"),
    (lambda ratios, threshold: sum(r > threshold for r in ratios) / len(ratios), "with >="),
    (lambda ratios, threshold: sum(r >= threshold for r in ratios) / len(ratios), "known ratios"),
]


def longest_watched(library: datasets.VideoLibrary) -> str:
    """Return the category with the highest mean watch ratio over its exposures.

    Exposures without a ratio are left out.
    """
    # solution
    shown = library.interactions.join(library.videos["category"], on="video_id")
    return str(shown.groupby("category")["watch_ratio"].mean().idxmax())
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five videos, in which music is shown most and sport watched longest."""
    categories = ["food", "music", "music", "sport", "sport"]
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(5)],
            "title": [f"clip {i}" for i in range(5)],
            "category": categories,
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
        }
    )
    shown = [0, 1, 1, 2, 2, 3, 4]
    interactions = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(7)],
            "video_id": [f"v{i}" for i in shown],
            "timestamp": "2026-02-01T00:00:00Z",
            "watch_ratio": [0.3, 0.6, 0.6, 0.6, 0.6, 0.9, None],
        }
    )
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_longest_watched(function: Callable[[datasets.VideoLibrary], str]) -> str:
    """Check an attempt at `longest_watched` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        answer = function(_five_videos(Path(folder)))
    assert answer != "music", "music has the most exposures; compare means, not sums or numbers."
    assert answer == "sport", f"the exposures of sport have the highest mean, not {answer!r}."
    return "the category that is watched longest need not be the one that is shown most."


WRONG_LONGEST_WATCHED = [
    (lambda library: "music", "most exposures"),
    (lambda library: "food", "highest mean"),
]
