import itertools

import numpy as np
import pandas as pd
import pytest

from tests.helpers import real_data
from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.duplicates import (
    candidate_pairs,
    compare_pairs,
    exact_duplicates,
    merge_duplicates,
    near_duplicates,
    resolve,
)
from vidrec_utils.preprocessing.hashing import Fingerprint, fingerprint, fingerprints
from vidrec_utils.preprocessing.matching import bag_distance, compare, is_copy, motion_correlation

from .conftest import FRAMES, moving, write_library


def print_of(frames, duration_s=FRAMES / 16):
    return Fingerprint.of_frames(frames, duration_s)


def copied(a, b):
    return is_copy(*compare(a, b))


def test_equal_files_are_exact_duplicates(dirty):
    found = exact_duplicates(dirty, exclude=["error page", "error page too"], progress=False)
    assert found[["video_id", "kept_id", "kind"]].to_numpy().tolist() == [
        ["exact copy", "first", "exact"]
    ]
    with_pages = exact_duplicates(dirty, progress=False)
    assert "error page too" in set(with_pages["video_id"])
    assert "empty" not in set(with_pages["video_id"])  # nothing is no copy of anything


def test_recoded_copies_are_found_and_other_motions_are_not(dirty):
    found = near_duplicates(dirty, exclude=["black", "black too"], progress=False)
    assert dict(zip(found["video_id"], found["kept_id"], strict=True)) == {
        "exact copy": "first",
        "recoded": "first",
    }
    assert (found["motion"] > 0.85).all()


def test_black_clips_would_all_be_copies_of_each_other(dirty):
    found = near_duplicates(dirty, progress=False)
    assert ("black too", "black") in set(zip(found["video_id"], found["kept_id"], strict=True))


def test_broken_files_cost_a_row(dirty):
    prints, failures = fingerprints(dirty, progress=False)
    reasons = dict(zip(failures["video_id"], failures["reason"], strict=True))
    assert reasons["empty"] == "empty"
    assert reasons["error page"] == "not_a_video"
    assert reasons["gone"] == "missing"
    assert set(prints).isdisjoint(reasons)


def test_a_reversed_clip_is_another_clip():
    forward = moving(1, "right")
    assert not copied(print_of(forward), print_of(forward[::-1]))
    bag = np.sort(print_of(forward).hashes) == np.sort(print_of(forward[::-1]).hashes)
    assert bag.all()  # a bag of hashes could not tell


def test_a_trimmed_copy_is_shifted_into_place():
    whole = moving(6, "right", frames=32)
    trimmed = whole[3:]
    distance, motion, _ = compare(print_of(whole, 2.0), print_of(trimmed, 29 / 16))
    assert distance < 1
    assert motion > 0.9
    unshifted, _, _ = compare(print_of(whole, 2.0), print_of(trimmed, 29 / 16), max_shift_s=0.0)
    assert unshifted > distance


