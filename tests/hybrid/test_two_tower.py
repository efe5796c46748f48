"""The sampled softmax against the full one; two towers on planted tastes, odd input, disk."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.events import library
from vidrec_utils import recommender as rec
from vidrec_utils.hybrid import (
    TwoTower,
    full_softmax,
    gradient_gap,
    in_batch_softmax,
    two_tower,
)

SMALL = {"dim": 8, "hidden": 16, "epochs": 4, "batch_size": 64}


pytestmark = pytest.mark.usefixtures("one_thread")


# --- the loss ----------------------------------------------------------------------------------


JOINT = torch.tensor([[8.0, 1, 1, 1, 0.5, 0.2], [6, 2, 1, 0.3, 0.5, 1], [9, 1, 2, 1, 1, 0.4]])
"""Events of three users with six videos, one of which has most of them."""


def test_the_corrected_gradient_is_that_of_the_full_softmax():
    mean, error = gradient_gap(JOINT, "logq")
    assert (mean.abs() < 3 * error).all()
    uncorrected, _ = gradient_gap(JOINT, "none")
    assert error.max() < uncorrected.abs().max() / 20  # the test is sharp enough to see that


@pytest.mark.parametrize("correction", ["none", "wrong sign"])
def test_no_correction_and_the_wrong_sign_fail_the_same_test(correction):
    mean, error = gradient_gap(JOINT, correction)
    assert not (mean.abs() < 3 * error).all()
    assert (mean.abs() / error).max() > 20


def test_without_correction_the_popular_video_is_pushed_down():
    mean, _ = gradient_gap(JOINT, "none")
    assert (mean[:, 0] > 0.01).all()  # a step against the gradient lowers its score too much


def test_the_loss_by_hand():
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0], [1.0, 1.0, 1.0]])
    videos, log_q = torch.tensor([4, 7, 4]), torch.log(torch.tensor([0.5, 0.2, 0.5]))
    # two others: row 0 and row 2 hold the same video, which stands in each sum once
    e = np.exp
    rows = [
        -1 + np.log(e(1) + e(2) / 0.4),
        -3 + np.log(e(3) + e(0) / 1.0 + e(1) / 1.0),
        -1 + np.log(e(1) + e(1) / 0.4),
    ]
    assert in_batch_softmax(scores, videos, log_q).item() == pytest.approx(np.mean(rows), rel=1e-5)
    plain = [-1 + np.log(e(1) + e(2)), -3 + np.log(e(3) + 1 + e(1)), -1 + np.log(2 * e(1))]
    got = in_batch_softmax(scores, videos, log_q, "none").item()
    assert got == pytest.approx(np.mean(plain), rel=1e-5)
    with pytest.raises(ValueError, match="'logq', 'none', 'wrong sign'"):
        in_batch_softmax(scores, videos, log_q, "half")


def test_weights_and_what_was_not_yet_published_by_hand():
    scores = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    videos, log_q = torch.tensor([4, 7]), torch.log(torch.tensor([0.5, 0.2]))
    shown = torch.tensor([[True, False], [True, False]])  # nobody could be shown video 7
    e = np.exp
    # the first user has no other video left; the second one's own counts, as it was watched
    rows = [0.0, -3 + np.log(e(3) + e(0) / 0.5)]
    weights = torch.tensor([3.0, 1.0])
    got = in_batch_softmax(scores, videos, log_q, "logq", weights, shown).item()
    assert got == pytest.approx((3 * rows[0] + rows[1]) / 4, rel=1e-5)
    rows = [-1 + np.log(e(1) + e(2) / 0.2), rows[1]]
    got = in_batch_softmax(scores, videos, log_q, weights=weights).item()
    assert got == pytest.approx((3 * rows[0] + rows[1]) / 4, rel=1e-5)
    table = torch.tensor([[1.0, 2.0, 5.0]])
    seen = torch.tensor([[False, True, False]])
    got = full_softmax(table, torch.tensor([0]), torch.tensor([2.0]), seen).item()
    assert got == pytest.approx(-1 + np.log(e(1) + e(2)), rel=1e-5)


def test_a_batch_of_one_and_of_copies_tells_nothing():
    one = torch.tensor([[3.0]])
    assert in_batch_softmax(one, torch.tensor([0]), torch.zeros(1)).item() == 0
    assert in_batch_softmax(torch.ones(2, 2), torch.tensor([5, 5]), torch.zeros(2)).item() == 0


# --- the model ---------------------------------------------------------------------------------


def tastes(n_users=40, n_videos=30, cold=6, seed=0):
    """Even users watch even videos; the content tells the kind; the last videos are cold."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{u:02d}", v)
        for u in range(n_users)
        for v in rng.choice(np.arange(u % 2, n_videos - cold, 2), 5, replace=False)
    ]
    kind = np.where(np.arange(n_videos) % 2, -1.0, 1.0)
    vectors = pd.DataFrame(np.c_[kind, rng.normal(size=(n_videos, 2))])
    vectors.index = [str(v) for v in range(n_videos)]
    return library(rows, range(n_videos)), vectors


