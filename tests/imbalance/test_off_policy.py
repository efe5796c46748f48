"""Estimates from the log of another policy: values by hand, and truth in a world of five videos."""

import numpy as np
import pytest

from vidrec_utils.imbalance import doubly_robust, inverse_propensity, naive, self_normalized

LOGGED = np.array([0.4, 0.3, 0.15, 0.1, 0.05])  # probabilities of five videos in the log
TARGET = np.array([0.05, 0.1, 0.15, 0.3, 0.4])
WORTH = np.array([0.2, 0.3, 0.5, 0.6, 0.9])  # probability of a reward of 1
TRUE = float(TARGET @ WORTH)


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(5, n, p=LOGGED)
    return chosen, (rng.random(n) < WORTH[chosen]).astype(float)


def estimates(seed: int, n: int = 2_000) -> dict[str, float]:
    chosen, rewards = draw(n, seed)
    known = rewards, TARGET[chosen], LOGGED[chosen]
    wrong = np.full(5, 0.5)  # a model of the reward that knows nothing
    ones = np.ones(n)
    return {
        "naive": naive(rewards).value,
        "ips": inverse_propensity(*known).value,
        "clipped": inverse_propensity(*known, limit=2.0).value,
        "snips": self_normalized(*known).value,
        "wrong model": doubly_robust(*known, wrong[chosen], (TARGET @ wrong) * ones).value,
        "right model": doubly_robust(
            rewards, TARGET[chosen], np.full(n, 0.2), WORTH[chosen], TRUE * ones
        ).value,
    }


def test_values_by_hand() -> None:
    rewards = np.array([1.0, 0.0, 1.0])
    target, logged = np.array([0.2, 0.5, 0.9]), np.array([0.4, 0.5, 0.3])  # weights .5, 1, 3
    uncut = inverse_propensity(rewards, target, logged)
    assert uncut.value == pytest.approx(3.5 / 3)
    assert self_normalized(rewards, target, logged).value == pytest.approx(3.5 / 4.5)
    cut = inverse_propensity(rewards, target, logged, limit=2.0)
    assert (cut.value, cut.clipped) == (pytest.approx(2.5 / 3), pytest.approx(1 / 3))
    # (4.5)^2 / (.25 + 1 + 9)
    assert inverse_propensity(rewards, target, logged).effective_size == pytest.approx(
        20.25 / 10.25
    )
    predicted, expected = np.array([0.5, 0.5, 1.0]), np.array([0.4, 0.4, 0.7])
    # (.4 + .5 * .5) + (.4 - 1 * .5) + (.7 + 3 * 0), over 3
    robust = doubly_robust(rewards, target, logged, predicted, expected)
    assert robust.value == pytest.approx((0.65 - 0.1 + 0.7) / 3)


def test_over_many_logs_weighting_finds_the_worth_and_the_naive_mean_does_not() -> None:
    values = {name: [] for name in estimates(0)}
    for seed in range(200):
        for name, value in estimates(seed).items():
            values[name].append(value)
    error = {name: np.mean(one) - TRUE for name, one in values.items()}
    spread = {name: np.std(one) / np.sqrt(200) for name, one in values.items()}
    for unbiased in ("ips", "snips", "wrong model", "right model"):
        assert abs(error[unbiased]) < 4 * spread[unbiased], unbiased
    assert error["naive"] == pytest.approx(LOGGED @ WORTH - TRUE, abs=0.01)
    # min(w, 2) for all videos: w is .125, 1/3, 1, 3, 8
    clipped = np.minimum(TARGET / LOGGED, 2) * LOGGED @ WORTH
    assert error["clipped"] == pytest.approx(clipped - TRUE, abs=0.01)
    # clipping and self-normalizing buy variance
    assert np.std(values["clipped"]) < np.std(values["ips"])
    assert np.std(values["snips"]) < np.std(values["ips"])


@pytest.mark.parametrize("how", ["ips", "snips", "robust"])
def test_standard_errors_are_the_spread_over_logs(how: str) -> None:
    def one(seed: int):
        chosen, rewards = draw(2_000, seed)
        known = rewards, TARGET[chosen], LOGGED[chosen]
        if how == "robust":
            return doubly_robust(*known, 0.5 * WORTH[chosen], np.full(2_000, 0.5 * TRUE))
        return (inverse_propensity if how == "ips" else self_normalized)(*known)

    runs = [one(seed) for seed in range(300)]
    spread = np.std([run.value for run in runs])
    assert np.mean([run.standard_error for run in runs]) == pytest.approx(spread, rel=0.15)
    covered = np.mean([run.interval()[0] < TRUE < run.interval()[1] for run in runs])
    assert covered > 0.9


def test_rows_of_one_group_count_as_one() -> None:
    chosen, rewards = draw(500, 1)
    known = rewards, TARGET[chosen], LOGGED[chosen]
    twice = [np.repeat(column, 2) for column in known]
    users = np.repeat(np.arange(500), 2)
    for estimate in (inverse_propensity, self_normalized):
        alone, doubled = estimate(*known), estimate(*twice, groups=users)
        assert doubled.value == pytest.approx(alone.value)
        assert doubled.standard_error == pytest.approx(alone.standard_error)
    assert naive(twice[0], users).standard_error == pytest.approx(naive(rewards).standard_error)


def test_the_same_policy_changes_nothing() -> None:
    chosen, rewards = draw(100, 2)
    logged = LOGGED[chosen]
    assert inverse_propensity(rewards, logged, logged) == naive(rewards)
    assert self_normalized(rewards, logged, logged).value == pytest.approx(rewards.mean())


ONES = np.ones(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ONES, ONES, np.array([1.0, 0.0, 1.0])), "logged is 0.0 in row 1.*above 0"),
        ((ONES, np.array([1.0, 1.0, 1.5]), ONES), "target is 1.5 in row 2"),
        ((ONES, ONES, np.array([np.nan, 1.0, 1.0])), "logged is nan in row 0"),
        ((np.array([1.0, np.inf, 1.0]), ONES, ONES), "rewards is inf in row 1"),
        ((ONES, ONES[:2], ONES), "one number for each row"),
        ((ONES[:0], ONES[:0], ONES[:0]), "no row"),
        ((ONES, ONES, ONES, 0.0), "limit is 0"),
    ],
)
def test_impossible_logs_are_refused(arguments: tuple, message: str) -> None:
    for estimate in (inverse_propensity, self_normalized):
        with pytest.raises(ValueError, match=message):
            estimate(*arguments)


def test_a_log_without_any_choice_of_the_policy_says_nothing() -> None:
    with pytest.raises(ValueError, match="All 3 weights are 0"):
        self_normalized(ONES, 0 * ONES, ONES)
    nothing = inverse_propensity(ONES, 0 * ONES, ONES)
    assert (nothing.value, nothing.effective_size) == (0.0, 0.0)


def test_groups_need_a_name_for_each_row() -> None:
    with pytest.raises(ValueError, match="one name for each of the 3 rows"):
        naive(ONES, np.array(["ann", "bob"]))
