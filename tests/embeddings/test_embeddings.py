"""The store of vectors: nothing computed twice, nothing lost to a kill, everything told."""

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.helpers.sounds import sine, write_sound
from vidrec_utils import audio_encoders, embeddings, video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import StoreError, batches
from vidrec_utils.encoders import FrameContract, SoundContract, WeightsInfo


class TextHash:
    """Vectors by hand: length, first and last letter of a text; counts what it was given."""

    name = "text/hash: 1"
    modality = "text"
    dim = 3
    parameters = 0
    preprocessing = None
    values_per_item = 768
    weights = WeightsInfo("none")

    def __init__(self, version=1):
        self.version = version
        self.calls = []

    @property
    def fingerprint(self):
        return f"text-hash-{self.version}"

    def encode(self, batch):
        self.calls.append(list(batch))
        return np.array([[len(t), ord(t[0]), ord(t[-1])] for t in batch], dtype="f4") * self.version


class MeanColour:
    """The mean colour of pictures, or of a clip's frames."""

    name = "colour"
    dim = 3
    parameters = 0
    preprocessing = None
    values_per_item = 3 * 224**2
    weights = WeightsInfo("none")
    fingerprint = "colour-1"
    frame_contract = FrameContract(frames=4, size=16, read_size=16)

    def __init__(self, modality="image"):
        self.modality = modality
        self.shapes = []

    def encode(self, batch):
        self.shapes += [item.shape for item in batch]
        return np.stack([i.reshape(-1, 3).mean(axis=0) for i in batch]).astype("f4")


def titles(*texts):
    videos = pd.DataFrame({"title": texts}, index=[f"v{i}" for i in range(len(texts))])
    return SimpleNamespace(videos=videos)


def embed(library, encoder, root, **options):
    return embeddings.embed(library, encoder, root=root, progress=False, **options)


def contents(root):
    """Bytes of every file of a store but its lock."""
    files = sorted(p for p in Path(root).rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def test_vectors_by_hand_and_memory_mapped(tmp_path):
    got = embed(titles("ab", "xyz", "q"), TextHash(), tmp_path)
    np.testing.assert_array_equal(got.vectors, [[2, 97, 98], [3, 120, 122], [1, 113, 113]])
    assert got.vectors.dtype == np.float32
    assert isinstance(got.vectors, np.memmap)
    assert not got.vectors.flags.writeable
    assert got.ids.tolist() == ["v0", "v1", "v2"]
    assert got.vector("v2").tolist() == [1, 113, 113]
    assert got.frame().loc["v1"].tolist() == [3, 120, 122]
    matrix = got.matrix(["v2", "unknown", "v0"])
    assert matrix[[0, 2], 0].tolist() == [1, 2]
    assert np.isnan(matrix[1]).all()
    assert len(got.failures) == 0
    with pytest.raises(KeyError):
        got.vector("unknown")


def test_only_what_changed_is_computed(tmp_path):
    encoder = TextHash()
    embed(titles("one", "two", "three"), encoder, tmp_path)
    encoder.calls.clear()
    same = embed(titles("one", "two", "three"), encoder, tmp_path)
    assert encoder.calls == []
    other_order = embed(titles("three", "four", "one", "four"), encoder, tmp_path)
    assert encoder.calls == [["four"]]
    assert other_order.vectors[:, 0].tolist() == [5, 4, 3, 4]
    assert same.vectors[:, 0].tolist() == [3, 3, 5]


def test_another_encoder_is_another_store(tmp_path):
    embed(titles("one"), TextHash(1), tmp_path)
    got = embed(titles("one"), TextHash(2), tmp_path)
    assert got.vectors[0, 0] == 6
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_titles_are_rows_with_a_reason(tmp_path):
    got = embed(titles("one", np.nan, "  ", "two"), TextHash(), tmp_path)
    assert got.failures["video_id"].tolist() == ["v1", "v2"]
    assert got.failures["reason"].tolist() == ["there is no title"] * 2
    assert np.isnan(got.vectors).all(axis=1).tolist() == [False, True, True, False]


def test_nothing_at_all(tmp_path):
    got = embed(titles(), TextHash(), tmp_path)
    assert got.vectors.shape == (0, 3)
    assert got.frame().shape == (0, 3)


def test_provenance_is_kept_and_checked(tmp_path):
    got = embed(titles("one"), TextHash(), tmp_path)
    assert got.provenance["fingerprint"] == "text-hash-1"
    assert got.provenance["weights"]["source"] == "none"
    assert "numpy" in got.provenance["versions"]
    file = next(tmp_path.rglob("provenance.json"))
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**told, "dim": 4}), encoding="utf-8")
    with pytest.raises(StoreError, match=r"its dim is 4.*Delete the folder"):
        embed(titles("one"), TextHash(), tmp_path)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be read"):
        embed(titles("one"), TextHash(), tmp_path)
    file.unlink()
    with pytest.raises(StoreError, match="gone"):
        embed(titles("one"), TextHash(), tmp_path)


