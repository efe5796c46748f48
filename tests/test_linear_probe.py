"""Linear probes: on signal, on noise, on groups, and by the book."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tests.helpers.logs import examples
from vidrec_utils.linear_probe import (
    Probe,
    compare_shares,
    held_out_scores,
    hits,
    linear_probe,
    most_confused,
    pair_scores,
    probe_pairs,
    probe_scores,
    shares,
    stratified_folds,
    ties,
)

IDS = [f"v{i}" for i in range(200)]
LABELS = pd.Series(["left", "right"] * 100, index=IDS)


def vectors(signal: float, seed: int = 0) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(size=(200, 5))
    noise[:, 2] += signal * (LABELS == "right").to_numpy()
    return pd.DataFrame(noise, index=IDS)


def test_signal_is_found_and_noise_is_not():
    mean, low, high = linear_probe(vectors(6.0), LABELS).interval()
    assert mean > 0.97
    assert linear_probe(vectors(0.0), LABELS).interval()[1] < 0.5 < high <= 1
    assert low < mean <= high


def test_the_interval_is_wilsons():
    """Eight of ten right, 95%: Wilson's formula with z = 1.959964, worked out by hand."""
    probe = Probe(pd.Series(list("aaaaaaaaaa")), pd.Series(list("aaaaaaaabb")))
    z, n, p = 1.959963984540054, 10, 0.8
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert probe.interval() == pytest.approx((p, middle - half, middle + half))
    assert list(probe.row()) == ["mean", "low", "high"]


