"""Attributions equal what closed forms and Captum give, and refuse what they cannot explain."""

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from scipy import ndimage

from vidrec_utils import encoders, image_encoders, text_encoders, video_encoders
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.explanations import NotExplainable
from vidrec_utils.interpretability import (
    Head,
    NoGradients,
    Target,
    baseline_items,
    cam,
    class_head,
    classifier_head,
    completeness_error,
    grad_cam,
    image_attention,
    integrated_gradients,
    interrupted,
    layer_gradients,
    map_layers,
    occlude_sound,
    occlude_space,
    occlude_time,
    occlude_tubes,
    randomized,
    recommendation_head,
    saliency,
    token_attributions,
)
from vidrec_utils.linear_probe import probe_scores


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8) for _ in range(2)]


@pytest.fixture(scope="module")
def lite0():
    return image_encoders.load("efficientnet_lite0", size=64)


@pytest.fixture(scope="module")
def lite0_target(lite0) -> Target:
    return Target(lite0, classifier_head(lite0, 7))


@pytest.fixture(scope="module")
def i3d() -> Target:
    encoder = video_encoders.load("i3d_mini")
    weight = np.random.default_rng(2).normal(size=encoder.dim)
    return Target(encoder, Head("drawn", weight, 0.5))


def average_target() -> Target:
    encoder = video_encoders.load("frame_average", frames=4, size=64)
    return Target(encoder, Head("drawn", np.random.default_rng(3).normal(size=encoder.dim)))


# --- targets


def test_a_classifier_head_is_the_networks_own_logit(lite0, lite0_target, images) -> None:
    assert np.allclose(lite0_target.scores(images), lite0.classify(images)[:, 7], atol=1e-4)
    with torch.no_grad():
        differentiable = lite0_target(lite0_target.prepare(images)).numpy()
    assert np.allclose(differentiable, lite0_target.scores(images), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_head_is_the_logit_of_the_linear_probe(classes) -> None:
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(60) % classes).map(lambda n: f"class {n}")
    vectors = pd.DataFrame(rng.normal(size=(60, 5)) + (np.arange(60) % classes)[:, None])
    logits = np.column_stack(
        [
            class_head(vectors, labels, label, strength=0.1).of_vectors(vectors.to_numpy())
            for label in sorted(labels.unique())
        ]
    )
    expected = probe_scores(vectors, labels, strength=0.1).to_numpy()
    if classes == 2:
        shares = 1 / (1 + np.exp(-logits))
    else:
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(shares, expected, atol=1e-5)


def test_a_recommendation_head_is_the_recommenders_score(lite0, images) -> None:
    ids = ["a", "b", "c"]
    vectors = pd.DataFrame(lite0.encode(images), index=ids)
    log = pd.DataFrame({"user_id": ["ann", "ann"], "video_id": ["a", "b"], "watch_ratio": [1, 0.5]})

    class Library:
        videos, interactions = pd.DataFrame(index=ids), log

    model = ContentRecommender(vectors).fit(Library())
    target = Target(lite0, recommendation_head(model, "ann"))
    assert np.allclose(target.scores(images), model.score(["ann"])[0], atol=1e-5)
    values = integrated_gradients(target, images[:1], steps=64)
    assert abs(completeness_error(target, images[:1], values)[0]) < 0.05
    with pytest.raises(KeyError, match="nobody"):
        recommendation_head(model, "nobody")


def test_a_user_without_a_profile_has_no_head() -> None:
    log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"], "watch_ratio": [1.0]})
    vectors = pd.DataFrame({"x": [np.nan, 1.0]}, index=["a", "b"])

    class Library:
        videos, interactions = pd.DataFrame(index=["a", "b"]), log

    with pytest.raises(NotExplainable, match="popular"):
        recommendation_head(ContentRecommender(vectors).fit(Library()), "ann")


