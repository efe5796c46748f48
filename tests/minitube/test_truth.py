"""What the truth says of detectors, and recommenders that know what no platform knows."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.evaluation import compare, evaluate
from vidrec_utils.minitube import truth, world, world_config
from vidrec_utils.minitube.behavior import exposure_logits, success_chance
from vidrec_utils.minitube.truth import score_detection
from vidrec_utils.preprocessing import split_by_time
from vidrec_utils.recommender import FixedScores, Popularity


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
    world = truth.Truth(videos=None, boxes=None, exposures=None, dirt=planted, tastes=None)
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
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "library").mkdir()
    (folder / "truth").mkdir()
    plan, tables = world.make_tables(CONFIG)
    tables["interactions"].to_parquet(folder / "library" / "interactions.parquet", index=False)
    (folder / "world.json").write_text(json.dumps(CONFIG.to_dict() | {"files": {}}))
    names = ("exposures", "dirt", "tastes")
    whole = truth.Truth(plan, plan[[]], **{name: tables[name] for name in names})
    truth.save(whole, folder / "truth")
    return truth.load(folder / "library"), tables["interactions"]


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
    logits = exposure_logits(watched[videos], judged, np.asarray(age_s)[None])[0]
    left = pd.Series(np.log(rows["propensity"].to_numpy()) - logits, rows["session_id"].to_numpy())
    spread = left.groupby(level=0).agg(lambda values: values.max() - values.min())
    assert len(spread) > 50
    assert spread.quantile(0.95) < 1e-3  # a few begin as an upload ceases to be fresh


def test_the_chance_of_a_success_is_that_of_the_log(known):
    read, log = known
    looked = read.exposures["examined"].astype(bool) & log["watch_ratio"].notna()
    expected = success_chance(read.exposures.loc[looked, "liking"].to_numpy(dtype=float))
    good = (log.loc[looked, "watch_ratio"] >= 0.8) | log.loc[looked, "liked"]
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        group = (expected >= low) & (expected <= high)
        assert group.sum() > 200
        assert good[group].mean() == pytest.approx(expected[group].mean(), abs=0.05)


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
    loose = truth.Truth(videos=None, boxes=None, exposures=None, dirt=None, tastes=None)
    now = pd.Timestamp("2025-03-20", tz="UTC")
    with pytest.raises(ValueError, match="read the truth with load"):
        loose.references(now, now)
