"""Sampled metrics: the toy of Krichene and Rendle, and draws that agree with the expectation."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.evaluation import sampled

# Krichene, Rendle, KDD 2020: ranks of the relevant item of five users, among 10,000
N = 10_000
TOY = {"A": [100] * 5, "B": [40, 40, 8437, 9266, 4482], "C": [212, 2, 743, 5342, 1548]}
PUBLISHED = {
    ("ap", None): [0.010, 0.010, 0.101],
    ("ndcg", None): [0.150, 0.122, 0.208],
    ("recall@10", None): [0, 0, 0.2],
    ("ap", 99): [0.636, 0.341, 0.326],
    ("ndcg", 99): [0.728, 0.447, 0.460],
    ("recall@10", 99): [1.000, 0.400, 0.569],
}


@pytest.mark.parametrize(("metric", "m"), PUBLISHED)
def test_published_toy(metric, m):
    for ranks, value in zip(TOY.values(), PUBLISHED[metric, m], strict=True):
        ranks = np.array(ranks)
        got = sampled.exact(ranks, metric) if m is None else sampled.expected(ranks, N, m, metric)
        # the paper's expectations are means over repeated draws; ours are exact
        assert got.mean() == pytest.approx(value, abs=0.0006 if m is None else 0.0015)


def test_the_order_reverses():
    def order(function):
        return sorted(TOY, key=lambda name: function(np.array(TOY[name])).mean())

    assert order(lambda ranks: sampled.exact(ranks, "ap"))[-1] == "C"
    assert order(lambda ranks: sampled.expected(ranks, N, 99, "ap")) == ["C", "B", "A"]


@pytest.mark.parametrize("metric", ["ap", "ndcg@10", "recall@3", "mrr@5", "hit_rate@1"])
def test_expected_is_the_mean_of_draws(metric):
    ranks, n = np.array([1, 3, 40, 300]), np.array([50, 50, 400, 300])
    draws = np.array(
        [sampled.exact(sampled.draw(ranks, n, 20, seed), metric) for seed in range(4000)]
    )
    spread = draws.std(axis=0) / np.sqrt(len(draws))
    np.testing.assert_array_less(
        np.abs(draws.mean(axis=0) - sampled.expected(ranks, n, 20, metric)), 4 * spread + 1e-9
    )


def test_expectation_at_the_ends():
    # the first of all is the first of any sample; the last of all is beaten by each competitor
    assert sampled.expected(np.array([1, 30]), 30, 7, "ap").tolist() == [1, pytest.approx(1 / 8)]
    assert sampled.expected(np.array([1]), 1, 5, "ndcg").tolist() == [1]


def test_bad_input():
    with pytest.raises(ValueError, match="between 1 and n_candidates"):
        sampled.expected(np.array([11]), 10, 5)
    with pytest.raises(ValueError, match="m is 0"):
        sampled.expected(np.array([1]), 10, 0)
    for name in ("auc", "recall"):
        with pytest.raises(ValueError, match="no metric"):
            sampled.metric_of_rank(name)


def frame(ranks, users=("u", "u", "v")):
    return pd.DataFrame(
        {"user_id": list(users), "video_id": list("abc"), "rank": ranks, "n_candidates": 11}
    )


def test_by_sample_size_and_lead_average_users_not_videos():
    a, b = frame([1, 11, 1]), frame([2, 2, 2])
    got = sampled.by_sample_size({"a": a, "b": b}, sizes=(1,), metric="ap")
    assert got.columns.tolist() == [1, "all"]
    # u: (1 + 1/11) / 2, v: 1
    assert got.loc["a", "all"] == pytest.approx(((1 + 1 / 11) / 2 + 1) / 2)
    # one competitor: rank 2 of 11 has it above with chance 1/10
    assert got.loc["b", 1] == pytest.approx(0.9 + 0.1 / 2)
    difference, low, high = sampled.difference(a, b, None, "ap")
    assert difference == pytest.approx(got.loc["a", "all"] - 0.5)
    assert low <= difference <= high
    with pytest.raises(ValueError, match="different videos"):
        sampled.difference(a, frame([1, 1, 1], users=("u", "w", "v")))


def test_reordered_pairs_counts_each_pair_once_and_no_ties():
    table = pd.DataFrame(
        {1: [0.1, 0.2, 0.3, 0.3], 20: [0.9, 0.8, 0.7, 0.7], "all": [0.4, 0.3, 0.2, 0.2]},
        index=list("abcd"),
    )
    # among one drawn all pairs but the tie of c and d are turned round, among twenty none
    assert sampled.reordered_pairs(table).to_dict() == {1: 5, 20: 0}
    with pytest.raises(ValueError, match="no column 'all'"):
        sampled.reordered_pairs(table.drop(columns="all"))
