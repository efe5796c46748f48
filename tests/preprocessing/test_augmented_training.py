import numpy as np
import pandas as pd
import pytest
import torch

from vidrec_utils.preprocessing import augmented_training as training

MIRRORED = {"left": "right", "right": "left"}


@pytest.fixture
def clip():
    return np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)


def test_only_the_variant_that_forgets_the_label_keeps_it(clip):
    def labels(variant):
        return {training.augmented(clip, "left", variant, MIRRORED, seed=s)[1] for s in range(12)}

    assert labels("one draw per clip") == {"left", "right"}
    assert labels("mirrored, old label") == {"left"}
    assert labels("none") == labels("one draw per frame") == {"left"}
    with pytest.raises(ValueError, match="variant"):
        training.augmented(clip, "left", "twice", MIRRORED)


def test_both_variants_of_one_draw_show_the_same_clip(clip):
    one, _ = training.augmented(clip, "left", "one draw per clip", MIRRORED, seed=3)
    other, _ = training.augmented(clip, "left", "mirrored, old label", MIRRORED, seed=3)
    assert np.array_equal(one, other)
    assert one.shape == clip.shape
    assert not np.array_equal(one, clip)


def test_a_draw_per_frame_moves_what_did_not_move():
    frozen = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
    frozen = frozen.repeat(6, axis=0).repeat(8, axis=1).repeat(8, axis=2)
    one, _ = training.augmented(frozen, "left", "one draw per clip", {}, seed=1)
    each, _ = training.augmented(frozen, "left", "one draw per frame", {}, seed=1)
    assert np.ptp(one.astype(int), axis=0).max() == 0
    assert np.ptp(each.astype(int), axis=0).mean() > 5


def test_heads_are_tested_on_groups_that_they_never_saw():
    maps = torch.zeros(2, 20, 3, 2, 4, 4)
    maps[0, ::2] = 1.0
    maps[1, ::2] = 1.0
    names = np.array([["rise", "fall"] * 10] * 2, dtype=object)
    ids = pd.Series([f"subject {k // 2}" for k in range(20)], [f"v{k}" for k in range(20)])
    table = training.predictions(maps, names, ids, steps=60)
    assert sorted(table.index) == sorted(ids.index)
    folds = table.assign(group=ids[table.index])[["group", "fold"]].drop_duplicates()
    assert not folds["group"].duplicated().any()
    assert (table["label"] == table["predicted"]).all()
    again = training.predictions(maps, names, ids, folds=[1], steps=60)
    assert again.equals(table[table["fold"] == 1])


def test_training_leaves_the_global_generator_alone():
    maps = torch.zeros(1, 10, 3, 2, 4, 4)
    names = np.array([["a", "b"] * 5], dtype=object)
    ids = pd.Series([f"g{k}" for k in range(10)], [f"v{k}" for k in range(10)])
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    training.predictions(maps, names, ids, folds=[0], steps=2)
    assert torch.equal(torch.rand(3), expected)


def test_the_record_tests_each_clip_once_for_each_variant_and_seed():
    table = training.recorded()
    assert not table.duplicated(["seed", "variant", "video_id"]).any()
    assert set(table["variant"]) == set(training.VARIANTS)
    runs = table.groupby(["seed", "variant"])["video_id"].agg(frozenset)
    assert len(set(runs)) == 1
    folds = table[["seed", "variant", "subject", "fold"]].drop_duplicates()
    assert not folds.duplicated(["seed", "variant", "subject"]).any()
