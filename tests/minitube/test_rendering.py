"""Sprites, motions, shots and frames: they are where and what the plan says."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vidrec_utils.minitube.config import world_config
from vidrec_utils.minitube.media import render_upload
from vidrec_utils.minitube.motions import track
from vidrec_utils.minitube.plan import plan_shots, plan_videos
from vidrec_utils.minitube.rendering import render
from vidrec_utils.minitube.sprites import all_subjects, names, scaled_sprite, sprite
from vidrec_utils.minitube.vocabulary import MOTIONS, PACES, REVERSED

CONFIG = world_config()
SMALL = replace(CONFIG, size="tiny", n_videos=60, n_users=80, n_uploaders=8, image_size=32)
TRACKED = ("x", "y", "size", "angle")


# --- sprites ----------------------------------------------------------------------------------


def test_every_sprite_is_drawn_and_named_in_two_languages():
    for _, character in all_subjects():
        assert sprite(character).getbbox() is not None
        translated = names(character)
        assert translated["en"].strip() != character != translated["zh"].strip()
        # Some things, such as a DVD, bear the same name in Chinese.
        assert re.search(r"[\u4e00-\u9fff]", translated["zh"]) or character == "📀"


def test_no_sprite_is_a_place_of_worship():
    sacred = ("shrine", "synagogue", "mosque", "church", "kaaba", "temple")
    english = {names(character)["en"] for _, character in all_subjects()}
    assert not [name for name in english if any(word in name for word in sacred)]


@pytest.mark.parametrize("edge", [2, 23, 96, 160, 200])
def test_sprites_are_scaled_as_pillow_scales_them(edge):
    character = all_subjects()[3][1]
    plain = sprite(character).resize((edge, edge), Image.Resampling.BILINEAR)
    scaled = scaled_sprite(character, edge)
    assert scaled.mode == "RGBA"
    assert np.array_equal(np.asarray(scaled), np.asarray(plain))


# --- motions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_frames", [1, 13, 32, 128])
def test_paired_motions_are_each_other_played_backwards(n_frames):
    for forward, backward in REVERSED.items():
        one = track(forward, "medium", n_frames, 16, np.random.default_rng(3))
        two = track(backward, "medium", n_frames, 16, np.random.default_rng(3))
        for name in TRACKED:
            assert len(getattr(one, name)) == n_frames
            np.testing.assert_allclose(getattr(one, name), getattr(two, name)[::-1])


def test_motions_go_where_their_names_say():
    def steps(motion, attribute):
        path = track(motion, "slow", 64, 16, np.random.default_rng(0))
        return np.median(np.diff(getattr(path, attribute)))

    # Pixels grow downwards and angles counter-clockwise.
    assert steps("rise", "y") < 0 < steps("fall", "y")
    assert steps("slide_left", "x") < 0 < steps("slide_right", "x")
    assert steps("zoom_out", "size") < 0 < steps("zoom_in", "size")
    assert steps("spin_clockwise", "angle") < 0 < steps("spin_counterclockwise", "angle")
    orbit = track("orbit_clockwise", "slow", 64, 16, np.random.default_rng(0))
    turn = np.unwrap(np.arctan2(orbit.y - 0.5, orbit.x - 0.5))
    assert turn[-1] > turn[0], "with y pointing down, a growing angle is clockwise"


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("seconds", [0.8, 2, 8])
def test_a_pace_is_a_speed_whatever_the_length_of_the_shot(pace, seconds):
    n_frames = round(seconds * 16)
    path = track("spin_clockwise", pace, n_frames, 16, np.random.default_rng(0))
    turns_per_second = np.ptp(path.angle) / 360 / ((n_frames - 1) / 16)
    assert turns_per_second == pytest.approx(PACES[pace] / 2, rel=0.1)
    # The same draws move at the same speed, however long the shot and at any frame rate.
    other = track("spin_clockwise", pace, 77, 25, np.random.default_rng(0))
    assert np.ptp(other.angle) / 360 / (76 / 25) == pytest.approx(turns_per_second)


@pytest.mark.parametrize("motion", ["bounce", "shake"])
def test_motions_without_a_pair_go_on_as_long_as_the_shot(motion):
    name = {"bounce": "y", "shake": "x"}[motion]

    def turning_points(n_frames):
        path = getattr(track(motion, "fast", n_frames, 64, np.random.default_rng(1)), name)
        return (np.diff(np.sign(np.diff(path))) != 0).sum()

    assert turning_points(8 * 64) == pytest.approx(4 * turning_points(2 * 64), abs=4)


def test_unknown_motions_and_paces_are_refused():
    for motion, pace in (("fly", "slow"), ("rise", "lazy")):
        with pytest.raises(ValueError, match=f"{motion}.*{pace}"):
            track(motion, pace, 8, 16, np.random.default_rng(0))


# --- shots ------------------------------------------------------------------------------------


def test_boxes_follow_the_sprite():
    rng = np.random.default_rng(5)
    shot = render("🍎", "moon", "slide_right", "medium", 40, CONFIG, rng)
    assert shot.frames.shape == (40, 128, 128, 3)
    assert shot.frames.dtype == np.uint8
    left, top, right, bottom = shot.boxes.T
    assert (left >= 0).all()
    assert (right <= 128).all()
    assert (top < bottom).all()
    # The apple is the only red thing on the moon: its pixels lie inside its box.
    frames = shot.frames.astype(int)
    red = (frames[..., 0] > 150) & (frames[..., 0] > frames[..., 1] + 80)
    inside = np.zeros_like(red)
    for t in range(len(red)):
        inside[t, int(top[t]) : int(bottom[t]) + 1, int(left[t]) : int(right[t]) + 1] = True
    assert (red & inside).sum() / red.sum() > 0.9


@pytest.fixture(scope="module")
def plan():
    return plan_videos(SMALL)


def test_a_clip_is_its_shots_one_after_the_other(plan):
    video_id = plan.index[plan["n_shots"] == 3][0]
    shots = plan_shots(plan.loc[[video_id]], SMALL).loc[video_id]
    clip = render_upload(video_id, plan, SMALL)
    assert len(clip.frames) == len(clip.boxes) == plan.at[video_id, "n_frames"]
    for number, shot in shots.iterrows():
        alone = render(
            *shot[["subject", "scene", "motion"]],
            plan.at[video_id, "pace"],
            shot["end_frame"] - shot["first_frame"],
            SMALL,
            SMALL.rng(f"clip {video_id} {number}"),
        )
        part = slice(shot["first_frame"], shot["end_frame"])
        np.testing.assert_array_equal(clip.frames[part], alone.frames)
        np.testing.assert_array_equal(clip.boxes[part], alone.boxes)


def test_every_cut_is_a_change_that_no_motion_makes(plan):
    within, across = [], []
    for video_id in plan.index[plan["n_shots"] > 1][:8]:
        clip = render_upload(video_id, plan, SMALL)
        cuts = plan_shots(plan.loc[[video_id]], SMALL)["first_frame"].to_numpy()[1:] - 1
        steps = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
        across.extend(steps[cuts])
        within.extend(np.delete(steps, cuts))
    assert np.median(across) > 2 * np.quantile(within, 0.9)


def test_what_a_clip_shows_does_not_depend_on_the_rest_of_the_plan(plan):
    video_id = plan.index[7]
    np.testing.assert_array_equal(
        render_upload(video_id, plan, SMALL).frames,
        render_upload(video_id, plan.loc[[video_id]], SMALL).frames,
    )


def test_averages_over_time_do_not_tell_a_motion_from_its_reversal():
    """Positions, sizes and angles of the two come from one distribution."""
    rng = np.random.default_rng(0)
    for forward, backward in REVERSED.items():
        for name in TRACKED:
            means = np.array(
                [
                    [
                        getattr(track(motion, "slow", n_frames, 16, rng), name).mean()
                        for n_frames in (13, 40, 128) * 100
                    ]
                    for motion in (forward, backward)
                ]
            )
            error = np.sqrt((means.var(axis=1) / means.shape[1]).sum())
            gap = abs(means[0].mean() - means[1].mean())
            assert gap <= 4 * error + 1e-12, (forward, name)


def test_all_motions_stay_in_sight():
    for motion in MOTIONS:
        for seed in range(20):
            path = track(motion, "fast", 128, 16, np.random.default_rng(seed))
            middle = (path.x > 0.1) & (path.x < 0.9) & (path.y > 0.1) & (path.y < 0.9)
            assert middle.mean() > 0.5