def test_cold_videos_are_told_apart_by_content():
    data, vectors = tastes()
    model = TwoTower(vectors, **{**SMALL, "epochs": 15}).fit(data)
    cold = model.score(["u00", "u01"])[:, 24:]
    assert cold[0, ::2].min() > cold[0, 1::2].max()
    assert cold[1, 1::2].min() > cold[1, ::2].max()
    assert model.losses[-1] < model.losses[0]


def test_without_content_that_tells_ids_still_do():
    data, vectors = tastes()
    blank = vectors * 0
    lists = {}
    for ids in (True, False):
        options = {**SMALL, "epochs": 30, "learning_rate": 0.02, "id_dropout": 0.0}
        model = TwoTower(blank, know_users=ids, know_videos=ids, **options).fit(data)
        top = model.recommend(data.interactions["user_id"].unique(), 5)
        right = top["video_id"].astype(int) % 2 == top["user_id"].str[1:].astype(int) % 2
        lists[ids] = right.mean()
    assert lists[True] > 0.7  # 10 of the 25 videos that a user has not seen are right
    assert lists[False] < 0.6


@pytest.mark.parametrize("full", [False, True])
def test_towers_learn_what_was_enjoyed_and_not_what_was_shown(full):
    """Everybody is shown all warm videos alike; even users enjoy the even ones."""
    n = 24
    rows = [(f"u{u:02d}", v, u, v) for u in range(n) for v in range(n)]
    data = library([row[:2] for row in rows], range(n + 6))
    enjoyed = np.array([u % 2 == v % 2 for *_, u, v in rows])
    data.interactions["watch_ratio"] = np.where(enjoyed, 1.0, 0.05)
    _, vectors = tastes(n_videos=n + 6)
    options = {**SMALL, "epochs": 20, "learning_rate": 0.01, "full": full}
    model = TwoTower(vectors, **options).fit(data)
    scores = model.score(model.user_ids)
    even, odd = scores[:, n::2].mean(axis=1), scores[:, n + 1 :: 2].mean(axis=1)  # cold videos
    gaps = np.where(np.arange(n) % 2, odd - even, even - odd)
    assert gaps.mean() > 1
    assert (gaps > 0).mean() > 0.8


@pytest.mark.parametrize("full", [False, True])
def test_videos_that_came_later_are_no_negatives(full):
    """Each kind of video is watched by half of the people; the second half came afterwards."""
    data, vectors = tastes(cold=0)
    vectors[:] = np.random.default_rng(1).normal(size=vectors.shape)  # ids have to tell
    kinds = data.interactions["video_id"].astype(int) % 2
    start = data.interactions["timestamp"].min()
    data.interactions["timestamp"] = start + pd.to_timedelta(2 * kinds, "D")
    options = {**SMALL, "epochs": 30, "learning_rate": 0.02, "full": full, "id_dropout": 0.0}
    told_off = TwoTower(vectors, **options).fit(data).score("u00")[0]
    late = np.arange(30) % 2 == 1  # watched by odd users only, published after even users had gone
    data.videos["published_at"] = start + pd.to_timedelta(np.where(late, 1, 0), "D")
    model = TwoTower(vectors, **options).fit(data)
    spared = model.score("u00")[0]

    def gap(scores):
        return scores[~late].mean() - scores[late].mean()

    assert gap(spared) < gap(told_off) / 2  # nobody said that u00 would not have liked them


def test_the_predicted_event_is_left_out_of_the_mean():
    from scipy import sparse

    liked = sparse.csr_array(np.array([[1.0, 3, 0], [0, 2, 0]], dtype="f4"))
    content = np.array([[4.0, 0], [0, 1], [7, 7]], dtype="f4")
    gaps = np.array([[0.0, 1], [0, 0], [0, 0]], dtype="f4")
    absent = torch.tensor([10.0, 20])
    contents = two_tower._Contents(liked, content, gaps)
    np.testing.assert_allclose(contents.means(absent), [[1, (20 + 3) / 4], [0, 1]])
    asked = [torch.tensor(v) for v in ([0, 0, 1], [0, 1, 1])]
    got = contents.without(*asked, torch.tensor([1.0, 3, 2]), absent)
    np.testing.assert_allclose(got, [[0, 1], [4, 20], [0, 0]])
    filled = contents.videos(torch.tensor([1, 0]), absent)
    np.testing.assert_allclose(filled, [[0, 1], [4, 20]])


