"""What a duration is, groups of like duration, and what duration alone predicts."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from vidrec_utils.events import DurationGroups, durations_vary, exposure_durations, shorter_first


def log(*videos, **columns):
    return pd.DataFrame({"user_id": "u", "video_id": [*videos]}).assign(**columns)


def test_durations_come_from_the_log_first_and_from_the_videos_else():
    videos = pd.DataFrame({"duration_s": [3.0, 4.0]}, index=pd.Index([1, 2]))
    both = log("1", "2", "2", "9", duration_s=[np.nan, 5.0, 0.0, 7.0])
    before = both.copy()
    assert exposure_durations(both, videos).tolist() == [3, 5, 4, 7]
    pd.testing.assert_frame_equal(both, before)
    assert exposure_durations(log("1", "2"), videos["duration_s"]).tolist() == [3, 4]
    twice = pd.Series([3.0, 9.0], index=["1", "1"])
    assert exposure_durations(log("1"), twice).tolist() == [3]
    assert np.isnan(exposure_durations(log("1"), None)).all()
    assert np.isnan(exposure_durations(log("1"), pd.DataFrame(index=["1"]))).all()
    assert exposure_durations(log(), videos).tolist() == []


@pytest.mark.parametrize("bad", [0.0, -2.0, np.nan, np.inf, None])
def test_what_is_no_duration_is_unknown(bad):
    videos = pd.DataFrame({"duration_s": [bad, 4.0]}, index=["a", "b"])
    np.testing.assert_array_equal(exposure_durations(log("a", "b"), videos), [np.nan, 4])


def test_durations_that_look_like_milliseconds_are_reported():
    videos = pd.DataFrame({"duration_s": [15_000.0, 60_000.0, 200_000.0]}, index=["a", "b", "c"])
    with pytest.warns(UserWarning, match=r"16\.7 hours, so duration_s looks like milliseconds"):
        values = exposure_durations(log("a", "b", "c"), videos)
    assert values.tolist() == [15_000, 60_000, 200_000]


def test_a_few_wrong_durations_do_not_make_durations_vary():
    same = np.full(1000, 2.0)
    wrong = np.concatenate([same[:-40], [2000.0] * 20, [np.nan] * 20])
    assert not durations_vary(same)
    assert not durations_vary(wrong)
    assert not durations_vary(np.full(5, np.nan))
    assert not durations_vary(np.linspace(1, 1.2, 100))  # less than a fifth between the quantiles
    assert durations_vary(np.repeat([1.0, 2.0], 50))
    # a tenth of the exposures at one end, and no more, may differ without deciding
    assert not durations_vary(np.array([1.0] * 91 + [9.0] * 9))
    assert durations_vary(np.array([1.0] * 89 + [9.0] * 11))


def test_groups_are_quantiles_as_pandas_makes_them():
    durations = np.random.default_rng(0).lognormal(3, 1, 30_000).round(1)
    groups = DurationGroups(durations)
    assert len(groups) == 60
    np.testing.assert_array_equal(groups.of(durations), pd.qcut(durations, 60, labels=False))
    np.testing.assert_array_equal(groups.sizes, np.bincount(groups.of(durations)))


def test_groups_have_their_least_size_whatever_is_repeated():
    rng = np.random.default_rng(1)
    for n in (1, 150, 399, 400, 5000):
        values = rng.choice([1.0, 1.5, 2.0, 7.0, 30.0], n, p=[0.6, 0.02, 0.3, 0.05, 0.03])
        groups = DurationGroups(np.append(values, np.nan))
        assert groups.sizes.sum() == n
        assert len(groups) == 1 or groups.sizes.min() >= 200, n
        assert len(groups) <= max(1, n // 200)
    assert len(DurationGroups(np.full(9000, 2.0))) == 1
    assert len(DurationGroups(np.full(3, np.nan))) == 1
    with pytest.raises(ValueError, match="least is 0; it must be at least 1"):
        DurationGroups(values, least=0)


def test_the_first_and_last_group_hold_what_training_has_not_seen():
    groups = DurationGroups(np.arange(1.0, 1001), least=200)
    assert groups.of(np.array([0.001, 1e9, np.nan])).tolist() == [0, 4, -1]


def auc_by_ranks(durations, positive):
    rank, n = rankdata(-durations), positive.sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum())


def test_shorter_first_equals_the_rank_statistic():
    rng = np.random.default_rng(2)
    durations = rng.choice([1.0, 2, 3, 5, 8], 500)
    positive = rng.random(500) < 1 / durations
    auc, low, high = shorter_first(durations, positive, resamples=200)
    assert auc == pytest.approx(auc_by_ranks(durations, positive), abs=1e-12)
    assert low < auc < high
    unknown = np.append(durations, [np.nan, 4.0])
    label = pd.array([*positive, True, pd.NA], dtype="boolean")
    assert shorter_first(unknown, label, resamples=5)[0] == pytest.approx(auc, abs=1e-12)


def test_the_interval_of_videos_is_wider_than_that_of_exposures():
    rng = np.random.default_rng(3)
    videos = np.repeat(np.arange(40), 100)
    durations = rng.lognormal(2, 1, 40)[videos]
    popular = (rng.random(40) < 0.5)[videos]  # the videos differ, whatever they last
    positive = rng.random(4000) < np.where(popular, 0.6, 0.1)
    alone = shorter_first(durations, positive, resamples=200)
    together = shorter_first(durations, positive, videos, resamples=200)
    assert alone[0] == together[0]
    assert together[2] - together[1] > 3 * (alone[2] - alone[1])
    assert together[1] < 0.5 < together[2]


def test_shorter_first_of_one_class_says_nothing():
    for durations, label in (([1.0, 2], [True, True]), ([np.nan], [True]), ([], [])):
        assert np.isnan(shorter_first(np.array(durations), np.array(label, dtype=bool))).all()