def test_damaged_stores_say_so(tmp_path):
    embed(titles("one", "two"), TextHash(), tmp_path)
    vectors, log = next(tmp_path.rglob("vectors.f32")), next(tmp_path.rglob("log.jsonl"))
    whole = vectors.read_bytes()
    vectors.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match="shorter than its 2 rows"):
        embed(titles("one"), TextHash(), tmp_path)
    vectors.write_bytes(whole)
    log.write_bytes(b"nonsense\n")
    with pytest.raises(StoreError, match="not its own"):
        embed(titles("one"), TextHash(), tmp_path)


@pytest.fixture
def media(tmp_path):
    """A library of five videos: two good, one broken, one absent, one that names nothing."""
    root = tmp_path / "library"
    root.mkdir()
    for number, colour in enumerate([(200, 0, 0), (0, 100, 0)]):
        Image.new("RGB", (40, 24), colour).save(root / f"{number}.png")
        frames = np.full((8, 24, 40, 3), colour, dtype=np.uint8)
        video_io.write_clip(root / f"{number}.mp4", frames, fps=8)
    (root / "2.png").write_text("no picture", encoding="utf-8")
    (root / "2.mp4").write_text("no video", encoding="utf-8")
    names = pd.DataFrame({"video_id": [f"clip {i}/x" for i in range(5)]})
    names["thumbnail"] = ["0.png", "1.png", "2.png", "3.png", None]
    names["path"] = ["0.mp4", "1.mp4", "2.mp4", "3.mp4", None]
    none = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    return VideoLibrary(names.astype("str"), none, root=root)


def test_thumbnails_good_broken_and_absent(media, tmp_path):
    encoder = MeanColour("image")
    got = embed(media, encoder, tmp_path, of="thumbnail")
    np.testing.assert_array_equal(got.vectors[:2], [[200, 0, 0], [0, 100, 0]])
    assert np.isnan(got.vectors[2:]).all()
    assert got.failures["video_id"].tolist() == ["clip 2/x", "clip 3/x", "clip 4/x"]
    assert got.failures["reason"].str.contains("not an image|missing|no thumbnail").all()
    assert not got.failures["reason"].str.contains(str(tmp_path)).any()
    again = embed(media, encoder, tmp_path, of="thumbnail")
    assert len(encoder.shapes) == 2
    pd.testing.assert_frame_equal(again.failures, got.failures)


def test_a_replaced_thumbnail_is_encoded_again(media, tmp_path):
    encoder = MeanColour("image")
    embed(media, encoder, tmp_path, of="thumbnail")
    Image.new("RGB", (40, 24), (1, 2, 3)).save(media.root / "1.png")
    got = embed(media, encoder, tmp_path, of="thumbnail")
    assert got.vectors[1].tolist() == [1, 2, 3]
    assert len(encoder.shapes) == 3


