"""Shapley values equal the closed form, Captum's and their axioms; scikit-learn does the rest."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import ShapleyValues
from sklearn.metrics import roc_auc_score

from tests.interpretability.test_reasons import random_log
from vidrec_utils.behavior_based import EASE, ItemKNN
from vidrec_utils.hybrid import Stacked
from vidrec_utils.interpretability import (
    Ranker,
    coalitions,
    dependence,
    feature_importances,
    member_groups,
    ranker_features,
    ranker_shapley,
    shapley_from_values,
    shapley_values,
)
from vidrec_utils.recommender import Popularity


@pytest.fixture(scope="module", params=["linear", "network"])
def stacked(request) -> Stacked:
    members = [ItemKNN(), EASE(2.0), Popularity()]
    return Stacked(members, ranker=request.param).fit(random_log(users=80, videos=25))


def test_shapley_is_the_mean_gain_over_all_orders() -> None:
    values = np.random.default_rng(0).normal(size=2**4)
    gains = np.zeros(4)
    for order in permutations(range(4)):
        coalition = 0
        for player in order:
            gains[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    assert np.allclose(shapley_from_values(values), gains / 24)
    assert np.isclose(shapley_from_values(values).sum(), values[-1] - values[0])
    assert coalitions(3)[5].tolist() == [True, False, True]
    with pytest.raises(ValueError, match="5 subsets"):
        shapley_from_values(np.zeros(5))


def test_shapley_of_a_linear_function_is_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    w, x, background = rng.normal(size=6), rng.normal(size=6), rng.normal(size=(30, 6))
    values = shapley_values(lambda rows: rows @ w + 3, x, background)
    assert np.allclose(values, w * (x - background.mean(axis=0)))
    grouped = shapley_values(lambda rows: rows @ w, x, background, {"a": [0, 3], "b": [1, 2, 4, 5]})
    assert np.allclose(grouped["a"], values.iloc[[0, 3]].sum())


def test_shapley_equals_captum_on_a_network() -> None:
    rng = np.random.default_rng(2)
    w, v = rng.normal(size=(5, 8)), rng.normal(size=8)
    x, start = rng.normal(size=5), rng.normal(size=(1, 5))

    def network(rows: np.ndarray) -> np.ndarray:
        return np.maximum(rows @ w, 0) @ v

    reference = ShapleyValues(lambda rows: torch.as_tensor(network(rows.numpy()))).attribute(
        torch.as_tensor(x[None]), baselines=torch.as_tensor(start)
    )
    assert np.allclose(shapley_values(network, x, start), reference[0].numpy(), atol=1e-6)


def test_equal_features_share_alike_and_a_useless_one_gets_nothing() -> None:
    x = np.array([2.0, 2.0, 5.0])
    background = np.random.default_rng(0).normal(size=(50, 1)) * [1, 1, 0] + [0, 0, 1]
    values = shapley_values(lambda rows: np.maximum(rows[:, 0] + rows[:, 1], 0), x, background)
    assert np.isclose(values["0"], values["1"])
    assert values["2"] == 0


def test_groups_and_backgrounds_are_checked() -> None:
    def total(rows: np.ndarray) -> np.ndarray:
        return rows.sum(axis=1)

    with pytest.raises(ValueError, match="exactly one group"):
        shapley_values(total, np.ones(3), np.zeros((1, 3)), {"a": [0, 1]})
    with pytest.raises(ValueError, match="ShapleyValueSampling"):
        shapley_values(total, np.ones(20), np.zeros((1, 20)))
    with pytest.raises(ValueError, match="no row"):
        shapley_values(total, np.ones(3), np.zeros((0, 3)))


def test_the_ranker_is_the_recommenders_own(stacked) -> None:
    users = stacked.user_ids[:3]
    x = ranker_features(stacked, users)
    predicted = Ranker(stacked).predict(x.reshape(-1, x.shape[-1])).reshape(x.shape[:2])
    assert np.allclose(predicted, stacked.score(users), atol=1e-4)
    assert sorted(n for own in member_groups(stacked).values() for n in own) == [
        *range(len(stacked.feature_names))
    ]


def test_members_share_the_score(stacked) -> None:
    user, video = stacked.user_ids[0], stacked.video_ids[3]
    values = ranker_shapley(stacked, user, video, rows=0)
    scores = stacked.score([user])[0]
    assert np.isclose(values.sum(), scores[3] - scores.mean(), atol=1e-4)
    if stacked.ranker == "linear":  # the closed form that `Stacked.explain` has
        table = stacked.explain(user, video).table.set_index("reason")["contribution"]
        assert np.allclose(values[values.index], table[values.index], atol=1e-4)
    with pytest.raises(KeyError, match="nobody"):
        ranker_shapley(stacked, "nobody", video)


def test_importance_finds_the_feature_that_matters(stacked) -> None:
    x = ranker_features(stacked, stacked.user_ids).reshape(-1, len(stacked.feature_names))
    predicted = Ranker(stacked).predict(x)
    y = predicted > np.median(predicted)
    table = feature_importances(stacked, x, y, repeats=3)
    assert table["mean"].iloc[0] > 0.02
    assert set(table.index) == set(stacked.feature_names)
    assert roc_auc_score(y, predicted) == 1
    with pytest.raises(ValueError, match="alike"):
        feature_importances(stacked, x, np.ones(len(x), dtype=bool))


def test_partial_dependence_of_a_linear_ranker_is_a_line(stacked) -> None:
    x = ranker_features(stacked, stacked.user_ids[:10]).reshape(-1, len(stacked.feature_names))
    feature = stacked.feature_names[1]
    table = dependence(stacked, x, feature, points=5)
    assert len(table) == 5
    if stacked.ranker == "linear":
        slopes = np.diff(table["prediction"]) / np.diff(table["value"])
        expected = stacked.coefficients()[feature] / stacked.scale[1]
        assert np.allclose(slopes, expected, rtol=1e-4)
    with pytest.raises(ValueError, match="feature"):
        dependence(stacked, x, "nothing")


def test_importances_name_their_features() -> None:
    table = pd.Series(member_groups(Stacked([EASE(), Popularity()], log_events=True)))
    assert list(table.index) == ["ease", "popularity", "events"]
    assert table["events"] == [6, 7]
