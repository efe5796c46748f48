"""Fusion by scores and ranks: sums by hand, weights from validation alone, odd input, disk."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import zscore
from sklearn.preprocessing import minmax_scale

from tests.helpers.events import library
from vidrec_utils import datasets, evaluation, saving
from vidrec_utils import recommender as rec
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.hybrid import (
    RankFusion,
    WeightedFusion,
    fusion,
    normalization,
    normalized,
    reciprocal_ranks,
    tune,
)

NAN = np.nan


def fixed(name, **rows):
    """A model with these scores: one row a user, columns a, b, c, ..."""
    videos = list("abcdefgh")[: len(next(iter(rows.values())))]
    scores = pd.DataFrame(list(rows.values()), index=list(rows), columns=videos)
    return rec.FixedScores(scores.astype(float), name=name)


TWO = library([("u", "a"), ("v", "b")], "abc")
ONE, OTHER = fixed("one", u=[0, 1, 2], v=[5, 5, 5]), fixed("other", u=[9, 0, 3], v=[1, 2, 3])


def test_weighted_sum_by_hand():
    model = WeightedFusion([ONE, OTHER], [3, 1], normalize="minmax").fit(TWO)
    # u: one -> 0 .5 1, other -> 1 0 1/3; v: one is flat and says nothing, other -> 0 .5 1
    expected = [[0.25, 0.375, 0.75 + 1 / 12], [0, 0.125, 0.25]]
    np.testing.assert_allclose(model.score(["u", "v"]), expected, rtol=1e-6)
    assert model.weights == [0.75, 0.25]
    assert model.recommend("u")["video_id"].tolist() == ["c", "b"]


def test_weights_by_name_are_weights_in_order():
    by_name = WeightedFusion([ONE, OTHER], {"other": 1, "one": 3}).fit(TWO)
    np.testing.assert_array_equal(
        by_name.score(["u", "v"]), WeightedFusion([ONE, OTHER], [3, 1]).fit(TWO).score(["u", "v"])
    )


def test_normalisations_equal_their_references():
    scores = np.random.default_rng(0).normal(2, 7, (5, 9))
    np.testing.assert_allclose(normalized(scores), zscore(scores, axis=1), rtol=1e-5)
    scaled = minmax_scale(scores, axis=1)
    np.testing.assert_allclose(normalized(scores, "minmax"), scaled, rtol=1e-5, atol=1e-7)
    lower = (scores[:, None, :] < scores[:, :, None]).sum(axis=2) / 8
    np.testing.assert_allclose(normalized(scores, "rank"), lower, rtol=1e-6)


@pytest.mark.parametrize("how", normalization.NORMALIZATIONS)
def test_flat_rows_say_nothing_and_gaps_stay(how):
    got = normalized(np.array([[0.1] * 3, [1, NAN, 3], [NAN] * 3]), how)
    np.testing.assert_array_equal(got[0], 0)
    np.testing.assert_array_equal(np.isnan(got[1]), [False, True, False])
    assert np.isnan(got[2]).all()
    assert got[1, 0] < got[1, 2]


def test_reciprocal_ranks_by_hand():
    got = reciprocal_ranks(np.array([[5.0, 7, 7, NAN, 1]]), 60)
    np.testing.assert_allclose(got, [[1 / 63, 1 / 61.5, 1 / 61.5, NAN, 1 / 64]], rtol=1e-6)
    model = RankFusion([ONE, OTHER]).fit(TWO)
    # u: one ranks c b a, other ranks a c b
    expected = [(1 / 63 + 1 / 61) / 2, (1 / 62 + 1 / 63) / 2, (1 / 61 + 1 / 62) / 2]
    np.testing.assert_allclose(model.score("u")[0], expected, rtol=1e-6)


def test_ranks_do_not_see_the_size_of_scores():
    small = fixed("one", u=[0, 1e-3, 2e-3])
    loud = fixed("one", u=[0, 10, 2e6])
    data = library([("u", "a")], "abc")
    quiet = RankFusion([small, OTHER]).fit(data).score("u")
    np.testing.assert_array_equal(quiet, RankFusion([loud, OTHER]).fit(data).score("u"))


def test_nothing_to_say_counts_as_the_lowest_and_nobody_means_never():
    values = np.array([[[1, NAN, 3, NAN]], [[0, 4, NAN, NAN]]])
    got = fusion.weighted_sum(values, [0.5, 0.5])
    np.testing.assert_allclose(got, [[0.5, 2.5, 1.5, NAN]])


def test_left_to_the_others_by_hand():
    values = np.array([[[1, NAN, 3, NAN]], [[0, 4, NAN, NAN]]])
    got = fusion.weighted_sum(values, [0.25, 0.75], leave_to_others=True)
    np.testing.assert_allclose(got, [[0.25, 4, 3, NAN]])
    # whoever speaks has no weight: the lowest of the other counts, as ever
    got = fusion.weighted_sum(values, [0, 1], leave_to_others=True)
    np.testing.assert_allclose(got, [[0, 4, 0, NAN]])


@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_blind_parts_leave_cold_videos_to_content(kind):
    vectors = pd.DataFrame([[1.0, 0], [0, 1], [0.9, 0.1], [0.1, 0.9]], index=list("abcd"))
    data = library([("u", "a"), ("v", "b"), ("w", "a"), ("w", "b")], "abcd")
    parts = [ItemKNN(name="knn"), ContentRecommender(vectors, center=False, name="content")]
    blind = kind(parts).fit(data)
    assert blind.blind_members == ["knn"]
    named = kind(parts, blind=["knn"]).fit(data)
    np.testing.assert_array_equal(named.score(["u", "nobody"]), blind.score(["u", "nobody"]))
    content = blind.comparable(blind.member_scores(["u"]))[1]
    np.testing.assert_allclose(blind.score("u")[0, 2:], content[0, 2:], rtol=1e-6)
    assert blind.recommend("u")["video_id"].tolist()[0] == "c"
    both = kind(parts, blind=()).fit(data).score("u")[0]
    assert both[2] < blind.score("u")[0, 2]


def test_a_cold_video_that_nobody_else_knows_keeps_its_score():
    """All members are blind; and the one that is not has no such video in its catalogue."""
    data = library([("u", "a"), ("v", "b"), ("w", "a"), ("w", "b")], "abcd")
    parts = [ItemKNN(name="knn"), rec.Popularity()]
    model = RankFusion(parts).fit(data)
    assert model.blind_members == []
    assert np.isfinite(model.score(["u", "nobody"])).all()
    named = RankFusion(parts, blind=["knn", "popularity"]).fit(data)
    np.testing.assert_allclose(named.score(["u"]), model.score(["u"]))
    narrow = fixed("narrow", u=[0.0, 1.0, 2.0]).fit(library([("u", "a")], "abc"))
    knn = ItemKNN(name="knn").fit(data)
    mixed = WeightedFusion([narrow, knn], refit=False).fit(data)
    assert mixed.blind_members == ["knn"]
    assert np.isfinite(mixed.score("u")).all()
    assert np.isnan(mixed.member_scores(pd.Index(["u"]))[:, 0, 2:]).tolist() == [
        [False, True],  # c is left to narrow, d is in no other catalogue
        [True, False],
    ]


def test_who_knows_cold_videos():
    from tests.helpers.models import recommenders, small

    behavior = "vidrec_utils.behavior_based"
    for name, cls in recommenders().items():
        blind = cls.__module__.startswith(behavior) or name == "Popularity"
        if name in ("EndToEnd", "Diversified"):  # from ids alone; diverse lists of what is popular
            blind = True
        assert small(cls).knows_cold_videos != blind, name


@pytest.mark.parametrize("blind", [None, ()])
@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_an_explanation_adds_up_and_is_of_the_members(kind, blind):
    from tests.helpers.models import groups, vectors

    data = groups()
    parts = [ItemKNN(name="knn"), ContentRecommender(vectors(), name="content")]
    model = kind(parts, [1, 3], blind=blind).fit(data)
    for user in ("u00", "nobody"):
        scores = pd.Series(model.score(user)[0], model.video_ids)
        for video in ("1", "12", "19"):
            explanation = model.explain(user, video)
            assert explanation.total == pytest.approx(scores[video], rel=1e-4, abs=1e-5)
            rows = explanation.table.set_index("reason")["contribution"]
            assert rows["average video"] == pytest.approx(scores.mean(), rel=1e-4, abs=1e-5)
    if blind is None:  # 19 is cold: knn adds nothing to it, less than to its average video
        shares = model.member_shares("u01", "19")
        assert shares["content"] == pytest.approx(1)
    with pytest.raises(KeyError, match="no video 'q'"):
        model.explain("u00", "q")


def test_reasons_are_those_of_the_list_that_they_stand_beside():
    """Behaviour says c because of a; content, of little weight, would say d because of b."""
    from vidrec_utils.explanations import explained_list
    from vidrec_utils.hybrid import explained_lists

    rows = [("u", "a"), ("u", "b"), *[(f"x{n}", v) for n in range(5) for v in "ac"], ("y", "d")]
    data = library(rows, "abcde")
    vectors = pd.DataFrame([[1.0, 0], [0, 1], [-1, 0], [0, 1], [1, -1]], index=list("abcde"))
    content = ContentRecommender(vectors, center=False, name="content")
    knn = ItemKNN(shrinkage=0, name="knn")
    model = WeightedFusion([content, knn], [1, 9]).fit(data)
    assert model.recommend("u", 1)["video_id"].tolist() == ["c"]
    listed = explained_list(model, "u", k=1, reasons=1)
    assert listed["video_id"].tolist() == ["a", "c"]
    assert explained_list(content.fit(data), "u", k=1, reasons=1)["video_id"].tolist() == ["b", "d"]
    reasons = model.reasons("u", "c").set_index("member")
    assert reasons.loc["knn", ["share", "kind", "reason"]].tolist() == [1.0, "history", "a"]
    captions = explained_lists(model, ["u"], k=1, reasons=1)["caption"].tolist()
    assert captions == ["because of 100%", "knn 100%, content 0%"]
    without = WeightedFusion([rec.Random(1), knn], [1, 1]).fit(data)
    kinds = without.reasons("u", "c").set_index("member")["kind"]
    assert kinds.to_dict() == {"random": "none", "knn": "history"}
    shares = without.history_contributions("u", "c")  # what random adds is nobody's reason
    lifts = without.member_shares("u", "c")
    assert shares.sum() == pytest.approx(1)
    assert shares.get("", 0.0) == pytest.approx(lifts["random"])


def test_parts_add_up_to_the_weighted_sum():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 7))
    values[rng.random(values.shape) < 0.3] = NAN
    for leave in (False, True):
        parts = fusion.member_contributions(values, [0.2, 0.5, 0.3], leave)
        whole = fusion.weighted_sum(values, [0.2, 0.5, 0.3], leave)
        np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_equal_those_of_scipy(dtype):
    from scipy.stats import rankdata

    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (40, 25)).astype(dtype)
    values[rng.random(values.shape) < 0.2] = NAN
    values[3] = NAN
    expected = rankdata(values, axis=-1, nan_policy="omit")
    np.testing.assert_array_equal(normalization.mean_ranks(values), expected)
    np.testing.assert_array_equal(normalization.mean_ranks(values[None])[0], expected)


def test_ranks_of_zeros_with_signs_of_infinities_and_of_nan_with_a_sign():
    row = np.array([0.0, -0.0, np.inf, -np.inf, -NAN, -1e-45, NAN, 3.0], dtype="f4")
    expected = [3.5, 3.5, 6, 1, NAN, 2, NAN, 5]
    np.testing.assert_array_equal(normalization.mean_ranks(row), expected)


@pytest.mark.parametrize("how", ["zscore", "minmax"])
def test_scores_without_gaps_are_normalized_as_those_with_gaps(how):
    """Around 1,000, where float32 is coarse, and with a row that prefers nothing."""
    scores = np.random.default_rng(0).normal(1000, 1, (4, 3000)).astype("f4")
    scores[2] = 0.1
    gap = np.column_stack([scores, np.full(4, NAN, dtype="f4")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = normalized(scores, how)
    # with gaps the mean is rounded to float32, here to within 3e-5
    np.testing.assert_allclose(whole, normalized(gap, how)[:, :-1], atol=1e-4)
    reference = {"zscore": zscore, "minmax": minmax_scale}[how]
    np.testing.assert_allclose(whole[0], reference(scores[0].astype("f8")), rtol=1e-4, atol=1e-5)
    assert not whole[2].any()


def test_sums_that_overflow_are_no_gaps():
    large = np.full((2, 2), 3e38, dtype="f4")
    assert not normalization.all_finite(large)
    assert not normalization.all_finite(np.array([np.inf, -np.inf], dtype="f4"))
    np.testing.assert_allclose(fusion.weighted_sum(large[:, None], [0.5, 0.5]), [[3e38, 3e38]])


@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_users_that_are_joined_apart_score_the_same(kind, monkeypatch):
    from tests.helpers.models import groups, vectors

    parts = [ItemKNN(name="knn"), ContentRecommender(vectors(), name="content")]
    model = kind(parts, [1, 3]).fit(groups())
    assert model.blind_members == ["knn"]
    users = [*model.user_ids, "nobody"]
    whole = model.score(users)
    monkeypatch.setattr(fusion, "JOINED_VALUES", 1)
    np.testing.assert_allclose(model.score(users), whole, rtol=1e-5, atol=1e-6)
    values = model.comparable(model.member_scores(pd.Index(users)))
    np.testing.assert_allclose(fusion.weighted_sum(values, model.weights, True), whole, rtol=1e-5)


@pytest.mark.parametrize("how", normalization.NORMALIZATIONS)
def test_scores_are_never_copied_to_more_precise_numbers(how):
    import tracemalloc

    scores = np.random.default_rng(0).normal(size=(1000, 2000)).astype("f4")
    tracemalloc.start()
    normalized(scores, how)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < {"rank": 7, "zscore": 3, "minmax": 3}[how] * scores.nbytes


def test_parts_with_catalogues_of_their_own():
    narrow = ItemKNN().fit(library([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")], "ba"))
    wide = rec.Popularity().fit(library([("u", "a"), ("w", "c")], "abc"))
    model = WeightedFusion([narrow, wide], normalize="minmax", refit=False)
    model.fit(library([("u", "a")], "abc"))
    # knn over b and a, c as its lowest; popularity 1 0 1
    both = narrow.score("u")[0]
    scaled = (both - both.min()) / (both.max() - both.min() or 1)
    np.testing.assert_allclose(
        model.score("u")[0], [(scaled[1] + 1) / 2, scaled[0] / 2, 0.5], rtol=1e-6
    )


def test_the_parts_given_stay_as_they_are():
    part = rec.Popularity()
    fused = WeightedFusion([part, rec.Random()]).fit(TWO)
    assert not hasattr(part, "video_ids")
    assert fused.members[0].video_ids.tolist() == list("abc")
    with pytest.raises(RuntimeError, match="not fitted"):
        WeightedFusion([part], refit=False)


@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_one_part_keeps_its_order(kind):
    data = library([("u", "a"), ("v", "a"), ("v", "b"), ("w", "d")], "abcd")
    alone, fused = rec.Popularity().fit(data), kind([rec.Popularity()]).fit(data)
    for users in (["u", "v"], ["nobody"]):
        pd.testing.assert_frame_equal(
            fused.recommend(users, 9).drop(columns="score"),
            alone.recommend(users, 9).drop(columns="score"),
        )


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: WeightedFusion([]), "nothing to combine"),
        (lambda: WeightedFusion([ONE, ONE]), "named 'one'"),
        (lambda: WeightedFusion([ONE], [1, 2]), "2 weights for 1"),
        (lambda: WeightedFusion([ONE, OTHER], [1, -1]), "0 or more"),
        (lambda: WeightedFusion([ONE, OTHER], [0, 0]), "not all 0"),
        (lambda: WeightedFusion([ONE, OTHER], [1, NAN]), "0 or more"),
        (lambda: WeightedFusion([ONE, OTHER], {"one": 1}), "the members are"),
        (lambda: WeightedFusion([ONE], normalize="max"), "'zscore', 'minmax', 'rank'"),
        (lambda: RankFusion([ONE], constant=-1), "constant is -1"),
        (lambda: RankFusion([ONE], blind=["other"]), "the members are"),
    ],
)
def test_impossible_options(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


def test_only_recommenders_are_combined():
    with pytest.raises(TypeError, match="no Recommender"):
        WeightedFusion(["popularity"])


# --- tuning ------------------------------------------------------------------------------------


def split_where(right="good", n_users=12):
    """Each user's video of validation is known to one part; the test part says the opposite."""
    users, videos = [f"u{i:02d}" for i in range(n_users)], [f"v{i}" for i in range(8)]
    rng = np.random.default_rng(1)
    truth = pd.DataFrame(rng.random((n_users, 8)), index=users, columns=videos)
    best = truth.drop(columns="v0").idxmax(axis=1)
    worst = truth.drop(columns="v0").idxmin(axis=1)

    def events(chosen):
        return library([(u, chosen[u]) for u in users], videos).interactions

    split = datasets.Split(
        train=events(dict.fromkeys(users, "v0")),
        validation=events(best),
        test=events(worst),
        videos=pd.DataFrame(index=videos),
        name="by hand",
    )
    return split, rec.FixedScores(truth, "good"), rec.FixedScores(-truth, "bad")


