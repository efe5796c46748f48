"""Wrappers of policies change the probabilities as their formulas say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import minitube
from vidrec_utils.imbalance import Discounting, Exploring, Welcoming
from vidrec_utils.minitube import Sessions, dirt, world_config
from vidrec_utils.minitube.plan import plan_videos

TINY = replace(world_config(), n_videos=120, n_users=60, n_uploaders=5)
IDS = pd.Index(["a", "b", "c"])


class Fixed:
    """The same logits for everybody; counts the rows of the logs that it is given."""

    def __init__(self, logits) -> None:
        self.logits, self.rows = np.asarray(logits, dtype=float), 0

    def scores(self, sessions: Sessions) -> np.ndarray:
        return np.tile(self.logits, (len(sessions.user_ids), 1))

    def learn(self, log: pd.DataFrame) -> None:
        self.rows += len(log)


def asked(available=(True, True, True), at: str = "2025-03-03") -> Sessions:
    now = pd.DatetimeIndex([at], tz="UTC")
    return Sessions(0, np.array(["ann"]), now, IDS, np.array([available]))


def test_exploring_is_a_mixture_over_what_is_available() -> None:
    policy = Exploring(Fixed(np.log([6.0, 1.0, 3.0])), share=0.2)
    np.testing.assert_allclose(
        np.exp(policy.scores(asked())[0]), 0.8 * np.array([0.6, 0.1, 0.3]) + 0.2 / 3
    )
    chances = np.exp(policy.scores(asked((True, True, False)))[0])
    np.testing.assert_allclose(chances, [0.8 * 6 / 7 + 0.1, 0.8 / 7 + 0.1, 0.0])
    alone = np.exp(Exploring(Fixed([9.0, 0.0, 0.0]), share=1.0).scores(asked())[0])
    np.testing.assert_allclose(alone, 1 / 3)


def test_what_a_policy_never_shows_is_explored() -> None:
    chances = np.exp(Exploring(Fixed([0.0, -np.inf, 0.0]), share=0.3).scores(asked())[0])
    np.testing.assert_allclose(chances, [0.45, 0.1, 0.45])
    assert np.isneginf(Exploring(Fixed(np.zeros(3))).scores(asked((False,) * 3))).all()


def test_logged_probabilities_of_exploring_have_a_floor() -> None:
    share = 0.25
    plan, _ = dirt.plant_media(plan_videos(TINY), TINY)
    inner = Fixed(1000.0 * np.arange(len(plan)))
    log = minitube.run(Exploring(inner, share), 6, config=TINY, progress=False).log
    first = log["probability"].dropna()
    assert first.min() >= share / len(plan)
    assert 0.6 < (first > 0.5).mean() < 0.9  # three quarters are the policy's own
    assert inner.rows == len(log)


def test_discounting_counts_over_all_days() -> None:
    policy = Discounting(Fixed([1.0, 2.0, 3.0]), strength=2.0)
    policy.learn(pd.DataFrame({"video_id": ["a", "a", "b"]}))
    policy.learn(pd.DataFrame({"video_id": ["a", "c", "new"]}))
    expected = [1 - 2 * np.log(4), 2 - 2 * np.log(2), 3 - 2 * np.log(2)]
    np.testing.assert_allclose(policy.scores(asked())[0], expected)
    assert policy.policy.rows == 6


def test_discounting_spreads_what_is_shown() -> None:
    plan, _ = dirt.plant_media(plan_videos(TINY), TINY)
    logits = 6.0 * np.arange(len(plan)) / len(plan)
    heads = {}
    for strength in (0.0, 1.0):
        policy = Discounting(Fixed(logits), strength)
        run = minitube.run(policy, 4, config=TINY, progress=False)
        heads[strength] = run.log["video_id"].value_counts().head(24).sum() / len(run.log)
    assert heads[1.0] < heads[0.0] - 0.05


def test_newcomers_get_their_bonus_until_they_are_old() -> None:
    published = pd.Series(
        pd.to_datetime(["2025-02-01", "2025-03-01", "2025-03-10"], utc=True), index=IDS
    )
    policy = Welcoming(Fixed([0.0, 0.0, 0.0]), published, bonus=1.5, days=7)
    assert policy.scores(asked()).tolist() == [[0, 1.5, 0]]  # c is not online yet
    assert policy.scores(asked(at="2025-03-08")).tolist() == [[0, 0, 0]]
    assert policy.scores(asked(at="2025-03-10")).tolist() == [[0, 0, 1.5]]
    policy.learn(pd.DataFrame({"video_id": ["a"]}))
    assert policy.policy.rows == 1


def test_impossible_settings_are_refused() -> None:
    inner = Fixed(np.zeros(3))
    for share in (0.0, 1.5, -0.1):
        with pytest.raises(ValueError, match="share"):
            Exploring(inner, share)
    with pytest.raises(ValueError, match="strength"):
        Discounting(inner, -1.0)
    published = pd.Series(pd.NaT, index=IDS)
    with pytest.raises(ValueError, match="bonus"):
        Welcoming(inner, published, bonus=-1.0)
    with pytest.raises(ValueError, match="days"):
        Welcoming(inner, published, days=0.0)
