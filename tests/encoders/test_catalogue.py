"""Every entry of every catalogue keeps the contract; a new encoder is tested by being listed."""

import inspect
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from vidrec_utils import audio_encoders, image_encoders, text_encoders, video_encoders
from vidrec_utils.audio_encoders import catalogue as sounds
from vidrec_utils.encoders import (
    Encoder,
    FrameContract,
    HasNetwork,
    Layered,
    Staged,
    WeightsError,
    WeightsInfo,
    WeightsNotAvailable,
)
from vidrec_utils.encoders.catalogue import COLUMNS, Catalogue, Entry, LoadRequest
from vidrec_utils.files import sha256
from vidrec_utils.image_encoders import catalogue as images
from vidrec_utils.text_encoders import catalogue as texts
from vidrec_utils.video_encoders import catalogue as videos

ROOMS = {
    "text": text_encoders,
    "image": image_encoders,
    "video": video_encoders,
    "audio": audio_encoders,
}
CATALOGUES = {
    "text": texts.CATALOGUE,
    "image": images.CATALOGUE,
    "video": videos.CATALOGUE,
    "audio": sounds.CATALOGUE,
}
ENTRIES = [
    pytest.param(modality, entry, id=entry.name)
    for modality, catalogue in CATALOGUES.items()
    for entry in catalogue
]
SHAPES = {"image": [(40, 60, 3), (60, 40, 3), (7, 9, 3)], "video": [(9, 40, 60, 3)] * 2}


def items(modality):
    """A few titles, or images, clips or sounds of noise."""
    if modality == "text":
        return ["a cat on a mat", "two dogs run", "cat"]
    rng = np.random.default_rng(0)
    if modality == "audio":
        return [rng.uniform(-1, 1, n).astype(np.float32) for n in (16_000, 1_600, 40_000)]
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in SHAPES[modality]]


def test_no_encoder_of_the_course_is_lost():
    names = [name for catalogue in CATALOGUES.values() for name in catalogue.entries]
    assert names == [
        "tfidf", "minilm", "bert-base-uncased", "gpt2", "smollm2", "multilingual-e5-small",
        "efficientnet_lite0", "dinov2_small", "vgg16", "resnet50", "inception_v3", "clip_vit_b32",
        "pixels", "frame_average", "efficientnet_lite0_3d", "lite0_correlation",
        "lite0_appearance_motion", "two_stream_mini", "i3d_mini", "slowfast_mini",
        "i3d_r50", "r2plus1d_18", "slowfast_r50", "x3d_s", "mvit_v2_s", "videomae_small",
        "log_mel",
    ]  # fmt: skip


@pytest.mark.parametrize(("modality", "entry"), ENTRIES)
def test_an_entry_says_what_there_is_to_know(modality, entry):
    row = ROOMS[modality].available().loc[entry.name]
    assert set(entry.about) <= set(COLUMNS)
    assert row["family"]
    if entry.has_weights:
        facts = row[["year", "parameters", "gflops", "dim", "licence", "pretrained_on"]]
        assert facts.notna().all(), f"complete the entry {entry.name!r}: {facts.to_dict()}"
        assert ("accuracy" in entry.about) == ("accuracy_source" in entry.about)
    assert set(entry.available_weights()) <= {"packaged", "published", "random", "none"}
    asked = inspect.signature(ROOMS[modality].load).parameters
    assert set(entry.smallest) <= set(asked)
    assert (entry.contract is not None) == (modality == "video")
    assert ("rate" in entry.about) == (modality == "audio")


