"""Feature-aware factorisation: sums by hand, cold videos and users, odd input, disk."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.events import library
from vidrec_utils import recommender as rec
from vidrec_utils.hybrid import FeatureFactorization, factorization, metadata_features

SMALL = {"factors": 6, "epochs": 12, "batch_size": 64}
NAN = np.nan


def tastes(n_users=40, n_videos=30, cold=6, seed=0):
    """Even users watch even videos; the features tell the kind; the last videos are cold."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{u:02d}", v)
        for u in range(n_users)
        for v in rng.choice(np.arange(u % 2, n_videos - cold, 2), 5, replace=False)
    ]
    kinds = {"even": np.arange(n_videos) % 2 == 0, "odd": np.arange(n_videos) % 2 == 1}
    features = pd.DataFrame(kinds, index=[str(v) for v in range(n_videos)])
    groups = pd.DataFrame({"group": ["x", "y"] * (n_users // 2)})
    groups = pd.get_dummies(groups["group"]).set_axis([f"u{u:02d}" for u in range(n_users)])
    return library(rows, range(n_videos)), features, groups


def test_a_score_is_the_sum_over_pairs_of_features():
    data, features, groups = tastes()
    model = FeatureFactorization(features, groups, identity=False, **SMALL).fit(data)
    user, video = model.feature_vectors["user"], model.feature_vectors["video"]
    bias = model.feature_vectors["video bias"]
    for name, video_id in (("u00", "3"), ("u01", "3"), ("u01", "28")):
        x = groups.loc[name].to_numpy(float)
        y = features.loc[video_id].to_numpy(float)  # rows of length 1 already
        pairs = sum(x[f] * y[g] * user[f] @ video[g] for f in range(2) for g in range(2))
        assert model.score(name)[0, int(video_id)] == pytest.approx(pairs + y @ bias, rel=1e-5)


def test_rows_of_features_have_length_one():
    frame = pd.DataFrame({"a": [3, 0, NAN], "b": [4.0, NAN, np.inf]}, index=[7, 8, 9])
    got = factorization.feature_rows(frame, pd.Index(["9", "7", "x", "8"]))
    np.testing.assert_allclose(got, [[0, 0], [0.6, 0.8], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="Two rows of features for user '7'"):
        factorization.feature_rows(frame.set_axis([7, 7, 8]), pd.Index(["7"]), "user")


@pytest.mark.parametrize("loss", factorization.LOSSES)
def test_cold_videos_are_scored_by_their_features(loss):
    data, features, _ = tastes()
    model = FeatureFactorization(features, loss=loss, **SMALL).fit(data)
    cold = model.score(["u00", "u01"])[:, 24:]
    assert cold[0, ::2].min() > cold[0, 1::2].max()
    assert cold[1, 1::2].min() > cold[1, ::2].max()
    np.testing.assert_allclose(cold[:, 0], cold[:, 2], rtol=1e-5)  # same features, no identity


def test_without_features_it_is_a_factorisation_and_cold_videos_score_zero():
    data, _, _ = tastes()
    model = FeatureFactorization(**{**SMALL, "epochs": 60}).fit(data)
    np.testing.assert_array_equal(model.score(["u00", "u01"])[:, 24:], 0)
    warm = model.score(data.interactions["user_id"].unique())[:, :24]
    users, videos = np.arange(40)[:, None], np.arange(24)[None]
    same = (users % 2) == (videos % 2)
    assert warm[same].mean() > warm[~same].mean() + 1


def test_unknown_users_with_features_are_known_by_them():
    data, features, groups = tastes()
    groups = pd.concat([groups, pd.DataFrame({"x": [True, False, False], "y": [False, True, False]},
                                             index=["newx", "newy", "blank"])])  # fmt: skip
    model = FeatureFactorization(features, groups, identity=False, **SMALL).fit(data)
    np.testing.assert_allclose(model.score("newx"), model.score("u00"), rtol=1e-5)
    np.testing.assert_allclose(model.score("newy"), model.score("u01"), rtol=1e-5)
    for user in ("blank", "nobody"):
        np.testing.assert_array_equal(model.score(user)[0], model.popularity)


def test_users_without_weight_and_data_without_any():
    data, features, _ = tastes()
    weights = pd.Series(1.0, index=data.interactions.index)
    weights[data.interactions["user_id"] == "u03"] = 0.0
    model = FeatureFactorization(features, **SMALL).fit(data, weights)
    np.testing.assert_array_equal(model.score("u03")[0], model.popularity)
    none = FeatureFactorization(features, **SMALL).fit(data, weights * 0)
    np.testing.assert_array_equal(none.score(["u00", "x"]), 0)


@pytest.mark.parametrize("loss", factorization.LOSSES)
def test_one_user_one_video_and_k_beyond_the_catalogue(loss):
    model = FeatureFactorization(loss=loss, **SMALL).fit(library([("u", "a"), ("u", "a")], "a"))
    assert model.recommend("u", 7, exclude_seen=False)["video_id"].tolist() == ["a"]
    assert len(model.recommend("u", 7)) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"factors": 0}, "factors is 0"),
        ({"loss": "warp"}, "'bpr', 'softmax'"),
        ({"identity": False}, "no representation"),
        ({"learning_rate": 0}, "positive"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        FeatureFactorization(**options)


def test_metadata_as_zeros_and_ones():
    videos = pd.DataFrame(
        {"category": ["a|b", None, "a|b"], "tags": ["x|y", "y", pd.NA]}, index=list("uvw")
    )
    got = metadata_features(videos, ("category", "tags", "mood"))
    assert got.columns.tolist() == ["category=a/b", "tags=y"]
    np.testing.assert_array_equal(got, [[1, 1], [0, 1], [1, 0]])
    assert metadata_features(videos, ("mood",)).shape == (3, 0)


@pytest.mark.parametrize("loss", factorization.LOSSES)
def test_deterministic_by_seed_and_equal_from_disk(loss, tmp_path):
    data, features, groups = tastes()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    model, same, other = (
        FeatureFactorization(features, groups, loss=loss, seed=s, **SMALL).fit(data)
        for s in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    users = ["u00", "u07", "nobody"]
    np.testing.assert_array_equal(model.score(users), same.score(users))
    assert not np.array_equal(model.score(users), other.score(users))
    again = rec.load(model.save(tmp_path))
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    assert again.feature_names() == ["even", "odd"]
    np.testing.assert_array_equal(again.score(users), model.score(users))
    np.testing.assert_array_equal(again.fit(data).score(users), model.score(users))
