"""The embedded world: deterministic, whole or absent, and as it says it is."""

import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import vidrec_utils
from vidrec_utils import datasets, recommender, video_io
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.minitube import truth, world
from vidrec_utils.minitube.behavior import (
    WEIGHTS,
    draw_tastes,
    liking,
    shot_factors,
    skewed,
    video_factors,
)
from vidrec_utils.minitube.config import world_config
from vidrec_utils.minitube.metadata import write_metadata
from vidrec_utils.minitube.plan import plan_shots, plan_videos
from vidrec_utils.minitube.vocabulary import MOODS, MOTIONS, PACES

TINY = replace(
    world_config(), size="tiny", n_videos=60, n_users=80, n_uploaders=8, exposures_per_user=40.0
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny world, rendered once for the module."""
    return world.build_world(TINY, tmp_path_factory.mktemp("minitube"), progress=False)


def render_elsewhere(folder):
    """Start to render the small world in a process of its own, with two that work for it."""
    program = f"from vidrec_utils import minitube; minitube.build(root={str(folder)!r})"
    environment = os.environ | {"VIDREC_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True
    )


def workers_of(builder, folder):
    """Its descendants once clips are being rendered."""
    end = time.monotonic() + 120
    while not list(folder.rglob("*.mp4")):
        assert builder.poll() is None, builder.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    return psutil.Process(builder.pid).children(recursive=True)


def test_a_killed_worker_is_said_and_leaves_none(tmp_path):
    builder = render_elsewhere(tmp_path)
    workers = workers_of(builder, tmp_path)
    renderers = [each for each in workers if "resource_tracker" not in " ".join(each.cmdline())]
    renderers[0].kill()
    _, printed = builder.communicate(timeout=120)
    assert builder.returncode == 1
    last = printed.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: A process that renders MiniTube was ended; too little")
    assert "VIDREC_THREADS=1" in last
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


@pytest.fixture(scope="module")
def small_tables():
    """The tables of the default world, without clips."""
    return world.make_tables(world_config())


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the same seed gives the same world -------------------------------------------------------


def test_same_seed_gives_the_same_bytes_and_frames(tiny, tmp_path):
    again = world.build_world(TINY, tmp_path, progress=False)
    assert digests(tiny.parent) == digests(again.parent)
    clip = sorted((tiny / "clips").glob("*.mp4"))[0].name
    first, _ = video_io.read_clip(tiny / "clips" / clip)
    second, _ = video_io.read_clip(again / "clips" / clip)
    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_world():
    one, two = (plan_videos(replace(TINY, seed=seed)) for seed in (0, 1))
    assert not one["motion"].reset_index(drop=True).equals(two["motion"].reset_index(drop=True))


def test_unknown_size_and_seed_are_refused():
    with pytest.raises(ValueError, match="small, large"):
        world_config("huge")
    with pytest.raises(ValueError, match="-1"):
        world_config(seed=-1)


# --- whole or absent --------------------------------------------------------------------------


def test_a_world_without_its_manifest_is_rendered_again(tiny, tmp_path):
    copy = tmp_path / TINY.name
    shutil.copytree(tiny.parent, copy)
    (copy / world.MANIFEST).unlink()
    (copy / "library" / "videos.csv").write_text("half a tab", encoding="utf-8")
    again = world.build_world(TINY, tmp_path, progress=False)
    assert digests(again.parent) == digests(tiny.parent)


def test_a_world_of_another_version_is_replaced(tiny, tmp_path):
    copy = tmp_path / TINY.name
    shutil.copytree(tiny.parent, copy)
    manifest = copy / world.MANIFEST
    old = json.loads(manifest.read_text(encoding="utf-8")) | {"version": -1}
    manifest.write_text(json.dumps(old), encoding="utf-8")
    again = world.build_world(TINY, tmp_path, progress=False)
    assert digests(again.parent) == digests(tiny.parent)


def test_a_world_that_lost_a_file_is_rendered_again(tiny, tmp_path):
    copy = tmp_path / TINY.name
    shutil.copytree(tiny.parent, copy)
    next((copy / "library" / "clips").glob("*.mp4")).unlink()
    again = world.build_world(TINY, tmp_path, progress=False)
    assert digests(again.parent) == digests(tiny.parent)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_a_killed_rendering_leaves_no_world_and_resumes(tiny, tmp_path):
    script = textwrap.dedent(f"""
        from dataclasses import replace
        from pathlib import Path
        from vidrec_utils.minitube import world
        from vidrec_utils.minitube.config import world_config
        tiny = replace(world_config(), size="tiny", n_videos=60, n_users=80, n_uploaders=8,
                       exposures_per_user=40.0)
        world.build_world(tiny, Path({str(tmp_path)!r}), progress=False)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    partial = tmp_path / f".{TINY.name}.partial" / "library" / "clips"
    deadline = time.monotonic() + 60
    while len(list(partial.glob("v*.mp4"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(partial.glob("v*.mp4")))
    assert 5 <= kept < 60, "the rendering was to be killed half way"
    assert not (tmp_path / TINY.name).exists(), "a killed rendering left a world that would load"
    (partial / ".v9.mp4.k3j2h1g0.part").mkdir()
    (partial / ".v9.mp4.k3j2h1g0.part" / "clip").write_bytes(b"half of a clip")
    again = world.build_world(TINY, tmp_path, progress=False)
    assert digests(again.parent) == digests(tiny.parent)
    assert list(again.parent.rglob(".*")) == []


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_the_workers_of_a_killed_builder_end(tmp_path):
    script = textwrap.dedent(f"""
        from dataclasses import replace
        from pathlib import Path
        from vidrec_utils.minitube import world
        from vidrec_utils.minitube.config import world_config
        world.build_world(world_config(), Path({str(tmp_path)!r}), progress=False)
    """)
    environment = {**os.environ, "VIDREC_THREADS": "2"}
    builder = subprocess.Popen([sys.executable, "-c", script], env=environment)
    clips = tmp_path / f".{world_config().name}.partial" / "library" / "clips"
    deadline = time.monotonic() + 120
    while not list(clips.glob("v*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.01)
    family = psutil.Process(builder.pid).children(recursive=True)
    assert len(family) >= 2, "the builder was to have workers"
    builder.kill()  # not waited for: a zombie must count as ended, too
    alive = psutil.wait_procs(family, timeout=20)[1]
    assert alive == []
    builder.wait()


# --- tables -----------------------------------------------------------------------------------


def test_sizes(small_tables):
    plan, tables = small_tables
    assert len(plan) == 400 + 11 + 16
    assert 900 <= tables["interactions"]["user_id"].nunique() <= 1_012
    human = int(tables["exposures"]["liking"].notna().sum())
    assert human == pytest.approx(1_000 * 98, rel=0.03)  # users times exposures a user
    assert human < len(tables["interactions"]) < 1.06 * human  # bots add a little


def test_latent_facts_are_independent(small_tables):
    plan, _ = small_tables
    pairs = [("category", "motion"), ("category", "scene"), ("topic", "motion")]
    for one, two in (*pairs, ("mood", "motion"), ("mood", "topic"), ("mood", "pace")):
        counts = pd.crosstab(plan[one], plan[two]).to_numpy()
        expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
        degrees = (counts.shape[0] - 1) * (counts.shape[1] - 1)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < degrees + 4 * np.sqrt(2 * degrees), f"{one} tells {two}"


def test_no_text_tells_the_motion_the_pace_or_the_mood():
    plan = plan_videos(world_config())
    text = " ".join(write_metadata(plan, world_config()).astype(str).to_numpy().ravel()).lower()
    words = set(re.findall(r"[a-z]+", text))
    telling = {word for motion in MOTIONS for word in motion.split("_")} - {"in", "out"}
    assert not words & (telling | set(PACES) | set(MOODS))


def test_both_audiences_have_a_long_tail(small_tables):
    log = small_tables[1]["interactions"]
    for column, least in (("user_id", 0.3), ("video_id", 0.4)):
        counts = log[column].value_counts().to_numpy()
        assert counts[: len(counts) // 5].sum() > least * counts.sum()


def test_some_videos_are_new_in_the_last_week(small_tables):
    plan, tables = small_tables
    log = tables["interactions"]
    cut = pd.Timestamp("2025-03-24", tz="UTC")
    before = set(log.loc[log["timestamp"].between("2025-03-03", cut), "video_id"])
    fresh = plan.index[plan["published_at"] >= cut]
    assert len(fresh) > 20
    assert not before & set(fresh) or len(before & set(fresh)) < 5  # spoiled timestamps only


def test_watching_follows_liking_and_position(small_tables):
    _, tables = small_tables
    log, shown = tables["interactions"], tables["exposures"]
    human = shown["liking"].notna() & log["watch_ratio"].notna()
    looked = human & shown["examined"].astype(bool)
    # no clip ends before it is left: the watch time without the end follows liking most closely
    without_end = np.log(shown.loc[looked, "uncensored_s"])
    assert np.corrcoef(without_end, shown.loc[looked, "liking"])[0, 1] > 0.6
    ratio = log.loc[looked, "watch_ratio"].clip(upper=1)
    assert 0.4 < np.corrcoef(ratio, shown.loc[looked, "liking"])[0, 1] < 0.7
    first = log.loc[human & (log["position"] == 1), "watch_ratio"].mean()
    tenth = log.loc[human & (log["position"] == 10), "watch_ratio"].mean()
    assert first > tenth + 0.1
    assert shown.loc[human, "propensity"].between(0, 1).all()


def test_comments_follow_liking(small_tables):
    _, tables = small_tables
    log, liked = tables["interactions"], tables["exposures"]["liking"]
    good = log["comment"].str.contains("love|adore|wonderful|喜欢了", na=False)
    bad = log["comment"].str.contains("not my thing|awful|boring|无聊", na=False)
    assert min(good.sum(), bad.sum()) > 10
    assert liked[good].mean() > 1 > -1 > liked[bad].mean()


def test_watching_has_the_shape_of_real_logs(small_tables):
    """KuaiRand-Pure: the ratio falls and the seconds rise with the duration; few likes."""
    plan, tables = small_tables
    log = tables["interactions"][tables["exposures"]["liking"].notna()]
    log = log[log["watch_ratio"].notna()]
    duration_s = (plan["n_frames"] / 16).loc[log["video_id"]].to_numpy()
    decile = pd.qcut(duration_s, 10, labels=False, duplicates="drop")
    ratio = log["watch_ratio"].groupby(decile).mean().to_numpy()
    seconds = (log["watch_ratio"] * duration_s).groupby(decile).mean().to_numpy()
    assert 0.55 < ratio[0] < 0.9
    assert 0.15 < ratio[-1] < 0.5 * ratio[0]
    assert (np.diff(ratio[::3]) < 0).all()
    assert (np.diff(seconds[::3]) > 0).all()
    assert 0.03 < log["liked"].mean() < 0.07
    assert 0.001 < log["shared"].mean() < 0.6 * log["liked"].mean()
    assert 0.01 < log["comment"].notna().mean() < 0.02
    assert (log["watch_ratio"] == 1).mean() > 0.02 < (log["watch_ratio"] > 1).mean()


def test_at_equal_liking_the_shorter_clip_is_finished_more_often(small_tables):
    plan, tables = small_tables
    log, shown = tables["interactions"], tables["exposures"]
    duration_s = (plan["n_frames"] / 16).loc[log["video_id"]].to_numpy()
    alike = shown["examined"].astype(bool) & shown["liking"].between(2, 3)
    finished = log["watch_ratio"] >= 1
    # At a liking of 2, the least, people leave at 1.5 exp(-4.32) = .02 a second, at 1.6 times that
    # for half a second, and at .13 for other reasons. So exp(-.02 * 1.8 - .13 * 1.5) = .79 reach
    # the end of 1.5 s, about.
    assert finished[alike & (duration_s < 1.5)].mean() > 0.75
    # However much they like it, exp(-.13 * 5) = .52 at most stay for more than 5 s.
    assert finished[alike & (duration_s > 5)].mean() < 0.52


def test_the_platform_favours_some_durations(small_tables):
    plan, tables = small_tables
    duration_s = plan.loc[plan["playable"], "n_frames"] / 16
    shows = tables["interactions"]["video_id"].value_counts()
    shows = np.log1p(shows.reindex(duration_s.index, fill_value=0))
    favoured = duration_s.between(1.8, 3.8)
    assert shows[favoured].mean() > shows[~favoured].mean()


def test_every_video_that_was_online_for_a_week_was_shown(small_tables):
    plan, tables = small_tables
    shows = tables["interactions"]["video_id"].value_counts()
    online = plan.index[plan["playable"] & (plan["published_at"] < "2025-03-24")]
    assert shows.reindex(online, fill_value=0).min() >= 3


def test_the_events_of_a_session_follow_each_other(small_tables):
    _, tables = small_tables
    log = tables["interactions"]
    human = log[tables["exposures"]["liking"].notna()]
    times = tables["exposures"]["timestamp"].loc[human.index]  # before some were spoiled
    steps = times.groupby(human["session_id"]).diff().dropna().dt.total_seconds()
    assert steps.min() >= 1
    assert steps.median() < 5


def test_the_log_of_first_slots_holds_the_chances_of_the_truth(small_tables):
    _, tables = small_tables
    log, shown, public = (tables[name] for name in ("interactions", "exposures", "first_slots"))
    assert list(public.columns) == ["session_id", "video_id", "probability"]
    assert public["session_id"].is_unique
    first = log[log["position"] == 1].join(shown["propensity"])
    both = public.merge(first, on=["session_id", "video_id"])
    assert len(both) == len(public)
    np.testing.assert_array_equal(both["probability"], both["propensity"])
    sessions = first["session_id"].nunique()
    assert 0.85 * sessions < len(public) < 0.95 * sessions
    # of n videos, those with a chance below p are drawn with a chance below n p in all
    for chance in (1e-5, 1e-4, 1e-3):
        assert (public["probability"] < chance).mean() < 427 * chance


def test_liking_is_the_weighted_sum_of_its_factors():
    plan = plan_videos(TINY)
    shots = plan_shots(plan, TINY)
    tastes, factors = draw_tastes(TINY), video_factors(plan, shots)
    whole = liking(tastes, factors, 0.5)
    parts = sum(liking(tastes, factors, 0.5, only=(factor,)) for factor in WEIGHTS)
    np.testing.assert_allclose(whole, parts, atol=1e-4)
    # One user, one video, by hand for two factors.
    expected = WEIGHTS["quality"] * plan["quality"].iloc[2]
    assert liking(tastes, factors, 0.0, only=("quality",))[0, 2] == pytest.approx(
        expected, rel=1e-5
    )
    where = [list(MOTIONS).index(motion) for motion in shots["motion"]]
    expected = WEIGHTS["motion"] * tastes.start["motion"][7, where]
    of_shots = liking(tastes, shot_factors(plan, shots), 0.0, only=("motion",))[7]
    np.testing.assert_allclose(of_shots, expected, rtol=1e-5)


def test_nobody_hears_the_mood_of_a_silent_clip():
    plan = plan_videos(TINY)
    shots = plan_shots(plan, TINY)
    silent = plan.assign(has_sound=np.arange(len(plan)) != 3)
    tastes = draw_tastes(TINY)
    moods = liking(tastes, video_factors(silent, shots), 0.0, only=("mood",))
    heard = liking(tastes, video_factors(plan, shots), 0.0, only=("mood",))
    assert (moods[:, 3] == 0).all()
    np.testing.assert_array_equal(np.delete(moods, 3, axis=1), np.delete(heard, 3, axis=1))


def test_reuploads_have_the_shots_of_their_source(small_tables):
    plan, tables = small_tables
    copies = plan[plan["source_id"].notna()]
    for copy, source in copies["source_id"].items():
        assert tables["shots"].loc[copy].equals(tables["shots"].loc[source])


def test_shots_cover_their_clip_and_change_at_every_cut(small_tables):
    plan, tables = small_tables
    shots = tables["shots"]
    ends = shots.groupby(level="video_id", sort=False)["end_frame"].last()
    assert ends.equals(plan["n_frames"].rename("end_frame"))
    follows = shots.groupby(level="video_id")["end_frame"].shift(fill_value=0)
    assert (shots["first_frame"] == follows).all()
    views = shots[["subject", "scene", "motion"]]
    same = (views == views.groupby(level="video_id").shift()).all(axis=1)
    assert not same.any()
    assert plan["n_shots"].value_counts().index.sort_values().tolist() == [1, 2, 3]


def test_skewed_tastes_have_mean_0_and_variance_1_and_keep_their_order():
    draws = np.random.default_rng(0).normal(size=4_000_000)
    tastes = skewed(draws)
    assert tastes.dtype == np.float32
    # kurtosis of the log-normal with exponent .7: e^1.96 + 2 e^1.47 + 3 e^.98 - 3 = 20.8, so that
    # the variance of n draws has a standard error of sqrt(19.8 / n) = .0022
    assert tastes.mean(dtype=np.float64) == pytest.approx(0, abs=0.002)
    assert tastes.var(dtype=np.float64) == pytest.approx(1, abs=0.009)
    # its skewness: (e^.49 + 2) sqrt(e^.49 - 1) = 2.89
    assert (tastes.astype(np.float64) ** 3).mean() == pytest.approx(2.89, abs=0.2)
    grid = skewed(np.linspace(-4, 4, 801))
    assert (np.diff(grid) > 0).all()
    assert -grid[0] < 0.25 * grid[-1]  # aversions are milder than loves


def test_tastes_have_variance_1_on_both_days_and_only_the_style_is_not_skewed():
    tastes = draw_tastes(world_config())
    for day in (tastes.start, tastes.end):
        joint = day["category x motion"].astype(np.float64)  # the most values of all factors
        # Members of a community are alike, so that this averages 1,152 draws of a community's taste
        # rather than 96,000 of a user: a standard error of about .05.
        assert joint.var() == pytest.approx(1, abs=0.16)
        assert (joint**3).mean() > 2
        assert abs((day["style"].astype(np.float64) ** 3).mean()) < 0.3


def test_tastes_drift_but_not_beyond_recognition():
    tastes = draw_tastes(world_config())
    for factor in ("category", "motion"):
        one, two = tastes.start[factor].ravel(), tastes.end[factor].ravel()
        assert 0.8 < np.corrcoef(one, two)[0, 1] < 0.97


# --- dirt -------------------------------------------------------------------------------------


def test_planted_files_are_what_the_truth_says(tiny):
    known = truth.load(tiny)
    clips = tiny / "clips"
    for video_id, row in known.videos[known.videos["source_id"].notna()].iterrows():
        same = digests_equal(clips / f"{video_id}.mp4", clips / f"{row['source_id']}.mp4")
        assert same == (row["media"] == "exact_duplicate")
        assert row["published_at"] > known.videos.at[row["source_id"], "published_at"]
    for video_id in known.planted("empty_file"):
        assert (clips / f"{video_id}.mp4").stat().st_size == 0
    for video_id in known.planted("black"):
        assert video_io.sample_frames(clips / f"{video_id}.mp4", n=4).max() < 25
    for video_id in known.planted("text_as_video", "empty_file"):
        with pytest.raises(video_io.VideoError):
            video_io.probe(clips / f"{video_id}.mp4")


def digests_equal(one: Path, two: Path) -> bool:
    return one.read_bytes() == two.read_bytes()


def test_planted_fields_are_in_the_tables(tiny):
    known, library = truth.load(tiny), datasets.load_folder(tiny)
    for column in ("title", "tags", "category", "description", "duration_s"):
        missing = set(library.videos.index[library.videos[column].isna()])
        planted = known.dirt.query("kind == @kind", local_dict={"kind": f"missing_{column}"})
        assert missing == set(planted["id"])
    rows = sorted(int(row) for row in known.planted("timestamp_epoch_zero"))
    assert (library.interactions["timestamp"].iloc[rows].dt.year == 1970).all()
    assert known.planted("bot") <= set(library.users.index)
    assert not known.planted("bot") & set(known.tastes.users.index)


def test_truth_lies_row_by_row_beside_the_log(tiny):
    known, library = truth.load(tiny), datasets.load_folder(tiny)
    assert len(known.exposures) == len(library.interactions)
    impossible = known.dirt["kind"].str.startswith("timestamp_")
    spoiled = set(known.dirt.loc[impossible, "id"].astype(int))
    clean = ~known.exposures.index.isin(spoiled)
    same = known.exposures["timestamp"] == library.interactions["timestamp"]
    assert same[clean].all()
    assert not same[~clean].any()
    with pytest.raises(ValueError, match="was not planted"):
        known.planted("gremlins")


def test_the_library_says_nothing_of_the_truth(tiny):
    columns = set(pd.read_csv(tiny / "videos.csv").columns)
    secrets = {"motion", "pace", "scene", "subject", "topic", "mood", "n_shots", "has_sound"}
    assert not columns & (secrets | {"quality", "media"})
    assert {path.name for path in (tiny / "extras").iterdir()} == {
        "annotations.parquet",
        "first_slots.parquet",
    }
    found = {path.name for path in tiny.iterdir()}
    tables = {"videos.csv", "users.csv", "interactions.parquet", "library.json"}
    assert found == {*tables, "clips", "thumbnails", "extras"}
    assert datasets.load_folder(tiny).name == "minitube-tiny-0"


def test_annotations_are_right_and_only_of_a_part(tiny):
    known, labels = truth.load(tiny), datasets.load_folder(tiny).extras["annotations"]
    assert list(labels.columns) == ["video_id", "motion", "mood"]
    facts = known.videos.loc[labels["video_id"]].reset_index()
    for column in ("motion", "mood"):
        labelled = labels[column].notna()
        assert labels.loc[labelled, column].tolist() == facts.loc[labelled, column].tolist()
        assert 0.3 < labelled.mean() < 0.95
    assert (facts.loc[labels["motion"].notna(), "n_shots"] == 1).all()
    assert facts.loc[labels["mood"].notna(), "has_sound"].all()
    media = known.videos["media"].loc[labels["video_id"]]
    assert not set(media) & {"truncated", "text_as_video", "empty_file", "black"}
    assert 0.5 * TINY.n_videos < len(labels) < 0.95 * TINY.n_videos


def test_no_public_id_or_column_tells_a_bot(small_tables):
    _, tables = small_tables
    log, users, dirt = tables["interactions"], tables["users"], tables["dirt"]
    bots = set(dirt.loc[dirt["kind"] == "bot", "id"])
    theirs = log["user_id"].isin(bots)
    for column in ("session_id", "user_id"):
        shape = log[column].str.replace(r"\d", "9", regex=True)
        assert len(set(shape)) == 1, f"the form of {column} tells something"
    sessions = log["session_id"].str[1:].astype(int)
    assert sessions[theirs].between(sessions[~theirs].min(), sessions[~theirs].max()).all()
    assert len(set(users["language"].loc[list(bots)])) > 1


# --- no model reads the truth -----------------------------------------------------------------


def test_no_module_outside_minitube_imports_the_truth():
    package = Path(vidrec_utils.__file__).parent
    for path in package.rglob("*.py"):
        inside = path.relative_to(package).parts[0] == "minitube"
        if inside:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr != "truth", f"{path} reaches for the truth by another name"
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                # The doors that the world leaves open, and nothing behind them: `run` lets a policy
                # choose and returns a log and grades, never tastes; a drawing is of no world, and
                # the catalogue holds what a platform shows.
                public = ("build", "catalogue", "drawing", "run", "Policy", "Run", "Sessions")
                doors = ["vidrec_utils.minitube", *(f"vidrec_utils.minitube.{x}" for x in public)]
                assert "minitube" not in name or name in doors, f"{path} imports {name}"


def test_models_work_alike_where_the_truth_is_gone(tiny, tmp_path):
    copy = tmp_path / "world" / "library"
    shutil.copytree(tiny, copy)
    opened: list[str] = []
    scores = {}
    watching = True

    def watch(event: str, arguments: tuple) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.fsdecode(arguments[0]))

    sys.addaudithook(watch)
    for root in (tiny, copy):
        library = datasets.load_folder(root)
        vectors = pd.get_dummies(library.videos["category"]).astype("float32")
        models = [recommender.Popularity(), ItemKNN(), ContentRecommender(vectors)]
        scores[root] = [m.fit(library).score(library.users.index[:20]) for m in models]
    watching = False
    for with_truth, without in zip(scores[tiny], scores[copy], strict=True):
        np.testing.assert_array_equal(with_truth, without)
    assert any("videos.csv" in name for name in opened), "the hook saw what was read"
    assert not [name for name in opened if f"{os.sep}truth{os.sep}" in name]


def test_real_data_have_no_truth(tmp_path):
    with pytest.raises(FileNotFoundError, match="only the embedded world"):
        truth.load(tmp_path / "library")
