import itertools

import numpy as np
import pandas as pd
import pytest

from tests.helpers import real_data
from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.duplicates import near_duplicates
from vidrec_utils.preprocessing.hashing import Fingerprint, fingerprint, hamming, perceptual_hash
from vidrec_utils.preprocessing.windows import (
    BANDS,
    FINE_CUTS,
    EditedMatch,
    Window,
    align,
    compare_edited,
    delayed,
    edited_pairs,
    interpolation,
    is_edited_copy,
    window_hashes,
    windows,
)

from .conftest import moving

SIDE = 160


def print_of(frames):
    return Fingerprint.of_frames(frames, len(frames) / 16)


def crop(frames, top, bottom, left, right):
    height, width = frames.shape[1:3]
    rows = slice(round(top * height), height - round(bottom * height))
    return frames[:, rows, round(left * width) : width - round(right * width)]


def boxed(frames, first, last):
    """A dark box with a white bar, which stands for letters, over a share of the height."""
    copy, height, width = frames.copy(), *frames.shape[1:3]
    top, bottom = round(first * height), round(last * height)
    copy[:, top:bottom, width // 12 : -width // 12] = 20
    copy[:, (2 * top + bottom) // 3 : (top + 2 * bottom) // 3, width // 5 : -width // 5] = 235
    return copy


def library_of(ids):
    log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    dates = pd.date_range("2025-01-01", periods=len(ids), tz="UTC")
    index = pd.Index(ids, name="video_id")
    return VideoLibrary(pd.DataFrame({"published_at": dates}, index=index), log)


def test_a_window_is_cut_and_scaled_by_hand():
    assert np.array_equal(interpolation(0, 1), np.eye(32))
    assert interpolation(0.1, 0.95).sum(axis=1) == pytest.approx(1)
    ramp = np.tile(np.arange(32.0), (1, 32, 1))  # each pixel holds its column
    cut = Window(left=0.25, right=0.25).cut(ramp)  # columns 8 to 23, at half a pixel each
    assert cut[0, 0] == pytest.approx(8 + (np.arange(32) + 0.5) / 2 - 0.5)
    assert Window(top=0.25, bottom=0.25).cut(ramp, slice(0, 4)).shape == (1, 4, 32)


def test_hashes_of_windows_are_those_of_cut_images():
    images = print_of(moving(3, "right", side=SIDE)).images[::8]
    for cuts, n in (((0.0, 0.05, 0.1), 81), (FINE_CUTS, 625)):
        hashes, chosen = window_hashes(images, cuts), windows(cuts)
        assert hashes.shape == (len(images), n)
        assert len(chosen) == n
        for k in (0, 1, n // 2, n - 1):
            by_hand = perceptual_hash(chosen[k].cut(images))
            assert hamming(hashes[:, k], by_hand).max() <= 1  # rounding may flip one bit


@pytest.mark.parametrize(
    ("rows", "start", "edges"),
    [
        (BANDS[0], Window(0.025, 0.05, 0.025, 0.075), (0.03, 0.06, 0.02, 0.08)),
        (BANDS[0], Window(0.0, 0.1, 0.1, 0.0), (0.0, 0.09, 0.11, 0.0)),
        (BANDS[1], Window(), (0.02, 0.01, 0.0, 0.02)),
        (BANDS[2], Window(), (0.0, 0.02, 0.02, 0.0)),
    ],
)
def test_alignment_recovers_what_was_cut(rows, start, edges):
    frames = moving(2, "right", side=400)
    whole, part = print_of(frames), print_of(crop(frames, *edges))
    window, delay = align(part.images, whole.images, start, rows)
    if rows == BANDS[0]:  # from two thirds, an edge far away is known less well
        cut = (window.top, window.bottom, window.left, window.right)
        assert cut == pytest.approx(edges, abs=0.015)
    assert abs(delay) < 0.3
    before, after = (
        np.abs(w.cut(whole.images, rows) - part.images[:, rows]).mean() for w in (start, window)
    )
    assert after < 0.7 * before


def test_alignment_recovers_a_part_of_a_frame():
    images = print_of(moving(2, "right", side=320, frames=48)).images
    found, delay = align(delayed(images, 0.4), images, Window(), BANDS[0])
    assert delay == pytest.approx(0.4, abs=0.05)
    assert (found.top, found.left) == pytest.approx((0, 0), abs=0.01)


EDITED = {
    "a tenth in all": lambda f: crop(f, 0.05, 0.05, 0.05, 0.05),
    "a tenth on the left": lambda f: crop(f, 0, 0, 0.1, 0),
    "a tenth everywhere": lambda f: crop(f, 0.1, 0.1, 0.1, 0.1),
    "a box at the bottom": lambda f: boxed(f, 0.78, 0.95),
    "a box at the top": lambda f: boxed(f, 0.05, 0.22),
}


@pytest.mark.parametrize("edit", EDITED)
def test_edited_copies_are_found_and_other_motions_are_not(edit):
    frames = moving(1, "right", side=SIDE)
    prints = {
        "first": print_of(frames),
        "other way": print_of(moving(1, "down", side=SIDE)),
        "copy": print_of(EDITED[edit](frames)),
        "copy of the reversal": print_of(EDITED[edit](frames[::-1])),
    }
    table = near_duplicates(library_of(list(prints)), prints, progress=False)
    assert table[["video_id", "kept_id"]].to_numpy().tolist() == [["copy", "first"]]
    unedited = near_duplicates(library_of(list(prints)), prints, edited=False, progress=False)
    assert unedited.empty or edit == "a tenth in all"  # hashes change little in a smooth scene


def test_a_copy_may_be_older_than_what_it_was_cropped_from():
    frames = moving(1, "right", side=SIDE)
    prints = {"copy": print_of(crop(frames, *[0.05] * 4)), "whole": print_of(frames)}
    table = near_duplicates(library_of(list(prints)), prints, progress=False)
    assert table[["video_id", "kept_id"]].to_numpy().tolist() == [["whole", "copy"]]


def test_pairs_of_windows_equal_brute_force():
    scenes = {f"v{k}": moving(k, "right", side=SIDE, frames=16) for k in range(4)}
    scenes |= {
        "cropped": crop(scenes["v1"], 0.05, 0.05, 0, 0),
        "boxed": boxed(scenes["v2"], 0, 0.2),
    }
    prints = {v: print_of(frames) for v, frames in scenes.items()}
    probes = {v: clip.images[[2, 6, 10, 14]] for v, clip in prints.items()}
    cut = {v: [perceptual_hash(w.cut(x)) for w in windows()] for v, x in probes.items()}
    bands = {
        v: [perceptual_hash(x[:, rows].astype(float)) for rows in BANDS[1:]]
        for v, x in probes.items()
    }
    expected = set()
    for a, b in itertools.permutations(prints, 2):
        bits = [hamming(x, cut[b][0]).mean() for x in cut[a]]
        bits += [hamming(x, y).mean() for x, y in zip(bands[a], bands[b], strict=True)]
        if min(bits) <= 12:
            expected.add(frozenset((a, b)))
    pairs = edited_pairs(prints)
    assert {frozenset(pair) for pair in pairs} == expected
    assert {frozenset(("v1", "cropped")), frozenset(("v2", "boxed"))} <= expected
    assert all(list(prints).index(a) < list(prints).index(b) for a, b in pairs)
    assert edited_pairs({}) == []


def test_edited_copies_have_to_move():
    still = moving(7, "still", side=SIDE)
    match = compare_edited(print_of(still), print_of(crop(still, *[0.05] * 4)))
    assert not is_edited_copy(match)
    copy = EditedMatch(distance=12.0, motion=0.9, size=5.0, change=0.8, change_size=2.0)
    assert is_edited_copy(copy)
    for otherwise in ({"distance": 15.0}, {"motion": 0.8}, {"change": 0.6}, {"size": 0.1}):
        assert not is_edited_copy(copy._replace(**otherwise))


# -- real clips ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signs():
    """Frames of five signs; "no" and "yes" are one signer who raises one arm at one place."""
    folder = real_data.require("video6-mini-redistributable") / "sign_language"
    names = ("no", "yes", "eat", "want", "sorry")
    return {v: video_io.read_clip(folder / f"{v}.mkv", size=160)[0] for v in names}


def test_two_takes_of_one_gesture_differ_in_their_changes(signs):
    no, yes = (Fingerprint.of_frames(signs[v][::2], len(signs[v]) / 30) for v in ("no", "yes"))
    cropped = Fingerprint.of_frames(crop(signs["no"], *[0.05] * 4)[::2], no.duration_s)
    takes, copy = compare_edited(no, yes), compare_edited(no, cropped)
    assert takes.motion > 0.8  # motion alone would hardly tell them apart
    assert takes.change < 0.62
    assert copy.change > 0.85


def test_edited_copies_of_real_clips_are_found(signs, tmp_path):
    prints = {v: Fingerprint.of_frames(f[::2], len(f) / 30) for v, f in signs.items()}
    assert near_duplicates(library_of(list(prints)), prints, progress=False).empty
    expected = {}
    for k, (edit, change) in enumerate(EDITED.items()):
        original = list(signs)[k]
        path = video_io.write_clip(tmp_path / "copy.mp4", change(signs[original]), 30, crf=28)
        prints[edit], expected[edit] = fingerprint(path), original
    unedited = near_duplicates(library_of(list(prints)), prints, edited=False, progress=False)
    assert len(unedited) < len(expected)
    table = near_duplicates(library_of(list(prints)), prints, progress=False)
    assert dict(zip(table["video_id"], table["kept_id"], strict=True)) == expected
