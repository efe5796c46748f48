"""The best of many scores, against a stable sort."""

import numpy as np

from vidrec_utils.top_k import top_k


def test_top_k_equals_a_stable_sort():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, m = rng.integers(1, 12, 2)
        scores = rng.integers(0, 4, (n, m)).astype("f4")
        scores[rng.random((n, m)) < 0.2] = -np.inf
        for k in (1, 3, m, m + 5):
            expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(top_k(scores, k), expected)
    assert top_k(np.array([[np.nan, 1.0, 2.0]]), 3).tolist() == [[2, 1, 0]]
    assert top_k(np.empty((0, 4)), 2).shape == (0, 2)


def test_top_k_of_many_columns_equals_a_stable_sort():
    rng = np.random.default_rng(1)
    for values in (3, 50, 10**6):  # from nearly everything tied to hardly anything
        scores = rng.integers(0, values, (9, 700)).astype("f4")
        scores[0] = 1.0  # flat
        scores[1, 4:] = -np.inf  # fewer than k are left
        scores[2] = np.arange(700)
        scores[3] = -np.arange(700)
        scores[4, 690:] = np.nan
        clean = np.where(np.isnan(scores), -np.inf, scores)
        before = scores.copy()
        for k in (1, 7, 40, 43, 44, 400):
            expected = np.argsort(-clean, axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(top_k(scores, k), expected)
        np.testing.assert_array_equal(scores, before)
