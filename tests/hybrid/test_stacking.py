"""Stacking: what the ranker sees and learns, and never learns from; odd input; disk."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from tests.helpers.events import START, library
from vidrec_utils import recommender as rec
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.explanations import NotExplainable
from vidrec_utils.hybrid import Stacked, stacking


def world(n_users=40, n_videos=30, seed=0):
    """Everybody watches what a hidden table says they like: first five, then the next two."""
    rng = np.random.default_rng(seed)
    users, videos = [f"u{i:02d}" for i in range(n_users)], [f"v{i:02d}" for i in range(n_videos)]
    truth = pd.DataFrame(rng.normal(size=(n_users, n_videos)), index=users, columns=videos)
    order = np.argsort(-truth.to_numpy(), axis=1)
    rows = [(users[u], videos[order[u, r]]) for r in range(7) for u in range(n_users)]
    noise = pd.DataFrame(rng.normal(size=truth.shape), index=users, columns=videos)
    return library(rows, videos), rec.FixedScores(truth, "good"), rec.FixedScores(noise, "noise")


def test_the_ranker_learns_whom_to_trust():
    data, good, noise = world()
    model = Stacked([noise, good]).fit(data)
    weights = model.coefficients()
    assert model.learned
    assert weights["good score"] > 5 * abs(weights["noise score"])
    hits = model.recommend(data.interactions["user_id"].unique(), 3)
    best = good.fit(data).recommend(data.interactions["user_id"].unique(), 3)
    shared = hits.merge(best, on=["user_id", "video_id"])
    assert len(shared) > 0.8 * len(best)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_scores_are_what_the_classifier_says(kind, monkeypatch):
    data, good, noise = world()
    made = []
    name = {"linear": "LogisticRegression", "network": "MLPClassifier"}[kind]

    class Noting(getattr(stacking, name)):
        def fit(self, x, y):
            made.append(self)
            return super().fit(x, y)

    monkeypatch.setattr(stacking, name, Noting)
    model = Stacked([noise, good], kind, regularization=0.1).fit(data)
    x = stacking.features(model.member_scores(["u03", "u11"]), model.events)
    chance = made[0].predict_proba(((x - model.mean) / model.scale).reshape(60, -1))[:, 1]
    scores = model.score(["u03", "u11"]).ravel()
    np.testing.assert_allclose(expit(scores), chance, rtol=2e-3, atol=1e-6)


def test_features_by_hand():
    said = np.array([[[1.0, 2, 3, np.nan]], [[4, 4, 4, 4]]])
    got = stacking.features(said, np.array([0, 1, 3, 0]))
    low = np.sqrt(1.5)
    third = 60 / 63
    expected = [  # two scores, two ranks, two scores of rare videos, log events, rarity
        [-low, 0, third, 60 / 62.5, -low, 0, 0, 1],
        [0, 0, 60 / 62, 60 / 62.5, 0, 0, np.log(2), 1 / 2],
        [low, 0, 60 / 61, 60 / 62.5, low / 4, 0, np.log(4), 1 / 4],
        [-low, 0, third, 60 / 62.5, -low, 0, 0, 1],
    ]
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-7)


def test_features_of_what_a_member_knows_nothing_about():
    said = np.array([[[1.0, 2, 3, 99]], [[4, 5, 6, 9]]])
    unknown = np.array([[False, False, False, True], [False] * 4])
    events = np.array([2, 1, 3, 0])
    got = stacking.features(said, events, log_events=False, unknown=unknown)[0]
    assert got.shape == (4, 7)
    # the first member: three videos, mean 0; the mean of its ranks 1, 2 and 3 for the fourth
    low = np.sqrt(1.5)
    ranks = 60 / np.array([63.0, 62, 61])
    np.testing.assert_allclose(got[:, 0], [-low, 0, low, 0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got[:, 2], [*ranks, ranks.mean()], rtol=1e-6)
    np.testing.assert_allclose(got[:, 4], [-low / 3, 0, low / 4, 0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got[:, 6], [1 / 3, 1 / 2, 1 / 4, 1])
    plain = stacking.features(said[1:], events, log_events=False)[0]
    np.testing.assert_array_equal(got[:, [1, 3, 5, 6]], plain)


def test_members_that_know_events_alone_say_nothing_about_cold_videos(tmp_path):
    data, good, _ = world()
    data.interactions = data.interactions[data.interactions["video_id"] < "v25"]
    model = Stacked([good, ItemKNN()]).fit(data)
    cold = model.events == 0
    x = model._features(model.member_scores(pd.Index(["u03"])), model.events)[0]
    names = model.feature_names
    np.testing.assert_allclose(x[cold, names.index("item-knn score")], 0, atol=1e-6)
    assert np.ptp(x[cold, names.index("good score")]) > 0.5
    alone = Stacked([ItemKNN()]).fit(data)  # nobody could take over: its scores stay
    x = alone._features(alone.member_scores(pd.Index(["u03"])), alone.events)[0]
    assert x[cold, 0].max() < 0
    again = rec.load(model.save(tmp_path))
    assert again.leaves_cold


class Spy(rec.Popularity):
    """Popularity that notes what it was fitted on."""

    fits = []  # noqa: RUF012

    def __init__(self):
        self.name = "spy"

    def _fit_events(self, matrix, interactions, weights):
        self.fits.append((interactions, weights))


def test_the_parts_never_answer_for_events_that_they_saw():
    data, good, _ = world()
    Spy.fits.clear()
    events = data.interactions.sample(frac=1, random_state=0)  # any order
    weights = pd.Series(np.arange(len(events)) / 7, index=events.index)
    Stacked([Spy(), good], share=0.25).fit(
        SimpleNamespace(interactions=events, videos=data.videos), weights
    )
    (early, early_weights), (whole, _) = Spy.fits
    assert len(whole) == len(events)
    assert len(early) == 0.75 * len(events)
    later = events["timestamp"].sort_values().iloc[-len(events) // 4]
    assert early["timestamp"].max() < later
    pd.testing.assert_series_equal(
        early_weights, weights[early.index], check_names=False, check_dtype=False
    )


def test_nobody_learns_from_the_gap(monkeypatch):
    data, good, _ = world()
    events = data.interactions
    Spy.fits.clear()
    asked = []
    matrix = stacking.interaction_matrix
    monkeypatch.setattr(
        stacking, "interaction_matrix", lambda log, *rest: asked.append(log) or matrix(log, *rest)
    )
    Stacked([Spy(), good], share=0.25, gap=0.1).fit(data)
    times = events["timestamp"].sort_values().to_numpy()
    early = Spy.fits[0][0]
    assert len(early) == 0.65 * len(events)
    assert early["timestamp"].max() < times[int(0.65 * len(events))]
    later = [log for log in asked if log["timestamp"].min() > early["timestamp"].max()]
    assert len(later) == 1
    assert later[0]["timestamp"].min() >= times[int(0.75 * len(events))]
    assert len(Spy.fits[-1][0]) == len(events)  # in the end the parts learn from everything


def test_lessons_come_from_some_users_only(monkeypatch):
    data, good, noise = world()
    asked = []
    drawn = stacking.drawn
    monkeypatch.setattr(
        stacking, "drawn", lambda seen, *rest: asked.append(seen.shape[0]) or drawn(seen, *rest)
    )
    few = Stacked([noise, good], max_users=7).fit(data)
    assert sum(asked) == 7
    asked.clear()
    all_users = Stacked([noise, good], max_users=40).fit(data)
    assert sum(asked) == 40
    assert few.learned
    assert not np.array_equal(few.coefficients(), all_users.coefficients())


def test_an_explanation_adds_up():
    data, good, noise = world()
    model = Stacked([noise, good]).fit(data)
    scores = pd.Series(model.score("u05")[0], model.video_ids)
    for video in ("v03", "v17", scores.idxmax()):
        explanation = model.explain("u05", video)
        assert explanation.total == pytest.approx(scores[video], rel=1e-3, abs=1e-4)
        rows = explanation.table.set_index("reason")
        assert set(rows.index) == {"noise", "good", "events", "average video"}
        assert rows.loc[["noise", "good"], "kind"].tolist() == ["member", "member"]
        average = rows.loc["average video", "contribution"]
        assert average == pytest.approx(scores.mean(), rel=1e-3, abs=1e-4)
    # the planted table is all there is to know of the best video
    assert rows.loc["good", "contribution"] > 10 * abs(rows.loc["noise", "contribution"])
    with pytest.raises(KeyError, match="v99"):
        model.explain("u05", "v99")


def test_what_a_stacked_model_cannot_explain():
    data, good, _ = world()
    with pytest.raises(NotExplainable, match="network is not a sum"):
        Stacked([good], "network").fit(data).explain("u05", "v03")
    alone = Stacked([good]).fit(data)
    alone.members[0].video_ids = alone.members[0].video_ids.str.replace("v03", "gone")
    with pytest.raises(NotExplainable, match=r"No member .* 'v03'"):
        alone.explain("u05", "v03")


def test_the_cut_keeps_equal_times_together():
    times = START + pd.to_timedelta([0, 1, 1, 1, 2], "h")
    early, late = stacking.in_time(pd.DataFrame({"timestamp": times}), 0.4)
    assert (early | late).all()
    assert late.tolist() == [False, True, True, True, True]
    gap = pd.DataFrame({"timestamp": [times[0], pd.NaT, times[4]]})
    assert stacking.in_time(gap, 0.5)[1].tolist() == [False, False, True]


def test_a_random_share_is_drawn_where_there_are_no_times():
    data, good, _ = world()
    events = data.interactions.drop(columns="timestamp")
    Spy.fits.clear()
    untimed = SimpleNamespace(interactions=events, videos=data.videos)
    for seed in (0, 0, 1):
        with pytest.warns(UserWarning, match="random share"):
            Stacked([Spy(), good], share=0.25, seed=seed).fit(untimed)
    first, again, other = (Spy.fits[n][0] for n in (0, 2, 4))
    assert len(first) == 0.75 * len(events)
    pd.testing.assert_frame_equal(first, again)
    assert not first.index.equals(other.index)
    assert set(events.index[: len(first)]) != set(first.index)  # not the first rows


def test_lessons_hold_no_video_that_could_not_have_been_shown(monkeypatch):
    """The last five videos are published after everybody's last event."""
    data, good, noise = world()
    data.interactions = data.interactions[data.interactions["video_id"] < "v25"]
    times = data.interactions["timestamp"]
    data.videos["published_at"] = times.min()
    unborn = data.videos.index[-5:]
    data.videos.loc[unborn, "published_at"] = times.max() + pd.Timedelta("1D")
    drawn_pairs, drawn = [], stacking.drawn

    def noting(seen, targets, negatives, rng, published=None):
        row, column, label = drawn(seen, targets, negatives, rng, published)
        drawn_pairs.append((column[~label], published))
        return row, column, label

    monkeypatch.setattr(stacking, "drawn", noting)
    Spy.fits.clear()
    Stacked([good, noise, Spy()], negatives=50).fit(data)
    columns, published = drawn_pairs[0]
    assert len(columns) > 100
    assert not data.videos.index[columns].isin(unborn).any()
    assert not published[:, data.videos.index.get_indexer(unborn)].any()
    del data.videos["published_at"]
    Stacked([good, noise], negatives=50).fit(data)
    assert data.videos.index[drawn_pairs[1][0]].isin(unborn).any()


