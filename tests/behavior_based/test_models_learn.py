"""ItemKNN: similarities by hand and against scikit-learn, reasons that add up."""

import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from vidrec_utils.behavior_based import ItemKNN, cosine_neighbours, neighbours

ROWS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "b"), ("w", "c"), ("z", "c")]


def library(rows=ROWS, videos="abcd", ratio=1.0):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).assign(watch_ratio=ratio)
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=list(videos)))


def random_matrix(n_users=60, n_videos=25, seed=0):
    rng = np.random.default_rng(seed)
    return sparse.csr_array(
        rng.random((n_users, n_videos)) * (rng.random((n_users, n_videos)) < 0.2)
    )


def test_similarity_equals_scikit_learn():
    matrix = random_matrix()
    got = cosine_neighbours(matrix, neighbours=25).toarray()
    expected = cosine_similarity(matrix.toarray().T)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_only_the_nearest_are_kept():
    matrix = random_matrix()
    whole = cosine_neighbours(matrix, neighbours=25).toarray()
    few = cosine_neighbours(matrix, neighbours=3).toarray()
    for row, kept in zip(whole, few, strict=True):
        best = np.argsort(-row, kind="stable")[:3]
        np.testing.assert_array_equal(kept[best], row[best])
        assert np.count_nonzero(kept) == 3


def test_scores_by_hand():
    model = ItemKNN(shrinkage=1.0).fit(library())
    # |a| = |c| = sqrt 2, |b| = sqrt 3; a and b share two users, b and c one
    ab, bc = 2 / (np.sqrt(6) + 1), 1 / (np.sqrt(6) + 1)
    np.testing.assert_allclose(model.score(["u"])[0], [ab, ab, bc, 0], rtol=1e-6)
    np.testing.assert_allclose(model.score(["z"])[0], [0, bc, 0, 0], rtol=1e-6)
    assert model.recommend("u", k=9)["video_id"].tolist() == ["c", "d"]


def test_reasons_add_up_to_the_score():
    rng = np.random.default_rng(1)
    rows = [(f"u{u}", f"v{v}") for u in range(20) for v in rng.integers(0, 15, 8)]
    model = ItemKNN(neighbours=4, shrinkage=2.0).fit(
        library(rows, [f"v{i}" for i in range(15)], rng.random(len(rows)))
    )
    scores = model.score(model.user_ids)
    for user in (0, 7, 19):
        for video in (0, 5, 14):
            reasons = model.explain(model.user_ids[user], model.video_ids[video]).table
            assert abs(reasons["contribution"].sum() - scores[user, video]) < 1e-5
            assert reasons["contribution"].is_monotonic_decreasing


