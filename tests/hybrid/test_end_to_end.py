"""Encoder and recommender trained together, on a handful of drawn clips."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.events import library
from vidrec_utils import datasets, video_io
from vidrec_utils import recommender as rec
from vidrec_utils.hybrid import EndToEnd, clip_networks, compare_sources, source_models

SMALL = {"encoder": "small", "dim": 8, "length": 5, "epochs": 6, "batch_size": 16, "least": 0.0}


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn_clips(n=10, seed=0):
    """A bar over noise: even clips are bright and it moves to the right, odd ones dark, left."""
    rng = np.random.default_rng(seed)
    clips = {}
    for video in range(n):
        clip = rng.integers(0, 60, (8, 32, 32, 3), dtype=np.uint8) + (video % 2 == 0) * 120
        for t in range(8):
            left = 3 * t if video % 2 == 0 else 28 - 3 * t
            clip[t, :, left : left + 4] = 255
        clips[str(video)] = clip.astype(np.uint8)
    return clips


def tastes(n_users=24, n_videos=10, cold=2, seed=0):
    """Even users watch even videos; the last two videos are cold."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{u:02d}", v)
        for u in range(n_users)
        for v in rng.permutation(np.arange(u % 2, n_videos - cold, 2))[:3]
    ]
    return library(rows, range(n_videos))


def encoder_of(model):
    return {k: v.numpy().copy() for k, v in model.vectors.encoder.state_dict().items()}


def test_the_loss_falls_and_cold_clips_go_to_those_who_like_their_kind():
    model = EndToEnd(drawn_clips(), **{**SMALL, "epochs": 40}).fit(tastes())
    assert model.losses[-1] < 0.8 * model.losses[0]
    scores = model.score(["u00", "u01"])
    assert scores[0, 8] > scores[0, 9]
    assert scores[1, 9] > scores[1, 8]


def test_gradients_reach_every_part_of_the_encoder_and_frozen_leaves_it_untouched():
    first = {k: v.numpy() for k, v in clip_networks.trainable_part("small", 3).state_dict().items()}
    joint = encoder_of(EndToEnd(drawn_clips(), "joint", seed=3, **SMALL).fit(tastes()))
    frozen = encoder_of(EndToEnd(drawn_clips(), "frozen", seed=3, **SMALL).fit(tastes()))
    for name, before in first.items():
        np.testing.assert_array_equal(frozen[name], before)
        assert not np.array_equal(joint[name], before), name


def test_a_step_is_the_gradient_of_the_loss_through_both_networks():
    """The gradient in the first layer equals a difference quotient of the loss."""
    data = tastes()
    model = EndToEnd(drawn_clips(), seed=1, dropout=0.0, **{**SMALL, "epochs": 1, "batch_size": 99})
    model.encoder_rate, model.learning_rate = 1e-12, 1e-12  # the weights stay
    model.fit(data)
    weight = model.vectors.encoder.layers[0].weight
    gradient = weight.grad.clone()
    place = np.unravel_index(gradient.abs().argmax().item(), gradient.shape)
    losses = []
    for step in (1e-2, -1e-2):
        moved = copy.deepcopy(model.vectors.encoder)
        moved.layers[0].weight.data[place] += step
        other = EndToEnd(drawn_clips(), seed=1, dropout=0.0, **{**SMALL, "epochs": 1})
        other.batch_size, other.learning_rate, other.encoder_rate = 99, 1e-12, 1e-12
        other._vectors = lambda moved=moved: with_statistics(model, moved)
        losses.append(other.fit(data).losses[0])
    quotient = (losses[0] - losses[1]) / 2e-2
    assert quotient == pytest.approx(gradient[place].item(), rel=0.05)


def with_statistics(model, encoder):
    """The first model's vectors with another encoder; its normalisation is kept."""
    vectors = copy.deepcopy(model.vectors)
    vectors.encoder = encoder
    vectors.set_clips = lambda inputs, rows: vectors
    return vectors


def test_a_step_may_encode_few_clips_and_all_are_encoded_anew_in_the_end():
    clips = drawn_clips()
    model = EndToEnd(clips, fresh=2, **SMALL).fit(tastes())
    table = model.model.video.weight.detach().numpy()
    np.testing.assert_allclose(model.encode(list(clips.values())), table[:10], rtol=1e-4, atol=1e-5)
    sizes = []
    model.vectors.train()
    model.vectors.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    model.vectors(torch.arange(7))
    model.vectors.eval()(torch.arange(7))
    assert sizes == [2]


def test_ids_put_cold_videos_last():
    model = EndToEnd(source="ids", **SMALL).fit(tastes())
    scores = model.score(["u00", "u01"])
    assert (scores[:, :8].min(axis=1) > scores[:, 8:].max(axis=1)).all()
    assert model.name == "ids"
    with pytest.raises(ValueError, match="cannot encode"):
        model.encode([])


