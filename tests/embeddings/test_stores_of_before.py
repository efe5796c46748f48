"""Stores of vectors that an earlier version wrote are read, and nothing is computed again.

`stores_0_1` holds three videos and the vectors of six encoders, written by the version of the
course whose encoders had not yet moved to `vidrec_utils.encoders`. A fingerprint that changes makes
everybody's cached vectors worthless, so it may change only together with the vectors themselves.
That version spread the frames over the whole of a clip, as an encoder without windows still does.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import embeddings, image_encoders, text_encoders, video_encoders
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.encoders import accelerate

BEFORE = Path(__file__).parent / "stores_0_1"
TITLES = ["a cat", "cat a", "a, cat"]  # all words in all titles: TF-IDF weighs each with exactly 1


def tfidf():
    return text_encoders.load("tfidf").fit(TITLES)


def lite0():
    return image_encoders.load("efficientnet_lite0", device="cpu", size=32)


def accelerated(monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino, "__version__", "2026.4.1")  # part of the fingerprint
    return accelerate(lite0())


ENCODERS = {
    "minilm": ("title", lambda _: text_encoders.load("minilm", device="cpu"), 3),
    "tfidf": ("title", lambda _: tfidf(), 3),
    "efficientnet_lite0": ("thumbnail", lambda _: lite0(), 2),
    "efficientnet_lite0-openvino": ("thumbnail", accelerated, 2),
    "slowfast_mini": (
        "clip",
        lambda _: video_encoders.load("slowfast_mini", device="cpu").with_windows(None),
        1,
    ),
    "frame_average": (
        "clip",
        lambda _: video_encoders.load("frame_average", device="cpu", frames=2, size=32),
        1,
    ),
}


def no_network(*_):
    raise AssertionError("a vector that was kept is computed again")


@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_of_an_earlier_version_are_only_read(name, tmp_path, monkeypatch):
    of, load, n = ENCODERS[name]
    (folder,) = BEFORE.glob(f"stores/{of}-{name}-[0-9a-f]*")
    shutil.copytree(folder, tmp_path / folder.name)
    videos = pd.DataFrame({"video_id": ["x", "y", "z"], "title": TITLES})
    videos["path"] = ["a.mp4", None, None]
    videos["thumbnail"] = ["a.png", "b.png", None]
    interactions = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    library = VideoLibrary(videos.astype("str"), interactions, root=BEFORE / "media")
    encoder = load(monkeypatch)
    for method in ("prepare", "encode", "encode_prepared"):
        monkeypatch.setattr(encoder, method, no_network, raising=False)
    got = embeddings.embed(library, encoder, of, root=tmp_path, progress=False)
    kept = np.fromfile(folder / "vectors.f32", dtype="<f4").reshape(n, encoder.dim)
    np.testing.assert_array_equal(got.vectors[:n], kept)
    assert list(tmp_path.iterdir()) == [tmp_path / folder.name]