def test_whose_neighbours_are_kept_by_hand():
    """With one neighbour each: a has b, b has a (two common users, not one), c has b."""
    bc = 1 / np.sqrt(6)
    scored = ItemKNN(1, shrinkage=0).fit(library())
    watched = ItemKNN(1, shrinkage=0, neighbours_of="watched").fit(library())
    np.testing.assert_allclose(scored.score(["u"])[0], [2 * bc, 2 * bc, bc, 0], rtol=1e-6)
    np.testing.assert_allclose(watched.score(["u"])[0], [2 * bc, 2 * bc, 0, 0], rtol=1e-6)
    assert scored.score(["z"])[0].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(watched.score(["z"])[0], [0, bc, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(watched.score_next(["c"]), [0, bc, 0, 0], rtol=1e-6)
    assert watched.explain("z", "b").table["contribution"].tolist() == pytest.approx([bc])


def test_with_all_neighbours_it_does_not_matter_whose():
    rng = np.random.default_rng(4)
    rows = [(f"u{u}", f"v{v}") for u in range(30) for v in rng.integers(0, 12, 6)]
    world = library(rows, [f"v{i}" for i in range(12)], rng.random(len(rows)))
    one, other = (ItemKNN(12, neighbours_of=whose).fit(world) for whose in ("scored", "watched"))
    np.testing.assert_allclose(one.score(one.user_ids), other.score(one.user_ids), rtol=1e-5)


def test_unknown_weightless_and_cold():
    events = library()
    events.interactions.loc[events.interactions["user_id"] == "z", "watch_ratio"] = 0.0
    model = ItemKNN().fit(events)
    for user in ("z", "nobody"):
        np.testing.assert_array_equal(model.score([user])[0], model.popularity)
    assert model.score(["u"])[0, 3] == 0
    assert len(model.similar("d")) == 0
    with pytest.raises(ValueError, match="popular"):
        model.explain("z", "a")


def test_similar_by_hand():
    model = ItemKNN(shrinkage=0).fit(library())
    similar = model.similar("b")
    assert similar["video_id"].tolist() == ["a", "c"]
    np.testing.assert_allclose(similar["similarity"], [2 / np.sqrt(6), 1 / np.sqrt(6)], rtol=1e-6)


def test_one_user_one_video():
    model = ItemKNN().fit(library([("u", "a")], "a"))
    assert model.score(["u"]).tolist() == [[0]]
    assert len(model.recommend("u")) == 0


@pytest.mark.parametrize("at_once", [1, 60, 400])
def test_blocks_do_not_change_the_neighbours(monkeypatch, at_once):
    """Nor does it if the users of one video are more than one block."""
    matrix = random_matrix()
    whole = cosine_neighbours(matrix, 5).toarray()
    monkeypatch.setattr(neighbours, "PRODUCTS_AT_ONCE", at_once)
    blocks = neighbours._even_blocks(np.arange(5, 30), np.full(25, 30))
    assert len(blocks) == {1: 25, 60: 13, 400: 2}[at_once]
    assert np.concatenate(blocks).tolist() == list(range(5, 30))
    monkeypatch.setattr(neighbours, "PADDED_AT_ONCE", at_once)
    np.testing.assert_array_equal(cosine_neighbours(matrix, 5).toarray(), whole)


@pytest.mark.parametrize("popular", [0, 8, 1e9])
@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_the_way_of_multiplying_does_not_change_the_neighbours(monkeypatch, popular, at_once):
    """With 0, no video counts as popular, with 1e9 every one; sums run in the same order."""
    rng = np.random.default_rng(5)
    shares = np.concatenate([np.full(6, 0.6), np.full(300, 0.02)])
    values = rng.normal(size=(60, 306)) * (rng.random((60, 306)) < shares)
    matrix = sparse.csr_array(values.astype("f4"))
    work = (matrix != 0).T @ np.diff(matrix.indptr)
    assert 0 < (8 * work >= matrix.nnz).sum() < 306  # by default some are popular, and some not
    monkeypatch.setattr(neighbours, "POPULAR", popular)
    monkeypatch.setattr(neighbours, "POPULAR_AT_ONCE", at_once)
    got = cosine_neighbours(matrix, 7, 2.0)
    np.testing.assert_allclose(got.toarray(), dense_neighbours(matrix, 7, 2.0), atol=1e-6)
    assert got.has_canonical_format


@pytest.mark.parametrize("padded", [1, 50, 2**17])
def test_largest_keeps_the_first_columns_of_equal_values(monkeypatch, padded):
    """Against a stable sort of each row, with few different values and columns in any order."""
    monkeypatch.setattr(neighbours, "PADDED_AT_ONCE", padded)
    rng = np.random.default_rng(6)
    lengths = np.array([0, 1, 5, 30, 4, 0, 17, 30, 0])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = np.concatenate([rng.permutation(40)[:n] for n in lengths]).astype(np.int32)
    values = rng.integers(0, 3, len(columns)).astype("f4")
    for k in (1, 4, 29, 30, 31):
        kept = neighbours.largest(values, columns, indptr, k)
        for start, stop in pairwise(indptr):
            best = np.lexsort((columns[start:stop], -values[start:stop]))[:k]
            assert np.flatnonzero(kept[start:stop]).tolist() == sorted(best)


def dense_neighbours(matrix, k, shrinkage):
    """The definition, on dense matrices: equal similarities are kept in column order."""
    x = matrix.toarray()  # in float32, or what ties would depend on the last digit
    length = np.sqrt((x**2).sum(axis=0))
    scale = np.outer(length, length) + np.float32(shrinkage)
    similarity = np.divide(x.T @ x, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(similarity, 0)
    kept = np.argsort(-abs(similarity), axis=1, kind="stable")[:, :k]
    result = np.zeros_like(similarity)
    np.put_along_axis(result, kept, np.take_along_axis(similarity, kept, axis=1), axis=1)
    return result


@pytest.mark.parametrize("lowest", [0, -1])
@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_neighbours_equal_those_of_dense_matrices_also_among_ties(lowest, shrinkage):
    rng = np.random.default_rng(2)
    values = rng.integers(lowest, 2, (30, 40)) * (rng.random((30, 40)) < 0.3)
    matrix = sparse.csr_array(values.astype("f4"))
    matrix = sparse.csr_array(sparse.hstack([matrix, matrix[:, :5], 0 * matrix[:, :3]]))  # twins
    for k in (1, 4, 60):
        got = cosine_neighbours(matrix, k, shrinkage)
        np.testing.assert_allclose(got.toarray(), dense_neighbours(matrix, k, shrinkage), atol=1e-6)
        assert (got.data != 0).all()
        assert np.diff(got.indptr).max() <= k


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_neighbours_of_popular_and_of_rare_videos_equal_those_of_dense_matrices(shrinkage):
    """Popular videos are computed in dense rows, rare ones by a product of sparse matrices."""
    rng = np.random.default_rng(3)
    shares = np.concatenate([np.full(20, 0.3), np.full(400, 0.01)])
    values = rng.integers(1, 3, (80, 420)) * (rng.random((80, 420)) < shares)
    matrix = sparse.csr_array(values[:, rng.permutation(420)].astype("f4"))
    history = np.diff(matrix.indptr)
    work = (matrix != 0).T @ history
    assert (4 * work >= 420).sum() >= 20
    assert (4 * work < 420).sum() > 100
    for k in (1, 5, 30):
        got = cosine_neighbours(matrix, k, shrinkage)
        assert got.has_canonical_format
        assert got.indices.dtype == np.int32
        np.testing.assert_allclose(got.toarray(), dense_neighbours(matrix, k, shrinkage), atol=1e-6)


def test_neighbours_of_many_videos_cost_what_they_share():
    """A dense matrix of 300,000 videos would have 360 GB."""
    rng = np.random.default_rng(0)
    n_users, n_videos, each = 2000, 300_000, 10
    columns = rng.integers(0, n_videos, n_users * each)
    rows = np.repeat(np.arange(n_users), each)
    entries = sparse.coo_array((np.ones(len(rows), "f4"), (rows, columns)), (n_users, n_videos))
    tracemalloc.start()
    got = cosine_neighbours(sparse.csr_array(entries), 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.shape == (n_videos, n_videos)
    assert got.nnz > n_users * each * (each - 2)
    assert peak < 100 * 2**20


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="neighbours"):
        ItemKNN(neighbours=0)
    with pytest.raises(ValueError, match="shrinkage"):
        ItemKNN(shrinkage=-1)
    with pytest.raises(ValueError, match="neighbours_of is 'both'"):
        ItemKNN(neighbours_of="both")
    with pytest.raises(KeyError, match="no video 'q'"):
        ItemKNN().fit(library()).explain("u", "q")
