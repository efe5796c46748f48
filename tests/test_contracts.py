"""What every recommender of every subject has to keep, whatever it learns from."""

import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.events import library
from tests.helpers.logs import catalogue, examples, logs
from tests.helpers.models import groups, recommenders, small
from vidrec_utils import events
from vidrec_utils import recommender as rec
from vidrec_utils.behavior_based import SessionRecommender
from vidrec_utils.evaluation import evaluate
from vidrec_utils.preprocessing import split_by_time

CLASSES = recommenders()
SESSIONS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, SessionRecommender)}
every_class = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)


@every_class
def test_same_seed_same_scores_and_saved_scores(cls, tmp_path):
    model = small(cls).fit(groups())
    users = [*model.user_ids, "nobody"]
    np.testing.assert_array_equal(small(cls).fit(groups()).score(users), model.score(users))
    loaded = rec.load(model.save(tmp_path))
    assert type(loaded) is cls
    assert loaded.parameters() == model.parameters()
    np.testing.assert_allclose(loaded.score(users), model.score(users), rtol=1e-6)
    if issubclass(cls, SessionRecommender):
        pd.testing.assert_frame_equal(
            loaded.recommend_next(["3"], 4), model.recommend_next(["3"], 4)
        )


@every_class
def test_users_and_videos_without_events_have_finite_scores(cls):
    data = groups()
    data.interactions.loc[data.interactions["user_id"] == "u01", "watch_ratio"] = 0.0
    model = small(cls).fit(data)
    assert np.isfinite(model.score([*model.user_ids, "nobody"])).all()
    lists = model.recommend(model.user_ids[:3], k=1000, exclude_seen=False)
    assert len(lists) == 3 * 20


@every_class
def test_a_log_without_any_weight_is_told(cls):
    data = groups()
    data.interactions["watch_ratio"] = 0.0
    with pytest.warns(UserWarning, match="No event weighs more than 0"):
        model = small(cls).fit(data)
    assert np.isfinite(model.score(["u00", "nobody"])).all()
    assert len(model.recommend(["u00"], k=3)) == 3
    with pytest.warns(UserWarning, match="No event weighs more than 0"):
        small(cls).fit(groups(), weights=np.zeros(len(data.interactions)))


def who_what_and_when():
    """The log of `groups`, in which some videos are watched more often, without any signal."""
    data = groups()
    log = data.interactions.drop(columns="watch_ratio")
    extra = log[log["video_id"].isin(["7", "15"])]
    data.interactions = pd.concat([log, extra]).sort_values("timestamp", ignore_index=True)
    return data


@every_class
@pytest.mark.parametrize("columns", [{}, {"watch_ratio": np.nan, "comment": None}])
def test_a_log_of_who_what_and_when_counts_every_event(cls, columns):
    data = who_what_and_when()
    data.interactions = data.interactions.assign(**columns)
    with pytest.warns(UserWarning, match="all events count alike") as caught:
        model = small(cls).fit(data)
    messages = [str(w.message) for w in caught]
    assert messages.count(events.NO_SIGNAL) == 1  # also by models that fit others
    assert not [message for message in messages if "more than 0" in message]
    counts = data.interactions["video_id"].value_counts().reindex(model.video_ids, fill_value=0)
    np.testing.assert_array_equal(model.popularity, counts.to_numpy())
    ones = small(cls).fit(data, weights=np.ones(len(data.interactions)))
    users = [*model.user_ids, "nobody"]
    np.testing.assert_array_equal(model.score(users), ones.score(users))
    frame = small(cls).fit(data.interactions)  # a frame alone knows the videos that occur in it
    assert np.isfinite(frame.score(users)).all()


@every_class
def test_a_log_of_who_what_and_when_is_evaluated_and_said_once(cls):
    data = who_what_and_when()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        split = split_by_time(data.interactions, data.videos, validation=0.2, test=0.2)
        result = evaluate(small(cls).fit(split), split, k=5, on="test", progress=False)
    assert [str(w.message) for w in caught].count(events.NO_SIGNAL) == 1
    assert result.protocol.relevant == "every exposure, since no signal says how it ended"
    asked = split.test[["user_id", "video_id"]].drop_duplicates()
    known = pd.concat([split.train, split.validation])[["user_id", "video_id"]].drop_duplicates()
    both = asked.merge(known, how="left", indicator=True)["_merge"]
    assert result.per_user["n_relevant"].sum() == (both == "left_only").sum()


@every_class
@pytest.mark.parametrize(
    ("rows", "n_videos"),
    [
        ([("u", 0), ("u", 1), ("u", 1)], 3),  # one user, a repeated exposure
        ([("u", 0), ("v", 0)], 1),  # one video
        ([("u", 0)], 1),
        ([], 2),  # nothing at all
    ],
)
def test_tiny_worlds(cls, rows, n_videos):
    model = small(cls).fit(library(rows, range(n_videos)))
    scores = model.score(["u", "nobody"])
    assert scores.shape == (2, n_videos)
    assert np.isfinite(scores).all()
    assert len(model.recommend(["u"], k=50, exclude_seen=False)) == n_videos


