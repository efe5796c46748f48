"""Clips of any length as windows: which frames an encoder gets, and what becomes of its vectors."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import embeddings, evaluation, video_encoders, video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import batches
from vidrec_utils.encoders import FrameContract, WeightsInfo, Windows

DURATIONS = {"short": 0.75, "exact": 2.0, "three": 3.0, "long": 5.0, "broken": None}
SLOPE = 40  # grey levels that a clip rises in a second


class Grey:
    """Mean grey of a window, and the largest difference between two frames; counts its calls."""

    name, modality, dim, parameters = "grey", "video", 2, 0
    preprocessing, values_per_item, fingerprint = None, 4 * 16 * 16 * 3, "grey-1"
    weights = WeightsInfo("none")
    frame_contract = FrameContract(frames=4, size=16, read_size=16)

    def __init__(self, windows=None):
        self.windows = windows
        self.calls = []

    def encode(self, batch):
        self.calls.append([item.shape for item in batch])
        grey = [item.mean(axis=(1, 2, 3)) for item in batch]
        return np.array([[g.mean(), np.abs(np.diff(g)).max()] for g in grey], dtype="f4")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Clips that get lighter by `SLOPE` a second, 16 frames a second; and a broken one."""
    root = tmp_path_factory.mktemp("library")
    for name, duration in DURATIONS.items():
        if duration is None:
            (root / f"{name}.mp4").write_text("no video", encoding="utf-8")
            continue
        grey = (np.arange(round(duration * 16)) + 0.5) / 16 * SLOPE
        frames = np.broadcast_to(grey[:, None, None, None], (len(grey), 16, 16, 3))
        video_io.write_clip(root / f"{name}.mp4", frames.round().astype(np.uint8), fps=16)
    videos = pd.DataFrame({"video_id": list(DURATIONS)}).assign(
        path=[f"{name}.mp4" for name in DURATIONS]
    )
    none = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    return VideoLibrary(videos.astype("str"), none, root=root)


def embed(library, encoder, root, **options):
    return embeddings.embed(library, encoder, of="clip", root=root, progress=False, **options)


def test_windows_keep_the_rate_and_are_averaged(library, tmp_path):
    """The middle of a clip that rises evenly is its mean; the steps tell the rate."""
    got = embed(library, Grey(Windows(2.0)), tmp_path).frame()
    whole = embed(library, Grey(), tmp_path).frame()
    for name, duration in DURATIONS.items():
        if duration is not None:
            # the short clip shows the frames 4, 0, 8 and 4 of 12, at 0.25, 0, 0.5 and 0.25 s
            middle = 4.5 / 16 if name == "short" else duration / 2
            assert got.loc[name, 0] == pytest.approx(middle * SLOPE, abs=3)
            assert got.loc[name, 1] == pytest.approx(0.5 * SLOPE, abs=3)
            assert whole.loc[name, 1] == pytest.approx(duration / 4 * SLOPE, abs=3)
    assert got.loc["broken"].isna().all()


def test_maximum_centre_and_counts(library, tmp_path):
    largest = embed(library, Grey(Windows(2.0, pooling="max")), tmp_path).frame()
    assert largest.loc["long", 0] == pytest.approx(4 * SLOPE, abs=3)  # of the last window
    one = Grey(Windows(2.0, at="centre"))
    centre = embed(library, one, tmp_path).frame()
    assert centre.loc["long", 0] == pytest.approx(2.5 * SLOPE, abs=3)
    assert [len(call) for call in one.calls] == [4]
    several = Grey(Windows(2.0, count=3))
    embed(library, several, tmp_path)
    # long and three have 3 windows, short and exact have 1; 8 items in a call
    assert [len(call) for call in several.calls] == [8]


def test_one_window_of_the_whole_clip_has_the_vector_of_old(library, tmp_path):
    """A clip of exactly two seconds: the same frames, and the same vector to the last bit."""
    frames = video_io.frames_at(library.file("exact"), lambda s: Windows(2.0).times(s, 16), size=64)
    np.testing.assert_array_equal(
        frames[0], video_io.sample_frames(library.file("exact"), 16, size=64)
    )
    for encoder in (
        video_encoders.load("lite0_correlation", device="cpu"),
        video_encoders.load("slowfast_mini", device="cpu"),
    ):
        ours = embed(library, encoder, tmp_path).vector("exact")
        np.testing.assert_array_equal(
            ours, embed(library, encoder.with_windows(None), tmp_path).vector("exact")
        )


