"""The form that every module of exercises follows, on the smallest example; copy it.

The docstring is the task. Annotate with names that the notebook's set-up cell imports, because
the stub is run there.
"""

from __future__ import annotations

import math
from collections.abc import Callable


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