def test_heads_and_targets_refuse_what_does_not_fit(lite0) -> None:
    with pytest.raises(ValueError, match="1280"):
        Target(lite0, Head("short", np.zeros(3)))
    with pytest.raises(ValueError, match="bird"):
        class_head(np.zeros((2, 2)), pd.Series(["cat", "dog"]), "bird")
    with pytest.raises(ValueError, match="bird"):  # a class alone cannot be told from others
        class_head(np.zeros((2, 2)), pd.Series(["bird", "bird"]), "bird")
    with pytest.raises(ValueError, match="0 to 999"):
        classifier_head(lite0, 1000)
    with pytest.raises(ValueError, match="no linear classifier"):
        classifier_head(image_encoders.load("pixels"), 0)


def test_encoders_without_gradients_say_so_and_are_explained_by_occlusion(lite0, images) -> None:
    pytest.importorskip("openvino")
    fast = encoders.accelerate(lite0)
    target = Target(fast, classifier_head(lite0, 7))
    for method in (grad_cam, cam, saliency, integrated_gradients):
        with pytest.raises(NoGradients, match=r"openvino .*`encoder\.encoder`"):
            method(target, images)
    slow = occlude_space(Target(lite0, target.head).scores, images[0], patch=32)
    assert np.allclose(occlude_space(target.scores, images[0], patch=32), slow, atol=1e-3)
    pixels = image_encoders.load("pixels")
    with pytest.raises(NoGradients, match="no PyTorch network"):
        grad_cam(Target(pixels, Head("mean", np.ones(pixels.dim))), images)


def test_random_weights_must_be_calibrated(images) -> None:
    encoder = image_encoders.load("efficientnet_lite0", "random", size=64)
    with pytest.raises(RuntimeError, match="calibrate"):
        grad_cam(Target(encoder, Head("drawn", np.ones(encoder.dim))), images)


def test_shuffled_weights_forget_and_leave_the_original_alone(lite0_target, images) -> None:
    before = lite0_target.scores(images)
    shuffled = randomized(lite0_target, images, seed=1)
    assert not np.allclose(shuffled.scores(images), before)
    assert np.isfinite(shuffled.scores(images)).all()
    assert (
        np.ptp(shuffled.encoder.encode(images), axis=0).max() > 1e-3
    )  # it still tells items apart
    assert (lite0_target.scores(images) == before).all()
    assert (
        randomized(lite0_target, images, seed=1).scores(images) == shuffled.scores(images)
    ).all()


# --- Grad-CAM


@pytest.mark.parametrize("name", ["image", "average"])
def test_grad_cam_is_cam_where_the_head_is_pooling_and_linear(name, lite0_target, images, clips):
    target, items = (lite0_target, images) if name == "image" else (average_target(), clips)
    maps = map_layers(target, items)["maps"]
    positions = np.prod(maps[1:]) * (1 if name == "image" else 4)
    assert np.allclose(
        grad_cam(target, items, signed=True) * positions,
        cam(target, items, signed=True),
        rtol=1e-3,
        atol=1e-4,
    )


def test_signed_cam_averages_to_the_score(lite0_target, images) -> None:
    # w . mean(A) + b: each position holds what it adds
    maps, _ = layer_gradients(lite0_target, images)
    weight = torch.as_tensor(lite0_target.head.weight, dtype=torch.float32)
    plane = (maps * weight[:, None, None]).sum(dim=1)
    means = plane.mean(dim=(1, 2)).numpy() + lite0_target.head.bias
    assert np.allclose(means, lite0_target.scores(images), atol=1e-3)


@pytest.mark.parametrize("layer", ["_blocks.10", "_blocks.15"])
def test_grad_cam_equals_captum_in_2d(layer, lite0_target, images) -> None:
    module = lite0_target.network.get_submodule(layer)
    reference = LayerGradCam(lite0_target, module).attribute(lite0_target.prepare(images))
    large = torch.nn.functional.interpolate(
        reference.relu(), size=(64, 64), mode="bilinear", align_corners=False
    )
    assert np.allclose(grad_cam(lite0_target, images, layer), large[:, 0].detach(), atol=1e-5)