def test_other_windows_are_another_store(library, tmp_path):
    options = [None, Windows(2.0), Windows(1.0), Windows(2.0, pooling="max"), Windows(2.0, count=2)]
    for number, windows in enumerate(options):
        got = embed(library, Grey(windows), tmp_path)
        assert len(list(tmp_path.iterdir())) == number + 1
    assert got.provenance["windows"]["count"] == 2
    again = Grey(options[1])
    embed(library, again, tmp_path)
    assert again.calls == []


def test_a_store_of_other_windows_is_refused(library, tmp_path):
    got = embed(library, Grey(Windows(2.0)), tmp_path)
    folder = next(tmp_path.iterdir())
    with pytest.raises(embeddings.StoreError, match="windows"):
        embeddings.store.Store(folder, {**got.provenance, "windows": None})


def test_many_windows_pass_in_batches_of_the_same_size(library, tmp_path):
    encoder = Grey(Windows(0.5, hop=0.25))
    got = embed(library, encoder, tmp_path, batch_size=4)
    # 2 + 7 + 10 windows and at most 10 of the longest, four at a time
    assert {len(call) for call in encoder.calls} <= {4, 3, 2, 1}
    assert max(len(call) for call in encoder.calls) == 4
    assert got.frame().loc["long", 0] == pytest.approx(2.5 * SLOPE, abs=3)


def test_a_run_that_ends_early_goes_on(library, tmp_path):
    class Fails(Grey):
        def encode(self, batch):
            if len(self.calls) == 3:
                raise RuntimeError("enough")
            return super().encode(batch)

    with pytest.raises(RuntimeError, match="enough"):
        embed(library, Fails(Windows(2.0, count=3)), tmp_path, batch_size=1)
    encoder = Grey(Windows(2.0, count=3))
    got = embed(library, encoder, tmp_path, batch_size=1)
    assert sum(map(len, encoder.calls)) == 6  # the two clips that were not complete
    expected = embed(library, Grey(Windows(2.0, count=3)), tmp_path / "whole", batch_size=1)
    np.testing.assert_array_equal(got.vectors, expected.vectors)


def test_memory_bounds_the_windows(monkeypatch):
    memory = type("Memory", (), {"available": 4 * 2**30})
    monkeypatch.setattr(batches.psutil, "virtual_memory", lambda: memory)
    encoder = Grey(None)
    encoder.values_per_item = 3 * 32 * 112**2  # 4.8 MB, 77 MB with its activations
    assert batches.batch_size_for(encoder, "clip") == 8
    encoder.windows = Windows(2.0)  # and 130 MB for nine more windows, three times
    assert batches.batch_size_for(encoder, "clip") == 4
    encoder.windows = Windows(2.0, at="centre")
    assert batches.batch_size_for(encoder, "clip") == 8


def test_shots_bound_the_windows(library, tmp_path):
    shots = pd.DataFrame(
        {"start_s": [1.0, 0.0], "end_s": [5.0, 1.0]}, index=pd.Index(["long", "long"])
    )
    got = embed(library, Grey(Windows(2.0)), tmp_path, shots=shots).frame()
    # windows of 0 to 1, 1 to 3 and 3 to 5 seconds
    assert got.loc["long", 0] == pytest.approx((0.5 + 2 + 4) / 3 * SLOPE, abs=3)
    plain = embed(library, Grey(Windows(2.0)), tmp_path).frame()
    assert plain.loc["long", 0] == pytest.approx(2.5 * SLOPE, abs=3)
    pd.testing.assert_series_equal(got.loc["three"], plain.loc["three"])
    late = pd.DataFrame({"start_s": [7.0], "end_s": [8.0]}, index=["short"])
    failures = embed(library, Grey(Windows(2.0)), tmp_path, shots=late).failures
    assert failures["video_id"].tolist() == ["short", "broken"]
    assert "no shot begins within" in failures["reason"].iloc[0]


def test_shots_that_cannot_bound_windows(library, tmp_path):
    shots = pd.DataFrame({"start_s": [0.0], "end_s": [1.0]}, index=["long"])
    with pytest.raises(ValueError, match="has no windows"):
        embed(library, Grey(), tmp_path, shots=shots)
    with pytest.raises(ValueError, match="lacks end_s"):
        embed(library, Grey(Windows(2.0)), tmp_path, shots=shots[["start_s"]])


def test_an_audit_of_layers_sees_the_same_windows(library, tmp_path):
    encoder = video_encoders.load("lite0_correlation", device="cpu", size=32, frames=4)
    pooled = evaluation.layer_choice._Pooled(encoder, ["vector"], ["mean"], "clip")
    assert pooled.windows == encoder.windows