def test_clips_follow_the_frame_contract(media, tmp_path):
    encoder = MeanColour("video")
    got = embed(media, encoder, tmp_path, of="clip")
    assert encoder.shapes == [(4, 16, 27, 3)] * 2
    np.testing.assert_allclose(got.vectors[:2], [[200, 0, 0], [0, 100, 0]], atol=4)
    assert got.failures["video_id"].tolist() == ["clip 2/x", "clip 3/x", "clip 4/x"]
    assert got.provenance["frames"] == {"frames": 4, "size": 16, "read_size": 16}


class Loudness:
    """The loudest sample and the length of a sound; counts what it was given."""

    name = "loudness"
    modality = "audio"
    dim = 2
    parameters = 0
    preprocessing = None
    weights = WeightsInfo("none")
    fingerprint = "loudness-1"

    def __init__(self, rate=8_000, most_s=1.5):
        self.sound_contract = SoundContract(rate, most_s)
        self.values_per_item = self.sound_contract.n_values
        self.items = 0

    def encode(self, batch):
        self.items += len(batch)
        return np.array([[np.abs(sound).max(), len(sound)] for sound in batch], dtype="f4")


@pytest.fixture
def sounding(tmp_path):
    """Clips of one and of three seconds of sound, a silent film, a broken and an absent file."""
    folder = tmp_path / "library"
    folder.mkdir()
    write_sound(folder / "one.mp4", sine(440, 1.0, 16_000, 0.5), 16_000, frames=20)
    write_sound(folder / "three.mkv", sine(440, 3.0, 48_000, 0.2), 48_000, frames=20)
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    video_io.write_clip(folder / "mute.mp4", frames, fps=4)
    (folder / "broken.mp4").write_bytes(b"no video")
    names = ["one.mp4", "three.mkv", "mute.mp4", "broken.mp4", "absent.mp4"]
    videos = pd.DataFrame({"video_id": list("abcde"), "path": names})
    log = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    return VideoLibrary(videos, log, root=folder)


def test_sounds_follow_the_sound_contract_and_a_film_without_costs_a_row(sounding, tmp_path):
    encoder = Loudness()
    got = embed(sounding, encoder, tmp_path / "store", of="sound")
    assert got.vectors[0].tolist() == [pytest.approx(0.5, abs=0.03), 8_000]
    assert got.vectors[1].tolist() == [pytest.approx(0.2, abs=0.03), 12_000]  # at most 1.5 s
    assert np.isnan(got.vectors[2:]).all()
    reasons = dict(zip(got.failures["video_id"], got.failures["reason"], strict=True))
    assert list(reasons) == ["c", "d", "e"]
    assert reasons["c"].startswith("the file has no sound track.")
    assert reasons["d"].startswith("its content is neither video nor sound")
    assert reasons["e"] == "the file is missing"
    assert got.provenance["sound"] == {"rate": 8_000, "most_s": 1.5}
    # kept: nothing is encoded again, and the reasons are the same
    again = embed(sounding, encoder, tmp_path / "store", of="sound")
    assert encoder.items == 2
    np.testing.assert_array_equal(again.vectors, got.vectors)
    pd.testing.assert_frame_equal(again.failures, got.failures)


def test_another_sound_contract_is_another_store(sounding, tmp_path):
    embed(sounding, Loudness(), tmp_path / "store", of="sound")
    longer = embed(sounding, Loudness(most_s=9.0), tmp_path / "store", of="sound")
    assert longer.vectors[1, 1] == pytest.approx(24_000, abs=1024 / 6)  # AAC pads the last packet
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_the_vectors_of_sound_join_those_of_titles(sounding, tmp_path):
    sounds = embed(sounding, audio_encoders.load("log_mel"), tmp_path, of="sound")
    assert np.isfinite(sounds.vectors[:2]).all()
    lengths = pd.DataFrame({"length": [1.0, 2.0]}, index=["a", "c"])
    joined = embeddings.join(sounds, lengths)
    assert joined.shape == (5, 178)
    assert joined.isna().all(axis=1).tolist() == [False, False, False, True, True]
    assert not joined.loc["c"].to_numpy()[:177].any()