@pytest.mark.parametrize(("modality", "entry"), ENTRIES)
def test_an_encoder_keeps_the_protocol(modality, entry):
    available = entry.available_weights()
    weights = next((w for w in ("packaged", "random", "none") if w in available), None)
    if weights is None:  # not even a tokenizer is on this machine
        with pytest.raises(WeightsNotAvailable):
            ROOMS[modality].load(entry.name, "random")
        return
    settings = {} if weights == "packaged" and modality == "video" else entry.smallest
    encoder = ROOMS[modality].load(entry.name, weights, "cpu", **settings)
    batch = items(modality)
    if isinstance(encoder, HasNetwork) and not encoder.calibrated:
        with pytest.raises(RuntimeError, match="calibrate"):
            encoder.encode(batch)
        encoder.calibrate(batch)
    if not encoder.dim:  # a baseline that counts what it is shown
        encoder.fit(batch)
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.modality) == (entry.name, modality)
    assert encoder.parameters == entry.about["parameters"]
    assert encoder.dim == entry.about.get("dim", encoder.dim)
    assert encoder.weights.source == weights
    assert encoder.values_per_item > 0
    assert re.fullmatch(r"[0-9a-f]{64}", encoder.fingerprint)
    vectors = encoder.encode(batch)
    assert (vectors.shape, vectors.dtype) == ((len(batch), encoder.dim), np.float32)
    assert np.isfinite(vectors).all()
    assert encoder.encode([]).shape == (0, encoder.dim)
    scale = np.abs(vectors).max()
    np.testing.assert_allclose(encoder.encode(batch[:1])[0], vectors[0], atol=2e-4 * scale)
    if isinstance(encoder, Staged):
        prepared = encoder.prepare(batch)
        in_steps = encoder.encode_prepared(prepared[1:])
        np.testing.assert_allclose(in_steps, vectors[1:], atol=2e-4 * scale)
    if isinstance(encoder, Layered):
        layer = encoder.activations(batch[:1], encoder.layers[0])
        assert layer.dtype == torch.float32
        assert len(layer) == 1
    if isinstance(encoder, HasNetwork):
        with torch.inference_mode():
            ours = encoder.network_vectors(encoder.net, *encoder.network_inputs(batch)).numpy()
        np.testing.assert_allclose(ours, vectors, atol=2e-4 * scale)
        twin = encoder.with_network(encoder.net, WeightsInfo("fine-tuned"))
        assert type(twin) is type(encoder)
        assert (twin.weights.source, encoder.weights.source) == ("fine-tuned", weights)


@pytest.mark.parametrize(("modality", "entry"), ENTRIES)
def test_weights_that_an_encoder_never_has_are_refused(modality, entry):
    load = ROOMS[modality].load
    if not entry.has_weights:
        with pytest.raises(ValueError, match="has no weights"):
            load(entry.name, "random")
        return
    if entry.published is None:
        with pytest.raises(ValueError, match="are the packaged ones"):
            load(entry.name, "published")
    if entry.packaged is None:
        with pytest.raises(WeightsNotAvailable, match=r"published.*download=True"):
            load(entry.name)
    with pytest.raises((WeightsNotAvailable, WeightsError)):
        load(entry.name, "there-is-no-such-file")


@pytest.mark.parametrize(
    ("modality", "argument"), [("image", "size"), ("video", "size"), ("video", "frames")]
)
@pytest.mark.parametrize("value", [0, -2])
def test_frames_and_size_are_positive(modality, argument, value):
    for entry in CATALOGUES[modality]:
        with pytest.raises(ValueError, match=f"{argument} is {value}; it must be at least 1"):
            ROOMS[modality].load(entry.name, **{argument: value})


@pytest.mark.parametrize("modality", ROOMS)
def test_unknown_names_are_told_the_known_ones(modality):
    names = ", ".join(CATALOGUES[modality].entries)
    with pytest.raises(ValueError, match=f"no {modality} encoder 'nonsense'; choose from {names}"):
        ROOMS[modality].load("nonsense")


@dataclass(frozen=True)
class Source:
    """Weights that are on this machine, or not."""

    here: bool

    def is_available(self):
        return self.here


def test_available_by_hand():
    none = Entry(name="none", about={"family": "baseline"})
    half = Entry(name="half", about={}, packaged=Source(False), published=Source(True))
    away = Entry(name="away", about={}, published=Source(False))
    lost = Entry(name="lost", about={}, packaged=Source(False), random_needs_files=True)
    clip = Entry(name="clip", about={"year": 2020}, contract=FrameContract(4, 32))
    table = Catalogue("text", [none, half, away, lost, clip]).available()
    assert table["available"].to_list() == ["none", "published, random", "random", "", "none"]
    assert list(table) == [column for column in COLUMNS if column in table]
    assert table.loc["clip", "frames"] == 4
    assert table["rate"].isna().all()
    assert table["year"].dtype == pd.Int64Dtype()
    with pytest.raises(NotImplementedError):
        Catalogue("text", [none]).load(LoadRequest("none"))


def test_one_file_and_its_hash_are_in_one_place():
    """Entries that read one packaged file agree about it, and the hash is that of the file."""
    files = {entry.packaged for catalogue in CATALOGUES.values() for entry in catalogue}
    packaged = [file for file in files if hasattr(file, "distribution")]
    assert len({file.file for file in packaged}) == len(packaged)
    for file in packaged:
        assert len(file.sha256) == 64
        if file.required:
            assert sha256(file.path()) == file.sha256
