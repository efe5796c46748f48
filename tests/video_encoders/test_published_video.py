"""Networks with published weights: their layout, preprocessing, layers and bad servers."""

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from tests.helpers.model_server import ModelServer, hub
from vidrec_utils import video_encoders
from vidrec_utils.encoders import Encoder, WeightsError, WeightsNotAvailable, download
from vidrec_utils.files import sha256
from vidrec_utils.video_encoders import published, slowfast, videomae
from vidrec_utils.video_encoders.catalogue import CATALOGUE

SMALL = {entry.name: entry.smallest for entry in CATALOGUE if entry.published}
NETWORKS = {entry.name: entry for entry in published.ENTRIES}
ODD = ((9, 40, 60, 3), (1, 90, 33, 3), (2, 32, 32, 3))  # longer, one frame, shorter than the window


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ODD]


@pytest.fixture(scope="module")
def encoders(clips):
    made = {}
    for name, small in SMALL.items():
        made[name] = video_encoders.load(name, "random", device="cpu", **small)
        if not made[name].calibrated:
            made[name].calibrate(clips)
    return made


def photographs(time=3, height=200, width=300):
    """A clip of a photograph that slides, as uint8 (time, height, width, 3)."""
    whole = data.astronaut()
    return np.stack([whole[20 + 4 * t :, 30:][:height, :width] for t in range(time)])


def test_contracts_are_told_before_any_weights_are_read():
    catalogue = video_encoders.available()
    contracts = {
        "i3d_r50": [8, 30 / 8, 256],
        "slowfast_r50": [32, 30 / 2, 224],
        "x3d_s": [13, 30 / 6, 182],
        "r2plus1d_18": [16, 15.0, 112],
        "mvit_v2_s": [16, 30 / 4, 224],
        "videomae_small": [16, 30 / 4, 224],
    }
    for name, contract in contracts.items():
        assert catalogue.loc[name, ["frames", "rate", "size"]].to_list() == contract
    assert (catalogue["shorter"] == "frames repeat").all()
    ours = {"lite0_correlation", "two_stream_mini", "i3d_mini", "slowfast_mini"}
    ours |= {"lite0_appearance_motion"}
    assert set(catalogue.index[catalogue["rate"].notna()]) == set(contracts) | ours
    for column in (
        "family",
        "parameters",
        "gflops",
        "dim",
        "licence",
        "pretrained_on",
        "available",
    ):
        assert catalogue[column].notna().all(), column