def test_popularity_is_counted_once():
    """Members of behaviour hold it already."""
    data, good, noise = world()
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), data.videos.index)
    content = ContentRecommender(vectors)
    assert "log events" in Stacked([good, content]).fit(data).coefficients()
    for members in ([good, ItemKNN()], [rec.Popularity(), content]):
        model = Stacked(members).fit(data)
        assert not model.counts_events
        assert "log events" not in model.coefficients()
        assert "rarity" in model.coefficients()
        assert "log events" in Stacked(members, log_events=True).fit(data).coefficients()
    assert "log events" not in Stacked([good, noise], log_events=False).fit(data).coefficients()
    again = model.fit(data)  # a second fit decides anew
    assert not again.counts_events


def test_drawn_videos_are_new_to_the_user():
    from scipy import sparse

    seen = sparse.csr_array(np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]))
    right = sparse.csr_array(np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]))
    row, column, label = stacking.drawn(seen, right, 2, np.random.default_rng(0))
    assert row.tolist() == [0, 0, 0]  # the one liked and new, two others; the second user: none
    assert column[0] == 1
    assert set(column[1:]) < {2, 3, 4}
    assert label.tolist() == [True, False, False]
    published = np.array([[True, True, True, False, False]] * 2)  # which leaves one to draw
    row, column, label = stacking.drawn(seen, right, 2, np.random.default_rng(0), published)
    assert column.tolist() == [1, 2]
    assert label.tolist() == [True, False]


