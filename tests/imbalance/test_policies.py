"""Recommenders that draw what they show, and what they would have shown in another log."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import minitube
from vidrec_utils.imbalance import SoftmaxPolicy, inverse_propensity
from vidrec_utils.imbalance import replay as replayed
from vidrec_utils.minitube import Sessions, dirt, world_config
from vidrec_utils.minitube.plan import plan_videos
from vidrec_utils.recommender import FixedScores, Popularity, Random

TINY = replace(world_config(), n_videos=120, n_users=150, n_uploaders=5)
NOW = pd.DatetimeIndex(["2025-03-03 12:00"], tz="UTC")


def videos() -> pd.DataFrame:
    plan, _ = dirt.plant_media(plan_videos(TINY), TINY)
    return plan[["published_at"]]


def session(ids: list[str], available: list[bool], user: str = "ann") -> Sessions:
    return Sessions(0, np.array([user]), NOW, pd.Index(ids), np.array([available]))


class Fixed:
    """Scores by the number of the video, for everybody."""

    def __init__(self, slope: float = 1 / 30) -> None:
        self._slope = slope

    def scores(self, sessions: Sessions) -> np.ndarray:
        row = np.arange(len(sessions.video_ids)) * self._slope
        return np.tile(row, (len(sessions.user_ids), 1))

    def learn(self, log: pd.DataFrame) -> None:
        pass


def fixed(table: dict[str, list[float]], ids: list[str]) -> FixedScores:
    return FixedScores(pd.DataFrame(table, index=pd.Index(ids, name="video_id")).T, name="fixed")


def test_scores_are_standardised_over_what_is_available() -> None:
    ids = ["a", "b", "c", "d"]
    model = fixed({"ann": [1.0, 3.0, 99.0, 5.0]}, ids)
    log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"], "timestamp": NOW})
    catalogue = pd.DataFrame(index=pd.Index(ids, name="video_id"))
    policy = SoftmaxPolicy(model, catalogue, temperature=0.5)
    policy.learn(log)
    # 1, 3 and 5: mean 3, deviation sqrt(8 / 3), and twice as far apart at half the temperature
    logits = policy.scores(session(ids, [True, True, False, True]))[0]
    step = 2 / np.sqrt(8 / 3) / 0.5
    np.testing.assert_allclose(logits[[0, 1, 3]], [-step, 0, step], rtol=1e-5)


def test_before_there_is_a_log_all_videos_are_equal_and_unknown_ones_are_worst() -> None:
    policy = SoftmaxPolicy(Popularity(), pd.DataFrame(index=pd.Index(["a", "b"], name="video_id")))
    asked = session(["a", "b", "new"], [True, True, True])
    assert policy.scores(asked).tolist() == [[0, 0, 0]]
    policy.learn(pd.DataFrame({"user_id": ["ann"], "video_id": ["b"], "timestamp": NOW}))
    assert policy.scores(asked).tolist() == [[-1, 1, -1]]


def test_it_is_fitted_every_so_many_days() -> None:
    class Counting(Random):
        fits = 0

        def _fit(self, matrix) -> None:
            self.fits += 1

    outcomes = {}
    for days in (1, 3):
        model = Counting(seed=0)
        policy = SoftmaxPolicy(model, videos(), refit_days=days)
        minitube.run(policy, 7, config=TINY, progress=False)
        outcomes[days] = model.fits
    assert outcomes == {1: 7, 3: 2}


def test_a_fitted_model_can_stay_as_it_is() -> None:
    log = minitube.run("platform", 3, config=TINY, progress=False).log
    model = Popularity().fit(log)
    before = model.popularity.copy()
    policy = SoftmaxPolicy(model, videos(), refit_days=0)
    minitube.run(policy, 3, config=TINY, progress=False)
    np.testing.assert_array_equal(model.popularity, before)
    with pytest.raises(ValueError, match="is not fitted, and refit_days=0"):
        minitube.run(
            SoftmaxPolicy(Popularity(), videos(), refit_days=0), 1, config=TINY, progress=False
        )


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"refit_days": -1}])
def test_impossible_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SoftmaxPolicy(Popularity(), videos(), **settings)


def test_replaying_a_policy_in_its_own_log_gives_the_probabilities_that_it_logged() -> None:
    log = minitube.run(Fixed(), 5, config=TINY, progress=False).log
    found = pd.Series(np.nan, index=log.index)
    for part in replayed(Fixed(), log, videos()["published_at"]):
        found.iloc[part.rows] = part.of(log["video_id"].iloc[part.rows])
        np.testing.assert_allclose(part.probabilities.sum(axis=1), 1)
        assert (part.probabilities[~part.sessions.available] == 0).all()
        assert not pd.Series(part.sessions.user_ids).duplicated().any()
    first = log["position"] == 1
    assert found.notna().equals(first)
    # The world does not let the sessions of a user on one day happen in the order of their times,
    # so only users with one session a day can be compared.
    day = log["timestamp"].dt.date
    single = first & ~log[first].groupby([day[first], "user_id"])["position"].transform("size").gt(
        1
    ).reindex(log.index, fill_value=True)
    once = single & ~log["user_id"].isin(log.loc[first & ~single, "user_id"])
    assert once.sum() > 50
    np.testing.assert_allclose(found[once], log.loc[once, "probability"], rtol=1e-4)


def test_what_was_shown_before_the_session_is_not_available() -> None:
    log = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob", "ann"],
            "video_id": ["a", "b", "a", "c"],
            "timestamp": pd.to_datetime(
                ["2025-03-03 10:00", "2025-03-03 10:01", "2025-03-03 11:00", "2025-03-04 10:00"],
                utc=True,
            ),
            "position": [1, 2, 1, 1],
            "session_id": ["s0", "s0", "s1", "s2"],
        }
    )
    published = pd.Series(
        pd.to_datetime(["2025-03-01", "2025-03-01", "2025-03-04", None], utc=True),
        index=["a", "b", "c", "unknown"],
    )
    parts = list(replayed(Fixed(), log, published))
    by_row = {
        int(row): part.sessions.available[k].tolist()
        for part in parts
        for k, row in enumerate(part.rows)
    }
    assert by_row == {
        0: [True, True, False, False],
        2: [True, True, False, False],
        3: [False, False, True, False],
    }
    assert parts[-1].of(["c"]).tolist() == [1.0]
    assert parts[-1].of(["nowhere"]).tolist() == [0.0]


def test_a_log_without_sessions_or_out_of_order_is_refused() -> None:
    log = minitube.run("platform", 1, config=TINY, progress=False).log
    with pytest.raises(ValueError, match="lacks position"):
        next(replayed(Fixed(), log.drop(columns="position"), videos()["published_at"]))
    with pytest.raises(ValueError, match="not in order of time"):
        next(replayed(Fixed(), log[::-1], videos()["published_at"]))


def test_weighting_estimates_a_policy_from_the_log_of_another() -> None:
    # The reward is a fact about the video, so that the truth is known without a world.
    ids = videos().index
    of_a_kind = pd.Series(np.arange(len(ids)) % 5 == 0, index=ids).astype(float)
    rewards, target, logged, true = [], [], [], []
    for seed in range(4):
        log = minitube.run(Fixed(0), 6, seed, config=TINY, progress=False).log
        for part in replayed(Fixed(), log, videos()["published_at"]):
            rows = log.iloc[part.rows]
            rewards.append(rows["video_id"].map(of_a_kind))
            target.append(part.of(rows["video_id"]))
            logged.append(rows["probability"])
            true.append(part.probabilities @ of_a_kind.to_numpy())
    estimate = inverse_propensity(*map(np.concatenate, (rewards, target, logged)))
    low, high = estimate.interval(3.0)
    assert low < np.concatenate(true).mean() < high
    assert high - low < 0.5
