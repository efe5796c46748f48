"""Boxes: overlaps worked out by hand, and suppression as torchvision does it."""

import numpy as np
import pytest
import torch
from torchvision import ops

from vidrec_utils.image_encoders import boxes


def random_boxes(n, seed):
    rng = np.random.default_rng(seed)
    corner = rng.random((n, 2)) * 10
    return np.concatenate([corner, corner + rng.random((n, 2)) * 5], axis=1), rng.random(n)


def test_intersection_over_union_by_hand():
    # 4 x 4 and 4 x 2, shared 2 x 2: 4 / (16 + 8 - 4)
    assert boxes.intersection_over_union([[0, 0, 4, 4]], [[2, 2, 6, 4]])[0, 0] == 4 / 20
    assert boxes.intersection_over_union([[0, 0, 1, 1]], [[1, 0, 2, 1]])[0, 0] == 0  # they touch
    assert boxes.intersection_over_union([[1, 1, 1, 1]], [[1, 1, 1, 1]])[0, 0] == 0  # no area
    assert boxes.intersection_over_union(np.empty((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_intersection_over_union_is_torchvisions():
    a, b = random_boxes(30, 0)[0], random_boxes(20, 1)[0]
    reference = ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(boxes.intersection_over_union(a, b), reference, atol=1e-12)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.7, 1.0])
def test_suppression_is_torchvisions(overlap):
    corners, scores = random_boxes(200, 2)
    reference = ops.nms(torch.from_numpy(corners), torch.from_numpy(scores), overlap)
    assert boxes.non_maximum_suppression(corners, scores, overlap).tolist() == reference.tolist()


def test_suppression_is_greedy():
    # B overlaps A and C, A and C do not meet: A, the best, removes B, so that C stays.
    chain = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]]
    assert boxes.non_maximum_suppression(chain, [0.9, 0.8, 0.7], 0.3).tolist() == [0, 2]
    assert boxes.non_maximum_suppression(np.empty((0, 4)), []).tolist() == []


def test_dice_by_hand_and_from_intersection_over_union():
    a = np.zeros((4, 4), bool)
    b = a.copy()
    a[:2], b[1:3] = True, True  # 8 and 8 pixels, 4 shared
    assert boxes.dice(a, b) == 0.5
    overlap = 4 / 12
    assert boxes.dice(a, b) == pytest.approx(2 * overlap / (1 + overlap))
    assert boxes.dice(a & ~a, b & ~b) == 1


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="shape"):
        boxes.intersection_over_union([0, 0, 1, 1], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="left right of its right"):
        boxes.non_maximum_suppression([[2, 0, 1, 1]], [1.0])
    with pytest.raises(ValueError, match="one each"):
        boxes.non_maximum_suppression([[0, 0, 1, 1]], [1.0, 2.0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        boxes.non_maximum_suppression([[0, 0, 1, 1]], [1.0], 2)
    with pytest.raises(ValueError, match="one shape"):
        boxes.dice([True], [True, False])
