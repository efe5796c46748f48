"""Masks by hand, and on drawings whose mask is known."""

import numpy as np
import pytest

from vidrec_utils.image_encoders import boxes, masks


def test_box_around_a_mask_by_hand():
    mask = np.zeros((5, 6), bool)
    mask[1, 2] = mask[3, 4] = True
    expected = np.zeros((5, 6), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(masks.box_mask(mask), expected)


def test_filled_box_is_cut_off_at_the_border():
    filled = masks.filled_box([-0.5, 0.25, 0.5, 0.75], (8, 4))
    assert filled.sum() == 4 * 2
    assert filled[2:6, :2].all()


def test_grab_cut_finds_a_disc_and_leaves_its_inputs_alone():
    y, x = np.mgrid[:60, :60]
    disc = (y - 30) ** 2 + (x - 28) ** 2 < 15**2
    rng = np.random.default_rng(0)
    image = np.where(disc[..., None], (200, 60, 40), (40, 90, 160)) + rng.integers(
        0, 20, (60, 60, 3)
    )
    image, box = image.astype(np.uint8), masks.box_mask(disc)
    before = image.copy(), box.copy()
    cut = masks.grab_cut(image, box, seed=1)
    assert boxes.dice(cut, disc) > 0.97 > boxes.dice(box, disc)
    np.testing.assert_array_equal(cut, masks.grab_cut(image, box, seed=1))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(box, before[1])


@pytest.mark.parametrize("box", [np.zeros((8, 8), bool), np.ones((4, 8), bool)])
def test_grab_cut_refuses_boxes_that_do_not_fit(box):
    with pytest.raises(ValueError, match="at least one pixel"):
        masks.grab_cut(np.zeros((8, 8, 3), np.uint8), box)


def test_a_drawing_differs_from_its_photograph_only_inside_its_mask():
    image, mask = masks.drawing(np.random.default_rng(3), size=96)
    again, _ = masks.drawing(np.random.default_rng(3), size=96)
    np.testing.assert_array_equal(image, again)
    assert image.shape == (96, 96, 3)
    assert 0.03 < mask.mean() < 0.55**2 + 0.01  # the sprite is 55% of the side
    rows, columns = np.nonzero(masks.box_mask(mask))
    assert rows.min() >= 96 * 0.2
    assert columns.max() <= 96 * 0.8
