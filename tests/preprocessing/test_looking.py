"""Laying out what detectors see."""

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vidrec_utils import preprocessing as pp
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.preprocessing.report import make_report


def fingerprint(seed=0, n=8):
    """A bright square that crosses a scene from left to right."""
    scene = np.random.default_rng(seed).integers(0, 120, (4, 4)).repeat(16, 0).repeat(16, 1)
    frames = np.repeat(scene[None], n, axis=0).astype(np.uint8)
    for k in range(n):
        frames[k, 24:40, 6 * k : 6 * k + 16] = 250
    return pp.Fingerprint.of_frames(frames, n / 16)


def test_files_to_look_at_are_the_first_of_each_status():
    media = pd.DataFrame({"status": ["ok", "noisy", "broken", "noisy", "absent", "noisy"]})
    assert list(pp.to_look_at(media, most=2).index) == [2, 1, 3]
    assert list(pp.to_look_at(media.iloc[[0, 4]], most=1).index) == [0]


def test_backwards_has_the_same_bag_of_hashes_in_the_opposite_order():
    clip = fingerprint()
    turned = pp.backwards(clip)
    assert set(turned.hashes) == set(clip.hashes)
    assert np.array_equal(turned.pictures[0], clip.pictures[-1])
    assert np.array_equal(pp.backwards(turned).hashes, clip.hashes)


def test_mirrored_hashes_belong_to_mirrored_pictures():
    turned = pp.mirrored(fingerprint())
    assert np.array_equal(turned.pictures[0, :, 0], fingerprint().pictures[0, :, -1])
    assert np.array_equal(turned.hashes, pp.perceptual_hash(turned.pictures))


def test_compare_pairs_calls_a_clip_its_own_copy_but_not_its_reversal_or_mirror_image():
    clip = fingerprint()
    table = pp.compare_pairs([(clip, clip), (clip, pp.backwards(clip)), (clip, pp.mirrored(clip))])
    assert list(table["copy"]) == [True, False, False]
    assert table.loc[0, "hamming"] == 0
    assert table.loc[0, "motion"] > 0.999
    assert table.loc[1, "motion"] < 0.5


def test_compare_pairs_of_nothing_is_an_empty_table():
    table = pp.compare_pairs([])
    assert list(table) == ["hamming", "motion", "size", "copy"]
    assert table["copy"].dtype == bool
    assert len(table[~table["copy"]]) == 0


def test_thumbnails_are_none_where_there_is_no_picture(tmp_path):
    Image.new("RGB", (6, 4), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_text("not a picture", encoding="utf-8")
    videos = pd.DataFrame(
        {
            "video_id": ["good", "bad", "none", "gone"],
            "thumbnail": ["good.png", "bad.jpg", None, "gone.jpg"],
        }
    )
    log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    library = VideoLibrary(videos, log, root=tmp_path)
    good, *others = pp.thumbnails(library, ["good", "bad", "none", "gone"])
    assert good.shape == (4, 6, 3)
    assert (good == [255, 0, 0]).all()
    assert others == [None, None, None]


def test_score_report_compares_rows_of_the_log_by_place_and_the_rest_by_id():
    late = make_report(
        "interactions", [2, 9], ["u", "u"], "timestamp", "timestamp in the future", ""
    )
    files = make_report("videos", [5], ["v"], "path", "broken file: empty", "removed")
    dirt = {"timestamp_far_future": {"0", "3"}, "empty_file": {"v"}, "truncated": {"w"}}

    def planted(*kinds):
        return set().union(*(dirt.get(kind, set()) for kind in kinds))

    report = pp.Report((pp.Step("timestamps", late), pp.Step("files", files)))
    table = pp.score_report(report, planted)
    assert list(table.index) == list(pp.PLANTED_AS)
    # Rows 2 and 9 of the file are places 0 and 7; places 0 and 3 were planted.
    assert tuple(table.loc["timestamp in the future"]) == (0.5, 0.5, 2)
    assert tuple(table.loc["broken file"]) == (1.0, 0.5, 2)
    assert tuple(table.loc["black clip"]) == (1.0, 1.0, 0)


def test_psnr_by_motion_measures_what_moves_apart_from_what_is_still():
    clean = np.full((4, 20, 20, 3), 100, dtype=np.uint8)
    clean[2:, :5] = 200  # the upper quarter changes in the middle of the clip
    spoiled = clean.copy()
    spoiled[:, :5] += 51  # an error of a fifth of 255
    table = pp.psnr_by_motion(clean, {"same": clean, "spoiled": spoiled})
    assert list(table.index) == ["same", "spoiled"]
    assert (table.loc["same"] == math.inf).all()
    assert table.loc["spoiled", "still"] == math.inf
    assert table.loc["spoiled", "moving"] == pytest.approx(20 * math.log10(5))


def test_psnr_by_motion_of_a_clip_that_never_moves_has_no_moving_part():
    clean = np.full((3, 8, 8, 3), 100, dtype=np.uint8)
    table = pp.psnr_by_motion(clean, {"other": clean + 1})
    assert math.isnan(table.loc["other", "moving"])
    assert table.loc["other", "still"] == pytest.approx(20 * math.log10(255))


def test_describe_split_says_sizes_and_leaks():
    times = pd.date_range("2025-03-01", periods=5, freq="D", tz="UTC")
    log = pd.DataFrame({"user_id": list("aabbb"), "video_id": "v", "timestamp": times})
    videos = pd.DataFrame(index=pd.Index(["v"], name="video_id"))
    honest = Split(log[:3], log[3:4], log[4:], videos, "by day")
    assert pp.describe_split(honest) == "by day: 3 / 1 / 1 rows, no leak."
    spoiled = Split(pd.concat([log[:3], log[4:]]), log[3:4], log[4:], videos, "spoiled")
    assert pp.describe_split(spoiled) == (
        "spoiled: 4 / 1 / 1 rows, leaks by time travel and row overlap."
    )
