import pickle

import pytest
import torch

from vidrec_utils.preprocessing.augmentation import ClipAugmentation, build_augmentation, to_float

PLAIN = {
    "scale": (1.0, 1.0),
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
}


def clip(frames=6, side=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (frames, 3, side, side), generator=generator, dtype=torch.uint8)


def still(frames=6, side=32):
    return clip(1, side).expand(frames, -1, -1, -1).clone()


def test_every_frame_gets_the_same_draw():
    augment = ClipAugmentation(size=24, hue=0.1, flips={"x": "x"}, seed=3)
    for _ in range(20):
        changed, _ = augment(still(), "x")
        assert changed.shape == (6, 3, 24, 24)
        assert changed.dtype == torch.uint8
        assert (changed == changed[:1]).all()


def test_contrast_does_not_make_a_fade_flicker():
    fade = torch.linspace(40, 200, 6).to(torch.uint8).view(6, 1, 1, 1).expand(6, 3, 8, 8).clone()
    augment = ClipAugmentation(**{**PLAIN, "contrast": 0.5}, seed=1)
    changed, _ = augment(fade)
    steps = changed[:, 0, 0, 0].float().diff()
    # One factor and one mean for the clip: the steps all grow or shrink by the same ratio.
    ratios = steps / fade[:, 0, 0, 0].float().diff()
    assert ratios.std() < 0.05
    assert abs(float(ratios.mean()) - 1) > 0.02


def test_same_seed_same_clip_and_the_global_state_is_untouched():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draws = [ClipAugmentation(seed=5)(clip())[0] for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], ClipAugmentation(seed=6)(clip())[0])
    augment = ClipAugmentation(seed=5)
    assert not torch.equal(augment(clip())[0], augment(clip())[0])
    assert torch.equal(torch.get_rng_state(), before)
    given = [augment(clip(), generator=torch.Generator().manual_seed(9))[0] for _ in range(2)]
    assert torch.equal(*given)


def test_flips_only_where_the_label_allows_it():
    flips = {"left": "right", "right": "left", "bounce": "bounce"}
    augment = ClipAugmentation(**PLAIN, flips=flips, flip_probability=1.0)
    assert augment(clip(), "left")[1] == "right"
    assert torch.equal(augment(clip(), "left")[0], clip().flip(-1))
    assert augment(clip(), "bounce")[1] == "bounce"
    unknown, label = augment(clip(), "rotate")
    assert label == "rotate"
    assert torch.equal(unknown, clip())
    never = ClipAugmentation(**PLAIN, flip_probability=1.0)
    assert torch.equal(never(clip(), "left")[0], clip())


def test_other_draws_do_not_depend_on_the_label():
    augment = {"flips": {"left": "right"}, "flip_probability": 0.0}
    a, _ = ClipAugmentation(seed=2, **augment)(clip(), "left")
    b, _ = ClipAugmentation(seed=2, **augment)(clip(), "something else")
    assert torch.equal(a, b)


def test_speed_resamples_time():
    numbered = torch.arange(8).view(8, 1, 1, 1).expand(8, 3, 8, 8).clone().to(torch.uint8)
    fast, _ = ClipAugmentation(**PLAIN, speed=(2.0, 2.0))(numbered)
    assert fast[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 7, 7, 7, 7]
    slow, _ = ClipAugmentation(**PLAIN, speed=(0.5, 0.5))(numbered)
    assert slow[:, 0, 0, 0].tolist() == [0, 0, 1, 2, 2, 2, 3, 4]  # halves go to the even frame
    shaken, _ = ClipAugmentation(**PLAIN, jitter=1.5, seed=1)(numbered)
    times = shaken[:, 0, 0, 0].tolist()
    assert times == sorted(times)
    assert times != list(range(8))


def test_nothing_drawn_is_nothing_changed():
    same, label = ClipAugmentation(**PLAIN)(clip(), 3)
    assert torch.equal(same, clip())
    assert label == 3
    plain = build_augmentation(train=False, size=16)
    assert torch.equal(plain(clip(), "a")[0], plain(clip(), "a")[0])
    assert plain(clip())[0].shape == (6, 3, 16, 16)
    assert build_augmentation(size=16, flips={"a": "b"}, speed=(0.8, 1.2)).speed == (0.8, 1.2)


def test_float_and_grey_clips():
    unit = clip().float() / 255
    changed, _ = ClipAugmentation(seed=1)(unit)
    assert changed.dtype == torch.float32
    assert 0 <= changed.min() <= changed.max() <= 1
    grey, _ = ClipAugmentation(seed=1)(clip()[:, :1])
    assert grey.shape == (6, 1, 32, 32)
    normal = to_float(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8))
    assert normal[0, 0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229, abs=1e-4)


def test_it_travels_to_workers_with_its_state():
    augment = ClipAugmentation(seed=4)
    augment(clip())
    twin = pickle.loads(pickle.dumps(augment))
    assert torch.equal(augment(clip())[0], twin(clip())[0])


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (0.0, 1.0)}, {"scale": (1.0, 0.5)}, {"speed": (0, 1)}, {"hue": 0.7}, {"jitter": -1}],
)
def test_mistakes_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClipAugmentation(**wrong)
    with pytest.raises(ValueError, match="shape"):
        ClipAugmentation()(clip()[0])
