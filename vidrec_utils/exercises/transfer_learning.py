"""Exercises of `05_transfer_learning`: the size of LoRA, early stopping, a rate, and groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def trained_by_hand() -> int:
    """Return how many numbers LoRA of rank 4 trains in a layer from 300 to 200 features.

    The layer's weights have shape (200, 300). Its bias stays frozen.
    """
    # solution
    return 2000
    # end solution


def check_trained_by_hand(function: Callable[[], int]) -> str:
    """Check the number that `trained_by_hand` returns."""
    answer = function()
    assert answer != 60_000, "these are the weights W themselves, which are frozen; count A and B."
    assert answer not in (800, 1200), "this is one of the two matrices; A and B are both trained."
    assert answer != 2200, "the bias is frozen, as W is; count A and B alone."
    assert answer != 240_000, (
        "A has shape (4, 300) and B has shape (200, 4): the rank multiplies each side, and the "
        "two are added."
    )
    assert answer == 2000, (
        f"A has 4 x 300 numbers and B has 200 x 4, together 2000; yours is {answer}."
    )
    return "1,200 in A and 800 in B, one thirtieth of the 60,000 weights of the layer."


WRONG_TRAINED_BY_HAND = [
    (lambda: 60_000, "count A and B"),
    (lambda: 1200, "both trained"),
    (lambda: 2200, "count A and B alone"),
    (lambda: 240_000, "the two are added"),
    (lambda: 500, "together 2000"),
]


def stop_early(losses: list[float], patience: int) -> tuple[int, int]:
    """Return the epoch whose weights are kept, and the epoch after which training ends.

    `losses` are the validation losses of the epochs, which count from 1. Training ends after
    `patience` epochs in a row that are no better than the best one so far, or with the last loss.
    Of equal losses the first is kept.
    For example, `[3, 2, 4, 5, 1]` gives `(2, 4)` with a patience of 2, and `(5, 5)` with 3.
    """
    # solution
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        if epoch == 0 or loss < losses[best]:
            best, waited = epoch, 0
        else:
            waited += 1
        if waited == patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)
    # end solution


def check_stop_early(function: Callable[[list[float], int], tuple[int, int]]) -> str:
    """Check an attempt at `stop_early`."""
    kept, end = function([3.0, 2.0, 4.0, 5.0, 1.0], 2)
    assert (kept, end) != (1, 3), "epochs count from 1, and positions in a list from 0: add 1."
    assert kept != 5, (
        "epoch 5 is never reached: training ended before it, so look at the losses one by one."
    )
    assert kept != end, "the last epoch is not the best one: return the epoch of the lowest loss."
    assert (kept, end) == (2, 4), (
        f"epoch 2 is the best, and 3 and 4 are no better; expected (2, 4), not {(kept, end)}."
    )
    equal = tuple(function([2.0, 1.0, 1.0, 1.0], 2))
    assert equal == (2, 4), (
        f"a loss that equals the best one is no better: expected (2, 4), not {equal}."
    )
    again = tuple(function([3.0, 4.0, 2.0, 3.0, 1.0], 2))
    assert again == (5, 5), (
        f"a better epoch ends the waiting, so count from 0 again: expected (5, 5), not {again}."
    )
    return "the losses after the end are never seen, even where they would have been lower."


def _waits_on(losses: list[float], patience: int, reset: bool, equal: bool) -> tuple[int, int]:
    best, waited = 0, 0
    for epoch, loss in enumerate(losses[1:], start=1):
        if loss < losses[best] or (equal and loss == losses[best]):
            best, waited = epoch, 0 if reset else waited
        else:
            waited += 1
        if waited == patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)


def _from_zero(losses: list[float], patience: int) -> tuple[int, int]:
    kept, end = _waits_on(losses, patience, reset=True, equal=False)
    return kept - 1, end - 1


WRONG_STOP_EARLY = [
    (_from_zero, "add 1"),
    (lambda losses, patience: (int(np.argmin(losses)) + 1, len(losses)), "one by one"),
    (lambda losses, patience: (4, 4), "not the best one"),
    (lambda losses, patience: (2, 3), "expected (2, 4)"),
    (lambda losses, patience: _waits_on(losses, patience, True, True), "is no better"),
    (lambda losses, patience: _waits_on(losses, patience, False, False), "from 0 again"),
]


def too_high(final_loss: Callable[[float], float], start: float) -> float:
    """Return the smallest of the rates 0.001, 0.01, 0.1, 1 and 10 with which training fails.

    `final_loss(rate)` trains with a learning rate and returns the last training loss. Training
    fails if this is above `start`, the loss before training, or is no finite number. Return
    infinity if no rate fails.
    """
    # solution
    for rate in (0.001, 0.01, 0.1, 1.0, 10.0):
        loss = final_loss(rate)
        if loss > start or not math.isfinite(loss):
            return rate
    return math.inf
    # end solution


def check_too_high(function: Callable[[Callable[[float], float], float], float]) -> str:
    """Check an attempt at `too_high` with losses that are known to fail somewhere."""
    never = function(lambda rate: 1.0, 2.0)
    assert never == math.inf, f"if no rate fails, return infinity, not {never}."
    fails = function(lambda rate: 9.0 if rate > 0.05 else 1.0, 2.0)
    assert fails != 10.0, "that is the largest rate that fails; return the smallest."
    assert fails != 0.01, "that is the largest rate that works; return the first that fails."
    assert fails == 0.1, f"all rates from 0.1 up fail here; expected 0.1, not {fails}."
    nothing = function(lambda rate: math.nan if rate > 0.5 else 1.0, 2.0)
    assert nothing == 1.0, (
        "a loss that is NaN is above nothing, and below nothing: ask whether it is finite."
    )
    slow = function(lambda rate: 1.9, 2.0)
    assert slow == math.inf, "a loss just below the start is slow, but no failure: compare with it."
    return "a rate well below this one is where to begin; validation chooses among the others."


def _rates_that_fail(final_loss: Callable[[float], float], limit: float) -> list[float]:
    return [rate for rate in (0.001, 0.01, 0.1, 1.0, 10.0) if final_loss(rate) > limit]


WRONG_TOO_HIGH = [
    (lambda final_loss, start: 10.0, "return infinity"),
    (
        lambda final_loss, start: max(_rates_that_fail(final_loss, start), default=math.inf),
        "the largest rate that fails",
    ),
    (
        lambda final_loss, start: min(_rates_that_fail(final_loss, start), default=math.inf),
        "whether it is finite",
    ),
    (
        lambda final_loss, start: (
            math.inf if len(_rates_that_fail(final_loss, start)) == 0 else 0.01
        ),
        "the largest rate that works",
    ),
]


def testable_categories(library: datasets.VideoLibrary) -> list[str]:
    """Return the categories that can be trained and tested on different uploaders, sorted.

    Such a category has videos of at least two uploaders. Videos whose category or uploader is
    missing do not count. `library.videos` has the columns `category` and `uploader`.
    """
    # solution
    known = library.videos.dropna(subset=["category", "uploader"])
    uploaders = known.groupby("category")["uploader"].nunique()
    return sorted(uploaders.index[uploaders >= 2])
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five videos of two categories."""
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(5)],
            "title": "a title",
            "category": ["travel", "travel", "music", "music", "music"],
            "uploader": ["ann", "bob", "cid", "cid", None],
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
        }
    )
    interactions = pd.DataFrame({"user_id": ["u0"], "video_id": ["v0"]})
    interactions["timestamp"] = "2026-02-01T00:00:00Z"
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_testable_categories(function: Callable[[datasets.VideoLibrary], list[str]]) -> str:
    """Check an attempt at `testable_categories` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        names = list(function(_five_videos(Path(folder))))
    assert names != ["music", "travel"], (
        "music has three videos, but two are by the same uploader, and of the third the uploader "
        "is missing: count different uploaders that are known."
    )
    assert names == ["travel"], f"only travel has two uploaders; yours says {names}."
    return "the other categories would be tested on the style of one uploader, or not at all."


def _by_videos(library: datasets.VideoLibrary) -> list[str]:
    counts = library.videos["category"].value_counts()
    return sorted(counts.index[counts >= 2])


def _missing_counts(library: datasets.VideoLibrary) -> list[str]:
    uploaders = library.videos.groupby("category")["uploader"].nunique(dropna=False)
    return sorted(uploaders.index[uploaders >= 2])


WRONG_TESTABLE_CATEGORIES = [
    (_by_videos, "different uploaders"),
    (_missing_counts, "different uploaders"),
    (lambda library: [], "only travel"),
    (lambda library: ["music"], "only travel"),
]