def test_cold_videos_gain_where_content_knows_them():
    """Cold videos are liked by content; behaviour is silent about them."""
    rng = np.random.default_rng(3)
    kinds = np.arange(40) % 2
    vectors = pd.DataFrame(np.c_[kinds * 2 - 1, rng.normal(0, 0.1, 40)], index=range(40))
    rows = []
    for turn in range(12):  # new videos all the time
        for user in range(30):
            choice = [v for v in range(2 * turn, 2 * turn + 10) if kinds[v] == user % 2]
            rows.append((f"u{user:02d}", rng.choice(choice)))
    data = library(rows, range(40))
    model = Stacked([ItemKNN(), ContentRecommender(vectors)]).fit(data)
    cold = np.flatnonzero(model.events == 0)
    assert len(cold) > 3
    scores = model.score(["u00", "u01"])[:, cold]
    assert scores[0, kinds[cold] == 0].min() > scores[0, kinds[cold] == 1].max()
    assert scores[1, kinds[cold] == 1].min() > scores[1, kinds[cold] == 0].max()


def test_nothing_to_learn_means_equal_say():
    one = rec.FixedScores(pd.DataFrame([[1.0, 2, 3]], index=["u"], columns=list("abc")), "one")
    model = Stacked([one, rec.Popularity()]).fit(library([("u", "a")], "abc"))
    assert not model.learned
    # one: -r 0 r (mean 0, deviation 1); popularity knows a alone, so it prefers nothing
    r = np.sqrt(1.5)
    np.testing.assert_allclose(model.score("u")[0], [-r / 2, 0, r / 2], rtol=1e-5, atol=1e-6)
    other = Stacked([one, rec.Popularity()]).fit(library([("u", "a"), ("v", "b")], "abc"), [3, 1])
    # popularity over a and b: 1 -1, and nothing about c
    expected = [(1 - r) / 2, -1 / 2, r / 2]
    np.testing.assert_allclose(other.score("u")[0], expected, rtol=1e-5, atol=1e-6)
    assert model.recommend("u", 99)["video_id"].tolist() == ["c", "b"]
    assert model.recommend("nobody", 99)["video_id"].tolist() == ["a", "b", "c"]


