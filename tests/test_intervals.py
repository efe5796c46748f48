"""Intervals over clusters: against theory, on planted clusters, and at the edges."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import spearmanr

from vidrec_utils.intervals import (
    cluster_codes,
    cluster_means,
    cluster_sums,
    mean_intervals,
    rank_correlation,
    share_intervals,
    statistic_interval,
    wilson,
)


def answers(rng, subjects=60, clips=6, spread=0.35):
    """Right or wrong answers about clips of subjects, some of which are easy and some hard."""
    easy = np.clip(0.5 + rng.normal(size=subjects) * spread, 0, 1)  # (subjects,)
    right = rng.random((subjects, clips)) < easy[:, None]
    return right.ravel()[:, None].astype(float), np.repeat(np.arange(subjects), clips)


def test_the_interval_covers_the_truth_where_that_over_clips_does_not():
    rng = np.random.default_rng(0)
    covered = {"subjects": 0, "clips": 0}
    for seed in range(300):
        right, subject = answers(rng)
        for name, clusters in {"subjects": subject, "clips": None}.items():
            _, low, high = mean_intervals(right, clusters, seed=seed, resamples=400)[0]
            covered[name] += low <= 0.5 <= high
    assert 0.91 <= covered["subjects"] / 300 <= 0.98
    assert covered["clips"] / 300 < 0.85


def test_the_spread_is_that_of_a_ratio_of_sums():
    """Delta method: the variance of sum(y) / sum(n) over G clusters is sum((y - r n)^2) / N^2."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 12, 300)
    clusters = np.repeat(np.arange(300), sizes)
    values = rng.normal(size=300)[clusters] + rng.normal(size=len(clusters))
    totals = np.bincount(clusters, values)
    ratio = totals.sum() / sizes.sum()
    expected = np.sqrt(np.square(totals - ratio * sizes).sum()) / sizes.sum()
    draws = cluster_means(values[:, None], clusters, resamples=4000)
    assert draws.std() == pytest.approx(expected, rel=0.05)
    assert draws.mean() == pytest.approx(ratio, abs=3 * expected / np.sqrt(4000) + 0.002)


def test_without_clusters_items_are_resampled():
    values = np.random.default_rng(2).normal(size=(500, 2))
    draws = cluster_means(values, resamples=4000)
    np.testing.assert_allclose(draws.std(axis=0), values.std(axis=0) / np.sqrt(500), rtol=0.05)
    alone = cluster_means(values, np.arange(500), resamples=4000)
    np.testing.assert_array_equal(draws, alone)


def test_clusters_that_are_copies_count_once():
    """Ten copies of each item say no more than the items."""
    values = np.random.default_rng(3).random((40, 1))
    copies = np.repeat(values, 10, axis=0)
    once = mean_intervals(values)
    np.testing.assert_allclose(mean_intervals(copies, np.repeat(np.arange(40), 10)), once)
    assert np.diff(mean_intervals(copies)[0, 1:]) < np.diff(once[0, 1:]) / 2


def test_sums_of_sparse_values_are_those_of_dense_ones(monkeypatch):
    values = np.random.default_rng(4).random((50, 3))
    clusters = np.arange(50) // 4
    dense = cluster_sums(values, clusters, resamples=20)
    np.testing.assert_allclose(cluster_sums(sparse.csr_array(values), clusters, 20), dense)
    # and in blocks of any size, from the same generator
    monkeypatch.setattr("vidrec_utils.intervals.BLOCK", 30)
    np.testing.assert_allclose(cluster_sums(values, clusters, 20), dense)


def test_who_has_no_cluster_is_one():
    clusters = pd.Series(["x", None, "x", np.nan, pd.NA, "y"], index=list("abcdef"))
    assert cluster_codes(clusters, 6).tolist() == [0, 2, 0, 3, 4, 1]
    assert cluster_codes(None, 3).tolist() == [0, 1, 2]
    assert cluster_codes([None, None], 2).tolist() == [0, 1]
    with pytest.raises(ValueError, match="2 clusters for 3 items"):
        cluster_codes(["x", "y"], 3)


def test_all_right_is_wilsons_over_clusters():
    right = np.column_stack([np.ones(30), np.zeros(30), np.arange(30) % 2])
    clusters = np.arange(30) // 3  # ten
    intervals = share_intervals(right, clusters)
    # z^2 / (n + z^2) with n = 10 and z = 1.96: 3.8415 / 13.8415, by hand
    assert intervals[0] == pytest.approx([1, 1 - 0.27753, 1], abs=1e-4)
    assert intervals[1] == pytest.approx([0, 0, 0.27753], abs=1e-4)
    np.testing.assert_array_equal(intervals[2], mean_intervals(right, clusters)[2])
    assert wilson(10, 10)[1] == pytest.approx(intervals[0, 1])


def test_rank_correlation_is_spearmans_with_an_interval_over_clusters():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, 60).astype(float)
    y = x + rng.normal(0, 3, 60)
    x[3], y[5] = np.nan, np.nan
    clusters = np.arange(60) // 3
    mean, low, high = rank_correlation(x, y, clusters)
    assert mean == pytest.approx(spearmanr(x, y, nan_policy="omit").statistic)
    assert low < mean < high
    assert rank_correlation(np.ones(60), y)[:3] == (0, 0, 0)  # one value orders nothing
    with pytest.raises(ValueError, match="as many of both"):
        rank_correlation([1, 2], [1])
    with pytest.raises(ValueError, match="two items"):
        rank_correlation([1, np.nan], [1, 2])


def test_the_interval_of_a_statistic_is_that_of_the_mean_for_a_mean():
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(size=60), np.repeat(np.arange(20), 3)
    expected = mean_intervals(values[:, None], clusters, seed=1)[0]
    ours = statistic_interval(
        lambda rows: values[rows].mean(), 60, clusters, seed=1, resamples=2000
    )
    np.testing.assert_allclose(ours, expected, atol=0.03)
    # Whole clusters are drawn: the median of two clusters of equal values is one of three numbers
    two = np.repeat([0.0, 4.0], 5)
    assert statistic_interval(lambda rows: np.median(two[rows]), 10, np.repeat([0, 1], 5)) == (
        2.0,
        0.0,
        4.0,
    )