@pytest.mark.parametrize("cut", [(0.2, 0.0), (0.0, 0.2), (0.1, 0.1), (0.0, 0.05)])
def test_copies_trimmed_by_up_to_a_fifth_are_found(cut):
    length = 160  # ten seconds of which every frame shows another scene
    rng = np.random.default_rng(0)
    coarse = rng.normal(128, 40, (length // 8 + 2, 8, 8)).clip(0, 255)
    at = np.arange(length) / 8
    share = (at % 1)[:, None, None]
    blend = coarse[at.astype(int)] * (1 - share) + coarse[at.astype(int) + 1] * share
    frames = np.kron(blend, np.ones((1, 8, 8))).astype(np.uint8)

    def sampled(first, last):
        return print_of(frames[first:last][1::2], (last - first) / 16)

    whole = sampled(0, length)
    copy = sampled(round(cut[0] * length), length - round(cut[1] * length))
    other = sampled(0, length)
    other = Fingerprint(10.0, other.step_s, other.images[::-1], other.hashes[::-1])
    assert candidate_pairs({"copy": copy, "whole": whole}) == [("copy", "whole")]
    assert copied(whole, copy)
    assert copied(copy, whole)
    assert not copied(other, copy)
    less = sampled(round(0.3 * length), length)  # a trim of three tenths is not looked for
    assert candidate_pairs({"less": less, "whole": whole}) == []


def test_clips_of_two_steps_are_compared_at_equal_times():
    whole = moving(6, "right", frames=80)  # five seconds, of which a copy keeps four
    fine = print_of(whole[8:72], 4.0)
    coarse = print_of(whole[1::2], 5.0)
    assert coarse.step_s == pytest.approx(2 * fine.step_s)
    distance, motion, _ = compare(coarse, fine)
    assert distance < 2
    assert motion > 0.9


def test_still_clips_are_compared_by_their_looks():
    a, b, c = (print_of(moving(seed, "still")) for seed in (7, 7, 8))
    assert copied(a, b)
    assert not copied(a, c)


def test_motion_correlation_by_hand():
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(0, 255, (1, 32, 32)), 9, axis=0)
    dot = still.copy()
    for t in range(9):
        dot[t, 3 * t, 5] += 60
    assert motion_correlation(dot, dot) == pytest.approx(1.0)
    assert motion_correlation(dot, dot[::-1]) < 0.5  # only the middle frame agrees
    assert motion_correlation(still, dot) == 0.0


def test_candidates_equal_brute_force():
    rng = np.random.default_rng(0)
    prints, first = {}, rng.integers(0, 255, (8, 32, 32))
    for k in range(60):
        pictures = first if k % 3 == 0 else rng.integers(0, 255, (8, 32, 32))
        frames = (pictures + rng.normal(0, 6, pictures.shape)).clip(0, 255)
        prints[f"v{k}"] = print_of(frames, 0.5 + 0.01 * (k % 7))
    found = set(candidate_pairs(prints))
    expected = set()
    for a, b in itertools.combinations(prints, 2):
        places = [1, 3, 5, 7]
        x, y = (prints[v].hashes[places] for v in (a, b))
        if np.bitwise_count(x ^ y).mean() <= 12:
            expected.add((a, b))
    assert found == expected
    assert len(found) >= 190
    assert candidate_pairs({}) == []


def test_similar_clips_are_not_chained(tmp_path):
    library = write_library(tmp_path, dict.fromkeys("abc", b""))
    # b lies between a and c: it resembles both, while they do not resemble each other.
    frames = {v: moving(9, "right").astype(float) for v in "abc"}
    rng = np.random.default_rng(1)
    blobs = [np.kron(rng.normal(size=(8, 8)), np.ones((8, 8)))[None, ..., None] for _ in range(2)]
    for step in range(1, 60):
        x = {
            "a": frames["a"] + step * blobs[0],
            "b": frames["b"],
            "c": frames["c"] + step * blobs[1],
        }
        prints = {v: print_of(f.clip(0, 255)) for v, f in x.items()}
        ab, bc, ac = (copied(prints[p], prints[q]) for p, q in ("ab", "bc", "ac"))
        if ab and bc and not ac:
            break
    else:
        pytest.fail("no step makes b resemble both without a resembling c")
    found = near_duplicates(library, prints, edited=False, progress=False)
    assert dict(zip(found["video_id"], found["kept_id"], strict=True)) == {"b": "a"}


def test_copies_leave_and_their_exposures_move(dirty):
    copies = pd.DataFrame(
        {
            "video_id": ["exact copy", "recoded"],
            "kept_id": ["first", "exact copy"],
            "kind": ["exact", "near"],
        }
    )
    before = dirty.interactions.copy()
    cleaned, report = merge_duplicates(dirty, copies)
    assert {"exact copy", "recoded"}.isdisjoint(cleaned.videos.index)
    assert (cleaned.interactions["video_id"] == "first").sum() == 6  # two of each
    assert len(cleaned.interactions) == len(before)
    moved = report[report["table"] == "interactions"]
    assert set(moved["after"]) == {"first"}
    rows = moved["row"].to_numpy() - 2
    assert set(before["video_id"].iloc[rows]) == {"exact copy", "recoded"}
    pd.testing.assert_frame_equal(dirty.interactions, before)
    with pytest.raises(ValueError, match="'nobody'"):
        merge_duplicates(dirty, copies.assign(kept_id="nobody"))


def test_chains_and_circles_of_copies():
    table = pd.DataFrame({"video_id": ["b", "c", "x"], "kept_id": ["a", "b", "x"]})
    assert resolve(table) == {"b": "a", "c": "a"}


def test_no_duplicates_is_no_change(dirty):
    none = exact_duplicates(dirty.subset(["first", "second"]), progress=False)
    cleaned, report = merge_duplicates(dirty, none)
    pd.testing.assert_frame_equal(cleaned.videos, dirty.videos)
    assert report.empty


# -- real clips ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    """Fingerprints of the 61 real clips, five of which are several takes of one empty sky."""
    folder = real_data.require("video6-mini-redistributable")
    paths = sorted(p for p in folder.glob("*/*") if p.suffix in (".mp4", ".mkv", ".webm"))
    assert len(paths) == 61
    videos = pd.DataFrame(
        {"path": [p.relative_to(folder).as_posix() for p in paths]},
        index=pd.Index([p.stem for p in paths], name="video_id"),
    )
    library = VideoLibrary(
        videos,
        pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []}),
        root=folder,
    )
    prints, failures = fingerprints(library, progress=False)
    assert failures.empty
    return library, prints


