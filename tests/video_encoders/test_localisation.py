"""Temporal localisation: overlaps by hand, torchvision's suppression, precision by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchvision import ops

from vidrec_utils import video_encoders, video_io
from vidrec_utils.encoders import FrameContract


def boxes(spans: np.ndarray) -> torch.Tensor:
    """Spans as boxes of height 1, whose areas are the spans' lengths."""
    start, end = torch.as_tensor(np.asarray(spans, dtype=float)).T
    return torch.stack([start, torch.zeros_like(start), end, torch.ones_like(end)], dim=1)


def random_spans(n: int, seed: int) -> np.ndarray:
    start, length = np.random.default_rng(seed).uniform(0.1, 4, (2, n))
    return np.stack([start, start + length], axis=1)


def test_overlap_by_hand_and_as_boxes():
    got = video_encoders.temporal_iou([[0, 4]], [[0, 4], [2, 6], [4, 5], [1, 2]])
    np.testing.assert_allclose(got, [[1, 2 / 6, 0, 1 / 4]])
    one, other = random_spans(20, 0), random_spans(30, 1)
    np.testing.assert_allclose(
        video_encoders.temporal_iou(one, other), ops.box_iou(boxes(one), boxes(other)).numpy()
    )


def test_suppression_is_that_of_boxes():
    for seed, most in enumerate((0.0, 0.3, 0.5, 0.9)):
        spans, scores = random_spans(60, seed), np.random.default_rng(seed).random(60)
        expected = ops.nms(boxes(spans), torch.as_tensor(scores), most).tolist()
        assert video_encoders.suppress(spans, scores, most).tolist() == expected
    assert video_encoders.suppress([[0, 1], [0, 1]], [0.5, 0.5]).tolist() == [0]
    assert video_encoders.suppress(np.empty((0, 2)), []).tolist() == []


