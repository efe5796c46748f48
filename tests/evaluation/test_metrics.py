"""Metrics of any list, against their definitions written out, and what must hold for all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.logs import examples
from vidrec_utils.evaluation.metrics import (
    RANKING_METRICS,
    accuracy,
    bootstrap_means,
    list_means,
    list_metrics,
)


@st.composite
def lists(draw):
    """Hits of a list, the nominal length, and how many videos are relevant in all."""
    k = draw(st.integers(1, 8))
    hits = draw(st.lists(st.booleans(), min_size=1, max_size=k))
    return np.array(hits), k, sum(hits) + draw(st.integers(0, 6))


def by_definition(hits, k, n):
    """The table of definitions at the head of `evaluation.metrics`, one line after the other."""
    h = sum(hits)
    ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
    precision, recall = h / k, h / n
    return {
        "hit_rate": float(h > 0),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if h else 0.0,
        "ndcg": sum(1 / np.log2(rank + 1) for rank in ranks)
        / sum(1 / np.log2(rank + 1) for rank in range(1, min(n, k) + 1)),
        "mrr": 1 / ranks[0] if h else 0.0,
        "map": sum((i + 1) / rank for i, rank in enumerate(ranks)) / min(n, k),
    }


@examples(200)
@given(lists())
def test_metrics_of_any_list_are_those_of_their_definitions(case):
    hits, k, n = case
    got = list_metrics(hits[None], np.array([n]), k).iloc[0]
    if n:
        assert got.to_dict() == pytest.approx(by_definition(hits, k, n))
        assert got.between(0, 1 + 1e-12).all()
    else:
        divided = ["recall", "f1", "ndcg", "map"]  # by the number of relevant videos
        assert got[divided].isna().all()
        assert got.drop(divided).tolist() == [0, 0, 0]
    padded = np.append(hits, [False] * (k - len(hits)))  # a list that ends early
    assert list_metrics(padded[None], np.array([n]), k).iloc[0].equals(got)


@examples(100)
@given(lists(), st.integers(0, 6))
def test_a_hit_that_moves_up_is_worth_no_less(case, position):
    hits, k, n = case
    position = min(position, len(hits) - 1)
    if not position or not hits[position] or hits[position - 1]:
        return
    better = hits.copy()
    better[[position - 1, position]] = True, False
    before, after = list_metrics(np.stack([hits, better]), np.array([n, n]), k).to_numpy()
    of_order = [name in ("ndcg", "map") for name in RANKING_METRICS]
    assert (after >= before - 1e-12).all()
    assert (after > before)[of_order].all()
    unordered = [name in ("hit_rate", "precision", "recall", "f1") for name in RANKING_METRICS]
    assert (after == before)[unordered].all()


@examples(50)
@given(st.integers(1, 9), st.integers(1, 9))
def test_the_best_list_has_the_best_values(k, n):
    hits = np.arange(k) < n
    best = list_metrics(hits[None], np.array([n]), k).iloc[0]
    assert best[["hit_rate", "ndcg", "mrr", "map"]].tolist() == pytest.approx([1, 1, 1, 1])
    assert best["recall"] == pytest.approx(min(k, n) / n)
    assert best["precision"] == pytest.approx(min(k, n) / k)


@examples(100)
@given(lists(), st.integers(0, 5))
def test_accuracy_counts_every_candidate(case, others):
    hits, _, n = case
    listed = len(hits)
    candidates = listed + (n - int(hits.sum())) + others
    right = int(hits.sum()) + others  # listed and relevant, or neither
    got = accuracy(
        hits[None].sum(axis=1), np.array([n]), np.array([candidates]), np.array([listed])
    )
    assert got.tolist() == pytest.approx([right / candidates])


@examples(50)
@given(st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_means_of_lists_leave_out_what_is_empty(rows):
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    got = list_means(values, np.array(rows))
    for mean, row in zip(got, rows, strict=True):
        filled = [values[video] for video in row if video >= 0]
        assert mean == pytest.approx(np.mean(filled)) if filled else np.isnan(mean)


@examples(30)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.integers(0, 99))
def test_bootstrap_means_stay_between_the_values(values, seed):
    table = np.column_stack([values, np.full(len(values), 2.0), np.full(len(values), np.nan)])
    draws = bootstrap_means(table, 50, seed)
    assert (draws[:, 0] >= min(values) - 1e-9).all()
    assert (draws[:, 0] <= max(values) + 1e-9).all()
    assert (draws[:, 1] == 2).all()
    assert np.isnan(draws[:, 2]).all()
    np.testing.assert_array_equal(draws, bootstrap_means(table, 50, seed))