def test_grad_cam_equals_captum_in_3d(clips) -> None:
    encoder = video_encoders.load("slowfast_mini")
    weight = np.random.default_rng(4).normal(size=encoder.dim)
    target = Target(encoder, Head("drawn", weight))
    layer = "net.blocks.3.multipathway_blocks.0"
    module = target.network.get_submodule(layer)
    reference = LayerGradCam(target, module).attribute(target.prepare(clips))
    large = torch.nn.functional.interpolate(
        reference.relu(), size=(16, 64, 64), mode="trilinear", align_corners=False
    )
    maps = grad_cam(target, clips, layer)
    assert maps.shape == (2, 16, 64, 64)
    assert np.allclose(maps, large[:, 0].detach(), atol=1e-5)


def test_maps_of_clips_have_the_grid_of_the_frames(i3d, clips) -> None:
    assert grad_cam(i3d, clips).shape == (2, 16, 64, 64)
    assert grad_cam(average_target(), clips).shape == (2, 4, 64, 64)
    two_stream = video_encoders.load("two_stream_mini")
    target = Target(two_stream, Head("drawn", np.ones(two_stream.dim)))
    assert grad_cam(target, clips).shape == (2, 16, 64, 64)  # of the temporal stream


def test_an_unknown_layer_lists_the_right_ones(lite0_target, images) -> None:
    with pytest.raises(ValueError, match=r"no layer 'layer4'.*_blocks\.15.*maps"):
        grad_cam(lite0_target, images, "layer4")
    with pytest.raises(ValueError, match="_conv_stem"):  # it exists, and has no maps
        grad_cam(lite0_target, images, "_fc")


def test_the_network_is_left_as_it_was(lite0_target, images) -> None:
    grad_cam(lite0_target, images)
    assert "maps" not in vars(lite0_target.network)
    assert all(p.grad is None for p in lite0_target.network.parameters())


def test_cam_refuses_a_network_of_another_kind(i3d, clips) -> None:
    with pytest.raises(ValueError, match="grad_cam"):  # its vector holds maxima, too
        cam(i3d, clips)


# --- gradients


@pytest.mark.parametrize("baseline", ["grey", "black", "blurred", "frozen"])
def test_integrated_gradients_add_up(baseline, clips) -> None:
    encoder = video_encoders.load("slowfast_mini")
    target = Target(encoder, Head("drawn", np.random.default_rng(2).normal(size=encoder.dim)))
    smooth = ndimage.gaussian_filter(clips[0].astype(float), (1, 4, 4, 0))
    clip = [(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)]
    values = integrated_gradients(target, clip, baseline, steps=96)
    gap = abs(target.scores(clip) - target.scores(baseline_items(clip, baseline)))[0]
    assert abs(completeness_error(target, clip, values, baseline)[0]) < 0.1 * max(gap, 1)


def test_integrated_gradients_equal_captum_and_a_sum_by_hand(lite0_target, images) -> None:
    item = images[:1]
    ours = integrated_gradients(lite0_target, item, "grey", steps=32)
    x = lite0_target.prepare(item)
    start = lite0_target.prepare(baseline_items(item, "grey"))
    reference = IntegratedGradients(lite0_target).attribute(x, baselines=start, n_steps=32)
    captums = reference.sum(dim=1)[0].detach().numpy()
    # rounding decides on which side of a kink of ReLU6 a point lies
    assert np.corrcoef(captums.ravel(), ours[0].ravel())[0, 1] > 0.999
    points = (np.arange(64) + 0.5) / 64  # midpoints instead of Gauss-Legendre
    total = sum(lite0_target.gradient(start + float(a) * (x - start)) for a in points) / 64
    by_hand = ((x - start) * total).sum(dim=1)[0].numpy()
    assert np.corrcoef(by_hand.ravel(), ours[0].ravel())[0, 1] > 0.95


