"""EASE, ALS, BPR, SASRec, sessions: identities, planted structure, odd input, round trips."""

import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from tests.helpers.events import START, library
from tests.helpers.models import groups
from vidrec_utils.behavior_based import (
    ALS,
    BPR,
    EASE,
    DecayedPopularity,
    ItemKNN,
    SASRec,
    SequentialRules,
    WindowedPopularity,
    ease_weights,
    sasrec,
)
from vidrec_utils.behavior_based.bpr import triples
from vidrec_utils.explanations import contrasting_users, explained_list

MODELS = {
    "windowed": lambda: WindowedPopularity(days=3),
    "decayed": lambda: DecayedPopularity(half_life_days=2),
    "knn": ItemKNN,
    "ease": lambda: EASE(l2=5),
    "als": lambda: ALS(factors=4, iterations=3),
    "bpr": lambda: BPR(factors=4, epochs=3),
    "sasrec": lambda: SASRec(length=6, dim=8, epochs=2, least=0.0),
    "rules": SequentialRules,
}


def random_matrix(n_users=70, n_videos=30, density=0.15, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.uniform(0.2, 2, (n_users, n_videos)) * (rng.random((n_users, n_videos)) < density)
    return sparse.csr_array(dense.astype(np.float32))


# --- EASE --------------------------------------------------------------------------------------


def test_ease_is_the_minimum_under_its_constraint():
    matrix = random_matrix()
    weights, l2 = ease_weights(matrix, 7.0).astype("f8"), 7.0
    assert not np.diagonal(weights).any()
    gram = (matrix.T @ matrix).toarray().astype("f8")
    gradient = gram @ weights - gram + l2 * weights
    np.fill_diagonal(gradient, 0)
    assert abs(gradient).max() < 1e-4 * abs(gram).max()


def test_ease_equals_a_ridge_regression_for_each_video():
    matrix = random_matrix().toarray().astype("f8")
    weights = ease_weights(sparse.csr_array(matrix.astype("f4")), 3.0)
    for video in (0, 11, 29):
        others = np.delete(np.arange(30), video)
        x = matrix[:, others]
        expected = np.linalg.solve(x.T @ x + 3.0 * np.eye(29), x.T @ matrix[:, video])
        np.testing.assert_allclose(weights[others, video], expected, atol=1e-5)


def test_ease_needs_little_more_than_one_matrix():
    n = 2000
    matrix = sparse.random_array((400, n), density=0.02, dtype="f4", rng=np.random.default_rng(0))
    tracemalloc.start()
    weights = ease_weights(sparse.csr_array(matrix), 5.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * weights.nbytes  # 1.1 where the catalogue is large
    assert weights.flags.c_contiguous
    assert not np.diagonal(weights).any()


def test_ease_with_a_large_l2_says_nothing():
    matrix = random_matrix()
    sizes = [abs(ease_weights(matrix, l2)).max() for l2 in (1e2, 1e4, 1e6, 1e8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1e-6


def test_ease_counts_pairs_or_weights():
    data = library([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "c")], "abc", 0.5)
    binary, weighted = EASE(1.0, binary=True).fit(data), EASE(1.0).fit(data)
    # two users with both: gram [[2, 2], [2, 2]], so b says 2 / (2 + 1) for a; halved: .5 / 1.5
    np.testing.assert_allclose(binary.score(["u"])[0], [2 / 3, 2 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(weighted.score(["u"])[0], [0.5 / 3, 0.5 / 3, 0], rtol=1e-6)
    assert binary.similar("a")["video_id"].tolist() == ["b"]
    assert len(binary.similar("c")) == 0


# --- ALS ---------------------------------------------------------------------------------------


def objective_by_hand(model):
    """The formula of the docstring, over all pairs in a dense matrix."""
    x = model.matrix.toarray().astype("f8")
    users, videos = model.user_factors.astype("f8"), model.video_factors.astype("f8")
    confidence = model.unobserved + model.alpha * x
    fit = (confidence * ((x > 0) - users @ videos.T) ** 2).sum()
    ridge = [
        ((x > 0).sum(axis=axis) + model.unobserved * x.shape[axis]) ** model.exponent
        for axis in (1, 0)
    ]
    sizes = [(users**2).sum(axis=1), (videos**2).sum(axis=1)]
    return fit + model.regularization * sum(
        (r * s).sum() for r, s in zip(ridge, sizes, strict=True)
    )


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_als_objective_is_the_formula(exponent):
    model = ALS(factors=5, iterations=2, exponent=exponent, alpha=3, unobserved=0.4).fit(groups())
    assert np.isclose(model.objective(), objective_by_hand(model), rtol=1e-6)


def rendle_half_step(watched, fixed, weight, w0, ridge):
    """Best rows for `sum_watched weight (1 - s)^2 + w0 sum_all s^2 + ridge |row|^2`, in float64."""
    rows = []
    for pairs, own in zip(watched, ridge, strict=True):
        left = weight * fixed[pairs].T @ fixed[pairs] + w0 * fixed.T @ fixed
        right = weight * fixed[pairs].sum(axis=0)
        rows.append(np.linalg.solve(left + own * np.eye(fixed.shape[1]), right))
    return np.array(rows)


def rendle_objective(watched, users, videos, weight, w0, ridges, published):
    """Rendle's objective as it is printed, over all pairs in a dense matrix."""
    scores = users @ videos.T
    fit = weight * ((1 - scores)[watched] ** 2).sum() + w0 * (scores**2).sum()
    sizes = [(users**2).sum(axis=1), (videos**2).sum(axis=1)]
    return fit + published * sum((r * s).sum() for r, s in zip(ridges, sizes, strict=True))


@pytest.mark.parametrize(("weight", "alpha"), [(1.0, 1.0), (0.5, 3.0)])
def test_published_regularization_has_the_same_optimum_once_converted(weight, alpha):
    """Scores are c times Rendle's on the whole way from c^.5 times the start, c = 1 + w0 / a x."""
    watched = random_matrix(15, 11, 0.3).toarray() > 0
    rows, columns = np.nonzero(watched)
    data = library(zip(rows, columns, strict=True), range(11), weight)
    published, w0, factors = 0.05, 0.4, 3
    c = 1 + w0 / (alpha * weight)
    options = {"unobserved": w0, "alpha": alpha, "exponent": 1.0, "stddev": 0.1 * np.sqrt(c)}
    rounds = 60
    model = ALS(factors, rounds, published * c, **options).fit(data)
    ids = model.user_ids.astype(int)
    assert model.video_ids.tolist() == [str(v) for v in range(11)]
    # Rendle's objective, by the normal equations of his paper
    watched = watched[ids]
    ridges = [watched.sum(axis=axis) + w0 * watched.shape[axis] for axis in (1, 0)]
    start = np.random.default_rng(0).normal(0, 0.1 / np.sqrt(factors), (11, factors))
    videos = start.astype("f4").astype("f8")
    for _ in range(rounds):
        users = rendle_half_step(watched, videos, alpha * weight, w0, published * ridges[0])
        videos = rendle_half_step(watched.T, users, alpha * weight, w0, published * ridges[1])
    users = rendle_half_step(watched, videos, alpha * weight, w0, published * ridges[0])
    theirs = users @ videos.T
    np.testing.assert_allclose(model.score(model.user_ids), c * theirs, atol=1e-4)
    # Watched pairs: a (1 - s)^2 + w0 s^2 = (a + w0) s^2 - 2 a s + a, and with s' = c s here
    # (a + w0) (1 - s')^2 = c^2 ((a + w0) s^2 - 2 a s) + a + w0, so the optima differ by constants.
    a, n = alpha * weight, watched.sum()
    value = rendle_objective(watched, users, videos, a, w0, ridges, published)
    assert model.objective() == pytest.approx(c**2 * (value - a * n) + (a + w0) * n, rel=1e-4)
    # Copied without conversion, the published value pulls less than it should.
    copied = ALS(factors, rounds, published, **options).fit(data)
    assert abs(copied.score(copied.user_ids) - c * theirs).max() > 0.02


@pytest.mark.parametrize("cg_steps", [None, 3])
def test_als_objective_never_rises(cg_steps):
    options = {"factors": 6, "regularization": 0.01, "cg_steps": cg_steps}
    values = [ALS(iterations=n, **options).fit(groups()).objective() for n in range(1, 12)]
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_every_half_step_lowers_the_objective():
    model = ALS(factors=6, iterations=1).fit(groups())
    by_video = sparse.csr_array(model.matrix.T)
    value = model.objective()
    for _ in range(5):
        model.video_factors = model._solve(by_video, model.user_factors)
        assert model.objective() <= value * (1 + 1e-6)
        value = model.objective()
        model.user_factors = model._solve(model.matrix, model.video_factors)
        assert model.objective() <= value * (1 + 1e-6)
        value = model.objective()


def test_als_users_are_at_the_minimum():
    model = ALS(factors=3, iterations=4, cg_steps=2).fit(groups())
    value, rng = model.objective(), np.random.default_rng(0)
    users = model.user_factors.copy()
    for _ in range(5):
        model.user_factors = users + rng.normal(0, 0.02, users.shape).astype("f4")
        assert model.objective() > value


@pytest.mark.parametrize("cg_steps", [None, 2])
def test_folding_in_a_training_user_returns_the_vector(cg_steps):
    model = ALS(factors=6, iterations=4, cg_steps=cg_steps).fit(groups())
    for row in (0, 7, 39):
        history = model.matrix[[row]]
        vector = model.fold_in(model.video_ids[history.indices], history.data)
        np.testing.assert_allclose(vector, model.user_factors[row], rtol=1e-4, atol=1e-6)
    assert not model.fold_in(["not a video"]).any()


# --- what all have in common -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["knn", "ease", "als", "bpr", "sasrec", "rules"])
def test_planted_groups_are_found(kind):
    longer = {
        "als": lambda: ALS(factors=2, iterations=8),
        "bpr": lambda: BPR(factors=2, epochs=150, batch_size=32),
        "sasrec": lambda: SASRec(length=6, dim=16, epochs=60, batch_size=16, learning_rate=3e-3),
        "rules": lambda: SequentialRules(gap_minutes=90),
    }
    model = longer.get(kind, MODELS[kind])().fit(groups())
    best = model.recommend(model.user_ids, k=4)
    odd = best["user_id"].str[-1].astype(int) % 2
    own = (best["video_id"].astype(int) >= 10) == (odd == 1)
    assert own.mean() > 0.95
    assert "19" not in set(best["video_id"])


@pytest.mark.parametrize("kind", ["als", "bpr", "sasrec"])
def test_another_seed_gives_other_scores(kind):
    model, other = MODELS[kind](), MODELS[kind]()
    other.seed = 1
    assert not np.array_equal(
        model.fit(groups()).score(["u00"]), other.fit(groups()).score(["u00"])
    )


@pytest.mark.parametrize("kind", MODELS)
def test_users_that_nothing_is_known_of(kind):
    data = groups()
    data.interactions.loc[data.interactions["user_id"] == "u01", "watch_ratio"] = 0.0
    model = MODELS[kind]().fit(data)
    expected = model.recent if kind in ("windowed", "decayed") else model.popularity
    np.testing.assert_array_equal(model.score(["nobody"])[0], expected)
    if kind not in ("rules", "sasrec"):  # there an event of weight 0 is still a place in a session
        np.testing.assert_array_equal(model.score(["u01"])[0], expected)
    assert np.isfinite(model.score(["u01"])).all()


@pytest.mark.parametrize("kind", MODELS)
def test_a_cold_video_scores_and_can_be_asked_for(kind):
    model = MODELS[kind]().fit(groups())
    assert np.isfinite(model.score(model.user_ids)[:, 19]).all()
    whole = model.recommend(model.user_ids[:3], k=1000, exclude_seen=False)
    assert len(whole) == 3 * 20
    if kind not in ("bpr", "sasrec"):
        assert not model.score(model.user_ids)[:, 19].any()


@pytest.mark.parametrize("kind", ["knn", "ease", "als", "bpr"])
def test_repeated_exposures_add_up(kind):
    data = groups()
    twice = library([], data.videos.index)
    twice.interactions = pd.concat([data.interactions] * 2, ignore_index=True).assign(
        watch_ratio=lambda f: f["watch_ratio"] / 2
    )
    np.testing.assert_allclose(
        MODELS[kind]().fit(twice).score(["u00"]), MODELS[kind]().fit(data).score(["u00"]), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["knn", "ease", "als"])
def test_reasons_add_up_to_the_score(kind):
    model = MODELS[kind]().fit(groups())
    scores = model.score(model.user_ids)
    for user, video in ((0, 1), (3, 12), (39, 19)):
        reasons = model.explain(model.user_ids[user], model.video_ids[video]).table
        assert abs(reasons["contribution"].sum() - scores[user, video]) < 1e-5
        assert reasons["contribution"].is_monotonic_decreasing
    with pytest.raises(KeyError, match="no user 'q'"):
        model.explain("q", "1")


# --- popularity, sessions, sequences -----------------------------------------------------------


def dated(days, **columns):
    times = pd.Timestamp("2025-03-10", tz="UTC") - pd.to_timedelta(days, "D")
    frame = pd.DataFrame({"user_id": "u", "timestamp": times, "watch_ratio": 1.0, **columns})
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=list("abc")))


def test_recent_popularity_by_hand():
    data = dated([0, 2, 4, 4, 8], video_id=list("abbbc"))
    assert WindowedPopularity(days=4).fit(data).score(["x"]).tolist() == [[1, 3, 0]]
    assert WindowedPopularity(days=3).fit(data).score(["u"]).tolist() == [[1, 1, 0]]
    got = DecayedPopularity(half_life_days=2).fit(data).score(["x"])[0]
    np.testing.assert_allclose(got, [1, 0.5 + 2 * 0.25, 1 / 16])


def test_events_without_a_time_are_not_recent():
    data = dated([0, np.nan, 1], video_id=list("abc"))
    assert WindowedPopularity().fit(data).score(["x"]).tolist() == [[1, 0, 1]]
    data.interactions["timestamp"] = pd.NaT
    with pytest.raises(ValueError, match="nothing is recent"):
        DecayedPopularity().fit(data)


def test_rules_by_hand():
    minutes = [0, 5, 10, 100, 105, 0, 1]
    times = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(minutes, "min")
    frame = pd.DataFrame({"user_id": list("uuuuuvv"), "video_id": list("abcbabd")})
    frame = frame.assign(timestamp=times, watch_ratio=[1, 1, 0.5, 1, 1, 1, 1])
    # the order of the rows of a log means nothing
    frame = frame.iloc[[3, 6, 0, 2, 5, 4, 1]].reset_index(drop=True)
    data = SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=list("abcde")))
    model = SequentialRules(steps=2).fit(data)
    # sessions a b c | b a | b d: a->b 1, a->c .5 / 2, b->c .5, b->a 1, b->d 1
    rules = model.rules.toarray()
    np.testing.assert_allclose(rules[0], [0, 1, 0.25, 0, 0])
    np.testing.assert_allclose(rules[1], [1, 0, 0.5, 1, 0])
    assert not rules[2:].any()
    # u was last in session b a: rules of a, and half of those of b
    np.testing.assert_allclose(model.score(["u"])[0], [0.5, 1, 0.25 + 0.25, 0.5, 0])
    np.testing.assert_allclose(model.score_next(["b", "a"]), model.score(["u"])[0])
    assert model.recommend_next(["b"], k=1)["video_id"].tolist() == ["a"]
    # no rule starts from d alone
    np.testing.assert_array_equal(model.score_next(["d"]), model.popularity)


def test_a_session_id_decides():
    frame = pd.DataFrame({"user_id": "u", "video_id": list("abc"), "session_id": [1, 1, 2]})
    frame["timestamp"] = pd.date_range("2025-03-01", periods=3, freq="3h", tz="UTC")
    data = SimpleNamespace(
        interactions=frame.assign(watch_ratio=1.0), videos=pd.DataFrame(index=list("abc"))
    )
    assert SequentialRules().fit(data).rules.nnz == 1


@pytest.mark.parametrize("kind", ["knn", "ease", "als"])
def test_a_visitor_with_a_users_history_gets_the_users_scores(kind):
    model = MODELS[kind]().fit(groups())
    history = model.matrix[[5]]
    got = model.score_next(model.video_ids[history.indices], history.data)
    np.testing.assert_allclose(got, model.score([model.user_ids[5]])[0], rtol=1e-3, atol=1e-5)


def test_last_events_by_hand():
    users, videos = np.array([0, 0, 0, 2]), np.array([5, 6, 7, 1])
    got = sasrec.last_events(users, videos, n_users=3, length=2)
    assert got.tolist() == [[6, 7], [-1, -1], [1, -1]]
    assert sasrec.shifted(np.array([[5, 6, 7], [1, -1, -1]]), 2).tolist() == [[6, 7], [1, -1]]


def test_the_transformer_never_looks_ahead():
    import torch

    torch.manual_seed(0)
    net = sasrec.SequenceModel(9, 6, 8, heads=2, layers=2, dropout=0.0).eval()
    one, other = torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([[1, 2, 3, 8, -1, -1]])
    torch.testing.assert_close(net(one)[:, :3], net(other)[:, :3])
    assert not torch.allclose(net(one)[:, 3:], net(other)[:, 3:])


def test_sasrec_learns_an_order_that_counts_cannot():
    # everybody watches all six videos; only the order tells what follows
    circles = [[(start + step) % 6 for step in range(5)] for start in range(6)] * 8
    rows = [(f"u{u:02d}", v) for u, circle in enumerate(circles) for v in circle]
    model = SASRec(length=5, dim=16, epochs=80, batch_size=16, dropout=0.0, learning_rate=3e-3)
    model.fit(library(rows, range(6)))
    for video in range(6):
        best = model.recommend_next([video], k=1)["video_id"].item()
        assert int(best) == (video + 1) % 6


def test_sasrec_leaves_the_random_state_alone():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    MODELS["sasrec"]().fit(groups())
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: WindowedPopularity(0), "days"),
        (lambda: DecayedPopularity(-1), "half_life"),
        (lambda: EASE(l2=0), "l2"),
        (lambda: ALS(factors=0), "factors"),
        (lambda: ALS(regularization=0), "regularization"),
        (lambda: ALS(cg_steps=0), "cg_steps"),
        (lambda: BPR(epochs=0), "epochs"),
        (lambda: BPR(learning_rate=0), "learning_rate"),
        (lambda: BPR(negatives="hard"), "negatives is 'hard'"),
        (lambda: SASRec(dim=10, heads=3), "share"),
        (lambda: SASRec(dropout=1.0), "dropout"),
        (lambda: SequentialRules(steps=0), "steps"),
    ],
)
def test_errors_say_what_is_wrong(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


# --- explanations ------------------------------------------------------------------------------


def contrasting(model, n, least):
    lengths = model.history_lengths
    return contrasting_users(model.user_factors, model.user_ids, n, lengths, least, center=False)


def test_contrasting_users_are_of_different_groups():
    model = ALS(factors=2, iterations=8).fit(groups())
    first, second = contrasting(model, n=2, least=3)
    assert int(first[1:]) % 2 != int(second[1:]) % 2
    assert len(contrasting(model, n=99, least=10**6)) == 40
    assert len(set(contrasting(model, n=40, least=0))) == 40


@pytest.mark.parametrize("kind", ["knn", "ease", "als"])
def test_reasons_of_a_list(kind):
    model = MODELS[kind]().fit(groups())
    got = explained_list(model, "u03", k=2, reasons=3)
    assert got["kind"].tolist() == ["because of"] * 3 + ["recommended"] * 2
    assert got["video_id"].tolist()[3:] == model.recommend("u03", k=2)["video_id"].tolist()
    history = set(model.video_ids[model.matrix[[3]].indices])
    assert set(got["video_id"][:3]) <= history
    assert got["share"].between(0, 1 + 1e-6).all()
    whole = explained_list(model, "u03", k=2, reasons=99)
    np.testing.assert_allclose(whole["share"][whole["kind"] == "recommended"], 1, rtol=1e-5)
    np.testing.assert_allclose(whole["share"][whole["kind"] == "because of"].sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("negatives", ["uniform", "popular"])
def test_negatives_could_have_been_shown(negatives):
    """The later half of the videos came after the last events of the first ten users."""
    data = groups()
    data.videos["published_at"] = START
    data.videos.loc[data.videos.index[10:], "published_at"] = START + pd.Timedelta("1D")
    early = data.interactions["user_id"] < "u10"
    data.interactions["timestamp"] = START + np.where(early, 0, 2) * pd.Timedelta("1D")
    model = BPR(factors=2, epochs=1, negatives=negatives).fit(data)
    rng = np.random.default_rng(0)
    batches = [
        batch for _ in range(20) for batch in triples(model.seen, rng, 64, negatives, model.online)
    ]
    u, _, j = (torch.cat(part).numpy() for part in zip(*batches, strict=True))
    assert (j[u < 10] < 10).all()
    assert (j[u >= 10] >= 10).any()
    assert len(u) > 0.8 * 20 * model.seen.nnz  # few are dropped
    free = BPR(factors=2, epochs=1).fit(data.interactions)  # without a catalogue: no times
    assert free.online is None


def test_worse_videos_are_drawn_alike_or_by_their_audience():
    """Video 0 has half of all entries, 1 to 10 have the rest; user 0 watched none but 11."""
    rows = np.append(np.repeat(np.arange(1, 11), 2), 0)
    columns = np.append(np.column_stack([np.zeros(10), np.arange(1, 11)]).ravel(), 11)
    matrix = sparse.csr_array((np.ones(21, "f4"), (rows, columns.astype(int))), shape=(11, 12))

    def drawn(negatives: str) -> np.ndarray:
        rng = np.random.default_rng(0)
        batches = [next(triples(matrix, rng, 999, negatives)) for _ in range(2000)]
        users, _, worse = (torch.cat(part).numpy() for part in zip(*batches, strict=True))
        assert not (matrix.toarray()[users, worse] > 0).any()
        counts = np.bincount(worse[users == 0], minlength=12)
        return counts / counts.sum()

    alike, audience = drawn("uniform"), drawn("popular")
    np.testing.assert_allclose(alike, np.append(np.full(11, 1 / 11), 0), atol=0.03)
    np.testing.assert_allclose(audience, np.append([1 / 2], np.append([1 / 20] * 10, 0)), atol=0.04)
