"""Which videos compete: those that could have been shown, the same for every recommender."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.models import groups as grouped_log
from tests.helpers.models import recommenders, small
from vidrec_utils import evaluation
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.protocol import hash_blocks
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.preprocessing import ready_made_split, split_by_time
from vidrec_utils.recommender import FixedScores, Popularity, Random

DAYS = {day: pd.Timestamp(f"2025-03-{day:02d}", tz="UTC") for day in range(1, 30)}


def log(*rows):
    """Events from (user, video, day) triples, all watched to the end."""
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "day"])
    return frame.assign(timestamp=frame.pop("day").map(DAYS), watch_ratio=1.0)


def catalogue(**days):
    """Videos by the day of their publication; None: unknown."""
    times = [None if day is None else DAYS[day] for day in days.values()]
    index = pd.Index(list(days), name="video_id")
    return pd.DataFrame({"published_at": pd.to_datetime(times, utc=True)}, index=index)


TRAIN = log(("u", "a", 5), ("v", "b", 5))
LATER = log(("u", "b", 11), ("u", "c", 12), ("v", "a", 14))
# u's last event is on day 12 and v's on day 14: e is new to both, d to u; nobody knows when f came
VIDEOS = catalogue(a=1, b=1, c=2, d=13, e=15, f=None)
SPLIT = Split(TRAIN, LATER, None, VIDEOS, "by hand")


def scores(**rows):
    return pd.DataFrame(rows, index=list("abcdef"), dtype=float).T


SCORES = scores(u=[0, 1, 2, 6, 5, 4], v=[1, 0, 2, 6, 5, 4])


def result(split=SPLIT, k=2, **options):
    return evaluation.evaluate(FixedScores(SCORES).fit(split), split, k=k, **options)


def test_unpublished_videos_do_not_compete():
    got = result(k=6)
    assert got.top.loc["u"].dropna().tolist() == ["f", "c", "b"]
    assert got.top.loc["v"].dropna().tolist() == ["d", "f", "c", "a"]
    # relevant are b and c for u, at ranks 3 and 2, and a for v, at rank 4
    assert got.per_user["mrr"].tolist() == [1 / 2, 1 / 4]
    # one of u's three candidates is irrelevant, and all are on the list
    np.testing.assert_allclose(got.per_user["accuracy"], [2 / 3, 1 / 4])
    ranks = evaluation.ranks(FixedScores(SCORES).fit(SPLIT), SPLIT)
    assert ranks["rank"].tolist() == [2, 2, 4]
    assert ranks["n_candidates"].tolist() == [2, 2, 4]


def test_slices_the_audit_and_leak_checks_have_the_same_candidates():
    got = result(k=6)
    by_category = VIDEOS.assign(category=["x", "x", "x", "y", "y", "y"])
    sliced = result(replace(SPLIT, videos=by_category), k=6, by="category")
    assert "category: y" in sliced.slices
    assert sliced.slices["category: x"]["accuracy"].tolist() == [1, 1 / 2]
    # cold are c, d, e, f: u ranks f and c, d is unpublished for u
    assert got.slices["cold videos"]["mrr"].tolist() == [1 / 2]
    assert got.slices["cold videos"]["accuracy"].tolist() == [1 / 2]
    task = prepare(SPLIT)
    expected = [[0, 1, 1, 0, 0, 1], [1, 0, 1, 1, 0, 1]]
    assert task.candidates(slice(None)).astype(int).tolist() == expected
    assert task.candidates(np.array([1])).astype(int).tolist() == expected[1:]
    assert (task.hidden().toarray() == 1 - np.array(expected)).all()
    test = replace(SPLIT, validation=LATER[:0], test=LATER)
    assert not evaluation.leaks.tie_order(test, k=1)


def test_what_a_user_was_shown_was_online_whatever_its_clock_says():
    wrong = VIDEOS.assign(published_at=VIDEOS["published_at"].mask(VIDEOS.index == "c", DAYS[20]))
    got = result(replace(SPLIT, videos=wrong), k=6)
    assert got.top.loc["u"].dropna().tolist() == ["f", "c", "b"]
    assert got.top.loc["v"].dropna().tolist() == ["d", "f", "a"]  # v was never shown c
    assert "1 that were shown before their time of publication are kept" in str(got.protocol)
    # shown and left at once: no success, and yet a candidate
    left = LATER.assign(watch_ratio=[1.0, 0.1, 1.0])
    got = result(replace(SPLIT, videos=wrong, validation=left), k=6)
    assert got.top.loc["u"].dropna().tolist() == ["f", "c", "b"]


def test_the_protocol_says_which_videos_could_have_been_shown():
    words = result().protocol.candidates
    assert words == (
        "if published by the user's last event in the validation; 1 without a time of publication "
        "count as published"
    )
    assert f"candidates: all 6 videos ({words}) minus those shown to the user in train" in str(
        result().protocol
    )
    for videos in (VIDEOS[[]], VIDEOS.assign(published_at=pd.NaT)):
        bare = result(replace(SPLIT, videos=videos))
        assert bare.protocol.candidates == "no times of publication are known"
        assert bare.top.loc["u"].tolist() == ["d", "e"]
    timeless = replace(SPLIT, validation=LATER.drop(columns="timestamp"))
    got = result(timeless)
    assert (
        got.protocol.candidates
        == "the validation has no times, so those of publication say nothing"
    )
    assert got.top.loc["u"].tolist() == ["d", "e"]


def test_numbers_instead_of_times_matter_only_where_publication_is_known():
    numbered = replace(SPLIT, validation=LATER.assign(timestamp=[11, 12, 14]))
    with pytest.raises(ValueError, match="column timestamp holds int64"):
        result(numbered)
    got = result(replace(numbered, videos=VIDEOS[[]]))
    assert got.protocol.candidates == "no times of publication are known"


def test_other_candidates_are_another_protocol():
    earlier = VIDEOS.assign(published_at=VIDEOS["published_at"].mask(VIDEOS.index == "d", DAYS[3]))
    other = result(replace(SPLIT, videos=earlier))
    differences = result().protocol.differences(other.protocol)
    assert [line.split(":")[0] for line in differences] == ["candidates of the users (hash)"]
    # another time of publication that changes nobody's candidates changes nothing
    same = VIDEOS.assign(published_at=VIDEOS["published_at"].mask(VIDEOS.index == "e", DAYS[29]))
    assert result(replace(SPLIT, videos=same)).protocol == result().protocol


def test_every_recommender_has_the_same_candidates():
    models = [Popularity(), Random(seed=1), FixedScores(SCORES)]
    results = [evaluation.evaluate(model.fit(SPLIT), SPLIT, k=6) for model in models]
    for got in results:
        assert got.protocol == results[0].protocol
        assert set(got.top.loc["u"].dropna()) == set("bcf")
        assert set(got.top.loc["v"].dropna()) == set("acdf")


def test_the_hash_of_candidates_does_not_depend_on_blocks():
    rng = np.random.default_rng(0)
    matrix = rng.random((9, 13)) < 0.5
    whole = hash_blocks([matrix])
    assert hash_blocks([matrix[:4], matrix[4:]]) == whole
    matrix[8, 12] = ~matrix[8, 12]
    assert hash_blocks([matrix]) != whole


def test_times_without_a_zone_are_utc():
    plain = SPLIT
    for part in ("train", "validation"):
        frame = getattr(SPLIT, part)
        naive = frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None))
        plain = replace(plain, **{part: naive})
    naive = VIDEOS.assign(published_at=VIDEOS["published_at"].dt.tz_localize(None))
    assert result(replace(plain, videos=naive)).protocol == result().protocol


# What is masked ----------------------------------------------------------------------------------


def test_what_is_masked_for_the_test_can_be_chosen():
    split = Split(TRAIN, log(("u", "c", 8)), LATER, VIDEOS, "by hand")
    known = result(split, k=6, on="test")
    assert known.top.loc["u"].dropna().tolist() == ["f", "b"]
    train = result(split, k=6, on="test", masked="train")
    assert train.top.loc["u"].dropna().tolist() == ["f", "c", "b"]
    assert train.per_user["n_relevant"].tolist() == [2, 1]
    assert train.protocol.masked == "those shown to the user in train"
    # who is new, what is cold and how popular a history is does not change with the mask
    assert train.per_user["n_known"].tolist() == known.per_user["n_known"].tolist() == [2, 1]
    pd.testing.assert_series_equal(train.history, known.history)
    everything = log(("u", "a", 1), ("u", "c", 1), ("u", "f", 1), ("v", "d", 1), ("w", "a", 1))
    own = result(split, k=6, on="test", masked=everything)
    assert own.top.loc["u"].dropna().tolist() == ["b"]
    assert own.top.loc["v"].dropna().tolist() == ["f", "c", "a", "b"]
    assert own.protocol.masked == "those shown to the user in a log of its own"
    with pytest.raises(ValueError, match="masked is 'nothing'; choose from 'known', 'train'"):
        result(split, masked="nothing")


# The part ----------------------------------------------------------------------------------------


def test_validation_is_evaluated_unless_the_test_is_named():
    split = Split(TRAIN, LATER[:1], LATER[1:], VIDEOS, "by hand")
    assert result(split).protocol.part == "validation"
    assert evaluation.ranks(Popularity().fit(split), split)["video_id"].tolist() == ["b"]
    assert prepare(split).protocol.part == "validation"


def test_a_split_without_validation_says_what_to_do():
    split = ready_made_split(TRAIN, LATER)
    model = Popularity().fit(split)
    with pytest.raises(ValueError, match=r'has no interactions\. Say on="test" to measure on its'):
        evaluation.evaluate(model, split)
    assert evaluation.evaluate(model, split, on="test").protocol.part == "test"


# Several lengths ---------------------------------------------------------------------------------


def simulated(seed=0, n_users=60, n_videos=50):
    rng = np.random.default_rng(seed)
    users = np.repeat([f"u{i:02d}" for i in range(n_users)], 14)
    videos = np.concatenate([rng.permutation(n_videos)[:14] for _ in range(n_users)])
    frame = pd.DataFrame({"user_id": users, "video_id": [f"v{v:02d}" for v in videos]})
    frame["watch_ratio"] = rng.random(len(frame))
    frame["timestamp"] = DAYS[1] + pd.to_timedelta(rng.permutation(len(frame)), unit="h")
    table = pd.DataFrame({"category": list("xyxyz") * 10}, index=[f"v{v:02d}" for v in range(50)])
    hours = rng.integers(0, len(frame), n_videos)
    table["published_at"] = DAYS[1] + pd.to_timedelta(hours, unit="h")
    return split_by_time(frame, table, validation=0.3, test=0.2)


class Rounded(Random):
    """Few different scores, so that ties are everywhere."""

    name = "rounded"

    def _score_unknown(self, user_ids):
        return np.round(4 * super()._score_unknown(user_ids))


@pytest.mark.parametrize("ties", ["catalogue", "shuffled", "mid-rank"])
def test_several_lengths_in_one_pass_equal_one_at_a_time(ties):
    split = simulated()
    model = Rounded(seed=2).fit(split)
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), index=split.videos.index)
    options = {"ties": ties, "by": "category", "vectors": vectors}
    together = evaluation.evaluate(model, split, k=(20, 1, 5), **options)
    assert together.k == 20
    for k in (1, 5, 20):
        alone, one = evaluation.evaluate(model, split, k=k, **options), together.at(k)
        assert (one.k, one.protocol, one.coverage) == (k, alone.protocol, alone.coverage)
        pd.testing.assert_frame_equal(one.per_user, alone.per_user)
        pd.testing.assert_frame_equal(one.top, alone.top)
        pd.testing.assert_frame_equal(one.list_share, alone.list_share)
        assert list(one.slices) == list(alone.slices)
        for name, table in alone.slices.items():
            pd.testing.assert_frame_equal(one.slices[name], table)
    curve = together.by_length("recall")
    assert curve.index.tolist() == [1, 5, 20]
    assert (
        curve.loc[5, "low"] == evaluation.evaluate(model, split, 5, ties=ties).interval("recall")[1]
    )
    with pytest.raises(KeyError, match="Lists of 7 were not evaluated, only of 1, 5, 20"):
        together.at(7)


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="k is 0; it must be at least 1"):
        result(k=(5, 0))
    with pytest.raises(ValueError, match="k is empty"):
        result(k=())


# Cold, head and tail -----------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["validation", "test"])
def test_cold_means_no_event_before_the_part(on):
    split = simulated()
    split = replace(split, train=split.train[split.train["video_id"] > "v05"])
    split = replace(split, validation=split.validation[split.validation["video_id"] > "v02"])
    cold = evaluation.cold_videos(split, on)
    known = pd.concat([split.train, split.validation]) if on == "test" else split.train
    assert set(cold) == set(split.videos.index) - set(known["video_id"])
    got = evaluation.evaluate(Random().fit(split), split, on=on)
    shares = got.top.isin(cold).sum(axis=1) / got.top.notna().sum(axis=1)
    np.testing.assert_allclose(got.list_share["cold videos"], shares)


# Fitting once more -------------------------------------------------------------------------------

CLASSES = recommenders()


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_refit_learns_from_train_and_validation(cls):
    data = grouped_log()
    split = split_by_time(data.interactions, data.videos, validation=0.2, test=0.2)
    model = small(cls).fit(split)
    before = model.score(["u00", "nobody"])
    again = evaluation.refit(model, split)
    np.testing.assert_array_equal(model.score(["u00", "nobody"]), before)
    assert type(again) is cls
    assert again.name == model.name
    both = replace(split, train=split.known("test"), validation=None)
    expected = small(cls).fit(both).score(["u00", "nobody"])
    np.testing.assert_allclose(again.score(["u00", "nobody"]), expected, rtol=1e-5, atol=1e-6)


def test_refit_without_a_validation_part_and_with_weights():
    split = ready_made_split(TRAIN, LATER)
    assert evaluation.refit(Popularity(), split).popularity.tolist() == [1, 1, 0]
    split = Split(TRAIN, LATER[:1], LATER[1:], VIDEOS, "by hand")
    model = evaluation.refit(Popularity(), split, weights=pd.Series([3.0, 0.0, 2.0]))
    assert model.popularity.tolist() == [3, 2, 0, 0, 0, 0]