def test_a_group_is_never_on_both_sides():
    """A vector that only names its group is perfect without groups and useless with them."""
    groups = pd.Series([f"g{i // 4}" for i in range(200)], index=IDS)
    labels = pd.Series(np.where(np.arange(200) // 4 % 2, "a", "b"), index=IDS)
    named = pd.get_dummies(groups).astype(float) * 5
    assert linear_probe(named, labels, strength=1.0).right.mean() > 0.95
    assert linear_probe(named, labels, groups, strength=1.0).right.mean() < 0.65


def teststratified_folds_with_groups_have_the_labels_in_like_shares():
    """Groups of one label each: by groups alone, folds may lack a label; here none may."""
    groups = pd.Series([f"g{i // 10}" for i in range(200)], index=IDS)  # 20 groups
    labels = pd.Series(np.where(np.arange(200) // 10 < 5, "rare", "common"), index=IDS)
    for seed in range(20):
        cut = stratified_folds(labels, groups, 5, seed)
        assert sorted(np.concatenate([test for _, test in cut]).tolist()) == list(range(200))
        for train, test in cut:
            assert not set(groups.iloc[train]) & set(groups.iloc[test])
            assert (labels.iloc[test] == "rare").sum() == 10  # one group of five in each fold
            assert len(test) == 40
    # With groups alone in the folds, as GroupKFold cuts them, the probe is lower, and noisier.
    assert linear_probe(vectors(6.0), LABELS, groups).right.mean() > 0.97


def test_a_label_in_too_few_groups_is_named():
    groups = pd.Series(["only"] * 40 + [f"g{i // 20}" for i in range(160)], index=IDS)
    labels = pd.Series(["rare"] * 40 + ["common"] * 160, index=IDS)
    with pytest.raises(ValueError, match="'common' alone to learn from: 'rare' is in too few g"):
        linear_probe(vectors(0), labels, groups)


@pytest.mark.parametrize("grouped", [True, False])
def test_ten_clips_of_three_labels_are_divided_into_fewer_folds(grouped):
    labels = pd.Series(["air"] * 4 + ["road"] * 3 + ["table"] * 3)
    groups = pd.Series(range(10)) if grouped else None
    with pytest.warns(UserWarning, match="the 10 rows are divided into 4 folds"):
        cut = stratified_folds(labels, groups, folds=5)
    assert len(cut) == 4
    assert sorted(np.concatenate([test for _, test in cut])) == list(range(10))
    assert all((labels.iloc[test] == "air").sum() == 1 for _, test in cut)
    with pytest.raises(ValueError, match="All 3 labels differ"):
        stratified_folds(pd.Series(["a", "b", "c"]))


@pytest.mark.filterwarnings("ignore:No label has")
@examples(30)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=20),
    codes=st.lists(st.integers(0, 2), min_size=200, max_size=200),
    seed=st.integers(0, 99),
)
def teststratified_folds_divide_the_rows_and_no_group(sizes, codes, seed):
    groups = pd.Series(np.repeat(np.arange(len(sizes)), sizes))
    labels = pd.Series(codes[: len(groups)]).map({0: "a", 1: "b", 2: "c"})
    try:
        cut = stratified_folds(labels, groups, 5, seed)
    except ValueError:  # too few rows of any label, or one label alone to learn from
        reject()
    tested = np.concatenate([test for _, test in cut])
    assert sorted(tested.tolist()) == list(range(len(groups)))
    for train, test in cut:
        assert sorted([*train, *test]) == list(range(len(groups)))
        assert not set(groups.iloc[train]) & set(groups.iloc[test])
        assert len(set(labels.iloc[train])) > 1


def test_pairs_are_told_within_themselves():
    labels = pd.Series(["in", "out", "up", "down"] * 50, index=IDS)
    both = pd.DataFrame(np.random.default_rng(1).normal(size=(200, 3)), index=IDS)
    both[0] += 8.0 * labels.isin(["in", "up"])  # tells the way, not the pair
    pairs = {"in": "out", "up": "down"}
    assert probe_pairs(both, labels, pairs).right.mean() > 0.97
    assert linear_probe(both, labels).right.mean() < 0.75
    assert len(probe_pairs(both, labels, {"in": "out"}).right) == 100


def test_pairs_are_drawn_alike_so_that_a_blind_probe_has_one_half():
    """Noise, and three of four videos are "left": always saying so would be right for 75%."""
    labels = pd.Series(["left", "left", "left", "right"] * 50, index=IDS)
    blind = [probe_pairs(vectors(0.0, seed), labels, {"left": "right"}) for seed in range(8)]
    for probe in blind:
        assert probe.labels.value_counts().to_dict() == {"left": 50, "right": 50}
    assert np.mean([probe.right.mean() for probe in blind]) == pytest.approx(0.5, abs=0.06)
    again = probe_pairs(vectors(1.0), labels, {"left": "right"})
    assert again.labels.equals(blind[0].labels)  # the same videos for other vectors
    other = probe_pairs(vectors(0.0), labels, {"left": "right"}, seed=1)
    assert not other.labels.index.equals(blind[0].labels.index)


def test_what_is_missing_stays_out():
    holes = vectors(3.0)
    holes.iloc[:10] = np.nan
    labels = LABELS.astype("object")
    labels.iloc[10:20] = None
    probe = linear_probe(holes, labels)
    assert list(probe.predicted.index) == IDS[20:]


def test_intervals_of_groups_are_wider_than_wilsons():
    """Vectors that name the group alone: all clips of a group are right, or all are wrong."""
    groups = pd.Series([f"g{i // 10}" for i in range(200)], index=IDS)  # 20 groups
    labels = pd.Series(np.where(np.arange(200) // 10 % 2, "a", "b"), index=IDS)
    named = pd.DataFrame(np.random.default_rng(5).normal(size=(20, 3)), index=groups.unique())
    vectors = named.loc[groups].set_axis(IDS)
    probe = linear_probe(vectors, labels, groups, strength=1.0)
    assert probe.groups.equals(groups)
    mean, low, high = probe.interval()
    alone = Probe(probe.labels, probe.predicted)
    width = alone.interval()[2] - alone.interval()[1]
    assert high - low > 2 * width
    share = pd.Series(probe.right).groupby(groups.to_numpy()).mean()  # of each group
    assert (low + high) / 2 == pytest.approx(mean, abs=0.03)
    # 20 groups of one size: a mean of 20 shares
    assert (high - low) / 3.92 == pytest.approx(share.std(ddof=0) / np.sqrt(20), rel=0.1)
    assert probe.resampled == "20 groups of 200 videos"
    assert alone.resampled == "200 videos, each for itself, as their groups are not known"


def test_pairs_keep_their_groups():
    groups = pd.Series([f"g{i // 4}" for i in range(200)], index=IDS)
    labels = pd.Series(["in", "out", "up", "down"] * 50, index=IDS)
    probe = probe_pairs(vectors(0.0), labels, {"in": "out", "up": "down"}, groups)
    assert probe.groups.index.equals(probe.labels.index)
    assert probe.groups.equals(groups.loc[probe.labels.index])
    assert probe_pairs(vectors(0.0), labels, {"in": "out"}).groups is None


def test_shares_over_groups():
    """Whole groups are right or wrong, so forty items say as much as ten."""
    groups = pd.Series(np.arange(40) // 4, index=[f"v{i}" for i in range(40)])
    hits = pd.DataFrame({"x": groups < 5, "all": True})
    table = shares(hits, groups=groups.sample(frac=1, random_state=0))  # by id, in any order
    alone = shares(pd.DataFrame({"x": np.arange(10) < 5}))
    assert table.loc["x", "mean"] == 0.5
    assert table.loc["x", "low"] == pytest.approx(0.2, abs=0.01)  # 2 of 10: Binomial(10, 1/2)
    assert table.loc["x", "high"] == pytest.approx(0.8, abs=0.01)
    assert table.loc["x", "high"] - table.loc["x", "low"] > 1.5 * (
        shares(hits).loc["x", "high"] - shares(hits).loc["x", "low"]
    )
    assert alone.loc["x", "low"] == pytest.approx(table.loc["x", "low"], abs=0.05)
    assert table.loc["all", "low"] == pytest.approx(0.7225, abs=1e-3)  # 10 of 10, by Wilson
    by = shares(hits, groups % 2, groups)
    assert by.loc["0, x", "n"] == 20


def test_differences_of_shares_are_paired():
    """Two methods with one mistake between them: the intervals overlap, the difference is clear."""
    ids = [f"v{i}" for i in range(200)]
    good = pd.Series(np.arange(200) % 2 == 0, index=ids)
    worse = good & (np.arange(200) % 20 != 0)  # ten fewer
    hits = pd.DataFrame({"good": good, "worse": worse})
    table = shares(hits)
    assert table.loc["worse", "high"] > table.loc["good", "low"]
    gap = compare_shares(hits, "worse")
    assert gap.index.tolist() == ["good"]
    assert gap.loc["good", "mean"] == pytest.approx(0.05)
    half = 1.96 * np.sqrt(0.05 * 0.95 / 200)  # ten of 200 differ
    assert gap.loc["good", "low"] == pytest.approx(0.05 - half, abs=0.006)
    one = pd.Series("only", index=ids)
    assert compare_shares(hits, "worse", groups=one).loc["good"].tolist() == pytest.approx(
        [0.05, 0.05, 0.05, 200]  # a single group is the same in every sample
    )
    by = compare_shares(hits, "worse", by=pd.Series(["x", "y"] * 100, index=ids))
    assert by["mean"].to_dict() == pytest.approx({"x, good": 0.1, "y, good": 0.0})
    with pytest.raises(KeyError, match="no method 'best'; there are good, worse"):
        compare_shares(hits, "best")


def test_too_little_to_probe():
    with pytest.raises(ValueError, match="1 labels"):
        linear_probe(vectors(0), pd.Series("one", index=IDS))
    with pytest.raises(ValueError, match="3 groups cannot fill 5 folds"):
        linear_probe(vectors(0), LABELS, pd.Series(["a", "b", "c", "a"] * 50, index=IDS))


def test_shares_are_wilsons():
    # 8 of 10: Wilson's interval is 0.4902 to 0.9433 (Newcombe 1998, by the formula)
    hits = pd.DataFrame({"x": [True] * 8 + [False] * 2, "none": [False] * 10})
    table = shares(hits)
    assert table.loc["x"].tolist() == pytest.approx([0.8, 0.4902, 0.9433, 10], abs=1e-4)
    assert table.loc["none", "low"] == pytest.approx(0, abs=1e-9)
    assert table.loc["none", "high"] == pytest.approx(0.2775, abs=1e-4)


def test_an_array_of_vectors_is_in_the_order_of_the_labels():
    frame = vectors(6.0)
    assert (
        linear_probe(frame.to_numpy(), LABELS).predicted == linear_probe(frame, LABELS).predicted
    ).all()


def test_shares_by_group_and_method():
    hits = pd.DataFrame({"a": [True] * 5 + [False] * 5, "b": False}, index=range(10))
    by = pd.Series(["x"] * 10 + ["y"], index=range(11))
    table = shares(hits, by)
    assert list(table.index) == ["x, a", "x, b"]
    assert table["n"].tolist() == [10, 10]
    # Wilson's interval for 5 of 10 and 0 of 10, as in textbooks
    np.testing.assert_allclose(
        table.loc["x, a", ["mean", "low", "high"]], [0.5, 0.2366, 0.7634], atol=1e-4
    )
    np.testing.assert_allclose(
        table.loc["x, b", ["mean", "low", "high"]], [0, 0, 0.2775], atol=1e-4
    )


def test_scores_of_separable_labels_are_read_correctly():
    """Half of the videos are labelled; the rows of the others are read, too."""
    labels = LABELS.astype("object")
    labels.iloc[100:] = None
    scores = probe_scores(vectors(8.0), labels, strength=1.0)
    assert list(scores.index) == IDS
    assert list(scores.columns) == ["left", "right"]
    assert (scores.dtypes == np.float32).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert (scores.to_numpy() >= 0).all()
    assert (scores.idxmax(axis=1) == LABELS)[100:].mean() > 0.97


def test_scores_of_three_labels_sum_to_1():
    labels = pd.Series(["a", "b", "c", "b"] * 50, index=IDS)
    scores = probe_scores(vectors(0.0), labels)
    assert list(scores.columns) == ["a", "b", "c"]
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    # noise tells nothing: everybody gets about the shares of the labels
    np.testing.assert_allclose(scores.mean(), [0.25, 0.5, 0.25], atol=0.01)


def test_a_video_without_a_vector_has_no_score_and_teaches_nothing():
    holes = vectors(8.0)
    holes.iloc[3, 1] = np.nan  # one missing number is enough
    scores = probe_scores(holes, LABELS)
    assert scores.loc["v3"].isna().all()
    assert scores.drop("v3").notna().all(axis=None)
    without = probe_scores(holes.drop("v3"), LABELS)
    pd.testing.assert_frame_equal(scores.drop("v3"), without)
    elsewhere = pd.concat([LABELS, pd.Series({"unknown": "up"})])  # a label without a vector
    pd.testing.assert_frame_equal(probe_scores(holes, elsewhere), scores)


def test_of_several_strengths_the_one_with_the_lowest_held_out_loss_is_taken():
    """Where the vectors tell the label, a weak penalty; where they are noise, the strongest."""
    strengths = (1e-4, 1.0)
    for signal, best in ((8.0, 1.0), (0.0, 1e-4)):
        chosen = probe_scores(vectors(signal), LABELS, strengths)
        pd.testing.assert_frame_equal(chosen, probe_scores(vectors(signal), LABELS, best))


def test_the_folds_of_strengths_keep_groups_together():
    """A column that only names the group helps within groups and harms across them."""
    groups = pd.Series(np.arange(200) // 10, index=IDS)  # 20 groups of one label each
    labels = pd.Series(np.where(groups % 2 == 0, "left", "right"), index=IDS)
    names = pd.DataFrame(np.eye(20)[groups], index=IDS)
    apart = probe_scores(names, labels, (1e-4, 1.0), groups)
    pd.testing.assert_frame_equal(apart, probe_scores(names, labels, 1e-4))
    pd.testing.assert_frame_equal(
        probe_scores(names, labels, (1e-4, 1.0)), probe_scores(names, labels, 1.0)
    )


def test_a_label_of_one_video_does_not_stop_the_choice_of_strength():
    rare = LABELS.where(LABELS.index != "v5", "up")
    assert list(probe_scores(vectors(8.0), rare, (0.01, 1.0)).columns) == ["left", "right", "up"]


def test_scores_need_two_labels():
    one = pd.Series(["left"] * 3 + [None] * 197, index=IDS, dtype="object")
    with pytest.raises(ValueError, match="3 videos with a vector hold 1 labels"):
        probe_scores(vectors(0), one)
    holes = vectors(0)
    holes.iloc[1::2] = np.nan  # all that goes right
    with pytest.raises(ValueError, match="100 videos with a vector hold 1 labels"):
        probe_scores(holes, LABELS)
    with pytest.raises(ValueError, match="0 videos with a vector hold 0 labels"):
        probe_scores(vectors(0), pd.Series(dtype="object"))


def test_held_out_scores_are_those_behind_the_predictions():
    rng = np.random.default_rng(0)
    labels = pd.Series(np.repeat(["a", "b", "c"], 20), index=[f"v{i}" for i in range(60)])
    groups = pd.Series(np.tile(np.arange(20), 3), index=labels.index).astype(str)
    vectors = pd.DataFrame(rng.normal(size=(60, 4)), labels.index)
    vectors[0] += 2.0 * (labels == "b")
    scores = held_out_scores(vectors, labels, groups)
    assert list(scores.columns) == ["a", "b", "c"]
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    probe = linear_probe(vectors, labels, groups)
    assert (scores.idxmax(axis=1) == probe.predicted).all()
    assert not np.allclose(held_out_scores(vectors, labels), scores)  # other folds


def test_pairs_have_scores_of_their_own():
    table = pair_scores(vectors(6.0), LABELS, {"left": "right"})["left", "right"]
    assert ((table["score"] > 0.5) == (table["label"] == "left")).mean() > 0.99
    blind = pair_scores(vectors(0.0), LABELS, {"left": "right"})["left", "right"]
    assert abs(((blind["score"] > 0.5) == (blind["label"] == "left")).mean() - 0.5) < 0.15


def test_confusions_hits_and_ties_by_hand():
    labels = pd.Series(["a", "a", "a", "b", "b", "c"])
    one = Probe(labels, pd.Series(["b", "b", "a", "b", "a", "c"]))
    assert most_confused(one).to_numpy().tolist() == [["a", "b", 2, 3], ["b", "a", 1, 2]]
    assert len(most_confused(one, most=1)) == 1
    two = Probe(labels[:5], labels[:5])
    table = hits({"one": one, "two": two})
    assert table["one"].tolist() == [False, False, True, True, False]
    assert table["two"].all()
    assert len(table) == 5
    many = pd.Series(["a", "b"] * 50)
    right, wrong = Probe(many, many), Probe(many, many[::-1].reset_index(drop=True))
    assert ties({"wrong": wrong, "right": right}) == ("right", [])
