"""Calibrated lists, by hand and against all lists; position bias on logs whose truth is known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import imbalance


def test_divergence_by_hand() -> None:
    p, q = np.array([0.7, 0.3]), np.array([0.5, 0.5])
    own = 0.99 * q + 0.01 * p
    assert imbalance.miscalibration(p, q) == pytest.approx((p * np.log(p / own)).sum())
    assert imbalance.miscalibration(p, p) == pytest.approx(0)
    assert np.isinf(imbalance.miscalibration(p, np.array([1.0, 0.0]), smoothing=0))


def test_balance_goes_from_relevance_to_calibration() -> None:
    rng = np.random.default_rng(0)
    scores, kinds = rng.random(40), np.eye(4)[rng.integers(0, 4, 40)]
    target = np.array([0.4, 0.3, 0.2, 0.1])
    lists = [imbalance.calibrated_list(scores, kinds, target, 10, b) for b in (0, 0.5, 0.99)]
    assert lists[0].tolist() == np.argsort(-scores)[:10].tolist()
    divergence = [imbalance.miscalibration(target, kinds[one].mean(axis=0)) for one in lists]
    assert divergence[2] < 0.02
    assert divergence[0] >= divergence[1] >= divergence[2]
    assert scores[lists[0]].sum() >= scores[lists[1]].sum() >= scores[lists[2]].sum()
    assert all(len(set(one)) == 10 for one in lists)


def test_greedy_picking_reaches_the_bound_of_submodular_functions() -> None:
    rng = np.random.default_rng(1)
    scores, kinds = rng.random(9), np.eye(3)[rng.integers(0, 3, 9)]
    target, balance = np.array([0.5, 0.3, 0.2]), 0.5

    def value(rows: list[int]) -> float:
        divergence = imbalance.miscalibration(target, kinds[rows].mean(axis=0))
        return (1 - balance) * scores[rows].sum() - balance * divergence

    best = max(value(list(rows)) for rows in combinations(range(9), 4))
    greedy = value(imbalance.calibrated_list(scores, kinds, target, 4, balance).tolist())
    assert greedy > best - 0.1


def test_the_tail_gets_its_share() -> None:
    scores = np.linspace(1, 0.5, 30)
    tail = np.arange(30) >= 20  # the head is always more relevant
    membership = np.stack([~tail, tail], axis=1).astype(float)
    target = np.array([0.7, 0.3])
    chosen = imbalance.calibrated_list(scores, membership, target, 10, 0.97)
    assert tail[chosen].sum() == 3
    relevant = imbalance.calibrated_list(scores, membership, target, 10, 0)
    assert tail[relevant].sum() == 0


def test_short_catalogues_and_hidden_candidates() -> None:
    scores = np.array([0.9, -np.inf, 0.1])
    chosen = imbalance.calibrated_list(scores, np.ones((3, 1)), np.ones(1), 10)
    assert chosen.tolist() == [0, 2]


def test_impossible_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="membership has shape"):
        imbalance.calibrated_list(np.ones(3), np.ones((2, 2)), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"sum to 0\.8"):
        imbalance.calibrated_list(np.ones(3), np.ones((3, 2)), np.array([0.4, 0.4]))
    with pytest.raises(ValueError, match="sum to 0"):
        imbalance.category_shares(np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="0 videos"):
        imbalance.category_shares(np.zeros((0, 2)))


THETA = 0.3 + 0.7 * np.exp(-0.13 * np.arange(10))


def _log(sorted_by_taste: bool, n: int = 3_000) -> tuple[pd.DataFrame, pd.Series]:
    """Sessions of ten videos of thirty, whose worth is known; each is looked at by its position."""
    rng = np.random.default_rng(0)
    worth = rng.uniform(0.05, 0.6, 30)
    shown = np.argsort(rng.random((n, 30)), axis=1)[:, :10]  # (sessions, positions)
    liked = worth[shown] * rng.uniform(0.2, 1.8, shown.shape)  # by user and video
    if sorted_by_taste:
        order = np.argsort(-liked, axis=1)
        shown, liked = (np.take_along_axis(a, order, axis=1) for a in (shown, liked))
    success = rng.random(shown.shape) < liked * THETA
    log = pd.DataFrame({"video_id": shown.ravel(), "position": np.tile(np.arange(1, 11), n)})
    return log, pd.Series(success.ravel().astype(float))


def test_a_shuffled_log_shows_the_examination_and_a_sorted_one_does_not() -> None:
    truth = pd.Series(THETA / THETA[0], np.arange(1, 11))
    shuffled, ranked = _log(False), _log(True)
    gap = abs(imbalance.success_by_position(*shuffled) - truth).max()
    assert gap < 0.08
    assert imbalance.success_by_position(*ranked)[10] < truth[10] - 0.2


def test_the_model_finds_theta_where_positions_do_not_follow_taste() -> None:
    log, success = _log(False)
    model = imbalance.fit_examination(log, success)
    truth = pd.Series(THETA / THETA[0], np.arange(1, 11))
    assert abs(model.theta - truth).max() < 0.08
    # the products are the probabilities
    rate = success.groupby(log["video_id"]).mean()
    expected = model.gamma * model.theta.mean()
    assert np.corrcoef(rate, expected.reindex(rate.index))[0, 1] > 0.95


def test_weights_undo_the_position_and_are_limited() -> None:
    theta = pd.Series([1.0, 0.5, 0.01], [1, 2, 3])
    weights = imbalance.position_weights(pd.Series([1, 2, 3, 7]), theta, limit=20)
    assert weights.tolist() == [1, 2, 20, 20]
    with pytest.raises(ValueError, match="propensity of position 2 is 0"):
        imbalance.position_weights(pd.Series([1]), pd.Series([1.0, 0.0], [1, 2]))


def test_logs_without_a_success_in_the_first_position_are_refused() -> None:
    log = pd.DataFrame({"video_id": list("ab"), "position": [1, 2]})
    for fit in (imbalance.fit_examination, imbalance.success_by_position):
        with pytest.raises(ValueError, match="No row at position 1"):
            fit(log, pd.Series([0.0, 1.0]))
    with pytest.raises(ValueError, match="No row has a success"):
        imbalance.fit_examination(log, pd.Series([np.nan, np.nan]))
