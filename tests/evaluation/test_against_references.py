"""Every ranking metric against a loop written from its definition, and against scikit-learn."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    ndcg_score,
    precision_score,
    recall_score,
)

from benchmarks.metric_loops import LOOPS
from vidrec_utils import evaluation
from vidrec_utils.evaluation.metrics import accuracy
from vidrec_utils.evaluation.protocol import IDEALS, RECALLS
from vidrec_utils.evaluation.ties import expected_metrics, tie_groups
from vidrec_utils.preprocessing import ready_made_split
from vidrec_utils.recommender import FixedScores, as_ids, top_k


def by_loops(scores, relevant, k):
    """Metrics of one user, one rank after the other; equal scores in the order of the columns."""
    order = sorted(range(len(scores)), key=lambda column: (-scores[column], column))[:k]
    n, found, gain, precisions, first = sum(relevant), 0, 0.0, 0.0, 0.0
    for rank, column in enumerate(order, start=1):
        if relevant[column]:
            found += 1
            gain += 1 / np.log2(rank + 1)
            precisions += found / rank
            first = first or 1 / rank
    precision, recall = found / k, found / n
    return {
        "hit_rate": float(found > 0),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if found else 0.0,
        "ndcg": gain / sum(1 / np.log2(rank + 1) for rank in range(1, min(n, k) + 1)),
        "mrr": first,
        "map": precisions / min(n, k),
    }


def world(seed, n_values, n_videos=12, n_users=40):
    """Scores of few different values, so that ties are everywhere, and relevant videos."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, n_values, (n_users, n_videos)).astype(np.float32)
    relevant = rng.random((n_users, n_videos)) < rng.uniform(0.05, 0.9)
    relevant[np.arange(n_users), rng.integers(0, n_videos, n_users)] = True
    return scores, relevant


def ours(scores, relevant, k, **options):
    hits = np.take_along_axis(relevant, top_k(scores, k), axis=1)
    return hits, evaluation.list_metrics(hits, relevant.sum(axis=1), k, **options)


@pytest.mark.parametrize("n_values", [1, 2, 5, 1000])
@pytest.mark.parametrize("k", [1, 3, 12, 40])
def test_metrics_equal_the_loops_ties_included(k, n_values):
    for seed in range(6):
        scores, relevant = world(seed, n_values)
        expected = pd.DataFrame([by_loops(*pair, k) for pair in zip(scores, relevant, strict=True)])
        pd.testing.assert_frame_equal(ours(scores, relevant, k)[1], expected)


@pytest.mark.parametrize("n_values", [2, 1000])
def test_set_metrics_equal_scikit_learn(n_values):
    scores, relevant = world(3, n_values)
    k = 4
    best = top_k(scores, k)
    hits, got = ours(scores, relevant, k)
    listed = np.zeros_like(relevant)
    np.put_along_axis(listed, best, True, axis=1)
    for name, function in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
    ):
        expected = [function(*pair) for pair in zip(relevant, listed, strict=True)]
        np.testing.assert_allclose(got[name], expected, err_msg=name)
    candidates, places = np.full(len(scores), 12), np.full(len(scores), k)
    np.testing.assert_allclose(
        accuracy(hits.sum(axis=1), relevant.sum(axis=1), candidates, places),
        [accuracy_score(*pair) for pair in zip(relevant, listed, strict=True)],
    )