@pytest.mark.parametrize("source", ["joint", "frozen"])
def test_new_clips_are_encoded_as_those_of_the_catalogue(source):
    clips = drawn_clips()
    model = EndToEnd(clips, source, **SMALL).fit(tastes())
    table = model.model.video.weight.detach().numpy()
    np.testing.assert_allclose(model.encode([clips["3"]])[0], table[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", ["joint", "frozen"])
def test_videos_without_a_clip_share_a_learned_vector(source):
    clips = drawn_clips()
    del clips["2"], clips["9"]
    model = EndToEnd({**clips, "elsewhere": clips["0"]}, source, **SMALL).fit(tastes())
    scores = model.score(["u00", "u01", "nobody"])
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores[:2, 2], scores[:2, 9])
    with pytest.raises(ValueError, match="None of the videos has a clip"):
        EndToEnd({}, source, **SMALL).fit(tastes())


@pytest.mark.parametrize("source", ["ids", "frozen", "joint"])
def test_deterministic_by_seed_and_equal_from_disk(source, tmp_path):
    data, clips = tastes(), drawn_clips()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    model, same, other = (EndToEnd(clips, source, seed=s, **SMALL).fit(data) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    users = ["u00", "u07", "nobody"]
    np.testing.assert_array_equal(model.score(users), same.score(users))
    assert not np.array_equal(model.score(users), other.score(users))
    again = rec.load(model.save(tmp_path))
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    np.testing.assert_array_equal(again.score(users), model.score(users))
    if source != "ids":
        np.testing.assert_array_equal(again.encode([clips["4"]]), model.encode([clips["4"]]))
        with pytest.raises(ValueError, match="does not hold them"):
            again.fit(data)
    again.clips = clips
    np.testing.assert_array_equal(again.fit(data).score(users), model.score(users))


def test_unknown_users_one_user_one_video_and_sessions():
    clips = drawn_clips()
    model = EndToEnd(clips, **SMALL).fit(tastes())
    np.testing.assert_array_equal(model.score("nobody")[0], model.popularity)
    assert len(model.recommend_next(["0", "2"], 99)) == 8
    for source in ("joint", "ids"):
        one = EndToEnd({"a": clips["0"]}, source, **SMALL).fit(library([("u", "a")], "a"))
        assert one.losses == []
        assert len(one.recommend("u", 9)) == 0
        assert one.recommend("u", 9, exclude_seen=False)["video_id"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"source": "pixels"}, "'ids', 'frozen', 'joint'"),
        ({"encoder": "vgg"}, "'slowfast_mini', 'small'"),
        ({"encoder_rate": 0}, "positive"),
        ({"fresh": 0}, "fresh is 0"),
        ({"dim": 0}, "dim is 0"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        EndToEnd(**options)


def test_clips_are_read_at_one_rate(tmp_path):
    """Clips that get lighter by 30 grey levels a second: a window in the middle of each."""
    for name, seconds in {"exact": 2, "long": 6, "short": 1}.items():
        grey = (np.arange(seconds * 16) + 0.5) / 16 * 30
        frames = np.broadcast_to(grey[:, None, None, None], (len(grey), 16, 16, 3))
        video_io.write_clip(tmp_path / f"{name}.mp4", frames.round().astype(np.uint8), fps=16)
    (tmp_path / "broken.mp4").write_text("no video", encoding="utf-8")
    ids = ["exact", "long", "short", "broken"]
    videos = pd.DataFrame({"video_id": ids, "path": [f"{name}.mp4" for name in ids]}, dtype="str")
    log = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    data = datasets.VideoLibrary(videos, log, root=tmp_path)
    clips = clip_networks.read_clips(data, frames=4, size=16)
    assert [*clips] == ["exact", "long", "short"]
    seconds = {"exact": [0.25, 0.75, 1.25, 1.75], "long": [2.25, 2.75, 3.25, 3.75]}
    for name, times in (seconds | {"short": [0.25, 0.75, 0.25, 0.75]}).items():
        grey = clips[name].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(grey, 30 * np.array(times), atol=4)
    stretched = clip_networks.read_clips(data, frames=4, size=16, short="stretch")
    grey = stretched["short"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(grey, 30 * np.array([0.125, 0.375, 0.625, 0.875]), atol=4)
    np.testing.assert_array_equal(stretched["long"], clips["long"])
    np.testing.assert_array_equal(
        clips["exact"], video_io.sample_frames(tmp_path / "exact.mp4", 4, size=16)
    )


def test_the_cut_network_is_the_whole_one():
    from vidrec_utils.video_encoders import mini

    clips = [np.repeat(np.repeat(c, 2, axis=1), 2, axis=2) for c in drawn_clips(2).values()]
    top = clip_networks.trainable_part("slowfast_mini").eval()
    with torch.no_grad():
        got = top(*clip_networks.prepare("slowfast_mini", clips)).numpy()
    np.testing.assert_allclose(got, mini.load("slowfast_mini").encode(clips), rtol=1e-3, atol=1e-4)


def test_the_comparison_holds_each_source_for_each_seed():
    data = tastes()
    events = data.interactions
    later = [(f"u{u:02d}", 8 + u % 2) for u in range(24)]
    test = library(later, range(10)).interactions
    split = datasets.Split(events, events.iloc[:0], test, data.videos, "by hand")
    options = {**SMALL, "epochs": 25, "on": "test"}
    table = compare_sources(drawn_clips(), split, seeds=(0, 1), k=1, **options)
    assert table["source"].tolist() == ["ids", "frozen", "joint"] * 2
    cold = table.groupby("source")["cold"].mean()
    # ids know neither of the two cold videos: the first of the catalogue, which half of them watch
    assert cold["ids"] == 0.5
    assert table["all"].between(0, 1).all()


def test_sources_share_what_the_frozen_stages_compute_and_find_it_again(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path))
    clips = drawn_clips()
    models = source_models(clips, **SMALL)
    assert list(models) == ["ids", "frozen", "joint"]
    assert models["ids"].prepared is None
    (kept,) = models["joint"].prepared
    (fresh,) = clip_networks.prepare("small", list(clips.values()))
    assert torch.allclose(kept, fresh, atol=2e-3)  # 16 bits
    monkeypatch.setattr(clip_networks, "prepare", lambda *_: pytest.fail("computed again"))
    again = source_models(clips, ("joint",), **SMALL)["joint"]
    assert torch.equal(again.prepared[0], kept)
    with pytest.raises(pytest.fail.Exception):
        source_models({"0": clips["1"]}, ("frozen",), **SMALL)  # another clip is no hit