def test_wrong_modality_and_wrong_words(tmp_path):
    with pytest.raises(ValueError, match="needs one of image"):
        embed(titles("a"), TextHash(), tmp_path, of="thumbnail")
    with pytest.raises(ValueError, match="choose from 'title', 'thumbnail', 'clip', 'sound'"):
        embed(titles("a"), TextHash(), tmp_path, of="smell")
    with pytest.raises(ValueError, match="at least 1"):
        embed(titles("a"), TextHash(), tmp_path, batch_size=-1)


# -- killed, and two at once --------------------------------------------------------------------

RUN = textwrap.dedent("""
    import os, signal, sys, time
    from types import SimpleNamespace
    import numpy as np, pandas as pd
    from vidrec_utils import embeddings
    from vidrec_utils.embeddings import store
    from vidrec_utils.encoders import WeightsInfo

    root, moment, pause, size = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

    def die():
        os.kill(os.getpid(), signal.SIGKILL) if hasattr(signal, "SIGKILL") else os._exit(9)

    class Slow:
        name, modality, dim, parameters = "slow", "text", 5, 0
        preprocessing, values_per_item = None, 5
        weights, fingerprint = WeightsInfo("none"), "slow-1"
        calls = 0
        def encode(self, batch):
            Slow.calls += 1
            time.sleep(pause)
            if moment == "encoding" and Slow.calls == 3:
                die()
            return np.array([np.random.default_rng(len(t)).random(5) for t in batch], dtype="f4")

    write_at = store._write_at
    def interrupted(path, offset, data, cut=False):
        if Slow.calls == 3 and moment == ("log" if cut else "vectors"):
            write_at(path, offset, data[: len(data) // 2], cut)
            die()
        if moment == "slowly":  # half, and a pause in which to be killed from outside
            write_at(path, offset, data[: len(data) // 2], cut)
            time.sleep(pause)
        write_at(path, offset, data, cut)
        if Slow.calls == 3 and moment == "between" and not cut:
            die()
    store._write_at = interrupted

    texts = ["x" * (i + 1) for i in range(23)] + [None]
    ids = [str(i) for i in range(24)]
    library = SimpleNamespace(videos=pd.DataFrame({"title": texts}, index=ids))
    got = embeddings.embed(library, Slow(), root=root, batch_size=size, progress=False)
    print(Slow.calls, len(got.failures))
""")


