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
from PIL import Image

import vidrec_utils
from vidrec_utils import datasets, recommender, video_io
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.minitube import truth, world
from vidrec_utils.minitube.behavior import WEIGHTS, draw_tastes, liking, video_factors
from vidrec_utils.minitube.config import world_config
from vidrec_utils.minitube.metadata import write_metadata
from vidrec_utils.minitube.motions import track
from vidrec_utils.minitube.plan import plan_videos
from vidrec_utils.minitube.rendering import render
from vidrec_utils.minitube.sprites import all_subjects, names, scaled_sprite, sprite
from vidrec_utils.minitube.vocabulary import MOTIONS, PACES, REVERSED

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


# --- clips ------------------------------------------------------------------------------------


def test_every_sprite_is_drawn_and_named_in_two_languages():
    for _, character in all_subjects():
        assert sprite(character).getbbox() is not None
        found = names(character)
        assert found["en"].strip() != character != found["zh"].strip()
        # Some things, such as a DVD, bear the same name in Chinese.
        assert re.search(r"[\u4e00-\u9fff]", found["zh"]) or character == "📀"


def test_paired_motions_are_each_other_played_backwards():
    for forward, backward in REVERSED.items():
        one = track(forward, "medium", 32, np.random.default_rng(3))
        two = track(backward, "medium", 32, np.random.default_rng(3))
        for name in ("x", "y", "size", "angle"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name)[::-1])


def test_motions_go_where_their_names_say():
    def steps(motion, attribute):
        path = track(motion, "slow", 64, np.random.default_rng(0))
        return np.median(np.diff(getattr(path, attribute)))

    # Pixels grow downwards and angles counter-clockwise.
    assert steps("rise", "y") < 0 < steps("fall", "y")
    assert steps("slide_left", "x") < 0 < steps("slide_right", "x")
    assert steps("zoom_out", "size") < 0 < steps("zoom_in", "size")
    assert steps("spin_clockwise", "angle") < 0 < steps("spin_counterclockwise", "angle")
    orbit = track("orbit_clockwise", "slow", 64, np.random.default_rng(0))
    turn = np.unwrap(np.arctan2(orbit.y - orbit.y.mean(), orbit.x - orbit.x.mean()))
    assert turn[-1] > turn[0], "with y pointing down, a growing angle is clockwise"


def test_paces_are_ordered():
    turns = [
        np.ptp(track("spin_clockwise", pace, 32, np.random.default_rng(0)).angle) for pace in PACES
    ]
    assert turns == sorted(turns)
    assert turns[0] < turns[-1] / 2


def test_boxes_follow_the_sprite():
    rng = np.random.default_rng(5)
    clip = render("🍎", "moon", "slide_right", "medium", TINY, rng)
    assert clip.frames.shape == (TINY.n_frames, 128, 128, 3)
    assert clip.frames.dtype == np.uint8
    left, top, right, bottom = clip.boxes.T
    assert (left >= 0).all()
    assert (right <= 128).all()
    assert (top < bottom).all()
    # The apple is the only red thing on the moon: its pixels lie inside its box.
    frames = clip.frames.astype(int)
    red = (frames[..., 0] > 150) & (frames[..., 0] > frames[..., 1] + 80)
    inside = np.zeros_like(red)
    for t in range(len(red)):
        inside[t, int(top[t]) : int(bottom[t]) + 1, int(left[t]) : int(right[t]) + 1] = True
    assert (red & inside).sum() / red.sum() > 0.9


# --- tables -----------------------------------------------------------------------------------


def test_sizes(small_tables):
    plan, tables = small_tables
    assert len(plan) == 400 + 11 + 16
    assert 900 <= tables["interactions"]["user_id"].nunique() <= 1_012
    assert 40_000 <= len(tables["interactions"]) <= 99_000


