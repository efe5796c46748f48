"""The clips that teach motion: what they show, what their labels turn into, what they share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vidrec_utils.minitube.vocabulary import MOTIONS as MINITUBE_MOTIONS
from vidrec_utils.minitube.vocabulary import SUBJECTS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import motion_corpus as corpus


def seen(path: np.ndarray) -> dict[str, float]:
    """What a path shows: the angle of its drift, and the signs of circling, turning and growth."""
    x, y, size, angle = path.T
    steps = np.stack([np.diff(x), -np.diff(y)], axis=1)  # y upwards
    steps = steps[np.linalg.norm(steps, axis=1) < 0.6]  # not the jump back to the start
    mean = steps.mean(axis=0)
    there = np.stack([x - x.mean(), -(y - y.mean())], axis=1)
    cross = there[:-1, 0] * np.diff(there[:, 1]) - there[:-1, 1] * np.diff(there[:, 0])
    return {
        "drift": np.rad2deg(np.arctan2(mean[1], mean[0])) % 360,
        "circling": np.sign(np.median(cross)),
        "turning": np.sign(np.median(np.diff(angle))),
        "growth": np.sign(np.median(np.diff(size))),
        "outwards": np.sign(np.median(np.diff(np.linalg.norm(there, axis=1)))),
    }


def paths(name: str) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [corpus.path(name, rng, frames=200) for _ in range(5)]


def turned(path: np.ndarray) -> np.ndarray:
    """As the frames are turned by 90 degrees counter-clockwise."""
    x, y, size, angle = path.T
    return np.stack([y, 1 - x, size, angle + 90], axis=1)


@pytest.mark.parametrize("angle", [22, 67, 112, 157, 202, 247, 292, 337])
def test_a_drift_goes_where_its_name_says(angle):
    for path in paths(f"drift_{angle}"):
        assert seen(path)["drift"] == pytest.approx(angle, abs=1)


@pytest.mark.parametrize(
    ("name", "what", "sign"),
    [
        ("spiral_out_ccw", "circling", 1), ("spiral_out_cw", "circling", -1),
        ("spiral_in_ccw", "circling", 1), ("spiral_in_cw", "circling", -1),
        ("square_ccw", "circling", 1), ("square_cw", "circling", -1),
        ("grow_ccw", "turning", 1), ("shrink_cw", "turning", -1),
        ("grow_cw", "growth", 1), ("shrink_ccw", "growth", -1),
    ],
)  # fmt: skip
def test_signs_follow_the_names(name, what, sign):
    assert [seen(path)[what] for path in paths(name)] == [sign] * 5


@pytest.mark.parametrize("name", corpus.MOTIONS)
@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda p: p[::-1], corpus.reversed_in_time),
        (lambda p: p * [-1, 1, 1, -1] + [1, 0, 0, 0], corpus.mirrored),
        (turned, corpus.quarter_turned),
    ],
    ids=["reversed", "mirrored", "turned"],
)
def test_labels_follow_what_is_done_to_a_clip(name, change, label):
    expected = label(name)
    assert expected in corpus.MOTIONS
    for path, like in zip(paths(name), paths(expected), strict=True):
        got, want = seen(change(path)), seen(like)
        if name in corpus.DRIFTS:
            assert np.cos(np.deg2rad(got["drift"] - want["drift"])) > 0.999
        elif name in (*corpus.SPIRALS, *corpus.GROWTHS) or name.startswith("square"):
            keys = ("turning", "growth") if name in corpus.GROWTHS else ("circling",)
            assert {k: got[k] for k in keys} == {k: want[k] for k in keys}
        else:
            assert expected == name


def test_nothing_is_shared_with_minitube():
    assert not set(corpus.MOTIONS) & set(MINITUBE_MOTIONS)
    minitube = {one for many in SUBJECTS.values() for one in many}
    assert len(corpus.characters()) > 500
    assert not set(corpus.characters()) & minitube
    assert not {one + "\ufe0f" for one in corpus.characters()} & minitube


def test_the_characters_are_those_that_the_committed_networks_were_trained_on():
    """MiniTube gave up the places of worship; the corpus must not take them up for that."""
    assert len(corpus.characters()) == 976
    assert not set(corpus.characters()) & {"⛪", "🕋", "🕌", "🛕"}


def test_training_and_validation_differ_and_repeat(tmp_path):
    train = corpus.build(tmp_path, "train", 22, seed=3, jobs=1)
    again = corpus.build(tmp_path / "again", "train", 22, seed=3, jobs=1)
    held_out = corpus.build(tmp_path, "validation", 22, seed=3, jobs=1)
    assert train.clips.shape == (22, corpus.FRAMES, corpus.SIZE, corpus.SIZE, 3)
    assert train.clips.dtype == np.uint8
    assert np.array_equal(train.clips, again.clips)
    assert list(train.motions) == list(range(22))
    assert not any(np.array_equal(a, b) for a in train.clips for b in held_out.clips)
    assert not set(corpus._training_shapes()) & set(corpus.characters()[1::5])
    assert train.clips[corpus.MOTIONS.index("still")].astype(float).std(axis=0).mean() < 25


def test_an_unknown_part():
    with pytest.raises(ValueError, match="no part 'test'"):
        corpus.build(Path("x"), "test", 1)