@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_tuning_finds_the_part_that_validation_agrees_with(kind):
    split, good, bad = split_where()
    tuned = tune(kind([bad, good]), split, k=3, steps=4)
    assert tuned.table["ndcg"].is_monotonic_decreasing
    assert len(tuned.table) == 5
    assert tuned.table[["bad", "good"]].sum(axis=1).tolist() == [1] * 5
    assert tuned.weights["good"] > tuned.weights["bad"]
    assert tuned.table["ndcg"].iloc[0] == 1  # the best video of each user comes first
    # of the weights that are as good, the least uneven
    assert tuned.weights == {"bad": 0.25, "good": 0.75}
    assert tuned.fusion.weights == [0.25, 0.75]


def test_a_weak_member_at_equal_weight_is_told():
    rng = np.random.default_rng(0)
    users, videos = [f"u{n:03d}" for n in range(80)], [f"v{n:02d}" for n in range(60)]
    truth, noise = (pd.DataFrame(rng.random((80, 60)), users, videos) for _ in range(2))
    train = library([(u, "v00") for u in users], videos)
    best = truth.drop(columns="v00").idxmax(axis=1)
    later = library([(u, best[u]) for u in users], videos).interactions
    split = datasets.Split(train.interactions, later, later, train.videos, "by hand")
    members = [rec.FixedScores(noise, "noise"), rec.FixedScores(truth, "good")]
    for kind in (WeightedFusion, RankFusion):
        with pytest.warns(UserWarning, match=r"leaving out 'noise' raises NDCG@10 .* `tune`"):
            model = kind(members).fit(split)
        weak = fusion.weak_members(model, split)
        assert weak.index.tolist() == ["noise"]
        alone = evaluation.evaluate(members[1].fit(split), split, on="validation")
        assert weak.loc["noise", "without"] == pytest.approx(alone.per_user["ndcg"].mean())
        whole = evaluation.evaluate(model, split, on="validation").per_user["ndcg"].mean()
        assert weak.loc["noise", "all members"] == pytest.approx(whole)
    twin = rec.FixedScores(truth + 0.01 * noise, "twin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WeightedFusion([members[1], twin]).fit(split)  # as good
        WeightedFusion(members, [1, 20]).fit(split)  # little of it
        WeightedFusion(members).fit(train)  # nothing to judge by
        tune(WeightedFusion(members), split)
    nothing = datasets.Split(train.interactions, later.iloc[:0], later, train.videos, "no part")
    assert fusion.weak_members(model, nothing).empty


def test_tuning_asks_for_few_users_at_a_time(monkeypatch):
    split, good, bad = split_where()
    whole = tune(WeightedFusion([bad, good, rec.Popularity()]), split, k=3)
    asked = []
    scores = rec.FixedScores._score
    monkeypatch.setattr(
        rec.FixedScores,
        "_score",
        lambda self, users: asked.append(len(users)) or scores(self, users),
    )
    monkeypatch.setattr(fusion, "MEASURED_VALUES", 5 * 3 * 8)  # five users, three members
    tuned = tune(WeightedFusion([bad, good, rec.Popularity()]), split, k=3)
    assert max(asked) == 5
    pd.testing.assert_frame_equal(tuned.table, whole.table)


def test_tuning_never_looks_at_test():
    split, good, bad = split_where()
    model = WeightedFusion([bad, good])
    tuned = tune(model, split, k=3)
    other = datasets.Split(split.train, split.validation, None, split.videos, split.name)
    pd.testing.assert_frame_equal(tune(model, other, k=3).table, tuned.table)
    assert model.weights == [0.5, 0.5]


def test_the_table_is_what_evaluating_the_fusion_says():
    split, good, bad = split_where()
    parts = [bad, good, rec.Popularity()]
    tuned = tune(RankFusion(parts), split, k=2, steps=2, metric="mrr")
    assert len(tuned.table) == 6
    for row in tuned.table.to_dict("records"):
        metric, low, high = (row.pop(name) for name in ("mrr", "low", "high"))
        model = RankFusion(parts, row).fit(split)
        result = evaluation.evaluate(model, split, k=2, on="validation")
        assert metric == pytest.approx(result.per_user["mrr"].mean())
        assert (low, high) == pytest.approx(result.interval("mrr")[1:], abs=0.02)


def test_tuning_on_a_draw_of_users_and_on_none():
    split, good, bad = split_where()
    first, again = (
        tune(WeightedFusion([bad, good]), split, k=3, max_users=5, seed=s).table for s in (3, 3)
    )
    pd.testing.assert_frame_equal(first, again)
    empty = datasets.Split(
        split.train, split.validation.iloc[:0], split.test, split.videos, "empty"
    )
    with pytest.raises(ValueError, match=r"validation part .* no interactions"):
        tune(WeightedFusion([bad, good]), empty)
    with pytest.raises(ValueError, match="steps is 0"):
        tune(WeightedFusion([bad, good]), split, steps=0)


def test_the_grid_holds_every_combination_once():
    got = fusion.simplex(3, 4)
    assert len(got) == len(set(got)) == 15
    assert all(sum(weights) == pytest.approx(1) and min(weights) >= 0 for weights in got)
    assert fusion.simplex(1, 5) == [(1.0,)]


# --- on disk -----------------------------------------------------------------------------------


def vectors():
    return pd.DataFrame(np.random.default_rng(1).normal(size=(4, 3)), index=list("abcd"))


@pytest.mark.parametrize("kind", [WeightedFusion, RankFusion])
def test_a_round_trip_changes_nothing(kind, tmp_path):
    data = library([("u", "a"), ("v", "b"), ("v", "a"), ("w", "c")], "abcd")
    inner = kind([rec.Random(3), rec.Popularity()], [1, 4], name="inner")
    model = kind(
        [ItemKNN(), ContentRecommender(vectors()), inner], [1, 2, 3], blind=[ItemKNN().name]
    )
    model.fit(data)
    again = rec.load(model.save(tmp_path / "kept"))
    assert type(again) is kind
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    users = ["u", "v", "w", "nobody"]
    np.testing.assert_array_equal(again.score(users), model.score(users))
    again.save(tmp_path / "twice")
    texts = [(tmp_path / f / "model.json").read_text("utf-8") for f in ("kept", "twice")]
    assert texts[0] == texts[1]
    np.testing.assert_allclose(again.fit(TWO).score("u"), model.fit(TWO).score("u"))


def test_a_part_of_an_unknown_class_is_refused(tmp_path):
    import json

    folder = WeightedFusion([rec.Popularity()]).fit(TWO).save(tmp_path)
    file = folder / "model.json"
    found = json.loads(file.read_text("utf-8"))
    found["parameters"]["models"][0]["class"] = "os.system"
    file.write_text(saving.sealed(found), "utf-8")
    with pytest.raises(saving.SavedModelError, match=r"the member 'popularity' is a os\.system"):
        rec.load(folder)


def test_one_user_one_video_and_k_beyond_the_catalogue():
    model = WeightedFusion([rec.Popularity(), rec.Random()]).fit(library([("u", "a")], "a"))
    assert len(model.recommend("u", 50)) == 0
    assert model.recommend(["x"], 50)["video_id"].tolist() == ["a"]
    assert model.recommend(["u"], 50, exclude_seen=False)["rank"].tolist() == [1]
