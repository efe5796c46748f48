"""Maps are judged right: the one that knows wins, the one that knows nothing is at chance."""

import numpy as np
import pytest

from vidrec_utils.interpretability import (
    agreement,
    attention_rollout,
    box_masks,
    cells,
    center_prior,
    compare_methods,
    deletion_insertion,
    faithfulness,
    in_time,
    localize,
    mean_agreements,
    random_map,
)


def bright_corner() -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:4, 12:] = 240
    mask = image[..., 0] > 0
    return image, mask


def corner(items: list[np.ndarray]) -> np.ndarray:
    return np.array([item[..., :4, 12:, :].mean() for item in items])


def test_the_map_that_knows_is_more_faithful_than_any_other() -> None:
    image, mask = bright_corner()
    rng = np.random.default_rng(0)
    knows = faithfulness(deletion_insertion(corner, image, mask + 0.0, 4, 4, "black"))
    others = [
        faithfulness(deletion_insertion(corner, image, random_map((16, 16), rng, 4), 4, 4, "black"))
        for _ in range(200)
    ]
    assert knows >= max(others)
    assert abs(np.mean(others)) < 0.1 * knows  # a random map has no lead


def test_both_ends_of_the_curves_are_item_and_baseline() -> None:
    image, mask = bright_corner()
    clip = np.repeat(image[None], 3, axis=0)
    curves = deletion_insertion(corner, clip, np.repeat(mask[None] + 0.0, 3, axis=0), 4, 4, "grey")
    assert curves["share"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curves["deletion"].iloc[[0, -1]].tolist() == [240, 127]
    assert curves["insertion"].iloc[[0, -1]].tolist() == [127, 240]


def test_cells_are_means_of_what_is_in_them() -> None:
    values = np.arange(36.0).reshape(6, 6)
    assert cells(values, 2)[0, 0] == values[:3, :3].mean()
    assert np.array_equal(cells(np.stack([values, values + 2]), 3), cells(values + 1, 3))
    with pytest.raises(ValueError, match="no 8 x 8 cells"):
        cells(values, 8)


def test_agreement_is_spearmans_and_a_constant_map_agrees_with_nothing() -> None:
    one = np.random.default_rng(0).random((2, 8, 8))
    assert np.allclose(agreement(one, np.exp(3 * one), grid=8), 1)  # any rising function
    assert agreement(one, np.ones_like(one)).tolist() == [0, 0]
    table = mean_agreements({"a": one, "b": one**3, "c": -one}, grid=8)
    assert np.allclose(table, [0, 0, -1])
    with pytest.raises(ValueError, match="2 maps and 1"):
        agreement(one, one[:1])


def test_boxes_become_masks_on_any_grid() -> None:
    boxes = np.array([[0, 0, 64, 32], [np.nan] * 4])
    masks = box_masks(boxes, (8, 8), 128)
    assert masks.shape == (2, 8, 8)
    assert masks[0, :2, :4].all()
    assert masks[0].sum() == 8
    assert not masks[1].any()


def test_localization_of_known_maps() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[:4, :4] = True
    assert localize(mask + 0.0, mask)["pointing"] == 1
    assert localize(~mask + 0.0, mask) == {
        "pointing": 0, "overlap": 0, "inside": 0, "area": 0.25,
    }  # fmt: skip
    flat = localize(np.ones((8, 8)), mask)
    assert flat["pointing"] == flat["inside"] == 0.25  # chance
    assert localize(-np.ones((8, 8)), mask)["inside"] == 0.25  # no positive value
    assert localize(mask + 0.0, mask, grid=4)["overlap"] == 1
    with pytest.raises(ValueError, match="mask"):
        localize(np.ones((8, 8)), np.zeros((8, 8), dtype=bool))


def test_a_small_thing_can_be_hit_on_a_coarse_grid() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[1, 1] = True  # a quarter of a cell
    assert localize(mask + 0.0, mask, grid=4)["pointing"] == 1


def test_time_is_found() -> None:
    stretch = np.array([False, False, True, True, False])
    assert in_time(stretch + 0.0, stretch)["auc"] == 1
    assert in_time(np.ones(5), stretch)["auc"] == 0.5
    assert in_time(np.ones(5), stretch)["pointing"] == 0.4
    with pytest.raises(ValueError, match="part of the clip"):
        in_time(np.ones(5), np.ones(5, dtype=bool))


def test_the_centre_prior_is_in_the_middle_of_every_frame() -> None:
    prior = center_prior((2, 9, 5))
    assert prior.shape == (2, 9, 5)
    assert np.unravel_index(prior[1].argmax(), (9, 5)) == (4, 2)


def test_differences_are_paired_and_groups_stay_together() -> None:
    luck = np.random.default_rng(0).normal(size=60)
    groups = np.repeat(np.arange(20), 3)
    columns = {"better": {"score": luck + 0.5}, "same": {"score": luck}, "base": {"score": luck}}
    table = compare_methods(columns, "base", groups)
    assert np.isclose(table.loc["better", "score low"], 0.5)
    assert table.loc["same", ["score low", "score high"]].tolist() == [0, 0]
    with pytest.raises(KeyError, match="there are better, same, base"):
        compare_methods(columns, "none")


def test_rollout_of_two_layers_by_hand() -> None:
    first, second = np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    half = [0.5 * np.eye(2) + 0.5 * layer for layer in (first, second)]
    maps = np.stack([first, second])[:, None].repeat(3, axis=1)  # three equal heads
    assert np.allclose(attention_rollout(maps), half[1] @ half[0])
    with pytest.raises(ValueError, match="layers, heads"):
        attention_rollout(first)
