"""What the truth says of detectors, and recommenders that know what no platform knows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.evaluation import compare, evaluate
from vidrec_utils.minitube import truth, world, world_config
from vidrec_utils.minitube.behavior import exposure_logits
from vidrec_utils.minitube.truth import score_detection
from vidrec_utils.minitube.watching import success_chance, timeline
from vidrec_utils.preprocessing import split_by_time
from vidrec_utils.recommender import FixedScores, Popularity

NOTHING = dict.fromkeys(("videos", "shots", "boxes", "exposures", "dirt", "tastes"))


def test_reports_are_scored_by_index_in_the_log_and_by_id_elsewhere():
    columns = ["table", "row", "id", "problem"]
    # Rows 2 and 9 of the file have index 0 and 7 in the log; 0 and 3 were planted.
    rows = [
        ("interactions", 2, "u", "timestamp in the future"),
        ("interactions", 9, "u", "timestamp in the future"),
        ("videos", 5, "v", "broken file: empty"),
    ]
    dirt = [
        ("0", "timestamp_far_future"),
        ("3", "timestamp_far_future"),
        ("v", "empty_file"),
        ("w", "truncated"),
    ]
    kinds = {kind for group in truth.PLANTED_AS.values() for kind in group}
    others = [("elsewhere", kind) for kind in kinds - {kind for _, kind in dirt}]
    planted = pd.DataFrame(dirt + others, columns=["id", "kind"])
    world = truth.Truth(**NOTHING | {"dirt": planted})
    table = world.score_report(pd.DataFrame(rows, columns=columns))
    assert list(table.index) == list(truth.PLANTED_AS)
    assert tuple(table.loc["timestamp in the future"]) == (0.5, 0.5, 2)
    # Three kinds of dirt break a file; one of the three files was reported.
    assert tuple(table.loc["broken file"]) == (1.0, 1 / 3, 3)
    assert tuple(table.loc["black clip"]) == (1.0, 0.0, 1)


def test_detection_by_hand():
    score = score_detection(["a", "b", "b", "c"], ["b", "c", "d", "e"])
    assert score["precision"] == pytest.approx(2 / 3)
    assert score["recall"] == 0.5
    assert score["f1"] == pytest.approx(4 / 7)
    assert score["n"] == 4
    assert score_detection([], ["a"])["f1"] == 0.0
    assert score_detection([], [])["f1"] == 1.0
    assert score_detection(["a"], [])["precision"] == 0.0


# Recommenders that know what no platform knows ----------------------------------------------------

CONFIG = replace(world_config(seed=3), size="tiny", n_videos=120, n_users=300)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The truth of a world without clips, read from its folder, and its public log."""
    library = world.build_tables(CONFIG, tmp_path_factory.mktemp("worlds"))
    return truth.load(library), pd.read_parquet(library / "interactions.parquet")


def test_the_odds_are_those_with_which_the_platform_drew(known):
    """In a session, log chance minus the terms that we know is one number for all videos."""
    read, log = known
    day, start = 9, pd.Timestamp(CONFIG.start, tz="UTC")
    rows = read.exposures.join(log[["user_id", "video_id", "session_id"]])
    own = (rows["timestamp"] - start).dt.days == day
    rows = rows[own & rows["propensity"].notna() & (rows["propensity"] > 0)]
    # of two sessions of a user on a day, one saw a day that had begun
    once = rows.groupby("user_id")["session_id"].transform("nunique") == 1
    rows = rows[once]
    watched, misjudged = read._platform_on(day, CONFIG)
    users = read.tastes.users.index.get_indexer(rows["user_id"])
    videos = read.videos.index.get_indexer(rows["video_id"])
    begin = rows.groupby("session_id")["timestamp"].transform("min")
    age_s = (begin.array - read.videos["published_at"].array[videos]).total_seconds()
    judged = rows["liking"].to_numpy() + misjudged[users, videos]
    duration_s = read.videos["n_frames"].to_numpy()[videos] / CONFIG.fps
    logits = exposure_logits(watched[videos], judged, np.asarray(age_s)[None], duration_s)[0]
    left = pd.Series(np.log(rows["propensity"].to_numpy()) - logits, rows["session_id"].to_numpy())
    spread = left.groupby(level=0).agg(lambda values: values.max() - values.min())
    assert len(spread) > 50
    assert spread.quantile(0.95) < 1e-3  # a few begin as an upload ceases to be fresh


def liking_by_shot(read, log):
    """Liking of the shots of the video of each exposure, (exposures, shots of all videos)."""
    start = pd.Timestamp(CONFIG.start, tz="UTC")
    shown = read.exposures.assign(user=read.tastes.users.index.get_indexer(log["user_id"]))
    shown = shown[shown["examined"].astype(bool)]
    day = (shown["timestamp"] - start).dt.days
    for one, rows in shown.groupby(day):
        by_shot = read.preferences_by_shot((one + 0.5) / CONFIG.n_days).to_numpy()
        yield rows, by_shot[rows["user"]]


