import numpy as np
import pandas as pd
import pytest

from vidrec_utils.preprocessing import difficulty
from vidrec_utils.preprocessing.behavior import user_features

START = pd.Timestamp("2025-03-01", tz="UTC")


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    n = 1200
    times = START + pd.to_timedelta(np.sort(rng.uniform(0, 2e6, n)), unit="s")
    return pd.DataFrame(
        {
            "user_id": rng.choice([f"u{k}" for k in range(25)], n),
            "video_id": rng.choice([f"v{k}" for k in range(90)], n),
            "timestamp": times,
            "watch_ratio": rng.random(n),
        }
    )


def test_edits_lose_the_share_that_they_say():
    clip = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 40, 80, 3), np.uint8)
    assert difficulty.edited(clip, "cropped", 0.2).shape == (20, 32, 64, 3)
    assert difficulty.edited(clip, "trimmed", 0.25)[0, 0, 0, 0] == 5
    covered = difficulty.edited(clip, "captioned", 0.25)
    assert (covered[:, :30] == clip[:, :30]).all()
    assert not (covered[:, 30:] == clip[:, 30:]).all()
    hurried = difficulty.edited(clip, "played faster", 0.5)
    assert len(hurried) == 10
    assert hurried[[0, -1], 0, 0, 0].tolist() == [0, 19]  # the whole clip, in half of the time
    for edit in difficulty.EDITS:
        assert difficulty.edited(clip, edit, 0.0) is clip
    with pytest.raises(ValueError, match="share is 1"):
        difficulty.edited(clip, "cropped", 1)
    with pytest.raises(ValueError, match="edit"):
        difficulty.edited(clip, "turned", 0.1)


def test_copies_are_searched_among_other_clips():
    rng = np.random.default_rng(0)
    clips = {}
    for name in ("a", "b"):  # a square that moves over a scene of its own
        scene = rng.integers(0, 120, (4, 4, 3)).repeat(16, 0).repeat(16, 1)
        frames = np.repeat(scene[None], 16, axis=0).astype(np.uint8)
        for k in range(16):
            frames[k, 24:40, 3 * k : 3 * k + 16] = 250
        clips[name] = frames if name == "a" else frames[:, ::-1, ::-1]
    table = difficulty.detect_copies(clips, "trimmed", 0.0, edge=64)
    assert table["found"].tolist() == [True, True]
    assert not table["alarm"].any()
    assert not difficulty.detect_copies(clips, "trimmed", 0.6, edge=64)["found"].any()


def test_noise_is_found_where_there_is_much():
    clip = np.full((8, 48, 48, 3), 128, dtype=np.uint8)
    assert [
        bool(difficulty.detect_noise({"v": clip}, sigma)["found"]["v"]) for sigma in (0, 2, 25)
    ] == [False, False, True]


def test_bots_imitate_people_more_and_more(people):
    spread = []
    for disguise in (0.0, 0.5, 1.0):
        log, bots = difficulty.add_bots(people, disguise, n=4, exposures=100)
        assert len(log) == len(people) + 400
        assert (log["user_id"].isin(bots)).sum() == 400
        features = user_features(log).loc[bots]
        assert (features["exposures"] == 100).all()
        spread.append(features[["watch_spread", "interval_cv", "longest_sitting"]].mean())
    table = pd.DataFrame(spread)
    assert table["watch_spread"].iloc[1:].min() > 0.5  # people's ratios are uniform here
    assert table["interval_cv"].is_monotonic_increasing
    assert table["longest_sitting"].is_monotonic_decreasing
    assert table["watch_spread"].iloc[0] == 0  # always the same ratio
    assert np.isclose(table["interval_cv"].iloc[0], 0, atol=1e-6)  # a timer
    with pytest.raises(ValueError, match="disguise"):
        difficulty.add_bots(people, 1.5)


def test_detectors_accuse_what_is_plain(people):
    accused = difficulty.detect_bots(people, 0.0, n=3)
    assert accused.index[accused].tolist() == ["bot00", "bot01", "bot02"]
    busiest = difficulty.detect_bots(people, 0.0, "busiest", n=3)  # 200 exposures, people have 48
    assert busiest.index[busiest].tolist() == ["bot00", "bot01", "bot02"]
    assert len(difficulty.detect_bots(people, 1.0, "forest", n=3)) == 28
    with pytest.raises(ValueError, match="detector"):
        difficulty.detect_bots(people, 0.0, "oracle")


def test_the_record_holds_every_detector():
    table = difficulty.recorded()
    assert set(table["detector"]) == {"copies", "noise", "bots", "whole"}
    assert (table["found"] <= table["of"]).all()
    assert (table["alarms"] >= 0).all()
    assert set(table.query("detector == 'copies'")["kind"]) == set(difficulty.EDITS)
    assert table.query("detector != 'bots'")["seed"].min() == difficulty.SECOND_SEED