@every_class
def test_integer_and_string_ids_are_the_same(cls):
    data = groups()
    numbers = library([], data.videos.index)
    ids = data.interactions["video_id"].astype(int)
    numbers.interactions = data.interactions.assign(video_id=ids)
    numbers.videos = pd.DataFrame(index=[int(v) for v in data.videos.index])
    np.testing.assert_array_equal(
        small(cls).fit(numbers).score(["u00"]), small(cls).fit(data).score(["u00"])
    )


@every_class
def test_inputs_are_not_changed(cls):
    data = groups()
    before = data.interactions.copy()
    small(cls).fit(data)
    pd.testing.assert_frame_equal(data.interactions, before)


@every_class
def test_names_and_parameters(cls):
    model = small(cls)
    assert model.name
    assert set(model.parameters()) <= set(inspect.signature(cls).parameters)
    with pytest.raises(RuntimeError, match="is not fitted"):
        model.score(["u00"])


@pytest.mark.parametrize("name", SESSIONS)
def test_a_visitor_gets_next_videos(name):
    model = small(SESSIONS[name]).fit(groups())
    got = model.recommend_next(["3", "4", "not a video"], k=5)
    assert got["rank"].tolist() == [1, 2, 3, 4, 5]
    assert not {"3", "4"} & set(got["video_id"])
    for nothing in ([], ["not a video"]):
        np.testing.assert_array_equal(model.score_next(nothing), model.popularity)
    assert len(model.recommend_next([], k=99)) == 20
    assert len(model.recommend_next([3], k=99)) == 19
    with pytest.raises(ValueError, match="one weight"):
        model.score_next(["3"], weights=[1, 2])
    with pytest.raises(ValueError, match="at least 1"):
        model.recommend_next(["3"], k=0)


NEEDS_TIMES = {"DecayedPopularity", "WindowedPopularity", "Stacked"}


def fitted_on(cls, log, videos):
    """A model of any class on any log, or the message of its refusal."""
    data = SimpleNamespace(interactions=log, videos=videos)
    try:
        return small(cls).fit(data)
    except ValueError as error:
        return str(error)


@every_class
@examples(6)
@given(log=logs(), k=st.integers(1, 12), exclude=st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_any_log_gives_lists_that_keep_the_interface(cls, log, k, exclude):
    videos = pd.DataFrame(index=[*catalogue().index, *map(str, range(20))])
    before = log.copy()
    model = fitted_on(cls, log, videos)
    pd.testing.assert_frame_equal(log, before)
    if isinstance(model, str):
        assert cls.__name__ in NEEDS_TIMES
        assert "no timestamp" in model
        assert "timestamp" not in log or log["timestamp"].isna().all()
        return
    users = ["nobody", *log["user_id"].unique(), "nobody else"]
    scores = model.score(users)
    assert scores.shape == (len(users), len(videos))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    # each user alone, and in another order, has the same scores
    np.testing.assert_allclose(model.score(users[::-1])[::-1], scores, rtol=1e-4, atol=1e-5)
    lists = model.recommend(users, k=k, exclude_seen=exclude)
    assert not lists.duplicated(["user_id", "video_id"]).any()
    assert lists["video_id"].isin(videos.index).all()
    seen = set(zip(log["user_id"], log["video_id"], strict=True))
    for number, user in enumerate(users):
        own = lists[lists["user_id"] == user]
        watched = {video for name, video in seen if name == user} if exclude else set()
        assert len(own) == min(k, len(videos) - len(watched))
        assert own["rank"].tolist() == list(range(1, len(own) + 1))
        assert not set(own["video_id"]) & watched
        assert (np.diff(own["score"]) <= 0).all()
        # nothing that is left out has a higher score than what is listed
        left = scores[number][~videos.index.isin([*own["video_id"], *watched])]
        assert not len(left) or not len(own) or left.max() <= own["score"].min() + 1e-5


ORDERLESS = ["EASE", "ItemKNN", "Popularity", "ContentRecommender", "TermRecommender"]


@pytest.mark.parametrize("name", ORDERLESS)
@examples(15)
@given(log=logs(least=1), seed=st.integers(0, 99))
@pytest.mark.filterwarnings("ignore")
def test_the_order_of_rows_does_not_matter_to_sums(name, log, seed):
    videos = pd.DataFrame(index=[*catalogue().index, *map(str, range(20))])
    shuffled = log.iloc[np.random.default_rng(seed).permutation(len(log))]
    one, other = (fitted_on(CLASSES[name], rows, videos) for rows in (log, shuffled))
    users = [*one.user_ids, "nobody"]
    np.testing.assert_allclose(one.score(users), other.score(users), rtol=1e-4, atol=1e-5)
