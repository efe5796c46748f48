"""Models on disk: equal after a round trip, whole after a kill, refused when changed."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from vidrec_utils import recommender as rec
from vidrec_utils import saving
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender

VIDEOS = ["a", "ü b/c", "7", "", "猫", "f"]


def world(seed=0):
    rng = np.random.default_rng(seed)
    rows = [(f"u{u}", VIDEOS[v]) for u in range(9) for v in rng.integers(0, 5, 4)]
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"])
    frame = frame.assign(watch_ratio=rng.random(len(rows)))
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=VIDEOS))


def vectors():
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(6, 4)), index=VIDEOS)
    return frame.drop(index="7")


MODELS = {
    "Popularity": rec.Popularity,
    "Random": lambda: rec.Random(seed=5),
    "ItemKNN": lambda: ItemKNN(3, 1.5, name="knn"),
    "ContentRecommender": lambda: ContentRecommender(vectors(), dislike=0.5),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_round_trip_changes_nothing(kind, tmp_path):
    model = MODELS[kind]().fit(world())
    folder = model.save(tmp_path / "kept")
    again = rec.load(folder)
    assert type(again) is type(model)
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    users = [*model.user_ids, "nobody"]
    np.testing.assert_array_equal(again.score(users), model.score(users))
    pd.testing.assert_frame_equal(again.recommend(users, 3), model.recommend(users, 3))
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
    assert again.save(tmp_path / "twice").joinpath("model.json").read_text(
        encoding="utf-8"
    ) == folder.joinpath("model.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["ItemKNN", "ContentRecommender"])
def test_a_loaded_model_explains_and_learns_again(kind, tmp_path):
    model = MODELS[kind]().fit(world())
    again = rec.load(model.save(tmp_path))
    pd.testing.assert_frame_equal(again.explain("u1", "a").table, model.explain("u1", "a").table)
    pd.testing.assert_frame_equal(again.similar("a", 2), model.similar("a", 2))
    other = world(3)
    np.testing.assert_allclose(
        again.fit(other).score(["u2"]), MODELS[kind]().fit(other).score(["u2"]), rtol=1e-6
    )


def test_saving_over_a_model_leaves_one(tmp_path):
    rec.Popularity().fit(world(0)).save(tmp_path)
    newer = rec.Popularity().fit(world(1))
    newer.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(rec.load(tmp_path).popularity, newer.popularity)


def test_a_kill_while_saving_leaves_the_old_model(tmp_path, monkeypatch):
    old = rec.Popularity().fit(world(0))
    old.save(tmp_path)
    replace = saving.replace_whole

    def killed(target, data):
        if target.name == saving.DESCRIPTION:
            raise KeyboardInterrupt
        replace(target, data)

    monkeypatch.setattr(saving, "replace_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        rec.Popularity().fit(world(1)).save(tmp_path)
    np.testing.assert_array_equal(rec.load(tmp_path).popularity, old.popularity)


def test_an_unfitted_model_is_not_saved(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        rec.Popularity().save(tmp_path)


def test_folders_without_a_whole_model(tmp_path):
    with pytest.raises(saving.SavedModelError, match=r"no saved model.*model\.json is missing"):
        rec.load(tmp_path)
    folder = rec.Popularity().fit(world()).save(tmp_path)
    next(folder.glob("*.safetensors")).unlink()
    with pytest.raises(saving.SavedModelError, match="incomplete"):
        rec.load(folder)
    (folder / "model.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(saving.SavedModelError, match="not JSON"):
        rec.load(folder)
    (folder / "model.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(saving.SavedModelError, match="does not describe"):
        rec.load(folder)


def change(folder, **entries):
    file = folder / "model.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(saving.sealed({**kept, **entries}), encoding="utf-8")


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"class": "os.system"}, "os.system, which is no Recommender known"),
        ({"class": ["x"]}, "which is no Recommender known"),
        ({"format": 99}, "format 99"),
        ({"arrays": "../elsewhere.safetensors"}, "names"),
        ({"ids_sha256": "0" * 64}, "ids .* wrong video"),
        ({"arrays_sha256": "0" * 64}, "was changed"),
        ({"parameters": {"size": 3}}, "does not fit its class"),
        ({"parameters": None}, "does not fit its class"),
        ({"parameters": ["seed"]}, "does not fit its class"),
    ],
)
def test_a_changed_description_is_refused(entries, complaint, tmp_path):
    change(rec.Random().fit(world()).save(tmp_path), **entries)
    with pytest.raises(saving.SavedModelError, match=complaint):
        rec.load(tmp_path)


def test_tampered_ids_are_noticed_even_with_a_new_hash(tmp_path):
    model = rec.Popularity().fit(world())
    description, arrays = saving.read(model.save(tmp_path))
    arrays["video_ids"] = saving.encode_ids(["f", *VIDEOS[:-1]])
    kept = {k: v for k, v in description.items() if not k.startswith(("arrays", "format"))}
    saving.write(tmp_path, kept, arrays)
    with pytest.raises(saving.SavedModelError, match="wrong video"):
        rec.load(tmp_path)


def test_a_damaged_file_of_arrays(tmp_path):
    folder = rec.Popularity().fit(world()).save(tmp_path)
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(saving.SavedModelError, match="was changed"):
        rec.load(folder)


def test_load_of_a_class_wants_that_class(tmp_path):
    rec.Popularity().fit(world()).save(tmp_path)
    assert isinstance(rec.Popularity.load(tmp_path), rec.Popularity)
    with pytest.raises(saving.SavedModelError, match="no ItemKNN"):
        ItemKNN.load(tmp_path)


def test_sparse_arrays_and_scalars_keep_their_shape(tmp_path):
    eye = sparse.csr_array(np.eye(3, 5, dtype="f4"))
    saving.write(tmp_path, {}, {"eye": eye, "one": np.array(2.5), "none": np.empty((0, 4))})
    _, arrays = saving.read(tmp_path)
    np.testing.assert_array_equal(arrays["eye"].toarray(), eye.toarray())
    assert arrays["one"].shape == ()
    assert arrays["none"].shape == (0, 4)


# -- changed, edited, killed, no room --------------------------------------------------------------


def test_no_changed_bit_of_the_description_is_passed_on(tmp_path):
    model = rec.Random(seed=5).fit(world())
    file = model.save(tmp_path) / "model.json"
    data = file.read_bytes()
    description, _ = saving.read(tmp_path)
    refused = 0
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            assert saving.read(tmp_path)[0] == description, bit
        except saving.SavedModelError:
            refused += 1
    assert refused > 0.9 * 8 * len(data) / 3  # the others are blanks and line ends between entries


def csr(**changes):
    fields = {
        "data": np.array([1, 2, 3], "f4"),
        "indices": np.array([0, 2, 1], "i4"),
        "indptr": np.array([0, 2, 3], "i4"),
        "shape": np.array([2, 3]),
    }
    return {f"seen/{name}": values for name, values in {**fields, **changes}.items()}


def test_a_sparse_array_of_sound_fields(tmp_path):
    saving.write(tmp_path, {}, csr())
    assert saving.read(tmp_path)[1]["seen"].toarray().tolist() == [[1, 0, 2], [0, 3, 0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([0, 3, 1], "i4")},  # beyond the last column
        {"indices": np.array([0, 2**31 - 1, 1], "i4")},
        {"indices": np.array([0, -1, 1], "i4")},
        {"indices": np.array([0, 2, 1], "u4")},
        {"indices": np.array([0, 2, 1], "f4")},
        {"indices": np.array([[0, 2, 1]], "i4")},
        {"indices": np.array([0, 2], "i4")},
        {"indptr": np.array([0, 4, 3], "i4")},  # runs backwards
        {"indptr": np.array([0, 2**31 - 1, 0], "i4")},  # ... to 0: no check of SciPy sees it
        {"indptr": np.array([0, -1, 3], "i4")},
        {"indptr": np.array([0, 2**62, -(2**62)])},  # their difference overflows
        {"indptr": np.array([0, 2, 9], "i4")},
        {"indptr": np.array([1, 2, 3], "i4")},
        {"indptr": np.array([0, 3], "i4")},
        {"indptr": np.empty(0, "i4")},
        {"shape": np.array([2, 2])},
        {"shape": np.array([3, 3])},
        {"shape": np.array([-2, 3])},
        {"shape": np.array([2, -3])},
        {"shape": np.array([2])},
        {"shape": np.array([2, 3, 1])},
        {"shape": np.array([2.0, 3.0])},
        {"shape": np.array(2)},
        {"data": np.array([1, 2, 3], "f2")},
        {"data": np.array([1, 2], "f4")},
    ],
)
def test_no_field_of_a_sparse_array_reaches_native_code_unchecked(changes, tmp_path):
    saving.write(tmp_path, {}, csr(**changes))
    with pytest.raises(saving.SavedModelError, match="seen"):
        saving.read(tmp_path)


def test_a_sparse_array_without_one_of_its_fields(tmp_path):
    saving.write(tmp_path, {}, {k: v for k, v in csr().items() if k != "seen/indptr"})
    with pytest.raises(saving.SavedModelError, match="seen/indptr"):
        saving.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("seen", sparse.csr_array((9, 5), dtype="f4")),
        ("seen", sparse.csr_array((8, 6), dtype="f4")),
        ("seen", np.zeros((9, 6), dtype="f4")),
        ("popularity", np.zeros(5, dtype="f4")),
        ("popularity", np.zeros((6, 1), dtype="f4")),
        ("state.similarity", sparse.csr_array((6, 7), dtype="f4")),
        ("state.similarity", np.zeros(0, dtype="f4")),
        ("state.matrix", sparse.csr_array((9, 7), dtype="f4")),
        ("state.matrix", sparse.csr_array((2, 6), dtype="f4")),
    ],
)
def test_arrays_that_do_not_fit_the_catalogue_are_refused_on_loading(name, array, tmp_path):
    folder = ItemKNN(3, 1.5).fit(world()).save(tmp_path)
    description, arrays = saving.read(folder)
    saving.write(folder, description, {**arrays, name: array})
    with pytest.raises(saving.SavedModelError, match="does not fit its class"):
        rec.load(folder)


def test_a_user_named_twice(tmp_path):
    folder = rec.Popularity().fit(world()).save(tmp_path)
    description, arrays = saving.read(folder)
    users = ["u0", *saving.decode_ids(arrays["user_ids"])[:-1]]
    digest = saving.ids_digest(saving.decode_ids(arrays["video_ids"]), users)
    arrays["user_ids"] = saving.encode_ids(users)
    saving.write(folder, {**description, "ids_sha256": digest}, arrays)
    with pytest.raises(saving.SavedModelError, match="names a video or a user twice"):
        rec.load(folder)


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from vidrec_utils import files, recommender, saving

steps = 0

def step(call):
    def wrapped(*arguments, **options):
        global steps
        steps += 1
        if steps == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped

Path.replace, Path.unlink, os.fsync = step(Path.replace), step(Path.unlink), step(os.fsync)
log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["new", "dog"]})
for moment in range(1, 7):  # imports are paid for once
    child = os.fork()
    if not child:
        recommender.Popularity().fit(log).save(Path(sys.argv[1], str(moment)))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is how POSIX systems stop a process at once")
def test_killed_before_each_of_its_steps_a_save_leaves_one_model_and_the_next_sweeps(tmp_path):
    old = rec.Popularity().fit(world())
    moments = range(1, 7)  # two files: written, moved; the old arrays: removed; and the end
    for moment in moments:
        old.save(tmp_path / str(moment))
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * 5 + ["0"]
    names = []
    for moment in moments:
        folder = tmp_path / str(moment)
        videos = rec.load(folder).video_ids.tolist()
        assert videos in (VIDEOS, ["dog", "new"])
        names.append("new" if "new" in videos else "old")
        newest = rec.Popularity().fit(world(1))
        newest.save(folder)
        assert len(list(folder.iterdir())) == 2, f"a leftover of step {moment}"
        np.testing.assert_array_equal(rec.load(folder).popularity, newest.popularity)
    assert names == ["old"] * 4 + ["new"] * 2


def test_two_savers_at_once_leave_a_whole_model(tmp_path):
    models = [rec.Popularity().fit(world(seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: models[n % 4].save(tmp_path), range(60)))
    assert len(list(tmp_path.iterdir())) == 2
    assert any((rec.load(tmp_path).popularity == model.popularity).all() for model in models)


FULL = """
import resource, signal, sys
import pandas as pd
from vidrec_utils import recommender
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
try:
    recommender.Popularity().fit(log).save(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE exists on POSIX systems only")
def test_where_there_is_no_room_the_path_is_named_and_the_old_model_stays(tmp_path):
    old = rec.Popularity().fit(world())
    old.save(tmp_path)
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"File too large: '{tmp_path}/arrays-\w+\.safetensors'", output)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(rec.load(tmp_path).popularity, old.popularity)