def test_one_user_one_video_no_events():
    model = Stacked([rec.Popularity()]).fit(library([("u", "a"), ("u", "a")], "a"))
    assert len(model.recommend("u", 5)) == 0
    assert model.recommend("x", 5)["video_id"].tolist() == ["a"]
    empty = Stacked([rec.Popularity()]).fit(library([], "ab"))
    assert empty.recommend("x")["video_id"].tolist() == ["a", "b"]


def test_signals_that_are_missing():
    data, good, noise = world()
    data.interactions["watch_ratio"] = np.nan
    assert Stacked([good, noise]).fit(data).learned  # every event counts
    with_times = Stacked([good, noise]).fit(data)
    for absent in (
        data.interactions.assign(timestamp=pd.NaT),
        data.interactions.drop(columns="timestamp"),
    ):
        data.interactions = absent
        with pytest.raises(ValueError, match=r"no timestamp.* gap .* ordered=True if the rows are"):
            Stacked([good, noise], gap=0.1).fit(data)
        with pytest.warns(UserWarning, match="learns from a random share"):
            at_random = Stacked([good, noise]).fit(data)
        assert at_random.learned
        weights = at_random.coefficients()
        assert weights["good score"] > 5 * abs(weights["noise score"])
        by_row = Stacked([good, noise], ordered=True).fit(data)
        pd.testing.assert_series_equal(by_row.coefficients(), with_times.coefficients())


def test_a_signal_that_is_missing_in_the_later_share_still_decides():
    """Likes came late, or went: what an event says is decided in the whole log."""
    data, good, noise = world()
    late = stacking.in_time(data.interactions, 0.25)[1]
    data.interactions.loc[late, "watch_ratio"] = np.nan
    assert not Stacked([good, noise]).fit(data).learned  # nobody liked anything later


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ranker": "trees"}, "'linear', 'network'"),
        ({"share": 1.0}, "between 0 and 1"),
        ({"negatives": 0}, "at least 1"),
        ({"max_users": 0}, "at least 1"),
        ({"share": 0.4, "gap": 0.6}, "below 1 - share, 0.6"),
        ({"gap": -0.1}, "from 0"),
        ({"regularization": 0}, "positive"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        Stacked([rec.Popularity()], **options)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_deterministic_by_seed_and_equal_from_disk(kind, tmp_path):
    data, _, _ = world()
    models = [ItemKNN(), rec.Random(2), rec.Popularity()]
    model = Stacked(models, kind, seed=4).fit(data)
    same, other = (Stacked(models, kind, seed=s).fit(data) for s in (4, 5))
    users = ["u01", "u20", "nobody"]
    np.testing.assert_array_equal(model.score(users), same.score(users))
    assert not np.array_equal(model.score(users), other.score(users))
    again = rec.load(model.save(tmp_path))
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    assert again.learned == model.learned
    np.testing.assert_array_equal(again.score(users), model.score(users))
    if kind == "network":
        with pytest.raises(ValueError, match="no coefficients"):
            again.coefficients()
    else:
        pd.testing.assert_series_equal(again.coefficients(), model.coefficients())


def test_the_lessons_are_what_the_ranker_was_fitted_on():
    data, good, noise = world()
    model = Stacked([good, noise]).fit(data)
    x, y = model.lessons(data)
    assert x.shape == (len(y), len(model.feature_names))
    assert np.allclose(x.mean(axis=0), model.mean, atol=1e-4)
    again = Stacked([good, noise]).lessons(data)  # before any fit
    assert np.array_equal(again[0], x)
    assert np.array_equal(again[1], y)