def test_takes_of_one_scene_are_no_copies(real):
    library, prints = real
    assert near_duplicates(library, prints, progress=False).empty
    # Their looks alone would have merged many of them.
    pairs = [compare(prints[a], prints[b]) for a, b in candidate_pairs(prints)]
    assert sum(distance < 4 for distance, _, _ in pairs) >= 5


def test_no_real_clip_equals_its_reversal(real):
    for found in real[1].values():
        backwards = Fingerprint(
            found.duration_s, found.step_s, found.images[::-1], found.hashes[::-1]
        )
        assert not copied(found, backwards)


RECODINGS = {
    "harder": {"crf": 34, "size": 360},
    "half the size": {"crf": 28, "size": 240},
    "half the rate": {"crf": 26, "size": 240, "fps": 15.0},
    "another container": {"crf": 30, "suffix": ".mkv", "size": 200},
    "brighter and trimmed": {"crf": 30, "start_s": 0.2, "gain": 1.07, "size": 300},
    "trimmed by a fifth": {"crf": 30, "start_s": 0.3, "size": 240},
}


@pytest.mark.parametrize("name", RECODINGS)
def test_recoded_real_clips_are_found(real, name, tmp_path):
    library, prints = real
    options = dict(RECODINGS[name])
    crf, gain = options.pop("crf"), options.pop("gain", 1.0)
    path = tmp_path / f"copy{options.pop('suffix', '.mp4')}"
    for video_id in ("eat", "want", "thanks"):  # signs by people before one wall
        original = library.file(video_id)
        frames, _ = video_io.read_clip(original, **options)
        brighter = (frames * np.float32(gain)).clip(0, 255).astype(np.uint8)
        fps = options.get("fps") or video_io.probe(original).fps
        video_io.write_clip(path, brighter, fps=fps, crf=crf)
        copy = fingerprint(path)
        matches = [v for v in _alike(prints, copy) if copied(prints[v], copy)]
        assert matches == [video_id]


def _alike(prints, copy):
    """Ids whose hashes make them candidates for a clip."""
    return [v for v in prints if candidate_pairs({v: prints[v], "copy": copy})]


def crossing(seed=0, n=8):
    """A bright square that crosses a scene from left to right."""
    scene = np.random.default_rng(seed).integers(0, 120, (4, 4)).repeat(16, 0).repeat(16, 1)
    frames = np.repeat(scene[None], n, axis=0).astype(np.uint8)
    for k in range(n):
        frames[k, 24:40, 6 * k : 6 * k + 16] = 250
    return Fingerprint.of_frames(frames, n / 16)


def test_compare_pairs_calls_a_clip_its_own_copy_but_not_its_reversal_or_mirror_image():
    clip = crossing()
    table = compare_pairs([(clip, clip), (clip, clip.reversed()), (clip, clip.mirrored())])
    assert list(table["copy"]) == [True, False, False]
    assert table.loc[0, "hamming"] == 0
    assert table.loc[0, "motion"] > 0.999
    assert table.loc[1, "motion"] < 0.5


def test_compare_pairs_of_nothing_is_an_empty_table():
    table = compare_pairs([])
    assert list(table) == ["hamming", "motion", "size", "copy"]
    assert table["copy"].dtype == bool
    assert len(table[~table["copy"]]) == 0


def test_a_bag_of_hashes_forgets_the_order_and_nothing_else():
    images = np.zeros((3, 32, 32), dtype=np.uint8)
    first = Fingerprint(0.3, 0.1, images, np.array([0b0000, 0b1111, 0b0011], dtype=np.uint64))
    shuffled = Fingerprint(0.3, 0.1, images, first.hashes[[2, 0, 1]])
    assert bag_distance(first, shuffled) == 0
    # Of `other`, 0b0001 is 1 bit from 0b0000 and 0b1111 is at 0; of `first`, the three are 1, 0
    # (0b1111) and 1 (0b0011 against 0b0001) bits away: (1 + 0 + 1 + 1 + 0) / 5.
    other = Fingerprint(0.2, 0.1, images[:2], np.array([0b0001, 0b1111], dtype=np.uint64))
    assert bag_distance(first, other) == bag_distance(other, first) == pytest.approx(3 / 5)
