"""The smallest removal that changes a recommendation is the one that brute force finds."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN, SequentialRules
from vidrec_utils.explanations import NotExplainable
from vidrec_utils.interpretability import smallest_removal
from vidrec_utils.recommender import Popularity

USERS, VIDEOS = 12, 9


def small_log(seed: int) -> pd.DataFrame:
    """Twelve users, nine videos, and watch ratios that differ."""
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(rng.random((USERS, VIDEOS)) < 0.45)
    return pd.DataFrame(
        {
            "user_id": [f"u{user}" for user, _ in pairs],
            "video_id": [f"v{video}" for _, video in pairs],
            "watch_ratio": rng.uniform(0.2, 1.5, len(pairs)).round(2),
            "timestamp": pd.Timestamp("2025-03-03") + pd.to_timedelta(np.arange(len(pairs)), "h"),
        }
    )


def first_without(model, user: str, removed: tuple[int, ...]) -> str | None:
    """What comes first, by the model's public methods and nothing of the search's."""
    row = model.user_ids.get_loc(user)
    history = model.history[[row]].tocoo()
    kept = [i for i in range(len(history.col)) if i not in removed]
    ids = model.video_ids[history.col[kept]]
    scores = model.score_next(ids, history.data[kept])
    scores = np.where(np.isnan(scores), -np.inf, scores)
    scores[model.seen[[row]].indices] = -np.inf
    return model.video_ids[scores.argmax()] if scores.max() > -np.inf else None


def brute_force(model, user: str) -> int | None:
    """Size of the smallest removal, by trying all."""
    length = model.history_lengths[model.user_ids.get_loc(user)]
    first = first_without(model, user, ())
    for size in range(1, length + 1):
        for removed in combinations(range(length), size):
            if first_without(model, user, removed) not in (first, None):
                return size
    return None


def check(model, user: str) -> int | None:
    """Compare with brute force, and score what was found again; returns the size."""
    found, size = smallest_removal(model, user), brute_force(model, user)
    if found is None:
        assert size is None
        return None
    history = model.video_ids[model.history[[model.user_ids.get_loc(user)]].tocoo().col]
    removed = tuple(history.get_indexer(list(found.removed)))
    assert found.is_smallest
    assert len(removed) == size
    assert found.video_id == first_without(model, user, ())
    assert found.instead == first_without(model, user, removed) != found.video_id
    assert found.instead not in history
    return size


def test_ease_on_two_hundred_small_problems() -> None:
    sizes = [check(EASE(0.5).fit(small_log(seed)), f"u{seed % USERS}") for seed in range(200)]
    # there were cases of all kinds
    assert {1, 2, None} <= set(sizes)
    assert max(size or 0 for size in sizes) >= 3


def test_item_knn_on_small_problems() -> None:
    for seed in range(60):
        check(ItemKNN(neighbours=4, shrinkage=0.1).fit(small_log(seed)), f"u{seed % USERS}")


@pytest.mark.parametrize("make", [lambda: ALS(4, 3, progress=False), SequentialRules])
def test_models_without_a_closed_form_are_searched(make) -> None:
    for seed in range(8):
        check(make().fit(small_log(seed)), f"u{seed % USERS}")


def test_a_search_out_of_budget_does_not_claim_to_be_the_smallest() -> None:
    for seed in range(20):
        model = ALS(4, 3, progress=False).fit(small_log(seed))
        size = brute_force(model, "u0")
        if size is not None and size >= 3:
            found = smallest_removal(model, "u0", budget=40)
            assert found is None or not found.is_smallest
            return
    pytest.fail("no problem of three removals among twenty: draw others")


def test_one_watched_video_is_all_that_can_go() -> None:
    log = pd.DataFrame(
        [("ann", "a"), ("bob", "a"), ("bob", "b"), ("cat", "c"), ("dan", "c")],
        columns=["user_id", "video_id"],
    ).assign(watch_ratio=1.0)
    found = smallest_removal(EASE(1.0).fit(log), "ann")
    assert found is not None
    assert (found.video_id, found.removed, found.instead) == ("b", ("a",), "c")  # what is popular


def test_nothing_changes_where_nothing_else_can_come_first() -> None:
    log = pd.DataFrame(
        [("ann", "a"), ("bob", "a"), ("bob", "b")], columns=["user_id", "video_id"]
    ).assign(watch_ratio=1.0)
    model = EASE(1.0).fit(log)
    assert smallest_removal(model, "ann") is None  # b is all that is left
    assert smallest_removal(model, "bob") is None  # nothing is left


def test_what_has_no_history_is_refused() -> None:
    log = small_log(0)
    with pytest.raises(KeyError, match="nobody"):
        smallest_removal(EASE().fit(log), "nobody")
    with pytest.raises(NotExplainable, match="BPR"):
        smallest_removal(BPR(2, epochs=1, progress=False).fit(log), "u0")
    with pytest.raises(NotExplainable, match="Popularity"):
        smallest_removal(Popularity().fit(log), "u0")
    quiet = pd.concat([log, log.head(1).assign(user_id="quiet", watch_ratio=0.0)])
    with pytest.raises(NotExplainable, match="'quiet' has no history"):
        smallest_removal(EASE().fit(quiet), "quiet")
    with pytest.raises(ValueError, match="budget"):
        smallest_removal(EASE().fit(log), "u0", budget=0)
