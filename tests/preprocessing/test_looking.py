"""Laying out what detectors see."""

import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import preprocessing as pp
from vidrec_utils.datasets import VideoLibrary


def fingerprint(seed=0, n=8):
    """A bright square that crosses a scene from left to right."""
    scene = np.random.default_rng(seed).integers(0, 120, (4, 4)).repeat(16, 0).repeat(16, 1)
    frames = np.repeat(scene[None], n, axis=0).astype(np.uint8)
    for k in range(n):
        frames[k, 24:40, 6 * k : 6 * k + 16] = 250
    return pp.Fingerprint.of_frames(frames, n / 16)


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
