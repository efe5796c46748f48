"""Encoders on OpenVINO: the same vectors up to rounding, told apart, and optional."""

import importlib.util
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import embeddings, encoders, image_encoders, text_encoders, video_encoders
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.encoders import accelerate, runtime

rng = np.random.default_rng(0)


def check(encoder, items):
    """Vectors agree to 1e-4 of their length and 0.9999 in cosine, in batches of several sizes."""
    fast = accelerate(encoder)
    ours, theirs = fast.encode(items), encoder.encode(items)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    length = np.linalg.norm(theirs, axis=1)
    assert (np.linalg.norm(ours - theirs, axis=1) < 1e-4 * length).all()
    np.testing.assert_allclose(fast.encode(items[:1]), ours[:1], atol=1e-4 * length.max())
    assert fast.fingerprint != encoder.fingerprint
    assert fast.modality == encoder.modality
    assert fast.preprocessing["runtime"].startswith("openvino 20")
    return fast


def test_pictures():
    pictures = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(3)]
    check(image_encoders.load("efficientnet_lite0", size=64), pictures)


def test_clips():
    clips = [rng.integers(0, 256, (16, 64, 64, 3), dtype=np.uint8) for _ in range(2)]
    check(video_encoders.load("lite0_correlation"), clips)
    check(video_encoders.load("frame_average", frames=3, size=64), clips)
    check(video_encoders.load("efficientnet_lite0_3d", frames=3, size=64), clips)


def test_texts():
    texts = ["A cat sleeps", "Der Hund läuft sehr schnell durch den Park", "", "x"]
    fast = check(text_encoders.load(), texts[:2] + texts[3:])
    assert not fast.encode([""]).any()


def test_vectors_have_a_store_of_their_own_that_says_so(tmp_path):
    from PIL import Image

    for number in range(3):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    videos = pd.DataFrame({"video_id": list("abc"), "thumbnail": [f"{i}.png" for i in range(3)]})
    none = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    library = VideoLibrary(videos.astype("str"), none, root=tmp_path)
    encoder = image_encoders.load("efficientnet_lite0", size=64)
    options = {"of": "thumbnail", "root": tmp_path / "store", "progress": False}
    plain = embeddings.embed(library, encoder, **options)
    fast = embeddings.embed(library, accelerate(encoder), **options)
    assert len(list((tmp_path / "store").iterdir())) == 2
    assert fast.provenance["preprocessing"]["runtime"].startswith("openvino")
    np.testing.assert_allclose(fast.vectors, plain.vectors, atol=1e-3)


def test_without_openvino_the_remedy_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        runtime.importlib.util, "find_spec", lambda n: None if n == "openvino" else found(n)
    )
    with pytest.raises(ImportError, match="pip install openvino"):
        accelerate(image_encoders.load("pixels"))


def test_what_cannot_be_accelerated():
    with pytest.raises(ValueError, match="choose from 'openvino'"):
        accelerate(image_encoders.load("pixels"), "fast")
    with pytest.raises(TypeError, match="pixels cannot be accelerated"):
        accelerate(image_encoders.load("pixels"))
    with pytest.raises(RuntimeError, match="calibrate"):
        accelerate(image_encoders.load("efficientnet_lite0", weights="random", size=64))


def test_the_time_of_an_item_is_the_fastest_after_a_warm_up():
    class Sleepy:
        calls = iter([0.001, 0.3, 0.02, 0.3])  # the first call is not timed

        def encode(self, batch):
            time.sleep(next(self.calls))

    took = encoders.milliseconds(Sleepy(), ["a", "b"], repeats=3)
    assert 10 <= took < 100  # 20 ms for two items, on a machine that may be busy


_TWO_NETWORKS = """
import gc, signal, subprocess
import torch
from vidrec_utils.encoders import runtime
ended = []
signal.signal(signal.SIGCHLD, lambda number, _: ended.append(number))
older, younger = (runtime._compiled(torch.nn.ReLU(), torch.ones(1, 3)) for _ in range(2))
del older
gc.collect()
del younger
gc.collect()
ended.clear()
subprocess.run(["true"], check=True)
print(len(ended), "child has ended")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGCHLD")
def test_signals_arrive_after_networks_are_gone():
    done = subprocess.run([sys.executable, "-c", _TWO_NETWORKS], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert done.stdout == "1 child has ended\n"
