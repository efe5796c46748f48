"""One table for all remedies: groups stay together, weights give the training shares."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.evaluation import expected_calibration_error
from vidrec_utils.imbalance import comparison


def _world(n: int = 240, classes: int = 4) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    rng = np.random.default_rng(0)
    ids = [f"v{k}" for k in range(n)]
    labels = pd.Series([f"class {k % classes}" for k in range(n)], ids)
    groups = pd.Series([f"group {k // 4}" for k in range(n)], ids)
    codes = np.arange(n) % classes
    vectors = pd.DataFrame(rng.normal(size=(n, 12)) + 1.5 * np.eye(classes, 12)[codes], ids)
    return vectors, labels, groups


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    vectors, labels, groups = _world()
    return comparison.compare_remedies(
        vectors, labels, 10, groups, folds=2, seeds=(0, 1), views=vectors + 0.1
    )


def test_all_remedies_answer_for_each_video_once_a_seed(predictions: pd.DataFrame) -> None:
    assert list(predictions["remedy"].unique()) == list(comparison.REMEDIES)
    counts = predictions.groupby(["remedy", "seed"])["video_id"].agg(["size", "nunique"])
    assert (counts == 240).all().all()
    assert predictions[["before", "after"]].min().min() >= 0
    assert predictions[["before", "after"]].max().max() <= 1


def test_weighted_videos_have_the_shares_of_the_training_set(predictions: pd.DataFrame) -> None:
    plain = predictions[predictions["remedy"] == "plain"]
    shares = plain.groupby("label")["weight"].sum() / plain["weight"].sum()
    assert shares[0] / shares[3] == pytest.approx(10, rel=0.15)
    assert (shares.diff().dropna() < 0).all()


def test_adjusting_raises_the_recall_of_rare_classes(predictions: pd.DataFrame) -> None:
    table = comparison.remedy_table(predictions)
    assert table.loc["plain", "rare_recall_minus"] == 0
    for name in ("logit-adjusted loss", "logits adjusted afterwards", "undersampling"):
        assert table.loc[name, "rare_recall_minus_low"] > 0, name
    assert table.loc["plain", "accuracy"] >= table.loc["undersampling", "accuracy"]
    within = table["macro_f1"].between(table["macro_f1_low"], table["macro_f1_high"])
    assert within.all()


def test_with_equal_classes_weights_change_nothing() -> None:
    vectors, labels, groups = _world(120)
    names = ("plain", "class weights", "logit-adjusted loss", "class-balanced loss")
    remedies = {name: comparison.REMEDIES[name] for name in names}
    table = comparison.remedy_table(
        comparison.compare_remedies(vectors, labels, 1, groups, remedies=remedies)
    )
    np.testing.assert_allclose(table["macro_f1"], table.loc["plain", "macro_f1"], atol=0.02)


def test_no_group_is_in_training_and_test(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels, groups = _world(120)
    vectors["number"] = np.arange(120) * 1.0
    trained = []
    monkeypatch.setattr(comparison, "_projection", lambda x: lambda other: other)

    def watch(training: comparison.Training) -> comparison.Logits:
        rows = training.x[:, -1].astype(int)

        def answer(x: np.ndarray):
            trained.append((set(groups.iloc[rows]), set(groups.iloc[x[:, -1].astype(int)])))
            return training.fit()(x)

        return answer

    comparison.compare_remedies(vectors, labels, 2, groups, remedies={"watch": watch})
    assert len(trained) > 6
    assert all(not train & test for train, test in trained)


def test_calibration_error_with_equal_weights_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    right = (rng.random(200) < confidence**2).astype(float)
    ours = comparison.weighted_calibration_error(right, confidence, np.ones(200))
    assert ours == pytest.approx(expected_calibration_error(right, confidence, comparison.BINS))
    doubled = comparison.weighted_calibration_error(
        np.repeat(right, 2), np.repeat(confidence, 2), np.full(400, 0.5)
    )
    assert doubled == pytest.approx(ours)
    with pytest.raises(ValueError, match="weights sum to zero"):
        comparison.weighted_calibration_error(right, confidence, np.zeros(200))


def test_measures_by_hand() -> None:
    # 8 of the first class and 2 of the second; everything is predicted as the first
    value = comparison._measures(np.array([[[8.0, 0.0], [2.0, 0.0]]]))
    assert value["accuracy"][0] == pytest.approx(0.8)
    assert value["macro_f1"][0] == pytest.approx((16 / 18 + 0) / 2)
    assert value["rare_recall"][0] == 0


def test_what_is_missing_is_named() -> None:
    vectors, labels, groups = _world(120)
    augmented = {"augmented rare classes": comparison.REMEDIES["augmented rare classes"]}
    with pytest.raises(ValueError, match="give `views`"):
        comparison.compare_remedies(vectors, labels, 2, groups, remedies=augmented)
    plain = {"plain": comparison.REMEDIES["plain"]}
    table = comparison.compare_remedies(vectors, labels, 2, groups, remedies=plain)
    with pytest.raises(ValueError, match="no remedy 'focal'"):
        comparison.remedy_table(table, than="focal")
    labels.iloc[:1] = "one example"
    with pytest.raises(ValueError, match="one example"):
        comparison.compare_remedies(
            vectors, labels, 2, groups, remedies=plain, order=[*sorted(set(labels))]
        )


def test_few_groups_are_dealt_out_whole() -> None:
    y = pd.Series([0] * 12 + [1] * 4)
    groups = pd.Series(["a", "b", "c"] * 4 + ["d"] * 4)  # the second class is in one group
    pairs = comparison._inner_folds(y, groups, seed=0)
    for train, test in pairs:
        assert sorted([*train, *test]) == list(range(16))
        assert (y.iloc[train] == 1).sum() >= 2
        shared = set(groups.iloc[train]) & set(groups.iloc[test])
        assert not shared - {"d"}
    assert sum(len(test) for _, test in pairs) == 12


def test_rows_that_cannot_be_calibrated_on_are_named() -> None:
    ids = list("abcdefgh")
    labels, groups = pd.Series(list("xxyyxxyy"), ids), pd.Series([1, 1, 2, 2, 3, 3, 4, 4], ids)
    vectors = pd.DataFrame(np.arange(16.0).reshape(8, 2), ids)
    plain = {"plain": comparison.REMEDIES["plain"]}
    with pytest.raises(ValueError, match="leave none to calibrate on"):
        comparison.compare_remedies(vectors, labels, 1, groups, folds=2, remedies=plain)