def test_average_precision_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(5)
    _, relevant = world(5, 2)
    scores = rng.permuted(np.tile(np.arange(12.0), (40, 1)), axis=1)
    expected = [average_precision_score(*pair) for pair in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(ours(scores, relevant, 12)[1]["map"], expected)


@pytest.mark.parametrize("k", [2, 5])
def test_mean_over_all_orders_of_ties_equals_scikit_learn(k):
    """`ndcg_score` averages over the orders of equal scores; we rank by the catalogue's order.

    So its value is the mean of ours over all orders in which the catalogue can stand.
    """
    scores, relevant = world(7, 2, n_videos=5, n_users=8)
    orders = [list(order) for order in permutations(range(5))]
    each = [ours(scores[:, order], relevant[:, order], k)[1]["ndcg"] for order in orders]
    expected = [
        ndcg_score(relevant[[i]], scores[[i]], k=k, ignore_ties=False) for i in range(len(scores))
    ]
    np.testing.assert_allclose(np.mean(each, axis=0), expected)


@pytest.mark.parametrize("k", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("n_values", [1, 2, 3])
def test_mid_rank_metrics_equal_the_mean_over_all_orders(k, n_values):
    scores, relevant = world(9, n_values, n_videos=5, n_users=12)
    best = top_k(scores, k)
    hits = np.take_along_axis(relevant, best, axis=1)
    groups = tie_groups(scores, sparse.csr_array(relevant), best, hits)
    orders = [list(order) for order in permutations(range(5))]
    for ideal, recall in product(IDEALS, RECALLS):
        got = expected_metrics(groups, relevant.sum(axis=1), k, ideal, recall)
        each = [
            ours(scores[:, order], relevant[:, order], k, ideal=ideal, recall=recall)[1]
            for order in orders
        ]
        np.testing.assert_allclose(got, sum(each) / len(each), rtol=1e-9)


def test_mid_rank_without_ties_is_the_usual_metric():
    _, relevant = world(4, 2, n_videos=60)
    scores = np.random.default_rng(4).permuted(np.tile(np.arange(60.0), (40, 1)), axis=1)
    hits, expected = ours(scores, relevant, 7)
    groups = tie_groups(scores, sparse.csr_array(relevant), top_k(scores, 7), hits)
    got = expected_metrics(groups, relevant.sum(axis=1), 7)
    pd.testing.assert_frame_equal(got, expected, atol=1e-12)


@pytest.mark.parametrize("n_values", [2, 20])
@pytest.mark.parametrize("k", [3, 12, 30])
def test_mid_rank_ndcg_equals_scikit_learn(k, n_values):
    scores, relevant = world(6, n_values)
    hits = np.take_along_axis(relevant, top_k(scores, k), axis=1)
    groups = tie_groups(scores, sparse.csr_array(relevant), top_k(scores, k), hits)
    got = expected_metrics(groups, relevant.sum(axis=1), k)["ndcg"]
    expected = [ndcg_score(relevant[[i]], scores[[i]], k=k) for i in range(len(scores))]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("ties", LOOPS)
def test_a_ready_made_split_equals_plain_loops_and_scikit_learn(ties):
    """From two tables without times to the metrics, under every ideal and denominator."""
    rng = np.random.default_rng(11)
    log = pd.DataFrame({"user_id": np.repeat(np.arange(15), 9)})
    log["video_id"] = np.concatenate([rng.permutation(20)[:9] for _ in range(15)])
    late = np.tile(np.arange(9) > 4, 15)
    split = ready_made_split(log[~late], log[late])
    users, videos = as_ids(range(15)), split.videos.index
    table = pd.DataFrame(rng.integers(0, 3, (15, len(videos))), index=users, columns=videos)
    with pytest.warns(UserWarning, match="all events count alike"):
        model = FixedScores(table).fit(split)
    seen = split.train.groupby("user_id")["video_id"].agg(list)
    right = split.test.groupby("user_id")["video_id"].agg(list)
    for ideal, recall in product(IDEALS, RECALLS):
        options = {"ties": ties, "ideal": ideal, "recall": recall}
        result = evaluation.evaluate(model, split, (2, 5, 12), "test", **options)
        for k, (user, row) in product((2, 5, 12), table.iterrows()):
            candidates = row.drop(seen[user])
            scores, relevant = candidates.to_numpy(), candidates.index.isin(right[user])
            got = result.at(k).per_user.loc[user]
            for name, value in LOOPS[ties](scores, relevant, k, ideal, recall).items():
                assert got[name] == pytest.approx(value, abs=1e-9), (name, k, user)
            if (ties, ideal) == ("mid-rank", "min(n, k)"):
                value = ndcg_score(relevant[None].astype(int), scores[None], k=k)
                assert got["ndcg"] == pytest.approx(value, abs=1e-9)


def test_ideals_and_denominators_by_hand():
    # hits at ranks 1 and 3 of three, of five relevant videos and of two
    hits, n = np.array([[True, False, True]] * 2), np.array([5, 2])
    gain = 1 + 1 / np.log2(4)
    precisions = 1 + 2 / 3
    best = np.cumsum(1 / np.log2(np.arange(2, 8)))  # of 1, 2, ... hits at the top
    expected = {
        "min(n, k)": ([gain / best[2], gain / best[1]], [precisions / 3, precisions / 2]),
        "n": ([gain / best[4], gain / best[1]], [precisions / 5, precisions / 2]),
        "k": ([gain / best[2], gain / best[2]], [precisions / 3, precisions / 3]),
    }
    for ideal, (ndcg, average) in expected.items():
        got = evaluation.list_metrics(hits, n, 3, ideal=ideal)
        np.testing.assert_allclose(got["ndcg"], ndcg)
        np.testing.assert_allclose(got["map"], average)
    got = evaluation.list_metrics(hits, n, 3, recall="min(n, k)")
    np.testing.assert_allclose(got["recall"], [2 / 3, 1])
    np.testing.assert_allclose(got["f1"], [2 / 3, 2 * (2 / 3) / (2 / 3 + 1)])


def test_diversity_equals_the_mean_over_all_pairs():
    rng = np.random.default_rng(2)
    vectors = pd.DataFrame(rng.normal(size=(9, 4)), index=list("abcdefghi"))
    vectors.loc["d"] = 0.0  # has no direction
    vectors.loc["e"] = np.nan
    top = rng.permuted(np.tile(np.arange(9), (20, 1)), axis=1)[:, :5]
    top[3, 2:] = -1
    top[4, 1:] = -1
    got = evaluation.diversity(vectors, vectors.index, top)
    for row, value in zip(top, got, strict=True):
        rows = [vectors.to_numpy()[c] for c in row if c >= 0 and c not in (3, 4)]
        pairs = [
            1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for i, a in enumerate(rows)
            for b in rows[:i]
        ]
        np.testing.assert_allclose(value, np.mean(pairs) if pairs else np.nan, rtol=1e-5)


def test_diversity_of_copies_and_of_right_angles():
    vectors = pd.DataFrame(np.vstack([np.eye(3), np.eye(3)[:1]]), index=list("abcd"))
    top = np.array([[0, 3], [0, 1]])
    np.testing.assert_allclose(evaluation.diversity(vectors, vectors.index, top), [0, 1], atol=1e-7)