def test_frozen_attributes_nothing_where_nothing_moves(i3d, clips) -> None:
    clip = clips[0].copy()
    clip[:, 32:] = clip[:1, 32:]  # the lower half is still
    values = integrated_gradients(i3d, [clip], "frozen", steps=4)[0]
    assert np.abs(values[:, :32]).max() > 0
    assert np.allclose(values[:, 32:], 0, atol=1e-6)
    with pytest.raises(ValueError, match="does not move"):
        baseline_items([clip[0]], "frozen")
    with pytest.raises(ValueError, match="baseline"):
        baseline_items([clip], "white")


def test_saliency_is_the_length_of_the_gradient(lite0_target, images) -> None:
    x = lite0_target.prepare(images[:1])
    gradient = lite0_target.gradient(x)[0]
    direction = gradient / gradient.norm()
    step = 1e-2
    with torch.no_grad():
        slope = (lite0_target(x + step * direction) - lite0_target(x - step * direction)) / (
            2 * step
        )
    assert abs(float(slope[0]) - float(gradient.norm())) < 0.1 * float(gradient.norm())
    assert np.allclose(saliency(lite0_target, images[:1])[0], gradient.norm(dim=0), atol=1e-6)


# --- occlusion


def test_occlusion_equals_captum(lite0_target, images) -> None:
    image = images[0]
    colour = image.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    start = lite0_target.prepare([np.broadcast_to(colour, image.shape).copy()])
    x = lite0_target.prepare([image])
    reference = Occlusion(lite0_target).attribute(
        x, sliding_window_shapes=(3, 16, 16), strides=(3, 16, 16), baselines=start
    )
    ours = occlude_space(lite0_target.scores, image, patch=16)
    assert np.allclose(ours, reference[0, 0].detach(), atol=1e-3)


def test_a_pixel_has_the_mean_of_the_squares_that_cover_it() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[1, 1] = 160
    brightness = occlude_space(lambda items: np.array([i[1, 1, 0] for i in items]), image, 2, 1)
    assert brightness[1, 1] == 150  # all four squares hide it behind the mean colour, 10
    assert brightness[0, 0] == 150  # one square, which hides it, too
    assert brightness[3, 3] == 0


def test_time_is_frozen_or_dropped() -> None:
    clip = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(3, axis=3)

    def steps(clips: list[np.ndarray]) -> np.ndarray:
        return np.array([np.abs(np.diff(c[:, 0, 0, 0].astype(int))).sum() for c in clips])

    assert np.allclose(occlude_time(steps, clip, 2, "frozen"), [2, 1, 0, 0, 1, 2])
    longest = occlude_time(lambda clips: np.array([len(c) for c in clips]), clip, 2, "dropped")
    assert (longest == 2).all()
    with pytest.raises(ValueError, match="not a part"):
        interrupted(clip, 0, 6)
    with pytest.raises(ValueError, match="not a part"):
        interrupted(clip, 3, 3)
    with pytest.raises(ValueError, match="how"):
        interrupted(clip, 1, 2, "blurred")


def test_a_tube_finds_where_and_when_something_moves() -> None:
    clip = np.zeros((6, 4, 4, 3), np.uint8)
    clip[3:, :2, 2:] = 100  # from the fourth frame on, at the top right

    def change(clips: list[np.ndarray]) -> np.ndarray:
        return np.array([np.abs(np.diff(c.astype(int), axis=0)).max(axis=0).sum() for c in clips])

    late = np.zeros((6, 4, 4, 3), np.uint8)
    late[3] = clip[3]  # a flash that freezing hides
    lost = occlude_tubes(change, late, patch=2, window=2)
    assert (lost > 0).any(axis=(1, 2)).tolist() == [False, False, True, True, False, False]
    assert (lost[2] > 0).astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0] * 4, [0] * 4]
    with pytest.raises(ValueError, match="does not fit"):
        occlude_tubes(change, clip, patch=5)
    with pytest.raises(ValueError, match="does not fit"):
        occlude_space(change, clip, patch=5)


