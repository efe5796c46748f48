"""Classification metrics against scikit-learn, and calibration by hand."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    classification_report,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from vidrec_utils import evaluation
from vidrec_utils.transfer_learning import plot_reliability


def case(seed, n=200, classes=4):
    rng = np.random.default_rng(seed)
    names = np.array([f"class {i}" for i in range(classes)])
    labels = names[np.minimum(rng.geometric(0.5, n) - 1, classes - 1)]
    predicted = np.where(rng.random(n) < 0.6, labels, rng.choice(names[: classes - 1], n))
    return list(labels), list(predicted)


@pytest.mark.parametrize("seed", range(8))
def test_table_equals_scikit_learn(seed):
    labels, predicted = case(seed)
    got = evaluation.classification_table(labels, predicted)
    expected = classification_report(labels, predicted, output_dict=True, zero_division=0)
    for row in sorted(set(labels)):
        for column in ("precision", "recall", "f1"):
            theirs = "f1-score" if column == "f1" else column
            assert got.loc[row, column] == pytest.approx(expected[row][theirs]), (row, column)
    for mean in ("macro", "micro", "weighted"):
        values = precision_recall_fscore_support(
            labels, predicted, average=mean, zero_division=0, labels=sorted(set(labels))
        )
        assert got.loc[mean, ["precision", "recall", "f1"]].tolist() == pytest.approx(values[:3])
    assert got.loc["macro", "support"] == 200


def test_confusion_equals_scikit_learn_in_any_order_of_classes():
    labels, predicted = case(1)
    names = ["class 3", "class 0", "class 9", "class 2", "class 1"]
    got = evaluation.confusion(labels, predicted, names)
    np.testing.assert_array_equal(got, confusion_matrix(labels, predicted, labels=names))
    assert got.index.tolist() == got.columns.tolist() == names


def test_scores_and_their_intervals():
    labels, predicted = case(2, n=400)
    got = evaluation.classification_scores(labels, predicted, seed=1, resamples=4000)
    right = np.mean(np.array(labels) == np.array(predicted))
    assert got.loc["accuracy", "mean"] == pytest.approx(right)
    assert got.loc["micro_f1", "mean"] == pytest.approx(right)
    assert got.loc["balanced_accuracy", "mean"] == pytest.approx(
        balanced_accuracy_score(labels, predicted)
    )
    half = 1.96 * np.sqrt(right * (1 - right) / 400)  # normal interval of a share
    assert got.loc["accuracy", "low"] == pytest.approx(right - half, abs=0.01)
    assert got.loc["accuracy", "high"] == pytest.approx(right + half, abs=0.01)
    again = evaluation.classification_scores(labels, predicted, seed=1, resamples=4000)
    pd.testing.assert_frame_equal(got, again)
    assert ((got["low"] <= got["mean"]) & (got["mean"] <= got["high"])).all()


def test_a_constant_answer_is_accurate_and_balanced_accuracy_tells():
    labels = ["common"] * 95 + ["rare"] * 5
    got = evaluation.classification_scores(labels, ["common"] * 100)["mean"]
    assert got["accuracy"] == 0.95
    assert got["balanced_accuracy"] == 0.5
    table = evaluation.classification_table(labels, ["common"] * 100)
    assert table.loc["rare", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]
    assert table.loc["macro", "f1"] == pytest.approx(2 * 95 / (95 + 100) / 2)


def test_reliability_by_hand():
    got = evaluation.reliability([1, 0, 1, 1], [0.05, 0.05, 0.95, 1.0], bins=10)
    assert got["n"].tolist() == [2, 2]
    assert got["low"].tolist() == [0, 0.9]
    assert got["high"].tolist() == [0.1, 1]
    assert got["accuracy"].tolist() == [0.5, 1]
    assert got["gap"].tolist() == pytest.approx([-0.45, -0.025])
    error = evaluation.expected_calibration_error([1, 0, 1, 1], [0.05, 0.05, 0.95, 1.0])
    assert error == pytest.approx((0.45 * 2 + 0.025 * 2) / 4)


def test_calibrated_answers_have_a_small_error_and_boasts_a_large_one():
    rng = np.random.default_rng(0)
    odds = rng.random(50_000)
    right = rng.random(50_000) < odds
    assert evaluation.expected_calibration_error(right, odds) < 0.01
    # always sure, right half of the time
    assert evaluation.expected_calibration_error(right, np.ones(50_000)) == pytest.approx(
        1 - right.mean()
    )


@pytest.mark.parametrize("names", [["no", "yes"], ["a", "b", "c"]])
def test_probability_scores_equal_scikit_learn(names):
    rng = np.random.default_rng(4)
    odds = pd.DataFrame(rng.dirichlet(np.ones(len(names)), 300), columns=names)
    labels = rng.choice(names, 300)
    got = evaluation.probability_scores(labels, odds)
    assert got["log_loss"] == pytest.approx(log_loss(labels, odds.to_numpy(), labels=names))
    theirs = brier_score_loss(
        labels,
        odds.to_numpy() if len(names) > 2 else odds["yes"],
        labels=names,
        scale_by_half=False,
        **({"pos_label": "yes"} if len(names) == 2 else {}),
    )
    assert got["brier"] == pytest.approx(theirs)
    best = odds.idxmax(axis=1)
    assert got["accuracy"] == pytest.approx((best == labels).mean())
    assert got["ece"] == pytest.approx(
        evaluation.expected_calibration_error(best == labels, odds.max(axis=1))
    )


def test_bad_input():
    with pytest.raises(ValueError, match="2 labels, but 1"):
        evaluation.confusion(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no example"):
        evaluation.classification_table([], [])
    with pytest.raises(ValueError, match="missing"):
        evaluation.confusion(["a", None], ["a", "b"])
    with pytest.raises(ValueError, match="'b' is not among"):
        evaluation.confusion(["a", "b"], ["a", "a"], classes=["a"])
    with pytest.raises(ValueError, match="at least one"):
        evaluation.reliability([], [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        evaluation.reliability([True], [1.2])
    with pytest.raises(ValueError, match="no column"):
        evaluation.probability_scores(["z"], pd.DataFrame({"a": [1.0]}))
    with pytest.raises(ValueError, match="sums to 1"):
        evaluation.probability_scores(["a"], pd.DataFrame({"a": [0.5], "b": [0.1]}))


def test_one_class_only():
    assert evaluation.classification_scores(["a"], ["a"])["mean"].eq(1).all()
    assert evaluation.probability_scores(["a"], pd.DataFrame({"a": [1.0]}))["log_loss"] == 0


def test_scores_of_groups_resample_groups():
    """Ten copies of each example in one group: the intervals are those of the examples."""
    labels, predicted = case(3, n=120)
    once = evaluation.classification_scores(labels, predicted, seed=1, resamples=4000)
    many = [name for name in labels for _ in range(10)], [n for n in predicted for _ in range(10)]
    groups = [f"subject {i}" for i in range(120) for _ in range(10)]
    got = evaluation.classification_scores(*many, seed=1, resamples=4000, groups=groups)
    np.testing.assert_allclose(got["mean"], once["mean"])
    np.testing.assert_allclose(got[["low", "high"]], once[["low", "high"]], atol=0.012)
    narrow = evaluation.classification_scores(*many, seed=1)
    width = (got["high"] - got["low"]) / (narrow["high"] - narrow["low"])
    assert width.min() > 2.5  # the square root of 10 is 3.2
    with pytest.raises(ValueError, match="2 clusters for 120 items"):
        evaluation.classification_scores(labels, predicted, groups=["x", "y"])


def test_every_calibration_error_has_the_same_bins():
    functions = [
        evaluation.reliability,
        evaluation.expected_calibration_error,
        evaluation.probability_scores,
        plot_reliability,
    ]
    bins = {inspect.signature(f).parameters["bins"].default for f in functions}
    assert bins == {evaluation.BINS}
