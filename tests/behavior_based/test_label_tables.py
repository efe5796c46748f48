"""Tables of what duration does to labels, on a platform whose liking is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from vidrec_utils.behavior_based import agreement_table, duration_table, label_table, liking_aucs
from vidrec_utils.behavior_based.label_tables import auc, same_share
from vidrec_utils.events import LABELS, fit_label


def platform(seed=0, n_users=200, per_user=80, n_videos=400):
    """People watch for longer what they like, and what lasts longer, with some noise."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"v{i}" for i in range(n_videos)])
    videos = pd.DataFrame({"duration_s": 0.8 * 10 ** rng.random(n_videos)}, index=ids)
    video = rng.integers(0, n_videos, n_users * per_user)
    durations = videos["duration_s"].to_numpy()[video]
    liking = rng.normal(size=len(video))
    wish = 0.6 * np.exp(liking + 0.6 * rng.normal(size=len(video))) * durations**0.4
    looped = rng.random(len(video)) < 0.3
    ratio = np.where(looped, wish, np.minimum(wish, durations)) / durations
    log = pd.DataFrame({"user_id": np.repeat(np.arange(n_users), per_user).astype(str)})
    log = log.assign(video_id=ids[video], watch_ratio=ratio)
    log["liked"] = rng.random(len(log)) < 1 / (1 + np.exp(5 - 2 * liking))
    return log, videos, liking


LOG, VIDEOS, LIKING = platform()


def test_the_table_of_labels_shows_what_duration_buys():
    table = label_table(LOG, VIDEOS, columns=["liked"], short_s=1.0, long_s=6.0)
    assert table.index.tolist() == [*LABELS, "liked"]
    assert table.at["ratio", "low"] > 0.6
    assert table.at["seconds", "high"] < 0.4
    for label in ("quantile", "own_history"):
        assert abs(table.at[label, "shorter_first"] - 0.5) < 0.02
    assert table.at["liked", "low"] < 0.5 < table.at["liked", "high"]
    assert np.isnan(table.at["liked", "likes"])
    durations = VIDEOS["duration_s"].loc[LOG["video_id"]].to_numpy()
    good = fit_label(LOG, VIDEOS, "quantile").positives(LOG).to_numpy()
    row = table.loc["quantile"]
    assert row["positive"] == pytest.approx(good.mean())
    assert row["short"] == pytest.approx(good[durations < 1].mean())
    assert row["long"] == pytest.approx(good[durations > 6].mean())
    once = np.minimum(LOG["watch_ratio"], 1)
    assert table.at["ratio", "likes"] == pytest.approx(roc_auc_score(LOG["liked"], once))
    assert table.at["seconds", "likes"] == pytest.approx(
        roc_auc_score(LOG["liked"], (once * durations).round(6))
    )


def test_exposures_without_a_duration_are_left_out_and_na_counts_neither_way():
    lacking = VIDEOS.copy()
    lacking.iloc[:100] = np.nan
    kept = LOG[LOG["video_id"].isin(VIDEOS.index[100:])]
    labels = ["quantile", "censored"]
    got = label_table(LOG, lacking, labels)
    pd.testing.assert_frame_equal(got, label_table(kept, VIDEOS, labels))
    label = fit_label(kept, VIDEOS, "censored").positives(kept)
    assert label.isna().any()
    assert got.at["censored", "positive"] == pytest.approx(label.dropna().mean())


def test_the_table_by_duration():
    table = duration_table(LOG, VIDEOS)
    assert len(table) == 10
    assert table["exposures"].sum() == len(LOG)
    assert table["duration_s"].is_monotonic_increasing
    assert table["seconds"].iloc[-1] > 2 * table["seconds"].iloc[0]
    assert table["ratio"].iloc[-1] < table["ratio"].iloc[0] / 1.5
    fair = duration_table(LOG, VIDEOS, "quantile")
    assert fair["positive"].max() - fair["positive"].min() < 0.1
    assert table["positive"].max() - table["positive"].min() > 0.2
    bare = duration_table(LOG.drop(columns="liked"), VIDEOS, groups=2)
    assert bare["liked"].isna().all()


def test_the_aucs_of_users_are_those_of_scikit_learn():
    aucs = liking_aucs(LOG, VIDEOS, LIKING, ["quantile", "censored"])
    for label in ("quantile", "censored"):
        positive = fit_label(LOG, VIDEOS, label).positives(LOG)
        for user in ("3", "57"):
            mine = ((LOG["user_id"] == user) & positive.notna()).to_numpy()
            expected = roc_auc_score(positive[mine].astype(bool), LIKING[mine])
            assert aucs.at[user, label] == pytest.approx(expected)
    alike = LOG.assign(watch_ratio=0.0, liked=False)
    assert liking_aucs(alike, VIDEOS, LIKING, ["ratio"])["ratio"].isna().all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_default_agrees_better_with_the_liking_than_ratio_and_seconds(seed):
    log, videos, liking = platform(seed)
    table = agreement_table(liking_aucs(log, videos, liking))
    assert table.at["quantile", "low ratio"] > 0
    assert table.at["quantile", "low seconds"] > 0
    assert table.at["ratio", "minus ratio"] == 0
    assert (table["users"] > 190).all()


def test_a_ratio_with_as_many_positives_as_another_label():
    rule = fit_label(LOG, VIDEOS, "quantile")
    same = same_share(LOG, VIDEOS, rule)
    assert same.label == "ratio"
    assert same.positives(LOG).mean() == pytest.approx(rule.positives(LOG).mean(), abs=0.01)
    aucs = liking_aucs(LOG, VIDEOS, LIKING, {"quantile": rule, "ratio, same share": same})
    assert aucs.columns.tolist() == ["quantile", "ratio, same share"]
    nobody = fit_label(LOG.assign(watch_ratio=0.0), VIDEOS, "seconds")
    assert same_share(LOG.assign(watch_ratio=0.0), VIDEOS, nobody).threshold == 0


def test_auc_of_scores():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 5, 200) / 5, rng.random(200) < 0.3
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    with_gap = np.append(scores, np.nan)
    assert auc(with_gap, np.append(positive, True)) == auc(scores, positive)
    assert np.isnan(auc(scores, np.ones(200, dtype=bool)))