def test_sound_is_silenced_where_it_matters() -> None:
    times = np.arange(1600) / 16_000
    tones = np.concatenate([np.sin(2 * np.pi * f * times) for f in (400, 3000)])
    energy = occlude_sound(
        lambda sounds: np.array([np.mean(s**2) for s in sounds]), tones, 2, (0, 1000, 8000)
    )
    assert energy[0, 0] > 0.2
    assert energy[1, 1] > 0.2
    assert abs(energy[[0, 1], [1, 0]]).max() < 0.01
    with pytest.raises(ValueError, match="ascend"):
        occlude_sound(len, tones, 2, (1000, 0))
    with pytest.raises(ValueError, match="no 8 stretches"):
        occlude_sound(len, tones[:4])


# --- attention and tokens


def test_text_attributions_add_up_and_agree_on_the_word() -> None:
    encoder = text_encoders.load("minilm")
    texts = ["a cat", "my cats", "a train", "old trains", "cat food", "train station"]
    labels = pd.Series(["animal", "animal", "traffic", "traffic", "animal", "traffic"])
    target = Target(encoder, class_head(encoder.encode(texts), labels, "animal", strength=1))
    text = "the cat on a chair"
    tables = {
        way: token_attributions(target, text, way)
        for way in ("integrated", "occlusion", "weighted attention", "rollout")
    }
    for way in ("integrated", "occlusion"):
        table = tables[way]
        assert table["token"].tolist() == encoder.tokens(text)
        assert table.loc[table["value"].idxmax(), "token"] == "cat", way
    inner = tables["weighted attention"].iloc[1:-1]
    assert inner.loc[inner["value"].idxmax(), "token"] == "cat"
    assert np.isclose(tables["rollout"]["value"].sum(), 1)
    net, (ids, mask, _) = encoder.net, encoder.network_inputs([text])
    empty = torch.zeros_like(net.get_input_embeddings()(ids))
    with torch.no_grad():
        states = net(inputs_embeds=empty, attention_mask=mask).last_hidden_state
    vector = torch.nn.functional.normalize(states.mean(dim=1), dim=1)
    difference = target.scores([text])[0] - target.head.of_vectors(vector.numpy())[0]
    assert abs(tables["integrated"]["value"].sum() - difference) < 0.05 * abs(difference) + 0.01
    with pytest.raises(ValueError, match="blank"):
        token_attributions(target, " ")
    with pytest.raises(ValueError, match="way"):
        token_attributions(target, text, "guess")


def test_tokens_of_images_are_refused(lite0_target) -> None:
    with pytest.raises(NoGradients, match="no text encoder"):
        token_attributions(lite0_target, "a cat")


def test_attention_of_a_vision_transformer(images) -> None:
    encoder = image_encoders.load("dinov2_small", "random", size=42)
    target = Target(encoder, Head("drawn", np.random.default_rng(0).normal(size=encoder.dim)))
    usual = encoder.net.net.config._attn_implementation
    weighted = image_attention(target, images[:1])
    rollout = image_attention(target, images[:1], "rollout")
    assert weighted.shape == rollout.shape == (1, 3, 3)
    assert weighted.min() >= 0
    assert rollout.sum() < 1  # the rest stays with the class token
    other = target.with_head(Head("other", -target.head.weight))
    assert np.allclose(image_attention(other, images[:1], "rollout"), rollout)
    assert not np.allclose(image_attention(other, images[:1]), weighted)
    assert encoder.net.net.config._attn_implementation == usual


def test_a_network_without_attention_is_refused(lite0_target, images) -> None:
    with pytest.raises(ValueError, match="shows no attention"):
        image_attention(lite0_target, images)