def test_the_chance_of_a_success_is_that_of_the_log(known):
    """Likings by shot, with the session's focus, give the chance that the log's views came from."""
    read, log = known
    clock = timeline(read.videos, read.shots, CONFIG.fps)
    least_s = np.minimum(1.5, 0.9 * clock.duration_s)
    video = read.videos.index.get_indexer(log["video_id"])
    watched_s = log["watch_ratio"].to_numpy() * clock.duration_s[video]
    good = (watched_s >= least_s[video]) | log["liked"].to_numpy()
    expected, happened = [], []
    for rows, by_shot in liking_by_shot(read, log):
        one = video[rows.index]
        # the focus is the same for all shots of a video: what is left of the exposure's liking
        whole = (clock.shares() @ by_shot.T).T[np.arange(len(rows)), one]
        by_shot = by_shot + (rows["liking"].to_numpy() - whole)[:, None]
        chance = success_chance(by_shot, clock, least_s)
        expected.append(chance[np.arange(len(rows)), one])
        happened.append(np.where(np.isnan(watched_s[rows.index]), np.nan, good[rows.index]))
    expected, happened = np.concatenate(expected), np.concatenate(happened)
    expected, happened = expected[~np.isnan(happened)], happened[~np.isnan(happened)]
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1)):
        group = (expected >= low) & (expected <= high)
        assert group.sum() > 200
        margin = 4 * 0.5 / np.sqrt(group.sum())
        assert happened[group].mean() == pytest.approx(expected[group].mean(), abs=margin)


def test_the_liking_of_a_video_is_the_mean_over_its_shots(known):
    read, _ = known
    by_shot, whole = read.preferences_by_shot(0.5), read.preferences(0.5)
    assert by_shot.columns.equals(read.shots.index)
    several = read.videos.index[read.videos["n_shots"] == 3][0]
    lengths = read.shots.loc[several, "end_frame"] - read.shots.loc[several, "first_frame"]
    expected = by_shot[several].to_numpy() @ (lengths / lengths.sum()).to_numpy()
    np.testing.assert_allclose(whole[several], expected, atol=1e-4)
    # mood is heard in the whole clip, and the scene is the shot's
    mood = read.preferences_by_shot(0.5, only=("mood",))[several]
    np.testing.assert_array_equal(mood.max(axis=1), mood.min(axis=1))
    with pytest.raises(ValueError, match="no factor \\['colour'\\]"):
        read.preferences_by_shot(only=("colour",))


def test_exposures_know_how_long_a_clip_without_end_would_have_been_watched(known):
    read, log = known
    duration_s = (read.videos["n_frames"] / CONFIG.fps).loc[log["video_id"]].to_numpy()
    looked = read.exposures["examined"].astype(bool) & log["watch_ratio"].notna()
    ratio, without_end = log["watch_ratio"][looked], read.exposures["uncensored_s"][looked]
    watched_s, duration_s = ratio * duration_s[looked], duration_s[looked]
    early, stopped, again = ratio < 1, ratio == 1, ratio > 1
    rounded = 0.0006 * duration_s
    assert (np.abs(watched_s - without_end)[early] < rounded[early]).all()
    assert (without_end >= duration_s - rounded)[stopped].all()
    assert (without_end > watched_s - rounded)[again].all()
    assert min(early.sum(), stopped.sum(), again.sum()) > 300
    glanced = ~read.exposures["examined"].astype(bool) & read.exposures["liking"].notna()
    assert read.exposures.loc[glanced, "uncensored_s"].between(0.05, 0.4).all()


def test_thresholds_of_other_videos_are_refused(known):
    read, _ = known
    now = pd.Timestamp("2025-03-20", tz="UTC")
    with pytest.raises(ValueError, match="least_s is indexed by video_id"):
        read.references(now, now, pd.Series({"elsewhere": 1.0}))


def test_knowing_the_odds_is_worth_something_beyond_taste(known):
    read, log = known
    log = log[log["timestamp"].between("2025-03-03", "2025-04-01", inclusive="left")]
    log = log[~log["user_id"].isin(read.planted("bot"))]
    split = split_by_time(log, read.videos[["published_at"]], validation=0.3, test=0.2)
    times = split.validation["timestamp"]
    models = [
        FixedScores(table, name)
        for name, table in read.references(times.min(), times.max()).items()
    ]
    assert [model.name for model in models] == [
        "knows every taste",
        "knows every taste and the exposure odds",
    ]
    taste, odds = (evaluate(model.fit(split), split, slices=False) for model in models)
    assert compare(odds, taste).low > 0
    popular = evaluate(Popularity().fit(split), split, slices=False)
    assert compare(taste, popular).low > 0.05


def test_odds_need_the_folder():
    loose = truth.Truth(**NOTHING)
    now = pd.Timestamp("2025-03-20", tz="UTC")
    with pytest.raises(ValueError, match="read the truth with load"):
        loose.references(now, now)
