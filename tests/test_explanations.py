"""Explanations add up for every model that has them; the others say that they have none."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers.models import groups, recommenders, small, vectors
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender, LearnedRanker
from vidrec_utils.explanations import (
    Explainable,
    Explanation,
    NotExplainable,
    contrasting_users,
    explained_list,
)
from vidrec_utils.recommender import Recommender

ALL = recommenders()
EXPLAINED = {name: cls for name, cls in ALL.items() if cls.explain is not Explainable.explain}


def total_of(model: Recommender, explanation: Explanation) -> float:
    """What the contributions have to add up to."""
    column = model.video_ids.get_loc(explanation.video_id)
    score = float(model.score(explanation.user_id)[0, column])
    if explanation.total_name == "logit":
        return float(np.log(score / (1 - score)))
    return score


def test_some_models_of_each_subject_explain():
    assert {"ItemKNN", "EASE", "ALS", "SequentialRules"} <= set(EXPLAINED)
    assert {"ContentRecommender", "TermRecommender", "LearnedRanker", "Stacked"} <= set(EXPLAINED)
    assert not {"Popularity", "Random", "BPR", "SASRec", "Diversified"} & set(EXPLAINED)


@pytest.mark.parametrize("name", EXPLAINED)
def test_contributions_add_up(name):
    model = small(EXPLAINED[name]).fit(groups())
    for user in ("u00", "u05", "u39"):
        for video in ("1", "12", "19"):
            explanation = model.explain(user, video)
            assert (explanation.user_id, explanation.video_id) == (user, video)
            expected = total_of(model, explanation)
            assert explanation.total == pytest.approx(expected, rel=1e-3, abs=1e-4)
            table = explanation.table
            assert table.columns[:3].tolist() == ["kind", "reason", "contribution"]
            assert table["contribution"].is_monotonic_decreasing
            assert not table[["kind", "reason"]].duplicated().any()
    with pytest.raises(KeyError, match="no video 'q'"):
        model.explain("u00", "q")


@pytest.mark.parametrize("name", sorted(set(ALL) - set(EXPLAINED)))
def test_other_models_say_that_they_have_no_reasons(name):
    model = object.__new__(ALL[name])  # not even a fitted model would have any
    with pytest.raises(NotExplainable, match=rf"{name} has no way .* such as ItemKNN"):
        model.explain("u00", "1")


@pytest.mark.parametrize("cls", [ItemKNN, ContentRecommender])
def test_without_history_there_are_no_reasons(cls):
    world = groups()
    world.interactions.loc[world.interactions["user_id"] == "u01", "watch_ratio"] = 0.0
    model = small(cls).fit(world)
    with pytest.raises(NotExplainable, match=r"'u01' has no history .* popular"):
        model.explain("u01", "1")
    with pytest.raises(NotExplainable, match=r"'u01' has no history .* popular"):
        explained_list(model, "u01")
    with pytest.raises(KeyError, match="no user 'nobody'"):
        explained_list(model, "nobody")


def test_a_list_that_ends_with_a_video_without_content():
    known = vectors().drop(index=["19"])
    model = ContentRecommender(known).fit(groups())
    listed = explained_list(model, "u01", k=20).set_index("video_id")
    assert listed.index[-1] == "19"
    assert listed.loc["19", "share"] == 0


def test_a_list_whose_reasons_are_no_videos():
    model = small(LearnedRanker).fit(groups())
    with pytest.raises(NotExplainable, match="not videos of a history"):
        explained_list(model, "u00")


def test_contrasting_users_by_hand():
    tastes = np.array([[0.0, 0.0], [1, 0], [0.9, 0.5], [0, 1], [0, 3]])
    ids = pd.Index(list("abcde"))
    assert contrasting_users(tastes, ids, 2) == ["e", "b"]
    assert sorted(contrasting_users(tastes, ids, 9)) == list("bcde")  # a has no direction
    # from zero, c lies between b and d; without e the average points towards c
    assert contrasting_users(tastes[:4], ids[:4], 2, center=False) == ["d", "b"]
    counts = np.array([99, 10, 10, 10, 9])
    assert "e" not in contrasting_users(tastes, ids, 9, counts)
    assert "e" in contrasting_users(tastes, ids, 9, counts // 11)
    assert contrasting_users(tastes[:1], ids[:1], 2) == []