def test_columns_are_standardised_over_known_values():
    values, gaps = two_tower.standardized(np.array([[1, 5, np.nan], [3, 5, np.nan], [np.nan] * 3]))
    np.testing.assert_allclose(values, [[-1, 0, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(gaps, [[0, 0, 1], [0, 0, 1], [1, 1, 1]])


def test_missing_content_has_a_learned_stand_in():
    data, vectors = tastes()
    vectors.iloc[[0, 1, 28]] = np.nan
    vectors = vectors.drop(index="29")
    vectors.iloc[4, 1] = np.inf
    model = TwoTower(vectors, **SMALL).fit(data)
    assert np.isfinite(model.score(["u00", "u39", "nobody"])).all()
    assert np.abs(model.state["absent"]).min() > 0
    # two cold videos without content are alike
    np.testing.assert_allclose(model.video_vectors[28], model.video_vectors[29], rtol=1e-6)


def test_full_softmax_and_other_corrections_train_other_models():
    data, vectors = tastes()
    scores = [
        TwoTower(vectors, **SMALL, **o).fit(data).score("u00")
        for o in ({}, {"full": True}, {"correction": "none"}, {"correction": "wrong sign"})
    ]
    assert len({s.tobytes() for s in scores}) == 4


def test_unknown_users_and_users_without_weight_get_what_is_popular():
    data, vectors = tastes()
    weights = pd.Series(1.0, index=data.interactions.index)
    weights[data.interactions["user_id"] == "u03"] = 0.0
    model = TwoTower(vectors, **SMALL).fit(data, weights)
    for user in ("u03", "nobody"):
        np.testing.assert_array_equal(model.score(user)[0], model.popularity)
    none = TwoTower(vectors, **SMALL).fit(data, weights * 0)
    assert none.losses == []
    np.testing.assert_array_equal(none.score("u00")[0], 0)


def test_one_user_one_video_and_k_beyond_the_catalogue():
    vectors = pd.DataFrame([[1.0, 2]], index=["a"])
    model = TwoTower(vectors, **SMALL).fit(library([("u", "a"), ("u", "a")], "a"))
    assert model.recommend("u", 7, exclude_seen=False)["video_id"].tolist() == ["a"]
    assert len(model.recommend("u", 7)) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"id_dropout": 1.5}, "between 0 and 1"),
        ({"temperature": 0}, "positive"),
        ({"correction": "half"}, "'logq', 'none', 'wrong sign'"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        TwoTower(pd.DataFrame(), **options)


def test_vectors_of_other_videos_are_refused():
    data, vectors = tastes()
    with pytest.raises(ValueError, match="None of the 30 videos has a vector"):
        TwoTower(vectors.add_prefix("x").T.add_prefix("x").T, **SMALL).fit(data)


def test_deterministic_by_seed_and_equal_from_disk(tmp_path):
    data, vectors = tastes()
    vectors.iloc[3] = np.nan
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    model, same, other = (TwoTower(vectors, **SMALL, seed=s).fit(data) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    users = ["u00", "u07", "nobody"]
    np.testing.assert_array_equal(model.score(users), same.score(users))
    assert not np.array_equal(model.score(users), other.score(users))
    again = rec.load(model.save(tmp_path))
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    np.testing.assert_array_equal(again.score(users), model.score(users))
    np.testing.assert_array_equal(again.fit(data).score(users), model.score(users))


def test_the_network_gives_the_vectors_and_leaves_out_the_ids_of_cold_videos():
    data, vectors = tastes()
    model = TwoTower(vectors, progress=False, **SMALL).fit(data)
    network = model.network()
    content, _ = two_tower.standardized(vectors.loc[model.video_ids].to_numpy())
    position = torch.arange(len(content))
    cold = torch.from_numpy(model.popularity == 0)
    with torch.no_grad():
        warm = network.videos(torch.from_numpy(content), position.masked_fill(cold, -1)).numpy()
        every = network.videos(torch.from_numpy(content), position).numpy()
    assert cold.sum() == 6
    assert np.allclose(warm, model.video_vectors, atol=1e-5)
    assert not np.allclose(every[cold.numpy()], model.video_vectors[cold.numpy()], atol=1e-5)
    with pytest.raises(RuntimeError):
        TwoTower(vectors).network()