def test_latent_facts_are_independent(small_tables):
    plan, _ = small_tables
    for one, two in (("category", "motion"), ("category", "scene"), ("topic", "motion")):
        counts = pd.crosstab(plan[one], plan[two]).to_numpy()
        expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
        degrees = (counts.shape[0] - 1) * (counts.shape[1] - 1)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < degrees + 4 * np.sqrt(2 * degrees), f"{one} tells {two}"


def test_no_text_tells_the_motion_or_the_pace():
    plan = plan_videos(world_config())
    text = " ".join(write_metadata(plan, world_config()).astype(str).to_numpy().ravel()).lower()
    words = set(re.findall(r"[a-z]+", text))
    telling = {word for motion in MOTIONS for word in motion.split("_")} - {"in", "out"}
    assert not words & (telling | set(PACES))


def test_both_audiences_have_a_long_tail(small_tables):
    log = small_tables[1]["interactions"]
    for column in ("user_id", "video_id"):
        counts = log[column].value_counts().to_numpy()
        assert counts[: len(counts) // 5].sum() > 0.3 * counts.sum()


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
    correlation = np.corrcoef(log.loc[looked, "watch_ratio"], shown.loc[looked, "liking"])[0, 1]
    assert correlation > 0.6
    first = log.loc[human & (log["position"] == 1), "watch_ratio"].mean()
    tenth = log.loc[human & (log["position"] == 10), "watch_ratio"].mean()
    assert first > tenth + 0.1
    assert shown.loc[human, "propensity"].between(0, 1).all()


def test_comments_follow_liking(small_tables):
    _, tables = small_tables
    log, liked = tables["interactions"], tables["exposures"]["liking"]
    good = log["comment"].str.contains("love this so much", na=False)
    bad = log["comment"].str.contains("not my thing", na=False)
    assert liked[good].mean() > 1 > -1 > liked[bad].mean()


def test_liking_is_the_weighted_sum_of_its_factors():
    plan = plan_videos(TINY)
    tastes, factors = draw_tastes(TINY), video_factors(plan)
    whole = liking(tastes, factors, 0.5)
    parts = sum(liking(tastes, factors, 0.5, only=(factor,)) for factor in WEIGHTS)
    np.testing.assert_allclose(whole, parts, atol=1e-4)
    # One user, one video, by hand for two factors.
    expected = WEIGHTS["quality"] * plan["quality"].iloc[2]
    assert liking(tastes, factors, 0.0, only=("quality",))[0, 2] == pytest.approx(
        expected, rel=1e-5
    )
    where = list(MOTIONS).index(plan["motion"].iloc[2])
    expected = WEIGHTS["motion"] * tastes.start["motion"][7, where]
    got = liking(tastes, factors, 0.0, only=("motion",))[7, 2]
    assert got == pytest.approx(expected, rel=1e-5)


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
    assert not columns & {"motion", "pace", "scene", "subject", "topic", "quality", "media"}
    found = {path.name for path in tiny.iterdir()}
    tables = {"videos.csv", "users.csv", "interactions.parquet", "library.json"}
    assert found == {*tables, "clips", "thumbnails", "extras"}
    assert datasets.load_folder(tiny).name == "minitube-tiny-0"


def test_annotations_are_right_and_only_of_a_part(tiny):
    known, labels = truth.load(tiny), datasets.load_folder(tiny).extras["annotations"]
    assert list(labels.columns) == ["video_id", "motion"]
    assert labels["motion"].tolist() == known.videos["motion"].loc[labels["video_id"]].tolist()
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
                # The door that the world leaves open, and nothing behind it.
                public = ("vidrec_utils.minitube", "vidrec_utils.minitube.build")
                assert "minitube" not in name or name in public, f"{path} imports {name}"


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


@pytest.mark.parametrize("edge", [2, 23, 96, 160, 200])
def test_sprites_are_scaled_as_pillow_scales_them(edge):
    character = all_subjects()[3][1]
    plain = sprite(character).resize((edge, edge), Image.Resampling.BILINEAR)
    scaled = scaled_sprite(character, edge)
    assert scaled.mode == "RGBA"
    assert np.array_equal(np.asarray(scaled), np.asarray(plain))