@pytest.mark.parametrize("name", SMALL)
def test_protocol_and_odd_clips_in_one_batch(encoders, clips, name):
    encoder = encoders[name]
    row = video_encoders.available().loc[name]
    assert isinstance(encoder, Encoder)
    assert (row["parameters"], row["dim"]) == (encoder.parameters, encoder.dim)
    assert encoder.frame_contract.frames == SMALL[name]["frames"]
    together = encoder.encode(clips)
    assert together.shape == (3, encoder.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    scale = np.abs(together).max()
    alone = encoder.encode(clips[1:2])
    np.testing.assert_allclose(together[1:2] / scale, alone / scale, atol=1e-4)
    np.testing.assert_array_equal(alone, encoder.encode(clips[1:2]))
    assert np.abs(together[0] - together[2]).max() > 1e-3 * scale
    assert encoder.encode([]).shape == (0, encoder.dim)
    with pytest.raises(ValueError, match=r"Clip 0 is float32 of shape"):
        encoder.encode([clips[0].astype("f4")])


@pytest.mark.parametrize("name", SMALL)
def test_layers_for_the_audit(encoders, clips, name):
    encoder = encoders[name]
    shapes = {}
    for layer in encoder.layers:
        got = encoder.activations(clips[2:], layer)
        assert (got.dtype, len(got)) == (torch.float32, 1)
        assert torch.isfinite(got).all()
        shapes[layer] = got.shape
    stages = [layer for layer in encoder.layers if layer.startswith("stage")]
    assert [len(shapes[stage]) for stage in stages] == [5] * 4
    assert shapes["penultimate"] == (1, encoder.dim)
    assert shapes["logits"] == (1, 400)
    np.testing.assert_array_equal(
        encoder.activations(clips[2:], "penultimate").numpy(), encoder.encode(clips[2:])
    )
    with pytest.raises(ValueError, match="choose from stage1"):
        encoder.activations(clips, "stage9")


@pytest.mark.parametrize("name", ["i3d_r50", "x3d_s", "slowfast_r50", "r2plus1d_18", "mvit_v2_s"])
def test_logits_equal_the_library_s_own_forward(encoders, clips, name):
    encoder = encoders[name]
    x = encoder.prepare(clips[2:])
    with torch.inference_mode():
        given = [x[:, :, ::4].clone(), x.clone()] if name == "slowfast_r50" else x
        kept = x.clone()
        ours = encoder.net(x)
        theirs = encoder.net.net(given)
        assert torch.equal(x, kept)  # SlowFast overwrites its list of inputs, not the caller's
    if name == "x3d_s":  # its head ends with a softmax
        ours = ours.softmax(dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_fitted_pools_are_the_zoo_s_where_their_window_fits():
    x = torch.randn(1, 2, 5, 8, 9)
    pool = torch.nn.AvgPool3d((4, 7, 7), stride=1)
    torch.testing.assert_close(slowfast.FittedPool((4, 7, 7), 1)(x), pool(x))
    less = slowfast.FittedPool((4, 7, 7), 1)(x[:, :, :2, :3])
    torch.testing.assert_close(less, torch.nn.AvgPool3d((2, 3, 7), stride=1)(x[:, :, :2, :3]))


def test_videomae_logits_equal_the_library_s_own_forward(encoders, clips):
    net = encoders["videomae_small"].net
    x = encoders["videomae_small"].prepare(clips[:1])
    with torch.inference_mode():
        out = net.net(pixel_values=x.transpose(1, 2), output_hidden_states=True)
        torch.testing.assert_close(net(x), out.logits, rtol=1e-4, atol=1e-5)
        maps = net.maps(x).flatten(2).transpose(1, 2)
        torch.testing.assert_close(maps, out.hidden_states[-1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            net.activations(x, "stage2").flatten(2).transpose(1, 2), out.hidden_states[6]
        )


@pytest.mark.parametrize("name", ["r2plus1d_18", "mvit_v2_s"])
def test_preprocessing_equals_torchvision_s(name):
    from torchvision.models import get_model_weights

    transforms = get_model_weights(name).DEFAULT.transforms()
    for clip in (photographs(2), photographs(2, 300, 120), photographs(2, 100, 100)):
        framing = published.torchvision_framing(NETWORKS[name].torchvision)
        frames = torch.from_numpy(clip).permute(0, 3, 1, 2)
        got = framing(frames).transpose(0, 1)
        torch.testing.assert_close(got, transforms(frames), rtol=0, atol=1e-6)


def test_preprocessing_equals_transformers():
    from transformers import VideoMAEImageProcessor

    framing = videomae.FRAMING
    processor = VideoMAEImageProcessor(image_mean=framing.mean, image_std=framing.std)
    for clip in (photographs(2), photographs(2, 300, 120), photographs(2, 100, 100)):
        theirs = processor([list(clip)], return_tensors="pt")["pixel_values"][0]
        got = framing(torch.from_numpy(clip).permute(0, 3, 1, 2))
        torch.testing.assert_close(got, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["i3d_r50", "x3d_s", "slowfast_r50"])
def test_preprocessing_is_the_zoo_s(encoders, name):
    # frames / 255, (x - 0.45) / 0.225, shorter side to the size, centre crop
    encoder = encoders[name]
    frames, size = SMALL[name]["frames"], SMALL[name]["size"]
    clip = photographs(frames, size, size + 9)
    got = encoder.prepare([clip])[0]
    want = (clip[:, :, 4 : 4 + size] / 255 - 0.45) / 0.225
    np.testing.assert_allclose(got.permute(1, 2, 3, 0), want, atol=1e-5)
    large = photographs(frames, 4 * size, 5 * size)
    scaled = np.stack(
        [np.asarray(Image.fromarray(f).resize((size * 5 // 4, size), 2)) for f in large]
    )
    want = (scaled[:, :, size // 8 : size // 8 + size] / 255 - 0.45) / 0.225
    assert np.abs(encoder.prepare([large])[0].permute(1, 2, 3, 0).numpy() - want).mean() < 0.03


@pytest.mark.parametrize("name", NETWORKS)
def test_published_layout_loads_from_a_server(encoders, clips, name, tmp_path, monkeypatch):
    encoder, published_file = encoders[name], NETWORKS[name].published
    file = tmp_path / "served"
    state = encoder.net.net.state_dict()
    torch.save({"model_state": state} if "pytorchvideo" in published_file.url else state, file)
    path = published_file.url.removeprefix("https://")
    with ModelServer({path: file}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(WeightsNotAvailable, match="download=True"):
            video_encoders.load(name, "published", device="cpu")
        given = {"sha256": sha256(file)[:8]} if published_file.sha256 else {}
        loaded = video_encoders.load(
            name, "published", "cpu", download=True, **given, **SMALL[name]
        )
    file.unlink()
    assert loaded.weights.source == "published"
    assert loaded.weights.licence == published_file.licence
    np.testing.assert_array_equal(loaded.encode(clips[:1]), encoder.encode(clips[:1]))
    assert video_encoders.available().loc[name, "available"] == "published, random"
    kept = tmp_path / "data" / "cache" / "weights" / path
    with kept.open("ab") as stream:  # changed on disk: told at the next load, by its hash
        stream.write(b"!")
    with pytest.raises(WeightsError, match="SHA-256"):
        video_encoders.load(name, "published", **given)
    kept.unlink()


@pytest.mark.parametrize("name", ["x3d_s", "r2plus1d_18"])
@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        ("missing", WeightsNotAvailable, r"no such file \(404\)"),
        ("truncated", WeightsNotAvailable, "broke off"),
        ("slow", WeightsNotAvailable, "sent nothing"),
        ("wrong", WeightsError, "SHA-256"),
    ],
)
def test_a_web_that_misbehaves(name, behaviour, error, said, tmp_path, monkeypatch):
    fetch = download.fetch
    monkeypatch.setattr(download, "fetch", lambda *a, **k: fetch(*a, **k, timeout_s=0.3))
    path = NETWORKS[name].published.url.removeprefix("https://")
    given = {} if NETWORKS[name].published.sha256 else {"sha256": "0" * 64}
    with ModelServer({path: b"x" * 4000}, {path: behaviour}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(error, match=said):
            video_encoders.load(name, "published", download=True, **given)
    assert not list(Path(tmp_path).rglob("*.pth")) + list(Path(tmp_path).rglob("*.pyth"))


def videomae_folder(folder, name="model.safetensors", **changed):
    """A tiny VideoMAE as its authors publish it: biases under their own names."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    folder.mkdir()
    config = VideoMAEConfig(
        **{
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "image_size": 32,
            "num_frames": 4,
            "num_labels": 5,
        }
        | changed
    )
    torch.manual_seed(1)
    net = VideoMAEForVideoClassification(config).eval()
    state = {
        key.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): value
        for key, value in net.state_dict().items()
    }
    assert any(key.endswith("q_bias") for key in state)
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)
    recipe = {
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.4],
    }
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(recipe), encoding="utf-8")
    return net


@pytest.mark.parametrize("file", videomae.HUB.weights)
def test_videomae_loads_from_a_hub(file, clips, tmp_path, monkeypatch):
    from transformers import VideoMAEImageProcessor

    net = videomae_folder(tmp_path / "repo", file)
    with ModelServer(hub(videomae.HUB.repo, tmp_path / "repo")) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(WeightsNotAvailable, match="download=True"):
            video_encoders.load("videomae_small", "published")
        encoder = video_encoders.load("videomae_small", "published", "cpu", download=True)
    assert encoder.weights.source == "published"
    assert (encoder.frame_contract.frames, encoder.frame_contract.size) == (4, 32)
    assert video_encoders.available().loc["videomae_small", "available"] == "published, random"
    processor = VideoMAEImageProcessor.from_pretrained(tmp_path / "repo")
    clip = photographs(4)
    theirs = processor([list(clip)], return_tensors="pt")
    torch.testing.assert_close(
        encoder.prepare([clip]).transpose(1, 2), theirs["pixel_values"], rtol=0, atol=1e-5
    )
    with torch.inference_mode():
        logits = net(**theirs).logits
    torch.testing.assert_close(encoder.activations([clip], "logits"), logits)
    again = video_encoders.load("videomae_small", tmp_path / "repo", "cpu")
    assert again.weights.source == "file"
    assert again.fingerprint == encoder.fingerprint
    with pytest.raises(ValueError, match="see 4 frames of 32 pixels only"):
        video_encoders.load("videomae_small", "published", size=64)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("missing", WeightsNotAvailable),
        ("truncated", WeightsNotAvailable),
        ("slow", WeightsNotAvailable),
        ("wrong", WeightsError),
    ],
)
def test_a_hub_that_misbehaves(behaviour, error, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits between its attempts
    videomae_folder(tmp_path / "repo")
    path = f"huggingface.co/{videomae.HUB.repo}/model.safetensors"
    with ModelServer(hub(videomae.HUB.repo, tmp_path / "repo"), {path: behaviour}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(error, match="videomae"):
            video_encoders.load("videomae_small", "published", download=True)
        assert video_encoders.available().loc["videomae_small", "available"] == "random"


def test_folders_that_are_no_videomae(tmp_path):
    with pytest.raises(WeightsNotAvailable, match=r"no config\.json"):
        video_encoders.load("videomae_small", tmp_path)
    videomae_folder(tmp_path / "repo")
    with pytest.raises(WeightsError, match="SHA-256"):
        video_encoders.load("videomae_small", tmp_path / "repo", sha256="0" * 64)
    (tmp_path / "repo" / "model.safetensors").unlink()
    with pytest.raises(WeightsNotAvailable, match=r"no model\.safetensors"):
        video_encoders.load("videomae_small", tmp_path / "repo")
    (tmp_path / "repo" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(WeightsError, match="another model: 'bert'"):
        video_encoders.load("videomae_small", tmp_path / "repo")
    (tmp_path / "repo" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be read"):
        video_encoders.load("videomae_small", tmp_path / "repo")


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_files_that_are_refused(tmp_path, encoders):
    ran = tmp_path / "ran"
    (tmp_path / "harmful.pth").write_bytes(pickle.dumps(Harmful(ran), protocol=2))
    with pytest.raises(WeightsError, match="refused"):
        video_encoders.load("x3d_s", tmp_path / "harmful.pth")
    assert not ran.exists()
    torch.save(encoders["x3d_s"].net.net.state_dict(), tmp_path / "x3d.pth")
    with pytest.raises(WeightsError, match="another model"):
        video_encoders.load("r2plus1d_18", tmp_path / "x3d.pth")
    known = sha256(tmp_path / "x3d.pth")[:8]
    loaded = video_encoders.load("x3d_s", tmp_path / "x3d.pth", sha256=known)
    assert loaded.weights.source == "file"
    with pytest.raises(WeightsError, match="SHA-256"):
        video_encoders.load("x3d_s", tmp_path / "x3d.pth", sha256="0" * 64)
    with pytest.raises(WeightsNotAvailable, match="no weights file"):
        video_encoders.load("x3d_s", tmp_path / "absent.pth")


@pytest.mark.parametrize("name", SMALL)
def test_what_cannot_be_wanted(name):
    with pytest.raises(WeightsNotAvailable, match="lite0_correlation"):
        video_encoders.load(name)
    with pytest.raises(ValueError, match=f"size is 7; {name} takes"):
        video_encoders.load(name, "random", size=7)
    with pytest.raises(ValueError, match="frames is 0"):
        video_encoders.load(name, "random", frames=0)


def test_random_convolutions_want_calibration_and_transformers_do_not(clips):
    raw = video_encoders.load("x3d_s", "random", "cpu", **SMALL["x3d_s"])
    with pytest.raises(RuntimeError, match="calibrate"):
        raw.encode(clips)
    same = video_encoders.load("x3d_s", "random", "cpu", **SMALL["x3d_s"])
    other = video_encoders.load("x3d_s", "random", "cpu", seed=1, **SMALL["x3d_s"])
    assert raw.fingerprint == same.fingerprint != other.fingerprint
    free = video_encoders.load("videomae_small", "random", "cpu", **SMALL["videomae_small"])
    assert free.encode(clips[:1]).shape == (1, 384)
