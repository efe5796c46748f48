"""The files of uploads: picture and sound in step, and the dirt that was planted in them."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vidrec_utils import video_io
from vidrec_utils.minitube import dirt, media
from vidrec_utils.minitube.config import world_config
from vidrec_utils.minitube.plan import plan_shots, plan_videos
from vidrec_utils.minitube.sound import RATE

CONFIG = replace(world_config(), size="tiny", n_videos=60, n_uploaders=8, image_size=32)
PER_FRAME = RATE // CONFIG.fps


@pytest.fixture(scope="module")
def plan():
    return dirt.plant_media(plan_videos(CONFIG), CONFIG)[0]


@pytest.fixture(scope="module")
def folder(plan, tmp_path_factory):
    """A folder with one upload of each kind, the sources of the copies, and some clean ones."""
    target = tmp_path_factory.mktemp("world")
    for name in ("library/clips", "library/thumbnails", "truth/boxes"):
        (target / name).mkdir(parents=True)
    chosen = set(plan.groupby("media").head(1).index) | set(plan["source_id"].dropna())
    chosen |= set(plan.index[~plan["has_sound"]]) | set(plan.index[plan["n_shots"] == 3][:2])
    for video_id in chosen:
        media.make_media(video_id, plan, CONFIG, target)
    return target


def clip(folder: Path, video_id: str) -> Path:
    return folder / "library" / "clips" / f"{video_id}.mp4"


def written(folder: Path, plan, *kinds: str) -> list[str]:
    """The uploads of these kinds that have a file."""
    return [one for one in plan.index[plan["media"].isin(kinds)] if clip(folder, one).exists()]


def music_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def heard_at(copy: np.ndarray, original: np.ndarray, latest: int) -> int:
    """How many samples later than the original a copy begins."""
    n = len(copy) // 2
    likeness = [np.corrcoef(copy[:n], original[k : k + n])[0, 1] for k in range(latest)]
    assert max(likeness) > 0.9
    return int(np.argmax(likeness))


def test_picture_and_sound_are_as_long_as_the_plan_says(folder, plan):
    for video_id in written(folder, plan, "clip", "noisy", "black", "exact_duplicate"):
        n_frames = plan.at[video_id, "n_frames"]
        info = video_io.probe(clip(folder, video_id))
        assert info.n_frames == n_frames
        assert info.duration_s == pytest.approx(n_frames / CONFIG.fps)
        assert info.has_audio == plan.at[video_id, "has_sound"]
        if info.has_audio:
            surplus = len(music_of(clip(folder, video_id))) - n_frames * PER_FRAME
            assert 0 <= surplus < 1_024


def test_the_sound_in_the_file_is_the_music_of_the_plan(folder, plan):
    video_id = written(folder, plan, "clip")[0]
    music = media.synthesize_upload(video_id, plan, CONFIG)
    decoded = music_of(clip(folder, video_id))[: len(music)]
    assert np.corrcoef(decoded, music)[0, 1] > 0.95


def test_a_few_clips_have_no_sound_track(folder, plan):
    whole = dirt.plant_media(plan_videos(world_config()), world_config())[0]
    clean = whole["source_id"].isna() & ~whole["media"].isin(dirt.WITHOUT_MEDIA)
    assert 4 <= (~whole.loc[clean, "has_sound"]).sum() <= 8  # 2% of 400
    assert not whole.loc[whole["media"].isin(dirt.WITHOUT_MEDIA), "has_sound"].any()
    silent = plan.index[~plan["has_sound"] & ~plan["media"].isin(dirt.WITHOUT_MEDIA)]
    assert len(silent) >= 1
    for video_id in silent:
        assert not video_io.probe(clip(folder, video_id)).has_audio


def test_copies_sound_if_and_only_if_their_original_does():
    config = world_config(seed=3)
    plan = dirt.plant_media(plan_videos(config), replace(config, silent=0.4))[0]
    copies = plan[plan["source_id"].notna()]
    np.testing.assert_array_equal(
        copies["has_sound"], plan.loc[copies["source_id"].to_list(), "has_sound"]
    )
    assert copies["has_sound"].nunique() == 2


def test_the_share_of_silent_clips_leaves_all_other_dirt_alone():
    one, two = (
        dirt.plant_media(plan_videos(CONFIG), replace(CONFIG, silent=silent))[0]
        for silent in (0.02, 0.5)
    )
    assert one.drop(columns="has_sound").equals(two.drop(columns="has_sound"))


def test_an_exact_copy_is_the_same_file(folder, plan):
    for video_id in written(folder, plan, "exact_duplicate"):
        source = clip(folder, plan.at[video_id, "source_id"])
        assert clip(folder, video_id).read_bytes() == source.read_bytes()


def test_a_reencoded_copy_loses_as_much_of_the_sound_as_of_the_picture(folder, plan):
    for video_id in written(folder, plan, "reencoded_duplicate"):
        copy, source = clip(folder, video_id), clip(folder, plan.at[video_id, "source_id"])
        lost = video_io.probe(source).n_frames - video_io.probe(copy).n_frames
        assert 0 <= lost <= 2
        info = video_io.probe(copy)
        assert (info.width, info.height) in {(96, 96), (112, 112), (144, 144)}
        assert info.has_audio == plan.at[video_id, "has_sound"]
        if info.has_audio:
            start = heard_at(music_of(copy), music_of(source), 3 * PER_FRAME)
            assert start == lost * PER_FRAME


def test_a_truncated_file_is_the_beginning_of_a_whole_one(folder, plan, tmp_path):
    (video_id,) = written(folder, plan, "truncated")
    whole = plan.assign(media="clip")
    for name in ("library/clips", "library/thumbnails", "truth/boxes"):
        (tmp_path / name).mkdir(parents=True)
    media.make_media(video_id, whole, CONFIG, tmp_path)
    cut, uncut = clip(folder, video_id).read_bytes(), clip(tmp_path, video_id).read_bytes()
    assert uncut.startswith(cut)
    assert 0.29 < len(cut) / len(uncut) < 0.61
    assert not video_io.probe(clip(tmp_path, video_id)).truncated
    assert video_io.probe(clip(folder, video_id)).truncated


def test_a_black_clip_is_black_and_a_noisy_one_noisy(folder, plan):
    for video_id in written(folder, plan, "black"):
        assert video_io.sample_frames(clip(folder, video_id), 4).max() < 25
    for video_id in written(folder, plan, "noisy"):
        shown = video_io.read_clip(clip(folder, video_id))[0].astype(float)
        clean = media.render_upload(video_id, plan, CONFIG).frames
        assert 10 < (shown - clean).std() < 50


def test_the_thumbnail_is_from_the_longest_shot_with_the_subject_in_view(folder, plan):
    videos = [v for v in written(folder, plan, "clip") if plan.at[v, "n_shots"] == 3]
    assert len(videos) >= 2
    for video_id in videos:
        with Image.open(folder / "library" / "thumbnails" / f"{video_id}.jpg") as file:
            thumbnail = np.asarray(file).astype(float)
        clip_ = media.render_upload(video_id, plan, CONFIG)
        distance = np.abs(clip_.frames - thumbnail).mean(axis=(1, 2, 3))
        frame = int(distance.argmin())
        assert distance[frame] < 8
        shots = plan_shots(plan.loc[[video_id]], CONFIG)
        longest = shots.loc[(shots["end_frame"] - shots["first_frame"]).idxmax()]
        assert longest["first_frame"] <= frame < longest["end_frame"]
        width, height = (clip_.boxes[:, 2:] - clip_.boxes[:, :2]).T
        area = (width * height)[longest["first_frame"] : longest["end_frame"]]
        assert (width * height)[frame] >= 0.8 * area.max()


def test_what_is_complete_is_left_alone(folder, plan):
    video_id = written(folder, plan, "clip")[0]
    before = clip(folder, video_id).stat().st_mtime_ns
    media.make_media(video_id, plan, CONFIG, folder)
    assert clip(folder, video_id).stat().st_mtime_ns == before
