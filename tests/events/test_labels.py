"""Labels by hand, where they agree, what they refuse, and on logs of real platforms."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import CensoredData, ecdf, norm

from tests.helpers import real_data
from vidrec_utils import datasets, evaluation
from vidrec_utils.events import (
    LABELS,
    LabelRule,
    event_weights,
    exposure_durations,
    fit_label,
    positives,
    shorter_first,
)
from vidrec_utils.events.quantiles import kaplan_meier_quantile

VIDEOS = pd.DataFrame({"duration_s": [10.0, 20.0, 100.0]}, index=["a", "b", "c"])


def log(videos, ratios, users="u", **columns):
    """Exposures, one letter a video."""
    frame = pd.DataFrame({"user_id": users, "video_id": [*videos], "watch_ratio": ratios})
    return frame.assign(**columns)


def platform(seed=0, n=6000, n_users=60, n_videos=300, loops=0.1, spread=10.0):
    """A log in which taste decides how many seconds of its duration somebody watches."""
    rng = np.random.default_rng(seed)
    ids = [f"v{i}" for i in range(n_videos)]
    videos = pd.DataFrame({"duration_s": 2.0 * spread ** rng.random(n_videos)}, index=ids)
    user, video = rng.integers(0, n_users, n), rng.integers(0, n_videos, n)
    durations = videos["duration_s"].to_numpy()[video]
    liking = rng.normal(size=n)
    wish = np.exp(liking) * durations**0.5
    ratio = wish / durations
    ended = (ratio > 1) & (rng.random(n) > loops)
    ratio = np.round(np.where(ended, 1.0, ratio), 3)
    columns = {"liked": rng.random(n) < 0.02, "liking": liking}
    return log([ids[v] for v in video], ratio, [f"u{u}" for u in user], **columns), videos


# --- by hand ------------------------------------------------------------------------------------


def test_quantile_compares_with_videos_of_like_duration():
    train = log("aaaacccc", [0.1, 0.2, 0.3, 0.4, 0.01, 0.02, 0.03, 0.04])
    rule = fit_label(train, VIDEOS, "quantile", least_exposures=4)
    assert rule.least_s(np.array([10.0, 5.0, 100.0, 1000.0, np.nan])).tolist()[:4] == [3, 3, 3, 3]
    assert np.isnan(rule.least_s(np.nan))
    assert rule.positives(train).tolist() == [False, False, True, True] * 2
    # 20 s belong to the second group, whose durations are above 10 s
    assert rule.positives(log("abc", [0.3, 0.15, 0.029])).tolist() == [True, True, False]
    assert rule.by_duration()["exposures"].tolist() == [4, 4]
    assert "75% quantile of videos of like duration (2 groups of duration" in rule.words
    assert "learned from 8 training exposures" in rule.words


def test_seconds_prefers_long_videos_and_ratio_short_ones():
    train = log("aaaacccc", [0.1, 0.2, 0.3, 0.9, 0.05, 0.06, 0.07, 0.08])  # 1..9, 5..8 s
    assert fit_label(train, VIDEOS, "seconds").positives(train).tolist() == [
        *[False, False, False, True],
        *[False, False, True, True],
    ]
    assert fit_label(train, VIDEOS, "ratio").positives(train).sum() == 1
    assert fit_label(train, VIDEOS, "seconds").least_s(np.array([1.0, 50.0])).tolist() == [7, 7]
    assert fit_label(train, VIDEOS, "ratio").least_s(50.0) == 40


def test_gain_standardises_within_groups():
    train = log("aaaacccc", [0.1, 0.2, 0.3, 0.4, 0.1, 0.11, 0.12, 0.3])
    rule = fit_label(train, VIDEOS, "gain", least_exposures=4)
    seconds = np.array([[1.0, 2, 3, 4], [10, 11, 12, 30]])
    z = (seconds - seconds.mean(axis=1, keepdims=True)) / seconds.std(axis=1, keepdims=True)
    np.testing.assert_allclose(rule.strength(train), z.ravel())
    least = np.sort(z.ravel())[5]  # the sixth of eight: three quarters do not exceed it
    assert rule.positives(train).tolist() == (z.ravel() >= least).tolist()
    expected = seconds.mean(axis=1) + least * seconds.std(axis=1)
    np.testing.assert_allclose(rule.least_s(np.array([10.0, 100.0])), expected)


def test_censored_counts_a_completed_view_neither_way():
    # all last 10 s: three leave early, two are stopped by the end, three loop
    ratios = [0.1, 0.2, 0.3, 1.0, 1.0, 1.5, 2.0, 3.0]
    train = log("a" * 8, ratios)
    rule = fit_label(train, VIDEOS, "censored")
    # S: 7/8, 6/8, 5/8; nobody leaves at 10 s; then 5/8 * 2/3, * 1/2 = .21: at 20 s
    assert rule.least_s(10.0) == 20
    got = rule.positives(train)
    assert got.dtype == "boolean"
    assert got.isna().tolist() == [False] * 3 + [True, True] + [False] * 3
    assert got.fillna(False).tolist() == [False] * 6 + [True, True]
    said = rule.positives(train.assign(liked=[None, None, None, True, None, None, None, None]))
    assert said.isna().sum() == 1  # a like decides
    disliked = rule.positives(train.assign(disliked=[False] * 3 + [True] * 5))
    assert disliked.isna().sum() == 0
    assert not disliked.any()


def test_where_most_views_end_with_the_video_censored_reaches_no_quantile():
    train = log("aaaa", [0.2, 1.0, 1.0, 1.0])
    rule = fit_label(train, VIDEOS, "censored")
    assert np.isinf(rule.least_s(10.0))
    assert rule.positives(train).tolist() == [False, pd.NA, pd.NA, pd.NA]
    assert "which in 1 groups, whose views mostly end with the video, is all" in rule.words


def test_kaplan_meier_agrees_with_scipy():
    rng = np.random.default_rng(0)
    times, ends = rng.exponential(3, 400).round(1), rng.exponential(4, 400).round(1)
    censored = ends < times
    seen = np.minimum(times, ends)
    data = CensoredData(uncensored=seen[~censored], right=seen[censored])
    survival = ecdf(data).sf
    for quantile in (0.25, 0.5, 0.75):
        expected = survival.quantiles[survival.probabilities <= 1 - quantile + 1e-9].min()
        assert kaplan_meier_quantile(seen, censored, quantile) == expected
    assert np.isinf(kaplan_meier_quantile(np.array([]), np.array([], dtype=bool), 0.5))


def test_own_history_compares_with_the_users_own_views():
    patient = log("a" * 12, np.arange(1, 13) / 20, "patient")
    hasty = log("a" * 12, np.arange(1, 13) / 100, "hasty")
    new = log("a" * 4, [0.05, 0.1, 0.3, 0.55], "new")
    train = pd.concat([patient, hasty, new], ignore_index=True)
    rule = fit_label(train, VIDEOS, "own_history")
    same = fit_label(train, VIDEOS, "quantile")
    got = rule.positives(train)
    # the ninth of twelve views is the smallest that three quarters do not exceed
    assert got[:12].tolist() == [False] * 8 + [True] * 4
    assert got[12:24].tolist() == [False] * 8 + [True] * 4
    assert got[24:].tolist() == same.positives(new).tolist()  # too few views of one's own
    assert (
        rule.positives(log("a", [0.5], "unknown")).tolist()
        == same.positives(log("a", [0.5], "unknown")).tolist()
    )
    # none of the hasty user's own views are of a video like c, ten times as long
    long = log("c", [0.04], "hasty")
    assert rule.positives(long).tolist() == same.positives(long).tolist()
    assert rule.strength(patient).iloc[-1] == pytest.approx(11.5 / 12)
    with pytest.raises(ValueError, match="no threshold in seconds for everybody"):
        rule.least_s(10.0)
    assert rule.by_duration()["least_s"].isna().all()


def test_the_default_is_decided_by_the_training_exposures():
    train, videos = platform()
    assert fit_label(train, videos).label == "quantile"
    assert fit_label(train, videos, threshold=0.5).label == "ratio"
    assert fit_label(train, None).label == "ratio"
    assert fit_label(train.iloc[:999], videos).label == "ratio"  # too few for like durations
    assert fit_label(train.drop(columns="watch_ratio"), videos).label == "ratio"
    flat = videos.assign(duration_s=2.0)
    flat.loc[flat.index[:6], "duration_s"] = 2000.0  # two per cent are wrong
    flat.loc[flat.index[6:18], "duration_s"] = np.nan
    assert fit_label(train, flat).label == "ratio"
    sparse = videos.copy()
    sparse.loc[sparse.index[: len(sparse) // 3], "duration_s"] = np.nan
    assert fit_label(train, sparse).label == "ratio"  # too many exposures could not be judged
    same = fit_label(train, videos, "gain")
    assert fit_label(train.iloc[:5], None, same) is same


def test_a_rule_learns_from_training_alone():
    train, videos = platform(seed=1)
    later, _ = platform(seed=2)
    rule = fit_label(train, videos)
    first = rule.positives(later)
    pd.testing.assert_series_equal(first[:50], rule.positives(later.iloc[:50]))
    changed = later.assign(watch_ratio=later["watch_ratio"] * 2)
    assert rule.positives(changed).sum() > first.sum()
    pd.testing.assert_series_equal(positives(later, videos, train=train), first)
    # fitted to its own exposures a quarter would be positive, whatever they are
    assert positives(changed, videos, "quantile").mean() == pytest.approx(0.25, abs=0.03)


# --- agreement and confounding --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_where_durations_do_not_vary_the_labels_agree_exactly(seed):
    train, videos = platform(seed=seed, spread=1.0, loops=1.0)  # nobody is stopped by the end
    assert fit_label(train, videos).label == "ratio"
    train = train[(train["watch_ratio"] - 1).abs() > 0.01]
    rules = {label: fit_label(train, videos, label) for label in ("quantile", "seconds", "gain")}
    least = rules["quantile"].least_s(2.0)
    rules["ratio"] = fit_label(train, videos, "ratio", threshold=float(least) / 2.0)
    rules["censored"] = fit_label(train, videos, "censored")
    reference = rules["quantile"].positives(train)
    assert 0.25 < reference.mean() < 0.28
    for label, rule in rules.items():
        got = rule.positives(train).astype(bool)
        pd.testing.assert_series_equal(got, reference, obj=label)
    own = fit_label(train, videos, "own_history").positives(train)
    assert 0.6 < (own == reference).mean() < 1  # it compares with other views


def test_duration_buys_ratio_and_seconds_but_not_quantile():
    train, videos = platform(n=20_000)
    durations = exposure_durations(train, videos)
    auc = {
        label: shorter_first(durations, fit_label(train, videos, label).positives(train))[0]
        for label in LABELS
    }
    assert auc["ratio"] > 0.6
    assert auc["seconds"] < 0.4
    for label in ("quantile", "own_history"):
        assert abs(auc[label] - 0.5) < 0.02, label


def test_strength_and_watch_signals_are_monotone_in_the_watch_time():
    train, videos = platform()
    for label in LABELS:
        rule = fit_label(train, videos, label)
        assert rule.strength(train).notna().all()
        for signal in ("percentile", "gain", "label"):
            if label == "ratio" and signal != "label":
                continue
            values = rule.watched(train, signal)
            assert values.between(0, 1).all()
    rule = fit_label(train, videos, "quantile")
    np.testing.assert_allclose(
        rule.watched(train, "gain"),
        norm.cdf(fit_label(train, videos, "gain").strength(train)),
    )
    np.testing.assert_array_equal(rule.watched(train, "percentile"), rule.strength(train))
    np.testing.assert_array_equal(rule.watched(train, "label"), rule.positives(train))
    with pytest.raises(ValueError, match="signal is 'smell'"):
        rule.watched(train, "smell")


# --- weights --------------------------------------------------------------------------------------


def test_weights_take_another_signal_of_the_watch_time():
    train, videos = platform(n=2000)
    rule = fit_label(train, videos, "quantile")
    plain = event_weights(train, watch=0)
    for signal in ("percentile", "gain", "label"):
        weights = event_weights(train, watch=2, signal=signal, rule=rule)
        np.testing.assert_allclose(weights - plain, 2 * rule.watched(train, signal))
    pd.testing.assert_series_equal(event_weights(train, rule=rule), event_weights(train))
    with pytest.raises(ValueError, match="give a rule of events"):
        event_weights(train, signal="gain")
    with pytest.raises(ValueError, match="choose from 'ratio', 'percentile', 'gain', 'label'"):
        event_weights(train, signal="smell", rule=rule)


def test_dislikes_overrule_all_else():
    views = log("abc", [1.0, 1.0, 0.1], disliked=pd.array([True, None, False], dtype="boolean"))
    views["liked"] = [True, False, True]
    for label in (None, "ratio", "seconds", "quantile"):
        assert positives(views, VIDEOS, label).tolist()[0] is False, label
    assert positives(views).tolist() == [False, True, True]
    assert event_weights(views).tolist() == [0, 1, 1.1]
    assert event_weights(views, dislike=2).tolist() == [-2, 1, 1.1]
    with pytest.raises(ValueError, match="dislike is -1; it must be at least 0"):
        event_weights(views, dislike=-1)
    assert fit_label(views, VIDEOS, "seconds").words.endswith("or liked, and not disliked")
    unsaid = views.drop(columns=["watch_ratio", "liked"])  # dislikes alone
    with pytest.warns(UserWarning, match="all events count alike"):
        assert event_weights(unsaid).tolist() == [0, 1, 1]
    with pytest.warns(UserWarning, match="all events count alike"):
        assert positives(unsaid).tolist() == [False, True, True]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [label for label in LABELS if label != "ratio"])
def test_a_label_refuses_data_that_lack_what_it_compares(label):
    views = log("ab", [0.5, 0.9])
    with pytest.raises(ValueError, match=f"The label '{label}' compares seconds watched, and no"):
        fit_label(views, None, label)
    with pytest.raises(ValueError, match="no training exposure with a watch_ratio has a usable"):
        fit_label(views, VIDEOS.assign(duration_s=0.0), label)
    with pytest.raises(ValueError, match="no training exposure has a watch_ratio"):
        fit_label(views.assign(watch_ratio=np.nan), VIDEOS, label)
    with pytest.raises(ValueError, match="leave it out, or say label="):
        fit_label(views, VIDEOS, label, threshold=0.5)


def test_other_arguments_that_are_refused():
    views = log("ab", [0.5, 0.9])
    with pytest.raises(ValueError, match="label is 'smell'; choose from 'quantile', 'ratio'"):
        fit_label(views, VIDEOS, "smell")
    with pytest.raises(ValueError, match=r"quantile is 1\.5; it must be between 0 and 1"):
        fit_label(views, VIDEOS, "quantile", quantile=1.5)
    with pytest.raises(ValueError, match="label 'ratio' compares how long"):
        fit_label(views.drop(columns="watch_ratio"), VIDEOS, "ratio")
    with pytest.raises(ValueError, match="training exposures have no column user_id"):
        fit_label(views.drop(columns="user_id"), VIDEOS, "own_history")
    assert fit_label(views.drop(columns="user_id"), VIDEOS, "quantile").n_train == 2
    rule = fit_label(views, None, "ratio")
    with pytest.raises(ValueError, match="signal 'gain' compares seconds watched"):
        event_weights(views, signal="gain", rule=rule)


@pytest.mark.parametrize("label", LABELS)
def test_an_exposure_of_unknown_watch_time_is_positive_only_if_liked(label):
    videos = pd.DataFrame({"duration_s": [10.0, 0.0, -3.0, np.nan]}, index=[*"abcd"])
    train = log("aaaabcd", [0.1, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1], liked=[False] * 7)
    rule = fit_label(train, videos, label)
    later = log("abcde", [np.nan, 0.7, 0.7, 0.7, 0.7], liked=[False, False, True, False, True])
    assert rule.positives(later).fillna(False).tolist() == [False, False, True, False, True]
    if label != "ratio":
        assert rule.n_unknown == 3
        assert "exposures of unknown watch time (3 in training) only if liked" in rule.words


@pytest.mark.parametrize("label", LABELS)
def test_one_event_a_group_and_one_view_a_user_are_defined(label):
    train = log("abc", [0.5, 0.4, 0.3], ["u", "v", "w"])
    rule = fit_label(train, VIDEOS, label, least_exposures=1)
    assert isinstance(rule, LabelRule)
    if label in ("quantile", "censored", "own_history"):
        assert len(rule.groups) == 3
        assert rule.positives(train).all()  # each is the quantile of its group
    if label == "gain":
        assert rule.strength(train).tolist() == [0, 0, 0]  # none deviates
        assert rule.positives(train).all()
    assert len(rule.positives(train.iloc[:0])) == 0
    assert rule.by_duration()["exposures"].sum() == 3


def test_milliseconds_change_no_label_but_the_unit():
    train, videos = platform()
    wrong = videos.assign(duration_s=videos["duration_s"] * 1e6)
    for label in ("quantile", "gain", "censored", "own_history"):
        with pytest.warns(UserWarning, match="looks like milliseconds"):
            got = fit_label(train, wrong, label).positives(train)
        same = fit_label(train, videos, label).positives(train)
        assert (got.fillna(False) == same.fillna(False)).mean() > 0.999, label


def test_an_index_that_repeats_and_numbers_as_ids_are_fine():
    train, videos = platform(n=1500)
    messy = train.set_axis(np.zeros(len(train), dtype=int))
    for label in LABELS:
        got = fit_label(messy, videos, label).positives(messy)
        expected = fit_label(train, videos, label).positives(train)
        assert got.index.equals(messy.index)
        assert got.fillna(False).tolist() == expected.fillna(False).tolist()
    numbers = log([1, 2, 1], [0.5, 0.6, 0.7], [7, 7, 8])
    catalogue = pd.DataFrame({"duration_s": [10.0, 20.0]}, index=[1, 2])
    rule = fit_label(numbers, catalogue, "seconds")
    assert rule.least_s(1.0) == 12  # of 5, 7 and 12
    assert rule.positives(numbers).tolist() == [False, True, False]


# --- real logs ------------------------------------------------------------------------------------


def test_labels_of_kuairand_are_those_of_the_published_table():
    library = datasets.load_kuairand(real_data.require("kuairand-pure"))
    views = library.interactions.drop_duplicates(["user_id", "video_id", "timestamp"])
    durations = exposure_durations(views, library.videos)
    views, durations = views[~np.isnan(durations)], durations[~np.isnan(durations)]
    assert len(views) == 218_876
    assert fit_label(views, library.videos).label == "quantile"
    table = {}
    for label in ("ratio", "quantile"):
        good = fit_label(views, library.videos, label).positives(views).to_numpy()
        auc = shorter_first(durations, good, resamples=2)[0]
        table[label] = [good.mean(), auc, good[durations < 15].mean(), good[durations > 200].mean()]
    np.testing.assert_allclose(table["ratio"], [0.211, 0.680, 0.366, 0.070], atol=5.1e-4)
    np.testing.assert_allclose(table["quantile"], [0.258, 0.505, 0.266, 0.256], atol=5.1e-4)


def test_explicit_dislikes_of_kuairand_are_negatives():
    folder = real_data.require("kuairand-27k-like-hate")
    table = pd.read_csv(folder / "processed_standard_kcore_15.tsv", sep="\t")
    duration = table["duration_ms"] / 1000
    views = pd.DataFrame(
        {
            "user_id": table["user_id"].astype(str),
            "video_id": table["video_id"].astype(str),
            "duration_s": duration,
            "watch_ratio": table["play_time_ms"] / 1000 / duration.where(duration > 0),
            "liked": table["label"] == 1,
            "disliked": table["label"] == 0,
        }
    )
    assert views["disliked"].sum() == 8083
    unheard = views.drop(columns="disliked")
    for label in (None, *LABELS):
        good = positives(views, label=label).fillna(False).to_numpy(dtype=bool)
        assert not good[views["disliked"]].any(), label
        assert good[views["liked"]].all(), label
        ignored = positives(unheard, label=label).fillna(False).to_numpy(dtype=bool)
        assert ignored[views["disliked"]].mean() > 0.05, label  # watched long, and hated
    weights = event_weights(views)
    assert (weights[views["disliked"]] == 0).all()
    assert (event_weights(views, dislike=1)[views["disliked"]] == -1).all()


def test_positives_of_evaluation_are_those_of_events():
    assert evaluation.positives is positives


def test_dislikes_and_durations_of_a_log_are_read_from_a_folder(tmp_path):
    (tmp_path / "videos.csv").write_text("video_id,title\nv1,Cats\nv2,Dogs\n")
    (tmp_path / "interactions.csv").write_text(
        "user_id,video_id,timestamp,watch_ratio,disliked,duration_s\n"
        "ann,v1,2025-03-03T12:00:00Z,1.0,yes,12.5\n"
        "ann,v2,2025-03-03T12:01:00Z,0.9,no,0\n"
        "bob,v2,2025-03-03T12:02:00Z,0.9,,30\n"
    )
    library = datasets.load(tmp_path)
    log = library.interactions
    assert log["disliked"].dtype == "boolean"
    assert log["disliked"].tolist() == [True, False, pd.NA]
    assert positives(log, library.videos).tolist() == [False, True, True]
    np.testing.assert_array_equal(exposure_durations(log, library.videos), [12.5, np.nan, 30])
    assert event_weights(log).tolist() == [0, 0.9, 0.9]
