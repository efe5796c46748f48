"""Training sets are made unequal and equal again, and impossible ones are refused by name."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler

from vidrec_utils import imbalance


def test_sizes_fall_geometrically_from_the_largest_to_the_rarest() -> None:
    assert imbalance.long_tail_counts(100, 3, 100).tolist() == [100, 10, 1]
    assert imbalance.long_tail_counts(7, 4, 1).tolist() == [7, 7, 7, 7]
    assert imbalance.long_tail_counts(5, 2, 1000).tolist() == [5, 1]  # never none


@pytest.mark.parametrize("ratio", [1, 3, 10])
def test_subsamples_have_the_ratio_and_as_many_rows_as_possible(ratio: int) -> None:
    labels = pd.Series(["a"] * 50 + ["b"] * 40 + ["c"] * 30)
    rows = imbalance.subsample(labels, ratio, order=["c", "a", "b"])
    sizes = labels[rows].value_counts()
    assert sizes["c"] == 30
    assert sizes["b"] == round(30 / ratio)
    assert len(set(rows)) == len(rows)
    assert (np.diff(rows) > 0).all()


def test_the_largest_class_is_limited_by_the_others() -> None:
    labels = ["a"] * 100 + ["b"] * 5
    sizes = pd.Series(labels)[imbalance.subsample(labels, 2, order=["a", "b"])].value_counts()
    assert sizes.to_dict() == {"a": 11, "b": 5} or sizes.to_dict() == {"a": 10, "b": 5}


def test_rows_and_order_of_a_subsample_follow_the_seed() -> None:
    labels = ["a", "b", "c"] * 30
    first = imbalance.subsample(labels, 10, seed=1)
    assert first.tolist() == imbalance.subsample(labels, 10, seed=1).tolist()
    rarest = {
        pd.Series(labels)[imbalance.subsample(labels, 10, seed=seed)].value_counts().index[-1]
        for seed in range(12)
    }
    assert rarest == {"a", "b", "c"}


def test_impossible_subsamples_are_refused() -> None:
    with pytest.raises(ValueError, match="1 classes"):
        imbalance.subsample(["a", "a"], 2)
    with pytest.raises(ValueError, match=r"ratio is 0\.5"):
        imbalance.subsample(["a", "b"], 0.5)
    with pytest.raises(ValueError, match="does not name each"):
        imbalance.subsample(["a", "b"], 2, order=["a", "c"])
    with pytest.raises(ValueError, match="Class 'b' has 1 rows, and 2"):
        imbalance.subsample(["a", "a", "b"], 2, order=["a", "b"], least=2)


def test_sampling_weights_draw_all_classes_equally_often() -> None:
    labels = np.array(["a"] * 900 + ["b"] * 90 + ["c"] * 10)
    rows = imbalance.draw_rows(imbalance.sampling_weights(labels), 6_000, seed=0)
    shares = pd.Series(labels[rows]).value_counts(normalize=True)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)
    np.testing.assert_allclose(imbalance.sampling_weights(labels, power=0), 1 / 1000)


def test_impossible_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weights sum to zero"):
        imbalance.draw_rows(np.zeros(3), 2)
    with pytest.raises(ValueError, match="weight of row 1 is -1"):
        imbalance.draw_rows(np.array([1.0, -1.0]), 2)
    with pytest.raises(ValueError, match="weight of row 0 is nan"):
        imbalance.draw_rows(np.array([np.nan, 1.0]), 2)
    with pytest.raises(ValueError, match="labels are empty"):
        imbalance.sampling_weights([])


def _two_classes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 4)).astype(np.float32), np.array(["a"] * 24 + ["b"] * 6)


def test_resampling_is_that_of_the_library_and_makes_classes_equal() -> None:
    vectors, labels = _two_classes()
    for how, n in (("over", 24), ("under", 6), ("smote", 24)):
        x, y = imbalance.resample(vectors, labels, how, seed=1)
        assert pd.Series(y).value_counts().to_dict() == {"a": n, "b": n}
        assert x.shape == (2 * n, 4)
    x, _ = imbalance.resample(vectors, labels, "over", seed=1)
    reference, _ = RandomOverSampler(random_state=1).fit_resample(vectors, labels)
    np.testing.assert_array_equal(x, reference)


def test_smote_stays_between_the_rows_of_a_class() -> None:
    vectors, labels = _two_classes()
    x, y = imbalance.resample(vectors, labels, "smote", seed=1)
    own, new = vectors[labels == "b"], x[y == "b"]
    assert (new >= own.min(axis=0) - 1e-5).all()
    assert (new <= own.max(axis=0) + 1e-5).all()


def test_resampling_names_what_is_missing() -> None:
    vectors, labels = _two_classes()
    with pytest.raises(ValueError, match="Class 'b' has one example"):
        imbalance.resample(vectors[:25], labels[:25], "smote")
    assert len(imbalance.resample(vectors[:25], labels[:25], "over")[0]) == 48
    with pytest.raises(ValueError, match="1 classes"):
        imbalance.resample(vectors[:24], labels[:24], "over")
    with pytest.raises(ValueError, match="30 vectors, but 29"):
        imbalance.resample(vectors, labels[1:], "under")
    with pytest.raises(ValueError, match="how"):
        imbalance.resample(vectors, labels, "adasyn")


def test_negatives_follow_the_power_of_popularity() -> None:
    counts = np.array([81.0, 16.0, 1.0, 0.0])
    drawn, log_q = imbalance.popularity_negatives(counts, 20_000, power=0.5, seed=0)
    np.testing.assert_allclose(np.exp(log_q), np.array([9, 4, 1, 0]) / 14)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, np.exp(log_q), atol=0.02)
    _, alike = imbalance.popularity_negatives(counts, 1, power=0)
    np.testing.assert_allclose(np.exp(alike), 0.25)


def test_impossible_popularity_is_refused() -> None:
    with pytest.raises(ValueError, match="weights sum to zero"):
        imbalance.popularity_negatives(np.zeros(3), 2)
    with pytest.raises(ValueError, match="count of video 1 is -2"):
        imbalance.popularity_negatives(np.array([1.0, -2.0]), 2)