def start(root, moment="never", pause=0.0, size=4):
    arguments = [sys.executable, "-c", RUN, str(root), moment, str(pause), str(size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.split()


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path):
    moments = ["encoding", "vectors", "between", "log"]
    whole = start(tmp_path / "whole")
    killed = {moment: start(tmp_path / moment, moment) for moment in moments}
    assert finish(whole) == ["6", "1"]
    expected = contents(tmp_path / "whole")
    assert len(expected) == 3
    for process in killed.values():
        process.communicate(timeout=60)
        assert process.returncode != 0
    again = {moment: start(tmp_path / moment) for moment in moments}
    for moment, process in again.items():
        assert finish(process) == ["4", "1"], moment  # two batches of six were kept
        found = contents(tmp_path / moment)
        assert found.keys() == expected.keys()
        for name, data in found.items():
            assert hashlib.sha256(data).digest() == hashlib.sha256(expected[name]).digest(), name


def test_killed_at_ten_random_moments_and_restarted_the_store_is_the_same(tmp_path):
    """Two moments while Python starts and imports, eight spread over the 23 batches of the work.

    Where in its work a process is, its log says, so that a busy machine moves no kill. Around each
    batch the moment is random: while it is encoded, or half of its rows or of its line written.
    """
    finish(start(tmp_path / "whole", size=1))
    expected = contents(tmp_path / "whole")
    rng = np.random.default_rng()
    while_starting = rng.random(2) * 0.4
    batches = ((np.arange(8) + rng.random(8)) * 22 / 8).astype(int)
    delays = rng.random(8) * 0.06  # encoding and the two halting writes of a batch take 0.02 each
    moments = [*((0, delay) for delay in while_starting), *zip(batches, delays, strict=True)]

    def kill_and_restart(number):
        root = tmp_path / str(number)
        process = start(root, "slowly", pause=0.02, size=1)
        wanted, delay = moments[number]
        while number > 1 and process.poll() is None and not reached(root, wanted):
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()  # SIGKILL where there is one
        process.communicate(timeout=60)
        kept = logged(root)
        calls = int(finish(start(root, size=1))[0])
        return process.returncode != 0, kept, calls, contents(root)

    with ThreadPoolExecutor(max_workers=3) as threads:
        results = list(threads.map(kill_and_restart, range(10)))
    assert sum(killed for killed, *_ in results) >= 9  # the last may just have ended
    assert len({kept for _, kept, *_ in results}) >= 5, "the kills did not spread over the run"
    for moment, (_, kept, calls, found) in zip(moments, results, strict=True):
        assert calls == 23 - kept, f"killed at {moment}: something was computed twice"
        assert found == expected, f"killed at {moment}"


def reached(root, batches):
    """Whether a store is made, and so many of its batches are complete."""
    return any(root.rglob("provenance.json")) and logged(root) >= batches


def logged(root):
    log = next(root.rglob("log.jsonl"), None)
    return log.read_bytes().count(b"\n") if log else 0


def test_two_processes_share_the_work(tmp_path):
    both = [start(tmp_path / "both", pause=0.1) for _ in range(2)]
    calls = sorted(int(finish(process)[0]) for process in both)
    assert calls == [0, 6]
    log = next((tmp_path / "both").rglob("log.jsonl")).read_text(encoding="utf-8")
    keys = [key for line in log.splitlines() for key in json.loads(line)["keys"]]
    assert len(keys) == len(set(keys)) == 23


# --- side by side, in bounded memory ------------------------------------------------------------


class Apart(TextHash):
    """Prepares in one step and encodes in another; keeps which thread did what."""

    def prepare(self, batch):
        self.prepared_by = threading.current_thread().name
        return np.array([[len(t), ord(t[0]), ord(t[-1])] for t in batch], dtype="f4")

    def encode_prepared(self, prepared):
        self.encoded_by = threading.current_thread().name
        return prepared * self.version

    def encode(self, batch):
        raise AssertionError("the two steps are there to be used")


def test_an_encoder_of_two_steps_is_prepared_in_another_thread(tmp_path):
    encoder = Apart()
    got = embed(titles("ab", "xyz", np.nan, "q"), encoder, tmp_path, batch_size=2)
    whole = embed(titles("ab", "xyz", np.nan, "q"), TextHash(), tmp_path / "other")
    np.testing.assert_array_equal(got.vectors, whole.vectors)
    assert encoder.prepared_by.startswith("prepare")
    assert encoder.encoded_by == threading.current_thread().name


def test_reading_goes_on_while_encoding_and_no_further_than_two_batches(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(video_io, "read_image", lambda path, **_: read.append(path.name))
    seen = []

    class Waits(MeanColour):
        def encode(self, batch):
            wanted = min(len(seen) * 2 + 6, 20)  # this batch and the two after it
            deadline = time.perf_counter() + 5
            while len(read) < wanted and time.perf_counter() < deadline:
                time.sleep(0.001)
            time.sleep(0.02)
            seen.append(len(read))
            return np.zeros((len(batch), 3), dtype="f4")

    root = tmp_path / "library"
    root.mkdir()
    for number in range(20):
        (root / f"{number}.png").write_text(str(number), encoding="utf-8")
    names = pd.DataFrame({"video_id": [f"v{i}" for i in range(20)]})
    names["thumbnail"] = [f"{i}.png" for i in range(20)]
    none = pd.DataFrame(columns=["user_id", "video_id", "timestamp"])
    library = VideoLibrary(names.astype("str"), none, root=root)
    embed(library, Waits("image"), tmp_path, of="thumbnail", batch_size=2)
    assert seen == [6, 8, 10, 12, 14, 16, 18, 20, 20, 20]


class Small(TextHash):
    """Runs out of memory above some items, in the words of one device or another."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error, self.sizes = most, error, []

    def encode(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise self.error
        return super().encode(batch)


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_out_of_memory_means_smaller_batches_told_once(tmp_path, error):
    texts = [f"text {'x' * i}" for i in range(20)]
    encoder = Small(3, error)
    with pytest.warns(RuntimeWarning, match="out of memory with 10 items") as told:
        got = embed(titles(*texts), encoder, tmp_path, batch_size=10)
    assert len(told) == 1
    assert encoder.sizes == [10, 5] + [2] * 10
    whole = embed(titles(*texts), TextHash(), tmp_path / "other", batch_size=10)
    np.testing.assert_array_equal(got.vectors, whole.vectors)
    ours, theirs = (next(p.rglob("log.jsonl")) for p in (tmp_path, tmp_path / "other"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_one_item_too_large_for_memory_stops_with_a_remedy(tmp_path):
    encoder = Small(0, MemoryError())
    with (
        pytest.warns(RuntimeWarning, match="out of memory"),
        pytest.raises(MemoryError, match=r"one item at a time.*smaller size"),
    ):
        embed(titles("one", "two"), encoder, tmp_path)


def test_other_errors_of_an_encoder_are_not_taken_for_a_lack_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        embed(titles("one", "two"), Small(0, RuntimeError("shapes cannot be multiplied")), tmp_path)


@pytest.mark.parametrize(
    ("gigabytes", "clips", "thumbnails"), [(64, 8, 32), (3, 2, 32), (0.1, 1, 2), (0, 1, 1)]
)
def test_batches_fit_into_memory(monkeypatch, gigabytes, clips, thumbnails):
    # A clip of 32 x 224 x 224 takes 19.3 MB as float32, 308 MB with its activations, of which a
    # quarter of 3 GiB holds 2.6; of a picture 9.6 MB.
    memory = SimpleNamespace(available=gigabytes * 2**30)
    monkeypatch.setattr(batches.psutil, "virtual_memory", lambda: memory)
    video, image = MeanColour("video"), MeanColour("image")
    video.values_per_item = 3 * 32 * 224**2
    assert batches.batch_size_for(video, "clip") == clips
    assert batches.batch_size_for(image, "thumbnail") == thumbnails


def test_a_store_goes_on_with_the_batch_size_that_it_was_begun_with(tmp_path, monkeypatch):
    encoder = TextHash()
    embed(titles("a", "b", "c"), encoder, tmp_path, batch_size=2)
    embed(titles("d", "e", "f"), encoder, tmp_path)
    assert [len(call) for call in encoder.calls] == [2, 1, 2, 1]
    embed(titles("g", "h", "i"), encoder, tmp_path, batch_size=3)
    assert len(encoder.calls[-1]) == 3


def test_bar_tells_items_per_second_and_the_time_left(tmp_path, capsys):
    embeddings.embed(titles("a", "b", "c"), TextHash(), root=tmp_path, batch_size=1)
    shown = capsys.readouterr().err
    assert "text/hash: 1, titles" in shown
    assert "3/3" in shown
    assert re.search(r"\[\d\d:\d\d<(\d\d:\d\d|\?), ", shown)
    assert "item" in shown


# --- joining ----------------------------------------------------------------------------------


def test_join_gives_each_part_the_same_say():
    looks = pd.DataFrame([[0.0, 7.0], [2.0, 7.0], [4.0, 7.0]], index=["a", "b", "c"])
    moves = pd.DataFrame([[100.0], [300.0]], index=["a", "c"])
    joined = embeddings.join(looks, moves)
    # The first column standardised is -1.22, 0, 1.22, the constant one 0; of length 1: -1, 0, 1.
    np.testing.assert_allclose(joined.loc["a"], [-1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(joined.loc["b"], [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(joined.loc["c"], [1, 0, 1], atol=1e-6)
    assert joined.to_numpy().dtype == np.float32


def test_join_tells_missing_in_one_part_from_missing_in_all():
    looks = pd.DataFrame([[1.0], [3.0], [np.nan]], index=["a", "b", "c"])
    moves = pd.DataFrame([[1.0], [2.0], [np.nan]], index=["a", "d", "c"])
    joined = embeddings.join(looks, moves)
    assert list(joined.index) == ["a", "b", "c", "d"]
    assert joined.loc["b"].tolist() == [1, 0]
    assert joined.loc["d"].tolist() == [0, 1]
    assert joined.loc["c"].isna().all()


def cosines(rows):
    """Inner products of different rows, one for each pair."""
    rows = np.asarray(rows, dtype=np.float64)
    return (rows @ rows.T)[np.triu_indices(len(rows), 1)]


def test_balanced_tables_have_cosines_of_deviation_1():
    """Without a balance, words are outvoted: their cosines differ little."""
    rng = np.random.default_rng(0)
    ids = [f"v{i}" for i in range(60)]
    words = pd.DataFrame((rng.random((60, 400)) < 0.03) * 1.0, index=ids)
    hues = pd.DataFrame(rng.normal(size=(60, 2)), index=ids)
    assert cosines(embeddings.join(hues)).std() > 5 * cosines(embeddings.join(words)).std()
    joined = embeddings.join(words, hues, balance=True)
    of_words, of_hues = cosines(joined.iloc[:, :400]), cosines(joined.iloc[:, 400:])
    assert of_words.std() == pytest.approx(1, abs=1e-4)
    assert of_hues.std() == pytest.approx(1, abs=1e-4)
    both = cosines(joined)
    one, other = (np.corrcoef(part, both)[0, 1] for part in (of_words, of_hues))
    assert one == pytest.approx(other, abs=0.01)  # both count alike in who resembles whom
    assert one == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_balance_scales_a_table_and_leaves_its_directions():
    # One column, standardised and of length 1: -1, -1, 1, 1. Of the six cosines two are 1 and four
    # -1: their mean is -1/3, their variance 1 - 1/9 = 8/9.
    hues = pd.DataFrame([[0.0], [0.0], [4.0], [4.0]], index=list("abcd"))
    scale = np.sqrt(np.sqrt(8 / 9))
    joined = embeddings.join(hues, balance=True)
    np.testing.assert_allclose(joined[0], np.array([-1, -1, 1, 1]) / scale, rtol=1e-5)


def test_balance_counts_only_videos_with_a_vector():
    hues = pd.DataFrame([[0.0], [0.0], [4.0], [4.0], [np.nan]], index=list("abcde"))
    sounds = pd.DataFrame([[1.0], [3.0]], index=["a", "e"])  # too few to measure a spread
    joined = embeddings.join(hues, sounds, balance=True)
    without = embeddings.join(hues.dropna(), balance=True)
    np.testing.assert_allclose(joined.loc[list("abcd"), 0], without[0], rtol=1e-6)
    assert joined.loc["e"].tolist() == [0, 1]  # the cosine of two videos has no deviation
    assert joined.loc["b", 1] == 0
    same = pd.DataFrame(np.ones((4, 2)), index=list("abcd"))  # constant columns agree with nothing
    assert not embeddings.join(same, balance=True).to_numpy().any()


def test_join_refuses_what_it_cannot_join():
    with pytest.raises(ValueError, match="nothing to join"):
        embeddings.join()
    twice = pd.DataFrame([[1.0], [2.0]], index=["a", "a"])
    with pytest.raises(ValueError, match="two vectors for video 'a'"):
        embeddings.join(twice)
