"""Nearest neighbours and maps by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from vidrec_utils.image_encoders import neighbors


def test_nearest_by_hand():
    rows = np.array([[1, 0], [2, 0.1], [0, 1], [0, 0]], dtype=float)
    assert neighbors.nearest(rows, 2)[0].tolist() == [1, 2]
    assert neighbors.nearest(rows, 1)[2].tolist() == [1]


def test_ids_in_other_groups_by_hand():
    rows = pd.DataFrame([[1, 0], [1, 0.1], [0, 1], [-2, -1.1], [np.nan, 0]], list("abcde"))
    assert neighbors.nearest_ids(rows).to_dict() == {"a": "b", "b": "a", "c": "b", "d": "c"}
    groups = pd.Series(["cat", "cat", "dog", "dog", "dog"], list("abcde"))
    assert neighbors.nearest_ids(rows, groups).to_dict() == {"a": "c", "b": "c", "c": "b", "d": "a"}
    with pytest.raises(ValueError, match="4 rows are of one group"):
        neighbors.nearest_ids(rows, pd.Series("cat", list("abcde")))
    with pytest.raises(KeyError):
        neighbors.nearest_ids(rows, groups.drop("b"))


def test_strip_begins_with_the_image_itself():
    rows = np.array([[1, 0], [1, 0.1], [0, 1]])
    images = [np.full((2, 2, 3), i, np.uint8) for i in range(3)]
    captions = pd.Series(["a", "b", "c"], index=["v1", "v2", "v3"])
    strip, titles = neighbors.neighbor_strip({"net": rows}, images, captions, 0, k=2)
    assert [int(p[0, 0, 0]) for p in strip] == [0, 1, 2]
    assert titles == ["net: a", "b", "c"]


def test_map_has_a_form():
    rows = np.random.default_rng(0).normal(size=(40, 6))
    flat = neighbors.flat_map(rows)
    assert flat.shape == (40, 2)
    pd.testing.assert_frame_equal(flat, neighbors.flat_map(rows))
    assert torch.is_grad_enabled()
