"""The store of vectors: nothing computed twice, nothing lost to a kill, everything told."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vidrec_utils import embeddings, video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import FrameContract, StoreError, WeightsInfo


class TextHash:
    """Vectors by hand: length, first and last letter of a text; counts what it was given."""

    name = "text/hash: 1"
    modality = "text"
    dim = 3
    parameters = 0
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


def test_wrong_modality_and_wrong_words(tmp_path):
    with pytest.raises(ValueError, match="needs one of image"):
        embed(titles("a"), TextHash(), tmp_path, of="thumbnail")
    with pytest.raises(ValueError, match="choose from title, thumbnail, clip"):
        embed(titles("a"), TextHash(), tmp_path, of="sound")
    with pytest.raises(ValueError, match="at least 1"):
        embed(titles("a"), TextHash(), tmp_path, batch_size=-1)


# -- killed, and two at once --------------------------------------------------------------------

RUN = textwrap.dedent("""
    import os, signal, sys, time
    from types import SimpleNamespace
    import numpy as np, pandas as pd
    from vidrec_utils import embeddings
    from vidrec_utils.embeddings import WeightsInfo, store

    root, moment, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])

    def die():
        os.kill(os.getpid(), signal.SIGKILL) if hasattr(signal, "SIGKILL") else os._exit(9)

    class Slow:
        name, modality, dim, parameters = "slow", "text", 5, 0
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
        write_at(path, offset, data, cut)
        if Slow.calls == 3 and moment == "between" and not cut:
            die()
    store._write_at = interrupted

    texts = ["x" * (i + 1) for i in range(23)] + [None]
    ids = [str(i) for i in range(24)]
    library = SimpleNamespace(videos=pd.DataFrame({"title": texts}, index=ids))
    got = embeddings.embed(library, Slow(), root=root, batch_size=4, progress=False)
    print(Slow.calls, len(got.failures))
""")


def start(root, moment="never", pause=0.0):
    arguments = [sys.executable, "-c", RUN, str(root), moment, str(pause)]
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


def test_two_processes_share_the_work(tmp_path):
    both = [start(tmp_path / "both", pause=0.1) for _ in range(2)]
    calls = sorted(int(finish(process)[0]) for process in both)
    assert calls == [0, 6]
    log = next((tmp_path / "both").rglob("log.jsonl")).read_text(encoding="utf-8")
    keys = [key for line in log.splitlines() for key in json.loads(line)["keys"]]
    assert len(keys) == len(set(keys)) == 23


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


def test_join_refuses_what_it_cannot_join():
    with pytest.raises(ValueError, match="nothing to join"):
        embeddings.join()
    twice = pd.DataFrame([[1.0], [2.0]], index=["a", "a"])
    with pytest.raises(ValueError, match="two vectors for video 'a'"):
        embeddings.join(twice)