def test_windows_cover_a_video_without_repetition():
    spans = video_encoders.sliding_spans(5.0, (1.0, 2.0, 9.0), hop=0.5)
    assert spans[:9, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert spans[9:13].tolist() == [[0, 2], [1, 3], [2, 4], [3, 5]]
    assert spans[13:].tolist() == [[0, 5]]
    assert video_encoders.sliding_spans(1.0, (2.0, 3.0)).tolist() == [[0, 1]]


def test_precision_is_that_of_scikit_learn_where_every_span_is_found_once():
    rng = np.random.default_rng(0)
    annotated = pd.DataFrame({"video_id": [f"v{i}" for i in range(12)], "start_s": 0.0})
    annotated = annotated.assign(end_s=2.0, label="rise")
    found = annotated.assign(score=rng.random(12))
    wrong = found.assign(start_s=5.0, end_s=6.0, score=rng.random(12))
    both = pd.concat([found, wrong])
    right = np.repeat([1, 0], 12)
    expected = average_precision_score(right, both["score"])
    assert video_encoders.average_precision(both, annotated)["rise"] == pytest.approx(expected)


def test_precision_by_hand():
    annotated = pd.DataFrame(
        {"video_id": "v", "start_s": [0.0, 4.0], "end_s": [2.0, 6.0], "label": ["rise", "fall"]}
    )
    found = pd.DataFrame(
        {
            "video_id": ["v", "v", "v", "other"],
            "start_s": [0.0, 0.1, 4.0, 0.0],
            "end_s": [2.0, 2.0, 6.0, 2.0],
            "label": ["rise", "rise", "rise", "rise"],
            "score": [0.5, 0.9, 0.8, 0.99],
        }
    )
    # another video, then a hit, the wrong label, and the same span again: 1 right of 2
    got = video_encoders.average_precision(found, annotated)
    assert got.to_dict() == {"fall": 0.0, "rise": 0.5}
    assert video_encoders.average_precision(found, annotated, least=0.96)["rise"] == 0.25


def test_a_span_is_encoded_as_a_clip_of_its_own(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    frames = frames.repeat(16, axis=0).repeat(16, axis=1)  # 128 x 128 pixels
    film = np.stack([np.roll(frames, 2 * t, axis=1) for t in range(48)])
    path = tmp_path / "film.mp4"
    video_io.write_clip(path, film, fps=16)
    encoder = video_encoders.load("slowfast_mini", device="cpu")
    got = video_encoders.span_vectors(path, [[0.5, 2.5], [2.0, 3.0]], encoder)
    shown = video_io.read_clip(path)[0]
    whole = shown[8:40][1::2]  # sixteen frames in two seconds, each on display in its middle
    np.testing.assert_allclose(got[:1], encoder.encode([whole]), atol=1e-4)
    short = shown[32:48][1::2]  # eight frames in a second, twice
    np.testing.assert_allclose(got[1:], encoder.encode([np.tile(short, (2, 1, 1, 1))]), atol=1e-4)
    average = video_encoders.load("frame_average", device="cpu", frames=4, size=64)
    assert video_encoders.span_vectors(path, [[0, 1]], average).shape == (1, average.dim)
    with pytest.raises(video_io.VideoError, match="before the span"):
        video_encoders.span_vectors(path, [[4.0, 5.0]], encoder)


@pytest.mark.parametrize(
    ("spans", "words"), [([0, 1], "shape"), ([[1, 1]], "ends after"), ([[2, 1]], "2 to 1 s")]
)
def test_bad_spans_are_named(spans, words):
    with pytest.raises(ValueError, match=words):
        video_encoders.temporal_iou(spans, [[0, 1]])


def test_scores_must_fit():
    with pytest.raises(ValueError, match="one finite score"):
        video_encoders.suppress([[0, 1]], [np.nan])
    with pytest.raises(ValueError, match="one finite score"):
        video_encoders.suppress([[0, 1]], [0.5, 0.5])


class Brightness:
    """Encodes a clip as its brightness, and is sure of "bright" by as much."""

    frame_contract = FrameContract(2, 16)
    windows = None
    classes_ = np.array(["bright", "dark"])

    def encode(self, clips: list[np.ndarray]) -> np.ndarray:
        return np.array([[clip.mean() / 255] for clip in clips], dtype=np.float32)

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        return np.hstack([vectors, 1 - vectors])


def test_what_happens_is_named_with_its_span(tmp_path):
    film = np.zeros((64, 16, 16, 3), dtype=np.uint8)
    film[32:] = 250  # dark for two seconds, then bright
    video_io.write_clip(tmp_path / "film.mp4", film, fps=16)
    spans = [[0, 2], [0.5, 2.5], [1, 3], [2, 4]]
    both = Brightness()
    found = video_encoders.localise(tmp_path / "film.mp4", spans, both, both, most=0.3)
    assert sorted(zip(found["start_s"], found["end_s"], found["label"], strict=True)) == [
        (0, 2, "dark"),
        (2, 4, "bright"),
    ]
    assert (found["score"] > 0.9).all()
    annotated = found[["start_s", "end_s", "label"]].assign(video_id="v")
    kinds = {"shots": {"v": spans[::3]}, "whole": {"v": [[0.0, 4.0]]}}
    files = {"v": tmp_path / "film.mp4"}
    scores = video_encoders.compare_candidates(files, kinds, annotated, both, both)
    # one label fits one of two shots, by half
    assert scores["precision"].to_dict() == {"shots": 1.0, "whole": 0.5}
    assert scores["answers"].to_dict() == {"shots": 2, "whole": 1}
    assert scores["hits"].to_dict() == {"shots": 2, "whole": 1}


def test_three_kinds_of_candidates_cover_each_annotated_video():
    annotated = pd.DataFrame(
        {"video_id": ["w", "v", "w"], "start_s": [0, 0, 2], "end_s": [2, 1, 3], "label": "rise"}
    )
    kinds = video_encoders.candidate_kinds(annotated, (2.0,))
    assert kinds["whole clip"]["w"].tolist() == [[0, 3]]
    assert kinds["true shots"]["w"].tolist() == [[0, 2], [2, 3]]
    assert kinds["sliding windows"]["w"].tolist() == [[0, 2], [1, 3]]
    assert kinds["sliding windows"]["v"].tolist() == [[0, 1]]  # a window is no longer than its film
