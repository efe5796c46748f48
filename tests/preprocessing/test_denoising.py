import math

import numpy as np
import pytest

from vidrec_utils.preprocessing.denoising import (
    add_noise,
    denoise_spatial,
    denoise_temporal,
    moving_mask,
    psnr,
    psnr_by_motion,
)

from .conftest import moving

TEXTURE = np.random.default_rng(2).normal(0, 25, (1, 64, 64, 1))
CLEAN = (moving(11, "right", frames=16) + TEXTURE).clip(0, 255).astype(np.uint8)
SMOOTH = moving(11, "right", frames=6)
NOISY = add_noise(CLEAN, 20.0, rng=1)


def test_psnr_by_hand():
    a = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    b = a.copy()
    b[..., 0] = 51  # mean squared error 51^2 / 3
    assert psnr(a, b) == pytest.approx(20 * np.log10(5) + 10 * np.log10(3))
    assert psnr(a, a) == float("inf")
    half = np.array([[[True, False], [True, False]]])
    b[:, :, 0] = 0
    assert psnr(a, b, half) == float("inf")
    with pytest.raises(ValueError, match="no match"):
        psnr(a, b[..., :1])
    with pytest.raises(ValueError, match="empty"):
        psnr(a, b, np.zeros_like(half))


def test_noise_has_its_size_and_seed():
    grey = np.full((4, 32, 32, 3), 128, dtype=np.uint8)
    assert add_noise(grey, 10.0, rng=0).std() == pytest.approx(10, rel=0.03)
    np.testing.assert_array_equal(add_noise(grey, 10.0, rng=5), add_noise(grey, 10.0, rng=5))
    assert (grey == 128).all()


@pytest.mark.parametrize("method", ["gaussian", "median", "bilateral", "nl_means"])
def test_spatial_filters_help(method):
    noisy = add_noise(SMOOTH, 20.0, rng=1)
    before = noisy.copy()
    done = denoise_spatial(noisy, method)
    assert done.shape == SMOOTH.shape
    assert done.dtype == np.uint8
    assert psnr(SMOOTH, done) > psnr(SMOOTH, noisy) + 2
    np.testing.assert_array_equal(noisy, before)


def test_time_beats_space_where_nothing_moves_and_smears_where_something_does():
    motion = moving_mask(CLEAN, radius=4)
    assert 0.05 < motion.mean() < 0.6
    plain = denoise_temporal(NOISY, radius=4)
    aware = denoise_temporal(NOISY, radius=4, motion_aware=True)
    for method in ("gaussian", "median", "bilateral", "nl_means"):
        space = denoise_spatial(NOISY, method)
        assert psnr(CLEAN, plain, ~motion) > psnr(CLEAN, space, ~motion) + 3
        assert psnr(CLEAN, plain, motion) < psnr(CLEAN, space, motion)
    assert psnr(CLEAN, plain, motion) < psnr(CLEAN, NOISY, motion)
    assert psnr(CLEAN, aware, motion) > psnr(CLEAN, plain, motion) + 3
    assert psnr(CLEAN, aware) > psnr(CLEAN, plain)


def test_averaging_n_frames_divides_the_variance_by_n():
    flat = np.full((41, 24, 24, 3), 128, dtype=np.uint8)
    noisy = add_noise(flat, 20.0, rng=0)
    done = denoise_temporal(noisy, radius=2)[2:-2]
    assert done.std() == pytest.approx(20 / np.sqrt(5), rel=0.05)
    assert denoise_temporal(noisy, "median", radius=2)[2:-2].std() > done.std()


def test_a_clean_still_clip_is_left_alone():
    still = moving(1, "still", frames=5)
    for options in ({}, {"method": "median"}, {"motion_aware": True}):
        np.testing.assert_array_equal(denoise_temporal(still, **options), still)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="nl_means"):
        denoise_spatial(NOISY, "wiener")
    with pytest.raises(ValueError, match="median"):
        denoise_temporal(NOISY, "mode")
    with pytest.raises(ValueError, match="radius"):
        denoise_temporal(NOISY, radius=0)
    with pytest.raises(ValueError, match="no weights"):
        denoise_temporal(NOISY, "median", motion_aware=True)
    with pytest.raises(ValueError, match="height"):
        denoise_spatial(NOISY[0])


def test_psnr_by_motion_measures_moving_and_static_regions_separately():
    clean = np.full((4, 20, 20, 3), 100, dtype=np.uint8)
    clean[2:, :5] = 200  # the upper quarter changes in the middle of the clip
    spoiled = clean.copy()
    spoiled[:, :5] += 51  # an error of a fifth of 255
    table = psnr_by_motion(clean, {"same": clean, "spoiled": spoiled})
    assert list(table.index) == ["same", "spoiled"]
    assert (table.loc["same"] == math.inf).all()
    assert table.loc["spoiled", "static"] == math.inf
    assert table.loc["spoiled", "moving"] == pytest.approx(20 * math.log10(5))


def test_a_static_pixel_is_one_that_nothing_crosses_within_the_radius():
    clean = np.full((8, 20, 20, 3), 100, dtype=np.uint8)
    clean[4:, :5] = 200  # seen from the first frame, something moves in four frames
    spoiled = clean.copy()
    spoiled[0, :5] += 51
    near = psnr_by_motion(clean, {"spoiled": spoiled}, radius=3).loc["spoiled"]
    far = psnr_by_motion(clean, {"spoiled": spoiled}, radius=4).loc["spoiled"]
    assert (near["moving"], far["static"]) == (math.inf, math.inf)
    assert math.isfinite(near["static"])
    assert math.isfinite(far["moving"])
    with pytest.raises(ValueError, match="radius"):
        moving_mask(clean, radius=0)


def test_psnr_by_motion_of_a_clip_that_never_moves_has_no_moving_region():
    clean = np.full((3, 8, 8, 3), 100, dtype=np.uint8)
    table = psnr_by_motion(clean, {"other": clean + 1})
    assert math.isnan(table.loc["other", "moving"])
    assert table.loc["other", "static"] == pytest.approx(20 * math.log10(255))
