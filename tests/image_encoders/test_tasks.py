"""Names, things and areas: networks of torchvision's layout, and frames that add up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from skimage import data

from tests.helpers.model_server import ModelServer
from vidrec_utils import image_encoders
from vidrec_utils.encoders import WeightsError, WeightsInfo, WeightsNotAvailable, download
from vidrec_utils.files import sha256
from vidrec_utils.image_encoders.tasks import FINDERS, Detector

DETECTORS = [name for name, finder in FINDERS.items() if finder.task == "detect"]
SEGMENTERS = [name for name, finder in FINDERS.items() if finder.task == "segment"]


@pytest.fixture(scope="module")
def ssd():
    return image_encoders.load_finder("ssdlite320_mobilenet_v3_large", "random", "cpu")


class TwoBoxes(torch.nn.Module):
    """Finds a sure cat in the left half and an unsure dog that leaves the picture."""

    def forward(self, images):
        height, width = images[0].shape[1:]
        boxes = [[0, 0, width / 2, height], [width / 2, -5, width * 2, height / 2]]
        return [
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32),
                "labels": torch.tensor([17, 18]),
                "scores": torch.tensor([0.9, 0.6]),
            }
        ]


class Halves(torch.nn.Module):
    """Calls the left half a cat, the rest background."""

    def forward(self, x):
        out = torch.zeros(1, 21, *x.shape[-2:])
        out[:, 0] = 1
        out[:, 8, :, : x.shape[-1] // 2] = 2
        return {"out": out}


def told(name, net):
    return Detector(name, net, WeightsInfo("random"), "cpu")


def test_catalogue_of_finders_is_that_of_the_networks():
    catalogue = image_encoders.finders()
    assert set(catalogue.index) == set(FINDERS)
    for name, row in catalogue.iterrows():
        made = image_encoders.load_finder(name, "random", "cpu")
        counted = made.parameters
        if name.startswith("fasterrcnn"):  # torchvision freezes, and does not count, its norms
            norms = [m for m in made.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            counted -= sum(p.numel() for norm in norms for p in norm.parameters())
        assert counted == row["parameters"]
        assert row["available"] == "random"
        assert made.task == row["task"]


def test_boxes_are_parts_of_the_picture():
    model = told(DETECTORS[0], TwoBoxes())
    images = [np.zeros((40, 80, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)]
    found = image_encoders.detect(images, model, threshold=0.5)
    assert found["label"].tolist() == ["cat", "dog"] * 2
    assert found["image"].tolist() == [0, 0, 1, 1]
    cat, dog = found.iloc[0], found.iloc[1]
    assert tuple(cat[["left", "top", "right", "bottom", "area"]]) == (0, 0, 0.5, 1, 0.5)
    assert tuple(dog[["left", "top", "right", "bottom", "area"]]) == (0.5, 0, 1, 0.5, 0.25)
    assert image_encoders.detect(images, model, threshold=0.7)["label"].tolist() == ["cat"] * 2
    with pytest.raises(ValueError, match="between 0 and 1"):
        image_encoders.detect(images, model, threshold=50)


def test_areas_add_up_to_the_picture():
    found = image_encoders.segment([data.coffee()], told(SEGMENTERS[0], Halves()))
    assert found["label"].tolist() == ["__background__", "cat"]
    assert found["area"].sum() == pytest.approx(1)
    assert found["area"].iloc[1] == pytest.approx(0.5, abs=0.01)


def test_features_of_videos_by_hand():
    found = pd.DataFrame(
        {
            "image": [0, 0, 1, 3],
            "label": ["cat", "cat", "dog", "cat"],
            "score": [0.9, 0.8, 0.9, 0.7],
            "area": [0.2, 0.1, 0.5, 0.4],
        }
    )
    features = image_encoders.detection_features(found, ["a", "a", "b", "c"])
    assert features.index.tolist() == ["a", "b", "c"]
    assert features.index.name == "video_id"
    assert features.loc["a", "count cat"] == 1  # two in one of two pictures
    assert features.loc["a", "area dog"] == pytest.approx(0.25)
    assert features.loc["b"].eq(0).all()
    assert features.loc["c", "area cat"] == pytest.approx(0.4)
    areas = image_encoders.detection_features(found.drop(columns="score"), ["a", "a", "b", "c"])
    assert areas.columns.tolist() == ["area cat", "area dog"]
    with pytest.raises(ValueError, match="only 2 video ids"):
        image_encoders.detection_features(found, ["a", "b"])
    none = image_encoders.detection_features(found.iloc[:0], ["a", "b"])
    assert none.shape == (2, 0)


@pytest.mark.parametrize("name", list(FINDERS))
def test_real_networks_take_pictures_of_every_shape(name):
    model = image_encoders.load_finder(name, "random", "cpu")
    odd = [data.coffee()[::4, ::4], np.zeros((1, 1, 3), np.uint8), np.zeros((3, 900, 3), np.uint8)]
    if model.task == "segment":
        found = image_encoders.segment(odd, model)
        np.testing.assert_allclose(found.groupby("image")["area"].sum(), 1, atol=1e-5)
        with pytest.raises(ValueError, match="choose from ssdlite"):
            image_encoders.detect(odd, model)
    else:
        found = image_encoders.detect(odd, model, threshold=0)
        assert (found[["left", "top", "right", "bottom"]].to_numpy() <= 1).all()
        again = image_encoders.detect(odd, model, threshold=0)
        pd.testing.assert_frame_equal(found, again)
        with pytest.raises(ValueError, match="choose from lraspp"):
            image_encoders.segment(odd, model)


def test_preprocessing_is_torchvisions(ssd):
    photo = data.coffee()
    (ours,) = ssd.prepare([photo])
    theirs = (
        FINDERS[ssd.name].torchvision.entry().transforms()(torch.from_numpy(photo).permute(2, 0, 1))
    )
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    with pytest.raises(ValueError, match="Image 0 is"):
        list(ssd.prepare([photo.astype(float)]))


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_published_finders_are_fetched_and_checked(tmp_path, monkeypatch, name):
    made = image_encoders.load_finder(name, "random", "cpu")
    torch.save(made.net.state_dict(), tmp_path / "net.pth")
    entry = FINDERS[name].published
    path = entry.url.removeprefix("https://")
    with ModelServer({path: tmp_path / "net.pth"}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(WeightsNotAvailable, match="download=True"):
            image_encoders.load_finder(name)
        with pytest.raises(WeightsError, match=entry.sha256):
            image_encoders.load_finder(name, download=True)
        digest = sha256(tmp_path / "net.pth")
        published = replace(entry, sha256=digest[:8])
        monkeypatch.setitem(FINDERS, name, replace(FINDERS[name], published=published))
        loaded = image_encoders.load_finder(name, download=True)
    assert loaded.weights.sha256 == digest
    assert image_encoders.finders().loc[name, "available"] == "published, random"


@pytest.mark.parametrize("behaviour", ["missing", "truncated", "slow"])
def test_a_web_that_misbehaves(tmp_path, monkeypatch, behaviour):
    name = "ssdlite320_mobilenet_v3_large"
    path = FINDERS[name].published.url.removeprefix("https://")
    fetch = download.fetch
    monkeypatch.setattr(download, "fetch", lambda *a, **k: fetch(*a, **k, timeout_s=0.3))
    with ModelServer({path: b"x" * 1000}, {path: behaviour}) as server:
        server.use(monkeypatch, tmp_path)
        with pytest.raises(WeightsNotAvailable, match="cannot be downloaded"):
            image_encoders.load_finder(name, download=True)


def test_names_of_pictures():
    lite0 = image_encoders.load(size=128, device="cpu")
    names = image_encoders.classify([data.chelsea()], lite0, k=3)
    assert names["rank"].tolist() == [1, 2, 3]
    assert {"tabby", "tiger cat", "Egyptian cat"} & set(names["label"])
    with pytest.raises(ValueError, match="knows 1000 classes"):
        image_encoders.classify([data.chelsea()], lite0, k=0)


def test_unknown_finders_and_weights():
    with pytest.raises(ValueError, match="choose from ssdlite"):
        image_encoders.load_finder("yolo")
    with pytest.raises(ValueError, match="No package carries"):
        image_encoders.load_finder("lraspp_mobilenet_v3_large", "packaged")
